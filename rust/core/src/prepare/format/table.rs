//! Tables of comma- or tab-separated values, by a first row that is a header and rows of as many fields.

use super::Kind;

/// Rows that must agree with a header whose names tell nothing.
const ROWS: usize = 5;
/// Names of columns that tell that the first line is a header.
#[rustfmt::skip]
const NAMES: &[&str] = &[
    "text", "id", "title", "body", "content", "label", "sentence", "url", "date", "name", "document", "article", "abstract",
    "summary", "review", "comment", "message", "tweet", "question", "answer", "category", "class", "source", "target",
    "language", "lang", "author", "index", "idx", "timestamp", "score", "rating", "description", "context", "headline",
    "sentence1", "sentence2", "premise", "hypothesis", "sentiment", "paragraph", "prompt", "response", "doc_id", "docid",
];

/// What `text` is, if it is a table.
pub(super) fn recognize(text: &[u8], whole: bool) -> Option<Kind> {
    let line = &text[..memchr::memchr(b'\n', text)?];
    let line = std::str::from_utf8(line).ok()?.trim_end_matches('\r');
    [(b'\t', Kind::Tsv), (b',', Kind::Csv), (b';', Kind::Csv), (b'|', Kind::Csv)].into_iter().find_map(
        |(delimiter, kind)| {
            let header = header(line, delimiter as char)?;
            let known = header.iter().filter(|it| NAMES.contains(&it.to_ascii_lowercase().as_str())).count();
            let (rows, cut) = rows(text, delimiter, whole);
            let good = rows.iter().skip(1).filter(|&&fields| fields == header.len()).count();
            // Commas in text that has no quotes make more fields.
            let enough = rows.iter().skip(1).filter(|&&fields| fields >= header.len()).count();
            let is_table = match rows.len().saturating_sub(1) {
                // The first row goes on behind what is looked at.
                0 => known > 0 && cut.is_some_and(|fields| (2..=header.len()).contains(&fields)),
                count if known > 1 => enough * 2 >= count,
                count if known > 0 => good > 0 && good * 2 >= count,
                count => good >= ROWS && good == count,
            };
            is_table.then_some(kind)
        },
    )
}

/// The names of the columns, if the line can be a header: short names, all different, nothing like the words of a sentence.
fn header(line: &str, delimiter: char) -> Option<Vec<&str>> {
    let fields: Vec<&str> = line.split(delimiter).collect();
    let unquoted = |field: &'_ str| field.len() > 1 && field.starts_with('"') && field.ends_with('"');
    let names: Vec<&str> = fields.iter().map(|it| if unquoted(it) { &it[1..it.len() - 1] } else { it }).collect();
    let is_name = |name: &str| {
        name.len() <= 40
            && name.trim() == name
            && name.split(' ').count() <= 3
            && name
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, ' ' | '_' | '-' | '.' | '/' | '(' | ')' | ':' | '#' | '?'))
            && name.chars().any(char::is_alphabetic)
    };
    // The first column of a table with an index has no name.
    let all = names.iter().enumerate().all(|(i, name)| is_name(name) || (i == 0 && name.is_empty()));
    let mut sorted = names.clone();
    sorted.sort_unstable();
    sorted.dedup();
    (all && names.len() > 1 && sorted.len() == names.len()).then_some(names)
}

/// The number of fields of each whole row, which are the header's and more, and of a row that may be cut.
fn rows(text: &[u8], delimiter: u8, whole: bool) -> (Vec<usize>, Option<usize>) {
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).has_headers(false).flexible(true).from_reader(text);
    let mut rows: Vec<usize> = reader.byte_records().map_while(|row| row.ok().map(|row| row.len())).collect();
    let cut = if whole || rows.len() < 2 { None } else { rows.pop() };
    (rows, cut)
}
