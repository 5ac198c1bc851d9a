//! Finds duplicate documents and lines in bounded memory.
//!
//! A document or line is identified by the XXH3-128 hash of its text. A table holds the hashes until it reaches the
//! allowed size. After that, the table does not change. Text that the table knows is still recognized at once.
//!
//! All other documents are written, compressed, to a *spool* on disk. Their hashes are numbered and written to one of
//! 256 partitions by their first byte. Once all input is read, each partition is sorted by itself, which shows the
//! numbers of the duplicates: one bit for each number. Then the spool is read once, without the duplicates.
//!
//! Therefore, the first occurrence in input order is kept, whatever the memory. Two different texts are taken for the
//! same one only if their 128-bit hashes are equal by chance.

use std::collections::HashSet;
use std::fs::File;
use std::hash::{BuildHasherDefault, Hasher};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::clean::{Kept, Lines};
use super::output::cannot_write;
use crate::{Error, Result};

/// The number of files that hashes are distributed over.
const PARTITIONS: usize = 256;

/// The number of hashes remembered after the table is full, so that a very frequent line is not written every time.
const RECENT: usize = 1 << 17;

/// The size in bytes of a hash and its number in a partition.
const ENTRY: usize = 24;

/// Uses the low bits of a hash as its hash.
#[derive(Debug, Default, Clone, Copy)]
struct Low(u64);

impl Hasher for Low {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut low = [0; 8];
        low.copy_from_slice(&bytes[..8]);
        self.0 = u64::from_le_bytes(low);
    }

    fn write_u128(&mut self, value: u128) {
        self.0 = value as u64;
    }
}

/// The decision about a document.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The document repeats an earlier one.
    Duplicate,
    /// The document is new. Its lines at these positions, from 0, repeat earlier ones.
    New(Vec<usize>),
    /// Not known until all input is read; see [`Dedup::finish`].
    Later,
}

/// Recognizes duplicates.
pub struct Dedup {
    documents: bool,
    lines: bool,
    seen: HashSet<u128, BuildHasherDefault<Low>>,
    capacity: usize,
    /// Where to create files if they are needed.
    directory: PathBuf,
    spill: Option<Spill>,
}

struct Spill {
    directory: tempfile::TempDir,
    partitions: Vec<BufWriter<File>>,
    spool: zstd::stream::write::Encoder<'static, BufWriter<File>>,
    /// Some of the hashes written, so that frequent ones are not written every time.
    recent: HashSet<u128, BuildHasherDefault<Low>>,
    /// The number of hashes written so far.
    hashes: u64,
    spooled: u64,
}

/// A document read back from the spool, and which of it is duplicate.
pub struct Spooled<'a> {
    /// The document's lines.
    pub lines: &'a Lines,
    /// Whether the document repeats an earlier one.
    pub duplicate: bool,
    /// The positions of the lines that repeat earlier ones.
    pub repeated: &'a [usize],
}

impl Dedup {
    /// `memory` is the size of the table in bytes. If files are needed, they are created in a new directory in
    /// `directory`.
    pub fn new(documents: bool, lines: bool, memory: u64, directory: &Path) -> Self {
        // While the table grows, the old table and one of twice its size exist. Each slot takes 17 bytes, and at most
        // seven of eight are used.
        let slots = (memory / (17 + 17 / 2)).max(16);
        let slots = 1_u64 << slots.ilog2();
        let capacity = usize::try_from(slots / 8 * 7).unwrap_or(usize::MAX);
        Self { documents, lines, seen: HashSet::default(), capacity, directory: directory.to_path_buf(), spill: None }
    }

    /// Whether nothing is compared.
    pub fn is_off(&self) -> bool {
        !(self.documents || self.lines)
    }

    /// Whether lines are compared, too.
    pub fn compares_lines(&self) -> bool {
        self.lines
    }

    /// Whether the table was full, so that files were used.
    pub fn spilled(&self) -> bool {
        self.spill.is_some()
    }

