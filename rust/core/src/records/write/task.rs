//! Writes the shards of one task, while others may write theirs to the same directory.

use std::path::Path;

use super::dataset::{Dataset, Shard};
use super::finish::{complete, list};
use super::header::Header;
use super::journal::{self, Journal, Notes, find};
use super::pipeline::{self, Layout};
use super::{InstanceSource, Origin, RecordsOptions, markers, resolve};
use crate::tasks::{Share, TaskState};
use crate::{Error, Progress, Result};

/// How often a task begins again if others change what it relies on at the same time.
const TRIES: usize = 5;

/// What [`write_task`] did.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskSummary {
    /// The numbers of the task's shards, the number of all shards, and how many of these are complete.
    pub state: TaskState,
    /// The task's shards.
    pub shards: Vec<Shard>,
    /// How many of the task's shards were complete before.
    pub resumed_shards: usize,
    /// The content of `dataset.json`, if all shards are complete.
    pub dataset: Option<Dataset>,
    /// Whether the set was already complete.
    pub already_complete: bool,
}

/// Writes those shards of [`super::write_records`] that are the share of one task. Tasks may run at the same time, on
/// several machines, in any order, and more than once. Their number may change between runs.
///
/// The task does not lock the directory, and removes nothing that another one may need. If all shards are complete at the
/// end, it completes the set as [`super::finish`] does.
///
/// # Errors
/// Those of [`super::write_records`]; [`Error::Conflict`] if `options` say to overwrite.
pub fn write_task<S: InstanceSource>(
    source: &S,
    directory: &Path,
    options: &RecordsOptions,
    origin: &Origin,
    share: Share,
    progress: &mut dyn Progress,
) -> Result<TaskSummary> {
    refuse_overwrite(options)?;
    let (options, header) = resolve(source.len(), options, origin)?;
    let num_shards = options.num_shards.unwrap_or_default();
    let range = share.range(num_shards);
    let task = Task { directory, header: &header, share };
    let mut resumed_shards = None;
    let done = |shards: &[Option<Shard>], complete, resumed_shards: Option<usize>, dataset| {
        let own = shards.get(range.start as usize..range.end as usize).unwrap_or_default();
        TaskSummary {
            state: TaskState { range: range.clone(), total: num_shards, complete, round: 1, rounds: 1 },
            shards: own.iter().flatten().cloned().collect(),
            resumed_shards: resumed_shards.unwrap_or(own.len()),
            dataset,
            already_complete: resumed_shards.is_none(),
        }
    };
    for _ in 0..TRIES {
        let (journal, mut shards) = match task.begin(origin)? {
            Begun::Complete(dataset, shards) => return Ok(done(&shards, num_shards, resumed_shards, Some(*dataset))),
            Begun::Partial(journal, shards) => (journal, shards),
            Begun::Changed => continue,
        };
        resumed_shards.get_or_insert(shards.iter().flatten().count());
        let written =
            pipeline::run(source, Layout::Runs, directory, &options, journal, range.clone(), &mut shards, progress);
        // If another task has done the work too, and completed the set, it does not matter what went wrong.
        if let Err(error) = written
            && (matches!(error, Error::Interrupted(_)) || !task.is_complete())
        {
            return Err(removed(error));
        }
        match task.end(&mut shards)? {
            End::Complete(dataset) => return Ok(done(&shards, num_shards, resumed_shards, Some(*dataset))),
            End::Partial(complete) => return Ok(done(&shards, complete, resumed_shards, None)),
            End::Changed => {}
        }
    }
    let reason = "another task writes the same shards again and again; wait for it, and run the same command again";
    Err(Error::data(directory, reason))
}

/// Refuses to overwrite.
pub(in crate::records) fn refuse_overwrite(options: &RecordsOptions) -> Result<()> {
    if !options.overwrite {
        return Ok(());
    }
    let reason = "with `num_tasks`, overwrite=True is not possible, because each task would remove the records of the \
                  others; remove the directory before the first task, or pass another `output_dir`";
    Err(Error::conflict("overwrite", reason))
}

