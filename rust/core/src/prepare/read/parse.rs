//! Blocks of raw text taken apart into documents. It runs on many threads, and what comes of a block depends on the block
//! alone.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use memchr::{memchr_iter, memrchr};

use super::mediawiki::{self, Page, Site};
use super::options::{ParagraphRule, ReadOptions};
use super::raw::{Document, RawBlock, RawKind, ReadCounts};
use super::xml::{self, Search};
use super::{jsonl, parquet, plain, table, warc, wikiextractor, wikitext};
use crate::files::inputs::OnBadUtf8;
use crate::{Error, Result};

/// Adds the documents of `block`, which came from `path`, to `documents`, and what was left out or mended to `counts`.
///
/// # Errors
/// [`Error::InvalidUtf8`], [`Error::Line`], [`Error::Row`] or [`Error::Byte`] for what cannot be read, with its place;
/// `documents` then holds what came before it.
pub fn parse(
    block: &RawBlock,
    path: &Path,
    options: &ReadOptions,
    counts: &mut ReadCounts,
    documents: &mut Vec<Document>,
) -> Result<()> {
    let records = Records { block, path, options };
    let paragraph_a_line = match options.paragraphs {
        ParagraphRule::Auto => !matches!(block.kind, RawKind::Text | RawKind::Separated),
        ParagraphRule::Line => true,
        ParagraphRule::BlankLine => false,
    };
    let mut push = |text: String| documents.push(Document { text, paragraph_a_line, ..Document::default() });
    match &block.kind {
        RawKind::Text => {
            let text = records.text(counts)?;
            if !plain::is_blank(text.as_bytes()) {
                push(text.into_owned());
            }
            Ok(())
        }
        RawKind::BlankLines => {
            let text = records.text(counts)?;
            plain::documents(&text, plain::is_blank, |text| push(text.to_owned()));
            Ok(())
        }
        RawKind::Separated => {
            let text = records.text(counts)?;
            let separator = options.document_separator.as_deref().unwrap_or_default().trim();
            plain::documents(&text, |line| plain::equals_trimmed(line, separator), |text| push(text.to_owned()));
            Ok(())
        }
        RawKind::JsonLines => jsonl::parse(&records, counts, push),
        RawKind::Wikiextractor => wikiextractor::parse(&records, counts, push),
        RawKind::Column => parquet::parse(&records, counts, push),
        RawKind::Table(column) => table::parse(&records, column, counts, push),
        RawKind::Wet => warc::parse(&records, counts, push),
        RawKind::MediaWiki(site) => pages(&records, site, counts, documents),
    }
}

/// A block and what is needed to say where in the input something lies.
pub(super) struct Records<'a> {
    pub block: &'a RawBlock,
    pub path: &'a Path,
    pub options: &'a ReadOptions,
}

impl<'a> Records<'a> {
    /// The block's text.
    pub fn text(&self, counts: &mut ReadCounts) -> Result<Cow<'a, str>> {
        let data = &self.block.data;
        decode(data, self.options.on_bad_utf8, counts).map_err(|at| self.invalid_utf8(at))
    }

    /// A record of line `line` that cannot be read: an error, or counted.
    pub fn bad_line(&self, line: u64, counts: &mut ReadCounts, reason: impl FnOnce() -> String) -> Result<()> {
        self.bad(counts, || Error::line(self.path, line, reason()))
    }

    /// A record that cannot be read: an error, or counted.
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
        // A byte-order mark is not in the block.
        let dropped = if begin == 0 && line == 1 { self.block.offset } else { 0 };
        Error::InvalidUtf8 {
            path: self.path.to_path_buf(),
            line,
            byte: (at - begin) as u64 + dropped + 1,
            value: self.block.data[at],
        }
    }
}

/// `bytes` as text, mended where that is wanted; else where it is invalid.
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

fn pages(records: &Records<'_>, site: &Site, counts: &mut ReadCounts, documents: &mut Vec<Document>) -> Result<()> {
    const END: &[u8] = b"</page>";
    let text = records.text(counts)?;
    let xml = text.as_bytes();
    let mut at = 0;
    while let Search::At(begin) = xml::find(xml, b"<page>", at) {
        between_pages(records, xml, at..begin, site, counts)?;
        let end = match xml::find(xml, END, begin) {
            Search::At(end) => end + END.len(),
            Search::Nothing(_) => xml.len(),
        };
        match mediawiki::page(&xml[begin..end], site) {
            Ok(Page::Article { text, .. }) => {
                let mut prose = String::new();
                let holes = wikitext::prose(&text, site, &mut prose);
                let paragraph_a_line = records.options.paragraphs != ParagraphRule::BlankLine;
                let language = site.language.clone();
                documents.push(Document { text: prose, paragraph_a_line, language, holes });
            }
            Ok(Page::Redirect) => counts.redirects += 1,
            Ok(Page::Other) => counts.other_pages += 1,
            Err(error) => {
                let byte = records.block.offset + (begin + error.offset) as u64;
                records.bad(counts, || Error::byte(records.path, byte, error.reason))?;
            }
        }
        at = end;
    }
    between_pages(records, xml, at..xml.len(), site, counts)
}

/// Refuses what stands between pages, if it is anything but white space, comments and processing instructions.
fn between_pages(
    records: &Records<'_>,
    xml: &[u8],
    range: Range<usize>,
    site: &Site,
    counts: &mut ReadCounts,
) -> Result<()> {
    let at = xml::nothing(&xml[range.clone()]);
    if at == range.len() {
        return Ok(());
    }
    records.bad(counts, || {
        let byte = records.block.offset + (range.start + at) as u64;
        let is_first = records.block.line == 1 && range.start == 0 && site.is_part;
        Error::byte(records.path, byte, if is_first { mediawiki::NO_BEGINNING } else { mediawiki::NO_PAGE })
    })
}
