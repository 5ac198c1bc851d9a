//! File handling for all stages: the files that an argument names, decompression, files that appear complete, locks.

pub mod atomic;
pub mod cache;
#[cfg(test)]
pub(crate) mod compress;
pub mod copy;
pub(crate) mod foreign;
pub(crate) mod guard;
pub mod inputs;
pub mod lock;
pub mod marks;
pub(crate) mod notes;
pub mod portions;
pub(crate) mod raw;
pub mod remote;
pub(crate) mod resume;
pub(crate) mod scratch;
pub(crate) mod source;
pub(crate) mod staging;
#[cfg(test)]
pub(crate) mod web_server;
