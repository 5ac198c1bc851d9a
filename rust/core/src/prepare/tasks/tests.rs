//! Prepares small inputs in portions, with any tasks, and whatever happens to them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;

use super::*;
use crate::NoProgress;
use crate::prepare::{Outputs, prepare};

mod near;

/// Inputs of several formats with documents that repeat others, in the same file and in others.
struct Case {
    directory: tempfile::TempDir,
    options: PrepareOptions,
    output: PortionOutput,
}

impl Case {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let inputs = directory.path().join("in");
        fs::create_dir(&inputs).unwrap();
        let mut state = 7_u32;
        let mut random = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % below
        };
        for file in 0..24 {
            let mut text = String::new();
            for _ in 0..random(60) {
                let number = random(300);
                let mut document = format!("Document {number} begins here. Read on at any time.");
                for sentence in 0..number % 20 {
                    document.extend([" Sentence ", &sentence.to_string(), " follows, Mr. Reader."]);
                }
                let line = if file % 5 == 4 { document } else { json!({ "text": document }).to_string() };
                text.extend([&line, "\n"]);
            }
            let suffix = if file % 5 == 4 { "txt" } else { "jsonl" };
            fs::write(inputs.join(format!("{file:02}.{suffix}")), text).unwrap();
        }
        let output = PortionOutput {
            output: directory.path().join("out"),
            eval_output: None,
            shard_size: 0.03,
            compression: TextCompression::None,
            overwrite: false,
        };
        let mut options = PrepareOptions { eval_fraction: 0.1, ..PrepareOptions::default() };
        options.dedup_memory = 1;
        Self { directory, options, output }
    }

    fn inputs(&self) -> [PathBuf; 1] {
        [self.directory.path().join("in")]
    }

    fn to(&self, name: &str) -> PortionOutput {
        PortionOutput { output: self.directory.path().join(name), ..self.output.clone() }
    }

    fn run(&self, name: &str, share: Option<(u64, u64)>) -> Result<Prepared> {
        self.run_with(name, share, &mut NoProgress)
    }

    fn run_with(&self, name: &str, share: Option<(u64, u64)>, progress: &mut dyn Progress) -> Result<Prepared> {
        let share = share.map(|(id, count)| Share::new(id, count).unwrap());
        prepare_portions(&self.inputs(), &self.to(name), &self.options, share, progress)
    }

    /// Calls `act` with what a command for this output works on.
    fn with_job<T>(&self, name: &str, act: impl Fn(&Job, &Inputs<'_>) -> T) -> T {
        let (files, _) = cards::expand(&self.inputs(), "text").unwrap();
        let output = self.to(name);
        let portions = divide(&files, output.shard_size, &self.options.read).unwrap();
        let training = Target::new(&output.output, Some(1), output.compression).unwrap();
        let count = portions.len() as u64;
        let header = Header::new(&self.options, output.shard_size, &training, None, &files, count).unwrap();
        let job = Job::new(&output.output, header).unwrap();
        let inputs = Inputs { files: &files, portions: &portions, options: &self.options, notes: Vec::new() };
        act(&job, &inputs)
    }

    /// Does a round, and nothing after it.
    fn do_all_of(&self, round: Round, name: &str) {
        let left = self.with_job(name, |job, inputs| {
            do_share(job, inputs, round, 0..job.total(round), &mut false, &mut NoProgress)
        });
        assert_eq!(left.unwrap(), 0);
    }

    /// The files of an output and of its held-out set.
    fn files(&self, name: &str) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        for (prefix, directory) in [("", name.to_owned()), ("eval/", format!("eval-{name}"))] {
            let Ok(entries) = fs::read_dir(self.directory.path().join(directory)) else { continue };
            for entry in entries {
                let path = entry.unwrap().path();
                let name = format!("{prefix}{}", path.file_name().unwrap().to_string_lossy());
                let content = if path.is_dir() { b"directory".to_vec() } else { fs::read(&path).unwrap() };
                assert!(found.insert(name, content).is_none());
            }
        }
        found
    }

    fn text(&self, name: &str, prefix: &str) -> String {
        let files = self.files(name).into_iter();
        let shards = files.filter(|(name, _)| name.starts_with(&format!("{prefix}corpus-")));
        shards.map(|(_, text)| String::from_utf8(text).unwrap()).collect()
    }

    /// What a command that writes one file makes of the same inputs: the texts, and the counts.
    fn whole(&self) -> (String, String, Map<String, Value>) {
        let training = Target::new(&self.directory.path().join("whole.txt"), None, TextCompression::None).unwrap();
        let held_out = training.held_out(None, TextCompression::None);
        let texts = [training.path().to_owned(), held_out.path().to_owned()];
        let held_out = (self.options.eval_fraction > 0.0).then_some(held_out);
        let outputs = Outputs { training, held_out, overwrite: true, dry_run: false };
        let summary = prepare(&self.inputs(), &outputs, &self.options, &mut NoProgress).unwrap();
        let [training, held_out] = texts.map(|path| fs::read_to_string(path).unwrap_or_default());
        (training, held_out, counts(json!(summary).as_object().unwrap()))
    }
}

