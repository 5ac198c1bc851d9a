//! Recognizes the structure of data that begins like JSON: JSON Lines, or other JSON with the command that converts it.
//! A command is suggested only if it works on the examined data.

#[cfg(test)]
mod tests;

use serde::de::IgnoredAny;

use super::json_faults::{FROM_PYTHON, without_python_numbers};
use super::plain::is_blank;

/// The structure of data that begins with `{` or `[`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// JSON Lines. If the first line is bad, the reader reports it.
    Lines,
    /// Not JSON.
    Text,
    /// JSON, or an attempt at it, that cannot be read.
    Other {
        /// What it is, to follow "this is".
        what: &'static str,
        /// What to do, as an imperative.
        advice: &'static str,
    },
}

const fn other(what: &'static str, advice: &'static str) -> Shape {
    Shape::Other { what, advice }
}

/// The result of parsing text as a sequence of values.
#[derive(Debug, PartialEq, Eq)]
enum Values {
    /// All values are complete. The last may continue after the examined text.
    Whole,
    /// The text ends inside a value.
    Truncated,
    /// Something else is at this byte.
    Broken(usize),
}

/// Determines the structure of data that begins with `head`. `whole` says whether `head` is all of it.
pub(super) fn shape(head: &[u8], whole: bool) -> Shape {
    let text = without_marks(head);
    let (first, is_line) = match memchr::memchr(b'\n', text) {
        Some(newline) => (&text[..newline], true),
        None => (text, whole),
    };
    match text.first() {
        Some(b'{') => of_objects(text, first, is_line, whole),
        Some(b'[') => of_array(text, first, is_line, whole),
        Some(b'"') if are_strings(text, whole) => {
            let advice = "JSON Lines has one object per line: jq -c '{text: .}' FILE > NEW";
            other("JSON strings, one per line", advice)
        }
        _ => Shape::Text,
    }
}

/// Removes what may precede JSON: whitespace, byte-order marks, and the record separator of RFC 7464.
fn without_marks(mut text: &[u8]) -> &[u8] {
    loop {
        text = match text.trim_ascii_start() {
            [0x1E, rest @ ..] | [0xEF, 0xBB, 0xBF, rest @ ..] => rest,
            rest => return rest,
        };
    }
}

/// Whether most lines of `text` that are not blank are one JSON object each, even if the first is not. `text` is the
/// beginning of a file; `whole` says whether it is all of it.
pub(super) fn are_lines(text: &[u8], whole: bool) -> bool {
    let (mut objects, mut others, mut bytes) = (0_usize, 0_usize, 0);
    let mut lines = text.split(|&byte| byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let line = without_marks(line).trim_ascii_end();
        let is_truncated = !whole && lines.peek().is_none();
        let is_object = line.starts_with(b"{") && {
            let (end, count, found) = values(line, is_truncated);
            (found == Values::Whole && (count == 1 && end == line.len() || is_truncated && count == 0 && is_key(line)))
                || lenient(line) == Some(1)
        };
        if is_object {
            objects += 1;
            bytes += line.len();
        } else if !is_truncated && !is_blank(line) {
            others += 1;
        }
    }
    (objects > 1 && objects >= others) || (objects == 1 && !whole && bytes * 2 > text.len())
}

/// Whether the first field of an object is an array of objects.
fn holds_records(text: &[u8]) -> bool {
    fn after(text: &[u8], byte: u8) -> Option<&[u8]> {
        text.trim_ascii_start().strip_prefix(&[byte]).map(<[u8]>::trim_ascii_start)
    }
    let value = after(text, b'{').and_then(|text| after(text, b'"')).and_then(|text| {
        let end = memchr::memchr(b'"', text)?;
        after(&text[end + 1..], b':')
    });
    value.and_then(|text| after(text, b'[')).is_some_and(|text| text.starts_with(b"{"))
}

/// Whether a quoted name follows the brace at the beginning of `line`.
fn is_key(line: &[u8]) -> bool {
    line[1..].trim_ascii_start().starts_with(b"\"")
}

