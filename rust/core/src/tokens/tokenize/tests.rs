mod tasks;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::tokens::documents::{Ids, UNKNOWN_JOINS};
use crate::tokens::store::{JOURNAL_FILE, part_name};
use crate::{Error, NoProgress};

/// Splits words at whitespace and hashes each to an id; "-" is a word without tokens, and "?" is unknown.
struct Toy {
    vocab_size: u32,
    digest: &'static str,
}

const TOY: Toy = Toy { vocab_size: 1000, digest: "toy" };

impl Encode for Toy {
    type State = ();

    fn state(&self) {}

    fn encode_line(&self, (): &mut (), line: &str, out: &mut Vec<u32>) -> bool {
        assert!(!line.contains('\n'));
        for word in line.split_whitespace().filter(|&word| word != "-") {
            let hash = word.bytes().fold(7_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
            out.push(if word == "?" { 1 | UNKNOWN_JOINS } else { hash % self.vocab_size });
        }
        !line.trim().is_empty()
    }

    fn vocab_size(&self) -> u32 {
        self.vocab_size
    }

    fn digest(&self) -> &str {
        self.digest
    }

    fn description(&self) -> Value {
        json!({"kind": "toy"})
    }
}

/// Returns documents of sentences of ids, by the simplest reading of the rules.
fn expected(files: &[String], join_files: bool, bom: &str) -> Vec<Vec<Vec<u32>>> {
    let mut documents = vec![Vec::new()];
    for file in files {
        let mut lines: Vec<_> = file.strip_prefix(bom).unwrap_or(file).split('\n').collect();
        if lines.last().is_some_and(|line| line.is_empty()) {
            lines.pop();
        }
        for line in lines {
            let mut ids = Vec::new();
            if !TOY.encode_line(&mut (), line, &mut ids) {
                documents.push(Vec::new());
            } else if !ids.is_empty() {
                documents.last_mut().unwrap().push(ids);
            }
        }
        if !join_files {
            documents.push(Vec::new());
        }
    }
    documents.retain(|d| !d.is_empty());
    documents
}

fn read(documents: &impl Documents) -> Vec<Vec<Vec<u32>>> {
    (0..documents.num_documents())
        .map(|i| {
            let document = documents.document(i);
            let segment = |s| {
                let mut ids = Vec::new();
                document
                    .ids
                    .extend_into(document.segment_start(s) as usize..document.segment_start(s + 1) as usize, &mut ids);
                ids
            };
            (0..document.segments()).map(segment).collect()
        })
        .collect()
}

fn directory_files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap().map(|e| e.unwrap().path());
    entries.map(|p| (p.file_name().unwrap().into(), fs::read(&p).unwrap())).collect()
}

struct Case {
    dir: tempfile::TempDir,
    inputs: Vec<String>,
    output: PathBuf,
}

impl Case {
    fn new<T: AsRef<[u8]>>(files: &[T]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let text = dir.path().join("text");
        fs::create_dir(&text).unwrap();
        for (i, bytes) in files.iter().enumerate() {
            fs::write(text.join(format!("{i:03}.txt")), bytes).unwrap();
        }
        Self { inputs: vec![text.to_string_lossy().into_owned()], output: dir.path().join("store"), dir }
    }

    fn run(&self, options: &TokenizeOptions) -> Result<Summary> {
        tokenize(&self.inputs, &TOY, &self.output, options, &mut NoProgress)
    }

    fn run_elsewhere(&self, name: &str, options: &TokenizeOptions) -> BTreeMap<PathBuf, Vec<u8>> {
        let output = self.dir.path().join(name);
        tokenize(&self.inputs, &TOY, &output, options, &mut NoProgress).unwrap();
        TokenStore::open(&output).unwrap().verify().unwrap();
        directory_files(&output)
    }

    fn file(&self, index: usize) -> PathBuf {
        self.dir.path().join(format!("text/{index:03}.txt"))
    }
}