    /// Decides about document `kept` of `lines`. Must be called in input order.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Data`] if the files cannot be written.
    pub fn decide(&mut self, lines: &Lines, kept: &Kept) -> Result<Verdict> {
        if self.spill.is_none() {
            let room = 1 + if self.lines { kept.lines.len() } else { 0 };
            if self.seen.len() + room <= self.capacity {
                return Ok(self.decide_in_memory(lines, kept));
            }
            self.spill = Some(Spill::open(&self.directory)?);
        }
        let Some(spill) = &mut self.spill else { return Ok(Verdict::Later) };
        if self.documents && (self.seen.contains(&kept.hash) || spill.repeats(kept.hash)) {
            return Ok(Verdict::Duplicate);
        }
        let hashes = if self.lines { &lines.hashes[kept.lines.clone()] } else { &[] };
        let known: Vec<bool> = hashes.iter().map(|hash| self.seen.contains(hash) || spill.repeats(*hash)).collect();
        spill.put(lines, kept, self.documents, hashes, &known)?;
        Ok(Verdict::Later)
    }

    fn decide_in_memory(&mut self, lines: &Lines, kept: &Kept) -> Verdict {
        if self.documents && !self.seen.insert(kept.hash) {
            return Verdict::Duplicate;
        }
        let hashes = if self.lines { &lines.hashes[kept.lines.clone()] } else { &[] };
        let repeated = hashes.iter().enumerate().filter(|&(_, &hash)| !self.seen.insert(hash)).map(|(at, _)| at);
        Verdict::New(repeated.collect())
    }

    /// Calls `each` with the documents whose verdict was [`Verdict::Later`], in order. `tick` gets the number of
    /// documents done and their total. If it returns `false`, work stops and the result is `false`.
    ///
    /// # Errors
    /// [`Error::Io`] for the files, and the errors of `each`.
    pub fn finish(
        &mut self,
        mut each: impl FnMut(Spooled<'_>) -> Result<()>,
        mut tick: impl FnMut(u64, u64) -> bool,
    ) -> Result<bool> {
        self.seen = HashSet::default();
        let Some(spill) = self.spill.take() else { return Ok(true) };
        let (documents, total) = (self.documents, spill.spooled);
        let (bits, directory, path) = spill.resolve(|| tick(0, total))?;
        let Some(bits) = bits else { return Ok(false) };
        let error = |source| Error::io("cannot read", &path, source);
        let file = File::open(&path).map_err(error)?;
        let mut reader = SpoolReader(zstd::stream::read::Decoder::new(BufReader::new(file)).map_err(error)?);
        let (mut lines, mut repeated) = (Lines::default(), Vec::new());
        let mut number = 0;
        for done in 0..total {
            if done % 4096 == 0 && !tick(done, total) {
                return Ok(false);
            }
            let known = reader.next(&mut lines).map_err(error)?;
            let is_set = |number: u64| bits[(number / 64) as usize] >> (number % 64) & 1 == 1;
            let duplicate = documents && is_set(number);
            number += u64::from(documents);
            repeated.clear();
            for (at, known) in known.iter().enumerate() {
                if *known {
                    repeated.push(at);
                } else if self.lines {
                    if is_set(number) {
                        repeated.push(at);
                    }
                    number += 1;
                }
            }
            each(Spooled { lines: &lines, duplicate, repeated: &repeated })?;
        }
        drop(directory);
        Ok(true)
    }
}

impl Spill {
    fn open(directory: &Path) -> Result<Self> {
        let error = |source| cannot_write(directory, source);
        let directory =
            tempfile::Builder::new().prefix(".prepare-text-").suffix(".tmp").tempdir_in(directory).map_err(error)?;
        let create = |name: String| {
            let path = directory.path().join(name);
            File::create(&path).map(|file| BufWriter::with_capacity(16 << 10, file)).map_err(|e| cannot_write(&path, e))
        };
        let partitions = (0..PARTITIONS).map(|index| create(index.to_string())).collect::<Result<Vec<_>>>()?;
        let spool = zstd::stream::write::Encoder::new(create("spool".into())?, 1).map_err(error)?;
        Ok(Self { directory, partitions, spool, recent: HashSet::default(), hashes: 0, spooled: 0 })
    }

