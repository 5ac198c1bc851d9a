//! `tokenize`, `make_records`, `instances` and `RecordFile`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex};

use albert_fast_core::files::cache::Cache;
use albert_fast_core::files::inputs::OnBadUtf8;
use albert_fast_core::files::marks::is_token_store;
use albert_fast_core::files::remote::is_remote;
use albert_fast_core::instances::instance::Instance;
use albert_fast_core::instances::options::{InstanceOptions, RngKind, Shuffle};
use albert_fast_core::instances::plan::{Plan, Scratch};
use albert_fast_core::instances::reference;
use albert_fast_core::records::example::{Example, Rules, Values, decode};
use albert_fast_core::records::finish::{Completed, finish as finish_tasks};
use albert_fast_core::records::make::{Made, MakeOptions, TaskMade, make_records as make, make_records_task};
use albert_fast_core::records::tfrecord::RecordReader;
use albert_fast_core::records::write::{Compression, RecordsOptions};
use albert_fast_core::tasks::Share;
use albert_fast_core::tokens::documents::{MemoryDocuments, UNKNOWN_JOINS};
use albert_fast_core::tokens::line_encoder::LineEncoder;
use albert_fast_core::tokens::store::TokenStore;
use albert_fast_core::tokens::tokenize::{PORTION_BYTES, TokenizeOptions, tokenize as tokenize_text, tokenize_task};
use albert_fast_core::tokens::vocab::Vocab;
use albert_fast_core::{Error, NoProgress, Progress, Result};
use numpy::IntoPyArray;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::arrays::ArrayOf;
use crate::error::{internal, rule, to_python};
use crate::progress::{TICK, aside, check_signals, run};
use crate::remote::cache;
use crate::tasks::task;
use crate::tokenizer::PyTokenizer;
use crate::training::completed as trained;

/// Returns the value of a string option, by the names that serde gives it.
pub fn choice<T: serde::de::DeserializeOwned>(name: &'static str, value: &str, choices: &str) -> PyResult<T> {
    serde_json::from_value(value.into()).map_err(|_| rule(name, choices, format!("{value:?}")))
}

/// Returns `value` as the Python object that `json.loads` would make of it.
pub fn to_python_object(py: Python<'_>, value: &impl serde::Serialize) -> PyResult<Py<PyAny>> {
    let text = serde_json::to_string(value).map_err(internal)?;
    Ok(py.import("json")?.call_method1("loads", (text,))?.unbind())
}

pub fn on_bad_utf8(value: &str) -> PyResult<OnBadUtf8> {
    choice("on_bad_utf8", value, "\"error\" or \"replace\"")
}

/// Whether `format` says that inputs are text whatever they look like.
pub fn any_text(format: &str) -> PyResult<bool> {
    match format {
        "auto" => Ok(false),
        "text" => Ok(true),
        _ => Err(rule("format", "\"auto\" or \"text\"", format!("{format:?}"))),
    }
}

/// Returns inputs as the core takes them: any names that the system allows.
pub fn names(inputs: Inputs) -> Vec<OsString> {
    let paths = match inputs {
        Inputs::One(path) => vec![path],
        Inputs::Many(paths) => paths,
    };
    paths.into_iter().map(PathBuf::into_os_string).collect()
}

/// One path, or several.
#[derive(FromPyObject)]
pub enum Inputs {
    One(PathBuf),
    Many(Vec<PathBuf>),
}

/// Tokenizes a corpus into a token store, without the GIL. An interrupted call resumes when it is repeated.
///
/// inputs is a path or a list of paths: files, globs and directories, plain or compressed with gzip, bzip2, xz or zstd,
/// with one sentence per line and a blank line between documents. progress(stage, unit, done, total) is called now and
/// then. Returns what the store holds: "documents", "sentences", "tokens", ..., and "warnings". Raises AlbertFastError
/// if an input cannot be read, text is not UTF-8 (unless on_bad_utf8="replace"), the directory contains another store
/// (unless overwrite), or the disk is full. Raises KeyboardInterrupt.
#[pyfunction]
#[pyo3(signature = (inputs, output_dir, tokenizer, *, num_threads=None, on_bad_utf8="error", format="auto",
                    overwrite=false, num_tasks=None, task_id=None, portion_bytes=None, progress=None))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments")]
