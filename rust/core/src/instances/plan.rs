//! The plan: which instances exist and in which order, known without generating them.
//!
//! Instances are numbered by pass, then document, then chunk. A keyed permutation of the numbers is the global shuffle.
//! Each instance can be made independently, by any thread, at any time.

use std::ops::Range;

use super::chunks::{ChunkIndex, Layout};
use super::instance::{Instance, Readings, assemble};
use super::mask::{self, Masker};
use super::options::InstanceOptions;
use super::permute::Permutation;
use super::rng::FastRng;
use crate::tokens::documents::Documents;
use crate::tokens::vocab::Vocab;
use crate::{Progress, Result};

/// Returns the key of the shuffle of some passes.
pub(crate) fn shuffle_key(seed: u64, duplicates: &Range<u64>) -> u64 {
    FastRng::keyed(seed, duplicates.start, u64::MAX, duplicates.end).next_u64()
}

/// All instances of some passes over a corpus, in shuffled order. Each is made on request.
///
/// For given documents, options and range of passes, an instance depends only on its position. So the bytes do not
/// depend on threads, on the order of the calls, or on the machine.
///
/// ```
/// use albert_fast_core::tokens::documents::MemoryDocuments;
/// use albert_fast_core::instances::instance::Instance;
/// use albert_fast_core::instances::options::InstanceOptions;
/// use albert_fast_core::instances::plan::{Plan, Scratch};
/// use albert_fast_core::tokens::vocab::Vocab;
///
/// let (word_start, ordinary) = (vec![true; 10], (5..10).collect());
/// let vocab = Vocab { size: 10, pad: 0, unk: 1, cls: 2, sep: 3, mask: 4, word_start, word_end: Vec::new(), ordinary };
/// let mut documents = MemoryDocuments::new();
/// documents.push_segment(&[5, 6, 7]);
/// documents.push_segment(&[8, 9]);
/// documents.end_document();
///
/// let options = InstanceOptions::default();
/// let plan = Plan::build(&documents, &vocab, &options, 0..2, &mut albert_fast_core::NoProgress)?;
/// let (mut scratch, mut instance) = (Scratch::default(), Instance::default());
/// plan.instance(1, &mut scratch, &mut instance)?;
/// assert_eq!(plan.len(), 2);
/// assert_eq!(instance.tokens.len(), 3 + 5);
/// assert_eq!(instance.masked_labels.len(), 1);
/// # Ok::<(), albert_fast_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Plan<'a, D> {
    documents: &'a D,
    vocab: &'a Vocab,
    options: InstanceOptions,
    masker: Masker,
    index: ChunkIndex,
    shuffle: Permutation,
}

/// What a thread keeps from one instance to the next.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) readings: Readings,
    pub(super) masks: mask::Scratch,
}

impl<'a, D: Documents> Plan<'a, D> {
    /// Walks over all chunks of all passes in `duplicates` (`0..dupe_factor`, or a range of epochs), on all threads of
    /// the current rayon pool.
    ///
    /// The shuffle depends on the seed and on the range of passes. Progress is reported in documents, each counted once
    /// per pass. Fails if the options are out of range or contradict the vocabulary ([`Masker::new`]), or if `progress`
    /// stops the walk.
    pub fn build(
        documents: &'a D,
        vocab: &'a Vocab,
        options: &InstanceOptions,
        duplicates: Range<u64>,
        progress: &mut dyn Progress,
    ) -> Result<Self> {
        let layout = Layout::for_documents(documents.num_documents());
        Self::build_with(layout, documents, vocab, options, duplicates, progress)
    }

    fn build_with(
        layout: Layout,
        documents: &'a D,
        vocab: &'a Vocab,
        options: &InstanceOptions,
        duplicates: Range<u64>,
        progress: &mut dyn Progress,
    ) -> Result<Self> {
        let masker = Masker::new(options, vocab)?;
        let index = ChunkIndex::build(documents, options, duplicates.clone(), layout, progress)?;
        let shuffle = Permutation::new(index.len(), shuffle_key(options.random_seed, &duplicates));
        Ok(Self { documents, vocab, options: options.clone(), masker, index, shuffle })
    }

