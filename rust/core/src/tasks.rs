//! Divides work into the shares of tasks. Each task is a command of its own, on any machine.
//!
//! What there is to do is numbered, and follows from input and options alone: output shards, for example. A task does a
//! range of it. So the number of tasks decides who does what, never what is done.

use std::ops::Range;
use std::path::Path;

use crate::{Error, Result};

/// The most tasks.
pub const MAX_TASKS: u64 = 100_000;

/// The share of one task. It is valid: the id is below the count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    id: u64,
    count: u64,
}

impl Share {
    /// Returns the share of task `id` of `count`.
    ///
    /// # Errors
    /// [`Error::Rule`] if `count` is not from 1 to [`MAX_TASKS`], or `id` is not below it.
    pub fn new(id: u64, count: u64) -> Result<Self> {
        if !(1..=MAX_TASKS).contains(&count) {
            return Err(Error::rule("num_tasks", format!("a whole number from 1 to {MAX_TASKS}"), count));
        }
        if id >= count {
            let rule = format!("a whole number from 0 to {}, because num_tasks is {count}", count - 1);
            return Err(Error::rule("task_id", rule, id));
        }
        Ok(Self { id, count })
    }

    /// Returns the share that the two options name, or `None` if neither is given.
    ///
    /// # Errors
    /// Those of [`Share::new`]; [`Error::Conflict`] if only one is given.
    pub fn of(num_tasks: Option<u64>, task_id: Option<u64>) -> Result<Option<Self>> {
        let alone = |given, value, other| {
            Error::conflict(given, format!("{given}={value} has no effect without `{other}`; pass both, or neither"))
        };
        match (num_tasks, task_id) {
            (None, None) => Ok(None),
            (Some(count), Some(id)) => Self::new(id, count).map(Some),
            (Some(count), None) => Err(alone("num_tasks", count, "task_id")),
            (None, Some(id)) => Err(alone("task_id", id, "num_tasks")),
        }
    }

    /// The number of the task, from 0.
    pub fn id(self) -> u64 {
        self.id
    }

    /// The number of tasks.
    pub fn count(self) -> u64 {
        self.count
    }

    /// Returns which of `total` things the task does. The ranges of all tasks are contiguous, and their lengths differ by
    /// at most 1. If there are more tasks than things, some ranges are empty.
    pub fn range(self, total: u64) -> Range<u64> {
        let start = |id: u64| (u128::from(id) * u128::from(total) / u128::from(self.count)) as u64;
        start(self.id)..start(self.id + 1)
    }
}

/// What a task had to do, and what is there in all, when it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskState {
    /// The numbers of the task's things.
    pub range: Range<u64>,
    /// The number of things of all tasks.
    pub total: u64,
    /// How many of these are complete.
    pub complete: u64,
    /// The round that the task was in, from 1. A round begins when all tasks of the one before have ended.
    pub round: u32,
    /// How many times all tasks have to run.
    pub rounds: u32,
}

/// Returns which of `count` tasks do the things `numbers` (ascending) of `total`.
pub(crate) fn tasks_of(numbers: &[u64], total: u64, count: u64) -> Vec<u64> {
    let task = |number: u64| ((u128::from(number) + 1) * u128::from(count) - 1) / u128::from(total.max(1));
    let mut tasks: Vec<_> = numbers.iter().map(|&number| task(number) as u64).collect();
    tasks.dedup();
    tasks
}

/// Returns ascending numbers as ranges: "3", "7-9".
pub(crate) fn ranges(numbers: &[u64]) -> Vec<String> {
    let runs = numbers.chunk_by(|one, next| one + 1 == *next);
    runs.map(|run| match run {
        [first, .., last] => format!("{first}-{last}"),
        [only] => only.to_string(),
        [] => String::new(),
    })
    .collect()
}

/// The most ranges of numbers that a message lists.
const LISTED: usize = 100;

/// Returns the subject of a sentence about some of `count` things, with its verb: "shards 3, 7-9 of 64 are". If there is
/// only one thing, it has no number: "the shard is".
pub(crate) fn list(thing: &str, numbers: &[u64], count: u64) -> String {
    if count == 1 {
        return format!("the {thing} is");
    }
    let (s, verb) = if numbers.len() == 1 { ("", "is") } else { ("s", "are") };
    let mut listed = ranges(numbers);
    let more = listed.len().saturating_sub(LISTED);
    listed.truncate(LISTED);
    let more = if more > 0 { format!(" and {more} more ranges") } else { String::new() };
    format!("{thing}{s} {}{more} of {count} {verb}", listed.join(", "))
}

