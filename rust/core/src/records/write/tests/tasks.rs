//! Tests of tasks: the same bytes as of one run, whatever happens to the tasks.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tempfile::TempDir;

use super::super::markers;
use super::*;
use crate::tasks::Share;

/// A directory that costs no time to sync, if the system has one.
pub(super) fn fast_directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

fn task(count: u64, directory: &Path, options: &RecordsOptions, id: u64, tasks: u64) -> Result<TaskSummary> {
    let share = Share::new(id, tasks).unwrap();
    write_task(&Consecutive(&Made::new(count)), directory, options, &origin(), share, &mut NoProgress)
}

/// Returns the files of a single run.
pub(super) fn whole(count: u64, options: &RecordsOptions) -> BTreeMap<String, Vec<u8>> {
    let directory = fast_directory();
    make(count, directory.path(), options).unwrap();
    files(directory.path())
}

fn remaining(directory: &Path) -> String {
    finish(directory, None).unwrap_err().to_string()
}

#[test]
fn any_number_of_tasks_writes_the_bytes_of_one_run() {
    for compression in [Compression::None, Compression::Gzip] {
        let options = RecordsOptions { compression, ..options(12) };
        let wanted = whole(500, &options);
        for tasks in [1, 3, 7, 50] {
            let directory = fast_directory();
            let directory = directory.path().join("new");
            // Any order will do: 7 is prime to all numbers but itself.
            let order: Vec<_> = (0..tasks).map(|id| (id * 11 + 5) % tasks).collect();
            let mut complete = 0;
            for (number, &id) in order.iter().enumerate() {
                let summary = task(500, &directory, &options, id, tasks).unwrap();
                complete += summary.state.range.end - summary.state.range.start;
                assert_eq!(summary.shards.len() as u64, summary.state.range.end - summary.state.range.start);
                assert_eq!((summary.state.complete, summary.state.total, summary.resumed_shards), (complete, 12, 0));
                let is_last = complete == 12;
                assert_eq!(summary.dataset.is_some(), is_last);
                assert_eq!(directory.join("dataset.json").exists(), is_last, "{tasks} tasks, number {number}");
                if is_last {
                    assert_eq!(files(&directory), wanted, "{compression:?}, {tasks} tasks");
                    break;
                }
            }
            let again = task(500, &directory, &options, order[0], tasks).unwrap();
            assert!(again.already_complete && again.dataset.is_some());
            assert!(finish(&directory, None).unwrap().unwrap().already_complete);
            assert_eq!(files(&directory), wanted);
        }
    }
}

#[test]
fn what_is_complete_is_not_made_again() {
    let (directory, options) = (fast_directory(), options(12));
    let directory = directory.path();
    task(500, directory, &options, 0, 3).unwrap();
    let path = directory.join("records-00003-of-00012.tfrecord");
    let before = std::fs::metadata(&path).unwrap().modified().unwrap();
    let again = task(500, directory, &options, 0, 3).unwrap();
    assert_eq!((again.resumed_shards, again.already_complete), (4, false));
    // With another number of tasks, too.
    assert_eq!(task(500, directory, &options, 0, 2).unwrap().resumed_shards, 4);
    assert_eq!(std::fs::metadata(&path).unwrap().modified().unwrap(), before);
    // A shard that is not as its marker says does not count.
    std::fs::write(&path, b"short").unwrap();
    assert_eq!(task(500, directory, &options, 0, 3).unwrap().resumed_shards, 3);
    std::fs::write(directory.join("make-records.partial/records-00000-of-00012.tfrecord.json"), b"{").unwrap();
    assert_eq!(task(500, directory, &options, 0, 3).unwrap().resumed_shards, 3);
    assert!(task(500, directory, &options, 1, 2).unwrap().dataset.is_some());
    assert_eq!(files(directory), whole(500, &options));
}

