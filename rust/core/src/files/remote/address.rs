//! The addresses of remote files: what the scheme, the bucket and the key of a path are.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::RwLock;

use crate::{Error, Result};

/// How the files of an address are read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Scheme {
    /// `s3://BUCKET/KEY`.
    S3,
    /// `gs://BUCKET/KEY`.
    Google,
    /// `az://CONTAINER/KEY`, `abfs://CONTAINER@ACCOUNT.dfs.core.windows.net/KEY` and `abfss://`.
    Azure,
    /// `http://` and `https://`. Read only.
    Web,
    /// `hf://datasets/OWNER/NAME[@REVISION]/PATH`. Read only.
    Hub,
}

const SCHEMES: [(&str, Scheme); 10] = [
    ("s3", Scheme::S3),
    ("s3a", Scheme::S3),
    ("gs", Scheme::Google),
    ("az", Scheme::Azure),
    ("azure", Scheme::Azure),
    ("abfs", Scheme::Azure),
    ("abfss", Scheme::Azure),
    ("http", Scheme::Web),
    ("https", Scheme::Web),
    ("hf", Scheme::Hub),
];

/// Schemes of other programs, which are refused by name. Any other name with a colon may be that of a local file.
const FOREIGN: [&str; 8] = ["ftp", "sftp", "hdfs", "file", "ssh", "wasb", "wasbs", "webhdfs"];

/// A remote path.
///
/// Its [`Display`](fmt::Display) is what messages and notes show. It has neither a user's name and password nor the
/// query, which may be a signature.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub scheme: Scheme,
    /// The scheme as it is written: `abfss`.
    pub prefix: String,
    /// Bucket, container or host; of the Hub, `datasets/OWNER/NAME[@REVISION]`.
    pub root: String,
    /// The rest without its leading slash. Empty for the whole bucket.
    pub key: String,
    secret: Option<Secret>,
}

/// The parts of a web address that are never shown.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Secret {
    user: Option<String>,
    query: Option<String>,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.prefix, self.root)?;
        if self.key.is_empty() { Ok(()) } else { write!(f, "/{}", self.key) }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

/// Returns the scheme of `text` in lowercase letters, and the rest after the slashes.
///
/// One slash is enough, because `pathlib` makes one of two. Without any, this is a mistake that [`Address::parse`]
/// reports: taken for a local file, an output would be lost.
fn split(text: &str) -> Option<(String, &str)> {
    let (prefix, rest) = text.split_once(':')?;
    let prefix = prefix.to_ascii_lowercase();
    let is_ours = SCHEMES.iter().any(|(name, _)| *name == prefix);
    let is_foreign = rest.starts_with('/') && FOREIGN.contains(&prefix.as_str());
    (is_ours || is_foreign).then(|| (prefix, rest.trim_start_matches('/')))
}

/// Whether `path` names a remote file or directory.
pub fn is_remote(path: &Path) -> bool {
    path.to_str().and_then(split).is_some()
}

impl Address {
    /// Returns the address that `path` is, or `None` if it is a local path.
    ///
    /// # Errors
    /// [`Error::Input`] if the address lacks a part, or has a scheme that cannot be read.
    pub fn of(path: &Path) -> Result<Option<Self>> {
        if !is_remote(path) {
            return Ok(None);
        }
        Self::parse(path).map(Some)
    }

