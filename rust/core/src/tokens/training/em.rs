//! Expectation maximization, and the pruning of pieces, in `SentencePiece`'s own order of operations.
//!
//! Counts are float32 sums over words. `SentencePiece` gives word i to thread i modulo the number of threads and adds up
//! the threads' sums. Here these sums belong to logical partitions, and any number of threads computes them.

use rayon::ThreadPool;
use rayon::prelude::*;

use super::Options;
use super::corpus::Counted;
use super::lattice::Lattice;
use super::rivals::{Rivals, Verdict};
use super::seeds::Scored;
use crate::tokens::tokenizer::trie::Trie;
use crate::{Error, Progress, Result};

/// Pieces that are expected less often than this are removed.
const RARE: f32 = 0.5;

/// The pieces of a step of training.
#[derive(Debug)]
pub(super) struct Model {
    /// All seeds.
    strings: Vec<Vec<u8>>,
    /// The seeds by their bytes.
    trie: Trie,
    /// The seed that each piece is.
    seeds: Vec<u32>,
    /// Log probabilities by piece.
    scores: Vec<f32>,
    /// The piece that each seed is, or [`GONE`].
    pieces: Vec<u32>,
    lowest: f32,
}

/// A seed that is no piece any more.
const GONE: u32 = u32::MAX;

impl Model {
    pub fn new(seeds: Scored) -> Result<Self> {
        let broken = |reason: String| Error::Input(format!("the text's pieces: {reason}"));
        let keys: Vec<(&[u8], u32, f32)> =
            seeds.iter().zip(0..).map(|((piece, _), number)| (&piece[..], number, 0.0)).collect();
        let trie = Trie::build(&keys).map_err(broken)?;
        let scores = seeds.iter().map(|&(_, score)| score).collect();
        let count = seeds.len() as u32;
        let mut model = Self {
            strings: seeds.into_iter().map(|(piece, _)| piece).collect(),
            trie,
            seeds: Vec::new(),
            scores: Vec::new(),
            pieces: Vec::new(),
            lowest: 0.0,
        };
        model.set((0..count).collect(), scores);
        Ok(model)
    }

    /// How many pieces there are.
    pub fn len(&self) -> usize {
        self.seeds.len()
    }

    /// The bytes of a piece.
    pub fn piece(&self, piece: usize) -> &[u8] {
        &self.strings[self.seeds[piece] as usize]
    }

    /// The pieces with their scores.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], f32)> {
        (0..self.len()).map(|piece| (self.piece(piece), self.scores[piece]))
    }

    /// The lowest score.
    pub fn lowest(&self) -> f32 {
        self.lowest
    }

    /// The score of a character without a piece.
    pub fn unknown_score(&self) -> f32 {
        self.lowest - 10.0
    }

    /// Calls `visit` with the length, number and score of each piece that `text` begins with, the shortest first.
    #[inline]
    pub fn pieces_at(&self, text: &[u8], mut visit: impl FnMut(usize, u32, f32)) {
        let mut cursor = self.trie.root();
        for (at, &byte) in text.iter().enumerate() {
            if !self.trie.step(&mut cursor, byte) {
                break;
            }
            if let Some(seed) = self.trie.value(cursor) {
                let piece = self.pieces[seed as usize];
                if piece != GONE {
                    visit(at + 1, piece, self.scores[piece as usize]);
                }
            }
        }
    }

    /// Replaces the pieces by others of the seeds.
    fn set(&mut self, seeds: Vec<u32>, scores: Vec<f32>) {
        self.pieces.clear();
        self.pieces.resize(self.strings.len(), GONE);
        for (&seed, number) in seeds.iter().zip(0..) {
            self.pieces[seed as usize] = number;
        }
        self.lowest = scores.iter().copied().fold(f32::MAX, f32::min);
        (self.seeds, self.scores) = (seeds, scores);
    }

    /// Keeps these pieces, in this order.
    fn keep(&mut self, pieces: &[u32]) {
        let seeds = pieces.iter().map(|&piece| self.seeds[piece as usize]).collect();
        let scores = pieces.iter().map(|&piece| self.scores[piece as usize]).collect();
        self.set(seeds, scores);
    }
}

/// The words and the options of a training.
pub(super) struct Trainer<'a> {
    pub words: &'a Counted,
    pub options: &'a Options,
    pub threads: &'a ThreadPool,
}

