//! The pieces of a step of training, and how they segment a word.

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
    finder: Finder,
    /// The seed that each piece is.
    pub seeds: Vec<u32>,
    /// Log probabilities by piece.
    pub scores: Vec<f32>,
    /// The seeds' positions in `finder`.
    positions: Vec<u32>,
    /// The piece at each position of `finder`, and its score.
    pieces: Vec<Change>,
    lowest: f32,
    /// What became of the pieces since the text was last read, and of the unknown character after them.
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

impl Change {
    const GONE: Self = Self { piece: GONE, score: 0.0 };
}

impl Model {
    /// Begins with all seeds. `threads` threads build what finds them.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn new(seeds: Scored, threads: usize) -> Result<Self> {
        let Scored { pieces: strings, scores } = seeds;
        let (finder, positions) = Finder::new(&strings, threads)?;
        let count = strings.len() as u32;
        let mut model = Self {
            strings,
            pieces: vec![Change::GONE; finder.positions as usize],
            finder,
            seeds: Vec::new(),
            scores: Vec::new(),
            positions,
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

    /// Appends the edges of a piece to `edges`, and returns its length in characters. Like `SentencePiece`'s trainer, it
    /// counts an unknown character as the first piece.
    pub fn segment(&self, word: &[u8], edges: &mut Vec<Edge>) -> u32 {
        let (mut at, mut begin) = (0, 0);
        while at < word.len() {
            let mut has_one = false;
            self.each(&word[at..], |length, piece, score| {
                has_one |= length == 1;
                edges.push(Edge { begin, end: begin + length, piece, score });
            });
            if !has_one {
                edges.push(Edge { begin, end: begin + 1, piece: 0, score: self.unknown_score() });
            }
            at += char_length(word[at]).min(word.len() - at);
            begin += 1;
        }
        begin
    }

    /// Calls `visit` with the length in characters, the number and the score of each piece with which `text` begins, the
    /// shortest first. Returns how many bytes seeds have in common with `text`.
    #[inline]
    pub fn each(&self, text: &[u8], mut visit: impl FnMut(u32, u32, f32)) -> usize {
        self.finder.each(text, |length, position| {
            let Change { piece, score } = self.pieces[position as usize];
            if piece != GONE {
                visit(length, piece, score);
            }
        })
    }

    /// What became of the pieces since [`Model::forget_changes`].
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Begins to note changes.
    pub fn forget_changes(&mut self) {
        self.changes.clear();
        self.changes.extend(self.scores.iter().zip(0..).map(|(&score, piece)| Change { piece, score }));
        self.changes.push(Change { piece: self.len() as u32, score: self.unknown_score() });
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

/// Finds the seeds with which a text begins. Building a trie takes long, so the seeds are divided between several by their
/// first bytes.
#[derive(Debug)]
struct Finder {
    /// Tries, and where the positions of each begin among those of all.
    tries: Vec<(Trie, u32)>,
    /// By the first byte of a seed: its trie.
    by_byte: [u8; 256],
    positions: u32,
}

impl Finder {
    /// Returns also the positions of the seeds.
    fn new(strings: &Strings, threads: usize) -> Result<(Self, Vec<u32>)> {
        let mut counts = [0; 256];
        for string in strings.iter() {
            counts[usize::from(string[0])] += 1;
        }
        let parts = threads.clamp(1, 64);
        let mut by_byte = [0; 256];
        let mut before = 0;
        for (part, count) in by_byte.iter_mut().zip(counts) {
            // No seed begins with bytes after those of the last part.
            *part = (before * parts / strings.len().max(1)).min(parts - 1) as u8;
            before += count;
        }
        let mut keys: Vec<Vec<(&[u8], u32)>> = vec![Vec::new(); parts];
        for (string, seed) in strings.iter().zip(0..) {
            keys[usize::from(by_byte[usize::from(string[0])])].push((string, seed));
        }
        let broken = |reason: String| Error::Internal(format!("the pieces of the text: {reason}"));
        let build = |mut keys: Vec<(&[u8], u32)>| -> Result<(Trie, Vec<(u32, u32)>)> {
            keys.sort_unstable();
            // A unit of zeros is a trie without keys.
            let trie = if keys.is_empty() { Trie::from_bytes(&[0; 4]) } else { Trie::of_sorted(&keys) };
            let trie = trie.map_err(broken)?;
            let place = |&(key, seed): &(&[u8], u32)| trie.find(key).map(|place| (seed, place.position()));
            let places = keys.iter().map(place).collect::<Option<_>>();
            let places = places.ok_or_else(|| broken("one is missing".into()))?;
            Ok((trie, places))
        };
        // The threads of the pool do not belong to this one.
        let built = std::thread::scope(|scope| -> Result<Vec<_>> {
            let start = |keys| std::thread::Builder::new().spawn_scoped(scope, || build(keys));
            let started = keys.into_iter().map(start).collect::<std::io::Result<Vec<_>>>();
            let threads = started.map_err(|error| Error::threads(parts, &error))?;
            let joined = threads.into_iter().map(|it| it.join().unwrap_or_else(|_| Err(broken("a panic".into()))));
            Ok(joined.collect())
        })?;
        let mut finder = Self { tries: Vec::new(), by_byte, positions: 0 };
        let mut positions = vec![0; strings.len()];
        for built in built {
            let (trie, places) = built?;
            for (seed, position) in places {
                positions[seed as usize] = finder.positions + position;
            }
            let first = finder.positions;
            finder.positions += trie.positions() as u32;
            finder.tries.push((trie, first));
        }
        Ok((finder, positions))
    }

    /// Calls `visit` with the length in characters and the position of each seed with which `text` begins, the shortest
    /// first. Returns how many bytes seeds have in common with `text`.
    #[inline]
    fn each(&self, text: &[u8], mut visit: impl FnMut(u32, u32)) -> usize {
        let (trie, base) = &self.tries[usize::from(self.by_byte[usize::from(text[0])])];
        let (mut cursor, mut length) = (trie.root(), 0);
        for (place, &byte) in text.iter().enumerate() {
            let Some(next) = trie.next(cursor, byte) else { return place };
            cursor = next;
            length += u32::from(is_start(byte));
            if cursor.has_value() {
                visit(length, base + cursor.position());
            }
        }
        text.len()
    }
}

fn is_character(piece: &[u8]) -> bool {
    char_length(piece[0]) >= piece.len()
}
