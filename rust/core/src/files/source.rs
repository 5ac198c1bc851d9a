//! Opens one input: detects its format by the first bytes, and decompresses it.

mod ahead;
mod bzip2;
mod members;
mod pipe;

use std::io::{self, BufRead, BufReader, Cursor, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::GzDecoder;
use liblzma::bufread::XzDecoder;

use self::members::{Member, Members, Trailing};
pub(crate) use self::pipe::Meter;
use self::pipe::{GivenUp, Pipe};
use super::foreign::Foreign;
use super::inputs::{InputFile, InputKind};
use super::remote::{Failure, FailureKind};
use crate::{Error, Result};

const BUFFER: usize = 256 << 10;

/// The format of a file according to its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Plain,
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }
}

/// The number of bytes that are examined.
const HEAD: usize = 512;

/// Returns the format, or what the data is if it cannot be read.
fn sniff(head: &[u8]) -> Result<Format, Foreign> {
    match head {
        [0x1F, 0x8B, ..] => Ok(Format::Gzip),
        // A zstd frame, or the skippable frame that parallel compressors write first.
        [0x28, 0xB5, 0x2F, 0xFD, ..] | [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..] => Ok(Format::Zstd),
        // This also recognizes a file that is truncated within its first bytes.
        [0xFD, b'7', b'z', b'X', rest @ ..] if b"Z\0".starts_with(&rest[..rest.len().min(2)]) => Ok(Format::Xz),
        _ if head.len() > 3 && bzip2::is_start(head) => Ok(Format::Bzip2),
        _ => Foreign::of(head).map_or(Ok(Format::Plain), Err),
    }
}

/// Counts the bytes that are read from disk, before decompression. They measure the progress.
pub(super) struct Counting<R> {
    inner: R,
    /// The bytes read from all inputs.
    count: Arc<AtomicU64>,
    /// The bytes read from this input.
    pub total: u64,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.count.fetch_add(n as u64, Ordering::Relaxed);
        self.total += n as u64;
        Ok(n)
    }
}

/// An open input.
pub(crate) struct Source {
    pub reader: Box<dyn BufRead + Send>,
    /// Decompressed bytes that the caller must skip to reach the offset it asked for.
    pub skip: u64,
    format: Format,
}

impl Source {
    /// Opens `file` for reading from decompressed byte `offset`. `stdin` replaces standard input.
    pub fn open(file: &InputFile, stdin: Option<Box<dyn Read + Send>>, offset: u64, meter: &Meter) -> Result<Self> {
        let error = |e| failed(file, e);
        if file.kind == InputKind::File {
            let mut raw = meter.ahead.open(file, &meter.stop)?;
            let mut head = Vec::new();
            (&mut raw).take(HEAD as u64).read_to_end(&mut head).map_err(error)?;
            let format = Self::format(file, &head)?;
            let start = if format == Format::Plain { offset } else { 0 };
            raw.seek(SeekFrom::Start(start)).map_err(error)?;
            meter.bytes.fetch_add(start, Ordering::Relaxed);
            let buffer = usize::try_from(file.bytes).unwrap_or(BUFFER).saturating_add(1).clamp(64, BUFFER);
            return Self::decode(file, raw, format, offset - start, buffer, meter);
        }
        let mut raw: Box<dyn Read + Send> = match (file.kind, stdin) {
            (InputKind::Stdin, Some(reader)) => reader,
            (InputKind::Stdin, None) => Box::new(Pipe::stdin(Arc::clone(&meter.stop)).map_err(error)?),
            _ => Box::new(Pipe::open(&file.path, Arc::clone(&meter.stop)).map_err(error)?),
        };
        let mut head = Vec::new();
        (&mut raw).take(HEAD as u64).read_to_end(&mut head).map_err(error)?;
        let format = Self::format(file, &head)?;
        Self::decode(file, Cursor::new(head).chain(raw), format, offset, BUFFER, meter)
    }

    fn format(file: &InputFile, head: &[u8]) -> Result<Format> {
        sniff(head).map_err(|Foreign { what, advice }| Error::data(&file.path, format!("this is {what}; {advice}")))
    }

    fn decode(
        file: &InputFile,
        raw: impl Read + Send + 'static,
        format: Format,
        skip: u64,
        buffer: usize,
        meter: &Meter,
    ) -> Result<Self> {
        let raw = BufReader::with_capacity(buffer, Counting { inner: raw, count: Arc::clone(&meter.bytes), total: 0 });
        let error = |e| failed(file, e);
        let reader: Box<dyn BufRead + Send> = match format {
            Format::Plain => Box::new(raw),
            Format::Bzip2 => Box::new(bzip2::MultiStream::new(raw)),
            Format::Gzip => members::<_, GzDecoder<_>>(raw).map_err(error)?,
            Format::Xz => members::<_, XzDecoder<_>>(raw).map_err(error)?,
            Format::Zstd => members::<_, zstd::stream::read::Decoder<'static, _>>(raw).map_err(error)?,
        };
        Ok(Self { reader, skip, format })
    }

    /// Whether the file is compressed on disk.
    pub fn is_compressed(&self) -> bool {
        self.format != Format::Plain
    }

    /// Returns the error of a failed read: the system refused, or compressed data is damaged.
    pub fn error(&self, file: &InputFile, error: io::Error) -> Error {
        let is_damage = error.raw_os_error().is_none() && Failure::of(&error).is_none() && !is_given_up(&error);
        if self.format == Format::Plain || !is_damage {
            return failed(file, error);
        }
        let name = self.format.name();
        if let Some(trailing) = error.get_ref().and_then(|it| it.downcast_ref::<Trailing>()) {
            let Trailing { byte } = trailing;
            return Error::data(
                &file.path,
                format!(
                    "byte {byte}: only {name} data or zeros may follow the {name} data, got other data; fetch the file again, \
                     or keep only what comes before: {name} -dc FILE > NEW"
                ),
            );
        }
        let what = if error.kind() == io::ErrorKind::UnexpectedEof { "truncated" } else { "damaged" };
        Error::data(&file.path, format!("the {name} data is {what} ({error}); fetch or compress the file again"))
    }
}

fn is_given_up(error: &io::Error) -> bool {
    matches!(error.get_ref(), Some(it) if it.is::<GivenUp>())
        || Failure::of(error).is_some_and(|failure| failure.kind == FailureKind::Stopped)
}

/// Returns the error of a read that the system refused or that was abandoned.
fn failed(file: &InputFile, error: io::Error) -> Error {
    if is_given_up(&error) {
        return Error::Interrupted(error.to_string());
    }
    Error::io("cannot read", &file.path, error)
}

fn members<R, D>(raw: BufReader<Counting<R>>) -> io::Result<Box<dyn BufRead + Send>>
where
    R: Read + Send + 'static,
    D: Member<BufReader<Counting<R>>> + Send + 'static,
{
    Ok(Box::new(BufReader::with_capacity(BUFFER, Members::<R, D>::new(raw)?)))
}
