//! `prepare_text`.

use std::path::PathBuf;

use albert_fast_core::prepare::options::PrepareOptions;
use albert_fast_core::prepare::output::{Target, TextCompression};
use albert_fast_core::prepare::{Outputs, prepare};
use pyo3::prelude::*;

use crate::error::{rule, to_python};
use crate::progress::run;
use crate::records::{Inputs, choice, names, to_python_object};

/// Raw text of any form to one sentence a line and a blank line after each document, without the GIL.
///
/// options_json holds the options by name; see albert_fast.prepare_text, which makes it. Returns what was read, taken and
/// written. Raises AlbertFastError and KeyboardInterrupt; the outputs are then as they were.
#[pyfunction]
#[pyo3(signature = (inputs, output, options_json, *, eval_output=None, num_shards=None, compression="auto",
                    num_threads=None, overwrite=false, dry_run=false, progress=None))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments")]
pub fn prepare_text(
    py: Python<'_>,
    inputs: Inputs,
    output: PathBuf,
    options_json: &str,
    eval_output: Option<PathBuf>,
    num_shards: Option<i64>,
    compression: &str,
    num_threads: Option<i64>,
    overwrite: bool,
    dry_run: bool,
    progress: Option<Py<PyAny>>,
) -> PyResult<Py<PyAny>> {
    let options: PrepareOptions =
        serde_json::from_str(options_json).map_err(|error| rule(format!("options: {error}")))?;
    let compression: TextCompression = choice("compression", compression, "\"auto\", \"none\", \"gzip\" or \"zstd\"")?;
    // What is below 0 breaks the rule as 0 does.
    let num_shards = num_shards.map(|count| count.max(0) as u64);
    let training = Target::new(&output, num_shards, compression).map_err(to_python)?;
    let holds_out = options.eval_fraction > 0.0;
    if eval_output.is_some() && !holds_out {
        return Err(rule("--eval-output needs --eval-fraction: the share of the documents that go there"));
    }
    let held_out = holds_out.then(|| training.held_out(eval_output.as_deref(), compression));
    let outputs = Outputs { training, held_out, overwrite, dry_run };
    let inputs = names(inputs);
    let summary = run(py, num_threads, progress, |progress| prepare(&inputs, &outputs, &options, progress))?;
    to_python_object(py, &summary)
}
