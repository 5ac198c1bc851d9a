//! `make-records`: instances to `TFRecord` shards, in parallel, resumable, the same bytes whatever happens on the way.
//!
//! The output folder, in the end:
//!
//! | file | what |
//! |---|---|
//! | `records-00000-of-00004.tfrecord` ... | the shards; `.tfrecord.gz` where they are gzipped |
//! | `dataset.json` | [`Dataset`]: what they were made of, sizes, checksums, statistics; its presence says that all is there |
//!
//! While it is being made `make-records.partial.jsonl` stands in for `dataset.json`: a line of what decides the bytes,
//! then a line for each complete shard, synced. A run that finds it goes on at the first missing shard, where everything
//! that decides the bytes is as it was; where not, it refuses and says what differs. Nothing in these files depends on
//! the time, the machine or the number of threads.
//!
//! A gzipped shard is one gzip member (readers such as `TensorFlow` 1.15's stop after the first), though its parts are
//! compressed in parallel: each is a run of deflate blocks of its own that ends on a byte, as `pigz --independent` does it.

mod dataset;
mod gzip;
mod header;
mod journal;
mod pipeline;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::dataset::{Dataset, Labels, Shard, Totals};
use self::header::Header;
use self::journal::{Journal, is_ours};
use self::pipeline::Layout;
use crate::files::atomic;
use crate::files::lock::claim;
use crate::instances::instance::Instance;
use crate::instances::options::InstanceOptions;
use crate::{Error, Progress, Result};

/// Instances of a shard where [`RecordsOptions::num_shards`] is not given: about 250 MB of 512 tokens each.
const INSTANCES_PER_SHARD: u64 = 100_000;
/// More than file names of five digits can tell apart.
const MAX_SHARDS: u64 = 100_000;

/// Numbered instances, any of which can be made on its own: a plan, or a list.
pub trait InstanceSource: Sync {
    /// What a thread keeps from one instance to the next.
    type Scratch: Send;
    /// How many instances there are.
    fn len(&self) -> u64;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// A new scratch.
    fn scratch(&self) -> Self::Scratch;
    /// Makes instance `position` (below [`InstanceSource::len`]), masks included, in `instance`; a pure function of
    /// `position`.
    fn fill(&self, position: u64, scratch: &mut Self::Scratch, instance: &mut Instance);
    /// Gives back memory that reading has taken and can take again; called now and then, while others fill.
    fn release(&self) {}
}

/// How shards are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip, as `TFRecordDataset(compression_type="GZIP")` reads.
    Gzip,
}

/// How records are made and written.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordsOptions {
    /// What an instance is.
    pub instances: InstanceOptions,
    /// Number of files; by default one for every 100,000 instances or part of them.
    pub num_shards: Option<u64>,
    /// How the files are compressed.
    pub compression: Compression,
    /// Whether to remove the records that the folder holds and start afresh.
    pub overwrite: bool,
    /// How many units of work (about 256 KiB of records each) a thread takes at once, at least 1. The bytes written do
    /// not depend on it.
    pub units_per_block: usize,
}

impl Default for RecordsOptions {
    fn default() -> Self {
        Self {
            instances: InstanceOptions::default(),
            num_shards: None,
            compression: Compression::None,
            overwrite: false,
            units_per_block: 1,
        }
    }
}

/// What the records are made of.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Origin {
    /// Everything besides the options that decides the bytes, by name: digests of tokenizer and token store, text rules.
    /// A run that was stopped goes on only where all of it is the same.
    pub identity: Map<String, Value>,
    /// What `dataset.json` is to say of the tokenizer.
    pub tokenizer: Value,
    /// Documents of the corpus.
    pub documents: u64,
    /// Documents that are too short to give an instance.
    pub short_documents: u64,
}

/// What [`write_records`] has done.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// What `dataset.json` holds.
    pub dataset: Dataset,
    /// Whether all of it was there before.
    pub already_complete: bool,
    /// Shards that an earlier run had written.
    pub resumed_shards: usize,
}

/// What an output folder holds, as [`look`] finds it.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// Nothing that is in the way, or all of it is to be overwritten.
    Nothing,
    /// A run with these options that was stopped.
    Partial {
        /// Complete shards.
        complete: usize,
        /// All shards.
        shards: usize,
    },
    /// All of the records, with these options.
    Complete(Box<Dataset>),
}

/// Writes the instances of `source`, in order, to shards in `folder`, each a run of neighbours; sizes differ by 1 at most.
///
/// Runs on the current rayon pool and two threads of its own (writing, syncing), in less than 100 MB whatever the number
/// of instances. A folder that holds all of the records already is left as it is.
///
/// # Errors
///
/// [`Error::Option`] where the folder holds records of other options, or of unknown origin; [`Error::Input`] where there
/// are no instances; [`Error::Interrupted`] with what to do; [`Error::Io`] naming the file.
pub fn write_records<S: InstanceSource>(
    source: &S,
    folder: &Path,
    options: &RecordsOptions,
    origin: &Origin,
    progress: &mut dyn Progress,
) -> Result<Summary> {
    write(source, Layout::Runs, folder, options, origin, progress)
}

