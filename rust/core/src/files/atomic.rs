//! Writes files that appear under their names complete or not at all.
//!
//! A file is written as `.NAME.tmp` in its directory and synced. Then it is renamed, and the directory is synced. A
//! crash at any moment leaves the old state or the new one, and at worst a temporary file that [`remove_stale`]
//! removes. The leading dot keeps temporaries out of globs such as `records-*`.
//!
//! An object of a bucket is uploaded while it is written, and appears when the upload is completed. A crash leaves an
//! upload without a name, which [`remove_stale`] removes as well.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::raw;
use super::remote::{self, Address, Upload, is_remote};
use crate::{Error, Result};

const SUFFIX: &str = ".tmp";
/// The number of random characters in a unique name of a temporary.
const RANDOM: usize = 6;
/// How often to try again if another process removes a directory meanwhile.
pub(super) const TRIES: usize = 100;

/// A file being written. [`AtomicFile::commit`] gives it its name; dropping it without a commit removes it.
///
/// Nothing is buffered, so pass blocks of a reasonable size.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    temporary: PathBuf,
    file: Option<Open>,
}

#[derive(Debug)]
enum Open {
    Local(File),
    Remote(Box<Upload>),
}

impl AtomicFile {
    /// Opens the temporary next to `path`, whose directory must exist.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        if let Some(address) = Address::of(&path)? {
            let path = address.path();
            let upload = Open::Remote(Box::new(Upload::new(address)?));
            return Ok(Self { path, temporary: PathBuf::new(), file: Some(upload) });
        }
        let temporary = temporary_of(&path);
        let file = File::create(&temporary).map_err(|source| Error::io("cannot write", &path, source))?;
        Ok(Self { path, temporary, file: Some(Open::Local(file)) })
    }

    /// Opens it under a unique temporary name, for directories that several processes may write to at once.
    pub fn create_apart(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        if is_remote(&path) {
            return Self::create(path);
        }
        let (file, temporary) = create_unique(&path)?;
        Ok(Self { path, temporary, file: Some(Open::Local(file)) })
    }

    /// Returns the file's final name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends `bytes`. An error, such as a full disk, names the final path.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.file {
            Some(Open::Local(file)) => {
                file.write_all(bytes).map_err(|source| Error::io("cannot write", &self.path, source))
            }
            Some(Open::Remote(upload)) => upload.write(bytes),
            None => Ok(()),
        }
    }

    /// Syncs the file and gives it its name, replacing an existing file. Takes as long as the disk needs.
    ///
    /// Returns the version (`ETag`) of a remote object, if its server tells it.
    pub fn commit(mut self) -> Result<Option<String>> {
        match self.file.take() {
            None => Ok(None),
            Some(Open::Remote(upload)) => upload.commit(),
            Some(Open::Local(file)) => {
                publish(&file, &self.temporary, &self.path).inspect_err(|_| discard(&self.temporary))?;
                Ok(None)
            }
        }
    }

    /// Gives the file its name without waiting for the disk. Meant for files that have a checksum and can be made
    /// again.
    pub fn commit_unsynced(mut self) -> Result<()> {
        self.rename()
    }

    fn rename(&mut self) -> Result<()> {
        match self.file.take() {
            None => return Ok(()),
            Some(Open::Remote(upload)) => return upload.commit().map(drop),
            Some(Open::Local(file)) => drop(file),
        }
        std::fs::rename(&self.temporary, &self.path).map_err(|source| {
            discard(&self.temporary);
            Error::io("cannot write", &self.path, source)
        })
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if let Some(Open::Local(_)) = self.file.take() {
            discard(&self.temporary);
        }
    }
}

/// Syncs `file`, which is at `temporary`, and renames it to `path`, replacing an existing file.
pub(crate) fn publish(file: &File, temporary: &Path, path: &Path) -> Result<()> {
    file.sync_all()
        .and_then(|()| std::fs::rename(temporary, path))
        .map_err(|source| Error::io("cannot write", path, source))?;
    sync_directory_of(path)
}

/// Copies the local file `from` to `path`, which may be remote, completely or not at all.
pub(crate) fn copy(from: &Path, path: &Path) -> Result<()> {
    let mut file = File::open(from).map_err(|source| Error::io("cannot read", from, source))?;
    send(&mut file, from, path).map(drop)
}

