//! Reads a token store.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use rayon::prelude::*;

use super::blocks::block_starts;
use super::fetch::fetch;
use super::part_file::{PartFile, store_number};
use super::{FORMAT, Header, Layout, META_FILE, PartMeta, StoreMeta, check_endianness, check_version, id_bytes};
use crate::files::cache::{Cache, Kept};
use crate::files::raw::{read, size};
use crate::files::remote::{Address, is_remote};
use crate::tokens::documents::{Document, Documents, Excerpt, Ids, Outline};
use crate::tokens::reading::Reading;
use crate::{Error, NoProgress, Progress, Result};

/// The size in bytes of a store that may stay mapped completely although memory is to be bounded.
const MAY_STAY: u64 = 256 << 20;

/// A token store, open for reading: a directory of `meta.json` ([`StoreMeta`]), parts, and a copy of the tokenizer's
/// file.
///
/// # Parts
///
/// A part holds whole documents. All numbers are little-endian and unsigned. The names of parts say which portion of the
/// input they are of ([`part_name`](super::part_name)), but only [`StoreMeta`] has their order: older stores have other
/// names.
///
/// | bytes | what |
/// |---|---|
/// | 0..8 | `ALBTOKEN` |
/// | 8..12 | version, u32: 1 |
/// | 12..16 | bytes of an id, u32: 2 if the vocabulary has at most 65,536 pieces, otherwise 4 |
/// | 16..20 | pieces of the vocabulary, u32 |
/// | 20..24 | zero |
/// | 24..32 | number of tokens *T*, u64 |
/// | 32..40 | number of sentences *S*, u64 |
/// | 40..48 | number of documents *D*, u64 |
/// | 48..64 | zero |
/// | from 64 | ids, *T* of u16 or u32 |
/// | from the next multiple of 64 | sentence ends, *S* of u64: where each sentence ends (exclusive) in the ids |
/// | from the next multiple of 64 | document ends, *D* of u64: where each document ends (exclusive) in the sentence ends |
///
/// The file ends with the last document end. Both kinds of ends ascend strictly from above 0 (no sentence is without
/// tokens, no document without sentences) to *T* and *S*. Bytes between the sections are zero.
///
/// Parts are never changed under their names. They are written under another name and renamed, and removed when they
/// are replaced, so that a memory map of a part stays valid.
#[derive(Debug)]
pub struct TokenStore {
    directory: PathBuf,
    meta: StoreMeta,
    pub(super) parts: Vec<MappedPart>,
    /// The number of the first document of each part.
    first_documents: Vec<u64>,
    /// What the files are a copy of, if the store is remote.
    remote: Option<Remote>,
    /// No other store of this process has this number.
    pub(super) number: u64,
    /// Whether outlines and excerpts are copies, because mapped ones would take too much memory.
    pub(super) copies: bool,
}

#[derive(Debug)]
struct Remote {
    address: PathBuf,
    _kept: Kept,
}

#[derive(Debug)]
pub(super) struct MappedPart {
    pub path: PathBuf,
    pub header: Header,
    pub layout: Layout,
    map: Mmap,
    pub file: PartFile,
}

/// The arrays of one part.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// The tokens.
    pub ids: Ids<'a>,
    /// The end (exclusive) of each sentence in `ids`.
    pub sentence_ends: &'a [u64],
    /// The end (exclusive) of each document in `sentence_ends`.
    pub document_ends: &'a [u64],
}

impl TokenStore {
    /// Whether `directory` is marked as a token store.
    pub fn is_store(directory: &Path) -> bool {
        size(&directory.join(META_FILE)).is_ok_and(|it| it.is_some())
    }

    /// Reads the description of the store in `directory`, without checking the parts.
    pub fn read_meta(directory: &Path) -> Result<StoreMeta> {
        Ok(Self::read_description(directory)?.1)
    }

