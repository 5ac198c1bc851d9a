//! Reads web archives: WARC records of extracted text, as in Common Crawl's WET files.
//!
//! A record's header contains its length. If it is wrong, text would be lost, or headers would become text. Therefore,
//! a record is whole only if another record or the end of the file follows it.

#[cfg(test)]
mod tests;

use memchr::{memchr, memmem};

use super::raw::{OTHERS, ReadCounts};
use super::records::{Records, decode};
use crate::{Error, Result};

/// The maximum length of a record's header in bytes.
const MAX_HEADER: usize = 64 << 10;

/// The content type of text records.
const PLAIN: &str = "text/plain";

const VERSION: &[u8] = b"WARC/";

/// The beginning of a record, after the end of the previous line.
const NEXT: &[u8] = b"\nWARC/1.";

/// What is at the beginning of data.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// A record: the beginning and end of its body, and the beginning of the next record.
    Whole { body: usize, end: usize, next: usize },
    /// An incomplete record, which more data may complete.
    Incomplete,
    /// Not a whole record: where the next one may begin, if anywhere, and why.
    Broken(Option<usize>, Fault),
}

/// Why data does not begin with a whole record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    NoRecord,
    Header,
    NoLength,
    Length(u64),
}

/// The extent of a header.
enum Header {
    /// It ends at this byte, after a blank line.
    Whole(usize),
    /// It is incomplete.
    Incomplete,
    /// It has no end.
    Bad,
}

impl Header {
    fn of(data: &[u8]) -> Self {
        let data_end = data.len().min(MAX_HEADER);
        let mut at = 0;
        while let Some(length) = memchr(b'\n', &data[at..data_end]) {
            let line = &data[at..at + length];
            if matches!(line, [] | [b'\r']) {
                return Self::Whole(at + length + 1);
            }
            // The next record begins inside it.
            if at > 0 && line.starts_with(&NEXT[1..]) {
                return Self::Bad;
            }
            at += length + 1;
        }
        if data.len() < MAX_HEADER { Self::Incomplete } else { Self::Bad }
    }
}

/// Examines the record at the beginning of `data`. `last` says whether nothing follows `data`. No record except the
/// first begins before byte `searched`.
fn next(data: &[u8], last: bool, searched: usize) -> Next {
    // Line ends between records belong to the previous one.
    let begin = data.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let rest = &data[begin..];
    let broken = |from: usize, why: Fault| {
        let from = from.max(searched).min(data.len());
        Next::Broken(memmem::find(&data[from..], NEXT).map(|at| from + at + 1), why)
    };
    // A length may exceed the data because it is wrong, or because the end is missing.
    let truncated = |from: usize, why: Fault| match broken(from, why) {
        Next::Broken(Some(next), why) if last => Next::Broken(Some(next), why),
        _ => Next::Incomplete,
    };
    if rest.len() < VERSION.len() {
        return Next::Incomplete;
    }
    if !rest.starts_with(VERSION) {
        return broken(begin, Fault::NoRecord);
    }
    let body = match Header::of(rest) {
        Header::Whole(length) => begin + length,
        Header::Bad => return broken(begin + VERSION.len(), Fault::Header),
        Header::Incomplete if last => return truncated(begin + VERSION.len(), Fault::Header),
        Header::Incomplete => return Next::Incomplete,
    };
    let Some(length) = field(&data[begin..body], "Content-Length").and_then(|it| it.parse::<u64>().ok()) else {
        return broken(body - 1, Fault::NoLength);
    };
    let why = Fault::Length(length);
    let end = usize::try_from(length).ok().and_then(|length| body.checked_add(length));
    let Some(end) = end.filter(|&end| end <= data.len()) else {
        return if last { truncated(body - 1, why) } else { Next::Incomplete };
    };
    let next = end + data[end..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let behind = &data[next..];
    if behind.starts_with(VERSION) && data[next - 1] == b'\n' || behind.is_empty() && last {
        return Next::Whole { body, end, next };
    }
    if VERSION.starts_with(behind) {
        // The beginning of the next record is incomplete.
        return if last { Next::Whole { body, end, next } } else { Next::Incomplete };
    }
    broken(body - 1, why)
}

/// Returns the position after the last whole record of `data`, or after what is not a record. `last` says whether
/// nothing follows `data`. What is not a record ends where a record may begin.
pub(super) fn last_end(data: &[u8], last: bool) -> Option<usize> {
    let mut at = 0;
    while at < data.len() {
        match next(&data[at..], last, 0) {
            Next::Whole { next, .. } | Next::Broken(Some(next), _) => at += next,
            Next::Incomplete | Next::Broken(None, _) => break,
        }
    }
    (at > 0).then_some(at)
}

/// Returns the position after the first record of `data`, or after what is not a record. Moves `from` to the end of
/// what was searched.
pub(super) fn first_end(data: &[u8], from: &mut usize) -> Option<usize> {
    match next(data, false, *from) {
        Next::Whole { next, .. } | Next::Broken(Some(next), _) => Some(next),
        Next::Incomplete => None,
        Next::Broken(None, _) => {
            *from = data.len().saturating_sub(NEXT.len());
            None
        }
    }
}

/// Returns where a record may begin in `data`, after the header of the first, whose length is too large.
pub(super) fn resume(data: &[u8]) -> Option<usize> {
    match next(data, true, 0) {
        Next::Broken(next, _) => next,
        Next::Whole { .. } | Next::Incomplete => None,
    }
}

/// Explains why `data`, which nothing follows, does not begin with a whole record, and what to do.
pub(super) fn fault(data: &[u8]) -> String {
    let what = match next(data, true, 0) {
        Next::Broken(_, Fault::NoRecord) => "this is not a WARC record".into(),
        Next::Broken(_, Fault::Header) => {
            format!("the header of this WARC record must end in a blank line within {MAX_HEADER} bytes, got none")
        }
        Next::Broken(_, Fault::NoLength) => {
            "the header of this WARC record must have a Content-Length, got none".into()
        }
        Next::Broken(_, Fault::Length(length)) => {
            format!("the Content-Length of this WARC record must lead to the next record, got {length}")
        }
        Next::Whole { .. } | Next::Incomplete => {
            "the file is truncated: the WARC record that begins here is incomplete".into()
        }
    };
    format!("{what}; fetch the file again, or pass skip_bad=True to skip such records")
}

/// Returns the value of a header field.
fn field<'h>(header: &'h [u8], name: &str) -> Option<&'h str> {
    let line = header.split(|&byte| byte == b'\n').find(|line| {
        line.get(..name.len()).is_some_and(|it| it.eq_ignore_ascii_case(name.as_bytes()))
            && line.get(name.len()) == Some(&b':')
    })?;
    str::from_utf8(&line[name.len() + 1..]).ok().map(str::trim)
}

