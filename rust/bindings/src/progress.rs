//! Runs long work on its own thread, while the calling thread shows progress and responds to Ctrl-C.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use albert_fast_core::files::remote::Stopping;
use albert_fast_core::{Error, Progress, Result};
use pyo3::prelude::*;

use crate::error::{internal, to_python};

/// How often to show progress and to check for signals.
pub const TICK: Duration = Duration::from_millis(100);
/// How long work that was told to stop may take to clean up.
const PATIENCE: Duration = Duration::from_secs(2);

type Report = (&'static str, &'static str, u64, u64);

#[derive(Default)]
struct Shared {
    latest: Mutex<Option<Report>>,
    stop: Arc<AtomicBool>,
}

struct Sender(Arc<Shared>);

impl Progress for Sender {
    fn report(&mut self, stage: &'static str, unit: &'static str, done: u64, total: u64) -> bool {
        if let Ok(mut latest) = self.0.latest.lock() {
            *latest = Some((stage, unit, done, total));
        }
        !self.0.stop.load(Ordering::Relaxed)
    }

    fn stop(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0.stop)
    }
}

/// Runs `work` on a pool of `num_threads` without the GIL. Calls `callback(stage, unit, done, total)` from the calling
/// thread.
///
/// An exception from the callback or a signal stops the work at its next safe place. That exception is then raised. If
/// it is a `KeyboardInterrupt`, it has the message of the work, which says how to resume.
pub fn run<T: Send>(
    py: Python<'_>,
    num_threads: Option<i64>,
    callback: Option<Py<PyAny>>,
    work: impl FnOnce(&mut dyn Progress) -> Result<T> + Send,
) -> PyResult<T> {
    let pool = crate::pool(crate::threads(num_threads)?)?;
    let shared = Arc::new(Shared::default());
    py.detach(|| {
        std::thread::scope(|scope| {
            let (done, result) = channel();
            let mut sender = Sender(shared.clone());
            let worker = scope.spawn(move || {
                let outcome = pool.install(|| work(&mut sender));
                // The receiver waits until it has this.
                let _ = done.send(outcome);
            });
            let mut raised = None;
            let mut stopping = None;
            let outcome = loop {
                match result.recv_timeout(TICK) {
                    Ok(outcome) => break Some(outcome),
                    Err(RecvTimeoutError::Disconnected) => break None,
                    Err(RecvTimeoutError::Timeout) if raised.is_none() => {
                        raised = Python::attach(|py| {
                            let signal = py.check_signals();
                            stopping = signal.is_err().then(Stopping::begin);
                            signal.and_then(|()| tell(py, &shared, callback.as_ref())).err()
                        });
                        shared.stop.store(raised.is_some(), Ordering::Relaxed);
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                }
            };
            let joined = worker.join();
            drop(stopping);
            if joined.is_err() {
                return Err(internal("the work panicked"));
            }
            match (outcome, raised) {
                (Some(Err(stopped @ Error::Interrupted(_))), Some(raised)) => {
                    let interrupt =
                        Python::attach(|py| raised.is_instance_of::<pyo3::exceptions::PyKeyboardInterrupt>(py));
                    Err(if interrupt { to_python(stopped) } else { raised })
                }
                // The work finished before it could stop, so its result exists.
                (Some(Ok(done)), Some(raised))
                    if Python::attach(|py| raised.is_instance_of::<pyo3::exceptions::PyKeyboardInterrupt>(py)) =>
                {
                    Ok(done)
                }
                (_, Some(raised)) => Err(raised),
                (Some(outcome), None) => {
                    Python::attach(|py| py.check_signals().and_then(|()| tell(py, &shared, callback.as_ref())))?;
                    outcome.map_err(to_python)
                }
                (None, None) => Err(internal("the work ended without a result")),
            }
        })
    })
}

/// Runs `work`, which waits for a server, on a thread of its own and without the GIL. A signal sets the flag that the
/// work is given. The exception of its handler is raised even if the server does not answer.
pub fn aside<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce(&Arc<AtomicBool>) -> Result<T> + Send + 'static,
) -> PyResult<T> {
    let stop: Arc<AtomicBool> = Arc::default();
    let (sender, result) = channel();
    let flag = Arc::clone(&stop);
    std::thread::Builder::new()
        .name("remote-wait".into())
        // The receiver is gone if the caller was interrupted.
        .spawn(move || drop(sender.send(work(&flag))))
        .map_err(|error| to_python(Error::threads(1, &error)))?;
    py.detach(move || {
        loop {
            match result.recv_timeout(TICK) {
                Ok(result) => return result.map_err(to_python),
                Err(RecvTimeoutError::Disconnected) => return Err(internal("a request has no result")),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if let Err(raised) = Python::attach(check_signals) {
                stop.store(true, Ordering::Relaxed);
                let _stopping = Stopping::begin();
                let _ = result.recv_timeout(PATIENCE);
                return Err(raised);
            }
        }
    })
}

/// A function for [`Python::attach`], which needs one for any lifetime.
pub fn check_signals(py: Python<'_>) -> PyResult<()> {
    py.check_signals()
}

fn tell(py: Python<'_>, shared: &Shared, callback: Option<&Py<PyAny>>) -> PyResult<()> {
    let latest = shared.latest.lock().ok().and_then(|mut latest| latest.take());
    if let (Some(report), Some(callback)) = (latest, callback) {
        callback.call1(py, report)?;
    }
    Ok(())
}
