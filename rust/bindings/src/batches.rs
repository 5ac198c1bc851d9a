//! `Batches` and its iterator: batches of instances as NumPy arrays, from a token store or from records.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::Duration;

use albert_fast_core::Error;
use albert_fast_core::batches::batch::{Batch, Batched, Batches, guarded};
use albert_fast_core::batches::mixture::Mixture;
use albert_fast_core::batches::pattern::Pattern;
use albert_fast_core::batches::prefetch::{Ahead, Next, Prefetch};
use albert_fast_core::batches::stream::{Fall, InstanceStream};
use albert_fast_core::instances::options::InstanceOptions;
use albert_fast_core::records::example::TOKEN_BOUNDARY;
use albert_fast_core::records::source::{RecordOptions, RecordSource};
use albert_fast_core::tokens::line_encoder::{check_tokenizer, tokenizer_of};
use numpy::{IntoPyArray, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error::{internal, to_python};
use crate::masker::PyMasker;
use crate::progress::{check_signals, run};
use crate::records::instance_options;
use crate::remote::cache;
use crate::store::PyTokenStore;
use crate::tokenizer::PyTokenizer;

/// How often a waiting consumer checks for signals.
const TICK: Duration = Duration::from_millis(100);
/// How often a consumer that waits for its turn checks whether it has come.
const SHORT_TICK: Duration = Duration::from_millis(1);
/// How many of these ticks another thread of a forked process may take to restart the iterator's threads.
const FORKED_TICKS: u32 = 5_000;

/// Returns the arrays of a batch by the names of the records' features, without copying. Features that the records lack
/// are skipped.
fn to_arrays<'py>(py: Python<'py>, batch: Batch, of: &dyn Batches) -> PyResult<Bound<'py, PyDict>> {
    crate::arrays::load(py)?;
    let (rows, s, p) = (batch.rows, batch.seq_length, batch.predictions);
    let dict = PyDict::new(py);
    for (name, values, columns) in [
        ("input_ids", batch.input_ids, s),
        ("input_mask", batch.input_mask, s),
        ("segment_ids", batch.segment_ids, s),
        ("token_boundary", batch.token_boundary, s),
        ("masked_lm_positions", batch.masked_lm_positions, p),
        ("masked_lm_ids", batch.masked_lm_ids, p),
        ("next_sentence_labels", batch.next_sentence_labels, 1),
    ] {
        if name == TOKEN_BOUNDARY && !of.has_token_boundary() {
            continue;
        }
        dict.set_item(name, values.into_pyarray(py).reshape([rows, columns])?)?;
    }
    dict.set_item("masked_lm_weights", batch.masked_lm_weights.into_pyarray(py).reshape([rows, p])?)?;
    Ok(dict)
}

/// Numbered batches without end, which `albert_fast.BatchSource` wraps. See _native.pyi.
#[pyclass(name = "Batches", module = "albert_fast._native", frozen)]
pub struct PyBatches {
    inner: Arc<dyn Batches>,
    /// How the stores that the instances are from take turns; `None` for records.
    pattern: Option<Arc<Pattern>>,
}