/// Copies what `file`, which is at `from`, has from its position on. Returns the version (`ETag`) of a remote object.
pub(crate) fn send(file: &mut File, from: &Path, path: &Path) -> Result<Option<String>> {
    let mut to = AtomicFile::create(path)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(|source| Error::io("cannot read", from, source))? {
            0 => return to.commit(),
            n => to.write(&buffer[..n])?,
        }
    }
}

/// Writes `bytes` to `path`, completely or not at all.
pub fn write(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let mut file = AtomicFile::create(path.as_ref())?;
    file.write(bytes)?;
    file.commit().map(drop)
}

/// Writes `bytes` to `path`, completely or not at all. Does not replace a remote object with other content, which another
/// command has written meanwhile; a lock keeps others from writing local files.
///
/// # Errors
/// [`Error::Exists`] if there is such an object; [`Error::Io`].
pub fn write_first(path: &Path, bytes: &[u8]) -> Result<()> {
    let Some(address) = Address::of(path)? else { return write(path, bytes) };
    if remote::put_new(&address, bytes)? {
        return Ok(());
    }
    let reason = "another command has written this meanwhile; pass another output";
    Err(Error::exists(path, reason))
}

/// Writes `bytes` to `path`, completely or not at all, if there is no file. Several processes may do so at once, and may
/// remove the temporary or the directory, which is created. Returns whether the file has these bytes, from this process or
/// another.
///
/// # Errors
/// [`Error::Io`].
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<bool> {
    if let Some(address) = Address::of(path)? {
        return remote::put_new(&address, bytes);
    }
    let cannot_write = |source| Error::io("cannot write", path, source);
    repeated(path, || {
        let mut file = unique(path).map_err(cannot_write)?;
        file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(cannot_write)?;
        match file.persist_noclobber(path) {
            Ok(_) => sync_directory_of(path).map(|()| true),
            Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => {
                Ok(raw::read(path)?.as_deref() == Some(bytes))
            }
            Err(error) => Err(cannot_write(error.error)),
        }
    })
}

/// Creates the directory of `path` and does `write`, again and again if other processes remove the directory or the
/// temporary at the same time.
fn repeated<T>(path: &Path, write: impl Fn() -> Result<T>) -> Result<T> {
    let mut tries = 0;
    loop {
        tries += 1;
        match create_directory(directory_of(path)).and_then(|()| write()) {
            Err(error) if error.is_missing() && tries < TRIES => {}
            result => return result,
        }
    }
}

/// Writes `value` as [`write_json`] does, in the way of [`write_new`].
///
/// # Errors
/// [`Error::Io`].
pub fn write_json_new(path: &Path, value: &impl Serialize) -> Result<bool> {
    write_new(path, &json(path, value)?)
}

/// Writes `value` to `path` as indented JSON with a newline, completely or not at all, while others may do the same. They
/// may also remove the directory, which is created.
///
/// # Errors
/// [`Error::Io`].
pub fn write_json_apart(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = json(path, value)?;
    let write = || {
        let mut file = AtomicFile::create_apart(path)?;
        file.write(&text)?;
        file.commit().map(drop)
    };
    if is_remote(path) { write() } else { repeated(path, write) }
}

/// Writes `value` to `path` as indented JSON with a newline, completely or not at all.
pub fn write_json(path: impl AsRef<Path>, value: &impl Serialize) -> Result<()> {
    let path = path.as_ref();
    write(path, &json(path, value)?)
}

/// Writes `value` as [`write_json`] does, in the way of [`write_first`].
pub fn write_json_first(path: impl AsRef<Path>, value: &impl Serialize) -> Result<()> {
    let path = path.as_ref();
    write_first(path, &json(path, value)?)
}

fn json(path: &Path, value: &impl Serialize) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|source| Error::io("cannot write", path, source.into()))?;
    text.push(b'\n');
    Ok(text)
}

