//! Tests of whole runs: bytes, stops, kills and refusals.

mod fleet;
mod tasks;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::dataset::shard_name;
use super::*;
use crate::NoProgress;
use crate::records::example::decode;
use crate::records::tfrecord::RecordReader;

/// Instances that follow from their positions. Each may take a while.
struct Made {
    count: u64,
    pause: Duration,
}

impl Made {
    fn new(count: u64) -> Self {
        Self { count, pause: Duration::ZERO }
    }

    fn instance(position: u64) -> Instance {
        let mut instance = Instance::default();
        Self::new(u64::MAX).fill(position, &mut (), &mut instance).unwrap();
        instance
    }
}

impl InstanceSource for Made {
    type Scratch = ();

    fn len(&self) -> u64 {
        self.count
    }

    fn scratch(&self) -> Self::Scratch {}

    fn fill(&self, position: u64, (): &mut (), instance: &mut Instance) -> Result<()> {
        std::thread::sleep(self.pause);
        let mix = |index: u64| position.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17) ^ (index * 0x2545_f491);
        let length = 5 + mix(99) % 27;
        *instance = Instance {
            tokens: (0..length).map(|at| (mix(at) % 30_000) as u32).collect(),
            word_starts: (0..length).map(|at| mix(at) % 3 == 0).collect(),
            first_length: (length / 2) as usize,
            is_random_next: mix(7) % 2 == 0,
            masked_positions: vec![1, 3],
            masked_labels: vec![position as u32, 7],
            truncated: position % 4,
            mislabeled: false,
        };
        Ok(())
    }
}

fn options(num_shards: u64) -> RecordsOptions {
    RecordsOptions {
        instances: InstanceOptions {
            max_seq_length: 32,
            max_predictions_per_seq: 4,
            random_seed: 1,
            // A parser with less than full precision returns this as its neighbor.
            masked_lm_prob: 0.105_207_785_376_117_83,
            ..InstanceOptions::default()
        },
        num_shards: Some(num_shards),
        ..RecordsOptions::default()
    }
}

fn origin() -> Origin {
    Origin {
        identity: [("tokenizer_digest".to_owned(), "abc".into())].into_iter().collect(),
        tokenizer: serde_json::json!({"kind": "unigram"}),
        documents: 50,
        short_documents: 3,
        drawn: Vec::new(),
    }
}

fn make(count: u64, directory: &Path, options: &RecordsOptions) -> Result<Summary> {
    write_records(&Made::new(count), directory, options, &origin(), &mut NoProgress)
}

fn with_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

/// Returns every file of `directory` with its bytes.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(path).unwrap())).collect()
}

fn instances_of(path: PathBuf) -> Vec<Instance> {
    let mut reader = RecordReader::open(path).unwrap();
    let mut all = Vec::new();
    while let Some(record) = reader.read().unwrap() {
        all.push(decode(record.data).unwrap().instance().unwrap());
    }
    all
}

fn untruncated(instance: Instance) -> Instance {
    Instance { truncated: 0, ..instance }
}

#[test]
fn shards_are_runs_of_the_order_with_their_statistics() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().join("a").join("b");
    let summary = make(1003, &directory, &options(4)).unwrap();
    assert!(!summary.already_complete);
    assert_eq!(summary.resumed_shards, 0);
    let dataset = summary.dataset;
    assert_eq!(dataset.shards.iter().map(|shard| shard.records).collect::<Vec<_>>(), [250, 251, 251, 251]);
    let mut position = 0;
    for (index, shard) in dataset.shards.iter().enumerate() {
        assert_eq!(shard.file, format!("records-{index:05}-of-00004.tfrecord"));
        let bytes = std::fs::read(directory.join(&shard.file)).unwrap();
        assert_eq!(shard.bytes, bytes.len() as u64);
        assert_eq!(shard.xxh3_128, format!("{:032x}", xxhash_rust::xxh3::xxh3_128(&bytes)));
        let mut wanted = Shard {
            file: shard.file.clone(),
            bytes: shard.bytes,
            xxh3_128: shard.xxh3_128.clone(),
            ..Shard::default()
        };
        for instance in instances_of(directory.join(&shard.file)) {
            let made = Made::instance(position);
            wanted.count(&made);
            assert_eq!(instance, untruncated(made));
            position += 1;
        }
        assert_eq!(*shard, wanted);
    }
    assert_eq!(position, 1003);
    let totals = &dataset.totals;
    assert_eq!(totals.labels.in_order + totals.labels.swapped_or_random, 1003);
    assert!(totals.labels.in_order > 300 && totals.labels.swapped_or_random > 300);
    assert_eq!(totals.masked_tokens, 2006);
    assert!((totals.masked_share - 2006.0 / totals.tokens as f64).abs() < 1e-12);
    assert_eq!((totals.documents, totals.documents_too_short, totals.duplicates), (50, 3, 2));
    let read: Dataset = serde_json::from_slice(&std::fs::read(directory.join("dataset.json")).unwrap()).unwrap();
    assert_eq!(read, dataset);
    assert_eq!(read.options["random_seed"], 1);
    assert_eq!(files(&directory).len(), 5);
}

