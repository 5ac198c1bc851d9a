//! The pieces that EM begins with: all characters, and the best strings that occur at least twice.
//!
//! `SentencePiece` finds these strings in a suffix array over all text. A string counts if two different bytes follow it
//! somewhere (it is *right-branching*). Nothing else about the text matters, so equal words need to be there only once,
//! with their number and the byte that follows them. Words are also cut into *atoms*, between characters that no piece
//! has beside each other: "(foo)" has the atom "foo".
//!
//! Two facts make that equal. Both ends of a piece are in one atom, since each of its pairs of neighbors is allowed.
//! And whether two characters are cut depends on these two only, so all occurrences of a string are cut alike.

use std::cmp::Reverse;
use std::collections::HashMap;

use libsais::SuffixArrayConstruction;

use super::alphabet::{Alphabet, UNKNOWN};
use super::corpus::{Lines, chars};
use super::interner::Interner;
use super::rule::PieceRule;
use crate::{Error, Result};

/// Text is searched in chunks of this size. A chunk ends with the line that reaches it.
pub(super) const CHUNK_BYTES: usize = 500 << 20;

/// Pieces with scores.
pub(super) type Scored = Vec<(Vec<u8>, f32)>;

/// Returns at most `most` pieces of more than one character, after those of one, with their log probabilities.
///
/// # Errors
/// The text of a chunk is too large.
pub(super) fn seeds(lines: &Lines, alphabet: &Alphabet, rule: &PieceRule, most: usize, chunk: usize) -> Result<Scored> {
    let mut seeds: Scored = alphabet
        .by_count
        .iter()
        .filter(|&&(_, count)| count > 0)
        .map(|&(c, count)| (c.to_string().into_bytes(), count as f32))
        .collect();
    let lengths: Vec<usize> = lines.words.iter().map(<[u8]>::len).collect();
    let mut found: HashMap<Vec<u8>, u64> = HashMap::new();
    let mut start = 0;
    while start < lines.len() {
        let mut end = start;
        let mut bytes = 0;
        while end < lines.len() && bytes < chunk {
            bytes += lines.line(end).iter().map(|&word| lengths[word as usize]).sum::<usize>() + 1;
            end += 1;
        }
        let entries = Entries::new(lines, start..end, rule);
        entries.repeated(|piece, count| {
            if rule.allows(str_of(piece)) {
                *found.entry(piece.to_vec()).or_default() += count;
            }
        })?;
        if found.len() > 16 * most {
            found = best(found, 8 * most).into_iter().map(|candidate| (candidate.piece, candidate.count)).collect();
        }
        start = end;
    }
    let mut chosen = best(found, most);
    chosen.sort_unstable_by(Candidate::order);
    seeds.extend(chosen.into_iter().map(|candidate| (candidate.piece, candidate.score)));
    to_log_probabilities(&mut seeds);
    Ok(seeds)
}

/// A string that occurs at least twice.
struct Candidate {
    piece: Vec<u8>,
    count: u64,
    /// The count times the length in characters.
    score: f32,
}

impl Candidate {
    /// Puts the best first: by score, then the longest, then by bytes.
    fn order(a: &Self, b: &Self) -> std::cmp::Ordering {
        b.score
            .total_cmp(&a.score)
            .then_with(|| Reverse(a.piece.len()).cmp(&Reverse(b.piece.len())))
            .then_with(|| a.piece.cmp(&b.piece))
    }
}

/// Returns the `most` best candidates, in any order.
fn best(found: HashMap<Vec<u8>, u64>, most: usize) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = found
        .into_iter()
        .map(|(piece, count)| {
            let score = count as f32 * chars(&piece).count() as f32;
            Candidate { piece, count, score }
        })
        .collect();
    if candidates.len() > most {
        candidates.select_nth_unstable_by(most, Candidate::order);
        candidates.truncate(most);
    }
    candidates
}

/// Makes scores from frequencies, in `SentencePiece`'s order of operations.
fn to_log_probabilities(pieces: &mut Scored) {
    let sum: f64 = pieces.iter().fold(0.0, |sum, &(_, count)| sum + f64::from(count));
    let log_sum = sum.ln();
    for (_, score) in pieces {
        *score = (f64::from(*score).ln() - log_sum) as f32;
    }
}

fn str_of(piece: &[u8]) -> &str {
    std::str::from_utf8(piece).expect("pieces are cut between characters")
}

/// What follows a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Follower {
    /// A byte of the same line.
    Byte(u8),
    /// The end of the line, and the first byte of the next one.
    Line(u8),
    /// The end of the chunk.
    End,
}

/// Distinct atoms with what follows them.
#[derive(Default)]
struct Entries {
    /// Atoms, each with the bytes that follow it: one byte of the same line; or NUL and a byte of the next line; or NUL.
    strings: Interner,
    /// The length of the atom in each string.
    lengths: Vec<u32>,
    counts: Vec<u64>,
}

impl Entries {
    fn new(lines: &Lines, range: std::ops::Range<usize>, rule: &PieceRule) -> Self {
        let mut counts: HashMap<(u32, Follower), u64> = HashMap::new();
        let first_byte = |line: usize| lines.words.get(lines.line(line)[0])[0];
        for line in range.clone() {
            let words = lines.line(line);
            for (place, &word) in words.iter().enumerate() {
                let follower = match words.get(place + 1) {
                    Some(&next) => Follower::Byte(lines.words.get(next)[0]),
                    None if line + 1 == range.end => Follower::End,
                    None => Follower::Line(first_byte(line + 1)),
                };
                *counts.entry((word, follower)).or_default() += 1;
            }
        }
        let mut entries = Self::default();
        for ((word, follower), count) in counts {
            entries.add_word(lines.words.get(word), follower, count, rule);
        }
        entries
    }

