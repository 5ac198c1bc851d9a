//! Work that reports progress, from whichever thread does it, and that can be stopped.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::{Error, Progress, Result};

/// How often progress is reported.
const INTERVAL: Duration = Duration::from_millis(100);

/// How the progress of some work is reported.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stage {
    pub name: &'static str,
    pub unit: &'static str,
    /// What is done when the work begins, and when it ends.
    pub done: (u64, u64),
    pub total: u64,
    /// How many steps the work has.
    pub steps: u64,
}

/// How many steps of some work are done, and whether it must stop.
pub(super) struct Watch<'a> {
    stage: Stage,
    steps: AtomicU64,
    stop: AtomicBool,
    /// Receives reports, and when it got the last one.
    progress: Mutex<(&'a mut dyn Progress, Instant)>,
}

impl Stage {
    /// Work that is a stage of its own.
    pub fn whole(name: &'static str, unit: &'static str, total: u64) -> Self {
        Self { name, unit, done: (0, total), total, steps: total }
    }

    /// Returns whether the work may continue.
    fn report(&self, steps: u64, progress: &mut dyn Progress) -> bool {
        let (from, to) = self.done;
        let part = u128::from(to - from) * u128::from(steps.min(self.steps)) / u128::from(self.steps.max(1));
        progress.report(self.name, self.unit, from + part as u64, self.total)
    }
}

impl Watch<'_> {
    /// Notes that more steps are done. Any thread may call it, and each must do so a few times a second.
    ///
    /// # Errors
    /// The work must stop.
    pub fn advance(&self, steps: u64) -> Result<()> {
        let done = self.steps.fetch_add(steps, Ordering::Relaxed) + steps;
        if let Ok(mut progress) = self.progress.try_lock()
            && progress.1.elapsed() >= INTERVAL
        {
            if !self.stage.report(done, progress.0) {
                self.stop.store(true, Ordering::Relaxed);
            }
            progress.1 = Instant::now();
        }
        if self.is_stopped() { Err(interrupted()) } else { Ok(()) }
    }

    /// Repeats `work`, which returns how many steps it did, until it does none. Notes them when there are `often` or more.
    ///
    /// # Errors
    /// The work must stop.
    pub fn repeat(&self, often: u64, mut work: impl FnMut() -> usize) -> Result<()> {
        let mut done = 0;
        loop {
            let steps = work();
            done += steps as u64;
            if steps == 0 || done >= often {
                self.advance(std::mem::take(&mut done))?;
            }
            if steps == 0 {
                return Ok(());
            }
        }
    }

    /// Whether the work must stop.
    #[inline]
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

fn interrupted() -> Error {
    Error::Interrupted("nothing was written".into())
}

/// Does work that advances the watch.
///
/// # Errors
/// The work's own; `progress` asks to stop.
pub(super) fn watched<T>(
    progress: &mut dyn Progress,
    stage: Stage,
    work: impl FnOnce(&Watch) -> Result<T>,
) -> Result<T> {
    if !stage.report(0, progress) {
        return Err(interrupted());
    }
    let watch = Watch {
        stage,
        steps: AtomicU64::default(),
        stop: AtomicBool::default(),
        progress: Mutex::new((progress, Instant::now())),
    };
    let result = work(&watch)?;
    if watch.is_stopped() { Err(interrupted()) } else { Ok(result) }
}

/// Does work that cannot be stopped, in a thread of its own. If `progress` asks to stop, the thread is abandoned.
///
/// # Errors
/// The system refuses the thread; `progress` asks to stop.
pub(super) fn abandonable<T: Send + 'static>(
    progress: &mut dyn Progress,
    stage: Stage,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let (send, results) = mpsc::channel();
    let work = move || {
        // Nobody receives it if the thread was abandoned.
        let _ = send.send(work());
    };
    std::thread::Builder::new().spawn(work).map_err(|error| Error::threads(1, &error))?;
    loop {
        if !stage.report(0, progress) {
            return Err(interrupted());
        }
        match results.recv_timeout(INTERVAL) {
            Ok(result) => return Ok(result),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(Error::Internal("a thread has panicked".into())),
        }
    }
}

/// Does work that nobody watches.
#[cfg(test)]
pub(super) fn unwatched<T>(work: impl FnOnce(&Watch) -> Result<T>) -> T {
    watched(&mut crate::NoProgress, Stage::whole("working", "steps", 1), work).unwrap()
}

#[cfg(test)]
mod tests {
    use rayon::prelude::*;

    use super::*;

    /// Asks to stop at the second report.
    struct StopsSoon(u32);

    impl Progress for StopsSoon {
        fn report(&mut self, _: &'static str, _: &'static str, _: u64, _: u64) -> bool {
            self.0 += 1;
            self.0 < 2
        }
    }

    const STAGE: Stage = Stage { name: "working", unit: "steps", done: (10, 20), total: 30, steps: 4 };

    #[test]
    fn work_of_all_threads_stops() {
        let start = Instant::now();
        for threads in [1, 3] {
            let threads = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let forever = |watch: &Watch| {
                (0..4).into_par_iter().try_for_each(|_| {
                    loop {
                        watch.advance(1)?;
                    }
                })
            };
            let result: Result<()> = threads.install(|| watched(&mut StopsSoon(0), STAGE, forever));
            assert!(matches!(result, Err(Error::Interrupted(_))));
        }
        let abandoned = abandonable(&mut StopsSoon(0), STAGE, || std::thread::sleep(Duration::from_secs(20)));
        assert!(matches!(abandoned, Err(Error::Interrupted(_))));
        assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    }

    #[test]
    fn a_part_of_a_stage_is_reported_as_a_part() {
        struct Reports(Vec<(u64, u64)>);
        impl Progress for Reports {
            fn report(&mut self, _: &'static str, _: &'static str, done: u64, total: u64) -> bool {
                self.0.push((done, total));
                true
            }
        }
        let mut reports = Reports(Vec::new());
        assert!(STAGE.report(0, &mut reports) && STAGE.report(2, &mut reports) && STAGE.report(9, &mut reports));
        assert_eq!(reports.0, [(10, 30), (15, 30), (20, 30)]);
    }
}
