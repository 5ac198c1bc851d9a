//! Computes checksums of whole files.

use std::io::{self, Read};

use xxhash_rust::xxh3::Xxh3;

/// Returns the XXH3-128 of what `reader` returns, in hexadecimal as `xxhsum -H2` prints it.
pub(super) fn checksum(mut reader: impl Read) -> io::Result<String> {
    let mut hash = Xxh3::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(format!("{:032x}", hash.digest128())),
            Ok(n) => hash.update(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}
