//! Cleans one document: repairs it, drops boilerplate, splits it into sentences and applies the filters.

use std::collections::BTreeMap;

use regex::RegexSet;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};
use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

use super::hyphens;
use super::options::{CleanOptions, Reason};
use super::quality::Judge;
use super::read::raw::Document;
use super::sentences::{Splitter, is_text, split_long};
use super::summary::Counts;

/// Makes the hash of a line differ from that of a document with only this line.
const LINE_SEED: u64 = 0x6C69_6E65;

/// The lines of several documents in one buffer.
#[derive(Debug, Default)]
pub struct Lines {
    /// The lines of all documents, each with its newline.
    pub text: String,
    /// The end of each line in `text`, including its newline.
    pub ends: Vec<usize>,
    /// XXH3-128 of each line. Empty if lines are not compared.
    pub hashes: Vec<u128>,
    /// The documents that were kept, in order.
    pub documents: Vec<Kept>,
}

/// One document of [`Lines`].
#[derive(Debug, Clone)]
pub struct Kept {
    /// Its lines: a range of indices into [`Lines::ends`].
    pub lines: std::ops::Range<usize>,
    /// XXH3-128 of its lines.
    pub hash: u128,
}

impl Lines {
    /// Removes all documents, but keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.hashes.clear();
        self.documents.clear();
    }

    /// Frees memory beyond what `bytes` of text need.
    pub fn shrink_to(&mut self, bytes: usize) {
        self.text.shrink_to(bytes);
        self.ends.shrink_to(bytes / 16);
        self.hashes.shrink_to(bytes / 16);
        self.documents.shrink_to(bytes / 16);
    }

    /// Returns line `index`, including its newline.
    pub fn line(&self, index: usize) -> &str {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[index]]
    }

    /// Returns the text of all lines in `range`.
    pub fn text_of(&self, range: std::ops::Range<usize>) -> &str {
        let start = range.start.checked_sub(1).map_or(0, |before| self.ends[before]);
        let end = range.end.checked_sub(1).map_or(0, |last| self.ends[last]);
        &self.text[start..end.max(start)]
    }

    fn push(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
        self.ends.push(self.text.len());
    }
}

/// Cleans documents. Each thread has its own, and reuses its buffers.
pub struct Cleaner<'a> {
    options: &'a CleanOptions,
    boilerplate: Option<&'a RegexSet>,
    hash_lines: bool,
    judge: Option<Judge>,
    splitter: Splitter,
    paragraph: String,
    /// Positions in `paragraph`, in bytes, where something was removed.
    holes: Vec<usize>,
    repaired: String,
}

impl<'a> Cleaner<'a> {
    /// `boilerplate` is the compiled patterns of `options`, if any. `hash_lines` says whether lines will be compared.
    pub fn new(options: &'a CleanOptions, boilerplate: Option<&'a RegexSet>, hash_lines: bool) -> Self {
        Self {
            options,
            boilerplate,
            hash_lines,
            judge: None,
            splitter: Splitter::default(),
            paragraph: String::new(),
            holes: Vec::new(),
            repaired: String::new(),
        }
    }

    /// Also drops documents by the quality of their text.
    pub(super) fn judging(mut self, judge: Option<Judge>) -> Self {
        self.judge = judge;
        self
    }

    /// Returns the number of documents, by language, to which the rule about stop words was not applied.
    pub(super) fn without_stop_words(self) -> BTreeMap<String, u64> {
        self.judge.map_or_else(BTreeMap::new, |judge| judge.without_stop_words)
    }

    /// Appends `document`, which is in `language`, to `out`, unless a filter drops it. Calls `removed` with the reason
    /// and the text for everything dropped or split.
    pub fn clean(
        &mut self,
        document: &Document,
        language: &str,
        out: &mut Lines,
        counts: &mut Counts,
        removed: &mut dyn FnMut(Reason, &str),
    ) {
        let (first_line, first_byte) = (out.ends.len(), out.text.len());
        if let Some(judge) = &mut self.judge {
            judge.begin();
        }
        self.paragraphs(document, language, out, counts, removed);
        let lines = first_line..out.ends.len();
        let text = &out.text[first_byte..];
        let fault = || Some(Reason::Quality(self.judge.as_mut()?.fault(text, language)?));
        if let Some(reason) = why_dropped(self.options, lines.len(), text).or_else(fault) {
            counts.reject(reason);
            removed(reason, text);
            out.text.truncate(first_byte);
            out.ends.truncate(first_line);
            return;
        }
        let hash = xxh3_128(text.as_bytes());
        if self.hash_lines {
            for index in lines.clone() {
                let hash = xxh3_128_with_seed(out.line(index).as_bytes(), LINE_SEED);
                out.hashes.push(hash);
            }
        }
        out.documents.push(Kept { lines, hash });
    }

