mod archives;
mod tables;

use std::fs;
use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::files::compress::{bzip2, gzip, xz, zst};
use crate::files::inputs::{OnBadUtf8, expand_inputs};
use crate::prepare::read::options::{DocumentRule, ParagraphRule};
use crate::prepare::read::parse::parse;
use crate::prepare::read::raw::{BLOCK_BYTES, Document, ReadCounts};

/// The result of reading `files`.
#[derive(Debug, Default, PartialEq)]
struct Read {
    texts: Vec<String>,
    counts: ReadCounts,
    splits: u64,
    blocks: usize,
    formats: Vec<(&'static str, u64)>,
}

fn read(files: &[&[u8]], options: &ReadOptions) -> Result<Read, String> {
    let directory = tempfile::tempdir().unwrap();
    for (i, bytes) in files.iter().enumerate() {
        fs::write(directory.path().join(format!("{i:03}")), bytes).unwrap();
    }
    let files = expand_inputs(&[directory.path()]).unwrap();
    let mut reader = RawReader::new(files, Arc::new(options.clone())).unwrap();
    let result = read_all(&mut reader, options);
    if result.is_ok() {
        assert_eq!(reader.bytes_read(), reader.total_bytes());
    }
    result
        .map(|(read, _)| read)
        .map_err(|error| error.to_string().replace(&format!("{}/", directory.path().display()), ""))
}

fn read_all(reader: &mut RawReader, options: &ReadOptions) -> Result<(Read, Vec<Document>)> {
    let mut block = RawBlock::default();
    let mut found = Read::default();
    let mut documents = Vec::new();
    loop {
        match reader.next_block(&mut block) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                assert!(!reader.next_block(&mut block).unwrap(), "an error ends it");
                return Err(error);
            }
        }
        parse(&block, reader.path(block.file), options, &mut found.counts, &mut documents)?;
        found.blocks += 1;
    }
    assert!(!reader.next_block(&mut block).unwrap());
    found.texts = documents.iter().map(|it| it.text.clone()).collect();
    found.splits = reader.splits();
    found.formats = reader.formats().iter().map(|(&name, &n)| (name, n)).collect();
    Ok((found, documents))
}

fn texts(files: &[&[u8]], options: &ReadOptions) -> Vec<String> {
    read(files, options).unwrap().texts
}

fn options() -> ReadOptions {
    ReadOptions::default()
}

const DUMP: &str = "<?xml version=\"1.0\"?>\n<mediawiki xml:lang=\"de\">\n<siteinfo/>\n\
    <page><title>A</title><ns>0</ns><revision><text>one</text></revision></page>\n<page><title>B</title><redirect/></page>\n\
    <page><title>C</title><ns>1</ns><revision><text>x</text></revision></page>\n<page><title>D</title><ns>0</ns><revision><text>two</text></revision></page>\n</mediawiki>\n";

const WIKIEXTRACTOR: &str = "<doc id=\"1\" url=\"u?a=1&b=2\" title=\"A \"b\" & c\">\nA \"b\" & c\n\nx &lt;y&gt; &amp;amp; ?a=1&copy=2\nz\n\n\
    </doc>\n<doc id=\"2\" url=\"v\" title=\"D\">\nNo title.\n</doc>\n";

#[test]
fn each_form_in_each_compression() {
    for (bytes, format, expected) in [
        ("First.\n\nSecond.\n", "text", vec!["First.\n\nSecond.\n"]),
        ("\u{FEFF}One.\r\nTwo", "text", vec!["One.\r\nTwo"]),
        ("{\"text\": \"a\\nb\"}\n\n{\"id\": 1, \"text\": \"c\"}", "jsonl", vec!["a\nb", "c"]),
        (WIKIEXTRACTOR, "wikiextractor", vec!["\nx <y> &amp; ?a=1&copy=2\nz\n\n", "No title.\n"]),
        (DUMP, "mediawiki", vec!["one\n", "two\n"]),
    ] {
        for compress in [|b: &[u8]| b.to_vec(), gzip, bzip2, xz, zst] {
            let stored = compress(bytes.as_bytes());
            let read = read(&[b"", &stored, b"\xEF\xBB\xBF"], &options()).unwrap();
            assert_eq!(read.texts, expected);
            assert_eq!(read.formats, [(format, 1)]);
            assert!(with_stdin(&stored, &options()).unwrap().texts == expected, "{format}");
            // Truncated compressed data is never taken for a shorter file.
            if stored != bytes.as_bytes() {
                let error = self::read(&[&stored[..stored.len() - 3]], &options()).unwrap_err();
                assert!(error.contains("000") && error.contains("truncated"), "{error}");
            }
        }
    }
    let counts = read(&[DUMP.as_bytes()], &options()).unwrap().counts;
    assert_eq!((counts.redirects, counts.other_pages), (1, 1));
}