#[test]
fn a_single_run_resumes_what_tasks_began_and_tasks_what_it_began() {
    let (source, options) = slow(12);
    let wanted = whole(source.count, &options);
    let directory = fast_directory();
    let directory = directory.path();
    task(source.count, directory, &options, 1, 4).unwrap();
    let killed = directory.join(".records-00000-of-00012.tfrecord.aB3dE6.tmp");
    std::fs::write(&killed, b"half").unwrap();
    assert_eq!(look(directory, &options, &origin().identity).unwrap(), Found::Partial { complete: 3, shards: 12 });
    let mut stop = StopAt(160);
    let stopped =
        with_threads(1, || write_records(&source, directory, &options, &origin(), &mut stop)).unwrap_err().to_string();
    assert!(!killed.exists(), "{stopped}");
    let Found::Partial { complete, .. } = look(directory, &options, &origin().identity).unwrap() else { panic!() };
    assert!((4..12).contains(&complete), "{stopped}");
    // Tasks go on from the journal and the markers.
    let first = task(source.count, directory, &options, 0, 2).unwrap();
    assert!(first.resumed_shards >= 4);
    assert!(first.dataset.is_none());
    let summary = make(source.count, directory, &options).unwrap();
    assert!(summary.resumed_shards >= 6 && !summary.already_complete);
    assert_eq!(files(directory), wanted);
}

#[test]
fn overwriting_removes_what_tasks_wrote() {
    let (directory, options) = (fast_directory(), options(6));
    let directory = directory.path();
    task(100, directory, &options, 1, 3).unwrap();
    let mut other = options.clone();
    other.instances.random_seed = 9;
    other.overwrite = true;
    let refused = task(100, directory, &other, 1, 3).unwrap_err();
    assert_eq!(refused.facts().option, Some("overwrite"));
    assert!(refused.to_string().contains("each task would remove the records of the others"), "{refused}");
    assert_eq!(make(100, directory, &other).unwrap().resumed_shards, 0);
    assert_eq!(files(directory), whole(100, &RecordsOptions { overwrite: false, ..other }));
}

#[test]
fn tasks_with_other_options_are_refused() {
    let directory = fast_directory();
    let directory = directory.path();
    task(100, directory, &options(6), 1, 3).unwrap();
    let mut other = options(6);
    other.instances.random_seed = 9;
    for (id, tasks) in [(1, 3), (0, 2)] {
        let error = task(100, directory, &other, id, tasks).unwrap_err();
        assert!(matches!(error, Error::Exists { .. }));
        assert!(error.to_string().contains("begun with random_seed=1, not 9; pass 1 to resume"), "{error}");
    }
    assert!(task(99, directory, &options(6), 0, 3).unwrap_err().to_string().contains("instances 100, not 99"));
    let elsewhere = Origin { documents: 51, ..origin() };
    let share = Share::new(0, 3).unwrap();
    let error = write_task(&Consecutive(&Made::new(100)), directory, &options(6), &elsewhere, share, &mut NoProgress);
    assert!(error.unwrap_err().to_string().contains("begun with another input"));
    // What the tokenizer's file is called has no effect on the bytes.
    let renamed = Origin { tokenizer: serde_json::json!({"kind": "unigram", "file": "a.model"}), ..origin() };
    for id in [0, 2] {
        let share = Share::new(id, 3).unwrap();
        write_task(&Consecutive(&Made::new(100)), directory, &options(6), &renamed, share, &mut NoProgress).unwrap();
    }
    assert_eq!(files(directory), whole(100, &options(6)));
    let error = task(100, directory, &other, 0, 2).unwrap_err().to_string();
    assert!(error.contains("made with random_seed=1, not 9; pass 1 to keep it"), "{error}");
}

