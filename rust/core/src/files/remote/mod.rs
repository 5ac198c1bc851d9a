//! Remote files: in buckets of S3, Google Cloud and Azure, on web servers, and on the Hugging Face Hub.
//!
//! An object appears complete or not at all: a small one is one request, a large one a multipart upload that is
//! completed at the end. What is read is one version of an object: if its `ETag` changes meanwhile, reading fails.
//!
//! Requests run on a small tokio runtime beside the threads that work. All functions here block, and must not be called
//! from a task of that runtime.

mod address;
mod again;
mod errors;
mod list;
mod memory;
#[cfg(test)]
mod mock;
mod object;
mod read;
mod runtime;
mod stores;
mod whole;
mod write;

pub(crate) use address::{Address, Scheme};
pub use address::{is_remote, public};
pub(crate) use errors::{Failure, FailureKind};
pub(crate) use list::{Listed, below, children};
pub(crate) use object::{Object, bytes, put, put_new, remove};
pub(crate) use read::{Ranges, Reader};
pub use runtime::Stopping;
pub(crate) use stores::remove_abandoned;
pub use whole::{list_all, read_all, remove_file, shown, size_of, write_all};
pub(crate) use write::Upload;
