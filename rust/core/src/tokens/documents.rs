//! Tokenized documents, from a token store or from memory. Every stage after the tokenizer reads them.

use std::ops::Range;

pub use super::reading::Reading;
use crate::Result;

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

impl<'a> Ids<'a> {
    /// Returns `ids[range]`.
    #[must_use]
    pub fn slice(self, range: Range<usize>) -> Ids<'a> {
        match self {
            Self::U16(ids) => Ids::U16(&ids[range]),
            Self::U32(ids) => Ids::U32(&ids[range]),
        }
    }

    /// Appends the ids to `out`.
    pub fn append_to(self, out: &mut Vec<u32>) {
        match self {
            Self::U16(ids) => out.extend(ids.iter().map(|&id| u32::from(id))),
            Self::U32(ids) => out.extend_from_slice(ids),
        }
    }

    /// Appends `ids[range]` to `out`.
    pub fn extend_into(&self, range: Range<usize>, out: &mut Vec<u32>) {
        self.slice(range).append_to(out);
    }

    /// Returns the id at `index`.
    pub fn get(&self, index: usize) -> u32 {
        match self {
            Self::U16(ids) => u32::from(ids[index]),
            Self::U32(ids) => ids[index],
        }
    }
}

/// Where the segments (sentences) of a document, each of at least one token, lie among the tokens: all segments, or
/// consecutive ones that include those asked for.
#[derive(Debug, Clone, Copy)]
pub struct Outline<'a> {
    /// The number of segments of the document, at least 1.
    segments: usize,
    /// The number of the first segment that is here.
    first: usize,
    /// The position where that segment starts.
    start: u64,
    /// The end (exclusive) of each segment that is here, ascending.
    ends: &'a [u64],
}

impl<'a> Outline<'a> {
    /// Describes a document whose first segment starts at `start` and whose segments end at `ends`.
    pub(crate) fn whole(start: u64, ends: &'a [u64]) -> Self {
        Self { segments: ends.len(), first: 0, start, ends }
    }

    /// Describes some segments, from `first` on, of a document that has `segments` of them.
    pub(crate) fn some(segments: usize, first: usize, start: u64, ends: &'a [u64]) -> Self {
        Self { segments, first, start, ends }
    }

    /// Returns the number of segments of the document, at least 1.
    pub fn segments(&self) -> usize {
        self.segments
    }

    /// Returns the position where segment `index` starts; for `index == segments()`, the document's end.
    ///
    /// # Panics
    /// If neither segment `index` nor the one before it is here.
    pub fn segment_start(&self, index: usize) -> u64 {
        if index == self.first { self.start } else { self.ends[index - self.first - 1] }
    }

    /// Returns the number of tokens in segments `range`.
    ///
    /// # Panics
    /// If one of these segments is not here.
    pub fn tokens_in(&self, range: Range<usize>) -> u64 {
        self.segment_start(range.end) - self.segment_start(range.start)
    }

    /// Returns the ends (exclusive) of the segments from `index` on, as far as they are here.
    ///
    /// # Panics
    /// If segment `index` is not here.
    pub fn ends_from(&self, index: usize) -> &'a [u64] {
        &self.ends[index - self.first..]
    }

    /// Whether a segment that is here starts or ends at `position`.
    pub fn is_border(&self, position: u64) -> bool {
        position == self.start || self.ends.binary_search(&position).is_ok()
    }

    /// Whether those of `segments` that the document has are here.
    pub(crate) fn covers(&self, segments: &Range<usize>) -> bool {
        self.first <= segments.start && segments.end.min(self.segments) <= self.first + self.ends.len()
    }
}

/// One document in a shared array of ids.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a> {
    /// The array that holds the document's tokens and, usually, its neighbors'.
    pub ids: Ids<'a>,
    /// The segments. Positions are indices of `ids`.
    pub outline: Outline<'a>,
}

impl Document<'_> {
    /// Returns the number of segments, at least 1.
    pub fn segments(&self) -> usize {
        self.outline.segments()
    }

    /// Returns the start of segment `index` in `ids`; for `index == segments()`, the document's end.
    pub fn segment_start(&self, index: usize) -> u64 {
        self.outline.segment_start(index)
    }
}

/// Consecutive segments of a document with their ids.
#[derive(Debug, Clone, Copy)]
pub struct Excerpt<'a> {
    /// The ids, including those of the segments asked for.
    ids: Ids<'a>,
    /// The position of the first one of `ids`.
    position: u64,
    /// The segments, at least those asked for.
    pub outline: Outline<'a>,
}

impl<'a> Excerpt<'a> {
    pub(crate) fn new(ids: Ids<'a>, position: u64, outline: Outline<'a>) -> Self {
        Self { ids, position, outline }
    }

    /// Returns the id at `position`.
    pub fn id(&self, position: u64) -> u32 {
        self.ids.get((position - self.position) as usize)
    }

    /// Returns the ids at `positions`.
    pub fn ids(&self, positions: &Range<u64>) -> Ids<'a> {
        self.ids.slice((positions.start - self.position) as usize..(positions.end - self.position) as usize)
    }
}

impl<'a> From<Document<'a>> for Excerpt<'a> {
    fn from(document: Document<'a>) -> Self {
        Self { ids: document.ids, position: 0, outline: document.outline }
    }
}

/// A numbered set of documents that many threads read at once.
pub trait Documents: Sync {
    /// Returns the number of documents.
    fn num_documents(&self) -> u64;
    /// Returns document `index`, from 0, without copying.
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
    fn check(&self, _index: u64) -> Result<()> {
        Ok(())
    }
    /// Returns the outline of document `index` with at least those of `segments` that the document has. `ahead` is the
    /// number of documents after it for which the same `reading` will probably be used next.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) and [`Error::Data`](crate::Error::Data) if the set reads from files.
    fn outline<'a>(
        &'a self,
        index: u64,
        _segments: Range<usize>,
        _ahead: u64,
        _reading: &'a mut Reading,
    ) -> Result<Outline<'a>> {
        Ok(self.document(index).outline)
    }
    /// Returns `segments` of document `index`, which it must have, with their ids.
    ///
    /// # Errors
    /// Those of [`Documents::outline`].
    fn excerpt<'a>(&'a self, index: u64, _segments: Range<usize>, _reading: &'a mut Reading) -> Result<Excerpt<'a>> {
        Ok(self.document(index).into())
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
    documents: Vec<Range<usize>>,
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
        Document { ids: Ids::U32(&self.ids), outline: Outline::whole(start, &self.sentence_ends[range]) }
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

    fn check(&self, index: u64) -> Result<()> {
        (**self).check(index)
    }

    fn outline<'a>(
        &'a self,
        index: u64,
        segments: Range<usize>,
        ahead: u64,
        reading: &'a mut Reading,
    ) -> Result<Outline<'a>> {
        (**self).outline(index, segments, ahead, reading)
    }

    fn excerpt<'a>(&'a self, index: u64, segments: Range<usize>, reading: &'a mut Reading) -> Result<Excerpt<'a>> {
        (**self).excerpt(index, segments, reading)
    }

    fn release(&self) {
        (**self).release();
    }
}
