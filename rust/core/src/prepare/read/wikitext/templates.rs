//! Shows templates in the middle of sentences: signs, words and numbers in them, and notes that no sentence needs.
//!
//! Templates are not expanded. Tables say what a reader sees of the common templates of the largest Wikipedias.
//! [`signs`] lists those that stand for a sign, and [`words`] those with values that are text. [`doubts`] lists those
//! that question a statement, and [`silent`] those that a sentence does not need. Every other template leaves a hole.

mod doubts;
mod forms;
mod numbers;
mod signs;
mod silent;
mod values;
mod words;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

use super::span::{Span, SpanKind};
use crate::prepare::read::mediawiki::Site;
use forms::Place;
use values::Values;

/// What a reader sees of a template.
#[derive(Debug, Clone, Copy)]
enum Shows {
    /// This sign.
    Sign(&'static str),
    /// A `|` that separates the parts of a link, as a plain one does.
    Pipe,
    /// Values and additional words, as [`forms`] reads them. A hole if a value is missing.
    Form(&'static str),
    /// As [`Shows::Form`], but nothing if a value is missing.
    Marked(&'static str),
    /// As [`Shows::Form`], but a hole if there are other values, which may change the number.
    Number(&'static str),
    /// The first form if the first value is a language code with other values after it; otherwise, the second.
    Coded(&'static str, &'static str),
    /// A form: words that editors question. Nothing if they are missing or a date.
    Passage(&'static str),
    /// As [`Shows::Passage`], for a wiki in which a single word may not belong to the sentence. A single word is a
    /// hole.
    Doubtful(&'static str),
    /// A doubt that shows none of its values. A hole if one of them may belong to the sentence nevertheless.
    Doubt,
    /// A form set as superscript. If it is the power of a number, `^` precedes it: `10{{sup|6}}`.
    Raised(&'static str),
    /// A number and its unit: `{{convert|5|to|10|km|mi}}`.
    Measure,
    /// A number, its uncertainty, power of ten and unit: `{{val|5.3|0.2|e=6|u=kg}}`.
    Val,
    /// All values, with this text between them: `{{chem|H|2|O}}`.
    All(&'static str),
    /// `{{frac|1|2}}`, `{{frac|5|1|2}}`.
    Fraction,
    /// This prefix, a ship's name and its number: `{{USS|Enterprise|CV-6}}`. Without a prefix here, the first value is
    /// the prefix. A last value says which of them are shown.
    Ship(Option<&'static str>),
    /// The template's own name.
    Name,
    /// `{{as of|2012|5}}`.
    AsOf,
    /// Nothing that the sentence needs: a note, a source, an anchor.
    Nothing,
}

/// A row of a table: the languages of the sites ("" for all others), what is shown, and names.
type Row = (&'static str, Shows, &'static [&'static str]);

/// What each name shows, by the languages of the sites. The row for all others is last.
static NAMES: LazyLock<HashMap<String, Vec<(&'static str, Shows)>>> = LazyLock::new(|| {
    let mut names: HashMap<String, Vec<(&'static str, Shows)>> = HashMap::new();
    for &(sites, shows, of) in signs::SIGNS.iter().chain(words::WORDS) {
        for name in of {
            names.entry(with_small_initial(name)).or_default().push((sites, shows));
        }
    }
    for &(sites, shows, of) in doubts::NAMES {
        for name in of.split('|') {
            names.entry(with_small_initial(name.trim())).or_default().push((sites, shows));
        }
    }
    for &(sites, of) in silent::NAMES {
        for name in of.split('|') {
            names.entry(with_small_initial(name.trim())).or_default().push((sites, Shows::Nothing));
        }
    }
    for rows in names.values_mut() {
        rows.sort_by_key(|(sites, _)| sites.is_empty());
    }
    names
});

/// The maximum length in bytes of a template whose values are read.
const LONGEST: usize = 2048;
/// The maximum number of dropped spans in such a template.
pub(super) const MOST_INSIDE: usize = 32;

/// The maximum length of a name in bytes, including its namespace. A title has at most 255 bytes.
const LONGEST_NAME: usize = 320;

/// Appends to `dropped` what a reader sees of the template in `range`, which includes the braces.
///
/// `inside` is the index in `dropped` of the first span within the template. Text that is not a value is appended to
/// `texts`.
pub(super) fn show(
    text: &[u8],
    range: Range<usize>,
    inside: usize,
    site: &Site,
    dropped: &mut Vec<Span>,
    texts: &mut String,
) {
    let Range { start, end } = range;
    let found = head(text, start + 2..end - 2, &dropped[inside..]).and_then(|head| {
        let shows = if head.is_function { function(&head.name)? } else { find(&head.name, site)? };
        Some((shows, head))
    });
    let (otherwise, pieces) = match found {
        None => (SpanKind::Hole, None),
        Some((Shows::Nothing, _)) => (SpanKind::Block, None),
        Some((Shows::Pipe, _)) => (SpanKind::Pipe, None),
        Some((Shows::Name, head)) => {
            let from = texts.len();
            texts.push_str(without_namespace(&head.name, site));
            (SpanKind::Text(from, texts.len()), None)
        }
        Some((shows, head)) => {
            let fits = end - start <= LONGEST && dropped.len() - inside <= MOST_INSIDE;
            let values = fits.then(|| Values::read(text, head.values, &dropped[inside..]));
            let has_words = || values.as_ref().is_some_and(Values::has_words);
            let shows = match shows {
                // `{{shy|com|pound}}`
                Shows::Sign("") if has_words() => Shows::All(""),
                _ => shows,
            };
            match shows {
                // A value gives only the width of a space. For other signs, it is unknown how the value belongs to the
                // sign.
                Shows::Sign(sign) if sign.trim().is_empty() || !has_words() => {
                    let from = texts.len();
                    texts.push_str(sign);
                    (if sign.is_empty() { SpanKind::Nothing } else { SpanKind::Text(from, texts.len()) }, None)
                }
                _ => {
                    let follows_digit = start > 0 && text[start - 1].is_ascii_digit();
                    let place = Place { follows_digit, behind: &text[end..] };
                    let language = site.language.as_deref();
                    let shown = values.ok_or(SpanKind::Hole);
                    match shown.and_then(|values| forms::pieces(shows, &values, language, place)) {
                        Ok(pieces) => (SpanKind::Hole, Some(pieces)),
                        Err(otherwise) => (otherwise, None),
                    }
                }
            }
        }
    };
    let Some(pieces) = pieces else {
        while dropped.last().is_some_and(|span| span.start >= start) {
            dropped.pop();
        }
        return dropped.push(Span { start, end, kind: otherwise });
    };
    let within = dropped.split_off(inside);
    let mut from = start;
    for piece in pieces {
        let value = piece.value.unwrap_or(end..end);
        let mark = texts.len();
        texts.push_str(&piece.before);
        let kind = if piece.before.is_empty() { SpanKind::Nothing } else { SpanKind::Text(mark, texts.len()) };
        dropped.push(Span { start: from, end: value.start, kind });
        dropped.extend(within.iter().filter(|span| value.contains(&span.start)));
        from = value.end;
    }
    if from < end {
        dropped.push(Span { start: from, end, kind: SpanKind::Nothing });
    }
}

/// The beginning of a template: its name and the range of its values.
struct Head {
    name: String,
    is_function: bool,
    values: Range<usize>,
}

/// Reads the beginning of the template between the braces, ignoring comments. Returns `None` if another template is
/// part of the name.
fn head(text: &[u8], range: Range<usize>, inside: &[Span]) -> Option<Head> {
    let mut name = Vec::new();
    let mut inside = inside.iter().peekable();
    let mut at = range.start;
    while at < range.end && text[at] != b'|' {
        if let Some(span) = inside.next_if(|span| span.start <= at) {
            if span.kind != SpanKind::Comment {
                return None;
            }
            at = span.end.max(at);
            continue;
        }
        if name.len() == LONGEST_NAME {
            return None;
        }
        if text[at] == b':' {
            let prefix = str::from_utf8(name.trim_ascii()).ok()?;
            if is_function(prefix) {
                return Some(Head { name: prefix.to_lowercase(), is_function: true, values: at + 1..range.end });
            }
        }
        name.push(text[at]);
        at += 1;
    }
    let name = str::from_utf8(&name).ok()?;
    let name = if name.contains('&') { htmlize::unescape(name) } else { name.into() };
    let name = name.split(|c: char| c == '_' || c.is_whitespace()).filter(|word| !word.is_empty());
    let name = name.collect::<Vec<_>>().join(" ");
    // Without a `|`, there are no values.
    let values = if at < range.end { at + 1..range.end } else { at..at };
    (!name.is_empty()).then_some(Head { name, is_function: false, values })
}

/// Whether a colon after `name` makes it a MediaWiki function. Functions that set the page's title or sort key are in
/// capitals in every language.
fn is_function(name: &str) -> bool {
    let is_setting = || {
        name.chars().nth(3).is_some() && !name.chars().any(char::is_lowercase) && name.chars().any(char::is_uppercase)
    };
    name.starts_with('#') || name.eq_ignore_ascii_case("formatnum") || is_setting()
}

fn function(name: &str) -> Option<Shows> {
    match name {
        "formatnum" => Some(Shows::Form("{1}")),
        // Nearly all uses of `#tag` are references.
        _ if name.starts_with('#') && name != "#tag" => None,
        _ => Some(Shows::Nothing),
    }
}

/// Returns what a reader sees of the template with this name.
fn find(name: &str, site: &Site) -> Option<Shows> {
    let name = without_namespace(name, site);
    let language = site.language.as_deref().unwrap_or_default();
    let exact = with_small_initial(name);
    let by_name = |name: &str| {
        let rows = NAMES.get(name)?;
        rows.iter().find(|(sites, _)| sites.is_empty() || sites.split(' ').any(|site| site == language))
    };
    if let Some((_, shows)) = by_name(&exact) {
        return Some(*shows);
    }
    let small = name.to_lowercase();
    if let Some((_, shows)) = by_name(&small) {
        return Some(*shows);
    }
    let is_doubt = |name: &str| {
        let found = by_name(name).map(|(_, shows)| *shows);
        matches!(found, Some(Shows::Doubt | Shows::Doubtful(_) | Shows::Passage(_)))
    };
    let by_pattern = |name: &str| doubts::by_pattern(name, language, is_doubt);
    if let Some(shows) = by_pattern(&exact).or_else(|| by_pattern(&small)) {
        return Some(shows);
    }
    if words::is_text(name, language) {
        return Some(Shows::Name);
    }
    if silent::is_by_pattern(&small) {
        return Some(Shows::Nothing);
    }
    if doubts::is_by_ending(&small) { Some(Shows::Doubt) } else { words::by_pattern(&exact, language) }
}

/// Returns the name of a template without its namespace.
fn without_namespace<'n>(name: &'n str, site: &Site) -> &'n str {
    match name.split_once(':') {
        Some((namespace, name)) if is_namespace(namespace.trim(), site) => name.trim(),
        _ => name,
    }
}

fn is_namespace(prefix: &str, site: &Site) -> bool {
    /// "Template" in the languages of large Wikipedias.
    #[rustfmt::skip]
    const TEMPLATE: &[&str] = &[
        "template", "vorlage", "modèle", "mall", "sjabloon", "шаблон", "plantilla", "szablon", "predefinição", "قالب",
        "テンプレート", "模板", "bản mẫu", "batakan", "plantilya", "şablon", "الگو", "malline", "skabelon", "mal",
        "šablona", "sablon", "format", "틀", "תבנית", "templat",
    ];
    let prefix = prefix.to_lowercase();
    TEMPLATE.contains(&prefix.as_str()) || site.is_template(&prefix)
}

/// Returns a name with a lowercase first letter, because MediaWiki ignores its case.
fn with_small_initial(name: &str) -> String {
    let mut characters = name.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalized_and_unique() {
        for (name, rows) in &*NAMES {
            assert!(!name.is_empty() && *name == name.trim() && !name.contains(['_', '|', '{']), "{name:?}");
            let sites: Vec<_> = rows.iter().flat_map(|(sites, _)| sites.split(' ')).collect();
            let mut once = sites.clone();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), sites.len(), "{name:?} is there twice: {rows:?}");
        }
    }
}
