//! Reads the texts of one column from Parquet files.

mod chunks;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::column::reader::{ColumnReader as AnyReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};

use self::chunks::Chunks;
use super::raw::BLOCK_BYTES;
use super::raw::{RawBlock, RawKind, ReadCounts};
use super::records::{Records, decode};
use crate::files::guard::guarded;
use crate::files::inputs::InputFile;
use crate::{Error, Result};

/// The number of rows decoded at once. Their texts stay in the decoded pages.
const BATCH: usize = 64;

/// The maximum number of rows in a block, whatever their length.
const BLOCK_ROWS: usize = 64 << 10;

/// Reads one column of a file.
pub(super) struct ColumnReader {
    path: PathBuf,
    bytes: u64,
    file: SerializedFileReader<Chunks>,
    leaf: usize,
    next_group: usize,
    group: Option<ColumnReaderImpl<ByteArrayType>>,
    /// The number of rows in the group that are not decoded yet.
    left: usize,
    /// Rows decoded but not returned yet. `None` is a null.
    ready: VecDeque<Option<ByteArray>>,
    /// The number of rows returned so far.
    row: u64,
    chunks: Chunks,
    /// The total number of rows.
    rows: u64,
}

impl ColumnReader {
    /// Opens `file` to read its column `field`.
    pub fn open(file: &InputFile, field: &str, stop: &Arc<AtomicBool>) -> Result<Self> {
        let path = file.path.clone();
        let handle = Chunks::open(file, stop)?;
        let chunks = handle.clone();
        let reader = guarded(|| SerializedFileReader::new(handle)).map_err(|e| {
            if let Some(failure) = chunks.failure() {
                return Error::io("cannot read", &path, failure.into());
            }
            let reason =
                format!("the Parquet footer cannot be read ({e}); the file is truncated or damaged: fetch it again");
            Error::data(&path, reason)
        })?;
        let metadata = reader.metadata();
        let leaf = find(metadata.file_metadata().schema_descr(), field).map_err(|reason| Error::data(&path, reason))?;
        let rows = metadata.row_groups().iter().map(|group| group.num_rows().max(0) as u64).sum();
        Ok(Self {
            path,
            bytes: file.bytes,
            leaf,
            next_group: 0,
            group: None,
            left: 0,
            ready: VecDeque::new(),
            row: 0,
            rows,
            chunks,
            file: reader,
        })
    }

    /// Returns the fraction of the file's bytes that corresponds to the rows returned so far.
    pub fn bytes_read(&self) -> u64 {
        if self.row == self.rows {
            return self.bytes;
        }
        (u128::from(self.bytes) * u128::from(self.row) / u128::from(self.rows)) as u64
    }

    /// Fills `block`, which must be empty. Returns `false` at the end.
    pub fn next_block(&mut self, block: &mut RawBlock) -> Result<bool> {
        block.kind = RawKind::Column;
        block.offset = 0;
        block.line = self.row;
        while block.data.len() < BLOCK_BYTES && block.ends.len() < BLOCK_ROWS {
            match self.ready.pop_front() {
                Some(Some(text)) => block.data.extend_from_slice(text.data()),
                Some(None) => block.nulls.push(block.ends.len()),
                None if self.read_batch()? => continue,
                None => break,
            }
            block.ends.push(block.data.len());
            self.row += 1;
        }
        Ok(!block.ends.is_empty())
    }

    /// Decodes the next rows. Returns `false` if there are none.
    fn read_batch(&mut self) -> Result<bool> {
        while self.left == 0 {
            if self.next_group == self.file.num_row_groups() {
                return Ok(false);
            }
            let column = guarded(|| -> parquet::errors::Result<_> {
                let group = self.file.get_row_group(self.next_group)?;
                Ok((group.metadata().num_rows(), group.get_column_reader(self.leaf)?))
            });
            let (rows, column) = column.map_err(|e| self.damaged(&e))?;
            let AnyReader::ByteArrayColumnReader(column) = column else {
                return Err(self.damaged("a column whose type changes"));
            };
            self.group = Some(column);
            self.left = usize::try_from(rows).unwrap_or(0);
            self.next_group += 1;
        }
        let Some(reader) = &mut self.group else { return Ok(false) };
        let (mut values, mut levels) = (Vec::new(), Vec::new());
        let wanted = self.left.min(BATCH);
        let read = guarded(|| reader.read_records(wanted, Some(&mut levels), None, &mut values));
        let (rows, ..) = read.map_err(|e| self.damaged(&e))?;
        if rows == 0 {
            return Err(self.damaged(&format!("{} rows of a group are missing", self.left)));
        }
        self.left -= rows.min(self.left);
        let full = self.file.metadata().file_metadata().schema_descr().column(self.leaf).max_def_level();
        if full == 0 {
            self.ready.extend(values.into_iter().map(Some));
        } else {
            let mut values = values.into_iter();
            self.ready.extend(levels.into_iter().map(|level| if level == full { values.next() } else { None }));
        }
        Ok(true)
    }

