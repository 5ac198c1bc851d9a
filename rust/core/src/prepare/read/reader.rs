//! Reads files one after the other, recognizes their formats, and returns blocks of whole documents.
//!
//! The end of a block depends only on the bytes, never on threads, read sizes or time.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use memchr::{memchr, memchr_iter, memmem, memrchr};

use super::divide::{documents_of, ends_of_text, recognize};
use super::format::{self, Kind};
use super::mediawiki::{self, Site};
use super::options::{Format, ReadOptions};
use super::parquet::ColumnReader;
use super::raw::{Column, MAX_DOCUMENT, RawBlock, RawKind};
use super::rows::{self, Dialect};
use super::window::{Ends, Taken, Window};
use super::{arrow, plain, table, warc, xml};
use crate::files::inputs::{InputFile, InputKind};
use crate::files::portions::with_line;
use crate::files::source::Meter;
use crate::{Error, Result};

/// The maximum length in bytes of a JSON line, `<doc>` or `<page>`: 256 MiB.
pub const MAX_RECORD: usize = 256 << 20;

/// The number of bytes that determine how a table quotes.
const TABLE_HEAD: usize = 1 << 20;

/// The maximum length of a dump's header in bytes. Usual headers have some tens of kilobytes.
const MAX_HEADER: usize = 16 << 20;

/// Reads inputs one after the other, in blocks of whole documents.
pub struct RawReader {
    files: Vec<InputFile>,
    options: Arc<ReadOptions>,
    stdin: Option<Box<dyn Read + Send>>,
    /// The index of the open file, or of the next one to open.
    file: usize,
    open: Option<Open>,
    /// The size on disk of the files before `file`, in bytes.
    before: u64,
    meter: Meter,
    splits: u64,
    formats: BTreeMap<&'static str, u64>,
    warnings: Vec<String>,
    /// Whether others read more of the inputs.
    is_part: bool,
    /// The portion of the only input that is read, if it is not all of it.
    portion: Option<Range<u64>>,
    /// The byte of the input from which lines are counted.
    begin: u64,
}

/// A file that is being read.
enum Open {
    Bytes { window: Window, ends: Ends, kind: RawKind, limit: usize },
    Parquet(Box<ColumnReader>),
    Arrow(Box<arrow::ColumnReader>),
}

impl RawReader {
    /// Creates a reader of `files`.
    ///
    /// # Errors
    /// As [`ReadOptions::check`].
    pub fn new(files: Vec<InputFile>, options: Arc<ReadOptions>) -> Result<Self> {
        options.check()?;
        let meter = Meter::of(&files);
        Ok(Self {
            files,
            options,
            stdin: None,
            file: 0,
            open: None,
            before: 0,
            meter,
            splits: 0,
            formats: BTreeMap::new(),
            warnings: Vec::new(),
            is_part: false,
            portion: None,
            begin: 0,
        })
    }

    /// Reads `stdin` instead of the process's standard input.
    #[must_use]
    pub fn with_stdin(mut self, stdin: Box<dyn Read + Send>) -> Self {
        self.stdin = Some(stdin);
        self
    }

    /// Says that the files are a part of the inputs. Then nothing is said about options that have no effect on them.
    #[must_use]
    pub fn of_part(mut self, is_part: bool) -> Self {
        self.is_part = is_part;
        self
    }

    /// Reads only the documents that belong to `bytes` of the only input. [`is_divisible`](super::divide::is_divisible)
    /// must be true for it.
    #[must_use]
    pub fn of_portion(mut self, bytes: Option<Range<u64>>) -> Self {
        self.portion = bytes;
        self
    }

    /// Stops waiting for standard input or a pipe when `stop` is set.
    #[must_use]
    pub fn stopping(mut self, stop: Arc<AtomicBool>) -> Self {
        self.meter.stop = stop;
        self
    }

    /// Returns the number of bytes read so far, as stored on disk.
    pub fn bytes_read(&self) -> u64 {
        let read = self.meter.bytes.load(Ordering::Relaxed);
        match &self.portion {
            // A portion has the documents that begin in it, but its size is that of its range.
            Some(bytes) if self.file > 0 => bytes.end - bytes.start,
            Some(bytes) => read.saturating_sub(bytes.start).min(bytes.end - bytes.start),
            None => read,
        }
    }

    /// Returns the size of all inputs on disk, or 0 if one of them is a stream.
    pub fn total_bytes(&self) -> u64 {
        if let Some(bytes) = &self.portion {
            return bytes.end - bytes.start;
        }
        if self.files.iter().all(InputFile::is_seekable) { self.files.iter().map(|f| f.bytes).sum() } else { 0 }
    }

