//! Finds the ends of rows and fields in a table, and how the table quotes.

use memchr::{memchr, memchr_iter, memchr2};

use crate::prepare::read::plain;

/// If so many lines inside an open quote look like rows, the quote is a fault.
const ROWS_IN_QUOTE: usize = 2;

/// How a table separates and quotes its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::prepare) struct Dialect {
    /// The byte between two fields.
    pub delimiter: u8,
    /// The byte that ends a row: a line feed, or a carriage return in files without line feeds.
    pub newline: u8,
    /// Whether a quote at the beginning of a field quotes the field.
    pub quotes: bool,
    /// Whether a backslash escapes a quote inside quotes. A second quote always does.
    pub backslash: bool,
    /// Whether there may be spaces around the quotes of a field.
    pub spaces: bool,
    /// Whether the table is known to quote. If it is not, a quotation over several rows of tab-separated values is not
    /// a field.
    pub sure: bool,
    /// The expected number of fields in a row, or 0 if unknown. A row with another number, or with a fault, is read in
    /// another dialect if its first line is a valid row there.
    pub fields: usize,
}

/// Why a row cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::prepare) enum Fault {
    /// The quote at this byte is not closed.
    Open(usize),
    /// The quote at `open` is closed, but what follows at `at` is not allowed there.
    Broken { open: usize, at: usize },
}

/// A row at the beginning of data.
#[derive(Debug, Default)]
pub(in crate::prepare) struct Row {
    /// The position after its newline. In a row with a fault, that after the first newline. `None` if more data may end
    /// it elsewhere.
    pub end: Option<usize>,
    pub fault: Option<Fault>,
    pub fields: usize,
    /// The row's dialect if it differs from the table's. The row is then one line.
    pub other: Option<Dialect>,
    /// Whether a field is quoted.
    quoted: bool,
    /// Whether a field must be quoted, because it contains a delimiter, a newline or a quote.
    needed: bool,
    /// Whether there are spaces around the quotes of a field.
    spaced: bool,
}

/// The ends of rows, and the quote that is open at the end of the data, if any.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::prepare) struct Scan {
    /// The position after the newline of the first whole row.
    pub first: Option<usize>,
    /// The position after the newline of the last whole row.
    pub last: Option<usize>,
    /// The position of the open quote in the last row.
    pub open: Option<usize>,
}

impl Dialect {
    /// Quotes are doubled inside quotes, as in RFC 4180.
    pub const fn new(delimiter: u8, newline: u8) -> Self {
        Self { delimiter, newline, quotes: true, backslash: false, spaces: false, sure: false, fields: 0 }
    }

    /// Chooses the dialect of the rows in `data`, which should have `fields` fields. `whole` says whether the table
    /// ends with `data`.
    pub fn choose(delimiter: u8, newline: u8, data: &[u8], whole: bool, fields: usize) -> Self {
        let mut best = Self::new(delimiter, newline);
        let mut survey = Survey::of(data, whole, best, fields);
        let spaces = Self { spaces: true, ..best };
        let spaced = Survey::of(data, whole, spaces, fields);
        if spaced.spaced > 0 && spaced.bad <= survey.bad {
            (best, survey) = (spaces, spaced);
        }
        if survey.bad > 0 {
            let backslash = Self { backslash: true, ..best };
            let escaped = Survey::of(data, whole, backslash, fields);
            if escaped.bad < survey.bad {
                (best, survey) = (backslash, escaped);
            }
        }
        // Most writers of tab-separated values do not quote, because text has no tabs.
        let is_quoted = survey.needed > survey.broken || survey.quoted * 2 > survey.rows;
        if delimiter == b'\t' && survey.broken > 0 && !is_quoted {
            best = Self { quotes: false, backslash: false, spaces: false, ..best };
        }
        Self { sure: is_quoted, fields, ..best }
    }

    /// Returns the row at the beginning of `data`, which must not be empty.
    pub fn row(self, data: &[u8]) -> Row {
        let row = self.read(data);
        if self.fields == 0 || row.fault.is_none() && row.fields == self.fields {
            return row;
        }
        self.in_other_dialect(data, &row).unwrap_or(row)
    }

