//! A double-array trie over bytes in the layout of Darts-clone. `SentencePiece` models contain one for their
//! normalization rules, and [`Trie::build`] makes one for the pieces.

use super::double_array::{self, BLOCK};

/// Units of 32 bits: label in bits 0 to 7, "has a value" in bit 8, offset in bits 10 to 30 (shifted by 8 if bit 9 is
/// set), or, with bit 31 set, a value.
#[derive(Debug, Clone)]
pub struct Trie {
    units: Vec<u32>,
    /// For each unit, the weight of the key that ends there, or negative infinity. Empty if keys have no weights.
    weights: Vec<f32>,
}

/// A place in a [`Trie`].
#[derive(Debug, Clone, Copy)]
pub struct Cursor {
    position: u32,
    unit: u32,
}

impl Cursor {
    /// Whether a key ends here.
    #[inline]
    pub fn has_value(self) -> bool {
        self.unit >> 8 & 1 == 1
    }

    /// Returns a number for this place, below [`Trie::positions`].
    #[inline]
    pub fn position(self) -> u32 {
        self.position
    }
}

const LABEL: u32 = (1 << 31) | 0xFF;

const fn offset(unit: u32) -> u32 {
    (unit >> 10) << ((unit & (1 << 9)) >> 6)
}

impl Trie {
    /// Builds a trie from keys with values below 2^31 and weights. Keys must be non-empty, distinct and free of NUL
    /// bytes.
    pub fn build(keys: &[(&[u8], u32, f32)]) -> Result<Self, String> {
        let mut sorted: Vec<(&[u8], u32)> = keys.iter().map(|&(key, value, _)| (key, value)).collect();
        sorted.sort_unstable();
        let mut trie = Self::of_sorted(&sorted)?;
        trie.weights = vec![f32::NEG_INFINITY; trie.units.len()];
        for &(key, _, weight) in keys {
            if let Some(cursor) = trie.find(key) {
                trie.weights[cursor.position as usize] = weight;
            }
        }
        Ok(trie)
    }

    /// Builds a trie from sorted keys with values below 2^31. Keys must be non-empty, distinct and free of NUL bytes.
    pub fn of_sorted(keys: &[(&[u8], u32)]) -> Result<Self, String> {
        Ok(Self { units: double_array::build(keys)?, weights: Vec::new() })
    }

