//! Drops documents that are not in one of the languages to keep.

use super::language::{UNDETERMINED, normalize, recognize, recognized};
use crate::{Error, Result};

/// The size of a sample in bytes. A large sample takes little more time than a small one.
const SAMPLE: usize = 1536;

/// The maximum number of samples of a document. They are evenly spaced, so that a header or a quotation in another
/// language does not decide.
const SAMPLES: usize = 4;

/// The languages to keep.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LanguageFilter {
    kept: Vec<&'static str>,
    min_confidence: f64,
}

/// What the filter found out about a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// The language of the document. [`UNDETERMINED`] if it was not recognized with enough confidence.
    pub language: &'static str,
    /// Whether it is one of the languages to keep.
    pub is_kept: bool,
}

impl LanguageFilter {
    /// Returns `None` if all languages are kept.
    ///
    /// # Errors
    /// [`Error::Rule`] for anything but the code of a language that can be recognized. It says which code to pass,
    /// or lists all of them.
    pub fn new(codes: &[String], min_confidence: f64) -> Result<Option<Self>> {
        if codes.is_empty() {
            return Ok(None);
        }
        let known = recognized();
        let mut kept = Vec::new();
        for given in codes {
            let code = normalize(given);
            let Some(code) = known.iter().find(|known| code.as_deref() == Some(**known)) else {
                let rule = "the code of a language that can be recognized, such as de";
                return Err(Error::rule_with_fix("keep_language", rule, format!("{given:?}"), fix(given, &known)));
            };
            if !kept.contains(code) {
                kept.push(*code);
            }
        }
        Ok(Some(Self { kept, min_confidence }))
    }

