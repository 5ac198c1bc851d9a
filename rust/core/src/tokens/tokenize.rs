//! Tokenizes a corpus, into a token store (in parallel and resumable) or into memory.

mod journal;
mod wave;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::corpus::{BLOCK_BYTES, BlockReader, Corpus, MAX_LINE, Position, check_all, expand_corpus};
use super::documents::{Documents, Ids, MemoryDocuments};
use super::store::{self, StoreMeta, StoreWriter, TokenStore, TokenizerInfo};
use crate::error::counted;
use crate::files::inputs::{InputFile, InputRecord, OnBadUtf8, refuse_output_in_input};
use crate::files::lock::claim;
use crate::files::remote::{is_remote, public};
use crate::files::{atomic, scratch};
use crate::{Error, Progress, Result};
use journal::{FinishedPart, Journal};
use wave::{Sink, Work};

/// A tokenizer as the pipeline needs it.
pub trait Encode: Sync {
    /// What a thread keeps from one line to the next: caches and scratch. It never affects the ids.
    type State: Send;

    /// Returns a new state.
    fn state(&self) -> Self::State;

    /// Appends the ids of one line, given without its newline, to `out`. Returns `false` if the line is blank, that is,
    /// if it ends a document.
    fn encode_line(&self, state: &mut Self::State, line: &str, out: &mut Vec<u32>) -> bool;

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
    let Corpus { files, mut notes } = expand_corpus(inputs)?;
    refuse_output_in_input(inputs, output)?;
    refuse_own_output(&files, output)?;
    if !options.any_text {
        // An input that is not a corpus must be refused before anything is removed, and before hours are spent on other
        // files.
        check_all(&files)?;
    }
    let records: Vec<InputRecord> = files.par_iter().map(InputFile::record).collect::<Result<_>>()?;
    let info = TokenizerInfo {
        digest: encoder.digest().into(),
        description: encoder.description(),
        vocab_size: encoder.vocab_size(),
        file: encoder.file().map(|(name, bytes)| (name.to_owned(), bytes.to_vec())),
    };
    let mut journal = Journal::new(output, &info, options.settings(), records);
    if is_remote(output) {
        atomic::create_directory(output)?;
    }
    let _lock = claim(output)?;
    if options.overwrite {
        journal.remove()?;
    }
    if TokenStore::is_store(output) {
        let meta =
            if is_remote(output) { TokenStore::read_meta(output)? } else { TokenStore::open(output)?.meta().clone() };
        journal.check_complete(output, &meta)?;
        journal.remove_file()?;
        return Ok(Summary { already_complete: true, notes, ..summary(&meta, files.len()) });
    }
    notes.extend(journal.resume(output, &files, info.vocab_size)?);
    let resumed_parts = journal.parts.len() as u64;
    let position = journal.position();
    let mut sink = StoreSink {
        writer: StoreWriter::new(
            output,
            info,
            options.part_tokens,
            journal.parts.iter().map(|p| p.part.clone()).collect(),
        )?,
        replaced: journal.replaced(),
        journal,
        ends: VecDeque::new(),
    };
    if sink.journal.parts.is_empty() {
        sink.journal.begin()?;
    }

    let resumable = files.iter().all(InputFile::is_seekable);
    let reader = BlockReader::new(files.clone(), options.block_bytes, options.max_line, options.keep_bom)
        .with_stdin(stdin)
        .stopping(progress.stop())
        .taking(options.any_text)
        .starting_at(position);
    if let Err(error) = wave::run(reader, encoder, options, &mut sink, progress) {
        // The error that ended the run is the one worth reporting.
        let _ = sink.settle();
        let done = sink.writer.parts().len();
        let StoreSink { writer, journal, .. } = sink;
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

    sink.writer.end_document()?;
    sink.close_part(Position::file_start(files.len()), sink.replaced)?;
    sink.settle()?;
    let StoreSink { writer, journal, replaced, .. } = sink;
    if writer.parts().is_empty() {
        journal.remove()?;
        return Err(no_documents(&files));
    }
    let meta = writer.finish(journal.inputs.clone(), journal.settings.clone(), replaced)?;
    journal.remove_file()?;
    scratch::tidy(output);
    Ok(Summary { resumed_parts, notes, ..summary(&meta, files.len()) })
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
    let reader = BlockReader::new(files.clone(), options.block_bytes, options.max_line, options.keep_bom)
        .stopping(progress.stop())
        .taking(options.any_text);
    let mut sink = MemorySink::default();
    wave::run(reader, encoder, options, &mut sink, progress)?;
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

/// Puts encoded blocks into a store, and what is needed to resume into the journal.
struct StoreSink {
    writer: StoreWriter,
    journal: Journal,
    replaced: u64,
    /// Where the parts end that are closed and not in the journal.
    ends: VecDeque<(Position, u64)>,
}

impl StoreSink {
    fn close_part(&mut self, next: Position, replaced: u64) -> Result<()> {
        if self.writer.close_part()? {
            self.ends.push_back((next, replaced));
        }
        self.note_parts()
    }

    /// Waits until all closed parts are at their place, and notes them in the journal.
    fn settle(&mut self) -> Result<()> {
        let settled = self.writer.settle();
        self.note_parts()?;
        settled
    }

    fn note_parts(&mut self) -> Result<()> {
        let noted = self.journal.parts.len();
        for part in &self.writer.parts()[noted..] {
            if let Some((next, replaced)) = self.ends.pop_front() {
                self.journal.parts.push(FinishedPart { part: part.clone(), next, replaced });
            }
        }
        if self.journal.parts.len() > noted { self.journal.save() } else { Ok(()) }
    }
}

impl Sink for StoreSink {
    const KEEPS_MARKS: bool = false;

    fn write(&mut self, work: &Work) -> Result<()> {
        let out = &work.encoded;
        let mut sentence = 0;
        let mut push = |writer: &mut StoreWriter, upto: usize| {
            let ends = &out.sentence_ends[sentence..upto];
            let first = if sentence == 0 { 0 } else { out.sentence_ends[sentence - 1] };
            sentence = upto;
            writer.push_sentences(out.ids.tail(first as usize), first, ends)
        };
        for end in &out.document_ends {
            push(&mut self.writer, end.sentences as usize)?;
            if self.writer.end_document()?
                && let Some(next) = work.block.position(end.byte as usize)
            {
                self.close_part(next, self.replaced + u64::from(end.replaced))?;
            }
        }
        push(&mut self.writer, out.sentence_ends.len())?;
        self.replaced += u64::from(out.replaced);
        Ok(())
    }
}

#[derive(Default)]
struct MemorySink {
    documents: MemoryDocuments,
    replaced: u64,
}

impl Sink for MemorySink {
    const KEEPS_MARKS: bool = true;

    fn write(&mut self, work: &Work) -> Result<()> {
        let out = &work.encoded;
        let Ids::U32(ids) = out.ids.tail(0) else { return Ok(()) };
        let mut start = 0;
        let mut document_ends = out.document_ends.iter().peekable();
        for (i, &end) in out.sentence_ends.iter().enumerate() {
            while document_ends.next_if(|e| e.sentences as usize <= i).is_some() {
                self.documents.end_document();
            }
            self.documents.push_segment(&ids[start..end as usize]);
            start = end as usize;
        }
        if document_ends.next().is_some() {
            self.documents.end_document();
        }
        self.replaced += u64::from(out.replaced);
        Ok(())
    }
}
