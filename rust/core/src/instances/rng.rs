//! Random numbers: Python's and NumPy's Mersenne Twisters for the reference's order, a keyed `ChaCha8` for everything
//! else.
//!
//! Instances and masks are generic over [`Rng`], so that both modes use the same code.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng};
use rand_mt::Mt;

/// The draws that instances and masks need.
pub trait Rng {
    /// Returns a float in `[0, 1)` with 53 random bits.
    fn random(&mut self) -> f64;

    /// Returns a uniform number in `0..n`; `n` is at least 1.
    fn below(&mut self, n: u64) -> u64;

    /// Returns a uniform number in `low..=high`, like Python's `randint`.
    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// Shuffles all of `items`, from the last to the second as Python's `shuffle` does.
    fn shuffle(&mut self, items: &mut [u32]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }

    /// Prepares `items` to be walked in random order with [`Rng::next_in_order`].
    fn begin_order(&mut self, items: &mut [u32]);

    /// Returns item `k` of that walk, for `k` = 0, 1, 2, ... below `items.len()`. Afterward, `items` is still a
    /// permutation of the original.
    fn next_in_order(&mut self, items: &mut [u32], k: usize) -> u32;

    /// Returns a length from 1 to `cumulative.len()`: one more than the first index whose value is above a random
    /// float. `cumulative` ascends to 1.
    fn ngram_length(&mut self, cumulative: &[f64]) -> usize;
}

/// Returns the place of `sample` in `cumulative` (NumPy's `searchsorted(side="right")`), as a length from 1.
fn length_of(cumulative: &[f64], sample: f64) -> usize {
    cumulative.iter().position(|&value| value > sample).unwrap_or(cumulative.len().saturating_sub(1)) + 1
}

/// Returns a float in `[0, 1)` from two words, as both `CPython` and NumPy's legacy generator do.
fn double(twister: &mut Mt) -> f64 {
    let high = f64::from(twister.next_u32() >> 5);
    let low = f64::from(twister.next_u32() >> 6);
    (high * 67_108_864.0 + low) / 9_007_199_254_740_992.0
}

/// The reference's two generators: `random.Random(seed)` for everything except the n-gram lengths, which come from
/// `numpy.random.RandomState(numpy_seed)`.
#[derive(Debug, Clone)]
pub struct ReferenceRng {
    python: Mt,
    numpy: Mt,
}

impl ReferenceRng {
    /// Creates both generators. NumPy takes only 32-bit seeds; of a larger one, the low 32 bits are used.
    pub fn new(seed: u64, numpy_seed: u64) -> Self {
        let low = seed as u32;
        let high = (seed >> 32) as u32;
        let python = if high == 0 { Mt::new_with_key([low]) } else { Mt::new_with_key([low, high]) };
        Self { python, numpy: Mt::new(numpy_seed as u32) }
    }
}

impl Rng for ReferenceRng {
    fn random(&mut self) -> f64 {
        double(&mut self.python)
    }

    fn below(&mut self, n: u64) -> u64 {
        let bits = u64::BITS - n.leading_zeros();
        loop {
            let value = if bits <= 32 {
                // A shift by 32 happens only for n = 0, for which there is no answer.
                u64::from(self.python.next_u32().checked_shr(32 - bits).unwrap_or(0))
            } else {
                let low = u64::from(self.python.next_u32());
                low | u64::from(self.python.next_u32() >> (64 - bits)) << 32
            };
            if value < n.max(1) {
                return value;
            }
        }
    }

    fn begin_order(&mut self, items: &mut [u32]) {
        self.shuffle(items);
    }

    fn next_in_order(&mut self, items: &mut [u32], k: usize) -> u32 {
        items[k]
    }

    fn ngram_length(&mut self, cumulative: &[f64]) -> usize {
        length_of(cumulative, double(&mut self.numpy))
    }
}

/// `ChaCha8` whose 256-bit key is (seed, pass, document, chunk). The numbers of each chunk can be drawn independently,
/// on any thread.
#[derive(Debug, Clone)]
pub struct FastRng(ChaCha8Rng);

