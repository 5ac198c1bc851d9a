//! The options of instances and masks, named as the reference names them.

use serde::{Deserialize, Serialize};

use crate::tokens::vocab::WordBoundary;
use crate::{Error, Result};

/// Which random numbers are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum RngKind {
    /// Counter-based, keyed by (seed, duplicate, document, chunk): any instance on its own, any number of threads.
    #[default]
    Fast,
    /// Python's and NumPy's Mersenne Twisters in the reference's order.
    Reference,
}

/// What becomes of a chunk that is a single segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum SingleSegment {
    /// Split in two at a word start, then treated like two segments.
    #[default]
    Split,
    /// A random document's segments as its second, label 1: the reference.
    Random,
    /// Left out.
    Drop,
}

/// Everything that decides what an instance is and how it is masked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InstanceOptions {
    /// Tokens of an instance, padding included; at least 8.
    pub max_seq_length: usize,
    /// Most masked tokens of an instance.
    pub max_predictions_per_seq: usize,
    /// Share of tokens to mask, in [0, 1].
    pub masked_lm_prob: f64,
    /// Share of documents cut to a random shorter target length, in [0, 1].
    pub short_seq_prob: f64,
    /// Passes over the corpus, each with other cuts and masks.
    pub dupe_factor: u64,
    /// Seed of everything random.
    pub random_seed: u64,
    /// Longest n-gram, in words, masked as one; at least 1.
    pub ngram: usize,
    /// Whether an n-gram of n words is drawn with weight 1/n (otherwise reversed).
    pub favor_shorter_ngram: bool,
    /// Whether the tokens of a word are masked together.
    pub do_whole_word_mask: bool,
    /// Whether as many further tokens again change places.
    pub do_permutation: bool,
    /// Next-sentence prediction instead of sentence order: for label 1, B is of another document, of which there must be one.
    pub random_next_sentence: bool,
    /// Which generator.
    pub rng: RngKind,
    /// Which pieces begin a word.
    pub word_boundary: WordBoundary,
    /// What becomes of chunks of one segment.
    pub single_segment: SingleSegment,
    /// Whether words and n-grams may run across `[SEP]`, as in the reference.
    pub cross_segment_words: bool,
    /// Whether a random replacement may be any piece, `[CLS]` and `<pad>` included, as in the reference.
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
            word_boundary: WordBoundary::Unicode,
            single_segment: SingleSegment::Split,
            cross_segment_words: false,
            replace_with_special: false,
        }
    }
}

impl InstanceOptions {
    /// The reference's behaviour in everything that has a choice.
    #[must_use]
    pub fn reference(mut self) -> Self {
        self.rng = RngKind::Reference;
        self.word_boundary = WordBoundary::Albert;
        self.single_segment = SingleSegment::Random;
        self.cross_segment_words = true;
        self.replace_with_special = true;
        self
    }

    /// Tokens of an instance besides `[CLS]` and the two `[SEP]`.
    pub fn max_tokens(&self) -> usize {
        self.max_seq_length - 3
    }

    /// Length of the `masked_lm_*` features.
    pub fn max_predictions(&self) -> usize {
        if self.do_permutation { 2 * self.max_predictions_per_seq } else { self.max_predictions_per_seq }
    }

    /// Checks every range.
    pub fn validate(&self) -> Result<()> {
        let rule = |ok: bool, name: &str, rule: &str, value: String| {
            if ok { Ok(()) } else { Err(Error::Option(format!("{name} must be {rule}; it is {value}"))) }
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
