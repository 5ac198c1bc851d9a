//! Loads NumPy when the first array is needed. Commands that need none start in half the time without it.

use numpy::dtype;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

static LOADED: PyOnceLock<()> = PyOnceLock::new();

/// Loads NumPy. Every function that returns an array must call it first.
///
/// The interface of the `numpy` crate panics if NumPy cannot be imported, or if a Ctrl-C arrives meanwhile. This returns
/// the exception instead.
pub fn load(py: Python<'_>) -> PyResult<()> {
    LOADED
        .get_or_try_init(py, || {
            py.import("numpy")?;
            let _ = dtype::<i32>(py);
            Ok(())
        })
        .copied()
}
