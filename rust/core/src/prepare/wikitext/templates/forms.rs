//! The values of a template, and what a reader sees of them.
//!
//! A form is text with values in it. `{1}` is the first value without a name, `{text}` the value of that name, `{2/1}` the
//! first of these that is not empty, and `{2|x}` has `x` for a value that is missing. `{2=s:x}` is `x` if the value is
//! `s`, and nothing otherwise. What stands between `<` and `>` is shown only if its values are there.

use std::ops::Range;

use super::Shows;
use crate::prepare::wikitext::spans::Span;

/// A value in the text, or none at the end, and what stands before it.
pub(super) struct Piece {
    pub before: String,
    pub value: Option<Range<usize>>,
}

/// The values of one template.
pub(super) struct Values<'a> {
    text: &'a [u8],
    /// Each with its name, if it has one, and its place, white space included.
    list: Vec<(Option<&'a str>, Range<usize>)>,
}

impl<'a> Values<'a> {
    /// Reads what stands between the `|` in `range`, except those of a link, or of what is dropped `inside`.
    pub(super) fn read(text: &'a [u8], range: Range<usize>, inside: &[Span]) -> Self {
        let mut values = Self { text, list: Vec::new() };
        if range.is_empty() {
            return values;
        }
        let mut inside = inside.iter().skip_while(|span| span.end <= range.start).peekable();
        let (mut from, mut at, mut links) = (range.start, range.start, 0_usize);
        while at < range.end {
            if let Some(span) = inside.next_if(|span| span.start <= at) {
                at = span.end.max(at);
                continue;
            }
            match text[at] {
                b'[' if text[at + 1] == b'[' => links += 1,
                b']' if text[at + 1] == b']' => links = links.saturating_sub(1),
                b'|' if links == 0 => {
                    values.push(from..at);
                    from = at + 1;
                }
                _ => {}
            }
            at += 1;
        }
        values.push(from..range.end.max(from));
        values
    }

    fn push(&mut self, part: Range<usize>) {
        let value = &self.text[part.clone()];
        let is_of_name =
            |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b' ' | b'\n') || !b.is_ascii();
        let length = value.iter().take_while(is_of_name).count();
        let name = str::from_utf8(&value[..length]).ok().map(str::trim);
        match name {
            Some(name) if value.get(length) == Some(&b'=') && !name.is_empty() => {
                self.list.push((Some(name), part.start + length + 1..part.end));
            }
            _ => self.list.push((None, part)),
        }
    }

    /// The place of a value, white space included. None if it is missing or blank; of several, the last counts.
    fn get(&self, key: &str) -> Option<Range<usize>> {
        let place = key.parse::<usize>().ok();
        let mut unnamed = 0;
        let mut found = None;
        for (name, value) in &self.list {
            unnamed += usize::from(name.is_none());
            if *name == Some(key) || (name.is_none() && place == Some(unnamed)) {
                found = Some(value.clone());
            }
        }
        found.filter(|value| !self.text[value.clone()].trim_ascii().is_empty())
    }

    fn first_of(&self, keys: &str) -> Option<Range<usize>> {
        keys.split('/').find_map(|key| self.get(key))
    }

    fn unnamed(&self) -> Vec<Range<usize>> {
        self.list.iter().filter(|(name, _)| name.is_none()).map(|(_, value)| self.trimmed(value.clone())).collect()
    }

    fn trimmed(&self, value: Range<usize>) -> Range<usize> {
        let bytes = &self.text[value.clone()];
        let start = value.start + (bytes.len() - bytes.trim_ascii_start().len());
        start..start + bytes.trim_ascii().len()
    }

    fn str(&self, value: Range<usize>) -> &'a str {
        str::from_utf8(&self.text[value]).unwrap_or_default()
    }
}

/// What a reader sees of the values: none if what has to be there is missing, or runs over lines.
pub(super) fn pieces(shows: Shows, values: &Values<'_>, language: Option<&str>) -> Option<Vec<Piece>> {
    let mut out = Pieces { values, list: Vec::new(), before: String::new(), end: 0 };
    match shows {
        Shows::Form(form) | Shows::Marked(form) => out.form(form)?,
        Shows::Measure => out.measure()?,
        Shows::All(between) => out.all(between)?,
        Shows::Fraction => out.fraction()?,
        Shows::AsOf => out.as_of(language)?,
        Shows::Ship(prefix) => {
            out.text(prefix);
            out.form(" {1}< ({2})>")?;
        }
        Shows::Sign(_) | Shows::Pipe | Shows::Nothing => return None,
    }
    let text = &values.text;
    if out.list.iter().filter_map(|piece| piece.value.clone()).any(|value| text[value].contains(&b'\n')) {
        return None;
    }
    if !out.before.is_empty() {
        out.list.push(Piece { before: out.before, value: None });
    }
    (!out.list.is_empty()).then_some(out.list)
}

