//! Tokenizes a corpus, into a token store (in parallel and resumable) or into memory.

mod finish;
mod journal;
mod markers;
mod sinks;
mod task;
mod wave;

#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use super::corpus::PORTION_BYTES;
use super::corpus::portions::{PortionReader, Portions, Wanted};
use super::corpus::{BLOCK_BYTES, BlockReader, Corpus, MAX_LINE, check_all, expand_corpus};
use super::documents::{Documents, MemoryDocuments};
use super::store::{self, StoreMeta, StoreWriter, TokenStore, TokenizerInfo};
use crate::error::counted;
use crate::files::inputs::{InputFile, InputRecord, OnBadUtf8, refuse_output_in_input};
use crate::files::lock::claim;
use crate::files::remote::{is_remote, public};
use crate::files::resume::Replace;
use crate::files::{atomic, scratch};
use crate::{Error, Progress, Result};
pub use finish::{Finished, finish};
pub use task::{TaskSummary, tokenize_task};

use journal::Journal;
use markers::Begun;
use sinks::{MemorySink, StoreSink};
use task::Task;
use wave::Blocks;

/// A tokenizer as the pipeline needs it.
pub trait Encode: Sync {
    /// What a thread keeps from one line to the next: caches and scratch. It never affects the ids.
    type State: Send;

    /// Returns a new state.
    fn state(&self) -> Self::State;

    /// Appends the ids of one line, given without its newline, to `out`. Returns `false` if the line is blank, that is,
    /// if it ends a document.
    fn encode_line(&self, state: &mut Self::State, line: &str, out: &mut Vec<u32>) -> bool;

    /// Whether a line is blank. It must agree with [`Encode::encode_line`].
    fn is_blank(&self, state: &mut Self::State, line: &str) -> bool {
        !self.encode_line(state, line, &mut Vec::new())
    }

    /// Returns the number of pieces in the vocabulary. Every id is below it (apart from
    /// [`crate::tokens::documents::UNKNOWN_JOINS`]).
    fn vocab_size(&self) -> u32;

    /// Returns the SHA-256 of the model and the text rules, in hexadecimal.
    fn digest(&self) -> &str;

    /// Returns a description of the tokenizer for the store's metadata.
    fn description(&self) -> Value;

    /// Returns the name and the bytes of the file that the store copies, so that the tokenizer can be loaded from it.
    fn file(&self) -> Option<(&'static str, &[u8])> {
        None
    }
}

/// How text is read and how tokens are stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenizeOptions {
    /// Remove a complete or unfinished store that is already in the output directory.
    pub overwrite: bool,
    /// What to do with bytes that are not UTF-8.
    pub on_bad_utf8: OnBadUtf8,
    /// Accept inputs that look like other data than text: JSON Lines, a table, markup.
    pub any_text: bool,
    /// Keep byte-order marks at the beginning of files in the text, as the reference does.
    pub keep_bom: bool,
    /// Whether a document continues into the next file unless a blank line ends it, as in the reference. Otherwise, the
    /// end of a file ends its last document.
    pub join_files: bool,
    /// The longest line in bytes.
    pub max_line: usize,
    /// Bytes of text that a thread takes at a time.
    pub block_bytes: usize,
    /// Number of tokens after which a part ends at the next end of a document.
    pub part_tokens: u64,
    /// Bytes on disk of a portion of the input. A part also ends at the end of a portion, so that tasks on many machines
    /// make the same parts as one machine.
    pub portion_bytes: u64,
    /// Number of threads; 0 for those of the current rayon pool.
    pub threads: usize,
}

impl Default for TokenizeOptions {
    fn default() -> Self {
        Self {
            overwrite: false,
            on_bad_utf8: OnBadUtf8::Error,
            any_text: false,
            keep_bom: false,
            join_files: false,
            max_line: MAX_LINE,
            block_bytes: BLOCK_BYTES,
            part_tokens: store::PART_TOKENS,
            portion_bytes: PORTION_BYTES,
            threads: 0,
        }
    }
}

impl TokenizeOptions {
    /// Returns everything that determines the store's bytes, except the input, by names that users know.
    fn settings(&self) -> Value {
        json!({
            "on_bad_utf8": self.on_bad_utf8,
            "keep_bom": self.keep_bom,
            "join_files": self.join_files,
            "part_tokens": self.part_tokens,
            "portion_bytes": self.portion_bytes,
        })
    }
}

/// The store that [`tokenize`] made or found complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Number of input files.
    pub files: u64,
    /// Number of documents in the store.
    pub documents: u64,
    /// Number of sentences in the store.
    pub sentences: u64,
    /// Number of tokens in the store.
    pub tokens: u64,
    /// Number of parts of the store.
    pub parts: u64,
    /// Bytes of all parts.
    pub bytes: u64,
    /// Number of invalid UTF-8 sequences that became U+FFFD.
    pub replaced: u64,
    /// Whether the store was already complete, with the same input and options.
    pub already_complete: bool,
    /// Number of parts that an earlier, interrupted run had finished.
    pub resumed_parts: u64,
    /// Notes for the user, in sentences.
    pub notes: Vec<String>,
}

