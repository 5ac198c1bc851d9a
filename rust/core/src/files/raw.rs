//! Opens the bytes of an input as they are stored: a local file or a remote object.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::remote::{Address, Object, Reader, is_remote};
use crate::{Error, Result};

/// A file that can be read from any position.
pub(crate) enum Raw {
    Local(File),
    Remote(Reader),
}

impl Read for Raw {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Local(file) => file.read(buffer),
            Self::Remote(reader) => reader.read(buffer),
        }
    }
}

impl Seek for Raw {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::Local(file) => file.seek(to),
            Self::Remote(reader) => reader.seek(to),
        }
    }
}

/// Returns the content of the file at `path`, local or remote, or `None` if it does not exist. Meant for small files.
///
/// # Errors
/// [`Error::Io`] naming the file.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    if let Some(address) = Address::of(path)? {
        return super::remote::bytes(&address);
    }
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(Error::io("cannot read", path, error)),
    }
}

/// As [`read`], for a file next to another, which need not exist. A file that a server refuses does not: a bucket
/// refuses what does not exist to those who may not list it, and a signature is for one file only.
///
/// # Errors
/// [`Error::Io`] naming the file.
pub(crate) fn read_optional(path: &Path) -> Result<Option<Vec<u8>>> {
    optional(path, read(path))
}

/// As [`size`], in the way of [`read_optional`].
///
/// # Errors
/// [`Error::Io`] if a server does not answer.
pub(crate) fn size_optional(path: &Path) -> Result<Option<u64>> {
    optional(path, size(path))
}

fn optional<T>(path: &Path, found: Result<Option<T>>) -> Result<Option<T>> {
    match found {
        Err(Error::Io { source, .. }) if is_remote(path) && source.kind() == io::ErrorKind::PermissionDenied => {
            Ok(None)
        }
        found => found,
    }
}

/// Returns the content of the file at `path`, local or remote. Meant for small files.
///
/// # Errors
/// [`Error::Io`] naming the file.
pub(crate) fn read_existing(path: &Path) -> Result<Vec<u8>> {
    let missing = || Error::io("cannot read", path, io::Error::from_raw_os_error(libc::ENOENT));
    if is_remote(path) {
        return read(path)?.ok_or_else(missing);
    }
    std::fs::read(path).map_err(|error| Error::io("cannot read", path, error))
}

/// Returns the size of the file at `path`, local or remote, or `None` if there is no such file.
///
/// # Errors
/// [`Error::Io`] if a server refuses or does not answer.
pub(crate) fn size(path: &Path) -> Result<Option<u64>> {
    match Address::of(path)? {
        Some(address) => Ok(Object::find(&address)?.map(|object| object.bytes)),
        None => Ok(std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|file| file.len())),
    }
}

/// Returns the names of the files in `directory`, local or remote, sorted. A directory that does not exist has none.
///
/// # Errors
/// [`Error::Io`] naming the directory.
pub(crate) fn names(directory: &Path) -> Result<Vec<String>> {
    if let Some(address) = Address::of(directory)? {
        return Ok(super::remote::children(&address)?.0);
    }
    let cannot_read = |error| Error::io("cannot read the directory", directory, error);
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(cannot_read)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(cannot_read)?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}
