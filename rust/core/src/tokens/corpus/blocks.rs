//! Reads the lines of a list of inputs, in blocks of whole lines.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use memchr::{memchr, memchr_iter, memrchr};
use serde::{Deserialize, Serialize};

use super::check;
use crate::files::inputs::{InputFile, InputKind, OnBadUtf8};
use crate::files::source::{Meter, Source};
use crate::{Error, Result};

/// The limit of a line's length: counts and offsets within a block are 32 bits wide, and some characters become several
/// tokens.
const LARGEST_LINE: usize = 256 << 20;

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// The number of decompressed bytes skipped in one call, so that finding a place in a large compressed file can be
/// interrupted.
const SKIP: u64 = 8 << 20;

/// A place between two lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// The index of the file, or the number of files if everything is read.
    pub file: usize,
    /// The offset in the decompressed file in bytes, from 0.
    pub offset: u64,
    /// The number of the line that begins there, from 1.
    pub line: u64,
}

impl Position {
    /// Returns the start of file `file`.
    pub fn file_start(file: usize) -> Self {
        Self { file, offset: 0, line: 1 }
    }
}

/// Consecutive whole lines of one file within a [`Block`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The range of its bytes in [`Block::data`], without a byte-order mark.
    pub range: Range<usize>,
    /// The position of the bytes in the input.
    pub start: Position,
    /// Bytes of the first line before `range` that were dropped: 3 for a byte-order mark, otherwise 0.
    pub dropped: u64,
    /// Whether the file ends here. Only then may the last line lack its newline.
    pub last: bool,
}

impl Piece {
    /// Returns the lines of the piece without their newlines, each with its end in [`Block::data`], newline included.
    pub fn lines<'a>(&self, data: &'a [u8]) -> impl Iterator<Item = (&'a [u8], usize)> + use<'a> {
        let bytes = &data[self.range.clone()];
        let mut begin = 0;
        let base = self.range.start;
        let mut newlines = memchr_iter(b'\n', bytes);
        std::iter::from_fn(move || {
            if let Some(newline) = newlines.next() {
                let line = &bytes[begin..newline];
                begin = newline + 1;
                Some((line, base + begin))
            } else if begin < bytes.len() {
                let line = &bytes[begin..];
                begin = bytes.len();
                Some((line, base + begin))
            } else {
                None
            }
        })
    }

    /// Returns the text of each line of the piece, without its newline.
    ///
    /// # Errors
    /// [`Error::InvalidUtf8`] for a line that is not UTF-8, unless it is to be replaced.
    pub fn texts<'a>(
        &'a self,
        data: &'a [u8],
        files: &'a [InputFile],
        on_bad_utf8: OnBadUtf8,
    ) -> impl Iterator<Item = Result<Cow<'a, str>>> {
        (self.start.line..).zip(self.lines(data)).map(move |(number, (line, _))| match std::str::from_utf8(line) {
            Ok(text) => Ok(Cow::Borrowed(text)),
            Err(_) if on_bad_utf8 == OnBadUtf8::Replace => Ok(String::from_utf8_lossy(line)),
            Err(error) => {
                // In the file, a byte-order mark belongs to the first line.
                let dropped = if number == self.start.line { self.dropped } else { 0 };
                Err(Error::InvalidUtf8 {
                    path: files[self.start.file].path.clone(),
                    line: number,
                    byte: error.valid_up_to() as u64 + 1 + dropped,
                    value: line[error.valid_up_to()],
                })
            }
        })
    }

    /// Returns the position in the input of byte `index` of [`Block::data`], at which a line of this piece begins or
    /// the piece ends.
    pub fn position(&self, data: &[u8], index: usize) -> Position {
        if self.last && index >= self.range.end {
            return Position::file_start(self.start.file + 1);
        }
        let before = &data[self.range.start..index];
        Position {
            file: self.start.file,
            offset: self.start.offset + before.len() as u64,
            line: self.start.line + memchr_iter(b'\n', before).count() as u64,
        }
    }
}

/// Whole lines of one file or of several small files. The buffers are reused.
#[derive(Debug, Default)]
pub struct Block {
    /// The bytes of all pieces.
    pub data: Vec<u8>,
    /// The pieces, in order. Only the piece of a file that consists of a byte-order mark is empty.
    pub pieces: Vec<Piece>,
}

impl Block {
    /// Removes the contents.
    pub fn clear(&mut self) {
        self.data.clear();
        self.pieces.clear();
    }

