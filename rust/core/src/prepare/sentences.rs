//! Splits paragraphs into sentences.
//!
//! Boundaries are those of Unicode's UAX #29, as ICU4X finds them. Wikimedia's segmenter `sentencex` removes those
//! after abbreviations and initials, by its lists for each language. In English, it also adds boundaries that UAX #29
//! lacks, which never breaks before a lowercase letter. docs/corpus.md shows how each of the two does on paragraphs
//! with known sentences.

mod signs;
#[cfg(test)]
mod tests;
mod within;

use std::collections::HashMap;

use icu_segmenter::options::SentenceBreakInvariantOptions;
use icu_segmenter::{GraphemeClusterSegmenter, SentenceSegmenter, SentenceSegmenterBorrowed};
use sentencex::languages::{Language, get_fallbacks};

use self::signs::is_shad;
pub(super) use self::signs::{is_closer, is_combining, is_terminator, is_word_character};
use self::within::Word;

/// The maximum length in bytes of a UAX #29 sentence in which `sentencex` may add boundaries. Its run time grows faster
/// than the length of the text.
const LONGEST_FOR_ALL_RULES: usize = 16 << 10;

/// How many bytes before an initial to search for the previous word.
const LOOK_BACK: usize = 128;

/// Languages for which `sentencex` has rules of its own.
const WITH_RULES: [&str; 32] = [
    "am", "ar", "bg", "bn", "ca", "da", "de", "el", "en", "es", "fi", "fr", "gu", "hi", "hy", "it", "ja", "kk", "kn",
    "ml", "mr", "my", "nl", "pa", "pl", "pt", "ru", "sk", "ta", "te", "uk", "zh",
];

/// Languages in which "19." means "19th".
const WITH_ORDINALS: [&str; 23] = [
    "bs", "cs", "da", "de", "et", "fi", "fo", "gsw", "hr", "hu", "is", "lb", "lv", "nb", "nds", "nn", "no", "pl", "sh",
    "sk", "sl", "sr", "tr",
];

/// The rules of one language.
struct Rules {
    /// `None` if there is no list of abbreviations, not even for a related language.
    language: Option<Box<dyn Language>>,
    /// Whether `sentencex` may add boundaries.
    adds: bool,
    /// Whether a period after a number makes it an ordinal.
    ordinals: bool,
}

impl Rules {
    fn of(code: &str) -> Self {
        let language = has_rules(code, 0).then(|| sentencex::language_factory(code));
        Self { language, adds: code == "en", ordinals: WITH_ORDINALS.contains(&code) }
    }
}

/// Whether `sentencex` has rules for a language, or for one that it falls back to. Otherwise, it would use the English
/// ones, which contain abbreviations that are words in other languages.
fn has_rules(code: &str, depth: usize) -> bool {
    WITH_RULES.contains(&code)
        || (depth < 4
            && get_fallbacks(code).is_some_and(|codes| codes.first().is_some_and(|it| has_rules(it, depth + 1))))
}

/// Splits paragraphs. It is not shared between threads, but cheap to create.
pub struct Splitter {
    unicode: SentenceSegmenterBorrowed<'static>,
    rules: HashMap<String, Rules>,
    ends: Vec<usize>,
    word: Word,
}

impl Default for Splitter {
    fn default() -> Self {
        Self {
            unicode: SentenceSegmenter::new(SentenceBreakInvariantOptions::default()),
            rules: HashMap::new(),
            ends: Vec::new(),
            word: Word::default(),
        }
    }
}

impl Splitter {
    /// Calls `sentence` with the sentences of `paragraph` in order, without the whitespace around them.
    ///
    /// Text with neither a letter nor a digit is not a sentence by itself, so it is attached to the previous one. At
    /// the beginning of a paragraph, it is passed on as it is.
    pub fn split<'a>(&mut self, language: &str, paragraph: &'a str, mut sentence: impl FnMut(&'a str)) {
        self.find_ends(language, paragraph);
        let mut from = 0;
        let mut open: Option<(usize, usize)> = None;
        for &end in &self.ends {
            if end <= from {
                continue;
            }
            let mut piece = &paragraph[from..end];
            if let (Some((_, last)), Some(closer)) = (&mut open, leading_closer(piece)) {
                *last = from + closer;
                piece = &piece[closer..];
                from = *last;
            }
            let begin = from + (piece.len() - piece.trim_start().len());
            let finish = from + piece.trim_end().len();
            from = end;
            if begin >= finish {
                continue;
            }
            match &mut open {
                Some((_, last)) if !is_text(&paragraph[begin..finish]) => *last = finish,
                _ => {
                    if let Some((start, last)) = open.replace((begin, finish)) {
                        sentence(&paragraph[start..last]);
                    }
                }
            }
        }
        if let Some((start, last)) = open {
            sentence(&paragraph[start..last]);
        }
    }

