//! Tests the rules of pairing, splitting and truncation on random documents, and that both generators draw from the
//! same distribution.

use albert_fast_core::NoProgress;
use albert_fast_core::instances::instance::{Chunk, Instance, Readings, assemble, gather, target_length};
use albert_fast_core::instances::options::{InstanceOptions, SingleSegment};
use albert_fast_core::instances::plan::{Plan, Scratch};
use albert_fast_core::instances::reference;
use albert_fast_core::instances::rng::{FastRng, ReferenceRng};
use albert_fast_core::tokens::documents::{Documents, MemoryDocuments, UNKNOWN_JOINS};
use albert_fast_core::tokens::vocab::Vocab;
use proptest::prelude::*;

const CLS: u32 = 2;
const SEP: u32 = 3;
const FIRST: u32 = 5;

/// Returns documents with segments of the given lengths. All ids differ: id `FIRST + i` is the corpus's token `i`.
fn numbered(lengths: &[Vec<usize>]) -> (MemoryDocuments, u32) {
    let (mut documents, mut next) = (MemoryDocuments::new(), FIRST);
    for document in lengths {
        for &length in document {
            documents.push_segment(&(next..next + length as u32).collect::<Vec<_>>());
            next += length as u32;
        }
        documents.end_document();
    }
    (documents, next)
}

/// Returns a vocabulary of `size` pieces in which every `every`th begins a word.
fn vocab(size: u32, every: u32) -> Vocab {
    let word_start = (0..size).map(|id| id < FIRST || id % every == 0).collect();
    Vocab {
        size,
        pad: 0,
        unk: 1,
        cls: CLS,
        sep: SEP,
        mask: 4,
        word_start,
        word_end: Vec::new(),
        ordinary: (FIRST..size).collect(),
    }
}

fn unmasked(plan: &Plan<'_, MemoryDocuments>) -> Vec<Instance> {
    (0..plan.len())
        .map(|position| {
            let mut out = Instance::default();
            plan.instance_unmasked(position, &mut Scratch::default(), &mut out).unwrap();
            out
        })
        .collect()
}

/// Returns A and B.
fn halves(instance: &Instance) -> (&[u32], &[u32]) {
    (&instance.tokens[1..instance.first_length - 1], &instance.tokens[instance.first_length..instance.tokens.len() - 1])
}

fn consecutive(ids: &[u32]) -> bool {
    !ids.is_empty() && ids.windows(2).all(|pair| pair[0] + 1 == pair[1])
}

fn corpus() -> impl Strategy<Value = Vec<Vec<usize>>> {
    prop::collection::vec(prop::collection::vec(1..30_usize, 1..12), 2..12)
}

prop_compose! {
    fn options()(
        max_seq_length in 8..60_usize,
        short_seq_prob in 0.0..1.0,
        random_next_sentence: bool,
        random_seed: u64,
        single_segment in prop::sample::select(vec![
            SingleSegment::Split, SingleSegment::Random, SingleSegment::Drop,
        ]),
    ) -> InstanceOptions {
        InstanceOptions {
            max_seq_length, max_predictions_per_seq: 8, short_seq_prob, random_next_sentence, random_seed,
            single_segment, ..InstanceOptions::default()
        }
    }
}

