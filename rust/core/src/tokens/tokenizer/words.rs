//! Splits a text at its spaces, and loads each word as the integers that the word cache compares.

/// The integers of a key.
pub const KEY_WORDS: usize = 3;

/// The bytes of a key. A word of that many bytes counts as long.
pub const WINDOW: usize = 8 * KEY_WORDS;

/// A word of a text.
#[derive(Debug, Default, Clone, Copy)]
pub struct Word {
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
    /// Its bytes and zeros, or only zeros if it is too long.
    pub key: [u64; KEY_WORDS],
    /// The number of its set in the table for words of its length. [`super::cache::WordCache::prepare`] sets it.
    pub set: usize,
}

impl Word {
    /// Its length in bytes.
    #[inline]
    pub fn length(&self) -> usize {
        self.end - self.start
    }
}

/// The bytes that are searched for spaces together.
const BLOCK: usize = 64;

/// A copy of a text with zeros after it, so that a whole block or window can be read at any place in the text.
#[derive(Debug, Default)]
pub struct Line {
    padded: String,
    length: usize,
}

impl Line {
    /// Replaces the text, with ASCII capitals lowercased if `lower`.
    #[inline]
    pub fn set(&mut self, text: &str, lower: bool) {
        const ZEROS: &str = match std::str::from_utf8(&[0; 2 * BLOCK]) {
            Ok(zeros) => zeros,
            Err(_) => "",
        };
        self.length = text.len();
        self.padded.clear();
        self.padded.push_str(text);
        // Whole blocks are lowercased faster.
        self.padded.push_str(&ZEROS[text.len() % BLOCK..]);
        if lower {
            self.padded.make_ascii_lowercase();
        }
    }

    /// The text.
    #[inline]
    pub fn text(&self) -> &str {
        &self.padded[..self.length]
    }

    /// The bytes that the copy takes.
    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        self.padded.capacity()
    }

    /// The words of the text, separated by spaces (U+0020).
    #[inline]
    pub fn words(&self) -> Words<'_> {
        let mut words = Words { line: self, position: 0, spaces: 0, block: 0 };
        words.find_spaces();
        words
    }
}

/// A text whose words are read one after the other, with what the cache needs to look up each of them.
///
/// Spaces are found a block at a time, as the bits of a mask. Going from bit to bit has no branch that depends on the
/// length of a word.
#[derive(Debug)]
pub struct Words<'a> {
    line: &'a Line,
    /// Where the next word begins, or the space before it.
    position: usize,
    /// The spaces in the block at `block` that are not yet passed. The end of the text counts as a space.
    spaces: u64,
    block: usize,
}

impl Words<'_> {
    /// Finds the spaces in the block.
    #[inline]
    fn find_spaces(&mut self) {
        let block = self.line.padded.as_bytes()[self.block..].first_chunk().unwrap_or(&[0; BLOCK]);
        let left = self.line.length - self.block;
        self.spaces = spaces_in(block) | if left < BLOCK { 1 << left } else { 0 };
    }

    /// Returns a window at `start`, which must be in the text.
    #[inline]
    fn window(&self, start: usize) -> &[u8; WINDOW] {
        self.line.padded.as_bytes()[start..].first_chunk().unwrap_or(&[0; WINDOW])
    }
}

impl Iterator for Words<'_> {
    type Item = Word;

    #[inline]
    fn next(&mut self) -> Option<Word> {
        loop {
            while self.spaces == 0 {
                self.block += BLOCK;
                if self.block > self.line.length {
                    return None;
                }
                self.find_spaces();
            }
            let (start, end) = (self.position, self.block + self.spaces.trailing_zeros() as usize);
            self.spaces &= self.spaces - 1;
            self.position = end + 1;
            if start < end {
                return Some(Word { start, end, key: masked(self.window(start), end - start), set: 0 });
            }
        }
    }
}

