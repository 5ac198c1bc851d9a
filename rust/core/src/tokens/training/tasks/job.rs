//! The output directory of tasks: what is in it, complete or not, and what belongs to it.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::header::{Attachments, Header, Manifest, sha256};
use super::words::Written;
use crate::files::atomic;
use crate::files::notes::Notes;
use crate::files::raw::{read, read_existing, size};
use crate::files::resume::{Replace, check_same, not_ours};
use crate::tokens::training::{Dropped, Options};
use crate::{Error, Result};

/// The file of the model. It is written last.
pub const MODEL_FILE: &str = "spiece.model";
/// What an unfinished training is about.
pub const PARTIAL_FILE: &str = "train-tokenizer.partial.json";
/// The description of a complete model that tasks have trained.
pub const MANIFEST_FILE: &str = "train-tokenizer.manifest.json";
/// The directory of what is needed until the model is complete.
const WORK: &str = "train-tokenizer.partial";
/// All files next to a complete model, and [`PARTIAL_FILE`].
const FILES: [&str; 6] =
    [MODEL_FILE, PARTIAL_FILE, MANIFEST_FILE, "spiece.vocab", "spiece.config.json", "train-tokenizer.config.json"];

/// A round of the work. It begins when all tasks of the one before have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    /// Counts the lines of each portion. Without it, the sample is not known.
    Count,
    /// Writes the words of each portion.
    Words,
}

impl Round {
    /// The directory of its files.
    fn name(self) -> &'static str {
        match self {
            Self::Count => "counted",
            Self::Words => "words",
        }
    }
}

/// What is noted of a portion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Found {
    /// Number of lines that are not blank.
    pub lines: u64,
    /// The lines among them that are dropped. Those that normalization makes empty are not known in the first round, and
    /// later only in the sample.
    pub dropped: Dropped,
    /// What is in the file with the words, after the round that writes it.
    pub written: Option<Written>,
}

impl Found {
    /// The number of lines among which the sample is chosen.
    pub fn candidates(&self) -> u64 {
        self.lines - self.dropped.too_long - self.dropped.reserved
    }
}

/// A model that is being trained.
pub(super) struct Job {
    pub directory: PathBuf,
    pub header: Header,
}

/// What a directory holds of a training.
pub(super) enum State {
    Nothing,
    Partial(Header),
    /// The description, and the content of the model.
    Complete(Box<Manifest>, Vec<u8>),
    /// A model that tasks did not make.
    Foreign,
}

impl State {
    /// Returns what `directory` holds.
    ///
    /// # Errors
    /// [`Error::Data`] if a description cannot be read; [`Error::Io`].
    pub fn read(directory: &Path) -> Result<Self> {
        let complete = || -> Result<Option<Self>> {
            let manifest: Option<Manifest> = parsed(&directory.join(MANIFEST_FILE), |it: &Manifest| it.header.fault())?;
            let Some(manifest) = manifest else { return Ok(None) };
            let model = read(&directory.join(MODEL_FILE))?.filter(|model| sha256(model) == manifest.model_sha256);
            Ok(model.map(|model| Self::Complete(Box::new(manifest), model)))
        };
        if let Some(state) = complete()? {
            return Ok(state);
        }
        let header = parsed(&directory.join(PARTIAL_FILE), Header::fault)?;
        if size(&directory.join(MODEL_FILE))?.is_some() {
            // Another task may have completed it between two looks: it writes the manifest, then the model.
            return Ok(complete()?.unwrap_or(Self::Foreign));
        }
        Ok(header.map_or(Self::Nothing, Self::Partial))
    }
}

/// Reads the JSON at `path`, if there is such a file.
fn parsed<T: DeserializeOwned>(path: &Path, fault: impl Fn(&T) -> Option<String>) -> Result<Option<T>> {
    let Some(text) = read(path)? else { return Ok(None) };
    let value = serde_json::from_slice::<T>(&text).map_err(|error| not_ours(path, &error.to_string()))?;
    fault(&value).map_or(Ok(Some(value)), |fault| Err(not_ours(path, &fault)))
}

/// Returns the error if there is another model in `directory`.
pub(super) fn other_model(directory: &Path) -> Error {
    let path = directory.join(MODEL_FILE);
    Error::exists(
        path,
        "this file exists; pass overwrite=True without `num_tasks` to replace it, or another `output_dir`",
    )
}

/// Removes everything in `directory` that is only needed until a model is complete.
pub(super) fn tidy(directory: &Path) -> Result<()> {
    work(directory).remove()?;
    atomic::remove(&directory.join(PARTIAL_FILE))?;
    match atomic::remove_stale(directory, |name| FILES.contains(&name)) {
        // Another task does the same.
        Err(error) if error.is_missing() => Ok(()),
        result => result,
    }
}

