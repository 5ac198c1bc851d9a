//! `train_tokenizer` and what its tasks need.

use std::path::PathBuf;

use albert_fast_core::tasks::Share;
use albert_fast_core::tokens::tokenizer::TextRules;
use albert_fast_core::tokens::training::read::{Reading, Trained, train};
use albert_fast_core::tokens::training::tasks::{Completed, TaskOutput, TaskTrained, forget, publish, train_task};
use albert_fast_core::tokens::training::{Normalization, Options};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::error::{internal, to_python};
use crate::progress::{aside, run};
use crate::records::{Inputs, any_text, names, on_bad_utf8, to_python_object};
use crate::tasks::task;
use crate::tokenizer::PyTokenizer;

/// Trains a unigram model on text inputs, without the GIL. The model does not depend on the number of threads.
///
/// options_json holds the options by name; normalizer is a serialized model with the normalization rules. Returns
/// "model" (bytes, or None if no line is left), "lines", "dropped" (a dict) and "notes". With a tokenizer to extend, the
/// model is its extension, and an empty normalizer stands for its rules. Raises AlbertFastError and KeyboardInterrupt.
#[pyfunction]
#[pyo3(signature = (inputs, options_json, normalizer, *, lower_case=true, keep_accents=false, on_bad_utf8="error",
                    format="auto", num_threads=None, extend=None, progress=None))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments")]
pub fn train_tokenizer(
    py: Python<'_>,
    inputs: Inputs,
    options_json: &str,
    normalizer: &[u8],
    lower_case: bool,
    keep_accents: bool,
    on_bad_utf8: &str,
    format: &str,
    num_threads: Option<i64>,
    extend: Option<&PyTokenizer>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Py<PyDict>> {
    let options = parsed(options_json, normalizer, extend)?;
    let extend = extend.map(|tokenizer| tokenizer.inner.clone());
    let reading = Reading {
        rules: TextRules { lower_case, keep_accents },
        on_bad_utf8: self::on_bad_utf8(on_bad_utf8)?,
        any_text: any_text(format)?,
    };
    let inputs = names(inputs);
    let trained =
        run(py, num_threads, progress, |progress| train(&inputs, reading, options, extend.as_deref(), progress))?;
    let Trained { model, lines, dropped, notes } = trained;
    let found = PyDict::new(py);
    found.set_item("model", model.map(|model| PyBytes::new(py, &model)))?;
    found.set_item("lines", lines)?;
    found.set_item("dropped", to_python_object(py, &dropped)?)?;
    found.set_item("notes", notes)?;
    Ok(found.unbind())
}

/// Returns the options of training.
fn parsed(options_json: &str, normalizer: &[u8], extend: Option<&PyTokenizer>) -> PyResult<Options> {
    let mut options: Options =
        serde_json::from_str(options_json).map_err(|error| internal(format!("options: {error}")))?;
    if extend.is_none() || !normalizer.is_empty() {
        options.normalization = Normalization::of_model(normalizer).map_err(to_python)?;
    }
    Ok(options)
}

/// Does the share of one task in training a model, without the GIL. See _native.pyi.
#[pyfunction]
#[pyo3(signature = (inputs, output_dir, options_json, normalizer, kept, num_tasks, task_id, *, lower_case=true,
                    keep_accents=false, on_bad_utf8="error", format="auto", num_threads=None, extend=None,
                    portion_bytes=None, progress=None))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments")]
pub fn train_tokenizer_task(
    py: Python<'_>,
    inputs: Inputs,
    output_dir: PathBuf,
    options_json: &str,
    normalizer: &[u8],
    kept: String,
    num_tasks: u64,
    task_id: u64,
    lower_case: bool,
    keep_accents: bool,
    on_bad_utf8: &str,
    format: &str,
    num_threads: Option<i64>,
    extend: Option<&PyTokenizer>,
    portion_bytes: Option<u64>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Py<PyDict>> {
    let share = Share::new(task_id, num_tasks).map_err(to_python)?;
    let options = parsed(options_json, normalizer, extend)?;
    let extend = extend.map(|tokenizer| tokenizer.inner.clone());
    let reading = Reading {
        rules: TextRules { lower_case, keep_accents },
        on_bad_utf8: self::on_bad_utf8(on_bad_utf8)?,
        any_text: any_text(format)?,
    };
    let mut output = TaskOutput { kept, ..TaskOutput::new(output_dir) };
    output.portion_bytes = portion_bytes.unwrap_or(output.portion_bytes);
    let inputs = names(inputs);
    let TaskTrained { state, completed, notes } = run(py, num_threads, progress, |progress| {
        train_task(&inputs, reading, &options, extend.as_deref(), &output, share, progress)
    })?;
    let found = match &completed {
        Some(completed) => self::completed(py, completed)?,
        None => PyDict::new(py),
    };
    found.set_item("is_complete", completed.is_some())?;
    found.set_item("task", task(py, &state)?)?;
    found.set_item("notes", notes)?;
    Ok(found.unbind())
}

/// Returns what Python learns of a model that all tasks have trained together.
pub fn completed<'py>(py: Python<'py>, made: &Completed) -> PyResult<Bound<'py, PyDict>> {
    let found = PyDict::new(py);
    found.set_item("model", made.model.as_ref().map(|model| PyBytes::new(py, model)))?;
    found.set_item("lines", made.lines)?;
    found.set_item("dropped", to_python_object(py, &made.dropped)?)?;
    found.set_item("kept", &made.kept)?;
    found.set_item("already_complete", made.already_complete)?;
    Ok(found)
}

/// Writes the model that tasks have trained, and removes what they needed for it, without the GIL. See _native.pyi.
#[pyfunction]
pub fn publish_tokenizer(py: Python<'_>, output_dir: PathBuf, model: Vec<u8>, kept: String) -> PyResult<bool> {
    aside(py, move |_| publish(&output_dir, &model, &kept))
}

/// Removes what tasks of train_tokenizer have left in a directory, apart from a model, without the GIL.
#[pyfunction]
pub fn forget_tokenizer_tasks(py: Python<'_>, output_dir: PathBuf) -> PyResult<()> {
    aside(py, move |_| forget(&output_dir))
}
