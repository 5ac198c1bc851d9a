//! Compares rows that are read directly with rows made from decoded messages.

use super::*;
use crate::batches::batch::Row;

/// The lists of a row, for comparison.
#[derive(Debug, Clone, PartialEq)]
struct Lists {
    long: [Vec<i32>; 4],
    short: [Vec<i32>; 2],
    weights: Vec<f32>,
    label: i32,
}

impl Lists {
    /// Returns the lists of a row that was used before, so that values that are not written show.
    fn used(s: usize, p: usize) -> Self {
        let (long, short) = (vec![77; s], vec![78; p]);
        Self {
            long: [long.clone(), long.clone(), long.clone(), long],
            short: [short.clone(), short],
            weights: vec![7.5; p],
            label: 79,
        }
    }

    fn zeros(s: usize, p: usize) -> Self {
        let mut lists = Self::used(s, p);
        lists.long.iter_mut().chain(&mut lists.short).for_each(|list| list.fill(0));
        lists.weights.fill(0.0);
        lists.label = 0;
        lists
    }

    fn of(instance: &Instance, s: usize, p: usize) -> Self {
        let mut lists = Self::zeros(s, p);
        lists.row().write(instance);
        lists
    }

    fn row(&mut self) -> Row<'_> {
        let [input_ids, input_mask, segment_ids, token_boundary] = &mut self.long;
        let [masked_lm_positions, masked_lm_ids] = &mut self.short;
        Row {
            input_ids,
            input_mask,
            segment_ids,
            token_boundary,
            masked_lm_positions,
            masked_lm_ids,
            masked_lm_weights: &mut self.weights,
            next_sentence_label: &mut self.label,
        }
    }
}

fn read(data: &[u8], vocab_size: Option<u32>, (s, p): (usize, usize)) -> Result<Lists, Vec<String>> {
    let mut lists = Lists::used(s, p);
    decode_row(data, vocab_size, &mut lists.row()).map(|_| lists)
}

/// Returns what [`read`] must return, derived from the message that [`decode`] makes of the bytes. The text of an error
/// about lengths may differ.
fn read_slowly(data: &[u8], vocab_size: Option<u32>, (s, p): (usize, usize)) -> Result<Lists, Vec<String>> {
    let mut example = decode(data).map_err(|problem| vec![problem])?;
    example.0.retain(|name, _| FEATURES.contains(&name.as_str()));
    let most = vocab_size.unwrap_or(u32::MAX).min(1 << 31);
    let rules = Rules { vocab_size: Some(most), cls_sep: None, lengths: Some((s, p)) };
    let problems = rules.check(&example);
    if problems.is_empty() { Ok(Lists::of(&example.instance()?, s, p)) } else { Err(problems) }
}

/// Whether the bytes are read without decoding a message.
fn is_quick(data: &[u8], (s, p): (usize, usize)) -> bool {
    row::is_quick(data, &mut Lists::used(s, p).row())
}

fn assert_same_verdict(data: &[u8], vocab_size: Option<u32>, lengths: (usize, usize)) {
    match (read(data, vocab_size, lengths), read_slowly(data, vocab_size, lengths)) {
        (Ok(quick), Ok(slow)) => assert_eq!(quick, slow),
        (Err(_), Err(_)) => {}
        (quick, slow) => panic!("{quick:?}, where the message gives {slow:?}"),
    }
}

fn shapes() -> impl Strategy<Value = (usize, usize, Instance)> {
    (8..200_usize, 1..30_usize).prop_flat_map(|(s, p)| (Just(s), Just(p), instances(s, p)))
}

fn with_ids_below(mut instance: Instance, ids: u32) -> Instance {
    for id in instance.tokens.iter_mut().chain(&mut instance.masked_labels) {
        *id %= ids;
    }
    instance
}

fn encoded(instance: &Instance, s: usize, p: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(instance, &options(s, p), &mut bytes);
    bytes
}

