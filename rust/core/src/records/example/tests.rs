//! Tests with golden records, a second protobuf implementation, and arbitrary bytes.

mod rows;

use std::path::PathBuf;

use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::instances::instance::Instance;
use crate::instances::options::InstanceOptions;
use crate::records::tfrecord::{self, RecordReader};

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/records").join(name)
}

/// Decodes every record of a golden file, encodes it again and compares all bytes. Returns the number of records.
fn reencode(name: &str, options: &InstanceOptions, rules: &Rules) -> usize {
    let mut whole = Vec::new();
    std::io::Read::read_to_end(
        &mut flate2::read::MultiGzDecoder::new(std::fs::File::open(golden(name)).unwrap()),
        &mut whole,
    )
    .unwrap();
    let mut reader = RecordReader::open(golden(name)).unwrap();
    let encoder = Encoder::new(options);
    let (mut again, mut count) = (Vec::new(), 0);
    while let Some(record) = reader.read().unwrap() {
        let example = decode(record.data).unwrap();
        assert_eq!(rules.check(&example), [""; 0], "record {}", record.index);
        let instance = example.instance().unwrap();
        let start = again.len();
        assert_eq!(start as u64, record.offset);
        tfrecord::frame(&mut again, |out| encoder.encode(&instance, out));
        assert_eq!(
            &again[start + tfrecord::HEADER_BYTES..][..record.data.len()],
            record.data,
            "record {}",
            record.index
        );
        count += 1;
    }
    assert_eq!(again, whole);
    count
}

/// In the golden vocabulary of 2,000 pieces, `[CLS]` and `[SEP]` are 2 and 3.
fn golden_rules(lengths: (usize, usize)) -> Rules {
    Rules { vocab_size: Some(2000), cls_sep: Some((2, 3)), lengths: Some(lengths) }
}

#[test]
fn the_reference_s_records_come_back_byte_for_byte() {
    let options = InstanceOptions { max_seq_length: 128, ..InstanceOptions::default() };
    assert_eq!(reencode("default-128-00000-of-00001.tfrecord.gz", &options, &golden_rules((128, 20))), 1627);
    let options = InstanceOptions { do_permutation: true, ..options };
    assert!(reencode("permutation-00000-of-00001.tfrecord.gz", &options, &golden_rules((128, 40))) > 1000);
}

fn options(s: usize, p: usize) -> InstanceOptions {
    InstanceOptions { max_seq_length: s, max_predictions_per_seq: p, ..InstanceOptions::default() }
}

/// Any instance that the pipeline may produce for these lengths, with ids of any size.
fn instances(s: usize, p: usize) -> impl Strategy<Value = Instance> {
    let id = prop_oneof![0..200_u32, 0..70_000_u32, any::<u32>()];
    (prop::collection::vec((id.clone(), any::<bool>()), 1..=s), any::<bool>(), any::<prop::sample::Index>())
        .prop_flat_map(move |(tokens, is_random_next, first)| {
            let length = tokens.len();
            let positions = prop::sample::subsequence((0..length as u32).collect::<Vec<_>>(), 0..=p.min(length));
            (positions, prop::collection::vec(id.clone(), p)).prop_map(move |(masked_positions, mut masked_labels)| {
                masked_labels.truncate(masked_positions.len());
                let (tokens, word_starts) = tokens.iter().copied().unzip();
                let first_length = first.index(length + 1);
                Instance {
                    tokens,
                    word_starts,
                    first_length,
                    is_random_next,
                    masked_positions,
                    masked_labels,
                    truncated: 0,
                    mislabeled: false,
                }
            })
        })
}

fn padded<T: Copy + Default>(values: impl IntoIterator<Item = T>, length: usize) -> Vec<T> {
    let mut values: Vec<T> = values.into_iter().collect();
    values.resize(length, T::default());
    values
}

