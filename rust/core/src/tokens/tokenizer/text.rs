//! The reference's text rules (`tokenization.py`: `preprocess_text`, `is_start_piece`), with Python's definitions of
//! whitespace, lowercase and digits.

use unicode_normalization::char::{canonical_combining_class, decompose_compatible};
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

use crate::unicode::is_written_without_spaces;

/// Whether a character is whitespace for Python's `str.split`: Unicode's, and U+001C to U+001F.
pub fn is_python_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Python's `str.isdigit` for one character: `Numeric_Type` Decimal or Digit.
pub(super) fn is_python_digit(c: char) -> bool {
    // Numeric_Type=Digit is closed: Unicode does not give it to any more characters.
    const DIGITS: [(u32, u32); 20] = [
        (0xB2, 0xB3),
        (0xB9, 0xB9),
        (0x1369, 0x1371),
        (0x19DA, 0x19DA),
        (0x2070, 0x2070),
        (0x2074, 0x2079),
        (0x2080, 0x2089),
        (0x2460, 0x2468),
        (0x2474, 0x247C),
        (0x2488, 0x2490),
        (0x24EA, 0x24EA),
        (0x24F5, 0x24FD),
        (0x24FF, 0x24FF),
        (0x2776, 0x277E),
        (0x2780, 0x2788),
        (0x278A, 0x2792),
        (0x10A40, 0x10A43),
        (0x10E60, 0x10E68),
        (0x11052, 0x1105A),
        (0x1F100, 0x1F10A),
    ];
    c.is_ascii_digit()
        || (!c.is_ascii()
            && (c.general_category() == GeneralCategory::DecimalNumber
                || DIGITS.iter().any(|&(first, last)| (first..=last).contains(&u32::from(c)))))
}

/// Which of the reference's text rules apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextRules {
    /// Whether to apply `str.lower()`.
    pub lower_case: bool,
    /// Whether to skip NFKD and the dropping of combining marks.
    pub keep_accents: bool,
}

impl TextRules {
    /// The reference's `preprocess_text`: whitespace becomes single spaces, then NFKD, then every character with a
    /// combining class is dropped, then lowercase. Writes to `out` (cleared first). Spaces that NFKD creates remain.
    ///
    /// The result for a text consists of those for its words, joined by spaces.
    pub fn preprocess(self, text: &str, out: &mut String) {
        out.clear();
        // An ASCII text whose inner whitespace is single spaces needs no split. Its ends are trimmed.
        let text = text.trim_matches(is_python_space);
        let mut has_sigma = false;
        if text.is_ascii() && has_only_single_spaces(text.as_bytes()) {
            out.push_str(text);
        } else {
            for (index, word) in text.split(is_python_space).filter(|word| !word.is_empty()).enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                if word.is_ascii() || !self.lower_case && self.keep_accents {
                    out.push_str(word);
                } else {
                    has_sigma |= self.push_word(word, out);
                }
            }
        }
        if has_sigma {
            // Applies to the whole text, as in Python, because a final sigma depends on its neighbors. Whether these
            // are lowercase already changes nothing.
            *out = out.to_lowercase();
        } else if self.lower_case {
            out.make_ascii_lowercase();
        }
    }

    /// Appends what the rules make of a word, except that ASCII letters and capital sigmas are not yet lowercase.
    /// Returns whether there is a sigma to lowercase.
    fn push_word(self, word: &str, out: &mut String) -> bool {
        let mut has_sigma = false;
        let mut push = |c: char| {
            if !self.lower_case || c.is_ascii() {
                out.push(c);
            } else if c == 'Σ' {
                has_sigma = true;
                out.push(c);
            } else {
                out.extend(c.to_lowercase());
            }
        };
        if self.keep_accents {
            word.chars().for_each(push);
        } else {
            for c in word.chars() {
                // NFKD also sorts characters with combining classes, but all of these are dropped.
                decompose_compatible(c, |c| {
                    if canonical_combining_class(c) == 0 {
                        push(c);
                    }
                });
            }
        }
        has_sigma
    }
}

/// Whether an ASCII text has no whitespace except single spaces.
fn has_only_single_spaces(text: &[u8]) -> bool {
    let is_other_space = |byte: u8| matches!(byte, b'\t'..=b'\r' | 0x1C..=0x1F);
    // Without branches and exits, so that many bytes are compared at once.
    let others = text.iter().fold(0, |found, &byte| found | u8::from(is_other_space(byte)));
    let pairs = text.iter().zip(text.iter().skip(1));
    pairs.fold(others, |found, (&byte, &next)| found | u8::from(byte == b' ' && next == b' ')) == 0
}

/// The single characters that begin a word under the reference's rule.
const START_PUNCTUATION: &str = "!\"#$%&()*+,-./:;?@[\\]^_`{|}~";

/// The reference's `_is_start_piece_sp`: whether a piece begins a word. Every piece does that is not made of ASCII
/// letters and punctuation. Digits and apostrophes do too.
pub fn is_start_piece(piece: &str) -> bool {
    let plain = |c: char| {
        let mut lower = c.to_lowercase();
        let first = lower.next();
        lower.next().is_none() && first.is_some_and(|c| c.is_ascii_lowercase() || START_PUNCTUATION.contains(c))
    };
    let mut characters = piece.chars();
    let single = characters.next().is_some_and(|c| START_PUNCTUATION.contains(c)) && characters.next().is_none();
    single || piece.starts_with('▁') || piece.starts_with('<') || !piece.chars().all(plain)
}

