//! Divides a large input between two of its documents, so that portions of it can be read independently.
//!
//! A portion is a range of bytes. In truth, it begins after the first line that ends a document and begins at or after its
//! first byte, and it ends where the next portion begins in this sense. So every document is in exactly one portion. A
//! portion that a document spans completely has none.

#[cfg(test)]
mod tests;

use std::io::{BufRead, ErrorKind};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use memchr::memchr;

use super::format::{self, Kind};
use super::options::{DocumentRule, Format, ReadOptions};
use super::raw::MAX_DOCUMENT;
use super::window::{Ends, Window};
use crate::files::inputs::InputFile;
use crate::files::source::{Meter, Source};
use crate::{Error, Result};

/// Determines the format of an input by its first bytes, or returns `None` if it is empty.
///
/// # Errors
/// [`Error::Io`]; [`Error::Data`] if the data cannot be read, or contradicts the options.
pub(super) fn recognize(window: &mut Window, options: &ReadOptions) -> Result<Option<Kind>> {
    let path = window.file.path.clone();
    let (head, whole) = window.head()?;
    if head.is_empty() {
        return Ok(None);
    }
    let named = |reason| Error::data(&path, reason);
    let found = format::find(head, whole, options).map_err(named)?;
    if found == Kind::Text && options.format == Format::Auto {
        return format::by_name(head, whole, &path, &options.text_field).map_err(named).map(Some);
    }
    Ok(Some(found))
}

/// What ends the documents of plain text.
pub(super) fn ends_of_text(options: &ReadOptions) -> Ends {
    match (&options.document_separator, options.documents) {
        (Some(line), _) => Ends::Separator(line.trim().into()),
        (None, DocumentRule::BlankLine) => Ends::BlankLine,
        (None, DocumentRule::File) => Ends::File,
    }
}

/// Whether portions of `file` can be read independently: it is not compressed, and each of its documents ends with a
/// line that is recognized without what comes before.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read.
pub(in crate::prepare) fn is_divisible(file: &InputFile, options: &ReadOptions) -> Result<bool> {
    let mut window = Window::open(file, None, &Meter::default())?;
    if window.is_compressed() {
        return Ok(false);
    }
    Ok(match recognize(&mut window, options) {
        Ok(Some(Kind::Jsonl | Kind::Wikiextractor)) => true,
        Ok(Some(Kind::Text | Kind::Other(_))) => !matches!(ends_of_text(options), Ends::File),
        Ok(_) | Err(Error::Data { .. }) => false,
        Err(error) => return Err(error),
    })
}

/// Returns the bytes of the documents that belong to the portion `bytes` of `file`, and end with `ends`.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read.
pub(super) fn documents_of(
    file: &InputFile,
    bytes: &Range<u64>,
    ends: &Ends,
    stop: &Arc<AtomicBool>,
) -> Result<Range<u64>> {
    match begin(file, bytes.start, bytes.end, ends, stop)? {
        None => Ok(bytes.start..bytes.start),
        Some(from) => Ok(from..begin(file, bytes.end, u64::MAX, ends, stop)?.unwrap_or(file.bytes)),
    }
}

/// Returns the byte at which the portion whose first byte is `at` begins in truth, or the end of the file. Returns `None` if
/// no line that begins before `until` ends a document.
fn begin(file: &InputFile, at: u64, until: u64, ends: &Ends, stop: &Arc<AtomicBool>) -> Result<Option<u64>> {
    if at == 0 || at >= file.bytes {
        return Ok(Some(at.min(file.bytes)));
    }
    let meter = Meter { stop: Arc::clone(stop), ..Meter::default() };
    // The line that this byte belongs to begins before the portion.
    let mut source = Source::open(file, None, at - 1, &meter)?;
    let mut line = Vec::new();
    let mut position = at - 1 + read_line(&mut source, file, &mut line)?;
    while position < until {
        let length = read_line(&mut source, file, &mut line)?;
        position += length;
        if length == 0 || ends.is_end(line.strip_suffix(b"\n").unwrap_or(&line)) {
            return Ok(Some(position));
        }
    }
    Ok(None)
}

/// Reads the next line into `line`, but no more than [`MAX_DOCUMENT`] bytes of it. Returns its length.
fn read_line(source: &mut Source, file: &InputFile, line: &mut Vec<u8>) -> Result<u64> {
    line.clear();
    let mut length = 0;
    loop {
        let bytes = match source.reader.fill_buf() {
            Ok([]) => return Ok(length),
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(source.error(file, error)),
        };
        let newline = memchr(b'\n', bytes);
        let count = newline.map_or(bytes.len(), |at| at + 1);
        line.extend_from_slice(&bytes[..count.min(MAX_DOCUMENT - line.len())]);
        length += count as u64;
        source.reader.consume(count);
        if newline.is_some() {
            return Ok(length);
        }
    }
}
