//! The Python extension module `albert_fast._native`: converts arguments, releases the GIL, calls the core.
// PyO3 passes owned arguments. With a reference in the signature, they would be extracted differently or not at all.
#![allow(clippy::needless_pass_by_value)]
// Doc comments on items that Python sees are Python docstrings, and follow Python's conventions.
#![allow(clippy::doc_markdown)]

mod arrays;
mod batches;
mod defaults;
mod error;
mod lines;
mod lock;
mod masker;
mod prepare;
mod progress;
mod records;
mod remote;
mod store;
mod tasks;
mod tokenizer;
mod training;

use std::sync::{Arc, Mutex};

use albert_fast_core::Error;
use pyo3::prelude::*;
use rayon::ThreadPool;

/// The Rust core of albert-fast; see `_native.pyi` for the signatures.
#[pymodule(name = "_native")]
mod native {
    use super::{Bound, PyAnyMethods, PyModule, PyModuleMethods, PyResult};

    #[pymodule_export]
    use super::batches::{BatchIterator, PyBatches, instance_batches, record_batches};
    #[pymodule_export]
    use super::defaults::defaults;
    #[pymodule_export]
    use super::lines::{Lines, refuse_output_in_input, text_changes};
    #[pymodule_export]
    use super::lock::OutputLock;
    #[pymodule_export]
    use super::masker::PyMasker;
    #[pymodule_export]
    use super::prepare::prepare_text;
    #[pymodule_export]
    use super::records::{RecordFile, finish, instances, make_records, masking_warning, tokenize};
    #[pymodule_export]
    use super::remote::{
        is_remote, public_path, remote_download, remote_list, remote_read, remote_records, remote_remove, remote_size,
        remote_upload, remote_write,
    };
    #[pymodule_export]
    use super::store::{PyTokenStore, store_tokenizer};
    #[pymodule_export]
    use super::tokenizer::{PyTokenizer, preprocess, read_pieces, restore_tokenizer, text_rules_beside};
    #[pymodule_export]
    use super::training::{forget_tokenizer_tasks, publish_tokenizer, train_tokenizer, train_tokenizer_task};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("AlbertFastError", module.py().import("albert_fast.errors")?.getattr("AlbertFastError")?)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}

/// The largest number of threads that can be requested.
const MAX_THREADS: i64 = 1024;
/// The most threads that are started for each core. Starting more takes longer than they can save, and no result depends
/// on their number.
const THREADS_PER_CORE: usize = 4;

/// Returns the requested number of threads, but at most [`THREADS_PER_CORE`] for each core. By default, as many as the
/// machine has cores.
fn threads(num_threads: Option<i64>) -> PyResult<usize> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    match num_threads {
        Some(count) if !(1..=MAX_THREADS).contains(&count) => {
            Err(error::rule("num_threads", format!("an integer from 1 to {MAX_THREADS}"), count))
        }
        Some(count) => Ok((count as usize).min(THREADS_PER_CORE * cores)),
        None => Ok(cores),
    }
}

/// Creates a pool for one call. The process may fork between calls, and threads do not survive a fork.
fn pool(threads: usize) -> PyResult<ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|error| error::to_python(Error::threads(threads, &error)))
}

/// The pool of the last call of [`shared_pool`], with the process it belongs to and its number of threads.
static SHARED: Mutex<Option<(u32, usize, Arc<ThreadPool>)>> = Mutex::new(None);

/// Returns a pool for calls that take less time than starting threads. It is kept as long as the same process asks for
/// the same number of threads.
fn shared_pool(threads: usize) -> PyResult<Arc<ThreadPool>> {
    // Never waits for the lock: after a fork, it may be held by a thread that does not exist in this process.
    let Ok(mut shared) = SHARED.try_lock() else {
        return pool(threads).map(Arc::new);
    };
    let process = std::process::id();
    if let Some((of, count, kept)) = &*shared
        && (*of, *count) == (process, threads)
    {
        return Ok(kept.clone());
    }
    let fresh = Arc::new(pool(threads)?);
    if let Some((of, _, old)) = shared.replace((process, threads, fresh.clone()))
        && of != process
    {
        // Its threads belong to the parent process, so nobody would receive the signal to end.
        std::mem::forget(old);
    }
    Ok(fresh)
}
