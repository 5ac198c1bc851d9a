//! Keeps copies of remote directories on the local disk, for files that are read at random or many times.
//!
//! The directory of the cache holds, for each entry:
//!
//! | name | what |
//! |---|---|
//! | `NAME/` | the files, each under its own name once it is complete; `NAME` is 32 digits of its manifest's SHA-256 |
//! | `NAME/.entry.json` | the address and the bytes that the entry may take |
//! | `.NAME.used` | locked by every process that uses the entry, so that nobody removes it; its time is the last use |
//! | `.NAME.fetched` | locked by the process that fetches files into it |
//!
//! `.lock` is locked while a process makes room. All locks are `flock` locks, which end with the process.

mod fetch;
mod locks;
mod room;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use sha2::{Digest, Sha256};

use self::locks::{Access, Lock, lock};
use super::atomic;
use super::remote::{Address, is_remote, public};
use super::scratch;
use crate::error::without_number;
use crate::{Error, Progress, Result};

/// How often to report progress, and to check for others' locks.
const TICK: Duration = Duration::from_millis(100);
/// The name of this work in progress reports.
const STAGE: &str = "fetching";

/// Where copies of remote files are kept, and how many bytes of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cache {
    /// The directory. By default `$ALBERT_FAST_CACHE`, otherwise `$XDG_CACHE_HOME/albert-fast`, otherwise
    /// `~/.cache/albert-fast`.
    pub directory: Option<PathBuf>,
    /// The most bytes that all entries together may take. By default, there is no limit.
    pub size: Option<u64>,
}

/// A file to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    /// Its name in the directory.
    pub name: String,
    /// Its size, if it is known.
    pub bytes: Option<u64>,
    /// The version of the object to fetch, if it is known.
    pub version: Option<String>,
    /// The XXH3-128 of its bytes as `xxhsum -H2` prints it, if it is known.
    pub xxh3_128: Option<String>,
}

/// Files of one remote directory.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// The directory.
    pub address: Address,
    /// The name and the content of the file that tells which files belong together. Equal manifests are one entry,
    /// whatever their address.
    pub manifest: (String, Vec<u8>),
    /// The files that must be there, besides the manifest.
    pub files: Vec<File>,
}

/// A copy in the cache. While this lives, no process removes it.
#[derive(Debug)]
pub(crate) struct Kept {
    directory: PathBuf,
    _lock: Lock,
}

impl Kept {
    /// The local directory with the files.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Cache {
    /// Returns the absolute path of the directory, which may not exist yet.
    fn root(&self) -> Result<PathBuf> {
        let directory = self.directory.clone().map_or_else(scratch::cache, Ok)?;
        if is_remote(&directory) {
            return Err(Error::rule("cache_dir", "a local directory", public(&directory).display()));
        }
        std::path::absolute(&directory).map_err(|source| Error::io("cannot read", &directory, source))
    }

    /// Returns a local directory with the files of `wanted`. Those that the cache lacks are fetched.
    ///
    /// A file appears when all of its bytes have arrived and have the right checksum, and stays if a later one fails.
    /// Processes that want the same entry wait for the one that fetches it.
    ///
    /// # Errors
    /// [`Error::Data`] if an object is not what the manifest says; [`Error::Io`] if it cannot be read; [`Error::Rule`]
    /// if `cache_size` is too small; [`Error::System`] if the cache cannot be written; [`Error::Interrupted`].
    pub(crate) fn fetch(&self, wanted: &Wanted, progress: &mut dyn Progress) -> Result<Kept> {
        self.fetched(wanted, progress).map_err(|error| match error {
            // Of a request that got no answer.
            Error::Interrupted(_) => interrupted(),
            error => error,
        })
    }