    /// Returns the bytes of the description of the store in `directory`, and what they say.
    pub(super) fn read_description(directory: &Path) -> Result<(Vec<u8>, StoreMeta)> {
        let path = directory.join(META_FILE);
        let Some(text) = read(&path)? else {
            if size(&directory.join(super::JOURNAL_FILE))?.is_some() {
                let reason = "this token store is not complete; run the same tokenize command again, or its missing \
                              tasks, or finish if its tasks have ended";
                return Err(Error::data(directory, reason));
            }
            let reason = if is_remote(directory) {
                format!("there is no {META_FILE} here")
            } else if directory.exists() {
                format!("this is not a token store (it has no {META_FILE})")
            } else {
                "no such file or directory".to_owned()
            };
            return Err(Error::data(directory, format!("{reason}; make a token store with albert-fast tokenize")));
        };
        let damaged = |e: serde_json::Error| {
            Error::data(&path, format!("not the description of a token store ({e}); make the store again"))
        };
        let value: serde_json::Value = serde_json::from_slice(&text).map_err(damaged)?;
        if value["format"] != FORMAT {
            return Err(Error::data(&path, format!("format must be \"{FORMAT}\", got {}", value["format"])));
        }
        // Other versions may have other fields, so the version is checked before any field is missed.
        check_version(value["version"].as_u64().map_or(0, |v| u32::try_from(v).unwrap_or(u32::MAX)))
            .map_err(|reason| Error::data(&path, reason))?;
        let meta = serde_json::from_value(value).map_err(damaged)?;
        Ok((text, meta))
    }

    /// Opens the store in `directory`. Checks the description, the file sizes, the headers and the borders of all
    /// sections. [`TokenStore::verify`] checks every byte. A remote store is first fetched into the usual cache.
    ///
    /// # Errors
    /// [`Error::Data`] for anything that is missing, truncated, damaged or of another version; [`Error::Io`].
    pub fn open(directory: &Path) -> Result<Self> {
        Self::open_with(directory, &Cache::default(), &mut NoProgress)
    }

    /// Opens the store in `directory` as [`TokenStore::open`] does. If it is remote, its files are fetched into `cache`
    /// with their checksums verified, unless they are there. They stay there at least as long as the store is open.
    ///
    /// # Errors
    /// Those of [`TokenStore::open`]; [`Error::Rule`] and [`Error::System`] if the cache has no room;
    /// [`Error::Interrupted`].
    pub fn open_with(directory: &Path, cache: &Cache, progress: &mut dyn Progress) -> Result<Self> {
        check_endianness(directory)?;
        let Some(address) = Address::of(directory)? else { return Self::open_local(directory) };
        let kept = fetch(&address, cache, progress)?;
        let mut store = Self::open_local(kept.directory())?;
        store.remote = Some(Remote { address: address.path(), _kept: kept });
        Ok(store)
    }

    fn open_local(directory: &Path) -> Result<Self> {
        let meta = Self::read_meta(directory)?;
        let parts =
            meta.parts.iter().enumerate().map(|(i, part)| MappedPart::open(directory, part, meta.vocab_size, i));
        let parts = parts.collect::<Result<Vec<_>>>()?;
        let mut first_documents = Vec::with_capacity(parts.len());
        let (mut documents, mut sentences, mut tokens, mut bytes) = (0, 0, 0, 0);
        for (part, meta) in parts.iter().zip(&meta.parts) {
            first_documents.push(documents);
            documents += part.header.documents;
            sentences += part.header.sentences;
            tokens += part.header.tokens;
            bytes += meta.bytes;
        }
        if (documents, sentences, tokens, bytes) != (meta.documents, meta.sentences, meta.tokens, meta.bytes) {
            return Err(Error::data(
                directory.join(META_FILE),
                "the totals are not the sums of the parts; make the store again",
            ));
        }
        let (directory, number) = (directory.into(), store_number());
        Ok(Self { directory, meta, parts, first_documents, remote: None, number, copies: false })
    }

    /// Whether `part` in `directory` matches its description: size, header and borders.
    pub(crate) fn has_part(directory: &Path, part: &PartMeta, vocab_size: u32) -> bool {
        if is_remote(directory) {
            return size(&directory.join(&part.file)).is_ok_and(|bytes| bytes == Some(part.bytes));
        }
        MappedPart::open(directory, part, vocab_size, 0).is_ok()
    }

    /// The directory of the store. If the store is remote, this is the local directory with its copy.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The address of the store if it is remote.
    pub fn address(&self) -> Option<&Path> {
        self.remote.as_ref().map(|remote| remote.address.as_path())
    }

    /// The description of the store.
    pub fn meta(&self) -> &StoreMeta {
        &self.meta
    }

    /// The number of tokens in all parts.
    pub fn num_tokens(&self) -> u64 {
        self.meta.tokens
    }

    /// The number of sentences in all parts.
    pub fn num_sentences(&self) -> u64 {
        self.meta.sentences
    }

    /// The digest of the tokenizer that made the store.
    pub fn tokenizer_digest(&self) -> &str {
        &self.meta.tokenizer_digest
    }

