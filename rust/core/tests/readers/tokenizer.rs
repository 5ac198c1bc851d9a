//! Readers of tokenizer files, each with a text to encode, and of texts.

use std::cell::LazyCell;

use albert_fast_core::tokens::tokenizer::{TextRules, Tokenizer};
use albert_fast_core::tokens::vocab::WordBoundary;

use super::scratch;

const RULES: TextRules = TextRules { lower_case: true, keep_accents: false };
/// A model of about 90 pieces.
const MODEL: &[u8] = include_bytes!("../../../fuzz/seeds/small.model");

/// Reads two bytes with the length of a text, the text, and a model.
pub fn sentencepiece_model(data: &[u8]) {
    let Some((text, model)) = text_and_file(data) else { return };
    let path = scratch::file("spiece.model", model);
    for rules in [None, Some(RULES)] {
        if let Ok(tokenizer) = Tokenizer::from_model(&path, rules) {
            check(&tokenizer, text);
        }
    }
}

/// Reads two bytes with the length of a text, the text, and a vocabulary.
pub fn wordpiece_vocabulary(data: &[u8]) {
    let Some((text, vocabulary)) = text_and_file(data) else { return };
    let path = scratch::file("vocab.txt", vocabulary);
    for rules in [RULES, TextRules { lower_case: false, keep_accents: true }] {
        if let Ok(tokenizer) = Tokenizer::from_vocabulary(&path, rules) {
            check(&tokenizer, text);
        }
    }
}

/// Encodes a text with a valid model.
pub fn encode(data: &[u8]) {
    thread_local! {
        static TOKENIZERS: LazyCell<[Tokenizer; 2]> = LazyCell::new(|| {
            let path = scratch::file("small.model", MODEL);
            [None, Some(RULES)].map(|rules| Tokenizer::from_model(&path, rules).expect("a good model"))
        });
    }
    if let Ok(text) = std::str::from_utf8(data) {
        TOKENIZERS.with(|tokenizers| tokenizers.iter().for_each(|tokenizer| check(tokenizer, text)));
    }
}

fn text_and_file(data: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = data.split_first_chunk::<2>()?;
    let (text, file) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
    Some((std::str::from_utf8(text).ok()?, file))
}

/// Checks that ids are in the vocabulary, decode to text, and do not depend on what was encoded before.
fn check(tokenizer: &Tokenizer, text: &str) {
    let pieces = tokenizer.pieces().len();
    for boundary in [WordBoundary::Unicode, WordBoundary::Albert] {
        assert_eq!(tokenizer.word_starts(boundary).len(), pieces);
        if let Ok(vocab) = tokenizer.vocab(boundary) {
            assert!(vocab.ordinary.iter().all(|&id| (id as usize) < pieces));
        }
    }
    let mut warm = tokenizer.state(false);
    for _ in 0..2 {
        for line in text.lines().take(8) {
            let (mut ids, mut again) = (Vec::new(), Vec::new());
            tokenizer.encode(&mut warm, line, &mut ids);
            tokenizer.encode(&mut tokenizer.state(false), line, &mut again);
            assert_eq!(ids, again, "{line:?}: what was encoded before changes the ids");
            assert!(ids.iter().all(|&id| (id as usize) < pieces), "{line:?}: {ids:?} of {pieces} pieces");
            tokenizer.decode(&ids).expect("ids of the vocabulary decode");
            if tokenizer.is_blank(&mut warm, line) && tokenizer.text_rules().is_some() {
                assert!(ids.is_empty(), "{line:?} is blank and has ids {ids:?}");
            }
        }
    }
}
