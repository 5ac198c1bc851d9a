//! Stop words by language. For English, these are the words of Gopher. For other languages, the lists of Stopwords ISO,
//! as the crate `stop-words` has them.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasherDefault;

use xxhash_rust::xxh3::xxh3_64;

use super::numbers::Identity;

const ENGLISH: [&str; 8] = ["the", "be", "to", "of", "and", "that", "have", "with"];

/// The hashes of the stop words of a language.
pub(super) type List = HashSet<u64, BuildHasherDefault<Identity>>;

/// The lists that were asked for.
#[derive(Debug, Default)]
pub(super) struct StopWords {
    lists: HashMap<String, Option<List>>,
}

impl StopWords {
    /// Returns the list of a language, if there is one.
    pub fn of(&mut self, language: &str) -> Option<&List> {
        if !self.lists.contains_key(language) {
            let list = words_of(language).map(|words| words.iter().map(|word| xxh3_64(word.as_bytes())).collect());
            self.lists.insert(language.to_owned(), list);
        }
        self.lists.get(language)?.as_ref()
    }
}

pub(super) fn words_of(language: &str) -> Option<&'static [&'static str]> {
    match language {
        "en" => Some(&ENGLISH),
        "nb" | "nn" => stop_words::lookup("no"),
        _ => stop_words::lookup(language),
    }
}