    fn add_word(&mut self, word: &[u8], follower: Follower, count: u64, rule: &PieceRule) {
        let mut start = 0;
        let mut before = None;
        let mut at = 0;
        for c in chars(word) {
            if before.is_some_and(|before| rule.separates(before, c)) {
                self.add_atom(&word[start..at], Follower::Byte(word[at]), count);
                start = at;
            }
            before = Some(c);
            at += c.len_utf8();
        }
        self.add_atom(&word[start..], follower, count);
    }

    fn add_atom(&mut self, atom: &[u8], follower: Follower, count: u64) {
        if chars(atom).nth(1).is_none() || atom == UNKNOWN.as_bytes() {
            return;
        }
        let mut string = atom.to_vec();
        match follower {
            Follower::Byte(byte) => string.push(byte),
            Follower::Line(byte) => string.extend([0, byte]),
            Follower::End => string.push(0),
        }
        let number = self.strings.intern(&string) as usize;
        if number == self.counts.len() {
            self.counts.push(0);
            self.lengths.push(atom.len() as u32);
        }
        self.counts[number] += count;
    }

    /// Calls `visit` with each right-branching string and how often it occurs. A string comes twice if it and its
    /// occurrences at the ends of lines are both right-branching.
    fn repeated(&self, mut visit: impl FnMut(&[u8], u64)) -> Result<()> {
        let size = self.strings.bytes().len() + self.strings.len();
        if size == 0 {
            return Ok(());
        }
        if size > i32::MAX as usize {
            return Err(Error::Input(format!(
                "the text has {size} bytes of distinct words in a chunk; at most 2 GiB fit"
            )));
        }
        let mut text = Vec::with_capacity(size);
        let mut entry_at = Vec::with_capacity(size);
        let mut start_of = Vec::with_capacity(self.strings.len());
        for (number, string) in self.strings.iter().enumerate() {
            start_of.push(text.len());
            text.extend_from_slice(string);
            text.push(0);
            entry_at.resize(text.len(), number as u32);
        }
        // For a suffix: its entry, how many bytes of its atom are left, and how many bytes are compared.
        let left = |suffix: usize| {
            let entry = entry_at[suffix] as usize;
            let start = start_of[entry];
            let atom = (start + self.lengths[entry] as usize).saturating_sub(suffix);
            let compared = if atom == 0 { 0 } else { start + self.strings.get(entry as u32).len() - suffix };
            (entry, atom, compared)
        };
        let (suffixes, prefixes) = suffix_array(&text);
        let mut stack: Vec<Interval> = vec![Interval { first: 0, before: 0, depth: 0 }];
        let mut count = 0;
        let (mut compared_before, mut weight_before) = (0, 0);
        for place in 0..=suffixes.len() {
            let (mut depth, mut compared, mut weight) = (0, 0, 0);
            if let Some(&suffix) = suffixes.get(place) {
                let (entry, _, length) = left(suffix as usize);
                compared = length;
                depth = (prefixes[place] as usize).min(compared).min(compared_before);
                weight = if length == 0 { 0 } else { self.counts[entry] };
            }
            let mut opened = Interval { first: place.saturating_sub(1), before: count - weight_before, depth };
            while let Some(top) = stack.last().filter(|top| depth < top.depth).copied() {
                stack.pop();
                opened.first = top.first;
                opened.before = top.before;
                let suffix = suffixes[top.first] as usize;
                let (_, atom, _) = left(suffix);
                let is_start = |at: usize| text[at] & 0xC0 != 0x80;
                let length = if top.depth <= atom {
                    (top.depth == atom || is_start(suffix + top.depth)).then_some(top.depth)
                } else {
                    (top.depth == atom + 1 && text[suffix + atom] == 0).then_some(atom)
                };
                if let Some(length) = length.filter(|_| is_start(suffix)) {
                    visit(&text[suffix..suffix + length], count - top.before);
                }
            }
            if stack.last().is_some_and(|top| depth > top.depth) {
                stack.push(opened);
            }
            count += weight;
            (compared_before, weight_before) = (compared, weight);
        }
        Ok(())
    }
}

/// Suffixes with a common prefix, from the first place on.
#[derive(Debug, Clone, Copy)]
struct Interval {
    first: usize,
    /// The number of occurrences before `first`.
    before: u64,
    /// The length of the prefix.
    depth: usize,
}

/// Returns the suffixes in order, and the length of the prefix that each has in common with the one before it.
fn suffix_array(text: &[u8]) -> (Vec<i32>, Vec<i32>) {
    let suffixes = SuffixArrayConstruction::for_text(text).in_owned_buffer32().single_threaded().run();
    let (suffixes, prefixes, _, _) = suffixes
        .and_then(|it| it.plcp_construction().single_threaded().run())
        .and_then(|it| it.lcp_construction().single_threaded().run())
        .expect("it fails only without memory")
        .into_parts();
    (suffixes, prefixes)
}
