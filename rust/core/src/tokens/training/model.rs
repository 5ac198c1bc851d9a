//! The pieces of a step of training, and how they segment a word.

use rayon::prelude::*;

use super::candidates::{Scored, is_start};
use super::interner::Strings;
use super::lattice::Edge;
use crate::tokens::tokenizer::normalizer::char_length;
use crate::tokens::tokenizer::trie::Trie;
use crate::{Error, Result};

/// The pieces of a step of training.
#[derive(Debug)]
pub(super) struct Model {
    /// All seeds.
    pub strings: Strings,
    /// The seeds by their bytes.
    trie: Trie,
    /// The seed that each piece is.
    pub seeds: Vec<u32>,
    /// Log probabilities by piece.
    pub scores: Vec<f32>,
    /// The seeds' positions in `trie`.
    positions: Vec<u32>,
    /// The piece at each position of `trie`, and its score.
    pieces: Vec<Change>,
    lowest: f32,
    /// What became of the pieces since the text was last read, and of the unknown character after them.
    changes: Vec<Change>,
    lost_characters: bool,
}

/// The number that a piece has now, or [`GONE`], and its score.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change {
    pub piece: u32,
    pub score: f32,
}

/// A piece that was removed.
pub(super) const GONE: u32 = u32::MAX;

impl Change {
    const GONE: Self = Self { piece: GONE, score: 0.0 };
}

impl Model {
    pub fn new(seeds: Scored) -> Result<Self> {
        let broken = |reason: String| Error::Internal(format!("the pieces of the text: {reason}"));
        let Scored { pieces: strings, scores } = seeds;
        let mut keys: Vec<(&[u8], u32)> = strings.iter().zip(0..).collect();
        keys.par_sort_unstable();
        let trie = Trie::of_sorted(&keys).map_err(broken)?;
        let count = strings.len() as u32;
        let mut positions = vec![0; strings.len()];
        for (key, seed) in keys {
            let place = trie.find(key).ok_or_else(|| broken("a piece is missing".into()))?;
            positions[seed as usize] = place.position();
        }
        let mut model = Self {
            strings,
            pieces: vec![Change::GONE; trie.positions()],
            trie,
            seeds: Vec::new(),
            scores: Vec::new(),
            positions,
            lowest: 0.0,
            changes: Vec::new(),
            lost_characters: false,
        };
        model.set((0..count).collect(), scores);
        model.forget_changes();
        Ok(model)
    }

    /// How many pieces there are.
    pub fn len(&self) -> usize {
        self.seeds.len()
    }

    /// The bytes of a piece.
    pub fn piece(&self, piece: usize) -> &[u8] {
        self.strings.get(self.seeds[piece])
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

    /// Appends the edges of a word or piece to `edges`, beginning at `base`, and returns its length in characters. Calls
    /// `visit` for each with the number of its piece, its length, and whether it is the first at its place. An unknown
    /// character has the number after all pieces. `SentencePiece`'s trainer counts it as its first piece.
    pub fn segment(&self, word: &[u8], edges: &mut Vec<Edge>, base: u32, mut visit: impl FnMut(u32, u32, bool)) -> u32 {
        let (mut at, mut begin) = (0, base);
        while at < word.len() {
            let (mut cursor, mut length) = (self.trie.root(), 0);
            let (mut has_one, mut is_first) = (false, true);
            for &byte in &word[at..] {
                let Some(next) = self.trie.next(cursor, byte) else { break };
                cursor = next;
                length += u32::from(is_start(byte));
                if !cursor.has_value() {
                    continue;
                }
                let Change { piece, score } = self.pieces[cursor.position() as usize];
                if piece != GONE {
                    has_one |= length == 1;
                    edges.push(Edge { begin, end: begin + length, piece, score });
                    visit(piece, length, is_first);
                    is_first = false;
                }
            }
            if !has_one {
                edges.push(Edge { begin, end: begin + 1, piece: 0, score: self.unknown_score() });
                visit(self.len() as u32, 1, is_first);
            }
            at += char_length(word[at]).min(word.len() - at);
            begin += 1;
        }
        begin - base
    }

    /// What became of the pieces since [`Model::forget_changes`].
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Whether pieces of one character were removed since then.
    pub fn lost_characters(&self) -> bool {
        self.lost_characters
    }

    /// Begins to note changes.
    pub fn forget_changes(&mut self) {
        self.changes.clear();
        self.changes.extend(self.scores.iter().zip(0..).map(|(&score, piece)| Change { piece, score }));
        self.changes.push(Change { piece: self.len() as u32, score: self.unknown_score() });
        self.lost_characters = false;
    }

    /// Replaces the pieces by others of the seeds.
    pub fn set(&mut self, seeds: Vec<u32>, scores: Vec<f32>) {
        let old = std::mem::replace(&mut self.seeds, seeds);
        for &seed in &old {
            self.pieces[self.positions[seed as usize] as usize] = Change::GONE;
        }
        for ((&seed, &score), piece) in self.seeds.iter().zip(&scores).zip(0..) {
            self.pieces[self.positions[seed as usize] as usize] = Change { piece, score };
        }
        self.lowest = scores.iter().copied().fold(f32::MAX, f32::min);
        self.scores = scores;
        let unknown = Change { piece: self.len() as u32, score: self.unknown_score() };
        for change in self.changes.iter_mut().filter(|change| change.piece != GONE) {
            let Some(&seed) = old.get(change.piece as usize) else {
                *change = unknown;
                continue;
            };
            *change = self.pieces[self.positions[seed as usize] as usize];
            if change.piece == GONE && is_character(self.strings.get(seed)) {
                self.lost_characters = true;
                *change = unknown;
            }
        }
    }

    /// Keeps these pieces, in this order.
    pub fn keep(&mut self, pieces: &[u32]) {
        let seeds = pieces.iter().map(|&piece| self.seeds[piece as usize]).collect();
        let scores = pieces.iter().map(|&piece| self.scores[piece as usize]).collect();
        self.set(seeds, scores);
    }
}

fn is_character(piece: &[u8]) -> bool {
    char_length(piece[0]) >= piece.len()
}
