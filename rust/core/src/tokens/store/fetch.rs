//! Fetches a remote token store into the cache.

use std::path::Path;

use super::{META_FILE, TokenStore};
use crate::files::cache::{Cache, File, Kept, Wanted, waiting};
use crate::files::remote::Address;
use crate::{Progress, Result};

/// Returns the copy of the store at `address`: its description, its parts and the copy of its tokenizer.
pub(super) fn fetch(address: &Address, cache: &Cache, progress: &mut dyn Progress) -> Result<Kept> {
    let directory = address.path();
    let (text, meta) = waiting(progress, move || TokenStore::read_description(&directory))?;
    let mut files: Vec<_> = meta
        .parts
        .into_iter()
        .map(|part| File { name: part.file, bytes: Some(part.bytes), version: None, xxh3_128: Some(part.xxh3_128) })
        .collect();
    // Its digest is checked when it is opened. As there, only the name counts.
    let tokenizer = meta.tokenizer_file.as_deref().map(Path::new).and_then(Path::file_name);
    if let Some(name) = tokenizer.and_then(|name| name.to_str()) {
        files.push(File { name: name.into(), bytes: None, version: None, xxh3_128: None });
    }
    cache.fetch(&Wanted { address: address.clone(), manifest: (META_FILE.into(), text), files }, progress)
}
