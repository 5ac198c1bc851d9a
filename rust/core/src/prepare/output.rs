//! Writes the corpus: one file or a directory of shards, plain or compressed. It appears completely or not at all.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::without_number;
use crate::files::atomic;
use crate::files::marks::UNFINISHED_CORPUS;
use crate::files::remote::{self, Address, Object, Upload, is_remote};
use crate::files::scratch;
use crate::files::staging::Staging;
use crate::{Error, Result};

/// The number of bytes of text in a gzip member or zstd frame, if there are few shards.
pub(super) const CHUNK: usize = 4 << 20;
/// The approximate number of bytes of text waiting to be written, for all shards together.
const PENDING: usize = 64 << 20;
/// The bytes after which a caller that adds many documents must write what there is.
const FULL: usize = 8 << 20;
/// The maximum number of shards, because names have five digits.
pub(super) const MAX_SHARDS: u64 = 99_999;

/// How the text is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum TextCompression {
    /// According to the file's suffix, `.gz` or `.zst`. The shards of a directory are plain.
    #[default]
    Auto,
    /// No compression.
    None,
    /// gzip. A file consists of several members.
    Gzip,
    /// zstd. A file consists of several frames.
    Zstd,
}

impl TextCompression {
    fn of(self, path: &Path, is_directory: bool) -> Self {
        match (self, path.extension().and_then(OsStr::to_str)) {
            (Self::Auto, Some("gz")) if !is_directory => Self::Gzip,
            (Self::Auto, Some("zst")) if !is_directory => Self::Zstd,
            (Self::Auto, _) => Self::None,
            (given, _) => given,
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
            Self::None | Self::Auto => "",
        }
    }

    /// Returns `text` as a gzip member or zstd frame, or as it is.
    pub(super) fn compress(self, text: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(text)?;
                encoder.finish()
            }
            Self::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 0)?;
                encoder.include_checksum(true)?;
                encoder.set_pledged_src_size(Some(text.len() as u64))?;
                encoder.write_all(text)?;
                encoder.finish()
            }
            Self::None | Self::Auto => Ok(text.to_vec()),
        }
    }
}

/// Where text is written.
#[derive(Debug, Clone)]
pub struct Target {
    path: PathBuf,
    shards: Option<u64>,
    compression: TextCompression,
}

impl Target {
    /// Describes a file, or a directory of `shards` files.
    ///
    /// # Errors
    /// [`Error::Rule`] if the number of shards is outside its range, or if no output can have this name.
    pub fn new(path: &Path, shards: Option<u64>, compression: TextCompression) -> Result<Self> {
        if path == Path::new("-") {
            return Err(Error::rule("output", "a file, or a directory with `num_shards`", "standard output"));
        }
        if path.file_name().is_none() {
            return Err(Error::rule("output", "a path that ends in a name", format!("{:?}", path.display())));
        }
        if let Some(count) = shards.filter(|count| !(1..=MAX_SHARDS).contains(count)) {
            return Err(Error::rule("num_shards", format!("from 1 to {MAX_SHARDS}"), count));
        }
        let name = path.as_os_str().as_encoded_bytes();
        if shards.is_none() && name.ends_with(b"/") {
            let reason = "a directory needs `num_shards`; without it, `output` is a file";
            return Err(Error::conflict_at("num_shards", path, reason));
        }
        let suffix = path.extension().and_then(OsStr::to_str).unwrap_or_default();
        let by_suffix = match suffix {
            "gz" => Some(TextCompression::Gzip),
            "zst" => Some(TextCompression::Zstd),
            _ => None,
        };
        let contradicts = by_suffix.is_some_and(|by_suffix| {
            shards.is_some() || !matches!(compression, TextCompression::Auto) && compression != by_suffix
        });
        if contradicts || matches!(suffix, "bz2" | "xz") {
            return Err(Error::conflict_at(
                "compression",
                path,
                format!(
                    "cannot write .{suffix}; use .gz, .zst or no suffix for a file, and `compression` for the shards of a \
                     directory"
                ),
            ));
        }
        let path = plain(path);
        let compression = compression.of(&path, shards.is_some());
        Ok(Self { path, shards, compression })
    }

    /// Returns the target for held-out documents, of the same kind. If `path` is `None`, it is next to this one.
    #[must_use]
    pub fn held_out(&self, path: Option<&Path>, compression: TextCompression) -> Self {
        let path = path.map_or_else(|| self.sibling("eval-"), plain);
        let compression = if path.extension() == self.path.extension() {
            self.compression
        } else {
            compression.of(&path, self.shards.is_some())
        };
        Self { path, shards: self.shards, compression }
    }

    /// Returns the path of the file or directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the directory that contains the output, or will contain it.
    pub fn directory(&self) -> &Path {
        match self.path.parent() {
            Some(directory) if directory != Path::new("") => directory,
            _ => Path::new("."),
        }
    }

