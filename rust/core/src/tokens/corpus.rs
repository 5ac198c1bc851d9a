//! Checks whether an input is a corpus: text with one sentence per line, not data that must first go through
//! `prepare-text`.

mod blocks;
pub(crate) mod portions;

pub use blocks::{Block, BlockReader, Piece, Position};
pub use portions::PORTION_BYTES;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{BufRead, Cursor, Read};
use std::path::Path;

use rayon::prelude::*;
use serde::de::IgnoredAny;

use crate::files::inputs::{InputFile, InputKind};
use crate::files::marks::UNFINISHED_CORPUS;
use crate::files::raw::size_optional;
use crate::files::remote::is_remote;
use crate::files::source::{Meter, Source};
use crate::prepare::cards;
use crate::prepare::read::format::{HEAD, Kind, kind_of_name, recognize};
use crate::{Error, Result};

/// Default for the longest line in bytes, without its newline: 16 MiB.
pub const MAX_LINE: usize = 16 << 20;

/// Default for the bytes of text in a block. It is small enough that a wave of blocks spreads evenly over the threads,
/// and large enough that passing on a block costs almost nothing.
pub const BLOCK_BYTES: usize = 256 << 10;

/// The number of bytes that suffices for a decision. Only an input that ends earlier has fewer.
const ENOUGH: usize = 16 << 10;
/// The number of first lines to examine if markup or JSON may be a line of a text.
const LINES: usize = 16;

/// The files of a corpus.
#[derive(Debug)]
pub struct Corpus {
    /// The files to read, in this order.
    pub files: Vec<InputFile>,
    /// Notes for the user: files of a directory that describe its data and are skipped.
    pub notes: Vec<String>,
}

/// Returns the files that `inputs` name, as [`expand_inputs`](crate::files::inputs::expand_inputs) does, without
/// READMEs, licenses, checksums and the like in the same directory as the data.
///
/// # Errors
/// As [`expand_inputs`](crate::files::inputs::expand_inputs); [`Error::Input`] if a directory has output of prepare-text
/// that is not complete.
pub fn expand_corpus<S: AsRef<OsStr>>(inputs: &[S]) -> Result<Corpus> {
    // Such a directory may have no text yet.
    let mut named = inputs.iter().map(AsRef::as_ref).filter(|input| *input != "-").map(Path::new);
    named.try_for_each(|path| if !is_remote(path) && path.is_dir() { check_complete(path) } else { Ok(()) })?;
    let (files, skipped) = cards::expand(inputs, "text")?;
    // Standard input and pipes are in no directory.
    let in_directories = files.iter().filter(|file| file.is_seekable());
    let directories: BTreeSet<&Path> = in_directories.filter_map(|file| file.path.parent()).collect();
    directories.into_par_iter().try_for_each(check_complete)?;
    Ok(Corpus { files, notes: cards::note(&skipped).into_iter().collect() })
}

/// Refuses a directory in which prepare-text has not ended yet. Its files are whole, but some are missing.
fn check_complete(directory: &Path) -> Result<()> {
    let name = directory.to_string_lossy();
    // These servers hold no output of prepare-text.
    let is_foreign = ["http:/", "https:/", "hf:/"].iter().any(|scheme| name.starts_with(scheme));
    if is_foreign || size_optional(&directory.join(UNFINISHED_CORPUS))?.is_none() {
        return Ok(());
    }
    let place = if name.is_empty() { Path::new(".") } else { directory };
    Err(Error::input_at(
        place,
        "this corpus is not complete; run the same prepare-text command again, or finish if its tasks have ended",
    ))
}

/// Refuses, before any work, the inputs that [`check`] would refuse when they are read. Skips standard input and pipes,
/// which can be read only once.
pub(crate) fn check_all(files: &[InputFile]) -> Result<()> {
    let check = |file: &InputFile, meter: &Meter| check(&mut Source::open(file, None, 0, meter)?, file);
    let (remote, local): (Vec<_>, Vec<_>) =
        files.iter().filter(|file| file.is_seekable()).cloned().partition(|file| is_remote(&file.path));
    // Requests run in parallel by themselves.
    let meter = Meter::of(&remote);
    remote.iter().try_for_each(|file| check(file, &meter))?;
    local.par_iter().try_for_each(|file| check(file, &Meter::default()))
}

/// Refuses an input that holds JSON Lines, a table, markup or binary data. It must be open at its beginning.
///
/// # Errors
/// [`Error::Data`] saying what the input is and what to do; errors from reading.
pub(super) fn check(source: &mut Source, file: &InputFile) -> Result<()> {
    let is_plain = file.kind == InputKind::File && !source.is_compressed();
    let head = match source.reader.fill_buf() {
        Ok(head) => head,
        Err(error) => return Err(source.error(file, error)),
    };
    let is_blank = head.trim_ascii().is_empty();
    let whole = head.is_empty() || is_plain && head.len() as u64 >= file.bytes;
    let reason = if whole || head.len() >= ENOUGH {
        why_not(head, whole)
    } else {
        // The input is a pipe, or a decompressor that returns few bytes at a time.
        let mut head = Vec::new();
        let read = (&mut source.reader).take(HEAD as u64).read_to_end(&mut head);
        read.map_err(|error| source.error(file, error))?;
        let reason = why_not(&head, head.len() < HEAD);
        let rest = std::mem::replace(&mut source.reader, Box::new(std::io::empty()));
        source.reader = Box::new(Cursor::new(head).chain(rest));
        reason
    };
    let reason = reason.or_else(|| {
        let kind = kind_of_name(&file.path).filter(|_| !is_blank)?;
        Some(format!(
            "by its name, this is {}, not text with one sentence per line; run albert-fast prepare-text on it and pass its \
             output, or pass format='text' to read it as plain text",
            kind.what()
        ))
    });
    reason.map_or(Ok(()), |reason| Err(Error::data(&file.path, reason)))
}

