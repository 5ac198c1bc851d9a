use std::fs;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_128;

use super::*;
use crate::NoProgress;
use crate::files::web_server::WebServer;

/// A remote directory of `files`, and its description.
fn publish(server: &WebServer, path: &str, files: &[(&str, Vec<u8>)]) -> Wanted {
    let mut wanted = Wanted {
        address: Address::parse(&server.at(path)).unwrap(),
        manifest: ("meta.json".into(), Vec::new()),
        files: Vec::new(),
    };
    let mut manifest = String::new();
    for (name, bytes) in files {
        let sum = format!("{:032x}", xxh3_128(bytes));
        manifest.extend([*name, " ", &sum, "\n"]);
        server.put(&format!("{path}/{name}"), bytes.clone());
        let bytes = Some(bytes.len() as u64);
        wanted.files.push(File { name: (*name).into(), bytes, version: None, xxh3_128: Some(sum) });
    }
    wanted.manifest.1 = manifest.into_bytes();
    wanted
}

fn noise(seed: u8, length: usize) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8 ^ seed).collect()
}

fn cache(directory: &TempDir, size: Option<u64>) -> Cache {
    Cache { directory: Some(directory.path().join("cache")), size }
}

/// The names of all files in the cache that are neither locks nor notes.
fn content(directory: &TempDir) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory.path().join("cache")).unwrap().map(|it| it.unwrap().path()) {
        if entry.is_dir() {
            found.extend(fs::read_dir(&entry).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()));
        }
    }
    found.retain(|name| name != ".entry.json");
    found.sort();
    found
}

#[test]
fn a_directory_is_fetched_once() {
    let (server, directory) = (WebServer::start(), tempfile::tempdir().unwrap());
    let files = [("a", noise(1, 9_000_000)), ("b", Vec::new()), ("c", noise(3, 300_000)), ("d", noise(4, 1))];
    let wanted = publish(&server, "one", &files);
    let kept = cache(&directory, None).fetch(&wanted, &mut NoProgress).unwrap();
    for (name, bytes) in &files {
        assert_eq!(fs::read(kept.directory().join(name)).unwrap(), *bytes, "{name}");
    }
    assert_eq!(fs::read(kept.directory().join("meta.json")).unwrap(), wanted.manifest.1);
    assert_eq!(content(&directory), ["a", "b", "c", "d", "meta.json"]);

    // The same data at another address is the same entry.
    server.requests();
    let mut other = wanted.clone();
    other.address = Address::parse(&server.at("elsewhere")).unwrap();
    let again = cache(&directory, None).fetch(&other, &mut NoProgress).unwrap();
    assert_eq!(again.directory(), kept.directory());
    assert_eq!(server.requests(), [""; 0]);

    // A part of the directory is enough, and the rest comes later.
    let other = publish(&server, "two", &[("a", noise(5, 10)), ("b", noise(6, 10))]);
    let mut part = other.clone();
    part.files.truncate(1);
    let first = cache(&directory, None).fetch(&part, &mut NoProgress).unwrap();
    assert!(!first.directory().join("b").exists());
    let both = cache(&directory, None).fetch(&other, &mut NoProgress).unwrap();
    assert_eq!(first.directory(), both.directory());
    assert!(both.directory().join("b").exists());
}

#[test]
fn a_wrong_checksum_leaves_nothing_and_complete_files_stay() {
    let (server, directory) = (WebServer::start(), tempfile::tempdir().unwrap());
    let wanted = publish(&server, "one", &[("a", noise(1, 100)), ("b", noise(2, 100))]);
    for (bytes, message) in
        [(noise(3, 100), "its checksum (XXH3-128) is "), (noise(2, 99), "the object has 99 bytes, and not 100")]
    {
        server.put("one/b", bytes);
        let error = cache(&directory, None).fetch(&wanted, &mut NoProgress).unwrap_err();
        assert!(matches!(&error, Error::Data { path, .. } if *path == server.at("one/b")), "{error}");
        assert!(error.to_string().contains(message), "{error}");
        assert!(!content(&directory).contains(&"b".to_owned()));
        assert!(!content(&directory).contains(&"meta.json".to_owned()));
    }
    server.remove("one/b");
    let error = cache(&directory, None).fetch(&wanted, &mut NoProgress).unwrap_err().to_string();
    assert!(error.contains("/one/b: there is no such object"), "{error}");

    // The file of a later run need not be fetched again, and its temporaries are removed.
    let mut found = fs::read_dir(directory.path().join("cache")).unwrap().map(|it| it.unwrap().path());
    let entry = found.find(|path| path.is_dir()).unwrap();
    fs::write(entry.join("a"), noise(1, 100)).unwrap();
    fs::write(entry.join(".b.x1.tmp"), "half").unwrap();
    server.put("one/b", noise(2, 100));
    server.requests();
    cache(&directory, None).fetch(&wanted, &mut NoProgress).unwrap();
    assert!(server.requests().iter().all(|request| request.ends_with("/one/b")));
    assert_eq!(content(&directory), ["a", "b", "meta.json"]);
}

#[test]
fn names_cannot_lead_out_of_the_cache() {
    let (server, directory) = (WebServer::start(), tempfile::tempdir().unwrap());
    for name in ["../a", "/a", "a/b", "", ".entry.json", ".."] {
        let mut wanted = publish(&server, "one", &[("a", noise(1, 100))]);
        wanted.files[0].name = name.into();
        let error = cache(&directory, None).fetch(&wanted, &mut NoProgress).unwrap_err();
        assert!(matches!(&error, Error::Data { path, .. } if *path == server.at("one/meta.json")), "{error}");
        assert!(!directory.path().join("cache").exists());
    }
}

