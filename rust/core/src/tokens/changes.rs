//! Counts what the reference's text rules change in a text: letters that lose a mark, and capitals that become
//! lowercase.
//!
//! The rules were made for English. From other languages they remove umlauts, tone marks and the capitals of nouns, and
//! users may not notice before the model is trained. So commands check a sample of their input and report what changes.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;

use serde::Serialize;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;

use super::tokenizer::TextRules;
use crate::files::inputs::InputFile;
use crate::files::remote::is_remote;
use crate::files::source::{Meter, Source};
use crate::{Error, Result};

/// The number of slices to examine, spread evenly over all files, and the bytes of each.
const SLICES: u64 = 48;
const SLICE_BYTES: u64 = 16 << 10;
/// Of remote files, one in so many slices is read, and it is longer by that: each is a request.
const REMOTE: usize = 4;
/// The bytes of a compressed file, for each slice that begins in it. They are its beginning.
const COMPRESSED_BYTES: u64 = 64 << 10;
/// The most different words to keep for examples.
const WORDS: usize = 20_000;
/// The number of examples of each kind.
const EXAMPLES: usize = 3;

/// What was found in a sample.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Number of letters in the sample.
    pub letters: u64,
    /// Number of letters that lose accents, umlauts, tone marks or the like.
    pub marks: u64,
    /// Number of capital letters that become lowercase.
    pub capitals: u64,
    /// Number of letters that change in either way. Those that change in both ways count once.
    pub changed: u64,
    /// Number of words that do not begin a line or a sentence.
    pub inner_words: u64,
    /// Number of those words that begin with one capital letter.
    pub inner_capitals: u64,
    /// The most frequent words that lose a mark, before and after.
    pub mark_examples: Vec<(String, String)>,
    /// The most frequent words within sentences that lose only a capital letter, before and after.
    pub capital_examples: Vec<(String, String)>,
}

/// Counts what `rules` change in a sample of `files`. Skips standard input and pipes, which can be read only once. Also
/// skips files that cannot be read, because the actual reading reports them.
#[must_use]
pub fn changes(files: &[InputFile], rules: TextRules) -> Changes {
    let mut counter =
        Counter { rules, found: Changes::default(), marked: HashMap::default(), capital: HashMap::default() };
    let total: u64 = files.iter().map(|file| file.bytes).sum();
    let mut places: Vec<(&InputFile, Vec<u64>)> = Vec::new();
    let mut before = 0;
    for file in files.iter().filter(|file| file.is_seekable() && file.bytes > 0) {
        // The slices that begin in this file.
        let first = (before * SLICES).div_ceil(total);
        let offsets: Vec<_> =
            (first..SLICES).map(|i| i * total / SLICES).take_while(|&at| at < before + file.bytes).collect();
        if !offsets.is_empty() {
            let mut offsets: Vec<_> = offsets.into_iter().map(|at| at - before.min(at)).collect();
            // In small files, the slices overlap.
            offsets.dedup_by_key(|at| *at / SLICE_BYTES);
            places.push((file, offsets));
        }
        before += file.bytes;
    }
    for (file, offsets) in places {
        // An error here is reported when the file is actually read.
        let _ = counter.file(file, &offsets);
    }
    counter.finish()
}

struct Counter {
    rules: TextRules,
    found: Changes,
    marked: HashMap<String, u64>,
    capital: HashMap<String, u64>,
}

