//! Finds out what an output directory holds: complete records, an interrupted run, or something else.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::dataset::{self, Dataset, Shard, is_shard_name, shard_name};
use super::header::{FORMAT, Header};
use crate::files::atomic;
use crate::files::lock::DirectoryLock;
use crate::files::raw::{names, read, size};
use crate::files::remote::{self, Address, is_remote};
use crate::files::resume::{check_same, not_ours};
use crate::{Error, Result};

const FILE: &str = "make-records.partial.jsonl";
/// The directory in a bucket with a file for each complete shard, because nothing can be appended to an object.
const MARKERS: &str = "make-records.partial";

const MEANWHILE: &str = "another command writes records here; pass another `output_dir`, or wait for it and pass \
                         overwrite=True to replace them";

/// A complete shard, as noted in a bucket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Marker {
    shard: Shard,
    /// The version (`ETag`) of the object.
    version: Option<String>,
}

/// The result of [`find`].
pub(super) struct Found {
    /// The shards in order; `None` if a shard is not complete.
    pub shards: Vec<Option<Shard>>,
    /// The content of `dataset.json`, if it exists.
    pub dataset: Option<Dataset>,
}

/// Returns what `directory` holds of the records that `header` describes, or `None` if it holds no records.
pub(super) fn find(directory: &Path, header: &Header) -> Result<Option<Found>> {
    let (mut dataset, mut journal) = (read_dataset(directory)?, None);
    if dataset.is_none() {
        journal = read_journal(directory)?;
    }
    if dataset.is_none() && journal.is_none() {
        // Another run may have finished between the two looks: it writes the one, and then removes the other.
        dataset = read_dataset(directory)?;
    }
    let (there, lines, dataset) = if let Some(dataset) = dataset {
        (dataset.header(), dataset.shards.clone(), Some(dataset))
    } else if let Some((there, lines)) = journal {
        (there, lines, None)
    } else if let Some(name) = names(directory)?.into_iter().find(|name| is_shard_name(name)) {
        return Err(Error::exists(
            directory,
            format!(
                "the directory holds {name}, but neither {} nor {FILE}, which say what it was made from; pass another \
                 `output_dir`, or overwrite=True to remove the records",
                dataset::FILE
            ),
        ));
    } else {
        return Ok(None);
    };
    check_same(directory, dataset.is_some(), &there.differences(header))?;
    let count = there.num_shards().unwrap_or(lines.len());
    let mut shards = vec![None; count];
    let sizes = Sizes::of(directory)?;
    for shard in lines {
        let number = shard.file.split('-').nth(1).and_then(|number| number.parse().ok());
        let index = number
            .filter(|&at: &usize| at < count && shard_name(at as u64, count as u64, there.compression()) == shard.file);
        let there = sizes.get(&shard.file)? == Some(shard.bytes);
        if let (Some(index), true) = (index, there) {
            shards[index] = Some(shard);
        }
    }
    Ok(Some(Found { shards, dataset }))
}

fn read_dataset(directory: &Path) -> Result<Option<Dataset>> {
    let path = directory.join(dataset::FILE);
    let Some(text) = read(&path)? else { return Ok(None) };
    match serde_json::from_slice::<Dataset>(&text) {
        Ok(dataset) if dataset.format == FORMAT => Ok(Some(dataset)),
        Ok(dataset) => Err(not_ours(&path, &format!("its format is {:?}", dataset.format))),
        Err(error) => Err(not_ours(&path, &error.to_string())),
    }
}

fn read_journal(directory: &Path) -> Result<Option<(Header, Vec<Shard>)>> {
    let path = directory.join(FILE);
    let Some(text) = read(&path)? else { return Ok(None) };
    let mut lines = text.split(|&byte| byte == b'\n');
    let header = serde_json::from_slice::<Header>(lines.next().unwrap_or_default())
        .map_err(|error| not_ours(&path, &error.to_string()))?;
    // A line that was being written when the machine crashed does not count.
    let mut shards: Vec<Shard> = lines.map_while(|line| serde_json::from_slice(line).ok()).collect();
    if let Some(address) = Address::of(directory)? {
        shards.extend(read_markers(&address)?);
    }
    Ok(Some((header, shards)))
}

/// Returns the complete shards that are noted in a bucket and whose objects are the noted ones.
fn read_markers(directory: &Address) -> Result<Vec<Shard>> {
    let objects = remote::below(directory)?;
    let versions: HashMap<&str, _> = objects.iter().map(|it| (it.address.name(), &it.version)).collect();
    let noted = objects.par_iter().filter(|it| it.address.parent().name() == MARKERS);
    let markers: Vec<_> = noted.map(|it| remote::bytes(&it.address)).collect::<Result<_>>()?;
    let markers = markers.into_iter().flatten().filter_map(|text| serde_json::from_slice::<Marker>(&text).ok());
    Ok(markers.filter(|it| versions.get(it.shard.file.as_str()) == Some(&&it.version)).map(|it| it.shard).collect())
}