proptest! {
    #[test]
    fn our_records_are_read_quickly((s, p, instance) in shapes(), bits in 1..29_u32) {
        let instance = with_ids_below(instance, 1 << bits);
        let bytes = encoded(&instance, s, p);
        prop_assert!(is_quick(&bytes, (s, p)));
        prop_assert_eq!(read(&bytes, Some(1 << bits), (s, p)), Ok(Lists::of(&instance, s, p)));
    }

    /// Includes ids of five bytes and ids out of range.
    #[test]
    fn any_id_has_the_same_verdict((s, p, instance) in shapes(), vocab_size in prop::option::of(1..u32::MAX)) {
        assert_same_verdict(&encoded(&instance, s, p), vocab_size, (s, p));
    }

    #[test]
    fn any_order_and_foreign_features(
        (s, p, instance) in shapes(),
        packed: bool,
        foreign: bool,
        order in Just((0..10).collect::<Vec<usize>>()).prop_shuffle(),
    ) {
        let instance = with_ids_below(instance, 1 << 20);
        let example = lists(&instance, s, p);
        let others = [("image".to_owned(), Values::Bytes(2)), ("über".to_owned(), Values::Ints(vec![-1, 1 << 40]))];
        let all: Vec<_> = example.0.iter().chain(others.iter().map(|(name, values)| (name, values))).collect();
        let chosen = order.iter().filter(|&&index| foreign || index < 8).map(|&index| all[index]);
        let bytes = serialize(chosen, packed);
        prop_assert_eq!(is_quick(&bytes, (s, p)), packed);
        prop_assert_eq!(read(&bytes, None, (s, p)), Ok(Lists::of(&instance, s, p)));
    }

    /// By protobuf's rules, the last of two entries with the same key counts, and both parts of a message in two parts
    /// do.
    #[test]
    fn duplicates_go_by_the_rules_of_protobuf(
        one in instances(64, 9), two in instances(64, 9), name in 0..8_usize, apart: bool,
    ) {
        let (one, two) = (lists(&with_ids_below(one, 1000), 64, 9), lists(&with_ids_below(two, 1000), 64, 9));
        let again = two.0.get_key_value(FEATURES[name]);
        let bytes = if apart {
            [serialize(one.0.iter(), true), serialize(again.into_iter(), true)].concat()
        } else {
            serialize(one.0.iter().chain(again), true)
        };
        prop_assert!(!is_quick(&bytes, (64, 9)));
        assert_same_verdict(&bytes, None, (64, 9));
    }

    #[test]
    fn no_damage_makes_it_panic_or_changes_the_verdict(
        instance in instances(40, 6),
        damage in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![0..3_u8, any::<u8>()]), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = encoded(&with_ids_below(instance, 300), 40, 6);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        assert_same_verdict(&bytes, Some(300), (40, 6));
        assert_same_verdict(&bytes[..cut.index(bytes.len())], Some(300), (40, 6));
    }

    #[test]
    fn no_bytes_of_any_kind_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        assert_same_verdict(&bytes, None, (3, 1));
    }

    /// An empty list is present, packed into no bytes, and has the length that the row has.
    #[test]
    fn records_without_tokens_or_predictions_are_refused(instance in instances(4, 3), s in 0..5_usize, p in 0..4_usize) {
        let mut example = lists(&with_ids_below(instance, 100), 4, 3);
        for (index, name) in FEATURES.iter().enumerate() {
            let length = [s, s, p, p, p, 1, s, s][index];
            match example.0.get_mut(*name) {
                Some(Values::Ints(values)) => values.truncate(length),
                Some(Values::Floats(values)) => values.truncate(length),
                other => panic!("{other:?}"),
            }
        }
        let bytes = serialize(example.0.iter(), true);
        prop_assert_eq!(is_quick(&bytes, (s, p)), s > 0 && p > 0);
        prop_assert!((s > 0 && p > 0) || read(&bytes, None, (s, p)).is_err());
        assert_same_verdict(&bytes, None, (s, p));
    }

    /// Lists of the right lengths whose values break a rule, or nearly do.
    #[test]
    fn any_values_have_the_same_verdict(
        values in prop::collection::vec(
            prop::option::weighted(0.3, prop::collection::vec(prop_oneof![4 => 0..2_i64, 1 => -1..9_i64], 5)), 8,
        ),
        weights in prop::option::of(
            prop::collection::vec(prop::sample::select(vec![1.0_f32, 0.0, -0.0, 0.5, f32::NAN]), 5),
        ),
    ) {
        let instance = Instance {
            tokens: vec![2, 4, 3, 5],
            word_starts: vec![true, false, true, true],
            first_length: 2,
            is_random_next: true,
            masked_positions: vec![1, 3],
            masked_labels: vec![6, 7],
            truncated: 0,
            mislabeled: false,
        };
        let mut example = lists(&instance, 5, 5);
        for (index, mut values) in values.into_iter().enumerate().filter_map(|(index, values)| Some((index, values?))) {
            values.truncate(if index == 5 { 1 } else { 5 });
            if index != 4 {
                example.0.insert(FEATURES[index].to_owned(), Values::Ints(values));
            }
        }
        if let Some(weights) = weights {
            example.0.insert(FEATURES[4].to_owned(), Values::Floats(weights));
        }
        assert_same_verdict(&serialize(example.0.iter(), true), Some(8), (5, 5));
    }
}

