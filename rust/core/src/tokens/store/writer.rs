//! Writes a token store part by part, as tokens arrive.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use serde_json::Value;

use super::files::checksum;
use super::{
    FORMAT, HEADER_BYTES, Header, META_FILE, MODEL_FILE, PartMeta, StoreMeta, TokenStore, VERSION, VOCABULARY_FILE,
    check_endianness, id_bytes, part_name,
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

/// Writes a token store. Ids go to disk as they arrive and ends are spooled, so memory does not grow with a document.
///
/// Without [`StoreWriter::finish`], closed parts remain, and the directory is not a store.
#[derive(Debug)]
pub struct StoreWriter {
    directory: PathBuf,
    tokenizer: TokenizerInfo,
    part_tokens: u64,
    parts: Vec<PartMeta>,
    /// Where parts are assembled.
    spools: PathBuf,
    open: Option<PartWriter>,
    closing: Closing,
}

/// Threads that send closed parts to a server, in the order of the parts.
#[derive(Debug, Default)]
struct Closing(VecDeque<JoinHandle<Result<PartMeta>>>);

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
            spools,
            open: None,
            closing: Closing::default(),
        })
    }

    /// The closed parts that are at their place.
    pub fn parts(&self) -> &[PartMeta] {
        &self.parts
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
            let name = part_name(self.parts.len() + self.closing.0.len());
            let (path, spool) = (self.directory.join(&name), self.spools.join(name));
            self.open.insert(PartWriter::create(path, spool, self.tokenizer.vocab_size)?)
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
            self.parts.push(part.finish()?);
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
        self.parts.push(part);
        Ok(())
    }

    /// Ends the open document and part and writes the store's description, which makes the directory a store.
    pub fn finish(mut self, inputs: Vec<InputRecord>, settings: Value, replaced: u64) -> Result<StoreMeta> {
        self.end_document()?;
        self.close_part()?;
        self.settle()?;
        if let Some((name, bytes)) = &self.tokenizer.file {
            atomic::write(self.directory.join(name), bytes)?;
        }
        let sum = |value: fn(&PartMeta) -> u64| self.parts.iter().map(value).sum();
        let meta = StoreMeta {
            format: FORMAT.into(),
            version: VERSION,
            tokenizer_digest: self.tokenizer.digest,
            tokenizer: self.tokenizer.description,
            tokenizer_file: self.tokenizer.file.map(|(name, _)| name),
            vocab_size: self.tokenizer.vocab_size,
            id_bytes: id_bytes(self.tokenizer.vocab_size),
            documents: sum(|p| p.documents),
            sentences: sum(|p| p.sentences),
            tokens: sum(|p| p.tokens),
            bytes: sum(|p| p.bytes),
            replaced,
            settings,
            parts: self.parts,
            inputs,
        };
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
        Self::remove_parts(directory, 0)
    }

    /// Removes the parts from number `first` on, and all temporary files of parts.
    pub(crate) fn remove_parts(directory: &Path, first: usize) -> Result<()> {
        let is_ours = |name: &str, first: usize| {
            let Some(rest) = name.strip_prefix("part-") else { return false };
            let (number, extension) = rest.split_once('.').unwrap_or((rest, ""));
            let Ok(number) = number.parse::<usize>() else { return false };
            extension == "tokens" && number >= first || SPOOLS.contains(&extension)
        };
        for name in raw::names(directory)?.iter().filter(|name| is_ours(name, first)) {
            atomic::remove(&directory.join(name))?;
        }
        if is_remote(directory) {
            atomic::remove_stale(directory, |name| is_ours(name, 0) || name == META_FILE)?;
        }
        Ok(())
    }
}

/// The extensions of the files from which a part is assembled.
const SPOOLS: [&str; 3] = ["tokens.tmp", "sentences.tmp", "documents.tmp"];

/// A part being written: its file under a temporary name, and a file for each of the two kinds of ends.
#[derive(Debug)]
struct PartWriter {
    path: PathBuf,
    /// The local path from which the names of the temporary files are made.
    spool: PathBuf,
    header: Header,
    /// Number of sentences up to the end of the last document.
    in_documents: u64,
    ids: BufWriter<File>,
    sentence_ends: BufWriter<File>,
    document_ends: BufWriter<File>,
}

impl PartWriter {
    fn create(path: PathBuf, spool: PathBuf, vocab_size: u32) -> Result<Self> {
        let create = |extension: &str| -> Result<BufWriter<File>> {
            let path = spool.with_extension(extension);
            let file = File::options().read(true).write(true).create(true).truncate(true).open(&path);
            Ok(BufWriter::with_capacity(BUFFER, file.map_err(|e| Error::io("cannot write", &path, e))?))
        };
        let [tokens, sentences, documents] = SPOOLS;
        let mut part = Self {
            ids: create(tokens)?,
            sentence_ends: create(sentences)?,
            document_ends: create(documents)?,
            header: Header { id_bytes: id_bytes(vocab_size), vocab_size, tokens: 0, sentences: 0, documents: 0 },
            in_documents: 0,
            path,
            spool,
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

    fn finish(mut self) -> Result<PartMeta> {
        let (bytes, xxh3_128) = self.try_finish().map_err(|e| self.error(e))?;
        atomic::move_to(self.ids.get_mut(), &self.spool.with_extension(SPOOLS[0]), &self.path)?;
        let file = self.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let Header { tokens, sentences, documents, .. } = self.header;
        Ok(PartMeta { file, documents, sentences, tokens, bytes, xxh3_128 })
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
        for extension in SPOOLS {
            // The next run removes what is left.
            let _ = fs::remove_file(self.spool.with_extension(extension));
        }
    }
}
