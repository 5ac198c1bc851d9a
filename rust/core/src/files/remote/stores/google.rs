//! Google Cloud Storage, with the credentials that Google's own tools find.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method};
use object_store::client::{HttpConnector, ReqwestConnector};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey as Key};

use super::super::address::Scheme;
use super::super::errors::Failure;
use super::super::runtime::wait;
use super::Store;
use super::environment::Environment;
use super::transport::{self, Connector, Party};
use super::uploads::{Authority, Uploads};

/// How long the server of a machine's credentials may take. Elsewhere nobody answers.
const PROBE: Duration = Duration::from_secs(1);
const SERVER: &str = "https://storage.googleapis.com";

/// Where the credentials come from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    /// Variables that the library reads.
    Variables,
    Token(String),
    File(PathBuf),
    /// The server of a machine, if there is one.
    Machine,
    Nowhere,
}

pub(super) fn open(bucket: &str, env: &Environment) -> Result<Store, Failure> {
    let server = env.get("STORAGE_EMULATOR_HOST").map(|host| {
        let scheme = if host.contains("://") { "" } else { "http://" };
        format!("{scheme}{}", host.trim_end_matches('/'))
    });
    let server = server.as_deref().or_else(|| env.get("GOOGLE_BASE_URL")).unwrap_or(SERVER);
    let source = source(env);
    let plain = server.starts_with("http://");
    // Other credentials are exchanged for a token at another server.
    let one_server = matches!(source, Source::Nowhere | Source::Token(_));
    let options = transport::options(plain, !(plain && one_server));
    let builder =
        GoogleCloudStorageBuilder::new().with_client_options(options.clone()).with_retry(transport::retries());
    let mut builder = builder.with_base_url(server);
    for (name, value) in env.beginning("GOOGLE_") {
        match name.to_ascii_lowercase().parse() {
            Ok(Key::BaseUrl | Key::ApplicationCredentials | Key::SkipSignature) | Err(_) => {}
            Ok(key) => builder = builder.with_config(key, value),
        }
    }
    let anonymous = match &source {
        Source::Nowhere => true,
        Source::Machine => !machine_has_account(env),
        _ => false,
    };
    builder = match source {
        _ if anonymous => builder.with_skip_signature(true),
        Source::Token(token) => builder.with_bearer_token(token),
        Source::File(path) => builder.with_application_credentials(usable(&path)?),
        Source::Variables | Source::Machine | Source::Nowhere => builder,
    };
    let connector = Connector(Party { anonymous, ..Party::new(Scheme::Google) });
    let wrong = |error: object_store::Error| Failure::from(&error);
    let store = builder.with_bucket_name(bucket).with_http_connector(connector.clone()).build().map_err(wrong)?;
    let store = Arc::new(store);
    let credentials = (!anonymous).then(|| Arc::clone(store.credentials()));
    let uploads = credentials.map(|credentials| Uploads {
        store: Arc::clone(&store) as _,
        connector,
        options,
        url: format!("{server}/{bucket}"),
        authority: Authority::Google { credentials },
    });
    Ok(Store { objects: store, uploads: uploads.map(Arc::new) })
}

fn source(env: &Environment) -> Source {
    if env.get("STORAGE_EMULATOR_HOST").is_some() || env.is_true("GOOGLE_SKIP_SIGNATURE") {
        return Source::Nowhere;
    }
    let keys =
        ["GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH", "GOOGLE_SERVICE_ACCOUNT_KEY", "GOOGLE_BEARER_TOKEN"];
    if env.first(&keys).is_some() {
        return Source::Variables;
    }
    if let Some(token) = env.first(&["CLOUDSDK_AUTH_ACCESS_TOKEN", "GOOGLE_OAUTH_ACCESS_TOKEN"]) {
        return Source::Token(token.to_owned());
    }
    if let Some(path) = env.get("GOOGLE_APPLICATION_CREDENTIALS") {
        return Source::File(path.into());
    }
    let directory = env.path("CLOUDSDK_CONFIG", ".config/gcloud");
    match directory.map(|directory| directory.join("application_default_credentials.json")) {
        Some(path) if path.exists() => Source::File(path),
        _ => Source::Machine,
    }
}