/// A summary without the paths.
fn counts(summary: &Map<String, Value>) -> Map<String, Value> {
    let mut counts = summary.clone();
    counts.retain(|name, _| !name.ends_with("outputs"));
    counts
}

/// Stops when it is called for the given time.
struct After(u32);

impl Progress for After {
    fn report(&mut self, _: &'static str, _: &'static str, _: u64, _: u64) -> bool {
        self.0 = self.0.saturating_sub(1);
        self.0 > 0
    }
}

#[test]
fn the_documents_are_those_of_one_file() {
    for (dedup, eval_fraction, size) in [(true, 0.1, 0.03), (false, 0.1, 0.002), (true, 0.0, 0.002), (false, 0.0, 0.03)]
    {
        let mut case = Case::new();
        case.output.shard_size = size;
        case.options.dedup_documents = dedup;
        case.options.eval_fraction = eval_fraction;
        let prepared = case.run("out", None).unwrap();
        let (training, held_out, wanted) = case.whole();
        assert!(training.len() > 10_000 && held_out.is_empty() == (eval_fraction == 0.0));
        assert_eq!(case.text("out", ""), training);
        assert_eq!(case.text("out", "eval/"), held_out);
        let summary = prepared.summary.unwrap();
        assert_eq!(counts(&summary), wanted);
        assert_eq!(summary["counts"]["duplicate_documents"].as_u64().unwrap() > 100, dedup);
        let state = prepared.state;
        // With the smaller size, more portions than files.
        assert!(state.total > if size < 0.01 { 50 } else { 7 }, "{state:?}");
        assert_eq!((state.range, state.complete), (0..state.total, state.total));
        assert_eq!(state.rounds, if dedup { 3 } else { 1 });
        let names: Vec<_> = case.files("out").into_keys().filter(|name| !name.contains("corpus-")).collect();
        assert_eq!(names, ["prepare-text.manifest.json"]);
        assert_eq!(summary["outputs"].as_array().unwrap().len() as u64, state.total);
        assert_eq!(
            summary["outputs"][0],
            json!(case.to("out").output.join(format!("corpus-00000-of-{:05}.txt", state.total)))
        );
    }
}

#[test]
fn any_number_of_tasks_writes_the_bytes_of_one_run() {
    for (compression, counts_of_tasks) in
        [(TextCompression::None, &[1, 3, 7, 50][..]), (TextCompression::Gzip, &[3]), (TextCompression::Zstd, &[2])]
    {
        let mut case = Case::new();
        case.output.compression = compression;
        let whole = case.run("whole", None).unwrap();
        let wanted = case.files("whole");
        for &tasks in counts_of_tasks {
            let name = format!("out-{tasks}");
            let mut runs = 0;
            'all: for round in 1..=3 {
                for id in (0..tasks).map(|id| (id * 31 + 5) % tasks) {
                    let prepared = case.run(&name, Some((id, tasks))).unwrap();
                    runs += 1;
                    assert!(prepared.state.round >= round && prepared.state.rounds == 3);
                    if let Some(summary) = prepared.summary {
                        assert_eq!(counts(&summary), counts(whole.summary.as_ref().unwrap()));
                        assert!(!prepared.already_complete);
                        break 'all;
                    }
                    assert!(prepared.state.complete < prepared.state.total);
                    assert!(!case.files(&name).contains_key("prepare-text.manifest.json"));
                }
            }
            // The last task of a round starts the next one.
            assert!(runs <= 3 * tasks && runs > 2 * (tasks - 1).min(whole.state.total), "{runs} runs of {tasks} tasks");
            assert_eq!(case.files(&name), wanted, "{tasks} tasks");
            let again = case.run(&name, Some((0, tasks))).unwrap();
            assert!(again.already_complete);
            assert_eq!(counts(&again.summary.unwrap()), counts(whole.summary.as_ref().unwrap()));
            assert_eq!(case.files(&name), wanted);
        }
    }
}

