//! Tests of indexes that are built, loaded, stale and damaged, and of files that change while they are read.

use std::io::Write;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::NoProgress;
use crate::records::tfrecord::frame;

fn framed(records: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for record in records {
        frame(&mut out, |out| out.extend_from_slice(record));
    }
    out
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Returns records that contain their numbers.
fn numbered(first: usize, count: usize) -> Vec<Vec<u8>> {
    (first..first + count).map(|number| format!("{number} ").repeat(number % 7).into_bytes()).collect()
}

fn put(directory: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Returns a separate budget, because tests run at the same time.
fn budget(files: usize) -> &'static Budget {
    Box::leak(Box::new(Budget(AtomicUsize::new(files))))
}

fn open(paths: &[PathBuf], directory: Option<&Path>) -> Result<RecordIndex> {
    open_within(paths, directory, budget(MAX_OPEN))
}

fn open_within(paths: &[PathBuf], directory: Option<&Path>, budget: &'static Budget) -> Result<RecordIndex> {
    RecordIndex::open_within(paths, directory, 2, &mut NoProgress, budget)
}

fn read_all(index: &RecordIndex) -> Vec<Vec<u8>> {
    let mut buffer = ReadBuffer::default();
    (0..index.len()).map(|number| index.read(number, &mut buffer).unwrap().data.to_vec()).collect()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn is_stored(index: &RecordIndex) -> bool {
    index.files.iter().all(|file| matches!(file.offsets, Offsets::Stored(_)))
}

#[test]
fn plain_and_gzipped_files_in_one_numbering() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = framed(&numbered(5, 40));
    // The split is within a record: members need not end at the end of a record.
    let members = [gzip(&bytes[..70]), gzip(&bytes[70..])].concat();
    let paths = [
        put(&directory, "a", &framed(&numbered(0, 5))),
        put(&directory, "empty", b""),
        put(&directory, "b", &members),
        put(&directory, "none.gz", &gzip(b"")),
        put(&directory, "c.gz", &gzip(&framed(&numbered(45, 3)))),
    ];
    let indexes = directory.path().join("new/indexes");
    for directory in [None, Some(&*indexes), Some(&*indexes)] {
        let index = open(&paths, directory).unwrap();
        assert_eq!(index.len(), 48);
        assert_eq!(index.first_records().collect::<Vec<_>>(), [0, 5, 45]);
        assert_eq!(read_all(&index), numbered(0, 48));
        let mut buffer = ReadBuffer::default();
        let record = index.read(46, &mut buffer).unwrap();
        assert_eq!((record.index, record.offset), (1, 16 + numbered(45, 1)[0].len() as u64));
        let error = index.error(46, "bad".into()).to_string();
        assert_eq!(error, format!("{}, record 1 at byte {}: bad", paths[4].display(), record.offset));
    }
}

#[test]
fn there_must_be_a_record() {
    let directory = tempfile::tempdir().unwrap();
    let empty = put(&directory, "empty", b"");
    let twice = [empty.clone(), empty];
    for paths in [&[][..], &twice[..1], &twice] {
        assert!(matches!(open(paths, None), Err(Error::Input { .. })));
    }
}

#[test]
fn an_index_is_used_again() {
    let (directory, indexes) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let paths =
        [put(&directory, "a", &framed(&numbered(0, 9))), put(&directory, "b.gz", &gzip(&framed(&numbered(9, 4))))];
    assert!(!is_stored(&open(&paths, Some(indexes.path())).unwrap()));
    let written = names(indexes.path());
    assert_eq!(written.len(), 3);
    assert!(written.iter().all(|name| name.starts_with(".a-") || name.starts_with(".b.gz-")), "{written:?}");
    let index = open(&paths, Some(indexes.path())).unwrap();
    assert!(is_stored(&index));
    assert_eq!(read_all(&index), numbered(0, 13));

    // Leftovers of killed runs are removed, and nothing that belongs to others.
    std::fs::write(indexes.path().join(format!(".{}.x1Y2z3.tmp", written[0])), b"left").unwrap();
    let foreign = [".foo-0123456789abcdeX.index.bar.tmp", ".foo.index.bar.tmp", ".records-0.tfrecord.tmp"];
    for name in foreign {
        std::fs::write(indexes.path().join(name), b"other").unwrap();
    }
    std::fs::remove_file(indexes.path().join(&written[1])).unwrap();
    open(&paths, Some(indexes.path())).unwrap();
    let mut wanted = written.clone();
    wanted.extend(foreign.map(str::to_owned));
    wanted.sort();
    assert_eq!(names(indexes.path()), wanted);

    // A decompressed file that is missing or truncated is made again.
    let data = indexes.path().join(written.iter().find(|name| name.ends_with(".records")).unwrap());
    File::options().write(true).open(&data).unwrap().set_len(20).unwrap();
    assert_eq!(read_all(&open(&paths, Some(indexes.path())).unwrap()), numbered(0, 13));
    std::fs::remove_file(&data).unwrap();
    assert_eq!(read_all(&open(&paths, Some(indexes.path())).unwrap()), numbered(0, 13));
    assert!(is_stored(&open(&paths, Some(indexes.path())).unwrap()));
}

#[test]
fn a_stale_index_is_built_again() {
    let (directory, indexes) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (name, zip) in [("a", false), ("b.gz", true)] {
        let bytes = |records: &[Vec<u8>]| if zip { gzip(&framed(records)) } else { framed(records) };
        let path = put(&directory, name, &bytes(&numbered(0, 9)));
        open(std::slice::from_ref(&path), Some(indexes.path())).unwrap();
        // Another size.
        put(&directory, name, &bytes(&numbered(20, 30)));
        assert_eq!(read_all(&open(std::slice::from_ref(&path), Some(indexes.path())).unwrap()), numbered(20, 30));
        // The same size, another time.
        let reversed: Vec<_> = numbered(20, 30).into_iter().rev().collect();
        put(&directory, name, &bytes(&reversed));
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() + Duration::from_secs(5)).unwrap();
        assert_eq!(read_all(&open(std::slice::from_ref(&path), Some(indexes.path())).unwrap()), reversed);
    }
}

