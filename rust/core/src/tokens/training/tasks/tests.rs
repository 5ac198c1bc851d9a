//! Tasks: the model of one command, whatever happens to the tasks.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;

use super::*;
use crate::NoProgress;
use crate::files::compress::gzip;
use crate::files::inputs::OnBadUtf8;
use crate::tokens::tokenizer::TextRules;
use crate::tokens::training::Normalization;
use crate::tokens::training::read::{Trained, train};

struct Case {
    root: tempfile::TempDir,
    output: TaskOutput,
    options: Options,
    reading: Reading,
    extend: Option<Tokenizer>,
}

impl Case {
    fn new(files: &[Vec<u8>], portion_bytes: u64) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("in")).unwrap();
        for (number, bytes) in files.iter().enumerate() {
            fs::write(root.path().join(format!("in/{number:03}")), bytes).unwrap();
        }
        let output = TaskOutput { portion_bytes, kept: "kept".into(), ..TaskOutput::new(root.path().join("out")) };
        let options = Options {
            vocab_size: 60,
            hard_vocab_limit: false,
            input_sentence_size: 0,
            max_sentence_length: 40,
            normalization: Normalization { remove_extra_whitespaces: false, ..Normalization::default() },
            ..Options::default()
        };
        let rules = TextRules { lower_case: true, keep_accents: false };
        let reading = Reading { rules, on_bad_utf8: OnBadUtf8::Error, any_text: true };
        Self { root, output, options, reading, extend: None }
    }

    fn inputs(&self) -> [PathBuf; 1] {
        [self.root.path().join("in")]
    }

    /// What one command makes.
    fn whole(&self) -> Result<Trained> {
        train(&self.inputs(), self.reading, self.options.clone(), self.extend.as_ref(), &mut NoProgress)
    }

    fn task_with(&self, id: u64, count: u64, progress: &mut dyn Progress) -> Result<TaskTrained> {
        let share = Share::new(id, count).unwrap();
        let extend = self.extend.as_ref();
        train_task(&self.inputs(), self.reading, &self.options, extend, &self.output, share, progress)
    }

    fn task(&self, id: u64, count: u64) -> Result<TaskTrained> {
        self.task_with(id, count, &mut NoProgress)
    }

    /// Runs tasks in rounds until one of them has a model. Returns it, and the number of rounds.
    fn all(&self, ids: &[u64], count: u64) -> (Completed, u32) {
        for _ in 0..4 {
            for &id in ids {
                let made = self.task(id, count).unwrap();
                if let Some(completed) = made.completed {
                    return (completed, made.state.rounds);
                }
                assert!(made.state.complete < made.state.total, "{:?}", made.state);
            }
        }
        panic!("the tasks do not end")
    }

    fn finish(&self, num_tasks: Option<u64>) -> Result<Option<Completed>> {
        finish(&self.output.directory, num_tasks, &mut NoProgress)
    }

    /// The files of the output, those in directories too.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut directories = vec![self.output.directory.clone()];
        while let Some(directory) = directories.pop() {
            for path in fs::read_dir(directory).into_iter().flatten().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    directories.push(path);
                } else {
                    found.insert(path.strip_prefix(&self.output.directory).unwrap().into(), fs::read(&path).unwrap());
                }
            }
        }
        found
    }

    fn remove(&self) {
        let _ = fs::remove_dir_all(&self.output.directory);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.output.directory.join(name)
    }
}

/// Lines of all kinds: ordinary ones, with capitals and accents, too long, with the reserved character, blank, and such
/// that only normalization makes empty (spaces alone are blank before).
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[aäEeno]{1,5}( [aäEeno]{1,5}){0,5}",
        1 => "[ab ]{41,60}",
        1 => Just("a ▅ b".to_owned()),
        2 => "[ \r]{0,2}",
        1 => Just("\u{200B}".to_owned()),
    ]
}

