//! What every stage needs of files: which ones an argument names, their bytes decompressed, files that appear whole, locks.

pub mod atomic;
#[cfg(test)]
pub(crate) mod compress;
pub(crate) mod foreign;
pub(crate) mod guard;
pub mod inputs;
pub mod lock;
pub mod marks;
pub(crate) mod resume;
pub(crate) mod source;
pub(crate) mod staging;
