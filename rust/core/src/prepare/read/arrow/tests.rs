use std::fs;
use std::io::Cursor;
use std::path::Path;

use arrow_array::types::Int32Type;
use arrow_array::{
    BinaryArray, DictionaryArray, Int64Array, LargeStringArray, ListArray, RecordBatch, StringArray, StringViewArray,
    StructArray,
};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};

use super::*;
use crate::files::compress::gzip;
use crate::files::inputs::OnBadUtf8;
use crate::files::inputs::expand_inputs;
use crate::prepare::read::options::ReadOptions;
use crate::prepare::read::parse::parse;
use crate::prepare::read::raw::ReadCounts;
use crate::prepare::read::reader::RawReader;

type Texts<'t> = [Option<&'t str>];

/// Returns a batch with the texts in columns of all text types.
fn batch(texts: &Texts<'_>) -> RecordBatch {
    let strings: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
    let inner = Field::new("body", DataType::Utf8, true);
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(texts.iter().map(|_| Some(vec![Some(1), Some(2)])));
    let bytes: Vec<Option<&[u8]>> = texts.iter().map(|it| it.map(str::as_bytes)).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values(0..texts.len() as i64))),
        ("text", Arc::clone(&strings)),
        ("large", Arc::new(LargeStringArray::from(texts.to_vec()))),
        ("view", Arc::new(StringViewArray::from(texts.to_vec()))),
        ("words", Arc::new(texts.iter().copied().collect::<DictionaryArray<Int32Type>>())),
        ("bytes", Arc::new(BinaryArray::from(bytes))),
        ("article", Arc::new(StructArray::from(vec![(Arc::new(inner), strings)]))),
        ("tags", Arc::new(lists)),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn stream(batches: &[RecordBatch], compression: Option<CompressionType>) -> Vec<u8> {
    let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &batches[0].schema(), options).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.into_inner().unwrap()
}

/// Without the dictionary, because a file may have only one.
fn file(batches: &[RecordBatch]) -> Vec<u8> {
    let batches: Vec<_> = batches.iter().map(|it| it.project(&[0, 1, 2, 3, 5, 6, 7]).unwrap()).collect();
    let mut writer = FileWriter::try_new(Cursor::new(Vec::new()), &batches[0].schema()).unwrap();
    for batch in &batches {
        writer.write(batch).unwrap();
    }
    writer.finish().unwrap();
    writer.into_inner().unwrap().into_inner()
}

/// Returns the texts of the column, the number of skipped records, and the number of replaced sequences.
fn read(bytes: &[u8], field: &str, change: impl Fn(&mut ReadOptions)) -> Result<(Vec<String>, u64, u64), String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows");
    fs::write(&path, bytes).unwrap();
    let mut options = ReadOptions { text_field: field.into(), ..ReadOptions::default() };
    change(&mut options);
    read_path(&path, &options).map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
}

fn read_path(path: &Path, options: &ReadOptions) -> crate::Result<(Vec<String>, u64, u64)> {
    let mut reader = RawReader::new(expand_inputs(&[path])?, Arc::new(options.clone()))?;
    let (mut block, mut counts, mut documents) = (RawBlock::default(), ReadCounts::default(), Vec::new());
    while reader.next_block(&mut block)? {
        parse(&block, path, options, &mut counts, &mut documents)?;
    }
    Ok((documents.into_iter().map(|it| it.text).collect(), counts.bad_records, counts.replaced))
}

#[test]
fn every_type_of_text_in_streams_and_files() {
    let first = batch(&[Some("One is here."), None, Some("")]);
    let second = batch(&[Some("A text that is longer than those which lie within a view."), Some("Zwölf.")]);
    let batches = [first, second];
    let expected = ["One is here.", "", "A text that is longer than those which lie within a view.", "Zwölf."];
    let streams = [
        stream(&batches, None),
        stream(&batches, Some(CompressionType::LZ4_FRAME)),
        stream(&batches, Some(CompressionType::ZSTD)),
    ];
    for field in ["text", "large", "view", "bytes", "article.body"] {
        for bytes in streams.iter().cloned().chain([file(&batches), gzip(&streams[0]), gzip(&file(&batches))]) {
            let (texts, bad, _) = read(&bytes, field, |options| options.skip_bad = true).unwrap();
            assert_eq!((texts.as_slice(), bad), (&expected.map(ToOwned::to_owned)[..], 1), "{field}");
        }
    }
    // The next batch replaces the dictionary.
    for bytes in &streams {
        assert_eq!(read(bytes, "words", |options| options.skip_bad = true).unwrap().0, expected);
    }
    let message = read(&streams[0], "text", |_| {}).unwrap_err();
    assert!(message.starts_with("FILE, row 2: the column \"text\" is null"), "{message}");
    assert_eq!(read(&stream(&[batch(&[])], None), "text", |_| {}).unwrap().0.len(), 0);
}

