//! Reads records directly into the rows of a batch, without decoding a message first.
//!
//! This module reads the layout that every writer in use produces: one `Features` message, entries in any order with
//! the key before the value, packed lists. Anything else that protobuf allows, and anything that breaks a rule, is left
//! to [`decode`] and [`Rules`], which decide. This module only saves time.

use super::{FEATURES, Rules, TOKEN_BOUNDARY, decode};
use crate::batches::batch::Row;

/// `Example.features`, `Features.feature`, an entry's key, a list's packed values: field 1, length-delimited.
const FIELD_1: u8 = 0x0a;
/// An entry's value: field 2.
const VALUE: u8 = 0x12;
/// `Feature.bytes_list`: field 1.
const BYTES_LIST: u8 = 0x0a;
/// `Feature.float_list`: field 2.
const FLOAT_LIST: u8 = 0x12;
/// `Feature.int64_list`: field 3.
const INT64_LIST: u8 = 0x1a;

/// Varints are taken from blocks of this many bytes, together with the bytes before the block that a varint can have in
/// addition to its last.
const BLOCK: usize = 64;
const BEFORE: usize = 3;

/// The bit of `token_boundary`, feature 7.
const BOUNDARIES: u8 = 1 << 7;

/// The limit of ids, because rows hold them as `i32`.
const MOST_IDS: u32 = 1 << 31;

/// Fills `row` from a serialized `tf.train.Example` whose lists have the row's lengths. Features other than the eight
/// are ignored. Returns whether there is a `token_boundary`; if not, the row's is all zeros.
///
/// # Errors
///
/// What is wrong with the record: a line for each rule that it breaks. The content of the row is then unspecified. The
/// rules are those of [`Rules::check`], with ids below `vocab_size` (below 2^31 if it is `None`).
pub fn decode_row(data: &[u8], vocab_size: Option<u32>, row: &mut Row<'_>) -> Result<bool, Vec<String>> {
    let ids = vocab_size.unwrap_or(MOST_IDS).min(MOST_IDS);
    match read(data, row) {
        Some(has_boundaries) if is_good(row, ids) => Ok(has_boundaries),
        _ => decode_any(data, ids, row),
    }
}

/// Whether `data` is read without decoding a message.
#[cfg(test)]
pub(super) fn is_quick(data: &[u8], row: &mut Row<'_>) -> bool {
    read(data, row).is_some()
}

#[cold]
fn decode_any(data: &[u8], ids: u32, row: &mut Row<'_>) -> Result<bool, Vec<String>> {
    let mut example = decode(data).map_err(|problem| vec![problem])?;
    example.0.retain(|name, _| FEATURES.contains(&name.as_str()));
    let wanted = (row.input_ids.len(), row.masked_lm_ids.len());
    if let Some((s, p)) = Rules::lengths_of(&example).filter(|&lengths| lengths != wanted) {
        return Err(vec![format!(
            "input_ids has {s} values and masked_lm_ids {p}, but the first record has {} and {}; all records must be alike",
            wanted.0, wanted.1
        )]);
    }
    let rules = Rules { vocab_size: Some(ids), cls_sep: None, lengths: Some(wanted) };
    let problems = rules.check(&example);
    if !problems.is_empty() {
        return Err(problems);
    }
    let instance = example.instance()?;
    for list in [
        &mut *row.input_ids,
        &mut *row.input_mask,
        &mut *row.segment_ids,
        &mut *row.token_boundary,
        &mut *row.masked_lm_positions,
        &mut *row.masked_lm_ids,
    ] {
        list.fill(0);
    }
    row.masked_lm_weights.fill(0.0);
    row.write(&instance);
    Ok(example.0.contains_key(TOKEN_BOUNDARY))
}

