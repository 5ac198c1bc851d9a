//! Reads lines: drops some, normalizes the others, and keeps the numbers of their words.

use std::ops::AddAssign;

use rayon::prelude::*;

use super::Options;
use super::alphabet::{Alphabet, UNKNOWN};
use super::interner::Interner;
use super::lines::{Lines, Part};
use super::meta::MetaPieces;
use super::sample::Sample;
use super::spool::Spool;
use super::watch::{Stage, Watch, watched};
use super::words::{WordsOf, mark};
use crate::tokens::tokenizer::normalizer::Normalizer;
use crate::tokens::tokenizer::proto::ModelProto;
use crate::tokens::tokenizer::trie::Trie;
use crate::{Error, Progress, Result};

/// The bytes of numbers that are kept in memory, in all threads together. The rest goes to temporary files.
pub(super) const MEMORY: usize = 32 << 20;

/// How many parts of lines a thread remembers.
const MOST_PARTS: usize = 1 << 17;

/// Lines that are dropped, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Dropped {
    /// Lines of more than `max_sentence_length` bytes.
    pub too_long: u64,
    /// Lines with U+2585, which stands for unknown characters.
    pub reserved: u64,
    /// Lines that normalization makes empty. Those that are not in the sample are not normalized.
    pub empty: u64,
}

impl Dropped {
    /// The number of all of them.
    pub fn total(&self) -> u64 {
        self.too_long + self.reserved + self.empty
    }
}

impl AddAssign for Dropped {
    fn add_assign(&mut self, more: Self) {
        self.too_long += more.too_long;
        self.reserved += more.reserved;
        self.empty += more.empty;
    }
}

/// Takes lines, and keeps their words.
#[derive(Debug)]
pub(super) struct Reader {
    rules: Rules,
    /// What each thread has read.
    shards: Vec<Shard>,
    /// Runs of lines in the order of the text: the shard that has them, and their number.
    runs: Vec<(usize, u64)>,
    /// How many lines were not dropped.
    read: u64,
}

/// How lines become words.
#[derive(Debug)]
struct Rules {
    normalizer: Normalizer,
    /// The special pieces.
    symbols: Trie,
    max_line: usize,
    words_of: WordsOf,
    /// Whether the parts of a line between spaces can be normalized one by one.
    by_parts: bool,
    choice: Choice,
    /// The bytes of numbers that are kept in memory.
    memory: usize,
}

/// Which lines are kept, of those that are not dropped.
#[derive(Debug, Clone, Copy)]
enum Choice {
    All,
    /// Those that may be in the sample of a text whose length is not known yet. Their own numbers are kept too.
    Possible(Sample),
    /// Those of a sample.
    Sampled(Sample),
}

/// Some of the lines, and working memory.
#[derive(Debug, Default)]
struct Shard {
    words: Interner,
    /// Lines as numbers of words. If a sample is not known yet, the line's own number comes first, as two halves.
    lines: Spool,
    dropped: Dropped,
    parts: Parts,
    line: Vec<u32>,
    normal: Vec<u8>,
    marked: Vec<u8>,
}

/// The words of parts of lines between spaces.
#[derive(Debug, Default)]
struct Parts {
    raw: Interner,
    words: Vec<u32>,
    /// Which of `words` each part has; none if it can only be normalized with the rest of its line.
    spans: Vec<Option<(u32, u32)>>,
}

impl Reader {
    /// Begins with a text.
    ///
    /// # Errors
    /// The normalization rules or the special pieces cannot be used.
    pub fn new(options: &Options, meta: &MetaPieces) -> Result<Self> {
        let sample = Sample::new(options.input_sentence_size);
        let choice = if sample.is_limited() { Choice::Possible(sample) } else { Choice::All };
        Self::choosing(options, meta, choice)
    }

    /// Begins with a part of a text, whose first line has this number among those of the text that are not dropped. Keeps
    /// the lines of the text's sample.
    ///
    /// # Errors
    /// As for [`Reader::new`].
    pub fn of_part(options: &Options, meta: &MetaPieces, first: u64, sample: Sample) -> Result<Self> {
        let choice = if sample.is_limited() { Choice::Sampled(sample) } else { Choice::All };
        Ok(Self { read: first, ..Self::choosing(options, meta, choice)? })
    }

