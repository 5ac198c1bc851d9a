//! What Python learns of a task.

use albert_fast_core::tasks::TaskState;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Returns what `albert_fast.tasks.of_task` takes.
pub fn task<'py>(py: Python<'py>, state: &TaskState) -> PyResult<Bound<'py, PyDict>> {
    let task = PyDict::new(py);
    task.set_item("first", state.range.start)?;
    task.set_item("end", state.range.end)?;
    task.set_item("total", state.total)?;
    task.set_item("complete", state.complete)?;
    task.set_item("round", state.round)?;
    task.set_item("rounds", state.rounds)?;
    Ok(task)
}
