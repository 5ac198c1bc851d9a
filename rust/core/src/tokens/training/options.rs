//! The options of training, and the specification that a model stores of them.

use prost::Message;
use serde::{Deserialize, Serialize};

use crate::tokens::tokenizer::proto::{ModelProto, ModelType, NormalizerSpec, TrainerSpec};
use crate::{Error, Result};

/// What determines a model, besides its text. Names and defaults are `SentencePiece`'s, except for the ids and pieces of
/// ALBERT's special tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Pieces in the vocabulary, including all special pieces.
    pub vocab_size: u32,
    /// The fraction of characters of the text that have pieces. The rarest others become the unknown piece.
    pub character_coverage: f64,
    /// Train on a random sample of this many lines, or on all if 0.
    pub input_sentence_size: u64,
    /// The longest line in bytes. Longer ones are dropped.
    pub max_sentence_length: u32,
    /// How many pieces EM begins with; 0 for eight times the vocabulary, but 100,000 at least.
    pub seed_sentencepiece_size: u32,
    /// The fraction of pieces that each pruning keeps.
    pub shrinking_factor: f64,
    /// Steps of EM before each pruning.
    pub num_sub_iterations: u32,
    /// The longest piece in characters.
    pub max_sentencepiece_length: u32,
    /// Whether no piece has characters of two scripts.
    pub split_by_unicode_script: bool,
    /// Whether no piece has both digits and letters.
    pub split_by_number: bool,
    /// Whether no piece crosses a space.
    pub split_by_whitespace: bool,
    /// Whether each digit is a piece.
    pub split_digits: bool,
    /// Whether `▁` ends words instead of beginning them.
    pub treat_whitespace_as_suffix: bool,
    /// Whether a piece may consist of several `▁`.
    pub allow_whitespace_only_pieces: bool,
    /// Symbols that text never produces.
    #[serde(skip)]
    pub control_symbols: Vec<String>,
    /// Symbols that are always one piece.
    pub user_defined_symbols: Vec<String>,
    /// Characters that have pieces whatever their number.
    pub required_chars: String,
    /// Whether unknown characters become pieces of one byte.
    pub byte_fallback: bool,
    /// Whether it is an error if the text gives fewer pieces than `vocab_size`.
    pub hard_vocab_limit: bool,
    /// The id of the unknown piece, and the piece.
    #[serde(skip)]
    pub unk: (i32, String),
    /// The id of the piece that begins a text (-1 for none), and the piece if the model is to name it.
    #[serde(skip)]
    pub bos: (i32, Option<String>),
    /// The id of the piece that ends a text (-1 for none), and the piece if the model is to name it.
    #[serde(skip)]
    pub eos: (i32, Option<String>),
    /// The id of the padding piece (-1 for none), and the piece.
    #[serde(skip)]
    pub pad: (i32, String),
    /// The number of partial sums in a step of EM. The last digits of scores depend on it, and not on the number of
    /// threads. `SentencePiece` calls it `num_threads`.
    pub partitions: u32,
    /// How text is normalized.
    #[serde(skip)]
    pub normalization: Normalization,
}

/// How text is normalized, in training and later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Normalization {
    /// The name of the rules, such as `nmt_nfkc`.
    pub name: String,
    /// The rules as `SentencePiece` compiles them; none if empty.
    pub charsmap: Vec<u8>,
    /// Whether a space is added before the text.
    pub add_dummy_prefix: bool,
    /// Whether runs of spaces become one and those at the ends are removed.
    pub remove_extra_whitespaces: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            vocab_size: 30_000,
            character_coverage: 0.99995,
            input_sentence_size: 10_000_000,
            max_sentence_length: 4192,
            seed_sentencepiece_size: 1_000_000,
            shrinking_factor: 0.75,
            num_sub_iterations: 2,
            max_sentencepiece_length: 16,
            split_by_unicode_script: true,
            split_by_number: true,
            split_by_whitespace: true,
            split_digits: false,
            treat_whitespace_as_suffix: false,
            allow_whitespace_only_pieces: false,
            control_symbols: ["[CLS]", "[SEP]", "[MASK]"].map(String::from).to_vec(),
            user_defined_symbols: Vec::new(),
            required_chars: String::new(),
            byte_fallback: false,
            hard_vocab_limit: true,
            unk: (1, "<unk>".into()),
            bos: (-1, None),
            eos: (-1, None),
            pad: (0, "<pad>".into()),
            partitions: 16,
            normalization: Normalization::default(),
        }
    }
}

impl Default for Normalization {
    fn default() -> Self {
        Self { name: "identity".into(), charsmap: Vec::new(), add_dummy_prefix: true, remove_extra_whitespaces: true }
    }
}

impl Normalization {
    /// Returns the rules of a model, such as the one that `SentencePieceNormalizer.serialized_model_proto` returns.
    ///
    /// # Errors
    /// [`Error::Internal`]: the bytes are not a model.
    pub fn of_model(model: &[u8]) -> Result<Self> {
        let model = ModelProto::decode(model).map_err(|error| Error::Internal(format!("normalizer: {error}")))?;
        let NormalizerSpec { name, precompiled_charsmap, add_dummy_prefix, remove_extra_whitespaces, .. } =
            model.normalizer_spec.unwrap_or_default();
        let default = Self::default();
        Ok(Self {
            name: name.unwrap_or_default(),
            charsmap: precompiled_charsmap.unwrap_or_default(),
            add_dummy_prefix: add_dummy_prefix.unwrap_or(default.add_dummy_prefix),
            remove_extra_whitespaces: remove_extra_whitespaces.unwrap_or(default.remove_extra_whitespaces),
        })
    }
}

