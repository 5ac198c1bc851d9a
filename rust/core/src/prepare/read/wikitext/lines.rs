//! Collects the lines of a page into paragraphs, and repairs the text around gaps.

use crate::prepare::sentences::{is_closer, is_terminator, is_word_character};
use crate::unicode::is_written_without_spaces;

/// Mark gaps in a line, by their effect. [`Lines::text`] gets no control characters, so text does not contain these.
const JOIN: char = '\0';
const SPACE: char = '\u{1}';
const HOLE: char = '\u{4}';

fn is_gap(c: char) -> bool {
    matches!(c, JOIN | SPACE | HOLE)
}

/// The kind of a wikitext line, by its first character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Kind {
    /// Part of a paragraph.
    #[default]
    Text,
    /// A heading, if it also ends like one.
    Heading,
    /// A list item, or an indented line.
    Item,
    /// A table row outside a table.
    Stray,
}

/// What a gap does to a line that contains nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Gap {
    /// The line is ignored.
    Inline,
    /// The line ends a paragraph.
    Block,
}

/// What a gap does to the words around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// They become one word.
    Join,
    /// They remain two words.
    Space,
    /// They remain two words, and their sentence lacks something.
    Hole,
}

/// Builds the paragraphs of a page.
pub(super) struct Lines<'a> {
    out: &'a mut String,
    /// Positions in `out` where a sentence lacks something, ascending.
    holes: Vec<usize>,
    paragraph: String,
    line: String,
    kind: Kind,
    gap: Option<Gap>,
    quotes: bool,
    /// The position in the line of the first link to another site.
    external: Option<usize>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(out: &'a mut String) -> Self {
        let (paragraph, line) = (String::new(), String::new());
        let holes = Vec::new();
        Self { out, holes, paragraph, line, kind: Kind::Text, gap: None, quotes: false, external: None }
    }

    /// Ends the page. Returns the positions where it lacks something.
    pub(super) fn finish(mut self) -> Vec<usize> {
        self.end_block();
        self.holes
    }

    /// Sets the kind of the line that begins.
    pub(super) fn begin(&mut self, kind: Kind) {
        self.kind = kind;
    }

    /// Appends text without control characters to the line.
    pub(super) fn text(&mut self, text: &str) {
        self.line.push_str(text);
    }

    /// Appends characters that have no meaning as markup.
    pub(super) fn literal(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                _ if c.is_whitespace() => self.line.push(' '),
                // Invisible characters written as references: soft hyphens, directional marks, characters of zero
                // width.
                '\u{ad}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2060}' | '\u{feff}' => {}
                _ if c.is_control() => {}
                _ => self.line.push(c),
            }
        }
    }

    /// Notes a gap.
    pub(super) fn gap(&mut self, gap: Gap, mark: Mark) {
        self.line.push(match mark {
            Mark::Join => JOIN,
            Mark::Space => SPACE,
            Mark::Hole => HOLE,
        });
        self.gap = self.gap.max(Some(gap));
    }

    /// Handles a run of two or more apostrophes.
    pub(super) fn quotes(&mut self, count: usize) {
        let marks = match count {
            4 => 3,
            _ => count.min(5),
        };
        self.line.extend(std::iter::repeat_n('\'', count - marks));
        self.line.push(char::from(marks as u8));
        self.quotes = true;
    }

    /// Notes the beginning of a link to another site.
    pub(super) fn external(&mut self) {
        self.external.get_or_insert(self.line.len());
    }

    pub(super) fn end_line(&mut self) {
        let quotes = std::mem::take(&mut self.quotes);
        let external = self.external.take();
        if quotes {
            drop_quotes(&mut self.line);
        }
        let gap = self.gap.take();
        let kind = std::mem::take(&mut self.kind);
        let text = self.line.trim_matches(|c| c == ' ' || is_gap(c));
        // A formula on its own line belongs to the sentence around it.
        let is_formula = text.is_empty() && gap == Some(Gap::Inline) && self.line.contains(HOLE);
        match kind {
            Kind::Text if is_formula => self.join(),
            Kind::Text if text.is_empty() => {
                if gap != Some(Gap::Inline) {
                    self.end_paragraph();
                }
            }
            Kind::Heading if text.ends_with('=') || text.starts_with("==") => self.end_paragraph(),
            Kind::Text | Kind::Heading => self.join(),
            Kind::Stray => self.end_paragraph(),
            Kind::Item => {
                if is_formula {
                    self.join();
                }
                self.end_paragraph();
                if is_formula {
                    self.line.clear();
                    return;
                }
                let start = self.out.len();
                tidy(&self.line, self.out, &mut self.holes);
                let item = &self.out[start..];
                let names_title = quotes || external.is_some() || item.contains(['"', '“', '«']);
                if reads_as_prose(item) && external != Some(0) && !is_source(item, names_title) {
                    self.out.push('\n');
                } else {
                    self.truncate(start);
                }
            }
        }
        self.line.clear();
    }

    /// Ends the line and the paragraph.
    pub(super) fn end_block(&mut self) {
        self.end_line();
        self.end_paragraph();
    }

    fn join(&mut self) {
        let line = self.line.trim_matches(' ');
        if !self.paragraph.is_empty() {
            let before = self.paragraph.chars().rev().find(|c| !is_gap(*c));
            let after = line.chars().find(|c| !is_gap(*c));
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
        tidy(&self.paragraph, self.out, &mut self.holes);
        if self.out[start..].chars().any(char::is_alphabetic) {
            self.out.push('\n');
        } else {
            self.truncate(start);
        }
        self.paragraph.clear();
    }

    fn truncate(&mut self, start: usize) {
        self.out.truncate(start);
        while self.holes.last().is_some_and(|hole| *hole >= start) {
            self.holes.pop();
        }
    }
}

