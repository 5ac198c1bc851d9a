//! Everything that determines the bytes of records.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Compression, RecordsOptions};
use crate::files::resume::Difference;
use crate::instances::options::Shuffle;

pub(super) const FORMAT: &str = "albert-fast records";
/// Must be raised whenever the same options and input give other bytes.
const FORMAT_VERSION: u32 = 1;

/// Everything that determines the bytes. It is the first line of the journal and part of `dataset.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Header {
    pub format: String,
    pub format_version: u32,
    pub options: Map<String, Value>,
    pub input: Map<String, Value>,
    /// The number of instances, or `None` if it is not known yet.
    pub instances: Option<u64>,
}

impl Header {
    pub fn new(options: &RecordsOptions, identity: &Map<String, Value>, instances: Option<u64>) -> Self {
        let mut map = match json!(options.instances) {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        if options.instances.shuffle == Shuffle::Global {
            // Records from before there was a choice do not say so.
            map.remove("shuffle");
        }
        map.insert("compression".to_owned(), json!(options.compression));
        if let Some(num_shards) = options.num_shards {
            map.insert("num_shards".to_owned(), json!(num_shards));
        }
        Self {
            format: FORMAT.to_owned(),
            format_version: FORMAT_VERSION,
            options: map,
            input: identity.clone(),
            instances,
        }
    }

    pub fn num_shards(&self) -> Option<usize> {
        self.options.get("num_shards").and_then(Value::as_u64).map(|count| count as usize)
    }

    pub fn dupe_factor(&self) -> u64 {
        self.options.get("dupe_factor").and_then(Value::as_u64).unwrap_or_default()
    }

    pub fn compression(&self) -> Compression {
        let value = self.options.get("compression").cloned().unwrap_or_default();
        serde_json::from_value(value).unwrap_or_default()
    }

    /// Returns how `self` differs from `now`, as far as `now` is known.
    pub fn differences(&self, now: &Self) -> Vec<Difference> {
        let mut there = self.options.clone();
        if !now.options.contains_key("num_shards") {
            // The number of shards is chosen later.
            there.remove("num_shards");
        }
        let version =
            Difference::of("format_version", Some(&json!(self.format_version)), Some(&json!(now.format_version)));
        let mut all: Vec<_> = version.into_iter().collect();
        all.extend(Difference::of_options(&there, &now.options));
        all.extend(Difference::of_input(&self.input, &now.input));
        // If anything else differs, another number of instances may just follow from it.
        if all.is_empty() && now.instances.is_some() {
            let [there, now] = [self, now].map(|it| json!(it.instances.unwrap_or_default()));
            all.extend(Difference::of("instances", Some(&there), Some(&now)));
        }
        all
    }
}
