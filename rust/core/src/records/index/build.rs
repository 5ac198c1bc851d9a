//! Indexes files: loads the indexes that a directory has, and builds the others.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::parallel::{Meter, Stop, in_parallel, interrupted};
use super::stored::{Header, Names, StoredOffsets, write};
use super::walk::Walk;
use super::{Budget, Data, IndexedFile, Offsets, Stamp};
use crate::files::atomic::{self, AtomicFile};
use crate::files::lock::DirectoryLock;
use crate::{Error, Progress, Result};

/// How often to check whether another process is finished with the directory.
const POLL: Duration = Duration::from_millis(100);

/// The indexed files, and the spools that they refer to.
pub(super) fn files(
    paths: &[PathBuf],
    directory: Option<&Path>,
    threads: usize,
    progress: &mut dyn Progress,
    budget: &'static Budget,
) -> Result<(Vec<IndexedFile>, Vec<File>)> {
    let done = Arc::new(AtomicU64::new(0));
    let sizes = paths.iter().map(|path| size_of(path)).collect::<Result<Vec<u64>>>()?;
    let mut meter = Meter { progress, done: &done, total: sizes.iter().sum() };
    let builder =
        Builder { paths, directory, done: &done, budget, spools: Mutex::default(), next_spool: AtomicUsize::new(0) };
    let mut found: Vec<Option<IndexedFile>> = match directory {
        None => paths.iter().map(|_| None).collect(),
        Some(directory) => {
            atomic::create_directory(directory)?;
            in_parallel(paths.len(), threads, &mut meter, |number, _| builder.load(number, directory))?
        }
    };
    let missing: Vec<usize> = (0..paths.len()).filter(|&number| found[number].is_none()).collect();
    let lock = match directory {
        Some(directory) if !missing.is_empty() => Some(lock(directory, &mut meter)?),
        _ => None,
    };
    let built =
        in_parallel(missing.len(), threads, &mut meter, |index, stop| builder.load_or_build(missing[index], stop))?;
    drop(lock);
    for (number, file) in missing.into_iter().zip(built) {
        found[number] = Some(file);
    }
    if !meter.report() {
        return Err(interrupted());
    }
    let mut spools = builder.spools.into_inner().unwrap_or_else(PoisonError::into_inner);
    spools.sort_by_key(|spool| spool.number);
    Ok((found.into_iter().flatten().collect(), spools.into_iter().map(|spool| spool.file).collect()))
}

/// Returns the size in bytes of the regular file at `path`.
fn size_of(path: &Path) -> Result<u64> {
    let metadata = path.metadata().map_err(|source| Error::io("cannot read", path, source))?;
    if !metadata.is_file() {
        let what = if metadata.is_dir() { "a directory" } else { "not a regular file" };
        return Err(Error::data(path, format!("{what}; records are read in random order, which needs regular files")));
    }
    Ok(metadata.len())
}

/// Waits until no other process is writing to `directory`, so that several processes that start together do not all do the
/// same work. If the file system has no locks, they do, and the files written last remain.
fn lock(directory: &Path, meter: &mut Meter<'_>) -> Result<DirectoryLock> {
    loop {
        if let Some(lock) = DirectoryLock::take(directory)? {
            if lock.is_exclusive() {
                atomic::remove_stale(directory, Names::is_ours)?;
            }
            return Ok(lock);
        }
        if !meter.report() {
            return Err(interrupted());
        }
        std::thread::sleep(POLL);
    }
}

/// An unnamed temporary file that holds decompressed files, one after the other. One for each file would be too many to
/// keep open.
struct Spool {
    number: usize,
    file: File,
    bytes: u64,
}

/// The state that the threads share.
struct Builder<'a> {
    paths: &'a [PathBuf],
    directory: Option<&'a Path>,
    /// Bytes of the record files that are finished.
    done: &'a Arc<AtomicU64>,
    budget: &'static Budget,
    /// The spools that no thread is writing to. There are never more than threads.
    spools: Mutex<Vec<Spool>>,
    next_spool: AtomicUsize,
}

