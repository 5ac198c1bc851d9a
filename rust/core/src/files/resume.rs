//! Checks whether an existing output, complete or not, is the one that a command would make, and says what to do if
//! not.

use std::path::Path;

use serde_json::{Map, Value};

use crate::{Error, Result};

/// A difference that determines the bytes of an output, between when it was made and now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Difference {
    /// Completes the sentence "made with ...": "ngram 2, not 3".
    what: String,
    /// The value to pass to keep the output, if this is an option.
    keep: Option<String>,
}

impl Difference {
    /// Returns a difference that no option determines. `what` completes the sentence "made with ...".
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), keep: None }
    }

    /// Compares the values of `name` in the output and now. Returns `None` if they are the same.
    pub fn of(name: &str, existing: Option<&Value>, now: Option<&Value>) -> Option<Self> {
        Self::between(name, " ", existing, now)
    }

    /// As [`Difference::of`], with `link` between the name and the value.
    fn between(name: &str, link: &str, existing: Option<&Value>, now: Option<&Value>) -> Option<Self> {
        if existing == now {
            return None;
        }
        let is_long = |value: Option<&Value>| value.is_some_and(|it| it.is_array() || it.is_object());
        if is_long(existing) || is_long(now) {
            return Some(Self::new(format!("another {name}")));
        }
        let text = |value: Option<&Value>| match value {
            None => "none".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        };
        Some(Self::new(format!("{name}{link}{}, not {}", text(existing), text(now))))
    }

    /// Compares the values of all options, in the order of their names.
    pub fn of_options(existing: &Map<String, Value>, now: &Map<String, Value>) -> Vec<Self> {
        let mut found = Self::of_all(existing, now, "=");
        for (name, difference) in &mut found {
            difference.keep = existing.get(name.as_str()).map(|value| match value {
                Value::String(text) => text.clone(),
                value => value.to_string(),
            });
        }
        found.into_iter().map(|(_, difference)| difference).collect()
    }

    /// Compares all values that are not options, in the order of their names.
    pub fn of_values(existing: &Map<String, Value>, now: &Map<String, Value>) -> Vec<Self> {
        Self::of_all(existing, now, " ").into_iter().map(|(_, difference)| difference).collect()
    }

    fn of_all<'a>(
        existing: &'a Map<String, Value>,
        now: &'a Map<String, Value>,
        link: &str,
    ) -> Vec<(&'a String, Self)> {
        let mut names: Vec<_> = existing.keys().chain(now.keys()).collect();
        names.sort();
        names.dedup();
        names
            .into_iter()
            .filter_map(|name| Some((name, Self::between(name, link, existing.get(name), now.get(name))?)))
            .collect()
    }
}

/// Refuses `output`, complete or unfinished, if it was made with anything different.
///
/// # Errors
/// [`Error::Exists`], which says what is different and what to do.
pub(crate) fn check_same(output: &Path, is_complete: bool, differences: &[Difference]) -> Result<()> {
    let made = if is_complete { "made" } else { "begun" };
    let aim = if is_complete { "keep it" } else { "resume" };
    let keep = match differences {
        [] => return Ok(()),
        [Difference { keep: Some(value), .. }] => format!("pass {value} to {aim}, "),
        all if all.iter().all(|it| it.keep.is_some()) => format!("pass the earlier values to {aim}, "),
        _ => String::new(),
    };
    let what: Vec<_> = differences.iter().map(|it| it.what.as_str()).collect();
    Err(Error::exists(
        output,
        format!(
            "{made} with {}; {keep}pass overwrite=True to replace it, or another `output_dir`",
            what.join(", and with ")
        ),
    ))
}

/// Returns the error for a file at `path` in which a command notes what it has done, if it cannot be read as such.
pub(crate) fn not_ours(path: &Path, reason: &str) -> Error {
    let found = format!("not as albert-fast writes it ({reason})");
    Error::data(path, format!("{found}; pass overwrite=True to replace the output, or another `output_dir`"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn message(is_complete: bool, differences: &[Difference]) -> String {
        match check_same(Path::new("out"), is_complete, differences) {
            Err(error @ Error::Exists { .. }) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn options_that_differ() {
        let existing = map(&json!({"dupe_factor": 2, "random_seed": 1, "rng": "fast"}));
        assert!(check_same(Path::new("out"), true, &Difference::of_options(&existing, &existing)).is_ok());
        let mut now = existing.clone();
        now.insert("dupe_factor".into(), json!(3));
        assert_eq!(
            message(true, &Difference::of_options(&existing, &now)),
            "out: made with dupe_factor=2, not 3; pass 2 to keep it, pass overwrite=True to replace it, or another \
             `output_dir`"
        );
        now.insert("rng".into(), json!("reference"));
        assert_eq!(
            message(false, &Difference::of_options(&existing, &now)),
            "out: begun with dupe_factor=2, not 3, and with rng=fast, not reference; pass the earlier values to \
             resume, pass overwrite=True to replace it, or another `output_dir`"
        );
        now = existing.clone();
        now.insert("ngram".into(), json!(3));
        assert_eq!(
            message(true, &Difference::of_options(&existing, &now)),
            "out: made with ngram=none, not 3; pass overwrite=True to replace it, or another `output_dir`"
        );
    }

    #[test]
    fn differences_that_are_not_options() {
        let existing = map(&json!({"tokenizer_digest": "abc", "input": [1], "same": 1}));
        let now = map(&json!({"tokenizer_digest": "xyz", "input": [2], "same": 1}));
        assert_eq!(
            message(true, &Difference::of_values(&existing, &now)),
            "out: made with another input, and with tokenizer_digest abc, not xyz; pass overwrite=True to \
             replace it, or another `output_dir`"
        );
    }
}