proptest! {
    #[test]
    fn shape_of_instances(lengths in corpus(), options in options(), every in 1..6_u32) {
        let (documents, size) = numbered(&lengths);
        let vocab = vocab(size, every);
        let plan = Plan::build(&documents, &vocab, &options, 0..2, &mut NoProgress).unwrap();
        let document_of = |id: u32| {
            let token = u64::from(id - FIRST);
            (0..documents.num_documents()).find(|&i| {
                let document = documents.document(i);
                token < document.segment_start(document.segments())
            })
        };
        let mut kept = 0;
        for instance in unmasked(&plan) {
            prop_assert!(instance.tokens.len() <= options.max_seq_length);
            prop_assert_eq!(instance.tokens[0], CLS);
            prop_assert_eq!(instance.tokens[instance.first_length - 1], SEP);
            prop_assert_eq!(instance.tokens[instance.tokens.len() - 1], SEP);
            prop_assert_eq!(instance.tokens.iter().filter(|&&id| id < FIRST).count(), 3);
            let starts = instance.tokens.iter().map(|&id| vocab.word_start[id as usize]);
            prop_assert!(starts.eq(instance.word_starts.iter().copied()));
            if instance.truncated > 0 {
                prop_assert_eq!(instance.tokens.len(), options.max_seq_length);
            }
            let (a, b) = halves(&instance);
            prop_assert!(consecutive(a) && consecutive(b));
            kept += a.len() as u64 + b.len() as u64 + instance.truncated;
            let same = document_of(a[0]) == document_of(b[0]);
            if !instance.is_random_next {
                prop_assert!(same && a[0] < b[0]);
            } else if options.random_next_sentence {
                prop_assert!(!same);
            } else if same || options.single_segment != SingleSegment::Random {
                prop_assert!(same && b[0] < a[0]);
            }
        }
        if options.single_segment == SingleSegment::Split && !options.random_next_sentence {
            // Only a last segment of one token, left at the end of a document, may be lost.
            let tokens = 2 * u64::from(size - FIRST);
            prop_assert!(kept <= tokens && kept + 2 * documents.num_documents() >= tokens, "{} of {}", kept, tokens);
        }
    }

    #[test]
    fn a_single_segment_splits_at_a_word_start(length in 2..40_usize, every in 1..50_u32, key: u64) {
        let (documents, size) = numbered(&[vec![length]]);
        let vocab = vocab(size, every);
        let options = InstanceOptions { max_seq_length: 64, ..InstanceOptions::default() };
        let chunk = Chunk { document: 0, segments: 0..1, target: 61 };
        let mut out = Instance::default();
        let mut rng = FastRng::keyed(key, 0, 0, 0);
        let readings = &mut Readings::default();
        prop_assert_eq!(assemble(&documents, &vocab, &options, &chunk, &mut rng, readings, &mut out).unwrap(), 1);
        let (a, b) = halves(&out);
        prop_assert_eq!(a.len() + b.len(), length);
        prop_assert_eq!(out.is_random_next, b[0] < a[0]);
        let second = a[0].max(b[0]);
        let inner = FIRST + 1..FIRST + length as u32;
        if inner.clone().any(|id| id % every == 0) {
            prop_assert_eq!(second % every, 0);
        } else {
            prop_assert!(inner.contains(&second));
        }
    }

    #[test]
    fn gather_stops_at_the_target(lengths in prop::collection::vec(1..10_usize, 1..20), from: prop::sample::Index, target in 0..80_u64) {
        let (documents, _) = numbered(std::slice::from_ref(&lengths));
        let from = from.index(lengths.len());
        let end = gather(&documents.document(0).outline, from, target);
        let tokens = |to: usize| lengths[from..to].iter().sum::<usize>() as u64;
        prop_assert!(from < end && end <= lengths.len());
        prop_assert!(tokens(end) >= target || end == lengths.len());
        prop_assert!(end == from + 1 || tokens(end - 1) < target);
    }
}

#[test]
fn every_split_place_is_as_likely() {
    let (documents, size) = numbered(&[vec![12]]);
    let options = InstanceOptions::default();
    // Words start at 6, 9, 12, 15. The first token, 5, does not begin a word, and a split before it would be empty
    // anyway.
    let vocab = vocab(size, 3);
    let chunk = Chunk { document: 0, segments: 0..1, target: 509 };
    let (mut counts, mut swapped) = ([0; 4], 0);
    let mut out = Instance::default();
    for key in 0..4000 {
        let rng = &mut FastRng::keyed(key, 0, 0, 0);
        assemble(&documents, &vocab, &options, &chunk, rng, &mut Readings::default(), &mut out).unwrap();
        let (a, b) = halves(&out);
        counts[(a[0].max(b[0]) / 3 - 2) as usize] += 1;
        swapped += u32::from(out.is_random_next);
    }
    // Four standard deviations.
    assert!(counts.iter().all(|&count: &i32| (count - 1000).abs() < 110), "{counts:?}");
    assert!(swapped.abs_diff(2000) < 127, "{swapped}");
}

