//! Trains a model in portions that follow from the input, so that any number of tasks may do them.
//!
//! If the model is trained on a sample of the lines, there are two rounds. First the lines of each portion are counted, so
//! that the number of every line is known, and with it the sample. Then the lines of each portion are written as sequences
//! of distinct words ([`words`]). Without a sample, there is only the second round. The last task reads the words of all
//! portions in the order of the input, and trains on them.
//!
//! What is done is noted, each portion in a file of its own. To do something twice is harmless, because the bytes are the
//! same. The caller writes the files next to the model, then [`publish`] writes the model, and removes the notes.

mod header;
mod job;
mod rounds;
#[cfg(test)]
mod tests;
mod words;

use std::ffi::OsStr;
use std::ops::Range;
use std::path::Path;

pub use self::job::{MANIFEST_FILE, MODEL_FILE, PARTIAL_FILE};

use self::header::{Attachments, Header, Manifest, sha256};
use self::job::{Job, Round, State, other_model, tidy};
use self::rounds::{Counts, Inputs, resumable, run};
use super::read::Reading;
use super::{Dropped, Options, Setup};
use crate::files::atomic;
use crate::files::inputs::InputFile;
use crate::files::lock::lock;
use crate::tasks::{Share, TaskState, unfinished};
use crate::tokens::corpus::portions::Portions;
use crate::tokens::corpus::{Corpus, PORTION_BYTES, check_all, expand_corpus};
use crate::tokens::tokenizer::Tokenizer;
use crate::{Error, Progress, Result};

/// How often a task begins again if others change what it relies on at the same time.
const TRIES: usize = 5;

/// Where tasks train a model.
#[derive(Debug, Clone)]
pub struct TaskOutput {
    /// The directory of the model.
    pub directory: std::path::PathBuf,
    /// The bytes on disk that a portion of the input has about.
    pub portion_bytes: u64,
    /// What [`Completed::kept`] is to be. If tasks differ in it, the first one decides.
    pub kept: String,
}

impl TaskOutput {
    /// Returns the output in `directory`, with portions of the usual size.
    pub fn new(directory: impl Into<std::path::PathBuf>) -> Self {
        Self { directory: directory.into(), portion_bytes: PORTION_BYTES, kept: String::new() }
    }
}

/// A model that all tasks have trained together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completed {
    /// The content of the model file, or nothing if all lines were dropped.
    pub model: Option<Vec<u8>>,
    /// Number of lines that are not blank.
    pub lines: u64,
    /// The lines among them that were dropped.
    pub dropped: Dropped,
    /// [`TaskOutput::kept`] of the first task, or, if the model was already complete, what [`publish`] was given.
    pub kept: String,
    /// Whether the model was already complete, so that there is nothing to write.
    pub already_complete: bool,
}

/// What [`train_task`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskTrained {
    /// What the task had to do in its last round.
    pub state: TaskState,
    /// The model, if no other task has anything left to do. Unless it was already complete, it must be published.
    pub completed: Option<Completed>,
    /// Notes for the user about the inputs.
    pub notes: Vec<String>,
}

/// Does the share of one task in training a model on the files that `inputs` name, as [`super::read::train`] does. It does
/// it in the first round that is not complete, and starts the next one if all tasks have done the one before. If there is no
/// other round, it trains.
///
/// Tasks may run at the same time, on several machines, in any order, and more than once. Their number may change between
/// runs. Options that JSON does not have must be the defaults, apart from the normalization.
///
/// # Errors
/// Those of [`super::read::train`]; [`Error::Conflict`] if an input can be read only once; [`Error::Exists`] if the output
/// was made, or begun, with other options or inputs.
pub fn train_task(
    inputs: &[impl AsRef<OsStr>],
    reading: Reading,
    options: &Options,
    extend: Option<&Tokenizer>,
    output: &TaskOutput,
    share: Share,
    progress: &mut dyn Progress,
) -> Result<TaskTrained> {
    let setup = Setup::of(extend, options.clone())?;
    let Corpus { files, notes } = expand_corpus(inputs)?;
    if let Some(stream) = files.iter().find(|file| !file.is_seekable()) {
        let reason = format!(
            "with `num_tasks`, every input must be a file that all tasks can read, but {} can be read only once",
            stream.path.display()
        );
        return Err(Error::conflict("num_tasks", reason));
    }
    let portions = Portions::of(&files, output.portion_bytes, false)?;
    let count = portions.len() as u64;
    let own = share.range(count);
    let own_files = portions.files(own.start as usize..own.end as usize);
    if !reading.any_text {
        // Other tasks check the other files.
        check_all(&files[own_files])?;
    }
    let size = (count, output.portion_bytes);
    let (header, attachments) = Header::new(options, reading, extend, &files, size, &output.kept)?;
    let job = Job { directory: output.directory.clone(), header };
    let task = Task { job, attachments, files: &files, portions: &portions, reading, setup: &setup, own };
    let (state, completed) = task.run(|| Setup::of(extend, options.clone()), progress)?;
    Ok(TaskTrained { state, completed, notes })
}

