//! All segmentations of a word, in `SentencePiece`'s own order of operations, so that every sum is its sum to the bit.
//!
//! Places are byte offsets. The sum of all paths to a place is the same for all edges that begin there, so it is computed
//! once for each place and not for each edge.

use super::em::Model;
use crate::tokens::tokenizer::normalizer::char_length;

/// A piece at a place of a word.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edge {
    pub begin: u32,
    pub end: u32,
    /// The number of the piece.
    pub piece: u32,
    pub score: f32,
}

/// The edges of one word, and working memory.
#[derive(Debug, Default)]
pub(super) struct Lattice {
    length: usize,
    /// By begin, then by length; the edge of an unknown character comes last at its place.
    edges: Vec<Edge>,
    /// The place and the first edge of each character.
    begins: Vec<(u32, u32)>,
    forward: Vec<f32>,
    backward: Vec<f32>,
    /// Edges by end, each list in the order of `edges`: where the list of each place begins.
    end_starts: Vec<u32>,
    by_end: Vec<u32>,
    /// For each edge: the score of the best path through its end, and the edge before it on that path.
    best: Vec<(f32, u32)>,
}

/// No edge.
pub(super) const NONE: u32 = u32::MAX;

/// Returns log(exp(x) + exp(y)) as `SentencePiece` rounds it.
#[inline]
fn log_sum(x: f32, y: f32) -> f32 {
    let (low, high) = if y < x { (y, x) } else { (x, y) };
    if high > low + 50.0 {
        return high;
    }
    (f64::from(high) + f64::from(low - high).exp().ln_1p()) as f32
}

impl Lattice {
    /// Takes a word, with the pieces that `model` has in it.
    pub fn set(&mut self, word: &[u8], model: &Model) {
        self.length = word.len();
        self.edges.clear();
        self.begins.clear();
        let mut begin = 0;
        while begin < word.len() {
            self.begins.push((begin as u32, self.edges.len() as u32));
            let one = char_length(word[begin]).min(word.len() - begin);
            let mut has_one = false;
            model.pieces_at(&word[begin..], |length, piece, score| {
                has_one |= length == one;
                let end = (begin + length) as u32;
                self.edges.push(Edge { begin: begin as u32, end, piece, score });
            });
            if !has_one {
                // `SentencePiece`'s trainer counts unknown characters as its first piece.
                let end = (begin + one) as u32;
                self.edges.push(Edge { begin: begin as u32, end, piece: 0, score: model.unknown_score() });
            }
            begin += one;
        }
    }

    /// The edges.
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// The length of the word in bytes.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The edges that end at a place, those that begin first coming first.
    pub fn ending_at(&self, place: u32) -> &[u32] {
        let range = self.end_starts[place as usize] as usize..self.end_starts[place as usize + 1] as usize;
        &self.by_end[range]
    }

    /// Replaces the score of an edge.
    pub fn set_score(&mut self, edge: usize, score: f32) {
        self.edges[edge].score = score;
    }

    /// Adds to `expected`, by piece, how often each piece occurs in `count` times the word.
    pub fn add_expected(&mut self, count: u64, expected: &mut [f32]) {
        let Self { edges, begins, forward, backward, length, .. } = self;
        forward.clear();
        forward.resize(*length + 1, f32::NAN);
        forward[0] = 0.0;
        for edge in &*edges {
            let sum = edge.score + forward[edge.begin as usize];
            let end = &mut forward[edge.end as usize];
            *end = if end.is_nan() { sum } else { log_sum(*end, sum) };
        }
        backward.clear();
        backward.resize(*length + 1, 0.0);
        let mut last = edges.len();
        for &(place, first) in begins.iter().rev() {
            let mut total = f32::NAN;
            for edge in &edges[first as usize..last] {
                let sum = edge.score + backward[edge.end as usize];
                total = if total.is_nan() { sum } else { log_sum(total, sum) };
            }
            backward[place as usize] = total;
            last = first as usize;
        }
        let all = forward[*length];
        let count = f64::from(count as f32);
        for edge in &*edges {
            let log = forward[edge.begin as usize] + edge.score + backward[edge.end as usize] - all;
            let expected = &mut expected[edge.piece as usize];
            *expected = (f64::from(*expected) + count * f64::from(log).exp()) as f32;
        }
    }

    /// Finds the best path. Returns its score and its last edge.
    pub fn find_best(&mut self) -> (f32, u32) {
        self.index_ends();
        let Self { edges, best, by_end, end_starts, .. } = self;
        best.clear();
        best.resize(edges.len(), (0.0, NONE));
        let ending = |place: u32| {
            let range = end_starts[place as usize] as usize..end_starts[place as usize + 1] as usize;
            &by_end[range]
        };
        for number in 0..edges.len() {
            let edge = edges[number];
            best[number] = if edge.begin == 0 {
                (0.0 + edge.score, NONE)
            } else {
                best_before(ending(edge.begin), edge.score, best)
            };
        }
        best_before(ending(self.length as u32), 0.0, best)
    }

    /// The score of the best path that ends with this edge, after [`Lattice::find_best`].
    pub fn best_score(&self, edge: u32) -> f32 {
        self.best[edge as usize].0
    }

    /// Calls `visit` with the pieces of the best path, the last first.
    pub fn best_pieces(&mut self, mut visit: impl FnMut(u32)) {
        let (_, mut edge) = self.find_best();
        while edge != NONE {
            visit(self.edges[edge as usize].piece);
            edge = self.best[edge as usize].1;
        }
    }

    fn index_ends(&mut self) {
        let Self { edges, end_starts, by_end, length, .. } = self;
        end_starts.clear();
        end_starts.resize(*length + 2, 0);
        for edge in &*edges {
            end_starts[edge.end as usize + 1] += 1;
        }
        for place in 1..end_starts.len() {
            end_starts[place] += end_starts[place - 1];
        }
        by_end.clear();
        by_end.resize(edges.len(), 0);
        for (number, edge) in edges.iter().enumerate() {
            let next = &mut end_starts[edge.end as usize];
            by_end[*next as usize] = number as u32;
            *next += 1;
        }
        // Each start is now the end of its list.
        end_starts.rotate_right(1);
        end_starts[0] = 0;
    }
}

/// Returns the first edge of `before` whose path, with `score` added, is best, and the sum.
fn best_before(before: &[u32], score: f32, best: &[(f32, u32)]) -> (f32, u32) {
    let mut found = (f32::NEG_INFINITY, NONE);
    for &edge in before {
        let sum = best[edge as usize].0 + score;
        if found.1 == NONE || sum > found.0 {
            found = (sum, edge);
        }
    }
    found
}
