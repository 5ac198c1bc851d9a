//! Which lines are sampled if there are more than `input_sentence_size`.
//!
//! Each line has a rank, a hash of its number among the lines that are not dropped. The lines with the lowest ranks are
//! the sample, so that it depends on the text and on nothing else. `SentencePiece` draws another sample in each process.

use rayon::prelude::*;

use super::watch::Watch;
use crate::{Error, Result};

const SEED: u64 = 12_345_678;

/// How many ranks a thread computes before it asks whether to stop.
const STEP: u64 = 1 << 20;

/// A sample of lines.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// How many lines it has at most; all if 0.
    most: u64,
    /// No line with a higher rank is in the sample.
    highest: u64,
}

impl Sample {
    pub fn new(most: u64) -> Self {
        Self { most, highest: u64::MAX }
    }

    /// Whether there is a limit to the number of lines.
    pub fn is_limited(self) -> bool {
        self.most > 0
    }

    /// Whether the line may be in the sample of a text that is not yet read to its end.
    #[inline]
    pub fn may_have(self, line: u64) -> bool {
        rank(line) <= self.bound(line + 1, 1.0)
    }

    /// Whether the line is in the sample.
    #[inline]
    pub fn has(self, line: u64) -> bool {
        rank(line) <= self.highest
    }

    /// A rank below which the sample of so many lines certainly ends, or above which it does with the other sign: 12
    /// standard deviations from where it is expected.
    fn bound(self, lines: u64, sign: f64) -> u64 {
        let most = self.most as f64;
        let count = most + sign * (12.0 * most.sqrt() + 100.0);
        (count / lines as f64 * 2.0f64.powi(64)) as u64
    }

    /// The sample of a text of so many lines.
    ///
    /// # Errors
    /// `watch` asks to stop.
    pub fn of(self, lines: u64, watch: &Watch) -> Result<Self> {
        if !self.is_limited() || lines <= self.most {
            return Ok(Self { highest: u64::MAX, ..self });
        }
        let (low, high) = (self.bound(lines, -1.0), self.bound(lines, 1.0));
        let parts: Vec<(u64, Vec<u64>)> = (0..lines.div_ceil(STEP))
            .into_par_iter()
            .map(|part| {
                watch.advance(0)?;
                let (mut below, mut between) = (0, Vec::new());
                for rank in (part * STEP..lines.min((part + 1) * STEP)).map(rank) {
                    below += u64::from(rank < low);
                    if (low..=high).contains(&rank) {
                        between.push(rank);
                    }
                }
                Ok((below, between))
            })
            .collect::<Result<_>>()?;
        let below: u64 = parts.iter().map(|part| part.0).sum();
        let mut between: Vec<u64> = parts.into_iter().flat_map(|part| part.1).collect();
        between.sort_unstable();
        let last = self.most.checked_sub(below + 1).and_then(|last| between.get(last as usize));
        let highest = *last.ok_or_else(|| Error::Internal("the ranks of lines are uneven".into()))?;
        Ok(Self { highest, ..self })
    }
}

/// The finalizer of `SplitMix64`: two lines never have the same rank.
#[inline]
fn rank(line: u64) -> u64 {
    let mut rank = SEED.wrapping_add(line.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    rank = (rank ^ rank >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    rank = (rank ^ rank >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    rank ^ rank >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::training::watch::unwatched;

    fn sampled(most: u64, lines: u64) -> Vec<u64> {
        let sample = unwatched(|watch| Sample::new(most).of(lines, watch));
        (0..lines).filter(|&line| sample.has(line)).collect()
    }

    #[test]
    fn a_sample_has_its_size_and_lines_that_were_kept() {
        for (most, lines) in [(1, 1), (1, 2), (1, 100_000), (7, 7), (7, 8), (1000, 1001), (1000, 3_000_000), (0, 50)] {
            let sample = sampled(most, lines);
            assert_eq!(sample.len() as u64, if most == 0 { lines } else { lines.min(most) }, "{most} of {lines}");
            assert!(most == 0 || sample.iter().all(|&line| Sample::new(most).may_have(line)), "{most} of {lines}");
        }
    }

    /// Lines in 50 equal parts of a text, and every 50th line: each is as likely as any other.
    #[test]
    fn all_lines_are_equally_likely() {
        let (most, lines) = (100_000, 1_000_000);
        let sample = sampled(most, lines);
        for part in [|line: u64| line / 20_000, |line: u64| line % 50] {
            let mut counts = [0.0f64; 50];
            for &line in &sample {
                counts[part(line) as usize] += 1.0;
            }
            let expected = most as f64 / 50.0;
            let chi_square: f64 = counts.iter().map(|count| (count - expected).powi(2) / expected).sum();
            // 99.9 % of all samples are below 85.4; a regular choice would give nearly 0.
            assert!((15.0..85.4).contains(&chi_square), "{chi_square}");
        }
    }

    /// A line that is in a sample is in a larger one, and one more line changes at most one.
    #[test]
    fn samples_are_stable() {
        let (few, more) = (sampled(500, 10_000), sampled(501, 10_000));
        assert_eq!(more.iter().filter(|line| !few.contains(line)).count(), 1);
        let longer = sampled(500, 10_001);
        assert!(few.iter().filter(|line| !longer.contains(line)).count() <= 1);
    }
}