struct Task<'a> {
    job: Job,
    attachments: Attachments,
    files: &'a [InputFile],
    portions: &'a Portions,
    reading: Reading,
    setup: &'a Setup,
    own: Range<u64>,
}

impl Task<'_> {
    /// Begins the training, or finds what is there, and does what is missing.
    fn run(
        &self,
        setup: impl Fn() -> Result<Setup>,
        progress: &mut dyn Progress,
    ) -> Result<(TaskState, Option<Completed>)> {
        let job = &self.job;
        let rounds = job.rounds();
        let total = job.header.portions;
        let state = |round: usize, complete: u64| TaskState {
            range: self.own.clone(),
            total,
            complete,
            round: round as u32,
            rounds: rounds.len() as u32,
        };
        let last = state(rounds.len(), total);
        'again: for _ in 0..TRIES {
            let kept = match job.look()? {
                State::Complete(manifest, model) => {
                    tidy(&job.directory)?;
                    return Ok((last, Some(complete(&manifest, model))));
                }
                State::Partial(header) => header.kept,
                State::Nothing | State::Foreign => {
                    job.begin(&self.attachments)?;
                    continue;
                }
            };
            for (number, &round) in (1..).zip(rounds) {
                match self.do_share(round, progress) {
                    // The notes may have been removed meanwhile.
                    Ok(left) if left > 0 && job.is_complete() => continue 'again,
                    Ok(left) if left > 0 => return Ok((state(number, total - left), None)),
                    Ok(_) => {}
                    // If another task has done the work too, and completed it, it does not matter what went wrong.
                    Err(error) if !matches!(error, Error::Interrupted(_)) && job.is_complete() => continue 'again,
                    Err(error) => return Err(resumable(error)),
                }
            }
            match rounds::train(job, setup()?, progress) {
                Ok((model, Counts { lines, dropped })) => {
                    let completed = Completed { model, lines, dropped, kept, already_complete: false };
                    return Ok((last, Some(completed)));
                }
                Err(error) if error.is_missing() && job.is_complete() => {}
                Err(error) => return Err(resumable(error)),
            }
        }
        let reason =
            "other commands change the same output again and again; wait for them, and run the same command again";
        Err(Error::data(&job.directory, reason))
    }

    /// Does what is missing of the task's portions in a round. Returns how many of all portions are missing then.
    fn do_share(&self, round: Round, progress: &mut dyn Progress) -> Result<u64> {
        let job = &self.job;
        let done = job.done(round)?;
        let (done, mut todo): (Vec<_>, Vec<_>) = self.own.clone().partition(|&portion| done[portion as usize]);
        if round == Round::Words {
            todo.extend(job.lost(done)?);
            todo.sort_unstable();
        }
        let Self { files, portions, reading, setup, .. } = *self;
        let own = self.own.start as usize..self.own.end as usize;
        run(job, &Inputs { files, portions, reading, setup, own }, round, &todo, progress)?;
        Ok(job.missing(round)?.len() as u64)
    }
}

fn complete(manifest: &Manifest, model: Vec<u8>) -> Completed {
    let Counts { lines, dropped } = Counts::noted(manifest);
    Completed { model: Some(model), lines, dropped, kept: manifest.header.kept.clone(), already_complete: true }
}

