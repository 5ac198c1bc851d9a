//! The text of a training: lines as sequences of words, and what becomes of their rare characters.

use std::collections::HashMap;

use rayon::prelude::*;

use super::Options;
use super::alphabet::{Alphabet, UNKNOWN};
use super::interner::Interner;
use super::meta::MetaPieces;
use crate::tokens::tokenizer::normalizer::{Normalizer, SPACE_SYMBOL, char_length};
use crate::tokens::tokenizer::proto::ModelProto;
use crate::tokens::tokenizer::trie::Trie;
use crate::{Error, Result};

/// Stands for a special piece in the text, so that no other piece crosses it.
const BOUNDARY: u8 = 0x1F;

/// Lines that are dropped, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Dropped {
    /// Lines of more than `max_sentence_length` bytes.
    pub too_long: u64,
    /// Lines with U+2585, which stands for unknown characters.
    pub reserved: u64,
    /// Lines that normalization makes empty.
    pub empty: u64,
}

impl Dropped {
    /// The number of all of them.
    pub fn total(&self) -> u64 {
        self.too_long + self.reserved + self.empty
    }
}

/// Takes lines, and keeps their words.
#[derive(Debug)]
pub(super) struct Reader {
    rules: Rules,
    /// What each thread has read.
    shards: Vec<Shard>,
    /// Runs of lines in the order of the text: the shard that has them, and their number.
    runs: Vec<(usize, usize)>,
}

/// How lines become words.
#[derive(Debug)]
struct Rules {
    normalizer: Normalizer,
    /// The special pieces.
    symbols: Trie,
    max_line: usize,
    /// Whether lines are cut into words at `▁`, and at which side of it.
    words_of: WordsOf,
    /// Whether the parts of a line between spaces can be normalized one by one.
    by_parts: bool,
}

/// Some of the lines, and working memory.
#[derive(Debug, Default)]
struct Shard {
    lines: Lines,
    dropped: Dropped,
    parts: Parts,
    normal: Vec<u8>,
    marked: Vec<u8>,
}

/// The words of each part of a line between spaces.
#[derive(Debug, Default)]
struct Parts {
    raw: Interner,
    words: Vec<u32>,
    /// Which of `words` each part has; none if it can only be normalized with the rest of its line.
    spans: Vec<Option<(u32, u32)>>,
}

/// How lines are cut into words.
#[derive(Debug, Clone, Copy)]
struct WordsOf {
    split: bool,
    suffix: bool,
    /// Whether a run of `▁` is not cut.
    runs: bool,
}

/// Lines as sequences of distinct words.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub words: Interner,
    /// The words of all lines.
    sequence: Vec<u32>,
    /// Where each line ends in `sequence`.
    ends: Vec<usize>,
}

impl Lines {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The words of a line.
    pub fn line(&self, line: usize) -> &[u32] {
        let start = if line == 0 { 0 } else { self.ends[line - 1] };
        &self.sequence[start..self.ends[line]]
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u32]> {
        (0..self.len()).map(|line| self.line(line))
    }

    /// How often each word occurs.
    pub fn counts(&self) -> Vec<u64> {
        let mut counts = vec![0; self.words.len()];
        for &word in &self.sequence {
            counts[word as usize] += 1;
        }
        counts
    }

    fn push(&mut self, words: impl Iterator<Item = u32>) {
        self.sequence.extend(words);
        self.ends.push(self.sequence.len());
    }
}