#[test]
fn single_segments_follow_the_option() {
    let lengths = [vec![10], vec![1], vec![10]];
    let (documents, size) = numbered(&lengths);
    let vocab = vocab(size, 1);
    for (single_segment, instances, short) in
        [(SingleSegment::Split, 2, 1), (SingleSegment::Random, 3, 0), (SingleSegment::Drop, 0, 3)]
    {
        let options = InstanceOptions { single_segment, ..InstanceOptions::default() };
        let plan = Plan::build(&documents, &vocab, &options, 0..1, &mut NoProgress).unwrap();
        assert_eq!((plan.len(), plan.short_documents()), (instances, short), "{single_segment:?}");
        if single_segment == SingleSegment::Random {
            assert!(unmasked(&plan).iter().all(|instance| instance.is_random_next));
        }
    }
}

#[test]
fn millions_of_tokens_in_a_segment_are_truncated_in_place() {
    let (documents, size) = numbered(&[vec![3_000_000, 2_000_000]]);
    let vocab = vocab(size, 1);
    let options = InstanceOptions { single_segment: SingleSegment::Split, short_seq_prob: 0.0, ..Default::default() };
    let plan = Plan::build(&documents, &vocab, &options, 0..1, &mut NoProgress).unwrap();
    // The first segment is a chunk by itself, and so is the second.
    assert_eq!(plan.len(), 2);
    let truncated: u64 = unmasked(&plan).iter().map(|instance| instance.truncated).sum();
    assert_eq!(truncated, 5_000_000 - 2 * 509);
}

#[test]
fn truncation_takes_from_both_ends_of_the_longer() {
    let (documents, size) = numbered(&[vec![100, 100]]);
    let vocab = vocab(size, 1);
    let options = InstanceOptions { max_seq_length: 63, ..InstanceOptions::default() };
    let chunk = Chunk { document: 0, segments: 0..2, target: 200 };
    let (mut out, mut front) = (Instance::default(), 0);
    for key in 0..100 {
        let rng = &mut FastRng::keyed(key, 0, 0, 0);
        assemble(&documents, &vocab, &options, &chunk, rng, &mut Readings::default(), &mut out).unwrap();
        let (a, b) = halves(&out);
        assert_eq!((a.len(), b.len(), out.truncated), (30, 30, 140));
        front += [a, b].iter().map(|half| (half[0] - FIRST) % 100).sum::<u32>();
    }
    // Half of 14,000, within five standard deviations.
    assert!(front.abs_diff(7000) < 296, "{front}");
}

#[test]
fn unknown_pieces_keep_whether_they_begin_a_word() {
    let mut documents = MemoryDocuments::new();
    documents.push_segment(&[1, 1 | UNKNOWN_JOINS, 5]);
    documents.push_segment(&[6]);
    documents.end_document();
    let vocab = vocab(7, 1);
    let chunk = Chunk { document: 0, segments: 0..2, target: 509 };
    let mut out = Instance::default();
    let mut rng = ReferenceRng::new(1, 1);
    let (options, readings) = (InstanceOptions::default(), &mut Readings::default());
    assemble(&documents, &vocab, &options, &chunk, &mut rng, readings, &mut out).unwrap();
    let joins = out.word_starts.iter().position(|&start| !start);
    assert_eq!(joins.map(|position| &out.tokens[position - 1..=position + 1]), Some(&[1, 1, 5][..]));
    assert_eq!(out.word_starts.iter().filter(|&&start| !start).count(), 1);
}

