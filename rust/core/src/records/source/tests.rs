//! Tests of the order, of new masks, and of records that do not belong together.

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::NoProgress;
use crate::batches::batch::{Batch, Batched, Batches};
use crate::instances::instance::Instance;
use crate::instances::mask::{self, Masker};
use crate::instances::mask_rows::MaskOptions;
use crate::instances::options::InstanceOptions;
use crate::records::example::encode;
use crate::records::tfrecord::frame;
use crate::tokens::vocab::Vocab;

const CLS: u32 = 2;
const SEP: u32 = 3;
const SIZE: u32 = 5000;

fn options(s: usize) -> InstanceOptions {
    InstanceOptions { max_seq_length: s, max_predictions_per_seq: 8, ..InstanceOptions::default() }
}

fn vocab() -> Vocab {
    Vocab {
        size: SIZE,
        pad: 0,
        unk: 1,
        cls: CLS,
        sep: SEP,
        mask: 4,
        word_start: vec![true; SIZE as usize],
        word_end: Vec::new(),
        ordinary: (5..SIZE).collect(),
    }
}

fn masker(options: &InstanceOptions) -> Masker {
    Masker::new(options, &vocab()).unwrap()
}

/// The same masker for rows.
fn row_masker(options: &InstanceOptions) -> RowMasker {
    let options = MaskOptions {
        max_predictions_per_seq: Some(options.max_predictions_per_seq),
        do_permutation: options.do_permutation,
        ..MaskOptions::default()
    };
    RowMasker::new(&options, &vocab(), &[]).unwrap()
}

/// Returns an instance that contains its number: the first token is `5 + number`, and the others follow from it.
fn unmasked(number: u32, s: usize) -> Instance {
    let (first, second) = (3 + number as usize % 7, 2 + number as usize % (s - 14));
    let mut instance = Instance::default();
    instance.tokens.push(CLS);
    instance.tokens.push(5 + number);
    instance.tokens.extend((0..first as u32).map(|at| 5 + (number * 31 + at * 7) % (SIZE - 5)));
    instance.tokens.push(SEP);
    instance.first_length = instance.tokens.len();
    instance.tokens.extend((0..second as u32).map(|at| 5 + (number * 17 + at * 11) % (SIZE - 5)));
    instance.tokens.push(SEP);
    instance.word_starts = (0..instance.tokens.len())
        .map(|at| [CLS, SEP].contains(&instance.tokens[at]) || !(at + number as usize).is_multiple_of(3))
        .collect();
    instance.is_random_next = number % 2 == 1;
    instance
}

/// Returns the records of instances `numbers`, with masks.
fn records(numbers: std::ops::Range<u32>, options: &InstanceOptions) -> Vec<u8> {
    let (masker, mut scratch, mut out) = (masker(options), mask::Scratch::default(), Vec::new());
    for number in numbers {
        let mut instance = unmasked(number, options.max_seq_length);
        masker.mask(&mut instance, &mut FastRng::keyed(1, 2, 3, u64::from(number)), &mut scratch);
        frame(&mut out, |out| encode(&instance, options, out));
    }
    out
}

fn put(directory: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Writes three files with 100 instances of 64 tokens in all.
fn three_files(directory: &TempDir) -> Vec<PathBuf> {
    [0..40, 40..41, 41..100]
        .into_iter()
        .enumerate()
        .map(|(file, numbers)| put(directory, &file.to_string(), &records(numbers, &options(64))))
        .collect()
}

fn open(paths: &[PathBuf], options: RecordOptions) -> Result<RecordSource> {
    RecordSource::open(paths, options, &mut NoProgress)
}

/// Returns the row at `position`, read with a scratch of its own.
fn row(source: &RecordSource, position: u64) -> Lists {
    let mut lists = Lists::new((source.seq_length(), source.predictions()));
    source.fill(0, position, &(), &mut RecordScratch::default(), &mut lists.row()).unwrap();
    lists
}

fn restored(lists: &Lists) -> Instance {
    let mut original = Lists::new((lists.input_ids.len(), lists.masked_lm_ids.len()));
    let mut context = RowContext::default();
    lists.restore_into(&mut original.row(), &mut context);
    let tokens = context.length;
    Instance {
        tokens: original.input_ids[..tokens].iter().map(|&id| id as u32).collect(),
        word_starts: context.word_starts[..tokens].iter().map(|&start| start == 1).collect(),
        first_length: original.segment_ids[..tokens].iter().filter(|&&segment| segment == 0).count(),
        is_random_next: original.next_sentence_label == 1,
        ..Instance::default()
    }
}

/// Returns the number of a row's instance, once its tokens are restored.
fn number_of(lists: &Lists) -> u32 {
    restored(lists).tokens[1] - 5
}

fn batches(source: RecordSource, threads: usize, count: u64) -> Vec<Batch> {
    let batched = Batched::new(Arc::new(source), 23).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| (0..count).map(|k| batched.batch(k).unwrap()).collect())
}

