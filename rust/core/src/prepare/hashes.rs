//! Finds documents that share a hash with the hashes that each portion has written, partition by partition.
//!
//! A partition is the hashes with the same first byte. The file of a portion consists of runs, each sorted by hash, so
//! that consecutive partitions are one range of bytes per run. Of documents with equal hashes, the one that comes first in
//! the order of the input is known by each of the others.

use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::files::atomic::AtomicFile;
use crate::files::notes::create;
use crate::files::remote::{self, Address, Listed};
use crate::{Error, Result};

/// The number of partitions.
pub(super) const PARTITIONS: usize = 256;
/// The size in bytes of a hash, most significant byte first, and the number of its document.
const ENTRY: usize = 20;
/// The number of hashes in a run. It bounds the memory, 52 bytes per hash, and must not depend on options.
const RUN: usize = 1 << 22;
/// The number of runs that are read at a time.
const AT_A_TIME: usize = 64;
/// The bytes of memory that a hash takes while duplicates are found: as it is read, and as it is sorted.
const IN_MEMORY: u64 = ENTRY as u64 + 32;

/// The most documents of a file, which are numbered with 32 bits.
pub(super) const MOST_DOCUMENTS: u64 = if cfg!(test) { 1 << 16 } else { 1 << 32 };

/// A document: the number of its portion, and its own number there.
pub(super) type Place = (u32, u32);

/// The hashes of a portion's documents, which are being written.
pub(super) struct HashFile {
    file: AtomicFile,
    run: Vec<(u128, u32)>,
    most: usize,
    size: u64,
    runs: Vec<Vec<u32>>,
    documents: u64,
    too_many: fn() -> Error,
}

impl HashFile {
    /// Begins the file of a portion of the input.
    pub fn create(path: &Path) -> Result<Self> {
        Self::with_runs(path, RUN, too_many_in_portion)
    }

    /// As [`HashFile::create`], with another number of hashes in a run, which must not depend on options either. `too_many`
    /// is the error for more than [`MOST_DOCUMENTS`].
    pub fn with_runs(path: &Path, most: usize, too_many: fn() -> Error) -> Result<Self> {
        let file = create(path)?;
        Ok(Self { file, run: Vec::new(), most, size: 0, runs: Vec::new(), documents: 0, too_many })
    }

    /// Adds the hashes of the next document: one, several or none.
    pub fn push(&mut self, hashes: &[u128]) -> Result<()> {
        if self.documents == MOST_DOCUMENTS {
            return Err((self.too_many)());
        }
        let number = self.documents as u32;
        self.documents += 1;
        for &hash in hashes {
            self.run.push((hash, number));
            if self.run.len() == self.most {
                self.end_run()?;
            }
        }
        Ok(())
    }

    fn end_run(&mut self) -> Result<()> {
        self.run.par_sort_unstable();
        let mut counts = vec![0; PARTITIONS];
        let mut bytes = Vec::with_capacity(self.run.len() * ENTRY);
        for (hash, number) in self.run.drain(..) {
            counts[(hash >> 120) as usize] += 1;
            bytes.extend_from_slice(&hash.to_be_bytes());
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        self.size += bytes.len() as u64;
        self.runs.push(counts);
        self.file.write(&bytes)
    }

    /// Gives the file its name. Returns its size, and the number of hashes of each run in each partition.
    pub fn commit(mut self) -> Result<(u64, Vec<Vec<u32>>)> {
        if !self.run.is_empty() {
            self.end_run()?;
        }
        self.file.commit()?;
        Ok((self.size, self.runs))
    }
}

/// Returns the error for a portion with more than [`MOST_DOCUMENTS`].
pub(super) fn too_many_in_portion() -> Error {
    let reason =
        format!("a portion of the input has more than {MOST_DOCUMENTS} documents; pass a smaller `shard_size`");
    Error::conflict("shard_size", reason)
}

/// The hashes of one portion.
pub(super) struct Hashes {
    pub path: PathBuf,
    /// The size of the file in bytes.
    pub size: u64,
    /// The number of hashes in each partition, for each run.
    pub runs: Vec<Vec<u32>>,
}

/// A run of one portion.
struct Run<'a> {
    portion: u32,
    file: &'a Hashes,
    /// The first byte of the run.
    start: u64,
    counts: &'a [u32],
}