    /// Returns whether `hash` is known to be written, and remembers it.
    fn repeats(&mut self, hash: u128) -> bool {
        if self.recent.len() == RECENT {
            self.recent.clear();
        }
        !self.recent.insert(hash)
    }

    fn put(&mut self, lines: &Lines, kept: &Kept, document: bool, hashes: &[u128], known: &[bool]) -> Result<()> {
        let mut write = || -> std::io::Result<()> {
            let unknown = hashes.iter().zip(known).filter(|(_, known)| !**known).map(|(hash, _)| hash);
            for hash in document.then_some(&kept.hash).into_iter().chain(unknown) {
                let partition = &mut self.partitions[(hash >> 120) as usize];
                partition.write_all(&hash.to_le_bytes())?;
                partition.write_all(&self.hashes.to_le_bytes())?;
                self.hashes += 1;
            }
            self.spool.write_all(&(kept.lines.len() as u64).to_le_bytes())?;
            self.spool.write_all(&kept.hash.to_le_bytes())?;
            for (at, index) in kept.lines.clone().enumerate() {
                let line = lines.line(index).as_bytes();
                self.spool.write_all(&(line.len() as u32).to_le_bytes())?;
                self.spool.write_all(&[u8::from(known.get(at).copied().unwrap_or(false))])?;
                self.spool.write_all(line)?;
            }
            Ok(())
        };
        write().map_err(|source| cannot_write(self.directory.path(), source))?;
        self.spooled += 1;
        Ok(())
    }

