//! Tasks: the bytes of one command, whatever happens to the tasks.

use super::*;
use crate::tasks::Share;

impl Case {
    fn task(&self, id: u64, count: u64, options: &TokenizeOptions) -> Result<TaskSummary> {
        self.task_with(id, count, options, &mut NoProgress)
    }

    fn task_with(
        &self,
        id: u64,
        count: u64,
        options: &TokenizeOptions,
        progress: &mut dyn Progress,
    ) -> Result<TaskSummary> {
        let share = Share::new(id, count).unwrap();
        tokenize_task(&self.inputs, &TOY, &self.output, options, share, progress)
    }

    /// The files of the output, those in directories too.
    fn all_files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut directories = vec![self.output.clone()];
        while let Some(directory) = directories.pop() {
            for path in fs::read_dir(directory).into_iter().flatten().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    directories.push(path);
                } else {
                    found.insert(path.strip_prefix(&self.output).unwrap().into(), fs::read(&path).unwrap());
                }
            }
        }
        found
    }
}

fn divided() -> TokenizeOptions {
    TokenizeOptions { part_tokens: 40, portion_bytes: 300, ..small() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_bytes_are_those_of_one_command(
        files in texts(),
        compressed in any::<[bool; 6]>(),
        portion_bytes in prop_oneof![1..12_u64, 12..200_u64],
        part_tokens in 1_u64..20,
        reversed in any::<bool>(),
    ) {
        let bytes: Vec<_> = files
            .iter()
            .zip(compressed)
            .map(|(text, compressed)| if compressed { compress(text.as_bytes()) } else { text.clone().into_bytes() })
            .collect();
        let case = Case::new(&bytes);
        let options = TokenizeOptions { part_tokens, portion_bytes, ..small() };
        if expected(&files, false, "\u{FEFF}").is_empty() {
            for id in 0..3 {
                let made = case.task(id, 3, &options);
                prop_assert!(id < 2 && made.is_ok() || matches!(made, Err(Error::Input { .. })), "{:?}", made);
            }
            return Ok(());
        }
        let wanted = case.run_elsewhere("whole", &options);
        for count in [1, 3, 7, 50] {
            let mut ids: Vec<_> = (0..count).collect();
            if reversed {
                ids.reverse();
            }
            let (mut complete, mut tokens) = (0, 0);
            for id in ids {
                let made = case.task(id, count, &TokenizeOptions { block_bytes: 1 + id as usize, ..options.clone() });
                let made = made.unwrap();
                complete += made.state.range.end - made.state.range.start;
                prop_assert!(made.is_complete == (complete == made.state.total) || made.tokenized.already_complete);
                prop_assert_eq!(made.state.complete, complete);
                tokens = if made.is_complete { made.tokenized.tokens } else { tokens + made.tokenized.tokens };
            }
            prop_assert!(case.all_files() == wanted, "{} tasks", count);
            prop_assert_eq!(tokens, TokenStore::open(&case.output).unwrap().num_tokens());
            fs::remove_dir_all(&case.output).unwrap();
        }
    }

    #[test]
    fn errors_name_the_line(
        files in texts(), portion_bytes in 1..60_u64, at in any::<prop::sample::Index>(), block_bytes in 1..40_usize,
    ) {
        let mut text = files.concat().into_bytes();
        text.insert(at.index(text.len() + 1), 0xFF);
        let case = Case::new(&[text]);
        let fault = |result: Result<()>| match result {
            Err(Error::InvalidUtf8 { line, byte, value, .. }) => Some((line, byte, value)),
            Ok(()) => None,
            other => panic!("{other:?}"),
        };
        let options = TokenizeOptions { block_bytes, portion_bytes, ..small() };
        let wanted = fault(case.run(&options).map(drop));
        let _ = fs::remove_dir_all(&case.output);
        let found: Vec<_> = (0..5).filter_map(|id| fault(case.task(id, 5, &options).map(drop))).collect();
        prop_assert!(wanted.is_some());
        prop_assert_eq!(found, wanted.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn stopped_tasks_resume() {
    let case = Case::new(&corpus());
    let options = divided();
    let wanted = case.run_elsewhere("whole", &options);
    let mut stops = 0;
    for id in [2, 0, 1] {
        while let Err(error) = case.task_with(id, 3, &options, &mut StopAt::new(20)) {
            assert!(matches!(error, Error::Interrupted(_)), "{error}");
            stops += 1;
            assert!(stops < 200);
            assert!(case.all_files().keys().all(|name| !name.to_string_lossy().ends_with("tmp")));
        }
    }
    assert!(stops > 2, "{stops}");
    assert!(case.all_files() == wanted);
}

#[test]
fn what_killed_tasks_leave_does_no_harm() {
    let case = Case::new(&corpus());
    let options = divided();
    let wanted = case.run_elsewhere("whole", &options);
    case.task(0, 3, &options).unwrap();
    let strays = [".part-00001.tokens.aB3dE6.tmp", ".meta.json.aB3dE6.tmp", "tokenize.partial/.00001.json.aB3dE6.tmp"];
    for name in strays {
        fs::write(case.output.join(name), name).unwrap();
    }
    // A part that is damaged is made again, with its portion.
    let damaged = case.output.join("part-00001.tokens");
    fs::write(&damaged, &fs::read(&damaged).unwrap()[..100]).unwrap();
    for id in [0, 1, 2] {
        case.task(id, 3, &options).unwrap();
    }
    assert!(case.all_files() == wanted);
    assert!(case.task(1, 3, &options).unwrap().tokenized.already_complete);
    // Killed after the description was written.
    fs::create_dir(case.output.join("tokenize.partial")).unwrap();
    fs::write(case.output.join("tokenize.partial/00001.json"), "{}").unwrap();
    assert!(finish(&case.output, Some(3)).unwrap().unwrap().already_complete);
    assert!(case.all_files() == wanted);
}

#[test]
fn tasks_at_the_same_time() {
    let case = Case::new(&corpus());
    let options = divided();
    let wanted = case.run_elsewhere("whole", &options);
    for _ in 0..10 {
        std::thread::scope(|scope| {
            for id in [0, 1, 1, 2, 2, 2] {
                let (case, options) = (&case, &options);
                scope.spawn(move || case.task(id, 3, options).unwrap());
            }
        });
        assert!(case.all_files() == wanted);
        fs::remove_dir_all(&case.output).unwrap();
    }
}

#[test]
fn finishing() {
    let case = Case::new(&corpus());
    let options = divided();
    let wanted = case.run_elsewhere("whole", &options);
    assert!(finish(&case.output, None).unwrap().is_none());
    case.task(1, 3, &options).unwrap();
    let total = case.task(1, 3, &options).unwrap().state.total;
    let error = finish(&case.output, Some(3)).unwrap_err().to_string();
    assert!(
        error.contains(&format!("of {total} are missing; run tasks 0, 2 of 3 again (Slurm: --array=0,2)")),
        "{error}"
    );
    assert!(matches!(finish(&case.output, Some(0)), Err(Error::Rule { option: "num_tasks", .. })));
    // Killed before it could finish: all markers are there.
    let kept = case.all_files();
    case.task(0, 3, &options).unwrap();
    let most = case.all_files();
    assert!(most.len() > kept.len());
    case.task(2, 3, &options).unwrap();
    fs::remove_dir_all(&case.output).unwrap();
    fs::create_dir_all(case.output.join("tokenize.partial")).unwrap();
    for (name, bytes) in &most {
        fs::write(case.output.join(name), bytes).unwrap();
    }
    let error = finish(&case.output, None).unwrap_err().to_string();
    assert!(error.contains("(num_tasks=N names them"), "{error}");
    // A command without tasks does what they left.
    let made = case.run(&options).unwrap();
    assert!(made.resumed_parts > 0 && !made.already_complete);
    assert!(case.all_files() == wanted);
    // Nothing is left to do but meta.json.
    fs::remove_file(case.output.join("meta.json")).unwrap();
    fs::create_dir_all(case.output.join("tokenize.partial")).unwrap();
    for (name, bytes) in &most {
        fs::write(case.output.join(name), bytes).unwrap();
    }
    let store: StoreMeta = serde_json::from_slice(&wanted[Path::new("meta.json")]).unwrap();
    for portion in 0..total as usize {
        let own = store
            .parts
            .iter()
            .filter(|part| part.file == part_name(portion, 0) || part.file.starts_with(&format!("part-{portion:05}-")));
        let parts: Vec<_> = own.map(|part| json!({ "part": part, "version": null })).collect();
        let marker = json!({ "parts": parts, "replaced": 0 }).to_string();
        fs::write(case.output.join(format!("tokenize.partial/{portion:05}.json")), marker).unwrap();
    }
    assert!(!finish(&case.output, None).unwrap().unwrap().already_complete);
    assert!(case.all_files() == wanted);
}

#[test]
fn other_options_and_input_are_refused() {
    let case = Case::new(&corpus());
    let options = divided();
    case.task(0, 3, &options).unwrap();
    let before = case.all_files();
    let with = |change: fn(&mut TokenizeOptions)| {
        let mut options = options.clone();
        change(&mut options);
        let task = case.task(1, 3, &options).unwrap_err();
        let alone = case.run(&options).unwrap_err();
        assert!(matches!(task, Error::Exists { .. }), "{task}");
        // Only a command alone can overwrite.
        let (task, alone) = (task.to_string(), alone.to_string());
        let found = alone.strip_suffix("overwrite=True to replace it, or another `output_dir`").unwrap();
        let advice = "or another `output_dir`, or remove the output, and run all tasks again";
        assert_eq!(task, format!("{found}{advice}"));
        task
    };
    assert!(with(|it| it.part_tokens = 41).contains("begun with part_tokens=40, not 41; pass 40 to resume"));
    assert!(with(|it| it.portion_bytes = 301).contains("portion_bytes=300, not 301"));
    assert!(with(|it| it.on_bad_utf8 = OnBadUtf8::Replace).contains("on_bad_utf8=error, not replace"));
    let other = Toy { digest: "other", ..TOY };
    let share = Share::new(1, 3).unwrap();
    let error = tokenize_task(&case.inputs, &other, &case.output, &options, share, &mut NoProgress).unwrap_err();
    assert!(error.to_string().contains("begun with another tokenizer"), "{error}");
    let text = fs::read_to_string(case.file(5)).unwrap();
    fs::write(case.file(5), text.replacen('s', "t", 1)).unwrap();
    let error = case.task(1, 3, &options).unwrap_err().to_string();
    assert!(error.contains("begun with other contents of"), "{error}");
    fs::write(case.file(5), text).unwrap();

    let overwrite = TokenizeOptions { overwrite: true, ..options.clone() };
    assert!(matches!(case.task(1, 3, &overwrite), Err(Error::Conflict { option: "overwrite", .. })));
    let joined = TokenizeOptions { join_files: true, ..options.clone() };
    assert!(matches!(case.task(1, 3, &joined), Err(Error::Conflict { option: "join_files", .. })));
    let error = tokenize_task(&["-"], &TOY, &case.output, &options, share, &mut NoProgress).unwrap_err();
    assert!(error.to_string().contains("<stdin> can be read only once"), "{error}");
    assert!(case.all_files() == before);
    case.run(&overwrite).unwrap();
    assert!(case.all_files() == case.run_elsewhere("whole", &options));

    // What a command without tasks has begun.
    fs::remove_dir_all(&case.output).unwrap();
    tokenize(&case.inputs, &TOY, &case.output, &options, &mut StopAt::new(8)).unwrap_err();
    let error = case.task(1, 3, &options).unwrap_err().to_string();
    assert!(error.contains("begun without `num_tasks`"), "{error}");
    let error = finish(&case.output, None).unwrap_err().to_string();
    assert!(error.contains("a command without tasks was stopped here"), "{error}");
}