#[test]
fn an_interruption_at_any_time_leaves_what_is_done() {
    let case = Case::new();
    case.run("whole", None).unwrap();
    let wanted = case.files("whole");
    let mut stages = std::collections::BTreeSet::new();
    for first in (1..).step_by(29) {
        let name = format!("out-{first}");
        let mut reports = first;
        let mut stops = 0;
        loop {
            let share = if stops % 2 == 0 { None } else { Some((0, 1)) };
            match case.run_with(&name, share, &mut After(reports)) {
                Ok(_) => break,
                Err(error @ Error::Interrupted(_)) => {
                    assert_eq!(
                        error.to_string(),
                        "stopped; what is done is kept: run the same command again to resume"
                    );
                }
                Err(error) => panic!("{error}"),
            }
            let work = case.directory.path().join(&name).join(".prepare-text.partial");
            stages.extend(fs::read_dir(work).into_iter().flatten().map(|entry| entry.unwrap().file_name()));
            stops += 1;
            // A portion must be done at some time.
            reports += 40;
        }
        assert_eq!(case.files(&name), wanted, "{first}");
        if stops == 0 {
            break;
        }
    }
    assert_eq!(stages.into_iter().collect::<Vec<_>>(), ["cleaned", "compared", "written"]);
}

#[test]
fn tasks_at_the_same_time_and_twice() {
    let case = Case::new();
    case.run("whole", None).unwrap();
    let wanted = case.files("whole");
    for run in 0..4 {
        let name = format!("out-{run}");
        let complete = AtomicU32::new(0);
        for _ in 0..3 {
            std::thread::scope(|scope| {
                for id in [0, 1, 2, 1, 0] {
                    let (case, name, complete) = (&case, &name, &complete);
                    scope.spawn(move || {
                        let prepared = case.run(name, Some((id, 3))).unwrap();
                        complete.fetch_add(u32::from(prepared.summary.is_some()), Ordering::Relaxed);
                    });
                }
            });
        }
        assert!(complete.into_inner() > 0);
        assert_eq!(case.files(&name), wanted);
    }
}

/// A list of `out` that has more than one duplicate, with its content.
fn a_list(case: &Case) -> (PathBuf, Vec<u8>) {
    let directory = case.to("out").output.join(".prepare-text.partial/compared");
    let mut lists = (0..256).map(|number| directory.join(format!("{number:05}.duplicates")));
    let path = lists.find(|path| fs::metadata(path).unwrap().len() > 20).unwrap();
    let content = fs::read(&path).unwrap();
    (path, content)
}

#[test]
fn a_list_that_is_missing_or_cut_off_is_never_an_empty_one() {
    let case = Case::new();
    case.run("whole", None).unwrap();
    case.run("out", Some((0, 2))).unwrap();
    case.do_all_of(Round::Clean, "out");
    case.do_all_of(Round::Compare, "out");
    let (path, content) = a_list(&case);
    let write = || {
        case.with_job("out", |job, inputs| {
            let all: Vec<_> = (0..job.total(Round::Write)).collect();
            run(job, inputs, Round::Write, &all, &mut NoProgress)
        })
    };
    for size in [0, 8, 20, content.len() - 1] {
        fs::write(&path, &content[..size]).unwrap();
        // A task, too, and not as if another one had completed the corpus.
        let task = case.run("out", Some((0, 1))).map(|_| ());
        for error in [write().unwrap_err(), task.unwrap_err()] {
            let error = error.to_string();
            assert!(error.contains(&format!("{}: this temporary file is damaged", path.display())), "{size}: {error}");
        }
    }
    fs::remove_file(&path).unwrap();
    let error = write().unwrap_err();
    let wanted = format!("{}: this temporary file was removed; run the same command again", path.display());
    assert!(error.to_string().contains(&wanted), "{error}");
    assert!(case.text("out", "").is_empty());
    // The list is made again.
    case.run("out", Some((0, 1))).unwrap();
    assert_eq!(case.files("out"), case.files("whole"));
}