#[test]
fn finishing_says_what_is_missing() {
    let (directory, options) = (fast_directory(), options(12));
    let directory = directory.path();
    assert_eq!(finish(directory, None).unwrap(), None);
    for id in [0, 2, 5] {
        task(500, directory, &options, id, 6).unwrap();
    }
    let place = format!("{}: ", directory.display());
    assert_eq!(
        remaining(directory),
        format!(
            "{place}shards 2-3, 6-9 of 12 are missing; run the tasks that did not end well again (num_tasks=N names \
             them, where N is their number)"
        )
    );
    let with = |tasks| finish(directory, Some(tasks)).unwrap_err().to_string();
    assert_eq!(
        with(6),
        format!("{place}shards 2-3, 6-9 of 12 are missing; run tasks 1, 3-4 of 6 again (Slurm: --array=1,3-4)")
    );
    assert!(with(12).ends_with("run tasks 2-3, 6-9 of 12 again (Slurm: --array=2-3,6-9)"), "{}", with(12));
    assert_eq!(finish(directory, Some(0)).unwrap_err().facts().option, Some("num_tasks"));
    for id in [1, 3] {
        task(500, directory, &options, id, 6).unwrap();
    }
    std::fs::remove_file(directory.join("records-00009-of-00012.tfrecord")).ok();
    task(500, directory, &options, 8, 12).unwrap();
    assert!(remaining(directory).contains("shard 9 of 12 is missing; run the tasks"), "{}", remaining(directory));
    assert!(with(6).ends_with("run task 4 of 6 again (Slurm: --array=4)"), "{}", with(6));
    assert!(!directory.join("dataset.json").exists());
}

#[test]
fn finishing_completes_what_the_last_task_could_not() {
    let options = options(6);
    let wanted = whole(100, &options);
    let directory = fast_directory();
    let directory = directory.path();
    task(100, directory, &options, 0, 2).unwrap();
    // The last task is killed before it completes the set, and others in the middle.
    let kept = std::fs::read(directory.join("make-records.partial.jsonl")).unwrap();
    let inner = directory.join("make-records.partial");
    let copy = fast_directory();
    copy_files(&inner, copy.path());
    let last = task(100, directory, &options, 1, 2).unwrap();
    let again = |directory: &Path| {
        std::fs::remove_file(directory.join("dataset.json")).ok();
        std::fs::write(directory.join("make-records.partial.jsonl"), &kept).unwrap();
        std::fs::create_dir_all(&inner).unwrap();
        copy_files(copy.path(), &inner);
        for shard in &last.shards {
            markers::add(directory, shard, None).unwrap();
        }
        std::fs::write(directory.join(".records-00001-of-00006.tfrecord.aB3dE6.tmp"), b"half").unwrap();
        std::fs::write(inner.join(".records-00001-of-00006.tfrecord.json.aB3dE6.tmp"), b"half").unwrap();
    };
    again(directory);
    let finished = finish(directory, Some(2)).unwrap().unwrap();
    assert!(!finished.already_complete);
    assert_eq!(finished.dataset, last.dataset.unwrap());
    assert_eq!(files(directory), wanted);
    // A task that only finds complete shards completes the set, too.
    again(directory);
    let summary = task(100, directory, &options, 0, 50).unwrap();
    assert!(summary.dataset.is_some() && summary.state.range.is_empty() && !summary.already_complete);
    assert_eq!(files(directory), wanted);
    // And so does a single run.
    again(directory);
    assert_eq!(make(100, directory, &options).unwrap().resumed_shards, 6);
    // Somebody else's file stays.
    again(directory);
    std::fs::write(inner.join("mine"), b"mine").unwrap();
    finish(directory, None).unwrap();
    assert_eq!(std::fs::read_dir(&inner).unwrap().count(), 1);
    std::fs::remove_dir_all(&inner).unwrap();
    assert_eq!(files(directory), wanted);
    // The shards must have as many records as the header says.
    again(directory);
    let marker = inner.join("records-00000-of-00006.tfrecord.json");
    let text = std::fs::read_to_string(&marker).unwrap().replace("\"records\": 16", "\"records\": 15");
    std::fs::write(&marker, text).unwrap();
    assert!(remaining(directory).contains("the shards have 99 records together, but should have 100"));
}

