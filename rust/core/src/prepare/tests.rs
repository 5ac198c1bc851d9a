//! Runs prepare-text as a whole on small inputs.

mod filters;

use std::fs;
use std::path::{Path, PathBuf};

use super::options::{CleanOptions, PrepareOptions, Reason};
use super::output::{Target, TextCompression};
use super::read::options::{DocumentRule, ParagraphRule, ReadOptions};
use super::summary::Summary;
use super::{Outputs, prepare};
use crate::{Error, NoProgress, Progress, Result};

/// Prose that keeps to all quality rules.
const ENGLISH: &str = "The committee met on Tuesday and decided that nothing at all would change before the winter. Nobody \
    knew where the noise had come from, and in the evening they walked home through the woods with their dogs. On Friday \
    the mayor read the report aloud, asked for questions, and thanked everybody who had helped to write it.";

struct Case {
    directory: tempfile::TempDir,
    options: PrepareOptions,
    dry_run: bool,
}

impl Case {
    fn new(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = directory.path().join("in").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let clean = CleanOptions { language: "en".into(), ..CleanOptions::default() };
        Self { directory, options: PrepareOptions { clean, ..PrepareOptions::default() }, dry_run: false }
    }

    fn output(&self) -> PathBuf {
        self.directory.path().join("corpus.txt")
    }

    fn run_with(&self, threads: usize, shards: Option<u64>, progress: &mut (dyn Progress + Send)) -> Result<Summary> {
        let path = if shards.is_some() { self.directory.path().join("corpus") } else { self.output() };
        let training = Target::new(&path, shards, TextCompression::Auto)?;
        let held_out = (self.options.eval_fraction > 0.0).then(|| training.held_out(None, TextCompression::Auto));
        let outputs = Outputs { training, held_out, overwrite: true, dry_run: self.dry_run };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| prepare(&[self.directory.path().join("in")], &outputs, &self.options, progress))
    }

    fn run(&self) -> Result<Summary> {
        self.run_with(2, None, &mut NoProgress)
    }

    fn text(&self) -> String {
        fs::read_to_string(self.output()).unwrap()
    }

    fn error(&self) -> String {
        let error = self.run().unwrap_err().to_string();
        assert!(!self.output().exists(), "{error}");
        assert_eq!(names(self.directory.path()), ["in"], "{error}");
        error
    }
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn json_line(text: &str) -> String {
    format!("{}\n", serde_json::json!({ "text": text }))
}

/// Documents of all lengths. Many are duplicates, and many share lines.
fn many_documents() -> String {
    let mut text = String::new();
    for index in 0..6000_u32 {
        let number = index.wrapping_mul(2_654_435_761) % 4000;
        let mut document = format!("Document {number} begins here. Read on at any time.");
        for sentence in 0..number % 40 {
            let number = (number / 2).to_string();
            document.extend([" Sentence ", &sentence.to_string(), " of number ", &number, " follows, Mr. Reader."]);
        }
        text.push_str(&json_line(&document));
    }
    text
}

#[test]
fn a_document_a_file_and_paragraphs_between_blank_lines() {
    let case = Case::new(&[
        ("a.txt", "One paragraph over\r\ntwo lines. A second sentence.\r\n\r\nAnother\u{a0}\u{200b} paragraph.\n"),
        ("b.txt", "  \n\n"),
        ("c/d.txt", "Third file."),
    ]);
    let summary = case.run().unwrap();
    assert_eq!(case.text(), "One paragraph over two lines.\nA second sentence.\nAnother paragraph.\n\nThird file.\n\n");
    assert_eq!((summary.kept.documents, summary.kept.sentences), (2, 4));
    assert_eq!(summary.kept.bytes, case.text().len() as u64);
    assert_eq!(summary.counts.repaired_characters, 3, "two become one space, and one is dropped");
    assert_eq!(names(case.directory.path()), ["corpus.txt", "in"]);
}

#[test]
fn preparing_its_own_output_changes_nothing() {
    let mut case = Case::new(&[("a.txt", "One. Two.\nThree.\n\n\nFour.")]);
    case.options.read = ReadOptions { documents: DocumentRule::BlankLine, ..ReadOptions::default() };
    case.run().unwrap();
    let first = case.text();
    assert_eq!(first, "One.\nTwo.\nThree.\n\nFour.\n\n");
    fs::write(case.directory.path().join("in/a.txt"), &first).unwrap();
    case.run().unwrap();
    assert_eq!(case.text(), first);
    case.options.read.paragraphs = ParagraphRule::BlankLine;
    case.options.clean.sentences = false;
    case.run().unwrap();
    assert_eq!(case.text(), "One. Two. Three.\n\nFour.\n\n");
}

