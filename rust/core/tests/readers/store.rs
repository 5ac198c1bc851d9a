//! Readers of token stores, and of the journal of an unfinished store.

use std::path::{Path, PathBuf};

use albert_fast_core::tokens::documents::Documents;
use albert_fast_core::tokens::store::{JOURNAL_FILE, META_FILE, TokenStore};
use albert_fast_core::tokens::tokenize::{Encode, TokenizeOptions, tokenize};
use albert_fast_core::{Error, NoProgress, Progress};
use serde_json::{Value, json};

use super::scratch;

const TEXT: &str = "the cat saw the dog\nit ran\n\nthe house is old\n";

/// Encodes words as up to 200 ids, by their length.
struct Lengths;

impl Encode for Lengths {
    type State = ();

    fn state(&self) {}

    fn encode_line(&self, (): &mut (), line: &str, out: &mut Vec<u32>) -> bool {
        out.extend(line.split_whitespace().map(|word| word.len() as u32 % 200));
        !line.trim().is_empty()
    }

    fn vocab_size(&self) -> u32 {
        200
    }

    fn digest(&self) -> &'static str {
        "lengths"
    }

    fn description(&self) -> Value {
        json!({"kind": "lengths"})
    }
}

fn make(directory: &Path) -> Result<(), Error> {
    let text = scratch::path("store.txt");
    if !text.exists() {
        scratch::file("store.txt", TEXT.as_bytes());
    }
    // One part per document.
    let options = TokenizeOptions { part_tokens: 1, ..TokenizeOptions::default() };
    tokenize(&[text], &Lengths, directory, &options, &mut NoProgress).map(drop)
}

/// Reads a valid store with one file replaced. The first byte says whether that is a part; the others are its content.
pub fn token_store(data: &[u8]) {
    let Some((&which, bytes)) = data.split_first() else { return };
    let directory = scratch::empty_directory("store");
    make(&directory).expect("a good store");
    let files = sorted_files(&directory);
    let is_part = |path: &&PathBuf| path.extension().is_none_or(|suffix| suffix != "json");
    let changed = files.iter().find(|path| is_part(path) == (which % 2 == 1)).expect("such a file");
    let whole = std::fs::read(changed).expect("the file can be read") == bytes;
    std::fs::write(changed, bytes).expect("the file can be written");
    let opened = TokenStore::open(&directory);
    if whole {
        assert!(opened.is_ok(), "{opened:?}");
    }
    let Ok(store) = opened else { return };
    let verified = store.verify();
    for index in 0..store.num_documents() {
        if store.check_document(index).is_ok() {
            let document = store.document(index);
            assert!(document.segments() > 0);
        } else {
            assert!(verified.is_err(), "document {index} is damaged, and the store is said to be good");
        }
    }
}

/// Returns the files of `directory`, sorted.
pub fn sorted_files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("the directory can be read");
    let mut files: Vec<_> =
        entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

/// Resumes from the journal of an unfinished store. Either the store is finished, or the journal is refused and not
/// changed. `TEXT` stands for the path of the input.
pub fn journal(data: &[u8]) {
    let directory = scratch::empty_directory("unfinished");
    make(&directory).expect("a good store");
    std::fs::remove_file(directory.join(META_FILE)).expect("the store has a description");
    let path = directory.join(JOURNAL_FILE);
    let data = &replaced(data, b"TEXT", text_path().as_bytes());
    std::fs::write(&path, data).expect("the journal can be written");
    match make(&directory) {
        Ok(()) => TokenStore::open(&directory).and_then(|store| store.verify()).expect("a good store"),
        Err(_) => {
            assert!(std::fs::read(&path).expect("the journal is there") == *data, "a refused journal was changed");
        }
    }
}

fn text_path() -> String {
    let path = scratch::path("store.txt").canonicalize().expect("the text is there");
    path.to_str().expect("a path in UTF-8").to_owned()
}

fn replaced(data: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len());
    let mut rest = data;
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}

/// Returns valid files.
pub fn seeds() -> Vec<super::Seed> {
    let directory = scratch::empty_directory("seed-store");
    make(&directory).expect("a store");
    let mut seeds = Vec::new();
    for path in sorted_files(&directory) {
        let is_part = path.extension().is_none_or(|suffix| suffix != "json");
        let bytes = std::fs::read(&path).expect("the file can be read");
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        seeds.push(("token_store", name, [&[u8::from(is_part)], &bytes[..]].concat()));
    }
    let journals = stopped(&scratch::empty_directory("seed-unfinished"));
    for (index, journal) in journals.into_iter().enumerate() {
        let bytes = replaced(&journal, text_path().as_bytes(), b"TEXT");
        seeds.push(("tokenize_journal", format!("parts-{index}"), bytes));
    }
    seeds
}

/// Returns the journals that a run leaves as it proceeds.
fn stopped(directory: &Path) -> Vec<Vec<u8>> {
    struct Watch(PathBuf, Vec<Vec<u8>>);
    impl Progress for Watch {
        fn report(&mut self, _: &'static str, _: &'static str, _: u64, _: u64) -> bool {
            self.1.extend(std::fs::read(&self.0));
            true
        }
    }
    let mut watch = Watch(directory.join(JOURNAL_FILE), Vec::new());
    let options = TokenizeOptions { part_tokens: 1, block_bytes: 1, ..TokenizeOptions::default() };
    tokenize(&[scratch::path("store.txt")], &Lengths, directory, &options, &mut watch).expect("a store");
    watch.1.sort();
    watch.1.dedup();
    watch.1
}