pub fn tokenize(
    py: Python<'_>,
    inputs: Inputs,
    output_dir: PathBuf,
    tokenizer: &PyTokenizer,
    num_threads: Option<i64>,
    on_bad_utf8: &str,
    format: &str,
    overwrite: bool,
    num_tasks: Option<u64>,
    task_id: Option<u64>,
    portion_bytes: Option<u64>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Py<PyAny>> {
    let share = Share::of(num_tasks, task_id).map_err(to_python)?;
    let options = TokenizeOptions {
        overwrite,
        on_bad_utf8: self::on_bad_utf8(on_bad_utf8)?,
        any_text: any_text(format)?,
        portion_bytes: portion_bytes.unwrap_or(PORTION_BYTES),
        ..TokenizeOptions::default()
    };
    let inputs = names(inputs);
    let tokenizer = tokenizer.inner.clone();
    let (summary, task) = run(py, num_threads, progress, |progress| {
        let encoder = LineEncoder { tokenizer: &tokenizer, reference: false };
        let Some(share) = share else {
            return Ok((tokenize_text(&inputs, &encoder, &output_dir, &options, progress)?, None));
        };
        let made = tokenize_task(&inputs, &encoder, &output_dir, &options, share, progress)?;
        Ok((made.tokenized, Some((made.state, made.is_complete))))
    })?;
    let result = dictionary(py, &summary)?;
    result.set_item("warnings", summary.notes)?;
    if let Some((state, is_complete)) = task {
        result.set_item("task", self::task(py, &state)?)?;
        result.set_item("is_complete", is_complete)?;
    }
    Ok(result.into_any().unbind())
}

/// Turns text inputs, one token store, or several with weights, into TFRecord shards and dataset.json, without the GIL.
///
/// options_json holds the fields of albert_fast.reference.Options, "rng" and "word_boundary". Returns the content of
/// dataset.json and what the run did. Raises AlbertFastError and KeyboardInterrupt. See _native.pyi.
#[pyfunction]
#[pyo3(signature = (inputs, output_dir, tokenizer, options_json, *, num_shards=None, compression="none",
                    num_threads=None, on_bad_utf8="error", format="auto", keep_store=false, overwrite=false,
                    cache_dir=None, cache_size=None, num_tasks=None, task_id=None, weights=Vec::new(),
                    progress=None))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments")]
