//! Batches: instances next to each other in zero-padded arrays. They are made in parallel, each independently by its
//! number.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytemuck::allocation::try_zeroed_vec;
use rayon::prelude::*;

use crate::instances::instance::Instance;
use crate::{Error, Result};

/// The most tokens, and the most predictions, of a batch, padding included. The largest arrays take 8 GiB.
pub const MAX_BATCH: usize = 1 << 31;
/// The most shards, counting shards of shards.
pub const MAX_SHARDS: u64 = 1 << 32;
/// The fewest rows that a thread takes at a time. Fewer are not worth waking up another thread.
const MIN_ROWS: usize = 8;

/// One row of a batch, all zeros before it is filled. S is the sequence length, P the number of predictions.
#[derive(Debug)]
pub struct Row<'a> {
    /// The ids, with masks in place; S values.
    pub input_ids: &'a mut [i32],
    /// 1 on tokens; S values.
    pub input_mask: &'a mut [i32],
    /// 0 through the first `[SEP]`, then 1, and 0 on padding; S values.
    pub segment_ids: &'a mut [i32],
    /// 1 if the token begins a word; S values.
    pub token_boundary: &'a mut [i32],
    /// The positions of the predictions, ascending; P values.
    pub masked_lm_positions: &'a mut [i32],
    /// The original ids at these positions; P values.
    pub masked_lm_ids: &'a mut [i32],
    /// 1.0 on predictions; P values.
    pub masked_lm_weights: &'a mut [f32],
    /// 1 if the second segment is from a random document or the two are swapped.
    pub next_sentence_label: &'a mut i32,
}

impl Row<'_> {
    /// Fills the row.
    ///
    /// # Panics
    /// If the instance has more tokens than S or more predictions than P.
    pub fn write(&mut self, instance: &Instance) {
        let tokens = instance.tokens.len();
        for (to, &from) in self.input_ids[..tokens].iter_mut().zip(&instance.tokens) {
            *to = from as i32;
        }
        self.input_mask[..tokens].fill(1);
        self.segment_ids[instance.first_length..tokens].fill(1);
        for (to, &from) in self.token_boundary[..tokens].iter_mut().zip(&instance.word_starts) {
            *to = i32::from(from);
        }
        let predictions = instance.masked_positions.len();
        for (to, &from) in self.masked_lm_positions[..predictions].iter_mut().zip(&instance.masked_positions) {
            *to = from as i32;
        }
        for (to, &from) in self.masked_lm_ids[..predictions].iter_mut().zip(&instance.masked_labels) {
            *to = from as i32;
        }
        self.masked_lm_weights[..predictions].fill(1.0);
        *self.next_sentence_label = i32::from(instance.is_random_next);
    }
}

/// An endless sequence of instances, epoch after epoch. Each depends only on its position.
pub trait Source: Send + Sync {
    /// What a thread keeps from one instance to the next.
    type Scratch: Default + Send;
    /// What the instances at consecutive positions have in common.
    type Stretch: Sync;
    /// Returns the number of instances in the first epoch, at least 1.
    fn epoch_len(&self) -> u64;
    /// Returns S, the number of tokens in a row.
    fn seq_length(&self) -> usize;
    /// Returns P, the number of predictions in a row.
    fn predictions(&self) -> usize;
    /// Whether rows say where words begin. Otherwise, `token_boundary` has no meaning.
    fn has_token_boundary(&self) -> bool {
        true
    }
    /// Returns what [`Source::fill`] needs for these positions, of which there is at least one.
    fn prepare(&self, positions: Range<u64>) -> Result<Self::Stretch>;
    /// Fills `row`, which is all zeros, with the instance at `position`. It is in batch `k`.
    fn fill(
        &self,
        k: u64,
        position: u64,
        stretch: &Self::Stretch,
        scratch: &mut Self::Scratch,
        row: &mut Row<'_>,
    ) -> Result<()>;
}

/// A shard of the stream for one of several consumers: every `count`-th instance from `index` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// The number of the shard, below `count`.
    pub index: u64,
    /// The number of shards, at least 1.
    pub count: u64,
}

