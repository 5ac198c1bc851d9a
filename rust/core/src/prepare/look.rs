//! Notices signs of wrong options in an input: blank lines inside documents, and text in unexpected languages.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::language::{UNDETERMINED, detect};
use super::read::raw::Document;

/// The number of bytes per sample, in small inputs.
const STRIDE: usize = 512;
/// The number of bytes per sample, in large inputs.
const LONG_STRIDE: usize = 128 << 10;
/// The approximate number of samples from the beginnings of all inputs.
const FIRST_SAMPLES: usize = 48;
/// The maximum number of samples from the beginning of one input.
const FIRST_SAMPLES_PER_INPUT: usize = 12;
/// A warning needs at least this many samples in another language.
const MIN_OTHER_SAMPLES: u64 = 3;
/// These samples must represent at least this fraction of all text.
const MIN_OTHER_FRACTION: f64 = 0.2;
/// With this many paragraphs per document on average, blank lines are likely to separate documents.
const PARAGRAPHS: u64 = 50;

/// Observations about a part of the input, or about all of it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Look {
    /// The number of documents that are a whole file each.
    documents: u64,
    /// The number of paragraphs in them, separated by blank lines.
    paragraphs: u64,
    /// Samples, by the language that is assumed for the text and the language that was detected.
    #[serde(with = "as_list")]
    samples: BTreeMap<(String, String), Samples>,
}

/// The number of samples, and the bytes of text they represent. At the beginning of an input, samples are denser, so
/// each represents fewer bytes.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
struct Samples {
    count: u64,
    bytes: u64,
}

/// JSON has no maps whose keys are pairs.
mod as_list {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub fn deserialize<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<K, V>, D::Error> {
        Ok(Vec::<(K, V)>::deserialize(deserializer)?.into_iter().collect())
    }
}

impl std::ops::AddAssign for Samples {
    fn add_assign(&mut self, other: Self) {
        self.count += other.count;
        self.bytes += other.bytes;
    }
}

impl Look {
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    pub fn add(&mut self, other: &Self) {
        self.documents += other.documents;
        self.paragraphs += other.paragraphs;
        for (languages, samples) in &other.samples {
            *self.samples.entry(languages.clone()).or_default() += *samples;
        }
    }

    /// Counts a document that is a whole file.
    pub fn file(&mut self, text: &str) {
        self.documents += 1;
        let mut blank = true;
        for line in text.lines() {
            let is_blank = line.trim_ascii().is_empty();
            self.paragraphs += u64::from(blank && !is_blank);
            blank = is_blank;
        }
    }

    /// Samples the documents of a block, which are cleaned as text in `language`. Samples are evenly spaced, and denser
    /// at the beginning of an input.
    pub fn languages(&mut self, documents: &[Document], language: &str, begins_input: bool, inputs: usize) {
        let texts = || documents.iter().filter(|document| document.language.is_none()).map(|document| &*document.text);
        let total: usize = texts().map(str::len).sum();
        let first = if begins_input { (FIRST_SAMPLES / inputs.max(1)).clamp(1, FIRST_SAMPLES_PER_INPUT) } else { 1 };
        let count = (total / STRIDE).clamp(1, first.max(total / LONG_STRIDE));
        let sample = Samples { count: 1, bytes: (total / count) as u64 };
        let mut before = 0;
        let mut next = 0;
        for text in texts() {
            while next < count && next * total / count < before + text.len() {
                let at = text.ceil_char_boundary((next * total / count).saturating_sub(before));
                let found = detect(&text[at..]);
                if found != UNDETERMINED {
                    *self.samples.entry((language.to_owned(), found.to_owned())).or_default() += sample;
                }
                next += 1;
            }
            before += text.len();
        }
    }

    /// Whether blank lines are likely to separate documents, although each file is one document: there are blank lines
    /// in the only file, or very many of them.
    pub fn hides_documents(&self) -> bool {
        match self.documents {
            0 => false,
            1 => self.paragraphs > 1,
            count => self.paragraphs >= PARAGRAPHS * count,
        }
    }

    /// Returns the number of paragraphs in documents that are a whole file each.
    pub fn paragraphs(&self) -> u64 {
        self.paragraphs
    }

    /// Describes text in other languages than the assumed one. Returns `None` if there is only a little of it.
    pub fn mixed(&self) -> Option<String> {
        let all: u64 = self.samples.values().map(|it| it.bytes).sum();
        let mut others: BTreeMap<&str, Samples> = BTreeMap::new();
        for ((taken, found), samples) in &self.samples {
            if taken != found && taken != UNDETERMINED {
                *others.entry(found).or_default() += *samples;
            }
        }
        let percent = |bytes: u64| format!("{:.0}%", 100.0 * bytes as f64 / all as f64);
        let is_much =
            |it: &Samples| it.count >= MIN_OTHER_SAMPLES && it.bytes as f64 >= MIN_OTHER_FRACTION * all as f64;
        if let Some((other, samples)) =
            others.iter().max_by_key(|(_, samples)| samples.bytes).filter(|(_, samples)| is_much(samples))
        {
            return Some(format!(
                "about {} of the text looks like {other}, but is treated as another language",
                percent(samples.bytes)
            ));
        }
        let mut unknown: Vec<_> = self
            .samples
            .iter()
            .filter(|((taken, _), _)| taken == UNDETERMINED)
            .filter(|(_, samples)| is_much(samples))
            .map(|((_, found), samples)| (samples.bytes, found.clone()))
            .collect();
        unknown.sort_unstable_by(|a, b| b.cmp(a));
        (unknown.len() > 1).then(|| {
            let list: Vec<_> = unknown.iter().map(|(bytes, found)| format!("{found} {}", percent(*bytes))).collect();
            format!("the text is in several languages ({}), so no abbreviations are recognized", list.join(", "))
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
        let text = look(&mixed, "de").mixed().unwrap();
        assert_eq!(text, "about 50% of the text looks like en, but is treated as another language");
        let text = look(&mixed, "und").mixed().unwrap();
        assert!(text.contains("(en 50%, de 50%)") || text.contains("(de 50%, en 50%)"), "{text}");
        assert_eq!(look(&GERMAN.repeat(60), "de").mixed(), None);
        assert_eq!(look(&GERMAN.repeat(60), "und").mixed(), None);
        assert_eq!(look(&format!("{}{ENGLISH}", GERMAN.repeat(60)), "de").mixed(), None);
        assert_eq!(look("", "de").mixed(), None);
        assert_eq!(look("ä", "de").mixed(), None);
    }

    #[test]
    fn a_beginning_counts_for_its_bytes_only() {
        let mut all = Look::default();
        for (i, text) in [GERMAN, ENGLISH, ENGLISH].into_iter().enumerate() {
            let mut look = Look::default();
            let text = text.repeat((512 << 10) / text.len());
            look.languages(&[Document { text, ..Document::default() }], "de", i == 0, 1);
            all.add(&look);
        }
        assert!(all.mixed().unwrap().starts_with("about 67% of the text looks like en"), "{:?}", all.mixed());
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
