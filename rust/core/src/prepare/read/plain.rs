//! Reads plain text. A file is a document, or documents are separated by blank lines or by a separator line.

use memchr::memchr;

/// Whether `line` is only whitespace. Bytes that are not UTF-8 are not.
pub(super) fn is_blank(line: &[u8]) -> bool {
    match line.trim_ascii_start() {
        [] => true,
        [0..=0x7F, ..] => false,
        rest => std::str::from_utf8(rest).is_ok_and(|rest| rest.trim_start().is_empty()),
    }
}

/// Whether `line` is `text`, ignoring whitespace around it.
pub(super) fn equals_trimmed(line: &[u8], text: &str) -> bool {
    line.len() >= text.len() && std::str::from_utf8(line).is_ok_and(|line| line.trim() == text)
}

/// Calls `document` with each document of `text`: the lines between separators, unless all are blank.
pub(super) fn documents(text: &str, separates: impl Fn(&[u8]) -> bool, mut document: impl FnMut(&str)) {
    let bytes = text.as_bytes();
    let mut push = |begin: usize, end: usize| {
        let text = &text[begin..end];
        if !is_blank(text.as_bytes()) {
            document(text);
        }
    };
    let (mut begin, mut at) = (0, 0);
    while at < bytes.len() {
        let end = memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |newline| at + newline + 1);
        if separates(bytes[at..end].strip_suffix(b"\n").unwrap_or(&bytes[at..end])) {
            push(begin, at);
            begin = end;
        }
        at = end;
    }
    push(begin, bytes.len());
}