#[test]
fn any_changed_byte_of_an_index_has_it_built_again() {
    let (directory, indexes) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let paths = [put(&directory, "a", &framed(&numbered(0, 9)))];
    open(&paths, Some(indexes.path())).unwrap();
    let path = indexes.path().join(&names(indexes.path())[0]);
    let good = std::fs::read(&path).unwrap();
    assert_eq!(good.len(), 64 + 10 * 8);
    let mut damaged: Vec<Vec<u8>> = (0..good.len())
        .map(|at| {
            let mut bytes = good.clone();
            bytes[at] ^= 4;
            bytes
        })
        .collect();
    damaged.extend([good[..40].to_vec(), good[..64].to_vec(), good[..good.len() - 8].to_vec(), Vec::new()]);
    damaged.push([&good[..], &[0; 8]].concat());
    for bytes in damaged {
        std::fs::write(&path, &bytes).unwrap();
        let index = open(&paths, Some(indexes.path())).unwrap();
        assert!(!is_stored(&index));
        assert_eq!(read_all(&index), numbered(0, 9));
        assert_eq!(std::fs::read(&path).unwrap(), good);
    }
}

#[test]
fn an_index_has_the_bytes_of_its_description() {
    let (directory, indexes) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = put(&directory, "a", &framed(&[b"one".to_vec(), b"three".to_vec()]));
    let modified = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    open(std::slice::from_ref(&path), Some(indexes.path())).unwrap();
    let bytes = std::fs::read(indexes.path().join(&names(indexes.path())[0])).unwrap();
    let mut wanted = b"ALBINDEX\x01\0\0\0\0\0\0\0".to_vec();
    for value in [40_u64, 1_700_000_000_123, 2, 0, 0, 0, 0, 19, 40] {
        wanted.extend(value.to_le_bytes());
    }
    let sum = xxhash_rust::xxh3::xxh3_128(&[&wanted[..40], &wanted[64..]].concat());
    wanted[40..56].copy_from_slice(&sum.to_le_bytes());
    assert_eq!(bytes, wanted);
}

