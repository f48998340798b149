//! The secret document, cached and read again when it may have been rotated.

mod cache;
mod fixed;

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
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
#[derive(Clone, Debug)]
pub struct Secret {
    /// Credentials per source in `flows.toml`; their names are the kind's.
    sources: BTreeMap<String, Credentials>,
    /// Credentials per target in `flows.toml`; their names are the connector's.
    pub targets: BTreeMap<String, BTreeMap<String, SecretString>>,
}

/// The credentials of a source, by name. One that is rotated can have several values.
#[derive(Clone, Debug, Default)]
pub struct Credentials(BTreeMap<String, Vec<SecretString>>);

impl Credentials {
    /// The value of `name`, the first if there are several; `None` if it is missing or blank.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Every value of `name` that is not blank.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let values = self.0.get(name).into_iter().flatten();
        values.map(ExposeSecret::expose_secret).filter(|value| !value.trim().is_empty())
    }
}

/// The secret could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error, Explain)]
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
    /// Not JSON. Names the place, never the content.
    #[error("the secret is not JSON: a syntax error at line {line} column {column}")]
    Malformed {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// A value of the wrong type.
    #[error("`{path}` of the secret is not {expected}")]
    WrongType {
        /// The keys that lead to it, joined by dots.
        path: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A value that its source cannot use.
    #[error("`{path}` of the secret cannot be used: {usable}")]
    Unusable {
        /// The keys that lead to it, joined by dots.
        path: String,
        /// Which values can be used.
        usable: Explanation,
    },
    /// Two sources have the same value.
    #[error(
        "`{first}` and `{second}` of the secret are the same: a request for one source would be \
         accepted for the other"
    )]
    Shared {
        /// The path of one.
        first: String,
        /// The path of the other.
        second: String,
    },
    /// Fields are missing or blank.
    #[error("the secret lacks `{0}`: `greenlight secrets set` asks for what is missing")]
    Missing(String),
}

impl Secret {
    /// The credentials of a source; none if it has none.
    #[must_use]
    pub fn source(&self, name: &str) -> Option<&Credentials> {
        self.sources.get(name)
    }

    /// Whether this can follow `other`: it has sources, and each that is in both has each of its
    /// credentials, with any value. A source may be taken out; a half-written document has none, or
    /// lacks credentials of one.
    #[must_use]
    pub fn can_follow(&self, other: &Self) -> bool {
        let has_all = |source: &String, before: &Credentials| {
            let Some(here) = self.source(source) else { return true };
            let mut needed = before.0.keys().filter(|name| before.get(name).is_some());
            needed.all(|name| here.get(name).is_some())
        };
        let is_kept = other.sources.keys().any(|source| self.source(source).is_some());
        (is_kept || other.sources.is_empty())
            && other.sources.iter().all(|(source, before)| has_all(source, before))
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
        let document = serde_json::from_str(json).map_err(|error| SecretError::Malformed {
            line: error.line(),
            column: error.column(),
        })?;
        let mut members = object(document, "the document")?;
        let section = |member: Option<Value>, name: &str| match member {
            None => Ok(Map::new()),
            Some(member) => object(member, name),
        };
        let sources = section(members.remove(SOURCES), SOURCES)?.into_iter();
        let sources = sources.map(|(name, values)| {
            let credentials = credentials(values, &format!("{SOURCES}.{name}"))?;
            Ok((name, credentials))
        });
        let mut sources = sources.collect::<Result<BTreeMap<_, _>, _>>()?;
        let targets = section(members.remove(TARGETS), TARGETS)?.into_iter();
        let targets = targets.map(|(name, values)| {
            let path = format!("{TARGETS}.{name}");
            let values = object(values, &path)?.into_iter();
            let texts = values.map(|(key, value)| Ok((key.clone(), text(value, &path, &key)?)));
            Ok((name, texts.collect::<Result<_, _>>()?))
        });
        let targets = targets.collect::<Result<_, _>>()?;
        for (name, member) in members {
            if let Ok(of_first_edition) = credentials(member, "") {
                sources.entry(name).or_insert(of_first_edition);
            }
        }
        Ok(Self { sources, targets })
    }
}

const SOURCES: &str = "sources";

const TARGETS: &str = "targets";

fn object(value: Value, path: &str) -> Result<Map<String, Value>, SecretError> {
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(SecretError::WrongType { path: path.to_owned(), expected: "an object" }),
    }
}

fn text(value: Value, path: &str, key: &str) -> Result<SecretString, SecretError> {
    match value {
        Value::String(text) => Ok(text.into()),
        _ => Err(SecretError::WrongType { path: format!("{path}.{key}"), expected: "a text" }),
    }
}

/// The credentials of a source: a text each, or a list of texts.
fn credentials(value: Value, path: &str) -> Result<Credentials, SecretError> {
    let values = object(value, path)?.into_iter().map(|(key, value)| {
        let values = match value {
            Value::Array(values) => values,
            value => vec![value],
        };
        let texts = values.into_iter().map(|value| text(value, path, &key));
        Ok((key.clone(), texts.collect::<Result<_, _>>()?))
    });
    values.collect::<Result<_, _>>().map(Credentials)
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
        assert_eq!(wrong_type, "`targets.nac.token` of the secret is not a text");
        assert_eq!(error("{\"sources\": 7}"), "`sources` of the secret is not an object");
        let syntax = error("s3cret");
        assert!(syntax.contains("line 1 column 1") && !syntax.contains("s3cret"), "{syntax}");
    }
}