#[test]
fn the_same_bytes_for_any_threads_and_memory() {
    let mut case = Case::new(&[("a.jsonl", &many_documents()), ("b.txt", "Last of all. It ends.")]);
    case.options.dedup_lines = true;
    case.options.eval_fraction = 0.1;
    case.options.clean.min_document_sentences = 2;
    let eval = case.directory.path().join("eval-corpus.txt");
    let mut found = Vec::new();
    for (threads, memory) in [(1, 512), (2, 512), (5, 512), (3, 1)] {
        case.options.dedup_memory = memory;
        let summary = case.run_with(threads, None, &mut NoProgress).unwrap();
        let (kept, held_out) = (case.text(), fs::read_to_string(&eval).unwrap());
        assert_eq!(summary.kept.documents as usize, kept.matches("\n\n").count());
        assert_eq!(summary.held_out.documents as usize, held_out.matches("\n\n").count());
        assert!(summary.held_out.documents > 0 && summary.held_out.documents < summary.kept.documents);
        found.push((kept, held_out, summary.counts));
    }
    let counts = found[0].2;
    assert!(found.iter().all(|other| *other == found[0]));
    let distinct: std::collections::HashSet<_> = many_documents().lines().map(str::to_owned).collect();
    assert_eq!(counts.duplicate_documents as usize, 6000 - distinct.len());
    assert!(counts.duplicate_lines > 10_000 && counts.few_sentences > 0, "{counts:?}");
    let mut lines: Vec<_> = found[0].0.lines().chain(found[0].1.lines()).filter(|line| !line.is_empty()).collect();
    let all = lines.len();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), all, "no line twice, neither in training nor in evaluation");
}

#[test]
fn shards_hold_all_of_it() {
    let case = Case::new(&[("a.jsonl", &many_documents())]);
    case.run().unwrap();
    let mut documents: Vec<_> = case.text().split_terminator("\n\n").map(str::to_owned).collect();
    let summary = case.run_with(3, Some(4), &mut NoProgress).unwrap();
    let mut sizes = Vec::new();
    let mut sharded = Vec::new();
    for path in &summary.outputs {
        let text = fs::read_to_string(path).unwrap();
        sizes.push(text.len());
        sharded.extend(text.split_terminator("\n\n").map(str::to_owned));
    }
    assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() < 4096, "{sizes:?}");
    documents.sort_unstable();
    sharded.sort_unstable();
    assert!(documents == sharded);
}

#[test]
fn each_filter_drops_and_counts() {
    let long = "x".repeat(300);
    let mut case = Case::new(&[(
        "a.jsonl",
        &[
            "Short.",
            "A long document of one sentence, which is long enough",
            "12 34 56 78 90. 12 34 56 78 90. 12 34 56 78 90. 12 34 56.",
            "A good document. It has two sentences, and is long enough.\nRetrieved from the web.",
            "A good document. It has two sentences, and is long enough.",
            " \u{200b} ",
            &format!("Another one. {long} {long}"),
        ]
        .map(json_line)
        .concat(),
    )]);
    case.options.clean = CleanOptions {
        min_document_chars: 40,
        min_document_sentences: 2,
        max_non_letters: 0.5,
        max_sentence_bytes: 400,
        boilerplate: vec!["^Retrieved from".into(), "(?i)all rights reserved".into()],
        ..case.options.clean
    };
    let counts = case.run().unwrap().counts;
    assert_eq!(
        case.text(),
        format!("A good document.\nIt has two sentences, and is long enough.\n\nAnother one.\n{long}\n{long}\n\n")
    );
    assert_eq!(
        (counts.short_documents, counts.few_sentences, counts.non_letters, counts.duplicate_documents),
        (1, 1, 1, 1)
    );
    assert_eq!((counts.boilerplate_lines, counts.sentences_cut, counts.empty_documents), (1, 1, 1));
    assert_eq!(counts.repaired_characters, 1);

    let written = case.text();
    case.dry_run = true;
    let summary = case.run().unwrap();
    assert_eq!(case.text(), written);
    assert_eq!(summary.samples[&Reason::Boilerplate], ["Retrieved from the web."]);
    assert_eq!(summary.samples[&Reason::ShortDocuments], ["Short."]);
    assert_eq!(summary.samples[&Reason::DuplicateDocuments].len(), 1);
    assert_eq!(summary.counts, counts);
    assert!(summary.outputs.is_empty());
}

