//! Reads a token store block by block, without reading the rest of it: for stores that are too large to be read by every
//! machine.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Header, Layout, META_FILE, PartMeta, StoreMeta, TokenStore, check_endianness, id_bytes};
use crate::files::remote::{Address, Object};
use crate::tokens::documents::{Document, Documents, Ids, Outline};
use crate::{Error, Result};

/// The average number of tokens in a block. That is 2 MiB of ids with 2 bytes each, so that requests to a server are few.
pub const BLOCK_TOKENS: u64 = 1 << 20;

/// Consecutive documents of one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The number of the part.
    part: usize,
    /// The numbers of the documents in the part.
    documents: Range<u64>,
    /// The number of the first document in the store.
    first: u64,
}

/// Divides the parts of a store into blocks of about `tokens` tokens.
fn divide(meta: &StoreMeta, tokens: u64) -> Vec<Block> {
    let (mut blocks, mut first) = (Vec::new(), 0);
    for (part, description) in meta.parts.iter().enumerate() {
        let documents = description.documents;
        let count = ((description.tokens + tokens / 2) / tokens).clamp(1, documents.max(1));
        let start = |block: u64| (u128::from(documents) * u128::from(block) / u128::from(count)) as u64;
        blocks.extend((0..count).map(|block| {
            let documents = start(block)..start(block + 1);
            Block { part, first: first + documents.start, documents }
        }));
        first += documents;
    }
    blocks
}

/// Returns the number of the first document of each block.
pub(super) fn block_starts(meta: &StoreMeta) -> Vec<u64> {
    divide(meta, BLOCK_TOKENS).into_iter().map(|block| block.first).collect()
}

/// A store of which only the blocks that are asked for are read.
///
/// A part with n tokens is divided into n / [`BLOCK_TOKENS`] blocks, rounded, at least 1 and at most one for each
/// document. They have equal numbers of documents, so the description of the store says what is in which block.
pub struct BlockStore {
    directory: PathBuf,
    meta: StoreMeta,
    blocks: Vec<Block>,
    /// The parts in a bucket, as far as they are known.
    objects: Mutex<Vec<Option<Object>>>,
}

impl BlockStore {
    /// Reads the description of the store in `directory`, local or remote.
    ///
    /// # Errors
    /// [`Error::Data`] if it is missing, damaged or of another version; [`Error::Io`].
    pub fn open(directory: &Path) -> Result<Self> {
        Self::with_blocks_of(directory, BLOCK_TOKENS)
    }

    pub(crate) fn with_blocks_of(directory: &Path, tokens: u64) -> Result<Self> {
        check_endianness(directory)?;
        let meta = TokenStore::read_meta(directory)?;
        let blocks = divide(&meta, tokens);
        if meta.parts.iter().map(|part| part.documents).sum::<u64>() != meta.documents {
            let reason = "the totals are not the sums of the parts; make the store again";
            return Err(Error::data(directory.join(META_FILE), reason));
        }
        let objects = Mutex::new(vec![None; meta.parts.len()]);
        Ok(Self { directory: directory.into(), meta, blocks, objects })
    }

    /// The directory of the store.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The description of the store.
    pub fn meta(&self) -> &StoreMeta {
        &self.meta
    }

    /// The number of blocks.
    pub fn num_blocks(&self) -> u64 {
        self.blocks.len() as u64
    }

