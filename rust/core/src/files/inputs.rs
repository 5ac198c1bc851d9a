//! Finds the files that the arguments of a command name.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::guard::quietly;
use super::marks::{META_FILE, is_sidecar, is_token_store};
use super::raw::Raw;
use super::remote::{self, Address, Listed, Object, Ranges, Reader, Scheme, is_remote};
use crate::{Error, Result};

/// What to do with bytes that are not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum OnBadUtf8 {
    /// Fail with [`Error::InvalidUtf8`].
    #[default]
    Error,
    /// Insert one U+FFFD for each maximal invalid sequence, as `String::from_utf8_lossy` does, and count it.
    Replace,
}

/// How an input can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputKind {
    /// A regular file or a remote object: it has a size, and reading can begin anywhere.
    File,
    /// A pipe or device: it can be read once.
    Stream,
    /// Standard input: it can be read once.
    Stdin,
}

/// One input file or stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputFile {
    /// The path as given or found; `<stdin>` for standard input.
    pub path: PathBuf,
    /// How it can be read.
    pub kind: InputKind,
    /// The size on disk in bytes, compressed or not; 0 for streams.
    pub bytes: u64,
    /// Which version of a remote object this is (its `ETag`), if the server tells. Only this version is read.
    pub version: Option<String>,
}

/// Identifies an input without reading all of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputRecord {
    /// The path as given or found.
    pub path: String,
    /// The size on disk in bytes; `None` for streams.
    pub bytes: Option<u64>,
    /// XXH3-128 of the first and the last 64 KiB, in hexadecimal; the `ETag` of a remote object; `None` for streams.
    pub fingerprint: Option<String>,
}

impl InputFile {
    /// Whether reading can begin anywhere, and more than once.
    pub fn is_seekable(&self) -> bool {
        self.kind == InputKind::File
    }

    /// Opens the file's bytes as they are stored. Waiting for a server ends with an error when `stop` is set.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file.
    pub(crate) fn open(&self, stop: &Arc<AtomicBool>) -> Result<Raw> {
        Ok(match self.ranges(stop)? {
            Some(ranges) => Raw::Remote(Reader::new(Arc::new(ranges), 0)),
            None => {
                Raw::Local(fs::File::open(&self.path).map_err(|error| Error::io("cannot read", &self.path, error))?)
            }
        })
    }

    /// Returns the byte ranges of the file if it is remote. Requests nothing.
    pub(crate) fn ranges(&self, stop: &Arc<AtomicBool>) -> Result<Option<Ranges>> {
        let Some(address) = Address::of(&self.path)? else { return Ok(None) };
        let listed = Listed { address, bytes: self.bytes, version: self.version.clone() };
        Ok(Some(Ranges::new(listed.open()?, Arc::clone(stop))))
    }

    /// Returns the `length` bytes at each of `offsets` of a remote file, or fewer at its end. `None` if the server sends
    /// the file only as a whole.
    pub(crate) fn slices(&self, offsets: &[u64], length: u64) -> Result<Option<Vec<Bytes>>> {
        let Some(address) = Address::of(&self.path)? else { return Ok(None) };
        Listed { address, bytes: self.bytes, version: self.version.clone() }.open()?.slices(offsets, length)
    }

    /// Returns what identifies the file: path, size and a fingerprint of its ends.
    pub fn record(&self) -> Result<InputRecord> {
        let path = self.path.to_string_lossy().into_owned();
        if !self.is_seekable() {
            return Ok(InputRecord { path, bytes: None, fingerprint: None });
        }
        if let Some(version) = &self.version {
            return Ok(InputRecord { path, bytes: Some(self.bytes), fingerprint: Some(version.clone()) });
        }
        let file = self.open(&Arc::default())?;
        let fingerprint = fingerprint(file, self.bytes).map_err(|e| Error::io("cannot read", &self.path, e))?;
        Ok(InputRecord { path, bytes: Some(self.bytes), fingerprint: Some(fingerprint) })
    }
}

