//! Lines of a page to paragraphs, and what a gap leaves behind mended.

use crate::tokenizer::text::is_written_without_spaces;

/// Stands in a line where something was left out. XML cannot hold it, and [`Lines::text`] is not given control characters.
const GAP: char = '\0';

/// What a line of wikitext is by its first character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Kind {
    /// Part of a paragraph.
    #[default]
    Text,
    /// A heading, if it ends as one.
    Heading,
    /// An item of a list, or an indented line.
    Item,
    /// A line of a table outside any.
    Stray,
}

/// How much of a line a gap takes with it when the line holds nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Gap {
    /// The line is as if it were not there.
    Inline,
    /// The line ends a paragraph.
    Block,
}

/// The paragraphs of a page in the making.
pub(super) struct Lines<'a> {
    out: &'a mut String,
    paragraph: String,
    line: String,
    kind: Kind,
    gap: Option<Gap>,
    quotes: bool,
}

impl<'a> Lines<'a> {
    pub(super) fn new(out: &'a mut String) -> Self {
        let (paragraph, line) = (String::new(), String::new());
        Self { out, paragraph, line, kind: Kind::Text, gap: None, quotes: false }
    }

    /// Says what the line is that begins.
    pub(super) fn begin(&mut self, kind: Kind) {
        self.kind = kind;
    }

    /// Appends to the line; no control characters.
    pub(super) fn text(&mut self, text: &str) {
        self.line.push_str(text);
    }

    /// Appends characters that stand for themselves, whatever they are.
    pub(super) fn literal(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                _ if c.is_whitespace() => self.line.push(' '),
                // What is written as a reference to be seen by no one: soft hyphens, marks of direction, zero width.
                '\u{ad}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2060}' | '\u{feff}' => {}
                _ if c.is_control() => {}
                _ => self.line.push(c),
            }
        }
    }

    /// Something was left out here.
    pub(super) fn gap(&mut self, gap: Gap) {
        self.line.push(GAP);
        self.gap = self.gap.max(Some(gap));
    }

    /// A run of two or more apostrophes.
    pub(super) fn quotes(&mut self, count: usize) {
        let marks = match count {
            4 => 3,
            _ => count.min(5),
        };
        self.line.extend(std::iter::repeat_n('\'', count - marks));
        self.line.push(char::from(marks as u8));
        self.quotes = true;
    }

    /// The line ends.
    pub(super) fn end_line(&mut self) {
        if std::mem::take(&mut self.quotes) {
            drop_quotes(&mut self.line);
        }
        let gap = self.gap.take();
        let kind = std::mem::take(&mut self.kind);
        let text = self.line.trim_matches([' ', GAP]);
        match kind {
            Kind::Text if text.is_empty() => {
                if gap != Some(Gap::Inline) {
                    self.end_paragraph();
                }
            }
            Kind::Heading if text.ends_with('=') || text.starts_with("==") => self.end_paragraph(),
            Kind::Text | Kind::Heading => self.join(),
            Kind::Stray => self.end_paragraph(),
            Kind::Item => {
                self.end_paragraph();
                let start = self.out.len();
                tidy(&self.line, self.out);
                if reads_as_prose(&self.out[start..]) {
                    self.out.push('\n');
                } else {
                    self.out.truncate(start);
                }
            }
        }
        self.line.clear();
    }

    /// The line ends, and the paragraph with it.
    pub(super) fn end_block(&mut self) {
        self.end_line();
        self.end_paragraph();
    }

    fn join(&mut self) {
        let line = self.line.trim_matches(' ');
        if !self.paragraph.is_empty() {
            let before = self.paragraph.chars().rev().find(|c| *c != GAP);
            let after = line.chars().find(|c| *c != GAP);
            if !(before.is_some_and(needs_no_space) && after.is_some_and(needs_no_space)) {
                self.paragraph.push(' ');
            }
        }
        self.paragraph.push_str(line);
    }

    fn end_paragraph(&mut self) {
        if self.paragraph.is_empty() {
            return;
        }
        let start = self.out.len();
        tidy(&self.paragraph, self.out);
        if self.out[start..].chars().any(char::is_alphabetic) {
            self.out.push('\n');
        } else {
            self.out.truncate(start);
        }
        self.paragraph.clear();
    }
}

fn needs_no_space(c: char) -> bool {
    // Full-width and ideographic punctuation brings its own space.
    matches!(c, '\u{3000}'..='\u{303f}' | '\u{ff00}'..='\u{ffef}') || is_written_without_spaces(c)
}

