//! Reads the portions of a corpus, each with the lines that belong to it.
//!
//! A caller says with which lines a portion may begin: with all, or only with those between documents. A portion that
//! begins within a file begins, in truth, with the first such line that begins at or after its first byte. It ends where
//! the next portion begins in this sense. So every line is in exactly one portion, and no document is divided if portions
//! begin with blank lines. A portion that a line or a document spans completely has nothing.

use std::ops::Range;

use memchr::memchr;

use super::blocks::{Block, BlockReader, Piece, Position};
use crate::Result;
use crate::files::inputs::InputFile;
use crate::files::portions::{self, Portion};
use crate::files::source::{Meter, Source};

/// Default for the bytes on disk that a portion has about: 256 MiB.
pub const PORTION_BYTES: u64 = 256 << 20;

/// The portions of the inputs. They depend on the inputs and the size of portions only.
#[derive(Debug)]
pub(crate) struct Portions {
    all: Vec<Portion>,
    /// Where each begins in the inputs, counted in bytes on disk as if they were one file; and the end of the last.
    starts: Vec<u64>,
}

impl Portions {
    /// Divides `files` into portions of about `bytes` bytes. With `join_files`, documents continue from one file to the
    /// next, and there is one portion.
    ///
    /// # Errors
    /// Those of opening the large files.
    pub fn of(files: &[InputFile], bytes: u64, join_files: bool) -> Result<Self> {
        let all = if join_files {
            vec![Portion { files: 0..files.len(), bytes: None }]
        } else {
            // A compressed file can only be read from its beginning.
            portions::portions(files, bytes, |file| {
                Ok(!Source::open(file, None, 0, &Meter::default())?.is_compressed())
            })?
        };
        let mut ends: Vec<u64> = vec![0];
        for file in files {
            ends.push(ends.last().unwrap_or(&0) + file.bytes);
        }
        let mut starts: Vec<_> =
            all.iter().map(|it| ends[it.files.start] + it.bytes.as_ref().map_or(0, |bytes| bytes.start)).collect();
        starts.push(*ends.last().unwrap_or(&0));
        Ok(Self { all, starts })
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether a run can resume in `portion` at `position`.
    pub fn holds(&self, portion: usize, position: Position) -> bool {
        match self.all.get(portion) {
            Some(Portion { files, bytes }) => {
                // After the last document of a portion or a file, there may be nothing, or portions without documents.
                let is_after = position == Position::file_start(files.end);
                let begins = bytes.as_ref().is_none_or(|bytes| position.offset >= bytes.start);
                is_after || files.contains(&position.file) && begins
            }
            None => portion == self.len() && self.all.last().is_none_or(|last| position.file == last.files.end),
        }
    }

    /// Returns the files that the portions in `range` are in.
    pub fn files(&self, range: Range<usize>) -> Range<usize> {
        let all = self.all.get(range).unwrap_or_default();
        all.first().map_or(0, |it| it.files.start)..all.last().map_or(0, |it| it.files.end)
    }

    /// Returns the bytes on disk of the portions in `range`.
    pub fn bytes(&self, range: Range<usize>) -> u64 {
        self.starts[range.end] - self.starts[range.start]
    }

    /// Returns the longest beginning of `range` that one reader can read: if it begins within a file, it ends there too,
    /// because lines are counted from where reading began.
    pub fn run(&self, range: Range<usize>) -> Range<usize> {
        match self.all.get(range.start) {
            Some(Portion { files, bytes: Some(bytes) }) if bytes.start > 0 => {
                let count = self.all[range.clone()].iter().take_while(|it| it.files == *files).count();
                range.start..range.start + count
            }
            _ => range,
        }
    }

    /// Returns the byte of its file from which lines are counted if reading begins with this portion, and its file.
    pub fn counted_from(&self, portion: usize) -> Option<(usize, u64)> {
        let Portion { files, bytes } = self.all.get(portion)?;
        bytes.as_ref().filter(|bytes| bytes.start > 0).map(|bytes| (files.start, bytes.start - 1))
    }
}

/// What a [`PortionReader`] reads.
pub(crate) struct Wanted<'a> {
    pub portions: &'a Portions,
    /// The portions to read, in order.
    pub range: Range<usize>,
    /// The position at which the first begins, if it is known. It may also be one within it.
    pub position: Option<Position>,
    /// The portions whose bytes are reported as progress.
    pub progress: Range<usize>,
    /// The usual size of a block.
    pub block_bytes: usize,
}