/// Returns what identifies the inputs of tasks: names without directories, sizes and fingerprints.
///
/// # Errors
/// [`Error::Io`] if a file cannot be read.
pub(crate) fn digest(files: &[InputFile]) -> Result<String> {
    let records = files.par_iter().map(InputFile::record).collect::<Result<Vec<_>>>()?;
    let mut hash = Xxh3::new();
    for (file, record) in files.iter().zip(records) {
        let name = file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let identity = serde_json::json!([name, record.bytes, record.fingerprint]).to_string();
        hash.update(identity.as_bytes());
        hash.update(b"\n");
    }
    Ok(format!("{:032x}", hash.digest128()))
}

fn fingerprint(mut file: impl Read + Seek, bytes: u64) -> std::io::Result<String> {
    const END: u64 = 64 << 10;
    let mut buffer = Vec::new();
    (&mut file).take(END).read_to_end(&mut buffer)?;
    if bytes > END {
        file.seek(SeekFrom::Start(bytes.saturating_sub(END).max(END)))?;
        file.take(END).read_to_end(&mut buffer)?;
    }
    let mut hash = Xxh3::new();
    hash.update(&buffer);
    Ok(format!("{:032x}", hash.digest128()))
}

/// Returns the files that `inputs` name, in the order in which they are read.
///
/// Each argument is one of these:
/// - a file;
/// - a directory: all files below it, sorted by path, except hidden files and those in which prepare-text notes what it
///   did;
/// - a glob pattern: what it matches, with directories expanded, sorted by path, each file once;
/// - `-`: standard input, at most once.
///
/// A remote path is one of these too: an object, everything below a prefix, or a glob pattern.
///
/// An existing name is never taken for a pattern. A file that two arguments name is read twice.
///
/// # Errors
/// [`Error::Input`] if an argument names nothing, [`Error::Io`] if a file or directory cannot be read.
pub fn expand_inputs<S: AsRef<OsStr>>(inputs: &[S]) -> Result<Vec<InputFile>> {
    if inputs.is_empty() {
        return Err(Error::input("no input: pass text files, directories, glob patterns, or - for standard input"));
    }
    let mut files = Vec::new();
    for input in inputs {
        let input = input.as_ref();
        if input == "-" {
            if files.iter().any(|f: &InputFile| f.kind == InputKind::Stdin) {
                return Err(Error::input("standard input (-) can be read only once; pass it once"));
            }
            files.push(InputFile { path: "<stdin>".into(), kind: InputKind::Stdin, bytes: 0, version: None });
            continue;
        }
        let path = Path::new(input);
        if is_remote(path) {
            files.extend(expand_remote(&Address::parse(path)?)?);
            continue;
        }
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                if is_token_store(path)? {
                    return Err(Error::input_at(path, NOT_TEXT));
                }
                let mut found = BTreeSet::new();
                walk(path, &mut Vec::new(), &mut found)?;
                if found.is_empty() {
                    return Err(Error::input_at(path, EMPTY));
                }
                push_all(found, &mut files)?;
            }
            Ok(metadata) if metadata.is_file() => {
                let bytes = metadata.len();
                files.push(InputFile { path: path.into(), kind: InputKind::File, bytes, version: None });
            }
            Ok(_) => files.push(InputFile { path: path.into(), kind: InputKind::Stream, bytes: 0, version: None }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => push_all(expand_pattern(path)?, &mut files)?,
            Err(e) => return Err(Error::io("cannot read", path, e)),
        }
    }
    Ok(files)
}

fn push_all(paths: BTreeSet<PathBuf>, files: &mut Vec<InputFile>) -> Result<()> {
    for path in paths {
        let bytes = fs::metadata(&path).map_err(|e| Error::io("cannot read", &path, e))?.len();
        files.push(InputFile { path, kind: InputKind::File, bytes, version: None });
    }
    Ok(())
}

const NOT_TEXT: &str = "this is a token store, not text; pass a store as the only input of make-records";
const EMPTY: &str = "the directory contains no files (hidden files are skipped)";