#[test]
fn languages_of_inputs_and_of_documents() {
    let english =
        "It was on a bright cold day in April that the clocks of the town were striking. He said no. Then. ".repeat(8);
    let german =
        "Am 3. Oktober kam z. B. Dr. Maier aus dem Süden in die Stadt, und alle freuten sich. Er blieb. ".repeat(9);
    let (english, german) = (english.as_str(), german.as_str());
    let lines = |texts: &[&str]| -> String { texts.iter().map(|text| json_line(text)).collect() };
    let mut case = Case::new(&[
        ("de.jsonl", &lines(&[german, german, german, german, english])),
        ("en.jsonl", &lines(&[english, english])),
        ("mixed.jsonl", &lines(&[english, german])),
        ("short.txt", "Kurz."),
    ]);
    case.options.dedup_documents = false;
    for (language, expected) in [
        ("auto", [("de", 5), ("en", 2), ("und", 3)].as_slice()),
        ("each", &[("de", 5), ("en", 4), ("und", 1)]),
        ("fra", &[("fr", 10)]),
    ] {
        case.options.clean.language = language.into();
        let found = case.run().unwrap().languages;
        let found: Vec<_> = found.iter().map(|(code, count)| (code.as_str(), *count)).collect();
        assert_eq!(found, expected, "{language}");
    }
}

#[test]
fn nothing_left_says_why() {
    let mut case = Case::new(&[("a.txt", "A text. Another.")]);
    case.options.clean.min_document_chars = 100;
    let error = case.error();
    assert_eq!(error.as_str(), "no document is left of 1; dropped: 1 shorter than min_document_chars=100");
    case.dry_run = true;
    assert_eq!(case.run().unwrap().warnings, [error]);
    let empty = Case::new(&[("a.txt", ""), ("b.txt", "\n \n")]);
    assert_eq!(empty.error(), "the input (2 files) contains no document");
}

#[test]
fn invalid_options_and_inputs_are_refused() {
    for (change, words) in [
        ((|o| o.clean.language = "klingon".into()) as fn(&mut PrepareOptions), "language must be "),
        (|o| o.clean.boilerplate = vec!["ok".into(), "(".into()], "(unclosed group), got ("),
        (|o| o.clean.max_non_letters = 1.5, "max_non_letters must be "),
        (|o| o.clean.max_non_letters = f64::NAN, "max_non_letters must be "),
        (|o| o.eval_fraction = 1.0, "eval_fraction must be "),
        (|o| o.clean.max_sentence_bytes = 10, "max_sentence_bytes must be "),
        (|o| o.dedup_memory = 0, "dedup_memory must be "),
    ] {
        let mut case = Case::new(&[("a.txt", "A text. Another.")]);
        change(&mut case.options);
        let error = case.error();
        assert!(error.contains(words), "{error}");
    }
    let mut broken = Case::new(&[("a.jsonl", "{\"text\": \"One.\"}\n{\"text\": \n"), ("b.txt", "Text.")]);
    assert!(broken.error().contains("a.jsonl, line 2"));
    broken.options.read.skip_bad = true;
    assert_eq!(broken.run().unwrap().counts.bad_records, 1);
}

#[test]
fn an_output_among_the_inputs_is_refused() {
    let case = Case::new(&[("a.txt", "A text.")]);
    let input = case.directory.path().join("in/a.txt");
    for output in [input.clone(), case.directory.path().join("in/b.txt")] {
        let training = Target::new(&output, None, TextCompression::Auto).unwrap();
        let outputs = Outputs { training, held_out: None, overwrite: true, dry_run: false };
        for input in [input.clone(), case.directory.path().join("in")] {
            let error = prepare(&[&input], &outputs, &case.options, &mut NoProgress);
            match error {
                Err(Error::Conflict { option: "output", path: Some(_), .. }) => {}
                Ok(_) if output != input => fs::remove_file(&output).unwrap(),
                other => panic!("{output:?} {input:?}: {other:?}"),
            }
        }
    }
    assert_eq!(fs::read_to_string(input).unwrap(), "A text.");
}

