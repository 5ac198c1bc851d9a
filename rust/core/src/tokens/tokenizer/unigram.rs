//! Finds the best segmentation under a unigram model, in `SentencePiece`'s own order of operations
//! (`unigram::Model::EncodeOptimized`), so that ties are resolved in the same way.

use super::normalizer::{SPACE_SYMBOL, char_length};
use super::proto::{ModelProto, PieceType};
use super::trie::{Cursor, Trie};

/// Replaces a piece's place in the trie for an unknown character.
const UNKNOWN: u32 = u32::MAX;

/// Sums beyond this are reset to 0 (`kScoreResetThreshold`).
const RESET_SCORE: f32 = 100_000.0;

/// From this score on, a text counts as deep: with 90,000 before it, some path through it may come near
/// [`RESET_SCORE`].
const DEEP_SCORE: f32 = 9_500.0;

/// The longest text, in bytes, that [`Unigram::segment_short`] takes.
const SHORT_TEXT: usize = 96;

/// Pieces and scores.
#[derive(Debug)]
pub struct Unigram {
    trie: Trie,
    /// Scores by id; 0 for pieces that text never produces.
    scores: Vec<f32>,
    unknown_score: f32,
    unknown: u32,
    /// The place in the trie after `▁`, with which most words begin.
    after_space: Option<Cursor>,
    keeps_words: bool,
    /// The length of the longest piece in bytes.
    longest_piece: usize,
    /// Texts of up to so many bytes are never deep.
    longest_shallow: usize,
    /// For each byte, a bit for each byte that follows it in a piece.
    follows: Box<[[u64; 4]; 256]>,
}

/// One piece of a segmentation: a range of bytes of the normalized text, and its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// Byte after the last.
    pub end: u32,
    /// The id of the piece; the unknown id for a single unknown character.
    pub id: u32,
}

/// The best path that ends at a byte.
#[derive(Debug, Clone, Copy)]
struct Node {
    score: f32,
    /// The lead of the best path over the second best.
    gap: f32,
    start: u32,
    /// The piece's place in the trie, or [`UNKNOWN`].
    piece: u32,
}

const UNREACHED: Node = Node { score: f32::NEG_INFINITY, gap: f32::INFINITY, start: u32::MAX, piece: UNKNOWN };

/// Working memory of [`Unigram::segment`].
#[derive(Debug, Default)]
pub struct Lattice {
    nodes: Vec<Node>,
}

/// The score of a segmentation, and how safe it is.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// The score of the text up to its end, in float32 as `SentencePiece` sums it.
    pub score: f32,
    /// The smallest lead of the best path over the second-best one, among all places on the best path. Infinite without
    /// rivals.
    pub gap: f32,
    /// Whether some path through the text, not only the best, has a sum of more than [`DEEP_SCORE`], including the
    /// score before it.
    pub deep: bool,
}

