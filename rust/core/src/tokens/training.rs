//! Trains `SentencePiece` unigram models: the bytes that `sentencepiece.SentencePieceTrainer` 0.2.3 writes for the same
//! lines and options, for any number of threads.
//!
//! All that matters of a text is its distinct words, how often each occurs, and what follows them. Pieces begin as the
//! strings that repeat ([`seeds`]). Then expectation maximization gives them scores, and pruning removes those whose loss
//! lowers the likelihood least ([`em`]), until the vocabulary has its size ([`finish`]).
//!
//! Sums are float32 in `SentencePiece`'s order, and `exp`, `log` and `log1p` are the system's, as they are for
//! `SentencePiece`.

mod alphabet;
mod candidates;
mod corpus;
mod em;
mod extend;
mod finish;
mod interner;
mod lattice;
mod lattices;
mod lines;
mod matches;
mod meta;
mod model;
mod options;
pub mod read;
mod rivals;
mod rule;
mod sample;
mod search;
mod seeds;
mod softplus;
mod spool;
pub mod tasks;
mod watch;
mod words;

pub use corpus::Dropped;
pub use options::{Normalization, Options};

use crate::tokens::tokenizer::Tokenizer;
use crate::{Error, Progress, Result};
use alphabet::Alphabet;
use corpus::Reader;
use extend::Old;
use lines::{Counted, Lines};
use meta::MetaPieces;
use rule::PieceRule;
use watch::{Stage, abandonable, watched};

/// Takes the lines of a text, and trains a model on them.
#[derive(Debug)]
pub struct Training {
    setup: Setup,
    reader: Reader,
}

/// How a model is trained, whatever its text is.
#[derive(Debug)]
struct Setup {
    options: Options,
    meta: MetaPieces,
    /// The model to extend, if there is one.
    old: Option<Old>,
    /// The bytes of text that are searched for pieces at a time.
    chunk: usize,
}

impl Training {
    /// Prepares a training.
    ///
    /// # Errors
    /// An option is out of range, or special pieces contradict each other.
    pub fn new(options: Options) -> Result<Self> {
        Setup::new(options)?.reading()
    }

    /// Prepares the extension of a model. It keeps its pieces, ids, scores and rules, and new pieces come after them, up
    /// to `vocab_size` pieces in all. Of `options`, those that a model has too must be the model's or the defaults, and
    /// the ids of special pieces do not matter. The text must have the tokenizer's text rules.
    ///
    /// # Errors
    /// An option is out of range, or contradicts the model; or the model cannot be extended.
    pub fn extending(tokenizer: &Tokenizer, options: &Options) -> Result<Self> {
        Setup::extending(tokenizer, options)?.reading()
    }

    /// Adds lines of the text. It is fast with thousands at a time, which the threads of the current pool divide.
    pub fn add(&mut self, lines: &[&str]) {
        self.reader.add(lines);
    }

    /// The lines that were dropped so far.
    pub fn dropped(&self) -> Dropped {
        self.reader.dropped()
    }

    /// Trains on the lines, with the threads of the current pool. Returns the content of the model file.
    ///
    /// # Errors
    /// There is no text; the vocabulary is too large or too small for it; `progress` asks to stop.
    pub fn finish(self, progress: &mut dyn Progress) -> Result<Vec<u8>> {
        let (lines, alphabet) = self.reader.finish(&self.setup.options, progress)?;
        self.setup.train(lines, &alphabet, progress)
    }
}

impl Setup {
    /// As [`Training::new`], before any text.
    fn new(options: Options) -> Result<Self> {
        options.validate()?;
        let meta = meta::meta_pieces(&options)?;
        Ok(Self { options, meta, old: None, chunk: seeds::CHUNK_BYTES })
    }

    /// As [`Training::extending`], before any text.
    fn extending(tokenizer: &Tokenizer, options: &Options) -> Result<Self> {
        options.validate()?;
        let (old, options) = Old::new(tokenizer, options)?;
        Ok(Self { options, meta: old.meta(), old: Some(old), chunk: seeds::CHUNK_BYTES })
    }

    /// Prepares to extend a model if there is one, and to train otherwise.
    fn of(extend: Option<&Tokenizer>, options: Options) -> Result<Self> {
        match extend {
            Some(tokenizer) => Self::extending(tokenizer, &options),
            None => Self::new(options),
        }
    }

    fn reading(self) -> Result<Training> {
        Ok(Training { reader: Reader::new(&self.options, &self.meta)?, setup: self })
    }

    /// Trains on lines whose characters `alphabet` has. Returns the content of the model file.
    fn train(self, lines: Lines, alphabet: &Alphabet, progress: &mut dyn Progress) -> Result<Vec<u8>> {
        let Self { options, meta, old, chunk } = self;
        if let Some(old) = old {
            return old.extend(lines, alphabet, &options, progress);
        }
        let needed = alphabet.by_count.len() + meta.len();
        if needed > options.vocab_size as usize {
            let reason = format!(
                "is too small: the characters of this text and the special tokens need {needed} pieces; pass a larger \
                 `vocab_size`, or a `character_coverage` below {:?}",
                options.character_coverage
            );
            return Err(Error::unfit("vocab_size", options.vocab_size, reason));
        }
        let rule = PieceRule::new(alphabet, &options);
        let seeds = seeds::seeds(&lines, alphabet, &rule, (options.seeds(), chunk), progress)?;
        let stage = Stage::whole("sorting words", "words", lines.words().len() as u64);
        let words = watched(progress, stage, |watch| Counted::new(lines, &options, watch))?;
        let stage = Stage::whole("sorting pieces", "pieces", seeds.scores.len() as u64);
        let threads = rayon::current_num_threads();
        let mut model = abandonable(progress, stage, move || model::Model::new(seeds, threads))??;
        em::Trainer::new(&words, &options, &model).run(&mut model, progress)?;
        let size = options.vocab_size as usize - meta.len();
        let pieces = if size == 0 { Vec::new() } else { finish::vocabulary(&model, alphabet, size) };
        finish::model_file(&options, &meta, pieces)
    }
}

#[cfg(test)]
mod tests;