/// Writes `instances` as the reference does: instance i goes to file i mod `num_shards`. Otherwise as [`write_records`].
pub fn write_reference(
    instances: &[Instance],
    folder: &Path,
    options: &RecordsOptions,
    origin: &Origin,
    progress: &mut dyn Progress,
) -> Result<Summary> {
    write(&Listed(instances), Layout::Dealt, folder, options, origin, progress)
}

/// What `folder` holds of the records that these options and this identity would make, without changing anything: whether
/// the work before [`write_records`] is needed at all.
///
/// # Errors
///
/// Those of [`write_records`] that the folder itself is the reason for.
pub fn look(folder: &Path, options: &RecordsOptions, identity: &Map<String, Value>) -> Result<Found> {
    if options.overwrite {
        return Ok(Found::Nothing);
    }
    let header = Header::new(options, identity, None);
    let Some(found) = journal::find(folder, &header)? else { return Ok(Found::Nothing) };
    let complete = found.shards.iter().flatten().count();
    match found.dataset {
        Some(dataset) if complete == found.shards.len() => Ok(Found::Complete(Box::new(dataset))),
        _ => Ok(Found::Partial { complete, shards: found.shards.len() }),
    }
}

/// Removes what a run that was killed at its very end left in a folder of complete records.
///
/// # Errors
///
/// [`Error::Io`].
pub fn tidy(folder: &Path) -> Result<()> {
    Journal::remove(folder)?;
    atomic::remove_stale(folder, is_ours)
}

/// Where `max_predictions_per_seq` keeps full-length instances from having `masked_lm_prob` of their tokens masked: a
/// warning with the numbers.
pub fn masking_warning(options: &InstanceOptions) -> Option<String> {
    let (length, most) = (options.max_seq_length as f64, options.max_predictions_per_seq);
    let wanted = (length * options.masked_lm_prob).round_ties_even().max(1.0) as usize;
    (options.masked_lm_prob > 0.0 && wanted > most).then(|| {
        format!(
            "max_predictions_per_seq caps masking: {most} of {} tokens is {:.1} %, below masked_lm_prob ({} %); \
             {wanted} would not cap it",
            options.max_seq_length,
            100.0 * most as f64 / length,
            // Not 14.000000000000002.
            (options.masked_lm_prob * 1e8).round() / 1e6,
        )
    })
}

/// Instances in memory.
struct Listed<'a>(&'a [Instance]);

impl InstanceSource for Listed<'_> {
    type Scratch = ();

    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn scratch(&self) -> Self::Scratch {}

    fn fill(&self, position: u64, (): &mut Self::Scratch, instance: &mut Instance) {
        instance.clone_from(&self.0[position as usize]);
    }
}

fn write<S: InstanceSource>(
    source: &S,
    layout: Layout,
    folder: &Path,
    options: &RecordsOptions,
    origin: &Origin,
    progress: &mut dyn Progress,
) -> Result<Summary> {
    options.instances.validate()?;
    let instances = source.len();
    if instances == 0 {
        return Err(Error::Input(format!(
            "no instances: none of {} documents is long enough; the input must be one sentence a line, with a blank line \
             between documents",
            origin.documents
        )));
    }
    let num_shards = options.num_shards.unwrap_or_else(|| instances.div_ceil(INSTANCES_PER_SHARD).min(MAX_SHARDS));
    if !(1..=instances.min(MAX_SHARDS)).contains(&num_shards) {
        return Err(Error::Option(format!(
            "num_shards must be from 1 to {} (there are {instances} instances); it is {num_shards}",
            instances.min(MAX_SHARDS)
        )));
    }
    let options = RecordsOptions { num_shards: Some(num_shards), ..options.clone() };
    let header = Header::new(&options, &origin.identity, Some(instances));

    // The threads that write may outlive an error here, and what follows them must not meet a second run either.
    let lock = Arc::new(claim(folder)?);
    if options.overwrite {
        journal::clear(folder)?;
    }
    let found = journal::find(folder, &header)?;
    let (mut shards, dataset) = match found {
        Some(found) => (found.shards, found.dataset),
        None => (vec![None; num_shards as usize], None),
    };
    let resumed_shards = shards.iter().flatten().count();
    if let Some(dataset) = dataset.filter(|_| resumed_shards == shards.len()) {
        Journal::remove(folder)?;
        return Ok(Summary { dataset, already_complete: true, resumed_shards });
    }

    let journal = Journal::start(folder, &header, shards.iter().flatten(), Arc::clone(&lock))?;
    pipeline::run(source, layout, folder, &options, journal, &mut shards, progress)?;
    let dataset = Dataset::new(&header, origin, &options.instances, shards.into_iter().flatten().collect());
    atomic::write_json(folder.join(dataset::FILE), &dataset)?;
    Journal::remove(folder)?;
    Ok(Summary { dataset, already_complete: false, resumed_shards })
}
