//! Where encoded blocks go: into the parts of a store, or into memory.

use std::collections::VecDeque;

use super::wave::{Sink, Work};
use crate::Result;
use crate::tokens::corpus::Position;
use crate::tokens::documents::{Ids, MemoryDocuments};
use crate::tokens::store::{PartMeta, StoreWriter};

/// Notes what is finished.
pub(super) trait Notes: Send {
    /// Notes parts that are at their place.
    ///
    /// # Errors
    /// Those of writing the note.
    fn add(&mut self, parts: Vec<Finished>) -> Result<()>;
}

/// A part that is at its place.
#[derive(Debug)]
pub(super) struct Finished {
    /// The part, and the version (`ETag`) of a remote one. A portion without documents has none.
    pub part: Option<(PartMeta, Option<String>)>,
    /// Where the first document after the part begins.
    pub next: Place,
}

/// A place between two documents.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// The portion that the document after it is of.
    pub portion: usize,
    pub position: Position,
    /// Number of invalid UTF-8 sequences replaced up to there.
    pub replaced: u64,
}

/// Puts encoded blocks into the parts of a store.
pub(super) struct StoreSink<N> {
    pub writer: StoreWriter,
    pub notes: N,
    pub replaced: u64,
    /// What is closed and not noted: whether it is a part, and the place after it.
    closed: VecDeque<(bool, Place)>,
    /// The number of parts that are noted.
    noted: usize,
}

impl<N: Notes> StoreSink<N> {
    /// Continues the store of `writer`, whose parts are noted. `replaced` sequences were replaced in them.
    pub fn new(mut writer: StoreWriter, notes: N, portion: usize, replaced: u64) -> Self {
        writer.begin_portion(portion);
        let noted = writer.parts().len();
        Self { writer, notes, replaced, closed: VecDeque::new(), noted }
    }

    fn close_part(&mut self, next: Place) -> Result<()> {
        let is_part = self.writer.close_part()?;
        self.closed.push_back((is_part, next));
        self.note_parts()
    }

    /// Waits until all closed parts are at their place, and notes them.
    pub fn settle(&mut self) -> Result<()> {
        let settled = self.writer.settle();
        self.note_parts()?;
        settled
    }

    fn note_parts(&mut self) -> Result<()> {
        let mut finished = Vec::new();
        while let Some(&(is_part, next)) = self.closed.front() {
            let mut part = None;
            if is_part {
                let Some(there) = self.writer.parts().get(self.noted) else { break };
                part = Some((there.clone(), self.writer.version(self.noted).map(str::to_owned)));
                self.noted += 1;
            }
            finished.push(Finished { part, next });
            self.closed.pop_front();
        }
        if finished.is_empty() { Ok(()) } else { self.notes.add(finished) }
    }
}

impl<N: Notes> Sink for StoreSink<N> {
    const KEEPS_MARKS: bool = false;

    fn write(&mut self, work: &Work) -> Result<()> {
        let out = &work.encoded;
        let mut sentence = 0;
        let mut push = |writer: &mut StoreWriter, upto: usize| {
            let ends = &out.sentence_ends[sentence..upto];
            let first = if sentence == 0 { 0 } else { out.sentence_ends[sentence - 1] };
            sentence = upto;
            writer.push_sentences(out.ids.tail(first as usize), first, ends)
        };
        for end in &out.document_ends {
            push(&mut self.writer, end.sentences as usize)?;
            if self.writer.end_document()?
                && let Some(position) = work.text.block.position(end.byte as usize)
            {
                let replaced = self.replaced + u64::from(end.replaced);
                self.close_part(Place { portion: work.text.portion, position, replaced })?;
            }
        }
        push(&mut self.writer, out.sentence_ends.len())?;
        self.replaced += u64::from(out.replaced);
        if let Some(position) = work.text.end {
            self.writer.end_document()?;
            let portion = work.text.portion + 1;
            self.close_part(Place { portion, position, replaced: self.replaced })?;
            self.writer.begin_portion(portion);
        }
        Ok(())
    }
}

#[derive(Default)]
pub(super) struct MemorySink {
    pub documents: MemoryDocuments,
    pub replaced: u64,
}

impl Sink for MemorySink {
    const KEEPS_MARKS: bool = true;

    fn write(&mut self, work: &Work) -> Result<()> {
        let out = &work.encoded;
        let Ids::U32(ids) = out.ids.tail(0) else { return Ok(()) };
        let mut start = 0;
        let mut document_ends = out.document_ends.iter().peekable();
        for (i, &end) in out.sentence_ends.iter().enumerate() {
            while document_ends.next_if(|e| e.sentences as usize <= i).is_some() {
                self.documents.end_document();
            }
            self.documents.push_segment(&ids[start..end as usize]);
            start = end as usize;
        }
        if document_ends.next().is_some() {
            self.documents.end_document();
        }
        self.replaced += u64::from(out.replaced);
        Ok(())
    }
}
