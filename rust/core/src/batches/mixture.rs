//! Mixes several sources, each with its own weight.

use std::ops::Range;
use std::sync::Arc;

use super::batch::{Row, Source};
use super::pattern::Pattern;
use crate::{Error, Result};

/// Several sources as one. The [`Pattern`] says whose turn it is; whoever has it gives its next instance.
///
/// So the instances of each source are, in their order, those that it gives by itself: every epoch has each of them
/// once, whatever its weight. A mixture has no epochs of its own.
#[derive(Debug)]
pub struct Mixture<S> {
    sources: Vec<Arc<S>>,
    pattern: Arc<Pattern>,
    starts: Vec<u64>,
}

impl<S: Source> Mixture<S> {
    /// Mixes `sources`. The first instance of each is the one at its position in `starts`.
    ///
    /// # Errors
    /// [`Error::Rule`] if the numbers of sources, of starts and of those in the pattern differ, or the sources have other
    /// shapes.
    pub fn new(sources: Vec<Arc<S>>, pattern: Arc<Pattern>, starts: Vec<u64>) -> Result<Self> {
        let count = sources.len();
        for (name, found) in [("weights", pattern.shares().len()), ("starts", starts.len())] {
            if found != count {
                return Err(Error::rule(name, format!("{count} numbers, one for each store"), found));
            }
        }
        let shape = |source: &Arc<S>| (source.seq_length(), source.predictions());
        if sources.iter().any(|source| shape(source) != shape(&sources[0])) {
            return Err(Error::input("the sources of a mixture must have rows of one shape"));
        }
        Ok(Self { sources, pattern, starts })
    }

    /// Returns the place of a position in its source's own order.
    fn place(&self, source: usize, rank: u64) -> Result<u64> {
        let place = self.starts[source].checked_add(rank);
        place.ok_or_else(|| Error::rule("k", "so small that 64 bits can count the instances before it", "more"))
    }
}

/// What a thread keeps for each source from one instance to the next.
#[derive(Debug)]
pub struct Scratch<T>(Vec<T>);

impl<T> Default for Scratch<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<S: Source> Source for Mixture<S> {
    type Scratch = Scratch<S::Scratch>;
    /// Those of each source; `None` if it has none of the positions.
    type Stretch = Vec<Option<S::Stretch>>;

    /// The sum over the sources. If each had the weight of its size, the mixture would then have all instances once.
    fn epoch_len(&self) -> u64 {
        self.sources.iter().map(|source| source.epoch_len()).sum()
    }

    fn seq_length(&self) -> usize {
        self.sources[0].seq_length()
    }

    fn predictions(&self) -> usize {
        self.sources[0].predictions()
    }

    fn has_token_boundary(&self) -> bool {
        self.sources.iter().all(|source| source.has_token_boundary())
    }

    fn prepare(&self, positions: Range<u64>) -> Result<Self::Stretch> {
        let stretch = |(number, source): (usize, &Arc<S>)| {
            let [first, end] = [positions.start, positions.end].map(|position| self.pattern.count(number, position));
            if first == end {
                return Ok(None);
            }
            source.prepare(self.place(number, first)?..self.place(number, end)?).map(Some)
        };
        self.sources.iter().enumerate().map(stretch).collect()
    }

    fn fill(
        &self,
        k: u64,
        position: u64,
        stretch: &Self::Stretch,
        Scratch(scratch): &mut Self::Scratch,
        row: &mut Row<'_>,
    ) -> Result<()> {
        let (number, rank) = self.pattern.locate(position);
        if scratch.len() <= number {
            scratch.resize_with(number + 1, S::Scratch::default);
        }
        let own = stretch[number].as_ref().expect("the stretch has the sources of its positions");
        self.sources[number].fill(k, self.place(number, rank)?, own, &mut scratch[number], row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batches::batch::{Batch, Batched, Batches};

    /// Row p has p in its ids. `S` tokens, and the number of the source in the label.
    #[derive(Debug)]
    struct Counting(i32, u64);

    impl Source for Counting {
        type Scratch = ();
        type Stretch = Range<u64>;

        fn epoch_len(&self) -> u64 {
            self.1
        }

        fn seq_length(&self) -> usize {
            1
        }

        fn predictions(&self) -> usize {
            1
        }

        fn prepare(&self, positions: Range<u64>) -> Result<Range<u64>> {
            Ok(positions)
        }

        fn fill(&self, k: u64, position: u64, stretch: &Range<u64>, (): &mut (), row: &mut Row<'_>) -> Result<()> {
            assert!(stretch.contains(&position), "{position} is not in {stretch:?}");
            row.input_ids[0] = position as i32;
            row.masked_lm_ids[0] = k as i32;
            *row.next_sentence_label = self.0;
            Ok(())
        }
    }

    fn mixture(weights: &[f64], starts: &[u64]) -> Mixture<Counting> {
        let sources = (0..weights.len()).map(|number| Arc::new(Counting(number as i32, 100))).collect();
        Mixture::new(sources, Arc::new(Pattern::new(weights, 5).unwrap()), starts.to_vec()).unwrap()
    }

    /// Returns source and position of each row.
    fn rows(batch: &Batch) -> Vec<(i32, i32)> {
        batch.next_sentence_labels.iter().copied().zip(batch.input_ids.iter().copied()).collect()
    }

    #[test]
    fn each_source_gives_its_instances_in_order() {
        let mixed = Batched::new(Arc::new(mixture(&[0.6, 0.3, 0.1], &[0, 7, 1000])), 50).unwrap();
        assert_eq!(mixed.epoch_len(), 300);
        let mut next = [0, 7, 1000];
        for k in 0..10 {
            let batch = mixed.batch(k).unwrap();
            assert!(batch.masked_lm_ids.iter().all(|&of| of == k as i32));
            for (source, position) in rows(&batch) {
                assert_eq!(position, next[source as usize]);
                next[source as usize] += 1;
            }
        }
        assert_eq!(next, [300, 157, 1050]);
    }

    #[test]
    fn shards_together_are_the_whole() {
        let mixed = Arc::new(mixture(&[3.0, 1.0], &[0, 0]));
        let (whole, one) = (Batched::new(mixed.clone(), 24).unwrap(), Batched::new(mixed, 8).unwrap());
        for k in [0, 1, 977] {
            let all = rows(&whole.batch(k).unwrap());
            for index in 0..3 {
                let shard = rows(&one.shard(index, 3).unwrap().batch(k).unwrap());
                let wanted: Vec<_> = all.iter().copied().skip(index as usize).step_by(3).collect();
                assert_eq!(shard, wanted);
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let pattern = Arc::new(Pattern::new(&[1.0, 1.0], 0).unwrap());
        let sources = || vec![Arc::new(Counting(0, 1)), Arc::new(Counting(1, 1))];
        let refused = |starts: Vec<u64>| Mixture::new(sources(), pattern.clone(), starts).unwrap_err().to_string();
        assert_eq!(refused(vec![0]), "starts must be 2 numbers, one for each store, got 1");
        let far =
            Batched::new(Arc::new(Mixture::new(sources(), pattern.clone(), vec![u64::MAX; 2]).unwrap()), 8).unwrap();
        assert!(far.batch(3).unwrap_err().to_string().starts_with("k must be so small"));
    }
}
