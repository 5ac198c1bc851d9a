//! The file of a part, for reads at any place.

use std::fs::File;
use std::io::{Error as IoError, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Error, Result};

/// The number of parts whose files stay open. Many systems allow a process 1024 or even only 256 open files.
pub(super) const KEPT_OPEN: usize = if cfg!(test) { 2 } else { 200 };

static NEXT_STORE: AtomicU64 = AtomicU64::new(1);

/// Returns a number that no other store of this process has.
pub(super) fn store_number() -> u64 {
    NEXT_STORE.fetch_add(1, Ordering::Relaxed)
}

/// The file of a part: open, or how to recognize it when it is opened again.
#[derive(Debug)]
pub(super) enum PartFile {
    Open(File),
    Closed(Stamp),
}

/// Tells a file from another one of the same name: device, inode, and seconds and nanoseconds of its last change.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stamp([u64; 2], [i64; 2]);

impl Stamp {
    fn of(file: &File) -> std::io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self([metadata.dev(), metadata.ino()], [metadata.mtime(), metadata.mtime_nsec()]))
    }
}

impl PartFile {
    /// Keeps the file of part number `index`, open or closed.
    pub fn keep(file: File, index: usize) -> std::io::Result<Self> {
        Ok(if index < KEPT_OPEN { Self::Open(file) } else { Self::Closed(Stamp::of(&file)?) })
    }

    /// Reads `buffer` at byte `offset` of the part at `path`. `key` is the numbers of the store and the part.
    pub fn read<T: bytemuck::NoUninit + bytemuck::AnyBitPattern>(
        &self,
        (store, part): (u64, usize),
        path: &Path,
        opened: &mut Option<(u64, usize, File)>,
        offset: u64,
        buffer: &mut [T],
    ) -> Result<()> {
        let failed = |error: IoError| Error::io("cannot read", path, error);
        let file = match (self, opened.as_ref()) {
            (Self::Open(file), _) => file,
            (Self::Closed(_), Some((a, b, file))) if (*a, *b) == (store, part) => file,
            (Self::Closed(stamp), _) => {
                let file = File::open(path).map_err(failed)?;
                if Stamp::of(&file).map_err(failed)? != *stamp {
                    return Err(Error::data(
                        path,
                        "the file was replaced while it was being read; run the command again",
                    ));
                }
                &opened.insert((store, part, file)).2
            }
        };
        file.read_exact_at(bytemuck::cast_slice_mut(buffer), offset).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => {
                failed(IoError::new(ErrorKind::UnexpectedEof, "the file was truncated while it was being read"))
            }
            _ => failed(error),
        })
    }
}
