//! Authenticates Feishu's webhooks.

use std::time::Duration;

use greenlight_core::event::Inbound;
use greenlight_core::secret::Secret;
use greenlight_core::webhook::{Outcome, Reply, Webhook};
use greenlight_core::{Rejection, Timestamp, WebhookRequest};
use http::{HeaderMap, Method};
use serde::Deserialize;
use serde_json::json;
use subtle::ConstantTimeEq;

use super::credentials::EventCredentials;
use super::crypto::{decrypt, signature};
use super::envelope::Envelope;
use crate::signed_at::check_age;

/// The maximum age of a signed webhook.
///
/// Feishu retries after 15 s, 5 min, 1 h and 6 h; whether it signs a retry again is not documented,
/// so the window covers the whole sequence of 7.1 h. The ledger detects duplicates inside it.
pub const REPLAY_WINDOW: Duration = Duration::from_hours(8);

/// Header names of a signed webhook.
pub mod header {
    /// Unix seconds in practice; the unit is not documented.
    pub const TIMESTAMP: &str = "x-lark-request-timestamp";
    /// A random text.
    pub const NONCE: &str = "x-lark-request-nonce";
    /// See [`signature`](super::super::signature).
    pub const SIGNATURE: &str = "x-lark-signature";
}

/// Feishu waits 3 s for a reply. A request that is not enqueued by now is answered 503, and Feishu
/// sends the event again.
const ANSWER_WITHIN: Duration = Duration::from_millis(2_300);

/// Feishu's webhooks.
#[derive(Clone, Debug)]
pub struct FeishuWebhook {
    source: String,
    /// The maximum age of a signed webhook.
    pub replay_window: Duration,
}

impl FeishuWebhook {
    /// The webhooks of `source`.
    #[must_use]
    pub fn new(source: &str) -> Self {
        Self { source: source.to_owned(), replay_window: REPLAY_WINDOW }
    }
}

#[derive(Deserialize)]
struct Encrypted {
    encrypt: String,
}

impl Webhook for FeishuWebhook {
    /// Signed: verifies the signature over the raw bytes first, then decrypts, then checks token
    /// and app. Not signed, as Feishu's URL checks are: accepts only a URL check with the right
    /// token.
    fn parse(
        &self,
        request: &WebhookRequest,
        secret: &Secret,
        now: Timestamp,
    ) -> Result<Inbound, Rejection> {
        if request.method != Method::POST {
            return Err(Rejection::WrongMethod);
        }
        let app = EventCredentials::of(secret, &self.source).ok_or(Rejection::NoCredentials)?;
        match SignatureHeaders::of(&request.headers)? {
            None => url_check(&request.body, app),
            Some(headers) => {
                headers.verify(&request.body, app.encrypt_key)?;
                // Seconds in practice; the unit is not documented.
                check_age(headers.timestamp, now, self.replay_window)?;
                signed_event(&request.body, app).map_err(|rejection| match rejection {
                    Rejection::NotBase64 => Rejection::NotDecryptable,
                    Rejection::NotAnEvent => Rejection::SignedNoEvent,
                    rejection => rejection,
                })
            }
        }
    }

    /// Every authentic event gets 200, used or not: until it does, Feishu holds back the next event
    /// of the same instance.
    fn reply(&self, outcome: &Outcome, _: &Secret, _: Timestamp) -> Reply {
        match outcome {
            Outcome::Challenge(text) => Reply::of_json(200, &json!({ "challenge": text })),
            outcome => Reply::json(outcome),
        }
    }

    fn answer_within(&self) -> Duration {
        ANSWER_WITHIN
    }
}

fn signed_event(body: &[u8], app: EventCredentials<'_>) -> Result<Inbound, Rejection> {
    let Encrypted { encrypt } = serde_json::from_slice(body).map_err(|_| Rejection::NotAnEvent)?;
    let json = decrypt(app.encrypt_key, &encrypt)?;
    let envelope = match Envelope::parse(&json) {
        Ok(envelope) => envelope,
        // The signature is valid, so the event is authentic: a rejection would block later events.
        Err(error) if error.is_data() && json.starts_with(b"{") => {
            return Ok(Inbound::Unreadable { event_type: "unknown".to_owned() });
        }
        Err(_) => return Err(Rejection::NotAnEvent),
    };
    if !equal(envelope.token(), app.verification_token) {
        return Err(Rejection::WrongToken);
    }
    if let Some(challenge) = envelope.challenge() {
        return Ok(Inbound::Challenge(challenge.to_owned()));
    }
    let (app_id, event) = envelope.event();
    if app_id != app.app_id {
        return Err(Rejection::WrongApp);
    }
    Ok(event)
}

/// Handles a URL check, which Feishu sends unsigned, encrypted or not.
///
/// From the decryption on every failure gives the same rejection: the responses must not reveal
/// whether a padding was valid.
fn url_check(body: &[u8], app: EventCredentials<'_>) -> Result<Inbound, Rejection> {
    let decrypted = match serde_json::from_slice(body) {
        Ok(Encrypted { encrypt }) => {
            Some(decrypt(app.encrypt_key, &encrypt).map_err(|rejection| match rejection {
                Rejection::NotDecryptable => Rejection::NotSigned,
                rejection => rejection,
            })?)
        }
        Err(_) => None,
    };
    let failure = if decrypted.is_some() { Rejection::NotSigned } else { Rejection::NotAnEvent };
    let envelope = Envelope::parse(decrypted.as_deref().unwrap_or(body)).map_err(|_| failure)?;
    match envelope.challenge() {
        Some(challenge) if equal(envelope.token(), app.verification_token) => {
            Ok(Inbound::Challenge(challenge.to_owned()))
        }
        _ => Err(Rejection::NotSigned),
    }
}

struct SignatureHeaders<'a> {
    timestamp: &'a str,
    nonce: &'a str,
    signature: &'a str,
}

impl<'a> SignatureHeaders<'a> {
    /// Requires all three headers or none; a partial set is a forgery.
    fn of(headers: &'a HeaderMap) -> Result<Option<Self>, Rejection> {
        let get = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        match (get(header::TIMESTAMP), get(header::NONCE), get(header::SIGNATURE)) {
            (None, None, None) => Ok(None),
            (Some(timestamp), Some(nonce), Some(signature)) => {
                Ok(Some(Self { timestamp, nonce, signature }))
            }
            _ => Err(Rejection::WrongSignature),
        }
    }

    fn verify(&self, body: &[u8], encrypt_key: &str) -> Result<(), Rejection> {
        let expected = signature(self.timestamp, self.nonce, encrypt_key, body);
        if bool::from(expected.as_bytes().ct_eq(self.signature.as_bytes())) {
            Ok(())
        } else {
            Err(Rejection::WrongSignature)
        }
    }
}

fn equal(given: &str, secret: &str) -> bool {
    bool::from(given.as_bytes().ct_eq(secret.as_bytes()))
}

#[cfg(test)]
mod tests;
