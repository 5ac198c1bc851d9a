//! Makes batches from record files. Their instances are used as they are, or masked again in each epoch.

#[cfg(test)]
mod tests;

use std::ops::Range;
use std::path::PathBuf;

use super::example::{Rules, decode, decode_row};
use super::fetch::local;
use super::index::{ReadBuffer, RecordIndex};
use crate::batches::batch::{Row, Source};
use crate::files::cache::{Cache, Kept};
use crate::instances::mask_rows::{Predictions, RowContext, RowMasker, RowScratch};
use crate::instances::permute::Permutation;
use crate::instances::rng::FastRng;
use crate::{Error, Progress, Result};

/// The last word of the keys of an epoch's order and of a record's masks. For whatever belongs to a whole dataset, the
/// word before it is `u64::MAX`.
const ORDER: u64 = u64::from_be_bytes(*b"RecOrder");
const MASKS: u64 = u64::from_be_bytes(*b"RecMasks");

/// How records are read.
#[derive(Debug, Clone, Default)]
pub struct RecordOptions {
    /// The seed of the order and the masks.
    pub seed: u64,
    /// Whether each epoch has an order of its own. Otherwise all have the order of the files.
    pub shuffle: bool,
    /// The masker that masks the restored original tokens again, differently in every epoch.
    pub remask: Option<RowMasker>,
    /// Every id must be below this, and below the size of the masker's vocabulary.
    pub vocab_size: Option<u32>,
    /// The sequence length that the records must have. By default, it is that of the first record.
    pub seq_length: Option<usize>,
    /// The directory of indexes and decompressed files; see [`RecordIndex`].
    pub index_dir: Option<PathBuf>,
    /// Number of threads that index files (0: as many as there are CPUs).
    pub threads: usize,
    /// Where remote files are kept.
    pub cache: Cache,
}

/// The records of a list of files as a [`Source`]. Each epoch has every record once.
///
/// Position `p` is record `o(p mod n)` of epoch `p / n`. `n` is the number of records. `o` is the order of the files
/// or, if shuffled, a [`Permutation`] whose key is the first number of [`FastRng::keyed`] (seed, epoch, `u64::MAX`,
/// `"RecOrder"`). The masks of record `r` are drawn from that of (seed, epoch, `r`, `"RecMasks"`). The names are eight
/// ASCII characters as a big-endian number.
#[derive(Debug)]
pub struct RecordSource {
    index: RecordIndex,
    /// Keeps the copies of remote files.
    _kept: Vec<Kept>,
    seed: u64,
    shuffle: bool,
    remask: Option<RowMasker>,
    vocab_size: Option<u32>,
    /// The lengths S and P of the records.
    lengths: (usize, usize),
    /// Whether the records have `token_boundary`: true if the first record of each file does.
    boundaries: bool,
}

/// What a thread keeps between records of one [`RecordSource`].
#[derive(Debug, Default)]
pub struct RecordScratch {
    buffer: ReadBuffer,
    /// The last epoch used and its order.
    order: Option<(u64, Permutation)>,
    lists: Lists,
    context: RowContext,
    masks: RowScratch,
}

impl RecordSource {
    /// Opens the records of `paths`, in this order. Remote files are fetched into the cache. Every file is indexed, and
    /// its first record is read.
    ///
    /// # Errors
    /// Those of [`RecordIndex::open`] and of fetching; [`Error::Record`] if the first record of a file is not an ALBERT record, has
    /// other lengths than that of the first file, has another sequence length than `options` ask for, or lacks the
    /// `token_boundary` that masking again needs; [`Error::Rule`] if the vocabulary has no pieces.
    pub fn open(paths: &[PathBuf], options: RecordOptions, progress: &mut dyn Progress) -> Result<Self> {
        let RecordOptions { seed, shuffle, remask, vocab_size, seq_length, index_dir, threads, cache } = options;
        if vocab_size == Some(0) {
            return Err(Error::rule("vocab_size", "at least 1", 0));
        }
        let (paths, kept) = local(paths, &cache, progress)?;
        let index = RecordIndex::open(&paths, index_dir.as_deref(), threads, progress)?;
        let vocab_size = match (vocab_size, remask.as_ref().map(|masker| masker.vocab_size() as u32)) {
            (Some(size), Some(other)) => Some(size.min(other)),
            (size, other) => size.or(other),
        };
        let lengths = first_lengths(&index, seq_length)?;
        let mut source = Self { index, _kept: kept, seed, shuffle, remask, vocab_size, lengths, boundaries: false };
        source.boundaries = source.check_first_records()?;
        Ok(source)
    }

