//! Turns blocks of a corpus into tokens, in waves.

use std::sync::Mutex;

use memchr::memchr_iter;
use rayon::prelude::*;

use super::{Encode, TokenizeOptions};
use crate::files::inputs::{InputFile, OnBadUtf8};
use crate::tokens::corpus::portions::{PortionBlock, PortionReader};
use crate::tokens::corpus::{Block, BlockReader, Piece};
use crate::tokens::documents::{Ids, UNKNOWN_JOINS};
use crate::tokens::store::id_bytes;
use crate::waves::{self, Input, Size};
use crate::{Error, Progress, Result};

/// The number of blocks that a thread gets per wave, enough to even out blocks that take longer than others.
const BLOCKS_A_THREAD: usize = 8;
/// The most bytes of text in a wave, whatever the number of threads.
const WAVE_BYTES: usize = 64 << 20;

/// Receives encoded blocks, in the order of the input.
pub(super) trait Sink: Send {
    /// Whether ids keep [`UNKNOWN_JOINS`]. If so, they are 32 bits wide.
    const KEEPS_MARKS: bool;

    fn write(&mut self, work: &Work) -> Result<()>;
}

/// A block and its tokens. The buffers are reused.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub text: PortionBlock,
    pub encoded: Encoded,
    result: Option<Error>,
}

/// The tokens of a block, and the ends of sentences and documents.
#[derive(Debug)]
pub(super) struct Encoded {
    pub ids: IdBuffer,
    /// The end (exclusive) of each sentence in `ids`.
    pub sentence_ends: Vec<u32>,
    /// The ends of documents. The first may end a document that has nothing in this block.
    pub document_ends: Vec<DocumentEnd>,
    /// Number of invalid UTF-8 sequences that became U+FFFD.
    pub replaced: u32,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct DocumentEnd {
    /// Number of sentences of the block before the end.
    pub sentences: u32,
    /// The byte in the block's data at which the text after the end begins.
    pub byte: u32,
    /// Number of replaced sequences of the block before the end.
    pub replaced: u32,
}

#[derive(Debug)]
pub(super) enum IdBuffer {
    U16(Vec<u16>),
    U32(Vec<u32>),
}

impl IdBuffer {
    /// Returns the ids from `first` on.
    pub fn tail(&self, first: usize) -> Ids<'_> {
        match self {
            Self::U16(ids) => Ids::U16(&ids[first..]),
            Self::U32(ids) => Ids::U32(&ids[first..]),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::U16(ids) => ids.len(),
            Self::U32(ids) => ids.len(),
        }
    }
}

impl Default for Encoded {
    fn default() -> Self {
        Self { ids: IdBuffer::U32(Vec::new()), sentence_ends: Vec::new(), document_ends: Vec::new(), replaced: 0 }
    }
}

impl Encoded {
    /// Empties the buffers, and frees those that grew large in a block of very long lines.
    fn clear(&mut self, narrow: bool, usual: usize) {
        fn clear<T>(items: &mut Vec<T>, usual: usize) {
            items.clear();
            items.shrink_to(usual);
        }
        match (&mut self.ids, narrow) {
            (IdBuffer::U16(ids), true) => clear(ids, usual),
            (IdBuffer::U32(ids), false) => clear(ids, usual),
            (ids, true) => *ids = IdBuffer::U16(Vec::new()),
            (ids, false) => *ids = IdBuffer::U32(Vec::new()),
        }
        clear(&mut self.sentence_ends, usual);
        clear(&mut self.document_ends, usual);
        self.replaced = 0;
    }
}

/// The blocks of a corpus that is not divided into portions.
pub(super) struct Blocks {
    pub reader: BlockReader,
    /// The usual size of a block.
    pub block_bytes: usize,
}

impl Input<Work> for Blocks {
    fn read(&mut self, work: &mut Work) -> Result<Option<usize>> {
        let block = &mut work.text.block;
        block.clear();
        block.data.shrink_to(4 * self.block_bytes);
        Ok(self.reader.next_block(block)?.then_some(block.data.len()))
    }

    fn bytes_read(&self) -> u64 {
        self.reader.bytes_read()
    }

    fn bytes_total(&self) -> u64 {
        self.reader.bytes_total()
    }
}

impl<B: FnMut(&[u8]) -> bool + Send> Input<Work> for PortionReader<'_, B> {
    fn read(&mut self, work: &mut Work) -> Result<Option<usize>> {
        self.next(&mut work.text)
    }

    fn bytes_read(&self) -> u64 {
        self.bytes_read()
    }

    fn bytes_total(&self) -> u64 {
        self.bytes_total()
    }
}

