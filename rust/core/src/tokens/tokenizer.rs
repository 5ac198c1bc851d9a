//! Encodes text as ids with `SentencePiece` unigram models and `WordPiece` vocabularies, exactly as their own tools do.
//!
//! A cache of words makes it fast. The cache is exact for two reasons. If no piece crosses a space, the best
//! segmentation of a line consists of those of its words. And float32 rounding along a line can swap a word's best and
//! second-best segmentation only if they are very close together. Such a word has a limit, beyond which its line is
//! segmented as a whole, in `SentencePiece`'s own order of operations.

pub mod beside;
mod cache;
mod double_array;
mod extended;
mod fragments;
mod load;
pub(super) mod normalizer;
mod pieces;
pub(super) mod proto;
mod state;
mod text;
pub(super) mod trie;
mod unigram;
mod wordpiece;
mod words;

use std::collections::HashMap;
use std::path::PathBuf;

use super::documents::UNKNOWN_JOINS;
use super::vocab::{Vocab, WordBoundary};
use crate::{Error, Result};

use cache::Facts;
use fragments::{Singles, facts_of};
use normalizer::{Normalizer, SPACE_SYMBOL};
pub use pieces::pieces;
use proto::PieceType;
use state::Scratch;
pub use state::State;
pub use text::{TextRules, is_python_space, is_start_piece, is_word_start};
use unigram::{Lattice, Span, Unigram};
use wordpiece::WordPiece;
use words::{Line, WINDOW, Word};

/// A tokenizer. It is immutable and shared between threads, each of which has a [`State`].
#[derive(Debug)]
pub struct Tokenizer {
    path: PathBuf,
    /// The user's name for the file. A copy in a token store has another name.
    name: String,
    engine: Engine,
    pieces: Vec<String>,
    kinds: Vec<PieceType>,
    by_piece: HashMap<String, u32>,
    unknown: u32,
    text_rules: Option<TextRules>,
    digest: String,
    vocab_digest: String,
    /// The bytes of the file, which a token store copies.
    file: Vec<u8>,
}

#[derive(Debug)]
enum Engine {
    Unigram(Box<UnigramEngine>),
    WordPiece(WordPiece),
}

#[derive(Debug)]
struct UnigramEngine {
    normalizer: Normalizer,
    model: Unigram,
    /// The id of each byte's piece, with `byte_fallback`.
    bytes: Option<Box<[u32; 256]>>,
    /// Whether words can be looked up in the cache as they appear in the text.
    cacheable: bool,
    singles: Singles,
    /// What text rules and normalizer make of an ASCII character in a word of only such characters; 0 for one that is
    /// not simply replaced.
    plain: [u8; 256],
}

/// What is known about a line so far.
#[derive(Debug)]
struct Sums {
    /// Whether the ids are those of the segmentation: no unknown characters, and no number that was encoded again.
    ids_tell: bool,
    /// The score up to the id at `scored`, summed as `SentencePiece` does.
    score: f32,
    scored: usize,
}

/// Beyond this score, `SentencePiece` may reset its sums (at 100,000).
const MAX_EXACT_SCORE: f32 = 90_000.0;

/// The number of words that are looked up in the cache together.
const WORDS_AHEAD: usize = 16;

/// A piece as text and id, as [`Tokenizer::encode_pieces`] returns it.
pub type Piece = (String, u32);

impl Tokenizer {
    /// The file of the model or vocabulary.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// The file name that the user knows. It is that of [`Tokenizer::path`], unless that is a copy.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the tokenizer with the name of the file that it is a copy of.
    #[must_use]
    pub fn with_name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// The bytes of the file of the model or vocabulary.
    pub fn file_bytes(&self) -> &[u8] {
        &self.file
    }

    /// SHA-256 (hex) of the file and the text rules. Equal digests give equal ids.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// SHA-256 (hex) of the pieces in id order, each with a line end. If it is equal, ids have the same meaning.
    pub fn vocab_digest(&self) -> &str {
        &self.vocab_digest
    }

