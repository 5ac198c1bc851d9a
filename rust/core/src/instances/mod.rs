//! Turns tokenized documents into masked instances: which there are, in which order, and each of them by its number.

pub mod blocks;
pub mod chunks;
pub mod instance;
pub mod mask;
pub mod mask_rows;
pub mod options;
pub mod permute;
pub mod plan;
pub mod reference;
pub mod rng;
#[cfg(test)]
pub(crate) mod testing;
