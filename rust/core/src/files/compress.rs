//! Compresses the inputs of tests.

use std::io::{Read, Write};

/// Compresses `bytes` to one gzip member.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Compresses `bytes` to one bzip2 stream.
pub fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut compressed = Vec::new();
    bzip2::bufread::BzEncoder::new(bytes, bzip2::Compression::fast()).read_to_end(&mut compressed).unwrap();
    compressed
}

/// Compresses `bytes` to one xz stream.
pub fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut compressed = Vec::new();
    liblzma::bufread::XzEncoder::new(bytes, 0).read_to_end(&mut compressed).unwrap();
    compressed
}

/// Compresses `bytes` to one zstd frame with a checksum, as the command-line tool does. Without one, not all damage is
/// detected.
pub fn zst(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
