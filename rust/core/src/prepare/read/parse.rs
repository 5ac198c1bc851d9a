//! Parses blocks of raw text into documents. This runs on many threads. The result depends only on the block.

use std::ops::Range;
use std::path::Path;

use super::mediawiki::{self, Page, Site};
use super::options::{ParagraphRule, ReadOptions};
use super::raw::{Document, RawBlock, RawKind, ReadCounts};
use super::records::Records;
use super::xml::{self, Search};
use super::{jsonl, parquet, plain, table, warc, wikiextractor, wikitext};
use crate::{Error, Result};

/// Appends the documents of `block`, read from `path`, to `documents`. Adds what was skipped or replaced to `counts`.
///
/// # Errors
/// [`Error::InvalidUtf8`], [`Error::Line`], [`Error::Row`] or [`Error::Byte`] with the position of what cannot be read.
/// `documents` then contains the documents before it.
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

fn pages(records: &Records<'_>, site: &Site, counts: &mut ReadCounts, documents: &mut Vec<Document>) -> Result<()> {
    const END: &[u8] = b"</page>";
    let text = records.text(counts)?;
    let xml = text.as_bytes();
    let mut at = 0;
    while let Search::At(begin) = xml::find_page(xml, at) {
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

/// Refuses anything between pages except whitespace, comments and processing instructions.
fn between_pages(
    records: &Records<'_>,
    xml: &[u8],
    range: Range<usize>,
    site: &Site,
    counts: &mut ReadCounts,
) -> Result<()> {
    let at = xml::ignorable(&xml[range.clone()]);
    if at == range.len() {
        return Ok(());
    }
    records.bad(counts, || {
        let byte = records.block.offset + (range.start + at) as u64;
        let is_first = records.block.line == 1 && range.start == 0 && site.is_part;
        Error::byte(records.path, byte, if is_first { mediawiki::NO_BEGINNING } else { mediawiki::NO_PAGE })
    })
}
