//! Masks whole-word n-grams with the 80/10/10 rule, and applies the reference's permutation.

use super::instance::Instance;
use super::options::InstanceOptions;
use super::rng::Rng;
use crate::tokens::vocab::Vocab;
use crate::{Error, Result};

/// Buffers that masking reuses from one instance to the next.
#[derive(Debug, Default, Clone)]
pub struct Scratch {
    /// Positions of all tokens that may be masked, ascending.
    candidates: Vec<u32>,
    /// The start of each word in `candidates`, and at the end the number of candidates.
    words: Vec<u32>,
    /// The end of each group of words that is never joined with the next, ascending. The last is the number of words.
    borders: Vec<u32>,
    /// The numbers of the words, in the order in which they are visited.
    order: Vec<u32>,
    /// The tokens before any replacement.
    original: Vec<u32>,
    masked: Bitmap,
    permuted: Bitmap,
    /// The positions whose tokens are exchanged, ascending, and the same positions shuffled.
    sources: Vec<u32>,
    targets: Vec<u32>,
}

impl Scratch {
    /// Returns room for the words of `length` tokens, in the buffers that [`Scratch::set_words`] truncates.
    pub(crate) fn word_buffers(&mut self, length: usize) -> (&mut [u32], &mut [u32], &mut Vec<u32>) {
        let Self { candidates, words, borders, .. } = self;
        candidates.resize(length, 0);
        words.resize(length + 1, 0);
        borders.clear();
        (candidates, words, borders)
    }

    /// Sets how much of the buffers is filled: `num_candidates` tokens, the starts of `num_words` words among them, and
    /// all borders except the last.
    pub(crate) fn set_words(&mut self, num_candidates: usize, num_words: usize) {
        self.candidates.truncate(num_candidates);
        self.words.truncate(num_words);
        self.words.push(num_candidates as u32);
        self.borders.push(num_words as u32);
    }

    /// Returns the words in their groups, without empty groups.
    #[cfg(test)]
    pub(crate) fn groups(&self) -> Vec<Vec<Vec<u32>>> {
        let word = |word: usize| self.candidates[self.words[word] as usize..self.words[word + 1] as usize].to_vec();
        let starts = std::iter::once(&0).chain(&self.borders);
        let groups = starts.zip(&self.borders).map(|(&start, &end)| (start as usize..end as usize).map(word).collect());
        groups.filter(|group: &Vec<_>| !group.is_empty()).collect()
    }
}

/// A set of positions.
#[derive(Debug, Default, Clone)]
struct Bitmap(Vec<u64>);

impl Bitmap {
    fn reset(&mut self, len: usize) {
        self.0.clear();
        self.0.resize(len.div_ceil(64), 0);
    }

    fn contains(&self, position: u32) -> bool {
        self.0[position as usize / 64] >> (position % 64) & 1 != 0
    }

    fn insert(&mut self, position: u32) {
        self.0[position as usize / 64] |= 1 << (position % 64);
    }

    /// Returns the positions in either set, ascending.
    fn union<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = u32> + 'a {
        self.0.iter().zip(&other.0).enumerate().flat_map(|(index, (&a, &b))| {
            let mut bits = a | b;
            std::iter::from_fn(move || {
                let position = index as u32 * 64 + bits.trailing_zeros();
                (bits != 0).then(|| {
                    bits &= bits - 1;
                    position
                })
            })
        })
    }
}

/// The words of an instance; word `w` is `candidates[starts[w]..starts[w + 1]]`.
struct Words<'a> {
    candidates: &'a [u32],
    starts: &'a [u32],
    /// The end of each group of words that is never joined with the next. The last is the number of words.
    borders: &'a [u32],
}

impl Words<'_> {
    /// Returns the end of the group of `word`.
    fn limit(&self, word: usize) -> usize {
        self.borders[self.borders.partition_point(|&border| border as usize <= word)] as usize
    }

    /// Returns the tokens of up to `n` words from `word` on, or fewer if the group ends before that, at `limit`.
    fn ngram(&self, word: usize, n: usize, limit: usize) -> &[u32] {
        &self.candidates[self.starts[word] as usize..self.starts[(word + n).min(limit)] as usize]
    }

    /// Visits words in random order and passes tokens to `take`, an n-gram at a time, until there are `budget` of them.
    ///
    /// `is_taken` says which tokens must not be taken again.
    fn choose<R: Rng, S>(
        &self,
        (order, cumulative, budget): (&mut [u32], &[f64], usize),
        rng: &mut R,
        state: &mut S,
        is_taken: impl Fn(&S, u32) -> bool,
        mut take: impl FnMut(&mut S, &mut R, u32),
    ) {
        rng.begin_order(order);
        let mut left = budget;
        for k in 0..order.len() {
            if left == 0 {
                break;
            }
            let word = rng.next_in_order(order, k) as usize;
            // The length is drawn even if the word is already covered, because the reference does so and determines the
            // statistics.
            let drawn = rng.ngram_length(cumulative);
            let limit = self.limit(word);
            let Some(tokens) =
                (1..=drawn).rev().map(|n| self.ngram(word, n, limit)).find(|tokens| tokens.len() <= left)
            else {
                continue;
            };
            if tokens.iter().any(|&position| is_taken(state, position)) {
                continue;
            }
            for &position in tokens {
                take(state, rng, position);
            }
            left -= tokens.len();
        }
    }
}

