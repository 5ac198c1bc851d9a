//! Pairs of near-duplicates, one file for each partition of their keys.
//!
//! A pair has 16 bytes: the numbers of the portion and of the document, of the first document of a key and of a later one,
//! all little-endian. The last 8 bytes are the number of pairs, with all bits inverted, so that no file that is cut off
//! looks complete.

use std::path::Path;

use crate::Result;
use crate::files::notes::create;
use crate::files::raw::read_optional;
use crate::prepare::hashes::{Place, damaged};

/// The size in bytes of a pair.
const PAIR: usize = 16;
/// The size in bytes of the number of pairs, at the end.
const COUNT: usize = 8;

/// Writes pairs of documents.
pub(super) fn write_pairs(path: &Path, pairs: &[(Place, Place)]) -> Result<()> {
    let mut file = create(path)?;
    let numbers = pairs.iter().flat_map(|&(one, other)| [one.0, one.1, other.0, other.1]);
    let mut bytes: Vec<u8> = numbers.flat_map(u32::to_le_bytes).collect();
    bytes.extend((!(pairs.len() as u64)).to_le_bytes());
    file.write(&bytes)?;
    file.commit().map(drop)
}

/// Reads pairs of documents, if there is such a file.
///
/// # Errors
/// If the file cannot be read, or is not whole.
pub(super) fn read_pairs(path: &Path) -> Result<Option<Vec<(Place, Place)>>> {
    let Some(bytes) = read_optional(path)? else { return Ok(None) };
    let Some((pairs, count)) = bytes.split_last_chunk::<COUNT>() else { return Err(damaged(path)) };
    if !pairs.len().is_multiple_of(PAIR) || !u64::from_le_bytes(*count) != (pairs.len() / PAIR) as u64 {
        return Err(damaged(path));
    }
    let number = |bytes: &[u8]| bytes.try_into().map_or(0, u32::from_le_bytes);
    let place = |bytes: &[u8]| (number(&bytes[..4]), number(&bytes[4..8]));
    Ok(Some(pairs.chunks_exact(PAIR).map(|pair| (place(&pair[..8]), place(&pair[8..]))).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_back_only_if_they_are_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pairs");
        assert_eq!(read_pairs(&path).unwrap(), None);
        for count in 0..4 {
            let pairs: Vec<_> = (0..count).map(|number| ((0, number), (u32::MAX, 7))).collect();
            write_pairs(&path, &pairs).unwrap();
            assert_eq!(read_pairs(&path).unwrap(), Some(pairs));
            let whole = std::fs::read(&path).unwrap();
            for size in (0..whole.len()).chain([whole.len() + 1, whole.len() + PAIR]) {
                let mut bytes = whole.clone();
                bytes.resize(size, 0);
                std::fs::write(&path, &bytes).unwrap();
                let error = read_pairs(&path).unwrap_err().to_string();
                assert!(error.contains("pairs: this temporary file is damaged"), "{size}: {error}");
            }
        }
    }
}
