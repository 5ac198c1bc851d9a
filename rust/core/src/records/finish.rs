//! Completes an output that tasks have written, whatever it is.

use std::path::Path;

use super::write;
use crate::prepare::tasks::{self as corpus, CompleteCorpus};
use crate::tokens::tokenize;
use crate::tokens::training::tasks as training;
use crate::{Error, Progress, Result};

/// What tasks have written.
#[derive(Debug, Clone, PartialEq)]
pub enum Completed {
    /// Records of `make-records`.
    Records(Box<write::Finished>),
    /// A token store of `tokenize`.
    Store(Box<tokenize::Finished>),
    /// A corpus of `prepare-text`.
    Corpus(CompleteCorpus),
    /// A tokenizer of `train-tokenizer`, whose files the caller must write unless it was complete.
    Tokenizer(training::Completed),
}

/// Completes the output of tasks in `directory`: see [`write::finish`], [`tokenize::finish`], [`corpus::finish`] and
/// [`training::finish`].
///
/// # Errors
/// Those of all four; [`Error::Input`] if the directory holds something else.
pub fn finish(directory: &Path, num_tasks: Option<u64>, progress: &mut dyn Progress) -> Result<Completed> {
    if let Some(finished) = write::finish(directory, num_tasks)? {
        return Ok(Completed::Records(Box::new(finished)));
    }
    if let Some(finished) = tokenize::finish(directory, num_tasks)? {
        return Ok(Completed::Store(Box::new(finished)));
    }
    if let Some(corpus) = corpus::finish(directory, num_tasks)? {
        return Ok(Completed::Corpus(corpus));
    }
    if let Some(trained) = training::finish(directory, num_tasks, progress)? {
        return Ok(Completed::Tokenizer(trained));
    }
    let reason = "there are no records, no token store, no corpus of tasks and no tokenizer of tasks here, complete or \
                  not; pass the output of tasks";
    Err(Error::input_at(directory, reason))
}
