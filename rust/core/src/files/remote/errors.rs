//! What a failed request means to a user: the reason in words, without the address and without secrets.

use std::error::Error as _;
use std::fmt;
use std::io;

use object_store::Error as StoreError;
use object_store::client::{HttpError, HttpErrorKind};

use super::address::{Address, Scheme};
use crate::Error;

/// A failed request. It travels through readers as an [`io::Error`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub kind: FailureKind,
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// There is no such object or bucket.
    Missing,
    /// The credentials are missing, wrong or expired, or do not allow this.
    Refused,
    /// The object is not the one that it was when reading began.
    Changed,
    /// An object that must not exist does.
    Exists,
    /// The server sends the object only as a whole.
    NoRanges,
    /// The answer broke off. The request can be repeated.
    Cut,
    /// The command must stop.
    Stopped,
    /// The request failed, and so did repeating it.
    Other,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Failure {}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        let kind = match failure.kind {
            FailureKind::Missing => io::ErrorKind::NotFound,
            FailureKind::Refused => io::ErrorKind::PermissionDenied,
            FailureKind::Exists => io::ErrorKind::AlreadyExists,
            FailureKind::Changed
            | FailureKind::NoRanges
            | FailureKind::Cut
            | FailureKind::Stopped
            | FailureKind::Other => io::ErrorKind::Other,
        };
        Self::new(kind, failure)
    }
}

impl Failure {
    /// Returns that the object is another one than before.
    pub fn changed() -> Self {
        let reason = "the object changed while it was read; run the same command again to read the new one".into();
        Self { kind: FailureKind::Changed, reason }
    }

    /// Returns that waiting was given up because the command must stop.
    pub fn stopped() -> Self {
        Self { kind: FailureKind::Stopped, reason: "interrupted".into() }
    }

    /// Returns that an object cannot be read in any order.
    pub fn no_ranges() -> Self {
        let reason = "the server does not support range requests; download the file and pass the local path".into();
        Self { kind: FailureKind::NoRanges, reason }
    }

    pub fn other(reason: impl Into<String>) -> Self {
        Self { kind: FailureKind::Other, reason: reason.into() }
    }

    /// Whether the answer to another request than HEAD may say more: that to HEAD has no body.
    pub fn lacks_reason(&self) -> bool {
        self.kind == FailureKind::Refused || self.reason.ends_with("with status 400")
    }

    /// Returns the failure in `error`, if it is one.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl From<&StoreError> for Failure {
    fn from(error: &StoreError) -> Self {
        if let Some(failure) = sources(error).find_map(|source| source.downcast_ref::<Self>()) {
            return failure.clone();
        }
        if let StoreError::NotSupported { .. } = error {
            return Self::no_ranges();
        }
        let text = error.to_string();
        let status = status(&text);
        if status == Some("416") {
            // Ranges are within the size that the object had.
            return Self::changed();
        }
        let code = code(&text);
        let http = sources(error).find_map(|source| source.downcast_ref::<HttpError>());
        let no_bucket = matches!(code.as_deref(), Some("NoSuchBucket" | "ContainerNotFound"));
        let kind = match error {
            _ if no_bucket => FailureKind::Missing,
            StoreError::NotFound { .. } => FailureKind::Missing,
            StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => FailureKind::Refused,
            StoreError::AlreadyExists { .. } | StoreError::Precondition { .. } => FailureKind::Exists,
            _ if code.as_deref() == Some("AccessDenied") => FailureKind::Refused,
            _ if status.is_none() && http.is_some() => FailureKind::Cut,
            _ => FailureKind::Other,
        };
        let said = remark(code.as_deref());
        let reason = match kind {
            FailureKind::Missing if no_bucket => "no such bucket".into(),
            FailureKind::Missing => "no such object".into(),
            FailureKind::Refused => format!("the server refuses access{said}"),
            FailureKind::Exists => "the object already exists".into(),
            _ => match (status, http) {
                (Some(status), _) if status.starts_with('5') || status == "429" => {
                    format!("the server answered with status {status}{said}; run the same command again later")
                }
                (Some(status), _) => format!("the server answered with status {status}{said}"),
                (None, Some(http)) => match http.kind() {
                    HttpErrorKind::Timeout => "the server stopped sending data".into(),
                    HttpErrorKind::Interrupted | HttpErrorKind::Request => "the connection was cut".into(),
                    _ => "the answer of the server was truncated or damaged".into(),
                },
                _ => plain(error),
            },
        };
        Self { kind, reason }
    }
}

fn sources(error: &StoreError) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |error| (*error).source())
}

/// An answer that may be a refusal.
#[derive(Debug)]
pub(super) struct Refusal<'a> {
    pub scheme: Scheme,
    /// No credentials were sent.
    pub anonymous: bool,
    pub status: u16,
    /// The service's own code: `AccessDenied`.
    pub code: Option<String>,
    /// The region that the answer names.
    pub region: Option<String>,
    /// The region for which the request was signed.
    pub used: Option<&'a str>,
}

