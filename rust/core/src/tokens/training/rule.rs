//! Which strings may be pieces.

use unicode_script::Script;

use super::Options;
use super::alphabet::{Alphabet, Kind, is_decimal_digit};

/// The rule that pieces follow.
#[derive(Debug)]
pub(super) struct PieceRule<'a> {
    alphabet: &'a Alphabet,
    longest: usize,
    split_scripts: bool,
    split_digits: bool,
    split_words: bool,
    space_ends_words: bool,
    runs_of_spaces: bool,
}

impl<'a> PieceRule<'a> {
    pub fn new(alphabet: &'a Alphabet, options: &Options) -> Self {
        Self {
            alphabet,
            longest: options.max_sentencepiece_length as usize,
            split_scripts: options.split_by_unicode_script,
            split_digits: options.split_digits,
            split_words: options.split_by_whitespace,
            space_ends_words: options.treat_whitespace_as_suffix,
            runs_of_spaces: options.allow_whitespace_only_pieces,
        }
    }

    /// Whether a string of at least two characters may be a piece.
    pub fn allows(&self, piece: &str) -> bool {
        let length = piece.chars().count();
        if length < 2 || length > self.longest {
            return false;
        }
        let only_spaces = self.runs_of_spaces && piece.chars().all(|c| c == '▁');
        let mut before: Option<Script> = None;
        for (place, c) in piece.chars().enumerate() {
            let is_last = place + 1 == length;
            let script = match self.alphabet.kind(c) {
                None => return false,
                Some(Kind::Space) => {
                    if !only_spaces && !self.allows_space(place, is_last) {
                        return false;
                    }
                    continue;
                }
                Some(Kind::Inherited) => before,
                Some(Kind::Any) => None,
                Some(Kind::Script(script)) => Some(script),
            };
            if self.split_digits && is_decimal_digit(c) {
                return false;
            }
            if self.split_scripts && before.is_some() && script.is_some() && before != script {
                return false;
            }
            before = script;
        }
        true
    }

    fn allows_space(&self, place: usize, is_last: bool) -> bool {
        match (self.space_ends_words, self.split_words) {
            (true, true) => is_last,
            (true, false) => is_last || place > 0,
            (false, true) => place == 0,
            (false, false) => place == 0 || !is_last,
        }
    }

    /// Whether no piece has `a` and `b` beside each other, in this order.
    pub fn separates(&self, a: char, b: char) -> bool {
        let (Some(left), Some(right)) = (self.alphabet.kind(a), self.alphabet.kind(b)) else {
            return true;
        };
        if self.split_digits && (is_decimal_digit(a) || is_decimal_digit(b)) {
            return true;
        }
        match (left, right) {
            (Kind::Script(left), Kind::Script(right)) => self.split_scripts && left != right,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(options: &Options, piece: &str) -> bool {
        let text = "▁ab1-あア漢e\u{301}я";
        let alphabet = Alphabet::new(std::iter::once((text.as_bytes(), 1)), &Options::default()).unwrap();
        PieceRule::new(&alphabet, options).allows(piece)
    }

    #[test]
    fn pieces_have_one_script_and_one_space() {
        let options = Options::default();
        for piece in ["ab", "▁ab", "あア漢", "e\u{301}e", "▁1-"] {
            assert!(allows(&options, piece), "{piece}");
        }
        for piece in ["a", "a1", "aя", "a▁", "a▁b", "▁▁", "az", "a\u{301}я"] {
            assert!(!allows(&options, piece), "{piece}");
        }
        assert!(!allows(&Options { max_sentencepiece_length: 2, ..Options::default() }, "aba"));
    }

    #[test]
    fn options_allow_more_or_less() {
        let runs = Options { allow_whitespace_only_pieces: true, ..Options::default() };
        assert!(allows(&runs, "▁▁") && !allows(&runs, "▁▁a"));
        let suffix = Options { treat_whitespace_as_suffix: true, ..Options::default() };
        assert!(allows(&suffix, "a▁") && !allows(&suffix, "▁a"));
        let across = Options { split_by_whitespace: false, ..Options::default() };
        assert!(allows(&across, "▁a▁b") && !allows(&across, "a▁"));
        let numbers = Options { split_by_number: false, ..Options::default() };
        assert!(
            !allows(&numbers, "a-") && allows(&Options { split_by_unicode_script: false, ..Options::default() }, "a-")
        );
        assert!(!allows(&Options { split_digits: true, ..Options::default() }, "1-"));
    }
}
