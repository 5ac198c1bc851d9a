//! The environment variables that say where a store is and who asks.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;

/// The beginnings of the names that matter here.
const NAMES: [&str; 11] = [
    "AWS_",
    "AZURE_",
    "CLOUDSDK_",
    "GCE_METADATA_",
    "GOOGLE_",
    "HF_",
    "HUGGING_FACE_HUB_TOKEN",
    "HOME",
    "IDENTITY_",
    "STORAGE_EMULATOR_HOST",
    "XDG_CACHE_HOME",
];

/// Variables with their values. An empty one counts as absent, as it does for the vendors' own tools.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Returns the variables of this process.
    pub fn of_process() -> Self {
        let all =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::of(all.filter(|(name, _)| NAMES.iter().any(|known| name.starts_with(known))))
    }

    pub fn of(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let trimmed = variables.into_iter().map(|(name, value)| (name, value.trim().to_owned()));
        Self(trimmed.filter(|(_, value)| !value.is_empty()).collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Returns the value of the first of `names` that is set.
    pub fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.get(name))
    }

    pub fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true") || value == "1")
    }

    /// Returns the variables whose names begin with `prefix`.
    pub fn beginning(&self, prefix: &str) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .filter(move |(name, _)| name.starts_with(prefix))
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns the path in `name`, or else `default` in the home directory.
    pub fn path(&self, name: &str, default: &str) -> Option<PathBuf> {
        match self.get(name) {
            Some(path) => self.expand(path),
            None => Some(PathBuf::from(self.get("HOME")?).join(default)),
        }
    }

    fn expand(&self, path: &str) -> Option<PathBuf> {
        match path.strip_prefix("~/") {
            Some(rest) => Some(PathBuf::from(self.get("HOME")?).join(rest)),
            None => Some(path.into()),
        }
    }

    /// Returns a number that changes with any variable, so that a client is made again when they change.
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment::of(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn empty_variables_are_absent() {
        let env = environment(&[("AWS_SESSION_TOKEN", " \n"), ("AWS_REGION", "eu-west-1\n"), ("HOME", "/h")]);
        assert_eq!(env.get("AWS_SESSION_TOKEN"), None);
        assert_eq!(env.first(&["AWS_SESSION_TOKEN", "AWS_REGION"]), Some("eu-west-1"));
        assert_eq!(env.path("AWS_CONFIG_FILE", ".aws/config").unwrap(), PathBuf::from("/h/.aws/config"));
        let other = environment(&[("AWS_CONFIG_FILE", "~/c"), ("HOME", "/h")]);
        assert_eq!(other.path("AWS_CONFIG_FILE", ".aws/config").unwrap(), PathBuf::from("/h/c"));
        assert_ne!(env.digest(), other.digest());
    }
}
