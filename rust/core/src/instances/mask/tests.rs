use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;
use crate::instances::rng::{FastRng, ReferenceRng, Rng};

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
        word_end: Vec::new(),
        ordinary: (5..100).collect(),
    }
}

/// Returns `[CLS] A [SEP] B [SEP]`; `true` stands for a token that begins a word.
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

/// Returns the words of `instance` as lists of positions, derived from the wording of the rule instead of by
/// `find_words`.
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
        masker.find_words(&instance, &mut scratch);
        let Scratch { candidates, words: starts, borders, .. } = &scratch;
        let found = Words { candidates, starts, borders };
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
                prop_assert_eq!(found.ngram(word, n, found.limit(word)), &ngram);
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
        // If each word is masked on its own, the rest of the budget is too small for any untouched word.
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
        // The masks are drawn first and are the same. The other positions hold each other's tokens.
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

/// Pearson's statistic against given fractions.
fn chi_square(counts: &[u32], probabilities: &[f64]) -> f64 {
    let total = f64::from(counts.iter().sum::<u32>());
    counts
        .iter()
        .zip(probabilities)
        .map(|(&count, probability)| (f64::from(count) - total * probability).powi(2) / (total * probability))
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
        // A token that is never a replacement, so that "itself" can be distinguished from "any piece".
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

/// `numpy.random.RandomState(12345).choice([1, 2, 3], p=...)`, then the same of 1 to 5 with the fractions reversed.
/// Python's generator is not used.
#[test]
fn numpy_choices() {
    let mut rng = ReferenceRng::new(12345, 12345);
    let shorter = ngram_cumulative(3, true);
    let known = [3, 1, 1, 1, 2, 2, 3, 2, 2, 2, 2, 3, 1, 1, 1, 2, 2, 3, 3, 2];
    assert_eq!(known.map(|_| rng.ngram_length(&shorter)), known);
    let longer = ngram_cumulative(5, false);
    let known = [5, 5, 4, 3, 4, 5, 5, 5, 5, 2, 1, 5, 5, 1, 4, 4, 5, 1, 5, 5];
    assert_eq!(known.map(|_| rng.ngram_length(&longer)), known);
    assert_eq!(rng.random().to_bits(), 0.416_619_872_545_341_16_f64.to_bits());
}