/// Lines of one portion. The buffers are reused.
#[derive(Debug, Default)]
pub(crate) struct PortionBlock {
    pub block: Block,
    /// The portion that they are of.
    pub portion: usize,
    /// Where the portion ends, if it ends with the block.
    pub end: Option<Position>,
}

/// Reads portions block by block. Every block is of one portion.
pub(crate) struct PortionReader<'a, B> {
    reader: BlockReader,
    /// Whether a portion may begin with a line, which is given without its newline.
    may_begin: B,
    wanted: Wanted<'a>,
    /// The portion being read.
    current: usize,
    /// The last block that was read, and the byte of it from which on it is not passed on.
    raw: Option<(Block, usize)>,
    /// A block to read into.
    spare: Block,
    seek: Seek,
}

/// What is still to skip before the first line of the portion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seek {
    /// The rest of a line, and then all lines with which no portion may begin.
    Line,
    /// All lines with which no portion may begin.
    Begin,
    Nothing,
}

impl<'a, B: FnMut(&[u8]) -> bool> PortionReader<'a, B> {
    /// Reads with `reader`, which is at its beginning, and has no files after those of the portions. `may_begin` says
    /// whether a portion may begin with a line, which is given without its newline.
    pub fn new(reader: BlockReader, may_begin: B, wanted: Wanted<'a>) -> Self {
        let current = wanted.range.start;
        let (position, seek) = match (wanted.position, wanted.portions.counted_from(current)) {
            (Some(position), _) => (position, Seek::Nothing),
            (None, Some((file, offset))) => (Position { file, offset, line: 1 }, Seek::Line),
            (None, None) => {
                let first = wanted.portions.all.get(current).map_or(0, |it| it.files.start);
                (Position::file_start(first), Seek::Nothing)
            }
        };
        let (reader, raw, spare) = (reader.starting_at(position), None, Block::default());
        Self { reader, may_begin, wanted, current, raw, spare, seek }
    }

    /// Returns the byte from which a line that begins must not belong to the current portion, if it ends within `piece`'s
    /// file.
    fn limit(&self, piece: &Piece) -> Option<u64> {
        let Portion { files, bytes } = &self.wanted.portions.all[self.current];
        let limit = bytes.as_ref()?.end;
        // The last portion of a file ends with the file.
        let next = self.wanted.portions.all.get(self.current + 1);
        next.filter(|next| next.files == *files && piece.start.file == files.start).map(|_| limit)
    }

    /// Skips up to the first line of the portion. Returns where in the block it begins, or `None` if it is not in the block,
    /// or not in the current portion. Then `end` is where the portion ends in the block, if it does.
    fn sought(&mut self, block: &Block, from: usize) -> (Option<usize>, Option<usize>) {
        let Some(piece) = block.pieces.first() else { return (None, None) };
        let bytes = &block.data[..piece.range.end];
        let mut at = from.max(piece.range.start);
        if self.seek == Seek::Line && at < bytes.len() {
            at = next_line(bytes, at);
            self.seek = Seek::Begin;
        }
        let limit = self.limit(piece);
        while at < bytes.len() {
            if limit.is_some_and(|limit| offset(piece, at) >= limit) {
                return (None, Some(at));
            }
            let next = next_line(bytes, at);
            if (self.may_begin)(line(bytes, at, next)) {
                self.seek = Seek::Nothing;
                return (Some(at), None);
            }
            at = next;
        }
        (None, None)
    }

