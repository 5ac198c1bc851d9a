//! Determines what a reader sees of the values of a template.
//!
//! A form is text with placeholders. `{1}` is the first unnamed value, and `{text}` the value of that name. `{2/1}` is
//! the first of these that is not empty. `{2|x}` is `x` if the value is missing. `{2=s:x}` is `x` if the value is `s`,
//! and nothing otherwise. Text between `<` and `>` is shown only if its values exist.

use std::ops::Range;

use super::Shows;
use super::doubts::{self, Value};
use super::values::Values;
use crate::prepare::read::wikitext::span::SpanKind;
use crate::prepare::read::wikitext::tags::before_raised;

/// A value with the text before it. At the end, there may be only text.
pub(super) struct Piece {
    pub before: String,
    pub value: Option<Range<usize>>,
}

/// What surrounds a template.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub follows_digit: bool,
    pub behind: &'a [u8],
}

/// Returns what a reader sees of the values. If a required value is missing or spans lines, returns what the template
/// is instead.
pub(super) fn pieces(
    shows: Shows,
    values: &Values<'_>,
    language: Option<&str>,
    place: Place<'_>,
) -> Result<Vec<Piece>, SpanKind> {
    let mut out = Pieces { values, list: Vec::new(), before: String::new(), end: 0, lacks_value: false };
    let is_doubtful = matches!(shows, Shows::Doubtful(_));
    match shows {
        // `{{sic|!}}`
        Shows::Marked(_) if values.unnamed_text().next().is_some() && !values.has_words() => {
            return Err(SpanKind::Block);
        }
        Shows::Doubt => return Err(if doubts::may_lack(values) { SpanKind::Hole } else { SpanKind::Block }),
        Shows::Passage(form) | Shows::Doubtful(form) => {
            let keys = form.trim_matches(['{', '}']);
            match values.first_of(keys).map(|value| Value::of(values.str(value))) {
                None | Some(Value::Date) => return Err(SpanKind::Block),
                Some(Value::Word) if is_doubtful => return Err(SpanKind::Hole),
                Some(Value::Word | Value::Passage) => {}
            }
        }
        _ => {}
    }
    let is_shown = out.add(shows, language, place).is_some() && out.ends_within_line();
    if is_shown && !out.before.is_empty() {
        out.list.push(Piece { before: std::mem::take(&mut out.before), value: None });
    }
    let needs_none = matches!(shows, Shows::Marked(_) | Shows::Coded(..));
    if is_shown && !out.list.is_empty() {
        Ok(out.list)
    } else {
        Err(if needs_none && out.lacks_value { SpanKind::Block } else { SpanKind::Hole })
    }
}

pub(super) struct Pieces<'a, 't> {
    pub values: &'a Values<'t>,
    list: Vec<Piece>,
    /// The text after the last value.
    before: String,
    /// The end of the last value, because text is read only forwards.
    end: usize,
    /// Whether a value was looked up and does not exist.
    lacks_value: bool,
}

impl Pieces<'_, '_> {
    fn add(&mut self, shows: Shows, language: Option<&str>, place: Place<'_>) -> Option<()> {
        match shows {
            Shows::Number(form) => self.values.are_those_of(form).then_some(()).and_then(|()| self.form(form)),
            Shows::Coded(form, _) if self.values.begins_with_code() => self.form(form),
            Shows::Form(form)
            | Shows::Marked(form)
            | Shows::Passage(form)
            | Shows::Doubtful(form)
            | Shows::Coded(_, form) => self.form(form),
            Shows::Raised(form) => {
                if place.follows_digit
                    && let Some(raised) = self.values.unnamed_text().next()
                {
                    self.text(before_raised(raised, place.behind));
                }
                self.form(form)
            }
            Shows::Measure => self.measure(),
            Shows::Val => self.val(),
            Shows::All(between) => self.all(between),
            Shows::Fraction => {
                if place.follows_digit {
                    self.text(" ");
                }
                self.fraction()
            }
            Shows::AsOf => self.as_of(language),
            Shows::Ship(prefix) => self.ship(prefix),
            Shows::Sign(_) | Shows::Pipe | Shows::Name | Shows::Nothing | Shows::Doubt => None,
        }
    }

    /// Whether no value spans several lines.
    fn ends_within_line(&self) -> bool {
        let text = self.values.text;
        self.list.iter().filter_map(|piece| piece.value.clone()).all(|value| !text[value].contains(&b'\n'))
    }

    pub(super) fn text(&mut self, text: &str) {
        self.before.push_str(text);
    }

    /// Adds a value. One before the last value is copied, which is possible only for plain text.
    pub(super) fn value(&mut self, value: Range<usize>) -> Option<()> {
        if value.start >= self.end {
            self.end = value.end;
            let before = std::mem::take(&mut self.before);
            self.list.push(Piece { before, value: Some(value) });
            return Some(());
        }
        let plain = self.values.str(value);
        if plain.is_empty() || plain.contains(['[', ']', '{', '}', '<', '>', '\'', '&', '\n', '_']) {
            return None;
        }
        self.before.push_str(plain);
        Some(())
    }