pub fn make_records(
    py: Python<'_>,
    inputs: Inputs,
    output_dir: PathBuf,
    tokenizer: &PyTokenizer,
    options_json: &str,
    num_shards: Option<u64>,
    compression: &str,
    num_threads: Option<i64>,
    on_bad_utf8: &str,
    format: &str,
    keep_store: bool,
    overwrite: bool,
    cache_dir: Option<PathBuf>,
    cache_size: Option<f64>,
    num_tasks: Option<u64>,
    task_id: Option<u64>,
    weights: Vec<f64>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Py<PyAny>> {
    let cache = cache(cache_dir, cache_size)?;
    let share = Share::of(num_tasks, task_id).map_err(to_python)?;
    let options = MakeOptions {
        records: RecordsOptions {
            instances: instance_options(options_json)?,
            num_shards,
            compression: choice::<Compression>("compression", compression, "\"none\" or \"gzip\"")?,
            overwrite,
            ..RecordsOptions::default()
        },
        text: TokenizeOptions {
            on_bad_utf8: self::on_bad_utf8(on_bad_utf8)?,
            any_text: any_text(format)?,
            ..TokenizeOptions::default()
        },
        keep_store,
        weights,
    };
    let inputs = names(inputs);
    let tokenizer = tokenizer.inner.clone();
    let outcome = run(py, num_threads, progress, |progress| {
        // A remote store is read from its copy in the cache, which stays there as long as it is open.
        // With blocks, only what is needed of it is read.
        let reads_blocks = options.records.instances.shuffle == Shuffle::Blocks;
        let store = if reads_blocks { None } else { remote_store(&inputs, &cache, progress)? };
        let local = store.as_ref().map(|store| vec![store.directory().as_os_str().to_owned()]);
        let inputs = local.unwrap_or(inputs);
        if let Some(share) = share {
            return make_records_task(&inputs, &output_dir, &tokenizer, &options, share, progress).map(Outcome::Task);
        }
        let made = make(&inputs, &output_dir, &tokenizer, &options, progress)?;
        let address = store.as_ref().map(|store| store.address().map(Path::to_path_buf));
        Ok(Outcome::All(Made { store: address.unwrap_or(made.store), ..made }))
    })?;
    let (result, seconds, notes) = match outcome {
        Outcome::All(made) => (all_records(py, &made)?, made.seconds, made.notes),
        Outcome::Task(made) => (records_of_task(py, &made)?, made.seconds, made.notes),
    };
    let by_stage = PyDict::new(py);
    for (stage, value) in seconds {
        by_stage.set_item(stage, value)?;
    }
    result.set_item("seconds", by_stage)?;
    result.set_item("warnings", notes)?;
    Ok(result.into_any().unbind())
}

enum Outcome {
    All(Made),
    Task(TaskMade),
}

fn dictionary<'py>(py: Python<'py>, value: &impl serde::Serialize) -> PyResult<Bound<'py, PyDict>> {
    Ok(to_python_object(py, value)?.into_bound(py).cast_into::<PyDict>()?)
}

fn all_records<'py>(py: Python<'py>, made: &Made) -> PyResult<Bound<'py, PyDict>> {
    let result = dictionary(py, &made.records.dataset)?;
    result.set_item("already_complete", made.records.already_complete)?;
    result.set_item("resumed_shards", made.records.resumed_shards)?;
    result.set_item("replaced", made.replaced)?;
    result.set_item("store", &made.store)?;
    Ok(result)
}

fn records_of_task<'py>(py: Python<'py>, made: &TaskMade) -> PyResult<Bound<'py, PyDict>> {
    let done = &made.task;
    let result = match &done.dataset {
        Some(dataset) => dictionary(py, dataset)?,
        None => PyDict::new(py),
    };
    let task = task(py, &done.state)?;
    task.set_item("shards", to_python_object(py, &done.shards)?)?;
    result.set_item("task", task)?;
    result.set_item("already_complete", done.already_complete)?;
    result.set_item("resumed_shards", done.resumed_shards)?;
    result.set_item("replaced", made.replaced)?;
    result.set_item("store", py.None())?;
    Ok(result)
}

