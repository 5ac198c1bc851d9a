use proptest::prelude::*;

use super::*;
use crate::instances::instance::Instance;
use crate::instances::rng::{ReferenceRng, Rng};

const PAD: u32 = 0;
const CLS: u32 = 2;
const SEP: u32 = 3;
const MASK: u32 = 4;
const EXTRA: u32 = 5;

fn vocab() -> Vocab {
    let word_start = (0..60).map(|id| id % 3 != 0).collect();
    Vocab {
        size: 60,
        pad: PAD,
        unk: 1,
        cls: CLS,
        sep: SEP,
        mask: MASK,
        word_start,
        word_end: Vec::new(),
        ordinary: (5..60).collect(),
    }
}

prop_compose! {
    fn options()(
        max_predictions_per_seq in prop::option::of(1..40_usize),
        masked_lm_prob in prop_oneof![Just(0.0), Just(0.15), Just(1.0), 0.0..1.0],
        ngram in 1..8_usize,
        favor_shorter_ngram: bool,
        do_whole_word_mask: bool,
        do_permutation: bool,
        cross_segment_words: bool,
        replace_with_special: bool,
    ) -> MaskOptions {
        MaskOptions {
            max_predictions_per_seq, masked_lm_prob, ngram, favor_shorter_ngram, do_whole_word_mask, do_permutation,
            cross_segment_words, replace_with_special,
        }
    }
}

/// Returns a row of any tokens, with special ones in any place, and which of them are padding.
fn rows() -> impl Strategy<Value = (Vec<i32>, RowContext)> {
    let token = prop_oneof![1 => 0..6, 6 => 6..60_i32];
    (prop::collection::vec((token, prop::bool::weighted(0.8), any::<bool>()), 1..90), 0..90_usize, 0..4, any::<bool>())
        .prop_map(|(tokens, length, padding, own_starts)| {
            let mut context = RowContext { length: tokens.len(), ..RowContext::default() };
            match padding {
                0 => context.length = length.min(tokens.len()),
                1 => context.attention_mask = tokens.iter().map(|token| u8::from(token.1)).collect(),
                2 => context.pads_are_padding = true,
                _ => {}
            }
            if own_starts {
                context.word_starts = tokens.iter().map(|token| u8::from(token.2)).collect();
            }
            (tokens.into_iter().map(|token| token.0).collect(), context)
        })
}

/// A row's ids after masking, and its predictions without padding.
#[derive(Debug, Clone, PartialEq)]
struct Masked {
    ids: Vec<i32>,
    positions: Vec<i32>,
    labels: Vec<i32>,
}

fn masked(masker: &RowMasker, ids: &[i32], context: &RowContext, rng: &mut impl Rng) -> Masked {
    let slots = masker.predictions(ids.len());
    let mut ids = ids.to_vec();
    // Earlier content of the arrays must not show.
    let (mut positions, mut originals) = (vec![7; slots], vec![7; slots]);
    let (mut weights, mut labels) = (vec![7.0; slots], vec![7; ids.len()]);
    let mut out = Predictions {
        positions: &mut positions,
        ids: &mut originals,
        weights: &mut weights,
        labels: Some(&mut labels),
    };
    masker.mask_with(&mut ids, context, rng, &mut RowScratch::default(), &mut out).unwrap();
    let found = weights.iter().take_while(|&&weight| weight.to_bits() == 1_f32.to_bits()).count();
    assert!(weights[found..].iter().all(|&weight| weight == 0.0));
    assert!(positions[found..].iter().chain(&originals[found..]).all(|&value| value == 0));
    positions.truncate(found);
    originals.truncate(found);
    let mut expected = vec![-100; ids.len()];
    for (&position, &label) in positions.iter().zip(&originals) {
        expected[position as usize] = i64::from(label);
    }
    assert_eq!(labels, expected);
    Masked { ids, positions, labels: originals }
}

/// Returns the words of a row, in groups that are never joined, derived from the wording of the rule.
fn groups(ids: &[i32], context: &RowContext, options: &MaskOptions) -> Vec<Vec<Vec<u32>>> {
    let mut groups: Vec<Vec<Vec<u32>>> = vec![Vec::new()];
    for (position, &id) in ids.iter().enumerate() {
        let id = id as u32;
        let is_padding = match context.attention_mask.get(position) {
            Some(&attends) => attends == 0,
            None => position >= context.length,
        };
        let is_frame = id == CLS || id == SEP;
        if !is_padding && is_frame && options.cross_segment_words {
            continue;
        }
        if is_padding || is_frame || [PAD, MASK, EXTRA].contains(&id) {
            groups.push(Vec::new());
            continue;
        }
        let starts = match context.word_starts.get(position) {
            Some(&start) => start != 0,
            None => vocab().word_start[id as usize],
        };
        let group = groups.last_mut().unwrap();
        match group.last_mut() {
            Some(word) if options.do_whole_word_mask && !starts => word.push(position as u32),
            _ => group.push(vec![position as u32]),
        }
    }
    groups.retain(|group| !group.is_empty());
    groups
}