impl Refusal<'_> {
    /// Returns why nothing but a change by the user helps, or `None` if this is another answer.
    pub fn explain(&self) -> Option<Failure> {
        let refused = |reason: String| Some(Failure { kind: FailureKind::Refused, reason });
        let code = self.code.as_deref().unwrap_or_default();
        if let (301 | 400, Some(used)) = (self.status, self.used) {
            match &self.region {
                Some(region) if region != used => {
                    let reason = format!("the bucket is in the region {region}, not {used}; set AWS_REGION={region}");
                    return Some(Failure::other(reason));
                }
                None if self.status == 301 => {
                    let reason = format!("the bucket is not in the region {used}; set AWS_REGION to its region");
                    return Some(Failure::other(reason));
                }
                _ => {}
            }
        }
        match (self.scheme, self.status, code) {
            (Scheme::Hub, _, "GatedRepo") => refused(
                "the dataset is gated; accept its conditions on its page, and set HF_TOKEN to your token".into(),
            ),
            (Scheme::Hub, _, "RepoNotFound") => {
                Some(Failure::other("no such dataset, or the token (HF_TOKEN) may not read it"))
            }
            (Scheme::Hub, _, "RevisionNotFound") => {
                Some(Failure::other("the dataset has no such revision; after the @, pass a branch, a tag or a commit"))
            }
            (_, 501, _) => Some(Failure::other(format!(
                "the server does not support this request{}",
                remark(self.code.as_deref())
            ))),
            (_, 401 | 403, _) | (_, 400, "AuthorizationHeaderMalformed" | "InvalidAuthenticationInfo") => {
                refused(self.reason(code))
            }
            (_, 400, _) if EXPIRED.contains(&code) => refused(self.reason(code)),
            (Scheme::Azure, 409, "PublicAccessNotPermitted") => refused(self.reason(code)),
            _ => None,
        }
    }

    fn reason(&self, code: &str) -> String {
        let said = remark(self.code.as_deref());
        match (self.scheme, self.anonymous, code) {
            (Scheme::S3, false, "InvalidAccessKeyId") => {
                "the server does not know the access key; check AWS_ACCESS_KEY_ID or the profile".into()
            }
            (Scheme::S3, false, "SignatureDoesNotMatch") => {
                "the secret key is wrong for this access key; check AWS_SECRET_ACCESS_KEY or the profile".into()
            }
            (Scheme::S3, _, "RequestTimeTooSkewed") => "the clock of this machine is wrong; correct the time".into(),
            (_, false, code) if EXPIRED.contains(&code) => {
                format!("the credentials are no longer valid{said}; get new ones and run the same command again")
            }
            (Scheme::Web, ..) => {
                let status = self.status;
                format!(
                    "the server refuses access (status {status}); check the address, and the user and password in it"
                )
            }
            (Scheme::Hub, true, _) => {
                "no such dataset, or it is private; check its name, or set HF_TOKEN to read a private one".into()
            }
            (Scheme::Hub, false, _) if self.status == 401 => "the Hub does not accept the token; check HF_TOKEN".into(),
            (scheme, true, _) => {
                let advice = match scheme {
                    Scheme::S3 => "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
                    Scheme::Google => {
                        "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS"
                    }
                    _ => "set AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_KEY",
                };
                format!("no credentials were found, and the server refuses access without them{said}; {advice}")
            }
            _ => format!("the server refuses access{said}; the credentials do not permit this request"),
        }
    }
}

/// The codes of credentials that were valid once. S3 sends them with status 400.
const EXPIRED: [&str; 5] =
    ["ExpiredToken", "ExpiredTokenException", "InvalidToken", "RequestExpired", "TokenRefreshRequired"];

/// Returns that no answer came from `server`, which is its scheme, host and port.
pub(super) fn unreachable(scheme: Scheme, server: &str, reason: &str) -> Failure {
    let advice = match scheme {
        Scheme::S3 => "check the network, AWS_ENDPOINT_URL and AWS_REGION",
        Scheme::Google => "check the network",
        Scheme::Azure => "check the network and the name of the account",
        Scheme::Web => "check the network and the address",
        Scheme::Hub => "check the network and HF_ENDPOINT",
    };
    Failure::other(format!("no answer from {server}: {reason}; {advice}"))
}

/// Returns the code as a remark: `" (NoSuchKey)"`.
fn remark(code: Option<&str>) -> String {
    code.map(|code| format!(" ({code})")).unwrap_or_default()
}

/// Returns the service's own code in an error's body: `NoSuchKey`.
pub(super) fn code(body: &str) -> Option<String> {
    // That of one of several objects to remove comes in words.
    element(body, "Code")
        .or_else(|| Some(body.split_once("(code: ")?.1.split_once(')')?.0).filter(is_plain).map(str::to_owned))
}

/// Returns the region that an error's body names.
pub(super) fn region(body: &str) -> Option<String> {
    element(body, "Region")
}

fn element(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let value = rest.split_once('<')?.0;
    Some(value).filter(is_plain).map(str::to_owned)
}

fn is_plain(value: &&str) -> bool {
    let is_short = !value.is_empty() && value.len() < 100;
    is_short && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Returns the status that the client reports, whose types are its own.
fn status(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("status code: ")?;
    rest.get(..3).filter(|status| status.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Returns the innermost reason, which has neither an address nor a header.
fn plain(error: &StoreError) -> String {
    let text = sources(error).last().map_or_else(|| error.to_string(), ToString::to_string);
    if text.contains("://") || text.contains('\n') { "the request failed".into() } else { text }
}

/// Returns the error for `address` if reading failed.
pub(super) fn read(address: &Address, error: &StoreError) -> Error {
    Error::io("cannot read", address.path(), Failure::from(error).into())
}

/// Returns the error for `address` if writing failed.
pub(super) fn write(address: &Address, error: &StoreError) -> Error {
    Error::io("cannot write", address.path(), Failure::from(error).into())
}

/// Returns the error for an address whose client cannot be made.
pub(super) fn data(address: &Address, failure: Failure) -> Error {
    Error::data(address.path(), failure.reason)
}
