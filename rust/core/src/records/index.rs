//! Finds each record in a list of `TFRecord` files, and reads any of them by its number.

mod build;
mod parallel;
mod stored;
mod walk;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use stored::StoredOffsets;

use super::tfrecord::{FOOTER_BYTES, HEADER_BYTES, Record, data_length, masked_crc};
use crate::error::counted;
use crate::{Error, Progress, Result};

/// Bytes of a frame in addition to its data.
const FRAME_BYTES: u64 = (HEADER_BYTES + FOOTER_BYTES) as u64;

/// Number of files that stay open, for all indexes together. Systems allow a process 1,024 (some only 256). Any other
/// file is opened for each read.
const MAX_OPEN: usize = 200;

/// The budget of this process.
static BUDGET: Budget = Budget(AtomicUsize::new(MAX_OPEN));

/// The records of a list of files, numbered from 0 in the order of the files.
///
/// An index is built by reading each file once, or loaded from an index directory. A file may be gzipped, which is
/// detected by its content. It is then decompressed once, into the index directory or into an unnamed temporary file,
/// and read from there. Records are read with positioned reads and never through a memory map. So a file that another
/// process truncates is an error, and threads and forked processes share the open files.
///
/// # The files in an index directory
///
/// A record file `NAME` has `.NAME-HASH.index` and, if it is gzipped, the decompressed `.NAME-HASH.records`. `HASH` is
/// the XXH3-64 of its absolute path, in hexadecimal, and `NAME` is truncated to 200 bytes. The dot keeps these files
/// out of globs, so the directory may be that of the record files. The layout of an index, with all numbers
/// little-endian:
///
/// | bytes | what |
/// |---|---|
/// | 0..8 | `ALBINDEX` |
/// | 8..12 | version, u32: 1 |
/// | 12..16 | u32: 1 if the record file is gzipped, otherwise 0 |
/// | 16..24 | bytes of the record file, u64 |
/// | 24..32 | time of the last change to it, in milliseconds since 1970, i64 |
/// | 32..40 | number of records *n*, u64 |
/// | 40..56 | XXH3-128, u128, of bytes 0..40 and those from 64 on |
/// | 56..64 | zero |
/// | from 64 | *n* + 1 of u64: where each record's frame begins in the (decompressed) file, and where the last one ends |
///
/// An index is built again if it is damaged, has another version, or is for a file of another size or time. A
/// decompressed file is identified only by its size, and is made again if it is missing. Its records are checked when
/// they are read, as all records are, and the error names the decompressed file.
#[derive(Debug)]
pub struct RecordIndex {
    files: Vec<IndexedFile>,
    /// The number of the first record of each file.
    first_records: Vec<u64>,
    records: u64,
    /// Decompressed files, one after the other, if there is no index directory.
    spools: Vec<File>,
}

#[derive(Debug)]
struct IndexedFile {
    /// The path as given, for error messages.
    path: PathBuf,
    /// The decompressed file in the index directory, if that is the file to read.
    copy: Option<PathBuf>,
    data: Data,
    offsets: Offsets,
}

/// The number of files that may still be opened to stay open.
#[derive(Debug)]
struct Budget(AtomicUsize);

impl Budget {
    /// Keeps `file` open, or closes it if the budget is used up.
    fn keep(&'static self, file: File) -> Option<Kept> {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).ok()?;
        Some(Kept { file, budget: self })
    }
}

/// A file that stays open and counts toward the budget.
#[derive(Debug)]
struct Kept {
    file: File,
    budget: &'static Budget,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.budget.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The place that a file's records are read from.
#[derive(Debug)]
enum Data {
    /// A file that stays open.
    Open(Kept),
    /// A file, by its absolute path, that is opened for each read. It must then still be the file that was indexed.
    Closed(PathBuf, Stamp),
    /// A spool: its number, and the position in it of the file's first byte.
    Spooled(usize, u64),
}

/// Size and time of a file, which tell whether it was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    mtime_ms: i64,
}