impl Counter {
    fn file(&mut self, file: &InputFile, offsets: &[u64]) -> Result<()> {
        let source = Source::open(file, None, 0, &Meter::default())?;
        let is_plain = !source.is_compressed();
        let remote: Vec<_> = offsets.iter().copied().step_by(REMOTE).collect();
        let length = SLICE_BYTES * REMOTE as u64;
        let slices = if is_plain && is_remote(&file.path) { file.slices(&remote, length)? } else { None };
        if let Some(slices) = slices {
            for (offset, bytes) in remote.into_iter().zip(slices) {
                self.slice(&bytes, offset > 0, bytes.len() as u64 == length);
            }
            return Ok(());
        }
        if !is_plain || is_remote(&file.path) {
            // Only the beginning can be read without reading all of it.
            let mut bytes = Vec::new();
            let most = COMPRESSED_BYTES * offsets.len().min(16) as u64;
            source
                .reader
                .take(most)
                .read_to_end(&mut bytes)
                .map_err(|error| Error::io("cannot read", &file.path, error))?;
            self.slice(&bytes, false, bytes.len() as u64 == most);
            return Ok(());
        }
        let error = |error| Error::io("cannot read", &file.path, error);
        let mut raw = file.open(&Arc::default())?;
        for &offset in offsets {
            let mut bytes = Vec::new();
            raw.seek(SeekFrom::Start(offset)).map_err(error)?;
            (&mut raw).take(SLICE_BYTES).read_to_end(&mut bytes).map_err(error)?;
            self.slice(&bytes, offset > 0, bytes.len() as u64 == SLICE_BYTES);
        }
        Ok(())
    }

