//! Finds remote record files, and fetches them into the cache.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};

use crate::files::cache::{Cache, File, Kept, Wanted, waiting};
use crate::files::remote::{self, Address, Failure, FailureKind, Object, Scheme};
use crate::{Error, Progress, Result};

/// The file in which `make-records` describes its records.
const DATASET: &str = "dataset.json";
/// The description of other records in the cache.
const LISTING: &str = ".listing.json";
/// The most requests about files at the same time.
const REQUESTS: usize = 16;

/// What counts here in a `dataset.json`.
#[derive(Deserialize)]
struct Dataset {
    shards: Vec<Shard>,
}

#[derive(Deserialize)]
struct Shard {
    file: String,
    bytes: u64,
    xxh3_128: String,
}

/// Which versions of which files of a directory belong together.
#[derive(Serialize)]
struct Listing<'a> {
    address: String,
    files: Vec<(&'a str, Option<u64>, Option<&'a str>)>,
}

/// Returns `paths` with local copies in place of remote files, and what keeps these copies.
///
/// The checksums of files that a `dataset.json` next to them lists are verified. Other files are identified by address,
/// size and version, so that a changed file is fetched again.
///
/// # Errors
/// Those of [`Cache::fetch`]; [`Error::Io`] if there is no such file.
pub(super) fn local(
    paths: &[PathBuf],
    cache: &Cache,
    progress: &mut dyn Progress,
) -> Result<(Vec<PathBuf>, Vec<Kept>)> {
    // The numbers of the paths in each directory.
    let mut directories: BTreeMap<String, (Address, Vec<(usize, Address)>)> = BTreeMap::new();
    for (number, path) in paths.iter().enumerate() {
        if let Some(address) = Address::of(path)? {
            let directory = parent(&address);
            let (_, files) = directories.entry(directory.to_string()).or_insert_with(|| (directory, Vec::new()));
            files.push((number, address));
        }
    }
    let (mut paths, mut all) = (paths.to_vec(), Vec::new());
    for (directory, files) in directories.into_values() {
        let names: Vec<_> = files.iter().map(|(_, address)| address.clone()).collect();
        let at = directory.clone();
        let (listed, others) = waiting(progress, move || describe(&at, &names))?;
        let mut listed_in = BTreeMap::new();
        for wanted in [listed, others].into_iter().flatten() {
            let kept = cache.fetch(&wanted, progress)?;
            for file in wanted.files {
                listed_in.insert(file.name, kept.directory().to_path_buf());
            }
            all.push(kept);
        }
        for (number, address) in files {
            if let Some(directory) = listed_in.get(address.name()) {
                paths[number] = directory.join(address.name());
            }
        }
    }
    Ok((paths, all))
}

/// Returns the address of the directory that a file is in.
fn parent(address: &Address) -> Address {
    address.with_key(address.key.rsplit_once('/').map_or("", |(directory, _)| directory))
}

/// Returns what to fetch for `files` of `directory`: those that a `dataset.json` lists, and the others.
fn describe(directory: &Address, files: &[Address]) -> Result<(Option<Wanted>, Option<Wanted>)> {
    let manifest = dataset(directory)?;
    let mut listed = BTreeMap::new();
    for shard in manifest.iter().flat_map(|(_, dataset)| &dataset.shards) {
        let (bytes, xxh3_128) = (Some(shard.bytes), Some(shard.xxh3_128.clone()));
        let file = File { name: shard.file.clone(), bytes, version: None, xxh3_128 };
        listed.insert(shard.file.clone(), file);
    }
    let (known, unknown): (Vec<_>, Vec<_>) = files.iter().partition(|address| listed.contains_key(address.name()));
    let known: Vec<_> = known.iter().filter_map(|address| listed.remove(address.name())).collect();
    let wanted = |(name, content): (&str, Vec<u8>), files: Vec<File>| {
        (!files.is_empty()).then(|| Wanted { address: directory.clone(), manifest: (name.into(), content), files })
    };
    let mut others = find_all(&unknown)?;
    others.sort_by(|one, other| one.name.cmp(&other.name));
    others.dedup();
    let listing = Listing {
        address: directory.to_string(),
        files: others.iter().map(|file| (file.name.as_str(), file.bytes, file.version.as_deref())).collect(),
    };
    let listing = serde_json::to_vec_pretty(&listing)
        .map_err(|source| Error::io("cannot describe", directory.path(), source.into()))?;
    let text = manifest.map(|(text, _)| text).unwrap_or_default();
    Ok((wanted((DATASET, text), known), wanted((LISTING, listing), others)))
}