    /// Copies a range of the data, at whose ends lines begin or the block ends, to `other`, which is empty.
    pub fn copy_to(&self, range: Range<usize>, other: &mut Self) {
        other.data.extend_from_slice(&self.data[range.clone()]);
        for piece in self.pieces.iter().filter(|it| it.range.start < range.end && it.range.end > range.start) {
            let (start, end) = (piece.range.start.max(range.start), piece.range.end.min(range.end));
            let is_whole = start == piece.range.start;
            other.pieces.push(Piece {
                range: start - range.start..end - range.start,
                start: if is_whole { piece.start } else { piece.position(&self.data, start) },
                dropped: if is_whole { piece.dropped } else { 0 },
                last: piece.last && end == piece.range.end,
            });
        }
    }

    /// Returns the position in the input of byte `index` of the data, at which a line begins or the block ends.
    pub fn position(&self, index: usize) -> Option<Position> {
        let piece = self.pieces.iter().find(|p| p.range.end >= index)?;
        Some(piece.position(&self.data, index))
    }
}

/// Reads inputs one after the other, in blocks.
///
/// Only `\n` ends a line; a carriage return before it is kept. A file's last line needs no newline. At most `max_line +
/// 1` bytes of a line are held.
pub struct BlockReader {
    files: Vec<InputFile>,
    stdin: Option<Box<dyn Read + Send>>,
    block_bytes: usize,
    max_line: usize,
    keep_bom: bool,
    any_text: bool,
    /// The position at which the next piece begins.
    next: Position,
    open: Option<Source>,
    /// The beginning of a line whose end was not read yet. Its first byte is at `next`.
    carry: Vec<u8>,
    meter: Meter,
    failed: Option<Error>,
}

impl BlockReader {
    /// Reads `files` in blocks of about `block_bytes` bytes (at least one line). Lines may have up to `max_line` bytes
    /// (at most 256 MiB). With `keep_bom`, byte-order marks at the beginning of files are kept.
    pub fn new(files: Vec<InputFile>, block_bytes: usize, max_line: usize, keep_bom: bool) -> Self {
        let max_line = max_line.clamp(1, LARGEST_LINE);
        let meter = Meter::of(&files);
        Self {
            files,
            stdin: None,
            // Otherwise, a line that is too long could be hidden within a block.
            block_bytes: block_bytes.clamp(1, max_line),
            max_line,
            keep_bom,
            any_text: true,
            next: Position::file_start(0),
            open: None,
            carry: Vec::new(),
            meter,
            failed: None,
        }
    }

    /// Reads `stdin` instead of the process's standard input.
    #[must_use]
    pub fn with_stdin(mut self, stdin: Option<Box<dyn Read + Send>>) -> Self {
        self.stdin = stdin;
        self
    }

    /// Stops waiting for standard input or a pipe when `stop` is set.
    #[must_use]
    pub fn stopping(mut self, stop: Arc<AtomicBool>) -> Self {
        self.meter.stop = stop;
        self
    }

    /// Refuses inputs that look like data for `prepare-text`, unless `any_text` is set.
    #[must_use]
    pub fn taking(mut self, any_text: bool) -> Self {
        self.any_text = any_text;
        self
    }

    /// Begins at `position`, which an earlier reader of the same files returned. Files before it are not opened.
    #[must_use]
    pub fn starting_at(mut self, position: Position) -> Self {
        let before: u64 = self.files.iter().take(position.file).map(|f| f.bytes).sum();
        self.meter.bytes.store(before, Ordering::Relaxed);
        self.next = position;
        self
    }

    /// The inputs.
    pub fn files(&self) -> &[InputFile] {
        &self.files
    }

    /// Returns the number of bytes read so far, counted as on disk, including skipped files.
    pub fn bytes_read(&self) -> u64 {
        self.meter.bytes.load(Ordering::Relaxed)
    }

    /// Returns the number of bytes of all inputs, or 0 if one of them is a stream.
    pub fn bytes_total(&self) -> u64 {
        if self.files.iter().all(InputFile::is_seekable) { self.files.iter().map(|f| f.bytes).sum() } else { 0 }
    }

    /// Fills `block` with the next lines. Returns `false` if there are none left. A block without pieces means that the
    /// starting position is not reached yet.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Data`] for damaged compressed files, [`Error::LineTooLong`]. Lines before the error come
    /// first, in a block of their own.
    pub fn next_block(&mut self, block: &mut Block) -> Result<bool> {
        block.clear();
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        match self.fill(block) {
            Err(error) if !block.pieces.is_empty() => {
                self.failed = Some(error);
                Ok(true)
            }
            result => result,
        }
    }

