//! Completes an output that tasks have written, whatever it is.

use std::path::Path;

use super::write::{self, Finished};
use crate::files::marks::is_token_store;
use crate::{Error, Result};

/// Completes the output of tasks in `directory`: see [`write::finish`].
///
/// # Errors
/// Those of [`write::finish`]; [`Error::Input`] if the directory holds something else.
pub fn finish(directory: &Path, num_tasks: Option<u64>) -> Result<Finished> {
    if let Some(finished) = write::finish(directory, num_tasks)? {
        return Ok(finished);
    }
    let reason = if is_token_store(directory)? {
        "this is a token store, which tokenize completes by itself; if it is not complete, run the same tokenize command \
         again"
    } else {
        "there are no records here, complete or not; pass the `output_dir` of make-records"
    };
    Err(Error::input_at(directory, reason))
}
