//! Writes a token store part by part, as tokens arrive.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use serde_json::Value;

use super::files::checksum;
use super::{
    FORMAT, HEADER_BYTES, Header, JOURNAL_FILE, META_FILE, MODEL_FILE, PartMeta, StoreMeta, TokenStore, VERSION,
    VOCABULARY_FILE, check_endianness, id_bytes, part_name, portion_of,
};
use crate::files::inputs::InputRecord;
use crate::files::remote::is_remote;
use crate::files::{atomic, raw, scratch};
use crate::tokens::documents::Ids;
use crate::{Error, Result};

const BUFFER: usize = 256 << 10;
/// The most closed parts that are on their way to a server while the next one is written.
const CLOSING: usize = 2;

/// The tokenizer that a store is made with.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenizerInfo {
    /// SHA-256 of the tokenizer's model and text rules, in hexadecimal.
    pub digest: String,
    /// A description of the tokenizer.
    pub description: Value,
    /// Number of pieces in the vocabulary.
    pub vocab_size: u32,
    /// Name and bytes of the tokenizer's file. The store keeps a copy of it.
    pub file: Option<(String, Vec<u8>)>,
}

impl TokenizerInfo {
    /// Returns the description of a store that has no parts yet.
    pub(crate) fn describe(&self, inputs: Vec<InputRecord>, settings: Value) -> StoreMeta {
        StoreMeta {
            format: FORMAT.into(),
            version: VERSION,
            tokenizer_digest: self.digest.clone(),
            tokenizer: self.description.clone(),
            tokenizer_file: self.file.as_ref().map(|(name, _)| name.clone()),
            vocab_size: self.vocab_size,
            id_bytes: id_bytes(self.vocab_size),
            documents: 0,
            sentences: 0,
            tokens: 0,
            bytes: 0,
            replaced: 0,
            settings,
            parts: Vec::new(),
            inputs,
        }
    }
}

impl StoreMeta {
    /// Returns the description with these parts, which are all.
    pub(crate) fn with_parts(self, parts: Vec<PartMeta>, replaced: u64) -> Self {
        let sum = |value: fn(&PartMeta) -> u64| parts.iter().map(value).sum();
        Self {
            documents: sum(|p| p.documents),
            sentences: sum(|p| p.sentences),
            tokens: sum(|p| p.tokens),
            bytes: sum(|p| p.bytes),
            replaced,
            parts,
            ..self
        }
    }
}

/// Writes a token store. Ids go to disk as they arrive and ends are spooled, so memory does not grow with a document.
///
/// Without [`StoreWriter::finish`], closed parts remain, and the directory is not a store.
#[derive(Debug)]
pub struct StoreWriter {
    directory: PathBuf,
    tokenizer: TokenizerInfo,
    part_tokens: u64,
    parts: Vec<PartMeta>,
    /// The versions (`ETag`) of the parts that this has sent to a server, which are the last ones.
    versions: Vec<Option<String>>,
    /// The portion of the input that the next part is of, and the number of parts that it has so far.
    place: (usize, usize),
    /// Where parts are assembled.
    spools: PathBuf,
    open: Option<PartWriter>,
    closing: Closing,
}

/// A part that is at its place, and the version (`ETag`) of a remote one.
type Closed = (PartMeta, Option<String>);

/// Threads that send closed parts to a server, in the order of the parts.
#[derive(Debug, Default)]
struct Closing(VecDeque<JoinHandle<Result<Closed>>>);

impl Drop for Closing {
    fn drop(&mut self) {
        // The directory must not change after the writer is gone. An earlier error is the one worth reporting.
        self.0.drain(..).for_each(|part| drop(part.join()));
    }
}

