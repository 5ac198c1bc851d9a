//! The content of `dataset.json`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::header::Header;
use super::{Compression, Drawn, Origin};
use crate::instances::instance::Instance;

/// The file's name.
pub(super) const FILE: &str = "dataset.json";

/// A complete set of records: what it was made from and what it holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dataset {
    /// Always "albert-fast records".
    pub format: String,
    /// Changes whenever the same options and input would give other bytes.
    pub format_version: u32,
    /// The version of the crate that wrote the records.
    pub albert_fast_version: String,
    /// Every option that determines the bytes, named as in `InstanceOptions`, and `num_shards` and `compression`.
    pub options: Map<String, Value>,
    /// Everything else that determines the bytes: [`Origin::identity`].
    pub input: Map<String, Value>,
    /// The tokenizer.
    pub tokenizer: Value,
    /// What a mixture has of each store, in the order of the input; not there if there is no mixture.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drawn: Vec<Drawn>,
    /// Sums over the shards.
    pub totals: Totals,
    /// The files, in order.
    pub shards: Vec<Shard>,
}

/// One shard: a file and what it holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// The file's name.
    pub file: String,
    /// Number of records.
    pub records: u64,
    /// Size in bytes, as on disk.
    pub bytes: u64,
    /// XXH3-128 of those bytes, as `xxhsum -H2` prints it.
    pub xxh3_128: String,
    /// Number of tokens, including `[CLS]` and `[SEP]` but not padding.
    pub tokens: u64,
    /// Number of records with label 1: the second segment is random, or the two segments are swapped.
    pub swapped_or_random: u64,
    /// Number of masked tokens.
    pub masked_tokens: u64,
    /// Number of tokens that truncation dropped.
    pub truncated_tokens: u64,
    /// Number of documents that give no instance, if [`Origin::short_documents`] does not count them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub short_documents: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Sums over the shards, and the size of the corpus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Number of records.
    pub instances: u64,
    /// Number of tokens, including `[CLS]` and `[SEP]` but not padding.
    pub tokens: u64,
    /// The sentence-order labels.
    pub labels: Labels,
    /// Number of masked tokens.
    pub masked_tokens: u64,
    /// The fraction of the tokens that is masked.
    pub masked_share: f64,
    /// Number of tokens that truncation dropped.
    pub truncated_tokens: u64,
    /// Number of documents in the corpus.
    pub documents: u64,
    /// Number of documents in the corpus that are too short to give an instance.
    pub documents_too_short: u64,
    /// Number of passes over the corpus (`dupe_factor`).
    pub duplicates: u64,
    /// Bytes of all shards.
    pub bytes: u64,
}

/// Sentence-order labels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels {
    /// Number of instances with label 0.
    pub in_order: u64,
    /// Number of instances with label 1.
    pub swapped_or_random: u64,
}

impl Dataset {
    pub(super) fn new(header: &Header, origin: &Origin, shards: Vec<Shard>) -> Self {
        let sum = |field: fn(&Shard) -> u64| shards.iter().map(field).sum::<u64>();
        let (instances, swapped_or_random) = (sum(|shard| shard.records), sum(|shard| shard.swapped_or_random));
        let (tokens, masked_tokens) = (sum(|shard| shard.tokens), sum(|shard| shard.masked_tokens));
        let totals = Totals {
            instances,
            tokens,
            labels: Labels { in_order: instances - swapped_or_random, swapped_or_random },
            masked_tokens,
            masked_share: masked_tokens as f64 / tokens.max(1) as f64,
            truncated_tokens: sum(|shard| shard.truncated_tokens),
            documents: origin.documents,
            documents_too_short: origin.short_documents + sum(|shard| shard.short_documents),
            duplicates: header.dupe_factor(),
            bytes: sum(|shard| shard.bytes),
        };
        Self {
            format: header.format.clone(),
            format_version: header.format_version,
            albert_fast_version: env!("CARGO_PKG_VERSION").to_owned(),
            options: header.options.clone(),
            input: header.input.clone(),
            tokenizer: origin.tokenizer.clone(),
            drawn: origin.drawn.clone(),
            totals,
            shards,
        }
    }

    /// Returns everything that determined the bytes.
    pub(super) fn header(&self) -> Header {
        Header {
            format: self.format.clone(),
            format_version: self.format_version,
            options: self.options.clone(),
            input: self.input.clone(),
            instances: Some(self.totals.instances),
        }
    }
}

impl Shard {
    pub(super) fn count(&mut self, instance: &Instance) {
        self.records += 1;
        self.tokens += instance.tokens.len() as u64;
        self.swapped_or_random += u64::from(instance.is_random_next);
        self.masked_tokens += instance.masked_positions.len() as u64;
        self.truncated_tokens += instance.truncated;
    }

    /// Adds the counts of a part of the shard.
    pub(super) fn add(&mut self, part: &Self) {
        self.records += part.records;
        self.tokens += part.tokens;
        self.swapped_or_random += part.swapped_or_random;
        self.masked_tokens += part.masked_tokens;
        self.truncated_tokens += part.truncated_tokens;
        self.short_documents += part.short_documents;
    }
}

/// Returns the name of shard `index` of `count`.
pub(super) fn shard_name(index: u64, count: u64, compression: Compression) -> String {
    let end = match compression {
        Compression::None => "",
        Compression::Gzip => ".gz",
    };
    format!("records-{index:05}-of-{count:05}.tfrecord{end}")
}

/// Whether `name` is one that [`shard_name`] gives.
pub(super) fn is_shard_name(name: &str) -> bool {
    let number = |text: &str| text.len() >= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    name.strip_prefix("records-")
        .map(|name| name.strip_suffix(".gz").unwrap_or(name))
        .and_then(|name| name.strip_suffix(".tfrecord")?.split_once("-of-"))
        .is_some_and(|(index, count)| number(index) && number(count))
}