/// Returns the path of credentials, if the library can use their kind.
fn usable(path: &Path) -> Result<String, Failure> {
    let wrong = |reason: &str| Failure::other(format!("cannot use the credentials in {}: {reason}", path.display()));
    let text = std::fs::read(path).map_err(|error| wrong(&crate::error::without_number(&error)))?;
    let json: serde_json::Value = serde_json::from_slice(&text).map_err(|_| wrong("they must be JSON"))?;
    match json["type"].as_str() {
        Some("authorized_user" | "service_account") => {}
        kind => {
            let kind = kind.filter(|kind| kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
            let reason = format!(
                "the type must be service_account or authorized_user, got {}; set GOOGLE_BEARER_TOKEN to what \
                 `gcloud auth print-access-token` prints",
                kind.unwrap_or("none")
            );
            return Err(wrong(&reason));
        }
    }
    path.to_str().map(str::to_owned).ok_or_else(|| wrong("the path must be UTF-8"))
}

/// Whether this is a machine of Google's that has an account. Anywhere else the answer takes no longer than [`PROBE`].
fn machine_has_account(env: &Environment) -> bool {
    // The address needs no name server, which may be slow to say that it does not know the name.
    let host = env.first(&["GCE_METADATA_HOST", "GCE_METADATA_ROOT", "GCE_METADATA_IP"]).unwrap_or("169.254.169.254");
    let options = transport::options(true, false).with_connect_timeout(PROBE).with_timeout(PROBE);
    let Ok(client) = ReqwestConnector::default().connect(&options) else { return false };
    let url = format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/email");
    let Ok(mut request) = transport::request(Method::GET, &url) else { return false };
    request.headers_mut().insert("metadata-flavor", HeaderValue::from_static("Google"));
    let answer = wait(client.execute(request));
    answer.is_ok_and(|answer| answer.is_ok_and(|answer| answer.status().is_success()))
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;

    use super::super::super::mock::{Answer, Request, Server};
    use super::super::environment::tests::environment;
    use super::*;

    #[test]
    fn sources_in_the_order_of_googles_tools() {
        let home = tempfile::tempdir().unwrap();
        let of = |variables: &[(&str, &str)]| {
            let home = [("HOME", home.path().to_str().unwrap())];
            source(&environment(&[variables, &home].concat()))
        };
        assert_eq!(of(&[]), Source::Machine);
        let directory = home.path().join(".config/gcloud");
        std::fs::create_dir_all(&directory).unwrap();
        let file = directory.join("application_default_credentials.json");
        std::fs::write(&file, "{}").unwrap();
        assert_eq!(of(&[]), Source::File(file));
        let named = ("GOOGLE_APPLICATION_CREDENTIALS", "/x");
        assert_eq!(of(&[named]), Source::File("/x".into()));
        let token = ("CLOUDSDK_AUTH_ACCESS_TOKEN", "t");
        assert_eq!(of(&[named, token]), Source::Token("t".into()));
        let key = ("GOOGLE_SERVICE_ACCOUNT_KEY", "{}");
        assert_eq!(of(&[named, token, key]), Source::Variables);
        assert_eq!(of(&[key, ("STORAGE_EMULATOR_HOST", "localhost:1")]), Source::Nowhere);
    }

    #[test]
    fn credentials_of_an_unknown_kind() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (text, said) in [
            (r#"{"type": "external_account", "secret": "s"}"#, "got external_account"),
            (r#"{"type": "A secret"}"#, "got none"),
            ("secret", "must be JSON"),
        ] {
            std::fs::write(&file, text).unwrap();
            let error = usable(file.path()).unwrap_err().reason;
            assert!(error.contains(said) && !error.contains("secret"), "{error}");
        }
        std::fs::write(&file, r#"{"type": "authorized_user"}"#).unwrap();
        assert_eq!(usable(file.path()).unwrap(), file.path().to_str().unwrap());
    }

    /// Gets `gs://box/key` from `server`.
    fn get(server: &Server, variables: &[(&str, &str)]) -> Result<Store, Failure> {
        let all = [&[("HOME", "/nowhere")], variables].concat();
        let store = open("box", &environment(&all))?;
        let got = wait(store.objects.get(&"key".into())).unwrap();
        assert_eq!(server.requests().last().unwrap().target, "/box/key");
        got.map(|_| store).map_err(|error| Failure::from(&error))
    }

    fn answer(request: &Request) -> Answer {
        let list = "<ListMultipartUploadsResult><Upload><Key>d/ours</Key><UploadId>7</UploadId></Upload></ListMultipartUploadsResult>";
        match request.method.as_str() {
            "GET" if request.target.starts_with("/box?uploads=") => Answer::new(200, list),
            "GET" => Answer::file(request, b"x", "\"1\"").with("last-modified", "Wed, 01 Jan 2025 00:00:00 GMT"),
            _ => Answer::new(204, ""),
        }
    }

    #[test]
    fn a_token_is_sent_and_uploads_are_removed() {
        let server = Server::start(answer);
        let store = get(&server, &[("GOOGLE_BASE_URL", &server.url("")), ("GOOGLE_BEARER_TOKEN", "token")]).unwrap();
        let removed = wait(store.uploads.unwrap().remove("d/", |name| name == "ours")).unwrap();
        assert_eq!(removed.unwrap(), 1);
        let requests = server.requests();
        assert!(requests.iter().all(|request| request.header("authorization") == Some("Bearer token")), "{requests:?}");
        assert_eq!(requests[2].target, "/box/d%2Fours?uploadId=7");
    }

    #[test]
    fn without_credentials_requests_have_no_token() {
        let server = Server::start(answer);
        let store = get(&server, &[("STORAGE_EMULATOR_HOST", &server.host)]).unwrap();
        assert!(store.uploads.is_none());
        assert_eq!(server.requests()[0].header("authorization"), None);
        let private = Server::start(|_| Answer::new(401, "<Error><Code>AccessDenied</Code></Error>"));
        let error = get(&private, &[("STORAGE_EMULATOR_HOST", &private.url("/"))]).err().unwrap().reason;
        assert!(error.contains("no credentials were found") && error.contains("gcloud auth"), "{error}");
    }
}
