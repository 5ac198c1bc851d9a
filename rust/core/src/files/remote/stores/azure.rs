//! Azure's blobs, with the account and the credentials that Azure's own tools find.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method};
use object_store::azure::{AzureConfigKey as Key, MicrosoftAzureBuilder};
use object_store::client::{HttpConnector, ReqwestConnector};

use super::super::address::{Address, Scheme};
use super::super::errors::Failure;
use super::super::runtime::wait;
use super::Store;
use super::environment::Environment;
use super::transport::{self, Connector, Party};

/// How long connecting to the server of a machine's identity may take. Elsewhere nobody answers.
const PROBE: Duration = Duration::from_secs(1);
/// How long its answer may take, which it gets elsewhere.
const IDENTITY: Duration = Duration::from_secs(5);

/// Where the credentials come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Variables,
    /// The login of Azure's own program.
    Login,
    /// The identity of a machine, if it has one.
    Machine,
    Nowhere,
}

pub(super) fn open(address: &Address, env: &Environment) -> Result<Store, Failure> {
    let settings = settings(env)?;
    let get = |key: Key| settings.iter().rev().find(|(it, _)| *it == key).map(|(_, value)| value.as_str());
    let emulator = get(Key::UseEmulator).is_some_and(|value| value == "true");
    // A container without an account before its dots takes that of the environment.
    if !address.root.contains('@') && !emulator && get(Key::AccountName).is_none() {
        return Err(Failure::other(
            "the storage account is missing; set AZURE_STORAGE_ACCOUNT to its name, or write \
             abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PATH",
        ));
    }
    let plain = emulator || get(Key::Endpoint).is_some_and(|endpoint| endpoint.starts_with("http://"));
    let builder = MicrosoftAzureBuilder::new().with_client_options(transport::options(plain, !emulator));
    let mut builder = builder.with_retry(transport::retries());
    for (key, value) in &settings {
        builder = builder.with_config(*key, value);
    }
    let source = if emulator { Source::Variables } else { source(env, get) };
    let anonymous = match source {
        Source::Nowhere => true,
        Source::Machine => !machine_has_identity(),
        Source::Variables | Source::Login => false,
    };
    if anonymous {
        builder = builder.with_skip_signature(true);
    } else if source == Source::Login {
        builder = builder.with_use_azure_cli(true);
    }
    let connector = Connector(Party { anonymous, ..Party::new(Scheme::Azure) });
    let url = format!("{}://{}", address.prefix, address.root);
    let store = builder.with_url(url).with_http_connector(connector).build();
    let store = store.map_err(|error| Failure::from(&error))?;
    Ok(Store { objects: Arc::new(store), uploads: None })
}

/// Returns the settings in the order in which they apply: a later one wins.
fn settings(env: &Environment) -> Result<Vec<(Key, String)>, Failure> {
    let mut settings = match env.get("AZURE_STORAGE_CONNECTION_STRING") {
        Some(text) => connection_string(text)?,
        None => Vec::new(),
    };
    let of_tools = [("AZURE_STORAGE_ACCOUNT", Key::AccountName), ("AZURE_STORAGE_KEY", Key::AccessKey)];
    settings.extend(of_tools.into_iter().filter_map(|(name, key)| Some((key, env.get(name)?.to_owned()))));
    for (name, value) in env.beginning("AZURE_") {
        if let Ok(key) = name.to_ascii_lowercase().parse() {
            settings.push((key, value.to_owned()));
        }
    }
    if let Some(value) = env.get("IDENTITY_ENDPOINT") {
        settings.push((Key::MsiEndpoint, value.to_owned()));
    }
    Ok(settings)
}

