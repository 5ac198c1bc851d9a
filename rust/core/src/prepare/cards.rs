//! Files that lie beside the data in a data set's folder and are not data: cards, licenses, descriptions, checksums.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::input::{InputFile, expand_inputs};
use crate::{Error, Result};

/// Names of files about the data, in lower case, whatever lies beside them.
const NAMES: &[&str] = &[
    "dataset_info.json",
    "dataset_infos.json",
    "dataset_dict.json",
    "state.json",
    "croissant.json",
    "dumpstatus.json",
    "_success",
    "_metadata",
    "_common_metadata",
    "license",
    "licence",
    "copying",
    "notice",
    "citation.cff",
    "md5sums",
    "sha1sums",
    "sha256sums",
    "sha512sums",
    "md5sums.txt",
    "sha1sums.txt",
    "sha256sums.txt",
    "sha512sums.txt",
    "checksums.txt",
    "wget-log",
];

/// Beginnings of names of files about the data, in lower case: they have no suffix, or one of text.
const STEMS: &[&str] = &["readme", "license", "licence", "copying", "notice", "citation", "changelog"];

/// Suffixes of files about other files, in lower case.
const SUFFIXES: &[&str] = &["crc", "md5", "sha1", "sha256", "sha512", "sig", "asc", "metadata", "lock"];

/// The files that `inputs` name, as [`expand_inputs`] has them, and those of folders among them that are passed over.
///
/// A file that is named itself is always read, and so are all files of a folder that holds only such files. A README with a
/// suffix is read where files with the same suffix lie beside it: it is then one text among others.
pub(crate) fn expand<S: AsRef<OsStr>>(inputs: &[S]) -> Result<(Vec<InputFile>, Vec<PathBuf>)> {
    if inputs.iter().all(|input| !Path::new(input).is_dir()) {
        return Ok((expand_inputs(inputs)?, Vec::new()));
    }
    if inputs.iter().filter(|input| input.as_ref() == "-").count() > 1 {
        return Err(Error::Input("standard input (-) is named twice; it can be read once".into()));
    }
    let (mut files, mut passed_over) = (Vec::new(), Vec::new());
    for input in inputs {
        let found = expand_inputs(&[input])?;
        if !Path::new(input).is_dir() {
            files.extend(found);
            continue;
        }
        let data: BTreeSet<String> =
            found.iter().filter(|it| card(&it.path) == Card::No).map(|it| suffix(&it.path)).collect();
        let (cards, rest): (Vec<_>, Vec<_>) = found.into_iter().partition(|it| match card(&it.path) {
            Card::No => false,
            Card::Yes => !data.is_empty(),
            Card::Unless(suffix) => !data.is_empty() && !data.contains(&suffix),
        });
        files.extend(rest);
        passed_over.extend(cards.into_iter().map(|it| it.path));
    }
    Ok((files, passed_over))
}

/// One line that names the files that were passed over; none if there are none.
pub(crate) fn note(passed_over: &[PathBuf]) -> Option<String> {
    const NAMED: usize = 5;
    if passed_over.is_empty() {
        return None;
    }
    let names: Vec<String> = passed_over.iter().take(NAMED).map(|it| it.display().to_string()).collect();
    let more =
        if passed_over.len() > NAMED { format!(" and {} more", passed_over.len() - NAMED) } else { String::new() };
    Some(format!("skipped files about the data: {}{more}; name a file to have it read", names.join(", ")))
}

#[derive(Debug, PartialEq, Eq)]
enum Card {
    No,
    Yes,
    /// Unless files with this suffix are the data.
    Unless(String),
}

fn suffix(path: &Path) -> String {
    path.extension().map(|it| it.to_string_lossy().to_lowercase()).unwrap_or_default()
}

fn card(path: &Path) -> Card {
    let name = path.file_name().map(|it| it.to_string_lossy().to_lowercase()).unwrap_or_default();
    let suffix = suffix(path);
    // The index of a multistream dump has titles and places only.
    let is_index = name.contains("-multistream-index") && name.contains(".txt");
    if NAMES.contains(&name.as_str())
        || SUFFIXES.contains(&suffix.as_str())
        || is_index
        || name.starts_with("_committed_")
        || name.starts_with("_started_")
    {
        return Card::Yes;
    }
    let stem = name.strip_suffix(&format!(".{suffix}")).unwrap_or(&name);
    if STEMS.contains(&stem) && matches!(suffix.as_str(), "" | "md" | "txt" | "rst" | "html" | "bib") {
        return if suffix.is_empty() { Card::Yes } else { Card::Unless(suffix) };
    }
    // The script that loads a data set has its folder's name.
    let folder = path.parent().and_then(Path::file_name).map(|it| it.to_string_lossy().to_lowercase());
    if suffix == "py" && folder.is_some_and(|it| it == stem) { Card::Unless(suffix) } else { Card::No }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(names: &[&str]) -> (Vec<String>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("wiki");
        for name in names {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        let (files, passed_over) = expand(&[&root]).unwrap();
        let short = |path: &Path| path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        for path in &passed_over {
            assert_eq!(expand(&[path]).unwrap().0[0].path, *path, "a file that is named is read");
        }
        (files.iter().map(|it| short(&it.path)).collect(), passed_over.iter().map(|it| short(it)).collect())
    }

    #[test]
    fn cards_beside_data() {
        let (files, cards) = read(&[
            "README.md",
            "LICENSE",
            "a/0.parquet",
            "a/0.parquet.crc",
            "dataset_infos.json",
            "_SUCCESS",
            "wiki.py",
            "x-multistream-index.txt.bz2",
            "notes.md.jsonl",
            "readme-first.jsonl",
            "metadata.jsonl",
            "SHA256SUMS",
        ]);
        assert_eq!(files, ["a/0.parquet", "metadata.jsonl", "notes.md.jsonl", "readme-first.jsonl"]);
        assert_eq!(cards.len(), 8);
    }

    #[test]
    fn texts_that_are_called_so() {
        assert_eq!(read(&["README.md", "b.md"]).0, ["README.md", "b.md"]);
        assert_eq!(read(&["README.md", "sub/README.md"]).0, ["README.md", "sub/README.md"]);
        assert_eq!(
            read(&["README.txt", "b.txt", "LICENSE"]),
            (vec!["README.txt".into(), "b.txt".into()], vec!["LICENSE".into()])
        );
        assert_eq!(read(&["README.md", "b.txt"]).0, ["b.txt"]);
    }

    #[test]
    fn they_are_named_in_one_line() {
        assert_eq!(note(&[]), None);
        let many: Vec<PathBuf> = (0..7).map(|i| format!("{i}/README.md").into()).collect();
        let note = note(&many).unwrap();
        assert!(note.contains("0/README.md, 1/README.md") && note.contains("4/README.md and 2 more"), "{note}");
    }
}