/// Completes the corpus, by another task, when all lists are there, and leaves what tidying has not come to yet.
struct Completing<'a>(&'a Case, u32);

impl Progress for Completing<'_> {
    fn report(&mut self, stage: &'static str, _: &'static str, done: u64, total: u64) -> bool {
        if stage == "finding duplicates" && done == total {
            self.1 += 1;
            let work = self.0.to("out").output.join(".prepare-text.partial");
            let kept: BTreeMap<_, _> = ["cleaned", "compared"]
                .into_iter()
                .flat_map(|round| fs::read_dir(work.join(round)).unwrap())
                .map(|entry| entry.unwrap().path())
                .map(|path| (path.clone(), fs::read(path).unwrap()))
                .collect();
            assert!(self.0.run("out", Some((0, 1))).unwrap().summary.is_some() && !work.exists());
            for (path, content) in kept {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                // It looks as if the lists vanish after the task has seen that all of them are there.
                let is_list = path.extension().is_some_and(|it| it == "duplicates");
                fs::write(path, if is_list { Vec::new() } else { content }).unwrap();
            }
        }
        true
    }
}

#[test]
fn a_late_task_leaves_a_complete_corpus_as_it_is() {
    let case = Case::new();
    case.run("whole", None).unwrap();
    let mut progress = Completing(&case, 0);
    let prepared = case.run_with("out", Some((0, 1)), &mut progress).unwrap();
    assert_eq!(progress.1, 1);
    assert!(prepared.summary.is_some());
    assert_eq!(case.files("out"), case.files("whole"));
}

#[test]
fn finishing_says_what_is_missing() {
    let case = Case::new();
    let directory = case.to("out").output;
    assert_eq!(finish(&directory, None).unwrap(), None);
    let whole = case.run("whole", None).unwrap();
    let total = whole.state.total;
    let message = |tasks| finish(&directory, tasks).unwrap_err().to_string();
    case.run("out", Some((1, 3))).unwrap();
    let (first, last) = (total / 3, total * 2 / 3);
    let missing = format!(
        "{}: round 1 of 3: portions 0-{}, {last}-{} of {total} are missing; run ",
        directory.display(),
        first - 1,
        total - 1
    );
    assert_eq!(
        message(Some(3)),
        format!("{missing}tasks 0, 2 of 3 again (Slurm: --array=0,2), and then all tasks for each round that follows")
    );
    assert!(message(None).starts_with(&format!("{missing}the tasks that did not end well again (num_tasks=N ")));
    for id in [0, 2] {
        case.run("out", Some((id, 3))).unwrap();
    }
    assert!(
        message(Some(3)).contains("round 2 of 3: hash partitions 0-169 of 256 are missing; run tasks 0-1 of 3 again")
    );
    for id in [0, 1] {
        case.run("out", Some((id, 3))).unwrap();
    }
    let text = message(Some(3));
    assert!(text.contains(&format!("round 3 of 3: portions 0-{}, {last}-{} of", first - 1, total - 1)), "{text}");
    assert!(text.ends_with("run tasks 0, 2 of 3 again (Slurm: --array=0,2)"), "{text}");
    // As if the last task was killed before it completed the corpus.
    case.do_all_of(Round::Write, "out");
    assert!(directory.join("prepare-text.partial.json").exists());
    fs::write(directory.join(".corpus-00000-of-00009.txt.aB3dE6.tmp"), "half").unwrap();
    let lost = directory.join(format!("corpus-00001-of-{total:05}.txt"));
    let text = fs::read(&lost).unwrap();
    fs::write(&lost, "x").unwrap();
    assert!(
        message(Some(3)).contains(&format!("round 3 of 3: portion 1 of {total} is missing; run task 0 of 3 again"))
    );
    fs::write(&lost, text).unwrap();
    let finished = finish(&directory, None).unwrap().unwrap();
    assert!(!finished.already_complete);
    assert_eq!(counts(&finished.summary), counts(whole.summary.as_ref().unwrap()));
    assert_eq!(case.files("out"), case.files("whole"));
    assert!(finish(&directory, Some(3)).unwrap().unwrap().already_complete);
    fs::remove_file(&lost).unwrap();
    assert!(
        message(None).contains(&format!("the corpus was complete, but shard 1 of {total} is missing or changed since"))
    );
    let error = case.run("out", None).unwrap_err().to_string();
    assert!(error.ends_with("pass overwrite=True to make it again"), "{error}");
    let mut case = case;
    case.output.overwrite = true;
    case.run("out", None).unwrap();
    assert_eq!(case.files("out"), case.files("whole"));
}

