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
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use libsais::SuffixArrayConstruction;
use rayon::prelude::*;

use super::alphabet::{Alphabet, UNKNOWN};
use super::candidates::{Candidates, Rank, Scored, is_start, score};
use super::interner::{Interner, Strings};
use super::lines::{LineCursor, Lines};
use super::rule::PieceRule;
use super::watch::{Stage, Watch, abandonable, watched};
use super::words::chars;
use crate::{Error, Progress, Result};

/// Text is searched in chunks of this size. A chunk ends with the line that reaches it.
pub(super) const CHUNK_BYTES: usize = 500 << 20;

/// The first byte of `▁`, and of the mark for unknown characters.
const SPACE: u8 = 0xE2;

/// After how many lines or suffixes a thread asks whether to stop.
const OFTEN: u64 = 1 << 14;

/// Returns at most `most` pieces of more than one character, after those of one, with their log probabilities.
///
/// # Errors
/// The text of a chunk is too large; `progress` asks to stop.
pub(super) fn seeds(
    lines: &Lines,
    alphabet: &Alphabet,
    rule: &PieceRule,
    (most, chunk): (usize, usize),
    progress: &mut dyn Progress,
) -> Result<Scored> {
    let mut seeds = Scored::default();
    for &(c, count) in alphabet.by_count.iter().filter(|&&(_, count)| count > 0) {
        seeds.push(c.encode_utf8(&mut [0; 4]).as_bytes(), count as f32);
    }
    let mut found: Option<Candidates> = None;
    let mut cursor = lines.cursor();
    while !cursor.is_at_end() {
        let (read, all) = (cursor.place(), lines.len());
        let stage = Stage { name: "collecting words", unit: "lines", done: (read, all), total: all, steps: all - read };
        let entries = watched(progress, stage, |watch| Entries::read(lines, &mut cursor, chunk, rule, watch))?;
        // In a later chunk, any string can become one of the best.
        let is_only = found.is_none() && cursor.is_at_end();
        let stage = Stage::whole("finding pieces", "bytes", entries.text.len() as u64);
        let sorted = Sorted::new(&entries, stage, progress)?;
        found = Some(watched(progress, stage, |watch| {
            let in_chunk = entries.candidates(sorted, rule, if is_only { most } else { usize::MAX }, watch)?;
            let mut all = match &found {
                Some(found) => found.merge(&in_chunk, watch)?,
                None => in_chunk,
            };
            if all.len() > 16 * most {
                all = all.keep_best(8 * most, watch)?;
            }
            Ok(all)
        })?);
    }
    if let Some(found) = found {
        let stage = Stage::whole("finding pieces", "pieces", found.len() as u64);
        watched(progress, stage, |watch| found.add_best(most, &mut seeds, watch))?;
    }
    to_log_probabilities(&mut seeds.scores);
    Ok(seeds)
}

