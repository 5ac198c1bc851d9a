//! Instances from a token store without files: epoch after epoch, with new splits, new masks and a new order each.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use crate::batch::{Row, Source};
use crate::chunks::{ChunkIndex, Layout};
use crate::documents::Documents;
use crate::instance::{Instance, assemble};
use crate::mask::{self, Masker};
use crate::options::{InstanceOptions, RngKind};
use crate::permute::Permutation;
use crate::plan::shuffle_key;
use crate::rng::FastRng;
use crate::vocab::Vocab;
use crate::{Error, NoProgress, Progress, Result};

/// Ways to cut the documents into chunks, taken in turn: epoch e has those of duplicate e modulo this.
///
/// Finding the epoch of a position needs the lengths of the epochs before it, and each costs a walk over the corpus.
/// With a cycle any position of any run is found after so many walks at most.
pub const CHUNKINGS: u64 = 16;
/// Indexes kept in memory; each can be made again.
const KEPT: usize = 3;
/// Checkpoints of an index, so that an index takes 10 MiB at most.
const MAX_CHECKPOINTS: usize = 1 << 18;

/// Instances per chunking, as far as known, and some of the indexes.
#[derive(Debug, Default)]
struct Known {
    lengths: Vec<u64>,
    /// The last used is the last.
    indexes: Vec<(u64, Arc<ChunkIndex>)>,
}

/// All instances of all epochs of a corpus.
///
/// Each is a pure function of documents, vocabulary, options and position. Epoch e holds each of its instances once; for
/// e below [`CHUNKINGS`] it is, order included, the [`Plan`](crate::plan::Plan) of duplicates `e..e + 1`. Later epochs
/// have the chunks of epoch e modulo [`CHUNKINGS`]; what comes after, the splits into A and B, the exchanged segments,
/// the masks and the order, is drawn from generators keyed by e itself. (With `random_next_sentence` the splits decide
/// where the next chunk begins, so there the splits too are those of epoch e modulo [`CHUNKINGS`].)
#[derive(Debug)]
pub struct InstanceStream<D> {
    documents: D,
    vocab: Vocab,
    options: InstanceOptions,
    masker: Masker,
    epoch_len: u64,
    known: Mutex<Known>,
}

/// What the instances of a stretch of positions are made from.
#[derive(Debug)]
pub struct Stretch {
    /// Where the epochs of a cycle begin, and at last its length; as many as the stretch needs.
    starts: Vec<u64>,
    /// By chunking; those that the stretch does not need are not there.
    indexes: Vec<Option<Arc<ChunkIndex>>>,
}

/// What a thread keeps from one instance to the next.
#[derive(Debug, Default)]
pub struct Scratch {
    mask: mask::Scratch,
    instance: Instance,
    shuffle: Option<(u64, Permutation)>,
}

impl<D: Documents + Send> InstanceStream<D> {
    /// Walks over the chunks of the first epoch, on the threads of the current rayon pool.
    ///
    /// # Errors
    /// [`Error::Option`] for options out of range, the reference's generator among them, or that contradict the
    /// vocabulary; [`Error::Input`] where no document gives an instance; [`Error::Interrupted`] where `progress` stops it.
    pub fn new(documents: D, vocab: Vocab, options: InstanceOptions, progress: &mut dyn Progress) -> Result<Self> {
        let masker = Masker::new(&options, &vocab)?;
        if options.rng != RngKind::Fast {
            return Err(Error::Option(
                "rng must be \"fast\": the reference's generator makes instances only in their order, not one by one"
                    .into(),
            ));
        }
        let mut stream = Self { documents, vocab, options, masker, epoch_len: 0, known: Mutex::default() };
        let first = stream.build(0, progress)?;
        if first.is_empty() {
            return Err(Error::Input(format!(
                "none of the store's {} documents gives an instance: each has a single sentence of one token, or is left \
                 out by single_segment",
                stream.documents.num_documents()
            )));
        }
        stream.epoch_len = first.len();
        Ok(stream)
    }

    /// What the instances are made of.
    pub fn documents(&self) -> &D {
        &self.documents
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        // Whoever panicked left whole entries.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index of a chunking. It is made without the lock: the pool may run other work, which may want the lock, on this
    /// very thread in the meantime.
    fn build(&self, chunking: u64, progress: &mut dyn Progress) -> Result<Arc<ChunkIndex>> {
        let mut layout = Layout::for_documents(self.documents.num_documents());
        layout.max_checkpoints = MAX_CHECKPOINTS;
        let index =
            Arc::new(ChunkIndex::build(&self.documents, &self.options, chunking..chunking + 1, layout, progress)?);
        let mut known = self.known();
        if known.lengths.len() as u64 == chunking {
            known.lengths.push(index.len());
        }
        if known.indexes.len() == KEPT {
            known.indexes.remove(0);
        }
        known.indexes.push((chunking, index.clone()));
        Ok(index)
    }

    fn index(&self, chunking: u64) -> Result<Arc<ChunkIndex>> {
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
        known.map_or_else(|| Ok(self.index(chunking)?.len()), Ok)
    }

    /// Makes `scratch.instance` the masked instance `within` (in shuffled order) of `epoch`.
    fn make(&self, epoch: u64, within: u64, index: &ChunkIndex, scratch: &mut Scratch) {
        let Scratch { mask, instance, shuffle } = scratch;
        let seed = self.options.random_seed;
        let number = match shuffle {
            Some((of, shuffle)) if *of == epoch => shuffle.apply(within),
            _ => {
                let key = shuffle_key(seed, &(epoch..epoch + 1));
                shuffle.insert((epoch, Permutation::new(index.len(), key))).1.apply(within)
            }
        };
        let (place, chunk) = index.find(&self.documents, &self.options, number);
        let keyed = |epoch| FastRng::keyed(seed, epoch, place.document, place.chunk);
        let splits = if self.options.random_next_sentence { place.duplicate } else { epoch };
        let mut rng = keyed(splits);
        assemble(&self.documents, &self.vocab, &self.options, &chunk, &mut rng, instance);
        if splits != epoch {
            rng = keyed(epoch);
        }
        self.masker.mask(instance, &mut rng, mask);
    }
}

impl Stretch {
    /// The epoch of a position, its place in the epoch, and the index.
    fn locate(&self, position: u64) -> (u64, u64, &ChunkIndex) {
        let (cycle, within) = if self.starts.len() > CHUNKINGS as usize {
            let length = self.starts[CHUNKINGS as usize];
            (position / length, position % length)
        } else {
            (0, position)
        };
        // Of epochs without instances, which begin where the next one does, the last is not meant.
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
        // What of the cycle the positions cover: everything, or a stretch that may go over its end.
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

    fn fill(&self, position: u64, stretch: &Stretch, scratch: &mut Scratch, row: &mut Row<'_>) -> Result<()> {
        let (epoch, within, index) = stretch.locate(position);
        self.make(epoch, within, index, scratch);
        row.write(&scratch.instance);
        Ok(())
    }
}
