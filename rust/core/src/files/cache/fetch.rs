//! Fetches the files of an entry, several at a time and in bounded memory.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::Xxh3;

use super::room::{Needed, stored};
use super::{File, STAGE, TICK, Wanted, has, interrupted, unwritable, waiting};
use crate::files::atomic::AtomicFile;
use crate::files::remote::{Address, Failure, FailureKind, Listed, Object, Ranges, Reader};
use crate::{Error, Progress, Result};

/// The most files that are fetched at the same time.
const FILES: usize = 8;
/// The most bytes that a reader of one file requests ahead.
const AHEAD: u64 = 40 << 20;
/// The most bytes that all readers together request ahead.
const MEMORY: u64 = 2 * AHEAD;
/// How long to wait for the other threads after one has failed.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes that are written at a time.
const BLOCK: usize = 1 << 20;

/// Returns the sizes of the files of `wanted`. Asks the server for those that are not known.
pub(super) fn sizes(wanted: &Wanted, directory: &Path, progress: &mut dyn Progress) -> Result<Needed> {
    let mut needed =
        Needed { address: wanted.address.to_string(), files: Vec::new(), missing: 0, total: stored(directory) };
    for file in &wanted.files {
        let bytes = if let Some(bytes) = file.bytes {
            bytes
        } else {
            let (address, file) = (wanted.address.clone(), file.clone());
            waiting(progress, move || open(&address, &file))?.bytes
        };
        needed.files.push(bytes);
        if !has(directory, file) {
            needed.missing += bytes;
        }
    }
    needed.total += needed.missing;
    Ok(needed)
}

/// Returns the object of a file.
///
/// # Errors
/// [`Error::Data`] if there is none, or if it has another size; [`Error::Io`].
fn open(directory: &Address, file: &File) -> Result<Object> {
    let address = directory.join(&file.name);
    if let (Some(bytes), Some(_)) = (file.bytes, &file.version) {
        return Listed { address, bytes, version: file.version.clone() }.open();
    }
    let Some(object) = Object::find(&address)? else {
        let reason = "there is no such object, but it belongs to the data there; copy or make the data again";
        return Err(Error::data(address.path(), reason));
    };
    match file.bytes {
        Some(bytes) if bytes != object.bytes => Err(Error::data(
            address.path(),
            format!("the object has {} bytes, and not {bytes}; copy or make the data again", object.bytes),
        )),
        _ => Ok(object),
    }
}

/// What the threads share. They may outlive the call: one that waits for a server ends when it answers.
struct Fill {
    wanted: Wanted,
    /// The numbers of the files to fetch, and their bytes.
    missing: Vec<(usize, u64)>,
    root: PathBuf,
    directory: PathBuf,
    next: AtomicUsize,
    done: AtomicU64,
    stop: Arc<AtomicBool>,
    memory: Memory,
}

/// Fetches the files that `directory` lacks.
pub(super) fn fill(
    wanted: &Wanted,
    needed: &Needed,
    root: &Path,
    directory: &Path,
    progress: &mut dyn Progress,
) -> Result<()> {
    let missing: Vec<_> = needed.files.iter().copied().enumerate().collect();
    let missing: Vec<_> = missing.into_iter().filter(|&(number, _)| !has(directory, &wanted.files[number])).collect();
    let (count, threads) = (missing.len(), missing.len().min(FILES));
    let total: u64 = needed.files.iter().sum();
    let fill = Arc::new(Fill {
        wanted: wanted.clone(),
        missing,
        root: root.into(),
        directory: directory.into(),
        next: AtomicUsize::new(0),
        done: AtomicU64::new(total - needed.missing),
        stop: Arc::default(),
        memory: Memory::default(),
    });
    let (sender, results) = channel();
    for _ in 0..threads {
        let (fill, sender) = (Arc::clone(&fill), sender.clone());
        std::thread::Builder::new()
            .name("remote-fetch".into())
            .spawn(move || {
                while let Some(result) = fill.next() {
                    // The receiver is gone if another file has failed.
                    if sender.send(result).is_err() {
                        return;
                    }
                }
            })
            .map_err(|error| Error::threads(threads, &error))?;
    }
    drop(sender);
    let stop = progress.stop();
    let mut last = Instant::now();
    let mut left = count;
    while left > 0 {
        let result = match results.recv_timeout(TICK) {
            Ok(Ok(())) => {
                left -= 1;
                Ok(())
            }
            Ok(Err(error)) => Err(error),
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => Err(Error::Internal("a file was not fetched".into())),
        };
        let mut wanted = true;
        if left == 0 || last.elapsed() >= TICK {
            last = Instant::now();
            wanted = progress.report(STAGE, "bytes", fill.done.load(Ordering::Relaxed).min(total), total);
        }
        let stopped = left > 0 && (!wanted || stop.load(Ordering::Relaxed));
        if stopped || result.is_err() {
            fill.stop.store(true, Ordering::Relaxed);
            // The others end at the next block, except one whose server does not answer.
            let deadline = Instant::now() + PATIENCE;
            while results.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_ok() {}
            return result.and(Err(interrupted()));
        }
    }
    Ok(())
}

impl Fill {
    /// Fetches the next file. Returns `None` if there is none left.
    fn next(&self) -> Option<Result<()>> {
        if self.stop.load(Ordering::Relaxed) {
            return None;
        }
        let &(number, bytes) = self.missing.get(self.next.fetch_add(1, Ordering::Relaxed))?;
        Some(self.fetch(&self.wanted.files[number], bytes))
    }

    fn fetch(&self, file: &File, bytes: u64) -> Result<()> {
        let _room = self.memory.take(bytes.min(AHEAD));
        let address = self.wanted.address.join(&file.name);
        let object = open(&self.wanted.address, file)?;
        let mut reader = Reader::new(Arc::new(Ranges::new(object, Arc::clone(&self.stop))), 0);
        let cannot_write = |error| unwritable(&self.root, error);
        let mut out = AtomicFile::create_apart(self.directory.join(&file.name)).map_err(cannot_write)?;
        let mut hash = Xxh3::new();
        let mut block = vec![0; BLOCK];
        loop {
            match reader.read(&mut block) {
                Ok(0) => break,
                Ok(read) => {
                    hash.update(&block[..read]);
                    out.write(&block[..read]).map_err(cannot_write)?;
                    self.done.fetch_add(read as u64, Ordering::Relaxed);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if Failure::of(&error).is_some_and(|it| it.kind == FailureKind::Stopped) => {
                    return Err(interrupted());
                }
                Err(error) => return Err(Error::io("cannot read", address.path(), error)),
            }
        }
        let found = format!("{:032x}", hash.digest128());
        if let Some(wanted) = &file.xxh3_128
            && *wanted != found
        {
            let reason = format!(
                "its checksum (XXH3-128) is {found}, but {} says {wanted}; copy or make the data again",
                self.wanted.manifest.0
            );
            return Err(Error::data(address.path(), reason));
        }
        out.commit().map_err(cannot_write)?;
        Ok(())
    }
}

/// The bytes that readers hold at the moment, and who waits for them.
#[derive(Default)]
struct Memory {
    taken: Mutex<u64>,
    changed: Condvar,
}

struct Taken<'a>(&'a Memory, u64);

impl Memory {
    /// Waits until there is room for `bytes`.
    fn take(&self, bytes: u64) -> Taken<'_> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken =
            self.changed.wait_while(taken, |taken| *taken + bytes > MEMORY).unwrap_or_else(PoisonError::into_inner);
        *taken += bytes;
        Taken(self, bytes)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) -= self.1;
        self.0.changed.notify_all();
    }
}