    /// Finds the language of a document that has some text, and decides about it.
    ///
    /// The confidence that a document is in some languages is the mean over its samples. A sample in another language
    /// counts as 0.
    pub fn find(&self, text: &str) -> Found {
        let text = text.trim();
        let samples = (text.len() / SAMPLE).clamp(1, SAMPLES);
        let mut sums: Vec<(&'static str, f64)> = Vec::new();
        for index in 0..samples {
            let at = text.ceil_char_boundary(text.len() * index / samples);
            let sample = &text[at..text.floor_char_boundary(at + SAMPLE)];
            let Some((code, confidence)) = recognize(sample) else { continue };
            match sums.iter_mut().find(|(known, _)| *known == code) {
                Some((_, sum)) => *sum += confidence,
                None => sums.push((code, confidence)),
            }
        }
        let (kept, others): (Vec<_>, Vec<_>) = sums.into_iter().partition(|(code, _)| self.kept.contains(code));
        let enough = |sums: &[(&str, f64)]| {
            let sum: f64 = sums.iter().map(|(_, sum)| sum).sum();
            sum > 0.0 && sum / samples as f64 >= self.min_confidence
        };
        if enough(&kept) {
            return Found { language: most(&kept), is_kept: true };
        }
        if enough(&others) {
            return Found { language: most(&others), is_kept: false };
        }
        Found { language: UNDETERMINED, is_kept: false }
    }
}

/// Returns the first language with the largest sum.
fn most(sums: &[(&'static str, f64)]) -> &'static str {
    let mut best = (UNDETERMINED, 0.0);
    for &(code, sum) in sums {
        if sum > best.1 {
            best = (code, sum);
        }
    }
    best.0
}

/// Says what to pass instead of something that is no code of `known`.
fn fix(given: &str, known: &[&'static str]) -> String {
    let code_of = |text: &str| {
        let code = normalize(text);
        known.iter().find(|known| code.as_deref() == Some(**known)).copied().or_else(|| by_name(text, known))
    };
    let of_all = |separator: fn(char) -> bool| {
        let parts = given.split(separator).filter(|part| !part.is_empty());
        parts.map(code_of).collect::<Option<Vec<_>>>().unwrap_or_default()
    };
    let is_between = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '+' | '/' | '|');
    match of_all(is_between)[..] {
        [] => {}
        [code] => return format!("pass {code}"),
        ref codes => {
            let codes: Vec<_> = codes.iter().map(|code| format!("keep_language={code}")).collect();
            return format!("pass each code by itself: {}", codes.join(" "));
        }
    }
    // With a region or a script, as in "en-US" and "zh_Hant".
    match given.split(['-', '_', '.', '@']).next().map(code_of) {
        Some(Some(code)) => format!("pass {code}"),
        _ => format!("pass one of {}", known.join(", ")),
    }
}

/// Returns the code of the language with this English name.
fn by_name(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let mut letters = name.trim().chars();
    let name: String = letters.next()?.to_uppercase().chain(letters.flat_map(char::to_lowercase)).collect();
    let code = normalize(isolang::Language::from_name(&name)?.to_639_3())?;
    known.iter().find(|known| **known == code).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GERMAN: &str = "Der Ausschuss traf sich am Dienstag und beschloss, dass sich vor dem Winter nichts ändern würde. \
        Niemand wusste, woher das Geräusch kam, und am Abend gingen sie schweigend durch den Wald nach Hause. ";
    const ENGLISH: &str = "The committee met on Tuesday and decided that nothing at all would change before the winter. \
        Nobody knew where the noise had come from, and in the evening they walked home through the woods. ";

    fn filter(codes: &[&str], min_confidence: f64) -> LanguageFilter {
        let codes: Vec<_> = codes.iter().map(|&code| code.to_owned()).collect();
        LanguageFilter::new(&codes, min_confidence).unwrap().unwrap()
    }

    fn found(codes: &[&str], text: &str) -> Found {
        filter(codes, 0.5).find(text)
    }

    fn kept(language: &'static str) -> Found {
        Found { language, is_kept: true }
    }

    fn dropped(language: &'static str) -> Found {
        Found { language, is_kept: false }
    }

    #[test]
    fn codes_of_languages() {
        assert_eq!(LanguageFilter::new(&[], 0.5).unwrap(), None);
        assert_eq!(filter(&["DEU", "de", "cmn"], 0.5).kept, ["de", "zh"]);
        let refusal = |code: &str| LanguageFilter::new(&["en".into(), code.into()], 0.5).unwrap_err().to_string();
        for code in ["gl", "xx", "", "und", "auto", "de,gl", "gl-ES", "--"] {
            let error = refusal(code);
            let wanted = format!(
                "keep_language must be the code of a language that can be recognized, such as de, got {code:?}; pass one \
                 of af, ak, am, ar, "
            );
            assert!(error.starts_with(&wanted) && error.ends_with("zh, zu"), "{error}");
        }
        for (given, fix) in [
            ("german", "pass de"),
            ("Chinese", "pass zh"),
            ("en-US", "pass en"),
            ("zh_Hant", "pass zh"),
            ("de_DE.UTF-8", "pass de"),
            (" deu ", "pass de"),
            ("de,en", "pass each code by itself: keep_language=de keep_language=en"),
            ("German, eng;fr", "pass each code by itself: keep_language=de keep_language=en keep_language=fr"),
        ] {
            let error = refusal(given);
            assert!(error.ends_with(&format!("got {given:?}; {fix}")), "{error}");
        }
    }

    #[test]
    fn documents_in_one_language() {
        for (text, code) in [
            (GERMAN, "de"),
            (ENGLISH, "en"),
            ("委员会星期二开会决定在冬天之前不作任何改变。", "zh"),
            ("คณะกรรมการประชุมกันเมื่อวันอังคาร", "th"),
            ("اجتمعت اللجنة يوم الثلاثاء وقررت ألا يتغير شيء قبل الشتاء", "ar"),
        ] {
            assert_eq!(found(&[code], text), kept(code), "{text}");
            assert_eq!(found(&["fr", code], text), kept(code), "{text}");
            assert_eq!(found(&["fr"], text), dropped(code), "{text}");
        }
    }

    #[test]
    fn text_without_a_language_is_dropped() {
        for text in ["12 34 5,6 %", "*** --- ***", "🙂", "ok"] {
            assert_eq!(found(&["de", "en"], text), dropped(UNDETERMINED), "{text}");
        }
        let code = "if (i < n) { x[i] = y[j] + 1; } else { ++k; }\n".repeat(20);
        assert!(!found(&["de"], &code).is_kept);
    }

    #[test]
    fn mixed_documents_have_the_confidence_of_their_parts() {
        // The samples begin well within each part.
        let mixed = format!("{}{}", GERMAN.repeat(38), ENGLISH.repeat(42));
        let share = |codes: &[&str], min| filter(codes, min).find(&mixed);
        assert!(share(&["de"], 0.4).is_kept && share(&["en"], 0.4).is_kept);
        assert_eq!(share(&["de"], 0.51), dropped(UNDETERMINED));
        assert!(!share(&["fr"], 0.51).is_kept && share(&["fr"], 0.51).language != UNDETERMINED, "no part is French");
        assert!(share(&["de", "en"], 0.8).is_kept);
        let quarter = format!("{}{}", GERMAN.repeat(58), ENGLISH.repeat(22));
        assert_eq!(filter(&["de"], 0.6).find(&quarter), kept("de"));
        assert_eq!(filter(&["en"], 0.2).find(&quarter), kept("en"));
        assert_eq!(filter(&["en"], 0.26).find(&quarter), dropped("de"));
    }

    #[test]
    fn a_lower_confidence_keeps_more_short_texts() {
        let count = |min| {
            let filter = filter(&["de"], min);
            GERMAN.split(' ').filter(|word| filter.find(word).is_kept).count()
        };
        assert!(count(0.0) > count(0.5), "{} {}", count(0.0), count(0.5));
        assert!(count(0.5) >= count(1.0));
        assert_eq!(filter(&["de"], 0.0).find("123"), dropped(UNDETERMINED), "no part is in the language");
    }
}
