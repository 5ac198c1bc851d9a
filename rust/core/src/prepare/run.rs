//! Runs prepare-text: waves of blocks are read, cleaned, deduplicated and written.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use regex::RegexSet;

use super::cards;
use super::clean::{Cleaner, Kept, Lines, why_dropped};
use super::dedup::{Dedup, Verdict};
use super::language::{self, LanguageRule, UNDETERMINED, Votes};
use super::look::Look;
use super::notes::{none_held_out, nothing_left, warn};
use super::options::{CleanOptions, PrepareOptions, Reason};
use super::output::{Target, TextCompression, Writer};
use super::read::options::ReadOptions;
use super::read::parse::parse;
use super::read::raw::{BLOCK_BYTES, Document, RawBlock, RawKind, ReadCounts};
use super::read::reader::RawReader;
use super::summary::{Counts, Summary, Written};
use crate::files::inputs::{InputFile, canonical, refuse_output_in_input};
use crate::files::raw::size;
use crate::files::remote::is_remote;
use crate::waves::{self, Input, Size};
use crate::{Error, Progress, Result};

/// The number of blocks per thread in a wave.
const BLOCKS_A_THREAD: usize = 4;
/// The approximate maximum number of bytes of text in a wave.
const WAVE_BYTES: usize = 48 << 20;
/// The number of inputs that are examined for a common language.
const FIRST_INPUTS: usize = 64;
/// The length of a sample in a dry run, in bytes.
const SAMPLE: usize = 400;

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
    let rule = LanguageRule::parse(&options.clean.language)?;
    let patterns = options.clean.patterns()?;
    let (files, skipped) = cards::expand(inputs, &options.read.text_field)?;
    let targets = [Some(&outputs.training), outputs.held_out.as_ref()].into_iter().flatten();
    for target in targets {
        if !outputs.dry_run {
            target.check(outputs.overwrite)?;
        }
        refuse_output_in_input(inputs, target.path())?;
        let real = |path: &Path| if is_remote(path) { Some(path.to_path_buf()) } else { path.canonicalize().ok() };
        let written = real(target.path());
        if let Some(file) = files.iter().find(|file| written.is_some() && real(&file.path) == written) {
            return Err(Error::conflict_at(
                "output",
                &file.path,
                "this is both an input and an output; pass another output",
            ));
        }
    }
    if let Some(held_out) = &outputs.held_out {
        // Links and `..` may lead to the same place.
        let real = |target: &Target| {
            let absolute = std::path::absolute(target.path()).unwrap_or_else(|_| target.path().into());
            canonical(&absolute).unwrap_or(absolute)
        };
        let (training, held_out) = (real(&outputs.training), real(held_out));
        if training.starts_with(&held_out) || held_out.starts_with(&training) {
            return Err(Error::conflict_at(
                "eval_output",
                &held_out,
                format!(
                    "the output for held-out documents must be separate from that for training, {}; pass another \
                     `eval_output`",
                    training.display()
                ),
            ));
        }
    }
    let language = match rule {
        LanguageRule::EachInput => language_of_all(&files, &options.read),
        _ => UNDETERMINED,
    };
    let shared = Shared {
        options,
        rule,
        language,
        patterns,
        files: files.clone(),
        samples: if outputs.dry_run { options.samples } else { 0 },
    };
    let mut reader = RawReader::new(files, Arc::new(options.read.clone()))?.stopping(progress.stop());
    let mut sink = Sink::open(outputs, options, shared.samples)?;
    pipeline(&mut reader, &mut sink, &shared, progress).map_err(|error| match error {
        Error::Interrupted(_) => interrupted(),
        error => error,
    })?;
    sink.counts.documents_cut += reader.splits();
    let mut summary = Summary {
        inputs: shared.files.len() as u64,
        formats: reader.formats().clone(),
        bytes_read: reader.bytes_read(),
        notes: cards::note(&skipped).into_iter().collect(),
        warnings: reader.warnings().to_vec(),
        ..Summary::default()
    };
    sink.finish(&mut summary, outputs, options, progress)?;
    Ok(summary)
}

