//! JSON Lines: one object a line, the text in one of its fields.

use std::borrow::Cow;
use std::fmt;

use memchr::memchr;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::parse::Records;
use super::plain::is_blank;
use super::raw::ReadCounts;
use crate::Result;

/// Hands over the text of each object.
pub(super) fn parse(records: &Records<'_>, counts: &mut ReadCounts, mut document: impl FnMut(String)) -> Result<()> {
    let text = records.text(counts)?;
    let field = &records.options.text_field;
    let mut rest = text.as_ref();
    let mut line = records.block.line;
    while !rest.is_empty() {
        let end = memchr(b'\n', rest.as_bytes()).map_or(rest.len(), |newline| newline + 1);
        let record = &rest[..end];
        match Extract(field).deserialize_line(record.trim_end_matches(['\n', '\r'])) {
            Ok(Field::Text(text)) => document(text.into_owned()),
            _ if is_blank(record.as_bytes()) => {}
            Ok(other) => records.bad_line(line, counts, || other.reason(field, record))?,
            Err(error) => records.bad_line(line, counts, || broken(&error))?,
        }
        rest = &rest[end..];
        line += 1;
    }
    Ok(())
}

fn broken(error: &serde_json::Error) -> String {
    let text = error.to_string();
    // The line is counted within the record, and is always 1.
    let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    format!(
        "not a JSON object: {what} at byte {}; mend the line, or leave such lines out with --skip-bad",
        error.column()
    )
}

/// What stands where the text should.
enum Field<'a> {
    Text(Cow<'a, str>),
    /// Something that is not a string, by name.
    Other(&'static str),
    Missing,
}

impl Field<'_> {
    fn reason(&self, field: &str, record: &str) -> String {
        const ADVICE: &str = "or leave such lines out with --skip-bad";
        match self {
            Self::Text(_) => String::new(),
            Self::Other(what) => {
                format!(
                    "the field {field:?} is {what}, not a string; name the field with the text (--text-field), {ADVICE}"
                )
            }
            Self::Missing => {
                let fields = match serde_json::from_str(record) {
                    Ok(Value::Object(fields)) if !fields.is_empty() => {
                        let names: Vec<String> = fields.keys().take(20).map(|name| format!("{name:?}")).collect();
                        format!("those there are: {}", names.join(", "))
                    }
                    _ => "there are none".into(),
                };
                format!("no field {field:?}; {fields}; name the field with the text (--text-field), {ADVICE}")
            }
        }
    }
}

/// Takes one field out of an object and passes over the others.
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
        let mut found = Field::Missing;
        let mut is_own = false;
        while let Some(place) = map.next_key_seed(Key(self.0))? {
            match place {
                Place::Here if !is_own => {
                    found = map.next_value_seed(Held(None))?;
                    is_own = true;
                }
                Place::Below(rest) if !is_own && matches!(found, Field::Missing) => {
                    found = map.next_value_seed(Held(Some(rest)))?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }
}

/// Where the text is, as a key tells.
enum Place<'f> {
    Here,
    /// In the value's field of this name.
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

/// A value: the text itself, or what holds the field of this name with it.
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
