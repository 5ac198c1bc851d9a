//! Finds the chunks of a corpus, which are numbered by pass, then document, then chunk, and found again by number.
//!
//! The start of a chunk follows from the segments' lengths and the generators keyed by (seed, pass, document). So it
//! suffices to keep a waypoint every so many chunks. The places of the waypoints never affect the instances.

use std::ops::Range;

use rayon::prelude::*;

use super::instance::{Chunk, check_documents, following, gather, gives_instance, target_length};
use super::options::InstanceOptions;
use super::rng::FastRng;
use crate::tokens::documents::{Documents, Reading};
use crate::{Error, Progress, Result};

/// The chunk number for the generator that belongs to a document as a whole.
const WHOLE_DOCUMENT: u64 = u64::MAX;

/// How the work of building an index is divided. It affects memory and time, but not the instances.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// The most waypoints kept (40 bytes each).
    pub max_checkpoints: usize,
    /// The most documents that one task walks over.
    pub task_documents: u64,
    /// The number of tasks between two progress reports.
    pub wave_tasks: usize,
}

impl Layout {
    /// Returns a layout suited to this many documents.
    pub fn for_documents(documents: u64) -> Self {
        Self { max_checkpoints: 1 << 20, task_documents: (documents / 1024).clamp(1, 4096), wave_tasks: 64 }
    }
}

/// A place in the walk over passes, documents and chunks: that of a chunk, or the place after a document's last chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The pass.
    pub duplicate: u64,
    /// The document.
    pub document: u64,
    /// The chunk's number in its document.
    pub chunk: u64,
    /// The chunk's first segment.
    pub segment: usize,
}

/// The numbers of some instances and their places, the waypoints.
#[derive(Debug, Default)]
pub(crate) struct Checkpoints {
    pub(crate) instances: Vec<u64>,
    pub(crate) places: Vec<Place>,
}

impl Checkpoints {
    fn push(&mut self, instance: u64, place: Place) {
        self.instances.push(instance);
        self.places.push(place);
    }

    pub(crate) fn len(&self) -> usize {
        self.instances.len()
    }

    /// Drops every second waypoint, keeping the first.
    fn thin(&mut self) {
        let mut index = 0;
        self.instances.retain(|_| {
            index += 1;
            index % 2 == 1
        });
        index = 0;
        self.places.retain(|_| {
            index += 1;
            index % 2 == 1
        });
    }

    /// Returns the last waypoint whose instance is at most `instance`.
    fn find(&self, instance: u64) -> (u64, Place) {
        let index = self.instances.partition_point(|&first| first <= instance) - 1;
        (self.instances[index], self.places[index])
    }
}

/// What one task found in its range of documents, in one pass.
#[derive(Debug, Default)]
struct Walked {
    /// The instances are numbered from the task's first.
    checkpoints: Checkpoints,
    instances: u64,
    short_documents: u64,
}

/// Walks over the chunks that become instances.
struct Walk<'a, D> {
    documents: &'a D,
    options: &'a InstanceOptions,
}

