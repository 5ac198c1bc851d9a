//! A bounded cache that maps a word, as it appears in the text, to its ids.
//!
//! It has three tables of fixed size, so that no input makes it grow. All are two-way set-associative, with the last
//! used way first. A set takes one cache line for words of up to 12 bytes and 6 ids of 16 bits. It takes two lines for
//! words of up to 23 bytes, and six for words of up to 96. A word with more ids than its slot can hold is not cached.

#![expect(clippy::inline_always, reason = "a call would take a fifth of a lookup's time")]

use bytemuck::Zeroable;
use bytemuck::allocation::zeroed_vec;

use super::words::{KEY_WORDS, WINDOW, Word, masked};

/// What is known about a word.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// The score of its best segmentation. It is negative or 0 if its ids are those of the segmentation, and so
    /// determine the score exactly. Otherwise it has the opposite sign.
    pub score: f32,
    /// The largest sum of scores up to its end at which rounding cannot change its segmentation. Negative if its line
    /// must be segmented as a whole.
    pub limit: f32,
}

#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Slot<const KEY: usize, const IDS: usize> {
    key: [u64; KEY],
    ids: [u32; IDS],
    facts: Facts,
    /// Length of the word in bytes. 0 marks an empty slot.
    key_length: u16,
    ids_length: u16,
}

impl<const KEY: usize, const IDS: usize> Slot<KEY, IDS> {
    #[inline]
    fn is(&self, key: &[u64; KEY], length: usize) -> bool {
        let mut difference = u64::from(self.key_length) ^ length as u64;
        for (ours, theirs) in self.key.iter().zip(key) {
            difference |= ours ^ theirs;
        }
        difference == 0
    }
}

/// A set-associative table with slots for words of up to `8 * KEY` bytes and `IDS` ids.
#[derive(Debug)]
struct Table<const KEY: usize, const IDS: usize> {
    slots: Vec<Slot<KEY, IDS>>,
    shift: u32,
}

impl<const KEY: usize, const IDS: usize> Table<KEY, IDS> {
    fn new(sets_log2: u32) -> Self {
        let slots = empty_slots(2 << sets_log2);
        Self { slots, shift: 64 - sets_log2 }
    }

    #[inline]
    fn set(&self, key: &[u64; KEY]) -> usize {
        let mut hash = 0;
        for (index, word) in (0u32..).zip(key) {
            hash ^= word.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(21 * index);
        }
        hash ^= hash >> 32;
        (hash.wrapping_mul(0xD6E8_FEB8_6659_FD93) >> self.shift) as usize * 2
    }

    #[inline]
    fn append(&mut self, set: usize, key: &[u64; KEY], length: usize, out: &mut Vec<u32>) -> Option<Facts> {
        let [first, second] = &mut self.slots[set..set + 2] else { return None };
        if !first.is(key, length) {
            if !second.is(key, length) {
                return None;
            }
            std::mem::swap(first, second);
        }
        // Copies all of the array and then sets the length, because a copy of constant size needs no call.
        let end = out.len() + usize::from(first.ids_length);
        out.extend_from_slice(&first.ids);
        out.truncate(end);
        Some(first.facts)
    }

    fn put(&mut self, set: usize, key: [u64; KEY], length: usize, ids: &[u32], facts: Facts) {
        self.slots[set + 1] = self.slots[set];
        let slot = &mut self.slots[set];
        slot.ids[..ids.len()].copy_from_slice(ids);
        slot.key = key;
        slot.facts = facts;
        slot.key_length = length as u16;
        slot.ids_length = ids.len() as u16;
    }
}

/// A short word. It takes half a cache line.
#[derive(Debug, Default, Clone, Copy)]
#[repr(C)]
struct ShortSlot {
    /// The first eight bytes of the word.
    first: u64,
    /// The other four bytes.
    rest: u32,
    /// Length of the word in bytes. 0 marks an empty slot.
    key_length: u16,
    /// The upper half of [`Facts::score`], rounded away from 0.
    score: u16,
    ids: [u16; SHORT_IDS],
    /// The upper half of [`Facts::limit`], rounded toward 0.
    limit: u16,
    ids_length: u16,
}

/// The short words of one set. They take one cache line.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct ShortSet([ShortSlot; 2]);

const SHORT_BYTES: usize = 12;
const SHORT_IDS: usize = 6;

impl ShortSlot {
    /// Returns a slot for ids below 65,536, at most [`SHORT_IDS`] of them.
    fn new(key: &[u64; KEY_WORDS], length: usize, ids: &[u32], facts: Facts) -> Option<Self> {
        let mut narrow = [0; SHORT_IDS];
        for (target, &id) in narrow.get_mut(..ids.len())?.iter_mut().zip(ids) {
            *target = u16::try_from(id).ok()?;
        }
        let upper = |value: f32| (value.to_bits() >> 16) as u16;
        let score = upper(facts.score) + u16::from(facts.score.to_bits() & 0xFFFF != 0);
        Some(Self {
            first: key[0],
            rest: key[1] as u32,
            key_length: length as u16,
            score,
            ids: narrow,
            limit: upper(facts.limit),
            ids_length: ids.len() as u16,
        })
    }