/// Reads `AccountName=...;AccountKey=...;...`.
fn connection_string(text: &str) -> Result<Vec<(Key, String)>, Failure> {
    let wrong = || Failure::other("AZURE_STORAGE_CONNECTION_STRING must be NAME=VALUE pairs separated by semicolons");
    let mut settings = Vec::new();
    let (mut name, mut protocol, mut suffix, mut endpoint) = (None, "https", None, None);
    for pair in text.split(';').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or_else(wrong)?;
        match key.to_ascii_lowercase().as_str() {
            "accountname" => {
                name = Some(value);
                settings.push((Key::AccountName, value.to_owned()));
            }
            "accountkey" => settings.push((Key::AccessKey, value.to_owned())),
            "sharedaccesssignature" => settings.push((Key::SasKey, value.to_owned())),
            "blobendpoint" => endpoint = Some(value.trim_end_matches('/').to_owned()),
            "endpointsuffix" => suffix = Some(value),
            "defaultendpointsprotocol" => protocol = value,
            "usedevelopmentstorage" => settings.push((Key::UseEmulator, value.to_ascii_lowercase())),
            _ => {}
        }
    }
    let of_suffix = || Some(format!("{protocol}://{}.blob.{}", name?, suffix?));
    settings.extend(endpoint.or_else(of_suffix).map(|endpoint| (Key::Endpoint, endpoint)));
    Ok(settings)
}

fn source<'a>(env: &Environment, get: impl Fn(Key) -> Option<&'a str>) -> Source {
    let has = |keys: &[Key]| keys.iter().all(|key| get(*key).is_some());
    if get(Key::SkipSignature).is_some_and(|value| value == "true") {
        return Source::Nowhere;
    }
    let secrets =
        [Key::AccessKey, Key::SasKey, Key::Token, Key::FederatedTokenFile, Key::ClientSecret, Key::MsiEndpoint];
    let named = [Key::ClientId, Key::ObjectId, Key::MsiResourceId, Key::UseAzureCli, Key::CredentialType];
    if secrets.iter().chain(&named).any(|key| has(&[*key])) {
        return Source::Variables;
    }
    let directory = env.path("AZURE_CONFIG_DIR", ".azure");
    let logged_in = directory.is_some_and(|directory| directory.join("azureProfile.json").exists());
    if logged_in && std::env::var_os("PATH").is_some_and(|paths| has_program(&paths, "az")) {
        return Source::Login;
    }
    Source::Machine
}

fn has_program(paths: &std::ffi::OsStr, name: &str) -> bool {
    std::env::split_paths(paths).any(|directory: std::path::PathBuf| Path::new(&directory).join(name).is_file())
}