/// Calls `document` with the text of each text record.
pub(super) fn parse(records: &Records<'_>, counts: &mut ReadCounts, mut document: impl FnMut(String)) -> Result<()> {
    let data = &records.block.data;
    let mut at = 0;
    while at < data.len() {
        let rest = &data[at..];
        let place = records.block.offset + at as u64;
        let (body, end, next) = match next(rest, true, 0) {
            Next::Whole { body, end, next } => (body, end, next),
            Next::Incomplete if rest.trim_ascii().is_empty() => return Ok(()),
            Next::Broken(resume, _) => {
                records.bad(counts, || Error::byte(records.path, place, fault(rest)))?;
                at += resume.unwrap_or(rest.len());
                continue;
            }
            Next::Incomplete => return records.bad(counts, || Error::byte(records.path, place, fault(rest))),
        };
        let header = &rest[..body];
        let kind = field(header, "WARC-Type").unwrap_or_default();
        let is_text = || {
            field(header, "Content-Type")
                .is_none_or(|it| it.get(..PLAIN.len()).is_some_and(|it| it.eq_ignore_ascii_case(PLAIN)))
        };
        if kind == "response" {
            records.bad(counts, || {
                let reason = "this record is a server's response, not text; extract the text first (trafilatura), or use the \
                              WET files, which contain it";
                Error::byte(records.path, place, reason)
            })?;
        } else if matches!(kind, "conversion" | "resource") && is_text() {
            let text = decode(&rest[body..end], records.options.on_bad_utf8, counts).map_err(|invalid| {
                let reason = format!(
                    "invalid UTF-8 (0x{:02X}); fix the file, or pass on_bad_utf8='replace' to insert U+FFFD",
                    rest[body + invalid]
                );
                Error::byte(records.path, place + (body + invalid) as u64, reason)
            })?;
            document(text.into_owned());
        } else if kind != "warcinfo" {
            let index = OTHERS.iter().position(|it| *it == kind).unwrap_or(OTHERS.len() - 1);
            counts.other_records[index] += 1;
        }
        at += next;
    }
    Ok(())
}

/// Describes the records of other types, for an input without text.
pub(in crate::prepare) fn others(counts: &[u64; OTHERS.len()]) -> Option<String> {
    let mut kinds: Vec<(u64, &str)> = counts.iter().copied().zip(OTHERS).filter(|(count, _)| *count > 0).collect();
    kinds.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    let all: u64 = counts.iter().sum();
    let records = if all == 1 { "record" } else { "records" };
    let kinds: Vec<String> = kinds.into_iter().map(|(count, kind)| format!("{kind} {count}")).collect();
    (all > 0).then(|| format!("{all} WARC {records} of other types ({}); use the WET files", kinds.join(", ")))
}
