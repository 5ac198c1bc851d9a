//! Drops near-duplicates in portions, and compares with a command that writes one file.

use super::*;
use crate::prepare::near::options::KeepRule;

fn near_case(keep: KeepRule, dedup_documents: bool) -> Case {
    let mut case = Case::new();
    case.options.dedup_documents = dedup_documents;
    case.options.near.dedup_near = true;
    case.options.near.dedup_near_keep = keep;
    // Only very similar documents of the case are near-duplicates, so that there are many clusters.
    (case.options.near.dedup_near_bands, case.options.near.dedup_near_rows) = (4, 20);
    case
}

#[test]
fn any_number_of_tasks_drops_what_one_command_drops() {
    // 0 tasks are one command that writes portions.
    for (keep, dedup_documents, threshold, all_tasks) in [
        (KeepRule::First, true, None, &[0, 3][..]),
        (KeepRule::First, false, None, &[2]),
        (KeepRule::Longest, true, Some(0.93), &[1, 7]),
        (KeepRule::Longest, false, Some(0.93), &[0]),
    ] {
        let mut case = near_case(keep, dedup_documents);
        case.options.near.dedup_near_threshold = threshold;
        let (training, held_out, wanted) = case.whole();
        let clusters = &wanted["near_clusters"];
        let count = clusters["clusters"].as_u64().unwrap();
        assert!(count > 4, "{count}");
        assert_eq!(clusters["largest"].as_array().unwrap().len() as u64, count.min(10));
        assert!(clusters["largest"][4]["dropped"][0].as_str().unwrap().starts_with("Document "));
        let dropped = wanted["counts"]["near_duplicate_documents"].as_u64().unwrap();
        assert_eq!(dropped, clusters["documents"].as_u64().unwrap() - clusters["clusters"].as_u64().unwrap());
        assert!(dropped > 20 && training.len() > 1_000 && !held_out.is_empty(), "{dropped}");
        assert_eq!(wanted["counts"]["duplicate_documents"].as_u64().unwrap() > 100, dedup_documents);
        for &tasks in all_tasks {
            let name = format!("out-{tasks}");
            let mut result = None;
            if tasks == 0 {
                result = case.run(&name, None).unwrap().summary;
            }
            for id in (0..4).flat_map(|_| 0..tasks) {
                let prepared = case.run(&name, Some((id, tasks))).unwrap();
                assert_eq!(prepared.state.rounds, 4);
                result = prepared.summary;
                if result.is_some() {
                    break;
                }
            }
            assert_eq!(case.text(&name, ""), training, "{tasks} tasks, {keep:?}, {dedup_documents}");
            assert_eq!(case.text(&name, "eval/"), held_out);
            assert_eq!(counts(&result.unwrap()), wanted);
        }
    }
}

