mod copy;

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::NoProgress;
use crate::files::cache::Cache;
use crate::files::web_server::WebServer;
use crate::tokens::documents::{Documents, Ids, MemoryDocuments};

/// Documents, each a list of sentences, each a list of ids.
type Corpus = Vec<Vec<Vec<u32>>>;

fn write(directory: &Path, corpus: &Corpus, vocab_size: u32, part_tokens: u64) -> StoreMeta {
    let tokenizer = TokenizerInfo { digest: "abc".into(), description: json!({"kind": "toy"}), vocab_size, file: None };
    let mut writer = StoreWriter::new(directory, tokenizer, part_tokens, Vec::new()).unwrap();
    for document in corpus {
        for sentence in document {
            if !sentence.is_empty() {
                writer.push_sentences(Ids::U32(sentence), 0, &[sentence.len() as u32]).unwrap();
            }
        }
        if writer.end_document().unwrap() {
            writer.close_part().unwrap();
        }
    }
    writer.finish(Vec::new(), json!({}), 0).unwrap()
}

fn in_memory(corpus: &Corpus) -> MemoryDocuments {
    let mut documents = MemoryDocuments::new();
    for document in corpus {
        for sentence in document {
            documents.push_segment(sentence);
        }
        documents.end_document();
    }
    documents
}

/// Returns what a reader of `Documents` sees.
fn read(documents: &impl Documents) -> Corpus {
    let segment = |document: &crate::tokens::documents::Document<'_>, i| {
        let mut ids = Vec::new();
        document.ids.extend_into(document.segment_start(i) as usize..document.segment_start(i + 1) as usize, &mut ids);
        ids
    };
    (0..documents.num_documents())
        .map(|i| {
            let document = documents.document(i);
            (0..document.segments()).map(|s| segment(&document, s)).collect()
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn documents_come_back(
        corpus in prop::collection::vec(prop::collection::vec(prop::collection::vec(0_u32..300, 0..9), 0..6), 1..40),
        wide in any::<bool>(),
        part_tokens in 0_u64..100,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let meta = write(directory.path(), &corpus, if wide { 65_537 } else { 300 }, part_tokens);
        let store = TokenStore::open(directory.path()).unwrap();
        let expected = read(&in_memory(&corpus));
        prop_assert_eq!(read(&store), expected.clone());
        store.release();
        prop_assert_eq!(read(&store), expected.clone());
        store.verify().unwrap();
        prop_assert_eq!(store.num_documents() as usize, expected.len());
        prop_assert_eq!(store.num_sentences() as usize, expected.iter().flatten().count());
        prop_assert_eq!(store.num_tokens() as usize, expected.iter().flatten().flatten().count());
        prop_assert_eq!(store.meta(), &meta);
        // Every part except the last is full, and was not full before its last document.
        for (i, part) in meta.parts.iter().enumerate() {
            prop_assert!(i + 1 == meta.parts.len() || part.tokens >= part_tokens);
            let first: u64 = meta.parts[..i].iter().map(|p| p.documents).sum();
            let last: usize = expected[(first + part.documents - 1) as usize].iter().map(Vec::len).sum();
            prop_assert!(part.documents == 1 || part.tokens - (last as u64) < part_tokens);
        }
        let files = fs::read_dir(directory.path()).unwrap().count();
        prop_assert_eq!(files, 1 + meta.parts.len());
    }
}

fn sample(vocab_size: u32) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let corpus = vec![vec![vec![1, 2, 3], vec![4]], vec![vec![5, 6]], vec![vec![7; 50], vec![8; 9], vec![9]]];
    write(directory.path(), &corpus, vocab_size, 6);
    let part = directory.path().join(part_name(0, 1));
    assert!(!part.exists() || TokenStore::open(directory.path()).unwrap().num_parts() == 2);
    (directory, part)
}

