//! The profiles in ~/.aws/config and ~/.aws/credentials.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use configparser::ini::Ini;

use super::super::errors::Failure;
use super::environment::Environment;

type Section = HashMap<String, String>;
/// Key, secret and token.
type Keys<'a> = (&'a str, &'a str, Option<&'a str>);

/// What the two files say about one profile.
#[derive(Clone, Default)]
pub(super) struct Profile {
    pub name: String,
    credentials: Section,
    config: Section,
    /// The settings of the section `[services NAME]` that the profile names.
    services: Section,
}

impl fmt::Debug for Profile {
    /// Not the values, some of which are secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Profile({})", self.name)
    }
}

impl Profile {
    /// Returns the profile that `AWS_PROFILE` names, or else the default one, which need not exist.
    pub fn load(env: &Environment) -> Result<Self, Failure> {
        let config = env.path("AWS_CONFIG_FILE", ".aws/config");
        let credentials = env.path("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials");
        let named = env.first(&["AWS_PROFILE", "AWS_DEFAULT_PROFILE"]);
        let found =
            Self::of(named.unwrap_or("default"), read(config.as_ref())?.as_ref(), read(credentials.as_ref())?.as_ref());
        match (found, named) {
            (Some(profile), _) => Ok(profile),
            (None, None) => Ok(Self { name: "default".into(), ..Self::default() }),
            (None, Some(name)) => {
                let shown = |path: Option<PathBuf>| path.map(|path| path.display().to_string()).unwrap_or_default();
                Err(Failure::other(format!(
                    "there is no profile {name} (AWS_PROFILE) in {} or {}",
                    shown(config),
                    shown(credentials)
                )))
            }
        }
    }

    /// Returns the profile `name`, or `None` if neither file has it.
    fn of(name: &str, config: Option<&Ini>, credentials: Option<&Ini>) -> Option<Self> {
        // Only the first of these files writes "profile" before a name.
        let in_config = config.and_then(|ini| {
            section(ini, &["profile", name]).or_else(|| (name == "default").then(|| section(ini, &["default"]))?)
        });
        let in_credentials = credentials.and_then(|ini| section(ini, &[name]));
        if in_config.is_none() && in_credentials.is_none() {
            return None;
        }
        let in_config = in_config.unwrap_or_default();
        let services = in_config.get("services").and_then(|it| section(config?, &["services", it]));
        Some(Self {
            name: name.to_owned(),
            credentials: in_credentials.unwrap_or_default(),
            config: in_config,
            services: services.unwrap_or_default(),
        })
    }

    /// Returns a setting. That in the file of credentials wins.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.credentials.get(name).or_else(|| self.config.get(name)).map(String::as_str).filter(|it| !it.is_empty())
    }

    /// Returns a setting of the S3 service: of `[services]`, then of the profile's own `s3 =`.
    pub fn service(&self, name: &str) -> Option<&str> {
        [&self.services, &self.config].into_iter().find_map(|section| nested(section.get("s3")?, name))
    }

    /// Returns the key, the secret and the token, which must stand in one file.
    pub fn keys(&self) -> Option<Result<Keys<'_>, Failure>> {
        [&self.credentials, &self.config].into_iter().find_map(|section| {
            let get = |name: &str| section.get(name).map(String::as_str).filter(|value| !value.is_empty());
            let key = get("aws_access_key_id")?;
            Some(get("aws_secret_access_key").map(|secret| (key, secret, get("aws_session_token"))).ok_or_else(|| {
                Failure::other(format!("the profile {} has aws_access_key_id and no aws_secret_access_key", self.name))
            }))
        })
    }
}

fn read(path: Option<&PathBuf>) -> Result<Option<Ini>, Failure> {
    let Some(path) = path else { return Ok(None) };
    match std::fs::read_to_string(path) {
        Ok(text) => parse(path, &text).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(Failure::other(format!("cannot read {}: {}", path.display(), crate::error::without_number(&error))))
        }
    }
}

