//! A plan that reads a token store block by block: each shard has the instances of its own pseudo-random set of blocks,
//! shuffled.
//!
//! The instances are those of a [`Plan`](super::plan::Plan), if B is never from a random document. Only their order
//! differs. To make a shard, nothing outside its blocks needs to be read or walked over.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::chunks::{ChunkIndex, Layout};
use super::instance::{Instance, assemble, check_documents};
use super::mask::Masker;
use super::options::InstanceOptions;
use super::permute::Permutation;
use super::plan::Scratch;
use super::rng::FastRng;
use crate::tokens::documents::Documents;
use crate::tokens::store::{BlockStore, LoadedBlock, LoadedBlocks};
use crate::tokens::vocab::Vocab;
use crate::{Error, NoProgress, Result};

/// Tells the key of the order of the blocks from other keys.
const ORDER: u64 = u64::MAX - 1;

/// Returns the order of the blocks in one pass.
pub(crate) fn block_order(seed: u64, pass: u64, blocks: u64) -> Permutation {
    Permutation::new(blocks, FastRng::keyed(seed, pass, ORDER, blocks).next_u64())
}

/// All instances of some passes over a token store, divided into shards.
///
/// The blocks of all passes stand one after another, those of each pass in an order of its own. Each shard has a range of
/// them: those of shard s of n begin at s/n of the number of all blocks.
pub struct BlockedPlan<'a> {
    store: &'a BlockStore,
    vocab: &'a Vocab,
    options: InstanceOptions,
    masker: Masker,
}

/// The instances of one shard, with the documents that they are made from.
pub struct PlannedShard {
    passes: Vec<Pass>,
    shuffle: Permutation,
    short_documents: u64,
}

/// The instances of a shard that are from one pass.
struct Pass {
    documents: LoadedBlocks,
    index: ChunkIndex,
    /// How many instances of the shard are in the passes before this one.
    first: u64,
}

impl<'a> BlockedPlan<'a> {
    /// Checks the options. Nothing of the store's parts is read.
    ///
    /// # Errors
    /// [`Error::Rule`] or [`Error::Conflict`] if options are out of range or contradict the vocabulary; [`Error::Input`] if
    /// B must come from another document, and there is only one.
    pub fn new(store: &'a BlockStore, vocab: &'a Vocab, options: &InstanceOptions) -> Result<Self> {
        let masker = Masker::new(options, vocab)?;
        check_documents(options, store.meta().documents)?;
        Ok(Self { store, vocab, options: options.clone(), masker })
    }

    /// Returns the number of blocks of all passes.
    pub fn num_blocks(&self) -> u64 {
        self.store.num_blocks().saturating_mul(self.options.dupe_factor)
    }

    /// Reads the blocks of a shard, on all threads of the current rayon pool, and finds its instances.
    ///
    /// # Errors
    /// Those of [`BlockStore::read`]; [`Error::Rule`] if B must come from another document, and the shard has only one.
    pub fn shard(&self, shard: u64, num_shards: u64) -> Result<PlannedShard> {
        let start = |shard: u64| (u128::from(self.num_blocks()) * u128::from(shard) / u128::from(num_shards)) as u64;
        let range = start(shard)..start(shard + 1);
        let seed = self.options.random_seed;
        let blocks = self.blocks_of(&range);
        let mut wanted: Vec<_> = blocks.iter().flat_map(|(_, blocks)| blocks).copied().collect();
        wanted.sort_unstable();
        wanted.dedup();
        let loaded = wanted.par_iter().map(|&block| Ok((block, Arc::new(self.store.read(block)?))));
        let loaded: HashMap<u64, Arc<LoadedBlock>> = loaded.collect::<Result<_>>()?;
        let (mut passes, mut instances, mut short_documents) = (Vec::new(), 0, 0);
        for (pass, blocks) in blocks {
            let documents: LoadedBlocks = blocks.iter().map(|block| Arc::clone(&loaded[block])).collect();
            let count = documents.num_documents();
            check_documents(&self.options, count).map_err(|_| {
                let fix = "pass fewer, or options that do not take B from another document";
                let rule = format!("so few that each shard has several documents in each pass (shard {shard} has one)");
                Error::rule_with_fix("num_shards", rule, num_shards, fix)
            })?;
            let layout = Layout::for_documents(count);
            let index = ChunkIndex::build(&documents, &self.options, pass..pass + 1, layout, &mut NoProgress)?;
            if pass == 0 {
                short_documents += index.short_documents();
            }
            let first = instances;
            instances += index.len();
            passes.push(Pass { documents, index, first });
        }
        let key = FastRng::keyed(seed, range.start, u64::MAX, range.end).next_u64();
        Ok(PlannedShard { passes, shuffle: Permutation::new(instances, key), short_documents })
    }

