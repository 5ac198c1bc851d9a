//! The pieces that EM begins with: all characters, and the best strings that occur at least twice.
//!
//! `SentencePiece` finds these strings in a suffix array over all text. A string counts if two different bytes follow it
//! somewhere (it is *right-branching*). Nothing else about the text matters, so equal words need to be there only once,
//! with their number and the byte that follows them. Words are also cut into *atoms*, between characters that no piece
//! has beside each other: "(foo)" has the atom "foo".
//!
//! Two facts make that equal. Both ends of a piece are in one atom, since each of its pairs of neighbors is allowed.
//! And whether two characters are cut depends on these two only, so all occurrences of a string are cut alike.

use std::collections::HashMap;

use libsais::SuffixArrayConstruction;

use super::alphabet::{Alphabet, UNKNOWN};
use super::corpus::{Lines, chars};
use super::interner::Interner;
use super::rule::PieceRule;
use crate::{Error, Result};

/// Text is searched in chunks of this size. A chunk ends with the line that reaches it.
pub(super) const CHUNK_BYTES: usize = 500 << 20;

/// The first byte of `▁`, and of the mark for unknown characters.
const SPACE: u8 = 0xE2;

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
    let mut found = Vec::new();
    let mut start = 0;
    while start < lines.len() {
        let mut end = start;
        let mut bytes = 0;
        while end < lines.len() && bytes < chunk {
            bytes += lines.line(end).iter().map(|&word| lengths[word as usize]).sum::<usize>() + 1;
            end += 1;
        }
        let in_chunk =
            Entries::new(lines, start..end, rule).candidates(rule, if start == 0 { most } else { usize::MAX })?;
        found = if start == 0 && end == lines.len() { in_chunk } else { merge(found, in_chunk) };
        if found.len() > 16 * most {
            keep_best(&mut found, 8 * most);
        }
        start = end;
    }
    keep_best(&mut found, most);
    found.sort_unstable_by(Candidate::order);
    seeds.extend(found.into_iter().map(|candidate| (candidate.piece, candidate.score)));
    to_log_probabilities(&mut seeds);
    Ok(seeds)
}

/// A string that occurs at least twice.
struct Candidate {
    piece: Vec<u8>,
    count: u64,
    score: f32,
}

impl Candidate {
    /// Puts the best first: by score, then the longest, then by bytes.
    fn order(a: &Self, b: &Self) -> std::cmp::Ordering {
        b.score.total_cmp(&a.score).then_with(|| b.piece.len().cmp(&a.piece.len())).then_with(|| a.piece.cmp(&b.piece))
    }
}

/// Keeps the `most` best candidates, in any order.
fn keep_best(candidates: &mut Vec<Candidate>, most: usize) {
    if candidates.len() > most {
        candidates.select_nth_unstable_by(most, Candidate::order);
        candidates.truncate(most);
    }
}

/// Adds up the counts of candidates in two chunks.
fn merge(found: Vec<Candidate>, more: Vec<Candidate>) -> Vec<Candidate> {
    let mut counts: HashMap<Vec<u8>, u64> = HashMap::with_capacity(found.len().max(more.len()));
    for candidate in found.into_iter().chain(more) {
        *counts.entry(candidate.piece).or_default() += candidate.count;
    }
    counts.into_iter().map(|(piece, count)| Candidate { score: score(&piece, count), piece, count }).collect()
}

/// The count times the length in characters.
fn score(piece: &[u8], count: u64) -> f32 {
    count as f32 * piece.iter().filter(|&&byte| is_start(byte)).count() as f32
}

