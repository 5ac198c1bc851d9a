//! The work of each round, for any portions, and the training at the end.

use std::ops::Range;

use super::header::Manifest;
use super::job::{Found, Job, Round};
use super::words::{self, Joined};
use crate::files::inputs::InputFile;
use crate::files::portions::with_line;
use crate::tokens::corpus::BLOCK_BYTES;
use crate::tokens::corpus::portions::{PortionReader, Portions, Wanted};
use crate::tokens::training::corpus::{Reader, covered, why_dropped};
use crate::tokens::training::read::{Reading, block_reader, read_lines};
use crate::tokens::training::sample::Sample;
use crate::tokens::training::watch::{Stage, watched};
use crate::tokens::training::{Dropped, Setup};
use crate::{Error, Progress, Result};

/// The stage in which a portion is read and its words are written.
const READING: &str = "reading text";

/// What the input is divided into, and how it is read.
pub(super) struct Inputs<'a> {
    pub files: &'a [InputFile],
    pub portions: &'a Portions,
    pub reading: Reading,
    pub setup: &'a Setup,
    /// The portions of the task.
    pub own: Range<usize>,
}

impl Inputs<'_> {
    /// Passes the lines of a portion to `each`, thousands at a time.
    fn read(
        &self,
        stage: &'static str,
        portion: usize,
        progress: &mut dyn Progress,
        each: impl FnMut(&[&str]) + Send,
    ) -> Result<()> {
        // Files after those of the portion must not be opened.
        let files = &self.files[..self.portions.files(portion..portion + 1).end];
        let wanted = Wanted {
            portions: self.portions,
            range: portion..portion + 1,
            position: None,
            progress: self.own.clone(),
            block_bytes: BLOCK_BYTES,
        };
        // A model depends on lines, not on documents.
        let mut reader = PortionReader::new(block_reader(files, self.reading, progress), |_: &[u8]| true, wanted);
        read_lines(stage, &mut reader, files, self.reading, progress, each).map_err(|error| {
            match self.portions.counted_from(portion) {
                Some((file, from)) => with_line(error, &self.files[file], from),
                None => error,
            }
        })
    }
}

/// Says after an interruption what to do.
pub(super) fn resumable(error: Error) -> Error {
    match error {
        Error::Interrupted(_) => {
            Error::Interrupted("the portions that are complete are kept; run the same command again to resume".into())
        }
        error => error,
    }
}

/// Does `portions` of a round, ascending, and notes each.
///
/// # Errors
/// An input or a file cannot be read or written; [`Error::Interrupted`] if `progress` asks to stop.
pub(super) fn run(
    job: &Job,
    inputs: &Inputs<'_>,
    round: Round,
    portions: &[u64],
    progress: &mut dyn Progress,
) -> Result<()> {
    if portions.is_empty() {
        return Ok(());
    }
    match round {
        Round::Count => portions.iter().try_for_each(|&portion| count(job, inputs, portion, progress)),
        Round::Words => {
            let counted = if job.rounds().len() > 1 { job.all(Round::Count)? } else { Vec::new() };
            let total = counted.iter().map(Found::candidates).sum();
            let stage = Stage::whole("choosing lines", "lines", total);
            let sample = Sample::new(inputs.setup.options.input_sentence_size);
            let sample = watched(progress, stage, |watch| sample.of(total, watch))?;
            portions.iter().try_for_each(|&portion| collect(job, inputs, portion, &counted, sample, progress))
        }
    }
}

fn count(job: &Job, inputs: &Inputs<'_>, portion: u64, progress: &mut dyn Progress) -> Result<()> {
    let most = inputs.setup.options.max_sentence_length as usize;
    let mut found = Found { lines: 0, dropped: Dropped::default(), written: None };
    inputs.read("counting lines", portion as usize, progress, |lines| {
        found.lines += lines.len() as u64;
        lines.iter().filter_map(|line| why_dropped(line, most)).for_each(|dropped| found.dropped += dropped);
    })?;
    job.mark(Round::Count, portion, &found)
}

/// Writes the words of a portion. `counted` has what the round before found in all portions, if there was one.
fn collect(
    job: &Job,
    inputs: &Inputs<'_>,
    portion: u64,
    counted: &[Found],
    sample: Sample,
    progress: &mut dyn Progress,
) -> Result<()> {
    let Setup { options, meta, .. } = inputs.setup;
    let first = counted.iter().take(portion as usize).map(Found::candidates).sum();
    let mut reader = Reader::of_part(options, meta, first, sample)?;
    let mut lines = 0;
    inputs.read(READING, portion as usize, progress, |more| {
        lines += more.len() as u64;
        reader.add(more);
    })?;
    let mut found = Found { lines, dropped: reader.dropped(), written: None };
    if counted.get(portion as usize).is_some_and(|it| it.candidates() != found.candidates()) {
        let file = &inputs.files[inputs.portions.files(portion as usize..portion as usize + 1).start];
        let reason = "changed since its lines were counted; remove the output directory, and run all tasks again";
        return Err(Error::data(&file.path, reason));
    }
    // The next portion continues where this one ends, so the bar waits there.
    let done = inputs.portions.bytes(inputs.own.start..portion as usize + 1);
    let total = inputs.portions.bytes(inputs.own.clone());
    let stage = Stage { name: READING, unit: "bytes", done: (done, done), total, steps: reader.kept() };
    found.written =
        Some(watched(progress, stage, |watch| words::write(&job.words(portion), &reader.into_lines(watch)?, watch))?);
    job.mark(Round::Words, portion, &found)
}

/// What all portions have together.
pub(super) struct Counts {
    pub lines: u64,
    pub dropped: Dropped,
}

impl Counts {
    pub fn of(all: &[Found]) -> Self {
        let mut dropped = Dropped::default();
        for found in all {
            dropped += found.dropped;
        }
        Self { lines: all.iter().map(|found| found.lines).sum(), dropped }
    }

    pub fn noted(manifest: &Manifest) -> Self {
        Self { lines: manifest.lines, dropped: manifest.dropped }
    }
}

/// Trains on the words of all portions. Returns the content of the model file, or nothing if all lines were dropped.
///
/// # Errors
/// Those of [`super::super::Training::finish`]; [`Error::Data`] if a file is damaged; [`Error::Io`].
pub(super) fn train(job: &Job, setup: Setup, progress: &mut dyn Progress) -> Result<(Option<Vec<u8>>, Counts)> {
    let all = job.all(Round::Words)?;
    let counts = Counts::of(&all);
    if counts.lines <= counts.dropped.total() {
        return Ok((None, counts));
    }
    let total = all.iter().flat_map(|found| &found.written).map(|written| written.lines).sum();
    let (lines, alphabet) = watched(progress, Stage::whole("counting words", "lines", total), |watch| {
        let mut joined = Joined::default();
        for (portion, written) in (0..).zip(all.iter().flat_map(|found| &found.written)) {
            joined.add(&job.words(portion), written, watch)?;
        }
        covered(joined.into_lines(), &setup.options, watch)
    })?;
    Ok((Some(setup.train(lines, &alphabet, progress)?), counts))
}