fn file() -> impl Strategy<Value = Vec<u8>> {
    let lines = proptest::collection::vec(line(), 0..40);
    (lines, any::<bool>(), any::<bool>(), proptest::bool::weighted(0.2)).prop_map(|(lines, bom, newline, packed)| {
        let mut text = if bom { "\u{FEFF}".to_owned() } else { String::new() };
        text += &lines.join("\n");
        if newline {
            text.push('\n');
        }
        if packed { gzip(text.as_bytes()) } else { text.into_bytes() }
    })
}

/// Enough lines for several portions, and for pieces of several characters.
fn corpus() -> Vec<Vec<u8>> {
    let line = |number: u32| format!("Zeile {} von {} und {}", number % 37, number % 11, number % 7);
    let text = |range: std::ops::Range<u32>| (range.map(line).collect::<Vec<_>>().join("\n") + "\n").into_bytes();
    vec![text(0..300), b"\n\n \n\n".to_vec(), text(300..310), gzip(&text(310..400))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn the_model_is_that_of_one_command(
        files in proptest::collection::vec(file(), 1..5),
        portion_bytes in prop_oneof![1..20_u64, 20..600_u64],
        sample in prop_oneof![Just(0_u64), 1..80_u64],
        reversed in any::<bool>(),
        count in prop::sample::select(vec![1, 3, 7, 50]),
    ) {
        let mut case = Case::new(&files, portion_bytes);
        case.options.input_sentence_size = sample;
        let mut ids: Vec<_> = (0..count).collect();
        if reversed {
            ids.reverse();
        }
        let whole = match case.whole() {
            Ok(whole) => whole,
            Err(error) => {
                // A text may be such that no model can be trained on it.
                let tasks = ids.iter().chain(&ids);
                let found: Vec<_> = tasks.filter_map(|&id| case.task(id, count).err()).collect();
                prop_assert_eq!(found.last().map(ToString::to_string), Some(error.to_string()));
                return Ok(());
            }
        };
        let (made, rounds) = case.all(&ids, count);
        prop_assert_eq!(rounds, if sample == 0 { 1 } else { 2 });
        prop_assert!(made.model == whole.model);
        prop_assert_eq!(
            (made.lines, made.dropped.too_long, made.dropped.reserved),
            (whole.lines, whole.dropped.too_long, whole.dropped.reserved)
        );
        // One command also normalizes lines that may be, and then are not, in the sample.
        prop_assert!(made.dropped.empty <= whole.dropped.empty);
        prop_assert!(sample > 0 || made.dropped == whole.dropped);
        prop_assert_eq!((made.kept.as_str(), made.already_complete), ("kept", false));
    }

    #[test]
    fn errors_name_the_line(
        files in proptest::collection::vec("[ab \n]{1,80}", 1..4), portion_bytes in 1..60_u64,
        at in any::<prop::sample::Index>(),
    ) {
        let mut text = files.concat().into_bytes();
        text.insert(at.index(text.len() + 1), 0xFF);
        let case = Case::new(&[text], portion_bytes);
        let place = |error: Error| match error {
            Error::InvalidUtf8 { line, byte, value, .. } => (line, byte, value),
            other => panic!("{other:?}"),
        };
        let wanted = place(case.whole().unwrap_err());
        let found: Vec<_> = (0..5).filter_map(|id| case.task(id, 5).err().map(place)).collect();
        prop_assert_eq!(found, [wanted]);
    }
}

#[test]
fn a_large_vocabulary_and_a_sample_of_several_portions() {
    for sample in [0, 150, 400, 1000] {
        let mut case = Case::new(&corpus(), 1000);
        case.options = Options { vocab_size: 200, input_sentence_size: sample, ..case.options };
        let whole = case.whole().unwrap();
        let (made, _) = case.all(&[2, 0, 1], 3);
        assert!(made.model.is_some() && made.model == whole.model, "{sample}");
        assert_eq!((made.lines, made.dropped), (whole.lines, whole.dropped));
        assert_eq!(whole.lines, 400);
    }
}

#[test]
fn publishing() {
    let case = Case::new(&corpus(), 1000);
    let whole = case.whole().unwrap().model.unwrap();
    let (made, _) = case.all(&[0, 1, 2], 3);
    assert!(case.files().len() > 10);
    // Killed before the model was there.
    fs::write(case.path(MANIFEST_FILE), "{}").unwrap();
    assert!(case.task(0, 3).unwrap_err().to_string().contains("not as albert-fast writes it"));
    fs::remove_file(case.path(MANIFEST_FILE)).unwrap();
    let again = case.task(1, 3).unwrap();
    assert_eq!(again.completed.unwrap(), made);
    assert_eq!(case.finish(Some(3)).unwrap().unwrap(), made);
    fs::write(case.path(".spiece.model.aB3dE6.tmp"), "x").unwrap();
    assert!(!publish(&case.output.directory, &whole, "less").unwrap());
    let names: Vec<_> = case.files().into_keys().collect();
    assert_eq!(names, [MODEL_FILE, MANIFEST_FILE].map(PathBuf::from));
    // Doing any of it again changes nothing.
    let before = case.files();
    assert!(publish(&case.output.directory, &whole, "less").unwrap());
    for id in 0..3 {
        let made = case.task(id, 3).unwrap();
        assert_eq!((made.state.complete, made.state.total), (made.state.total, made.state.total));
        let found = made.completed.unwrap();
        assert_eq!((found.model.as_ref(), found.lines, found.already_complete), (Some(&whole), 400, true));
        assert_eq!(found.kept, "less");
    }
    // Killed before the notes were removed.
    fs::create_dir_all(case.path("train-tokenizer.partial/words")).unwrap();
    fs::write(case.path("train-tokenizer.partial/words/00001.json"), "{}").unwrap();
    assert!(case.finish(None).unwrap().unwrap().already_complete);
    assert!(case.files() == before);
    // A model that another command wrote is not touched.
    assert!(matches!(publish(&case.output.directory, b"other", "less"), Err(Error::Exists { .. })));
    fs::write(case.path(MODEL_FILE), "other").unwrap();
    assert!(case.task(0, 3).unwrap_err().to_string().contains("spiece.model: this file exists"));
    assert!(matches!(publish(&case.output.directory, &whole, "less"), Err(Error::Exists { .. })));
    assert_eq!(case.finish(None).unwrap(), None);
    assert_eq!(fs::read(case.path(MODEL_FILE)).unwrap(), b"other");
    forget(&case.output.directory).unwrap();
    assert_eq!(case.files().into_keys().collect::<Vec<_>>(), [PathBuf::from(MODEL_FILE)]);
}

#[test]
fn what_is_lost_is_made_again() {
    let mut case = Case::new(&corpus(), 1000);
    case.options.input_sentence_size = 150;
    let whole = case.whole().unwrap().model;
    let (made, _) = case.all(&[0, 1, 2], 3);
    assert_eq!(made.model, whole);
    let total = case.task(0, 3).unwrap().state.total;
    assert!(total > 6, "{total}");
    let before = case.files();
    let damage: [fn(&Case); 4] = [
        |case| fs::remove_file(case.path("train-tokenizer.partial/words/00001.words")).unwrap(),
        |case| {
            let path = case.path("train-tokenizer.partial/words/00001.words");
            fs::write(&path, &fs::read(&path).unwrap()[..20]).unwrap();
        },
        |case| fs::remove_file(case.path("train-tokenizer.partial/words/00001.json")).unwrap(),
        |case| fs::remove_file(case.path("train-tokenizer.partial/counted/00001.json")).unwrap(),
    ];
    for damage in damage {
        damage(&case);
        let error = case.finish(Some(total)).unwrap_err().to_string();
        let named = format!("portion 1 of {total} is missing; run task 1 of {total} again (Slurm: --array=1)");
        assert!(error.contains(&named), "{error}");
        let (made, _) = case.all(&[total - 1, 1, 0], total);
        assert_eq!(made.model, whole);
        assert!(case.files() == before);
    }
    // A file of the right size with other bytes is found when it is read.
    let path = case.path("train-tokenizer.partial/words/00001.words");
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = case.task(0, 3).unwrap_err().to_string();
    assert!(error.contains("00001.words: damaged"), "{error}");
    fs::remove_file(&path).unwrap();
    assert_eq!(case.all(&[0, 1, 2], 3).0.model, whole);
}

#[test]
fn finishing() {
    let mut case = Case::new(&corpus(), 1000);
    case.options.input_sentence_size = 150;
    assert_eq!(case.finish(None).unwrap(), None);
    let said = |num_tasks| case.finish(num_tasks).unwrap_err().to_string();
    let total = case.task(1, 3).unwrap().state.total;
    let error = said(Some(3));
    let wanted = format!(
        "of {total} are missing; run tasks 0, 2 of 3 again (Slurm: --array=0,2), and then all tasks for each round that \
         follows"
    );
    assert!(error.contains("out: round 1 of 2: portions 0-") && error.ends_with(&wanted), "{error}");
    assert!(matches!(case.finish(Some(0)), Err(Error::Rule { option: "num_tasks", .. })));
    case.task(0, 3).unwrap();
    let state = case.task(2, 3).unwrap().state;
    assert_eq!((state.round, state.rounds, state.complete), (2, 2, state.range.end - state.range.start));
    let error = said(None);
    assert!(error.contains("round 2 of 2: portions 0-") && error.contains("(num_tasks=N names them"), "{error}");
    // The number of tasks may change.
    for id in [4, 3, 0, 1] {
        assert_eq!(case.task(id, 5).unwrap().completed, None);
    }
    let made = case.task(2, 5).unwrap().completed;
    // The last one was killed before it could publish.
    assert_eq!(case.finish(None).unwrap(), made);
    assert_eq!(made.unwrap().model, case.whole().unwrap().model);
}

/// Asks to stop at the report of this number.
struct StopAt(u32, Arc<AtomicBool>);

impl Progress for StopAt {
    fn report(&mut self, _: &'static str, _: &'static str, _: u64, _: u64) -> bool {
        self.0 = self.0.saturating_sub(1);
        self.1.store(self.0 == 0, Ordering::Relaxed);
        self.0 > 0
    }

    fn stop(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.1)
    }
}

