//! What wikiextractor writes: `<doc id=".." url=".." title="..">`, the title, the text with `&`, `<` and `>` escaped, `</doc>`.

use std::borrow::Cow;

use memchr::memchr;

use super::parse::Records;
use super::plain::is_blank;
use super::raw::ReadCounts;
use crate::Result;

/// Longer than the name of any character reference.
const LONGEST_REFERENCE: usize = 40;

/// Hands over the text of each element.
pub(super) fn parse(records: &Records<'_>, counts: &mut ReadCounts, mut document: impl FnMut(String)) -> Result<()> {
    let text = records.text(counts)?;
    let mut open: Option<Open> = None;
    let mut line_number = records.block.line;
    let mut at = 0;
    while at < text.len() {
        let end = memchr(b'\n', &text.as_bytes()[at..]).map_or(text.len(), |newline| at + newline + 1);
        let line = text[at..end].trim_end();
        if let Some(title) = title(line) {
            let before = open.replace(Open { title, text: String::new(), begun: false, line: line_number });
            if let Some(before) = before {
                records.bad_line(before.line, counts, || {
                    "no </doc> before the next <doc>; run wikiextractor again".into()
                })?;
            }
        } else if line.trim_start() == "</doc>" {
            if let Some(open) = open.take() {
                document(open.text);
            } else {
                records.bad_line(line_number, counts, || "</doc> without <doc>; run wikiextractor again".into())?;
            }
        } else if let Some(open) = &mut open {
            open.push(&text[at..end]);
        } else if !is_blank(line.as_bytes()) {
            records.bad_line(line_number, counts, || {
                "text outside <doc> .. </doc>; if this is plain text, give the format text".into()
            })?;
        }
        at = end;
        line_number += 1;
    }
    Ok(())
}

/// An element whose end is not reached.
struct Open<'t> {
    title: &'t str,
    text: String,
    /// Whether the title was passed.
    begun: bool,
    line: u64,
}

impl Open<'_> {
    fn push(&mut self, line: &str) {
        if !self.begun {
            let trimmed = line.trim();
            if trimmed.is_empty() {
                return;
            }
            self.begun = true;
            // The attribute stands as the title does, or escaped.
            if trimmed == self.title.trim() || trimmed == unescape(self.title).trim() {
                return;
            }
        }
        self.text.push_str(&unescape(line));
    }
}

/// The title of a `<doc ..>` line. Titles stand in it as they are, with quotes.
fn title(line: &str) -> Option<&str> {
    let attributes = line.strip_prefix("<doc ")?.strip_suffix('>')?;
    Some(attributes.split_once("title=\"").map_or("", |(_, title)| title.strip_suffix('"').unwrap_or(title)))
}

/// Character references that end in a semicolon: others are an address's, as in `?a=1&copy=2`.
fn unescape(text: &str) -> Cow<'_, str> {
    let Some(first) = memchr(b'&', text.as_bytes()) else { return Cow::Borrowed(text) };
    let mut out = String::with_capacity(text.len());
    out.push_str(&text[..first]);
    let mut rest = &text[first..];
    while !rest.is_empty() {
        let name = rest.as_bytes()[1..].iter().take(LONGEST_REFERENCE);
        let length = 1 + name.take_while(|b| b.is_ascii_alphanumeric() || **b == b'#').count();
        let reference = &rest[..length];
        if rest[length..].starts_with(';') {
            out.push_str(&htmlize::unescape(&rest[..=length]));
            rest = &rest[length + 1..];
        } else {
            out.push_str(reference);
            rest = &rest[length..];
        }
        let next = memchr(b'&', rest.as_bytes()).unwrap_or(rest.len());
        out.push_str(&rest[..next]);
        rest = &rest[next..];
    }
    Cow::Owned(out)
}