/// Fills `row`. Gives up if the layout is another one, a feature other than `token_boundary` is missing, or a list is
/// missing or has another length. Returns whether there is a `token_boundary`.
fn read(data: &[u8], row: &mut Row<'_>) -> Option<bool> {
    if row.input_ids.is_empty() || row.masked_lm_ids.is_empty() {
        return None;
    }
    let mut features = Field { data, at: 0, end: data.len() }.only(FIELD_1)?;
    let mut seen = 0_u8;
    while features.at < features.end {
        let mut entry = features.enter(FIELD_1)?;
        let key = entry.enter(FIELD_1)?;
        let index = match &data[key.at..key.end] {
            b"input_ids" => 0,
            b"input_mask" => 1,
            b"masked_lm_ids" => 2,
            b"masked_lm_positions" => 3,
            b"masked_lm_weights" => 4,
            b"next_sentence_labels" => 5,
            b"segment_ids" => 6,
            b"token_boundary" => 7,
            other => {
                std::str::from_utf8(other).ok()?;
                entry.only(VALUE)?.pass_feature()?;
                continue;
            }
        };
        // If an entry occurs twice, the last one counts. No writer does this, so the slow path handles it.
        if seen & 1 << index != 0 {
            return None;
        }
        seen |= 1 << index;
        let list = entry.only(VALUE)?.only(if index == 4 { FLOAT_LIST } else { INT64_LIST })?.only(FIELD_1)?;
        match index {
            0 => list.ints(row.input_ids),
            1 => list.ints(row.input_mask),
            2 => list.ints(row.masked_lm_ids),
            3 => list.ints(row.masked_lm_positions),
            4 => list.floats(row.masked_lm_weights),
            5 => list.ints(std::slice::from_mut(row.next_sentence_label)),
            6 => list.ints(row.segment_ids),
            _ => list.ints(row.token_boundary),
        }?;
    }
    let has_boundaries = seen & BOUNDARIES != 0;
    if !has_boundaries {
        row.token_boundary.fill(0);
    }
    (seen | BOUNDARIES == u8::MAX).then_some(has_boundaries)
}

/// The unread content of a length-delimited field: `data[at..end]`.
#[derive(Clone, Copy)]
struct Field<'a> {
    data: &'a [u8],
    at: usize,
    end: usize,
}

impl Field<'_> {
    /// Skips the next field, which must have this tag, and returns its content.
    fn enter(&mut self, tag: u8) -> Option<Self> {
        let bytes = &self.data[self.at..self.end];
        let (&first, rest) = bytes.split_first()?;
        if first != tag {
            return None;
        }
        let mut length = 0;
        // Four bytes hold the length of any record.
        for (index, &byte) in rest.iter().take(4).enumerate() {
            length |= usize::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                let start = self.at + 2 + index;
                let end = start + length;
                if end > self.end {
                    return None;
                }
                self.at = end;
                return Some(Self { data: self.data, at: start, end });
            }
        }
        None
    }

    /// Returns the content of the only remaining field, which must have this tag.
    fn only(mut self, tag: u8) -> Option<Self> {
        let content = self.enter(tag)?;
        (self.at == self.end).then_some(content)
    }

    /// Checks a feature that rows do not hold as a message decoder would: damage in any place makes the record damaged.
    fn pass_feature(self) -> Option<()> {
        let Some(&kind) = self.data[self.at..self.end].first() else { return Some(()) };
        let mut list = self.only(kind)?;
        if kind == BYTES_LIST {
            while list.at < list.end {
                list.enter(FIELD_1)?;
            }
            return Some(());
        }
        let values = list.only(FIELD_1)?;
        let bytes = &self.data[values.at..values.end];
        match kind {
            FLOAT_LIST => bytes.len().is_multiple_of(4).then_some(()),
            INT64_LIST => {
                // The number of bytes before the last one of a value. A tenth byte has room for only one bit.
                let mut before = 0;
                for &byte in bytes {
                    if before == 9 && byte > 1 {
                        return None;
                    }
                    before = if byte < 0x80 { 0 } else { before + 1 };
                }
                (before == 0).then_some(())
            }
            _ => None,
        }
    }

    fn floats(self, out: &mut [f32]) -> Option<()> {
        let (values, rest) = self.data[self.at..self.end].as_chunks();
        if values.len() != out.len() || !rest.is_empty() {
            return None;
        }
        for (to, &value) in out.iter_mut().zip(values) {
            *to = f32::from_le_bytes(value);
        }
        Some(())
    }

    /// Reads exactly `out.len()` varints of up to four bytes, which hold values below 2^28.
    fn ints(self, out: &mut [i32]) -> Option<()> {
        let bytes = &self.data[self.at..self.end];
        if bytes.len() == out.len() {
            widen(bytes, out);
            // There are as many bytes as values, so each value is one byte unless one continues into the next.
            return (bytes.iter().fold(0, |all, &byte| all | byte) < 0x80).then_some(());
        }
        // Each block comes with the three bytes before it, because a value that ends at its first byte may begin there.
        // A list always has tags and lengths before it.
        let before = self.at.checked_sub(BEFORE)?;
        let mut todo = &mut *out;
        // The start of the next value, counted from the block, and the length of the longest value.
        let (mut start, mut longest) = (0, 0);
        for (index, block) in bytes.chunks(BLOCK).enumerate() {
            let mut padded = [0; BEFORE + BLOCK];
            let window = &self.data[before + BLOCK * index..][..BEFORE + block.len()];
            let window = window.first_chunk().unwrap_or_else(|| {
                padded[..window.len()].copy_from_slice(window);
                &padded
            });
            let ends = ends_in(window) & u64::MAX >> (BLOCK - block.len());
            let (now, later) = todo.split_at_mut_checked(ends.count_ones() as usize)?;
            todo = later;
            if ends == u64::MAX && start == 0 {
                widen(block, now);
                continue;
            }
            (start, longest) = words(window, ends, start, longest, now);
            start -= block.len() as i32;
        }
        if !todo.is_empty() || start != 0 || longest > 4 {
            return None;
        }
        for to in out {
            let word = *to as u32;
            let value = (word & 0x7f) | (word >> 1 & 0x7f << 7) | (word >> 2 & 0x7f << 14) | (word >> 3 & 0x7f << 21);
            *to = value as i32;
        }
        Some(())
    }
}

