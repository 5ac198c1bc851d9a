//! The few templates that stand in the middle of sentences and hold words of theirs, as measures and foreign
//! words do.

use std::ops::Range;

use super::spans::{Span, What};

/// Which of a template's values are text.
#[derive(Clone, Copy)]
enum Shows {
    /// The value at this place, from 0, among those without a name.
    Value(usize),
    /// A number and its unit: `{{convert|5|to|10|km|mi}}`.
    Measure,
    /// All of them, one after another: `{{chem|H|2|O}}`.
    All,
}

/// Names of English templates, many of which other sites have taken over.
const TEMPLATES: &[(&str, Shows)] = &[
    ("abbr", Shows::Value(0)),
    ("chem", Shows::All),
    ("convert", Shows::Measure),
    ("cvt", Shows::Measure),
    ("ill", Shows::Value(0)),
    ("interlanguage link", Shows::Value(0)),
    ("lang", Shows::Value(1)),
    ("langue", Shows::Value(1)),
    ("nihongo", Shows::Value(0)),
    ("nobr", Shows::Value(0)),
    ("nobreak", Shows::Value(0)),
    ("nowrap", Shows::Value(0)),
    ("sc", Shows::Value(0)),
    ("small", Shows::Value(0)),
    ("smallcaps", Shows::Value(0)),
    ("smaller", Shows::Value(0)),
    ("transl", Shows::Value(1)),
    ("transliteration", Shows::Value(1)),
    ("unité", Shows::Measure),
    ("val", Shows::Value(0)),
];

/// Longest of them in bytes, and most things in it that are left out: what is longer is no word of a sentence.
const LONGEST: usize = 512;
pub(super) const MOST_INSIDE: usize = 16;

/// Puts in place of the template `start..end` (braces and all) at the end of `dropped` what surrounds its text; false,
/// and nothing done, where it has none. `inside` is the place in `dropped` of the first stretch that lies in the template.
pub(super) fn show(text: &[u8], start: usize, end: usize, inside: usize, dropped: &mut Vec<Span>) -> bool {
    if end - start > LONGEST || dropped.len() - inside > MOST_INSIDE {
        return false;
    }
    let parts = split(text, start + 2, end - 2, &dropped[inside..]);
    let Some(shows) = parts.first().and_then(|name| by_name(&text[name.clone()])) else { return false };
    let values: Vec<_> =
        parts.into_iter().skip(1).map(|part| trim(text, part)).filter(|part| !is_named(&text[part.clone()])).collect();
    let shown = match shows {
        Shows::Value(place) => values.get(place..=place).unwrap_or_default(),
        Shows::Measure => &values[..measure(text, &values)],
        Shows::All => &values[..],
    };
    if shown.iter().all(Range::is_empty) || shown.iter().any(|part| text[part.clone()].contains(&b'\n')) {
        return false;
    }
    let between = if matches!(shows, Shows::Measure) { What::Space } else { What::Nothing };
    let within = dropped.split_off(inside);
    let mut from = start;
    for part in shown {
        let what = if from == start { What::Nothing } else { between };
        dropped.push(Span { start: from, end: part.start, what });
        dropped.extend(within.iter().filter(|span| part.contains(&span.start)));
        from = part.end;
    }
    dropped.push(Span { start: from, end, what: What::Nothing });
    true
}

fn by_name(name: &[u8]) -> Option<Shows> {
    let name = str::from_utf8(name).ok()?.trim().replace('_', " ").to_lowercase();
    TEMPLATES.iter().find(|(known, _)| *known == name).map(|(_, shows)| *shows)
}

/// The stretches between the `|` of a template that are not those of a link in it, or of what is left out in it.
fn split(text: &[u8], start: usize, end: usize, inside: &[Span]) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut inside = inside.iter().peekable();
    let (mut from, mut at, mut links) = (start, start, 0_usize);
    while at < end {
        if let Some(span) = inside.next_if(|span| span.start <= at) {
            at = span.end.max(at);
            continue;
        }
        match text[at] {
            b'[' if text[at + 1] == b'[' => links += 1,
            b']' if text[at + 1] == b']' => links = links.saturating_sub(1),
            b'|' if links == 0 => {
                parts.push(from..at);
                from = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    parts.push(from..end.max(from));
    parts
}

fn trim(text: &[u8], part: Range<usize>) -> Range<usize> {
    let value = &text[part.clone()];
    let start = part.start + (value.len() - value.trim_ascii_start().len());
    start..start + value.trim_ascii().len()
}

fn is_named(value: &[u8]) -> bool {
    let name = value.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b' ')).count();
    value.get(name) == Some(&b'=')
}

/// How many of the values of `{{convert}}` come before those that say what to convert to.
fn measure(text: &[u8], values: &[Range<usize>]) -> usize {
    const BETWEEN: &[&str] = &["to", "-", "–", "and", "by", "x", "×", "or", "+/-", "±", "to about"];
    let is_number = |value: &Range<usize>| text[value.clone()].iter().any(u8::is_ascii_digit);
    if !values.first().is_some_and(is_number) {
        return 0;
    }
    let mut count = 1;
    while values.len() > count + 1
        && BETWEEN.iter().any(|word| word.as_bytes() == &text[values[count].clone()])
        && is_number(&values[count + 1])
    {
        count += 2;
    }
    (count + 1).min(values.len())
}
