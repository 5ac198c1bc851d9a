//! Completes an output that tasks have written, whatever it is.

use std::path::Path;

use super::write;
use crate::tokens::tokenize;
use crate::{Error, Result};

/// What [`finish`] found.
#[derive(Debug, Clone, PartialEq)]
pub enum Finished {
    /// Records.
    Records(write::Finished),
    /// A token store.
    Store(tokenize::Finished),
}

/// Completes the output of tasks in `directory`: see [`write::finish`] and [`tokenize::finish`].
///
/// # Errors
/// Those of both; [`Error::Input`] if the directory holds something else.
pub fn finish(directory: &Path, num_tasks: Option<u64>) -> Result<Finished> {
    if let Some(finished) = write::finish(directory, num_tasks)? {
        return Ok(Finished::Records(finished));
    }
    if let Some(finished) = tokenize::finish(directory, num_tasks)? {
        return Ok(Finished::Store(finished));
    }
    let reason = "there are no records and no token store here, complete or not; pass the `output_dir` of tasks";
    Err(Error::input_at(directory, reason))
}
