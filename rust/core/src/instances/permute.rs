//! A keyed permutation of `0..n` that needs no memory: the plan's shuffle.

use super::rng::FastRng;

/// Enough rounds that neighbors end up unrelated (four make a Feistel network pseudorandom; the function here is weaker
/// than the proof assumes).
const ROUNDS: usize = 8;

/// A bijection of `0..n`, chosen by a key.
///
/// It is a Feistel network over pairs of residues modulo `side`, the smallest integer whose square is at least `n`.
/// Results of `n` and above are passed through again (cycle walking), which happens for fewer than `2 * side` of
/// `side * side` values.
#[derive(Debug, Clone)]
pub struct Permutation {
    n: u64,
    side: u64,
    keys: [u64; ROUNDS],
}

/// A bijective mix of 64 bits (the finalizer of `MurmurHash3`).
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    x = (x ^ (x >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    x ^ (x >> 33)
}

impl Permutation {
    /// Returns the permutation of `0..n` that belongs to `key`.
    pub fn new(n: u64, key: u64) -> Self {
        let floor = n.isqrt();
        let side = if floor * floor == n { floor } else { floor + 1 };
        let mut rng = FastRng::keyed(key, n, u64::MAX, u64::MAX);
        Self { n, side: side.max(1), keys: std::array::from_fn(|_| rng.next_u64()) }
    }

    /// Returns how many numbers it permutes.
    pub fn len(&self) -> u64 {
        self.n
    }

    /// Whether there are no numbers.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// Returns the number that `index` maps to.
    ///
    /// # Panics
    /// If `index` is not below `n`.
    pub fn apply(&self, index: u64) -> u64 {
        assert!(index < self.n, "index must be below {}, got {index}", self.n);
        let mut value = index;
        loop {
            let (mut left, mut right) = (value / self.side, value % self.side);
            for key in self.keys {
                let offset = ((u128::from(mix(right ^ key)) * u128::from(self.side)) >> 64) as u64;
                let sum = left + offset;
                left = right;
                right = if sum >= self.side { sum - self.side } else { sum };
            }
            // Both are below `side`, so the result is below its square, which is at most 2^64.
            value = left * self.side + right;
            if value < self.n {
                return value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(n: u64, key: u64) -> Vec<u64> {
        let permutation = Permutation::new(n, key);
        (0..n).map(|index| permutation.apply(index)).collect()
    }

    proptest! {
        #[test]
        fn is_a_bijection(n in 1_u64..3000, key: u64) {
            let mut images = all(n, key);
            images.sort_unstable();
            prop_assert!(images.into_iter().eq(0..n));
        }

        #[test]
        fn stays_in_range_and_apart(n in 1_u64.., key: u64, indices: [u64; 8]) {
            let permutation = Permutation::new(n, key);
            let mut indices = indices.map(|index| index % n).to_vec();
            indices.sort_unstable();
            indices.dedup();
            let mut images: Vec<_> = indices.iter().map(|&index| permutation.apply(index)).collect();
            images.sort_unstable();
            images.dedup();
            prop_assert_eq!(images.len(), indices.len());
            prop_assert!(images.iter().all(|&image| image < n));
        }
    }

    #[test]
    fn largest_range() {
        for n in [u64::MAX, u64::MAX - 1, 1 << 63, (1 << 32) * ((1 << 32) - 1)] {
            let permutation = Permutation::new(n, 3);
            assert!(permutation.apply(n - 1) < n);
            assert_ne!(permutation.apply(0), permutation.apply(n - 1));
        }
    }

    /// Frozen, because the order of shards must be the same in every version.
    #[test]
    fn frozen() {
        assert_eq!(all(10, 12345), [6, 4, 9, 7, 8, 5, 0, 1, 3, 2]);
        assert_ne!(all(1000, 1), all(1000, 2));
    }

    /// The tenth of the range that an index maps to is independent of its own tenth and of where its neighbor maps to.
    #[test]
    fn looks_random() {
        let n = 50_000;
        let images = all(n, 7);
        let tenth = |value: u64| (value * 10 / n) as usize;
        let (mut moves, mut neighbours) = ([0_i64; 100], [0_i64; 100]);
        for (index, pair) in images.windows(2).enumerate() {
            moves[tenth(index as u64) * 10 + tenth(pair[0])] += 1;
            neighbours[tenth(pair[0]) * 10 + tenth(pair[1])] += 1;
        }
        for counts in [moves, neighbours] {
            let statistic: i64 = counts.iter().map(|count| (count - 500).pow(2)).sum::<i64>() / 500;
            // The 99.99th percentile for 81 degrees of freedom (the margins are fixed) is 136.
            assert!(statistic < 136, "{statistic}: {counts:?}");
            // The 0.01st is 41. Less would also be a pattern.
            assert!(statistic > 41, "{statistic}: {counts:?}");
        }
    }
}
