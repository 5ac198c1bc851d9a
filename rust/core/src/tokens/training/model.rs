//! The pieces of a step of training, and how they segment a word.

use super::candidates::Scored;
use super::interner::Strings;
use super::lattice::{Edge, Lattice};
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
    /// The piece that each seed is, or [`GONE`].
    pieces: Vec<u32>,
    lowest: f32,
    /// What became of the pieces since the text was last read.
    changes: Vec<Change>,
}

/// The number that a piece has now, or [`GONE`], and its score.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change {
    pub piece: u32,
    pub score: f32,
}

/// A piece that was removed.
pub(super) const GONE: u32 = u32::MAX;

impl Model {
    pub fn new(seeds: Scored) -> Result<Self> {
        let broken = |reason: String| Error::Internal(format!("the pieces of the text: {reason}"));
        let Scored { pieces: strings, scores } = seeds;
        let keys: Vec<(&[u8], u32, f32)> =
            strings.iter().zip(0..).map(|(piece, number)| (piece, number, 0.0)).collect();
        let trie = Trie::build(&keys).map_err(broken)?;
        let count = strings.len() as u32;
        let mut model = Self {
            strings,
            trie,
            seeds: Vec::new(),
            scores: Vec::new(),
            pieces: Vec::new(),
            lowest: 0.0,
            changes: Vec::new(),
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

    /// Takes the pieces of a word or piece into `lattice`. Returns their numbers and lengths to `visit`, by character.
    pub fn segment(&self, word: &[u8], lattice: &mut Lattice, mut visit: impl FnMut(Found)) {
        lattice.clear();
        let mut begin = 0;
        while begin < word.len() {
            let one = char_length(word[begin]).min(word.len() - begin);
            lattice.begin(one as u32);
            visit(Found::Character(one));
            let mut has_one = false;
            self.pieces_at(&word[begin..], |length, piece, score| {
                has_one |= length == one;
                lattice.push(Edge { begin: begin as u32, end: (begin + length) as u32, piece, score });
                visit(Found::Piece(length, piece));
            });
            if !has_one {
                lattice.push(self.unknown_edge(begin as u32, one as u32));
            }
            begin += one;
        }
    }

    /// The edge of a character without a piece. `SentencePiece`'s trainer counts it as its first piece.
    pub fn unknown_edge(&self, begin: u32, length: u32) -> Edge {
        Edge { begin, end: begin + length, piece: 0, score: self.unknown_score() }
    }

    /// What became of the pieces since [`Model::forget_changes`].
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Begins to note changes.
    pub fn forget_changes(&mut self) {
        self.changes.clear();
        self.changes.extend(self.scores.iter().zip(0..).map(|(&score, piece)| Change { piece, score }));
    }

    /// Replaces the pieces by others of the seeds.
    pub fn set(&mut self, seeds: Vec<u32>, scores: Vec<f32>) {
        let old = std::mem::take(&mut self.seeds);
        self.pieces.clear();
        self.pieces.resize(self.strings.len(), GONE);
        for (&seed, number) in seeds.iter().zip(0..) {
            self.pieces[seed as usize] = number;
        }
        for change in &mut self.changes {
            if change.piece != GONE {
                change.piece = self.pieces[old[change.piece as usize] as usize];
                change.score = scores.get(change.piece as usize).copied().unwrap_or(0.0);
            }
        }
        self.lowest = scores.iter().copied().fold(f32::MAX, f32::min);
        (self.seeds, self.scores) = (seeds, scores);
    }

    /// Keeps these pieces, in this order.
    pub fn keep(&mut self, pieces: &[u32]) {
        let seeds = pieces.iter().map(|&piece| self.seeds[piece as usize]).collect();
        let scores = pieces.iter().map(|&piece| self.scores[piece as usize]).collect();
        self.set(seeds, scores);
    }
}

/// A piece of a word, or where one of its characters begins.
pub(super) enum Found {
    /// The length of the character in bytes.
    Character(usize),
    /// The length of the piece in bytes, and its number.
    Piece(usize, u32),
}
