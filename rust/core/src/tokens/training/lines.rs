//! The lines of a training as sequences of distinct words, in the order in which `SentencePiece` has them.

use rayon::prelude::*;

use super::Options;
use super::alphabet::Alphabet;
use super::interner::{Interner, Strings};
use super::sample::Sample;
use super::spool::{Cursor, Spool};
use super::watch::Watch;
use crate::Result;
use crate::tokens::tokenizer::normalizer::SPACE_SYMBOL;

/// After how many lines or words a thread asks whether to stop.
const OFTEN: u64 = 1 << 12;

/// Lines that one thread has read.
#[derive(Debug)]
pub(super) struct Part {
    words: Interner,
    lines: Spool,
    /// The numbers that its words have in all lines together.
    numbers: Vec<u32>,
}

/// Lines as sequences of distinct words.
#[derive(Debug, Default)]
pub(super) struct Lines {
    words: Interner,
    /// How often each word occurs.
    counts: Vec<u64>,
    parts: Vec<Part>,
    /// Runs of lines in the order of the text: the part that has them, and their number.
    runs: Vec<(usize, u64)>,
    sample: Option<Sample>,
    /// How many lines are not empty.
    len: u64,
    /// Lines that take the places of empty ones, the first last. After each its length.
    moved: Vec<u32>,
    has_empty: bool,
}

/// What [`Part::survey`] finds.
struct Survey {
    counts: Vec<u64>,
    /// How many lines of each run are in the sample.
    runs: Vec<u64>,
    empty: u64,
}

impl Part {
    pub fn new(words: Interner, lines: Spool) -> Self {
        Self { words, lines, numbers: Vec::new() }
    }

    /// Counts words and lines. `runs` has the number of lines of each run.
    fn survey(&self, runs: impl Iterator<Item = u64>, sample: Option<Sample>, watch: &Watch) -> Result<Survey> {
        let mut survey = Survey { counts: vec![0; self.words.len()], runs: Vec::new(), empty: 0 };
        let (mut cursor, mut line) = (self.lines.cursor(), Vec::new());
        let mut steps = 0;
        for run in runs {
            let mut kept = 0;
            for _ in 0..run {
                steps += 1;
                if steps % OFTEN == 0 {
                    watch.advance(OFTEN)?;
                }
                cursor.next(&mut line)?;
                let Some(words) = sampled(&line, sample) else { continue };
                kept += 1;
                survey.empty += u64::from(words.is_empty());
                for &word in words {
                    survey.counts[word as usize] += 1;
                }
            }
            survey.runs.push(kept);
        }
        Ok(survey)
    }
}

/// The words of a line, or none if it is not in the sample.
fn sampled(line: &[u32], sample: Option<Sample>) -> Option<&[u32]> {
    match (sample, line) {
        (None, words) => Some(words),
        (Some(sample), [low, high, words @ ..]) => {
            sample.has(u64::from(*high) << 32 | u64::from(*low)).then_some(words)
        }
        (Some(_), _) => None,
    }
}

impl Lines {
    /// Joins the lines of all parts. With a sample, each line begins with its own number, as two halves.
    ///
    /// # Errors
    /// A temporary file cannot be read; `watch` asks to stop.
    pub fn new(mut parts: Vec<Part>, runs: &[(usize, u64)], sample: Option<Sample>, watch: &Watch) -> Result<Self> {
        let of = |(number, part): (usize, &Part)| {
            let mine = runs.iter().filter(|run| run.0 == number).map(|run| run.1);
            part.survey(mine, sample, watch)
        };
        let surveys: Vec<Survey> = parts.par_iter().enumerate().map(of).collect::<Result<_>>()?;
        let mut kept: Vec<_> = surveys.iter().map(|survey| survey.runs.iter()).collect();
        let runs = runs.iter().filter_map(|&(part, _)| Some((part, *kept[part].next()?)));
        let runs: Vec<(usize, u64)> = runs.collect();
        let empty: u64 = surveys.iter().map(|survey| survey.empty).sum();
        let mut lines = Self { sample, has_empty: empty > 0, ..Self::default() };
        lines.len = runs.iter().map(|run| run.1).sum::<u64>() - empty;
        lines.runs = runs;
        for (part, survey) in parts.iter_mut().zip(surveys) {
            let words = std::mem::take(&mut part.words);
            if lines.words.len() == 0 {
                part.numbers = (0..words.len() as u32).collect();
                (lines.words, lines.counts) = (words, survey.counts);
                continue;
            }
            for (word, (string, count)) in (1..).zip(words.strings().iter().zip(survey.counts)) {
                part.numbers.push(lines.add_word(string, count));
                if word % OFTEN == 0 {
                    watch.advance(0)?;
                }
            }
        }
        lines.parts = parts;
        Ok(lines)
    }

