//! How often each piece is expected in words, in `SentencePiece`'s own order of operations, so that every sum is its sum to
//! the bit.
//!
//! The sum of all paths to a place is the same for all edges that begin there, so it is computed once for each place and
//! not for each edge. Each sum needs the one before it, and a CPU would wait for it. Therefore the sums of several words
//! are computed in turn, from their beginnings and from their ends at the same time.

use super::lattice::{Edge, Shared, UNKNOWN, Word};
use super::softplus::Table;

/// How many edges a lane has at least.
const ENOUGH: usize = 2048;

/// How many words are computed in turn.
const LANES: usize = 4;

/// The edges of several words, one word after the other, and working memory.
#[derive(Debug, Default)]
pub(super) struct Lattices {
    /// The edges of the word that was read last.
    word: Vec<Edge>,
    /// By character of that word: its place, or the place of the same character in a word before.
    origins: Vec<u32>,
    /// The edges of all words. They begin at places of `forward` and end at places of `backward`. The same number is the
    /// same place, but words that share characters also share the places of `forward`.
    edges: Vec<Edge>,
    /// By edge: the place of `backward` where it begins.
    begins: Vec<u32>,
    /// The edges whose ends no word before has.
    own: Vec<u32>,
    words: Vec<Placed>,
    lanes: [Lane; LANES],
    /// By place: the sum of all paths to it from the beginning of its word, and from it to the end.
    forward: Vec<f32>,
    backward: Vec<f32>,
    /// The order from the end: places from the last to the first, and the edges of each place in their own order, that of
    /// an unknown character last. By place its first edge, and then by edge the next one.
    next: Vec<u32>,
    /// By place: where the edge is noted that comes after its last one.
    last: Vec<u32>,
}

/// A word among others.
#[derive(Debug, Clone, Copy)]
struct Placed {
    /// The place of `forward` where it ends.
    origin: u32,
    /// The places of `backward` where it begins and ends.
    begin: u32,
    end: u32,
    /// The edge after its last.
    last: u32,
    count: f32,
    has_unknown: bool,
}

/// Some of the words, whose edges are passed one by one.
#[derive(Debug, Clone, Copy, Default)]
struct Lane {
    /// The edges in `own` that are not yet passed from the beginning.
    ahead: Range,
    /// The next edge from the end, and how many are left.
    back: u32,
    left: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Range {
    start: usize,
    end: usize,
}

impl Lattices {
    /// Replaces the words by those that `read` returns, until it returns `None` or there are enough. It makes the edges of
    /// a word from those of the word before. Returns the number of words.
    pub fn fill(&mut self, mut read: impl FnMut(&mut Vec<Edge>) -> Option<Word>) -> usize {
        for numbers in [&mut self.begins, &mut self.own] {
            numbers.clear();
        }
        self.edges.clear();
        self.words.clear();
        self.forward.clear();
        for lane in 0..LANES {
            let (first, first_own) = (self.edges.len(), self.own.len());
            // The lanes are computed at the same time, so they share nothing.
            let mut is_first = true;
            while self.edges.len() < first + ENOUGH
                && let Some(word) = read(&mut self.word)
            {
                let shared = if std::mem::take(&mut is_first) { Shared::default() } else { word.shared };
                self.add(word, shared);
            }
            let ahead = Range { start: first_own, end: self.own.len() };
            let end = self.words.last().map_or(0, |word| word.end);
            self.lanes[lane] = Lane { ahead, back: end, left: self.edges.len() - first };
        }
        self.words.len()
    }

    /// Adds the word that was read.
    fn add(&mut self, word: Word, shared: Shared) {
        let Self { word: read, origins, edges, begins, own, forward, .. } = self;
        let base = forward.len() as u32;
        let end = base + word.length;
        origins.truncate(if shared.edges == 0 { 0 } else { shared.length as usize + 1 });
        origins.extend(base + origins.len() as u32..=end);
        forward.resize(end as usize + 1, f32::NEG_INFINITY);
        forward[base as usize] = 0.0;
        let first = edges.len() as u32;
        begins.extend(read.iter().map(|edge| base + edge.begin));
        edges.extend(read.iter().map(|edge| {
            let (begin, end) = (origins[edge.begin as usize], base + edge.end);
            Edge { begin, end, ..*edge }
        }));
        let last = edges.len() as u32;
        own.extend(first + shared.edges..last);
        let origin = origins[word.length as usize];
        self.words.push(Placed { origin, begin: base, end, last, count: word.count, has_unknown: word.has_unknown });
    }

