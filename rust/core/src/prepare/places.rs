//! Checks where the outputs of prepare-text are: apart from each other, and from the inputs.

use std::ffi::OsStr;
use std::path::Path;

use super::output::Target;
use crate::files::inputs::{InputFile, canonical, refuse_output_in_input};
use crate::files::remote::is_remote;
use crate::{Error, Result};

/// Refuses outputs that are among `inputs`, which are expanded to `files`, or inside each other.
///
/// # Errors
/// [`Error::Conflict`] naming the path.
pub(super) fn check_places<S: AsRef<OsStr>>(
    inputs: &[S],
    files: &[InputFile],
    training: &Target,
    held_out: Option<&Target>,
) -> Result<()> {
    for target in [Some(training), held_out].into_iter().flatten() {
        refuse_output_in_input(inputs, target.path())?;
        let real = |path: &Path| if is_remote(path) { Some(path.to_path_buf()) } else { path.canonicalize().ok() };
        let written = real(target.path());
        if let Some(file) = files.iter().find(|file| written.is_some() && real(&file.path) == written) {
            return Err(Error::conflict_at(
                "output",
                &file.path,
                "this is both an input and an output; pass another output",
            ));
        }
    }
    if let Some(held_out) = held_out {
        // Links and `..` may lead to the same place.
        let real = |target: &Target| {
            let absolute = std::path::absolute(target.path()).unwrap_or_else(|_| target.path().into());
            canonical(&absolute).unwrap_or(absolute)
        };
        let (training, held_out) = (real(training), real(held_out));
        if training.starts_with(&held_out) || held_out.starts_with(&training) {
            return Err(Error::conflict_at(
                "eval_output",
                &held_out,
                format!(
                    "the output for held-out documents must be separate from that for training, {}; pass another \
                     `eval_output`",
                    training.display()
                ),
            ));
        }
    }
    Ok(())
}