struct Pieces<'a, 't> {
    values: &'a Values<'t>,
    list: Vec<Piece>,
    /// What stands after the last value.
    before: String,
    /// Where the last value ends: the text is read forwards.
    end: usize,
}

impl Pieces<'_, '_> {
    fn text(&mut self, text: &str) {
        self.before.push_str(text);
    }

    /// Adds a value. One that stands before the last is copied, which only plain text can be.
    fn value(&mut self, value: Range<usize>) -> Option<()> {
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

    fn form(&mut self, form: &str) -> Option<()> {
        // A value that is all there is to see keeps its spaces: `one{{small| two}}`.
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
            (None, None) => None,
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

    /// The values of `{{convert}}` that come before those that say what to convert to.
    fn measure(&mut self) -> Option<()> {
        let values = self.values.unnamed();
        let str = |value: &Range<usize>| self.values.str(value.clone());
        let is_number = |value: &Range<usize>| self.values.text[value.clone()].iter().any(u8::is_ascii_digit);
        if !values.first().is_some_and(is_number) {
            return None;
        }
        let mut words = Vec::new();
        let mut count = 1;
        while values.len() > count + 1
            && let Some(word) = between(str(&values[count]))
            && is_number(&values[count + 1])
        {
            words.push(word);
            count += 2;
        }
        // Feet and inches have a number each.
        let mut units = values.get(count).map(|unit| vec![(None, unit.clone())]).unwrap_or_default();
        while let [.., (_, unit)] = &units[..]
            && let Some([number, smaller]) = values.get(count + 1..count + 3)
            && is_number(number)
            && SMALLER.contains(&(str(unit), str(smaller)))
        {
            units.push((Some(number.clone()), smaller.clone()));
            count += 2;
        }
        self.value(values[0].clone())?;
        for (at, word) in words.into_iter().enumerate() {
            self.text(word);
            self.value(values[2 * at + 2].clone())?;
        }
        for (number, unit) in units {
            self.text(" ");
            if let Some(number) = number {
                self.value(number)?;
                self.text(" ");
            }
            match symbol(self.values.str(unit.clone())) {
                Some(symbol) => self.text(symbol),
                None if unit.is_empty() => {}
                None => self.value(unit)?,
            }
        }
        Some(())
    }
}

/// What stands between two numbers of `{{convert}}`, as it is shown.
fn between(word: &str) -> Option<&'static str> {
    Some(match word {
        "to" | "to(-)" => " to ",
        "-" | "–" | "&ndash;" => "–",
        "and" | "and(-)" => " and ",
        "&" => " & ",
        "by" | "by(x)" => " by ",
        "x" | "×" | "xx" | "*" => " × ",
        "or" => " or ",
        "to about" => " to about ",
        "+/-" | "±" | "&plusmn;" => " ± ",
        "+" => " + ",
        "/" => "/",
        _ => return None,
    })
}

/// Units of which a measure may have both.
const SMALLER: &[(&str, &str)] = &[
    ("ft", "in"),
    ("yd", "ft"),
    ("yd", "in"),
    ("mi", "yd"),
    ("mi", "ft"),
    ("mi", "furlong"),
    ("mi", "ch"),
    ("lb", "oz"),
    ("st", "lb"),
    ("LT", "cwt"),
];

/// How codes of `{{convert}}` are shown that are no symbols themselves.
fn symbol(code: &str) -> Option<&'static str> {
    Some(match code {
        "C" => "°C",
        "F" => "°F",
        "km2" | "sqkm" => "km²",
        "m2" | "sqm" => "m²",
        "cm2" => "cm²",
        "mm2" => "mm²",
        "sqmi" | "mi2" => "sq mi",
        "sqft" | "ft2" | "sqfoot" => "sq ft",
        "sqyd" => "sq yd",
        "sqin" => "sq in",
        "km3" => "km³",
        "m3" => "m³",
        "cm3" => "cm³",
        "cuft" | "ft3" => "cu ft",
        "cuyd" => "cu yd",
        "cuin" => "cu in",
        "cumi" => "cu mi",
        "m3/s" => "m³/s",
        "cuft/s" => "cu ft/s",
        "kph" => "km/h",
        "mile" => "miles",
        "foot" => "feet",
        "inch" => "inches",
        "yard" => "yards",
        "acre" => "acres",
        "LT" => "long tons",
        "ST" => "short tons",
        "MT" => "t",
        "USgal" | "usgal" => "US gal",
        "impgal" => "imp gal",
        "USfloz" => "US fl oz",
        "/sqmi" | "PD/sqmi" => "/sq mi",
        "/km2" | "/sqkm" | "PD/km2" | "PD/sqkm" => "/km²",
        "lbf.ft" => "lb⋅ft",
        "N.m" => "N⋅m",
        "ftin" => "ft",
        _ => return None,
    })
}
