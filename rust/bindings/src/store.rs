//! `TokenStore`: a token store, open for reading.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use albert_fast_core::Error;
use albert_fast_core::files::cache::Cache;
use albert_fast_core::files::remote::is_remote;
use albert_fast_core::tokens::documents::{Documents, Ids};
use albert_fast_core::tokens::line_encoder::{store_digest, tokenizer_at, tokenizer_of};
use albert_fast_core::tokens::store::TokenStore;
use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::error::{rule, to_python};
use crate::progress::{aside, run};
use crate::remote::cache;
use crate::tokenizer::PyTokenizer;

/// A token store, open for reading: tokenized documents in memory-mapped files, as albert_fast.tokenize writes them.
///
/// TokenStore(path, *, verify=True) opens the store in a directory. With verify, every byte is read once and compared
/// with the store's checksums. len is the number of documents. document(i) returns the sentences of document i, a list
/// of arrays of ids, uint16 or uint32 of shape [tokens]. A remote store is fetched into a cache first. A store can be
/// pickled. Raises AlbertFastError if there is no store, or if it is damaged, truncated or of another version.
#[pyclass(name = "TokenStore", module = "albert_fast._native", frozen)]
pub struct PyTokenStore {
    pub inner: Arc<TokenStore>,
    cache: Cache,
}

#[pymethods]
impl PyTokenStore {
    /// Opens the store in a directory. verify reads and checks all of it once.
    #[new]
    #[pyo3(signature = (path, *, verify=true, cache_dir=None, cache_size=None, progress=None))]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        verify: bool,
        cache_dir: Option<PathBuf>,
        cache_size: Option<f64>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        // The path is used again, to load the tokenizer and after unpickling.
        let path = if is_remote(&path) { path } else { std::path::absolute(&path).unwrap_or(path) };
        let cache = cache(cache_dir, cache_size)?;
        let store = run(py, None, progress, |progress| {
            let store = TokenStore::open_with(&path, &cache, progress)?;
            if verify {
                store.verify()?;
            }
            Ok(store)
        })?;
        Ok(Self { inner: Arc::new(store), cache })
    }

    /// Opens a pickled store again. Its contents must be unchanged.
    #[staticmethod]
    #[pyo3(signature = (path, digest, cache_dir=None, cache_size=None))]
    fn _reopen(
        py: Python<'_>,
        path: PathBuf,
        digest: &str,
        cache_dir: Option<PathBuf>,
        cache_size: Option<f64>,
    ) -> PyResult<Self> {
        let store = Self::new(py, path, false, cache_dir, cache_size, None)?;
        let found = store_digest(store.inner.meta());
        if found != digest {
            let reason = format!("the store has changed since it was pickled (digest {digest} then, {found} now)");
            return Err(to_python(Error::data(store.inner.address().unwrap_or(store.inner.directory()), reason)));
        }
        Ok(store)
    }

    #[expect(clippy::type_complexity, reason = "what pickle asks for")]
    fn __reduce__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyAny>, (OsString, String, Option<PathBuf>, Option<f64>))> {
        let path = self.inner.address().unwrap_or(self.inner.directory()).as_os_str().to_owned();
        let size = self.cache.size.map(|bytes| bytes as f64 / f64::from(1 << 30));
        let arguments = (path, self.digest(), self.cache.directory.clone(), size);
        Ok((PyType::new::<Self>(py).getattr("_reopen")?, arguments))
    }

    /// Returns the number of documents.
    fn __len__(&self) -> usize {
        self.inner.num_documents() as usize
    }

    /// Returns the sentences of a document: a list of arrays of ids, uint16 or uint32.
    fn document<'py>(&self, py: Python<'py>, index: i64) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let count = self.inner.num_documents();
        let number = u64::try_from(index).ok().filter(|&number| number < count);
        let number = number.ok_or_else(|| rule("index", format!("from 0 to {}", count.saturating_sub(1)), index))?;
        self.inner.check_document(number).map_err(to_python)?;
        crate::arrays::load(py)?;
        let document = self.inner.document(number);
        (0..document.segments())
            .map(|segment| {
                let range = document.segment_start(segment) as usize..document.segment_start(segment + 1) as usize;
                Ok(match document.ids {
                    Ids::U16(ids) => PyArray1::from_slice(py, &ids[range]).into_any(),
                    Ids::U32(ids) => PyArray1::from_slice(py, &ids[range]).into_any(),
                })
            })
            .collect()
    }

    /// Returns the tokenizer that the store was made with, from the copy in the store.
    fn tokenizer(&self, py: Python<'_>) -> PyResult<PyTokenizer> {
        py.detach(|| tokenizer_of(&self.inner)).map(PyTokenizer::new).map_err(to_python)
    }

    /// Reads and checks all of the store.
    fn verify(&self, py: Python<'_>) -> PyResult<()> {
        run(py, None, None, |_| self.inner.verify())
    }

    /// The directory. For a remote store, it is that of the copy in the cache.
    #[getter]
    fn path(&self) -> PathBuf {
        self.inner.directory().to_path_buf()
    }

    /// The address of a remote store. None if the store is local.
    #[getter]
    fn address(&self) -> Option<OsString> {
        self.inner.address().map(|address| address.as_os_str().to_owned())
    }

    /// The number of documents.
    #[getter]
    fn num_documents(&self) -> u64 {
        self.inner.num_documents()
    }

    /// The number of sentences.
    #[getter]
    fn num_sentences(&self) -> u64 {
        self.inner.num_sentences()
    }

    /// The number of tokens.
    #[getter]
    fn num_tokens(&self) -> u64 {
        self.inner.num_tokens()
    }

    /// The number of pieces in the vocabulary.
    #[getter]
    fn vocab_size(&self) -> u32 {
        self.inner.meta().vocab_size
    }

    /// The digest of the tokenizer that the store was made with.
    #[getter]
    fn tokenizer_digest(&self) -> &str {
        self.inner.tokenizer_digest()
    }

    /// The digest of the contents.
    #[getter]
    fn digest(&self) -> String {
        store_digest(self.inner.meta())
    }

    fn __repr__(&self) -> String {
        format!(
            "TokenStore({:?}, documents={}, sentences={}, tokens={})",
            self.inner.address().unwrap_or(self.inner.directory()).display().to_string(),
            self.inner.num_documents(),
            self.inner.num_sentences(),
            self.inner.num_tokens()
        )
    }
}

/// Returns the tokenizer that a token store was made with. Nothing else of the store is read, even if it is remote.
#[pyfunction]
pub fn store_tokenizer(py: Python<'_>, path: PathBuf) -> PyResult<PyTokenizer> {
    aside(py, move |_| tokenizer_at(&path)).map(PyTokenizer::new)
}