    /// Returns the number of instances.
    pub fn len(&self) -> u64 {
        self.shuffle.len()
    }

    /// Whether there are no instances.
    pub fn is_empty(&self) -> bool {
        self.shuffle.is_empty()
    }

    /// Returns the number of documents that give no instance in any pass: too short, or dropped by `single_segment`.
    pub fn short_documents(&self) -> u64 {
        self.index.short_documents()
    }

    /// The documents from which the plan is made.
    pub fn documents(&self) -> &D {
        self.documents
    }

    /// Makes `out` the masked instance at `position` of the shuffled order, from 0.
    ///
    /// # Errors
    /// Those of [`Documents::excerpt`].
    ///
    /// # Panics
    /// If `position` is not below [`Plan::len`].
    pub fn instance(&self, position: u64, scratch: &mut Scratch, out: &mut Instance) -> Result<()> {
        let mut rng = self.unmasked(position, &mut scratch.readings, out)?;
        self.masker.mask(out, &mut rng, &mut scratch.masks);
        Ok(())
    }

    /// Makes `out` the same instance before it is masked.
    ///
    /// # Errors
    /// Those of [`Documents::excerpt`].
    ///
    /// # Panics
    /// If `position` is not below [`Plan::len`].
    pub fn instance_unmasked(&self, position: u64, scratch: &mut Scratch, out: &mut Instance) -> Result<()> {
        self.unmasked(position, &mut scratch.readings, out).map(drop)
    }

