//! Drops documents whose text is of low quality, by rules that look at words, lines and repetitions.
//!
//! The rules and thresholds are those of `MassiveText` (Rae et al. 2021, "Scaling Language Models: Methods, Analysis &
//! Insights from Training Gopher", appendix A.1 and table A1). datatrove's `GopherQualityFilter` and
//! `GopherRepetitionFilter` have the same. docs/corpus.md lists them, and says where this implementation differs.

mod layout;
mod numbers;
mod repetition;
pub mod rules;
mod stop_words;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;

use self::layout::Layout;
use self::repetition::Repetition;
use self::rules::Rule;
use self::stop_words::StopWords;
use self::words::Words;

/// Applies the rules to one document after the other. Each thread has its own, and reuses its buffers.
pub(super) struct Judge {
    rules: Vec<Rule>,
    layout: Layout,
    words: Words,
    stop_words: StopWords,
    repetition: Repetition,
    /// The number of documents, by language, to which [`Rule::StopWords`] was not applied, because there is no list. It
    /// counts those that broke no earlier rule.
    pub without_stop_words: BTreeMap<String, u64>,
}

impl Judge {
    /// Returns `None` if there are no `rules` to apply.
    pub fn new(rules: Vec<Rule>) -> Option<Self> {
        (!rules.is_empty()).then(|| Self {
            rules,
            layout: Layout::default(),
            words: Words::default(),
            stop_words: StopWords::default(),
            repetition: Repetition::default(),
            without_stop_words: BTreeMap::new(),
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
        let mut has_list = false;
        if self.rules.iter().any(needs_words) {
            let is_applied = self.rules.contains(&Rule::StopWords);
            let stop_words = if is_applied { self.stop_words.of(language) } else { None };
            has_list = stop_words.is_some();
            self.words.read(text, stop_words);
        }
        let (layout, words) = (&self.layout, &self.words);
        let mut needs_list = false;
        let fault = self
            .rules
            .iter()
            .find(|rule| match rule {
                Rule::Words => !words.count_is_usual(),
                Rule::WordLength => !words.length_is_usual(),
                Rule::Symbols => words.has_many_symbols(),
                Rule::Bullets => layout.has_many_bullets(),
                Rule::Ellipses => layout.has_many_ellipses(),
                Rule::Alphabetic => !words.are_alphabetic(),
                Rule::StopWords => {
                    needs_list = true;
                    words.lack_stop_words()
                }
                Rule::RepeatedLines => layout.repeats_lines(),
                Rule::RepeatedParagraphs => layout.repeats_paragraphs(),
                Rule::TopNgrams => self.repetition.has_frequent_ngram(words.all()),
                Rule::RepeatedNgrams => self.repetition.repeats_ngrams(words.all()),
            })
            .copied();
        if needs_list && !has_list {
            match self.without_stop_words.get_mut(language) {
                Some(count) => *count += 1,
                None => drop(self.without_stop_words.insert(language.to_owned(), 1)),
            }
        }
        fault
    }
}
