//! What a run of prepare-text did.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::options::Reason;
use super::read::raw::OTHERS;

/// What each step took or changed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Invalid UTF-8 sequences that became U+FFFD.
    pub replaced: u64,
    /// Records that could not be read and were left out.
    pub bad_records: u64,
    /// Pages of dumps that are redirects.
    pub redirects: u64,
    /// Pages of dumps that are no articles.
    pub other_pages: u64,
    /// Records of web archives that hold no text, by type; serialized as their number.
    #[serde(serialize_with = "sum")]
    pub other_records: [u64; OTHERS.len()],
    /// Documents that came of cutting plain documents that were too long.
    pub documents_cut: u64,
    /// Characters that were dropped, or became a space.
    pub repaired_characters: u64,
    /// Lines that a pattern matched.
    pub boilerplate_lines: u64,
    /// Hyphens at line ends at which two lines were joined.
    pub joined_hyphens: u64,
    /// Lines without a letter or a digit.
    pub letterless_lines: u64,
    /// Sentences that lack a template or a formula that was removed from them; left out if that is asked for.
    pub incomplete_sentences: u64,
    /// Sentences that were cut.
    pub sentences_cut: u64,
    /// Documents without a line.
    pub empty_documents: u64,
    /// Documents with too few characters.
    pub short_documents: u64,
    /// Documents with too few sentences.
    pub few_sentences: u64,
    /// Documents with too many characters that are no letters.
    pub non_letters: u64,
    /// Documents that were there before.
    pub duplicate_documents: u64,
    /// Lines that were there before.
    pub duplicate_lines: u64,
}

impl Counts {
    /// Counts a document that goes.
    pub fn reject(&mut self, reason: Reason) {
        match reason {
            Reason::EmptyDocuments => self.empty_documents += 1,
            Reason::ShortDocuments => self.short_documents += 1,
            Reason::FewSentences => self.few_sentences += 1,
            Reason::NonLetters => self.non_letters += 1,
            Reason::DuplicateDocuments => self.duplicate_documents += 1,
            Reason::DuplicateLines => self.duplicate_lines += 1,
            Reason::Boilerplate => self.boilerplate_lines += 1,
            Reason::LetterlessLines => self.letterless_lines += 1,
            Reason::IncompleteSentences => self.incomplete_sentences += 1,
            Reason::SentenceCut => self.sentences_cut += 1,
        }
    }

    /// Adds those of `other`.
    pub fn add(&mut self, other: &Self) {
        self.replaced += other.replaced;
        self.bad_records += other.bad_records;
        self.redirects += other.redirects;
        self.other_pages += other.other_pages;
        for (sum, count) in self.other_records.iter_mut().zip(other.other_records) {
            *sum += count;
        }
        self.documents_cut += other.documents_cut;
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
        self.duplicate_documents += other.duplicate_documents;
        self.duplicate_lines += other.duplicate_lines;
    }
}

/// What was written to one output.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Written {
    /// Documents.
    pub documents: u64,
    /// Lines that are not blank.
    pub sentences: u64,
    /// Bytes of text, before compression.
    pub bytes: u64,
}

/// What a run did.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Summary {
    /// Number of input files.
    pub inputs: u64,
    /// Number of input files of each format.
    pub formats: BTreeMap<&'static str, u64>,
    /// Bytes read from the disk.
    pub bytes_read: u64,
    /// Bytes of text found, before cleaning.
    pub text_bytes: u64,
    /// Documents found, before cleaning.
    pub documents_read: u64,
    /// What was written for training.
    #[serde(flatten)]
    pub kept: Written,
    /// What was held out: documents, sentences and bytes.
    #[serde(flatten, serialize_with = "held_out")]
    pub held_out: Written,
    /// Documents of each language.
    pub languages: BTreeMap<String, u64>,
    /// What each step took.
    pub counts: Counts,
    /// In a dry run, samples of what each step takes.
    pub samples: BTreeMap<Reason, Vec<String>>,
    /// The files written for training.
    #[serde(serialize_with = "names")]
    pub outputs: Vec<PathBuf>,
    /// The files that hold what is held out.
    #[serde(serialize_with = "names")]
    pub eval_outputs: Vec<PathBuf>,
    /// Whether hashes went through files.
    pub spilled: bool,
    /// What the reader of the summary may want to know.
    pub notes: Vec<String>,
    /// What the reader of the summary should know.
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

/// File names that are not text have U+FFFD where they are not.
fn names<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| path.to_string_lossy()))
}