    fn paragraphs(
        &mut self,
        document: &Document,
        language: &str,
        out: &mut Lines,
        counts: &mut Counts,
        removed: &mut dyn FnMut(Reason, &str),
    ) {
        let mut paragraph = std::mem::take(&mut self.paragraph);
        paragraph.clear();
        self.holes.clear();
        let lines = document.text.split('\n');
        // A carriage return before a newline is part of the line end. One without a newline is an old line end.
        for line in lines.flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r')) {
            let trimmed = line.trim();
            if trimmed.is_empty() {
                if let Some(judge) = &mut self.judge {
                    judge.line("");
                }
                self.lines_of(&mut paragraph, language, out, counts, removed);
                continue;
            }
            if self.boilerplate.is_some_and(|patterns| patterns.is_match(trimmed)) {
                counts.boilerplate_lines += 1;
                removed(Reason::Boilerplate, trimmed);
                continue;
            }
            if let Some(judge) = &mut self.judge {
                judge.line(trimmed);
            }
            if !document.paragraph_a_line {
                let is_joined = hyphens::join(&mut paragraph, trimmed, language, self.options.join_hyphens);
                counts.joined_hyphens += u64::from(is_joined);
            }
            if !document.holes.is_empty() {
                let at = trimmed.as_ptr().addr() - document.text.as_ptr().addr();
                // So far, the line is the last in its paragraph.
                let before = if document.paragraph_a_line { 0 } else { paragraph.len() - trimmed.len() };
                let holes = within(&document.holes, at, trimmed.len());
                self.holes.extend(holes.iter().map(|hole| hole - at + before));
            }
            if document.paragraph_a_line {
                self.lines_of_paragraph(trimmed, language, out, counts, removed);
            }
        }
        self.lines_of(&mut paragraph, language, out, counts, removed);
        self.paragraph = paragraph;
    }

    fn lines_of(
        &mut self,
        paragraph: &mut String,
        language: &str,
        out: &mut Lines,
        counts: &mut Counts,
        removed: &mut dyn FnMut(Reason, &str),
    ) {
        if !paragraph.is_empty() {
            self.lines_of_paragraph(paragraph, language, out, counts, removed);
            paragraph.clear();
        }
    }

    fn lines_of_paragraph(
        &mut self,
        paragraph: &str,
        language: &str,
        out: &mut Lines,
        counts: &mut Counts,
        removed: &mut dyn FnMut(Reason, &str),
    ) {
        let mut text = paragraph;
        if self.options.repair && needs_repair(paragraph) {
            counts.repaired_characters += repair_and_move(paragraph, &mut self.holes, &mut self.repaired);
            text = &self.repaired;
        }
        let limit = self.options.max_sentence_bytes;
        let holes = &self.holes;
        let mut push = |sentence: &str| {
            if !is_text(sentence) {
                counts.reject(Reason::LetterlessLines);
                return removed(Reason::LetterlessLines, sentence);
            }
            if !holes.is_empty()
                && !within(holes, sentence.as_ptr().addr() - text.as_ptr().addr(), sentence.len()).is_empty()
            {
                counts.incomplete_sentences += 1;
                if self.options.drop_incomplete_sentences {
                    return removed(Reason::IncompleteSentences, sentence);
                }
            }
            if sentence.len() <= limit {
                out.push(sentence);
            } else {
                counts.sentences_cut += 1;
                removed(Reason::SentenceCut, sentence);
                split_long(sentence, limit, |piece| {
                    if is_text(piece) {
                        out.push(piece);
                    } else {
                        counts.letterless_lines += 1;
                    }
                });
            }
        };
        if self.options.sentences {
            self.splitter.split(language, text, push);
        } else if !text.trim().is_empty() {
            push(text.trim());
        }
        self.holes.clear();
    }
}

/// Returns those `holes` that are in the `length` bytes from `start`. `holes` is ascending.
fn within(holes: &[usize], start: usize, length: usize) -> &[usize] {
    let holes = &holes[holes.partition_point(|hole| *hole < start)..];
    &holes[..holes.partition_point(|hole| *hole < start + length)]
}

/// How [`repair`] treats a character.
enum Treatment {
    Keep,
    Space,
    Drop,
}

