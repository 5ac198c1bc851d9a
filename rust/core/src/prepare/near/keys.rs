//! Writes and reads what near-duplicates are found by: the keys of each document's bands, its hashes and its length.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::minhash::{Buffers, MinHash};
use super::options::{KeepRule, NearOptions};
use crate::files::atomic::AtomicFile;
use crate::files::notes::create;
use crate::prepare::hashes::{HashFile, damaged, range};
use crate::{Error, Result};

/// The number of keys in a run, which takes 52 bytes of memory per key.
const RUN: usize = 1 << 20;
/// The number of bytes of text whose keys are computed at a time, on all threads.
const PENDING: usize = 4 << 20;
/// The number of documents whose keys are computed at a time at most.
const DOCUMENTS: usize = 1 << 14;
/// The number of bytes that their keys and sketches take at most.
const COMPUTED: usize = 4 << 20;
/// The suffix of the file of the keys, and of those next to it.
pub(in crate::prepare) const KEYS: &str = "keys";
const LENGTHS: &str = "lengths";
const SKETCHES: &str = "sketches";
/// The size in bytes of a length.
pub(super) const LENGTH: usize = 4;
/// The number of bytes of a column that are read at a time.
const CHUNK: usize = if cfg!(test) { 20 } else { 4 << 20 };

/// The files with what is known of the documents of a portion, which are being written: the keys, and if they are needed,
/// the lengths and the sketches. A length is a number of characters, 4 bytes little-endian. It decides which document is
/// kept. A sketch is the last byte of each hash. The similarity of two documents is estimated from them.
pub(in crate::prepare) struct KeyFile {
    hash: MinHash,
    keys: HashFile,
    lengths: Option<AtomicFile>,
    lengths_size: u64,
    sketches: Option<AtomicFile>,
    sketches_size: u64,
    /// The number of bytes of a sketch.
    width: usize,
    /// The number of documents whose keys are computed at a time.
    at_a_time: usize,
    /// The text of documents whose keys are still to be computed, and their ends in it.
    pending: String,
    ends: Vec<usize>,
}

/// The sizes of complete files of keys and lengths.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(in crate::prepare) struct KeySizes {
    /// The size of the file with the keys.
    pub keys: u64,
    /// The number of keys of each run in each partition.
    pub runs: Vec<Vec<u32>>,
    /// The size of the file with the lengths.
    pub lengths: u64,
    /// The size of the file with the sketches.
    pub sketches: u64,
}

/// Returns the suffixes of the files that a [`KeyFile`] writes, if near-duplicates are dropped.
pub(in crate::prepare) fn files_of(options: &NearOptions) -> impl Iterator<Item = &'static str> {
    let lengths = needs_lengths(options).then_some(LENGTHS);
    let sketches = needs_sketches(options).then_some(SKETCHES);
    [options.dedup_near.then_some(KEYS), lengths, sketches].into_iter().flatten()
}

fn needs_lengths(options: &NearOptions) -> bool {
    options.dedup_near_keep == KeepRule::Longest
}

fn needs_sketches(options: &NearOptions) -> bool {
    options.dedup_near_threshold.is_some()
}

/// Returns the number of documents whose keys are computed at a time.
fn at_a_time(options: &NearOptions) -> usize {
    let sketch = if needs_sketches(options) { options.hashes() } else { 0 };
    (COMPUTED / (size_of::<u128>() * options.keys() + sketch)).min(DOCUMENTS)
}

/// Returns the path of the file next to that of the keys with another suffix.
fn beside(keys: &Path, suffix: &str) -> PathBuf {
    keys.with_extension(suffix)
}

/// Returns a reader of the lengths that were written next to `keys`.
pub(in crate::prepare) fn lengths(keys: &Path, sizes: &KeySizes) -> Column {
    Column::new(beside(keys, LENGTHS), sizes.lengths, LENGTH)
}

/// Returns a reader of the sketches that were written next to `keys`.
pub(in crate::prepare) fn sketches(keys: &Path, sizes: &KeySizes, options: &NearOptions) -> Column {
    Column::new(beside(keys, SKETCHES), sizes.sketches, options.hashes())
}

