//! Raw text to sentences: what people have in, one sentence a line and a blank line after each document out.
//!
//! While one wave of blocks is taken apart and cleaned on all threads, the next is read, and of the one before duplicates
//! are dropped and the rest is written. Only the order of the input decides what is written, and where.

pub(crate) mod cards;
pub mod clean;
pub mod dedup;
mod hyphens;
pub mod language;
mod look;
mod notes;
pub mod options;
pub mod output;
pub mod read;
mod run;
pub mod sentences;
pub mod summary;
#[cfg(test)]
mod tests;

pub use run::{Outputs, prepare};
