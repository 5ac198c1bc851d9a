//! Makes instances directly from a token store, epoch after epoch, each with new splits, new masks and a new order.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::batch::{Row, Source};
use super::order::{Order, Window, firsts};
use crate::instances::chunks::{ChunkIndex, Layout};
use crate::instances::instance::{Instance, Readings, assemble};
use crate::instances::mask::{self, Masker};
use crate::instances::options::{InstanceOptions, RngKind};
use crate::instances::rng::FastRng;
use crate::tokens::documents::Documents;
use crate::tokens::vocab::Vocab;
use crate::{Error, NoProgress, Progress, Result};

/// The number of ways to divide the documents into chunks, used in turn: epoch e has the chunks of pass e modulo this
/// number.
///
/// Finding the epoch of a position requires the lengths of the epochs before it, and each of them costs a walk over the
/// corpus. With a cycle, at most this many walks find any position of any run.
pub const CHUNKINGS: u64 = 16;
/// The most waypoints of an index, so that an index takes at most 10 MiB.
const MAX_CHECKPOINTS: usize = 1 << 18;
/// The most waypoints of all indexes that are kept, 80 MiB. An index that is not kept is built again.
const MAX_KEPT: usize = 1 << 21;

/// The number of instances per chunking, as far as known, and some of the indexes.
#[derive(Debug, Default)]
struct Known {
    lengths: Vec<u64>,
    /// The index used last is at the end.
    indexes: Vec<(u64, Arc<Indexed>)>,
}

/// The chunks of a chunking, and what their order needs.
#[derive(Debug)]
struct Indexed {
    chunks: ChunkIndex,
    /// The number of the first instance of each block, and the number of all instances; empty if all instances change
    /// places.
    firsts: Arc<[u64]>,
}

/// All instances of all epochs of a corpus.
///
/// Each depends only on documents, vocabulary, options and position. Epoch e holds each of its instances once. For e
/// below [`CHUNKINGS`], it is, order included, the [`Plan`](crate::instances::plan::Plan) of passes `e..e + 1`. Later
/// epochs have the chunks of epoch e modulo [`CHUNKINGS`]. Everything after that (the splits into A and B, the swapped
/// segments, the masks and the order) is drawn from generators keyed by e itself. With `random_next_sentence`, the
/// splits decide where the next chunk begins, so the splits too are then those of epoch e modulo [`CHUNKINGS`].
#[derive(Debug)]
pub struct InstanceStream<D> {
    documents: D,
    vocab: Vocab,
    options: InstanceOptions,
    masker: Masker,
    fall: Option<Fall>,
    epoch_len: u64,
    /// The most waypoints of all indexes that are kept.
    most_kept: usize,
    known: Mutex<Known>,
}

/// How the fraction of masked tokens falls from batch to batch: on a straight line from `masked_lm_prob` in batch 0 to
/// `last` in batch `batches - 1` and all later ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fall {
    /// The last fraction, above 0 and at most `masked_lm_prob`.
    pub last: f64,
    /// The number of batches in which it falls, at least 1.
    pub batches: u64,
}

impl Fall {
    /// Returns the fraction of batch `k` if that of batch 0 is `first`.
    ///
    /// `albert_fast.options.instances.fraction_at` computes the same value.
    fn at(self, first: f64, k: u64) -> f64 {
        match self.batches - 1 {
            steps if k < steps => first + (self.last - first) * (k as f64 / steps as f64),
            _ if self.batches == 1 && k == 0 => first,
            _ => self.last,
        }
    }
}

/// What the instances at consecutive positions are made from.
#[derive(Debug)]
pub struct Stretch {
    /// The starts of the epochs of a cycle, as many as needed, and at the end the length of the cycle.
    starts: Vec<u64>,
    /// The indexes by chunking; `None` if an index is not needed.
    indexes: Vec<Option<Arc<Indexed>>>,
}

/// The epoch of an instance, its place in the epoch, and the index.
type Located<'a> = (u64, u64, &'a Indexed);

/// What a thread keeps from one instance to the next.
#[derive(Debug, Default)]
pub struct Scratch {
    readings: Readings,
    mask: mask::Scratch,
    instance: Instance,
    order: Option<(u64, Order)>,
    window: Option<Window>,
}

