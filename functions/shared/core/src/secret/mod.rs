//! The secret document, cached and read again when it may have been rotated.

mod cache;
mod fixed;

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use thiserror::Error;

use crate::explain::{Explain, Explanation};

pub use cache::CachedSecret;
pub use fixed::FixedSecret;

/// The secret document, as in Secrets Manager or in the file given to `greenlight serve`.
///
/// ```json
/// {"feishu": {"app_id": "cli_…", "app_secret": "…", "encrypt_key": "…",
///             "verification_token": "…"},
///  "targets": {"nac": {"token": "…"}}}
/// ```
#[derive(Clone, Debug, Deserialize)]
pub struct Secret {
    /// The values of the app's page in the Feishu console.
    pub feishu: FeishuSecret,
    /// Credentials per target in `flows.toml`; their names are the connector's.
    #[serde(default)]
    pub targets: BTreeMap<String, BTreeMap<String, SecretString>>,
}

/// The values of the app's page in the Feishu console.
#[derive(Clone, Debug, Deserialize)]
pub struct FeishuSecret {
    /// App ID, `cli_…`: public, and compared with the one of each event.
    pub app_id: String,
    /// App Secret: the login to the OpenAPI.
    pub app_secret: SecretString,
    /// Encrypt Key: signs and encrypts events.
    pub encrypt_key: SecretString,
    /// Verification Token: part of each event.
    pub verification_token: SecretString,
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
    /// A field is there and empty.
    #[error("the secret's field `{0}` is empty")]
    Empty(&'static str),
}

impl Secret {
    /// The target's own certificate authority, in PEM form: `targets.<target>.ca_pem`.
    #[must_use]
    pub fn ca_pem(&self, target: &str) -> Option<&str> {
        Some(self.targets.get(target)?.get("ca_pem")?.expose_secret())
    }

    /// Parses the secret document.
    ///
    /// # Errors
    /// Names the field that is missing, empty or malformed, never its value.
    pub fn parse(json: &str) -> Result<Self, SecretError> {
        let secret: Self = serde_json::from_str(json).map_err(|error| SecretError::Malformed {
            problem: problem_without_values(&error),
            line: error.line(),
            column: error.column(),
        })?;
        let feishu = &secret.feishu;
        for (field, value) in [
            ("feishu.app_id", feishu.app_id.as_str()),
            ("feishu.app_secret", feishu.app_secret.expose_secret()),
            ("feishu.encrypt_key", feishu.encrypt_key.expose_secret()),
            ("feishu.verification_token", feishu.verification_token.expose_secret()),
        ] {
            if value.trim().is_empty() {
                return Err(SecretError::Empty(field));
            }
        }
        Ok(secret)
    }
}

/// The reason for which a document is not the documented JSON. Never quotes a value.
#[derive(Clone, Debug, Error, Explain, PartialEq, Eq)]
#[explain("secret_document")]
pub enum SecretProblem {
    /// A field is missing.
    #[error("missing field `{field}`")]
    Missing { field: String },
    /// A value has the wrong type.
    #[error("a value of the wrong type")]
    Type,
    /// It is not JSON.
    #[error("a syntax error")]
    Syntax,
}

/// Keeps the name of a missing field only: for a wrong type, serde quotes the value.
fn problem_without_values(error: &serde_json::Error) -> SecretProblem {
    let text = error.to_string();
    match text.split_once('`').and_then(|(before, rest)| Some((before, rest.split_once('`')?.0))) {
        Some(("missing field ", field)) => SecretProblem::Missing { field: field.to_owned() },
        _ if error.is_data() => SecretProblem::Type,
        _ => SecretProblem::Syntax,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPLETE: &str = r#"{"feishu": {"app_id": "cli_a", "app_secret": "s3cret", "encrypt_key": "k",
        "verification_token": "t"}, "targets": {"nac": {"token": "n4c"}}}"#;

    #[test]
    fn a_complete_secret_is_read_and_never_shown() {
        let secret = Secret::parse(COMPLETE);
        let shown = format!("{secret:?}");
        assert!(secret.is_ok());
        assert!(!shown.contains("s3cret") && !shown.contains("n4c"), "{shown}");
    }

    #[test]
    fn an_incomplete_secret_names_the_field_and_not_the_value() {
        let error = |json: &str| Secret::parse(json).map(|_| ()).map_err(|error| error.to_string());
        let missing = error(&COMPLETE.replace("\"encrypt_key\": \"k\",", ""));
        assert!(missing.as_ref().is_err_and(|text| text.contains("`encrypt_key`")), "{missing:?}");
        let empty = error(&COMPLETE.replace("\"k\"", "\" \""));
        assert!(
            empty.as_ref().is_err_and(|text| text.contains("`feishu.encrypt_key`")),
            "{empty:?}"
        );
        let wrong_type = error(&COMPLETE.replace("\"cli_a\"", "12345678"));
        assert!(
            wrong_type.as_ref().is_err_and(|text| !text.contains("12345678")),
            "{wrong_type:?}"
        );
        let syntax = error("s3cret");
        assert!(syntax.as_ref().is_err_and(|text| !text.contains("s3cret")), "{syntax:?}");
    }
}
