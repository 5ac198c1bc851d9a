//! Recognizes tables of comma- or tab-separated values: the first row is a header, and other rows have as many fields.

use std::path::Path;

use super::Kind;
use crate::prepare::read::rows::{Dialect, Survey, newline};
use crate::prepare::read::table::{find, preamble};

/// The number of rows that must agree with a header without known names.
const ROWS: usize = 5;
/// A table without a header must have at least this many rows with equally many tabs.
const BARE_ROWS: usize = 8;
/// The maximum number of lines examined for such a table.
const LINES: usize = 200;
/// The maximum length of a column's name in bytes.
const LONGEST_NAME: usize = 200;
/// The same, in a header without known names.
const LONGEST_UNKNOWN_NAME: usize = 40;
/// Delimiters, and the format of a table that has them.
const DELIMITERS: [(u8, Kind); 4] = [(b'\t', Kind::Tsv), (b',', Kind::Csv), (b';', Kind::Csv), (b'|', Kind::Csv)];
/// Column names that identify the first line as a header.
#[rustfmt::skip]
const NAMES: &[&str] = &[
    "text", "id", "title", "body", "content", "label", "sentence", "url", "date", "name", "document", "article", "abstract",
    "summary", "review", "comment", "message", "tweet", "question", "answer", "category", "class", "source", "target",
    "language", "lang", "author", "index", "idx", "timestamp", "score", "rating", "description", "context", "headline",
    "sentence1", "sentence2", "premise", "hypothesis", "sentiment", "paragraph", "prompt", "response", "doc_id", "docid",
    "texte", "texto", "testo", "tekst", "текст", "teksti", "szöveg", "metin", "κείμενο", "titel", "titre", "título", "titolo",
    "заголовок", "文本", "内容", "标题", "テキスト", "本文", "텍스트", "№",
];

/// The names of a header.
struct Header {
    names: usize,
    /// How many of them are in [`NAMES`].
    known: usize,
    /// Whether the names look machine-written: short, distinct, and without spaces around them.
    strict: bool,
}

/// Recognizes `text` if it is a table.
pub(super) fn recognize(text: &[u8], whole: bool) -> Option<Kind> {
    let newline = newline(text);
    let delimiters = DELIMITERS.map(|(delimiter, _)| delimiter);
    let (before, named) = preamble(text, newline, &delimiters, None);
    // The last comment may be the header.
    let comment = memchr::memrchr(newline, &text[..before.saturating_sub(1)]).map_or(0, |at| at + 1);
    let comment = if text[comment..].starts_with(b"#") && comment < before { comment + 1 } else { before };
    [before, comment].into_iter().find_map(|begin| {
        let text = &text[begin..];
        let (line, rows) = text.split_at(memchr::memchr(newline, text)? + 1);
        let line = std::str::from_utf8(line).ok()?.trim_end_matches(['\r', '\n']);
        DELIMITERS.into_iter().filter(|(delimiter, _)| named.is_none_or(|it| it == *delimiter)).find_map(
            |(delimiter, kind)| {
                let header = Header::of(line, delimiter as char)?;
                header.fits(rows, whole, Dialect::choose(delimiter, newline, rows, whole, header.names)).then_some(kind)
            },
        )
    })
}

/// Whether all lines have equally many tabs between values, as in a table without a header.
pub(super) fn has_columns(text: &[u8], whole: bool) -> bool {
    let mut lines: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
    if !whole {
        // The last line continues after the examined text.
        lines.pop();
    }
    let mut lines =
        lines.into_iter().map(|line| line.strip_suffix(b"\r").unwrap_or(line)).filter(|line| !line.is_empty());
    let columns = |line: &[u8]| {
        let fields = line.split(|&byte| byte == b'\t');
        // An indented line, or one that ends in a tab, is prose or code.
        (!line.starts_with(b"\t") && !line.ends_with(b"\t")).then(|| fields.count())
    };
    let Some(count) = lines.next().and_then(columns).filter(|&count| count > 1) else { return false };
    let mut agree = 1;
    for line in lines.take(LINES) {
        if columns(line) != Some(count) {
            return false;
        }
        agree += 1;
    }
    agree >= BARE_ROWS
}

