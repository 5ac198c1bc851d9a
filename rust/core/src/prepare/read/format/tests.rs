use super::*;

fn what(bytes: &[u8]) -> &'static str {
    recognize(bytes, true).what()
}

#[test]
fn prose_is_text() {
    let lines =
        "One, two, three and four.\nFive, six, seven.\nHe said, \"No.\"\nEight, nine.\nTen, eleven, twelve.\nEnd.\n";
    let pairs = "Hello, world\nGood, evil\nUp, down\nIn, out\nLeft, right\nBlack, white\nYes, no\n";
    for text in [
        "",
        "\n",
        "A",
        "[1] A note.\n",
        "{{stub}}\n",
        "{",
        "[",
        "[{",
        "<docs>",
        "PAR",
        "PAR1 is a gene.\n",
        "<!-- x",
        "<John> Hi!\n",
        "<alice> hi\n<bob> hello\n",
        "<3 you\n",
        "< 5 mm\n",
        "BM stands for it.\n",
        "MZ\n",
        "ORC is a humanoid.\n",
        "ID3 tags.\n",
        "GIF89a is a format.\n",
        lines,
        pairs,
        "a\0b",
        "1,2\n3,4\n5,6\n7,8\n9,10\n11,12\n",
        "text\nid\n",
        "a\tb\nc d\n",
        "<!-- a comment -->\n# A title\n",
        "WARCraft\n",
        "version 1\n",
        "Text, title\nOne.\n",
        "From here, on\n",
    ] {
        assert_eq!(recognize(text.as_bytes(), true), Kind::Text, "{text:?}");
    }
    // Single bad bytes and other encodings do not change the format.
    let mut text = "A sentence in a line.\n".repeat(5000).into_bytes();
    for at in [0, 1, 70, 4000, 60_000] {
        text[at] = 0;
    }
    assert_eq!(recognize(&text, false), Kind::Text);
    assert_eq!(recognize(&[text.as_slice(), &[0; 4096], &text].concat(), false), Kind::Text);
    let koi8: Vec<u8> = (0..4000).map(|i| if i % 7 == 0 { b' ' } else { 0xC0 + (i % 61) as u8 }).collect();
    assert_eq!(recognize(&koi8, true), Kind::Text);
}

#[test]
fn a_nul_byte_changes_no_verdict() {
    for (text, kind) in [
        ("{\"text\": \"One ~ is here.\"}\n{\"text\": \"Two.\"}\n", Kind::Jsonl),
        ("~{\"text\": \"One is here.\"}\n{\"text\": \"Two.\"}\n", Kind::Jsonl),
        ("<doc id=\"1\" title=\"A\">\nOne ~.\n</doc>\n", Kind::Wikiextractor),
        ("<mediawiki>\n<page><title>~</title></page></mediawiki>\n", Kind::Mediawiki),
    ] {
        for byte in ["", "\0", "\0\0\0", "\u{1}"] {
            assert_eq!(recognize(text.replace('~', byte).as_bytes(), true), kind, "{text} {byte:?}");
        }
    }
}

