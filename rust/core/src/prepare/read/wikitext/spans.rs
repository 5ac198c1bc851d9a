//! Finds what to drop from a page as a whole: comments, elements, templates and tables, nested or not.

use memchr::{memchr, memchr3_iter, memmem};

use super::span::{Span, SpanKind};
use super::tags::{self, ELEMENTS, Element};
use super::templates;
use crate::prepare::read::mediawiki::Site;

/// The result of [`find`].
#[derive(Debug, Default)]
pub(super) struct Spans {
    /// In the order of the text. No span contains another.
    pub dropped: Vec<Span>,
    /// The positions of `-{` and of the byte after its `}-`, in the order of the text. They may be nested.
    pub variants: Vec<(usize, usize)>,
    /// Text that templates show in addition to their values.
    pub texts: String,
}

/// Something opened and not closed yet.
#[derive(Debug, Clone, Copy)]
enum Open {
    /// This many braces. A template needs two and a parameter three.
    Braces {
        start: usize,
        count: usize,
    },
    Table {
        start: usize,
    },
    HtmlTable {
        start: usize,
    },
    Variant {
        start: usize,
    },
}

impl Open {
    fn kind(self) -> usize {
        match self {
            Self::Braces { .. } => BRACES,
            Self::Table { .. } => TABLE,
            Self::HtmlTable { .. } => HTML_TABLE,
            Self::Variant { .. } => VARIANT,
        }
    }
}

const BRACES: usize = 0;
const TABLE: usize = 1;
const HTML_TABLE: usize = 2;
const VARIANT: usize = 3;

struct Finder<'a> {
    text: &'a [u8],
    site: &'a Site,
    spans: Spans,
    stack: Vec<Open>,
    /// The number of each kind on the stack. Without it, each unmatched closing mark would search the stack.
    open: [usize; 4],
    /// One bit for each of [`ELEMENTS`], set if it has no closing tag in the rest of the text. Without it, the search
    /// would be quadratic.
    unclosed: u64,
    /// Whether `-{..}-` has a meaning.
    variants: bool,
}

/// Finds what to drop from `text`, a page of `site`.
pub(super) fn find(text: &str, site: &Site) -> Spans {
    let text = text.as_bytes();
    let mut finder = Finder {
        text,
        site,
        spans: Spans::default(),
        stack: Vec::new(),
        open: [0; 4],
        unclosed: 0,
        variants: site.has_variants(),
    };
    let mut at = 0;
    for next in memchr3_iter(b'<', b'{', b'}', text) {
        if next < at {
            continue;
        }
        at = match text[next] {
            b'<' => finder.angle(next),
            b'{' => finder.opening(next),
            _ => finder.closing(next),
        };
    }
    finder.finish()
}

