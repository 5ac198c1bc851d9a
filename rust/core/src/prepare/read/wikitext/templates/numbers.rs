//! Shows numbers with units: `{{convert}}` and `{{val}}`.

use std::ops::Range;

use super::forms::Pieces;

impl Pieces<'_, '_> {
    /// Shows the values of `{{convert}}` before those that say what to convert to.
    pub(super) fn measure(&mut self) -> Option<()> {
        if self.values.get("disp").is_some_and(|value| HIDING.contains(&self.values.str(self.values.trimmed(value)))) {
            return None;
        }
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
        // These are two numbers with an unknown word between them.
        let is_word = |value: &Range<usize>| !value.is_empty() && !is_number(value);
        let begins_as_number = |value: &Range<usize>| str(value).starts_with(|c: char| c.is_ascii_digit());
        if values.get(count + 1).is_some_and(begins_as_number) && values.get(count + 2).is_some_and(is_word) {
            return None;
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
            self.unit(unit)?;
        }
        Some(())
    }

    /// Shows a unit of `{{convert}}`: `e6km2` is millions of square kilometers. A number is not a unit.
    fn unit(&mut self, unit: Range<usize>) -> Option<()> {
        const POWERS: &[(&str, &str)] =
            &[("e3", "thousand "), ("e6", "million "), ("e9", "billion "), ("e12", "trillion ")];
        let code = self.values.str(unit.clone());
        if code.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let power = POWERS.iter().find_map(|(prefix, word)| Some((word, code.strip_prefix(prefix)?)));
        if let Some((word, rest)) = power.filter(|(_, rest)| rest.starts_with(char::is_alphabetic)) {
            self.text(word);
            return if let Some(symbol) = symbol(rest) {
                self.text(symbol);
                Some(())
            } else {
                self.value(unit.end - rest.len()..unit.end)
            };
        }
        match symbol(code) {
            Some(symbol) => self.text(symbol),
            None if unit.is_empty() => {}
            None => self.value(unit)?,
        }
        Some(())
    }

    /// Shows the values of `{{val}}`: a number or a range, its uncertainty, a power of ten, and a unit.
    pub(super) fn val(&mut self) -> Option<()> {
        const FORM: &str = "{p}{e}{end/s}{u/ul/units}{up/upl}";
        let values: Vec<_> = self.values.unnamed().into_iter().filter(|value| !value.is_empty()).collect();
        if !self.values.are_those_of(&format!("{FORM}{{1}}{{2}}{{3}}{{4}}{{5}}{{6}}")) {
            return None;
        }
        let str = |value: &Range<usize>| self.values.str(value.clone());
        let is_number = |value: &Range<usize>| str(value).contains(|c: char| c.is_ascii_digit());
        let is_unit =
            |value: &Range<usize>| str(value).starts_with(|c: char| c.is_alphabetic() || matches!(c, '%' | '°'));
        let power = self.values.get("e").map(|value| self.values.trimmed(value));
        let Some(first) = values.first() else {
            self.form("<{p}>10^{e}<{end/s}>")?;
            return self.unit_of_val();
        };
        if !is_number(first) {
            return None;
        }
        let mut count = 1;
        let mut words = Vec::new();
        while values.len() > count + 1
            && let Some(word) = between(str(&values[count]))
            && is_number(&values[count + 1])
        {
            words.push(word);
            count += 2;
        }
        let errors = values[count..].iter().take_while(|value| is_number(value) && !is_unit(value)).count();
        let (errors, units) = values[count..].split_at(errors);
        if errors.len() > 2 || units.len() > 1 || !units.iter().all(is_unit) {
            return None;
        }
        self.form("<{p}>")?;
        let is_concise = errors.first().is_some_and(|error| str(error).starts_with('('));
        let is_group = power.is_some() && !is_concise && (errors.len() + words.len()) > 0;
        if is_group {
            self.text("(");
        }
        self.value(first.clone())?;
        for (at, word) in words.into_iter().enumerate() {
            self.text(word);
            self.value(values[2 * at + 2].clone())?;
        }
        match errors {
            [error] if is_concise => self.value(error.clone())?,
            [error] => {
                self.text(" ± ");
                self.value(error.clone())?;
            }
            [_, _] if is_concise => return None,
            [above, below] => {
                self.text(" +");
                self.value(above.clone())?;
                self.text(" −");
                self.value(below.clone())?;
            }
            _ => {}
        }
        if is_group {
            self.text(")");
        }
        if let Some(power) = power {
            self.text(" × 10^");
            self.value(power)?;
        }
        self.form("<{end/s}>")?;
        if let Some(unit) = units.first() {
            self.space_before(unit);
            self.value(unit.clone())?;
        }
        self.unit_of_val()
    }

    fn unit_of_val(&mut self) -> Option<()> {
        if let Some(unit) = self.values.first_of("u/ul/units") {
            let unit = self.values.trimmed(unit);
            self.space_before(&unit);
            self.value(unit)?;
        }
        self.form("</{up/upl}>")
    }

    /// No space precedes the signs for percent and degrees.
    fn space_before(&mut self, unit: &Range<usize>) {
        let unit = self.values.str(unit.clone());
        if !unit.starts_with('%') && !matches!(unit, "°" | "deg" | "′" | "″") {
            self.text(" ");
        }
    }
}

/// Modes of `{{convert}}` that do not show the measure as given.
const HIDING: &[&str] = &[
    "out",
    "output only",
    "number",
    "output number only",
    "number only",
    "num",
    "unit",
    "unit2",
    "u2",
    "unit or text",
    "preunit",
    "table",
    "tablecen",
];

/// Returns the text shown for a word between two numbers of `{{convert}}`.
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
        "," => ", ",
        _ => return None,
    })
}

/// Pairs of units that a measure may combine.
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

/// Returns the text shown for a `{{convert}}` code that is not itself a symbol.
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
