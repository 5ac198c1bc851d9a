//! Reads inputs and cleans their documents on all threads, wave by wave.

use std::collections::BTreeMap;
use std::sync::Arc;

use rayon::prelude::*;
use regex::RegexSet;
use serde::{Deserialize, Serialize};

use super::clean::{Cleaner, Lines};
use super::keep_language::LanguageFilter;
use super::language::{self, LanguageRule, UNDETERMINED, Votes};
use super::look::Look;
use super::options::{PrepareOptions, Reason};
use super::quality::Judge;
use super::read::options::ReadOptions;
use super::read::parse::parse;
use super::read::raw::{BLOCK_BYTES, Document, RawBlock, RawKind, ReadCounts};
use super::read::reader::RawReader;
use super::summary::Counts;
use crate::files::inputs::InputFile;
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

/// Reads and cleans everything that `reader` has, and passes it to `take` in input order.
///
/// # Errors
/// The first error of an input or of `take`; [`Error::Interrupted`].
pub(super) fn clean_all(
    reader: &mut RawReader,
    shared: &Shared<'_>,
    progress: &mut dyn Progress,
    mut take: impl FnMut(&mut Work) -> Result<()> + Send,
) -> Result<()> {
    let blocks = (rayon::current_num_threads() * BLOCKS_A_THREAD).min(WAVE_BYTES / BLOCK_BYTES);
    let size = Size { items: blocks, bytes: blocks * BLOCK_BYTES };
    let mut language = shared.within.clone();
    let clean = |works: &mut [Work]| clean(works, shared, &mut language);
    let take = |work: &mut Work| match work.failed.take() {
        Some(error) => Err(error),
        None => take(work),
    };
    waves::run("preparing text", size, None, progress, reader, clean, take)
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
pub(super) struct Shared<'a> {
    options: &'a PrepareOptions,
    rule: LanguageRule,
    /// The language of inputs for which no other language can be determined.
    language: &'static str,
    patterns: Option<RegexSet>,
    /// The languages to keep, if not all.
    languages: Option<LanguageFilter>,
    /// The paths of the inputs of the reader.
    files: Vec<InputFile>,
    /// The language of the input that a reader begins within.
    within: InputLanguage,
    /// The language of the input whose beginning a reader reads, if it reads only a part of it.
    begun: Option<String>,
    /// The number of all inputs.
    inputs: usize,
    /// The number of samples to keep for each reason.
    samples: usize,
}

impl<'a> Shared<'a> {
    /// Examines the first of all inputs, `files`, if `options` ask for their language.
    ///
    /// # Errors
    /// [`Error::Rule`] if the language or a pattern is not valid.
    pub fn new(files: &[InputFile], options: &'a PrepareOptions, samples: usize) -> Result<Self> {
        let rule = LanguageRule::parse(&options.clean.language)?;
        let patterns = options.clean.patterns()?;
        let languages = options.filters.languages()?;
        let language = match rule {
            // The filter finds the language of each document.
            LanguageRule::EachInput if languages.is_none() => language_of_all(files, &options.read),
            _ => UNDETERMINED,
        };
        let (within, begun) = (InputLanguage::default(), None);
        Ok(Self {
            options,
            rule,
            language,
            patterns,
            languages,
            files: files.to_vec(),
            within,
            begun,
            inputs: files.len(),
            samples,
        })
    }

    /// Says that a reader will read only `files`, which are a part of all inputs. If it reads a part of a single one,
    /// `part` says whether that is its beginning.
    pub fn read_only(&mut self, files: &[InputFile], part: Option<bool>) {
        self.files = files.to_vec();
        (self.within, self.begun) = (InputLanguage::default(), None);
        let is_one = self.rule == LanguageRule::EachInput && self.languages.is_none();
        let (Some(begins), true) = (part, is_one) else { return };
        let code = language_of(files, &self.options.read).unwrap_or(self.language).to_owned();
        if begins {
            self.begun = Some(code);
        } else {
            self.within = InputLanguage { file: Some(0), code };
        }
    }
}

/// The language of the last input in the previous wave.
#[derive(Debug, Default, Clone)]
struct InputLanguage {
    file: Option<usize>,
    code: String,
}

/// A block and its results. Buffers are reused.
#[derive(Default)]
pub(super) struct Work {
    block: RawBlock,
    documents: Vec<Document>,
    /// The cleaned documents.
    pub lines: Lines,
    /// A guess from the block's first documents, if the input begins with this block.
    guess: Option<&'static str>,
    /// The language of the input.
    language: String,
    languages: BTreeMap<String, u64>,
    without_stop_words: BTreeMap<String, u64>,
    counts: Counts,
    look: Look,
    /// Whether this is the first block of the input.
    begins_input: bool,
    text_bytes: u64,
    /// Samples of what was dropped or changed.
    pub samples: Vec<(Reason, String)>,
    failed: Option<Error>,
}

