//! S3 and what speaks its protocol, with credentials, region and endpoint as Amazon's own tools take them.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey as Key, resolve_bucket_region};
use object_store::client::{HttpClient, HttpConnector, HttpRequest, ReqwestConnector};

use super::super::address::Scheme;
use super::super::errors::Failure;
use super::super::runtime::wait;
use super::Store;
use super::environment::Environment;
use super::profiles::Profile;
use super::renewed::{Program, Renewed};
use super::transport::{self, Connector, Party};
use super::uploads::{Authority, Uploads};

/// How long the server of an instance's credentials may take. Elsewhere nobody answers.
const PROBE: Duration = Duration::from_secs(1);
const REGION: &str = "us-east-1";

/// Where the credentials come from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Keys {
        id: String,
        secret: String,
        token: Option<String>,
    },
    Program(Program),
    WebIdentity {
        file: String,
        role: String,
        session: Option<String>,
    },
    /// A container's server, which the variables name.
    Container,
    /// The server of an instance, if there is one.
    Instance,
    Nowhere,
}

/// What the environment and the profile say.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Settings {
    source: Source,
    region: Option<String>,
    endpoint: Option<String>,
    certificates: Option<String>,
}

pub(super) fn open(bucket: &str, env: &Environment) -> Result<Store, Failure> {
    let settings = settings(env, &Profile::load(env)?)?;
    let plain = settings.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    // Tokens are exchanged at another server.
    let one_server = matches!(settings.source, Source::Keys { .. } | Source::Program(_) | Source::Nowhere);
    let mut options = transport::options(plain, !(plain && one_server));
    if let Some(path) = &settings.certificates {
        options = transport::with_certificates(options, path)?;
    }
    let mut builder = AmazonS3Builder::new().with_client_options(options.clone()).with_retry(transport::retries());
    for (name, value) in env.beginning("AWS_") {
        match name.to_ascii_lowercase().parse() {
            // These are in the settings.
            Ok(
                Key::AccessKeyId
                | Key::SecretAccessKey
                | Key::Token
                | Key::Region
                | Key::DefaultRegion
                | Key::Endpoint
                | Key::S3Endpoint
                | Key::SkipSignature,
            )
            | Err(_) => {}
            Ok(key) => builder = builder.with_config(key, value),
        }
    }
    if let Some(server) = metadata_server(env) {
        builder = builder.with_metadata_endpoint(server);
    }
    let anonymous = match &settings.source {
        Source::Nowhere => true,
        Source::Instance => !instance_has_role(&metadata_server(env).unwrap_or_else(|| METADATA.into())),
        _ => false,
    };
    builder = match settings.source {
        _ if anonymous => builder.with_skip_signature(true),
        Source::Keys { id, secret, token } => {
            let builder = builder.with_access_key_id(id).with_secret_access_key(secret);
            if let Some(token) = token { builder.with_token(token) } else { builder }
        }
        Source::Program(program) => builder.with_credentials(Arc::new(Renewed::new(program))),
        Source::WebIdentity { file, role, session } => {
            let builder = builder.with_config(Key::WebIdentityTokenFile, file).with_config(Key::RoleArn, role);
            if let Some(session) = session { builder.with_config(Key::RoleSessionName, session) } else { builder }
        }
        Source::Container | Source::Instance | Source::Nowhere => builder,
    };
    let region = settings.region.or_else(|| settings.endpoint.is_none().then(|| region_of(bucket, &options))?);
    let region = region.unwrap_or_else(|| REGION.into());
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    let is_true = |key: Key| builder.get_config_value(&key).is_some_and(|value| value == "true");
    let url = match (&settings.endpoint, is_true(Key::VirtualHostedStyleRequest)) {
        (Some(endpoint), true) => endpoint.clone(),
        (Some(endpoint), false) => format!("{}/{bucket}", endpoint.trim_end_matches('/')),
        (None, true) => format!("https://{bucket}.s3.{region}.amazonaws.com"),
        (None, false) => format!("https://s3.{region}.amazonaws.com/{bucket}"),
    };
    let pays = is_true(Key::RequestPayer);
    let connector = Connector(Party { scheme: Scheme::S3, anonymous, region: Some(region.clone()) });
    let wrong = |error: object_store::Error| Failure::from(&error);
    let builder = builder.with_bucket_name(bucket).with_region(&region).with_http_connector(connector.clone());
    let store = Arc::new(builder.build().map_err(wrong)?);
    let credentials = (!anonymous).then(|| Arc::clone(store.credentials()));
    let uploads = credentials.map(|credentials| {
        let authority = Authority::Amazon { credentials, region, pays };
        Uploads { store: Arc::clone(&store) as _, connector, options, url, authority }
    });
    Ok(Store { objects: store, uploads: uploads.map(Arc::new) })
}