    fn damaged(&self, error: &str) -> Error {
        if let Some(failure) = self.chunks.failure() {
            return Error::io("cannot read", &self.path, failure.into());
        }
        let row = self.row + self.ready.len() as u64;
        Error::row(
            &self.path,
            row,
            format!("the Parquet data is damaged here or later ({error}); fetch the file again"),
        )
    }
}

/// Finds the leaf column that `field` names.
fn find(schema: &SchemaDescriptor, field: &str) -> Result<usize, String> {
    const ADVICE: &str = "pass text_field=NAME";
    let mut named: Vec<usize> =
        (0..schema.num_columns()).filter(|&i| schema.column(i).path().string() == field).collect();
    // A column with exactly this name takes precedence over a field in a struct.
    named.sort_by_key(|&i| schema.column(i).path().parts().len());
    let Some(&leaf) = named.first() else {
        let below =
            |it: &ColumnDescriptor| it.path().string().strip_prefix(field).is_some_and(|rest| rest.starts_with('.'));
        let mut columns: Vec<String> =
            schema.columns().iter().map(|it| format!("{:?} ({})", name_of(it), describe(it))).collect();
        columns.dedup();
        columns.truncate(50);
        let columns = columns.join(", ");
        // Columns below it are the items of a list or the fields of a struct.
        return Err(match schema.columns().iter().find(|it| below(it)) {
            Some(leaf) if leaf.max_rep_level() > 0 => {
                format!("the column {field:?} is a list, not text; {ADVICE} (columns: {columns})")
            }
            Some(_) => format!("the column {field:?} is a struct, not text; {ADVICE} (columns: {columns})"),
            None => format!("no column {field:?} (columns: {columns}); {ADVICE}"),
        });
    };
    let column = schema.column(leaf);
    if !is_text(&column) {
        return Err(format!("the column {field:?} is {}, not text; {ADVICE}", describe(&column)));
    }
    Ok(leaf)
}

/// Returns a column's name for messages. For a list, this is its own name, not that of its items.
fn name_of(column: &ColumnDescriptor) -> String {
    let name = column.path().string();
    let items = [".list.element", ".list.item", ".list.array", ".bag.array_element", ".array"];
    let list = items.iter().find_map(|items| name.strip_suffix(items)).filter(|_| column.max_rep_level() > 0);
    list.map_or(name.clone(), ToOwned::to_owned)
}

fn is_text(column: &ColumnDescriptor) -> bool {
    let is_string = matches!(
        (column.logical_type_ref(), column.converted_type()),
        (Some(LogicalType::String), _) | (None, ConvertedType::UTF8 | ConvertedType::NONE)
    );
    is_string && column.physical_type() == Type::BYTE_ARRAY && column.max_rep_level() == 0
}

/// Returns a column's type for messages.
fn describe(column: &ColumnDescriptor) -> String {
    let name = match (column.logical_type_ref(), column.converted_type()) {
        _ if column.max_rep_level() > 0 => return "a list".into(),
        (Some(LogicalType::String), _) | (None, ConvertedType::UTF8) => return "text".into(),
        (Some(logical), _) => {
            // Remove the parameters.
            let name = format!("{logical:?}");
            name.split('(').next().unwrap_or_default().to_owned()
        }
        (None, ConvertedType::NONE) => column.physical_type().to_string(),
        (None, converted) => converted.to_string(),
    };
    name.to_lowercase()
}

/// Calls `document` with the text of each row.
pub(super) fn parse(records: &Records<'_>, counts: &mut ReadCounts, mut document: impl FnMut(String)) -> Result<()> {
    let block = records.block;
    let mut nulls = block.nulls.iter().copied().peekable();
    let mut begin = 0;
    for (i, &end) in block.ends.iter().enumerate() {
        let bytes = &block.data[begin..end];
        begin = end;
        let row = block.line + i as u64;
        if nulls.next_if_eq(&i).is_some() {
            let field = &records.options.text_field;
            let reason = || format!("the column {field:?} is null; pass skip_bad=True to skip such rows");
            records.bad(counts, || Error::row(records.path, row, reason()))?;
            continue;
        }
        let text = decode(bytes, records.options.on_bad_utf8, counts).map_err(|at| {
            let value = bytes[at];
            let byte = at + 1;
            let advice = "fix the file, or pass on_bad_utf8='replace' to insert U+FFFD";
            Error::row(records.path, row, format!("byte {byte}: invalid UTF-8 (0x{value:02X}); {advice}"))
        })?;
        document(text.into_owned());
    }
    Ok(())
}