/// Whether there are several lines, and each is a JSON string.
fn are_strings(text: &[u8], whole: bool) -> bool {
    const ENOUGH: usize = 3;
    let mut lines: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
    if !whole {
        lines.pop();
    }
    lines.retain(|line| !is_blank(line));
    lines.len() >= ENOUGH && lines.iter().all(|line| serde_json::from_slice::<String>(line).is_ok())
}

fn of_objects(text: &[u8], first: &[u8], is_line: bool, whole: bool) -> Shape {
    const SEVERAL: &str = "JSON Lines has one object per line: jq -c . FILE > NEW";
    const RECORDS: &str = "its records are in an array: if that is the field \"data\", jq -c '.data[]' FILE > NEW";
    let inner = text[1..].trim_ascii_start();
    if inner.starts_with(b"'") {
        return of_python(&inner[1..], first, is_line);
    }
    let (_, on_first_line, found) = values(first, !is_line);
    if found == Values::Whole && (on_first_line > 0 || !is_line) {
        let is_several = on_first_line > 1 && values(text, !whole).2 == Values::Whole;
        return if is_several { other("JSON with several objects on one line", SEVERAL) } else { Shape::Lines };
    }
    if lenient(first).is_some() {
        return Shape::Lines;
    }
    let is_json = matches!(inner, [b'"' | b'}', ..]);
    let (end, count, found) = values(text, !whole);
    let is_first_long = count == 0 || end > first.len();
    match found {
        Values::Whole if is_first_long && (count > 0 || is_json) => {
            other("JSON over several lines", if holds_records(text) { RECORDS } else { SEVERAL })
        }
        _ if is_json && whole && count == 0 && lenient(text) == Some(1) => other(
            "JSON over several lines, with NaN or Infinity",
            "JSON Lines has one object per line: \
             python3 -c \"import json, sys; print(json.dumps(json.load(sys.stdin)))\" < FILE > NEW",
        ),
        _ if is_json && is_first_long && lenient_values(text, whole).is_some_and(|count| count > 0 || !whole) => other(
            "JSON over several lines, with NaN or Infinity",
            "JSON Lines has one object per line: jq -c . FILE > NEW, which writes null for NaN",
        ),
        Values::Broken(at) if count > 0 && is_first_long => match text.get(at) {
            Some(b',') => other(
                "JSON over several lines, with commas between the objects",
                "make it an array, and convert that to JSON Lines: \
                 (echo '['; sed '$ s/,[[:space:]]*$//' FILE; echo ']') | jq -c '.[]' > NEW",
            ),
            Some(0x1E) => other(
                "a JSON text sequence with objects over several lines",
                "JSON Lines has one object per line: jq --seq -c . FILE > NEW",
            ),
            _ => other(
                "JSON over several lines, with a syntax error after its first object",
                "fix it: jq . FILE shows where",
            ),
        },
        _ if is_json => Shape::Lines,
        _ => Shape::Text,
    }
}

fn of_array(text: &[u8], first: &[u8], is_line: bool, whole: bool) -> Shape {
    const LOCATE: &str = "fix it: jq . FILE shows where";
    let inner = text[1..].trim_ascii_start();
    let is_object = inner.first() == Some(&b'{');
    if !matches!(inner, [b'{' | b'[' | b'"', ..]) {
        return Shape::Text;
    }
    let (end, count, found) = values(text, !whole);
    let is_one = match found {
        Values::Whole => count == 0 || (count == 1 && is_blank(&text[end..])),
        Values::Truncated | Values::Broken(_) => false,
    };
    if is_one {
        return match inner[0] {
            b'{' => other("a JSON array", "JSON Lines has one object per line: jq -c '.[]' FILE > NEW"),
            b'"' => other(
                "a JSON array of strings",
                "JSON Lines has one object per line: jq -c '.[] | {text: .}' FILE > NEW",
            ),
            _ => other(
                "a JSON array of arrays",
                "convert them to objects: jq -c '.[] | {text: .[0]}' FILE > NEW takes the first item of each",
            ),
        };
    }
    if count > 1 && is_line && values(first, false) == (first.len(), 1, Values::Whole) {
        let advice = "convert them to objects: jq -c '{text: .[0]}' FILE > NEW takes the first item of each";
        return other("JSON Lines of arrays, not of objects", advice);
    }
    // Prose may begin with a bracket and a quotation mark.
    if !is_object {
        return Shape::Text;
    }
    match inner[1..].trim_ascii_start() {
        [b'\'', rest @ ..] if is_python_key(rest) => other(
            "a Python list of dictionaries, as repr writes it",
            "convert it to JSON Lines: python3 -c \"import ast, json, sys; \
             [print(json.dumps(it)) for it in ast.literal_eval(sys.stdin.read())]\" < FILE > NEW",
        ),
        [b'"' | b'}', ..] => match found {
            _ if whole && lenient(text) == Some(1) => other(
                "a JSON array with NaN or Infinity",
                "JSON Lines has one object per line: python3 -c \"import json, sys; \
                 [print(json.dumps(it)) for it in json.load(sys.stdin)]\" < FILE > NEW",
            ),
            Values::Truncated => other("a JSON array that is truncated", "fetch or write the file again"),
            Values::Broken(at) if text.get(at) == Some(&b']') && text[..at].trim_ascii_end().last() == Some(&b',') => {
                other("a JSON array with a comma after its last item", "remove that comma")
            }
            _ => other("a JSON array with a syntax error", LOCATE),
        },
        _ => Shape::Text,
    }
}

