//! `prepare_text`.

use std::path::PathBuf;

use albert_fast_core::Error;
use albert_fast_core::prepare::options::PrepareOptions;
use albert_fast_core::prepare::output::{Target, TextCompression};
use albert_fast_core::prepare::tasks::{PortionOutput, prepare_portions};
use albert_fast_core::prepare::{Outputs, prepare};
use albert_fast_core::tasks::Share;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error::{internal, to_python};
use crate::progress::run;
use crate::records::{Inputs, choice, names, to_python_object};
use crate::tasks::task;

/// Turns raw text into a corpus without the GIL: one sentence per line, a blank line after each document.
///
/// options_json holds the options by name. albert_fast.prepare_text, which calls this function, describes them. Returns
/// what was read, kept and written. Raises AlbertFastError and KeyboardInterrupt; the outputs are then unchanged, or, with
/// shard_size, what is done is kept.
#[pyfunction]
#[pyo3(signature = (inputs, output, options_json, *, eval_output=None, num_shards=None, compression="auto",
                    num_threads=None, overwrite=false, dry_run=false, shard_size=None, num_tasks=None, task_id=None,
                    progress=None))]
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
    shard_size: Option<f64>,
    num_tasks: Option<u64>,
    task_id: Option<u64>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Py<PyAny>> {
    let options: PrepareOptions =
        serde_json::from_str(options_json).map_err(|error| internal(format!("options: {error}")))?;
    let compression: TextCompression = choice("compression", compression, "\"auto\", \"none\", \"gzip\" or \"zstd\"")?;
    // A negative number breaks the rule in the same way as 0.
    let num_shards = num_shards.map(|count| count.max(0) as u64);
    let share = Share::of(num_tasks, task_id).map_err(to_python)?;
    refuse(num_shards, shard_size, share, dry_run).map_err(to_python)?;
    // A dry run has the same result for every layout. It needs only one that is valid.
    let any_shards = if shard_size.is_some() { Some(1) } else { num_shards };
    let training = Target::new(&output, any_shards, compression).map_err(to_python)?;
    let holds_out = options.eval_fraction > 0.0;
    if eval_output.is_some() && !holds_out {
        let reason = "`eval_output` needs `eval_fraction`, the fraction of documents to hold out";
        return Err(to_python(Error::conflict("eval_output", reason)));
    }
    let held_out = holds_out.then(|| training.held_out(eval_output.as_deref(), compression));
    let inputs = names(inputs);
    if let Some(shard_size) = shard_size.filter(|_| !dry_run) {
        let output = PortionOutput { output, eval_output, shard_size, compression, overwrite };
        let prepared =
            run(py, num_threads, progress, |progress| prepare_portions(&inputs, &output, &options, share, progress))?;
        let result = match &prepared.summary {
            Some(summary) => to_python_object(py, summary)?.into_bound(py).cast_into::<PyDict>()?,
            None => PyDict::new(py),
        };
        result.set_item("already_complete", prepared.already_complete)?;
        if share.is_some() {
            result.set_item("task", task(py, &prepared.state)?)?;
        }
        return Ok(result.into_any().unbind());
    }
    let outputs = Outputs { training, held_out, overwrite, dry_run };
    let summary = run(py, num_threads, progress, |progress| prepare(&inputs, &outputs, &options, progress))?;
    to_python_object(py, &summary)
}

/// Refuses combinations of options that have no meaning.
fn refuse(num_shards: Option<u64>, shard_size: Option<f64>, share: Option<Share>, dry_run: bool) -> Result<(), Error> {
    if num_shards.is_some() && shard_size.is_some() {
        let reason = "`shard_size` and `num_shards` contradict each other; pass only one of them";
        return Err(Error::conflict("shard_size", reason));
    }
    if share.is_some() && shard_size.is_none() {
        let reason = "`num_tasks` needs `shard_size`, which divides the input into what tasks share; pass shard_size=256, \
                      for example";
        return Err(Error::conflict("num_tasks", reason));
    }
    if share.is_some() && dry_run {
        let reason = "with `num_tasks`, dry_run=True is not possible, because a task sees only a part of the input; drop \
                      `num_tasks` and `task_id`";
        return Err(Error::conflict("dry_run", reason));
    }
    Ok(())
}