/// Returns why an input that begins with `head` is not a corpus, and what to do. Returns `None` if it is one.
fn why_not(head: &[u8], whole: bool) -> Option<String> {
    let head = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head);
    let kind = recognize(head, whole);
    if kind == Kind::Text || kind.may_be_text() && is_one_line_only(head, whole, kind) {
        return None;
    }
    let what = kind.what();
    let mut reason = match kind.advice() {
        // A file that only points to the data.
        Some(advice) if what.ends_with(", not the data") => format!("this is {what}; {advice}"),
        Some(advice) => format!("this is {what}, not text with one sentence per line; {advice}"),
        None => format!(
            "this is {what}, not text with one sentence per line; run albert-fast prepare-text on it and pass its output"
        ),
    };
    if kind.may_be_text() {
        reason.push_str(", or pass format='text' to read it as plain text");
    }
    Some(reason)
}

/// Strings that no text begins with, in lowercase.
const DECLARATIONS: [&[u8]; 6] = [b"<?xml", b"<!doctype", b"<html", b"<doc ", b"<mediawiki", b"<page"];

/// Whether only few of the first lines look like data of this kind, so that the input is a text about such data.
fn is_one_line_only(head: &[u8], whole: bool, kind: Kind) -> bool {
    let text = head.trim_ascii_start();
    let begins = |start: &[u8]| text.get(..start.len()).is_some_and(|it| it.eq_ignore_ascii_case(start));
    if DECLARATIONS.iter().any(|start| begins(start)) {
        return false;
    }
    let mut lines: Vec<&[u8]> = head.split(|&byte| byte == b'\n').collect();
    if !whole {
        // The last line continues after the head.
        lines.pop();
    }
    let lines: Vec<_> = lines.into_iter().map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()).take(LINES).collect();
    let is_like = |line: &[u8]| match (kind, line) {
        (Kind::Jsonl, [b'{', ..]) => serde_json::from_slice::<IgnoredAny>(line).is_ok(),
        (Kind::Jsonl, _) => false,
        _ => !head.starts_with(b"<") || line.contains(&b'<'),
    };
    2 * lines.iter().filter(|line| is_like(line)).count() < lines.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_corpus_that_is_not_complete_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("corpus-00000-of-00002.txt");
        std::fs::write(&file, "Ein Satz.\n").unwrap();
        std::fs::write(directory.path().join(UNFINISHED_CORPUS), "{}").unwrap();
        for input in [directory.path(), &file] {
            let error = expand_corpus(&[input]).map(|corpus| corpus.files).unwrap_err().to_string();
            assert!(error.contains("this corpus is not complete; run the same prepare-text command again"), "{error}");
        }
        // In the first rounds, there is no text yet.
        std::fs::rename(&file, directory.path().join(".kept")).unwrap();
        let error = expand_corpus(&[directory.path()]).unwrap_err();
        assert_eq!(error.facts().path, Some(directory.path()));
        assert!(error.to_string().contains("this corpus is not complete"), "{error}");
        std::fs::rename(directory.path().join(".kept"), &file).unwrap();
        std::fs::remove_file(directory.path().join(UNFINISHED_CORPUS)).unwrap();
        assert_eq!(expand_corpus(&[directory.path()]).unwrap().files.len(), 1);
    }

    #[test]
    fn what_is_no_corpus() {
        for (text, what) in [
            ("{\"text\": \"Ein Satz.\"}\n{\"text\": \"Noch einer.\"}\n", "JSON Lines"),
            ("\u{FEFF}{\"text\": \"Ein Satz.\"}\n", "JSON Lines"),
            ("<mediawiki xmlns=\"x\">\n<page>\n", "MediaWiki"),
            ("<!DOCTYPE html>\n<html><body>x</body></html>\n", "HTML"),
            ("<?xml version=\"1.0\"?>\n<TEI>\n<p>Ein Satz.</p>\n</TEI>\n", "XML"),
            ("<doc id=\"1\" url=\"u\" title=\"t\">\nEin Satz.\n</doc>\n", "wikiextractor"),
            ("<!DOCTYPE html>\n<html>\nEin Satz.\nNoch einer.\nUnd einer.\n</html>\n", "HTML"),
            ("id,text\n1,Ein Satz.\n2,Noch einer.\n3,Und einer.\n", "CSV"),
            ("id\ttext\n1\tEin Satz.\n2\tNoch einer.\n", "TSV"),
        ] {
            let reason = why_not(text.as_bytes(), true).unwrap_or_else(|| panic!("{text}"));
            assert!(reason.contains(what), "{reason}");
            assert!(reason.contains("format='text'"), "{reason}");
        }
        let reason = why_not(b"PAR1\x15\x04\x15\x10", false).unwrap();
        assert!(reason.contains("Parquet") && !reason.contains("format="), "{reason}");
    }

    #[test]
    fn what_is_a_corpus() {
        for text in [
            "",
            "Ein Satz.\nNoch einer.\n",
            "{x} ist eine Menge.\nNoch ein Satz.\n",
            "{\"a\": 1}\nist ein Objekt.\nDer Rest ist Text.\n",
            "<b>Fett</b> ist das.\nDer Rest ist Text.\nUnd noch ein Satz.\n",
            "<3\nDer Rest ist Text.\n",
            "[1] Ein Beleg.\n[2] Noch einer.\n",
            "Guten Tag, Herr Müller.\nEr kam, sah und siegte.\n",
        ] {
            assert_eq!(why_not(text.as_bytes(), true), None, "{text}");
        }
    }
}