#[test]
fn columns_that_are_not_text_are_named() {
    let bytes = stream(&[batch(&[Some("a")])], None);
    for (field, expected) in [
        ("body", "no column \"body\" (columns: \"id\" (int64), \"text\" (text), \"large\" (text), "),
        ("id", "the column \"id\" is int64, not text"),
        ("tags", "the column \"tags\" is a list, not text"),
        ("article", "the column \"article\" is a struct, not text"),
        ("article.x", "\"article.body\" (text)"),
    ] {
        let message = read(&bytes, field, |_| {}).unwrap_err();
        assert!(message.starts_with("FILE: ") && message.contains(expected), "{message}");
    }
}

#[test]
fn invalid_utf8_is_named_or_mended() {
    let mut bytes = stream(&[batch(&[Some("fine"), Some("xyzzy~ is here")])], None);
    for at in memchr::memmem::find_iter(&bytes.clone(), b"xyzzy~") {
        bytes[at + 5] = 0xFF;
    }
    for field in ["text", "large", "bytes", "words"] {
        let message = read(&bytes, field, |_| {}).unwrap_err();
        assert!(message.contains("FILE, row 2: byte 6: invalid UTF-8 (0xFF)"), "{message}");
        let mended = read(&bytes, field, |options| options.on_bad_utf8 = OnBadUtf8::Replace).unwrap();
        assert_eq!((mended.0[1].as_str(), mended.2), ("xyzzy\u{FFFD} is here", 1));
    }
}

#[test]
fn damaged_data_is_an_error() {
    let texts: Vec<String> = (0..50).map(|i| format!("Text {i} is here.")).collect();
    let texts: Vec<Option<&str>> = texts.iter().map(|it| Some(it.as_str())).collect();
    for whole in [stream(&[batch(&texts)], None), stream(&[batch(&texts)], Some(CompressionType::ZSTD))] {
        for length in [20, 200, whole.len() / 2, whole.len() - 9] {
            let message = read(&whole[..length], "text", |_| {}).unwrap_err();
            assert!(message.starts_with("FILE") && message.contains("truncated"), "{message}");
        }
        // Not all damage is detected, but none may cause a panic or need too much memory.
        for at in (0..whole.len()).step_by(5) {
            for value in [0, 0x7F, 0xFF] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                for field in ["text", "view", "words"] {
                    let _ = read(&bytes, field, |options| {
                        options.skip_bad = true;
                        options.on_bad_utf8 = OnBadUtf8::Replace;
                    });
                }
            }
        }
    }
}

#[test]
fn streams_may_follow_one_another() {
    let texts = ["One.", "Two."].map(Some);
    let one = stream(&[batch(&texts)], None);
    let count = |bytes: &[u8]| read(bytes, "text", |_| {}).map(|(texts, ..)| texts.len());
    assert_eq!(count(&one), Ok(2));
    assert_eq!(count(&[&one[..], &one].concat()), Ok(4));
    assert_eq!(count(&[&one[..], &[0; 4096], &one, &[0; 64]].concat()), Ok(4));
    // Files, and both kinds together.
    let file = file(&[batch(&texts)]);
    assert_eq!(count(&[&file[..], &file].concat()), Ok(4));
    assert_eq!(count(&[&file[..], &[0; 300], &one, &file, &one].concat()), Ok(8));
    assert_eq!(count(&file[..file.len() - 9]), Ok(2), "its footer is not needed");
    // A stream may end without an end marker.
    let open = &one[..one.len() - 8];
    assert_eq!(count(open), Ok(2));
    assert_eq!(count(&[open, &one].concat()), Ok(4));
    let other = stream(&[batch(&texts).project(&[2, 6, 1]).unwrap()], None);
    assert_eq!(count(&[open, &other, open].concat()), Ok(6), "with other columns");
    for whole in [&one, &file] {
        let error = count(&[&whole[..], b"junk"].concat()).unwrap_err();
        assert!(error.contains("only another Arrow stream or file may follow"), "{error}");
    }
}