/// Parses and cleans the blocks of a wave on all threads.
fn clean(works: &mut [Work], shared: &Shared<'_>, language: &mut InputLanguage) {
    let mut before = language.file;
    let begins: Vec<bool> = works.iter().map(|work| before.replace(work.block.file) != Some(work.block.file)).collect();
    works.par_iter_mut().zip(&begins).for_each(|(work, &begins)| work.parse(shared, begins));
    for (work, begins) in works.iter_mut().zip(begins) {
        if begins {
            let guess = || work.guess.unwrap_or(shared.language).to_owned();
            let code = shared.begun.clone().unwrap_or_else(guess);
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
        if begins_input && shared.rule == LanguageRule::EachInput && shared.languages.is_none() {
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
        let mut cleaner = Cleaner::new(&shared.options.clean, shared.patterns.as_ref(), hash_lines)
            .judging(Judge::new(shared.options.filters.rules()));
        let (samples, max) = (&mut self.samples, shared.samples);
        let mut removed = |reason: Reason, text: &str| {
            if max > 0 && samples.iter().filter(|(known, _)| *known == reason).count() < max {
                samples.push((reason, sample(text)));
            }
        };
        self.look.clear();
        if shared.rule == LanguageRule::EachInput && shared.languages.is_none() {
            self.look.languages(&self.documents, &self.language, self.begins_input, shared.inputs);
        }
        for document in std::mem::take(&mut self.documents) {
            if matches!(self.block.kind, RawKind::Text) {
                self.look.file(&document.text);
            }
            // An empty document is counted as such.
            let filter = shared.languages.as_ref().filter(|_| !document.text.trim().is_empty());
            let found = filter.map(|filter| filter.find(&document.text));
            let language = match (&shared.rule, &document.language, found) {
                (LanguageRule::Given(code), _, _) => code,
                (LanguageRule::EachInput, Some(stated), _) => stated,
                (_, _, Some(found)) => found.language,
                (LanguageRule::EachInput, None, None) => &self.language,
                (LanguageRule::EachDocument, _, None) => language::detect(&document.text),
            };
            self.text_bytes += document.text.len() as u64;
            match self.languages.get_mut(language) {
                Some(count) => *count += 1,
                None => drop(self.languages.insert(language.to_owned(), 1)),
            }
            if let Some(found) = found.filter(|found| !found.is_kept) {
                let is_unknown = found.language == UNDETERMINED;
                let reason = if is_unknown { Reason::UnknownLanguages } else { Reason::OtherLanguages };
                self.counts.reject(reason);
                removed(reason, &document.text);
                continue;
            }
            cleaner.clean(&document, language, &mut self.lines, &mut self.counts, &mut removed);
        }
        self.without_stop_words = cleaner.without_stop_words();
    }
}

/// What is known of inputs after their documents were cleaned.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Gathered {
    /// What each step dropped or changed.
    pub counts: Counts,
    /// The number of documents in each language.
    pub languages: BTreeMap<String, u64>,
    /// The number of documents in each language to which the rule about stop words was not applied.
    pub without_stop_words: BTreeMap<String, u64>,
    /// Signs of wrong options.
    pub look: Look,
    /// The number of documents before cleaning.
    pub documents_read: u64,
    /// The number of bytes of text before cleaning.
    pub text_bytes: u64,
}

impl Gathered {
    /// Adds what is known of a block.
    pub fn take(&mut self, work: &Work) {
        self.counts.add(&work.counts);
        self.look.add(&work.look);
        self.text_bytes += work.text_bytes;
        self.take_languages(&work.languages);
        add(&mut self.without_stop_words, &work.without_stop_words);
    }

    /// Adds what is known of other inputs.
    pub fn add(&mut self, other: &Self) {
        self.counts.add(&other.counts);
        self.look.add(&other.look);
        self.text_bytes += other.text_bytes;
        self.take_languages(&other.languages);
        add(&mut self.without_stop_words, &other.without_stop_words);
    }

    fn take_languages(&mut self, languages: &BTreeMap<String, u64>) {
        self.documents_read += languages.values().sum::<u64>();
        add(&mut self.languages, languages);
    }
}

fn add(counts: &mut BTreeMap<String, u64>, more: &BTreeMap<String, u64>) {
    for (language, count) in more {
        *counts.entry(language.clone()).or_default() += count;
    }
}

/// Adds the votes of documents whose language the input does not state. Returns `false` once no more are needed.
fn vote(documents: &[Document], votes: &mut Votes) -> bool {
    documents.iter().filter(|document| document.language.is_none()).all(|document| votes.add(&document.text))
}

/// Returns the guess that [`clean`] makes for the first of `files` when its first block is read.
fn language_of(files: &[InputFile], options: &ReadOptions) -> Option<&'static str> {
    let (mut block, mut documents, mut votes) = (RawBlock::default(), Vec::new(), Votes::default());
    // If the input cannot be read, the main pass reports it.
    let mut reader = RawReader::new(files.to_vec(), Arc::new(options.clone())).ok()?;
    reader.next_block(&mut block).ok()?;
    parse(&block, &files.first()?.path, options, &mut ReadCounts::default(), &mut documents).ok()?;
    vote(&documents, &mut votes);
    votes.result()
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

/// Whether a document is held out. Its hash serves as a random number from 0 to 1 that depends only on the text.
pub(super) fn is_held_out(hash: u128, fraction: f64) -> bool {
    ((hash >> 64) as u64 as f64) < fraction * 2_f64.powi(64)
}

/// Returns the beginning of a text, for a report.
pub(super) fn sample(text: &str) -> String {
    let end = text.floor_char_boundary(SAMPLE);
    let mut sample = text[..end].trim_end().to_owned();
    if end < text.len() {
        sample.push('…');
    }
    sample
}
