//! Datasets of the Hugging Face Hub, read only.
//!
//! A branch or a tag is resolved to a commit once, so that all files are of one version. The Hub sends who reads a large
//! file to another server. That address is valid for about an hour, and is kept: the Hub counts requests.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use http::header::{CONTENT_LENGTH, ETAG, HeaderMap, LINK, LOCATION};
use http::{HeaderValue, Method, StatusCode};
use object_store::client::{HttpClient, HttpResponse};
use object_store::path::Path as Key;
use object_store::{
    Attributes, CopyOptions, Error as StoreError, Extensions, GetOptions, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Deserialize;
use tokio::sync::OnceCell;
use url::Url;

use super::super::address::Scheme;
use super::super::errors::{Failure, FailureKind};
use super::Store;
use super::environment::Environment;
use super::transport::{self, Party, Transport};
use super::web;

/// How long the address of a large file is used.
const VALID: Duration = Duration::from_mins(10);
/// The most files whose addresses are kept.
const KEPT: usize = 256;
/// What a part of a path may have.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A dataset as a store, whose keys are the paths of its files.
#[derive(Debug)]
struct Hub(Arc<Dataset>);

/// A dataset at one revision.
struct Dataset {
    server: String,
    /// `OWNER/NAME`.
    name: String,
    revision: String,
    commit: OnceCell<String>,
    /// Sends the token, to the Hub only.
    client: HttpClient,
    /// The same, but it does not follow the Hub to another server.
    asking: HttpClient,
    /// Sends no token.
    elsewhere: HttpClient,
    files: Mutex<HashMap<String, File>>,
}

/// What the Hub says about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct File {
    bytes: u64,
    etag: Option<String>,
    /// Where its bytes are, if not at the Hub itself.
    elsewhere: Option<String>,
    since: Instant,
}

impl fmt::Debug for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Display for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Opens `datasets/OWNER/NAME[@REVISION]`.
pub(super) fn open(root: &str, env: &Environment) -> crate::Result<Store> {
    let server = env.get("HF_ENDPOINT").unwrap_or("https://huggingface.co").trim_end_matches('/').to_owned();
    let plain = server.starts_with("http://");
    let token = token(env);
    let party = Party { anonymous: token.is_none(), ..Party::new(Scheme::Hub) };
    let authorization = token.and_then(|token| {
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
        value.set_sensitive(true);
        Some(value)
    });
    let shared = (*web::client(plain)?).clone();
    let asking = (*web::staying_client(plain)?).clone();
    let with_token =
        |client| HttpClient::new(Transport::new(party.clone(), client, None).with_authorization(authorization.clone()));
    let name = root.strip_prefix("datasets/").unwrap_or(root);
    let (name, revision) = name.split_once('@').unwrap_or((name, "main"));
    let dataset = Dataset {
        server,
        name: name.to_owned(),
        revision: percent_decode_str(revision).decode_utf8_lossy().into_owned(),
        commit: OnceCell::new(),
        client: with_token(shared.clone()),
        asking: with_token(asking),
        elsewhere: HttpClient::new(Transport::new(Party::new(Scheme::Web), shared, None)),
        files: Mutex::default(),
    };
    Ok(Store { objects: Arc::new(Hub(Arc::new(dataset))), uploads: None })
}

