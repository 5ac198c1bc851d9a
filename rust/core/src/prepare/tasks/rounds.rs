//! The work of each round, for any numbers of portions or partitions.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rayon::prelude::*;

use super::job::{HASHES, Job, Round, Sizes, TEXT};
use super::lists::{List, write_list};
use super::markers::{Cleaned, Finished, Found};
use super::near::{cluster, dropped, key_file, list, write_all_pairs};
use super::texts::{Shards, TextFile, read_documents};
use crate::files::inputs::InputFile;
use crate::files::portions::Portion;
use crate::prepare::hashes::{HashFile, Hashes, Place, damaged, repeats};
use crate::prepare::near::KeyFile;
use crate::prepare::options::PrepareOptions;
use crate::prepare::output::TextCompression;
use crate::prepare::read::reader::RawReader;
use crate::prepare::work::{Gathered, Shared, clean_all, sample};
use crate::{Error, Progress, Result};

/// The number of documents after which a task looks whether it must stop.
const TICK: u64 = 4096;

/// What the inputs are divided into, and how they are read.
pub(super) struct Inputs<'a> {
    pub files: &'a [InputFile],
    pub portions: &'a [Portion],
    /// The options of the command. Those of the job have defaults for what does not change the output.
    pub options: &'a PrepareOptions,
    /// Notes about all inputs.
    pub notes: Vec<String>,
}

/// Adds what was done before to what is reported.
struct From<'a> {
    progress: &'a mut dyn Progress,
    before: u64,
    total: u64,
}

impl Progress for From<'_> {
    fn report(&mut self, stage: &'static str, unit: &'static str, done: u64, _: u64) -> bool {
        self.progress.report(stage, unit, self.before + done, self.total)
    }

    fn stop(&self) -> Arc<AtomicBool> {
        self.progress.stop()
    }
}

fn stopped() -> Error {
    Error::Interrupted("what is done is kept: run the same command again to resume".into())
}

/// Does the things `numbers` of a round, ascending, and notes each.
///
/// # Errors
/// If an input or a file cannot be read or written; [`Error::Interrupted`].
pub(super) fn run(
    job: &Job,
    inputs: &Inputs<'_>,
    round: Round,
    numbers: &[u64],
    progress: &mut dyn Progress,
) -> Result<()> {
    if numbers.is_empty() {
        return Ok(());
    }
    let result = match round {
        Round::Compare => compare(job, inputs.options.dedup_memory << 20, numbers, progress),
        Round::Cluster => {
            let total = job.total(Round::Compare);
            cluster(job, |done| report(progress, "joining near-duplicates", "partitions", done, total))
        }
        Round::Write if job.rounds().len() > 1 => write(job, inputs.options.dedup_memory << 20, numbers, progress),
        Round::Clean | Round::Write => clean(job, inputs, round, numbers, progress),
    };
    result.map_err(|error| if matches!(error, Error::Interrupted(_)) { stopped() } else { error })
}

/// Reports how much is done, and whether the work must stop.
fn report(progress: &mut dyn Progress, stage: &'static str, unit: &'static str, done: u64, total: u64) -> Result<()> {
    if progress.report(stage, unit, done, total) { Ok(()) } else { Err(stopped()) }
}

/// Where cleaned documents are written.
enum Out {
    /// Kept until their duplicates are known.
    Kept(TextFile, HashFile, Option<Box<KeyFile>>),
    Written(Shards),
}

impl Out {
    fn push(&mut self, document: &str, hash: u128) -> Result<()> {
        match self {
            Self::Kept(text, hashes, keys) => {
                text.push(document)?;
                hashes.push(&[hash])?;
                keys.as_mut().map_or(Ok(()), |keys| keys.push(std::iter::once(document)))
            }
            Self::Written(shards) => shards.push(document, Some(hash)),
        }
    }
}

