//! Writes an object of any size in bounded memory.

use bytes::Bytes;
use object_store::path::Path as Key;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};
use tokio::task::JoinSet;

use super::address::Address;
use super::errors::{self, Failure, FailureKind};
use super::object::{Object, put, writable};
use super::runtime::{self, wait};
use super::stores::Store;
use crate::{Error, Result};

/// The length of a part. A service takes 10,000 parts, so they grow with the object.
const PART: usize = 8 << 20;
/// After so many parts, the next ones are longer by [`PART`].
const GROW_AFTER: usize = 1000;
/// The most parts that are on their way.
const SENDING: usize = 3;

/// An object being written. [`Upload::commit`] makes it appear; dropping it without a commit leaves nothing.
pub(crate) struct Upload {
    address: Address,
    store: Store,
    key: Key,
    buffer: Vec<u8>,
    bytes: u64,
    parts: usize,
    upload: Option<Box<dyn MultipartUpload>>,
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
        Ok(Self { address, store, key, buffer: Vec::new(), bytes: 0, parts: 0, upload: None, sending: JoinSet::new() })
    }

    /// Appends `bytes`. Waits while too many parts are on their way.
    ///
    /// # Errors
    /// [`Error::Io`] if the server refuses a part.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            let part = PART * (1 + self.parts / GROW_AFTER);
            if self.buffer.capacity() < part {
                // A small object needs no more than its size.
                let more = (2 * self.buffer.len()).max(bytes.len()).min(part);
                self.buffer.reserve_exact(more.saturating_sub(self.buffer.len()));
            }
            let (now, rest) = bytes.split_at(bytes.len().min(part - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            bytes = rest;
            if self.buffer.len() == part {
                self.send()?;
            }
        }
        Ok(())
    }

    fn send(&mut self) -> Result<()> {
        let error = |error: &object_store::Error| errors::write(&self.address, error);
        if self.upload.is_none() {
            let begun = wait(self.store.objects.put_multipart(&self.key))?;
            self.upload = Some(begun.map_err(|it| error(&it))?);
        }
        let Some(upload) = &mut self.upload else { return Ok(()) };
        while self.sending.len() >= SENDING {
            if let Some(result) = wait(self.sending.join_next())? {
                result.map_err(object_store::Error::from).flatten().map_err(|it| error(&it))?;
            }
        }
        let part = Bytes::from(std::mem::take(&mut self.buffer));
        self.sending.spawn_on(upload.put_part(PutPayload::from(part)), &runtime::handle()?);
        self.parts += 1;
        Ok(())
    }

    /// Sends the rest and makes the object appear, in place of an existing one. Returns its version (`ETag`).
    ///
    /// # Errors
    /// [`Error::Io`] if the server refuses or does not answer.
    pub fn commit(mut self) -> Result<Option<String>> {
        if self.upload.is_none() {
            return put(&self.address, &self.buffer);
        }
        if !self.buffer.is_empty() {
            self.send()?;
        }
        while let Some(result) = wait(self.sending.join_next())? {
            result.map_err(object_store::Error::from).flatten().map_err(|it| errors::write(&self.address, &it))?;
        }
        let Some(upload) = &mut self.upload else { return Ok(None) };
        let version = match wait(upload.complete())? {
            Ok(result) => result.e_tag,
            // The answer to the first request may be lost, and the next one then finds no upload.
            Err(error) if Failure::from(&error).kind == FailureKind::Missing => {
                let found = Object::find(&self.address)?.filter(|object| object.bytes == self.bytes);
                let reason = "its upload was removed by another command; run the same command again to resume";
                found.ok_or_else(|| Error::data(self.address.path(), reason))?.version
            }
            Err(error) => return Err(errors::write(&self.address, &error)),
        };
        self.upload = None;
        Ok(version)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.sending.abort_all();
        if let Some(mut upload) = self.upload.take() {
            // The error that led here is the one worth reporting. The next run removes what is left.
            let _ = wait(upload.abort());
        }
    }
}
