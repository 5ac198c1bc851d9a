//! The parts of `sentencepiece_model.proto` that encoding needs.

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

/// `TrainerSpec`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TrainerSpec {
    /// Unigram if absent.
    #[prost(enumeration = "ModelType", optional, tag = "3")]
    pub model_type: Option<i32>,
    /// Whether `▁` ends words instead of beginning them.
    #[prost(bool, optional, tag = "24")]
    pub treat_whitespace_as_suffix: Option<bool>,
    /// Whether unknown characters become byte pieces.
    #[prost(bool, optional, tag = "35")]
    pub byte_fallback: Option<bool>,
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
