//! Reads JSON Lines: one object per line, with the text in one of its fields.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use memchr::memchr;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::json_faults;
use super::options::Format;
use super::plain::is_blank;
use super::raw::ReadCounts;
use super::records::Records;
use crate::Result;
use crate::files::inputs::OnBadUtf8;

/// The message for a last line that ends inside its object.
const CUT_SHORT: &str =
    "the file is truncated: its last object does not end; fetch the file again, or pass skip_bad=True to skip it";

/// Calls `document` with the text of each object.
pub(super) fn parse(records: &Records<'_>, counts: &mut ReadCounts, mut document: impl FnMut(String)) -> Result<()> {
    let text = records.text(counts)?;
    let field = &records.options.text_field;
    let replace = records.options.on_bad_utf8 == OnBadUtf8::Replace;
    let mut rest = text.as_ref();
    let mut line = records.block.line;
    let is_guess = records.options.format == Format::Auto && !is_json_by_name(records.path);
    let named = |reason: String| {
        let is_named = !is_guess || reason.contains("format='text'");
        if is_named { reason } else { format!("{reason}; if this is plain text, pass format='text'") }
    };
    while !rest.is_empty() {
        let end = memchr(b'\n', rest.as_bytes()).map_or(rest.len(), |newline| newline + 1);
        let record = bare(&rest[..end]);
        // If a single object is the whole file, it may contain the records.
        let is_all = line == 1 && end == rest.len();
        match Extract(field).deserialize_line(record) {
            Ok(Field::Text(text)) => document(text.into_owned()),
            _ if is_blank(record.as_bytes()) => {}
            Ok(other) => records.bad_line(line, counts, || named(other.reason(field, record, is_all)))?,
            Err(error) => match lenient(field, record, replace, &mut counts.replaced) {
                Some(Field::Text(text)) => document(text.into_owned()),
                Some(other) => records.bad_line(line, counts, || named(other.reason(field, record, is_all)))?,
                None if error.is_eof() && end == rest.len() && line > 1 && !rest.ends_with('\n') => {
                    records.bad_line(line, counts, || CUT_SHORT.into())?;
                }
                None => records.bad_line(line, counts, || named(json_faults::explain(record, &error)))?,
            },
        }
        rest = &rest[end..];
        line += 1;
    }
    Ok(())
}

/// Whether a file's name says that it is JSON, not counting the suffix of a compression.
fn is_json_by_name(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    name.split('.').skip(1).any(|suffix| matches!(suffix, "json" | "jsonl" | "jsonlines" | "ndjson"))
}

/// Returns a line without its end, and without what may precede its object: a byte-order mark from concatenated files,
/// or the record separator of RFC 7464.
fn bare(line: &str) -> &str {
    line.trim_end_matches(['\n', '\r']).trim_start_matches(['\u{FEFF}', '\u{1E}'])
}

/// Accepts what Python's json module accepts in addition to the standard: `NaN`, `Infinity` and `-Infinity`. If invalid
/// UTF-8 is replaced, also accepts lone surrogates. Returns `None` if the line is invalid nevertheless.
fn lenient(field: &str, line: &str, replace: bool, replaced: &mut u64) -> Option<Field<'static>> {
    let standard = json_faults::without_python_numbers(line);
    let read = |line: &str| {
        let found = Extract(field).deserialize_line(line).ok()?;
        Some(match found {
            Field::Text(text) => Field::Text(Cow::Owned(text.into_owned())),
            Field::Other(what) => Field::Other(what),
            Field::Missing => Field::Missing,
        })
    };
    if let Some(found) = standard.as_deref().and_then(read) {
        return Some(found);
    }
    if !replace {
        return None;
    }
    let (standard, count) = json_faults::without_lone_surrogates(standard.as_deref().unwrap_or(line))?;
    let found = read(&standard)?;
    *replaced += count;
    Some(found)
}

/// The value of the text field.
enum Field<'a> {
    Text(Cow<'a, str>),
    /// A value that is not a string, described by its type.
    Other(&'static str),
    Missing,
}

impl Field<'_> {
    /// Explains why `record` has no text, and what to do. `is_all` says whether it is the whole file.
    fn reason(&self, field: &str, record: &str, is_all: bool) -> String {
        const ADVICE: &str = "or skip_bad=True to skip such lines";
        let value = || {
            let standard = json_faults::without_python_numbers(record);
            serde_json::from_str::<Value>(standard.as_deref().unwrap_or(record)).unwrap_or_default()
        };
        match self {
            Self::Text(_) => String::new(),
            Self::Other(what) => {
                let value = value();
                let remedy = match value.get(field) {
                    Some(Value::Array(items))
                        if !items.is_empty() && items.iter().all(Value::is_string) && is_name(field) =>
                    {
                        format!("join its strings: jq -c '{{text: (.{field}|join(\"\\n\"))}}' FILE > NEW, or ")
                    }
                    _ if is_all => array_of_records(&value).unwrap_or_default(),
                    _ => String::new(),
                };
                format!("the field {field:?} is {what}, not a string; {remedy}pass text_field=NAME, {ADVICE}")
            }
            Self::Missing => {
                let value = value();
                let mut names = Vec::new();
                name_fields(&value, "", &mut names);
                let fields = if names.is_empty() { "none".into() } else { names.join(", ") };
                let remedy = match value.get("messages") {
                    Some(Value::Array(items))
                        if items.iter().all(|it| it["content"].is_string()) && !items.is_empty() =>
                    {
                        "join the messages: jq -c '{text: ([.messages[].content]|join(\"\\n\"))}' FILE > NEW, or "
                            .into()
                    }
                    _ if is_all => array_of_records(&value).unwrap_or_default(),
                    _ => String::new(),
                };
                format!("no field {field:?} (fields: {fields}); {remedy}pass text_field=NAME, {ADVICE}")
            }
        }
    }
}

