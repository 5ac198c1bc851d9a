//! Walks through a page: passes text to [`Lines`], and skips what is dropped.

use std::ops::Range;

use memchr::{memchr, memchr3};

use super::lines::{Gap, Kind, Lines, Mark};
use super::links::{self, Link};
use super::span::{Span, SpanKind};
use super::spans::{Spans, run};
use super::tags::{self, Tag};
use crate::prepare::read::mediawiki::Site;

/// Bytes at which text may end. Control characters are included, because they are never text.
const SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        special[byte] = true;
        byte += 1;
    }
    special[0x7f] = true;
    let marks = b"&'<[]{}_";
    let mut at = 0;
    while at < marks.len() {
        special[marks[at] as usize] = true;
        at += 1;
    }
    special
};

/// Passes the text of a page to its lines. Returns the positions in `out` where something is missing.
pub(super) fn scan(text: &str, site: &Site, spans: &Spans, links: &[(usize, usize)], out: &mut String) -> Vec<usize> {
    let mut scanner = Scanner {
        text,
        bytes: text.as_bytes(),
        site,
        spans: &spans.dropped,
        variants: &spans.variants,
        texts: &spans.texts,
        links,
        jumps: Vec::new(),
        at: 0,
        begins_line: true,
        break_end: None,
        line_end: Ahead::new(b'\n'),
        lines: Lines::new(out),
    };
    while scanner.at < text.len() {
        scanner.step();
    }
    scanner.lines.finish()
}

/// The position of the next occurrence of a byte. It is searched once, so that repeated queries cost nothing.
struct Ahead {
    byte: u8,
    found: Option<usize>,
}

impl Ahead {
    fn new(byte: u8) -> Self {
        Self { byte, found: None }
    }

    /// Returns the first position at or after `at`, or the end. `at` must not decrease between calls.
    fn from(&mut self, at: usize, text: &[u8]) -> usize {
        match self.found {
            Some(found) if found >= at => found,
            _ => {
                let found = memchr(self.byte, &text[at..]).map_or(text.len(), |found| at + found);
                self.found = Some(found);
                found
            }
        }
    }
}

struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    site: &'a Site,
    /// These three contain only what is still ahead.
    spans: &'a [Span],
    variants: &'a [(usize, usize)],
    /// The text shown in place of templates.
    texts: &'a str,
    links: &'a [(usize, usize)],
    /// Positions where a shown part ends and where the text continues after it. The innermost is last.
    jumps: Vec<(usize, usize)>,
    at: usize,
    /// Whether only whitespace and gaps precede `at` in its line.
    begins_line: bool,
    /// The end of the last `<br>`.
    break_end: Option<usize>,
    line_end: Ahead,
    lines: Lines<'a>,
}

