//! The pieces in the words of a partition. They are found once. Later passes only renumber and remove them.
//!
//! Words that occur equally often are sorted, so a word often begins like the one before it in its partition. The edges
//! within the characters that both have are not found, kept or renumbered again.

use super::lattice::{Edge, UNKNOWN, Word};
use super::lines::Counted;
use super::model::{Change, GONE, Model};
use super::search::{Searcher, share};

/// How many numbers are kept in memory, of four bytes each, in all partitions together. Other words are searched each
/// time. For 10 million lines, 40 million numbers took a third more CPU time and 230 MB less.
const MOST: usize = 96 << 20;

/// How an edge is packed into 32 bits: the piece's number, its length in characters, and whether it is the first that
/// ends at its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    length_bits: u32,
    /// How many numbers a partition may keep.
    most: usize,
}

/// The pieces in the first words of a partition.
#[derive(Debug, Default)]
pub(super) struct Matches {
    /// For each word the number of its own edges, its count as float32 bits, the number of characters that it shares with
    /// the word before, and its own edges.
    packed: Vec<u32>,
    /// How many words `packed` has.
    words: usize,
}

/// The numbers before the edges of a word.
const HEADER: usize = 3;

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
    /// The first end of an edge of an unknown character in the last word, or [`UNKNOWN`].
    unknown_end: u32,
    searcher: Searcher,
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
        Self {
            matches,
            words,
            model,
            layout,
            next: partition,
            partitions,
            read: 0,
            known,
            from: 0,
            to: 0,
            keeps: true,
            unknown_end: UNKNOWN,
            searcher: Searcher::default(),
        }
    }

    /// Makes the edges of the next word from those of the word before. Returns nothing if no word is left.
    #[inline]
    pub fn next(&mut self, edges: &mut Vec<Edge>) -> Option<Word> {
        if self.next >= self.words.len() {
            if self.read == self.known {
                self.matches.packed.truncate(self.to);
            }
            return None;
        }
        let word = if self.read < self.known { self.update(edges) } else { self.search(edges) };
        self.next += self.partitions;
        self.read += 1;
        Some(word)
    }

    /// Reads the edges of a word, and writes them again with the pieces that are left and their numbers.
    #[inline]
    fn update(&mut self, edges: &mut Vec<Edge>) -> Word {
        let [count, times, shared] = [0, 1, 2].map(|place| self.matches.packed[self.from + place]);
        let shared = share(shared, edges);
        let Self { matches: Matches { packed, .. }, model, layout, from, to, unknown_end, .. } = self;
        *unknown_end = if *unknown_end > shared.length { UNKNOWN } else { *unknown_end };
        let changes = model.changes();
        let (first, head) = (*from + HEADER, *to);
        let start = edges.len();
        edges.resize(start + count as usize, Edge::default());
        let out = &mut edges[start..];
        let unknown = model.len() as u32;
        let (mut end, mut kept, mut is_first) = (shared.length, 0, 0);
        // No branch depends on which pieces are left.
        for at in first..first + count as usize {
            let old = packed[at];
            let Change { piece, score } = changes[(old >> (layout.length_bits + 1)) as usize];
            let length = old >> 1 & ((1 << layout.length_bits) - 1);
            let keeps = u32::from(piece != GONE);
            is_first |= old & 1;
            end += is_first & keeps;
            packed[head + HEADER + kept] = layout.pack(piece, length, is_first);
            let is_unknown = piece == unknown;
            *unknown_end = (*unknown_end).min(if is_unknown { end } else { UNKNOWN });
            let of = if is_unknown { UNKNOWN } else { piece };
            out[kept] = Edge { begin: end.wrapping_sub(length), end, piece: of, score };
            kept += keeps as usize;
            is_first &= keeps ^ 1;
        }
        edges.truncate(start + kept);
        packed[head..head + HEADER].copy_from_slice(&[kept as u32, times, shared.length]);
        *from = first + count as usize;
        *to = head + HEADER + kept;
        self.searcher.forget();
        Word { count: f32::from_bits(times), length: end, shared, has_unknown: self.unknown_end != UNKNOWN }
    }

    /// Finds the pieces of a word.
    fn search(&mut self, edges: &mut Vec<Edge>) -> Word {
        let Self { matches: Matches { packed, words: kept }, model, layout, to, unknown_end, .. } = self;
        let (word, count) = self.words.get(self.next);
        let count = count as f32;
        let before = if self.read > 0 { self.words.get(self.next - self.partitions).0 } else { &[] };
        let (shared, length) = self.searcher.search(word, before, model, edges);
        *unknown_end = if *unknown_end > shared.length { UNKNOWN } else { *unknown_end };
        if self.read == self.known {
            packed.truncate(*to);
        }
        let (head, start) = (packed.len(), shared.edges as usize);
        packed.extend([0, count.to_bits(), shared.length]);
        let unknown = model.len() as u32;
        let mut end = shared.length;
        for edge in &mut edges[start..] {
            let is_first = u32::from(edge.end > end);
            end = edge.end;
            let piece = if edge.piece == UNKNOWN { unknown } else { edge.piece };
            packed.push(layout.pack(piece, end - edge.begin, is_first));
            if piece == unknown {
                *unknown_end = (*unknown_end).min(end);
            }
        }
        self.keeps &= packed.len() <= layout.most;
        if self.keeps {
            packed[head] = (edges.len() - start) as u32;
            *kept += 1;
        } else {
            packed.truncate(head);
        }
        Word { count, length, shared, has_unknown: *unknown_end != UNKNOWN }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::training::candidates::Scored;
    use crate::tokens::training::lattice::Lattice;
    use crate::tokens::training::lattices::Lattices;
    use crate::tokens::training::lines;
    use crate::tokens::training::softplus::TABLE;
    use proptest::prelude::*;

    /// All words of a pass: their edges and lengths.
    fn edges(matches: &mut Matches, words: &Counted, model: &Model, layout: Layout) -> Vec<(Vec<Edge>, Word)> {
        let mut pass = Pass::new(matches, words, model, layout, (0, 1));
        let (mut all, mut edges) = (Vec::new(), Vec::new());
        while let Some(word) = pass.next(&mut edges) {
            all.push((edges.clone(), word));
        }
        all
    }

    /// The edges of a word as `SentencePiece` finds them.
    fn segmented(word: &[u8], model: &Model) -> Vec<Edge> {
        let mut edges = Vec::new();
        model.segment(word, &mut edges);
        edges
    }

    /// What [`Lattices::add_expected`] adds, edge by edge as `SentencePiece` does.
    fn expect(edges: &[Edge], count: f32, expected: &mut [f32]) {
        let places = edges.last().unwrap().end as usize + 1;
        let (mut forward, mut backward) = (vec![f32::NEG_INFINITY; places], vec![f32::NEG_INFINITY; places]);
        (forward[0], backward[places - 1]) = (0.0, 0.0);
        for edge in edges {
            let sum = edge.score + forward[edge.begin as usize];
            forward[edge.end as usize] = TABLE.log_sum(forward[edge.end as usize], sum);
        }
        for place in (0..places as u32).rev() {
            for edge in edges.iter().filter(|edge| edge.begin == place) {
                let sum = edge.score + backward[edge.end as usize];
                backward[place as usize] = TABLE.log_sum(backward[place as usize], sum);
            }
        }
        for edge in edges {
            let log = forward[edge.begin as usize] + edge.score + backward[edge.end as usize] - forward[places - 1];
            let expected = &mut expected[edge.piece as usize];
            *expected = TABLE.add_exp(*expected, f64::from(count), log);
        }
    }

    /// What the best segmentation adds.
    fn count_best(edges: &[Edge], count: f32, sums: &mut [f32]) {
        let mut lattice = Lattice::default();
        lattice.fill(|it| {
            it.extend_from_slice(edges);
            edges.last().unwrap().end
        });
        let best = lattice.find_best();
        lattice.pieces_to(best.last, |piece| sums[piece as usize] += count);
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
                let (mut expected, mut occurs) = (vec![0.0; model.len()], vec![0.0; model.len()]);
                for (place, (edges, word)) in kept.into_iter().enumerate() {
                    let all = segmented(words.get(place).0, &model);
                    expect(&all, word.count, &mut expected);
                    count_best(&all, word.count, &mut occurs);
                    let sorted = |edges: &[Edge]| {
                        let mut edges: Vec<_> = edges.iter().map(|it| (it.end, it.begin, it.score.to_bits())).collect();
                        edges.sort_unstable();
                        edges
                    };
                    prop_assert_eq!(sorted(&edges), sorted(&all));
                    prop_assert!(edges.is_sorted_by_key(|edge| (edge.end, edge.begin)));
                    prop_assert_eq!(word.has_unknown, edges.iter().any(|edge| edge.piece == UNKNOWN));
                }
                let (mut sums, mut best) = (vec![0.0; model.len()], vec![0.0; model.len()]);
                let mut lattices = Lattices::default();
                let mut pass = Pass::new(&mut matches, &words, &model, layout, (0, 1));
                while lattices.fill(|edges| pass.next(edges)) > 0 {
                    lattices.add_expected(&mut sums, &TABLE);
                }
                prop_assert_eq!(sums, expected);
                let mut lattice = Lattice::default();
                let mut pass = Pass::new(&mut matches, &words, &model, layout, (0, 1));
                while let Some((count, last)) = lattice.next_best(|edges| pass.next(edges)) {
                    lattice.pieces_to(last, |piece| best[if piece == UNKNOWN { 0 } else { piece as usize }] += count);
                }
                prop_assert_eq!(best, occurs);
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