fn clean(job: &Job, inputs: &Inputs<'_>, round: Round, numbers: &[u64], progress: &mut dyn Progress) -> Result<()> {
    let files = |number: u64| &inputs.files[inputs.portions[number as usize].files.clone()];
    let portion = |number: u64| inputs.portions[number as usize].bytes.clone();
    let bytes = |number: u64| {
        let of_files = || files(number).iter().map(|file| file.bytes).sum::<u64>();
        portion(number).map_or_else(of_files, |bytes| bytes.end - bytes.start)
    };
    let total = numbers.iter().map(|&number| bytes(number)).sum();
    let mut progress = From { progress, before: 0, total };
    let mut shared = Shared::new(inputs.files, inputs.options, 0)?;
    let read = Arc::new(inputs.options.read.clone());
    for &number in numbers {
        let files = files(number);
        let portion = portion(number);
        let begins = portion.as_ref().is_none_or(|bytes| bytes.start == 0);
        shared.read_only(files, portion.as_ref().map(|_| begins));
        let is_part = inputs.portions.len() > 1;
        let reader = RawReader::new(files.to_vec(), Arc::clone(&read))?.of_part(is_part).of_portion(portion);
        let mut reader = reader.stopping(progress.stop());
        let mut out = match round {
            Round::Write => Out::Written(shards(job, number)?),
            _ => Out::Kept(
                TextFile::create(&job.path(round, number, TEXT), TextCompression::Zstd)?,
                HashFile::create(&job.path(round, number, HASHES))?,
                key_file(job, number)?.map(Box::new),
            ),
        };
        let mut gathered = Gathered::default();
        let cleaned = clean_all(&mut reader, &shared, &mut progress, |work| {
            gathered.take(work);
            let lines = &work.lines;
            lines.documents.iter().try_for_each(|kept| out.push(lines.text_of(kept.lines.clone()), kept.hash))
        });
        cleaned.map_err(|error| reader.with_line(error))?;
        let notes = if number == 0 { inputs.notes.clone() } else { Vec::new() };
        let found = Found::new(if begins { files.len() } else { 0 }, &reader, gathered, notes);
        match out {
            Out::Kept(text, hashes, keys) => {
                let text = text.commit()?;
                let (hashes_size, runs) = hashes.commit()?;
                let near = keys.map(|keys| keys.commit()).transpose()?;
                let documents = text.text.documents;
                job.mark(round, number, &Cleaned { found, documents, text_size: text.size, hashes_size, runs, near })?;
            }
            Out::Written(shards) => {
                let (shard, eval_shard) = shards.commit()?;
                let (duplicates, near_duplicates, shown) = (0, 0, Vec::new());
                let found = Some(found);
                job.mark(round, number, &Finished { shard, eval_shard, duplicates, near_duplicates, shown, found })?;
            }
        }
        progress.before += bytes(number);
    }
    Ok(())
}

/// Begins the files of a portion.
fn shards(job: &Job, number: u64) -> Result<Shards> {
    let create = |target: &crate::prepare::output::Target| TextFile::create(&target.file(number), target.compression());
    Ok(Shards {
        training: create(&job.training)?,
        held_out: job.held_out.as_ref().map(create).transpose()?,
        eval_fraction: job.options.eval_fraction,
    })
}

fn compare(job: &Job, memory: u64, numbers: &[u64], progress: &mut dyn Progress) -> Result<()> {
    let cleaned = job.markers::<Cleaned>(Round::Clean)?;
    let options = &job.options;
    let total = numbers.len() as u64;
    let ranges = || {
        let all = numbers.chunk_by(|one, next| one + 1 == *next);
        all.filter_map(|range| Some((range, *range.first()? as usize..*range.last()? as usize + 1)))
    };
    if options.near.dedup_near {
        let mut done = 0;
        for (_, partitions) in ranges() {
            write_all_pairs(job, &cleaned, partitions, memory, || {
                done += 1;
                report(progress, "finding near-duplicates", "partitions", done, total)
            })?;
        }
    }
    let mut done = 0;
    for (range, partitions) in ranges() {
        // The list says itself that it is done, and that so are the pairs.
        let write = |partition, list: &[Place]| write_list(&job.marker_path(Round::Compare, partition), list);
        if !options.dedup_documents {
            range.iter().try_for_each(|&partition| write(partition, &[]))?;
            continue;
        }
        let hashes = |(number, marker): (u64, &Cleaned)| {
            let path = job.path(Round::Clean, number, HASHES);
            Hashes { path, size: marker.hashes_size, runs: marker.runs.clone() }
        };
        let portions: Vec<_> = (0..).zip(&cleaned).map(hashes).collect();
        repeats(
            &portions,
            partitions,
            memory,
            |_, later| later,
            |partition, list| {
                write(partition as u64, &list)?;
                done += 1;
                report(progress, "finding duplicates", "partitions", done, total)
            },
        )?;
    }
    Ok(())
}