    pub(super) fn form(&mut self, form: &str) -> Option<()> {
        // If nothing else is shown, a value keeps its spaces: `one{{small| two}}`.
        let is_all = form.starts_with('{') && form.find('}') == Some(form.len() - 1);
        let mut rest = form;
        while let Some(at) = rest.find(['{', '<']) {
            self.text(&rest[..at]);
            let closing = if rest[at..].starts_with('{') { '}' } else { '>' };
            let end = at + rest[at..].find(closing)?;
            let inner = &rest[at + 1..end];
            if closing == '>' {
                if self.has_all(inner) {
                    self.form(inner)?;
                }
            } else {
                self.part(inner, is_all)?;
            }
            rest = &rest[end + 1..];
        }
        self.text(rest);
        Some(())
    }

    fn part(&mut self, part: &str, keeps_spaces: bool) -> Option<()> {
        if let Some((key, then)) = part.split_once('=') {
            let (wanted, text) = then.split_once(':')?;
            let value = self.values.get(key).map(|value| self.values.str(self.values.trimmed(value)));
            if value == Some(wanted) {
                self.text(text);
            }
            return Some(());
        }
        let (keys, default) = part.split_once('|').map_or((part, None), |(keys, text)| (keys, Some(text)));
        match (self.values.first_of(keys), default) {
            (Some(value), _) => {
                let keeps_spaces = keeps_spaces && !self.values.text[value.clone()].contains(&b'\n');
                let value = if keeps_spaces { value } else { self.values.trimmed(value) };
                self.value(value)
            }
            (None, Some(text)) => {
                self.text(text);
                Some(())
            }
            (None, None) => {
                self.lacks_value = true;
                None
            }
        }
    }

    fn has_all(&self, group: &str) -> bool {
        let parts = group.split('{').skip(1).filter_map(|part| part.split_once('}'));
        parts.map(|(part, _)| part).all(|keys| keys.contains(['=', '|']) || self.values.first_of(keys).is_some())
    }

    fn all(&mut self, between: &str) -> Option<()> {
        for value in self.values.unnamed() {
            if value.is_empty() {
                continue;
            }
            if !self.list.is_empty() {
                self.text(between);
            }
            self.value(value)?;
        }
        Some(())
    }

    fn fraction(&mut self) -> Option<()> {
        let form = match self.values.unnamed().len() {
            1 => "1/{1}",
            2 => "{1}/{2}",
            3 => "{1} {2}/{3}",
            _ => return None,
        };
        self.form(form)
    }

    /// The bits of the format say what is shown: 4 is the prefix, 2 the name, 1 the number.
    fn ship(&mut self, prefix: Option<&str>) -> Option<()> {
        let (format, forms) = match prefix {
            Some(_) => ("3", ["{2}", "{1}", "{1}< ({2})>", " {2}", " {1}", " {1}< ({2})>"]),
            None => ("4", ["{3}", "{2}", "{2}< ({3})>", "<{1} >{3}", "<{1} >{2}", "<{1} >{2}< ({3})>"]),
        };
        let format = self.values.get(format).map_or("7", |value| self.values.str(self.values.trimmed(value)));
        let (is_prefix_shown, form) = match format {
            "1" => (false, forms[0]),
            "2" => (false, forms[1]),
            "3" => (false, forms[2]),
            "5" => (true, forms[3]),
            "6" => (true, forms[4]),
            "7" => (true, forms[5]),
            _ => return None,
        };
        if is_prefix_shown {
            self.text(prefix.unwrap_or_default());
        }
        self.form(form)
    }

    fn as_of(&mut self, language: Option<&str>) -> Option<()> {
        const MONTHS: [&str; 12] = [
            "January",
            "February",
            "March",
            "April",
            "May",
            "June",
            "July",
            "August",
            "September",
            "October",
            "November",
            "December",
        ];
        if !matches!(language, None | Some("en")) {
            return None;
        }
        if self.values.get("alt").is_some() {
            return self.form("{alt}");
        }
        let is_since = self.values.get("since").is_some();
        let is_small = self.values.get("lc").is_some();
        self.text(match (is_since, is_small) {
            (false, false) => "As of ",
            (false, true) => "as of ",
            (true, false) => "Since ",
            (true, true) => "since ",
        });
        if let Some(month) = self.values.get("2") {
            let month = self.values.str(self.values.trimmed(month));
            let by_number = month.parse::<usize>().ok().and_then(|n| MONTHS.get(n.checked_sub(1)?)).copied();
            if let Some(day) = self.values.get("3") {
                self.text(&format!("{} ", self.values.str(self.values.trimmed(day))));
            }
            self.text(by_number.unwrap_or(month));
            self.text(" ");
        }
        self.form("{1}")
    }
}