impl Stamp {
    fn of(file: &File) -> std::io::Result<Self> {
        Self::from_metadata(&file.metadata()?)
    }

    fn from_metadata(metadata: &std::fs::Metadata) -> std::io::Result<Self> {
        let mtime_ms = match metadata.modified()?.duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => after.as_millis() as i64,
            Err(before) => -(before.duration().as_millis() as i64),
        };
        Ok(Self { bytes: metadata.len(), mtime_ms })
    }
}

/// The start of each frame, and the end of the last one.
#[derive(Debug)]
enum Offsets {
    Memory(Vec<u64>),
    Stored(StoredOffsets),
}

impl Offsets {
    fn get(&self, index: usize) -> u64 {
        match self {
            Self::Memory(offsets) => offsets[index],
            Self::Stored(offsets) => offsets.get(index),
        }
    }

    fn records(&self) -> usize {
        match self {
            Self::Memory(offsets) => offsets.len() - 1,
            Self::Stored(offsets) => offsets.records(),
        }
    }

    /// The number of bytes in all frames.
    fn end(&self) -> u64 {
        self.get(self.records())
    }
}

/// What a thread keeps between reads. Never use it with another index.
#[derive(Debug, Default)]
pub struct ReadBuffer {
    frame: Vec<u8>,
    /// The number and the handle of the file that was last opened for a read.
    last: Option<(usize, File)>,
}

impl RecordIndex {
    /// Indexes `paths` on `threads` threads (0: as many as there are CPUs).
    ///
    /// With `directory`, which is created if it is missing, indexes are loaded from that directory. Indexes that are
    /// missing, damaged or out of date are written to it.
    ///
    /// # Errors
    /// [`Error::Record`] if a file is not a `TFRecord` file, is damaged or ends within a record; [`Error::Io`], also if
    /// `directory` cannot be written to or there is no room to decompress; [`Error::Data`] if a path is not a regular
    /// file; [`Error::Input`] if there is not one record; [`Error::Interrupted`].
    pub fn open(
        paths: &[PathBuf],
        directory: Option<&Path>,
        threads: usize,
        progress: &mut dyn Progress,
    ) -> Result<Self> {
        Self::open_within(paths, directory, threads, progress, &BUDGET)
    }

    fn open_within(
        paths: &[PathBuf],
        directory: Option<&Path>,
        threads: usize,
        progress: &mut dyn Progress,
        budget: &'static Budget,
    ) -> Result<Self> {
        let (files, spools) = build::files(paths, directory, threads, progress, budget)?;
        let mut records = 0;
        let first_records = files
            .iter()
            .map(|file| {
                let first = records;
                records += file.offsets.records() as u64;
                first
            })
            .collect();
        if records == 0 {
            return Err(match paths {
                [] => Error::input("no record files"),
                [path] => Error::input_at(path, "no records"),
                [path, rest @ ..] => {
                    Error::input_at(path, format!("no records, nor in {}", counted(rest.len(), "more file")))
                }
            });
        }
        Ok(Self { files, first_records, records, spools })
    }

    /// The number of records in all files, at least 1.
    pub fn len(&self) -> u64 {
        self.records
    }

    /// Whether there are no records: always false.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// The number of the first record of each file that has any.
    pub fn first_records(&self) -> impl Iterator<Item = u64> {
        let with_records = self.files.iter().zip(&self.first_records).filter(|(file, _)| file.offsets.records() > 0);
        with_records.map(|(_, &first)| first)
    }