impl FastRng {
    /// Returns the stream of one chunk. Its key is four little-endian `u64`. Draws for a whole document have chunk
    /// `u64::MAX`; draws for a whole plan have document `u64::MAX`.
    pub fn keyed(seed: u64, duplicate: u64, document: u64, chunk: u64) -> Self {
        let mut key = [0; 32];
        for (bytes, word) in key.chunks_exact_mut(8).zip([seed, duplicate, document, chunk]) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Returns 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }
}

impl Rng for FastRng {
    fn random(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / 9_007_199_254_740_992.0
    }

    /// Lemire's multiplication with rejection. It is exactly uniform, and takes one word per draw if `n` fits in 32
    /// bits.
    fn below(&mut self, n: u64) -> u64 {
        if let Ok(n) = u32::try_from(n) {
            let mut product = u64::from(self.0.next_u32()) * u64::from(n);
            if (product as u32) < n {
                let threshold = n.wrapping_neg() % n;
                while (product as u32) < threshold {
                    product = u64::from(self.0.next_u32()) * u64::from(n);
                }
            }
            return product >> 32;
        }
        let mut product = u128::from(self.0.next_u64()) * u128::from(n);
        if (product as u64) < n {
            let threshold = n.wrapping_neg() % n;
            while (product as u64) < threshold {
                product = u128::from(self.0.next_u64()) * u128::from(n);
            }
        }
        (product >> 64) as u64
    }

    /// Does nothing. Masks need only the first few items of a long order, so each is drawn on request.
    fn begin_order(&mut self, _: &mut [u32]) {}

    fn next_in_order(&mut self, items: &mut [u32], k: usize) -> u32 {
        let other = k + self.below((items.len() - k) as u64) as usize;
        items.swap(k, other);
        items[k]
    }