#[test]
fn random_documents_are_other_ones() {
    let (documents, size) = numbered(&[vec![10; 6], vec![10; 6], vec![10; 6]]);
    let vocab = vocab(size, 1);
    let options = InstanceOptions {
        random_next_sentence: true,
        dupe_factor: 200,
        max_seq_length: 33,
        ..InstanceOptions::default()
    };
    let plan = Plan::build(&documents, &vocab, &options, 0..200, &mut NoProgress).unwrap();
    let mut labels = [0_u64; 2];
    for instance in unmasked(&plan) {
        let (a, b) = halves(&instance);
        let same = (a[0] - FIRST) / 60 == (b[0] - FIRST) / 60;
        labels[usize::from(instance.is_random_next)] += 1;
        assert!(same != instance.is_random_next, "{a:?} {b:?}");
    }
    assert!(labels.iter().all(|&count| count > 400), "{labels:?}");
}

/// Returns all instances of many passes, under each option that takes B from another document.
fn random_instances(documents: &MemoryDocuments, size: u32) -> Vec<Instance> {
    let vocab = vocab(size, 1);
    [(true, SingleSegment::Split), (true, SingleSegment::Random), (false, SingleSegment::Random)]
        .into_iter()
        .flat_map(|(random_next_sentence, single_segment)| {
            let options = InstanceOptions {
                random_next_sentence,
                single_segment,
                max_seq_length: 33,
                short_seq_prob: 0.5,
                ..InstanceOptions::default()
            };
            unmasked(&Plan::build(documents, &vocab, &options, 0..1000, &mut NoProgress).unwrap())
        })
        .collect()
}

#[test]
fn of_two_documents_the_other_one_is_always_taken() {
    // Once in 1,024 times, ten draws in a row give this document.
    let (documents, size) = numbered(&[vec![7, 9, 8], vec![12]]);
    let mut labels = [0; 2];
    for instance in random_instances(&documents, size) {
        let (a, b) = halves(&instance);
        let first = |ids: &[u32]| ids[0] < FIRST + 24;
        labels[usize::from(instance.is_random_next)] += 1;
        let exchanged = instance.is_random_next && first(a) == first(b) && b[0] < a[0];
        assert!((first(a) == first(b)) != instance.is_random_next || exchanged, "{a:?} {b:?}");
    }
    assert!(labels.iter().all(|&count| count > 2000), "{labels:?}");
}

#[test]
fn label_1_is_never_on_what_follows_or_on_the_same_twice() {
    let words = |ids: &[u32]| ids.iter().map(|id| id + FIRST).collect::<Vec<u32>>();
    let corpora: [&[&[&[u32]]]; 5] = [
        // The same document twice, and once more with a different ending.
        &[&[&[1, 2], &[3, 4, 5], &[6]], &[&[1, 2], &[3, 4, 5], &[6]], &[&[1, 2], &[3, 4, 5], &[7]]],
        // One sentence each, and most of them are the same.
        &[&[&[1, 2, 3]], &[&[1, 2, 3]], &[&[1, 2, 3]], &[&[4]]],
        // Only one sentence.
        &[&[&[1, 2], &[1, 2], &[1, 2]], &[&[1, 2]]],
        // Only one token.
        &[&[&[1]], &[&[1]]],
        // Longer than an instance.
        &[&[&[1; 40], &[1; 40]], &[&[1; 40], &[1; 40]]],
    ];
    for corpus in corpora {
        let mut documents = MemoryDocuments::new();
        let mut follows = std::collections::HashSet::new();
        for document in corpus {
            for segment in *document {
                documents.push_segment(&words(segment));
            }
            documents.end_document();
            for pair in document.windows(2) {
                follows.insert((words(pair[0]), words(pair[1])));
            }
        }
        for instance in random_instances(&documents, 20) {
            let (a, b) = halves(&instance);
            assert!(!instance.mislabeled);
            assert!(!(instance.is_random_next && a == b), "{a:?} {b:?}");
            if instance.truncated == 0 && instance.is_random_next {
                let next = |(last, next): &(Vec<u32>, Vec<u32>)| a == last && b == next;
                assert!(!follows.iter().any(next), "{a:?} {b:?}");
            }
        }
    }
}

