//! Turns instances into batches: zero-padded arrays, made in parallel and ahead of their consumer.

pub mod batch;
pub mod mixture;
mod order;
pub mod pattern;
pub mod prefetch;
pub mod stream;