    /// Returns the blocks at positions of the sequence, by pass.
    fn blocks_of(&self, range: &Range<u64>) -> Vec<(u64, Vec<u64>)> {
        let count = self.store.num_blocks();
        if range.is_empty() {
            return Vec::new();
        }
        let blocks = |pass: u64| {
            let order = block_order(self.options.random_seed, pass, count);
            let within = range.start.max(pass * count)..range.end.min((pass + 1) * count);
            (pass, within.map(|position| order.apply(position - pass * count)).collect())
        };
        (range.start / count..=(range.end - 1) / count).map(blocks).collect()
    }

    /// Makes `out` the masked instance at `position` of a shard, from 0.
    ///
    /// # Errors
    /// None, because the documents are in memory.
    ///
    /// # Panics
    /// If `position` is not below [`PlannedShard::len`].
    pub fn instance(
        &self,
        shard: &PlannedShard,
        position: u64,
        scratch: &mut Scratch,
        out: &mut Instance,
    ) -> Result<()> {
        let Scratch { readings, masks } = scratch;
        let number = shard.shuffle.apply(position);
        let pass = shard.passes.partition_point(|pass| pass.first <= number) - 1;
        let Pass { documents, index, first } = &shard.passes[pass];
        let (place, chunk) = index.find(documents, &self.options, number - first, &mut readings.chunk)?;
        let document = documents.number(place.document);
        let mut rng = FastRng::keyed(self.options.random_seed, place.duplicate, document, place.chunk);
        assemble(documents, self.vocab, &self.options, &chunk, &mut rng, readings, out)?;
        self.masker.mask(out, &mut rng, masks);
        Ok(())
    }
}

impl PlannedShard {
    /// Returns the number of instances.
    pub fn len(&self) -> u64 {
        self.shuffle.len()
    }

    /// Whether there are no instances.
    pub fn is_empty(&self) -> bool {
        self.shuffle.is_empty()
    }

