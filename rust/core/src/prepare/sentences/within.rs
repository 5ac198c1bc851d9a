//! Removes boundaries that UAX #29 finds inside a word: `find?q=cats`, `Yahoo!Mail`, `3.Teil`.
//!
//! In scripts written with spaces, a sentence ends at whitespace. A period, exclamation mark or question mark without
//! whitespace after it belongs to an address, a name or code. A mark that only ever ends sentences (`।`, `؟`, `。`) does
//! so anywhere. So does any mark next to a script written without spaces.

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};
use unicode_script::{Script, UnicodeScript};

use crate::unicode::is_written_without_spaces;

/// The maximum length of a footnote mark or a tag, in bytes.
const LONGEST_MARK: usize = 64;

/// The word that was examined last.
#[derive(Debug, Default)]
pub(super) struct Word {
    /// Where the search for its end began.
    from: usize,
    end: usize,
}

impl Word {
    /// Must be called before another paragraph.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn look(&mut self, paragraph: &str, at: usize) {
        if self.from <= at && at < self.end {
            return;
        }
        let rest = &paragraph[at..];
        *self = Self { from: at, end: at + rest.find(char::is_whitespace).unwrap_or(rest.len()) };
    }

    /// Returns where the sentence that supposedly ends at `end` really ends: there, after the footnote marks and
    /// symbols that follow, or nowhere.
    pub fn place(&mut self, paragraph: &str, end: usize) -> Option<usize> {
        let (head, rest) = paragraph.split_at(end);
        if rest.is_empty() {
            return Some(end);
        }
        let inner = head.trim_end().trim_end_matches(is_bracket_or_quote);
        if !inner.ends_with(is_ambiguous) {
            return Some(end);
        }
        let before = inner.trim_end_matches(is_ambiguous).chars().next_back();
        let next = rest.chars().find(|&c| !is_bracket_or_quote(c) && !c.is_whitespace());
        let is_abbreviation = || {
            before.is_some_and(is_spaced_apart) && is_short(inner)
                || next.is_some_and(is_without_spaces) && is_title(inner)
        };
        if inner.ends_with('.') && is_abbreviation() && !next.is_some_and(begins_sentence) {
            return None;
        }
        if rest.starts_with(char::is_whitespace) || head.ends_with(char::is_whitespace) {
            return Some(end);
        }
        let ends_beside = |c: char| is_without_spaces(c) && !(inner.ends_with('.') && is_spaced_apart(c));
        if [before, next].into_iter().flatten().any(ends_beside) {
            let is_word = is_query(inner, rest) || is_name(inner, before, next);
            return if is_word { None } else { Some(end) };
        }
        // Prose in which a space is missing: "They left...Then we slept." Names and code do not look like this.
        let is_trailing_off = inner.ends_with("..") && before.is_some_and(char::is_lowercase);
        if is_trailing_off && next.is_some_and(char::is_uppercase) {
            return Some(end);
        }
        self.look(paragraph, end);
        if are_marks(&paragraph[end..self.end]) {
            return Some(self.end);
        }
        None
    }
}

fn is_bracket_or_quote(c: char) -> bool {
    use GeneralCategory::{ClosePunctuation, FinalPunctuation, InitialPunctuation, OpenPunctuation};
    matches!(c, '"' | '\'')
        || matches!(c.general_category(), ClosePunctuation | FinalPunctuation | InitialPunctuation | OpenPunctuation)
}

/// Whether a mark ends sentences, but also occurs in addresses, names and code.
fn is_ambiguous(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '…' | '‥' | '․' | '‼' | '⁇' | '⁈' | '⁉' | '‽')
}

/// Whether a character is a letter or punctuation of a script written without spaces.
fn is_without_spaces(c: char) -> bool {
    is_written_without_spaces(c) || super::is_wide_mark(c)
}

