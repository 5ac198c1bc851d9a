//! Files with the lines of one portion as sequences of distinct words.
//!
//! A file consists of Zstandard frames. Each has the checksum of its content, which is 1 MiB or, in the last frame, less.
//! The contents of all frames, one after the other, are:
//!
//! | bytes | content |
//! |---|---|
//! | 8 | `AFWORDS1` |
//! | for each line of the text, in order: | |
//! | 1 or more | the number of its words; 0 if normalization made the line empty |
//! | for each of its words: | |
//! | 1 or more | the number of the word, from 0 |
//! | 1 or more | only if a word has this number for the first time: its length in bytes |
//! | any | only then: its bytes, a part of UTF-8 text |
//!
//! Words are numbered in the order in which they come first. So a number is at most the number of words before. All
//! numbers are written with seven bits a byte, the lowest first, and the highest bit is set in all bytes but the last
//! (LEB128). The bytes depend on the lines only. How many lines and words there are, and the size of the file, is noted
//! elsewhere ([`Written`]).

use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::files::atomic::AtomicFile;
use crate::files::inputs::{InputFile, InputKind};
use crate::files::notes::create;
use crate::tokens::training::corpus::MEMORY;
use crate::tokens::training::interner::Interner;
use crate::tokens::training::lines::Lines;
use crate::tokens::training::spool::{Spool, write_number};
use crate::tokens::training::watch::Watch;
use crate::{Error, Result};

const MAGIC: &[u8; 8] = b"AFWORDS1";
/// The number of bytes in a frame.
const FRAME: usize = 1 << 20;
/// Numbers of lines and words are small, so a higher level gains little.
const LEVEL: i32 = 1;
/// After how many lines a thread asks whether to stop.
const OFTEN: u64 = 1 << 12;
/// The most bytes of a number.
const LONGEST_NUMBER: u32 = 10;

/// What is in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Written {
    /// The number of lines, with those that normalization made empty.
    pub lines: u64,
    /// The number of distinct words.
    pub words: u64,
    /// The size on disk in bytes.
    pub size: u64,
}

struct Frames {
    file: AtomicFile,
    compressor: zstd::bulk::Compressor<'static>,
    pending: Vec<u8>,
    size: u64,
}

impl Frames {
    fn create(path: &Path) -> Result<Self> {
        let error = |source| Error::io("cannot write", path, source);
        let mut compressor = zstd::bulk::Compressor::new(LEVEL).map_err(error)?;
        compressor.set_parameter(zstd::zstd_safe::CParameter::ChecksumFlag(true)).map_err(error)?;
        Ok(Self { file: create(path)?, compressor, pending: Vec::new(), size: 0 })
    }

    /// Writes whole frames, or all that is there.
    fn flush(&mut self, all: bool) -> Result<()> {
        let Self { file, compressor, pending, size } = self;
        let length = if all { pending.len() } else { pending.len() / FRAME * FRAME };
        for content in pending[..length].chunks(FRAME) {
            let frame =
                compressor.compress(content).map_err(|source| Error::io("cannot write", file.path(), source))?;
            *size += frame.len() as u64;
            file.write(&frame)?;
        }
        pending.drain(..length);
        Ok(())
    }
}

/// Writes lines to the file at `path`, which appears whole.
///
/// # Errors
/// [`Error::Io`]; `watch` asks to stop.
pub(super) fn write(path: &Path, lines: &Lines, watch: &Watch) -> Result<Written> {
    const NONE: u32 = u32::MAX;
    let mut frames = Frames::create(path)?;
    frames.pending.extend_from_slice(MAGIC);
    let mut numbers = vec![NONE; lines.words().len()];
    let mut written = Written { lines: 0, words: 0, size: 0 };
    let (mut cursor, mut line) = (lines.cursor(), Vec::new());
    while cursor.next_in_text(&mut line)? {
        let out = &mut frames.pending;
        write_number(line.len() as u64, out);
        for &word in &line {
            let number = &mut numbers[word as usize];
            if *number == NONE {
                *number = written.words as u32;
                written.words += 1;
                let bytes = lines.words().get(word);
                write_number(u64::from(*number), out);
                write_number(bytes.len() as u64, out);
                out.extend_from_slice(bytes);
            } else {
                write_number(u64::from(*number), out);
            }
        }
        written.lines += 1;
        if written.lines.is_multiple_of(OFTEN) {
            watch.advance(OFTEN)?;
        }
        if frames.pending.len() >= FRAME {
            frames.flush(false)?;
        }
    }
    frames.flush(true)?;
    written.size = frames.size;
    frames.file.commit()?;
    Ok(written)
}