    /// Reads block `index`, and checks that its documents and sentences follow each other and that every id is in the
    /// vocabulary. The checksum of its part is not verified, which would need the whole part.
    ///
    /// # Errors
    /// [`Error::Data`] naming the part and what is wrong with it; [`Error::Io`].
    pub fn read(&self, index: u64) -> Result<LoadedBlock> {
        let Block { part, ref documents, first } = self.blocks[index as usize];
        let meta = &self.meta.parts[part];
        let path = self.directory.join(&meta.file);
        let damaged = |reason: &str| Error::data(&path, format!("{reason}; copy the store again, or make it again"));
        let header = Header {
            id_bytes: id_bytes(self.meta.vocab_size),
            vocab_size: self.meta.vocab_size,
            tokens: meta.tokens,
            sentences: meta.sentences,
            documents: meta.documents,
        };
        let layout = header.layout().filter(|layout| layout.document_ends.end == meta.bytes);
        let Layout { ids, sentence_ends, document_ends } =
            layout.ok_or_else(|| damaged("its size does not fit the description of the store"))?;
        let bytes = self.bytes(part, meta)?;
        let document_ends = Ends::read(&bytes, &document_ends, documents, meta.sentences)?
            .ok_or_else(|| damaged("the ends of its documents do not ascend"))?;
        let sentences = document_ends.before..document_ends.last();
        let sentence_ends = Ends::read(&bytes, &sentence_ends, &sentences, meta.tokens)?
            .ok_or_else(|| damaged("the ends of its sentences do not ascend"))?;
        let tokens = sentence_ends.before..sentence_ends.last();
        let (from, count) =
            (ids.start + tokens.start * u64::from(header.id_bytes), (tokens.end - tokens.start) as usize);
        let ids = if header.id_bytes == 2 {
            let mut ids = vec![0_u16; count];
            bytes.read(from, bytemuck::cast_slice_mut(&mut ids))?;
            OwnIds::U16(ids)
        } else {
            let mut ids = vec![0_u32; count];
            bytes.read(from, bytemuck::cast_slice_mut(&mut ids))?;
            OwnIds::U32(ids)
        };
        let largest = match &ids {
            OwnIds::U16(ids) => ids.iter().max().map(|&id| u32::from(id)),
            OwnIds::U32(ids) => ids.iter().max().copied(),
        };
        if largest.is_some_and(|id| id >= header.vocab_size) {
            return Err(damaged("an id is not in the vocabulary"));
        }
        Ok(LoadedBlock { first, ids, sentence_ends: sentence_ends.rebased(), document_ends: document_ends.rebased() })
    }

    fn bytes(&self, part: usize, meta: &PartMeta) -> Result<Bytes> {
        let path = self.directory.join(&meta.file);
        let (source, bytes) = match Address::of(&path)? {
            None => {
                let file = File::open(&path).map_err(|error| Error::io("cannot read", &path, error))?;
                let bytes = file.metadata().map_err(|error| Error::io("cannot read", &path, error))?.len();
                (Source::Local(file), bytes)
            }
            Some(address) => {
                let known = self.objects()[part].clone();
                let object = if let Some(object) = known {
                    object
                } else {
                    let missing = || Error::data(&path, format!("{META_FILE} lists this part, but it does not exist"));
                    let found = Object::find(&address)?.ok_or_else(missing)?;
                    self.objects()[part] = Some(found.clone());
                    found
                };
                let bytes = object.bytes;
                (Source::Remote(Box::new(object)), bytes)
            }
        };
        if bytes != meta.bytes {
            let reason = format!(
                "it has {bytes} bytes, but {META_FILE} says {}; copy the store again, or make it again",
                meta.bytes
            );
            return Err(Error::data(path, reason));
        }
        Ok(Bytes { path, source })
    }