fn work(directory: &Path) -> Notes {
    Notes::new(directory.join(WORK))
}

impl Job {
    /// The rounds, in order.
    pub fn rounds(&self) -> &'static [Round] {
        if self.header.samples() { &[Round::Count, Round::Words] } else { &[Round::Words] }
    }

    /// Returns the path of a file that the header names.
    pub fn attachment(&self, sha256: &str) -> PathBuf {
        self.directory.join(WORK).join("models").join(sha256)
    }

    /// Returns the options that the training was begun with.
    ///
    /// # Errors
    /// [`Error::Data`] if the header is damaged; [`Error::Io`].
    pub fn options(&self) -> Result<Options> {
        let read = |name: &str| read_existing(&self.attachment(name));
        self.header.options(&self.directory.join(PARTIAL_FILE), read)
    }

    /// Returns the path of the words of a portion.
    pub fn words(&self, portion: u64) -> PathBuf {
        work(&self.directory).path(Round::Words.name(), portion, "words")
    }

    /// Notes what was found in a portion.
    pub fn mark(&self, round: Round, portion: u64, found: &Found) -> Result<()> {
        work(&self.directory).mark(round.name(), portion, found)
    }

    /// Returns what is noted of a portion.
    pub fn found(&self, round: Round, portion: u64) -> Result<Found> {
        let path = work(&self.directory).path(round.name(), portion, "json");
        let missing = || Error::io("cannot read", &path, std::io::ErrorKind::NotFound.into());
        parsed(&path, |_: &Found| None)?.ok_or_else(missing)
    }

    /// Returns what is noted of all portions, in order.
    pub fn all(&self, round: Round) -> Result<Vec<Found>> {
        (0..self.header.portions).into_par_iter().map(|portion| self.found(round, portion)).collect()
    }

    /// Returns for each portion whether a round of it is noted as done.
    pub fn done(&self, round: Round) -> Result<Vec<bool>> {
        work(&self.directory).done(round.name(), &["json"], self.header.portions)
    }

    /// Returns those of `portions` whose words are not there as they are noted.
    pub fn lost(&self, portions: Vec<u64>) -> Result<Vec<u64>> {
        let lost = |portion: u64| {
            let noted = self.found(Round::Words, portion)?.written.map(|it| it.size);
            let is_there = noted.is_some() && size(&self.words(portion))? == noted;
            Ok((!is_there).then_some(portion))
        };
        let all: Vec<_> = portions.into_par_iter().map(lost).collect::<Result<_>>()?;
        Ok(all.into_iter().flatten().collect())
    }

    /// Returns what is missing of a round: what is not noted, and what is noted and not there any more.
    pub fn missing(&self, round: Round) -> Result<Vec<u64>> {
        let done = self.done(round)?;
        let missing: Vec<_> = (0..).zip(&done).filter(|(_, done)| !**done).map(|(portion, _)| portion).collect();
        if missing.is_empty() && round == Round::Words {
            return self.lost((0..self.header.portions).collect());
        }
        Ok(missing)
    }

    /// Refuses what is in the directory if it is not this training.
    ///
    /// # Errors
    /// [`Error::Exists`] saying what is there, or what is different.
    pub fn look(&self) -> Result<State> {
        let state = State::read(&self.directory)?;
        match &state {
            State::Nothing => {}
            State::Partial(header) => {
                check_same(&self.directory, false, &header.differences(&self.header), Replace::Remove)?;
            }
            State::Complete(manifest, _) => {
                check_same(&self.directory, true, &manifest.header.differences(&self.header), Replace::Remove)?;
            }
            State::Foreign => return Err(other_model(&self.directory)),
        }
        Ok(state)
    }

    /// Begins the training, if no other task does. Look again then.
    pub fn begin(&self, attachments: &Attachments) -> Result<()> {
        for (name, bytes) in attachments {
            // Named by their contents, they are the same whoever writes them.
            atomic::write_new(&self.attachment(name), bytes)?;
        }
        atomic::create_directory(&self.directory)?;
        atomic::write_json_new(&self.directory.join(PARTIAL_FILE), &self.header)?;
        if matches!(State::read(&self.directory)?, State::Complete(..)) {
            // Others have finished, and have removed the header, possibly before this task began another one.
            tidy(&self.directory)?;
        }
        Ok(())
    }

    /// Whether others have completed this training.
    pub fn is_complete(&self) -> bool {
        let state = State::read(&self.directory);
        matches!(state, Ok(State::Complete(it, _)) if it.header.differences(&self.header).is_empty())
    }
}