    /// Adds to `expected`, by piece, how often each piece occurs in the words.
    pub fn add_expected(&mut self, expected: &mut [f32], table: &Table) {
        if self.words.is_empty() {
            return;
        }
        self.order();
        self.sum_paths(table);
        let Self { edges, begins, words, forward, backward, next, .. } = self;
        let places = forward.len();
        let mut first = 0;
        for word in words {
            let all = forward[word.origin as usize];
            let count = f64::from(word.count);
            let mut add = |edge: &Edge, piece: u32| {
                let log = forward[edge.begin as usize] + edge.score + backward[edge.end as usize] - all;
                let expected = &mut expected[piece as usize];
                *expected = table.add_exp(*expected, count, log);
            };
            let its_edges = first..word.last as usize;
            first = word.last as usize;
            if !word.has_unknown {
                edges[its_edges].iter().for_each(|edge| add(edge, edge.piece));
                continue;
            }
            // `SentencePiece` counts unknown characters as the first piece, so the order between both matters.
            for place in word.begin..word.end {
                let mut edge = next[place as usize] as usize;
                while its_edges.contains(&edge) && begins[edge] == place {
                    let piece = edges[edge].piece;
                    add(&edges[edge], if piece == UNKNOWN { 0 } else { piece });
                    edge = next[places + edge] as usize;
                }
            }
        }
    }

    /// Computes `forward` and `backward`.
    fn sum_paths(&mut self, table: &Table) {
        let Self { edges, begins, own, words, lanes, forward, backward, next, .. } = self;
        let places = forward.len();
        backward.clear();
        backward.resize(places, f32::NEG_INFINITY);
        for word in words {
            backward[word.end as usize] = 0.0;
        }
        let next = &next[places..];
        let (edges, begins) = (&edges[..], &begins[..]);
        let mut ahead = |lane: &mut Lane| {
            let edge = &edges[own[lane.ahead.start] as usize];
            let sum = edge.score + forward[edge.begin as usize];
            let end = &mut forward[edge.end as usize];
            *end = table.log_sum(*end, sum);
            lane.ahead.start += 1;
        };
        let mut back = |lane: &mut Lane| {
            let number = lane.back as usize;
            let edge = &edges[number];
            let sum = edge.score + backward[edge.end as usize];
            let begin = &mut backward[begins[number] as usize];
            *begin = table.log_sum(*begin, sum);
            lane.back = next[number];
            lane.left -= 1;
        };
        let both = lanes.iter().map(|lane| (lane.ahead.end - lane.ahead.start).min(lane.left)).min().unwrap_or(0);
        for _ in 0..both {
            for lane in lanes.iter_mut() {
                ahead(lane);
                back(lane);
            }
        }
        let left = lanes.iter().map(|lane| lane.left).min().unwrap_or(0);
        for _ in 0..left {
            for lane in lanes.iter_mut() {
                back(lane);
            }
        }
        for lane in lanes {
            while lane.ahead.start < lane.ahead.end {
                ahead(lane);
            }
            while lane.left > 0 {
                back(lane);
            }
        }
    }

    /// Finds `next`, and with it where the lanes begin.
    fn order(&mut self) {
        let Self { edges, begins, words, lanes, forward, next, last, .. } = self;
        let places = forward.len() as u32;
        next.clear();
        next.resize(forward.len() + edges.len(), u32::MAX);
        last.clear();
        last.extend(0..places);
        let mut note = |edge: u32, begin: u32| {
            let last = &mut last[begin as usize];
            next[*last as usize] = edge;
            *last = places + edge;
        };
        for ((number, edge), &begin) in (0..).zip(&*edges).zip(&*begins) {
            if edge.piece != UNKNOWN {
                note(number, begin);
            }
        }
        let mut first = 0;
        for word in words.iter() {
            if word.has_unknown {
                for edge in (first..word.last).filter(|&edge| edges[edge as usize].piece == UNKNOWN) {
                    note(edge, begins[edge as usize]);
                }
            }
            first = word.last;
        }
        let mut before = u32::MAX;
        for word in words.iter() {
            for place in word.begin..word.end {
                next[last[place as usize] as usize] = before;
                before = next[place as usize];
            }
            next[word.end as usize] = before;
        }
        for lane in lanes {
            lane.back = next[lane.back as usize];
        }
    }
}