    /// Returns how many of the documents give no instance in the first pass, if the shard has documents of that pass.
    pub fn short_documents(&self) -> u64 {
        self.short_documents
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::instances::plan::Plan;
    use crate::instances::testing::{corpus, documents, options, vocab};
    use crate::tokens::documents::Ids;
    use crate::tokens::store::{StoreWriter, TokenizerInfo};

    /// Writes a store with the documents of `lengths`.
    fn write(directory: &Path, lengths: &[Vec<usize>], part_tokens: u64, vocab_size: u32) {
        let tokenizer = TokenizerInfo { digest: "abc".into(), description: json!({}), vocab_size, file: None };
        let mut writer = StoreWriter::new(directory, tokenizer, part_tokens, Vec::new()).unwrap();
        let documents = documents(lengths);
        for number in 0..documents.num_documents() {
            let document = documents.document(number);
            for segment in 0..document.segments() {
                let range = document.segment_start(segment) as usize..document.segment_start(segment + 1) as usize;
                let mut ids = Vec::new();
                document.ids.extend_into(range, &mut ids);
                writer.push_sentences(Ids::U32(&ids), 0, &[ids.len() as u32]).unwrap();
            }
            if writer.end_document().unwrap() {
                writer.close_part().unwrap();
            }
        }
        writer.finish(Vec::new(), json!({}), 0).unwrap();
    }

    fn key(instance: &Instance) -> Vec<u32> {
        let label = u32::from(instance.is_random_next);
        let masks = instance.masked_positions.iter().chain(&instance.masked_labels);
        [instance.first_length as u32, label]
            .into_iter()
            .chain(instance.tokens.iter().copied())
            .chain(masks.copied())
            .collect()
    }

    /// Returns the instances of all shards.
    fn all(plan: &BlockedPlan<'_>, num_shards: u64) -> Vec<Vec<Vec<u32>>> {
        let (mut scratch, mut instance) = (Scratch::default(), Instance::default());
        let mut of_shard = |shard: PlannedShard| -> Vec<_> {
            let mut make = |position| {
                plan.instance(&shard, position, &mut scratch, &mut instance).unwrap();
                key(&instance)
            };
            (0..shard.len()).map(&mut make).collect()
        };
        (0..num_shards).map(|shard| of_shard(plan.shard(shard, num_shards).unwrap())).collect()
    }

    fn counts(instances: impl Iterator<Item = Vec<u32>>) -> BTreeMap<Vec<u32>, u32> {
        let mut counts = BTreeMap::new();
        instances.for_each(|instance| *counts.entry(instance).or_default() += 1);
        counts
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_instances_are_those_of_the_whole_store(
            lengths in corpus(),
            options in options(),
            dupe_factor in 1..4_u64,
            (part_tokens, block_tokens, num_shards) in (1..200_u64, 1..60_u64, 1..9_u64),
            wide: bool,
        ) {
            let options = InstanceOptions {
                random_next_sentence: false,
                single_segment: crate::instances::options::SingleSegment::Split,
                dupe_factor,
                ..options
            };
            let directory = tempfile::tempdir().unwrap();
            write(directory.path(), &lengths, part_tokens, if wide { 70_000 } else { 50 });
            let store = BlockStore::with_blocks_of(directory.path(), block_tokens).unwrap();
            let (vocab, documents) = (vocab(), documents(&lengths));
            let blocked = BlockedPlan::new(&store, &vocab, &options).unwrap();
            let plan = Plan::build(&documents, &vocab, &options, 0..dupe_factor, &mut NoProgress).unwrap();
            let (mut scratch, mut instance) = (Scratch::default(), Instance::default());
            let wanted = (0..plan.len()).map(|position| {
                plan.instance(position, &mut scratch, &mut instance).unwrap();
                key(&instance)
            });
            let num_shards = num_shards.min(blocked.num_blocks());
            let found = all(&blocked, num_shards);
            prop_assert_eq!(counts(found.iter().flatten().cloned()), counts(wanted));
            // A shard is the same whatever was made before it.
            let last = num_shards - 1;
            let shard = blocked.shard(last, num_shards).unwrap();
            let again = (0..shard.len()).map(|position| {
                blocked.instance(&shard, position, &mut scratch, &mut instance).unwrap();
                key(&instance)
            });
            prop_assert_eq!(again.collect::<Vec<_>>(), found[last as usize].clone());
        }

        #[test]
        fn every_block_is_read_once_in_each_pass(
            lengths in corpus(),
            dupe_factor in 1..4_u64,
            num_shards in 1..9_u64,
            seed: u64,
        ) {
            let options = InstanceOptions { dupe_factor, random_seed: seed, ..InstanceOptions::default() };
            let directory = tempfile::tempdir().unwrap();
            write(directory.path(), &lengths, 40, 50);
            let store = BlockStore::with_blocks_of(directory.path(), 20).unwrap();
            let vocab = vocab();
            let plan = BlockedPlan::new(&store, &vocab, &options).unwrap();
            let all = plan.num_blocks();
            let shards = (0..num_shards).map(|it| it * all / num_shards..(it + 1) * all / num_shards);
            let mut read: Vec<_> = shards
                .flat_map(|range| plan.blocks_of(&range))
                .flat_map(|(pass, blocks)| blocks.into_iter().map(move |block| (pass, block)))
                .collect();
            read.sort_unstable();
            let wanted: Vec<_> =
                (0..dupe_factor).flat_map(|pass| (0..store.num_blocks()).map(move |block| (pass, block))).collect();
            prop_assert_eq!(read, wanted);
        }
    }

    #[test]
    fn random_documents_are_from_the_same_shard() {
        let options = InstanceOptions {
            random_next_sentence: true,
            max_seq_length: 16,
            max_predictions_per_seq: 5,
            ..InstanceOptions::default()
        };
        let lengths = vec![vec![4, 5, 6]; 12];
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), &lengths, 45, 50);
        let store = BlockStore::with_blocks_of(directory.path(), 30).unwrap();
        let vocab = vocab();
        let plan = BlockedPlan::new(&store, &vocab, &options).unwrap();
        let labels: Vec<_> = all(&plan, 3).into_iter().flatten().map(|instance| instance[1]).collect();
        assert!(labels.contains(&0) && labels.contains(&1), "{labels:?}");
        let Err(error) = plan.shard(0, plan.num_blocks()) else { return };
        assert_eq!(error.facts().option, Some("num_shards"));
    }

    #[test]
    fn damage_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), &vec![vec![4, 5, 6]; 4], 1000, 50);
        let store = || BlockStore::with_blocks_of(directory.path(), 20).unwrap();
        let part = directory.path().join("part-00000.tokens");
        let bytes = std::fs::read(&part).unwrap();
        let error = |store: &BlockStore| store.read(0).err().unwrap().to_string();
        assert_eq!(store().num_blocks(), 3);
        assert!(store().read(0).is_ok());
        // The first id, the first end of a sentence, the first end of a document.
        let document_ends = bytes.len() - 4 * 8;
        let mut sections = (128..document_ends).step_by(64);
        let sentence_ends = sections.find(|&at| bytes[at] == 4 && bytes[at + 8] == 9).unwrap();
        for (at, reason) in [(64, "vocabulary"), (sentence_ends, "sentences"), (document_ends, "documents")] {
            let mut damaged = bytes.clone();
            damaged[at..at + 2].copy_from_slice(&[0xFF, 0xFF]);
            std::fs::write(&part, damaged).unwrap();
            let error = error(&store());
            assert!(error.contains("part-00000.tokens") && error.contains(reason), "{error}");
        }
        std::fs::write(&part, &bytes[..bytes.len() - 1]).unwrap();
        assert!(error(&store()).contains("bytes"), "{}", error(&store()));
        std::fs::remove_file(&part).unwrap();
        assert!(error(&store()).contains("cannot read"), "{}", error(&store()));
    }
}
