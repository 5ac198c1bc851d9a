//! Records: `tf.train.Example` messages with the eight features of ALBERT's pretraining data.
//!
//! An `Example` maps feature names to lists. Here the lists have `max_seq_length` (S) or
//! [`InstanceOptions::max_predictions`] (P) numbers and are padded with zeros:
//!
//! | feature | list | what |
//! |---|---|---|
//! | `input_ids` | S int64 | `[CLS] A [SEP] B [SEP]`, with the masks in place |
//! | `input_mask` | S int64 | 1 on tokens, 0 on padding |
//! | `masked_lm_ids` | P int64 | the original ids |
//! | `masked_lm_positions` | P int64 | where they were, ascending |
//! | `masked_lm_weights` | P float | 1.0 on predictions, 0.0 on padding |
//! | `next_sentence_labels` | 1 int64 | 1 if the second segment is random or the two are swapped |
//! | `segment_ids` | S int64 | 0 through the first `[SEP]`, then 1 |
//! | `token_boundary` | S int64 | 1 if the token begins a word; BERT's records lack this feature |
//!
//! [`encode`] writes the bytes of protobuf's deterministic serialization: packed lists, map keys in sorted order.
//! [`decode`] reads any `Example`, and [`Rules::check`] says what is wrong with it. [`decode_row`] reads valid ones
//! quickly.
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

/// The feature that BERT's records lack. Only masking records again needs it.
pub const TOKEN_BOUNDARY: &str = FEATURES[7];

#[cfg(test)]
mod tests;
