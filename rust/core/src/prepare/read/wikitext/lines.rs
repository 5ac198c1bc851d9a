//! Lines of a page to paragraphs, and what a gap leaves behind mended.

use crate::prepare::sentences::{is_closer, is_of_word, is_terminator};
use crate::unicode::is_written_without_spaces;

/// Stand in a line where something was left out, by what the gap does. No text holds them: [`Lines::text`] is not given
/// control characters.
const JOIN: char = '\0';
const SPACE: char = '\u{1}';
const HOLE: char = '\u{4}';

fn is_gap(c: char) -> bool {
    matches!(c, JOIN | SPACE | HOLE)
}

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

/// What a gap does to the words around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// They are one word.
    Join,
    /// They are two.
    Space,
    /// They are two, and their sentence lacks something.
    Hole,
}

/// The paragraphs of a page in the making.
pub(super) struct Lines<'a> {
    out: &'a mut String,
    /// Where in `out` a sentence lacks something, ascending.
    holes: Vec<usize>,
    paragraph: String,
    line: String,
    kind: Kind,
    gap: Option<Gap>,
    quotes: bool,
    /// Where in the line the first link to another site stands.
    external: Option<usize>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(out: &'a mut String) -> Self {
        let (paragraph, line) = (String::new(), String::new());
        let holes = Vec::new();
        Self { out, holes, paragraph, line, kind: Kind::Text, gap: None, quotes: false, external: None }
    }

    /// The page ends. Returns where it lacks something.
    pub(super) fn finish(mut self) -> Vec<usize> {
        self.end_block();
        self.holes
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
    pub(super) fn gap(&mut self, gap: Gap, mark: Mark) {
        self.line.push(match mark {
            Mark::Join => JOIN,
            Mark::Space => SPACE,
            Mark::Hole => HOLE,
        });
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

    /// A link to another site begins here.
    pub(super) fn external(&mut self) {
        self.external.get_or_insert(self.line.len());
    }

    /// The line ends.
    pub(super) fn end_line(&mut self) {
        let quotes = std::mem::take(&mut self.quotes);
        let external = self.external.take();
        if quotes {
            drop_quotes(&mut self.line);
        }
        let gap = self.gap.take();
        let kind = std::mem::take(&mut self.kind);
        let text = self.line.trim_matches(|c| c == ' ' || is_gap(c));
        // A formula on a line of its own is part of the sentence around it.
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

    /// The line ends, and the paragraph with it.
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
/// comma that nothing stands before, and a space between words. Adds to `holes` where a sentence lacks something.
fn tidy(text: &str, out: &mut String, holes: &mut Vec<usize>) {
    let start = out.len();
    let first_hole = holes.len();
    let mut space = false;
    let mut gap = None;
    let mut from = 0;
    // The gaps are control characters, and no others are there.
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
    // Brackets that were closed may have been the last that a hole stood in.
    let end = out.len().saturating_sub(1).max(start);
    for hole in &mut holes[first_hole..] {
        *hole = (*hole).min(end);
    }
}

/// A gap that no word follows yet.
struct OpenGap {
    /// Whether words on its sides are two.
    separates: bool,
    hole: Option<Hole>,
}

/// Where something is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hole {
    /// At a word, which may end the sentence: what stands behind the full stop is a note.
    AfterWord,
    /// Before the next word.
    AfterSpace,
}

/// Where the last character of `out` begins.
fn last_character(out: &str, start: usize) -> usize {
    out[start..].char_indices().next_back().map_or(start, |(at, _)| start + at)
}

/// Whether a space belongs between a word and the next, which nothing but a gap separates.
fn sets_off(last: Option<char>, next: &str) -> bool {
    let (Some(last), Some(next)) = (last, next.chars().next()) else { return false };
    if is_written_without_spaces(last) || is_written_without_spaces(next) {
        return false;
    }
    (is_of_word(last) && is_of_word(next)) || (is_terminator(last) && next.is_uppercase())
}

/// Whether a sentence ends with the text, in quotes or brackets or not.
fn ends_sentence(text: &str) -> bool {
    text.trim_end_matches(is_closer).ends_with(is_terminator)
}

/// What is left of `word`, the first after a `gap`, and whether a `space` goes before it; mends the end of `out`.
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
            // What stood in brackets by itself, a sentence does without.
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

/// Whether an item of a list is a sentence rather than a name or a title.
fn reads_as_prose(text: &str) -> bool {
    const WORDS: usize = 4;
    // A word of scripts without spaces has two characters or so.
    const CHARACTERS: usize = 8;
    let ends = text.trim_end_matches(|c| c == ' ' || is_closer(c)).ends_with(is_terminator);
    ends && (text.split(' ').filter(|word| word.contains(char::is_alphabetic)).nth(WORDS - 1).is_some()
        || text.chars().filter(|c| is_written_without_spaces(*c)).nth(CHARACTERS - 1).is_some())
}

/// Whether an item of a list is a book or paper: such items end with a full stop in many a bibliography. What tells is a
/// number of a book, or an author before a comma, a year, and a title that is set off.
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