#[test]
fn stopped_tasks_resume() {
    let mut case = Case::new(&corpus(), 1000);
    case.options.input_sentence_size = 150;
    let whole = case.whole().unwrap().model;
    let (mut stops, mut patience) = (0, 3);
    let made = loop {
        // The training itself cannot be divided: it needs so many reports without a stop.
        patience += 1;
        match case.task_with(stops % 2, 2, &mut StopAt(patience, Arc::default())) {
            Err(error) => {
                assert!(matches!(error, Error::Interrupted(_)), "{error}");
                assert!(error.to_string().contains("run the same command again to resume"), "{error}");
                assert!(case.files().keys().all(|name| !name.to_string_lossy().ends_with("tmp")));
            }
            Ok(TaskTrained { completed: Some(made), .. }) => break made,
            Ok(_) => {}
        }
        stops += 1;
        assert!(stops < 1000);
    };
    assert!(stops > 5, "{stops}");
    assert_eq!(made.model, whole);
}

#[test]
fn tasks_at_the_same_time() {
    for sample in [0, 150] {
        let mut case = Case::new(&corpus(), 1000);
        case.options.input_sentence_size = sample;
        let whole = case.whole().unwrap().model;
        let work = |id| {
            for _ in 0..2 {
                if let Some(made) = case.task(id, 3).unwrap().completed {
                    assert_eq!(made.model, whole);
                    if !made.already_complete {
                        publish(&case.output.directory, &made.model.unwrap(), "less").unwrap();
                    }
                }
            }
        };
        for _ in 0..3 {
            std::thread::scope(|scope| {
                for id in [0, 1, 1, 2, 2] {
                    let work = &work;
                    scope.spawn(move || work(id));
                }
            });
            // A task that ended before the counts of all others were there has not written its words.
            (0..3).for_each(work);
            let names: Vec<_> = case.files().into_keys().collect();
            assert_eq!(names, [MODEL_FILE, MANIFEST_FILE].map(PathBuf::from));
            case.remove();
        }
    }
}

