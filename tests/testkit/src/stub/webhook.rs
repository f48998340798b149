//! A simulator of senders of Standard Webhooks, written from the specification.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use greenlight_core::Timestamp;
use greenlight_core::event::SignedMessage;
use greenlight_sources::test_request::Sent;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

/// A request with this id and body, signed now with `secret`, `whsec_…`.
///
/// # Panics
/// When the secret is not one.
#[must_use]
pub fn signed_webhook(secret: &str, id: &str, body: &Value) -> Sent {
    signed_webhook_at(secret, id, body, super::now())
}

/// The same, signed at `now`.
///
/// # Panics
/// When the secret is not one.
#[must_use]
pub fn signed_webhook_at(secret: &str, id: &str, body: &Value, now: Timestamp) -> Sent {
    let now = now.as_seconds();
    let key = secret.strip_prefix("whsec_").and_then(|key| STANDARD.decode(key).ok());
    let key = key.unwrap_or_else(|| panic!("{secret} is no secret"));
    let body = body.to_string();
    let mut hmac = Hmac::<Sha256>::new_from_slice(&key).unwrap_or_else(|error| panic!("{error}"));
    hmac.update(format!("{id}.{now}.{body}").as_bytes());
    let signature = format!("v1,{}", STANDARD.encode(hmac.finalize().into_bytes()));
    let headers = [
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", now.to_string()),
        ("webhook-signature", signature),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value)).to_vec();
    Sent::post(headers, body)
}

/// The request as it travels in a queue message.
#[must_use]
pub fn message_of(sent: &Sent) -> SignedMessage {
    let headers = sent.headers.iter().cloned().collect();
    SignedMessage { headers, body: STANDARD.encode(&sent.body) }
}
