//! Compares the search for near-duplicates with brute force, for any memory and number of threads.

use std::collections::HashSet;

use proptest::prelude::*;

use super::minhash::{Buffers, MinHash};
use super::options::{KeepRule, NearOptions};
use super::shingles::Shingles;
use super::*;

/// Texts in several scripts, some of which differ in a few words only.
const SENTENCES: [&str; 8] = [
    "The river rises in the north, and it flows through three towns to the sea",
    "Der Ausschuss traf sich am Dienstag und beschloss, vor dem Winter nichts zu ändern",
    "中国的历史悠久,人口众多,文化丰富多彩",
    "ภาษาไทยเป็นภาษาราชการของประเทศไทย",
    "اللغة العربية هي إحدى أكثر اللغات انتشارا في العالم",
    "Short",
    "…",
    "",
];

fn options(shingle: usize, bands: usize, rows: usize, keep: KeepRule) -> NearOptions {
    NearOptions {
        dedup_near: true,
        dedup_near_keep: keep,
        dedup_near_shingle: shingle,
        dedup_near_bands: bands,
        dedup_near_rows: rows,
        dedup_near_threshold: None,
    }
}

/// Whether two documents are joined when they share a band, by the hashes of both.
fn is_similar(one: &str, other: &str, options: &NearOptions) -> bool {
    let Some(threshold) = options.dedup_near_threshold else { return true };
    let hashes = |text: &str| {
        let mut buffers = Buffers::default();
        MinHash::new(options).keys(text, &mut buffers);
        buffers.sketch().collect::<Vec<_>>()
    };
    let (one, other) = (hashes(one), hashes(other));
    let equal = one.iter().zip(&other).filter(|(a, b)| a == b).count() as f64 / one.len() as f64;
    (equal - 1.0 / 256.0) / (1.0 - 1.0 / 256.0) >= threshold - 1e-9
}

/// What is kept, according to the obvious method: the positions of the documents.
fn expected(documents: &[String], options: &NearOptions) -> Vec<usize> {
    let hash = MinHash::new(options);
    let keys: Vec<_> = documents.iter().map(|text| hash.keys(text, &mut Buffers::default())).collect();
    let mut labels: Vec<usize> = (0..documents.len()).collect();
    for one in 0..documents.len() {
        for (band, key) in keys[one].iter().enumerate() {
            // The similarity to the first document of the band counts.
            let Some(first) = (0..one).find(|&other| keys[other].get(band) == Some(key)) else { continue };
            if is_similar(&documents[one], &documents[first], options) {
                let (from, to) = (labels[one], labels[first]);
                labels.iter_mut().filter(|it| **it == from).for_each(|it| *it = to);
            }
        }
    }
    let is_kept = |&document: &usize| {
        let members = || (0..documents.len()).filter(|&it| labels[it] == labels[document]);
        let length = |it: usize| documents[it].chars().count();
        match options.dedup_near_keep {
            KeepRule::First => members().next() == Some(document),
            KeepRule::Longest => {
                let most = members().map(length).max().unwrap();
                members().find(|&it| length(it) == most) == Some(document)
            }
        }
    };
    (0..documents.len()).filter(is_kept).collect()
}

/// What is kept, and the report.
fn found(documents: &[String], options: &NearOptions, memory: u64, threads: usize) -> (Vec<usize>, NearClusters) {
    let directory = tempfile::tempdir().unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let result = pool.install(|| {
        let mut near = Near::open(options, memory, directory.path()).unwrap();
        for (number, text) in (0..).zip(documents) {
            near.push(number, text.split_inclusive(' ')).unwrap();
        }
        let (mut kept, mut texts, mut next) = (Vec::new(), std::collections::HashMap::new(), 0);
        let each = |known: &Known<'_>| {
            assert_eq!((known.hash, known.text), (next, documents[next as usize].as_str()));
            if !known.is_dropped {
                kept.push(next as usize);
            }
            if known.is_shown {
                texts.insert(known.place, known.text.to_owned());
            }
            next += 1;
            Ok(())
        };
        let found = near.finish(each, |_, _, _, _| true).unwrap();
        assert_eq!(next as usize, documents.len());
        (kept, found.report(&texts))
    });
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "temporary files are gone");
    result
}

