//! Masks rows of ids of any origin, whether `[CLS] A [SEP] B [SEP]` or not, for custom training loops.
//!
//! The rules and the drawing are those of [`super::mask`]. This module adds what an arbitrary row needs: padding
//! anywhere, special tokens anywhere, and many rows at a time.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::mask::{Masker, Scratch};
use super::options::InstanceOptions;
use super::rng::{FastRng, Rng};
use crate::tokens::vocab::Vocab;
use crate::{Error, Result};

/// The second word of the key of a row's generator. In an instance's key, it is the number of the pass, which is
/// smaller.
const DOMAIN: u64 = u64::from_le_bytes(*b"maskrows");

/// The number of tokens that a thread takes at a time: about 100 microseconds of work.
pub const TASK_TOKENS: usize = 16_384;

/// The length of the longest row.
pub const MAX_WIDTH: usize = 1 << 24;

/// The bits of a token's kind. [`START`] is also used as a number.
const START: u8 = 1;
const SPECIAL: u8 = 2;
const BORDER: u8 = 4;
const END: u8 = 8;

/// Those of the [`InstanceOptions`] that determine how a sequence is masked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MaskOptions {
    /// The most masked tokens per row. `None` means what `masked_lm_prob` gives.
    pub max_predictions_per_seq: Option<usize>,
    /// Fraction of tokens to mask, in [0, 1].
    pub masked_lm_prob: f64,
    /// Longest n-gram that is masked together, in words; at least 1.
    pub ngram: usize,
    /// Whether an n-gram of n words is drawn with weight 1/n (otherwise reversed).
    pub favor_shorter_ngram: bool,
    /// Whether the tokens of a word are masked together.
    pub do_whole_word_mask: bool,
    /// Whether as many further tokens change places.
    pub do_permutation: bool,
    /// Whether words and n-grams may continue across `[CLS]` and `[SEP]`, as in the reference.
    pub cross_segment_words: bool,
    /// Whether a random replacement may be any piece, including `[CLS]` and `<pad>`, as in the reference.
    pub replace_with_special: bool,
}

impl Default for MaskOptions {
    fn default() -> Self {
        let options = InstanceOptions::default();
        Self {
            max_predictions_per_seq: None,
            masked_lm_prob: options.masked_lm_prob,
            ngram: options.ngram,
            favor_shorter_ngram: options.favor_shorter_ngram,
            do_whole_word_mask: options.do_whole_word_mask,
            do_permutation: options.do_permutation,
            cross_segment_words: options.cross_segment_words,
            replace_with_special: options.replace_with_special,
        }
    }
}

impl MaskOptions {
    /// Checks every range, and returns the options for [`Masker`].
    fn checked(&self) -> Result<InstanceOptions> {
        let (cap, fraction, ngram) = (self.max_predictions_per_seq, self.masked_lm_prob, self.ngram);
        if let Some(cap) = cap.filter(|cap| !(1..=65_536).contains(cap)) {
            return Err(Error::rule("max_predictions_per_seq", "from 1 to 65536", cap));
        }
        if !(0.0..=1.0).contains(&fraction) {
            return Err(Error::rule("masked_lm_prob", "from 0 to 1", fraction));
        }
        if !(1..=64).contains(&ngram) {
            return Err(Error::rule("ngram", "from 1 to 64", ngram));
        }
        Ok(InstanceOptions {
            max_predictions_per_seq: cap.unwrap_or(usize::MAX),
            masked_lm_prob: fraction,
            ngram,
            favor_shorter_ngram: self.favor_shorter_ngram,
            do_whole_word_mask: self.do_whole_word_mask,
            do_permutation: self.do_permutation,
            cross_segment_words: self.cross_segment_words,
            replace_with_special: self.replace_with_special,
            ..InstanceOptions::default()
        })
    }
}

/// What is known about a row in addition to its ids. The buffers are reused from one row to the next.
#[derive(Debug, Default, Clone)]
pub struct RowContext {
    /// The number of tokens at the row's beginning that are not padding. Ignored if there is an `attention_mask`.
    pub length: usize,
    /// Whether padding is not known otherwise. Then every `<pad>` among those tokens is padding, unless `<pad>` is also
    /// `[CLS]`, `[SEP]` or `[MASK]`. Ignored if there is an `attention_mask`.
    pub pads_are_padding: bool,
    /// For each token, 0 if it is padding. If empty, `length` decides.
    pub attention_mask: Vec<u8>,
    /// For each token, 0 if it continues the word before it. If empty, the vocabulary decides.
    pub word_starts: Vec<u8>,
}

