//! Remote files for Python: whole small objects, copies, listings, and the cache.

use std::ffi::OsString;
use std::path::PathBuf;

use albert_fast_core::files::cache::Cache;
use albert_fast_core::files::{copy, remote};
use albert_fast_core::records::fetch;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::{rule, to_python};
use crate::progress::aside;

/// Returns the cache with the values of the options `cache_dir` and `cache_size`, which is in GiB.
pub fn cache(directory: Option<PathBuf>, size: Option<f64>) -> PyResult<Cache> {
    match size {
        Some(size) if !(size.is_finite() && size > 0.0) => Err(rule("cache_size", "a number above 0", size)),
        _ => Ok(Cache { directory, size: size.map(|size| (size * f64::from(1 << 30)) as u64) }),
    }
}

/// Returns whether path names a remote file or directory: s3://, gs://, az://, abfs://, http(s):// or hf://.
#[pyfunction]
pub fn is_remote(path: PathBuf) -> bool {
    remote::is_remote(&path)
}

/// Returns path as it may be shown and noted down: a web address without the user's name, password and query. The
/// process remembers them, so the result can still be read.
#[pyfunction]
pub fn public_path(path: PathBuf) -> PyResult<OsString> {
    // Not a path, because pathlib would make one slash of two.
    remote::shown(&path).map(PathBuf::into_os_string).map_err(to_python)
}

/// Returns all bytes of a remote file, or None if it does not exist. Raises AlbertFastError.
#[pyfunction]
pub fn remote_read(py: Python<'_>, path: PathBuf) -> PyResult<Option<Py<PyBytes>>> {
    let bytes = aside(py, move |_| remote::read_all(&path))?;
    Ok(bytes.map(|bytes| PyBytes::new(py, &bytes).unbind()))
}

/// Returns the size of a remote file in bytes, or None if it does not exist. Raises AlbertFastError.
#[pyfunction]
pub fn remote_size(py: Python<'_>, path: PathBuf) -> PyResult<Option<u64>> {
    aside(py, move |_| remote::size_of(&path))
}

/// Writes a remote file whole, and replaces what is there; with create, only if there is none. Returns whether it was
/// written. Raises AlbertFastError.
#[pyfunction]
#[pyo3(signature = (path, data, *, create=false))]
pub fn remote_write(py: Python<'_>, path: PathBuf, data: Vec<u8>, create: bool) -> PyResult<bool> {
    aside(py, move |_| remote::write_all(&path, &data, create))
}

/// Returns the files below a remote directory, sorted: name relative to the directory, size in bytes, and version (ETag)
/// if the server tells it. Raises AlbertFastError.
#[pyfunction]
pub fn remote_list(py: Python<'_>, directory: PathBuf) -> PyResult<Vec<(String, u64, Option<String>)>> {
    aside(py, move |_| remote::list_all(&directory))
}

/// Removes a remote file. It is not an error if it does not exist. Raises AlbertFastError.
#[pyfunction]
pub fn remote_remove(py: Python<'_>, path: PathBuf) -> PyResult<()> {
    aside(py, move |_| remote::remove_file(&path))
}

/// Copies a local file to a remote one, which appears whole or not at all, in place of an existing one. Raises
/// AlbertFastError.
#[pyfunction]
pub fn remote_upload(py: Python<'_>, file: PathBuf, path: PathBuf) -> PyResult<()> {
    aside(py, move |stop| copy::upload(&file, &path, stop))
}

/// Copies a remote file to a local one, which appears whole or not at all, in place of an existing one. Raises
/// AlbertFastError, also if there is no remote file.
#[pyfunction]
pub fn remote_download(py: Python<'_>, path: PathBuf, file: PathBuf) -> PyResult<()> {
    aside(py, move |stop| copy::download(&path, &file, stop))
}

/// Returns the remote record files that path names, sorted: a file, the *.tfrecord* files in a directory, or what a glob
/// matches. The list may be empty. Raises AlbertFastError.
#[pyfunction]
pub fn remote_records(py: Python<'_>, path: PathBuf) -> PyResult<Vec<OsString>> {
    let found = aside(py, move |_| fetch::find(&path))?;
    Ok(found.into_iter().map(PathBuf::into_os_string).collect())
}