impl Run<'_> {
    fn count(&self, partitions: &Range<usize>) -> u64 {
        self.counts[partitions.clone()].iter().map(|&count| u64::from(count)).sum()
    }

    fn read(&self, partitions: &Range<usize>) -> Result<Vec<u8>> {
        let start = self.start + self.count(&(0..partitions.start)) * ENTRY as u64;
        range(&self.file.path, self.file.size, start, self.count(partitions) * ENTRY as u64)
    }
}

/// Finds the documents in `partitions`, which are consecutive, that share a hash with one before. Calls `found` with the
/// first document of a hash and with each later one, and `each` with the number of a partition and all that `found` has
/// returned, in order.
///
/// `memory` is the number of bytes that the hashes of several partitions, or of a part of one, may take.
///
/// # Errors
/// [`Error::Io`] if a file cannot be read, and the errors of `each`.
pub(super) fn repeats<T: Ord + Send>(
    portions: &[Hashes],
    partitions: Range<usize>,
    memory: u64,
    found: impl Fn(Place, Place) -> T,
    mut each: impl FnMut(usize, Vec<T>) -> Result<()>,
) -> Result<()> {
    let runs: Vec<_> = (0..).zip(portions).flat_map(|(portion, file)| runs(portion, file)).collect();
    let hashes = |partitions: &Range<usize>| runs.iter().map(|run| run.count(partitions)).sum::<u64>();
    let most = (memory / IN_MEMORY).max(1);
    let mut start = partitions.start;
    while start < partitions.end {
        let mut group = start..start + 1;
        while group.end < partitions.end && hashes(&(start..group.end + 1)) <= most {
            group.end += 1;
        }
        let mut all: Vec<Vec<T>> = group.clone().map(|_| Vec::new()).collect();
        let parts = hashes(&group).div_ceil(most).max(1);
        for part in 0..parts {
            find(&runs, &group, part, parts, |partition, first, later| {
                if let Some(all) = partition.checked_sub(group.start).and_then(|at| all.get_mut(at)) {
                    all.push(found(first, later));
                }
            })?;
        }
        for (partition, mut all) in group.clone().zip(all) {
            all.par_sort_unstable();
            each(partition, all)?;
        }
        start = group.end;
    }
    Ok(())
}

fn runs(portion: u32, file: &Hashes) -> impl Iterator<Item = Run<'_>> {
    let mut start = 0;
    file.runs.iter().map(move |counts| {
        let run = Run { portion, file, start, counts };
        start += run.count(&(0..PARTITIONS)) * ENTRY as u64;
        run
    })
}

