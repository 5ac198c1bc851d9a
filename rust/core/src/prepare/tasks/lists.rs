//! The lists of duplicate documents, one for each partition, from which each portion reads its own.
//!
//! A list has 8 bytes per duplicate: the number of its portion and its own number there, both little-endian and ascending.
//! Then follows the index: the portions of the first duplicate, the one [`STEP`] later, and so on, 4 bytes each. So a task
//! that writes a few of many portions reads a small part of each list. The last 8 bytes are the number of duplicates,
//! little-endian, with all bits inverted. No list ends in this way if it is cut off, so that no duplicate gets lost.

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::files::notes::create;
use crate::prepare::hashes::{Place, damaged, range};

/// The size in bytes of a duplicate: the number of a portion and that of a document.
const DUPLICATE: u64 = 8;
/// The size in bytes of the number of duplicates, at the end.
const COUNT: u64 = 8;
/// The number of duplicates between two that the index names.
const STEP: u64 = if cfg!(test) { 3 } else { 1 << 12 };
/// Lists of up to this many bytes are read whole.
const SMALL: u64 = if cfg!(test) { 16 } else { 64 << 10 };

/// A list that is there, if what it says of itself fits its size, which [`List::read`] checks.
pub(super) struct List {
    path: PathBuf,
    size: u64,
    /// The number of duplicates, by the size.
    len: u64,
}

/// Writes a list of duplicates, ascending: the numbers of their portions, and their own.
pub(super) fn write_list(path: &Path, duplicates: &[Place]) -> Result<()> {
    let mut file = create(path)?;
    let entries = duplicates.iter().flat_map(|&(portion, document)| [portion, document]);
    let index = duplicates.iter().step_by(STEP as usize).map(|&(portion, _)| portion);
    let mut bytes: Vec<u8> = entries.chain(index).flat_map(u32::to_le_bytes).collect();
    bytes.extend(end(duplicates.len() as u64));
    file.write(&bytes)?;
    file.commit().map(drop)
}

/// Returns what ends a list of `len` duplicates.
fn end(len: u64) -> [u8; COUNT as usize] {
    (!len).to_le_bytes()
}

impl List {
    /// Describes the list of `size` bytes at `path`.
    ///
    /// # Errors
    /// If no list has this size.
    pub fn new(path: &Path, size: u64) -> Result<Self> {
        let without_count = size.checked_sub(COUNT).ok_or_else(|| damaged(path))?;
        let steps = without_count.div_ceil(STEP * DUPLICATE + 4);
        let entries = without_count.saturating_sub(4 * steps);
        let len = entries / DUPLICATE;
        if !entries.is_multiple_of(DUPLICATE) || len.div_ceil(STEP) != steps {
            return Err(damaged(path));
        }
        Ok(Self { path: path.to_owned(), size, len })
    }

    /// Returns how many bytes the duplicates take.
    pub fn bytes(&self) -> u64 {
        self.len * DUPLICATE
    }

    /// Reads the duplicates of `portions`.
    ///
    /// # Errors
    /// If the file cannot be read, or is not whole.
    pub fn read(&self, portions: &Range<u64>) -> Result<Vec<Place>> {
        let bytes = if self.size <= SMALL {
            let mut bytes = self.end_from(0)?;
            bytes.truncate(self.bytes() as usize);
            bytes
        } else {
            let entries = self.find(portions)?;
            self.range(entries.start * DUPLICATE..entries.end * DUPLICATE)?
        };
        let all = bytes.chunks_exact(DUPLICATE as usize).map(|pair| (word(&pair[..4]), word(&pair[4..])));
        Ok(all.filter(|(portion, _)| portions.contains(&u64::from(*portion))).collect())
    }

    /// Returns which duplicates may be of `portions`, by the index.
    fn find(&self, portions: &Range<u64>) -> Result<Range<u64>> {
        let bytes = self.end_from(self.bytes())?;
        let index: Vec<u64> = bytes.chunks_exact(4).map(|bytes| u64::from(word(bytes))).collect();
        let first = index.partition_point(|&portion| portion < portions.start).saturating_sub(1) as u64;
        let end = index.partition_point(|&portion| portion < portions.end) as u64;
        Ok(first * STEP..(end * STEP).min(self.len).max(first * STEP))
    }

    /// Reads what is between `start` and the number of duplicates, and checks that number.
    fn end_from(&self, start: u64) -> Result<Vec<u8>> {
        let mut bytes = self.range(start..self.size)?;
        if !bytes.ends_with(&end(self.len)) {
            return Err(damaged(&self.path));
        }
        bytes.truncate(bytes.len() - COUNT as usize);
        Ok(bytes)
    }

    fn range(&self, bytes: Range<u64>) -> Result<Vec<u8>> {
        range(&self.path, self.size, bytes.start, bytes.end - bytes.start)
    }
}

fn word(bytes: &[u8]) -> u32 {
    bytes.try_into().map_or(0, u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_portion_finds_its_duplicates(
            list in prop::collection::btree_set((0..9_u32, 0..9_u32), 0..40),
            start in 0..10_u64,
            length in 0..10_u64,
        ) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("list");
            let list: Vec<_> = list.into_iter().collect();
            write_list(&path, &list).unwrap();
            let found = List::new(&path, std::fs::metadata(&path).unwrap().len()).unwrap();
            prop_assert_eq!(found.len, list.len() as u64);
            let portions = start..start + length;
            let wanted: Vec<_> =
                list.into_iter().filter(|(portion, _)| portions.contains(&u64::from(*portion))).collect();
            prop_assert_eq!(found.read(&portions).unwrap(), wanted);
        }
    }

    #[test]
    fn a_list_of_another_size_is_damaged() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("list");
        for count in 0..20 {
            // Each of these pairs could be the number of duplicates of a shorter list if it was not inverted.
            let list: Vec<_> = (0..count).map(|number| (number, 0)).collect();
            write_list(&path, &list).unwrap();
            let whole = std::fs::read(&path).unwrap();
            for size in 0..whole.len() + 30 {
                let mut bytes = whole.clone();
                bytes.resize(size, 0);
                std::fs::write(&path, &bytes).unwrap();
                let found = List::new(&path, size as u64).and_then(|list| list.read(&(0..20)));
                if size == whole.len() {
                    assert_eq!(found.unwrap(), list);
                } else {
                    let error = found.unwrap_err().to_string();
                    assert!(error.contains("list: this temporary file is damaged"), "{error}");
                }
            }
        }
    }

    #[test]
    fn a_list_that_becomes_shorter_is_damaged() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("list");
        for count in 1..20 {
            let list: Vec<_> = (0..count).map(|number| (number, 1)).collect();
            write_list(&path, &list).unwrap();
            let found = List::new(&path, std::fs::metadata(&path).unwrap().len()).unwrap();
            std::fs::write(&path, "").unwrap();
            assert!(found.read(&(0..20)).unwrap_err().to_string().contains("this temporary file is damaged"));
        }
    }
}
