//! The pieces in the words of a partition. They are found once. Later passes only renumber and remove them.

use super::lattice::{Edge, Word};
use super::lines::Counted;
use super::model::{Change, GONE, Model};

/// How many numbers are kept in memory, of four bytes each, in all partitions together. Other words are searched each
/// time. For 10 million lines, 40 million numbers took a third more CPU time and 230 MB less.
const MOST: usize = 96 << 20;

/// How an edge is packed into 32 bits: the piece's number, its length in characters, and whether it is the first at its
/// place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    length_bits: u32,
    /// How many numbers a partition may keep.
    most: usize,
}

/// The pieces in the first words of a partition.
#[derive(Debug, Default)]
pub(super) struct Matches {
    /// For each word its number of edges, its count as float32 bits, and the edges.
    packed: Vec<u32>,
    /// How many words `packed` has.
    words: usize,
}

/// The numbers before the edges of a word.
const HEADER: usize = 2;

impl Layout {
    /// The layout for so many partitions and pieces, of which the longest has so many characters.
    pub fn new(longest: usize, pieces: usize, partitions: usize) -> Self {
        let length_bits = usize::BITS - longest.leading_zeros();
        // One number more stands for an unknown character.
        let fits = pieces.leading_zeros() > usize::BITS - u32::BITS + length_bits;
        Self { length_bits, most: if fits { MOST / partitions } else { 0 } }
    }

    #[inline]
    fn pack(self, piece: u32, length: u32, is_first: u32) -> u32 {
        piece << (self.length_bits + 1) | length << 1 | is_first
    }
}

/// Reads the edges of the words of a partition, one word after the other.
pub(super) struct Pass<'a> {
    matches: &'a mut Matches,
    words: &'a Counted,
    model: &'a Model,
    layout: Layout,
    /// The next word, and how far it is from the next but one.
    next: usize,
    partitions: usize,
    /// How many words were read, and how many of them are in `packed`.
    read: usize,
    known: usize,
    /// Where the next word is in `packed`, and where it is moved to.
    from: usize,
    to: usize,
    keeps: bool,
}

impl<'a> Pass<'a> {
    /// Begins a pass over every word whose number modulo `partitions` is `partition`.
    pub fn new(
        matches: &'a mut Matches,
        words: &'a Counted,
        model: &'a Model,
        layout: Layout,
        (partition, partitions): (usize, usize),
    ) -> Self {
        let known = matches.words;
        Self { matches, words, model, layout, next: partition, partitions, read: 0, known, from: 0, to: 0, keeps: true }
    }

    /// Appends the edges of the next word to `edges`. They begin at `base` and after it. Returns nothing if no word is
    /// left.
    #[inline]
    pub fn next(&mut self, edges: &mut Vec<Edge>, base: u32) -> Option<Word> {
        if self.next >= self.words.len() {
            if self.read == self.known {
                self.matches.packed.truncate(self.to);
            }
            return None;
        }
        let word = if self.read < self.known { self.update(edges, base) } else { self.search(edges, base) };
        self.next += self.partitions;
        self.read += 1;
        Some(word)
    }

    /// Reads the edges of a word, and writes them again with the pieces that are left and their numbers.
    #[inline]
    fn update(&mut self, edges: &mut Vec<Edge>, base: u32) -> Word {
        let Self { matches: Matches { packed, .. }, model, layout, from, to, .. } = self;
        let changes = model.changes();
        let (count, times) = (packed[*from] as usize, packed[*from + 1]);
        let first = *from + HEADER;
        let head = *to;
        let start = edges.len();
        edges.resize(start + count, Edge::default());
        let out = &mut edges[start..];
        let unknown = model.len() as u32;
        let (mut place, mut kept, mut is_first) = (base.wrapping_sub(1), 0, 0);
        // No branch depends on which pieces are left.
        for at in first..first + count {
            let old = packed[at];
            let Change { piece, score } = changes[(old >> (layout.length_bits + 1)) as usize];
            let length = old >> 1 & ((1 << layout.length_bits) - 1);
            let keeps = u32::from(piece != GONE);
            is_first |= old & 1;
            place = place.wrapping_add(is_first & keeps);
            packed[head + HEADER + kept] = layout.pack(piece, length, is_first);
            let of = if piece == unknown { 0 } else { piece };
            out[kept] = Edge { begin: place, end: place.wrapping_add(length), piece: of, score };
            kept += keeps as usize;
            is_first &= keeps ^ 1;
        }
        edges.truncate(start + kept);
        (packed[head], packed[head + 1]) = (kept as u32, times);
        *from = first + count;
        *to = head + HEADER + kept;
        if model.lost_characters() {
            put_unknown_last(&mut edges[start..], &mut packed[head + HEADER..*to], unknown, *layout);
        }
        Word { count: f32::from_bits(times), length: place.wrapping_add(1) - base }
    }