    /// The index of the files' records.
    pub fn index(&self) -> &RecordIndex {
        &self.index
    }

    /// Checks the first record of each file, so that files of different datasets are refused before the first batch,
    /// not in the middle of an epoch. Returns whether all files have `token_boundary`.
    fn check_first_records(&self) -> Result<bool> {
        let (mut buffer, mut lists) = (ReadBuffer::default(), Lists::new(self.lengths));
        let mut all = true;
        for number in self.index.first_records() {
            let has_boundaries = self.decode_any(number, &mut buffer, &mut lists.row())?;
            if !has_boundaries && self.remask.as_ref().is_some_and(RowMasker::needs_word_starts) {
                return Err(self.index.error(
                    number,
                    "token_boundary is missing, which masking again needs to know where words begin; pass remask=False, or a \
                     masker with do_whole_word_mask=False"
                        .into(),
                ));
            }
            all &= has_boundaries;
        }
        Ok(all)
    }

    /// Returns the number of the record at `position`, and its epoch.
    fn locate(&self, position: u64, order: &mut Option<(u64, Permutation)>) -> (u64, u64) {
        let (epoch, index) = (position / self.index.len(), position % self.index.len());
        if !self.shuffle {
            return (index, epoch);
        }
        let order = match order {
            Some((of, order)) if *of == epoch => order,
            _ => {
                let key = FastRng::keyed(self.seed, epoch, u64::MAX, ORDER).next_u64();
                &mut order.insert((epoch, Permutation::new(self.index.len(), key))).1
            }
        };
        (order.apply(index), epoch)
    }

    /// Checks that the record's `[CLS]` and `[SEP]` are the masker's. A masker of another vocabulary would mask them
    /// and insert another piece as `[MASK]`.
    fn check_frame(&self, masker: &RowMasker, tokens: &[i32], number: u64) -> Result<()> {
        let (cls, sep) = masker.frame();
        let (first, last) = (tokens.first().copied().unwrap_or_default(), tokens.last().copied().unwrap_or_default());
        if (first, last) == (cls as i32, sep as i32) {
            return Ok(());
        }
        let problem = format!(
            "its tokens begin with id {first} and end with id {last}, but the masker's [CLS] and [SEP] are {cls} and {sep}; \
             pass a masker with the vocabulary that the records were made with"
        );
        Err(self.index.error(number, problem))
    }

    fn decode(&self, number: u64, buffer: &mut ReadBuffer, row: &mut Row<'_>) -> Result<()> {
        if !self.decode_any(number, buffer, row)? && self.boundaries {
            let problem =
                "token_boundary is missing, but the first record of each file has it; all records must be alike";
            return Err(self.index.error(number, problem.into()));
        }
        Ok(())
    }

    /// Returns whether the record has `token_boundary`.
    fn decode_any(&self, number: u64, buffer: &mut ReadBuffer, row: &mut Row<'_>) -> Result<bool> {
        let record = self.index.read(number, buffer)?;
        decode_row(record.data, self.vocab_size, row).map_err(|problems| self.index.error(number, joined(&problems)))
    }
}

impl Source for RecordSource {
    type Scratch = RecordScratch;
    /// Not used: the positions may lie in any number of epochs, and an order is cheap to compute.
    type Stretch = ();

    fn epoch_len(&self) -> u64 {
        self.index.len()
    }

    fn seq_length(&self) -> usize {
        self.lengths.0
    }

    fn predictions(&self) -> usize {
        self.remask.as_ref().map_or(self.lengths.1, |masker| masker.predictions(self.lengths.0))
    }

    fn has_token_boundary(&self) -> bool {
        self.boundaries
    }

    fn prepare(&self, _: Range<u64>) -> Result<()> {
        Ok(())
    }