    fn ngram_length(&mut self, cumulative: &[f64]) -> usize {
        let sample = self.random();
        length_of(cumulative, sample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `random.Random(seed)`: three `random()`, six `randint(0, 999)`, two `_randbelow(2**32)`, three
    /// `_randbelow(2**40 + 5)`, eight `_randbelow(4)`, two `_randbelow(1)`, `shuffle(list(range(10)))`, `random()`.
    #[test]
    fn python_values() {
        struct Known {
            seed: u64,
            floats: [f64; 3],
            integers: [u64; 6],
            words: [u64; 2],
            long: [u64; 3],
            power: [u64; 8],
            shuffled: [u32; 10],
            last: f64,
        }
        let known = [
            Known {
                seed: 12345,
                floats: [0.416_619_872_545_341_16, 0.010_169_169_457_068_361, 0.825_206_509_253_743_2],
                integers: [305, 875, 377, 954, 198, 276],
                words: [2_430_986_565, 694_443_915],
                long: [573_090_097_483, 410_397_959_609, 367_236_606_106],
                power: [1, 1, 0, 1, 2, 2, 0, 3],
                shuffled: [2, 9, 3, 4, 1, 5, 7, 0, 6, 8],
                last: 0.652_540_306_855_235,
            },
            Known {
                seed: 0,
                floats: [0.844_421_851_525_048_1, 0.757_954_402_940_302_5, 0.420_571_580_830_845],
                integers: [265, 988, 523, 497, 414, 940],
                words: [2_046_968_324, 3_900_315_155],
                long: [307_110_291_574, 306_153_162_355, 209_404_584_569],
                power: [2, 1, 2, 0, 0, 2, 3, 0],
                shuffled: [1, 6, 9, 0, 2, 4, 8, 7, 3, 5],
                last: 0.093_271_864_352_410_08,
            },
            Known {
                seed: (1 << 40) + 7,
                floats: [0.613_703_777_993_651_1, 0.814_916_297_330_948_7, 0.945_011_508_759_287_3],
                integers: [584, 722, 487, 256, 970, 630],
                words: [3_091_373_771, 1_688_693_473],
                long: [819_896_354_548, 978_798_470_615, 301_420_011_173],
                power: [1, 0, 2, 0, 2, 1, 1, 0],
                shuffled: [6, 9, 1, 2, 8, 3, 0, 7, 4, 5],
                last: 0.344_229_897_348_389_6,
            },
        ];
        for known in known {
            let mut rng = ReferenceRng::new(known.seed, 0);
            assert_eq!(known.floats.map(|_| rng.random().to_bits()), known.floats.map(f64::to_bits));
            assert_eq!(known.integers.map(|_| rng.between(0, 999)), known.integers);
            assert_eq!(known.words.map(|_| rng.below(1 << 32)), known.words);
            assert_eq!(known.long.map(|_| rng.below((1 << 40) + 5)), known.long);
            assert_eq!(known.power.map(|_| rng.below(4)), known.power);
            assert_eq!([rng.below(1), rng.below(1)], [0, 0]);
            let mut items: [u32; 10] = std::array::from_fn(|i| i as u32);
            rng.shuffle(&mut items);
            assert_eq!(items, known.shuffled);
            assert_eq!(rng.random().to_bits(), known.last.to_bits());
        }
    }

    #[test]
    fn a_sample_at_a_boundary_belongs_to_the_longer() {
        assert_eq!(length_of(&[0.5, 0.75, 1.0], 0.5), 2);
        assert_eq!(length_of(&[0.5, 0.75, 1.0], 0.499), 1);
        assert_eq!(length_of(&[0.5, 0.75, 1.0], 1.0), 3);
    }

    /// Frozen, because shards must be the same from every version and machine.
    #[test]
    fn fast_streams_are_keyed_by_all_four_and_frozen() {
        let first = |key: [u64; 4]| FastRng::keyed(key[0], key[1], key[2], key[3]).next_u64();
        assert_eq!(first([12345, 0, 0, 0]), 11_118_662_793_077_711_029);
        let base = first([1, 2, 3, 4]);
        for i in 0..4 {
            let mut key = [1, 2, 3, 4];
            key[i] += 1 << 33;
            assert_ne!(first(key), base, "word {i}");
        }
    }

    /// Pearson's statistic against equal fractions.
    fn chi_square(counts: &[u32]) -> f64 {
        let expected = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
        counts.iter().map(|&count| (f64::from(count) - expected).powi(2) / expected).sum()
    }

    #[test]
    fn fast_numbers_are_uniform() {
        let mut rng = FastRng::keyed(1, 2, 3, 4);
        let (mut small, mut large, mut floats) = ([0; 10], [0; 10], [0; 10]);
        // Three quarters of 2^32 and of 2^64. Without rejection, some of their tenths would occur twice as often.
        let (three, many) = (3 << 30, 3 << 62);
        for _ in 0..100_000 {
            small[(rng.below(three) * 10 / three) as usize] += 1;
            large[(rng.below(many) / (many / 10 + 1)) as usize] += 1;
            floats[(rng.random() * 10.0) as usize] += 1;
        }
        // The 99.99th percentile for 9 degrees of freedom is 33.7.
        for counts in [small, large, floats] {
            assert!(chi_square(&counts) < 33.7, "{counts:?}");
        }
    }

    #[test]
    fn lazy_order_visits_all_and_every_order_alike() {
        let mut rng = FastRng::keyed(5, 6, 7, 8);
        let mut counts = [0; 24];
        for _ in 0..24_000 {
            let mut items = [0, 1, 2, 3];
            rng.begin_order(&mut items);
            let visited: [u32; 4] = std::array::from_fn(|k| rng.next_in_order(&mut items, k));
            let mut sorted = visited;
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3]);
            let rank = (0..4).map(|i| visited[i + 1..].iter().filter(|&&later| later < visited[i]).count());
            counts[rank.zip([6, 2, 1, 0]).map(|(smaller, weight)| smaller * weight).sum::<usize>()] += 1;
        }
        // The 99.99th percentile for 23 degrees of freedom is 56.5.
        assert!(chi_square(&counts) < 56.5, "{counts:?}");
    }
}
