//! Comma- and tab-separated values: rows of fields, of which one holds the text.
//!
//! Rows are taken apart by the `csv` crate. Where a row ends has to be known before, as blocks hold whole rows: at a newline
//! that does not stand within quotes.

use super::parse::Records;
use super::plain::is_blank;
use super::raw::ReadCounts;
use super::read::Format;
use crate::Result;

/// The longest row, in bytes: 16 MiB. A quote that is not closed would take in the rest of the file.
pub(super) const MAX_ROW: usize = 16 << 20;

/// What to do if data only look like a table.
pub(super) const NO_TABLE: &str = "; if this is not a table, pass --format text";

/// Which field of a row is the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// What stands between two fields.
    pub(super) delimiter: u8,
    /// Its index.
    index: usize,
    /// Fields of a row.
    fields: usize,
}

/// Where rows end, and the quote that is open at the end of the data, if one is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// Behind the newline of the first whole row.
    pub first: Option<usize>,
    /// Behind the newline of the last whole row.
    pub last: Option<usize>,
    /// Where the last row's open quote stands.
    pub open: Option<usize>,
}

/// Looks for row ends in `data`, which begins with a row, as the `csv` crate sees them; for no more than the first, if `one`.
pub(super) fn scan(data: &[u8], delimiter: u8, one: bool) -> Scan {
    let mut scan = Scan::default();
    // Whether a quote here opens a field, and whether one here may close it and reopen it.
    let (mut begins, mut closed) = (true, false);
    for (at, &byte) in data.iter().enumerate() {
        match byte {
            b'"' if scan.open.is_some() => (scan.open, closed) = (None, true),
            // A quote that is doubled. Where the field was opened is no longer known; this is as good.
            b'"' if closed || begins => (scan.open, closed, begins) = (Some(at), false, false),
            _ if scan.open.is_some() => {}
            b'\n' => {
                scan.first.get_or_insert(at + 1);
                scan.last = Some(at + 1);
                if one {
                    return scan;
                }
                (begins, closed) = (true, false);
            }
            _ => (begins, closed) = (byte == delimiter, false),
        }
    }
    scan
}

/// Which field of a table is the text, and whether its first row, `row`, names the columns. Of `delimiters`, that which divides
/// the row so that one column has this name is taken, or that which divides it most.
///
/// # Errors
/// In words, if no column has the name.
pub(super) fn find(row: &str, delimiters: &[u8], field: &str) -> Result<(Column, bool), String> {
    let rows = delimiters.iter().map(|&delimiter| (delimiter, fields_of(row, delimiter)));
    let rows: Vec<(u8, Vec<String>)> = rows.collect();
    let named = rows.iter().find_map(|(delimiter, names)| {
        let index = names.iter().position(|name| name.trim() == field)?;
        Some(Column { delimiter: *delimiter, index, fields: names.len() })
    });
    if let Some(column) = named {
        return Ok((column, true));
    }
    // Of those that divide it into as many, the first.
    let (delimiter, names) = rows.into_iter().rev().max_by_key(|(_, names)| names.len()).unwrap_or_default();
    if let Ok(number) = field.parse::<usize>()
        && (1..=names.len()).contains(&number)
    {
        return Ok((Column { delimiter, index: number - 1, fields: names.len() }, false));
    }
    let shown: Vec<String> = names.iter().take(50).map(|name| format!("{:?}", name.trim())).collect();
    Err(format!(
        "no column {field:?} (columns: {}); pass --text-column NAME, or the column's number, from 1, if the first row is \
         not a header",
        shown.join(", ")
    ))
}

fn fields_of(row: &str, delimiter: u8) -> Vec<String> {
    let mut record = csv::StringRecord::new();
    match reader(row, delimiter).read_record(&mut record) {
        Ok(true) => record.iter().map(ToOwned::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// Rows end at a newline only: what becomes of a carriage return before it is for [`parse`].
fn reader(text: &str, delimiter: u8) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .terminator(csv::Terminator::Any(b'\n'))
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes())
}

/// Hands over the text of each row.
pub(super) fn parse(
    records: &Records<'_>,
    column: &Column,
    counts: &mut ReadCounts,
    mut document: impl FnMut(String),
) -> Result<()> {
    let text = records.text(counts)?;
    let mut reader = reader(&text, column.delimiter);
    let mut record = csv::StringRecord::new();
    let (mut line, mut counted) = (records.block.line, 0);
    let open = scan(text.as_bytes(), column.delimiter, false).open;
    while reader.read_record(&mut record).unwrap_or(false) {
        let begin = record.position().map_or(0, |position| position.byte() as usize);
        let end = reader.position().byte() as usize;
        // Blank lines before a row are counted as its own.
        let blank = text[begin..end].bytes().take_while(|&byte| byte == b'\n').count();
        line += memchr::memchr_iter(b'\n', text[counted..begin + blank].as_bytes()).count() as u64;
        counted = begin + blank;
        if open.is_some_and(|at| (begin..end).contains(&at)) {
            records.bad_line(line, counts, || "the quote that opens in this row is not closed".into())?;
        } else if record.len() == column.fields {
            let field = &record[column.index];
            let is_last = column.index + 1 == column.fields;
            document(if is_last { field.strip_suffix('\r').unwrap_or(field) } else { field }.to_owned());
        } else if !is_blank(text[begin..end].as_bytes()) {
            let (found, wanted) = (record.len(), column.fields);
            records.bad_line(line, counts, || {
                let way_around = if records.options.format == Format::Auto { NO_TABLE } else { "" };
                format!(
                    "the row must have {wanted} fields, as the first row has, got {found}; put quotes around fields that \
                     hold {:?} or a quote, or pass --skip-bad to skip such rows{way_around}",
                    column.delimiter as char
                )
            })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn columns_by_name_and_by_number() {
        let column = |row: &str, field: &str| {
            find(row, b",;|\t", field).map(|(it, header)| (it.delimiter, it.index, it.fields, header))
        };
        assert_eq!(column("id,text\r\n", "text"), Ok((b',', 1, 2, true)));
        assert_eq!(column("id;\"text\";a,b\n", "text"), Ok((b';', 1, 3, true)));
        assert_eq!(column("id\ttext\n", "2"), Ok((b'\t', 1, 2, false)));
        assert_eq!(column("text", "text"), Ok((b',', 0, 1, true)));
        assert!(column("id,body\n", "text").unwrap_err().starts_with("no column \"text\" (columns: \"id\", \"body\")"));
        assert!(column("id,body\n", "3").is_err());
    }

    proptest! {
        /// Rows that end where this sees it are those that the crate sees.
        #[test]
        fn rows_end_as_the_crate_sees_them(parts in prop::collection::vec(prop::sample::select(
            ["\"", "\"\"", ",", "\n", "\r\n", "a", " ", "\"a,\n\"", ";"].as_slice()), 0..40)) {
            let text = parts.concat();
            let rows = |text: &str| -> Vec<Vec<String>> {
                reader(text, b',').records().map(|it| it.unwrap().iter().map(ToOwned::to_owned).collect()).collect()
            };
            let mut split = Vec::new();
            let mut rest = text.as_str();
            while let Some(end) = scan(rest.as_bytes(), b',', true).first {
                split.extend(rows(&rest[..end]));
                rest = &rest[end..];
            }
            prop_assert_eq!(scan(text.as_bytes(), b',', false).last.unwrap_or(0), text.len() - rest.len());
            split.extend(rows(rest));
            prop_assert_eq!(split, rows(&text));
        }
    }
}