/// Masks instances with one set of options.
#[derive(Debug, Clone)]
pub struct Masker {
    cumulative: Vec<f64>,
    masked_lm_prob: f64,
    max_predictions: usize,
    whole_words: bool,
    permutation: bool,
    cross_segment_words: bool,
    cls: u32,
    sep: u32,
    mask: u32,
    /// The ids that may replace a token. Empty if every id below `size` may.
    ordinary: Vec<u32>,
    size: u32,
}

impl Masker {
    /// Precomputes what all instances have in common.
    ///
    /// Fails if `options` are out of range, or if the vocabulary has no piece that may replace a masked token.
    pub fn new(options: &InstanceOptions, vocab: &Vocab) -> Result<Self> {
        options.validate()?;
        Self::unchecked(options, vocab)
    }

    /// Like [`Masker::new`], for options whose ranges are already checked as far as masks are concerned.
    pub(crate) fn unchecked(options: &InstanceOptions, vocab: &Vocab) -> Result<Self> {
        let ordinary = if options.replace_with_special { Vec::new() } else { vocab.ordinary.clone() };
        if vocab.size == 0 {
            return Err(Error::rule("vocab_size", "at least 1", 0));
        }
        if ordinary.is_empty() && !options.replace_with_special {
            return Err(Error::conflict(
                "replace_with_special",
                format!(
                    "replace_with_special=False needs an ordinary piece to replace masked tokens with, but none of the \
                     vocabulary's {} pieces is ordinary; use another vocabulary, or pass replace_with_special=True",
                    vocab.size
                ),
            ));
        }
        Ok(Self {
            cumulative: ngram_cumulative(options.ngram, options.favor_shorter_ngram),
            masked_lm_prob: options.masked_lm_prob,
            max_predictions: options.max_predictions_per_seq,
            whole_words: options.do_whole_word_mask,
            permutation: options.do_permutation,
            cross_segment_words: options.cross_segment_words,
            cls: vocab.cls,
            sep: vocab.sep,
            mask: vocab.mask,
            ordinary,
            size: vocab.size,
        })
    }

    /// Returns the ids of `[CLS]` and `[SEP]`.
    pub(crate) fn frame(&self) -> (u32, u32) {
        (self.cls, self.sep)
    }

    /// Returns how many of `tokens` tokens, including `[CLS]` and `[SEP]`, to mask: `masked_lm_prob` of them, halves
    /// rounded to even, at least 1 and at most `max_predictions_per_seq`. Returns 0 if the probability is 0.
    pub fn to_predict(&self, tokens: usize) -> usize {
        self.to_predict_at(self.masked_lm_prob, tokens)
    }

    /// Like [`Masker::to_predict`], with `fraction` instead of `masked_lm_prob`.
    fn to_predict_at(&self, fraction: f64, tokens: usize) -> usize {
        if fraction == 0.0 {
            return 0;
        }
        ((tokens as f64 * fraction).round_ties_even() as usize).max(1).min(self.max_predictions)
    }

    /// Masks `instance` in place, and replaces the content of `masked_positions` and `masked_labels`.
    ///
    /// The rules, and the order of the draws, are those of the reference's `create_masked_lm_predictions`, except for
    /// what `cross_segment_words` and `replace_with_special` change.
    pub fn mask<R: Rng>(&self, instance: &mut Instance, rng: &mut R, scratch: &mut Scratch) {
        self.mask_at(self.masked_lm_prob, instance, rng, scratch);
    }

    /// Like [`Masker::mask`], with `fraction` instead of `masked_lm_prob`.
    pub fn mask_at<R: Rng>(&self, fraction: f64, instance: &mut Instance, rng: &mut R, scratch: &mut Scratch) {
        instance.masked_positions.clear();
        instance.masked_labels.clear();
        let budget = self.to_predict_at(fraction, instance.tokens.len());
        if budget == 0 {
            return;
        }
        self.find_words(instance, scratch);
        self.draw(&mut instance.tokens, budget, rng, scratch, |position, label| {
            instance.masked_positions.push(position);
            instance.masked_labels.push(label);
        });
    }

