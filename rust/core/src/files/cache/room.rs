//! Makes room in the cache: removes entries that nobody uses, the least recently used ones first.

use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::locks::{Access, lock, try_lock};
use super::{STAGE, unwritable};
use crate::files::atomic;
use crate::{Error, Progress, Result};

/// The file in an entry that says what it is.
const NOTE: &str = ".entry.json";

/// The bytes of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Needed {
    /// Where it is fetched from.
    pub address: String,
    /// The bytes of each wanted file.
    pub files: Vec<u64>,
    /// The bytes that are still to come.
    pub missing: u64,
    /// The bytes of all files in the entry when it is complete, also of those that others wanted.
    pub total: u64,
}

#[derive(Serialize, Deserialize)]
struct Note {
    address: String,
    bytes: u64,
}

struct Entry {
    name: String,
    bytes: u64,
    used: SystemTime,
}

/// Removes unused entries of `root` until `needed` fits into `size` bytes, and reserves them for the entry `name`.
///
/// # Errors
/// [`Error::Rule`] if `size` is too small; [`Error::System`] if the disk has no room; [`Error::Interrupted`].
pub(super) fn make(
    root: &Path,
    name: &str,
    needed: &Needed,
    size: Option<u64>,
    progress: &mut dyn Progress,
) -> Result<()> {
    let _lock = lock(root, ".lock", Access::Exclusive, &mut || progress.report(STAGE, "bytes", 0, 0))?;
    if let Some(size) = size {
        shrink(root, name, needed, size)?;
    }
    if let Some(free) = free_bytes(root)
        && free < needed.missing
    {
        let (address, missing, free) = (&needed.address, gibibytes(needed.missing), gibibytes(free));
        let reason = format!(
            "the cache directory {} has no room for {address}: {missing} GiB are missing, and {free} GiB are free; free \
             some space, or pass another `cache_dir`",
            root.display()
        );
        return Err(Error::System { option: Some("cache_dir"), reason });
    }
    let note = Note { address: needed.address.clone(), bytes: needed.total };
    atomic::write_json(root.join(name).join(NOTE), &note).map_err(|error| unwritable(root, error))
}

fn shrink(root: &Path, name: &str, needed: &Needed, size: u64) -> Result<()> {
    let rule = |what: &str, bytes: u64| {
        Error::rule_with_fix(
            "cache_size",
            format!("at least {} GiB, the size of {}{what}", gibibytes(bytes), needed.address),
            format!("{} GiB", rounded(size as f64 / f64::from(1 << 30))),
            "pass a larger `cache_size`",
        )
    };
    if needed.total > size {
        return Err(rule("", needed.total));
    }
    let mut others = entries(root).map_err(|source| Error::io("cannot read the directory", root, source))?;
    others.retain(|entry| entry.name != name);
    others.sort_by_key(|entry| entry.used);
    let mut bytes: u64 = others.iter().map(|entry| entry.bytes).sum();
    for entry in others {
        if bytes + needed.total <= size {
            break;
        }
        if remove(root, &entry.name)? {
            bytes -= entry.bytes;
        }
    }
    if bytes + needed.total > size {
        return Err(rule(" and of what other commands use", bytes + needed.total));
    }
    Ok(())
}

/// Removes an entry. Returns `false` if it is used.
fn remove(root: &Path, name: &str) -> Result<bool> {
    let used = format!(".{name}.used");
    // Without locks, there is no telling whether it is used.
    let Some(_lock) = try_lock(root, &used, Access::Exclusive)?.filter(super::Lock::is_exclusive) else {
        return Ok(false);
    };
    let directory = root.join(name);
    std::fs::remove_dir_all(&directory).map_err(|source| Error::io("cannot remove", &directory, source))?;
    for file in [format!(".{name}.fetched"), used] {
        atomic::remove(&root.join(file))?;
    }
    Ok(true)
}

fn entries(root: &Path) -> std::io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !is_name(&name) || !entry.file_type()?.is_dir() {
            continue;
        }
        let note = std::fs::read(entry.path().join(NOTE)).ok().and_then(|it| serde_json::from_slice::<Note>(&it).ok());
        let bytes = note.map_or_else(|| stored(&entry.path()), |note| note.bytes);
        let used = std::fs::metadata(root.join(format!(".{name}.used"))).and_then(|it| it.modified());
        entries.push(Entry { name, bytes, used: used.unwrap_or(SystemTime::UNIX_EPOCH) });
    }
    Ok(entries)
}

/// Whether this is the name of an entry. Other directories are not ours.
fn is_name(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Returns the bytes of the files in a directory.
pub(super) fn stored(directory: &Path) -> u64 {
    let files = std::fs::read_dir(directory).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).filter(std::fs::Metadata::is_file).map(|file| file.len()).sum()
}

/// Returns bytes in GiB, rounded up to hundredths.
fn gibibytes(bytes: u64) -> f64 {
    (bytes as f64 / f64::from(1 << 30) * 100.0).ceil() / 100.0
}

/// Returns a value below 1 as the user may have written it: with two digits that are not 0.
fn rounded(value: f64) -> f64 {
    let scale = 10_f64.powf(1.0 - value.log10().floor().min(0.0));
    (value * scale).round() / scale
}

/// Returns the bytes that this process may still write to the file system of `directory`, if it tells.
#[cfg(unix)]
fn free_bytes(directory: &Path) -> Option<u64> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(directory.as_os_str().as_bytes()).ok()?;
    let mut found = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `path` ends with a zero, and the call fills `found` if it returns 0.
    let found = unsafe {
        if libc::statvfs(path.as_ptr(), found.as_mut_ptr()) != 0 {
            return None;
        }
        found.assume_init()
    };
    // Some network file systems tell no sizes at all.
    (found.f_blocks > 0).then_some(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> Option<u64> {
    None
}
