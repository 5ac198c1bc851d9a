//! Builds the units of a double-array trie in the layout of Darts-clone, which [`Trie`](super::trie::Trie) describes.
//!
//! The children of a node are at its offset, each one XOR its label. The low byte of an offset therefore decides the
//! places within a block, and an offset fits if all these places are free. Only the last blocks that are not full are
//! searched for one.

use std::ops::Range;

/// Units per block.
pub(super) const BLOCK: usize = 256;
/// How many blocks are searched for an offset.
const OPEN_BLOCKS: usize = 16;
/// Below this, an offset relative to its unit is stored whole. From there on its low byte must be 0.
const LONG_OFFSET: u32 = 1 << 21;
/// Relative offsets are below this.
const MOST_UNITS: usize = 1 << 29;

/// A node whose children are not yet placed.
struct Node {
    unit: u32,
    /// Its keys, and how many bytes of them lead to it.
    keys: Range<usize>,
    depth: usize,
}

/// 256 places, and the bits of those that are set.
#[derive(Clone, Copy, Default)]
struct Bits([u64; BLOCK / 64]);

impl Bits {
    fn has(&self, place: u8) -> bool {
        self.0[usize::from(place / 64)] >> (place % 64) & 1 == 1
    }

    fn set(&mut self, place: u8) {
        self.0[usize::from(place / 64)] |= 1 << (place % 64);
    }

    /// The places that are not set.
    fn unset(&self) -> impl Iterator<Item = u8> {
        (0..).zip(self.0).flat_map(|(word, bits)| {
            let mut rest = !bits;
            std::iter::from_fn(move || {
                let place = rest.trailing_zeros() as u8;
                rest &= rest.wrapping_sub(1);
                (place < 64).then(|| word * 64 + place)
            })
        })
    }
}

#[derive(Default)]
struct Builder {
    units: Vec<u32>,
    /// By block: the units that are taken, and the offsets that a node has.
    taken: Vec<Bits>,
    offsets: Vec<Bits>,
    /// The last blocks that are not full.
    open: Vec<usize>,
}

/// Returns the units of a trie of sorted keys with values below 2^31.
///
/// # Errors
/// There is no key; a key is empty, has a NUL byte, or is not after the one before; a value or the trie is too large.
pub(super) fn build(keys: &[(&[u8], u32)]) -> Result<Vec<u32>, String> {
    for (place, (key, value)) in keys.iter().enumerate() {
        let problem = match key {
            [] => "is empty",
            _ if memchr::memchr(0, key).is_some() => "has a NUL byte",
            _ if place > 0 && keys[place - 1].0 >= *key => "is not after the key before it",
            _ if value >> 31 != 0 => "has a value of 2^31 or more",
            _ => continue,
        };
        return Err(format!("cannot build the trie: key {place} of {} {problem}", keys.len()));
    }
    if keys.is_empty() {
        return Err("cannot build the trie: there are no keys".into());
    }
    let mut builder = Builder::default();
    builder.add_block();
    builder.taken[0].set(0);
    let mut nodes = vec![Node { unit: 0, keys: 0..keys.len(), depth: 0 }];
    // The labels of a node's children, and where their keys begin. Label 0 is the value of a key that ends at the node.
    let mut labels: Vec<(u8, usize)> = Vec::new();
    while let Some(Node { unit, keys: range, depth }) = nodes.pop() {
        labels.clear();
        for place in range.clone() {
            let label = keys[place].0.get(depth).copied().unwrap_or(0);
            if labels.last().is_none_or(|last| last.0 != label) {
                labels.push((label, place));
            }
        }
        let offset = builder.place(unit, &labels)?;
        let relative = offset ^ unit;
        let packed = if relative < LONG_OFFSET { relative << 10 } else { relative << 2 | 1 << 9 };
        let has_value = u32::from(labels[0].0 == 0);
        builder.units[unit as usize] |= packed | has_value << 8;
        let mut end = range.end;
        // The last child first, so that the first one is on top of the stack.
        for &(label, start) in labels.iter().rev() {
            let child = offset ^ u32::from(label);
            if label == 0 {
                builder.units[child as usize] = keys[start].1 | 1 << 31;
            } else {
                builder.units[child as usize] = u32::from(label);
                nodes.push(Node { unit: child, keys: start..end, depth: depth + 1 });
            }
            end = start;
        }
    }
    Ok(builder.units)
}