#[test]
fn what_cannot_be_written_or_read_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let paths = [put(&directory, "a", &framed(&numbered(0, 9)))];
    let error = open(&paths, Some(&paths[0])).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot create the directory {}", paths[0].display())), "{error}");
    let error = open(&[directory.path().to_owned()], None).unwrap_err().to_string();
    assert!(error.contains("a directory; records are read in random order"), "{error}");
    let error = open(&[directory.path().join("no")], None).unwrap_err().to_string();
    assert!(error.starts_with("cannot read ") && error.contains("No such file"), "{error}");
}

#[test]
fn damage_is_found_when_the_index_is_built() {
    let directory = tempfile::tempdir().unwrap();
    let good = framed(&[b"one".to_vec(), b"two".to_vec(), b"three".to_vec()]);
    let mut length = good.clone();
    length[19] ^= 1;
    let mut crc = good.clone();
    crc[19 + 8] ^= 1;
    for (bytes, wanted) in [
        (&length[..], "record 1 at byte 19: the length (2) fails its CRC: damaged; nothing after it can be read"),
        (&crc, "record 1 at byte 19: the length (3) fails its CRC: damaged; nothing after it can be read"),
        (
            &good[..good.len() - 1],
            "record 2 at byte 38: the file ends after 8 of the 9 bytes of the record and its CRC",
        ),
        (&good[..24], "record 1 at byte 19: the file ends after 5 of the 12 bytes of the record's header"),
        (&good[..31], "record 1 at byte 19: the file ends after 0 of the 7 bytes of the record and its CRC"),
        (b"Just some text, in a file of another kind.\n", "this is not a TFRecord file, or its start is damaged"),
    ] {
        for (name, bytes) in [("a", bytes.to_vec()), ("a.gz", gzip(bytes))] {
            let path = put(&directory, name, &bytes);
            let error = open(std::slice::from_ref(&path), None).unwrap_err().to_string();
            assert!(error.contains(wanted) && error.starts_with(&path.display().to_string()), "{error}");
        }
    }
    let zipped = gzip(&framed(&numbered(0, 300)));
    let path = put(&directory, "cut.gz", &zipped[..zipped.len() / 2]);
    for indexes in [None, Some(directory.path())] {
        let error = open(std::slice::from_ref(&path), indexes).unwrap_err().to_string();
        assert!(error.contains("the gzip stream is truncated or damaged"), "{error}");
    }
    // Nothing is left of it.
    assert_eq!(names(directory.path()), ["a", "a.gz", "cut.gz"]);
}

#[test]
fn data_is_checked_when_it_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let mut bytes = framed(&[b"one".to_vec(), b"two".to_vec(), b"three".to_vec()]);
    bytes[19 + HEADER_BYTES] ^= 1;
    for (name, bytes) in [("a", bytes.clone()), ("a.gz", gzip(&bytes))] {
        let index = open(&[put(&directory, name, &bytes)], None).unwrap();
        let mut buffer = ReadBuffer::default();
        let error = index.read(1, &mut buffer).unwrap_err().to_string();
        assert!(error.ends_with("record 1 at byte 19: the data (3 bytes) fails its CRC"), "{error}");
        assert_eq!(index.read(2, &mut buffer).unwrap().data, b"three");
    }
}

#[test]
fn a_file_that_changes_under_its_index_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let good = framed(&[b"one".to_vec(), b"two".to_vec(), b"three".to_vec()]);
    let mut buffer = ReadBuffer::default();
    let mut after = |change: &dyn Fn(&File)| {
        let path = put(&directory, "a", &good);
        let index = open(std::slice::from_ref(&path), None).unwrap();
        change(&File::options().write(true).open(&path).unwrap());
        index.read(1, &mut buffer).unwrap_err().to_string()
    };
    let error = after(&|file| file.set_len(25).unwrap());
    assert!(error.contains("record 1 at byte 19: the file now ends within this record; it had 59 bytes"), "{error}");
    let error = after(&|file| file.write_all_at(b"x", 19 + 8).unwrap());
    assert!(error.contains("record 1 at byte 19: the length (3) fails its CRC"), "{error}");
    let other = framed(&[vec![], vec![], vec![], vec![], vec![]]);
    let error = after(&|file| file.write_all_at(&other[..16], 19).unwrap());
    assert!(error.contains("record 1 at byte 19: a length of 0 bytes; it was 3 when the file was indexed"), "{error}");
}

