//! Finds out what an output directory holds: complete records, an interrupted run, or something else.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::dataset::{self, Dataset, Shard, is_shard_name, shard_name};
use super::header::{FORMAT, Header};
use super::markers::{self, Files};
use crate::files::atomic;
use crate::files::lock::DirectoryLock;
use crate::files::raw::{names, read};
use crate::files::remote::is_remote;
use crate::files::resume::{Replace, check_same, not_ours};
use crate::tasks::Share;
use crate::{Error, Result};

const FILE: &str = "make-records.partial.jsonl";
/// What the command line writes next to the records.
const CONFIG: &str = "make-records.config.json";

const MEANWHILE: &str = "another command writes records here; pass another `output_dir`, or wait for it and pass \
                         overwrite=True without `num_tasks` to replace them";

/// What a directory says of its records.
pub(super) struct Notes {
    pub header: Header,
    /// The content of `dataset.json`, if it exists.
    pub dataset: Option<Dataset>,
    /// The shards that the journal lists, if there is no `dataset.json`.
    lines: Vec<Shard>,
}

impl Notes {
    /// Returns what `directory` says, or `None` if it has neither `dataset.json` nor a journal.
    pub fn read(directory: &Path) -> Result<Option<Self>> {
        // Another run may finish between two looks: it writes `dataset.json`, and then removes the journal.
        let complete = || -> Result<Option<Self>> {
            let dataset = read_dataset(directory)?;
            Ok(dataset.map(|it| Self { header: it.header(), dataset: Some(it), lines: Vec::new() }))
        };
        if let Some(notes) = complete()? {
            return Ok(Some(notes));
        }
        match read_journal(directory)? {
            Some((header, lines)) => Ok(Some(Self { header, dataset: None, lines })),
            None => complete(),
        }
    }

    pub fn num_shards(&self) -> u64 {
        let listed = self.dataset.as_ref().map_or(&self.lines, |dataset| &dataset.shards);
        self.header.num_shards().unwrap_or(listed.len()) as u64
    }

    /// Returns all shards in order. It is `None` for those that are not complete, and those outside the share.
    pub fn shards(&self, directory: &Path, share: Option<Share>) -> Result<Vec<Option<Shard>>> {
        let count = self.num_shards();
        let range = share.map_or(0..count, |share| share.range(count));
        let files = Files::of(directory)?;
        let marked = if self.dataset.is_none() { files.marked(&self.header, range.clone())? } else { Vec::new() };
        let listed = self.dataset.as_ref().map_or(&self.lines, |dataset| &dataset.shards);
        let mut shards = vec![None; count as usize];
        for shard in listed.iter().chain(&marked) {
            let number = shard.file.split('-').nth(1).and_then(|number| number.parse().ok());
            let index = number.filter(|&index: &u64| {
                range.contains(&index) && shard_name(index, count, self.header.compression()) == shard.file
            });
            if let Some(index) = index
                && files.size(&shard.file)? == Some(shard.bytes)
            {
                shards[index as usize] = Some(shard.clone());
            }
        }
        Ok(shards)
    }

    /// Returns the number of shards that are noted as complete, without a look at each.
    pub fn count(&self, directory: &Path) -> Result<u64> {
        let mut names = markers::marked_names(directory)?;
        names.extend(self.lines.iter().map(|shard| shard.file.clone()));
        names.sort();
        names.dedup();
        Ok(names.len() as u64)
    }
}

/// The result of [`find`].
pub(super) struct Found {
    /// The shards in order; `None` if a shard is not complete, or is not in the share that was asked for.
    pub shards: Vec<Option<Shard>>,
    /// The content of `dataset.json`, if it exists.
    pub dataset: Option<Dataset>,
}

/// Returns what `directory` holds of the records that `header` describes, or `None` if it holds no records. Incomplete
/// records are only looked at in the share.
pub(super) fn find(directory: &Path, header: &Header, share: Option<Share>) -> Result<Option<Found>> {
    find_as(directory, header, share, Replace::of(share.is_some()))
}