#[test]
fn other_options_and_inputs_are_refused() {
    let mut case = Case::new();
    case.run("out", Some((0, 3))).unwrap();
    let before = case.files("out");
    let error = |case: &Case| case.run("out", Some((1, 3))).unwrap_err().to_string();
    case.options.clean.min_document_chars = 5;
    assert!(
        error(&case)
            .contains("begun with min_document_chars=0, not 5; pass 0 to resume, or another `output`, or remove")
    );
    assert!(error(&case).ends_with("`output`, or remove the output, and run all tasks again"), "{}", error(&case));
    let alone = case.run("out", None).unwrap_err().to_string();
    assert!(alone.ends_with("pass 0 to resume, overwrite=True to replace it, or another `output`"), "{alone}");
    case.options.clean.min_document_chars = 0;
    case.output.shard_size = 1.0;
    assert!(error(&case).contains("begun with shard_size=0.03, not 1; pass 0.03 to resume"));
    case.output.shard_size = 0.03;
    case.output.compression = TextCompression::Gzip;
    assert!(error(&case).contains("begun with compression=none, not gzip"));
    case.output.compression = TextCompression::None;
    let input = case.directory.path().join("in/00.jsonl");
    let text = fs::read(&input).unwrap();
    fs::write(&input, [&text[..], b"\n"].concat()).unwrap();
    assert!(error(&case).contains("begun with another input; pass another `output`, or remove the output"));
    fs::write(&input, text).unwrap();
    assert_eq!(case.files("out"), before);
    // Another command does not take it for its own.
    let target = Target::new(&case.to("out").output, Some(2), TextCompression::None).unwrap();
    assert!(target.check(true).unwrap_err().to_string().contains("an unfinished output of `shard_size`"));
    // These options do not change the output.
    case.options.dedup_memory = 7;
    case.options.samples = 9;
    case.run("out", None).unwrap();
    assert!(target.check(false).unwrap_err().to_string().contains("contains an earlier output"));
    assert!(target.check(true).is_ok());
    case.options.eval_fraction = 0.2;
    assert!(
        case.run("out", None)
            .unwrap_err()
            .to_string()
            .contains("made with eval_fraction=0.1, not 0.2; pass 0.1 to keep it")
    );
}

#[test]
fn directories_of_something_else_are_refused() {
    let mut case = Case::new();
    for (name, file) in [("out", "out/mine.txt"), ("out2", "eval-out2/mine.txt")] {
        let path = case.directory.path().join(file);
        fs::create_dir(path.parent().unwrap()).unwrap();
        fs::write(&path, "x").unwrap();
        for overwrite in [false, true] {
            case.output.overwrite = overwrite;
            let error = case.run(name, None).unwrap_err().to_string();
            assert!(error.contains("contains \"mine.txt\", which prepare-text did not write"), "{error}");
            assert!(path.exists());
        }
    }
    case.output.overwrite = false;
    let earlier = case.directory.path().join("out3/corpus-00000-of-00001.txt");
    fs::create_dir(earlier.parent().unwrap()).unwrap();
    fs::write(&earlier, "x").unwrap();
    let error = case.run("out3", Some((0, 1))).unwrap_err().to_string();
    assert!(error.contains("contains corpus-00000-of-00001.txt of an earlier output; remove it before"), "{error}");
    let error = case.run("out3", None).unwrap_err().to_string();
    assert!(error.contains("contains corpus-00000-of-00001.txt of an earlier output; pass overwrite=True"), "{error}");
    case.output.overwrite = true;
    case.run("out3", None).unwrap();
    assert!(!earlier.exists());
    fs::write(case.directory.path().join("out4"), "x").unwrap();
    assert!(case.run("out4", None).is_err());
}