/// Whether this is a machine of Azure's with an identity. Anywhere else the answer takes no longer than [`PROBE`].
fn machine_has_identity() -> bool {
    let options = transport::options(true, false).with_connect_timeout(PROBE).with_timeout(IDENTITY);
    let Ok(client) = ReqwestConnector::default().connect(&options) else { return false };
    let url = "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2019-08-01\
               &resource=https%3A%2F%2Fstorage.azure.com";
    let Ok(mut request) = transport::request(Method::GET, url) else { return false };
    request.headers_mut().insert("metadata", HeaderValue::from_static("true"));
    let answer = wait(client.execute(request));
    answer.is_ok_and(|answer| answer.is_ok_and(|answer| answer.status().is_success()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use object_store::ObjectStoreExt;

    use super::super::super::mock::{Answer, Server};
    use super::super::environment::tests::environment;
    use super::*;

    fn found(settings: &[(Key, String)], key: Key) -> Option<&str> {
        settings.iter().rev().find(|(it, _)| *it == key).map(|(_, value)| value.as_str())
    }

    #[test]
    fn connection_strings() {
        let text =
            "DefaultEndpointsProtocol=https;AccountName=me;AccountKey=a/b+c==;EndpointSuffix=core.chinacloudapi.cn;";
        let settings = connection_string(text).unwrap();
        assert_eq!(found(&settings, Key::AccountName), Some("me"));
        assert_eq!(found(&settings, Key::AccessKey), Some("a/b+c=="));
        assert_eq!(found(&settings, Key::Endpoint), Some("https://me.blob.core.chinacloudapi.cn"));
        let settings = connection_string("BlobEndpoint=http://h:1/me/;SharedAccessSignature=sv=1&sig=x%3D").unwrap();
        assert_eq!(found(&settings, Key::Endpoint), Some("http://h:1/me"));
        assert_eq!(found(&settings, Key::SasKey), Some("sv=1&sig=x%3D"));
        assert_eq!(found(&connection_string("UseDevelopmentStorage=True").unwrap(), Key::UseEmulator), Some("true"));
        let error = connection_string("secret").unwrap_err().reason;
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn variables_precede_the_connection_string() {
        let string = ("AZURE_STORAGE_CONNECTION_STRING", "AccountName=one;AccountKey=k");
        let env = environment(&[string, ("AZURE_STORAGE_ACCOUNT", "two"), ("AZURE_STORAGE_SAS_TOKEN", "s")]);
        let settings = settings(&env).unwrap();
        assert_eq!(found(&settings, Key::AccountName), Some("two"));
        assert_eq!(found(&settings, Key::AccessKey), Some("k"));
        assert_eq!(found(&settings, Key::SasKey), Some("s"));
        assert_eq!(source(&env, |key| found(&settings, key)), Source::Variables);
        assert_eq!(source(&environment(&[]), |_| None), Source::Machine);
        let skips = |key| (key == Key::SkipSignature).then_some("true");
        assert_eq!(source(&environment(&[]), skips), Source::Nowhere);
    }

    #[test]
    fn an_account_is_needed() {
        let address = |text: &str| Address::parse(Path::new(text)).unwrap();
        let error = |text: &str, variables: &[(&str, &str)]| open(&address(text), &environment(variables)).err();
        let missing = error("az://box/x", &[]).unwrap().reason;
        assert!(missing.contains("AZURE_STORAGE_ACCOUNT") && missing.contains("abfss://"), "{missing}");
        let key = ("AZURE_STORAGE_KEY", "a2V5");
        assert!(error("az://box/x", &[key]).is_some());
        assert!(error("az://box/x", &[key, ("AZURE_STORAGE_ACCOUNT", "me")]).is_none());
        assert!(error("abfss://box@me.dfs.core.windows.net/x", &[key]).is_none());
        assert!(error("az://box/x", &[("AZURE_STORAGE_USE_EMULATOR", "true")]).is_none());
    }

    #[test]
    fn without_credentials_requests_are_not_signed() {
        let server = Server::start(|request| match request.target.as_str() {
            "/box/key" => Answer::file(request, b"x", "\"1\"").with("last-modified", "Wed, 01 Jan 2025 00:00:00 GMT"),
            "/box/closed" => Answer::new(409, "").with("x-ms-error-code", "PublicAccessNotPermitted"),
            _ => Answer::new(403, "").with("x-ms-error-code", "AuthorizationFailure"),
        });
        let url = server.url("");
        let address = Address::parse(Path::new("az://box")).unwrap();
        let store = |variables: &[(&str, &str)]| {
            let all = [("HOME", "/nowhere"), ("AZURE_STORAGE_ACCOUNT", "me"), ("AZURE_STORAGE_ENDPOINT", &*url)];
            open(&address, &environment(&[&all, variables].concat())).unwrap().objects
        };
        let public = store(&[("AZURE_SKIP_SIGNATURE", "true")]);
        wait(public.get(&"key".into())).unwrap().unwrap();
        assert_eq!(server.requests()[0].header("authorization"), None);
        let reason = |error: object_store::Error| Failure::from(&error).reason;
        let said = reason(wait(public.get(&"closed".into())).unwrap().unwrap_err());
        assert!(said.contains("no credentials were found") && said.contains("(PublicAccessNotPermitted)"), "{said}");
        let signed = store(&[("AZURE_STORAGE_KEY", "a2V5")]);
        let said = reason(wait(signed.get(&"private".into())).unwrap().unwrap_err());
        assert_eq!(
            said,
            "the server refuses access (AuthorizationFailure); the credentials do not permit this request"
        );
        assert!(server.requests()[2].header("authorization").unwrap().starts_with("SharedKey me:"));
    }
}
