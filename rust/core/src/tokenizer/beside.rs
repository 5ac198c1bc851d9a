//! The text rules that a file beside a tokenizer tells: what it was trained with.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// What the file beside a tokenizer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// The file that says it.
    pub path: PathBuf,
    /// Whether text was lower-cased; none where it does not say.
    pub lower_case: Option<bool>,
    /// Whether accents were kept; none where it does not say.
    pub keep_accents: Option<bool>,
    /// Whether it names another model's digest, and so says nothing of this one.
    pub of_another: bool,
}

/// What `spiece.config.json` says of `spiece.model`, whose content is `content`: `train-tokenizer` and `export` write it.
///
/// None where there is no such file. An error where it cannot be read, is no JSON, or has a value of another kind: text
/// that goes through other rules than in training costs too much to guess.
pub fn of_model(model: &Path, content: &[u8]) -> Result<Option<Beside>> {
    let path = model.with_extension("config.json");
    let Some(found) = read(&path)? else { return Ok(None) };
    let digest = Sha256::digest(content).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    if found.get("model_sha256").is_some_and(|of| of.as_str() != Some(&digest)) {
        return Ok(Some(Beside { path, lower_case: None, keep_accents: None, of_another: true }));
    }
    let lower_case = flag(&path, &found, "lower_case")?;
    let keep_accents = flag(&path, &found, "keep_accents")?;
    Ok(Some(Beside { path, lower_case, keep_accents, of_another: false }))
}

/// What Hugging Face's `tokenizer_config.json` says of the `WordPiece` vocabulary in the same folder.
///
/// None where there is no such file. Errors as in [`of_model`], and where accents are stripped from text that is not
/// lower-cased, which a [`super::Tokenizer`] does not do.
pub fn of_vocabulary(vocabulary: &Path) -> Result<Option<Beside>> {
    let path = vocabulary.with_file_name("tokenizer_config.json");
    let Some(found) = read(&path)? else { return Ok(None) };
    let lower_case = flag(&path, &found, "do_lower_case")?;
    let strips = flag(&path, &found, "strip_accents")?;
    if strips == Some(true) && lower_case == Some(false) {
        return Err(Error::tokenizer(
            path,
            "strip_accents must not be true where do_lower_case is false: WordPiece text loses its accents here only \
             where it is lower-cased; set it to null if the model was trained so",
        ));
    }
    Ok(Some(Beside { path, lower_case, keep_accents: strips.map(|strips| !strips), of_another: false }))
}

/// The JSON object in a file; none where there is no file.
fn read(path: &Path) -> Result<Option<serde_json::Map<String, Value>>> {
    let content = match std::fs::read(path) {
        Ok(content) => content,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => return Err(Error::io("cannot read", path, error)),
    };
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&content);
    let found = serde_json::from_slice::<Value>(content).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        broken(path, &format!("the file must be JSON, and is not at line {line}, column {column}"))
    })?;
    match found {
        Value::Object(found) => Ok(Some(found)),
        _ => Err(broken(path, "the file must hold a JSON object")),
    }
}

fn flag(path: &Path, found: &serde_json::Map<String, Value>, key: &str) -> Result<Option<bool>> {
    match found.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(other) => Err(broken(path, &format!("{key} must be true or false, got {other}"))),
    }
}

fn broken(path: &Path, reason: &str) -> Error {
    Error::tokenizer(path, format!("{reason}; it says what text the tokenizer was trained on: repair it, or remove it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_file() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("spiece.model");
        let config = folder.path().join("spiece.config.json");
        assert_eq!(of_model(&model, b"abc").unwrap(), None);
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let said = |content: &str| {
            std::fs::write(&config, content).unwrap();
            of_model(&model, b"abc")
        };
        let found =
            said(&format!(r#"{{"model_sha256": "{digest}", "lower_case": false, "other": 1}}"#)).unwrap().unwrap();
        assert_eq!((found.lower_case, found.keep_accents, found.of_another), (Some(false), None, false));
        assert_eq!(found.path, config);
        assert!(said(r#"{"model_sha256": "00", "lower_case": "?"}"#).unwrap().unwrap().of_another);
        for (content, message) in [
            ("{\"lower_case\": tru", "must be JSON, and is not at line 1"),
            ("[true]", "must hold a JSON object"),
            (r#"{"lower_case": "yes"}"#, r#"lower_case must be true or false, got "yes""#),
        ] {
            let error = said(content).unwrap_err().to_string();
            assert!(error.contains(message) && error.contains("spiece.config.json"), "{error}");
        }
    }

    #[test]
    fn a_vocabularys_file() {
        let folder = tempfile::tempdir().unwrap();
        let vocabulary = folder.path().join("vocab.txt");
        assert_eq!(of_vocabulary(&vocabulary).unwrap(), None);
        let said = |content: &str| {
            std::fs::write(folder.path().join("tokenizer_config.json"), content).unwrap();
            of_vocabulary(&vocabulary).map(|found| found.map(|found| (found.lower_case, found.keep_accents)))
        };
        assert_eq!(said(r#"{"do_lower_case": false, "strip_accents": null}"#).unwrap(), Some((Some(false), None)));
        assert_eq!(said(r#"{"do_lower_case": true, "strip_accents": false}"#).unwrap(), Some((Some(true), Some(true))));
        assert!(said(r#"{"do_lower_case": false, "strip_accents": true}"#).is_err());
    }
}