    /// Reads record `number`. In the result, `index` and `offset` are relative to its file.
    ///
    /// # Errors
    /// [`Error::Record`] if the record is damaged, or is no longer at the place that was indexed; [`Error::Io`];
    /// [`Error::Data`].
    ///
    /// # Panics
    /// If `number` is not below [`RecordIndex::len`].
    pub fn read<'b>(&self, number: u64, buffer: &'b mut ReadBuffer) -> Result<Record<'b>> {
        let (number, index) = self.locate(number);
        let file = &self.files[number];
        let (start, end) = (file.offsets.get(index), file.offsets.get(index + 1));
        let damage = |reason: String| file.damage(index, file.blame_copy(reason));

        let bytes = (end - start) as usize;
        let ReadBuffer { frame, last } = buffer;
        // The buffer only grows, because bytes that a read overwrites need not be cleared.
        if frame.len() < bytes {
            frame.resize(bytes, 0);
        }
        let frame = &mut frame[..bytes];
        let (data, base) = match &file.data {
            Data::Open(kept) => (&kept.file, 0),
            Data::Closed(path, stamp) => (file.reopen(number, path, stamp, last)?, 0),
            Data::Spooled(spool, base) => (&self.spools[*spool], *base),
        };
        data.read_exact_at(frame, base + start).map_err(|source| match source.kind() {
            ErrorKind::UnexpectedEof => {
                let was = file.offsets.end();
                damage(format!("the file now ends within this record; it had {was} bytes when it was indexed"))
            }
            _ => Error::io("cannot read", file.read_path(), source),
        })?;

        let frame = &*frame;
        let Some((header, rest)) = frame.split_first_chunk::<HEADER_BYTES>() else {
            return Err(damage("its index is damaged".into()));
        };
        let length = data_length(header, index as u64).map_err(damage)?;
        let Some((data, crc)) = rest.split_last_chunk::<FOOTER_BYTES>().filter(|(data, _)| data.len() as u64 == length)
        else {
            let was = end - start - FRAME_BYTES;
            return Err(damage(format!("a length of {length} bytes; it was {was} when the file was indexed")));
        };
        if *crc != masked_crc(data).to_le_bytes() {
            return Err(damage(format!("the data ({length} bytes) fails its CRC")));
        }
        Ok(Record { index: index as u64, offset: start, data })
    }

    /// Returns an error that says `reason` about record `number`.
    pub fn error(&self, number: u64, reason: String) -> Error {
        let (file, index) = self.locate(number);
        self.files[file].damage(index, reason)
    }

    /// Returns the number of the file that holds record `number`, and the record's number in that file.
    fn locate(&self, number: u64) -> (usize, usize) {
        assert!(number < self.records, "record {number} of {}", self.records);
        // A file without records has the same number as the first record of the next file, and is skipped.
        let file = self.first_records.partition_point(|&first| first <= number) - 1;
        (file, (number - self.first_records[file]) as usize)
    }
}

impl IndexedFile {
    fn damage(&self, index: usize, reason: String) -> Error {
        Error::Record { path: self.path.clone(), record: index as u64, offset: self.offsets.get(index), reason }
    }
    /// The path of the file that is read: the decompressed copy, if there is one.
    fn read_path(&self) -> &Path {
        self.copy.as_deref().unwrap_or(&self.path)
    }

    /// If a decompressed copy was read, adds to `reason` which copy it is and what to do.
    fn blame_copy(&self, reason: String) -> String {
        match &self.copy {
            None => reason,
            Some(copy) => format!(
                "{reason}; this was read from the decompressed copy {}: delete the copy, and it will be made again (if that \
                 does not help, the file itself is damaged)",
                copy.display()
            ),
        }
    }

    /// Returns the file at `path`, which is number `number` of the index. Opens it unless it is the one opened last.
    fn reopen<'l>(
        &self,
        number: usize,
        path: &Path,
        stamp: &Stamp,
        last: &'l mut Option<(usize, File)>,
    ) -> Result<&'l File> {
        let file = match last.take() {
            Some((open, file)) if open == number => file,
            _ => {
                let cannot_read = |source| Error::io("cannot read", self.read_path(), source);
                let file = File::open(path).map_err(cannot_read)?;
                let now = Stamp::of(&file).map_err(cannot_read)?;
                if now != *stamp {
                    let (now, was) = (now.bytes, stamp.bytes);
                    let reason = format!("the file changed after it was indexed ({was} bytes then, {now} now)");
                    return Err(Error::data(&self.path, self.blame_copy(reason)));
                }
                file
            }
        };
        Ok(&last.insert((number, file)).1)
    }
}