/// Returns the `dataset.json` in a directory: its bytes, and what they say. `None` if there is none that can be used.
fn dataset(directory: &Address) -> Result<Option<(Vec<u8>, Dataset)>> {
    let text = match remote::bytes(&directory.join(DATASET)) {
        // Who may not list a bucket is not told that an object does not exist.
        Err(Error::Io { source, .. }) if Failure::of(&source).is_some_and(|it| it.kind == FailureKind::Refused) => None,
        text => text?,
    };
    Ok(text.and_then(|text| serde_json::from_slice(&text).ok().map(|dataset| (text, dataset))))
}

/// Asks for the sizes and versions of files, several at a time.
fn find_all(addresses: &[&Address]) -> Result<Vec<File>> {
    let next = AtomicUsize::new(0);
    let one = |address: &Address| match Object::find(address)? {
        Some(Object { bytes, version, .. }) => {
            Ok(File { name: address.name().into(), bytes: Some(bytes), version, xxh3_128: None })
        }
        None => Err(Error::io("cannot read", address.path(), std::io::ErrorKind::NotFound.into())),
    };
    let work = || {
        let mut found = Vec::new();
        while let Some(address) = addresses.get(next.fetch_add(1, Ordering::Relaxed)) {
            found.push(one(address)?);
        }
        Ok(found)
    };
    let found: Vec<Result<Vec<File>>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..REQUESTS.min(addresses.len())).map(|_| scope.spawn(work)).collect();
        let stopped = || Err(Error::Internal("a request panicked".into()));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| stopped())).collect()
    });
    Ok(found.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// Returns the remote record files that `path` names, sorted: an object, the `*.tfrecord*` files in a directory, or what
/// a glob pattern matches, with directories in the same way. There may be none.
///
/// A web server lists nothing. There, a directory is known by its `dataset.json`.
///
/// # Errors
/// [`Error::Io`] if the server refuses or does not answer; [`Error::Input`] if `path` is not an address or pattern.
pub fn find(path: &Path) -> Result<Vec<PathBuf>> {
    let address = Address::parse(path)?;
    let is_pattern = address.scheme != Scheme::Web && address.key.contains(['*', '?', '[']);
    if is_pattern {
        return matching(&address);
    }
    if Object::find(&address)?.is_some() {
        return Ok(vec![path.into()]);
    }
    let directory = address.with_key(address.key.trim_end_matches('/'));
    if address.scheme == Scheme::Web {
        let shards = dataset(&directory)?.map(|(_, dataset)| dataset.shards).unwrap_or_default();
        return Ok(shards.iter().map(|shard| directory.join(&shard.file).path()).collect());
    }
    let (names, _) = remote::children(&directory)?;
    Ok(names.iter().filter(|name| is_record_file(name)).map(|name| directory.join(name).path()).collect())
}

/// Whether a file of a directory is one of its record files.
fn is_record_file(name: &str) -> bool {
    name.contains(".tfrecord") && !name.starts_with('.')
}

fn matching(address: &Address) -> Result<Vec<PathBuf>> {
    let key = address.key.trim_end_matches('/');
    let wrong = |error: glob::PatternError| {
        let reason = format!("not a glob pattern: {} at character {}", error.msg, error.pos + 1);
        Error::input_at(address.path(), reason)
    };
    let pattern = glob::Pattern::new(key).map_err(wrong)?;
    let options =
        glob::MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };
    let fixed = &key[..key.find(['*', '?', '[']).unwrap_or(key.len())];
    let directory = fixed.rsplit_once('/').map_or("", |(directory, _)| directory);
    let objects = remote::below(&address.with_key(directory))?;
    let matches = |object: &Address| {
        let is_below =
            |(directory, name): (&str, &str)| is_record_file(name) && pattern.matches_with(directory, options);
        pattern.matches_with(&object.key, options) || object.key.rsplit_once('/').is_some_and(is_below)
    };
    let found = objects.into_iter().map(|object| object.address);
    Ok(found.filter(matches).map(|address| address.path()).collect())
}