#[test]
fn more_files_than_may_stay_open() {
    let directory = tempfile::tempdir().unwrap();
    let count = 25;
    let paths: Vec<_> = (0..count)
        .map(|number| {
            let bytes = framed(&numbered(2 * number, 2));
            put(&directory, &number.to_string(), &if number % 3 == 0 { gzip(&bytes) } else { bytes })
        })
        .collect();
    let indexes = tempfile::tempdir().unwrap();
    for (directory, most) in [(None, 10), (None, 0), (Some(indexes.path()), 0), (Some(indexes.path()), 10)] {
        let index = open_within(&paths, directory, budget(most)).unwrap();
        let kept = index.files.iter().filter(|file| matches!(file.data, Data::Open(_))).count();
        assert_eq!(kept, most);
        assert!(index.spools.len() <= 2);
        assert_eq!(read_all(&index), numbered(0, 2 * count));
        // Switches back and forth between two files.
        let mut buffer = ReadBuffer::default();
        let last = index.len() - 1;
        for number in [last, last - 4, last, last - 4] {
            assert_eq!(index.read(number, &mut buffer).unwrap().data, numbered(number as usize, 1)[0]);
        }
    }
}

#[test]
fn all_indexes_together_keep_so_many_files_open() {
    let directory = tempfile::tempdir().unwrap();
    let paths: Vec<_> =
        (0..6).map(|number| put(&directory, &number.to_string(), &framed(&numbered(number, 1)))).collect();
    let budget = budget(8);
    let kept = |index: &RecordIndex| index.files.iter().filter(|file| matches!(file.data, Data::Open(_))).count();
    let one = open_within(&paths, None, budget).unwrap();
    let two = open_within(&paths, None, budget).unwrap();
    assert_eq!((kept(&one), kept(&two)), (6, 2));
    assert_eq!(read_all(&two), numbered(0, 6));
    drop(one);
    let three = open_within(&paths, None, budget).unwrap();
    assert_eq!((kept(&two), kept(&three)), (2, 6));
    drop((two, three));
    assert_eq!(budget.0.load(Ordering::Relaxed), 8);
}

/// Returns `path` relative to the current directory.
fn relative(path: &Path) -> PathBuf {
    let up = std::env::current_dir().unwrap().components().skip(1).map(|_| "..").collect::<PathBuf>();
    up.join(path.strip_prefix("/").unwrap())
}

#[test]
fn files_that_are_opened_for_a_read_are_found_from_any_directory() {
    let directory = tempfile::tempdir().unwrap();
    let plain = relative(&put(&directory, "a", &framed(&numbered(1, 3))));
    let zipped = relative(&put(&directory, "b", &gzip(&framed(&numbered(4, 3)))));
    let indexes = relative(&directory.path().join("indexes"));
    let paths = [plain, zipped];
    for _ in 0..2 {
        let index = open_within(&paths, Some(&indexes), budget(0)).unwrap();
        assert_eq!(read_all(&index), numbered(1, 6));
        for file in &index.files {
            // The tests of a process share its working directory, so none can change it.
            assert!(matches!(&file.data, Data::Closed(path, _) if path.is_absolute()), "{:?}", file.data);
        }
    }
    // Errors name files as they were given.
    let index = open_within(&paths, Some(&indexes), budget(0)).unwrap();
    let copy = index.files[1].copy.clone().unwrap();
    assert!(copy.starts_with(&indexes));
    for path in [&paths[0], &copy] {
        File::options().append(true).open(path).unwrap().write_all(b"more").unwrap();
    }
    let mut buffer = ReadBuffer::default();
    for (number, path) in [(0, &paths[0]), (3, &paths[1])] {
        let error = index.read(number, &mut buffer).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: the file changed after it was indexed", path.display())), "{error}");
        assert_eq!(
            error.contains(&format!("copy {}: delete the copy, and it will be made again", copy.display())),
            number == 3
        );
    }
    std::fs::remove_file(&copy).unwrap();
    let error = index.read(3, &mut buffer).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot read {}: ", copy.display())), "{error}");
    std::fs::remove_file(&paths[0]).unwrap();
    let error = index.read(0, &mut buffer).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot read {}: ", paths[0].display())), "{error}");
}