    /// Makes `out` the instance before it is masked, and returns the generator with which its masks continue.
    fn unmasked(&self, position: u64, readings: &mut Readings, out: &mut Instance) -> Result<FastRng> {
        let number = self.shuffle.apply(position);
        let (place, chunk) = self.index.find(self.documents, &self.options, number, &mut readings.chunk)?;
        let document = self.documents.number(place.document);
        let mut rng = FastRng::keyed(self.options.random_seed, place.duplicate, document, place.chunk);
        assemble(self.documents, self.vocab, &self.options, &chunk, &mut rng, readings, out)?;
        Ok(rng)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rayon::prelude::*;

    use super::*;
    use crate::instances::instance::{Chunk, gather, gives_instance, target_length};
    use crate::instances::testing::{corpus, documents, options, store, vocab};
    use crate::tokens::documents::MemoryDocuments;
    use crate::{Error, NoProgress};

    fn all<D: Documents>(plan: &Plan<'_, D>) -> Vec<Instance> {
        let mut scratch = Scratch::default();
        (0..plan.len())
            .map(|position| {
                let mut out = Instance::default();
                plan.instance(position, &mut scratch, &mut out).unwrap();
                out
            })
            .collect()
    }

    fn sorted(mut instances: Vec<Instance>) -> Vec<Instance> {
        instances.sort_by_cached_key(|instance| format!("{instance:?}"));
        instances
    }

    /// Every layout that could matter: waypoints at each instance and nearly none, tasks and waves of one document and
    /// of all.
    fn layouts() -> impl Strategy<Value = Layout> {
        (1..40_usize, 1..20_u64, 1..20_usize).prop_map(|(max_checkpoints, task_documents, wave_tasks)| Layout {
            max_checkpoints,
            task_documents,
            wave_tasks,
        })
    }

    proptest! {
        #[test]
        fn layout_and_threads_do_not_show(
            lengths in corpus(), options in options(), layout in layouts(), dupes in 1..4_u64,
        ) {
            let (documents, vocab) = (documents(&lengths), vocab());
            let plan = Plan::build(&documents, &vocab, &options, 0..dupes, &mut NoProgress).unwrap();
            let expected = all(&plan);
            for threads in [1, 2, 7] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let other = pool.install(|| {
                    Plan::build_with(layout, &documents, &vocab, &options, 0..dupes, &mut NoProgress).unwrap()
                });
                prop_assert!(other.index.checkpoints.len() <= layout.max_checkpoints);
                prop_assert_eq!(other.short_documents(), plan.short_documents());
                prop_assert_eq!(other.len(), plan.len());
                let made: Vec<Instance> = pool.install(|| {
                    (0..other.len()).into_par_iter().map_init(Scratch::default, |scratch, position| {
                        let mut out = Instance::default();
                        other.instance(position, scratch, &mut out).unwrap();
                        out
                    }).collect()
                });
                prop_assert!(made == expected);
            }
        }

        #[test]
        fn instances_are_those_of_a_plain_walk(lengths in corpus(), options in options(), dupes in 1..4_u64) {
            let (documents, vocab) = (documents(&lengths), vocab());
            let plan = Plan::build(&documents, &vocab, &options, 0..dupes, &mut NoProgress).unwrap();
            let masker = Masker::new(&options, &vocab).unwrap();
            let (mut expected, mut used) = (Vec::new(), vec![false; lengths.len()]);
            for duplicate in 0..dupes {
                for number in 0..documents.num_documents() {
                    let document = documents.document(number).outline;
                    let keyed = |chunk| FastRng::keyed(options.random_seed, duplicate, number, chunk);
                    let target = target_length(&options, &mut keyed(u64::MAX));
                    let mut segment = 0;
                    for chunk in 0.. {
                        if segment == document.segments() {
                            break;
                        }
                        let segments = segment..gather(&document, segment, target);
                        segment = segments.end;
                        if gives_instance(&document, &segments, &options) {
                            let mut rng = keyed(chunk);
                            let mut out = Instance::default();
                            let chunk = Chunk { document: number, segments, target };
                            let readings = &mut Readings::default();
                            segment = assemble(&documents, &vocab, &options, &chunk, &mut rng, readings, &mut out).unwrap();
                            masker.mask(&mut out, &mut rng, &mut mask::Scratch::default());
                            expected.push(out);
                            used[number as usize] = true;
                        }
                    }
                }
            }
            prop_assert_eq!(plan.short_documents(), used.iter().filter(|&&used| !used).count() as u64);
            prop_assert!(sorted(all(&plan)) == sorted(expected));
        }

        #[test]
        fn copied_documents_give_the_same(
            lengths in corpus(), options in options(), layout in layouts(), dupes in 1..4_u64, wide: bool, ends: bool,
        ) {
            let (documents, mut vocab) = (documents(&lengths), vocab());
            if ends {
                vocab.word_end = (0..vocab.size).map(|id| id % 5 == 0).collect();
            }
            let plan = Plan::build(&documents, &vocab, &options, 0..dupes, &mut NoProgress).unwrap();
            let directory = tempfile::tempdir().unwrap();
            let store = store(directory.path(), &documents, if wide { 1 << 17 } else { vocab.size }).always_copying();
            let copied = Plan::build_with(layout, &store, &vocab, &options, 0..dupes, &mut NoProgress).unwrap();
            prop_assert_eq!(copied.short_documents(), plan.short_documents());
            prop_assert!(all(&copied) == all(&plan));
        }

        #[test]
        fn a_duplicate_is_the_same_in_any_range(lengths in corpus(), options in options()) {
            let (documents, vocab) = (documents(&lengths), vocab());
            let build = |range| all(&Plan::build(&documents, &vocab, &options, range, &mut NoProgress).unwrap());
            let apart = (5..8).flat_map(|duplicate| build(duplicate..duplicate + 1)).collect();
            prop_assert!(sorted(build(5..8)) == sorted(apart));
        }

        #[test]
        fn unmasked_is_what_masks_restore(lengths in corpus(), options in options()) {
            let (documents, vocab) = (documents(&lengths), vocab());
            let plan = Plan::build(&documents, &vocab, &options, 0..1, &mut NoProgress).unwrap();
            let mut plain = Instance::default();
            for (position, mut masked) in all(&plan).into_iter().enumerate() {
                plan.instance_unmasked(position as u64, &mut Scratch::default(), &mut plain).unwrap();
                prop_assert!(plain.masked_positions.is_empty());
                // If every word is longer than the budget, nothing is masked, as in the reference.
                prop_assert!(options.do_whole_word_mask || !masked.masked_positions.is_empty());
                for (&position, &label) in masked.masked_positions.iter().zip(&masked.masked_labels) {
                    masked.tokens[position as usize] = label;
                }
                masked.masked_positions.clear();
                masked.masked_labels.clear();
                prop_assert_eq!(&masked, &plain);
            }
        }
    }

