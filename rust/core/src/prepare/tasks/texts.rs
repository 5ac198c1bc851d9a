//! Writes and reads files of cleaned documents.

use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use memchr::{memchr_iter, memmem};
use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_128;

use super::header::Shard;
use crate::files::atomic::AtomicFile;
use crate::files::inputs::{InputFile, InputKind};
use crate::files::notes::create;
use crate::prepare::hashes::damaged;
use crate::prepare::output::{CHUNK, TextCompression};
use crate::prepare::summary::Written;
use crate::prepare::work::is_held_out;
use crate::{Error, Result};

/// The number of bytes of text after which whole chunks are compressed and written.
const PENDING: usize = 8 * CHUNK;
/// The number of bytes that are read at a time.
const READ: usize = 1 << 20;

/// A file of documents that is being written. Its bytes depend only on the documents.
pub(super) struct TextFile {
    file: AtomicFile,
    compression: TextCompression,
    pending: Vec<u8>,
    text: Written,
    size: u64,
}

impl TextFile {
    pub fn create(path: &Path, compression: TextCompression) -> Result<Self> {
        let (pending, text) = (Vec::new(), Written::default());
        Ok(Self { file: create(path)?, compression, pending, text, size: 0 })
    }

    /// Adds a document of whole lines.
    pub fn push(&mut self, document: &str) -> Result<()> {
        self.pending.extend_from_slice(document.as_bytes());
        self.pending.push(b'\n');
        self.text.documents += 1;
        self.text.sentences += memchr_iter(b'\n', document.as_bytes()).count() as u64;
        self.text.bytes += document.len() as u64 + 1;
        if self.pending.len() >= PENDING { self.flush(self.pending.len() / CHUNK * CHUNK) } else { Ok(()) }
    }

    fn flush(&mut self, length: usize) -> Result<()> {
        let Self { file, compression, pending, size, .. } = self;
        let compress = |text: &[u8]| compression.compress(text);
        let parts = pending[..length].par_chunks(CHUNK).map(compress).collect::<Result<Vec<_>, _>>();
        for part in parts.map_err(|source| Error::io("cannot write", file.path(), source))? {
            *size += part.len() as u64;
            file.write(&part)?;
        }
        pending.drain(..length);
        Ok(())
    }

    /// Gives the file its name.
    pub fn commit(mut self) -> Result<Shard> {
        self.flush(self.pending.len())?;
        if self.size == 0 {
            // An empty file would not be a valid gzip or zstd file.
            let empty = self.compression.compress(b"");
            let empty = empty.map_err(|source| Error::io("cannot write", self.file.path(), source))?;
            self.size = empty.len() as u64;
            self.file.write(&empty)?;
        }
        let name = self.file.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.file.commit()?;
        Ok(Shard { file: name, text: self.text, size: self.size })
    }
}

/// The files of a portion that are being written: documents for training, and those that are held out.
pub(super) struct Shards {
    pub training: TextFile,
    pub held_out: Option<TextFile>,
    pub eval_fraction: f64,
}

impl Shards {
    /// Adds a document with the XXH3-128 hash of its text, which is computed if it is not given.
    pub fn push(&mut self, document: &str, hash: Option<u128>) -> Result<()> {
        let hash = || hash.unwrap_or_else(|| xxh3_128(document.as_bytes()));
        match &mut self.held_out {
            Some(held_out) if is_held_out(hash(), self.eval_fraction) => held_out.push(document),
            _ => self.training.push(document),
        }
    }

    /// Gives the files their names. Returns them.
    pub fn commit(self) -> Result<(Shard, Option<Shard>)> {
        // Held-out documents come first: if the training text exists, both do.
        let held_out = self.held_out.map(TextFile::commit).transpose()?;
        Ok((self.training.commit()?, held_out))
    }
}

/// Passes the documents of the zstd file at `path`, which has `size` bytes, to `each`, in order.
pub(super) fn read_documents(
    path: &Path,
    size: u64,
    stop: &Arc<AtomicBool>,
    mut each: impl FnMut(&str) -> Result<()>,
) -> Result<()> {
    let error = |source| Error::io("cannot read", path, source);
    let file = InputFile { path: path.into(), kind: InputKind::File, bytes: size, version: None };
    let file = BufReader::with_capacity(READ, file.open(stop)?);
    let mut decoder = zstd::stream::read::Decoder::with_buffer(file).map_err(error)?;
    let mut buffer = Vec::new();
    loop {
        let more = (&mut decoder).take(READ as u64).read_to_end(&mut buffer).map_err(error)?;
        let mut start = 0;
        // A document ends with a blank line, and has none.
        while let Some(end) = memmem::find(&buffer[start..], b"\n\n") {
            let document = std::str::from_utf8(&buffer[start..=start + end]);
            each(document.map_err(|_| damaged(path))?)?;
            start += end + 2;
        }
        buffer.drain(..start);
        if more == 0 {
            return if buffer.is_empty() { Ok(()) } else { Err(damaged(path)) };
        }
    }
}
