//! Finds the objects below a prefix.

use futures_util::TryStreamExt;
use object_store::path::Path as Key;

use super::address::{Address, Scheme};
use super::again::repeated;
use super::errors;
use super::object::{Object, version};
use super::runtime::wait;
use super::stores;
use crate::{Error, Result};

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub address: Address,
    pub bytes: u64,
    pub version: Option<String>,
}

impl Listed {
    /// Returns the object, without a request.
    pub fn open(&self) -> Result<Object> {
        let (store, key) = stores::open(&self.address)?;
        Ok(Object { address: self.address.clone(), bytes: self.bytes, version: self.version.clone(), store, key })
    }
}

/// Returns all objects below the directory `address`, sorted by key.
///
/// # Errors
/// [`Error::Io`] if the server refuses or does not answer; [`Error::Input`] on the web, which has no listings.
pub(crate) fn below(address: &Address) -> Result<Vec<Listed>> {
    if address.scheme == Scheme::Web {
        return Err(Error::input_at(
            address.path(),
            "a web server cannot list its files; pass the address of each file",
        ));
    }
    let (store, _) = stores::open(&address.with_key(""))?;
    let prefix = prefix(address)?;
    let found = wait(repeated(|| store.objects.list(prefix.as_ref()).try_collect::<Vec<_>>()))?;
    let mut objects: Vec<_> = found
        .map_err(|error| errors::read(address, &error))?
        .into_iter()
        // Consoles make an empty object for a directory.
        .filter(|meta| meta.size > 0 || Some(&meta.location) != prefix.as_ref())
        .map(|meta| Listed {
            address: address.with_key(meta.location.as_ref()),
            bytes: meta.size,
            version: version(&meta),
        })
        .collect();
    objects.sort_by(|one, other| one.address.key.cmp(&other.address.key));
    Ok(objects)
}

/// Returns the names of the objects directly in the directory `address`, and those of the directories, both sorted.
///
/// # Errors
/// As [`below`].
pub(crate) fn children(address: &Address) -> Result<(Vec<String>, Vec<String>)> {
    let (store, _) = stores::open(&address.with_key(""))?;
    let prefix = prefix(address)?;
    let found = wait(repeated(|| store.objects.list_with_delimiter(prefix.as_ref())))?;
    let found = found.map_err(|error| errors::read(address, &error))?;
    let sorted = |names: &mut dyn Iterator<Item = &Key>| {
        let mut names: Vec<_> = names.filter_map(|it| it.filename().map(str::to_owned)).collect();
        names.sort();
        names
    };
    let inside = |key: &&Key| Some(*key) != prefix.as_ref();
    let objects = sorted(&mut found.objects.iter().map(|meta| &meta.location).filter(inside));
    Ok((objects, sorted(&mut found.common_prefixes.iter().filter(inside))))
}

fn prefix(address: &Address) -> Result<Option<Key>> {
    let key = address.key.trim_end_matches('/');
    if key.is_empty() {
        return Ok(None);
    }
    let wrong = |error| Error::input_at(address.path(), format!("this is not a valid name of a directory: {error}"));
    Key::parse(key).map(Some).map_err(wrong)
}
