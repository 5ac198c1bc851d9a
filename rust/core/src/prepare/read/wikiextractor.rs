//! Reads the output of wikiextractor: `<doc id=".." url=".." title="..">`, the title, the text with `&`, `<` and `>`
//! escaped, and `</doc>`.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter, memmem};

use super::plain::is_blank;
use super::raw::ReadCounts;
use super::records::Records;
use crate::Result;

const END: &str = "</doc>";

/// The maximum length of a `<doc ..>` tag in bytes.
const LONGEST_TAG: usize = 64 << 10;

/// Longer than the name of any character reference.
const LONGEST_REFERENCE: usize = 40;

/// Calls `document` with the text of each element.
pub(super) fn parse(records: &Records<'_>, counts: &mut ReadCounts, mut document: impl FnMut(String)) -> Result<()> {
    let text = records.text(counts)?;
    let mut open: Option<Open> = None;
    let mut line_number = records.block.line;
    let mut at = 0;
    while at < text.len() {
        let end = memchr(b'\n', &text.as_bytes()[at..]).map_or(text.len(), |newline| at + newline + 1);
        let mut rest = &text[at..end];
        // Most lines are text or one tag, but a line may contain several elements.
        while !rest.is_empty() {
            if let Some((header, behind)) = header(rest) {
                let before =
                    open.replace(Open { title: title(header), text: String::new(), begun: false, line: line_number });
                if let Some(before) = before {
                    records.bad_line(before.line, counts, || {
                        "no </doc> before the next <doc>; run wikiextractor again".into()
                    })?;
                }
                rest = if behind.trim_start().is_empty() { "" } else { behind };
                continue;
            }
            let closing = closing(rest);
            let (line, behind) = closing.map_or((rest, ""), |closing| (&rest[..closing], &rest[closing + END.len()..]));
            match (&mut open, closing) {
                (Some(element), None) => element.push(line),
                (Some(element), Some(_)) => {
                    if !line.trim().is_empty() {
                        element.push(line);
                    }
                    document(std::mem::take(&mut element.text));
                    open = None;
                }
                (None, Some(_)) => {
                    records.bad_line(line_number, counts, || "</doc> without <doc>; run wikiextractor again".into())?;
                }
                (None, None) if is_blank(line.as_bytes()) => {}
                (None, None) => {
                    let reason = "text outside <doc> .. </doc>; if this is plain text, pass format='text'";
                    records.bad_line(line_number, counts, || reason.into())?;
                }
            }
            rest = behind.trim_start();
        }
        at = end;
        line_number += 1;
    }
    Ok(())
}

/// Returns the position of the element's end in `line`. In text, these characters are escaped, or other text follows
/// them.
fn closing(line: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + line[from..].find(END)?;
        let behind = line[at + END.len()..].trim_start();
        if behind.is_empty() || header(behind).is_some() {
            return Some(at);
        }
        from = at + END.len();
    }
}

/// An element whose end was not reached yet.
struct Open<'t> {
    title: &'t str,
    text: String,
    /// Whether the title was skipped.
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
            // The attribute and the title may each be escaped or not.
            let title = self.title.trim();
            if trimmed == title || trimmed == unescape(title).trim() || unescape(trimmed) == unescape(title) {
                return;
            }
        }
        self.text.push_str(&unescape(line));
    }
}

/// Parses the `<doc ..>` at the beginning of `line`. Returns its attributes and the rest of the line.
fn header(line: &str) -> Option<(&str, &str)> {
    let rest = line.strip_prefix("<doc")?;
    if !rest.starts_with([' ', '\t']) {
        return None;
    }
    // The search is bounded, so that a line of many elements is not searched to its end for each of them.
    let near = &rest[..rest.floor_char_boundary(LONGEST_TAG)];
    let near = memmem::find(near.as_bytes(), END.as_bytes()).map_or(near, |end| &near[..end]);
    // A title may contain quotes and `>`. If the line ends with a tag, the whole line is that tag.
    let whole = near.trim_end();
    if near.len() == rest.len()
        && let Some(attributes) = whole.strip_suffix('>')
        && attributes.ends_with(['"', '\''])
    {
        return Some((attributes, &rest[whole.len()..]));
    }
    let bytes = near.as_bytes();
    let end = memchr_iter(b'>', bytes).find(|&at| at > 0 && matches!(bytes[at - 1], b'"' | b'\''))?;
    Some((&rest[..end], &rest[end + 1..]))
}

/// Returns the title from the attributes of a `<doc ..>`, or nothing if there is none. Titles may contain unescaped
/// quotes.
fn title(attributes: &str) -> &str {
    let Some((at, quote)) = ["title=\"", "title='"].iter().find_map(|name| {
        let mut all = attributes.match_indices(name);
        let (at, _) = all.find(|(at, _)| attributes[..*at].ends_with([' ', '\t']))?;
        Some((at + name.len(), name.chars().next_back()?))
    }) else {
        return "";
    };
    let value = &attributes[at..];
    let ends = value.match_indices(quote).find(|(at, _)| is_next_attribute(&value[at + 1..]));
    ends.map_or(value, |(at, _)| &value[..at])
}

/// Whether `rest` may follow the end of an attribute: it is empty, or whitespace and another attribute.
fn is_next_attribute(rest: &str) -> bool {
    let next = rest.trim_start();
    if next.is_empty() {
        return true;
    }
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b':');
    let name = next.bytes().take_while(is_part).count();
    next.len() < rest.len() && name > 0 && (next[name..].starts_with("=\"") || next[name..].starts_with("='"))
}

/// Replaces character references that end in a semicolon. Others are parts of URLs, as in `?a=1&copy=2`.
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
