//! The token store: documents that are tokenized once and kept on disk. Readers map them, or
//! copy from large ones.

mod blocks;
mod copy;
mod fetch;
mod files;
mod part_file;
mod reader;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

pub use crate::files::marks::{JOURNAL_FILE, META_FILE};
pub use blocks::{BlockStore, LoadedBlock, LoadedBlocks};
pub use reader::{Part, TokenStore};
pub use writer::{StoreWriter, TokenizerInfo};

use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::files::inputs::InputRecord;
use crate::{Error, Result};

/// The file next to the parts with the SentencePiece model that a store was made with.
pub const MODEL_FILE: &str = "tokenizer-copy.model";
/// The file next to the parts with the WordPiece vocabulary that a store was made with.
pub const VOCABULARY_FILE: &str = "tokenizer-copy.txt";
/// The version of the directory's layout and of the parts.
pub const VERSION: u32 = 1;
/// The value of `format` in [`META_FILE`].
pub const FORMAT: &str = "albert-fast token store";
/// Default for the number of tokens after which a part ends at the next end of a document.
pub const PART_TOKENS: u64 = 1 << 26;

const MAGIC: [u8; 8] = *b"ALBTOKEN";
const ALIGN: u64 = 64;
const HEADER_BYTES: u64 = 64;

/// The content of [`META_FILE`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoreMeta {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// SHA-256 of the tokenizer's model and text rules, in hexadecimal.
    pub tokenizer_digest: String,
    /// A description of the tokenizer.
    pub tokenizer: Value,
    /// The tokenizer's file in the same directory: [`MODEL_FILE`] or [`VOCABULARY_FILE`]. Older stores have no copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer_file: Option<String>,
    /// Number of pieces in the vocabulary. Every id is below it.
    pub vocab_size: u32,
    /// Bytes per id in the parts: 2 or 4.
    pub id_bytes: u32,
    /// Number of documents in all parts.
    pub documents: u64,
    /// Number of sentences in all parts.
    pub sentences: u64,
    /// Number of tokens in all parts.
    pub tokens: u64,
    /// Bytes of all parts.
    pub bytes: u64,
    /// Number of invalid UTF-8 sequences in the input that became U+FFFD.
    pub replaced: u64,
    /// Everything else that determined the contents, by name.
    pub settings: Value,
    /// The parts, in order.
    pub parts: Vec<PartMeta>,
    /// The input, in the order in which it was read. Empty if the store was not made from files.
    pub inputs: Vec<InputRecord>,
}

/// The entry of a part in [`META_FILE`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartMeta {
    /// File name.
    pub file: String,
    /// Number of documents, at least 1.
    pub documents: u64,
    /// Number of sentences, at least one per document.
    pub sentences: u64,
    /// Number of tokens, at least one per sentence.
    pub tokens: u64,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// XXH3-128 of the file's bytes, in hexadecimal as `xxhsum -H2` prints it.
    pub xxh3_128: String,
}

/// Returns the name of part `index` of a portion of the input (see [`crate::files::portions`]): `part-00012.tokens`,
/// `part-00012-001.tokens`, and so on.
pub fn part_name(portion: usize, index: usize) -> String {
    match index {
        0 => format!("part-{portion:05}.tokens"),
        _ => format!("part-{portion:05}-{index:03}.tokens"),
    }
}

/// Returns the portion whose part has the name `file`, or `None` if a file of this name is no part.
pub(super) fn portion_of(file: &str) -> Option<usize> {
    let numbers = file.strip_prefix("part-")?.strip_suffix(".tokens")?;
    let (portion, index) = numbers.split_once('-').unwrap_or((numbers, "0"));
    let number = |digits: &str| {
        let is_number = !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit());
        if is_number { digits.parse::<usize>().ok() } else { None }
    };
    number(index)?;
    number(portion)
}

/// Returns the bytes per id for a vocabulary: 2 if every id fits.
pub fn id_bytes(vocab_size: u32) -> u32 {
    if vocab_size <= 1 << 16 { 2 } else { 4 }
}

/// The first 64 bytes of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    id_bytes: u32,
    vocab_size: u32,
    tokens: u64,
    sentences: u64,
    documents: u64,
}

/// The byte ranges of the sections of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Layout {
    ids: Range<u64>,
    sentence_ends: Range<u64>,
    document_ends: Range<u64>,
}

impl Header {
    fn to_bytes(self) -> [u8; HEADER_BYTES as usize] {
        let mut bytes = [0; HEADER_BYTES as usize];
        bytes[..8].copy_from_slice(&MAGIC);
        for (i, value) in [VERSION, self.id_bytes, self.vocab_size].into_iter().enumerate() {
            bytes[8 + 4 * i..12 + 4 * i].copy_from_slice(&value.to_le_bytes());
        }
        for (i, value) in [self.tokens, self.sentences, self.documents].into_iter().enumerate() {
            bytes[24 + 8 * i..32 + 8 * i].copy_from_slice(&value.to_le_bytes());
        }
        bytes
    }

    /// Reads a header. The error says what was found and what to do.
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let Some((header, _)) = bytes.split_first_chunk::<{ HEADER_BYTES as usize }>() else {
            return Err(format!("{} bytes are too few for a part's header; make the store again", bytes.len()));
        };
        if header[..8] != MAGIC {
            let advice = "this is not a part of a token store, or it is damaged; make the store again";
            return Err(format!("begins with {:02X?} not with {MAGIC:02X?}: {advice}", &header[..8]));
        }
        let u32_at = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        check_version(u32_at(8))?;
        Ok(Self {
            id_bytes: u32_at(12),
            vocab_size: u32_at(16),
            tokens: u64_at(24),
            sentences: u64_at(32),
            documents: u64_at(40),
        })
    }

    /// Returns the layout, or `None` if the counts are too large for any file.
    fn layout(self) -> Option<Layout> {
        let section = |start: u64, items: u64, bytes: u64| {
            let start = start.checked_next_multiple_of(ALIGN)?;
            Some(start..start.checked_add(items.checked_mul(bytes)?)?)
        };
        let ids = section(HEADER_BYTES, self.tokens, u64::from(self.id_bytes))?;
        let sentence_ends = section(ids.end, self.sentences, 8)?;
        let document_ends = section(sentence_ends.end, self.documents, 8)?;
        Some(Layout { ids, sentence_ends, document_ends })
    }
}

fn check_version(found: u32) -> Result<(), String> {
    if found == VERSION {
        return Ok(());
    }
    Err(format!(
        "has version {found}, but this albert-fast reads version {VERSION}; make the store again, or use another albert-fast"
    ))
}

/// The format is little-endian and is mapped without conversion.
fn check_endianness(path: &Path) -> Result<()> {
    if cfg!(target_endian = "little") {
        return Ok(());
    }
    Err(Error::data(path, "token stores are little-endian, but this machine is not; use another machine"))
}
