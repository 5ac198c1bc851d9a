//! The working memory of one thread.

use super::cache::WordCache;
use super::unigram::{Lattice, Span};
use super::words::Line;

/// Lines of more bytes are rare, and their buffers take many times as much.
const LONG_LINE: usize = 1 << 20;

/// Working memory of one thread: the word cache and scratch space.
#[derive(Debug)]
pub struct State {
    pub(super) cache: WordCache,
    pub(super) line: Line,
    pub(super) scratch: Scratch,
    /// Whether unknown pieces that do not begin a word are flagged with [`crate::tokens::documents::UNKNOWN_JOINS`].
    pub(super) mark_unknown: bool,
}

#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub text: String,
    pub normal: Vec<u8>,
    pub lattice: Lattice,
    pub spans: Vec<Span>,
    pub ids: Vec<u32>,
}

impl State {
    pub(super) fn new(mark_unknown: bool) -> Self {
        Self { cache: WordCache::default(), line: Line::default(), scratch: Scratch::default(), mark_unknown }
    }

    /// Frees the buffers after a line of `length` bytes if they may have grown large.
    #[inline]
    pub(super) fn shrink_after(&mut self, length: usize) {
        if length > LONG_LINE {
            self.line = Line::default();
            self.scratch = Scratch::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::super::Tokenizer;
    use super::super::proto::{ModelProto, NormalizerSpec, Piece, PieceType, TrainerSpec};
    use super::*;

    fn tokenizer(split_by_whitespace: bool) -> Tokenizer {
        let kinds = [("<unk>", PieceType::Unknown), ("▁a", PieceType::Normal), ("a▁b", PieceType::Normal)];
        let piece = |(text, kind): (&str, PieceType)| Piece {
            piece: Some(text.to_owned()),
            score: Some(-1.0),
            r#type: Some(kind.into()),
        };
        let count = if split_by_whitespace { 2 } else { 3 };
        let model = ModelProto {
            pieces: kinds.into_iter().take(count).map(piece).collect(),
            trainer_spec: Some(TrainerSpec::default()),
            normalizer_spec: Some(NormalizerSpec::default()),
        };
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), model.encode_to_vec()).unwrap();
        Tokenizer::from_model(file.path(), None).unwrap()
    }

    /// The bytes that the buffers take.
    fn held(state: &State) -> usize {
        let Scratch { text, normal, spans, ids, .. } = &state.scratch;
        state.line.capacity() + text.capacity() + normal.capacity() + 12 * spans.capacity() + 4 * ids.capacity()
    }

    /// Whether words are looked up one by one, or the line is segmented as a whole.
    #[test]
    fn a_long_line_leaves_no_large_buffers() {
        for by_words in [true, false] {
            let tokenizer = tokenizer(by_words);
            let mut state = tokenizer.state(false);
            let mut ids = Vec::new();
            tokenizer.encode(&mut state, &"a ".repeat(10_000), &mut ids);
            let usual = held(&state);
            assert!(ids.len() == 10_000 && usual >= 20_000, "{by_words} {usual}");
            ids.clear();
            tokenizer.encode(&mut state, &"a ".repeat(1_000_000), &mut ids);
            assert_eq!((ids.len(), held(&state)), (1_000_000, 0), "{by_words}");
            let pieces = tokenizer.encode_pieces(&mut state, &"a ".repeat(1_000_000));
            assert_eq!((pieces.len(), held(&state)), (1_000_000, 0), "{by_words}");
        }
    }
}
