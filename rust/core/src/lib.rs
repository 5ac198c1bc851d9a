//! Raw text in, ALBERT pretraining instances out: the stages of albert-fast, one module each, without Python.

pub mod atomic;
pub mod batch;
pub mod changes;
pub mod chunks;
pub mod documents;
pub mod error;
pub mod example;
mod guard;
pub mod input;
pub mod instance;
pub mod lock;
pub mod make;
pub mod mask;
pub mod mask_rows;
pub mod options;
pub mod permute;
pub mod plan;
pub mod prefetch;
pub mod prepare;
pub mod record_index;
pub mod record_source;
pub mod records;
pub mod reference;
pub mod rng;
pub mod store;
pub mod stream;
#[cfg(test)]
mod testing;
pub mod tfrecord;
pub mod tokenize;
pub mod tokenizer;
pub mod vocab;

pub use error::{Error, NoProgress, Progress, Result};