    /// Returns the path of a sibling whose name is this one's, preceded by `prefix`.
    fn sibling(&self, prefix: &str) -> PathBuf {
        let mut name = OsString::from(prefix);
        name.push(self.path.file_name().unwrap_or_default());
        self.path.with_file_name(name)
    }

    /// Returns the files to write, in order.
    pub fn files(&self) -> Vec<PathBuf> {
        (0..self.shards.unwrap_or(1)).map(|index| self.file(index)).collect()
    }

    /// Returns file `index` of those to write.
    pub(super) fn file(&self, index: u64) -> PathBuf {
        self.shards.map_or_else(|| self.path.clone(), |count| self.path.join(self.shard_name(index, count)))
    }

    /// Returns how the text is compressed.
    pub fn compression(&self) -> TextCompression {
        self.compression
    }

    fn shard_name(&self, index: u64, count: u64) -> String {
        format!("corpus-{index:05}-of-{count:05}.txt{}", self.compression.suffix())
    }

    /// Refuses an existing output unless `overwrite` is set. Always refuses anything that prepare-text did not write.
    ///
    /// # Errors
    /// [`Error::Exists`] saying what exists there.
    pub fn check(&self, overwrite: bool) -> Result<()> {
        let refuse = |reason: String| Err(Error::exists(&self.path, reason));
        if let Some(address) = Address::of(&self.path)? {
            return self.check_remote(&address, overwrite);
        }
        let Ok(metadata) = fs::symlink_metadata(&self.path) else { return Ok(()) };
        if metadata.is_symlink() {
            return refuse("this is a link, which would be replaced; pass its target".into());
        }
        if self.shards.is_none() {
            if metadata.is_dir() {
                return refuse(
                    "this is a directory; pass a file, or pass `num_shards` to write files into a directory".into(),
                );
            }
            if !metadata.is_file() {
                return refuse("this is neither a file nor a directory; pass another path".into());
            }
            if !overwrite {
                return refuse("this file exists; pass overwrite=True to replace it, or another path".into());
            }
            return Ok(());
        }
        if !metadata.is_dir() {
            return refuse("this is a file, and `num_shards` writes a directory; pass another path".into());
        }
        #[cfg(unix)]
        if fs::metadata(self.directory()).is_ok_and(|above| device(&above) != device(&metadata)) {
            return refuse(
                "a file system is mounted here, and a directory is replaced as a whole; pass a directory inside it"
                    .into(),
            );
        }
        let error = |source| Error::io("cannot read the directory", &self.path, source);
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(error)? {
            entries.push(entry.map_err(error)?.file_name());
        }
        entries.sort();
        // The hidden directory of tasks comes first.
        let foreign = entries.iter().find(|name| !name.to_str().is_some_and(is_ours));
        self.check_entries(foreign.map(Path::new), entries.is_empty(), overwrite)
    }

    fn check_entries(&self, foreign: Option<&Path>, is_empty: bool, overwrite: bool) -> Result<()> {
        let refuse = |reason: String| Err(Error::exists(&self.path, reason));
        if foreign == Some(Path::new(WORK)) {
            return refuse(
                "the directory contains an unfinished output of `shard_size`; finish it with the same options, or remove \
                 the directory"
                    .into(),
            );
        }
        if let Some(foreign) = foreign {
            return refuse(format!(
                "the directory contains {:?}, which prepare-text did not write; pass an empty or a new directory",
                foreign.display()
            ));
        }
        if !is_empty && !overwrite {
            return refuse(
                "the directory contains an earlier output; pass overwrite=True to replace it, or another path".into(),
            );
        }
        Ok(())
    }

    fn check_remote(&self, address: &Address, overwrite: bool) -> Result<()> {
        let refuse = |reason: &str| Err(Error::exists(&self.path, reason));
        if !address.is_writable() || address.key.is_empty() {
            // The error says what is possible.
            return Upload::new(address.clone()).map(drop);
        }
        let is_object = Object::find(address)?.is_some();
        if self.shards.is_some() {
            if is_object {
                return refuse("this is a file, and `num_shards` writes a directory; pass another path");
            }
            let (names, directories) = remote::children(address)?;
            let foreign = directories.iter().chain(&names).find(|name| !is_ours(name)).map(Path::new);
            let is_unfinished = names.iter().any(|name| name == PARTIAL);
            return self.check_entries(foreign, names.is_empty(), overwrite || is_unfinished);
        }
        if is_object && !overwrite {
            return refuse("this file exists; pass overwrite=True to replace it, or another path");
        }
        let (names, directories) = if is_object { Default::default() } else { remote::children(address)? };
        if !names.is_empty() || !directories.is_empty() {
            return refuse("this is a directory; pass a file, or pass `num_shards` to write files into a directory");
        }
        Ok(())
    }
}

