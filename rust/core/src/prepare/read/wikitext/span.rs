//! A span of wikitext that is not read as such.

/// Why a span of wikitext is not read as such.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SpanKind {
    /// A comment or something else invisible. A line that contains nothing else is ignored.
    Comment,
    /// Something inside a line, such as a reference.
    Inline,
    /// A formula inside a line.
    Formula,
    /// Something separate from sentences: a table, a gallery, or a template that no sentence needs.
    Block,
    /// A template for which it is unknown what it shows.
    Hole,
    /// The text between these positions is shown unchanged.
    Literal(usize, usize),
    /// The marks of a template whose text is shown.
    Nothing,
    /// As [`SpanKind::Nothing`], but this range of [`Spans::texts`](super::spans::Spans::texts) is shown in their place.
    Text(usize, usize),
    /// A template that stands for `|`.
    Pipe,
}

/// A span of wikitext, from its first byte to the one after its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub start: usize,
    pub end: usize,
    pub kind: SpanKind,
}