/// The XXH3-128 of nothing, as in xxHash's own tests, fixes the notation.
#[test]
fn checksums_are_written_as_xxhsum_writes_them() {
    let digest = xxhash_rust::xxh3::Xxh3::new().digest128();
    assert_eq!(format!("{digest:032x}"), "99aa06d3014798d86001c324468d497f");
}

#[test]
fn the_bytes_depend_on_neither_threads_nor_blocks() {
    for compression in [Compression::None, Compression::Gzip] {
        let mut all = Vec::new();
        for (threads, units_per_block) in [(1, 1), (2, 1), (7, 1), (2, 3), (1, 500)] {
            let directory = tempfile::tempdir().unwrap();
            let options = RecordsOptions { compression, units_per_block, ..options(3) };
            with_threads(threads, || make(20_000, directory.path(), &options)).unwrap();
            all.push(files(directory.path()));
        }
        assert_eq!(all[0].len(), 4);
        assert!(all.iter().all(|files| *files == all[0]), "{compression:?}");
    }
}

#[test]
fn gzipped_shards_are_one_member_with_the_same_content() {
    let (plain, zipped) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    make(5000, plain.path(), &options(2)).unwrap();
    let options = RecordsOptions { compression: Compression::Gzip, ..options(2) };
    let summary = make(5000, zipped.path(), &options).unwrap();
    for shard in &summary.dataset.shards {
        let bytes = std::fs::read(zipped.path().join(&shard.file)).unwrap();
        assert_eq!(shard.bytes, bytes.len() as u64);
        let mut content = Vec::new();
        let mut decoder = flate2::bufread::GzDecoder::new(&bytes[..]);
        decoder.read_to_end(&mut content).unwrap();
        assert!(decoder.into_inner().is_empty());
        let name = shard.file.strip_suffix(".gz").unwrap();
        assert_eq!(content, std::fs::read(plain.path().join(name)).unwrap());
    }
}

#[test]
fn the_reference_deals_instances_out() {
    let directory = tempfile::tempdir().unwrap();
    let instances: Vec<_> = (0..10).map(Made::instance).collect();
    let summary = write_reference(&instances, directory.path(), &options(4), &origin(), &mut NoProgress).unwrap();
    assert_eq!(summary.dataset.shards.iter().map(|shard| shard.records).collect::<Vec<_>>(), [3, 3, 2, 2]);
    for (index, shard) in summary.dataset.shards.iter().enumerate() {
        let dealt: Vec<_> = (index as u64..10).step_by(4).map(|at| untruncated(Made::instance(at))).collect();
        assert_eq!(instances_of(directory.path().join(&shard.file)), dealt);
    }
}

#[test]
fn the_number_of_shards_follows_from_the_number_of_instances() {
    let directory = tempfile::tempdir().unwrap();
    let by_size = RecordsOptions { num_shards: None, ..options(1) };
    assert_eq!(make(100_001, directory.path(), &by_size).unwrap().dataset.shards.len(), 2);
    assert!(make(100_001, directory.path(), &by_size).unwrap().already_complete);
    let error = make(3, directory.path(), &options(4)).unwrap_err().to_string();
    assert_eq!(error, "num_shards must be from 1 to 3, because there are 3 instances, got 4");
    assert!(make(3, directory.path(), &options(0)).is_err());
    let error = make(0, directory.path(), &options(1)).unwrap_err().to_string();
    assert!(error.starts_with("no instances: none of 50 documents is long enough"), "{error}");
}

/// Stops once `records` are done.
struct StopAt(u64);

impl Progress for StopAt {
    fn report(&mut self, _: &'static str, _: &'static str, done: u64, _: u64) -> bool {
        done < self.0
    }
}

/// Each wave has one block, and each shard one block, so stops can fall between shards.
fn slow(num_shards: u64) -> (Made, RecordsOptions) {
    let pause = Duration::from_millis(2);
    (Made { count: 20 * num_shards, pause }, RecordsOptions { units_per_block: 1000, ..options(num_shards) })
}

