//! What passes from the readers of raw text to the threads that clean it: blocks of whole documents, and documents.

use std::sync::Arc;

use super::mediawiki::Site;
use super::rows::Dialect;

/// Some consecutive whole documents of one input, not yet taken apart.
#[derive(Debug, Default)]
pub struct RawBlock {
    /// Index of the input.
    pub file: usize,
    /// What the bytes are.
    pub kind: RawKind,
    /// The bytes, decompressed.
    pub data: Vec<u8>,
    /// Where each text ends in `data`; only of Parquet and Arrow, whose rows nothing separates.
    pub ends: Vec<usize>,
    /// Indices in `ends` of the rows that are null; only of Parquet and Arrow.
    pub nulls: Vec<usize>,
    /// Decompressed byte of the input at which `data` begins, from 0.
    pub offset: u64,
    /// Number of the first line (from 1), or of the first row (from 0) of Parquet and Arrow.
    pub line: u64,
}

/// What the bytes of a [`RawBlock`] are.
#[derive(Debug, Clone, Default)]
pub enum RawKind {
    /// Exactly one document of plain text; a byte-order mark and separators are not among the bytes.
    #[default]
    Text,
    /// Documents of plain text with blank lines between them.
    BlankLines,
    /// Documents of plain text with lines between them that equal [`ReadOptions::document_separator`].
    ///
    /// [`ReadOptions::document_separator`]: super::read::ReadOptions::document_separator
    Separated,
    /// One JSON object a line.
    JsonLines,
    /// `<doc ...>` elements of wikiextractor.
    Wikiextractor,
    /// `<page>` elements of a `MediaWiki` dump, and what its header says of the site.
    MediaWiki(Arc<Site>),
    /// Texts of a column of Parquet or Arrow.
    Column,
    /// Rows of a table, and which field of them is the text.
    Table(Box<Column>),
    /// Records of a web archive.
    Wet,
}

/// Which field of a row is the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// How fields are separated and quoted.
    pub(super) dialect: Dialect,
    /// Its index.
    pub(super) index: usize,
    /// Fields of a row.
    pub(super) fields: usize,
}

/// One document as it was found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its text, with line ends.
    pub text: String,
    /// Whether each line is a paragraph; else blank lines separate paragraphs, whose lines belong together.
    pub paragraph_a_line: bool,
    /// The ISO 639-1 code that the input gives for it, if any.
    pub language: Option<String>,
    /// Bytes of `text` in words beside which its reader removed something that the sentence lacks, ascending.
    pub holes: Vec<usize>,
}

/// Types of records of a web archive that hold no text; the last stands for all other types.
pub const OTHERS: [&str; 6] = ["metadata", "request", "revisit", "resource", "continuation", "other"];

/// What the readers leave out or mend, summed over blocks.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ReadCounts {
    /// Invalid UTF-8 sequences that became U+FFFD.
    pub replaced: u64,
    /// Records that could not be read (broken JSON, a missing field, a null), left out.
    pub bad_records: u64,
    /// Pages of a dump that are redirects.
    pub redirects: u64,
    /// Pages of a dump outside the article namespace, or not wikitext.
    pub other_pages: u64,
    /// Records of a web archive that hold no text, by their types as [`OTHERS`] lists them.
    pub other_records: [u64; OTHERS.len()],
}

/// Bytes of a block, or one document where that is longer.
pub const BLOCK_BYTES: usize = 512 << 10;

/// Longest document of plain text in bytes; a longer one is cut between lines. 16 MiB.
pub const MAX_DOCUMENT: usize = 16 << 20;
