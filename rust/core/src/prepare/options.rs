//! The options of prepare-text.

use regex::RegexSet;
use serde::{Deserialize, Serialize};

use super::filters::FilterOptions;
use super::language::LanguageRule;
use super::near::options::NearOptions;
use super::quality::rules::{Rule, count_name};
use super::read::options::{ParagraphRule, ReadOptions};
use crate::{Error, Result};

/// Why a document or line was dropped or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A line matches a pattern.
    #[serde(rename = "boilerplate_lines")]
    Boilerplate,
    /// A line has neither a letter nor a digit.
    LetterlessLines,
    /// A sentence is longer than `max_sentence_bytes`, and was split. It is not dropped.
    #[serde(rename = "sentences_cut")]
    SentenceCut,
    /// A sentence lacks a part that was removed.
    IncompleteSentences,
    /// A document is in another language than those to keep.
    OtherLanguages,
    /// The language of a document was not recognized, and only some languages are kept.
    UnknownLanguages,
    /// A document has no lines left.
    EmptyDocuments,
    /// A document has fewer characters than `min_document_chars`.
    ShortDocuments,
    /// A document has fewer sentences than `min_document_sentences`.
    FewSentences,
    /// A document has a larger fraction of non-letters than `max_non_letters`.
    NonLetters,
    /// A document repeats an earlier one.
    DuplicateDocuments,
    /// A line repeats an earlier one.
    DuplicateLines,
    /// A document is nearly the same as another one.
    NearDuplicateDocuments,
    /// A document breaks a quality rule.
    #[serde(untagged, serialize_with = "count_name")]
    Quality(Rule),
}

/// How to clean each document.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct CleanOptions {
    /// `auto`, `each`, `und` or an ISO 639 code; see [`LanguageRule`].
    pub language: String,
    /// Whether to join the lines of a paragraph at a hyphen that breaks a word.
    pub join_hyphens: bool,
    /// Whether to split paragraphs into sentences. Otherwise, each paragraph is one line.
    pub sentences: bool,
    /// The maximum length of a sentence in bytes. Longer sentences are split between words.
    pub max_sentence_bytes: usize,
    /// Whether to turn whitespace into single spaces, and to drop control characters and invisible characters.
    pub repair: bool,
    /// Whether to drop sentences that lack a part which the reader removed, such as a template or a formula.
    pub drop_incomplete_sentences: bool,
    /// The minimum length of a document in characters, not counting line ends.
    pub min_document_chars: usize,
    /// The minimum number of sentences in a document.
    pub min_document_sentences: usize,
    /// The maximum fraction of characters, not counting whitespace, that are neither letters nor combining marks.
    pub max_non_letters: f64,
    /// Regular expressions. Input lines that match one are dropped before paragraphs are split.
    pub boilerplate: Vec<String>,
}

impl Default for CleanOptions {
    fn default() -> Self {
        Self {
            language: "auto".into(),
            join_hyphens: false,
            sentences: true,
            max_sentence_bytes: 4096,
            repair: true,
            drop_incomplete_sentences: false,
            min_document_chars: 0,
            min_document_sentences: 1,
            max_non_letters: 1.0,
            boilerplate: Vec::new(),
        }
    }
}

impl CleanOptions {
    /// Compiles the patterns. Returns `None` if there are none.
    pub(super) fn patterns(&self) -> Result<Option<RegexSet>> {
        if self.boilerplate.is_empty() {
            return Ok(None);
        }
        for pattern in &self.boilerplate {
            regex::Regex::new(pattern).map_err(|error| {
                let reason = error.to_string();
                let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                Error::rule("boilerplate", format!("valid regular expressions ({reason})"), pattern)
            })?;
        }
        let set = RegexSet::new(&self.boilerplate);
        set.map(Some).map_err(|error| {
            Error::conflict(
                "boilerplate",
                format!("the patterns of `boilerplate` cannot be combined ({error}); pass fewer patterns"),
            )
        })
    }

    fn check(&self) -> Result<()> {
        LanguageRule::parse(&self.language)?;
        if self.max_sentence_bytes < 64 {
            return Err(Error::rule("max_sentence_bytes", "at least 64", self.max_sentence_bytes));
        }
        if !(0.0..=1.0).contains(&self.max_non_letters) {
            return Err(Error::rule("max_non_letters", "a number from 0 to 1", self.max_non_letters));
        }
        Ok(())
    }
}

/// All options that determine what is written.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct PrepareOptions {
    /// How to read the inputs.
    #[serde(flatten)]
    pub read: ReadOptions,
    /// How to clean each document.
    #[serde(flatten)]
    pub clean: CleanOptions,
    /// How to find near-duplicates.
    #[serde(flatten)]
    pub near: NearOptions,
    /// Which documents to drop because of their language or their quality.
    #[serde(flatten)]
    pub filters: FilterOptions,
    /// Whether to drop documents that repeat an earlier one exactly.
    pub dedup_documents: bool,
    /// Whether to drop lines that occurred before in any document.
    pub dedup_lines: bool,
    /// The memory for hashes of documents and lines, in MiB. What does not fit is written to disk next to the output.
    pub dedup_memory: u64,
    /// The fraction of documents to hold out, chosen by a hash of their text.
    pub eval_fraction: f64,
    /// The number of samples of dropped text that a dry run reports for each reason.
    pub samples: usize,
}

impl Default for PrepareOptions {
    fn default() -> Self {
        Self {
            read: ReadOptions::default(),
            clean: CleanOptions::default(),
            near: NearOptions::default(),
            filters: FilterOptions::default(),
            dedup_documents: true,
            dedup_lines: false,
            dedup_memory: 512,
            eval_fraction: 0.0,
            samples: 3,
        }
    }
}

impl PrepareOptions {
    /// Checks that each value follows its rule.
    ///
    /// # Errors
    /// [`Error::Rule`] or [`Error::Conflict`] naming the first that does not.
    pub fn check(&self) -> Result<()> {
        self.clean.check()?;
        self.near.check()?;
        self.filters.check()?;
        if self.clean.join_hyphens && self.read.paragraphs == ParagraphRule::Line {
            return Err(Error::conflict(
                "join_hyphens",
                "join_hyphens=True must not be set with paragraphs='line', which joins no lines; pass \
                 paragraphs='blank-line'",
            ));
        }
        if !(0.0..1.0).contains(&self.eval_fraction) {
            return Err(Error::rule("eval_fraction", "a number of at least 0 and below 1", self.eval_fraction));
        }
        if self.dedup_memory == 0 {
            return Err(Error::rule("dedup_memory", "at least 1", 0));
        }
        Ok(())
    }
}