#[test]
fn other_options_and_input_are_refused() {
    let mut case = Case::new(&corpus(), 1000);
    case.task(0, 3).unwrap();
    let before = case.files();
    let refusal = |case: &Case| {
        let error = case.task(1, 3).unwrap_err();
        assert!(matches!(error, Error::Exists { .. }), "{error}");
        error.to_string()
    };
    let (options, reading) = (case.options.clone(), case.reading);
    let mut with = |change: fn(&mut Case)| {
        change(&mut case);
        let error = refusal(&case);
        (case.options, case.reading, case.output.portion_bytes) = (options.clone(), reading, 1000);
        error
    };
    assert!(with(|it| it.options.vocab_size = 61).contains("begun with vocab_size=60, not 61; pass 60 to resume"));
    assert!(with(|it| it.options.input_sentence_size = 9).contains("input_sentence_size=0, not 9"));
    assert!(with(|it| it.reading.rules.keep_accents = true).contains("keep_accents=False, not keep_accents=True"));
    assert!(with(|it| it.reading.on_bad_utf8 = OnBadUtf8::Replace).contains("on_bad_utf8=error, not replace"));
    assert!(with(|it| it.output.portion_bytes = 999).contains("portion_bytes=1000, not 999"));
    let error = with(|it| it.options.normalization.remove_extra_whitespaces = true);
    assert!(error.contains("begun with other normalization rules"), "{error}");
    let text = fs::read(case.root.path().join("in/000")).unwrap();
    fs::write(case.root.path().join("in/000"), [&text[..], b"more\n"].concat()).unwrap();
    assert!(refusal(&case).contains("begun with another input"));
    fs::write(case.root.path().join("in/000"), &text).unwrap();
    // What does not change the model may differ.
    case.output.kept = "other".into();
    assert_eq!(case.task(0, 3).unwrap().completed, None);
    let share = Share::new(0, 3).unwrap();
    let stdin = train_task(&["-"], case.reading, &case.options, None, &case.output, share, &mut NoProgress);
    assert!(stdin.unwrap_err().to_string().contains("<stdin> can be read only once"));
    assert!(case.files() == before);
    // The same holds when the model is complete.
    let (made, _) = case.all(&[0, 1, 2], 3);
    assert_eq!(made.kept, "kept");
    publish(&case.output.directory, &made.model.unwrap(), "less").unwrap();
    case.options.vocab_size = 61;
    assert!(refusal(&case).contains("made with vocab_size=60, not 61; pass 60 to keep it"));
}

