//! The characters that have pieces, and their scripts.

use regex::Regex;
use unicode_script::{Script, UnicodeScript};

use super::Options;
use super::words::{chars, count_chars};
use crate::{Error, Result};

/// U+2585 replaces each character without a piece.
pub(super) const UNKNOWN: &str = "▅";

/// The characters that have pieces whatever their scores.
#[derive(Debug)]
pub(super) struct Alphabet {
    /// By descending count, equal ones by code point.
    pub by_count: Vec<(char, u64)>,
    /// By code point.
    kinds: Vec<Option<Kind>>,
}

/// What decides whether a character may stand beside another one in a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `▁`.
    Space,
    /// Goes with all neighbors.
    Any,
    /// Takes the script of the character before it.
    Inherited,
    /// Goes with the same script only.
    Script(Script),
}

impl Alphabet {
    /// Chooses the most frequent characters of `words`, until they cover the fraction that the options ask for.
    pub fn new<'a>(words: impl Iterator<Item = (&'a [u8], u64)>, options: &Options) -> Result<Self> {
        let mut counts = count_chars(words);
        counts.remove(&'\0');
        let total: u64 = counts.values().sum();
        if total == 0 {
            return Err(Error::input("the input has no text to train on; pass files with one sentence per line"));
        }
        let required: Vec<char> = options.required_chars.chars().filter(|&c| c != '\0').collect();
        let mut sorted: Vec<(bool, u64, char)> = counts.iter().map(|(&c, &count)| (false, count, c)).collect();
        for &c in &required {
            match sorted.iter_mut().find(|entry| entry.2 == c) {
                Some(entry) => entry.0 = true,
                None => sorted.push((true, 0, c)),
            }
        }
        sorted.sort_unstable_by(|a, b| (b.0, b.1).cmp(&(a.0, a.1)).then(a.2.cmp(&b.2)));
        let mut covered = 0;
        let mut by_count = Vec::new();
        for (_, count, c) in sorted {
            if (covered as f64 / total as f64) as f32 >= options.character_coverage as f32 {
                break;
            }
            covered += count;
            if c != '\u{1F}' {
                by_count.push((c, count));
            }
        }
        by_count.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        let rule = KindRule::new(options);
        let last = by_count.iter().map(|&(c, _)| c as usize).max().unwrap_or(0);
        let mut kinds = vec![None; last + 1];
        for &(c, _) in &by_count {
            kinds[c as usize] = Some(rule.kind(c));
        }
        Ok(Self { by_count, kinds })
    }

    /// Whether a character has a piece.
    pub fn contains(&self, c: char) -> bool {
        self.kind(c).is_some()
    }

    /// The kind of a character that has a piece.
    pub fn kind(&self, c: char) -> Option<Kind> {
        self.kinds.get(c as usize).copied().flatten()
    }

    /// Whether all characters of a word have pieces.
    pub fn has_all(&self, word: &[u8]) -> bool {
        chars(word).all(|c| self.contains(c))
    }

    /// Writes `word` to `out` with [`UNKNOWN`] in place of each character without a piece.
    pub fn replace(&self, word: &[u8], out: &mut Vec<u8>) {
        out.clear();
        for c in chars(word) {
            if self.contains(c) {
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                out.extend_from_slice(UNKNOWN.as_bytes());
            }
        }
    }
}

/// Finds the [`Kind`] of characters as `SentencePiece`'s table of scripts has it, which is that of Unicode 9.
struct KindRule {
    in_unicode_9: Regex,
    digits_go_with_all: bool,
}

impl KindRule {
    fn new(options: &Options) -> Self {
        Self {
            in_unicode_9: Regex::new(r"\p{age=9.0}").expect("a valid expression"),
            digits_go_with_all: !options.split_by_number,
        }
    }

    fn kind(&self, c: char) -> Kind {
        if c == '▁' {
            return Kind::Space;
        }
        if self.digits_go_with_all && is_decimal_digit(c) {
            return Kind::Any;
        }
        let script = match c {
            'ー' => Script::Han,
            // Scripts that later versions of Unicode changed.
            '\u{589}' | '\u{61C}' => Script::Common,
            '\u{953}' | '\u{954}' => Script::Devanagari,
            _ if !self.in_unicode_9.is_match(c.encode_utf8(&mut [0; 4])) => Script::Common,
            _ => c.script(),
        };
        match script {
            Script::Inherited => Kind::Inherited,
            Script::Hiragana | Script::Katakana => Kind::Script(Script::Han),
            Script::Unknown => Kind::Script(Script::Common),
            script => Kind::Script(script),
        }
    }
}

/// Whether `SentencePiece` takes a character for a digit.
pub(super) fn is_decimal_digit(c: char) -> bool {
    matches!(c, '0'..='9' | '０'..='９')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rarest_characters_are_left_out() {
        let text = format!("{}{}c", "a".repeat(60), "b".repeat(40));
        let of = |coverage, required: &str| {
            let options =
                Options { character_coverage: coverage, required_chars: required.into(), ..Options::default() };
            let alphabet = Alphabet::new(std::iter::once((text.as_bytes(), 1)), &options).unwrap();
            alphabet.by_count.iter().map(|&(c, _)| c).collect::<String>()
        };
        assert_eq!(of(0.98, ""), "ab");
        assert_eq!(of(1.0, ""), "abc");
        assert_eq!(of(0.98, "xc"), "abcx");
    }

    #[test]
    fn scripts_are_those_of_unicode_9() {
        let rule = KindRule::new(&Options::default());
        for (c, kind) in [
            ('a', Kind::Script(Script::Latin)),
            ('1', Kind::Script(Script::Common)),
            ('ー', Kind::Script(Script::Han)),
            ('あ', Kind::Script(Script::Han)),
            ('\u{301}', Kind::Inherited),
            ('\u{953}', Kind::Script(Script::Devanagari)),
            // Added in Unicode 11.
            ('\u{1C90}', Kind::Script(Script::Common)),
            ('▁', Kind::Space),
        ] {
            assert_eq!(rule.kind(c), kind, "{c:?}");
        }
        let rule = KindRule::new(&Options { split_by_number: false, ..Options::default() });
        assert_eq!(rule.kind('７'), Kind::Any);
    }
}