    /// Returns the first line of `data` as a row in another dialect, if it is valid there. `row` is the result in this
    /// dialect. The dialect is chosen by the beginning of a table. A later row may be the first to show another
    /// property.
    fn in_other_dialect(self, data: &[u8], row: &Row) -> Option<Row> {
        let line = &data[..memchr(self.newline, data).map_or(data.len(), |newline| newline + 1)];
        let this = Self { fields: 0, ..self };
        let others: &[Self] = if self.delimiter == b'\t' {
            &[Self { quotes: !self.quotes, backslash: false, spaces: false, ..this }]
        } else {
            &[Self { backslash: !self.backslash, ..this }, Self { spaces: !self.spaces, ..this }]
        };
        // The line's quotes must not belong to a longer row.
        let is_apart = match row.fault {
            None => row.end.unwrap_or(data.len()) <= line.len(),
            _ if self.delimiter != b'\t' => true,
            Some(Fault::Broken { at, .. }) => self.are_rows(data, at, self.fields),
            Some(Fault::Open(_)) => {
                let mut others: Vec<&[u8]> = data[line.len()..].split(|&byte| byte == self.newline).take(100).collect();
                others.pop();
                let is_row = |line: &&&[u8]| memchr_iter(self.delimiter, line).count() + 1 == self.fields;
                others.iter().filter(is_row).count() * 2 >= others.len()
            }
        };
        let is_row = |other: &&Self| {
            let it = other.read(line);
            it.fault.is_none() && it.fields == self.fields && it.end.unwrap_or(line.len()) == line.len()
        };
        let other = others.iter().find(is_row).filter(|_| is_apart)?;
        // If the row is truncated or its quote is open, more data may change the result.
        let end = row.end.map(|_| line.len());
        Some(Row { end, fields: self.fields, other: Some(*other), ..Row::default() })
    }

    /// Whether the lines of `data`, up to the one with byte `last`, have `fields` fields each if quotes are ignored.
    fn are_rows(self, data: &[u8], last: usize, fields: usize) -> bool {
        let mut at = 0;
        while at <= last {
            let end = memchr(self.newline, &data[at..]).map_or(data.len(), |newline| at + newline + 1);
            if memchr_iter(self.delimiter, &data[at..end]).count() + 1 != fields {
                return false;
            }
            at = end;
        }
        true
    }

    /// Returns the row at the beginning of `data`, which must not be empty, in this dialect.
    fn read(self, data: &[u8]) -> Row {
        let mut row = Row { fields: 1, ..Row::default() };
        let mut at = 0;
        loop {
            let begin = at + self.spaces(&data[at..]);
            if !self.quotes || data.get(begin) != Some(&b'"') {
                match memchr2(self.delimiter, self.newline, &data[at..]) {
                    Some(found) if data[at + found] == self.delimiter => {
                        at += found + 1;
                        row.fields += 1;
                        continue;
                    }
                    found => row.end = found.map(|found| at + found + 1),
                }
                return row;
            }
            let Some((close, doubled)) = self.close(data, begin) else {
                return self.faulty(row, data, Fault::Open(begin));
            };
            if self.spans_rows(data, begin, close) {
                return self.faulty(row, data, Fault::Broken { open: begin, at: close });
            }
            let behind = close + 1 + self.spaces(&data[close + 1..]);
            row.quoted = true;
            row.needed |= doubled || memchr2(self.delimiter, self.newline, &data[begin..close]).is_some();
            row.spaced |= begin > at || behind > close + 1;
            match data.get(behind) {
                None => {}
                Some(&byte) if byte == self.delimiter => {
                    at = behind + 1;
                    row.fields += 1;
                    continue;
                }
                Some(&byte) if byte == self.newline => row.end = Some(behind + 1),
                Some(b'\r') if behind + 1 == data.len() => {}
                Some(b'\r') if data[behind + 1] == self.newline => row.end = Some(behind + 2),
                Some(_) => return self.faulty(row, data, Fault::Broken { open: begin, at: behind }),
            }
            return row;
        }
    }