/// Returns the error for a file that is not as a task has written it.
fn damaged(path: &Path, fault: &str) -> Error {
    Error::data(path, format!("damaged ({fault}); remove this file, and run the same command again to make it again"))
}

/// The lines of several files, one after the other, in bounded memory: what is large is the distinct words.
#[derive(Default)]
pub(super) struct Joined {
    words: Interner,
    /// How often each word occurs.
    counts: Vec<u64>,
    lines: Spool,
    /// How many lines have no words.
    empty: u64,
}

impl Joined {
    /// Adds the lines of the file at `path`, which has what `written` says.
    ///
    /// # Errors
    /// [`Error::Data`] if it has not; [`Error::Io`]; `watch` asks to stop.
    pub fn add(&mut self, path: &Path, written: &Written, watch: &Watch) -> Result<()> {
        let file = InputFile { path: path.into(), kind: InputKind::File, bytes: written.size, version: None };
        let file = file.open(&Arc::default())?;
        let decoder = zstd::stream::read::Decoder::new(file).map_err(|error| cannot_read(path, error))?;
        let mut source = Source { path, reader: BufReader::with_capacity(FRAME, decoder) };
        let mut magic = [0; MAGIC.len()];
        source.fill(&mut magic)?;
        if magic != *MAGIC {
            return Err(damaged(path, "its first bytes are others"));
        }
        let Self { words, counts, lines, empty } = self;
        // The numbers that the words of the file have here.
        let mut numbers: Vec<u32> = Vec::new();
        let (mut line, mut word) = (Vec::new(), Vec::new());
        for place in 1..=written.lines {
            line.clear();
            let length = source.number()?;
            for _ in 0..length {
                let number = source.number()? as usize;
                if number == numbers.len() {
                    word.resize(source.length()?, 0);
                    source.fill(&mut word)?;
                    if std::str::from_utf8(&word).is_err() {
                        return Err(damaged(path, "a word is not UTF-8"));
                    }
                    numbers.push(words.intern(&word));
                    counts.resize(words.len(), 0);
                }
                let Some(&number) = numbers.get(number) else {
                    return Err(damaged(path, "a word is missing"));
                };
                counts[number as usize] += 1;
                line.push(number);
            }
            *empty += u64::from(line.is_empty());
            lines.push(&line, MEMORY);
            if place.is_multiple_of(OFTEN) {
                watch.advance(OFTEN)?;
            }
        }
        let is_at_end = source.reader.read(&mut [0]).map_err(|error| cannot_read(path, error))? == 0;
        if !is_at_end || numbers.len() as u64 != written.words {
            return Err(damaged(path, "it has other lines than noted"));
        }
        Ok(())
    }

    pub fn into_lines(self) -> Lines {
        Lines::of(self.words, self.counts, self.lines, self.empty)
    }
}

fn cannot_read(path: &Path, error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => damaged(path, "it ends too early"),
        // Zstandard says by it that a frame is broken.
        std::io::ErrorKind::Other => damaged(path, &error.to_string()),
        _ => Error::io("cannot read", path, error),
    }
}

/// The decompressed content of a file.
struct Source<'a, R> {
    path: &'a Path,
    reader: BufReader<R>,
}

