//! Readers of record files, examples, indexes, and the journal of the records.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use albert_fast_core::batches::batch::Row;
use albert_fast_core::instances::instance::Instance;
use albert_fast_core::instances::options::InstanceOptions;
use albert_fast_core::records::example::{self, Example, decode_row};
use albert_fast_core::records::index::{ReadBuffer, RecordIndex};
use albert_fast_core::records::source::{RecordOptions, RecordSource};
use albert_fast_core::records::tfrecord::{RecordReader, frame};
use albert_fast_core::records::write::{InstanceSource, Origin, RecordsOptions, write_records};
use albert_fast_core::{Error, NoProgress};
use xxhash_rust::xxh3::Xxh3;

use super::scratch;

const OPTIONS: fn() -> InstanceOptions =
    || InstanceOptions { max_seq_length: 16, max_predictions_per_seq: 4, ..InstanceOptions::default() };

/// Reads a record file from front to back and through an index.
pub fn records(data: &[u8]) {
    let path = scratch::file("x.tfrecord", data);
    let Ok(mut reader) = RecordReader::open(&path) else { return };
    let mut found = Vec::new();
    let end = loop {
        match reader.read() {
            Ok(Some(record)) => {
                example(record.data);
                found.push(record.data.to_vec());
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    match RecordIndex::open(std::slice::from_ref(&path), None, 1, &mut NoProgress) {
        // An index holds where records begin. Their content is checked when they are read.
        Ok(index) => match (read_all(&index), end) {
            (Ok(records), Ok(())) => assert_eq!(records, found),
            (Err(_), Err(_)) => {}
            (indexed, end) => panic!("through an index: {indexed:?}; from front to back: {end:?}"),
        },
        Err(error) => assert!(end.is_err() || found.is_empty(), "{} records, not indexed: {error}", found.len()),
    }
    let _ = RecordSource::open(&[path], RecordOptions { threads: 1, ..RecordOptions::default() }, &mut NoProgress);
}

fn read_all(index: &RecordIndex) -> Result<Vec<Vec<u8>>, Error> {
    let mut buffer = ReadBuffer::default();
    (0..index.len()).map(|number| index.read(number, &mut buffer).map(|record| record.data.to_vec())).collect()
}

/// Reads a `tf.train.Example` as a message and directly into a row.
pub fn example(data: &[u8]) {
    let Ok(decoded) = example::decode(data) else { return };
    let Some((s, p)) = example::Rules::lengths_of(&decoded).filter(|&(s, p)| s.max(p) <= 1 << 16) else { return };
    let row = row_of(data, s, p);
    let Ok(instance) = decoded.instance() else { return };
    assert!(row.is_ok(), "an instance, but no row: {row:?}");
    let options = InstanceOptions { max_seq_length: s, max_predictions_per_seq: p, ..InstanceOptions::default() };
    let mut again = Vec::new();
    example::encode(&instance, &options, &mut again);
    assert_eq!(example::decode(&again).as_ref().map(Example::instance), Ok(Ok(instance)));
}

fn row_of(data: &[u8], s: usize, p: usize) -> Result<(), Vec<String>> {
    let mut tokens = [(); 4].map(|()| vec![0; s]);
    let mut predictions = [(); 2].map(|()| vec![0; p]);
    let (mut weights, mut label) = (vec![0.0; p], 0);
    let [input_ids, input_mask, segment_ids, token_boundary] = &mut tokens;
    let [masked_lm_positions, masked_lm_ids] = &mut predictions;
    let mut row = Row {
        input_ids,
        input_mask,
        segment_ids,
        token_boundary,
        masked_lm_positions,
        masked_lm_ids,
        masked_lm_weights: &mut weights,
        next_sentence_label: &mut label,
    };
    decode_row(data, None, &mut row).map(drop)
}

/// Reads the index of a file of three records. The first byte says whether the checksum is corrected before that.
pub fn record_index(data: &[u8]) {
    let Some((&mend, index)) = data.split_first() else { return };
    let directory = scratch::empty_directory("index");
    let path = scratch::path("indexed.tfrecord");
    std::fs::write(&path, three_records()).expect("the records can be written");
    let file = std::fs::File::options().write(true).open(&path).expect("the records are there");
    file.set_modified(UNIX_EPOCH + Duration::from_secs(1_000_000_000)).expect("a time can be set");
    let open = || RecordIndex::open(std::slice::from_ref(&path), Some(&directory), 1, &mut NoProgress);
    let expected = read_all(&open().expect("good records")).expect("good records");

    let name =
        std::fs::read_dir(&directory).expect("the directory").next().expect("an index").expect("an index").path();
    let mut index = index.to_vec();
    if mend % 2 == 1 && index.len() >= 64 {
        let mut hash = Xxh3::new();
        hash.update(&index[..40]);
        hash.update(&index[64..]);
        index[40..56].copy_from_slice(&hash.digest128().to_le_bytes());
    }
    std::fs::write(&name, &index).expect("the index can be written");
    let found = open().and_then(|index| read_all(&index));
    if mend % 2 == 0 {
        assert_eq!(found.expect("a damaged index is made again"), expected);
    }
}

/// Returns three framed records.
pub fn three_records() -> Vec<u8> {
    let mut out = Vec::new();
    for position in 0..3 {
        let mut instance = Instance::default();
        Three.fill(position, &mut (), &mut instance).expect("an instance");
        frame(&mut out, |out| example::encode(&instance, &OPTIONS(), out));
    }
    out
}

struct Three;

impl InstanceSource for Three {
    type Scratch = ();

    fn len(&self) -> u64 {
        3
    }

    fn scratch(&self) {}

    fn fill(&self, position: u64, (): &mut (), instance: &mut Instance) -> Result<(), Error> {
        *instance = Instance {
            tokens: vec![2, 10 + position as u32, 11, 3, 12, 13, 3],
            word_starts: vec![true; 7],
            first_length: 4,
            is_random_next: position == 1,
            masked_positions: vec![1],
            masked_labels: vec![20],
            truncated: 0,
            mislabeled: false,
        };
        Ok(())
    }
}

/// Reads what an interrupted run of `make-records` leaves: the journal (first byte even) or `dataset.json`.
pub fn journal(data: &[u8]) {
    let Some((&which, journal)) = data.split_first() else { return };
    let directory = scratch::empty_directory("records");
    let name = if which % 2 == 0 { "make-records.partial.jsonl" } else { "dataset.json" };
    std::fs::write(directory.join(name), journal).expect("the journal can be written");
    let good = make(&directory);
    if good.is_ok() && which % 2 == 0 {
        let mut reader = RecordReader::open(directory.join("records-00000-of-00002.tfrecord")).expect("a shard");
        assert!(reader.read().expect("a good shard").is_some());
    }
    if good.is_err() {
        let left = std::fs::read(directory.join(name)).expect("what was there stays");
        assert!(left == journal, "a refused file was changed");
    }
}

fn make(directory: &Path) -> Result<(), Error> {
    let options = RecordsOptions { instances: OPTIONS(), num_shards: Some(2), ..RecordsOptions::default() };
    write_records(&Three, directory, &options, &Origin::default(), &mut NoProgress).map(drop)
}

/// Returns valid files.
pub fn seeds() -> Vec<super::Seed> {
    let framed = three_records();
    let mut reader = RecordReader::open(scratch::file("seed.tfrecord", &framed)).expect("records");
    let first = reader.read().expect("a record").expect("a record").data.to_vec();

    record_index(&[0]);
    let index = &super::store::sorted_files(&scratch::path("index"))[0];
    let index = std::fs::read(index).expect("an index");

    let directory = scratch::empty_directory("seed-records");
    make(&directory).expect("records");
    let dataset = std::fs::read(directory.join("dataset.json")).expect("a description");
    let (header, shards) = stopped(&directory);
    vec![
        ("records", "three.tfrecord".into(), framed),
        ("example", "first".into(), first),
        ("record_index", "plain".into(), [&[0], &index[..]].concat()),
        ("record_index", "mended".into(), [&[1], &index[..]].concat()),
        ("records_journal", "header".into(), [&[0], &header[..]].concat()),
        ("records_journal", "one-shard".into(), [&[0], &shards[..]].concat()),
        ("records_journal", "dataset".into(), [&[1], &dataset[..]].concat()),
    ]
}

/// Returns the journals of a run that was stopped at once, and of one that had written a shard.
fn stopped(directory: &Path) -> (Vec<u8>, Vec<u8>) {
    struct Watch(std::path::PathBuf, Vec<Vec<u8>>);
    impl albert_fast_core::Progress for Watch {
        fn report(&mut self, _: &'static str, _: &'static str, _: u64, _: u64) -> bool {
            self.1.extend(std::fs::read(&self.0));
            true
        }
    }
    let mut watch = Watch(directory.join("make-records.partial.jsonl"), Vec::new());
    let options =
        RecordsOptions { instances: OPTIONS(), num_shards: Some(2), overwrite: true, ..RecordsOptions::default() };
    write_records(&Three, directory, &options, &Origin::default(), &mut watch).expect("records");
    let first = watch.1.first().cloned().unwrap_or_default();
    (first.clone(), watch.1.last().cloned().unwrap_or(first))
}