fn with_stdin(bytes: &[u8], options: &ReadOptions) -> Result<Read> {
    let files = expand_inputs(&["-"]).unwrap();
    let reader = RawReader::new(files, Arc::new(options.clone()))?;
    let mut reader = reader.with_stdin(Box::new(Cursor::new(bytes.to_vec())));
    assert_eq!(reader.total_bytes(), 0);
    read_all(&mut reader, options).map(|(read, _)| read)
}

#[test]
fn documents_of_plain_text() {
    let text = "a\nb\n\n \u{3000}\nc\r\n\r\n<end>\nd\n  <end>\t\n\n<end>\ne <end>";
    let lines = ReadOptions { documents: DocumentRule::BlankLine, ..options() };
    assert_eq!(texts(&[text.as_bytes()], &lines), ["a\nb\n", "c\r\n", "<end>\nd\n  <end>\t\n", "<end>\ne <end>"]);
    let separator = ReadOptions { document_separator: Some(" <end>".into()), ..lines };
    assert_eq!(texts(&[text.as_bytes()], &separator), ["a\nb\n\n \u{3000}\nc\r\n\r\n", "d\n", "e <end>"]);
    assert_eq!(texts(&[text.as_bytes(), b" \n\n"], &options()), [text]);
}

#[test]
fn paragraphs_are_lines_or_separated_by_blank_lines() {
    let documents = |bytes: &[u8], options: &ReadOptions| {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a"), bytes).unwrap();
        let files = expand_inputs(&[directory.path()]).unwrap();
        let mut reader = RawReader::new(files, Arc::new(options.clone())).unwrap();
        read_all(&mut reader, options).unwrap().1
    };
    let blank = ReadOptions { documents: DocumentRule::BlankLine, ..options() };
    let separator = ReadOptions { document_separator: Some("---".into()), ..options() };
    for (bytes, options, auto) in [
        ("a\n", &options(), false),
        ("a\n", &separator, false),
        ("a\n", &blank, true),
        ("{\"text\":\"a\"}\n", &blank, true),
        (WIKIEXTRACTOR, &options(), true),
        (DUMP, &options(), true),
    ] {
        for (paragraphs, expected) in
            [(ParagraphRule::Auto, auto), (ParagraphRule::Line, true), (ParagraphRule::BlankLine, false)]
        {
            let options = ReadOptions { paragraphs, ..options.clone() };
            assert_eq!(documents(bytes.as_bytes(), &options)[0].paragraph_a_line, expected, "{bytes} {paragraphs:?}");
        }
    }
    assert_eq!(documents(DUMP.as_bytes(), &options())[0].language.as_deref(), Some("de"));
}

#[test]
fn long_text_is_split_between_lines() {
    let line = format!("{}\n", "x".repeat(999));
    let count = 2 * MAX_DOCUMENT / line.len() + 10;
    let long = line.repeat(count);
    let lines = ReadOptions { documents: DocumentRule::BlankLine, ..options() };
    for (text, options) in [(long.clone(), options()), (format!("a\n\n{long}\nb\n"), lines)] {
        let read = read(&[text.as_bytes()], &options).unwrap();
        assert_eq!(read.splits, 2);
        assert_eq!(
            read.texts.iter().filter(|it| it.len() > 999).map(String::len).max(),
            Some(MAX_DOCUMENT / 1000 * 1000)
        );
        assert_eq!(read.texts.concat().len(), text.len() - 2 * usize::from(text.starts_with('a')));
    }
    let just = "x".repeat(MAX_DOCUMENT);
    assert_eq!(texts(&[just.as_bytes()], &options()), [just.as_str()]);
    let message = read(&[format!("a\n{just}x").as_bytes()], &options()).unwrap_err();
    assert!(message.starts_with("000, line 2: longer than 16777216 bytes"), "{message}");
}