    /// Returns the path of input `file`, as given or found.
    pub fn path(&self, file: usize) -> &Path {
        &self.files[file].path
    }

    /// Returns how often a plain-text document was split because it was too long.
    pub fn splits(&self) -> u64 {
        self.splits
    }

    /// Returns the number of files of each format among those opened so far. Empty files have none.
    pub fn formats(&self) -> &BTreeMap<&'static str, u64> {
        &self.formats
    }

    /// Returns the warnings about the files opened so far.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Fills `block` with about [`BLOCK_BYTES`] of whole documents, all from one file. Returns `false` at the end of
    /// the inputs, and after an error.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Data`] for data that is damaged, truncated or not text; [`Error::Line`] or
    /// [`Error::Byte`] for documents that are too long or incomplete.
    pub fn next_block(&mut self, block: &mut RawBlock) -> Result<bool> {
        let result = self.fill(block);
        if result.is_err() {
            self.file = self.files.len();
            self.open = None;
        }
        result
    }

    /// Corrects the number of the line in an error of reading or parsing a portion.
    pub fn with_line(&self, error: Error) -> Error {
        match self.files.first() {
            Some(file) if self.begin > 0 => with_line(error, file, self.begin),
            _ => error,
        }
    }

    fn fill(&mut self, block: &mut RawBlock) -> Result<bool> {
        while self.file < self.files.len() {
            if self.open.is_none() {
                self.open = self.open_next()?;
            }
            block.file = self.file;
            block.data.clear();
            block.ends.clear();
            block.nulls.clear();
            let more = match &mut self.open {
                None => false,
                Some(Open::Parquet(column)) => {
                    let more = column.next_block(block)?;
                    self.meter.bytes.store(self.before + column.bytes_read(), Ordering::Relaxed);
                    more
                }
                Some(Open::Arrow(column)) => column.next_block(block)?,
                Some(Open::Bytes { window, ends, kind, limit }) => {
                    let skip_bad = self.options.skip_bad;
                    let more = next_bytes(window, ends, kind, *limit, skip_bad, block, &mut self.splits)?;
                    let is_mediawiki = matches!(kind, RawKind::MediaWiki(_));
                    if more && is_mediawiki && memmem::find(&block.data, b"</page>").is_none() {
                        // The dump has ended. What follows is treated as a dump without a header.
                        *kind = RawKind::MediaWiki(Arc::new(Site::of_part()));
                    }
                    more
                }
            };
            if more {
                return Ok(true);
            }
            self.open = None;
            self.before += self.files[self.file].bytes;
            self.file += 1;
        }
        Ok(false)
    }

    /// Refuses a named text field if no input has fields, as soon as this is known. `found` is the format of the
    /// current file.
    fn check_field(&self, found: Option<Kind>) -> Result<()> {
        let has_fields = |name: &str| !matches!(name, "text" | "wikiextractor" | "mediawiki" | "wet");
        let (field, file) = (&self.options.text_field, &self.files[self.file]);
        let is_named = *field != ReadOptions::default().text_field;
        if !is_named
            || self.is_part
            || self.file + 1 < self.files.len()
            || self.formats.keys().any(|name| has_fields(name))
        {
            return Ok(());
        }
        let Some(kind) = found else { return Ok(()) };
        let advice = if kind == Kind::Text {
            "pass format='csv' if it is a table, or drop `text_field`"
        } else {
            "drop `text_field`"
        };
        let reason = format!("`text_field` has no effect on {}; {advice}", kind.what());
        Err(Error::conflict_at("text_field", &file.path, reason))
    }

    /// Opens the current file. Returns `None` if it is empty.
    fn open_next(&mut self) -> Result<Option<Open>> {
        let file = &self.files[self.file];
        let stdin = if file.kind == InputKind::Stdin { self.stdin.take() } else { None };
        let mut window = Window::open(file, stdin, &self.meter)?;
        let found = recognize(&mut window, &self.options)?;
        // The input counts where it begins.
        let begins = self.portion.as_ref().is_none_or(|bytes| bytes.start == 0);
        if let Some(name) = found.and_then(Kind::format).filter(|_| begins) {
            *self.formats.entry(name).or_default() += 1;
        }
        self.check_field(found)?;
        let Some(found) = found else { return Ok(None) };
        let (ends, kind, limit) = match found {
            Kind::Text | Kind::Other(_) => {
                let ends = ends_of_text(&self.options);
                let kind = match &ends {
                    Ends::Separator(_) => RawKind::Separated,
                    Ends::BlankLine => RawKind::BlankLines,
                    _ => RawKind::Text,
                };
                (ends, kind, MAX_DOCUMENT)
            }
            Kind::Jsonl => (Ends::Line, RawKind::JsonLines, MAX_RECORD),
            Kind::Wikiextractor => (Ends::DocTag, RawKind::Wikiextractor, MAX_RECORD),
            Kind::Mediawiki if format::is_part_of_dump(window.ahead()) => {
                (Ends::PageTag, RawKind::MediaWiki(Arc::new(Site::of_part())), MAX_RECORD)
            }
            Kind::Mediawiki => {
                let header = window.take_header(MAX_HEADER)?;
                if xml::ignorable(&header) == header.len() {
                    let kind = RawKind::MediaWiki(Arc::new(Site::of_part()));
                    return Ok(Some(Open::Bytes { window, ends: Ends::PageTag, kind, limit: MAX_RECORD }));
                }
                let mut site = Site::parse(&header).map_err(|reason| {
                    let reason =
                        if window.is_empty() { "the dump is truncated within its header".into() } else { reason };
                    Error::data(&file.path, reason)
                })?;
                // This is the first stream of a multistream dump.
                site.is_part |= window.is_empty() && memmem::find(&header, b"</siteinfo>").is_some();
                (Ends::PageTag, RawKind::MediaWiki(Arc::new(site)), MAX_RECORD)
            }
            Kind::Arrow => {
                let is_file = window.ahead().starts_with(arrow::FILE_MAGIC);
                let column = arrow::ColumnReader::open(window, is_file, &self.options.text_field)?;
                return Ok(Some(Open::Arrow(Box::new(column))));
            }
            Kind::Csv | Kind::Tsv => {
                let (column, warning) = open_table(&mut window, found == Kind::Tsv, &self.options)?;
                self.warnings.extend(warning);
                (Ends::Row(column.dialect), RawKind::Table(Box::new(column)), table::MAX_ROW)
            }
            Kind::Wet => (Ends::Record, RawKind::Wet, MAX_RECORD),
            Kind::Parquet => {
                if window.is_compressed() || !file.is_seekable() {
                    let reason = "Parquet must be a file without further compression, because its end is read first; pass the \
                                  Parquet file itself";
                    return Err(Error::data(&file.path, reason));
                }
                self.meter.bytes.store(self.before, Ordering::Relaxed);
                let column = ColumnReader::open(file, &self.options.text_field, &self.meter.stop)?;
                return Ok(Some(Open::Parquet(Box::new(column))));
            }
        };
        if let Some(bytes) = &self.portion {
            let documents = documents_of(file, bytes, &ends, &self.meter.stop)?;
            if documents.is_empty() {
                return Ok(None);
            }
            self.begin = documents.start;
            self.meter.bytes.store(0, Ordering::Relaxed);
            window = if documents.start == 0 {
                // The window has skipped what may come before the first document.
                Window::of_range(file, window.offset..documents.end, &self.meter)?
            } else {
                Window::of_range(file, documents, &self.meter)?
            };
        }
        Ok(Some(Open::Bytes { window, ends, kind, limit }))
    }
}

