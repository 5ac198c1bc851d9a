//! Writes instances to `TFRecord` shards for `make-records`: in parallel, resumable, and always with the same bytes.
//!
//! The finished output directory:
//!
//! | file | what |
//! |---|---|
//! | `records-00000-of-00004.tfrecord` ... | the shards; `.tfrecord.gz` if they are gzipped |
//! | `dataset.json` | [`Dataset`]: what they were made from, sizes, checksums, statistics; if it exists, the set is complete |
//!
//! Until the set is complete, `make-records.partial.jsonl` takes the place of `dataset.json`. Its first line holds all
//! that determines the bytes. A line for each complete shard follows, synced. A run that finds this file resumes at the
//! first missing shard if everything that determines the bytes is the same. Otherwise it refuses and says what differs.
//! Nothing in these files depends on the time, the machine, or the number of threads or tasks.
//!
//! Several tasks ([`write_task`]) can write to one directory, each some of the shards. Then each complete shard has a file
//! of its own in `make-records.partial/`, as in a bucket, where nothing can be appended to a file. The last task, or
//! [`finish`], writes `dataset.json`.
//!
//! A gzipped shard is one gzip member, because some readers, such as `TensorFlow` 1.15's, stop after the first. Its
//! units are still compressed in parallel: each becomes deflate blocks of its own that end on a byte boundary, as with
//! `pigz --independent`.

mod dataset;
mod finish;
mod gzip;
mod header;
mod journal;
mod markers;
mod pipeline;
mod shards;
mod task;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::dataset::{Dataset, Labels, Shard, Totals};
pub use self::finish::{Finished, finish};
use self::header::Header;
use self::journal::Journal;
use self::shards::Dealt;
pub use self::shards::{Consecutive, ShardSource};
pub(super) use self::task::refuse_overwrite;
pub use self::task::{TaskSummary, write_task};
use crate::files::atomic;
use crate::files::lock::claim;
use crate::instances::instance::Instance;
use crate::instances::options::InstanceOptions;
use crate::{Error, Progress, Result};

/// Instances per shard if [`RecordsOptions::num_shards`] is not given: about 250 MB at 512 tokens each.
pub(super) const INSTANCES_PER_SHARD: u64 = 100_000;
/// The most shards that file names of five digits can number.
const MAX_SHARDS: u64 = 100_000;

/// Numbered instances, each of which can be made independently: a plan or a list.
pub trait InstanceSource: Sync {
    /// What a thread keeps from one instance to the next.
    type Scratch: Send;
    /// The number of instances.
    fn len(&self) -> u64;
    /// Whether there are no instances.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Returns a new scratch.
    fn scratch(&self) -> Self::Scratch;
    /// Makes instance `position` (below [`InstanceSource::len`]) in `instance`, masks included. The result depends only
    /// on `position`.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Data`] if the source reads from files.
    fn fill(&self, position: u64, scratch: &mut Self::Scratch, instance: &mut Instance) -> Result<()>;
    /// Releases memory that reading took and can take again. Called from time to time, while other threads fill
    /// instances.
    fn release(&self) {}
}

/// How shards are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not compressed.
    #[default]
    None,
    /// Compressed with gzip, as `TFRecordDataset(compression_type="GZIP")` reads it.
    Gzip,
}

/// How records are made and written.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordsOptions {
    /// How an instance is made.
    pub instances: InstanceOptions,
    /// Number of files. By default, there is one for every 100,000 instances or part of that.
    pub num_shards: Option<u64>,
    /// How the files are compressed.
    pub compression: Compression,
    /// Whether to remove the records in the directory and start over.
    pub overwrite: bool,
    /// How many units of work (about 256 KiB of records each) a thread takes at once, at least 1. The written bytes do
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

/// What the records are made from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// Everything except the options that determines the bytes, by name: digests of tokenizer and token store, text
    /// rules. An interrupted run resumes only if all of it is the same. It is kept in the header.
    #[serde(skip)]
    pub identity: Map<String, Value>,
    /// The entry for the tokenizer in `dataset.json`.
    pub tokenizer: Value,
    /// Number of documents in the corpus.
    pub documents: u64,
    /// Number of documents that are too short to give an instance.
    pub short_documents: u64,
    /// What a mixture has of each store; empty if there is no mixture.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drawn: Vec<Drawn>,
}

/// What a mixture has of one token store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drawn {
    /// Number of instances.
    pub instances: u64,
    /// Number of passes over the store, of which the last may not be whole.
    pub passes: f64,
}

/// What [`write_records`] did.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The content of `dataset.json`.
    pub dataset: Dataset,
    /// Whether the set was already complete.
    pub already_complete: bool,
    /// Number of shards that an earlier run had written.
    pub resumed_shards: usize,
}

/// What an output directory holds, as returned by [`look`].
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// Nothing that prevents writing, or everything is to be overwritten.
    Nothing,
    /// An interrupted run with these options.
    Partial {
        /// Number of complete shards.
        complete: usize,
        /// Number of all shards.
        shards: usize,
    },
    /// The complete set, with these options.
    Complete(Box<Dataset>),
}

/// Writes the instances of `source`, in order, to shards in the directory `directory`. Each shard has consecutive
/// instances, and the sizes differ by at most 1.
///
/// Runs on the current rayon pool and two threads of its own (writing, syncing), in less than 100 MB whatever the
/// number of instances. A directory that is already complete is not changed.
///
/// # Errors
///
/// [`Error::Exists`] if the directory contains records with other options or of unknown origin; [`Error::Input`] if there
/// are no instances; [`Error::Interrupted`] with what to do; [`Error::Io`] naming the file.
pub fn write_records<S: InstanceSource>(
    source: &S,
    directory: &Path,
    options: &RecordsOptions,
    origin: &Origin,
    progress: &mut dyn Progress,
) -> Result<Summary> {
    write_shards(&Consecutive(source), directory, options, origin, progress)
}

