//! The order in which the sources of a mixture take turns: a pattern that repeats.
//!
//! The weights become whole shares of a period, and the pattern has each source as often as its share says. If w is a
//! source's share divided by the period, any n first positions have more than wn - 1 and fewer than wn + 1 of its
//! instances. That is because its j-th instance (from 1) is at a position p with (j - 1) / w < p + 1 and p < j / w.
//! Tasks with such windows, whose shares fill the time of one machine, can always be scheduled, by earliest deadline
//! first (Baruah et al., "Proportionate progress", 1996).
//!
//! That schedule is nearly periodic, so every n-th position, which is what a shard has, could be of one source. Therefore
//! neighbors then change places at random, as long as all stay in their windows.

use std::ops::Range;

use crate::instances::rng::FastRng;
use crate::{Error, Result};

/// The longest period. Weights that are no multiples of a fraction with a denominator up to this are rounded to
/// multiples of 1 / 65,536.
pub const MAX_PERIOD: u64 = 1 << 16;
/// How far a number of positions may be from a whole one. This allows for rounding only: fractions that differ, with
/// denominators of at most [`MAX_PERIOD`], are at least 1 / `MAX_PERIOD` positions apart.
const EXACT: f64 = 1e-9;
/// The number of times that each pair of neighbors may change places.
const SWEEPS: u64 = 32;

/// Which of several sources has the instance at a position, and how many it has before.
///
/// ```
/// use albert_fast_core::batches::pattern::Pattern;
///
/// let pattern = Pattern::new(&[3.0, 1.0], 7)?;
/// assert_eq!(pattern.fractions(), [0.75, 0.25]);
/// assert_eq!(pattern.counts(1_000_000), [750_000, 250_000]);
/// let (source, rank) = pattern.locate(1_000_000);
/// assert_eq!(rank, pattern.counts(1_000_000)[source]);
/// # Ok::<(), albert_fast_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// The number of positions of each source in a period.
    shares: Vec<u64>,
    /// The source at each position of the period.
    sources: Vec<u32>,
    /// How many positions before this one, in the period, are of the same source.
    ranks: Vec<u32>,
    /// The positions of each source in the period.
    places: Vec<Vec<u32>>,
}

impl Pattern {
    /// Returns the pattern of sources with these weights, which need not add up to 1.
    ///
    /// # Errors
    /// [`Error::Rule`] if there are no weights, one is not a positive number, or one is so small that a period would not
    /// have an instance of its source.
    pub fn new(weights: &[f64], seed: u64) -> Result<Self> {
        let shares = shares(weights)?;
        let period: u64 = shares.iter().sum();
        let mut sources = schedule(&shares, period);
        shuffle(&mut sources, &shares, period, seed);
        let mut places = vec![Vec::new(); shares.len()];
        let mut ranks = Vec::with_capacity(sources.len());
        for (position, &source) in sources.iter().enumerate() {
            let own: &mut Vec<u32> = &mut places[source as usize];
            ranks.push(own.len() as u32);
            own.push(position as u32);
        }
        Ok(Self { shares, sources, ranks, places })
    }

    /// Returns the number of positions of each source in a period.
    pub fn shares(&self) -> &[u64] {
        &self.shares
    }

    /// Returns the fraction of the positions that each source has.
    pub fn fractions(&self) -> Vec<f64> {
        self.shares.iter().map(|&share| share as f64 / self.period() as f64).collect()
    }

    /// Returns the source of a position, and how many earlier positions are of the same source.
    pub fn locate(&self, position: u64) -> (usize, u64) {
        let (round, within) = (position / self.period(), (position % self.period()) as usize);
        let source = self.sources[within] as usize;
        (source, round * self.shares[source] + u64::from(self.ranks[within]))
    }

    /// Returns how many of the positions below `end` are of a source.
    pub fn count(&self, source: usize, end: u64) -> u64 {
        let (round, within) = (end / self.period(), end % self.period());
        let places = &self.places[source];
        round * self.shares[source] + places.partition_point(|&place| u64::from(place) < within) as u64
    }

    /// Returns how many of the positions below `end` are of each source.
    pub fn counts(&self, end: u64) -> Vec<u64> {
        (0..self.shares.len()).map(|source| self.count(source, end)).collect()
    }

    fn period(&self) -> u64 {
        self.sources.len() as u64
    }
}

