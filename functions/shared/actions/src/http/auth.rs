//! How a connector says who we are. The credentials themselves stand in the secret.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use greenlight_core::secret::Secret;
use greenlight_core::{Class, Failure};
use http::{HeaderName, HeaderValue, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::ConnectorError;

/// How a connector says who we are; the values name keys of `targets.<target>` in the secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Auth {
    /// Not at all.
    #[default]
    None,
    /// `Authorization: Basic …`
    Basic {
        /// Key of the user's name.
        username: String,
        /// Key of the password.
        password: String,
    },
    /// `Authorization: Bearer …`
    Bearer {
        /// Key of the token.
        token: String,
    },
    /// A key in a header of the target's own.
    Header {
        /// The header.
        header: String,
        /// Key of its value.
        value: String,
    },
}

impl Auth {
    pub(super) fn is_some(&self) -> bool {
        *self != Self::None
    }

    /// Whether the secret holds what is needed.
    pub(super) fn check(&self, target: &str, secret: &Secret) -> Result<(), ConnectorError> {
        let keys: &[&String] = match self {
            Self::None => &[],
            Self::Basic { username, password } => &[username, password],
            Self::Bearer { token: value } | Self::Header { value, .. } => &[value],
        };
        for key in keys {
            if credential(secret, target, key).is_none() {
                let (target, key) = (target.to_owned(), (*key).clone());
                return Err(ConnectorError::MissingCredential { target, key });
            }
        }
        Ok(())
    }

    /// `request` with the credentials of `target`.
    pub(super) fn apply(
        &self,
        request: &http::Request<Bytes>,
        target: &str,
        secret: &Secret,
    ) -> Result<http::Request<Bytes>, Failure> {
        let get = |key: &str| {
            credential(secret, target, key).map(ExposeSecret::expose_secret).unwrap_or_default()
        };
        let (name, value) = match self {
            Self::None => return Ok(request.clone()),
            Self::Basic { username, password } => {
                let pair = format!("{}:{}", get(username), get(password));
                (header::AUTHORIZATION, format!("Basic {}", STANDARD.encode(pair)))
            }
            Self::Bearer { token } => (header::AUTHORIZATION, format!("Bearer {}", get(token))),
            Self::Header { header, value } => {
                let name = HeaderName::try_from(header).map_err(|_| unusable(target))?;
                (name, get(value).to_owned())
            }
        };
        let mut value = HeaderValue::try_from(value).map_err(|_| unusable(target))?;
        value.set_sensitive(true);
        let mut request = request.clone();
        request.headers_mut().insert(name, value);
        Ok(request)
    }
}

fn credential<'a>(secret: &'a Secret, target: &str, key: &str) -> Option<&'a SecretString> {
    let credential = secret.targets.get(target)?.get(key)?;
    (!credential.expose_secret().is_empty()).then_some(credential)
}

fn unusable(target: &str) -> Failure {
    let text = format!("a credential of target `{target}` cannot stand in an HTTP header");
    Failure::give_up(Class::NotConfigured, text)
}