impl Reader {
    pub fn new(options: &Options, meta: &MetaPieces) -> Result<Self> {
        let model = ModelProto {
            pieces: Vec::new(),
            trainer_spec: Some(options.trainer_spec()),
            normalizer_spec: Some(options.normalizer_spec()),
        };
        let broken = |reason: String| Error::Internal(format!("the normalization rules: {reason}"));
        let symbols: Vec<(&[u8], u32, f32)> = meta.values().map(|(piece, _)| (piece.as_bytes(), 0, 0.0)).collect();
        // Such a piece takes the place of the `▁` between two words.
        let joins_words = |piece: &str| piece.contains('▁');
        let normalizer = Normalizer::new(&model).map_err(broken)?;
        let by_parts = options.split_by_whitespace
            && !options.allow_whitespace_only_pieces
            && normalizer.is_word_local()
            && !meta.values().any(|(piece, _)| joins_words(piece));
        let rules = Rules {
            normalizer,
            symbols: Trie::build(&symbols).map_err(broken)?,
            max_line: options.max_sentence_length as usize,
            words_of: WordsOf {
                split: options.split_by_whitespace,
                suffix: options.treat_whitespace_as_suffix,
                runs: options.allow_whitespace_only_pieces,
            },
            by_parts,
        };
        Ok(Self { rules, shards: Vec::new(), runs: Vec::new() })
    }

    /// Adds lines. The threads of the current pool divide them.
    pub fn add(&mut self, lines: &[&str]) {
        let count = rayon::current_num_threads().clamp(1, lines.len().max(1));
        while self.shards.len() < count {
            self.shards.push(Shard::default());
        }
        let Self { rules, shards, runs } = self;
        let each = lines.len().div_ceil(count).max(1);
        let shards = shards.par_iter_mut().zip(lines.par_chunks(each));
        let added: Vec<usize> = shards
            .map(|(shard, lines)| {
                let before = shard.lines.len();
                for line in lines {
                    shard.add(line, rules);
                }
                shard.lines.len() - before
            })
            .collect();
        runs.extend(added.into_iter().enumerate());
    }

    /// The lines that were dropped so far.
    pub fn dropped(&self) -> Dropped {
        self.shards.iter().fold(Dropped::default(), |sum, Shard { dropped, .. }| Dropped {
            too_long: sum.too_long + dropped.too_long,
            reserved: sum.reserved + dropped.reserved,
            empty: sum.empty + dropped.empty,
        })
    }

    /// Removes empty lines and replaces rare characters. Returns the lines and the characters that remain.
    pub fn finish(mut self, options: &Options) -> Result<(Lines, Alphabet)> {
        let split = self.rules.words_of.split;
        let rare = if self.shards.len() == 1 { std::mem::take(&mut self.shards[0].lines) } else { self.join() };
        let order = order_without_empty(&rare);
        let counts = rare.counts();
        let alphabet = Alphabet::new(rare.words.iter().zip(counts), options)?;
        let mut lines = Lines::default();
        let mut word = Vec::new();
        if alphabet.contains('▁') || !split {
            let numbers: Vec<u32> = rare
                .words
                .iter()
                .map(|old| {
                    alphabet.replace(old, &mut word);
                    lines.words.intern(&word)
                })
                .collect();
            for line in order {
                lines.push(rare.line(line).iter().map(|&old| numbers[old as usize]));
            }
        } else {
            // Without `▁`, nothing separates the words of a line.
            let mut all = Vec::new();
            for line in order {
                all.clear();
                for &old in rare.line(line) {
                    alphabet.replace(rare.words.get(old), &mut word);
                    all.extend_from_slice(&word);
                }
                let number = lines.words.intern(&all);
                lines.push(std::iter::once(number));
            }
        }
        Ok((lines, alphabet))
    }

    /// The lines of all shards in the order of the text.
    fn join(self) -> Lines {
        let mut all = Lines::default();
        let numbers: Vec<Vec<u32>> = self
            .shards
            .iter()
            .map(|shard| shard.lines.words.iter().map(|word| all.words.intern(word)).collect())
            .collect();
        let mut next = vec![0; self.shards.len()];
        for (shard, count) in self.runs {
            for line in next[shard]..next[shard] + count {
                all.push(self.shards[shard].lines.line(line).iter().map(|&word| numbers[shard][word as usize]));
            }
            next[shard] += count;
        }
        all
    }
}

