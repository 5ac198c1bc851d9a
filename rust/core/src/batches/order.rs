//! The order of the instances in an epoch.

use std::sync::Arc;

use crate::Result;
use crate::instances::blocks::block_order;
use crate::instances::chunks::ChunkIndex;
use crate::instances::options::{InstanceOptions, Shuffle};
use crate::instances::permute::Permutation;
use crate::instances::plan::shuffle_key;
use crate::instances::rng::FastRng;
use crate::tokens::documents::Documents;
use crate::tokens::documents::Reading;

/// The number of blocks whose instances change places with each other. In a token store, they have 128 MiB of ids with 2
/// bytes each.
const WINDOW: usize = 64;

/// Which instance is where in an epoch.
#[derive(Debug)]
pub(super) enum Order {
    /// All instances change places.
    Global(Permutation),
    /// The blocks change places, and then the instances of each [`WINDOW`] of blocks.
    Blocks(Windows),
}

/// An order in which the instances at neighboring positions are from few blocks.
#[derive(Debug)]
pub(super) struct Windows {
    /// The number of the first instance of each block, and the number of all instances.
    firsts: Arc<[u64]>,
    blocks: Permutation,
    /// The position of the first instance of each window.
    starts: Vec<u64>,
    seed: u64,
    epoch: u64,
}

/// A window, and the positions of its blocks in it. What a thread keeps from one instance to the next.
#[derive(Debug)]
pub(super) struct Window {
    epoch: u64,
    number: usize,
    shuffle: Permutation,
    /// The number of the first instance of each block, and how many are in the blocks before it.
    blocks: Vec<(u64, u64)>,
}

/// Returns the number of the first instance of each block of the documents, and the number of all instances.
///
/// # Errors
/// Those of reading the documents.
pub(super) fn firsts<D: Documents>(documents: &D, options: &InstanceOptions, index: &ChunkIndex) -> Result<Arc<[u64]>> {
    if options.shuffle == Shuffle::Global {
        return Ok(Arc::default());
    }
    let mut reading = Reading::default();
    let starts = documents.block_starts();
    let firsts = starts.into_iter().map(|document| index.first_of(documents, options, document, &mut reading));
    firsts.chain([Ok(index.len())]).collect()
}

impl Order {
    /// Returns the order of an epoch with `len` instances.
    pub fn new(options: &InstanceOptions, epoch: u64, len: u64, firsts: &Arc<[u64]>) -> Self {
        let seed = options.random_seed;
        if options.shuffle == Shuffle::Global {
            return Self::Global(Permutation::new(len, shuffle_key(seed, &(epoch..epoch + 1))));
        }
        let blocks = block_order(seed, epoch, firsts.len() as u64 - 1);
        let (mut starts, mut position) = (Vec::new(), 0);
        for at in 0..blocks.len() {
            if (at as usize).is_multiple_of(WINDOW) {
                starts.push(position);
            }
            let block = blocks.apply(at) as usize;
            position += firsts[block + 1] - firsts[block];
        }
        Self::Blocks(Windows { firsts: Arc::clone(firsts), blocks, starts, seed, epoch })
    }

    /// Returns the number of the instance at a position in the epoch.
    pub fn apply(&self, position: u64, window: &mut Option<Window>) -> u64 {
        match self {
            Self::Global(shuffle) => shuffle.apply(position),
            Self::Blocks(windows) => windows.apply(position, window),
        }
    }
}

impl Windows {
    fn apply(&self, position: u64, kept: &mut Option<Window>) -> u64 {
        // A window without instances begins where the next one does, so the last one with this start is meant.
        let number = self.starts.partition_point(|&start| start <= position) - 1;
        let window = match kept {
            Some(window) if (window.epoch, window.number) == (self.epoch, number) => window,
            _ => kept.insert(self.window(number)),
        };
        let within = window.shuffle.apply(position - self.starts[number]);
        let block = window.blocks.partition_point(|&(_, before)| before <= within) - 1;
        let (first, before) = window.blocks[block];
        first + within - before
    }

    fn window(&self, number: usize) -> Window {
        let range = (number * WINDOW) as u64..self.blocks.len().min(((number + 1) * WINDOW) as u64);
        let mut len = 0;
        let blocks = range
            .map(|at| {
                let block = self.blocks.apply(at) as usize;
                let before = len;
                len += self.firsts[block + 1] - self.firsts[block];
                (self.firsts[block], before)
            })
            .collect();
        let key = FastRng::keyed(self.seed, self.epoch, u64::MAX, number as u64).next_u64();
        Window { epoch: self.epoch, number, shuffle: Permutation::new(len, key), blocks }
    }
}
