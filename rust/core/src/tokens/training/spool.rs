//! Lines as numbers of words, about two bytes a word: first in memory, then in a temporary file.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;

use crate::{Error, Result};

/// Lines are kept in blocks of about this many bytes.
const BLOCK: usize = 256 << 10;

/// Sequences of numbers, to be read in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Spool {
    /// The last block: for each line its length, and its numbers.
    open: Vec<u8>,
    blocks: Vec<Block>,
    in_memory: usize,
    file: Option<File>,
    written: u64,
    lines: u64,
}

#[derive(Debug)]
enum Block {
    Memory(Vec<u8>),
    /// Its place in the file, and its length.
    File(u64, usize),
}

impl Spool {
    /// How many lines there are.
    pub fn len(&self) -> u64 {
        self.lines
    }

    /// Adds a line. More than `memory` bytes go to a temporary file, or stay in memory if it cannot be written.
    #[inline]
    pub fn push(&mut self, line: &[u32], memory: usize) {
        write_number(line.len() as u64, &mut self.open);
        for &number in line {
            write_number(u64::from(number), &mut self.open);
        }
        self.lines += 1;
        if self.open.len() >= BLOCK.min(memory) {
            self.close_block(memory);
        }
    }

    fn close_block(&mut self, memory: usize) {
        let mut open = std::mem::take(&mut self.open);
        let size = open.len();
        let block = if self.in_memory + size > memory && self.write(&open).is_ok() {
            self.written += size as u64;
            open.clear();
            self.open = open;
            Block::File(self.written - size as u64, size)
        } else {
            self.in_memory += size;
            open.shrink_to_fit();
            Block::Memory(open)
        };
        self.blocks.push(block);
    }

    fn write(&mut self, block: &[u8]) -> std::io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile()?),
        };
        if let Err(error) = file.write_all(block) {
            // The next block overwrites what was written of this one.
            std::io::Seek::seek(file, std::io::SeekFrom::Start(self.written))?;
            return Err(error);
        }
        Ok(())
    }

    /// Begins to read.
    pub fn cursor(&self) -> Cursor<'_> {
        Cursor { spool: self, next_block: 0, buffer: Vec::new(), in_file: false, at: 0 }
    }
}

/// A place between two lines.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    spool: &'a Spool,
    next_block: usize,
    /// A block of the file.
    buffer: Vec<u8>,
    in_file: bool,
    at: usize,
}

impl Cursor<'_> {
    fn block(&self) -> &[u8] {
        if self.in_file {
            return &self.buffer;
        }
        match self.next_block.checked_sub(1).map(|block| self.spool.blocks.get(block)) {
            None => &[],
            Some(Some(Block::Memory(block))) => block,
            Some(_) => &self.spool.open,
        }
    }

    /// Reads the next line. Returns `false` at the end.
    ///
    /// # Errors
    /// The temporary file cannot be read.
    pub fn next(&mut self, line: &mut Vec<u32>) -> Result<bool> {
        line.clear();
        while self.at == self.block().len() {
            if self.next_block > self.spool.blocks.len() {
                return Ok(false);
            }
            self.next_block += 1;
            self.at = 0;
            self.in_file = false;
            if let (Some(Block::File(place, size)), Some(file)) =
                (self.spool.blocks.get(self.next_block - 1), &self.spool.file)
            {
                self.buffer.resize(*size, 0);
                file.read_exact_at(&mut self.buffer, *place)
                    .map_err(|error| Error::io("cannot read", std::env::temp_dir(), error))?;
                self.in_file = true;
            }
        }
        let mut at = self.at;
        let block = self.block();
        let length = read_number(block, &mut at);
        line.extend((0..length).map(|_| read_number(block, &mut at) as u32));
        self.at = at;
        Ok(true)
    }
}

/// Appends a number, seven bits a byte.
#[inline]
pub(super) fn write_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads what [`write_number`] wrote.
#[inline]
pub(super) fn read_number(bytes: &[u8], at: &mut usize) -> u64 {
    let (mut number, mut shift) = (0, 0);
    loop {
        let byte = bytes[*at];
        *at += 1;
        number |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return number;
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_from_memory_and_from_the_file() {
        for memory in [usize::MAX, 0, 10, 1000] {
            let lines: Vec<Vec<u32>> = (0..300u32)
                .map(|line| (0..line % 7).map(|word| line.wrapping_mul(77_777_777).rotate_left(word)).collect())
                .collect();
            let mut spool = Spool::default();
            for line in &lines {
                spool.push(line, memory);
            }
            assert_eq!(spool.file.is_some(), memory < 1000 || memory == 1000 && spool.blocks.len() > 1, "{memory}");
            let (mut cursor, mut line) = (spool.cursor(), Vec::new());
            let mut read = Vec::new();
            while cursor.next(&mut line).unwrap() {
                read.push(line.clone());
            }
            assert_eq!(read, lines, "{memory}");
            assert_eq!(spool.len(), 300);
        }
    }
}