impl<R: Read> Source<'_, R> {
    fn fill(&mut self, to: &mut [u8]) -> Result<()> {
        self.reader.read_exact(to).map_err(|error| cannot_read(self.path, error))
    }

    fn number(&mut self) -> Result<u64> {
        let mut number = 0;
        for place in 0..LONGEST_NUMBER {
            let mut byte = [0];
            self.fill(&mut byte)?;
            number |= u64::from(byte[0] & 0x7F) << (7 * place);
            if byte[0] < 0x80 {
                return Ok(number);
            }
        }
        Err(damaged(self.path, "a number is too large"))
    }

    /// Returns the length of a word.
    fn length(&mut self) -> Result<usize> {
        match self.number()? {
            length if length <= 1 << 30 => Ok(length as usize),
            _ => Err(damaged(self.path, "a word is too long")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::training::watch::unwatched;

    const LINES: [&[&str]; 5] = [&["▁ein", "▁wort"], &[], &["▁wort", "▁wort", "▁ein"], &["▁zwei"], &[]];

    fn lines() -> Lines {
        let (mut words, mut spool, mut counts) = (Interner::default(), Spool::default(), Vec::new());
        // A word that does not occur is not written.
        words.intern("▁nie".as_bytes());
        for line in LINES {
            let line: Vec<u32> = line.iter().map(|word| words.intern(word.as_bytes())).collect();
            counts.resize(words.len(), 0);
            for &word in &line {
                counts[word as usize] += 1;
            }
            spool.push(&line, 0);
        }
        Lines::of(words, counts, spool, 2)
    }

    fn content(lines: &Lines) -> Vec<Vec<String>> {
        let (mut cursor, mut line, mut all) = (lines.cursor(), Vec::new(), Vec::new());
        while cursor.next_in_text(&mut line).unwrap() {
            let text = |&word: &u32| String::from_utf8(lines.words().get(word).to_vec()).unwrap();
            all.push(line.iter().map(text).collect());
        }
        all
    }

    #[test]
    fn lines_come_back_one_file_after_the_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/0.words");
        let written = unwatched(|watch| write(&path, &lines(), watch));
        let size = std::fs::metadata(&path).unwrap().len();
        assert_eq!(written, Written { lines: 5, words: 3, size });
        let bytes = zstd::decode_all(&std::fs::read(&path).unwrap()[..]).unwrap();
        assert_eq!(&bytes[..13], b"AFWORDS1\x02\x00\x06\xE2\x96");
        let mut joined = Joined::default();
        for _ in 0..2 {
            unwatched(|watch| joined.add(&path, &written, watch));
        }
        assert_eq!((joined.counts.clone(), joined.empty), (vec![4, 6, 2], 4));
        let all = joined.into_lines();
        assert_eq!(all.len(), 6);
        assert_eq!(content(&all), [content(&lines()), content(&lines())].concat());
    }

    #[test]
    fn damage_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.words");
        let written = unwatched(|watch| write(&path, &lines(), watch));
        let good = std::fs::read(&path).unwrap();
        let fault = |bytes: &[u8], written: &Written| {
            std::fs::write(&path, bytes).unwrap();
            let error = unwatched(|watch| Ok(Joined::default().add(&path, written, watch).unwrap_err()));
            assert!(matches!(error, Error::Data { .. }), "{error}");
            error.to_string()
        };
        for place in 0..good.len() {
            let mut bytes = good.clone();
            bytes[place] ^= 0x41;
            fault(&bytes, &written);
        }
        for end in 0..good.len() {
            fault(&good[..end], &written);
        }
        for other in [Written { lines: 4, ..written.clone() }, Written { words: 2, ..written.clone() }] {
            assert!(fault(&good, &other).contains("it has other lines than noted"));
        }
        let frame = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
        assert!(fault(&frame(b"AFWORDS2"), &written).contains("its first bytes are others"));
        assert!(fault(&frame(b"AFWORDS1\x01\x01"), &written).contains("a word is missing"));
        assert!(fault(&frame(b"AFWORDS1\x01\x00\x01\xFF"), &written).contains("a word is not UTF-8"));
        assert!(fault(&frame(&[b"AFWORDS1", &[0xFF; 12][..]].concat()), &written).contains("a number is too large"));
        assert!(fault(&frame(b"AFWORDS1\x01\x00\xFF\xFF\xFF\xFF\x7F"), &written).contains("a word is too long"));
    }
}
