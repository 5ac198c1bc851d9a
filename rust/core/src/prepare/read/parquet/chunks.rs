//! Gives the Parquet reader the bytes of a local file or a remote object.

use std::fs::File;
use std::io::{BufReader, Read};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{ChunkReader, Length};

use crate::files::inputs::InputFile;
use crate::files::remote::{Failure, Ranges, Reader};
use crate::{Error, Result};

/// The bytes of a Parquet file.
#[derive(Clone)]
pub(super) enum Chunks {
    Local(Arc<File>),
    Remote(Arc<Ranges>, Arc<Mutex<Option<Failure>>>),
}

impl Chunks {
    /// Opens `file`. Waiting for a server ends with an error when `stop` is set.
    pub fn open(file: &InputFile, stop: &Arc<AtomicBool>) -> Result<Self> {
        if let Some(ranges) = file.ranges(stop)? {
            return Ok(Self::Remote(Arc::new(ranges), Arc::default()));
        }
        let file = File::open(&file.path).map_err(|error| Error::io("cannot read", &file.path, error))?;
        Ok(Self::Local(Arc::new(file)))
    }

    /// Returns why a request failed, if one did. The data is then not damaged.
    pub fn failure(&self) -> Option<Failure> {
        match self {
            Self::Local(_) => None,
            Self::Remote(_, failure) => failure.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    fn note(&self, error: std::io::Error) -> ParquetError {
        if let (Self::Remote(_, failed), Some(failure)) = (self, Failure::of(&error)) {
            *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure.clone());
        }
        error.into()
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        match self {
            Self::Local(file) => file.metadata().map_or(0, |it| it.len()),
            Self::Remote(ranges, _) => ranges.len(),
        }
    }
}

impl ChunkReader for Chunks {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        match self {
            Self::Local(file) => Ok(Box::new(file.get_read(start)?)),
            Self::Remote(ranges, _) => {
                Ok(Box::new(Noting(self.clone(), BufReader::new(Reader::new(Arc::clone(ranges), start)))))
            }
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        match self {
            Self::Local(file) => file.get_bytes(start, length),
            Self::Remote(ranges, _) => {
                let mut bytes = vec![0; length];
                Reader::new(Arc::clone(ranges), start).read_exact(&mut bytes).map_err(|error| self.note(error))?;
                Ok(bytes.into())
            }
        }
    }
}

/// Notes why a read failed.
struct Noting(Chunks, BufReader<Reader>);

impl Read for Noting {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let result = self.1.read(buffer);
        result.inspect_err(|error| {
            if let Some(failure) = Failure::of(error) {
                self.0.note(failure.clone().into());
            }
        })
    }
}
