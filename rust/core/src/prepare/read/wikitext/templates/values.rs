//! The values of a template, by name and by position.

use std::ops::Range;

use crate::prepare::read::wikitext::span::Span;

/// The values of one template.
pub(super) struct Values<'a> {
    pub text: &'a [u8],
    /// Each value with its name, if any, and its range, including whitespace.
    list: Vec<(Option<&'a str>, Range<usize>)>,
}

impl<'a> Values<'a> {
    /// Reads the values between each `|` in `range`. Ignores those of links and of dropped spans, which are listed in
    /// `inside`.
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
        let is_of_name = |b: &&u8| {
            b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'+' | b'/' | b' ' | b'\n') || !b.is_ascii()
        };
        let length = value.iter().take_while(is_of_name).count();
        let name = str::from_utf8(&value[..length]).ok().map(str::trim);
        match name {
            Some(name) if value.get(length) == Some(&b'=') && !name.is_empty() => {
                self.list.push((Some(name), part.start + length + 1..part.end));
            }
            _ => self.list.push((None, part)),
        }
    }

    /// Returns the range of a value, including whitespace. Returns `None` if it is missing or blank. If there are
    /// several, the last counts.
    pub(super) fn get(&self, key: &str) -> Option<Range<usize>> {
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

    pub(super) fn first_of(&self, keys: &str) -> Option<Range<usize>> {
        keys.split('/').find_map(|key| self.get(key))
    }

    pub(super) fn unnamed(&self) -> Vec<Range<usize>> {
        self.list.iter().filter(|(name, _)| name.is_none()).map(|(_, value)| self.trimmed(value.clone())).collect()
    }

    /// Returns the unnamed values that are not blank.
    pub(super) fn unnamed_text(&self) -> impl Iterator<Item = &'a str> {
        self.unnamed().into_iter().map(|value| self.str(value)).filter(|text| !text.is_empty())
    }

    /// Whether an unnamed value contains a letter or a digit.
    pub(super) fn has_words(&self) -> bool {
        self.unnamed_text().any(|text| text.contains(char::is_alphanumeric))
    }

    /// Whether each value that is not blank is part of `form`, or affects only the appearance.
    pub(super) fn are_those_of(&self, form: &str) -> bool {
        const OF_LOOKS: &[&str] = &[
            "fmt",
            "sortable",
            "debug",
            "nocategory",
            "lk",
            "abbr",
            "link",
            "lien",
            "cat",
            "date",
            "lang",
            "titre",
            "title",
        ];
        let parts = form.split('{').skip(1).filter_map(|part| part.split(['}', '|', '=']).next());
        let keys: Vec<_> = parts.flat_map(|keys| keys.split('/')).chain(OF_LOOKS.iter().copied()).collect();
        let mut unnamed = 0;
        self.list.iter().all(|(name, value)| {
            unnamed += usize::from(name.is_none());
            let is_blank = self.text[value.clone()].trim_ascii().is_empty();
            is_blank || name.map_or_else(|| keys.contains(&unnamed.to_string().as_str()), |name| keys.contains(&name))
        })
    }

    /// Whether the first value is a language code, and the second is not.
    pub(super) fn begins_with_code(&self) -> bool {
        let is_code = |text: &str| matches!(text.len(), 2 | 3) && text.bytes().all(|b| b.is_ascii_lowercase());
        let mut values = self.unnamed_text();
        values.next().is_some_and(is_code) && !values.next().is_some_and(is_code)
    }

    pub(super) fn trimmed(&self, value: Range<usize>) -> Range<usize> {
        let bytes = &self.text[value.clone()];
        let start = value.start + (bytes.len() - bytes.trim_ascii_start().len());
        start..start + bytes.trim_ascii().len()
    }

    pub(super) fn str(&self, value: Range<usize>) -> &'a str {
        str::from_utf8(&self.text[value]).unwrap_or_default()
    }
}
