//! Writes what near-duplicates are found by: the keys of each document's bands, and its length.

use std::path::Path;

use rayon::prelude::*;

use super::minhash::{Buffers, MinHash};
use super::options::{KeepRule, NearOptions};
use crate::Result;
use crate::files::atomic::AtomicFile;
use crate::files::notes::create;
use crate::prepare::hashes::{HashFile, damaged, range};

/// The number of keys in a run, which takes 52 bytes of memory per key.
const RUN: usize = 1 << 20;
/// The number of bytes of text whose keys are computed at a time, on all threads.
const PENDING: usize = 4 << 20;
/// The number of documents whose keys are computed at a time at most.
const DOCUMENTS: usize = 1 << 14;
/// The size in bytes of a length.
const LENGTH: usize = 4;

/// The files with the keys and the lengths of the documents of a portion, which are being written. A length is a number of
/// characters, 4 bytes little-endian. It is written only if it decides which document is kept.
pub(in crate::prepare) struct KeyFile {
    hash: MinHash,
    keys: HashFile,
    lengths: Option<AtomicFile>,
    lengths_size: u64,
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
}

impl KeyFile {
    /// Begins the files of `keys` and `lengths`.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    pub fn create(options: &NearOptions, keys: &Path, lengths: &Path) -> Result<Self> {
        let lengths = (options.dedup_near_keep == KeepRule::Longest).then(|| create(lengths)).transpose()?;
        Ok(Self {
            hash: MinHash::new(options),
            keys: HashFile::with_runs(keys, RUN)?,
            lengths,
            lengths_size: 0,
            pending: String::new(),
            ends: Vec::new(),
        })
    }

    /// Adds the next document.
    ///
    /// # Errors
    /// [`crate::Error::Io`]; [`crate::Error::Data`] if there are too many documents.
    pub fn push<'a>(&mut self, lines: impl Iterator<Item = &'a str>) -> Result<()> {
        self.pending.extend(lines);
        self.ends.push(self.pending.len());
        if self.pending.len() >= PENDING || self.ends.len() == DOCUMENTS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let (hash, pending, ends) = (&self.hash, &self.pending, &self.ends);
        let document = |at: usize| &pending[at.checked_sub(1).map_or(0, |before| ends[before])..ends[at]];
        let keys: Vec<_> = (0..ends.len())
            .into_par_iter()
            .map_init(Buffers::default, |buffers, at| hash.keys(document(at), buffers))
            .collect();
        keys.iter().try_for_each(|keys| self.keys.push(keys))?;
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
        if let Some(file) = self.lengths {
            file.commit()?;
        }
        Ok(KeySizes { keys, runs, lengths: self.lengths_size })
    }
}

/// Reads the lengths of documents from the file at `path`, which has `size` bytes.
///
/// # Errors
/// If it cannot be read.
pub(in crate::prepare) fn read_lengths(path: &Path, size: u64) -> Result<Vec<u32>> {
    if !size.is_multiple_of(LENGTH as u64) {
        return Err(damaged(path));
    }
    let bytes = range(path, size, 0, size)?;
    Ok(bytes.chunks_exact(LENGTH).map(|bytes| bytes.try_into().map_or(0, u32::from_le_bytes)).collect())
}