impl Finder<'_> {
    fn push(&mut self, open: Open) {
        self.open[open.kind()] += 1;
        self.stack.push(open);
    }

    fn pop(&mut self) -> Option<Open> {
        let open = self.stack.pop()?;
        self.open[open.kind()] -= 1;
        Some(open)
    }

    /// Removes what was opened after the last of `kind` and never closed. Returns `false` if there is none of this
    /// kind.
    fn unwind(&mut self, kind: usize) -> bool {
        if self.open[kind] == 0 {
            return false;
        }
        while self.stack.last().is_some_and(|open| open.kind() != kind) {
            self.pop();
        }
        true
    }

    fn drop_span(&mut self, start: usize, end: usize, kind: SpanKind) {
        let dropped = &mut self.spans.dropped;
        while dropped.last().is_some_and(|span| span.start >= start) {
            dropped.pop();
        }
        dropped.push(Span { start, end, kind });
    }

    /// Returns the index of the first dropped span at or after `start`. Considers only as many spans as a shown
    /// template may contain.
    fn first_inside(&self, start: usize) -> usize {
        let dropped = &self.spans.dropped;
        let inside = dropped.iter().rev().take(templates::MOST_INSIDE + 1).take_while(|span| span.start >= start);
        dropped.len() - inside.count()
    }

    fn angle(&mut self, at: usize) -> usize {
        let text = self.text;
        if text[at..].starts_with(b"<!--") {
            let end = memmem::find(&text[at + 4..], b"-->").map_or(text.len(), |found| at + 4 + found + 3);
            self.drop_span(at, end, SpanKind::Comment);
            return end;
        }
        let Some(tag) = tags::read_tag(text, at) else { return at + 1 };
        if tag.name.eq_ignore_ascii_case(b"table") {
            if !tag.closes && !tag.empty {
                self.push(Open::HtmlTable { start: at });
            } else if tag.closes
                && self.unwind(HTML_TABLE)
                && let Some(Open::HtmlTable { start }) = self.pop()
            {
                self.drop_span(start, tag.end, SpanKind::Block);
            }
            return tag.end;
        }
        let Some(index) = tags::element(tag.name) else { return tag.end };
        let element = ELEMENTS[index].1;
        if tag.closes {
            return tag.end;
        }
        let kind = match element {
            Element::Block => SpanKind::Block,
            Element::Formula => SpanKind::Formula,
            Element::Joining => SpanKind::Comment,
            // `<nowiki/>` separates marks, not words.
            Element::Literal if tag.empty => SpanKind::Comment,
            Element::Inline | Element::Literal | Element::Code => SpanKind::Inline,
        };
        if tag.empty {
            // An empty formula shows nothing.
            let kind = if kind == SpanKind::Formula { SpanKind::Inline } else { kind };
            self.drop_span(at, tag.end, kind);
            return tag.end;
        }
        let Some((close, end)) = self.closing_tag(index, tag.end) else { return tag.end };
        match element {
            Element::Literal => self.drop_span(at, end, SpanKind::Literal(tag.end, close)),
            Element::Code if memchr(b'\n', &text[tag.end..close]).is_none() => return tag.end,
            Element::Code => self.drop_span(at, end, SpanKind::Block),
            // `<syntaxhighlight inline>` is code in a sentence.
            Element::Block if tag.inline => self.drop_span(at, end, SpanKind::Literal(tag.end, close)),
            Element::Inline | Element::Joining | Element::Formula | Element::Block => self.drop_span(at, end, kind),
        }
        end
    }

    /// Returns the beginning and end of an element's closing tag.
    fn closing_tag(&mut self, index: usize, from: usize) -> Option<(usize, usize)> {
        if self.unclosed >> index & 1 == 1 {
            return None;
        }
        let name = ELEMENTS[index].0;
        let mut at = from;
        while let Some(found) = memchr(b'<', &self.text[at..]) {
            at += found;
            if let Some(tag) = tags::read_tag(self.text, at)
                && tag.name.eq_ignore_ascii_case(name.as_bytes())
            {
                if tag.closes {
                    return Some((at, tag.end));
                }
                // References are never nested. The first one is unclosed, and what follows it is text.
                if name == "ref" && !tag.empty {
                    return None;
                }
            }
            at += 1;
        }
        self.unclosed |= 1 << index;
        None
    }

    fn opening(&mut self, at: usize) -> usize {
        let text = self.text;
        let count = run(text, at, b'{');
        if count > 1 {
            self.push(Open::Braces { start: at, count });
        } else if text.get(at + 1) == Some(&b'|') && self.begins_line(at) {
            self.push(Open::Table { start: at });
        } else if self.variants && at > 0 && text[at - 1] == b'-' {
            self.push(Open::Variant { start: at - 1 });
        }
        at + count
    }

    fn closing(&mut self, at: usize) -> usize {
        let text = self.text;
        let count = run(text, at, b'}');
        let mut left = count;
        let top = self.stack.last().map(|open| open.kind());
        let closes_template = count > 1 && top == Some(BRACES);
        if !closes_template && at > 0 && text[at - 1] == b'|' && self.begins_line(at - 1) && self.unwind(TABLE) {
            if let Some(Open::Table { start }) = self.pop() {
                self.drop_span(start, at + 1, SpanKind::Block);
            }
            left -= 1;
        } else if top == Some(VARIANT) && text.get(at + count) == Some(&b'-') {
            if let Some(Open::Variant { start }) = self.pop() {
                self.spans.variants.push((start, at + count + 1));
            }
            return at + count + 1;
        }
        while left > 1 && self.unwind(BRACES) {
            let Some(Open::Braces { start, count: open }) = self.pop() else { break };
            let taken = if open > 2 && left > 2 { 3 } else { 2 };
            left -= taken;
            let (from, to) = (start + open - taken, at + count - left);
            let inside = self.first_inside(from);
            if taken == 3 {
                self.drop_span(from, to, SpanKind::Block);
            } else {
                let Spans { dropped, texts, .. } = &mut self.spans;
                templates::show(text, from..to, inside, self.site, dropped, texts);
            }
            if open - taken > 1 {
                self.push(Open::Braces { start, count: open - taken });
            }
        }
        at + count
    }

    /// Whether only whitespace, list marks and dropped spans precede `at` in its line.
    fn begins_line(&self, at: usize) -> bool {
        // Without this limit, a line of only templates and tables would be searched again for each of them.
        const MOST: usize = 32;
        let mut at = at;
        let mut before = self.spans.dropped.iter().rev().take(MOST);
        let mut span = before.next();
        while at > 0 {
            match self.text[at - 1] {
                b'\n' => return true,
                b' ' | b'\t' | b'\r' | b':' | b'*' | b'#' | b';' => at -= 1,
                b'>' | b'}' => {
                    while span.is_some_and(|span| span.end > at) {
                        span = before.next();
                    }
                    match span {
                        Some(span) if span.end == at => at = span.start,
                        _ => return false,
                    }
                }
                _ => return false,
            }
        }
        true
    }

    /// Drops each unclosed table up to the next heading, or to the end of the text.
    fn finish(mut self) -> Spans {
        self.spans.variants.sort_unstable();
        let mut open = self.stack.iter().filter_map(|open| match open {
            Open::Table { start } => Some(*start),
            _ => None,
        });
        let Some(mut start) = open.next() else { return self.spans };
        let mut kept = Vec::with_capacity(self.spans.dropped.len() + 1);
        let mut spans = self.spans.dropped.iter().copied().peekable();
        loop {
            while let Some(span) = spans.next_if(|span| span.start < start) {
                kept.push(span);
            }
            let mut end = memmem::find(&self.text[start..], b"\n==").map_or(self.text.len(), |found| start + found);
            while let Some(span) = spans.next_if(|span| span.start < end) {
                end = end.max(span.end);
            }
            kept.push(Span { start, end, kind: SpanKind::Block });
            match open.find(|start| *start >= end) {
                Some(next) => start = next,
                None => break,
            }
        }
        kept.extend(spans);
        self.spans.dropped = kept;
        self.spans
    }
}

/// Returns how often `byte` is repeated from `at` on.
pub(super) fn run(text: &[u8], at: usize, byte: u8) -> usize {
    text[at..].iter().take_while(|b| **b == byte).count()
}
