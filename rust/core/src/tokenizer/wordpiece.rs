//! BERT's tokenizer (`tokenization.py`: `BasicTokenizer`, `WordpieceTokenizer`), as the reference uses it with a
//! `WordPiece` vocabulary.

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

use super::text::is_python_space;

/// Words of more characters are unknown.
const MAX_WORD_CHARACTERS: usize = 200;

/// A vocabulary and its rules.
#[derive(Debug)]
pub struct WordPiece {
    ids: HashMap<String, u32>,
    unknown: u32,
    lower_case: bool,
    keep_accents: bool,
}

impl WordPiece {
    /// Reads a vocabulary's lines: the entries in id order. An entry is a line's first field; a blank line is `" "`;
    /// one seen before takes no number (`load_vocab`).
    pub fn entries(vocabulary: &str) -> Vec<String> {
        let mut seen = std::collections::HashSet::new();
        let mut lines: Vec<&str> = vocabulary.split('\n').collect();
        if lines.last() == Some(&"") {
            lines.pop();
        }
        lines
            .iter()
            .map(|line| line.split(is_python_space).find(|field| !field.is_empty()).unwrap_or(" "))
            .filter(|entry| seen.insert(entry.to_owned()))
            .map(str::to_owned)
            .collect()
    }

    /// From the entries in id order; `unknown` is the id of `[UNK]`.
    pub fn new(entries: &[String], unknown: u32, lower_case: bool, keep_accents: bool) -> Self {
        let ids = entries.iter().enumerate().map(|(id, entry)| (entry.clone(), id as u32)).collect();
        Self { ids, unknown, lower_case, keep_accents }
    }

    /// Appends the ids of `text`. The ids of a text are those of its parts between spaces, one after the other.
    pub fn encode(&self, text: &str, out: &mut Vec<u32>) {
        let mut clean = String::with_capacity(text.len());
        for c in text.chars() {
            if is_bert_space(c) {
                clean.push(' ');
            } else if c == '\0' || c == '\u{fffd}' || is_control(c) {
            } else if is_chinese(c) {
                clean.extend([' ', c, ' ']);
            } else {
                clean.push(c);
            }
        }
        for token in clean.split(is_python_space).filter(|token| !token.is_empty()) {
            let mut word = if self.lower_case { token.to_lowercase() } else { token.to_owned() };
            if self.lower_case && !self.keep_accents {
                word = word.nfd().filter(|c| c.general_category() != GeneralCategory::NonspacingMark).collect();
            }
            let mut rest = word.as_str();
            while let Some(first) = rest.chars().next() {
                let end = if is_punctuation(first) {
                    first.len_utf8()
                } else {
                    rest.find(is_punctuation).unwrap_or(rest.len())
                };
                // Lower-casing and dropping marks can leave white space behind; the reference splits there again.
                for part in rest[..end].split(is_python_space).filter(|part| !part.is_empty()) {
                    self.encode_word(part, out);
                }
                rest = &rest[end..];
            }
        }
    }

    /// Greedy longest match first; a word that cannot be matched whole is unknown.
    fn encode_word(&self, word: &str, out: &mut Vec<u32>) {
        let first = out.len();
        if word.chars().nth(MAX_WORD_CHARACTERS).is_some() {
            out.push(self.unknown);
            return;
        }
        let mut key = String::with_capacity(word.len() + 2);
        let mut start = 0;
        while start < word.len() {
            let mut end = word.len();
            let found = loop {
                key.clear();
                if start > 0 {
                    key.push_str("##");
                }
                key.push_str(&word[start..end]);
                if let Some(&id) = self.ids.get(&key) {
                    break Some(id);
                }
                match word[start..end].char_indices().next_back() {
                    Some((last, _)) if last > 0 => end = start + last,
                    _ => break None,
                }
            };
            let Some(id) = found else {
                out.truncate(first);
                out.push(self.unknown);
                return;
            };
            out.push(id);
            start = end;
        }
    }
}

fn is_bert_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r') || (!c.is_ascii() && c.general_category() == GeneralCategory::SpaceSeparator)
}

fn is_control(c: char) -> bool {
    matches!(c.general_category(), GeneralCategory::Control | GeneralCategory::Format)
}

fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation() || (!c.is_ascii() && c.general_category_group() == GeneralCategoryGroup::Punctuation)
}

/// The CJK Unified Ideographs blocks that BERT spaces out.
fn is_chinese(c: char) -> bool {
    matches!(u32::from(c),
        0x4E00..=0x9FFF | 0x3400..=0x4DBF | 0x20000..=0x2A6DF | 0x2A700..=0x2B73F | 0x2B740..=0x2B81F
        | 0x2B820..=0x2CEAF | 0xF900..=0xFAFF | 0x2F800..=0x2FA1F)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vocabulary_file() {
        assert_eq!(WordPiece::entries("[PAD]\nthe 5\n\nthe\n##s\n"), ["[PAD]", "the", " ", "##s"]);
        assert_eq!(WordPiece::entries("a\n\n"), ["a", " "]);
    }

    #[test]
    fn the_rules() {
        let entries: Vec<String> =
            ["[UNK]", "un", "##aff", "##able", ",", "cafe", "漢", "!"].iter().map(ToString::to_string).collect();
        let tokenizer = WordPiece::new(&entries, 0, true, false);
        let encode = |text: &str| {
            let mut out = Vec::new();
            tokenizer.encode(text, &mut out);
            out
        };
        assert_eq!(encode("UNaffable, Café!"), [1, 2, 3, 4, 5, 7]);
        assert_eq!(encode("un\u{200b}aff 漢cafe unx"), [1, 2, 6, 5, 0]);
        assert_eq!(encode(&"un".repeat(101)), [0]);
        assert_eq!(encode(""), [0u32; 0]);
    }
}
