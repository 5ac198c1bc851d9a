//! Reads the texts of one column from Arrow IPC streams, as Hugging Face's `save_to_disk` writes them, and from IPC
//! files.
//!
//! A file is read as the stream that it contains, so both kinds may be compressed or come through a pipe. Messages are
//! read one by one, after a check of the lengths they claim. At most one record batch is in memory.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_buffer::{Buffer, NullBuffer};
use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::reader::{read_dictionary, read_record_batch};
use arrow_ipc::{MessageHeader, root_as_message};
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema, SchemaRef};
use memchr::memmem;

use super::raw::BLOCK_BYTES;
use super::raw::{RawBlock, RawKind};
use super::window::Window;
use crate::files::guard::guarded;
use crate::{Error, Result};

/// The maximum size of a record batch in bytes, compressed or not: 1 GiB.
const MAX_BATCH: usize = 1 << 30;
/// The maximum size of a message's metadata in bytes: 64 MiB, enough for a schema with very many columns.
const MAX_METADATA: usize = 64 << 20;
/// The maximum number of rows in a block, whatever their length.
const BLOCK_ROWS: usize = 64 << 10;
/// The first message of a file begins within this many bytes.
const MAX_ALIGNMENT: u64 = 1024;
/// The beginning of a file, before its stream.
pub(super) const FILE_MAGIC: &[u8] = b"ARROW1\0\0";

/// The end of a file.
const FILE_END: &[u8] = b"ARROW1";

const FETCH: &str = "the file is truncated or damaged: fetch it again, or write it again";

/// Reads one column of a file.
pub(super) struct ColumnReader {
    path: PathBuf,
    window: Window,
    schema: SchemaRef,
    /// A schema of only this column, for looking up its dictionaries.
    column: Schema,
    /// The index of the column, followed by the indices of nested fields that lead to the text.
    indices: Vec<usize>,
    dictionaries: HashMap<i64, ArrayRef>,
    batch: Option<Texts>,
    /// Whether this is a file, in which a footer follows the stream.
    is_file: bool,
    field: String,
    /// Whether the end of the last stream was read.
    ended: bool,
    /// The number of rows returned so far.
    row: u64,
}

/// The texts of a record batch, and the position of the next row.
struct Texts {
    array: ArrayRef,
    /// The validity of the enclosing structs.
    outer: Vec<NullBuffer>,
    /// For a dictionary, the index of each row's value.
    keys: Option<Vec<usize>>,
    at: usize,
}

/// The content of the first message of a stream.
struct Start {
    schema: SchemaRef,
    column: Schema,
    indices: Vec<usize>,
}

impl Start {
    /// Reads the message and finds the column `field`.
    fn read(window: &mut Window, field: &str) -> Result<Self> {
        let message = read_message(window, false)?;
        let message = message.ok_or_else(|| Error::data(&window.file.path, format!("no Arrow schema; {FETCH}")))?;
        Self::of(&message, &window.file.path, field)
    }

    /// As [`Start::read`], for a message that was already read.
    fn of(message: &Message, path: &Path, field: &str) -> Result<Self> {
        let schema = guarded(|| -> Result<_, ArrowError> {
            let message = root_as_message(&message.metadata).map_err(|e| ArrowError::ParseError(e.to_string()))?;
            let schema = message.header_as_schema();
            try_fb_to_schema(schema.ok_or_else(|| ArrowError::ParseError("no schema".into()))?)
        });
        let schema =
            schema.map_err(|e| Error::data(path, format!("the Arrow schema cannot be read ({e}); {FETCH}")))?;
        let indices = find(schema.fields(), field).map_err(|reason| Error::data(path, reason))?;
        let mut fields: Vec<Arc<Field>> = schema.fields().iter().cloned().collect();
        fields[indices[0]] = Arc::new(with_bytes(&fields[indices[0]]));
        let column = Schema::new(vec![Arc::clone(&fields[indices[0]])]);
        Ok(Self { schema: Arc::new(Schema::new(fields)), column, indices })
    }
}

struct Message {
    metadata: Vec<u8>,
    body: Vec<u8>,
}

impl Message {
    /// Whether this message begins a stream.
    fn is_schema(&self) -> bool {
        let kind = guarded(|| root_as_message(&self.metadata).map(|message| message.header_type()));
        kind.is_ok_and(|kind| kind == MessageHeader::Schema)
    }
}

impl ColumnReader {
    /// Opens the data ahead in `window`, for its column `field`. A file begins with [`FILE_MAGIC`], a stream does not.
    pub fn open(mut window: Window, is_file: bool, field: &str) -> Result<Self> {
        let path = window.file.path.clone();
        if is_file {
            begin_file(&mut window)?;
        }
        let Start { schema, column, indices } = Start::read(&mut window, field)?;
        Ok(Self {
            path,
            window,
            schema,
            column,
            indices,
            dictionaries: HashMap::new(),
            batch: None,
            is_file,
            field: field.to_owned(),
            ended: false,
            row: 0,
        })
    }