/// Creates `directory` and its missing parents. Buckets have no directories to create.
pub fn create_directory(directory: &Path) -> Result<()> {
    if let Some(address) = Address::of(directory)? {
        address.check_writable()?;
        return match remote::Object::find(&address)? {
            Some(_) => {
                Err(Error::exists(directory, "this is a file, and the output is a directory; pass another path"))
            }
            None => Ok(()),
        };
    }
    std::fs::create_dir_all(directory).map_err(|source| Error::io("cannot create the directory", directory, source))
}

/// Removes `path`. It is not an error if `path` does not exist.
pub fn remove(path: &Path) -> Result<()> {
    if let Some(address) = Address::of(path)? {
        return remote::remove(&address);
    }
    match std::fs::remove_file(path) {
        // A read-only file system refuses before it checks whether the file exists.
        Err(source) if path.symlink_metadata().is_ok() => Err(Error::io("cannot remove", path, source)),
        _ => Ok(()),
    }
}

/// Removes what killed runs left in `directory`: temporaries and uploads of files whose names `is_ours` accepts.
pub fn remove_stale(directory: &Path, is_ours: impl Fn(&str) -> bool) -> Result<()> {
    if let Some(address) = Address::of(directory)? {
        return remote::remove_abandoned(&address, is_ours).map(drop);
    }
    let cannot_read = |source| Error::io("cannot read the directory", directory, source);
    for entry in std::fs::read_dir(directory).map_err(cannot_read)? {
        let name = entry.map_err(cannot_read)?.file_name();
        let ours = name.to_str().and_then(named_by).is_some_and(|of| is_ours(of) || shared(of).is_some_and(&is_ours));
        if ours {
            remove(&directory.join(name))?;
        }
    }
    Ok(())
}

/// Returns the name of the file that the temporary `name` is to become, with the random part of
/// [`AtomicFile::create_apart`]. Returns `None` if it is no temporary.
fn named_by(name: &str) -> Option<&str> {
    name.strip_prefix('.')?.strip_suffix(SUFFIX)
}

/// Returns a name without the random part, if it has one.
fn shared(name: &str) -> Option<&str> {
    let (name, random) = name.rsplit_once('.')?;
    (random.len() == RANDOM && random.bytes().all(|it| it.is_ascii_alphanumeric())).then_some(name)
}

/// Makes the names in `path`'s directory durable: a rename is safe only once the directory is on disk.
pub fn sync_directory_of(path: &Path) -> Result<()> {
    let directory = directory_of(path);
    match File::open(directory).and_then(|directory| directory.sync_all()) {
        // Some network and FUSE file systems have no such call. The rename itself has happened.
        Err(source) if matches!(source.kind(), std::io::ErrorKind::InvalidInput | std::io::ErrorKind::Unsupported) => {
            Ok(())
        }
        other => other.map_err(|source| Error::io("cannot sync the directory", directory, source)),
    }
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(directory) if directory != Path::new("") => directory,
        _ => Path::new("."),
    }
}

fn temporary_of(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or(OsStr::new("file")));
    name.push(SUFFIX);
    path.with_file_name(name)
}

/// Creates a temporary for the local `path` that has a unique name, and can be read too. Returns it and its name.
pub(crate) fn create_unique(path: &Path) -> Result<(File, PathBuf)> {
    unique(path)
        .and_then(|file| file.keep().map_err(|error| error.error))
        .map_err(|source| Error::io("cannot write", path, source))
}

/// Creates a temporary for `path` that has a unique name. It is removed when it is dropped.
fn unique(path: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or(OsStr::new("file")));
    prefix.push(".");
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(SUFFIX).rand_bytes(RANDOM);
    // Others may read the finished file; the process's umask applies.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(directory_of(path))
}

