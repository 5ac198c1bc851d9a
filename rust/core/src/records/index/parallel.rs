//! Works on many files at once, with progress.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::{Error, Progress, Result};

const REPORT_EVERY: Duration = Duration::from_millis(100);

/// Tells threads to stop.
#[derive(Debug, Default)]
pub(super) struct Stop(AtomicBool);

impl Stop {
    /// Returns an error if the work must stop.
    pub fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(interrupted()) } else { Ok(()) }
    }
}

pub(super) fn interrupted() -> Error {
    Error::Interrupted("the record files were not read completely".into())
}

/// The progress of the work, in bytes.
pub(super) struct Meter<'a> {
    pub progress: &'a mut dyn Progress,
    pub done: &'a AtomicU64,
    pub total: u64,
}

impl Meter<'_> {
    /// Reports progress. Returns `false` if the work must stop.
    pub fn report(&mut self) -> bool {
        self.progress.report("index", "bytes", self.done.load(Ordering::Relaxed).min(self.total), self.total)
    }
}

/// Runs `work(0)` to `work(jobs - 1)` and returns the results in order. It starts `threads` threads of its own, because
/// rayon's do not survive a fork.
///
/// An error stops the other jobs, earlier ones too. If several jobs fail before that, the first error in order is
/// returned.
pub(super) fn in_parallel<T: Send>(
    jobs: usize,
    threads: usize,
    meter: &mut Meter<'_>,
    work: impl Fn(usize, &Stop) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let threads = match threads {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        threads => threads,
    };
    let (stop, next) = (Stop::default(), AtomicUsize::new(0));
    let mut results: Vec<Option<Result<T>>> = (0..jobs).map(|_| None).collect();
    let mut wanted = true;
    std::thread::scope(|scope| {
        let (sender, receiver) = channel();
        for _ in 0..threads.min(jobs) {
            let sender = sender.clone();
            let (stop, next, work) = (&stop, &next, &work);
            scope.spawn(move || {
                loop {
                    let job = next.fetch_add(1, Ordering::Relaxed);
                    if job >= jobs || stop.check().is_err() {
                        return;
                    }
                    let result = work(job, stop);
                    if result.is_err() {
                        stop.0.store(true, Ordering::Relaxed);
                    }
                    // The receiver lives as long as any sender.
                    let _ = sender.send((job, result));
                }
            });
        }
        drop(sender);
        let mut last = std::time::Instant::now();
        loop {
            match receiver.recv_timeout(REPORT_EVERY) {
                Ok((job, result)) => results[job] = Some(result),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if last.elapsed() >= REPORT_EVERY {
                last = std::time::Instant::now();
                wanted &= meter.report();
                if !wanted {
                    stop.0.store(true, Ordering::Relaxed);
                }
            }
        }
    });
    if !wanted {
        return Err(interrupted());
    }
    // A job that is stopped by another's error ends with `Interrupted` or without a result.
    if let Some(at) = results.iter().position(|result| matches!(result, Some(Err(error)) if !is_interrupted(error)))
        && let Some(Err(error)) = results.swap_remove(at)
    {
        return Err(error);
    }
    results.into_iter().map(|result| result.unwrap_or_else(|| Err(interrupted()))).collect()
}

fn is_interrupted(error: &Error) -> bool {
    matches!(error, Error::Interrupted(_))
}