impl Shard {
    fn add(&mut self, line: &str, rules: &Rules) {
        if line.is_empty() {
            return;
        }
        if line.len() > rules.max_line {
            self.dropped.too_long += 1;
            return;
        }
        if memchr::memmem::find(line.as_bytes(), UNKNOWN.as_bytes()).is_some() {
            self.dropped.reserved += 1;
            return;
        }
        let before = self.lines.sequence.len();
        if !rules.by_parts || !self.add_parts(line, rules) {
            self.lines.sequence.truncate(before);
            rules.normalizer.normalize(line.as_bytes(), &mut self.normal);
            mark(&rules.symbols, &self.normal, &mut self.marked);
            let Lines { words, sequence, .. } = &mut self.lines;
            rules.words_of.each(&self.marked, |word| sequence.push(words.intern(word)));
        }
        let end = self.lines.sequence.len();
        self.dropped.empty += u64::from(end == before);
        self.lines.ends.push(end);
    }

    /// Adds the words of a line part by part. Returns `false` if that is not possible.
    fn add_parts(&mut self, line: &str, rules: &Rules) -> bool {
        let parts = &mut self.parts;
        let Lines { words, sequence, .. } = &mut self.lines;
        for part in line.as_bytes().split(|&byte| byte == b' ').filter(|part| !part.is_empty()) {
            let number = parts.raw.intern(part) as usize;
            if number == parts.spans.len() {
                let start = parts.words.len() as u32;
                // A `▁` of the text itself is removed at the end of a line only.
                let whole_line = rules.normalizer.normalize(part, &mut self.normal);
                if !whole_line {
                    mark(&rules.symbols, &self.normal, &mut self.marked);
                    rules.words_of.each(&self.marked, |word| parts.words.push(words.intern(word)));
                }
                parts.spans.push((!whole_line).then_some((start, parts.words.len() as u32)));
            }
            let Some((start, end)) = parts.spans[number] else {
                return false;
            };
            sequence.extend_from_slice(&parts.words[start as usize..end as usize]);
        }
        true
    }
}

/// The order in which `SentencePiece` keeps lines: the last line takes the place of an empty one.
fn order_without_empty(lines: &Lines) -> Vec<usize> {
    let mut order = Vec::with_capacity(lines.len());
    let mut end = lines.len();
    let mut place = 0;
    while place < end {
        let mut line = place;
        while lines.line(line).is_empty() && place < end {
            end -= 1;
            line = end;
        }
        if place < end {
            order.push(line);
        }
        place += 1;
    }
    order
}

/// Writes `text` to `out` with a boundary in place of each special piece.
fn mark(symbols: &Trie, text: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let mut at = 0;
    while at < text.len() {
        if let Some((length, _)) = symbols.longest_prefix(&text[at..]) {
            out.push(BOUNDARY);
            at += length;
        } else {
            let length = char_length(text[at]).min(text.len() - at);
            out.extend_from_slice(&text[at..at + length]);
            at += length;
        }
    }
}

impl WordsOf {
    /// Calls `visit` with each word of `text`.
    fn each<'a>(self, text: &'a [u8], mut visit: impl FnMut(&'a [u8])) {
        if text.is_empty() {
            return;
        }
        if !self.split {
            return visit(text);
        }
        let is_space = |at: usize| text[at..].starts_with(SPACE_SYMBOL);
        let mut start = 0;
        let mut was_space = is_space(0);
        let mut at = char_length(text[0]).min(text.len());
        while at < text.len() {
            let space = is_space(at);
            let begins = match (self.suffix, self.runs) {
                (false, false) => space,
                (false, true) => space && !was_space,
                (true, false) => was_space,
                (true, true) => was_space && !space,
            };
            if begins {
                visit(&text[start..at]);
                start = at;
            }
            was_space = space;
            at += char_length(text[at]).min(text.len() - at);
        }
        visit(&text[start..]);
    }
}

