//! The pieces that are in the vocabulary whatever the text is: special tokens, symbols and bytes.

use std::collections::{BTreeMap, HashSet};

use super::Options;
use crate::tokens::tokenizer::proto::PieceType;
use crate::{Error, Result};

/// The special pieces by id.
pub(super) type MetaPieces = BTreeMap<i32, (String, PieceType)>;

/// Gives the special pieces their ids: first those with an id of their own, then symbols and bytes in the free ids.
///
/// # Errors
/// An id is too large or used twice, or a piece is defined twice.
pub(super) fn meta_pieces(options: &Options) -> Result<MetaPieces> {
    let mut pieces = MetaPieces::new();
    let [bos, eos] = [(&options.bos, "<s>"), (&options.eos, "</s>")]
        .map(|((id, piece), default)| (*id, piece.as_deref().unwrap_or(default)));
    let unknown = options.unk.1.as_str();
    let named = [(options.unk.0, unknown), bos, eos, (options.pad.0, options.pad.1.as_str())];
    for (id, piece) in named.into_iter().filter(|&(id, _)| id >= 0) {
        let is_again = piece == unknown && pieces.values().any(|(it, _): &(String, _)| it == unknown);
        if id as u32 >= options.vocab_size || pieces.contains_key(&id) || is_again {
            let rule =
                format!("below vocab_size ({}), and an id and a piece for one special piece", options.vocab_size);
            return Err(Error::rule("the id of a special piece", rule, format!("{id} for {piece:?}")));
        }
        let kind = if piece == unknown { PieceType::Unknown } else { PieceType::Control };
        pieces.insert(id, (piece.to_owned(), kind));
    }
    if options.unk.0 < 0 && !options.byte_fallback {
        return Err(Error::rule("unk_id", "0 or more without `byte_fallback`", options.unk.0));
    }
    let mut seen = HashSet::new();
    let mut free = 0;
    let symbols = options.control_symbols.iter().map(|symbol| (symbol.clone(), PieceType::Control));
    let defined = options.user_defined_symbols.iter().map(|symbol| (symbol.clone(), PieceType::UserDefined));
    let bytes = (0..=255u8).filter(|_| options.byte_fallback).map(|byte| (format!("<0x{byte:02X}>"), PieceType::Byte));
    for (symbol, kind) in symbols.chain(defined).chain(bytes) {
        if symbol == unknown || !seen.insert(symbol.clone()) {
            return Err(Error::rule("a symbol", "a piece that is defined once", format!("{symbol:?}")));
        }
        if let Some((id, _)) = named[1..].iter().find(|&&(id, piece)| id >= 0 && piece == symbol) {
            if let Some(entry) = pieces.get_mut(id) {
                entry.1 = kind;
            }
            continue;
        }
        while pieces.contains_key(&free) {
            free += 1;
        }
        pieces.insert(free, (symbol, kind));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_fill_the_free_ids() {
        let options = Options { user_defined_symbols: vec!["(".into(), ")".into()], ..Options::default() };
        let pieces: Vec<(i32, String)> =
            meta_pieces(&options).unwrap().into_iter().map(|(id, (piece, _))| (id, piece)).collect();
        let names = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]", "(", ")"];
        assert_eq!(pieces, (0..).zip(names.map(String::from)).collect::<Vec<_>>());
    }

    #[test]
    fn a_symbol_defined_twice_is_refused() {
        let options = Options { user_defined_symbols: vec!["(".into(), "(".into()], ..Options::default() };
        assert!(meta_pieces(&options).unwrap_err().to_string().contains("\"(\""));
    }
}