/// Returns what to do if the longest array of objects in `object` is the records.
fn array_of_records(object: &Value) -> Option<String> {
    let arrays = object.as_object()?.iter().filter_map(|(name, value)| Some((name, value.as_array()?)));
    let of_objects = arrays.filter(|(name, items)| is_name(name) && items.iter().all(Value::is_object));
    let (name, items) = of_objects.max_by_key(|(_, items)| items.len())?;
    (!items.is_empty())
        .then(|| format!("convert the records in its field {name:?} to JSON Lines: jq -c '.{name}[]' FILE > NEW, or "))
}

/// Whether jq accepts `field` after a dot.
fn is_name(field: &str) -> bool {
    !field.starts_with(|c: char| c.is_ascii_digit())
        && field.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Adds the quoted names of the fields of `value`, up to a maximum number. Those of nested objects are joined with
/// dots.
fn name_fields(value: &Value, above: &str, names: &mut Vec<String>) {
    const MOST: usize = 20;
    for (name, value) in value.as_object().into_iter().flatten() {
        let name = format!("{above}{name}");
        if value.as_object().is_some_and(|fields| !fields.is_empty()) && above.len() < 80 {
            name_fields(value, &format!("{name}."), names);
        } else if names.len() < MOST {
            names.push(format!("{name:?}"));
        }
    }
}

/// Extracts one field of an object and skips the others.
#[derive(Clone, Copy)]
struct Extract<'f>(&'f str);

impl Extract<'_> {
    fn deserialize_line(self, line: &str) -> serde_json::Result<Field<'_>> {
        let mut json = serde_json::Deserializer::from_str(line);
        let field = json.deserialize_map(self)?;
        json.end()?;
        Ok(field)
    }
}

impl<'de> Visitor<'de> for Extract<'_> {
    type Value = Field<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut own = None;
        // If a key occurs twice, its last value counts at its first position, as in a Python dict.
        let mut below: Vec<(&str, Field<'de>)> = Vec::new();
        while let Some(place) = map.next_key_seed(Key(self.0))? {
            match place {
                Place::Here => own = Some(map.next_value_seed(Held(None))?),
                Place::Below(rest) => {
                    let field = map.next_value_seed(Held(Some(rest)))?;
                    match below.iter_mut().find(|(known, _)| known.len() == rest.len()) {
                        Some((_, known)) => *known = field,
                        None => below.push((rest, field)),
                    }
                }
                Place::Elsewhere => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let mut below = below.into_iter().map(|(_, field)| field);
        Ok(own.or_else(|| below.find(|field| !matches!(field, Field::Missing))).unwrap_or(Field::Missing))
    }
}

/// Where the text is, according to a key.
enum Place<'f> {
    Here,
    /// In the field of this name in the value.
    Below(&'f str),
    Elsewhere,
}

struct Key<'f>(&'f str);

impl<'de, 'f> DeserializeSeed<'de> for Key<'f> {
    type Value = Place<'f>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'f> Visitor<'_> for Key<'f> {
    type Value = Place<'f>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(match self.0.strip_prefix(key) {
            Some("") => Place::Here,
            Some(rest) => rest.strip_prefix('.').map_or(Place::Elsewhere, Place::Below),
            None => Place::Elsewhere,
        })
    }
}

/// Reads a value: the text itself, or an object with the text in the field of this name.
struct Held<'f>(Option<&'f str>);

impl Held<'_> {
    fn other<'de>(&self, name: &'static str) -> Field<'de> {
        if self.0.is_none() { Field::Other(name) } else { Field::Missing }
    }
}

impl<'de> DeserializeSeed<'de> for Held<'_> {
    type Value = Field<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Held<'_> {
    type Value = Field<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(if self.0.is_none() { Field::Text(Cow::Borrowed(text)) } else { Field::Missing })
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(if self.0.is_none() { Field::Text(Cow::Owned(text.to_owned())) } else { Field::Missing })
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(self.other("a boolean"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(self.other("a number"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(self.other("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(self.other("a number"))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(self.other("null"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(self.other("an array"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        if let Some(field) = self.0 {
            return Extract(field).visit_map(map);
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Field::Other("an object"))
    }
}