#[pymethods]
impl PyBatches {
    /// Returns batch k as a dict of arrays. It releases the GIL and uses num_threads threads.
    #[pyo3(signature = (k, *, num_threads=None))]
    fn batch<'py>(&self, py: Python<'py>, k: u64, num_threads: Option<i64>) -> PyResult<Bound<'py, PyDict>> {
        let threads = crate::threads(num_threads)?;
        let pool = crate::shared_pool(threads)?;
        let (sender, result) = channel();
        let batches = self.inner.clone();
        pool.spawn(move || {
            // The receiver is gone if the caller was interrupted.
            let _ = sender.send(guarded(&*batches, k));
        });
        let batch = py.detach(move || {
            loop {
                match result.recv_timeout(TICK) {
                    Ok(batch) => return batch.map_err(to_python),
                    Err(RecvTimeoutError::Timeout) => Python::attach(check_signals)?,
                    Err(RecvTimeoutError::Disconnected) => return Err(internal("no batch was made")),
                }
            }
        })?;
        to_arrays(py, batch, &*self.inner)
    }

    /// Iterates over batches start, start + step, ... below stop, which are made ahead.
    #[pyo3(signature = (start=0, stop=None, step=1, *, num_threads=None, prefetch=4))]
    fn ahead(
        &self,
        start: u64,
        stop: Option<u64>,
        step: u64,
        num_threads: Option<i64>,
        prefetch: usize,
    ) -> PyResult<BatchIterator> {
        let ahead = Ahead { start, step, stop, depth: prefetch, threads: crate::threads(num_threads)? };
        let prefetch = Prefetch::start(self.inner.clone(), &ahead).map_err(to_python)?;
        let process = std::process::id();
        let running = Mutex::new(Running { prefetch: Some(prefetch), process, next: start });
        Ok(BatchIterator { batches: self.inner.clone(), ahead, process: AtomicU32::new(process), running })
    }

    /// Returns shard index of count: every count-th instance, starting with instance index.
    fn shard(&self, index: u64, count: u64) -> PyResult<Self> {
        let inner = self.inner.shard(index, count).map_err(to_python)?;
        Ok(Self { inner, pattern: self.pattern.clone() })
    }

    /// Returns the number of instances from each store in a period of the mixture.
    #[getter]
    fn shares(&self) -> Vec<u64> {
        self.pattern.as_ref().map_or_else(Vec::new, |pattern| pattern.shares().to_vec())
    }

    /// Returns how many of the instances first..end of the whole source are from each store.
    fn drawn(&self, first: u64, end: u64) -> Vec<u64> {
        let Some(pattern) = &self.pattern else { return Vec::new() };
        let (before, after) = (pattern.counts(first), pattern.counts(end));
        after.iter().zip(&before).map(|(after, before)| after.saturating_sub(*before)).collect()
    }

    /// Returns the number of instances in the first epoch.
    fn __len__(&self) -> usize {
        self.inner.epoch_len() as usize
    }

    /// B, the number of rows in a batch.
    #[getter]
    fn batch_size(&self) -> usize {
        self.inner.batch_size()
    }

    /// S, the number of tokens in a row.
    #[getter]
    fn max_seq_length(&self) -> usize {
        self.inner.seq_length()
    }

    /// Whether batches have token_boundary.
    #[getter]
    fn has_token_boundary(&self) -> bool {
        self.inner.has_token_boundary()
    }

    /// P, the number of predictions in a row.
    #[getter]
    fn max_predictions(&self) -> usize {
        self.inner.predictions()
    }
}

/// The batches of Batches.ahead.
#[pyclass(module = "albert_fast._native", frozen)]
pub struct BatchIterator {
    batches: Arc<dyn Batches>,
    ahead: Ahead,
    /// The same as [`Running::process`], for threads that cannot take the lock.
    process: AtomicU32,
    running: Mutex<Running>,
}

struct Running {
    /// The running prefetch; `None` at the end.
    prefetch: Option<Prefetch>,
    /// The process that the threads belong to. Threads do not survive a fork, so they are restarted in another process.
    process: u32,
    next: u64,
}

impl Drop for Running {
    fn drop(&mut self) {
        // The threads of the prefetch may not exist in this process.
        if self.process != std::process::id() {
            std::mem::forget(self.prefetch.take());
        }
    }
}

impl BatchIterator {
    /// Returns the next batch, if there is one within a [`TICK`].
    fn advance(&self, running: &mut Running) -> PyResult<Next> {
        if running.process != std::process::id() {
            let ahead = Ahead { start: running.next, ..self.ahead.clone() };
            // The prefetch belongs to threads that do not exist here, so it is not even dropped.
            std::mem::forget(running.prefetch.take());
            running.prefetch = Some(Prefetch::start(self.batches.clone(), &ahead).map_err(to_python)?);
            running.process = std::process::id();
            self.process.store(running.process, Ordering::Release);
        }
        let Some(prefetch) = &running.prefetch else { return Ok(Next::End) };
        let next = prefetch.next(TICK);
        match next {
            Ok(Next::Batch(_)) => running.next = running.next.saturating_add(self.ahead.step),
            Ok(Next::Waiting) => {}
            Ok(Next::End) | Err(_) => running.prefetch = None,
        }
        next.map_err(to_python)
    }