impl Scanner<'_> {
    fn step(&mut self) {
        let at = self.at;
        while let Some(&(from, to)) = self.jumps.last()
            && from <= at
        {
            self.jumps.pop();
            if from == at {
                self.at = to;
                return;
            }
        }
        while self.spans.first().is_some_and(|span| span.start < at) {
            self.spans = &self.spans[1..];
        }
        while self.variants.first().is_some_and(|variant| variant.0 < at) {
            self.variants = &self.variants[1..];
        }
        if self.spans.first().is_some_and(|span| span.start == at) {
            return self.span(self.spans[0]);
        }
        if self.begins_line && self.begin_line() {
            return;
        }
        if self.variants.first().is_some_and(|variant| variant.0 == at) {
            return self.variant(self.variants[0].1);
        }
        match self.bytes[at] {
            b'\n' => {
                self.lines.end_line();
                self.begins_line = true;
                self.at += 1;
            }
            b'\t' => self.show(1, " "),
            b'[' => self.opening_bracket(),
            b']' if self.bytes.get(at + 1) == Some(&b']') => self.at += 2,
            b'\'' if self.bytes.get(at + 1) == Some(&b'\'') => {
                let count = run(self.bytes, at, b'\'');
                self.lines.quotes(count);
                self.begins_line = false;
                self.at += count;
            }
            b'<' => self.angle(),
            b'{' if self.bytes.get(at + 1) == Some(&b'{') => self.unclosed_braces(),
            b'}' if self.bytes.get(at + 1) == Some(&b'}') => self.at += run(self.bytes, at, b'}'),
            b'&' => self.reference(),
            b'_' => self.underscore(),
            byte if byte < 0x20 || byte == 0x7f => self.at += 1,
            _ => self.chunk(),
        }
    }

    /// Passes on `text`, which replaces `length` bytes.
    fn show(&mut self, length: usize, text: &str) {
        self.lines.text(text);
        self.at += length;
    }

    fn skip(&mut self, end: usize, gap: Gap, mark: Mark) {
        self.lines.gap(gap, mark);
        self.at = end;
    }

    /// Passes on text up to the next byte with a possible meaning, but at least one character.
    fn chunk(&mut self) {
        self.begins_line = false;
        let at = self.at;
        let mut limit = self.bytes.len();
        if let Some(jump) = self.jumps.last() {
            limit = limit.min(jump.0);
        }
        if let Some(variant) = self.variants.first() {
            limit = limit.min(variant.0);
        }
        // A template whose words are shown may end in the middle of the text.
        if let Some(span) = self.spans.first() {
            limit = limit.min(span.start);
        }
        let length = self.bytes[at + 1..limit].iter().take_while(|b| !SPECIAL[usize::from(**b)]).count();
        self.show(1 + length, &self.text[at..=at + length]);
    }

    /// Determines the kind of a line. Returns whether bytes were consumed.
    fn begin_line(&mut self) -> bool {
        let at = self.at;
        match self.bytes[at] {
            b' ' | b'\t' => {
                self.at += 1;
                return true;
            }
            b'=' => self.lines.begin(Kind::Heading),
            b'*' | b'#' | b':' | b';' => {
                let marks = |b: &&u8| matches!(b, b'*' | b'#' | b':' | b';' | b' ');
                self.lines.begin(Kind::Item);
                self.at += self.bytes[at..].iter().take_while(marks).count();
            }
            b'|' => self.lines.begin(Kind::Stray),
            b'-' if self.bytes[at..].starts_with(b"----") => {
                self.lines.end_block();
                self.at += run(self.bytes, at, b'-');
            }
            _ => return false,
        }
        self.begins_line = false;
        self.at > at
    }

    fn span(&mut self, span: Span) {
        match span.kind {
            SpanKind::Comment => self.lines.gap(Gap::Inline, Mark::Join),
            SpanKind::Inline => self.lines.gap(Gap::Inline, Mark::Space),
            SpanKind::Formula => self.lines.gap(Gap::Inline, Mark::Hole),
            SpanKind::Block => self.lines.gap(Gap::Block, Mark::Space),
            SpanKind::Hole => {
                // A box at the top of a page. The text continues on its last line.
                let is_box = self.begins_line && memchr(b'\n', &self.bytes[span.start..span.end]).is_some();
                self.lines.gap(Gap::Block, if is_box { Mark::Space } else { Mark::Hole });
            }
            SpanKind::Nothing => {}
            SpanKind::Text(from, to) => {
                let text = &self.texts[from..to];
                self.begins_line &= text == " ";
                self.lines.text(text);
            }
            // A table row with templates for its marks.
            SpanKind::Pipe if self.begins_line => {
                self.begins_line = false;
                self.lines.begin(Kind::Stray);
            }
            SpanKind::Pipe => self.lines.text("|"),
            SpanKind::Literal(start, end) => {
                self.begins_line = false;
                self.lines.literal(&htmlize::unescape(&self.text[start..end]));
            }
        }
        self.at = span.end;
    }

    fn opening_bracket(&mut self) {
        let at = self.at;
        let begins_line = std::mem::take(&mut self.begins_line);
        while self.links.first().is_some_and(|link| link.0 < at) {
            self.links = &self.links[1..];
        }
        match self.links.first() {
            Some(&(start, end)) if start == at => match links::read(self.text, at + 2, end, self.spans, self.site) {
                Link::Hidden => {
                    self.begins_line = begins_line;
                    self.skip(end + 2, Gap::Block, Mark::Space);
                }
                Link::Shown(from, to) => {
                    self.jumps.push((to, end + 2));
                    self.at = from;
                }
            },
            Some(&(start, _)) if start == at + 1 => self.show(1, "["),
            _ if self.bytes.get(at + 1) == Some(&b'[') => {
                if links::hides(&self.text[at + 2..], self.site) {
                    let end = self.line_end.from(at, self.bytes);
                    self.skip(end, Gap::Block, Mark::Space);
                } else {
                    self.at += 2;
                }
            }
            _ if links::is_url(&self.text[at + 1..]) => self.external(),
            _ => self.show(1, "["),
        }
    }

    fn external(&mut self) {
        let at = self.at;
        let Some(close) = self.external_end() else { return self.show(1, "[") };
        self.lines.external();
        match memchr(b' ', &self.bytes[at..close]) {
            Some(space) => {
                self.jumps.push((close, close + 1));
                self.at += space + 1;
            }
            None => self.skip(close + 1, Gap::Inline, Mark::Space),
        }
    }

    /// Returns the position of the `]` that closes the current external link. It is on the same line, not part of a
    /// link in the label, and not dropped.
    fn external_end(&self) -> Option<usize> {
        const LONGEST: usize = 4 << 10;
        let limit = (self.at + LONGEST).min(self.bytes.len());
        let mut spans = self.spans.iter().peekable();
        let mut links = 0_usize;
        let mut from = self.at + 1;
        loop {
            let found = from + memchr3(b'[', b']', b'\n', self.bytes.get(from..limit)?)?;
            while spans.next_if(|span| span.end <= found).is_some() {}
            if let Some(span) = spans.peek()
                && span.start <= found
            {
                from = span.end;
                continue;
            }
            let twice = self.bytes.get(found + 1) == Some(&self.bytes[found]);
            match self.bytes[found] {
                b'\n' => return None,
                b'[' => links += usize::from(twice),
                _ if twice && links > 0 => links -= 1,
                _ => return Some(found),
            }
            from = found + 1 + usize::from(twice);
        }
    }

    fn angle(&mut self) {
        let at = self.at;
        let Some(tag) = tags::read_tag(self.bytes, at) else {
            self.begins_line = false;
            return self.show(1, "<");
        };
        match tags::tag(tag.name) {
            // A URL or formula in angle brackets is text.
            None if tag.attributes && !self.bytes[at..tag.end].contains(&b'=') => {
                self.begins_line = false;
                return self.show(1, "<");
            }
            Some(Tag::Break) => {
                let again = self.break_end.is_some_and(|end| self.bytes[end..at].trim_ascii().is_empty());
                if again {
                    self.lines.end_block();
                } else {
                    self.lines.text(" ");
                }
                self.break_end = Some(tag.end);
            }
            Some(Tag::Block) => self.lines.end_block(),
            Some(Tag::Item) => {
                self.lines.end_block();
                if !tag.closes {
                    self.lines.begin(Kind::Item);
                    self.begins_line = false;
                }
            }
            Some(Tag::Inline) if !tag.closes && tag.name.eq_ignore_ascii_case(b"sup") => {
                let follows_digit = at > 0 && self.bytes[at - 1].is_ascii_digit();
                if follows_digit {
                    let raised = self.raised(tag.end);
                    let rest = &self.bytes[raised.end..];
                    let close = memchr(b'>', rest).filter(|_| rest.starts_with(b"</"));
                    let behind = close.map_or(&[][..], |close| &rest[close + 1..]);
                    self.lines.text(tags::before_raised(&self.text[raised], behind));
                }
            }
            Some(Tag::Inline) | None => {}
        }
        self.at = tag.end;
    }

    /// Returns the range from `start`, the end of a `<sup>`, to the closing tag. The search is bounded, so that a text
    /// with many such tags is not searched to its end for each.
    fn raised(&self, start: usize) -> Range<usize> {
        const LONGEST: usize = 64;
        let end = self.text.floor_char_boundary(start + LONGEST);
        let near = &self.bytes[start..end];
        start..start + memchr::memmem::find(near, b"</").or(memchr(b'\n', near)).unwrap_or(near.len())
    }

    /// Drops unclosed braces, up to the first closing brace on the line.
    fn unclosed_braces(&mut self) {
        let at = self.at;
        let mut end = self.line_end.from(at, self.bytes);
        if let Some(span) = self.spans.first() {
            end = end.min(span.start);
        }
        let found = memchr(b'}', &self.bytes[at..end]).map_or(end, |found| at + found);
        let close = found + run(self.bytes, found, b'}');
        self.skip(close.min(end), Gap::Block, Mark::Hole);
    }

    fn reference(&mut self) {
        const LONGEST: usize = 34;
        let at = self.at;
        let inside = |b: &&u8| b.is_ascii_alphanumeric() || **b == b'#';
        let length = 1 + self.bytes[at + 1..].iter().take(LONGEST).take_while(inside).count();
        self.begins_line = false;
        if length > 1 && self.bytes.get(at + length) == Some(&b';') {
            let written = &self.text[at..=at + length];
            self.lines.literal(&htmlize::unescape(written));
            self.at += length + 1;
        } else {
            self.show(1, "&");
        }
    }

    /// Drops `__NOTOC__` and similar words, in the letters of any language.
    fn underscore(&mut self) {
        const LONGEST: usize = 80;
        let at = self.at;
        let count = run(self.bytes, at, b'_');
        let end = (at + 2 + LONGEST).min(self.bytes.len());
        if count == 2
            && let Some(length) = memchr::memmem::find(&self.bytes[at + 2..end], b"__")
            && length > 0
            && self.text[at + 2..at + 2 + length].chars().all(|c| c.is_alphabetic() && !c.is_lowercase())
        {
            self.skip(at + length + 4, Gap::Block, Mark::Join);
        } else {
            self.begins_line = false;
            self.show(count, &self.text[at..at + count]);
        }
    }

    /// Shows `-{..}-` up to `end`: the text for all variants, or that for the first variant.
    fn variant(&mut self, end: usize) {
        let mut start = self.at + 2;
        let mut close = end - 2;
        let inside = &self.bytes[start..close];
        if let Some(pipe) = memchr(b'|', &inside[..inside.len().min(64)]) {
            // Rules for the rest of the page, its title, and descriptions are not shown here.
            if matches!(inside[..pipe].trim_ascii(), b"H" | b"T" | b"D" | b"-") {
                return self.skip(end, Gap::Inline, Mark::Join);
            }
            start += pipe + 1;
        }
        let inside = &self.bytes[start..close];
        if let Some(colon) = memchr(b':', &inside[..inside.len().min(64)]) {
            let code = inside[..colon].trim_ascii();
            if code.len() > 1 && code.iter().all(|b| b.is_ascii_lowercase() || *b == b'-') {
                start += colon + 1;
                close = memchr(b';', &inside[colon + 1..]).map_or(close, |found| start + found);
            }
        }
        self.begins_line = false;
        self.jumps.push((close, end));
        self.at = start;
    }
}