    /// Counts the lines of a slice. The first and the last may be incomplete.
    fn slice(&mut self, bytes: &[u8], cut_before: bool, cut_behind: bool) {
        let start = if cut_before { memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1) } else { 0 };
        let end = if cut_behind { memchr::memrchr(b'\n', bytes).unwrap_or(bytes.len()) } else { bytes.len() };
        // If a line is longer than the slice, its words are counted.
        let (start, end) = if start < end { (start, end) } else { (0, bytes.len()) };
        let Some(bytes) = bytes.get(start..end) else { return };
        for line in String::from_utf8_lossy(bytes).lines() {
            self.line(line);
        }
    }

    fn line(&mut self, line: &str) {
        let mut begins = true;
        for word in line.split_whitespace() {
            let core = word.trim_matches(|c: char| !c.is_alphanumeric() && canonical_combining_class(c) == 0);
            let marks = self.count(core);
            if marks {
                self.note(core, true);
            }
            let mut characters = core.chars();
            let (first, second) = (characters.next(), characters.next());
            // A title, a name of two capitals or a capital at the start of a quotation says nothing about the language.
            if !begins && word.starts_with(char::is_alphabetic) {
                self.found.inner_words += 1;
                if first.is_some_and(char::is_uppercase) && second.is_some_and(char::is_lowercase) {
                    self.found.inner_capitals += 1;
                    if self.rules.lower_case && !marks {
                        self.note(core, false);
                    }
                }
            }
            begins = word.ends_with(['.', '!', '?', ':', ';', '…', '"', '”', '“', '»', '«']);
        }
    }

    /// Counts the letters of a word. Returns whether the word loses a mark.
    fn count(&mut self, word: &str) -> bool {
        let mut marks = false;
        // Whether the letter before a mark is already counted as changed, and as one that loses a mark.
        let (mut changed, mut lost) = (false, false);
        for c in word.chars() {
            let is_mark = canonical_combining_class(c) != 0;
            if !is_mark {
                (changed, lost) = (false, false);
            }
            let capital = self.rules.lower_case && c.is_uppercase();
            let marked = !self.rules.keep_accents
                && !c.is_ascii()
                && (is_mark || std::iter::once(c).nfkd().any(|c| canonical_combining_class(c) != 0));
            self.found.letters += u64::from(c.is_alphabetic() && !is_mark);
            self.found.capitals += u64::from(capital);
            self.found.marks += u64::from(marked && !lost);
            self.found.changed += u64::from((capital || marked) && !changed);
            changed |= capital || marked;
            lost |= marked;
            marks |= marked;
        }
        marks
    }

    fn note(&mut self, word: &str, marks: bool) {
        let known = if marks { &mut self.marked } else { &mut self.capital };
        if let Some(count) = known.get_mut(word) {
            *count += 1;
        } else if known.len() < WORDS && word.len() < 80 {
            known.insert(word.to_owned(), 1);
        }
    }

    fn finish(mut self) -> Changes {
        let mut after = String::new();
        let mut most = |words: HashMap<String, u64>| {
            let mut words: Vec<_> = words.into_iter().collect();
            // Of equally frequent words, long ones come first, because words of one or two letters show little.
            words.sort_by_key(|(word, count)| {
                let length = word.chars().count();
                (length < 4, Reverse(*count), Reverse(length), word.clone())
            });
            words.truncate(EXAMPLES);
            let example = |(word, _): (String, u64)| {
                self.rules.preprocess(&word, &mut after);
                (word, after.clone())
            };
            words.into_iter().map(example).collect()
        };
        self.found.mark_examples = most(self.marked);
        self.found.capital_examples = most(self.capital);
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::inputs::expand_inputs;

    const REFERENCE: TextRules = TextRules { lower_case: true, keep_accents: false };

    fn of(text: &str, rules: TextRules) -> Changes {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        changes(&expand_inputs(&[file.path()]).unwrap(), rules)
    }

    #[test]
    fn german_loses_umlauts_and_capitals() {
        let found = of("Der Müller erklärte die Sache.\n\nEr erklärte sie der Frau\n", REFERENCE);
        assert_eq!((found.letters, found.marks, found.capitals, found.changed), (45, 3, 5, 8));
        assert_eq!((found.inner_words, found.inner_capitals), (8, 3));
        assert_eq!(found.mark_examples[0], ("erklärte".into(), "erklarte".into()));
        assert_eq!(found.mark_examples[1], ("Müller".into(), "muller".into()));
        assert_eq!(found.capital_examples, [("Sache".into(), "sache".into()), ("Frau".into(), "frau".into())]);
    }

    #[test]
    fn the_rules_decide() {
        let text = "Der Müller erklärte die Sache.\n";
        let kept = of(text, TextRules { lower_case: true, keep_accents: true });
        assert_eq!((kept.marks, kept.capitals), (0, 3));
        let cased = of(text, TextRules { lower_case: false, keep_accents: false });
        assert_eq!((cased.marks, cased.capitals, cased.capital_examples.len()), (2, 0, 0));
        assert_eq!(
            cased.mark_examples,
            [("erklärte".into(), "erklarte".into()), ("Müller".into(), "Muller".into())],
            "of words that are equally frequent the longer first"
        );
    }

    #[test]
    fn marks_of_other_scripts() {
        for (text, marks) in [("o\u{301}pó", 2), ("plain words", 0), ("が", 1), ("한국어", 0), ("й", 1), ("हिन्दी", 1)]
        {
            assert_eq!(of(text, REFERENCE).marks, marks, "{text}");
        }
    }

    #[test]
    fn a_letter_counts_once_however_many_marks_it_has() {
        for text in ["a\u{301}\u{323}\u{302}b", "Ẹ\u{300}\u{304}b", "e\u{323}\u{301} e\u{323}\u{301}"] {
            let found = of(text, REFERENCE);
            assert_eq!((found.letters, found.marks, found.changed), (2, found.marks, found.marks), "{text}: {found:?}");
            assert!(found.changed <= found.letters);
        }
    }

    #[test]
    fn lines_longer_than_a_slice_are_counted() {
        let english = "plain words and nothing else ".repeat(6000);
        let german = "über alle Berge und schöne Täler ".repeat(6000);
        let found = of(&format!("{english}\n{german}\n{german}\n{german}\n"), REFERENCE);
        assert!(found.marks > 1000, "{found:?}");
    }

    #[test]
    fn a_sample_is_of_all_files_and_of_all_of_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let english = "plain words and nothing else\n".repeat(200_000);
        std::fs::write(dir.path().join("a.txt"), format!("{english}{}", "über alle Berge\n".repeat(100_000))).unwrap();
        let found = changes(&expand_inputs(&[dir.path()]).unwrap(), REFERENCE);
        assert!(found.marks > 1000 && found.letters < 4 << 20, "{found:?}");
        let one = changes(&expand_inputs(&[dir.path().join("a.txt"), dir.path().join("a.txt")]).unwrap(), REFERENCE);
        assert!(one.marks > 1000, "{one:?}");
        let compressed = crate::files::compress::gzip("über alles\n".as_bytes());
        std::fs::write(dir.path().join("a.txt"), compressed).unwrap();
        assert_eq!(changes(&expand_inputs(&[dir.path()]).unwrap(), REFERENCE).marks, 1);
        assert_eq!(changes(&expand_inputs(&["-"]).unwrap(), REFERENCE), Changes::default());
        assert_eq!(of("", REFERENCE), Changes::default());
    }
}
