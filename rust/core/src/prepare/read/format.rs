//! Determines the format of an input by its first bytes after decompression.
//!
//! [`recognize`] does so without options, because other commands use it too. How [`RawReader`](super::read::RawReader)
//! reads the input also depends on `format`.

mod binary;
mod markup;
mod table;
#[cfg(test)]
mod tests;

use std::path::Path;

pub use self::table::kind_of_name;
pub(super) use self::table::names_in;
use super::json_shape::{self, Shape};
use super::options::{Format, ReadOptions};

/// The number of bytes that determine the format. Later ones have no influence.
pub const HEAD: usize = 64 << 10;

/// The format of an input according to its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// None of the formats below: plain text, or no data at all.
    Text,
    /// One JSON object per line.
    Jsonl,
    /// `<doc ...>` elements, as wikiextractor writes them.
    Wikiextractor,
    /// An XML dump of a MediaWiki site, or a part of one.
    Mediawiki,
    /// Apache Parquet.
    Parquet,
    /// An Arrow IPC stream or file.
    Arrow,
    /// Values separated by commas, semicolons or bars, with a header.
    Csv,
    /// Tab-separated values with a header.
    Tsv,
    /// A web archive. Only its records of extracted text are read (WET).
    Wet,
    /// Data that `prepare-text` does not read.
    Other(Other),
}

/// Data that `prepare-text` does not read, and what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Other {
    what: &'static str,
    advice: &'static str,
    may_be_text: bool,
}

impl Other {
    /// Data that is certainly not text.
    const fn binary(what: &'static str, advice: &'static str) -> Kind {
        Kind::Other(Self { what, advice, may_be_text: false })
    }

    /// Text that is not prose, or data that may only look like this format.
    const fn text(what: &'static str, advice: &'static str) -> Kind {
        Kind::Other(Self { what, advice, may_be_text: true })
    }
}

impl Kind {
    /// Returns what the data is, to follow "this is": "JSON Lines", "a Git LFS pointer, not the data".
    pub fn what(self) -> &'static str {
        match self {
            Self::Text => "plain text",
            Self::Jsonl => "JSON Lines",
            Self::Wikiextractor => "wikiextractor's output",
            Self::Mediawiki => "a MediaWiki dump",
            Self::Parquet => "Parquet",
            Self::Arrow => "Arrow",
            Self::Csv => "a table (CSV)",
            Self::Tsv => "a table (TSV)",
            Self::Wet => "a web archive (WARC)",
            Self::Other(other) => other.what,
        }
    }

    /// Whether `prepare-text` reads it.
    pub fn is_read(self) -> bool {
        !matches!(self, Self::Other(_))
    }

    /// Returns what to do with data that `prepare-text` does not read, as an imperative: "extract its text first
    /// (pdftotext)".
    pub fn advice(self) -> Option<&'static str> {
        match self {
            Self::Other(other) => Some(other.advice),
            _ => None,
        }
    }

    /// Whether the data can be read as text on request. True for text, JSON, markup and tables; false for binary
    /// formats.
    pub fn may_be_text(self) -> bool {
        match self {
            Self::Parquet | Self::Arrow => false,
            Self::Other(other) => other.may_be_text,
            _ => true,
        }
    }

    /// Returns the value of `format` that selects this format, if there is one.
    pub(super) fn format(self) -> Option<&'static str> {
        Some(match self {
            Self::Text => "text",
            Self::Jsonl => "jsonl",
            Self::Wikiextractor => "wikiextractor",
            Self::Mediawiki => "mediawiki",
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::Wet => "wet",
            Self::Other(_) => return None,
        })
    }
}

/// Determines how to read an input that begins with `head`. `whole` says whether `head` is all of it.
///
/// # Errors
/// What the data seems to be and what to do, if it contradicts the options or cannot be read.
pub(super) fn find(head: &[u8], whole: bool, options: &ReadOptions) -> Result<Kind, String> {
    let found = recognize(head, whole);
    let wanted = match (options.format, found) {
        (Format::Auto, Kind::Other(it)) if it.may_be_text => {
            let advice = it.advice;
            return Err(format!("this is {}; {advice}, or pass format='text' to read it as it is", it.what));
        }
        (Format::Auto, Kind::Other(it)) => return Err(format!("this is {}; {}", it.what, it.advice)),
        (Format::Auto, found) => return Ok(found),
        (Format::Text, _) => Kind::Text,
        (Format::Jsonl, _) => Kind::Jsonl,
        (Format::Wikiextractor, _) => Kind::Wikiextractor,
        (Format::Mediawiki, _) => Kind::Mediawiki,
        (Format::Parquet, _) => Kind::Parquet,
        (Format::Arrow, _) => Kind::Arrow,
        (Format::Csv, _) => Kind::Csv,
        (Format::Tsv, _) => Kind::Tsv,
        (Format::Wet, _) => Kind::Wet,
    };
    if found == wanted || is_trusted(wanted, found, head, options) {
        return Ok(wanted);
    }
    let name = wanted.format().unwrap_or_default();
    let advice = match found.format() {
        _ if wanted == Kind::Text => found.advice().unwrap_or("drop `format`").to_owned(),
        Some(other) => format!("drop `format`, or pass format='{other}'"),
        None => found.advice().unwrap_or_default().to_owned(),
    };
    Err(format!("format='{name}' must describe the data, but this is {}; {advice}", found.what()))
}

