//! Raw text to sentences: what people have in, one sentence a line and a blank line after each document out.
//!
//! While one wave of blocks is taken apart and cleaned on all threads, the next is read, and of the one before duplicates
//! are dropped and the rest is written. Only the order of the input decides what is written, and where.

mod arrow;
pub(crate) mod cards;
pub mod clean;
pub mod dedup;
pub mod format;
mod hyphens;
mod json_faults;
mod json_shape;
mod jsonl;
pub mod language;
mod look;
pub mod mediawiki;
mod notes;
pub mod options;
pub mod output;
mod parquet;
pub mod parse;
mod plain;
pub mod raw;
pub mod read;
mod run;
pub mod sentences;
pub mod summary;
mod table;
#[cfg(test)]
mod tests;
mod warc;
mod wikiextractor;
pub mod wikitext;
mod xml;

pub use run::{Outputs, prepare};
