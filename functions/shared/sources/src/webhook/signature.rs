//! How a request proves its sender.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use greenlight_core::{Rejection, Timestamp};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName};
use serde::Deserialize;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::standard;
use crate::kind::SettingsProblem;
use crate::signed_at::signed_at;

/// How a request proves its sender.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "scheme", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Scheme {
    /// Standard Webhooks: `v1` (HMAC-SHA256) with secrets `whsec_…`, `v1a` (Ed25519) with public
    /// keys `whpk_…`.
    Standard {},
    /// `X-Hub-Signature-256`, as GitHub signs.
    Github {},
    /// HMAC-SHA256 in a header.
    Hmac(HmacHeader),
    /// A shared token and no signature.
    Token(TokenHeader),
}

/// HMAC-SHA256 in a header.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HmacHeader {
    /// The header with the signature.
    header: String,
    /// The text before the signature, such as `sha256=`. Default: none.
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    encoding: Encoding,
    /// What is signed: `{body}` at the end, and before it `{timestamp}` if there is one. Default:
    /// `{body}`.
    #[serde(default = "body_alone")]
    content: String,
    /// The header with the timestamp, in seconds or milliseconds since the Unix epoch.
    timestamp_header: Option<String>,
}

/// The encoding of a signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Encoding {
    #[default]
    Hex,
    Base64,
}

/// A shared token in a header.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenHeader {
    /// The header. Default: `Authorization`.
    #[serde(default = "authorization")]
    header: String,
    /// The text before the token. Default: `Bearer `.
    #[serde(default = "bearer")]
    prefix: String,
}

fn body_alone() -> String {
    BODY.to_owned()
}

fn authorization() -> String {
    "authorization".to_owned()
}

fn bearer() -> String {
    "Bearer ".to_owned()
}

const BODY: &str = "{body}";

const TIMESTAMP: &str = "{timestamp}";

/// An authentic request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verified {
    /// The id of the message, the same in every retry, if the scheme has one.
    pub(crate) id: Option<String>,
    /// When it was signed, if the scheme says so.
    pub(crate) signed_at: Option<Timestamp>,
}

/// How far a timestamp may be from now, in both directions, as the libraries of Standard Webhooks
/// have it. A retry has a new one.
const TOLERANCE: Duration = Duration::from_mins(5);

/// The shortest secret of the other schemes, in bytes.
const MIN_SECRET_BYTES: usize = 16;

impl Verified {
    /// Refuses what was signed at another time than now.
    pub(crate) fn check_age(&self, now: Timestamp) -> Result<(), Rejection> {
        match self.signed_at {
            Some(at) if now.since(at) > TOLERANCE || at.since(now) > TOLERANCE => {
                Err(Rejection::OutsideReplayWindow)
            }
            _ => Ok(()),
        }
    }
}

impl Scheme {
    /// Whether the body is signed. A token proves nothing once the request is stored.
    pub(super) const fn signs_body(&self) -> bool {
        !matches!(self, Self::Token(_))
    }

    /// Whether the time is signed.
    pub(super) const fn signs_time(&self) -> bool {
        match self {
            Self::Standard {} => true,
            Self::Hmac(hmac) => hmac.timestamp_header.is_some(),
            Self::Github {} | Self::Token(_) => false,
        }
    }

    /// Whether `secret` can be used: it is one of this scheme, where a public key is no HMAC key,
    /// and cannot be guessed.
    pub(super) fn is_usable(&self, secret: &str) -> bool {
        match self {
            Self::Standard {} => standard::is_usable(secret),
            Self::Github {} | Self::Hmac(_) | Self::Token(_) => {
                secret.len() >= MIN_SECRET_BYTES && !secret.starts_with("whpk_")
            }
        }
    }

    pub(super) fn problem(&self) -> Option<SettingsProblem> {
        match self {
            Self::Standard {} | Self::Github {} => None,
            Self::Token(token) => (!is_header(&token.header))
                .then_some(SettingsProblem::NotAHeader { key: "signature.header" }),
            Self::Hmac(hmac) => hmac.problem(),
        }
    }

    /// The headers that a verification needs, in lower case.
    pub(super) fn headers(&self) -> Vec<String> {
        let names = match self {
            Self::Standard {} => standard::HEADERS.map(str::to_owned).to_vec(),
            Self::Github {} => vec![github().header],
            Self::Token(token) => vec![token.header.clone()],
            Self::Hmac(hmac) => [Some(hmac.header.clone()), hmac.timestamp_header.clone()]
                .into_iter()
                .flatten()
                .collect(),
        };
        names.into_iter().map(|name| name.to_ascii_lowercase()).collect()
    }

