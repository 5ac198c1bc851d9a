//! Hashes documents so that similar ones are likely to share a key.
//!
//! The shingles of a document are numbers x below the prime p = 2^61 - 1. A hash of the document is the smallest of
//! (a x + b) mod p, with an a and a b for each hash that never change. Two documents have the same hash with a probability
//! that is the Jaccard similarity J of their sets of shingles. A band is several hashes in a row, and its key is a hash of
//! these. With b bands of r rows, two documents share a key with the probability 1 - (1 - J^r)^b.

use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

use super::options::NearOptions;
use super::shingles::Shingles;

/// A prime, and the mask of numbers up to it.
const P: u64 = (1 << 61) - 1;

/// Computes the keys of documents.
#[derive(Debug, Clone)]
pub(super) struct MinHash {
    /// a and b of each hash.
    factors: Vec<(u64, u64)>,
    rows: usize,
    shingle: usize,
    /// Whether there is a key of all hashes.
    has_last: bool,
}

/// The buffers of a thread.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    shingles: Shingles,
    smallest: Vec<u64>,
    bytes: Vec<u8>,
}

impl Buffers {
    /// The last byte of each hash of the document whose keys were computed last.
    pub fn sketch(&self) -> impl Iterator<Item = u8> + '_ {
        self.smallest.iter().map(|&hash| hash as u8)
    }
}

impl MinHash {
    pub fn new(options: &NearOptions) -> Self {
        let count = options.hashes() as u64;
        let factor = |number| {
            let a = xxh3_64_with_seed(b"a", number) % (P - 1) + 1;
            let b = xxh3_64_with_seed(b"b", number) % P;
            (a, b)
        };
        let factors = (0..count).map(factor).collect();
        Self {
            factors,
            rows: options.dedup_near_rows,
            shingle: options.dedup_near_shingle,
            has_last: options.has_last_key(),
        }
    }

    /// Returns the key of each band of `text`, or nothing if it has no words. Its hashes are then in `buffers`.
    ///
    /// With a threshold, there is one more, of all hashes. Of a band, only the first document is compared with the others,
    /// and it may be similar to none of them. By the last key, documents with the same shingles always find each other.
    pub fn keys(&self, text: &str, buffers: &mut Buffers) -> Vec<u128> {
        let Buffers { shingles, smallest, bytes } = buffers;
        smallest.clear();
        smallest.resize(self.factors.len(), u64::MAX);
        let mut has_shingles = false;
        shingles.of(text, self.shingle, |shingle| {
            has_shingles = true;
            let x = shingle >> 3;
            for (smallest, &(a, b)) in smallest.iter_mut().zip(&self.factors) {
                *smallest = permuted(a, x, b).min(*smallest);
            }
        });
        if !has_shingles {
            return Vec::new();
        }
        let key = |(band, hashes): (u64, &[u64])| {
            bytes.clear();
            bytes.extend(hashes.iter().flat_map(|hash| hash.to_le_bytes()));
            xxh3_128_with_seed(bytes, band)
        };
        let last = self.has_last.then_some(&smallest[..]);
        (0..).zip(smallest.chunks_exact(self.rows).chain(last)).map(key).collect()
    }
}

/// Returns (a x + b) mod p for a and x of at most 61 bits, and b below p.
fn permuted(a: u64, x: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(x);
    // 2^61 is 1 mod p.
    let sum = (product as u64 & P) + (product >> 61) as u64 + b;
    let rest = (sum & P) + (sum >> 61);
    // If `rest` is below p, the difference wraps around and is larger.
    rest.min(rest.wrapping_sub(P))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_remainder(a in 1..P, x in 0..=P, b in 0..P) {
            let wanted = (u128::from(a) * u128::from(x) + u128::from(b)) % u128::from(P);
            prop_assert_eq!(u128::from(permuted(a, x, b)), wanted);
        }
    }

    #[test]
    fn the_ends_of_the_range() {
        for (a, x, b, wanted) in
            [(1, 0, 0, 0), (1, P, 0, 0), (1, P - 1, 1, 0), (P - 1, P - 1, P - 1, 0), (1, P - 1, 0, P - 1)]
        {
            assert_eq!(permuted(a, x, b), wanted, "{a} {x} {b}");
        }
    }

    fn keys(text: &str, options: &NearOptions) -> Vec<u128> {
        MinHash::new(options).keys(text, &mut Buffers::default())
    }

    #[test]
    fn keys_follow_from_the_words() {
        let options = NearOptions::default();
        let of = |text| keys(text, &options);
        assert_eq!(of("One two three four five six.").len(), 14);
        assert_eq!(of("One two three four five six."), of("one, two three FOUR five six"));
        assert_eq!(of("..."), []);
        let (one, other) = (of("One two"), of("One three"));
        assert!(one.iter().zip(&other).all(|(a, b)| a != b), "short texts share nothing unless they are equal");
        let mut sorted = one.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), 14, "bands have different keys");
    }

    #[test]
    fn keys_never_change() {
        // Tasks of several machines compare them.
        let keys = keys(
            "Keys never change, whatever the machine.",
            &NearOptions { dedup_near_bands: 1, ..NearOptions::default() },
        );
        assert_eq!(keys, [74_993_166_448_526_136_927_976_288_382_367_676_694]);
    }

    /// Two documents of which `same` of `all` shingles are common. Words are unique, so a shingle of one word is a word.
    fn similar(number: usize, same: usize, all: usize) -> [String; 2] {
        let words = |range: std::ops::Range<usize>| {
            range.flat_map(|word| [format!("w{number}x{word}"), " ".into()]).collect::<String>()
        };
        let own = (all - same) / 2;
        [words(0..same + own), words(0..same) + &words(same + own..all)]
    }

    #[test]
    fn pairs_share_a_key_as_often_as_they_should() {
        let options = NearOptions { dedup_near_shingle: 1, ..NearOptions::default() };
        let hash = MinHash::new(&options);
        for same in [40_usize, 60, 70, 80, 90] {
            let pairs = 400;
            let share = |number| {
                let [one, other] = similar(number, same, 100).map(|text| hash.keys(&text, &mut Buffers::default()));
                one.iter().zip(&other).any(|(a, b)| a == b)
            };
            let found = (0..pairs).filter(|&number| share(number)).count() as f64;
            let wanted = 1.0 - (1.0 - (same as f64 / 100.0).powi(8)).powi(14);
            // Four standard deviations, and the words are the same in every run.
            let tolerance = 4.0 * (wanted * (1.0 - wanted) / f64::from(pairs as u32)).sqrt() + 0.01;
            assert!(
                (found / f64::from(pairs as u32) - wanted).abs() < tolerance,
                "{same}: {found} of {pairs}, {wanted}"
            );
        }
    }
}