/// As [`find`], with how other records can be replaced.
pub(super) fn find_as(
    directory: &Path,
    header: &Header,
    share: Option<Share>,
    replace: Replace,
) -> Result<Option<Found>> {
    let mut notes = Notes::read(directory)?;
    if notes.is_none() {
        let Some(name) = foreign_shard(directory)? else { return Ok(None) };
        // A task may have begun meanwhile: its journal is there before its first shard.
        notes = Notes::read(directory)?;
        if notes.is_none() {
            let advice = match replace {
                Replace::Overwrite => "overwrite=True to remove the records",
                Replace::Remove => "remove the records before the first task",
            };
            let reason = format!(
                "the directory holds {name}, but neither {} nor {FILE}, which say what it was made from; pass another \
                 `output_dir`, or {advice}",
                dataset::FILE
            );
            return Err(Error::exists(directory, reason));
        }
    }
    let Some(notes) = notes else { return Ok(None) };
    check_same(directory, notes.dataset.is_some(), &notes.header.differences(header), replace)?;
    let share = share.filter(|_| notes.dataset.is_none());
    let shards = notes.shards(directory, share)?;
    Ok(Some(Found { shards, dataset: notes.dataset }))
}

/// Returns the name of a shard in `directory`, if there is one.
pub(super) fn foreign_shard(directory: &Path) -> Result<Option<String>> {
    Ok(names(directory)?.into_iter().find(|name| is_shard_name(name)))
}

/// Returns the content of `dataset.json`, if it exists.
pub(super) fn read_dataset(directory: &Path) -> Result<Option<Dataset>> {
    let path = directory.join(dataset::FILE);
    let Some(text) = read(&path)? else { return Ok(None) };
    match serde_json::from_slice::<Dataset>(&text) {
        Ok(dataset) if dataset.format == FORMAT => Ok(Some(dataset)),
        Ok(dataset) => Err(not_ours(&path, &format!("its format is {:?}", dataset.format))),
        Err(error) => Err(not_ours(&path, &error.to_string())),
    }
}

fn read_journal(directory: &Path) -> Result<Option<(Header, Vec<Shard>)>> {
    let path = directory.join(FILE);
    let Some(text) = read(&path)? else { return Ok(None) };
    let mut lines = text.split(|&byte| byte == b'\n');
    let header = serde_json::from_slice::<Header>(lines.next().unwrap_or_default())
        .map_err(|error| not_ours(&path, &error.to_string()))?;
    // A line that was being written when the machine crashed does not count.
    let shards = lines.map_while(|line| serde_json::from_slice(line).ok()).collect();
    Ok(Some((header, shards)))
}

/// Writes `dataset.json`, and removes what is not needed any more. Several tasks may do this at once.
///
/// # Errors
/// [`Error::Exists`] if there is another `dataset.json`; [`Error::Io`].
pub(super) fn publish(directory: &Path, dataset: &Dataset) -> Result<()> {
    if !atomic::write_json_new(&directory.join(dataset::FILE), dataset)? {
        let version = dataset.albert_fast_version.clone();
        let there = read_dataset(directory)?.map(|there| Dataset { albert_fast_version: version, ..there });
        if there.as_ref() != Some(dataset) {
            return Err(Error::exists(directory, MEANWHILE));
        }
    }
    tidy(directory)
}

/// Removes what is not needed next to complete records: the journal, and temporaries.
pub(super) fn tidy(directory: &Path) -> Result<()> {
    Journal::remove(directory)?;
    atomic::remove_stale(directory, is_ours)
}

/// Removes everything written here. The journal is removed last, so that a run that is killed meanwhile leaves a
/// directory that can still be recognized.
pub(super) fn clear(directory: &Path) -> Result<()> {
    atomic::remove(&directory.join(dataset::FILE))?;
    for name in names(directory)?.iter().filter(|name| is_shard_name(name)) {
        atomic::remove(&directory.join(name))?;
    }
    Journal::remove(directory)
}

