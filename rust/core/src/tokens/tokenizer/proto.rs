//! The parts of `sentencepiece_model.proto` that encoding and training need.

/// `ModelProto`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ModelProto {
    /// The pieces, in id order.
    #[prost(message, repeated, tag = "1")]
    pub pieces: Vec<Piece>,
    /// How the model was trained.
    #[prost(message, optional, tag = "2")]
    pub trainer_spec: Option<TrainerSpec>,
    /// How text is normalized before it is segmented.
    #[prost(message, optional, tag = "3")]
    pub normalizer_spec: Option<NormalizerSpec>,
}

/// `ModelProto.SentencePiece`.
#[expect(clippy::struct_field_names, reason = "the names of the format")]
#[derive(Clone, PartialEq, prost::Message)]
pub struct Piece {
    /// The surface, with `▁` for a space.
    #[prost(string, optional, tag = "1")]
    pub piece: Option<String>,
    /// Log probability.
    #[prost(float, optional, tag = "2")]
    pub score: Option<f32>,
    /// Normal if absent.
    #[prost(enumeration = "PieceType", optional, tag = "3")]
    pub r#type: Option<i32>,
}

/// `ModelProto.SentencePiece.Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum PieceType {
    /// A piece of text.
    Normal = 1,
    /// The unknown piece.
    Unknown = 2,
    /// A symbol that text never produces, such as `[CLS]`.
    Control = 3,
    /// A symbol that is always one piece.
    UserDefined = 4,
    /// A piece that is not used.
    Unused = 5,
    /// One byte, for `byte_fallback`.
    Byte = 6,
}

/// `TrainerSpec`, without its deprecated fields. A field is written if it is set, as the trainer's caller set it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TrainerSpec {
    /// Unigram if absent.
    #[prost(enumeration = "ModelType", optional, tag = "3")]
    pub model_type: Option<i32>,
    /// Pieces, meta pieces included.
    #[prost(int32, optional, tag = "4")]
    pub vocab_size: Option<i32>,
    /// The fraction of characters that have pieces.
    #[prost(float, optional, tag = "10")]
    pub character_coverage: Option<f32>,
    /// Lines in the sample; 0 for all.
    #[prost(uint64, optional, tag = "11")]
    pub input_sentence_size: Option<u64>,
    /// The number of seed pieces; 0 for a number that depends on the vocabulary.
    #[prost(int32, optional, tag = "14")]
    pub seed_sentencepiece_size: Option<i32>,
    /// The fraction of pieces that each pruning keeps.
    #[prost(float, optional, tag = "15")]
    pub shrinking_factor: Option<f32>,
    /// The number of partial sums in a step of EM.
    #[prost(int32, optional, tag = "16")]
    pub num_threads: Option<i32>,
    /// Steps of EM before each pruning.
    #[prost(int32, optional, tag = "17")]
    pub num_sub_iterations: Option<i32>,
    /// The longest line in bytes.
    #[prost(int32, optional, tag = "18")]
    pub max_sentence_length: Option<i32>,
    /// Whether the sample is random.
    #[prost(bool, optional, tag = "19")]
    pub shuffle_input_sentence: Option<bool>,
    /// The longest piece in characters.
    #[prost(int32, optional, tag = "20")]
    pub max_sentencepiece_length: Option<i32>,
    /// Whether no piece has characters of two scripts.
    #[prost(bool, optional, tag = "21")]
    pub split_by_unicode_script: Option<bool>,
    /// Whether no piece crosses a space.
    #[prost(bool, optional, tag = "22")]
    pub split_by_whitespace: Option<bool>,
    /// Whether digits and other characters are never in one piece.
    #[prost(bool, optional, tag = "23")]
    pub split_by_number: Option<bool>,
    /// Whether `▁` ends words instead of beginning them.
    #[prost(bool, optional, tag = "24")]
    pub treat_whitespace_as_suffix: Option<bool>,
    /// Whether each digit is a piece.
    #[prost(bool, optional, tag = "25")]
    pub split_digits: Option<bool>,
    /// Whether a piece may consist of several `▁`.
    #[prost(bool, optional, tag = "26")]
    pub allow_whitespace_only_pieces: Option<bool>,
    /// Symbols that text never produces.
    #[prost(string, repeated, tag = "30")]
    pub control_symbols: Vec<String>,
    /// Symbols that are always one piece.
    #[prost(string, repeated, tag = "31")]
    pub user_defined_symbols: Vec<String>,
    /// Whether fewer pieces than `vocab_size` are an error.
    #[prost(bool, optional, tag = "33")]
    pub hard_vocab_limit: Option<bool>,
    /// Whether unknown characters become byte pieces.
    #[prost(bool, optional, tag = "35")]
    pub byte_fallback: Option<bool>,
    /// Characters that have pieces whatever their number.
    #[prost(string, optional, tag = "36")]
    pub required_chars: Option<String>,
    /// The id of the unknown piece.
    #[prost(int32, optional, tag = "40")]
    pub unk_id: Option<i32>,
    /// The id of the piece that begins a text, or -1.
    #[prost(int32, optional, tag = "41")]
    pub bos_id: Option<i32>,
    /// The id of the piece that ends a text, or -1.
    #[prost(int32, optional, tag = "42")]
    pub eos_id: Option<i32>,
    /// The id of the padding piece, or -1.
    #[prost(int32, optional, tag = "43")]
    pub pad_id: Option<i32>,
    /// The unknown piece.
    #[prost(string, optional, tag = "45")]
    pub unk_piece: Option<String>,
    /// The piece that begins a text.
    #[prost(string, optional, tag = "46")]
    pub bos_piece: Option<String>,
    /// The piece that ends a text.
    #[prost(string, optional, tag = "47")]
    pub eos_piece: Option<String>,
    /// The padding piece.
    #[prost(string, optional, tag = "48")]
    pub pad_piece: Option<String>,
}

/// `TrainerSpec.ModelType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ModelType {
    /// Unigram language model.
    Unigram = 1,
    /// Byte-pair encoding.
    Bpe = 2,
    /// Whole words.
    Word = 3,
    /// Characters.
    Char = 4,
}

/// `NormalizerSpec`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NormalizerSpec {
    /// The name of the rules.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// The trie and the replacement strings.
    #[prost(bytes = "vec", optional, tag = "2")]
    pub precompiled_charsmap: Option<Vec<u8>>,
    /// Whether a space is added before the text; true if absent.
    #[prost(bool, optional, tag = "3")]
    pub add_dummy_prefix: Option<bool>,
    /// Whether runs of spaces become one and those at the ends are removed; true if absent.
    #[prost(bool, optional, tag = "4")]
    pub remove_extra_whitespaces: Option<bool>,
    /// Whether spaces become `▁`; true if absent.
    #[prost(bool, optional, tag = "5")]
    pub escape_whitespaces: Option<bool>,
}
