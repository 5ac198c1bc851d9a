//! Decompresses data of one or many parts: gzip members, xz streams, zstd frames, with zeros after any of them.
//!
//! Tapes, block devices and some downloads fill up a file with zeros. `gzip -dc` and Python skip them, and so does this
//! module. Anything else after a part must be another part.

#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};

use flate2::bufread::GzDecoder;
use liblzma::bufread::XzDecoder;

use super::Counting;

/// The compressed data is followed by something other than zeros or more compressed data.
#[derive(Debug)]
pub(super) struct Trailing {
    /// The position in the file in bytes, from 1.
    pub byte: u64,
}

impl fmt::Display for Trailing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "other bytes follow it at byte {}", self.byte)
    }
}

impl std::error::Error for Trailing {}

/// A decoder of one part that returns the rest of its input.
pub(super) trait Member<R>: Read + Sized {
    /// Begins a part.
    fn open(raw: R) -> io::Result<Self>;

    /// Returns the input after the part, once the part is read completely.
    fn close(self) -> R;

    /// Whether a part may begin with `bytes`, which must not be empty.
    fn is_start(bytes: &[u8]) -> bool;
}

impl<R: BufRead> Member<R> for GzDecoder<R> {
    fn open(raw: R) -> io::Result<Self> {
        Ok(Self::new(raw))
    }

    fn close(self) -> R {
        self.into_inner()
    }

    fn is_start(bytes: &[u8]) -> bool {
        begins(bytes, &[0x1F, 0x8B])
    }
}

impl<R: BufRead> Member<R> for XzDecoder<R> {
    fn open(raw: R) -> io::Result<Self> {
        Ok(Self::new(raw))
    }

    fn close(self) -> R {
        self.into_inner()
    }

    fn is_start(bytes: &[u8]) -> bool {
        begins(bytes, b"\xFD7zXZ\0")
    }
}

impl<R: BufRead> Member<R> for zstd::stream::read::Decoder<'static, R> {
    fn open(raw: R) -> io::Result<Self> {
        let mut decoder = Self::with_buffer(raw)?.single_frame();
        // Accepts what `zstd --long=31` writes, which published corpora often use.
        decoder.window_log_max(31)?;
        Ok(decoder)
    }

    fn close(self) -> R {
        self.finish()
    }

    fn is_start(bytes: &[u8]) -> bool {
        // A frame, or a skippable frame without data.
        begins(bytes, &[0x28, 0xB5, 0x2F, 0xFD])
            || (matches!(bytes[0], 0x50..=0x5F) && begins(&bytes[1..], &[0x2A, 0x4D, 0x18]))
    }
}

/// Whether `bytes` begin with `magic`, as far as they reach.
fn begins(bytes: &[u8], magic: &[u8]) -> bool {
    let both = bytes.len().min(magic.len());
    bytes[..both] == magic[..both]
}

/// The decompressed bytes of all parts, one after the other.
pub(super) struct Members<R, D> {
    state: State<R, D>,
}

enum State<R, D> {
    Within(D),
    Between(BufReader<Counting<R>>),
    /// The end is reached, or an error occurred.
    Done,
}

impl<R: Read, D: Member<BufReader<Counting<R>>>> Members<R, D> {
    /// Reads `raw`, which must begin as a part does.
    pub fn new(raw: BufReader<Counting<R>>) -> io::Result<Self> {
        Ok(Self { state: State::Within(D::open(raw)?) })
    }
}

impl<R: Read, D: Member<BufReader<Counting<R>>>> Read for Members<R, D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.state = match std::mem::replace(&mut self.state, State::Done) {
                State::Done => return Ok(0),
                State::Within(mut decoder) => match decoder.read(buffer) {
                    Ok(0) if !buffer.is_empty() => State::Between(decoder.close()),
                    result => {
                        let can_continue =
                            result.as_ref().map_or_else(|e| e.kind() == ErrorKind::Interrupted, |_| true);
                        if can_continue {
                            self.state = State::Within(decoder);
                        }
                        return result;
                    }
                },
                State::Between(mut raw) => match next_start(&mut raw) {
                    Ok(None) => return Ok(0),
                    Ok(Some(start)) if D::is_start(&start) => State::Within(D::open(raw)?),
                    Ok(Some(_)) => {
                        let byte = raw.get_ref().total - raw.buffer().len() as u64 + 1;
                        return Err(io::Error::new(ErrorKind::InvalidData, Trailing { byte }));
                    }
                    Err(error) => {
                        if error.kind() == ErrorKind::Interrupted {
                            self.state = State::Between(raw);
                        }
                        return Err(error);
                    }
                },
            }
        }
    }
}

/// Skips zeros. Returns the next bytes, up to six, or `None` at the end.
fn next_start(raw: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    loop {
        let bytes = raw.fill_buf()?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
        if zeros < bytes.len() {
            let start = bytes[zeros..].iter().take(6).copied().collect();
            raw.consume(zeros);
            return Ok(Some(start));
        }
        raw.consume(zeros);
    }
}
