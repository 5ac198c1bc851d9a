//! Notes of complete shards, each in a file of its own: in buckets, where nothing can be appended to a file, and wherever
//! several tasks write to one directory.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::Origin;
use super::dataset::{Shard, is_shard_name, shard_name};
use super::header::Header;
use crate::Result;
use crate::files::atomic;
use crate::files::raw::{names, read as read_file, size};
use crate::files::remote::{self, Address, Listed};
use crate::files::resume::{Difference, Replace, check_same, not_ours};

/// The directory of the notes.
pub(super) const DIRECTORY: &str = "make-records.partial";
/// What `dataset.json` needs in addition to the header and the shards: an [`Origin`].
const ORIGIN: &str = "origin.json";

/// A complete shard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Marker {
    shard: Shard,
    /// The version (`ETag`) of the object. A local file has none.
    version: Option<String>,
}

/// The files in a directory of records. A bucket lists all of them at once.
pub(super) enum Files<'a> {
    Local(&'a Path),
    Remote {
        /// The objects by their names.
        objects: HashMap<String, Listed>,
        /// The names of the markers.
        markers: Vec<Address>,
    },
}

impl<'a> Files<'a> {
    pub fn of(directory: &'a Path) -> Result<Self> {
        let Some(address) = Address::of(directory)? else { return Ok(Self::Local(directory)) };
        let (markers, objects): (Vec<_>, Vec<_>) =
            remote::below(&address)?.into_iter().partition(|it| it.address.parent().name() == DIRECTORY);
        let objects = objects.into_iter().map(|it| (it.address.name().to_owned(), it)).collect();
        Ok(Self::Remote { objects, markers: markers.into_iter().map(|it| it.address).collect() })
    }

    /// Returns the size of a file.
    pub fn size(&self, name: &str) -> Result<Option<u64>> {
        match self {
            Self::Local(directory) => size(&directory.join(name)),
            Self::Remote { objects, .. } => Ok(objects.get(name).map(|it| it.bytes)),
        }
    }

    /// Returns the shards in `range` that have a marker. An object must be the noted one.
    pub fn marked(&self, header: &Header, range: Range<u64>) -> Result<Vec<Shard>> {
        let count = header.num_shards().unwrap_or_default() as u64;
        let range = range.start..range.end.min(count);
        let file = |index| format!("{}.json", shard_name(index, count, header.compression()));
        let texts: Vec<_> = match self {
            Self::Local(directory) => {
                let directory = directory.join(DIRECTORY);
                range.into_par_iter().map(|index| read_file(&directory.join(file(index)))).collect::<Result<_>>()?
            }
            Self::Remote { markers, .. } => {
                let there: HashMap<_, _> = markers.iter().map(|it| (it.name(), it)).collect();
                let wanted: Vec<_> = range.filter_map(|index| there.get(file(index).as_str())).collect();
                wanted.into_par_iter().map(|it| remote::bytes(it)).collect::<Result<_>>()?
            }
        };
        let markers = texts.into_iter().flatten().filter_map(|text| serde_json::from_slice::<Marker>(&text).ok());
        Ok(markers.filter(|it| self.has_version(it)).map(|it| it.shard).collect())
    }

    fn has_version(&self, marker: &Marker) -> bool {
        match self {
            Self::Local(_) => true,
            Self::Remote { objects, .. } => {
                objects.get(&marker.shard.file).is_some_and(|object| object.version == marker.version)
            }
        }
    }
}

/// Notes that a shard is complete. `version` is that of a remote object.
pub(super) fn add(directory: &Path, shard: &Shard, version: Option<String>) -> Result<()> {
    let path = directory.join(DIRECTORY).join(format!("{}.json", shard.file));
    atomic::write_json_apart(&path, &Marker { shard: shard.clone(), version })
}

/// Returns the names of the shards that have a marker.
pub(super) fn marked_names(directory: &Path) -> Result<Vec<String>> {
    let names = names(&directory.join(DIRECTORY))?.into_iter();
    let shard = |name: String| name.strip_suffix(".json").map(str::to_owned).filter(|name| is_shard_name(name));
    Ok(names.filter_map(shard).collect())
}

/// Notes the origin of the records, if no other task has.
///
/// # Errors
/// [`Error::Exists`] if the directory has the records of another corpus; [`Error::Io`].
pub(super) fn keep_origin(directory: &Path, origin: &Origin) -> Result<()> {
    let path = origin_path(directory);
    if atomic::write_json_new(&path, origin)? {
        return Ok(());
    }
    // The name of the tokenizer's file may differ, and the first task decides what dataset.json calls it. What is in it
    // has been compared before.
    let there = self::origin(directory)?;
    let counts = |of: &Origin| (of.documents, of.short_documents);
    let other = there.is_some_and(|there| counts(&there) != counts(origin));
    check_same(directory, false, other.then(|| Difference::new("another input")).as_slice(), Replace::Remove)
}

/// Returns the origin of the records, or `None` if no task has noted it.
pub(super) fn origin(directory: &Path) -> Result<Option<Origin>> {
    let path = origin_path(directory);
    let Some(text) = read_file(&path)? else { return Ok(None) };
    serde_json::from_slice(&text).map(Some).map_err(|error| not_ours(&path, &error.to_string()))
}

fn origin_path(directory: &Path) -> PathBuf {
    directory.join(DIRECTORY).join(ORIGIN)
}

/// Removes all notes, and the directory if nothing else is in it.
pub(super) fn remove(directory: &Path) -> Result<()> {
    if let Some(address) = Address::of(directory)? {
        let markers = remote::below(&address.join(DIRECTORY))?;
        return markers.par_iter().try_for_each(|it| remote::remove(&it.address));
    }
    let inner = directory.join(DIRECTORY);
    if !inner.is_dir() {
        return Ok(());
    }
    let is_ours = |name: &str| name == ORIGIN || name.strip_suffix(".json").is_some_and(is_shard_name);
    match atomic::remove_stale(&inner, is_ours) {
        // Another task does the same.
        Err(error) if error.is_missing() => return Ok(()),
        result => result?,
    }
    for name in names(&inner)?.iter().filter(|name| is_ours(name)) {
        atomic::remove(&inner.join(name))?;
    }
    // Another task may have added a note since, which it will remove.
    let _ = std::fs::remove_dir(&inner);
    Ok(())
}