    #[test]
    fn epochs_differ_in_order_and_masks() {
        let (documents, vocab) = (documents(&vec![vec![6; 40]; 30]), vocab());
        let options = InstanceOptions { max_seq_length: 32, ..InstanceOptions::default() };
        let epoch = |number| {
            let plan = Plan::build(&documents, &vocab, &options, number..number + 1, &mut NoProgress).unwrap();
            (plan.shuffle.apply(0), all(&plan))
        };
        let (first, second) = (epoch(0), epoch(1));
        assert_ne!(first.0, second.0);
        assert!(sorted(first.1) != sorted(second.1));
    }

    #[test]
    fn a_long_document_has_checkpoints_inside() {
        let (documents, vocab) = (documents(&[vec![1], vec![5; 20_000], vec![1]]), vocab());
        let options = InstanceOptions { max_seq_length: 32, short_seq_prob: 0.0, ..InstanceOptions::default() };
        let layout = Layout { max_checkpoints: 640, task_documents: 4, wave_tasks: 1 };
        let plan = Plan::build_with(layout, &documents, &vocab, &options, 0..1, &mut NoProgress).unwrap();
        let gaps = plan.index.checkpoints.instances.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(plan.len() > 3000);
        assert!(gaps.max().is_some_and(|gap| gap <= 32), "{:?}", plan.index.checkpoints.instances);
        assert_eq!(plan.short_documents(), 2);
    }

    #[test]
    fn barren_stretches_are_not_walked_again() {
        let mut lengths = vec![vec![1]; 10_000];
        lengths[0] = vec![5, 5];
        lengths[9_999] = vec![6, 6];
        let (documents, vocab) = (documents(&lengths), vocab());
        let layout = Layout { max_checkpoints: 8, task_documents: 1 << 20, wave_tasks: 1 };
        let options = InstanceOptions::default();
        let plan = Plan::build_with(layout, &documents, &vocab, &options, 0..1, &mut NoProgress).unwrap();
        assert_eq!(plan.len(), 2);
        assert_eq!(plan.index.checkpoints.instances, [0, 1]);
        assert_eq!(plan.index.checkpoints.places[1].document, 9_999);
    }

    #[test]
    fn no_documents_no_duplicates_no_instances() {
        let (none, some, vocab) = (MemoryDocuments::new(), documents(&[vec![3, 3]]), vocab());
        let options = InstanceOptions::default();
        assert!(Plan::build(&none, &vocab, &options, 0..3, &mut NoProgress).unwrap().is_empty());
        assert!(Plan::build(&some, &vocab, &options, 3..3, &mut NoProgress).unwrap().is_empty());
    }

    #[test]
    fn reports_and_stops() {
        struct Stop(Vec<(u64, u64)>, usize);
        impl Progress for Stop {
            fn report(&mut self, _: &'static str, _: &'static str, done: u64, total: u64) -> bool {
                self.0.push((done, total));
                self.0.len() < self.1
            }
        }
        let (documents, vocab) = (documents(&vec![vec![3, 3]; 5]), vocab());
        let layout = Layout { max_checkpoints: 8, task_documents: 1, wave_tasks: 2 };
        let options = InstanceOptions::default();
        let mut run = Stop(Vec::new(), usize::MAX);
        Plan::build_with(layout, &documents, &vocab, &options, 0..2, &mut run).unwrap();
        assert_eq!(run.0, [(0, 10), (2, 10), (4, 10), (6, 10), (8, 10), (10, 10)]);
        let mut stop = Stop(Vec::new(), 2);
        let result = Plan::build_with(layout, &documents, &vocab, &options, 0..2, &mut stop);
        assert!(matches!(result, Err(Error::Interrupted(_))));
        assert_eq!(stop.0, [(0, 10), (2, 10)]);
    }
}