    /// The number of parts.
    pub fn num_parts(&self) -> usize {
        self.parts.len()
    }

    /// Returns part `index`, without copying.
    pub fn part(&self, index: usize) -> Part<'_> {
        self.parts[index].arrays()
    }

    /// Checks every byte: the checksums, that the ends ascend, and that every id is in the vocabulary.
    ///
    /// # Errors
    /// [`Error::Data`] naming the part and what is wrong with it.
    pub fn verify(&self) -> Result<()> {
        let checks = self.parts.par_iter().zip(&self.meta.parts).map(|(part, meta)| part.verify(meta));
        let checks: Vec<_> = checks.collect();
        checks.into_iter().collect()
    }

    /// Releases the memory of pages read so far, which the system otherwise attributes to this process. They are read
    /// again when they are needed. That is the only cost, and the call is safe while others read.
    pub fn release(&self) {
        self.parts.iter().for_each(MappedPart::release);
    }
}

impl TokenStore {
    /// Checks that the document's sentences follow each other in its part, which opening a store does not check.
    ///
    /// # Errors
    /// [`Error::Data`] naming the part.
    pub fn check_document(&self, index: u64) -> Result<()> {
        let (number, within) = self.locate(index);
        let part = &self.parts[number];
        let Part { ids: _, sentence_ends, document_ends } = part.arrays();
        let first = if within == 0 { 0 } else { document_ends[within as usize - 1] };
        let last = document_ends[within as usize];
        let ends = if first < last { sentence_ends.get(first as usize..last as usize) } else { None };
        let start = if first == 0 { Some(0) } else { sentence_ends.get(first as usize - 1).copied() };
        let good = ends.zip(start).is_some_and(|(ends, start)| {
            let mut before = start;
            let ascend = ends.iter().all(|&end| std::mem::replace(&mut before, end) < end);
            ascend && before <= part.header.tokens
        });
        if good { Ok(()) } else { Err(part.damaged_ends(within)) }
    }

    /// Bounds the memory that reading at random places takes: documents of a store over 256 MiB are copied from now on.
    /// Otherwise, all that was read stays mapped, which saves time if everything is read many times.
    #[must_use]
    pub fn copying(self) -> Self {
        let copies = self.meta.bytes > MAY_STAY;
        Self { copies, ..self }
    }

    /// Copies documents as if the store was large.
    #[cfg(test)]
    pub(crate) fn always_copying(self) -> Self {
        Self { copies: true, ..self }
    }

    /// Returns the number of the part that holds document `index`, and the document's number in that part.
    ///
    /// # Panics
    /// If `index` is not below [`Documents::num_documents`].
    pub(super) fn locate(&self, index: u64) -> (usize, u64) {
        assert!(index < self.meta.documents, "document {index} of {}", self.meta.documents);
        let part = self.first_documents.partition_point(|&first| first <= index) - 1;
        (part, index - self.first_documents[part])
    }
}

impl Documents for TokenStore {
    /// Does nothing if everything may stay mapped, because it would only be mapped again.
    fn release(&self) {
        if self.copies {
            Self::release(self);
        }
    }

    fn num_documents(&self) -> u64 {
        self.meta.documents
    }

    fn block_starts(&self) -> Vec<u64> {
        block_starts(&self.meta)
    }

    /// Does nothing if outlines are copied, because they are checked then.
    fn check(&self, index: u64) -> Result<()> {
        if self.copies { Ok(()) } else { self.check_document(index) }
    }

    /// # Panics
    /// If `index` is not below [`Documents::num_documents`], or if the file is damaged in a way that only
    /// [`TokenStore::verify`] detects.
    fn document(&self, index: u64) -> Document<'_> {
        let (part, within) = self.locate(index);
        let within = within as usize;
        let Part { ids, sentence_ends, document_ends } = self.parts[part].arrays();
        let sentences =
            if within == 0 { 0 } else { document_ends[within - 1] as usize }..document_ends[within] as usize;
        let start = if sentences.start == 0 { 0 } else { sentence_ends[sentences.start - 1] };
        Document { ids, outline: Outline::whole(start, &sentence_ends[sentences]) }
    }

    fn outline<'a>(
        &'a self,
        index: u64,
        segments: Range<usize>,
        ahead: u64,
        reading: &'a mut Reading,
    ) -> Result<Outline<'a>> {
        if self.copies { self.copy_outline(index, &segments, ahead, reading) } else { Ok(self.document(index).outline) }
    }

    fn excerpt<'a>(&'a self, index: u64, segments: Range<usize>, reading: &'a mut Reading) -> Result<Excerpt<'a>> {
        if self.copies { self.copy_excerpt(index, &segments, reading) } else { Ok(self.document(index).into()) }
    }
}

