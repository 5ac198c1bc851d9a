//! Requests the beginnings of the next remote files while one is read, so that many small files cost little waiting.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use crate::Result;
use crate::files::inputs::InputFile;
use crate::files::raw::Raw;
use crate::files::remote::{Ranges, Reader, is_remote};

/// The most files whose beginnings are requested ahead.
const FILES: usize = 16;

/// The remote files of a list, of which the next ones are requested.
#[derive(Clone, Default)]
pub(crate) struct Ahead(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    files: Vec<InputFile>,
    numbers: HashMap<PathBuf, usize>,
    coming: HashMap<usize, Ranges>,
}

impl std::fmt::Debug for Ahead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ahead")
    }
}

impl Ahead {
    /// Prepares for `files`, which are opened in this order. Requests nothing yet.
    pub fn of(files: &[InputFile]) -> Self {
        let remote = files.iter().filter(|file| is_remote(&file.path));
        let files: Vec<_> = remote.cloned().collect();
        let numbers = files.iter().enumerate().map(|(number, file)| (file.path.clone(), number)).collect();
        Self(Arc::new(Mutex::new(State { files, numbers, coming: HashMap::new() })))
    }

    /// Opens `file`, and requests the beginnings of those that follow it.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) naming the file.
    pub fn open(&self, file: &InputFile, stop: &Arc<AtomicBool>) -> Result<Raw> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(&number) = state.numbers.get(&file.path) else { return file.open(stop) };
        let this = state.coming.remove(&number);
        let next = number + 1..state.files.len().min(number + 1 + FILES);
        state.coming.retain(|number, _| next.contains(number));
        for number in next {
            if !state.coming.contains_key(&number)
                && let Some(ranges) = state.files[number].ranges(stop)?
            {
                ranges.begin();
                state.coming.insert(number, ranges);
            }
        }
        match this {
            Some(ranges) => Ok(Raw::Remote(Reader::new(Arc::new(ranges), 0))),
            None => file.open(stop),
        }
    }
}