fn attended(ids: &[i32], context: &RowContext) -> usize {
    if context.attention_mask.is_empty() {
        let pads = ids.iter().filter(|&&id| context.pads_are_padding && id as u32 == PAD).count();
        context.length.min(ids.len()) - pads
    } else {
        context.attention_mask.iter().map(|&attends| usize::from(attends)).sum()
    }
}

proptest! {
    #[test]
    fn pads_that_nobody_names_are_as_padding_that_a_mask_names(
        (ids, _) in rows(), front in 0..9_usize, back in 0..9_usize, options in options(), key: u64,
    ) {
        let masker = RowMasker::new(&options, &vocab(), &[EXTRA]).unwrap();
        let ids = [vec![PAD as i32; front], ids, vec![PAD as i32; back]].concat();
        let unnamed = RowContext { length: ids.len(), pads_are_padding: true, ..RowContext::default() };
        let attention_mask = ids.iter().map(|&id| u8::from(id as u32 != PAD)).collect();
        let named = RowContext { attention_mask, ..RowContext::default() };
        let one = masked(&masker, &ids, &unnamed, &mut FastRng::keyed(key, 0, 0, 0));
        prop_assert_eq!(&one, &masked(&masker, &ids, &named, &mut FastRng::keyed(key, 0, 0, 0)));
        // A `<pad>` that is also another special token is an ordinary token.
        let framed = RowMasker::new(&options, &Vocab { pad: SEP, ..vocab() }, &[PAD, EXTRA]).unwrap();
        let all = RowContext { length: ids.len(), ..RowContext::default() };
        let one = masked(&framed, &ids, &unnamed, &mut FastRng::keyed(key, 0, 0, 0));
        prop_assert_eq!(one, masked(&framed, &ids, &all, &mut FastRng::keyed(key, 0, 0, 0)));
    }

    #[test]
    fn a_row_that_is_an_instance_is_masked_as_one(
        a in prop::collection::vec(6..60_u32, 1..60), b in prop::collection::vec(6..60_u32, 1..60),
        options in options(), key: u64, reference: bool,
    ) {
        let vocab = vocab();
        let tokens: Vec<u32> = [&[CLS], &a[..], &[SEP], &b[..], &[SEP]].concat();
        let mut instance = Instance {
            word_starts: tokens.iter().map(|&id| vocab.word_start[id as usize]).collect(),
            first_length: a.len() + 2,
            tokens,
            ..Instance::default()
        };
        let ids: Vec<i32> = instance.tokens.iter().map(|&id| id as i32).collect();
        let context = RowContext { length: ids.len(), ..RowContext::default() };
        let rows = RowMasker::new(&options, &vocab, &[]).unwrap();
        let instances = Masker::unchecked(&options.checked().unwrap(), &vocab).unwrap();
        let found = if reference {
            instances.mask(&mut instance, &mut ReferenceRng::new(key, key), &mut Scratch::default());
            masked(&rows, &ids, &context, &mut ReferenceRng::new(key, key))
        } else {
            let rng = || FastRng::keyed(key, 0, 0, 0);
            instances.mask(&mut instance, &mut rng(), &mut Scratch::default());
            masked(&rows, &ids, &context, &mut rng())
        };
        prop_assert!(found.ids.iter().map(|&id| id as u32).eq(instance.tokens));
        prop_assert!(found.positions.iter().map(|&position| position as u32).eq(instance.masked_positions));
        prop_assert!(found.labels.iter().map(|&label| label as u32).eq(instance.masked_labels));
    }

    #[test]
    fn words_and_groups_are_those_of_the_rule((ids, context) in rows(), options in options()) {
        let masker = RowMasker::new(&options, &vocab(), &[EXTRA]).unwrap();
        let mut scratch = RowScratch::default();
        // The buffers were used for a longer row before.
        let long = RowContext { length: 200, ..RowContext::default() };
        masker.find_words(&[7; 200], &long, &mut scratch).unwrap();
        prop_assert_eq!(masker.find_words(&ids, &context, &mut scratch), Ok(attended(&ids, &context)));
        prop_assert_eq!(scratch.words.groups(), groups(&ids, &context, &options));
    }

    #[test]
    fn masks_restore_and_keep_to_the_rule((ids, context) in rows(), options in options(), key: u64) {
        let masker = RowMasker::new(&options, &vocab(), &[EXTRA]).unwrap();
        let out = masked(&masker, &ids, &context, &mut FastRng::keyed(key, 0, 0, 0));
        let expected = (attended(&ids, &context) as f64 * options.masked_lm_prob).round_ties_even() as usize;
        let budget = expected.max(1).min(options.max_predictions_per_seq.unwrap_or(usize::MAX));
        let budget = if options.masked_lm_prob == 0.0 { 0 } else { budget };
        prop_assert!(out.positions.len() <= budget * (1 + usize::from(options.do_permutation)));
        prop_assert!(out.positions.is_sorted_by(|a, b| a < b));
        let mut restored = out.ids.clone();
        for (&position, &label) in out.positions.iter().zip(&out.labels) {
            restored[position as usize] = label;
            let became = out.ids[position as usize] as u32;
            prop_assert!(options.replace_with_special || became == 1 || became == MASK || became > EXTRA);
        }
        prop_assert_eq!(&restored, &ids);
        let words: Vec<_> = groups(&ids, &context, &options).concat();
        let is_predicted = |position: &&u32| out.positions.contains(&(**position as i32));
        prop_assert_eq!(words.iter().flatten().filter(is_predicted).count(), out.positions.len());
        for word in &words {
            let count = word.iter().filter(is_predicted).count();
            prop_assert!(count == 0 || count == word.len(), "{:?} of {:?}", word, out.positions);
        }
        // If each word is masked on its own, the rest of the budget is too small for any untouched word.
        if options.ngram == 1 && !options.do_permutation {
            let left = budget - out.positions.len();
            let untouched = words.iter().filter(|word| !is_predicted(&&word[0]));
            prop_assert!(untouched.map(Vec::len).min().is_none_or(|shortest| shortest > left));
        }
    }

    #[test]
    fn rows_are_masked_alike_alone_and_together(
        width in 1..700_usize, rows in 0..400_usize, first: u64, seed: u64, options in options(), wants_labels: bool,
    ) {
        let masker = RowMasker::new(&options, &vocab(), &[]).unwrap();
        let ids: Vec<i32> = (0..rows * width).map(|index| (index * 7919 % 60) as i32).collect();
        let slots = masker.predictions(width);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let (mut tokens, mut positions, mut originals) = (vec![0; ids.len()], vec![0; rows * slots], vec![0; rows * slots]);
            let (mut weights, mut labels) = (vec![0.0; rows * slots], wants_labels.then(|| vec![0; ids.len()]));
            let out = Predictions {
                positions: &mut positions, ids: &mut originals, weights: &mut weights, labels: labels.as_deref_mut(),
            };
            let read = |row: usize, out: &mut [i32], context: &mut RowContext| {
                out.copy_from_slice(&ids[row * width..][..width]);
                context.length = row % (width + 1);
                Ok::<(), ()>(())
            };
            let pool = (threads > 1).then_some(&pool);
            masker.mask_rows((&mut tokens, width), (seed, first), out, pool, read).unwrap();
            (tokens, positions, originals, weights, labels)
        };
        let together = run(1);
        prop_assert_eq!(&run(2), &together);
        prop_assert_eq!(&run(7), &together);
        for row in (0..rows).step_by(37) {
            let context = RowContext { length: row % (width + 1), ..RowContext::default() };
            let mut rng = FastRng::keyed(seed, DOMAIN, first.wrapping_add(row as u64), 0);
            let alone = masked(&masker, &ids[row * width..][..width], &context, &mut rng);
            prop_assert_eq!(&together.0[row * width..][..width], &alone.ids);
            prop_assert_eq!(&together.1[row * slots..][..alone.positions.len()], &alone.positions);
            prop_assert_eq!(&together.2[row * slots..][..alone.labels.len()], &alone.labels);
        }
    }

    #[test]
    fn the_first_row_in_error_is_named(bad in 0..400_usize, more in 0..400_usize, id: i32) {
        prop_assume!(!(0..60).contains(&id));
        let masker = RowMasker::new(&MaskOptions::default(), &vocab(), &[]).unwrap();
        let (rows, width) = (400, 256);
        let slots = masker.predictions(width);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        for pool in [None, Some(&pool)] {
            let (mut positions, mut ids, mut weights) = (vec![0; rows * slots], vec![0; rows * slots], vec![0.0; rows * slots]);
            let out = Predictions { positions: &mut positions, ids: &mut ids, weights: &mut weights, labels: None };
            let read = |row: usize, out: &mut [i32], context: &mut RowContext| {
                context.length = 3;
                out.fill(9);
                if row == bad {
                    // Ids of padding are checked too.
                    out[200] = id;
                }
                if row == more { Err("unreadable") } else { Ok(()) }
            };
            let error = masker.mask_rows((&mut vec![0; rows * width], width), (1, 0), out, pool, read).unwrap_err();
            let expected = if more <= bad {
                (more, RowError::Read("unreadable"))
            } else {
                (bad, RowError::Id(OutsideVocabulary { column: 200, id }))
            };
            prop_assert_eq!(error, expected);
        }
    }
}