    fn objects(&self) -> std::sync::MutexGuard<'_, Vec<Option<Object>>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes of a part.
struct Bytes {
    path: PathBuf,
    source: Source,
}

enum Source {
    Local(File),
    Remote(Box<Object>),
}

impl Bytes {
    /// Fills `buffer` with the bytes from `offset` on.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let cannot_read = |error| Error::io("cannot read", &self.path, error);
        match &self.source {
            Source::Local(file) => read_exact_at(file, buffer, offset).map_err(cannot_read),
            Source::Remote(_) if buffer.is_empty() => Ok(()),
            Source::Remote(object) => {
                let slices = object.slices(&[offset], buffer.len() as u64)?;
                let slice = slices.as_deref().and_then(|slices| slices.first());
                let Some(slice) = slice.filter(|slice| slice.len() == buffer.len()) else {
                    let reason = "the server does not send ranges of it; copy the store, or pass shuffle='global'";
                    return Err(Error::data(&self.path, reason));
                };
                buffer.copy_from_slice(slice);
                Ok(())
            }
        }
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(not(unix))]
fn read_exact_at(mut file: &File, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
    use std::io::{Read, Seek, SeekFrom};
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(buffer)
}

/// Some of the ends (exclusive) of consecutive things.
struct Ends {
    /// Where the first thing begins.
    before: u64,
    ends: Vec<u64>,
}

impl Ends {
    /// Reads the ends of the things `range` from the section `section` of a part. Returns `None` if they do not ascend up
    /// to at most `total`.
    fn read(bytes: &Bytes, section: &Range<u64>, range: &Range<u64>, total: u64) -> Result<Option<Self>> {
        let first = range.start.saturating_sub(1);
        let mut ends = vec![0_u64; (range.end - first) as usize];
        bytes.read(section.start + 8 * first, bytemuck::cast_slice_mut(&mut ends))?;
        let before = if range.start == 0 { 0 } else { ends.remove(0) };
        let mut last = before;
        let ascend = ends.iter().all(|&end| std::mem::replace(&mut last, end) < end);
        Ok((ascend && last <= total).then_some(Self { before, ends }))
    }

    fn last(&self) -> u64 {
        self.ends.last().copied().unwrap_or(self.before)
    }

    /// Returns the ends, counted from where the first thing begins.
    fn rebased(mut self) -> Vec<u64> {
        self.ends.iter_mut().for_each(|end| *end -= self.before);
        self.ends
    }
}

enum OwnIds {
    U16(Vec<u16>),
    U32(Vec<u32>),
}

/// The documents of a block, in memory.
pub struct LoadedBlock {
    first: u64,
    ids: OwnIds,
    sentence_ends: Vec<u64>,
    document_ends: Vec<u64>,
}

impl LoadedBlock {
    fn document(&self, index: usize) -> Document<'_> {
        let sentences = if index == 0 { 0 } else { self.document_ends[index - 1] as usize };
        let start = if sentences == 0 { 0 } else { self.sentence_ends[sentences - 1] };
        let ids = match &self.ids {
            OwnIds::U16(ids) => Ids::U16(ids),
            OwnIds::U32(ids) => Ids::U32(ids),
        };
        let ends = &self.sentence_ends[sentences..self.document_ends[index] as usize];
        Document { ids, outline: Outline::whole(start, ends) }
    }
}

/// The documents of several blocks.
#[derive(Default)]
pub struct LoadedBlocks {
    blocks: Vec<Arc<LoadedBlock>>,
    /// How many documents are in the blocks before each, and in all.
    starts: Vec<u64>,
}

impl FromIterator<Arc<LoadedBlock>> for LoadedBlocks {
    fn from_iter<T: IntoIterator<Item = Arc<LoadedBlock>>>(blocks: T) -> Self {
        let blocks: Vec<_> = blocks.into_iter().collect();
        let mut starts = vec![0];
        for block in &blocks {
            starts.push(starts[starts.len() - 1] + block.document_ends.len() as u64);
        }
        Self { blocks, starts }
    }
}

impl LoadedBlocks {
    fn place(&self, index: u64) -> (&LoadedBlock, u64) {
        let block = self.starts.partition_point(|&start| start <= index) - 1;
        (&self.blocks[block], index - self.starts[block])
    }
}

impl Documents for LoadedBlocks {
    fn num_documents(&self) -> u64 {
        self.starts.last().copied().unwrap_or_default()
    }

    fn document(&self, index: u64) -> Document<'_> {
        let (block, within) = self.place(index);
        block.document(within as usize)
    }

    fn number(&self, index: u64) -> u64 {
        let (block, within) = self.place(index);
        block.first + within
    }
}
