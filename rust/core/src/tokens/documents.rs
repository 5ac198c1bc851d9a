//! Tokenized documents, from a token store or from memory. Every stage after the tokenizer reads them.

/// A flag on a token of an in-memory document: the token is the unknown piece, and its surface does not begin a word
/// under the reference's rule. That rule reads the surface (`is_start_piece`), which is no longer available later.
pub const UNKNOWN_JOINS: u32 = 1 << 31;

/// The ids of a part as stored.
#[derive(Debug, Clone, Copy)]
pub enum Ids<'a> {
    /// Ids of vocabularies with up to 65,536 pieces.
    U16(&'a [u16]),
    /// Ids of all other vocabularies, and of documents in memory, which may carry [`UNKNOWN_JOINS`].
    U32(&'a [u32]),
}

impl Ids<'_> {
    /// Appends `ids[range]` to `out`.
    pub fn extend_into(&self, range: std::ops::Range<usize>, out: &mut Vec<u32>) {
        match self {
            Self::U16(ids) => out.extend(ids[range].iter().map(|&id| u32::from(id))),
            Self::U32(ids) => out.extend_from_slice(&ids[range]),
        }
    }

    /// Returns the id at `index`.
    pub fn get(&self, index: usize) -> u32 {
        match self {
            Self::U16(ids) => u32::from(ids[index]),
            Self::U32(ids) => ids[index],
        }
    }
}

/// One document: consecutive segments (sentences), each of at least one token, in a shared array of ids.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a> {
    /// The array that holds the document's tokens and, usually, its neighbors'.
    pub ids: Ids<'a>,
    /// The start of the first segment in `ids`.
    pub start: u64,
    /// The end (exclusive) of each segment in `ids`, ascending.
    pub ends: &'a [u64],
}

impl Document<'_> {
    /// Returns the number of segments, at least 1.
    pub fn segments(&self) -> usize {
        self.ends.len()
    }

    /// Returns the start of segment `index` in `ids`; for `index == segments()`, the document's end.
    pub fn segment_start(&self, index: usize) -> u64 {
        if index == 0 { self.start } else { self.ends[index - 1] }
    }

    /// Returns the number of tokens in segments `range`.
    pub fn tokens_in(&self, range: std::ops::Range<usize>) -> u64 {
        self.segment_start(range.end) - self.segment_start(range.start)
    }
}

/// A numbered set of documents that many threads read at once.
pub trait Documents: Sync {
    /// Returns the number of documents.
    fn num_documents(&self) -> u64;
    /// Returns document `index`, from 0.
    fn document(&self, index: u64) -> Document<'_>;
    /// Returns the number that stands for document `index` in the keys of random numbers: that in the whole corpus, if
    /// these documents are some of it.
    fn number(&self, index: u64) -> u64 {
        index
    }
    /// Returns the first document of each block of documents that are next to each other where they are kept. The first
    /// block begins with document 0.
    fn block_starts(&self) -> Vec<u64> {
        vec![0]
    }
    /// Checks that document `index` can be read. Returns an error for a damaged document, unless damage is detected
    /// elsewhere.
    fn check(&self, _index: u64) -> crate::Result<()> {
        Ok(())
    }
    /// Releases memory that reading took and can take again. May be called while others read.
    fn release(&self) {}
}

/// Documents in memory, for the reference mode, tests and small corpora.
#[derive(Debug, Default, Clone)]
pub struct MemoryDocuments {
    ids: Vec<u32>,
    sentence_ends: Vec<u64>,
    /// The range of each document in `sentence_ends`, in the order of the documents' numbers.
    documents: Vec<std::ops::Range<usize>>,
    open: usize,
}

impl MemoryDocuments {
    /// Returns an empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a segment to the open document. Ignores an empty segment.
    pub fn push_segment(&mut self, ids: &[u32]) {
        if !ids.is_empty() {
            self.ids.extend_from_slice(ids);
            self.sentence_ends.push(self.ids.len() as u64);
        }
    }

    /// Closes the open document. Drops it if it has no segments.
    pub fn end_document(&mut self) {
        if self.sentence_ends.len() > self.open {
            self.documents.push(self.open..self.sentence_ends.len());
            self.open = self.sentence_ends.len();
        }
    }

    /// Returns the XXH3-128 of all tokens and borders, in hexadecimal.
    pub fn digest(&self) -> String {
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        hash.update(bytemuck::cast_slice(&self.ids));
        hash.update(bytemuck::cast_slice(&self.sentence_ends));
        for document in &self.documents {
            hash.update(&(document.end as u64).to_le_bytes());
        }
        format!("{:032x}", hash.digest128())
    }

    /// Renumbers the documents. Document `i` is now the former document `order[i]`.
    pub fn reorder(&mut self, order: &[u32]) {
        self.documents = order.iter().map(|&i| self.documents[i as usize].clone()).collect();
    }
}

impl Documents for MemoryDocuments {
    fn num_documents(&self) -> u64 {
        self.documents.len() as u64
    }

    fn document(&self, index: u64) -> Document<'_> {
        let range = self.documents[index as usize].clone();
        let start = if range.start == 0 { 0 } else { self.sentence_ends[range.start - 1] };
        Document { ids: Ids::U32(&self.ids), start, ends: &self.sentence_ends[range] }
    }
}

impl<T: Documents + Send + ?Sized> Documents for std::sync::Arc<T> {
    fn num_documents(&self) -> u64 {
        (**self).num_documents()
    }

    fn document(&self, index: u64) -> Document<'_> {
        (**self).document(index)
    }

    fn number(&self, index: u64) -> u64 {
        (**self).number(index)
    }

    fn block_starts(&self) -> Vec<u64> {
        (**self).block_starts()
    }

    fn check(&self, index: u64) -> crate::Result<()> {
        (**self).check(index)
    }

    fn release(&self) {
        (**self).release();
    }
}