#[test]
fn a_stopped_run_resumes_and_ends_with_the_same_bytes() {
    let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (source, options) = slow(12);
    make(source.count, whole.path(), &options).unwrap();
    let (mut stops, mut between) = (0, 0);
    let summary = loop {
        let mut progress = StopAt(40 * (stops + 1));
        match with_threads(1, || write_records(&source, parts.path(), &options, &origin(), &mut progress)) {
            Ok(summary) => break summary,
            Err(Error::Interrupted(what)) => {
                let there = files(parts.path());
                assert!(there.keys().all(|name| !name.starts_with('.')), "{:?}", there.keys());
                assert!(!there.contains_key("dataset.json"));
                let complete = there.len() - 1;
                let so_far = format!("{complete} of 12 shards are complete");
                assert_eq!(what, format!("{so_far}; run the same command again to resume"));
                assert_eq!(
                    look(parts.path(), &options, &origin().identity).unwrap(),
                    Found::Partial { complete, shards: 12 }
                );
                between += usize::from(complete > 0 && complete < 12);
                stops += 1;
            }
            Err(other) => panic!("{other}"),
        }
        assert!(stops < 50);
    };
    assert!(between > 0);
    assert!(summary.resumed_shards > 0);
    assert_eq!(files(parts.path()), files(whole.path()));
}

#[test]
fn a_complete_set_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(look(&directory.path().join("no"), &options(3), &origin().identity).unwrap(), Found::Nothing);
    let first = make(100, directory.path(), &options(3)).unwrap();
    let before = files(directory.path());
    let modified = std::fs::metadata(directory.path()).unwrap().modified().unwrap();
    let again = make(100, directory.path(), &options(3)).unwrap();
    assert!(again.already_complete);
    assert_eq!(again.resumed_shards, 3);
    assert_eq!(again.dataset, first.dataset);
    assert_eq!(files(directory.path()), before);
    assert_eq!(std::fs::metadata(directory.path()).unwrap().modified().unwrap(), modified);
    let by_size = RecordsOptions { num_shards: None, ..options(3) };
    assert_eq!(look(directory.path(), &by_size, &origin().identity).unwrap(), Found::Complete(Box::new(first.dataset)));
}

#[test]
fn what_is_lost_of_a_complete_set_is_made_again() {
    let directory = tempfile::tempdir().unwrap();
    make(100, directory.path(), &options(3)).unwrap();
    let before = files(directory.path());
    std::fs::remove_file(directory.path().join("records-00001-of-00003.tfrecord")).unwrap();
    std::fs::write(directory.path().join("records-00002-of-00003.tfrecord"), b"short").unwrap();
    std::fs::write(directory.path().join(".records-00001-of-00003.tfrecord.tmp"), b"half").unwrap();
    let summary = make(100, directory.path(), &options(3)).unwrap();
    assert!(!summary.already_complete);
    assert_eq!(summary.resumed_shards, 1);
    assert_eq!(files(directory.path()), before);
}

#[test]
fn a_journal_with_a_torn_line_is_good_up_to_it() {
    let (whole, torn) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let summary = make(100, whole.path(), &options(4)).unwrap();
    let header = Header::new(&options(4), &origin().identity, Some(100));
    let mut text = serde_json::to_vec(&header).unwrap();
    for shard in &summary.dataset.shards[..2] {
        text.push(b'\n');
        text.extend(serde_json::to_vec(shard).unwrap());
        std::fs::copy(whole.path().join(&shard.file), torn.path().join(&shard.file)).unwrap();
    }
    text.truncate(text.len() - 10);
    std::fs::write(torn.path().join("make-records.partial.jsonl"), &text).unwrap();
    assert_eq!(make(100, torn.path(), &options(4)).unwrap().resumed_shards, 1);
    assert_eq!(files(torn.path()), files(whole.path()));
}

