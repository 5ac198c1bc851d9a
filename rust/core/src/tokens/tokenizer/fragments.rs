//! Segments a word by its fragments: the longest stretches of it that pieces can cover.
//!
//! Most words that a text brings late are new only as a whole: `memory,` or `(get_user)` after `memory` and `user`. No
//! piece contains both a letter and a comma, so every segmentation of `memory,` has a boundary between them, and the best
//! one consists of those of the two fragments. The word cache keeps fragments beside words, and they repeat much more
//! often.

use super::cache::{Facts, WordCache};
use super::normalizer::SPACE_SYMBOL;
use super::unigram::{Outcome, Unigram};
use super::words::{WINDOW, Word};
use super::{Scratch, Tokenizer, UnigramEngine, WORDS_AHEAD};

/// What is known about a fragment of one character.
#[derive(Debug, Clone, Copy)]
struct Single {
    id: u32,
    score: f32,
}

/// The fragments of one byte, and the space symbol without a piece after it.
#[derive(Debug)]
pub struct Singles {
    bytes: [Single; 256],
    space: Single,
}

impl Singles {
    /// Segments each of them.
    pub fn new(model: &Unigram) -> Self {
        let single = |text: &[u8]| {
            let mut spans = Vec::new();
            let outcome = model.segment(text, 0.0, 0, &mut super::Lattice::default(), &mut spans);
            Single { id: spans[0].id, score: outcome.score.abs() }
        };
        Self { bytes: std::array::from_fn(|byte| single(&[byte as u8])), space: single(SPACE_SYMBOL) }
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct Fragment {
    start: usize,
    end: usize,
    /// How the cache finds it; `None` if it is the whole word, a single character or too long.
    word: Option<Word>,
}

impl Tokenizer {
    /// Appends the ids of the word whose normal form is in `scratch.normal` to `scratch.ids`. The word must consist of
    /// plain characters: other words seldom have several fragments, or have another spelling than their normal form.
    /// Returns what is known about the word and whether it is a single fragment, or `None` if it must be segmented as a
    /// whole.
    pub(super) fn encode_fragments(
        &self,
        engine: &UnigramEngine,
        cache: &mut WordCache,
        scratch: &mut Scratch,
        mark_unknown: bool,
    ) -> Option<(Facts, bool)> {
        let length = scratch.normal.len();
        if !engine.model.is_short(length) {
            return None;
        }
        // With text rules, an unknown run is looked up by its surface, which may reach over several fragments.
        let unknown_is_whole = self.text_rules.is_some() && engine.bytes.is_none();
        // A key has a whole window of bytes.
        scratch.normal.resize(length + WINDOW, 0);
        let mut facts = Facts { score: 0.0, limit: f32::INFINITY };
        let mut ids_tell = true;
        let mut batch = [Fragment::default(); WORDS_AHEAD];
        let is_single = engine.end_of_fragment(&scratch.normal[..length], 0) == length;
        let mut start = 0;
        while start < length {
            let mut count = 0;
            while start < length && count < WORDS_AHEAD {
                let (fragment, next) = (&mut batch[count], engine.end_of_fragment(&scratch.normal[..length], start));
                *fragment = Fragment { start, end: next, word: None };
                if next - start > 1 && next - start < length && (start, next) != (0, SPACE_SYMBOL.len()) {
                    // A text has no word with a space. So such keys are those of fragments within words.
                    let (first, spaces) = if start == 0 { (SPACE_SYMBOL.len(), 0) } else { (start, 1) };
                    fragment.word = cache.prepared(&scratch.normal, first, next, spaces);
                }
                start = next;
                count += 1;
            }
            for fragment in &batch[..count] {
                let first = scratch.ids.len();
                let found = if fragment.end - fragment.start == 1
                    || (fragment.start, fragment.end) == (0, SPACE_SYMBOL.len())
                {
                    let singles = &engine.singles;
                    let single = if fragment.start == 0 {
                        singles.space
                    } else {
                        singles.bytes[usize::from(scratch.normal[fragment.start])]
                    };
                    if single.id != self.unknown {
                        scratch.ids.push(single.id);
                        facts.score += single.score;
                        continue;
                    }
                    None
                } else {
                    fragment.word.as_ref().and_then(|word| cache.append(&[], word, &mut scratch.ids))
                };
                let found = if let Some(found) = found {
                    found
                } else {
                    scratch.spans.clear();
                    let Scratch { normal, lattice, spans, .. } = scratch;
                    let text = &normal[fragment.start..fragment.end];
                    let outcome = engine.model.segment_short(text, fragment.start as u32, lattice, spans);
                    if unknown_is_whole && spans.iter().any(|span| span.id == self.unknown) {
                        scratch.ids.clear();
                        scratch.normal.truncate(length);
                        return None;
                    }
                    let tells = self.emit(engine, scratch, mark_unknown);
                    let found = facts_of(outcome, tells, fragment.end - fragment.start);
                    if let Some(word) = &fragment.word {
                        cache.put(&[], word, &scratch.ids[first..], found);
                    }
                    found
                };
                // An unknown run that reaches over several fragments is one piece.
                if engine.bytes.is_none()
                    && first > 0
                    && scratch.ids[first] == self.unknown
                    && scratch.ids[first - 1] == self.unknown
                {
                    scratch.ids.remove(first);
                }
                facts.score += found.score.abs();
                facts.limit = facts.limit.min(found.limit);
                ids_tell &= found.score <= 0.0;
            }
        }
        scratch.normal.truncate(length);
        facts.score = if ids_tell { -facts.score } else { facts.score.max(f32::MIN_POSITIVE) };
        Some((facts, is_single))
    }
}

impl UnigramEngine {
    /// Writes the normal form of a word to `out`, if all its characters are plain. Returns whether they are.
    #[inline]
    pub(super) fn write_plain(&self, word: &[u8], out: &mut Vec<u8>) -> bool {
        if word.first().is_none_or(|byte| !byte.is_ascii()) {
            return false;
        }
        out.clear();
        out.extend_from_slice(SPACE_SYMBOL);
        let mut is_plain = true;
        out.extend(word.iter().map(|&byte| {
            let plain = self.plain[usize::from(byte)];
            is_plain &= plain != 0;
            plain
        }));
        is_plain
    }

    /// Returns the end of the fragment of `text` that begins at `start`.
    #[inline]
    fn end_of_fragment(&self, text: &[u8], start: usize) -> usize {
        let mut end = start + 1;
        while end < text.len() && !self.model.always_splits(text[end - 1], text[end]) {
            end += 1;
        }
        end
    }
}

/// Returns what to remember about a text of `length` bytes, whose ids determine its score if `ids_tell`.
pub(super) fn facts_of(outcome: Outcome, ids_tell: bool, length: usize) -> Facts {
    // If a line has summed up S, every addition of a score rounds by up to |S| * 2^-24. Two paths over this text have at
    // most one addition per byte each. The lead must be larger than what these errors can add up to, with a safety factor
    // of 4. In a deep word, the sums may be reset even on a path that loses in the end. Its score then does not tell what
    // came before the next word.
    let limit = if outcome.deep { -1.0 } else { outcome.gap * (1 << 21) as f32 / length.max(1) as f32 };
    let score = -outcome.score.abs();
    Facts { score: if ids_tell { score } else { score.abs().max(f32::MIN_POSITIVE) }, limit }
}
