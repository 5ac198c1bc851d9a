//! The rules about n-grams of words that occur more than once.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasherDefault;

use super::numbers::{FACTOR, Identity, exceeds};
use super::words::Word;

/// The maximum percentage of characters in the most common n-gram, by the number of its words.
const MAX_TOP: [(usize, u64); 3] = [(2, 20), (3, 18), (4, 16)];
/// The maximum percentage of characters in n-grams that repeat earlier ones, by the number of their words.
const MAX_REPEATED: [(usize, u64); 6] = [(5, 15), (6, 14), (7, 13), (8, 12), (9, 11), (10, 10)];

/// The number of n-grams for which memory is kept from one document to the next.
const USUAL: usize = 1 << 14;

/// Counts n-grams. It holds only buffers.
#[derive(Debug, Default)]
pub(super) struct Repetition {
    counts: HashMap<u64, u32, BuildHasherDefault<Identity>>,
    seen: HashSet<u64, BuildHasherDefault<Identity>>,
}

impl Repetition {
    /// Whether the characters of an n-gram that occurs most often, and at least twice, are too large a fraction of all.
    /// Of several that are equally frequent, the longest counts.
    pub fn has_frequent_ngram(&mut self, words: &[Word]) -> bool {
        let all = chars(words);
        for (size, max) in MAX_TOP {
            self.counts.clear();
            self.counts.shrink_to(USUAL);
            let mut top = (1, 0);
            for (at, hash) in ngrams(words, size) {
                let count = self.counts.entry(hash).or_default();
                *count += 1;
                if *count > 1 && *count >= top.0 {
                    top = top.max((*count, chars(&words[at..at + size])));
                }
            }
            let (count, length) = top;
            if count < 2 {
                // Longer n-grams are not repeated, either.
                return false;
            }
            if exceeds(u64::from(count) * length, max, all) {
                return true;
            }
        }
        false
    }

    /// Whether too large a fraction of the characters is in n-grams that occurred before. They are found from left to
    /// right, and do not overlap.
    pub fn repeats_ngrams(&mut self, words: &[Word]) -> bool {
        let all = chars(words);
        for (size, max) in MAX_REPEATED {
            self.seen.clear();
            self.seen.shrink_to(USUAL);
            let (mut repeated, mut next) = (0, 0);
            for (at, hash) in ngrams(words, size) {
                if at < next {
                    continue;
                }
                if !self.seen.insert(hash) {
                    repeated += chars(&words[at..at + size]);
                    next = at + size;
                }
            }
            if repeated == 0 {
                // Longer n-grams are not repeated, either.
                return false;
            }
            if exceeds(repeated, max, all) {
                return true;
            }
        }
        false
    }
}

fn chars(words: &[Word]) -> u64 {
    words.iter().map(|word| u64::from(word.chars)).sum()
}

/// Returns the position and the hash of each n-gram of `size` words.
fn ngrams(words: &[Word], size: usize) -> impl Iterator<Item = (usize, u64)> + '_ {
    // The factor of the word that leaves the n-gram.
    let last = FACTOR.wrapping_pow(size as u32);
    let mut hash = 0_u64;
    words.iter().enumerate().filter_map(move |(at, word)| {
        hash = hash.wrapping_mul(FACTOR).wrapping_add(word.hash);
        if at >= size {
            hash = hash.wrapping_sub(words[at - size].hash.wrapping_mul(last));
        }
        (at + 1).checked_sub(size).map(|start| (start, hash))
    })
}