impl Unigram {
    /// Creates the segmenter of a model. `unknown` is the id of its unknown piece.
    pub fn new(model: &ModelProto, unknown: u32) -> Result<Self, String> {
        let mut keys = Vec::with_capacity(model.pieces.len());
        let mut min_score = f32::MAX;
        for (id, piece) in model.pieces.iter().enumerate() {
            match piece.r#type() {
                PieceType::Normal => {
                    min_score = min_score.min(piece.score());
                    keys.push((piece.piece().as_bytes(), id as u32, piece.score()));
                }
                PieceType::UserDefined => {
                    let score = 0.1 * (piece.piece().len().max(1) - 1) as f64;
                    keys.push((piece.piece().as_bytes(), id as u32, score as f32));
                }
                PieceType::Unknown | PieceType::Control | PieceType::Unused | PieceType::Byte => {}
            }
        }
        if keys.is_empty() {
            return Err("the model has no pieces of text".into());
        }
        let keeps_words =
            !keys.iter().any(|(key, ..)| key.windows(SPACE_SYMBOL.len()).skip(1).any(|window| window == SPACE_SYMBOL));
        let trie = Trie::build(&keys)?;
        let mut follows = Box::new([[0; 4]; 256]);
        for (key, ..) in &keys {
            for pair in key.windows(2) {
                follows[usize::from(pair[0])][usize::from(pair[1] / 64)] |= 1 << (pair[1] % 64);
            }
        }
        let unknown_score = min_score - 10.0;
        let largest = keys.iter().fold(unknown_score.abs(), |largest, &(.., score)| largest.max(score.abs()));
        let mut scores = vec![0.0; model.pieces.len()];
        for &(_, id, score) in &keys {
            scores[id as usize] = score;
        }
        let mut cursor = trie.root();
        let after_space = SPACE_SYMBOL.iter().all(|&byte| trie.step(&mut cursor, byte)).then_some(cursor);
        Ok(Self {
            after_space,
            keeps_words,
            longest_piece: keys.iter().map(|(key, ..)| key.len()).max().unwrap_or_default().max(4),
            longest_shallow: SHORT_TEXT.min((DEEP_SCORE / largest.max(1.0)) as usize),
            follows,
            trie,
            scores,
            unknown_score,
            unknown,
        })
    }

    /// Returns the score of the piece `id`. It is meaningless for the unknown id.
    #[inline]
    pub fn score(&self, id: u32) -> f32 {
        self.scores[id as usize]
    }

    /// Whether no piece has a `▁` except at its start, so that the best segmentation of a text consists of those of its
    /// words.
    pub fn keeps_words(&self) -> bool {
        self.keeps_words
    }

    /// Whether [`Unigram::segment_short`] takes a text of so many bytes.
    #[inline]
    pub fn is_short(&self, length: usize) -> bool {
        length <= self.longest_shallow
    }

    /// Whether every segmentation of a text with these two neighboring bytes has a boundary between them, because no
    /// piece contains both, and they belong to two characters.
    #[inline]
    pub fn always_splits(&self, before: u8, after: u8) -> bool {
        after & 0xC0 != 0x80 && self.follows[usize::from(before)][usize::from(after / 64)] >> (after % 64) & 1 == 0
    }

    /// Does what [`Unigram::segment`] does with the score 0, for a text that [`Unigram::is_short`] accepts. Its sums need
    /// no check, because none can be deep.
    pub fn segment_short(&self, text: &[u8], base: u32, lattice: &mut Lattice, spans: &mut Vec<Span>) -> Outcome {
        let nodes = &mut lattice.nodes;
        nodes.clear();
        nodes.resize(text.len() + 1, UNREACHED);
        let nodes = &mut nodes[..];
        nodes[0].score = 0.0;
        let mut start = 0;
        while start < text.len() {
            let till_here = nodes[start].score;
            let length = char_length(text[start]).min(text.len() - start);
            let mut cursor = self.trie.root();
            let mut known = false;
            for (end, &byte) in (start + 1..).zip(&text[start..]) {
                if !self.trie.step(&mut cursor, byte) {
                    break;
                }
                if cursor.has_value() {
                    let candidate = self.trie.weight_at(cursor.position()) + till_here;
                    offer(&mut nodes[end], candidate, start, cursor.position());
                    known |= end == start + length;
                }
            }
            if !known {
                offer(&mut nodes[start + length], self.unknown_score + till_here, start, UNKNOWN);
            }
            start += length;
        }
        self.trace(nodes, base, spans, false)
    }

    /// Appends the best segmentation of `text` to `spans`, with `base` added to the positions. The score before the
    /// text is `score`.
    ///
    /// Everything is float32, as in `SentencePiece` 0.2.3: sums, comparisons, a user-defined symbol's 0.1 for each byte
    /// except the first, and the subtraction that keeps the sums of long texts small. (Versions before 0.2.2 compared
    /// sums in float64 and gave user-defined symbols another score, so exact ties can resolve differently there.)
    pub fn segment(&self, text: &[u8], score: f32, base: u32, lattice: &mut Lattice, spans: &mut Vec<Span>) -> Outcome {
        let nodes = &mut lattice.nodes;
        nodes.clear();
        nodes.resize(text.len() + 1, UNREACHED);
        nodes[0].score = score;
        let mut deep = false;
        let mut start = 0;
        while start < text.len() {
            if nodes[start].score.abs() > DEEP_SCORE {
                deep = true;
                if nodes[start].score.abs() > RESET_SCORE {
                    let frontier = text.len().min(start + self.longest_piece);
                    reset(&mut nodes[start..=frontier]);
                }
            }
            let till_here = nodes[start].score;
            let length = char_length(text[start]).min(text.len() - start);
            let mut known = false;
            let mut cursor = self.trie.root();
            let mut skip = 0;
            if let Some(after_space) = self.after_space
                && text[start..].starts_with(SPACE_SYMBOL)
            {
                cursor = after_space;
                skip = SPACE_SYMBOL.len();
                if cursor.has_value() {
                    offer(
                        &mut nodes[start + skip],
                        self.trie.weight_at(cursor.position()) + till_here,
                        start,
                        cursor.position(),
                    );
                    known = true;
                }
            }
            let mut end = start + skip;
            while end < text.len() && self.trie.step(&mut cursor, text[end]) {
                end += 1;
                if cursor.has_value() {
                    offer(
                        &mut nodes[end],
                        self.trie.weight_at(cursor.position()) + till_here,
                        start,
                        cursor.position(),
                    );
                    known |= end == start + length;
                }
            }
            if !known {
                offer(&mut nodes[start + length], self.unknown_score + till_here, start, UNKNOWN);
            }
            start += length;
        }
        self.trace(nodes, base, spans, deep)
    }

    /// Appends the path that ends at the last node.
    #[inline]
    fn trace(&self, nodes: &[Node], base: u32, spans: &mut Vec<Span>, deep: bool) -> Outcome {
        let first = spans.len();
        let mut gap = f32::INFINITY;
        let mut end = nodes.len() - 1;
        while end > 0 {
            let node = nodes[end];
            gap = gap.min(node.gap);
            let id = if node.piece == UNKNOWN { self.unknown } else { self.trie.value_at(node.piece) };
            spans.push(Span { start: base + node.start, end: base + end as u32, id });
            end = node.start as usize;
        }
        spans[first..].reverse();
        Outcome { score: nodes[nodes.len() - 1].score, gap, deep }
    }
}