#[test]
fn the_reference_s_records_are_read_quickly() {
    for (name, p) in [("default-128-00000-of-00001.tfrecord.gz", 20), ("permutation-00000-of-00001.tfrecord.gz", 40)] {
        let mut reader = RecordReader::open(golden(name)).unwrap();
        let mut count = 0;
        while let Some(record) = reader.read().unwrap() {
            assert!(is_quick(record.data, (128, p)));
            let row = read(record.data, Some(2000), (128, p));
            assert!(row.is_ok());
            assert_eq!(row, read_slowly(record.data, Some(2000), (128, p)));
            count += 1;
        }
        assert!(count > 1000);
    }
}

#[test]
fn varints_of_all_lengths_at_all_places() {
    for shift in 0..70 {
        let tokens: Vec<u32> =
            (0..300).map(|at| if at < shift { 1 } else { [5, 300, 70_000, 1 << 21, (1 << 28) - 1][at % 5] }).collect();
        let instance = Instance { word_starts: vec![true; 300], tokens, ..Instance::default() };
        let bytes = encoded(&instance, 301, 1);
        assert!(is_quick(&bytes, (301, 1)));
        assert_eq!(read(&bytes, None, (301, 1)), Ok(Lists::of(&instance, 301, 1)));
    }
}

#[test]
fn varints_that_are_too_long_or_never_end() {
    let good = serialize(good().0.iter(), true);
    // The ids of the valid record, and the lengths around them. Those of entry, feature, list and values are two apart.
    let ids = [2, 10, 4, 3, 4, 3, 0, 0];
    let at = good.windows(8).position(|window| window == ids).unwrap();
    let end = at + ids.len();
    for (list, is_good) in [
        (&[2, 10, 4, 3, 4, 3, 0x80, 0x00, 0][..], true),
        (&[2, 0x8a, 0x80, 0x00, 4, 3, 4, 3, 0, 0], true),
        (&[2, 0x8a, 0x80, 0x80, 0x80, 0x00, 4, 3, 4, 3, 0, 0], true),
        (&[2, 10, 4, 3, 4, 3, 0, 0x80], false),
        (&[2, 10, 4, 3, 4, 3, 0, 0, 0x80], false),
        (&[2, 10, 4, 3, 4, 3, 0], false),
    ] {
        let mut bytes = [&good[..at], list, &good[end..]].concat();
        let more = (list.len() as u8).wrapping_sub(8);
        // From the inside: values, list, feature, then the entry before its key, and the whole, in two bytes.
        for length in [at - 1, at - 3, at - 5, at - 9 - "input_ids".len()] {
            bytes[length] = bytes[length].wrapping_add(more);
        }
        bytes[1] = bytes[1].wrapping_add(more);
        assert_eq!(read(&bytes, None, (8, 3)).is_ok(), is_good, "{list:?}");
        assert_same_verdict(&bytes, None, (8, 3));
    }
}

