//! Masks: whole-word n-grams, 80/10/10, and the reference's permutation.

use crate::instance::Instance;
use crate::options::InstanceOptions;
use crate::rng::Rng;
use crate::vocab::Vocab;
use crate::{Error, Result};

/// Buffers that masking reuses from one instance to the next.
#[derive(Debug, Default, Clone)]
pub struct Scratch {
    /// Positions of all tokens that may be masked, ascending.
    candidates: Vec<u32>,
    /// Where each word begins in `candidates`, and at last their number.
    words: Vec<u32>,
    /// Numbers of the words, in the order in which they are visited.
    order: Vec<u32>,
    /// The tokens before any was replaced.
    original: Vec<u32>,
    masked: Bitmap,
    permuted: Bitmap,
    /// Positions that change places, ascending, and the same shuffled.
    sources: Vec<u32>,
    targets: Vec<u32>,
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

    /// The positions in either set, ascending.
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
    /// Words from here on belong to B and are never joined with those before; the number of words where they may be.
    second: usize,
}

impl Words<'_> {
    /// The tokens of up to `n` words from `word` on: fewer where they end.
    fn ngram(&self, word: usize, n: usize) -> &[u32] {
        let limit = if word < self.second { self.second } else { self.starts.len() - 1 };
        &self.candidates[self.starts[word] as usize..self.starts[(word + n).min(limit)] as usize]
    }

    /// Visits words in random order and hands tokens to `take`, an n-gram at a time, until there are `budget` of them.
    ///
    /// `is_taken` says what may not be taken again.
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
            // The length is drawn whatever is covered already: the reference does so, and the masks' statistics are its.
            let drawn = rng.ngram_length(cumulative);
            let Some(tokens) = (1..=drawn).rev().map(|n| self.ngram(word, n)).find(|tokens| tokens.len() <= left)
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

/// Masks instances under one set of options.
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
    /// What may replace a token; empty where it is any id below `size`.
    ordinary: Vec<u32>,
    size: u32,
}

