//! Chooses new pieces for a model whose own pieces and scores are fixed.
//!
//! It is the training of a unigram model in which only the new pieces have parameters. Expectation maximization gives
//! them log probabilities in the new text, beside those that the old pieces keep. Then the pieces are removed that save
//! the fewest tokens: the number of times that a piece occurs, times the tokens beyond one that its text has without it.

use std::sync::Arc;

use rayon::prelude::*;

use super::super::Options;
use super::super::alphabet::Alphabet;
use super::super::candidates::{Scored, is_start};
use super::super::em::digamma;
use super::super::lattice::{Edge, Lattice, Shared, Word};
use super::super::lattices::Lattices;
use super::super::lines::Counted;
use super::super::softplus::TABLE;
use super::super::watch::{Stage, abandonable, watched};
use crate::tokens::tokenizer::normalizer::char_length;
use crate::tokens::tokenizer::proto::{ModelProto, Piece, PieceType};
use crate::tokens::tokenizer::trie::Trie;
use crate::{Error, Progress, Result};

/// After how many words or pieces a thread reports them.
const OFTEN: u64 = 1 << 8;

/// New pieces that are expected less often than this are removed.
const RARE: f32 = 0.5;

/// Steps of EM for the pieces that remain.
const LAST_STEPS: usize = 2;

/// New pieces with their numbers of occurrences.
pub(super) type Candidates = Vec<(Vec<u8>, u64)>;

/// Returns the number of occurrences of each seed.
pub(super) fn counted(seeds: &Scored, alphabet: &Alphabet) -> Candidates {
    // A seed's score is the logarithm of its number times its length in characters, but for a constant.
    let Some((first, (_, count))) = seeds.scores.first().zip(alphabet.by_count.first()) else { return Vec::new() };
    let constant = (*count as f64).ln() - f64::from(*first);
    let number = |piece: &[u8], score: f32| {
        let length = piece.iter().filter(|&&byte| is_start(byte)).count();
        ((f64::from(score) + constant).exp() / length as f64).round() as u64
    };
    seeds.pieces.iter().zip(&seeds.scores).map(|(piece, &score)| (piece.to_vec(), number(piece, score))).collect()
}

/// A text, and the pieces that are fixed.
pub(super) struct Choice<'a> {
    words: &'a Counted,
    options: &'a Options,
    model: &'a ModelProto,
    /// The fixed pieces and their ids.
    fixed: Arc<Vec<(Vec<u8>, u32)>>,
    unknown: u32,
    /// The lowest score of the model.
    lowest: f32,
    /// New pieces to remove, and at the beginning.
    left: (u64, u64),
}

/// All pieces of a step.
struct Pieces {
    trie: Trie,
    /// The scores of the fixed pieces by id, then those of the new ones.
    scores: Vec<f32>,
    /// The new pieces. The first ones are required.
    new: Vec<Vec<u8>>,
    unknown: u32,
    unknown_score: f32,
}