/// Returns the first `length` bytes of a window as little-endian words, and zeros. Returns only zeros if the window has
/// no byte more.
#[inline]
pub fn masked(window: &[u8; WINDOW], length: usize) -> [u64; KEY_WORDS] {
    const MASKS: [[u64; KEY_WORDS]; WINDOW + 1] = {
        let mut masks = [[0; KEY_WORDS]; WINDOW + 1];
        let mut byte = 0;
        while byte < WINDOW - 1 {
            let mut length = byte + 1;
            while length < WINDOW {
                masks[length][byte / 8] |= 0xFF << (8 * (byte % 8));
                length += 1;
            }
            byte += 1;
        }
        masks
    };
    let key: [u64; KEY_WORDS] = bytemuck::pod_read_unaligned(window);
    let mask = &MASKS[length.min(WINDOW)];
    [u64::from_le(key[0]) & mask[0], u64::from_le(key[1]) & mask[1], u64::from_le(key[2]) & mask[2]]
}

/// Returns a mask with a bit for each space of a block.
#[cfg(target_arch = "x86_64")]
#[inline]
fn spaces_in(block: &[u8; BLOCK]) -> u64 {
    use std::arch::x86_64::{__m128i, _mm_cmpeq_epi8, _mm_movemask_epi8, _mm_set1_epi8};
    let (parts, _) = block.as_chunks::<16>();
    parts.iter().rev().fold(0, |mask, part| {
        let bytes: __m128i = bytemuck::pod_read_unaligned(part);
        // SAFETY: SSE2 is part of x86-64.
        let bits = unsafe { _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(b' ' as i8))) };
        mask << 16 | u64::from(bits as u16)
    })
}

/// Returns a mask with a bit for each space of a block.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn spaces_in(block: &[u8; BLOCK]) -> u64 {
    portable_spaces_in(block)
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn portable_spaces_in(block: &[u8; BLOCK]) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let (parts, _) = block.as_chunks::<8>();
    parts.iter().rev().fold(0, |mask, part| {
        let differences = u64::from_le_bytes(*part) ^ (ONES * b' ' as u64);
        // The top bit of each byte that is 0, moved to its lowest bit.
        let zeros = !(((differences & (ONES * 0x7F)) + ONES * 0x7F) | differences) >> 7 & ONES;
        // The multiplication gathers the eight bits in the highest byte.
        mask << 8 | zeros.wrapping_mul(0x0102_0408_1020_4080) >> 56
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(text: &str, lower: bool) -> Line {
        let mut line = Line::default();
        line.set("another text", false);
        line.set(text, lower);
        line
    }

    proptest! {
        #[test]
        fn a_line_is_its_text(text in "[A-Zaé\0]{0,200}") {
            let padded = line(&text, false);
            prop_assert_eq!(padded.text(), &text);
            let padded = line(&text, true);
            prop_assert_eq!(padded.text(), text.to_ascii_lowercase());
            prop_assert!(padded.padded.len() >= (text.len() / BLOCK + 1) * BLOCK);
            prop_assert!(padded.padded.len() >= text.len() + WINDOW);
            prop_assert!(padded.padded.len().is_multiple_of(BLOCK));
        }

        #[test]
        fn spaces_are_bits(block in prop::array::uniform32(prop::sample::select(vec![b' ', 0, 0x1F, 0x21, 0xA0, 0xFF]))) {
            let mut whole = [0; BLOCK];
            whole[16..48].copy_from_slice(&block);
            let expected = (0..BLOCK).fold(0, |mask, index| mask | u64::from(whole[index] == b' ') << index);
            prop_assert_eq!(spaces_in(&whole), expected);
            prop_assert_eq!(portable_spaces_in(&whole), expected);
        }

        #[test]
        fn words_are_what_stands_between_spaces(text in "[ab\0é ]{0,80}|[a-c]{20,70} ?[a ]{40,90}|( {0,3}[a-z]{0,9}){0,40}") {
            let line = line(&text, false);
            let found: Vec<&str> = line.words().map(|word| &text[word.start..word.end]).collect();
            let expected: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn keys_tell_words_apart(text in "[a\0]{0,30} [a\0]{0,30}") {
            let words: Vec<Word> = line(&text, false).words().collect();
            if let [first, second] = words[..] {
                let same = text[first.start..first.end] == text[second.start..second.end];
                if first.length() < WINDOW && second.length() < WINDOW {
                    prop_assert_eq!(first.key == second.key && first.length() == second.length(), same);
                }
            }
        }
    }
}
