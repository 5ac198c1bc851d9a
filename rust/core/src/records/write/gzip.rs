//! Writes a gzip file of one member whose units are compressed independently.

use flate2::{Compress, Compression, Crc, FlushCompress};

use crate::{Error, Result};

/// Magic bytes, deflate, no flags, no time, no level, unknown system: nothing differs from run to run.
pub(super) const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// Compresses parts of a file on one thread.
pub(super) struct Deflater(Compress);

impl Deflater {
    pub fn new() -> Self {
        Self(Compress::new(Compression::default(), false))
    }

    /// Appends `part` to `out` as deflate blocks that end on a byte boundary and do not refer to anything before them.
    pub fn append(&mut self, part: &[u8], out: &mut Vec<u8>) -> Result<()> {
        self.0.reset();
        loop {
            out.reserve(part.len() / 2 + 64);
            let rest = &part[self.0.total_in() as usize..];
            // Records are in memory and the state is fresh, so an error here would be a bug of the library.
            self.0
                .compress_vec(rest, out, FlushCompress::Sync)
                .map_err(|error| Error::Internal(format!("cannot compress: {error}")))?;
            // A flush is complete if it left room in the output.
            if self.0.total_in() as usize == part.len() && out.len() < out.capacity() {
                return Ok(());
            }
        }
    }
}

/// The end of the file: an empty last block, then checksum and length of the data.
pub(super) fn trailer(crc: &Crc) -> [u8; 10] {
    let mut bytes = [0; 10];
    bytes[0] = 3;
    bytes[2..6].copy_from_slice(&crc.sum().to_le_bytes());
    bytes[6..].copy_from_slice(&crc.amount().to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parts_make_one_member(
            parts in prop::collection::vec(prop::collection::vec(prop_oneof![Just(0), any::<u8>()], 0..5000), 0..6),
        ) {
            let mut deflater = Deflater::new();
            let mut bytes = HEADER.to_vec();
            let mut sum = Crc::new();
            for part in &parts {
                deflater.append(part, &mut bytes).unwrap();
                let mut crc = Crc::new();
                crc.update(part);
                sum.combine(&crc);
            }
            bytes.extend(trailer(&sum));
            let mut read = Vec::new();
            let mut reader = flate2::bufread::GzDecoder::new(&bytes[..]);
            reader.read_to_end(&mut read).unwrap();
            prop_assert!(reader.into_inner().is_empty());
            prop_assert_eq!(read, parts.concat());
        }
    }
}