#[test]
fn errors_are_those_of_the_rules() {
    let bytes = serialize(good().0.iter(), true);
    assert!(read(&bytes, Some(20), (8, 3)).is_ok());
    assert_eq!(
        read(&bytes, None, (512, 20)).unwrap_err(),
        ["input_ids has 8 values and masked_lm_ids 3, but the first record has 512 and 20; all records must be alike"]
    );
    assert_eq!(
        read(&bytes, Some(12), (8, 3)).unwrap_err(),
        ["masked_lm_ids must be from 0 to 11, the ids of the vocabulary, got 12 at position 1"]
    );
    let mut large = good();
    large.0.insert(FEATURES[2].to_owned(), Values::Ints(vec![11, 1 << 31, 0]));
    assert_eq!(
        read(&serialize(large.0.iter(), true), None, (8, 3)).unwrap_err(),
        ["masked_lm_ids must be from 0 to 2147483647, the ids of the vocabulary, got 2147483648 at position 1"]
    );
    let mut missing = good();
    missing.0.remove("segment_ids");
    assert_eq!(read(&serialize(missing.0.iter(), true), None, (8, 3)).unwrap_err(), ["segment_ids is missing"]);
}

#[test]
fn a_record_without_boundaries_is_read_quickly() {
    let mut example = good();
    let with = serialize(example.0.iter(), true);
    example.0.remove("token_boundary");
    let without = serialize(example.0.iter(), true);
    let unpacked = serialize(example.0.iter(), false);
    assert!(is_quick(&without, (8, 3)) && !is_quick(&unpacked, (8, 3)));
    for (bytes, has_boundaries) in [(&with, true), (&without, false), (&unpacked, false)] {
        let mut lists = Lists::used(8, 3);
        assert_eq!(row::decode_row(bytes, None, &mut lists.row()), Ok(has_boundaries));
        assert_eq!(lists, Lists::of(&decode(bytes).unwrap().instance().unwrap(), 8, 3));
        assert_same_verdict(bytes, None, (8, 3));
    }
}

#[test]
fn a_foreign_feature_is_judged_like_any_other() {
    // The eight entries, without the tag and the two-byte length before them.
    let good = serialize(good().0.iter(), true);
    let entries = &good[3..];
    assert_eq!(field(0x0a, entries), good);
    let ints = |values: &[u8]| field(0x12, &field(0x1a, &field(0x0a, values)));
    let minus_one = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    let mut too_large = minus_one;
    too_large[9] = 2;
    // The bytes after the key, whether the record is valid, and whether it is read quickly.
    for (what, value, is_good, quick) in [
        ("nothing", vec![], true, false),
        ("an empty feature", field(0x12, &[]), true, true),
        ("ints", ints(&[&[3, 0x80, 0x01][..], &minus_one].concat()), true, true),
        ("no ints", ints(&[]), true, true),
        ("a list without its field", field(0x12, &field(0x1a, &[])), true, false),
        ("two floats", field(0x12, &field(0x12, &field(0x0a, &[0; 8]))), true, true),
        ("texts", field(0x12, &field(0x0a, &field(0x0a, b"abc").repeat(3))), true, true),
        ("a field of a later version", field(0x12, &field(0x22, b"abc")), true, false),
        ("an unpacked int", field(0x12, &field(0x1a, &[0x08, 0x07])), true, false),
        ("a value that is cut off", vec![0x12, 0x05, 0x1a], false, false),
        ("an unknown wire type", vec![0x17], false, false),
        ("field 0", vec![0x02, 0x00], false, false),
        ("no feature", field(0x12, b"junk"), false, false),
        ("a feature that is cut off", field(0x12, &[0x1a]), false, false),
        ("a list of another wire type", field(0x12, &[0x18, 0x01]), false, false),
        ("ints that are cut off", ints(&[1, 0x80]), false, false),
        ("an int of more than 64 bits", ints(&too_large), false, false),
        ("an int that never ends", ints(&[0x80; 30]), false, false),
        ("an int of eleven bytes", ints(&[&[0x80; 10][..], &[0]].concat()), false, false),
        ("a float of three bytes", field(0x12, &field(0x12, &field(0x0a, &[0; 3]))), false, false),
        ("a text that is cut off", field(0x12, &field(0x0a, &[0x0a, 0x09, b'a'])), false, false),
        ("bytes where a text begins", field(0x12, &field(0x0a, &[0x09, 0x0a])), false, false),
        ("a value and damage", [ints(&[1]), vec![0x12]].concat(), false, false),
    ] {
        let extra = field(0x0a, &[field(0x0a, b"extra"), value].concat());
        for bytes in [field(0x0a, &[entries, &extra].concat()), field(0x0a, &[&extra, entries].concat())] {
            assert_eq!(is_quick(&bytes, (8, 3)), quick, "{what}");
            assert_eq!(read(&bytes, None, (8, 3)).is_ok(), is_good, "{what}");
            assert_same_verdict(&bytes, None, (8, 3));
        }
    }
}

