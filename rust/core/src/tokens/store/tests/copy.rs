//! Copies of documents against the mapped ones. In tests, windows are small and only the first parts stay open.

use std::ops::Range;

use super::*;
use crate::Error;
use crate::tokens::documents::Reading;
use crate::tokens::store::part_file::KEPT_OPEN;

/// Compares segments of a document, read as a copy and mapped.
fn compare(
    copied: &TokenStore,
    mapped: &TokenStore,
    index: u64,
    segments: Range<usize>,
    ahead: u64,
    reading: &mut Reading,
) -> std::result::Result<(), TestCaseError> {
    let document = mapped.document(index);
    let outline = copied.outline(index, segments.clone(), ahead, reading).unwrap();
    prop_assert_eq!(outline.segments(), document.segments());
    // More than there are may be asked for.
    let segments = segments.start..segments.end.min(document.segments());
    if segments.is_empty() {
        return Ok(());
    }
    prop_assert!(outline.covers(&segments));
    prop_assert!(outline.ends_from(segments.start).len() >= segments.len());
    let borders = segments.start..=segments.end;
    for segment in borders.clone() {
        prop_assert_eq!(outline.segment_start(segment), document.segment_start(segment));
    }
    let excerpt = copied.excerpt(index, segments.clone(), reading).unwrap();
    for segment in borders {
        prop_assert_eq!(excerpt.outline.segment_start(segment), document.segment_start(segment));
    }
    let tokens = document.segment_start(segments.start)..document.segment_start(segments.end);
    let (mut found, mut expected) = (Vec::new(), Vec::new());
    excerpt.ids(&tokens).append_to(&mut found);
    document.ids.extend_into(tokens.start as usize..tokens.end as usize, &mut expected);
    prop_assert_eq!(excerpt.id(tokens.end - 1), expected[expected.len() - 1]);
    prop_assert_eq!(found, expected);
    Ok(())
}

fn corpora() -> impl Strategy<Value = Corpus> {
    let sentence = prop::collection::vec(0_u32..300, 1..9);
    // Some documents are longer than what is read at once.
    let document = prop_oneof![prop::collection::vec(sentence.clone(), 1..5), prop::collection::vec(sentence, 1..40)];
    prop::collection::vec(document, 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn copies_are_what_is_mapped(
        corpora in (corpora(), corpora()),
        wide in any::<bool>(),
        part_tokens in 0_u64..200,
        reads in prop::collection::vec(
            (any::<bool>(), any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..20_usize, 0..6_u64), 1..60,
        ),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let vocab_size = if wide { 65_537 } else { 300 };
        let stores = [("a", &corpora.0), ("b", &corpora.1)].map(|(name, corpus)| {
            let directory = directory.path().join(name);
            write(&directory, corpus, vocab_size, part_tokens);
            let open = || TokenStore::open(&directory).unwrap();
            (open().always_copying(), open())
        });
        // One reading serves both stores.
        let mut reading = Reading::default();
        for (second, document, start, count, ahead) in reads {
            let (copied, mapped) = &stores[usize::from(second)];
            let index = document.index(mapped.num_documents() as usize) as u64;
            let start = start.index(mapped.document(index).segments());
            compare(copied, mapped, index, start..start + count, ahead, &mut reading)?;
        }
        for (copied, mapped) in &stores {
            // One after the other, as a plan reads them.
            let count = mapped.num_documents();
            for index in 0..count {
                let segments = mapped.document(index).segments();
                compare(copied, mapped, index, 0..segments, count - index - 1, &mut reading)?;
            }
        }
    }
}

/// Twelve documents of two sentences, in four parts.
fn small() -> (tempfile::TempDir, Vec<PathBuf>, TokenStore) {
    let directory = tempfile::tempdir().unwrap();
    let corpus = (0..12).map(|number| vec![vec![number, 1], vec![number, 2]]).collect();
    let meta = write(directory.path(), &corpus, 100, 12);
    assert!(meta.parts.len() == 4 && KEPT_OPEN < 4);
    let parts = meta.parts.iter().map(|part| directory.path().join(&part.file)).collect();
    let store = TokenStore::open(directory.path()).unwrap().always_copying();
    (directory, parts, store)
}

fn starts(store: &TokenStore, index: u64, reading: &mut Reading) -> crate::Result<Vec<u64>> {
    let outline = store.outline(index, 0..2, 0, reading)?;
    Ok((0..=2).map(|segment| outline.segment_start(segment)).collect())
}

#[test]
fn a_truncated_part_is_an_error_that_names_it() {
    let (_directory, parts, store) = small();
    let mut reading = Reading::default();
    for (number, path) in parts.iter().enumerate() {
        let bytes = fs::read(path).unwrap();
        let write = |bytes: &[u8]| {
            // The time of the last change stays, as if a disk had lost the end of the file.
            let modified = fs::metadata(path).unwrap().modified().unwrap();
            fs::write(path, bytes).unwrap();
            fs::File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
        };
        let check = |error: Error| match error {
            Error::Io { path: named, .. } => assert_eq!(named, *path),
            other => panic!("{other:?}"),
        };
        let (index, other) = (3 * number as u64, (3 * number as u64 + 3) % 12);
        assert_eq!(starts(&store, index, &mut reading).unwrap(), [0, 2, 4]);
        // Only the header is left. The outline was read before.
        write(&bytes[..64]);
        check(store.excerpt(index, 0..2, &mut reading).unwrap_err());
        check(starts(&store, index, &mut Reading::default()).unwrap_err());
        // A window that could not be read is not used.
        starts(&store, other, &mut reading).unwrap();
        check(starts(&store, index, &mut reading).unwrap_err());
        check(starts(&store, index, &mut reading).unwrap_err());
        assert_eq!(starts(&store, other, &mut reading).unwrap(), [0, 2, 4]);
        write(&bytes);
        assert_eq!(starts(&store, index, &mut reading).unwrap(), [0, 2, 4]);
    }
}

#[test]
fn a_replaced_part_is_not_read() {
    let (_directory, parts, store) = small();
    for (number, path) in parts.iter().enumerate() {
        let copy = path.with_extension("copy");
        fs::copy(path, &copy).unwrap();
        fs::rename(&copy, path).unwrap();
        match store.excerpt(3 * number as u64, 0..2, &mut Reading::default()) {
            // The old file is still open.
            Ok(excerpt) => assert!(number < KEPT_OPEN && excerpt.outline.segments() == 2),
            Err(error) => assert!(number >= KEPT_OPEN && error.to_string().contains("was replaced"), "{error}"),
        }
    }
}

#[test]
fn ends_that_do_not_ascend_are_found() {
    // Sentence ends 2, 4, 6, 8, 10, 12 begin at byte 128, document ends 2, 4, 6 at byte 192.
    for (at, value, document) in [(128 + 8, 2, 0), (128 + 16, 4, 1), (128 + 24, 99, 1), (192 + 8, 2, 1), (192, 9, 0)] {
        let (_directory, parts, store) = small();
        let mut bytes = fs::read(&parts[1]).unwrap();
        bytes[at] = value;
        fs::write(&parts[1], bytes).unwrap();
        match store.outline(3, 0..2, 2, &mut Reading::default()) {
            Err(Error::Data { path, reason }) => {
                assert_eq!(path, parts[1]);
                assert!(reason.contains(&format!("document {document} ")), "{at}: {reason}");
            }
            other => panic!("{at}: {other:?}"),
        }
    }
}