/// Finds the source of the credentials in the order of Amazon's tools.
fn settings(env: &Environment, profile: &Profile) -> Result<Settings, Failure> {
    let region = env.first(&["AWS_REGION", "AWS_DEFAULT_REGION"]).or_else(|| profile.get("region"));
    let ignored = env.is_true("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
    let endpoint = env
        .first(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"])
        .or_else(|| profile.service("endpoint_url"))
        .or_else(|| profile.get("endpoint_url"))
        .filter(|_| !ignored);
    if let Some(endpoint) = endpoint
        && !["http://", "https://"].iter().any(|scheme| endpoint.starts_with(scheme))
    {
        return Err(Failure::other("the endpoint (AWS_ENDPOINT_URL) must begin with https:// or http://"));
    }
    let certificates = env.get("AWS_CA_BUNDLE").or_else(|| profile.get("ca_bundle"));
    Ok(Settings {
        source: source(env, profile)?,
        region: region.map(str::to_owned),
        endpoint: endpoint.map(str::to_owned),
        certificates: certificates.map(str::to_owned),
    })
}

fn source(env: &Environment, profile: &Profile) -> Result<Source, Failure> {
    if env.is_true("AWS_SKIP_SIGNATURE") {
        return Ok(Source::Nowhere);
    }
    match (env.get("AWS_ACCESS_KEY_ID"), env.get("AWS_SECRET_ACCESS_KEY")) {
        (Some(id), Some(secret)) => return keys(id, secret, env.get("AWS_SESSION_TOKEN")),
        (Some(_), None) => {
            return Err(Failure::other("AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not; set both"));
        }
        (None, Some(_)) => {
            return Err(Failure::other("AWS_SECRET_ACCESS_KEY is set, but AWS_ACCESS_KEY_ID is not; set both"));
        }
        (None, None) => {}
    }
    let has = |name: &str| profile.get(name).is_some();
    if has("role_arn") && (has("source_profile") || has("credential_source")) {
        return Ok(Source::Program(exported(profile, "assumes a role")));
    }
    let web_identity = |file: Option<&str>, role: Option<&str>, session: Option<&str>| {
        let (file, role) = (file?.to_owned(), role?.to_owned());
        Some(Source::WebIdentity { file, role, session: session.map(str::to_owned) })
    };
    let of_env =
        web_identity(env.get("AWS_WEB_IDENTITY_TOKEN_FILE"), env.get("AWS_ROLE_ARN"), env.get("AWS_ROLE_SESSION_NAME"));
    let of_profile = || {
        let get = |name| profile.get(name);
        web_identity(get("web_identity_token_file"), get("role_arn"), get("role_session_name"))
    };
    if let Some(source) = of_env.or_else(of_profile) {
        return Ok(source);
    }
    if has("sso_session") || has("sso_start_url") {
        return Ok(Source::Program(exported(profile, "uses single sign-on")));
    }
    if let Some(found) = profile.keys() {
        let (id, secret, token) = found?;
        return keys(id, secret, token);
    }
    if let Some(command) = profile.get("credential_process") {
        let origin = format!("credential_process of the profile {}", profile.name);
        let words = shlex::split(command).filter(|words| !words.is_empty());
        let words = words.ok_or_else(|| Failure::other(format!("{origin} is not a command: a quote is missing")))?;
        return Ok(Source::Program(Program { words, origin, advice: String::new() }));
    }
    if has("login_session") {
        return Ok(Source::Program(exported(profile, "uses `aws login`")));
    }
    let container = ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"];
    if env.first(&container).is_some() {
        return Ok(Source::Container);
    }
    Ok(if env.is_true("AWS_EC2_METADATA_DISABLED") { Source::Nowhere } else { Source::Instance })
}

fn keys(id: &str, secret: &str, token: Option<&str>) -> Result<Source, Failure> {
    // The library cannot send others.
    if [Some(id), Some(secret), token].into_iter().flatten().any(|key| !key.bytes().all(|byte| byte.is_ascii_graphic()))
    {
        return Err(Failure::other(
            "the access key, the secret key or the token has a space or another invalid character",
        ));
    }
    Ok(Source::Keys { id: id.to_owned(), secret: secret.to_owned(), token: token.map(str::to_owned) })
}

/// Returns Amazon's own program, for what takes more than a request.
fn exported(profile: &Profile, why: &str) -> Program {
    let name = &profile.name;
    let words = ["aws", "configure", "export-credentials", "--profile", name, "--format", "process"];
    Program {
        words: words.map(str::to_owned).to_vec(),
        origin: format!("`aws configure export-credentials` (the profile {name} {why})"),
        advice: format!(
            "; log in with AWS CLI 2, or set the variables that `aws configure export-credentials --profile {name} \
             --format env` prints"
        ),
    }
}

const METADATA: &str = "http://169.254.169.254";

/// Returns the server of an instance's credentials, if it is not the usual one.
fn metadata_server(env: &Environment) -> Option<String> {
    let ip6 = env.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE").is_some_and(|mode| mode.eq_ignore_ascii_case("ipv6"));
    let named = env.first(&["AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_METADATA_ENDPOINT"]);
    let named = named.map(|server| server.trim_end_matches('/').to_owned());
    named.or_else(|| ip6.then(|| "http://[fd00:ec2::254]".into()))
}

/// Whether this is an instance that has a role. Anywhere else the answer takes no longer than [`PROBE`] for each step.
fn instance_has_role(server: &str) -> bool {
    let options = transport::options(true, false).with_connect_timeout(PROBE).with_timeout(PROBE);
    let Ok(client) = ReqwestConnector::default().connect(&options) else { return false };
    wait(roles(&client, server)).is_ok_and(|found| found.is_some())
}

async fn roles(client: &HttpClient, server: &str) -> Option<()> {
    let text = async |mut request: HttpRequest, name, value: HeaderValue| {
        request.headers_mut().insert(name, value);
        let response = client.execute(request).await.ok().filter(|response| response.status().is_success())?;
        response.into_body().bytes().await.ok()
    };
    let request = transport::request(Method::PUT, &format!("{server}/latest/api/token")).ok()?;
    let token = text(request, "x-aws-ec2-metadata-token-ttl-seconds", HeaderValue::from_static("60")).await?;
    let token = HeaderValue::from_bytes(&token).ok()?;
    let url = format!("{server}/latest/meta-data/iam/security-credentials/");
    let found = text(transport::request(Method::GET, &url).ok()?, "x-aws-ec2-metadata-token", token).await?;
    (!found.is_empty()).then_some(())
}

/// Returns the region of a bucket of Amazon's, or `None` if that cannot be found out.
fn region_of(bucket: &str, options: &object_store::ClientOptions) -> Option<String> {
    let options = options.clone().with_timeout(transport::CONNECT);
    wait(resolve_bucket_region(bucket, &options)).ok()?.ok()
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;

    use super::super::super::errors::FailureKind;
    use super::super::super::mock::{Answer, Server};
    use super::super::environment::tests::environment;
    use super::super::profiles::tests::profile;
    use super::*;

    fn of(variables: &[(&str, &str)], config: &str, credentials: &str) -> Result<Settings, Failure> {
        let empty = || profile("default", "[default]", "").unwrap();
        settings(&environment(variables), &profile("dev", config, credentials).unwrap_or_else(empty))
    }

    fn of_keys(id: &str, token: Option<&str>) -> Source {
        Source::Keys { id: id.into(), secret: "S".into(), token: token.map(str::to_owned) }
    }

    const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "ENV"), ("AWS_SECRET_ACCESS_KEY", "S")];
    const PROFILE: &str = "[dev]\naws_access_key_id = FILE\naws_secret_access_key = S\naws_session_token = T\n";

    #[test]
    fn the_environment_precedes_the_profile() {
        assert_eq!(of(&KEYS, "", PROFILE).unwrap().source, of_keys("ENV", None));
        assert_eq!(of(&[("AWS_SESSION_TOKEN", "old")], "", PROFILE).unwrap().source, of_keys("FILE", Some("T")));
        let both = [KEYS[0], KEYS[1], ("AWS_SKIP_SIGNATURE", "true")];
        assert_eq!(of(&both, "", PROFILE).unwrap().source, Source::Nowhere);
        assert!(of(&KEYS[..1], "", PROFILE).unwrap_err().reason.contains("AWS_SECRET_ACCESS_KEY is not"));
        assert!(of(&[KEYS[0], ("AWS_SECRET_ACCESS_KEY", "a\nb")], "", "").is_err());
    }

    #[test]
    fn sources_in_the_order_of_amazons_tools() {
        let source = |config: &str| of(&[], config, "").unwrap().source;
        let Source::Program(program) = source("[profile dev]\ncredential_process = '/a b' --x y\n") else { panic!() };
        assert_eq!(program.words, ["/a b", "--x", "y"]);
        for (config, why) in [
            ("role_arn = r\nsource_profile = other\ncredential_process = x", "assumes a role"),
            ("sso_session = s\nsso_account_id = 1", "uses single sign-on"),
            ("login_session = arn", "uses `aws login`"),
        ] {
            let Source::Program(program) = source(&format!("[profile dev]\n{config}\n")) else { panic!("{config}") };
            assert!(program.origin.contains(why) && program.words[0] == "aws", "{program:?}");
        }
        let identity = "[profile dev]\nweb_identity_token_file = /t\nrole_arn = r\n";
        assert_eq!(source(identity), Source::WebIdentity { file: "/t".into(), role: "r".into(), session: None });
        let env = [("AWS_WEB_IDENTITY_TOKEN_FILE", "/e"), ("AWS_ROLE_ARN", "r"), ("AWS_ROLE_SESSION_NAME", "s")];
        let expected = Source::WebIdentity { file: "/e".into(), role: "r".into(), session: Some("s".into()) };
        assert_eq!(of(&env, identity, "").unwrap().source, expected);
        assert_eq!(source(""), Source::Instance);
        assert_eq!(of(&[("AWS_EC2_METADATA_DISABLED", "true")], "", "").unwrap().source, Source::Nowhere);
        let container = [("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x")];
        assert_eq!(of(&container, "", "").unwrap().source, Source::Container);
        assert!(
            of(&[], "[profile dev]\ncredential_process = 'x\n", "").unwrap_err().reason.contains("a quote is missing")
        );
    }

    #[test]
    fn region_and_endpoint() {
        let config = "[profile dev]\nregion = p\nendpoint_url = http://p\ns3 =\n  endpoint_url = http://s\n";
        let found = of(&[], config, "").unwrap();
        assert_eq!((found.region.as_deref(), found.endpoint.as_deref()), (Some("p"), Some("http://s")));
        let env = [("AWS_DEFAULT_REGION", "d"), ("AWS_ENDPOINT_URL", "http://e"), ("AWS_CA_BUNDLE", "/c")];
        let found = of(&env, config, "").unwrap();
        assert_eq!((found.region.as_deref(), found.endpoint.as_deref()), (Some("d"), Some("http://e")));
        assert_eq!(found.certificates.as_deref(), Some("/c"));
        let found = of(&[("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")], config, "").unwrap();
        assert_eq!(found.endpoint, None);
        assert!(
            of(&[("AWS_ENDPOINT_URL", "localhost:9000")], "", "").unwrap_err().reason.contains("https:// or http://")
        );
    }

    /// Gets `s3://box/key` from `server`.
    fn get(server: &Server, variables: &[(&str, &str)]) -> Result<(), Failure> {
        let url = server.url("");
        let all = [&[("AWS_ENDPOINT_URL", &*url), ("HOME", "/nowhere")], variables].concat();
        let store = open("box", &environment(&all))?;
        wait(store.objects.get(&"key".into())).unwrap().map(drop).map_err(|error| Failure::from(&error))
    }

    #[test]
    fn refusals_say_what_to_change() {
        for (status, code, headers, said) in [
            (403, "InvalidAccessKeyId", "", "check AWS_ACCESS_KEY_ID"),
            (403, "SignatureDoesNotMatch", "", "check AWS_SECRET_ACCESS_KEY"),
            (403, "AccessDenied", "", "the server refuses access (AccessDenied); the credentials do not permit"),
            (403, "RequestTimeTooSkewed", "", "the clock of this machine is wrong"),
            (400, "ExpiredToken", "", "the credentials are no longer valid (ExpiredToken); get new ones"),
            (400, "InvalidRequest", "", "the server answered with status 400 (InvalidRequest)"),
            (301, "PermanentRedirect", "eu-west-3", "the bucket is in the region eu-west-3, not us-east-1"),
            (400, "AuthorizationHeaderMalformed", "eu-west-3", "set AWS_REGION=eu-west-3"),
            (404, "NoSuchBucket", "", "no such bucket"),
            (404, "NoSuchKey", "", "no such object"),
            (501, "NotImplemented", "", "the server does not support this request (NotImplemented)"),
            (418, "Teapot</Code><Secret>hidden", "", "the server answered with status 418 (Teapot)"),
        ] {
            let xml = format!("<?xml version='1.0'?><Error><Code>{code}</Code><Message>hidden</Message></Error>");
            let server = Server::start(move |_| {
                let answer = Answer::new(status, &*xml);
                if headers.is_empty() { answer } else { answer.with("x-amz-bucket-region", headers) }
            });
            let error = get(&server, &KEYS).unwrap_err().reason;
            assert!(error.contains(said) && !error.contains("hidden") && !error.contains('\n'), "{code}: {error}");
            assert_eq!(server.requests().len(), 1, "{code} is asked for again");
        }
    }

    #[test]
    fn without_credentials_requests_are_not_signed() {
        let server = Server::start(|request| match request.header("authorization") {
            None if request.target == "/box/key" => {
                Answer::file(request, b"public", "\"1\"").with("last-modified", MODIFIED)
            }
            _ => Answer::new(404, ""),
        });
        let metadata = server.url("/metadata");
        get(&server, &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &metadata)]).unwrap();
        let targets: Vec<_> = server.requests().into_iter().map(|request| request.target).collect();
        assert_eq!(targets, ["/metadata/latest/api/token", "/box/key"]);
        get(&server, &[("AWS_EC2_METADATA_DISABLED", "true")]).unwrap();
        assert_eq!(server.requests().len(), 3);
        let private = Server::start(|_| Answer::new(403, "<Error><Code>AccessDenied</Code></Error>"));
        let error = get(&private, &[("AWS_SKIP_SIGNATURE", "true")]).unwrap_err();
        assert_eq!(error.kind, FailureKind::Refused);
        assert!(error.reason.contains("no credentials were found") && error.reason.contains("AWS_PROFILE"), "{error}");
    }

    const MODIFIED: &str = "Wed, 01 Jan 2025 00:00:00 GMT";

    #[test]
    fn an_instance_with_a_role_gives_credentials() {
        let server = Server::start(|request| {
            match (request.target.as_str(), request.header("x-aws-ec2-metadata-token")) {
                ("/latest/api/token", None) => Answer::new(200, "token"),
                ("/latest/meta-data/iam/security-credentials/", Some("token")) => Answer::new(200, "role"),
                ("/latest/meta-data/iam/security-credentials/role", Some("token")) => Answer::new(
                    200,
                    r#"{"AccessKeyId": "INSTANCE", "SecretAccessKey": "s", "Token": "t", "Expiration": "2999-01-01T00:00:00Z"}"#,
                ),
                ("/box/key", _)
                    if request.header("authorization").is_some_and(|it| it.contains("Credential=INSTANCE/")) =>
                {
                    Answer::file(request, b"private", "\"1\"").with("last-modified", MODIFIED)
                }
                _ => Answer::new(404, ""),
            }
        });
        get(&server, &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &server.url(""))]).unwrap();
    }

    #[test]
    fn settings_of_requests() {
        let server = Server::start(|request| Answer::file(request, b"x", "\"1\"").with("last-modified", MODIFIED));
        let more =
            [KEYS[0], KEYS[1], ("AWS_REQUEST_PAYER", "requester"), ("AWS_REGION", "r"), ("AWS_SESSION_TOKEN", "T")];
        get(&server, &more).unwrap();
        let request = &server.requests()[0];
        assert_eq!(request.header("x-amz-request-payer"), Some("requester"));
        assert_eq!(request.header("x-amz-security-token"), Some("T"));
        assert!(request.header("authorization").unwrap().contains("/r/s3/aws4_request"), "{request:?}");
        let error = get(&server, &[KEYS[0], KEYS[1], ("AWS_CA_BUNDLE", "/nowhere")]).unwrap_err().reason;
        assert_eq!(error, "cannot read the certificates in /nowhere: No such file or directory");
    }
}