impl<D: Documents + Send> InstanceStream<D> {
    /// Walks over the chunks of the first epoch, on the threads of the current rayon pool.
    ///
    /// # Errors
    /// [`Error::Rule`] or [`Error::Conflict`] if options are out of range, ask for the reference's generator, or contradict
    /// the vocabulary;
    /// [`Error::Input`] if no document gives an instance; [`Error::Interrupted`] if `progress` stops the walk.
    pub fn new(documents: D, vocab: Vocab, options: InstanceOptions, progress: &mut dyn Progress) -> Result<Self> {
        let masker = Masker::new(&options, &vocab)?;
        if options.rng != RngKind::Fast {
            let fix = "the reference's generator makes instances only in order, not one by one";
            return Err(Error::rule_with_fix("rng", "'fast'", "'reference'", fix));
        }
        let known = Mutex::default();
        let mut stream =
            Self { documents, vocab, options, masker, fall: None, epoch_len: 0, most_kept: MAX_KEPT, known };
        let first = stream.build(0, progress)?;
        if first.chunks.is_empty() {
            return Err(Error::input(match stream.documents.num_documents() {
                0 => "no instances: the store has no documents".to_owned(),
                count => format!(
                    "no instances: each of the store's {count} documents has a single sentence of one token, or is dropped \
                     by `single_segment`"
                ),
            }));
        }
        stream.epoch_len = first.chunks.len();
        Ok(stream)
    }

    /// Makes the fraction of masked tokens fall from batch to batch. P stays that of `masked_lm_prob`, the largest.
    ///
    /// # Errors
    /// [`Error::Rule`] if a number is out of range.
    pub fn falling(mut self, fall: Fall) -> Result<Self> {
        let first = self.options.masked_lm_prob;
        if !(fall.last > 0.0 && fall.last <= first) {
            let rule = format!("a fraction that falls from {first} to a number above 0");
            return Err(Error::rule("masked_lm_prob", rule, fall.last));
        }
        if fall.batches == 0 {
            return Err(Error::rule("num_steps", "at least 1", fall.batches));
        }
        self.fall = Some(fall);
        Ok(self)
    }

    /// Makes the stream one of `count` that share the memory of one.
    #[must_use]
    pub fn sharing(mut self, count: usize) -> Self {
        self.most_kept = MAX_KEPT / count.max(1);
        self
    }

    /// Returns the fraction of tokens to mask in batch `k`.
    fn fraction(&self, k: u64) -> f64 {
        let first = self.options.masked_lm_prob;
        self.fall.map_or(first, |fall| fall.at(first, k))
    }