/// Returns the objects that a remote path names, as [`expand_inputs`] describes it.
fn expand_remote(address: &Address) -> Result<Vec<InputFile>> {
    // On the web, `?` begins a query, and `*` or `[` are part of a name.
    let is_pattern = is_pattern(&address.key) && address.scheme != Scheme::Web;
    if !is_pattern && let Some(object) = Object::find(address)? {
        let Object { address, bytes, version, .. } = object;
        return Ok(vec![remote_file(Listed { address, bytes, version })]);
    }
    if address.scheme == Scheme::Web {
        return Err(Error::input_at(address.path(), "no such file on the server"));
    }
    let directory = if is_pattern { before_pattern(&address.key) } else { address.key.trim_end_matches('/') };
    let objects = remote::below(&address.with_key(directory))?;
    let pattern = if is_pattern {
        let wrong = |e: glob::PatternError| {
            Error::input_at(address.path(), format!("not a glob pattern: {} at character {}", e.msg, e.pos + 1))
        };
        Some(glob::Pattern::new(&address.key).map_err(wrong)?)
    } else {
        None
    };
    let mut found = Vec::new();
    let mut names = objects.iter().map(|object| object.address.name());
    if !is_pattern && names.any(|name| name == META_FILE) && is_token_store(&address.path())? {
        return Err(Error::input_at(address.path(), NOT_TEXT));
    }
    for object in objects {
        let key = object.address.key.as_str();
        // What follows the part of the key that the user wrote.
        let inner = match &pattern {
            None => Some(key[directory.len()..].trim_start_matches('/')),
            Some(pattern) => matched(pattern, key),
        };
        let Some(inner) = inner else { continue };
        let is_hidden =
            inner.split('/').any(|name| name.starts_with('.')) || is_sidecar(object.address.name().as_ref());
        if !is_hidden {
            found.push(remote_file(object));
        }
    }
    if found.is_empty() {
        let reason = match (is_pattern, directory.is_empty()) {
            (true, _) => "the pattern matches no object",
            (false, true) => EMPTY,
            (false, false) => "no such object, and no objects below it (hidden ones are skipped)",
        };
        return Err(Error::input_at(address.path(), reason));
    }
    Ok(found)
}

fn remote_file(Listed { address, bytes, version }: Listed) -> InputFile {
    InputFile { path: address.path(), kind: InputKind::File, bytes, version }
}

/// Returns the directory that everything matched by the pattern `key` is in.
fn before_pattern(key: &str) -> &str {
    let end = key.find(['*', '?', '[']).unwrap_or(key.len());
    key[..end].rsplit_once('/').map_or("", |(directory, _)| directory)
}

/// Returns what follows the first part of `key` that `pattern` matches: a directory's name, or everything.
fn matched<'a>(pattern: &glob::Pattern, key: &'a str) -> Option<&'a str> {
    let options = glob::MatchOptions { require_literal_separator: true, ..PATTERN_OPTIONS };
    let ends = key.match_indices('/').map(|(at, _)| at).chain([key.len()]);
    ends.into_iter().find(|&end| pattern.matches_with(&key[..end], options)).map(|end| &key[end..])
}

/// Whether `input`, which [`expand_inputs`] has expanded to `found`, is a directory.
pub(crate) fn is_directory(input: &Path, found: &[InputFile]) -> bool {
    if !is_remote(input) {
        return input.is_dir();
    }
    let path = remote::public(input);
    let is_pattern = path.to_str().is_some_and(is_pattern);
    !is_pattern && !matches!(found, [file] if file.path == path)
}

/// Returns advice for an input that does not exist but looks like several files separated by commas, as other programs
/// accept.
fn comma_advice(input: &Path) -> String {
    let Some(text) = input.to_str().filter(|text| text.contains(',')) else { return String::new() };
    let parts: Vec<_> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    let exists = |part: &str| {
        Path::new(part).exists()
            || quietly(|| glob::glob_with(part, PATTERN_OPTIONS).is_ok_and(|mut found| found.next().is_some()))
                == Some(true)
    };
    let found: Vec<_> = parts.iter().map(|part| exists(part)).collect();
    if !found.contains(&true) {
        return String::new();
    }
    let needs_quotes = |c: char| c.is_whitespace() || is_pattern(c.encode_utf8(&mut [0; 4]));
    let quoted = |part: &&str| if part.contains(needs_quotes) { format!("'{part}'") } else { (*part).to_owned() };
    let list = parts.iter().map(quoted).collect::<Vec<_>>().join(" ");
    let missing: Vec<_> = parts.iter().zip(found).filter(|(_, found)| !found).map(|(part, _)| *part).collect();
    let but = if missing.is_empty() { String::new() } else { format!(" (there is no {})", missing.join(", no ")) };
    format!("; inputs are separated by spaces, not commas: pass {list}{but}")
}

