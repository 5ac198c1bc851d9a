//! Trains on files: reads their lines, applies the text rules on all threads, and passes the lines on in order.

use std::ffi::OsStr;

use rayon::prelude::*;

use super::{Dropped, Options, Setup};
use crate::files::inputs::{InputFile, OnBadUtf8};
use crate::tokens::corpus::portions::{PortionBlock, PortionReader};
use crate::tokens::corpus::{BLOCK_BYTES, BlockReader, Corpus, MAX_LINE, check_all, expand_corpus};
use crate::tokens::tokenizer::{TextRules, Tokenizer};
use crate::waves::{self, Input, Size};
use crate::{Error, Progress, Result};

/// The number of blocks that a thread gets per wave.
const BLOCKS_A_THREAD: usize = 8;

/// How text is read.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// The text rules. Lines that are blank under them do not count.
    pub rules: TextRules,
    /// What to do with bytes that are not UTF-8.
    pub on_bad_utf8: OnBadUtf8,
    /// Accept inputs that look like other data than text: JSON Lines, a table, markup.
    pub any_text: bool,
}

/// A trained model, and what it was trained on.
#[derive(Debug)]
pub struct Trained {
    /// The content of the model file, or nothing if all lines were dropped.
    pub model: Option<Vec<u8>>,
    /// Number of lines that are not blank.
    pub lines: u64,
    /// The lines among them that were dropped.
    pub dropped: Dropped,
    /// Notes for the user about the inputs.
    pub notes: Vec<String>,
}

/// Trains a model on the files that `inputs` name (see [`expand_corpus`]), with the threads of the current pool. The
/// model does not depend on their number. If there is a model to `extend`, it is [`Training::extending`].
///
/// # Errors
/// An option is invalid; an input cannot be read or is not a corpus; the vocabulary is too large or too small for the
/// text; [`Error::Interrupted`] if `progress` asks to stop.
pub fn train(
    inputs: &[impl AsRef<OsStr>],
    reading: Reading,
    options: Options,
    extend: Option<&Tokenizer>,
    progress: &mut dyn Progress,
) -> Result<Trained> {
    let mut training = Setup::of(extend, options)?.reading()?;
    let Corpus { files, notes } = expand_corpus(inputs)?;
    if !reading.any_text {
        check_all(&files)?;
    }
    let mut blocks = Blocks(block_reader(&files, reading, progress));
    let mut lines = 0;
    read_lines("reading text", &mut blocks, &files, reading, progress, |more| {
        lines += more.len() as u64;
        training.add(more);
    })
    .map_err(start_over)?;
    let dropped = training.dropped();
    let model = if lines > dropped.total() { Some(training.finish(progress).map_err(start_over)?) } else { None };
    Ok(Trained { model, lines, dropped, notes })
}

/// Returns a reader of `files`.
pub(super) fn block_reader(files: &[InputFile], reading: Reading, progress: &dyn Progress) -> BlockReader {
    BlockReader::new(files.to_vec(), BLOCK_BYTES, MAX_LINE, false).stopping(progress.stop()).taking(reading.any_text)
}

/// Reads all blocks of `input`, which are of `files`. Passes their lines under the text rules to `each`, thousands at a time
/// and in order. Blank lines are left out.
///
/// # Errors
/// An input cannot be read; a line is not UTF-8; [`Error::Interrupted`] if `progress` asks to stop.
pub(super) fn read_lines(
    stage: &'static str,
    input: &mut impl Input<Item>,
    files: &[InputFile],
    reading: Reading,
    progress: &mut dyn Progress,
    mut each: impl FnMut(&[&str]) + Send,
) -> Result<()> {
    let blocks = BLOCKS_A_THREAD * rayon::current_num_threads();
    waves::run(
        stage,
        Size { items: blocks, bytes: blocks * BLOCK_BYTES },
        None,
        progress,
        input,
        |items: &mut [Item]| items.par_iter_mut().for_each(|item| item.prepare(reading, files)),
        |item| {
            if let Some(error) = item.error.take() {
                return Err(error);
            }
            each(&item.lines());
            Ok(())
        },
    )
}

/// Says after an interruption that nothing is kept.
fn start_over(error: Error) -> Error {
    match error {
        Error::Interrupted(_) => {
            Error::Interrupted("nothing was written; run the same command again to start over".into())
        }
        error => error,
    }
}