impl Shard {
    /// All instances.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Returns shard `index` of `count` of this shard.
    ///
    /// # Errors
    /// [`Error::Rule`] if there is no such shard.
    pub fn part(self, index: u64, count: u64) -> Result<Self> {
        if index >= count {
            return Err(if count == 0 {
                Error::rule("count", "at least 1", count)
            } else {
                Error::rule("index", format!("below count, {count}"), index)
            });
        }
        let parts = self.count.checked_mul(count).filter(|&parts| parts <= MAX_SHARDS);
        let count = parts.ok_or_else(|| {
            let most = MAX_SHARDS / self.count;
            Error::rule("count", format!("at most {most}, so that there are at most {MAX_SHARDS} shards"), count)
        })?;
        Ok(Self { index: self.index + self.count * index, count })
    }

    /// Returns how many of `instances` are in this shard.
    pub fn len_of(self, instances: u64) -> u64 {
        instances.saturating_sub(self.index).div_ceil(self.count)
    }
}

/// A batch: B rows of S tokens and P predictions, row after row.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// B, the number of rows.
    pub rows: usize,
    /// S, the number of tokens in a row.
    pub seq_length: usize,
    /// P, the number of predictions in a row.
    pub predictions: usize,
    /// Shape [B, S]; see [`Row`] for this array and the following ones.
    pub input_ids: Vec<i32>,
    /// Shape [B, S].
    pub input_mask: Vec<i32>,
    /// Shape [B, S].
    pub segment_ids: Vec<i32>,
    /// Shape [B, S].
    pub token_boundary: Vec<i32>,
    /// Shape [B, P].
    pub masked_lm_positions: Vec<i32>,
    /// Shape [B, P].
    pub masked_lm_ids: Vec<i32>,
    /// Shape [B, P].
    pub masked_lm_weights: Vec<f32>,
    /// Shape [B].
    pub next_sentence_labels: Vec<i32>,
}

impl Batch {
    /// Returns `None` if there is not enough memory.
    fn zeros(rows: usize, seq_length: usize, predictions: usize) -> Option<Self> {
        let (tokens, masks) = (rows * seq_length, rows * predictions);
        let zeros = |length| try_zeroed_vec::<i32>(length).ok();
        Some(Self {
            rows,
            seq_length,
            predictions,
            input_ids: zeros(tokens)?,
            input_mask: zeros(tokens)?,
            segment_ids: zeros(tokens)?,
            token_boundary: zeros(tokens)?,
            masked_lm_positions: zeros(masks)?,
            masked_lm_ids: zeros(masks)?,
            masked_lm_weights: try_zeroed_vec(masks).ok()?,
            next_sentence_labels: zeros(rows)?,
        })
    }

    /// Fills row `index` of batch `k` with the instance at `position(index)`, on the threads of the current rayon pool.
    fn fill<S: Source>(&mut self, source: &S, k: u64, position: impl Fn(usize) -> u64 + Sync) -> Result<()> {
        let stretch = source.prepare(position(0)..position(self.rows - 1) + 1)?;
        let (s, p) = (self.seq_length, self.predictions);
        let rows = (
            self.input_ids.par_chunks_exact_mut(s),
            self.input_mask.par_chunks_exact_mut(s),
            self.segment_ids.par_chunks_exact_mut(s),
            self.token_boundary.par_chunks_exact_mut(s),
            self.masked_lm_positions.par_chunks_exact_mut(p),
            self.masked_lm_ids.par_chunks_exact_mut(p),
            self.masked_lm_weights.par_chunks_exact_mut(p),
            self.next_sentence_labels.par_iter_mut(),
        );
        let failures: Vec<Error> = rows
            .into_par_iter()
            .with_min_len(MIN_ROWS)
            .enumerate()
            .map_init(S::Scratch::default, |scratch, (index, row)| {
                let (
                    input_ids,
                    input_mask,
                    segment_ids,
                    token_boundary,
                    masked_lm_positions,
                    masked_lm_ids,
                    masked_lm_weights,
                    next_sentence_label,
                ) = row;
                let mut row = Row {
                    input_ids,
                    input_mask,
                    segment_ids,
                    token_boundary,
                    masked_lm_positions,
                    masked_lm_ids,
                    masked_lm_weights,
                    next_sentence_label,
                };
                source.fill(k, position(index), &stretch, scratch, &mut row)
            })
            .filter_map(Result::err)
            .collect();
        // In the order of the rows, so that the reported error does not depend on the threads.
        failures.into_iter().next().map_or(Ok(()), Err)
    }
}