#[test]
fn a_damaged_copy_is_named_and_can_be_made_again() {
    let (directory, indexes) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let paths = [put(&directory, "a.gz", &gzip(&framed(&[b"one".to_vec(), b"two".to_vec()])))];
    let copy = open(&paths, Some(indexes.path())).unwrap().files[0].copy.clone().unwrap();
    for (at, wanted) in [(19 + HEADER_BYTES, "the data (3 bytes) fails its CRC"), (19 + 8, "fails its CRC")] {
        File::options().write(true).open(&copy).unwrap().write_all_at(b"x", at as u64).unwrap();
        for files in [0, 1] {
            let index = open_within(&paths, Some(indexes.path()), budget(files)).unwrap();
            let error = index.read(1, &mut ReadBuffer::default()).unwrap_err();
            let Error::Record { path, record: 1, offset: 19, reason } = error else { panic!("{error}") };
            assert_eq!(path, paths[0]);
            assert!(reason.contains(wanted), "{reason}");
            let advice = format!(
                "read from the decompressed copy {}: delete the copy, and it will be made again",
                copy.display()
            );
            assert!(reason.contains(&advice), "{reason}");
            // The error about a whole record does not blame the copy.
            assert!(index.error(1, "bad".into()).to_string().ends_with(": bad"));
        }
        std::fs::remove_file(&copy).unwrap();
        let index = open(&paths, Some(indexes.path())).unwrap();
        assert_eq!(read_all(&index), [b"one", b"two"]);
    }
}

#[test]
fn a_long_name_has_an_index_too() {
    let (directory, indexes) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let paths = [put(&directory, &"n".repeat(250), &gzip(&framed(&numbered(0, 9))))];
    open(&paths, Some(indexes.path())).unwrap();
    assert!(is_stored(&open(&paths, Some(indexes.path())).unwrap()));
}

#[test]
fn who_stops_it_gets_nothing_half_done() {
    struct No;
    impl Progress for No {
        fn report(&mut self, stage: &'static str, unit: &'static str, done: u64, total: u64) -> bool {
            assert_eq!((stage, unit), ("index", "bytes"));
            assert!(done <= total && total > 0);
            false
        }
    }
    let (directory, indexes) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let paths = [put(&directory, "a", &framed(&numbered(0, 9)))];
    for indexes in [None, Some(indexes.path())] {
        assert!(matches!(RecordIndex::open(&paths, indexes, 1, &mut No), Err(Error::Interrupted(_))));
    }
    assert!(names(indexes.path()).iter().all(|name| !name.contains(".tmp")));
}

#[test]
fn several_that_start_together_agree() {
    let (directory, indexes) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let paths: Vec<_> = (0..8)
        .map(|number| put(&directory, &number.to_string(), &gzip(&framed(&numbered(100 * number, 100)))))
        .collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(read_all(&open(&paths, Some(indexes.path())).unwrap()), numbered(0, 800)));
        }
    });
    assert_eq!(names(indexes.path()).len(), 16);
}

proptest! {
    #[test]
    fn every_record_is_where_the_index_says(
        files in prop::collection::vec(
            (prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20), any::<bool>()), 1..5,
        ),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let mut paths = Vec::new();
        for (number, (records, zip)) in files.iter().enumerate() {
            let bytes = framed(records);
            paths.push(put(&directory, &number.to_string(), &if *zip { gzip(&bytes) } else { bytes }));
        }
        let records: Vec<_> = files.into_iter().flat_map(|(records, _)| records).collect();
        if records.is_empty() {
            prop_assert!(matches!(open(&paths, None), Err(Error::Input { .. })), "no records");
        } else {
            prop_assert_eq!(read_all(&open(&paths, None).unwrap()), records);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(
        records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..6),
        at in any::<prop::sample::Index>(), flip in 1..=255_u8, cut in any::<prop::sample::Index>(), zip: bool,
    ) {
        let mut bytes = framed(&records);
        if zip {
            bytes = gzip(&bytes);
        }
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        bytes.truncate(cut.index(bytes.len()).max(1));
        let directory = tempfile::tempdir().unwrap();
        if let Ok(index) = open(&[put(&directory, "a", &bytes)], None) {
            let mut buffer = ReadBuffer::default();
            for number in 0..index.len() {
                let _ = index.read(number, &mut buffer);
            }
        }
    }
}
