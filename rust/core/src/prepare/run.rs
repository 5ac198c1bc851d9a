//! Runs prepare-text: waves of blocks are read, cleaned, deduplicated and written.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::sync::Arc;

use super::cards;
use super::clean::{Kept, Lines, why_dropped};
use super::dedup::{Dedup, Verdict};
use super::near::{Known, Near};
use super::notes::conclude;
use super::options::{CleanOptions, PrepareOptions, Reason};
use super::output::{Target, Writer};
use super::places::check_places;
use super::read::reader::RawReader;
use super::summary::{Counts, Summary, Written};
use super::work::{Gathered, Shared, Work, clean_all, is_held_out, sample};
use crate::{Error, Progress, Result};

/// Where to write, and whether to write at all.
#[derive(Debug, Clone)]
pub struct Outputs {
    /// The output for training.
    pub training: Target,
    /// The output for held-out documents, if any.
    pub held_out: Option<Target>,
    /// Whether to replace existing outputs.
    pub overwrite: bool,
    /// Whether to write nothing, and to collect samples of what would be dropped.
    pub dry_run: bool,
}

/// Reads `inputs` and writes their cleaned documents, one sentence per line and a blank line after each document.
///
/// What is written depends only on the inputs and the options. It does not depend on the number of threads, which are
/// those of the current rayon pool.
///
/// # Errors
/// If an input cannot be read, an option is outside its range, no document is left, or the disk is full. The outputs
/// are then unchanged.
pub fn prepare<S: AsRef<OsStr>>(
    inputs: &[S],
    outputs: &Outputs,
    options: &PrepareOptions,
    progress: &mut dyn Progress,
) -> Result<Summary> {
    options.check()?;
    // Check the outputs before the inputs.
    if !outputs.dry_run {
        targets(outputs).try_for_each(|target| target.check(outputs.overwrite))?;
    }
    let (files, skipped) = cards::expand(inputs, &options.read.text_field)?;
    check_places(inputs, &files, &outputs.training, outputs.held_out.as_ref())?;
    let samples = if outputs.dry_run { options.samples } else { 0 };
    let shared = Shared::new(&files, options, samples)?;
    let count = files.len() as u64;
    let mut reader = RawReader::new(files, Arc::new(options.read.clone()))?.stopping(progress.stop());
    let mut sink = Sink::open(outputs, options, samples)?;
    clean_all(&mut reader, &shared, progress, |work| sink.take(work)).map_err(|error| match error {
        Error::Interrupted(_) => interrupted(),
        error => error,
    })?;
    sink.gathered.counts.documents_cut += reader.splits();
    let mut summary = Summary {
        inputs: count,
        formats: reader.formats().iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
        bytes_read: reader.bytes_read(),
        notes: cards::note(&skipped).into_iter().collect(),
        warnings: reader.warnings().to_vec(),
        ..Summary::default()
    };
    sink.finish(&mut summary, outputs, options, progress)?;
    Ok(summary)
}

fn targets(outputs: &Outputs) -> impl Iterator<Item = &Target> {
    [Some(&outputs.training), outputs.held_out.as_ref()].into_iter().flatten()
}

fn interrupted() -> Error {
    Error::Interrupted("nothing was written; run the same command again to start over".into())
}

/// Receives cleaned documents in input order.
struct Sink {
    gathered: Gathered,
    dedup: Dedup,
    out: Out,
    samples: BTreeMap<Reason, Vec<String>>,
    max_samples: usize,
}

/// Writes the documents that are kept.
struct Out {
    clean: CleanOptions,
    eval_fraction: f64,
    /// Keeps the documents until their near-duplicates are known, if these are dropped.
    near: Option<Near>,
    /// `None` in a dry run.
    training: Option<Writer>,
    evaluation: Option<Writer>,
    for_training: Written,
    for_evaluation: Written,
}

impl Sink {
    fn open(outputs: &Outputs, options: &PrepareOptions, max_samples: usize) -> Result<Self> {
        let create =
            |target: &Target| (!outputs.dry_run).then(|| Writer::create(target.clone(), outputs.overwrite)).transpose();
        let training = create(&outputs.training)?;
        let evaluation = outputs.held_out.as_ref().map(create).transpose()?.flatten();
        let directory = training.as_ref().map_or_else(std::env::temp_dir, |writer| writer.directory().to_path_buf());
        let memory = options.dedup_memory << 20;
        let near = options.near.dedup_near.then(|| Near::open(&options.near, memory, &directory)).transpose()?;
        Ok(Self {
            gathered: Gathered::default(),
            dedup: Dedup::new(options.dedup_documents, options.dedup_lines, memory, &directory),
            out: Out {
                clean: options.clean.clone(),
                eval_fraction: options.eval_fraction,
                near,
                training,
                evaluation,
                for_training: Written::default(),
                for_evaluation: Written::default(),
            },
            samples: BTreeMap::new(),
            max_samples,
        })
    }

    fn take(&mut self, work: &mut Work) -> Result<()> {
        self.gathered.take(work);
        for (reason, text) in work.samples.drain(..) {
            add_sample(&mut self.samples, self.max_samples, reason, || text);
        }
        let lines = &work.lines;
        for kept in &lines.documents {
            let verdict =
                if self.dedup.is_off() { Verdict::New(Vec::new()) } else { self.dedup.decide(lines, kept)? };
            let found = match verdict {
                Verdict::Later => continue,
                Verdict::Duplicate => Found { lines, kept, duplicate: true, repeated: &[] },
                Verdict::New(ref repeated) => Found { lines, kept, duplicate: false, repeated },
            };
            self.out.put(&found, &mut self.gathered.counts, &mut self.samples, self.max_samples)?;
        }
        self.out.flush()
    }