#[test]
fn lengths_of_predictions() {
    let predictions = |options: MaskOptions, width| RowMasker::new(&options, &vocab(), &[]).unwrap().predictions(width);
    let plain = MaskOptions::default;
    assert_eq!([1, 3, 10, 30, 512].map(|width| predictions(plain(), width)), [1, 1, 2, 4, 77]);
    assert_eq!(predictions(MaskOptions { do_permutation: true, ..plain() }, 512), 154);
    assert_eq!(predictions(MaskOptions { max_predictions_per_seq: Some(20), ..plain() }, 8), 20);
    assert_eq!(predictions(MaskOptions { masked_lm_prob: 0.0, ..plain() }, 512), 1);
}

#[test]
fn options_and_ids_outside_their_rule_are_refused() {
    let plain = MaskOptions::default;
    for (options, special, rule, value) in [
        (MaskOptions { max_predictions_per_seq: Some(0), ..plain() }, 5, "max_predictions_per_seq must be from 1", "0"),
        (MaskOptions { max_predictions_per_seq: Some(65_537), ..plain() }, 5, "to 65536", "65537"),
        (MaskOptions { masked_lm_prob: f64::NAN, ..plain() }, 5, "masked_lm_prob must be from 0 to 1", "NaN"),
        (MaskOptions { masked_lm_prob: 1.5, ..plain() }, 5, "masked_lm_prob must be from 0 to 1", "1.5"),
        (MaskOptions { ngram: 65, ..plain() }, 5, "ngram must be from 1 to 64", "65"),
        (plain(), 60, "special_ids must be an id of the vocabulary, from 0 to 59", "60"),
    ] {
        let message = RowMasker::new(&options, &vocab(), &[special]).unwrap_err().to_string();
        assert!(message.contains(rule) && message.contains(value), "{message}");
    }
    let message = RowMasker::new(&plain(), &Vocab { pad: 77, ..vocab() }, &[]).unwrap_err().to_string();
    assert!(
        message.contains("pad_id must be an id of the vocabulary, from 0 to 59") && message.contains("77"),
        "{message}"
    );
    let all: Vec<u32> = (0..60).collect();
    let message = RowMasker::new(&plain(), &vocab(), &all).unwrap_err().to_string();
    assert!(message.contains("ordinary"), "{message}");
}

