//! The pieces of a `SentencePiece` model and their scores, without the structures that encoding needs.

use prost::Message;

use super::proto::ModelProto;
use crate::{Error, Result};

/// Returns the pieces of the content of a model file, in id order, with their scores.
///
/// # Errors
/// It is not a model.
pub fn pieces(model: &[u8]) -> Result<Vec<(String, f32)>> {
    let model =
        ModelProto::decode(model).map_err(|error| Error::Internal(format!("not a SentencePiece model: {error}")))?;
    Ok(model
        .pieces
        .into_iter()
        .map(|piece| (piece.piece.unwrap_or_default(), piece.score.unwrap_or_default()))
        .collect())
}
