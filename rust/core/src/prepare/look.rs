//! What plain counts do not show of an input: blank lines within documents, and languages beside the one it is taken for.

use std::collections::BTreeMap;

use super::language::{UNDETERMINED, detect};
use super::raw::Document;

/// Bytes of text for which a sample is taken, in small inputs.
const STRIDE: usize = 512;
/// Samples of the beginnings of all inputs, about; at most these of one.
const FIRST_SAMPLES: (usize, usize) = (48, 12);
/// Samples of another language, and their fraction of all, from which there is a warning.
const OTHERS: (u64, f64) = (3, 0.2);
/// Paragraphs in a document, on average over several, from which blank lines are likely to separate documents.
const PARAGRAPHS: u64 = 50;

/// What was seen of a part of the input, or of all.
#[derive(Debug, Default)]
pub struct Look {
    /// Documents that are a whole file each.
    documents: u64,
    /// Paragraphs in them: blocks of lines between blank lines.
    paragraphs: u64,
    /// Samples by the language that the text is taken for, and the one that they look like.
    samples: BTreeMap<(String, &'static str), u64>,
}

impl Look {
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    pub fn add(&mut self, other: &Self) {
        self.documents += other.documents;
        self.paragraphs += other.paragraphs;
        for (languages, count) in &other.samples {
            *self.samples.entry(languages.clone()).or_default() += count;
        }
    }

    /// Looks at a document that is a file.
    pub fn file(&mut self, text: &str) {
        self.documents += 1;
        let mut blank = true;
        for line in text.lines() {
            let is_blank = line.trim_ascii().is_empty();
            self.paragraphs += u64::from(blank && !is_blank);
            blank = is_blank;
        }
    }

    /// Takes samples of the documents of a block, which are cleaned as text in `language`: evenly over them, more where the
    /// input begins.
    pub fn languages(&mut self, documents: &[Document], language: &str, begins_input: bool, inputs: usize) {
        let texts = || documents.iter().filter(|document| document.language.is_none()).map(|document| &*document.text);
        let total: usize = texts().map(str::len).sum();
        let most = if begins_input { (FIRST_SAMPLES.0 / inputs.max(1)).clamp(1, FIRST_SAMPLES.1) } else { 1 };
        let count = (total / STRIDE).clamp(1, most);
        let mut before = 0;
        let mut next = 0;
        for text in texts() {
            while next < count && next * total / count < before + text.len() {
                let at = text.ceil_char_boundary((next * total / count).saturating_sub(before));
                let found = detect(&text[at..]);
                if found != UNDETERMINED {
                    *self.samples.entry((language.to_owned(), found)).or_default() += 1;
                }
                next += 1;
            }
            before += text.len();
        }
    }

    /// Whether blank lines are likely to separate documents, each file being one: they are in the only one, or there are very
    /// many.
    pub fn hides_documents(&self) -> bool {
        match self.documents {
            0 => false,
            1 => self.paragraphs > 1,
            count => self.paragraphs >= PARAGRAPHS * count,
        }
    }

    /// Paragraphs of the documents that are a file each.
    pub fn paragraphs(&self) -> u64 {
        self.paragraphs
    }

    /// A sentence about text in other languages than the one it is taken for; none if that is only a small part.
    pub fn mixed(&self) -> Option<String> {
        let all: u64 = self.samples.values().sum();
        let mut others: BTreeMap<&str, u64> = BTreeMap::new();
        for ((taken, found), count) in &self.samples {
            if taken != found && taken != UNDETERMINED {
                *others.entry(found).or_default() += count;
            }
        }
        let percent = |count: u64| format!("{:.0}%", 100.0 * count as f64 / all as f64);
        let is_much = |count: u64| count >= OTHERS.0 && count as f64 >= OTHERS.1 * all as f64;
        if let Some((other, &count)) =
            others.iter().max_by_key(|(_, count)| **count).filter(|(_, count)| is_much(**count))
        {
            return Some(format!(
                "about {} of the text looks like {other}, and is taken for another language",
                percent(count)
            ));
        }
        let mut unknown: Vec<_> = self
            .samples
            .iter()
            .filter(|((taken, _), _)| taken == UNDETERMINED)
            .map(|((_, found), n)| (*n, *found))
            .collect();
        unknown.retain(|(count, _)| is_much(*count));
        unknown.sort_unstable_by(|a, b| b.cmp(a));
        (unknown.len() > 1).then(|| {
            let list: Vec<_> = unknown.iter().map(|(count, found)| format!("{found} {}", percent(*count))).collect();
            format!("the text is in several languages ({}), and no language's abbreviations are used", list.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGLISH: &str =
        "The committee met on Tuesday and decided that nothing at all would change before the winter.\n";
    const GERMAN: &str =
        "Der Ausschuss traf sich am Dienstag und beschloss, dass sich vor dem Winter nichts ändern würde.\n";

    fn look(text: &str, language: &str) -> Look {
        let mut look = Look::default();
        look.languages(&[Document { text: text.into(), ..Document::default() }], language, true, 1);
        look
    }

    #[test]
    fn halves_in_two_languages() {
        let mixed = format!("{}{}", GERMAN.repeat(30), ENGLISH.repeat(30));
        let said = look(&mixed, "de").mixed().unwrap();
        assert_eq!(said, "about 50% of the text looks like en, and is taken for another language");
        let said = look(&mixed, "und").mixed().unwrap();
        assert!(said.contains("(en 50%, de 50%)") || said.contains("(de 50%, en 50%)"), "{said}");
        assert_eq!(look(&GERMAN.repeat(60), "de").mixed(), None);
        assert_eq!(look(&GERMAN.repeat(60), "und").mixed(), None);
        assert_eq!(look(&format!("{}{ENGLISH}", GERMAN.repeat(60)), "de").mixed(), None);
        assert_eq!(look("", "de").mixed(), None);
        assert_eq!(look("ä", "de").mixed(), None);
    }

    #[test]
    fn documents_between_blank_lines() {
        let of = |files: &[String]| {
            let mut look = Look::default();
            for text in files {
                look.file(text);
            }
            look.hides_documents()
        };
        assert!(of(&["one\n\ntwo\n".into()]));
        assert!(!of(&["one\ntwo\n\n \n".into()]) && !of(&[]));
        assert!(!of(&["one\n\ntwo\n".into(), "three\n\nfour\n".into()]), "paragraphs");
        assert!(of(&["one\n\n".repeat(60), "two\n\n".repeat(60)]));
    }
}