impl StoreWriter {
    /// Opens a store in `directory`, which is created if it does not exist. `parts` are its first parts, which must
    /// already be there. A part is full at the first end of a document at which it has `part_tokens` tokens.
    pub fn new(directory: &Path, tokenizer: TokenizerInfo, part_tokens: u64, parts: Vec<PartMeta>) -> Result<Self> {
        check_endianness(directory)?;
        let spools = scratch::of_directory(directory)?;
        Ok(Self {
            directory: directory.into(),
            tokenizer,
            part_tokens,
            parts,
            versions: Vec::new(),
            place: (0, 0),
            spools,
            open: None,
            closing: Closing::default(),
        })
    }

    /// Begins a portion of the input, or resumes it after those of its parts that are there. The parts of a portion are
    /// named after it. No part may be open.
    pub fn begin_portion(&mut self, portion: usize) {
        let own = self.parts.iter().rev().take_while(|part| portion_of(&part.file) == Some(portion));
        self.place = (portion, own.count());
    }

    /// The closed parts that are at their place.
    pub fn parts(&self) -> &[PartMeta] {
        &self.parts
    }

    /// Returns the version (`ETag`) of closed part `index`, which this has written, if it is remote.
    pub(crate) fn version(&self, index: usize) -> Option<&str> {
        let known = self.parts.len() - self.versions.len();
        self.versions[index.checked_sub(known)?].as_deref()
    }

    /// Adds sentences to the open document. Sentence `i` is `ids[ends[i - 1] - base..ends[i] - base]`, and the first
    /// one begins at `base`. Every sentence must have a token.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Internal`] if an id is not in the vocabulary and does not fit the store.
    pub fn push_sentences(&mut self, ids: Ids<'_>, base: u32, ends: &[u32]) -> Result<()> {
        if ends.is_empty() {
            return Ok(());
        }
        let part = if let Some(part) = &mut self.open {
            part
        } else {
            let (portion, index) = &mut self.place;
            let path = self.directory.join(part_name(*portion, *index));
            *index += 1;
            self.open.insert(PartWriter::create(path, &self.spools, self.tokenizer.vocab_size)?)
        };
        part.push(ids, base, ends)
    }

    /// Ends the open document, which is dropped if it has no sentences. Returns whether the part is now full. If so,
    /// the caller calls [`StoreWriter::close_part`].
    pub fn end_document(&mut self) -> Result<bool> {
        let Some(part) = &mut self.open else { return Ok(false) };
        part.end_document()?;
        Ok(part.header.tokens >= self.part_tokens)
    }

    /// Closes the open part. Returns whether there was one. Local parts are then on disk under their own name. A part in
    /// a bucket is sent while the next one is written, so [`StoreWriter::parts`] has it later.
    ///
    /// # Errors
    /// [`Error::Io`], also of an earlier part.
    pub fn close_part(&mut self) -> Result<bool> {
        let Some(part) = self.open.take() else { return Ok(false) };
        if !is_remote(&self.directory) {
            let closed = part.finish()?;
            self.keep(closed);
            return Ok(true);
        }
        while self.closing.0.len() >= CLOSING || self.closing.0.front().is_some_and(JoinHandle::is_finished) {
            self.settle_first()?;
        }
        let thread = std::thread::Builder::new().name("store-part".into()).spawn(move || part.finish());
        self.closing.0.push_back(thread.map_err(|error| Error::threads(1, &error))?);
        Ok(true)
    }

    /// Waits until all closed parts are at their place.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Interrupted`] if the process must stop.
    pub fn settle(&mut self) -> Result<()> {
        while !self.closing.0.is_empty() {
            self.settle_first()?;
        }
        Ok(())
    }

    fn settle_first(&mut self) -> Result<()> {
        let Some(part) = self.closing.0.pop_front() else { return Ok(()) };
        let part = part.join().map_err(|_| Error::Internal("sending a part of the store panicked".into()))??;
        self.keep(part);
        Ok(())
    }

    fn keep(&mut self, (part, version): Closed) {
        self.parts.push(part);
        self.versions.push(version);
    }

