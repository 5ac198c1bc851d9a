//! Reads comma- and tab-separated values: rows of fields, one of which is the text.
//!
//! The `csv` crate parses the rows. Blocks contain whole rows, so the ends of rows must be known before. The quotes are
//! also checked before, because the crate accepts anything after a closing quote.

#[cfg(test)]
mod tests;

use super::options::Format;
use super::plain::is_blank;
use super::raw::{Column, ReadCounts};
use super::records::Records;
use super::rows::{Dialect, Fault};
use crate::Result;

/// The maximum length of a row in bytes: 16 MiB. Otherwise, an open quote would extend over the rest of the file.
pub(super) const MAX_ROW: usize = 16 << 20;

/// Advice for data that only looks like a table.
pub(super) const NO_TABLE: &str = "; if this is not a table, pass format='text'";

/// The number of lines that are searched for a header.
const FIRST_LINES: usize = 100;

/// Returns the length of what precedes the first row, and the delimiter if it is named there. This is blank lines,
/// comments, and what some spreadsheet programs write (`sep=;`). A line that names the column `field` is not a comment.
pub(super) fn preamble(text: &[u8], newline: u8, delimiters: &[u8], field: Option<&str>) -> (usize, Option<u8>) {
    let lines: Vec<&[u8]> = text.split_inclusive(|&byte| byte == newline).take(FIRST_LINES).collect();
    let is_other = |line: &[u8]| !is_blank(line) && !line.starts_with(b"#");
    let Some(first) = lines.iter().position(|line| is_other(line)) else { return (0, None) };
    let count = |line: &[u8], delimiter: u8| memchr::memchr_iter(delimiter, line).count();
    let delimiter = delimiters.iter().rev().copied().max_by_key(|&it| count(lines[first], it)).unwrap_or(b',');
    let is_named = |line: &[u8]| {
        let line = String::from_utf8_lossy(line);
        delimiters.iter().any(|&it| names_of(&line, it, newline).iter().any(|name| Some(name.as_str()) == field))
    };
    let mut skipped = 0;
    for line in &lines[..first] {
        let is_comment = matches!(line.get(1), Some(b' ' | b'#' | b'!' | b'\r' | b'\n') | None)
            || count(line, delimiter) != count(lines[first], delimiter);
        if !is_blank(line) && (!is_comment || is_named(line)) {
            return (skipped, None);
        }
        skipped += line.len();
    }
    if let [b's', b'e', b'p', b'=', delimiter, rest @ ..] = lines[first]
        && is_blank(rest)
    {
        return (skipped + lines[first].len(), Some(*delimiter));
    }
    (skipped, None)
}

/// Finds the field of a table that is the text. Returns its delimiter, its index, the number of fields, and whether
/// `row`, the table's first row, is a header. The delimiter is the first of `delimiters` that gives a column of this
/// name; otherwise, the one that gives the most columns.
///
/// # Errors
/// A description, if no column has the name.
pub(super) fn find(
    row: &str,
    delimiters: &[u8],
    newline: u8,
    field: &str,
) -> Result<((u8, usize, usize), bool), String> {
    let rows = delimiters.iter().map(|&delimiter| (delimiter, names_of(row, delimiter, newline)));
    let rows: Vec<(u8, Vec<String>)> = rows.collect();
    let named = rows.iter().find_map(|(delimiter, names)| {
        let index = names.iter().position(|name| name == field)?;
        Some((*delimiter, index, names.len()))
    });
    if let Some(column) = named {
        return Ok((column, true));
    }
    // If several give the same number, this is the first.
    let (delimiter, names) = rows.into_iter().rev().max_by_key(|(_, names)| names.len()).unwrap_or_default();
    if let Ok(number) = field.parse::<usize>()
        && (1..=names.len()).contains(&number)
    {
        return Ok(((delimiter, number - 1, names.len()), false));
    }
    let shown: Vec<String> = names.iter().take(50).map(|name| format!("{name:?}")).collect();
    Err(format!(
        "no column {field:?} (columns: {}); pass text_field=NAME, or the column's number, from 1, if the first row is \
         not a header",
        shown.join(", ")
    ))
}

