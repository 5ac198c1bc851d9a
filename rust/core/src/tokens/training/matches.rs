//! The pieces in the words of a partition. They are found once. Later steps only renumber and remove them.

use super::lattice::{Edge, Lattice};
use super::model::{Found, GONE, Model};

/// How many matches are kept in memory, of four bytes each, in all partitions together. Other words are searched each
/// time. For 10 million lines, 40 million matches took a third more CPU time and 230 MB less.
const MOST: usize = 96 << 20;

/// How a match is packed into 32 bits: the piece's number above its length.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    length_bits: u32,
    /// How many numbers a partition may keep.
    most: usize,
}

/// The pieces in the first words of a partition.
#[derive(Debug, Default)]
pub(super) struct Matches {
    /// For each character its number of pieces and, in the last three bits, its length; then the pieces.
    packed: Vec<u32>,
    /// How many words `packed` has.
    words: usize,
    lattice: Lattice,
}

impl Layout {
    pub fn new(longest: usize, pieces: usize, partitions: usize) -> Self {
        let length_bits = usize::BITS - longest.leading_zeros();
        let fits = pieces.leading_zeros() > usize::BITS - u32::BITS + length_bits;
        Self { length_bits, most: if fits { MOST / partitions } else { 0 } }
    }

    fn pack(self, piece: u32, length: u32) -> u32 {
        piece << self.length_bits | length
    }

    fn unpack(self, packed: u32) -> (u32, u32) {
        (packed >> self.length_bits, packed & ((1 << self.length_bits) - 1))
    }
}

impl Matches {
    /// Calls `visit` with the lattice and the count of each word.
    pub fn each<'a>(
        &mut self,
        words: impl Iterator<Item = (&'a [u8], u64)>,
        model: &Model,
        layout: Layout,
        mut visit: impl FnMut(&mut Lattice, u64),
    ) {
        let mut words = words;
        let (mut from, mut to) = (0, 0);
        for (word, count) in words.by_ref().take(self.words) {
            self.update(word.len() as u32, model, layout, &mut from, &mut to);
            visit(&mut self.lattice, count);
        }
        self.packed.truncate(to);
        let Self { packed, lattice, words: kept } = self;
        let mut keeps = true;
        for (word, count) in words {
            let start = packed.len();
            let mut head = start;
            model.segment(word, lattice, |found| match found {
                _ if !keeps => {}
                Found::Character(length) => {
                    head = packed.len();
                    packed.push(length as u32);
                }
                Found::Piece(length, piece) => {
                    packed[head] += 1 << 3;
                    packed.push(layout.pack(piece, length as u32));
                }
            });
            keeps &= packed.len() <= layout.most;
            if keeps {
                *kept += 1;
            } else {
                packed.truncate(start);
            }
            visit(lattice, count);
        }
    }

    /// Reads the next word, and writes it again with the pieces that are left and their numbers.
    #[inline]
    fn update(&mut self, length: u32, model: &Model, layout: Layout, from: &mut usize, to: &mut usize) {
        let Self { packed, lattice, .. } = self;
        let changes = model.changes();
        lattice.clear();
        let mut begin = 0;
        while begin < length {
            let head = packed[*from];
            let (one, count) = (head & 7, (head >> 3) as usize);
            let head_at = *to;
            let first = *from + 1;
            *from = first + count;
            *to += 1;
            lattice.begin(one);
            let mut has_one = false;
            for at in first..first + count {
                let (old, bytes) = layout.unpack(packed[at]);
                let change = changes[old as usize];
                if change.piece != GONE {
                    has_one |= bytes == one;
                    packed[*to] = layout.pack(change.piece, bytes);
                    *to += 1;
                    lattice.push(Edge { begin, end: begin + bytes, piece: change.piece, score: change.score });
                }
            }
            packed[head_at] = ((*to - head_at - 1) as u32) << 3 | one;
            if !has_one {
                lattice.push(model.unknown_edge(begin, one));
            }
            begin += one;
        }
    }
}