/// Reads a table's first row if it is a header, and finds the column with the text. Also returns a warning if the
/// column is given by number although the first row looks like a header.
fn open_table(window: &mut Window, is_tsv: bool, options: &ReadOptions) -> Result<(Column, Option<String>)> {
    const MAX_ROW: usize = 1 << 20;
    let path = window.file.path.clone();
    let mut delimiters: Vec<u8> = if is_tsv { b"\t".to_vec() } else { b",;|\t".to_vec() };
    let field = &options.text_field;
    let head = window.peek(TABLE_HEAD)?;
    let newline = rows::newline(head);
    let (before, delimiter) = table::preamble(head, newline, &delimiters, Some(field));
    window.newline = newline;
    window.read(before)?;
    delimiters = delimiter.map_or(delimiters, |delimiter| vec![delimiter]);
    let mut row = window.take_row(Dialect::new(delimiters[0], newline), MAX_ROW)?;
    if row.len() == MAX_ROW {
        let reason = format!("the first row must be shorter than {MAX_ROW} bytes; this is not a table with a header");
        return Err(Error::data(&path, reason));
    }
    let text = String::from_utf8_lossy(&row).into_owned();
    let found = table::find(&text, &delimiters, newline, field).map_err(|reason| {
        let alternative = if options.format == Format::Auto { table::NO_TABLE } else { "" };
        Error::data(&path, format!("{reason}{alternative}"))
    });
    let ((delimiter, index, fields), is_header) = found?;
    if !is_header {
        window.put_back(&mut row);
    }
    let head = window.peek(TABLE_HEAD)?;
    let whole = head.len() < TABLE_HEAD;
    let dialect = Dialect::choose(delimiter, newline, without_padding(head), whole, fields);
    let warning = if is_header { None } else { format::names_in(&text, delimiter, index) };
    let warning = warning.map(|(names, name)| {
        format!(
            "{}: the first row looks like a header ({names}), but is read as text; pass text_field={name} if it is one",
            path.display()
        )
    });
    Ok((Column { dialect, index, fields }, warning))
}