    /// The documents from which the instances are made.
    pub fn documents(&self) -> &D {
        &self.documents
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        // A thread that panicked left only complete entries.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Builds the index of a chunking. It does so without the lock, because the pool may meanwhile run other work on
    /// this thread that needs the lock.
    fn build(&self, chunking: u64, progress: &mut dyn Progress) -> Result<Arc<Indexed>> {
        let mut layout = Layout::for_documents(self.documents.num_documents());
        layout.max_checkpoints = MAX_CHECKPOINTS;
        let chunks = ChunkIndex::build(&self.documents, &self.options, chunking..chunking + 1, layout, progress)?;
        let firsts = firsts(&self.documents, &self.options, &chunks)?;
        let index = Arc::new(Indexed { chunks, firsts });
        let mut known = self.known();
        if known.lengths.len() as u64 == chunking {
            known.lengths.push(index.chunks.len());
        }
        // Another thread may have built it meanwhile.
        known.indexes.retain(|&(number, _)| number != chunking);
        known.indexes.push((chunking, index.clone()));
        let size = |known: &Known| known.indexes.iter().map(|(_, index)| index.chunks.checkpoints.len()).sum::<usize>();
        while size(&known) > self.most_kept && known.indexes.len() > 1 {
            known.indexes.remove(0);
        }
        Ok(index)
    }

    fn index(&self, chunking: u64) -> Result<Arc<Indexed>> {
        let mut known = self.known();
        if let Some(at) = known.indexes.iter().position(|&(number, _)| number == chunking) {
            let found = known.indexes.remove(at);
            let index = found.1.clone();
            known.indexes.push(found);
            return Ok(index);
        }
        drop(known);
        self.build(chunking, &mut NoProgress)
    }

    fn length(&self, chunking: u64) -> Result<u64> {
        let known = self.known().lengths.get(chunking as usize).copied();
        known.map_or_else(|| Ok(self.index(chunking)?.chunks.len()), Ok)
    }

    /// Makes `scratch.instance` the instance `within` (in shuffled order) of `epoch`, with `fraction` of it masked.
    fn make(&self, fraction: f64, (epoch, within, index): Located<'_>, scratch: &mut Scratch) -> Result<()> {
        let Scratch { readings, mask, instance, order, window } = scratch;
        let seed = self.options.random_seed;
        let order = match order {
            Some((of, order)) if *of == epoch => order,
            _ => {
                let new = Order::new(&self.options, epoch, index.chunks.len(), &index.firsts);
                &mut order.insert((epoch, new)).1
            }
        };
        let number = order.apply(within, window);
        let (place, chunk) = index.chunks.find(&self.documents, &self.options, number, &mut readings.chunk)?;
        let document = self.documents.number(place.document);
        let keyed = |epoch| FastRng::keyed(seed, epoch, document, place.chunk);
        let splits = if self.options.random_next_sentence { place.duplicate } else { epoch };
        let mut rng = keyed(splits);
        assemble(&self.documents, &self.vocab, &self.options, &chunk, &mut rng, readings, instance)?;
        if splits != epoch {
            rng = keyed(epoch);
        }
        self.masker.mask_at(fraction, instance, &mut rng, mask);
        Ok(())
    }
}

impl Stretch {
    /// Returns the epoch of a position, its place in the epoch, and the index.
    fn locate(&self, position: u64) -> Located<'_> {
        let (cycle, within) = if self.starts.len() > CHUNKINGS as usize {
            let length = self.starts[CHUNKINGS as usize];
            (position / length, position % length)
        } else {
            (0, position)
        };
        // An epoch without instances begins where the next one does, so the last epoch with this start is meant.
        let chunking = self.starts.partition_point(|&start| start <= within) - 1;
        let index = self.indexes[chunking].as_ref().expect("the stretch has the indexes of its positions");
        (cycle * CHUNKINGS + chunking as u64, within - self.starts[chunking], index)
    }
}

impl<D: Documents + Send> Source for InstanceStream<D> {
    type Scratch = Scratch;
    type Stretch = Stretch;

    fn epoch_len(&self) -> u64 {
        self.epoch_len
    }

    fn seq_length(&self) -> usize {
        self.options.max_seq_length
    }

    fn predictions(&self) -> usize {
        self.options.max_predictions()
    }

    fn prepare(&self, positions: Range<u64>) -> Result<Stretch> {
        let mut starts = vec![0];
        while starts.len() <= CHUNKINGS as usize && starts[starts.len() - 1] < positions.end {
            starts.push(starts[starts.len() - 1] + self.length(starts.len() as u64 - 1)?);
        }
        let epochs = starts.len() - 1;
        let mut indexes = vec![None; epochs];
        let cycle = starts[epochs];
        // The part of the cycle that the positions cover: all of it, or a range that may go past its end.
        let (first, last) = if epochs < CHUNKINGS as usize || positions.end - positions.start < cycle {
            (positions.start % cycle, (positions.end - 1) % cycle)
        } else {
            (0, cycle - 1)
        };
        for (chunking, index) in indexes.iter_mut().enumerate() {
            let (start, end) = (starts[chunking], starts[chunking + 1]);
            let needed = if first <= last { start <= last && first < end } else { start <= last || first < end };
            if needed && start < end {
                *index = Some(self.index(chunking as u64)?);
            }
        }
        Ok(Stretch { starts, indexes })
    }

