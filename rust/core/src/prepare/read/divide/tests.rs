use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::files::compress::gzip;
use crate::files::inputs::expand_inputs;
use crate::files::portions::portions;
use crate::prepare::read::parse::parse;
use crate::prepare::read::raw::{RawBlock, ReadCounts};
use crate::prepare::read::reader::RawReader;

struct Input {
    _directory: tempfile::TempDir,
    files: Vec<InputFile>,
    options: ReadOptions,
}

impl Input {
    fn new(text: &[u8], options: ReadOptions) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("input");
        fs::write(&path, text).unwrap();
        Self { files: expand_inputs(&[path]).unwrap(), _directory: directory, options }
    }

    fn is_divisible(&self) -> bool {
        is_divisible(&self.files[0], &self.options).unwrap()
    }

    fn path(&self) -> &PathBuf {
        &self.files[0].path
    }

    /// Reads a portion, or everything. Returns the texts, and the files of each format.
    fn read(&self, bytes: Option<Range<u64>>) -> Result<(Vec<String>, u64)> {
        let size = bytes.as_ref().map_or(self.files[0].bytes, |bytes| bytes.end - bytes.start);
        let options = Arc::new(self.options.clone());
        let mut reader = RawReader::new(self.files.clone(), options)?.of_part(true).of_portion(bytes);
        assert_eq!(reader.total_bytes(), size);
        let (mut block, mut documents) = (RawBlock::default(), Vec::new());
        let mut counts = ReadCounts::default();
        let all = loop {
            match reader.next_block(&mut block) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
            if let Err(error) = parse(&block, self.path(), &self.options, &mut counts, &mut documents) {
                break Err(error);
            }
            assert!(reader.bytes_read() <= size);
        };
        all.map_err(|error| reader.with_line(error))?;
        assert_eq!(reader.bytes_read(), size);
        Ok((documents.into_iter().map(|it| it.text).collect(), reader.formats().values().sum()))
    }

    /// Reads all portions of a number of bytes, one after the other.
    fn read_in_portions(&self, size: u64) -> Result<(Vec<String>, u64)> {
        let (mut texts, mut files) = (Vec::new(), 0);
        for portion in portions(&self.files, size, |_| Ok(true)).unwrap() {
            let (more, count) = self.read(portion.bytes)?;
            texts.extend(more);
            files += count;
        }
        Ok((texts, files))
    }
}

/// A document in one of the formats that can be divided, and the options for it.
fn record(form: usize, text: &str) -> String {
    match form {
        0 => json!({ "text": text }).to_string() + "\n",
        1 => format!("<doc id=\"1\" url=\"u\" title=\"T\">\nT\n\n{text}\n</doc>\n"),
        2 => format!("{text}\n \t\n"),
        _ => format!("{text}\n--\n"),
    }
}

fn options(form: usize) -> ReadOptions {
    match form {
        2 => ReadOptions { documents: DocumentRule::BlankLine, ..ReadOptions::default() },
        3 => ReadOptions { document_separator: Some("--".into()), ..ReadOptions::default() },
        _ => ReadOptions::default(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn portions_have_each_document_once(
        form in 0..4_usize,
        documents in prop::collection::vec("[a-zß漢]{1,12}( [a-z]{1,9}){0,4}(\n[a-z]{1,30}){0,3}", 1..30),
        blank in prop::collection::vec(0..3_usize, 1..4),
        size in 1..400_u64,
        bom in any::<bool>(),
        ends in any::<bool>(),
    ) {
        let mut text = String::from(if bom { "\u{FEFF}" } else { "" });
        for (document, blank) in documents.iter().zip(blank.iter().cycle()) {
            text.push_str(&record(form, document));
            text.push_str(&"\n".repeat(*blank));
        }
        if !ends {
            text.truncate(text.trim_end().len());
        }
        let input = Input::new(text.as_bytes(), options(form));
        prop_assert!(input.is_divisible());
        let (whole, files) = input.read(None).unwrap();
        prop_assert_eq!(whole.len(), documents.len());
        prop_assert_eq!(input.read_in_portions(size).unwrap(), (whole, files));
        prop_assert_eq!(files, 1);
    }

    #[test]
    fn an_error_names_the_line_of_the_file(
        lines in prop::collection::vec("[a-z]{1,40}", 2..40),
        bad in any::<prop::sample::Index>(),
        size in 1..200_u64,
    ) {
        let bad = 1 + bad.index(lines.len() - 1);
        let text: String = (0..)
            .zip(&lines)
            .map(|(number, line)| if number == bad { format!("{{{line}\n") } else { record(0, line) })
            .collect();
        let input = Input::new(text.as_bytes(), options(0));
        let whole = input.read(None).unwrap_err().to_string();
        prop_assert!(whole.contains(&format!("line {}: ", bad + 1)), "{}", whole);
        prop_assert_eq!(input.read_in_portions(size).unwrap_err().to_string(), whole);
    }
}

#[test]
fn a_document_that_spans_portions_is_in_the_first() {
    let text = format!("{}{}{}", record(0, "a"), record(0, &"long ".repeat(50)), record(0, "b"));
    let input = Input::new(text.as_bytes(), options(0));
    let texts = |bytes| input.read(Some(bytes)).unwrap().0.len();
    let end = text.len() as u64;
    // The second line begins at byte 13. The first line that begins in a portion belongs to the one before.
    assert_eq!([texts(0..13), texts(13..28), texts(28..100), texts(100..end)], [2, 1, 0, 0]);
    assert_eq!([texts(0..14), texts(14..end)], [3, 0]);
}

#[test]
fn what_is_not_divided() {
    let jsonl = record(0, "text").repeat(4);
    assert!(Input::new(jsonl.as_bytes(), options(0)).is_divisible());
    let dump = "<mediawiki>\n<page><title>A</title><ns>0</ns><revision><text>a</text></revision></page>\n</mediawiki>";
    for text in [
        &gzip(jsonl.as_bytes())[..],
        // One document.
        b"Plain text.\n\nMore of it.\n",
        // A quoted field may have line ends.
        b"id,text\n1,\"a\nb\"\n2,c\n",
        dump.as_bytes(),
        b"",
        // Reported when it is read.
        b"%PDF-1.7 and more",
    ] {
        assert!(!Input::new(text, options(0)).is_divisible(), "{}", String::from_utf8_lossy(text));
    }
}
