use std::path::PathBuf;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::super::Training;
use super::*;
use crate::NoProgress;
use crate::tokens::tokenizer::TextRules;
use crate::tokens::tokenizer::proto::Piece;

const OLD: &str = "tokenizer/spiece.model";
const ADDED: usize = 60;

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name)
}

fn old() -> Tokenizer {
    Tokenizer::from_model(&golden(OLD), None).unwrap()
}

/// A text of another domain than the model's.
fn domain() -> String {
    let syllables =
        ["ne", "phro", "glo", "me", "ru", "lo", "pa", "tho", "gy", "kre", "a", "ti", "nin", "di", "ly", "sis"];
    let word = |place: usize| {
        let mut bits = (place % 120 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        let mut syllable = || {
            bits /= 16;
            syllables[bits % 16]
        };
        [syllable(), syllable(), syllable(), syllable()].concat()
    };
    let line = |place: usize| [0, 1, 2, 3, 4].map(|step| word((5 * place + step) * 37)).join(" ");
    (0..800).map(line).collect::<Vec<_>>().join("\n")
}

fn options(text: &Options) -> Options {
    Options { vocab_size: (old().pieces().len() + ADDED) as u32, ..text.clone() }
}

fn extend(text: &str, options: &Options, threads: usize) -> Result<Vec<u8>> {
    let mut training = Training::extending(&old(), options)?;
    let threads = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads start");
    threads.install(|| {
        training.add(&text.lines().collect::<Vec<_>>());
        training.finish(&mut NoProgress)
    })
}

/// Opens a model, and returns it with its digest.
fn opened(model: &[u8]) -> (Tokenizer, String) {
    let digest = Sha256::digest(model).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spiece.model");
    std::fs::write(&path, model).unwrap();
    (Tokenizer::from_model(&path, None).unwrap(), digest)
}

fn tokens(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    let mut ids = Vec::new();
    let mut state = tokenizer.state(false);
    for line in text.lines() {
        tokenizer.encode(&mut state, line, &mut ids);
    }
    ids
}

#[test]
fn old_pieces_stay_and_new_ones_shorten_the_text() {
    let text = domain();
    let (extended, digest) = opened(&extend(&text, &options(&Options::default()), 2).unwrap());
    let old = old();
    let size = old.pieces().len();
    assert_eq!(extended.pieces().len(), size + ADDED);
    assert_eq!(extended.pieces()[..size], *old.pieces());
    let before = tokens(&old, &text);
    let after = tokens(&extended, &text);
    assert!(after.len() * 3 < before.len() * 2, "{} tokens instead of {}", after.len(), before.len());
    assert!(after.iter().any(|&id| id as usize >= size));
    for threads in [1, 3] {
        assert_eq!(opened(&extend(&text, &options(&Options::default()), threads).unwrap()).1, digest);
    }
}

#[test]
fn text_without_new_pieces_is_split_as_before() {
    let (extended, _) = opened(&extend(&domain(), &options(&Options::default()), 1).unwrap());
    let old = old();
    let size = old.pieces().len() as u32;
    let text = std::fs::read_to_string(golden("corpus/part-b.txt")).unwrap();
    let (mut same, mut all) = (0, 0);
    for line in text.lines() {
        let [before, after] = [&old, &extended].map(|tokenizer| tokens(tokenizer, line));
        all += 1;
        if before == after {
            same += 1;
        } else {
            assert!(after.iter().any(|&id| id >= size), "{line}");
        }
    }
    assert!(same * 5 > all * 4, "{same} of {all} lines");
}

#[test]
fn all_else_in_the_file_stays() {
    let bytes = std::fs::read(golden(OLD)).unwrap();
    let model = extend(&domain(), &options(&Options::default()), 1).unwrap();
    let [before, mut after] = [&bytes, &model].map(|bytes| ModelProto::decode(&bytes[..]).unwrap());
    let spec = after.trainer_spec.as_mut().unwrap();
    assert_eq!(spec.vocab_size, Some(after.pieces.len() as i32));
    spec.vocab_size = before.trainer_spec.as_ref().unwrap().vocab_size;
    let new = after.pieces.split_off(before.pieces.len());
    assert_eq!(after, before);
    let lowest = before.pieces.iter().map(Piece::score).fold(0.0, f32::min);
    assert!(new.iter().all(|piece| piece.score() >= lowest && piece.r#type() == PieceType::Normal));
    // Fields that the program does not know are copied; texts to compare are not.
    let unknown = [0x52, 3, b'a', b'b', b'c'];
    let tests = [0x22, 2, 0x0A, 0];
    let file = [&bytes[..], &unknown, &tests].concat();
    let longer = file::extended(&file, &[("▁new".into(), -3.0)]).unwrap();
    assert!(longer.ends_with(&unknown));
    assert_eq!(ModelProto::decode(&longer[..]).unwrap().pieces.len(), before.pieces.len() + 1);
}

#[test]
fn new_characters_become_pieces() {
    let text = domain() + &"\nქართული ენა".repeat(50);
    let (extended, _) = opened(&extend(&text, &options(&Options::default()), 1).unwrap());
    for piece in ["ქ", "უ", "ა"] {
        assert!(old().piece_to_id(piece).is_none() && extended.piece_to_id(piece).is_some(), "{piece}");
    }
    assert!(!tokens(&extended, "ქართული ენა").contains(&extended.unknown_id()));
    let small = Options { vocab_size: old().pieces().len() as u32 + 2, ..Options::default() };
    let error = extend(&text, &small, 1).map(|model| model.len()).unwrap_err().to_string();
    let lacks = format!("characters of this text are not in {}; pass vocab_size=", golden(OLD).display());
    assert!(error.contains(&lacks), "{error}");
    // The size that is named is the smallest that fits.
    let (_, rest) = error.split_once("pass vocab_size=").unwrap();
    let size: u32 = rest.split(' ').next().unwrap().parse().unwrap();
    let of = |vocab_size| extend(&text, &Options { vocab_size, ..Options::default() }, 1);
    assert_eq!(opened(&of(size).unwrap()).0.pieces().len(), size as usize);
    assert!(of(size - 1).is_err());
}

#[test]
fn what_cannot_be_is_refused() {
    let text = domain();
    let size = old().pieces().len() as u32;
    let refused = |options: Options| extend(&text, &options, 1).map(|model| model.len()).unwrap_err().to_string();
    let error = refused(Options { vocab_size: size, ..Options::default() });
    assert!(error.contains("must be above 2000"), "{error}");
    let error = refused(Options { vocab_size: size + 100_000, ..Options::default() });
    let (_, rest) = error.split_once("this text gives only ").unwrap();
    let advice = "new pieces; pass hard_vocab_limit=False to add only these, a smaller `vocab_size`, or more text";
    let (added, said) = rest.split_once(' ').unwrap();
    assert_eq!(said, advice);
    let soft = Options { vocab_size: size + 100_000, hard_vocab_limit: false, ..Options::default() };
    let added: usize = added.parse().unwrap();
    assert!(added > ADDED);
    assert_eq!(opened(&extend(&text, &soft, 1).unwrap()).0.pieces().len(), size as usize + added);
    for (name, option) in [
        ("byte_fallback", Options { byte_fallback: true, ..Options::default() }),
        ("user_defined_symbols", Options { user_defined_symbols: vec!["@@".into()], ..Options::default() }),
        ("split_digits", Options { split_digits: true, ..Options::default() }),
        ("max_sentencepiece_length", Options { max_sentencepiece_length: 3, ..Options::default() }),
    ] {
        let error = refused(options(&option));
        assert!(error.contains(name) && error.contains("remove it"), "{error}");
    }
    let path = golden("tokenizer/wordpiece.txt");
    let vocabulary = Tokenizer::from_vocabulary(&path, TextRules { lower_case: true, keep_accents: false }).unwrap();
    let error = Training::extending(&vocabulary, &options(&Options::default())).unwrap_err().to_string();
    assert!(error.contains("a WordPiece vocabulary cannot be extended"), "{error}");
}

/// Asks to stop at the first report of the extension itself after so many.
struct Stops {
    after: u32,
    reports: u32,
    asked: Option<Instant>,
}

impl Progress for Stops {
    fn report(&mut self, stage: &'static str, _: &'static str, _: u64, _: u64) -> bool {
        self.reports += u32::from(stage == "extending the tokenizer");
        if self.reports > self.after {
            self.asked.get_or_insert_with(Instant::now);
        }
        self.asked.is_none()
    }
}

#[test]
fn every_pass_can_be_stopped() {
    let text = domain();
    let lines: Vec<&str> = text.lines().collect();
    let run = |after: u32| {
        let mut training = Training::extending(&old(), &options(&Options::default())).unwrap();
        training.add(&lines);
        let mut progress = Stops { after, reports: 0, asked: None };
        (training.finish(&mut progress).map(|model| model.len()), progress)
    };
    let (done, all) = run(u32::MAX);
    assert!(done.is_ok() && all.reports > 10, "{}", all.reports);
    for after in 0..all.reports.min(12) {
        let (stopped, progress) = run(after);
        assert!(matches!(stopped, Err(Error::Interrupted(_))), "{after}");
        assert_eq!(progress.reports, after + 1);
        assert!(progress.asked.is_some_and(|asked| asked.elapsed() < Duration::from_secs(1)));
    }
}