#[test]
fn file_order_is_that_of_the_files() {
    let directory = tempfile::tempdir().unwrap();
    let source = open(&three_files(&directory), RecordOptions::default()).unwrap();
    assert_eq!((source.epoch_len(), source.seq_length(), source.predictions()), (100, 64, 8));
    for position in [0, 1, 39, 40, 41, 99, 100, 140, 1 << 40] {
        let lists = row(&source, position);
        assert_eq!(u64::from(number_of(&lists)), position % 100);
        assert_eq!(restored(&lists), unmasked((position % 100) as u32, 64));
    }
}

#[test]
fn every_record_comes_once_an_epoch_in_ever_another_order() {
    let directory = tempfile::tempdir().unwrap();
    let paths = three_files(&directory);
    let order = |seed: u64, epoch: u64| -> Vec<u32> {
        let source = open(&paths, RecordOptions { seed, shuffle: true, ..RecordOptions::default() }).unwrap();
        (100 * epoch..100 * (epoch + 1)).map(|position| number_of(&row(&source, position))).collect()
    };
    let orders = [order(1, 0), order(1, 1), order(1, 7), order(2, 0)];
    for order in &orders {
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..100));
    }
    assert_eq!(orders.iter().collect::<HashSet<_>>().len(), 4);
    assert_eq!(order(1, 1), orders[1]);
}

/// The order is frozen: a seed must give the same in every version.
#[test]
fn the_order_is_frozen() {
    let directory = tempfile::tempdir().unwrap();
    let source =
        open(&three_files(&directory), RecordOptions { seed: 12345, shuffle: true, ..RecordOptions::default() })
            .unwrap();
    let order: Vec<_> = (100..108).map(|position| number_of(&row(&source, position))).collect();
    assert_eq!(order, [67, 10, 9, 41, 66, 46, 27, 56]);
}

#[test]
fn batches_are_a_function_of_files_seed_and_number() {
    let directory = tempfile::tempdir().unwrap();
    let paths = three_files(&directory);
    let zipped: Vec<_> = paths
        .iter()
        .enumerate()
        .map(|(file, path)| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&std::fs::read(path).unwrap()).unwrap();
            put(&directory, &format!("{file}.gz"), &encoder.finish().unwrap())
        })
        .collect();
    let index_dir = Some(directory.path().join("indexes"));
    for remask in [None, Some(row_masker(&options(64)))] {
        let of = |paths: &[PathBuf], index_dir: Option<PathBuf>, threads| {
            let options =
                RecordOptions { seed: 3, shuffle: true, remask: remask.clone(), index_dir, ..RecordOptions::default() };
            batches(open(paths, options).unwrap(), threads, 20)
        };
        let wanted = of(&paths, None, 1);
        assert_eq!(of(&paths, None, 4), wanted);
        for index_dir in [None, index_dir.clone(), index_dir.clone()] {
            assert_eq!(of(&zipped, index_dir.clone(), 2), wanted);
            assert_eq!(of(&paths, index_dir, 3), wanted);
        }
    }
}

#[test]
fn remasked_records_are_the_same_instances_with_other_masks() {
    let directory = tempfile::tempdir().unwrap();
    let permuted = InstanceOptions { do_permutation: true, ..options(64) };
    let plain = options(64);
    for (from, to) in [(&plain, &plain), (&permuted, &plain), (&plain, &permuted), (&permuted, &permuted)] {
        let path = put(&directory, "a", &records(0..50, from));
        let options =
            RecordOptions { remask: Some(row_masker(to)), vocab_size: Some(SIZE), ..RecordOptions::default() };
        let source = open(std::slice::from_ref(&path), options).unwrap();
        assert_eq!(source.predictions(), to.max_predictions());
        let as_it_is = open(&[path], RecordOptions::default()).unwrap();
        assert_eq!(as_it_is.predictions(), from.max_predictions());
        let mut masks = HashSet::new();
        for position in 0..200 {
            let lists = row(&source, position);
            let mut instance = unmasked((position % 50) as u32, 64);
            assert_eq!(restored(&lists), instance);
            assert_eq!(restored(&row(&as_it_is, position)), instance);
            // By the definition of the masks.
            let mut rng = FastRng::keyed(0, position / 50, position % 50, MASKS);
            masker(to).mask(&mut instance, &mut rng, &mut mask::Scratch::default());
            let mut wanted = Lists::new((64, to.max_predictions()));
            wanted.row().write(&instance);
            assert_eq!(lists.input_ids, wanted.input_ids);
            assert_eq!(lists.masked_lm_positions, wanted.masked_lm_positions);
            for &masked in &instance.masked_positions {
                let id = lists.input_ids[masked as usize] as u32;
                assert!(id != CLS && id != SEP);
            }
            masks.insert((position % 50, lists.masked_lm_positions.clone()));
        }
        assert!(masks.len() > 150, "{} different masks of 200", masks.len());
    }
}