/// Returns a path without what has no effect, such as repeated slashes.
fn plain(path: &Path) -> PathBuf {
    if is_remote(path) { remote::public(path) } else { path.components().collect() }
}

#[cfg(unix)]
fn device(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::dev(metadata)
}

const SUMMARY: &str = "prepare-text.summary.json";
/// Describes a complete directory of shards that tasks may write.
pub(super) const MANIFEST: &str = "prepare-text.manifest.json";
/// Is in a directory that has some of its shards. If tasks may write it, this file says what they write.
pub(super) const PARTIAL: &str = UNFINISHED_CORPUS;

/// The directory inside an unfinished output in which tasks keep what they have done. It is hidden from those who read
/// the output.
pub(super) const WORK: &str = ".prepare-text.partial";

/// Whether prepare-text writes files of this name into its directories.
pub(super) fn is_ours(name: &str) -> bool {
    let shard = name.strip_prefix("corpus-").and_then(|rest| {
        let rest = rest.strip_suffix(".gz").or_else(|| rest.strip_suffix(".zst")).unwrap_or(rest);
        let (index, count) = rest.strip_suffix(".txt")?.split_once("-of-")?;
        let is_number = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
        Some(is_number(index) && is_number(count))
    });
    // A killed run may leave the temporary file of one of the two.
    let whole = name.strip_prefix('.').and_then(|name| name.strip_suffix(".tmp")).unwrap_or(name);
    shard == Some(true) || matches!(whole, "prepare-text.config.json" | SUMMARY | PARTIAL | MANIFEST)
}

/// Writes documents. [`Writer::commit`] gives the output its name. If it is dropped instead, nothing remains.
pub struct Writer {
    target: Target,
    staging: Staging,
    shards: Vec<Shard>,
    /// The shards, ordered by their bytes of text. The next document is written to the smallest.
    smallest: BinaryHeap<Reverse<(u64, usize)>>,
    chunk: usize,
    /// The bytes that were added since the last call of [`Writer::flush`].
    pushed: usize,
    overwrite: bool,
}

struct Shard {
    file: Sink,
    pending: Vec<u8>,
}

/// Where the bytes of a shard are written.
enum Sink {
    Local(File),
    Remote(Box<Upload>),
}

impl Sink {
    fn write(&mut self, bytes: &[u8], output: &Path) -> Result<()> {
        match self {
            Self::Local(file) => file.write_all(bytes).map_err(|source| cannot_write(output, source)),
            Self::Remote(upload) => upload.write(bytes),
        }
    }

    /// Returns whether nothing was written.
    fn is_empty(&self, output: &Path) -> Result<bool> {
        match self {
            Self::Local(file) => Ok(file.metadata().map_err(|source| cannot_write(output, source))?.len() == 0),
            Self::Remote(upload) => Ok(upload.bytes() == 0),
        }
    }
}

/// The most shards whose unsent bytes are kept in memory.
const IN_MEMORY: usize = 2;

impl Writer {
    /// Creates the hidden directory and the files in it.
    ///
    /// # Errors
    /// [`Error::Io`] if they cannot be created; [`Error::Data`] if another command is writing the same output.
    pub fn create(target: Target, overwrite: bool) -> Result<Self> {
        let address = Address::of(&target.path)?;
        let place = match &address {
            Some(address) => scratch::beside(address)?.join("output"),
            None => target.path.clone(),
        };
        let staging = Staging::open(&place, "prepare-text", cannot_write)?;
        let inside = staging.create_files()?;
        if let Some(address) = &address {
            let name = address.name();
            match target.shards {
                Some(_) => remote::remove_abandoned(address, is_ours)?,
                None => remote::remove_abandoned(&address.parent(), |it| it == name)?,
            };
        }
        let mut shards = Vec::new();
        let files = target.files();
        for path in &files {
            let file = match Address::of(path)? {
                Some(address) if files.len() > IN_MEMORY => Sink::Remote(Box::new(Upload::through(&inside, address)?)),
                Some(address) => Sink::Remote(Box::new(Upload::new(address)?)),
                None => {
                    let path = inside.join(path.file_name().unwrap_or_default());
                    Sink::Local(File::create(&path).map_err(|source| cannot_write(&target.path, source))?)
                }
            };
            shards.push(Shard { file, pending: Vec::new() });
        }
        let smallest = (0..shards.len()).map(|index| Reverse((0, index))).collect();
        let chunk = (PENDING / shards.len()).clamp(4 << 10, CHUNK);
        Ok(Self { target, staging, shards, smallest, chunk, pushed: 0, overwrite })
    }

    /// Returns the hidden directory, for other files that must not outlive the run.
    pub fn directory(&self) -> &Path {
        self.staging.directory()
    }