/// Takes the marks of bold and italics out of a line.
///
/// Where both are left open, one mark of three is an apostrophe and a mark of two (`l'''Avare''`), the one after a word
/// of one letter before others: MediaWiki's rule.
fn drop_quotes(line: &mut String) {
    const MARKS: [char; 3] = ['\u{2}', '\u{3}', '\u{5}'];
    let of = |marks: [char; 2]| line.chars().filter(|c| marks.contains(c)).count();
    let (italics, bold) = (of(['\u{2}', '\u{5}']), of(['\u{3}', '\u{5}']));
    let mut apostrophe = None;
    if italics % 2 == 1 && bold % 2 == 1 {
        // After a one-letter word, after a longer one, after a space: the first of the best.
        let rank = |at: usize| {
            let mut before = line[..at].chars().rev();
            match (before.next(), before.next()) {
                (None | Some(' '), _) => 2,
                (_, None | Some(' ')) => 0,
                _ => 1,
            }
        };
        apostrophe = line.match_indices('\u{3}').map(|(at, _)| (rank(at), at)).min().map(|(_, at)| at);
    }
    if let Some(at) = apostrophe {
        line.replace_range(at..=at, "'");
    }
    line.retain(|c| !MARKS.contains(&c));
}

/// Appends `text` with single spaces, its gaps closed: no space before a mark that a gap set free, no empty brackets, no
/// comma that nothing stands before.
fn tidy(text: &str, out: &mut String) {
    let start = out.len();
    let mut space = false;
    let mut gap = false;
    let mut from = 0;
    let special = memchr::memchr2_iter(b' ', 0, text.as_bytes());
    for at in special.chain([text.len()]) {
        let mut word = &text[from..at];
        if gap && !word.is_empty() {
            word = close_gap(word, start, &mut space, out);
        }
        if !word.is_empty() {
            if space && out.len() > start {
                out.push(' ');
            }
            out.push_str(word);
            (space, gap) = (false, false);
        }
        match text.as_bytes().get(at) {
            Some(b' ') => space = true,
            Some(_) => gap = true,
            None => {}
        }
        from = at + 1;
    }
}

/// What is left of `word`, the first after a gap, and whether a `space` goes before it; mends the end of `out`.
fn close_gap<'a>(mut word: &'a str, start: usize, space: &mut bool, out: &mut String) -> &'a str {
    while let Some(c) = word.chars().next() {
        let rest = &word[c.len_utf8()..];
        let last = out[start..].chars().next_back();
        if let Some(opening) = opening_of(c) {
            while out[start..].ends_with(is_separator) {
                out.pop();
                trim_end(out, start);
            }
            *space = false;
            if !out[start..].ends_with(opening) {
                return word;
            }
            out.pop();
            *space = out[start..].ends_with(' ');
            trim_end(out, start);
            word = rest;
        } else if is_separator(c) {
            if last.is_none_or(|last| is_separator(last) || is_opening(last)) {
                *space = last.is_some_and(is_separator);
                word = rest;
            } else {
                *space = false;
                return word;
            }
        } else if matches!(c, '.' | '!' | '?' | '…' | '。' | '！' | '？' | '।' | '؟' | '۔') {
            if !rest.starts_with(char::is_alphanumeric) {
                *space = false;
            }
            return word;
        } else if last.is_some_and(is_opening) {
            *space = false;
            return word;
        } else {
            return word;
        }
    }
    word
}

fn trim_end(out: &mut String, start: usize) {
    let end = start + out[start..].trim_end_matches(' ').len();
    out.truncate(end);
}

fn opening_of(closing: char) -> Option<char> {
    Some(match closing {
        ')' => '(',
        ']' => '[',
        '）' => '（',
        '］' => '［',
        '”' => '“',
        '»' => '«',
        _ => return None,
    })
}

fn is_opening(c: char) -> bool {
    matches!(c, '(' | '[' | '（' | '［' | '“' | '«')
}

fn is_separator(c: char) -> bool {
    matches!(c, ',' | ';' | ':' | '，' | '；' | '：' | '、' | '،' | '؛')
}

/// Whether an item of a list is a sentence rather than a name or a title.
fn reads_as_prose(text: &str) -> bool {
    const WORDS: usize = 4;
    // A word of scripts without spaces has two characters or so.
    const CHARACTERS: usize = 8;
    let end = text.trim_end_matches(|c: char| {
        matches!(c, ' ' | '"' | '\'' | '”' | '’' | '»' | '›' | ')' | ']' | '）' | '］' | '」' | '』' | '】' | '》')
    });
    let ends = end.ends_with(['.', '!', '?', '…', '。', '！', '？', '．', '।', '॥', '؟', '۔', '։', '።', '။', '។']);
    ends && (text.split(' ').filter(|word| word.contains(char::is_alphabetic)).nth(WORDS - 1).is_some()
        || text.chars().filter(|c| is_written_without_spaces(*c)).nth(CHARACTERS - 1).is_some())
}