fn expand_pattern(pattern: &Path) -> Result<BTreeSet<PathBuf>> {
    let no_such_file = || Error::input_at(pattern, format!("no such file or directory{}", comma_advice(pattern)));
    // A pattern is text. A name that is not text can only be that of a file.
    let pattern = pattern.to_str().filter(|text| is_pattern(text)).ok_or_else(no_such_file)?;
    let glob = |pattern: &str| glob::glob_with(pattern, PATTERN_OPTIONS);
    let matches = glob(pattern)
        .map_err(|e| Error::input_at(pattern, format!("not a glob pattern: {} at character {}", e.msg, e.pos + 1)))?;
    // The library takes two stars at the end for directories only.
    let directly = pattern.strip_suffix("/**").and_then(|directory| glob(&format!("{directory}/*")).ok());
    let mut found = BTreeSet::new();
    let matches = quietly(|| matches.chain(directly.into_iter().flatten()).collect::<Vec<_>>()).ok_or_else(|| {
        let reason = "a file name in a directory of this pattern is not UTF-8; pass the directory, or rename the file";
        Error::input_at(pattern, reason)
    })?;
    for entry in matches {
        let path = entry.map_err(|e| {
            let path = e.path().to_path_buf();
            Error::io("cannot read", path, e.into())
        })?;
        let metadata = fs::metadata(&path).map_err(|e| Error::io("cannot read", &path, e))?;
        if metadata.is_dir() {
            walk(&path, &mut Vec::new(), &mut found)?;
        } else if metadata.is_file() && !path.file_name().is_some_and(is_sidecar) {
            found.insert(path);
        }
    }
    if found.is_empty() {
        let advice = comma_advice(Path::new(pattern));
        return Err(Error::input_at(pattern, format!("the pattern matches no file{advice}")));
    }
    Ok(found)
}

const PATTERN_OPTIONS: glob::MatchOptions =
    glob::MatchOptions { case_sensitive: true, require_literal_separator: false, require_literal_leading_dot: true };

fn is_pattern(input: &str) -> bool {
    input.contains(['*', '?', '['])
}

/// Refuses an output that lies in a directory of `inputs` or matches a pattern, because the next run would read it as
/// input. A hidden output is not read, so it is accepted.
///
/// # Errors
/// [`Error::Conflict`] naming both.
pub fn refuse_output_in_input<S: AsRef<OsStr>>(inputs: &[S], output: &Path) -> Result<()> {
    if is_remote(output) {
        return refuse_remote_output(inputs, &Address::parse(output)?);
    }
    let Ok(output_absolute) = std::path::absolute(output) else { return Ok(()) };
    let Some(output_real) = canonical(&output_absolute) else { return Ok(()) };
    for input in inputs {
        let input = Path::new(input.as_ref());
        if is_remote(input) {
            continue;
        }
        let is_inside = if input.is_dir() {
            input.canonicalize().is_ok_and(|directory| reads_into(&directory, &output_real))
        } else {
            let absolute = std::path::absolute(input).unwrap_or_default();
            let pattern =
                absolute.to_str().filter(|text| is_pattern(text)).and_then(|text| glob::Pattern::new(text).ok());
            let options = glob::MatchOptions { require_literal_separator: true, ..PATTERN_OPTIONS };
            pattern.is_some_and(|pattern| {
                let mut directories = output_absolute.ancestors();
                directories.any(|it| pattern.matches_path_with(it, options) && reads_into(it, &output_absolute))
            })
        };
        if is_inside {
            return Err(inside(input, output));
        }
    }
    Ok(())
}