/// Reads blocks of `files`, encodes and writes them. `progress` is called before each wave, from the calling thread.
pub(super) fn run<E: Encode, S: Sink>(
    input: &mut impl Input<Work>,
    files: &[InputFile],
    encoder: &E,
    options: &TokenizeOptions,
    sink: &mut S,
    progress: &mut dyn Progress,
) -> Result<()> {
    let pool = match options.threads {
        0 => None,
        n => Some(rayon::ThreadPoolBuilder::new().num_threads(n).build().map_err(|e| Error::threads(n, &e))?),
    };
    let threads = pool.as_ref().map_or_else(rayon::current_num_threads, rayon::ThreadPool::current_num_threads);
    let block_bytes = options.block_bytes.max(1);
    let blocks = (BLOCKS_A_THREAD * threads).min((WAVE_BYTES / block_bytes).max(threads));
    let worker = Worker::<E, S> { encoder, options, files, states: Mutex::default(), sink: std::marker::PhantomData };
    waves::run(
        "tokenize",
        Size { items: blocks, bytes: blocks * block_bytes },
        pool.as_ref(),
        progress,
        input,
        |works: &mut [Work]| works.par_iter_mut().for_each(|work| worker.encode(work)),
        |work| match work.result.take() {
            Some(error) => Err(error),
            None => sink.write(work),
        },
    )
}

/// The state that the threads share.
struct Worker<'a, E: Encode, S> {
    encoder: &'a E,
    options: &'a TokenizeOptions,
    files: &'a [InputFile],
    /// The states that are not in use. There are never more than threads.
    states: Mutex<Vec<(E::State, Vec<u32>)>>,
    sink: std::marker::PhantomData<fn(S)>,
}

impl<E: Encode, S: Sink> Worker<'_, E, S> {
    fn encode(&self, work: &mut Work) {
        // Nothing that can panic runs under the lock.
        let state = self.states.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop();
        let mut state = state.unwrap_or_else(|| (self.encoder.state(), Vec::new()));
        work.result = self.encode_block(&mut state, &work.text.block, &mut work.encoded).err();
        state.1.shrink_to(self.options.block_bytes);
        self.states.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(state);
    }

    fn encode_block(&self, state: &mut (E::State, Vec<u32>), block: &Block, out: &mut Encoded) -> Result<()> {
        let narrow = !S::KEEPS_MARKS && id_bytes(self.encoder.vocab_size()) == 2;
        out.clear(narrow, 4 * self.options.block_bytes);
        for piece in &block.pieces {
            let bytes = &block.data[piece.range.clone()];
            // A piece is checked as a whole, because two pieces of different files must not form a character together.
            match (std::str::from_utf8(bytes), self.options.on_bad_utf8) {
                (Ok(text), _) => {
                    for (line, end) in piece.lines(&block.data) {
                        let start = end - piece.range.start - line.len() - usize::from(block.data[end - 1] == b'\n');
                        self.encode_line(state, &text[start..start + line.len()], end, out)?;
                    }
                }
                (Err(e), OnBadUtf8::Error) => return Err(self.invalid_utf8(piece, bytes, e.valid_up_to())),
                (Err(_), OnBadUtf8::Replace) => {
                    for (line, end) in piece.lines(&block.data) {
                        out.replaced += line.utf8_chunks().filter(|c| !c.invalid().is_empty()).count() as u32;
                        self.encode_line(state, &String::from_utf8_lossy(line), end, out)?;
                    }
                }
            }
            if piece.last && !self.options.join_files {
                end_document(out, piece.range.end);
            }
        }
        Ok(())
    }

    fn encode_line(
        &self,
        (state, ids): &mut (E::State, Vec<u32>),
        line: &str,
        end: usize,
        out: &mut Encoded,
    ) -> Result<()> {
        ids.clear();
        if !self.encoder.encode_line(state, line, ids) {
            end_document(out, end);
        } else if !ids.is_empty() {
            let vocab_size = self.encoder.vocab_size();
            if let Some(id) = ids.iter().map(|&id| id & !UNKNOWN_JOINS).find(|&id| id >= vocab_size) {
                let rule = format!("the tokenizer gave id {id}, but its vocabulary has {vocab_size} pieces");
                return Err(Error::Internal(rule));
            }
            match &mut out.ids {
                IdBuffer::U16(narrow) => narrow.extend(ids.iter().map(|&id| id as u16)),
                IdBuffer::U32(wide) if S::KEEPS_MARKS => wide.extend_from_slice(ids),
                IdBuffer::U32(wide) => wide.extend(ids.iter().map(|&id| id & !UNKNOWN_JOINS)),
            }
            out.sentence_ends.push(out.ids.len() as u32);
        }
        Ok(())
    }

    fn invalid_utf8(&self, piece: &Piece, bytes: &[u8], at: usize) -> Error {
        let line_start = memchr::memrchr(b'\n', &bytes[..at]).map_or(0, |i| i + 1);
        let dropped = if line_start == 0 { piece.dropped } else { 0 };
        Error::InvalidUtf8 {
            path: self.files[piece.start.file].path.clone(),
            line: piece.start.line + memchr_iter(b'\n', &bytes[..at]).count() as u64,
            byte: (at - line_start) as u64 + 1 + dropped,
            value: bytes[at],
        }
    }
}

/// Marks a document's end, unless nothing has come since the last one.
fn end_document(out: &mut Encoded, byte: usize) {
    let sentences = out.sentence_ends.len() as u32;
    if out.document_ends.last().is_none_or(|last| last.sentences < sentences) {
        out.document_ends.push(DocumentEnd { sentences, byte: byte as u32, replaced: out.replaced });
    }
}
