//! Makes a bounded number of batches ahead, on threads of their own.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use super::batch::{Batch, Batches, guarded};
use crate::{Error, Result};

/// Which batches to make, in which order, and how far ahead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ahead {
    /// The number of the first batch.
    pub start: u64,
    /// The difference from one batch number to the next, at least 1.
    pub step: u64,
    /// The first number that is not made. `None` means no end.
    pub stop: Option<u64>,
    /// The most finished batches that wait; at least 1. One more is being made.
    pub depth: usize,
    /// The number of threads that make batches, at least 1.
    pub threads: usize,
}

/// The result of [`Prefetch::next`].
#[derive(Debug)]
pub enum Next {
    /// The next batch.
    Batch(Box<Batch>),
    /// The next batch is not finished yet.
    Waiting,
    /// There are no more.
    End,
}

/// Iterates over batches that threads make ahead. When it is dropped, the threads stop after their current batch.
#[derive(Debug)]
pub struct Prefetch {
    ready: Receiver<Result<Batch>>,
}

impl Prefetch {
    /// Starts the threads.
    ///
    /// # Errors
    /// [`Error::System`] if the system has no threads left; [`Error::Rule`] if a number in `ahead` is 0.
    pub fn start(batches: Arc<dyn Batches>, ahead: &Ahead) -> Result<Self> {
        for (name, value) in
            [("step", ahead.step), ("prefetch", ahead.depth as u64), ("num_threads", ahead.threads as u64)]
        {
            if value == 0 {
                return Err(Error::rule(name, "at least 1", 0));
            }
        }
        let no_threads = |error: &dyn std::fmt::Display| Error::threads(ahead.threads, error);
        let pool =
            rayon::ThreadPoolBuilder::new().num_threads(ahead.threads).build().map_err(|error| no_threads(&error))?;
        let (sender, ready) = sync_channel(ahead.depth);
        let Ahead { start, step, stop, .. } = *ahead;
        let work = move || {
            let mut k = start;
            while stop.is_none_or(|stop| k < stop) {
                let batch = pool.install(|| guarded(&*batches, k));
                let failed = batch.is_err();
                // Nobody waits for more, or work cannot continue after an error.
                if sender.send(batch).is_err() || failed {
                    return;
                }
                let Some(next) = k.checked_add(step) else { return };
                k = next;
            }
        };
        std::thread::Builder::new().name("prefetch".into()).spawn(work).map_err(|error| no_threads(&error))?;
        Ok(Self { ready })
    }

    /// Returns the next batch. Waits for it up to `patience`.
    ///
    /// # Errors
    /// The error of the batch. No more batches follow it.
    pub fn next(&self, patience: Duration) -> Result<Next> {
        match self.ready.recv_timeout(patience) {
            Ok(batch) => batch.map(|batch| Next::Batch(Box::new(batch))),
            Err(RecvTimeoutError::Timeout) => Ok(Next::Waiting),
            Err(RecvTimeoutError::Disconnected) => Ok(Next::End),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Batch k has k in its labels; some fail.
    struct Counting {
        made: AtomicU64,
        fails_at: Option<u64>,
        panics_at: Option<u64>,
    }

    impl Batches for Counting {
        fn batch(&self, k: u64) -> Result<Batch> {
            self.made.fetch_add(1, Ordering::SeqCst);
            if self.fails_at == Some(k) {
                return Err(Error::input("no more"));
            }
            assert_ne!(self.panics_at, Some(k), "as the test wants it");
            let empty = || vec![0; 1];
            Ok(Batch {
                rows: 1,
                seq_length: 1,
                predictions: 1,
                input_ids: empty(),
                input_mask: empty(),
                segment_ids: empty(),
                token_boundary: empty(),
                masked_lm_positions: empty(),
                masked_lm_ids: empty(),
                masked_lm_weights: vec![0.0],
                next_sentence_labels: vec![k as i32],
            })
        }

        fn batch_size(&self) -> usize {
            1
        }

        fn seq_length(&self) -> usize {
            1
        }

        fn predictions(&self) -> usize {
            1
        }

        fn has_token_boundary(&self) -> bool {
            true
        }

        fn epoch_len(&self) -> u64 {
            1
        }

        fn shard(&self, _: u64, _: u64) -> Result<Arc<dyn Batches>> {
            unreachable!("nobody asks for it here")
        }
    }

    fn counting(fails_at: Option<u64>) -> Arc<Counting> {
        Arc::new(Counting { made: AtomicU64::new(0), fails_at, panics_at: None })
    }

    const AHEAD: Ahead = Ahead { start: 0, step: 1, stop: None, depth: 3, threads: 2 };
    const LONG: Duration = Duration::from_mins(1);

    fn label(next: Next) -> Option<i32> {
        match next {
            Next::Batch(batch) => Some(batch.next_sentence_labels[0]),
            Next::Waiting => panic!("a minute passed"),
            Next::End => None,
        }
    }

    #[test]
    fn in_order_from_start_by_step_to_stop() {
        let ahead = Ahead { start: 5, step: 3, stop: Some(12), ..AHEAD };
        let prefetch = Prefetch::start(counting(None), &ahead).unwrap();
        let labels: Vec<_> = (0..5).map(|_| label(prefetch.next(LONG).unwrap())).collect();
        assert_eq!(labels, [Some(5), Some(8), Some(11), None, None]);
    }

    #[test]
    fn never_further_ahead_than_asked_and_stopped_when_dropped() {
        let batches = counting(None);
        let prefetch = Prefetch::start(batches.clone(), &AHEAD).unwrap();
        let mut taken = 0;
        while taken < 20 {
            label(prefetch.next(LONG).unwrap());
            taken += 1;
            // Three batches wait and one is being made or sent.
            assert!(batches.made.load(Ordering::SeqCst) <= taken + 4);
        }
        drop(prefetch);
        while Arc::strong_count(&batches) > 1 {
            std::thread::yield_now();
        }
        assert!(batches.made.load(Ordering::SeqCst) <= 25);
    }

    #[test]
    fn an_error_comes_in_its_turn_and_ends_it() {
        let prefetch = Prefetch::start(counting(Some(2)), &AHEAD).unwrap();
        assert_eq!(label(prefetch.next(LONG).unwrap()), Some(0));
        assert_eq!(label(prefetch.next(LONG).unwrap()), Some(1));
        assert_eq!(prefetch.next(LONG).unwrap_err().to_string(), "no more");
        assert!(label(prefetch.next(LONG).unwrap()).is_none());
    }

    #[test]
    fn a_panic_is_an_error_and_not_an_end() {
        let batches = Arc::new(Counting { made: AtomicU64::new(0), fails_at: None, panics_at: Some(1) });
        let prefetch = Prefetch::start(batches, &AHEAD).unwrap();
        assert_eq!(label(prefetch.next(LONG).unwrap()), Some(0));
        let message = prefetch.next(LONG).unwrap_err().to_string();
        assert!(message.starts_with("internal error: batch 1 "), "{message}");
    }

    #[test]
    fn zeros_are_refused() {
        for (ahead, name) in [
            (Ahead { step: 0, ..AHEAD }, "step"),
            (Ahead { depth: 0, ..AHEAD }, "prefetch"),
            (Ahead { threads: 0, ..AHEAD }, "num_threads"),
        ] {
            let message = Prefetch::start(counting(None), &ahead).unwrap_err().to_string();
            assert_eq!(message, format!("{name} must be at least 1, got 0"));
        }
    }
}
