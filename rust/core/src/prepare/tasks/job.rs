//! The output directory of tasks: what is in it, complete or not, and what belongs to it.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::header::{Header, Manifest, Shard, not_ours};
use crate::files::atomic;
use crate::files::notes::Notes;
use crate::files::raw::{names, read, size, size_optional};
use crate::files::remote::{self, Address};
use crate::files::resume::{Replace, check_same_as};
use crate::prepare::hashes::PARTITIONS;
use crate::prepare::near::files_of;
use crate::prepare::options::PrepareOptions;
use crate::prepare::output::{MANIFEST, PARTIAL, Target, WORK, is_ours};
use crate::{Error, Result};

/// The suffixes of files: the documents of a portion and their hashes, pairs of a partition, and the list of what is dropped.
pub(super) const TEXT: &str = "zst";
pub(super) const HASHES: &str = "hashes";
pub(super) const PAIRS: &str = "pairs";
pub(super) const DROPPED: &str = "dropped";

/// A round of the work. It begins when all tasks of the one before have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    /// Cleans the documents of each portion, and keeps them with their hashes.
    Clean,
    /// Finds the duplicates in each partition of the hashes.
    Compare,
    /// Finds the clusters of near-duplicates. This is one thing, and one task does it.
    Cluster,
    /// Writes the files of each portion. Without the rounds before, it cleans the documents first.
    Write,
}

impl Round {
    /// The directory of its files.
    fn name(self) -> &'static str {
        match self {
            Self::Clean => "cleaned",
            Self::Compare => "compared",
            Self::Cluster => "clustered",
            Self::Write => "written",
        }
    }

    /// The suffix of the files that say what is done.
    fn marker(self) -> &'static str {
        if self == Self::Compare { "duplicates" } else { "json" }
    }

    /// What is done in it, in a message.
    pub fn thing(self) -> &'static str {
        match self {
            Self::Compare => "hash partition",
            Self::Cluster => "list of near-duplicates",
            Self::Clean | Self::Write => "portion",
        }
    }
}

/// A corpus that is being written.
pub(super) struct Job {
    pub header: Header,
    pub options: PrepareOptions,
    pub training: Target,
    pub held_out: Option<Target>,
    /// How what is there can be replaced.
    pub replace: Replace,
}

/// What a directory holds of a corpus.
pub(super) enum State {
    Nothing,
    Partial(Header),
    Complete(Box<Manifest>),
}

impl State {
    /// Returns what `directory` holds.
    ///
    /// # Errors
    /// [`Error::Data`] if its description cannot be read; [`Error::Io`].
    pub fn read(directory: &Path) -> Result<Self> {
        // Another task may complete the corpus between two looks: it writes the manifest, and then removes the header.
        let complete = || -> Result<Option<Self>> {
            let manifest: Option<Manifest> = parsed(&directory.join(MANIFEST), |it: &Manifest| it.header.fault())?;
            Ok(manifest.map(|it| Self::Complete(Box::new(it))))
        };
        if let Some(state) = complete()? {
            return Ok(state);
        }
        match parsed(&directory.join(PARTIAL), Header::fault)? {
            Some(header) => Ok(Self::Partial(header)),
            None => Ok(complete()?.unwrap_or(Self::Nothing)),
        }
    }
}

/// Reads the JSON at `path`, if there is such a file.
fn parsed<T: DeserializeOwned>(path: &Path, fault: impl Fn(&T) -> Option<String>) -> Result<Option<T>> {
    let Some(text) = read(path)? else { return Ok(None) };
    let value = serde_json::from_slice::<T>(&text).map_err(|error| not_ours(path, &error.to_string()))?;
    fault(&value).map_or(Ok(Some(value)), |fault| Err(not_ours(path, &fault)))
}

impl Job {
    /// Returns the corpus that `header` describes, in `directory`.
    ///
    /// # Errors
    /// [`Error::Data`] if the header is not complete, and those of [`Target::new`].
    pub fn new(directory: &Path, header: Header) -> Result<Self> {
        let options = header.prepare_options().map_err(|fault| not_ours(&directory.join(PARTIAL), &fault))?;
        let (training, held_out) = header.targets(directory)?;
        Ok(Self { header, options, training, held_out, replace: Replace::Overwrite })
    }

    pub fn directory(&self) -> &Path {
        self.training.path()
    }

    /// The directories of the output: that for training first.
    fn directories(&self) -> impl Iterator<Item = &Path> {
        [Some(&self.training), self.held_out.as_ref()].into_iter().flatten().map(Target::path)
    }