#[test]
fn what_portions_cannot_do_is_refused() {
    let mut case = Case::new();
    let error = |case: &Case, share| case.run("out", share).unwrap_err();
    case.options.dedup_lines = true;
    assert_eq!(error(&case, None).facts().option, Some("dedup_lines"));
    case.options.dedup_lines = false;
    case.output.overwrite = true;
    assert_eq!(error(&case, Some((0, 2))).facts().option, Some("overwrite"));
    case.output.overwrite = false;
    for size in [0.0, -1.0, f64::NAN] {
        case.output.shard_size = size;
        assert_eq!(error(&case, None).facts().option, Some("shard_size"));
    }
    case.output.shard_size = 1.0;
    let stdin = prepare_portions(&["-"], &case.to("out"), &case.options, None, &mut NoProgress).unwrap_err();
    assert_eq!(stdin.facts().option, Some("shard_size"));
    assert!(case.files("out").is_empty());
}

#[test]
fn portions_of_a_file_have_its_language_and_lines() {
    let mut case = Case::new();
    let path = case.inputs()[0].join("99.jsonl");
    let line = |text: &str| json!({ "text": text.repeat(9) }).to_string() + "\n";
    let german = line("Die Kinder spielen im Garten, und der Hund schläft unter dem alten Baum. ");
    let english = line("The children play in the garden, and the dog sleeps under the old tree. ");
    fs::write(&path, german.repeat(40) + &english.repeat(400)).unwrap();
    case.options.dedup_documents = false;
    case.output.shard_size = 0.02;
    let wanted = case.whole().2;
    // The beginning of a file determines its language.
    assert_eq!(wanted["languages"]["de"], json!(440));
    assert_eq!(counts(&case.run("out", None).unwrap().summary.unwrap()), wanted);

    let mut lines: Vec<_> = (0..400).map(|_| english.clone()).collect();
    lines[345] = "{\"text\": 7 8}\n".into();
    fs::write(&path, lines.concat()).unwrap();
    let error = case.run("bad", None).unwrap_err();
    assert_eq!(error.facts().line, Some(346), "{error}");
}

#[test]
fn a_result_that_is_an_error_leaves_nothing_but_for_tasks() {
    let mut case = Case::new();
    case.options.clean.min_document_chars = 1_000_000;
    let error = case.run("out", None).unwrap_err().to_string();
    assert!(error.starts_with("no document is left of "), "{error}");
    assert!(case.files("out").is_empty(), "{:?}", case.files("out").keys());
    let error = case.run("out", Some((0, 1))).unwrap_err().to_string();
    assert!(error.starts_with("no document is left of "), "{error}");
    assert!(case.files("out").contains_key("prepare-text.partial.json"));
    let finished = finish(&case.to("out").output, None).unwrap_err().to_string();
    assert_eq!(finished, error);
}

#[test]
fn a_field_that_no_input_has() {
    let mut case = Case::new();
    for name in fs::read_dir(&case.inputs()[0]).unwrap() {
        let path = name.unwrap().path();
        if path.extension().is_some_and(|it| it == "jsonl") {
            fs::remove_file(path).unwrap();
        }
    }
    case.options.read.text_field = "body".into();
    case.output.shard_size = 0.001;
    case.options.eval_fraction = 0.0;
    let summary = case.run("out", None).unwrap().summary.unwrap();
    assert!(summary["warnings"].to_string().contains("`text_field` has no effect, because no input has fields"));
}

#[test]
fn held_out_documents_elsewhere() {
    let mut case = Case::new();
    case.run("whole", None).unwrap();
    let elsewhere = case.directory.path().join("eval-elsewhere");
    case.output.eval_output = Some(elsewhere.clone());
    case.run("out", Some((0, 2))).unwrap();
    assert!(elsewhere.join("prepare-text.partial.json").exists());
    while case.run("out", Some((1, 2))).unwrap().summary.is_none() {
        case.run("out", Some((0, 2))).unwrap();
    }
    let finished = finish(Path::new(&case.to("out").output), None).unwrap().unwrap();
    assert!(finished.summary["eval_outputs"][0].as_str().unwrap().starts_with(elsewhere.to_str().unwrap()));
    assert_eq!(case.text("elsewhere", "eval/"), case.text("whole", "eval/"));
    let other = Case { output: case.to("other"), ..case };
    assert!(other.run("other", None).unwrap_err().to_string().contains("of an earlier output"));
}
