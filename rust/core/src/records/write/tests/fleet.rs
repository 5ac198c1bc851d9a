//! A simulation of a thousand tasks: they die, straggle, run twice and change their number, and no byte is different.
//!
//! `ALBERT_FAST_SEEDS=1000 cargo test --release -p albert-fast-core --lib fleet` runs a thousand of them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::super::markers;
use super::tasks::{Dice, fast_directory, whole};
use super::*;
use crate::tasks::Share;

/// The usual number of tasks.
const TASKS: u64 = 1000;

/// How many run at the same time.
const AT_A_TIME: usize = 8;

/// What happened in the simulations, so that the test knows that it tests something.
#[derive(Debug, Default)]
struct Happened {
    tasks: AtomicU64,
    deaths: AtomicU64,
    kills: AtomicU64,
    duplicates: AtomicU64,
    stragglers: AtomicU64,
    rounds: AtomicU64,
}

/// A run of one task.
#[derive(Debug)]
struct Job {
    share: Share,
    /// The number of records after which it is stopped.
    stop: u64,
    /// How long it waits before each record.
    pause: Duration,
}

/// Returns the numbers of the tasks that `finish` names, or `None` if nothing is missing.
fn missing(directory: &Path, tasks: u64) -> Option<Vec<u64>> {
    let message = match finish(directory, Some(tasks)) {
        Ok(Some(_)) => return None,
        Ok(None) => return Some((0..tasks).collect()),
        Err(error) => error.to_string(),
    };
    let (_, expression) = message.split_once("--array=").unwrap_or_else(|| panic!("{message}"));
    let numbers = expression.trim_end_matches(')').split(',').flat_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        first.parse().unwrap()..=last.parse::<u64>().unwrap()
    });
    Some(numbers.collect())
}

fn simulate(seed: u64, happened: &Happened) {
    let mut dice = Dice(seed);
    let num_shards = TASKS / 2 + dice.roll(TASKS);
    let count = num_shards + dice.roll(num_shards);
    let options = RecordsOptions { units_per_block: 1000, ..options(num_shards) };
    let wanted = whole(count, &options);
    let directory = fast_directory();
    let directory = directory.path();
    for round in 0.. {
        assert!(round < 50, "seed {seed} does not end");
        let tasks = if dice.roll(3) == 0 { 1 + dice.roll(2 * TASKS) } else { TASKS };
        let Some(mut numbers) = missing(directory, tasks) else { break };
        happened.rounds.fetch_add(1, Ordering::Relaxed);
        let before = numbers.len() as u64;
        for _ in 0..before / 20 {
            numbers.push(numbers[dice.roll(before) as usize]);
            happened.duplicates.fetch_add(1, Ordering::Relaxed);
        }
        let mut jobs: Vec<_> = numbers
            .into_iter()
            .map(|number| Job {
                share: Share::new(number, tasks).unwrap(),
                stop: if dice.roll(10) == 0 { dice.roll(2) } else { u64::MAX },
                pause: Duration::from_micros(if dice.roll(50) == 0 { 200 } else { 0 }),
            })
            .collect();
        for end in (1..jobs.len()).rev() {
            jobs.swap(end, dice.roll(end as u64 + 1) as usize);
        }
        let jobs = Mutex::new(jobs);
        std::thread::scope(|scope| {
            for _ in 0..AT_A_TIME {
                scope.spawn(|| {
                    loop {
                        let Some(job) = jobs.lock().unwrap().pop() else { break };
                        run(&job, count, directory, &options, (seed, happened));
                    }
                });
            }
        });
        // Some were killed in mid-shard, in mid-marker, or between the two.
        for _ in 0..10 {
            let shard = shard_name(dice.roll(num_shards), num_shards, Compression::None);
            let inner = directory.join(markers::DIRECTORY);
            if inner.is_dir() {
                std::fs::write(directory.join(format!(".{shard}.aB3dE6.tmp")), b"half").unwrap();
                std::fs::write(inner.join(format!(".{shard}.json.aB3dE6.tmp")), b"half").unwrap();
                happened.kills.fetch_add(
                    u64::from(std::fs::remove_file(inner.join(format!("{shard}.json"))).is_ok()),
                    Ordering::Relaxed,
                );
            }
        }
    }
    assert_eq!(files(directory), wanted, "seed {seed}");
}

fn run(job: &Job, count: u64, directory: &Path, options: &RecordsOptions, (seed, happened): (u64, &Happened)) {
    let source = Made { count, pause: job.pause };
    happened.tasks.fetch_add(1, Ordering::Relaxed);
    happened.stragglers.fetch_add(u64::from(!job.pause.is_zero()), Ordering::Relaxed);
    match write_task(&Consecutive(&source), directory, options, &origin(), job.share, &mut StopAt(job.stop)) {
        Ok(_) => {}
        Err(Error::Interrupted(_)) => drop(happened.deaths.fetch_add(1, Ordering::Relaxed)),
        Err(other) => panic!("seed {seed}, {job:?}: {other}"),
    }
}

#[test]
fn a_fleet_changes_no_byte() {
    let seeds = std::env::var("ALBERT_FAST_SEEDS").map_or(1, |seeds| seeds.parse().unwrap());
    let happened = Happened::default();
    for seed in 0..seeds {
        simulate(seed, &happened);
    }
    println!("{seeds} seeds: {happened:?}");
    let Happened { tasks, deaths, kills, duplicates, stragglers, rounds } = &happened;
    for (number, least) in [(tasks, 500), (deaths, 5), (kills, 2), (duplicates, 20), (stragglers, 5), (rounds, 1)] {
        assert!(number.load(Ordering::Relaxed) >= least * seeds, "{happened:?}");
    }
}
