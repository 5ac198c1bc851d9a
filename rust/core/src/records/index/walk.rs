//! Finds the starts of records in the bytes of a file.

use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::parallel::Stop;
use crate::records::tfrecord::{FOOTER_BYTES, HEADER_BYTES, data_length, decompressed, read_error};
use crate::{Error, Result};

/// Bytes passed on at a time.
const BLOCK: usize = 256 << 10;

/// Counts the bytes that are read from disk, which measure the progress.
struct Counting<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// A file that is about to be walked.
pub(super) struct Walk<'a> {
    path: &'a Path,
    source: Box<dyn Read + Send>,
    pub is_gzip: bool,
}

impl<'a> Walk<'a> {
    /// Walks `file`, opened at `path`. Adds what it reads to `count`.
    pub fn new(path: &'a Path, file: impl Read + Send + 'static, count: &Arc<AtomicU64>) -> Result<Self> {
        let counting = Counting { inner: file, count: Arc::clone(count) };
        let (source, is_gzip) = decompressed(counting).map_err(|source| Error::io("cannot read", path, source))?;
        Ok(Self { path, source, is_gzip })
    }

    /// Passes all bytes, decompressed, to `sink`. Returns the start of each frame and the end of the last one.
    ///
    /// Verifies lengths and their checksums. Data is verified only when it is read.
    pub fn run(mut self, stop: &Stop, mut sink: impl FnMut(&[u8]) -> Result<()>) -> Result<Vec<u64>> {
        let mut frames =
            Frames { path: self.path, offsets: vec![0], header: [0; HEADER_BYTES], have: 0, rest: 0, skip: 0 };
        let mut block = vec![0; BLOCK];
        loop {
            stop.check()?;
            match self.source.read(&mut block) {
                Ok(0) => return frames.finish(),
                Ok(read) => {
                    sink(&block[..read])?;
                    frames.feed(&block[..read])?;
                }
                Err(source) if source.kind() == ErrorKind::Interrupted => {}
                Err(source) => return Err(read_error(self.path, source, |reason| frames.damage(reason))),
            }
        }
    }
}

/// Finds frames in bytes that arrive in blocks.
struct Frames<'a> {
    path: &'a Path,
    /// The starts of the frames so far, and of the one being read.
    offsets: Vec<u64>,
    header: [u8; HEADER_BYTES],
    /// The number of bytes of the header that have arrived.
    have: usize,
    /// The number of bytes of the frame after a complete header, and how many of them are still to come.
    rest: u64,
    skip: u64,
}

impl Frames<'_> {
    fn feed(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            if self.have < HEADER_BYTES {
                let take = bytes.len().min(HEADER_BYTES - self.have);
                self.header[self.have..self.have + take].copy_from_slice(&bytes[..take]);
                self.have += take;
                bytes = &bytes[take..];
                if self.have < HEADER_BYTES {
                    return Ok(());
                }
                let length = data_length(&self.header, self.index()).map_err(|reason| self.damage(reason))?;
                self.rest = length + FOOTER_BYTES as u64;
                self.skip = self.rest;
            }
            let take = bytes.len().min(self.skip as usize);
            bytes = &bytes[take..];
            self.skip -= take as u64;
            if self.skip == 0 {
                self.offsets.push(self.begin() + HEADER_BYTES as u64 + self.rest);
                self.have = 0;
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Vec<u64>> {
        match self.have {
            0 => Ok(self.offsets),
            HEADER_BYTES => {
                let (wanted, got) = (self.rest, self.rest - self.skip);
                Err(self.damage(format!("the file ends after {got} of the {wanted} bytes of the record and its CRC")))
            }
            got => Err(self.damage(format!("the file ends after {got} of the 12 bytes of the record's header"))),
        }
    }

    /// The number of the record being read.
    fn index(&self) -> u64 {
        self.offsets.len() as u64 - 1
    }

    fn begin(&self) -> u64 {
        self.offsets.last().copied().unwrap_or(0)
    }

    fn damage(&self, reason: String) -> Error {
        Error::Record { path: self.path.into(), record: self.index(), offset: self.begin(), reason }
    }
}
