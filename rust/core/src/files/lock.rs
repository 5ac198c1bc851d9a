//! Locks outputs. If two commands write to the same place, the second is refused.
//!
//! A directory that is filled in place is locked itself ([`claim`], [`lock`]). An output that appears at once and
//! complete, a file or a directory that replaces another, is locked through `.NAME.lock` next to it ([`claim_whole`]).
//! The locks are `flock` locks, which end with the process, however it ends.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use super::atomic::{TRIES, create_directory};
use super::remote::{Address, is_remote};
use super::scratch;
use crate::{Error, Result};

/// A lock on an output. It ends when this is dropped.
#[derive(Debug)]
pub struct DirectoryLock {
    /// The locked file, or `None` for a bucket, which has no locks.
    file: Option<File>,
    /// The process that holds the lock, or `None` if the file system has no locks.
    owner: Option<u32>,
    /// The lock file to remove at the end, if there is one.
    lock_file: Option<PathBuf>,
    /// Directories created for the lock, the innermost first. At the end, those that are still empty are removed.
    made: Vec<PathBuf>,
}

impl DirectoryLock {
    /// Locks `directory`. Returns `None` while another run holds the lock.
    ///
    /// NFS cannot lock a directory, so a file next to it is locked there.
    ///
    /// # Errors
    /// [`Error::Io`] if the directory cannot be opened.
    pub fn take(directory: &Path) -> Result<Option<Self>> {
        let file = File::open(directory).map_err(|source| Error::io("cannot open the directory", directory, source))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self::of(file, true))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(_)) => Ok(match Self::take_beside(directory) {
                Ok(beside) => beside,
                Err(_) => Some(Self::of(file, false)),
            }),
        }
    }

    /// Locks the name `path` through a file next to it. Returns `None` while another run holds the lock.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be created.
    fn take_beside(path: &Path) -> Result<Option<Self>> {
        // Another spelling of the directory, or a link to it, must give the same lock.
        let path = path.canonicalize().unwrap_or_else(|_| path.into());
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(".lock");
        let lock_file = path.with_file_name(name);
        loop {
            let file = File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&lock_file)
                .map_err(|source| Error::io("cannot write", &path, source))?;
            let mut lock = match file.try_lock() {
                Ok(()) => Self::of(file, true),
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(_)) => Self::of(file, false),
            };
            // Otherwise, the previous holder removed the file meanwhile.
            if !lock.is_exclusive() || lock.is_of(&lock_file) {
                lock.lock_file = Some(lock_file);
                return Ok(Some(lock));
            }
        }
    }

    fn of(file: File, exclusive: bool) -> Self {
        Self { file: Some(file), owner: exclusive.then(std::process::id), lock_file: None, made: Vec::new() }
    }

    /// Returns what stands for a lock in a bucket. There, conditional writes keep two runs apart.
    fn none() -> Self {
        Self { file: None, owner: None, lock_file: None, made: Vec::new() }
    }

    /// Whether the locked directory is the one that has this name now.
    pub fn is_of(&self, directory: &Path) -> bool {
        let Some(file) = self.file.as_ref().filter(|_| self.lock_file.is_none()) else { return true };
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let key = |it: std::fs::Metadata| (it.dev(), it.ino());
            file.metadata().map(key).ok() == std::fs::metadata(directory).map(key).ok()
        }
        #[cfg(not(unix))]
        {
            directory.exists()
        }
    }

    /// Whether this keeps others out. False if the file system has no locks, because others cannot be detected then.
    pub fn is_exclusive(&self) -> bool {
        self.owner.is_some()
    }
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // A process forked meanwhile has the file open too, so closing it here would leave the directory locked until
        // that process ends. In turn, the fork's copy of this lock must not release it.
        if self.owner == Some(std::process::id()) {
            if let Some(file) = &self.lock_file {
                let _ = std::fs::remove_file(file);
            }
            // Stops at the first directory that is not empty.
            let _ = self.made.iter().try_for_each(std::fs::remove_dir);
            // If this fails, the lock ends when the file is closed.
            let _ = self.file.as_ref().map(File::unlock);
        }
    }
}

/// Keeps a second run out of the existing `directory` while the lock lives.
///
/// # Errors
/// [`Error::Data`] if another run holds the lock; [`Error::Io`] if the directory cannot be opened.
pub fn lock(directory: &Path) -> Result<DirectoryLock> {
    if is_remote(directory) {
        return Ok(DirectoryLock::none());
    }
    DirectoryLock::take(directory)?.ok_or_else(|| busy(directory))
}

/// Creates `directory` and its missing parents, and keeps a second run out. Created directories that are still empty when
/// the lock ends are removed, unless two runs start at the same moment.
///
/// For a bucket, it is the local directory for intermediate files that is locked. Only commands on this machine are kept
/// out by that.
///
/// # Errors
/// [`Error::Data`] if another run holds the lock; [`Error::Io`] if the directory cannot be created.
pub fn claim(directory: &Path) -> Result<DirectoryLock> {
    if let Some(address) = Address::of(directory)? {
        // Commands of other machines are kept apart by conditional writes.
        return claim(&scratch::beside(&address)?).map_err(|error| match error {
            Error::Data { .. } => busy(directory),
            error => error,
        });
    }
    let mut tries = 0;
    loop {
        let made = create(directory)?;
        tries += 1;
        let mut lock = match DirectoryLock::take(directory) {
            Ok(lock) => lock.ok_or_else(|| busy(directory))?,
            // The previous holder removed the directory meanwhile.
            Err(error) if error.is_missing() && tries < TRIES => continue,
            Err(error) => return Err(error),
        };
        lock.made = made;
        if lock.is_of(directory) {
            return Ok(lock);
        }
        lock.made.clear();
    }
}