    fn fetched(&self, wanted: &Wanted, progress: &mut dyn Progress) -> Result<Kept> {
        let root = self.root()?;
        for file in &wanted.files {
            check_name(&file.name, wanted)?;
        }
        atomic::create_directory(&root).map_err(|error| unwritable(&root, error))?;
        let name = name_of(wanted);
        let directory = root.join(&name);
        let total = wanted.files.iter().filter_map(|file| file.bytes).sum();
        let mut waits = || progress.report(STAGE, "bytes", present(wanted, &directory).min(total), total);
        let used = lock(&root, &format!(".{name}.used"), Access::Shared, &mut waits)?;
        used.touch();
        if !is_complete(wanted, &directory) {
            let fetched = lock(&root, &format!(".{name}.fetched"), Access::Exclusive, &mut waits)?;
            // Another process may have fetched it meanwhile.
            if !is_complete(wanted, &directory) {
                atomic::create_directory(&directory).map_err(|error| unwritable(&root, error))?;
                if fetched.is_exclusive() {
                    atomic::remove_stale(&directory, |_| true)?;
                }
                let needed = fetch::sizes(wanted, &directory, progress)?;
                room::make(&root, &name, &needed, self.size, progress)?;
                fetch::fill(wanted, &needed, &root, &directory, progress)?;
                let mut manifest = atomic::AtomicFile::create_apart(directory.join(&wanted.manifest.0))
                    .map_err(|error| unwritable(&root, error))?;
                manifest.write(&wanted.manifest.1).map_err(|error| unwritable(&root, error))?;
                manifest.commit().map_err(|error| unwritable(&root, error))?;
            }
        }
        Ok(Kept { directory, _lock: used })
    }
}

/// Runs `work`, which waits for a server, on a thread of its own, so that this can end before the server answers.
///
/// # Errors
/// [`Error::Interrupted`] if `progress` says so; that of `work`.
pub(crate) fn waiting<T: Send + 'static>(
    progress: &mut dyn Progress,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (sender, result) = channel();
    std::thread::Builder::new()
        .name("remote-wait".into())
        // The receiver is gone if the caller was interrupted.
        .spawn(move || drop(sender.send(work())))
        .map_err(|error| Error::threads(1, &error))?;
    loop {
        match result.recv_timeout(TICK) {
            Ok(Err(Error::Interrupted(_))) => return Err(interrupted()),
            Ok(result) => return result,
            Err(RecvTimeoutError::Disconnected) => return Err(Error::Internal("a request has no result".into())),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if !progress.report(STAGE, "bytes", 0, 0) {
            return Err(interrupted());
        }
    }
}

fn interrupted() -> Error {
    Error::Interrupted("fetched files are kept: run the same command again to resume".into())
}

/// Returns the name of the entry: equal manifests have equal files.
fn name_of(wanted: &Wanted) -> String {
    let mut first = [0; 16];
    first.copy_from_slice(&Sha256::digest(&wanted.manifest.1)[..16]);
    format!("{:032x}", u128::from_be_bytes(first))
}

/// Refuses a name that would lead out of the entry. A manifest is data that somebody else wrote.
fn check_name(name: &str, wanted: &Wanted) -> Result<()> {
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
        let manifest = wanted.address.join(&wanted.manifest.0).path();
        let reason = format!("{name:?} cannot be the name of a file; copy or make the data again");
        return Err(Error::data(manifest, reason));
    }
    Ok(())
}

/// Whether `directory` has the complete `file`. Files get their names when they are complete.
fn has(directory: &Path, file: &File) -> bool {
    let found = std::fs::metadata(directory.join(&file.name)).ok().filter(std::fs::Metadata::is_file);
    found.is_some_and(|found| file.bytes.is_none_or(|bytes| bytes == found.len()))
}

fn is_complete(wanted: &Wanted, directory: &Path) -> bool {
    let (name, content) = &wanted.manifest;
    std::fs::read(directory.join(name)).is_ok_and(|found| found == *content)
        && wanted.files.iter().all(|file| has(directory, file))
}

/// Returns the bytes of the files that are there.
fn present(wanted: &Wanted, directory: &Path) -> u64 {
    wanted.files.iter().filter(|file| has(directory, file)).filter_map(|file| file.bytes).sum()
}

/// Returns the error for a cache that cannot be written, in place of `error`.
fn unwritable(root: &Path, error: Error) -> Error {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    let Error::Io { source, .. } = &error else { return error };
    let advice = match source.kind() {
        StorageFull | QuotaExceeded => {
            "free some space and run the same command again to resume, or pass another `cache_dir`"
        }
        _ => "pass another `cache_dir`",
    };
    let reason =
        format!("cannot write to the cache directory {}: {}; {advice}", root.display(), without_number(source));
    Error::System { option: Some("cache_dir"), reason }
}