fn next_bytes(
    window: &mut Window,
    ends: &Ends,
    kind: &RawKind,
    limit: usize,
    skip_bad: bool,
    block: &mut RawBlock,
    splits: &mut u64,
) -> Result<bool> {
    block.kind = kind.clone();
    (block.offset, block.line) = (window.offset, window.line);
    let end = match window.take(&mut block.data, ends, limit)? {
        Taken::Nothing => return at_end(window, &[], kind).map(|()| false),
        // The parser counts what cannot be read.
        Taken::Rest | Taken::TooLong
            if skip_bad && matches!(kind, RawKind::Table(_) | RawKind::Wet) || is_line(kind, &block.data) =>
        {
            let end = match kind {
                RawKind::Table(_) => memchr(window.newline, &block.data).map(|newline| newline + 1),
                _ => warc::resume(&block.data),
            };
            match end {
                Some(end) => end,
                None if block.data.len() > limit => return Err(too_long(window, kind, limit, &block.data)),
                None => block.data.len(),
            }
        }
        Taken::Rest if skip_bad && is_behind_dump(kind, &block.data) => block.data.len(),
        // The truncated page is then counted, too.
        Taken::Rest if skip_bad && begins_page(kind, &block.data) => block.data.len(),
        Taken::Rest => return at_end(window, &block.data, kind).map(|()| false),
        Taken::Documents(end) => end,
        Taken::TooLong => match (kind, memrchr(b'\n', &block.data[..limit])) {
            (RawKind::Text | RawKind::BlankLines | RawKind::Separated, Some(newline)) => {
                *splits += 1;
                newline + 1
            }
            _ => return Err(too_long(window, kind, limit, &block.data)),
        },
    };
    window.give_back(&mut block.data, end);
    Ok(true)
}

/// Whether the first line of `data` is a row whose quotes are plain characters, in a table that otherwise quotes
/// fields.
fn is_line(kind: &RawKind, data: &[u8]) -> bool {
    matches!(kind, RawKind::Table(column) if column.dialect.row(data).other.is_some())
}

fn too_long(window: &Window, kind: &RawKind, limit: usize, data: &[u8]) -> Error {
    let path = &window.file.path;
    if let Some(error) = open_quote(window, kind, data, &format!("within {limit} bytes")) {
        return error;
    }
    match kind {
        RawKind::MediaWiki(_) => Error::byte(
            path,
            window.offset,
            format!("a page must end within {limit} bytes, got no </page>{}", last_title(data)),
        ),
        RawKind::Wikiextractor => {
            Error::line(path, window.line, format!("an element must end within {limit} bytes, got no </doc>"))
        }
        RawKind::Wet if warc::resume(data).is_some() => Error::byte(path, window.offset, warc::fault(data)),
        RawKind::Wet => Error::byte(path, window.offset, format!("a WARC record must be no longer than {limit} bytes")),
        RawKind::JsonLines => {
            let reason = format!("longer than {limit} bytes; JSON Lines has one object per line: jq -c . FILE > NEW");
            Error::line(path, window.line, reason)
        }
        _ => {
            let reason = format!(
                "longer than {limit} bytes without a line end; this file is not prose, or its line ends are missing"
            );
            Error::line(path, window.line, reason)
        }
    }
}

/// Returns the error for a quote that is not closed in `data`, which begins with a row of a table.
fn open_quote(window: &Window, kind: &RawKind, data: &[u8], place: &str) -> Option<Error> {
    let RawKind::Table(column) = kind else { return None };
    let at = column.dialect.scan(data, false).open?;
    let line = window.line + memchr_iter(window.newline, &data[..at]).count() as u64;
    let reason = format!(
        "the quote that opens a field here must be closed, got none {place}; double quotes within fields (\"\"), or pass \
         skip_bad=True to skip such rows"
    );
    Some(Error::line(&window.file.path, line, reason))
}

