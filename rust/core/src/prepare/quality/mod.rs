//! Drops documents whose text is of low quality, by rules that look at words, lines and repetitions.
//!
//! The rules and thresholds are those of `MassiveText` (Rae et al. 2021, "Scaling Language Models: Methods, Analysis &
//! Insights from Training Gopher", appendix A.1 and table A1). datatrove's `GopherQualityFilter` and
//! `GopherRepetitionFilter` have the same. docs/corpus.md lists them, and says where this implementation differs.

mod layout;
mod repetition;
mod stop_words;
#[cfg(test)]
mod tests;
mod words;

use serde::{Deserialize, Serialize, Serializer};

use self::layout::Layout;
use self::repetition::Repetition;
use self::stop_words::StopWords;
pub use self::stop_words::has_stop_words;
use self::words::Words;
use super::filters::FilterOptions;

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
pub(super) fn count_name<S: Serializer>(rule: &Rule, serializer: S) -> Result<S::Ok, S::Error> {
    let name = serde_json::to_value(rule).map_err(serde::ser::Error::custom)?;
    serializer.serialize_str(&format!("quality_{}", name.as_str().unwrap_or_default().replace('-', "_")))
}

/// The number of documents that each rule dropped. A document counts for the first rule that it breaks.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
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

/// Applies the rules to one document after the other. Each thread has its own, and reuses its buffers.
pub(super) struct Judge<'a> {
    options: &'a FilterOptions,
    layout: Layout,
    words: Words,
    stop_words: StopWords,
    repetition: Repetition,
}

impl<'a> Judge<'a> {
    /// Returns `None` if no rule is applied.
    pub fn new(options: &'a FilterOptions) -> Option<Self> {
        Rule::ALL.iter().any(|rule| options.applies(*rule)).then(|| Self {
            options,
            layout: Layout::default(),
            words: Words::default(),
            stop_words: StopWords::default(),
            repetition: Repetition::default(),
        })
    }

    /// Begins a document.
    pub fn begin(&mut self) {
        self.layout.clear();
    }

    /// Takes the next line of the document as it was read, without the whitespace around it. It is empty where a
    /// paragraph ends.
    pub fn line(&mut self, line: &str) {
        self.layout.line(line);
    }

    /// Returns the first rule that the document breaks. Its lines were passed to [`Judge::line`], and `text` is what
    /// cleaning made of it: lines of sentences in `language`.
    pub fn fault(&mut self, text: &str, language: &str) -> Option<Rule> {
        self.layout.finish();
        let needs_words = |rule: &Rule| {
            !matches!(rule, Rule::Bullets | Rule::Ellipses | Rule::RepeatedLines | Rule::RepeatedParagraphs)
        };
        let mut rules = Rule::ALL.iter().filter(|rule| self.options.applies(**rule));
        if rules.clone().any(needs_words) {
            let stop_words = if self.options.applies(Rule::StopWords) { self.stop_words.of(language) } else { None };
            self.words.read(text, stop_words);
        }
        let (layout, words) = (&self.layout, &self.words);
        rules
            .find(|rule| match rule {
                Rule::Words => !words.count_is_usual(),
                Rule::WordLength => !words.length_is_usual(),
                Rule::Symbols => words.has_many_symbols(),
                Rule::Bullets => layout.has_many_bullets(),
                Rule::Ellipses => layout.has_many_ellipses(),
                Rule::Alphabetic => !words.are_alphabetic(),
                Rule::StopWords => words.lack_stop_words(),
                Rule::RepeatedLines => layout.repeats_lines(),
                Rule::RepeatedParagraphs => layout.repeats_paragraphs(),
                Rule::TopNgrams => self.repetition.has_frequent_ngram(words.all()),
                Rule::RepeatedNgrams => self.repetition.repeats_ngrams(words.all()),
            })
            .copied()
    }
}
