use std::collections::BTreeMap;
use std::fs;

use tempfile::TempDir;

use super::*;
use crate::NoProgress;
use crate::files::web_server::WebServer;
use crate::records::index::ReadBuffer;
use crate::records::index::RecordIndex;
use crate::records::tfrecord::{RecordReader, frame};

fn records(from: u8) -> Vec<u8> {
    let mut out = Vec::new();
    for number in from..from + 3 {
        frame(&mut out, |out| out.extend_from_slice(&[number; 20]));
    }
    out
}

fn dataset(shards: &[(&str, &[u8])]) -> String {
    let shards: Vec<_> = shards
        .iter()
        .map(|(file, bytes)| {
            let sum = format!("{:032x}", xxhash_rust::xxh3::xxh3_128(bytes));
            serde_json::json!({"file": file, "bytes": bytes.len(), "xxh3_128": sum})
        })
        .collect();
    serde_json::json!({ "format": "albert-fast records", "shards": shards }).to_string()
}

fn cache(directory: &TempDir) -> Cache {
    Cache { directory: Some(directory.path().into()), size: None }
}

/// Returns the first byte of each record.
fn read(paths: &[PathBuf]) -> Vec<u8> {
    let index = RecordIndex::open(paths, None, 1, &mut NoProgress).unwrap();
    let mut buffer = ReadBuffer::default();
    (0..index.len()).map(|number| index.read(number, &mut buffer).unwrap().data[0]).collect()
}

#[test]
fn files_of_several_directories_keep_their_order() {
    let (server, directory) = (WebServer::start(), tempfile::tempdir().unwrap());
    let [a, b, c] = [records(1), records(11), records(21)];
    server.put("one/a.tfrecord", a.clone());
    server.put("one/b.tfrecord", b.clone());
    server.put("one/dataset.json", dataset(&[("a.tfrecord", &a), ("b.tfrecord", &b)]));
    server.put("two/a.tfrecord", c);
    let here = directory.path().join("here.tfrecord");
    fs::write(&here, records(31)).unwrap();
    let paths = [server.at("two/a.tfrecord"), server.at("one/b.tfrecord"), here.clone(), server.at("one/a.tfrecord")];
    let (found, kept) = local(&paths, &cache(&directory), &mut NoProgress).unwrap();
    assert_eq!(kept.len(), 2);
    assert_eq!(found[2], here);
    assert_eq!(read(&found), [21, 22, 23, 11, 12, 13, 31, 32, 33, 1, 2, 3]);
    // What dataset.json lists is checked.
    assert!(found[1].parent().unwrap().join("dataset.json").exists());
    server.put("three/b.tfrecord", records(12));
    server.put("three/dataset.json", dataset(&[("b.tfrecord", &b), ("x.tfrecord", &a)]));
    let error = local(&[server.at("three/b.tfrecord")], &cache(&directory), &mut NoProgress).unwrap_err().to_string();
    assert!(error.contains("three/b.tfrecord: its checksum (XXH3-128) is "), "{error}");
}

#[test]
fn a_changed_file_is_fetched_again() {
    let (server, directory) = (WebServer::start(), tempfile::tempdir().unwrap());
    let path = [server.at("a.tfrecord")];
    let fetch = || local(&path, &cache(&directory), &mut NoProgress).map(|(found, _)| read(&found));
    server.put("a.tfrecord", records(1));
    assert_eq!(fetch().unwrap(), [1, 2, 3]);
    server.requests();
    assert_eq!(fetch().unwrap(), [1, 2, 3]);
    assert_eq!(server.requests(), ["GET /dataset.json", "HEAD /a.tfrecord"]);
    server.put("a.tfrecord", records(2));
    assert_eq!(fetch().unwrap(), [2, 3, 4]);
    server.remove("a.tfrecord");
    let error = fetch().unwrap_err().to_string();
    assert!(error.starts_with("cannot read http://127.0.0.1:") && error.contains("/a.tfrecord: "), "{error}");
}

#[test]
fn a_directory_on_the_web_is_known_by_its_dataset() {
    let server = WebServer::start();
    let a = records(1);
    server.put("one/a.tfrecord", a.clone());
    server.put("one/dataset.json", dataset(&[("a.tfrecord", &a)]));
    let shown = |path: &str| find(&server.at(path)).unwrap();
    assert_eq!(shown("one"), [server.at("one/a.tfrecord")]);
    assert_eq!(shown("one/"), [server.at("one/a.tfrecord")]);
    assert_eq!(shown("one/a.tfrecord"), [server.at("one/a.tfrecord")]);
    assert!(shown("two").is_empty());
}

#[test]
fn records_are_read_from_a_server() {
    let server = WebServer::start();
    server.put("a", records(1));
    let read = |path: &str| -> Result<BTreeMap<u64, u8>> {
        let mut reader = RecordReader::open(server.at(path))?;
        let mut found = BTreeMap::new();
        while let Some(record) = reader.read()? {
            found.insert(record.index, record.data[0]);
        }
        Ok(found)
    };
    assert_eq!(read("a").unwrap(), BTreeMap::from([(0, 1), (1, 2), (2, 3)]));
    let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut zipped, &records(4)).unwrap();
    server.put("b", zipped.finish().unwrap());
    assert_eq!(read("b").unwrap(), BTreeMap::from([(0, 4), (1, 5), (2, 6)]));
    assert!(matches!(read("c"), Err(Error::Io { path, .. }) if path == server.at("c")));
}
