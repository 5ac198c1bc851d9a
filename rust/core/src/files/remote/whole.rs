//! Small remote files by their paths, for callers outside this crate.

use std::path::{Path, PathBuf};

use super::address::Address;
use super::list::below;
use super::object::{self, Object};
use crate::Result;

/// Returns a path as it may be shown and noted down. The secret parts of a web address stay in memory, so the result can
/// still be read.
///
/// # Errors
/// [`Error::Input`](crate::Error::Input) if this is not an address.
pub fn shown(path: &Path) -> Result<PathBuf> {
    Ok(Address::of(path)?.map_or_else(|| path.into(), |address| address.path()))
}

/// Returns all bytes of the object at `path`, or `None` if there is none.
///
/// # Errors
/// [`Error::Input`](crate::Error::Input) if this is not an address; [`Error::Io`](crate::Error::Io) if the server refuses
/// or does not answer.
pub fn read_all(path: &Path) -> Result<Option<Vec<u8>>> {
    object::bytes(&Address::parse(path)?)
}

/// Returns the size of the object at `path` in bytes, or `None` if there is none.
///
/// # Errors
/// As [`read_all`].
pub fn size_of(path: &Path) -> Result<Option<u64>> {
    Ok(Object::find(&Address::parse(path)?)?.map(|object| object.bytes))
}

/// Writes `bytes` to `path`. With `create`, an existing object stays. Returns whether it was written.
///
/// # Errors
/// As [`read_all`].
pub fn write_all(path: &Path, bytes: &[u8], create: bool) -> Result<bool> {
    let address = Address::parse(path)?;
    if create {
        return object::put_new(&address, bytes);
    }
    object::put(&address, bytes.to_vec()).map(|_| true)
}

/// Returns the objects below the directory `path`: name relative to it, size in bytes, and version.
///
/// # Errors
/// As [`read_all`].
pub fn list_all(path: &Path) -> Result<Vec<(String, u64, Option<String>)>> {
    let directory = Address::parse(path)?;
    let skipped = directory.join("").key.len();
    Ok(below(&directory)?.into_iter().map(|it| (it.address.key[skipped..].to_owned(), it.bytes, it.version)).collect())
}

/// Removes the object at `path`. It is not an error if there is none.
///
/// # Errors
/// As [`read_all`].
pub fn remove_file(path: &Path) -> Result<()> {
    object::remove(&Address::parse(path)?)
}