    /// Adds a document to the shard with the least text. Each line includes its newline.
    pub fn push<'a>(&mut self, lines: impl Iterator<Item = &'a str>) {
        let Some(mut first) = self.smallest.peek_mut() else { return };
        let Reverse((bytes, index)) = &mut *first;
        let pending = &mut self.shards[*index].pending;
        let before = pending.len();
        for line in lines {
            pending.extend_from_slice(line.as_bytes());
        }
        pending.push(b'\n');
        let added = pending.len() - before;
        *bytes += added as u64;
        self.pushed += added;
    }

    /// Whether so much was added since the last call of [`Writer::flush`] that it must be called.
    pub fn is_full(&self) -> bool {
        self.pushed >= FULL
    }

    /// Writes as many whole chunks as there are, or everything if `all` is set.
    ///
    /// # Errors
    /// [`Error::Io`] naming the output; [`Error::Data`] if the disk is full.
    pub fn flush(&mut self, all: bool) -> Result<()> {
        self.pushed = 0;
        let (chunk, compression, output) = (self.chunk, self.target.compression, &self.target.path);
        self.shards.par_iter_mut().try_for_each(|shard| {
            let whole = if all { shard.pending.len() } else { shard.pending.len() / chunk * chunk };
            if whole == 0 {
                return Ok(());
            }
            if compression.suffix().is_empty() {
                shard.file.write(&shard.pending[..whole], output)?;
            } else {
                let parts: Vec<_> =
                    shard.pending[..whole].par_chunks(chunk).map(|text| compression.compress(text)).collect();
                for part in parts {
                    let part = part.map_err(|source| cannot_write(output, source))?;
                    shard.file.write(&part, output)?;
                }
            }
            shard.pending.drain(..whole);
            Ok(())
        })
    }

    /// Writes the rest, and waits until it is on disk.
    ///
    /// # Errors
    /// As [`Writer::flush`].
    pub fn finish(&mut self) -> Result<()> {
        self.flush(true)?;
        let output = &self.target.path;
        let error = |source| cannot_write(output, source);
        for shard in &mut self.shards {
            if self.target.compression != TextCompression::None && shard.file.is_empty(output)? {
                // An empty file would not be a valid gzip or zstd file.
                let empty = self.target.compression.compress(b"").map_err(error)?;
                shard.file.write(&empty, output)?;
            }
            if let Sink::Local(file) = &shard.file {
                file.sync_all().map_err(error)?;
            }
        }
        Ok(())
    }

    /// Gives the output its name. [`Writer::finish`] must be called before.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be renamed; [`Error::Exists`] if something appeared there in the meantime. The output
    /// is then unchanged.
    pub fn commit(self) -> Result<()> {
        self.target.check(self.overwrite)?;
        if let Some(address) = Address::of(&self.target.path)? {
            return self.commit_remote(&address);
        }
        if self.target.shards.is_some() { self.staging.publish_directory() } else { self.staging.publish_file() }
    }
}

impl Writer {
    /// Makes the objects appear in place of an earlier output. While a directory has some of its shards, an object says
    /// so. If the command is killed then, the next one may replace them.
    fn commit_remote(self, address: &Address) -> Result<()> {
        let is_directory = self.target.shards.is_some();
        let files = self.target.files();
        let partial = address.join(PARTIAL);
        if is_directory {
            remote::put(&partial, &b"{}\n"[..])?;
            remote::remove(&address.join(SUMMARY))?;
            let (names, _) = remote::children(address)?;
            let is_earlier =
                |name: &&String| **name != PARTIAL && !files.iter().any(|file| file.file_name() == Some(name.as_ref()));
            names.iter().filter(is_earlier).try_for_each(|name| remote::remove(&address.join(name)))?;
        }
        let committed = self.shards.into_par_iter().try_for_each(|shard| match shard.file {
            Sink::Remote(upload) => upload.commit().map(drop),
            Sink::Local(_) => Ok(()),
        });
        if is_directory {
            if committed.is_err() {
                // Some of the shards are no corpus. The error that led here is the one worth reporting.
                files.par_iter().for_each(|file| drop(atomic::remove(file)));
            }
            let removed = remote::remove(&partial);
            return committed.and(removed);
        }
        committed
    }
}

pub(super) fn cannot_write(path: &Path, source: io::Error) -> Error {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    if source.raw_os_error() == Some(libc::EMFILE) {
        let what = without_number(&source);
        let reason =
            format!("cannot write: {what}; pass fewer `num_shards`, or raise the limit on open files (ulimit -n)");
        return Error::data(path, reason);
    }
    if matches!(source.kind(), StorageFull | QuotaExceeded) {
        return Error::data(
            path,
            format!(
                "cannot write: {}; nothing was kept: free some space and run the same command again",
                without_number(&source)
            ),
        );
    }
    Error::io("cannot write", path, source)
}

#[cfg(test)]
mod tests;
