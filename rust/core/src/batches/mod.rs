//! Turns instances into batches: zero-padded arrays, made in parallel and ahead of their consumer.

pub mod batch;
mod order;
pub mod prefetch;
pub mod stream;