#[test]
fn binary_formats_are_named() {
    let mut tar = vec![b'x'; 600];
    tar[257..262].copy_from_slice(b"ustar");
    let utf16 = |text: &str, big: bool| -> Vec<u8> {
        text.encode_utf16().flat_map(|it| if big { it.to_be_bytes() } else { it.to_le_bytes() }).collect()
    };
    let utf32 = |text: &str| -> Vec<u8> { text.chars().flat_map(|it| u32::from(it).to_le_bytes()).collect() };
    let random: Vec<u8> = (0..4000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let length = 17_u64.to_le_bytes();
    let sum = crc32c::crc32c(&length).rotate_right(15).wrapping_add(0xA282_EAD8).to_le_bytes();
    for (bytes, expected) in [
        (b"PAR1\x15\x04\x15\x10".as_slice(), "Parquet"),
        (b"PAR1", "Parquet"),
        (b"PARE\0\x01", "encrypted Parquet"),
        (b"ARROW1\0\0\xFF\xFF\xFF\xFF", "Arrow"),
        (b"\xFF\xFF\xFF\xFFp\0\0\0\x10\0\0\0\0\0\n\0", "Arrow"),
        (b"%PDF-1.7\nx", "a PDF"),
        (b"PK\x03\x04....", "a zip archive"),
        (b"PK\x03\x04..........................mimetypeapplication/epub+zip", "an EPUB book"),
        (b"PK\x03\x04..........................[Content_Types].xml", "an Office document (.docx, .xlsx or .pptx)"),
        (&tar, "a tar archive"),
        (b"7z\xBC\xAF\x27\x1C\0\x04", "a 7z archive"),
        (b"Rar!\x1A\x07\x01\0", "a RAR archive"),
        (b"SQLite format 3\0\x10\0", "a SQLite database"),
        (b"\x80\x04\x95\x10\0\0", "a Python pickle"),
        (b"\x80\x02}q\0", "a Python pickle"),
        (b"\x93NUMPY\x01\0", "a NumPy array"),
        (b"\x89PNG\r\n\x1a\n", "an image"),
        (b"\xFF\xD8\xFF\xE0\0\x10JFIF", "an image"),
        (b"GIF89a\x01\0\x01\0", "an image"),
        (b"RIFF\x10\0\0\0WAVEfmt ", "a sound or video file"),
        (b"\x7fELF\x02\x01\x01\0", "a program"),
        (b"MZ\x90\0\x03\0", "a program"),
        (b"{\\rtf1\\ansi x}", "RTF"),
        (b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", "an old Office document (.doc, .xls or .ppt)"),
        (b"\xFF\xFEa\0b\0", "UTF-16 text"),
        (b"\xFF\xFE\0\0a\0\0\0", "UTF-32 text"),
        (&utf16("A text without a mark.", false), "UTF-16 text without a byte-order mark"),
        (&utf16("A text without a mark.", true), "UTF-16 text without a byte-order mark"),
        (
            &utf16("Это текст, и он на русском.\r\nА это 2 строка в нём.\r\n", false).repeat(9),
            "UTF-16 text without a byte-order mark",
        ),
        (&utf32("A text without a mark."), "UTF-32 text without a byte-order mark"),
        (&random, "binary data of no known format"),
        (b"\x00\x01\x02", "binary data of no known format"),
        (&[&length[..], &sum, b"x"].concat(), "a TFRecord file"),
        (b"@\0\0\0\0\0\0\0{\"a\":", "a model's weights (safetensors)"),
        (b"\n\x0e\n\x05<unk>\x15\0\0\0\0\x18\x02", "a SentencePiece model"),
        (b"\x04\x22\x4D\x18d@", "data compressed with lz4"),
    ] {
        assert_eq!(what(bytes), expected);
        let kind = recognize(bytes, true);
        assert_eq!(kind.is_read(), kind.advice().is_none());
    }
}

#[test]
fn text_that_is_not_prose_is_named() {
    for (text, expected) in [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 1\n", "a Git LFS pointer, not the data"),
        ("/annex/objects/SHA256E-s1--ab\n", "a git-annex pointer, not the data"),
        ("<feed>\n<doc>\n<title>A</title>\n</doc>\n</feed>", "XML other than a MediaWiki dump"),
        ("<?xml version=\"1.0\"?>\n<!-- a -->\n<feed><a/></feed>", "XML other than a MediaWiki dump"),
        ("<TEI xmlns=\"http://www.tei-c.org/ns/1.0\">\n<text>One", "XML other than a MediaWiki dump"),
        ("<root/>", "XML other than a MediaWiki dump"),
        ("<p>One is here.</p>\n<p>Two.</p>\n", "HTML"),
        ("<div class=\"x\">\nOne", "HTML"),
        ("<!-- x -->\n<HTML><body>x", "HTML"),
        ("<!DOCTYPE html>\nx", "HTML"),
        ("WARC/1.0\r\nWARC-Type: warcinfo\r\n", "a web archive (WARC)"),
        ("id,text\n1,\"One, two.\nThree.\"\n2,Four.\n", "a table (CSV)"),
        ("id,text\n1,Hello, world is here.\n2,Three, four, five.\n", "a table (CSV)"),
        ("-- MySQL dump 10.13\n--\nINSERT INTO `page` VALUES (1);\n", "a dump of a database (SQL)"),
        ("# text = One is.\n1\tOne\tone\tNUM\t_\t_\t0\troot\t_\t_\n", "a treebank (CoNLL-U)"),
        ("id;text\r\n1;One, two.\r\n2;Four.\r\n", "a table (CSV)"),
        ("id\ttext\n1\tOne.\n", "a table (TSV)"),
        (",text,label\n0,One.,x\n1,Two.,y\n", "a table (CSV)"),
        ("a,b\n1,2\n3,4\n5,6\n7,8\n9,10\n", "a table (CSV)"),
        ("{\"text\": \"One.\"}\n", "JSON Lines"),
        ("{\n \"text\": \"One.\"\n}\n", "JSON over several lines"),
        ("[{\"text\": \"One.\"}]\n", "a JSON array"),
        ("<doc id=\"1\" title=\"A\">One.</doc>\n", "wikiextractor's output"),
        ("  <page>\n<title>A</title>\n", "a MediaWiki dump"),
        ("<!-- <a> -->\n<?x?>\n<!DOCTYPE mediawiki [\n<!ENTITY a \"b\">\n]>\n<mediawiki>", "a MediaWiki dump"),
        ("</mediawiki>\n", "a MediaWiki dump"),
    ] {
        assert_eq!(what(text.as_bytes()), expected, "{text}");
        assert!(recognize(text.as_bytes(), true).may_be_text());
    }
    let long = format!("<feed>\n<doc>\n<title>A</title>\n{}", "x\n".repeat(HEAD));
    assert_eq!(recognize(long.as_bytes(), false).what(), "XML other than a MediaWiki dump");
}

/// Returns lines of JSON objects.
fn objects(count: usize) -> String {
    (0..count).fold(String::new(), |lines, i| lines + &format!("{{\"text\": \"Sentence {i} is here.\"}}\n"))
}

#[test]
fn the_first_line_does_not_decide() {
    for first in [
        "xyz",
        "ence is here.\"}",
        "# comment",
        "2024-01-01 12:00:00,000 INFO start",
        "null",
        "\"abc\"",
        "5",
        "<<<<<<< HEAD",
        "{",
        ")]}'",
        "// c",
        "[\"a\"]",
        "{'text': 'One.'}",
        "<html>",
        "<!DOCTYPE html>",
        "[",
        "text,id",
        "version 1",
    ] {
        for count in [3, 3000] {
            let text = format!("{first}\n{}", objects(count));
            assert_eq!(recognize(text.as_bytes(), true), Kind::Jsonl, "{first}");
        }
    }
    let long = format!("xyz\n{{\"text\": \"{}", "x".repeat(HEAD));
    assert_eq!(recognize(long.as_bytes(), false), Kind::Jsonl);
    let one = format!("This is an object:\n{}It has a field.\n", objects(1));
    assert_eq!(recognize(one.as_bytes(), true), Kind::Text);
}

#[test]
fn blank_lines_do_not_count() {
    let blank = "\n".repeat(70_000);
    for (text, kind) in [(objects(3), Kind::Jsonl), ("<page>\n<title>A</title>\n</page>\n".to_owned(), Kind::Mediawiki)]
    {
        assert_eq!(recognize(format!("{blank}{text}").as_bytes(), true), kind);
    }
}

#[test]
fn dumps_without_their_beginning() {
    let page = "<page>\n<title>A</title>\n<revision>\n<text>One.</text>\n</revision>\n</page>\n";
    for begin in ["</page>\n", "end of text.</text>\n</revision>\n</page>\n", "<siteinfo></siteinfo>\n", "prose\n"] {
        assert_eq!(what(format!("{begin}{page}").as_bytes()), "a MediaWiki dump", "{begin}");
        assert!(is_part_of_dump(format!("{begin}{page}").as_bytes()));
    }
    assert_eq!(what(b"</p>\nOne is here.\n"), "XML other than a MediaWiki dump");
    let comment = format!("<!-- {} --><mediawiki>\n", "x\n".repeat(HEAD));
    assert_eq!(recognize(comment.as_bytes(), false).what(), markup::LONG_COMMENT);
    assert_eq!(what(b"<?xml version=\"1.0\"?>\n<doc id=\"1\">One.</doc>\n"), "XML other than a MediaWiki dump");
}

#[test]
fn magic_numbers_at_the_beginning_of_text() {
    for begin in [
        "BMW",
        "MZ",
        "ORC",
        "ID3",
        "PARENT",
        "OggS",
        "GGUF",
        "LZIP",
        "GIF89a",
        "fLaC",
        "FEA1",
        "!<arch>",
        "AT&TFORM",
        "PAR1",
        "%PDF-",
        "RIFF and WAVE",
        "RIFF1234WAVE",
    ] {
        let text = format!("{begin} stands at the beginning of this text, which is long enough.\n");
        for stray in [&b"M\xFCnchen"[..], b"a\x01b", b""] {
            let bytes = [text.as_bytes(), &[stray, b" is here.\n"].concat().repeat(2)].concat();
            assert_eq!(recognize(&bytes, true), Kind::Text, "{begin} {stray:?}");
        }
    }
}

#[test]
fn seven_bit_encodings_and_old_formats() {
    let utf16 = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let mut tar = vec![0; 1024];
    tar[..5].copy_from_slice(b"a.txt");
    tar[148..156].fill(b' ');
    let sum: u32 = tar[..512].iter().map(|&byte| u32::from(byte)).sum();
    tar[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
    for (bytes, expected, advice) in [
        (&b"\x1B$B$3$l\x1B(B.\n"[..], "ISO-2022-JP text", "iconv -f ISO-2022-JP"),
        (b"~{<:Ky2;LX~}.\n~{VPND~}\n", "HZ text", "iconv -f HZ"),
        (b"M+APw-nchen und K+APY-ln.\n", "UTF-7 text", "iconv -f UTF-7"),
        (
            &utf16("\u{6771}\u{4EAC}\u{306F}\u{65E5}\u{672C}\u{306E}\u{9996}\u{90FD}\u{3067}\u{3042}\u{308B}\n")
                .repeat(9),
            "UTF-16 text without a byte-order mark",
            "UTF-16LE",
        ),
        (b"BZh91AY&SY\x01\x02", "data compressed twice", "once"),
        (&tar, "a tar archive", "tar -x"),
        (b"(dp0\nS'text'\np1\nS'One.'\np2\ns.", "a Python pickle", "JSON Lines"),
        (b"\nversion https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer, not the data", "git lfs pull"),
        (b"MMIDIDX\0\0\x01\0\0", "an index of tokenized text (Megatron-LM)", "pass the text"),
        (b"\"One.\"\n\"Two.\"\n\"Three.\"\n", "JSON strings, one per line", "jq -c '{text: .}'"),
    ] {
        let kind = recognize(bytes, true);
        assert_eq!(kind.what(), expected);
        assert!(kind.advice().unwrap().contains(advice), "{kind:?}");
    }
    assert!(!recognize(&utf16("A text without a mark.\n"), true).may_be_text());
    for text in ["C++-Code, +49-89-1 and +1-2.\n", "Fig.~{a} and ~{b}.\n", "\"No,\" he said.\n\"Yes.\"\n\"No.\"\n"] {
        assert_eq!(recognize(text.repeat(3).as_bytes(), true), Kind::Text, "{text}");
    }
}

#[test]
fn a_plus_before_letters_is_not_utf_7() {
    for text in [
        "Thymocytes were sorted into CD4+CD8- and CD4-CD8+ cells.\nThe CD4+CD8- cells were cultured.\n",
        "Call our office at +420-222-111-333.\nIn Brno it is +420-541-999, in Kyiv +380-44-111.\n",
        "x = a+b1o-c and y = q+abc-d; z = w+xyz-1 and m+abcdef-1.\nThen q+foo-1, r+boo-2 and s+adding-3.\n",
        "The node+API-first way, and again node+API-first.\n",
        "commit +add- -rem\n",
    ] {
        assert_eq!(recognize(text.repeat(3).as_bytes(), true), Kind::Text, "{text}");
        // This applies only to text in no other format.
        let text = text.replace('\n', " M+APw-nchen und K+APY-ln. ");
        for (other, kind) in [
            (format!("{{\"text\": \"{text}\"}}\n"), Kind::Jsonl),
            (format!("id,text\n1,\"{text}\"\n2,Two.\n"), Kind::Csv),
            (format!("WARC/1.0\r\nWARC-Type: conversion\r\nContent-Length: 9\r\n\r\n{text}\r\n\r\n"), Kind::Wet),
            (format!("<doc id=\"1\" title=\"A\">\nA\n\n{text}\n</doc>\n"), Kind::Wikiextractor),
        ] {
            assert_eq!(recognize(other.as_bytes(), true), kind, "{other}");
        }
    }
    for text in [
        "M+APw-nchen und K+APY-ln.\n",
        "Er sagte: +IB4-Gr+APYA3w-e aus K+APY-ln, 2 +- 3!+IBw +IBM Sch+APY-n.\n",
        "+BBwEPgRBBDoEMgQw - +BDMEPgRABD4ENA, +- +BEAENQQ6BDA.\n",
        "+ZeVnLIqeMAFncU6skP0waE6skP0wAg\n+MFMwjDBvMAFnLDBnMFkwAg-\n",
    ] {
        let kind = recognize(text.as_bytes(), true);
        assert_eq!(kind.what(), "UTF-7 text", "{text}");
        assert!(kind.may_be_text(), "it may be named text all the same");
    }
}

#[test]
fn tabs_in_every_line_are_columns() {
    let leipzig: String =
        (1..=12).fold(String::new(), |text, i| text + &format!("{i}\tDies ist der Satz Nummer {i}.\n"));
    let pairs = "Das ist ein ganzer Satz.\tThis is a whole sentence.\n".repeat(9);
    let tokens: String = (1..=30).fold(String::new(), |text, i| {
        let end = if i % 7 == 0 { "\n" } else { "" };
        text + &format!("Wort{i}\tNOUN\t_\n{end}")
    });
    for table in [&leipzig, &pairs, &pairs.replace('\n', "\r\n"), &tokens] {
        let kind = recognize(table.as_bytes(), true);
        assert_eq!(kind.what(), "a table of tab-separated values without a header", "{table}");
        assert!(kind.may_be_text());
    }
    let indented = "\tEin Absatz mit Einzug.\n".repeat(20);
    let contents = format!("{}Ein Satz ohne Tabulator.\n", "Kapitel\t7\n".repeat(20));
    let ends = "Ein Satz.\t\n".repeat(20);
    for text in [&indented, &contents, &ends, &pairs[..pairs.len() / 9 * 7].to_owned(), &"Ein Satz.\n".repeat(20)] {
        assert_eq!(recognize(text.as_bytes(), true), Kind::Text, "{text}");
    }
}