/// Whether a piece begins a word according to Unicode. A piece does if it begins with `▁` or in a script written
/// without spaces, or if it has only punctuation and symbols (except apostrophes, which occur within words).
pub fn is_word_start(piece: &str) -> bool {
    let is_mark = |c: char| {
        !matches!(c, '\'' | '’')
            && matches!(c.general_category_group(), GeneralCategoryGroup::Punctuation | GeneralCategoryGroup::Symbol)
    };
    piece.starts_with('▁')
        || piece.chars().next().is_some_and(is_written_without_spaces)
        || (!piece.is_empty() && piece.chars().all(is_mark))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use unicode_normalization::UnicodeNormalization;

    fn preprocess(text: &str, lower_case: bool, keep_accents: bool) -> String {
        let mut out = String::new();
        TextRules { lower_case, keep_accents }.preprocess(text, &mut out);
        out
    }

    /// The rules in the order of the reference, one step after the other.
    fn in_steps(text: &str, lower_case: bool, keep_accents: bool) -> String {
        let words: Vec<&str> = text.split(is_python_space).filter(|word| !word.is_empty()).collect();
        let mut text = words.join(" ");
        if !keep_accents {
            text = text.nfkd().filter(|&c| canonical_combining_class(c) == 0).collect();
        }
        if lower_case { text.to_lowercase() } else { text }
    }

    /// Texts of characters that the rules change, or that decide about a sigma.
    const ODD: &str = "[ -~\0\t\n\r\u{b}\u{1c}-\u{20}\u{85}\u{a0}\u{1680}\u{2000}-\u{200b}\u{2028}\u{3000}ΣσςİıẞßǅÅK\
                       𝚺´\u{300}-\u{345}\u{5b0}\u{e38}\u{1100}\u{1161}\u{11a8}한글ﬁﬃ①½ｱﾞＡ漢가Ж:'’]{0,40}";

    proptest! {
        #[test]
        fn the_rules_do_what_their_steps_do(
            text in prop_oneof![ODD, "[aΣ'.\u{301}İ ]{0,12}", "[a-zA-Z \t]{0,80}", ".{0,30}"],
            lower_case: bool,
            keep_accents: bool,
        ) {
            let found = preprocess(&text, lower_case, keep_accents);
            prop_assert_eq!(found, in_steps(&text, lower_case, keep_accents));
        }
    }

    #[test]
    fn every_character_is_changed_as_in_steps() {
        for c in '\0'..=char::MAX {
            let text = c.to_string();
            for keep_accents in [false, true] {
                assert_eq!(preprocess(&text, true, keep_accents), in_steps(&text, true, keep_accents), "{c:?}");
            }
            if c.to_lowercase().ne([c]) {
                for text in [format!("aΣ{c}"), format!("{c}Σ"), format!("{c}Σ{c}'{c}Σ. Σ{c} Σ")] {
                    for keep_accents in [false, true] {
                        assert_eq!(preprocess(&text, true, keep_accents), in_steps(&text, true, keep_accents), "{c:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn white_space_is_pythons() {
        assert_eq!(preprocess("\t a\u{1c}b\u{a0}c\u{3000}d\u{200b}e\r\n", true, false), "a b c d\u{200b}e");
        assert_eq!(preprocess(" \u{85}\u{2028} ", true, false), "");
    }

    #[test]
    fn accents_and_case() {
        assert_eq!(preprocess("Ångström ﬁn", true, false), "angstrom fin");
        assert_eq!(preprocess("Ångström ﬁn", false, false), "Angstrom fin");
        assert_eq!(preprocess("Ångström ﬁn", true, true), "ångström ﬁn");
        assert_eq!(preprocess("ΟΔΟΣ ΣΑΣ", true, true), "οδος σας");
        assert_eq!(preprocess("a ´ b", false, false), "a   b", "the space in the decomposition of U+00B4 stays");
    }

    #[test]
    fn start_pieces_of_the_reference() {
        for piece in ["▁a", "<unk>", "!", "a1", "'", "'s", "é", "`", "=", "K'"] {
            assert!(is_start_piece(piece), "{piece}");
        }
        for piece in ["a", "ING", "a-b", "..", "-s", "\u{212a}"] {
            assert!(!is_start_piece(piece), "{piece}");
        }
    }

    #[test]
    fn word_starts_by_unicode() {
        for piece in ["▁a", "!", "...", "=", "漢字", "ก", "ー", "€", "“"] {
            assert!(is_word_start(piece), "{piece}");
        }
        for piece in ["a", "é", "'", "’", "'s", "12", "ия", "-a", "한"] {
            assert!(!is_word_start(piece), "{piece}");
        }
    }

    #[test]
    fn digits_are_pythons() {
        for c in "0٣७²①፩𐩀".chars() {
            assert!(is_python_digit(c), "{c}");
        }
        for c in "a½Ⅷ三,\0".chars() {
            assert!(!is_python_digit(c), "{c}");
        }
    }
}
