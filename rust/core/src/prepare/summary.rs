//! The result of prepare-text.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::near::NearClusters;
use super::options::Reason;
use super::quality::rules::QualityCounts;
use super::read::raw::OTHERS;

/// What each step dropped or changed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Invalid UTF-8 sequences replaced by U+FFFD.
    pub replaced: u64,
    /// Records that could not be read and were skipped.
    pub bad_records: u64,
    /// Redirects in dumps.
    pub redirects: u64,
    /// Pages of dumps that are not articles.
    pub other_pages: u64,
    /// Records of web archives without text, by type. Their sum is serialized, and nothing is deserialized.
    #[serde(serialize_with = "sum", skip_deserializing)]
    pub other_records: [u64; OTHERS.len()],
    /// Additional documents from splitting plain-text documents that were too long.
    pub documents_cut: u64,
    /// Documents in other languages than those to keep.
    pub other_languages: u64,
    /// Documents whose language was not recognized, if only some languages are kept.
    pub unknown_languages: u64,
    /// Characters dropped or replaced by a space.
    pub repaired_characters: u64,
    /// Lines that matched a pattern.
    pub boilerplate_lines: u64,
    /// Hyphens at line ends where two lines were joined.
    pub joined_hyphens: u64,
    /// Lines with neither a letter nor a digit.
    pub letterless_lines: u64,
    /// Sentences from which a template or a formula was removed. They are dropped if `drop_incomplete_sentences` is
    /// set.
    pub incomplete_sentences: u64,
    /// Sentences split because they were too long.
    pub sentences_cut: u64,
    /// Documents without lines.
    pub empty_documents: u64,
    /// Documents with too few characters.
    pub short_documents: u64,
    /// Documents with too few sentences.
    pub few_sentences: u64,
    /// Documents with too many non-letters.
    pub non_letters: u64,
    /// Documents that break a quality rule.
    #[serde(flatten)]
    pub quality: QualityCounts,
    /// Documents that repeat an earlier one.
    pub duplicate_documents: u64,
    /// Lines that repeat an earlier one.
    pub duplicate_lines: u64,
    /// Documents that are nearly the same as another one.
    #[serde(default)]
    pub near_duplicate_documents: u64,
}

impl Counts {
    /// Counts something that was dropped or changed.
    pub fn reject(&mut self, reason: Reason) {
        match reason {
            Reason::OtherLanguages => self.other_languages += 1,
            Reason::UnknownLanguages => self.unknown_languages += 1,
            Reason::EmptyDocuments => self.empty_documents += 1,
            Reason::ShortDocuments => self.short_documents += 1,
            Reason::FewSentences => self.few_sentences += 1,
            Reason::NonLetters => self.non_letters += 1,
            Reason::Quality(rule) => *self.quality.of_mut(rule) += 1,
            Reason::DuplicateDocuments => self.duplicate_documents += 1,
            Reason::DuplicateLines => self.duplicate_lines += 1,
            Reason::NearDuplicateDocuments => self.near_duplicate_documents += 1,
            Reason::Boilerplate => self.boilerplate_lines += 1,
            Reason::LetterlessLines => self.letterless_lines += 1,
            Reason::IncompleteSentences => self.incomplete_sentences += 1,
            Reason::SentenceCut => self.sentences_cut += 1,
        }
    }

    /// Adds the counts of `other`.
    pub fn add(&mut self, other: &Self) {
        self.replaced += other.replaced;
        self.bad_records += other.bad_records;
        self.redirects += other.redirects;
        self.other_pages += other.other_pages;
        for (sum, count) in self.other_records.iter_mut().zip(other.other_records) {
            *sum += count;
        }
        self.documents_cut += other.documents_cut;
        self.other_languages += other.other_languages;
        self.unknown_languages += other.unknown_languages;
        self.repaired_characters += other.repaired_characters;
        self.boilerplate_lines += other.boilerplate_lines;
        self.joined_hyphens += other.joined_hyphens;
        self.letterless_lines += other.letterless_lines;
        self.incomplete_sentences += other.incomplete_sentences;
        self.sentences_cut += other.sentences_cut;
        self.empty_documents += other.empty_documents;
        self.short_documents += other.short_documents;
        self.few_sentences += other.few_sentences;
        self.non_letters += other.non_letters;
        self.quality.add(&other.quality);
        self.duplicate_documents += other.duplicate_documents;
        self.duplicate_lines += other.duplicate_lines;
        self.near_duplicate_documents += other.near_duplicate_documents;
    }
}

/// The amount of text in one output.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The number of documents.
    pub documents: u64,
    /// The number of lines that are not blank.
    pub sentences: u64,
    /// The number of bytes before compression.
    pub bytes: u64,
}

impl Written {
    /// Adds the amounts of `other`.
    pub fn add(&mut self, other: &Self) {
        self.documents += other.documents;
        self.sentences += other.sentences;
        self.bytes += other.bytes;
    }
}

/// The result of a run.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Summary {
    /// The number of input files.
    pub inputs: u64,
    /// The number of input files of each format.
    pub formats: BTreeMap<String, u64>,
    /// The number of bytes read from disk.
    pub bytes_read: u64,
    /// The number of bytes of text before cleaning.
    pub text_bytes: u64,
    /// The number of documents before cleaning.
    pub documents_read: u64,
    /// The documents written for training.
    #[serde(flatten)]
    pub kept: Written,
    /// The documents held out.
    #[serde(flatten, serialize_with = "held_out")]
    pub held_out: Written,
    /// The number of documents in each language.
    pub languages: BTreeMap<String, u64>,
    /// What each step dropped or changed.
    pub counts: Counts,
    /// In a dry run, samples of what each step drops or changes.
    pub samples: BTreeMap<Reason, Vec<String>>,
    /// The clusters of near-duplicates, if they were looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub near_clusters: Option<NearClusters>,
    /// The files written for training.
    #[serde(serialize_with = "names")]
    pub outputs: Vec<PathBuf>,
    /// The files with held-out documents.
    #[serde(serialize_with = "names")]
    pub eval_outputs: Vec<PathBuf>,
    /// Whether deduplication used files.
    pub spilled: bool,
    /// Remarks that the user may want to know.
    pub notes: Vec<String>,
    /// Warnings that the user should know.
    pub warnings: Vec<String>,
}

fn sum<S: Serializer>(counts: &[u64], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(counts.iter().sum())
}

fn held_out<S: Serializer>(written: &Written, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(3))?;
    map.serialize_entry("eval_documents", &written.documents)?;
    map.serialize_entry("eval_sentences", &written.sentences)?;
    map.serialize_entry("eval_bytes", &written.bytes)?;
    map.end()
}

/// Serializes paths. Bytes that are not UTF-8 become U+FFFD.
fn names<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| path.to_string_lossy()))
}
