//! Reads the decompressed bytes of one input, and finds the ends of its documents.

use std::io::{ErrorKind, Read};
use std::ops::Range;

use memchr::{memchr, memchr_iter, memmem, memrchr};

use super::raw::BLOCK_BYTES;
use crate::Result;
use crate::files::inputs::InputFile;
use crate::files::source::{Meter, Source};
use crate::prepare::read::format::{HEAD, is_skipped};
use crate::prepare::read::raw::MAX_DOCUMENT;
use crate::prepare::read::rows::Dialect;
use crate::prepare::read::xml::{self, Search};
use crate::prepare::read::{plain, warc};

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// The number of bytes to read at once when searching for the end of a long document.
const STEP: usize = 256 << 10;

const PAGE_TAG: &[u8] = b"</page>";

/// What ends a document.
#[derive(Debug, Clone)]
pub(in crate::prepare) enum Ends {
    /// The end of the file.
    File,
    /// The end of a line.
    Line,
    /// A line of whitespace.
    BlankLine,
    /// This line, without whitespace around it.
    Separator(String),
    /// `</doc>` at the end of a line.
    DocTag,
    /// A newline that ends a row of a table.
    Row(Dialect),
    /// The end of a WARC record.
    Record,
    /// `</page>` outside comments, processing instructions and CDATA sections.
    PageTag,
}

impl Ends {
    /// Whether `line`, without its newline, ends a document.
    pub fn is_end(&self, line: &[u8]) -> bool {
        match self {
            Self::Line => true,
            Self::BlankLine => plain::is_blank(line),
            Self::Separator(separator) => plain::equals_trimmed(line, separator),
            Self::DocTag => line.trim_ascii_end().ends_with(b"</doc>"),
            Self::File | Self::PageTag | Self::Row(_) | Self::Record => false,
        }
    }

    /// Whether a file may end without this.
    fn is_optional(&self) -> bool {
        !matches!(self, Self::DocTag | Self::PageTag | Self::Row(_) | Self::Record)
    }

    /// Whether this is for plain text, where a NUL byte is an ordinary character.
    fn is_text(&self) -> bool {
        matches!(self, Self::File | Self::BlankLine | Self::Separator(_))
    }

    /// Returns the position after the last end in `data`.
    fn last(&self, data: &[u8]) -> Option<usize> {
        match self {
            Self::File => return None,
            Self::Row(dialect) => return dialect.scan(data, false).last,
            Self::Record => return warc::last_end(data, false),
            Self::PageTag => {
                let (mut last, mut from) = (None, 0);
                while let Some(end) = self.first(data, &mut from) {
                    (last, from) = (Some(end), end);
                }
                return last;
            }
            _ => {}
        }
        let mut end = memrchr(b'\n', data)?;
        loop {
            let before = memrchr(b'\n', &data[..end]);
            if self.is_end(&data[before.map_or(0, |i| i + 1)..end]) {
                return Some(end + 1);
            }
            end = before?;
        }
    }

    /// Returns the position after the first end in `data` that is not completely before `from`. Moves `from` to the end
    /// of what was searched.
    fn first(&self, data: &[u8], from: &mut usize) -> Option<usize> {
        match self {
            Self::File => return None,
            // This searches from the beginning again, but a row is not long.
            Self::Row(dialect) => return dialect.scan(data, true).first,
            Self::Record => return warc::first_end(data, from),
            Self::PageTag => {
                return match xml::find(data, PAGE_TAG, *from) {
                    Search::At(at) => Some(at + PAGE_TAG.len()),
                    Search::Nothing(at) => {
                        *from = at;
                        None
                    }
                };
            }
            // A line may be as long as a record, so each byte is searched only once.
            Self::Line => {
                let found = memchr(b'\n', &data[*from..]).map(|at| *from + at + 1);
                *from = data.len();
                return found;
            }
            _ => {}
        }
        while let Some(at) = memchr(b'\n', &data[*from..]) {
            let line = &data[*from..*from + at];
            *from += at + 1;
            if self.is_end(line) {
                return Some(*from);
            }
        }
        None
    }
}

/// The result of [`Window::take`].
#[derive(Debug, PartialEq, Eq)]
pub(in crate::prepare) enum Taken {
    /// Whole documents up to this byte of the data.
    Documents(usize),
    /// The rest after the last end in the file, if documents need an end.
    Rest,
    /// More bytes than the limit, without an end.
    TooLong,
    /// The end of the file.
    Nothing,
}