#[test]
fn an_interrupted_run_leaves_nothing() {
    struct Stop(u32);
    impl Progress for Stop {
        fn report(&mut self, _: &'static str, _: &'static str, _: u64, _: u64) -> bool {
            self.0 = self.0.saturating_sub(1);
            self.0 > 0
        }
    }
    let mut case = Case::new(&[("a.jsonl", &many_documents())]);
    case.options.dedup_memory = 1;
    case.options.dedup_lines = true;
    for after in [1, 2, 3, 4, 100] {
        match case.run_with(1, None, &mut Stop(after)) {
            Err(Error::Interrupted(_)) => assert_eq!(names(case.directory.path()), ["in"], "{after}"),
            other => panic!("{after}: {other:?}"),
        }
    }
}

/// Sentences of which some are replaced: near-duplicates of each other.
fn similar(number: usize, edits: &[usize]) -> String {
    let sentence = |at: usize| {
        let text = if edits.contains(&at) { "changed" } else { "written" };
        format!("Sentence {at} of document {number} is {text} for number {number} only.")
    };
    (0..30).map(sentence).collect::<Vec<_>>().join(" ")
}

#[test]
fn near_duplicates() {
    let documents =
        [similar(1, &[]), similar(2, &[]), similar(1, &[7]), similar(1, &[]), similar(2, &[1, 2]), similar(3, &[])];
    let mut case = Case::new(&[("a.jsonl", &documents.iter().map(|it| json_line(it)).collect::<String>())]);
    assert_eq!(case.run().unwrap().kept.documents, 5);
    case.options.near.dedup_near = true;
    let summary = case.run().unwrap();
    assert_eq!((summary.counts.duplicate_documents, summary.counts.near_duplicate_documents), (1, 2));
    let kept = [0, 1, 5].map(|at: usize| documents[at].replace(". ", ".\n") + "\n\n").concat();
    assert_eq!(case.text(), kept);
    assert_eq!(names(case.directory.path()), ["corpus.txt", "in"]);
    let report = summary.near_clusters.unwrap();
    assert_eq!((report.clusters, report.documents), (2, 4));
    assert!(report.largest[0].kept.starts_with("Sentence 0 of document 1 is written"));
    case.options.dedup_documents = false;
    let summary = case.run().unwrap();
    assert_eq!(summary.counts.near_duplicate_documents, 3, "the same document is one, too");
    assert_eq!(case.text(), kept);
    case.dry_run = true;
    fs::remove_file(case.output()).unwrap();
    let summary = case.run().unwrap();
    assert_eq!(summary.samples[&Reason::NearDuplicateDocuments].len(), 3);
    assert_eq!(names(case.directory.path()), ["in"]);
}

#[test]
fn near_duplicates_for_any_threads_and_memory() {
    let mut case = Case::new(&[("a.jsonl", &many_documents()), ("b.txt", "Last of all. It ends.")]);
    case.options.dedup_lines = true;
    case.options.eval_fraction = 0.1;
    case.options.near.dedup_near = true;
    case.options.near.dedup_near_shingle = 2;
    let mut wanted = None;
    for (threads, memory) in [(1, 512), (2, 1), (4, 1), (3, 512)] {
        case.options.dedup_memory = memory;
        let summary = case.run_with(threads, None, &mut NoProgress).unwrap();
        assert!(summary.counts.near_duplicate_documents > 100, "{:?}", summary.counts);
        let held_out = fs::read_to_string(case.directory.path().join("eval-corpus.txt")).unwrap();
        let found = (case.text(), held_out, summary.counts, summary.near_clusters);
        assert!(*wanted.get_or_insert(found.clone()) == found, "{threads} threads, {memory} MiB");
    }
}

#[test]
fn an_interrupted_search_for_near_duplicates() {
    struct At(&'static str);
    impl Progress for At {
        fn report(&mut self, stage: &'static str, _: &'static str, _: u64, _: u64) -> bool {
            stage != self.0
        }
    }
    let mut case = Case::new(&[("a.jsonl", &many_documents())]);
    case.options.near.dedup_near = true;
    for stage in ["finding near-duplicates", "dropping near-duplicates"] {
        let error = case.run_with(2, None, &mut At(stage)).unwrap_err();
        assert_eq!(error.to_string(), "stopped; nothing was written; run the same command again to start over");
        assert_eq!(names(case.directory.path()), ["in"]);
    }
}
