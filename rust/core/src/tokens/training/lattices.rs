//! How often each piece is expected in words, in `SentencePiece`'s own order of operations, so that every sum is its sum to
//! the bit.
//!
//! The sum of all paths to a place is the same for all edges that begin there, so it is computed once for each place and
//! not for each edge. Each sum needs the one before it, and a CPU would wait for it. Therefore the sums of several words
//! are computed in turn, from their beginnings and from their ends at the same time.

use super::lattice::{Edge, Word};
use super::softplus::Table;

/// After how many edges no more words are added.
const ENOUGH: usize = 512;

/// How many words are computed in turn.
const LANES: usize = 4;

/// The edges of several words, one word after the other, and working memory.
#[derive(Debug, Default)]
pub(super) struct Lattices {
    /// By begin, then by length. The edge of an unknown character comes last at its place.
    edges: Vec<Edge>,
    words: Vec<Placed>,
    /// How many places the words have.
    places: u32,
    /// By place: the sum of all paths to it from the beginning of its word, and from it to the end.
    forward: Vec<f32>,
    backward: Vec<f32>,
    /// The order from the end: places from the last to the first, and the edges of each place in their own order. The edge
    /// after edge i is at i + 1.
    next: Vec<u32>,
}

/// A word among others.
#[derive(Debug, Clone, Copy)]
struct Placed {
    /// The place and the edge after its last.
    end: u32,
    last: u32,
    count: f32,
}

/// Some of the words, whose edges are passed one by one.
#[derive(Debug, Clone, Copy, Default)]
struct Lane {
    /// The next edge from the beginning.
    edge: usize,
    /// The next edge from the end.
    back: usize,
    /// How many edges there are.
    count: usize,
}

impl Lattices {
    /// Replaces the words by those whose edges `read` appends, until it returns `None` or there are enough. It is passed
    /// the place where the word begins. Returns the number of words.
    pub fn fill(&mut self, mut read: impl FnMut(&mut Vec<Edge>, u32) -> Option<Word>) -> usize {
        self.edges.clear();
        self.words.clear();
        self.places = 0;
        while self.edges.len() < ENOUGH
            && let Some(word) = read(&mut self.edges, self.places)
        {
            let end = self.places + word.length;
            self.words.push(Placed { end, last: self.edges.len() as u32, count: word.count });
            self.places = end + 1;
        }
        self.words.len()
    }

    /// Adds to `expected`, by piece, how often each piece occurs in the words.
    pub fn add_expected(&mut self, expected: &mut [f32], table: &Table) {
        self.sum_paths(table);
        let Self { edges, words, forward, backward, .. } = self;
        let mut first = 0;
        for word in words {
            let all = forward[word.end as usize];
            let count = f64::from(word.count);
            for edge in &edges[first..word.last as usize] {
                let log = forward[edge.begin as usize] + edge.score + backward[edge.end as usize] - all;
                let expected = &mut expected[edge.piece as usize];
                *expected = table.add_exp(*expected, count, log);
            }
            first = word.last as usize;
        }
    }

    /// Computes `forward` and `backward`.
    fn sum_paths(&mut self, table: &Table) {
        self.order();
        let places = self.places as usize;
        for sums in [&mut self.forward, &mut self.backward] {
            sums.clear();
            sums.resize(places, f32::NEG_INFINITY);
        }
        let mut begin = 0;
        for word in &self.words {
            self.forward[begin] = 0.0;
            self.backward[word.end as usize] = 0.0;
            begin = word.end as usize + 1;
        }
        let mut lanes = self.lanes();
        let Self { edges, forward, backward, next, .. } = self;
        let mut step = |lane: &mut Lane| {
            let edge = &edges[lane.edge];
            let sum = edge.score + forward[edge.begin as usize];
            let end = &mut forward[edge.end as usize];
            *end = table.log_sum(*end, sum);
            lane.edge += 1;
            let edge = &edges[lane.back];
            let sum = edge.score + backward[edge.end as usize];
            let begin = &mut backward[edge.begin as usize];
            *begin = table.log_sum(*begin, sum);
            lane.back = next[lane.back + 1] as usize;
        };
        let together = lanes.iter().map(|lane| lane.count).min().unwrap_or(0);
        for _ in 0..together {
            for lane in &mut lanes {
                step(lane);
            }
        }
        for lane in &mut lanes {
            for _ in together..lane.count {
                step(lane);
            }
        }
    }

    /// Finds `next`.
    fn order(&mut self) {
        let Self { edges, next, .. } = self;
        next.clear();
        next.resize(edges.len() + 1, 0);
        let (mut before, mut start, mut place) = (0, 0, 0);
        for (number, edge) in (0..).zip(&*edges) {
            let begins = edge.begin != place;
            next[number as usize] = if begins { before } else { number };
            (before, start) = if begins { (start, number) } else { (before, start) };
            place = edge.begin;
        }
        if let Some(last) = next.last_mut() {
            *last = before;
        }
    }

    /// Divides the edges between words.
    fn lanes(&self) -> [Lane; LANES] {
        let mut lanes = [Lane::default(); LANES];
        let mut words = self.words.iter().map(|word| word.last as usize);
        let mut first = 0;
        for (lane, left) in lanes.iter_mut().zip((1..=LANES).rev()) {
            let goal = first + (self.edges.len() - first) / left;
            let last = words.find(|&last| last >= goal).unwrap_or(first);
            let place = self.edges[..last].last().map(|edge| edge.begin);
            let in_last = self.edges[first..last].iter().rev().take_while(|edge| Some(edge.begin) == place).count();
            *lane = Lane { edge: first, back: last - in_last, count: last - first };
            first = last;
        }
        lanes
    }
}