impl Builder {
    fn add_block(&mut self) {
        let number = self.taken.len();
        self.units.resize(self.units.len() + BLOCK, 0);
        self.taken.push(Bits::default());
        self.offsets.push(Bits::default());
        self.open.push(number);
        if self.open.len() > OPEN_BLOCKS {
            self.open.remove(0);
        }
    }

    /// Takes the units of a node's children, and returns its offset.
    fn place(&mut self, unit: u32, labels: &[(u8, usize)]) -> Result<u32, String> {
        let found =
            self.open.iter().enumerate().find_map(|(place, &block)| Some((place, self.fit(block, unit, labels)?)));
        let (place, offset) = match found {
            Some(found) => found,
            None if self.units.len() >= MOST_UNITS => return Err("cannot build the trie: it is too large".into()),
            None => {
                self.add_block();
                let place = self.open.len() - 1;
                let offset = self.fit(self.open[place], unit, labels);
                (place, offset.expect("a block without children has room for those of any node"))
            }
        };
        let block = offset as usize / BLOCK;
        self.offsets[block].set(offset as u8);
        for &(label, _) in labels {
            self.taken[block].set(offset as u8 ^ label);
        }
        if self.taken[block].0 == [u64::MAX; BLOCK / 64] {
            self.open.remove(place);
        }
        Ok(offset)
    }

    /// Finds an offset in a block that fits.
    fn fit(&self, block: usize, unit: u32, labels: &[(u8, usize)]) -> Option<u32> {
        let (taken, offsets) = (&self.taken[block], &self.offsets[block]);
        let [(first, _), others @ ..] = labels else { return None };
        let fits = |&low: &u8| {
            let relative = ((block * BLOCK) as u32 | u32::from(low)) ^ unit;
            !offsets.has(low)
                && (relative < LONG_OFFSET || relative.is_multiple_of(BLOCK as u32))
                && others.iter().all(|&(label, _)| !taken.has(low ^ label))
        };
        let low = taken.unset().map(|place| place ^ first).find(fits)?;
        Some((block * BLOCK) as u32 | u32::from(low))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::trie::Trie;
    use super::*;

    fn trie(keys: &BTreeMap<Vec<u8>, u32>) -> Trie {
        Trie::of_sorted(&keys.iter().map(|(key, &value)| (&key[..], value)).collect::<Vec<_>>()).unwrap()
    }

    proptest! {
        #[test]
        fn keys_have_their_values_and_other_strings_none(
            keys in prop::collection::btree_map(prop::collection::vec(1u8..=255, 1..5), 0u32..1 << 31, 1..600),
            others in prop::collection::vec(prop::collection::vec(1u8..=255, 1..5), 100),
        ) {
            let trie = trie(&keys);
            for string in keys.keys().chain(&others) {
                let value = trie.find(string).and_then(|cursor| trie.value(cursor));
                prop_assert_eq!(value, keys.get(string).copied());
            }
        }
    }

    #[test]
    fn offsets_may_be_far_from_their_units() {
        // Multiplication by an odd number gives each key another number.
        let key = |number: u32| number.wrapping_mul(0x9E37_79B1).to_be_bytes().map(|byte| byte | 1).repeat(4);
        let keys: BTreeMap<Vec<u8>, u32> = (0..250_000).map(|number| (key(number), number)).collect();
        let trie = trie(&keys);
        assert!(trie.positions() > LONG_OFFSET as usize);
        for (key, &value) in &keys {
            assert_eq!(trie.find(key).and_then(|cursor| trie.value(cursor)), Some(value));
        }
    }

    #[test]
    fn a_long_key_does_not_exhaust_the_stack() {
        let key = vec![b'a'; 1 << 20];
        assert!(trie(&BTreeMap::from([(key.clone(), 7)])).find(&key).is_some());
    }

    #[test]
    fn what_is_wrong_with_keys_is_named() {
        let of = |keys: &[(&[u8], u32)]| build(keys).unwrap_err();
        assert_eq!(of(&[]), "cannot build the trie: there are no keys");
        assert_eq!(of(&[(b"", 1)]), "cannot build the trie: key 0 of 1 is empty");
        assert_eq!(of(&[(b"a", 1), (b"b\0", 1)]), "cannot build the trie: key 1 of 2 has a NUL byte");
        assert_eq!(of(&[(b"a", 1), (b"a", 1)]), "cannot build the trie: key 1 of 2 is not after the key before it");
        assert_eq!(of(&[(b"a", 1 << 31)]), "cannot build the trie: key 0 of 1 has a value of 2^31 or more");
    }
}
