//! The threads on which requests run: one small tokio runtime for the process, and the clients that belong to it.

use std::any::Any;
use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Semaphore;

use crate::{Error, Result};

/// Threads that move bytes between sockets and memory. Requests wait without a thread.
const THREADS: usize = 2;
/// The most parts of uploads that are on their way, for all files together.
const SENDING: usize = 4;
/// How often a waiting thread looks whether it must stop.
const LOOK: Duration = Duration::from_millis(100);
/// How long a process that must stop waits for a server while it cleans up.
const PATIENCE: Duration = Duration::from_secs(1);

/// The runtime of a process, and the clients whose connections live on it.
pub(super) struct Shared {
    process: u32,
    runtime: Runtime,
    kept: Mutex<HashMap<String, Arc<dyn Any + Send + Sync>>>,
    /// Has a permit for each part that may be on its way.
    pub(super) sending: Arc<Semaphore>,
}

static CURRENT: AtomicPtr<Shared> = AtomicPtr::new(std::ptr::null_mut());

/// Returns the runtime of this process.
///
/// A forked process has a copy of the memory but none of the threads, so it gets a runtime and clients of its own. The
/// copies stay in memory, because dropping them would wait for threads that do not exist.
pub(super) fn shared() -> Result<&'static Shared> {
    let mut current = CURRENT.load(Ordering::Acquire);
    loop {
        // SAFETY: the pointer is null or comes from `Box::into_raw` below, and is never freed.
        if let Some(shared) = unsafe { current.as_ref() }
            && shared.process == std::process::id()
        {
            return Ok(shared);
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("remote-files")
            .enable_all()
            .build()
            .map_err(|error| Error::threads(THREADS, &error))?;
        let sending = Arc::new(Semaphore::new(SENDING));
        let new = Shared { process: std::process::id(), runtime, kept: Mutex::default(), sending };
        let new = Box::into_raw(Box::new(new));
        match CURRENT.compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: as above.
            Ok(_) => return Ok(unsafe { &*new }),
            Err(other) => {
                // SAFETY: no other thread has seen this pointer.
                let Shared { runtime, .. } = *unsafe { Box::from_raw(new) };
                runtime.shutdown_background();
                current = other;
            }
        }
    }
}

/// The process that has a [`Stopping`], or 0.
static STOPPING: AtomicU32 = AtomicU32::new(0);

/// While this exists, requests that get no answer are given up with [`Error::Interrupted`]: the process must stop.
#[derive(Debug)]
pub struct Stopping(());

impl Stopping {
    /// Meant for the one thread that handles signals.
    #[must_use]
    pub fn begin() -> Self {
        STOPPING.store(std::process::id(), Ordering::Relaxed);
        Self(())
    }
}

impl Drop for Stopping {
    fn drop(&mut self) {
        STOPPING.store(0, Ordering::Relaxed);
    }
}

fn is_stopping() -> bool {
    // A forked process has a copy of the value, and need not stop.
    STOPPING.load(Ordering::Relaxed) == std::process::id()
}

/// Waits for `future` on the calling thread.
///
/// # Errors
/// [`Error::Interrupted`] if the process must stop.
pub(super) fn wait<T>(future: impl Future<Output = T>) -> Result<T> {
    wait_unless(future, || false)
}

/// As [`wait`], and gives up too when `stop` returns `true`.
pub(super) fn wait_unless<T>(future: impl Future<Output = T>, stop: impl Fn() -> bool) -> Result<T> {
    shared()?.runtime.block_on(async {
        let mut future = std::pin::pin!(future);
        loop {
            match tokio::time::timeout(LOOK, &mut future).await {
                Ok(result) => return Ok(result),
                Err(_) if stop() || is_stopping() => {
                    return Err(Error::Interrupted("run the same command again".into()));
                }
                Err(_) => {}
            }
        }
    })
}

/// Waits for `future`, which cleans up, and not for long if the process must stop.
pub(super) fn wait_to_clean_up(future: impl Future<Output = ()>) -> Result<()> {
    let began = Instant::now();
    shared()?.runtime.block_on(async {
        let mut future = std::pin::pin!(future);
        while tokio::time::timeout(LOOK, &mut future).await.is_err() {
            if is_stopping() && began.elapsed() > PATIENCE {
                break;
            }
        }
    });
    Ok(())
}

/// Returns what starts tasks on the runtime.
pub(super) fn handle() -> Result<Handle> {
    Ok(shared()?.runtime.handle().clone())
}

/// Returns what is kept with the runtime as `name`, or makes it with `make`. A name must always stand for one type.
pub(super) fn kept<T: Send + Sync + 'static>(name: &str, make: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
    let kept = || shared().map(|it| it.kept.lock().unwrap_or_else(PoisonError::into_inner));
    let of_type = |it: Arc<dyn Any + Send + Sync>| {
        it.downcast::<T>().map_err(|_| Error::Internal(format!("{name} is kept as another type")))
    };
    if let Some(found) = kept()?.get(name) {
        return of_type(Arc::clone(found));
    }
    // Not while the lock is held: making it may take a request.
    let new: Arc<dyn Any + Send + Sync> = Arc::new(make()?);
    of_type(Arc::clone(kept()?.entry(name.to_owned()).or_insert(new)))
}
