//! The language of a document: given, or guessed from its first characters.

use std::collections::BTreeMap;

use crate::{Error, Result};

/// Bytes of a sample. More make the guess a little better and much slower.
const SAMPLE: usize = 768;

/// Samples of an input that are looked at.
const SAMPLES: usize = 16;

/// The code that stands for no language in particular: the rules of Unicode alone.
pub const UNDETERMINED: &str = "und";

/// What decides the language of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LanguageRule {
    /// One for each input: its own word where it has one (a dump's header), else a guess from its first documents.
    EachInput,
    /// The same for each document: slower.
    EachDocument,
    /// The same for all.
    Given(String),
}

impl LanguageRule {
    /// From `auto`, `each`, `und`, or a code of ISO 639-1 or 639-3.
    ///
    /// # Errors
    /// [`Error::Option`] for anything else.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "auto" => return Ok(Self::EachInput),
            "each" => return Ok(Self::EachDocument),
            _ => {}
        }
        normalize(text).map(Self::Given).ok_or_else(|| {
            Error::rule(
                "language",
                "auto, each, und, or an ISO 639-1 or 639-3 code such as de or deu",
                format!("{text:?}"),
            )
        })
    }
}

/// The code by which a language is known here: that of ISO 639-1 where it has one; none for what is no code at all.
pub fn normalize(code: &str) -> Option<String> {
    let code = code.to_ascii_lowercase();
    if code == UNDETERMINED {
        return Some(code);
    }
    let language = match code.len() {
        2 => isolang::Language::from_639_1(&code),
        3 => isolang::Language::from_639_3(&code),
        _ => None,
    }?;
    Some(macro_language(language.to_639_3()).or(language.to_639_1()).unwrap_or(language.to_639_3()).to_owned())
}

/// The two-letter code of the language that a language without one is a part of: what lists of abbreviations are kept by.
fn macro_language(code: &str) -> Option<&'static str> {
    Some(match code {
        "cmn" => "zh",
        "pes" => "fa",
        "arb" => "ar",
        "azj" => "az",
        "uzn" => "uz",
        "lvs" => "lv",
        "ydd" => "yi",
        "plt" => "mg",
        "npi" => "ne",
        "ory" => "or",
        _ => return None,
    })
}

/// Votes for the language of an input: one for each sample of its first documents, short ones taken together.
#[derive(Debug, Default)]
pub struct Votes {
    counts: BTreeMap<&'static str, usize>,
    samples: usize,
    pending: String,
}

impl Votes {
    /// Counts `text` in; false when no more is needed.
    pub fn add(&mut self, text: &str) -> bool {
        if self.samples < SAMPLES {
            if text.len() >= SAMPLE {
                self.vote(detect(text));
            } else {
                self.pending.push_str(text);
                self.pending.push('\n');
                if self.pending.len() >= SAMPLE {
                    self.vote(detect(&self.pending));
                    self.pending.clear();
                }
            }
        }
        self.samples < SAMPLES
    }

    fn vote(&mut self, code: &'static str) {
        self.samples += 1;
        if code != UNDETERMINED {
            *self.counts.entry(code).or_default() += 1;
        }
    }

    /// The language of at least three quarters of the samples that tell one; [`UNDETERMINED`] where they disagree, none
    /// where none tells.
    pub fn result(mut self) -> Option<&'static str> {
        if self.samples < SAMPLES && !self.pending.is_empty() {
            self.vote(detect(&self.pending));
        }
        let all: usize = self.counts.values().sum();
        if all == 0 {
            return None;
        }
        let winner = self.counts.into_iter().find(|&(_, count)| 4 * count >= 3 * all);
        Some(winner.map_or(UNDETERMINED, |(code, _)| code))
    }
}

/// The language of the text's first characters, or [`UNDETERMINED`] where they do not tell it reliably.
pub fn detect(text: &str) -> &'static str {
    let sample = &text[..text.floor_char_boundary(SAMPLE)];
    let Some(info) = whatlang::detect(sample).filter(whatlang::Info::is_reliable) else { return UNDETERMINED };
    let code = info.lang().code();
    macro_language(code).or_else(|| isolang::Language::from_639_3(code)?.to_639_1()).unwrap_or(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GERMAN: &str = "Der Zug nach Hamburg fährt heute von Gleis sieben. Wir haben gestern lange auf dich gewartet. Im Garten \
        blühen schon die ersten Rosen. Meine Schwester studiert Medizin in Leipzig. Das Buch liegt auf dem Tisch neben der Lampe. \
        Niemand wusste, woher das Geräusch kam. Bei schlechtem Wetter bleiben die Kinder zu Hause. Er öffnete vorsichtig die alte \
        Kiste. Die Regierung kündigte neue Maßnahmen an. Am Abend gingen sie schweigend durch den Wald. ";

    #[test]
    fn codes() {
        for (given, code) in [("de", "de"), ("DEU", "de"), ("cmn", "zh"), ("und", "und"), ("nds", "nds"), ("en", "en")]
        {
            assert_eq!(LanguageRule::parse(given).unwrap(), LanguageRule::Given(code.into()), "{given}");
        }
        for bad in ["", "german", "xx", "qqq", "d", "日本"] {
            let error = LanguageRule::parse(bad).unwrap_err().to_string();
            assert!(error.contains(&format!("{bad:?}")), "{error}");
        }
    }

    #[test]
    fn guesses() {
        for (text, code) in [
            ("The committee met on Tuesday and decided that nothing at all would change before the winter.", "en"),
            ("Der Ausschuss traf sich am Dienstag und beschloss, dass sich vor dem Winter nichts ändern würde.", "de"),
            ("Комитет собрался во вторник и решил, что до зимы ничего не изменится.", "ru"),
            ("委員会は火曜日に集まり、冬までは何も変えないことを決めました。", "ja"),
            ("委员会星期二开会决定在冬天之前不作任何改变。", "zh"),
            ("คณะกรรมการประชุมกันเมื่อวันอังคาร", "th"),
            ("12 34", "und"),
            ("", "und"),
        ] {
            assert_eq!(detect(text), code, "{text}");
        }
        let english =
            "The committee met on Tuesday and decided that nothing at all would change before the winter. ".repeat(9);
        let german =
            "Der Ausschuss traf sich am Dienstag, und beschlossen wurde, dass sich nichts ändern würde. ".repeat(9);
        let of = |texts: &[&str]| {
            let mut votes = Votes::default();
            texts.iter().all(|text| votes.add(text));
            votes.result()
        };
        assert_eq!(of(&[&english, &german, &english, "1", &english]), Some("en"));
        assert_eq!(of(&[&english, &german]), Some("und"));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["1", "2"]), None);
        let short: Vec<_> = german.split_inclusive(' ').chain(GERMAN.split_inclusive(". ")).collect();
        assert_eq!(of(&short), Some("de"), "short texts are taken together");
    }
}
