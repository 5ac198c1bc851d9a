//! Frames records as `TFRecord` files, and reads them back with every checksum verified.
//!
//! The layout of a frame, with all integers little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | length of the data, u64 |
//! | 4 | masked CRC-32C of those 8 bytes |
//! | length | the data |
//! | 4 | masked CRC-32C of the data |
//!
//! Here masked(crc) is crc rotated right by 15, plus 0xa282ead8 (`TensorFlow`'s `tsl/lib/io/record_writer`). A file may
//! be gzipped as a whole.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::files::remote::{Address, Failure, FailureKind, Object, Ranges, Reader};
use crate::{Error, Result};

/// Bytes before the data: its length and the length's checksum.
pub const HEADER_BYTES: usize = 12;
/// Bytes after the data: its checksum.
pub const FOOTER_BYTES: usize = 4;

/// The longest record accepted. No `Example` comes near this, so a longer record is damage with a checksum that happens
/// to match.
pub(crate) const MAX_RECORD_BYTES: u64 = 1 << 30;

/// Returns the masked CRC-32C of `bytes`.
pub fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Appends a frame to `out`. `write` appends the data in place, so nothing is moved or copied afterward.
#[inline]
pub fn frame(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    write(out);
    let length = ((out.len() - start - HEADER_BYTES) as u64).to_le_bytes();
    out[start..start + 8].copy_from_slice(&length);
    out[start + 8..start + HEADER_BYTES].copy_from_slice(&masked_crc(&length).to_le_bytes());
    let crc = masked_crc(&out[start + HEADER_BYTES..]);
    out.extend_from_slice(&crc.to_le_bytes());
}

/// Returns the length in the header of record `index`, or what is wrong with the header.
pub(crate) fn data_length(header: &[u8; HEADER_BYTES], index: u64) -> Result<u64, String> {
    let (length, crc) = header.split_at(8);
    let value = length.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte));
    if crc != masked_crc(length).to_le_bytes() {
        let hint = if index == 0 { "this is not a TFRecord file, or its start is damaged" } else { "damaged" };
        return Err(format!("the length ({value}) fails its CRC: {hint}; nothing after it can be read"));
    }
    if value > MAX_RECORD_BYTES {
        return Err(format!("a length of {value} bytes, more than the maximum of {MAX_RECORD_BYTES}"));
    }
    Ok(value)
}

/// Returns the decompressed bytes of `file`, and whether it is gzipped (one member or several).
///
/// This is detected by the first bytes, whatever the name. If the length of a plain file's first record begins with
/// gzip's magic bytes, that length's checksum tells the two apart.
pub(crate) fn decompressed(file: impl Read + Send + 'static) -> std::io::Result<(Box<dyn BufRead + Send>, bool)> {
    let mut plain = BufReader::with_capacity(1 << 18, file);
    let start = plain.fill_buf()?;
    let framed = start.len() >= HEADER_BYTES && start[8..HEADER_BYTES] == masked_crc(&start[..8]).to_le_bytes();
    if start.starts_with(&[0x1f, 0x8b]) && !framed {
        Ok((Box::new(BufReader::with_capacity(1 << 18, flate2::bufread::MultiGzDecoder::new(plain))), true))
    } else {
        Ok((Box::new(plain), false))
    }
}

/// Returns the error of a failed read: the system's or the server's error, or `damaged` if the gzip stream is broken.
pub(crate) fn read_error(path: &Path, source: std::io::Error, damaged: impl FnOnce(String) -> Error) -> Error {
    let failure = Failure::of(&source);
    if failure.is_some_and(|failure| failure.kind == FailureKind::Stopped) {
        Error::Interrupted("the records were not read completely".into())
    } else if failure.is_some() || source.raw_os_error().is_some() {
        Error::io("cannot read", path, source)
    } else {
        damaged(format!("the gzip stream is truncated or damaged ({source})"))
    }
}

/// One record of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its number, from 0.
    pub index: u64,
    /// Where its frame begins in the (decompressed) file, in bytes.
    pub offset: u64,
    /// The data.
    pub data: &'a [u8],
}

/// Reads the records of a file in order. The file is plain or gzipped (one member or several).
///
/// If the *data* of a record fails its checksum, [`RecordReader::read`] returns the error and the next call returns the
/// next record. After any other damage (a length that fails its checksum, a file that ends within a record, a broken
/// gzip stream) the rest cannot be read: the error is returned once, then the end.
pub struct RecordReader {
    path: PathBuf,
    source: Box<dyn BufRead + Send>,
    data: Vec<u8>,
    index: u64,
    offset: u64,
    ended: bool,
}

impl std::fmt::Debug for RecordReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordReader").field("path", &self.path).field("index", &self.index).finish_non_exhaustive()
    }
}