/// Returns the fields of a first row, without whitespace around them and without the mark of a comment.
fn names_of(row: &str, delimiter: u8, newline: u8) -> Vec<String> {
    let dialect = Dialect { spaces: true, ..Dialect::new(delimiter, newline) };
    let mut plain = Vec::new();
    if dialect.row(row.as_bytes()).fault.is_none() {
        dialect.plain(row.as_bytes(), &mut plain);
    } else {
        plain.extend_from_slice(row.as_bytes());
    }
    let mut record = csv::StringRecord::new();
    match reader(&plain, dialect).read_record(&mut record) {
        Ok(true) => {
            let mut names: Vec<String> = record.iter().map(|name| name.trim().to_owned()).collect();
            if let Some(name) =
                names[0].strip_prefix('#').map(|it| it.trim().to_owned()).filter(|name| !name.is_empty())
            {
                names[0] = name;
            }
            names
        }
        _ => Vec::new(),
    }
}

/// Rows end only at a newline. [`parse`] handles a carriage return before it.
fn reader(text: &[u8], dialect: Dialect) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new()
        .delimiter(dialect.delimiter)
        .terminator(csv::Terminator::Any(dialect.newline))
        .has_headers(false)
        .flexible(true)
        .from_reader(text)
}

/// Calls `document` with the text of each row.
pub(super) fn parse(
    records: &Records<'_>,
    column: &Column,
    counts: &mut ReadCounts,
    mut document: impl FnMut(String),
) -> Result<()> {
    let text = records.text(counts)?;
    let data = text.as_bytes();
    let dialect = column.dialect;
    let lines = |data: &[u8]| memchr::memchr_iter(dialect.newline, data).count() as u64;
    // `plain` contains the rows without faults, for the crate. `rows` contains the line and the fault of all rows.
    let mut plain = Vec::with_capacity(data.len());
    let mut rows = Vec::new();
    let (mut at, mut line) = (0, records.block.line);
    while at < data.len() {
        let rest = &data[at..];
        let row = dialect.row(rest);
        // An open quote ends at this line: what might close it is in another block, or missing.
        let end = row.end_in(rest, dialect.newline);
        match row.fault {
            Some(Fault::Open(open)) => rows.push((line + lines(&rest[..open]), Some(None))),
            Some(Fault::Broken { open, at }) => {
                let text = String::from_utf8_lossy(&rest[at..rest.len().min(at + 40)]);
                let what: String = text.lines().next().unwrap_or_default().chars().take(20).collect();
                let lines = (line + lines(&rest[..open]), line + lines(&rest[..at]));
                rows.push((lines.0, Some(Some((lines.1, what)))));
            }
            None if is_blank(&rest[..end]) => {}
            None => {
                row.other.unwrap_or(dialect).plain(&rest[..end], &mut plain);
                rows.push((line, None));
            }
        }
        line += lines(&rest[..end]);
        at += end;
    }
    let alternative = if records.options.format == Format::Auto { NO_TABLE } else { "" };
    let advice = "double quotes within fields (\"\"), or pass skip_bad=True to skip such rows";
    let mut reader = reader(&plain, dialect);
    let mut record = csv::StringRecord::new();
    for (line, fault) in rows {
        if let Some(fault) = fault {
            records.bad_line(line, counts, || match fault {
                None => format!("the quote that opens a field here must be closed; {advice}{alternative}"),
                Some((other, what)) => {
                    let place = if other == line { String::new() } else { format!(" in line {other}") };
                    format!(
                        "the quote that closes the field must be followed by {:?} or the end of the row, got {what:?}\
                         {place}; {advice}{alternative}",
                        dialect.delimiter as char
                    )
                }
            })?;
        } else if !reader.read_record(&mut record).unwrap_or(false) {
            break;
        } else if record.len() == column.fields {
            let field = &record[column.index];
            let is_last = column.index + 1 == column.fields;
            document(if is_last { field.strip_suffix('\r').unwrap_or(field) } else { field }.to_owned());
        } else {
            let (found, wanted) = (record.len(), column.fields);
            records.bad_line(line, counts, || {
                format!(
                    "the row must have {wanted} fields, as the first row has, got {found}; put quotes around fields that \
                     hold {:?} or a quote, or pass skip_bad=True to skip such rows{alternative}",
                    dialect.delimiter as char
                )
            })?;
        }
    }
    Ok(())
}