    /// Finds the ends of the sentences in `paragraph`, ascending. The last is the end of the paragraph.
    fn find_ends(&mut self, language: &str, paragraph: &str) {
        if !self.rules.contains_key(language) {
            self.rules.insert(language.to_owned(), Rules::of(language));
        }
        let rules = &self.rules[language];
        self.ends.clear();
        self.word.clear();
        let mut start = 0;
        for end in self.unicode.segment_str(paragraph).skip(1) {
            let end = before_openers(paragraph, end);
            if end <= start {
                continue;
            }
            let Some(end) = self.word.place(paragraph, end) else { continue };
            let head = paragraph[..end].trim_end();
            if end < paragraph.len() && rules.join(head, &paragraph[head.len()..]) {
                continue;
            }
            add_after_ellipses(&paragraph[start..end], start, &mut self.ends);
            add_after_shads(&paragraph[start..end], start, &mut self.ends);
            if let Some(language) = rules.language.as_deref().filter(|_| rules.adds) {
                let word = &mut self.word;
                add_ends(language, &paragraph[start..end], |end| {
                    self.ends.extend(word.place(paragraph, start + end));
                });
            }
            self.ends.push(end);
            start = end;
        }
        self.ends.sort_unstable();
        if self.ends.last() != Some(&paragraph.len()) {
            self.ends.push(paragraph.len());
        }
    }
}

impl Rules {
    /// Whether no sentence ends between `head` and `after`, although UAX #29 has a boundary there.
    fn join(&self, head: &str, after: &str) -> bool {
        match head.strip_suffix('.') {
            Some(before) => self.is_abbreviation(before, after),
            None => continues(head, after),
        }
    }

    /// Whether the period between `before` and `after` marks an abbreviation, an ordinal or an initial, and does not
    /// end a sentence.
    fn is_abbreviation(&self, before: &str, after: &str) -> bool {
        if self.ordinals && ends_in_ordinal(before) {
            return true;
        }
        let Some(language) = &self.language else { return is_initial(before, after) };
        let last_word = language.get_last_word(before);
        let next = language.get_next_word_approx(after, 0);
        let is_ordinal = before.ends_with(|c: char| c.is_ascii_digit());
        language.period_suppresses_boundary(before, last_word, next)
            || (is_ordinal && language.continue_in_next_word(next))
            || (is_initial(before, after) && !language.next_word_is_sentence_starter(next))
    }
}

/// Whether a quoted or bracketed question or exclamation is followed by the rest of its sentence: "Why?" he asked.
fn continues(head: &str, after: &str) -> bool {
    let inner = head.trim_end_matches(is_closer);
    inner.len() < head.len() && inner.ends_with(['?', '!', '…']) && after.trim_start().starts_with(char::is_lowercase)
}

/// Returns `end`, or the position before opening marks that directly precede it. UAX #29 treats all brackets and
/// quotation marks as closing ones, so it assigns 「 to the previous sentence.
fn before_openers(paragraph: &str, end: usize) -> usize {
    use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};
    let opens = |c: char| {
        matches!(c.general_category(), GeneralCategory::OpenPunctuation | GeneralCategory::InitialPunctuation)
    };
    if end == paragraph.len() || paragraph[end..].starts_with(char::is_whitespace) {
        return end;
    }
    paragraph[..end].trim_end_matches(opens).len()
}

/// Whether `before` ends in a number of one or two digits that is not part of a longer one.
fn ends_in_ordinal(before: &str) -> bool {
    let head = before.trim_end_matches(|c: char| c.is_ascii_digit());
    matches!(before.len() - head.len(), 1 | 2) && !head.ends_with(['.', ',', ':', '-', '–', '/', '+', '%'])
}

/// Adds the ends after a one-character ellipsis before a capital, which UAX #29 lacks.
fn add_after_ellipses(piece: &str, start: usize, ends: &mut Vec<usize>) {
    let mut passed = 0;
    for (at, ellipsis) in piece.match_indices('…') {
        // Handles each run of ellipses once.
        if at < passed {
            continue;
        }
        let rest = &piece[at + ellipsis.len()..];
        let rest = rest.trim_start_matches(|c| is_closer(c) || c == '…');
        let next = rest.trim_start();
        passed = piece.len() - next.len();
        if next.len() < rest.len() && next.starts_with(char::is_uppercase) {
            ends.push(start + piece.len() - next.len());
        }
    }
}

/// Adds the ends after Tibetan shads, which UAX #29 lacks. A sentence may end in several, with spaces between them.
/// Many texts also have one before the first word.
fn add_after_shads(piece: &str, start: usize, ends: &mut Vec<usize>) {
    let mut from = 0;
    while let Some(at) = piece[from..].find(is_shad).map(|at| from + at) {
        let rest = piece[at..].trim_start_matches(|c| is_shad(c) || is_closer(c) || c == ' ');
        let end = piece.len() - rest.len();
        if is_text(&piece[from..at]) {
            ends.push(start + end);
        }
        from = end;
    }
}

