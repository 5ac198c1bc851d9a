//! A stretch of wikitext that is not read as such.

/// Why a stretch of wikitext is not read as such.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// A comment, or what is not seen either: a line that holds nothing else is as if it were not there.
    Comment,
    /// Something in a line: a reference.
    Inline,
    /// A formula in a line.
    Formula,
    /// Something that stands for itself: a table, a gallery, a template that no sentence needs.
    Block,
    /// A template of which nobody knows what it shows.
    Hole,
    /// The text between these bytes is shown unchanged.
    Literal(usize, usize),
    /// Marks of a template whose text is shown.
    Nothing,
    /// The same, and this stretch of [`Spans::texts`](super::spans::Spans::texts) is shown in their place.
    Text(usize, usize),
    /// A template that stands for `|`.
    Pipe,
}

/// A stretch of wikitext, from its first byte to the one after its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub start: usize,
    pub end: usize,
    pub what: What,
}
