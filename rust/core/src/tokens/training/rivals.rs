//! The two best segmentations of a piece, found as `SentencePiece` finds them: by A* from the end, with a binary heap
//! whose order decides between equal scores.

use super::lattice::{Edge, Lattice, NONE};

/// Stands for the end of the word, with which every path begins.
const END: u32 = NONE - 1;

/// A path from an edge to the end of the word.
#[derive(Debug, Clone, Copy)]
struct Path {
    /// The first edge, [`END`], or [`NONE`] for the beginning of the word.
    edge: u32,
    /// The rest of the path.
    next: u32,
    /// The score of the best complete path that ends with this one.
    whole: f32,
    /// The score of this path.
    rest: f32,
}

/// Working memory.
#[derive(Debug, Default)]
pub(super) struct Rivals {
    paths: Vec<Path>,
    /// A binary heap of paths, the best at the top.
    heap: Vec<u32>,
}

/// What becomes of a piece without which the text must be segmented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// No other segmentation has the piece's text.
    Alone,
    /// The best segmentation of the piece's text is not the piece.
    Beaten,
    /// The pieces that take its place.
    Replaced(Vec<u32>),
}

impl Rivals {
    /// Judges the piece whose text `lattice` has. Where scores differ by more than what rounding can do, no search is
    /// needed: the best path without the piece itself decides.
    pub fn judge(&mut self, lattice: &mut Lattice, piece: u32) -> Verdict {
        let whole = |edge: &Edge| edge.piece == piece && edge.begin == 0 && edge.end == lattice.length();
        let Some(own) = lattice.edges().iter().position(whole) else {
            return self.search(lattice);
        };
        if lattice.edges().len() == 1 {
            return Verdict::Alone;
        }
        let score = lattice.edges()[own].score;
        lattice.set_score(own, f32::NEG_INFINITY);
        let other = lattice.find_best();
        lattice.set_score(own, score);
        if other.score.is_finite() {
            let size = other.score.abs().max(score.abs());
            let rounding = 2.0 * f32::EPSILON * size * (lattice.length() as f32 + 2.0);
            if other.score > score + rounding {
                return Verdict::Beaten;
            }
            if other.score < score - rounding && other.lead > rounding {
                let mut pieces = Vec::new();
                lattice.pieces_to(other.last, |piece| pieces.push(piece));
                pieces.reverse();
                return Verdict::Replaced(pieces);
            }
        }
        self.search(lattice)
    }

    fn search(&mut self, lattice: &mut Lattice) -> Verdict {
        let score = lattice.find_best().score;
        lattice.index_ends();
        self.paths.clear();
        self.heap.clear();
        self.paths.push(Path { edge: END, next: NONE, whole: score, rest: 0.0 });
        self.push(0);
        let mut best_length = None;
        while let Some(top) = self.pop() {
            let path = self.paths[top as usize];
            if path.edge == NONE {
                let mut pieces = Vec::new();
                let mut at = path.next;
                while self.paths[at as usize].edge != END {
                    let Path { edge, next, .. } = self.paths[at as usize];
                    pieces.push(lattice.edges()[edge as usize].piece);
                    at = next;
                }
                match best_length {
                    None => best_length = Some(pieces.len()),
                    Some(1) => return Verdict::Replaced(pieces),
                    Some(_) => return Verdict::Beaten,
                }
                continue;
            }
            let place = if path.edge == END { lattice.length() } else { lattice.edges()[path.edge as usize].begin };
            if place == 0 {
                self.extend(top, NONE, 0.0, 0.0);
            } else {
                for &edge in lattice.ending_at(place) {
                    self.extend(top, edge, lattice.edges()[edge as usize].score, lattice.best_score(edge));
                }
            }
        }
        Verdict::Alone
    }

    fn extend(&mut self, next: u32, edge: u32, score: f32, best: f32) {
        let rest = self.paths[next as usize].rest;
        self.paths.push(Path { edge, next, whole: best + rest, rest: score + rest });
        self.push(self.paths.len() as u32 - 1);
    }

    fn whole(&self, path: u32) -> f32 {
        self.paths[path as usize].whole
    }

    /// Adds a path: it rises while its parent is worse.
    fn push(&mut self, path: u32) {
        self.heap.push(path);
        self.rise(self.heap.len() - 1, 0, path);
    }

    fn rise(&mut self, mut hole: usize, top: usize, path: u32) {
        while hole > top {
            let parent = (hole - 1) / 2;
            if self.whole(self.heap[parent]) >= self.whole(path) {
                break;
            }
            self.heap[hole] = self.heap[parent];
            hole = parent;
        }
        self.heap[hole] = path;
    }

    /// Removes the best path. The hole that it leaves sinks to the bottom, always to the better child and to the right
    /// one of equals; there the last path of the heap fills it and rises, as in the C++ library's heap.
    fn pop(&mut self) -> Option<u32> {
        let last = self.heap.pop()?;
        let Some(&top) = self.heap.first() else {
            return Some(last);
        };
        let length = self.heap.len();
        let mut hole = 0;
        while 2 * hole + 2 < length {
            let (left, right) = (2 * hole + 1, 2 * hole + 2);
            let child = if self.whole(self.heap[right]) < self.whole(self.heap[left]) { left } else { right };
            self.heap[hole] = self.heap[child];
            hole = child;
        }
        if 2 * hole + 2 == length {
            self.heap[hole] = self.heap[2 * hole + 1];
            hole = 2 * hole + 1;
        }
        self.rise(hole, 0, last);
        Some(top)
    }
}
