//! Sends requests, and says in words why one fails.
//!
//! What may pass is left to the retries of the client above. What will not pass fails at once with a [`Failure`]: an
//! unknown host, a certificate that is not trusted, credentials that are refused.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::io;
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, HeaderValue, RANGE};
use http::{Method, StatusCode};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
    ReqwestConnector,
};
use object_store::{BackoffConfig, Certificate, ClientOptions, RetryConfig};

use super::super::address::Scheme;
use super::super::errors::{self, Failure, Refusal};

/// How long making a connection may take.
pub(super) const CONNECT: Duration = Duration::from_secs(10);
/// How long a server may send nothing.
pub(super) const IDLE: Duration = Duration::from_secs(60);
/// The slowest line, in bytes per second, on which sending a part does not count as failed.
const SLOWEST: u64 = 16 << 10;
/// How often an unknown host is looked up again, and the first pause before that. Each pause is twice as long.
const LOOK_UPS: u32 = 4;
const LOOK_UP_PAUSE: Duration = Duration::from_millis(500);
/// The longest answer that is read for its reason.
const REASON: usize = 64 << 10;

/// How often a request that may succeed later is repeated, and for how long: a server may restart in this time.
pub(super) fn retries() -> RetryConfig {
    let backoff =
        BackoffConfig { init_backoff: Duration::from_millis(200), max_backoff: Duration::from_secs(5), base: 2. };
    RetryConfig { backoff, max_retries: 100, retry_timeout: Duration::from_secs(75) }
}

/// Returns the settings of a client. No request has a limit of its whole time, because the line may be slow.
///
/// Without TLS, no certificates are loaded: that takes time, and the system may have none.
pub(super) fn options(tls: bool) -> ClientOptions {
    ClientOptions::new()
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT)
        .with_allow_http(!tls)
        .with_no_system_certificates(!tls)
}

/// Adds the certificates in a file to the trusted ones.
pub(super) fn with_certificates(options: ClientOptions, path: &str) -> Result<ClientOptions, Failure> {
    let wrong = |reason: String| Failure::other(format!("cannot read the certificates in {path}: {reason}"));
    let text = std::fs::read(path).map_err(|error| wrong(error.kind().to_string()))?;
    let found = Certificate::from_pem_bundle(&text).map_err(|_| wrong("they must be PEM".into()))?;
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
        let writes = match self.writes.get() {
            Some(client) => client,
            None => {
                let new = ReqwestConnector::default().connect(options);
                let new = new.map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
                self.writes.get_or_init(|| new)
            }
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
        match (parts.status, range) {
            (StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE, Some(length)) => {
                parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
                parts.headers.remove(CONTENT_RANGE);
                parts.status = StatusCode::OK;
            }
            _ => {}
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
        let mut look_ups = 0;
        loop {
            match self.execute(request.clone()).await {
                Ok(response) => {
                    remember(&server);
                    let asks_again =
                        self.party.scheme == Scheme::Web && request.method() == Method::HEAD && says_nothing(&response);
                    let response = if asks_again { self.length(&request).await? } else { response };
                    return self.explain(response).await;
                }
                Err(error) => {
                    let Cause { unknown_host, kind, reason } = cause(&error);
                    if unknown_host && !is_known(&server) {
                        look_ups += 1;
                        if look_ups < LOOK_UPS {
                            tokio::time::sleep(LOOK_UP_PAUSE * 2_u32.pow(look_ups - 1)).await;
                            continue;
                        }
                        let kind = HttpErrorKind::Unknown;
                        return Err(HttpError::new(kind, errors::unreachable(self.party.scheme, &server, &reason)));
                    }
                    return Err(HttpError::new(kind, errors::unreachable(self.party.scheme, &server, &reason)));
                }
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

/// The servers that have answered: if the name of one is unknown now, that will pass.
static KNOWN: RwLock<BTreeSet<String>> = RwLock::new(BTreeSet::new());

fn is_known(server: &str) -> bool {
    KNOWN.read().unwrap_or_else(PoisonError::into_inner).contains(server)
}

fn remember(server: &str) {
    if !is_known(server) {
        KNOWN.write().unwrap_or_else(PoisonError::into_inner).insert(server.to_owned());
    }
}

struct Cause {
    unknown_host: bool,
    /// Whether repeating the request can help.
    kind: HttpErrorKind,
    reason: String,
}

/// Returns why there is no answer.
fn cause(error: &HttpError) -> Cause {
    let mut found = Cause { unknown_host: false, kind: error.kind(), reason: String::new() };
    let mut next = error.source();
    while let Some(source) = next {
        let text = source.to_string();
        if text == "dns error" || text.starts_with("failed to lookup address") {
            return Cause { unknown_host: true, reason: "its name is unknown".into(), ..found };
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
        next = source.source();
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
    let retries = retries();
    let begun = std::time::Instant::now();
    let mut pause = retries.backoff.init_backoff;
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
        if !passes || begun.elapsed() > retries.retry_timeout {
            return result;
        }
        tokio::time::sleep(pause).await;
        pause = (2 * pause).min(retries.backoff.max_backoff);
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
    *request.uri_mut() =
        url.parse().map_err(|_| Failure::other("the address has characters that no address can have"))?;
    Ok(request)
}
