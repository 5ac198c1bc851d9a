//! Every reader of foreign bytes, as a function of bytes that panics if a property does not hold.
//!
//! `replay.rs` runs them on the seeds in rust/fuzz/seeds and on the inputs that fuzzing found, in rust/fuzz/found. The
//! fuzz targets in rust/fuzz run them on bytes that coverage guides. In addition to "no panic", they check bounded
//! memory, valid output, and that neither threads nor caches change a result.

#![allow(missing_docs, reason = "a test's helpers")]

pub mod memory;
mod prepare;
mod records;
mod scratch;
mod store;
mod tokenizer;

pub type Reader = fn(&[u8]);

/// The readers. A reader's name is also that of its directory of seeds and of its fuzz target.
pub const READERS: &[(&str, Reader)] = &[
    ("prepare_auto", prepare::auto),
    ("prepare_text", prepare::text),
    ("prepare_jsonl", prepare::jsonl),
    ("prepare_mediawiki", prepare::mediawiki),
    ("prepare_wikiextractor", prepare::wikiextractor),
    ("prepare_parquet", prepare::parquet),
    ("prepare_csv", prepare::csv),
    ("prepare_tsv", prepare::tsv),
    ("prepare_arrow", prepare::arrow),
    ("prepare_wet", prepare::wet),
    ("wikitext", prepare::wikitext),
    ("sentencepiece_model", tokenizer::sentencepiece_model),
    ("wordpiece_vocabulary", tokenizer::wordpiece_vocabulary),
    ("encode", tokenizer::encode),
    ("records", records::records),
    ("example", records::example),
    ("record_index", records::record_index),
    ("records_journal", records::journal),
    ("token_store", store::token_store),
    ("tokenize_journal", store::journal),
];

/// Runs the reader called `name` on `data`.
///
/// # Panics
/// If a property does not hold, or no reader has this name.
pub fn run(name: &str, data: &[u8]) {
    let (_, reader) = READERS.iter().find(|(reader, _)| *reader == name).expect("a reader of this name");
    memory::limited(data.len(), || reader(data));
}

/// A seed: its reader, its name and its bytes.
pub type Seed = (&'static str, String, Vec<u8>);

/// Returns seeds in the formats of this crate.
pub fn seeds() -> Vec<Seed> {
    [records::seeds(), store::seeds()].concat()
}
