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

/// Returns the `AlbertFastError` for an argument that breaks its rule.
pub fn rule(option: &'static str, rule: impl Into<String>, value: impl std::fmt::Display) -> PyErr {
    to_python(Error::rule(option, rule, value))
}

/// Returns the `AlbertFastError` for a bug.
pub fn internal(reason: impl std::fmt::Display) -> PyErr {
    to_python(Error::Internal(reason.to_string()))
}

fn describe(raised: &Bound<'_, PyAny>, error: &Error) -> PyResult<()> {
    let kind = match error {
        Error::Io { .. } | Error::System { .. } => "io",
        Error::Tokenizer { .. } => "tokenizer",
        Error::Rule { .. } | Error::Conflict { .. } => "option",
        Error::Exists { .. } => "exists",
        Error::Input { .. } => "input",
        Error::Internal(_) => "internal",
        _ => "data",
    };
    raised.setattr("kind", kind)?;
    match error {
        Error::Rule { option, rule, value, .. } => {
            raised.setattr("option", option)?;
            raised.setattr("rule", rule)?;
            raised.setattr("value", value)?;
        }
        Error::Conflict { option, path, .. } => {
            raised.setattr("option", option)?;
            raised.setattr("path", path)?;
        }
        Error::System { option, .. } => raised.setattr("option", option)?,
        Error::Input { path, .. } => raised.setattr("path", path)?,
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
