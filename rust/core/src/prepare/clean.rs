//! One document, from its raw text to lines: repaired, its boilerplate dropped, split into sentences, measured.

use regex::RegexSet;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};
use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

use super::hyphens;
use super::options::{CleanOptions, Reason};
use super::read::raw::Document;
use super::sentences::{Splitter, cut, is_text};
use super::summary::Counts;

/// Keeps the hashes of lines apart from those of documents, which may be of one line.
const LINE_SEED: u64 = 0x6C69_6E65;

/// The lines of some documents, in one buffer.
#[derive(Debug, Default)]
pub struct Lines {
    /// The lines of all documents, each with its newline.
    pub text: String,
    /// Where each line ends in `text`, newline included.
    pub ends: Vec<usize>,
    /// XXH3-128 of each line; empty where lines are not compared.
    pub hashes: Vec<u128>,
    /// What was kept, in order.
    pub documents: Vec<Kept>,
}

/// One document of [`Lines`].
#[derive(Debug, Clone)]
pub struct Kept {
    /// Its lines, as a range of [`Lines::ends`].
    pub lines: std::ops::Range<usize>,
    /// XXH3-128 of its lines.
    pub hash: u128,
}

impl Lines {
    /// Forgets the contents.
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.hashes.clear();
        self.documents.clear();
    }

    /// Lets go of memory beyond what `bytes` of text need.
    pub fn shrink_to(&mut self, bytes: usize) {
        self.text.shrink_to(bytes);
        self.ends.shrink_to(bytes / 16);
        self.hashes.shrink_to(bytes / 16);
        self.documents.shrink_to(bytes / 16);
    }

    /// Line `index`, newline included.
    pub fn line(&self, index: usize) -> &str {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[index]]
    }

    /// All lines in `range`.
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

/// Cleans documents. One for each thread; the buffers are reused.
pub struct Cleaner<'a> {
    options: &'a CleanOptions,
    boilerplate: Option<&'a RegexSet>,
    hash_lines: bool,
    splitter: Splitter,
    paragraph: String,
    /// Bytes of `paragraph` at which something is missing.
    holes: Vec<usize>,
    repaired: String,
}

impl<'a> Cleaner<'a> {
    /// `boilerplate`: the compiled patterns of `options`, if there are any; `hash_lines`: whether lines will be compared.
    pub fn new(options: &'a CleanOptions, boilerplate: Option<&'a RegexSet>, hash_lines: bool) -> Self {
        Self {
            options,
            boilerplate,
            hash_lines,
            splitter: Splitter::default(),
            paragraph: String::new(),
            holes: Vec::new(),
            repaired: String::new(),
        }
    }

