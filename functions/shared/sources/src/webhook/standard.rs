//! Standard Webhooks: signatures `v1` and `v1a`.

use std::ops::RangeInclusive;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use greenlight_core::Rejection;
#[cfg(feature = "client")]
use greenlight_core::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::signature::{Verified, text};
use crate::signed_at::signed_at;

/// The headers of the specification, and of senders from before it had a name. The fields of one
/// request are of one set.
const SETS: [[&str; 3]; 2] = [
    ["webhook-id", "webhook-timestamp", "webhook-signature"],
    ["svix-id", "svix-timestamp", "svix-signature"],
];

/// All of them.
pub(super) const HEADERS: [&str; 6] = {
    let [[a, b, c], [d, e, f]] = SETS;
    [a, b, c, d, e, f]
};

/// The most signatures of one request that are looked at: one per secret during a rotation.
const MAX_SIGNATURES: usize = 16;

/// The most signatures that are verified with one public key: the old and the new one.
const MAX_OF_PUBLIC_KEY: usize = 2;

/// Whether `secret` is one of this scheme.
pub(crate) fn is_usable(secret: &str) -> bool {
    Key::of(secret).is_some()
}

/// A secret by its prefix, of the length that the specification has.
enum Key {
    /// `whsec_…`: the HMAC key. The prefix is required, so that a public key without its own is not
    /// taken for a secret.
    Symmetric(Vec<u8>),
    /// `whpk_…`: the public key.
    Public(Vec<u8>),
}

impl Key {
    fn of(secret: &str) -> Option<Self> {
        let secret = secret.trim();
        let decode = |text: &str, bytes: RangeInclusive<usize>| {
            STANDARD.decode(text).ok().filter(|key| bytes.contains(&key.len()))
        };
        if let Some(key) = secret.strip_prefix("whpk_") {
            return decode(key, 32..=32).map(Self::Public);
        }
        decode(secret.strip_prefix("whsec_")?, 24..=64).map(Self::Symmetric)
    }

    const fn version(&self) -> &'static str {
        match self {
            Self::Symmetric(_) => "v1",
            Self::Public(_) => "v1a",
        }
    }

    /// Whether one of `signatures` is of this key. The content is hashed once for an HMAC, and once
    /// per signature for a public key.
    fn verify(&self, content: &[u8], signatures: &[(&str, Vec<u8>)]) -> bool {
        let of_version = signatures.iter().filter(|(version, _)| *version == self.version());
        let mut signatures = of_version.map(|(_, signature)| signature);
        match self {
            Self::Symmetric(key) => hmac(key, content).is_some_and(|hmac| {
                let right = hmac.finalize().into_bytes();
                signatures.any(|signature| bool::from(right.as_slice().ct_eq(signature)))
            }),
            Self::Public(key) => {
                let key = UnparsedPublicKey::new(&ED25519, key);
                signatures.take(MAX_OF_PUBLIC_KEY).any(|it| key.verify(content, it).is_ok())
            }
        }
    }
}

fn hmac(key: &[u8], content: &[u8]) -> Option<Hmac<Sha256>> {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    hmac.update(content);
    Some(hmac)
}

/// Verifies a request with any of `secrets`.
pub(crate) fn verify<'a>(
    headers: &HeaderMap,
    body: &[u8],
    secrets: impl Iterator<Item = &'a str>,
) -> Result<Verified, Rejection> {
    let has_one = |set: &&[&str; 3]| set.iter().any(|name| headers.contains_key(*name));
    let [id, timestamp, signatures] = SETS.iter().find(has_one).ok_or(Rejection::NotSigned)?;
    let (id, timestamp) = (text(headers, id)?, text(headers, timestamp)?);
    // A dot would make the border between id and timestamp ambiguous.
    if id.is_empty() || id.contains('.') {
        return Err(Rejection::WrongSignature);
    }
    let signed_at = signed_at(timestamp).ok_or(Rejection::WrongSignature)?;
    let content = content(id, timestamp, body);
    let keys: Vec<Key> = secrets.filter_map(Key::of).collect();
    if keys.is_empty() {
        return Err(Rejection::NoCredentials);
    }
    // An entry of another version, or of another shape, is skipped.
    let signatures = text(headers, signatures)?.split(' ').take(MAX_SIGNATURES);
    let signatures = signatures.filter_map(|entry| {
        let (version, signature) = entry.split_once(',')?;
        Some((version, STANDARD.decode(signature).ok()?))
    });
    let signatures: Vec<_> = signatures.collect();
    if !keys.iter().any(|key| key.verify(&content, &signatures)) {
        return Err(Rejection::WrongSignature);
    }
    Ok(Verified { id: Some(id.to_owned()), signed_at: Some(signed_at) })
}

/// `{id}.{timestamp}.{body}`, the signed content.
fn content(id: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
    [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat()
}

/// The headers of a request that is signed with `secret`; `None` for a public key.
#[cfg(feature = "client")]
pub(crate) fn sign(
    id: &str,
    body: &[u8],
    secret: &str,
    now: Timestamp,
) -> Option<Vec<(String, String)>> {
    let Key::Symmetric(key) = Key::of(secret)? else { return None };
    let timestamp = now.as_seconds().to_string();
    let hmac = hmac(&key, &content(id, &timestamp, body))?;
    let signature = format!("v1,{}", STANDARD.encode(hmac.finalize().into_bytes()));
    let [names, _] = SETS;
    let values = [id.to_owned(), timestamp, signature];
    Some(names.map(str::to_owned).into_iter().zip(values).collect())
}