/// Subtracts the score of the first node from all nodes that are reached.
#[cold]
fn reset(nodes: &mut [Node]) {
    let offset = nodes[0].score;
    nodes[0].score = 0.0;
    for node in nodes[1..].iter_mut().filter(|node| node.start != u32::MAX) {
        node.score -= offset;
    }
}

#[inline]
fn offer(node: &mut Node, candidate: f32, start: usize, piece: u32) {
    // For a node that was not reached, the score is negative infinity, so the lead is infinite.
    let lead = candidate - node.score;
    if lead > 0.0 {
        *node = Node { score: candidate, gap: lead, start: start as u32, piece };
    } else {
        node.gap = node.gap.min(-lead);
    }
}

#[cfg(test)]
mod tests {
    use super::super::proto::Piece;
    use super::*;
    use proptest::prelude::*;

    fn model(pieces: &[(String, f32)]) -> Unigram {
        let pieces = pieces.iter().map(|(piece, score)| Piece {
            piece: Some(piece.clone()),
            score: Some(*score),
            ..Piece::default()
        });
        Unigram::new(&ModelProto { pieces: pieces.collect(), ..ModelProto::default() }, 1000).unwrap()
    }

    proptest! {
        #[test]
        fn a_short_text_is_segmented_as_any(
            pieces in prop::collection::btree_map("[abé,]{1,4}|▁[ab]{0,3}", -9.0..0f32, 1..30),
            text in "▁?[abcé,]{1,30}",
        ) {
            let model = model(&pieces.into_iter().collect::<Vec<_>>());
            let text = text.as_bytes();
            prop_assert!(model.is_short(text.len()));
            let (mut spans, mut others, mut lattice) = (Vec::new(), Vec::new(), Lattice::default());
            let outcome = model.segment(text, 0.0, 7, &mut lattice, &mut spans);
            let other = model.segment_short(text, 7, &mut lattice, &mut others);
            prop_assert_eq!(&spans, &others);
            prop_assert_eq!((outcome.score, outcome.gap, outcome.deep), (other.score, other.gap, other.deep));
            let splits = (1..text.len()).filter(|&at| model.always_splits(text[at - 1], text[at]));
            for at in splits {
                prop_assert!(spans.iter().any(|span| span.start as usize == 7 + at), "{} is no boundary", at);
            }
        }
    }
}