    /// Adds `document`, of `language`, to `out` unless a filter takes it; `removed` is told what goes, and why.
    pub fn clean(
        &mut self,
        document: &Document,
        language: &str,
        out: &mut Lines,
        counts: &mut Counts,
        removed: &mut dyn FnMut(Reason, &str),
    ) {
        let (first_line, first_byte) = (out.ends.len(), out.text.len());
        self.paragraphs(document, language, out, counts, removed);
        let lines = first_line..out.ends.len();
        let text = &out.text[first_byte..];
        if let Some(reason) = why_dropped(self.options, lines.len(), text) {
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
        // A carriage return before the newline belongs to the line end; one by itself is a line end of old.
        for line in lines.flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r')) {
            let trimmed = line.trim();
            if trimmed.is_empty() {
                self.lines_of(&mut paragraph, language, out, counts, removed);
                continue;
            }
            if self.boilerplate.is_some_and(|patterns| patterns.is_match(trimmed)) {
                counts.boilerplate_lines += 1;
                removed(Reason::Boilerplate, trimmed);
                continue;
            }
            if !document.paragraph_a_line {
                let is_joined = hyphens::join(&mut paragraph, trimmed, language, self.options.join_hyphens);
                counts.joined_hyphens += u64::from(is_joined);
            }
            if !document.holes.is_empty() {
                let at = trimmed.as_ptr().addr() - document.text.as_ptr().addr();
                // The line is the last of its paragraph.
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
                cut(sentence, limit, |piece| {
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

/// Those of `holes`, which ascend, in the `length` bytes from `start` on.
fn within(holes: &[usize], start: usize, length: usize) -> &[usize] {
    let holes = &holes[holes.partition_point(|hole| *hole < start)..];
    &holes[..holes.partition_point(|hole| *hole < start + length)]
}

/// What [`repair`] does to a character.
enum Mend {
    Keep,
    Space,
    Drop,
}

fn mend(c: char) -> Mend {
    if c.is_ascii_graphic() {
        return Mend::Keep;
    }
    if c.is_whitespace() {
        return Mend::Space;
    }
    match c {
        // Joiners decide how Persian and Indic words are written, and hold emoji together; variation selectors and the
        // separators of Mongolian belong to words; tags make flags of emoji.
        '\u{200C}'
        | '\u{200D}'
        | '\u{180B}'..='\u{180F}'
        | '\u{FE00}'..='\u{FE0F}'
        | '\u{E0100}'..='\u{E01EF}'
        | '\u{E0020}'..='\u{E007F}' => Mend::Keep,
        _ if c.is_ascii() => Mend::Drop,
        _ => match c.general_category() {
            GeneralCategory::Control | GeneralCategory::Unassigned if is_noncharacter(c) || c.is_control() => {
                Mend::Drop
            }
            GeneralCategory::Format if !is_visible_format(c) => Mend::Drop,
            _ => Mend::Keep,
        },
    }
}

fn is_noncharacter(c: char) -> bool {
    matches!(c, '\u{FDD0}'..='\u{FDEF}') || u32::from(c) & 0xFFFE == 0xFFFE
}

/// Format characters that are seen: the number signs of Arabic, Syriac and Kaithi, and those of hieroglyphs.
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
        match mend(c) {
            Mend::Keep => {}
            Mend::Space if c == ' ' && last != ' ' => {}
            _ => return true,
        }
        last = c;
    }
    false
}

/// Writes `text` to `out` (cleared first): every run of white space one space, without control characters, invisible
/// format characters (soft hyphens, zero-width spaces, byte-order marks, directional marks) and noncharacters. Joiners stay.
///
/// Returns how many characters were dropped or became another.
pub fn repair(text: &str, out: &mut String) -> u64 {
    repair_and_move(text, &mut [], out)
}

/// The same. Moves `holes`, which are bytes of `text` and ascend, to where they lie in `out`.
fn repair_and_move(text: &str, holes: &mut [usize], out: &mut String) -> u64 {
    out.clear();
    let mut changed = 0;
    let mut after_space = false;
    let mut holes = holes.iter_mut().peekable();
    for (at, c) in text.char_indices() {
        while let Some(hole) = holes.next_if(|hole| **hole <= at) {
            *hole = out.len();
        }
        match mend(c) {
            Mend::Keep => {
                out.push(c);
                after_space = false;
            }
            Mend::Space => {
                changed += u64::from(c != ' ' || after_space);
                if !after_space {
                    out.push(' ');
                }
                after_space = true;
            }
            Mend::Drop => changed += 1,
        }
    }
    for hole in holes {
        *hole = out.len().saturating_sub(1);
    }
    changed
}

/// Why a document of `lines` lines, `text` with its newlines, goes; none where it stays.
pub(super) fn why_dropped(options: &CleanOptions, lines: usize, text: &str) -> Option<Reason> {
    if lines == 0 {
        return Some(Reason::EmptyDocuments);
    }
    // Most documents have as many bytes as would do for characters of any width.
    if text.len() < options.min_document_chars.saturating_mul(5)
        && text.chars().count() - lines < options.min_document_chars
    {
        return Some(Reason::ShortDocuments);
    }
    if lines < options.min_document_sentences {
        return Some(Reason::FewSentences);
    }
    (options.max_non_letters < 1.0 && share_of_non_letters(text) > options.max_non_letters)
        .then_some(Reason::NonLetters)
}

/// Share of the characters of `text`, white space not counted, that are neither letters nor marks on them.
fn share_of_non_letters(text: &str) -> f64 {
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