#[test]
fn records_of_other_lengths_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let long = put(&directory, "long", &records(0..3, &options(64)));
    let short = put(&directory, "short", &records(0..3, &options(32)));
    let error = open(&[long.clone(), short.clone()], RecordOptions::default()).unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "{}, record 0 at byte 0: input_ids has 32 values and masked_lm_ids 8, but the first record has 64 and 8; \
             all records must be alike",
            short.display()
        )
    );
    // After the first record of a file, this is detected when the record is read.
    let mixed = put(&directory, "mixed", &[records(0..2, &options(64)), records(2..3, &options(32))].concat());
    let source = open(std::slice::from_ref(&mixed), RecordOptions::default()).unwrap();
    let mut lists = Lists::new((64, 8));
    let mut scratch = RecordScratch::default();
    assert!(source.fill(0, 1, &(), &mut scratch, &mut lists.row()).is_ok());
    let error = source.fill(0, 2, &(), &mut scratch, &mut lists.row()).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}, record 2 at byte ", mixed.display())), "{error}");
    assert!(error.contains("input_ids has 32 values"), "{error}");

    let with = |seq_length| open(std::slice::from_ref(&long), RecordOptions { seq_length, ..RecordOptions::default() });
    assert!(with(Some(64)).is_ok());
    let error = with(Some(512)).unwrap_err().to_string();
    assert!(error.ends_with("record 0 at byte 0: the sequence length must be 512, got 64"), "{error}");
}

#[test]
fn ids_beyond_the_vocabulary_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = put(&directory, "a", &records(0..3, &options(64)));
    let with = |vocab_size, remask| {
        open(std::slice::from_ref(&path), RecordOptions { remask, vocab_size, ..RecordOptions::default() })
    };
    for remask in [None, Some(row_masker(&options(64)))] {
        assert!(with(Some(SIZE), remask.clone()).is_ok());
        let error = with(Some(7), remask.clone()).unwrap_err().to_string();
        assert!(error.contains("ids must be from 0 to 6, the ids of the vocabulary"), "{error}");
        assert!(error.starts_with(&format!("{}, record 0 at byte 0: ", path.display())), "{error}");
        assert!(matches!(with(Some(0), remask), Err(Error::Rule { .. })));
    }
    // By the masker's vocabulary.
    let vocab = Vocab {
        size: 6,
        pad: 0,
        unk: 1,
        cls: CLS,
        sep: SEP,
        mask: 4,
        word_start: vec![true; 6],
        word_end: Vec::new(),
        ordinary: vec![5],
    };
    let small = RowMasker::new(&MaskOptions::default(), &vocab, &[]).unwrap();
    let error = with(None, Some(small)).unwrap_err().to_string();
    assert!(error.contains("ids must be from 0 to 5, the ids of the vocabulary"), "{error}");
}

#[test]
fn other_records_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut bytes = Vec::new();
    frame(&mut bytes, |out| out.extend_from_slice(b"no example"));
    let with = |bytes: &[u8]| open(&[put(&directory, "a", bytes)], RecordOptions::default()).unwrap_err().to_string();
    let error = with(&bytes);
    assert!(error.contains("record 0 at byte 0: the data is not a tf.train.Example"), "{error}");
    let mut empty = Vec::new();
    frame(&mut empty, |_| {});
    let error = with(&empty);
    assert!(error.ends_with("record 0 at byte 0: input_ids is missing (and 6 more)"), "{error}");
}

/// Returns the same records without `token_boundary`, as BERT's are. No feature's name or list contains the name of
/// another.
fn without_boundaries(bytes: &[u8]) -> Vec<u8> {
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), bytes).unwrap();
    let mut reader = crate::records::tfrecord::RecordReader::open(path.path()).unwrap();
    let mut out = Vec::new();
    while let Some(record) = reader.read().unwrap() {
        let name = b"token_boundary";
        let at = record.data.windows(name.len()).position(|window| window == name).unwrap();
        let mut data = record.data.to_vec();
        // An entry with another name is ignored.
        data[at..at + name.len()].copy_from_slice(b"token_boundery");
        frame(&mut out, |out| out.extend_from_slice(&data));
    }
    out
}