/// Returns how many positions of a period each source has. The period is a multiple of the smallest one that represents
/// the weights exactly, and otherwise [`MAX_PERIOD`].
fn shares(weights: &[f64]) -> Result<Vec<u64>> {
    if weights.is_empty() {
        return Err(Error::rule("weights", "at least one number", "none"));
    }
    if let Some(weight) = weights.iter().find(|weight| !(weight.is_finite() && **weight > 0.0)) {
        return Err(Error::rule("weights", "numbers above 0", weight));
    }
    // Each is divided first, because a sum of large weights may be infinite.
    let largest = weights.iter().copied().fold(0.0, f64::max);
    let total: f64 = weights.iter().map(|weight| weight / largest).sum();
    let fractions: Vec<f64> = weights.iter().map(|weight| weight / largest / total).collect();
    if weights.len() == 1 {
        return Ok(vec![1]);
    }
    let exact = |period: u64| {
        let parts = fractions.iter().map(|fraction| fraction * period as f64);
        parts.clone().all(|part| part.round() >= 1.0 && (part - part.round()).abs() <= EXACT)
            && parts.map(|part| part.round() as u64).sum::<u64>() == period
    };
    if let Some(period) = (1..=MAX_PERIOD).find(|&period| exact(period)) {
        let times = MAX_PERIOD / period;
        return Ok(fractions.iter().map(|fraction| (fraction * period as f64).round() as u64 * times).collect());
    }
    // Largest remainders: each is rounded down, and those that lose most are rounded up.
    let parts: Vec<f64> = fractions.iter().map(|fraction| fraction * MAX_PERIOD as f64).collect();
    let mut shares: Vec<u64> = parts.iter().map(|part| part.floor() as u64).collect();
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by(|&a, &b| parts[b].fract().total_cmp(&parts[a].fract()).then(a.cmp(&b)));
    let missing = MAX_PERIOD.saturating_sub(shares.iter().sum::<u64>()) as usize;
    for &source in order.iter().take(missing) {
        shares[source] += 1;
    }
    if let Some(source) = shares.iter().position(|&share| share == 0) {
        let rule = format!("at least 1/{MAX_PERIOD} of their sum each");
        return Err(Error::rule("weights", rule, weights[source]));
    }
    Ok(shares)
}

/// Returns the positions at which the instance `rank` (from 0) of a source with this share may be.
fn window(share: u64, period: u64, rank: u64) -> Range<u64> {
    rank * period / share..((rank + 1) * period).div_ceil(share)
}

/// Returns the source of each position: of those whose next instance may be there, the one that must be first.
fn schedule(shares: &[u64], period: u64) -> Vec<u32> {
    let mut done = vec![0_u64; shares.len()];
    (0..period)
        .map(|position| {
            let next = |source: usize| window(shares[source], period, done[source]);
            let ready = (0..shares.len()).filter(|&source| done[source] < shares[source]);
            let ready = ready.filter(|&source| next(source).start <= position);
            let source = ready.min_by_key(|&source| next(source).end).expect("the shares fill the period");
            done[source] += 1;
            source as u32
        })
        .collect()
}

