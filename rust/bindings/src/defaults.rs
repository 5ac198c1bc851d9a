//! The defaults of every option of the core. A test compares them with those of Python.

use albert_fast_core::instances::mask_rows::MaskOptions;
use albert_fast_core::prepare::options::PrepareOptions;
use albert_fast_core::records::make::MakeOptions;
use albert_fast_core::tokens::tokenize::TokenizeOptions;
use albert_fast_core::tokens::training;
use pyo3::prelude::*;
use serde_json::json;

use crate::records::to_python_object;

/// Returns the defaults by stage ("prepare", "tokenizer", "tokenize", "instances", "masks", "records") and option.
#[pyfunction]
pub fn defaults(py: Python<'_>) -> PyResult<Py<PyAny>> {
    let MakeOptions { records, keep_store, .. } = MakeOptions::default();
    let tokenize = TokenizeOptions::default();
    let stages = json!({
        "prepare": PrepareOptions::default(),
        "tokenizer": training::Options::default(),
        "tokenize": {
            "input_format": if tokenize.any_text { "text" } else { "auto" },
            "on_bad_utf8": tokenize.on_bad_utf8,
            "overwrite": tokenize.overwrite,
        },
        "instances": records.instances,
        "masks": MaskOptions::default(),
        "records": {
            "num_shards": records.num_shards,
            "compression": records.compression,
            "keep_store": keep_store,
            "overwrite": records.overwrite,
        },
    });
    to_python_object(py, &stages)
}
