//! The file of an extended model. Whatever the file has is copied byte for byte, also fields that this program does not
//! know, except for what the new pieces change.

use prost::encoding::{
    DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, message, skip_field,
};

use crate::tokens::tokenizer::proto::Piece;
use crate::{Error, Result};

/// Fields of `ModelProto`.
const PIECES: u32 = 1;
const TRAINER_SPEC: u32 = 2;
/// Texts with their pieces, which `SentencePiece` compares when it loads a model. New pieces can split them.
const SELF_TEST_DATA: u32 = 4;
/// A field of `TrainerSpec`.
const VOCAB_SIZE: u32 = 4;

/// Returns the model file `old` with more pieces.
pub(super) fn extended(old: &[u8], pieces: &[(Vec<u8>, f32)]) -> Result<Vec<u8>> {
    let fields = fields(old)?;
    let count = fields.iter().filter(|field| field.tag == PIECES).count() + pieces.len();
    let after = fields.iter().rposition(|field| field.tag == PIECES);
    let mut out = Vec::with_capacity(old.len() + 32 * pieces.len());
    for (number, field) in fields.iter().enumerate() {
        match field.tag {
            SELF_TEST_DATA => {}
            TRAINER_SPEC if field.kind == WireType::LengthDelimited => {
                let spec = with_size(field.content()?, count as u64)?;
                encode_key(TRAINER_SPEC, WireType::LengthDelimited, &mut out);
                encode_varint(spec.len() as u64, &mut out);
                out.extend_from_slice(&spec);
            }
            _ => out.extend_from_slice(field.bytes),
        }
        if Some(number) == after {
            for (piece, score) in pieces {
                let piece = String::from_utf8(piece.clone()).expect("pieces are cut between characters");
                message::encode(PIECES, &Piece { piece: Some(piece), score: Some(*score), r#type: None }, &mut out);
            }
        }
    }
    Ok(out)
}

/// Returns a `TrainerSpec` with another `vocab_size`.
fn with_size(spec: &[u8], size: u64) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(spec.len() + 8);
    let write = |out: &mut Vec<u8>| {
        encode_key(VOCAB_SIZE, WireType::Varint, out);
        encode_varint(size, out);
    };
    let mut written = false;
    for field in fields(spec)? {
        if field.tag == VOCAB_SIZE {
            write(&mut out);
            written = true;
        } else {
            out.extend_from_slice(field.bytes);
        }
    }
    if !written {
        write(&mut out);
    }
    Ok(out)
}

/// A field of a message.
struct Field<'a> {
    tag: u32,
    kind: WireType,
    /// All of its bytes.
    bytes: &'a [u8],
    /// Where its value begins in them.
    value: usize,
}

impl<'a> Field<'a> {
    /// The content of a length-delimited field.
    fn content(&self) -> Result<&'a [u8]> {
        let mut rest = &self.bytes[self.value..];
        decode_varint(&mut rest).map_err(|error| broken(&error))?;
        Ok(rest)
    }
}

fn fields(mut rest: &[u8]) -> Result<Vec<Field<'_>>> {
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let start = rest;
        let (tag, kind) = decode_key(&mut rest).map_err(|error| broken(&error))?;
        let value = start.len() - rest.len();
        skip_field(kind, tag, &mut rest, DecodeContext::default()).map_err(|error| broken(&error))?;
        fields.push(Field { tag, kind, bytes: &start[..start.len() - rest.len()], value });
    }
    Ok(fields)
}

fn broken(error: &prost::DecodeError) -> Error {
    Error::Internal(format!("the model to extend was read before, but is not a message: {error}"))
}
