//! Joins near-duplicates to clusters, and decides which document of each cluster is kept.
//!
//! A cluster is a connected component: if A and B are near-duplicates, and B and C, then A, B and C are in one. Memory is
//! taken only for documents in clusters, up to 50 bytes each.

use std::collections::{HashMap, HashSet};

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

use super::keys::Column;
use super::options::{KeepRule, NearOptions};
use crate::prepare::hashes::Place;
use crate::{Error, Result};

/// The most documents in clusters. Their number must fit into 32 bits, too.
const MOST: usize = if cfg!(test) { 20_000 } else { u32::MAX as usize };
/// The number of clusters in a report.
const LARGEST: usize = 10;
/// The number of dropped documents that a report shows of a cluster.
const SHOWN: usize = 2;

/// Documents that are joined.
#[derive(Default)]
pub(in crate::prepare) struct Clusters {
    /// Positions in `places`, by place.
    numbers: HashTable<u32>,
    places: Vec<Place>,
    /// For each document the position of one of the same cluster. It is the document itself if it stands for the cluster.
    parents: Vec<u32>,
    /// The sketches of all documents, if similarities are checked.
    sketches: Vec<u8>,
}

/// A cluster in a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Cluster {
    documents: u64,
    kept: Place,
    /// The first of the other documents.
    dropped: Vec<Place>,
}

/// What is known of clusters: their number, and the largest of them.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::prepare) struct Found {
    clusters: u64,
    documents: u64,
    largest: Vec<Cluster>,
}

/// A report about clusters.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct NearClusters {
    /// The number of clusters.
    pub clusters: u64,
    /// The number of documents in clusters. One of each cluster is kept.
    pub documents: u64,
    /// The largest clusters, largest first. Of clusters of the same size, the one whose first document comes first.
    pub largest: Vec<SampledCluster>,
}

/// A cluster, with the beginnings of some of its documents.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct SampledCluster {
    /// The number of documents, of which one is kept.
    pub documents: u64,
    /// The document that is kept.
    pub kept: String,
    /// The first documents that are dropped.
    pub dropped: Vec<String>,
}

