//! Finds the pieces in words that come one after the other. Those within the first characters of the word before are not
//! found again.

use super::candidates::is_start;
use super::lattice::{Edge, Shared, UNKNOWN};
use super::model::Model;
use crate::tokens::tokenizer::normalizer::char_length;

/// Finds pieces in words.
#[derive(Debug, Default)]
pub(super) struct Searcher {
    /// By character of the last word: the byte at which the search for pieces that begin there ended.
    reached: Vec<u32>,
    /// Edges by begin, and how many there are by end.
    found: Vec<Edge>,
    by_end: Vec<u32>,
}

/// Removes the edges that end after the first `length` characters. The others are those that the next word shares.
#[inline]
pub(super) fn share(length: u32, edges: &mut Vec<Edge>) -> Shared {
    let count = edges.partition_point(|edge| edge.end <= length);
    edges.truncate(count);
    Shared { length, edges: count as u32 }
}

impl Searcher {
    /// Forgets the last word, since others came after it.
    pub fn forget(&mut self) {
        self.reached.clear();
    }

    /// Makes the edges of `word` from those of `before`, which may be only the first part of the word before. The edges are
    /// in the order of their ends, and those of unknown characters have the piece [`UNKNOWN`]. Returns what both share, and
    /// the length of the word in characters.
    pub fn search(&mut self, word: &[u8], before: &[u8], model: &Model, edges: &mut Vec<Edge>) -> (Shared, u32) {
        let mut same = word.iter().zip(before).take_while(|(a, b)| a == b).count();
        while same < word.len() && !is_start(word[same]) {
            same -= 1;
        }
        let characters = word[..same].iter().filter(|&&byte| is_start(byte)).count() as u32;
        let shared = share(characters, edges);
        let Self { reached, found, .. } = self;
        found.clear();
        let (mut at, mut begin) = (0, 0);
        while at < word.len() {
            // If the search ended within the characters that are the same, it would find nothing new.
            let is_known =
                begin < characters && reached.get(begin as usize).is_some_and(|&reached| (reached as usize) < same);
            if !is_known {
                let mut has_one = begin < characters;
                let more = model.each(&word[at..], |length, piece, score| {
                    has_one |= length == 1;
                    if begin + length > characters {
                        found.push(Edge { begin, end: begin + length, piece, score });
                    }
                });
                if !has_one {
                    found.push(Edge { begin, end: begin + 1, piece: UNKNOWN, score: model.unknown_score() });
                }
                if reached.len() <= begin as usize {
                    reached.resize(begin as usize + 1, 0);
                }
                reached[begin as usize] = (at + more) as u32;
            }
            at += char_length(word[at]).min(word.len() - at);
            begin += 1;
        }
        self.sort(characters, begin, edges);
        (shared, begin)
    }

    /// Appends the edges that were found, sorted by their ends, to `edges`. They end after so many characters of a word of
    /// this length.
    fn sort(&mut self, characters: u32, length: u32, edges: &mut Vec<Edge>) {
        let Self { found, by_end, .. } = self;
        by_end.clear();
        by_end.resize((length - characters + 1) as usize, 0);
        for edge in &*found {
            by_end[(edge.end - characters) as usize] += 1;
        }
        // Where the edges of the next end begin.
        let mut next = edges.len() as u32;
        for count in by_end.iter_mut() {
            next += std::mem::replace(count, next);
        }
        edges.resize(next as usize, Edge::default());
        for edge in found {
            let place = &mut by_end[(edge.end - characters) as usize];
            edges[*place as usize] = *edge;
            *place += 1;
        }
    }
}
