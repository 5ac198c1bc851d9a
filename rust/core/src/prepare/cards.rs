//! Finds files in a dataset's directory that are not data: cards, licenses, descriptions, checksums.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::files::inputs::{InputFile, expand_inputs, is_directory};
use crate::files::raw;
use crate::files::remote::is_remote;
use crate::{Error, Result};

/// Names in lowercase of files that are never data.
#[rustfmt::skip]
const NAMES: &[&str] = &[
    "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "croissant.json", "dumpstatus.json",
    "metadata.json", "dataset-metadata.json", "datapackage.json", "schema.json", "manifest.json", "_success", "_metadata",
    "_common_metadata", "license", "licence", "copying", "notice", "manifest", "authors", "citation.cff", "dataset_card.md",
    "datasheet.md", "requirements.txt", "md5sums", "sha1sums", "sha256sums", "sha512sums", "md5sums.txt", "sha1sums.txt",
    "sha256sums.txt", "sha512sums.txt", "checksums.txt", "wget-log", "makefile", "dockerfile", "thumbs.db", "ehthumbs.db",
    "desktop.ini",
];

/// Beginnings, in lowercase, of the names of files about the data. The name ends there, or `.`, `_` or `-` follows.
/// Such a file has no suffix, or one in [`TEXTS`].
#[rustfmt::skip]
const STEMS: &[&str] = &[
    "readme", "license", "licence", "copying", "copyright", "notice", "citation", "changelog", "authors", "contributors",
    "contributing", "datasheet", "dataset_card", "dataset-card", "data_card", "data-card", "terms", "references", "manifest",
    "index",
];

/// Suffixes of text that a file in [`STEMS`] may have.
const TEXTS: &[&str] =
    &["", "md", "markdown", "txt", "rst", "adoc", "org", "html", "htm", "pdf", "bib", "json", "yaml", "yml"];

/// Suffixes, in lowercase, of files about other files, or of incomplete files.
#[rustfmt::skip]
const SUFFIXES: &[&str] = &[
    "crc", "crc32", "md5", "sha1", "sha256", "sha384", "sha512", "md5sum", "sha1sum", "sha256sum", "sha384sum", "sha512sum",
    "sig", "asc", "metadata", "lock", "idx", "jsonld", "aria2", "torrent", "dvc", "tmp", "bak", "part", "crdownload", "swp",
];

/// Suffixes of programs and settings, which are data only if they are the majority.
const PROGRAMS: &[&str] = &["py", "ipynb", "sh", "bib", "ini", "cfg", "toml", "yaml", "yml"];

/// The maximum size of a JSON description in bytes.
const LONGEST_DESCRIPTION: u64 = 1 << 20;

/// Returns the files to read for `inputs`, as [`expand_inputs`] finds them, and the files to skip.
///
/// Files are skipped only in directories. A file that an argument names is always read, and so is a directory without
/// any data files. A README with a suffix is read if data files have the same suffix, because it is then one text among
/// others. A `.json` file that is a single object without `field` is skipped if there are at least as many other files.
pub(crate) fn expand<S: AsRef<OsStr>>(inputs: &[S], field: &str) -> Result<(Vec<InputFile>, Vec<PathBuf>)> {
    if inputs.iter().all(|input| !is_remote(Path::new(input)) && !Path::new(input).is_dir()) {
        return Ok((expand_inputs(inputs)?, Vec::new()));
    }
    if inputs.iter().filter(|input| input.as_ref() == "-").count() > 1 {
        return Err(Error::input("standard input (-) can be read only once; pass it once"));
    }
    let (mut files, mut skipped) = (Vec::new(), Vec::new());
    for input in inputs {
        let found = expand_inputs(&[input])?;
        if !is_directory(Path::new(input), &found) {
            files.extend(found);
            continue;
        }
        let mut cards: Vec<Card> = found.iter().map(|it| card(&it.path)).collect();
        let count = |cards: &[Card], kind: &Card| cards.iter().filter(|it| *it == kind).count();
        let described =
            || found.iter().zip(&cards).filter(|(it, card)| **card == Card::No && is_description(it, field));
        let descriptions: BTreeSet<PathBuf> = described().map(|(it, _)| it.path.clone()).collect();
        if descriptions.len() * 2 <= count(&cards, &Card::No) {
            for (card, _) in cards.iter_mut().zip(&found).filter(|(_, it)| descriptions.contains(&it.path)) {
                *card = Card::Yes;
            }
        }
        if count(&cards, &Card::Program) > count(&cards, &Card::No) {
            cards.iter_mut().filter(|card| **card == Card::Program).for_each(|card| *card = Card::No);
        }
        let is_data = found.iter().zip(&cards).filter(|(_, card)| **card == Card::No);
        let data: BTreeSet<String> = is_data.map(|(it, _)| suffix(&it.path)).collect();
        for (file, card) in found.into_iter().zip(cards) {
            let is_skipped = match card {
                Card::No => false,
                Card::Yes | Card::Program => !data.is_empty(),
                Card::Unless(suffix) => !data.is_empty() && !data.contains(&suffix),
            };
            if is_skipped { skipped.push(file.path) } else { files.push(file) }
        }
    }
    Ok((files, skipped))
}

