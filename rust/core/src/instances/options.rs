//! The options of instances and masks, named as the reference names them.

use serde::{Deserialize, Serialize};

use crate::tokens::vocab::WordBoundary;
use crate::{Error, Result};

/// The random numbers that are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum RngKind {
    /// Counter-based, keyed by (seed, pass, document, chunk). Each instance can be made independently, on any number of
    /// threads.
    #[default]
    Fast,
    /// Python's and NumPy's Mersenne Twisters, in the reference's order.
    Reference,
}

/// What to do with a chunk of a single segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum SingleSegment {
    /// Split it in two at a word start, then treat it like two segments.
    #[default]
    Split,
    /// Take a random document's segments as B, with label 1, as in the reference.
    Random,
    /// Drop it.
    Drop,
}

/// The order of the instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Shuffle {
    /// All instances of all passes change places.
    #[default]
    Global,
    /// Blocks of the token store change places, and then the instances of some blocks at a time.
    Blocks,
}

/// Everything that determines what an instance is and how it is masked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InstanceOptions {
    /// Number of tokens of an instance, padding included; at least 8.
    pub max_seq_length: usize,
    /// The most masked tokens per instance.
    pub max_predictions_per_seq: usize,
    /// Fraction of tokens to mask, in [0, 1].
    pub masked_lm_prob: f64,
    /// Fraction of documents with a random shorter target length, in [0, 1].
    pub short_seq_prob: f64,
    /// Number of passes over the corpus, each with other chunks and masks.
    pub dupe_factor: u64,
    /// The random seed of everything.
    pub random_seed: u64,
    /// Longest n-gram that is masked together, in words; at least 1.
    pub ngram: usize,
    /// Whether an n-gram of n words is drawn with weight 1/n (otherwise reversed).
    pub favor_shorter_ngram: bool,
    /// Whether the tokens of a word are masked together.
    pub do_whole_word_mask: bool,
    /// Whether as many further tokens change places.
    pub do_permutation: bool,
    /// Next-sentence prediction instead of sentence order. For label 1, B is from another document, so there must be
    /// one.
    pub random_next_sentence: bool,
    /// The random generator.
    pub rng: RngKind,
    /// The order of the instances.
    pub shuffle: Shuffle,
    /// Which pieces begin a word.
    pub word_boundary: WordBoundary,
    /// What to do with chunks of one segment.
    pub single_segment: SingleSegment,
    /// Whether words and n-grams may continue across `[SEP]`, as in the reference.
    pub cross_segment_words: bool,
    /// Whether a random replacement may be any piece, including `[CLS]` and `<pad>`, as in the reference.
    pub replace_with_special: bool,
}

impl Default for InstanceOptions {
    fn default() -> Self {
        Self {
            max_seq_length: 512,
            max_predictions_per_seq: 20,
            masked_lm_prob: 0.15,
            short_seq_prob: 0.2,
            dupe_factor: 2,
            random_seed: 12345,
            ngram: 3,
            favor_shorter_ngram: true,
            do_whole_word_mask: true,
            do_permutation: false,
            random_next_sentence: false,
            rng: RngKind::Fast,
            shuffle: Shuffle::Global,
            word_boundary: WordBoundary::Unicode,
            single_segment: SingleSegment::Split,
            cross_segment_words: false,
            replace_with_special: false,
        }
    }
}

impl InstanceOptions {
    /// Returns the options with the reference's behavior wherever there is a choice.
    #[must_use]
    pub fn reference(mut self) -> Self {
        self.rng = RngKind::Reference;
        self.word_boundary = WordBoundary::Albert;
        self.single_segment = SingleSegment::Random;
        self.cross_segment_words = true;
        self.replace_with_special = true;
        self
    }

    /// Returns the number of tokens of an instance without `[CLS]` and the two `[SEP]`.
    pub fn max_tokens(&self) -> usize {
        self.max_seq_length - 3
    }

    /// Returns the length of the `masked_lm_*` features.
    pub fn max_predictions(&self) -> usize {
        if self.do_permutation { 2 * self.max_predictions_per_seq } else { self.max_predictions_per_seq }
    }

    /// Checks every range.
    pub fn validate(&self) -> Result<()> {
        let rule = |ok: bool, name: &'static str, rule: &str, value: String| {
            if ok { Ok(()) } else { Err(Error::rule(name, rule, value)) }
        };
        rule(
            (8..=65_536).contains(&self.max_seq_length),
            "max_seq_length",
            "from 8 to 65536",
            self.max_seq_length.to_string(),
        )?;
        rule(
            (1..=self.max_seq_length).contains(&self.max_predictions_per_seq),
            "max_predictions_per_seq",
            &format!("from 1 to max_seq_length ({})", self.max_seq_length),
            self.max_predictions_per_seq.to_string(),
        )?;
        rule(
            (0.0..=1.0).contains(&self.masked_lm_prob),
            "masked_lm_prob",
            "from 0 to 1",
            self.masked_lm_prob.to_string(),
        )?;
        rule(
            (0.0..=1.0).contains(&self.short_seq_prob),
            "short_seq_prob",
            "from 0 to 1",
            self.short_seq_prob.to_string(),
        )?;
        rule(
            (1..=100_000).contains(&self.dupe_factor),
            "dupe_factor",
            "from 1 to 100000",
            self.dupe_factor.to_string(),
        )?;
        rule((1..=64).contains(&self.ngram), "ngram", "from 1 to 64", self.ngram.to_string())
    }
}
