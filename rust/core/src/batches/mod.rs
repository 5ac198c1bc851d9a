//! Instances to batches: zero-padded arrays, made in parallel and ahead of who reads them.

pub mod batch;
pub mod prefetch;
pub mod stream;
