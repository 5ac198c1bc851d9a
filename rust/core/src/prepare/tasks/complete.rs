//! Completes a corpus that tasks have written, and says what is missing.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::header::{Header, Manifest, Shard};
use super::job::{Job, Round, Sizes, State};
use super::markers::{Cleaned, Finished};
use super::near;
use super::rounds::lost;
use crate::files::atomic;
use crate::files::lock::lock;
use crate::prepare::notes::conclude;
use crate::prepare::output::{MANIFEST, PARTIAL, Target};
use crate::prepare::read::options::ReadOptions;
use crate::prepare::summary::Summary;
use crate::prepare::work::Gathered;
use crate::tasks::{Share, list, unfinished};
use crate::{Error, Result};

/// Formats without fields.
const WITHOUT_FIELDS: [&str; 4] = ["text", "wikiextractor", "mediawiki", "wet"];

/// A complete corpus.
#[derive(Debug, Clone, PartialEq)]
pub struct CompleteCorpus {
    /// The counts, as [`Summary`] serializes them.
    pub summary: Map<String, Value>,
    /// Whether the corpus was already complete.
    pub already_complete: bool,
}

impl CompleteCorpus {
    /// Describes the corpus of `manifest`, with the paths of its files.
    pub(super) fn new(job: &Job, manifest: Manifest, already_complete: bool) -> Self {
        let paths = |shards: &[Shard], directory: Option<&Path>| -> Vec<String> {
            let path = |shard: &Shard| directory.map(|it| it.join(&shard.file).to_string_lossy().into_owned());
            shards.iter().filter_map(path).collect()
        };
        let mut summary = manifest.summary;
        summary.insert("outputs".into(), json!(paths(&manifest.shards, Some(job.directory()))));
        let held_out = job.held_out.as_ref().map(Target::path);
        summary.insert("eval_outputs".into(), json!(paths(&manifest.eval_shards, held_out)));
        Self { summary, already_complete }
    }
}

