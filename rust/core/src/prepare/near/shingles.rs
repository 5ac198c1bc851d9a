//! Divides text into shingles: hashes of a number of consecutive words.
//!
//! A word is a run of letters, digits and marks. In a script that is written without spaces, each character is a word,
//! with the marks that follow it. Case, accents, punctuation and line ends make no difference: letters are lowercase and
//! decomposed (NFD), and marks that any script uses, such as accents and the vowel signs of Arabic, are left out. Vowel
//! signs that belong to a script, as in Thai or Hindi, stay.

use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};
use unicode_script::{Script, UnicodeScript};
use xxhash_rust::xxh3::xxh3_64;

use crate::unicode::is_written_without_spaces;

/// Finds the shingles of texts. Its buffers are reused.
#[derive(Debug, Default)]
pub(super) struct Shingles {
    /// A hash for each word.
    words: Vec<u64>,
    word: String,
    /// Whether `word` is a character of a script that is written without spaces.
    is_character: bool,
}

impl Shingles {
    /// Calls `each` with the shingles of `size` words in `text`, in order. A text with fewer words has one shingle of all
    /// of them. A text without words has none.
    pub fn of(&mut self, text: &str, size: usize, mut each: impl FnMut(u64)) {
        self.find_words(text);
        if self.words.is_empty() {
            return;
        }
        let size = size.min(self.words.len());
        for words in self.words.windows(size) {
            each(xxh3_64(bytemuck::cast_slice(words)));
        }
    }

    fn find_words(&mut self, text: &str) {
        self.words.clear();
        let mut rest = text;
        while !rest.is_empty() {
            // No normal form combines a character in ASCII with what comes before it, so what is between two of them
            // can be normalized by itself.
            let plain = rest.bytes().position(|byte| !byte.is_ascii()).unwrap_or(rest.len());
            for byte in rest.as_bytes()[..plain].iter().map(u8::to_ascii_lowercase) {
                if byte.is_ascii_alphanumeric() {
                    self.add_letter(byte.into());
                } else {
                    self.end_word();
                }
            }
            rest = &rest[plain..];
            let other = rest.bytes().position(|byte| byte.is_ascii()).unwrap_or(rest.len());
            for c in rest[..other].chars().flat_map(char::to_lowercase).nfd() {
                self.add(c);
            }
            rest = &rest[other..];
        }
        self.end_word();
    }

    fn add(&mut self, c: char) {
        match c.general_category_group() {
            GeneralCategoryGroup::Letter | GeneralCategoryGroup::Number if is_written_without_spaces(c) => {
                self.end_word();
                self.word.push(c);
                self.is_character = true;
            }
            GeneralCategoryGroup::Letter | GeneralCategoryGroup::Number => {
                // The form at the end of a word has no capital letter of its own.
                self.add_letter(if c == 'ς' { 'σ' } else { c });
            }
            GeneralCategoryGroup::Mark if c.script() == Script::Inherited => {}
            GeneralCategoryGroup::Mark if !self.word.is_empty() => self.word.push(c),
            // Such as joiners and soft hyphens, which stand within words.
            _ if c.general_category() == GeneralCategory::Format => {}
            _ => self.end_word(),
        }
    }

    fn add_letter(&mut self, c: char) {
        if self.is_character {
            self.end_word();
        }
        self.word.push(c);
    }

    fn end_word(&mut self) {
        if !self.word.is_empty() {
            self.words.push(xxh3_64(self.word.as_bytes()).to_le());
            self.word.clear();
        }
        self.is_character = false;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shingles(text: &str, size: usize) -> Vec<u64> {
        let mut all = Vec::new();
        Shingles::default().of(text, size, |shingle| all.push(shingle));
        all
    }

    fn count(text: &str) -> usize {
        shingles(text, 1).len()
    }

    #[test]
    fn words_of_several_scripts() {
        assert_eq!(count("One two, three-four.\nFive's 1.5!"), 8);
        assert_eq!(count("Straßenbahn für Käthe"), 3);
        assert_eq!(count("猫は眠る。Cats ネコ"), 7, "each character, and an English word");
        assert_eq!(count("ที่นี่"), 2, "consonants with their marks");
        assert_eq!(count("हिन्दी में"), 2, "marks within words");
        assert_eq!(count("كَتَبَ الوَلَد"), 2);
        assert_eq!(count("می\u{200c}خواهم"), 1, "a joiner is within a word");
        assert_eq!(count(" … — \n"), 0);
        assert_eq!(count(""), 0);
    }

    #[test]
    fn what_makes_no_difference() {
        let same = |a: &str, b: &str| assert_eq!(shingles(a, 2), shingles(b, 2), "{a:?} {b:?}");
        same("The cat, asleep.\nIt dreams", "the CAT asleep it «dreams»");
        same("Ko\u{308}nig Élan", "könig elan");
        same("كَتَبَ الوَلَد", "كتب الولد");
        same("ΟΔΟΣ ΟΔΟΣ", "οδός οδος");
        same("猫は、眠る", "猫 は 眠る");
        assert_ne!(shingles("one two", 2), shingles("onetwo", 2));
        assert_ne!(shingles("กิน", 2), shingles("กัน", 2), "vowel signs of Thai");
        assert_ne!(shingles("ab", 2), shingles("ba", 2));
    }

    #[test]
    fn short_texts_have_one_shingle() {
        assert_eq!(shingles("a b c d e f g", 5).len(), 3);
        assert_eq!(shingles("a b c d e", 5).len(), 1);
        assert_eq!(shingles("a b", 5).len(), 1);
        assert_eq!(shingles("A b!", 5), shingles("a B", 5));
        assert_ne!(shingles("a b", 5), shingles("a c", 5));
        assert!(shingles("!?", 5).is_empty());
    }

    proptest! {
        #[test]
        fn normal_forms_make_no_difference(text in "[a-cA-C \u{300}\u{327}\u{345}é가각ΣςกัิÅ\u{212b}.-]{0,20}") {
            let composed: String = text.nfc().collect();
            let decomposed: String = text.nfd().collect();
            prop_assert_eq!(shingles(&composed, 2), shingles(&decomposed, 2));
        }
    }
}
