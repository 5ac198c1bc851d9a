//! Keeps what an interrupted run needs to resume: which parts are finished, and where in the input the next part
//! begins.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::markers;
use super::sinks::{Finished, Notes, Place};
use crate::Result;
use crate::error::counted;
use crate::files::atomic;
use crate::files::inputs::{InputFile, InputRecord};
use crate::files::raw::read;
use crate::files::remote::is_remote;
use crate::files::resume::{Difference, Replace, check_same, not_ours};
use crate::tokens::corpus::Position;
use crate::tokens::corpus::portions::Portions;
use crate::tokens::store::{JOURNAL_FILE, PartMeta, StoreMeta, TokenStore, TokenizerInfo, VERSION};

/// A part that is on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FinishedPart {
    pub part: PartMeta,
    /// The position at which the first document of the next part begins.
    pub next: Position,
    /// The portion that this document is of.
    pub portion: usize,
    /// Number of invalid UTF-8 sequences replaced up to there.
    pub replaced: u64,
}

/// The journal, rewritten completely after each part.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Journal {
    version: u32,
    /// What determines the store's bytes in addition to the input and `settings`.
    tokenizer: Value,
    pub settings: Value,
    pub parts: Vec<FinishedPart>,
    pub inputs: Vec<InputRecord>,
    #[serde(skip)]
    directory: PathBuf,
    /// Whether an earlier run left one.
    #[serde(skip)]
    is_known: bool,
}

impl Journal {
    /// Returns the journal of a run that has done nothing yet.
    pub fn new(directory: &Path, tokenizer: &TokenizerInfo, settings: Value, inputs: Vec<InputRecord>) -> Self {
        let tokenizer = tokenizer_settings(&tokenizer.digest, tokenizer.vocab_size);
        Self {
            version: VERSION,
            tokenizer,
            settings,
            parts: Vec::new(),
            inputs,
            directory: directory.into(),
            is_known: false,
        }
    }

    /// Writes the journal of a run that has done nothing yet.
    ///
    /// # Errors
    /// [`Error::Exists`](crate::Error::Exists) if another run has begun in the same bucket meanwhile.
    pub fn begin(&self) -> Result<()> {
        if self.is_known { self.save() } else { atomic::write_json_first(self.path(), self) }
    }

    /// Writes the journal, completely or not at all.
    pub fn save(&self) -> Result<()> {
        atomic::write_json(self.path(), self)
    }

    /// Removes the journal.
    pub fn remove_file(&self) -> Result<()> {
        atomic::remove(&self.path())
    }

    /// Removes the journal and everything else of a store in the directory.
    pub fn remove(&self) -> Result<()> {
        TokenStore::remove(&self.directory)?;
        markers::remove(&self.directory)?;
        self.remove_file()
    }

    /// Whether no other command can be using it: it is local, where outputs are locked, or this run wrote the first one.
    pub fn is_own(&self) -> bool {
        !is_remote(&self.directory) || !self.is_known
    }

    /// The portion in which reading begins, the position, and the number of invalid UTF-8 sequences replaced before it.
    pub fn place(&self) -> (usize, Position, u64) {
        self.parts.last().map_or((0, Position::file_start(0), 0), |it| (it.portion, it.next, it.replaced))
    }

    fn position(&self) -> Position {
        self.place().1
    }

    /// Takes over the finished parts of an earlier run with the same settings, as far as they are intact. Removes
    /// everything else that the run left. Returns a note for the user, if any.
    pub fn resume(
        &mut self,
        directory: &Path,
        files: &[InputFile],
        portions: &Portions,
        vocab_size: u32,
    ) -> Result<Option<String>> {
        let path = self.path();
        let mut note = None;
        if let Some(text) = read(&path)? {
            self.is_known = true;
            let mut found: Self = serde_json::from_slice(&text).map_err(|e| not_ours(&path, &e.to_string()))?;
            if found.place().2 == 0 {
                // So far the text was valid, so both rules give the same.
                if let Some(settings) = found.settings.as_object_mut() {
                    settings.insert("on_bad_utf8".into(), self.settings["on_bad_utf8"].clone());
                }
            }
            let differences = self.differences(&found.tokenizer, &found.settings, found.version);
            check_same(directory, false, &differences, Replace::Overwrite)?;
            let whole = found.parts.iter().take_while(|p| TokenStore::has_part(directory, &p.part, vocab_size));
            self.parts = whole.cloned().collect();
            let reached = self.position().file + 1;
            let streams = files.iter().take(reached).any(|f| !f.is_seekable());
            if streams || found.inputs.iter().take(reached).any(|r| r.bytes.is_none()) {
                self.parts.clear();
                note = Some(
                    "started over, because an earlier command was stopped, and standard input and pipes cannot be \
                     read again"
                        .into(),
                );
            } else {
                let other = self.other_inputs_before(&found.inputs, self.position());
                check_same(directory, false, other.as_slice(), Replace::Overwrite)?;
                // If a later file has another size now, an earlier portion may have another end.
                while self.parts.pop_if(|it| !portions.holds(it.portion, it.next)).is_some() {}
            }
        }
        let keep: Vec<_> = self.parts.iter().map(|it| it.part.file.as_str()).collect();
        TokenStore::remove_parts(directory, &keep)?;
        Ok(note)
    }