/// A document of sentences, in which some words are replaced.
fn document() -> impl Strategy<Value = String> {
    (prop::collection::vec(0..SENTENCES.len(), 0..4), prop::collection::vec((0..40_usize, 0..3_u8), 0..3)).prop_map(
        |(sentences, edits)| {
            let text = sentences.iter().map(|&it| SENTENCES[it]).collect::<Vec<_>>().join(". ");
            let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
            for (at, word) in edits {
                let count = words.len();
                words[at % count] = format!("edit{word}");
            }
            words.join(" ")
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn as_brute_force_with_any_memory_and_threads(
        documents in prop::collection::vec(document(), 0..25),
        (shingle, bands, rows) in (1..6_usize, 1..6_usize, 1..4_usize),
        longest: bool,
        threshold in prop::option::of(0.05..1.0),
        memory in prop_oneof![1..4000_u64, Just(1 << 20)],
        threads in 1..5_usize,
    ) {
        let keep = if longest { KeepRule::Longest } else { KeepRule::First };
        let options = NearOptions { dedup_near_threshold: threshold, ..options(shingle, bands, rows, keep) };
        let (kept, report) = found(&documents, &options, memory, threads);
        prop_assert_eq!(&kept, &expected(&documents, &options));
        prop_assert_eq!(report.documents - report.clusters, (documents.len() - kept.len()) as u64);
        prop_assert_eq!((kept, report), found(&documents, &options, 1 << 20, 1));
    }
}

#[test]
fn the_report_shows_the_largest_clusters() {
    let text = |number: usize, copy: usize| format!("{} {}\n", SENTENCES[number], "!".repeat(copy));
    let mut documents = Vec::new();
    for (number, copies) in [(0, 2), (1, 4), (2, 3), (3, 1)] {
        documents.extend((0..copies).map(|copy| text(number, copy)));
    }
    let (kept, report) = found(&documents, &options(5, 14, 8, KeepRule::Longest), 1 << 20, 2);
    assert_eq!(kept, [1, 5, 8, 9], "the longest");
    assert_eq!((report.clusters, report.documents), (3, 9));
    let sizes: Vec<_> = report.largest.iter().map(|it| it.documents).collect();
    assert_eq!(sizes, [4, 3, 2]);
    assert_eq!((&report.largest[0].kept, &report.largest[0].dropped), (&text(1, 3), &vec![text(1, 0), text(1, 1)]));
}

#[test]
fn too_many_documents_are_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let mut near = Near::open(&NearOptions::default(), 1 << 20, directory.path()).unwrap();
    let mut push = || near.push(0, std::iter::once("a\n"));
    let error = std::iter::repeat_with(&mut push).take(1 << 17).find_map(Result::err).unwrap();
    assert_eq!(error.facts().option, Some("dedup_near"));
    assert!(error.to_string().contains("at most 65536 documents; pass less input, or `shard_size`"), "{error}");
}

#[test]
fn a_threshold_keeps_documents_apart() {
    let one: Vec<_> = (0..100).map(|word| format!("w{word}")).collect();
    let mut other = one.clone();
    other[50..70].iter_mut().for_each(|word| word.push('x'));
    let documents = [one.join(" "), other.join(" ")];
    // Of 120 words, 80 are in both.
    let options = options(1, 60, 2, KeepRule::First);
    let kept = |threshold| {
        let options = NearOptions { dedup_near_threshold: threshold, ..options.clone() };
        found(&documents, &options, 1 << 20, 1).0.len()
    };
    assert_eq!([None, Some(0.3), Some(0.5), Some(0.85), Some(1.0)].map(kept), [1, 1, 1, 2, 2]);
    let same = [documents[0].clone(), documents[0].to_uppercase()];
    let exact = NearOptions { dedup_near_threshold: Some(1.0), ..options };
    assert_eq!(found(&same, &exact, 1 << 20, 1).0, [0]);
}

#[test]
fn copies_are_joined_although_the_first_of_each_band_is_another_document() {
    let pairs = || (0..12).flat_map(|one| (one + 1..12).map(move |other| (one, other)));
    let documents: Vec<_> =
        ["a", "A"].iter().flat_map(|word| pairs().map(move |(i, j)| format!("{word}{i} {word}{j}"))).collect();
    let options = NearOptions { dedup_near_threshold: Some(1.0), ..options(1, 8, 1, KeepRule::First) };
    let (kept, _) = found(&documents, &options, 1 << 20, 2);
    assert!(kept.len() > 60 && kept.iter().all(|&it| it < 66), "{kept:?}");
}

#[test]
fn documents_without_and_with_few_words() {
    let documents: Vec<_> = ["", "…", "?!", "Yes.", "No.", "yes", "Yes, no.", "no no"].map(str::to_owned).into();
    let (kept, _) = found(&documents, &NearOptions::default(), 1 << 20, 1);
    assert_eq!(kept, [0, 1, 2, 3, 4, 6, 7], "only the same words are near-duplicates, and no words are not compared");
}

#[test]
fn it_stops_when_asked() {
    let directory = tempfile::tempdir().unwrap();
    for stop in 0..3 {
        let mut near = Near::open(&NearOptions::default(), 1 << 20, directory.path()).unwrap();
        near.push(0, ["one"].into_iter()).unwrap();
        let mut calls = 0;
        let result = near.finish(
            |_| panic!("it was stopped"),
            |stage, _, _, _| {
                calls += 1;
                if stop == 2 { stage != "dropping near-duplicates" } else { calls <= stop }
            },
        );
        assert!(matches!(result, Err(Error::Interrupted(_))));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}

/// The shares of a shingle set that two texts have in common.
fn jaccard(one: &str, other: &str, size: usize) -> f64 {
    let set = |text: &str| {
        let mut set = HashSet::new();
        Shingles::default().of(text, size, |shingle| set.extend([shingle]));
        set
    };
    let (one, other) = (set(one), set(other));
    one.intersection(&other).count() as f64 / one.union(&other).count().max(1) as f64
}

/// Words by a fixed generator, which follow Zipf's law roughly.
struct Words(u64);

impl Words {
    fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn word(&mut self) -> String {
        let most = self.below(5000) + 1;
        format!("w{}", self.below(most))
    }

    fn text(&mut self, length: usize) -> Vec<String> {
        (0..length).map(|_| self.word()).collect()
    }

    /// Replaces each word with a probability of `percent`.
    fn edited(&mut self, words: &[String], percent: u64) -> Vec<String> {
        words.iter().map(|word| if self.below(100) < percent { self.word() } else { word.clone() }).collect()
    }
}

/// Plants near-duplicates with known edits, and compares what is found with the exact similarity.
#[test]
fn planted_near_duplicates_are_found() {
    let mut words = Words(3);
    for (percent, least) in [(1, 0.98), (2, 0.95)] {
        let mut documents = Vec::new();
        for _ in 0..150 {
            let text = words.text(300);
            documents.push(words.edited(&text, percent).join(" "));
            documents.push(text.join(" "));
        }
        let options = NearOptions::default();
        let (kept, _) = found(&documents, &options, 1 << 20, 2);
        let kept: HashSet<_> = kept.into_iter().collect();
        let (mut similar, mut found, mut wrong) = (0, 0, 0);
        for pair in 0..150 {
            let [one, other] = [2 * pair, 2 * pair + 1];
            let is_similar = jaccard(&documents[one], &documents[other], 5) >= (1.0_f64 / 14.0).powf(1.0 / 8.0);
            let is_found = !kept.contains(&other);
            similar += u32::from(is_similar);
            found += u32::from(is_similar && is_found);
            assert!(kept.contains(&one), "a text that resembles none before it is kept");
            wrong += u32::from(is_found && jaccard(&documents[one], &documents[other], 5) < 0.4);
        }
        assert!(similar > 140, "{percent}: {similar}");
        assert!(f64::from(found) >= least * f64::from(similar), "{percent}: {found} of {similar}");
        assert_eq!(wrong, 0);
    }
    // A third of all words makes a sixth of the shingles equal, at most.
    let text = words.text(300);
    let documents = [text.join(" "), words.edited(&text, 33).join(" ")];
    assert_eq!(found(&documents, &NearOptions::default(), 1 << 20, 1).0, [0, 1]);
}