impl<'a> Choice<'a> {
    pub fn new(words: &'a Counted, model: &'a ModelProto, unknown: u32, options: &'a Options) -> Self {
        let normal = model.pieces.iter().filter(|piece| piece.r#type() == PieceType::Normal);
        let lowest = normal.map(Piece::score).fold(f32::MAX, f32::min);
        let fixed = (0..).zip(&model.pieces).filter(|(_, piece)| piece.r#type() == PieceType::Normal);
        let fixed = fixed.map(|(id, piece)| (piece.piece().as_bytes().to_vec(), id)).collect();
        Self { words, options, model, fixed: Arc::new(fixed), unknown, lowest, left: (0, 0) }
    }

    /// Returns the `size` best pieces with their scores, the best first; fewer if there are not as many.
    ///
    /// # Errors
    /// `progress` asks to stop.
    pub fn run(
        &mut self,
        candidates: Candidates,
        required: usize,
        size: usize,
        progress: &mut dyn Progress,
    ) -> Result<Vec<(Vec<u8>, f32)>> {
        let enough = size + size / 10;
        let old = self.pieces(Vec::new(), Vec::new(), progress)?;
        let total: f64 = self.occurrences(&old, progress)?.iter().map(|&it| f64::from(it)).sum();
        let scores = candidates.iter().map(|&(_, count)| ((count.max(1) as f64).ln() - total.ln()) as f32).collect();
        self.left.1 = candidates.len().saturating_sub(enough) as u64;
        self.left.0 = self.left.1;
        let mut pieces = self.pieces(candidates.into_iter().map(|(piece, _)| piece).collect(), scores, progress)?;
        loop {
            self.left.0 = pieces.new.len().saturating_sub(enough) as u64;
            for _ in 0..self.options.num_sub_iterations {
                pieces = self.improve(pieces, |place, expected| place < required || expected >= RARE, progress)?;
            }
            let is_last = pieces.new.len() <= enough;
            let shrunk = (self.options.shrinking_factor * pieces.new.len() as f64) as usize;
            let most = if is_last { size } else { shrunk.max(enough) };
            pieces = self.prune(pieces, required, most, progress)?;
            if is_last {
                break;
            }
        }
        for _ in 0..LAST_STEPS {
            pieces = self.improve(pieces, |_, _| true, progress)?;
        }
        let scores = pieces.scores.split_off(self.model.pieces.len());
        // A lower score than that of all old pieces would change the score of unknown characters.
        let scores = scores.into_iter().map(|score| score.max(self.lowest));
        let mut chosen: Vec<(Vec<u8>, f32)> = pieces.new.into_iter().zip(scores).collect();
        chosen.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        Ok(chosen)
    }

    /// How a pass over so many words or pieces is reported.
    fn stage(&self, steps: usize) -> Stage {
        let (left, total) = self.left;
        let done = total - left;
        Stage { name: "extending the tokenizer", unit: "pieces", done: (done, done), total, steps: steps as u64 }
    }

    /// Puts new pieces beside the fixed ones.
    fn pieces(&self, new: Vec<Vec<u8>>, new_scores: Vec<f32>, progress: &mut dyn Progress) -> Result<Pieces> {
        let mut scores: Vec<f32> = self.model.pieces.iter().map(Piece::score).collect();
        let (fixed, first) = (Arc::clone(&self.fixed), scores.len() as u32);
        let (trie, new) = abandonable(progress, self.stage(1), move || {
            let fixed = fixed.iter().map(|(piece, id)| (&piece[..], *id, 0.0));
            let keys = fixed.chain(new.iter().zip(first..).map(|(piece, number)| (&piece[..], number, 0.0)));
            (Trie::build(&keys.collect::<Vec<_>>()), new)
        })?;
        let trie = trie.map_err(|reason| Error::Internal(format!("the pieces of the text: {reason}")))?;
        scores.extend(new_scores);
        Ok(Pieces { trie, scores, new, unknown: self.unknown, unknown_score: self.lowest - 10.0 })
    }

    /// Keeps some of the new pieces, by their places.
    fn kept(
        &self,
        mut pieces: Pieces,
        mut kept: Vec<usize>,
        scores: &[f32],
        progress: &mut dyn Progress,
    ) -> Result<Pieces> {
        kept.sort_unstable();
        let new = kept.iter().map(|&place| std::mem::take(&mut pieces.new[place])).collect();
        self.pieces(new, kept.iter().map(|&place| scores[place]).collect(), progress)
    }

    /// A step of EM: gives the new pieces scores, and keeps those that `keeps`, given place and expected number.
    fn improve(
        &self,
        pieces: Pieces,
        keeps: impl Fn(usize, f32) -> bool,
        progress: &mut dyn Progress,
    ) -> Result<Pieces> {
        let table = &*TABLE;
        let expected = self.sums(&pieces, progress, Lattices::default, |lattices, words, sums| {
            let read = lattices.fill(|edges| words.next(edges));
            lattices.add_expected(sums, table);
            read
        })?;
        let total = digamma(expected.iter().map(|&it| f64::from(it)).sum::<f64>() as f32);
        let expected = &expected[self.model.pieces.len()..];
        let scores: Vec<f32> = expected.iter().map(|&it| (digamma(it.max(RARE)) - total) as f32).collect();
        let kept = (0..pieces.new.len()).filter(|&place| keeps(place, expected[place])).collect();
        self.kept(pieces, kept, &scores, progress)
    }

    /// Removes the new pieces that save the fewest tokens, all but the first `required` and the `most` best.
    fn prune(&self, pieces: Pieces, required: usize, most: usize, progress: &mut dyn Progress) -> Result<Pieces> {
        let fixed = self.model.pieces.len();
        let occurs = self.occurrences(&pieces, progress)?;
        let saved: Vec<f64> = watched(progress, self.stage(pieces.new.len()), |watch| {
            let saved = |lattice: &mut Lattice, place: usize| {
                if place as u64 % OFTEN == OFTEN - 1 {
                    watch.advance(OFTEN)?;
                }
                let number = fixed + place;
                if occurs[number] == 0.0 {
                    return Ok(0.0);
                }
                lattice.fill(|edges| pieces.segment(&pieces.new[place], edges, Some(number as u32)));
                let without = lattice.find_best();
                let mut tokens = 0;
                lattice.pieces_to(without.last, |_| tokens += 1);
                Ok(f64::from(occurs[number]) * f64::from(tokens - 1))
            };
            (0..pieces.new.len()).into_par_iter().map_init(Lattice::default, saved).collect()
        })?;
        let mut order: Vec<usize> = (required..pieces.new.len()).filter(|&place| saved[place] > 0.0).collect();
        order.sort_unstable_by(|&a, &b| saved[b].total_cmp(&saved[a]).then_with(|| pieces.new[a].cmp(&pieces.new[b])));
        order.truncate(most.saturating_sub(required));
        let kept: Vec<usize> = (0..required).chain(order).collect();
        let scores = pieces.scores[fixed..].to_vec();
        self.kept(pieces, kept, &scores, progress)
    }

    /// How often each piece occurs in the best segmentation of the text.
    fn occurrences(&self, pieces: &Pieces, progress: &mut dyn Progress) -> Result<Vec<f32>> {
        self.sums(pieces, progress, Lattice::default, |lattice, words, sums| {
            let Some((count, last)) = lattice.next_best(|edges| words.next(edges)) else { return 0 };
            lattice.pieces_to(last, |piece| sums[piece as usize] += count);
            1
        })
    }

    /// Adds up what `count` adds for words, in an order that does not depend on the number of threads. It is passed working
    /// memory and the words of a partition, and returns how many it read.
    fn sums<M>(
        &self,
        pieces: &Pieces,
        progress: &mut dyn Progress,
        memory: impl Fn() -> M + Sync,
        count: impl Fn(&mut M, &mut Words, &mut [f32]) -> usize + Sync,
    ) -> Result<Vec<f32>> {
        let partitions = self.options.partitions as usize;
        let together = rayon::current_num_threads().max(1);
        watched(progress, self.stage(self.words.len()), |watch| {
            let of = |partition: usize| {
                let mut sums = vec![0.0; pieces.scores.len()];
                let mut words = Words { all: self.words, pieces, next: partition, partitions };
                let mut memory = memory();
                watch.repeat(OFTEN, || count(&mut memory, &mut words, &mut sums))?;
                Ok(sums)
            };
            let mut total = vec![0.0; pieces.scores.len()];
            for first in (0..partitions).step_by(together) {
                let last = partitions.min(first + together);
                let sums: Vec<Vec<f32>> = (first..last).into_par_iter().map(of).collect::<Result<_>>()?;
                for sums in sums {
                    total.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
                }
            }
            Ok(total)
        })
    }
}

/// The words of a partition that are not yet read.
struct Words<'a> {
    all: &'a Counted,
    pieces: &'a Pieces,
    next: usize,
    partitions: usize,
}

impl Words<'_> {
    /// Replaces `edges` by those of the next word.
    fn next(&mut self, edges: &mut Vec<Edge>) -> Option<Word> {
        if self.next >= self.all.len() {
            return None;
        }
        let (word, count) = self.all.get(self.next);
        self.next += self.partitions;
        edges.clear();
        let length = self.pieces.segment(word, edges, None);
        Some(Word { count: count as f32, length, shared: Shared::default(), has_unknown: false })
    }
}

impl Pieces {
    /// Appends the edges of a word to `edges`, all but those of one piece. Returns its length in characters.
    fn segment(&self, word: &[u8], edges: &mut Vec<Edge>, without: Option<u32>) -> u32 {
        let (mut at, mut begin) = (0, 0);
        while at < word.len() {
            let (mut cursor, mut end) = (self.trie.root(), begin);
            let mut has_one = false;
            for &byte in &word[at..] {
                if !self.trie.step(&mut cursor, byte) {
                    break;
                }
                end += u32::from(is_start(byte));
                if let Some(piece) = self.trie.value(cursor).filter(|&piece| Some(piece) != without) {
                    has_one |= end == begin + 1;
                    edges.push(Edge { begin, end, piece, score: self.scores[piece as usize] });
                }
            }
            if !has_one {
                edges.push(Edge { begin, end: begin + 1, piece: self.unknown, score: self.unknown_score });
            }
            at += char_length(word[at]).min(word.len() - at);
            begin += 1;
        }
        begin
    }
}
