//! Whether an input is a corpus: text with one sentence per line, and not the data that `prepare-text` makes it of.

use std::io::{BufRead, Cursor, Read};

use serde::de::IgnoredAny;

use super::{InputFile, InputKind, Source};
use crate::{Error, Result};

/// Bytes that tell enough; fewer only at the end of the input.
const ENOUGH: usize = 16 << 10;
/// Bytes that are looked at.
const HEAD: usize = 64 << 10;
/// First lines that are looked at: a line of a text may well be JSON.
const LINES: usize = 16;

const NOT_A_CORPUS: &str = "not text with one sentence per line";
const PREPARE: &str = "run albert-fast prepare-text on it and pass its output";
const EXTRACT: &str = "extract its text first (trafilatura), then run albert-fast prepare-text";

/// Refuses an input that is open at its beginning and holds JSON Lines, markup or Parquet.
///
/// # Errors
/// [`Error::Data`] saying what it is and what to do; what reading gives.
pub(super) fn check(source: &mut Source, file: &InputFile) -> Result<()> {
    let is_plain = file.kind == InputKind::File && !source.is_compressed();
    let head = match source.reader.fill_buf() {
        Ok(head) => head,
        Err(error) => return Err(source.error(file, error)),
    };
    let whole = head.is_empty() || is_plain && head.len() as u64 >= file.bytes;
    let reason = if whole || head.len() >= ENOUGH {
        why_not(head, whole)
    } else {
        // A pipe, or a decompressor that hands out little at a time.
        let mut head = Vec::new();
        let read = (&mut source.reader).take(HEAD as u64).read_to_end(&mut head);
        read.map_err(|error| source.error(file, error))?;
        let reason = why_not(&head, head.len() < HEAD);
        let rest = std::mem::replace(&mut source.reader, Box::new(std::io::empty()));
        source.reader = Box::new(Cursor::new(head).chain(rest));
        reason
    };
    reason.map_or(Ok(()), |reason| Err(Error::data(&file.path, reason)))
}

/// Why an input that begins with `head` is no corpus, and what to do; none if it is.
fn why_not(head: &[u8], whole: bool) -> Option<String> {
    let head = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head);
    if head.starts_with(b"PAR1") {
        return Some(format!("this is Parquet, {NOT_A_CORPUS}; {PREPARE}"));
    }
    let (what, advice) = markup(head.trim_ascii_start()).or_else(|| {
        let is_json = is_json_lines(head, whole);
        is_json.then_some(("JSON Lines", PREPARE))
    })?;
    Some(format!("this is {what}, {NOT_A_CORPUS}; {advice}, or pass --input-format text to read it as text as it is"))
}

/// What a text begins with that is surely markup, and what to do.
fn markup(text: &[u8]) -> Option<(&'static str, &'static str)> {
    let begins = |start: &str| text.get(..start.len()).is_some_and(|it| it.eq_ignore_ascii_case(start.as_bytes()));
    let first = &text[..text.len().min(4096)];
    let is_dump = memchr::memmem::find(first, b"<mediawiki").is_some();
    if begins("<mediawiki") || begins("<?xml") && is_dump {
        return Some(("a MediaWiki dump", PREPARE));
    }
    if begins("<doc id=") {
        return Some(("wikiextractor's output", PREPARE));
    }
    if begins("<!doctype html") || begins("<html") {
        return Some(("HTML", EXTRACT));
    }
    (begins("<?xml") || begins("<!doctype ")).then_some(("XML", EXTRACT))
}

/// Whether at least half of the first lines, and the first, are JSON objects.
fn is_json_lines(head: &[u8], whole: bool) -> bool {
    let mut lines: Vec<&[u8]> = head.split(|&byte| byte == b'\n').collect();
    let is_object = |line: &[u8]| match serde_json::from_slice::<IgnoredAny>(line) {
        Ok(_) => line.starts_with(b"{"),
        Err(_) => false,
    };
    if lines.len() == 1 && !whole {
        // One line that continues after the head.
        let line = head.trim_ascii_start();
        let error = serde_json::from_slice::<IgnoredAny>(line).err();
        return line.starts_with(b"{") && error.is_some_and(|error| error.is_eof());
    }
    if !whole {
        lines.pop();
    }
    let lines: Vec<_> = lines.into_iter().map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()).take(LINES).collect();
    let objects = lines.iter().filter(|line| is_object(line)).count();
    lines.first().is_some_and(|line| is_object(line)) && 2 * objects >= lines.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_corpus() {
        for (text, what) in [
            ("{\"text\": \"Ein Satz.\"}\n{\"text\": \"Noch einer.\"}\n", "JSON Lines"),
            ("\u{FEFF}{\"text\": \"Ein Satz.\"}\n", "JSON Lines"),
            ("<mediawiki xmlns=\"x\">\n<page>\n", "MediaWiki"),
            ("<!DOCTYPE html>\n<html><body>x</body></html>\n", "HTML"),
            ("<?xml version=\"1.0\"?>\n<TEI>\n<p>Ein Satz.</p>\n</TEI>\n", "XML"),
            ("<doc id=\"1\" url=\"u\" title=\"t\">\nEin Satz.\n</doc>\n", "wikiextractor"),
        ] {
            let reason = why_not(text.as_bytes(), true).unwrap_or_else(|| panic!("{text}"));
            assert!(reason.contains(what), "{reason}");
            assert!(reason.contains("--input-format text"), "{reason}");
        }
        let reason = why_not(b"PAR1\x15\x04\x15\x10", false).unwrap();
        assert!(reason.contains("Parquet") && !reason.contains("--input-format"), "{reason}");
    }

    #[test]
    fn what_is_a_corpus() {
        for text in [
            "",
            "Ein Satz.\nNoch einer.\n",
            "{x} ist eine Menge.\nNoch ein Satz.\n",
            "{\"a\": 1}\nist ein Objekt.\nDer Rest ist Text.\n",
            "<b>Fett</b> ist das.\nDer Rest ist Text.\nUnd noch ein Satz.\n",
            "<3\nDer Rest ist Text.\n",
            "[1] Ein Beleg.\n[2] Noch einer.\n",
            "Guten Tag, Herr Müller.\nEr kam, sah und siegte.\n",
        ] {
            assert_eq!(why_not(text.as_bytes(), true), None, "{text}");
        }
    }
}
