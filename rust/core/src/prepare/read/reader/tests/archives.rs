//! Tests reading records of web archives.

use super::*;
use crate::prepare::summary::Counts;

pub(super) fn warc(kind: &str, length: Option<usize>, body: &str) -> String {
    let length = length.unwrap_or(body.len());
    format!(
        "WARC/1.0\r\nWARC-Type: {kind}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{body}\r\n\r\n"
    )
}

#[test]
fn web_archives() {
    let info = warc("warcinfo", None, "Software-Info: x\r\n");
    let text = |body: &str| warc("conversion", None, body);
    let whole = format!("{info}{}{}{}", text("One\nWARC/1.0 is here.\n"), warc("metadata", None, "x"), text("Zwölf."));
    for bytes in [whole.clone().into_bytes(), gzip(whole.as_bytes())] {
        let read = read(&[&bytes], &options()).unwrap();
        assert_eq!(read.texts, ["One\nWARC/1.0 is here.\n", "Zwölf."]);
        assert_eq!(read.formats, [("wet", 1)]);
    }
    for (kind, is_text) in [("Text/Plain", true), ("TEXT/PLAIN; charset=utf-8", true), ("text/html", false)] {
        let read = read(&[whole.replace("text/plain", kind).as_bytes()], &options()).unwrap();
        assert_eq!(read.texts.len(), if is_text { 2 } else { 0 }, "{kind}");
        let others: u64 = read.counts.other_records.iter().sum();
        assert_eq!(others, if is_text { 1 } else { 3 }, "{kind}");
        let counts = Counts { other_records: read.counts.other_records, ..Counts::default() };
        assert_eq!(serde_json::to_value(counts).unwrap()["other_records"], others);
    }
    let skip = ReadOptions { skip_bad: true, ..options() };
    for (bad, message) in [
        (warc("response", None, "HTTP/1.1 200 OK\r\n\r\n<html>"), "a server's response, not text"),
        (
            warc("conversion", Some(3), "too long for that"),
            "must lead to the next record, got 3; fetch the file again, or pass skip_bad=True",
        ),
        (warc("conversion", Some(90), "too short for that"), "must lead to the next record, got 90"),
        (warc("conversion", Some(1 << 40), "too short for that"), "must lead to the next record, got 1099511627776"),
        (text("x").replace("Content-Length", "Length"), "must have a Content-Length, got none"),
        ("WARC/1.0\r\nWARC-Type: conversion\r\n".into(), "must end in a blank line within 65536 bytes"),
    ] {
        let with = format!("{}{bad}{}", text("a"), text("b"));
        let error = read(&[with.as_bytes()], &options()).unwrap_err();
        assert!(error.starts_with("000, byte ") && error.contains(message), "{error}");
        let left = read(&[with.as_bytes()], &skip).unwrap();
        assert_eq!(left.counts.bad_records, 1, "{bad}");
        assert_eq!(left.texts, ["a", "b"], "{bad}");
    }
    let cut = format!("{}{}", text("a"), &text("b is cut").split_at(text("b is cut").len() - 6).0);
    assert!(read(&[cut.as_bytes()], &options()).unwrap_err().contains("truncated"));
    let left = read(&[cut.as_bytes()], &skip).unwrap();
    assert_eq!((left.texts, left.counts.bad_records), (vec!["a".to_owned()], 1));
}
