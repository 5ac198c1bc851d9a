//! Where each record of a list of `TFRecord` files is, and reading any of them by its number.

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
use crate::{Error, Progress, Result};

/// Bytes of a frame besides its data.
const FRAME_BYTES: u64 = (HEADER_BYTES + FOOTER_BYTES) as u64;

/// Files of all indexes that stay open. Systems allow a process 1,024 (some only 256); those beyond are opened for a read.
const MAX_OPEN: usize = 200;

/// That of this process.
static BUDGET: Budget = Budget(AtomicUsize::new(MAX_OPEN));

/// The records of a list of files, numbered from 0 in the order of the files.
///
/// An index is built by reading each file once, or loaded from a folder of indexes. A file may be gzipped, which its
/// content tells; it is then decompressed once, into that folder or into a temporary file without a name, and read from
/// there. Records are read with positioned reads and never through a map: a file that somebody else cuts short is an error,
/// and threads and forked processes share the open files.
///
/// # The files in an index folder
///
/// For a record file `NAME`, `.NAME-HASH.index`, and where it is gzipped the decompressed `.NAME-HASH.records`: `HASH` is
/// the XXH3-64 of its absolute path, in hexadecimal, and `NAME` its first 200 bytes. The dot keeps them out of globs, so that
/// the folder may be that of the record files. An index, all numbers little-endian:
///
/// | bytes | what |
/// |---|---|
/// | 0..8 | `ALBINDEX` |
/// | 8..12 | version, u32: 1 |
/// | 12..16 | u32: 1 where the record file is gzipped, otherwise 0 |
/// | 16..24 | bytes of the record file, u64 |
/// | 24..32 | when it was last modified, in milliseconds since 1970, i64 |
/// | 32..40 | number of records *n*, u64 |
/// | 40..56 | XXH3-128, u128, of bytes 0..40 and those from 64 on |
/// | 56..64 | zero |
/// | from 64 | *n* + 1 of u64: where each record's frame begins in the (decompressed) file, and where the last one ends |
///
/// An index that is damaged, of another version, or of a file of another size or time is built again. A decompressed file is
/// known by its size alone, and made again where it is gone: its records are checked when they are read, as all are, and the
/// error names it.
#[derive(Debug)]
pub struct RecordIndex {
    files: Vec<IndexedFile>,
    /// Number of the first record of each file.
    first_records: Vec<u64>,
    records: u64,
    /// Decompressed files one after the other, where there is no index folder.
    spools: Vec<File>,
}

#[derive(Debug)]
struct IndexedFile {
    /// As given; errors name it.
    path: PathBuf,
    /// The decompressed file in the index folder, where that is what is read.
    copy: Option<PathBuf>,
    data: Data,
    offsets: Offsets,
}

/// How many more files may stay open.
#[derive(Debug)]
struct Budget(AtomicUsize);

impl Budget {
    /// `file`, to stay open; or it is closed.
    fn keep(&'static self, file: File) -> Option<Kept> {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).ok()?;
        Some(Kept { file, budget: self })
    }
}

/// A file that stays open, and counts as that.
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

/// Where a file's records are read from.
#[derive(Debug)]
enum Data {
    /// From a file that stays open.
    Open(Kept),
    /// From a file, by its absolute path, that is opened for a read, and must then be the one that was indexed.
    Closed(PathBuf, Stamp),
    /// From a spool: its number, and the byte there that is the file's first.
    Spooled(usize, u64),
}

/// What tells that a file was changed.
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

/// Where the frames begin, and where the last one ends.
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

    /// Bytes of all frames.
    fn end(&self) -> u64 {
        self.get(self.records())
    }
}

/// What a thread keeps from one record of an index to the next: never use it with another index.
#[derive(Debug, Default)]
pub struct ReadBuffer {
    frame: Vec<u8>,
    /// The last of the files that do not stay open, and its number.
    last: Option<(usize, File)>,
}