fn interrupted() -> Error {
    Error::Interrupted("nothing was written; run the same command again to start over".into())
}

fn pipeline(reader: &mut RawReader, sink: &mut Sink, shared: &Shared<'_>, progress: &mut dyn Progress) -> Result<()> {
    let blocks = (rayon::current_num_threads() * BLOCKS_A_THREAD).min(WAVE_BYTES / BLOCK_BYTES);
    let size = Size { items: blocks, bytes: blocks * BLOCK_BYTES };
    let mut language = InputLanguage::default();
    let clean = |works: &mut [Work]| clean(works, shared, &mut language);
    waves::run("preparing text", size, None, progress, reader, clean, |work| sink.take(work))
}

impl Input<Work> for RawReader {
    fn read(&mut self, work: &mut Work) -> Result<Option<usize>> {
        Ok(self.next_block(&mut work.block)?.then_some(work.block.data.len()))
    }

    fn bytes_read(&self) -> u64 {
        self.bytes_read()
    }

    fn bytes_total(&self) -> u64 {
        self.total_bytes()
    }
}

/// State that the threads share.
struct Shared<'a> {
    options: &'a PrepareOptions,
    rule: LanguageRule,
    /// The language of inputs for which no other language can be determined.
    language: &'static str,
    patterns: Option<RegexSet>,
    files: Vec<InputFile>,
    /// The number of samples to keep for each reason.
    samples: usize,
}

/// The language of the last input in the previous wave.
#[derive(Debug, Default)]
struct InputLanguage {
    file: Option<usize>,
    code: String,
}

/// A block and its results. Buffers are reused.
#[derive(Default)]
struct Work {
    block: RawBlock,
    documents: Vec<Document>,
    lines: Lines,
    /// A guess from the block's first documents, if the input begins with this block.
    guess: Option<&'static str>,
    /// The language of the input.
    language: String,
    languages: BTreeMap<String, u64>,
    counts: Counts,
    look: Look,
    /// Whether this is the first block of the input.
    begins_input: bool,
    text_bytes: u64,
    samples: Vec<(Reason, String)>,
    failed: Option<Error>,
}

/// Parses and cleans the blocks of a wave on all threads.
fn clean(works: &mut [Work], shared: &Shared<'_>, language: &mut InputLanguage) {
    let mut before = language.file;
    let begins: Vec<bool> = works.iter().map(|work| before.replace(work.block.file) != Some(work.block.file)).collect();
    works.par_iter_mut().zip(&begins).for_each(|(work, &begins)| work.parse(shared, begins));
    for (work, begins) in works.iter_mut().zip(begins) {
        if begins {
            let code = work.guess.unwrap_or(shared.language).to_owned();
            *language = InputLanguage { file: Some(work.block.file), code };
        }
        work.language.clone_from(&language.code);
    }
    works.par_iter_mut().for_each(|work| work.clean(shared));
}

/// The usual size of a block's lines in bytes. Memory beyond it, which one long document needed, is freed.
const USUAL: usize = 4 * BLOCK_BYTES;

impl Work {
    fn parse(&mut self, shared: &Shared<'_>, begins_input: bool) {
        self.documents.clear();
        self.counts = Counts::default();
        let mut read = ReadCounts::default();
        let path = &shared.files[self.block.file].path;
        self.failed = parse(&self.block, path, &shared.options.read, &mut read, &mut self.documents).err();
        self.counts.replaced = read.replaced;
        self.counts.bad_records = read.bad_records;
        self.counts.redirects = read.redirects;
        self.counts.other_pages = read.other_pages;
        self.counts.other_records = read.other_records;
        self.guess = None;
        self.begins_input = begins_input;
        if begins_input && shared.rule == LanguageRule::EachInput {
            let mut votes = Votes::default();
            vote(&self.documents, &mut votes);
            self.guess = votes.result();
        }
        // A long document may have made this buffer very large.
        self.block.data = Vec::new();
    }

