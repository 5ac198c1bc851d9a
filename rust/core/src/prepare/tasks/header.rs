//! Everything that determines the bytes of a corpus whose files follow from the input, and the description of a complete
//! one.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::files::inputs::{InputFile, digest};
use crate::files::remote::is_remote;
use crate::files::resume::Difference;
use crate::prepare::options::PrepareOptions;
use crate::prepare::output::{Target, TextCompression};
use crate::prepare::summary::Written;
use crate::{Error, Result};

const FORMAT: &str = "albert-fast corpus";
/// Must be raised whenever the same options and input give other bytes, temporary ones included.
const FORMAT_VERSION: u32 = 4;
/// Options that do not change the output.
const WITHOUT_EFFECT: [&str; 2] = ["dedup_memory", "samples"];

/// Everything that determines the bytes. It is the content of `prepare-text.partial.json`, and part of the manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Header {
    format: String,
    format_version: u32,
    pub options: Map<String, Value>,
    pub input: Map<String, Value>,
    /// The number of portions of the input, and so of files.
    pub portions: u64,
}

impl Header {
    /// Describes a corpus in `portions` files, made from `files`.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be read.
    pub fn new(
        options: &PrepareOptions,
        mib: f64,
        training: &Target,
        eval_output: Option<&Path>,
        files: &[InputFile],
        portions: u64,
    ) -> Result<Self> {
        let mut map = match json!(options) {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        map.retain(|name, _| !WITHOUT_EFFECT.contains(&name.as_str()));
        let shard_size = if mib.fract() == 0.0 && mib < 1e15 { json!(mib as u64) } else { json!(mib) };
        map.insert("shard_size".into(), shard_size);
        map.insert("compression".into(), json!(training.compression()));
        // Tasks may run in different directories.
        let eval_output = eval_output.map(|path| {
            let absolute = if is_remote(path) { path.into() } else { std::path::absolute(path).unwrap_or(path.into()) };
            absolute.to_string_lossy().into_owned()
        });
        map.insert("eval_output".into(), json!(eval_output));
        let input = Map::from_iter([
            ("files".to_owned(), json!(files.len())),
            ("bytes".to_owned(), json!(files.iter().map(|file| file.bytes).sum::<u64>())),
            ("input".to_owned(), json!(digest(files)?)),
        ]);
        Ok(Self { format: FORMAT.into(), format_version: FORMAT_VERSION, options: map, input, portions })
    }

    /// Returns the options, with the defaults of those that do not change the output.
    ///
    /// # Errors
    /// What is wrong with the header.
    pub fn prepare_options(&self) -> Result<PrepareOptions, String> {
        serde_json::from_value(Value::Object(self.options.clone())).map_err(|error| error.to_string())
    }

    /// Returns the target for training in `directory`, and that for held-out documents, if there are any.
    ///
    /// # Errors
    /// Those of [`Target::new`].
    pub fn targets(&self, directory: &Path) -> Result<(Target, Option<Target>)> {
        let compression = self.options.get("compression").cloned().unwrap_or_default();
        let compression: TextCompression = serde_json::from_value(compression).unwrap_or_default();
        let training = Target::new(directory, Some(self.portions), compression)?;
        let holds_out = self.options.get("eval_fraction").and_then(Value::as_f64).is_some_and(|it| it > 0.0);
        let path = self.options.get("eval_output").and_then(Value::as_str).map(PathBuf::from);
        let held_out = holds_out.then(|| training.held_out(path.as_deref(), compression));
        Ok((training, held_out))
    }

    /// Returns what is wrong if this is not a header of this program.
    pub fn fault(&self) -> Option<String> {
        (self.format != FORMAT).then(|| format!("its format is {:?}", self.format))
    }

    /// Returns how `self` differs from `now`.
    pub fn differences(&self, now: &Self) -> Vec<Difference> {
        let [there, wanted] = [self, now].map(|it| json!(it.format_version));
        let version = Difference::of("format_version", Some(&there), Some(&wanted));
        let mut all: Vec<_> = version.into_iter().collect();
        all.extend(Difference::of_options(&self.options, &now.options));
        if self.input != now.input {
            all.push(Difference::new("another input"));
        }
        // If anything else differs, another number of portions may just follow from it.
        if all.is_empty() {
            let [there, wanted] = [self, now].map(|it| json!(it.portions));
            all.extend(Difference::of("portions", Some(&there), Some(&wanted)));
        }
        all
    }
}

/// A complete file of a corpus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Shard {
    /// Its name.
    pub file: String,
    /// What is in it.
    #[serde(flatten)]
    pub text: Written,
    /// Its size on disk in bytes.
    pub size: u64,
}

/// The content of `prepare-text.manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Manifest {
    #[serde(flatten)]
    pub header: Header,
    pub albert_fast_version: String,
    pub shards: Vec<Shard>,
    pub eval_shards: Vec<Shard>,
    /// The counts of the whole input.
    pub summary: Map<String, Value>,
}

impl Manifest {
    /// Whether `other` describes the same corpus, made by any version of the program.
    pub fn is_same(&self, other: &Self) -> bool {
        let version = self.albert_fast_version.clone();
        *self == Self { albert_fast_version: version, ..other.clone() }
    }
}

/// Reads a header or manifest that prepare-text wrote to `path`.
///
/// # Errors
/// [`Error::Data`] saying what is wrong.
pub(super) fn not_ours(path: &Path, fault: &str) -> Error {
    let reason = format!(
        "not as albert-fast writes it ({fault}); pass overwrite=True without `num_tasks` to replace the output, or another \
         `output`"
    );
    Error::data(path, reason)
}