/// Completes what tasks have written to a directory, without the GIL. See _native.pyi.
#[pyfunction]
#[pyo3(signature = (directory, *, num_tasks=None, num_threads=None, progress=None))]
pub fn finish(
    py: Python<'_>,
    directory: PathBuf,
    num_tasks: Option<u64>,
    num_threads: Option<i64>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Py<PyAny>> {
    let finished = run(py, num_threads, progress, move |progress| finish_tasks(&directory, num_tasks, progress))?;
    let (kind, result, already_complete) = match finished {
        Completed::Records(it) => ("records", dictionary(py, &it.dataset)?, it.already_complete),
        Completed::Store(it) => ("token store", dictionary(py, &it.meta)?, it.already_complete),
        Completed::Corpus(it) => ("corpus", dictionary(py, &it.summary)?, it.already_complete),
        Completed::Tokenizer(it) => ("tokenizer", trained(py, &it)?, it.already_complete),
    };
    result.set_item("kind", kind)?;
    result.set_item("already_complete", already_complete)?;
    Ok(result.into_any().unbind())
}

/// Opens the store if `inputs` is one remote token store.
fn remote_store(inputs: &[OsString], cache: &Cache, progress: &mut dyn Progress) -> Result<Option<TokenStore>> {
    match inputs {
        [one] if is_remote(Path::new(one)) && is_token_store(Path::new(one))? => {
            TokenStore::open_with(Path::new(one), cache, progress).map(Some)
        }
        _ => Ok(None),
    }
}

pub fn instance_options(json: &str) -> PyResult<InstanceOptions> {
    serde_json::from_str(json).map_err(|error| internal(format!("options: {error}")))
}

/// Returns the warning of `make_records` about a limit on masked tokens that is too low, or None.
#[pyfunction]
pub fn masking_warning(options_json: &str) -> PyResult<Option<String>> {
    Ok(albert_fast_core::records::write::masking_warning(&instance_options(options_json)?))
}

/// Returns the instances of documents of ids in memory, in output order. The tests compare them with
/// albert_fast.reference.
#[pyfunction]
#[pyo3(signature = (documents, word_start, ordinary, special, options_json, word_end=None))]
pub fn instances<'py>(
    py: Python<'py>,
    documents: Vec<Vec<Vec<u32>>>,
    word_start: ArrayOf<bool>,
    ordinary: Vec<u32>,
    special: std::collections::HashMap<String, u32>,
    options_json: &str,
    word_end: Option<ArrayOf<bool>>,
) -> PyResult<Bound<'py, PyList>> {
    let options = instance_options(options_json)?;
    options.validate().map_err(to_python)?;
    let id = |name: &str| special.get(name).copied().ok_or_else(|| internal(format!("special lacks {name:?}")));
    let word_start = word_start.0;
    let vocab = Vocab {
        size: word_start.len() as u32,
        pad: id("pad")?,
        unk: id("unk")?,
        cls: id("cls")?,
        sep: id("sep")?,
        mask: id("mask")?,
        word_start,
        word_end: word_end.map_or_else(Vec::new, |ends| ends.0),
        ordinary,
    };
    let mut memory = MemoryDocuments::new();
    for (number, document) in documents.iter().enumerate() {
        for segment in document {
            if let Some(id) = segment.iter().find(|&&id| id & !UNKNOWN_JOINS >= vocab.size) {
                let wanted = format!("ids of the vocabulary, from 0 to {}", vocab.size - 1);
                return Err(rule("documents", wanted, format!("{id} in document {number}")));
            }
            memory.push_segment(segment);
        }
        memory.end_document();
    }
    let made = py.detach(|| match options.rng {
        RngKind::Reference => reference::instances(&mut memory, &vocab, &options, &mut NoProgress),
        RngKind::Fast => {
            let plan = Plan::build(&memory, &vocab, &options, 0..options.dupe_factor, &mut NoProgress)?;
            let mut scratch = Scratch::default();
            (0..plan.len())
                .map(|position| {
                    let mut instance = Instance::default();
                    plan.instance(position, &mut scratch, &mut instance)?;
                    Ok(instance)
                })
                .collect()
        }
    });
    crate::arrays::load(py)?;
    let list = PyList::empty(py);
    for instance in made.map_err(to_python)? {
        let item = PyDict::new(py);
        item.set_item("tokens", instance.tokens.into_pyarray(py))?;
        item.set_item("word_starts", instance.word_starts.into_pyarray(py))?;
        item.set_item("first_length", instance.first_length)?;
        item.set_item("is_random_next", instance.is_random_next)?;
        item.set_item("masked_positions", instance.masked_positions.into_pyarray(py))?;
        item.set_item("masked_labels", instance.masked_labels.into_pyarray(py))?;
        list.append(item)?;
    }
    Ok(list)
}

/// A record: its number, its features, and what is wrong with it.
type Checked = (u64, Example, Vec<String>);

/// Returns the next record, or `None` at the end.
fn next_record(reader: &mut RecordReader, rules: &mut Rules) -> Result<Option<Checked>> {
    Ok(Some(match reader.read() {
        Ok(None) => return Ok(None),
        Ok(Some(record)) => match decode(record.data) {
            Ok(example) => {
                rules.lengths = rules.lengths.or_else(|| Rules::lengths_of(&example));
                let problems = rules.check(&example);
                (record.index, example, problems)
            }
            Err(reason) => (record.index, Example::default(), vec![reason]),
        },
        // After data that fails its checksum, the reader can continue. After any other damage, it returns the end next.
        Err(Error::Record { record, offset, reason, .. }) => {
            (record, Example::default(), vec![format!("at byte {offset}: {reason}")])
        }
        Err(error) => return Err(error),
    }))
}