/// Returns the token of the user, which `hf auth login` keeps in a file.
fn token(env: &Environment) -> Option<String> {
    if let Some(token) = env.first(&["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]) {
        return Some(token.to_owned());
    }
    let cache = env.path("XDG_CACHE_HOME", ".cache");
    let home = env.get("HF_HOME").map(Into::into).or_else(|| Some(cache?.join("huggingface")));
    let file = env.get("HF_TOKEN_PATH").map(Into::into).or_else(|| Some(home?.join("token")))?;
    let token = std::fs::read_to_string(file).ok()?;
    Some(token.trim().to_owned()).filter(|token| !token.is_empty())
}

fn generic(failure: Failure) -> StoreError {
    StoreError::Generic { store: "Hub", source: Box::new(failure) }
}

fn encoded(path: &str) -> String {
    path.split('/').map(|part| utf8_percent_encode(part, PLAIN).to_string()).collect::<Vec<_>>().join("/")
}

impl Dataset {
    /// Returns the commit, which is asked for once.
    async fn commit(&self) -> Result<&str> {
        #[derive(Deserialize)]
        struct Info {
            sha: String,
        }
        let revision = &self.revision;
        let find = async || {
            if revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Ok(revision.clone());
            }
            let url = format!(
                "{}/api/datasets/{}/revision/{}",
                self.server,
                encoded(&self.name),
                utf8_percent_encode(revision, PLAIN)
            );
            let info: Info = json(self.get(&url).await?).await?;
            Ok(info.sha)
        };
        self.commit.get_or_try_init(find).await.map(String::as_str)
    }

    /// Returns the answer of the Hub to a request of its interface.
    async fn get(&self, url: &str) -> Result<HttpResponse> {
        let request = transport::request(Method::GET, url).map_err(generic)?;
        let response =
            transport::send(&self.client, &request).await.map_err(|error| generic(transport::failure(&error)))?;
        checked(response)
    }

    async fn url(&self, key: &Key) -> Result<String> {
        Ok(format!(
            "{}/datasets/{}/resolve/{}/{}",
            self.server,
            encoded(&self.name),
            self.commit().await?,
            encoded(key.as_ref())
        ))
    }

    /// Asks the Hub about a file.
    async fn describe(&self, key: &Key) -> Result<File> {
        let url = self.url(key).await?;
        let request = transport::request(Method::HEAD, &url).map_err(generic)?;
        let response =
            transport::send(&self.asking, &request).await.map_err(|error| generic(transport::failure(&error)))?;
        let headers = response.headers();
        let moved = response.status().is_redirection();
        let elsewhere = if moved { Some(target(&url, headers).map_err(generic)?) } else { None };
        let etag = text(headers, "x-linked-etag").or_else(|| text(headers, ETAG.as_str()).filter(|_| !moved));
        let bytes =
            text(headers, "x-linked-size").or_else(|| text(headers, CONTENT_LENGTH.as_str()).filter(|_| !moved));
        let bytes = bytes.and_then(|bytes| bytes.parse().ok());
        if !moved {
            checked(response)?;
        }
        let bytes = match (bytes, &elsewhere) {
            (Some(bytes), _) => bytes,
            (None, Some(url)) => self.at(url, true)?.get_opts(&Key::default(), head()).await?.meta.size,
            (None, None) => return Err(generic(Failure::other("the Hub does not report the size of the file"))),
        };
        let etag = etag.map(|etag| etag.trim_start_matches("W/").trim_matches('"').to_owned());
        let file = File { bytes, etag, elsewhere, since: Instant::now() };
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if files.len() >= KEPT {
            files.clear();
        }
        files.insert(key.to_string(), file.clone());
        Ok(file)
    }

    fn known(&self, key: &Key) -> Option<File> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.get(key.as_ref()).filter(|file| file.since.elapsed() < VALID).cloned()
    }

    fn at(&self, url: &str, elsewhere: bool) -> Result<object_store::http::HttpStore> {
        let client = if elsewhere { &self.elsewhere } else { &self.client };
        web::file(url, client.clone()).map_err(generic)
    }

    /// Lists what is in a directory.
    async fn tree(&self, directory: Option<&Key>, recursive: bool) -> Result<Vec<Entry>> {
        let path = directory.map(|key| format!("/{}", encoded(key.as_ref()))).unwrap_or_default();
        let base = format!("{}/api/datasets/{}/tree/{}{path}", self.server, encoded(&self.name), self.commit().await?);
        let mut query = format!("recursive={recursive}");
        let mut found = Vec::new();
        loop {
            let response = match self.get(&format!("{base}?{query}")).await {
                // As in a bucket, a directory without files does not exist.
                Err(StoreError::NotFound { .. }) => return Ok(found),
                result => result?,
            };
            let next = next_query(response.headers());
            found.extend(json::<Vec<Entry>>(response).await?);
            match next {
                Some(next) if next != query => query = next,
                _ => return Ok(found),
            }
        }
    }
}

/// A file or a directory in a tree.
#[derive(Debug, Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    oid: String,
    size: u64,
    lfs: Option<Large>,
}

#[derive(Debug, Deserialize)]
struct Large {
    oid: String,
    size: u64,
}

impl Entry {
    fn meta(self) -> Result<ObjectMeta> {
        let (etag, size) = self.lfs.map_or((self.oid, self.size), |large| (large.oid, large.size));
        let location = Key::parse(&self.path)?;
        Ok(ObjectMeta { location, last_modified: chrono::DateTime::default(), size, e_tag: Some(etag), version: None })
    }
}