impl<D: Documents> Walk<'_, D> {
    /// Calls `visit` for those chunks of one document, from `place` on, that become instances. Stops when `visit`
    /// returns `false`, and returns whether it never did. Then `place` is after the last chunk; otherwise it is the
    /// chunk at which the walk stopped. `ahead` is the number of documents that are probably walked over next.
    fn document(
        &self,
        place: &mut Place,
        ahead: u64,
        reading: &mut Reading,
        mut visit: impl FnMut(Place, &Chunk) -> bool,
    ) -> Result<bool> {
        let seed = self.options.random_seed;
        let number = self.documents.number(place.document);
        let mut whole = FastRng::keyed(seed, place.duplicate, number, WHOLE_DOCUMENT);
        let target = target_length(self.options, &mut whole);
        let needed = |from: usize| from..from + target as usize;
        let mut outline = self.documents.outline(place.document, needed(place.segment), ahead, reading)?;
        while place.segment < outline.segments() {
            if !outline.covers(&needed(place.segment)) {
                outline = self.documents.outline(place.document, needed(place.segment), ahead, reading)?;
            }
            let segments = place.segment..gather(&outline, place.segment, target);
            let mut next = segments.end;
            if gives_instance(&outline, &segments, self.options) {
                if self.options.random_next_sentence && segments.len() > 1 {
                    let mut rng = FastRng::keyed(seed, place.duplicate, number, place.chunk);
                    next = following(&segments, self.options, &mut rng);
                }
                if !visit(*place, &Chunk { document: place.document, segments, target }) {
                    return Ok(false);
                }
            }
            place.segment = next;
            place.chunk += 1;
        }
        Ok(true)
    }

    /// Returns the chunk that is `skip` instances after the one at `place`, and its place. Continues into later
    /// documents and passes.
    fn nth(&self, mut place: Place, mut skip: u64, reading: &mut Reading) -> Result<Option<(Place, Chunk)>> {
        let mut found = None;
        loop {
            // Most documents give an instance or more.
            let ahead = skip;
            let finished = self.document(&mut place, ahead, reading, |place, chunk| {
                if skip == 0 {
                    found = Some((place, chunk.clone()));
                    return false;
                }
                skip -= 1;
                true
            })?;
            if !finished {
                return Ok(found);
            }
            place = Place { document: place.document + 1, chunk: 0, segment: 0, ..place };
            if place.document == self.documents.num_documents() {
                let Some(duplicate) = place.duplicate.checked_add(1) else { return Ok(None) };
                place = Place { duplicate, document: 0, ..place };
            }
        }
    }

    fn gives_any(&self, duplicate: u64, document: u64, reading: &mut Reading) -> Result<bool> {
        Ok(!self.document(&mut Place { duplicate, document, chunk: 0, segment: 0 }, 0, reading, |_, _| false)?)
    }

    /// Counts the instances of a range of documents in one pass, with up to `budget` waypoints that are at least
    /// `stride` steps apart.
    fn range(
        &self,
        duplicate: u64,
        documents: Range<u64>,
        duplicates: &Range<u64>,
        (budget, mut stride): (usize, u64),
    ) -> Result<Walked> {
        let mut walked = Walked::default();
        // The number of chunks and documents walked over since the last waypoint, which is the cost of finding an
        // instance from it.
        let mut steps = u64::MAX;
        let mut reading = Reading::default();
        for document in documents.clone() {
            self.documents.check(document)?;
            let before = walked.instances;
            let mut place = Place { duplicate, document, chunk: 0, segment: 0 };
            let mut seen = 0;
            self.document(&mut place, documents.end - document - 1, &mut reading, |place, _| {
                steps = steps.saturating_add(place.chunk - seen);
                seen = place.chunk;
                if steps >= stride {
                    walked.checkpoints.push(walked.instances, place);
                    steps = 0;
                    if walked.checkpoints.len() > budget {
                        walked.checkpoints.thin();
                        stride = stride.saturating_mul(2);
                    }
                }
                walked.instances += 1;
                true
            })?;
            steps = steps.saturating_add(place.chunk - seen + 1);
            if walked.instances == before && duplicate == duplicates.start {
                // A document of one segment gives the same in every pass.
                let mut others = duplicates.start + 1..duplicates.end;
                let mut ever = false;
                if self.documents.outline(document, 0..0, 0, &mut reading)?.segments() > 1 {
                    while !ever && let Some(other) = others.next() {
                        ever = self.gives_any(other, document, &mut reading)?;
                    }
                }
                walked.short_documents += u64::from(!ever);
            }
        }
        Ok(walked)
    }
}

/// The chunks of some passes over a corpus that become instances.
#[derive(Debug)]
pub struct ChunkIndex {
    pub(crate) checkpoints: Checkpoints,
    instances: u64,
    short_documents: u64,
}