    /// Fills `block`, which must be empty. Returns `false` at the end.
    pub fn next_block(&mut self, block: &mut RawBlock) -> Result<bool> {
        block.kind = RawKind::Column;
        block.offset = 0;
        block.line = self.row;
        while block.data.len() < BLOCK_BYTES && block.ends.len() < BLOCK_ROWS {
            let Some(batch) = &mut self.batch else {
                if self.read_batch()? {
                    continue;
                }
                break;
            };
            match batch.next() {
                None => {
                    self.batch = None;
                    continue;
                }
                Some(Some(text)) => block.data.extend_from_slice(text),
                Some(None) => block.nulls.push(block.ends.len()),
            }
            block.ends.push(block.data.len());
            self.row += 1;
        }
        Ok(!block.ends.is_empty())
    }

    /// Decodes the next record batch. Returns `false` if there is none.
    fn read_batch(&mut self) -> Result<bool> {
        while !self.ended {
            // The end of the data may also end a stream.
            let Some(message) = read_message(&mut self.window, !self.is_file)? else {
                self.ended = !self.next_stream()?;
                continue;
            };
            if message.is_schema() {
                // The previous stream had no end marker.
                let start = Start::of(&message, &self.path, &self.field)?;
                self.begin(start);
                continue;
            }
            let read = guarded(|| self.decode(message));
            let texts = read
                .map_err(|e| Error::row(&self.path, self.row, format!("the Arrow data is damaged ({e}); {FETCH}")))?;
            if texts.is_some() {
                self.batch = texts;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Begins the stream or file that follows another one in the same input, as `cat` produces. Returns `false` if none
    /// follows.
    fn next_stream(&mut self) -> Result<bool> {
        if self.is_file {
            self.skip_footer()?;
        }
        loop {
            let ahead = self.window.peek(BLOCK_BYTES)?;
            // Some writers pad the end of their data.
            let zeros = ahead.iter().take_while(|&&byte| byte == 0).count();
            if zeros == 0 {
                break;
            }
            self.window.read(zeros)?;
        }
        let ahead = self.window.peek(FILE_MAGIC.len())?;
        if ahead.is_empty() {
            return Ok(false);
        }
        self.is_file = ahead == FILE_MAGIC;
        if self.is_file {
            begin_file(&mut self.window)?;
        } else if !ahead.starts_with(&[0xFF; 4]) {
            return Err(self.unexpected_data());
        }
        let start = Start::read(&mut self.window, &self.field)?;
        self.begin(start);
        Ok(true)
    }

    fn begin(&mut self, Start { schema, column, indices }: Start) {
        (self.schema, self.column, self.indices) = (schema, column, indices);
        self.dictionaries.clear();
    }

    fn unexpected_data(&self) -> Error {
        let reason = "only another Arrow stream or file may follow the end of one, got other data; remove that data, or \
                      fetch the file again";
        Error::byte(&self.path, self.window.offset, reason)
    }

    /// Skips what follows the stream in a file: the footer, its length, and [`FILE_END`]. Also skips the rest of a
    /// truncated footer.
    fn skip_footer(&mut self) -> Result<()> {
        let mut length = BLOCK_BYTES;
        loop {
            let ahead = self.window.peek(length)?;
            let is_end = |at: &usize| {
                let size = at.checked_sub(4).and_then(|begin| ahead[begin..*at].first_chunk::<4>());
                // The footer may be padded for alignment.
                size.is_some_and(|size| (at - 4).wrapping_sub(u32::from_le_bytes(*size) as usize) < 64)
            };
            let found = memmem::find_iter(ahead, FILE_END).find(is_end);
            let begins_another = memmem::find(ahead, &[FILE_MAGIC, &[0xFF; 4]].concat()).is_some();
            let count = match found {
                Some(at) => at + FILE_END.len(),
                None if ahead.len() < length && !begins_another => ahead.len(),
                None if ahead.len() < length || length > MAX_METADATA => return Err(self.unexpected_data()),
                None => {
                    length *= 2;
                    continue;
                }
            };
            self.window.read(count)?;
            return Ok(());
        }
    }

    /// Decodes a message. Returns the texts of a record batch; stores a dictionary.
    fn decode(&mut self, message: Message) -> Result<Option<Texts>, ArrowError> {
        let Message { metadata, body } = message;
        let message = root_as_message(&metadata).map_err(|e| ArrowError::ParseError(e.to_string()))?;
        let version = message.version();
        match message.header_type() {
            MessageHeader::DictionaryBatch => {
                let Some(dictionary) = message.header_as_dictionary_batch() else { return Ok(None) };
                #[expect(deprecated, reason = "there is no other way to find the field of a dictionary")]
                let is_ours = !self.column.fields_with_dict_id(dictionary.id()).is_empty();
                if is_ours {
                    if let Some(batch) = dictionary.data() {
                        check_lengths(&batch, &body)?;
                    }
                    read_dictionary(
                        &Buffer::from_vec(body),
                        dictionary,
                        &self.column,
                        &mut self.dictionaries,
                        &version,
                    )?;
                }
                Ok(None)
            }
            MessageHeader::RecordBatch => {
                let Some(batch) = message.header_as_record_batch() else { return Ok(None) };
                check_lengths(&batch, &body)?;
                let (schema, only) = (Arc::clone(&self.schema), [self.indices[0]]);
                let body = Buffer::from_vec(body);
                let batch = read_record_batch(&body, batch, schema, &self.dictionaries, Some(&only), &version)?;
                Texts::new(batch.column(0), &self.indices[1..]).map(Some)
            }
            _ => Ok(None),
        }
    }
}

impl Texts {
    fn new(column: &ArrayRef, indices: &[usize]) -> Result<Self, ArrowError> {
        let (mut array, mut outer) = (Arc::clone(column), Vec::new());
        for &index in indices {
            let fields = array.as_struct_opt().ok_or_else(|| ArrowError::SchemaError("no struct".into()))?;
            outer.extend(fields.nulls().cloned());
            let inner = Arc::clone(fields.column(index));
            array = inner;
        }
        let mut keys = None;
        if let Some(dictionary) = array.as_any_dictionary_opt() {
            outer.extend(dictionary.nulls().cloned());
            let values = Arc::clone(dictionary.values());
            // Without values, every row is null.
            keys = Some(if values.is_empty() { vec![0; array.len()] } else { dictionary.normalized_keys() });
            array = values;
        }
        Ok(Self { array, outer, keys, at: 0 })
    }

    /// Returns the bytes of the next row, or `Some(None)` if it is null.
    #[expect(clippy::option_option, reason = "the end, a null, a text")]
    fn next(&mut self) -> Option<Option<&[u8]>> {
        let row = self.at;
        if row == self.keys.as_ref().map_or(self.array.len(), Vec::len) {
            return None;
        }
        self.at += 1;
        let index = self.keys.as_ref().map_or(row, |keys| keys[row]);
        if self.outer.iter().any(|it| it.is_null(row)) || index >= self.array.len() || self.array.is_null(index) {
            return Some(None);
        }
        Some(match self.array.data_type() {
            DataType::LargeBinary => Some(self.array.as_binary::<i64>().value(index)),
            DataType::BinaryView => Some(self.array.as_binary_view().value(index)),
            _ => self.array.as_binary_opt::<i32>().map(|it| it.value(index)),
        })
    }
}

/// Skips what precedes the stream in a file.
fn begin_file(window: &mut Window) -> Result<()> {
    let begin = window.offset;
    window.read(FILE_MAGIC.len())?;
    // Some writers align the first message to more than 8 bytes.
    while window.offset < begin + MAX_ALIGNMENT && window.peek(8)? == [0; 8] {
        window.read(8)?;
    }
    Ok(())
}

/// Reads the next message. Returns `None` at the end of the stream. The end of the data is also one if `may_end` is
/// set.
fn read_message(window: &mut Window, may_end: bool) -> Result<Option<Message>> {
    let path = window.file.path.clone();
    let truncated = |offset: u64| Error::byte(&path, offset, format!("the Arrow data is truncated here; {FETCH}"));
    let at = window.offset;
    let mut length = window.read(4)?;
    if length.is_empty() && may_end {
        return Ok(None);
    }
    if length == [0xFF; 4] {
        // Before version 0.15, there was only the length.
        length = window.read(4)?;
    }
    let Ok(length) = <[u8; 4]>::try_from(length.as_slice()) else { return Err(truncated(window.offset)) };
    let length = u32::from_le_bytes(length) as usize;
    if length == 0 {
        return Ok(None);
    }
    let damaged = |what: &str| Error::byte(&path, at, format!("the Arrow data is damaged here ({what}); {FETCH}"));
    if length > MAX_METADATA {
        return Err(damaged("a message of impossible length"));
    }
    let metadata = window.read(length)?;
    if metadata.len() < length {
        return Err(truncated(window.offset));
    }
    let wanted = guarded(|| -> Result<_, ArrowError> {
        let message = root_as_message(&metadata).map_err(|e| ArrowError::ParseError(e.to_string()))?;
        usize::try_from(message.bodyLength()).map_err(|e| ArrowError::ParseError(e.to_string()))
    });
    let wanted = wanted.map_err(|e| damaged(&e))?;
    if wanted > MAX_BATCH {
        return Err(too_long(&path, at, wanted));
    }
    let body = window.read(wanted)?;
    if body.len() < wanted {
        return Err(truncated(window.offset));
    }
    Ok(Some(Message { metadata, body }))
}

fn too_long(path: &std::path::Path, at: u64, bytes: usize) -> Error {
    let reason = format!(
        "a record batch must be no longer than {MAX_BATCH} bytes, got {bytes}; write the data in smaller batches, or as \
         Parquet (datasets: load_from_disk(DIRECTORY).to_parquet(FILE))"
    );
    Error::byte(path, at, reason)
}

/// Refuses buffers that claim to be larger than allowed after decompression.
fn check_lengths(batch: &arrow_ipc::RecordBatch<'_>, body: &[u8]) -> Result<(), ArrowError> {
    if batch.compression().is_none() {
        return Ok(());
    }
    let mut total = 0_usize;
    for buffer in batch.buffers().into_iter().flatten() {
        let at = usize::try_from(buffer.offset()).unwrap_or(usize::MAX);
        let prefix = body.get(at..).and_then(|it| it.first_chunk::<8>());
        if let Some(prefix) = prefix
            && buffer.length() > 0
        {
            // -1 means that the buffer is not compressed.
            total = total.saturating_add(usize::try_from(i64::from_le_bytes(*prefix)).unwrap_or(0));
        }
    }
    if total > MAX_BATCH {
        return Err(ArrowError::IpcError(format!(
            "a record batch must be no longer than {MAX_BATCH} bytes, got {total}"
        )));
    }
    Ok(())
}

/// Replaces text types by binary types of the same layout. UTF-8 is checked later, row by row.
fn with_bytes(field: &Field) -> Field {
    let changed = |it: &Fields| it.iter().map(|it| with_bytes(it)).collect::<Fields>();
    let kind = match field.data_type() {
        DataType::Utf8 => DataType::Binary,
        DataType::LargeUtf8 => DataType::LargeBinary,
        DataType::Utf8View => DataType::BinaryView,
        DataType::Struct(fields) => DataType::Struct(changed(fields)),
        DataType::Dictionary(keys, values) => {
            let values = with_bytes(&Field::new("", values.as_ref().clone(), true));
            DataType::Dictionary(keys.clone(), Box::new(values.data_type().clone()))
        }
        other => other.clone(),
    };
    field.clone().with_data_type(kind)
}

/// Finds the field `name`. Dots separate it from enclosing structs, but a field with exactly this name takes
/// precedence.
fn find(fields: &Fields, name: &str) -> Result<Vec<usize>, String> {
    const ADVICE: &str = "pass text_field=NAME";
    let Some((indices, kind)) = find_nested(fields, name) else {
        let mut columns = Vec::new();
        list(fields, "", &mut columns);
        columns.truncate(50);
        return Err(format!("no column {name:?} (columns: {}); {ADVICE}", columns.join(", ")));
    };
    if !is_text(kind) {
        return Err(format!("the column {name:?} is {}, not text; {ADVICE}", describe(kind)));
    }
    Ok(indices)
}

fn find_nested<'f>(fields: &'f Fields, name: &str) -> Option<(Vec<usize>, &'f DataType)> {
    if let Some((index, field)) = fields.find(name) {
        return Some((vec![index], field.data_type()));
    }
    fields.iter().enumerate().find_map(|(index, field)| {
        let rest = name.strip_prefix(field.name().as_str())?.strip_prefix('.')?;
        let (below, kind) = match field.data_type() {
            DataType::Struct(inner) => find_nested(inner, rest)?,
            // The items of a list are not the text of a row.
            kind if is_list(kind) => (Vec::new(), kind),
            _ => return None,
        };
        Some(([vec![index], below].concat(), kind))
    })
}

fn list(fields: &Fields, before: &str, names: &mut Vec<String>) {
    for field in fields {
        let name = format!("{before}{}", field.name());
        match field.data_type() {
            DataType::Struct(inner) => list(inner, &format!("{name}."), names),
            kind => names.push(format!("{name:?} ({})", describe(kind))),
        }
    }
}

fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Dictionary(_, values) => is_text(values) && !matches!(values.as_ref(), DataType::Dictionary(..)),
        _ => kind.is_string() || matches!(kind, DataType::Binary | DataType::LargeBinary | DataType::BinaryView),
    }
}

fn is_list(kind: &DataType) -> bool {
    kind.is_list() || matches!(kind, DataType::Map(..))
}

/// Returns a column's type for messages.
fn describe(kind: &DataType) -> String {
    match kind {
        _ if is_text(kind) => "text".into(),
        _ if is_list(kind) => "a list".into(),
        DataType::Struct(_) => "a struct".into(),
        DataType::Null => "always null".into(),
        _ => kind.to_string().to_lowercase(),
    }
}