    #[inline(always)]
    fn is(&self, key: &[u64; KEY_WORDS], length: usize) -> bool {
        let rest = u64::from(self.rest) | u64::from(self.key_length) << 32;
        (self.first ^ key[0]) | (rest ^ (key[1] | (length as u64) << 32)) == 0
    }

    #[inline]
    fn facts(&self) -> Facts {
        let upper = |half: u16| f32::from_bits(u32::from(half) << 16);
        Facts { score: upper(self.score), limit: upper(self.limit) }
    }
}

impl ShortSet {
    #[inline(always)]
    fn append(&mut self, key: &[u64; KEY_WORDS], length: usize, out: &mut Vec<u32>) -> Option<Facts> {
        let [first, second] = &mut self.0;
        if !first.is(key, length) {
            if !second.is(key, length) {
                return None;
            }
            std::mem::swap(first, second);
        }
        // Copies all of the array and then sets the length, because a copy of constant size needs no call.
        let end = out.len() + usize::from(first.ids_length);
        out.extend_from_slice(&first.ids.map(u32::from));
        out.truncate(end);
        Some(first.facts())
    }
}

const SHORT_SETS_LOG2: u32 = 17;
const SMALL_IDS: usize = 7;
const LARGE_WORDS: usize = 12;
const LARGE_IDS: usize = 20;

/// The cache of one thread: 8 MiB of short words, 4 MiB of medium ones, 3 MiB of long ones.
#[derive(Debug)]
pub struct WordCache {
    short: Vec<ShortSet>,
    small: Table<KEY_WORDS, SMALL_IDS>,
    large: Table<LARGE_WORDS, LARGE_IDS>,
}

impl Default for WordCache {
    fn default() -> Self {
        Self { short: empty_slots(1 << SHORT_SETS_LOG2), small: Table::new(15), large: Table::new(13) }
    }
}

/// Returns the first `8 * KEY` bytes of `word` as little-endian words, padded with zeros.
fn load<const KEY: usize>(word: &[u8]) -> [u64; KEY] {
    let mut key = [0; KEY];
    for (slot, bytes) in key.iter_mut().zip(word.chunks(8)) {
        let mut padded = [0; 8];
        padded[..bytes.len()].copy_from_slice(bytes);
        *slot = u64::from_le_bytes(padded);
    }
    key
}

/// Returns empty slots. The kernel zeroes their memory when it is first used.
fn empty_slots<T: Zeroable>(count: usize) -> Vec<T> {
    let slots = zeroed_vec(count);
    ask_for_huge_pages(&slots);
    slots
}

// SAFETY: all fields of a slot may be zero: an empty slot.
unsafe impl<const KEY: usize, const IDS: usize> Zeroable for Slot<KEY, IDS> {}

// SAFETY: as above.
unsafe impl Zeroable for ShortSet {}

