//! Everything that determines a model that tasks train, and the description of a complete one.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::Result;
use crate::files::inputs::{InputFile, digest};
use crate::files::resume::{Difference, not_ours};
use crate::tokens::tokenizer::Tokenizer;
use crate::tokens::training::read::Reading;
use crate::tokens::training::{Dropped, Normalization, Options};

const FORMAT: &str = "albert-fast tokenizer";
/// Must be raised whenever the same options and input give other bytes, temporary ones included.
const FORMAT_VERSION: u32 = 1;
/// Entries of [`Header::options`] that [`Options`] does not have.
const OF_TEXT: [&str; 5] = ["do_lower_case", "keep_accents", "on_bad_utf8", "portion_bytes", "normalization_rule_name"];

/// Everything that determines the model. It is the content of `train-tokenizer.partial.json`, and part of the manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Header {
    format: String,
    format_version: u32,
    /// The options that are given, before a model to extend adds its own.
    options: Map<String, Value>,
    normalization: StoredNormalization,
    /// The SHA-256 of the model to extend, if there is one.
    pub extends: Option<String>,
    input: Map<String, Value>,
    /// The number of portions of the input.
    pub portions: u64,
    /// What the caller wants to know when the model is complete. It does not determine the model.
    pub kept: String,
}

/// [`Normalization`] with the SHA-256 of its rules, or none if it has none. They are in a file of this name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct StoredNormalization {
    charsmap: Option<String>,
    add_dummy_prefix: bool,
    remove_extra_whitespaces: bool,
}

/// Files that tasks keep until the end, by the SHA-256 of their content.
pub(super) type Attachments = Vec<(String, Vec<u8>)>;

/// Returns the SHA-256 of `bytes` in hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

impl Header {
    /// Describes a model that is trained on `portions` portions of `files`. Returns with it the files that it names.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if an input cannot be read.
    pub fn new(
        options: &Options,
        reading: Reading,
        extend: Option<&Tokenizer>,
        files: &[InputFile],
        (portions, portion_bytes): (u64, u64),
        kept: &str,
    ) -> Result<(Self, Attachments)> {
        let mut map = match json!(options) {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        let Normalization { name, charsmap, add_dummy_prefix, remove_extra_whitespaces } = &options.normalization;
        let values = [
            json!(reading.rules.lower_case),
            json!(reading.rules.keep_accents),
            json!(reading.on_bad_utf8),
            json!(portion_bytes),
            json!(name),
        ];
        map.extend(OF_TEXT.map(str::to_owned).into_iter().zip(values));
        let input = Map::from_iter([
            ("files".to_owned(), json!(files.len())),
            ("bytes".to_owned(), json!(files.iter().map(|file| file.bytes).sum::<u64>())),
            ("input".to_owned(), json!(digest(files)?)),
        ]);
        let mut attachments = Attachments::new();
        let mut attached = |bytes: &[u8]| {
            attachments.push((sha256(bytes), bytes.to_vec()));
            attachments.last().map(|it| it.0.clone())
        };
        let header = Self {
            format: FORMAT.into(),
            format_version: FORMAT_VERSION,
            options: map,
            normalization: StoredNormalization {
                charsmap: if charsmap.is_empty() { None } else { attached(charsmap) },
                add_dummy_prefix: *add_dummy_prefix,
                remove_extra_whitespaces: *remove_extra_whitespaces,
            },
            extends: extend.and_then(|tokenizer| attached(tokenizer.file_bytes())),
            input,
            portions,
            kept: kept.to_owned(),
        };
        Ok((header, attachments))
    }

    /// Returns the options that were given. `attachment` reads the file with this SHA-256.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) if this is not a header of this program; the errors of `attachment`.
    pub fn options(&self, path: &Path, attachment: impl Fn(&str) -> Result<Vec<u8>>) -> Result<Options> {
        let mut map = self.options.clone();
        let name = map.get("normalization_rule_name").and_then(Value::as_str).unwrap_or_default().to_owned();
        map.retain(|name, _| !OF_TEXT.contains(&name.as_str()));
        let options: Options =
            serde_json::from_value(Value::Object(map)).map_err(|error| not_ours(path, &error.to_string()))?;
        let StoredNormalization { charsmap, add_dummy_prefix, remove_extra_whitespaces } = &self.normalization;
        let charsmap = charsmap.as_deref().map(attachment).transpose()?.unwrap_or_default();
        let (add_dummy_prefix, remove_extra_whitespaces) = (*add_dummy_prefix, *remove_extra_whitespaces);
        let normalization = Normalization { name, charsmap, add_dummy_prefix, remove_extra_whitespaces };
        Ok(Options { normalization, ..options })
    }

    /// Whether only a sample of the lines is trained on, unless the text is short.
    pub fn samples(&self) -> bool {
        self.options.get("input_sentence_size").and_then(Value::as_u64).is_some_and(|size| size > 0)
    }

    /// Returns what is wrong if this is not a header of this program.
    pub fn fault(&self) -> Option<String> {
        (self.format != FORMAT).then(|| format!("its format is {:?}", self.format))
    }

    /// Returns how `self` differs from `now`.
    pub fn differences(&self, now: &Self) -> Vec<Difference> {
        let of = |name, there: Value, wanted: Value| Difference::of(name, Some(&there), Some(&wanted));
        let mut all: Vec<_> =
            of("format_version", json!(self.format_version), json!(now.format_version)).into_iter().collect();
        all.extend(Difference::of_options(&self.options, &now.options));
        if self.extends != now.extends {
            all.push(Difference::new("another model to extend"));
        }
        if self.input != now.input {
            all.push(Difference::new("another input"));
        }
        // If anything else differs, this may just follow from it.
        if all.is_empty() && self.normalization != now.normalization {
            all.push(Difference::new("other normalization rules"));
        }
        if all.is_empty() {
            all.extend(of("portions", json!(self.portions), json!(now.portions)));
        }
        all
    }
}

/// The content of `train-tokenizer.manifest.json`, which is next to a complete model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Manifest {
    #[serde(flatten)]
    pub header: Header,
    pub albert_fast_version: String,
    /// Number of lines that are not blank.
    pub lines: u64,
    /// The lines among them that were dropped.
    pub dropped: Dropped,
    /// The SHA-256 of the model. A model with another one was made by another command since.
    pub model_sha256: String,
}
