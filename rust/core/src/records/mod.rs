//! Writes instances to `TFRecord` shards and reads them back: records, their index, batches from them, and
//! `make-records`.

pub mod example;
pub mod fetch;
pub mod finish;
pub mod index;
pub mod make;
pub mod source;
pub mod tfrecord;
pub mod write;