fn hash(place: Place) -> u64 {
    // The multiplier is 2^64 divided by the golden ratio. The table uses the highest and the lowest bits.
    let product = (u64::from(place.0) << 32 | u64::from(place.1)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    product ^ (product >> 32)
}

impl Clusters {
    /// Joins all pairs that `pairs` passes on. It is called twice if similarities are checked, with the sketches of each
    /// portion, which `sketches` returns.
    ///
    /// # Errors
    /// If too many documents are in clusters; the errors of `pairs`; if sketches cannot be read.
    pub fn of(
        options: &NearOptions,
        mut pairs: impl FnMut(&mut dyn FnMut(Place, Place) -> Result<()>) -> Result<()>,
        mut sketches: impl FnMut(u32) -> Result<Column>,
    ) -> Result<Self> {
        let mut clusters = Self::default();
        let Some(least) = options.least_equal() else {
            pairs(&mut |first, later| clusters.join(first, later))?;
            return Ok(clusters);
        };
        pairs(&mut |first, later| {
            clusters.number(first)?;
            clusters.number(later).map(drop)
        })?;
        clusters.load(options.hashes(), &mut sketches)?;
        pairs(&mut |first, later| {
            if clusters.equal(options.hashes(), first, later) >= least { clusters.join(first, later) } else { Ok(()) }
        })?;
        clusters.sketches = Vec::new();
        Ok(clusters)
    }

    /// Reads the sketches of all documents.
    fn load(&mut self, width: usize, mut sketches: impl FnMut(u32) -> Result<Column>) -> Result<()> {
        self.sketches.resize(self.places.len() * width, 0);
        let all = &mut self.sketches;
        in_order(&self.places, &mut sketches, |number, sketch| {
            all[number as usize * width..][..width].copy_from_slice(sketch);
        })
    }

    /// Returns how many bytes of two sketches are equal.
    fn equal(&self, width: usize, one: Place, other: Place) -> usize {
        let [one, other] = [one, other].map(|place| {
            let start = self.find(place).map_or(0, |number| number as usize * width);
            &self.sketches[start..start + width]
        });
        one.iter().zip(other).filter(|(a, b)| a == b).count()
    }

    /// Joins the clusters of two documents.
    ///
    /// # Errors
    /// If too many documents are in clusters.
    pub fn join(&mut self, one: Place, other: Place) -> Result<()> {
        let (one, other) = (self.number(one)?, self.number(other)?);
        let (one, other) = (self.root(one), self.root(other));
        // Roots that are chosen at random by their numbers keep the paths short.
        let (root, below) = if hash((0, one)) < hash((0, other)) { (one, other) } else { (other, one) };
        self.parents[below as usize] = root;
        Ok(())
    }

    fn number(&mut self, place: Place) -> Result<u32> {
        if let Some(number) = self.find(place) {
            return Ok(number);
        }
        if self.places.len() == MOST {
            let reason = format!(
                "dedup_near=True allows at most {MOST} documents with near-duplicates, and there are more; pass less \
                 input, or a larger `dedup_near_rows`, which finds only more similar documents"
            );
            return Err(Error::conflict("dedup_near", reason));
        }
        let number = self.places.len() as u32;
        let places = &mut self.places;
        places.push(place);
        self.parents.push(number);
        self.numbers.insert_unique(hash(place), number, |&number| hash(places[number as usize]));
        Ok(number)
    }

    fn find(&self, place: Place) -> Option<u32> {
        self.numbers.find(hash(place), |&number| self.places[number as usize] == place).copied()
    }

    fn root(&mut self, mut number: u32) -> u32 {
        loop {
            let parent = self.parents[number as usize];
            if parent == number {
                return number;
            }
            let above = self.parents[parent as usize];
            self.parents[number as usize] = above;
            number = above;
        }
    }

    /// Returns an entry for each document of a cluster, all `false`, in which [`Clusters::mark`] sets some.
    pub fn none(&self) -> Vec<bool> {
        vec![false; self.places.len()]
    }

    /// Sets the entry of `place`, if it is in a cluster.
    pub fn mark(&self, place: Place, marks: &mut [bool]) {
        if let Some(number) = self.find(place) {
            marks[number as usize] = true;
        }
    }

    /// Returns the documents that are dropped, ascending, and what is known of the clusters. `is_gone` marks documents that
    /// are dropped for another reason, and do not count. `lengths` returns the numbers of characters of the documents of a
    /// portion; it is called for [`KeepRule::Longest`].
    ///
    /// # Errors
    /// If the lengths cannot be read.
    pub fn resolve(
        mut self,
        is_gone: &[bool],
        keep: KeepRule,
        mut lengths: impl FnMut(u32) -> Result<Column>,
    ) -> Result<(Vec<Place>, Found)> {
        self.numbers = HashTable::new();
        let roots: Vec<u32> = (0..self.parents.len() as u32).map(|number| self.root(number)).collect();
        let Self { places, .. } = self;
        let mut known: Vec<u32> = Vec::new();
        if keep == KeepRule::Longest {
            known.resize(places.len(), 0);
            in_order(&places, &mut lengths, |number, length| {
                known[number as usize] = length.try_into().map_or(0, u32::from_le_bytes);
            })?;
        }
        let lengths = known;
        let mut order: Vec<u32> = (0..places.len() as u32).filter(|&number| !is_gone[number as usize]).collect();
        order.sort_unstable_by_key(|&number| (roots[number as usize], places[number as usize]));
        let (mut dropped, mut found) = (Vec::new(), Found::default());
        for members in order.chunk_by(|&one, &next| roots[one as usize] == roots[next as usize]) {
            if members.len() < 2 {
                continue;
            }
            let mut kept = members[0];
            for &member in members {
                if !lengths.is_empty() && lengths[member as usize] > lengths[kept as usize] {
                    kept = member;
                }
            }
            let others = || members.iter().filter(|&&it| it != kept).map(|&it| places[it as usize]);
            dropped.extend(others());
            found.add(members.len(), places[kept as usize], places[members[0] as usize], others());
        }
        dropped.sort_unstable();
        Ok((dropped, found))
    }
}

/// Calls `each` with the position of each of `places` and its bytes in the column of its portion, in the order of the
/// input.
fn in_order(
    places: &[Place],
    columns: &mut impl FnMut(u32) -> Result<Column>,
    mut each: impl FnMut(u32, &[u8]),
) -> Result<()> {
    let mut order: Vec<u32> = (0..places.len() as u32).collect();
    order.sort_unstable_by_key(|&number| places[number as usize]);
    let of_portion = |&one: &u32, &next: &u32| places[one as usize].0 == places[next as usize].0;
    for numbers in order.chunk_by(of_portion) {
        let Some(&first) = numbers.first() else { continue };
        let mut column = columns(places[first as usize].0)?;
        for &number in numbers {
            each(number, column.get(places[number as usize].1)?);
        }
    }
    Ok(())
}

impl Found {
    fn add(&mut self, documents: usize, kept: Place, first: Place, dropped: impl Iterator<Item = Place>) {
        self.clusters += 1;
        self.documents += documents as u64;
        let order = |it: &Cluster| (std::cmp::Reverse(it.documents), it.first());
        let place = (std::cmp::Reverse(documents as u64), first);
        let at = self.largest.partition_point(|it| order(it) < place);
        if at < LARGEST {
            let dropped = dropped.take(SHOWN).collect();
            self.largest.insert(at, Cluster { documents: documents as u64, kept, dropped });
            self.largest.truncate(LARGEST);
        }
    }

    /// Returns the documents whose text [`Found::report`] needs.
    pub fn shown(&self) -> HashSet<Place> {
        self.largest.iter().flat_map(|it| it.dropped.iter().chain([&it.kept])).copied().collect()
    }

    /// Returns the report, with `texts` of the documents of [`Found::shown`].
    pub fn report(&self, texts: &HashMap<Place, String>) -> NearClusters {
        let text = |place: &Place| texts.get(place).cloned().unwrap_or_default();
        let sampled = |it: &Cluster| SampledCluster {
            documents: it.documents,
            kept: text(&it.kept),
            dropped: it.dropped.iter().map(text).collect(),
        };
        NearClusters {
            clusters: self.clusters,
            documents: self.documents,
            largest: self.largest.iter().map(sampled).collect(),
        }
    }
}

impl Cluster {
    /// The first document in the order of the input.
    fn first(&self) -> Place {
        self.dropped.first().map_or(self.kept, |&first| first.min(self.kept))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::prepare::near::KeySizes;

    /// The components by repeated relabeling.
    fn components(count: u32, pairs: &[(u32, u32)]) -> Vec<u32> {
        let mut labels: Vec<u32> = (0..count).collect();
        loop {
            let before = labels.clone();
            for &(one, other) in pairs {
                let label = labels[one as usize].min(labels[other as usize]);
                (labels[one as usize], labels[other as usize]) = (label, label);
            }
            if labels == before {
                return labels;
            }
        }
    }

    proptest! {
        #[test]
        fn the_components_of_pairs(
            pairs in prop::collection::vec((0..30_u32, 0..30_u32), 0..30),
            gone in prop::collection::vec(prop::bool::weighted(0.2), 30),
            lengths in prop::collection::vec(0..3_u32, 30),
            longest: bool,
        ) {
            // The place of a number, so that the order is the same.
            let place = |number: u32| (number / 7, number % 7);
            let mut clusters = Clusters::default();
            for &(one, other) in &pairs {
                clusters.join(place(one), place(other)).unwrap();
            }
            let mut is_gone = clusters.none();
            (0..30).filter(|&number| gone[number as usize]).for_each(|number| clusters.mark(place(number), &mut is_gone));
            let keep = if longest { KeepRule::Longest } else { KeepRule::First };
            let directory = tempfile::tempdir().unwrap();
            let columns = |portion: u32| {
                let lengths = lengths.iter().skip(7 * portion as usize).take(7);
                let bytes: Vec<u8> = lengths.flat_map(|length| length.to_le_bytes()).collect();
                let path = directory.path().join(format!("{portion}.keys"));
                std::fs::write(path.with_extension("lengths"), &bytes).unwrap();
                let sizes = KeySizes { lengths: bytes.len() as u64, ..KeySizes::default() };
                Ok(crate::prepare::near::keys::lengths(&path, &sizes))
            };
            let (dropped, found) = clusters.resolve(&is_gone, keep, columns).unwrap();

            let labels = components(30, &pairs);
            let (mut wanted, mut sizes) = (Vec::new(), Vec::new());
            for label in 0..30 {
                let members: Vec<u32> =
                    (0..30).filter(|&it| labels[it as usize] == label && !gone[it as usize]).collect();
                if members.len() > 1 {
                    let best = |&&it: &&u32| {
                        (if longest { lengths[it as usize] } else { 0 }, std::cmp::Reverse(it))
                    };
                    let kept = *members.iter().max_by_key(best).unwrap();
                    wanted.extend(members.iter().filter(|&&it| it != kept).map(|&it| place(it)));
                    sizes.push((std::cmp::Reverse(members.len() as u64), place(members[0]), place(kept)));
                }
            }
            wanted.sort_unstable();
            prop_assert_eq!(dropped, wanted);
            prop_assert_eq!(found.clusters, sizes.len() as u64);
            prop_assert_eq!(found.documents, sizes.iter().map(|it| it.0.0).sum::<u64>());
            sizes.sort_unstable();
            sizes.truncate(LARGEST);
            let largest: Vec<_> = found.largest.iter().map(|it| (std::cmp::Reverse(it.documents), it.first(), it.kept)).collect();
            prop_assert_eq!(largest, sizes);
        }
    }

    #[test]
    fn too_many_documents_are_an_error() {
        let mut clusters = Clusters::default();
        for document in (0..MOST as u32).step_by(2) {
            clusters.join((0, document), (1, document)).unwrap();
        }
        clusters.join((1, 0), (0, MOST as u32 - 2)).unwrap();
        let error = clusters.join((0, 0), (2, 0)).unwrap_err();
        assert_eq!(error.facts().option, Some("dedup_near"));
        assert!(error.to_string().contains("at most 20000 documents"), "{error}");
        let none = clusters.none();
        let lengths = |_| Err(Error::Internal("no lengths are needed".into()));
        let (dropped, found) = clusters.resolve(&none, KeepRule::First, lengths).unwrap();
        assert_eq!((dropped.len(), found.documents), (MOST / 2 + 1, MOST as u64), "all of them are in clusters");
    }
}