impl RecordReader {
    /// Opens `path`, a local or a remote file. Gzip is detected by the first bytes, whatever the name.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        Self::open_until(path, &Arc::default())
    }

    /// Opens `path` as [`RecordReader::open`] does. When `stop` is set, waiting for a server ends with
    /// [`Error::Interrupted`].
    pub fn open_until(path: impl Into<PathBuf>, stop: &Arc<AtomicBool>) -> Result<Self> {
        let path = path.into();
        let new = |path, source| Self { path, source, data: Vec::new(), index: 0, offset: 0, ended: false };
        if let Some(address) = Address::of(&path)? {
            let Some(object) = Object::find(&address)? else {
                return Err(Error::io("cannot read", address.path(), std::io::ErrorKind::NotFound.into()));
            };
            let file = Reader::new(Arc::new(Ranges::new(object, Arc::clone(stop))), 0);
            let path = address.path();
            let (source, _) =
                decompressed(file).map_err(|source| read_error(&path, source, |reason| Error::data(&path, reason)))?;
            return Ok(new(path, source));
        }
        let cannot_read = |source| Error::io("cannot read", &path, source);
        let file = File::open(&path).map_err(cannot_read)?;
        if file.metadata().map_err(cannot_read)?.is_dir() {
            return Err(Error::data(&path, "a directory, not a record file"));
        }
        let (source, _) = decompressed(file).map_err(cannot_read)?;
        Ok(new(path, source))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the next record, or `None` at the end.
    pub fn read(&mut self) -> Result<Option<Record<'_>>> {
        if self.ended {
            return Ok(None);
        }
        // Cleared only once the end of this record is known.
        self.ended = true;
        let (index, offset) = (self.index, self.offset);
        let mut header = [0; HEADER_BYTES];
        let got = self.read_up_to(HEADER_BYTES as u64)?;
        if got == 0 {
            return Ok(None);
        }
        if got < HEADER_BYTES as u64 {
            return Err(self.damage(format!("the file ends after {got} of the 12 bytes of the record's header")));
        }
        header.copy_from_slice(&self.data);
        let length = data_length(&header, index).map_err(|reason| self.damage(reason))?;
        let wanted = length + FOOTER_BYTES as u64;
        let got = self.read_up_to(wanted)?;
        if got < wanted {
            return Err(
                self.damage(format!("the file ends after {got} of the {wanted} bytes of the record and its CRC"))
            );
        }
        self.ended = false;
        self.index += 1;
        self.offset += HEADER_BYTES as u64 + wanted;
        let (data, crc) = self.data.split_at(length as usize);
        if crc != masked_crc(data).to_le_bytes() {
            let reason = format!("the data ({length} bytes) fails its CRC");
            return Err(Error::Record { path: self.path.clone(), record: index, offset, reason });
        }
        Ok(Some(Record { index, offset, data: &self.data[..length as usize] }))
    }

    /// Fills `self.data` with the next `count` bytes, or as many as there are.
    fn read_up_to(&mut self, count: u64) -> Result<u64> {
        self.data.clear();
        // `read_to_end` grows the buffer only by what it reads, so a wrong length cannot cause a large allocation.
        match (&mut self.source).take(count).read_to_end(&mut self.data) {
            Ok(got) => Ok(got as u64),
            Err(source) => Err(read_error(&self.path, source, |reason| self.damage(reason))),
        }
    }

    fn damage(&self, reason: String) -> Error {
        Error::Record { path: self.path.clone(), record: self.index, offset: self.offset, reason }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn framed(records: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        for record in records {
            frame(&mut out, |out| out.extend_from_slice(record));
        }
        out
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn file_of(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file.flush().unwrap();
        file
    }

    /// Reads `bytes` to the end and returns the data of each record, or `None` for an error.
    fn read_all(bytes: &[u8]) -> Vec<Option<Vec<u8>>> {
        let file = file_of(bytes);
        let mut reader = RecordReader::open(file.path()).unwrap();
        let mut all = Vec::new();
        loop {
            match reader.read() {
                Ok(None) => return all,
                Ok(Some(record)) => all.push(Some(record.data.to_vec())),
                Err(Error::Record { .. }) => all.push(None),
                Err(other) => panic!("{other}"),
            }
        }
    }

    fn some(records: &[Vec<u8>]) -> Vec<Option<Vec<u8>>> {
        records.iter().cloned().map(Some).collect()
    }

    #[test]
    fn the_frame_of_known_bytes() {
        // RFC 3720, B.4: the CRC-32C of 32 zero bytes is 0x8a9136aa.
        assert_eq!(masked_crc(&[0; 32]), 0x8a91_36aa_u32.rotate_right(15).wrapping_add(0xa282_ead8));
        // A record without data: 8 zero bytes and their CRC, then the CRC of nothing, which is 0 before masking.
        let empty = framed(&[vec![]]);
        assert_eq!(empty.len(), 16);
        assert_eq!(empty[..8], [0; 8]);
        assert_eq!(empty[12..], 0xa282_ead8_u32.to_le_bytes());
    }

    #[test]
    fn records_have_numbers_and_offsets() {
        let file = file_of(&framed(&[b"one".to_vec(), b"three".to_vec()]));
        let mut reader = RecordReader::open(file.path()).unwrap();
        assert_eq!(reader.read().unwrap(), Some(Record { index: 0, offset: 0, data: b"one" }));
        assert_eq!(reader.read().unwrap(), Some(Record { index: 1, offset: 19, data: b"three" }));
        assert_eq!(reader.read().unwrap(), None);
        assert_eq!(reader.read().unwrap(), None);
    }

    #[test]
    fn a_bad_record_does_not_hide_the_next() {
        let records = [b"one".to_vec(), b"two".to_vec(), b"three".to_vec()];
        let mut bytes = framed(&records);
        bytes[19 + HEADER_BYTES] ^= 1;
        let file = file_of(&bytes);
        let mut reader = RecordReader::open(file.path()).unwrap();
        assert_eq!(reader.read().unwrap().unwrap().data, b"one");
        let error = reader.read().unwrap_err().to_string();
        assert!(error.ends_with("record 1 at byte 19: the data (3 bytes) fails its CRC"), "{error}");
        assert_eq!(reader.read().unwrap().unwrap(), Record { index: 2, offset: 38, data: b"three" });
        assert_eq!(reader.read().unwrap(), None);
    }

    #[test]
    fn a_bad_length_ends_the_file() {
        let mut bytes = framed(&[b"one".to_vec(), b"two".to_vec(), b"three".to_vec()]);
        bytes[19] ^= 1;
        assert_eq!(read_all(&bytes), [Some(b"one".to_vec()), None]);
    }

    #[test]
    fn a_length_that_makes_no_sense_asks_for_no_memory() {
        for length in [u64::MAX, MAX_RECORD_BYTES + 1, MAX_RECORD_BYTES] {
            let mut bytes = length.to_le_bytes().to_vec();
            bytes.extend_from_slice(&masked_crc(&length.to_le_bytes()).to_le_bytes());
            bytes.extend_from_slice(b"abc");
            assert_eq!(read_all(&bytes), [None]);
        }
    }

    #[test]
    fn text_is_no_record_file() {
        let file = file_of(b"Just some text, in a file of another kind.\n");
        let error = RecordReader::open(file.path()).unwrap().read().unwrap_err().to_string();
        assert!(error.contains("this is not a TFRecord file"), "{error}");
    }

    #[test]
    fn a_record_that_begins_like_gzip_is_plain() {
        let records = [vec![7; 0x8b1f]];
        assert_eq!(read_all(&framed(&records)), some(&records));
    }

    #[test]
    fn gzip_in_several_members() {
        let records = [b"one".to_vec(), b"two".to_vec(), b"three".to_vec()];
        let bytes = framed(&records);
        // The split is within a record: members need not end at the end of a record.
        let mut zipped = gzip(&bytes[..30]);
        zipped.extend(gzip(&bytes[30..]));
        assert_eq!(read_all(&zipped), some(&records));
    }

    #[test]
    fn a_cut_or_damaged_gzip_file_is_a_record_error() {
        let records: Vec<Vec<u8>> = (0..50_u8).map(|i| vec![i; 100]).collect();
        let zipped = gzip(&framed(&records));
        let cut = read_all(&zipped[..zipped.len() / 2]);
        assert_eq!(cut.last(), Some(&None));
        let mut damaged = zipped.clone();
        // The CRC of the whole stream, in its trailer.
        let at = damaged.len() - 8;
        damaged[at] ^= 1;
        let read = read_all(&damaged);
        assert_eq!(read.last(), Some(&None));
    }

    proptest! {
        #[test]
        fn what_is_framed_is_read(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20), zip in any::<bool>(),
        ) {
            let bytes = framed(&records);
            prop_assert_eq!(read_all(&if zip { gzip(&bytes) } else { bytes }), some(&records));
        }

        #[test]
        fn any_changed_byte_is_seen(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..6),
            at in any::<prop::sample::Index>(), flip in 1..=255_u8,
        ) {
            let mut bytes = framed(&records);
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            let read = read_all(&bytes);
            prop_assert_eq!(read.iter().filter(|record| record.is_none()).count(), 1);
        }

        #[test]
        fn any_cut_is_seen(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..6),
            at in any::<prop::sample::Index>(),
        ) {
            let bytes = framed(&records);
            let cut = at.index(bytes.len());
            let read = read_all(&bytes[..cut]);
            let mut end = 0;
            let ends: Vec<usize> =
                records.iter().map(|record| { end += record.len() + 16; end }).collect();
            let whole = ends.iter().filter(|&&end| end <= cut).count();
            let clean = cut == 0 || ends.contains(&cut);
            prop_assert_eq!(&read[..whole], &some(&records)[..whole]);
            prop_assert_eq!(read.len(), whole + usize::from(!clean));
        }
    }
}
