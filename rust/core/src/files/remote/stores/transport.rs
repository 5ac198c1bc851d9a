//! Sends requests, and says in words why one fails.
//!
//! What may pass is left to the retries of the client above. What will not pass fails at once with a [`Failure`]: an
//! unknown host, a certificate that is not trusted, credentials that are refused.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, HeaderValue, RANGE, RETRY_AFTER};
use http::{Method, StatusCode};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
    ReqwestConnector,
};
use object_store::{BackoffConfig, Certificate, ClientOptions, RetryConfig};

use super::super::address::Scheme;
use super::super::errors::{self, Failure, Refusal};
use super::super::runtime;

/// How long making a connection may take.
pub(super) const CONNECT: Duration = Duration::from_secs(10);
/// How long a server may send nothing.
pub(super) const IDLE: Duration = Duration::from_mins(1);
/// The slowest line, in bytes per second, on which sending a part does not count as failed.
const SLOWEST: u64 = 16 << 10;
/// How long a server that has never answered is tried: its name may be wrong, or it may just be starting. One that has
/// answered is tried as long as [`retries`] says.
const UNKNOWN_NAME: Duration = Duration::from_secs(4);
const UNKNOWN_SERVER: Duration = Duration::from_secs(20);
/// How long a server may take to restart.
const RESTART: Duration = Duration::from_secs(75);
/// The pauses before a request is repeated.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause that a server may ask for, and how often.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
const PAUSES: u32 = 3;
/// The longest answer that is read for its reason.
const REASON: usize = 64 << 10;

/// How often a request that may succeed later is repeated, and for how long: a server may restart in this time.
pub(super) fn retries() -> RetryConfig {
    let backoff =
        BackoffConfig { init_backoff: Duration::from_millis(200), max_backoff: Duration::from_secs(5), base: 2. };
    RetryConfig { backoff, max_retries: 100, retry_timeout: RESTART }
}

/// Returns the settings of a client. No request has a limit of its whole time, because the line may be slow.
///
/// `plain` allows addresses with http://. If `tls` is false, no address has https://. Then no certificates are loaded:
/// that takes time, and the system may have none.
pub(super) fn options(plain: bool, tls: bool) -> ClientOptions {
    ClientOptions::new()
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT)
        .with_allow_http(plain)
        .with_no_system_certificates(!tls)
}

/// Adds the certificates in a file to the trusted ones.
pub(super) fn with_certificates(options: ClientOptions, path: &str) -> Result<ClientOptions, Failure> {
    let wrong = |reason: String| Failure::other(format!("cannot read the certificates in {path}: {reason}"));
    let text = std::fs::read(path).map_err(|error| wrong(crate::error::without_number(&error)))?;
    let found = Certificate::from_pem_bundle(&text).ok().filter(|found| !found.is_empty());
    let found = found.ok_or_else(|| wrong("they must be PEM".into()))?;
    Ok(found.into_iter().fold(options, ClientOptions::with_root_certificate))
}

/// Whose requests these are, which decides how a refusal is explained.
#[derive(Debug, Clone)]
pub(super) struct Party {
    pub scheme: Scheme,
    /// No credentials were found.
    pub anonymous: bool,
    /// The region that is used, of S3.
    pub region: Option<String>,
}

impl Party {
    pub fn new(scheme: Scheme) -> Self {
        Self { scheme, anonymous: false, region: None }
    }
}

/// Makes the clients of a store.
#[derive(Debug, Clone)]
pub(super) struct Connector(pub Party);

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let reads = ReqwestConnector::default().connect(&options.clone().with_read_timeout(IDLE))?;
        Ok(HttpClient::new(Transport::new(self.0.clone(), reads, Some(options.clone()))))
    }
}

/// Gives one client to all stores that ask.
#[derive(Debug)]
pub(super) struct Shared(pub HttpClient);

impl HttpConnector for Shared {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(self.0.clone())
    }
}

#[derive(Debug)]
pub(super) struct Transport {
    party: Party,
    reads: HttpClient,
    /// For requests with a body: the limit of idle time would count the time in which it is sent.
    writes: OnceLock<HttpClient>,
    options: Option<ClientOptions>,
    /// Sent with each request, and by the client below not to another host.
    authorization: Option<HeaderValue>,
}

impl Transport {
    /// `options` are those of a second client for requests with a body, if there are any.
    pub fn new(party: Party, reads: HttpClient, options: Option<ClientOptions>) -> Self {
        Self { party, reads, writes: OnceLock::new(), options, authorization: None }
    }

    pub fn with_authorization(self, authorization: Option<HeaderValue>) -> Self {
        Self { authorization, ..self }
    }

