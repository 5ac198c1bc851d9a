//! Models against those of `SentencePiece`.

use sha2::{Digest, Sha256};

use super::*;
use crate::NoProgress;

fn train(options: Options, threads: usize) -> Result<Vec<u8>> {
    pool(threads).install(|| {
        let mut training = Training::new(options)?;
        for lines in golden_lines().chunks(100) {
            training.add(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        }
        training.finish(&mut NoProgress)
    })
}

fn plain() -> Options {
    Options { vocab_size: 800, character_coverage: 0.9995, input_sentence_size: 0, ..Options::default() }
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

fn golden_lines() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/corpus/part-a.txt");
    std::fs::read_to_string(path).expect("the golden corpus exists").split('\n').map(String::from).collect()
}

fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads start")
}

/// Trains on lines given so many at a time. `memory` and `chunk` are for what is otherwise far larger.
fn train_lines(
    options: Options,
    lines: &[String],
    (each, threads): (usize, usize),
    memory: usize,
    chunk: usize,
) -> Vec<u8> {
    let mut training = Training::new(options).unwrap();
    training.reader.limit_memory(memory);
    training.setup.chunk = chunk;
    pool(threads).install(|| {
        for lines in lines.chunks(each) {
            training.add(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        }
        training.finish(&mut NoProgress).unwrap()
    })
}

/// Lines in temporary files, and text in many chunks, give the same model for any number of threads.
#[test]
fn memory_and_threads_change_nothing_in_many_chunks() {
    let mut lines = golden_lines();
    // Lines that normalization makes empty.
    (0..lines.len()).step_by(50).for_each(|line| lines[line] = "  ".into());
    let train = |how, memory| digest(&train_lines(plain(), &lines, how, memory, 20_000));
    let expected = train((lines.len(), 1), usize::MAX);
    for (how, memory) in [((100, 2), usize::MAX), ((100, 2), 0), ((33, 3), 0), ((7, 1), 5000), ((1000, 5), 5000)] {
        assert_eq!(train(how, memory), expected, "{how:?} {memory}");
    }
}

/// A sample does not depend on how lines are given, and training on it is training on its lines.
#[test]
fn a_sample_is_trained_like_its_lines() {
    let mut lines = golden_lines();
    lines.splice(3..3, [String::new(), "▅ is reserved".into(), "long ".repeat(2000), "  ".into()]);
    let options = Options { input_sentence_size: 800, ..plain() };
    let counted = |line: &&String| !line.is_empty() && !line.contains('▅') && line.len() < 4192;
    let counted: Vec<&String> = lines.iter().filter(counted).collect();
    let sample = watch::unwatched(|watch| sample::Sample::new(800).of(counted.len() as u64, watch));
    let numbered = (0..).zip(&counted).filter(|(line, _)| sample.has(*line));
    let chosen: Vec<String> = numbered.map(|(_, line)| (*line).clone()).collect();
    assert_eq!(chosen.len(), 800);
    let expected = digest(&train_lines(options.clone(), &chosen, (800, 1), usize::MAX, seeds::CHUNK_BYTES));
    for (how, memory) in [((lines.len(), 1), usize::MAX), ((100, 2), 0), ((7, 3), 1000)] {
        let model = train_lines(options.clone(), &lines, how, memory, seeds::CHUNK_BYTES);
        assert_eq!(digest(&model), expected, "{how:?} {memory}");
    }
}

/// Counts reports by stage, and stops at the first report of one.
#[derive(Default)]
struct Stages {
    seen: Vec<(&'static str, u64)>,
    stop_at: Option<&'static str>,
}

impl Progress for Stages {
    fn report(&mut self, stage: &'static str, unit: &'static str, done: u64, total: u64) -> bool {
        assert!(!unit.is_empty() && done <= total && total > 0, "{stage}: {done} of {total}");
        match self.seen.last_mut() {
            Some((last, before)) if *last == stage => {
                assert!(done >= *before, "{stage}: {done} after {before}");
                *before = done;
            }
            _ => self.seen.push((stage, done)),
        }
        self.stop_at != Some(stage)
    }
}

#[test]
fn each_stage_reports_and_stops() {
    let finish = |stop_at| {
        let mut training = Training::new(plain()).unwrap();
        training.add(&golden_lines().iter().map(String::as_str).collect::<Vec<_>>());
        let mut stages = Stages { stop_at, ..Stages::default() };
        let result = pool(1).install(|| training.finish(&mut stages));
        (result, stages.seen)
    };
    let (model, seen) = finish(None);
    assert!(model.is_ok());
    let names: Vec<&str> = seen.iter().map(|stage| stage.0).collect();
    let expected = [
        "counting words",
        "collecting words",
        "finding pieces",
        "sorting words",
        "sorting pieces",
        "training the tokenizer",
    ];
    assert_eq!(names, expected);
    for stage in expected {
        let (result, seen) = finish(Some(stage));
        assert!(matches!(result, Err(Error::Interrupted(_))), "{stage}");
        assert_eq!(seen.last().unwrap().0, stage);
    }
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

/// Not a test of its own: the next test starts it where the system refuses every thread.
#[test]
#[ignore = "started by another test"]
fn child_without_threads() {
    if std::env::var_os("RUST_MIN_STACK").is_none() {
        return;
    }
    let stage = Stage::whole("working", "steps", 1);
    eprintln!("{}", abandonable(&mut NoProgress, stage, || ()).unwrap_err());
    eprintln!("{}", model::Model::new(candidates::Scored::default(), 3).unwrap_err());
}

#[test]
fn a_thread_that_the_system_refuses_is_an_error() {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    let test = "tokens::training::tests::child_without_threads";
    command.args(["--ignored", "--exact", "--nocapture", "--test-threads=1", test]);
    // No address space has room for such a stack.
    let output = command.env("RUST_MIN_STACK", (1_u64 << 60).to_string()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    let told: Vec<&str> = told.lines().filter(|line| line.starts_with("cannot start ")).collect();
    let [one, three] = told[..] else { panic!("{told:?}") };
    assert!(one.starts_with("cannot start 1 thread: ") && three.starts_with("cannot start 3 threads: "), "{told:?}");
    assert!(told.iter().all(|line| line.ends_with("; pass a smaller `num_threads`")), "{told:?}");
}