/// Returns the error for some of `count` things that tasks have not made. It says which of `num_tasks` tasks to run again.
///
/// `round` is the number of the round in which the things are made, from 1, and how many rounds there are.
pub(crate) fn unfinished(
    directory: &Path,
    thing: &str,
    numbers: &[u64],
    count: u64,
    num_tasks: Option<u64>,
    (round, rounds): (usize, usize),
) -> Error {
    let tasks = num_tasks.map_or_else(Vec::new, |num_tasks| tasks_of(numbers, count, num_tasks));
    let place = if rounds > 1 { format!("round {round} of {rounds}: ") } else { String::new() };
    let then = if round < rounds { ", and then all tasks for each round that follows" } else { "" };
    let reason = format!("{place}{}{then}", missing(&list(thing, numbers, count), &tasks, num_tasks));
    Error::Unfinished { path: directory.to_path_buf(), round, tasks, reason }
}

/// Says what is missing, and which of `num_tasks` tasks to run again.
fn missing(missing: &str, tasks: &[u64], num_tasks: Option<u64>) -> String {
    let Some(num_tasks) = num_tasks else {
        return format!(
            "{missing} missing; run the tasks that did not end well again (num_tasks=N names them, where N is their \
             number)"
        );
    };
    let tasks = ranges(tasks);
    let noun = if tasks.len() == 1 && !tasks[0].contains('-') { "task" } else { "tasks" };
    format!(
        "{missing} missing; run {noun} {} of {num_tasks} again (Slurm: --array={})",
        tasks.join(", "),
        tasks.join(",")
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_share_is_valid() {
        let error = |id, count| Share::new(id, count).unwrap_err();
        assert_eq!(error(0, 0).to_string(), "num_tasks must be a whole number from 1 to 100000, got 0");
        assert_eq!(error(0, 100_001).facts().option, Some("num_tasks"));
        assert_eq!(
            error(3, 3).to_string(),
            "task_id must be a whole number from 0 to 2, because num_tasks is 3, got 3"
        );
        assert_eq!(error(3, 3).facts().option, Some("task_id"));
        assert_eq!(Share::of(None, None).unwrap(), None);
        let alone = Share::of(None, Some(2)).unwrap_err().to_string();
        assert_eq!(alone, "task_id=2 has no effect without `num_tasks`; pass both, or neither");
        let alone = Share::of(Some(3), None).unwrap_err().to_string();
        assert_eq!(alone, "num_tasks=3 has no effect without `task_id`; pass both, or neither");
        let share = Share::of(Some(3), Some(2)).unwrap().unwrap();
        assert_eq!((share.id(), share.count(), share.range(64)), (2, 3, 42..64));
    }

    #[test]
    fn numbers_are_shown_as_ranges() {
        assert_eq!(list("shard", &[3, 7, 8, 9], 64), "shards 3, 7-9 of 64 are");
        assert_eq!(list("shard", &[3], 64), "shard 3 of 64 is");
        assert_eq!(list("list of near-duplicates", &[0], 1), "the list of near-duplicates is");
        assert_eq!(ranges(&[3, 7, 8, 9, 11, 12]), ["3", "7-9", "11-12"]);
        assert!(ranges(&[]).is_empty());
    }

    #[test]
    fn an_error_says_what_to_run_again() {
        let error = |numbers: &[u64], count, num_tasks, round| {
            unfinished(Path::new("d"), "shard", numbers, count, num_tasks, round).to_string()
        };
        assert_eq!(
            error(&[3, 7, 8, 9], 64, Some(32), (1, 1)),
            "d: shards 3, 7-9 of 64 are missing; run tasks 1, 3-4 of 32 again (Slurm: --array=1,3-4)"
        );
        assert_eq!(
            error(&[0], 1, Some(1), (2, 3)),
            "d: round 2 of 3: the shard is missing; run task 0 of 1 again (Slurm: --array=0), and then all tasks for \
             each round that follows"
        );
        assert_eq!(
            error(&[3], 64, None, (1, 1)),
            "d: shard 3 of 64 is missing; run the tasks that did not end well again (num_tasks=N names them, where N is \
             their number)"
        );
    }

    proptest! {
        #[test]
        fn shares_cover_everything_once(
            (count, total) in prop_oneof![(1..200_u64, 0..400_u64), (1..=MAX_TASKS, 0..=100_000_u64)],
        ) {
            let (mut next, mut lengths) = (0, (u64::MAX, 0));
            for id in 0..count {
                let range = Share::new(id, count).unwrap().range(total);
                prop_assert_eq!(range.start, next);
                next = range.end;
                let length = range.end - range.start;
                lengths = (lengths.0.min(length), lengths.1.max(length));
            }
            prop_assert_eq!(next, total);
            prop_assert!(lengths.1 - lengths.0 <= 1);
        }

        #[test]
        fn the_tasks_of_things_are_those_whose_shares_hold_them(
            count in 1..50_u64,
            held in proptest::collection::vec(any::<bool>(), 1..60),
        ) {
            let total = held.len() as u64;
            let numbers: Vec<_> = (0..total).filter(|&number| held[number as usize]).collect();
            let wanted: Vec<_> = (0..count)
                .filter(|&id| Share::new(id, count).unwrap().range(total).any(|number| held[number as usize]))
                .collect();
            prop_assert_eq!(tasks_of(&numbers, total, count), wanted);
        }
    }
}