    fn fill(&self, _: u64, position: u64, (): &(), scratch: &mut RecordScratch, row: &mut Row<'_>) -> Result<()> {
        let RecordScratch { buffer, order, lists, context, masks } = scratch;
        let (number, epoch) = self.locate(position, order);
        let Some(masker) = &self.remask else { return self.decode(number, buffer, row) };
        lists.resize(self.lengths);
        self.decode(number, buffer, &mut lists.row())?;
        lists.restore_into(row, context);
        self.check_frame(masker, &row.input_ids[..context.length], number)?;
        let mut out = Predictions {
            positions: row.masked_lm_positions,
            ids: row.masked_lm_ids,
            weights: row.masked_lm_weights,
            labels: None,
        };
        let mut rng = FastRng::keyed(self.seed, epoch, number, MASKS);
        masker.mask_with(row.input_ids, context, &mut rng, masks, &mut out).map_err(|outside| {
            let problem = format!("input_ids: {} at position {} is not in the vocabulary", outside.id, outside.column);
            self.index.error(number, problem)
        })
    }
}

/// Returns S and P of the first record.
fn first_lengths(index: &RecordIndex, seq_length: Option<usize>) -> Result<(usize, usize)> {
    let mut buffer = ReadBuffer::default();
    let record = index.read(0, &mut buffer)?;
    let example = decode(record.data).map_err(|problem| index.error(0, problem))?;
    let Some(lengths) = Rules::lengths_of(&example) else {
        return Err(index.error(0, joined(&Rules::default().check(&example))));
    };
    match seq_length {
        Some(wanted) if wanted != lengths.0 => {
            Err(index.error(0, format!("the sequence length must be {wanted}, got {}", lengths.0)))
        }
        _ => Ok(lengths),
    }
}

fn joined(problems: &[String]) -> String {
    match problems {
        [] => "not an ALBERT record".to_owned(),
        [only] => only.clone(),
        [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
    }
}

/// The lists of one record.
#[derive(Debug, Default, PartialEq)]
struct Lists {
    input_ids: Vec<i32>,
    input_mask: Vec<i32>,
    segment_ids: Vec<i32>,
    token_boundary: Vec<i32>,
    masked_lm_positions: Vec<i32>,
    masked_lm_ids: Vec<i32>,
    masked_lm_weights: Vec<f32>,
    next_sentence_label: i32,
}

impl Lists {
    fn new(lengths: (usize, usize)) -> Self {
        let mut lists = Self::default();
        lists.resize(lengths);
        lists
    }

    fn resize(&mut self, (s, p): (usize, usize)) {
        let Self { input_ids, input_mask, segment_ids, token_boundary, .. } = self;
        for list in [input_ids, input_mask, segment_ids, token_boundary] {
            list.resize(s, 0);
        }
        self.masked_lm_positions.resize(p, 0);
        self.masked_lm_ids.resize(p, 0);
        self.masked_lm_weights.resize(p, 0.0);
    }

    fn row(&mut self) -> Row<'_> {
        Row {
            input_ids: &mut self.input_ids,
            input_mask: &mut self.input_mask,
            segment_ids: &mut self.segment_ids,
            token_boundary: &mut self.token_boundary,
            masked_lm_positions: &mut self.masked_lm_positions,
            masked_lm_ids: &mut self.masked_lm_ids,
            masked_lm_weights: &mut self.masked_lm_weights,
            next_sentence_label: &mut self.next_sentence_label,
        }
    }

    /// Restores the record to `row` as it was before masking, without predictions, and writes to `context` what else
    /// masking needs. The lists must be those of a valid record.
    ///
    /// A label is the original token, whether it was masked, replaced, kept, or moved by the permutation.
    fn restore_into(&self, row: &mut Row<'_>, context: &mut RowContext) {
        row.input_ids.copy_from_slice(&self.input_ids);
        row.input_mask.copy_from_slice(&self.input_mask);
        row.segment_ids.copy_from_slice(&self.segment_ids);
        row.token_boundary.copy_from_slice(&self.token_boundary);
        *row.next_sentence_label = self.next_sentence_label;
        let predictions = self.masked_lm_weights.iter().take_while(|&&weight| weight > 0.5).count();
        for (&position, &label) in self.masked_lm_positions.iter().zip(&self.masked_lm_ids).take(predictions) {
            row.input_ids[position as usize] = label;
        }
        context.length = self.input_mask.iter().sum::<i32>() as usize;
        context.word_starts.clear();
        context.word_starts.extend(self.token_boundary.iter().map(|&start| start as u8));
    }
}
