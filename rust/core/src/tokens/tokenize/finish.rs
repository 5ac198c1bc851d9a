//! Completes a token store that tasks have made.

use std::path::Path;

use super::markers::{self, Begun, Header, Marker};
use crate::files::lock::lock;
use crate::files::{atomic, scratch};
use crate::tasks::{Share, unfinished};
use crate::tokens::store::{JOURNAL_FILE, META_FILE, StoreMeta, TokenStore};
use crate::{Error, Result};

const MEANWHILE: &str = "another command makes a store here; pass another `output_dir`, or wait for it and pass \
                         overwrite=True without `num_tasks` to replace the store";

/// What [`finish`] did.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// The content of `meta.json`.
    pub meta: StoreMeta,
    /// Whether the store was already complete.
    pub already_complete: bool,
}

/// Checks that all portions that tasks were to tokenize into `directory` are there, and writes `meta.json`. Removes what
/// killed tasks have left. Returns `None` if the directory holds no token store, complete or not.
///
/// With `num_tasks`, the error about missing portions says which tasks to run again.
///
/// # Errors
/// [`Error::Data`] if portions are missing, or the store was not begun by tasks; [`Error::Input`] if there is no document;
/// [`Error::Rule`] if `num_tasks` is out of its range; [`Error::Io`].
pub fn finish(directory: &Path, num_tasks: Option<u64>) -> Result<Option<Finished>> {
    num_tasks.map(|count| Share::new(0, count)).transpose()?;
    if markers::begun(directory)?.is_none() && !TokenStore::is_store(directory) {
        return Ok(None);
    }
    // Tasks do not lock the directory. A command without tasks does, and completes its store by itself.
    let _lock = lock(directory)?;
    if TokenStore::is_store(directory) {
        let meta = complete_store(directory)?;
        tidy(directory)?;
        return Ok(Some(Finished { meta, already_complete: true }));
    }
    let header = match markers::begun(directory)? {
        Some(Begun::Tasks(header)) => header,
        Some(Begun::Alone) => {
            let reason = "a command without tasks was stopped here; run the same command again to complete its store";
            return Err(Error::data(directory, reason));
        }
        None => return Ok(None),
    };
    let all = markers::markers(directory, &header, 0..header.portions)?;
    let lost: Vec<_> = (0..).zip(&all).filter(|(_, it)| it.is_none()).map(|(index, _)| index).collect();
    if !lost.is_empty() {
        return Err(unfinished(directory, "portion", &lost, header.portions, num_tasks, (1, 1)));
    }
    let meta = complete(directory, &header, all.into_iter().flatten().collect())?;
    Ok(Some(Finished { meta, already_complete: false }))
}

/// Returns the description of a complete store. The parts of a local one are looked at.
pub(super) fn complete_store(directory: &Path) -> Result<StoreMeta> {
    if crate::files::remote::is_remote(directory) {
        return TokenStore::read_meta(directory);
    }
    Ok(TokenStore::open(directory)?.meta().clone())
}

/// Writes `meta.json` for portions of which none is missing, and tidies up. Several tasks may do this at once.
pub(super) fn complete(directory: &Path, header: &Header, portions: Vec<Marker>) -> Result<StoreMeta> {
    let replaced = portions.iter().map(|it| it.replaced).sum();
    let parts: Vec<_> = portions.into_iter().flat_map(|it| it.parts).map(|it| it.part).collect();
    if parts.is_empty() {
        let reason = "no documents: every line of the input is blank or has no tokens; the input must have one sentence \
                      per line. Remove the directory, and run all tasks again";
        return Err(Error::input_at(directory, reason));
    }
    let meta = header.store.clone().with_parts(parts, replaced);
    if !atomic::write_json_new(&directory.join(META_FILE), &meta)? && TokenStore::read_meta(directory)? != meta {
        return Err(Error::exists(directory, MEANWHILE));
    }
    tidy(directory)?;
    Ok(meta)
}

/// Removes what is not needed next to a complete store: the notes of tasks, and temporaries.
pub(super) fn tidy(directory: &Path) -> Result<()> {
    markers::remove(directory)?;
    atomic::remove(&directory.join(JOURNAL_FILE))?;
    TokenStore::remove_temporaries(directory)?;
    scratch::tidy(directory);
    Ok(())
}
