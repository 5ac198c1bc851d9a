//! Turns raw text into a corpus: one sentence per line, and a blank line after each document.
//!
//! Work proceeds in waves of blocks. All threads parse and clean one wave while the next wave is read. Meanwhile,
//! duplicates are dropped from the previous wave, and the rest is written. What is written, and where, depends only on
//! the order of the input.

pub(crate) mod cards;
pub mod clean;
pub mod dedup;
pub mod filters;
mod hashes;
mod hyphens;
mod keep_language;
pub mod language;
mod look;
pub mod near;
mod notes;
pub mod options;
pub mod output;
mod places;
pub mod quality;
pub mod read;
mod run;
pub mod sentences;
pub mod summary;
pub mod tasks;
#[cfg(test)]
mod tests;
mod work;

pub use run::{Outputs, prepare};