    /// Returns the next batch, however long it takes. Checks for signals without the lock, because their handlers may
    /// want it.
    fn wait(&self) -> PyResult<Option<Batch>> {
        let mut patience = FORKED_TICKS;
        loop {
            match self.running.try_lock() {
                Ok(mut running) => match self.advance(&mut running)? {
                    Next::Batch(batch) => return Ok(Some(*batch)),
                    Next::End => return Ok(None),
                    Next::Waiting => {}
                },
                Err(TryLockError::Poisoned(_)) => return Err(internal("an earlier call of the iterator failed")),
                Err(TryLockError::WouldBlock) => {
                    std::thread::sleep(SHORT_TICK);
                    if self.process.load(Ordering::Acquire) != std::process::id() {
                        patience -= 1;
                        if patience == 0 {
                            let reason = "the process forked while another thread was waiting for this iterator's next \
                                          batch; call batches(start) in the child process";
                            return Err(to_python(Error::System { option: None, reason: reason.into() }));
                        }
                    }
                }
            }
            Python::attach(check_signals)?;
        }
    }
}

#[pymethods]
impl BatchIterator {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    /// Returns the next batch.
    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let batch = py.detach(|| self.wait())?;
        batch.map(|batch| to_arrays(py, batch, &*self.batches)).transpose()
    }
}

/// Returns the batches of all epochs of token stores, mixed by their weights.
#[pyfunction]
#[pyo3(signature = (stores, batch_size, options_json, *, weights, starts, fall=None, tokenizer=None, num_threads=None))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments")]
pub fn instance_batches(
    py: Python<'_>,
    stores: Vec<PyRef<'_, PyTokenStore>>,
    batch_size: usize,
    options_json: &str,
    weights: Vec<f64>,
    starts: Vec<u64>,
    fall: Option<(f64, u64)>,
    tokenizer: Option<&PyTokenizer>,
    num_threads: Option<i64>,
) -> PyResult<PyBatches> {
    crate::arrays::load(py)?;
    let options: InstanceOptions = instance_options(options_json)?;
    let given = tokenizer.map(|tokenizer| tokenizer.inner.clone());
    let stores: Vec<_> = stores.iter().map(|store| store.inner.clone()).collect();
    let (batches, pattern) = run(py, num_threads, None, |progress| {
        let pattern = Arc::new(Pattern::new(&weights, options.random_seed)?);
        let count = stores.len();
        let mut streams = Vec::with_capacity(count);
        for store in stores {
            let tokenizer = match &given {
                Some(tokenizer) => {
                    check_tokenizer(&store, tokenizer)?;
                    tokenizer.clone()
                }
                None => Arc::new(tokenizer_of(&store)?),
            };
            let vocab = tokenizer.vocab(options.word_boundary)?;
            let path = store.address().unwrap_or(store.directory()).to_owned();
            let stream = InstanceStream::new(store, vocab, options.clone(), progress).map_err(|error| match error {
                // With several, the message must say which one has no instances.
                Error::Input { path: None, reason } if count > 1 => Error::input_at(&path, reason),
                other => other,
            })?;
            let stream = stream.sharing(count);
            streams.push(Arc::new(match fall {
                Some((last, batches)) => stream.falling(Fall { last, batches })?,
                None => stream,
            }));
        }
        let mixture = Mixture::new(streams, pattern.clone(), starts)?;
        Ok((Batched::new(Arc::new(mixture), batch_size)?, pattern))
    })?;
    Ok(PyBatches { inner: Arc::new(batches), pattern: Some(pattern) })
}

/// Returns the batches of all epochs of record files. Remote ones are fetched into a cache first.
#[pyfunction]
#[pyo3(signature = (files, batch_size, *, seed, shuffle=true, masker=None, max_seq_length=None, vocab_size=None,
                    index_dir=None, cache_dir=None, cache_size=None, num_threads=None, progress=None))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments")]
pub fn record_batches(
    py: Python<'_>,
    files: Vec<PathBuf>,
    batch_size: usize,
    seed: u64,
    shuffle: bool,
    masker: Option<&PyMasker>,
    max_seq_length: Option<usize>,
    vocab_size: Option<u32>,
    index_dir: Option<PathBuf>,
    cache_dir: Option<PathBuf>,
    cache_size: Option<f64>,
    num_threads: Option<i64>,
    progress: Option<Py<PyAny>>,
) -> PyResult<PyBatches> {
    crate::arrays::load(py)?;
    let options = RecordOptions {
        seed,
        shuffle,
        remask: masker.map(|masker| masker.inner.clone()),
        vocab_size,
        seq_length: max_seq_length,
        index_dir,
        threads: crate::threads(num_threads)?,
        cache: cache(cache_dir, cache_size)?,
    };
    let batches = run(py, num_threads, progress, |progress| {
        Batched::new(Arc::new(RecordSource::open(&files, options, progress)?), batch_size)
    })?;
    Ok(PyBatches { inner: Arc::new(batches), pattern: None })
}