#[test]
fn segments_that_are_the_same_are_in_order_whatever_is_drawn() {
    let mut documents = MemoryDocuments::new();
    for _ in 0..2 {
        documents.push_segment(&[6, 7, 8]);
    }
    documents.end_document();
    for options in [InstanceOptions::default(), InstanceOptions::default().reference()] {
        let chunk = Chunk { document: 0, segments: 0..2, target: 61 };
        let (mut out, mut ones) = (Instance::default(), 0);
        for key in 0..200 {
            let mut rng = FastRng::keyed(key, 0, 0, 0);
            let readings = &mut Readings::default();
            assemble(&documents, &vocab(20, 1), &options, &chunk, &mut rng, readings, &mut out).unwrap();
            assert_eq!(out.is_random_next, out.mislabeled);
            ones += u32::from(out.is_random_next);
        }
        // The reference's labels remain.
        let expected = if options == InstanceOptions::default() { 0..1 } else { 70..130 };
        assert!(expected.contains(&ones), "{ones}");
    }
}

#[test]
fn random_segments_of_a_single_document_are_refused() {
    let (documents, size) = numbered(&[vec![5, 6, 7]]);
    let vocab = vocab(size, 1);
    let base = InstanceOptions { max_seq_length: 16, max_predictions_per_seq: 5, ..InstanceOptions::default() };
    let next = InstanceOptions { random_next_sentence: true, ..base.clone() };
    let single = InstanceOptions { single_segment: SingleSegment::Random, ..base.clone() };
    for (options, name) in [(&next, "random_next_sentence"), (&single, "single_segment")] {
        let error = Plan::build(&documents, &vocab, options, 0..9, &mut NoProgress).unwrap_err().to_string();
        assert!(error.starts_with(name) && error.contains("only 1 document"), "{error}");
    }
    let error = reference::instances(&mut documents.clone(), &vocab, &next.reference(), &mut NoProgress).unwrap_err();
    assert!(error.to_string().starts_with("random_next_sentence"), "{error}");
    // What the reference makes of chunks of one segment remains, and is marked as mislabeled.
    let (mut single, _) = numbered(&[vec![9]]);
    let made = reference::instances(&mut single, &vocab, &base.reference(), &mut NoProgress).unwrap();
    assert!(made.len() == 2 && made.iter().all(|instance| instance.is_random_next && instance.mislabeled));
}

#[test]
fn target_lengths_cover_their_range() {
    let options = InstanceOptions { max_seq_length: 13, short_seq_prob: 0.5, ..InstanceOptions::default() };
    let mut counts = [0_i32; 11];
    let mut rng = FastRng::keyed(1, 2, 3, 4);
    for _ in 0..18_000 {
        counts[target_length(&options, &mut rng) as usize] += 1;
    }
    assert_eq!(counts[..2], [0, 0]);
    assert!(counts[2..10].iter().all(|count| (count - 1000).abs() < 130), "{counts:?}");
    assert!((counts[10] - 10_000).abs() < 350, "{counts:?}");
}

/// Returns the counts by which instances are compared. Each list is one statistic.
fn statistics(instances: &[Instance], size: u32) -> Vec<(&'static str, Vec<u32>)> {
    let (mut lengths, mut labels, mut share) = (vec![0; 8], vec![0; 2], vec![0; 2]);
    let (mut positions, mut runs, mut kinds, mut first) = (vec![0; 16], vec![0; 8], vec![0; 3], vec![0; 8]);
    for instance in instances {
        let tokens = &instance.tokens;
        lengths[((tokens.len() - 1) * 8 / 64).min(7)] += 1;
        first[((instance.first_length - 1) * 8 / 64).min(7)] += 1;
        labels[usize::from(instance.is_random_next)] += 1;
        share[0] += instance.masked_positions.len() as u32;
        share[1] += (tokens.len() - instance.masked_positions.len()) as u32;
        let mut run = 0;
        for (i, (&position, &label)) in instance.masked_positions.iter().zip(&instance.masked_labels).enumerate() {
            positions[position as usize * 16 / 64] += 1;
            let token = tokens[position as usize];
            kinds[if token == 4 {
                0
            } else if token == label {
                1
            } else {
                2
            }] += 1;
            run += 1;
            if instance.masked_positions.get(i + 1) != Some(&(position + 1)) {
                runs[run.min(8) - 1] += 1;
                run = 0;
            }
        }
        assert!(tokens.iter().all(|&id| id < size));
    }
    vec![
        ("sequence length", lengths),
        ("length of A", first),
        ("label", labels),
        ("masked share", share),
        ("masked position", positions),
        ("length of masked runs", runs),
        ("80/10/10", kinds),
    ]
}

