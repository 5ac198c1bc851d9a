//! The vocabulary at the end of a training, and the model file.

use std::collections::{HashMap, HashSet};

use prost::Message;

use super::Options;
use super::alphabet::Alphabet;
use super::meta::MetaPieces;
use super::model::Model;
use crate::tokens::tokenizer::proto::{ModelProto, Piece};
use crate::{Error, Result};

/// Characters without a piece get the lowest score and this much more each, so that no two are equal.
const STEP: f32 = 0.0001;

/// Chooses the pieces of the vocabulary: all characters of the alphabet, then the best. They are sorted by score.
pub(super) fn vocabulary(model: &Model, alphabet: &Alphabet, size: usize) -> Vec<(Vec<u8>, f32)> {
    let scores: HashMap<&[u8], f32> = model.iter().collect();
    let mut chosen: HashMap<Vec<u8>, f32> = HashMap::new();
    let mut above = 0.0;
    for &(c, _) in &alphabet.by_count {
        let piece = c.to_string().into_bytes();
        let score = scores.get(&piece[..]).copied().unwrap_or_else(|| {
            let score = model.lowest() + above;
            above += STEP;
            score
        });
        chosen.insert(piece, score);
    }
    let mut best: Vec<(&[u8], f32)> = model.iter().collect();
    best.sort_unstable_by(|a, b| by_score(*a, *b));
    for (piece, score) in best {
        if chosen.contains_key(piece) {
            continue;
        }
        if chosen.len() == size {
            break;
        }
        chosen.insert(piece.to_vec(), score);
    }
    let mut pieces: Vec<(Vec<u8>, f32)> = chosen.into_iter().collect();
    pieces.sort_unstable_by(|a, b| by_score((&a.0, a.1), (&b.0, b.1)));
    pieces
}

fn by_score(a: (&[u8], f32), b: (&[u8], f32)) -> std::cmp::Ordering {
    b.1.total_cmp(&a.1).then_with(|| a.0.cmp(b.0))
}

/// Returns the content of the model file.
///
/// # Errors
/// The text gave too few pieces, or a required character is a special piece too.
pub(super) fn model_file(options: &Options, meta: &MetaPieces, pieces: Vec<(Vec<u8>, f32)>) -> Result<Vec<u8>> {
    let mut rest = pieces.into_iter();
    let mut all = Vec::new();
    for id in 0..options.vocab_size as i32 {
        if let Some((piece, kind)) = meta.get(&id) {
            all.push(Piece { piece: Some(piece.clone()), score: Some(0.0), r#type: Some(*kind as i32) });
        } else if let Some((piece, score)) = rest.next() {
            let piece = String::from_utf8(piece).expect("pieces are cut between characters");
            all.push(Piece { piece: Some(piece), score: Some(score), r#type: None });
        }
    }
    let mut seen = HashSet::new();
    if let Some(twice) = all.iter().map(Piece::piece).find(|piece| !seen.insert(*piece)) {
        let rule = "characters that are not symbols too";
        return Err(Error::rule("required_chars", rule, format!("{twice:?}")));
    }
    let mut trainer_spec = options.trainer_spec();
    if all.len() < options.vocab_size as usize {
        if options.hard_vocab_limit {
            let (size, most) = (options.vocab_size, all.len());
            let reason = format!(
                "is too large for this text, which gives at most {most} pieces; pass vocab_size={most} or less, or more text"
            );
            return Err(Error::unfit("vocab_size", size, reason));
        }
        trainer_spec.vocab_size = Some(all.len() as i32);
    }
    let normalizer_spec = Some(options.normalizer_spec());
    Ok(ModelProto { pieces: all, trainer_spec: Some(trainer_spec), normalizer_spec }.encode_to_vec())
}
