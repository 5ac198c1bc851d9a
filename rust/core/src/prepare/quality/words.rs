//! The rules about words.
//!
//! A word is a segment of UAX #29 that contains a letter or a digit. Scripts without spaces between words are segmented
//! with the dictionaries of ICU4X.

use icu_segmenter::options::WordBreakInvariantOptions;
use icu_segmenter::{WordSegmenter, WordSegmenterBorrowed};
use unicode_script::{Script, UnicodeScript};
use xxhash_rust::xxh3::xxh3_64;

use super::numbers::exceeds;
use super::stop_words::List;
use crate::prepare::sentences::is_combining;
use crate::unicode::is_written_without_spaces;

/// The minimum and maximum number of words.
const WORDS: std::ops::RangeInclusive<usize> = 50..=100_000;
/// The minimum and maximum mean length of a word in characters.
const LENGTHS: [u64; 2] = [3, 10];
/// The maximum number of hash signs, and of ellipses, per 100 words.
const MAX_SYMBOLS: u64 = 10;
/// The maximum percentage of words without a letter.
const MAX_WITHOUT_LETTER: u64 = 20;
/// The minimum number of different stop words.
const MIN_STOP_WORDS: usize = 2;

/// A word of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word {
    pub hash: u64,
    /// The number of characters, not counting combining marks.
    pub chars: u32,
}

/// The words of a document.
pub(super) struct Words {
    segmenter: WordSegmenterBorrowed<'static>,
    all: Vec<Word>,
    chars: u64,
    /// The number of characters of scripts whose words are shorter than in others, because a character stands for a
    /// syllable or a word, or that are written without spaces.
    dense_chars: u64,
    without_letter: u64,
    hashes: u64,
    ellipses: u64,
    /// The hashes of the first different stop words. `None` if the language has no list.
    found: Option<Vec<u64>>,
}

impl Default for Words {
    fn default() -> Self {
        Self {
            segmenter: WordSegmenter::new_dictionary(WordBreakInvariantOptions::default()),
            all: Vec::new(),
            chars: 0,
            dense_chars: 0,
            without_letter: 0,
            hashes: 0,
            ellipses: 0,
            found: None,
        }
    }
}

fn is_dense(c: char) -> bool {
    // Thai is the first of these scripts.
    c >= '\u{E00}' && (is_written_without_spaces(c) || c.script() == Script::Hangul)
}

impl Words {
    /// Reads a document. `stop_words` are those of its language, if there is a list.
    pub fn read(&mut self, text: &str, stop_words: Option<&List>) {
        self.all.clear();
        self.all.shrink_to(*WORDS.end());
        (self.chars, self.dense_chars, self.without_letter) = (0, 0, 0);
        self.hashes = text.matches('#').count() as u64;
        self.ellipses = text.matches("...").count() as u64 + text.matches('…').count() as u64;
        let mut found = Vec::with_capacity(MIN_STOP_WORDS);
        let mut start = 0;
        let mut ends = self.segmenter.segment_str(text).iter_with_word_type();
        ends.next();
        for (end, kind) in ends {
            let word = &text[start..end];
            start = end;
            if !kind.is_word_like() {
                continue;
            }
            let hash = xxh3_64(word.as_bytes());
            let (mut chars, mut has_letter) = (0, false);
            if word.is_ascii() {
                chars = word.len() as u32;
                has_letter = word.bytes().any(|byte| byte.is_ascii_alphabetic());
            } else {
                for c in word.chars() {
                    chars += u32::from(c < '\u{300}' || !is_combining(c));
                    has_letter |= c.is_alphabetic();
                    self.dense_chars += u64::from(is_dense(c));
                }
            }
            self.all.push(Word { hash, chars });
            self.chars += u64::from(chars);
            self.without_letter += u64::from(!has_letter);
            if found.len() < MIN_STOP_WORDS
                && stop_words.is_some_and(|list| list.contains(&hash))
                && !found.contains(&hash)
            {
                found.push(hash);
            }
        }
        self.found = stop_words.map(|_| found);
    }

    pub fn all(&self) -> &[Word] {
        &self.all
    }

    fn count(&self) -> u64 {
        self.all.len() as u64
    }

    pub fn count_is_usual(&self) -> bool {
        WORDS.contains(&self.all.len())
    }

    /// Whether the mean length is usual. It is not compared if most characters are of scripts with short words, or if
    /// there are no words.
    pub fn length_is_usual(&self) -> bool {
        let [least, most] = LENGTHS.map(|length| length * self.count());
        self.all.is_empty() || 2 * self.dense_chars > self.chars || (least..=most).contains(&self.chars)
    }

    pub fn has_many_symbols(&self) -> bool {
        exceeds(self.hashes, MAX_SYMBOLS, self.count()) || exceeds(self.ellipses, MAX_SYMBOLS, self.count())
    }

    pub fn are_alphabetic(&self) -> bool {
        !exceeds(self.without_letter, MAX_WITHOUT_LETTER, self.count())
    }

    pub fn lack_stop_words(&self) -> bool {
        self.found.as_ref().is_some_and(|found| found.len() < MIN_STOP_WORDS)
    }
}
