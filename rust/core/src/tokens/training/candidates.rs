//! Strings with their counts, sorted and compressed: those of several chunks are added up.

use super::interner::Strings;
use super::spool::{read_number, write_number};
use super::watch::Watch;
use crate::Result;

/// After how many strings a thread asks whether to stop.
const OFTEN: usize = 1 << 14;

/// Pieces with scores.
#[derive(Debug, Default)]
pub(super) struct Scored {
    pub pieces: Strings,
    pub scores: Vec<f32>,
}

impl Scored {
    pub fn push(&mut self, piece: &[u8], score: f32) {
        self.pieces.push(piece);
        self.scores.push(score);
    }
}

/// The place of a string among the candidates.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rank {
    pub score: f32,
    /// The length in bytes.
    pub bytes: u16,
    /// Where the string is among all, when they are sorted by their bytes.
    pub place: u32,
}

impl Rank {
    /// Puts the best first: by score, then the longest, then by bytes.
    pub fn order(&self, other: &Self) -> std::cmp::Ordering {
        other.score.total_cmp(&self.score).then(other.bytes.cmp(&self.bytes)).then(self.place.cmp(&other.place))
    }
}

/// The score of a candidate: the count times the length in characters.
pub(super) fn score(count: u64, chars: usize) -> f32 {
    count as f32 * chars as f32
}

/// Whether a byte begins a character.
pub(super) fn is_start(byte: u8) -> bool {
    byte & 0xC0 != 0x80
}

/// Strings with their counts, sorted by bytes. Each is stored as what it does not have in common with the one before.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    data: Vec<u8>,
    len: usize,
    last: Vec<u8>,
}

impl Candidates {
    /// Adds a string after the others.
    pub fn push(&mut self, string: &[u8], count: u64) {
        let common = string.iter().zip(&self.last).take_while(|(a, b)| a == b).count();
        write_number(common as u64, &mut self.data);
        write_number((string.len() - common) as u64, &mut self.data);
        self.data.extend_from_slice(&string[common..]);
        write_number(count, &mut self.data);
        self.last.truncate(common);
        self.last.extend_from_slice(&string[common..]);
        self.len += 1;
    }

    pub fn len(&self) -> usize {
        self.len
    }

    fn reader(&self) -> Reader<'_> {
        Reader { data: &self.data, at: 0, string: Vec::new(), count: 0 }
    }

    /// Adds up the counts of two lists.
    ///
    /// # Errors
    /// `watch` asks to stop.
    pub fn merge(&self, other: &Self, watch: &Watch) -> Result<Self> {
        let mut merged = Self::default();
        let (mut a, mut b) = (self.reader(), other.reader());
        let (mut in_a, mut in_b) = (a.next(), b.next());
        while in_a || in_b {
            let order = match (in_a, in_b) {
                (true, true) => a.string.cmp(&b.string),
                (true, false) => std::cmp::Ordering::Less,
                _ => std::cmp::Ordering::Greater,
            };
            let count = if order.is_le() { a.count } else { 0 } + if order.is_ge() { b.count } else { 0 };
            merged.push(if order.is_le() { &a.string } else { &b.string }, count);
            if order.is_le() {
                in_a = a.next();
            }
            if order.is_ge() {
                in_b = b.next();
            }
            if merged.len % OFTEN == 0 {
                watch.advance(0)?;
            }
        }
        Ok(merged)
    }

    /// The ranks of the best strings, in any order.
    fn best(&self, most: usize, watch: &Watch) -> Result<Vec<Rank>> {
        let mut ranks = Vec::with_capacity(self.len);
        let mut reader = self.reader();
        while reader.next() {
            let chars = reader.string.iter().filter(|&&byte| is_start(byte)).count();
            let score = score(reader.count, chars);
            ranks.push(Rank { score, bytes: reader.string.len() as u16, place: ranks.len() as u32 });
            if ranks.len() % OFTEN == 0 {
                watch.advance(0)?;
            }
        }
        if ranks.len() > most {
            ranks.select_nth_unstable_by(most, Rank::order);
            ranks.truncate(most);
        }
        Ok(ranks)
    }

    /// The best strings, sorted by bytes.
    ///
    /// # Errors
    /// `watch` asks to stop.
    pub fn keep_best(self, most: usize, watch: &Watch) -> Result<Self> {
        if self.len <= most {
            return Ok(self);
        }
        let mut is_kept = vec![false; self.len];
        for rank in self.best(most, watch)? {
            is_kept[rank.place as usize] = true;
        }
        let mut kept = Self::default();
        let mut reader = self.reader();
        for is_kept in is_kept {
            reader.next();
            if is_kept {
                kept.push(&reader.string, reader.count);
            }
        }
        Ok(kept)
    }

    /// Adds the best strings to `scored`, the best first.
    ///
    /// # Errors
    /// `watch` asks to stop.
    pub fn add_best(self, most: usize, scored: &mut Scored, watch: &Watch) -> Result<()> {
        let kept = self.keep_best(most, watch)?;
        let mut ranks = kept.best(most, watch)?;
        ranks.sort_unstable_by(Rank::order);
        let mut strings = Strings::default();
        let mut reader = kept.reader();
        while reader.next() {
            strings.push(&reader.string);
        }
        for rank in ranks {
            scored.push(strings.get(rank.place), rank.score);
        }
        Ok(())
    }
}

/// Reads candidates in order.
struct Reader<'a> {
    data: &'a [u8],
    at: usize,
    string: Vec<u8>,
    count: u64,
}

impl Reader<'_> {
    /// Reads the next string and its count. Returns `false` at the end.
    fn next(&mut self) -> bool {
        if self.at == self.data.len() {
            return false;
        }
        let common = read_number(self.data, &mut self.at) as usize;
        let more = read_number(self.data, &mut self.at) as usize;
        self.string.truncate(common);
        self.string.extend_from_slice(&self.data[self.at..self.at + more]);
        self.at += more;
        self.count = read_number(self.data, &mut self.at);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::tokens::training::watch::unwatched;

    #[test]
    fn counts_are_added_up_and_the_best_kept() {
        let of = |step: u64| -> BTreeMap<String, u64> {
            (0..500).map(|i| ("aéb".repeat(1 + i as usize % 9) + &(i * step % 300).to_string(), i % 17)).collect()
        };
        let list = |map: &BTreeMap<String, u64>| {
            let mut list = Candidates::default();
            for (string, &count) in map {
                list.push(string.as_bytes(), count);
            }
            list
        };
        let (a, b) = (of(7), of(11));
        let mut sum = a.clone();
        for (string, count) in &b {
            *sum.entry(string.clone()).or_default() += count;
        }
        let merged = unwatched(|watch| list(&a).merge(&list(&b), watch));
        assert_eq!(merged.data, list(&sum).data);
        let mut expected: Vec<(f32, &str)> =
            sum.iter().map(|(string, &count)| (count as f32 * string.chars().count() as f32, &**string)).collect();
        expected.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.len().cmp(&a.1.len())).then(a.1.cmp(b.1)));
        let mut best = Scored::default();
        unwatched(|watch| merged.keep_best(300, watch)?.add_best(200, &mut best, watch));
        let best: Vec<(f32, &str)> =
            best.scores.iter().zip(best.pieces.iter()).map(|(&s, p)| (s, std::str::from_utf8(p).unwrap())).collect();
        assert_eq!(best, expected[..200]);
    }
}