#[test]
fn text_without_lines() {
    for text in ["\n \n\n", "", "viel zu lang, viel zu lang, viel zu lang.\n"] {
        let case = Case::new(&[text.into(), text.into()], 3);
        let (made, _) = case.all(&[0, 1, 2], 3);
        let whole = case.whole().unwrap();
        assert_eq!((made.model.clone(), made.lines, made.dropped), (None, whole.lines, whole.dropped));
        assert_eq!(case.finish(None).unwrap(), Some(made));
    }
}

#[test]
fn an_extension() {
    let mut case = Case::new(&corpus(), 1000);
    case.options.normalization = Normalization::default();
    let model =
        train(&case.inputs(), case.reading, Options { vocab_size: 40, ..case.options.clone() }, None, &mut NoProgress);
    let path = case.root.path().join("old.model");
    fs::write(&path, model.unwrap().model.unwrap()).unwrap();
    case.extend = Some(Tokenizer::from_model(&path, None).unwrap());
    let whole = case.whole().unwrap().model;
    assert!(whole.is_some());
    let (made, _) = case.all(&[1, 0], 2);
    assert_eq!(made.model, whole);
    // The old model is not needed any more.
    fs::remove_file(&path).unwrap();
    assert_eq!(case.finish(None).unwrap(), Some(made));
    case.extend = None;
    let error = case.task(0, 2).unwrap_err().to_string();
    assert!(error.contains("begun with another model to extend"), "{error}");
}
