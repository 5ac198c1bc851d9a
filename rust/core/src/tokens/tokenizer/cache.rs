//! A bounded cache that maps a word, as it appears in the text, to its ids.
//!
//! It has three tables of fixed size, so that no input makes it grow. All are two-way set-associative, with the last
//! used way first. A set takes one cache line for words of up to 12 bytes and 6 ids of 16 bits. It takes two lines for
//! words of up to 23 bytes, and six for words of up to 96. A word with more ids than its slot can hold is not cached.

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
        let empty = Slot {
            key: [0; KEY],
            ids: [0; IDS],
            facts: Facts { score: 0.0, limit: 0.0 },
            key_length: 0,
            ids_length: 0,
        };
        let mut slots = Vec::with_capacity(2 << sets_log2);
        ask_for_huge_pages(&slots);
        slots.resize(2 << sets_log2, empty);
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
    key: [u32; 3],
    ids: [u16; SHORT_IDS],
    /// The upper half of [`Facts::score`], rounded away from 0.
    score: u16,
    /// The upper half of [`Facts::limit`], rounded toward 0.
    limit: u16,
    /// Length of the word in bytes. 0 marks an empty slot.
    key_length: u8,
    ids_length: u8,
    unused: u16,
}

/// The short words of one set. They take one cache line.
#[derive(Debug, Default, Clone, Copy)]
#[repr(C, align(64))]
struct ShortSet([ShortSlot; 2]);

const SHORT_BYTES: usize = 12;
const SHORT_IDS: usize = 6;

impl ShortSlot {
    /// Returns a slot for ids below 65,536, at most [`SHORT_IDS`] of them.
    fn new(key: [u32; 3], length: usize, ids: &[u32], facts: Facts) -> Option<Self> {
        let mut narrow = [0; SHORT_IDS];
        for (target, &id) in narrow.get_mut(..ids.len())?.iter_mut().zip(ids) {
            *target = u16::try_from(id).ok()?;
        }
        let upper = |value: f32| (value.to_bits() >> 16) as u16;
        let score = upper(facts.score) + u16::from(facts.score.to_bits() & 0xFFFF != 0);
        Some(Self {
            key,
            ids: narrow,
            score,
            limit: upper(facts.limit),
            key_length: length as u8,
            ids_length: ids.len() as u8,
            unused: 0,
        })
    }

    #[inline]
    fn is(&self, key: [u32; 3], length: usize) -> bool {
        let [ours, theirs] = [self.key, key];
        (ours[0] ^ theirs[0])
            | (ours[1] ^ theirs[1])
            | (ours[2] ^ theirs[2])
            | (u32::from(self.key_length) ^ length as u32)
            == 0
    }

    #[inline]
    fn facts(&self) -> Facts {
        let upper = |half: u16| f32::from_bits(u32::from(half) << 16);
        Facts { score: upper(self.score), limit: upper(self.limit) }
    }
}

