//! Models against those of `SentencePiece`.

use sha2::{Digest, Sha256};

use super::*;
use crate::NoProgress;

fn train(options: Options, threads: usize) -> Result<Vec<u8>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/corpus/part-a.txt");
    let threads = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads start");
    let text = std::fs::read_to_string(path).expect("the golden corpus exists");
    let lines: Vec<&str> = text.split('\n').collect();
    threads.install(|| {
        let mut training = Training::new(options)?;
        for lines in lines.chunks(100) {
            training.add(lines);
        }
        training.finish(&mut NoProgress)
    })
}

fn plain() -> Options {
    Options { vocab_size: 800, character_coverage: 0.9995, ..Options::default() }
}

fn digest(model: &[u8]) -> String {
    Sha256::digest(model).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// The digests are those of the models that `SentencePieceTrainer` 0.2.3 makes of the same lines and options.
#[test]
fn models_are_those_of_sentencepiece() {
    let cases = [
        ("plain", plain(), "40076bed2ce08a39dd3eebfbf7ab365278fc3e1aa32ebe7645b3429f14ba7d86"),
        (
            "symbols",
            Options {
                user_defined_symbols: ["(", ")", "”", "-", ".", "–", "£", "€"].map(String::from).to_vec(),
                ..plain()
            },
            "5a2e63af17309b5095166445651e90e80e3a0abfbb59e3e77c99636486690a3d",
        ),
        (
            "coverage",
            Options { character_coverage: 0.98, ..plain() },
            "ea38193edbe62aa044afbf549027ee49290cfb44688669e3b3b80213a3b5ad3e",
        ),
        (
            "suffix",
            Options { treat_whitespace_as_suffix: true, ..plain() },
            "13675b88f911f4663170c7eb9defc8326de022f56e5bd26bfac00ffd513df232",
        ),
        (
            "across",
            Options { split_by_whitespace: false, ..plain() },
            "f9fb074d551a732e1fc7d95f2b5ee8c84a982e53b87ae9d69d5d00e63c5ee709",
        ),
        (
            "spaces",
            Options {
                allow_whitespace_only_pieces: true,
                normalization: Normalization { remove_extra_whitespaces: false, ..Normalization::default() },
                ..plain()
            },
            "7f0780011ac708045a8ddda708524072146e4eed73a8ce51f6397047c56a4ac2",
        ),
        (
            "scripts",
            Options { split_by_unicode_script: false, ..plain() },
            "ac33f1fb8602561fc596a7be366efbb7f774878c69742154a2fad42672b48b29",
        ),
        (
            "numbers",
            Options { split_by_number: false, ..plain() },
            "8cd03d26ea36966119bf76d97301aaa0d120d406a875155b9335ec5ad8bbc1f6",
        ),
        (
            "digits",
            Options { split_digits: true, ..plain() },
            "ed4aa65821ed71021bd6658c0c9fe7d9c4be601b258daf704c050533aa25f621",
        ),
        (
            "bytes",
            Options { byte_fallback: true, ..plain() },
            "ec067f9e7f6a2cc7a4e02580849ec4ef6436f93324568bc94b379dfce947e3da",
        ),
        (
            "required",
            Options { required_chars: "é天".into(), ..plain() },
            "c79ef8d238645ea82bdbebb44145460bbb64e0656d05ff57ae53b07846da6444",
        ),
        (
            "short",
            Options { max_sentencepiece_length: 3, ..plain() },
            "6a9f2bce7050165fb8e23ed36a21c15a30ec6b36c9dec7d6b2435435966ad723",
        ),
        (
            "seeds",
            Options { seed_sentencepiece_size: 1500, ..plain() },
            "05b913f753b2fd6d953cfe1b6a73bf58c3c5513392369c17742774477fb76308",
        ),
        (
            "shrink",
            Options { shrinking_factor: 0.6, ..plain() },
            "aa75ae2e52ba488d9b1cba5bc5edc9484f08f02d19e21d4336bea099fc2e097c",
        ),
        (
            "iterations",
            Options { num_sub_iterations: 4, ..plain() },
            "48a6a069352731a77a4f3926b63c9f58e2d2a799f91a67ad7a4d1bae91e21ef1",
        ),
        (
            "limit",
            Options { max_sentence_length: 80, ..plain() },
            "c6976aac089f1f5c112ad6ce5e93ea496364dd9521f15bd285c2601680775de5",
        ),
        (
            "partitions",
            Options { partitions: 3, ..plain() },
            "01588206f65a6073c5a547be0ecd721d8892ab99cf652c0cd2dc65a7b06c2198",
        ),
        (
            "soft",
            Options { hard_vocab_limit: false, vocab_size: 200_000, ..plain() },
            "d49c30dd9e21067a15b20aafddf8871a8e9d8365500f176adf6a6b29e8c757d3",
        ),
    ];
    for (name, options, expected) in cases {
        assert_eq!(digest(&train(options, 2).unwrap()), expected, "{name}");
    }
}

#[test]
fn threads_change_nothing() {
    let models: Vec<String> = [1, 2, 3, 5].map(|threads| digest(&train(plain(), threads).unwrap())).to_vec();
    assert!(models.iter().all(|model| *model == models[0]), "{models:?}");
}

#[test]
fn a_vocabulary_that_does_not_fit_is_refused() {
    let large = train(Options { vocab_size: 200_000, ..plain() }, 1).unwrap_err().to_string();
    assert!(large.contains("vocab_size=200000 is too large") && large.contains("at most"), "{large}");
    let small = train(Options { vocab_size: 30, ..plain() }, 1).unwrap_err().to_string();
    assert!(small.contains("vocab_size=30 is too small"), "{small}");
}

#[test]
fn a_text_without_lines_is_refused() {
    let mut training = Training::new(Options { max_sentence_length: 10, ..plain() }).unwrap();
    training.add(&["", "▅ x", "longer than ten bytes"]);
    assert_eq!(training.dropped(), Dropped { too_long: 1, reserved: 1, empty: 0 });
    let error = training.finish(&mut NoProgress).unwrap_err();
    assert!(matches!(error, Error::Input { .. }), "{error}");
}
