//! Byte strings in one buffer, and numbers for distinct ones.

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

/// Byte strings in one buffer.
#[derive(Debug, Default)]
pub(super) struct Strings {
    bytes: Vec<u8>,
    /// Where each string ends in `bytes`.
    ends: Vec<usize>,
}

impl Strings {
    /// How many strings there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Where the string of that number begins.
    #[inline]
    pub fn start(&self, number: u32) -> usize {
        if number == 0 { 0 } else { self.ends[number as usize - 1] }
    }

    /// The string of that number.
    #[inline]
    pub fn get(&self, number: u32) -> &[u8] {
        &self.bytes[self.start(number)..self.ends[number as usize]]
    }

    /// The strings in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> + Clone {
        (0..self.len() as u32).map(|number| self.get(number))
    }

    pub fn push(&mut self, string: &[u8]) {
        self.bytes.extend_from_slice(string);
        self.ends.push(self.bytes.len());
    }

    /// All strings, one after another, and where each ends.
    pub fn into_parts(self) -> (Vec<u8>, Vec<usize>) {
        (self.bytes, self.ends)
    }
}

/// Distinct byte strings, numbered in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Interner {
    strings: Strings,
    numbers: HashTable<u32>,
}

impl Interner {
    /// How many strings there are.
    pub fn len(&self) -> usize {
        self.strings.len()
    }

    /// The strings by their numbers.
    pub fn strings(&self) -> &Strings {
        &self.strings
    }

    /// Forgets how to find a string.
    pub fn into_strings(self) -> Strings {
        self.strings
    }

    /// Returns the number of `string`, which it gets if it is new.
    #[inline]
    pub fn intern(&mut self, string: &[u8]) -> u32 {
        let Self { strings, numbers } = self;
        let hash = xxh3_64(string);
        if let Some(&number) = numbers.find(hash, |&number| strings.get(number) == string) {
            return number;
        }
        let number = strings.len() as u32;
        strings.push(string);
        numbers.insert_unique(hash, number, |&number| xxh3_64(strings.get(number)));
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_strings_have_one_number() {
        let mut interner = Interner::default();
        let strings: Vec<String> = (0..5000).map(|i| format!("{}", i % 1700)).collect();
        let numbers: Vec<u32> = strings.iter().map(|string| interner.intern(string.as_bytes())).collect();
        assert_eq!(interner.len(), 1700);
        for (string, number) in strings.iter().zip(numbers) {
            assert_eq!(interner.strings().get(number), string.as_bytes());
        }
    }
}