    fn clean(&mut self, shared: &Shared<'_>) {
        self.lines.clear();
        self.lines.shrink_to(USUAL);
        self.languages.clear();
        self.samples.clear();
        self.text_bytes = 0;
        let hash_lines = shared.options.dedup_lines;
        let mut cleaner = Cleaner::new(&shared.options.clean, shared.patterns.as_ref(), hash_lines);
        let (samples, max) = (&mut self.samples, shared.samples);
        let mut removed = |reason: Reason, text: &str| {
            if max > 0 && samples.iter().filter(|(known, _)| *known == reason).count() < max {
                samples.push((reason, sample(text)));
            }
        };
        self.look.clear();
        if shared.rule == LanguageRule::EachInput {
            self.look.languages(&self.documents, &self.language, self.begins_input, shared.files.len());
        }
        for document in std::mem::take(&mut self.documents) {
            if matches!(self.block.kind, RawKind::Text) {
                self.look.file(&document.text);
            }
            let language = match (&shared.rule, &document.language) {
                (LanguageRule::Given(code), _) => code,
                (LanguageRule::EachInput, Some(stated)) => stated,
                (LanguageRule::EachInput, None) => &self.language,
                (LanguageRule::EachDocument, _) => language::detect(&document.text),
            };
            self.text_bytes += document.text.len() as u64;
            match self.languages.get_mut(language) {
                Some(count) => *count += 1,
                None => drop(self.languages.insert(language.to_owned(), 1)),
            }
            cleaner.clean(&document, language, &mut self.lines, &mut self.counts, &mut removed);
        }
    }
}

/// Adds the votes of documents whose language the input does not state. Returns `false` once no more are needed.
fn vote(documents: &[Document], votes: &mut Votes) -> bool {
    documents.iter().filter(|document| document.language.is_none()).all(|document| votes.add(&document.text))
}

/// Returns the common language of the first inputs. It is used for inputs with too little text to recognize their
/// language.
fn language_of_all(files: &[InputFile], options: &ReadOptions) -> &'static str {
    let files: Vec<_> = files.iter().filter(|file| file.is_seekable()).take(FIRST_INPUTS).cloned().collect();
    let mut votes = Votes::default();
    let look = || -> Result<()> {
        let paths: Vec<_> = files.iter().map(|file| file.path.clone()).collect();
        let mut reader = RawReader::new(files, Arc::new(options.clone()))?;
        let (mut block, mut documents) = (RawBlock::default(), Vec::new());
        for _ in 0..FIRST_INPUTS {
            documents.clear();
            if !reader.next_block(&mut block)? {
                break;
            }
            parse(&block, &paths[block.file], options, &mut ReadCounts::default(), &mut documents)?;
            let all_stated = documents.iter().all(|document| document.language.is_some());
            if (all_stated && !documents.is_empty()) || !vote(&documents, &mut votes) {
                break;
            }
        }
        Ok(())
    };
    // If an input cannot be read, the main pass reports it.
    let _ = look();
    votes.result().unwrap_or(UNDETERMINED)
}

fn sample(text: &str) -> String {
    let end = text.floor_char_boundary(SAMPLE);
    let mut sample = text[..end].trim_end().to_owned();
    if end < text.len() {
        sample.push('…');
    }
    sample
}

/// Receives cleaned documents in input order.
struct Sink {
    counts: Counts,
    dedup: Dedup,
    out: Out,
    languages: BTreeMap<String, u64>,
    look: Look,
    documents_read: u64,
    text_bytes: u64,
    samples: BTreeMap<Reason, Vec<String>>,
    max_samples: usize,
}

