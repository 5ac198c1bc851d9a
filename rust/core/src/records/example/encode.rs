//! Encodes instances as `tf.train.Example` bytes without a protobuf library.

use super::FEATURES;
use crate::instances::instance::Instance;
use crate::instances::options::InstanceOptions;

/// Field 1, length-delimited: `Example.features`, `Features.feature`, an entry's key, a list's packed values.
const FIELD_1: u8 = 0x0a;
/// Field 2, length-delimited: an entry's value, `Feature.float_list`.
const FIELD_2: u8 = 0x12;
/// Field 3, length-delimited: `Feature.int64_list`.
const FIELD_3: u8 = 0x1a;

/// Ids are written eight bytes at a time, although at most five of them count.
const SLACK: usize = 8;

/// Returns the number of bytes of `value` as a varint.
fn varint_len(value: u32) -> usize {
    1 + usize::from(value >= 1 << 7)
        + usize::from(value >= 1 << 14)
        + usize::from(value >= 1 << 21)
        + usize::from(value >= 1 << 28)
}

/// Returns the number of bytes of `values` as varints.
fn varints_len(values: &[u32]) -> usize {
    if all_short(values) {
        values.iter().map(|&value| 1 + u32::from(value >= 1 << 7) + u32::from(value >= 1 << 14)).sum::<u32>() as usize
    } else {
        values.iter().map(|&value| varint_len(value)).sum()
    }
}

/// Whether every value takes at most three bytes, as the ids of any real vocabulary do.
fn all_short(values: &[u32]) -> bool {
    values.iter().fold(0, |all, &value| all | value) < 1 << 21
}

/// Returns `value` as a varint in the low bytes, and how many of them count.
#[inline]
fn varint(value: u32) -> (u64, usize) {
    let wide = u64::from(value);
    let spread = (wide & 0x7f)
        | ((wide & (0x7f << 7)) << 1)
        | ((wide & (0x7f << 14)) << 2)
        | ((wide & (0x7f << 21)) << 3)
        | ((wide & (0x7f << 28)) << 4);
    let length = varint_len(value);
    // The top bit is set in every byte except the last.
    let more = 0x0080_8080_8080_u64 & ((1 << (8 * (length - 1))) - 1);
    (spread | more, length)
}

/// The sizes of one map entry, outermost last. Each message is preceded by its length.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    values: usize,
    list: usize,
    feature: usize,
    entry: usize,
    total: usize,
}

impl Sizes {
    fn of(name: &str, values: usize) -> Self {
        let delimited = |size: usize| 1 + varint_len(size as u32) + size;
        let list = delimited(values);
        let feature = delimited(list);
        let entry = delimited(name.len()) + delimited(feature);
        Self { values, list, feature, entry, total: delimited(entry) }
    }
}

/// Writes forward into a buffer of zeros that has the exact size plus [`SLACK`].
struct Cursor<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl Cursor<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    #[inline]
    fn put_varint(&mut self, value: u32) {
        let (bytes, length) = varint(value);
        self.bytes[self.at..self.at + 8].copy_from_slice(&bytes.to_le_bytes());
        self.at += length;
    }

    /// Branchless: the length of an id cannot be predicted, and a misprediction costs more than the id.
    fn put_varints(&mut self, values: &[u32]) {
        if !all_short(values) {
            for &value in values {
                self.put_varint(value);
            }
            return;
        }
        let mut at = self.at;
        for &value in values {
            let (second, third) = (u32::from(value >= 1 << 7), u32::from(value >= 1 << 14));
            let bytes =
                (value & 0x7f) | ((value & (0x7f << 7)) << 1) | ((value >> 14) << 16) | (second << 7) | (third << 15);
            self.bytes[at..at + 4].copy_from_slice(&bytes.to_le_bytes());
            at += (1 + second + third) as usize;
        }
        self.at = at;
    }

    fn put_lead(&mut self, name: &str, list_field: u8, sizes: Sizes) {
        for (field, size) in [(FIELD_1, sizes.entry), (FIELD_1, name.len())] {
            self.put(&[field]);
            self.put_varint(size as u32);
        }
        self.put(name.as_bytes());
        for (field, size) in [(FIELD_2, sizes.feature), (list_field, sizes.list), (FIELD_1, sizes.values)] {
            self.put(&[field]);
            self.put_varint(size as u32);
        }
    }

    /// Returns the next `count` bytes, which are zeros.
    #[inline]
    fn take(&mut self, count: usize) -> &mut [u8] {
        self.at += count;
        &mut self.bytes[self.at - count..self.at]
    }
}

/// Encodes instances that have the same options.
#[derive(Debug, Clone)]
pub struct Encoder {
    max_seq_length: usize,
    max_predictions: usize,
    /// What comes before the values of each feature, if their number of bytes is always the same; otherwise empty.
    leads: [Vec<u8>; 8],
    /// The number of bytes of those features together, leads included.
    fixed: usize,
}