fn treatment(c: char) -> Treatment {
    if c.is_ascii_graphic() {
        return Treatment::Keep;
    }
    if c.is_whitespace() {
        return Treatment::Space;
    }
    match c {
        // Joiners affect the spelling of Persian and Indic words, and join emoji. Variation selectors and Mongolian
        // separators are parts of words. Tags make up the emoji of some flags.
        '\u{200C}'
        | '\u{200D}'
        | '\u{180B}'..='\u{180F}'
        | '\u{FE00}'..='\u{FE0F}'
        | '\u{E0100}'..='\u{E01EF}'
        | '\u{E0020}'..='\u{E007F}' => Treatment::Keep,
        _ if c.is_ascii() => Treatment::Drop,
        _ => match c.general_category() {
            GeneralCategory::Control | GeneralCategory::Unassigned if is_noncharacter(c) || c.is_control() => {
                Treatment::Drop
            }
            GeneralCategory::Format if !is_visible_format(c) => Treatment::Drop,
            _ => Treatment::Keep,
        },
    }
}

fn is_noncharacter(c: char) -> bool {
    matches!(c, '\u{FDD0}'..='\u{FDEF}') || u32::from(c) & 0xFFFE == 0xFFFE
}

/// Whether a format character is visible: number signs in Arabic, Syriac and Kaithi, and signs that arrange
/// hieroglyphs.
fn is_visible_format(c: char) -> bool {
    matches!(
        c,
        '\u{600}'..='\u{605}' | '\u{6DD}' | '\u{70F}' | '\u{890}' | '\u{891}' | '\u{8E2}' | '\u{110BD}' | '\u{110CD}'
    ) || matches!(c, '\u{13430}'..='\u{1343F}')
}

/// Whether [`repair`] would change anything.
fn needs_repair(text: &str) -> bool {
    let mut last = b'x';
    for &byte in text.as_bytes() {
        if byte < 0x20 || byte == 0x7F || (byte == b' ' && last == b' ') {
            return true;
        }
        if byte >= 0x80 {
            return needs_repair_beyond_ascii(text);
        }
        last = byte;
    }
    false
}

fn needs_repair_beyond_ascii(text: &str) -> bool {
    let mut last = 'x';
    for c in text.chars() {
        match treatment(c) {
            Treatment::Keep => {}
            Treatment::Space if c == ' ' && last != ' ' => {}
            _ => return true,
        }
        last = c;
    }
    false
}

/// Writes the repaired `text` to `out`, which is cleared first. A run of whitespace becomes one space. Control
/// characters, noncharacters and invisible format characters (soft hyphens, zero-width spaces, byte-order marks,
/// directional marks) are dropped. Joiners are kept.
///
/// Returns the number of characters dropped or replaced.
pub fn repair(text: &str, out: &mut String) -> u64 {
    repair_and_move(text, &mut [], out)
}

/// As [`repair`]. Also moves `holes`, ascending positions in `text`, to the corresponding positions in `out`.
fn repair_and_move(text: &str, holes: &mut [usize], out: &mut String) -> u64 {
    out.clear();
    let mut changed = 0;
    let mut after_space = false;
    let mut holes = holes.iter_mut().peekable();
    for (at, c) in text.char_indices() {
        while let Some(hole) = holes.next_if(|hole| **hole <= at) {
            *hole = out.len();
        }
        match treatment(c) {
            Treatment::Keep => {
                out.push(c);
                after_space = false;
            }
            Treatment::Space => {
                changed += u64::from(c != ' ' || after_space);
                if !after_space {
                    out.push(' ');
                }
                after_space = true;
            }
            Treatment::Drop => changed += 1,
        }
    }
    for hole in holes {
        *hole = out.len().saturating_sub(1);
    }
    changed
}

/// Returns the reason to drop a document, or `None` to keep it. `text` has `lines` lines, including newlines.
pub(super) fn why_dropped(options: &CleanOptions, lines: usize, text: &str) -> Option<Reason> {
    if lines == 0 {
        return Some(Reason::EmptyDocuments);
    }
    // This many bytes are enough characters of any length, so most documents need no counting.
    if text.len() < options.min_document_chars.saturating_mul(5)
        && text.chars().count() - lines < options.min_document_chars
    {
        return Some(Reason::ShortDocuments);
    }
    if lines < options.min_document_sentences {
        return Some(Reason::FewSentences);
    }
    (options.max_non_letters < 1.0 && fraction_of_non_letters(text) > options.max_non_letters)
        .then_some(Reason::NonLetters)
}

/// Returns the fraction of characters, not counting whitespace, that are neither letters nor combining marks.
fn fraction_of_non_letters(text: &str) -> f64 {
    let (mut letters, mut others) = (0_u64, 0_u64);
    for c in text.chars() {
        if c.is_ascii() {
            letters += u64::from(c.is_ascii_alphabetic());
            others += u64::from(!c.is_ascii_alphabetic() && !c.is_ascii_whitespace());
        } else if matches!(c.general_category_group(), GeneralCategoryGroup::Letter | GeneralCategoryGroup::Mark) {
            letters += 1;
        } else if !c.is_whitespace() {
            others += 1;
        }
    }
    if letters + others == 0 { 1.0 } else { others as f64 / (letters + others) as f64 }
}