/// Numbered batches without end.
pub trait Batches: Send + Sync {
    /// Returns batch `k`, from 0. It depends only on `k`, and is made on the threads of the current rayon pool.
    ///
    /// # Errors
    /// Those of the source; [`Error::Rule`] if `k` is beyond what 64 bits can count.
    fn batch(&self, k: u64) -> Result<Batch>;
    /// Returns B, the number of rows in a batch.
    fn batch_size(&self) -> usize;
    /// Returns S, the number of tokens in a row.
    fn seq_length(&self) -> usize;
    /// Returns P, the number of predictions in a row.
    fn predictions(&self) -> usize;
    /// Whether rows say where words begin. Otherwise, `token_boundary` has no meaning.
    fn has_token_boundary(&self) -> bool;
    /// Returns the number of instances in the first epoch.
    fn epoch_len(&self) -> u64;
    /// Returns shard `index` of `count`, with batches of the same size. Row `j` of its batch `k` is instance `index +
    /// count * (k * B + j)` of this one.
    ///
    /// # Errors
    /// [`Error::Rule`] if there is no such shard.
    fn shard(&self, index: u64, count: u64) -> Result<Arc<dyn Batches>>;
}

/// Returns batch `k` of `batches`. A panic becomes an error.
///
/// # Errors
/// Those of [`Batches::batch`].
pub fn guarded(batches: &dyn Batches, k: u64) -> Result<Batch> {
    // A failed batch leaves nothing behind except complete cache entries.
    catch_unwind(AssertUnwindSafe(|| batches.batch(k)))
        .unwrap_or_else(|_| Err(Error::Internal(format!("batch {k} cannot be made"))))
}

/// The batches of a [`Source`], or of one shard of it.
pub struct Batched<S> {
    source: Arc<S>,
    batch_size: usize,
    shard: Shard,
}

impl<S: Source> Batched<S> {
    /// Creates batches of `batch_size` rows.
    ///
    /// # Errors
    /// [`Error::Rule`] if `batch_size` is 0 or a batch would exceed [`MAX_BATCH`]; [`Error::Input`] if rows have no
    /// tokens or no predictions.
    pub fn new(source: Arc<S>, batch_size: usize) -> Result<Self> {
        let (s, p) = (source.seq_length(), source.predictions());
        if s == 0 || p == 0 {
            return Err(Error::input(format!("rows must have at least 1 token and 1 prediction, got {s} and {p}")));
        }
        let most = MAX_BATCH / s.max(p);
        if !(1..=most).contains(&batch_size) {
            let rule = format!("from 1 to {most}, so that a batch has at most {MAX_BATCH} tokens");
            return Err(Error::rule("batch_size", rule, batch_size));
        }
        Ok(Self { source, batch_size, shard: Shard::WHOLE })
    }
}

impl<S: Source + 'static> Batches for Batched<S> {
    fn batch(&self, k: u64) -> Result<Batch> {
        let rows = self.batch_size as u64;
        let end =
            k.checked_add(1).and_then(|next| next.checked_mul(rows)).and_then(|end| end.checked_mul(self.shard.count));
        // Includes one more instance of the shard, so that no position of this batch can overflow.
        if end.and_then(|end| end.checked_add(self.shard.count)).is_none() {
            let limit = u64::MAX / rows / self.shard.count - 1;
            return Err(Error::rule("k", format!("below {limit}"), k));
        }
        let (s, p) = (self.source.seq_length(), self.source.predictions());
        let mut batch = Batch::zeros(self.batch_size, s, p).ok_or_else(|| {
            let bytes = 4 * self.batch_size * (4 * s + 3 * p + 1);
            let batch = format!("a batch of {} x {s} tokens ({bytes} bytes)", self.batch_size);
            let reason = format!("not enough memory for {batch}; pass a smaller `batch_size`");
            Error::System { option: Some("batch_size"), reason }
        })?;
        let Shard { index, count } = self.shard;
        batch.fill(&*self.source, k, |row| index + count * (k * rows + row as u64))?;
        Ok(batch)
    }

    fn batch_size(&self) -> usize {
        self.batch_size
    }

    fn seq_length(&self) -> usize {
        self.source.seq_length()
    }

    fn predictions(&self) -> usize {
        self.source.predictions()
    }

    fn has_token_boundary(&self) -> bool {
        self.source.has_token_boundary()
    }

    fn epoch_len(&self) -> u64 {
        self.shard.len_of(self.source.epoch_len())
    }

    fn shard(&self, index: u64, count: u64) -> Result<Arc<dyn Batches>> {
        let shard = self.shard.part(index, count)?;
        Ok(Arc::new(Self { source: self.source.clone(), batch_size: self.batch_size, shard }))
    }
}
