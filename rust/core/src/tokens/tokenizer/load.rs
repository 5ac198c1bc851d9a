//! Loads models and vocabularies, and says what is wrong with those that cannot be used.

use std::collections::HashMap;
use std::path::Path;

use prost::Message;
use sha2::{Digest, Sha256};

use super::fragments::Singles;
use super::normalizer::Normalizer;
use super::proto::{ModelProto, ModelType, PieceType};
use super::text::{TextRules, is_python_space};
use super::unigram::Unigram;
use super::wordpiece::{Vocabulary, WordPiece};
use super::{Engine, Tokenizer, UnigramEngine};
use crate::files::raw::read_existing;
use crate::{Error, Result};

impl Tokenizer {
    /// Loads a `SentencePiece` unigram model. With `text_rules`, text first goes through the reference's
    /// `preprocess_text`, pieces go through its digit-comma rule, and the model must have ALBERT's special tokens.
    pub fn from_model(path: &Path, text_rules: Option<TextRules>) -> Result<Self> {
        let bytes = read_existing(path)?;
        let broken = |reason: String| Error::tokenizer(path, reason);
        let not_a_model = |what: String| {
            broken(format!(
                "{what}; pass the .model file that SentencePiece's trainer or `albert-fast train-tokenizer` writes \
                 (a WordPiece vocabulary goes with Tokenizer.from_vocab_file)"
            ))
        };
        if bytes.is_empty() {
            return Err(not_a_model("the file is empty".into()));
        }
        let model = ModelProto::decode(&bytes[..])
            .map_err(|error| not_a_model(format!("not a SentencePiece model, or truncated or corrupt ({error})")))?;
        if model.pieces.is_empty() || model.trainer_spec.is_none() || model.normalizer_spec.is_none() {
            return Err(not_a_model(format!(
                "not a SentencePiece model, or truncated: {} pieces, trainer settings {}, normalizer settings {}",
                model.pieces.len(),
                if model.trainer_spec.is_some() { "found" } else { "missing" },
                if model.normalizer_spec.is_some() { "found" } else { "missing" },
            )));
        }
        let trainer = model.trainer_spec.clone().unwrap_or_default();
        if trainer.model_type() != ModelType::Unigram {
            return Err(broken(format!(
                "a {:?} model, but ALBERT needs a unigram model: train one with --model_type=unigram (SentencePiece's default) \
                 or with `albert-fast train-tokenizer`",
                trainer.model_type()
            )));
        }
        let spec = model.normalizer_spec.clone().unwrap_or_default();
        if text_rules.is_some() && spec.escape_whitespaces == Some(false) {
            return Err(broken(
                "its spaces are not escaped (escape_whitespaces=false), so pieces do not show where words begin, and \
                 tokenizer.json cannot express it; train it without that setting, or with `albert-fast train-tokenizer`"
                    .into(),
            ));
        }
        let kinds: Vec<PieceType> = model.pieces.iter().map(super::proto::Piece::r#type).collect();
        let unknown = match kinds.iter().filter(|&&kind| kind == PieceType::Unknown).count() {
            1 => kinds.iter().position(|&kind| kind == PieceType::Unknown).unwrap_or_default() as u32,
            count => return Err(broken(format!("{count} unknown pieces; a model has exactly one"))),
        };
        let mut by_piece = HashMap::with_capacity(model.pieces.len());
        for (id, piece) in model.pieces.iter().enumerate() {
            if piece.piece().is_empty() || piece.piece().contains('\0') {
                return Err(broken(format!("piece {id} is empty or contains a NUL byte")));
            }
            if !piece.score().is_finite() {
                return Err(broken(format!("the score of piece {id}, {:?}, is {}", piece.piece(), piece.score())));
            }
            if let Some(first) = by_piece.insert(piece.piece().to_owned(), id as u32) {
                return Err(broken(format!("pieces {first} and {id} are both {:?}", piece.piece())));
            }
        }
        let bytes_of_pieces = if trainer.byte_fallback.unwrap_or(false) {
            let mut ids = Box::new([0; 256]);
            for byte in 0..256usize {
                let name = format!("<0x{byte:02X}>");
                ids[byte] = *by_piece
                    .get(&name)
                    .ok_or_else(|| broken(format!("byte_fallback is set but {name} is missing")))?;
            }
            Some(ids)
        } else {
            None
        };
        let normalizer = Normalizer::new(&model).map_err(&broken)?;
        let unigram = Unigram::new(&model, unknown).map_err(&broken)?;
        let space_is_a_piece = by_piece
            .get("▁")
            .is_some_and(|&id| matches!(kinds[id as usize], PieceType::Normal | PieceType::UserDefined));
        let cacheable = normalizer.is_word_local() && unigram.keeps_words() && space_is_a_piece;
        let pieces: Vec<_> = model.pieces.iter().map(|piece| piece.piece().to_owned()).collect();
        let tokenizer = Self {
            path: path.to_path_buf(),
            name: file_name(path),
            engine: Engine::Unigram(Box::new(UnigramEngine {
                singles: Singles::new(&unigram),
                plain: std::array::from_fn(|byte| plain(&normalizer, text_rules, byte as u8)),
                normalizer,
                model: unigram,
                bytes: bytes_of_pieces,
                cacheable,
            })),
            vocab_digest: vocab_digest(&pieces),
            pieces,
            kinds,
            by_piece,
            unknown,
            text_rules,
            digest: digest(&bytes, "sentencepiece", text_rules),
            file: bytes,
        };
        if text_rules.is_some() {
            tokenizer.vocab(crate::tokens::vocab::WordBoundary::default())?;
        }
        Ok(tokenizer)
    }

    /// Loads a BERT `WordPiece` vocabulary, one entry per line. An entry's id is the number of its line. A file that
    /// programs number differently is an error.
    pub fn from_vocabulary(path: &Path, rules: TextRules) -> Result<Self> {
        let bytes = read_existing(path)?;
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            let before = &bytes[..error.valid_up_to()];
            let line = 1 + memchr::memchr_iter(b'\n', before).count() as u64;
            let byte = 1 + before.len() - memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
            let value = bytes[error.valid_up_to()];
            let fix = "a vocabulary must be UTF-8: convert the file";
            if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
                Error::tokenizer(path, format!("the file is UTF-16; {fix}"))
            } else {
                let reason = format!("invalid UTF-8 (0x{value:02X}); {fix}");
                Error::tokenizer_at(path, line, Some(byte as u64), reason)
            }
        })?;
        let Vocabulary { entries, plain } =
            Vocabulary::read(text).map_err(|(line, reason)| Error::tokenizer_at(path, line, None, reason))?;
        let by_piece: HashMap<String, u32> =
            entries.iter().enumerate().map(|(id, entry)| (entry.clone(), id as u32)).collect();
        let Some(&unknown) = by_piece.get("[UNK]") else {
            return Err(Error::tokenizer(
                path,
                format!(
                    "none of its {} entries is [UNK]; a WordPiece vocabulary has one entry per line, and [PAD], [UNK], \
                     [CLS], [SEP] and [MASK] among them (a SentencePiece model goes with Tokenizer.from_file)",
                    entries.len()
                ),
            ));
        };
        // A file is rewritten only if some reader numbers it differently. Most files keep their bytes, and so their
        // digest.
        let is_plain =
            bytes == plain.as_bytes() || plain.strip_suffix('\n').is_some_and(|rest| bytes == rest.as_bytes());
        let bytes = if is_plain { bytes } else { plain.into_bytes() };
        let kinds = entries
            .iter()
            .map(|entry| match entry.as_str() {
                "[UNK]" => PieceType::Unknown,
                "[PAD]" | "[CLS]" | "[SEP]" | "[MASK]" => PieceType::Control,
                _ => PieceType::Normal,
            })
            .collect();
        let tokenizer = Self {
            path: path.to_path_buf(),
            name: file_name(path),
            vocab_digest: vocab_digest(&entries),
            engine: Engine::WordPiece(WordPiece::new(&entries, unknown, rules.lower_case, rules.keep_accents)),
            kinds,
            pieces: entries,
            by_piece,
            unknown,
            text_rules: Some(rules),
            digest: digest(&bytes, "wordpiece", Some(rules)),
            file: bytes,
        };
        tokenizer.vocab(crate::tokens::vocab::WordBoundary::default())?;
        Ok(tokenizer)
    }
}

