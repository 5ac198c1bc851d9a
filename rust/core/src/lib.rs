//! Raw text in, ALBERT pretraining instances out: the stages of albert-fast, one directory each, without Python.
//!
//! A stage uses only stages above it in this list. All of them use [`error`] and [`files`], which use no stage.

pub mod error;
pub mod files;

pub mod prepare;
pub mod tokens;

pub mod instances;

pub mod batches;

pub mod records;

pub use error::{Error, NoProgress, Progress, Result};
