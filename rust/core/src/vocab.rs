//! What instances and masks need to know of a vocabulary.

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
    /// The ids that may stand in for a masked token: every piece but control, unknown, byte and unused ones.
    pub ordinary: Vec<u32>,
}