    /// Returns the address that `path` is.
    ///
    /// # Errors
    /// [`Error::Input`] if the address lacks a part, or has a scheme that cannot be read.
    pub fn parse(path: &Path) -> Result<Self> {
        let wrong = |reason: &str| Error::input_at(public(path), reason);
        let schemes = "the path must be local or begin with s3://, gs://, az://, abfs://, https://, http:// or hf://";
        let (prefix, rest) = path.to_str().and_then(split).ok_or_else(|| wrong(schemes))?;
        let Some((_, scheme)) = SCHEMES.iter().find(|(name, _)| *name == prefix) else { return Err(wrong(schemes)) };
        if path.to_str().is_some_and(|text| !text[prefix.len() + 1..].starts_with('/')) {
            // On the web, the rest may have a secret.
            let rest = if *scheme == Scheme::Web { "" } else { rest };
            let reason = format!("the path must begin with {prefix}://; if it is a local file, put ./ before its name");
            return Err(Error::input_at(format!("{prefix}:{rest}"), reason));
        }
        let mut address = Self { scheme: *scheme, prefix, root: String::new(), key: String::new(), secret: None };
        let mut rest = rest;
        if address.scheme == Scheme::Web {
            let rest_of_all = rest.split('#').next().unwrap_or_default();
            let (before, query) =
                rest_of_all.split_once('?').map_or((rest_of_all, None), |(it, query)| (it, Some(query)));
            let (host, _) = before.split_once('/').unwrap_or((before, ""));
            let user = host.rsplit_once('@').map(|(user, _)| user.to_owned());
            rest = user.as_ref().map_or(before, |user| &before[user.len() + 1..]);
            if user.is_some() || query.is_some() {
                address.secret = Some(Secret { user, query: query.map(str::to_owned) });
            }
        }
        let part = |number: usize| rest.match_indices('/').nth(number - 1).map_or(rest.len(), |(at, _)| at);
        let ends = match address.scheme {
            // The revisions of the Hub itself have slashes: `@refs/convert/parquet`, `@refs/pr/1`.
            Scheme::Hub if rest[..part(3)].ends_with("@refs") => part(5),
            Scheme::Hub => part(3),
            _ => part(1),
        };
        rest[..ends].clone_into(&mut address.root);
        rest[ends..].trim_start_matches('/').clone_into(&mut address.key);
        if address.root.is_empty() {
            let form = match address.scheme {
                Scheme::Web => "the name of the server is missing: https://SERVER/PATH",
                Scheme::Azure => "the name of the container is missing: az://CONTAINER/PATH",
                Scheme::Google => "the name of the bucket is missing: gs://BUCKET/PATH",
                _ => "the name of the bucket is missing: s3://BUCKET/PATH",
            };
            return Err(wrong(form));
        }
        if address.scheme == Scheme::Hub {
            let complete = address.root.split('/').filter(|part| !part.is_empty()).count() >= 3;
            if !complete || !address.root.starts_with("datasets/") {
                return Err(wrong("the path must be hf://datasets/OWNER/NAME[@REVISION]/PATH"));
            }
        }
        address.remember();
        Ok(address)
    }

    /// Returns the address of `name` below this one.
    pub fn join(&self, name: &str) -> Self {
        let directory = self.key.trim_end_matches('/');
        let key = if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") };
        Self { key, secret: None, ..self.clone() }
    }

    /// Returns the address of another key in the same bucket.
    pub fn with_key(&self, key: impl Into<String>) -> Self {
        Self { key: key.into(), secret: None, ..self.clone() }
    }

    /// Returns the address as a path, without its secret parts.
    pub fn path(&self) -> PathBuf {
        self.to_string().into()
    }

    /// Returns the address of the directory that contains this file.
    pub fn parent(&self) -> Self {
        let key = self.key.trim_end_matches('/');
        self.with_key(key.rsplit_once('/').map_or("", |(directory, _)| directory))
    }

    /// Returns the last component of the key.
    pub fn name(&self) -> &str {
        let key = self.key.trim_end_matches('/');
        key.rsplit_once('/').map_or(key, |(_, name)| name)
    }

    /// Whether files can be written there.
    pub fn is_writable(&self) -> bool {
        !matches!(self.scheme, Scheme::Web | Scheme::Hub)
    }

    /// Refuses an address where nothing can be written.
    ///
    /// # Errors
    /// [`Error::Input`] saying what is possible.
    pub fn check_writable(&self) -> Result<()> {
        if self.is_writable() {
            return Ok(());
        }
        let reason = format!("cannot write to {}://; write to s3://, gs://, az:// or a local path", self.prefix);
        Err(Error::input_at(self.path(), reason))
    }