fn widen(bytes: &[u8], out: &mut [i32]) {
    for (to, &byte) in out.iter_mut().zip(bytes) {
        *to = i32::from(byte);
    }
}

/// Returns a bit mask: bit `i` is set if a varint ends with byte `i` of the block, which is when its top bit is not
/// set.
#[inline]
fn ends_in(window: &[u8; BEFORE + BLOCK]) -> u64 {
    let (words, _) = window[BEFORE..].as_chunks();
    words.iter().enumerate().fold(0, |ends, (index, &word)| {
        let bits = !u64::from_le_bytes(word) >> 7 & 0x0101_0101_0101_0101;
        // Adds bit `8 j` up to bit `56 + j`. No two products meet at the same bit, so nothing carries.
        ends | bits.wrapping_mul(0x0102_0408_1020_4080) >> 56 << (8 * index)
    })
}

/// Writes to `out` the bytes of the varints that end at the bits of `ends`, each as a number. The first begins at byte
/// `start` of the block, and `ends` has one bit for each number in `out`. Returns the start of the next varint and the
/// length of the longest, `longest` included. If a varint is longer than four bytes, its number is not its bytes.
///
/// The length of a varint cannot be predicted. Because all ends are known beforehand, nothing waits for a length and no
/// branch depends on it.
#[inline]
fn words(
    window: &[u8; BEFORE + BLOCK],
    mut ends: u64,
    mut start: i32,
    mut longest: i32,
    out: &mut [i32],
) -> (i32, i32) {
    for to in out {
        // The mask tells the compiler that the index is in range.
        let last = ends.trailing_zeros() as usize & (BLOCK - 1);
        ends &= ends.wrapping_sub(1);
        let length = last as i32 + 1 - start;
        longest = longest.max(length);
        // Reads up to the last byte rather than from the first. Bytes before the first are shifted out.
        let bytes = [window[last], window[last + 1], window[last + 2], window[last + BEFORE]];
        *to = u32::from_le_bytes(bytes).wrapping_shr((32 - 8 * length) as u32) as i32;
        start = last as i32 + 1;
    }
    (start, longest)
}

/// Whether the row that was just read satisfies the rules. Its integers are from 0 to 2^28 - 1.
///
/// Uses sums and folds over whole lists instead of searches, because these process several values at a time.
fn is_good(row: &Row<'_>, ids: u32) -> bool {
    let all = |list: &[i32], value: i32| list.iter().fold(0, |differ, &one| differ | (one ^ value)) == 0;
    let sum = |list: &[i32]| list.iter().fold(0_u32, |sum, &one| sum.wrapping_add(one as u32)) as usize;
    let largest = |list: &[i32]| list.iter().fold(0, |most, &one| most.max(one)) as u32;

    let tokens = sum(row.input_mask);
    let Some((mask, mask_padding)) = row.input_mask.split_at_checked(tokens) else { return false };
    let (segments, segments_padding) = row.segment_ids.split_at(tokens);
    let (starts, starts_padding) = row.token_boundary.split_at(tokens);
    let Some(first) = tokens.checked_sub(sum(segments)) else { return false };
    let masks = row.masked_lm_weights.iter().take_while(|weight| weight.to_bits() == 1.0_f32.to_bits()).count();
    let (positions, positions_padding) = row.masked_lm_positions.split_at(masks);

    all(mask, 1)
        && all(mask_padding, 0)
        && all(&row.input_ids[tokens..], 0)
        && largest(row.input_ids) < ids
        && all(&segments[..first], 0)
        && all(&segments[first..], 1)
        && all(segments_padding, 0)
        && largest(starts) <= 1
        && all(starts_padding, 0)
        && *row.next_sentence_label <= 1
        && row.masked_lm_weights[masks..].iter().all(|&weight| weight == 0.0)
        && largest(row.masked_lm_ids) < ids
        && all(&row.masked_lm_ids[masks..], 0)
        && positions.windows(2).all(|pair| pair[0] < pair[1])
        && positions.last().is_none_or(|&last| (last as usize) < tokens)
        && all(positions_padding, 0)
}
