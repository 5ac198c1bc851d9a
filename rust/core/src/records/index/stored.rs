//! Reads and writes indexes in a directory.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::{FRAME_BYTES, Stamp};
use crate::files::atomic::AtomicFile;
use crate::records::tfrecord::MAX_RECORD_BYTES;
use crate::{Error, Result};

const MAGIC: [u8; 8] = *b"ALBINDEX";
const VERSION: u32 = 1;
/// Bytes before the offsets. The checksum lies within them.
const HEADER: usize = 64;
const SUM: std::ops::Range<usize> = 40..56;

/// The suffixes of indexes and of decompressed files.
const INDEX: &str = ".index";
const DATA: &str = ".records";

/// A longer name, with what is added to it, would be longer than file systems allow.
const NAME_BYTES: usize = 200;

/// The names of a record file's index and of its decompressed data.
pub(super) struct Names {
    pub index: PathBuf,
    pub data: PathBuf,
}

impl Names {
    pub fn new(directory: &Path, path: &Path) -> Result<Self> {
        let whole = std::path::absolute(path).map_err(|source| Error::io("cannot read", path, source))?;
        let name = whole.file_name().unwrap_or_default().as_bytes();
        let stem = &name[..name.len().min(NAME_BYTES)];
        let hash = format!("-{:016x}", xxh3_64(whole.as_os_str().as_bytes()));
        let with = |suffix: &str| {
            directory.join(OsString::from_vec([b".", stem, hash.as_bytes(), suffix.as_bytes()].concat()))
        };
        Ok(Self { index: with(INDEX), data: with(DATA) })
    }

    /// Whether `name`, the name of a temporary file, is one of those written here: `.NAME-HASH` and a suffix.
    pub fn is_ours(name: &str) -> bool {
        let is_hash =
            |hash: &str| hash.len() == 16 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        // The random part of the temporary's name follows.
        name.rsplit_once('.')
            .and_then(|(name, _)| name.strip_suffix(INDEX).or_else(|| name.strip_suffix(DATA)))
            .and_then(|name| name.strip_prefix('.')?.rsplit_once('-'))
            .is_some_and(|(_, hash)| is_hash(hash))
    }
}

/// What an index holds in addition to the offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub is_gzip: bool,
    pub stamp: Stamp,
}

impl Header {
    /// Returns the first 64 bytes for `records` records, with a checksum of zero.
    fn bytes(&self, records: usize) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&u32::from(self.is_gzip).to_le_bytes());
        bytes[16..24].copy_from_slice(&self.stamp.bytes.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.stamp.mtime_ms.to_le_bytes());
        bytes[32..40].copy_from_slice(&(records as u64).to_le_bytes());
        bytes
    }
}

fn sum(header: &[u8], offsets: &[u8]) -> [u8; 16] {
    let mut hash = Xxh3::new();
    hash.update(&header[..SUM.start]);
    hash.update(offsets);
    hash.digest128().to_le_bytes()
}

/// Writes the index to `path`.
pub(super) fn write(path: &Path, header: &Header, offsets: &[u64]) -> Result<()> {
    let mut bytes = header.bytes(offsets.len() - 1).to_vec();
    bytes.extend(offsets.iter().flat_map(|offset| offset.to_le_bytes()));
    let sum = sum(&bytes[..HEADER], &bytes[HEADER..]);
    bytes[SUM].copy_from_slice(&sum);
    let mut file = AtomicFile::create_apart(path)?;
    file.write(&bytes)?;
    file.commit_unsynced()
}

/// The offsets of an index whose checksum was verified.
#[derive(Debug)]
pub(super) struct StoredOffsets(Mmap);

impl StoredOffsets {
    /// Opens the index at `path`. Returns `None` if it does not exist, is damaged, or belongs to a file with another
    /// `stamp`.
    pub fn open(path: &Path, stamp: Stamp) -> Option<(Self, Header)> {
        let file = File::open(path).ok()?;
        // SAFETY: an index is never written to under its final name, only replaced, so the mapped bytes do not change.
        let map = unsafe { Mmap::map(&file) }.ok()?;
        let (header, offsets) = map.split_at_checked(HEADER)?;
        let (values, rest) = offsets.as_chunks::<8>();
        let found = [false, true].map(|is_gzip| Header { is_gzip, stamp }).into_iter().find(|expected| {
            let mut expected = expected.bytes(values.len().saturating_sub(1));
            expected[SUM].copy_from_slice(&header[SUM]);
            expected == *header
        })?;
        if values.is_empty() || !rest.is_empty() || header[SUM] != sum(header, offsets) {
            return None;
        }
        let mut before = 0;
        let in_order = values.iter().enumerate().all(|(index, value)| {
            let value = u64::from_le_bytes(*value);
            let step = value.wrapping_sub(before);
            before = value;
            if index == 0 { value == 0 } else { (FRAME_BYTES..=FRAME_BYTES + MAX_RECORD_BYTES).contains(&step) }
        });
        in_order.then_some((Self(map), found))
    }

    pub fn get(&self, index: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[HEADER + 8 * index..HEADER + 8 * index + 8]);
        u64::from_le_bytes(bytes)
    }

    pub fn records(&self) -> usize {
        (self.0.len() - HEADER) / 8 - 1
    }
}