    /// The rounds, in order.
    pub fn rounds(&self) -> &'static [Round] {
        match (self.options.dedup_documents, self.options.near.dedup_near) {
            (_, true) => &[Round::Clean, Round::Compare, Round::Cluster, Round::Write],
            (true, false) => &[Round::Clean, Round::Compare, Round::Write],
            (false, false) => &[Round::Write],
        }
    }

    /// The number of things that are done in a round.
    pub fn total(&self, round: Round) -> u64 {
        match round {
            Round::Compare => PARTITIONS as u64,
            Round::Cluster => 1,
            Round::Clean | Round::Write => self.header.portions,
        }
    }

    fn notes(&self) -> Notes {
        Notes::new(self.directory().join(WORK))
    }

    /// Returns the path of a file of a round.
    pub fn path(&self, round: Round, number: u64, suffix: &str) -> PathBuf {
        self.notes().path(round.name(), number, suffix)
    }

    /// Returns the path of the file that says that something is done.
    pub fn marker_path(&self, round: Round, number: u64) -> PathBuf {
        self.path(round, number, round.marker())
    }

    /// Notes that something is done.
    pub fn mark(&self, round: Round, number: u64, marker: &impl Serialize) -> Result<()> {
        self.notes().mark(round.name(), number, marker)
    }

    /// Returns what is noted of something that is done.
    pub fn marker<T: DeserializeOwned>(&self, round: Round, number: u64) -> Result<T> {
        let path = self.marker_path(round, number);
        parsed(&path, |_: &T| None)?.ok_or_else(|| {
            let source = std::io::ErrorKind::NotFound.into();
            Error::io("cannot read", &path, source)
        })
    }

    /// Returns what is noted of everything in a round, in order.
    pub fn markers<T: DeserializeOwned + Send>(&self, round: Round) -> Result<Vec<T>> {
        (0..self.total(round)).into_par_iter().map(|number| self.marker(round, number)).collect()
    }

    /// Returns for each number of a round whether it is noted as done, and the files that later rounds read are there.
    pub fn done(&self, round: Round) -> Result<Vec<bool>> {
        let mut suffixes = vec![round.marker()];
        suffixes.extend(self.made(round));
        self.notes().done(round.name(), &suffixes, self.total(round))
    }

    /// The suffixes of the files in the directory of a round, without those that say what is done.
    fn made(&self, round: Round) -> Vec<&'static str> {
        let near = &self.options.near;
        match round {
            Round::Clean => [TEXT, HASHES].into_iter().chain(files_of(near)).collect(),
            Round::Compare => near.dedup_near.then_some(PAIRS).into_iter().collect(),
            Round::Cluster => vec![DROPPED],
            Round::Write => Vec::new(),
        }
    }

    /// Refuses what is in the directories if it is not this corpus. Returns the manifest if it is complete, and whether it
    /// was begun.
    ///
    /// # Errors
    /// [`Error::Exists`] saying what is there, or what is different.
    pub fn look(&self) -> Result<(Option<Manifest>, bool)> {
        match State::read(self.directory())? {
            State::Complete(manifest) => {
                self.check(true, &manifest.header)?;
                Ok((Some(*manifest), true))
            }
            State::Partial(header) => {
                self.check(false, &header)?;
                if let Some(held_out) = &self.held_out {
                    self.look_at(held_out.path())?;
                }
                Ok((None, true))
            }
            State::Nothing => {
                self.directories().try_for_each(|directory| self.look_at(directory))?;
                Ok((None, false))
            }
        }
    }

    fn check(&self, is_complete: bool, there: &Header) -> Result<()> {
        check_same_as("output", self.directory(), is_complete, &there.differences(&self.header), self.replace)
    }

    /// Refuses a directory that holds anything else than this corpus.
    fn look_at(&self, directory: &Path) -> Result<()> {
        let path = directory.join(PARTIAL);
        if let Some(there) = parsed(&path, Header::fault)? {
            return check_same_as("output", directory, false, &there.differences(&self.header), self.replace);
        }
        refuse_foreign(directory)?;
        let Some(name) = names(directory)?.into_iter().find(|name| is_ours(name)) else { return Ok(()) };
        // A task may have begun, or ended, meanwhile.
        if size(&path)?.is_some() || size(&self.directory().join(MANIFEST))?.is_some() {
            return Ok(());
        }
        let advice = match self.replace {
            Replace::Overwrite => "pass overwrite=True to replace it, or another path",
            Replace::Remove => "remove it before the first task, or pass another path",
        };
        let reason = format!("the directory contains {name} of an earlier output; {advice}");
        Err(Error::exists(directory, reason))
    }

    /// Begins the corpus. Returns `false` if what [`Job::look`] has seen may have changed meanwhile.
    pub fn begin(&self) -> Result<bool> {
        for directory in self.directories() {
            atomic::create_directory(directory)?;
            if !atomic::write_json_new(&directory.join(PARTIAL), &self.header)? {
                return Ok(false);
            }
        }
        let is_complete = matches!(State::read(self.directory())?, State::Complete(_));
        if is_complete {
            self.tidy()?;
        }
        Ok(!is_complete)
    }

    /// Whether others have completed this corpus.
    pub fn is_complete(&self) -> bool {
        matches!(State::read(self.directory()), Ok(State::Complete(it)) if it.header.differences(&self.header).is_empty())
    }

    /// Removes everything of the corpus but its files and what describes them.
    pub fn tidy(&self) -> Result<()> {
        for directory in self.directories() {
            Notes::new(directory.join(WORK)).remove()?;
            atomic::remove(&directory.join(PARTIAL))?;
            match atomic::remove_stale(directory, is_ours) {
                // Another task does the same.
                Err(error) if error.is_missing() => {}
                result => result?,
            }
        }
        Ok(())
    }

    /// Removes an output of prepare-text, complete or not. The directories must hold nothing else.
    ///
    /// # Errors
    /// [`Error::Exists`] if they do.
    pub fn clear(&self) -> Result<()> {
        self.directories().try_for_each(refuse_foreign)?;
        for directory in self.directories() {
            // A command that is killed meanwhile leaves a directory that can still be recognized.
            atomic::remove(&directory.join(MANIFEST))?;
            for name in names(directory)?.iter().filter(|name| is_ours(name) && *name != PARTIAL) {
                atomic::remove(&directory.join(name))?;
            }
        }
        self.tidy()
    }
}