#[test]
fn bytes_are_as_specified() {
    let directory = tempfile::tempdir().unwrap();
    let meta = write(directory.path(), &vec![vec![vec![1, 515], vec![3]], vec![vec![4]]], 600, 1000);
    let mut expected = b"ALBTOKEN".to_vec();
    for value in [1_u32, 2, 600, 0] {
        expected.extend(value.to_le_bytes());
    }
    for value in [4_u64, 3, 2, 0, 0] {
        expected.extend(value.to_le_bytes());
    }
    expected.extend([1, 0, 3, 2, 3, 0, 4, 0]);
    expected.resize(128, 0);
    for value in [2_u64, 3, 4] {
        expected.extend(value.to_le_bytes());
    }
    expected.resize(192, 0);
    for value in [2_u64, 3] {
        expected.extend(value.to_le_bytes());
    }
    assert_eq!(fs::read(directory.path().join("part-00000.tokens")).unwrap(), expected);
    assert_eq!(meta.parts[0].bytes, expected.len() as u64);
    // The checksum of an empty input, from the algorithm's published vectors. The order of the digits is that of
    // `xxhsum -H2`.
    assert_eq!(files::checksum(&b""[..]).unwrap(), "99aa06d3014798d86001c324468d497f");
    assert_eq!(files::checksum(&expected[..]).unwrap(), meta.parts[0].xxh3_128);
}

