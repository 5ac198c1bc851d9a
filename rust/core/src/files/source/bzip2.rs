//! Decompresses bzip2 files of many streams, as Wikipedia's dumps and parallel compressors write them, on all threads.
//!
//! A stream begins at a whole byte with a magic number of 80 bits, in which only the level's digit varies. If another
//! stream seems to begin at some place, the data before it is decompressed as a stream of its own. This shows whether
//! the stream ends there. A stream whose end is not in the buffer, or that does not end there, is decompressed by
//! itself while it is read, in bounded memory.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::{self, BufRead, Error, ErrorKind, Read};
use std::ops::Range;

use bzip2::{Decompress, Status};
use memchr::memmem::Finder;
use rayon::prelude::*;

use super::members::Trailing;

/// The bytes after `BZh1` to `BZh9`: the start of a data block.
const BLOCK: [u8; 6] = [0x31, 0x41, 0x59, 0x26, 0x53, 0x59];

/// The alternative: the end of an empty stream.
const END: [u8; 6] = [0x17, 0x72, 0x45, 0x38, 0x50, 0x90];

/// The length of `BZh` and the level.
const HEAD: usize = 4;

/// Divides the limits, so that tests reach them with small data.
const SMALL: usize = if cfg!(test) { 64 } else { 1 };

/// The next stream must begin within this many compressed bytes.
const LONGEST: usize = (8 << 20) / SMALL;

/// The most compressed bytes held at once, if there are streams so long and threads so many.
const HELD: usize = (64 << 20) / SMALL;

/// The most decompressed bytes of the streams of a wave together, and at least allowed for each stream.
const DECODED: (usize, usize) = ((256 << 20) / SMALL, (8 << 20) / SMALL);

const READ: usize = (1 << 20) / SMALL;

/// The number of decompressed bytes of a long stream that are handed over at once.
const PART: usize = 256 << 10;

/// Whether `bytes`, as far as they reach, begin as a stream does.
pub(super) fn is_start(bytes: &[u8]) -> bool {
    match bytes {
        [b'B', b'Z', b'h', b'1'..=b'9', rest @ ..] => {
            let start = &rest[..rest.len().min(BLOCK.len())];
            BLOCK.starts_with(start) || END.starts_with(start)
        }
        _ => false,
    }
}

/// Reads the decompressed bytes of all streams of `raw`, one after the other.
pub(super) struct MultiStream<R> {
    raw: R,
    ended: bool,
    /// The number of bytes read from `raw`.
    read: u64,
    /// Bytes that were read. From `at` on, they are not yet decompressed.
    compressed: Vec<u8>,
    at: usize,
    /// Decompressed data. Of the first item, `given` bytes are handed over.
    ready: VecDeque<Vec<u8>>,
    given: usize,
    /// The stream that is decompressed while it is read.
    long: Option<Decompress>,
    failed: Option<Error>,
}

impl<R: BufRead> MultiStream<R> {
    /// Reads `raw`, which must begin as a stream does.
    pub fn new(raw: R) -> Self {
        Self {
            raw,
            ended: false,
            read: 0,
            compressed: Vec::new(),
            at: 0,
            ready: VecDeque::new(),
            given: 0,
            long: None,
            failed: None,
        }
    }

    /// Reads `n` more bytes, or fewer at the end.
    fn read_more(&mut self, n: usize) -> io::Result<()> {
        let wanted = self.compressed.len() + n;
        while self.compressed.len() < wanted && !self.ended {
            let bytes = match self.raw.fill_buf() {
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                result => result?,
            };
            let taken = &bytes[..bytes.len().min(wanted - self.compressed.len())];
            self.ended = taken.is_empty();
            self.compressed.extend_from_slice(taken);
            let n = taken.len();
            self.raw.consume(n);
            self.read += n as u64;
        }
        Ok(())
    }

    /// Decompresses the next streams, or begins a long one. Returns `false` at the end.
    fn wave(&mut self) -> io::Result<bool> {
        if self.at > self.compressed.len() / 2 {
            self.compressed.drain(..self.at);
            self.at = 0;
        }
        self.skip_zeros()?;
        let streams = self.find(2 * rayon::current_num_threads())?;
        let start = &self.compressed[self.at..];
        let start = &start[..start.len().min(HEAD + BLOCK.len())];
        if start.is_empty() {
            return Ok(false);
        }
        if !is_start(start) {
            if b"BZh".starts_with(start) {
                return Err(Error::new(ErrorKind::UnexpectedEof, "the last stream ends within its first bytes"));
            }
            let byte = self.read - (self.compressed.len() - self.at) as u64 + 1;
            return Err(Error::new(ErrorKind::InvalidData, Trailing { byte }));
        }
        let longest = (DECODED.0 / streams.len().max(1)).max(DECODED.1);
        let compressed = &self.compressed;
        let decoded: Vec<_> = streams.par_iter().map(|range| decode(&compressed[range.clone()], longest)).collect();
        let begin = self.at;
        for (range, stream) in streams.into_iter().zip(decoded) {
            // Otherwise, the apparent beginning was within a stream.
            if range.start != self.at {
                break;
            }
            let Some((bytes, used)) = stream else { break };
            self.ready.push_back(bytes);
            self.at += used;
        }
        if self.at == begin {
            self.long = Some(Decompress::new(false));
        }
        Ok(true)
    }

