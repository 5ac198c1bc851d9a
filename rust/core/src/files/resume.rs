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
    /// What to pass to keep the output, if this is an option: a value, `skip_bad=False`, or "no" and its name.
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
            None | Some(Value::Null) => "none".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        };
        Some(Self::new(format!("{name}{link}{}, not {}", text(existing), text(now))))
    }

    /// As [`Difference::between`], for values of an option. A switch and a list are written with their name, because on
    /// the command line they are one flag, and several.
    fn of_option(name: &str, existing: Option<&Value>, now: Option<&Value>) -> Option<Self> {
        let simple = Self::between(name, "=", existing, now)?;
        let is_named = |value: Option<&Value>| value.is_some_and(|it| it.is_boolean() || it.is_array());
        if !is_named(existing) && !is_named(now) {
            let keep = existing.map(|value| match value {
                Value::Null => format!("no `{name}`"),
                Value::String(text) => text.clone(),
                value => value.to_string(),
            });
            return Some(Self { keep, ..simple });
        }
        let text = |value: Option<&Value>| value.map_or_else(|| Some(String::new()), |it| named(name, it));
        let (Some(there), Some(wanted)) = (text(existing), text(now)) else {
            return Some(Self::new(format!("another `{name}`")));
        };
        let what = match (there.as_str(), wanted.as_str()) {
            ("", wanted) => format!("{name}=none, not {wanted}"),
            (there, "") => format!("{there}, not none"),
            (there, wanted) => format!("{there}, not {wanted}"),
        };
        let none = |text: String| if text.is_empty() { format!("no `{name}`") } else { text };
        Some(Self { what, keep: existing.map(|_| none(there)) })
    }

    /// Returns that the tokenizer differs. Its digest, which says so, means nothing to a reader.
    pub fn tokenizer() -> Self {
        Self::new("another tokenizer or other text rules")
    }

    /// Compares the values of all options, in the order of their names.
    pub fn of_options(existing: &Map<String, Value>, now: &Map<String, Value>) -> Vec<Self> {
        Self::of_all(existing, now).into_iter().map(|(_, difference)| difference).collect()
    }

    /// Compares what identifies the input of two outputs, in the order of the names. Digests are not shown.
    pub fn of_input(existing: &Map<String, Value>, now: &Map<String, Value>) -> Vec<Self> {
        let mut found = Vec::new();
        for (name, difference) in Self::of_all(existing, now) {
            let difference = match name.as_str() {
                "documents" | "input" | "mixture" | "token_store" => Self::new("another input"),
                "tokenizer_digest" => Self::tokenizer(),
                _ => difference,
            };
            if !found.contains(&difference) {
                found.push(difference);
            }
        }
        found
    }

    fn of_all<'a>(existing: &'a Map<String, Value>, now: &'a Map<String, Value>) -> Vec<(&'a String, Self)> {
        let mut names: Vec<_> = existing.keys().chain(now.keys()).collect();
        names.sort();
        names.dedup();
        let mut found = Vec::new();
        for name in names {
            if let Some(difference) = Self::of_option(name, existing.get(name), now.get(name)) {
                found.push((name, difference));
            }
        }
        found
    }
}

/// Returns an option with a value, as in `skip_bad=False` and `keep_language=de keep_language=en`. Returns `None` if that
/// would be long, and an empty string for an empty list.
fn named(name: &str, value: &Value) -> Option<String> {
    /// The most values of a list that are written.
    const MOST: usize = 8;
    let is_short = |text: &str| text.len() <= 40 && text.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-');
    match value {
        Value::Bool(true) => Some(format!("{name}=True")),
        Value::Bool(false) => Some(format!("{name}=False")),
        Value::Array(values) if values.len() <= MOST => {
            let named = |value: &Value| value.as_str().filter(|it| is_short(it)).map(|it| format!("{name}={it}"));
            values.iter().map(named).collect::<Option<Vec<_>>>().map(|all| all.join(" "))
        }
        _ => None,
    }
}

/// How a user can replace an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replace {
    /// With overwrite=True.
    Overwrite,
    /// By removing it: a task must not remove what others have done.
    Remove,
}

impl Replace {
    /// Returns how what a command writes is replaced, by whether the command is a task.
    pub fn of(is_task: bool) -> Self {
        if is_task { Self::Remove } else { Self::Overwrite }
    }

    /// Returns what to do with an output that `option` names. `keep` says what keeps it, if anything, and ends with a comma.
    pub fn advice(self, keep: &str, option: &str) -> String {
        match self {
            Self::Overwrite => format!("pass {keep}overwrite=True to replace it, or another `{option}`"),
            Self::Remove if keep.is_empty() => {
                format!("pass another `{option}`, or remove the output, and run all tasks again")
            }
            Self::Remove => {
                format!("pass {keep}or another `{option}`, or remove the output, and run all tasks again")
            }
        }
    }
}

/// Refuses `output`, complete or unfinished, if it was made with anything different.
///
/// # Errors
/// [`Error::Exists`], which says what is different and what to do.
pub(crate) fn check_same(output: &Path, is_complete: bool, differences: &[Difference], replace: Replace) -> Result<()> {
    check_same_as("output_dir", output, is_complete, differences, replace)
}

