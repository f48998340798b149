//! Authenticates Feishu's webhooks.

use std::time::Duration;

use greenlight_core::event::Inbound;
use greenlight_core::ports::Authenticate;
use greenlight_core::secret::{FeishuSecret, Secret};
use greenlight_core::{Rejection, Timestamp, WebhookRequest};
use http::HeaderMap;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use subtle::ConstantTimeEq;

use super::crypto::{decrypt, signature};
use super::envelope::Envelope;

/// The maximum age of a signed webhook.
///
/// Feishu retries after 15 s, 5 min, 1 h and 6 h; whether it signs a retry again is not documented,
/// so the window covers the whole sequence of 7.1 h. The ledger detects duplicates inside it.
pub const REPLAY_WINDOW: Duration = Duration::from_hours(8);

/// How far Feishu's clock may be ahead of the local clock.
const CLOCK_AHEAD: Duration = Duration::from_mins(5);

/// Header names of a signed webhook.
pub mod header {
    /// Unix seconds in practice; the unit is not documented.
    pub const TIMESTAMP: &str = "x-lark-request-timestamp";
    /// A random text.
    pub const NONCE: &str = "x-lark-request-nonce";
    /// See [`signature`](super::super::signature).
    pub const SIGNATURE: &str = "x-lark-signature";
}

/// Authentication of Feishu's webhooks.
#[derive(Clone, Copy, Debug)]
pub struct FeishuWebhook {
    /// The maximum age of a signed webhook.
    pub replay_window: Duration,
}

impl Default for FeishuWebhook {
    fn default() -> Self {
        Self { replay_window: REPLAY_WINDOW }
    }
}

#[derive(Deserialize)]
struct Encrypted {
    encrypt: String,
}

impl Authenticate for FeishuWebhook {
    /// Signed: verifies the signature over the raw bytes first, then decrypts, then checks token
    /// and app. Not signed, as Feishu's URL checks are: accepts only a URL check with the right
    /// token.
    fn authenticate(
        &self,
        webhook: &WebhookRequest,
        secret: &Secret,
        now: Timestamp,
    ) -> Result<Inbound, Rejection> {
        let secret = &secret.feishu;
        match SignatureHeaders::of(&webhook.headers)? {
            None => url_check(&webhook.body, secret),
            Some(headers) => {
                headers.verify(&webhook.body, &secret.encrypt_key)?;
                headers.check_age(now, self.replay_window)?;
                signed_event(&webhook.body, secret).map_err(|rejection| match rejection {
                    Rejection::NotBase64 => Rejection::NotDecryptable,
                    Rejection::NotAnEvent => Rejection::SignedNoEvent,
                    rejection => rejection,
                })
            }
        }
    }
}

fn signed_event(body: &[u8], secret: &FeishuSecret) -> Result<Inbound, Rejection> {
    let Encrypted { encrypt } = serde_json::from_slice(body).map_err(|_| Rejection::NotAnEvent)?;
    let json = decrypt(secret.encrypt_key.expose_secret(), &encrypt)?;
    let envelope = match Envelope::parse(&json) {
        Ok(envelope) => envelope,
        // The signature is valid, so the event is authentic: a rejection would block later events.
        Err(error) if error.is_data() && json.starts_with(b"{") => {
            return Ok(Inbound::Unreadable { event_type: "unknown".to_owned() });
        }
        Err(_) => return Err(Rejection::NotAnEvent),
    };
    if !equal(envelope.token(), &secret.verification_token) {
        return Err(Rejection::WrongToken);
    }
    if let Some(challenge) = envelope.challenge() {
        return Ok(Inbound::Challenge(challenge.to_owned()));
    }
    let (app_id, event) = envelope.event();
    if app_id != secret.app_id {
        return Err(Rejection::WrongApp);
    }
    Ok(event)
}

/// Handles a URL check, which Feishu sends unsigned, encrypted or not.
///
/// From the decryption on every failure gives the same rejection: the responses must not reveal
/// whether a padding was valid.
fn url_check(body: &[u8], secret: &FeishuSecret) -> Result<Inbound, Rejection> {
    let decrypted = match serde_json::from_slice(body) {
        Ok(Encrypted { encrypt }) => {
            let key = secret.encrypt_key.expose_secret();
            Some(decrypt(key, &encrypt).map_err(|rejection| match rejection {
                Rejection::NotDecryptable => Rejection::NotSigned,
                rejection => rejection,
            })?)
        }
        Err(_) => None,
    };
    let failure = if decrypted.is_some() { Rejection::NotSigned } else { Rejection::NotAnEvent };
    let envelope = Envelope::parse(decrypted.as_deref().unwrap_or(body)).map_err(|_| failure)?;
    match envelope.challenge() {
        Some(challenge) if equal(envelope.token(), &secret.verification_token) => {
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

    fn verify(&self, body: &[u8], encrypt_key: &SecretString) -> Result<(), Rejection> {
        let expected = signature(self.timestamp, self.nonce, encrypt_key.expose_secret(), body);
        if bool::from(expected.as_bytes().ct_eq(self.signature.as_bytes())) {
            Ok(())
        } else {
            Err(Rejection::WrongSignature)
        }
    }

    /// Checks the age. Seconds in practice; milliseconds are accepted too, as the unit is not
    /// documented.
    fn check_age(&self, now: Timestamp, window: Duration) -> Result<(), Rejection> {
        const SECONDS_END: i64 = 1_000_000_000_000;
        let number: i64 = self.timestamp.parse().map_err(|_| Rejection::OutsideReplayWindow)?;
        let millis = if number < SECONDS_END { number.saturating_mul(1000) } else { number };
        let signed_at = Timestamp::from_millis(millis);
        if now.since(signed_at) <= window && signed_at.since(now) <= CLOCK_AHEAD {
            Ok(())
        } else {
            Err(Rejection::OutsideReplayWindow)
        }
    }
}

fn equal(given: &str, secret: &SecretString) -> bool {
    bool::from(given.as_bytes().ct_eq(secret.expose_secret().as_bytes()))
}

#[cfg(test)]
mod tests;
