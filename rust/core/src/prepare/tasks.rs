//! Prepares text in portions that follow from the input, so that any number of tasks may do them.
//!
//! Each portion of the input becomes one file, and, if documents are held out, one more. If duplicates are dropped, the
//! work has three rounds. Each portion is cleaned, and its documents are kept with their hashes. Then the hashes are
//! compared, in 256 partitions. Then each portion is written without its duplicates. A round needs the whole round before.
//! If near-duplicates are dropped, there is a round before the last, in which one task finds their clusters.
//!
//! What is done is noted, each portion or partition in a file of its own. To do something twice is harmless, because the
//! bytes are the same. When everything is done, the manifest is written, and the notes are removed.

mod complete;
mod header;
mod job;
mod lists;
mod markers;
mod near;
mod pairs;
mod rounds;
#[cfg(test)]
mod tests;
mod texts;

use std::ffi::OsStr;
use std::path::PathBuf;

use serde_json::{Map, Value};

pub use self::complete::{CompleteCorpus, finish};
use self::complete::{check_all, complete, missing};
use self::header::Header;
use self::job::{Job, Round, check_directory};
use self::rounds::{Inputs, lost, run};
use super::cards;
use super::options::PrepareOptions;
use super::output::{MAX_SHARDS, Target, TextCompression};
use super::places::check_places;
use super::read::divide::is_divisible;
use super::read::options::ReadOptions;
use crate::files::inputs::InputFile;
use crate::files::lock::claim;
use crate::files::portions::{Portion, portions};
use crate::files::resume::Replace;
use crate::tasks::{Share, TaskState};
use crate::{Error, Progress, Result};

/// How often a command begins again if others change what it relies on at the same time.
const TRIES: usize = 5;

/// Where to write a corpus whose files follow from the input.
#[derive(Debug, Clone)]
pub struct PortionOutput {
    /// The directory to write.
    pub output: PathBuf,
    /// The directory for held-out documents, if it is not next to `output`.
    pub eval_output: Option<PathBuf>,
    /// The number of MiB of input for a file.
    pub shard_size: f64,
    /// How the files are compressed.
    pub compression: TextCompression,
    /// Whether to replace an existing output.
    pub overwrite: bool,
}

/// What [`prepare_portions`] did.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// The counts, as [`super::summary::Summary`] serializes them, if the corpus is complete.
    pub summary: Option<Map<String, Value>>,
    /// Whether the corpus was already complete.
    pub already_complete: bool,
    /// What the task had to do in its last round.
    pub state: TaskState,
}

/// As [`super::prepare`], with a file for each portion of the input. An interrupted call resumes when it is repeated.
///
/// With `share`, it does what is the share of one task, in the first round that is not complete. It starts the next
/// round if all tasks have done the one before. Tasks may run at the same time, on several machines, in any order, and more
/// than once. Their number may change between runs. The last one completes the corpus.
///
/// # Errors
/// Those of [`super::prepare`]; [`Error::Conflict`] if an option cannot be used here; [`Error::Exists`] if the output was
/// made, or begun, with other options or inputs.
pub fn prepare_portions<S: AsRef<OsStr>>(
    inputs: &[S],
    output: &PortionOutput,
    options: &PrepareOptions,
    share: Option<Share>,
    progress: &mut dyn Progress,
) -> Result<Prepared> {
    options.check()?;
    refuse(output, options, share)?;
    // Check the outputs before the inputs.
    let training = Target::new(&output.output, Some(1), output.compression)?;
    check_directory(training.path())?;
    let eval_output = output.eval_output.as_deref();
    if options.eval_fraction > 0.0 {
        check_directory(training.held_out(eval_output, output.compression).path())?;
    }
    let (files, skipped) = cards::expand(inputs, &options.read.text_field)?;
    let portions = divide(&files, output.shard_size, &options.read)?;
    let count = portions.len() as u64;
    let header = Header::new(options, output.shard_size, &training, eval_output, &files, count)?;
    let job = Job { replace: Replace::of(share.is_some()), ..Job::new(training.path(), header)? };
    check_places(inputs, &files, &job.training, job.held_out.as_ref())?;
    let lock = if share.is_none() { Some(claim(job.directory())?) } else { None };
    if output.overwrite {
        job.clear()?;
    }
    let notes = cards::note(&skipped).into_iter().collect();
    let inputs = Inputs { files: &files, portions: &portions, options, notes };
    let prepared = prepare_all(&job, &inputs, share, progress);
    if let (Err(Error::Input { path: None, .. }), Some(_)) = (&prepared, &lock) {
        // Other options are needed, and they would not fit what is there. The error that led here is the one worth reporting.
        let _ = job.clear();
    }
    prepared
}