impl ShortSet {
    #[inline]
    fn append(&mut self, key: [u32; 3], length: usize, out: &mut Vec<u32>) -> Option<Facts> {
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

#[inline]
fn short_key(key: &[u64; SMALL_WORDS]) -> [u32; 3] {
    [key[0] as u32, (key[0] >> 32) as u32, key[1] as u32]
}

const SHORT_SETS_LOG2: u32 = 17;
const SMALL_WORDS: usize = 3;
const SMALL_IDS: usize = 7;
const LARGE_WORDS: usize = 12;
const LARGE_IDS: usize = 20;

/// The cache of one thread: 8 MiB of short words, 4 MiB of medium ones, 3 MiB of long ones.
#[derive(Debug)]
pub struct WordCache {
    short: Vec<ShortSet>,
    small: Table<SMALL_WORDS, SMALL_IDS>,
    large: Table<LARGE_WORDS, LARGE_IDS>,
}

impl Default for WordCache {
    fn default() -> Self {
        let mut short = Vec::with_capacity(1 << SHORT_SETS_LOG2);
        ask_for_huge_pages(&short);
        short.resize(1 << SHORT_SETS_LOG2, ShortSet::default());
        Self { short, small: Table::new(15), large: Table::new(13) }
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

/// A text whose words are read one after the other, with what the cache needs to look up each of them.
#[derive(Debug)]
pub struct Words<'a> {
    text: &'a [u8],
    /// The last bytes of the text, a space, and zeros, so that a whole window can be read at any place in the text.
    tail: [u8; 2 * WINDOW],
    position: usize,
}

/// The bytes of a key in the small slots. A word of that many bytes counts as long, because the space after it is not
/// seen.
const WINDOW: usize = 8 * SMALL_WORDS;

/// A word of a text.
#[derive(Debug, Default, Clone, Copy)]
pub struct Word {
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
    key: Option<[u64; SMALL_WORDS]>,
    /// The number of its set among the small slots. [`WordCache::prepare`] sets it.
    set: u32,
}

impl<'a> Words<'a> {
    /// Returns the words of `text`, separated by spaces (U+0020).
    pub fn new(text: &'a [u8]) -> Self {
        let mut tail = [0; 2 * WINDOW];
        let end = &text[text.len().saturating_sub(WINDOW)..];
        tail[..end.len()].copy_from_slice(end);
        tail[end.len()] = b' ';
        Self { text, tail, position: 0 }
    }

    /// Returns eight bytes from `at`, which may be up to [`WINDOW`] bytes after the text.
    #[inline]
    fn eight(&self, at: usize) -> u64 {
        let bytes = match self.text.get(at..at + 8) {
            Some(bytes) => bytes,
            None => &self.tail[at - self.text.len().saturating_sub(WINDOW)..][..8],
        };
        u64::from_le_bytes(bytes.try_into().unwrap_or_default())
    }
}

/// Returns the index of the first space among the eight bytes of `word`, or 8.
#[inline]
fn first_space(word: u64) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    // The lowest set top bit marks the first byte that is a space.
    let differences = word ^ (ONES * b' ' as u64);
    let zeros = differences.wrapping_sub(ONES) & !differences & (ONES << 7);
    zeros.trailing_zeros() as usize / 8
}

impl Iterator for Words<'_> {
    type Item = Word;

    #[inline]
    fn next(&mut self) -> Option<Word> {
        while self.position < self.text.len() {
            let start = self.position;
            let mut key = [self.eight(start), 0, 0];
            let mut length = first_space(key[0]);
            if length == 0 {
                self.position += 1;
                continue;
            }
            let mut last = 0;
            while length == 8 * (last + 1) {
                last += 1;
                if last == SMALL_WORDS {
                    let end = memchr::memchr(b' ', &self.text[start..]).map_or(self.text.len(), |at| start + at);
                    self.position = end + 1;
                    return Some(Word { start, end, ..Word::default() });
                }
                key[last] = self.eight(start + 8 * last);
                length = 8 * last + first_space(key[last]);
            }
            key[last] &= (1 << (8 * (length % 8))) - 1;
            self.position = start + length + 1;
            return Some(Word { start, end: start + length, key: Some(key), ..Word::default() });
        }
        None
    }
}

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
    #[inline]
    pub fn prepare(&self, word: &mut Word) {
        let Some(key) = &word.key else { return };
        if word.end - word.start <= SHORT_BYTES {
            let hash = (key[0] ^ key[1].rotate_left(29)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let set = ((hash ^ hash >> 32).wrapping_mul(0xD6E8_FEB8_6659_FD93) >> (64 - SHORT_SETS_LOG2)) as usize;
            word.set = set as u32;
            prefetch(&self.short[set]);
        } else {
            let set = self.small.set(key);
            word.set = set as u32;
            prefetch(&self.small.slots[set]);
        }
    }

    /// Appends the ids of `word` in `text` to `out`, if the word is cached. It must be prepared.
    #[inline]
    pub fn append(&mut self, text: &[u8], word: &Word, out: &mut Vec<u32>) -> Option<Facts> {
        let length = word.end - word.start;
        match &word.key {
            Some(key) if length <= SHORT_BYTES => self.short[word.set as usize].append(short_key(key), length, out),
            Some(key) => self.small.append(word.set as usize, key, length, out),
            None => self.append_large(&text[word.start..word.end], out),
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
        let length = word.end - word.start;
        match &word.key {
            Some(key) if length <= SHORT_BYTES => {
                if let Some(slot) = ShortSlot::new(short_key(key), length, ids, facts) {
                    let set = &mut self.short[word.set as usize].0;
                    *set = [slot, set[0]];
                }
            }
            Some(key) if ids.len() <= SMALL_IDS => self.small.put(word.set as usize, *key, length, ids, facts),
            None if length <= 8 * LARGE_WORDS && ids.len() <= LARGE_IDS => {
                let key = load(&text[word.start..word.end]);
                self.large.put(self.large.set(&key), key, length, ids, facts);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn get(cache: &mut WordCache, text: &str) -> Option<(Vec<u32>, Facts)> {
        let mut out = vec![77];
        let mut word = Words::new(text.as_bytes()).next()?;
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
                let mut prepared = Words::new(word.as_bytes()).next().expect("one word");
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

        #[test]
        fn words_are_what_stands_between_spaces(text in "[ab\0é ]{0,80}") {
            let found: Vec<&str> = Words::new(text.as_bytes()).map(|word| &text[word.start..word.end]).collect();
            let expected: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn keys_tell_words_apart(text in "[a\0]{0,30} [a\0]{0,30}") {
            let words: Vec<Word> = Words::new(text.as_bytes()).collect();
            if let [first, second] = words[..] {
                let same = text[first.start..first.end] == text[second.start..second.end];
                if first.key.is_some() && second.key.is_some() {
                    let length = |word: Word| word.end - word.start;
                    prop_assert_eq!(first.key == second.key && length(first) == length(second), same);
                }
            }
        }
    }

    #[test]
    fn slots_fill_whole_cache_lines() {
        assert_eq!(size_of::<ShortSet>(), 64);
        assert_eq!(size_of::<Slot<SMALL_WORDS, SMALL_IDS>>(), 64);
        assert_eq!(size_of::<Slot<LARGE_WORDS, LARGE_IDS>>(), 192);
    }
}
