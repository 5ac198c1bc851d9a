//! Readers of raw text in every format.

use std::cell::LazyCell;
use std::path::Path;

use albert_fast_core::NoProgress;
use albert_fast_core::prepare::options::PrepareOptions;
use albert_fast_core::prepare::output::{Target, TextCompression};
use albert_fast_core::prepare::read::mediawiki::Site;
use albert_fast_core::prepare::read::wikitext as wiki;
use albert_fast_core::prepare::{Outputs, prepare};
use serde_json::json;

use super::scratch;

thread_local! {
    static POOLS: LazyCell<[rayon::ThreadPool; 2]> = LazyCell::new(|| {
        [1, 3].map(|threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads"))
    });
}

pub fn auto(data: &[u8]) {
    all_ways("auto", data);
}

pub fn text(data: &[u8]) {
    all_ways("text", data);
}

pub fn jsonl(data: &[u8]) {
    all_ways("jsonl", data);
}

pub fn mediawiki(data: &[u8]) {
    all_ways("mediawiki", data);
}

pub fn wikiextractor(data: &[u8]) {
    all_ways("wikiextractor", data);
}

pub fn parquet(data: &[u8]) {
    all_ways("parquet", data);
}

pub fn csv(data: &[u8]) {
    all_ways("csv", data);
}

pub fn tsv(data: &[u8]) {
    all_ways("tsv", data);
}

pub fn arrow(data: &[u8]) {
    all_ways("arrow", data);
}

pub fn wet(data: &[u8]) {
    all_ways("wet", data);
}

pub fn wikitext(data: &[u8]) {
    let mut out = String::new();
    if let Ok(text) = std::str::from_utf8(data) {
        wiki::prose(text, &Site::default(), &mut out);
        assert!(out.len() <= 64 * text.len() + 64, "{} bytes of prose from {} of wikitext", out.len(), text.len());
    }
}

/// Reads `data` strictly, and then without bad records and bytes, the latter on one thread and on three.
fn all_ways(format: &str, data: &[u8]) {
    let input = scratch::file("raw", data);
    let strict = once(&input, &options(format, false), 0);
    let lenient = once(&input, &options(format, true), 0);
    let threads = once(&input, &options(format, true), 1);
    assert!(lenient == threads, "1 thread: {lenient:?}\n3 threads: {threads:?}");
    if let Ok(strict) = strict {
        assert!(
            lenient.as_ref() == Ok(&strict),
            "strict: {strict:?}\nwithout bad records, of which there are none: {lenient:?}"
        );
        check(&strict);
    }
    if let Ok(text) = lenient {
        check(&text);
    }
}

fn options(format: &str, skip_bad: bool) -> PrepareOptions {
    serde_json::from_value(json!({
        "format": format,
        "skip_bad": skip_bad,
        "on_bad_utf8": if skip_bad { "replace" } else { "error" },
        "language": "en",
    }))
    .expect("options")
}

/// Returns the corpus, or the error's message.
fn once(input: &Path, options: &PrepareOptions, pool: usize) -> Result<String, String> {
    let output = scratch::path("corpus.txt");
    let training = Target::new(&output, None, TextCompression::None).expect("a target");
    let outputs = Outputs { training, held_out: None, overwrite: true, dry_run: false };
    let done = POOLS.with(|pools| pools[pool].install(|| prepare(&[input], &outputs, options, &mut NoProgress)));
    done.map_err(|error| error.to_string())?;
    Ok(String::from_utf8(std::fs::read(&output).expect("the corpus is there")).expect("the corpus is UTF-8"))
}

/// Checks for one sentence per line, a blank line after each document, no control characters and no long lines.
fn check(text: &str) {
    assert!(text.ends_with("\n\n"), "the last document does not end in a blank line: {text:?}");
    let mut in_document = false;
    for line in text.strip_suffix('\n').unwrap_or(text).split_terminator('\n') {
        assert!(in_document || !line.is_empty(), "a document without sentences: {text:?}");
        in_document = !line.is_empty();
        assert!(!line.chars().any(char::is_control), "control characters: {line:?}");
        assert!(line.trim() == line && !line.contains("  "), "white space: {line:?}");
        assert!(line.len() <= 4096, "{} bytes in a line", line.len());
    }
}
