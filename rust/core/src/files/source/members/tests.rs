use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::Error;
use crate::files::compress::{bzip2, gzip, xz, zst};
use crate::files::inputs::{InputFile, InputKind};
use crate::files::source::Meter;
use crate::files::source::Source;

type Compress = fn(&[u8]) -> Vec<u8>;

const ALL: [(&str, Compress); 4] = [("gzip", gzip), ("bzip2", bzip2), ("xz", xz), ("zstd", zst)];

/// Returns all that can be read from a pipe with these bytes, and the error that ends reading.
fn read(compressed: Vec<u8>) -> (Vec<u8>, Option<Error>) {
    let file = InputFile { path: "pipe".into(), kind: InputKind::Stdin, bytes: 0, version: None };
    let pipe = Box::new(Cursor::new(compressed));
    let mut source = Source::open(&file, Some(pipe), 0, &Meter::default()).unwrap();
    let mut out = Vec::new();
    let error = source.reader.read_to_end(&mut out).err();
    (out, error.map(|error| source.error(&file, error)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn zeros_after_any_part_are_skipped(
        parts in prop::collection::vec((0_usize..3000, prop_oneof![Just(0_usize), 1_usize..20, Just(300_000)]), 1..5),
        which in 0_usize..4,
    ) {
        let text: Vec<u8> = (0_u32..).flat_map(|i| format!("{i} ").into_bytes()).take(3000).collect();
        let compress = ALL[which].1;
        let plain: Vec<u8> = parts.iter().flat_map(|&(n, _)| text[..n].to_vec()).collect();
        let compressed = parts.iter().flat_map(|&(n, zeros)| [compress(&text[..n]), vec![0; zeros]].concat()).collect();
        let (found, error) = read(compressed);
        prop_assert!(error.is_none(), "{error:?}");
        prop_assert_eq!(found, plain);
    }
}

#[test]
fn other_bytes_after_the_data_are_named() {
    for (name, compress) in ALL {
        let whole = compress(b"one\ntwo\n");
        for (gap, garbage) in [(0, &b"garbage and more"[..]), (5, b"x"), (700_000, b"\nOne is here.")] {
            let (found, error) = read([whole.as_slice(), &vec![0; gap], garbage].concat());
            assert_eq!(found, b"one\ntwo\n", "{name}");
            let message = error.expect(name).to_string();
            let place = format!("byte {}:", whole.len() + gap + 1);
            assert!(message.contains(&place) && message.contains(&format!("{name} -dc FILE > NEW")), "{message}");
        }
        // The beginning of another part is a truncated part.
        let (found, error) = read([whole.as_slice(), &whole[..whole.len() / 2]].concat());
        assert!(found.starts_with(b"one\ntwo\n"), "{name}");
        let message = error.expect(name).to_string();
        assert!(message.contains("truncated"), "{message}");
    }
}

#[test]
fn skippable_frames_are_empty() {
    let skipped = [&[0x50, 0x2A, 0x4D, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
    let (found, error) =
        read([skipped.clone(), zst(b"one "), vec![0; 9], skipped.clone(), zst(b"two"), skipped].concat());
    assert!(error.is_none(), "{error:?}");
    assert_eq!(found, b"one two");
}