    /// Finds the pieces of a word.
    fn search(&mut self, edges: &mut Vec<Edge>, base: u32) -> Word {
        let Self { matches: Matches { packed, words: kept }, words, model, layout, to, .. } = self;
        if self.read == self.known {
            packed.truncate(*to);
        }
        let (word, count) = words.get(self.next);
        let count = count as f32;
        let (head, start) = (packed.len(), edges.len());
        packed.extend([0, count.to_bits()]);
        let length = model.segment(word, edges, base, |piece, length, is_first| {
            packed.push(layout.pack(piece, length, u32::from(is_first)));
        });
        self.keeps &= packed.len() <= layout.most;
        if self.keeps {
            packed[head] = (edges.len() - start) as u32;
            *kept += 1;
        } else {
            packed.truncate(head);
        }
        Word { count, length }
    }
}

/// Moves the edge of an unknown character after the others at its place, if it is the first there.
fn put_unknown_last(edges: &mut [Edge], packed: &mut [u32], unknown: u32, layout: Layout) {
    let mut start = 0;
    while start < edges.len() {
        let place = edges[start].begin;
        let count = edges[start..].iter().take_while(|edge| edge.begin == place).count();
        let (edges, packed) = (&mut edges[start..start + count], &mut packed[start..start + count]);
        if packed[0] >> (layout.length_bits + 1) == unknown {
            packed[0] &= !1;
            edges.rotate_left(1);
            packed.rotate_left(1);
            packed[0] |= 1;
        }
        start += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::training::candidates::Scored;
    use crate::tokens::training::lattices::Lattices;
    use crate::tokens::training::lines;
    use crate::tokens::training::softplus::TABLE;
    use proptest::prelude::*;

    /// All words of a pass: their edges and lengths.
    fn edges(matches: &mut Matches, words: &Counted, model: &Model, layout: Layout) -> Vec<(Vec<Edge>, Word)> {
        let mut pass = Pass::new(matches, words, model, layout, (0, 1));
        let mut all = Vec::new();
        loop {
            let mut edges = Vec::new();
            let Some(word) = pass.next(&mut edges, 7) else { return all };
            all.push((edges, word));
        }
    }

    /// What [`Lattices::add_expected`] adds, edge by edge as `SentencePiece` does.
    fn expect(edges: &[Edge], word: Word, expected: &mut [f32]) {
        let places = 7 + word.length as usize + 1;
        let (mut forward, mut backward) = (vec![f32::NEG_INFINITY; places], vec![f32::NEG_INFINITY; places]);
        (forward[7], backward[places - 1]) = (0.0, 0.0);
        for edge in edges {
            let sum = edge.score + forward[edge.begin as usize];
            forward[edge.end as usize] = TABLE.log_sum(forward[edge.end as usize], sum);
        }
        for place in (7..places as u32).rev() {
            for edge in edges.iter().filter(|edge| edge.begin == place) {
                let sum = edge.score + backward[edge.end as usize];
                backward[place as usize] = TABLE.log_sum(backward[place as usize], sum);
            }
        }
        for edge in edges {
            let log = forward[edge.begin as usize] + edge.score + backward[edge.end as usize] - forward[places - 1];
            let expected = &mut expected[edge.piece as usize];
            *expected = TABLE.add_exp(*expected, f64::from(word.count), log);
        }
    }

    proptest! {
        #[test]
        fn kept_matches_are_those_of_a_search(
            pieces in prop::collection::btree_set("[aé漢]{1,4}", 1..30),
            texts in prop::collection::btree_set("[aé漢z]{1,30}", 1..40),
            removals in prop::collection::vec(any::<u64>(), 1..5),
            most in prop::sample::select(vec![0, 40, 400, 4000]),
        ) {
            let mut scored = Scored::default();
            for (place, piece) in pieces.iter().enumerate() {
                scored.push(piece.as_bytes(), -1.0 - place as f32 / 3.0);
            }
            let count = pieces.len();
            let mut model = Model::new(scored, 5).unwrap();
            let words = lines::tests::counted(texts.iter().map(String::as_str));
            let layout = Layout { most, ..Layout::new(4, count, 1) };
            let mut matches = Matches::default();
            for removal in removals {
                let kept = edges(&mut matches, &words, &model, layout);
                let found = edges(&mut Matches::default(), &words, &model, layout);
                prop_assert_eq!(&kept, &found);
                model.forget_changes();
                let (mut expected, mut sums) = (vec![0.0; model.len()], vec![0.0; model.len()]);
                let mut lattices = Lattices::default();
                let mut pass = Pass::new(&mut matches, &words, &model, layout, (0, 1));
                while lattices.fill(|edges, base| pass.next(edges, base)) > 0 {
                    lattices.add_expected(&mut sums, &TABLE);
                }
                for (edges, word) in kept {
                    expect(&edges, word, &mut expected);
                }
                prop_assert_eq!(sums, expected);
                // Scores and order change too.
                let mut left: Vec<u32> = (0..model.len() as u32).filter(|piece| removal >> (piece % 64) & 1 == 0).collect();
                if left.is_empty() {
                    break;
                }
                left.reverse();
                let seeds = left.iter().map(|&piece| model.seeds[piece as usize]).collect();
                model.set(seeds, left.iter().map(|&piece| model.scores[piece as usize] - 0.25).collect());
            }
        }
    }
}
