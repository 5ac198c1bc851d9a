//! Explains what is wrong with a line that is not valid JSON, with a remedy that works for it.

#[cfg(test)]
mod tests;

use serde::de::IgnoredAny;

/// Returns `line` with the values `NaN`, `Infinity` and `-Infinity` replaced by numbers of the same width. Returns
/// `None` if there are none.
pub(super) fn without_python_numbers(line: &str) -> Option<String> {
    let mut standard: Option<Vec<u8>> = None;
    outside_strings(line.as_bytes(), |at| {
        let bytes = line.as_bytes();
        let rest = &bytes[at..];
        let (sign, word) = match rest {
            [b'-', b'I', ..] => (1, &b"Infinity"[..]),
            [b'I', ..] => (0, &b"Infinity"[..]),
            [b'N', ..] => (0, &b"NaN"[..]),
            _ => return,
        };
        let end = sign + word.len();
        let is_value = bytes[..at].trim_ascii_end().last().is_none_or(|byte| b":,[".contains(byte));
        let is_whole = rest.get(end).is_none_or(|byte| byte.is_ascii_whitespace() || b",]}".contains(byte));
        if rest[sign..].starts_with(word) && is_value && is_whole {
            let standard = standard.get_or_insert_with(|| bytes.to_vec());
            standard[at + sign..at + end].fill(b' ');
            standard[at + sign] = b'0';
        }
    });
    standard.and_then(|bytes| String::from_utf8(bytes).ok())
}

/// Returns `line` with every lone surrogate in its strings replaced by U+FFFD, and their number. Returns `None` if
/// there are none.
pub(super) fn without_lone_surrogates(line: &str) -> Option<(String, u64)> {
    let mut standard = line.as_bytes().to_vec();
    let mut count = 0;
    for at in lone_surrogates(line) {
        standard[at + 2..at + 6].copy_from_slice(b"fffd");
        count += 1;
    }
    (count > 0).then_some(())?;
    Some((String::from_utf8(standard).ok()?, count))
}

/// Returns the positions of the escapes of lone surrogates.
fn lone_surrogates(line: &str) -> impl Iterator<Item = usize> + '_ {
    let bytes = line.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while let Some(found) = memchr::memchr(b'\\', &bytes[at..]) {
            let escape = at + found;
            match unit(&bytes[escape..]) {
                Some(0xD800..=0xDBFF) => {
                    if matches!(unit(&bytes[escape + 6..]), Some(0xDC00..=0xDFFF)) {
                        at = escape + 12;
                    } else {
                        at = escape + 6;
                        return Some(escape);
                    }
                }
                Some(0xDC00..=0xDFFF) => {
                    at = escape + 6;
                    return Some(escape);
                }
                Some(_) => at = escape + 6,
                None => at = (escape + 2).min(bytes.len()),
            }
        }
        None
    })
}

/// Returns the UTF-16 unit of the escape at the beginning of `bytes`.
fn unit(bytes: &[u8]) -> Option<u32> {
    let digits = bytes.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |unit, &digit| Some(unit * 16 + char::from(digit).to_digit(16)?))
}

/// Calls `visit` with the position of every byte of `line` outside strings.
fn outside_strings(line: &[u8], mut visit: impl FnMut(usize)) {
    let mut at = 0;
    while at < line.len() {
        if line[at] != b'"' {
            visit(at);
            at += 1;
            continue;
        }
        at += 1;
        while at < line.len() && line[at] != b'"' {
            at += if line[at] == b'\\' { 2 } else { 1 };
        }
        at += 1;
    }
}

/// Converts lines in Python's repr to JSON Lines.
pub(super) const FROM_PYTHON: &str = "convert it to JSON Lines: python3 -c \"import ast, json, sys; \
    [print(json.dumps(ast.literal_eval(line))) for line in sys.stdin if line.strip()]\" < FILE > NEW";

/// Removes commas from line ends.
const WITHOUT_COMMAS: &str = "remove the commas: sed 's/,[[:space:]]*$//' FILE > NEW";

/// Escapes control characters in strings.
const WITH_ESCAPES: &str = "python3 -c \"import json, sys; \
    [print(json.dumps(json.loads(line, strict=False))) for line in sys.stdin.buffer if line.strip()]\" < FILE > NEW";

/// Makes an object from the first item of each line that is an array.
const ARRAYS: &str = "take its first item: jq -c 'if type == \"array\" then {text: .[0]} else . end' FILE > NEW";

/// Makes an object from each line that is a string.
const STRINGS: &str = "put it into an object: jq -c 'if type == \"string\" then {text: .} else . end' FILE > NEW";

const SKIP: &str = "or pass skip_bad=True to skip such lines";