/// The arrays for the predictions of rows, ascending by position and padded with zeros.
#[derive(Debug)]
pub struct Predictions<'a> {
    /// The positions in the row: rows x [`RowMasker::predictions`].
    pub positions: &'a mut [i32],
    /// The original ids at these positions.
    pub ids: &'a mut [i32],
    /// 1 for a prediction, 0 for padding.
    pub weights: &'a mut [f32],
    /// If wanted: for each token of the rows, its original id if it is predicted, otherwise -100.
    pub labels: Option<&'a mut [i64]>,
}

/// Buffers that masking reuses from one row to the next.
#[derive(Debug, Default, Clone)]
pub struct RowScratch {
    kinds: Vec<u8>,
    words: Scratch,
}

/// An id that is not in the vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutsideVocabulary {
    /// The index of the token in the row.
    pub column: usize,
    /// The id.
    pub id: i32,
}

/// Why a row could not be masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowError<E> {
    /// The row could not be read.
    Read(E),
    /// The row has an id that is not in the vocabulary.
    Id(OutsideVocabulary),
}

/// Masks rows with one set of options.
#[derive(Debug, Clone)]
pub struct RowMasker {
    masker: Masker,
    whole_words: bool,
    permutation: bool,
    max_predictions: Option<usize>,
    /// The id of `<pad>`, unless it is also that of `[CLS]`, `[SEP]` or `[MASK]`.
    pad: Option<u32>,
    /// For each id, its [`START`], [`SPECIAL`], [`BORDER`] and [`END`] bits.
    kinds: Vec<u8>,
    /// Whether any piece has [`END`].
    has_ends: bool,
}

impl RowMasker {
    /// Precomputes what all rows have in common. The four special ids of `vocab`, and `special_ids`, are never masked,
    /// and never replace a masked token unless the options say so. The unknown piece is treated like any other.
    ///
    /// Fails if `options` are out of range, an id is not in the vocabulary, or the vocabulary has no piece that may
    /// replace a masked token.
    pub fn new(options: &MaskOptions, vocab: &Vocab, special_ids: &[u32]) -> Result<Self> {
        let instance_options = options.checked()?;
        let mut kinds: Vec<u8> = vocab.word_start.iter().map(|&start| u8::from(start) * START).collect();
        for (kind, _) in kinds.iter_mut().zip(&vocab.word_end).filter(|(_, end)| **end) {
            *kind |= END;
        }
        let named = [("pad_id", vocab.pad), ("cls_id", vocab.cls), ("sep_id", vocab.sep), ("mask_id", vocab.mask)];
        for (name, id) in named.into_iter().chain(special_ids.iter().map(|&id| ("special_ids", id))) {
            let Some(kind) = kinds.get_mut(id as usize) else {
                return Err(Error::rule(name, format!("an id of the vocabulary, from 0 to {}", vocab.size - 1), id));
            };
            *kind = (*kind & START) | SPECIAL | BORDER;
        }
        if options.cross_segment_words {
            for id in [vocab.cls, vocab.sep] {
                kinds[id as usize] &= !BORDER;
            }
        }
        let mut vocab = vocab.clone();
        vocab.ordinary.retain(|&id| kinds.get(id as usize).is_some_and(|kind| kind & SPECIAL == 0));
        Ok(Self {
            masker: Masker::unchecked(&instance_options, &vocab)?,
            whole_words: options.do_whole_word_mask,
            permutation: options.do_permutation,
            max_predictions: options.max_predictions_per_seq,
            pad: Some(vocab.pad).filter(|pad| ![vocab.cls, vocab.sep, vocab.mask].contains(pad)),
            has_ends: kinds.iter().any(|kind| kind & END != 0),
            kinds,
        })
    }

    /// Returns the ids of `[CLS]` and `[SEP]`.
    pub fn frame(&self) -> (u32, u32) {
        self.masker.frame()
    }

    /// Returns the number of pieces in the vocabulary.
    pub fn vocab_size(&self) -> usize {
        self.kinds.len()
    }

    /// Whether whole words are masked, which requires knowing where words begin.
    pub fn needs_word_starts(&self) -> bool {
        self.whole_words
    }

