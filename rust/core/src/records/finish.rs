//! Completes an output that tasks have written, whatever it is.

use std::path::Path;

use super::write::{self, Finished};
use crate::files::marks::is_token_store;
use crate::prepare::tasks::{self as corpus, CompleteCorpus};
use crate::{Error, Result};

/// What tasks have written.
#[derive(Debug, Clone, PartialEq)]
pub enum Completed {
    /// Records of `make-records`.
    Records(Box<Finished>),
    /// A corpus of `prepare-text`.
    Corpus(CompleteCorpus),
}

/// Completes the output of tasks in `directory`: see [`write::finish`] and [`corpus::finish`].
///
/// # Errors
/// Those of [`write::finish`] and [`corpus::finish`]; [`Error::Input`] if the directory holds something else.
pub fn finish(directory: &Path, num_tasks: Option<u64>) -> Result<Completed> {
    if let Some(finished) = write::finish(directory, num_tasks)? {
        return Ok(Completed::Records(Box::new(finished)));
    }
    if let Some(corpus) = corpus::finish(directory, num_tasks)? {
        return Ok(Completed::Corpus(corpus));
    }
    let reason = if is_token_store(directory)? {
        "this is a token store, which tokenize completes by itself; if it is not complete, run the same tokenize command \
         again"
    } else {
        "there are no records and no corpus of tasks here, complete or not; pass the `output_dir` of make-records, or the \
         `output` of prepare-text"
    };
    Err(Error::input_at(directory, reason))
}