/// A block and its lines under the text rules. The buffers are reused.
#[derive(Debug, Default)]
pub(super) struct Item {
    read: PortionBlock,
    text: String,
    /// Where each line ends in `text`.
    ends: Vec<usize>,
    error: Option<Error>,
}

impl Item {
    fn prepare(&mut self, reading: Reading, files: &[InputFile]) {
        self.text.clear();
        self.ends.clear();
        self.error = self.fill(reading, files).err();
    }

    fn fill(&mut self, reading: Reading, files: &[InputFile]) -> Result<()> {
        let mut out = String::new();
        for piece in &self.read.block.pieces {
            for text in piece.texts(&self.read.block.data, files, reading.on_bad_utf8) {
                reading.rules.preprocess(&text?, &mut out);
                if !out.is_empty() {
                    self.text.push_str(&out);
                    self.ends.push(self.text.len());
                }
            }
        }
        Ok(())
    }

    fn lines(&self) -> Vec<&str> {
        let mut start = 0;
        let next = |&end: &usize| &self.text[std::mem::replace(&mut start, end)..end];
        self.ends.iter().map(next).collect()
    }
}

/// The blocks of a corpus.
struct Blocks(BlockReader);

impl Input<Item> for Blocks {
    fn read(&mut self, item: &mut Item) -> Result<Option<usize>> {
        let block = &mut item.read.block;
        block.clear();
        Ok(self.0.next_block(block)?.then_some(block.data.len()))
    }

    fn bytes_read(&self) -> u64 {
        self.0.bytes_read()
    }

    fn bytes_total(&self) -> u64 {
        self.0.bytes_total()
    }
}

impl<B: FnMut(&[u8]) -> bool + Send> Input<Item> for PortionReader<'_, B> {
    fn read(&mut self, item: &mut Item) -> Result<Option<usize>> {
        self.next(&mut item.read)
    }

    fn bytes_read(&self) -> u64 {
        self.bytes_read()
    }

    fn bytes_total(&self) -> u64 {
        self.bytes_total()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NoProgress;
    use crate::tokens::training::Training;

    fn reading(on_bad_utf8: OnBadUtf8) -> Reading {
        Reading { rules: TextRules { lower_case: true, keep_accents: false }, on_bad_utf8, any_text: false }
    }

    fn options() -> Options {
        Options { vocab_size: 40, hard_vocab_limit: false, ..Options::default() }
    }

    #[test]
    fn files_give_the_model_of_their_lines() {
        let directory = tempfile::tempdir().unwrap();
        let lines: Vec<String> = (0..3000).map(|i| format!("Zeile {} von {}", i % 97, i % 31)).collect();
        for (file, lines) in lines.chunks(1000).enumerate() {
            std::fs::write(directory.path().join(format!("{file}.txt")), lines.join("\n") + "\n\n").unwrap();
        }
        let found = train(&[directory.path()], reading(OnBadUtf8::Error), options(), None, &mut NoProgress).unwrap();
        assert_eq!((found.lines, found.dropped), (3000, Dropped::default()));
        let mut training = Training::new(options()).unwrap();
        let lower: Vec<String> = lines.iter().map(|line| line.to_lowercase()).collect();
        training.add(&lower.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(found.model, Some(training.finish(&mut NoProgress).unwrap()));
    }

    #[test]
    fn bad_utf8_is_named_or_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.txt");
        std::fs::write(&path, b"eins\nzwei \xFF drei\n").unwrap();
        let error = train(&[&path], reading(OnBadUtf8::Error), options(), None, &mut NoProgress).unwrap_err();
        assert!(matches!(error, Error::InvalidUtf8 { line: 2, byte: 6, .. }), "{error}");
        let found = train(&[&path], reading(OnBadUtf8::Replace), options(), None, &mut NoProgress).unwrap();
        assert_eq!(found.lines, 2);
    }

    #[test]
    fn without_lines_there_is_no_model() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.txt");
        std::fs::write(&path, "viel zu lang\n\n").unwrap();
        let options = Options { max_sentence_length: 10, ..options() };
        let found = train(&[&path], reading(OnBadUtf8::Error), options, None, &mut NoProgress).unwrap();
        assert_eq!((found.model, found.lines, found.dropped.too_long), (None, 1, 1));
    }
}
