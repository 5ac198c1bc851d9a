//! Loads NumPy when the first array is needed. Commands that need none start in half the time without it.

use numpy::{Element, PyReadonlyArray1, dtype};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

static LOADED: PyOnceLock<()> = PyOnceLock::new();

/// Loads NumPy. Every function that returns an array, or reads one, must call it first. [`ArrayOf`] does so itself.
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

/// An argument that is an array of one dimension. The `numpy` crate's own types need NumPy before the function is called.
pub struct ArrayOf<T>(pub Vec<T>);

impl<T: Element + Copy> FromPyObject<'_, '_> for ArrayOf<T> {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        load(value.py())?;
        let array: PyReadonlyArray1<'_, T> = value.extract()?;
        Ok(Self(array.as_array().to_vec()))
    }
}