/// Lets the kernel back the memory of `slots` with huge pages, before it is first used. With a small page per slot,
/// address translation would cost more than the lookup. Only speed depends on whether the kernel does so.
fn ask_for_huge_pages<T>(slots: &Vec<T>) {
    #[cfg(target_os = "linux")]
    {
        const PAGE: usize = 4096;
        let start = (slots.as_ptr() as usize).next_multiple_of(PAGE);
        let end = slots.as_ptr() as usize + slots.capacity() * size_of::<T>();
        if start < end {
            // SAFETY: the range lies in memory that `slots` owns, and MADV_HUGEPAGE changes none of its contents.
            unsafe {
                libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE);
            }
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = slots;
}

/// Prefetches the cache line of `slot`.
#[inline]
fn prefetch<T>(slot: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of x86-64, and a prefetch reads nothing, whatever the address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(slot).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = slot;
}

impl WordCache {
    /// Finds the place of `word` in the table and prefetches it. A lookup far from the last ones waits for memory, and
    /// many of them can wait together.
    #[inline(always)]
    pub fn prepare(&self, word: &mut Word) {
        if word.length() <= SHORT_BYTES {
            let key = &word.key;
            let hash = (key[0] ^ key[1].rotate_left(29)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            word.set = ((hash ^ hash >> 32).wrapping_mul(0xD6E8_FEB8_6659_FD93) >> (64 - SHORT_SETS_LOG2)) as usize;
            prefetch(&self.short[word.set]);
        } else if word.length() < WINDOW {
            word.set = self.small.set(&word.key);
            prefetch(&self.small.slots[word.set]);
        }
    }

    /// Returns a prepared word that consists of `spaces` spaces, up to one, and `text[start..end]`. Returns `None` if it
    /// is too long. `text` must have that many bytes before `start`, and a window after it.
    #[inline]
    pub fn prepared(&self, text: &[u8], start: usize, end: usize, spaces: usize) -> Option<Word> {
        let start = start - spaces;
        if end - start >= WINDOW {
            return None;
        }
        let mut key = masked(text.get(start..)?.first_chunk()?, end - start);
        let prefix = (1 << (8 * spaces)) - 1;
        key[0] = key[0] & !prefix | 0x20 & prefix;
        let mut word = Word { start, end, key, set: 0 };
        self.prepare(&mut word);
        Some(word)
    }

    /// Appends the ids of `word` in `text` to `out`, if the word is cached. It must be prepared.
    #[inline(always)]
    pub fn append(&mut self, text: &[u8], word: &Word, out: &mut Vec<u32>) -> Option<Facts> {
        if word.length() <= SHORT_BYTES {
            self.short[word.set].append(&word.key, word.length(), out)
        } else {
            self.append_longer(text, word, out)
        }
    }

    #[inline(never)]
    fn append_longer(&mut self, text: &[u8], word: &Word, out: &mut Vec<u32>) -> Option<Facts> {
        if word.length() < WINDOW {
            self.small.append(word.set, &word.key, word.length(), out)
        } else {
            self.append_large(&text[word.start..word.end], out)
        }
    }

    #[cold]
    fn append_large(&mut self, word: &[u8], out: &mut Vec<u32>) -> Option<Facts> {
        if word.len() > 8 * LARGE_WORDS {
            return None;
        }
        let key = load(word);
        let set = self.large.set(&key);
        self.large.append(set, &key, word.len(), out)
    }

    /// Caches `word` of `text`, if there are slots of its size. It must be prepared.
    pub fn put(&mut self, text: &[u8], word: &Word, ids: &[u32], facts: Facts) {
        let length = word.length();
        if length <= SHORT_BYTES {
            if let Some(slot) = ShortSlot::new(&word.key, length, ids, facts) {
                let set = &mut self.short[word.set].0;
                *set = [slot, set[0]];
            }
        } else if length < WINDOW {
            if ids.len() <= SMALL_IDS {
                self.small.put(word.set, word.key, length, ids, facts);
            }
        } else if length <= 8 * LARGE_WORDS && ids.len() <= LARGE_IDS {
            let key = load(&text[word.start..word.end]);
            self.large.put(self.large.set(&key), key, length, ids, facts);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::words::Line;
    use super::*;
    use proptest::prelude::*;

    fn first_word(text: &str) -> Option<Word> {
        let mut line = Line::default();
        line.set(text, false);
        line.words().next()
    }

    fn get(cache: &mut WordCache, text: &str) -> Option<(Vec<u32>, Facts)> {
        let mut out = vec![77];
        let mut word = first_word(text)?;
        cache.prepare(&mut word);
        let facts = cache.append(text.as_bytes(), &word, &mut out)?;
        assert_eq!(out.remove(0), 77);
        Some((out, facts))
    }

    proptest! {
        #[test]
        fn gives_back_what_was_put(
            words in prop::collection::hash_map("[a-c\0é]{1,40}", prop::collection::vec(0..70_000u32, 0..25), 1..3),
        ) {
            let mut cache = WordCache::default();
            for (word, ids) in &words {
                let mut prepared = first_word(word).expect("one word");
                cache.prepare(&mut prepared);
                cache.put(word.as_bytes(), &prepared, ids, Facts { score: -10.03, limit: 0.03 + ids.len() as f32 });
            }
            // A set holds two words, so none has been evicted.
            for (word, ids) in &words {
                // Looks each up twice, because the first time may have moved its slot to the front of the set.
                for _ in 0..2 {
                    let found = get(&mut cache, word);
                    let fits = if word.len() <= SHORT_BYTES {
                        ids.len() <= SHORT_IDS && ids.iter().all(|&id| id < 1 << 16)
                    } else {
                        ids.len() <= if word.len() < WINDOW { SMALL_IDS } else { LARGE_IDS }
                    };
                    prop_assert_eq!(found.is_some(), fits);
                    if let Some((found, facts)) = found {
                        prop_assert_eq!(&found, ids);
                        prop_assert!(facts.score <= -10.03 && facts.score > -10.2);
                        let limit = 0.03 + ids.len() as f32;
                        prop_assert!(facts.limit <= limit && facts.limit > 0.99 * limit);
                    }
                }
            }
        }
    }

    #[test]
    fn slots_fill_whole_cache_lines() {
        assert_eq!(size_of::<ShortSet>(), 64);
        assert_eq!(size_of::<Slot<KEY_WORDS, SMALL_IDS>>(), 64);
        assert_eq!(size_of::<Slot<LARGE_WORDS, LARGE_IDS>>(), 192);
    }
}
