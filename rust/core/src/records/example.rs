//! Records: `tf.train.Example` messages with the eight features of ALBERT's pretraining data.
//!
//! An `Example` is a map from feature names to lists, here of `max_seq_length` (S) or [`InstanceOptions::max_predictions`]
//! (P) numbers, zero-padded:
//!
//! | feature | list | what |
//! |---|---|---|
//! | `input_ids` | S int64 | `[CLS] A [SEP] B [SEP]`, masks in place |
//! | `input_mask` | S int64 | 1 on tokens, 0 on padding |
//! | `masked_lm_ids` | P int64 | the original ids |
//! | `masked_lm_positions` | P int64 | where they were, ascending |
//! | `masked_lm_weights` | P float | 1.0 on predictions, 0.0 on padding |
//! | `next_sentence_labels` | 1 int64 | 1 where the second segment is random or the two changed places |
//! | `segment_ids` | S int64 | 0 up to and including the first `[SEP]`, then 1 |
//! | `token_boundary` | S int64 | 1 where a word begins; BERT's records have none |
//!
//! [`encode`] writes the bytes of protobuf's deterministic serialization: packed lists, map keys in sorted order.
//! [`decode`] reads any `Example`, and [`Rules::check`] says what is wrong with one; [`decode_row`] reads good ones quickly.
//!
//! [`InstanceOptions::max_predictions`]: crate::instances::options::InstanceOptions::max_predictions

mod check;
mod decode;
mod encode;
mod row;

pub use check::Rules;
pub use decode::{Example, Values, decode};
pub use encode::{Encoder, encode};
pub use row::decode_row;

/// The names of the features, sorted.
pub const FEATURES: [&str; 8] = [
    "input_ids",
    "input_mask",
    "masked_lm_ids",
    "masked_lm_positions",
    "masked_lm_weights",
    "next_sentence_labels",
    "segment_ids",
    "token_boundary",
];

/// The feature that BERT's records have not, and that only masking anew needs.
pub const TOKEN_BOUNDARY: &str = FEATURES[7];

#[cfg(test)]
mod tests;
