//! Says what the pieces that were added to a model consist of.

use prost::Message;

use super::proto::{ModelProto, PieceType};
use super::unigram::{Lattice, Unigram};
use super::{Engine, Tokenizer, merge_unknown};
use crate::{Error, Result};

impl Tokenizer {
    /// Returns, for each piece from the id `size` on, the ids of the pieces that the model splits its text into if it
    /// only has the pieces before `size`. A piece that is no text, such as a control symbol, has the unknown piece.
    ///
    /// # Errors
    /// It is no unigram model, or `size` is not from 1 to the number of pieces, with the unknown piece below it.
    pub fn split_of_added(&self, size: usize) -> Result<Vec<Vec<u32>>> {
        let Engine::Unigram(engine) = &self.engine else {
            return Err(Error::tokenizer(self.path(), "a WordPiece vocabulary cannot be extended"));
        };
        if size <= self.unknown as usize || size > self.pieces.len() {
            let rule = format!("from {} to {}", self.unknown + 1, self.pieces.len());
            return Err(Error::rule("vocab_size", rule, size));
        }
        let broken = |reason: String| Error::tokenizer(self.path(), reason);
        let mut model = ModelProto::decode(self.file_bytes()).map_err(|error| broken(error.to_string()))?;
        let added = model.pieces.split_off(size);
        let old = Unigram::new(&model, self.unknown).map_err(broken)?;
        let bytes = engine.bytes.as_ref().filter(|ids| ids.iter().all(|&id| (id as usize) < size));
        let mut lattice = Lattice::default();
        let split = |piece: super::proto::Piece| {
            if !matches!(piece.r#type(), PieceType::Normal | PieceType::UserDefined) {
                return vec![self.unknown];
            }
            let text = piece.piece().as_bytes();
            let mut spans = Vec::new();
            old.segment(text, 0.0, 0, &mut lattice, &mut spans);
            if bytes.is_none() {
                merge_unknown(&mut spans, self.unknown);
            }
            let ids = spans.iter().flat_map(|span| match bytes {
                Some(bytes) if span.id == self.unknown => {
                    let unknown = &text[span.start as usize..span.end as usize];
                    unknown.iter().map(|&byte| bytes[byte as usize]).collect()
                }
                _ => vec![span.id],
            });
            ids.collect()
        };
        Ok(added.into_iter().map(split).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn pieces_are_split_as_their_text_was_before() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/tokenizer/spiece.model");
        let tokenizer = Tokenizer::from_model(&path, None).unwrap();
        let count = tokenizer.pieces().len();
        let size = count - 200;
        let split = tokenizer.split_of_added(size).unwrap();
        assert_eq!(split.len(), 200);
        for (piece, ids) in tokenizer.pieces()[size..].iter().zip(&split) {
            assert!(!ids.is_empty() && ids.iter().all(|&id| (id as usize) < size), "{piece}");
            if !ids.contains(&tokenizer.unknown_id()) {
                let text: String = ids.iter().map(|&id| tokenizer.pieces()[id as usize].as_str()).collect();
                assert_eq!(text, *piece);
            }
        }
        assert!(split.iter().any(|ids| ids.len() > 1) && split.contains(&vec![tokenizer.unknown_id()]));
        assert!(tokenizer.split_of_added(count).unwrap().is_empty());
        for size in [0, 1, count + 1] {
            assert!(tokenizer.split_of_added(size).is_err(), "{size}");
        }
    }
}
