//! Expectation maximization, and the pruning of pieces, in `SentencePiece`'s own order of operations.
//!
//! Counts are float32 sums over words. `SentencePiece` gives word i to thread i modulo the number of threads and adds up
//! the threads' sums. Here these sums belong to logical partitions, and any number of threads computes them.

use rayon::prelude::*;

use super::Options;
use super::candidates::is_start;
use super::lattice::{Lattice, UNKNOWN};
use super::lattices::Lattices;
use super::lines::Counted;
use super::matches::{Layout, Matches, Pass};
use super::model::Model;
use super::rivals::{Rivals, Verdict};
use super::softplus::TABLE;
use super::watch::{Stage, Watch, watched};
use crate::{Error, Progress, Result};

/// After how many words or pieces a thread reports them.
const OFTEN: u64 = 1 << 8;

/// Pieces that are expected less often than this are removed.
const RARE: f32 = 0.5;

/// The words and the options of a training.
pub(super) struct Trainer<'a> {
    words: &'a Counted,
    options: &'a Options,
    /// The pieces in the words of each partition.
    matches: Vec<Matches>,
    layout: Layout,
    /// The pieces at the beginning, and in this round.
    pieces: (usize, usize),
    /// The passes in this round.
    pass: u32,
    /// The pieces that were reported as removed.
    reported: u64,
}

impl<'a> Trainer<'a> {
    pub fn new(words: &'a Counted, options: &'a Options, model: &Model) -> Self {
        let partitions = options.partitions as usize;
        let characters = |piece: &[u8]| piece.iter().filter(|&&byte| is_start(byte)).count();
        let longest = model.strings.iter().map(characters).max().unwrap_or(0);
        Self {
            words,
            options,
            matches: (0..partitions).map(|_| Matches::default()).collect(),
            layout: Layout::new(longest, model.len(), partitions),
            pieces: (model.len(), model.len()),
            pass: 0,
            reported: 0,
        }
    }

    /// Improves the scores and removes pieces, until about a tenth more are left than the vocabulary needs.
    pub fn run(&mut self, model: &mut Model, progress: &mut dyn Progress) -> Result<()> {
        loop {
            (self.pieces.1, self.pass) = (model.len(), 0);
            for _ in 0..self.options.num_sub_iterations {
                let expected = self.expect(model, progress)?;
                maximize(model, &expected)?;
            }
            self.prune(model, progress)?;
            if model.len() <= self.enough() {
                break;
            }
        }
        (self.pieces.1, self.pass) = (model.len(), 0);
        let stage = self.stage(model.len());
        let kept = watched(progress, stage, |watch| reachable(model, watch))?;
        model.keep(&kept);
        Ok(())
    }

    /// How the next of the passes that make a round is reported, and how many steps it has. A round removes about the
    /// pieces that its pruning removes.
    fn stage(&mut self, steps: usize) -> Stage {
        let enough = self.enough();
        let (start, now) = self.pieces;
        let shrunk = self.shrunk(now).min(now);
        let passes = self.options.num_sub_iterations as usize + 2;
        let total = start.saturating_sub(enough) as u64;
        self.pass += 1;
        let to = (start - now + (now - shrunk) * self.pass as usize / passes) as u64;
        let from = self.reported;
        self.reported = to.min(total).max(from);
        Stage {
            name: "training the tokenizer",
            unit: "pieces",
            done: (from, self.reported),
            total,
            steps: steps as u64,
        }
    }

    /// How many of so many pieces a pruning leaves.
    fn shrunk(&self, pieces: usize) -> usize {
        let shrunk = self.options.shrinking_factor as f32 * pieces as f32;
        self.enough().max(shrunk as usize)
    }

    /// How many pieces are few enough to end with.
    fn enough(&self) -> usize {
        (f64::from(self.options.vocab_size) * 1.1) as usize
    }

    /// Adds up, in `SentencePiece`'s order, what `count` adds to the sums of each partition. It is passed working memory and
    /// a pass over the words, and returns how many words it read.
    ///
    /// # Errors
    /// `progress` asks to stop.
    fn sums<M>(
        &mut self,
        model: &mut Model,
        progress: &mut dyn Progress,
        memory: impl Fn() -> M + Sync,
        count: impl Fn(&mut M, &mut Pass, &mut [f32]) -> usize + Sync,
    ) -> Result<Vec<f32>> {
        let stage = self.stage(self.words.len());
        let Self { words, matches, layout, .. } = self;
        let partitions = matches.len();
        let together = rayon::current_num_threads();
        let pieces = &*model;
        let total = watched(progress, stage, |watch| {
            let mut total = Vec::new();
            for (wave, matches) in matches.chunks_mut(together).enumerate() {
                let of = |(place, matches): (usize, &mut Matches)| {
                    let mut sums = vec![0.0; pieces.len()];
                    let partition = wave * together + place;
                    let mut pass = Pass::new(matches, words, pieces, *layout, (partition, partitions));
                    let mut memory = memory();
                    watch.repeat(OFTEN, || count(&mut memory, &mut pass, &mut sums))?;
                    Ok(sums)
                };
                let sums: Vec<Vec<f32>> = matches.par_iter_mut().enumerate().map(of).collect::<Result<_>>()?;
                for sums in sums {
                    if total.is_empty() {
                        total = sums;
                    } else {
                        total.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
                    }
                }
            }
            Ok(total)
        })?;
        model.forget_changes();
        Ok(total)
    }