    /// Verifies a request with any of `secrets`, over the raw bytes and in constant time; not its
    /// age.
    pub(super) fn verify<'a>(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        secrets: impl Iterator<Item = &'a str>,
    ) -> Result<Verified, Rejection> {
        match self {
            Self::Standard {} => standard::verify(headers, body, secrets),
            Self::Github {} => github().verify(headers, body, secrets),
            Self::Hmac(hmac) => hmac.verify(headers, body, secrets),
            Self::Token(token) => token.verify(headers, secrets),
        }
    }

    /// The headers of a request as a sender with `secret` signs it; `None` if that secret cannot
    /// sign.
    #[cfg(feature = "client")]
    pub(super) fn sign(
        &self,
        id: &str,
        body: &[u8],
        secret: &str,
        now: Timestamp,
    ) -> Option<Vec<(String, String)>> {
        match self {
            Self::Standard {} => standard::sign(id, body, secret, now),
            Self::Github {} => Some(github().sign(body, secret, now)),
            Self::Hmac(hmac) => Some(hmac.sign(body, secret, now)),
            Self::Token(token) => {
                let header = token.header.to_ascii_lowercase();
                Some(vec![(header, format!("{}{secret}", token.prefix))])
            }
        }
    }
}

/// <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>
fn github() -> HmacHeader {
    HmacHeader {
        header: "x-hub-signature-256".to_owned(),
        prefix: "sha256=".to_owned(),
        encoding: Encoding::Hex,
        content: body_alone(),
        timestamp_header: None,
    }
}

impl HmacHeader {
    fn problem(&self) -> Option<SettingsProblem> {
        let before = self.content.strip_suffix(BODY);
        let timestamps = before.map_or(0, |before| before.matches(TIMESTAMP).count());
        let is_whole = before.is_some_and(|before| !before.contains(BODY));
        if !is_header(&self.header) {
            Some(SettingsProblem::NotAHeader { key: "signature.header" })
        } else if self.timestamp_header.as_ref().is_some_and(|name| !is_header(name)) {
            Some(SettingsProblem::NotAHeader { key: "signature.timestamp_header" })
        } else if !is_whole || timestamps != usize::from(self.timestamp_header.is_some()) {
            Some(SettingsProblem::SignedContent)
        } else {
            None
        }
    }

    /// The HMAC over the content with this timestamp.
    fn hmac(&self, secret: &str, timestamp: &str, body: &[u8]) -> Option<Hmac<Sha256>> {
        let before = self.content.strip_suffix(BODY)?.replace(TIMESTAMP, timestamp);
        let mut hmac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
        hmac.update(before.as_bytes());
        hmac.update(body);
        Some(hmac)
    }

    fn verify<'a>(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        mut secrets: impl Iterator<Item = &'a str>,
    ) -> Result<Verified, Rejection> {
        let given = text(headers, &self.header)?;
        let given = given.strip_prefix(&self.prefix).ok_or(Rejection::WrongSignature)?;
        let given = self.encoding.decode(given).ok_or(Rejection::WrongSignature)?;
        let timestamp = match &self.timestamp_header {
            None => None,
            Some(header) => {
                let text = text(headers, header)?;
                Some((text, signed_at(text).ok_or(Rejection::WrongSignature)?))
            }
        };
        let in_content = timestamp.map_or("", |(text, _)| text);
        let is_signed = secrets.any(|secret| {
            let hmac = self.hmac(secret, in_content, body);
            hmac.is_some_and(|hmac| hmac.verify_slice(&given).is_ok())
        });
        if !is_signed {
            return Err(Rejection::WrongSignature);
        }
        Ok(Verified { id: None, signed_at: timestamp.map(|(_, at)| at) })
    }

    #[cfg(feature = "client")]
    fn sign(&self, body: &[u8], secret: &str, now: Timestamp) -> Vec<(String, String)> {
        let timestamp = now.as_seconds().to_string();
        let hmac = self.hmac(secret, &timestamp, body);
        let bytes = hmac.map(|hmac| hmac.finalize().into_bytes().to_vec()).unwrap_or_default();
        let signature = format!("{}{}", self.prefix, self.encoding.encode(&bytes));
        let of_time = self.timestamp_header.iter().map(|header| (header, timestamp.clone()));
        let of_signature = [(&self.header, signature)];
        let all = of_signature.into_iter().chain(of_time);
        all.map(|(name, value)| (name.to_ascii_lowercase(), value)).collect()
    }
}

impl TokenHeader {
    fn verify<'a>(
        &self,
        headers: &HeaderMap,
        mut secrets: impl Iterator<Item = &'a str>,
    ) -> Result<Verified, Rejection> {
        let given = text(headers, &self.header)?;
        let given = given.strip_prefix(&self.prefix).ok_or(Rejection::WrongSignature)?;
        if secrets.any(|secret| bool::from(secret.as_bytes().ct_eq(given.as_bytes()))) {
            Ok(Verified { id: None, signed_at: None })
        } else {
            // Nothing here is signed: a stranger must not raise the alarm for signed requests.
            Err(Rejection::WrongSignature)
        }
    }
}

impl Encoding {
    fn decode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Hex => hex::decode(text).ok(),
            Self::Base64 => STANDARD.decode(text).ok(),
        }
    }

    #[cfg(feature = "client")]
    fn encode(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex => hex::encode(bytes),
            Self::Base64 => STANDARD.encode(bytes),
        }
    }
}

fn is_header(name: &str) -> bool {
    name.parse::<HeaderName>().is_ok()
}

/// The only value of a header; a repeated header is a forgery.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, Rejection> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Err(Rejection::NotSigned),
        (Some(value), None) => value.to_str().map_err(|_| Rejection::WrongSignature),
        _ => Err(Rejection::WrongSignature),
    }
}
