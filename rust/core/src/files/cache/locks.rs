//! The locks of the cache: files that are never written to.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::SystemTime;

use super::{TICK, interrupted, unwritable};
use crate::{Error, Result};

/// Who else may hold a lock at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Others with the same access.
    Shared,
    /// Nobody.
    Exclusive,
}

/// A lock. A shared one ends when it is dropped in this process and in those forked from it, which may use it as well.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    /// False if the file system has no locks.
    works: bool,
    /// The process that holds it alone.
    owner: Option<u32>,
}

impl Lock {
    /// Whether this keeps others out, if it was taken so.
    pub fn is_exclusive(&self) -> bool {
        self.works
    }

    /// Notes that the entry is used now. If that fails, the entry may only be removed earlier.
    pub fn touch(&self) {
        let _ = self.file.set_modified(SystemTime::now());
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A process forked meanwhile has the file open too, so closing it here would not be enough. In turn, the fork's
        // copy must not release it.
        if self.owner == Some(std::process::id()) {
            let _ = self.file.unlock();
        }
    }
}

/// Locks the file `name` in `root`, which is created. While others hold it, calls `waits` now and then.
///
/// # Errors
/// [`Error::Interrupted`] if `waits` returns `false`; [`Error::System`] if the file cannot be created.
pub(super) fn lock(root: &Path, name: &str, access: Access, waits: &mut dyn FnMut() -> bool) -> Result<Lock> {
    loop {
        if let Some(lock) = try_lock(root, name, access)? {
            return Ok(lock);
        }
        if !waits() {
            return Err(interrupted());
        }
        std::thread::sleep(TICK);
    }
}

/// Locks the file `name` in `root`, or returns `None` if others hold it.
///
/// # Errors
/// [`Error::System`] if the file cannot be created.
pub(super) fn try_lock(root: &Path, name: &str, access: Access) -> Result<Option<Lock>> {
    let path = root.join(name);
    loop {
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|source| unwritable(root, Error::io("cannot write", &path, source)))?;
        let taken = match access {
            Access::Shared => file.try_lock_shared(),
            Access::Exclusive => file.try_lock(),
        };
        match taken {
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(_)) => return Ok(Some(Lock { file, works: false, owner: None })),
            // Otherwise, the one who removed the entry also removed this file, and the name is another file now.
            Ok(()) if is_at(&file, &path) => {
                let owner = (access == Access::Exclusive).then(std::process::id);
                return Ok(Some(Lock { file, works: true, owner }));
            }
            Ok(()) => {}
        }
    }
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let key = |it: std::fs::Metadata| (it.dev(), it.ino());
    file.metadata().map(key).ok() == std::fs::metadata(path).map(key).ok()
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}
