//! Finds near-duplicates in the rounds of tasks: the keys of each portion, the pairs of each partition of the keys, and the
//! clusters of all pairs.
//!
//! Exact duplicates have the same keys, so they are in the same cluster as the first of them. They are left out of it in
//! the end, so that the clusters are those of a command that drops exact duplicates first.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::job::{DROPPED, Job, PAIRS, Round};
use super::lists::{List, write_list};
use super::markers::{Cleaned, Finished};
use super::pairs::{read_pairs, write_pairs};
use crate::Result;
use crate::files::raw::size;
use crate::prepare::hashes::{Hashes, Place, damaged, lost, repeats, too_many_in_portion};
use crate::prepare::near::{Clusters, Found, KEYS, KeyFile, KeySizes, NearClusters, lengths, sketches};

/// Notes that the clusters are known.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Clustered {
    pub found: Found,
}

/// Begins the files with the keys of a portion, if near-duplicates are dropped.
pub(super) fn key_file(job: &Job, number: u64) -> Result<Option<KeyFile>> {
    let options = &job.options.near;
    options
        .dedup_near
        .then(|| KeyFile::create(options, &job.path(Round::Clean, number, KEYS), too_many_in_portion))
        .transpose()
}

/// Writes the pairs of consecutive partitions of the keys. `cleaned` is what is noted of all portions.
pub(super) fn write_all_pairs(
    job: &Job,
    cleaned: &[Cleaned],
    partitions: std::ops::Range<usize>,
    memory: u64,
    mut tick: impl FnMut() -> Result<()>,
) -> Result<()> {
    let hashes = |(number, marker): (u64, &Cleaned)| {
        let path = job.path(Round::Clean, number, KEYS);
        let sizes = marker.near.clone().ok_or_else(|| damaged(&path))?;
        Ok(Hashes { path, size: sizes.keys, runs: sizes.runs })
    };
    let portions = (0..).zip(cleaned).map(hashes).collect::<Result<Vec<_>>>()?;
    let both = |first, later| (first, later);
    repeats(&portions, partitions, memory, both, |partition, mut pairs| {
        tick()?;
        pairs.dedup();
        write_pairs(&job.path(Round::Compare, partition as u64, PAIRS), &pairs)
    })
}

/// Finds the clusters of all pairs, and writes the list of the documents that are dropped.
pub(super) fn cluster(job: &Job, mut tick: impl FnMut(u64) -> Result<()>) -> Result<()> {
    let options = &job.options.near;
    let pairs = |join: &mut dyn FnMut(Place, Place) -> Result<()>| {
        for partition in 0..job.total(Round::Compare) {
            tick(partition)?;
            let path = job.path(Round::Compare, partition, PAIRS);
            for (first, later) in read_pairs(&path)?.ok_or_else(|| lost(&path))? {
                join(first, later)?;
            }
        }
        Ok(())
    };
    let sketches = |portion| {
        let (path, sizes) = keys(job, portion)?;
        Ok(sketches(&path, &sizes, options))
    };
    let clusters = Clusters::of(options, pairs, sketches)?;
    let mut is_gone = clusters.none();
    for partition in 0..job.total(Round::Compare) {
        for place in list(&job.marker_path(Round::Compare, partition))?.read(&(0..u64::MAX))? {
            clusters.mark(place, &mut is_gone);
        }
    }
    let lengths = |portion| keys(job, portion).map(|(path, sizes)| lengths(&path, &sizes));
    let (dropped, found) = clusters.resolve(&is_gone, options.dedup_near_keep, lengths)?;
    write_list(&job.path(Round::Cluster, 0, DROPPED), &dropped)?;
    job.mark(Round::Cluster, 0, &Clustered { found })
}

/// Returns the path of the keys of a portion, and the sizes of its files.
fn keys(job: &Job, portion: u32) -> Result<(PathBuf, KeySizes)> {
    let path = job.path(Round::Clean, u64::from(portion), KEYS);
    let marker: Cleaned = job.marker(Round::Clean, u64::from(portion))?;
    let sizes = marker.near.ok_or_else(|| damaged(&path))?;
    Ok((path, sizes))
}

/// Returns the list of the near-duplicates that are dropped, and what is known of the clusters, if there are any.
pub(super) fn dropped(job: &Job) -> Result<Option<(List, Found)>> {
    if !job.options.near.dedup_near {
        return Ok(None);
    }
    let marker: Clustered = job.marker(Round::Cluster, 0)?;
    Ok(Some((list(&job.path(Round::Cluster, 0, DROPPED))?, marker.found)))
}

/// Returns the report about the clusters, with the texts that are noted of all portions.
pub(super) fn report(job: &Job, finished: &[Finished]) -> Result<Option<NearClusters>> {
    if !job.options.near.dedup_near {
        return Ok(None);
    }
    let marker: Clustered = job.marker(Round::Cluster, 0)?;
    let texts: HashMap<_, _> = finished.iter().flat_map(|marker| marker.shown.iter().cloned()).collect();
    Ok(Some(marker.found.report(&texts)))
}

/// Describes the list at `path`. It may be missing because another task has completed the corpus meanwhile.
pub(super) fn list(path: &Path) -> Result<List> {
    let size = size(path)?.ok_or_else(|| lost(path))?;
    List::new(path, size)
}