#[test]
fn broken_records_are_refused_by_both_judges() {
    let ints = |values: &[i64]| Some(Values::Ints(values.to_vec()));
    let floats = |values: &[f32]| Some(Values::Floats(values.to_vec()));
    for (index, values) in [
        (0, None),
        (0, ints(&[2, 10, 4, 3, 4, 3, 5, 0])),
        (0, ints(&[2, -1, 4, 3, 4, 3, 0, 0])),
        (0, ints(&[2, 10, 4, 3, 4, 20, 0, 0])),
        (0, ints(&[2, 10, 4, 3, 4, 3])),
        (0, ints(&[])),
        (0, floats(&[2.0; 8])),
        (1, ints(&[1, 1, 1, 1, 1, 1, 0, 1])),
        (1, ints(&[1, 1, 1, 1, 1, 2, 0, 0])),
        (1, ints(&[0, 1, 1, 1, 1, 1, 1, 0])),
        (1, ints(&[0; 8])),
        (1, ints(&[9; 8])),
        (2, ints(&[11, 12, 1])),
        (2, ints(&[11, 20, 0])),
        (2, ints(&[])),
        (3, ints(&[4, 2, 0])),
        (3, ints(&[2, 2, 0])),
        (3, ints(&[2, 6, 0])),
        (3, ints(&[2, 4, 5])),
        (4, ints(&[1, 1, 0])),
        (4, floats(&[1.0, 0.5, 0.0])),
        (4, floats(&[1.0, 0.0, 1.0])),
        (4, floats(&[f32::NAN; 3])),
        (4, floats(&[1.0; 2])),
        (5, ints(&[2])),
        (5, ints(&[])),
        (5, ints(&[0, 0])),
        (6, ints(&[0, 0, 0, 0, 1, 0, 0, 0])),
        (6, ints(&[0, 0, 0, 0, 1, 1, 1, 0])),
        (6, ints(&[0, 0, 0, 0, 0, 2, 0, 0])),
        (7, ints(&[1, 2, 0, 1, 1, 1, 0, 0])),
        (7, ints(&[1, 1, 0, 1, 1, 1, 1, 0])),
        (7, Some(Values::Bytes(8))),
        (7, Some(Values::Nothing)),
    ] {
        let mut example = good();
        let name = FEATURES[index];
        match &values {
            Some(values) => example.0.insert(name.to_owned(), values.clone()),
            None => example.0.remove(name),
        };
        let bytes = serialize(example.0.iter(), true);
        assert!(read(&bytes, Some(20), (8, 3)).is_err(), "{name} {values:?}");
        assert!(read_slowly(&bytes, Some(20), (8, 3)).is_err(), "{name} {values:?}");
    }
}
