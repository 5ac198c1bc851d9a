//! Turns the core's errors into Python exceptions.

use albert_fast_core::Error;
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use pyo3::{PyErr, import_exception};

import_exception!(albert_fast.errors, AlbertFastError);

/// Turns `Interrupted` into `KeyboardInterrupt`, and everything else into `AlbertFastError` with its kind and place.
pub fn to_python(error: Error) -> PyErr {
    let message = error.to_string();
    if matches!(error, Error::Interrupted(_)) {
        return PyKeyboardInterrupt::new_err(message);
    }
    let raised = AlbertFastError::new_err(message);
    Python::attach(|py| describe(raised.value(py), &error).map_or_else(|failure| failure, |()| raised.clone_ref(py)))
}

/// Returns an `AlbertFastError` about an argument, with a message of the bindings.
pub fn rule(message: impl Into<String>) -> PyErr {
    to_python(Error::Option(message.into()))
}

fn describe(raised: &Bound<'_, PyAny>, error: &Error) -> PyResult<()> {
    let kind = match error {
        Error::Io { .. } => "io",
        Error::Tokenizer { .. } => "tokenizer",
        Error::Option(_) | Error::Rule { .. } => "option",
        Error::Exists { .. } => "exists",
        Error::Input(_) => "input",
        _ => "data",
    };
    raised.setattr("kind", kind)?;
    match error {
        Error::Rule { option, rule, value } => {
            raised.setattr("option", option)?;
            raised.setattr("rule", rule)?;
            raised.setattr("value", value)?;
        }
        Error::Exists { path, .. }
        | Error::Io { path, .. }
        | Error::Tokenizer { path, .. }
        | Error::Data { path, .. }
        | Error::Row { path, .. } => {
            raised.setattr("path", path)?;
        }
        Error::InvalidUtf8 { path, line, byte, .. } => {
            raised.setattr("path", path)?;
            raised.setattr("line", line)?;
            raised.setattr("byte", byte)?;
        }
        Error::LineTooLong { path, line, .. } | Error::Line { path, line, .. } => {
            raised.setattr("path", path)?;
            raised.setattr("line", line)?;
        }
        Error::Byte { path, byte, .. } | Error::Record { path, offset: byte, .. } => {
            raised.setattr("path", path)?;
            raised.setattr("byte", byte)?;
        }
        _ => {}
    }
    Ok(())
}