/// Describes a corpus of which nothing is missing, and publishes the description. Removes what is not needed any more.
///
/// # Errors
/// [`Error::Input`] if no document is left, or none is held out; [`Error::Exists`] if there is another description.
pub(super) fn complete(job: &Job) -> Result<Manifest> {
    let (mut summary, mut gathered) = (Summary::default(), Gathered::default());
    if job.rounds().len() > 1 {
        for marker in job.markers::<Cleaned>(Round::Clean)? {
            marker.found.add_to(&mut summary, &mut gathered);
        }
    }
    let (mut shards, mut eval_shards) = (Vec::new(), Vec::new());
    let finished = job.markers::<Finished>(Round::Write)?;
    summary.near_clusters = near::report(job, &finished)?;
    for marker in finished {
        if let Some(found) = marker.found {
            found.add_to(&mut summary, &mut gathered);
        }
        gathered.counts.duplicate_documents += marker.duplicates;
        gathered.counts.near_duplicate_documents += marker.near_duplicates;
        summary.kept.add(&marker.shard.text);
        shards.push(marker.shard);
        if let Some(shard) = marker.eval_shard {
            summary.held_out.add(&shard.text);
            eval_shards.push(shard);
        }
    }
    let field = &job.options.read.text_field;
    let has_fields = |name: &String| !WITHOUT_FIELDS.contains(&name.as_str());
    if *field != ReadOptions::default().text_field && !summary.formats.keys().any(has_fields) {
        summary.warnings.push("`text_field` has no effect, because no input has fields".into());
    }
    conclude(&mut summary, gathered, &job.training, &job.options, false)?;
    let mut summary = match json!(summary) {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    // They depend on where the command runs.
    summary.retain(|name, _| !["outputs", "eval_outputs"].contains(&name.as_str()));
    let manifest = Manifest {
        header: job.header.clone(),
        albert_fast_version: env!("CARGO_PKG_VERSION").into(),
        shards,
        eval_shards,
        summary,
    };
    if !atomic::write_json_new(&job.directory().join(MANIFEST), &manifest)? {
        let is_same = matches!(State::read(job.directory())?, State::Complete(there) if there.is_same(&manifest));
        if !is_same {
            let reason = "another command writes a corpus here; pass another `output`";
            return Err(Error::exists(job.directory(), reason));
        }
    }
    job.tidy()?;
    Ok(manifest)
}

/// Refuses a complete corpus that has lost files. `advice` says how to make it again.
pub(super) fn check_all(job: &Job, manifest: &Manifest, advice: &str) -> Result<()> {
    let held_out = job.held_out.as_ref().map(Target::path);
    for (shards, directory) in [(&manifest.shards, Some(job.directory())), (&manifest.eval_shards, held_out)] {
        let Some(directory) = directory else { continue };
        let sizes = Sizes::of(directory)?;
        let mut lost = Vec::new();
        for (number, shard) in (0..).zip(shards) {
            if !sizes.has(shard)? {
                lost.push(number);
            }
        }
        if !lost.is_empty() {
            let lost = list("shard", &lost, shards.len() as u64);
            let reason = format!("the corpus was complete, but {lost} missing or changed since; {advice}");
            return Err(Error::data(directory, reason));
        }
    }
    Ok(())
}

/// Checks that everything is there that tasks were to write to `directory`, and completes the corpus. Returns `None` if the
/// directory holds no corpus of tasks, complete or not.
///
/// With `num_tasks`, the error about what is missing says which tasks to run again.
///
/// # Errors
/// [`Error::Data`] if something is missing; [`Error::Rule`] if `num_tasks` is out of its range; [`Error::Input`] if no
/// document is left, or none is held out; [`Error::Io`].
pub fn finish(directory: &Path, num_tasks: Option<u64>) -> Result<Option<CompleteCorpus>> {
    num_tasks.map(|count| Share::new(0, count)).transpose()?;
    if !has_corpus(directory)? {
        return Ok(None);
    }
    // Tasks do not lock the directory. A command without tasks does, and completes its corpus by itself.
    let _lock = lock(directory)?;
    let header = match State::read(directory)? {
        State::Nothing => return Ok(None),
        State::Partial(header) => header,
        State::Complete(manifest) => {
            let job = Job::new(directory, manifest.header.clone())?;
            check_all(&job, &manifest, "remove the output, and run prepare-text again")?;
            job.tidy()?;
            return Ok(Some(CompleteCorpus::new(&job, *manifest, true)));
        }
    };
    let job = Job::new(directory, header)?;
    for (number, &round) in (1..).zip(job.rounds()) {
        let missing = missing(&job, round)?;
        if !missing.is_empty() {
            let place = (number, job.rounds().len());
            return Err(unfinished(directory, round.thing(), &missing, job.total(round), num_tasks, place));
        }
    }
    Ok(Some(CompleteCorpus::new(&job, complete(&job)?, false)))
}

/// Whether `directory` holds a corpus of tasks, complete or not. The file of an interrupted output of another kind does not
/// count.
fn has_corpus(directory: &Path) -> Result<bool> {
    if crate::files::raw::size_optional(&directory.join(MANIFEST))?.is_some() {
        return Ok(true);
    }
    let text = crate::files::raw::read_optional(&directory.join(PARTIAL))?;
    Ok(text.is_some_and(|text| serde_json::from_slice::<Header>(&text).is_ok()))
}

/// Returns what is missing of a round: what is not noted, and what is noted and not there any more.
pub(super) fn missing(job: &Job, round: Round) -> Result<Vec<u64>> {
    let done = job.done(round)?;
    let mut missing: Vec<_> = (0..).zip(&done).filter(|(_, done)| !**done).map(|(number, _)| number).collect();
    if missing.is_empty() && round == Round::Write {
        missing = lost(job, 0..job.total(round))?;
    }
    Ok(missing)
}