pub(crate) fn discard(temporary: &Path) {
    // The error that led here is the one worth reporting. The next run removes a leftover.
    let _ = std::fs::remove_file(temporary);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn nothing_has_the_name_until_commit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("records-0");
        let mut file = AtomicFile::create(&path).unwrap();
        file.write(b"one ").unwrap();
        file.write(b"two").unwrap();
        assert_eq!(names(directory.path()), [".records-0.tmp"]);
        file.commit().unwrap();
        assert_eq!(names(directory.path()), ["records-0"]);
        assert_eq!(std::fs::read(&path).unwrap(), b"one two");
    }

    #[test]
    fn a_dropped_file_leaves_the_old_one_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        write(&path, b"old").unwrap();
        let mut file = AtomicFile::create(&path).unwrap();
        file.write(b"new").unwrap();
        drop(file);
        assert_eq!(names(directory.path()), ["a"]);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
    }

    #[test]
    fn a_failed_commit_leaves_no_temporary() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let mut file = AtomicFile::create(&path).unwrap();
        file.write(b"new").unwrap();
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("inside"), b"").unwrap();
        let error = file.commit().unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot write {}: ", path.display())), "{error}");
        assert_eq!(names(directory.path()), ["a"]);
    }

    #[test]
    fn two_writers_of_one_name_do_not_meet() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let mut one = AtomicFile::create_apart(&path).unwrap();
        let mut two = AtomicFile::create_apart(&path).unwrap();
        one.write(b"one").unwrap();
        two.write(b"other").unwrap();
        assert_eq!(names(directory.path()).len(), 2);
        two.commit().unwrap();
        one.commit_unsynced().unwrap();
        assert_eq!(names(directory.path()), ["a"]);
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        drop(AtomicFile::create_apart(&path).unwrap());
        assert_eq!(names(directory.path()), ["a"]);
    }

    #[test]
    fn a_missing_directory_is_an_error_that_names_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("no").join("a");
        let error = AtomicFile::create(&path).unwrap_err().to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
        assert!(error.contains("No such file"), "{error}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_an_error_that_names_the_file() {
        // Every write to /dev/full fails as on a full disk.
        let full = File::options().write(true).open("/dev/full").unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let mut file = AtomicFile { path: path.clone(), temporary: temporary_of(&path), file: Some(Open::Local(full)) };
        let error = file.write(b"new").unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot write {}: No space left on device", path.display())), "{error}");
        assert!(error.contains("run the same command again"), "{error}");
    }

    #[test]
    fn only_our_temporaries_are_stale() {
        let directory = tempfile::tempdir().unwrap();
        for name in [".a.tmp", ".b.tmp", "a", ".a", "a.tmp", ".a.12.tmp", ".b.aB3dE6.tmp"] {
            std::fs::write(directory.path().join(name), b"").unwrap();
        }
        std::mem::forget(AtomicFile::create_apart(directory.path().join("a")).unwrap());
        assert_eq!(names(directory.path()).len(), 8);
        remove_stale(directory.path(), |name| name == "a").unwrap();
        assert_eq!(names(directory.path()), [".a", ".a.12.tmp", ".b.aB3dE6.tmp", ".b.tmp", "a", "a.tmp"]);
    }

    #[test]
    fn a_new_file_replaces_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        assert!(write_new(&path, b"one").unwrap());
        assert!(write_new(&path, b"one").unwrap());
        assert!(!write_new(&path, b"other").unwrap());
        assert_eq!(names(directory.path()), ["a"]);
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        let error = write_new(&path.join("a"), b"one").unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot create the directory {}: ", path.display())), "{error}");
        // Of many at once, one writes its own.
        let path = directory.path().join("b");
        let won: usize = std::thread::scope(|scope| {
            let path = &path;
            let threads: Vec<_> = (0..8_u8).map(|it| scope.spawn(move || write_new(path, &[it]).unwrap())).collect();
            threads.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum()
        });
        assert_eq!((won, names(directory.path()).len()), (1, 2));
    }

    #[test]
    fn a_directory_that_others_remove_is_no_obstacle() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("inner");
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let path = inner.join(thread.to_string());
                scope.spawn(move || {
                    for _ in 0..200 {
                        write_json_apart(&path, &thread).unwrap();
                        std::fs::remove_file(&path).unwrap();
                        let inner = path.parent().unwrap();
                        // An error: another thread has removed the directory.
                        let _ = remove_stale(inner, |_| true);
                        let _ = std::fs::remove_dir(inner);
                        assert!(write_new(&path, b"one").unwrap());
                        std::fs::remove_file(&path).unwrap();
                    }
                });
            }
        });
    }

    #[test]
    fn json_ends_in_a_newline() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.json");
        write_json(&path, &serde_json::json!({"b": 1})).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\n  \"b\": 1\n}\n");
    }
}
