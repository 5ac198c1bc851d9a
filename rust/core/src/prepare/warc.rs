//! Web archives: WARC records of extracted text, as Common Crawl's WET files hold them.

use memchr::memmem;

use super::parse::{Records, decode};
use super::raw::ReadCounts;
use crate::{Error, Result};

/// The longest header of a record, in bytes.
const MAX_HEADER: usize = 1 << 20;

/// What data begins with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A record: where its body begins and ends, and where the next record begins.
    Whole { body: usize, end: usize, next: usize },
    /// A record of which there is more.
    Cut,
    /// No record: where the next may begin, if one does.
    Broken(Option<usize>),
}

/// Looks at the record that `data` begins with.
pub(super) fn next(data: &[u8]) -> Next {
    const VERSION: &[u8] = b"WARC/";
    // Line ends between records belong to the one before.
    let begin = data.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let broken = || Next::Broken(memmem::find(&data[begin..], b"\nWARC/1.").map(|at| begin + at + 1));
    let rest = &data[begin..];
    if rest.len() < VERSION.len() {
        return Next::Cut;
    }
    if !rest.starts_with(VERSION) {
        return broken();
    }
    let head = &rest[..rest.len().min(MAX_HEADER)];
    let ends = [(memmem::find(head, b"\r\n\r\n"), 4), (memmem::find(head, b"\n\n"), 2)];
    let Some((at, mark)) = ends.into_iter().filter_map(|(at, mark)| Some((at?, mark))).min() else {
        return if rest.len() < MAX_HEADER { Next::Cut } else { broken() };
    };
    let length = field(&rest[..at], "Content-Length").and_then(|it| it.parse::<usize>().ok());
    let body = begin + at + mark;
    let Some(end) = length.and_then(|length| body.checked_add(length)) else { return broken() };
    if end > data.len() {
        return Next::Cut;
    }
    let behind = data[end..].iter().take(4).take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    Next::Whole { body, end, next: end + behind }
}

/// Behind the last whole record of `data`, or what is none; behind the first, if `one`. What is none ends where a record may
/// begin.
pub(super) fn end(data: &[u8], one: bool) -> Option<usize> {
    let mut at = 0;
    while at < data.len() {
        match next(&data[at..]) {
            Next::Whole { next, .. } | Next::Broken(Some(next)) => at += next,
            Next::Cut | Next::Broken(None) => break,
        }
        if one {
            break;
        }
    }
    (at > 0).then_some(at)
}

/// The value of a field of a header.
fn field<'h>(header: &'h [u8], name: &str) -> Option<&'h str> {
    let line = header.split(|&byte| byte == b'\n').find(|line| {
        line.get(..name.len()).is_some_and(|it| it.eq_ignore_ascii_case(name.as_bytes()))
            && line.get(name.len()) == Some(&b':')
    })?;
    str::from_utf8(&line[name.len() + 1..]).ok().map(str::trim)
}

/// Hands over the text of each record that holds text.
pub(super) fn parse(records: &Records<'_>, counts: &mut ReadCounts, mut document: impl FnMut(String)) -> Result<()> {
    let data = &records.block.data;
    let mut at = 0;
    while at < data.len() {
        let rest = &data[at..];
        let place = records.block.offset + at as u64;
        let (body, end, next) = match next(rest) {
            Next::Whole { body, end, next } => (body, end, next),
            Next::Cut | Next::Broken(None) if rest.trim_ascii().is_empty() => return Ok(()),
            Next::Cut | Next::Broken(_) => {
                records.bad(counts, || {
                    Error::byte(records.path, place, "not a WARC record; fetch the file again, or pass --skip-bad")
                })?;
                at += match next(rest) {
                    Next::Broken(Some(next)) => next,
                    _ => rest.len(),
                };
                continue;
            }
        };
        let header = &rest[..body];
        let kind = field(header, "WARC-Type").unwrap_or_default();
        let is_text = || field(header, "Content-Type").is_none_or(|it| it.starts_with("text/plain"));
        if kind == "response" {
            records.bad(counts, || {
                let reason = "this record is a server's response, not text; extract the text first (trafilatura), or take the \
                              WET files, which hold it";
                Error::byte(records.path, place, reason)
            })?;
        } else if kind == "conversion" || (kind == "resource" && is_text()) {
            let text = decode(&rest[body..end], records.options.on_bad_utf8, counts).map_err(|invalid| {
                let reason = format!(
                    "invalid UTF-8 (0x{:02X}); fix the file, or pass --on-bad-utf8 replace to insert U+FFFD",
                    rest[body + invalid]
                );
                Error::byte(records.path, place + (body + invalid) as u64, reason)
            })?;
            document(text.into_owned());
        }
        at += next;
    }
    Ok(())
}
