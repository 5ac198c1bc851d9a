//! Reads the text rules that a tokenizer was trained with from the files next to it.

use std::path::{Path, PathBuf};

use prost::Message;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::proto::ModelProto;
use crate::files::raw;
use crate::{Error, Result};

/// The file that `train-tokenizer` writes.
const OWN: &str = "spiece.config.json";
/// Hugging Face's settings of a tokenizer.
const SETTINGS: &str = "tokenizer_config.json";
/// Hugging Face's complete tokenizer.
const WHOLE: &str = "tokenizer.json";

/// A rule and the file that states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stated {
    /// Whether the rule is on.
    pub value: bool,
    /// The file that states it.
    pub path: PathBuf,
}

/// What the files next to a tokenizer say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beside {
    /// Whether text was lowercased; `None` if no file says so.
    pub lower_case: Option<Stated>,
    /// Whether accents were kept; `None` if no file says so.
    pub keep_accents: Option<Stated>,
    /// A file that names another model's digest, so it says nothing about this one.
    pub of_another: Option<PathBuf>,
}

impl Beside {
    fn is_whole(&self) -> bool {
        self.lower_case.is_some() && self.keep_accents.is_some()
    }

    /// Adds the rules in a file, unless an earlier file stated them.
    fn add(&mut self, path: &Path, lower_case: Option<bool>, keep_accents: Option<bool>) {
        let stated = |value| Stated { value, path: path.to_path_buf() };
        self.lower_case = self.lower_case.take().or_else(|| lower_case.map(stated));
        self.keep_accents = self.keep_accents.take().or_else(|| keep_accents.map(stated));
    }
}

/// Returns what the files next to a `SentencePiece` model say about it. The model's content is `content`.
///
/// For each rule, the first of these files that states it decides: `spiece.config.json` for `spiece.model`, which
/// `train-tokenizer` and `export` write; Hugging Face's `tokenizer_config.json`; the normalizer of a `tokenizer.json`
/// with the same pieces.
///
/// # Errors
/// One of the first two files cannot be read, is not JSON, or has a value of another type. Guessing is not an option,
/// because text processed with other rules than in training would cost too much.
pub fn of_model(model: &Path, content: &[u8]) -> Result<Beside> {
    let mut beside = Beside::default();
    let digest = Sha256::digest(content).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    let path = model.with_extension("config.json");
    if let Some(found) = read(&path)? {
        if found.get("model_sha256").is_some_and(|of| of.as_str() != Some(&digest)) {
            beside.of_another = Some(path);
        } else {
            beside.add(&path, flag(&path, &found, "lower_case")?, flag(&path, &found, "keep_accents")?);
        }
    }
    if !beside.is_whole() {
        // The model may be a link or may have been renamed. The digest tells whether such a file belongs to this model.
        let target = std::fs::canonicalize(model).unwrap_or_else(|_| model.to_path_buf());
        for path in [target.with_extension("config.json"), target.with_file_name(OWN), model.with_file_name(OWN)] {
            if let Ok(Some(found)) = read(&path)
                && found.get("model_sha256").and_then(Value::as_str) == Some(&digest)
            {
                beside.add(&path, flag(&path, &found, "lower_case")?, flag(&path, &found, "keep_accents")?);
                beside.of_another = None;
            }
        }
    }
    if !beside.is_whole() {
        let path = model.with_file_name(SETTINGS);
        if let Some(found) = read(&path)? {
            beside.add(&path, flag(&path, &found, "do_lower_case")?, flag(&path, &found, "keep_accents")?);
        }
    }
    if !beside.is_whole() {
        let path = model.with_file_name(WHOLE);
        if let Some((lower_case, keep_accents)) = of_whole(&path, content) {
            beside.add(&path, Some(lower_case), Some(keep_accents));
        }
    }
    Ok(beside)
}

/// Returns whether the normalizer of a tokenizer.json lowercases text and keeps its accents. Returns `None` if there is
/// no such file, or it has other pieces than the model.
fn of_whole(path: &Path, model: &[u8]) -> Option<(bool, bool)> {
    let found: Value = serde_json::from_slice(&raw::read(path).ok()??).ok()?;
    let model = ModelProto::decode(model).ok()?;
    let pieces = found["model"]["vocab"].as_array()?;
    let same = pieces.len() == model.pieces.len()
        && pieces.iter().zip(&model.pieces).all(|(there, here)| there[0].as_str() == Some(here.piece()));
    let has = |kind: &str| {
        fn within(step: &Value, kind: &str) -> bool {
            step["type"] == kind
                || step["normalizers"].as_array().is_some_and(|steps| steps.iter().any(|step| within(step, kind)))
        }
        within(&found["normalizer"], kind)
    };
    // Accents are dropped with the marks that NFKD separates from the letters.
    same.then(|| (has("Lowercase"), !has("NFKD")))
}

/// Returns what Hugging Face's `tokenizer_config.json` says about the `WordPiece` vocabulary in the same directory.
///
/// # Errors
/// As [`of_model`]; or accents are stripped from text that is not lowercased, which a [`super::Tokenizer`] does not do.
pub fn of_vocabulary(vocabulary: &Path) -> Result<Beside> {
    let mut beside = Beside::default();
    let path = vocabulary.with_file_name(SETTINGS);
    let Some(found) = read(&path)? else { return Ok(beside) };
    let lower_case = flag(&path, &found, "do_lower_case")?;
    let strips = flag(&path, &found, "strip_accents")?;
    if strips == Some(true) && lower_case == Some(false) {
        return Err(Error::tokenizer(
            path,
            "strip_accents must not be true if do_lower_case is false, because albert-fast strips accents only from \
             lowercased WordPiece text; set it to null if the model was trained that way",
        ));
    }
    beside.add(&path, lower_case, strips.map(|strips| !strips));
    Ok(beside)
}

