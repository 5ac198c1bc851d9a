//! Writes an object of any size in bounded memory.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path as Key;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};
use tokio::task::JoinSet;

use super::address::Address;
use super::errors::{self, Failure, FailureKind};
use super::memory::{PIECE, Piece, SMALL};
use super::object::{Object, put, writable};
use super::runtime::{self, wait};
use super::stores::Store;
use crate::{Error, Result};

/// The length of a part. A service takes 10,000 parts, so they grow with the object. Until then they are equal, because
/// some services ask for that.
const PART: usize = PIECE;
/// After so many parts, the next ones are longer by [`PART`].
const GROW_AFTER: usize = 2000;

/// The bytes of a part before it is sent.
enum Buffer {
    Small(Vec<u8>),
    Memory(Piece),
    /// A file without a name, and the number of bytes in it.
    Disk(File, usize),
}

impl Buffer {
    fn len(&self) -> usize {
        match self {
            Self::Small(bytes) => bytes.len(),
            Self::Memory(piece) => piece.as_ref().len(),
            Self::Disk(_, length) => *length,
        }
    }

    fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Self::Small(small) = self
            && small.len() + bytes.len() > SMALL
        {
            let mut piece = Piece::new();
            piece.content().extend_from_slice(small);
            *self = Self::Memory(piece);
        }
        match self {
            Self::Small(content) => content.extend_from_slice(bytes),
            Self::Memory(piece) => piece.content().extend_from_slice(bytes),
            Self::Disk(file, length) => {
                file.write_all(bytes)?;
                *length += bytes.len();
            }
        }
        Ok(())
    }

    fn take(&mut self) -> io::Result<Bytes> {
        match self {
            Self::Small(content) => Ok(std::mem::take(content).into()),
            Self::Memory(piece) => Ok(std::mem::replace(piece, Piece::new()).into_bytes()),
            Self::Disk(file, length) => {
                let length = std::mem::take(length);
                let mut piece = Piece::new();
                file.rewind()?;
                file.take(length as u64).read_to_end(piece.content())?;
                file.rewind()?;
                if piece.as_ref().len() < length {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Ok(piece.into_bytes())
            }
        }
    }
}

/// An object being written. [`Upload::commit`] makes it appear; dropping it without a commit leaves nothing.
pub(crate) struct Upload {
    address: Address,
    store: Store,
    key: Key,
    buffer: Buffer,
    bytes: u64,
    parts: usize,
    multipart: Option<Box<dyn MultipartUpload>>,
    sending: JoinSet<object_store::Result<()>>,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Upload({})", self.address)
    }
}

impl Upload {
    /// Begins an object at `address`. Nothing is sent before a part is full.
    ///
    /// # Errors
    /// [`Error::Input`] if nothing can be written there.
    pub fn new(address: Address) -> Result<Self> {
        let (store, key) = writable(&address)?;
        Ok(Self {
            address,
            store,
            key,
            buffer: Buffer::Small(Vec::new()),
            bytes: 0,
            parts: 0,
            multipart: None,
            sending: JoinSet::new(),
        })
    }

    /// As [`Upload::new`], for one of many objects that are written at a time: what is not sent yet is kept in a file in
    /// the local `directory`, and not in memory.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be created.
    pub fn through(directory: &Path, address: Address) -> Result<Self> {
        let file = tempfile::tempfile_in(directory).map_err(|source| Error::io("cannot write", directory, source))?;
        let mut upload = Self::new(address)?;
        upload.buffer = Buffer::Disk(file, 0);
        Ok(upload)
    }

    /// Returns the number of bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends `bytes`. Waits while too many parts are on their way.
    ///
    /// # Errors
    /// [`Error::Io`] if the server refuses a part.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            let part = PART * (1 + self.parts / GROW_AFTER);
            let (now, rest) = bytes.split_at(bytes.len().min(part - self.buffer.len()));
            self.buffer.push(now).map_err(|source| self.buffer_error(source))?;
            bytes = rest;
            if self.buffer.len() == part {
                self.send()?;
            }
        }
        Ok(())
    }

    fn buffer_error(&self, source: io::Error) -> Error {
        Error::io("cannot write a temporary file for", self.address.path(), source)
    }

    fn send(&mut self) -> Result<()> {
        if self.multipart.is_none() {
            let begun = wait(self.store.objects.put_multipart(&self.key))?;
            self.multipart = Some(begun.map_err(|error| errors::write(&self.address, &error))?);
        }
        while let Some(result) = self.sending.try_join_next() {
            self.check(result)?;
        }
        let permit = wait(Arc::clone(&runtime::shared()?.sending).acquire_owned())?;
        let part = self.buffer.take().map_err(|source| self.buffer_error(source))?;
        let Some(upload) = &mut self.multipart else { return Ok(()) };
        let request = upload.put_part(PutPayload::from(part));
        let sent = async move {
            let result = request.await;
            drop(permit);
            result
        };
        self.sending.spawn_on(sent, &runtime::handle()?);
        self.parts += 1;
        Ok(())
    }

    /// Returns the error of a part that was sent, if there is one.
    fn check(&self, result: Result<object_store::Result<()>, tokio::task::JoinError>) -> Result<()> {
        result.map_err(object_store::Error::from).flatten().map_err(|error| match Failure::from(&error).kind {
            FailureKind::Missing => self.removed(),
            _ => errors::write(&self.address, &error),
        })
    }

    fn removed(&self) -> Error {
        let reason = "its upload was removed by another command; run the same command again to resume";
        Error::data(self.address.path(), reason)
    }

    /// Sends the rest and makes the object appear, in place of an existing one. Returns its version (`ETag`).
    ///
    /// # Errors
    /// [`Error::Io`] if the server refuses or does not answer.
    pub fn commit(mut self) -> Result<Option<String>> {
        if self.multipart.is_none() {
            let bytes = self.buffer.take().map_err(|source| self.buffer_error(source))?;
            return put(&self.address, bytes);
        }
        if self.buffer.len() > 0 {
            self.send()?;
        }
        while let Some(result) = wait(self.sending.join_next())? {
            self.check(result)?;
        }
        let Some(upload) = &mut self.multipart else { return Ok(None) };
        let version = match wait(upload.complete())? {
            Ok(result) => result.e_tag,
            // The answer to the first request may be lost, and the next one then finds no upload.
            Err(error) if Failure::from(&error).kind == FailureKind::Missing => {
                let found = Object::find(&self.address)?.filter(|object| object.bytes == self.bytes);
                found.ok_or_else(|| self.removed())?.version
            }
            Err(error) => return Err(errors::write(&self.address, &error)),
        };
        self.multipart = None;
        Ok(version)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.sending.abort_all();
        if let Some(mut upload) = self.multipart.take() {
            // The error that led here is the one worth reporting. The next run removes what is left.
            let _ = runtime::wait_to_clean_up(async move { drop(upload.abort().await) });
        }
    }
}
