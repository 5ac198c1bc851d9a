//! Byte strings in one buffer, and numbers for distinct ones.

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
#[derive(Debug)]
pub(super) struct Interner {
    strings: Strings,
    /// An open-addressed table of numbers, and [`FREE`].
    slots: Vec<u32>,
}

const FREE: u32 = u32::MAX;

impl Default for Interner {
    fn default() -> Self {
        Self { strings: Strings::default(), slots: vec![FREE; 1 << 10] }
    }
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

    /// Returns the number of `string`, or the free slot for it.
    #[inline]
    fn slot(&self, string: &[u8]) -> Result<u32, usize> {
        let mask = self.slots.len() - 1;
        let mut slot = xxh3_64(string) as usize & mask;
        loop {
            match self.slots[slot] {
                FREE => return Err(slot),
                number if self.strings.get(number) == string => return Ok(number),
                _ => slot = (slot + 1) & mask,
            }
        }
    }

    /// Returns the number of `string`, which it gets if it is new.
    #[inline]
    pub fn intern(&mut self, string: &[u8]) -> u32 {
        match self.slot(string) {
            Ok(number) => number,
            Err(slot) => self.add(string, slot),
        }
    }

    fn add(&mut self, string: &[u8], slot: usize) -> u32 {
        let number = self.len() as u32;
        self.slots[slot] = number;
        self.strings.push(string);
        if 2 * self.len() > self.slots.len() {
            self.grow();
        }
        number
    }

    fn grow(&mut self) {
        let mask = 2 * self.slots.len() - 1;
        self.slots = Vec::new();
        let mut slots = vec![FREE; mask + 1];
        for (number, string) in (0..).zip(self.strings.iter()) {
            let mut slot = xxh3_64(string) as usize & mask;
            while slots[slot] != FREE {
                slot = (slot + 1) & mask;
            }
            slots[slot] = number;
        }
        self.slots = slots;
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
