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
            trie,
            scores,
            unknown_score: min_score - 10.0,
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
                    offer(&mut nodes[start + skip], cursor.weight() + till_here, start, cursor.position());
                    known = true;
                }
            }
            let mut end = start + skip;
            while end < text.len() && self.trie.step(&mut cursor, text[end]) {
                end += 1;
                if cursor.has_value() {
                    offer(&mut nodes[end], cursor.weight() + till_here, start, cursor.position());
                    known |= end == start + length;
                }
            }
            if !known {
                offer(&mut nodes[start + length], self.unknown_score + till_here, start, UNKNOWN);
            }
            start += length;
        }
        let first = spans.len();
        let mut gap = f32::INFINITY;
        let mut end = text.len();
        while end > 0 {
            let node = nodes[end];
            gap = gap.min(node.gap);
            let id = if node.piece == UNKNOWN { self.unknown } else { self.trie.value_at(node.piece) };
            spans.push(Span { start: base + node.start, end: base + end as u32, id });
            end = node.start as usize;
        }
        spans[first..].reverse();
        Outcome { score: nodes[text.len()].score, gap, deep }
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
