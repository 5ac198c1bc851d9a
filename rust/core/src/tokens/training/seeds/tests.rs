//! Seeds against a count of all substrings.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proptest::prelude::*;

use super::*;
use crate::NoProgress;
use crate::tokens::training::corpus::Reader;
use crate::tokens::training::{Normalization, Options, meta};

/// The lines that a training on `text` sees, and its alphabet.
fn read(text: &[String], options: &Options, memory: usize) -> (Lines, Alphabet) {
    let mut reader = Reader::new(options, &meta::meta_pieces(options).unwrap()).unwrap();
    reader.limit_memory(memory);
    for lines in text.chunks(7) {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        reader.add(&lines);
    }
    reader.finish(options, &mut NoProgress).unwrap()
}

/// What `SentencePiece`'s suffix array finds in a chunk, by counting all substrings.
fn count(text: &[u8], rule: &PieceRule, found: &mut HashMap<Vec<u8>, u64>) {
    let mut substrings: BTreeMap<&[u8], (u64, BTreeSet<Option<u8>>)> = BTreeMap::new();
    for start in 0..text.len() {
        for end in start + 2..=text.len().min(start + 40) {
            let (count, next) = substrings.entry(&text[start..end]).or_default();
            *count += 1;
            next.insert(text.get(end).copied());
        }
    }
    for (substring, (count, next)) in substrings {
        let follows = next.first().copied().flatten();
        if next.len() < 2 || !is_start(substring[0]) || !follows.is_none_or(is_start) {
            continue;
        }
        let Some(last) = substring.iter().rposition(|&byte| byte != 0) else { continue };
        let piece = &substring[..=last];
        if !piece.contains(&0) && rule.allows(str_of(piece)) {
            *found.entry(piece.to_vec()).or_default() += count;
        }
    }
}

fn expected(lines: &Lines, alphabet: &Alphabet, rule: &PieceRule, (most, chunk): (usize, usize)) -> Vec<(String, f32)> {
    let mut found = HashMap::new();
    let (mut cursor, mut line, mut text) = (lines.cursor(), Vec::new(), Vec::new());
    while cursor.next(&mut line).unwrap() {
        for &word in &line {
            text.extend_from_slice(lines.words().get(word));
        }
        text.push(0);
        if text.len() >= chunk || cursor.is_at_end() {
            count(&text, rule, &mut found);
            text.clear();
        }
    }
    let found = found.into_iter().map(|(piece, count)| (String::from_utf8(piece).unwrap(), count));
    let mut best: Vec<(String, f32)> =
        found.map(|(piece, count)| (score(count, piece.chars().count()), piece)).map(|(s, piece)| (piece, s)).collect();
    best.sort_by(|a, b| b.1.total_cmp(&a.1).then(b.0.len().cmp(&a.0.len())).then(a.0.cmp(&b.0)));
    best.truncate(most);
    let chars = alphabet.by_count.iter().filter(|it| it.1 > 0).map(|&(c, count)| (c.to_string(), count as f32));
    let mut all: Vec<(String, f32)> = chars.chain(best).collect();
    let mut scores: Vec<f32> = all.iter().map(|it| it.1).collect();
    to_log_probabilities(&mut scores);
    all.iter_mut().zip(scores).for_each(|(it, score)| it.1 = score);
    all
}

fn check(text: &[String], options: &Options, memory: usize, most: usize, chunk: usize) {
    let (lines, alphabet) = read(text, options, memory);
    let rule = PieceRule::new(&alphabet, options);
    let seeds = seeds(&lines, &alphabet, &rule, (most, chunk), &mut NoProgress).unwrap();
    let pieces = seeds.pieces.iter().map(|piece| str_of(piece).to_owned());
    let found: Vec<(String, f32)> = pieces.zip(seeds.scores).collect();
    // The sixteen-fold limit of candidates is not reached.
    assert!(found.len() < 16 * most);
    assert_eq!(found, expected(&lines, &alphabet, &rule, (most, chunk)), "{text:?} {options:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn seeds_are_those_of_all_substrings(
        text in prop::collection::vec("[ab]{1,4}( [abé1天]{0,5}){0,4}|  |[ab]{1,9}", 1..40),
        (suffix, split, prefix, coverage) in (any::<bool>(), any::<bool>(), any::<bool>(), 0.98f64..1.0),
        memory in prop::sample::select(vec![0, 30, usize::MAX]),
        most in prop::sample::select(vec![100, 400]),
        chunk in prop::sample::select(vec![1, 20, 60, 200, CHUNK_BYTES]),
    ) {
        prop_assume!(text.iter().any(|line| !line.trim().is_empty()));
        let options = Options {
            treat_whitespace_as_suffix: suffix,
            split_by_whitespace: split,
            character_coverage: coverage,
            normalization: Normalization { add_dummy_prefix: prefix, ..Normalization::default() },
            ..Options::default()
        };
        check(&text, &options, memory, most, chunk);
    }
}

/// Where lines begin with other bytes than `▁`, a word at the end of a line counts twice.
#[test]
fn line_ends_before_different_lines_count_again() {
    let options = Options {
        normalization: Normalization { add_dummy_prefix: false, ..Normalization::default() },
        ..Options::default()
    };
    let text = ["xab", "yab", "zab", "ab c"].map(String::from);
    let (lines, alphabet) = read(&text, &options, usize::MAX);
    let rule = PieceRule::new(&alphabet, &options);
    let seeds = seeds(&lines, &alphabet, &rule, (10, CHUNK_BYTES), &mut NoProgress).unwrap();
    let place = seeds.pieces.iter().position(|piece| piece == b"ab").unwrap();
    let total: u64 = alphabet.by_count.iter().map(|it| it.1).sum::<u64>() + 14;
    // Four occurrences, and three at ends of lines, of two characters each.
    assert!((seeds.scores[place] - (14.0 / total as f32).ln()).abs() < 1e-4, "{:?}", seeds.scores);
}

/// The list of the best is shortened many times, by all threads, and has the best strings in the end.
#[test]
fn the_best_of_many_strings_do_not_depend_on_threads() {
    let mut state = 1_u64;
    let mut letter = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + ((state >> 33) % 26) as u8)
    };
    // Each end of a word occurs before a space and before the end of a line.
    let text: Vec<String> = (0..25_000)
        .map(|_| {
            let word: String = (0..8).map(|_| letter()).collect();
            format!("{word} {word}")
        })
        .collect();
    let options = Options::default();
    let (lines, alphabet) = read(&text, &options, usize::MAX);
    let rule = PieceRule::new(&alphabet, &options);
    let best = |most: usize, threads: usize| -> Vec<String> {
        let threads = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let seeds = threads.install(|| seeds(&lines, &alphabet, &rule, (most, CHUNK_BYTES), &mut NoProgress)).unwrap();
        let chars = alphabet.by_count.iter().filter(|it| it.1 > 0).count();
        seeds.pieces.iter().skip(chars).map(|piece| str_of(piece).to_owned()).collect()
    };
    // Nothing is removed.
    let all = best(1_000_000, 1);
    assert!(all.len() > 2 << 16, "{}", all.len());
    for (most, threads) in [(1000, 1), (1000, 2), (3, 3), (1000, 70), (40_000, 5)] {
        assert!(best(most, threads) == all[..most], "{most} {threads}");
    }
}