    /// Reads little-endian units, as in a model's `precompiled_charsmap`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let (words, rest) = bytes.as_chunks::<4>();
        if words.is_empty() || !rest.is_empty() {
            return Err(format!("a double-array trie of {} bytes", bytes.len()));
        }
        let mut units: Vec<u32> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
        units.resize(units.len().next_multiple_of(BLOCK), 0);
        // If all blocks are complete, the root is not a value, and every offset is inside, then no step can leave the
        // array: a unit that is a value has no label.
        if units[0] >> 31 == 1 {
            return Err("a double-array trie without a root".into());
        }
        for (index, &unit) in units.iter().enumerate() {
            if unit >> 31 == 0 && (offset(unit) as usize ^ index) >= units.len() {
                return Err(format!("a double-array trie whose unit {index} points outside"));
            }
        }
        Ok(Self { units, weights: Vec::new() })
    }

    /// How many positions there are.
    pub fn positions(&self) -> usize {
        self.units.len()
    }

    /// Returns the place of a key or of the beginning of one.
    pub fn find(&self, key: &[u8]) -> Option<Cursor> {
        let mut cursor = self.root();
        key.iter().all(|&byte| self.step(&mut cursor, byte)).then_some(cursor)
    }

    /// The empty prefix.
    #[inline]
    pub fn root(&self) -> Cursor {
        Cursor { position: 0, unit: self.units[0] }
    }

    /// Follows `byte`. Returns `false` if no key continues that way.
    #[inline]
    pub fn step(&self, cursor: &mut Cursor, byte: u8) -> bool {
        let next = self.next(*cursor, byte);
        let found = next.is_some();
        *cursor = next.unwrap_or(*cursor);
        found
    }

    /// Follows `byte` from `cursor`.
    #[inline]
    pub fn next(&self, cursor: Cursor, byte: u8) -> Option<Cursor> {
        let position = cursor.position ^ offset(cursor.unit) ^ u32::from(byte);
        let unit = self.units[position as usize];
        (unit & LABEL == u32::from(byte) && byte != 0).then_some(Cursor { position, unit })
    }

    /// Returns the value of the key that ends here, if one does.
    #[inline]
    pub fn value(&self, cursor: Cursor) -> Option<u32> {
        cursor.has_value().then(|| self.value_at(cursor.position))
    }

    /// Returns the weight of the key that ends at that [`Cursor::position`], or negative infinity.
    #[inline]
    pub fn weight_at(&self, position: u32) -> f32 {
        self.weights[position as usize]
    }

    /// Returns the value of the key that ends at that [`Cursor::position`].
    pub fn value_at(&self, position: u32) -> u32 {
        let leaf = position ^ offset(self.units[position as usize]);
        self.units[leaf as usize] & !(1 << 31)
    }

    /// Returns the longest key that `text` begins with: its length in bytes and its value.
    pub fn longest_prefix(&self, text: &[u8]) -> Option<(usize, u32)> {
        let mut cursor = self.root();
        let mut found = None;
        for (index, &byte) in text.iter().enumerate() {
            if !self.step(&mut cursor, byte) {
                break;
            }
            if let Some(value) = self.value(cursor) {
                found = Some((index + 1, value));
            }
        }
        found
    }

    /// Calls `visit` with every key of up to 64 bytes.
    pub fn for_each_key(&self, visit: &mut dyn FnMut(&[u8])) {
        self.visit_below(self.root(), &mut Vec::new(), &mut 0, visit);
    }

    fn visit_below(&self, cursor: Cursor, key: &mut Vec<u8>, visited: &mut usize, visit: &mut dyn FnMut(&[u8])) {
        // No normalization rule is longer, and a tree has each unit once, so a corrupt array with cycles ends too.
        *visited += 1;
        if key.len() == 64 || *visited > self.units.len() {
            return;
        }
        for byte in 1..=255 {
            let mut next = cursor;
            if self.step(&mut next, byte) {
                key.push(byte);
                if self.value(next).is_some() {
                    visit(key);
                }
                self.visit_below(next, key, visited, visit);
                key.pop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_the_longest_prefix(
            keys in prop::collection::btree_set("[a-c]{1,6}", 1..40),
            text in "[a-d]{0,12}",
        ) {
            let trie = Trie::build(&keys.iter().enumerate().map(|(i, k)| (k.as_bytes(), i as u32, 0.0)).collect::<Vec<_>>()).unwrap();
            let expected = keys
                .iter()
                .enumerate()
                .filter(|(_, key)| text.starts_with(key.as_str()))
                .max_by_key(|(_, key)| key.len())
                .map(|(i, key)| (key.len(), i as u32));
            prop_assert_eq!(trie.longest_prefix(text.as_bytes()), expected);
        }

        #[test]
        fn arbitrary_units_never_lead_outside(bytes in prop::collection::vec(any::<u8>(), 0..4096), text in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(trie) = Trie::from_bytes(&bytes) {
                trie.longest_prefix(&text);
            }
        }
    }

    #[test]
    fn a_root_that_is_a_value_is_refused() {
        assert!(Trie::from_bytes(&[0xFF; 1024]).is_err());
        assert!(Trie::from_bytes(&[0; 1024]).is_ok());
    }

    #[test]
    fn a_cyclic_array_is_walked_to_an_end() {
        // Every unit is labeled with its byte, and its offset leads back into the same block.
        let bytes: Vec<u8> = (0..256u32).flat_map(|byte| (byte | 1 << 8).to_le_bytes()).collect();
        let trie = Trie::from_bytes(&bytes).expect("no unit points outside");
        let mut keys = 0;
        trie.for_each_key(&mut |_| keys += 1);
        assert!(keys <= 256 * 256, "{keys}");
    }

    #[test]
    fn nul_matches_nothing() {
        let trie = Trie::build(&[(b"a", 7, 0.0)]).unwrap();
        assert_eq!(trie.longest_prefix(b"a\0"), Some((1, 7)));
        assert_eq!(trie.longest_prefix(b"\0"), None);
    }
}