    fn fill(&self, k: u64, position: u64, stretch: &Stretch, scratch: &mut Scratch, row: &mut Row<'_>) -> Result<()> {
        self.make(self.fraction(k), stretch.locate(position), scratch)?;
        row.write(&scratch.instance);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::batches::batch::{Batch, Batched, Batches};
    use crate::instances::options::Shuffle;
    use crate::instances::plan::{self, Plan};
    use crate::instances::testing::{corpus, documents, options, vocab};
    use crate::tokens::documents::{Document, MemoryDocuments};

    fn stream(lengths: &[Vec<usize>], options: &InstanceOptions) -> Result<InstanceStream<MemoryDocuments>> {
        InstanceStream::new(documents(lengths), vocab(), options.clone(), &mut NoProgress)
    }

    /// Returns the instances at `positions` as rows.
    fn rows(stream: &InstanceStream<MemoryDocuments>, positions: Range<u64>) -> Vec<Vec<i32>> {
        let stretch = stream.prepare(positions.clone()).unwrap();
        let mut scratch = Scratch::default();
        positions
            .map(|position| {
                stream.make(stream.fraction(0), stretch.locate(position), &mut scratch).unwrap();
                row(&scratch.instance)
            })
            .collect()
    }

    /// Returns everything in an instance as numbers.
    fn row(instance: &Instance) -> Vec<i32> {
        let lists = [&instance.tokens, &instance.masked_positions, &instance.masked_labels];
        let mut row: Vec<i32> = lists.into_iter().flatten().map(|&value| value as i32).collect();
        row.extend(instance.word_starts.iter().map(|&start| i32::from(start)));
        row.extend([instance.first_length as i32, i32::from(instance.is_random_next)]);
        row
    }

    /// Returns everything in row `index` of a batch, without padding.
    fn batch_row(batch: &Batch, index: usize) -> Vec<i32> {
        let (s, p) = (batch.seq_length, batch.predictions);
        let tokens = batch.input_mask[index * s..(index + 1) * s].iter().filter(|&&one| one == 1).count();
        let masks = batch.masked_lm_weights[index * p..(index + 1) * p].iter().filter(|&&one| one > 0.0).count();
        let mut row = batch.input_ids[index * s..][..tokens].to_vec();
        row.extend(&batch.masked_lm_positions[index * p..][..masks]);
        row.extend(&batch.masked_lm_ids[index * p..][..masks]);
        row.extend(&batch.token_boundary[index * s..][..tokens]);
        row.push(batch.segment_ids[index * s..][..tokens].iter().filter(|&&segment| segment == 0).count() as i32);
        row.push(batch.next_sentence_labels[index]);
        row
    }

    /// Documents in blocks.
    struct Divided(MemoryDocuments, usize);

    impl Documents for Divided {
        fn num_documents(&self) -> u64 {
            self.0.num_documents()
        }

        fn document(&self, index: u64) -> Document<'_> {
            self.0.document(index)
        }

        fn block_starts(&self) -> Vec<u64> {
            (0..self.0.num_documents()).step_by(self.1).collect()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn blocks_change_the_order_only(lengths in corpus(), options in options(), size in 1..4_usize) {
            let Ok(global) = stream(&lengths, &options) else { return Ok(()) };
            let options = InstanceOptions { shuffle: Shuffle::Blocks, ..options };
            let documents = Divided(documents(&lengths), size);
            let blocks = InstanceStream::new(documents, vocab(), options, &mut NoProgress).unwrap();
            let starts = global.prepare(0..3 * global.epoch_len()).unwrap().starts;
            for epoch in starts.windows(2) {
                let mut scratch = Scratch::default();
                let stretch = blocks.prepare(epoch[0]..epoch[1].max(1)).unwrap();
                let mut found: Vec<_> = (epoch[0]..epoch[1])
                    .map(|position| {
                        blocks.make(blocks.fraction(0), stretch.locate(position), &mut scratch).unwrap();
                        row(&scratch.instance)
                    })
                    .collect();
                let mut wanted = rows(&global, epoch[0]..epoch[1].max(1));
                wanted.truncate(found.len());
                found.sort();
                wanted.sort();
                prop_assert_eq!(found, wanted);
            }
        }

        #[test]
        fn the_first_epochs_are_plans(lengths in corpus(), options in options()) {
            let Ok(stream) = stream(&lengths, &options) else { return Ok(()) };
            let (documents, vocab) = (documents(&lengths), vocab());
            let (mut expected, mut instance) = (Vec::new(), Instance::default());
            for epoch in 0..4 {
                let plan = Plan::build(&documents, &vocab, &options, epoch..epoch + 1, &mut NoProgress).unwrap();
                for position in 0..plan.len() {
                    plan.instance(position, &mut plan::Scratch::default(), &mut instance).unwrap();
                    expected.push(row(&instance));
                }
            }
            prop_assert_eq!(rows(&stream, 0..expected.len() as u64), expected);
        }

        #[test]
        fn a_batch_is_a_function_of_its_number(
            lengths in corpus(), options in options(), size in 1..30_usize, ks in prop::collection::vec(any::<u32>(), 1..6),
        ) {
            let Ok(first) = stream(&lengths, &options) else { return Ok(()) };
            let first = Batched::new(Arc::new(first), size).unwrap();
            for threads in [1, 2, 7] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let fresh = Batched::new(Arc::new(stream(&lengths, &options).unwrap()), size).unwrap();
                for &k in &ks {
                    prop_assert!(pool.install(|| fresh.batch(u64::from(k))).unwrap() == first.batch(u64::from(k)).unwrap());
                }
            }
        }

        #[test]
        fn shards_together_are_the_whole(
            lengths in corpus(), options in options(), size in 1..7_usize, count in 1..6_u64, k in 0..40_u64,
        ) {
            let Ok(whole) = stream(&lengths, &options) else { return Ok(()) };
            let fall = Fall { last: options.masked_lm_prob / 3.0, batches: 20 };
            let whole = Arc::new(whole.falling(fall).unwrap());
            let all = Batched::new(whole.clone(), size * count as usize).unwrap().batch(k).unwrap();
            let one = Batched::new(whole.clone(), size).unwrap();
            let mut instances = 0;
            for index in 0..count {
                let shard = one.shard(index, count).unwrap();
                let batch = shard.batch(k).unwrap();
                for row in 0..size {
                    prop_assert_eq!(batch_row(&batch, row), batch_row(&all, row * count as usize + index as usize));
                }
                instances += shard.epoch_len();
            }
            prop_assert_eq!(instances, whole.epoch_len());
            let (outer, inner) = (one.shard(k % count, count).unwrap(), one.shard(k % count + count, 2 * count).unwrap());
            prop_assert!(outer.shard(1, 2).unwrap().batch(k).unwrap() == inner.batch(k).unwrap());
        }
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "the first and the last fraction are those that were given")]
    fn the_fraction_falls_on_a_straight_line() {
        let fall = Fall { last: 0.15, batches: 11 };
        assert_eq!([0, 10, 11, u64::MAX].map(|k| fall.at(0.3, k)), [0.3, 0.15, 0.15, 0.15]);
        assert!((fall.at(0.3, 5) - 0.225).abs() < 1e-15);
        assert_eq!([0, 1].map(|k| Fall { batches: 1, ..fall }.at(0.3, k)), [0.3, 0.15]);
        assert!((0..10).all(|k| fall.at(0.3, k) > fall.at(0.3, k + 1)));
    }

    #[test]
    fn impossible_falls_are_refused() {
        let stream = || stream(&[vec![9, 9, 9]], &InstanceOptions::default()).unwrap();
        let refused = |last, batches| stream().falling(Fall { last, batches }).unwrap_err().to_string();
        for last in [0.0, -0.1, 0.2, f64::NAN] {
            assert!(refused(last, 3).starts_with("masked_lm_prob must be a fraction that falls from 0.15 to "));
        }
        assert_eq!(refused(0.1, 0), "num_steps must be at least 1, got 0");
        assert!(stream().falling(Fall { last: 0.15, batches: 1 }).is_ok());
    }

    #[test]
    fn neighbors_are_from_few_blocks() {
        // Each document is a block, and has one instance, whose only token of the text tells them apart.
        let mut documents = MemoryDocuments::new();
        for document in 0..300 {
            documents.push_segment(&[document + 5, 5]);
            documents.end_document();
        }
        let options = InstanceOptions { shuffle: Shuffle::Blocks, masked_lm_prob: 0.0, ..InstanceOptions::default() };
        let vocab = Vocab { size: 400, word_start: vec![true; 400], ordinary: (5..400).collect(), ..vocab() };
        let stream = InstanceStream::new(Divided(documents, 1), vocab, options, &mut NoProgress).unwrap();
        let stretch = stream.prepare(0..600).unwrap();
        let mut scratch = Scratch::default();
        let mut numbers = Vec::new();
        for position in 0..600 {
            stream.make(stream.fraction(0), stretch.locate(position), &mut scratch).unwrap();
            numbers.push(*scratch.instance.tokens.iter().max().unwrap());
        }
        // Each window has 64 blocks of its own; the last has the rest. The next epoch has others.
        let window =
            |range: Range<usize>| -> std::collections::BTreeSet<u32> { numbers[range].iter().copied().collect() };
        let windows: Vec<_> = (0..5).map(|it| window(64 * it..(64 * it + 64).min(300))).collect();
        assert_eq!(windows.iter().map(std::collections::BTreeSet::len).collect::<Vec<_>>(), [64, 64, 64, 64, 44]);
        assert_eq!(window(0..300).len(), 300);
        assert!(windows[0] != window(300..364) && !numbers[..64].is_sorted());
    }

    #[test]
    fn later_cycles_have_the_same_chunks_and_other_draws() {
        // Segments have one token, so nothing is ever truncated. Without masks, only splits can differ.
        let options = InstanceOptions {
            max_seq_length: 40,
            masked_lm_prob: 0.0,
            short_seq_prob: 0.5,
            ..InstanceOptions::default()
        };
        let stream = stream(&vec![vec![1; 300]; 20], &options).unwrap();
        let starts = stream.prepare(0..u64::MAX / 2).unwrap().starts;
        let cycle = starts[CHUNKINGS as usize];
        let epoch = |start: u64, number: usize| {
            let rows = rows(&stream, start..start + starts[number + 1] - starts[number]);
            let mut chunks: Vec<Vec<i32>> = rows
                .iter()
                .map(|row| {
                    // The ids, the word starts, the length of the first segment, and the label.
                    let mut ids = row[..(row.len() - 2) / 2].to_vec();
                    ids.sort_unstable();
                    ids
                })
                .collect();
            chunks.sort();
            (rows, chunks)
        };
        let (first, second, later) = (epoch(0, 0), epoch(starts[1], 1), epoch(cycle, 0));
        assert_eq!(first.1, later.1);
        assert_ne!(first.1, second.1);
        let same = first.0.iter().filter(|row| later.0.contains(row)).count();
        assert!(same < first.0.len() / 4, "{same} of {}", first.0.len());
    }

    #[test]
    fn far_batches_and_numbers_out_of_range() {
        let stream = Arc::new(stream(&[vec![3, 3]], &InstanceOptions::default()).unwrap());
        let batches = Batched::new(stream, 64).unwrap();
        assert!(batches.batch(u64::MAX / 64 - 1).is_ok());
        for k in [u64::MAX, u64::MAX / 64] {
            let message = batches.batch(k).unwrap_err().to_string();
            assert!(message.contains(&k.to_string()), "{message}");
        }
        assert!(batches.shard(2, 2).err().unwrap().to_string().contains("index must be below count, 2, got 2"));
        assert!(batches.shard(0, 0).err().unwrap().to_string().contains("count must be at least 1, got 0"));
        assert!(batches.shard(0, 1 << 31).unwrap().shard(0, 4).is_err());
    }

    #[test]
    fn what_gives_no_instance_or_cannot_be_drawn_singly_is_refused() {
        let options = InstanceOptions::default();
        let message = stream(&[vec![1], vec![1]], &options).unwrap_err().to_string();
        assert!(message.contains("each of the store's 2 documents"), "{message}");
        let message = stream(&[vec![3, 3]], &options.reference()).unwrap_err().to_string();
        assert!(message.contains("rng must be 'fast', got 'reference'; "), "{message}");
        let empty = InstanceStream::new(MemoryDocuments::new(), vocab(), InstanceOptions::default(), &mut NoProgress);
        assert!(empty.unwrap_err().to_string().contains("no instances: the store has no documents"));
    }

    #[test]
    fn batch_sizes_out_of_range() {
        let stream = Arc::new(stream(&[vec![3, 3]], &InstanceOptions::default()).unwrap());
        for size in [0, 1 << 40] {
            let message = Batched::new(stream.clone(), size).err().unwrap().to_string();
            assert!(message.contains("batch_size") && message.contains(&size.to_string()), "{message}");
        }
    }
}