fn lists(instance: &Instance, s: usize, p: usize) -> Example {
    let ints = |values: Vec<i64>| Values::Ints(values);
    let wide = |values: &[u32]| values.iter().map(|&value| i64::from(value)).collect::<Vec<_>>();
    let segments = (0..instance.tokens.len()).map(|at| i64::from(at >= instance.first_length));
    let starts = instance.word_starts.iter().map(|&start| i64::from(start));
    let values = [
        ints(padded(wide(&instance.tokens), s)),
        ints(padded(instance.tokens.iter().map(|_| 1), s)),
        ints(padded(wide(&instance.masked_labels), p)),
        ints(padded(wide(&instance.masked_positions), p)),
        Values::Floats(padded(instance.masked_labels.iter().map(|_| 1.0), p)),
        ints(vec![i64::from(instance.is_random_next)]),
        ints(padded(segments, s)),
        ints(padded(starts, s)),
    ];
    Example(FEATURES.iter().map(|&name| name.to_owned()).zip(values).collect())
}

/// Returns a length-delimited field.
fn field(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    prost::encoding::encode_varint(content.len() as u64, &mut bytes);
    bytes.extend_from_slice(content);
    bytes
}

/// Returns an `Example` as an old or unusual writer may write it: features in the given order, lists packed or not.
fn serialize<'a>(features: impl Iterator<Item = (&'a String, &'a Values)>, packed: bool) -> Vec<u8> {
    let mut entries = Vec::new();
    for (name, values) in features {
        let feature = match values {
            Values::Ints(values) => {
                let mut list = Vec::new();
                for &value in values {
                    if !packed {
                        list.push(0x08);
                    }
                    prost::encoding::encode_varint(value as u64, &mut list);
                }
                field(0x1a, &if packed { field(0x0a, &list) } else { list })
            }
            Values::Floats(values) => {
                let mut list = Vec::new();
                for value in values {
                    if !packed {
                        list.push(0x0d);
                    }
                    list.extend_from_slice(&value.to_le_bytes());
                }
                field(0x12, &if packed { field(0x0a, &list) } else { list })
            }
            Values::Bytes(count) => field(0x0a, &field(0x0a, b"abc").repeat(*count)),
            Values::Nothing => Vec::new(),
        };
        entries.extend(field(0x0a, &[field(0x0a, name.as_bytes()), field(0x12, &feature)].concat()));
    }
    field(0x0a, &entries)
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        (s, p, instance) in (8..200_usize, 1..30_usize).prop_flat_map(|(s, p)| (Just(s), Just(p), instances(s, p))),
    ) {
        let mut bytes = vec![1, 2, 3];
        encode(&instance, &options(s, p), &mut bytes);
        prop_assert_eq!(&bytes[..3], [1, 2, 3]);
        let example = decode(&bytes[3..]).unwrap();
        prop_assert_eq!(&example, &lists(&instance, s, p));
        prop_assert_eq!(&bytes[3..], &serialize(example.0.iter(), true)[..]);
        prop_assert_eq!(example.instance(), Ok(instance));
    }

    #[test]
    fn unpacked_lists_and_any_order_are_the_same(instance in instances(64, 9)) {
        let example = lists(&instance, 64, 9);
        let backwards = serialize(example.0.iter().rev(), false);
        prop_assert_eq!(decode(&backwards).unwrap(), example);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(example) = decode(&bytes) {
            let _ = Rules::default().check(&example);
            let _ = example.instance();
        }
    }

    /// Nearly correct bytes get further than random ones.
    #[test]
    fn no_damage_makes_it_panic(
        instance in instances(40, 6),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = Vec::new();
        encode(&instance, &options(40, 6), &mut bytes);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
            if let Ok(example) = decode(bytes) {
                let rules = Rules { vocab_size: Some(100), cls_sep: Some((2, 3)), lengths: Some((40, 6)) };
                let _ = rules.check(&example);
                let _ = example.instance();
            }
        }
    }

    /// Lists of any lengths, types and values. Only valid ones become instances.
    #[test]
    fn no_lists_make_it_panic(
        lists in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(prop_oneof![-1..3_i64, any::<i64>()], 0..5).prop_map(Values::Ints),
                prop::collection::vec(prop_oneof![Just(1.0_f32), any::<f32>()], 0..5).prop_map(Values::Floats),
                (0..3_usize).prop_map(Values::Bytes),
                Just(Values::Nothing),
            ],
            8,
        ),
    ) {
        let example = Example(FEATURES.iter().map(|&name| name.to_owned()).zip(lists).collect());
        prop_assert_eq!(example.instance().is_ok(), Rules::default().check(&example).is_empty());
    }
}