fn inside(input: &Path, output: &Path) -> Error {
    let input = input.display();
    let reason = format!(
        "this output is inside the input {input}, so the next command would read it as text; pass another path"
    );
    Error::conflict_at("output", output, reason)
}

fn refuse_remote_output<S: AsRef<OsStr>>(inputs: &[S], output: &Address) -> Result<()> {
    output.check_writable()?;
    for input in inputs {
        let Some(input) = Address::of(Path::new(input.as_ref()))? else { continue };
        if (input.scheme, &input.root) != (output.scheme, &output.root) {
            continue;
        }
        let directory = input.key.trim_end_matches('/');
        let pattern = Some(directory).filter(|key| is_pattern(key)).and_then(|key| glob::Pattern::new(key).ok());
        let rest = match pattern {
            Some(pattern) => matched(&pattern, &output.key),
            None => output.key.strip_prefix(directory).filter(|rest| directory.is_empty() || rest.starts_with('/')),
        };
        let is_read = rest.is_some_and(|rest| !rest.split('/').any(|name| name.starts_with('.')));
        if is_read {
            return Err(inside(&input.path(), &output.path()));
        }
    }
    Ok(())
}

/// Whether reading all of `directory` includes `inner`. Hidden directories on the way prevent this.
fn reads_into(directory: &Path, inner: &Path) -> bool {
    inner.strip_prefix(directory).is_ok_and(|rest| !rest.iter().any(|name| name.as_encoded_bytes().starts_with(b".")))
}

/// Returns the absolute `path` without links. If it does not exist, returns the path that it would have.
pub(crate) fn canonical(path: &Path) -> Option<PathBuf> {
    let (existing, real) = path.ancestors().find_map(|it| Some((it, it.canonicalize().ok()?)))?;
    Some(real.join(path.strip_prefix(existing).ok()?))
}

