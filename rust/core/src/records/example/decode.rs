//! Decodes `tf.train.Example` bytes of any writer to lists by name.

use std::collections::BTreeMap;

use prost::Message;

use super::{FEATURES, Rules, TOKEN_BOUNDARY};
use crate::instances::instance::Instance;

/// The messages of `tensorflow/core/example/example.proto` and `feature.proto`.
mod proto {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Example {
        #[prost(message, optional, tag = "1")]
        pub features: Option<Features>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Features {
        #[prost(btree_map = "string, message", tag = "1")]
        pub feature: std::collections::BTreeMap<String, Feature>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Feature {
        #[prost(oneof = "Kind", tags = "1, 2, 3")]
        pub kind: Option<Kind>,
    }

    #[derive(Clone, PartialEq, prost::Oneof)]
    pub(super) enum Kind {
        #[prost(message, tag = "1")]
        Bytes(BytesList),
        #[prost(message, tag = "2")]
        Floats(FloatList),
        #[prost(message, tag = "3")]
        Ints(Int64List),
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct BytesList {
        #[prost(bytes = "vec", repeated, tag = "1")]
        pub value: Vec<Vec<u8>>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct FloatList {
        #[prost(float, repeated, tag = "1")]
        pub value: Vec<f32>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Int64List {
        #[prost(int64, repeated, tag = "1")]
        pub value: Vec<i64>,
    }
}

/// The list of a feature.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// An `Int64List`.
    Ints(Vec<i64>),
    /// A `FloatList`.
    Floats(Vec<f32>),
    /// A `BytesList`. Only its length is kept, because no ALBERT record has one.
    Bytes(usize),
    /// A feature without a list.
    Nothing,
}

impl Values {
    /// The number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::Ints(values) => values.len(),
            Self::Floats(values) => values.len(),
            Self::Bytes(count) => *count,
            Self::Nothing => 0,
        }
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name of the list's type in `feature.proto`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Ints(_) => "Int64List",
            Self::Floats(_) => "FloatList",
            Self::Bytes(_) => "BytesList",
            Self::Nothing => "nothing",
        }
    }
}

/// A decoded `tf.train.Example`: its features by name, sorted.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Example(pub BTreeMap<String, Values>);

impl Example {
    /// Returns the int64 list `name`, if there is one.
    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        match self.0.get(name) {
            Some(Values::Ints(values)) => Some(values),
            _ => None,
        }
    }

    /// Returns the float list `name`, if there is one.
    pub fn floats(&self, name: &str) -> Option<&[f32]> {
        match self.0.get(name) {
            Some(Values::Floats(values)) => Some(values),
            _ => None,
        }
    }

    /// Returns the instance in the record, or what [`Rules::check`] finds wrong with the record.
    ///
    /// Records do not hold `truncated` and `mislabeled`, so these are 0 and false. Without `token_boundary`, no token
    /// begins a word.
    pub fn instance(&self) -> Result<Instance, Vec<String>> {
        let problems = Rules::default().check(self);
        if !problems.is_empty() {
            return Err(problems);
        }
        let list = |index: usize| self.ints(FEATURES[index]).unwrap_or_default();
        let ids = |index: usize, count: usize| list(index)[..count].iter().map(|&id| id as u32).collect::<Vec<_>>();
        let tokens = list(1).iter().filter(|&&one| one == 1).count();
        let masks = self.floats(FEATURES[4]).unwrap_or_default().iter().filter(|&&one| one > 0.5).count();
        Ok(Instance {
            tokens: ids(0, tokens),
            word_starts: match self.ints(TOKEN_BOUNDARY) {
                Some(starts) => starts[..tokens].iter().map(|&start| start == 1).collect(),
                None => vec![false; tokens],
            },
            first_length: list(6)[..tokens].iter().filter(|&&segment| segment == 0).count(),
            is_random_next: list(5) == [1],
            masked_positions: ids(3, masks),
            masked_labels: ids(2, masks),
            truncated: 0,
            mislabeled: false,
        })
    }
}

/// Reads a serialized `tf.train.Example` with keys in any order, lists packed or not, and any features.
///
/// # Errors
///
/// What is wrong with the bytes, if they are not such a message.
pub fn decode(data: &[u8]) -> Result<Example, String> {
    let example =
        proto::Example::decode(data).map_err(|error| format!("the data is not a tf.train.Example ({error})"))?;
    let features = example.features.unwrap_or_default().feature;
    let values = |feature: proto::Feature| match feature.kind {
        Some(proto::Kind::Ints(list)) => Values::Ints(list.value),
        Some(proto::Kind::Floats(list)) => Values::Floats(list.value),
        Some(proto::Kind::Bytes(list)) => Values::Bytes(list.value.len()),
        None => Values::Nothing,
    };
    Ok(Example(features.into_iter().map(|(name, feature)| (name, values(feature))).collect()))
}