    async fn execute(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let length = request.body().content_length() as u64;
        let Some(options) = self.options.as_ref().filter(|_| length > 0) else {
            return self.reads.execute(request).await;
        };
        let writes = if let Some(client) = self.writes.get() {
            client
        } else {
            let new = ReqwestConnector::default().connect(options);
            let new = new.map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
            self.writes.get_or_init(|| new)
        };
        let limit = IDLE + Duration::from_secs(length / SLOWEST);
        tokio::time::timeout(limit, writes.execute(request))
            .await
            .unwrap_or_else(|late| Err(HttpError::new(HttpErrorKind::Timeout, late)))
    }

    /// Asks for the first byte where a server does not say how long a file is without it.
    async fn length(&self, request: &HttpRequest) -> Result<HttpResponse, HttpError> {
        let mut first = request.clone();
        *first.method_mut() = Method::GET;
        first.headers_mut().insert(RANGE, HeaderValue::from_static("bytes=0-0"));
        let (mut parts, body) = self.execute(first).await?.into_parts();
        // Without ranges the server would send the whole file.
        drop(body);
        let range =
            parts.headers.get(CONTENT_RANGE).and_then(|it| it.to_str().ok()?.rsplit_once('/')?.1.parse::<u64>().ok());
        if let (StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE, Some(length)) = (parts.status, range) {
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
            parts.headers.remove(CONTENT_RANGE);
            parts.status = StatusCode::OK;
        }
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(Bytes::new())))
    }
}

#[async_trait]
impl HttpService for Transport {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if let Some(value) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, value.clone());
        }
        let uri = request.uri().clone();
        let server =
            format!("{}://{}", uri.scheme_str().unwrap_or("https"), uri.authority().map_or("", |it| it.as_str()));
        let begun = Instant::now();
        let (mut pause, mut pauses) = (FIRST_PAUSE, 0);
        loop {
            let error = match self.execute(request.clone()).await {
                Ok(response) => {
                    Known::add(&server);
                    if let Some(pause) = pause_asked(&response).filter(|_| pauses < PAUSES) {
                        pauses += 1;
                        tokio::time::sleep(pause).await;
                        continue;
                    }
                    let by_get =
                        self.party.scheme == Scheme::Web && request.method() == Method::HEAD && says_nothing(&response);
                    let response = if by_get { self.length(&request).await? } else { response };
                    return self.explain(response).await;
                }
                Err(error) => error,
            };
            let Cause { unknown_name, kind, reason } = cause(&error);
            let failed = |kind| HttpError::new(kind, errors::unreachable(self.party.scheme, &server, &reason));
            let patience = if unknown_name { UNKNOWN_NAME } else { UNKNOWN_SERVER };
            match kind {
                HttpErrorKind::Connect | HttpErrorKind::Timeout if !Known::has(&server) => {
                    if begun.elapsed() + pause > patience {
                        return Err(failed(HttpErrorKind::Unknown));
                    }
                    tokio::time::sleep(pause).await;
                    pause = (2 * pause).min(LAST_PAUSE);
                }
                kind => return Err(failed(kind)),
            }
        }
    }
}

impl Transport {
    /// Returns the response, or why the server refuses.
    async fn explain(&self, response: HttpResponse) -> Result<HttpResponse, HttpError> {
        let status = response.status();
        let refuses = matches!(
            status,
            StatusCode::MOVED_PERMANENTLY
                | StatusCode::BAD_REQUEST
                | StatusCode::UNAUTHORIZED
                | StatusCode::FORBIDDEN
                | StatusCode::NOT_FOUND
                | StatusCode::CONFLICT
                | StatusCode::NOT_IMPLEMENTED
        );
        if !refuses {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let body = beginning(body).await;
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let refusal = Refusal {
            scheme: self.party.scheme,
            anonymous: self.party.anonymous,
            status: status.as_u16(),
            code: header("x-ms-error-code").or_else(|| header("x-error-code")).or_else(|| errors::code(&body)),
            region: header("x-amz-bucket-region").or_else(|| errors::region(&body)),
            used: self.party.region.as_deref(),
        };
        match refusal.explain() {
            Some(failure) => Err(HttpError::new(HttpErrorKind::Unknown, failure)),
            None => Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(body))),
        }
    }
}

/// Whether a HEAD request told nothing about the file: servers and signatures may allow GET only.
fn says_nothing(response: &HttpResponse) -> bool {
    match response.status() {
        StatusCode::FORBIDDEN | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => true,
        status => status.is_success() && !response.headers().contains_key(CONTENT_LENGTH),
    }
}

