//! How a normalized line is cut into words.

use std::collections::HashMap;

use super::Options;
use crate::tokens::tokenizer::normalizer::{SPACE_SYMBOL, char_length};
use crate::tokens::tokenizer::trie::Trie;

/// Stands for a special piece in the text, so that no other piece crosses it.
const BOUNDARY: u8 = 0x1F;

/// How lines are cut into words.
#[derive(Debug, Clone, Copy)]
pub(super) struct WordsOf {
    /// Whether they are cut at `▁`.
    pub split: bool,
    /// Whether `▁` ends words instead of beginning them.
    pub suffix: bool,
    /// Whether a run of `▁` is not cut.
    pub runs: bool,
}

/// Writes `text` to `out` with a boundary in place of each special piece.
pub(super) fn mark(symbols: &Trie, text: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let mut at = 0;
    while at < text.len() {
        if let Some((length, _)) = symbols.longest_prefix(&text[at..]) {
            out.push(BOUNDARY);
            at += length;
        } else {
            let length = char_length(text[at]).min(text.len() - at);
            out.extend_from_slice(&text[at..at + length]);
            at += length;
        }
    }
}

impl WordsOf {
    pub fn new(options: &Options) -> Self {
        Self {
            split: options.split_by_whitespace,
            suffix: options.treat_whitespace_as_suffix,
            runs: options.allow_whitespace_only_pieces,
        }
    }

    /// Calls `visit` with each word of `text`.
    pub fn each<'a>(self, text: &'a [u8], mut visit: impl FnMut(&'a [u8])) {
        if text.is_empty() {
            return;
        }
        if !self.split {
            return visit(text);
        }
        let is_space = |at: usize| text[at..].starts_with(SPACE_SYMBOL);
        let mut start = 0;
        let mut was_space = is_space(0);
        let mut at = char_length(text[0]).min(text.len());
        while at < text.len() {
            let space = is_space(at);
            let begins = match (self.suffix, self.runs) {
                (false, false) => space,
                (false, true) => space && !was_space,
                (true, false) => was_space,
                (true, true) => was_space && !space,
            };
            if begins {
                visit(&text[start..at]);
                start = at;
            }
            was_space = space;
            at += char_length(text[at]).min(text.len() - at);
        }
        visit(&text[start..]);
    }
}

/// Counts of characters in words.
pub(super) fn count_chars<'a>(words: impl Iterator<Item = (&'a [u8], u64)>) -> HashMap<char, u64> {
    let mut ascii = [0u64; 128];
    let mut counts = HashMap::new();
    for (word, count) in words {
        if count == 0 {
            continue;
        }
        for c in chars(word) {
            match ascii.get_mut(c as usize) {
                Some(it) => *it += count,
                None => *counts.entry(c).or_default() += count,
            }
        }
    }
    counts.extend((0..128u8).filter(|&c| ascii[c as usize] > 0).map(|c| (c as char, ascii[c as usize])));
    counts
}

/// The characters of a word. Words are parts of UTF-8 text cut between characters.
pub(super) fn chars(word: &[u8]) -> std::str::Chars<'_> {
    std::str::from_utf8(word).expect("words are UTF-8").chars()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str, suffix: bool, runs: bool) -> Vec<String> {
        let mut words = Vec::new();
        let words_of = WordsOf { split: true, suffix, runs };
        words_of.each(text.as_bytes(), |word| words.push(String::from_utf8_lossy(word).into_owned()));
        words
    }

    #[test]
    fn words_begin_or_end_with_a_space() {
        assert_eq!(words("▁ab▁▁c", false, false), ["▁ab", "▁", "▁c"]);
        assert_eq!(words("▁ab▁▁c", false, true), ["▁ab", "▁▁c"]);
        assert_eq!(words("ab▁▁c▁", true, false), ["ab▁", "▁", "c▁"]);
        assert_eq!(words("ab▁▁c▁", true, true), ["ab▁▁", "c▁"]);
    }
}
