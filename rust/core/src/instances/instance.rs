//! One pretraining instance: `[CLS] A [SEP] B [SEP]`, its sentence-order label and its masks. A chunk of a document
//! becomes an instance by gathering, pairing and truncation.

use std::ops::Range;

use super::options::{InstanceOptions, RngKind, SingleSegment};
use super::rng::Rng;
use crate::tokens::documents::{Document, Documents, Ids, UNKNOWN_JOINS};
use crate::tokens::vocab::Vocab;
use crate::{Error, Result};

/// How many times a random document's segments are drawn again because their content would contradict the label.
const REDRAWS: usize = 10;

/// An instance without padding. The buffers are reused from one instance to the next.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Instance {
    /// The ids, including `[CLS]` and `[SEP]`. After masking, the replacements are in place.
    pub tokens: Vec<u32>,
    /// For each token, whether it begins a word (the record's `token_boundary`); true for `[CLS]` and `[SEP]`.
    pub word_starts: Vec<bool>,
    /// The number of tokens with segment id 0: `[CLS]`, A and the first `[SEP]`.
    pub first_length: usize,
    /// Whether B is from a random document or A and B are swapped (`next_sentence_labels`). With the fast generator, it
    /// is never true if B follows A in the text or has the same content as A.
    pub is_random_next: bool,
    /// The positions of the masked tokens, ascending.
    pub masked_positions: Vec<u32>,
    /// The original id at each of these positions.
    pub masked_labels: Vec<u32>,
    /// The number of tokens of the chunk that truncation dropped.
    pub truncated: u64,
    /// Whether `is_random_next` is set although B follows A, repeats it, or is from the same document. This happens
    /// only in the reference's instances.
    pub mislabeled: bool,
}

impl Instance {
    /// Empties the instance but keeps the buffers.
    pub fn clear(&mut self) {
        self.tokens.clear();
        self.word_starts.clear();
        self.first_length = 0;
        self.is_random_next = false;
        self.masked_positions.clear();
        self.masked_labels.clear();
        self.truncated = 0;
        self.mislabeled = false;
    }

    fn push_special(&mut self, id: u32) {
        self.tokens.push(id);
        self.word_starts.push(true);
    }
}

/// One chunk of a document, from which an instance is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The document's number.
    pub document: u64,
    /// The chunk's segments, at least one.
    pub segments: Range<usize>,
    /// The target length, in tokens, for which they were gathered.
    pub target: u64,
}

/// The kinds of B.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pairing {
    /// The text that follows A.
    InOrder,
    /// The text that follows A, with the two swapped.
    Swapped,
    /// Segments of a random document.
    Random,
}

/// Tokens of an instance that come from one place.
struct Span<'a> {
    document: Document<'a>,
    tokens: Range<u64>,
}

impl Span<'_> {
    fn len(&self) -> u64 {
        self.tokens.end - self.tokens.start
    }

    /// Whether both spans hold the same ids.
    fn says_the_same(&self, other: &Span<'_>) -> bool {
        let range = |span: &Span<'_>| span.tokens.start as usize..span.tokens.end as usize;
        match (self.document.ids, other.document.ids) {
            (Ids::U16(a), Ids::U16(b)) => a[range(self)] == b[range(other)],
            (Ids::U32(a), Ids::U32(b)) => a[range(self)] == b[range(other)],
            // The documents of one set all store ids alike.
            _ => false,
        }
    }

    /// Appends the ids and whether each begins a word.
    fn append_to(&self, vocab: &Vocab, out: &mut Instance) {
        let from = out.tokens.len();
        self.document.ids.extend_into(self.tokens.start as usize..self.tokens.end as usize, &mut out.tokens);
        if vocab.word_end.is_empty() {
            out.word_starts.extend(out.tokens[from..].iter().map(|&id| vocab.starts_word(id)));
        } else {
            let positions = self.tokens.clone();
            out.word_starts.extend(positions.map(|position| begins_word(vocab, &self.document, position)));
        }
        if matches!(self.document.ids, Ids::U32(_)) {
            for id in &mut out.tokens[from..] {
                if *id & UNKNOWN_JOINS != 0 {
                    *id = vocab.unk;
                }
            }
        }
    }
}

/// Whether the token at `position` begins a word. The token may carry [`UNKNOWN_JOINS`].
fn begins_word(vocab: &Vocab, document: &Document<'_>, position: u64) -> bool {
    let id = |position: u64| document.ids.get(position as usize);
    let begins_segment = || position == document.start || document.ends.binary_search(&position).is_ok();
    vocab.starts_word(id(position))
        || (!vocab.word_end.is_empty() && (begins_segment() || vocab.ends_word(id(position - 1) & !UNKNOWN_JOINS)))
}

/// Draws the target length of a document's chunks, in tokens. It is `max_tokens`, or, for a fraction `short_seq_prob`
/// of documents, anything from 2 to `max_tokens`.
pub fn target_length(options: &InstanceOptions, rng: &mut impl Rng) -> u64 {
    let max_tokens = options.max_tokens() as u64;
    if rng.random() < options.short_seq_prob { rng.between(2, max_tokens) } else { max_tokens }
}