    fn faulty(self, mut row: Row, data: &[u8], fault: Fault) -> Row {
        row.fault = Some(fault);
        let newline = memchr(self.newline, data);
        row.fields = memchr_iter(self.delimiter, &data[..newline.unwrap_or(data.len())]).count() + 1;
        // More data may close an open quote, or show that the quote spans rows.
        let is_sure = match fault {
            Fault::Open(_) => false,
            Fault::Broken { at, .. } => self.delimiter != b'\t' || memchr(self.newline, &data[at..]).is_some(),
        };
        row.end = newline.map(|at| at + 1).filter(|_| is_sure);
        row
    }

    /// Whether the quotation from `open` to `close` begins in one row of `data` and ends in another, in a table of
    /// tab-separated values that does not quote.
    fn spans_rows(self, data: &[u8], open: usize, close: usize) -> bool {
        if self.delimiter != b'\t' || self.sure || memchr(self.newline, &data[open..close]).is_none() {
            return false;
        }
        let first = memchr(self.newline, data).map_or(data, |newline| &data[..newline]);
        let fields = memchr_iter(self.delimiter, first).count() + 1;
        fields > 1 && (self.fields == 0 || self.fields == fields) && self.are_rows(data, close, fields)
    }

    /// Returns the quote that closes the one at `open`, and whether there are doubled quotes between them.
    fn close(self, data: &[u8], open: usize) -> Option<(usize, bool)> {
        let mut at = open + 1;
        let mut doubled = false;
        loop {
            let rest = data.get(at..)?;
            let found = at + if self.backslash { memchr2(b'"', b'\\', rest) } else { memchr(b'"', rest) }?;
            if data[found] == b'"' && data.get(found + 1) != Some(&b'"') {
                return Some((found, doubled));
            }
            doubled |= data.get(found + 1) == Some(&b'"');
            at = found + 2;
        }
    }

    /// Returns the number of spaces at the beginning of `data`, if the dialect allows them.
    fn spaces(self, data: &[u8]) -> usize {
        if self.spaces { data.iter().take_while(|&&byte| byte == b' ' && byte != self.delimiter).count() } else { 0 }
    }

    /// Appends `row`, which must not have a fault, to `out` in the form that the `csv` crate reads: inner quotes are
    /// doubled, without spaces around quotes.
    pub fn plain(self, row: &[u8], out: &mut Vec<u8>) {
        if !self.quotes {
            return self.quote(row, out);
        }
        if !self.spaces && !self.backslash {
            return out.extend_from_slice(row);
        }
        let mut at = 0;
        while at < row.len() {
            let begin = at + self.spaces(&row[at..]);
            let close = if row.get(begin) == Some(&b'"') { self.close(row, begin) } else { None };
            if let Some((close, _)) = close {
                out.push(b'"');
                let mut inner = &row[begin + 1..close];
                while let Some(found) = memchr(b'\\', inner).filter(|_| self.backslash) {
                    out.extend_from_slice(&inner[..found]);
                    match inner.get(found + 1) {
                        Some(b'"') => out.extend_from_slice(b"\"\""),
                        Some(b'\\') => out.push(b'\\'),
                        other => out.extend(std::iter::once(b'\\').chain(other.copied())),
                    }
                    inner = inner.get(found + 2..).unwrap_or_default();
                }
                out.extend_from_slice(inner);
                out.push(b'"');
                at = close + 1 + self.spaces(&row[close + 1..]);
            }
            let end = memchr(self.delimiter, &row[at..]).map_or(row.len(), |found| at + found + 1);
            out.extend_from_slice(&row[at..end]);
            at = end;
        }
    }