/// Tokenizes `inputs` (see [`expand_corpus`]) into a token store in the directory `output`.
///
/// The store's bytes depend only on the input, the tokenizer and the options' settings, never on threads or block
/// sizes. After an interruption at any moment, the same call resumes after the last complete part. Standard input and
/// pipes cannot be read again, so with them it starts over. A blank line, as the encoder defines it, ends a document.
/// So does the end of a file, unless `join_files` is set. Sentences without tokens and documents without sentences are
/// dropped.
///
/// # Errors
/// [`Error::Input`] if there is nothing to read or no document in it; [`Error::InvalidUtf8`]; [`Error::LineTooLong`];
/// [`Error::Exists`] if `output` contains a store with other input or options; [`Error::Interrupted`] if `progress` asked
/// to stop; [`Error::Io`] and [`Error::Data`] from reading and writing.
pub fn tokenize<E: Encode>(
    inputs: &[impl AsRef<OsStr>],
    encoder: &E,
    output: &Path,
    options: &TokenizeOptions,
    progress: &mut dyn Progress,
) -> Result<Summary> {
    tokenize_from(inputs, None, encoder, output, options, progress)
}

fn tokenize_from<E: Encode>(
    inputs: &[impl AsRef<OsStr>],
    stdin: Option<Box<dyn Read + Send>>,
    encoder: &E,
    output: &Path,
    options: &TokenizeOptions,
    progress: &mut dyn Progress,
) -> Result<Summary> {
    let job = Job::new(inputs, encoder, output, options)?;
    if !options.any_text {
        // An input that is not a corpus must be refused before anything is removed, and before hours are spent on other
        // files.
        check_all(&job.files)?;
    }
    if is_remote(output) {
        atomic::create_directory(output)?;
    }
    let _lock = claim(output)?;
    if options.overwrite {
        job.journal.remove()?;
    }
    if TokenStore::is_store(output) {
        let meta = finish::complete_store(output)?;
        job.journal.check(output, &meta, true, Replace::Overwrite)?;
        job.journal.remove_file()?;
        return Ok(Summary { already_complete: true, notes: job.notes, ..summary(&meta, job.files.len()) });
    }
    if let Some(Begun::Tasks(_)) = markers::begun(output)? {
        // What is left is then one task.
        let range = 0..job.portions.len() as u64;
        let task = Task { job: &job, encoder, output, options, range, replace: Replace::Overwrite };
        return task.run(progress).map(|it| it.tokenized);
    }
    let Job { files, mut notes, portions, info, mut journal } = job;
    notes.extend(journal.resume(output, &files, &portions, info.vocab_size)?);
    let (portion, position, replaced) = journal.place();
    let known: Vec<_> = journal.parts.iter().map(|it| it.part.clone()).collect();
    let resumed_parts = known.len() as u64;
    if known.is_empty() {
        journal.begin()?;
    }
    let writer = StoreWriter::new(output, info, options.part_tokens, known)?;
    let mut sink = StoreSink::new(writer, journal, portion, replaced);

    let resumable = files.iter().all(InputFile::is_seekable);
    let reader = block_reader(&files, options, progress).with_stdin(stdin);
    let all = 0..portions.len();
    let range = portion..all.end;
    let block_bytes = options.block_bytes;
    let wanted = Wanted { portions: &portions, range, position: Some(position), progress: all, block_bytes };
    let mut reader = PortionReader::new(reader, blank_lines(encoder), wanted);
    let result = wave::run(&mut reader, &files, encoder, options, &mut sink, progress);
    // The error that ended the run is the one worth reporting.
    let settled = sink.settle();
    if let Err(error) = result {
        let done = sink.writer.parts().len();
        let StoreSink { writer, notes: journal, .. } = sink;
        drop(writer);
        return Err(match error {
            Error::Interrupted(_) if resumable => {
                Error::Interrupted(format!("{} finished; run the same command again to resume", counted(done, "part")))
            }
            Error::Interrupted(_) => {
                let reason = "standard input and pipes cannot be read again; run the same command again to start over";
                Error::Interrupted(reason.into())
            }
            error => {
                // Nothing is finished, so nothing should prevent a run with a fixed input or other options.
                if done == 0 && journal.is_own() {
                    journal.remove()?;
                }
                error
            }
        });
    }
    settled?;
    let StoreSink { writer, notes: journal, replaced, .. } = sink;
    if writer.parts().is_empty() {
        journal.remove()?;
        return Err(no_documents(&files));
    }
    let meta = writer.finish(journal.inputs.clone(), journal.settings.clone(), replaced)?;
    journal.remove_file()?;
    scratch::tidy(output);
    Ok(Summary { resumed_parts, notes, ..summary(&meta, files.len()) })
}