/// Returns the first end (exclusive) at which the segments from `from` on hold `target` tokens: at least one segment,
/// at most the rest of the document.
pub fn gather(document: &Document<'_>, from: usize, target: u64) -> usize {
    let enough = document.segment_start(from) + target;
    let rest = &document.ends[from..];
    (from + 1 + rest.iter().take_while(|&&end| end < enough).count()).min(document.ends.len())
}

/// Whether a chunk becomes an instance: `segments` of `document` under `options.single_segment`.
pub fn gives_instance(document: &Document<'_>, segments: &Range<usize>, options: &InstanceOptions) -> bool {
    segments.len() > 1
        || match options.single_segment {
            SingleSegment::Split => document.tokens_in(segments.clone()) > 1,
            SingleSegment::Random => true,
            SingleSegment::Drop => false,
        }
}

/// Returns the start of the next chunk. It is the end of this chunk, unless the chunk's tail is put back because B is
/// from a random document.
///
/// Draws what [`assemble`] draws first, from a generator in the same state.
pub fn following(segments: &Range<usize>, options: &InstanceOptions, rng: &mut impl Rng) -> usize {
    if options.random_next_sentence && segments.len() > 1 {
        let (a_end, pairing) = cut(segments, options, rng);
        if pairing == Pairing::Random { a_end } else { segments.end }
    } else {
        segments.end
    }
}

/// Draws the end of A among two or more segments, and the kind of B.
fn cut(segments: &Range<usize>, options: &InstanceOptions, rng: &mut impl Rng) -> (usize, Pairing) {
    let a_end = segments.start + rng.between(1, segments.len() as u64 - 1) as usize;
    (a_end, pairing(options, rng))
}

fn pairing(options: &InstanceOptions, rng: &mut impl Rng) -> Pairing {
    match (rng.random() < 0.5, options.random_next_sentence) {
        (false, _) => Pairing::InOrder,
        (true, false) => Pairing::Swapped,
        (true, true) => Pairing::Random,
    }
}

/// Draws where to split a single segment of at least two tokens: at one of its inner word starts or, if it has none,
/// anywhere inside.
fn split(vocab: &Vocab, document: &Document<'_>, tokens: &Range<u64>, rng: &mut impl Rng) -> u64 {
    let inner = tokens.start + 1..tokens.end;
    let is_start = |&position: &u64| begins_word(vocab, document, position);
    let starts = inner.clone().filter(is_start).count();
    if starts == 0 {
        return tokens.start + rng.between(1, tokens.end - tokens.start - 1);
    }
    let chosen = rng.below(starts as u64) as usize;
    inner.clone().filter(is_start).nth(chosen).unwrap_or(inner.start)
}

/// Refuses options that need another document if there is only one. (The reference takes the same document for a chunk
/// of one segment, and its records stay what they are.)
///
/// # Errors
/// [`Error::Input`].
pub fn check_documents(options: &InstanceOptions, documents: u64) -> Result<()> {
    let (option, instead) = if options.random_next_sentence {
        ("random_next_sentence=True", "drop `random_next_sentence`")
    } else if options.single_segment == SingleSegment::Random && options.rng == RngKind::Fast {
        ("single_segment='random'", "pass single_segment='split' or single_segment='drop'")
    } else {
        return Ok(());
    };
    if documents == 1 {
        return Err(Error::input(format!(
            "{option} takes B from another document, but there is only 1 document; put a blank line between documents, \
             or {instead}"
        )));
    }
    Ok(())
}

/// Returns segments of a document as one span.
fn span<'a>(document: &Document<'a>, segments: Range<usize>) -> Span<'a> {
    let tokens = document.segment_start(segments.start)..document.segment_start(segments.end);
    Span { document: *document, tokens }
}

/// A and its surroundings in its document.
struct Beginning<'a, 'b> {
    a: &'b Span<'a>,
    /// The last segment of A, or `None` if A ends within a segment.
    last: Option<Span<'a>>,
    /// The segment after A, or the rest of the segment in which A ends.
    next: Option<Span<'a>>,
}

/// Draws segments of a random document until they hold `target` tokens. Also returns whether they contradict label 1:
/// they are from A's document, follow A in one of the two documents, or repeat A.
///
/// The draws are those of the reference, which takes A's own document if it is drawn ten times in a row. The fast
/// generator then chooses another document.
fn random_segments<'a, D: Documents>(
    documents: &'a D,
    options: &InstanceOptions,
    chunk: &Chunk,
    beginning: &Beginning<'_, '_>,
    rng: &mut impl Rng,
) -> (Span<'a>, bool) {
    let this = chunk.document;
    let mut other = this;
    for _ in 0..10 {
        other = rng.below(documents.num_documents());
        if other != this {
            break;
        }
    }
    if other == this && options.rng == RngKind::Fast && documents.num_documents() > 1 {
        other = rng.below(documents.num_documents() - 1);
        other += u64::from(other >= this);
    }
    let document = documents.document(other);
    let start = rng.below(document.segments() as u64) as usize;
    let end = gather(&document, start, chunk.target.saturating_sub(beginning.a.len()));
    let drawn = span(&document, start..end);
    let same = |one: Option<&Span<'_>>, other: &Span<'_>| one.is_some_and(|one| one.says_the_same(other));
    let contradicts = other == this
        || same(beginning.next.as_ref(), &span(&document, start..start + 1))
        || (start > 0 && same(beginning.last.as_ref(), &span(&document, start - 1..start)))
        || beginning.a.says_the_same(&drawn);
    (drawn, contradicts)
}