fn small() -> TokenizeOptions {
    TokenizeOptions { part_tokens: 5, block_bytes: 7, threads: 1, ..TokenizeOptions::default() }
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    let line = prop_oneof![
        4 => "[a-d]{1,3}( [a-dé漢\u{1F600}]{1,3}){0,5}",
        2 => Just(String::new()),
        1 => Just("  \t\r".to_string()),
        1 => Just("-".to_string()),
        1 => Just("? a\r".to_string()),
        1 => Just("\u{FEFF}".to_string()),
    ];
    let file = (prop::collection::vec(line, 0..12), any::<bool>())
        .prop_map(|(lines, newline)| lines.join("\n") + if newline { "\n" } else { "" });
    prop::collection::vec(file, 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_store_is_a_function_of_the_text(
        files in texts(), join_files in any::<bool>(), keep_bom in any::<bool>(), part_tokens in 1_u64..40,
        portion_bytes in prop_oneof![1..60_u64, Just(PORTION_BYTES)],
    ) {
        let bom = if keep_bom { "never" } else { "\u{FEFF}" };
        let expected = expected(&files, join_files, bom);
        let case = Case::new(&files);
        let options =
            TokenizeOptions { keep_bom, join_files, part_tokens, portion_bytes, ..TokenizeOptions::default() };
        if expected.is_empty() {
            prop_assert!(matches!(case.run(&options), Err(Error::Input { .. })), "no documents");
            prop_assert!(!case.output.exists() || directory_files(&case.output).is_empty());
            return Ok(());
        }
        let (memory, replaced) = read_documents(&case.inputs, &TOY, &options, &mut NoProgress).unwrap();
        prop_assert_eq!(read(&memory), expected.clone());
        prop_assert_eq!(replaced, 0);
        let summary = case.run(&options).unwrap();
        let bytes = directory_files(&case.output);
        let store = TokenStore::open(&case.output).unwrap();
        let plain: Vec<Vec<Vec<u32>>> = expected
            .iter()
            .map(|d| d.iter().map(|s| s.iter().map(|id| id & !UNKNOWN_JOINS).collect()).collect())
            .collect();
        prop_assert_eq!(read(&store), plain);
        prop_assert_eq!(summary.tokens, store.num_tokens());
        for (threads, block_bytes) in [(1, 1), (2, 3), (7, 16), (2, 1 << 20)] {
            let options = TokenizeOptions { block_bytes, threads, ..options.clone() };
            let name = format!("{threads}-{block_bytes}");
            prop_assert!(case.run_elsewhere(&name, &options) == bytes, "{} threads, blocks of {}", threads, block_bytes);
        }
    }
}

/// Asks to stop at report `at`.
struct StopAt {
    at: usize,
    reports: usize,
    done: u64,
    total: u64,
}

impl StopAt {
    fn new(at: usize) -> Self {
        Self { at, reports: 0, done: 0, total: 0 }
    }
}

impl Progress for StopAt {
    fn report(&mut self, _: &'static str, unit: &'static str, done: u64, total: u64) -> bool {
        assert_eq!(unit, "bytes");
        assert!(done >= self.done);
        (self.done, self.total) = (done, total);
        self.reports += 1;
        self.reports <= self.at
    }
}

fn corpus() -> Vec<String> {
    let sentence = |i: usize| format!("s{i} {} é漢 \r\n", "w ".repeat(i % 5));
    (0..6)
        .map(|f| (0..40).map(|i| sentence(i * 7 + f) + if i % 3 == f % 3 { " \n\n" } else { "" }).collect::<String>())
        .collect()
}

fn compress(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

#[test]
fn a_stopped_run_resumes_and_ends_with_the_same_bytes() {
    let texts: Vec<Vec<u8>> = corpus()
        .into_iter()
        .enumerate()
        .map(|(i, text)| if i % 2 == 0 { text.into_bytes() } else { compress(text.as_bytes()) })
        .collect();
    for (join_files, portion_bytes) in [(false, PORTION_BYTES), (true, PORTION_BYTES), (false, 300), (false, 1000)] {
        let case = Case::new(&texts);
        let options = TokenizeOptions { part_tokens: 40, block_bytes: 30, join_files, portion_bytes, ..small() };
        let bytes = case.run_elsewhere("whole", &options);
        assert!(bytes.len() > 15, "{} files", bytes.len());
        let mut resumed = Vec::new();
        for at in (0..1000).step_by(5) {
            // A run that stops at its report `at`, then one that finishes.
            let mut stop = StopAt::new(at);
            match tokenize(&case.inputs, &TOY, &case.output, &options, &mut stop) {
                Err(Error::Interrupted(text)) => assert!(text.contains("again to resume"), "{text}"),
                Ok(_) => break,
                Err(other) => panic!("{other}"),
            }
            let left = directory_files(&case.output);
            assert!(left.contains_key(Path::new(JOURNAL_FILE)) && !left.contains_key(Path::new("meta.json")));
            assert!(left.keys().all(|name| !name.to_string_lossy().ends_with("tmp")), "{:?}", left.keys());
            let more_threads = TokenizeOptions { threads: 3, block_bytes: 11, ..options.clone() };
            let summary = case.run(&more_threads).unwrap();
            assert_eq!(summary.resumed_parts, left.len() as u64 - 1);
            assert!(directory_files(&case.output) == bytes, "stopped at {at}");
            resumed.push(summary.resumed_parts);
            TokenStore::remove(&case.output).unwrap();
        }
        assert!(resumed.len() > 3 && resumed.iter().max() > Some(&10), "{resumed:?}");

        // One run after the other, each stopped after a little progress.
        fs::remove_dir_all(&case.output).unwrap();
        let mut runs = 0;
        while let Err(error) = tokenize(&case.inputs, &TOY, &case.output, &options, &mut StopAt::new(4)) {
            assert!(matches!(error, Error::Interrupted(_)), "{error}");
            runs += 1;
            assert!(runs < 1000);
        }
        assert!(runs > 3 && directory_files(&case.output) == bytes, "{runs} runs");
    }
}

#[test]
fn what_a_kill_leaves_behind_does_no_harm() {
    let case = Case::new(&corpus());
    let options = TokenizeOptions { part_tokens: 40, block_bytes: 30, ..small() };
    let bytes = case.run_elsewhere("whole", &options);
    // Killed after a part's rename and before the journal is written, and killed within a part.
    tokenize(&case.inputs, &TOY, &case.output, &options, &mut StopAt::new(8)).unwrap_err();
    let parts = directory_files(&case.output).len() - 1;
    assert!(parts > 2);
    let strays = ["part-00001.tokens", "part-00000-099.tokens", ".part-00000-001.tokens.aB3dE6.tmp"];
    for name in strays.into_iter().chain([part_name(0, parts).as_str()]) {
        fs::write(case.output.join(name), name).unwrap();
    }
    // If a finished part is truncated, it and the parts after it are made again.
    let damaged = case.output.join("part-00000-001.tokens");
    fs::write(&damaged, &fs::read(&damaged).unwrap()[..100]).unwrap();
    assert_eq!(case.run(&options).unwrap().resumed_parts, 1);
    assert!(directory_files(&case.output) == bytes);
    // Killed after the description was written and before the journal was removed.
    fs::write(case.output.join(JOURNAL_FILE), "{}").unwrap();
    let summary = case.run(&options).unwrap();
    assert!(summary.already_complete);
    assert!(directory_files(&case.output) == bytes);
}

fn refusal(result: Result<Summary>) -> String {
    match result {
        Err(error @ Error::Exists { .. }) => {
            let text = error.to_string();
            assert!(text.contains("overwrite=True to replace it"), "{text}");
            text
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn other_options_and_input_are_refused_by_name() {
    for stop in [Some(1), Some(8), None] {
        let case = Case::new(&corpus());
        let options = TokenizeOptions { part_tokens: 40, block_bytes: 30, ..small() };
        match stop {
            Some(at) => drop(tokenize(&case.inputs, &TOY, &case.output, &options, &mut StopAt::new(at)).unwrap_err()),
            None => drop(case.run(&options).unwrap()),
        }
        let before = directory_files(&case.output);
        let with = |change: fn(&mut TokenizeOptions)| {
            let mut options = options.clone();
            change(&mut options);
            refusal(case.run(&options))
        };
        assert!(with(|o| o.part_tokens = 41).contains("with part_tokens=40, not 41; pass 40 to"));
        assert!(with(|o| o.join_files = true).contains("join_files"));
        assert!(with(|o| o.keep_bom = true).contains("keep_bom"));
        let other = Toy { digest: "other", ..TOY };
        let text = refusal(tokenize(&case.inputs, &other, &case.output, &options, &mut NoProgress));
        assert!(text.contains("with another tokenizer or other text rules; pass overwrite=True"), "{text}");
        let one = vec![case.file(3).to_string_lossy().into_owned()];
        let text = refusal(tokenize(&one, &TOY, &case.output, &options, &mut NoProgress));
        assert!(text.contains("000.txt") && text.contains("003.txt"), "{text}");
        if stop != Some(1) {
            let text = fs::read_to_string(case.file(0)).unwrap();
            fs::write(case.file(0), text.replacen('s', "t", 1)).unwrap();
            assert!(refusal(case.run(&options)).contains("contents of"));
            fs::write(case.file(0), text).unwrap();
        }
        assert!(directory_files(&case.output) == before);
        let other = TokenizeOptions { part_tokens: 41, overwrite: true, ..options.clone() };
        let summary = case.run(&other).unwrap();
        assert!(!summary.already_complete && summary.resumed_parts == 0);
        assert!(directory_files(&case.output) == case.run_elsewhere("other", &other));
    }
}

#[test]
fn a_run_resumes_with_fixed_input() {
    [PORTION_BYTES, 300, 5000].into_iter().for_each(resumes_with_fixed_input);
}

fn resumes_with_fixed_input(portion_bytes: u64) {
    let mut texts: Vec<Vec<u8>> = corpus().into_iter().map(String::into_bytes).collect();
    let good = texts[4].clone();
    texts[4].extend_from_slice(b"\xFF\n");
    let case = Case::new(&texts);
    let options = TokenizeOptions { part_tokens: 40, block_bytes: 30, portion_bytes, ..small() };
    let line = memchr::memchr_iter(b'\n', &good).count() as u64 + 1;
    match case.run(&options) {
        Err(Error::InvalidUtf8 { path, line: found, byte: 1, value: 0xFF }) => {
            assert_eq!((path, found), (case.file(4), line));
        }
        other => panic!("{other:?}"),
    }
    fs::copy(case.file(4), case.dir.path().join("bad")).unwrap();
    fs::write(case.file(5), "a later file may change\n").unwrap();
    let replace = TokenizeOptions { on_bad_utf8: OnBadUtf8::Replace, ..options.clone() };
    let summary = case.run(&replace).unwrap();
    assert!(summary.resumed_parts > 0);
    assert_eq!(summary.replaced, 1);
    assert!(directory_files(&case.output) == case.run_elsewhere("whole", &replace));
}

#[test]
fn invalid_utf8_is_found_where_it_is() {
    let fault = |files: &[&[u8]], block_bytes| match Case::new(files).run(&TokenizeOptions { block_bytes, ..small() }) {
        Err(Error::InvalidUtf8 { path, line, byte, value }) => {
            (path.file_name().unwrap().to_string_lossy().into_owned(), line, byte, value)
        }
        other => panic!("{other:?}"),
    };
    for block_bytes in [1, 2, 3, 4, 5, 100] {
        assert_eq!(fault(&[b"ok\n", b"a\nb \xE6\xBC\n"], block_bytes), ("001.txt".into(), 2, 3, 0xE6));
        assert_eq!(fault(&[b"\xEF\xBB\xBFa\xFF"], block_bytes), ("000.txt".into(), 1, 5, 0xFF));
        // The end of one file and the beginning of the next must not form a character together.
        assert_eq!(fault(&[b"a\n\xE6\xBC", b"\xA2"], block_bytes), ("000.txt".into(), 2, 1, 0xE6));
        // A character of three bytes, split by block borders everywhere.
        let case = Case::new(&["漢漢 漢\n\n漢", "漢"]);
        let summary = case.run(&TokenizeOptions { block_bytes, ..small() }).unwrap();
        assert_eq!((summary.documents, summary.tokens), (3, 4));
    }
    let files: [&[u8]; 2] = [b"a \xFF\xFE b\n\n\xE6\xBC\n\xE6", b"\xBC x\n"];
    let case = Case::new(&files);
    let replace = TokenizeOptions { on_bad_utf8: OnBadUtf8::Replace, part_tokens: 1, ..small() };
    let summary = case.run(&replace).unwrap();
    let lossy: Vec<String> = files.iter().map(|f| String::from_utf8_lossy(f).into_owned()).collect();
    assert_eq!(read(&TokenStore::open(&case.output).unwrap()), expected(&lossy, false, "never"));
    assert_eq!(summary.replaced, lossy.concat().matches('\u{FFFD}').count() as u64);
    let (_, replaced) = read_documents(&case.inputs, &TOY, &replace, &mut NoProgress).unwrap();
    assert_eq!(replaced, summary.replaced);
    assert_eq!(TokenStore::read_meta(&case.output).unwrap().replaced, replaced);
}

#[test]
fn bad_input_leaves_nothing() {
    let long = [b"ok\n".as_slice(), &[b'x'; 101], b"\n"].concat();
    let mut cut = compress(b"some text\n");
    cut.pop();
    for bytes in [long, cut, b"a\xFF\n".to_vec(), b"\n \r\n-\n".to_vec(), Vec::new()] {
        let case = Case::new(&[bytes]);
        let options = TokenizeOptions { max_line: 100, ..TokenizeOptions::default() };
        let message = case.run(&options).unwrap_err().to_string();
        assert!(message.contains("000.txt"), "{message}");
        assert!(!case.output.exists() || directory_files(&case.output).is_empty());
    }
}

#[test]
fn standard_input() {
    let text = corpus().concat();
    let case = Case::new(&[&text]);
    let options = TokenizeOptions { part_tokens: 40, block_bytes: 30, ..small() };
    let whole = case.run_elsewhere("whole", &options);
    let run = |progress: &mut dyn Progress| {
        let stdin: Box<dyn Read + Send> = Box::new(std::io::Cursor::new(text.clone().into_bytes()));
        tokenize_from(&["-"], Some(stdin), &TOY, &case.output, &options, progress)
    };
    let mut stop = StopAt::new(8);
    let error = run(&mut stop).unwrap_err().to_string();
    assert!(error.contains("again to start over"), "{error}");
    assert_eq!(stop.total, 0);
    let summary = run(&mut NoProgress).unwrap();
    assert!(summary.resumed_parts == 0 && summary.notes[0].starts_with("started over"), "{summary:?}");
    let part = Path::new("part-00000.tokens");
    assert_eq!(directory_files(&case.output)[part], whole[part]);
    assert_eq!(directory_files(&case.output).len(), whole.len());
    assert!(refusal(run(&mut NoProgress)).contains("cannot be compared"));
}

#[test]
fn progress_is_in_bytes_of_the_files() {
    let texts = [corpus().concat().into_bytes(), compress(corpus().concat().as_bytes())];
    let case = Case::new(&texts);
    let mut progress = StopAt::new(usize::MAX);
    tokenize(&case.inputs, &TOY, &case.output, &small(), &mut progress).unwrap();
    let bytes = (texts[0].len() + texts[1].len()) as u64;
    assert_eq!((progress.done, progress.total), (bytes, bytes));
    assert!(progress.reports > 10);
}

#[test]
fn the_output_directory_is_no_input() {
    let case = Case::new(&["a b c\n"]);
    let output = case.dir.path().join("text/store");
    // The first run would succeed, and the next one would read what it made.
    let error = tokenize(&case.inputs, &TOY, &output, &small(), &mut NoProgress).unwrap_err().to_string();
    assert!(error.contains("is inside the input"), "{error}");
    assert!(!output.exists());
    fs::create_dir(&output).unwrap();
    fs::write(output.join("a.txt"), "a b c\n").unwrap();
    let error = tokenize(&[output.join("a.txt")], &TOY, &output, &small(), &mut NoProgress).unwrap_err().to_string();
    assert!(error.contains("output directory"), "{error}");
}

#[test]
fn ids_outside_the_vocabulary_are_an_error() {
    struct Wrong;
    impl Encode for Wrong {
        type State = ();
        fn state(&self) {}
        fn encode_line(&self, (): &mut (), _: &str, out: &mut Vec<u32>) -> bool {
            out.push(10);
            true
        }
        fn vocab_size(&self) -> u32 {
            10
        }
        fn digest(&self) -> &'static str {
            ""
        }
        fn description(&self) -> Value {
            Value::Null
        }
    }
    let case = Case::new(&["a\n"]);
    let error = tokenize(&case.inputs, &Wrong, &case.output, &small(), &mut NoProgress).unwrap_err();
    assert!(error.to_string().contains("id 10"), "{error}");
}

#[test]
fn large_vocabularies_are_stored_in_32_bits() {
    let case = Case::new(&corpus());
    let wide = Toy { vocab_size: 1 << 20, ..TOY };
    tokenize(&case.inputs, &wide, &case.output, &small(), &mut NoProgress).unwrap();
    let store = TokenStore::open(&case.output).unwrap();
    assert!(matches!(store.part(0).ids, Ids::U32(_)));
    store.verify().unwrap();
    let (memory, _) = read_documents(&case.inputs, &wide, &small(), &mut NoProgress).unwrap();
    assert_eq!(read(&store), read(&memory));
    assert!(read(&store).iter().flatten().flatten().any(|&id| id > 1 << 16));
}