#[test]
fn records_without_boundaries_are_read_but_not_masked_again() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = records(0..30, &options(64));
    let with = put(&directory, "a", &bytes);
    let without = put(&directory, "b", &without_boundaries(&bytes));
    let plain = open(std::slice::from_ref(&with), RecordOptions::default()).unwrap();
    let bare = open(std::slice::from_ref(&without), RecordOptions::default()).unwrap();
    assert!(plain.has_token_boundary() && !bare.has_token_boundary());
    for position in 0..30 {
        let (wanted, found) = (row(&plain, position), row(&bare, position));
        assert_eq!(found, Lists { token_boundary: vec![0; 64], ..wanted });
    }
    let both = open(&[with.clone(), without.clone()], RecordOptions::default()).unwrap();
    assert!(!both.has_token_boundary());
    assert_eq!(row(&both, 31).input_ids, row(&plain, 1).input_ids);

    let remask = |paths: &[PathBuf], whole_words| {
        let masks = MaskOptions { do_whole_word_mask: whole_words, ..MaskOptions::default() };
        let masker = RowMasker::new(&masks, &vocab(), &[]).unwrap();
        open(paths, RecordOptions { remask: Some(masker), ..RecordOptions::default() })
    };
    let error = remask(&[with.clone(), without.clone()], true).unwrap_err();
    let Error::Record { path, record: 0, reason, .. } = error else { panic!("{error}") };
    assert!(
        path == without && reason.starts_with("token_boundary is missing") && reason.contains("remask"),
        "{reason}"
    );
    let (one, other) = (remask(std::slice::from_ref(&with), false).unwrap(), remask(&[without], false).unwrap());
    assert_eq!(row(&one, 7).input_ids, row(&other, 7).input_ids);

    // In the middle of a file.
    let mixed = put(&directory, "c", &[bytes.clone(), without_boundaries(&bytes)].concat());
    let source = open(&[mixed], RecordOptions::default()).unwrap();
    let mut lists = Lists::new((64, 8));
    let error = source.fill(0, 30, &(), &mut RecordScratch::default(), &mut lists.row()).unwrap_err();
    let Error::Record { record: 30, reason, .. } = error else { panic!("{error}") };
    assert!(reason.contains("token_boundary is missing, but the first record"), "{reason}");
}

#[test]
fn damage_after_the_first_record_is_reported_when_it_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let mut bytes = records(0..30, &options(64));
    let at = bytes.len() - 20;
    bytes[at] ^= 1;
    let path = put(&directory, "a", &bytes);
    let source = open(std::slice::from_ref(&path), RecordOptions::default()).unwrap();
    let mut lists = Lists::new((64, 8));
    let error = source.fill(0, 29, &(), &mut RecordScratch::default(), &mut lists.row()).unwrap_err();
    let Error::Record { path: found, record: 29, reason, .. } = error else { panic!("{error}") };
    assert_eq!(found, path);
    assert!(reason.contains("fails its CRC"), "{reason}");
    let error = Batched::new(Arc::new(source), 16).unwrap().batch(1).unwrap_err();
    assert!(matches!(error, Error::Record { record: 29, .. }), "{error}");
}

#[test]
fn records_without_predictions_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let none = InstanceOptions { max_predictions_per_seq: 0, ..options(64) };
    let mut bytes = Vec::new();
    frame(&mut bytes, |out| encode(&unmasked(1, 64), &none, out));
    let path = put(&directory, "a", &bytes);
    for remask in [None, Some(row_masker(&options(64)))] {
        let options = RecordOptions { remask, ..RecordOptions::default() };
        let error = open(std::slice::from_ref(&path), options).unwrap_err();
        let Error::Record { record: 0, reason, .. } = error else { panic!("{error}") };
        assert_eq!(reason, "input_ids and masked_lm_ids must not be empty, got 64 and 0 values");
    }
}

#[test]
fn the_reference_s_records_are_read() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/records");
    let path = golden.join("default-128-00000-of-00001.tfrecord.gz");
    let options = RecordOptions { vocab_size: Some(2000), seq_length: Some(128), ..RecordOptions::default() };
    let source = open(std::slice::from_ref(&path), options).unwrap();
    let mut reader = crate::records::tfrecord::RecordReader::open(path).unwrap();
    let mut position = 0;
    while let Some(record) = reader.read().unwrap() {
        let instance = decode(record.data).unwrap().instance().unwrap();
        let mut wanted = Lists::new((128, 20));
        wanted.row().write(&instance);
        let lists = row(&source, position);
        assert_eq!(lists, wanted);
        position += 1;
    }
    assert_eq!(position, source.epoch_len());
}
