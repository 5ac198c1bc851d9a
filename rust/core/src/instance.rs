//! One pretraining instance: `[CLS] A [SEP] B [SEP]`, its sentence-order label and its masks; and how a chunk of a
//! document becomes one: gathering, pairing, truncation.

use std::ops::Range;

use crate::documents::{Document, Documents, Ids, UNKNOWN_JOINS};
use crate::options::{InstanceOptions, SingleSegment};
use crate::rng::Rng;
use crate::vocab::Vocab;

/// An instance, without padding. The buffers are reused from one instance to the next.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Ids, `[CLS]` and `[SEP]` included; after masking, with the replacements in place.
    pub tokens: Vec<u32>,
    /// For each token, whether it begins a word; true for `[CLS]` and `[SEP]` (the record's `token_boundary`).
    pub word_starts: Vec<bool>,
    /// Tokens of segment id 0: `[CLS]`, A and the first `[SEP]`.
    pub first_length: usize,
    /// Whether B is a random document's or A and B changed places (`next_sentence_labels`).
    pub is_random_next: bool,
    /// Positions of the predictions, ascending.
    pub masked_positions: Vec<u32>,
    /// The original id at each of them.
    pub masked_labels: Vec<u32>,
    /// Tokens of the chunk that truncation dropped.
    pub truncated: u64,
}

impl Instance {
    /// Empties it and keeps the buffers.
    pub fn clear(&mut self) {
        self.tokens.clear();
        self.word_starts.clear();
        self.first_length = 0;
        self.is_random_next = false;
        self.masked_positions.clear();
        self.masked_labels.clear();
        self.truncated = 0;
    }

    fn push_special(&mut self, id: u32) {
        self.tokens.push(id);
        self.word_starts.push(true);
    }
}

/// One chunk of a document: what an instance is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The document's number.
    pub document: u64,
    /// Its segments, at least one.
    pub segments: Range<usize>,
    /// The target length that they were gathered for, in tokens.
    pub target: u64,
}

/// What B is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pairing {
    /// What follows A.
    InOrder,
    /// What follows A, and the two change places.
    Swapped,
    /// Segments of a random document.
    Random,
}

/// Tokens of an instance that come from one place.
struct Span<'a> {
    ids: Ids<'a>,
    tokens: Range<u64>,
}

impl Span<'_> {
    fn len(&self) -> u64 {
        self.tokens.end - self.tokens.start
    }

    /// Appends the ids and their word starts.
    fn append_to(&self, vocab: &Vocab, out: &mut Instance) {
        let from = out.tokens.len();
        self.ids.extend_into(self.tokens.start as usize..self.tokens.end as usize, &mut out.tokens);
        out.word_starts.extend(out.tokens[from..].iter().map(|&id| begins_word(vocab, id)));
        if matches!(self.ids, Ids::U32(_)) {
            for id in &mut out.tokens[from..] {
                if *id & UNKNOWN_JOINS != 0 {
                    *id = vocab.unk;
                }
            }
        }
    }
}

/// Whether a document's token begins a word; it may carry [`UNKNOWN_JOINS`].
fn begins_word(vocab: &Vocab, id: u32) -> bool {
    // An id that the vocabulary does not have carries the flag, or comes from data that its reader should have refused.
    vocab.word_start.get(id as usize).copied().unwrap_or(false)
}

/// The target length of a document's chunks, in tokens: `max_tokens`, or for a share `short_seq_prob` of documents
/// anything from 2 to it.
pub fn target_length(options: &InstanceOptions, rng: &mut impl Rng) -> u64 {
    let max_tokens = options.max_tokens() as u64;
    if rng.random() < options.short_seq_prob { rng.between(2, max_tokens) } else { max_tokens }
}

/// Where the segments from `from` on first hold `target` tokens (exclusive end): at least one segment, at most the rest
/// of the document.
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

/// Where the next chunk begins: after this one, unless its tail goes back because B is a random document's.
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

/// Where A ends among two segments or more, and what B is.
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

/// Where to split a single segment (of at least two tokens): at any of its inner word starts, or where it has none
/// anywhere inside.
fn split(vocab: &Vocab, ids: &Ids<'_>, tokens: &Range<u64>, rng: &mut impl Rng) -> u64 {
    let inner = tokens.start + 1..tokens.end;
    let is_start = |&position: &u64| begins_word(vocab, ids.get(position as usize));
    let starts = inner.clone().filter(is_start).count();
    if starts == 0 {
        return tokens.start + rng.between(1, tokens.end - tokens.start - 1);
    }
    let chosen = rng.below(starts as u64) as usize;
    inner.clone().filter(is_start).nth(chosen).unwrap_or(inner.start)
}

/// Segments of a random document, preferably another one than `this`, until they hold `target` tokens.
fn random_segments<'a, D: Documents>(documents: &'a D, this: u64, target: u64, rng: &mut impl Rng) -> Span<'a> {
    let mut other = this;
    for _ in 0..10 {
        other = rng.below(documents.num_documents());
        if other != this {
            break;
        }
    }
    let document = documents.document(other);
    let start = rng.below(document.segments() as u64) as usize;
    let end = gather(&document, start, target);
    Span { ids: document.ids, tokens: document.segment_start(start)..document.segment_start(end) }
}

/// Drops tokens until both have `max_tokens` at most: each from the longer (B on a tie), at its front or its end.
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

/// Makes `out` the instance of a chunk for which [`gives_instance`] holds, without masks, and returns where the next
/// chunk begins.
///
/// The rules, and the order of the draws, are the reference's `create_instances_from_document`; a chunk of one segment
/// follows [`SingleSegment`]: split in two it draws the place, then goes on like two segments, nothing of it going back.
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
        (split(vocab, &document.ids, &tokens, rng), last, pairing(options, rng))
    } else {
        (tokens.end, last, Pairing::Random)
    };
    let mut a = Span { ids: document.ids, tokens: tokens.start..middle };
    let mut b = if pairing == Pairing::Random {
        random_segments(documents, chunk.document, chunk.target.saturating_sub(a.len()), rng)
    } else {
        Span { ids: document.ids, tokens: middle..tokens.end }
    };
    if pairing == Pairing::Swapped {
        std::mem::swap(&mut a, &mut b);
    }

    out.clear();
    out.truncated = truncate(&mut a.tokens, &mut b.tokens, options.max_tokens() as u64, rng);
    out.push_special(vocab.cls);
    a.append_to(vocab, out);
    out.push_special(vocab.sep);
    out.first_length = out.tokens.len();
    b.append_to(vocab, out);
    out.push_special(vocab.sep);
    out.is_random_next = pairing != Pairing::InOrder;
    if pairing == Pairing::Random { after_a } else { last }
}