#[test]
fn damage_is_found_and_named() {
    type Damage = fn(&mut Vec<u8>);
    // Detected when the store is opened: the damage, and words of the error.
    let cases: [(Damage, &str); 8] = [
        (|b| b.truncate(b.len() - 1), "truncated"),
        (|b| b.truncate(10), "truncated"),
        (Vec::clear, "truncated"),
        (|b| b.push(0), "too long"),
        (|b| b[0] = b'X', "begins with"),
        (|b| b[8] = 2, "version 2"),
        (|b| b[24] += 1, "header"),
        (|b| *b.last_mut().unwrap() = 1, "document ends"),
    ];
    for (damage, words) in cases {
        let (directory, part) = sample(100);
        let mut bytes = fs::read(&part).unwrap();
        damage(&mut bytes);
        fs::write(&part, bytes).unwrap();
        match TokenStore::open(directory.path()) {
            Err(Error::Data { path, reason }) => assert!(path == part && reason.contains(words), "{reason}"),
            other => panic!("{words}: {other:?}"),
        }
    }
    // Detected only when every byte is checked.
    let (directory, part) = sample(100);
    let mut bytes = fs::read(&part).unwrap();
    bytes[70] ^= 1;
    fs::write(&part, bytes).unwrap();
    let store = TokenStore::open(directory.path()).unwrap();
    match store.verify() {
        Err(Error::Data { path, reason }) => assert!(path == part && reason.contains("XXH3"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

/// Changes a part and its checksum in the description, as if the damage was there when the part was written.
fn forge(directory: &Path, part: &Path, change: impl Fn(&mut [u8])) {
    let mut bytes = fs::read(part).unwrap();
    change(&mut bytes);
    fs::write(part, &bytes).unwrap();
    let mut meta = TokenStore::read_meta(directory).unwrap();
    meta.parts[1].xxh3_128 = files::checksum(&bytes[..]).unwrap();
    crate::files::atomic::write_json(directory.join(META_FILE), &meta).unwrap();
}

#[test]
fn inconsistent_contents_are_found() {
    // Part 1 has 60 tokens in 3 sentences: sentence ends 50, 59, 60 from byte 192 (16 bits) or 320 (32 bits).
    for (vocab_size, ends) in [(100, 192), (70_000, 320)] {
        let cases = [(ends + 8, 50, "sentence end 1 is 50, after 50"), (64, 255, "token 0")];
        for (at, value, words) in cases {
            let (directory, part) = sample(vocab_size);
            forge(directory.path(), &part, |bytes| {
                bytes[at] = value;
                if vocab_size > 1 << 16 && at == 64 {
                    bytes[at + 3] = value;
                }
            });
            let message = TokenStore::open(directory.path()).unwrap().verify().unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        }
    }
}

#[test]
fn descriptions_that_cannot_be_used() {
    let message = |directory: &Path| TokenStore::open(directory).unwrap_err().to_string();
    let (directory, part) = sample(100);
    let meta = directory.path().join(META_FILE);
    let good = fs::read_to_string(&meta).unwrap();
    let replace = |from: &str, to: &str| {
        assert!(good.contains(from));
        fs::write(&meta, good.replacen(from, to, 1)).unwrap();
        message(directory.path())
    };
    assert!(replace("\"version\": 1", "\"version\": 7").contains("version 7"));
    assert!(replace(FORMAT, "something").contains("something"));
    assert!(replace("\"documents\": 3", "\"documents\": 4").contains("totals"));
    assert!(replace("{", "").contains("not the description of a token store"));
    assert!(replace("\"vocab_size\": 100", "\"vocab_size\": 101").contains("header"));
    fs::remove_file(&part).unwrap();
    fs::write(&meta, &good).unwrap();
    assert!(message(directory.path()).contains("the file does not exist"));
    fs::remove_file(&meta).unwrap();
    assert!(message(directory.path()).ends_with("(it has no meta.json); make a token store with albert-fast tokenize"));
    assert!(message(Path::new("none")).starts_with("none: no such file or directory; make a token store"));
    assert!(!TokenStore::is_store(directory.path()));
    fs::write(directory.path().join(JOURNAL_FILE), "{}").unwrap();
    assert!(message(directory.path()).contains("this token store is not complete; run the same"));
}

#[test]
fn ids_that_do_not_fit_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let tokenizer = TokenizerInfo { digest: String::new(), description: json!(null), vocab_size: 100, file: None };
    let mut writer = StoreWriter::new(directory.path(), tokenizer, 10, Vec::new()).unwrap();
    let error = writer.push_sentences(Ids::U32(&[1, 65_536]), 0, &[2]).unwrap_err();
    assert!(error.to_string().contains("65536"), "{error}");
    drop(writer);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn removing_leaves_what_is_not_ours() {
    let (directory, _) = sample(100);
    for name in ["notes.txt", "part-x.tokens", "part-00000.txt", ".part-00003-001.tokens.aB3dE6.tmp"] {
        fs::write(directory.path().join(name), "").unwrap();
    }
    TokenStore::remove(directory.path()).unwrap();
    let mut left: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["notes.txt", "part-00000.txt", "part-x.tokens"]);
}

#[test]
fn a_remote_store_is_fetched_and_kept() {
    let (server, directory) = (WebServer::start(), tempfile::tempdir().unwrap());
    let local = directory.path().join("store");
    let corpus: Corpus = (0..50).map(|document| vec![vec![document, 7], vec![document + 100]]).collect();
    write(&local, &corpus, 300, 40);
    server.put_directory("store", &local);
    let cache = Cache { directory: Some(directory.path().join("cache")), size: Some(100_000) };
    let store = TokenStore::open_with(&server.at("store"), &cache, &mut NoProgress).unwrap();
    store.verify().unwrap();
    assert_eq!(read(&store), read(&TokenStore::open(&local).unwrap()));
    assert_eq!(store.address(), Some(server.at("store").as_path()));
    assert!(store.directory().starts_with(directory.path().join("cache")) && store.num_parts() > 1);
    // Another store does not replace one that is open.
    let other = write(&directory.path().join("other"), &corpus, 70_000, 40);
    let tight = Cache { size: Some(other.bytes + 100), ..cache.clone() };
    server.put_directory("other", &directory.path().join("other"));
    let error = TokenStore::open_with(&server.at("other"), &tight, &mut NoProgress).unwrap_err();
    assert!(matches!(error, Error::Rule { option: "cache_size", .. }), "{error}");
    drop(store);
    TokenStore::open_with(&server.at("other"), &tight, &mut NoProgress).unwrap();
    let error = TokenStore::open_with(&server.at("none"), &cache, &mut NoProgress).unwrap_err().to_string();
    assert!(error.contains("/none: "), "{error}");
}
