use super::*;

fn record(length: usize, body: &str) -> Vec<u8> {
    format!("WARC/1.0\r\nWARC-Type: conversion\r\nContent-Length: {length}\r\n\r\n{body}\r\n\r\n").into_bytes()
}

#[test]
fn a_record_is_whole_if_another_or_the_end_follows() {
    let (one, two) = (record(3, "One"), record(3, "Two"));
    let whole = Next::Whole { body: one.len() - 7, end: one.len() - 4, next: one.len() };
    assert_eq!(next(&one, true, 0), whole);
    assert_eq!(next(&one, false, 0), Next::Incomplete, "what follows is not known");
    let both = [&one[..], &two].concat();
    for end in one.len()..=both.len() {
        let expected = if end < one.len() + 5 {
            Next::Incomplete
        } else {
            Next::Whole { body: one.len() - 7, end: one.len() - 4, next: one.len() }
        };
        assert_eq!(next(&both[..end], false, 0), expected, "{end}");
        assert_eq!(next(&both[..end], true, 0), whole, "{end}");
    }
    // Its length may include the following line ends, but must include the whole text.
    for (length, is_whole) in [(0, false), (2, false), (3, true), (5, true), (7, true), (8, false), (9000, false)] {
        let data = [&record(length, "One")[..], &two].concat();
        let first = data.len() - two.len();
        match next(&data, true, 0) {
            Next::Whole { next, .. } => assert!(is_whole && next == first, "{length}"),
            Next::Broken(next, _) => assert!(!is_whole && next == Some(first), "{length}: {next:?}"),
            Next::Incomplete => panic!("{length}"),
        }
    }
    assert_eq!(next(&record(9000, "One"), true, 0), Next::Incomplete);
    assert!(fault(&record(9000, "One")).starts_with("the file is truncated"));
    assert!(fault(&record(1, "One")).contains("must lead to the next record, got 1; "));
    assert!(fault(&[&record(9000, "One")[..], &two].concat()).contains("must lead to the next record, got 9000; "));
}

#[test]
fn headers_end_early() {
    // A record begins on each line. None is searched more than once.
    let many = b"WARC/1.0\r\n".repeat(80_000);
    assert_eq!(next(&many, false, 0), Next::Broken(Some(10), Fault::Header));
    assert_eq!(last_end(&many, true), Some(many.len() - 10));
    let long = [b"WARC/1.0\r\n", "x: y\r\n".repeat(20_000).as_bytes(), b"\r\n\r\nWARC/1.0\r\n"].concat();
    assert_eq!(next(&long, true, 0), Next::Broken(Some(long.len() - 10), Fault::Header));
    assert_eq!(next(b"WARC/1.0\r\nx: y\r\n", false, 0), Next::Incomplete);
    let junk = "no record\n".repeat(9000) + "WARC/1.0\r\n";
    let mut from = 0;
    assert_eq!(first_end(&junk.as_bytes()[..50_000], &mut from), None);
    assert!(from > 49_000);
    assert_eq!(first_end(junk.as_bytes(), &mut from), Some(90_000));
}

#[test]
fn records_of_other_types() {
    assert_eq!(others(&[0; 6]), None);
    let said = others(&[5, 1, 0, 0, 0, 0]).unwrap();
    assert_eq!(said, "6 WARC records of other types (metadata 5, request 1); use the WET files");
    assert!(others(&[0, 0, 0, 0, 0, 1]).unwrap().starts_with("1 WARC record of other types (other 1)"));
}
