//! Turns raw text into ALBERT pretraining instances: the stages of albert-fast, one directory each, without Python.
//!
//! | stage | from | to |
//! |---|---|---|
//! | [`prepare`] | raw text | a corpus: one sentence per line, a blank line after each document |
//! | [`tokens`] | a corpus | tokenized documents, in a token store or in memory |
//! | [`instances`] | tokenized documents | masked instances, each by its number |
//! | [`batches`] | instances | arrays for training |
//! | [`records`] | instances | `TFRecord` files, and batches from them |
//!
//! A stage uses only the stages above it. All of them use [`error`], [`files`] and [`tasks`], which use no
//! stage.

pub mod batches;
pub mod error;
pub mod files;
pub mod instances;
pub mod prepare;
pub mod records;
pub mod tasks;
pub mod tokens;
mod unicode;
mod waves;

pub use error::{Error, NoProgress, Progress, Result};
