//! Makes records from a token store that is read block by block.

use std::path::Path;

use serde_json::{Map, Value};

use super::Job;
use crate::instances::blocks::{BlockedPlan, PlannedShard};
use crate::instances::instance::Instance;
use crate::instances::options::Shuffle;
use crate::instances::plan::Scratch;
use crate::records::write::{self, INSTANCES_PER_SHARD, Origin, RecordsOptions, ShardSource};
use crate::tokens::line_encoder::{check_tokenizer_of, store_digest};
use crate::tokens::store::BlockStore;
use crate::tokens::tokenize::Encode;
use crate::{Error, Progress, Result};

/// The most bytes of the store that a shard may take. They are in memory while the shard is made.
const MOST_BYTES: u64 = 192 << 20;

/// The shards of a plan that reads blocks.
pub(super) struct Blocked<'a> {
    plan: BlockedPlan<'a>,
    /// The bytes of the store, and its tokens.
    bytes: u64,
    tokens: u64,
    passes: u64,
    max_tokens: u64,
}

impl Blocked<'_> {
    /// The fewest shards whose blocks fit in memory.
    fn fewest_shards(&self) -> u64 {
        // Blocks that a shard has in several passes are in memory once.
        if self.bytes <= MOST_BYTES { 1 } else { self.bytes.saturating_mul(self.passes).div_ceil(MOST_BYTES) }
    }
}

impl ShardSource for Blocked<'_> {
    type Scratch = Scratch;
    type Shard = PlannedShard;
    const IS_LARGE: bool = true;

    fn total(&self) -> Option<u64> {
        None
    }

    fn default_shards(&self) -> u64 {
        let by_instances = self.tokens.saturating_mul(self.passes).div_ceil(INSTANCES_PER_SHARD * self.max_tokens);
        by_instances.max(self.fewest_shards())
    }

    fn most_shards(&self) -> (u64, String) {
        let blocks = self.plan.num_blocks();
        (blocks, format!("the token store has {blocks} blocks in all passes, and a shard has at least one"))
    }

    fn check(&self, num_shards: u64) -> Result<()> {
        let fewest = self.fewest_shards();
        if num_shards >= fewest {
            return Ok(());
        }
        let rule = format!("at least {fewest} with shuffle='blocks', because the blocks of a shard are in memory");
        Err(Error::rule("num_shards", rule, num_shards))
    }

    fn scratch(&self) -> Scratch {
        Scratch::default()
    }

    fn open(&self, shard: u64, num_shards: u64) -> Result<PlannedShard> {
        self.plan.shard(shard, num_shards)
    }

    fn len(&self, shard: &PlannedShard) -> u64 {
        shard.len()
    }

    fn short_documents(&self, shard: &PlannedShard) -> u64 {
        shard.short_documents()
    }

    fn fill(&self, shard: &PlannedShard, index: u64, scratch: &mut Scratch, instance: &mut Instance) -> Result<()> {
        self.plan.instance(shard, index, scratch, instance)
    }
}

impl Job<'_> {
    /// Whether the store is to be read block by block.
    pub(super) fn reads_blocks(&self) -> bool {
        self.options.records.instances.shuffle == Shuffle::Blocks
    }

    /// Opens the store in `directory`, and returns it with the identity of its records.
    pub(super) fn block_store(&self, directory: &Path) -> Result<(BlockStore, Map<String, Value>)> {
        let store = BlockStore::open(directory)?;
        check_tokenizer_of(directory, store.meta(), self.encoder.tokenizer)?;
        let identity = self.identity("token_store", store_digest(store.meta()).into());
        Ok((store, identity))
    }

    /// Plans the records of a store, and writes them with `write`.
    pub(super) fn write_blocks<T>(
        &mut self,
        store: &BlockStore,
        identity: Map<String, Value>,
        progress: &mut dyn Progress,
        write: impl FnOnce(&Blocked<'_>, &Path, &RecordsOptions, &Origin, &mut dyn Progress) -> Result<T>,
    ) -> Result<T> {
        let options = &self.options.records;
        let vocab = self.vocab.clone();
        let source = Blocked {
            plan: BlockedPlan::new(store, &vocab, &options.instances)?,
            bytes: store.meta().bytes,
            tokens: store.meta().tokens,
            passes: options.instances.dupe_factor,
            max_tokens: options.instances.max_tokens() as u64,
        };
        let origin = Origin {
            identity,
            tokenizer: self.encoder.description(),
            documents: store.meta().documents,
            short_documents: 0,
            drawn: Vec::new(),
        };
        let output = self.output;
        self.timed("records", |_| write(&source, output, options, &origin, progress))
    }

    /// Writes all records of a store.
    pub(super) fn write_all_blocks(
        &mut self,
        directory: &Path,
        identity: Option<Map<String, Value>>,
        progress: &mut dyn Progress,
    ) -> Result<(write::Summary, u64)> {
        let (store, of_store) = self.block_store(directory)?;
        let identity = identity.unwrap_or(of_store);
        let records = self.write_blocks(&store, identity, progress, |source, output, options, origin, progress| {
            write::write_shards(source, output, options, origin, progress)
        })?;
        Ok((records, store.meta().replaced))
    }
}
