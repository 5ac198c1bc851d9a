//! Checks everything in a part: its checksum, its ids and its ends. It reads the part once, in order.

use std::ops::Range;

use xxhash_rust::xxh3::Xxh3;

use super::reader::MappedPart;
use super::{Layout, META_FILE, PartMeta};
use crate::{Error, Result};

/// The bytes that are read before they are released.
const SLICE: usize = if cfg!(test) { 16 } else { 4 << 20 };

/// The bytes that are hashed and then checked, while they are in the processor's cache.
const BITE: usize = if cfg!(test) { 8 } else { 128 << 10 };

impl MappedPart {
    /// Checks the part against its description.
    ///
    /// # Errors
    /// [`Error::Data`] naming the part, if its checksum is another one, or if it has that checksum and is still wrong.
    pub fn verify(&self, meta: &PartMeta) -> Result<()> {
        let damaged =
            |reason: String| Err(Error::data(&self.path, reason + "; copy the store again, or make it again"));
        let (mut hash, mut at) = (Xxh3::new(), 0);
        let Layout { ids, sentence_ends, document_ends } = &self.layout;
        let check = if self.header.id_bytes == 2 { Self::check_ids::<u16> } else { Self::check_ids::<u32> };
        let found = [
            check(self, ids, &mut at, &mut hash),
            self.check_ends("sentence", sentence_ends, &mut at, &mut hash),
            self.check_ends("document", document_ends, &mut at, &mut hash),
        ];
        let sum = format!("{:032x}", hash.digest128());
        if sum != meta.xxh3_128 {
            return damaged(format!("its checksum (XXH3-128) is {sum}, but {META_FILE} says {}", meta.xxh3_128));
        }
        found.into_iter().flatten().next().map_or(Ok(()), damaged)
    }

    fn check_ids<T>(&self, section: &Range<u64>, at: &mut u64, hash: &mut Xxh3) -> Option<String>
    where
        T: bytemuck::AnyBitPattern + Ord + Into<u32>,
    {
        let vocab_size = self.header.vocab_size;
        let mut wrong = None;
        self.in_bites(section, at, hash, |first, ids: &[T]| {
            // The largest id of many is found faster than the first that is too large: the compiler vectorizes a fold, and
            // not `max()`, which returns the last of equal elements.
            let most = ids.iter().fold(T::zeroed(), |most, &id| most.max(id));
            if most.into() >= vocab_size && wrong.is_none() {
                let found = ids.iter().position(|&id| id.into() >= vocab_size);
                wrong = found.map(|index| (first + index, ids[index].into()));
            }
        });
        let (index, id) = wrong?;
        Some(format!("token {index} has id {id}, but the vocabulary has {vocab_size} pieces"))
    }

    fn check_ends(&self, name: &str, section: &Range<u64>, at: &mut u64, hash: &mut Xxh3) -> Option<String> {
        let (mut before, mut wrong) = (0, None);
        self.in_bites(section, at, hash, |first, ends: &[u64]| {
            for (index, &end) in (first..).zip(ends) {
                if end <= before && wrong.is_none() {
                    wrong = Some((index, end, before));
                }
                before = end;
            }
        });
        let (index, end, before) = wrong?;
        Some(format!("{name} end {index} is {end}, after {before}"))
    }

    /// Hashes the bytes from `at` to the end of `section`. Calls `visit` with one piece of the section after the other,
    /// and with the number of its first value. Releases what was read, so that memory does not grow with the part.
    fn in_bites<T: bytemuck::AnyBitPattern>(
        &self,
        section: &Range<u64>,
        at: &mut u64,
        hash: &mut Xxh3,
        mut visit: impl FnMut(usize, &[T]),
    ) {
        hash.update(self.bytes(*at..section.start));
        for start in section.clone().step_by(SLICE) {
            let slice = start..(start + SLICE as u64).min(section.end);
            for start in slice.clone().step_by(BITE) {
                let bite = self.bytes(start..(start + BITE as u64).min(slice.end));
                hash.update(bite);
                visit((start - section.start) as usize / size_of::<T>(), bytemuck::cast_slice(bite));
            }
            self.release_bytes(slice.start as usize..slice.end as usize);
        }
        *at = section.end;
    }
}