/// Checks that all is there that tasks were to write to `directory`, and trains. Returns `None` if the directory holds
/// nothing of such tasks, complete or not. The model must then be published, unless it was already complete.
///
/// With `num_tasks`, the error about what is missing says which tasks to run again.
///
/// # Errors
/// [`Error::Data`] if something is missing or damaged; [`Error::Rule`] if `num_tasks` is out of its range; those of
/// [`super::Training::finish`]; [`Error::Io`].
pub fn finish(directory: &Path, num_tasks: Option<u64>, progress: &mut dyn Progress) -> Result<Option<Completed>> {
    num_tasks.map(|count| Share::new(0, count)).transpose()?;
    if matches!(State::read(directory)?, State::Nothing | State::Foreign) {
        return Ok(None);
    }
    // Tasks do not lock the directory. A command without tasks does, and completes it by itself.
    let _lock = lock(directory)?;
    let header = match State::read(directory)? {
        State::Nothing | State::Foreign => return Ok(None),
        State::Complete(manifest, model) => {
            tidy(directory)?;
            return Ok(Some(complete(&manifest, model)));
        }
        State::Partial(header) => header,
    };
    let job = Job { directory: directory.to_path_buf(), header };
    for (number, &round) in (1..).zip(job.rounds()) {
        let missing = job.missing(round)?;
        if !missing.is_empty() {
            let place = (number, job.rounds().len());
            return Err(unfinished(directory, "portion", &missing, job.header.portions, num_tasks, place));
        }
    }
    let extend = job.header.extends.as_deref().map(|name| Tokenizer::from_model(&job.attachment(name), None));
    let setup = Setup::of(extend.transpose()?.as_ref(), job.options()?)?;
    let (model, Counts { lines, dropped }) = rounds::train(&job, setup, progress).map_err(|error| match error {
        Error::Interrupted(_) => Error::Interrupted("nothing was written; run the same command again".into()),
        error => error,
    })?;
    Ok(Some(Completed { model, lines, dropped, kept: job.header.kept, already_complete: false }))
}

/// Writes the `model` that [`train_task`] or [`finish`] has trained, as the last file of `directory`, and removes what is
/// only needed until then. Several tasks may do this at once. Returns whether the model was there already. `kept` is what
/// [`Completed::kept`] is to be from now on.
///
/// # Errors
/// [`Error::Exists`] if there is another model; [`Error::Io`].
pub fn publish(directory: &Path, model: &[u8], kept: &str) -> Result<bool> {
    for _ in 0..TRIES {
        let header = match State::read(directory)? {
            State::Complete(_, there) if there == model => {
                tidy(directory)?;
                return Ok(true);
            }
            State::Complete(..) | State::Foreign => return Err(other_model(directory)),
            State::Nothing => break,
            State::Partial(header) => header,
        };
        let mut job = Job { directory: directory.to_path_buf(), header };
        let Counts { lines, dropped } = match job.all(Round::Words) {
            Ok(all) => Counts::of(&all),
            Err(error) if error.is_missing() && job.is_complete() => continue,
            Err(error) => return Err(error),
        };
        kept.clone_into(&mut job.header.kept);
        let manifest = Manifest {
            header: job.header,
            albert_fast_version: env!("CARGO_PKG_VERSION").into(),
            lines,
            dropped,
            model_sha256: sha256(model),
        };
        atomic::write_json_apart(&directory.join(MANIFEST_FILE), &manifest)?;
        if !atomic::write_new(&directory.join(MODEL_FILE), model)? {
            return Err(other_model(directory));
        }
        tidy(directory)?;
        return Ok(false);
    }
    let reason =
        "other commands change the same output at the same time; wait for them, and run the same command again";
    Err(Error::data(directory, reason))
}

/// Removes what tasks have left in `directory`, apart from a model. A command that replaces the output calls this.
///
/// # Errors
/// [`Error::Io`].
pub fn forget(directory: &Path) -> Result<()> {
    atomic::remove(&directory.join(MANIFEST_FILE))?;
    tidy(directory)
}