/// Whether a file is a single JSON object that lacks the text field: it describes the data.
fn is_description(file: &InputFile, field: &str) -> bool {
    if suffix(&file.path) != "json" || !file.is_seekable() || file.bytes > LONGEST_DESCRIPTION {
        return false;
    }
    let first = field.split('.').next().unwrap_or_default();
    let fields = raw::read(&file.path).ok().flatten().and_then(|text| {
        let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&text);
        serde_json::from_slice::<serde_json::Map<String, Value>>(text).ok()
    });
    fields.is_some_and(|fields| !fields.contains_key(field) && !fields.contains_key(first) && !holds_records(&fields))
}

/// Whether an object contains an array of objects, which may be the data.
fn holds_records(fields: &serde_json::Map<String, Value>) -> bool {
    fields.values().any(|it| it.as_array().is_some_and(|items| items.len() > 1 && items.iter().all(Value::is_object)))
}

/// Returns one line that names the skipped files, or `None` if there are none.
pub(crate) fn note(skipped: &[PathBuf]) -> Option<String> {
    const NAMED: usize = 5;
    if skipped.is_empty() {
        return None;
    }
    let names: Vec<String> = skipped.iter().take(NAMED).map(|it| it.display().to_string()).collect();
    let more = if skipped.len() > NAMED { format!(" and {} more", skipped.len() - NAMED) } else { String::new() };
    Some(format!("skipped files about the data: {}{more}; to read one of them, pass its name", names.join(", ")))
}

#[derive(Debug, PartialEq, Eq)]
enum Card {
    No,
    Yes,
    /// A card, unless the data files have this suffix.
    Unless(String),
    /// A card, unless there are more programs than other files.
    Program,
}

fn suffix(path: &Path) -> String {
    path.extension().map(|it| it.to_string_lossy().to_lowercase()).unwrap_or_default()
}