/// Refuses a file, and a directory that holds no corpus, complete or not, but something that prepare-text did not write.
pub(super) fn check_directory(directory: &Path) -> Result<()> {
    for name in [MANIFEST, PARTIAL] {
        if size_optional(&directory.join(name))?.is_some() {
            return Ok(());
        }
    }
    refuse_foreign(directory)
}

/// Refuses a directory that holds something that prepare-text did not write.
fn refuse_foreign(directory: &Path) -> Result<()> {
    let refuse = |reason: String| Err(Error::exists(directory, reason));
    let found: Vec<OsString> = if let Some(address) = Address::of(directory)? {
        let (names, directories) = remote::children(&address)?;
        names.into_iter().chain(directories).map(Into::into).collect()
    } else {
        if fs::symlink_metadata(directory).is_err() {
            return Ok(());
        }
        if !directory.is_dir() {
            return refuse("this is a file, and `shard_size` writes a directory; pass another path".into());
        }
        let error = |source| Error::io("cannot read the directory", directory, source);
        let entries = fs::read_dir(directory).map_err(error)?;
        entries.map(|entry| entry.map(|it| it.file_name()).map_err(error)).collect::<Result<_>>()?
    };
    let is_known = |name: &OsStr| name.to_str().is_some_and(|name| name == WORK || is_ours(of_temporary(name)));
    match found.iter().find(|name| !is_known(name)) {
        None => Ok(()),
        Some(foreign) => refuse(format!(
            "the directory contains {:?}, which prepare-text did not write; pass an empty or a new directory",
            Path::new(foreign).display()
        )),
    }
}

/// Returns the name of the file that a temporary of [`atomic::AtomicFile::create_apart`] is to become.
fn of_temporary(name: &str) -> &str {
    let inner = name.strip_prefix('.').and_then(|name| name.strip_suffix(".tmp"));
    inner.and_then(|name| name.rsplit_once('.')).map_or(name, |(name, _)| name)
}

/// The sizes of the files in a directory. A bucket lists all of them at once.
pub(super) enum Sizes<'a> {
    Local(&'a Path),
    Remote(HashMap<String, u64>),
}

impl<'a> Sizes<'a> {
    pub fn of(directory: &'a Path) -> Result<Self> {
        let Some(address) = Address::of(directory)? else { return Ok(Self::Local(directory)) };
        let objects = remote::below(&address)?.into_iter();
        Ok(Self::Remote(objects.map(|it| (it.address.name().to_owned(), it.bytes)).collect()))
    }

    /// Whether a file is there as it was written.
    pub fn has(&self, shard: &Shard) -> Result<bool> {
        let found = match self {
            Self::Local(directory) => size(&directory.join(&shard.file))?,
            Self::Remote(sizes) => sizes.get(&shard.file).copied(),
        };
        Ok(found == Some(shard.size))
    }
}
