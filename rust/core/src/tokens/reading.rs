//! The buffers of one reader of documents.

use std::fs::File;
use std::ops::Range;

/// What a reader of documents keeps from one document to the next. Buffers only grow, because what a read overwrites
/// need not be cleared. One reading may serve any number of sets of documents, in turn.
#[derive(Debug, Default)]
pub struct Reading {
    pub(super) window: Window,
    pub(super) ids: IdBuffer,
    /// The file opened last, with the numbers of its store and its part.
    pub(super) opened: Option<(u64, usize, File)>,
}

/// Copied ids, in the width in which they are stored.
#[derive(Debug, Default)]
pub(super) struct IdBuffer {
    pub narrow: Vec<u16>,
    pub wide: Vec<u32>,
}

/// The copied outlines of consecutive documents of one part, or some segments of one document.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// The number of the store, or 0 if nothing was read.
    pub store: u64,
    /// The numbers of the documents in their store.
    pub documents: Range<u64>,
    /// The sentences, numbered in their part, of which the ends are here.
    pub sentences: Range<u64>,
    /// For each document, the number of its first sentence, and then the end (exclusive) of the last document.
    pub document_ends: Vec<u64>,
    /// The start of the first sentence, and then the end (exclusive) of each.
    pub sentence_ends: Vec<u64>,
}

/// Returns the first `length` values of a buffer, which grows if it has to.
pub(super) fn first<T: Copy + Default>(buffer: &mut Vec<T>, length: usize) -> &mut [T] {
    if buffer.len() < length {
        buffer.resize(length, T::default());
    }
    &mut buffer[..length]
}
