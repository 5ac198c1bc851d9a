//! One pretraining instance: `[CLS] A [SEP] B [SEP]`, its sentence-order label and its masks. A chunk of a document
//! becomes an instance by gathering, pairing and truncation.

use std::ops::Range;

use super::options::{InstanceOptions, RngKind, SingleSegment};
use super::rng::Rng;
use crate::tokens::documents::{Documents, Excerpt, Ids, Outline, Reading, UNKNOWN_JOINS};
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
    excerpt: Excerpt<'a>,
    tokens: Range<u64>,
}

impl Span<'_> {
    fn len(&self) -> u64 {
        self.tokens.end - self.tokens.start
    }

    fn ids(&self) -> Ids<'_> {
        self.excerpt.ids(&self.tokens)
    }

    /// Whether both spans hold the same ids.
    fn says_the_same(&self, other: &Span<'_>) -> bool {
        match (self.ids(), other.ids()) {
            (Ids::U16(a), Ids::U16(b)) => a == b,
            (Ids::U32(a), Ids::U32(b)) => a == b,
            // The documents of one set all store ids alike.
            _ => false,
        }
    }

    /// Appends the ids and whether each begins a word.
    fn append_to(&self, vocab: &Vocab, out: &mut Instance) {
        let from = out.tokens.len();
        self.ids().append_to(&mut out.tokens);
        if vocab.word_end.is_empty() {
            out.word_starts.extend(out.tokens[from..].iter().map(|&id| vocab.starts_word(id)));
        } else {
            let positions = self.tokens.clone();
            out.word_starts.extend(positions.map(|position| begins_word(vocab, &self.excerpt, position)));
        }
        if matches!(self.ids(), Ids::U32(_)) {
            for id in &mut out.tokens[from..] {
                if *id & UNKNOWN_JOINS != 0 {
                    *id = vocab.unk;
                }
            }
        }
    }
}

/// Whether the token at `position` begins a word. The token may carry [`UNKNOWN_JOINS`].
fn begins_word(vocab: &Vocab, excerpt: &Excerpt<'_>, position: u64) -> bool {
    let begins_segment = || excerpt.outline.is_border(position);
    let ends_before = || vocab.ends_word(excerpt.id(position - 1) & !UNKNOWN_JOINS);
    vocab.starts_word(excerpt.id(position)) || (!vocab.word_end.is_empty() && (begins_segment() || ends_before()))
}

/// Draws the target length of a document's chunks, in tokens. It is `max_tokens`, or, for a fraction `short_seq_prob`
/// of documents, anything from 2 to `max_tokens`.
pub fn target_length(options: &InstanceOptions, rng: &mut impl Rng) -> u64 {
    let max_tokens = options.max_tokens() as u64;
    if rng.random() < options.short_seq_prob { rng.between(2, max_tokens) } else { max_tokens }
}

/// Returns the first end (exclusive) at which the segments from `from` on hold `target` tokens: at least one segment,
/// at most the rest of the document. `outline` must have the next `target` segments, or all that are left.
pub fn gather(outline: &Outline<'_>, from: usize, target: u64) -> usize {
    let enough = outline.segment_start(from) + target;
    let rest = outline.ends_from(from);
    (from + 1 + rest.iter().take_while(|&&end| end < enough).count()).min(outline.segments())
}