    /// Returns the bits that mark the duplicates by number, or `None` if `may_continue` returns `false`.
    fn resolve(self, mut may_continue: impl FnMut() -> bool) -> Result<(Option<Vec<u64>>, tempfile::TempDir, PathBuf)> {
        let Self { directory, partitions, spool, hashes, .. } = self;
        let path = directory.path().join("spool");
        let error = |source| cannot_write(directory.path(), source);
        spool.finish().and_then(|mut file| file.flush()).map_err(error)?;
        let mut bits = vec![0_u64; (hashes / 64 + 1) as usize];
        for (index, mut partition) in partitions.into_iter().enumerate() {
            if !may_continue() {
                return Ok((None, directory, path));
            }
            partition.flush().map_err(error)?;
            drop(partition);
            let name = directory.path().join(index.to_string());
            let bytes = std::fs::read(&name).map_err(|source| Error::io("cannot read", &name, source))?;
            let mut entries: Vec<(u128, u64)> = bytes.chunks_exact(ENTRY).map(entry).collect();
            drop(bytes);
            entries.sort_unstable();
            for pair in entries.windows(2) {
                if pair[0].0 == pair[1].0 {
                    let number = pair[1].1;
                    bits[(number / 64) as usize] |= 1 << (number % 64);
                }
            }
            crate::files::atomic::remove(&name)?;
        }
        Ok((Some(bits), directory, path))
    }
}

fn entry(bytes: &[u8]) -> (u128, u64) {
    let (mut hash, mut number) = ([0; 16], [0; 8]);
    hash.copy_from_slice(&bytes[..16]);
    number.copy_from_slice(&bytes[16..]);
    (u128::from_le_bytes(hash), u64::from_le_bytes(number))
}

struct SpoolReader<R: std::io::BufRead>(zstd::stream::read::Decoder<'static, R>);

impl<R: std::io::BufRead> SpoolReader<R> {
    /// Reads the next document into `lines`, as its only one. Returns for each of its lines whether it was known.
    fn next(&mut self, lines: &mut Lines) -> std::io::Result<Vec<bool>> {
        lines.clear();
        let count = u64::from_le_bytes(self.bytes()?) as usize;
        let hash = u128::from_le_bytes(self.bytes()?);
        let mut known = Vec::with_capacity(count);
        for _ in 0..count {
            let length = u32::from_le_bytes(self.bytes()?);
            known.push(self.bytes::<1>()? == [1]);
            (&mut self.0).take(u64::from(length)).read_to_string(&mut lines.text)?;
            lines.ends.push(lines.text.len());
        }
        lines.documents.push(Kept { lines: 0..count, hash });
        Ok(known)
    }

    fn bytes<const N: usize>(&mut self) -> std::io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

    use super::*;

    fn lines(documents: &[Vec<u8>]) -> Lines {
        let mut lines = Lines::default();
        for document in documents {
            let (first, start) = (lines.ends.len(), lines.text.len());
            for line in document {
                lines.text.extend(["line ", &line.to_string(), "\n"]);
                lines.ends.push(lines.text.len());
                lines.hashes.push(xxh3_128_with_seed(&[*line], 1));
            }
            let hash = xxh3_128(&lines.text.as_bytes()[start..]);
            lines.documents.push(Kept { lines: first..lines.ends.len(), hash });
        }
        lines
    }

    /// What is kept, according to the obvious method.
    fn expected(documents: &[Vec<u8>], by_document: bool, by_line: bool) -> Vec<Vec<u8>> {
        let (mut seen, mut seen_lines) = (HashSet::new(), HashSet::new());
        let mut kept = Vec::new();
        for document in documents {
            if by_document && !seen.insert(document.clone()) {
                continue;
            }
            kept.push(document.iter().copied().filter(|line| !by_line || seen_lines.insert(*line)).collect());
        }
        kept
    }

    fn found(documents: &[Vec<u8>], by_document: bool, by_line: bool, capacity: usize) -> (Vec<Vec<u8>>, bool) {
        let directory = tempfile::tempdir().unwrap();
        let mut dedup = Dedup::new(by_document, by_line, 0, directory.path());
        dedup.capacity = capacity;
        let all = lines(documents);
        let mut kept = Vec::new();
        let without = |document: &[u8], repeated: &[usize]| {
            document.iter().enumerate().filter(|(at, _)| !repeated.contains(at)).map(|(_, line)| *line).collect()
        };
        for (document, about) in documents.iter().zip(&all.documents) {
            match dedup.decide(&all, about).unwrap() {
                Verdict::New(repeated) => kept.push(without(document, &repeated)),
                Verdict::Duplicate | Verdict::Later => {}
            }
        }
        let spilled = dedup.spilled();
        let done = dedup.finish(
            |spooled| {
                if !spooled.duplicate {
                    let text = spooled.lines.text.lines();
                    let document: Vec<u8> =
                        text.map(|line| line.strip_prefix("line ").unwrap().parse().unwrap()).collect();
                    kept.push(without(&document, spooled.repeated));
                }
                Ok(())
            },
            |_, _| true,
        );
        assert!(done.unwrap());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "temporary files are gone");
        (kept, spilled)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_first_occurrence_is_kept_with_any_memory(
            documents in prop::collection::vec(prop::collection::vec(0..12_u8, 1..5), 0..30),
            capacity in 0..40_usize,
            by_document: bool,
            by_line: bool,
        ) {
            prop_assume!(by_document || by_line);
            let (kept, spilled) = found(&documents, by_document, by_line, capacity);
            prop_assert_eq!(kept, expected(&documents, by_document, by_line));
            prop_assert!(!documents.is_empty() || !spilled);
        }
    }

    #[test]
    fn memory_bounds_the_table() {
        let dedup = Dedup::new(true, false, 512 << 20, Path::new("."));
        assert_eq!(dedup.capacity, (1 << 24) / 8 * 7);
    }
}