fn needs_no_space(c: char) -> bool {
    // Full-width and ideographic punctuation includes its own space.
    matches!(c, '\u{3000}'..='\u{303f}' | '\u{ff00}'..='\u{ffef}') || is_written_without_spaces(c)
}

/// Removes the marks of bold and italics from a line.
///
/// If both are left open, one mark of three is an apostrophe and a mark of two, as in `l'''Avare''`. As in MediaWiki,
/// preferably this is a mark after a one-letter word.
fn drop_quotes(line: &mut String) {
    const MARKS: [char; 3] = ['\u{2}', '\u{3}', '\u{5}'];
    let of = |marks: [char; 2]| line.chars().filter(|c| marks.contains(c)).count();
    let (italics, bold) = (of(['\u{2}', '\u{5}']), of(['\u{3}', '\u{5}']));
    let mut apostrophe = None;
    if italics % 2 == 1 && bold % 2 == 1 {
        // In this order: after a one-letter word, after a longer one, after a space. The first of the best counts.
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

/// Appends `text` with single spaces and closed gaps. There are no spaces before a punctuation mark next to a gap, no
/// empty brackets, no comma at the beginning. Words around a gap are separated. Adds positions to `holes` where a
/// sentence lacks something.
fn tidy(text: &str, out: &mut String, holes: &mut Vec<usize>) {
    let start = out.len();
    let first_hole = holes.len();
    let mut space = false;
    let mut gap = None;
    let mut from = 0;
    // Gaps are control characters, and there are no others.
    let special = text.bytes().enumerate().filter(|(_, byte)| *byte <= b' ').map(|(at, _)| at);
    for at in special.chain([text.len()]) {
        let mut word = &text[from..at];
        if let Some(gap) = &mut gap
            && !word.is_empty()
        {
            word = close_gap(word, start, &mut space, gap, out);
        }
        if !word.is_empty() {
            let hole = gap.take().and_then(|gap| {
                let last = out[start..].chars().next_back();
                space |= gap.separates && sets_off(last, word);
                gap.hole
            });
            if hole == Some(Hole::AfterWord) && (!space || !ends_sentence(&out[start..])) {
                holes.push(last_character(out, start));
            }
            if space && out.len() > start {
                out.push(' ');
            }
            if hole == Some(Hole::AfterSpace) {
                holes.push(out.len());
            }
            out.push_str(word);
            space = false;
        }
        let mark = text[at..].chars().next();
        match mark {
            Some(' ') => space = true,
            Some(mark) => {
                let gap = gap.get_or_insert(OpenGap { separates: false, hole: None });
                gap.separates |= mark != JOIN;
                if mark == HOLE {
                    let is_after_space = space || out.len() == start;
                    gap.hole.get_or_insert(if is_after_space { Hole::AfterSpace } else { Hole::AfterWord });
                }
            }
            None => {}
        }
        from = at + 1;
    }
    if gap.is_some_and(|gap| gap.hole.is_some()) && out.len() > start && !ends_sentence(&out[start..]) {
        holes.push(last_character(out, start));
    }
    // A hole may have been in brackets that were removed at the end.
    let end = out.len().saturating_sub(1).max(start);
    for hole in &mut holes[first_hole..] {
        *hole = (*hole).min(end);
    }
}

/// A gap after which no word has followed yet.
struct OpenGap {
    /// Whether the words around it are two.
    separates: bool,
    hole: Option<Hole>,
}

/// The position of something missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hole {
    /// At the end of a word, which may end the sentence. After a full stop, what is missing was a note.
    AfterWord,
    /// Before the next word.
    AfterSpace,
}

/// Returns the position of the last character of `out`.
fn last_character(out: &str, start: usize) -> usize {
    out[start..].char_indices().next_back().map_or(start, |(at, _)| start + at)
}

/// Whether a space is needed between two words that only a gap separates.
fn sets_off(last: Option<char>, next: &str) -> bool {
    let (Some(last), Some(next)) = (last, next.chars().next()) else { return false };
    if is_written_without_spaces(last) || is_written_without_spaces(next) {
        return false;
    }
    (is_word_character(last) && is_word_character(next)) || (is_terminator(last) && next.is_uppercase())
}

/// Whether the text ends a sentence, perhaps inside quotes or brackets.
fn ends_sentence(text: &str) -> bool {
    text.trim_end_matches(is_closer).ends_with(is_terminator)
}

/// Returns the rest of `word`, the first after a `gap`, and sets whether a `space` precedes it. Repairs the end of
/// `out`.
fn close_gap<'a>(mut word: &'a str, start: usize, space: &mut bool, gap: &mut OpenGap, out: &mut String) -> &'a str {
    while let Some(c) = word.chars().next() {
        let rest = &word[c.len_utf8()..];
        let last = out[start..].chars().next_back();
        if let Some(opening) = opening_of(c) {
            while out[start..].ends_with(is_separator) {
                out.pop();
                trim_end(out, start);
                if is_bracket(opening) {
                    gap.hole = None;
                }
            }
            *space = false;
            if !out[start..].ends_with(opening) {
                return word;
            }
            // A sentence does not need what was alone in brackets.
            if is_bracket(opening) {
                gap.hole = None;
            }
            out.pop();
            *space = out[start..].ends_with(' ');
            trim_end(out, start);
            word = rest;
        } else if is_separator(c) {
            if last.is_none_or(|last| is_separator(last) || is_opening(last)) {
                if last.is_some_and(is_bracket) {
                    gap.hole = None;
                }
                *space = last.is_some_and(is_separator);
                word = rest;
            } else {
                *space = false;
                return word;
            }
        } else if is_terminator(c) {
            if !rest.starts_with(char::is_alphanumeric) {
                *space = false;
            }
            return word;
        } else if c == '"' && last == Some('"') && !*space {
            out.pop();
            *space = out[start..].ends_with(' ');
            trim_end(out, start);
            word = rest;
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

fn is_bracket(c: char) -> bool {
    matches!(c, '(' | '[' | '（' | '［')
}

fn is_separator(c: char) -> bool {
    matches!(c, ',' | ';' | ':' | '，' | '；' | '：' | '、' | '،' | '؛')
}

/// Whether a list item is a sentence, not a name or title.
fn reads_as_prose(text: &str) -> bool {
    const WORDS: usize = 4;
    // In scripts without spaces, a word has about two characters.
    const CHARACTERS: usize = 8;
    let ends = text.trim_end_matches(|c| c == ' ' || is_closer(c)).ends_with(is_terminator);
    ends && (text.split(' ').filter(|word| word.contains(char::is_alphabetic)).nth(WORDS - 1).is_some()
        || text.chars().filter(|c| is_written_without_spaces(*c)).nth(CHARACTERS - 1).is_some())
}

/// Whether a list item is a book or paper. In many bibliographies, such items end with a full stop. They have the
/// number of a book, or an author before a comma, a year and a distinct title.
fn is_source(text: &str, names_title: bool) -> bool {
    const AUTHOR: usize = 40;
    if ["ISBN", "ISSN"].iter().any(|word| text.contains(word)) {
        return true;
    }
    let comma = text.find(", ").is_some_and(|at| at < AUTHOR && text[..at].split(' ').count() < 4);
    names_title
        && comma
        && text.split(|c: char| !c.is_ascii_digit()).any(|n| n.len() == 4 && ("1500".."2100").contains(&n))
}