impl RecordIndex {
    /// Indexes `paths`, on `threads` threads (0: as many as there are processors). With `folder`, which is created where
    /// it is missing, indexes are loaded from there, and those that are missing, damaged or out of date written to it.
    ///
    /// # Errors
    /// [`Error::Record`] where a file is no `TFRecord` file, is damaged or ends within a record; [`Error::Io`], also where
    /// `folder` cannot be written to or there is no room to decompress; [`Error::Data`] for what is no regular file;
    /// [`Error::Input`] where there is not one record; [`Error::Interrupted`].
    pub fn open(paths: &[PathBuf], folder: Option<&Path>, threads: usize, progress: &mut dyn Progress) -> Result<Self> {
        Self::open_within(paths, folder, threads, progress, &BUDGET)
    }

    fn open_within(
        paths: &[PathBuf],
        folder: Option<&Path>,
        threads: usize,
        progress: &mut dyn Progress,
        budget: &'static Budget,
    ) -> Result<Self> {
        let (files, spools) = build::files(paths, folder, threads, progress, budget)?;
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
            let what = match paths {
                [] => "no record files".to_owned(),
                [path] => format!("there is no record in {}", path.display()),
                [path, rest @ ..] => format!("there is no record in {} and {} more files", path.display(), rest.len()),
            };
            return Err(Error::Input(what));
        }
        Ok(Self { files, first_records, records, spools })
    }

    /// Records of all files, at least 1.
    pub fn len(&self) -> u64 {
        self.records
    }

    /// Whether there are none: never.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// The numbers of the first records of those files that have any.
    pub fn first_records(&self) -> impl Iterator<Item = u64> {
        let with_records = self.files.iter().zip(&self.first_records).filter(|(file, _)| file.offsets.records() > 0);
        with_records.map(|(_, &first)| first)
    }

    /// Record `number`; in what comes back, `index` and `offset` are those within its file.
    ///
    /// # Errors
    /// [`Error::Record`] where it is damaged, or is no longer where it was indexed; [`Error::Io`]; [`Error::Data`].
    ///
    /// # Panics
    /// Where `number` is not below [`RecordIndex::len`].
    pub fn read<'b>(&self, number: u64, buffer: &'b mut ReadBuffer) -> Result<Record<'b>> {
        let (number, index) = self.locate(number);
        let file = &self.files[number];
        let (start, end) = (file.offsets.get(index), file.offsets.get(index + 1));
        let damage = |reason: String| file.damage(index, file.blame_copy(reason));

        let bytes = (end - start) as usize;
        let ReadBuffer { frame, last } = buffer;
        // Grown, never shrunk: what is read over need not be cleared.
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

    /// The error that says of record `number` what is wrong with it.
    pub fn error(&self, number: u64, reason: String) -> Error {
        let (file, index) = self.locate(number);
        self.files[file].damage(index, reason)
    }

    /// The number of the file that record `number` is in, and of the record there.
    fn locate(&self, number: u64) -> (usize, usize) {
        assert!(number < self.records, "record {number} of {}", self.records);
        // Files without records have the number of the next file's first record, and are passed over.
        let file = self.first_records.partition_point(|&first| first <= number) - 1;
        (file, (number - self.first_records[file]) as usize)
    }
}

impl IndexedFile {
    fn damage(&self, index: usize, reason: String) -> Error {
        Error::Record { path: self.path.clone(), record: index as u64, offset: self.offsets.get(index), reason }
    }
    /// What is read, by the name that it was given.
    fn read_path(&self) -> &Path {
        self.copy.as_deref().unwrap_or(&self.path)
    }

    /// `reason`, found in what was read: a decompressed copy rather than the file itself can be damaged.
    fn blame_copy(&self, reason: String) -> String {
        match &self.copy {
            None => reason,
            Some(copy) => format!(
                "{reason}; it was read from the decompressed copy {}: delete it, it is made again (where that does not help, \
                 the file itself is damaged)",
                copy.display()
            ),
        }
    }

    /// This file, the index's `number`th, at `path`: opened, unless it is the last one that was.
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
                    let reason = format!("it was changed after it was indexed ({was} bytes then, {now} now)");
                    return Err(Error::data(&self.path, self.blame_copy(reason)));
                }
                file
            }
        };
        Ok(&last.insert((number, file)).1)
    }
}