    /// Returns the length of the `masked_lm_*` arrays for a row of `width` tokens. It is `max_predictions_per_seq` or,
    /// if that is not set, what `masked_lm_prob` gives for a row without padding, at least 1. With `do_permutation`, it
    /// is twice that.
    pub fn predictions(&self, width: usize) -> usize {
        let once = self.max_predictions.unwrap_or_else(|| self.masker.to_predict(width).max(1));
        if self.permutation { 2 * once } else { once }
    }

    /// Masks row `number` in place, with the seed `seed`. For the same two numbers, a row is masked in the same way
    /// whatever the other rows are.
    ///
    /// Every id is checked before any is replaced. The budget is [`Masker::to_predict`] of the tokens that are not
    /// padding, including special ones. A token begins a word if the vocabulary or the context says so, of the token
    /// itself or of the one before it. So does the first token of the row, and a token after a special token or
    /// padding. With `cross_segment_words`, a token after `[CLS]` or `[SEP]` does not.
    ///
    /// # Panics
    /// If the length of an array is not as [`RowContext`] and [`Predictions`] require.
    pub fn mask(
        &self,
        ids: &mut [i32],
        context: &RowContext,
        (seed, number): (u64, u64),
        scratch: &mut RowScratch,
        out: &mut Predictions<'_>,
    ) -> Result<(), OutsideVocabulary> {
        self.mask_with(ids, context, &mut FastRng::keyed(seed, DOMAIN, number, 0), scratch, out)
    }

    /// Like [`RowMasker::mask`], with numbers drawn from `rng`.
    ///
    /// # Panics
    /// As for [`RowMasker::mask`].
    pub fn mask_with<R: Rng>(
        &self,
        ids: &mut [i32],
        context: &RowContext,
        rng: &mut R,
        scratch: &mut RowScratch,
        out: &mut Predictions<'_>,
    ) -> Result<(), OutsideVocabulary> {
        let attended = self.find_words(ids, context, scratch)?;
        if let Some(labels) = &mut out.labels {
            labels.fill(-100);
        }
        let mut found = 0;
        let budget = self.masker.to_predict(attended);
        if budget > 0 {
            // The ids were found to be in the vocabulary, so none is negative.
            let tokens: &mut [u32] = bytemuck::cast_slice_mut(ids);
            self.masker.draw(tokens, budget, rng, &mut scratch.words, |position, label| {
                out.positions[found] = position as i32;
                out.ids[found] = label as i32;
                out.weights[found] = 1.0;
                found += 1;
                if let Some(labels) = &mut out.labels {
                    labels[position as usize] = i64::from(label);
                }
            });
        }
        out.positions[found..].fill(0);
        out.ids[found..].fill(0);
        out.weights[found..].fill(0.0);
        Ok(())
    }

    /// Finds the words of a row for [`Masker::draw`]. Returns the number of tokens that are not padding.
    fn find_words(
        &self,
        ids: &[i32],
        context: &RowContext,
        scratch: &mut RowScratch,
    ) -> Result<usize, OutsideVocabulary> {
        let size = self.kinds.len() as u32;
        // A negative id becomes a large one here.
        if let Some(column) = ids.iter().position(|&id| id as u32 >= size) {
            return Err(OutsideVocabulary { column, id: ids[column] });
        }
        let has_mask = !context.attention_mask.is_empty();
        let length = if has_mask { ids.len() } else { context.length };
        let RowScratch { kinds, words } = scratch;
        kinds.clear();
        kinds.extend(ids[..length].iter().map(|&id| self.kinds[id as usize]));
        if context.word_starts.is_empty() {
            if self.has_ends {
                mark_followers(kinds);
            }
        } else {
            for (kind, &start) in kinds.iter_mut().zip(&context.word_starts[..length]) {
                *kind = (*kind & !START) | (u8::from(start != 0) * START);
            }
        }
        if !self.whole_words {
            for kind in kinds.iter_mut() {
                *kind |= START;
            }
        }
        let mut attended = length;
        if let Some(pad) = self.pad.filter(|_| context.pads_are_padding && !has_mask) {
            // `<pad>` is special, so it is already a border. Only the budget needs to know about it.
            attended -= ids[..length].iter().filter(|&&id| id as u32 == pad).count();
        }
        if has_mask {
            for (kind, &attends) in kinds.iter_mut().zip(&context.attention_mask[..length]) {
                if attends == 0 {
                    *kind = SPECIAL | BORDER;
                    attended -= 1;
                }
            }
        }

        let (candidates, starts, borders) = words.word_buffers(length);
        let (mut num_candidates, mut num_words) = (0, 0);
        // 1 if the next token cannot continue a word.
        let mut cut = 1;
        // Every token is written but counted only if it is a candidate, because a branch on that is hard to predict.
        for (position, &kind) in kinds.iter().enumerate() {
            cut |= u8::from(kind & BORDER != 0);
            let is_candidate = u8::from(kind & SPECIAL == 0);
            if cut & is_candidate != 0 && num_words > 0 {
                borders.push(num_words as u32);
            }
            candidates[num_candidates] = position as u32;
            starts[num_words] = num_candidates as u32;
            num_words += usize::from(is_candidate & (cut | (kind & START)));
            num_candidates += usize::from(is_candidate);
            cut &= 1 - is_candidate;
        }
        words.set_words(num_candidates, num_words);
        Ok(attended)
    }