/// Finds equal hashes among one of several equal parts of the hashes of `group`. Calls `found` with their partition, the
/// first document and each later one.
fn find(
    runs: &[Run<'_>],
    group: &Range<usize>,
    part: u64,
    parts: u64,
    mut found: impl FnMut(usize, Place, Place),
) -> Result<()> {
    // A hash is in the part that the four bytes after the first one say.
    let is_in_part = |hash: u128| parts == 1 || (u64::from((hash >> 88) as u32) * parts) >> 32 == part;
    let total: u64 = runs.iter().map(|run| run.count(group)).sum();
    let mut entries: Vec<(u128, u32, u32)> = Vec::with_capacity((total / parts) as usize);
    for runs in runs.chunks(AT_A_TIME) {
        let bytes = runs.par_iter().map(|run| run.read(group)).collect::<Result<Vec<_>>>()?;
        for (run, bytes) in runs.iter().zip(bytes) {
            let all = bytes.chunks_exact(ENTRY).map(|bytes| entry(bytes, run.portion));
            entries.extend(all.filter(|&(hash, ..)| is_in_part(hash)));
        }
    }
    entries.par_sort_unstable();
    for equal in entries.chunk_by(|one, next| one.0 == next.0) {
        let Some((&(hash, portion, document), later)) = equal.split_first() else { continue };
        for &(_, other, number) in later {
            found((hash >> 120) as usize, (portion, document), (other, number));
        }
    }
    Ok(())
}

fn entry(bytes: &[u8], portion: u32) -> (u128, u32, u32) {
    let (mut hash, mut number) = ([0; 16], [0; 4]);
    hash.copy_from_slice(&bytes[..16]);
    number.copy_from_slice(&bytes[16..]);
    (u128::from_be_bytes(hash), portion, u32::from_le_bytes(number))
}

/// Reads `length` bytes at `start` of a file of `size` bytes, local or remote.
pub(super) fn range(path: &Path, size: u64, start: u64, length: u64) -> Result<Vec<u8>> {
    if length == 0 {
        return Ok(Vec::new());
    }
    let bytes = if let Some(address) = Address::of(path)? {
        let listed = Listed { address: address.clone(), bytes: size, version: None };
        if let Some(slices) = listed.open()?.slices(&[start], length)? {
            slices.into_iter().next().map(Vec::from).unwrap_or_default()
        } else {
            // The server sends only whole objects.
            let all = remote::bytes(&address)?.ok_or_else(|| lost(path))?;
            all.into_iter().skip(start as usize).take(length as usize).collect()
        }
    } else {
        let error = |source: std::io::Error| match source.kind() {
            ErrorKind::NotFound => lost(path),
            _ => Error::io("cannot read", path, source),
        };
        let mut file = std::fs::File::open(path).map_err(error)?;
        file.seek(SeekFrom::Start(start)).map_err(error)?;
        let mut bytes = Vec::with_capacity(length as usize);
        file.take(length).read_to_end(&mut bytes).map_err(error)?;
        bytes
    };
    if bytes.len() as u64 == length { Ok(bytes) } else { Err(damaged(path)) }
}

/// Returns the error for a temporary file that is not as a task has written it.
pub(super) fn damaged(path: &Path) -> Error {
    Error::data(path, "this temporary file is damaged; remove the output, and run the command again")
}

/// Returns the error for a temporary file that was removed while the command runs. The next one makes it again.
pub(super) fn lost(path: &Path) -> Error {
    Error::data(
        path,
        "this temporary file was removed; run the same command again, and if there are tasks, all of them",
    )
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use proptest::prelude::*;

    use super::*;

    /// Hashes of few different values, at the ends of partitions and of their parts.
    fn hash() -> impl Strategy<Value = u128> {
        (0..3_u128, 0..3_u128, 0..2_u128)
            .prop_map(|(first, next, last)| [0, 1, 255][first as usize] << 120 | (next << 118) | last)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_first_occurrence_stays_with_any_memory(
            portions in prop::collection::vec(prop::collection::vec(hash(), 0..20), 0..6),
            memory in 1..2000_u64,
            most in 1..8_usize,
        ) {
            let directory = tempfile::tempdir().unwrap();
            let mut files = Vec::new();
            for (number, hashes) in portions.iter().enumerate() {
                let path = directory.path().join(number.to_string());
                let mut file = HashFile { most, ..HashFile::create(&path).unwrap() };
                for &hash in hashes {
                    file.push(&[hash]).unwrap();
                }
                let (size, runs) = file.commit().unwrap();
                prop_assert_eq!(size, std::fs::metadata(&path).unwrap().len());
                files.push(Hashes { path, size, runs });
            }
            let (mut seen, mut wanted) = (HashSet::new(), BTreeMap::<usize, Vec<(u32, u32)>>::new());
            for (portion, hashes) in (0..).zip(&portions) {
                for (document, &hash) in (0..).zip(hashes) {
                    if !seen.insert(hash) {
                        wanted.entry((hash >> 120) as usize).or_default().push((portion, document));
                    }
                }
            }
            let mut found = BTreeMap::new();
            for range in [0..2, 2..200, 200..PARTITIONS] {
                repeats(&files, range, memory, |_, later| later, |partition, list| {
                    assert!(found.insert(partition, list).is_none());
                    Ok(())
                }).unwrap();
            }
            prop_assert_eq!(found.len(), PARTITIONS);
            found.retain(|_, list| !list.is_empty());
            prop_assert_eq!(found, wanted);
        }
    }

    #[test]
    fn documents_are_numbered_up_to_the_last_number() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = HashFile::create(&directory.path().join("hashes")).unwrap();
        for _ in 1..MOST_DOCUMENTS {
            file.push(&[]).unwrap();
        }
        file.push(&[7]).unwrap();
        assert_eq!(file.run, [(7, MOST_DOCUMENTS as u32 - 1)]);
        let error = file.push(&[]).unwrap_err();
        assert!(error.to_string().ends_with("more than 65536 documents; pass a smaller `shard_size`"), "{error}");
    }

    #[test]
    fn a_shorter_file_is_damaged() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("list");
        std::fs::write(&path, "12345678").unwrap();
        let is_damaged = |error: Error| error.to_string().contains("this temporary file is damaged");
        assert!(range(&path, 8, 4, 8).is_err_and(is_damaged));
    }
}