#[test]
fn fields_of_json_lines() {
    let with = |field: &str, line: &str| {
        read(&[line.as_bytes()], &ReadOptions { text_field: field.into(), ..options() }).map(|it| it.texts.concat())
    };
    for (field, line) in [
        ("text", r#"{"a": [1, {"text": 2}], "text": "yes"}"#),
        ("a.b", r#"{"a": {"b": "yes"}}"#),
        ("a.b", r#"{"a": {"b": "no"}, "a.b": "yes"}"#),
        ("a.b", r#"{"a.b": "yes", "a": {"b": "no"}}"#),
        ("a.b.c", r#"{"a": 1, "a.b": {"c": "yes"}}"#),
        ("a.b.c", r#"{"a": {"b.c": "yes"}}"#),
        ("\u{e9}", r#"{"\u00e9": "y\u0065s"}"#),
    ] {
        assert_eq!(with(field, line).unwrap(), "yes", "{line}");
    }
    for (field, line, expected) in [
        ("text", r#"{"id": 1, "body": "x"}"#, r#"no field "text" (fields: "body", "id")"#),
        ("text", "{}", "(fields: none)"),
        ("a.b", r#"{"a": "x"}"#, r#"no field "a.b""#),
        ("text", r#"{"text": null}"#, "is null, not a string"),
        ("text", r#"{"text": ["x"]}"#, "is an array, not a string"),
        ("text", r#"{"text": {"x": 1}}"#, "is an object, not a string"),
        ("text", r#"{"text": -1.5}"#, "is a number, not a string"),
    ] {
        let message = with(field, &format!("{line}\n{line}")).unwrap_err();
        assert!(message.starts_with("000, line 1: ") && message.contains(expected), "{message}");
    }
}

#[test]
fn bad_records_are_errors_or_skipped() {
    let lines = [
        "{\"text\": \"a\"}",
        "{\"text\": \"b",
        "",
        "[1]",
        "{\"text\": \"\\uD800\"}",
        "{\"text\": null}",
        "{\"text\": \"c\"} x",
        "{\"text\": \"d\"}\r",
    ];
    let skip = ReadOptions { skip_bad: true, ..options() };
    let read_lines = |lines: &[&str], options: &ReadOptions| read(&[lines.join("\n").as_bytes()], options);
    let read = read_lines(&lines, &skip).unwrap();
    assert_eq!((read.texts, read.counts.bad_records), (vec!["a".into(), "d".into()], 5));
    for bad in [1, 3, 4, 5, 6] {
        let message = read_lines(&["", lines[0], "", lines[bad]], &options()).unwrap_err();
        assert!(message.starts_with("000, line 4: "), "{message}");
        // The last line of these is incomplete.
        let expected = if bad == 1 { "the file is truncated: " } else { "not a JSON object: " };
        assert!(bad == 5 || message.contains(expected), "{message}");
    }
    let first_bad = ReadOptions { format: Format::Jsonl, ..skip };
    assert_eq!(read_lines(&["oops", lines[0]], &first_bad).unwrap().texts, ["a"]);
}

#[test]
fn invalid_utf8_is_named_or_mended() {
    let json = [b"{\"text\": \"a\"}\n{\"text\": \"".as_slice(), b"b\xFF\xFE\"}\n"].concat();
    let dump = DUMP.replace("two", "two\u{1}").into_bytes();
    let dump: Vec<u8> = dump.iter().map(|&b| if b == 1 { 0xFF } else { b }).collect();
    let replace = ReadOptions { on_bad_utf8: OnBadUtf8::Replace, ..options() };
    for (bytes, place, text, count) in [
        (b"\xEF\xBB\xBFa\xC3\nb".as_slice(), "line 1, byte 5", "a\u{FFFD}\nb", 1),
        (b"a\nb\xC3\nb", "line 2, byte 2", "a\nb\u{FFFD}\nb", 1),
        (&json, "line 2, byte 12", "b\u{FFFD}\u{FFFD}", 2),
        (&dump, "line 7, byte 52", "two\u{FFFD}\n", 1),
    ] {
        let message = read(&[bytes], &options()).unwrap_err();
        assert!(message.starts_with(&format!("000, {place}: invalid UTF-8")), "{message}");
        let read = read(&[bytes], &replace).unwrap();
        assert_eq!((read.texts.last().map(String::as_str), read.counts.replaced), (Some(text), count));
    }
}

#[test]
fn data_that_is_not_text_is_named() {
    let mut tar = vec![b'x'; 600];
    tar[257..262].copy_from_slice(b"ustar");
    let pretty = format!("{{\n  \"text\": \"{}\"\n}}\n", "x".repeat(100_000));
    for (bytes, expected) in [
        (b"%PDF-1.7\n".as_slice(), "a PDF"),
        (b"PK\x03\x04", "a zip archive"),
        (b"\xFF\xFEa\0", "UTF-16"),
        (b"\x00\x01\x02", "binary"),
        (&tar, "a tar archive (tar -x)"),
        (&gzip(&tar), "a tar archive"),
        (&gzip(&gzip(b"text")), "compressed twice"),
        (&bzip2(b"\xFE\xFF\0a"), "UTF-16"),
        (b" <!doctype HTML><html>", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n", "git lfs pull"),
        (b"<feed>\n<doc>\n<title>a</title></doc>\n</feed>\n", "XML other than a MediaWiki dump; extract"),
        (b"[\n {\"text\": \"a\"},\n {\"text\": \"b\"}\n]\n", "jq -c '.[]'"),
        (b"[{\"text\": \"a\"}]", "a JSON array"),
        (b"{\n \"text\": \"a\"\n}\n", "jq -c ."),
        (pretty.as_bytes(), "jq -c ."),
        (&gzip(b"PAR1PAR1"), "pass the Parquet file itself"),
        (b"PAR1", "footer"),
    ] {
        let message = read(&[b"fine\n", bytes], &options()).unwrap_err();
        let expected = expected.replace(" (tar -x)", "");
        assert!(message.starts_with("001: ") && message.contains(&expected), "{message}");
    }
    for text in ["[1] A note.\n", "{{stub}}\n", "{", "[", "[{", "<docs>", "PAR", "<!-- x"] {
        assert_eq!(texts(&[text.as_bytes()], &options()), [text]);
    }
    let start = format!("{{\"text\": \"{}\"}}\n", "x".repeat(100_000));
    assert_eq!(read(&[start.as_bytes()], &options()).unwrap().formats, [("jsonl", 1)]);
}

#[test]
fn the_format_option_is_trusted() {
    let as_text = ReadOptions { format: Format::Text, ..options() };
    for text in ["<html>\n", "{\"text\": 1}\n", DUMP, WIKIEXTRACTOR, "[{}]", "a\0b"] {
        assert_eq!(texts(&[text.as_bytes()], &as_text), [text]);
    }
    for (format, bytes, looks) in [
        (Format::Jsonl, DUMP, "a MediaWiki dump"),
        (Format::Jsonl, "Plain.\n", "plain text"),
        (Format::Csv, DUMP, "a MediaWiki dump"),
        (Format::Arrow, "Plain.\n", "plain text"),
        (Format::Jsonl, "[{}]", "a JSON array"),
        (Format::Mediawiki, WIKIEXTRACTOR, "wikiextractor's output"),
        (Format::Wikiextractor, "{\"text\": \"\"}", "JSON Lines"),
        (Format::Parquet, "Plain.\n", "plain text"),
        (Format::Text, "GIF89a\0\0\0\0\0\0\0", "an image"),
    ] {
        let message = read(&[bytes.as_bytes()], &ReadOptions { format, ..options() }).unwrap_err();
        assert!(message.contains(&format!("must describe the data, but this is {looks}")), "{message}");
    }
}

#[test]
fn options_outside_their_rules_are_refused() {
    for bad in [
        ReadOptions { text_field: String::new(), ..options() },
        ReadOptions { document_separator: Some(" ".into()), ..options() },
        ReadOptions { document_separator: Some("a\nb".into()), ..options() },
    ] {
        assert!(matches!(RawReader::new(Vec::new(), Arc::new(bad)), Err(Error::Rule { .. })));
    }
}

#[test]
fn truncated_files_are_named() {
    for (text, place) in [
        (DUMP, "the dump is truncated here: no </mediawiki>, within the page \"D\""),
        (WIKIEXTRACTOR, "000, line 8: the file is truncated"),
    ] {
        let end = text.rfind("</text>").or(text.rfind("</doc>")).unwrap();
        let message = read(&[&text.as_bytes()[..end]], &options()).unwrap_err();
        assert!(message.contains(place), "{message}");
    }
    let whole_pages = &DUMP[..DUMP.rfind("</mediawiki>").unwrap()];
    let message = read(&[whole_pages.as_bytes()], &options()).unwrap_err();
    assert!(message.starts_with(&format!("000, byte {}: ", whole_pages.len())), "{message}");
    let message = read(&[&DUMP.as_bytes()[..50]], &options()).unwrap_err();
    assert!(message.contains("truncated"), "{message}");
    // The advice in the messages works.
    let skip = ReadOptions { skip_bad: true, ..options() };
    let last = DUMP.rfind("<page>").unwrap();
    for end in [last + 7, last + 20, DUMP.rfind("</text>").unwrap(), DUMP.rfind("</page>").unwrap() + 3] {
        let message = read(&[&DUMP.as_bytes()[..end]], &options()).unwrap_err();
        assert!(message.ends_with("pass skip_bad=True to skip the truncated page"), "{message}");
        let read = read(&[&DUMP.as_bytes()[..end]], &skip).unwrap();
        assert_eq!((read.texts, read.counts.bad_records), (vec!["one\n".to_owned()], 1));
    }
    let message = read(&[whole_pages.as_bytes()], &options()).unwrap_err();
    assert!(message.contains("add </mediawiki> at its end"), "{message}");
    assert_eq!(texts(&[format!("{whole_pages}</mediawiki>\n").as_bytes()], &options()).len(), 2);
    let stray = "<doc id=\"1\" title=\"\">\na\n<doc id=\"2\" title=\"\">\nb\n</doc>\nc\n</doc>\n";
    assert!(read(&[stray.as_bytes()], &options()).unwrap_err().starts_with("000, line 1: no </doc> before"));
    let read = read(&[stray.as_bytes()], &ReadOptions { skip_bad: true, ..options() }).unwrap();
    assert_eq!((read.texts, read.counts.bad_records), (vec!["b\n".to_owned()], 3));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Sizes around a block's size, so that documents extend across the end of a block, and streams across documents.
    #[test]
    fn blocks_neither_lose_nor_invent_documents(
        sizes in prop::collection::vec(prop_oneof![1_usize..100, 1000_usize..90_000, 500_000_usize..600_000], 1..30),
        form in 0..7,
        splits in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
    ) {
        let expected: Vec<String> = sizes.iter().enumerate().map(|(i, &n)| format!("{i} x {}", "ab ".repeat(n / 3))).collect();
        let mut text = String::new();
        for (i, it) in expected.iter().enumerate() {
            let record = match form {
                0 => format!("{}\n{}\n", it, "\n".repeat(i % 3)),
                1 => format!("{it}\n---\n"),
                2 => format!("{{\"text\": \"{it}\"}}\n"),
                3 => format!("<doc id=\"{i}\" url=\"\" title=\"T\">\nT\n\n{it}\n</doc>\n"),
                4 => format!("{i},\"{it}\"\n"),
                5 => archives::warc("conversion", None, it),
                _ => format!("<page>\n<title>{i}</title><ns>0</ns><revision><text>{it}</text></revision>\n</page>\n"),
            };
            text.push_str(&record);
        }
        if form == 4 {
            text.insert_str(0, "id,text\n");
        }
        if form == 6 {
            text = format!("<mediawiki>\n{text}</mediawiki>");
        }
        let options = match form {
            0 => ReadOptions { documents: DocumentRule::BlankLine, ..options() },
            1 => ReadOptions { document_separator: Some("---".into()), ..options() },
            _ => options(),
        };
        let mut splits: Vec<usize> = splits.iter().map(|cut| cut.index(text.len())).collect();
        splits.extend([0, text.len()]);
        splits.sort_unstable();
        let streams: Vec<u8> = splits.windows(2).flat_map(|it| bzip2(&text.as_bytes()[it[0]..it[1]])).collect();
        let plain = read(&[text.as_bytes()], &options).unwrap();
        prop_assert!(plain.texts.iter().map(|it| it.trim()).eq(expected.iter().map(|it| it.trim())));
        prop_assert!(plain.blocks >= text.len() / (1200 << 10));
        prop_assert_eq!(read(&[&streams], &options).unwrap(), plain);
    }
}

#[test]
fn data_that_resembles_a_format_is_named_or_read() {
    // A broken first line is a broken record.
    for first in ["{\"text\": \"A\" \"b\"}", "{\"text\": \"cut"] {
        let text = format!("{first}\n{{\"text\": \"b\"}}\n");
        let message = read(&[text.as_bytes()], &options()).unwrap_err();
        assert!(message.starts_with("000, line 1: not a JSON object"), "{message}");
        let skipping = ReadOptions { skip_bad: true, ..options() };
        assert_eq!(read(&[text.as_bytes()], &skipping).unwrap().texts, ["b"]);
    }
    let feed = "<?xml version=\"1.0\"?>\n<feed><doc><title>A</title></doc></feed>";
    assert!(read(&[feed.as_bytes()], &options()).unwrap_err().contains("other than a MediaWiki dump"));
    let typed = DUMP.replace("<mediawiki", "<!DOCTYPE mediawiki>\n<mediawiki");
    assert_eq!(read(&[typed.as_bytes()], &options()).unwrap().texts, ["one\n", "two\n"]);
    for other in [
        DUMP.replace("<page><title>C", "<pages><title>C"),
        DUMP.replace("<page><title>C", "stray <page><title>C"),
        format!("{DUMP}{DUMP}"),
        DUMP.replace("</mediawiki>", "stray</mediawiki>"),
    ] {
        let message = read(&[other.as_bytes()], &options()).unwrap_err();
        assert!(message.contains("only pages and comments may be here"), "{message}");
    }
    assert_eq!(read(&[WIKIEXTRACTOR.trim_end().as_bytes()], &options()).unwrap().texts.len(), 2);
}

/// One stream of a multistream dump, and what else may be between pages.
#[test]
fn parts_of_dumps_and_comments() {
    let pages = &DUMP[DUMP.find("<page>").unwrap()..DUMP.rfind("</mediawiki>").unwrap()];
    let comment = "<!-- <page><title>x</title></page> -->\n<?note </page>?>\n";
    for text in [
        pages.to_owned(),
        format!("  {pages}</mediawiki>\n"),
        format!("{comment}{pages}{comment}"),
        pages.replace("<page><title>B", &format!("{comment}<page><title>B")),
        DUMP.replace("<page><title>B", &format!("{comment}<page><title>B")),
        DUMP.replace("<mediawiki", &format!("{comment}<mediawiki")),
        DUMP.replace("<siteinfo/>", &format!("{comment}<siteinfo/>{comment}")),
        DUMP.replace("</mediawiki>", &format!("{comment}</mediawiki>{comment}")),
    ] {
        let read = read(&[text.as_bytes()], &options()).unwrap();
        assert_eq!(read.texts, ["one\n", "two\n"], "{text}");
        assert_eq!(read.formats, [("mediawiki", 1)]);
    }
    assert_eq!(texts(&[b"</mediawiki>\n"], &options()), [""; 0]);
    for (text, place) in [
        (&pages[..pages.len() - 9], "truncated here: no </mediawiki>, within the page \"D\""),
        (&format!("{pages}stray</mediawiki>"), "only pages"),
        (&format!("{pages}</mediawiki>{DUMP}"), "only pages"),
        (&DUMP.replace("<page><title>B", "<!-- <page><title>B"), "the comment that begins here is not closed"),
    ] {
        let message = read(&[text.as_bytes()], &options()).unwrap_err();
        assert!(message.contains(place), "{message}");
    }
    // A comment with pages in it that extends across the end of a block.
    let many = pages.repeat(20_000);
    let text = format!("{pages}<!-- {many} -->{pages}");
    assert_eq!(texts(&[text.as_bytes()], &options()).len(), 4);
}

#[test]
fn pages_may_have_attributes() {
    let pages = &DUMP[DUMP.find("<page>").unwrap()..];
    for page in ["<page >", "<page id=\"1\">", "<page\n  id='1'\n>"] {
        for text in [DUMP.replace("<page>", page), DUMP.replacen("<page>", page, 1), pages.replace("<page>", page)] {
            let read = read(&[text.as_bytes()], &options()).unwrap();
            assert_eq!(
                (read.texts, read.formats),
                (vec!["one\n".into(), "two\n".into()], vec![("mediawiki", 1)]),
                "{text}"
            );
        }
    }
}

#[test]
fn headers_of_wikiextractor() {
    for (header, title) in [
        (r#"<doc id="1" url="u" title="Grey cats" language="en" revision="77">"#, "Grey cats"),
        (r#"<doc title="Grey cats" id="1" url="u?title=x">"#, "Grey cats"),
        ("<doc id='1' title='Grey cats' url='u'>", "Grey cats"),
        (r#"<doc id="1" title="A &quot;b&quot; &amp; c" url="u">"#, "A \"b\" &amp; c"),
        (r#"<doc id="1" title="A "b" & c" url="u">"#, "A \"b\" &amp; c"),
        (r#"<doc id="1" url="u" title="A "b"">"#, "A \"b\""),
        (r#"<doc id="1" url="u" title="a -> b">"#, "a -&gt; b"),
        ("<doc id=\"1\" url=\"u\" title=\"T\">\r", "T"),
    ] {
        let text = format!("{header}\n{title}\n\nText.\n\n</doc>\n");
        assert_eq!(texts(&[text.as_bytes()], &options()), ["\nText.\n\n"], "{header}");
        let text = format!("{header}\nText. {title}\n</doc>\n");
        assert_eq!(texts(&[text.as_bytes()], &options()).concat().lines().count(), 1, "{header}");
    }
    let lines = "<doc id=\"1\" title=\"Cats\">Grey cats sleep. a &gt; b</doc>\n<doc id=\"2\" title=\"a > b\">One.\nTwo.</doc>\n\
        <doc id=\"3\" title=\"x\">\nThree.</doc> <doc id=\"4\" title=\"y\">Four.</doc>\n\
        <doc id=\"5\" title=\"z\">\nAn </doc> in the text.\n</doc>";
    assert_eq!(
        texts(&[lines.as_bytes()], &options()),
        ["Grey cats sleep. a > b", "One.\nTwo.", "Three.", "Four.", "An </doc> in the text.\n"]
    );
}

#[test]
fn tables() {
    let csv = "id,text\r\n1,\"One, \"\"two\"\".\r\nThree.\"\r\n\r\n2,Four.\r\n3,\"\"\r\n";
    let read_as = |bytes: &str, change: &dyn Fn(&mut ReadOptions)| {
        let mut options = options();
        change(&mut options);
        read(&[bytes.as_bytes()], &options)
    };
    let expected = ["One, \"two\".\r\nThree.", "Four.", ""];
    let read = read_as(csv, &|_| {}).unwrap();
    assert_eq!((read.texts.as_slice(), read.formats), (&expected.map(ToOwned::to_owned)[..], vec![("csv", 1)]));
    for (delimiter, format) in [(";", Format::Csv), ("\t", Format::Tsv), ("|", Format::Csv)] {
        let other = csv
            .replace("id,", &format!("id{delimiter}"))
            .replace("1,\"", &format!("1{delimiter}\""))
            .replace("2,", &format!("2{delimiter}"))
            .replace("3,", &format!("3{delimiter}"));
        assert_eq!(read_as(&other, &|_| {}).unwrap().texts, expected, "{delimiter}");
        assert_eq!(read_as(&other, &|it| it.format = format).unwrap().texts, expected, "{delimiter}");
        assert_eq!(
            read_as(&format!("sep={delimiter}\n{other}"), &|it| it.format = Format::Csv).unwrap().texts,
            expected
        );
    }
    // Without a header, the column is given by number.
    let by_number = |it: &mut ReadOptions| (it.format, it.text_field) = (Format::Csv, "2".into());
    assert_eq!(read_as("1,One.\n2,Two.\n", &by_number).unwrap().texts, ["One.", "Two."]);
    // The last row needs no newline.
    assert_eq!(read_as("id,text\n1,One.\n2,\"Two.\"", &|_| {}).unwrap().texts, ["One.", "Two."]);
    for (text, message) in [
        ("id,body\n1,a\n2,b\n", "no column \"text\" (columns: \"id\", \"body\")"),
        ("id,text\n1,a\n\n2,b,c\n3,d\n", "000, line 4: the row must have 2 fields, as the first row has, got 3"),
        (
            "id,text\n1,a\n2,\"b\n3,c\n",
            "000, line 3: the quote that opens a field here must be closed, got none before",
        ),
    ] {
        let error = read_as(text, &|_| {}).unwrap_err();
        assert!(error.contains(message), "{error}");
    }
    for (text, left) in [("id,text\n1,a\n2,b,c\n3,d\n", ["a", "d"]), ("id,text\n1,a\n2,\"b\n3,d\n", ["a", "d"])] {
        let read = read_as(text, &|it| it.skip_bad = true).unwrap();
        assert_eq!((read.texts.as_slice(), read.counts.bad_records), (&left.map(ToOwned::to_owned)[..], 1));
    }
    // An open quote does not extend over the rest of a long file.
    let long = format!("id,text\n1,a\n2,\"b\n{}", "3,c\n".repeat(5 << 20));
    let error = read_as(&long, &|_| {}).unwrap_err();
    assert!(error.contains("line 3: ") && error.contains("got none within 16777216 bytes"), "{error}");
    let read = read_as(&long, &|it| it.skip_bad = true).unwrap();
    assert_eq!((read.texts.len(), read.counts.bad_records), (1 + (5 << 20), 1));
}

#[test]
fn padding_and_junk_after_a_dump() {
    let texts =
        |text: &str, skip_bad| read(&[text.as_bytes()], &ReadOptions { skip_bad, ..options() }).map(|it| it.texts);
    let pages = &DUMP[DUMP.find("<page>").unwrap()..DUMP.rfind("</mediawiki>").unwrap()];
    for text in [format!("{DUMP}{}", "\0".repeat(4096)), format!("{pages}\0\0 \n"), pages.to_owned()] {
        assert_eq!(texts(&text, false).unwrap(), ["one\n", "two\n"]);
    }
    for text in [format!("{DUMP}junk"), format!("{pages}junk"), format!("{DUMP}\0junk\0")] {
        assert!(texts(&text, false).unwrap_err().contains("pass skip_bad=True to skip this text"), "{text:?}");
        assert_eq!(texts(&text, true).unwrap(), ["one\n", "two\n"]);
    }
    let header = &DUMP[..DUMP.find("<page>").unwrap()];
    let stream =
        if header.contains("</siteinfo>") { header.to_owned() } else { format!("{header}<siteinfo></siteinfo>\n") };
    assert_eq!(texts(&stream, false).unwrap(), [""; 0]);
    // The beginning is missing.
    let cut = format!("end.</text>\n</revision>\n</page>\n{}", pages.replace("<title>", "\n<title>"));
    assert!(texts(&cut, false).unwrap_err().contains("the dump's beginning is missing"));
    assert_eq!(texts(&cut, true).unwrap(), ["one\n", "two\n"]);
}

/// A disk may pad a file.
#[test]
fn zeros_at_the_end_are_ignored() {
    let wet = archives::warc("conversion", None, "One.") + &archives::warc("conversion", None, "Two.");
    for (text, format) in [
        ("{\"text\": \"One.\"}\n{\"text\": \"Two.\"}\n", "jsonl"),
        ("id,text\n1,One.\n2,Two.\n", "csv"),
        ("id\ttext\tnote\n1\tOne.\tx\n2\t\"Two.\"\t\n", "tsv"),
        ("id\ttext\n1\tOne.\n2\t\"Two.\"\n", "tsv"),
        ("<doc id=\"1\" title=\"\">\nOne.\n</doc>\n<doc id=\"2\" title=\"\">\nTwo.\n</doc>\n", "wikiextractor"),
        (&DUMP.replace("one", "One.").replace("two", "Two."), "mediawiki"),
        (&wet, "wet"),
    ] {
        for text in [text, text.trim_end_matches(['\r', '\n'])] {
            let mixed = if format == "wet" { "" } else { "\0\0 \n\0" };
            for padding in ["", "\0", &"\0".repeat(300), &"\0".repeat(3 * BLOCK_BYTES), mixed] {
                let skipping = ReadOptions { skip_bad: true, ..options() };
                for options in [options(), skipping] {
                    let read = read(&[format!("{text}{padding}").as_bytes()], &options).unwrap();
                    let texts: Vec<_> = read.texts.iter().map(|it| it.trim()).collect();
                    assert_eq!((&*texts, read.counts.bad_records), (&["One.", "Two."][..], 0), "{format} {padding:?}");
                    assert_eq!(read.formats, [(format, 1)]);
                }
            }
        }
    }
    assert_eq!(texts(&[b"One.\n\0\0"], &options()), ["One.\n\0\0"], "text stays as it is");
    let counted = archives::warc("conversion", None, "One.\0 \0");
    assert_eq!(texts(&[counted.as_bytes()], &options()), ["One.\0 \0"], "a record's length counts its own");
}

#[test]
fn a_bad_line_is_bad_at_any_position() {
    let good: Vec<String> = (0..9).map(|i| format!("{{\"text\": \"{i}\"}}")).collect();
    for bad in ["xyz", "null", "{", "<html>", "{'text': 'x'}", "[\"a\"]"] {
        for at in [0, 5, 9] {
            let mut lines = good.clone();
            lines.insert(at, bad.into());
            let text = format!("{}{}\n", "\n".repeat(70_000), lines.join("\n"));
            let message = read(&[text.as_bytes()], &options()).unwrap_err();
            assert!(message.starts_with(&format!("000, line {}: not a JSON object", 70_001 + at)), "{message}");
            let skipping = ReadOptions { skip_bad: true, ..options() };
            assert_eq!(read(&[text.as_bytes()], &skipping).unwrap().texts.len(), 9, "{bad} {at}");
        }
    }
}

#[test]
fn remedies_for_records_of_other_shapes() {
    let said = |text: &str| read(&[text.as_bytes()], &options()).unwrap_err();
    assert!(said("{\"text\": [\"a\", \"b\"]}\n").contains("(.text|join("), "strings");
    let chat = said("{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}\n");
    assert!(chat.contains("[.messages[].content]|join("), "{chat}");
    let nested = said("{\"article\": {\"body\": \"a\", \"by\": {\"name\": \"b\"}}}\n");
    assert!(nested.contains("(fields: \"article.body\", \"article.by.name\")"), "{nested}");
    let cut = said("{\"text\": \"a\"}\n{\"text\": \"b");
    assert!(cut.contains("the file is truncated"), "{cut}");
    for text in [
        "{\"data\": [{\"text\": \"a\"}], \"version\": \"1.1\"}",
        "{\"version\": 1, \"few\": [{\"a\": 1}], \"data\": [{\"text\": \"a\"}, {\"text\": \"b\"}], \"text\": null}\n",
    ] {
        assert!(said(text).contains("jq -c '.data[]' FILE > NEW, or pass text_field=NAME"), "{}", said(text));
    }
    let record = said("{\"notes\": [{\"a\": 1}]}\n{\"notes\": [{\"a\": 2}]}\n");
    assert!(!record.contains("jq "), "{record}");
    // What only looks like JSON Lines may be text.
    let log = "{\"event\": \"start\"}\n{\"event\": \"end\"}\nThe service was restarted.\nAll went well after that.\n";
    let error = said(log);
    assert!(error.ends_with("; if this is plain text, pass format='text'"), "{error}");
    let error = said(&log.replace("\"event\"", "\"text\""));
    assert_eq!(error.matches("pass format='text'").count(), 1, "{error}");
    let named = ReadOptions { format: Format::Jsonl, ..options() };
    assert!(!read(&[log.as_bytes()], &named).unwrap_err().contains("format='text'"));
    assert!(said("{\n \"data\": [{\"text\": \"a\"}]\n}\n").contains("jq -c '.data[]'"), "array");
}

/// With many elements on one line, the line is not searched again for each.
#[test]
fn elements_on_one_line() {
    let one = "<doc id=\"i\" url=\"u\" title=\"Ti\">Text \u{FC}.</doc>".repeat(20_000);
    assert_eq!(read(&[one.as_bytes()], &options()).unwrap().texts.len(), 20_000);
    let quotes = format!("<doc id=\"1\" title=\"{}\">\nOne.\n</doc>\n", "\" ".repeat(20_000));
    assert_eq!(read(&[quotes.as_bytes()], &options()).unwrap().texts, ["One.\n"]);
    let two = "<doc id=\"1\">One.</doc><doc id=\"2\">\nTwo.\n</doc>\n";
    assert_eq!(read(&[two.as_bytes()], &options()).unwrap().texts, ["One.", "Two.\n"]);
}