fn head() -> GetOptions {
    GetOptions { head: true, ..GetOptions::default() }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn checked(response: HttpResponse) -> Result<HttpResponse> {
    match response.status() {
        status if status.is_success() => Ok(response),
        StatusCode::NOT_FOUND => {
            Err(StoreError::NotFound { path: String::new(), source: "the Hub has no such file".into() })
        }
        status => Err(generic(Failure::other(format!("the Hub answered with status {}", status.as_u16())))),
    }
}

async fn json<T: serde::de::DeserializeOwned>(response: HttpResponse) -> Result<T> {
    let body = response.into_body().bytes().await.map_err(|_| generic(Failure::other("the connection was cut")))?;
    serde_json::from_slice(&body)
        .map_err(|_| generic(Failure::other("the Hub's answer is not the expected JSON; check HF_ENDPOINT")))
}

/// Returns the address to which a file is redirected.
fn target(from: &str, headers: &HeaderMap) -> Result<String, Failure> {
    let to = text(headers, LOCATION.as_str()).and_then(|to| Url::parse(from).ok()?.join(&to).ok());
    to.map(String::from).ok_or_else(|| Failure::other("the Hub redirects to no address"))
}

/// Returns the query of the next page. Its address is not used: the token is only for the one that the user knows.
fn next_query(headers: &HeaderMap) -> Option<String> {
    let links = headers.get(LINK)?.to_str().ok()?;
    let next = links.split(',').find(|link| link.contains("rel=\"next\""))?;
    let (_, url) = next.split_once('<')?;
    let (_, query) = url.split_once('>')?.0.split_once('?')?;
    Some(query.to_owned())
}

#[async_trait]
impl ObjectStore for Hub {
    async fn get_opts(&self, key: &Key, options: GetOptions) -> Result<GetResult> {
        let dataset = &self.0;
        let mut known = dataset.known(key).filter(|_| !options.head);
        loop {
            let is_known = known.is_some();
            let file = match known.take() {
                Some(file) => file,
                None => dataset.describe(key).await?,
            };
            if options.head {
                let meta = ObjectMeta {
                    location: key.clone(),
                    last_modified: chrono::DateTime::default(),
                    size: file.bytes,
                    e_tag: file.etag,
                    version: None,
                };
                let range = 0..meta.size;
                let payload = GetResultPayload::Stream(stream::empty().boxed());
                return Ok(GetResult {
                    payload,
                    meta,
                    range,
                    attributes: Attributes::new(),
                    extensions: Extensions::new(),
                });
            }
            let url = match &file.elsewhere {
                Some(url) => url.clone(),
                None => dataset.url(key).await?,
            };
            let result = dataset.at(&url, file.elsewhere.is_some())?.get_opts(&Key::default(), options.clone()).await;
            match result {
                Ok(mut result) => {
                    // The other server has ETags of its own, or none.
                    result.meta = ObjectMeta {
                        location: key.clone(),
                        last_modified: chrono::DateTime::default(),
                        e_tag: file.etag,
                        ..result.meta
                    };
                    return Ok(result);
                }
                // The address has expired.
                Err(error) if is_known && may_have_expired(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (dataset, prefix) = (Arc::clone(&self.0), prefix.cloned());
        let entries = async move {
            let entries = dataset.tree(prefix.as_ref(), true).await?;
            let files = entries.into_iter().filter(|entry| entry.kind == "file").map(Entry::meta);
            Ok::<_, StoreError>(stream::iter(files))
        };
        stream::once(entries).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> Result<ListResult> {
        let (mut objects, mut common_prefixes) = (Vec::new(), Vec::new());
        for entry in self.0.tree(prefix, false).await? {
            match entry.kind.as_str() {
                "file" => objects.push(entry.meta()?),
                "directory" => common_prefixes.push(Key::parse(&entry.path)?),
                _ => {}
            }
        }
        Ok(ListResult { common_prefixes, objects, extensions: Extensions::new() })
    }

    async fn put_opts(&self, _: &Key, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(read_only())
    }

    async fn put_multipart_opts(&self, _: &Key, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(read_only())
    }

    fn delete_stream(&self, _: BoxStream<'static, Result<Key>>) -> BoxStream<'static, Result<Key>> {
        stream::once(async { Err(read_only()) }).boxed()
    }

    async fn copy_opts(&self, _: &Key, _: &Key, _: CopyOptions) -> Result<()> {
        Err(read_only())
    }
}

fn read_only() -> StoreError {
    generic(Failure::other("the Hub is read only"))
}

/// Whether the server of a large file refused, as it does when an address has expired.
fn may_have_expired(error: &StoreError) -> bool {
    matches!(Failure::from(error).kind, FailureKind::Refused | FailureKind::Missing)
}

#[cfg(test)]
mod tests;