    fn choosing(options: &Options, meta: &MetaPieces, choice: Choice) -> Result<Self> {
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
            words_of: WordsOf::new(options),
            by_parts,
            choice,
            memory: MEMORY,
        };
        Ok(Self { rules, shards: Vec::new(), runs: Vec::new(), read: 0 })
    }

    /// Keeps less in memory.
    #[cfg(test)]
    pub fn limit_memory(&mut self, memory: usize) {
        self.rules.memory = memory;
    }

    /// Adds lines. The threads of the current pool divide them.
    pub fn add(&mut self, lines: &[&str]) {
        let count = rayon::current_num_threads().clamp(1, lines.len().max(1));
        while self.shards.len() < count {
            self.shards.push(Shard::default());
        }
        let Self { rules, shards, runs, read } = self;
        let memory = rules.memory / shards.len();
        let each = lines.len().div_ceil(count).max(1);
        // The number of each first line.
        let starts: Vec<u64> = match rules.choice {
            Choice::All => Vec::new(),
            _ => {
                lines.par_chunks(each).map(|lines| lines.iter().filter(|line| rules.has(line)).count() as u64).collect()
            }
        };
        let starts = starts.iter().scan(*read, |next, count| Some(std::mem::replace(next, *next + count)));
        let starts: Vec<u64> = starts.collect();
        let shards = shards.par_iter_mut().zip(lines.par_chunks(each)).enumerate();
        let added = shards.map(|(place, (shard, lines))| {
            let (before, start) = (shard.lines.len(), starts.get(place).copied().unwrap_or_default());
            let mut number = start;
            for line in lines.iter().filter(|line| !line.is_empty()) {
                if let Some(dropped) = why_dropped(line, rules.max_line) {
                    shard.dropped += dropped;
                    continue;
                }
                shard.add(line, number, rules, memory);
                number += 1;
            }
            (shard.lines.len() - before, number - start)
        });
        let added: Vec<(u64, u64)> = added.collect();
        for (shard, (kept, numbered)) in added.into_iter().enumerate() {
            *read += numbered;
            match runs.last_mut() {
                Some((last, count)) if *last == shard => *count += kept,
                _ => runs.push((shard, kept)),
            }
        }
    }

    /// The lines that were dropped so far.
    pub fn dropped(&self) -> Dropped {
        self.shards.iter().fold(Dropped::default(), |mut sum, shard| {
            sum += shard.dropped;
            sum
        })
    }

    /// Chooses the sample, removes empty lines, and replaces rare characters. Returns the lines and the characters that
    /// remain.
    ///
    /// # Errors
    /// There is no text; `progress` asks to stop.
    pub fn finish(self, options: &Options, progress: &mut dyn Progress) -> Result<(Lines, Alphabet)> {
        watched(progress, Stage::whole("counting words", "lines", self.kept()), |watch| {
            covered(self.into_lines(watch)?, options, watch)
        })
    }

    /// How many lines are kept.
    pub fn kept(&self) -> u64 {
        self.shards.iter().map(|shard| shard.lines.len()).sum()
    }

    /// Chooses the sample, and returns its lines.
    ///
    /// # Errors
    /// As for [`Lines::new`].
    pub fn into_lines(self, watch: &Watch) -> Result<Lines> {
        let Self { rules, shards, runs, read } = self;
        let sample = match rules.choice {
            Choice::Possible(sample) => Some(sample.of(read, watch)?),
            Choice::All | Choice::Sampled(_) => None,
        };
        let parts = shards.into_iter().map(|shard| Part::new(shard.words, shard.lines)).collect();
        Lines::new(parts, &runs, sample, watch)
    }
}

/// Removes empty lines, and replaces rare characters. Returns the lines and the characters that remain.
///
/// # Errors
/// There is no text; a temporary file cannot be read; `watch` asks to stop.
pub(super) fn covered(mut lines: Lines, options: &Options, watch: &Watch) -> Result<(Lines, Alphabet)> {
    let alphabet = Alphabet::new(lines.words_with_counts(), options)?;
    if alphabet.contains('▁') || !options.split_by_whitespace {
        lines.replace_rare(&alphabet, watch)?;
    } else {
        // Without `▁`, nothing separates the words of a line.
        lines = lines.whole(&alphabet, watch)?;
    }
    Ok((lines, alphabet))
}

/// Returns why a line is dropped, if it is.
pub(super) fn why_dropped(line: &str, max_line: usize) -> Option<Dropped> {
    if line.len() > max_line {
        return Some(Dropped { too_long: 1, ..Dropped::default() });
    }
    if memchr::memmem::find(line.as_bytes(), UNKNOWN.as_bytes()).is_some() {
        return Some(Dropped { reserved: 1, ..Dropped::default() });
    }
    None
}

impl Rules {
    /// Whether a line is not dropped.
    fn has(&self, line: &str) -> bool {
        !line.is_empty() && why_dropped(line, self.max_line).is_none()
    }
}

impl Shard {
    fn add(&mut self, line: &str, number: u64, rules: &Rules, memory: usize) {
        self.line.clear();
        match rules.choice {
            Choice::All => {}
            Choice::Possible(sample) if sample.may_have(number) => {
                self.line.extend([number as u32, (number >> 32) as u32]);
            }
            Choice::Sampled(sample) if sample.has(number) => {}
            Choice::Possible(_) | Choice::Sampled(_) => return,
        }
        let start = self.line.len();
        if !rules.by_parts || !self.add_parts(line, rules) {
            self.line.truncate(start);
            rules.normalizer.normalize(line.as_bytes(), &mut self.normal);
            mark(&rules.symbols, &self.normal, &mut self.marked);
            let Self { line, words, .. } = self;
            rules.words_of.each(&self.marked, |word| line.push(words.intern(word)));
        }
        self.dropped.empty += u64::from(self.line.len() == start);
        self.lines.push(&self.line, memory);
    }

    /// Adds the words of a line part by part. Returns `false` if that is not possible.
    fn add_parts(&mut self, line: &str, rules: &Rules) -> bool {
        let Self { parts, words, .. } = self;
        if parts.spans.len() > MOST_PARTS {
            *parts = Parts::default();
        }
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
            self.line.extend_from_slice(&parts.words[start as usize..end as usize]);
        }
        true
    }
}