/// Whether a chunk becomes an instance: `segments` of a document under `options.single_segment`.
pub fn gives_instance(outline: &Outline<'_>, segments: &Range<usize>, options: &InstanceOptions) -> bool {
    segments.len() > 1
        || match options.single_segment {
            SingleSegment::Split => outline.tokens_in(segments.clone()) > 1,
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
fn split(vocab: &Vocab, excerpt: &Excerpt<'_>, tokens: &Range<u64>, rng: &mut impl Rng) -> u64 {
    let inner = tokens.start + 1..tokens.end;
    let is_start = |&position: &u64| begins_word(vocab, excerpt, position);
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

/// Returns segments of an excerpt as one span.
fn span<'a>(excerpt: &Excerpt<'a>, segments: Range<usize>) -> Span<'a> {
    let tokens = excerpt.outline.segment_start(segments.start)..excerpt.outline.segment_start(segments.end);
    Span { excerpt: *excerpt, tokens }
}

/// What [`assemble`] needs to read the two documents of an instance.
#[derive(Debug, Default)]
pub struct Readings {
    /// Reads the document of the chunk, and may have read its outline before.
    pub chunk: Reading,
    /// Reads random documents.
    random: Reading,
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
    reading: &'a mut Reading,
) -> Result<(Span<'a>, bool)> {
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
    let segments = documents.outline(other, 0..0, 0, reading)?.segments();
    let start = rng.below(segments as u64) as usize;
    let target = chunk.target.saturating_sub(beginning.a.len());
    let before = start.saturating_sub(1);
    let outline = documents.outline(other, before..start + target.max(1) as usize, 0, reading)?;
    let end = gather(&outline, start, target);
    let excerpt = documents.excerpt(other, before..end, reading)?;
    let drawn = span(&excerpt, start..end);
    let same = |one: Option<&Span<'_>>, other: &Span<'_>| one.is_some_and(|one| one.says_the_same(other));
    let contradicts = other == this
        || same(beginning.next.as_ref(), &span(&excerpt, start..start + 1))
        || (start > 0 && same(beginning.last.as_ref(), &span(&excerpt, start - 1..start)))
        || beginning.a.says_the_same(&drawn);
    Ok((drawn, contradicts))
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
///
/// # Errors
/// Those of [`Documents::excerpt`].
pub fn assemble<D: Documents>(
    documents: &D,
    vocab: &Vocab,
    options: &InstanceOptions,
    chunk: &Chunk,
    rng: &mut impl Rng,
    readings: &mut Readings,
    out: &mut Instance,
) -> Result<usize> {
    let Range { start: first, end: last } = chunk.segments;
    let Readings { chunk: reading, random } = readings;
    // A random B is compared with the segment after A.
    let wanted = documents.outline(chunk.document, first..last + 1, 0, reading)?.segments().min(last + 1);
    let excerpt = documents.excerpt(chunk.document, first..wanted, reading)?;
    let outline = excerpt.outline;
    let tokens = outline.segment_start(first)..outline.segment_start(last);
    let (middle, after_a, pairing) = if chunk.segments.len() > 1 {
        let (a_end, pairing) = cut(&chunk.segments, options, rng);
        (outline.segment_start(a_end), a_end, pairing)
    } else if options.single_segment == SingleSegment::Split {
        (split(vocab, &excerpt, &tokens, rng), last, pairing(options, rng))
    } else {
        (tokens.end, last, Pairing::Random)
    };
    let part = |tokens| Span { excerpt, tokens };
    let (a, b) = (part(tokens.start..middle), part(middle..tokens.end));
    let is_fast = options.rng == RngKind::Fast;
    let (mut label, mut contradicts) = (pairing != Pairing::InOrder, false);
    let mut drawn = None;
    if pairing == Pairing::Random {
        let is_split = chunk.segments.len() == 1 && b.len() > 0;
        let last = (!is_split).then(|| span(&excerpt, after_a - 1..after_a));
        let next = if is_split {
            Some(part(middle..tokens.end))
        } else {
            (after_a < outline.segments()).then(|| span(&excerpt, after_a..after_a + 1))
        };
        let beginning = Beginning { a: &a, last, next };
        for _ in 0..=REDRAWS {
            let found;
            (found, contradicts) = random_segments(documents, options, chunk, &beginning, rng, random)?;
            drawn = Some(found);
            if !contradicts || !is_fast {
                break;
            }
        }
    } else if pairing == Pairing::Swapped {
        // The two orders of the same content are the same.
        contradicts = a.says_the_same(&b);
    }
    label &= !(contradicts && is_fast);
    let (mut a, mut b) = match (pairing, drawn) {
        (Pairing::Random, Some(drawn)) if label => (a, drawn),
        (Pairing::Random, _) if b.len() == 0 && a.len() > 1 => {
            // The corpus is little more than repetitions. B is the text that follows, here within the segment.
            let place = split(vocab, &excerpt, &tokens, rng);
            (part(tokens.start..place), part(place..tokens.end))
        }
        (Pairing::Random, _) if b.len() == 0 => (a, part(tokens.clone())),
        (Pairing::Swapped, _) => (b, a),
        _ => (a, b),
    };

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
    Ok(if pairing == Pairing::Random { after_a } else { last })
}