impl ChunkIndex {
    /// Walks over all chunks of all passes in `duplicates`, on all threads of the current rayon pool.
    ///
    /// Progress is reported in documents, each counted once per pass. Fails if `progress` stops the walk, a document is
    /// damaged, or B must come from another document and there is only one.
    pub fn build<D: Documents>(
        documents: &D,
        options: &InstanceOptions,
        duplicates: Range<u64>,
        layout: Layout,
        progress: &mut dyn Progress,
    ) -> Result<Self> {
        let walk = Walk { documents, options };
        let count = documents.num_documents();
        check_documents(options, count)?;
        let total = count.saturating_mul(duplicates.end.saturating_sub(duplicates.start));
        let mut tasks = duplicates.clone().flat_map(|duplicate| {
            let starts = (0..count).step_by(layout.task_documents as usize);
            starts.map(move |start| (duplicate, start..(start + layout.task_documents).min(count)))
        });
        let (mut checkpoints, mut instances, mut short_documents) = (Checkpoints::default(), 0, 0);
        let (mut done, mut stride) = (0, 1);
        let budget = (layout.max_checkpoints / layout.wave_tasks).max(1);
        loop {
            if !progress.report("plan", "documents", done, total) {
                return Err(Error::Interrupted("the plan was not saved, so it will be made again".into()));
            }
            let wave: Vec<_> = tasks.by_ref().take(layout.wave_tasks).collect();
            if wave.is_empty() {
                break;
            }
            done += wave.iter().map(|(_, range)| range.end - range.start).sum::<u64>();
            let all_walked: Vec<Walked> = wave
                .into_par_iter()
                .map(|(duplicate, range)| walk.range(duplicate, range, &duplicates, (budget, stride)))
                .collect::<Result<_>>()?;
            for walked in all_walked {
                checkpoints.instances.extend(walked.checkpoints.instances.iter().map(|first| instances + first));
                checkpoints.places.extend(walked.checkpoints.places);
                instances += walked.instances;
                short_documents += walked.short_documents;
            }
            while checkpoints.len() > layout.max_checkpoints.max(1) {
                checkpoints.thin();
                stride = stride.saturating_mul(2);
            }
        }
        Ok(Self { checkpoints, instances, short_documents })
    }

    /// Returns the number of instances.
    pub fn len(&self) -> u64 {
        self.instances
    }

    /// Whether there are no instances.
    pub fn is_empty(&self) -> bool {
        self.instances == 0
    }

    /// Returns the number of the first instance that is from `document` or a later one in the index's only pass.
    ///
    /// # Errors
    /// Those of reading the documents.
    pub(crate) fn first_of<D: Documents>(
        &self,
        documents: &D,
        options: &InstanceOptions,
        document: u64,
        reading: &mut Reading,
    ) -> Result<u64> {
        let before = self.checkpoints.places.partition_point(|place| place.document < document);
        let Some(last) = before.checked_sub(1) else { return Ok(0) };
        let (mut first, mut place) = (self.checkpoints.instances[last], self.checkpoints.places[last]);
        let walk = Walk { documents, options };
        while place.document < document {
            let ahead = document - place.document - 1;
            walk.document(&mut place, ahead, reading, |_, _| {
                first += 1;
                true
            })?;
            place = Place { document: place.document + 1, chunk: 0, segment: 0, ..place };
        }
        Ok(first)
    }

    /// Returns the number of documents that give no instance in any pass: too short, or dropped by `single_segment`.
    pub fn short_documents(&self) -> u64 {
        self.short_documents
    }

    /// Returns the chunk of instance `number`, from 0, and its place. Documents and options must be those of the index.
    ///
    /// # Errors
    /// Those of [`Documents::outline`].
    ///
    /// # Panics
    /// If `number` is not below [`ChunkIndex::len`].
    pub fn find<D: Documents>(
        &self,
        documents: &D,
        options: &InstanceOptions,
        number: u64,
        reading: &mut Reading,
    ) -> Result<(Place, Chunk)> {
        assert!(number < self.instances, "instance {number} of {}", self.instances);
        let (first, place) = self.checkpoints.find(number);
        let found = Walk { documents, options }.nth(place, number - first, reading)?;
        Ok(found.expect("a number below len has a chunk"))
    }
}