/// Writes the documents that are kept.
struct Out {
    clean: CleanOptions,
    eval_fraction: f64,
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
        Ok(Self {
            counts: Counts::default(),
            dedup: Dedup::new(options.dedup_documents, options.dedup_lines, options.dedup_memory << 20, &directory),
            out: Out {
                clean: options.clean.clone(),
                eval_fraction: options.eval_fraction,
                training,
                evaluation,
                for_training: Written::default(),
                for_evaluation: Written::default(),
            },
            languages: BTreeMap::new(),
            look: Look::default(),
            documents_read: 0,
            text_bytes: 0,
            samples: BTreeMap::new(),
            max_samples,
        })
    }

    fn take(&mut self, work: &mut Work) -> Result<()> {
        if let Some(error) = work.failed.take() {
            return Err(error);
        }
        self.counts.add(&work.counts);
        self.look.add(&work.look);
        self.text_bytes += work.text_bytes;
        for (language, count) in &work.languages {
            *self.languages.entry(language.clone()).or_default() += count;
            self.documents_read += count;
        }
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
            self.out.put(&found, &mut self.counts, &mut self.samples, self.max_samples);
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
        let (out, counts, samples, max) = (&mut self.out, &mut self.counts, &mut self.samples, self.max_samples);
        let mut count = 0_u64;
        let done = self.dedup.finish(
            |it| {
                let kept = &it.lines.documents[0];
                out.put(
                    &Found { lines: it.lines, kept, duplicate: it.duplicate, repeated: it.repeated },
                    counts,
                    samples,
                    max,
                );
                count += 1;
                if count.is_multiple_of(1024) { out.flush() } else { Ok(()) }
            },
            |done, total| progress.report("dropping duplicates", "documents", done, total),
        )?;
        if !done {
            return Err(interrupted());
        }
        summary.documents_read = self.documents_read;
        summary.text_bytes = self.text_bytes;
        summary.languages = self.languages;
        summary.counts = self.counts;
        summary.samples = self.samples;
        summary.kept = self.out.for_training;
        summary.held_out = self.out.for_evaluation;
        match nothing_left(summary, options) {
            // A dry run is for the counts and samples, so it must not fail.
            Some(why) if outputs.dry_run => summary.warnings.push(why),
            Some(why) => return Err(Error::input(why)),
            None => {}
        }
        warn(summary, &self.look, options);
        if let Some(why) = none_held_out(summary, &self.look, options) {
            if !outputs.dry_run {
                return Err(Error::input(why));
            }
            summary.warnings.push(why);
        }
        let stale = outputs.training.held_out(None, TextCompression::Auto);
        let is_stale = || stale.path().exists() || size(stale.path()).is_ok_and(|it| it.is_some());
        if outputs.held_out.is_none() && is_stale() {
            summary.warnings.push(format!(
                "{} is from an earlier command; its documents may now be in the training text: remove it",
                stale.path().display()
            ));
        }
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
    fn put(&mut self, found: &Found<'_>, counts: &mut Counts, samples: &mut BTreeMap<Reason, Vec<String>>, max: usize) {
        let Found { lines, kept, duplicate, repeated } = *found;
        let range = kept.lines.clone();
        if duplicate {
            counts.reject(Reason::DuplicateDocuments);
            add_sample(samples, max, Reason::DuplicateDocuments, || sample(lines.text_of(range)));
            return;
        }
        if repeated.is_empty() {
            let text = lines.text_of(range.clone());
            self.write(kept.hash, std::iter::once(text), range.len() as u64, text.len());
            return;
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
            return;
        }
        self.write(kept.hash, remaining.iter().copied(), remaining.len() as u64, text.len());
    }

    fn write<'a>(&mut self, hash: u128, lines: impl Iterator<Item = &'a str>, sentences: u64, bytes: usize) {
        // The hash serves as a random number from 0 to 1 that depends only on the text.
        let is_held_out = ((hash >> 64) as u64 as f64) < self.eval_fraction * 2_f64.powi(64);
        let (writer, written) = if is_held_out {
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