    /// Returns where the current portion ends in the block from `from` on, if it does.
    fn end(&mut self, block: &Block, from: usize) -> Option<(usize, Position)> {
        for piece in block.pieces.iter().filter(|piece| piece.range.end > from) {
            let file_end = self.wanted.portions.all[self.current].files.end;
            if piece.start.file >= file_end {
                return Some((piece.range.start.max(from), Position::file_start(file_end)));
            }
            let Some(limit) = self.limit(piece) else { continue };
            let bytes = &block.data[..piece.range.end];
            let mut at = piece.range.start.max(from);
            if begin(piece, at) < limit {
                // A line that begins at the limit follows a newline in the byte before it.
                let before = usize::try_from(limit - 1 - offset(piece, at).min(limit - 1)).unwrap_or(usize::MAX);
                at = if before < bytes.len() - at { next_line(bytes, at + before) } else { bytes.len() };
            }
            while at < bytes.len() {
                let next = next_line(bytes, at);
                if (self.may_begin)(line(bytes, at, next)) {
                    return Some((at, piece.position(&block.data, at)));
                }
                at = next;
            }
        }
        None
    }

    /// Ends the current portion.
    fn finish(&mut self, to: &mut PortionBlock, end: Position) {
        to.end = Some(end);
        self.current += 1;
    }

    /// Reads the next lines. Returns their bytes, which may be none, or `None` after the last portion.
    ///
    /// # Errors
    /// Those of [`BlockReader::next_block`].
    pub fn next(&mut self, to: &mut PortionBlock) -> Result<Option<usize>> {
        to.block.clear();
        to.block.data.shrink_to(4 * self.wanted.block_bytes);
        (to.portion, to.end) = (self.current, None);
        if self.current >= self.wanted.range.end {
            return Ok(None);
        }
        let (block, mut from) = if let Some(raw) = self.raw.take() {
            raw
        } else {
            let mut block = std::mem::take(&mut self.spare);
            if !self.reader.next_block(&mut block)? {
                self.finish(to, Position::file_start(self.wanted.portions.all[self.current].files.end));
                return Ok(Some(0));
            }
            (block, 0)
        };
        if self.seek != Seek::Nothing {
            match self.sought(&block, from) {
                (Some(begin), _) => from = begin,
                (None, Some(end)) => {
                    self.finish(to, block.pieces[0].position(&block.data, end));
                    self.raw = Some((block, end));
                    return Ok(Some(0));
                }
                (None, None) => {
                    self.spare = block;
                    return Ok(Some(0));
                }
            }
        }
        match self.end(&block, from) {
            Some((at, end)) => {
                block.copy_to(from..at, &mut to.block);
                self.finish(to, end);
                self.raw = Some((block, at));
            }
            None if from == 0 => self.spare = std::mem::replace(&mut to.block, block),
            None => {
                block.copy_to(from..block.data.len(), &mut to.block);
                self.spare = block;
            }
        }
        Ok(Some(to.block.data.len()))
    }

    /// Returns the bytes of the portions to report that were read, counted as they are on disk.
    pub fn bytes_read(&self) -> u64 {
        let Wanted { portions, progress, .. } = &self.wanted;
        let read = self.reader.bytes_read();
        match self.bytes_total() {
            0 => read,
            total => {
                let read = read.max(portions.starts[self.current.min(self.wanted.range.end)]);
                read.saturating_sub(portions.starts[progress.start]).min(total)
            }
        }
    }

    /// Returns the bytes of the portions to report, or 0 if an input is a stream.
    pub fn bytes_total(&self) -> u64 {
        let Wanted { portions, progress, .. } = &self.wanted;
        if self.reader.files().iter().all(InputFile::is_seekable) { portions.bytes(progress.clone()) } else { 0 }
    }
}

/// Returns the offset in the file of byte `at` of a block.
fn offset(piece: &Piece, at: usize) -> u64 {
    piece.start.offset + (at - piece.range.start) as u64
}

/// As [`offset`], for the beginning of a line, which a byte-order mark belongs to.
fn begin(piece: &Piece, at: usize) -> u64 {
    offset(piece, at) - if at == piece.range.start { piece.dropped } else { 0 }
}

/// Returns where the line after the one with byte `at` begins.
fn next_line(bytes: &[u8], at: usize) -> usize {
    memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |newline| at + newline + 1)
}

/// Returns a line without its newline.
fn line(bytes: &[u8], at: usize, next: usize) -> &[u8] {
    let line = &bytes[at..next];
    line.strip_suffix(b"\n").unwrap_or(line)
}
