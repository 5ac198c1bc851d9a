//! Segments a word by its fragments: the longest stretches of it that pieces can cover.
//!
//! Most words that a text brings late are new only as a whole: `memory,` or `(get_user)` after `memory` and `user`. No
//! piece contains both a letter and a comma, so every segmentation of `memory,` has a boundary between them, and the best
//! one consists of those of the two fragments. The word cache keeps fragments beside words, and they repeat much more
//! often.

use super::cache::{Facts, WordCache};
use super::normalizer::SPACE_SYMBOL;
use super::unigram::{Outcome, Span, Unigram};
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

/// What is known about the fragments of a word so far.
#[derive(Debug)]
struct SoFar {
    facts: Facts,
    ids_tell: bool,
    /// Where a run of unknown bytes begins that is looked up by its surface. Its ids follow when the run ends.
    unknown: Option<usize>,
    /// Whether the ids may end in that of another unknown run.
    may_end_in_unknown: bool,
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
        // A key has a whole window of bytes.
        scratch.normal.resize(length + WINDOW, 0);
        let mut so_far = SoFar {
            facts: Facts { score: 0.0, limit: f32::INFINITY },
            ids_tell: true,
            unknown: None,
            may_end_in_unknown: false,
        };
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
                if self.append_single(engine, scratch, fragment, &mut so_far, mark_unknown) {
                    continue;
                }
                self.end_unknown(engine, scratch, &mut so_far, fragment.start, mark_unknown);
                let first = scratch.ids.len();
                let found = fragment.word.as_ref().and_then(|word| cache.append(&[], word, &mut scratch.ids));
                let found = if let Some(found) = found {
                    found
                } else {
                    scratch.spans.clear();
                    let Scratch { normal, lattice, spans, .. } = scratch;
                    let text = &normal[fragment.start..fragment.end];
                    let outcome = engine.model.segment_short(text, fragment.start as u32, lattice, spans);
                    if self.unknown_has_surface(engine) && spans.iter().any(|span| span.id == self.unknown) {
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
                if self.text_rules.is_none()
                    && engine.bytes.is_none()
                    && first > 0
                    && scratch.ids[first] == self.unknown
                    && scratch.ids[first - 1] == self.unknown
                {
                    scratch.ids.remove(first);
                }
                let SoFar { facts, ids_tell, may_end_in_unknown, .. } = &mut so_far;
                facts.score += found.score.abs();
                facts.limit = facts.limit.min(found.limit);
                *ids_tell &= found.score <= 0.0;
                *may_end_in_unknown = found.score > 0.0;
            }
        }
        self.end_unknown(engine, scratch, &mut so_far, length, mark_unknown);
        scratch.normal.truncate(length);
        let SoFar { mut facts, ids_tell, .. } = so_far;
        facts.score = if ids_tell { -facts.score } else { facts.score.max(f32::MIN_POSITIVE) };
        Some((facts, is_single))
    }

    /// Whether an unknown run is looked up by its surface, as with text rules, and may so become a control symbol.
    fn unknown_has_surface(&self, engine: &UnigramEngine) -> bool {
        self.text_rules.is_some() && engine.bytes.is_none()
    }

    /// Appends the id of a fragment that is one byte or the space symbol. Returns `false` if it is not, or if it is
    /// unknown and must be segmented.
    #[inline]
    fn append_single(
        &self,
        engine: &UnigramEngine,
        scratch: &mut Scratch,
        fragment: &Fragment,
        so_far: &mut SoFar,
        mark_unknown: bool,
    ) -> bool {
        let single = if fragment.end - fragment.start == 1 {
            engine.singles.bytes[usize::from(scratch.normal[fragment.start])]
        } else if (fragment.start, fragment.end) == (0, SPACE_SYMBOL.len()) {
            engine.singles.space
        } else {
            return false;
        };
        if single.id != self.unknown {
            self.end_unknown(engine, scratch, so_far, fragment.start, mark_unknown);
            scratch.ids.push(single.id);
            so_far.may_end_in_unknown = false;
        } else if engine.bytes.is_some() {
            return false;
        } else if self.text_rules.is_none() {
            if scratch.ids.last() != Some(&self.unknown) {
                scratch.ids.push(self.unknown);
            }
            so_far.ids_tell = false;
        } else if so_far.unknown.is_some() || !so_far.may_end_in_unknown {
            so_far.unknown.get_or_insert(fragment.start);
            so_far.ids_tell = false;
        } else {
            return false;
        }
        so_far.facts.score += single.score;
        true
    }

    /// Appends the ids of the unknown run that ends at `end`, if there is one.
    #[inline]
    fn end_unknown(
        &self,
        engine: &UnigramEngine,
        scratch: &mut Scratch,
        so_far: &mut SoFar,
        end: usize,
        mark_unknown: bool,
    ) {
        if let Some(start) = so_far.unknown.take() {
            scratch.spans.clear();
            scratch.spans.push(Span { start: start as u32, end: end as u32, id: self.unknown });
            self.emit(engine, scratch, mark_unknown);
        }
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

#[cfg(test)]
mod tests {
    use super::super::TextRules;
    use super::super::proto::{ModelProto, NormalizerSpec, Piece, PieceType, TrainerSpec};
    use super::*;
    use proptest::prelude::*;
    use prost::Message;
    use std::collections::BTreeMap;

    fn tokenizer(pieces: &BTreeMap<String, f32>, rules: Option<TextRules>) -> Tokenizer {
        let piece = |text: &str, score: f32, kind: PieceType| Piece {
            piece: Some(text.to_owned()),
            score: Some(score),
            r#type: Some(kind.into()),
        };
        let mut all = vec![piece("<unk>", 0.0, PieceType::Unknown)];
        let controls = ["<pad>", "[CLS]", "[SEP]", "[MASK]", "{}", "}"];
        all.extend(controls.map(|control| piece(control, 0.0, PieceType::Control)));
        all.push(piece("▁", -5.0, PieceType::Normal));
        let rest = pieces.iter().filter(|(text, _)| *text != "▁");
        all.extend(rest.map(|(text, &score)| piece(text, score, PieceType::Normal)));
        let model = ModelProto {
            pieces: all,
            trainer_spec: Some(TrainerSpec::default()),
            normalizer_spec: Some(NormalizerSpec::default()),
        };
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), model.encode_to_vec()).unwrap();
        Tokenizer::from_model(file.path(), rules).unwrap()
    }

    proptest! {
        #[test]
        fn words_have_the_ids_of_the_whole_line(
            pieces in prop::collection::btree_map("[abc1,(]{1,3}|▁[abcA1]{0,3}", -9.0..0f32, 1..30),
            lines in prop::collection::vec("([abcABC1,({}\\[~éΣ\u{307}]{0,6} ?){0,8}", 1..8),
            rules in prop::option::of((any::<bool>(), any::<bool>())),
            mark_unknown: bool,
        ) {
            let rules = rules.map(|(lower_case, keep_accents)| TextRules { lower_case, keep_accents });
            let tokenizer = tokenizer(&pieces, rules);
            let mut state = tokenizer.state(mark_unknown);
            let mut other = tokenizer.state(mark_unknown);
            for line in lines.iter().chain(&lines) {
                let (mut ids, mut whole) = (vec![7], vec![7]);
                tokenizer.encode(&mut state, line, &mut ids);
                tokenizer.encode_whole(&mut other, line, &mut whole);
                prop_assert_eq!(ids, whole, "{:?}", line);
            }
        }
    }
}
