//! The options that drop documents by their language and by the quality of their text.

use serde::{Deserialize, Serialize};

use super::keep_language::LanguageFilter;
use super::quality::rules::{Quality, Rule};
use crate::{Error, Result};

/// Which documents to drop because of their language or their quality.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct FilterOptions {
    /// ISO 639 codes. Documents in other languages are dropped. Empty to keep all languages.
    pub keep_language: Vec<String>,
    /// The minimum confidence, from 0 to 1, that a document is in these languages.
    pub min_language_confidence: f64,
    /// The set of quality rules.
    pub quality: Quality,
    /// Rules of the set that are not applied.
    pub quality_skip: Vec<Rule>,
}

impl Default for FilterOptions {
    fn default() -> Self {
        Self {
            keep_language: Vec::new(),
            min_language_confidence: 0.5,
            quality: Quality::None,
            quality_skip: Vec::new(),
        }
    }
}

impl FilterOptions {
    /// Checks that each value follows its rule.
    ///
    /// # Errors
    /// [`Error::Rule`] or [`Error::Conflict`] naming the first that does not.
    pub fn check(&self) -> Result<()> {
        self.languages()?;
        if self.quality == Quality::None && !self.quality_skip.is_empty() {
            let reason =
                "quality_skip has no effect without quality='gopher'; pass quality='gopher', or no `quality_skip`";
            return Err(Error::conflict("quality_skip", reason));
        }
        if self.quality == Quality::Gopher && self.rules().is_empty() {
            let reason = "quality_skip names all rules of quality='gopher', so that none is left; pass fewer rules, or \
                          neither `quality` nor `quality_skip`";
            return Err(Error::conflict("quality_skip", reason));
        }
        if !(0.0..=1.0).contains(&self.min_language_confidence) {
            let rule = "a number from 0 to 1";
            return Err(Error::rule("min_language_confidence", rule, self.min_language_confidence));
        }
        Ok(())
    }

    /// Returns the filter by language. Returns `None` if all languages are kept.
    ///
    /// # Errors
    /// [`Error::Rule`] for anything but the code of a language that can be recognized.
    pub(super) fn languages(&self) -> Result<Option<LanguageFilter>> {
        LanguageFilter::new(&self.keep_language, self.min_language_confidence)
    }

    /// Returns the quality rules that are applied.
    pub fn rules(&self) -> Vec<Rule> {
        Rule::ALL.into_iter().filter(|rule| self.applies(*rule)).collect()
    }

    /// Whether a quality rule is applied.
    pub fn applies(&self, rule: Rule) -> bool {
        self.quality == Quality::Gopher && !self.quality_skip.contains(&rule)
    }
}
