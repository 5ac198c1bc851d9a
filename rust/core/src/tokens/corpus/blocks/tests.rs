use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::files::compress::{bzip2, gzip, xz, zst};
use crate::files::inputs::expand_inputs;

struct Directory(tempfile::TempDir);

impl Directory {
    fn new(files: &[&[u8]]) -> Self {
        let directory = Self(tempfile::tempdir().unwrap());
        for (i, bytes) in files.iter().enumerate() {
            fs::write(directory.0.path().join(format!("{i:03}")), bytes).unwrap();
        }
        directory
    }

    fn reader(&self, block_bytes: usize, max_line: usize) -> BlockReader {
        let files = expand_inputs(&[self.0.path()]).unwrap();
        BlockReader::new(files, block_bytes, max_line, false)
    }
}

/// A line, its position, and whether its file ends after it.
type Line = (Vec<u8>, Position, bool);

fn lines(reader: &mut BlockReader) -> Result<Vec<Line>> {
    let mut block = Block::default();
    let mut found = Vec::new();
    while reader.next_block(&mut block)? {
        for piece in &block.pieces {
            let mut start = piece.range.start;
            for (line, end) in piece.lines(&block.data) {
                let last = piece.last && end == piece.range.end;
                found.push((line.to_vec(), piece.position(&block.data, start), last));
                start = end;
            }
        }
    }
    Ok(found)
}

/// The same lines, computed the slow way, for files of text without byte-order marks.
fn expected(files: &[&[u8]]) -> Vec<Line> {
    let mut found = Vec::new();
    for (file, bytes) in files.iter().enumerate() {
        let mut offset = 0;
        for (i, line) in bytes.split_inclusive(|&b| b == b'\n').enumerate() {
            let position = Position { file, offset, line: i as u64 + 1 };
            offset += line.len() as u64;
            found.push((line.strip_suffix(b"\n").unwrap_or(line).to_vec(), position, offset == bytes.len() as u64));
        }
    }
    found
}

proptest! {
    #[test]
    fn any_block_size_gives_the_same_lines(
        files in prop::collection::vec("[ab\n\r]{0,60}|(\n|a{1,30}\n){0,20}", 1..8),
        block_bytes in 1_usize..100,
        formats in prop::collection::vec(0..5, 8),
        start in any::<prop::sample::Index>(),
    ) {
        let plain: Vec<&[u8]> = files.iter().map(String::as_bytes).collect();
        let stored: Vec<Vec<u8>> = plain.iter().zip(formats).map(|(&bytes, format)| match format {
            0 => bytes.to_vec(),
            1 => gzip(bytes),
            2 => bzip2(bytes),
            3 => xz(bytes),
            _ => zst(bytes),
        }).collect();
        let stored: Vec<&[u8]> = stored.iter().map(Vec::as_slice).collect();
        let directory = Directory::new(&stored);
        let expected = expected(&plain);
        let mut reader = directory.reader(block_bytes, 1 << 20);
        prop_assert_eq!(&lines(&mut reader).unwrap(), &expected);
        prop_assert_eq!(reader.bytes_read(), reader.bytes_total());
        if !expected.is_empty() {
            let start = start.index(expected.len());
            let mut reader = directory.reader(block_bytes, 1 << 20).starting_at(expected[start].1);
            prop_assert_eq!(&lines(&mut reader).unwrap(), &expected[start..]);
            prop_assert_eq!(reader.bytes_read(), reader.bytes_total());
        }
    }

    #[test]
    fn the_longest_line_is_the_same_for_any_block_size(
        lengths in prop::collection::vec(0_usize..12, 1..12), block_bytes in 1_usize..40, newline in any::<bool>(),
    ) {
        const MAX: usize = 10;
        let mut text: Vec<u8> = lengths.iter().flat_map(|&n| [vec![b'x'; n], vec![b'\n']].concat()).collect();
        if !newline {
            text.pop();
        }
        let directory = Directory::new(&[&text]);
        let too_long = lengths.iter().position(|&n| n > MAX);
        match (lines(&mut directory.reader(block_bytes, MAX)), too_long) {
            (Ok(_), None) => {}
            (Err(Error::LineTooLong { line, limit, path }), Some(i)) => {
                prop_assert_eq!((line, limit), (i as u64 + 1, MAX));
                prop_assert!(path.ends_with("000"));
            }
            (other, _) => prop_assert!(false, "{other:?}, line {too_long:?}"),
        }
    }
}

