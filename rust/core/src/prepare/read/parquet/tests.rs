use std::fs;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, Encoding};
use parquet::data_type::Int64Type;
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::*;
use crate::files::inputs::OnBadUtf8;
use crate::files::inputs::expand_inputs;
use crate::prepare::read::options::ReadOptions;
use crate::prepare::read::reader::RawReader;

const SCHEMA: &str = "message rows {
    required int64 id;
    optional binary text (STRING);
    required group meta { optional binary text; required fixed_len_byte_array(1) code; }
    repeated binary tags (STRING);
    required binary dotted;
}";

/// Writes `texts` in groups of `group` rows. Each row has the same text in three columns.
fn write(path: &Path, texts: &[Option<&[u8]>], group: usize, properties: WriterProperties) {
    let schema = parse_message_type(SCHEMA).unwrap();
    let mut writer =
        SerializedFileWriter::new(fs::File::create(path).unwrap(), Arc::new(schema), Arc::new(properties)).unwrap();
    for texts in texts.chunks(group) {
        let present: Vec<ByteArray> = texts.iter().flatten().map(|&text| text.to_vec().into()).collect();
        let all: Vec<ByteArray> = texts.iter().map(|text| text.unwrap_or(b"").to_vec().into()).collect();
        let levels: Vec<i16> = texts.iter().map(|text| i16::from(text.is_some())).collect();
        let zeros = vec![0; texts.len()];
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let ids: Vec<i64> = (0..texts.len() as i64).collect();
        column.typed::<Int64Type>().write_batch(&ids, None, None).unwrap();
        column.close().unwrap();
        for (values, levels, repeats) in [
            (&present, Some(&levels), None),
            (&present, Some(&levels), None),
            (&Vec::new(), None, None),
            (&Vec::new(), Some(&zeros), Some(&zeros)),
            (&all, None, None),
        ] {
            let mut column = group.next_column().unwrap().unwrap();
            if let (None, true) = (levels, values.is_empty()) {
                let codes: Vec<_> = texts.iter().map(|_| b"c".to_vec().into()).collect();
                column.typed::<parquet::data_type::FixedLenByteArrayType>().write_batch(&codes, None, None).unwrap();
            } else {
                let typed = column.typed::<ByteArrayType>();
                typed.write_batch(values, levels.map(Vec::as_slice), repeats.map(Vec::as_slice)).unwrap();
            }
            column.close().unwrap();
        }
        group.close().unwrap();
    }
    writer.close().unwrap();
}

fn properties() -> WriterProperties {
    WriterProperties::builder().build()
}

/// Returns the texts of `field`, the number of skipped rows, and the number of replaced sequences.
fn read(path: &Path, field: &str, change: impl Fn(&mut ReadOptions)) -> Result<(Vec<String>, u64, u64), String> {
    let mut options = ReadOptions { text_field: field.into(), ..ReadOptions::default() };
    change(&mut options);
    let mut reader = RawReader::new(expand_inputs(&[path]).unwrap(), Arc::new(options.clone())).unwrap();
    let (mut block, mut counts, mut documents) = (RawBlock::default(), ReadCounts::default(), Vec::new());
    let strip = |error: Error| error.to_string().replace(&path.display().to_string(), "FILE");
    while reader.next_block(&mut block).map_err(strip)? {
        crate::prepare::read::parse::parse(&block, path, &options, &mut counts, &mut documents).map_err(strip)?;
        assert!(block.data.len() < 2 * BLOCK_BYTES);
    }
    assert_eq!(reader.bytes_read(), reader.total_bytes());
    assert_eq!(reader.formats()["parquet"], 1);
    Ok((documents.into_iter().map(|it| it.text).collect(), counts.bad_records, counts.replaced))
}

#[test]
fn each_compression_encoding_and_version() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows.parquet");
    let texts: Vec<String> = (0..3000).map(|i| format!("{i} {}", "wörd ".repeat(i % 97))).collect();
    let rows: Vec<Option<&[u8]>> = texts.iter().map(|text| Some(text.as_bytes())).collect();
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(parquet::basic::GzipLevel::default()),
        Compression::BROTLI(parquet::basic::BrotliLevel::try_new(1).unwrap()),
        Compression::LZ4_RAW,
        Compression::ZSTD(parquet::basic::ZstdLevel::default()),
    ] {
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            for encoding in [None, Some(Encoding::PLAIN), Some(Encoding::DELTA_BYTE_ARRAY)] {
                let mut builder = WriterProperties::builder().set_compression(compression).set_writer_version(version);
                if let Some(encoding) = encoding {
                    builder = builder.set_dictionary_enabled(false).set_column_encoding("text".into(), encoding);
                }
                write(&path, &rows, 1100, builder.build());
                for field in ["text", "meta.text", "dotted"] {
                    let (found, bad, _) = read(&path, field, |_| {}).unwrap();
                    assert!(found == texts && bad == 0, "{compression} {version:?} {encoding:?} {field}");
                }
            }
        }
    }
}

#[test]
fn nulls_and_invalid_utf8_are_named_by_row() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows.parquet");
    let rows: Vec<Option<&[u8]>> = vec![Some(b"a"), Some(b""), None, Some(b"b\xFFc"), None];
    for group in [1, 2, 5] {
        write(&path, &rows, group, properties());
        let message = read(&path, "text", |_| {}).unwrap_err();
        assert!(message.starts_with("FILE, row 3: the column \"text\" is null"), "{message}");
        let message = read(&path, "meta.text", |options| options.skip_bad = true).unwrap_err();
        assert!(message.starts_with("FILE, row 4: byte 2: invalid UTF-8 (0xFF)"), "{message}");
        let mended = read(&path, "text", |options| {
            options.skip_bad = true;
            options.on_bad_utf8 = OnBadUtf8::Replace;
        });
        assert_eq!(mended.unwrap(), (vec!["a".into(), String::new(), "b\u{FFFD}c".into()], 2, 1));
    }
    write(&path, &[], 1, properties());
    assert_eq!(read(&path, "text", |_| {}).unwrap().0.len(), 0);
}

#[test]
fn columns_that_are_not_text_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows.parquet");
    write(&path, &[Some(b"a")], 1, properties());
    for (field, expected) in [
        ("body", "no column \"body\" (columns: \"id\" (int64), \"text\" (text), \"meta.text\" (byte_array), "),
        ("meta", "the column \"meta\" is a struct, not text"),
        ("id", "the column \"id\" is int64, not text"),
        ("meta.code", "is fixed_len_byte_array, not text"),
        ("tags", "is a list, not text"),
    ] {
        let message = read(&path, field, |_| {}).unwrap_err();
        assert!(message.starts_with("FILE: ") && message.contains(expected), "{message}");
    }
}

#[test]
fn damaged_files_are_errors() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows.parquet");
    let rows: Vec<Option<&[u8]>> = (0..200).map(|i| (i % 3 > 0).then_some(b"some words".as_slice())).collect();
    write(&path, &rows, 90, properties());
    let whole = fs::read(&path).unwrap();
    for length in [5, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        let message = read(&path, "text", |_| {}).unwrap_err();
        assert!(message.contains("the Parquet footer cannot be read"), "{message}");
    }
    // Not all damage is detected, but none may cause a panic or an endless loop.
    for at in (4..whole.len()).step_by(7) {
        for value in [0, 0x7F, 0xFF] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            fs::write(&path, &bytes).unwrap();
            let _ = read(&path, "text", |options| options.skip_bad = true);
        }
    }
}