/// Returns Pearson's statistic for two samples of one distribution, and its 99.99th percentile (Wilson and Hilferty).
fn homogeneity(a: &[u32], b: &[u32]) -> (f64, f64) {
    let (total_a, total_b) = (f64::from(a.iter().sum::<u32>()), f64::from(b.iter().sum::<u32>()));
    let (mut statistic, mut cells) = (0.0, 0.0);
    for (&a, &b) in a.iter().zip(b) {
        let both = f64::from(a + b);
        if both > 0.0 {
            let expected_a = both * total_a / (total_a + total_b);
            let expected_b = both - expected_a;
            statistic +=
                (f64::from(a) - expected_a).powi(2) / expected_a + (f64::from(b) - expected_b).powi(2) / expected_b;
            cells += 1.0;
        }
    }
    let freedom: f64 = cells - 1.0;
    let spread = 2.0 / (9.0 * freedom);
    (statistic, freedom * (1.0 - spread + 3.719 * spread.sqrt()).powi(3))
}

#[test]
fn both_generators_draw_from_one_distribution() {
    let lengths: Vec<Vec<usize>> =
        (0..150).map(|i| (0..20 + i % 7).map(|j| 1 + (i * 31 + j * 17) % 23).collect()).collect();
    let (mut documents, size) = numbered(&lengths);
    let vocab = vocab(size, 2);
    let base = InstanceOptions {
        max_seq_length: 64,
        max_predictions_per_seq: 9,
        // A short target makes many instances of one document similar, so their counts are not independent.
        short_seq_prob: 0.0,
        dupe_factor: 20,
        ..InstanceOptions::default()
    };
    for options in [
        base.clone(),
        InstanceOptions { favor_shorter_ngram: false, random_next_sentence: true, ..base.clone() },
        InstanceOptions { single_segment: SingleSegment::Random, do_whole_word_mask: false, ..base.clone() },
        InstanceOptions { do_permutation: true, cross_segment_words: true, replace_with_special: true, ..base },
    ] {
        let expected = reference::instances(&mut documents, &vocab, &options, &mut NoProgress).unwrap();
        let plan = Plan::build(&documents, &vocab, &options, 0..options.dupe_factor, &mut NoProgress).unwrap();
        let (mut scratch, mut fast) = (Scratch::default(), Vec::new());
        for position in 0..plan.len() {
            let mut out = Instance::default();
            plan.instance(position, &mut scratch, &mut out).unwrap();
            fast.push(out);
        }
        assert!(fast.len() > 10_000, "{}", fast.len());
        let pairs = statistics(&fast, size).into_iter().zip(statistics(&expected, size));
        for ((name, fast), (_, expected)) in pairs {
            let (statistic, bound) = homogeneity(&fast, &expected);
            println!("{name}: {statistic:.1} of {bound:.1}");
            assert!(statistic < bound, "{name}: {statistic} is above {bound}: {fast:?} {expected:?}");
        }
    }
}

#[test]
fn both_generators_draw_the_same_target_lengths() {
    let options = InstanceOptions { max_seq_length: 64, short_seq_prob: 0.7, ..InstanceOptions::default() };
    let (mut fast, mut reference) = ([0; 62], [0; 62]);
    let mut twister = ReferenceRng::new(3, 3);
    for key in 0..50_000 {
        fast[target_length(&options, &mut FastRng::keyed(3, 0, key, u64::MAX)) as usize] += 1;
        reference[target_length(&options, &mut twister) as usize] += 1;
    }
    let (statistic, bound) = homogeneity(&fast, &reference);
    assert!(statistic < bound, "{statistic} is above {bound}: {fast:?} {reference:?}");
}