impl Options {
    /// Refuses what `SentencePiece` would refuse.
    pub(super) fn validate(&self) -> Result<()> {
        fn within<T: PartialOrd + Copy + std::fmt::Display>(
            name: &'static str,
            value: T,
            low: T,
            high: T,
        ) -> Result<()> {
            if low <= value && value <= high {
                return Ok(());
            }
            Err(Error::rule(name, format!("from {low} to {high}"), value))
        }
        within("vocab_size", self.vocab_size, 1, i32::MAX as u32)?;
        within("character_coverage", self.character_coverage, 0.98, 1.0)?;
        within("max_sentence_length", self.max_sentence_length, 10, 1 << 30)?;
        within("seed_sentencepiece_size", self.seed_sentencepiece_size, 0, i32::MAX as u32)?;
        within("shrinking_factor", self.shrinking_factor, 0.5, 0.95)?;
        within("num_sub_iterations", self.num_sub_iterations, 1, 10)?;
        within("max_sentencepiece_length", self.max_sentencepiece_length, 1, 512)?;
        within("partitions", self.partitions, 1, 1024)
    }

    /// The specification that the model stores. Like a caller of `SentencePiece` who passes only what differs from its
    /// defaults, it has no fields for the rest, except for those that albert-fast always passes.
    pub(super) fn trainer_spec(&self) -> TrainerSpec {
        let default = Self::default();
        let changed = |value: bool, default: bool| (value != default).then_some(value);
        let changed_int = |value: u32, default: u32| (value != default).then_some(value as i32);
        TrainerSpec {
            model_type: Some(ModelType::Unigram as i32),
            vocab_size: Some(self.vocab_size as i32),
            character_coverage: Some(self.character_coverage as f32),
            input_sentence_size: Some(self.input_sentence_size),
            seed_sentencepiece_size: changed_int(self.seed_sentencepiece_size, default.seed_sentencepiece_size),
            shrinking_factor: (self.shrinking_factor.to_bits() != default.shrinking_factor.to_bits())
                .then_some(self.shrinking_factor as f32),
            num_threads: Some(self.partitions as i32),
            num_sub_iterations: changed_int(self.num_sub_iterations, default.num_sub_iterations),
            max_sentence_length: Some(self.max_sentence_length as i32),
            shuffle_input_sentence: Some(true),
            max_sentencepiece_length: changed_int(self.max_sentencepiece_length, default.max_sentencepiece_length),
            split_by_unicode_script: changed(self.split_by_unicode_script, default.split_by_unicode_script),
            split_by_whitespace: changed(self.split_by_whitespace, default.split_by_whitespace),
            split_by_number: changed(self.split_by_number, default.split_by_number),
            treat_whitespace_as_suffix: changed(self.treat_whitespace_as_suffix, default.treat_whitespace_as_suffix),
            split_digits: changed(self.split_digits, default.split_digits),
            allow_whitespace_only_pieces: changed(
                self.allow_whitespace_only_pieces,
                default.allow_whitespace_only_pieces,
            ),
            control_symbols: self.control_symbols.clone(),
            user_defined_symbols: self.user_defined_symbols.clone(),
            hard_vocab_limit: changed(self.hard_vocab_limit, default.hard_vocab_limit),
            byte_fallback: changed(self.byte_fallback, default.byte_fallback),
            required_chars: (!self.required_chars.is_empty()).then(|| self.required_chars.clone()),
            unk_id: Some(self.unk.0),
            bos_id: Some(self.bos.0),
            eos_id: Some(self.eos.0),
            pad_id: Some(self.pad.0),
            unk_piece: Some(self.unk.1.clone()),
            bos_piece: self.bos.1.clone(),
            eos_piece: self.eos.1.clone(),
            pad_piece: Some(self.pad.1.clone()),
        }
    }

    /// The specification of the normalizer that the model stores.
    pub(super) fn normalizer_spec(&self) -> NormalizerSpec {
        let Normalization { name, charsmap, add_dummy_prefix, remove_extra_whitespaces } = &self.normalization;
        NormalizerSpec {
            name: Some(name.clone()),
            precompiled_charsmap: Some(charsmap.clone()),
            add_dummy_prefix: (!add_dummy_prefix).then_some(false),
            remove_extra_whitespaces: (!remove_extra_whitespaces).then_some(false),
            escape_whitespaces: None,
        }
    }

    /// How many seed pieces there are at most.
    pub(super) fn seeds(&self) -> usize {
        match self.seed_sentencepiece_size {
            0 => (8 * self.vocab_size as usize).max(100_000),
            size => size as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_json_does_not_have_are_the_defaults() {
        let options: Options = serde_json::from_str(r#"{"vocab_size": 800}"#).unwrap();
        assert_eq!(options, Options { vocab_size: 800, ..Options::default() });
    }
}