#[test]
fn a_block_holds_about_what_it_should() {
    let text = "0123456\n".repeat(100_000);
    let directory = Directory::new(&[text.as_bytes(), b"x\n", b"y", text.as_bytes()]);
    for block_bytes in [1, 8, 9, 1000, 300_000] {
        let mut reader = directory.reader(block_bytes, 1 << 20);
        let mut block = Block::default();
        let mut total = 0;
        while reader.next_block(&mut block).unwrap() {
            total += block.data.len();
            assert!(block.data.len() <= block_bytes + 8, "{} bytes of {block_bytes}", block.data.len());
            assert!(block_bytes < 300_000 || block.data.len() > 100_000);
        }
        assert_eq!(total, 2 * text.len() + 3);
    }
}

/// Returns lines without end.
struct Endless;

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        buffer.fill(b'x');
        Ok(buffer.len())
    }
}

#[test]
fn a_line_without_end_is_not_held() {
    const MAX: usize = 3 << 20;
    let mut reader =
        BlockReader::new(expand_inputs(&["-"]).unwrap(), 1 << 20, MAX, false).with_stdin(Some(Box::new(Endless)));
    let mut block = Block::default();
    let error = reader.next_block(&mut block).unwrap_err();
    assert!(matches!(&error, Error::LineTooLong { line: 1, limit: MAX, .. }), "{error}");
    assert!(error.to_string().contains("<stdin>, line 1"));
    assert!(block.data.capacity() <= 4 * MAX, "{}", block.data.capacity());
    assert!(reader.bytes_read() <= 2 * MAX as u64);
}

#[test]
fn what_comes_before_a_bad_line_is_read() {
    let directory = Directory::new(&[b"a\nb\n", b"c\nxxxxxxxxxx\n"]);
    let mut reader = directory.reader(1 << 10, 5);
    let mut block = Block::default();
    let mut read = Vec::new();
    let error = loop {
        match reader.next_block(&mut block) {
            Ok(more) => assert!(more),
            Err(error) => break error,
        }
        read.extend_from_slice(&block.data);
    };
    assert_eq!(read, b"a\nb\nc\n");
    assert!(matches!(error, Error::LineTooLong { line: 2, .. }), "{error}");
}

#[test]
fn standard_input_can_be_compressed_and_is_read_in_its_place() {
    let directory = Directory::new(&[b"first\n"]);
    let file = directory.0.path().join("000").to_string_lossy().into_owned();
    for bytes in [b"one\ntwo".to_vec(), gzip(b"one\ntwo"), bzip2(b"one\ntwo"), xz(b"one\ntwo"), zst(b"one\ntwo")] {
        let files = expand_inputs(&[&file, "-", &file]).unwrap();
        let mut reader =
            BlockReader::new(files, 4, 1 << 20, false).with_stdin(Some(Box::new(std::io::Cursor::new(bytes))));
        assert_eq!(reader.bytes_total(), 0);
        assert_eq!(lines(&mut reader).unwrap(), expected(&[b"first\n", b"one\ntwo", b"first\n"]));
    }
}

