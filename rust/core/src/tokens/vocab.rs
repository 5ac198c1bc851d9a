//! Properties of a vocabulary that instances and masks need.

use serde::{Deserialize, Serialize};

/// Which pieces begin a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum WordBoundary {
    /// According to Unicode: `▁`, punctuation, and the scripts written without spaces.
    #[default]
    Unicode,
    /// According to the reference's `is_start_piece`.
    Albert,
}

/// The size, special ids and word starts of a vocabulary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocab {
    /// Number of pieces.
    pub size: u32,
    /// Id of `<pad>` or `[PAD]`.
    pub pad: u32,
    /// Id of `<unk>` or `[UNK]`.
    pub unk: u32,
    /// Id of `[CLS]`.
    pub cls: u32,
    /// Id of `[SEP]`.
    pub sep: u32,
    /// Id of `[MASK]`.
    pub mask: u32,
    /// For each id, whether the piece begins a word (length `size`).
    pub word_start: Vec<bool>,
    /// For each id, whether the token after the piece begins a word. It is needed if `▁` ends words, because
    /// `word_start` cannot tell then. If it is not empty, the first token of a sentence begins a word too.
    pub word_end: Vec<bool>,
    /// The ids that may replace a masked token: all pieces except control, unknown, byte and unused ones.
    pub ordinary: Vec<u32>,
}

impl Vocab {
    /// Whether a token with this id begins a word by itself, whatever precedes it. False for an id that is not in the
    /// vocabulary, such as one with a flag.
    pub fn starts_word(&self, id: u32) -> bool {
        self.word_start.get(id as usize).copied().unwrap_or(false)
    }

    /// Whether the token after one with this id begins a word.
    pub fn ends_word(&self, id: u32) -> bool {
        self.word_end.get(id as usize).copied().unwrap_or(false)
    }
}