impl MappedPart {
    /// Opens part number `index` of a store.
    fn open(directory: &Path, meta: &PartMeta, vocab_size: u32, index: usize) -> Result<Self> {
        let path = directory.join(&meta.file);
        let damaged = |reason: String| Error::data(&path, reason);
        let file = match File::open(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(damaged(format!(
                    "{META_FILE} lists this part, but the file does not exist; make the store again"
                )));
            }
            file => file.map_err(|e| Error::io("cannot read", &path, e))?,
        };
        let bytes = file.metadata().map_err(|e| Error::io("cannot read", &path, e))?.len();
        if bytes != meta.bytes {
            let what = if bytes < meta.bytes { "truncated" } else { "too long" };
            let found = format!("{bytes} bytes, but {META_FILE} says {}", meta.bytes);
            return Err(damaged(format!("{what}: {found}; copy the store again, or make it again")));
        }
        // SAFETY: parts are never written to under their final name (see `TokenStore`), so the map does not change.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| Error::io("cannot map", &path, e))?;
        let header = Header::parse(&map).map_err(damaged)?;
        let expected = Header {
            id_bytes: id_bytes(vocab_size),
            vocab_size,
            tokens: meta.tokens,
            sentences: meta.sentences,
            documents: meta.documents,
        };
        if header != expected {
            return Err(damaged(format!(
                "the header says {header:?}, but {META_FILE} says {expected:?}; make the store again"
            )));
        }
        let layout = header.layout().filter(|l| l.document_ends.end == bytes).ok_or_else(|| {
            damaged(format!("a part with {header:?} must not have {bytes} bytes; make the store again"))
        })?;
        let file = PartFile::keep(file, index).map_err(|e| Error::io("cannot read", &path, e))?;
        let part = Self { path, header, layout, map, file };
        part.check_borders().map_err(|reason| Error::data(&part.path, reason))?;
        Ok(part)
    }

    pub fn bytes(&self, range: Range<u64>) -> &[u8] {
        &self.map[range.start as usize..range.end as usize]
    }

    fn section<T: bytemuck::AnyBitPattern>(&self, range: &Range<u64>) -> &[T] {
        bytemuck::cast_slice(self.bytes(range.clone()))
    }

    pub fn arrays(&self) -> Part<'_> {
        let Layout { ids, sentence_ends, document_ends } = &self.layout;
        Part {
            ids: if self.header.id_bytes == 2 { Ids::U16(self.section(ids)) } else { Ids::U32(self.section(ids)) },
            sentence_ends: self.section(sentence_ends),
            document_ends: self.section(document_ends),
        }
    }

    fn release(&self) {
        self.release_bytes(0..self.map.len());
    }

    pub fn release_bytes(&self, range: Range<usize>) {
        // SAFETY: the map is shared, read-only and file-backed, and nothing writes through it, so a dropped page comes
        // back from the file with the same contents. A failure here only leaves memory in use.
        let _ = unsafe {
            self.map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, range.start, range.end - range.start)
        };
    }

    /// Returns the error for a document, numbered in this part, whose ends do not ascend.
    pub fn damaged_ends(&self, within: u64) -> Error {
        let advice = "copy the store again, or make it again";
        Error::data(&self.path, format!("the ends of document {within} do not ascend; {advice}"))
    }

    fn check_borders(&self) -> Result<(), String> {
        let Part { sentence_ends, document_ends, .. } = self.arrays();
        let Header { tokens, sentences, documents, .. } = self.header;
        let borders = |name: &str, ends: &[u64], total: u64| match (ends.first(), ends.last()) {
            (Some(&first), Some(&last)) if first > 0 && last == total => Ok(()),
            (Some(first), Some(last)) => Err(format!(
                "{name} ends must run from at least 1 to {total}, got {first} to {last}; make the store again"
            )),
            _ => Err(format!("there are no {name} ends; make the store again")),
        };
        if documents > sentences || sentences > tokens {
            return Err(format!(
                "{documents} documents, {sentences} sentences and {tokens} tokens contradict each other; make the store again"
            ));
        }
        borders("sentence", sentence_ends, tokens)?;
        borders("document", document_ends, sentences)
    }
}
