//! Types passed from the readers of raw text to the threads that clean it: blocks and documents.

use std::sync::Arc;

use super::mediawiki::Site;
use super::rows::Dialect;

/// Consecutive whole documents of one input, not yet parsed.
#[derive(Debug, Default)]
pub struct RawBlock {
    /// The index of the input.
    pub file: usize,
    /// What the bytes are.
    pub kind: RawKind,
    /// The decompressed bytes.
    pub data: Vec<u8>,
    /// The end of each text in `data`. Only for Parquet and Arrow, which have no separators.
    pub ends: Vec<usize>,
    /// The indices in `ends` of rows that are null. Only for Parquet and Arrow.
    pub nulls: Vec<usize>,
    /// The position of `data` in the decompressed input, in bytes from 0.
    pub offset: u64,
    /// The number of the first line, from 1. For Parquet and Arrow, the number of the first row, from 0.
    pub line: u64,
}

/// The kind of bytes in a [`RawBlock`].
#[derive(Debug, Clone, Default)]
pub enum RawKind {
    /// Exactly one document of plain text, without byte-order mark and separators.
    #[default]
    Text,
    /// Documents of plain text, separated by blank lines.
    BlankLines,
    /// Documents of plain text, separated by lines that equal [`ReadOptions::document_separator`].
    ///
    /// [`ReadOptions::document_separator`]: super::read::ReadOptions::document_separator
    Separated,
    /// One JSON object per line.
    JsonLines,
    /// `<doc ...>` elements of wikiextractor.
    Wikiextractor,
    /// `<page>` elements of a `MediaWiki` dump, with the site's properties from its header.
    MediaWiki(Arc<Site>),
    /// The texts of a Parquet or Arrow column.
    Column,
    /// Rows of a table, with the field that is the text.
    Table(Box<Column>),
    /// Records of a web archive.
    Wet,
}

/// Which field of a row is the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// How fields are separated and quoted.
    pub(super) dialect: Dialect,
    /// The index of the field.
    pub(super) index: usize,
    /// The number of fields in a row.
    pub(super) fields: usize,
}

/// One document, before cleaning.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its text, including line ends.
    pub text: String,
    /// Whether each line is a paragraph. Otherwise, blank lines separate paragraphs, whose lines are joined.
    pub paragraph_a_line: bool,
    /// The ISO 639-1 code that the input states, if any.
    pub language: Option<String>,
    /// Positions in `text`, in bytes and ascending, of words next to which a part of the sentence was removed.
    pub holes: Vec<usize>,
}

/// Types of web archive records without text. The last stands for all other types.
pub const OTHERS: [&str; 6] = ["metadata", "request", "revisit", "resource", "continuation", "other"];

/// What the readers skipped or replaced, summed over blocks.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ReadCounts {
    /// Invalid UTF-8 sequences replaced by U+FFFD.
    pub replaced: u64,
    /// Records that could not be read and were skipped: broken JSON, a missing field, a null.
    pub bad_records: u64,
    /// Redirects in a dump.
    pub redirects: u64,
    /// Pages of a dump that are outside the article namespace or not wikitext.
    pub other_pages: u64,
    /// Web archive records without text, by type in the order of [`OTHERS`].
    pub other_records: [u64; OTHERS.len()],
}

/// The size of a block in bytes. A longer document is a block of its own.
pub const BLOCK_BYTES: usize = 512 << 10;

/// The maximum length of a plain-text document in bytes: 16 MiB. A longer one is split between lines.
pub const MAX_DOCUMENT: usize = 16 << 20;
