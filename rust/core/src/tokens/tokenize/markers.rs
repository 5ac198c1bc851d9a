//! What tasks note in the directory of a store: what it is made from, and which portions of the input are complete.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::sinks::{Finished, Notes};
use crate::Result;
use crate::files::atomic;
use crate::files::raw::{names, read as read_file};
use crate::files::remote::{self, Address};
use crate::files::resume::not_ours;
use crate::tokens::store::{JOURNAL_FILE, PartMeta, StoreMeta, TokenStore};

/// The directory of the notes, with a file for each portion.
const DIRECTORY: &str = "tokenize.partial";

/// What the store is made from. It is in the place of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Header {
    /// The number of portions of the input.
    pub portions: u64,
    /// The description of the store, without its parts.
    pub store: StoreMeta,
}

/// What an unfinished store was begun by.
pub(super) enum Begun {
    /// One command.
    Alone,
    /// Tasks.
    Tasks(Box<Header>),
}

/// Returns what has begun the store in `directory`, if something has.
pub(super) fn begun(directory: &Path) -> Result<Option<Begun>> {
    let path = directory.join(JOURNAL_FILE);
    let Some(text) = read_file(&path)? else { return Ok(None) };
    let wrong = |error: serde_json::Error| not_ours(&path, &error.to_string());
    let value: Value = serde_json::from_slice(&text).map_err(wrong)?;
    if value.get("store").is_none() {
        return Ok(Some(Begun::Alone));
    }
    Ok(Some(Begun::Tasks(Box::new(serde_json::from_value(value).map_err(wrong)?))))
}

/// A complete portion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Marker {
    /// Its parts. There are none if no document belongs to it.
    pub parts: Vec<MarkedPart>,
    /// Number of invalid UTF-8 sequences in it that became U+FFFD.
    pub replaced: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct MarkedPart {
    pub part: PartMeta,
    /// The version (`ETag`) of the object. A local file has none.
    version: Option<String>,
}

fn name(portion: u64) -> String {
    format!("{portion:05}.json")
}

fn is_name(name: &str) -> bool {
    name.strip_suffix(".json").is_some_and(|it| it.len() >= 5 && it.bytes().all(|digit| digit.is_ascii_digit()))
}

/// Returns the markers of the portions in `range`. It is `None` for those that are not complete, or have lost a part.
pub(super) fn markers(directory: &Path, header: &Header, range: Range<u64>) -> Result<Vec<Option<Marker>>> {
    let marker = |text: Option<Vec<u8>>| text.and_then(|text| serde_json::from_slice::<Marker>(&text).ok());
    let Some(address) = Address::of(directory)? else {
        let inner = directory.join(DIRECTORY);
        let is_there = |it: &MarkedPart| TokenStore::has_part(directory, &it.part, header.store.vocab_size);
        let found = range.into_par_iter().map(|portion| read_file(&inner.join(name(portion))).map(marker));
        let whole = found.map(|it| it.map(|it| it.filter(|marker| marker.parts.iter().all(is_there))));
        return whole.collect();
    };
    // A bucket lists all objects at once.
    let (noted, objects): (Vec<_>, Vec<_>) =
        remote::below(&address)?.into_iter().partition(|it| it.address.parent().name() == DIRECTORY);
    let noted: HashMap<_, _> = noted.iter().map(|it| (it.address.name(), &it.address)).collect();
    let objects: HashMap<_, _> = objects.iter().map(|it| (it.address.name(), it)).collect();
    let is_there = |it: &MarkedPart| {
        let object = objects.get(it.part.file.as_str());
        object.is_some_and(|object| object.bytes == it.part.bytes && object.version == it.version)
    };
    let found = range.into_par_iter().map(|portion| {
        let text = noted.get(name(portion).as_str()).map(|it| remote::bytes(it)).transpose()?;
        Ok(marker(text.flatten()).filter(|marker| marker.parts.iter().all(is_there)))
    });
    found.collect()
}

/// Returns how many portions are noted as complete, without a look at each.
pub(super) fn count(directory: &Path) -> Result<u64> {
    Ok(names(&directory.join(DIRECTORY))?.iter().filter(|name| is_name(name)).count() as u64)
}

/// Removes all notes, and the directory if nothing else is in it.
pub(super) fn remove(directory: &Path) -> Result<()> {
    let inner = directory.join(DIRECTORY);
    if let Some(address) = Address::of(&inner)? {
        let notes = remote::below(&address)?;
        return notes.par_iter().try_for_each(|it| remote::remove(&it.address));
    }
    if !inner.is_dir() {
        return Ok(());
    }
    match atomic::remove_stale(&inner, is_name) {
        // Another task does the same.
        Err(error) if error.is_missing() => return Ok(()),
        result => result?,
    }
    for name in names(&inner)?.iter().filter(|name| is_name(name)) {
        atomic::remove(&inner.join(name))?;
    }
    // Another task may have added a note since, which it will remove.
    let _ = std::fs::remove_dir(&inner);
    Ok(())
}

/// Writes the markers of portions that are made one after the other.
pub(super) struct Markers<'a> {
    directory: &'a Path,
    /// The portion that is not complete.
    portion: usize,
    parts: Vec<MarkedPart>,
    /// Number of invalid UTF-8 sequences replaced before this portion.
    replaced: u64,
}

impl<'a> Markers<'a> {
    /// Begins with `portion`.
    pub fn new(directory: &'a Path, portion: usize) -> Self {
        Self { directory, portion, parts: Vec::new(), replaced: 0 }
    }
}

impl Notes for Markers<'_> {
    fn add(&mut self, parts: Vec<Finished>) -> Result<()> {
        for Finished { part, next } in parts {
            self.parts.extend(part.map(|(part, version)| MarkedPart { part, version }));
            if next.portion > self.portion {
                let marker = Marker { parts: std::mem::take(&mut self.parts), replaced: next.replaced - self.replaced };
                let path = self.directory.join(DIRECTORY).join(name(self.portion as u64));
                atomic::write_json_apart(&path, &marker)?;
                (self.portion, self.replaced) = (next.portion, next.replaced);
            }
        }
        Ok(())
    }
}