/// Makes scores from frequencies, in `SentencePiece`'s order of operations.
fn to_log_probabilities(scores: &mut [f32]) {
    let sum: f64 = scores.iter().fold(0.0, |sum, &count| sum + f64::from(count));
    let log_sum = sum.ln();
    for score in scores {
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

/// How often each word is followed by what.
struct Followers {
    /// Nearly all words are followed by `▁`, in their line or the next one.
    usual: [(Follower, Vec<u64>); 2],
    others: HashMap<(u32, Follower), u64>,
}

impl Followers {
    /// Reads the lines of the next chunk.
    fn read(lines: &Lines, cursor: &mut LineCursor, chunk: usize, watch: &Watch) -> Result<Self> {
        let words = lines.words();
        let usual = [Follower::Byte(SPACE), Follower::Line(SPACE)].map(|follower| (follower, vec![0; words.len()]));
        let mut followers = Self { usual, others: HashMap::new() };
        let last = if words.iter().all(|word| word.first() == Some(&SPACE)) {
            followers.count_spaced(lines, cursor, chunk, watch)?
        } else {
            followers.count(lines, cursor, chunk, watch)?
        };
        if let Some(last) = last {
            followers.add(last, Follower::End);
        }
        Ok(followers)
    }

    /// Counts what follows each word but the last, which it returns.
    fn count(&mut self, lines: &Lines, cursor: &mut LineCursor, chunk: usize, watch: &Watch) -> Result<Option<u32>> {
        let words = lines.words();
        let first_byte = |word: u32| words.get(word)[0];
        let mut last = None;
        let mut line = Vec::new();
        let (mut bytes, mut read) = (0, 0);
        while bytes < chunk && cursor.next(&mut line)? {
            if let Some(last) = last {
                self.add(last, Follower::Line(first_byte(line[0])));
            }
            for pair in line.windows(2) {
                self.add(pair[0], Follower::Byte(first_byte(pair[1])));
            }
            bytes += line.iter().map(|&word| words.get(word).len()).sum::<usize>() + 1;
            last = line.last().copied();
            read += 1;
            if read % OFTEN == 0 {
                watch.advance(OFTEN)?;
            }
        }
        Ok(last)
    }

    /// The same if all words begin with the same byte. Only the last words of lines have another follower than the others.
    fn count_spaced(
        &mut self,
        lines: &Lines,
        cursor: &mut LineCursor,
        chunk: usize,
        watch: &Watch,
    ) -> Result<Option<u32>> {
        let [(_, in_lines), (_, at_ends)] = &mut self.usual;
        let lengths: Vec<u32> = lines.words().iter().map(|word| word.len() as u32).collect();
        let counts = lines.words_with_counts().map(|(_, count)| count);
        let all: u64 = counts.clone().zip(&lengths).map(|(count, &length)| count * u64::from(length)).sum();
        let is_only = cursor.place() == 0 && all + lines.len() < chunk as u64;
        let mut last = None;
        let mut line = Vec::new();
        let (mut bytes, mut read) = (0, 0);
        while bytes < chunk && cursor.next(&mut line)? {
            if !is_only {
                for &word in &line {
                    in_lines[word as usize] += 1;
                    bytes += lengths[word as usize] as usize;
                }
                bytes += 1;
            }
            if let Some(last) = std::mem::replace(&mut last, line.last().copied()) {
                at_ends[last as usize] += 1;
            }
            read += 1;
            if read % OFTEN == 0 {
                watch.advance(OFTEN)?;
            }
        }
        if is_only {
            in_lines.iter_mut().zip(counts).for_each(|(in_line, count)| *in_line = count);
        }
        in_lines.iter_mut().zip(at_ends).for_each(|(in_line, at_end)| *in_line -= *at_end);
        if let Some(last) = last {
            in_lines[last as usize] -= 1;
        }
        Ok(last)
    }

    #[inline]
    fn add(&mut self, word: u32, follower: Follower) {
        match self.usual.iter_mut().find(|usual| usual.0 == follower) {
            Some((_, counts)) => counts[word as usize] += 1,
            None => *self.others.entry((word, follower)).or_default() += 1,
        }
    }
}

/// Distinct atoms with what follows them.
struct Entries {
    /// Atoms, each with the bytes that follow it and a NUL. These bytes are one byte of the same line; or NUL and a byte
    /// of the next line; or NUL.
    text: Arc<Vec<u8>>,
    /// Where each entry ends.
    ends: Vec<usize>,
    counts: Vec<u64>,
}

impl Entries {
    /// Reads the lines of the next chunk.
    fn read(lines: &Lines, cursor: &mut LineCursor, chunk: usize, rule: &PieceRule, watch: &Watch) -> Result<Self> {
        let words = lines.words();
        let Followers { usual, others } = Followers::read(lines, cursor, chunk, watch)?;
        let mut atoms = Atoms::default();
        for (follower, counts) in usual {
            for (word, &count) in (0..).zip(&counts).filter(|(_, count)| **count > 0) {
                atoms.add_word(words.get(word), follower, count, rule);
                if u64::from(word) % OFTEN == 0 {
                    watch.advance(0)?;
                }
            }
        }
        for (number, ((word, follower), count)) in (0..).zip(others) {
            if number % OFTEN == 0 {
                watch.advance(0)?;
            }
            atoms.add_word(words.get(word), follower, count, rule);
        }
        let (text, ends, counts) = atoms.into_entries();
        if text.len() > i32::MAX as usize {
            return Err(Error::input(format!(
                "the text has {} bytes of distinct words in a chunk; at most 2 GiB fit",
                text.len()
            )));
        }
        Ok(Self { text: Arc::new(text), ends, counts })
    }

    /// Returns the strings that may be pieces, the `most` best of them.
    fn candidates(&self, sorted: Sorted, rule: &PieceRule, most: usize, watch: &Watch) -> Result<Candidates> {
        let text = &self.text[..];
        // Removing bad ones from time to time keeps the list short. All parts share it, so that it does not grow with their
        // number.
        let limit = most.saturating_mul(2).max(1 << 16);
        let keep_best = |found: &mut Vec<Repeated>| {
            if found.len() > most {
                found.select_nth_unstable_by(most, |a, b| a.rank().order(&b.rank()));
                found.truncate(most);
            }
        };
        let all: Mutex<Vec<Repeated>> = Mutex::default();
        let hand_over = |found: &mut Vec<Repeated>| {
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            all.append(found);
            if all.len() >= limit {
                keep_best(&mut all);
            }
        };
        let parts = sorted.parts(rayon::current_num_threads());
        let in_hand = (limit / parts.len().max(1)).clamp(1 << 10, 1 << 16);
        let starts = Starts::new(&self.ends);
        let in_part = |places: Range<usize>| {
            let mut found: Vec<Repeated> = Vec::new();
            self.repeated(&sorted, &starts, places, watch, |first, length, count| {
                let start = sorted.suffixes[first] as usize;
                let string = str_of(&text[start..start + length]);
                if rule.allows(string) {
                    let chars = string.chars().count() as u16;
                    found.push(Repeated { count, first: first as u32, bytes: length as u16, chars });
                    if found.len() >= in_hand {
                        hand_over(&mut found);
                    }
                }
            })?;
            hand_over(&mut found);
            Ok(())
        };
        parts.into_par_iter().try_for_each(in_part)?;
        let mut found = all.into_inner().unwrap_or_else(PoisonError::into_inner);
        keep_best(&mut found);
        let Sorted { suffixes, prefixes } = sorted;
        drop(prefixes);
        // The order of their bytes.
        found.par_sort_unstable_by_key(|it| (it.first, it.bytes));
        watch.advance(0)?;
        let mut candidates = Candidates::default();
        for it in found {
            let start = suffixes[it.first as usize] as usize;
            candidates.push(&text[start..start + usize::from(it.bytes)], it.count);
        }
        Ok(candidates)
    }

    /// Calls `visit` with each right-branching string of a part of the suffixes: the place of its first suffix, its
    /// length, and how often it occurs.
    fn repeated(
        &self,
        sorted: &Sorted,
        starts: &Starts,
        places: Range<usize>,
        watch: &Watch,
        mut visit: impl FnMut(usize, usize, u64),
    ) -> Result<()> {
        let text = &self.text[..];
        // For a suffix: its entry, how many bytes of its atom are left, and how many bytes are compared.
        let left = |suffix: usize| {
            let entry = starts.entry(suffix);
            let end = self.ends[entry];
            let compared = end - 1 - suffix;
            // Two bytes follow the atom, or three if the next line's byte is one of them.
            let follower = if text[end - 2] != 0 && text[end - 3] == 0 { 3 } else { 2 };
            let atom = (end - follower).saturating_sub(suffix);
            (entry, atom, if atom == 0 { 0 } else { compared })
        };
        let Sorted { suffixes, prefixes } = sorted;
        let mut stack: Vec<Interval> = vec![Interval { first: places.start, before: 0, depth: 0 }];
        // The counts at line ends of strings that come later with all their occurrences.
        let mut at_line_ends: Vec<(usize, u64)> = Vec::new();
        let mut count = 0;
        let (mut compared_before, mut weight_before) = (0, 0);
        for place in places.start..=places.end {
            if place as u64 % OFTEN == OFTEN - 1 {
                watch.advance(OFTEN)?;
            }
            let (mut depth, mut compared, mut weight) = (0, 0, 0);
            if place < places.end {
                let suffix = suffixes[place];
                let (entry, _, length) = left(suffix as usize);
                compared = length;
                depth = (prefixes[suffix as usize] as usize).min(compared).min(compared_before);
                weight = if length == 0 { 0 } else { self.counts[entry] };
            }
            let mut opened = Interval { first: place.saturating_sub(1), before: count - weight_before, depth };
            while let Some(top) = stack.last().filter(|top| depth < top.depth).copied() {
                stack.pop();
                opened.first = top.first;
                opened.before = top.before;
                let suffix = suffixes[top.first] as usize;
                if !is_start(text[suffix]) {
                    continue;
                }
                let (_, atom, _) = left(suffix);
                let occurs = count - top.before;
                if top.depth == atom + 1 && text[suffix + atom] == 0 {
                    // Only occurrences at the ends of lines count here. If all count too, that is the next interval.
                    let next = stack.last().map_or(0, |next| next.depth).max(depth);
                    if next == atom {
                        at_line_ends.push((atom, occurs));
                    } else {
                        visit(top.first, atom, occurs);
                    }
                } else if top.depth == atom || top.depth < atom && is_start(text[suffix + top.depth]) {
                    let more = at_line_ends.pop_if(|it| it.0 == top.depth && top.depth == atom);
                    visit(top.first, top.depth, occurs + more.map_or(0, |it| it.1));
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

/// Collects atoms.
#[derive(Default)]
struct Atoms {
    entries: Interner,
    counts: Vec<u64>,
    /// Words that are not cut. Each comes once with the same follower, so they need not be compared.
    words: Strings,
    word_counts: Vec<u64>,
    entry: Vec<u8>,
}

impl Atoms {
    fn add_word(&mut self, word: &[u8], follower: Follower, count: u64, rule: &PieceRule) {
        let mut start = 0;
        let mut before = None;
        let mut at = 0;
        for c in chars(word) {
            if before.is_some_and(|before| rule.separates(before, c)) {
                if self.write(&word[start..at], Follower::Byte(word[at])) {
                    self.add_part(count);
                }
                start = at;
            }
            before = Some(c);
            at += c.len_utf8();
        }
        if !self.write(&word[start..], follower) {
            return;
        }
        if start == 0 {
            self.words.push(&self.entry);
            self.word_counts.push(count);
        } else {
            self.add_part(count);
        }
    }

    /// Writes an entry. Returns `false` if its atom is no piece.
    fn write(&mut self, atom: &[u8], follower: Follower) -> bool {
        if chars(atom).nth(1).is_none() || atom == UNKNOWN.as_bytes() {
            return false;
        }
        self.entry.clear();
        self.entry.extend_from_slice(atom);
        match follower {
            Follower::Byte(byte) => self.entry.extend([byte, 0]),
            Follower::Line(byte) => self.entry.extend([0, byte, 0]),
            Follower::End => self.entry.extend([0, 0]),
        }
        true
    }

    /// Counts the entry that was written, a part of a word.
    fn add_part(&mut self, count: u64) {
        let number = self.entries.intern(&self.entry) as usize;
        if number == self.counts.len() {
            self.counts.push(0);
        }
        self.counts[number] += count;
    }

    fn into_entries(self) -> (Vec<u8>, Vec<usize>, Vec<u64>) {
        let Self { entries, mut counts, words, word_counts, .. } = self;
        let (mut text, mut ends) = entries.into_strings().into_parts();
        let (more, more_ends) = words.into_parts();
        let start = text.len();
        text.extend_from_slice(&more);
        ends.extend(more_ends.iter().map(|end| start + end));
        counts.extend_from_slice(&word_counts);
        (text, ends, counts)
    }
}

/// A string that occurs at least twice.
#[derive(Debug, Clone, Copy)]
struct Repeated {
    count: u64,
    /// The place of its first suffix.
    first: u32,
    bytes: u16,
    chars: u16,
}

impl Repeated {
    fn rank(&self) -> Rank {
        // Strings of one length have the order of their suffixes.
        Rank { score: score(self.count, usize::from(self.chars)), bytes: self.bytes, place: self.first }
    }
}

/// Finds the entry that has a place of the text.
struct Starts(Vec<(u64, u32)>);

impl Starts {
    fn new(ends: &[usize]) -> Self {
        let size = ends.last().copied().unwrap_or(0);
        let mut blocks = vec![(0u64, 0u32); size / 64 + 1];
        for &end in ends {
            blocks[end / 64].0 |= 1 << (end % 64);
        }
        let mut before = 0;
        for (bits, ends) in &mut blocks {
            *ends = before;
            before += bits.count_ones();
        }
        Self(blocks)
    }

    /// How many entries end at `place` or before it.
    #[inline]
    fn entry(&self, place: usize) -> usize {
        let (bits, before) = self.0[place / 64];
        before as usize + (bits & u64::MAX >> (63 - place % 64)).count_ones() as usize
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

/// The suffixes of a text.
struct Sorted {
    /// The suffixes in order.
    suffixes: Vec<i32>,
    /// By suffix, the length of the prefix that it has in common with the one before it.
    prefixes: Vec<i32>,
}

impl Sorted {
    /// Divides the places of the suffixes into at most `most` parts, between suffixes that begin with different bytes.
    fn parts(&self, most: usize) -> Vec<Range<usize>> {
        let all = self.suffixes.len();
        let mut parts = Vec::new();
        let mut start = 0;
        for part in 1..=most {
            let mut end = (all * part / most).max(start);
            while end < all && self.prefixes[self.suffixes[end] as usize] > 0 {
                end += 1;
            }
            parts.push(start..end);
            start = end;
        }
        parts.retain(|part| !part.is_empty());
        parts
    }

    fn new(entries: &Entries, stage: Stage, progress: &mut dyn Progress) -> Result<Self> {
        if entries.text.is_empty() {
            return Ok(Self { suffixes: Vec::new(), prefixes: Vec::new() });
        }
        let text = Arc::clone(&entries.text);
        abandonable(progress, stage, move || {
            let suffixes = SuffixArrayConstruction::for_text(&text[..]).in_owned_buffer32().single_threaded().run();
            let (suffixes, prefixes, _) = suffixes
                .and_then(|it| it.plcp_construction().single_threaded().run())
                .expect("it fails only without memory")
                .into_parts();
            Self { suffixes, prefixes }
        })
    }
}

#[cfg(test)]
mod tests;