    fn finish(
        mut self,
        summary: &mut Summary,
        outputs: &Outputs,
        options: &PrepareOptions,
        progress: &mut dyn Progress,
    ) -> Result<()> {
        summary.spilled = self.dedup.spilled();
        let (out, counts) = (&mut self.out, &mut self.gathered.counts);
        let (samples, max) = (&mut self.samples, self.max_samples);
        let done = self.dedup.finish(
            |it| {
                let kept = &it.lines.documents[0];
                out.put(
                    &Found { lines: it.lines, kept, duplicate: it.duplicate, repeated: it.repeated },
                    counts,
                    samples,
                    max,
                )?;
                out.flush_if_full()
            },
            |done, total| progress.report("dropping duplicates", "documents", done, total),
        )?;
        if !done {
            return Err(interrupted());
        }
        if let Some(near) = out.near.take() {
            let mut texts = HashMap::new();
            let put = |known: &Known<'_>| {
                if known.is_shown {
                    texts.insert(known.place, sample(known.text));
                }
                if known.is_dropped {
                    counts.reject(Reason::NearDuplicateDocuments);
                    add_sample(samples, max, Reason::NearDuplicateDocuments, || sample(known.text));
                } else {
                    let sentences = known.text.bytes().filter(|&byte| byte == b'\n').count() as u64;
                    out.write(known.hash, std::iter::once(known.text), sentences, known.text.len())?;
                }
                out.flush_if_full()
            };
            let found = near.finish(put, |stage, unit, done, total| progress.report(stage, unit, done, total));
            let found = found.map_err(|error| match error {
                Error::Interrupted(_) => interrupted(),
                error => error,
            })?;
            summary.near_clusters = Some(found.report(&texts));
        }
        summary.samples = self.samples;
        summary.kept = self.out.for_training;
        summary.held_out = self.out.for_evaluation;
        conclude(summary, self.gathered, &outputs.training, options, outputs.dry_run)?;
        for writer in [&mut self.out.training, &mut self.out.evaluation].into_iter().flatten() {
            writer.finish()?;
        }
        // Held-out documents come first: if the training output exists, both do.
        if let Some(writer) = self.out.evaluation {
            writer.commit()?;
            summary.eval_outputs = outputs.held_out.as_ref().map(Target::files).unwrap_or_default();
        }
        if let Some(writer) = self.out.training {
            writer.commit()?;
            summary.outputs = outputs.training.files();
        }
        Ok(())
    }
}

/// A document whose duplicates are known.
struct Found<'a> {
    lines: &'a Lines,
    kept: &'a Kept,
    duplicate: bool,
    repeated: &'a [usize],
}

impl Out {
    fn put(
        &mut self,
        found: &Found<'_>,
        counts: &mut Counts,
        samples: &mut BTreeMap<Reason, Vec<String>>,
        max: usize,
    ) -> Result<()> {
        let Found { lines, kept, duplicate, repeated } = *found;
        let range = kept.lines.clone();
        if duplicate {
            counts.reject(Reason::DuplicateDocuments);
            add_sample(samples, max, Reason::DuplicateDocuments, || sample(lines.text_of(range)));
            return Ok(());
        }
        if repeated.is_empty() {
            let text = lines.text_of(range.clone());
            return self.write(kept.hash, std::iter::once(text), range.len() as u64, text.len());
        }
        counts.duplicate_lines += repeated.len() as u64;
        let mut remaining = Vec::with_capacity(range.len() - repeated.len());
        let mut duplicates = repeated.iter().peekable();
        for (at, index) in range.enumerate() {
            let line = lines.line(index);
            if duplicates.next_if(|&&it| it == at).is_some() {
                add_sample(samples, max, Reason::DuplicateLines, || sample(line.trim_end()));
            } else {
                remaining.push(line);
            }
        }
        let text = remaining.concat();
        if let Some(reason) = why_dropped(&self.clean, remaining.len(), &text) {
            counts.reject(reason);
            add_sample(samples, max, reason, || sample(&text));
            return Ok(());
        }
        self.write(kept.hash, remaining.iter().copied(), remaining.len() as u64, text.len())
    }

    fn write<'a>(
        &mut self,
        hash: u128,
        lines: impl Iterator<Item = &'a str> + Clone,
        sentences: u64,
        bytes: usize,
    ) -> Result<()> {
        if let Some(near) = &mut self.near {
            return near.push(hash, lines);
        }
        let (writer, written) = if is_held_out(hash, self.eval_fraction) {
            (&mut self.evaluation, &mut self.for_evaluation)
        } else {
            (&mut self.training, &mut self.for_training)
        };
        written.documents += 1;
        written.sentences += sentences;
        written.bytes += bytes as u64 + 1;
        if let Some(writer) = writer {
            writer.push(lines);
        }
        Ok(())
    }

    fn flush_if_full(&mut self) -> Result<()> {
        let is_full = [&self.training, &self.evaluation].into_iter().flatten().any(Writer::is_full);
        if is_full { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        for writer in [&mut self.training, &mut self.evaluation].into_iter().flatten() {
            writer.flush(false)?;
        }
        Ok(())
    }
}

fn add_sample(samples: &mut BTreeMap<Reason, Vec<String>>, max: usize, reason: Reason, text: impl FnOnce() -> String) {
    if max > 0 {
        let known = samples.entry(reason).or_default();
        if known.len() < max {
            known.push(text());
        }
    }
}