    /// The pieces in id order.
    pub fn pieces(&self) -> &[String] {
        &self.pieces
    }

    /// `"unigram"` or `"wordpiece"`.
    pub fn kind(&self) -> &'static str {
        match self.engine {
            Engine::Unigram(_) => "unigram",
            Engine::WordPiece(_) => "wordpiece",
        }
    }

    /// The reference's text rules, or `None`.
    pub fn text_rules(&self) -> Option<TextRules> {
        self.text_rules
    }

    /// Returns the id of a piece given its text, control symbols included.
    pub fn piece_to_id(&self, piece: &str) -> Option<u32> {
        self.by_piece.get(piece).copied()
    }

    /// The id of the unknown piece.
    pub fn unknown_id(&self) -> u32 {
        self.unknown
    }

    /// Returns the working memory for one thread. `mark_unknown` sets [`UNKNOWN_JOINS`] on unknown pieces whose surface
    /// does not begin a word under the reference's rule.
    pub fn state(&self, mark_unknown: bool) -> State {
        State::new(mark_unknown)
    }

    /// Returns what instances and masks need. Fails if a special token is missing.
    pub fn vocab(&self, boundary: WordBoundary) -> Result<Vocab> {
        let special = |names: [&str; 2]| {
            names.iter().find_map(|name| self.piece_to_id(name)).ok_or_else(|| {
                let count = self.pieces.len();
                if matches!(self.engine, Engine::WordPiece(_)) {
                    let missing = names[1];
                    return Error::tokenizer(
                        &self.path,
                        format!(
                            "none of its {count} entries is {missing}; a WordPiece vocabulary needs [PAD], [UNK], [CLS], \
                             [SEP] and [MASK]: add a line {missing} at its end, or pass another vocabulary"
                        ),
                    );
                }
                Error::tokenizer(
                    &self.path,
                    format!(
                        "none of its {count} pieces is {}; ALBERT needs [CLS], [SEP], [MASK] and <pad>: train one with \
                         `albert-fast train-tokenizer`, or with SentencePiece's \
                         control_symbols=[CLS],[SEP],[MASK] and pad_id=0",
                        if names[0] == names[1] {
                            names[0].to_owned()
                        } else {
                            format!("{} or {}", names[0], names[1])
                        },
                    ),
                )
            })
        };
        let (pad, cls, sep, mask) = (
            special(["<pad>", "[PAD]"])?,
            special(["[CLS]", "[CLS]"])?,
            special(["[SEP]", "[SEP]"])?,
            special(["[MASK]", "[MASK]"])?,
        );
        let ordinary = (0..self.pieces.len() as u32)
            .filter(|&id| {
                ![pad, cls, sep, mask, self.unknown].contains(&id)
                    && matches!(self.kinds[id as usize], PieceType::Normal | PieceType::UserDefined)
            })
            .collect();
        Ok(Vocab {
            size: self.pieces.len() as u32,
            pad,
            unk: self.unknown,
            cls,
            sep,
            mask,
            word_start: self.word_starts(boundary),
            word_end: self.word_ends(boundary).unwrap_or_else(|| match (&self.engine, boundary) {
                // The first word of a sentence has no ▁.
                (Engine::Unigram(engine), WordBoundary::Unicode) if !engine.normalizer.adds_prefix() => {
                    vec![false; self.pieces.len()]
                }
                _ => Vec::new(),
            }),
            ordinary,
        })
    }

    /// Returns, for each id, whether the piece begins a word by itself. Control and unknown pieces do. If `▁` ends
    /// words ([`Tokenizer::word_ends`]), the token after such a piece begins a word too.
    pub fn word_starts(&self, boundary: WordBoundary) -> Vec<bool> {
        self.pieces
            .iter()
            .zip(&self.kinds)
            .map(|(piece, kind)| match (&self.engine, boundary) {
                (Engine::WordPiece(_), _) => !piece.starts_with("##"),
                (Engine::Unigram(_), WordBoundary::Albert) => is_start_piece(piece),
                (Engine::Unigram(engine), WordBoundary::Unicode) => {
                    let text = if engine.normalizer.whitespace_as_suffix() { piece.trim_matches('▁') } else { piece };
                    matches!(kind, PieceType::Control | PieceType::Unknown) || is_word_start(text)
                }
            })
            .collect()
    }

    /// Returns, for each id, whether the token after the piece begins a word. It does if the piece ends in `▁`, in a
    /// model trained with `treat_whitespace_as_suffix`. Returns `None` for any other tokenizer, and under the
    /// reference's rule, which knows only words that begin with `▁`.
    pub fn word_ends(&self, boundary: WordBoundary) -> Option<Vec<bool>> {
        let Engine::Unigram(engine) = &self.engine else { return None };
        if boundary == WordBoundary::Albert || !engine.normalizer.whitespace_as_suffix() {
            return None;
        }
        let ends =
            self.pieces.iter().zip(&self.kinds).map(|(piece, kind)| {
                piece.ends_with('▁') && matches!(kind, PieceType::Normal | PieceType::UserDefined)
            });
        Some(ends.collect())
    }

    /// Returns, for each of `ids`, whether the token begins a word there. The first one does, and so does a token after
    /// a control piece. The ids must be in the vocabulary.
    pub fn word_starts_in(&self, ids: &[u32], boundary: WordBoundary) -> Vec<bool> {
        let starts = self.word_starts(boundary);
        let ends = self.word_ends(boundary).unwrap_or_default();
        let mut begins = true;
        ids.iter()
            .map(|&id| {
                let id = id as usize;
                let this = begins || starts[id];
                begins = self.kinds[id] == PieceType::Control || ends.get(id).copied().unwrap_or(false);
                this
            })
            .collect()
    }

    /// Whether `▁` is at the end of words (`treat_whitespace_as_suffix`).
    pub fn marks_word_ends(&self) -> bool {
        matches!(&self.engine, Engine::Unigram(engine) if engine.normalizer.whitespace_as_suffix())
    }

    /// Whether a line ends a document because the text rules leave nothing of it. Without rules, only whitespace does.
    pub fn is_blank(&self, state: &mut State, line: &str) -> bool {
        if line.bytes().any(|byte| byte.is_ascii_graphic()) {
            return false;
        }
        match (self.text_rules, &self.engine) {
            (Some(rules), Engine::Unigram(_)) => {
                rules.preprocess(line, &mut state.scratch.text);
                state.scratch.text.is_empty()
            }
            _ => line.chars().all(is_python_space),
        }
    }

    /// Appends the ids of `text`.
    pub fn encode(&self, state: &mut State, text: &str, out: &mut Vec<u32>) {
        if matches!(&self.engine, Engine::Unigram(engine) if !engine.cacheable) {
            self.encode_whole(state, text, out);
        } else {
            self.encode_text(state, text, out);
        }
        state.shrink_after(text.len());
    }

    /// Encodes a text by its words if possible.
    #[inline]
    fn encode_text(&self, state: &mut State, text: &str, out: &mut Vec<u32>) {
        // The rules lowercase capitals later anyway, and whether a letter is a capital changes nothing before.
        let lower = self.text_rules.is_some_and(|rules| rules.lower_case);
        let mut line = std::mem::take(&mut state.line);
        line.set(text, lower);
        let first = out.len();
        if !self.encode_by_words(state, &line, out) {
            out.truncate(first);
            self.encode_whole(state, text, out);
        }
        state.line = line;
    }

    /// Looks up words and segments new ones. Returns `false` if the line must be segmented as a whole.
    fn encode_by_words(&self, state: &mut State, line: &Line, out: &mut Vec<u32>) -> bool {
        let text = line.text();
        let mut words = line.words();
        let mut sums = Sums { ids_tell: true, score: 0.0, scored: out.len() };
        // The sum of the words' scores, each of them rounded separately.
        let mut sum = 0.0;
        let mut ids_tell = true;
        let mut batch = [Word::default(); WORDS_AHEAD];
        loop {
            let mut count = 0;
            while count < WORDS_AHEAD
                && let Some(mut word) = words.next()
            {
                state.cache.prepare(&mut word);
                batch[count] = word;
                count += 1;
            }
            if count == 0 {
                return true;
            }
            for word in &batch[..count] {
                let first = out.len();
                let facts = match state.cache.append(text.as_bytes(), word, out) {
                    Some(facts) => facts,
                    None => self.encode_new_word(state, text, word, out),
                };
                sum += facts.score.abs();
                if sum > facts.limit {
                    sums.ids_tell &= ids_tell && facts.limit >= 0.0 && sum <= MAX_EXACT_SCORE;
                    // A space is a whole character, so words begin and end at characters.
                    if !self.encode_close_word(state, &text[word.start..word.end], &mut sums, first, out) {
                        return false;
                    }
                }
                ids_tell &= facts.score <= 0.0;
            }
        }
    }

    #[inline(never)]
    fn encode_new_word(&self, state: &mut State, text: &str, word: &Word, out: &mut Vec<u32>) -> Facts {
        let surface = &text[word.start..word.end];
        let State { cache, scratch, mark_unknown, .. } = state;
        scratch.ids.clear();
        let (facts, is_single) = match &self.engine {
            Engine::WordPiece(model) => {
                model.encode(surface, &mut scratch.ids);
                (Facts { score: 0.0, limit: f32::INFINITY }, true)
            }
            Engine::Unigram(engine) => {
                let is_plain = engine.write_plain(surface.as_bytes(), &mut scratch.normal);
                let literal = !is_plain && self.normalize(engine, scratch, surface);
                let found = if is_plain { self.encode_fragments(engine, cache, scratch, *mark_unknown) } else { None };
                found.unwrap_or_else(|| {
                    scratch.spans.clear();
                    let Scratch { normal, lattice, spans, .. } = scratch;
                    let outcome = engine.model.segment(normal, 0.0, 0, lattice, spans);
                    let ids_tell = self.emit(engine, scratch, *mark_unknown);
                    let facts = facts_of(outcome, ids_tell, scratch.normal.len());
                    (Facts { limit: if literal { -1.0 } else { facts.limit }, ..facts }, true)
                })
            }
        };
        // A long word takes much memory and seldom repeats, but its fragments do.
        if is_single || word.length() < WINDOW {
            cache.put(text.as_bytes(), word, &scratch.ids, facts);
        }
        out.extend_from_slice(&scratch.ids);
        facts
    }

    /// Segments a word whose best and second-best paths are close together, using the exact score of the line before
    /// it. Replaces its ids in `out` from `first` on. Returns `false` if that score is not known.
    #[inline(never)]
    fn encode_close_word(
        &self,
        state: &mut State,
        word: &str,
        sums: &mut Sums,
        first: usize,
        out: &mut Vec<u32>,
    ) -> bool {
        let Engine::Unigram(engine) = &self.engine else { return false };
        if !sums.ids_tell {
            return false;
        }
        for &id in &out[sums.scored..first] {
            sums.score += engine.model.score(id);
        }
        sums.scored = first;
        out.truncate(first);
        let State { scratch, mark_unknown, .. } = state;
        scratch.ids.clear();
        self.normalize(engine, scratch, word);
        scratch.spans.clear();
        engine.model.segment(&scratch.normal, sums.score, 0, &mut scratch.lattice, &mut scratch.spans);
        sums.ids_tell &= self.emit(engine, scratch, *mark_unknown);
        out.extend_from_slice(&scratch.ids);
        true
    }

    /// Applies text rules and normalizer to `text`, with the result in `scratch.normal`. Returns what
    /// [`Normalizer::normalize`] does.
    fn normalize(&self, engine: &UnigramEngine, scratch: &mut Scratch, text: &str) -> bool {
        if let Some(rules) = self.text_rules {
            rules.preprocess(text, &mut scratch.text);
            engine.normalizer.normalize(scratch.text.as_bytes(), &mut scratch.normal)
        } else {
            engine.normalizer.normalize(text.as_bytes(), &mut scratch.normal)
        }
    }

    /// Segments the whole line at once, as `SentencePiece` does.
    #[inline(never)]
    fn encode_whole(&self, state: &mut State, text: &str, out: &mut Vec<u32>) {
        let State { scratch, mark_unknown, .. } = state;
        scratch.ids.clear();
        match &self.engine {
            Engine::WordPiece(model) => model.encode(text, &mut scratch.ids),
            Engine::Unigram(engine) => {
                self.segment_whole(engine, scratch, text);
                self.emit(engine, scratch, *mark_unknown);
            }
        }
        out.extend_from_slice(&scratch.ids);
    }

    fn segment_whole(&self, engine: &UnigramEngine, scratch: &mut Scratch, text: &str) {
        self.normalize(engine, scratch, text);
        scratch.spans.clear();
        let Scratch { normal, lattice, spans, .. } = scratch;
        let mut score = 0.0;
        let mut start = 0;
        while start < normal.len() {
            // Every path goes through the beginning of a word, so a word's lattice needs only the score up to it.
            let end = if engine.model.keeps_words() {
                memchr::memmem::find(&normal[start + 1..], SPACE_SYMBOL).map_or(normal.len(), |at| start + 1 + at)
            } else {
                normal.len()
            };
            score = engine.model.segment(&normal[start..end], score, start as u32, lattice, spans).score;
            start = end;
        }
    }

    /// Converts spans to ids in `scratch.ids`: runs of unknown characters become one piece (or bytes), then the
    /// reference's digit-comma rule applies, then ids follow from surfaces. Returns whether the ids are those of the
    /// segmentation, so that they determine its score.
    fn emit(&self, engine: &UnigramEngine, scratch: &mut Scratch, mark_unknown: bool) -> bool {
        let mut ids_tell = scratch.spans.iter().all(|span| span.id != self.unknown);
        if engine.bytes.is_none() {
            merge_unknown(&mut scratch.spans, self.unknown);
            if self.text_rules.is_none() {
                scratch.ids.extend(scratch.spans.iter().map(|span| span.id));
                return ids_tell;
            }
        }
        for span in &scratch.spans {
            let surface = &scratch.normal[span.start as usize..span.end as usize];
            if surface.ends_with(b",")
                && surface.len() > 1
                && self.text_rules.is_some()
                && let Some(rest) = before_digit_comma(surface)
            {
                ids_tell = false;
                for (piece, id) in self.encode_again(engine, &rest) {
                    scratch.ids.push(self.id_by_surface(&piece, id, mark_unknown));
                }
                let comma = self.piece_to_id(",").unwrap_or(self.unknown);
                scratch.ids.push(self.id_by_surface(",", comma, mark_unknown));
            } else if span.id != self.unknown {
                scratch.ids.push(span.id);
            } else if let Some(bytes) = &engine.bytes {
                scratch.ids.extend(surface.iter().map(|&byte| bytes[byte as usize]));
            } else {
                let surface = String::from_utf8_lossy(surface);
                scratch.ids.push(self.id_by_surface(&surface, span.id, mark_unknown));
            }
        }
        ids_tell
    }

    /// The reference's tokens are strings until the end, so an unknown run that spells a control symbol becomes that
    /// symbol.
    fn id_by_surface(&self, surface: &str, id: u32, mark_unknown: bool) -> u32 {
        if id != self.unknown {
            return id;
        }
        match self.piece_to_id(surface) {
            Some(id) => id,
            None if mark_unknown && !is_start_piece(surface) => id | UNKNOWN_JOINS,
            None => id,
        }
    }

    /// Returns the pieces of a separate text (`EncodeAsPieces`), without text rules.
    fn encode_again(&self, engine: &UnigramEngine, text: &str) -> Vec<Piece> {
        let mut normal = Vec::new();
        let mut spans = Vec::new();
        engine.normalizer.normalize(text.as_bytes(), &mut normal);
        engine.model.segment(&normal, 0.0, 0, &mut Lattice::default(), &mut spans);
        self.surfaces(engine, &normal, &mut spans)
    }

    /// Returns spans as pieces. An unknown run becomes its surface, or its bytes' pieces.
    fn surfaces(&self, engine: &UnigramEngine, normal: &[u8], spans: &mut Vec<Span>) -> Vec<Piece> {
        if engine.bytes.is_none() {
            merge_unknown(spans, self.unknown);
        }
        let mut pieces = Vec::with_capacity(spans.len());
        for span in spans {
            let surface = &normal[span.start as usize..span.end as usize];
            match &engine.bytes {
                Some(bytes) if span.id == self.unknown => pieces.extend(surface.iter().map(|&byte| {
                    let id = bytes[byte as usize];
                    (self.pieces[id as usize].clone(), id)
                })),
                _ => pieces.push((String::from_utf8_lossy(surface).into_owned(), span.id)),
            }
        }
        pieces
    }

    /// Returns the pieces of `text` as strings. An unknown run becomes its surface (`[UNK]` with a `WordPiece`
    /// vocabulary).
    pub fn encode_pieces(&self, state: &mut State, text: &str) -> Vec<String> {
        let mut ids = Vec::new();
        let Engine::Unigram(engine) = &self.engine else {
            self.encode(state, text, &mut ids);
            return ids.iter().map(|&id| self.pieces[id as usize].clone()).collect();
        };
        let scratch = &mut state.scratch;
        scratch.ids.clear();
        self.segment_whole(engine, scratch, text);
        let mut pieces = Vec::new();
        for (piece, _) in self.surfaces(engine, &scratch.normal, &mut scratch.spans) {
            match before_digit_comma(piece.as_bytes()).filter(|_| self.text_rules.is_some()) {
                Some(rest) => {
                    pieces.extend(self.encode_again(engine, &rest).into_iter().map(|(piece, _)| piece));
                    pieces.push(",".to_owned());
                }
                None => pieces.push(piece),
            }
        }
        state.shrink_after(text.len());
        pieces
    }

    /// Returns the text of ids: pieces joined, `▁` as a space, control symbols dropped. An error names an id outside
    /// the vocabulary.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        let mut bytes = Vec::new();
        for &id in ids {
            let piece = self.pieces.get(id as usize).ok_or_else(|| {
                Error::rule("ids", format!("ids of the vocabulary, from 0 to {}", self.pieces.len() - 1), id)
            })?;
            match (&self.engine, self.kinds[id as usize]) {
                (Engine::WordPiece(_), _) => {
                    let rest = piece.strip_prefix("##");
                    bytes.extend(rest.is_none().then_some(b' '));
                    bytes.extend_from_slice(rest.unwrap_or(piece).as_bytes());
                }
                (_, PieceType::Control) => {}
                (_, PieceType::Unknown) => bytes.extend_from_slice(" ⁇ ".as_bytes()),
                (_, PieceType::Byte) => bytes.extend(load::byte_of_piece(piece)),
                _ => bytes.extend_from_slice(piece.replace('▁', " ").as_bytes()),
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        if self.marks_word_ends() {
            return Ok(text.strip_suffix(' ').unwrap_or(&text).to_owned());
        }
        Ok(text.strip_prefix(' ').unwrap_or(&text).to_owned())
    }
}

/// Merges neighboring unknown spans, as `SentencePieceProcessor::PopulateSentencePieceText` does.
fn merge_unknown(spans: &mut Vec<Span>, unknown: u32) {
    spans.dedup_by(|next, previous| {
        let merge = next.id == unknown && previous.id == unknown;
        if merge {
            previous.end = next.end;
        }
        merge
    });
}

/// The reference's rule for numbers (`encode_pieces`). For a piece that ends in a digit and a comma, returns the text
/// before the comma, without any `▁`, which must be encoded again.
pub(super) fn before_digit_comma(surface: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(surface).ok()?;
    let rest = text.strip_suffix(',')?;
    text::is_python_digit(rest.chars().next_back()?).then(|| rest.replace('▁', ""))
}
