//! `train_tokenizer`.

use albert_fast_core::tokens::tokenizer::TextRules;
use albert_fast_core::tokens::training::read::{Reading, Trained, train};
use albert_fast_core::tokens::training::{Normalization, Options};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::error::{internal, to_python};
use crate::progress::run;
use crate::records::{Inputs, any_text, names, on_bad_utf8, to_python_object};
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
    let mut options: Options =
        serde_json::from_str(options_json).map_err(|error| internal(format!("options: {error}")))?;
    if extend.is_none() || !normalizer.is_empty() {
        options.normalization = Normalization::of_model(normalizer).map_err(to_python)?;
    }
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