/// Keeps a second run from writing `path`, a file or directory that appears at once and complete. Its parent directory
/// is created, and removed at the end if it is empty.
///
/// # Errors
/// [`Error::Data`] if another command is writing `path`; [`Error::Io`] if the directory cannot be written to.
pub fn claim_whole(path: &Path) -> Result<DirectoryLock> {
    if is_remote(path) {
        return Ok(DirectoryLock::none());
    }
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    let mut tries = 0;
    loop {
        let made = directory.map(create).transpose()?.unwrap_or_default();
        tries += 1;
        let lock = match DirectoryLock::take_beside(path) {
            Ok(lock) => lock,
            // The previous holder removed the directory meanwhile.
            Err(error) if error.is_missing() && tries < TRIES => continue,
            Err(error) => return Err(error),
        };
        let mut lock = lock.ok_or_else(|| {
            Error::data(path, "another command is writing this output; wait for it, or pass another path")
        })?;
        lock.made = made;
        return Ok(lock);
    }
}

/// Creates `directory` and returns the directories that did not exist, the innermost first.
fn create(directory: &Path) -> Result<Vec<PathBuf>> {
    let missing = |it: &&Path| !it.as_os_str().is_empty() && it.symlink_metadata().is_err();
    let made = directory.ancestors().take_while(missing).map(Path::to_path_buf).collect();
    let mut tries = 0;
    while let Err(error) = create_directory(directory) {
        // Another run may remove a directory that it created and that existed a moment ago.
        tries += 1;
        if !error.is_missing() || tries == TRIES {
            return Err(error);
        }
    }
    Ok(made)
}

fn busy(directory: &Path) -> Error {
    Error::data(directory, "another command is writing to this directory; wait for it, or pass another `output_dir`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_ends_with_its_owner_s_guard() {
        let directory = tempfile::tempdir().unwrap();
        let held = lock(directory.path()).unwrap();
        assert!(held.is_exclusive());
        assert!(DirectoryLock::take(directory.path()).unwrap().is_none());
        // A forked process has the same open file, and a guard that is not its own.
        let inherited = held.file.as_ref().unwrap().try_clone().unwrap();
        let mut copy = DirectoryLock::of(inherited.try_clone().unwrap(), true);
        copy.owner = Some(std::process::id() ^ 1);
        drop(copy);
        let error = lock(directory.path()).unwrap_err().to_string();
        assert!(error.contains("another command is writing to this directory"), "{error}");
        drop(held);
        lock(directory.path()).unwrap();
        drop(inherited);
    }

    #[test]
    fn a_claim_of_a_whole_output_leaves_no_empty_directories() {
        let root = tempfile::tempdir().unwrap();
        let output = root.path().join("a/b/file");
        drop(claim_whole(&output).unwrap());
        assert!(!root.path().join("a").exists());
        let held = claim_whole(&output).unwrap();
        std::fs::write(&output, b"").unwrap();
        drop(held);
        assert!(output.exists());
    }

    #[test]
    fn a_claim_leaves_no_empty_directories() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("a/b");
        let held = claim(&directory).unwrap();
        assert!(claim(&directory).unwrap_err().to_string().contains("another command is writing to this directory"));
        assert!(directory.is_dir());
        drop(held);
        assert!(!root.path().join("a").exists());
        let held = claim(&directory).unwrap();
        std::fs::write(root.path().join("a/file"), b"").unwrap();
        drop(held);
        assert!(root.path().join("a").is_dir() && !directory.exists());
        std::fs::create_dir(&directory).unwrap();
        drop(claim(&directory).unwrap());
        assert!(directory.is_dir(), "it was there before");
    }

    #[test]
    fn whole_outputs_are_locked_next_to_them() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("new/out");
        let held = claim_whole(&path).unwrap();
        assert!(!path.exists() && root.path().join("new/.out.lock").exists());
        let error = claim_whole(&root.path().join("new/../new/out")).unwrap_err().to_string();
        assert!(error.contains("another command is writing this output"), "{error}");
        claim_whole(&root.path().join("new/other")).unwrap();
        drop(held);
        assert!(!root.path().join("new").exists());
        claim_whole(&path).unwrap();
    }

    #[test]
    fn a_directory_that_another_removes_is_created_again() {
        let root = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let path = root.path().join(format!("new/{thread}"));
                scope.spawn(move || {
                    for _ in 0..500 {
                        // Each has its own output, and the last one removes the directory.
                        drop(claim_whole(&path).unwrap());
                    }
                });
            }
        });
    }

    #[test]
    fn threads_get_one_lock_at_a_time() {
        use std::sync::atomic::{AtomicU32, Ordering};
        let root = tempfile::tempdir().unwrap();
        let (directory, file) = (root.path().join("directory"), root.path().join("file"));
        for take in [&|| claim(&directory).is_ok(), &|| claim_whole(&file).is_ok()] as [&(dyn Fn() -> bool + Sync); 2] {
            assert!(take());
        }
        let (inside, got) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let Ok(_lock) = claim(&directory) else { continue };
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        got.fetch_add(1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(got.into_inner() > 0);
        // If two runs start at once, one may create the directory and the other get the lock. Then it remains, empty.
        assert!(std::fs::read_dir(&directory).is_ok_and(|mut entries| entries.next().is_none()) || !directory.exists());
    }
}