/// Refuses options that cannot be used here.
fn refuse(output: &PortionOutput, options: &PrepareOptions, share: Option<Share>) -> Result<()> {
    if !(output.shard_size > 0.0 && output.shard_size.is_finite()) {
        return Err(Error::rule("shard_size", "a number above 0", output.shard_size));
    }
    if options.dedup_lines {
        let reason = "dedup_lines=True compares each line with all lines before it, which portions of the input cannot \
                      do; drop `shard_size`, or dedup_lines=True";
        return Err(Error::conflict("dedup_lines", reason));
    }
    if share.is_some() && output.overwrite {
        let reason = "with `num_tasks`, overwrite=True is not possible, because each task would remove what the others \
                      have done; remove the output before the first task, or pass another `output`";
        return Err(Error::conflict("overwrite", reason));
    }
    Ok(())
}

/// Divides the inputs into portions of a number of MiB.
fn divide(files: &[InputFile], mib: f64, read: &ReadOptions) -> Result<Vec<Portion>> {
    if let Some(stream) = files.iter().find(|file| !file.is_seekable()) {
        let reason = "with `shard_size`, each input must be a file, because a stream has no size and can be read only \
                      once; write it to a file first, or drop `shard_size`";
        return Err(Error::conflict_at("shard_size", &stream.path, reason));
    }
    let portions = portions(files, (mib * f64::from(1 << 20)) as u64, |file| is_divisible(file, read))?;
    if portions.len() as u64 > MAX_SHARDS {
        let reason = format!("divides the input into {} files, more than {MAX_SHARDS}; pass more", portions.len());
        return Err(Error::unfit("shard_size", mib, reason));
    }
    Ok(portions)
}

/// Begins the corpus, or finds what is there, and does what is missing.
fn prepare_all(job: &Job, inputs: &Inputs<'_>, share: Option<Share>, progress: &mut dyn Progress) -> Result<Prepared> {
    let rounds = job.rounds();
    let all = |round: Round, number: u32, complete: u64| TaskState {
        range: share.map_or(0..job.total(round), |share| share.range(job.total(round))),
        total: job.total(round),
        complete,
        round: number,
        rounds: rounds.len() as u32,
    };
    let last = all(Round::Write, rounds.len() as u32, job.total(Round::Write));
    let mut has_worked = false;
    'again: for _ in 0..TRIES {
        let (manifest, is_begun) = job.look()?;
        if let Some(manifest) = manifest {
            let advice = match share {
                Some(_) => "remove the output, and run all tasks again",
                None => "pass overwrite=True to make it again",
            };
            check_all(job, &manifest, advice)?;
            job.tidy()?;
            let corpus = CompleteCorpus::new(job, manifest, !has_worked);
            return Ok(Prepared { summary: Some(corpus.summary), already_complete: !has_worked, state: last });
        }
        if !is_begun && !job.begin()? {
            continue;
        }
        for (number, &round) in (1..).zip(rounds) {
            let own = all(round, number, 0).range;
            match do_share(job, inputs, round, own, &mut has_worked, progress) {
                Ok(left) if left > 0 && share.is_some() => {
                    if job.is_complete() {
                        // The notes were removed meanwhile.
                        continue 'again;
                    }
                    let state = all(round, number, job.total(round) - left);
                    return Ok(Prepared { summary: None, already_complete: false, state });
                }
                Ok(_) => {}
                // If another task has done the work too, and completed the corpus, it does not matter what went wrong.
                Err(error) if !matches!(error, Error::Interrupted(_)) && job.is_complete() => continue 'again,
                Err(error) => return Err(error),
            }
        }
        match complete(job) {
            Ok(manifest) => {
                let corpus = CompleteCorpus::new(job, manifest, false);
                return Ok(Prepared { summary: Some(corpus.summary), already_complete: false, state: last });
            }
            Err(error) if error.is_missing() && job.is_complete() => {}
            Err(error) => return Err(error),
        }
    }
    let reason = "other commands change the same output again and again; wait for them, and run the same command again";
    Err(Error::data(job.directory(), reason))
}

/// Does what is missing of a range of a round. Returns how much of the round is missing then.
fn do_share(
    job: &Job,
    inputs: &Inputs<'_>,
    round: Round,
    own: std::ops::Range<u64>,
    has_worked: &mut bool,
    progress: &mut dyn Progress,
) -> Result<u64> {
    let done = job.done(round)?;
    let (done, mut todo): (Vec<_>, Vec<_>) = own.partition(|&number| done[number as usize]);
    if round == Round::Write {
        todo.extend(lost(job, done.into_iter())?);
        todo.sort_unstable();
    }
    *has_worked |= !todo.is_empty();
    run(job, inputs, round, &todo, progress)?;
    Ok(missing(job, round)?.len() as u64)
}