fn write(job: &Job, memory: u64, numbers: &[u64], progress: &mut dyn Progress) -> Result<()> {
    let paths: Vec<_> = (0..job.total(Round::Compare)).map(|number| job.marker_path(Round::Compare, number)).collect();
    let lists = paths.par_iter().map(|path| list(path)).collect::<Result<Vec<_>>>()?;
    let (near, shown) = match dropped(job)? {
        Some((list, found)) => (vec![list], found.shown()),
        None => (Vec::new(), HashSet::new()),
    };
    let total = numbers.len() as u64;
    // The lists are read once if the duplicates of these portions fit into memory.
    let bytes = lists.iter().chain(&near).map(List::bytes).sum::<u64>() / job.total(Round::Write).max(1) * total;
    let batches = bytes.div_ceil(memory.max(1)).max(1);
    let mut done = 0;
    for batch in numbers.chunks(total.div_ceil(batches) as usize) {
        let (mut duplicates, mut near) = (read_lists(&lists, batch)?, read_lists(&near, batch)?);
        for &number in batch {
            let dropped = [&mut duplicates, &mut near].map(|all| {
                let mut own = all.remove(&number).unwrap_or_default();
                own.sort_unstable();
                own
            });
            let may_continue = || progress.report("writing documents", "portions", done, total);
            write_portion(job, number, &dropped, &shown, may_continue)?;
            done += 1;
        }
    }
    progress.report("writing documents", "portions", done, total);
    Ok(())
}

/// Returns the duplicates in portions `numbers`, ascending, by portion.
fn read_lists(lists: &[List], numbers: &[u64]) -> Result<HashMap<u64, Vec<u32>>> {
    let mut found: HashMap<u64, Vec<u32>> = HashMap::new();
    let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else { return Ok(found) };
    // Only so many lists are in memory at a time.
    for lists in lists.chunks(rayon::current_num_threads()) {
        let read = |list: &List| list.read(&(*first..last + 1));
        for (portion, document) in lists.par_iter().map(read).collect::<Result<Vec<_>>>()?.into_iter().flatten() {
            found.entry(u64::from(portion)).or_default().push(document);
        }
    }
    Ok(found)
}

/// Writes the files of a portion without its exact duplicates and its near-duplicates, both ascending. Notes the beginnings
/// of the documents that are `shown`.
fn write_portion(
    job: &Job,
    number: u64,
    dropped: &[Vec<u32>; 2],
    shown: &HashSet<Place>,
    mut may_continue: impl FnMut() -> bool,
) -> Result<()> {
    let cleaned: Cleaned = job.marker(Round::Clean, number)?;
    let path = job.path(Round::Clean, number, TEXT);
    let mut shards = shards(job, number)?;
    let mut next = dropped.each_ref().map(|list| list.iter().peekable());
    let mut texts = Vec::new();
    let mut documents = 0;
    read_documents(&path, cleaned.text_size, &Arc::default(), |document| {
        if documents % TICK == 0 && !may_continue() {
            return Err(stopped());
        }
        let place = (number as u32, documents as u32);
        if shown.contains(&place) {
            texts.push((place, sample(document)));
        }
        let mut is_dropped = false;
        for next in &mut next {
            is_dropped |= next.next_if(|&&it| u64::from(it) == documents).is_some();
        }
        documents += 1;
        if is_dropped { Ok(()) } else { shards.push(document, None) }
    })?;
    if documents != cleaned.documents || next.iter_mut().any(|next| next.next().is_some()) {
        return Err(damaged(&path));
    }
    let (shard, eval_shard) = shards.commit()?;
    let [duplicates, near_duplicates] = dropped.each_ref().map(|list| list.len() as u64);
    job.mark(
        Round::Write,
        number,
        &Finished { shard, eval_shard, duplicates, near_duplicates, shown: texts, found: None },
    )
}

/// Returns those of `numbers` whose files are not there as they are noted.
pub(super) fn lost(job: &Job, numbers: impl Iterator<Item = u64>) -> Result<Vec<u64>> {
    let training = Sizes::of(job.training.path())?;
    let held_out = job.held_out.as_ref().map(|target| Sizes::of(target.path())).transpose()?;
    let mut lost = Vec::new();
    for number in numbers {
        let noted: Finished = job.marker(Round::Write, number)?;
        let eval = match (&held_out, &noted.eval_shard) {
            (Some(sizes), Some(shard)) => sizes.has(shard)?,
            (held_out, _) => held_out.is_none(),
        };
        if !eval || !training.has(&noted.shard)? {
            lost.push(number);
        }
    }
    Ok(lost)
}
