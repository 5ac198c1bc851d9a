//! Requests about one object: what it is, all of its bytes, writing and removing it.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::Path as Key;
use object_store::{ObjectMeta, ObjectStoreExt, PutMode, PutPayload};

use super::address::Address;
use super::again::repeated;
use super::errors::{self, Failure, FailureKind};
use super::runtime::wait;
use super::stores::{self, Store};
use crate::{Error, Result};

/// The most slices of an object that are requested at a time.
const SLICES: usize = 8;

/// An object that exists.
#[derive(Clone)]
pub(crate) struct Object {
    pub address: Address,
    pub bytes: u64,
    /// What names this version of the object: its `ETag`, or else the time of its last change. `None` if the server
    /// tells neither.
    pub version: Option<String>,
    pub(super) store: Store,
    pub(super) key: Key,
}

impl Object {
    /// Returns the object at `address`, or `None` if there is none.
    ///
    /// # Errors
    /// [`Error::Io`] if the server refuses or does not answer.
    pub fn find(address: &Address) -> Result<Option<Self>> {
        if address.key.is_empty() || address.key.ends_with('/') && address.is_writable() {
            return Ok(None);
        }
        let (store, key) = stores::open(address)?;
        match wait(store.objects.head(&key))? {
            Ok(meta) => Ok(Some(Self::new(address, store, key, &meta))),
            Err(error) if Failure::from(&error).kind == FailureKind::Missing => Ok(None),
            Err(error) if Failure::from(&error).lacks_reason() => {
                let said = wait(store.objects.get_range(&key, 0..1))?.err().unwrap_or(error);
                let missing = Failure::from(&said).kind == FailureKind::Missing;
                if missing { Ok(None) } else { Err(errors::read(address, &said)) }
            }
            Err(error) => Err(errors::read(address, &error)),
        }
    }

    /// Returns the `length` bytes at each of `offsets`, or fewer at the end, with a request for each. `None` if the server
    /// sends the object only as a whole.
    ///
    /// # Errors
    /// [`Error::Io`] if the server refuses or does not answer.
    pub fn slices(&self, offsets: &[u64], length: u64) -> Result<Option<Vec<Bytes>>> {
        let slice = |&offset: &u64| {
            let range = offset..(offset + length).min(self.bytes);
            repeated(move || self.store.objects.get_range(&self.key, range.clone()))
        };
        match wait(stream::iter(offsets.iter().map(slice)).buffered(SLICES).try_collect())? {
            Ok(slices) => Ok(Some(slices)),
            Err(error) if Failure::from(&error).kind == FailureKind::NoRanges => Ok(None),
            Err(error) => Err(errors::read(&self.address, &error)),
        }
    }

    pub(super) fn new(address: &Address, store: Store, key: Key, meta: &ObjectMeta) -> Self {
        Self { address: address.clone(), bytes: meta.size, version: version(meta), store, key }
    }
}

/// Returns what names the version of an object.
pub(super) fn version(meta: &ObjectMeta) -> Option<String> {
    // Servers of static files may give a time of zero.
    meta.e_tag.clone().or_else(|| {
        let time = meta.last_modified.timestamp_millis();
        (time > 0).then(|| format!("time {time}"))
    })
}

/// Returns all bytes of the object at `address`, or `None` if there is none. Meant for small objects.
///
/// # Errors
/// [`Error::Io`] if the server refuses or does not answer.
pub(crate) fn bytes(address: &Address) -> Result<Option<Vec<u8>>> {
    let (store, key) = stores::open(address)?;
    let result = wait(repeated(|| async { store.objects.get(&key).await?.bytes().await }))?;
    match result {
        Ok(bytes) => Ok(Some(bytes.into())),
        Err(error) if Failure::from(&error).kind == FailureKind::Missing => Ok(None),
        Err(error) => Err(errors::read(address, &error)),
    }
}

/// Writes `bytes` to `address`, and replaces what is there. Returns the version (`ETag`) of the new object.
///
/// # Errors
/// [`Error::Io`] if the server refuses or does not answer; [`Error::Input`] if nothing can be written there.
pub(crate) fn put(address: &Address, bytes: impl Into<Bytes>) -> Result<Option<String>> {
    let (store, key) = writable(address)?;
    let result = wait(store.objects.put(&key, PutPayload::from(bytes.into())))?;
    Ok(result.map_err(|error| errors::write(address, &error))?.e_tag)
}

/// Writes `bytes` to `address` if there is no object, or an empty one. Returns whether it was written.
///
/// # Errors
/// As [`put`].
pub(crate) fn put_new(address: &Address, bytes: &[u8]) -> Result<bool> {
    let (store, key) = writable(address)?;
    let payload = PutPayload::from(bytes.to_vec());
    match wait(store.objects.put_opts(&key, payload, PutMode::Create.into()))? {
        Ok(_) => Ok(true),
        Err(error) if Failure::from(&error).kind == FailureKind::Exists => {
            // A request whose answer was lost is repeated, and then finds its own object.
            let found = self::bytes(address)?;
            if found.as_ref().is_some_and(Vec::is_empty) && !bytes.is_empty() {
                // No command writes an empty object here. SeaweedFS keeps one if a client is killed while it sends.
                return put(address, bytes.to_vec()).map(|_| true);
            }
            Ok(found.as_deref() == Some(bytes))
        }
        Err(error) => Err(errors::write(address, &error)),
    }
}

/// Returns the client for writing to `address`, and the key.
pub(super) fn writable(address: &Address) -> Result<(Store, Key)> {
    address.check_writable()?;
    if address.key.is_empty() || address.key.ends_with('/') {
        return Err(Error::input_at(address.path(), "the path must end in the name of a file"));
    }
    stores::open(address)
}

/// Removes the object at `address`. It is not an error if there is none.
///
/// # Errors
/// [`Error::Io`] if the server refuses or does not answer.
pub(crate) fn remove(address: &Address) -> Result<()> {
    let (store, key) = writable(address)?;
    match wait(store.objects.delete(&key))? {
        Err(error) if Failure::from(&error).kind != FailureKind::Missing => {
            Err(Error::io("cannot remove", address.path(), Failure::from(&error).into()))
        }
        _ => Ok(()),
    }
}