impl Masker {
    /// Precomputes what all instances share.
    ///
    /// An error where `options` are out of range, or where the vocabulary has no piece that may replace a masked token.
    pub fn new(options: &InstanceOptions, vocab: &Vocab) -> Result<Self> {
        options.validate()?;
        let ordinary = if options.replace_with_special { Vec::new() } else { vocab.ordinary.clone() };
        if vocab.size == 0 || (ordinary.is_empty() && !options.replace_with_special) {
            return Err(Error::Option(format!(
                "the vocabulary must have an ordinary piece to put in place of masked tokens; it has {} pieces, none of \
                 them ordinary",
                vocab.size
            )));
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

    /// How many tokens of `tokens` (`[CLS]` and `[SEP]` counted) are to be masked: `masked_lm_prob` of them, halves
    /// rounded to even, at least 1 and at most `max_predictions_per_seq`; none where the probability is 0.
    pub fn to_predict(&self, tokens: usize) -> usize {
        if self.masked_lm_prob == 0.0 {
            return 0;
        }
        ((tokens as f64 * self.masked_lm_prob).round_ties_even() as usize).max(1).min(self.max_predictions)
    }

    /// Most predictions of an instance, those of the permutation counted.
    pub fn max_predictions(&self) -> usize {
        if self.permutation { 2 * self.max_predictions } else { self.max_predictions }
    }

    /// Number of pieces of the vocabulary.
    pub fn vocab_size(&self) -> u32 {
        self.size
    }

    /// Masks `instance` in place and fills `masked_positions` and `masked_labels`; whatever these held is forgotten.
    ///
    /// The rules, and the order of the draws, are the reference's `create_masked_lm_predictions`, but for what
    /// `cross_segment_words` and `replace_with_special` change.
    pub fn mask<R: Rng>(&self, instance: &mut Instance, rng: &mut R, scratch: &mut Scratch) {
        instance.masked_positions.clear();
        instance.masked_labels.clear();
        let budget = self.to_predict(instance.tokens.len());
        if budget == 0 {
            return;
        }
        let second = self.find_words(instance, scratch);
        let Scratch { candidates, words, order, original, masked, permuted, sources, targets } = scratch;
        masked.reset(instance.tokens.len());
        permuted.reset(instance.tokens.len());
        original.clone_from(&instance.tokens);
        order.clear();
        order.extend(0..words.len() as u32 - 1);
        let words = Words { candidates, starts: words, second };

        let tokens = &mut instance.tokens;
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
            // The reference shuffles once more in either case; generators that draw lazily draw nothing here.
            rng.begin_order(order);
        }
        instance.masked_positions.extend(masked.union(permuted));
        instance.masked_labels.extend(instance.masked_positions.iter().map(|&position| original[position as usize]));
    }

    /// Fills `candidates` and `words`; returns [`Words::second`].
    fn find_words(&self, instance: &Instance, scratch: &mut Scratch) -> usize {
        let Scratch { candidates, words, .. } = scratch;
        candidates.clear();
        words.clear();
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
        let all = words.len();
        words.push(candidates.len() as u32);
        if self.cross_segment_words { all } else { second.unwrap_or(all) }
    }

    /// 80 % `[MASK]`, 10 % the token itself, 10 % any piece.
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

/// The cumulative shares of n-gram lengths 1 to `ngram`: proportional to 1/n, or with `favor_shorter` off reversed.
///
/// In the floating-point order of the reference, which normalises once for all and once at each draw, and of
/// `numpy.random.choice`, which divides the cumulative sum by its last value.
pub fn ngram_cumulative(ngram: usize, favor_shorter: bool) -> Vec<f64> {
    let mut shares: Vec<f64> = (1..=ngram).map(|n| 1.0 / n as f64).collect();
    normalise(&mut shares);
    if !favor_shorter {
        shares.reverse();
    }
    normalise(&mut shares);
    let mut sum = 0.0;
    let mut cumulative: Vec<f64> = shares
        .iter()
        .map(|share| {
            sum += share;
            sum
        })
        .collect();
    for value in &mut cumulative {
        *value /= sum;
    }
    cumulative
}

fn normalise(shares: &mut [f64]) {
    let sum = numpy_sum(shares);
    for share in shares {
        *share /= sum;
    }
}

/// `numpy.sum` of up to 128 contiguous float64: in order below 8, else in eight interleaved sums.
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
mod tests {
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::rng::{FastRng, Rng};

    const CLS: u32 = 2;
    const SEP: u32 = 3;
    const MASK: u32 = 4;

    fn vocab() -> Vocab {
        Vocab {
            size: 100,
            pad: 0,
            unk: 1,
            cls: CLS,
            sep: SEP,
            mask: MASK,
            word_start: vec![true; 100],
            ordinary: (5..100).collect(),
        }
    }

    /// `[CLS] A [SEP] B [SEP]`; `true` begins a word.
    fn instance(a: &[bool], b: &[bool]) -> Instance {
        let mut instance = Instance::default();
        instance.tokens.push(CLS);
        for (part, &start) in a.iter().chain(b).enumerate() {
            if part == a.len() {
                instance.tokens.push(SEP);
                instance.word_starts.push(true);
            }
            instance.tokens.push(5 + part as u32);
            instance.word_starts.push(start);
        }
        instance.tokens.push(SEP);
        instance.word_starts.insert(0, true);
        instance.word_starts.push(true);
        instance.first_length = a.len() + 2;
        instance
    }

    /// The words of `instance` as lists of positions, found by the text of the rule rather than by `find_words`.
    fn words(instance: &Instance, options: &InstanceOptions) -> Vec<Vec<u32>> {
        let mut words: Vec<Vec<u32>> = Vec::new();
        for position in 0..instance.tokens.len() {
            if [CLS, SEP].contains(&instance.tokens[position]) {
                continue;
            }
            let after_sep = instance.tokens[position - 1] == SEP && !options.cross_segment_words;
            match words.last_mut() {
                Some(word) if options.do_whole_word_mask && !instance.word_starts[position] && !after_sep => {
                    word.push(position as u32);
                }
                _ => words.push(vec![position as u32]),
            }
        }
        words
    }

    fn parts() -> impl Strategy<Value = Instance> {
        let part = || proptest::collection::vec(any::<bool>(), 1..60);
        (part(), part()).prop_map(|(a, b)| instance(&a, &b))
    }

    prop_compose! {
        fn options()(
            max_predictions_per_seq in 1..40_usize,
            masked_lm_prob in 0.01..0.9,
            ngram in 1..8_usize,
            favor_shorter_ngram: bool,
            do_whole_word_mask: bool,
            cross_segment_words: bool,
            replace_with_special: bool,
        ) -> InstanceOptions {
            InstanceOptions {
                max_predictions_per_seq, masked_lm_prob, ngram, favor_shorter_ngram, do_whole_word_mask,
                cross_segment_words, replace_with_special, ..InstanceOptions::default()
            }
        }
    }

    fn masked(instance: &Instance, options: &InstanceOptions, key: u64) -> Instance {
        let mut out = instance.clone();
        let masker = Masker::new(options, &vocab()).unwrap();
        masker.mask(&mut out, &mut FastRng::keyed(key, 0, 0, 0), &mut Scratch::default());
        out
    }

    proptest! {
        #[test]
        fn ngrams_are_those_of_the_rule(instance in parts(), options in options()) {
            let masker = Masker::new(&options, &vocab()).unwrap();
            let mut scratch = Scratch::default();
            let second = masker.find_words(&instance, &mut scratch);
            let found = Words { candidates: &scratch.candidates, starts: &scratch.words, second };
            let expected = words(&instance, &options);
            prop_assert_eq!(scratch.words.len() - 1, expected.len());
            for word in 0..expected.len() {
                let in_second = |w: &&Vec<u32>| w[0] as usize >= instance.first_length;
                for n in 1..=options.ngram {
                    let reachable = expected[word..].iter().take(n);
                    let ngram: Vec<u32> = if options.cross_segment_words {
                        reachable.flatten().copied().collect()
                    } else {
                        let here = in_second(&&expected[word]);
                        reachable.take_while(|w| in_second(w) == here).flatten().copied().collect()
                    };
                    prop_assert_eq!(found.ngram(word, n), &ngram);
                }
            }
        }

        #[test]
        fn masks_restore_and_whole_words_fall_together(instance in parts(), options in options(), key: u64) {
            let out = masked(&instance, &options, key);
            let budget = options.max_predictions_per_seq
                .min(((instance.tokens.len() as f64 * options.masked_lm_prob).round_ties_even() as usize).max(1));
            prop_assert!(out.masked_positions.len() <= budget);
            prop_assert_eq!(out.masked_positions.len(), out.masked_labels.len());
            prop_assert!(out.masked_positions.is_sorted_by(|a, b| a < b));
            prop_assert_eq!(&out.word_starts, &instance.word_starts);
            let mut restored = out.tokens.clone();
            for (&position, &label) in out.masked_positions.iter().zip(&out.masked_labels) {
                prop_assert!(label != CLS && label != SEP);
                let token = out.tokens[position as usize];
                prop_assert!(options.replace_with_special || token >= MASK, "replaced by {}", token);
                restored[position as usize] = label;
            }
            prop_assert_eq!(&restored, &instance.tokens);
            let words = words(&instance, &options);
            for word in &words {
                let count = word.iter().filter(|position| out.masked_positions.contains(position)).count();
                prop_assert!(count == 0 || count == word.len(), "{:?} of {:?}", word, out.masked_positions);
            }
            if options.ngram == 1 && words.iter().all(|word| word.len() == 1) {
                prop_assert_eq!(out.masked_positions.len(), budget.min(words.len()));
            }
            // What is left over is too little for any untouched word, if words go singly.
            if options.ngram == 1 {
                let left = budget - out.masked_positions.len();
                let untouched = words.iter().filter(|word| !out.masked_positions.contains(&word[0]));
                prop_assert!(untouched.map(Vec::len).min().is_none_or(|shortest| shortest > left));
            }
        }

        #[test]
        fn permuted_tokens_stay_in_the_instance(instance in parts(), options in options(), key: u64) {
            let plain = masked(&instance, &options, key);
            let options = InstanceOptions { do_permutation: true, ..options };
            let out = masked(&instance, &options, key);
            prop_assert!(out.masked_positions.len() <= 2 * options.max_predictions_per_seq);
            prop_assert!(out.masked_positions.is_sorted_by(|a, b| a < b));
            let mut restored = out.tokens.clone();
            let (mut moved, mut labels) = (Vec::new(), Vec::new());
            for (&position, &label) in out.masked_positions.iter().zip(&out.masked_labels) {
                restored[position as usize] = label;
                if !plain.masked_positions.contains(&position) {
                    moved.push(out.tokens[position as usize]);
                    labels.push(label);
                }
            }
            prop_assert_eq!(&restored, &instance.tokens);
            // The masks are drawn first and are the same; the others hold each other's tokens.
            prop_assert!(plain.masked_positions.iter().all(|position| out.masked_positions.contains(position)));
            moved.sort_unstable();
            labels.sort_unstable();
            prop_assert_eq!(moved, labels);
        }
    }

    /// SHA-256 of the bits of all 2 * (1 + ... + 64) values as NumPy computes them.
    #[test]
    fn cumulative_shares_have_numpy_bits() {
        let mut hash = Sha256::new();
        for favor_shorter in [true, false] {
            for ngram in 1..=64 {
                for value in ngram_cumulative(ngram, favor_shorter) {
                    hash.update(value.to_bits().to_le_bytes());
                }
            }
        }
        let known = "e5a227ec3a1e61230be58109ba19dcc69e4b57d71676f44f04176b6cb5039d6d";
        let bytes: Vec<u8> = (0..32).map(|i| u8::from_str_radix(&known[2 * i..2 * i + 2], 16).unwrap()).collect();
        assert_eq!(hash.finalize()[..], bytes);
    }

    #[test]
    fn count_rounds_half_to_even() {
        let options = InstanceOptions { masked_lm_prob: 0.5, max_predictions_per_seq: 10, ..Default::default() };
        let masker = Masker::new(&options, &vocab()).unwrap();
        assert_eq!([5, 7, 9, 1, 100].map(|tokens| masker.to_predict(tokens)), [2, 4, 4, 1, 10]);
        let masker = Masker::new(&InstanceOptions { masked_lm_prob: 0.0, ..options }, &vocab()).unwrap();
        assert_eq!(masker.to_predict(100), 0);
    }

    #[test]
    fn no_probability_no_masks_even_with_permutation() {
        let options = InstanceOptions { masked_lm_prob: 0.0, do_permutation: true, ..Default::default() };
        let mut before = instance(&[true; 20], &[true; 20]);
        before.masked_positions = vec![9];
        before.masked_labels = vec![9];
        let out = masked(&before, &options, 1);
        assert_eq!(out.tokens, before.tokens);
        assert!(out.masked_positions.is_empty() && out.masked_labels.is_empty());
    }

    #[test]
    fn a_word_joins_across_sep_only_where_the_reference_is_followed() {
        let instance = instance(&[true, false], &[false, true]);
        for (cross, words) in [(true, vec![0, 3, 4]), (false, vec![0, 2, 3, 4])] {
            let options = InstanceOptions { cross_segment_words: cross, ..Default::default() };
            let mut scratch = Scratch::default();
            Masker::new(&options, &vocab()).unwrap().find_words(&instance, &mut scratch);
            assert_eq!(scratch.words, words);
            assert_eq!(scratch.candidates, [1, 2, 4, 5]);
        }
    }

    #[test]
    fn a_vocabulary_without_ordinary_pieces_is_refused() {
        let bare = Vocab { ordinary: Vec::new(), ..vocab() };
        let message = Masker::new(&InstanceOptions::default(), &bare).unwrap_err().to_string();
        assert!(message.contains("ordinary") && message.contains("100 pieces"), "{message}");
        assert!(Masker::new(&InstanceOptions::default().reference(), &bare).is_ok());
    }

    /// Pearson's statistic against given shares.
    fn chi_square(counts: &[u32], shares: &[f64]) -> f64 {
        let total = f64::from(counts.iter().sum::<u32>());
        counts
            .iter()
            .zip(shares)
            .map(|(&count, share)| (f64::from(count) - total * share).powi(2) / (total * share))
            .sum()
    }

    #[test]
    fn shares_of_lengths_and_of_replacements() {
        let mut rng = FastRng::keyed(1, 1, 1, 1);
        let cumulative = ngram_cumulative(3, true);
        let mut lengths = [0; 3];
        for _ in 0..20_000 {
            lengths[rng.ngram_length(&cumulative) - 1] += 1;
        }
        // The 99.99th percentile for 2 degrees of freedom is 18.4, for 94 it is 152.
        assert!(chi_square(&lengths, &[6.0 / 11.0, 3.0 / 11.0, 2.0 / 11.0]) < 18.4, "{lengths:?}");

        let masker = Masker::new(&InstanceOptions::default(), &vocab()).unwrap();
        let (mut kinds, mut pieces) = ([0; 3], [0; 95]);
        for _ in 0..100_000 {
            // A token that no replacement can be, so that "itself" is told from "any piece".
            match masker.replacement(1, &mut rng) {
                MASK => kinds[0] += 1,
                1 => kinds[1] += 1,
                piece => {
                    kinds[2] += 1;
                    pieces[piece as usize - 5] += 1;
                }
            }
        }
        assert!(chi_square(&kinds, &[0.8, 0.1, 0.1]) < 18.4, "{kinds:?}");
        assert!(chi_square(&pieces, &[1.0 / 95.0; 95]) < 152.0, "{pieces:?}");
    }
}