    /// As [`Dialect::plain`], for a row whose quotes are text. Fields that begin with a quote are quoted.
    fn quote(self, row: &[u8], out: &mut Vec<u8>) {
        if memchr(b'"', row).is_none() {
            return out.extend_from_slice(row);
        }
        let end = row.strip_suffix(&[self.newline]).unwrap_or(row).len();
        let end = row[..end].strip_suffix(b"\r").map_or(end, <[u8]>::len);
        for (i, field) in row[..end].split(|&byte| byte == self.delimiter).enumerate() {
            if i > 0 {
                out.push(self.delimiter);
            }
            if field.first() != Some(&b'"') {
                out.extend_from_slice(field);
                continue;
            }
            out.push(b'"');
            for part in field.split_inclusive(|&byte| byte == b'"') {
                out.extend_from_slice(part);
                out.extend(part.last().filter(|&&last| last == b'"'));
            }
            out.push(b'"');
        }
        out.extend_from_slice(&row[end..]);
    }

    /// Finds row ends in `data`, which begins with a row. If `one` is set, stops after the first.
    pub fn scan(self, data: &[u8], one: bool) -> Scan {
        let mut scan = Scan::default();
        let mut at = 0;
        while at < data.len() {
            let row = self.row(&data[at..]);
            let Some(end) = row.end else {
                scan.open = if let Some(Fault::Open(open)) = row.fault { Some(at + open) } else { None };
                break;
            };
            at += end;
            scan.first.get_or_insert(at);
            scan.last = Some(at);
            if one {
                break;
            }
        }
        scan
    }
}

/// Observations about the rows at the beginning of a table.
#[derive(Debug, Default)]
pub(in crate::prepare) struct Survey {
    /// The number of fields of each row that is not blank.
    pub fields: Vec<usize>,
    /// The number of fields of the last row, if it may be truncated.
    pub truncated: Option<usize>,
    rows: usize,
    /// The number of rows with a fault.
    broken: usize,
    /// The number of rows with a fault or another number of fields.
    bad: usize,
    /// The number of rows with a quoted field.
    quoted: usize,
    /// The number of rows with a field that must be quoted.
    needed: usize,
    /// The number of rows with spaces around the quotes of a field.
    spaced: usize,
}

impl Row {
    /// Returns the end of this row in `data`, which it begins and which nothing follows.
    pub fn end_in(&self, data: &[u8], newline: u8) -> usize {
        let line = || memchr(newline, data).map(|newline| newline + 1);
        let end = if self.fault.is_some() || self.other.is_some() { line() } else { self.end };
        end.unwrap_or(data.len())
    }
}

impl Survey {
    /// Examines `data`, whose rows should have `fields` fields.
    pub fn of(data: &[u8], whole: bool, dialect: Dialect, fields: usize) -> Self {
        let mut survey = Self::default();
        let mut at = 0;
        while at < data.len() {
            let rest = &data[at..];
            let row = dialect.row(rest);
            let is_open = matches!(row.fault, Some(Fault::Open(_))) || row.other.is_some();
            if row.end.is_none() && !whole && !(is_open && holds_rows(rest, dialect, fields)) {
                survey.truncated = Some(row.fields);
                break;
            }
            let end = row.end_in(rest, dialect.newline);
            at += end;
            if plain::is_blank(&rest[..end]) {
                continue;
            }
            survey.fields.push(row.fields);
            survey.rows += 1;
            survey.broken += usize::from(row.fault.is_some());
            survey.bad += usize::from(row.fault.is_some() || row.fields != fields);
            if row.fault.is_none() {
                survey.quoted += usize::from(row.quoted);
                survey.needed += usize::from(row.needed);
                survey.spaced += usize::from(row.spaced);
            }
        }
        survey
    }
}

/// Whether most of the lines after the first, which opens a quote, look like rows.
fn holds_rows(data: &[u8], dialect: Dialect, fields: usize) -> bool {
    let mut lines: Vec<&[u8]> = data.split(|&byte| byte == dialect.newline).skip(1).take(100).collect();
    lines.pop();
    let rows = lines.iter().filter(|line| memchr_iter(dialect.delimiter, line).count() + 1 == fields).count();
    fields > 1 && rows >= ROWS_IN_QUOTE && rows * 2 > lines.len()
}

/// Returns the byte that ends lines in `data`: a carriage return if there are no line feeds.
pub(in crate::prepare) fn newline(data: &[u8]) -> u8 {
    if memchr(b'\n', data).is_none() && memchr(b'\r', data).is_some() { b'\r' } else { b'\n' }
}
