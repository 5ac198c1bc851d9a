use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::files::compress::bzip2;

/// Returns text that does not compress to almost nothing.
fn text(bytes: usize) -> Vec<u8> {
    let words = (0_u32..).flat_map(|i| format!("{:x} ", i.wrapping_mul(2_654_435_761)).into_bytes());
    words.take(bytes).collect()
}

/// Returns all bytes that can be read, and the error that ends reading.
fn read(compressed: &[u8], buffer: usize) -> (Vec<u8>, Option<ErrorKind>) {
    let mut reader = MultiStream::new(io::BufReader::with_capacity(buffer, Cursor::new(compressed)));
    let mut out = Vec::new();
    let error = reader.read_to_end(&mut out).err().map(|error| error.kind());
    (out, error)
}

fn with_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn streams_of_any_length_come_in_order(
        lengths in prop::collection::vec(prop_oneof![0_usize..50, 0_usize..3000, 100_000_usize..400_000], 1..12),
        buffer in 1_usize..5000,
        threads in 1_usize..5,
    ) {
        let text = text(400_000);
        let plain: Vec<u8> = lengths.iter().flat_map(|&n| text[..n].to_vec()).collect();
        let compressed: Vec<u8> = lengths.iter().flat_map(|&n| bzip2(&text[..n])).collect();
        prop_assert_eq!(with_threads(threads, || read(&compressed, buffer)), (plain, None));
    }

    #[test]
    fn nothing_is_short_without_an_error(
        lengths in prop::collection::vec(0_usize..500, 1..6),
        at in any::<prop::sample::Index>(),
        flip in prop::option::of(1_u8..),
    ) {
        let text = text(500);
        let streams: Vec<Vec<u8>> = lengths.iter().map(|&n| bzip2(&text[..n])).collect();
        let plain: Vec<u8> = lengths.iter().flat_map(|&n| text[..n].to_vec()).collect();
        let mut compressed = streams.concat();
        let at = at.index(compressed.len());
        let mut boundary = 0;
        let is_boundary = streams.iter().any(|stream| {
            boundary += stream.len();
            boundary == at
        });
        match flip {
            Some(flip) => compressed[at] ^= flip,
            None => compressed.truncate(at),
        }
        let (out, error) = read(&compressed, 1000);
        // The level's digit may change, and whole streams may be missing.
        prop_assert!(error.is_some() || out == plain || flip.is_none() && (is_boundary || at == 0));
        // The content of a damaged block is handed over before its checksum is reached.
        prop_assert!(flip.is_some() || plain.starts_with(&out));
    }
}

#[test]
fn an_apparent_stream_inside_a_stream_is_ignored() {
    // In a block, even incompressible bytes are not aligned to bytes, so a chance match must be constructed. The search
    // finds it, and the stream before it does not end there.
    let inner = bzip2(b"inner");
    let likeness = [&inner[..10], &[0; 20]].concat();
    let mut reader = MultiStream::new(Cursor::new([bzip2(b"a"), likeness, bzip2(b"b")].concat()));
    let mut out = Vec::new();
    assert_eq!(reader.read_to_end(&mut out).unwrap_err().kind(), ErrorKind::InvalidData);
    assert_eq!(out, b"a");
    assert_eq!(decode(&bzip2(b"text")[..30], 100), None);
}

#[test]
fn long_streams_and_streams_that_grow_are_read_in_bounded_memory() {
    let long = text(LONGEST * 3);
    let compressed = bzip2(&long);
    assert!(compressed.len() > LONGEST, "{}", compressed.len());
    let zeros = vec![0; DECODED.0 / 2 + 1];
    let (two, dense) = (bzip2(b"two"), bzip2(&zeros));
    let streams = [&two[..], &compressed, &two, &dense, &two].concat();
    let mut reader = MultiStream::new(io::BufReader::new(Cursor::new(&streams)));
    let mut out = Vec::new();
    loop {
        let part = reader.fill_buf().unwrap();
        if part.is_empty() {
            break;
        }
        out.extend_from_slice(part);
        let n = part.len();
        reader.consume(n);
        assert!(reader.compressed.capacity() <= 2 * (LONGEST + 2 * READ), "{}", reader.compressed.capacity());
    }
    assert!(out == [b"two", &long[..], b"two", &zeros, b"two"].concat());
}

#[test]
fn data_after_the_last_stream_is_an_error() {
    let whole = bzip2(b"text");
    for (rest, kind) in [
        (&b"more"[..], ErrorKind::InvalidData),
        (b"\0\0x\0", ErrorKind::InvalidData),
        (b"BZ", ErrorKind::UnexpectedEof),
        (b"BZh9", ErrorKind::UnexpectedEof),
        (&whole[..whole.len() / 2], ErrorKind::UnexpectedEof),
    ] {
        assert_eq!(read(&[&whole, rest].concat(), 100), (b"text".to_vec(), Some(kind)), "{rest:?}");
    }
    assert_eq!(read(&[&whole, &b"\0\0\0\0"[..]].concat(), 100), (b"text".to_vec(), None));
}