#[test]
fn other_options_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    make(100, directory.path(), &options(2)).unwrap();
    let before = files(directory.path());
    let mut other = options(2);
    other.instances.random_seed = 2;
    other.instances.do_permutation = true;
    let error = make(100, directory.path(), &other).unwrap_err();
    assert!(matches!(error, Error::Exists { .. }));
    let error = error.to_string();
    assert!(
        error.contains(
            "made with do_permutation=False, not do_permutation=True, and with random_seed=1, not 2; pass the earlier values"
        ),
        "{error}"
    );
    assert!(error.contains("overwrite=True to replace it"), "{error}");
    assert!(look(directory.path(), &other, &origin().identity).unwrap_err().to_string().contains("random_seed=1, not"));

    let error = make(100, directory.path(), &options(3)).unwrap_err().to_string();
    assert!(error.contains("made with num_shards=2, not 3; pass 2 to keep it"), "{error}");
    let error = make(99, directory.path(), &options(2)).unwrap_err().to_string();
    assert!(error.contains("made with instances 100, not 99; pass overwrite=True"), "{error}");
    let elsewhere =
        Origin { identity: [("tokenizer_digest".to_owned(), "xyz".into())].into_iter().collect(), ..origin() };
    let error = write_records(&Made::new(100), directory.path(), &options(2), &elsewhere, &mut NoProgress);
    assert!(
        error.unwrap_err().to_string().contains("made with another tokenizer or other text rules; pass overwrite=True")
    );
    assert_eq!(files(directory.path()), before);

    std::fs::write(directory.path().join("notes.txt"), b"mine").unwrap();
    std::fs::write(directory.path().join("records-of-mine.txt"), b"mine").unwrap();
    let overwrite = RecordsOptions { overwrite: true, ..other };
    assert_eq!(look(directory.path(), &overwrite, &origin().identity).unwrap(), Found::Nothing);
    make(100, directory.path(), &overwrite).unwrap();
    let after = files(directory.path());
    assert_eq!(after.len(), 5);
    assert!(after.contains_key("notes.txt") && after.contains_key("records-of-mine.txt"));
    assert_ne!(after["dataset.json"], before["dataset.json"]);
}

#[test]
fn records_of_unknown_origin_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let foreign = directory.path().join("records-00000-of-00009.tfrecord");
    std::fs::write(&foreign, b"somebody's").unwrap();
    let error = make(10, directory.path(), &options(1)).unwrap_err().to_string();
    assert!(error.contains("holds records-00000-of-00009.tfrecord, but neither dataset.json nor"), "{error}");
    assert_eq!(std::fs::read(&foreign).unwrap(), b"somebody's");
    make(10, directory.path(), &RecordsOptions { overwrite: true, ..options(1) }).unwrap();
    assert!(!foreign.exists());

    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("dataset.json"), b"{\"rows\": 3}").unwrap();
    let error = make(10, directory.path(), &options(1)).unwrap_err().to_string();
    assert!(error.contains("dataset.json: not as albert-fast writes it"), "{error}");
}

#[test]
fn two_runs_do_not_share_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let held = crate::files::lock::lock(directory.path()).unwrap();
    let error = make(10, directory.path(), &options(1)).unwrap_err().to_string();
    assert!(error.contains("another command is writing to this directory"), "{error}");
    drop(held);
    make(10, directory.path(), &options(1)).unwrap();
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, b"").unwrap();
    let error = make(10, &path.join("out"), &options(1)).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot create the directory {}: ", path.join("out").display())), "{error}");
}

#[test]
fn a_shard_that_cannot_be_written_is_named_and_nothing_is_left() {
    let directory = tempfile::tempdir().unwrap();
    // A file cannot replace a directory that has the name of a shard.
    let in_the_way = directory.path().join("records-00001-of-00003.tfrecord");
    let (source, options) = slow(3);
    let error = {
        let mut progress = StopAt(20);
        let _ = write_records(&source, directory.path(), &options, &origin(), &mut progress);
        let _ = std::fs::remove_file(&in_the_way);
        std::fs::create_dir_all(in_the_way.join("x")).unwrap();
        write_records(&source, directory.path(), &options, &origin(), &mut NoProgress).unwrap_err().to_string()
    };
    assert!(error.starts_with(&format!("cannot write {}: ", in_the_way.display())), "{error}");
    assert!(files_only(directory.path()).iter().all(|name| !name.starts_with('.') && name != "dataset.json"));
    std::fs::remove_dir_all(&in_the_way).unwrap();
    write_records(&source, directory.path(), &options, &origin(), &mut NoProgress).unwrap();
    assert_eq!(files(directory.path()).len(), 4);
}

/// Instances of which those from one position on cannot be read.
struct Unreadable(Made, u64);

impl InstanceSource for Unreadable {
    type Scratch = ();

    fn len(&self) -> u64 {
        self.0.len()
    }

    fn scratch(&self) -> Self::Scratch {}

    fn fill(&self, position: u64, (): &mut (), instance: &mut Instance) -> Result<()> {
        if position >= self.1 {
            let error = std::io::ErrorKind::UnexpectedEof.into();
            return Err(Error::io("cannot read", Path::new(&format!("at {position}")), error));
        }
        self.0.fill(position, &mut (), instance)
    }
}