/// Writes `instances` as the reference does: instance i goes to file i mod `num_shards`. Otherwise like
/// [`write_records`].
pub fn write_reference(
    instances: &[Instance],
    directory: &Path,
    options: &RecordsOptions,
    origin: &Origin,
    progress: &mut dyn Progress,
) -> Result<Summary> {
    write_shards(&Dealt(instances), directory, options, origin, progress)
}

/// Refuses, for a task, what [`look`] refuses.
pub(in crate::records) fn check_for_task(
    directory: &Path,
    options: &RecordsOptions,
    identity: &Map<String, Value>,
) -> Result<()> {
    let header = Header::new(options, identity, None);
    journal::find_as(directory, &header, None, crate::files::resume::Replace::Remove).map(drop)
}

/// Returns what `directory` holds of the records that these options and this identity would make. Changes nothing. It
/// tells whether the work before [`write_records`] is needed.
///
/// # Errors
///
/// Those of [`write_records`] that the content of the directory causes.
pub fn look(directory: &Path, options: &RecordsOptions, identity: &Map<String, Value>) -> Result<Found> {
    if options.overwrite {
        return Ok(Found::Nothing);
    }
    let header = Header::new(options, identity, None);
    let Some(found) = journal::find(directory, &header, None)? else { return Ok(Found::Nothing) };
    let complete = found.shards.iter().flatten().count();
    match found.dataset {
        Some(dataset) if complete == found.shards.len() => Ok(Found::Complete(Box::new(dataset))),
        _ => Ok(Found::Partial { complete, shards: found.shards.len() }),
    }
}

/// Removes what a run that was killed at its very end left in a directory of complete records.
///
/// # Errors
///
/// [`Error::Io`].
pub fn tidy(directory: &Path) -> Result<()> {
    journal::tidy(directory)
}

/// Returns a warning with the numbers if `max_predictions_per_seq` keeps full-length instances from having
/// `masked_lm_prob` of their tokens masked.
pub fn masking_warning(options: &InstanceOptions) -> Option<String> {
    let (length, most) = (options.max_seq_length as f64, options.max_predictions_per_seq);
    let wanted = (length * options.masked_lm_prob).round_ties_even().max(1.0) as usize;
    (options.masked_lm_prob > 0.0 && wanted > most).then(|| {
        format!(
            "only {:.1}% of a full instance will be masked, not {}%: pass max_predictions_per_seq={wanted}",
            100.0 * most as f64 / length,
            // Not 14.000000000000002.
            (options.masked_lm_prob * 1e8).round() / 1e6,
        )
    })
}

/// Writes the shards of `source` to the directory `directory`. Otherwise like [`write_records`].
///
/// # Errors
/// Those of [`write_records`] and of opening a shard.
pub fn write_shards<S: ShardSource>(
    source: &S,
    directory: &Path,
    options: &RecordsOptions,
    origin: &Origin,
    progress: &mut dyn Progress,
) -> Result<Summary> {
    let (options, header) = resolve(source, options, origin)?;

    // After an error here, the writing threads may still run. A second run must not meet them or the cleanup that
    // follows.
    let lock = Arc::new(claim(directory)?);
    if options.overwrite {
        journal::clear(directory)?;
    }
    let found = journal::find(directory, &header, None)?;
    let num_shards = header.num_shards().unwrap_or_default();
    let (mut shards, dataset) = match found {
        Some(found) => (found.shards, found.dataset),
        None => (vec![None; num_shards], None),
    };
    let resumed_shards = shards.iter().flatten().count();
    let is_known = dataset.is_some();
    if let Some(dataset) = dataset.filter(|_| resumed_shards == shards.len()) {
        Journal::remove(directory)?;
        return Ok(Summary { dataset, already_complete: true, resumed_shards });
    }

    let journal = Journal::start(directory, &header, shards.iter().flatten(), is_known, Arc::clone(&lock))?;
    let all = 0..num_shards as u64;
    pipeline::run(source, directory, &options, journal, all, &mut shards, progress)?;
    let dataset = Dataset::new(&header, origin, shards.into_iter().flatten().collect());
    if dataset.totals.instances == 0 {
        journal::clear(directory)?;
        return Err(no_instances(origin.documents));
    }
    atomic::write_json_first(directory.join(dataset::FILE), &dataset)?;
    Journal::remove(directory)?;
    Ok(Summary { dataset, already_complete: false, resumed_shards })
}

/// Checks the options for a source. Returns them with the number of shards, and all that determines the bytes.
fn resolve<S: ShardSource>(source: &S, options: &RecordsOptions, origin: &Origin) -> Result<(RecordsOptions, Header)> {
    options.instances.validate()?;
    let instances = source.total();
    if instances == Some(0) {
        return Err(no_instances(origin.documents));
    }
    let (most, why) = source.most_shards();
    let most = most.min(MAX_SHARDS);
    let num_shards = options.num_shards.unwrap_or_else(|| source.default_shards().clamp(1, most.max(1)));
    if !(1..=most).contains(&num_shards) {
        return Err(Error::rule("num_shards", format!("from 1 to {most}, because {why}"), num_shards));
    }
    source.check(num_shards)?;
    let options = RecordsOptions { num_shards: Some(num_shards), ..options.clone() };
    let header = Header::new(&options, &origin.identity, instances);
    Ok((options, header))
}

fn no_instances(documents: u64) -> Error {
    Error::input(format!(
        "no instances: none of {documents} documents is long enough; the input must have one sentence per line, with a \
         blank line between documents"
    ))
}
