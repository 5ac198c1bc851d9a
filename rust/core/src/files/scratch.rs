//! Local directories for what a command keeps on disk while its output is remote.

use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_128;

use super::atomic::create_directory;
use super::remote::{Address, is_remote, public};
use crate::{Error, Result};

/// Returns the directory for the cache: `$ALBERT_FAST_CACHE`, or `albert-fast` in the user's directory for caches.
///
/// # Errors
/// [`Error::System`] if the environment names neither a cache nor a home.
pub(crate) fn cache() -> Result<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let directory = variable("ALBERT_FAST_CACHE")
        .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("albert-fast")))
        .or_else(|| Some(variable("HOME")?.join(".cache/albert-fast")));
    let failed = |reason: String| Error::System { option: None, reason };
    let directory = directory
        .ok_or_else(|| failed("cannot find a directory for the cache: set ALBERT_FAST_CACHE or HOME".into()))?;
    if is_remote(&directory) {
        let directory = public(&directory);
        return Err(failed(format!("ALBERT_FAST_CACHE must be a local directory, got {}", directory.display())));
    }
    Ok(directory)
}

/// Returns the local directory in which a command keeps the intermediate files of the remote `output`. The same output
/// always has the same directory, so a command that is run again finds what it left.
///
/// # Errors
/// As [`cache`].
pub(crate) fn beside(output: &Address) -> Result<PathBuf> {
    Ok(cache()?.join("work").join(format!("{:032x}", xxh3_128(output.to_string().as_bytes()))))
}

/// Removes the directory of `output` if it is empty.
pub(crate) fn tidy(output: &Path) {
    if let Ok(Some(address)) = Address::of(output)
        && let Ok(directory) = beside(&address)
    {
        let _ = std::fs::remove_dir(directory);
    }
}

/// Creates the directory of `output`, and returns it. For a local output, that is the output's directory itself.
///
/// # Errors
/// As [`cache`]; [`Error::Io`] if the directory cannot be created.
pub(crate) fn of_directory(output: &Path) -> Result<PathBuf> {
    let directory = match Address::of(output)? {
        Some(address) => beside(&address)?,
        None => output.to_path_buf(),
    };
    create_directory(&directory)?;
    Ok(directory)
}
