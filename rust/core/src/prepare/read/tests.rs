use std::fs;
use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::input::compress::{bzip2, gzip, xz, zst};
use crate::input::expand_inputs;
use crate::prepare::parse::parse;
use crate::prepare::raw::{Document, ReadCounts};

/// What reading `files` gives.
#[derive(Debug, Default, PartialEq)]
struct Read {
    texts: Vec<String>,
    counts: ReadCounts,
    blocks: usize,
    formats: Vec<(&'static str, u64)>,
}

fn read(files: &[&[u8]], options: &ReadOptions) -> Result<Read, String> {
    let folder = tempfile::tempdir().unwrap();
    for (i, bytes) in files.iter().enumerate() {
        fs::write(folder.path().join(format!("{i:03}")), bytes).unwrap();
    }
    let files = expand_inputs(&[folder.path()]).unwrap();
    let mut reader = RawReader::new(files, Arc::new(options.clone())).unwrap();
    let result = read_all(&mut reader, options);
    if result.is_ok() {
        assert_eq!(reader.bytes_read(), reader.total_bytes());
    }
    result
        .map(|(read, _)| read)
        .map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
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
    found.counts.cuts = reader.cuts();
    found.formats = reader.formats().iter().map(|(&name, &n)| (name, n)).collect();
    Ok((found, documents))
}

fn texts(files: &[&[u8]], options: &ReadOptions) -> Vec<String> {
    read(files, options).unwrap().texts
}

fn options() -> ReadOptions {
    ReadOptions::default()
}

#[test]
fn each_form_in_each_compression() {
    for (bytes, format, expected) in [
        ("First.\n\nSecond.\n", "text", vec!["First.\n\nSecond.\n"]),
        ("\u{FEFF}One.\r\nTwo", "text", vec!["One.\r\nTwo"]),
        ("{\"text\": \"a\\nb\"}\n\n{\"id\": 1, \"text\": \"c\"}", "jsonl", vec!["a\nb", "c"]),
        (
            "<doc id=\"1\" url=\"u\" title=\"A \"b\" &amp; c\">\nA \"b\" & c\n\nx &lt;y&gt; &amp;amp;\nz\n\n</doc>\n<doc>\n",
            "wikiextractor",
            vec![],
        ),
    ] {
        for compress in [|b: &[u8]| b.to_vec(), gzip, bzip2, xz, zst] {
            let stored = compress(bytes.as_bytes());
            if expected.is_empty() {
                continue;
            }
            let read = read(&[b"", &stored, b"\xEF\xBB\xBF"], &options()).unwrap();
            assert_eq!(read.texts, expected);
            assert_eq!(read.formats, [(format, 1)]);
        }
    }
}
