//! `OutputLock`: the core's locks on outputs.

use std::path::PathBuf;
use std::sync::Mutex;

use albert_fast_core::files::lock::{DirectoryLock, claim, claim_whole};
use pyo3::prelude::*;

use crate::error::{internal, to_python};

/// Keeps a second run from writing to an output until it is released.
///
/// With whole, path is a file or directory that appears at once and complete, and replaces an existing one. Otherwise,
/// it is a directory that is filled in place, and it is created. Raises AlbertFastError if another run holds the lock,
/// in this process or another.
#[pyclass(module = "albert_fast._native", frozen)]
pub struct OutputLock {
    held: Mutex<Option<DirectoryLock>>,
}

#[pymethods]
impl OutputLock {
    #[new]
    #[pyo3(signature = (path, *, whole=false))]
    fn new(path: PathBuf, whole: bool) -> PyResult<Self> {
        let held = if whole { claim_whole(&path) } else { claim(&path) }.map_err(to_python)?;
        Ok(Self { held: Mutex::new(Some(held)) })
    }

    /// Whether the lock keeps others out. It does not if the file system has no locks.
    #[getter]
    fn exclusive(&self) -> PyResult<bool> {
        let held = self.held.lock().map_err(|_| internal("an earlier call of the lock failed"))?;
        Ok(held.as_ref().is_some_and(DirectoryLock::is_exclusive))
    }

    /// Releases the lock, and removes directories that it created if they are still empty. May be called more than
    /// once.
    fn release(&self) -> PyResult<()> {
        drop(self.held.lock().map_err(|_| internal("an earlier call of the lock failed"))?.take());
        Ok(())
    }
}