    fn fill(&mut self, block: &mut Block) -> Result<bool> {
        while let Some(file) = self.files.get(self.next.file) {
            let source = if let Some(source) = &mut self.open {
                source
            } else {
                let stdin = if file.kind == InputKind::Stdin { self.stdin.take() } else { None };
                let mut source = Source::open(file, stdin, self.next.offset, &self.meter)?;
                if !self.any_text && self.next.offset == 0 {
                    check(&mut source, file)?;
                }
                self.open.insert(source)
            };
            if source.skip > 0 {
                skip(source, file)?;
                return Ok(true);
            }
            let start = block.data.len();
            let end = read_piece(source, file, self.next, &mut self.carry, block, (self.block_bytes, self.max_line))?;
            let last = end.is_none();
            let end = end.unwrap_or(block.data.len());
            self.carry.extend_from_slice(&block.data[end..]);
            block.data.truncate(end);
            // Whether the file ends here must be known now, because its end is also the end of a document.
            let ends = if last || !self.carry.is_empty() { Ok(last) } else { at_end(source, file) };
            let last = *ends.as_ref().unwrap_or(&false);
            self.push(block, start, last);
            ends?;
            if last {
                self.open = None;
                self.next = Position::file_start(self.next.file + 1);
            }
            if !last || block.data.len() >= self.block_bytes {
                return Ok(true);
            }
        }
        Ok(!block.pieces.is_empty())
    }

    fn push(&mut self, block: &mut Block, start: usize, last: bool) {
        let bytes = &block.data[start..];
        if bytes.is_empty() {
            return;
        }
        let dropped = if self.next.offset == 0 && !self.keep_bom && bytes.starts_with(BOM) { BOM.len() } else { 0 };
        let position = Position { offset: self.next.offset + dropped as u64, ..self.next };
        block.pieces.push(Piece {
            range: start + dropped..block.data.len(),
            start: position,
            dropped: dropped as u64,
            last,
        });
        self.next.offset += bytes.len() as u64;
        self.next.line += memchr_iter(b'\n', bytes).count() as u64;
    }
}

fn at_end(source: &mut Source, file: &InputFile) -> Result<bool> {
    loop {
        match source.reader.fill_buf() {
            Ok(bytes) => return Ok(bytes.is_empty()),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(source.error(file, e)),
        }
    }
}

/// Appends `carry` and the following bytes to the block. Returns the end of the last whole line, or `None` if the file
/// ended.
fn read_piece(
    source: &mut Source,
    file: &InputFile,
    next: Position,
    carry: &mut Vec<u8>,
    block: &mut Block,
    (block_bytes, max_line): (usize, usize),
) -> Result<Option<usize>> {
    let data = &mut block.data;
    let start = data.len();
    data.append(carry);
    let mut end = None;
    loop {
        let length = data.len() - start;
        let room = match end {
            Some(end) if data.len() >= block_bytes => return Ok(Some(end)),
            Some(_) => block_bytes - data.len(),
            None if length > max_line => {
                data.truncate(start);
                return Err(Error::LineTooLong { path: file.path.clone(), line: next.line, limit: max_line });
            }
            None if data.len() < block_bytes => (block_bytes - data.len()).min(max_line + 1 - length),
            None => max_line + 1 - length,
        };
        let available = match source.reader.fill_buf() {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => {
                data.truncate(start);
                return Err(source.error(file, e));
            }
        };
        if available.is_empty() {
            return Ok(None);
        }
        let mut taken = &available[..available.len().min(room)];
        if data.len() < block_bytes {
            end = memrchr(b'\n', taken).map(|newline| data.len() + newline + 1).or(end);
        } else if let Some(newline) = memchr(b'\n', taken) {
            taken = &taken[..=newline];
            end = Some(data.len() + taken.len());
        }
        data.extend_from_slice(taken);
        let n = taken.len();
        source.reader.consume(n);
    }
}

fn skip(source: &mut Source, file: &InputFile) -> Result<()> {
    let wanted = source.skip.min(SKIP);
    let skipped = std::io::copy(&mut (&mut source.reader).take(wanted), &mut std::io::sink())
        .map_err(|e| source.error(file, e))?;
    if skipped < wanted {
        return Err(Error::data(
            &file.path,
            "ends before the place where tokenizing stopped; pass overwrite=True to start over",
        ));
    }
    source.skip -= skipped;
    Ok(())
}