#[test]
fn byte_order_marks() {
    let directory = Directory::new(&[b"\xEF\xBB\xBFa\n\xEF\xBB\xBFb\n", b"\xEF\xBB\xBF", b"c"]);
    for block_bytes in [1, 100] {
        let mut reader = directory.reader(block_bytes, 1 << 20);
        let found = lines(&mut reader).unwrap();
        let text: Vec<_> = found.iter().map(|(line, ..)| line.as_slice()).collect();
        assert_eq!(text, [b"a".as_slice(), b"\xEF\xBB\xBFb", b"c"]);
        assert_eq!(found[0].1, Position { file: 0, offset: 3, line: 1 });
        assert_eq!(found[1].1, Position { file: 0, offset: 5, line: 2 });
        let files = directory.reader(1, 1).files().to_vec();
        let kept = lines(&mut BlockReader::new(files, block_bytes, 1 << 20, true)).unwrap();
        let text: Vec<_> = kept.iter().map(|(line, ..)| line.as_slice()).collect();
        assert_eq!(text, [b"\xEF\xBB\xBFa".as_slice(), b"\xEF\xBB\xBFb", b"\xEF\xBB\xBF", b"c"]);
    }
}

#[test]
fn compressed_files_of_several_members() {
    let members: [&[u8]; 3] = [b"one\ntw", b"", b"o\nthree"];
    let plain = expected(&[b"one\ntwo\nthree"]);
    let skippable = [0x50, 0x2A, 0x4D, 0x18, 2, 0, 0, 0, 9, 9].to_vec();
    for bytes in [
        members.iter().flat_map(|m| gzip(m)).collect::<Vec<u8>>(),
        members.iter().flat_map(|m| bzip2(m)).collect(),
        members.iter().flat_map(|m| xz(m)).collect(),
        members.iter().flat_map(|m| zst(m)).collect(),
        std::iter::once(skippable).chain(members.iter().map(|m| zst(m))).flatten().collect(),
    ] {
        assert_eq!(lines(&mut Directory::new(&[&bytes]).reader(3, 100)).unwrap(), plain);
    }
}

#[test]
fn truncated_and_damaged_compressed_files_are_named() {
    let text: Vec<u8> =
        (0..50_000_u32).flat_map(|i| format!("{}\n", i.wrapping_mul(2_654_435_761)).into_bytes()).collect();
    for (name, whole) in [("gzip", gzip(&text)), ("bzip2", bzip2(&text)), ("xz", xz(&text)), ("zstd", zst(&text))] {
        let two = [whole.clone(), whole.clone()].concat();
        for (bytes, cut) in [(&whole, whole.len() - 1), (&whole, whole.len() / 2), (&whole, 5), (&two, whole.len() + 7)]
        {
            let error = lines(&mut Directory::new(&[b"ok\n", &bytes[..cut]]).reader(1000, 100)).unwrap_err();
            let message = error.to_string();
            assert!(matches!(error, Error::Data { .. }), "{message}");
            assert!(message.contains("001") && message.contains(name) && message.contains("truncated"), "{message}");
        }
        let mut damaged = whole.clone();
        let middle = damaged.len() / 2;
        damaged[middle..middle + 64].fill(0xFF);
        let message = lines(&mut Directory::new(&[&damaged]).reader(1000, 1 << 20)).err().unwrap().to_string();
        assert!(message.contains("000") && message.contains("damaged"), "{message}");
    }
}

#[test]
fn other_formats_are_named() {
    for (bytes, name) in [(b"PK\x03\x04....".as_slice(), "zip"), (b"\xFF\xFEa\0", "UTF-16")] {
        let message = lines(&mut Directory::new(&[bytes]).reader(100, 100)).unwrap_err().to_string();
        assert!(message.contains(name) && message.contains("000"), "{message}");
    }
}

#[test]
fn a_file_that_went_away_is_named() {
    let directory = Directory::new(&[b"a\n", b"b\n"]);
    let mut reader = directory.reader(1, 10);
    fs::remove_file(directory.0.path().join("001")).unwrap();
    match lines(&mut reader) {
        Err(Error::Io { path, .. }) => assert_eq!(path.file_name(), Some(Path::new("001").as_os_str())),
        other => panic!("{other:?}"),
    }
}