fn copy_files(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn finishing_refuses_what_tasks_did_not_write() {
    let directory = fast_directory();
    let directory = directory.path();
    let (source, options) = slow(12);
    let mut stop = StopAt(70);
    with_threads(1, || write_records(&source, directory, &options, &origin(), &mut stop)).unwrap_err();
    assert!(remaining(directory).contains("a command without tasks was stopped here"), "{}", remaining(directory));
    std::fs::remove_file(directory.join("make-records.partial.jsonl")).unwrap();
    assert!(remaining(directory).contains("but nothing says what it was made from"), "{}", remaining(directory));

    let directory = fast_directory();
    let directory = directory.path();
    let options = RecordsOptions { num_shards: Some(3), ..options };
    make(60, directory, &options).unwrap();
    let lost = directory.join("records-00001-of-00003.tfrecord");
    let kept = std::fs::read(&lost).unwrap();
    std::fs::remove_file(&lost).unwrap();
    let message = remaining(directory);
    assert!(message.contains("were complete, but shard 1 of 3 is missing or changed since; run make-records again"));
    let refused = task(60, directory, &options, 1, 3).unwrap_err().to_string();
    assert!(refused.contains("were complete, but shard 1 of 3 is missing or changed since"), "{refused}");
    std::fs::write(&lost, kept).unwrap();
    assert!(finish(directory, None).unwrap().unwrap().already_complete);
}

#[test]
fn a_stopped_task_says_what_it_has_done() {
    let directory = fast_directory();
    let (source, options) = slow(12);
    let mut stop = StopAt(70);
    let share = Share::new(1, 2).unwrap();
    let stopped =
        with_threads(1, || write_task(&Consecutive(&source), directory.path(), &options, &origin(), share, &mut stop))
            .unwrap_err();
    let Error::Interrupted(message) = stopped else { panic!("{stopped}") };
    assert!(message.ends_with(" of 6 shards are complete; run the same command again to resume"), "{message}");
    let left = files_only(directory.path());
    assert!(left.iter().all(|name| !name.starts_with('.')), "{left:?}");
}

/// Something that happens while the last instance is made. By then, the temporary of the only shard is there: of the waves
/// of blocks, the third is made after the first is written.
struct Meanwhile<F>(F);

const MANY: u64 = 20_000;

impl<F: Fn() + Sync> InstanceSource for Meanwhile<F> {
    type Scratch = ();

    fn len(&self) -> u64 {
        MANY
    }

    fn scratch(&self) -> Self::Scratch {}

    fn fill(&self, position: u64, (): &mut (), instance: &mut Instance) -> Result<()> {
        if position == MANY - 1 {
            (self.0)();
        }
        Made::new(MANY).fill(position, &mut (), instance)
    }
}

fn task_while(directory: &Path, meanwhile: impl Fn() + Sync) -> Result<TaskSummary> {
    let share = Share::new(0, 1).unwrap();
    let source = Meanwhile(meanwhile);
    with_threads(1, || write_task(&Consecutive(&source), directory, &options(1), &origin(), share, &mut NoProgress))
}

#[test]
fn a_task_whose_temporary_is_removed_says_so() {
    let directory = fast_directory();
    let directory = directory.path();
    let remove = || {
        let removed = files_only(directory).into_iter().filter(|name| name.starts_with(".records-")).count();
        assert_eq!(removed, 1);
        crate::files::atomic::remove_stale(directory, |_| true).unwrap();
    };
    let error = task_while(directory, remove).unwrap_err().to_string();
    assert!(error.contains("its temporary was removed by another command; run the same command again"), "{error}");
    assert!(task_while(directory, || ()).unwrap().dataset.is_some());
    assert_eq!(files(directory), whole(MANY, &options(1)));
}

#[test]
fn a_straggler_is_content_with_the_work_of_others() {
    let directory = fast_directory();
    let directory = directory.path();
    let overtake = || {
        std::thread::scope(|scope| {
            let other = scope.spawn(|| task(MANY, directory, &options(1), 0, 1).unwrap());
            assert!(other.join().unwrap().dataset.is_some());
        });
    };
    let summary = task_while(directory, overtake).unwrap();
    assert!(summary.dataset.is_some());
    assert_eq!(files(directory), whole(MANY, &options(1)));
}

/// A small source of random numbers (`SplitMix64`).
pub(super) struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }
}

/// What happened in the simulations, so that the test knows that it tests something.
#[derive(Debug, Default)]
struct Happened {
    tasks: AtomicU64,
    deaths: AtomicU64,
    stragglers: AtomicU64,
    finishes: AtomicU64,
}