/// Explains why `line` is not a JSON object, and what to do. `error` is the parser's error.
pub(super) fn explain(line: &str, error: &serde_json::Error) -> String {
    let standard = without_python_numbers(line);
    // Python's numbers are accepted. Any other fault is at the same byte without them, because the width does not
    // change.
    let (line, again) = match &standard {
        Some(line) => (line.as_str(), serde_json::from_str::<IgnoredAny>(line).err()),
        None => (line, None),
    };
    let error = again.as_ref().unwrap_or(error);
    let full = error.to_string();
    // The parser counts lines within the record, so the line is always 1.
    let message = full.rsplit_once(" at line ").map_or(full.as_str(), |(message, _)| message);
    let byte = error.column();
    let (what, remedy) =
        fault(line, message, byte).unwrap_or_else(|| (format!("{message} at byte {byte}"), "fix the line".into()));
    format!("not a JSON object: {what}; {remedy}, {SKIP}")
}

/// Explains the fault at `byte`, from 1. Returns `None` if it is not a known fault.
fn fault(line: &str, message: &str, byte: usize) -> Option<(String, String)> {
    if message.starts_with("invalid type") {
        let (what, remedy) = match line.as_bytes().trim_ascii_start() {
            [b'[', rest @ ..] if rest.trim_ascii_start().starts_with(b"\"") => ("an array", ARRAYS),
            [b'[', ..] => ("an array", "remove it"),
            [b'"', ..] => ("a string", STRINGS),
            [b'n', ..] => ("null", "remove it"),
            [b't' | b'f', ..] => ("true or false", "remove it"),
            _ => ("a number", "remove it"),
        };
        return Some((format!("the line is {what}"), remedy.into()));
    }
    if message.contains("surrogate") || message.contains("unexpected end of hex escape") {
        let at = lone_surrogates(line).next()?;
        let escape = &line[at..at + 6];
        let remedy = "pass on_bad_utf8='replace' to insert U+FFFD".into();
        return Some((format!("the lone surrogate {escape} at byte {} is half a character", at + 1), remedy));
    }
    if message.starts_with("control character") {
        let remedy = format!("write it as an escape such as \\t: {WITH_ESCAPES}");
        return Some((format!("a bare control character within a string at byte {byte}"), remedy));
    }
    if message.starts_with("invalid escape") {
        let remedy = "write \\\\ for a backslash".into();
        return Some((format!("an invalid escape at byte {byte}"), remedy));
    }
    if message.starts_with("EOF") {
        let remedy = "write each object on one line".into();
        return Some((
            format!(
                "the object does not end on its line, which has {} {}",
                line.len(),
                if line.len() == 1 { "byte" } else { "bytes" }
            ),
            remedy,
        ));
    }
    // The position where the parser stopped, or the next one that is not whitespace.
    let at = byte.saturating_sub(1);
    let rest = line.get(at..)?;
    let at = at + (rest.len() - rest.trim_start().len());
    if message.starts_with("trailing characters") {
        return Some(match line[at..].trim_end() {
            "," => (format!("a comma follows the object at byte {}", at + 1), WITHOUT_COMMAS.to_owned()),
            next if next.trim_start_matches([',', ' ']).starts_with('{') => (
                format!("another object begins on the same line at byte {}", at + 1),
                "write each object on one line".into(),
            ),
            _ => (format!("other text follows the object at byte {}", at + 1), "remove it".into()),
        });
    }
    unexpected(line, at)
}

/// Explains the unexpected character at byte `at`, from 0.
fn unexpected(line: &str, at: usize) -> Option<(String, String)> {
    // The parser may stop inside a word.
    let at = line.get(..at)?.trim_end_matches(|c: char| c.is_alphanumeric() || c == '_').len();
    let rest = &line[at..];
    let here = at + 1;
    let word: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').take(40).collect();
    let before = line[..at].trim_end();
    Some(match rest.chars().next()? {
        '\'' => (format!("single quotes, as Python's repr writes them, at byte {here}"), FROM_PYTHON.into()),
        'T' | 'F' | 'N' if matches!(word.as_str(), "True" | "False" | "None") => {
            (format!("{word}, as Python's repr writes it, at byte {here}"), FROM_PYTHON.into())
        }
        '}' | ']' if before.ends_with(',') => {
            (format!("a trailing comma at byte {}", before.len()), "remove the comma".into())
        }
        '/' | '#' => (format!("a comment at byte {here}"), "remove it: JSON has no comments".into()),
        '\u{201C}' | '\u{201D}' | '\u{201E}' | '\u{2018}' | '\u{2019}' => {
            (format!("a typographic quotation mark at byte {here}"), "write \" in its place".into())
        }
        _ if matches!(word.to_ascii_lowercase().as_str(), "nan" | "inf" | "infinity") => {
            (format!("{word}, which is not a JSON number, at byte {here}"), "write null or NaN in its place".into())
        }
        c if (c.is_alphabetic() || c == '_' || c == '$') && before.ends_with(['{', ',']) => {
            (format!("a name without quotation marks at byte {here}"), "write names in double quotes".into())
        }
        c if at == 0 => {
            (format!("the line begins with {c:?}, not with {{"), "pass format='text' if this is plain text".into())
        }
        _ => return None,
    })
}
