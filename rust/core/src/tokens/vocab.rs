//! What instances and masks need to know of a vocabulary.

use serde::{Deserialize, Serialize};

/// Which pieces begin a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum WordBoundary {
    /// `▁`, punctuation, and the scripts written without spaces.
    #[default]
    Unicode,
    /// The reference's `is_start_piece`.
    Albert,
}

/// Size, special ids and word starts of a vocabulary.
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
    /// For each id, whether what follows the piece begins a word: where `▁` ends words, `word_start` cannot tell. Where it is
    /// not empty, the first token of a sentence begins a word too.
    pub word_end: Vec<bool>,
    /// The ids that may stand in for a masked token: every piece but control, unknown, byte and unused ones.
    pub ordinary: Vec<u32>,
}

impl Vocab {
    /// Whether a token of this id begins a word by itself, whatever stands before it. An id that the vocabulary does not
    /// have, such as one with a flag, does not.
    pub fn starts_word(&self, id: u32) -> bool {
        self.word_start.get(id as usize).copied().unwrap_or(false)
    }

    /// Whether what follows a token of this id begins a word.
    pub fn ends_word(&self, id: u32) -> bool {
        self.word_end.get(id as usize).copied().unwrap_or(false)
    }
}
