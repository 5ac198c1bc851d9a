//! A vocabulary, documents and options that the tests of several modules share.

use std::path::Path;

use proptest::prelude::*;

use super::options::{InstanceOptions, SingleSegment};
use crate::tokens::documents::{Documents, MemoryDocuments};
use crate::tokens::store::{StoreWriter, TokenStore, TokenizerInfo};
use crate::tokens::vocab::Vocab;

/// Returns a vocabulary of fifty pieces, two thirds of which begin a word.
pub fn vocab() -> Vocab {
    let word_start = (0..50).map(|id| id % 3 != 0).collect();
    Vocab {
        size: 50,
        pad: 0,
        unk: 1,
        cls: 2,
        sep: 3,
        mask: 4,
        word_start,
        word_end: Vec::new(),
        ordinary: (5..50).collect(),
    }
}

/// Returns documents with segments of the given lengths. The ids of neighbors differ.
pub fn documents(lengths: &[Vec<usize>]) -> MemoryDocuments {
    let mut documents = MemoryDocuments::new();
    let mut next = 0;
    for document in lengths {
        for &length in document {
            let ids: Vec<u32> = (next..next + length as u32).map(|id| 5 + id.wrapping_mul(7919) % 45).collect();
            next += length as u32;
            documents.push_segment(&ids);
        }
        documents.end_document();
    }
    documents
}

/// Writes documents to a token store with small parts, and opens it.
pub fn store(directory: &Path, documents: &MemoryDocuments, vocab_size: u32) -> TokenStore {
    let tokenizer =
        TokenizerInfo { digest: String::new(), description: serde_json::Value::Null, vocab_size, file: None };
    let mut writer = StoreWriter::new(directory, tokenizer, 50, Vec::new()).unwrap();
    for number in 0..documents.num_documents() {
        let document = documents.document(number);
        for segment in 0..document.segments() {
            let (start, end) = (document.segment_start(segment), document.segment_start(segment + 1));
            let ids = document.ids.slice(start as usize..end as usize);
            writer.push_sentences(ids, 0, &[(end - start) as u32]).unwrap();
        }
        if writer.end_document().unwrap() {
            writer.close_part().unwrap();
        }
    }
    writer.finish(Vec::new(), serde_json::Value::Null, 0).unwrap();
    TokenStore::open(directory).unwrap()
}

prop_compose! {
    /// Small values for everything that determines how instances are made.
    pub fn options()(
        max_seq_length in 8..40_usize,
        short_seq_prob in 0.0..1.0,
        random_next_sentence: bool,
        do_permutation: bool,
        random_seed: u64,
        single_segment in prop::sample::select(vec![
            SingleSegment::Split, SingleSegment::Random, SingleSegment::Drop,
        ]),
    ) -> InstanceOptions {
        InstanceOptions {
            max_seq_length, max_predictions_per_seq: 5, short_seq_prob, random_next_sentence, do_permutation,
            random_seed, single_segment, ..InstanceOptions::default()
        }
    }
}

/// The lengths of the segments of some documents, at least two because random segments are from another document.
pub fn corpus() -> impl Strategy<Value = Vec<Vec<usize>>> {
    prop::collection::vec(prop::collection::vec(1..20_usize, 1..12), 2..12)
}