impl Encoder {
    /// Returns an encoder for `options`' lengths.
    pub fn new(options: &InstanceOptions) -> Self {
        let (s, p) = (options.max_seq_length, options.max_predictions());
        let mut fixed = 0;
        let lead = |index: usize, field: u8, values: usize| {
            let sizes = Sizes::of(FEATURES[index], values);
            let mut bytes = vec![0; sizes.total - values + SLACK];
            let mut cursor = Cursor { bytes: &mut bytes, at: 0 };
            cursor.put_lead(FEATURES[index], field, sizes);
            let length = cursor.at;
            bytes.truncate(length);
            fixed += sizes.total;
            bytes
        };
        let mut lead = lead;
        let leads = [
            Vec::new(),
            lead(1, FIELD_3, s),
            Vec::new(),
            Vec::new(),
            lead(4, FIELD_2, 4 * p),
            lead(5, FIELD_3, 1),
            lead(6, FIELD_3, s),
            lead(7, FIELD_3, s),
        ];
        Self { max_seq_length: s, max_predictions: p, leads, fixed }
    }

    /// Appends `instance` to `out` as a serialized `tf.train.Example`.
    ///
    /// # Panics
    ///
    /// If the instance is longer than `max_seq_length`, has more than `max_predictions` masked tokens, or has lists of
    /// different lengths. Instances made with the same options never do.
    pub fn encode(&self, instance: &Instance, out: &mut Vec<u8>) {
        let (s, p) = (self.max_seq_length, self.max_predictions);
        let (tokens, masks) = (instance.tokens.len(), instance.masked_positions.len());
        assert!(tokens <= s && masks <= p, "{tokens} tokens and {masks} masks do not fit into {s} and {p}");
        assert!(tokens == instance.word_starts.len() && instance.first_length <= tokens);
        assert_eq!(masks, instance.masked_labels.len());

        let input_ids = Sizes::of(FEATURES[0], varints_len(&instance.tokens) + s - tokens);
        let labels = Sizes::of(FEATURES[2], varints_len(&instance.masked_labels) + p - masks);
        let positions = Sizes::of(FEATURES[3], varints_len(&instance.masked_positions) + p - masks);
        let features = self.fixed + input_ids.total + labels.total + positions.total;
        let size = 1 + varint_len(features as u32) + features;

        let start = out.len();
        out.resize(start + size + SLACK, 0);
        let mut cursor = Cursor { bytes: &mut out[start..], at: 0 };
        cursor.put(&[FIELD_1]);
        cursor.put_varint(features as u32);

        cursor.put_lead(FEATURES[0], FIELD_3, input_ids);
        cursor.put_varints(&instance.tokens);
        cursor.take(s - tokens);

        cursor.put(&self.leads[1]);
        cursor.take(s)[..tokens].fill(1);

        cursor.put_lead(FEATURES[2], FIELD_3, labels);
        cursor.put_varints(&instance.masked_labels);
        cursor.take(p - masks);

        cursor.put_lead(FEATURES[3], FIELD_3, positions);
        cursor.put_varints(&instance.masked_positions);
        cursor.take(p - masks);

        cursor.put(&self.leads[4]);
        for weight in cursor.take(4 * p)[..4 * masks].chunks_exact_mut(4) {
            weight.copy_from_slice(&1.0_f32.to_le_bytes());
        }

        cursor.put(&self.leads[5]);
        cursor.put(&[u8::from(instance.is_random_next)]);

        cursor.put(&self.leads[6]);
        cursor.take(s)[instance.first_length..tokens].fill(1);

        cursor.put(&self.leads[7]);
        for (byte, &start) in cursor.take(s).iter_mut().zip(&instance.word_starts) {
            *byte = u8::from(start);
        }
        debug_assert_eq!(cursor.at, size);
        out.truncate(start + size);
    }
}

/// Appends `instance` to `out` as a serialized `tf.train.Example`. To encode many, keep an [`Encoder`].
pub fn encode(instance: &Instance, options: &InstanceOptions, out: &mut Vec<u8>) {
    Encoder::new(options).encode(instance, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_at_every_edge() {
        for (value, bytes) in [
            (0, &[0][..]),
            (127, &[0x7f]),
            (128, &[0x80, 0x01]),
            (300, &[0xac, 0x02]),
            (16_383, &[0xff, 0x7f]),
            (16_384, &[0x80, 0x80, 0x01]),
            ((1 << 21) - 1, &[0xff, 0xff, 0x7f]),
            (1 << 21, &[0x80, 0x80, 0x80, 0x01]),
            ((1 << 28) - 1, &[0xff, 0xff, 0xff, 0x7f]),
            (1 << 28, &[0x80, 0x80, 0x80, 0x80, 0x01]),
            (u32::MAX, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ] {
            let (word, length) = varint(value);
            assert_eq!(&word.to_le_bytes()[..length], bytes, "{value}");
            assert_eq!(word.checked_shr(8 * length as u32).unwrap_or(0), 0, "{value}");
        }
    }
}
