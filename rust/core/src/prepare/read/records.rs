//! A block of raw text, as the parsers of formats use it: its text, and the positions for errors.

use std::borrow::Cow;
use std::path::Path;

use memchr::{memchr_iter, memrchr};

use super::options::ReadOptions;
use super::raw::{RawBlock, ReadCounts};
use crate::files::inputs::OnBadUtf8;
use crate::{Error, Result};

/// A block with what error messages need.
pub(super) struct Records<'a> {
    pub block: &'a RawBlock,
    pub path: &'a Path,
    pub options: &'a ReadOptions,
}

impl<'a> Records<'a> {
    /// Returns the block's text, with invalid UTF-8 replaced if the options say so.
    pub fn text(&self, counts: &mut ReadCounts) -> Result<Cow<'a, str>> {
        let data = &self.block.data;
        decode(data, self.options.on_bad_utf8, counts).map_err(|at| self.invalid_utf8(at))
    }

    /// Handles a record on line `line` that cannot be read: returns an error, or counts it.
    pub fn bad_line(&self, line: u64, counts: &mut ReadCounts, reason: impl FnOnce() -> String) -> Result<()> {
        self.bad(counts, || Error::line(self.path, line, reason()))
    }

    /// Handles a record that cannot be read: returns an error, or counts it.
    pub fn bad(&self, counts: &mut ReadCounts, error: impl FnOnce() -> Error) -> Result<()> {
        if !self.options.skip_bad {
            return Err(error());
        }
        counts.bad_records += 1;
        Ok(())
    }

    fn invalid_utf8(&self, at: usize) -> Error {
        let before = &self.block.data[..at];
        let begin = memrchr(b'\n', before).map_or(0, |newline| newline + 1);
        let line = self.block.line + memchr_iter(b'\n', before).count() as u64;
        // The block does not contain the byte-order mark.
        let dropped = if begin == 0 && line == 1 { self.block.offset } else { 0 };
        Error::InvalidUtf8 {
            path: self.path.to_path_buf(),
            line,
            byte: (at - begin) as u64 + dropped + 1,
            value: self.block.data[at],
        }
    }
}

/// Returns `bytes` as text. Invalid UTF-8 is replaced if the options say so. Otherwise, its position is the error.
pub(super) fn decode<'a>(bytes: &'a [u8], on_bad: OnBadUtf8, counts: &mut ReadCounts) -> Result<Cow<'a, str>, usize> {
    match (std::str::from_utf8(bytes), on_bad) {
        (Ok(text), _) => Ok(Cow::Borrowed(text)),
        (Err(error), OnBadUtf8::Error) => Err(error.valid_up_to()),
        (Err(_), OnBadUtf8::Replace) => {
            counts.replaced += bytes.utf8_chunks().filter(|chunk| !chunk.invalid().is_empty()).count() as u64;
            Ok(String::from_utf8_lossy(bytes))
        }
    }
}