    /// Checks that the store in `directory`, of which `meta` is the description, is the one that this run would make.
    pub fn check(&self, directory: &Path, meta: &StoreMeta, is_complete: bool, replace: Replace) -> Result<()> {
        let tokenizer = tokenizer_settings(&meta.tokenizer_digest, meta.vocab_size);
        let mut settings = meta.settings.clone();
        if let Some(settings) = settings.as_object_mut().filter(|_| is_complete) {
            // Older stores have the same documents, in other parts.
            settings.entry("portion_bytes").or_insert_with(|| self.settings["portion_bytes"].clone());
        }
        let mut differences = self.differences(&tokenizer, &settings, meta.version);
        differences.extend(other_inputs(&meta.inputs, &self.inputs));
        if differences.is_empty() && self.inputs.iter().any(|r| r.bytes.is_none()) {
            differences.push(Difference::new("standard input or a pipe, which cannot be compared"));
        }
        check_same(directory, is_complete, &differences, replace)
    }

    fn path(&self) -> PathBuf {
        self.directory.join(JOURNAL_FILE)
    }

    fn differences(&self, tokenizer: &Value, settings: &Value, version: u32) -> Vec<Difference> {
        let version = Difference::of("format version", Some(&json!(version)), Some(&json!(self.version)));
        let mut all: Vec<_> = version.into_iter().collect();
        let map = |value: &Value| value.as_object().cloned().unwrap_or_default();
        if *tokenizer != self.tokenizer {
            all.push(Difference::tokenizer());
        }
        let (mut there, now) = (map(settings), map(&self.settings));
        // A setting that no longer exists does not affect anything.
        there.retain(|name, _| now.contains_key(name));
        all.extend(Difference::of_options(&there, &now));
        all
    }

    /// Returns how the inputs of an earlier run differ from these up to `position`. Inputs after it may have been fixed
    /// or added since, which does not affect the finished parts.
    fn other_inputs_before(&self, found: &[InputRecord], position: Position) -> Option<Difference> {
        let upto = |inputs: &[InputRecord]| {
            let mut inputs: Vec<_> = inputs.iter().take(position.file + 1).cloned().collect();
            if let Some(InputRecord { bytes, fingerprint, .. }) = inputs.get_mut(position.file)
                && position.offset == 0
            {
                (*bytes, *fingerprint) = (None, None);
            }
            inputs
        };
        other_inputs(&upto(found), &upto(&self.inputs))
    }
}

impl Notes for Journal {
    fn add(&mut self, parts: Vec<Finished>) -> Result<()> {
        let before = self.parts.len();
        for Finished { part, next: Place { portion, position, replaced } } in parts {
            if let Some((part, _)) = part {
                self.parts.push(FinishedPart { part, next: position, portion, replaced });
            }
        }
        if self.parts.len() > before { self.save() } else { Ok(()) }
    }
}

/// Returns the first difference between two lists of inputs, if there is one.
fn other_inputs(there: &[InputRecord], now: &[InputRecord]) -> Option<Difference> {
    Some(Difference::new(match there.iter().zip(now).find(|(there, now)| there != now) {
        Some((there, now)) if there.path == now.path => format!("other contents of {}", now.path),
        Some((there, now)) => format!("input {}, not {}", there.path, now.path),
        None if there.len() != now.len() => format!("{}, not {}", counted(there.len(), "input"), now.len()),
        None => return None,
    }))
}

fn tokenizer_settings(digest: &str, vocab_size: u32) -> Value {
    json!({ "tokenizer_digest": digest, "vocab_size": vocab_size })
}