#[test]
fn the_least_recently_used_entries_go_first() {
    let (server, directory) = (WebServer::start(), tempfile::tempdir().unwrap());
    let bounded = cache(&directory, Some(2_500));
    let [one, two, three] = [1, 2, 3].map(|seed| publish(&server, "x", &[("a", noise(seed, 1_000))]));
    let fetch = |wanted: &Wanted, seed| {
        server.put("x/a", noise(seed, 1_000));
        bounded.fetch(wanted, &mut NoProgress)
    };
    let used = |kept: &Kept, seconds| {
        let name = format!(".{}.used", kept.directory().file_name().unwrap().to_str().unwrap());
        let file = fs::File::options().write(true).open(directory.path().join("cache").join(name)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    };
    let (first, second) = (fetch(&one, 1).unwrap(), fetch(&two, 2).unwrap());
    let (first_path, second_path) = (first.directory().to_owned(), second.directory().to_owned());
    used(&first, 1_000);
    used(&second, 2_000);
    // While both are used, there is no room for another one.
    let error = fetch(&three, 3).unwrap_err();
    assert!(matches!(error, Error::Rule { option: "cache_size", .. }), "{error}");
    assert!(error.to_string().contains("what other commands use"), "{error}");
    assert!(first_path.exists() && second_path.exists());
    // The first is older, but it is used.
    drop(second);
    let third = fetch(&three, 3).unwrap();
    assert!(first_path.exists() && !second_path.exists());
    drop((first, third));
    fetch(&two, 2).unwrap();
    assert!(!first_path.exists() && second_path.exists());

    let large = publish(&server, "large", &[("a", noise(7, 3_000))]);
    let error = bounded.fetch(&large, &mut NoProgress).unwrap_err();
    assert!(matches!(error, Error::Rule { option: "cache_size", .. }), "{error}");
    assert!(error.to_string().contains("/large, got 0.0000023 GiB; pass a larger `cache_size`"), "{error}");
    // Nothing is removed in vain.
    assert!(second_path.exists());
    assert!(cache(&directory, None).fetch(&large, &mut NoProgress).is_ok());
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let (server, directory) = (WebServer::start(), tempfile::tempdir().unwrap());
    let wanted = publish(&server, "one", &[("a", noise(1, 100))]);
    fs::write(directory.path().join("cache"), "a file").unwrap();
    let error = cache(&directory, None).fetch(&wanted, &mut NoProgress).unwrap_err();
    assert!(matches!(error, Error::System { option: Some("cache_dir"), .. }), "{error}");
    assert!(error.to_string().contains("pass another `cache_dir`"), "{error}");
    let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
    let error = unwritable(Path::new("/c"), Error::io("cannot write", "/c/x", full)).to_string();
    assert!(
        error.starts_with("cannot write to the cache directory /c: ") && error.contains("free some space"),
        "{error}"
    );
}

#[test]
fn the_cache_is_local() {
    let (server, remote) = (WebServer::start(), Cache { directory: Some("s3://bucket/cache".into()), size: None });
    let wanted = publish(&server, "one", &[("a", noise(1, 100))]);
    let error = remote.fetch(&wanted, &mut NoProgress).unwrap_err().to_string();
    assert_eq!(error, "cache_dir must be a local directory, got s3://bucket/cache");
}

struct StopWhen<F>(F, Arc<AtomicBool>);

impl<F: FnMut(u64, u64) -> bool + Send> Progress for StopWhen<F> {
    fn report(&mut self, stage: &'static str, unit: &'static str, done: u64, total: u64) -> bool {
        assert_eq!((stage, unit), ("fetching", "bytes"));
        assert!(done <= total);
        !(self.0)(done, total)
    }

    fn stop(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.1)
    }
}

use std::sync::Arc;

#[test]
fn it_can_be_stopped_while_a_server_does_not_answer() {
    let (server, directory) = (WebServer::start(), tempfile::tempdir().unwrap());
    let mut wanted = publish(&server, "one", &[("a", noise(1, 100)), ("b", noise(1, 100))]);
    for bytes in [Some(100), None] {
        wanted.files[0].bytes = bytes;
        server.hold(true);
        let error = cache(&directory, None).fetch(&wanted, &mut StopWhen(|_, _| true, Arc::default())).unwrap_err();
        assert!(matches!(error, Error::Interrupted(_)), "{error}");
        server.hold(false);
    }
    let error = waiting(&mut StopWhen(|_, _| true, Arc::default()), || {
        std::thread::sleep(Duration::from_hours(1));
        Ok(())
    });
    assert!(matches!(error, Err(Error::Interrupted(_))));
    cache(&directory, None).fetch(&wanted, &mut NoProgress).unwrap();
}

#[test]
fn several_that_start_together_fetch_once_and_report() {
    let (server, directory) = (WebServer::start(), tempfile::tempdir().unwrap());
    let wanted = publish(&server, "one", &[("a", noise(1, 500)), ("b", noise(2, 500))]);
    server.hold(true);
    let waits = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let waits = Arc::clone(&waits);
                let mut progress = StopWhen(
                    |_, total| {
                        waits.fetch_add(usize::from(total == 1_000), std::sync::atomic::Ordering::Relaxed);
                        false
                    },
                    Arc::default(),
                );
                let kept = cache(&directory, None).fetch(&wanted, &mut progress).unwrap();
                assert_eq!(fs::read(kept.directory().join("b")).unwrap(), noise(2, 500));
            });
        }
        while waits.load(std::sync::atomic::Ordering::Relaxed) < 8 {
            std::thread::sleep(Duration::from_millis(10));
        }
        server.hold(false);
    });
    let requests = server.requests();
    assert_eq!(requests.iter().filter(|request| *request == "GET /one/a").count(), 1, "{requests:?}");
}