#[test]
fn an_empty_message_and_foreign_features() {
    assert_eq!(decode(b"").unwrap(), Example::default());
    assert!(decode(b"\xff\xff").unwrap_err().starts_with("the data is not a tf.train.Example ("));
    let problems = Rules::default().check(&Example::default());
    // All features except `token_boundary`.
    assert_eq!(problems.len(), 7);
    assert_eq!(problems[0], "input_ids is missing");

    let other = Example([("image".to_owned(), Values::Bytes(2)), ("input_ids".to_owned(), Values::Nothing)].into());
    assert_eq!(decode(&serialize(other.0.iter(), true)).unwrap(), other);
    let problems = Rules::default().check(&other);
    assert!(problems.contains(&"input_ids must be of type Int64List, got nothing".to_owned()), "{problems:?}");
    assert_eq!(problems.len(), 7);
}

#[test]
fn a_record_of_bert_is_good_and_one_with_more_features_too() {
    let mut example = good();
    example.0.remove("token_boundary");
    assert_eq!(Rules::default().check(&example), [""; 0]);
    let instance = example.instance().unwrap();
    assert_eq!(instance.word_starts, [false; 6]);
    assert_eq!(
        Instance { word_starts: Vec::new(), ..instance },
        Instance { word_starts: Vec::new(), ..good().instance().unwrap() }
    );
    example.0.insert("guid".to_owned(), Values::Bytes(1));
    example.0.insert("weight".to_owned(), Values::Floats(vec![0.5]));
    assert_eq!(Rules::default().check(&example), [""; 0]);
    for name in &FEATURES[..7] {
        let mut without = example.clone();
        without.0.remove(*name);
        assert_eq!(Rules::default().check(&without), [format!("{name} is missing")]);
    }
    example.0.insert("token_boundary".to_owned(), Values::Floats(vec![1.0; 8]));
    assert_eq!(Rules::default().check(&example), ["token_boundary must be of type Int64List, got FloatList"]);
}

/// Returns `[CLS] 10 11 [SEP] 12 [SEP]` with length 8, and two masked tokens out of 3.
fn good() -> Example {
    let instance = Instance {
        tokens: vec![2, 10, 4, 3, 4, 3],
        word_starts: vec![true, true, false, true, true, true],
        first_length: 4,
        is_random_next: false,
        masked_positions: vec![2, 4],
        masked_labels: vec![11, 12],
        truncated: 0,
        mislabeled: false,
    };
    lists(&instance, 8, 3)
}

