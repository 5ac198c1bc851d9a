//! Instances to `TFRecord` shards and back: records, their index, batches read from them, and the whole of `make-records`.

pub mod example;
pub mod index;
pub mod make;
pub mod source;
pub mod tfrecord;
pub mod write;