    /// Returns the address of the web with its secret parts.
    pub fn url(&self) -> String {
        let secret = self.secret.clone().or_else(|| known_secret(&self.to_string()));
        let Some(Secret { user, query }) = secret else { return self.to_string() };
        let user = user.map(|user| format!("{user}@")).unwrap_or_default();
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}://{user}{}/{}{query}", self.prefix, self.root, self.key)
    }

    /// Keeps the secret parts in memory, so that the address can be passed on and noted down without them.
    fn remember(&self) {
        if let Some(secret) = &self.secret
            && let Ok(mut secrets) = SECRETS.write()
        {
            secrets.get_or_insert_default().insert(self.to_string(), secret.clone());
        }
    }
}

/// The secret parts of the web addresses that this process was given.
static SECRETS: RwLock<Option<HashMap<String, Secret>>> = RwLock::new(None);

fn known_secret(address: &str) -> Option<Secret> {
    SECRETS.read().ok()?.as_ref()?.get(address).cloned()
}

/// Returns a path as it may be shown and noted down: a web address without the user's name, password and query.
pub fn public(path: &Path) -> PathBuf {
    let Some((prefix, rest)) = path.to_str().and_then(split) else { return path.into() };
    match SCHEMES.iter().find(|(name, _)| *name == prefix) {
        None | Some((_, Scheme::Web)) => {
            let shown = rest.split(['?', '#']).next().unwrap_or_default();
            let (host, key) = shown.split_once('/').map_or((shown, None), |(host, key)| (host, Some(key)));
            let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
            key.map_or_else(|| format!("{prefix}://{host}"), |key| format!("{prefix}://{host}/{key}")).into()
        }
        Some(_) => format!("{prefix}://{rest}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Address {
        Address::parse(Path::new(text)).unwrap()
    }

    #[test]
    fn parts_of_an_address() {
        for (text, root, key) in [
            ("S3://bucket/a", "bucket", "a"),
            ("s3://bucket/a/b.txt", "bucket", "a/b.txt"),
            ("s3:/bucket/a/b.txt", "bucket", "a/b.txt"),
            ("gs://bucket", "bucket", ""),
            ("abfss://box@me.dfs.core.windows.net/a/", "box@me.dfs.core.windows.net", "a/"),
            ("https://host:8080/a%20b.txt", "host:8080", "a%20b.txt"),
            ("hf://datasets/o/n@main/data/x.parquet", "datasets/o/n@main", "data/x.parquet"),
            ("hf://datasets/o/n", "datasets/o/n", ""),
            ("hf://datasets/o/n@refs/convert/parquet/d/x", "datasets/o/n@refs/convert/parquet", "d/x"),
        ] {
            let address = parse(text);
            assert_eq!((address.root.as_str(), address.key.as_str()), (root, key), "{text}");
        }
        assert_eq!(parse("s3:/b/x/y").to_string(), "s3://b/x/y");
        assert_eq!(parse("s3://b/x/").join("y").to_string(), "s3://b/x/y");
        assert_eq!(parse("s3://b").join("y").to_string(), "s3://b/y");
        assert_eq!(parse("s3://b/x/y/").name(), "y");
    }

    #[test]
    fn local_paths_are_local() {
        for text in ["a/b", "/a:/b", "C:/a", "a:b", "s4://x", ""] {
            assert!(!is_remote(Path::new(text)), "{text}");
        }
    }

    #[test]
    fn what_is_not_an_address() {
        for text in ["s3://", "s3:b/x", "hf://models/o/n/x", "hf://datasets/o", "ftp://host/x", "hdfs://host/x"] {
            assert!(matches!(Address::parse(Path::new(text)), Err(Error::Input { .. })), "{text}");
        }
    }

    #[test]
    fn secret_parts_are_not_shown() {
        let text = "https://me:word@host/a/b.txt?signature=abc#end";
        let address = parse(text);
        assert_eq!(address.to_string(), "https://host/a/b.txt");
        assert_eq!(format!("{address:?}"), "Address(https://host/a/b.txt)");
        assert_eq!(address.url(), "https://me:word@host/a/b.txt?signature=abc");
        assert_eq!(public(Path::new(text)), Path::new("https://host/a/b.txt"));
        // What was shown is enough to read the file again.
        assert_eq!(parse("https://host/a/b.txt").url(), address.url());
        let error = Address::parse(Path::new("ftp://me:word@host/x")).unwrap_err().to_string();
        assert!(error.starts_with("ftp://host/x: "), "{error}");
    }
}