    /// Skips the zeros that may fill up a file after a stream.
    fn skip_zeros(&mut self) -> io::Result<()> {
        loop {
            let rest = &self.compressed[self.at..];
            let zeros = rest.iter().take_while(|&&byte| byte == 0).count();
            let more = zeros < rest.len();
            self.at += zeros;
            if more || self.ended {
                return Ok(());
            }
            self.compressed.clear();
            self.at = 0;
            self.read_more(READ)?;
        }
    }

    /// Returns up to `wanted` ranges of apparently whole streams, from `at` on, without gaps.
    fn find(&mut self, wanted: usize) -> io::Result<Vec<Range<usize>>> {
        let finder = Finder::new(b"BZh");
        let mut found = Vec::new();
        let (mut begin, mut searched) = (self.at, self.at + 1);
        while found.len() < wanted {
            let next = self.compressed.get(searched..).and_then(|rest| finder.find(rest)).map(|at| searched + at);
            match next {
                // Only the complete magic number rules out a chance match.
                Some(start) if start + HEAD + BLOCK.len() <= self.compressed.len() => {
                    if is_start(&self.compressed[start..start + HEAD + BLOCK.len()]) {
                        found.push(begin..start);
                        begin = start;
                    }
                    searched = start + 1;
                }
                _ if self.ended => {
                    if begin < self.compressed.len() {
                        found.push(begin..self.compressed.len());
                    }
                    break;
                }
                _ if self.compressed.len() - begin >= LONGEST || self.compressed.len() - self.at >= HELD => break,
                _ => {
                    searched = next.unwrap_or(self.compressed.len().saturating_sub(2)).max(searched);
                    self.read_more(READ)?;
                }
            }
        }
        Ok(found)
    }

    /// Decompresses the next part of the long stream.
    fn read_long(&mut self, mut stream: Decompress) -> io::Result<()> {
        let mut part = Vec::with_capacity(PART);
        while part.len() < part.capacity() {
            if self.at == self.compressed.len() {
                self.compressed.clear();
                self.at = 0;
                self.read_more(READ)?;
            }
            match step(&mut stream, &self.compressed[self.at..], &mut part) {
                Ok((used, false)) => self.at += used,
                Ok((used, true)) => {
                    self.at += used;
                    self.ready.push_back(part);
                    return Ok(());
                }
                Err(error) => {
                    // Data before the damage is handed over first.
                    self.failed = Some(error);
                    self.ready.push_back(part);
                    return Ok(());
                }
            }
        }
        self.long = Some(stream);
        self.ready.push_back(part);
        Ok(())
    }
}

impl<R: BufRead> BufRead for MultiStream<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.ready.front().is_none_or(|part| part.len() == self.given) {
            if self.ready.pop_front().is_some() {
                self.given = 0;
            } else if let Some(error) = self.failed.take() {
                return Err(error);
            } else if let Some(stream) = self.long.take() {
                self.read_long(stream)?;
            } else if !self.wave()? {
                return Ok(&[]);
            }
        }
        Ok(self.ready.front().map_or(&[], |part| &part[self.given..]))
    }

    fn consume(&mut self, n: usize) {
        self.given += n;
    }
}

impl<R: BufRead> Read for MultiStream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(buffer)?;
        self.consume(n);
        Ok(n)
    }
}

/// Decompresses the stream at the beginning of `compressed` and returns it with its compressed length. Returns `None`
/// if the stream does not end within `compressed`, is damaged, or decompresses to more than `longest` bytes.
fn decode(compressed: &[u8], longest: usize) -> Option<(Vec<u8>, usize)> {
    let mut stream = Decompress::new(false);
    // Roughly the size of decompressed text, so that the buffer seldom moves.
    let mut out = Vec::with_capacity((compressed.len() * 5).clamp(1, longest));
    let mut at = 0;
    loop {
        if out.len() == out.capacity() {
            if out.len() >= longest {
                return None;
            }
            out.reserve(out.len());
        }
        let (used, has_ended) = step(&mut stream, &compressed[at..], &mut out).ok()?;
        at += used;
        if has_ended {
            return Some((out, at));
        }
    }
}

/// Decompresses into the spare capacity of `out`, which must have some. Returns the bytes used and whether the stream
/// ended.
fn step(stream: &mut Decompress, compressed: &[u8], out: &mut Vec<u8>) -> io::Result<(usize, bool)> {
    let (before, length) = (stream.total_in(), out.len());
    let status = stream.decompress_vec(compressed, out).map_err(|e| Error::new(ErrorKind::InvalidData, e))?;
    let used = (stream.total_in() - before) as usize;
    match status {
        Status::StreamEnd => Ok((used, true)),
        Status::MemNeeded => Err(ErrorKind::OutOfMemory.into()),
        _ if used == 0 && out.len() == length => {
            Err(Error::new(ErrorKind::UnexpectedEof, "the last stream has no end"))
        }
        _ => Ok((used, false)),
    }
}