    /// Takes all lines, `empty` of which have no words, and the words with their counts.
    pub fn of(words: Interner, counts: Vec<u64>, lines: Spool, empty: u64) -> Self {
        let numbers = (0..words.len() as u32).collect();
        let (total, len) = (lines.len(), lines.len() - empty);
        let parts = vec![Part { words: Interner::default(), lines, numbers }];
        Self { words, counts, parts, runs: vec![(0, total)], len, has_empty: empty > 0, ..Self::default() }
    }

    fn add_word(&mut self, word: &[u8], count: u64) -> u32 {
        let number = self.words.intern(word);
        self.counts.resize(self.words.len(), 0);
        self.counts[number as usize] += count;
        number
    }

    /// How many lines there are.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The distinct words. Some may not occur.
    pub fn words(&self) -> &Strings {
        self.words.strings()
    }

    /// The distinct words, and how often each occurs.
    pub fn words_with_counts(&self) -> impl Iterator<Item = (&[u8], u64)> + Clone {
        self.words().iter().zip(self.counts.iter().copied())
    }

    /// Replaces the characters that have no piece.
    ///
    /// # Errors
    /// As for [`Lines::new`].
    pub fn replace_rare(&mut self, alphabet: &Alphabet, watch: &Watch) -> Result<()> {
        let mut numbers: Vec<u32> = (0..self.words.len() as u32).collect();
        let words = self.words();
        let rare: Vec<u32> =
            numbers.par_iter().copied().filter(|&number| !alphabet.has_all(words.get(number))).collect();
        watch.advance(0)?;
        let mut word = Vec::new();
        for (place, number) in (1..).zip(rare) {
            if place % OFTEN == 0 {
                watch.advance(0)?;
            }
            alphabet.replace(self.words().get(number), &mut word);
            let count = std::mem::take(&mut self.counts[number as usize]);
            numbers[number as usize] = self.add_word(&word, count);
        }
        for part in &mut self.parts {
            for number in &mut part.numbers {
                *number = numbers[*number as usize];
            }
        }
        self.find_moved(watch)
    }

    /// The same lines, each as one word, with rare characters replaced.
    ///
    /// # Errors
    /// As for [`Lines::new`].
    pub fn whole(mut self, alphabet: &Alphabet, watch: &Watch) -> Result<Self> {
        self.find_moved(watch)?;
        let mut whole = Self { len: self.len, runs: vec![(0, self.len)], ..Self::default() };
        let mut spool = Spool::default();
        let (mut all, mut word, mut line) = (Vec::new(), Vec::new(), Vec::new());
        let mut cursor = self.cursor();
        while cursor.next(&mut line)? {
            all.clear();
            for &old in &line {
                alphabet.replace(self.words().get(old), &mut word);
                all.extend_from_slice(&word);
            }
            spool.push(&[whole.add_word(&all, 1)], usize::MAX);
            watch.advance(0)?;
        }
        let numbers = (0..whole.words.len() as u32).collect();
        whole.parts.push(Part { words: Interner::default(), lines: spool, numbers });
        Ok(whole)
    }

    /// Finds the lines that take the places of empty ones: the last line takes the place of the first one.
    fn find_moved(&mut self, watch: &Watch) -> Result<()> {
        if !self.has_empty {
            return Ok(());
        }
        let mut moved = Vec::new();
        let (mut cursor, mut line) = (self.cursor(), Vec::new());
        let mut place = 0;
        while cursor.next_in_text(&mut line)? {
            if place >= self.len && !line.is_empty() {
                moved.extend_from_slice(&line);
                moved.push(line.len() as u32);
            }
            place += 1;
            if place % OFTEN == 0 {
                watch.advance(0)?;
            }
        }
        self.moved = moved;
        Ok(())
    }

    /// Begins to read lines.
    pub fn cursor(&self) -> LineCursor<'_> {
        LineCursor {
            lines: self,
            parts: self.parts.iter().map(|part| part.lines.cursor()).collect(),
            run: 0,
            of_run: 0,
            place: 0,
            moved: self.moved.len(),
            line: Vec::new(),
        }
    }
}

/// A place between two lines.
#[derive(Debug)]
pub(super) struct LineCursor<'a> {
    lines: &'a Lines,
    parts: Vec<Cursor<'a>>,
    run: usize,
    /// How many lines of the run were read.
    of_run: u64,
    /// How many lines were read.
    place: u64,
    /// Where the moved lines end that were not yet read.
    moved: usize,
    line: Vec<u32>,
}