/// Drops tokens until both together have at most `max_tokens`. Each is dropped from the longer one (B on a tie), at its
/// front or its end. Returns the number of dropped tokens.
fn truncate(a: &mut Range<u64>, b: &mut Range<u64>, max_tokens: u64, rng: &mut impl Rng) -> u64 {
    let (mut a_length, mut b_length) = (a.end - a.start, b.end - b.start);
    let dropped = (a_length + b_length).saturating_sub(max_tokens);
    for _ in 0..dropped {
        let front = rng.random() < 0.5;
        let longer = if a_length > b_length {
            a_length -= 1;
            &mut *a
        } else {
            b_length -= 1;
            &mut *b
        };
        if front {
            longer.start += 1;
        } else {
            longer.end -= 1;
        }
    }
    dropped
}

/// Makes `out` the instance of a chunk for which [`gives_instance`] holds, without masks, and returns the start of the
/// next chunk.
///
/// The rules, and the order of the draws, are those of the reference's `create_instances_from_document`. A chunk of one
/// segment follows [`SingleSegment`]. If it is split in two, the place is drawn first. It then continues like two
/// segments, except that no tail is put back.
///
/// With the fast generator, a random document's segments that contradict label 1 are drawn again. If they still
/// contradict it after [`REDRAWS`] draws, B is the text that follows A, with label 0. Segments that would be swapped
/// with a copy of themselves also get label 0. In the reference's instances, label 1 remains and is noted in
/// `mislabeled`.
pub fn assemble<D: Documents>(
    documents: &D,
    vocab: &Vocab,
    options: &InstanceOptions,
    chunk: &Chunk,
    rng: &mut impl Rng,
    out: &mut Instance,
) -> usize {
    let document = documents.document(chunk.document);
    let Range { start: first, end: last } = chunk.segments;
    let tokens = document.segment_start(first)..document.segment_start(last);
    let (middle, after_a, pairing) = if chunk.segments.len() > 1 {
        let (a_end, pairing) = cut(&chunk.segments, options, rng);
        (document.segment_start(a_end), a_end, pairing)
    } else if options.single_segment == SingleSegment::Split {
        (split(vocab, &document, &tokens, rng), last, pairing(options, rng))
    } else {
        (tokens.end, last, Pairing::Random)
    };
    let part = |tokens| Span { document, tokens };
    let (mut a, mut b) = (part(tokens.start..middle), part(middle..tokens.end));
    let is_fast = options.rng == RngKind::Fast;
    let mut label = pairing != Pairing::InOrder;
    let mut contradicts = false;
    if pairing == Pairing::Random {
        let is_split = chunk.segments.len() == 1 && b.len() > 0;
        let last = (!is_split).then(|| span(&document, after_a - 1..after_a));
        let next = if is_split {
            Some(part(middle..tokens.end))
        } else {
            (after_a < document.segments()).then(|| span(&document, after_a..after_a + 1))
        };
        let beginning = Beginning { a: &a, last, next };
        let mut drawn;
        (drawn, contradicts) = random_segments(documents, options, chunk, &beginning, rng);
        for _ in 0..REDRAWS {
            if !contradicts || !is_fast {
                break;
            }
            (drawn, contradicts) = random_segments(documents, options, chunk, &beginning, rng);
        }
        label = !(contradicts && is_fast);
        if label {
            b = drawn;
        } else if b.len() == 0 && a.len() > 1 {
            // The corpus is little more than repetitions. B is the text that follows, here within the segment.
            let place = split(vocab, &document, &tokens, rng);
            (a, b) = (part(tokens.start..place), part(place..tokens.end));
        } else if b.len() == 0 {
            b = part(tokens.clone());
        }
    } else if pairing == Pairing::Swapped {
        // The two orders of the same content are the same.
        contradicts = a.says_the_same(&b);
        label = !(contradicts && is_fast);
        std::mem::swap(&mut a, &mut b);
    }

    out.clear();
    out.truncated = truncate(&mut a.tokens, &mut b.tokens, options.max_tokens() as u64, rng);
    if out.truncated > 0 && a.says_the_same(&b) {
        contradicts = true;
        label &= !is_fast;
    }
    out.push_special(vocab.cls);
    a.append_to(vocab, out);
    out.push_special(vocab.sep);
    out.first_length = out.tokens.len();
    b.append_to(vocab, out);
    out.push_special(vocab.sep);
    out.is_random_next = label;
    out.mislabeled = label && contradicts;
    if pairing == Pairing::Random { after_a } else { last }
}