/// Reads the body of an error, as far as it is needed.
async fn beginning(body: HttpResponseBody) -> String {
    use futures_util::StreamExt;
    let mut bytes = Vec::new();
    let mut stream = body.bytes_stream();
    while let Some(Ok(more)) = stream.next().await {
        bytes.extend_from_slice(&more);
        if bytes.len() > REASON {
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The servers that have answered, of which one may be down for a while.
struct Known(Mutex<BTreeSet<String>>);

impl Known {
    fn has(server: &str) -> bool {
        Self::of_process().is_some_and(|known| known.lock().contains(server))
    }

    fn add(server: &str) {
        if let Some(known) = Self::of_process().filter(|known| !known.lock().contains(server)) {
            known.lock().insert(server.to_owned());
        }
    }

    /// A forked process must not have the lock of another.
    fn of_process() -> Option<Arc<Self>> {
        runtime::kept("servers that have answered", || Ok(Self(Mutex::default()))).ok()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns how long the server asks to wait: in `Retry-After`, or as the Hub says it in `RateLimit` (`"api";r=0;t=55`).
fn pause_asked(response: &HttpResponse) -> Option<Duration> {
    let busy = matches!(response.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let of_limit = || text("ratelimit")?.split(';').find_map(|part| part.trim().strip_prefix("t="));
    let seconds = text(RETRY_AFTER.as_str()).or_else(of_limit).filter(|_| busy)?;
    Some(Duration::from_secs(seconds.trim().parse().ok()?)).filter(|pause| *pause <= LONGEST_PAUSE)
}

struct Cause {
    unknown_name: bool,
    /// Whether repeating the request can help.
    kind: HttpErrorKind,
    reason: String,
}

/// Returns why there is no answer.
fn cause(error: &HttpError) -> Cause {
    let mut found = Cause { unknown_name: false, kind: error.kind(), reason: String::new() };
    let mut next = error.source();
    while let Some(source) = next {
        let text = source.to_string();
        if text == "too many redirects" {
            return Cause { kind: HttpErrorKind::Unknown, reason: "it redirects without end".into(), ..found };
        }
        if text == "dns error" || text.starts_with("failed to lookup address") {
            return Cause { unknown_name: true, reason: "its name is unknown".into(), ..found };
        }
        if let Some(error) = source.downcast_ref::<io::Error>() {
            match error.kind() {
                // The TLS library reports its errors so. A certificate stays what it is.
                io::ErrorKind::InvalidData if error.get_ref().is_some() => {
                    return Cause {
                        kind: HttpErrorKind::Unknown,
                        reason: format!("no secure connection ({error})"),
                        ..found
                    };
                }
                io::ErrorKind::Other => {}
                _ => found.reason = crate::error::without_number(error),
            }
        }
        // An I/O error skips the error that it holds.
        let held = source.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = held.map(|held| held as &dyn std::error::Error).or_else(|| source.source());
    }
    if found.reason.is_empty() {
        found.reason = match found.kind {
            HttpErrorKind::Timeout => "it does not answer in time",
            HttpErrorKind::Interrupted | HttpErrorKind::Request => "the connection was cut",
            HttpErrorKind::Connect => "no connection",
            _ => "the request failed",
        }
        .into();
    }
    found
}

/// Sends a request that is not one of the client's own, and repeats it as the client does.
pub(super) async fn send(client: &HttpClient, request: &HttpRequest) -> Result<HttpResponse, HttpError> {
    let begun = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let result = client.execute(request.clone()).await;
        let passes = match &result {
            Ok(response) => {
                let status = response.status();
                status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED
                    || status == StatusCode::TOO_MANY_REQUESTS
                    || status == StatusCode::REQUEST_TIMEOUT
            }
            Err(error) => !matches!(error.kind(), HttpErrorKind::Unknown | HttpErrorKind::Decode),
        };
        if !passes || begun.elapsed() > RESTART {
            return result;
        }
        tokio::time::sleep(pause).await;
        pause = (2 * pause).min(LAST_PAUSE);
    }
}

/// Returns why a request failed.
pub(super) fn failure(error: &HttpError) -> Failure {
    let mut sources = std::iter::successors(error.source(), |error| (*error).source());
    sources
        .find_map(|source| source.downcast_ref::<Failure>())
        .cloned()
        .unwrap_or_else(|| Failure::other("the request failed"))
}

/// Returns a request without a body.
pub(super) fn request(method: Method, url: &str) -> Result<HttpRequest, Failure> {
    let mut request = HttpRequest::new(object_store::client::HttpRequestBody::empty());
    *request.method_mut() = method;
    *request.uri_mut() = url.parse().map_err(|_| Failure::other("the address has invalid characters"))?;
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_that_servers_ask_for() {
        let asked = |status: u16, name: &'static str, value: &'static str| {
            let mut response = HttpResponse::new(HttpResponseBody::from(Bytes::new()));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            response.headers_mut().insert(name, HeaderValue::from_static(value));
            pause_asked(&response).map(|pause| pause.as_secs())
        };
        assert_eq!(asked(429, "retry-after", "7"), Some(7));
        assert_eq!(asked(503, "retry-after", "7"), Some(7));
        assert_eq!(asked(429, "ratelimit", "\"resolvers\";r=0;t=55"), Some(55));
        assert_eq!(asked(200, "ratelimit", "\"resolvers\";r=9;t=55"), None);
        assert_eq!(asked(429, "retry-after", "86400"), None);
        assert_eq!(asked(429, "retry-after", "Wed, 01 Jan 2025 00:00:00 GMT"), None);
    }
}
