//! Notes of tasks whose work has rounds: a file for each thing that is done, in a directory that is removed at the end.
//!
//! The file of thing 7 of a round is `ROUND/00007.SUFFIX`. Next to it, with other suffixes, may be what was made. It is
//! complete before the note appears.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;

use super::raw::names;
use super::remote::{self, Address};
use super::{atomic, remote::is_remote};
use crate::{Error, Result};

/// The directory of the notes.
#[derive(Debug, Clone)]
pub(crate) struct Notes(PathBuf);

impl Notes {
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self(directory.into())
    }

    /// Returns the path of a file of a round.
    pub fn path(&self, round: &str, number: u64, suffix: &str) -> PathBuf {
        self.0.join(round).join(format!("{number:05}.{suffix}"))
    }

    /// Notes that something is done.
    pub fn mark(&self, round: &str, number: u64, note: &impl Serialize) -> Result<()> {
        atomic::write_json_apart(&self.path(round, number, "json"), note)
    }

    /// Returns for each of `total` things of a round whether it has a file with each of these suffixes.
    pub fn done(&self, round: &str, suffixes: &[&str], total: u64) -> Result<Vec<bool>> {
        let mut there = vec![0; total as usize];
        for name in names(&self.0.join(round))? {
            let number = name.split_once('.').filter(|(_, it)| suffixes.contains(it));
            let number = number.and_then(|(number, _)| number.parse::<usize>().ok());
            if let Some(there) = number.and_then(|number| there.get_mut(number)) {
                *there += 1;
            }
        }
        Ok(there.into_iter().map(|count| count == suffixes.len()).collect())
    }

    /// Removes the directory with all that is in it. Several tasks may do this at once.
    pub fn remove(&self) -> Result<()> {
        if let Some(address) = Address::of(&self.0)? {
            remote::remove_abandoned(&address, |_| true)?;
            return remote::below(&address)?.par_iter().try_for_each(|it| remote::remove(&it.address));
        }
        match std::fs::remove_dir_all(&self.0) {
            Ok(()) => Ok(()),
            // Another task does the same, or adds a file, which it will remove.
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::DirectoryNotEmpty) =>
            {
                Ok(())
            }
            Err(source) => Err(Error::io("cannot remove", &self.0, source)),
        }
    }
}

/// Begins a file that other tasks may write at the same time, with the same bytes. Dropping it without a commit removes it.
pub(crate) fn create(path: &Path) -> Result<atomic::AtomicFile> {
    if !is_remote(path) {
        atomic::create_directory(path.parent().unwrap_or(path))?;
    }
    atomic::AtomicFile::create_apart(path)
}
