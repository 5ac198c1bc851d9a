//! `prepare_text`.

use std::path::PathBuf;

use albert_fast_core::Error;
use albert_fast_core::prepare::options::PrepareOptions;
use albert_fast_core::prepare::output::{Target, TextCompression};
use albert_fast_core::prepare::{Outputs, prepare};
use pyo3::prelude::*;

use crate::error::{internal, to_python};
use crate::progress::run;
use crate::records::{Inputs, choice, names, to_python_object};

/// Turns raw text into a corpus without the GIL: one sentence per line, a blank line after each document.
///
/// options_json holds the options by name. albert_fast.prepare_text, which calls this function, describes them. Returns
/// what was read, kept and written. Raises AlbertFastError and KeyboardInterrupt; the outputs are then unchanged.
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
        serde_json::from_str(options_json).map_err(|error| internal(format!("options: {error}")))?;
    let compression: TextCompression = choice("compression", compression, "\"auto\", \"none\", \"gzip\" or \"zstd\"")?;
    // A negative number breaks the rule in the same way as 0.
    let num_shards = num_shards.map(|count| count.max(0) as u64);
    let training = Target::new(&output, num_shards, compression).map_err(to_python)?;
    let holds_out = options.eval_fraction > 0.0;
    if eval_output.is_some() && !holds_out {
        let reason = "`eval_output` needs `eval_fraction`, the fraction of documents to hold out";
        return Err(to_python(Error::conflict("eval_output", reason)));
    }
    let held_out = holds_out.then(|| training.held_out(eval_output.as_deref(), compression));
    let outputs = Outputs { training, held_out, overwrite, dry_run };
    let inputs = names(inputs);
    let summary = run(py, num_threads, progress, |progress| prepare(&inputs, &outputs, &options, progress))?;
    to_python_object(py, &summary)
}