enum Begun {
    Complete(Box<Dataset>, Vec<Option<Shard>>),
    Partial(Journal, Vec<Option<Shard>>),
    /// Another task has changed the directory meanwhile.
    Changed,
}

enum End {
    Complete(Box<Dataset>),
    /// The number of complete shards.
    Partial(u64),
    /// A shard of this task is not the one that is noted.
    Changed,
}

struct Task<'a> {
    directory: &'a Path,
    header: &'a Header,
    share: Share,
}

impl Task<'_> {
    fn begin(&self, origin: &Origin) -> Result<Begun> {
        let found = find(self.directory, self.header, Some(self.share))?;
        let is_known = found.is_some();
        let shards = match found {
            Some(found) => match found.dataset {
                Some(dataset) => {
                    self.check_all(&found.shards)?;
                    journal::tidy(self.directory)?;
                    return Ok(Begun::Complete(Box::new(dataset), found.shards));
                }
                None => found.shards,
            },
            None => vec![None; self.header.num_shards().unwrap_or_default()],
        };
        let Some(journal) = Journal::join(self.directory, self.header, is_known)? else { return Ok(Begun::Changed) };
        markers::keep_origin(self.directory, origin)?;
        Ok(Begun::Partial(journal, shards))
    }

    /// Whether others have completed the set.
    fn is_complete(&self) -> bool {
        journal::read_dataset(self.directory)
            .is_ok_and(|dataset| dataset.is_some_and(|dataset| dataset.header().differences(self.header).is_empty()))
    }

    /// Refuses a set that was complete and has lost shards.
    fn check_all(&self, shards: &[Option<Shard>]) -> Result<()> {
        let lost: Vec<_> = (0..).zip(shards).filter(|(_, shard)| shard.is_none()).map(|(index, _)| index).collect();
        if lost.is_empty() {
            return Ok(());
        }
        let reason = format!(
            "the records were complete, but {} missing or changed since; run the same command without `num_tasks` and \
             `task_id` to make them again",
            list(&lost, shards.len() as u64)
        );
        Err(Error::data(self.directory, reason))
    }

    /// Looks at what is there after the task's shards are made. Completes the set if nothing is missing.
    fn end(&self, shards: &mut Vec<Option<Shard>>) -> Result<End> {
        let found = find(self.directory, self.header, Some(self.share))?;
        let Some(found) = found else { return Ok(End::Changed) };
        *shards = found.shards;
        if let Some(dataset) = found.dataset {
            journal::tidy(self.directory)?;
            return Ok(End::Complete(Box::new(dataset)));
        }
        let own = self.share.range(shards.len() as u64);
        if shards[own.start as usize..own.end as usize].contains(&None) {
            return Ok(End::Changed);
        }
        let Some(notes) = Notes::read(self.directory)? else { return Ok(End::Changed) };
        if notes.dataset.is_some() {
            return Ok(End::Changed);
        }
        let noted = notes.count(self.directory)?;
        if noted < shards.len() as u64 {
            // If others finish at this moment, the notes are removed.
            let is_complete = journal::read_dataset(self.directory)?.is_some();
            return Ok(if is_complete { End::Changed } else { End::Partial(noted) });
        }
        let all = notes.shards(self.directory, None)?;
        let complete: Vec<_> = all.iter().flatten().cloned().collect();
        if complete.len() < all.len() {
            let is_complete = journal::read_dataset(self.directory)?.is_some();
            return Ok(if is_complete { End::Changed } else { End::Partial(complete.len() as u64) });
        }
        let Some(origin) = markers::origin(self.directory)? else { return Ok(End::Changed) };
        self::complete(self.directory, self.header, &origin, complete).map(|it| End::Complete(Box::new(it)))
    }
}

/// Says what to do if another command has removed the temporary of a shard.
fn removed(error: Error) -> Error {
    match error {
        Error::Io { ref path, .. } if error.is_missing() => {
            Error::data(path, "its temporary was removed by another command; run the same command again to resume")
        }
        error => error,
    }
}
