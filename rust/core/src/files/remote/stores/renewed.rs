//! Credentials of S3 that another program or a local server hands out, and that expire.

use std::fmt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use chrono::DateTime;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::super::errors::{Failure, FailureKind};

/// Credentials are asked for again so long before they expire.
const EARLY: Duration = Duration::from_mins(5);
/// Nobody is asked again sooner than this, unless what was given has expired.
const PAUSE: Duration = Duration::from_secs(30);

/// What hands out credentials.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Program {
    pub words: Vec<String>,
    /// Why it is run: `"credential_process of the profile dev"`.
    pub origin: String,
    /// What to do if that fails.
    pub advice: String,
}

impl fmt::Debug for Program {
    /// Not the words, which may have a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Program({})", self.origin)
    }
}

/// Runs a program for credentials, and again before they expire.
#[derive(Debug)]
pub(super) struct Renewed {
    program: Program,
    held: Mutex<Option<Held>>,
}

#[derive(Debug, Clone)]
struct Held {
    credential: Arc<AwsCredential>,
    expires: Option<SystemTime>,
    since: Instant,
}

impl Held {
    fn is_fresh(&self) -> bool {
        let left = self.expires.map(|expires| expires.duration_since(SystemTime::now()).unwrap_or_default());
        left.is_none_or(|left| left > EARLY || !left.is_zero() && self.since.elapsed() < PAUSE)
    }
}

impl Renewed {
    pub fn new(program: Program) -> Self {
        Self { program, held: Mutex::default() }
    }

    async fn get(&self) -> Result<Arc<AwsCredential>, Failure> {
        let mut held = self.held.lock().await;
        if let Some(held) = held.as_ref().filter(|held| held.is_fresh()) {
            return Ok(Arc::clone(&held.credential));
        }
        let program = self.program.clone();
        let run = tokio::task::spawn_blocking(move || run(&program)).await;
        let new = run.map_err(|_| Failure::other("interrupted"))??;
        Ok(Arc::clone(&held.insert(new).credential))
    }
}

#[async_trait]
impl CredentialProvider for Renewed {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        self.get().await.map_err(|failure| object_store::Error::Generic { store: "S3", source: Box::new(failure) })
    }
}

/// Runs the program and reads what it prints.
fn run(program: &Program) -> Result<Held, Failure> {
    let Program { words, origin, advice } = program;
    let refused = |reason: String| Failure { kind: FailureKind::Refused, reason };
    let Some((name, arguments)) = words.split_first() else {
        return Err(refused(format!("{origin} is not a command")));
    };
    // Its input stays the terminal, where it may ask for a code.
    let output = Command::new(name).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let output = output.and_then(std::process::Child::wait_with_output);
    let output = output.map_err(|error| {
        let reason = crate::error::without_number(&error);
        refused(format!("{origin}: cannot run {name}: {reason}{advice}"))
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let mut lines = said.lines().rev().map(str::trim).filter(|line| !line.is_empty());
        // A program may print its usage after the reason.
        let reason = lines.clone().find(|line| line.to_ascii_lowercase().contains("error")).or_else(|| lines.next());
        return Err(refused(format!("{origin} failed: {}{advice}", reason.unwrap_or("it printed no reason"))));
    }
    parse(&output.stdout).map_err(|reason| refused(format!("{origin}: {reason}")))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Printed {
    version: u32,
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    expiration: Option<String>,
}

fn parse(json: &[u8]) -> Result<Held, &'static str> {
    const RULE: &str = "the output must be JSON with Version 1, AccessKeyId and SecretAccessKey";
    let printed: Printed = serde_json::from_slice(json).map_err(|_| RULE)?;
    let words = [Some(&printed.access_key_id), Some(&printed.secret_access_key), printed.session_token.as_ref()];
    let plain = words.into_iter().flatten().all(|word| word.bytes().all(|byte| byte.is_ascii_graphic()));
    if printed.version != 1 || !plain {
        return Err(RULE);
    }
    let expires = printed.expiration.map(|time| DateTime::parse_from_rfc3339(&time).map(SystemTime::from));
    let expires = expires.transpose().map_err(|_| "Expiration in its output is not a time")?;
    let credential = AwsCredential {
        key_id: printed.access_key_id,
        secret_key: printed.secret_access_key,
        token: printed.session_token.filter(|token| !token.is_empty()),
    };
    Ok(Held { credential: Arc::new(credential), expires, since: Instant::now() })
}

#[cfg(test)]
mod tests {
    use super::super::super::runtime;
    use super::*;

    fn program(script: &str) -> Program {
        let words = ["sh", "-c", script].map(str::to_owned).to_vec();
        Program { words, origin: "credential_process of the profile dev".into(), advice: "; install it".into() }
    }

    fn get(provider: &Renewed) -> Result<Arc<AwsCredential>, Failure> {
        runtime::wait(provider.get()).unwrap()
    }

    fn counting(name: &str, expires: &str) -> (tempfile::TempDir, Renewed) {
        let directory = tempfile::tempdir().unwrap();
        let script = format!(
            "echo x >> '{0}/{name}'; n=$(wc -l < '{0}/{name}' | tr -d ' '); \
             echo '{{\"Version\": 1, \"AccessKeyId\": \"key'$n'\", \"SecretAccessKey\": \"s\", \"Expiration\": \"{expires}\"}}'",
            directory.path().display()
        );
        (directory, Renewed::new(program(&script)))
    }

    #[test]
    fn what_is_valid_is_kept() {
        let (_directory, provider) = counting("runs", "2999-01-01T00:00:00Z");
        assert_eq!(get(&provider).unwrap().key_id, "key1");
        assert_eq!(get(&provider).unwrap().key_id, "key1");
    }

    #[test]
    fn what_has_expired_is_renewed() {
        let (_directory, provider) = counting("runs", "2001-01-01T00:00:00+01:00");
        assert_eq!(get(&provider).unwrap().key_id, "key1");
        assert_eq!(get(&provider).unwrap().key_id, "key2");
    }

    #[test]
    fn failures_are_explained_without_the_command() {
        let error =
            get(&Renewed::new(program("echo --token abc >/dev/null; echo 'log in first' >&2; exit 3"))).unwrap_err();
        assert_eq!(error.reason, "credential_process of the profile dev failed: log in first; install it");
        assert_eq!(error.kind, FailureKind::Refused);
        let error =
            get(&Renewed::new(program("echo '{\"Version\": 1, \"AccessKeyId\": \"secret'"))).unwrap_err().reason;
        assert!(error.ends_with("JSON with Version 1, AccessKeyId and SecretAccessKey"), "{error}");
        assert!(!error.contains("\"secret"), "{error}");
        let missing = Program { words: vec!["/no/such/program".into(), "hidden".into()], ..program("") };
        let error = get(&Renewed::new(missing)).unwrap_err().reason;
        assert!(
            error.contains("cannot run /no/such/program: No such file") && error.ends_with("; install it"),
            "{error}"
        );
        assert!(!error.contains("hidden"), "{error}");
    }

    #[test]
    fn output_that_is_not_credentials() {
        for json in ["", "{}", r#"{"Version": 2, "AccessKeyId": "a", "SecretAccessKey": "b"}"#] {
            assert!(parse(json.as_bytes()).is_err(), "{json}");
        }
        // A line break in a header would be an error of the library, which panics.
        assert!(parse(br#"{"Version": 1, "AccessKeyId": "a\nb", "SecretAccessKey": "b"}"#).is_err());
        let wrong = parse(br#"{"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "b", "Expiration": "soon"}"#);
        assert!(wrong.is_err());
    }
}
