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
    // What single bytes do to text is not for this to say; nor are other encodings.
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
        ("<feed>\n<doc>\n<title>A</title>\n</doc>\n</feed>", "XML, but not a dump of MediaWiki"),
        ("<?xml version=\"1.0\"?>\n<!-- a -->\n<feed><a/></feed>", "XML, but not a dump of MediaWiki"),
        ("<TEI xmlns=\"http://www.tei-c.org/ns/1.0\">\n<text>One", "XML, but not a dump of MediaWiki"),
        ("<root/>", "XML, but not a dump of MediaWiki"),
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
    assert_eq!(recognize(long.as_bytes(), false).what(), "XML, but not a dump of MediaWiki");
}
