//! The one error type of the crate: which rule, what value, where, what to do.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Everything that can go wrong, each with the place it happened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused something.
    #[error("{action} {}: {source}{}", path.display(), advice(source))]
    Io {
        /// What was being done, as a verb phrase: "cannot read", "cannot write".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's own reason.
        source: std::io::Error,
    },
    /// A line is not UTF-8.
    #[error(
        "{}, line {line}, byte {byte}: invalid UTF-8 (0x{value:02X}); if the text is in another encoding, convert it first \
         (iconv -f ENCODING -t UTF-8); otherwise, fix the file, or pass --on-bad-utf8 replace to insert U+FFFD",
        path.display()
    )]
    InvalidUtf8 {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: u64,
        /// Byte within the line, from 1.
        byte: u64,
        /// The offending byte.
        value: u8,
    },
    /// A line longer than the limit.
    #[error(
        "{}, line {line}: longer than {limit} bytes; the input must be one sentence a line, with a newline after each",
        path.display()
    )]
    LineTooLong {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: u64,
        /// The limit in bytes.
        limit: usize,
    },
    /// A tokenizer model that cannot be used.
    #[error("{}: {reason}", path.display())]
    Tokenizer {
        /// The model or vocabulary file.
        path: PathBuf,
        /// What was found and what to do.
        reason: String,
    },
    /// A token store, shard or record file that is damaged or not ours.
    #[error("{}: {reason}", path.display())]
    Data {
        /// The file or folder.
        path: PathBuf,
        /// What was found, where, and what to do.
        reason: String,
    },
    /// One damaged record of a TFRecord file.
    #[error("{}, record {record} at byte {offset}: {reason}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Record number, from 0.
        record: u64,
        /// Byte offset of the record's frame in the (decompressed) file.
        offset: u64,
        /// What was found.
        reason: String,
    },
    /// A line of an input that cannot be used.
    #[error("{}, line {line}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: u64,
        /// What was found and what to do.
        reason: String,
    },
    /// A row of a Parquet file that cannot be used.
    #[error("{}, row {row}: {reason}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// Row number over all row groups, from 0.
        row: u64,
        /// What was found and what to do.
        reason: String,
    },
    /// A place in an input that cannot be used.
    #[error("{}, byte {byte}: {reason}", path.display())]
    Byte {
        /// The file.
        path: PathBuf,
        /// Byte offset in the decompressed file, from 0.
        byte: u64,
        /// What was found and what to do.
        reason: String,
    },
    /// An option outside its rule, or options that contradict each other.
    #[error("{0}")]
    Option(String),
    /// No input, or nothing left of it.
    #[error("{0}")]
    Input(String),
    /// The caller asked to stop (Ctrl-C); what is finished is kept.
    #[error("stopped; {0}")]
    Interrupted(String),
}

impl Error {
    /// An [`Error::Io`] with its path.
    pub fn io(action: &'static str, path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Io { action, path: path.as_ref().to_path_buf(), source }
    }

    /// An [`Error::Data`] with its path.
    pub fn data(path: impl AsRef<Path>, reason: impl Into<String>) -> Self {
        Self::Data { path: path.as_ref().to_path_buf(), reason: reason.into() }
    }

    /// An [`Error::Line`] with its path.
    pub fn line(path: impl AsRef<Path>, line: u64, reason: impl Into<String>) -> Self {
        Self::Line { path: path.as_ref().to_path_buf(), line, reason: reason.into() }
    }

    /// An [`Error::Row`] with its path.
    pub fn row(path: impl AsRef<Path>, row: u64, reason: impl Into<String>) -> Self {
        Self::Row { path: path.as_ref().to_path_buf(), row, reason: reason.into() }
    }

    /// An [`Error::Byte`] with its path.
    pub fn byte(path: impl AsRef<Path>, byte: u64, reason: impl Into<String>) -> Self {
        Self::Byte { path: path.as_ref().to_path_buf(), byte, reason: reason.into() }
    }

    /// An [`Error::Tokenizer`] with its path.
    pub fn tokenizer(path: impl AsRef<Path>, reason: impl Into<String>) -> Self {
        Self::Tokenizer { path: path.as_ref().to_path_buf(), reason: reason.into() }
    }
}

fn advice(source: &std::io::Error) -> &'static str {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    match source.kind() {
        StorageFull | QuotaExceeded => "; make room and run the same command again: it goes on after what is finished",
        FileTooLarge => "; pass a larger --num-shards, or raise the limit on file sizes (ulimit -f)",
        _ => "",
    }
}

/// The result type of the crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How long work reports what it has done, and learns that it should stop.
///
/// Called from the thread that started the work, a few times a second at least; returning `false` stops it with
/// [`Error::Interrupted`] at the next safe place.
pub trait Progress {
    /// `done` and `total` (0 where unknown) are in `unit`s ("bytes", "records"); `stage` names the work.
    fn report(&mut self, stage: &'static str, unit: &'static str, done: u64, total: u64) -> bool;

    /// Is set when the work shall stop, for what waits and cannot report.
    fn stop(&self) -> Arc<AtomicBool> {
        Arc::default()
    }
}

/// Reports nothing, never stops.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn report(&mut self, _: &'static str, _: &'static str, _: u64, _: u64) -> bool {
        true
    }
}