/// The sizes of the files in a directory. A bucket lists all of them at once.
enum Sizes<'a> {
    Local(&'a Path),
    Remote(HashMap<String, u64>),
}

impl<'a> Sizes<'a> {
    fn of(directory: &'a Path) -> Result<Self> {
        Ok(match Address::of(directory)? {
            Some(address) => {
                let objects = remote::below(&address)?;
                Self::Remote(objects.iter().map(|it| (it.address.name().to_owned(), it.bytes)).collect())
            }
            None => Self::Local(directory),
        })
    }

    fn get(&self, name: &str) -> Result<Option<u64>> {
        match self {
            Self::Local(directory) => size(&directory.join(name)),
            Self::Remote(all) => Ok(all.get(name).copied()),
        }
    }
}

/// Removes everything written here. The journal is removed last, so that a run that is killed meanwhile leaves a
/// directory that can still be recognized.
pub(super) fn clear(directory: &Path) -> Result<()> {
    atomic::remove(&directory.join(dataset::FILE))?;
    for name in names(directory)?.iter().filter(|name| is_shard_name(name)) {
        atomic::remove(&directory.join(name))?;
    }
    Journal::remove(directory)
}

/// Whether a file of this name belongs to what is written here.
pub(super) fn is_ours(name: &str) -> bool {
    is_shard_name(name) || name == FILE || name == dataset::FILE
}

/// The journal of complete shards, open for more.
pub(super) struct Journal {
    directory: PathBuf,
    path: PathBuf,
    /// The open journal. In a bucket, there is a file for each shard instead.
    file: Option<File>,
    _lock: Arc<DirectoryLock>,
}

impl Journal {
    /// Removes temporaries, and writes the journal of a run that begins with `complete` shards. `is_known` says whether
    /// `find` has seen a `dataset.json`.
    pub fn start<'a>(
        directory: &Path,
        header: &Header,
        complete: impl Iterator<Item = &'a Shard>,
        is_known: bool,
        lock: Arc<DirectoryLock>,
    ) -> Result<Self> {
        atomic::remove_stale(directory, is_ours)?;
        let path = directory.join(FILE);
        let mut text = line(&path, header)?;
        for shard in complete {
            text.extend(line(&path, shard)?);
        }
        if is_remote(directory) {
            // Another machine may have begun since `find` looked.
            match read_journal(directory)? {
                None => atomic::write_first(&path, &text)?,
                Some((there, _)) => check_same(directory, false, &there.differences(header))?,
            }
            // And it may have finished.
            if !is_known && read_dataset(directory)?.is_some() {
                Self::remove(directory)?;
                return Err(Error::exists(directory, MEANWHILE));
            }
        } else {
            atomic::write(&path, &text)?;
        }
        // If this file exists, a complete set has lost a shard. From here on, the journal describes the directory.
        atomic::remove(&directory.join(dataset::FILE))?;
        let file = if is_remote(directory) {
            None
        } else {
            let file = File::options().append(true).open(&path);
            Some(file.map_err(|error| Error::io("cannot write", &path, error))?)
        };
        Ok(Self { directory: directory.into(), path, file, _lock: lock })
    }

    /// Adds a shard whose file is complete and synced. `version` is that of a remote object.
    pub fn add(&mut self, shard: &Shard, version: Option<String>) -> Result<()> {
        let Some(file) = &mut self.file else {
            let path = self.directory.join(MARKERS).join(format!("{}.json", shard.file));
            return atomic::write_json(path, &Marker { shard: shard.clone(), version });
        };
        let line = line(&self.path, shard)?;
        file.write_all(&line)
            .and_then(|()| file.sync_data())
            .map_err(|error| Error::io("cannot write", &self.path, error))
    }

    pub fn remove(directory: &Path) -> Result<()> {
        if let Some(address) = Address::of(directory)? {
            let markers = remote::below(&address.join(MARKERS))?;
            markers.par_iter().try_for_each(|it| remote::remove(&it.address))?;
        }
        atomic::remove(&directory.join(FILE))
    }
}

fn line(path: &Path, value: &impl Serialize) -> Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value).map_err(|error| Error::io("cannot write", path, error.into()))?;
    line.push(b'\n');
    Ok(line)
}
