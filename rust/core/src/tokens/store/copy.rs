//! Reads documents of a large store at random places, as copies.
//!
//! If a mapped file is read at a random place, the system maps 64 KiB or more around it, and giving them back costs more
//! than the read. A copy takes three calls of the system: the ends of some documents, the ends of their sentences, and
//! the ids that are needed.

use std::fs::File;
use std::ops::Range;

use super::reader::{MappedPart, TokenStore};
use crate::Result;
use crate::tokens::documents::{Excerpt, Ids, Outline};
use crate::tokens::reading::{Reading, Window, first};

/// The most documents whose ends are read at once.
const MAX_DOCUMENTS: u64 = if cfg!(test) { 3 } else { 512 };
/// The most sentences whose ends are read at once, unless more are asked for. Of longer documents, only some sentences
/// are read.
const MAX_SENTENCES: u64 = if cfg!(test) { 8 } else { 4096 };
/// The fewest sentences of a longer document that are read at once.
const MIN_SENTENCES: u64 = if cfg!(test) { 2 } else { 512 };
/// The most ids that are copied. More of them are mapped, so that buffers stay small.
const MAX_IDS: u64 = if cfg!(test) { 40 } else { 1 << 16 };

impl TokenStore {
    /// Returns the outline of a document as [`Documents::outline`](crate::tokens::documents::Documents::outline) does,
    /// from copied and checked ends.
    pub(super) fn copy_outline<'a>(
        &self,
        index: u64,
        segments: &Range<usize>,
        ahead: u64,
        reading: &'a mut Reading,
    ) -> Result<Outline<'a>> {
        if !self.is_here(&reading.window, index, segments) {
            // If this fails halfway, the window must not be taken for what it was.
            reading.window.store = 0;
            self.load(index, segments, ahead, reading)?;
        }
        Ok(reading.window.outline(index))
    }

    /// Returns an excerpt as [`Documents::excerpt`](crate::tokens::documents::Documents::excerpt) does, from copied
    /// ends and ids.
    pub(super) fn copy_excerpt<'a>(
        &'a self,
        index: u64,
        segments: &Range<usize>,
        reading: &'a mut Reading,
    ) -> Result<Excerpt<'a>> {
        let outline = self.copy_outline(index, segments, 0, reading)?;
        let tokens = outline.segment_start(segments.start)..outline.segment_start(segments.end);
        let (number, _) = self.locate(index);
        let part = &self.parts[number];
        let length = tokens.end - tokens.start;
        if length > MAX_IDS {
            return Ok(Excerpt::new(part.arrays().ids, 0, reading.window.outline(index)));
        }
        let Reading { window, ids, opened } = reading;
        let (key, length) = ((self.number, number), length as usize);
        let offset = part.layout.ids.start + tokens.start * u64::from(part.header.id_bytes);
        let ids = if part.header.id_bytes == 2 {
            let buffer = first(&mut ids.narrow, length);
            part.file.read(key, &part.path, opened, offset, buffer)?;
            Ids::U16(buffer)
        } else {
            let buffer = first(&mut ids.wide, length);
            part.file.read(key, &part.path, opened, offset, buffer)?;
            Ids::U32(buffer)
        };
        Ok(Excerpt::new(ids, tokens.start, window.outline(index)))
    }

    fn is_here(&self, window: &Window, index: u64, segments: &Range<usize>) -> bool {
        window.store == self.number
            && window.documents.contains(&index)
            && (segments.is_empty()
                || window.documents.end - window.documents.start > 1
                || window.outline(index).covers(segments))
    }

    fn load(&self, index: u64, segments: &Range<usize>, ahead: u64, reading: &mut Reading) -> Result<()> {
        let (number, within) = self.locate(index);
        let part = &self.parts[number];
        let Reading { window, opened, .. } = reading;
        let key = (self.number, number);
        let read = |ends: &Range<u64>, from: u64, buffer: &mut [u64], opened: &mut _| {
            read_ends(part, key, ends, from, buffer, opened)
        };

        let count = (part.header.documents - within).min(MAX_DOCUMENTS).min(ahead + 1);
        let ends = first(&mut window.document_ends, count as usize + 1);
        read(&part.layout.document_ends, within, ends, opened)?;
        if let Some(bad) = first_bad(ends, part.header.sentences) {
            return Err(part.damaged_ends(within + bad as u64));
        }
        let (start, end) = (ends[0], ends[1]);
        let (count, sentences) = if end - start > MAX_SENTENCES {
            let needed = (segments.end - segments.start) as u64;
            let from = (start + segments.start as u64).min(end);
            let needed = if needed == 0 { 0 } else { needed.max(MIN_SENTENCES) };
            (1, from..(from + needed).min(end))
        } else {
            let count = ends.partition_point(|&end| end - start <= MAX_SENTENCES) - 1;
            (count as u64, start..ends[count])
        };

        let ends = first(&mut window.sentence_ends, (sentences.end - sentences.start) as usize + 1);
        read(&part.layout.sentence_ends, sentences.start, ends, opened)?;
        if let Some(bad) = first_bad(ends, part.header.tokens) {
            let sentence = sentences.start + bad as u64;
            let document = window.document_ends[1..=count as usize].partition_point(|&end| end <= sentence);
            return Err(part.damaged_ends(within + document as u64));
        }
        window.documents = index..index + count;
        window.sentences = sentences;
        window.store = self.number;
        Ok(())
    }
}

/// Reads the start of entry `from` of a section of ends, which is the end of the one before, and then the ends of as
/// many entries as fit.
fn read_ends(
    part: &MappedPart,
    key: (u64, usize),
    section: &Range<u64>,
    from: u64,
    buffer: &mut [u64],
    opened: &mut Option<(u64, usize, File)>,
) -> Result<()> {
    let (from, buffer) = if from == 0 {
        buffer[0] = 0;
        (0, &mut buffer[1..])
    } else {
        (from - 1, buffer)
    };
    part.file.read(key, &part.path, opened, section.start + 8 * from, buffer)
}

/// Returns the first entry, from 0, that does not end after the one before it or ends after `total`. Opening a store
/// does not check that. `ends` begins with the start of the first entry.
fn first_bad(ends: &[u64], total: u64) -> Option<usize> {
    ends.windows(2).position(|pair| pair[0] >= pair[1] || pair[1] > total)
}

impl Window {
    fn outline(&self, index: u64) -> Outline<'_> {
        let at = (index - self.documents.start) as usize;
        let (start, end) = (self.document_ends[at], self.document_ends[at + 1]);
        let here = start.max(self.sentences.start)..end.min(self.sentences.end);
        let (from, to) = ((here.start - self.sentences.start) as usize, (here.end - self.sentences.start) as usize);
        let first = (here.start - start) as usize;
        Outline::some((end - start) as usize, first, self.sentence_ends[from], &self.sentence_ends[from + 1..=to])
    }
}
