//! The quality rules, and what they dropped.

use serde::{Deserialize, Serialize, Serializer};

/// A set of quality rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quality {
    /// No rules.
    None,
    /// All of [`Rule`].
    Gopher,
}

/// A quality rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// A document has from 50 to 100,000 words.
    Words,
    /// Words have from 3 to 10 characters on average.
    WordLength,
    /// For each word, there are at most 0.1 hash signs, and at most 0.1 ellipses.
    Symbols,
    /// At most 90% of the lines start with a bullet.
    Bullets,
    /// At most 30% of the lines end with an ellipsis.
    Ellipses,
    /// At least 80% of the words contain a letter.
    Alphabetic,
    /// There are at least two different stop words of the language.
    StopWords,
    /// At most 30% of the lines, with at most 20% of the characters, repeat an earlier line.
    RepeatedLines,
    /// At most 30% of the paragraphs, with at most 20% of the characters, repeat an earlier paragraph.
    RepeatedParagraphs,
    /// The most common n-gram of 2 to 4 words makes up at most 20%, 18% or 16% of the characters.
    TopNgrams,
    /// At most 15%, 14%, 13%, 12%, 11% or 10% of the characters are in n-grams of 5 to 10 words that repeat earlier ones.
    RepeatedNgrams,
}

impl Rule {
    /// All rules, in the order in which they are applied.
    pub const ALL: [Self; 11] = [
        Self::Words,
        Self::WordLength,
        Self::Symbols,
        Self::Bullets,
        Self::Ellipses,
        Self::Alphabetic,
        Self::StopWords,
        Self::RepeatedLines,
        Self::RepeatedParagraphs,
        Self::TopNgrams,
        Self::RepeatedNgrams,
    ];

    /// Describes the documents that break the rule, as in "3 documents ...".
    pub fn fault(self) -> &'static str {
        match self {
            Self::Words => "with too few or too many words",
            Self::WordLength => "with words that are too short or too long",
            Self::Symbols => "with too many hash signs or ellipses",
            Self::Bullets => "with too many bullets",
            Self::Ellipses => "with too many lines that end in an ellipsis",
            Self::Alphabetic => "with too many words without a letter",
            Self::StopWords => "with too few stop words",
            Self::RepeatedLines => "with too many repeated lines",
            Self::RepeatedParagraphs => "with too many repeated paragraphs",
            Self::TopNgrams => "with an n-gram that is too frequent",
            Self::RepeatedNgrams => "with too many repeated n-grams",
        }
    }
}

/// Serializes a rule as the name of its count in [`QualityCounts`].
pub fn count_name<S: Serializer>(rule: &Rule, serializer: S) -> Result<S::Ok, S::Error> {
    let name = serde_json::to_value(rule).map_err(serde::ser::Error::custom)?;
    serializer.serialize_str(&format!("quality_{}", name.as_str().unwrap_or_default().replace('-', "_")))
}

/// The number of documents that each rule dropped. A document counts for the first rule that it breaks.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_field_names, reason = "names in the summary")]
pub struct QualityCounts {
    quality_words: u64,
    quality_word_length: u64,
    quality_symbols: u64,
    quality_bullets: u64,
    quality_ellipses: u64,
    quality_alphabetic: u64,
    quality_stop_words: u64,
    quality_repeated_lines: u64,
    quality_repeated_paragraphs: u64,
    quality_top_ngrams: u64,
    quality_repeated_ngrams: u64,
}

impl QualityCounts {
    /// Returns the count of a rule.
    pub fn of(mut self, rule: Rule) -> u64 {
        *self.of_mut(rule)
    }

    /// Returns the count of a rule, to change it.
    pub fn of_mut(&mut self, rule: Rule) -> &mut u64 {
        match rule {
            Rule::Words => &mut self.quality_words,
            Rule::WordLength => &mut self.quality_word_length,
            Rule::Symbols => &mut self.quality_symbols,
            Rule::Bullets => &mut self.quality_bullets,
            Rule::Ellipses => &mut self.quality_ellipses,
            Rule::Alphabetic => &mut self.quality_alphabetic,
            Rule::StopWords => &mut self.quality_stop_words,
            Rule::RepeatedLines => &mut self.quality_repeated_lines,
            Rule::RepeatedParagraphs => &mut self.quality_repeated_paragraphs,
            Rule::TopNgrams => &mut self.quality_top_ngrams,
            Rule::RepeatedNgrams => &mut self.quality_repeated_ngrams,
        }
    }

    /// Adds the counts of `other`.
    pub fn add(&mut self, other: &Self) {
        for rule in Rule::ALL {
            *self.of_mut(rule) += other.of(rule);
        }
    }
}