    /// Masks many rows of `width` tokens: those of `ids`, which are row `first` and the following ones. `read` fills in
    /// the ids and the context of a row, counted from 0. The work runs on the threads of `pool` or, without one, on
    /// this thread. The result is the same.
    ///
    /// An error is that of the first row that has one. The content of the arrays is then unspecified.
    ///
    /// # Panics
    /// If `width` is 0, or the length of an array is not as [`Predictions`] requires.
    pub fn mask_rows<E: Send>(
        &self,
        (ids, width): (&mut [i32], usize),
        (seed, first): (u64, u64),
        out: Predictions<'_>,
        pool: Option<&rayon::ThreadPool>,
        read: impl Fn(usize, &mut [i32], &mut RowContext) -> Result<(), E> + Sync,
    ) -> Result<(), (usize, RowError<E>)> {
        let predictions = self.predictions(width);
        let rows = (TASK_TOKENS / width).max(1);
        let mut labels = out.labels.map(|labels| labels.chunks_mut(rows * width));
        let tasks: Vec<(usize, &mut [i32], Predictions<'_>)> = ids
            .chunks_mut(rows * width)
            .zip(out.positions.chunks_mut(rows * predictions))
            .zip(out.ids.chunks_mut(rows * predictions))
            .zip(out.weights.chunks_mut(rows * predictions))
            .enumerate()
            .map(|(task, (((tokens, positions), ids), weights))| {
                let labels = labels.as_mut().and_then(Iterator::next);
                (task * rows, tokens, Predictions { positions, ids, weights, labels })
            })
            .collect();
        let run = |(context, scratch): &mut (RowContext, RowScratch),
                   (begin, tokens, mut out): (usize, &mut [i32], _)| {
            for (index, tokens) in tokens.chunks_exact_mut(width).enumerate() {
                let row = begin + index;
                let done = read(row, tokens, context).map_err(RowError::Read).and_then(|()| {
                    let key = (seed, first.wrapping_add(row as u64));
                    let mut out = row_of(&mut out, index, width, predictions);
                    self.mask(tokens, context, key, scratch, &mut out).map_err(RowError::Id)
                });
                if let Err(error) = done {
                    return Some((row, error));
                }
            }
            None
        };
        let failed = if let Some(pool) = pool {
            pool.install(|| {
                let found = tasks.into_par_iter().map_init(Default::default, run);
                found.flatten_iter().min_by_key(|&(row, _)| row)
            })
        } else {
            let mut buffers = Default::default();
            tasks.into_iter().find_map(|task| run(&mut buffers, task))
        };
        failed.map_or(Ok(()), Err)
    }
}

/// Sets [`START`] on the token after an [`END`]. Special tokens between the two make no difference, because those that
/// end words do so anyway.
fn mark_followers(kinds: &mut [u8]) {
    let mut ended = false;
    for kind in kinds {
        if *kind & SPECIAL == 0 {
            *kind |= u8::from(ended) * START;
            ended = *kind & END != 0;
        }
    }
}

/// Returns the predictions of row `index`.
fn row_of<'a>(all: &'a mut Predictions<'_>, index: usize, width: usize, predictions: usize) -> Predictions<'a> {
    let range = index * predictions..(index + 1) * predictions;
    Predictions {
        positions: &mut all.positions[range.clone()],
        ids: &mut all.ids[range.clone()],
        weights: &mut all.weights[range],
        labels: all.labels.as_mut().map(|labels| &mut labels[index * width..(index + 1) * width]),
    }
}

#[cfg(test)]
mod tests;