/// Adds every regular file below `directory`. Follows links, except into a directory that contains them (`parents`).
fn walk(directory: &Path, parents: &mut Vec<PathBuf>, found: &mut BTreeSet<PathBuf>) -> Result<()> {
    let error = |e| Error::io("cannot read", directory, e);
    let real = fs::canonicalize(directory).map_err(error)?;
    if parents.contains(&real) {
        return Ok(());
    }
    parents.push(real);
    for entry in fs::read_dir(directory).map_err(error)? {
        let entry = entry.map_err(error)?;
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(b".") || is_sidecar(&name) {
            continue;
        }
        let path = entry.path();
        let metadata = fs::metadata(&path).map_err(|e| Error::io("cannot read", &path, e))?;
        if metadata.is_dir() {
            walk(&path, parents, found)?;
        } else if metadata.is_file() {
            found.insert(path);
        }
    }
    parents.pop();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(files: &[InputFile], root: &Path) -> Vec<String> {
        files.iter().map(|f| f.path.strip_prefix(root).unwrap().to_string_lossy().into_owned()).collect()
    }

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.txt", "a.txt", "sub/c.txt", "sub/deep/d.md", ".hidden", "sub/.git/x", "[z].txt"] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        fs::create_dir(dir.path().join("empty")).unwrap();
        dir
    }

    #[test]
    fn directories_patterns_and_names() {
        let dir = tree();
        let root = dir.path();
        let arg = |name: &str| root.join(name).to_string_lossy().into_owned();
        let expand = |name: &str| names(&expand_inputs(&[arg(name)]).unwrap(), root);
        let everything = ["[z].txt", "a.txt", "b.txt", "sub/c.txt", "sub/deep/d.md"];
        assert_eq!(expand(""), everything);
        assert_eq!(expand("**/*"), everything);
        assert_eq!(expand("*"), everything);
        assert_eq!(expand("?.txt"), ["a.txt", "b.txt"]);
        assert_eq!(expand("[z].txt"), ["[z].txt"]);
        let files = expand_inputs(&[arg("b.txt"), "-".into(), arg("a.txt"), arg("b.txt")]).unwrap();
        assert_eq!(files.iter().map(|f| f.bytes).collect::<Vec<_>>(), [5, 0, 5, 5]);
        assert_eq!(files[1].kind, InputKind::Stdin);
        for bad in ["nothing.txt", "*.csv", "empty", "empty/*"] {
            match expand_inputs(&[arg(bad)]) {
                Err(error @ Error::Input { .. }) => assert!(error.to_string().contains(bad), "{error}"),
                other => panic!("{bad}: {other:?}"),
            }
        }
        assert!(matches!(expand_inputs(&["-", "-"]), Err(Error::Input { .. })));
        assert!(matches!(expand_inputs::<&str>(&[]), Err(Error::Input { .. })));
    }

    #[test]
    fn files_with_commas_between_them() {
        let dir = tree();
        let at = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
        let message = |input: String| match expand_inputs(&[input]) {
            Err(Error::Input { reason, .. }) => reason,
            other => panic!("{other:?}"),
        };
        let (a, b) = (at("a.txt"), at("b.txt"));
        let advice = "inputs are separated by spaces, not commas: pass";
        assert!(message(format!("{a},{b}")).ends_with(&format!("; {advice} {a} {b}")));
        assert!(message(format!("{a}, {b},")).ends_with(&format!("; {advice} {a} {b}")));
        let text = message(format!("{a},{}", at("no.txt")));
        assert!(text.ends_with(&format!("{advice} {a} {0} (there is no {0})", at("no.txt"))), "{text}");
        let text = message(format!("{},{b}", at("*.txt")));
        assert!(text.contains(&format!("{advice} '{}' {b}", at("*.txt"))), "{text}");
        assert!(!message(at("x,y")).contains(advice));
        // A name may contain a comma.
        fs::write(at("a.txt,b.txt"), "").unwrap();
        assert_eq!(expand_inputs(&[at("a.txt,b.txt")]).unwrap().len(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_parent_ends_the_walk() {
        let dir = tree();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("sub/up")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("a.txt"), dir.path().join("sub/link.txt")).unwrap();
        let files = expand_inputs(&[dir.path()]).unwrap();
        assert_eq!(
            names(&files, dir.path()),
            ["[z].txt", "a.txt", "b.txt", "sub/c.txt", "sub/deep/d.md", "sub/link.txt"]
        );
    }

    #[test]
    fn an_output_that_would_be_read_is_refused() {
        let dir = tree();
        let root = dir.path();
        for (input, output) in
            [("", ""), ("", "new"), ("", "sub/new"), ("*", "new"), ("sub/*", "sub/deep/new"), ("**", "a/b")]
        {
            let error = refuse_output_in_input(&[root.join("a.txt"), root.join(input)], &root.join(output));
            assert!(error.is_err_and(|error| error.to_string().contains("is inside the input")), "{input} {output}");
        }
        for (input, output) in
            [("a.txt", ""), ("sub", "new"), ("*.txt", "new"), ("", ".new"), ("sub", "sub-new"), ("*", "../new")]
        {
            refuse_output_in_input(&[root.join(input)], &root.join(output)).unwrap();
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn names_need_not_be_text() {
        use std::os::unix::ffi::OsStrExt;
        let dir = tree();
        let name = dir.path().join(OsStr::from_bytes(b"\xFF.txt"));
        assert!(matches!(expand_inputs(&[&name]), Err(Error::Input { .. })));
        fs::write(&name, "text").unwrap();
        assert_eq!(expand_inputs(&[&name]).unwrap()[0].path, name);
        // The pattern matches that name too.
        match expand_inputs(&[dir.path().join("*.txt")]) {
            Err(Error::Input { reason, .. }) => assert!(reason.contains("not UTF-8"), "{reason}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_fingerprint_sees_both_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let mut bytes = vec![b'x'; 300_000];
        let mut seen = BTreeSet::new();
        for change in [None, Some(0), Some(65_535), Some(299_999), Some(300_000 - 65_536)] {
            bytes.fill(b'x');
            if let Some(i) = change {
                bytes[i] = b'y';
            }
            fs::write(&path, &bytes).unwrap();
            seen.insert(fingerprint(fs::File::open(&path).unwrap(), fs::metadata(&path).unwrap().len()).unwrap());
        }
        assert_eq!(seen.len(), 5);
    }
}