/// Stops when a stage is reported for the second time.
struct StopIn(&'static str, u32);

impl Progress for StopIn {
    fn report(&mut self, stage: &'static str, _: &'static str, _: u64, _: u64) -> bool {
        self.1 += u32::from(stage == self.0);
        self.1 < 2
    }
}

#[test]
fn an_interruption_in_any_stage() {
    let case = near_case(KeepRule::Longest, true);
    case.run("whole", None).unwrap();
    let wanted = case.files("whole");
    for (stage, there) in [
        ("preparing text", &[][..]),
        ("finding near-duplicates", &["cleaned", "compared"]),
        ("finding duplicates", &["cleaned", "compared"]),
        ("joining near-duplicates", &["cleaned", "compared"]),
        ("writing documents", &["cleaned", "clustered", "compared", "written"]),
    ] {
        let error = case.run_with("out", None, &mut StopIn(stage, 0)).unwrap_err();
        assert!(matches!(error, Error::Interrupted(_)), "{error}");
        let work = case.directory.path().join("out/.prepare-text.partial");
        assert!(there.is_empty() || names(&work) == there, "{stage}: {:?}", names(&work));
        case.run("out", None).unwrap();
        assert_eq!(case.files("out"), wanted, "{stage}");
        fs::remove_dir_all(case.directory.path().join("out")).unwrap();
        fs::remove_dir_all(case.directory.path().join("eval-out")).unwrap();
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_missing_or_damaged_file_is_an_error() {
    let case = near_case(KeepRule::First, true);
    case.run("out", Some((0, 2))).unwrap();
    for round in [Round::Clean, Round::Compare] {
        case.do_all_of(round, "out");
    }
    let text = finish(&case.to("out").output, Some(3)).unwrap_err().to_string();
    let wanted = "round 3 of 4: the list of near-duplicates is missing; run task 2 of 3 again (Slurm: --array=2), and then all \
                  tasks";
    assert!(text.contains(wanted), "{text}");
    let cluster =
        || case.with_job("out", |job, inputs| run(job, inputs, Round::Cluster, &[0], &mut NoProgress)).unwrap_err();
    let path = case.to("out").output.join(".prepare-text.partial/compared/00007.pairs");
    let content = fs::read(&path).unwrap();
    fs::write(&path, &content[..content.len() - 1]).unwrap();
    assert!(cluster().to_string().contains("00007.pairs: this temporary file is damaged"));
    fs::remove_file(&path).unwrap();
    assert!(cluster().to_string().contains("00007.pairs: this temporary file was removed; run the same command again"));
    fs::write(&path, content).unwrap();
    case.do_all_of(Round::Cluster, "out");
    let list = case.to("out").output.join(".prepare-text.partial/clustered/00000.dropped");
    fs::write(&list, "short").unwrap();
    let error = case.run("out", Some((0, 1))).unwrap_err().to_string();
    assert!(error.contains("00000.dropped: this temporary file is damaged"), "{error}");
}

#[test]
fn a_lost_file_is_made_again() {
    let mut case = near_case(KeepRule::Longest, true);
    case.options.near.dedup_near_threshold = Some(0.93);
    case.run("whole", None).unwrap();
    let wanted = case.files("whole");
    for (number, lost) in [
        "cleaned/00001.zst",
        "cleaned/00001.hashes",
        "cleaned/00001.keys",
        "cleaned/00001.lengths",
        "cleaned/00001.sketches",
        "compared/00007.pairs",
        "compared/00255.duplicates",
        "clustered/00000.dropped",
    ]
    .into_iter()
    .enumerate()
    {
        case.run("out", Some((0, 2))).unwrap();
        for round in [Round::Clean, Round::Compare, Round::Cluster] {
            case.do_all_of(round, "out");
        }
        let path = case.to("out").output.join(".prepare-text.partial").join(lost);
        fs::remove_file(&path).unwrap();
        let error = finish(&case.to("out").output, None).unwrap_err().to_string();
        let round = ["cleaned", "compared", "clustered"].iter().position(|it| lost.starts_with(it)).unwrap() + 1;
        assert!(error.contains(&format!(": round {round} of 4: ")), "{lost}: {error}");
        if number % 2 == 0 {
            case.run("out", None).unwrap();
        } else {
            let ends = [0, 1, 0, 1].map(|id| case.run("out", Some((id, 2))).unwrap().summary.is_some());
            assert!(ends[3], "{lost}");
        }
        assert_eq!(case.files("out"), wanted, "{lost}");
        fs::remove_dir_all(case.to("out").output).unwrap();
        fs::remove_dir_all(case.to("eval-out").output).unwrap();
    }
}

#[test]
fn other_options_are_refused() {
    let mut case = near_case(KeepRule::First, true);
    case.run("out", Some((0, 3))).unwrap();
    case.options.near.dedup_near_bands = 5;
    let error = case.run("out", Some((1, 3))).unwrap_err().to_string();
    assert!(error.contains("begun with dedup_near_bands=4, not 5"), "{error}");
}