#[test]
fn an_instance_that_cannot_be_read_is_an_error() {
    let (directory, options) = (tempfile::tempdir().unwrap(), options(4));
    let source = Unreadable(Made::new(40_000), 25_000);
    let error = write_records(&source, directory.path(), &options, &origin(), &mut NoProgress).unwrap_err();
    // The first one is reported, and the shards before it stay.
    assert!(matches!(&error, Error::Io { path, .. } if path == Path::new("at 25000")), "{error}");
    let left = files_only(directory.path());
    assert_eq!(left.iter().filter(|name| name.starts_with("records-")).count(), 2, "{left:?}");
    assert_eq!(make(40_000, directory.path(), &options).unwrap().resumed_shards, 2);
}

fn files_only(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    entries.filter(|entry| entry.path().is_file()).map(|entry| entry.file_name().into_string().unwrap()).collect()
}

const CHILD_DIRECTORY: &str = "ALBERT_FAST_TEST_CHILD_DIRECTORY";

/// Not a test of its own: the next two tests start, kill and limit this process.
#[test]
#[ignore = "started by other tests"]
fn child() {
    let Some(directory) = std::env::var_os(CHILD_DIRECTORY).map(PathBuf::from) else { return };
    let (source, options) = slow(12);
    if let Err(error) = with_threads(2, || write_records(&source, &directory, &options, &origin(), &mut NoProgress)) {
        eprintln!("child: {error}");
        std::process::exit(9);
    }
}

/// Adds the arguments that make this test binary run only [`child`].
fn child_arguments(command: &mut Command, directory: &Path) {
    command
        .args(["--ignored", "--exact", "--nocapture", "records::write::tests::child"])
        .env(CHILD_DIRECTORY, directory);
    command.stdout(std::process::Stdio::null());
}

#[test]
#[cfg(unix)]
fn killed_at_any_moment_it_ends_with_the_same_bytes() {
    let (whole, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (source, options) = slow(12);
    make(source.count, whole.path(), &options).unwrap();
    let wanted = files(whole.path());
    let (mut kills, mut midway) = (0_u64, 0);
    loop {
        let mut command = Command::new(std::env::current_exe().unwrap());
        child_arguments(&mut command, killed.path());
        let mut child = command.spawn().unwrap();
        // The moments fall all over a shard's 40 ms and get later each time, so that it finishes on a slow machine too.
        std::thread::sleep(Duration::from_millis(60 + 37 * kills % 41 + 10 * kills));
        child.kill().unwrap();
        let ended = child.wait().unwrap();
        // At every moment, a file with a final name has the correct content.
        for (name, bytes) in files(killed.path()) {
            if !name.starts_with('.') && name != "make-records.partial.jsonl" {
                assert!(wanted[&name] == bytes, "{name}");
            }
        }
        if ended.success() {
            break;
        }
        assert_eq!(ended.code(), None, "not killed, but failed");
        kills += 1;
        midway += usize::from(!killed.path().join("dataset.json").exists());
        assert!(kills < 200);
    }
    assert!(midway > 0, "no kill came before the end");
    assert_eq!(files(killed.path()), wanted);
}

/// A limit on file sizes acts as a full disk: the write fails in the middle of a shard.
#[test]
#[cfg(unix)]
fn a_write_that_fails_leaves_nothing_half_written() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    // 1 KiB of the shard's 6. Blocks have 512 bytes, or 1024 in some shells. The signal would end the process.
    command.args(["-c", "trap '' XFSZ; ulimit -f 2; exec \"$@\"", "sh"]).arg(std::env::current_exe().unwrap());
    child_arguments(&mut command, directory.path());
    let output = command.output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(9), "{message}");
    let shard = directory.path().join("records-00000-of-00012.tfrecord");
    assert!(message.contains(&format!("cannot write {}: ", shard.display())), "{message}");
    assert_eq!(files(directory.path()).into_keys().collect::<Vec<_>>(), ["make-records.partial.jsonl"]);
    let (source, options) = slow(12);
    make(source.count, directory.path(), &options).unwrap();
    assert_eq!(files(directory.path()).len(), 13);
}

#[test]
fn the_cap_on_masks_is_named_with_its_number() {
    let mut options = InstanceOptions::default();
    let warning = masking_warning(&options).unwrap();
    assert_eq!(warning, "only 3.9% of a full instance will be masked, not 15%: pass max_predictions_per_seq=77");
    options.max_predictions_per_seq = 77;
    assert_eq!(masking_warning(&options), None);
    options.max_predictions_per_seq = 76;
    assert!(masking_warning(&options).is_some());
    options.masked_lm_prob = 0.0;
    assert_eq!(masking_warning(&options), None);
    options.masked_lm_prob = 0.14;
    options.max_predictions_per_seq = 20;
    assert!(masking_warning(&options).unwrap().contains("not 14%"));
}