/// Whether a byte begins a character.
fn is_start(byte: u8) -> bool {
    byte & 0xC0 != 0x80
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
        let first_byte = |line: usize| lines.words.get(lines.line(line)[0])[0];
        let mut entries = Self::default();
        // Nearly all words are followed by `▁`, in their line or the next one.
        let mut usual = [Follower::Byte(SPACE), Follower::Line(SPACE)].map(|it| (it, vec![0; lines.words.len()]));
        let mut others: HashMap<(u32, Follower), u64> = HashMap::new();
        for line in range.clone() {
            let words = lines.line(line);
            let Some((&last, words)) = words.split_last() else { continue };
            let mut count = |word: u32, follower: Follower| match usual.iter_mut().find(|it| it.0 == follower) {
                Some((_, counts)) => counts[word as usize] += 1,
                None => *others.entry((word, follower)).or_default() += 1,
            };
            for (place, &word) in words.iter().enumerate() {
                let next = words.get(place + 1).copied().unwrap_or(last);
                count(word, Follower::Byte(lines.words.get(next)[0]));
            }
            count(last, if line + 1 == range.end { Follower::End } else { Follower::Line(first_byte(line + 1)) });
        }
        for (follower, counts) in &usual {
            for (word, &count) in (0..).zip(counts).filter(|(_, count)| **count > 0) {
                entries.add_word(lines.words.get(word), *follower, count, rule);
            }
        }
        for ((word, follower), count) in others {
            entries.add_word(lines.words.get(word), follower, count, rule);
        }
        entries
    }

    /// Returns the strings that may be pieces, the `most` best of them in any order.
    fn candidates(&self, rule: &PieceRule, most: usize) -> Result<Vec<Candidate>> {
        let text = self.text()?;
        let mut found: Vec<(usize, usize, u64)> = Vec::new();
        let mut at_line_ends = Interner::default();
        let mut counts_there = Vec::new();
        self.repeated(&text, |at, length, count, is_at_line_ends| {
            if !rule.allows(str_of(&text[at..at + length])) {
                return;
            }
            if is_at_line_ends {
                // Suffixes of equal strings may come from several entries, but each string comes once.
                at_line_ends.intern(&text[at..at + length]);
                counts_there.push((at, length, count));
            } else {
                found.push((at, length, count));
            }
        });
        if !counts_there.is_empty() {
            for (at, length, count) in &mut found {
                if let Some(number) = at_line_ends.find(&text[*at..*at + *length]) {
                    *count += std::mem::take(&mut counts_there[number as usize].2);
                }
            }
            found.extend(counts_there.into_iter().filter(|&(.., count)| count > 0));
        }
        let mut found: Vec<(f32, usize, usize, u64)> = found
            .into_iter()
            .map(|(at, length, count)| (score(&text[at..at + length], count), at, length, count))
            .collect();
        if found.len() > most {
            found.select_nth_unstable_by(most, |a, b| {
                let pieces = [a, b].map(|&(_, at, length, _)| &text[at..at + length]);
                b.0.total_cmp(&a.0).then_with(|| b.2.cmp(&a.2)).then_with(|| pieces[0].cmp(pieces[1]))
            });
            found.truncate(most);
        }
        let candidate = |(score, at, length, count)| Candidate { piece: text[at..at + length].to_vec(), count, score };
        Ok(found.into_iter().map(candidate).collect())
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

    /// The strings, each with a NUL after it.
    fn text(&self) -> Result<Vec<u8>> {
        let size = self.strings.bytes().len() + self.strings.len();
        if size > i32::MAX as usize {
            return Err(Error::input(format!(
                "the text has {size} bytes of distinct words in a chunk; at most 2 GiB fit"
            )));
        }
        let mut text = Vec::with_capacity(size);
        for string in self.strings.iter() {
            text.extend_from_slice(string);
            text.push(0);
        }
        Ok(text)
    }

    /// Calls `visit` with the place and length of each right-branching string, how often it occurs, and whether only
    /// occurrences at the ends of lines count. A string can come once with these and once with all.
    fn repeated(&self, text: &[u8], mut visit: impl FnMut(usize, usize, u64, bool)) {
        if text.is_empty() {
            return;
        }
        let size = text.len();
        let mut entry_at = Vec::with_capacity(size);
        let mut start_of = Vec::with_capacity(self.strings.len());
        for (number, string) in self.strings.iter().enumerate() {
            start_of.push(entry_at.len());
            entry_at.resize(entry_at.len() + string.len() + 1, number as u32);
        }
        // For a suffix: its entry, how many bytes of its atom are left, and how many bytes are compared.
        let left = |suffix: usize| {
            let entry = entry_at[suffix] as usize;
            let start = start_of[entry];
            let atom = (start + self.lengths[entry] as usize).saturating_sub(suffix);
            let compared = if atom == 0 { 0 } else { start + self.strings.get(entry as u32).len() - suffix };
            (entry, atom, compared)
        };
        let (suffixes, prefixes) = suffix_array(text);
        let mut stack: Vec<Interval> = vec![Interval { first: 0, before: 0, depth: 0 }];
        let mut count = 0;
        let (mut compared_before, mut weight_before) = (0, 0);
        for place in 0..=suffixes.len() {
            let (mut depth, mut compared, mut weight) = (0, 0, 0);
            if let (Some(&suffix), Some(&prefix)) = (suffixes.get(place), prefixes.get(place)) {
                let (entry, _, length) = left(suffix as usize);
                compared = length;
                depth = (prefix as usize).min(compared).min(compared_before);
                weight = if length == 0 { 0 } else { self.counts[entry] };
            }
            let mut opened = Interval { first: place.saturating_sub(1), before: count - weight_before, depth };
            while let Some(top) = stack.last().filter(|top| depth < top.depth).copied() {
                stack.pop();
                opened.first = top.first;
                opened.before = top.before;
                let suffix = suffixes[top.first] as usize;
                let (_, atom, _) = left(suffix);
                let is_at_line_ends = top.depth == atom + 1 && text[suffix + atom] == 0;
                let ends_well = top.depth == atom || top.depth < atom && is_start(text[suffix + top.depth]);
                if is_start(text[suffix]) && (ends_well || is_at_line_ends) {
                    visit(suffix, top.depth.min(atom), count - top.before, is_at_line_ends);
                }
            }
            if stack.last().is_some_and(|top| depth > top.depth) {
                stack.push(opened);
            }
            count += weight;
            (compared_before, weight_before) = (compared, weight);
        }
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