impl Builder<'_> {
    /// Returns file `number` from its index in `directory`, if there is one that can be trusted.
    fn load(&self, number: usize, directory: &Path) -> Result<Option<IndexedFile>> {
        let path = &self.paths[number];
        let cannot_read = |source| Error::io("cannot read", path, source);
        let names = Names::new(directory, path)?;
        let file = File::open(path).map_err(cannot_read)?;
        let stamp = Stamp::of(&file).map_err(cannot_read)?;
        let Some((offsets, header)) = StoredOffsets::open(&names.index, stamp) else { return Ok(None) };
        let offsets = Offsets::Stored(offsets);
        let data = if header.is_gzip {
            let Ok(data) = File::open(&names.data) else { return Ok(None) };
            let stamp = Stamp::of(&data).map_err(|source| Error::io("cannot read", &names.data, source))?;
            if stamp.bytes != offsets.end() {
                return Ok(None);
            }
            self.keep(data, &names.data, stamp)?
        } else if offsets.end() == stamp.bytes {
            self.keep(file, path, stamp)?
        } else {
            return Ok(None);
        };
        self.done.fetch_add(stamp.bytes, Ordering::Relaxed);
        Ok(Some(IndexedFile { path: path.clone(), copy: header.is_gzip.then_some(names.data), data, offsets }))
    }

    fn load_or_build(&self, number: usize, stop: &Stop) -> Result<IndexedFile> {
        // Another process may have built the index meanwhile.
        if let Some(directory) = self.directory
            && let Some(file) = self.load(number, directory)?
        {
            return Ok(file);
        }
        let path = &self.paths[number];
        let cannot_read = |source| Error::io("cannot read", path, source);
        let file = File::open(path).map_err(cannot_read)?;
        let stamp = Stamp::of(&file).map_err(cannot_read)?;
        let input = file.try_clone().map_err(cannot_read)?.take(stamp.bytes);
        let walk = Walk::new(path, input, self.done)?;
        let names = self.directory.map(|directory| Names::new(directory, path)).transpose()?;
        let is_gzip = walk.is_gzip;
        let (data, offsets) = match &names {
            _ if !is_gzip => {
                let offsets = walk.run(stop, |_| Ok(()))?;
                if offsets.last() != Some(&stamp.bytes) {
                    return Err(Error::data(path, "the file became shorter while it was being indexed"));
                }
                (self.keep(file, path, stamp)?, offsets)
            }
            Some(names) => {
                let mut out = AtomicFile::create_apart(&names.data)?;
                let offsets = walk.run(stop, |bytes| out.write(bytes))?;
                // Synced, because only its size tells whether it is complete.
                out.commit()?;
                let cannot_read = |source| Error::io("cannot read", &names.data, source);
                let data = File::open(&names.data).map_err(cannot_read)?;
                let stamp = Stamp::of(&data).map_err(cannot_read)?;
                (self.keep(data, &names.data, stamp)?, offsets)
            }
            None => self.spool(walk, stop)?,
        };
        if let Some(names) = &names {
            write(&names.index, &Header { is_gzip, stamp }, &offsets)?;
        }
        let copy = names.filter(|_| is_gzip).map(|names| names.data);
        Ok(IndexedFile { path: path.clone(), copy, data, offsets: Offsets::Memory(offsets) })
    }

    /// Keeps the file at `path` open, or arranges that it is opened for each read, whatever the working directory is
    /// then.
    fn keep(&self, file: File, path: &Path, stamp: Stamp) -> Result<Data> {
        if let Some(kept) = self.budget.keep(file) {
            return Ok(Data::Open(kept));
        }
        let whole = std::path::absolute(path).map_err(|source| Error::io("cannot read", path, source))?;
        Ok(Data::Closed(whole, stamp))
    }

    /// Decompresses into a spool.
    fn spool(&self, walk: Walk<'_>, stop: &Stop) -> Result<(Data, Vec<u64>)> {
        let directory = std::env::temp_dir();
        let cannot_write = |source| Error::io("cannot decompress records into the directory", &directory, source);
        let spool = self.spools.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut spool = match spool {
            Some(spool) => spool,
            None => Spool {
                number: self.next_spool.fetch_add(1, Ordering::Relaxed),
                file: tempfile::tempfile().map_err(cannot_write)?,
                bytes: 0,
            },
        };
        let base = spool.bytes;
        let offsets = walk.run(stop, |bytes| {
            spool.bytes += bytes.len() as u64;
            spool.file.write_all(bytes).map_err(cannot_write)
        })?;
        let data = Data::Spooled(spool.number, base);
        self.spools.lock().unwrap_or_else(PoisonError::into_inner).push(spool);
        Ok((data, offsets))
    }
}