fn of_python(after_quote: &[u8], first: &[u8], is_line: bool) -> Shape {
    const WHAT: &str = "a Python dictionary on each line, as repr writes it";
    if !is_python_key(after_quote) {
        return Shape::Text;
    }
    // The line may continue after the examined text.
    if !is_line || first.trim_ascii_end().ends_with(b"}") {
        return other(WHAT, FROM_PYTHON);
    }
    other(
        "a Python dictionary over several lines, as pprint writes it",
        "make JSON of it: python3 -c \"import ast, json, sys; \
         print(json.dumps(ast.literal_eval(sys.stdin.read())))\" < FILE > NEW",
    )
}

/// Whether `text`, which follows a single quote, is the rest of a key: it ends in a quote and a colon.
fn is_python_key(text: &[u8]) -> bool {
    let line = &text[..memchr::memchr(b'\n', text).unwrap_or(text.len())];
    memchr::memchr(b'\'', line).is_some_and(|quote| line[quote + 1..].trim_ascii_start().starts_with(b":"))
}

/// Parses `text` as a sequence of values. Returns the end of the last complete value, the number of complete values,
/// and the result. If `continues` is set, the last value may continue after the text.
fn values(text: &[u8], continues: bool) -> (usize, usize, Values) {
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<IgnoredAny>();
    let (mut end, mut count) = (0, 0);
    loop {
        match values.next() {
            None => return (end, count, Values::Whole),
            Some(Ok(_)) => {
                count += 1;
                end = values.byte_offset();
            }
            Some(Err(error)) if error.is_eof() => {
                return (end, count, if continues { Values::Whole } else { Values::Truncated });
            }
            Some(Err(error)) => return (end, count, Values::Broken(place(text, &error))),
        }
    }
}

/// Returns the position of an error in bytes, from 0.
fn place(text: &[u8], error: &serde_json::Error) -> usize {
    let before = error.line().saturating_sub(1);
    let begin = before
        .checked_sub(1)
        .map_or(0, |last| memchr::memchr_iter(b'\n', text).nth(last).map_or(text.len(), |newline| newline + 1));
    begin + error.column().saturating_sub(1)
}

/// Counts the complete values if all of the text is values, including Python's NaN and Infinity. If it is not `whole`,
/// the last value may be incomplete. Returns `None` otherwise.
fn lenient_values(text: &[u8], whole: bool) -> Option<usize> {
    let end = if whole { text.len() } else { memchr::memrchr(b'\n', text)? };
    let standard = without_python_numbers(std::str::from_utf8(&text[..end]).ok()?)?;
    let (_, count, found) = values(standard.as_bytes(), !whole);
    (found == Values::Whole).then_some(count)
}

/// Counts the values if all of the text is complete values, including Python's NaN and Infinity.
fn lenient(text: &[u8]) -> Option<usize> {
    let standard = without_python_numbers(std::str::from_utf8(text).ok()?)?;
    let (_, count, found) = values(standard.as_bytes(), false);
    (found == Values::Whole).then_some(count)
}
