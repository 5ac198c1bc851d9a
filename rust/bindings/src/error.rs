//! The core's errors as Python exceptions.

use albert_fast_core::Error;
use pyo3::exceptions::{PyKeyboardInterrupt, PyValueError};
use pyo3::{PyErr, create_exception};

create_exception!(
    albert_fast._native,
    AlbertFastError,
    PyValueError,
    "An error of albert-fast: its message names the rule, the value and the place."
);

/// `Interrupted` becomes `KeyboardInterrupt`, everything else [`AlbertFastError`].
pub fn to_python(error: Error) -> PyErr {
    match error {
        Error::Interrupted(_) => PyKeyboardInterrupt::new_err(error.to_string()),
        _ => AlbertFastError::new_err(error.to_string()),
    }
}

/// An [`AlbertFastError`] with a message of the bindings' own.
pub fn rule(message: impl Into<String>) -> PyErr {
    AlbertFastError::new_err(message.into())
}