/// Whether a file of this name belongs to what is written here.
fn is_ours(name: &str) -> bool {
    is_shard_name(name) || [FILE, dataset::FILE, CONFIG].contains(&name)
}

/// The journal of complete shards, open for more.
pub(super) struct Journal {
    directory: PathBuf,
    path: PathBuf,
    /// The open journal. In a bucket, and for a task, there is a file for each shard instead.
    file: Option<File>,
    /// The lock on the directory. Tasks have none.
    lock: Option<Arc<DirectoryLock>>,
}

impl Journal {
    /// Removes temporaries, and writes the journal of a run that begins with `complete` shards. `is_known` says whether
    /// `find` has seen a `dataset.json`.
    pub fn start<'a>(
        directory: &Path,
        header: &Header,
        complete: impl Iterator<Item = &'a Shard>,
        is_known: bool,
        lock: Arc<DirectoryLock>,
    ) -> Result<Self> {
        atomic::remove_stale(directory, is_ours)?;
        let path = directory.join(FILE);
        let mut text = line(&path, header)?;
        for shard in complete {
            text.extend(line(&path, shard)?);
        }
        if is_remote(directory) {
            // Another machine may have begun since `find` looked.
            match read_journal(directory)? {
                None => atomic::write_first(&path, &text)?,
                Some((there, _)) => check_same(directory, false, &there.differences(header), Replace::Overwrite)?,
            }
            // And it may have finished.
            if !is_known && read_dataset(directory)?.is_some() {
                Self::remove(directory)?;
                return Err(Error::exists(directory, MEANWHILE));
            }
        } else {
            atomic::write(&path, &text)?;
        }
        // If this file exists, a complete set has lost a shard. From here on, the journal describes the directory.
        atomic::remove(&directory.join(dataset::FILE))?;
        let file = if is_remote(directory) {
            None
        } else {
            let file = File::options().append(true).open(&path);
            Some(file.map_err(|error| Error::io("cannot write", &path, error))?)
        };
        Ok(Self { directory: directory.into(), path, file, lock: Some(lock) })
    }

    /// Begins the journal of records that several tasks write, unless another task has begun it. Nothing of other tasks is
    /// removed.
    ///
    /// Returns `None` if what `find` has seen may have changed meanwhile. `is_known` says whether it has seen a journal.
    pub fn join(directory: &Path, header: &Header, is_known: bool) -> Result<Option<Self>> {
        let path = directory.join(FILE);
        if !is_known {
            atomic::create_directory(directory)?;
            if !atomic::write_new(&path, &line(&path, header)?)? {
                return Ok(None);
            }
        }
        if read_dataset(directory)?.is_some() {
            // Others have finished, and have removed the journal, possibly before this task began another one.
            Self::remove(directory)?;
            return Ok(None);
        }
        Ok(Some(Self { directory: directory.into(), path, file: None, lock: None }))
    }

    /// Whether other tasks may write to the directory.
    pub fn is_shared(&self) -> bool {
        self.lock.is_none()
    }

    /// Adds a shard whose file is complete and synced. `version` is that of a remote object.
    pub fn add(&mut self, shard: &Shard, version: Option<String>) -> Result<()> {
        let Some(file) = &mut self.file else { return markers::add(&self.directory, shard, version) };
        let line = line(&self.path, shard)?;
        file.write_all(&line)
            .and_then(|()| file.sync_data())
            .map_err(|error| Error::io("cannot write", &self.path, error))
    }

    pub fn remove(directory: &Path) -> Result<()> {
        markers::remove(directory)?;
        atomic::remove(&directory.join(FILE))
    }
}

fn line(path: &Path, value: &impl Serialize) -> Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value).map_err(|error| Error::io("cannot write", path, error.into()))?;
    line.push(b'\n');
    Ok(line)
}