#[test]
fn each_rule_has_a_message() {
    let rules = Rules { vocab_size: Some(20), cls_sep: Some((2, 3)), lengths: Some((8, 3)) };
    assert_eq!(rules.check(&good()), [""; 0]);
    assert_eq!(Rules::lengths_of(&good()), Some((8, 3)));
    let ints = |name: &'static str, values: &[i64]| (name, Values::Ints(values.to_vec()));
    let floats = |values: &[f32]| ("masked_lm_weights", Values::Floats(values.to_vec()));
    for ((name, values), problem) in [
        (
            ints("input_ids", &[2, 10, 4, 3, 20, 3, 0, 0]),
            "input_ids must be from 0 to 19, the ids of the vocabulary, got 20 at position 4",
        ),
        (
            ints("input_ids", &[2, -1, 4, 3, 4, 3, 0, 0]),
            "input_ids must be from 0 to 19, the ids of the vocabulary, got -1 at position 1",
        ),
        (ints("input_ids", &[2, 10, 4, 3, 4, 3, 5, 0]), "input_ids must be 0 in the padding, got 5 at position 6"),
        (ints("input_ids", &[9, 10, 4, 3, 4, 3, 0, 0]), "input_ids: the first token must be [CLS] (2)"),
        (ints("input_ids", &[2, 10, 4, 3, 4, 4, 0, 0]), "input_ids: the last token must be [SEP] (3)"),
        (
            ints("segment_ids", &[0, 0, 0, 1, 1, 1, 0, 0]),
            "segment_ids: segment 0 ends at position 3, which is not after a [SEP] (3)",
        ),
        (ints("segment_ids", &[0, 0, 0, 0, 1, 0, 0, 0]), "segment_ids must be zeros, then ones, got 0 at position 5"),
        (ints("segment_ids", &[0, 0, 0, 0, 1, 1, 1, 0]), "segment_ids must be 0 in the padding, got 1 at position 6"),
        (ints("input_mask", &[1, 1, 1, 1, 1, 1, 0, 1]), "input_mask must be ones, then zeros, got 1 at position 7"),
        (ints("input_mask", &[1; 7]), "input_mask must have 8 values, got 7"),
        (ints("token_boundary", &[1, 2, 0, 1, 1, 1, 0, 0]), "token_boundary must be 0 or 1, got 2 at position 1"),
        (
            ints("token_boundary", &[1, 1, 0, 1, 1, 1, 1, 0]),
            "token_boundary must be 0 in the padding, got 1 at position 6",
        ),
        (ints("next_sentence_labels", &[2]), "next_sentence_labels must be 0 or 1, got 2 at position 0"),
        (ints("next_sentence_labels", &[]), "next_sentence_labels must have 1 values, got 0"),
        (ints("masked_lm_positions", &[2, 6, 0]), "masked_lm_positions must be on the 6 tokens, got 6 at position 1"),
        (ints("masked_lm_positions", &[4, 4, 0]), "masked_lm_positions must ascend, got 4 after 4"),
        (ints("masked_lm_positions", &[2, 4, 1]), "masked_lm_positions must be 0 in the padding, got 1 at position 2"),
        (ints("masked_lm_ids", &[11, 12, 1]), "masked_lm_ids must be 0 in the padding, got 1 at position 2"),
        (
            ints("masked_lm_ids", &[11, 99, 0]),
            "masked_lm_ids must be from 0 to 19, the ids of the vocabulary, got 99 at position 1",
        ),
        (floats(&[1.0, 0.5, 0.0]), "masked_lm_weights must be ones, then zeros, got 0.5 at position 1"),
        (floats(&[1.0, 0.0, 1.0]), "masked_lm_weights must be ones, then zeros, got 1 at position 2"),
    ] {
        let mut example = good();
        example.0.insert(name.to_owned(), values);
        let problems = rules.check(&example);
        assert!(problems.iter().any(|found| found == problem), "wanted {problem:?}, got {problems:?}");
    }
}

#[test]
fn prost_writes_the_same_bytes() {
    // The derive and the encoder were written independently. If both write a record alike, neither has a
    // misunderstanding of its own.
    #[derive(Clone, PartialEq, prost::Message)]
    struct Ints {
        #[prost(int64, repeated, tag = "1")]
        value: Vec<i64>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    struct IntFeature {
        #[prost(message, optional, tag = "3")]
        list: Option<Ints>,
    }
    let instance = good().instance().unwrap();
    let mut bytes = Vec::new();
    encode(&instance, &options(8, 3), &mut bytes);
    let ids = good().ints("input_ids").unwrap().to_vec();
    let feature = IntFeature { list: Some(Ints { value: ids }) }.encode_to_vec();
    let entry = [field(0x0a, b"input_ids"), field(0x12, &feature)].concat();
    let entry = field(0x0a, &entry);
    assert!(bytes.windows(entry.len()).any(|window| window == entry));
}