fn parse(path: &Path, text: &str) -> Result<Ini, Failure> {
    let mut ini = Ini::new_cs();
    let mut rules = ini.defaults();
    // A name that no section can have, for what stands above all sections.
    rules.default_section = "]".into();
    rules.delimiters = vec!['='];
    // A secret may have a `#`.
    rules.enable_inline_comments = false;
    rules.multiline = true;
    ini.load_defaults(rules);
    match ini.read(text.to_owned()) {
        Ok(_) => Ok(ini),
        // The rest of the message quotes the line, which may have a secret.
        Err(message) => {
            let line = message.split(':').next().filter(|it| it.starts_with("line ")).unwrap_or("some line");
            Err(Failure::other(format!(
                "cannot read {}: {line} is neither a [section] nor NAME = VALUE",
                path.display()
            )))
        }
    }
}

/// Returns the section whose name has these words, quoted or not.
fn section(ini: &Ini, words: &[&str]) -> Option<Section> {
    let is_it = |name: &str| shlex::split(name).is_some_and(|found| found == words) || name == words.join(" ");
    let (_, found) = ini.get_map_ref().iter().find(|(name, _)| is_it(name))?;
    Some(found.iter().map(|(name, value)| (name.clone(), value.clone().unwrap_or_default())).collect())
}

/// Returns a setting in the indented lines that are a value.
fn nested<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let lines = value.lines().filter_map(|line| line.split_once('='));
    let mut found = lines.filter(|(it, _)| it.trim() == name).map(|(_, value)| value.trim());
    found.next().filter(|value| !value.is_empty())
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::environment::tests::environment;
    use super::*;

    pub fn profile(name: &str, config: &str, credentials: &str) -> Option<Profile> {
        let ini = |text| parse(Path::new("x"), text).unwrap();
        Profile::of(name, Some(&ini(config)), Some(&ini(credentials)))
    }

    const CONFIG: &str = "\
# A comment.
[default]
region = eu-west-1
[profile dev]
region=eu-central-1
credential_process = \"/opt/my tool\" --for dev
services = local
s3 =
  addressing_style = path
  endpoint_url = http://profile:1
[profile \"two words\"]
region = us-west-2
[services local]
s3 =
    endpoint_url = http://services:1
dynamodb =
    endpoint_url = http://other:1
";
    const CREDENTIALS: &str = "\
[default]
aws_access_key_id = AKID
aws_secret_access_key = a/b#c;d=e+f\\g
; a comment
[other]
aws_access_key_id = ID
";

    #[test]
    fn settings_of_a_profile() {
        let default = profile("default", CONFIG, CREDENTIALS).unwrap();
        assert_eq!(default.get("region"), Some("eu-west-1"));
        assert_eq!(default.keys().unwrap().unwrap(), ("AKID", "a/b#c;d=e+f\\g", None));
        let dev = profile("dev", CONFIG, CREDENTIALS).unwrap();
        assert_eq!(dev.get("region"), Some("eu-central-1"));
        assert_eq!(dev.get("credential_process"), Some("\"/opt/my tool\" --for dev"));
        assert_eq!(dev.service("endpoint_url"), Some("http://services:1"));
        assert_eq!(dev.service("addressing_style"), Some("path"));
        assert!(dev.keys().is_none());
        assert_eq!(profile("two words", CONFIG, "").unwrap().get("region"), Some("us-west-2"));
        let half = profile("other", CONFIG, CREDENTIALS).unwrap().keys().unwrap().unwrap_err();
        assert_eq!(half.reason, "the profile other has aws_access_key_id and no aws_secret_access_key");
        assert!(profile("dev", CREDENTIALS, CREDENTIALS).is_none());
        assert!(profile("missing", CONFIG, CREDENTIALS).is_none());
    }

    #[test]
    fn files_that_cannot_be_read() {
        let error = parse(Path::new("x"), "[default]\n[broken\nkey = secret\n").unwrap_err();
        assert!(error.reason.starts_with("cannot read x: line 2"), "{error}");
        assert!(!error.reason.contains("broken"), "{error}");
        let env = environment(&[("AWS_PROFILE", "nobody"), ("HOME", "/nowhere")]);
        let error = Profile::load(&env).unwrap_err().reason;
        assert_eq!(
            error,
            "there is no profile nobody (AWS_PROFILE) in /nowhere/.aws/config or /nowhere/.aws/credentials"
        );
        assert_eq!(Profile::load(&environment(&[("HOME", "/nowhere")])).unwrap().name, "default");
    }
}
