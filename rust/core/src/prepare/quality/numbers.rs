//! Hashes and percentages, which several rules need.

use std::hash::Hasher;

/// The factor of the polynomial hash of a sequence.
pub(super) const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

/// Uses a hash as its own hash.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.wrapping_mul(FACTOR).wrapping_add(u64::from(byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// Whether `count` is more than `percent` of `all`. Whole numbers keep the limit exact.
pub(super) fn exceeds(count: u64, percent: u64, all: u64) -> bool {
    100 * count > percent * all
}
