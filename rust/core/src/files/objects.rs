//! Single objects of a bucket, for what is stored there beside a command's own output.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::atomic::{self, AtomicFile};
use super::remote::{self, Address, Failure, FailureKind, Object, Ranges, Reader, Upload};
use crate::{Error, Result};

/// Bytes that are copied at a time.
const BLOCK: usize = 1 << 20;

/// An object below a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its name from the directory on: `a/b`.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// What names its version (its `ETag`), if the server tells.
    pub version: Option<String>,
}

/// Returns the bytes of the object at `path`, or `None` if there is none.
///
/// # Errors
/// [`Error::Io`] if the server refuses or does not answer; [`Error::Input`] if `path` is no address.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    remote::bytes(&Address::parse(path)?)
}

/// Writes the object at `path`, and replaces an existing one.
///
/// # Errors
/// As [`read`].
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    atomic::write(Address::parse(path)?.path(), bytes)
}

/// Writes the object at `path` if there is none. Returns `false` if there is one with other bytes.
///
/// # Errors
/// As [`read`].
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<bool> {
    remote::put_new(&Address::parse(path)?, bytes)
}

/// Returns the size of the object at `path`, or `None` if there is none.
///
/// # Errors
/// As [`read`].
pub fn size(path: &Path) -> Result<Option<u64>> {
    Ok(Object::find(&Address::parse(path)?)?.map(|object| object.bytes))
}

/// Returns all objects below the directory `path`, sorted by name.
///
/// # Errors
/// As [`read`].
pub fn list(path: &Path) -> Result<Vec<Found>> {
    let directory = Address::parse(path)?;
    let before = directory.key.trim_end_matches('/').len();
    let found = remote::below(&directory)?.into_iter().map(|object| Found {
        name: object.address.key[before..].trim_start_matches('/').into(),
        bytes: object.bytes,
        version: object.version,
    });
    Ok(found.collect())
}

/// Removes the object at `path`. It is not an error if there is none.
///
/// # Errors
/// As [`read`].
pub fn remove(path: &Path) -> Result<()> {
    remote::remove(&Address::parse(path)?)
}

/// Copies a local file to the object at `path`, which appears complete or not at all. Ends early when `stop` is set.
///
/// # Errors
/// As [`read`]; [`Error::Interrupted`].
pub fn upload(file: &Path, path: &Path, stop: &AtomicBool) -> Result<()> {
    let cannot_read = |source| Error::io("cannot read", file, source);
    let mut source = File::open(file).map_err(cannot_read)?;
    let mut upload = Upload::new(Address::parse(path)?)?;
    let mut block = vec![0; BLOCK];
    loop {
        match source.read(&mut block) {
            Ok(0) => break,
            Ok(n) => upload.write(&block[..n])?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(cannot_read(error)),
        }
        if stop.load(Ordering::Relaxed) {
            return Err(interrupted());
        }
    }
    upload.commit()?;
    Ok(())
}

/// Copies the object at `path` to a local file, which appears complete or not at all. Ends early when `stop` is set.
///
/// # Errors
/// As [`read`], also if there is no such object; [`Error::Interrupted`].
pub fn download(path: &Path, file: &Path, stop: &Arc<AtomicBool>) -> Result<()> {
    let address = Address::parse(path)?;
    let Some(object) = Object::find(&address)? else {
        return Err(Error::io("cannot read", address.path(), ErrorKind::NotFound.into()));
    };
    let mut source = Reader::new(Arc::new(Ranges::new(object, Arc::clone(stop))), 0);
    let mut out = AtomicFile::create(file)?;
    let mut block = vec![0; BLOCK];
    loop {
        match source.read(&mut block) {
            Ok(0) => break,
            Ok(n) => out.write(&block[..n])?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if Failure::of(&error).is_some_and(|it| it.kind == FailureKind::Stopped) => {
                return Err(interrupted());
            }
            Err(error) => return Err(Error::io("cannot read", address.path(), error)),
        }
    }
    out.commit()?;
    Ok(())
}

fn interrupted() -> Error {
    Error::Interrupted("the file was not copied".into())
}
