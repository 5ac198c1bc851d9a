//! Memory for blocks that are read and parts that are written, which is used again.
//!
//! One thread allocates a block and another frees it, again and again. An allocator then holds several times what is in
//! use.

use std::sync::Mutex;

use bytes::Bytes;

/// The size of the pieces of memory that are kept.
pub(super) const PIECE: usize = 6 << 20;
/// What is shorter has memory of its own.
pub(super) const SMALL: usize = 1 << 20;
/// The most pieces that are kept for later use.
const KEPT: usize = 8;

static FREE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// A piece of memory that is kept for later use when it is dropped.
#[derive(Debug)]
pub(super) struct Piece(Vec<u8>);

impl Piece {
    /// Returns memory without content that has room for [`PIECE`] bytes.
    pub fn new() -> Self {
        Self::with_room(PIECE)
    }

    /// Returns memory without content that has room for at least `length` bytes.
    pub fn with_room(length: usize) -> Self {
        if length <= SMALL {
            return Self(Vec::with_capacity(length));
        }
        // Not `lock`: a process that is forked meanwhile would wait for a thread that it does not have.
        let kept = FREE.try_lock().ok().and_then(|mut free| free.pop());
        Self(kept.unwrap_or_else(|| Vec::with_capacity(PIECE)))
    }

    /// The content. What is longer than [`PIECE`] gets memory of its own.
    pub fn content(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }

    /// Returns the content; the memory is kept when its last user is gone.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let mut piece = std::mem::take(&mut self.0);
        piece.clear();
        if piece.capacity() == PIECE
            && let Ok(mut free) = FREE.try_lock()
            && free.len() < KEPT
        {
            free.push(piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_empty_when_it_is_used_again() {
        for content in [&b"one"[..], b"another"] {
            let mut piece = Piece::new();
            assert!(piece.as_ref().is_empty() && piece.content().capacity() >= PIECE);
            piece.content().extend_from_slice(content);
            let bytes = piece.into_bytes();
            let part = bytes.slice(1..);
            drop(bytes);
            assert_eq!(part, content[1..]);
        }
    }

    #[test]
    fn longer_content_has_memory_of_its_own() {
        let mut piece = Piece::new();
        piece.content().resize(PIECE + 1, 7);
        assert_eq!(piece.into_bytes().len(), PIECE + 1);
        assert_eq!(Piece::new().content().capacity(), PIECE);
    }
}