    /// Ends the open document and part and writes the store's description, which makes the directory a store.
    pub fn finish(mut self, inputs: Vec<InputRecord>, settings: Value, replaced: u64) -> Result<StoreMeta> {
        self.end_document()?;
        self.close_part()?;
        self.settle()?;
        if let Some((name, bytes)) = &self.tokenizer.file {
            atomic::write(self.directory.join(name), bytes)?;
        }
        let meta = self.tokenizer.describe(inputs, settings).with_parts(self.parts, replaced);
        atomic::write_json_first(self.directory.join(META_FILE), &meta)?;
        Ok(meta)
    }
}

impl TokenStore {
    /// Copies the store to `directory`, which may be in a bucket. Files that are there with the same size stay.
    ///
    /// # Errors
    /// [`Error::Exists`] if there is another store; [`Error::Io`].
    pub fn copy_to(&self, directory: &Path) -> Result<()> {
        let names = self.meta().parts.iter().map(|part| &part.file).chain(&self.meta().tokenizer_file);
        for name in names {
            let (from, to) = (self.directory().join(name), directory.join(name));
            if raw::size(&to)? != raw::size(&from)? {
                atomic::copy(&from, &to)?;
            }
        }
        atomic::write_json_first(directory.join(META_FILE), self.meta())
    }

    /// Removes every file of a complete or unfinished store in `directory`, its description first.
    pub fn remove(directory: &Path) -> Result<()> {
        atomic::remove(&directory.join(META_FILE))?;
        for name in [MODEL_FILE, VOCABULARY_FILE] {
            atomic::remove(&directory.join(name))?;
        }
        Self::remove_parts(directory, &[])
    }

    /// Removes all parts except those in `keep`, and what killed commands left of parts.
    pub(crate) fn remove_parts(directory: &Path, keep: &[&str]) -> Result<()> {
        let is_other = |name: &str| portion_of(name).is_some() && !keep.contains(&name);
        for name in raw::names(directory)?.iter().filter(|name| is_other(name)) {
            atomic::remove(&directory.join(name))?;
        }
        Self::remove_temporaries(directory)
    }

    /// Removes what killed commands have left of the files of a store.
    pub(crate) fn remove_temporaries(directory: &Path) -> Result<()> {
        let names = [META_FILE, MODEL_FILE, VOCABULARY_FILE, JOURNAL_FILE];
        if is_remote(directory) || directory.is_dir() {
            atomic::remove_stale(directory, |name| portion_of(name).is_some() || names.contains(&name))?;
        }
        Ok(())
    }
}

/// A part being written: its file under a temporary name, and a file without a name for each of the two kinds of ends.
#[derive(Debug)]
struct PartWriter {
    path: PathBuf,
    /// The temporary name of a local part. The ids of a remote one are in a local file without a name.
    temporary: Option<PathBuf>,
    header: Header,
    /// Number of sentences up to the end of the last document.
    in_documents: u64,
    ids: BufWriter<File>,
    sentence_ends: BufWriter<File>,
    document_ends: BufWriter<File>,
}

impl PartWriter {
    fn create(path: PathBuf, spools: &Path, vocab_size: u32) -> Result<Self> {
        let buffered = |file| BufWriter::with_capacity(BUFFER, file);
        let spool = || {
            // Another command that writes to the same bucket may have removed the directory, which looks empty.
            atomic::create_directory(spools)?;
            tempfile::tempfile_in(spools).map_err(|error| Error::io("cannot write", &path, error))
        };
        let (ids, temporary) = if is_remote(&path) {
            (spool()?, None)
        } else {
            let (file, temporary) = atomic::create_unique(&path)?;
            (file, Some(temporary))
        };
        // Another error must remove the temporary too.
        let ends = spool().and_then(|sentences| Ok((sentences, spool()?)));
        let (sentence_ends, document_ends) = ends.inspect_err(|_| temporary.as_deref().map_or((), atomic::discard))?;
        let mut part = Self {
            ids: buffered(ids),
            sentence_ends: buffered(sentence_ends),
            document_ends: buffered(document_ends),
            header: Header { id_bytes: id_bytes(vocab_size), vocab_size, tokens: 0, sentences: 0, documents: 0 },
            in_documents: 0,
            path,
            temporary,
        };
        // The counts are known only at the end.
        part.ids.write_all(&[0; HEADER_BYTES as usize]).map_err(|e| part.error(e))?;
        Ok(part)
    }

