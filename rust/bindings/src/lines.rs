//! `Lines`: the preprocessed lines of text inputs, to train a tokenizer on.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use albert_fast_core::files::inputs::OnBadUtf8;
use albert_fast_core::files::remote::is_remote;
use albert_fast_core::tokens::changes::changes;
use albert_fast_core::tokens::corpus::{Block, BlockReader, Corpus, MAX_LINE, expand_corpus};
use albert_fast_core::tokens::tokenizer::TextRules;
use albert_fast_core::{Error, Result};
use pyo3::prelude::*;

use crate::error::{internal, to_python};
use crate::progress::aside;
use crate::records::{Inputs, any_text, names, on_bad_utf8, to_python_object};

const BLOCK_BYTES: usize = 1 << 20;

/// Iterates over the lines of the inputs that are not blank under the reference's text rules.
///
/// Raises AlbertFastError if an input cannot be read or, with on_bad_utf8="error", if a line is not UTF-8.
#[pyclass(module = "albert_fast._native", frozen)]
pub struct Lines {
    inner: Arc<Mutex<Reader>>,
    /// An input is remote, so that reading may wait for a server.
    is_remote: bool,
    /// Notes for the user about the inputs, such as skipped files of a directory.
    #[pyo3(get)]
    notes: Vec<String>,
}

struct Reader {
    blocks: BlockReader,
    block: Block,
    ready: VecDeque<String>,
    rules: TextRules,
    on_bad_utf8: OnBadUtf8,
}

impl Reader {
    /// Reads on until a line is ready, or to the end.
    fn fill(&mut self) -> Result<()> {
        while self.ready.is_empty() {
            if !self.blocks.next_block(&mut self.block)? {
                return Ok(());
            }
            for piece in &self.block.pieces {
                for text in piece.texts(&self.block.data, self.blocks.files(), self.on_bad_utf8) {
                    let mut out = String::new();
                    self.rules.preprocess(&text?, &mut out);
                    if !out.is_empty() {
                        self.ready.push_back(out);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Counts what the text rules change in a sample of the inputs. Returns the fields of the core's `Changes` as a dict.
///
/// Standard input and pipes, which can be read only once, are skipped. Raises AlbertFastError if an input does not
/// exist.
#[pyfunction]
#[pyo3(signature = (inputs, *, lower_case=true, keep_accents=false))]
pub fn text_changes(py: Python<'_>, inputs: Inputs, lower_case: bool, keep_accents: bool) -> PyResult<Py<PyAny>> {
    let inputs = names(inputs);
    let rules = TextRules { lower_case, keep_accents };
    let found = aside(py, move |_| Ok(changes(&expand_corpus(&inputs)?.files, rules)))?;
    to_python_object(py, &found)
}

/// Refuses an output inside an input. Otherwise it would be read as input, by this command or the next one.
///
/// Raises AlbertFastError.
#[pyfunction]
pub fn refuse_output_in_input(inputs: Inputs, output: PathBuf) -> PyResult<()> {
    albert_fast_core::files::inputs::refuse_output_in_input(&names(inputs), &output).map_err(to_python)
}

#[pymethods]
impl Lines {
    #[new]
    #[pyo3(signature = (inputs, *, lower_case=true, keep_accents=false, on_bad_utf8="error", format="auto"))]
    fn new(
        py: Python<'_>,
        inputs: Inputs,
        lower_case: bool,
        keep_accents: bool,
        on_bad_utf8: &str,
        format: &str,
    ) -> PyResult<Self> {
        let inputs = names(inputs);
        let Corpus { files, notes } = aside(py, move |_| expand_corpus(&inputs))?;
        Ok(Self {
            notes,
            is_remote: files.iter().any(|file| is_remote(&file.path)),
            inner: Arc::new(Mutex::new(Reader {
                blocks: BlockReader::new(files, BLOCK_BYTES, MAX_LINE, false).taking(any_text(format)?),
                block: Block::default(),
                ready: VecDeque::new(),
                rules: TextRules { lower_case, keep_accents },
                on_bad_utf8: self::on_bad_utf8(on_bad_utf8)?,
            })),
        })
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<String>> {
        py.check_signals()?;
        let lock = || self.inner.lock().map_err(|_| internal("an earlier call of the reader failed"));
        // Reading may wait for a pipe or a server, and signals arrive on the main thread.
        let line = py.detach(|| {
            let mut reader = lock()?;
            if reader.ready.is_empty() && !self.is_remote {
                reader.fill().map_err(to_python)?;
            }
            PyResult::Ok(reader.ready.pop_front())
        })?;
        if line.is_some() || !self.is_remote {
            return Ok(line);
        }
        let reader = Arc::clone(&self.inner);
        aside(py, move |_| {
            let mut reader =
                reader.lock().map_err(|_| Error::Internal("an earlier call of the reader failed".into()))?;
            reader.fill()?;
            Ok(reader.ready.pop_front())
        })
    }

    /// The number of bytes read so far, counted as they are on disk.
    #[getter]
    fn bytes_read(&self) -> PyResult<u64> {
        Ok(self.inner.lock().map_err(|_| internal("an earlier call of the reader failed"))?.blocks.bytes_read())
    }

    /// The number of bytes in all inputs, or 0 if it is unknown.
    #[getter]
    fn total_bytes(&self) -> PyResult<u64> {
        Ok(self.inner.lock().map_err(|_| internal("an earlier call of the reader failed"))?.blocks.bytes_total())
    }
}
