//! BERT's tokenizer (`tokenization.py`: `BasicTokenizer`, `WordpieceTokenizer`), as the reference uses it with a
//! `WordPiece` vocabulary.

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

use super::text::is_python_space;

/// A word with more characters is unknown.
const MAX_WORD_CHARACTERS: usize = 200;

/// The entry for a blank line.
const BLANK: &str = " ";

/// The content of a vocabulary file.
#[derive(Debug, PartialEq, Eq)]
pub struct Vocabulary {
    /// The entries; the id of each is the number of its line, from 0.
    pub entries: Vec<String>,
    /// The same entries as a file that every reader of vocabularies numbers in this way: one entry per line, without a
    /// byte-order mark, and nothing before or after the entry.
    pub plain: String,
}

/// Why a vocabulary cannot be used: a line, from 1, and the reason.
pub type BadLine = (u64, String);

impl Vocabulary {
    /// Reads a vocabulary. An entry is a line's first field, and a blank line is `" "` (`load_vocab` of the reference).
    /// A byte-order mark before the first entry is skipped.
    ///
    /// A duplicate entry is an error. The reference gives its second line no id, so that every later id is one less
    /// than in other programs, which number entries by their lines.
    pub fn read(file: &str) -> Result<Self, BadLine> {
        let mut lines: Vec<&str> = file.trim_start_matches('\u{feff}').split('\n').collect();
        if lines.last() == Some(&"") {
            lines.pop();
        }
        let mut entries = Vec::with_capacity(lines.len());
        let mut plain = String::with_capacity(file.len() + 1);
        let mut first_lines: HashMap<&str, u64> = HashMap::with_capacity(lines.len());
        for (number, line) in (1..).zip(&lines) {
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.contains('\r') {
                return Err((
                    number,
                    "the lines of a vocabulary must end in LF or CR LF, but this one has a CR inside; convert the line \
                     endings of the file"
                        .to_owned(),
                ));
            }
            let entry = line.split(is_python_space).find(|field| !field.is_empty()).unwrap_or(BLANK);
            if let Some(first) = first_lines.insert(entry, number) {
                return Err((number, twice(entry, line, first, number)));
            }
            plain.push_str(if entry == BLANK { "" } else { entry });
            plain.push('\n');
            entries.push(entry.to_owned());
        }
        Ok(Self { entries, plain })
    }
}

/// Returns the message for an entry that is on two lines, the second of which is `line`.
fn twice(entry: &str, line: &str, first: u64, second: u64) -> String {
    let (what, shown) = if entry == BLANK {
        ("a vocabulary must have at most one blank line".to_owned(), String::new())
    } else {
        let shown = if line.trim_matches(is_python_space) == entry {
            format!("{entry:?}")
        } else {
            format!("{entry:?}, the first word of {line:?},")
        };
        ("an entry must be on one line only".to_owned(), format!("{shown} "))
    };
    format!(
        "{what}: {shown}{}, and programs number the lines after it differently; delete line {second} for the ids of \
         google-research's BERT and ALBERT, or write a name that occurs nowhere else, such as [unused{first}], on line \
         {first} for those of transformers",
        if entry == BLANK { format!("line {first} is blank too") } else { format!("is on line {first} too") },
    )
}

/// A vocabulary and its rules.
#[derive(Debug)]
pub struct WordPiece {
    ids: HashMap<String, u32>,
    unknown: u32,
    lower_case: bool,
    keep_accents: bool,
}

impl WordPiece {
    /// Creates the tokenizer from the entries in id order. `unknown` is the id of `[UNK]`.
    pub fn new(entries: &[String], unknown: u32, lower_case: bool, keep_accents: bool) -> Self {
        let ids = entries.iter().enumerate().map(|(id, entry)| (entry.clone(), id as u32)).collect();
        Self { ids, unknown, lower_case, keep_accents }
    }

    /// Appends the ids of `text`. They are the ids of its parts between spaces, one after the other.
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
                // Lowercasing and dropping marks can leave whitespace, and the reference splits there again.
                for part in rest[..end].split(is_python_space).filter(|part| !part.is_empty()) {
                    self.encode_word(part, out);
                }
                rest = &rest[end..];
            }
        }
    }

    /// Matches greedily, the longest piece first. A word that cannot be matched completely is unknown.
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

/// Whether a character is in the CJK Unified Ideographs blocks around which BERT adds spaces.
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
        let read = |file: &str| Vocabulary::read(file).unwrap();
        let found = read("\u{feff}[PAD]\r\nthe 5\n\n\ta\u{2028}b\n##s");
        assert_eq!(found.entries, ["[PAD]", "the", " ", "a", "##s"]);
        assert_eq!(found.plain, "[PAD]\nthe\n\na\n##s\n");
        assert_eq!(read(&found.plain), found, "what is written reads the same");
        assert_eq!(read("a\n\n").entries, ["a", " "]);
        assert_eq!(read("").entries, [""; 0]);
        assert_eq!(read("a\n\u{feff}a\n").entries, ["a", "\u{feff}a"], "a mark elsewhere belongs to its entry");
    }

    #[test]
    fn an_entry_twice_is_an_error() {
        let said = |file: &str| Vocabulary::read(file).unwrap_err();
        let (line, reason) = said("the\na\nan\na\n");
        assert_eq!(line, 4);
        assert!(reason.contains("\"a\" is on line 2 too"), "{reason}");
        assert!(reason.contains("delete line 4"), "{reason}");
        let (line, reason) = said("the\nthe 7\n");
        assert_eq!(line, 2);
        assert!(reason.contains("\"the\", the first word of \"the 7\", is on line 1 too"), "{reason}");
        for file in ["a\n\n\n", "\na\n \n", "a\n\t\n\u{3000}\n", "\u{feff}\n\n"] {
            assert!(said(file).1.contains("at most one blank line: line"), "{file:?}");
        }
        assert_eq!(said("a\nb\rc\n").0, 2);
        assert_eq!(said("a\rb\rc").0, 1);
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