/// Several rounds of tasks, some at the same time, with the same or other numbers of tasks, some of which are stopped or
/// slow. Between rounds, there is what tasks leave that are killed at other moments.
fn simulate(seed: u64, happened: &Happened) {
    let mut dice = Dice(seed);
    let (count, num_shards) = (10 + dice.roll(40), 1 + dice.roll(8));
    let compression = [Compression::None, Compression::Gzip][usize::from(dice.roll(4) == 0)];
    let options = RecordsOptions { compression, units_per_block: 1000, ..options(num_shards) };
    let wanted = whole(count, &options);
    let directory = fast_directory();
    let directory = directory.path();
    let shard = |dice: &mut Dice| shard_name(dice.roll(num_shards), num_shards, compression);
    let inner = directory.join(markers::DIRECTORY);
    let header = {
        let header = Header::new(&options, &origin().identity, Some(count));
        serde_json::to_string(&header).unwrap() + "\n"
    };
    for round in 0.. {
        assert!(round < 200, "seed {seed} does not end");
        let calm = round > 20;
        let overtaken = AtomicBool::new(false);
        let jobs: Vec<_> = (0..=dice.roll(3))
            .map(|_| {
                let tasks = 1 + dice.roll(10);
                let share = Share::new(dice.roll(tasks), tasks).unwrap();
                let stop = if !calm && dice.roll(3) == 0 { dice.roll(count) } else { u64::MAX };
                let pause = Duration::from_micros(if dice.roll(4) == 0 { 200 } else { 0 });
                (share, stop, pause)
            })
            .collect();
        std::thread::scope(|scope| {
            for (share, stop, pause) in jobs {
                let (options, overtaken) = (&options, &overtaken);
                scope.spawn(move || {
                    let source = Made { count, pause };
                    let mut progress = StopAt(stop);
                    happened.tasks.fetch_add(1, Ordering::Relaxed);
                    match write_task(&Consecutive(&source), directory, options, &origin(), share, &mut progress) {
                        Ok(summary) if summary.dataset.is_some() => overtaken.store(true, Ordering::SeqCst),
                        Ok(_) => {}
                        Err(Error::Interrupted(_)) => drop(happened.deaths.fetch_add(1, Ordering::Relaxed)),
                        Err(other) => panic!("seed {seed}: {other}"),
                    }
                    if !pause.is_zero() && overtaken.load(Ordering::SeqCst) {
                        happened.stragglers.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        for (name, bytes) in &wanted {
            if let Ok(found) = std::fs::read(directory.join(name)) {
                assert!(found == *bytes, "seed {seed}: {name} differs");
            }
        }
        let is_complete = directory.join("dataset.json").exists();
        if is_complete && (calm || dice.roll(2) == 0) {
            break;
        }
        // A task was killed in mid-shard, in mid-marker, or between the two.
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::write(directory.join(format!(".{}.aB3dE6.tmp", shard(&mut dice))), b"half").unwrap();
        std::fs::write(inner.join(format!(".{}.json.aB3dE6.tmp", shard(&mut dice))), b"half").unwrap();
        let _ = std::fs::remove_file(inner.join(format!("{}.json", shard(&mut dice))));
        if is_complete {
            // A task was killed while it tidied up.
            std::fs::write(directory.join("make-records.partial.jsonl"), &header).unwrap();
        }
    }
    if dice.roll(2) == 0 {
        std::fs::write(directory.join("make-records.partial.jsonl"), &header).unwrap();
        assert!(finish(directory, None).unwrap().unwrap().already_complete);
        happened.finishes.fetch_add(1, Ordering::Relaxed);
    } else {
        assert!(task(count, directory, &options, 0, 3).unwrap().already_complete);
    }
    assert_eq!(files(directory), wanted, "seed {seed}");
}

#[test]
fn deaths_duplicates_and_stragglers_change_no_byte() {
    let happened = Happened::default();
    for seed in 0..200 {
        simulate(seed, &happened);
    }
    let Happened { tasks, deaths, stragglers, finishes } = &happened;
    for (number, least) in [(tasks, 1000), (deaths, 100), (stragglers, 20), (finishes, 50)] {
        assert!(number.load(Ordering::Relaxed) > least, "{happened:?}");
    }
}