/// Adds the ends that `sentencex` finds inside `piece`.
fn add_ends(language: &dyn Language, piece: &str, mut add: impl FnMut(usize)) {
    if piece.len() > LONGEST_FOR_ALL_RULES || !has_end_inside(piece) {
        return;
    }
    let mut end = 0;
    for sentence in language.segment(piece) {
        end += sentence.len();
        if end < piece.len() && piece.is_char_boundary(end) {
            add(end);
        }
    }
}

/// Whether `before` ends in the initial of a name: a single capital at the beginning, after a capitalized word, or
/// before another initial. `sentencex` knows only ASCII initials.
fn is_initial(before: &str, after: &str) -> bool {
    let mut characters = before.chars().rev();
    let is_capital = characters.next().is_some_and(char::is_uppercase);
    let is_alone = characters.next().is_none_or(|c| !c.is_alphanumeric());
    if !(is_capital && is_alone) {
        return false;
    }
    let mut next = after.trim_start().chars();
    if next.next().is_some_and(char::is_uppercase) && next.next() == Some('.') {
        return true;
    }
    // Capitals and periods may continue without end, so the search is bounded.
    let near = &before[before.ceil_char_boundary(before.len().saturating_sub(LOOK_BACK))..];
    let head = near.trim_end_matches(|c: char| c.is_uppercase() || c.is_whitespace() || c == '.');
    let word = head.rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    word.is_empty() || word.starts_with(char::is_uppercase)
}

/// Returns the end of a separate closing mark at the beginning of `piece`, as in French quotations: « Oui. »
fn leading_closer(piece: &str) -> Option<usize> {
    use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};
    let mut characters = piece.char_indices();
    let (_, first) = characters.next()?;
    let closes =
        matches!(first.general_category(), GeneralCategory::FinalPunctuation | GeneralCategory::ClosePunctuation);
    let end = characters.next().map_or(piece.len(), |(at, _)| at);
    (closes && (end == piece.len() || piece[end..].starts_with(char::is_whitespace))).then_some(end)
}

/// Whether `piece` contains a terminator followed by whitespace before its end.
fn has_end_inside(piece: &str) -> bool {
    let bytes = piece.trim_end().as_bytes();
    memchr::memchr3_iter(b'.', b'!', b'?', bytes).any(|at| {
        let after = bytes[at + 1..].iter().find(|byte| !matches!(byte, b'"' | b'\'' | b')' | b']'));
        after.is_some_and(u8::is_ascii_whitespace)
    })
}

/// Splits a sentence into pieces of at most `limit` bytes (at least 4). It is split at the last whitespace that fits;
/// otherwise after the last punctuation mark; otherwise between two grapheme clusters.
pub fn split_long(sentence: &str, limit: usize, mut piece: impl FnMut(&str)) {
    let limit = limit.max(4);
    let mut rest = sentence.trim();
    while rest.len() > limit {
        let fitting = &rest[..rest.floor_char_boundary(limit)];
        let next_is_space = rest[fitting.len()..].starts_with(char::is_whitespace);
        let at = if next_is_space { Some(fitting.len()) } else { fitting.rfind(char::is_whitespace) };
        let at = at
            .or_else(|| fitting.rfind(is_mark).map(|at| at + fitting[at..].chars().next().map_or(1, char::len_utf8)))
            .filter(|&at| at > 0)
            .unwrap_or_else(|| last_cluster(rest, fitting.len()));
        let head = rest[..at].trim_end();
        if !head.is_empty() {
            piece(head);
        }
        rest = rest[at..].trim_start();
    }
    if !rest.is_empty() {
        piece(rest);
    }
}

/// Whether there is a letter or a digit of any script. Only then is a line a sentence.
///
/// Braille and `SignWriting` count as letters here, although Unicode classifies them as symbols.
pub(super) fn is_text(text: &str) -> bool {
    text.contains(|c: char| c.is_alphanumeric() || matches!(c, '\u{2801}'..='\u{28FF}' | '\u{1D800}'..='\u{1DAAF}'))
}

/// Whether a character is punctuation of scripts written without spaces: CJK symbols and full-width forms.
pub(super) fn is_wide_mark(c: char) -> bool {
    matches!(c, '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{3011}' | '\u{FF00}'..='\u{FF65}')
}

fn is_mark(c: char) -> bool {
    use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};
    c.general_category_group() == GeneralCategoryGroup::Punctuation
}

/// Returns the end of the last whole grapheme cluster of `text` within `limit` bytes, or `limit` if there is none.
fn last_cluster(text: &str, limit: usize) -> usize {
    let window = &text[..text.floor_char_boundary(limit + 64)];
    let ends = GraphemeClusterSegmenter::new().segment_str(window).take_while(|&end| end <= limit);
    ends.last().filter(|&end| end > 0).unwrap_or(limit)
}