    /// How often each piece is expected in the text.
    fn expect(&mut self, model: &mut Model, progress: &mut dyn Progress) -> Result<Vec<f32>> {
        let table = &*TABLE;
        self.sums(model, progress, Lattices::default, |lattices, pass, sums| {
            let words = lattices.fill(|edges| pass.next(edges));
            lattices.add_expected(sums, table);
            words
        })
    }

    /// How often each piece occurs in the best segmentation of the text.
    fn occurrences(&mut self, model: &mut Model, progress: &mut dyn Progress) -> Result<Vec<f32>> {
        self.sums(model, progress, Lattice::default, |lattice, pass, sums| {
            let Some((count, last)) = lattice.next_best(|edges| pass.next(edges)) else { return 0 };
            lattice.pieces_to(last, |piece| sums[if piece == UNKNOWN { 0 } else { piece as usize }] += count);
            1
        })
    }

    /// Removes the pieces whose loss lowers the likelihood least.
    fn prune(&mut self, model: &mut Model, progress: &mut dyn Progress) -> Result<()> {
        let occurs = self.occurrences(model, progress)?;
        let stage = self.stage(model.len());
        let pieces = &*model;
        let verdicts: Vec<Verdict> = watched(progress, stage, |watch| {
            let judge = |(lattice, rivals): &mut (Lattice, Rivals), piece: usize| {
                if piece as u64 % OFTEN == OFTEN - 1 {
                    watch.advance(OFTEN)?;
                }
                if occurs[piece] == 0.0 {
                    return Ok(Verdict::Beaten);
                }
                lattice.fill(|edges| pieces.segment(pieces.piece(piece), edges));
                Ok(rivals.judge(lattice, piece as u32))
            };
            (0..pieces.len()).into_par_iter().map_init(Default::default, judge).collect()
        })?;
        let sum = occurs.iter().fold(0.0, |sum, &count| sum + f64::from(count)) as f32;
        let log_sum = f64::from(sum).ln() as f32;
        let mut kept = Vec::new();
        let mut candidates: Vec<(f32, u32)> = Vec::new();
        for (number, (verdict, &count)) in (0..).zip(verdicts.iter().zip(&occurs)) {
            match verdict {
                Verdict::Beaten => {}
                Verdict::Alone => kept.push(number),
                Verdict::Replaced(by) => {
                    let log_with = (f64::from(count).ln() - f64::from(log_sum)) as f32;
                    let log_sum_without = f64::from(sum + count * (by.len() - 1) as f32).ln() as f32;
                    let log_without = by.iter().fold(0.0f32, |log, &other| {
                        let other = f64::from(occurs[other as usize] + count).ln() - f64::from(log_sum_without);
                        (f64::from(log) + other) as f32
                    });
                    let loss = count / sum * (log_with - log_without);
                    candidates.push((loss, number));
                }
            }
        }
        let size = self.shrunk(model.len());
        candidates.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        // If more are kept already, `SentencePiece` keeps all candidates too.
        let room = size.checked_sub(kept.len()).unwrap_or(usize::MAX);
        kept.extend(candidates.iter().take(room).map(|&(_, piece)| piece));
        model.keep(&kept);
        Ok(())
    }
}

/// Removes rare pieces and gives the others new scores.
///
/// # Errors
/// No piece is left.
fn maximize(model: &mut Model, expected: &[f32]) -> Result<()> {
    let kept: Vec<u32> = (0..model.len() as u32).filter(|&piece| expected[piece as usize] >= RARE).collect();
    let sum = kept.iter().fold(0.0f32, |sum, &piece| sum + expected[piece as usize]);
    let log_sum = digamma(sum) as f32;
    let seeds = kept.iter().map(|&piece| model.seeds[piece as usize]).collect();
    let score = |&piece: &u32| (digamma(expected[piece as usize]) - f64::from(log_sum)) as f32;
    let scores: Vec<f32> = kept.iter().map(score).collect();
    if scores.is_empty() || !scores.iter().all(|score| score.is_finite()) {
        return Err(Error::input("the text is too small to train a tokenizer on; pass more text"));
    }
    model.set(seeds, scores);
    Ok(())
}

/// The pieces whose text has no better segmentation.
///
/// # Errors
/// `watch` asks to stop.
fn reachable(model: &Model, watch: &Watch) -> Result<Vec<u32>> {
    let mut lattice = Lattice::default();
    let mut kept = Vec::with_capacity(model.len());
    for number in 0..model.len() {
        watch.advance(1)?;
        lattice.fill(|edges| model.segment(model.piece(number), edges));
        let whole = lattice
            .edges()
            .iter()
            .position(|edge| edge.begin == 0 && edge.end == lattice.length() && edge.piece == number as u32);
        let Some(whole) = whole else { continue };
        lattice.set_score(whole, f32::NEG_INFINITY);
        if lattice.find_best().score <= model.scores[number] {
            kept.push(number as u32);
        }
    }
    Ok(kept)
}

/// The digamma function, by the same approximation as `SentencePiece`.
pub(super) fn digamma(x: f32) -> f64 {
    let mut x = f64::from(x);
    let mut result = 0.0;
    while x < 7.0 {
        result -= 1.0 / x;
        x += 1.0;
    }
    x -= 1.0 / 2.0;
    let xx = 1.0 / x;
    let xx2 = xx * xx;
    let xx4 = xx2 * xx2;
    result
        + (x.ln() + (1.0 / 24.0) * xx2 - (7.0 / 960.0) * xx4 + (31.0 / 8064.0) * xx4 * xx2
            - (127.0 / 30720.0) * xx4 * xx4)
}