#[test]
fn words_that_are_marked_at_their_end() {
    // 7 and 9 end words; 8 begins one by itself. Special tokens do neither.
    let mut vocab = vocab();
    vocab.word_start = (0..60).map(|id| id == 8).collect();
    vocab.word_end = (0..60).map(|id| [7, 9, SEP].contains(&id)).collect();
    let words = |ids: &[i32], cross: bool, padding: Option<usize>| {
        let options = MaskOptions { cross_segment_words: cross, ..MaskOptions::default() };
        let masker = RowMasker::new(&options, &vocab, &[EXTRA]).unwrap();
        let mut context = RowContext { length: ids.len(), ..RowContext::default() };
        if let Some(padding) = padding {
            context.attention_mask = (0..ids.len()).map(|position| u8::from(position != padding)).collect();
        }
        let mut scratch = RowScratch::default();
        masker.find_words(ids, &context, &mut scratch).unwrap();
        scratch.words.groups()
    };
    let (cls, sep) = (CLS as i32, SEP as i32);
    assert_eq!(words(&[10, 9, 11, 12, 8, 13, 7, 7], false, None), [[vec![0, 1], vec![2, 3], vec![4, 5, 6], vec![7]]]);
    let framed = [cls, 10, 9, 11, sep, 12, 13, 9, sep];
    assert_eq!(words(&framed, false, None), [vec![vec![1, 2], vec![3]], vec![vec![5, 6, 7]]]);
    assert_eq!(words(&framed, true, None), [[vec![1, 2], vec![3, 5, 6, 7]]], "a word runs across [SEP]");
    let ended = [cls, 10, 9, sep, 12, 13];
    assert_eq!(words(&ended, true, None), [[vec![1, 2], vec![4, 5]]], "but not one that has ended");
    assert_eq!(words(&[10, 9, 11, 12], false, Some(1)), [vec![vec![0]], vec![vec![2, 3]]]);
}
