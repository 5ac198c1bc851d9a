//! Finds near-duplicates: documents that share many shingles, by `MinHash` with locality-sensitive hashing.
//!
//! Each document has a key per band. Documents with a common key are joined to clusters, and one document of each cluster
//! is kept. Keys are written to disk, and compared partition by partition, as the hashes of exact duplicates are. So the
//! memory is bounded, and the result follows from the documents, their order and the options.
//!
//! A command that writes one file keeps the text of all documents on disk until the clusters are known, so that it can
//! read any input, such as standard input, once.

mod clusters;
mod keys;
mod minhash;
pub mod options;
mod shingles;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

pub(super) use self::clusters::{Clusters, Found};
pub use self::clusters::{NearClusters, SampledCluster};
pub(super) use self::keys::{KEYS, KeyFile, KeySizes, files_of, lengths, sketches};
use self::options::NearOptions;
use super::hashes::{Hashes, MOST_DOCUMENTS, PARTITIONS, Place, repeats};
use crate::{Error, Result};

/// The file with the keys.
const FILE: &str = "near.keys";

/// Documents on disk. Their near-duplicates are found after the last one is added.
pub(super) struct Near {
    directory: tempfile::TempDir,
    options: NearOptions,
    /// The bytes of memory for keys.
    memory: u64,
    spool: zstd::stream::write::Encoder<'static, BufWriter<File>>,
    keys: KeyFile,
    documents: u64,
}

/// A document that is read back.
pub(super) struct Known<'a> {
    /// The XXH3-128 hash that [`Near::push`] got with it.
    pub hash: u128,
    /// Its lines.
    pub text: &'a str,
    /// Whether it is a near-duplicate that is dropped.
    pub is_dropped: bool,
    /// Whether the report needs its text.
    pub is_shown: bool,
    pub place: Place,
}

impl Near {
    /// Creates the files in a new directory in `directory`. `memory` is the number of bytes for keys.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(options: &NearOptions, memory: u64, directory: &Path) -> Result<Self> {
        let error = |source| Error::io("cannot write", directory, source);
        let directory =
            tempfile::Builder::new().prefix(".prepare-text-").suffix(".tmp").tempdir_in(directory).map_err(error)?;
        let path = |name| directory.path().join(name);
        let spool = File::create(path("spool")).map(BufWriter::new).map_err(error)?;
        let spool = zstd::stream::write::Encoder::new(spool, 1).map_err(error)?;
        let keys = KeyFile::create(options, &path(FILE), too_many)?;
        Ok(Self { directory, options: options.clone(), memory, spool, keys, documents: 0 })
    }

    /// Adds a document, with a hash that is returned with it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn push<'a>(&mut self, hash: u128, lines: impl Iterator<Item = &'a str> + Clone) -> Result<()> {
        let length: usize = lines.clone().map(str::len).sum();
        let mut write = || -> std::io::Result<()> {
            self.spool.write_all(&hash.to_le_bytes())?;
            self.spool.write_all(&(length as u64).to_le_bytes())?;
            lines.clone().try_for_each(|line| self.spool.write_all(line.as_bytes()))
        };
        write().map_err(|source| Error::io("cannot write", self.directory.path(), source))?;
        self.documents += 1;
        self.keys.push(lines)
    }

    /// Finds the near-duplicates, and calls `each` with all documents, in order. `tick` gets a stage, a unit, the number
    /// of things done and their total. The result is what is known of the clusters.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Interrupted`] if `tick` returns `false`; the errors of `each`.
    pub fn finish(
        self,
        mut each: impl FnMut(&Known<'_>) -> Result<()>,
        mut tick: impl FnMut(&'static str, &'static str, u64, u64) -> bool,
    ) -> Result<Found> {
        let mut tick = |stage, unit, done, total| {
            let stopped = || Error::Interrupted("near-duplicates were not dropped".into());
            if tick(stage, unit, done, total) { Ok(()) } else { Err(stopped()) }
        };
        let Self { directory, options, memory, spool, keys, documents } = self;
        let error = |source| Error::io("cannot write", directory.path(), source);
        spool.finish().and_then(|mut file| file.flush()).map_err(error)?;
        let sizes = keys.commit()?;
        let path = directory.path().join(FILE);
        let hashes = [Hashes { path: path.clone(), size: sizes.keys, runs: sizes.runs.clone() }];
        let pairs = |join: &mut dyn FnMut(Place, Place) -> Result<()>| {
            let both = |first, later| (first, later);
            repeats(&hashes, 0..PARTITIONS, memory, both, |partition, pairs| {
                tick("finding near-duplicates", "partitions", partition as u64, PARTITIONS as u64)?;
                pairs.into_iter().try_for_each(|(first, later)| join(first, later))
            })
        };
        let clusters = Clusters::of(&options, pairs, |_| Ok(sketches(&path, &sizes, &options)))?;
        crate::files::atomic::remove(&path)?;
        let is_gone = clusters.none();
        let lengths = |_| Ok(lengths(&path, &sizes));
        let (dropped, found) = clusters.resolve(&is_gone, options.dedup_near_keep, lengths)?;
        drop(is_gone);
        let shown = found.shown();
        let mut reader = Spool::open(directory.path().join("spool"))?;
        let mut next = dropped.iter().peekable();
        for number in 0..documents {
            if number % 4096 == 0 {
                tick("dropping near-duplicates", "documents", number, documents)?;
            }
            let place = (0, number as u32);
            let (hash, text) = reader.next()?;
            let is_dropped = next.next_if(|&&it| it == place).is_some();
            each(&Known { hash, text, is_dropped, is_shown: shown.contains(&place), place })?;
        }
        Ok(found)
    }
}

fn too_many() -> Error {
    let reason = format!(
        "dedup_near=True compares at most {MOST_DOCUMENTS} documents; pass less input, or `shard_size`, which divides the \
         input into portions of fewer documents"
    );
    Error::conflict("dedup_near", reason)
}

/// Reads back what [`Near::push`] has written.
struct Spool {
    path: PathBuf,
    reader: zstd::stream::read::Decoder<'static, BufReader<File>>,
    text: String,
}

impl Spool {
    fn open(path: PathBuf) -> Result<Self> {
        let reader = File::open(&path).and_then(zstd::stream::read::Decoder::new);
        match reader {
            Ok(reader) => Ok(Self { path, reader, text: String::new() }),
            Err(source) => Err(Error::io("cannot read", &path, source)),
        }
    }

    fn next(&mut self) -> Result<(u128, &str)> {
        let Self { path, reader, text } = self;
        let mut read = || -> std::io::Result<u128> {
            let (mut hash, mut length) = ([0; 16], [0; 8]);
            reader.read_exact(&mut hash)?;
            reader.read_exact(&mut length)?;
            text.clear();
            reader.take(u64::from_le_bytes(length)).read_to_string(text)?;
            Ok(u128::from_le_bytes(hash))
        };
        let hash = read().map_err(|source| Error::io("cannot read", path, source))?;
        Ok((hash, text))
    }
}
