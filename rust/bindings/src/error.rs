//! Turns the core's errors into Python exceptions.

use albert_fast_core::Error;
use albert_fast_core::error::Facts;
use albert_fast_core::files::remote;
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

/// Like [`rule`], for a number at a place of an array: `"got 7 at lengths[2]"`.
pub fn rule_at(option: &'static str, rule: impl Into<String>, value: i64, place: impl std::fmt::Display) -> PyErr {
    let raised = self::rule(option, rule, format!("{value} at {option}{place}"));
    let set = Python::attach(|py| raised.value(py).setattr("value", value));
    set.map_or_else(|failure| failure, |()| raised)
}

/// Returns the `AlbertFastError` for a bug.
pub fn internal(reason: impl std::fmt::Display) -> PyErr {
    to_python(Error::Internal(reason.to_string()))
}

fn describe(raised: &Bound<'_, PyAny>, error: &Error) -> PyResult<()> {
    let Facts { kind, path, line, byte, option, rule, value, unfinished } = error.facts();
    raised.setattr("kind", kind)?;
    if let Some(path) = path.filter(|path| remote::is_remote(path)) {
        let class = raised.py().import("albert_fast.paths")?.getattr("RemotePath")?;
        raised.setattr("path", class.call1((remote::public(path),))?)?;
    } else {
        raised.setattr("path", path)?;
    }
    raised.setattr("line", line)?;
    raised.setattr("byte", byte)?;
    raised.setattr("option", option)?;
    raised.setattr("rule", rule)?;
    raised.setattr("value", value)?;
    if let Some((round, tasks)) = unfinished {
        raised.setattr("task_round", round)?;
        raised.setattr("tasks", tasks)?;
    }
    Ok(())
}
