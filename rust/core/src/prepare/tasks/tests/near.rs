//! Drops near-duplicates in portions, and compares with a command that writes one file.

use super::*;
use crate::prepare::near::options::KeepRule;

fn near_case(keep: KeepRule, dedup_documents: bool) -> Case {
    let mut case = Case::new();
    case.options.dedup_documents = dedup_documents;
    case.options.near.dedup_near = true;
    case.options.near.dedup_near_keep = keep;
    // Only very similar documents of the case are near-duplicates, so that there are many clusters.
    (case.options.near.dedup_near_bands, case.options.near.dedup_near_rows) = (4, 40);
    case
}

#[test]
fn any_number_of_tasks_drops_what_one_command_drops() {
    for keep in [KeepRule::First, KeepRule::Longest] {
        for (dedup_documents, threshold) in [(true, None), (false, None), (true, Some(0.97))] {
            let mut case = near_case(keep, dedup_documents);
            case.options.near.dedup_near_threshold = threshold;
            let (training, held_out, wanted) = case.whole();
            let clusters = &wanted["near_clusters"];
            assert!(clusters["clusters"].as_u64().unwrap() > 10, "{clusters}");
            assert_eq!(clusters["largest"].as_array().unwrap().len(), 10);
            assert!(clusters["largest"][9]["dropped"][0].as_str().unwrap().starts_with("Document "));
            let dropped = wanted["counts"]["near_duplicate_documents"].as_u64().unwrap();
            assert_eq!(dropped, clusters["documents"].as_u64().unwrap() - clusters["clusters"].as_u64().unwrap());
            assert!(dropped > 50 && training.len() > 1_000 && !held_out.is_empty());
            assert_eq!(wanted["counts"]["duplicate_documents"].as_u64().unwrap() > 100, dedup_documents);
            for tasks in [0, 1, 2, 3, 7] {
                let name = format!("out-{tasks}");
                let mut result = None;
                if tasks == 0 {
                    result = case.run(&name, None).unwrap().summary;
                }
                for id in (0..4).flat_map(|_| 0..tasks) {
                    let prepared = case.run(&name, Some((id, tasks))).unwrap();
                    assert_eq!(prepared.state.rounds, 4);
                    result = result.or(prepared.summary);
                }
                assert_eq!(case.text(&name, ""), training, "{tasks} tasks, {keep:?}, {dedup_documents}");
                assert_eq!(case.text(&name, "eval/"), held_out);
                assert_eq!(counts(&result.unwrap()), wanted);
            }
        }
    }
}

#[test]
fn an_interruption_at_any_time() {
    let case = near_case(KeepRule::Longest, true);
    case.run("whole", None).unwrap();
    let wanted = case.files("whole");
    let mut stages = std::collections::BTreeSet::new();
    for first in (1..).step_by(97) {
        let name = format!("out-{first}");
        let (mut reports, mut stops) = (first, 0);
        while case.run_with(&name, None, &mut After(reports)).is_err() {
            let work = case.directory.path().join(&name).join(".prepare-text.partial");
            stages.extend(fs::read_dir(work).into_iter().flatten().map(|entry| entry.unwrap().file_name()));
            stops += 1;
            reports += 60;
        }
        assert_eq!(case.files(&name), wanted, "{first}");
        if stops == 0 {
            break;
        }
    }
    assert_eq!(stages.into_iter().collect::<Vec<_>>(), ["cleaned", "clustered", "compared", "written"]);
}

#[test]
fn a_missing_or_damaged_file_is_an_error() {
    let case = near_case(KeepRule::First, true);
    case.run("out", Some((0, 2))).unwrap();
    for round in [Round::Clean, Round::Compare] {
        case.do_all_of(round, "out");
    }
    let text = finish(&case.to("out").output, Some(3)).unwrap_err().to_string();
    let wanted = "round 3 of 4: list 0 of 1 is missing; run task 2 of 3 again (Slurm: --array=2), and then all tasks";
    assert!(text.contains(wanted), "{text}");
    let cluster = || {
        case.with_job("out", |job, inputs| run(job, inputs, Round::Cluster, &[0], &mut NoProgress)).unwrap_err()
    };
    let path = case.to("out").output.join(".prepare-text.partial/compared/00007.pairs");
    let content = fs::read(&path).unwrap();
    fs::write(&path, &content[..content.len() - 1]).unwrap();
    assert!(cluster().to_string().contains("00007.pairs: this temporary file is damaged"));
    fs::remove_file(&path).unwrap();
    assert!(cluster().is_missing());
    fs::write(&path, content).unwrap();
    case.do_all_of(Round::Cluster, "out");
    let list = case.to("out").output.join(".prepare-text.partial/clustered/00000.dropped");
    fs::write(&list, "short").unwrap();
    let error = case.run("out", Some((0, 1))).unwrap_err().to_string();
    assert!(error.contains("00000.dropped: this temporary file is damaged"), "{error}");
}

#[test]
fn other_options_are_refused() {
    let mut case = near_case(KeepRule::First, true);
    case.run("out", Some((0, 3))).unwrap();
    case.options.near.dedup_near_bands = 5;
    let error = case.run("out", Some((1, 3))).unwrap_err().to_string();
    assert!(error.contains("begun with dedup_near_bands=4, not 5"), "{error}");
}