/// Determines the format of an input that looks like text, by its `path` and the column that the options name.
///
/// # Errors
/// What to do, if the file has the name of a table but not this column.
pub(super) fn by_name(head: &[u8], whole: bool, path: &Path, field: &str) -> Result<Kind, String> {
    if let Some(kind) = kind_of_name(path).filter(|_| !head.trim_ascii().is_empty()) {
        let format = kind.format().unwrap_or_default();
        return table::is_named(head, whole, kind, field, false).then_some(kind).ok_or_else(|| {
            format!(
                "its name is that of a table, but no header was found; pass format='{format}' text_field=N (a column's name, or \
                 its number from 1), or format='text' to read it as text"
            )
        });
    }
    let is_named = |kind: &Kind| table::is_named(head, whole, *kind, field, true);
    let named =
        [Kind::Tsv, Kind::Csv].into_iter().find(is_named).filter(|_| field != ReadOptions::default().text_field);
    Ok(named.unwrap_or(Kind::Text))
}

/// Whether to trust the `format` option, although the first bytes look different. The first records may be atypical.
/// The reader then reports those that it cannot read.
fn is_trusted(wanted: Kind, found: Kind, head: &[u8], options: &ReadOptions) -> bool {
    match wanted {
        Kind::Text => found.may_be_text(),
        // Some tables do not look like one.
        Kind::Csv | Kind::Tsv => found.may_be_text() && !matches!(found, Kind::Wet | Kind::Mediawiki),
        Kind::Mediawiki if found.what() == markup::LONG_COMMENT => true,
        Kind::Mediawiki | Kind::Wikiextractor => {
            options.skip_bad && matches!(found, Kind::Text | Kind::Other(Other { may_be_text: true, .. }))
        }
        Kind::Jsonl if options.skip_bad => found.may_be_text(),
        Kind::Jsonl => {
            // The format does not change because of one bad record at the beginning.
            matches!(found, Kind::Text | Kind::Other(Other { may_be_text: true, .. }))
                && head.split(|&byte| byte == b'\n').any(|line| line.trim_ascii_start().starts_with(b"{\""))
        }
        _ => false,
    }
}

/// Recognizes data that begins with `head`, without a byte-order mark. `whole` says whether `head` is all of it.
///
/// Only the first [`HEAD`] bytes after whitespace are examined. A NUL byte or a bad line among them has no influence.
/// Invalid bytes are left to the reader, wherever they occur.
pub fn recognize(head: &[u8], whole: bool) -> Kind {
    let begin = &head[..head.len().min(HEAD)];
    if let Some(kind) = binary::recognize(begin, whole && head.len() <= HEAD) {
        return kind;
    }
    // However many blank lines there are, they do not count.
    let text = trim_start(head);
    let whole = whole && text.len() <= HEAD;
    let text = &text[..text.len().min(HEAD)];
    // This comes before anything that examines only the first line, which may be bad.
    if json_shape::are_lines(text, whole) {
        return Kind::Jsonl;
    }
    if let Some(kind) = markup::recognize(text, whole) {
        return kind;
    }
    if let Some(kind) = listing(text) {
        return kind;
    }
    match json_shape::shape(text, whole) {
        Shape::Lines => Kind::Jsonl,
        Shape::Text => match table::recognize(text, whole) {
            Some(kind) => kind,
            None if table::has_columns(text, whole) => Other::text(
                "a table of tab-separated values without a header",
                "pass format='tsv' text_field=N to prepare-text, with the number of the column from 1",
            ),
            None => binary::shifted(text).unwrap_or(Kind::Text),
        },
        Shape::Other { what, advice } => Other::text(what, advice),
    }
}

/// Recognizes text for programs by its first line.
fn listing(text: &[u8]) -> Option<Kind> {
    let mut lines = text.split(|&byte| byte == b'\n');
    if [&b"-- MySQL dump "[..], b"-- MariaDB dump ", b"-- PostgreSQL database dump"]
        .iter()
        .any(|it| text.starts_with(it))
        || (text.starts_with(b"--\n-- PostgreSQL database dump"))
    {
        return Some(Other::text(
            "a dump of a database (SQL)",
            "load it into a database, and export its texts as CSV first",
        ));
    }
    let is_token = |line: &[u8]| line.starts_with(b"1") && memchr::memchr_iter(b'\t', line).count() == 9;
    let token = lines.find(|line| !line.starts_with(b"#"))?;
    is_token(token).then(|| {
        let advice = "extract its sentences first (sed -n 's/^# text = //p' FILE > NEW)";
        Other::text("a treebank (CoNLL-U)", advice)
    })
}

/// Whether a dump that begins with `head` is only a part without the header.
pub(super) fn is_part_of_dump(head: &[u8]) -> bool {
    let element = markup::first_element(trim_start(head));
    memchr::memmem::find(head, b"<mediawiki").is_none() && !element.starts_with(b"<!--")
}

/// Returns `text` without whitespace and control characters at its beginning.
fn trim_start(text: &[u8]) -> &[u8] {
    let begin = text.iter().position(|byte| !is_skipped(*byte));
    begin.map_or(&[], |begin| &text[begin..])
}

/// Whether this byte at the beginning of data says nothing about its format.
pub(super) fn is_skipped(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, 0..=6 | 14..=26)
}
