//! The rules about lines and paragraphs. They look at the document as it was read, because cleaning joins the lines of a
//! paragraph and splits them into sentences.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;

use xxhash_rust::xxh3::xxh3_64;

use super::numbers::{FACTOR, Identity, exceeds};

/// The maximum percentage of lines that start with a bullet.
const MAX_BULLETS: u64 = 90;
/// The maximum percentage of lines that end with an ellipsis.
const MAX_ELLIPSES: u64 = 30;
/// The maximum percentage of lines, or paragraphs, that repeat an earlier one.
const MAX_REPEATED: u64 = 30;
/// The maximum percentage of characters in such lines, or paragraphs.
const MAX_REPEATED_CHARS: u64 = 20;

/// Dashes other than the hyphen are missing, because they begin speech in many languages.
const BULLETS: [char; 13] = ['•', '‣', '⁃', '◦', '∙', '▪', '▫', '■', '□', '●', '○', '-', '*'];

/// Parts of a document, lines or paragraphs, some of which repeat earlier ones.
#[derive(Debug, Default)]
struct Parts {
    seen: HashSet<u64, BuildHasherDefault<Identity>>,
    count: u64,
    chars: u64,
    repeated: u64,
    repeated_chars: u64,
}

impl Parts {
    fn clear(&mut self) {
        let mut seen = std::mem::take(&mut self.seen);
        seen.clear();
        seen.shrink_to(1 << 12);
        *self = Self { seen, ..Self::default() };
    }

    fn add(&mut self, hash: u64, chars: u64) {
        self.count += 1;
        self.chars += chars;
        if !self.seen.insert(hash) {
            self.repeated += 1;
            self.repeated_chars += chars;
        }
    }

    fn repeat(&self) -> bool {
        exceeds(self.repeated, MAX_REPEATED, self.count) || exceeds(self.repeated_chars, MAX_REPEATED_CHARS, self.chars)
    }
}

/// What is known of the lines and paragraphs of a document.
#[derive(Debug, Default)]
pub(super) struct Layout {
    bullets: u64,
    ellipses: u64,
    lines: Parts,
    paragraphs: Parts,
    /// The hash and the characters of the lines of the current paragraph.
    paragraph: Option<(u64, u64)>,
}

impl Layout {
    pub fn clear(&mut self) {
        self.bullets = 0;
        self.ellipses = 0;
        self.lines.clear();
        self.paragraphs.clear();
        self.paragraph = None;
    }

    /// Takes the next line, without the whitespace around it. An empty line ends a paragraph.
    pub fn line(&mut self, line: &str) {
        if line.is_empty() {
            return self.finish();
        }
        self.bullets += u64::from(line.starts_with(BULLETS));
        self.ellipses += u64::from(line.ends_with("...") || line.ends_with('…'));
        let (hash, chars) = (xxh3_64(line.as_bytes()), line.chars().count() as u64);
        self.lines.add(hash, chars);
        let (all, sum) = self.paragraph.get_or_insert_default();
        *all = all.wrapping_mul(FACTOR).wrapping_add(hash);
        *sum += chars;
    }

    /// Ends the last paragraph.
    pub fn finish(&mut self) {
        if let Some((hash, chars)) = self.paragraph.take() {
            self.paragraphs.add(hash, chars);
        }
    }

    pub fn has_many_bullets(&self) -> bool {
        exceeds(self.bullets, MAX_BULLETS, self.lines.count)
    }

    pub fn has_many_ellipses(&self) -> bool {
        exceeds(self.ellipses, MAX_ELLIPSES, self.lines.count)
    }

    pub fn repeats_lines(&self) -> bool {
        self.lines.repeat()
    }

    pub fn repeats_paragraphs(&self) -> bool {
        self.paragraphs.repeat()
    }
}