/// An open input, with the bytes that were read ahead.
pub(in crate::prepare) struct Window {
    pub file: InputFile,
    source: Source,
    /// The number of bytes that are still to read from `source`.
    left: u64,
    /// Bytes that were read. From `begin` on, they are not returned yet.
    ahead: Vec<u8>,
    begin: usize,
    /// The position of the next block: the decompressed byte, from 0, and the line, from 1.
    pub offset: u64,
    pub line: u64,
    /// The byte that ends a line.
    pub newline: u8,
}

impl Window {
    pub fn open(file: &InputFile, stdin: Option<Box<dyn Read + Send>>, meter: &Meter) -> Result<Self> {
        Self::of(file, stdin, 0..u64::MAX, meter)
    }

    /// Opens a range of the bytes of `file`, which must not be compressed. Lines are counted from its beginning.
    pub fn of_range(file: &InputFile, bytes: Range<u64>, meter: &Meter) -> Result<Self> {
        Self::of(file, None, bytes, meter)
    }

    fn of(file: &InputFile, stdin: Option<Box<dyn Read + Send>>, bytes: Range<u64>, meter: &Meter) -> Result<Self> {
        let source = Source::open(file, stdin, bytes.start, meter)?;
        let (left, offset) = (bytes.end - bytes.start, bytes.start);
        Ok(Self { file: file.clone(), source, left, ahead: Vec::new(), begin: 0, offset, line: 1, newline: b'\n' })
    }

    pub fn is_compressed(&self) -> bool {
        self.source.is_compressed()
    }

    /// Returns the first bytes without a byte-order mark: [`HEAD`] bytes after blank lines. Also returns whether this
    /// is the whole input.
    pub fn head(&mut self) -> Result<(&[u8], bool)> {
        let mut head = Vec::new();
        let (mut wanted, mut blank) = (HEAD, 0);
        let whole = loop {
            self.fill(&mut head, wanted)?;
            let begin = if head.starts_with(BOM) { BOM.len() } else { 0 };
            blank = blank.max(begin);
            blank += head[blank..].iter().take_while(|&&byte| is_skipped(byte)).count();
            if head.len() < wanted || blank + HEAD <= wanted || wanted >= MAX_DOCUMENT {
                break head.len() < wanted;
            }
            wanted = (blank + HEAD).max(wanted + STEP).min(MAX_DOCUMENT);
        };
        self.begin = if head.starts_with(BOM) { BOM.len() } else { 0 };
        self.offset = self.begin as u64;
        self.ahead = head;
        Ok((&self.ahead[self.begin..], whole))
    }

    /// Returns what is read ahead, which is the head after [`Window::head`].
    pub fn ahead(&self) -> &[u8] {
        &self.ahead[self.begin..]
    }

    /// Whether nothing is read ahead. After [`Window::take_header`], this means that the input has no page.
    pub fn is_empty(&self) -> bool {
        self.begin >= self.ahead.len()
    }

    /// Returns the bytes before the first `<page>`, or before the dump's end if it has none. It is an error if neither
    /// is found within `limit` bytes.
    pub fn take_header(&mut self, limit: usize) -> Result<Vec<u8>> {
        let mut data = Vec::new();
        let mut from = 0;
        let end = loop {
            let wanted = data.len() + STEP;
            self.fill(&mut data, wanted)?;
            match xml::find_page(&data, from) {
                Search::At(at) => break at,
                Search::Nothing(at) => from = at,
            }
            if data.len() < wanted {
                break memmem::find(&data, b"</mediawiki>").unwrap_or(data.len());
            }
            if data.len() > limit {
                let reason = format!("no <page> within the first {limit} bytes; this is not a dump of pages");
                return Err(crate::Error::data(&self.file.path, reason));
            }
        };
        self.give_back(&mut data, end);
        Ok(data)
    }

    /// Returns the first row of a table that is not blank, at most `limit` bytes of it.
    pub fn take_row(&mut self, dialect: Dialect, limit: usize) -> Result<Vec<u8>> {
        loop {
            let mut data = Vec::new();
            let end = loop {
                let wanted = (data.len() + STEP).min(limit);
                self.fill(&mut data, wanted)?;
                if let Some(end) = dialect.scan(&data, true).first {
                    break end;
                }
                if data.len() < wanted || data.len() == limit {
                    break data.len();
                }
            };
            self.give_back(&mut data, end);
            if data.is_empty() || !plain::is_blank(&data) {
                return Ok(data);
            }
        }
    }

    /// Gives back `data`, which must be what was taken last.
    pub fn put_back(&mut self, data: &mut Vec<u8>) {
        self.offset -= data.len() as u64;
        self.line -= memchr_iter(self.newline, data).count() as u64;
        data.extend_from_slice(&self.ahead[self.begin..]);
        (self.ahead, self.begin) = (std::mem::take(data), 0);
    }

