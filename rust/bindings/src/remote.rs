//! Remote files for Python: whole small objects and listings.

use std::path::PathBuf;

use albert_fast_core::files::remote;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::to_python;

/// Returns whether path names a remote file or directory: s3://, gs://, az://, abfs://, http(s):// or hf://.
#[pyfunction]
pub fn is_remote(path: PathBuf) -> bool {
    remote::is_remote(&path)
}

/// Returns path as it may be shown and noted down: a web address without the user's name, password and query. The
/// process remembers them, so the result can still be read.
#[pyfunction]
pub fn public_path(path: PathBuf) -> PyResult<PathBuf> {
    remote::shown(&path).map_err(to_python)
}

/// Returns all bytes of a remote file, or None if it does not exist. Raises AlbertFastError.
#[pyfunction]
pub fn remote_read(py: Python<'_>, path: PathBuf) -> PyResult<Option<Py<PyBytes>>> {
    let bytes = py.detach(|| remote::read_all(&path)).map_err(to_python)?;
    Ok(bytes.map(|bytes| PyBytes::new(py, &bytes).unbind()))
}

/// Returns the size of a remote file in bytes, or None if it does not exist. Raises AlbertFastError.
#[pyfunction]
pub fn remote_size(py: Python<'_>, path: PathBuf) -> PyResult<Option<u64>> {
    py.detach(|| remote::size_of(&path)).map_err(to_python)
}

/// Writes a remote file whole, and replaces what is there; with create, only if there is none. Returns whether it was
/// written. Raises AlbertFastError.
#[pyfunction]
#[pyo3(signature = (path, data, *, create=false))]
pub fn remote_write(py: Python<'_>, path: PathBuf, data: &[u8], create: bool) -> PyResult<bool> {
    py.detach(|| remote::write_all(&path, data, create)).map_err(to_python)
}

/// Returns the files below a remote directory, sorted: name relative to the directory, size in bytes, and version (ETag)
/// if the server tells it. Raises AlbertFastError.
#[pyfunction]
pub fn remote_list(py: Python<'_>, directory: PathBuf) -> PyResult<Vec<(String, u64, Option<String>)>> {
    py.detach(|| remote::list_all(&directory)).map_err(to_python)
}

/// Removes a remote file. It is not an error if it does not exist. Raises AlbertFastError.
#[pyfunction]
pub fn remote_remove(py: Python<'_>, path: PathBuf) -> PyResult<()> {
    py.detach(|| remote::remove_file(&path)).map_err(to_python)
}