/// Words with their counts, the most frequent first.
#[derive(Debug)]
pub(super) struct Counted {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    counts: Vec<u64>,
}

impl Counted {
    /// Counts the words of `lines`, or takes each line as a word if no space separates words.
    pub fn new(lines: &Lines, options: &Options) -> Self {
        let mut sorted = Self { bytes: Vec::new(), ends: Vec::new(), counts: Vec::new() };
        if options.split_by_whitespace {
            let counts = lines.counts();
            let mut order: Vec<u32> = (0..lines.words.len() as u32).filter(|&word| counts[word as usize] > 0).collect();
            order.sort_unstable_by(|&a, &b| {
                let [more, less] = [b, a].map(|word| counts[word as usize]);
                more.cmp(&less).then_with(|| lines.words.get(a).cmp(lines.words.get(b)))
            });
            for word in order {
                sorted.push(lines.words.get(word), counts[word as usize]);
            }
        } else {
            for line in lines.iter() {
                for &word in line {
                    sorted.push(lines.words.get(word), 1);
                }
            }
        }
        sorted
    }

    fn push(&mut self, word: &[u8], count: u64) {
        self.bytes.extend_from_slice(word);
        self.ends.push(self.bytes.len());
        self.counts.push(count);
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// A word and its count.
    pub fn get(&self, word: usize) -> (&[u8], u64) {
        let start = if word == 0 { 0 } else { self.ends[word - 1] };
        (&self.bytes[start..self.ends[word]], self.counts[word])
    }
}

/// Counts of characters in words.
pub(super) fn count_chars<'a>(words: impl Iterator<Item = (&'a [u8], u64)>) -> HashMap<char, u64> {
    let mut ascii = [0u64; 128];
    let mut counts = HashMap::new();
    for (word, count) in words {
        if count == 0 {
            continue;
        }
        for c in chars(word) {
            match ascii.get_mut(c as usize) {
                Some(it) => *it += count,
                None => *counts.entry(c).or_default() += count,
            }
        }
    }
    counts.extend((0..128u8).filter(|&c| ascii[c as usize] > 0).map(|c| (c as char, ascii[c as usize])));
    counts
}

/// The characters of a word. Words are parts of UTF-8 text cut between characters.
pub(super) fn chars(word: &[u8]) -> std::str::Chars<'_> {
    std::str::from_utf8(word).expect("words are UTF-8").chars()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str, suffix: bool, runs: bool) -> Vec<String> {
        let mut words = Vec::new();
        let words_of = WordsOf { split: true, suffix, runs };
        words_of.each(text.as_bytes(), |word| words.push(String::from_utf8_lossy(word).into_owned()));
        words
    }

    #[test]
    fn words_begin_or_end_with_a_space() {
        assert_eq!(words("▁ab▁▁c", false, false), ["▁ab", "▁", "▁c"]);
        assert_eq!(words("▁ab▁▁c", false, true), ["▁ab", "▁▁c"]);
        assert_eq!(words("ab▁▁c▁", true, false), ["ab▁", "▁", "c▁"]);
        assert_eq!(words("ab▁▁c▁", true, true), ["ab▁▁", "c▁"]);
    }

    #[test]
    fn the_last_line_takes_the_place_of_an_empty_one() {
        let of = |empty: &[usize], count: usize| {
            let mut lines = Lines::default();
            for line in 0..count {
                lines.push(std::iter::once(0).filter(|_| !empty.contains(&line)));
            }
            order_without_empty(&lines)
        };
        assert_eq!(of(&[], 3), [0, 1, 2]);
        assert_eq!(of(&[0], 3), [2, 1]);
        assert_eq!(of(&[0, 3], 4), [2, 1]);
        assert_eq!(of(&[1, 2], 5), [0, 4, 3]);
        assert_eq!(of(&[0, 1], 2), [0; 0]);
        assert_eq!(of(&[1], 2), [0]);
    }
}