fn card(path: &Path) -> Card {
    let name = path.file_name().map(|it| it.to_string_lossy().to_lowercase()).unwrap_or_default();
    let suffix = suffix(path);
    // The index of a multistream dump contains only titles and positions.
    let is_index = name.contains("-multistream-index") && name.contains(".txt");
    if NAMES.contains(&name.as_str())
        || name.ends_with('~')
        || SUFFIXES.contains(&suffix.as_str())
        || is_index
        || name.starts_with("_committed_")
        || name.starts_with("_started_")
    {
        return Card::Yes;
    }
    let is_stem = |stem: &&str| {
        let rest = name.strip_prefix(*stem);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '_', '-']))
    };
    if STEMS.iter().any(is_stem) {
        // An apparent suffix may be a version: LICENSE-2.0.
        if suffix.is_empty() || suffix.bytes().all(|byte| byte.is_ascii_digit()) {
            return Card::Yes;
        }
        if TEXTS.contains(&suffix.as_str()) {
            return Card::Unless(suffix);
        }
    }
    if PROGRAMS.contains(&suffix.as_str()) { Card::Program } else { Card::No }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(names: &[&str]) -> (Vec<String>, Vec<String>) {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("wiki");
        for name in names {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        let (files, skipped) = expand(&[&root], "text").unwrap();
        let short = |path: &Path| path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        for path in &skipped {
            assert_eq!(expand(&[path], "text").unwrap().0[0].path, *path, "a file that is named is read");
        }
        (files.iter().map(|it| short(&it.path)).collect(), skipped.iter().map(|it| short(it)).collect())
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
    fn files_about_the_data_are_skipped() {
        for name in [
            "wikitext.py",
            "README_CN.md",
            "README.zh.md",
            "data.jsonl.sha256sum",
            "data.jsonl.sha1sum",
            "requirements.txt",
            "LICENSE-2.0.txt",
            "LICENSE_CC.txt",
            "LICENSE-2.0",
            "MANIFEST",
            "AUTHORS",
            "DATASHEET.md",
            "dataset_card.md",
            "TERMS.txt",
            "desktop.ini",
            "references.bib",
            "Makefile",
            "data.jsonl.tmp",
            "data.jsonl.bak",
            "data.jsonl~",
            "metadata.json",
            "dataset-metadata.json",
            "schema.json",
            "croissant.jsonld",
            "Thumbs.db",
            "data.jsonl.idx",
            "data.jsonl.aria2",
            "data.jsonl.dvc",
            "index.html",
            "download.sh",
            "config.yaml",
        ] {
            assert_eq!(read(&["data.jsonl", name]), (vec!["data.jsonl".into()], vec![name.into()]), "{name}");
        }
        assert_eq!(read(&["README_de.md", "readme.md", "data.jsonl"]).0, ["data.jsonl"]);
        for name in ["notes.txt", "indexes.txt", "readmes.jsonl", "termsheet.txt", "b.parquet", "metadata.jsonl"] {
            assert_eq!(read(&["data.jsonl", name]).1, Vec::<String>::new(), "{name}");
        }
        assert_eq!(read(&["a.py", "b.py", "c.txt"]).1, Vec::<String>::new());
    }

    #[test]
    fn an_object_without_the_field_is_a_description() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        let read = |field: &str| {
            let (_, skipped) = expand(&[directory.path()], field).unwrap();
            skipped.iter().map(|it| it.file_name().unwrap().to_string_lossy().into_owned()).collect::<Vec<_>>()
        };
        write("config.json", "{\n \"name\": \"wiki\"\n}\n");
        assert_eq!(read("text"), Vec::<String>::new(), "nothing else is there");
        write("data.jsonl", "{\"text\": \"One.\"}\n");
        assert_eq!(read("text"), ["config.json"]);
        assert_eq!(read("name"), Vec::<String>::new());
        write("config.json", "{\"data\": [{\"text\": \"One.\"}, {\"text\": \"Two.\"}]}");
        assert_eq!(read("text"), Vec::<String>::new(), "it holds data");
    }

    #[test]
    fn texts_with_names_of_cards_are_read() {
        assert_eq!(read(&["README.md", "b.md"]).0, ["README.md", "b.md"]);
        assert_eq!(read(&["README.md", "sub/README.md"]).0, ["README.md", "sub/README.md"]);
        assert_eq!(
            read(&["README.txt", "b.txt", "LICENSE"]),
            (vec!["README.txt".into(), "b.txt".into()], vec!["LICENSE".into()])
        );
        assert_eq!(read(&["README.md", "b.txt"]).0, ["b.txt"]);
    }

    #[test]
    fn skipped_files_are_named_in_one_line() {
        assert_eq!(note(&[]), None);
        let many: Vec<PathBuf> = (0..7).map(|i| format!("{i}/README.md").into()).collect();
        let note = note(&many).unwrap();
        assert!(note.contains("0/README.md, 1/README.md") && note.contains("4/README.md and 2 more"), "{note}");
    }
}
