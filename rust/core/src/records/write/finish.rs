//! Completes records that tasks have written.

use std::path::Path;

use super::dataset::{Dataset, Shard};
use super::header::Header;
use super::journal::{Notes, foreign_shard, publish, tidy};
use super::{Origin, markers, no_instances};
use crate::error::counted;
use crate::files::lock::lock;
use crate::tasks::{Share, list, unfinished};
use crate::{Error, Result};

/// What [`finish`] did.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// The content of `dataset.json`.
    pub dataset: Dataset,
    /// Whether the set was already complete.
    pub already_complete: bool,
}

/// Checks that all shards that tasks were to write to `directory` are there and agree, and writes `dataset.json`. Removes
/// what killed tasks have left. Returns `None` if the directory holds no records, complete or not.
///
/// With `num_tasks`, the error about missing shards says which tasks to run again.
///
/// # Errors
/// [`Error::Data`] if shards are missing, or do not have the number of records that they should have, or were not begun by
/// tasks; [`Error::Rule`] if `num_tasks` is out of its range; [`Error::Io`].
pub fn finish(directory: &Path, num_tasks: Option<u64>) -> Result<Option<Finished>> {
    num_tasks.map(|count| Share::new(0, count)).transpose()?;
    let Some(first) = Notes::read(directory)? else {
        return match foreign_shard(directory)? {
            None => Ok(None),
            Some(name) => {
                let reason = format!("the directory holds {name}, but nothing says what it was made from");
                Err(Error::data(directory, reason))
            }
        };
    };
    // Tasks do not lock the directory. A command without tasks does, and completes its records by itself.
    let _lock = lock(directory)?;
    // The last task may have finished meanwhile.
    let notes = Notes::read(directory)?.unwrap_or(first);
    let origin = markers::origin(directory)?;
    if origin.is_none() && notes.dataset.is_none() {
        let reason = "a command without tasks was stopped here; run the same command again to complete its records";
        return Err(Error::data(directory, reason));
    }
    let all = notes.shards(directory, None)?;
    let lost: Vec<_> = (0..).zip(&all).filter(|(_, shard)| shard.is_none()).map(|(index, _)| index).collect();
    if !lost.is_empty() {
        return Err(again(directory, &lost, all.len() as u64, num_tasks, notes.dataset.is_some()));
    }
    if let Some(dataset) = notes.dataset {
        tidy(directory)?;
        return Ok(Some(Finished { dataset, already_complete: true }));
    }
    let origin = origin.unwrap_or_default();
    let dataset = complete(directory, &notes.header, &origin, all.into_iter().flatten().collect())?;
    Ok(Some(Finished { dataset, already_complete: false }))
}

/// Writes `dataset.json` for shards of which none is missing, and tidies up.
pub(super) fn complete(directory: &Path, header: &Header, origin: &Origin, shards: Vec<Shard>) -> Result<Dataset> {
    let records: u64 = shards.iter().map(|shard| shard.records).sum();
    let wanted = header.instances.unwrap_or(records);
    if records != wanted {
        let reason = format!(
            "the shards have {} together, but should have {wanted}; remove the directory, and run all tasks again",
            counted(records as usize, "record")
        );
        return Err(Error::data(directory, reason));
    }
    if records == 0 {
        return Err(no_instances(origin.documents));
    }
    let dataset = Dataset::new(header, origin, shards);
    publish(directory, &dataset)?;
    Ok(dataset)
}

/// Returns the error that says what is missing and what to do.
fn again(directory: &Path, numbers: &[u64], count: u64, num_tasks: Option<u64>, was_complete: bool) -> Error {
    if was_complete {
        let missing = list("shard", numbers, count);
        let reason = format!(
            "the records were complete, but {missing} missing or changed since; run make-records again without \
             `num_tasks` and `task_id` to make them again"
        );
        return Error::data(directory, reason);
    }
    unfinished(directory, "shard", numbers, count, num_tasks, (1, 1))
}