/// Lets neighbors change places at random, as long as the instances stay in their windows.
fn shuffle(sources: &mut [u32], shares: &[u64], period: u64, seed: u64) {
    if shares.len() < 2 {
        return;
    }
    // The windows of the instances at each position, which move with them.
    let mut done = vec![0_u64; shares.len()];
    let mut windows: Vec<Range<u64>> = sources
        .iter()
        .map(|&source| {
            let rank = done[source as usize];
            done[source as usize] += 1;
            window(shares[source as usize], period, rank)
        })
        .collect();
    for sweep in 0..SWEEPS {
        let mut rng = FastRng::keyed(seed, u64::MAX, period, sweep);
        let (mut bits, mut left) = (0, 0);
        for second in (1 + (sweep as usize % 2)..sources.len()).step_by(2) {
            let first = second - 1;
            if left == 0 {
                (bits, left) = (rng.next_u64(), 64);
            }
            let chosen = bits & 1 == 1;
            (bits, left) = (bits >> 1, left - 1);
            let may = windows[first].end > second as u64 && windows[second].start <= first as u64;
            if chosen && may && sources[first] != sources[second] {
                sources.swap(first, second);
                windows.swap(first, second);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn weights() -> impl Strategy<Value = Vec<f64>> {
        prop_oneof![
            prop::collection::vec((1..100_u32).prop_map(f64::from), 1..9),
            prop::collection::vec(1e-3..1.0_f64, 1..9),
            prop::collection::vec(1e-3..1.0_f64, 30..31),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn every_beginning_has_the_fractions(weights in weights(), seed: u64) {
            let pattern = Pattern::new(&weights, seed).unwrap();
            let period = pattern.period();
            let mut counts = vec![0_u64; weights.len()];
            for position in 0..period {
                let (source, rank) = pattern.locate(position);
                prop_assert_eq!(rank, counts[source]);
                counts[source] += 1;
                for (&count, &share) in counts.iter().zip(&pattern.shares) {
                    // Less than one away from position * share / period, in whole numbers.
                    prop_assert!((count * period).abs_diff((position + 1) * share) < period);
                }
            }
            prop_assert_eq!(&counts, &pattern.shares);
        }

        #[test]
        fn any_position_is_found_directly(weights in weights(), seed: u64, position in 0..u64::MAX / 2) {
            let pattern = Pattern::new(&weights, seed).unwrap();
            let (source, rank) = pattern.locate(position);
            prop_assert_eq!(pattern.count(source, position), rank);
            let (before, after) = (pattern.counts(position), pattern.counts(position + 1));
            prop_assert_eq!(before.iter().sum::<u64>(), position);
            for other in 0..weights.len() {
                prop_assert_eq!(after[other] - before[other], u64::from(other == source));
            }
        }

        #[test]
        fn shares_are_near_the_weights(weights in weights()) {
            let shares = shares(&weights).unwrap();
            let (period, total) = (shares.iter().sum::<u64>() as f64, weights.iter().sum::<f64>());
            for (&share, weight) in shares.iter().zip(&weights) {
                prop_assert!((share as f64 / period - weight / total).abs() <= 1.0 / MAX_PERIOD as f64);
            }
        }
    }

    #[test]
    fn weights_that_people_write_are_exact() {
        assert_eq!(shares(&[0.7, 0.3]).unwrap(), [7 * 6553, 3 * 6553]);
        assert_eq!(shares(&[70.0, 30.0]).unwrap(), [7 * 6553, 3 * 6553]);
        assert_eq!(shares(&[1.0, 1.0, 1.0]).unwrap(), [21845; 3]);
        assert_eq!(shares(&[0.999, 0.001]).unwrap(), [999 * 65, 65]);
        assert_eq!(shares(&[f64::MAX, f64::MAX]).unwrap(), [32768; 2]);
        assert_eq!(shares(&[5.0]).unwrap(), [1]);
        assert_eq!(shares(&[65_535.0, 1.0]).unwrap(), [65_535, 1]);
        assert_eq!(shares(&[65_532.0, 1.0]).unwrap(), [65_532, 1]);
    }

    #[test]
    fn impossible_weights_are_refused() {
        let refused = |weights: &[f64]| Pattern::new(weights, 0).unwrap_err().to_string();
        assert_eq!(refused(&[]), "weights must be at least one number, got none");
        for weight in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(refused(&[1.0, weight]), format!("weights must be numbers above 0, got {weight}"));
        }
        assert_eq!(refused(&[1.0, 1e-9]), "weights must be at least 1/65536 of their sum each, got 0.000000001");
    }

    /// A shard has every n-th position, and should have about the same fractions.
    #[test]
    fn every_shard_has_about_the_fractions() {
        for weights in [vec![1.0, 1.0], vec![0.7, 0.3], vec![1.0, 1.0, 2.0], vec![0.9, 0.1]] {
            let pattern = Pattern::new(&weights, 12345).unwrap();
            // The windows of these weights repeat after ten positions, so every tenth is less alike.
            for (count, most) in [(2, 0.04), (4, 0.04), (8, 0.04), (10, 0.15)] {
                for shard in 0..count as u64 {
                    let mut counts = vec![0.0; weights.len()];
                    for position in (shard..pattern.period()).step_by(count) {
                        counts[pattern.locate(position).0] += 1.0;
                    }
                    let total: f64 = counts.iter().sum();
                    for (count, fraction) in counts.iter().zip(pattern.fractions()) {
                        let far = (count / total - fraction).abs();
                        assert!(far < most, "{weights:?}, {shard} of {count}: {far}");
                    }
                }
            }
        }
    }

    /// Frozen, because a run that resumes with another version must draw the same.
    #[test]
    fn frozen() {
        let sources = |weights: &[f64]| -> Vec<usize> {
            let pattern = Pattern::new(weights, 12345).unwrap();
            (0..20).map(|position| pattern.locate(position).0).collect()
        };
        assert_eq!(sources(&[0.7, 0.3]), [0, 1, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 1, 1, 0, 0, 0, 0, 1, 0]);
        assert_eq!(sources(&[5.0, 3.0, 2.0]), [2, 0, 0, 1, 0, 1, 2, 0, 0, 1, 0, 1, 0, 1, 2, 0, 0, 2, 1, 0]);
        assert_ne!(Pattern::new(&[0.7, 0.3], 1).unwrap(), Pattern::new(&[0.7, 0.3], 2).unwrap());
    }
}
