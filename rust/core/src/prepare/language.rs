//! Determines the language of a document: given by an option, or guessed from its first characters.

use std::collections::BTreeMap;

use crate::{Error, Result};

/// The size of a sample in bytes. Larger samples improve the guess a little and take much longer.
const SAMPLE: usize = 768;

/// The number of samples per input.
const SAMPLES: usize = 16;

/// The code for an unknown language. Only the rules of Unicode apply.
pub const UNDETERMINED: &str = "und";

/// How the language of a document is determined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LanguageRule {
    /// One language per input: the one that the input states, as a dump's header does; otherwise, a guess from its
    /// first documents.
    EachInput,
    /// A guess for each document, which is slower.
    EachDocument,
    /// The same language for all documents.
    Given(String),
}

impl LanguageRule {
    /// Parses `auto`, `each`, `und`, or an ISO 639-1 or 639-3 code.
    ///
    /// # Errors
    /// [`Error::Rule`] for anything else.
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

/// Returns the normalized code: ISO 639-1 if the language has such a code, ISO 639-3 otherwise. Returns `None` if
/// `code` is not a language code.
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

/// Returns the ISO 639-1 code of the macrolanguage to which a language without such a code belongs. Abbreviations are
/// listed under this code.
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

/// Votes for the language of an input. Each sample of its first documents has one vote; short documents are combined.
#[derive(Debug, Default)]
pub struct Votes {
    counts: BTreeMap<&'static str, usize>,
    samples: usize,
    pending: String,
}

impl Votes {
    /// Adds `text`. Returns `false` once no more votes are needed.
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

    /// Returns the language that at least three quarters of the recognized samples have, or [`UNDETERMINED`] if there
    /// is none. Returns `None` if no sample was recognized.
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

/// Returns the language of the first characters of `text`, or [`UNDETERMINED`] if it cannot be recognized reliably.
pub fn detect(text: &str) -> &'static str {
    let sample = &text[..text.floor_char_boundary(SAMPLE)];
    let Some(info) = whatlang::detect(sample).filter(whatlang::Info::is_reliable) else { return UNDETERMINED };
    code_of(info.lang())
}

/// Returns the language of `text`, and the confidence from 0 to 1. Returns `None` for text without letters.
pub(super) fn recognize(text: &str) -> Option<(&'static str, f64)> {
    whatlang::detect(text).map(|info| (code_of(info.lang()), info.confidence()))
}

/// Returns the codes of all languages that can be recognized, sorted.
pub fn recognized() -> Vec<&'static str> {
    let mut codes: Vec<_> = whatlang::Lang::all().iter().map(|language| code_of(*language)).collect();
    codes.sort_unstable();
    codes
}

fn code_of(language: whatlang::Lang) -> &'static str {
    let code = language.code();
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