impl Trainer<'_> {
    /// Improves the scores and removes pieces, until about a tenth more are left than the vocabulary needs.
    pub fn run(&self, model: &mut Model, progress: &mut dyn Progress) -> Result<()> {
        let enough = self.enough();
        let start = model.len();
        loop {
            for _ in 0..self.options.num_sub_iterations {
                let done = (start - model.len()) as u64;
                if !progress.report("training the tokenizer", "pieces", done, (start - enough.min(start)) as u64) {
                    return Err(Error::Interrupted("nothing was written".into()));
                }
                let expected = self.expect(model);
                maximize(model, &expected)?;
            }
            self.prune(model);
            if model.len() <= enough {
                break;
            }
        }
        remove_unreachable(model);
        Ok(())
    }

    /// How many pieces are few enough to end with.
    fn enough(&self) -> usize {
        (f64::from(self.options.vocab_size) * 1.1) as usize
    }

    /// Adds up, in `SentencePiece`'s order, what `count` adds to the sums of each partition.
    fn sums(&self, pieces: usize, count: impl Fn(&mut Lattice, &[u8], u64, &mut [f32]) + Sync) -> Vec<f32> {
        let partitions = self.options.partitions as usize;
        let together = self.threads.current_num_threads().max(1);
        let mut total = Vec::new();
        for first in (0..partitions).step_by(together) {
            let sums: Vec<Vec<f32>> = self.threads.install(|| {
                (first..partitions.min(first + together))
                    .into_par_iter()
                    .map(|partition| {
                        let mut lattice = Lattice::default();
                        let mut sums = vec![0.0; pieces];
                        for word in (partition..self.words.len()).step_by(partitions) {
                            let (word, times) = self.words.get(word);
                            count(&mut lattice, word, times, &mut sums);
                        }
                        sums
                    })
                    .collect()
            });
            for sums in sums {
                if total.is_empty() {
                    total = sums;
                } else {
                    total.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
                }
            }
        }
        total
    }

    /// How often each piece is expected in the text.
    fn expect(&self, model: &Model) -> Vec<f32> {
        self.sums(model.len(), |lattice, word, count, sums| {
            lattice.set(word, model);
            lattice.add_expected(count, sums);
        })
    }

    /// How often each piece occurs in the best segmentation of the text.
    fn occurrences(&self, model: &Model) -> Vec<f32> {
        self.sums(model.len(), |lattice, word, count, sums| {
            lattice.set(word, model);
            lattice.best_pieces(|piece| sums[piece as usize] += count as f32);
        })
    }

    /// Removes the pieces that the text loses least without.
    fn prune(&self, model: &mut Model) {
        let verdicts: Vec<Verdict> = self.threads.install(|| {
            (0..model.len())
                .into_par_iter()
                .map_init(Default::default, |(lattice, rivals): &mut (Lattice, Rivals), piece| {
                    lattice.set(model.piece(piece), model);
                    rivals.judge(lattice)
                })
                .collect()
        });
        let occurs = self.occurrences(model);
        let sum = occurs.iter().fold(0.0, |sum, &count| sum + f64::from(count)) as f32;
        let log_sum = f64::from(sum).ln() as f32;
        let mut kept = Vec::new();
        let mut candidates: Vec<(f32, u32)> = Vec::new();
        for (number, (verdict, &count)) in (0..).zip(verdicts.iter().zip(&occurs)) {
            if count == 0.0 {
                continue;
            }
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
        let shrunk = self.options.shrinking_factor as f32 * model.len() as f32;
        let size = self.enough().max(shrunk as usize);
        candidates.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        // If more are kept already, `SentencePiece` keeps all candidates too.
        let room = size.checked_sub(kept.len()).unwrap_or(usize::MAX);
        kept.extend(candidates.iter().take(room).map(|&(_, piece)| piece));
        model.keep(&kept);
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
        return Err(Error::Input("the text is too small to train a tokenizer on; pass more text".into()));
    }
    model.set(seeds, scores);
    Ok(())
}

/// Removes the pieces whose text has a better segmentation.
fn remove_unreachable(model: &mut Model) {
    let mut lattice = Lattice::default();
    let mut kept = Vec::with_capacity(model.len());
    for number in 0..model.len() {
        lattice.set(model.piece(number), model);
        let whole = lattice
            .edges()
            .iter()
            .position(|edge| edge.begin == 0 && edge.end as usize == lattice.length() && edge.piece == number as u32);
        let Some(whole) = whole else { continue };
        lattice.set_score(whole, f32::NEG_INFINITY);
        let (without, _) = lattice.find_best();
        if without <= model.scores[number] {
            kept.push(number as u32);
        }
    }
    model.keep(&kept);
}

/// The digamma function, by the same approximation as `SentencePiece`.
fn digamma(x: f32) -> f64 {
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
