//! Copies files between the local disk and a bucket.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::atomic::AtomicFile;
use super::remote::{Address, Failure, FailureKind, Object, Ranges, Reader, Upload};
use crate::{Error, Result};

/// Bytes that are copied at a time.
const BLOCK: usize = 1 << 20;

/// Copies a local file to the object at `path`, which appears complete or not at all. Ends early when `stop` is set.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, or the server refuses or does not answer; [`Error::Input`] if `path` is no
/// address; [`Error::Interrupted`].
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
/// As [`upload`], also if there is no such object.
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