    /// Masks up to `budget` of `tokens`, whose words are in `scratch`. Passes on each masked token's position, in
    /// ascending order, and its original id.
    pub(crate) fn draw<R: Rng>(
        &self,
        tokens: &mut [u32],
        budget: usize,
        rng: &mut R,
        scratch: &mut Scratch,
        mut predict: impl FnMut(u32, u32),
    ) {
        let Scratch { candidates, words, borders, order, original, masked, permuted, sources, targets } = scratch;
        masked.reset(tokens.len());
        permuted.reset(tokens.len());
        original.clear();
        original.extend_from_slice(tokens);
        order.clear();
        order.extend(0..words.len() as u32 - 1);
        let words = Words { candidates, starts: words, borders };

        words.choose((order, &self.cumulative, budget), rng, masked, Bitmap::contains, |masked, rng, position| {
            masked.insert(position);
            let token = &mut tokens[position as usize];
            *token = self.replacement(*token, rng);
        });
        if self.permutation {
            words.choose(
                (order, &self.cumulative, budget),
                rng,
                permuted,
                |permuted, position| masked.contains(position) || permuted.contains(position),
                |permuted, _, position| permuted.insert(position),
            );
            sources.clear();
            sources.extend(permuted.union(permuted));
            targets.clone_from(sources);
            rng.shuffle(targets);
            for (&source, &target) in sources.iter().zip(&*targets) {
                tokens[source as usize] = original[target as usize];
            }
        } else {
            // The reference shuffles once more in either case. A generator that draws lazily draws nothing here.
            rng.begin_order(order);
        }
        for position in masked.union(permuted) {
            predict(position, original[position as usize]);
        }
    }

    /// Fills `candidates`, `words` and `borders`.
    fn find_words(&self, instance: &Instance, scratch: &mut Scratch) {
        let Scratch { candidates, words, borders, .. } = scratch;
        candidates.clear();
        words.clear();
        borders.clear();
        let mut second = None;
        for (position, (&id, &start)) in instance.tokens.iter().zip(&instance.word_starts).enumerate() {
            if id == self.cls || id == self.sep {
                continue;
            }
            let mut begins = start || !self.whole_words || candidates.is_empty();
            if second.is_none() && position >= instance.first_length {
                second = Some(words.len());
                begins |= !self.cross_segment_words;
            }
            if begins {
                words.push(candidates.len() as u32);
            }
            candidates.push(position as u32);
        }
        if !self.cross_segment_words {
            borders.extend(second.map(|second| second as u32));
        }
        borders.push(words.len() as u32);
        words.push(candidates.len() as u32);
    }

    /// Returns `[MASK]` in 80% of cases, the token itself in 10%, and any piece in 10%.
    fn replacement<R: Rng>(&self, token: u32, rng: &mut R) -> u32 {
        if rng.random() < 0.8 {
            self.mask
        } else if rng.random() < 0.5 {
            token
        } else if self.ordinary.is_empty() {
            rng.below(u64::from(self.size)) as u32
        } else {
            self.ordinary[rng.below(self.ordinary.len() as u64) as usize]
        }
    }
}

/// Returns the cumulative fractions of n-gram lengths 1 to `ngram`. They are proportional to 1/n, or reversed if
/// `favor_shorter` is off.
///
/// The order of floating-point operations is that of the reference, which normalizes once for all and again at each
/// draw. It is also that of `numpy.random.choice`, which divides the cumulative sum by its last value.
pub fn ngram_cumulative(ngram: usize, favor_shorter: bool) -> Vec<f64> {
    let mut probabilities: Vec<f64> = (1..=ngram).map(|n| 1.0 / n as f64).collect();
    normalize(&mut probabilities);
    if !favor_shorter {
        probabilities.reverse();
    }
    normalize(&mut probabilities);
    let mut sum = 0.0;
    let mut cumulative: Vec<f64> = probabilities
        .iter()
        .map(|probability| {
            sum += probability;
            sum
        })
        .collect();
    for value in &mut cumulative {
        *value /= sum;
    }
    cumulative
}

fn normalize(probabilities: &mut [f64]) {
    let sum = numpy_sum(probabilities);
    for probability in probabilities {
        *probability /= sum;
    }
}

/// `numpy.sum` of up to 128 contiguous float64: in order if there are fewer than 8, otherwise in eight interleaved
/// sums.
fn numpy_sum(values: &[f64]) -> f64 {
    if values.len() < 8 {
        return values.iter().sum();
    }
    let blocks = values.chunks_exact(8);
    let rest = blocks.remainder();
    let mut sums = [0.0; 8];
    for block in blocks {
        for (sum, value) in sums.iter_mut().zip(block) {
            *sum += value;
        }
    }
    let [s0, s1, s2, s3, s4, s5, s6, s7] = sums;
    rest.iter().fold(((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7)), |sum, value| sum + value)
}

#[cfg(test)]
mod tests;