/// Records of a remote file, which a thread reads ahead. It ends when this is dropped.
struct Ahead {
    records: Receiver<Result<Option<Checked>>>,
    stop: Arc<AtomicBool>,
}

/// The most records that wait for Python.
const RECORDS_AHEAD: usize = 64;

impl Ahead {
    fn start(py: Python<'_>, path: PathBuf, mut rules: Rules) -> PyResult<Self> {
        let stop: Arc<AtomicBool> = Arc::default();
        let flag = Arc::clone(&stop);
        let mut reader = aside(py, move |_| RecordReader::open_until(path, &flag))?;
        let (sender, records) = sync_channel(RECORDS_AHEAD);
        let read = move || {
            loop {
                let record = next_record(&mut reader, &mut rules);
                let is_last = !matches!(record, Ok(Some(_)));
                if sender.send(record).is_err() || is_last {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("remote-records".into()).spawn(read);
        thread.map_err(|error| to_python(Error::threads(1, &error)))?;
        Ok(Self { records, stop })
    }

    fn next(&mut self, py: Python<'_>) -> PyResult<Option<Checked>> {
        let records = &mut self.records;
        py.detach(move || {
            loop {
                match records.recv_timeout(TICK) {
                    Ok(record) => return record.map_err(to_python),
                    // The end was returned before.
                    Err(RecvTimeoutError::Disconnected) => return Ok(None),
                    Err(RecvTimeoutError::Timeout) => Python::attach(check_signals)?,
                }
            }
        })
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

enum Reading {
    Here(RecordReader, Rules),
    Ahead(Ahead),
}

/// Iterates over the records of one TFRecord file, plain or gzip, local or remote: (number, features, problems).
///
/// problems is empty if the checksums, the features and, if given, vocab_size and cls_sep are correct. Raises
/// AlbertFastError if the file cannot be read.
#[pyclass(module = "albert_fast._native", frozen)]
pub struct RecordFile {
    inner: Mutex<Reading>,
}

#[pymethods]
impl RecordFile {
    #[new]
    #[pyo3(signature = (path, *, vocab_size=None, cls_sep=None))]
    fn new(py: Python<'_>, path: PathBuf, vocab_size: Option<u32>, cls_sep: Option<(u32, u32)>) -> PyResult<Self> {
        let rules = Rules { vocab_size, cls_sep, lengths: None };
        let reading = if is_remote(&path) {
            Reading::Ahead(Ahead::start(py, path, rules)?)
        } else {
            Reading::Here(RecordReader::open(path).map_err(to_python)?, rules)
        };
        Ok(Self { inner: Mutex::new(reading) })
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[expect(clippy::type_complexity, reason = "an iterator's item")]
    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<(u64, Bound<'py, PyDict>, Vec<String>)>> {
        crate::arrays::load(py)?;
        // Only one thread at a time may wait for a record, and it does so without the GIL.
        let mut guard = self.inner.try_lock().map_err(|_| internal("the reader is used by another thread"))?;
        let found = match &mut *guard {
            Reading::Here(reader, rules) => next_record(reader, rules).map_err(to_python)?,
            Reading::Ahead(ahead) => ahead.next(py)?,
        };
        let Some((number, example, problems)) = found else { return Ok(None) };
        let features = PyDict::new(py);
        for (name, values) in example.0 {
            match values {
                Values::Ints(values) => features.set_item(name, values.into_pyarray(py))?,
                Values::Floats(values) => features.set_item(name, values.into_pyarray(py))?,
                // Not one of the eight features, or already among the problems.
                Values::Bytes(_) | Values::Nothing => {}
            }
        }
        Ok(Some((number, features, problems)))
    }
}
