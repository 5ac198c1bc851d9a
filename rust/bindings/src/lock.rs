//! `OutputLock`: the core's locks on outputs.

use std::path::PathBuf;
use std::sync::Mutex;

use albert_fast_core::files::lock::{FolderLock, claim, claim_whole};
use pyo3::prelude::*;

use crate::error::{rule, to_python};

/// Keeps a second run from writing to an output, until it is released.
///
/// whole says whether path is a file or folder that appears whole, in place of what is there; otherwise it is a folder that
/// is filled in place, and is created. Raises AlbertFastError if another run, in this process or another, has the lock.
#[pyclass(module = "albert_fast._native", frozen)]
pub struct OutputLock {
    held: Mutex<Option<FolderLock>>,
}

#[pymethods]
impl OutputLock {
    #[new]
    #[pyo3(signature = (path, *, whole=false))]
    fn new(path: PathBuf, whole: bool) -> PyResult<Self> {
        let held = if whole { claim_whole(&path) } else { claim(&path) }.map_err(to_python)?;
        Ok(Self { held: Mutex::new(Some(held)) })
    }

    /// Whether the lock keeps others out: not if the file system has no locks.
    #[getter]
    fn exclusive(&self) -> PyResult<bool> {
        let held = self.held.lock().map_err(|_| rule("the lock failed before"))?;
        Ok(held.as_ref().is_some_and(FolderLock::is_exclusive))
    }

    /// Ends the lock. Folders that it created and that are still empty are removed. May be called again.
    fn release(&self) -> PyResult<()> {
        drop(self.held.lock().map_err(|_| rule("the lock failed before"))?.take());
        Ok(())
    }
}