/// Whether a question mark begins the query of a URL, whose path may be in any script: `検索?q=neko`.
fn is_query(head: &str, rest: &str) -> bool {
    let name = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '%'));
    head.ends_with('?') && name.len() < rest.len() && name.starts_with('=')
}

/// Whether a mark belongs to a Latin name that is followed by a noun or particle: `Yahoo!です`, `Yahoo!奇摩`.
fn is_name(head: &str, before: Option<char>, next: Option<char>) -> bool {
    let continues =
        |c: char| matches!(c.script(), Script::Hiragana | Script::Katakana | Script::Han) && !begins_sentence(c);
    head.ends_with(['!', '?']) && before.is_some_and(|c| c.is_ascii_alphanumeric()) && next.is_some_and(continues)
}

/// Whether a character is a Chinese pronoun or conjunction, which rarely occurs inside a name.
fn begins_sentence(c: char) -> bool {
    matches!(c, '我' | '你' | '您' | '他' | '她' | '它' | '這' | '这' | '那' | '但' | '而' | '此' | '其' | '該' | '该')
}

/// Whether a script puts spaces between sentences but not between words, and periods into abbreviations: พ.ศ.
fn is_spaced_apart(c: char) -> bool {
    matches!(c.script(), Script::Thai | Script::Lao | Script::Khmer)
}

/// Whether the period at the end of `head` follows one to three letters of such a script.
fn is_short(head: &str) -> bool {
    const LETTERS: usize = 3;
    let word = head.strip_suffix('.').unwrap_or(head).chars().rev();
    let letters =
        word.filter(|&c| !super::is_combining(c)).take(LETTERS + 1).take_while(|&c| is_spaced_apart(c)).count();
    (1..=LETTERS).contains(&letters)
}

/// Whether the period at the end of `head` follows an initial or a short title in Latin letters: `J.`, `St.`, `Prof.`
fn is_title(head: &str) -> bool {
    const LONGEST: usize = 4;
    const OTHERS: &[&str] = &["Prof", "Capt", "vol", "vs", "feat", "ft", "no", "pp", "p", "cf", "ed", "eds", "ca"];
    let Some(head) = head.strip_suffix('.') else { return false };
    let length = head.bytes().rev().take(LONGEST + 1).take_while(u8::is_ascii_alphabetic).count();
    let word = &head[head.len() - length..];
    let is_word_of_two_or_three = || {
        matches!(length, 2 | 3)
            && word.starts_with(|c: char| c.is_ascii_uppercase())
            && word[1..].bytes().all(|b| b.is_ascii_lowercase())
    };
    (length == 1 && word.bytes().all(|b| b.is_ascii_uppercase())) || is_word_of_two_or_three() || OTHERS.contains(&word)
}

/// Whether `rest` consists only of what may directly follow the end of a sentence: footnote marks, emoji, tags.
fn are_marks(mut rest: &str) -> bool {
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '[' => group(rest, ']', char::is_alphanumeric),
            '<' => group(rest, '>', |c| c != '<'),
            c if may_follow(c) => Some(first.len_utf8()),
            _ => None,
        };
        let Some(end) = end else { return false };
        rest = &rest[end..];
    }
    true
}

/// Returns the end of the bracketed group at the beginning of `text`, if `inner` accepts all characters inside it.
fn group(text: &str, closer: char, inner: impl Fn(char) -> bool) -> Option<usize> {
    let end = text[..text.floor_char_boundary(LONGEST_MARK)].find(closer)?;
    let content = &text[1..end];
    (!content.is_empty() && content.chars().all(inner)).then_some(end + 1)
}

fn may_follow(c: char) -> bool {
    use GeneralCategory::{ClosePunctuation, FinalPunctuation, Format, ModifierSymbol, OtherNumber, OtherSymbol};
    super::is_combining(c)
        || matches!(c, '*' | '†' | '‡' | '_' | '~' | '"' | '\'')
        || matches!(
            c.general_category(),
            OtherSymbol | ModifierSymbol | Format | OtherNumber | ClosePunctuation | FinalPunctuation
        )
}