impl LineCursor<'_> {
    /// Whether all lines were read.
    pub fn is_at_end(&self) -> bool {
        self.place == self.lines.len
    }

    /// How many lines were read.
    pub fn place(&self) -> u64 {
        self.place
    }

    /// Reads the words of the next line. Returns `false` at the end.
    ///
    /// # Errors
    /// A temporary file cannot be read.
    pub fn next(&mut self, words: &mut Vec<u32>) -> Result<bool> {
        if self.is_at_end() {
            return Ok(false);
        }
        self.place += 1;
        self.next_in_text(words)?;
        if words.is_empty() {
            let end = self.moved - 1;
            self.moved = end - self.lines.moved[end] as usize;
            words.extend_from_slice(&self.lines.moved[self.moved..end]);
        }
        Ok(true)
    }

    /// Reads the words of the next line of the text, which may be empty. Returns `false` at the end.
    ///
    /// # Errors
    /// As for [`LineCursor::next`].
    pub fn next_in_text(&mut self, words: &mut Vec<u32>) -> Result<bool> {
        words.clear();
        while let Some(&(part, count)) = self.lines.runs.get(self.run) {
            if self.of_run == count {
                self.run += 1;
                self.of_run = 0;
                continue;
            }
            while self.parts[part].next(&mut self.line)? {
                if let Some(line) = sampled(&self.line, self.lines.sample) {
                    let numbers = &self.lines.parts[part].numbers;
                    words.extend(line.iter().map(|&word| numbers[word as usize]));
                    self.of_run += 1;
                    return Ok(true);
                }
            }
            break;
        }
        Ok(false)
    }
}

/// Words with their counts, the most frequent first.
#[derive(Debug)]
pub(super) struct Counted {
    words: Strings,
    counts: Vec<u64>,
    order: Vec<u32>,
}

impl Counted {
    /// Counts the words of `lines`, or takes each line as a word if no space separates words.
    ///
    /// # Errors
    /// A temporary file cannot be read; `watch` asks to stop.
    pub fn new(lines: Lines, options: &Options, watch: &Watch) -> Result<Self> {
        if options.split_by_whitespace {
            let Lines { words, counts, .. } = lines;
            let words = words.into_strings();
            // Comparing numbers is faster than comparing words.
            let skipped = if words.iter().all(|word| word.starts_with(SPACE_SYMBOL)) { SPACE_SYMBOL.len() } else { 0 };
            let key = |number: u32| {
                let mut first = [0; 8];
                words.get(number).iter().skip(skipped).zip(&mut first).for_each(|(&from, to)| *to = from);
                u64::from_be_bytes(first)
            };
            let occur = (0..words.len() as u32).filter(|&word| counts[word as usize] > 0);
            let mut order: Vec<(u64, u64, u32)> = occur.map(|word| (counts[word as usize], key(word), word)).collect();
            watch.advance(0)?;
            order.par_sort_unstable_by(|a, b| {
                b.0.cmp(&a.0).then(a.1.cmp(&b.1)).then_with(|| words.get(a.2).cmp(words.get(b.2)))
            });
            let order = order.into_iter().map(|(.., word)| word).collect();
            return Ok(Self { words, counts, order });
        }
        let mut order = Vec::new();
        let (mut cursor, mut line) = (lines.cursor(), Vec::new());
        while cursor.next(&mut line)? {
            order.extend_from_slice(&line);
            watch.advance(1)?;
        }
        let words = lines.words.into_strings();
        Ok(Self { counts: vec![1; words.len()], words, order })
    }

    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// A word and its count.
    pub fn get(&self, word: usize) -> (&[u8], u64) {
        let word = self.order[word];
        (self.words.get(word), self.counts[word as usize])
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::tokens::training::watch::unwatched;

    /// Words in this order, each with its place as its count.
    pub fn counted<'a>(texts: impl Iterator<Item = &'a str>) -> Counted {
        let mut words = Strings::default();
        texts.for_each(|text| words.push(text.as_bytes()));
        let count = words.len();
        Counted { words, counts: (1..=count as u64).collect(), order: (0..count as u32).collect() }
    }

    #[test]
    fn the_last_line_takes_the_place_of_an_empty_one() {
        let of = |empty: &[u32], count: u32| {
            let (mut words, mut spool) = (Interner::default(), Spool::default());
            for line in 0..count {
                let number = words.intern(line.to_string().as_bytes());
                spool.push(if empty.contains(&line) { &[] } else { std::slice::from_ref(&number) }, 0);
            }
            let runs = vec![(0, u64::from(count) / 2), (0, u64::from(count).div_ceil(2))];
            let lines = unwatched(|watch| {
                let mut lines = Lines::new(vec![Part::new(words, spool)], &runs, None, watch)?;
                lines.find_moved(watch)?;
                Ok(lines)
            });
            let (mut cursor, mut line, mut order) = (lines.cursor(), Vec::new(), Vec::new());
            while cursor.next(&mut line).unwrap() {
                order.extend_from_slice(&line);
            }
            order
        };
        assert_eq!(of(&[], 3), [0, 1, 2]);
        assert_eq!(of(&[0], 3), [2, 1]);
        assert_eq!(of(&[0, 3], 4), [2, 1]);
        assert_eq!(of(&[1, 2], 5), [0, 4, 3]);
        assert_eq!(of(&[0, 1], 2), [0; 0]);
        assert_eq!(of(&[1], 2), [0]);
    }
}