/// As [`check_same`], for a command whose `option` names the output.
pub(crate) fn check_same_as(
    option: &'static str,
    output: &Path,
    is_complete: bool,
    differences: &[Difference],
    replace: Replace,
) -> Result<()> {
    let made = if is_complete { "made" } else { "begun" };
    let aim = if is_complete { "keep it" } else { "resume" };
    let keep = match differences {
        [] => return Ok(()),
        [Difference { keep: Some(value), .. }] => format!("{value} to {aim}, "),
        all if all.iter().all(|it| it.keep.is_some()) => format!("the earlier values to {aim}, "),
        _ => String::new(),
    };
    let what: Vec<_> = differences.iter().map(|it| it.what.as_str()).collect();
    Err(Error::exists(output, format!("{made} with {}; {}", what.join(", and with "), replace.advice(&keep, option))))
}

/// Returns the error for a file at `path` in which a command notes what it has done, if it cannot be read as such.
pub(crate) fn not_ours(path: &Path, reason: &str) -> Error {
    let found = format!("not as albert-fast writes it ({reason})");
    Error::data(
        path,
        format!("{found}; pass overwrite=True without `num_tasks` to replace the output, or another `output_dir`"),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn message(is_complete: bool, differences: &[Difference]) -> String {
        message_of(is_complete, differences, Replace::Overwrite)
    }

    fn message_of(is_complete: bool, differences: &[Difference], replace: Replace) -> String {
        match check_same(Path::new("out"), is_complete, differences, replace) {
            Err(error @ Error::Exists { .. }) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn options_that_differ() {
        let existing = map(&json!({"dupe_factor": 2, "random_seed": 1, "rng": "fast"}));
        assert!(
            check_same(Path::new("out"), true, &Difference::of_options(&existing, &existing), Replace::Overwrite)
                .is_ok()
        );
        let mut now = existing.clone();
        now.insert("dupe_factor".into(), json!(3));
        assert_eq!(
            message(true, &Difference::of_options(&existing, &now)),
            "out: made with dupe_factor=2, not 3; pass 2 to keep it, overwrite=True to replace it, or another `output_dir`"
        );
        assert_eq!(
            message_of(false, &Difference::of_options(&existing, &now), Replace::Remove),
            "out: begun with dupe_factor=2, not 3; pass 2 to resume, or another `output_dir`, or remove the output, and \
             run all tasks again"
        );
        now.insert("rng".into(), json!("reference"));
        assert_eq!(
            message(false, &Difference::of_options(&existing, &now)),
            "out: begun with dupe_factor=2, not 3, and with rng=fast, not reference; pass the earlier values to \
             resume, overwrite=True to replace it, or another `output_dir`"
        );
        now = existing.clone();
        now.insert("ngram".into(), json!(3));
        assert_eq!(
            message(true, &Difference::of_options(&existing, &now)),
            "out: made with ngram=none, not 3; pass overwrite=True to replace it, or another `output_dir`"
        );
    }

    #[test]
    fn switches_and_lists_are_written_as_they_are_passed() {
        let existing = json!({"skip_bad": false, "keep_language": ["de"], "threshold": null, "boilerplate": ["^a b$"]});
        let existing = map(&existing);
        let of = |name: &str, value: Value| {
            let mut now = existing.clone();
            now.insert(name.into(), value);
            let message = message(false, &Difference::of_options(&existing, &now));
            message.strip_suffix("overwrite=True to replace it, or another `output_dir`").unwrap().to_owned()
        };
        assert_eq!(
            of("skip_bad", json!(true)),
            "out: begun with skip_bad=False, not skip_bad=True; pass skip_bad=False to resume, "
        );
        assert_eq!(
            of("keep_language", json!(["de", "en"])),
            "out: begun with keep_language=de, not keep_language=de keep_language=en; pass keep_language=de to resume, "
        );
        assert_eq!(
            of("keep_language", json!([])),
            "out: begun with keep_language=de, not none; pass keep_language=de to resume, "
        );
        assert_eq!(
            of("threshold", json!(0.5)),
            "out: begun with threshold=none, not 0.5; pass no `threshold` to resume, "
        );
        assert_eq!(of("boilerplate", json!(["x"])), "out: begun with another `boilerplate`; pass ");
        assert_eq!(of("repair", json!(true)), "out: begun with repair=none, not repair=True; pass ");
    }

    #[test]
    fn inputs_that_differ() {
        let existing = map(&json!({"tokenizer_digest": "abc", "token_store": "ab", "on_bad_utf8": "error"}));
        let mut now = map(&json!({"tokenizer_digest": "xyz", "input": [2], "on_bad_utf8": "error"}));
        assert_eq!(
            message(true, &Difference::of_input(&existing, &now)),
            "out: made with another input, and with another tokenizer or other text rules; pass overwrite=True to \
             replace it, or another `output_dir`"
        );
        assert_eq!(
            message_of(true, &Difference::of_input(&existing, &now)[..1], Replace::Remove),
            "out: made with another input; pass another `output_dir`, or remove the output, and run all tasks again"
        );
        now = existing.clone();
        now.insert("on_bad_utf8".into(), json!("replace"));
        assert_eq!(
            message(false, &Difference::of_input(&existing, &now)),
            "out: begun with on_bad_utf8=error, not replace; pass error to resume, overwrite=True to replace it, or \
             another `output_dir`"
        );
    }
}
