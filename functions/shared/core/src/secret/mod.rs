//! The secret document, cached and read again when it may have been rotated.

mod cache;
mod fixed;

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::IgnoredAny;
use thiserror::Error;

use crate::explain::{Explain, Explanation};

pub use cache::CachedSecret;
pub use fixed::FixedSecret;

/// The secret document, as in Secrets Manager or in the file given to `greenlight serve`.
///
/// ```json
/// {"sources": {"feishu": {"app_id": "cli_…", "app_secret": "…", "encrypt_key": "…",
///                         "verification_token": "…"}},
///  "targets": {"nac": {"token": "…"}}}
/// ```
///
/// Any other member that is an object of texts is read as a source of that name: the place of
/// sources in the first edition.
#[derive(Clone, Debug, Deserialize)]
pub struct Secret {
    /// Credentials per source in `flows.toml`; their names are the kind's.
    #[serde(default)]
    sources: BTreeMap<String, Credentials>,
    /// Credentials per target in `flows.toml`; their names are the connector's.
    #[serde(default)]
    pub targets: BTreeMap<String, BTreeMap<String, SecretString>>,
    #[serde(flatten)]
    others: BTreeMap<String, Other>,
}

/// A member of the document besides those that are documented.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Other {
    Source(Credentials),
    Ignored(IgnoredAny),
}

/// The credentials of a source, by name. One that is rotated can have several values.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Credentials(BTreeMap<String, Values>);

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Values {
    One(SecretString),
    Several(Vec<SecretString>),
}

impl Credentials {
    /// The value of `name`, the first if there are several; `None` if it is missing or blank.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Every value of `name` that is not blank.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let values = match self.0.get(name) {
            None => &[],
            Some(Values::One(value)) => std::slice::from_ref(value),
            Some(Values::Several(values)) => values.as_slice(),
        };
        values.iter().map(ExposeSecret::expose_secret).filter(|value| !value.trim().is_empty())
    }
}

/// The secret could not be read.
#[derive(Clone, Debug, Error, Explain)]
#[explain("secret")]
pub enum SecretError {
    /// It is not set yet.
    #[error("the secret is not set, run `greenlight secrets set`: {0}")]
    Absent(String),
    /// The secret store did not return it.
    #[error("the secret could not be read: {0}")]
    Unavailable(Explanation),
    /// Other users of the machine may read it. Names the command that corrects it.
    #[error("the secret is not used: {0}")]
    NotPrivate(Explanation),
    /// Not the documented JSON. Names the place, never the content.
    #[error("the secret is not the documented JSON: {problem} at line {line} column {column}")]
    Malformed {
        /// The missing field, or the wrong type.
        problem: SecretProblem,
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// Fields are missing or blank.
    #[error("the secret lacks `{0}`: `greenlight secrets set` asks for what is missing")]
    Missing(String),
}

impl Secret {
    /// The credentials of a source; none if it has none.
    #[must_use]
    pub fn source(&self, name: &str) -> Option<&Credentials> {
        self.sources.get(name).or_else(|| match self.others.get(name)? {
            Other::Source(credentials) => Some(credentials),
            Other::Ignored(_) => None,
        })
    }

    /// The target's own certificate authority, in PEM form: `targets.<target>.ca_pem`.
    #[must_use]
    pub fn ca_pem(&self, target: &str) -> Option<&str> {
        Some(self.targets.get(target)?.get("ca_pem")?.expose_secret())
    }

    /// Parses the secret document.
    ///
    /// # Errors
    /// Says where it is malformed, and never quotes a value.
    pub fn parse(json: &str) -> Result<Self, SecretError> {
        serde_json::from_str(json).map_err(|error| SecretError::Malformed {
            problem: if error.is_data() { SecretProblem::Type } else { SecretProblem::Syntax },
            line: error.line(),
            column: error.column(),
        })
    }
}

/// The reason for which a document is not the documented JSON. Never quotes a value.
#[derive(Clone, Debug, Error, Explain, PartialEq, Eq)]
#[explain("secret_document")]
pub enum SecretProblem {
    /// A value has the wrong type.
    #[error("a value of the wrong type")]
    Type,
    /// It is not JSON.
    #[error("a syntax error")]
    Syntax,
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPLETE: &str = r#"{
        "sources": {"oa": {"app_secret": "s3cret", "keys": ["k1", " ", "k2"]}},
        "older": {"app_secret": "0lder"}, "comment": "text", "number": 7,
        "targets": {"nac": {"token": "n4c"}}}"#;

    #[test]
    fn a_complete_secret_is_read_and_never_shown() {
        let secret = Secret::parse(COMPLETE).unwrap();
        let shown = format!("{secret:?}");
        for value in ["s3cret", "k1", "0lder", "n4c", "text"] {
            assert!(!shown.contains(&format!("\"{value}")), "{shown}");
        }
    }

    #[test]
    fn source_reads_its_credentials_and_those_of_the_first_edition() {
        let secret = Secret::parse(COMPLETE).unwrap();
        let get = |source: &str, name: &str| {
            secret.source(source).and_then(|it| it.get(name).map(str::to_owned))
        };
        assert_eq!(get("oa", "app_secret").as_deref(), Some("s3cret"));
        assert_eq!(get("oa", "absent"), None);
        assert_eq!(get("older", "app_secret").as_deref(), Some("0lder"));
        assert_eq!(
            (get("comment", "x"), get("number", "x"), get("absent", "x")),
            (None, None, None)
        );
        let keys: Vec<_> = secret.source("oa").unwrap().all("keys").collect();
        assert_eq!(keys, ["k1", "k2"]);
    }

    #[test]
    fn a_malformed_secret_names_the_place_and_not_the_value() {
        let error = |json: &str| Secret::parse(json).unwrap_err().to_string();
        let wrong_type = error(&COMPLETE.replace("\"n4c\"", "12345678"));
        assert!(wrong_type.contains("wrong type") && !wrong_type.contains("12345678"));
        let syntax = error("s3cret");
        assert!(syntax.contains("line 1 column 1") && !syntax.contains("s3cret"), "{syntax}");
    }
}