    fn error(&self, error: io::Error) -> Error {
        Error::io("cannot write", &self.path, error)
    }

    fn push(&mut self, ids: Ids<'_>, base: u32, ends: &[u32]) -> Result<()> {
        self.try_push(ids, base, ends).map_err(|e| {
            if e.kind() == io::ErrorKind::InvalidData { Error::Internal(e.to_string()) } else { self.error(e) }
        })
    }

    fn try_push(&mut self, ids: Ids<'_>, base: u32, ends: &[u32]) -> io::Result<()> {
        let first = self.header.tokens;
        for &end in ends {
            self.header.tokens = first + u64::from(end - base);
            self.sentence_ends.write_all(&self.header.tokens.to_le_bytes())?;
        }
        self.header.sentences += ends.len() as u64;
        let count = (self.header.tokens - first) as usize;
        match (ids, self.header.id_bytes) {
            (Ids::U16(ids), 2) => self.ids.write_all(bytemuck::cast_slice(&ids[..count])),
            (Ids::U32(ids), 4) => self.ids.write_all(bytemuck::cast_slice(&ids[..count])),
            (Ids::U16(ids), _) => {
                ids[..count].iter().try_for_each(|&id| self.ids.write_all(&u32::from(id).to_le_bytes()))
            }
            (Ids::U32(ids), _) => ids[..count].iter().try_for_each(|&id| {
                let id = u16::try_from(id).map_err(|_| {
                    let rule = format!("ids must be below {}, got {id}", self.header.vocab_size);
                    io::Error::new(io::ErrorKind::InvalidData, rule)
                })?;
                self.ids.write_all(&id.to_le_bytes())
            }),
        }
    }

    fn end_document(&mut self) -> Result<()> {
        if self.header.sentences > self.in_documents {
            self.in_documents = self.header.sentences;
            self.header.documents += 1;
            let end = self.in_documents.to_le_bytes();
            self.document_ends.write_all(&end).map_err(|e| self.error(e))?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Closed> {
        let (bytes, xxh3_128) = self.try_finish().map_err(|e| self.error(e))?;
        let file = self.ids.get_mut();
        let version = if let Some(temporary) = &self.temporary {
            atomic::publish(file, temporary, &self.path).map(|()| None)
        } else {
            file.rewind().map_err(|error| Error::io("cannot read", &self.path, error))?;
            atomic::send(file, &self.path, &self.path)
        }?;
        self.temporary = None;
        let file = self.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let Header { tokens, sentences, documents, .. } = self.header;
        Ok((PartMeta { file, documents, sentences, tokens, bytes, xxh3_128 }, version))
    }

    fn try_finish(&mut self) -> io::Result<(u64, String)> {
        let layout = self.header.layout().ok_or(io::ErrorKind::FileTooLarge)?;
        self.ids.flush()?;
        let file = self.ids.get_mut();
        for (section, spool) in
            [(&layout.sentence_ends, &mut self.sentence_ends), (&layout.document_ends, &mut self.document_ends)]
        {
            spool.flush()?;
            let spool = spool.get_mut();
            spool.seek(SeekFrom::Start(0))?;
            // Seeking beyond the end leaves zeros between the sections.
            file.seek(SeekFrom::Start(section.start))?;
            io::copy(spool, file)?;
        }
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&self.header.to_bytes())?;
        file.seek(SeekFrom::Start(0))?;
        let sum = checksum(&mut *file)?;
        Ok((layout.document_ends.end, sum))
    }
}

impl Drop for PartWriter {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            atomic::discard(temporary);
        }
    }
}