impl KeyFile {
    /// Begins the file `keys`, and those next to it. `too_many` is the error for too many documents.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(options: &NearOptions, keys: &Path, too_many: fn() -> Error) -> Result<Self> {
        let create = |is_needed: bool, suffix| is_needed.then(|| create(&beside(keys, suffix))).transpose();
        let lengths = create(needs_lengths(options), LENGTHS)?;
        let sketches = create(needs_sketches(options), SKETCHES)?;
        Ok(Self {
            hash: MinHash::new(options),
            keys: HashFile::with_runs(keys, RUN, too_many)?,
            lengths,
            lengths_size: 0,
            sketches,
            sketches_size: 0,
            width: options.hashes(),
            at_a_time: at_a_time(options),
            pending: String::new(),
            ends: Vec::new(),
        })
    }

    /// Adds the next document.
    ///
    /// # Errors
    /// [`Error::Io`]; that of `too_many`.
    pub fn push<'a>(&mut self, lines: impl Iterator<Item = &'a str>) -> Result<()> {
        self.pending.extend(lines);
        self.ends.push(self.pending.len());
        if self.pending.len() >= PENDING || self.ends.len() == self.at_a_time { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let (hash, pending, ends) = (&self.hash, &self.pending, &self.ends);
        let document = |at: usize| &pending[at.checked_sub(1).map_or(0, |before| ends[before])..ends[at]];
        let has_sketches = self.sketches.is_some();
        let keys: Vec<(Vec<u128>, Vec<u8>)> = (0..ends.len())
            .into_par_iter()
            .map_init(Buffers::default, |buffers, at| {
                let keys = hash.keys(document(at), buffers);
                (keys, if has_sketches { buffers.sketch().collect() } else { Vec::new() })
            })
            .collect();
        keys.iter().try_for_each(|(keys, _)| self.keys.push(keys))?;
        if let Some(file) = &mut self.sketches {
            let bytes: Vec<u8> = keys.into_iter().flat_map(|(_, sketch)| sketch).collect();
            debug_assert_eq!(bytes.len(), ends.len() * self.width);
            file.write(&bytes)?;
            self.sketches_size += bytes.len() as u64;
        }
        if let Some(file) = &mut self.lengths {
            let length = |at| u32::try_from(document(at).chars().count()).unwrap_or(u32::MAX);
            let lengths: Vec<_> = (0..ends.len()).into_par_iter().map(length).collect();
            let bytes: Vec<u8> = lengths.into_iter().flat_map(u32::to_le_bytes).collect();
            file.write(&bytes)?;
            self.lengths_size += bytes.len() as u64;
        }
        self.pending.clear();
        // One long document may have made it very large.
        self.pending.shrink_to(2 * PENDING);
        self.ends.clear();
        Ok(())
    }

    /// Gives the files their names.
    ///
    /// # Errors
    /// Those of [`KeyFile::push`].
    pub fn commit(mut self) -> Result<KeySizes> {
        self.flush()?;
        let (keys, runs) = self.keys.commit()?;
        for file in [self.lengths, self.sketches].into_iter().flatten() {
            file.commit()?;
        }
        Ok(KeySizes { keys, runs, lengths: self.lengths_size, sketches: self.sketches_size })
    }
}

/// A file with the same number of bytes for each document. It is read in chunks.
pub(in crate::prepare) struct Column {
    path: PathBuf,
    size: u64,
    width: usize,
    /// Where `bytes` begin.
    start: u64,
    bytes: Vec<u8>,
}

impl Column {
    fn new(path: PathBuf, size: u64, width: usize) -> Self {
        Self { path, size, width, start: 0, bytes: Vec::new() }
    }

    /// Returns the bytes of a document. Meant for ascending numbers.
    ///
    /// # Errors
    /// If the file cannot be read, or has no such document.
    pub fn get(&mut self, document: u32) -> Result<&[u8]> {
        let at = u64::from(document) * self.width as u64;
        let end = at + self.width as u64;
        if end > self.size {
            return Err(damaged(&self.path));
        }
        if at < self.start || end > self.start + self.bytes.len() as u64 {
            let length = ((CHUNK / self.width).max(1) * self.width) as u64;
            self.bytes = range(&self.path, self.size, at, length.min(self.size - at))?;
            self.start = at;
        }
        let at = (at - self.start) as usize;
        Ok(&self.bytes[at..at + self.width])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_for_keys_is_bounded() {
        assert_eq!(at_a_time(&NearOptions::default()), DOCUMENTS);
        let most = NearOptions {
            dedup_near: true,
            dedup_near_bands: 256,
            dedup_near_rows: 16,
            dedup_near_threshold: Some(0.5),
            ..NearOptions::default()
        };
        most.check().unwrap();
        let bytes = 257 * 16 + 4096;
        assert_eq!(at_a_time(&most), (4 << 20) / bytes);
        let directory = tempfile::tempdir().unwrap();
        let mut file = KeyFile::create(&most, &directory.path().join("near.keys"), || unreachable!()).unwrap();
        for _ in 0..2000 {
            file.push(std::iter::once("a")).unwrap();
            assert!(file.ends.len() * bytes < COMPUTED);
        }
        let sizes = file.commit().unwrap();
        assert_eq!((sizes.keys, sizes.sketches), (2000 * 257 * 20, 2000 * 4096));
    }

    #[test]
    fn columns_are_read_in_chunks() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("column");
        let bytes: Vec<u8> = (0..90).collect();
        std::fs::write(&path, &bytes).unwrap();
        for width in [1, 3, 7, 30] {
            let mut column = Column::new(path.clone(), 90, width);
            let count = 90 / width;
            for document in (0..count).chain([0, 2, 1]) {
                assert_eq!(column.get(document as u32).unwrap(), &bytes[document * width..][..width]);
            }
            assert!(column.get(count as u32).is_err());
        }
        assert!(Column::new(path, 100, 50).get(1).unwrap_err().to_string().contains("is damaged"));
    }
}