/// Returns what text rules and normalizer make of an ASCII character among others; 0 if they do more than replace it.
fn plain(normalizer: &Normalizer, rules: Option<TextRules>, byte: u8) -> u8 {
    let lower = rules.is_some_and(|rules| rules.lower_case);
    let result = if lower { byte.to_ascii_lowercase() } else { byte };
    let is_kept = normalizer.keeps_ascii(result) && !(rules.is_some() && is_python_space(char::from(byte)));
    if is_kept { result } else { 0 }
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn vocab_digest(pieces: &[String]) -> String {
    let mut hash = Sha256::new();
    for piece in pieces {
        hash.update(piece);
        hash.update(b"\n");
    }
    hash.finalize().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

fn digest(file: &[u8], kind: &str, rules: Option<TextRules>) -> String {
    let mut hash = Sha256::new();
    hash.update(file);
    hash.update(match rules {
        None => format!("\0{kind} none"),
        Some(rules) => format!("\0{kind} lower={} keep_accents={}", rules.lower_case, rules.keep_accents),
    });
    hash.finalize().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// Returns the byte that a piece such as `<0x0A>` represents.
pub(super) fn byte_of_piece(piece: &str) -> Option<u8> {
    u8::from_str_radix(piece.strip_prefix("<0x")?.strip_suffix('>')?, 16).ok()
}
