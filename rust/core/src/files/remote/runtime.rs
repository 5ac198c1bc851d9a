//! The threads on which requests run: one small tokio runtime for the process, and the clients that belong to it.

use std::any::Any;
use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Semaphore;

use crate::{Error, Result};

/// Threads that move bytes between sockets and memory. Requests wait without a thread.
const THREADS: usize = 2;
/// The most parts of uploads that are on their way, for all files together.
const SENDING: usize = 4;

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

/// Waits for `future` on the calling thread.
pub(super) fn wait<T>(future: impl Future<Output = T>) -> Result<T> {
    Ok(shared()?.runtime.block_on(future))
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
