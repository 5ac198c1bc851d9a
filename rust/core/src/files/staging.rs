//! Writes an output, a file or a directory, that appears under its name complete or not at all, and replaces an
//! existing one.
//!
//! Everything is written in a hidden directory next to the output, `.NAME.COMMAND.tmp`, while `.NAME.lock` is locked.
//! The next run removes what a killed run left there.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::atomic::sync_directory_of;
use super::lock::{DirectoryLock, claim_whole};
use crate::{Error, Result};

/// The hidden directory.
pub(crate) struct Staging {
    directory: PathBuf,
    output: PathBuf,
    /// The prefix of the names of files that a killed run may have left.
    prefix: String,
    cannot_write: fn(&Path, io::Error) -> Error,
    _lock: DirectoryLock,
}

impl Staging {
    /// Creates the hidden directory for `output`, which `command` writes. Restores or removes what a killed run left.
    ///
    /// # Errors
    /// [`Error::Data`] if another command is writing the same output; the error that `cannot_write` returns if the system
    /// refuses.
    pub fn open(output: &Path, command: &str, cannot_write: fn(&Path, io::Error) -> Error) -> Result<Self> {
        let lock = claim_whole(output)?;
        let mut name = OsString::from(".");
        name.push(output.file_name().unwrap_or_default());
        name.push(format!(".{command}.tmp"));
        let directory = output.with_file_name(name);
        match fs::create_dir(&directory) {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => return Err(cannot_write(output, source)),
            _ => {}
        }
        // A link would lead to files that are not from albert-fast.
        if !fs::symlink_metadata(&directory).is_ok_and(|it| it.is_dir()) {
            let reason = format!(
                "this must be a directory that {command} made for unfinished output, got something else; remove it"
            );
            return Err(Error::data(&directory, reason));
        }
        let prefix = format!(".{command}-");
        let this = Self { directory, output: output.into(), prefix, cannot_write, _lock: lock };
        this.clear().map_err(|source| Error::io("cannot clear", &this.directory, source))?;
        Ok(this)
    }

    /// The hidden directory, for other files that must not outlive the run. Their names begin with `.COMMAND-`.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The directory for the output. The output becomes this directory, or the file in it that has the output's name.
    pub fn files(&self) -> PathBuf {
        self.directory.join("files")
    }

    /// The place of an existing output while it is being replaced.
    fn old(&self) -> PathBuf {
        self.directory.join("old")
    }

    /// Creates [`Staging::files`] empty.
    ///
    /// # Errors
    /// The error that `cannot_write` returns if the system refuses.
    pub fn create_files(&self) -> Result<PathBuf> {
        let files = self.files();
        fs::create_dir(&files).map_err(|source| (self.cannot_write)(&self.output, source))?;
        Ok(files)
    }

    /// Makes the file in [`Staging::files`] that has the output's name the output.
    ///
    /// # Errors
    /// The error that `cannot_write` returns if the system refuses. The output is then unchanged.
    pub fn publish_file(self) -> Result<()> {
        let name = self.output.file_name().unwrap_or_default();
        self.publish(&self.files().join(name))
    }

    /// Makes [`Staging::files`] the output.
    ///
    /// # Errors
    /// The error that `cannot_write` returns if the system refuses. The output is then unchanged.
    pub fn publish_directory(self) -> Result<()> {
        let exists = fs::read_dir(&self.output).is_ok_and(|mut entries| entries.next().is_some());
        if exists {
            fs::rename(&self.output, self.old()).map_err(|source| (self.cannot_write)(&self.output, source))?;
        }
        // If this fails, dropping `self` restores the previous output.
        self.publish(&self.files())
    }

    fn publish(&self, from: &Path) -> Result<()> {
        fs::rename(from, &self.output).map_err(|source| (self.cannot_write)(&self.output, source))?;
        sync_directory_of(&self.output)
    }

    /// Restores an output that was moved away, and removes everything else that a killed run left, but no other files.
    fn clear(&self) -> io::Result<()> {
        let old = self.old();
        if old.exists() && fs::symlink_metadata(&self.output).is_err() {
            fs::rename(&old, &self.output)?;
        }
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let is_ours = matches!(&*name, "files" | "old") || name.starts_with(&self.prefix);
            if is_ours && entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // The error that led here, if any, is the one worth reporting. The next run removes what is left.
        let _ = self.clear().and_then(|()| fs::remove_dir(&self.directory));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cannot_write(path: &Path, source: io::Error) -> Error {
        Error::io("cannot write", path, source)
    }

    fn open(output: &Path) -> Staging {
        Staging::open(output, "test", cannot_write).unwrap()
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_takes_its_place() {
        let root = tempfile::tempdir().unwrap();
        let output = root.path().join("a.txt");
        fs::write(&output, "old").unwrap();
        let staging = open(&output);
        fs::write(staging.create_files().unwrap().join("a.txt"), "new").unwrap();
        assert_eq!(fs::read(&output).unwrap(), b"old");
        staging.publish_file().unwrap();
        assert_eq!((fs::read(&output).unwrap(), names(root.path())), (b"new".to_vec(), vec!["a.txt".to_owned()]));
    }

    #[test]
    fn a_directory_takes_the_place_of_another_as_a_whole() {
        let root = tempfile::tempdir().unwrap();
        let output = root.path().join("out");
        fs::create_dir(&output).unwrap();
        fs::write(output.join("old"), "").unwrap();
        let staging = open(&output);
        fs::write(staging.create_files().unwrap().join("new"), "").unwrap();
        drop(staging);
        assert_eq!(names(&output), ["old"]);
        let staging = open(&output);
        fs::write(staging.create_files().unwrap().join("new"), "").unwrap();
        staging.publish_directory().unwrap();
        assert_eq!((names(&output), names(root.path())), (vec!["new".to_owned()], vec!["out".to_owned()]));
    }

    #[test]
    fn a_failed_replacement_is_undone() {
        let root = tempfile::tempdir().unwrap();
        let output = root.path().join("out");
        fs::create_dir(&output).unwrap();
        fs::write(output.join("old"), "").unwrap();
        // There are no files to replace it with.
        assert!(open(&output).publish_directory().is_err());
        assert_eq!((names(&output), names(root.path())), (vec!["old".to_owned()], vec!["out".to_owned()]));
    }
}