/// Returns the JSON object in a file, or `None` if there is no such file.
fn read(path: &Path) -> Result<Option<Map<String, Value>>> {
    let Some(content) = raw::read_optional(path)? else { return Ok(None) };
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&content);
    let found = serde_json::from_slice::<Value>(content).map_err(|error| {
        let reason = format!("the file must be JSON, but is not at column {}; {FIX}", error.column());
        Error::tokenizer_at(path, error.line() as u64, None, reason)
    })?;
    match found {
        Value::Object(found) => Ok(Some(found)),
        _ => Err(broken(path, "the file must hold a JSON object")),
    }
}

fn flag(path: &Path, found: &Map<String, Value>, key: &str) -> Result<Option<bool>> {
    match found.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(other) => Err(broken(path, &format!("{key} must be true or false, got {other}"))),
    }
}

const FIX: &str = "fix this file, which says what text the tokenizer was trained on, or remove it";

fn broken(path: &Path, reason: &str) -> Error {
    Error::tokenizer(path, format!("{reason}; {FIX}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a rule's value and the name of the file that states it.
    fn stated(rule: Option<&Stated>) -> Option<(bool, &str)> {
        rule.map(|stated| (stated.value, stated.path.file_name().and_then(std::ffi::OsStr::to_str).unwrap_or_default()))
    }

    #[test]
    fn a_models_file() {
        let directory = tempfile::tempdir().unwrap();
        let model = directory.path().join("spiece.model");
        let config = directory.path().join("spiece.config.json");
        assert_eq!(of_model(&model, b"abc").unwrap(), Beside::default());
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let said = |content: &str| {
            std::fs::write(&config, content).unwrap();
            of_model(&model, b"abc")
        };
        let found = said(&format!(r#"{{"model_sha256": "{digest}", "lower_case": false, "other": 1}}"#)).unwrap();
        assert_eq!(stated(found.lower_case.as_ref()), Some((false, "spiece.config.json")));
        assert_eq!((found.keep_accents, found.of_another), (None, None));
        let found = said(r#"{"model_sha256": "00", "lower_case": "?"}"#).unwrap();
        assert_eq!((found.lower_case, found.of_another), (None, Some(config.clone())));
        for (content, message) in [
            ("{\"lower_case\": tru", "line 1: the file must be JSON, but is not at column 18"),
            ("[true]", "must hold a JSON object"),
            (r#"{"lower_case": "yes"}"#, r#"lower_case must be true or false, got "yes""#),
        ] {
            let error = said(content).unwrap_err().to_string();
            assert!(error.contains(message) && error.contains("spiece.config.json"), "{error}");
        }
    }

    #[test]
    fn a_published_models_settings() {
        let directory = tempfile::tempdir().unwrap();
        let model = directory.path().join("30k-clean.model");
        let write = |name: &str, content: &str| std::fs::write(directory.path().join(name), content).unwrap();
        write("tokenizer_config.json", r#"{"do_lower_case": false, "keep_accents": true}"#);
        let found = of_model(&model, b"abc").unwrap();
        assert_eq!(stated(found.lower_case.as_ref()), Some((false, "tokenizer_config.json")));
        assert_eq!(stated(found.keep_accents.as_ref()), Some((true, "tokenizer_config.json")));
        // For each rule, the files written by training come first. A file of another model is ignored.
        write("30k-clean.config.json", r#"{"lower_case": true}"#);
        let found = of_model(&model, b"abc").unwrap();
        assert_eq!(stated(found.lower_case.as_ref()), Some((true, "30k-clean.config.json")));
        assert_eq!(stated(found.keep_accents.as_ref()), Some((true, "tokenizer_config.json")));
        write("30k-clean.config.json", r#"{"lower_case": true, "model_sha256": "00"}"#);
        let found = of_model(&model, b"abc").unwrap();
        assert_eq!(stated(found.lower_case.as_ref()), Some((false, "tokenizer_config.json")));
        assert!(found.of_another.is_some());
        write("tokenizer_config.json", r#"{"do_lower_case": "no"}"#);
        let error = of_model(&model, b"abc").unwrap_err().to_string();
        assert!(error.contains("tokenizer_config.json") && error.contains("must be true or false"), "{error}");
    }

    #[test]
    fn a_vocabularys_file() {
        let directory = tempfile::tempdir().unwrap();
        let vocabulary = directory.path().join("vocab.txt");
        assert_eq!(of_vocabulary(&vocabulary).unwrap(), Beside::default());
        let said = |content: &str| {
            std::fs::write(directory.path().join("tokenizer_config.json"), content).unwrap();
            of_vocabulary(&vocabulary).map(|found| {
                (found.lower_case.map(|stated| stated.value), found.keep_accents.map(|stated| stated.value))
            })
        };
        assert_eq!(said(r#"{"do_lower_case": false, "strip_accents": null}"#).unwrap(), (Some(false), None));
        assert_eq!(said(r#"{"do_lower_case": true, "strip_accents": false}"#).unwrap(), (Some(true), Some(true)));
        assert!(said(r#"{"do_lower_case": false, "strip_accents": true}"#).is_err());
    }
}