    /// Returns the next `length` bytes, or as many as there are, without consuming them.
    pub fn peek(&mut self, length: usize) -> Result<&[u8]> {
        let mut data = Vec::new();
        self.fill(&mut data, length)?;
        let count = data.len();
        data.extend_from_slice(&self.ahead[self.begin..]);
        (self.ahead, self.begin) = (data, 0);
        Ok(&self.ahead[..count])
    }

    /// Returns the next `length` bytes, or as many as there are.
    pub fn read(&mut self, length: usize) -> Result<Vec<u8>> {
        let mut data = Vec::new();
        self.fill(&mut data, length)?;
        self.offset += data.len() as u64;
        self.line += memchr_iter(self.newline, &data).count() as u64;
        Ok(data)
    }

    /// Reads into `data`, which must be empty, up to the last end within [`BLOCK_BYTES`], or to the first end after
    /// that.
    ///
    /// `data` may contain more than was taken. If there are documents, [`Window::give_back`] must be called next.
    pub fn take(&mut self, data: &mut Vec<u8>, ends: &Ends, limit: usize) -> Result<Taken> {
        let block = BLOCK_BYTES.min(limit);
        self.fill(data, block)?;
        if data.len() < block {
            return Ok(at_end(data, ends));
        }
        if let Some(end) = ends.last(data) {
            return Ok(Taken::Documents(end));
        }
        let mut from = 0;
        loop {
            let wanted = (data.len() + STEP).min(limit + 1);
            self.fill(data, wanted)?;
            if let Some(end) = ends.first(data, &mut from) {
                return Ok(Taken::Documents(end));
            }
            if data.len() < wanted {
                return Ok(at_end(data, ends));
            }
            if data.len() > limit {
                return Ok(Taken::TooLong);
            }
        }
    }

    /// Takes back the bytes after byte `end` of `data`, which was filled from here.
    pub fn give_back(&mut self, data: &mut Vec<u8>, end: usize) {
        let rest = &data[end..];
        if self.begin < self.ahead.len() {
            // All of it came from the bytes read ahead.
            self.begin -= rest.len();
        } else {
            self.ahead.clear();
            self.ahead.extend_from_slice(rest);
            self.begin = 0;
        }
        data.truncate(end);
        self.offset += data.len() as u64;
        self.line += memchr_iter(self.newline, data).count() as u64;
    }

    /// Appends to `data` until it has `length` bytes or the file ends.
    fn fill(&mut self, data: &mut Vec<u8>, length: usize) -> Result<()> {
        let wanted = length.saturating_sub(data.len()).min(self.ahead.len() - self.begin);
        data.extend_from_slice(&self.ahead[self.begin..self.begin + wanted]);
        self.begin += wanted;
        while data.len() < length && self.left > 0 {
            let available = match self.source.reader.fill_buf() {
                Ok([]) => break,
                Ok(bytes) => bytes,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(self.source.error(&self.file, e)),
            };
            let left = usize::try_from(self.left).unwrap_or(usize::MAX);
            let taken = &available[..available.len().min(length - data.len()).min(left)];
            data.extend_from_slice(taken);
            let n = taken.len();
            self.source.reader.consume(n);
            self.left -= n as u64;
        }
        Ok(())
    }
}

/// Examines `data` at the end of the input, and removes zeros that pad it.
fn at_end(data: &mut Vec<u8>, ends: &Ends) -> Taken {
    if !ends.is_text() {
        // Whitespace between these zeros is removed, but not before them. A record's length may include trailing
        // whitespace.
        let is_space = |byte: u8| byte.is_ascii_whitespace() && !matches!(ends, Ends::Record);
        let end = data.iter().rposition(|&byte| byte != 0 && !is_space(byte)).map_or(0, |last| last + 1);
        if let Some(zero) = memchr(0, &data[end..]) {
            data.truncate(end + zero);
        }
    }
    let last = if matches!(ends, Ends::Record) { warc::last_end(data, true) } else { ends.last(data) };
    match last {
        _ if data.is_empty() => Taken::Nothing,
        _ if ends.is_optional() => Taken::Documents(data.len()),
        _ if matches!(ends, Ends::Row(dialect) if dialect.scan(data, false).open.is_none()) => {
            Taken::Documents(data.len())
        }
        // The last line may lack its newline.
        _ if ends.is_end(&data[memrchr(b'\n', data).map_or(0, |newline| newline + 1)..]) => {
            Taken::Documents(data.len())
        }
        Some(end) => Taken::Documents(end),
        None => Taken::Rest,
    }
}