/// What is to be done, as far as it follows from the input and the options.
struct Job {
    files: Vec<InputFile>,
    /// Notes for the user.
    notes: Vec<String>,
    portions: Portions,
    info: TokenizerInfo,
    /// The journal of a command that has done nothing yet.
    journal: Journal,
}

impl Job {
    fn new<E: Encode>(
        inputs: &[impl AsRef<OsStr>],
        encoder: &E,
        output: &Path,
        options: &TokenizeOptions,
    ) -> Result<Self> {
        let Corpus { files, notes } = expand_corpus(inputs)?;
        refuse_output_in_input(inputs, output)?;
        refuse_own_output(&files, output)?;
        let records: Vec<InputRecord> = files.par_iter().map(InputFile::record).collect::<Result<_>>()?;
        let info = TokenizerInfo {
            digest: encoder.digest().into(),
            description: encoder.description(),
            vocab_size: encoder.vocab_size(),
            file: encoder.file().map(|(name, bytes)| (name.to_owned(), bytes.to_vec())),
        };
        let portions = Portions::of(&files, options.portion_bytes, options.join_files)?;
        let journal = Journal::new(output, &info, options.settings(), records);
        Ok(Self { files, notes, portions, info, journal })
    }
}

/// Returns whether a line, given without its newline, is blank, so that a portion may begin with it.
fn blank_lines<E: Encode>(encoder: &E) -> impl FnMut(&[u8]) -> bool + Send {
    let mut state = None;
    move |line| encoder.is_blank(state.get_or_insert_with(|| encoder.state()), &String::from_utf8_lossy(line))
}

/// Returns a reader of `files`.
fn block_reader(files: &[InputFile], options: &TokenizeOptions, progress: &dyn Progress) -> BlockReader {
    BlockReader::new(files.to_vec(), options.block_bytes, options.max_line, options.keep_bom)
        .stopping(progress.stop())
        .taking(options.any_text)
}

/// Tokenizes `inputs` into memory, with ids as the encoder returns them,
/// [`UNKNOWN_JOINS`](crate::tokens::documents::UNKNOWN_JOINS) included. Returns the documents and the number of invalid
/// UTF-8 sequences that became U+FFFD. Ignores `overwrite` and `part_tokens`.
///
/// # Errors
/// Those of [`tokenize`], except the errors about the output.
pub fn read_documents<E: Encode>(
    inputs: &[impl AsRef<OsStr>],
    encoder: &E,
    options: &TokenizeOptions,
    progress: &mut dyn Progress,
) -> Result<(MemoryDocuments, u64)> {
    let files = expand_corpus(inputs)?.files;
    let mut blocks = Blocks { reader: block_reader(&files, options, progress), block_bytes: options.block_bytes };
    let mut sink = MemorySink::default();
    wave::run(&mut blocks, &files, encoder, options, &mut sink, progress)?;
    sink.documents.end_document();
    if sink.documents.num_documents() == 0 {
        return Err(no_documents(&files));
    }
    Ok((sink.documents, sink.replaced))
}

fn no_documents(files: &[InputFile]) -> Error {
    let reason = "every line is blank or has no tokens; the input must have one sentence per line";
    match files {
        [] => Error::input(format!("no documents: {reason}")),
        [file] => Error::input_at(&file.path, format!("no documents: {reason}")),
        [file, rest @ ..] => {
            let more = counted(rest.len(), "more file");
            Error::input_at(&file.path, format!("no documents here, nor in {more}: {reason}"))
        }
    }
}

fn summary(meta: &StoreMeta, files: usize) -> Summary {
    Summary {
        files: files as u64,
        documents: meta.documents,
        sentences: meta.sentences,
        tokens: meta.tokens,
        parts: meta.parts.len() as u64,
        bytes: meta.bytes,
        replaced: meta.replaced,
        already_complete: false,
        resumed_parts: 0,
        notes: Vec::new(),
    }
}

/// Refuses an output directory within an input directory that is read recursively, because the next run would read its
/// files.
fn refuse_own_output(files: &[InputFile], output: &Path) -> Result<()> {
    let own = if is_remote(output) {
        let directory = public(output);
        files.iter().find(|file| file.path.starts_with(&directory))
    } else {
        let Ok(directory) = output.canonicalize() else { return Ok(()) };
        files.par_iter().find_first(|f| f.path.canonicalize().is_ok_and(|path| path.starts_with(&directory)))
    };
    own.map_or(Ok(()), |file| {
        let reason =
            format!("this output directory contains the input {}; pass another directory", file.path.display());
        Err(Error::conflict_at("output_dir", output, reason))
    })
}
