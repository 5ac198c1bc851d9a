//! What a run of prepare-text is asked to do.

use regex::RegexSet;
use serde::{Deserialize, Serialize};

use super::language::LanguageRule;
use super::read::options::{ParagraphRule, ReadOptions};
use crate::{Error, Result};

/// Why a document or a line goes, or is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A line that a pattern matches.
    #[serde(rename = "boilerplate_lines")]
    Boilerplate,
    /// A line without a letter or a digit.
    LetterlessLines,
    /// A sentence longer than `max_sentence_bytes`: it is cut, not removed.
    #[serde(rename = "sentences_cut")]
    SentenceCut,
    /// A sentence that lacks something that was removed from it.
    IncompleteSentences,
    /// A document of which no line is left.
    EmptyDocuments,
    /// A document of fewer characters than `min_document_chars`.
    ShortDocuments,
    /// A document of fewer sentences than `min_document_sentences`.
    FewSentences,
    /// A document with a greater share of non-letters than `max_non_letters`.
    NonLetters,
    /// A document that was there before.
    DuplicateDocuments,
    /// A line that was there before.
    DuplicateLines,
}

/// What becomes of a document, each for itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct CleanOptions {
    /// `auto`, `each`, `und` or a code of ISO 639: see [`LanguageRule`].
    pub language: String,
    /// Whether the lines of a paragraph are joined at a hyphen that breaks a word.
    pub join_hyphens: bool,
    /// Whether paragraphs are split into sentences; else each is one line.
    pub sentences: bool,
    /// Longer sentences are cut between words; in bytes.
    pub max_sentence_bytes: usize,
    /// Whether white space becomes single spaces, and control and invisible characters go.
    pub repair: bool,
    /// Whether sentences go that lack something that the reader of the input removed: a template of a wiki, a formula.
    pub drop_incomplete_sentences: bool,
    /// Documents of fewer characters, line ends not counted, go.
    pub min_document_chars: usize,
    /// Documents of fewer sentences go.
    pub min_document_sentences: usize,
    /// Documents of which a greater share of the characters, white space not counted, are neither letters nor marks go.
    pub max_non_letters: f64,
    /// Lines of the input that one of these regular expressions matches go, before paragraphs are split.
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
    /// The patterns, compiled; none where there are none.
    pub(super) fn patterns(&self) -> Result<Option<RegexSet>> {
        if self.boilerplate.is_empty() {
            return Ok(None);
        }
        for pattern in &self.boilerplate {
            regex::Regex::new(pattern).map_err(|error| {
                let reason = error.to_string();
                let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                Error::Option(format!("`boilerplate`: {pattern:?} is not a regular expression: {reason}"))
            })?;
        }
        let set = RegexSet::new(&self.boilerplate);
        set.map(Some).map_err(|error| Error::Option(format!("`boilerplate`: the patterns together: {error}")))
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

/// All that decides what is written, besides the inputs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct PrepareOptions {
    /// How the inputs are read.
    #[serde(flatten)]
    pub read: ReadOptions,
    /// What becomes of each document.
    #[serde(flatten)]
    pub clean: CleanOptions,
    /// Whether a document goes that was there before, line for line.
    pub dedup_documents: bool,
    /// Whether a line goes that was there before, in whatever document.
    pub dedup_lines: bool,
    /// MiB for the hashes of documents and lines; what does not fit goes through files beside the output.
    pub dedup_memory: u64,
    /// Share of the documents that are held out, by a hash of their text.
    pub eval_fraction: f64,
    /// Of what goes, this many samples for each reason are reported in a dry run.
    pub samples: usize,
}

impl Default for PrepareOptions {
    fn default() -> Self {
        Self {
            read: ReadOptions::default(),
            clean: CleanOptions::default(),
            dedup_documents: true,
            dedup_lines: false,
            dedup_memory: 512,
            eval_fraction: 0.0,
            samples: 3,
        }
    }
}

impl PrepareOptions {
    /// Whether each value follows its rule.
    ///
    /// # Errors
    /// [`Error::Option`] naming the first that does not.
    pub fn check(&self) -> Result<()> {
        self.clean.check()?;
        if self.clean.join_hyphens && self.read.paragraphs == ParagraphRule::Line {
            return Err(Error::Option(
                "join_hyphens=True must not be set with paragraphs='line', which joins no lines; pass \
                 paragraphs='blank-line'"
                    .into(),
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