/// Returns `rest` without trailing NUL bytes and whitespace, which may be padding from a disk.
fn without_padding(rest: &[u8]) -> &[u8] {
    let end = rest.iter().rposition(|byte| !byte.is_ascii_whitespace() && *byte != 0);
    &rest[..end.map_or(0, |last| last + 1)]
}

/// Whether `rest` is the end of a dump, followed by something else.
fn is_behind_dump(kind: &RawKind, rest: &[u8]) -> bool {
    const END: &[u8] = b"</mediawiki>";
    let RawKind::MediaWiki(site) = kind else { return false };
    let rest = without_padding(rest);
    let rest = &rest[xml::ignorable(rest)..];
    match rest.strip_prefix(END) {
        Some(behind) => xml::ignorable(behind) < behind.len(),
        None => memmem::find(rest, END).is_some() || site.is_part && is_no_page(rest),
    }
}

/// Whether `rest` contains the beginning of a page or comment of a dump.
fn begins_page(kind: &RawKind, rest: &[u8]) -> bool {
    let rest = without_padding(rest);
    let rest = &rest[xml::ignorable(rest)..];
    matches!(kind, RawKind::MediaWiki(_)) && !rest.is_empty() && !rest.starts_with(b"</mediawiki>")
}

/// Whether `rest` contains something, but no beginning of a page.
fn is_no_page(rest: &[u8]) -> bool {
    let rest = &rest[xml::ignorable(rest)..];
    !rest.is_empty() && !rest.starts_with(b"<!--") && memmem::find(rest, b"<page").is_none()
}

/// Checks that a file may end like this. `rest` is what follows its last document.
fn at_end(window: &Window, rest: &[u8], kind: &RawKind) -> Result<()> {
    let path = &window.file.path;
    if let Some(error) = open_quote(window, kind, rest, "before the end of the file") {
        return Err(error);
    }
    match kind {
        RawKind::MediaWiki(site) => {
            let end = window.offset + rest.len() as u64;
            let rest = without_padding(rest);
            let at = xml::ignorable(rest);
            let (before, rest) = rest.split_at(at);
            let byte = window.offset + before.len() as u64;
            let Some(behind) = rest.strip_prefix(b"</mediawiki>") else {
                // A part of a dump may end between any two pages.
                if rest.is_empty() && site.is_part {
                    return Ok(());
                }
                if rest.starts_with(b"<!--") {
                    let reason = "the comment that begins here is not closed; end it with -->, or fetch the file again";
                    return Err(Error::byte(path, byte, reason));
                }
                if memmem::find(rest, b"</mediawiki>").is_some() || site.is_part && is_no_page(rest) {
                    return Err(Error::byte(path, byte, mediawiki::NO_PAGE));
                }
                let advice = if rest.is_empty() {
                    "fetch the file again, or add </mediawiki> at its end if it is a part on purpose"
                } else {
                    "fetch the file again, or pass skip_bad=True to skip the truncated page"
                };
                let reason = format!("the dump is truncated here: no </mediawiki>{}; {advice}", last_title(rest));
                return Err(Error::byte(path, end, reason));
            };
            let more = xml::ignorable(behind);
            if more == behind.len() {
                return Ok(());
            }
            let byte = window.offset + (at + rest.len() - behind.len() + more) as u64;
            Err(Error::byte(path, byte, mediawiki::NO_PAGE))
        }
        RawKind::Wet if !rest.trim_ascii().is_empty() => Err(Error::byte(path, window.offset, warc::fault(rest))),
        RawKind::Wikiextractor if !plain::is_blank(rest) => {
            let reason = "the file is truncated: the element that begins here has no </doc>; run wikiextractor again";
            let blank = rest.iter().take_while(|b| b.is_ascii_whitespace());
            let line = window.line + blank.filter(|&&b| b == b'\n').count() as u64;
            Err(Error::line(path, line, reason))
        }
        _ => Ok(()),
    }
}

/// Names the page at the beginning of `rest`, if its title is complete.
fn last_title(rest: &[u8]) -> String {
    let title = memmem::find(rest, b"<title>").and_then(|begin| {
        let title = &rest[begin + b"<title>".len()..];
        Some(&title[..memmem::find(title, b"</title>")?])
    });
    title.map_or_else(String::new, |title| format!(", within the page {:?}", String::from_utf8_lossy(title)))
}
