//! The names of files by which one command recognizes what another has written.

use std::ffi::OsStr;
use std::path::Path;

use super::raw::size_optional;
use crate::Result;

/// The file that makes a directory a token store. It is written last.
pub const META_FILE: &str = "meta.json";

/// The journal of an unfinished token store.
pub const JOURNAL_FILE: &str = "tokenize.partial.json";

/// What a directory with output of prepare-text contains until it is complete.
pub const UNFINISHED_CORPUS: &str = "prepare-text.partial.json";

/// Whether `directory` contains a token store, complete or unfinished.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) if a server refuses or does not answer.
pub fn is_token_store(directory: &Path) -> Result<bool> {
    Ok(size_optional(&directory.join(META_FILE))?.is_some() || size_optional(&directory.join(JOURNAL_FILE))?.is_some())
}

/// Whether a file of this name is a note that prepare-text wrote next to its output, and not text.
pub fn is_sidecar(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    [
        &b"prepare-text.config.json"[..],
        b"prepare-text.summary.json",
        b"prepare-text.partial.json",
        b"prepare-text.manifest.json",
    ]
    .iter()
    .any(|own| name.strip_suffix(*own).is_some_and(|rest| rest.is_empty() || rest.ends_with(b".")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sidecars() {
        for name in ["prepare-text.config.json", "corpus.txt.prepare-text.summary.json"] {
            assert!(is_sidecar(OsStr::new(name)), "{name}");
        }
        for name in ["corpus.txt", "my-prepare-text.config.json", "config.json"] {
            assert!(!is_sidecar(OsStr::new(name)), "{name}");
        }
    }
}
