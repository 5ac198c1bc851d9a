//! What a failed request means to a user: the reason in words, without the address and without secrets.

use std::error::Error as _;
use std::fmt;
use std::io;

use object_store::Error as StoreError;
use object_store::client::{HttpError, HttpErrorKind};

use super::address::Address;
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
            FailureKind::Changed | FailureKind::Stopped | FailureKind::Other => io::ErrorKind::Other,
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

    pub fn other(reason: impl Into<String>) -> Self {
        Self { kind: FailureKind::Other, reason: reason.into() }
    }

    /// Returns the failure in `error`, if it is one.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl From<&StoreError> for Failure {
    fn from(error: &StoreError) -> Self {
        let answer = Answer::of(error);
        let kind = match error {
            StoreError::NotFound { .. } => FailureKind::Missing,
            StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => FailureKind::Refused,
            StoreError::AlreadyExists { .. } | StoreError::Precondition { .. } => FailureKind::Exists,
            _ if answer.code.as_deref().is_some_and(|code| EXPIRED.contains(&code)) => FailureKind::Refused,
            _ => FailureKind::Other,
        };
        let said = answer.words();
        let reason = match kind {
            FailureKind::Missing if answer.code.as_deref() == Some("NoSuchBucket") => "no such bucket".into(),
            FailureKind::Missing => "no such object".into(),
            FailureKind::Refused => {
                format!(
                    "the server refuses access{said}; check the credentials in the environment and their permissions"
                )
            }
            FailureKind::Exists => "the object exists already".into(),
            _ => match (&answer.status, &answer.network) {
                (Some(status), _) => format!("the server answered with status {status}{said}"),
                (None, Some(network)) => (*network).to_owned(),
                _ => plain(error),
            },
        };
        Self { kind, reason }
    }
}

/// The error codes of S3 for credentials that are no longer valid. They come with status 400.
const EXPIRED: [&str; 4] = ["ExpiredToken", "InvalidToken", "TokenRefreshRequired", "RequestExpired"];

/// What is known about the server's answer.
#[derive(Default)]
struct Answer {
    status: Option<String>,
    /// The code in the XML body: `NoSuchKey`.
    code: Option<String>,
    /// Why there is no answer.
    network: Option<&'static str>,
}

impl Answer {
    fn of(error: &StoreError) -> Self {
        let mut answer = Self::default();
        let mut next = error.source();
        while let Some(source) = next {
            if let Some(http) = source.downcast_ref::<HttpError>() {
                answer.network = Some(match http.kind() {
                    HttpErrorKind::Connect => "cannot connect to the server",
                    HttpErrorKind::Timeout => "the server does not answer in time",
                    HttpErrorKind::Interrupted => "the connection was cut",
                    _ => "the request failed",
                });
            }
            next = source.source();
        }
        let text = error.to_string();
        answer.status = text
            .find("status code: ")
            .map(|at| text[at + 13..].chars().take_while(char::is_ascii_digit).collect::<String>());
        answer.code = element(&text, "Code").filter(|code| code.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        answer
    }

    /// Returns the code as a remark: " (NoSuchKey)".
    fn words(&self) -> String {
        self.code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default()
    }
}

fn element(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    Some(rest.split_once('<')?.0.to_owned())
}

/// Returns the innermost reason, which has neither an address nor a header.
fn plain(error: &StoreError) -> String {
    let mut reason: &dyn std::error::Error = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    let text = reason.to_string();
    if text.contains("://") { "the request failed".into() } else { text }
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
pub(super) fn data(address: &Address, error: &StoreError) -> Error {
    Error::data(address.path(), plain(error))
}