impl Header {
    /// Returns the column names if the line can be a header: its fields are short and unlike the words of a sentence.
    fn of(line: &str, delimiter: char) -> Option<Self> {
        let mut strict = true;
        let mut names = Vec::new();
        let last = line.split(delimiter).count() - 1;
        for (i, field) in line.split(delimiter).enumerate() {
            let outer = field.trim();
            let is_quoted = outer.len() > 1 && outer.starts_with('"') && outer.ends_with('"');
            let inner = if is_quoted { &outer[1..outer.len() - 1] } else { outer };
            let name = inner.trim();
            strict &= outer == field && name == inner && name.len() <= LONGEST_UNKNOWN_NAME;
            // In a table with an index, the first column has no name. Some rows end in a delimiter.
            if !(is_name(name) || name.is_empty() && (i == 0 || i == last)) {
                return None;
            }
            strict &= i == 0 || !name.is_empty();
            names.push(name.to_lowercase());
        }
        let known = names.iter().filter(|it| NAMES.contains(&it.as_str())).count();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        sorted.dedup();
        strict &= sorted.len() == names.len();
        (names.len() > 1 && (strict || known > 0)).then_some(Self { names: names.len(), known, strict })
    }

    /// Whether `rows`, the lines after the header, have the header's number of fields.
    fn fits(&self, rows: &[u8], whole: bool, dialect: Dialect) -> bool {
        let survey = Survey::of(rows, whole, dialect, self.names);
        let count = survey.fields.len();
        let good = survey.fields.iter().filter(|&&fields| fields == self.names).count();
        // Commas in unquoted text give additional fields.
        let enough = survey.fields.iter().filter(|&&fields| fields >= self.names).count();
        match count {
            // The first row continues after the examined text.
            0 => self.known > 0 && survey.truncated.is_some_and(|fields| (2..=self.names).contains(&fields)),
            _ if self.known > 1 && self.strict => enough * 2 >= count,
            _ if self.known > 0 => good > 0 && good * 2 >= count,
            _ => good >= ROWS && good == count,
        }
    }
}

/// If `row` seems to be a header, returns its names for a message, and the name of column `index`.
pub(in crate::prepare::read) fn names_in(row: &str, delimiter: u8, index: usize) -> Option<(String, String)> {
    const SHOWN: usize = 10;
    let row = row.trim_end_matches(['\r', '\n']);
    Header::of(row, delimiter as char).filter(|header| header.known > 0)?;
    let names: Vec<&str> = row.split(delimiter as char).map(|name| name.trim().trim_matches('"').trim()).collect();
    let name = names.get(index).filter(|name| !name.is_empty())?;
    let name = if name.contains(' ') { format!("\"{name}\"") } else { (*name).to_owned() };
    Some((names[..names.len().min(SHOWN)].join(", "), name))
}

fn is_name(name: &str) -> bool {
    let is_part = |c: char| {
        c.is_alphanumeric() || matches!(c, ' ' | '_' | '-' | '.' | '/' | '(' | ')' | ':' | '#' | '?') || is_symbol(c)
    };
    name.len() <= LONGEST_NAME
        && name.split(' ').count() <= 3
        && name.chars().all(is_part)
        && (name.chars().any(char::is_alphabetic) || (name.chars().count() == 1 && name.chars().all(is_symbol)))
}

/// Whether a character occurs in column names, but rarely in sentences.
fn is_symbol(c: char) -> bool {
    matches!(c, '#' | '№' | '%' | '$' | '€' | '£' | '§' | '°' | '&' | '+' | '*' | '@' | '=' | '\'' | '[' | ']')
}

/// Returns the format of a table according to the name of the file, not counting the suffix of a compression.
pub fn kind_of_name(path: &Path) -> Option<Kind> {
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    let compressed = [".gz", ".bz2", ".xz", ".zst", ".zstd"].iter().find_map(|suffix| name.strip_suffix(suffix));
    match compressed.unwrap_or(&name).rsplit_once('.') {
        Some((_, "csv")) => Some(Kind::Csv),
        Some((_, "tsv")) => Some(Kind::Tsv),
        _ => None,
    }
}

/// Whether `text` is a table with a column named `field`. If `kind` is TSV, values are separated by tabs. If `agree` is
/// set, rows with as many fields must follow.
pub(super) fn is_named(text: &[u8], whole: bool, kind: Kind, field: &str, agree: bool) -> bool {
    let newline = newline(text);
    let delimiters: &[u8] = if kind == Kind::Tsv { b"\t" } else { b",;|\t" };
    let (before, _) = preamble(text, newline, delimiters, Some(field));
    let (row, rest) = match memchr::memchr(newline, &text[before..]) {
        Some(length) => text[before..].split_at(length + 1),
        None => (&text[before..], &[][..]),
    };
    let Ok(row) = std::str::from_utf8(row) else { return false };
    let Ok(((delimiter, _, fields), true)) = find(row, delimiters, newline, field) else { return false };
    let survey = Survey::of(rest, whole, Dialect::choose(delimiter, newline, rest, whole, fields), fields);
    let good = survey.fields.iter().filter(|&&it| it == fields).count();
    !agree || (fields > 1 && good > 0 && good * 2 >= survey.fields.len())
}
