//! Authenticates WeCom's callbacks.

use std::time::Duration;

use greenlight_core::event::Inbound;
use greenlight_core::secret::Secret;
use greenlight_core::webhook::{Outcome, Reply, Webhook};
use greenlight_core::{Rejection, Timestamp, WebhookRequest};
use http::Method;

use super::credentials::{CORP_ID, TOKEN};
use super::event::event_in;
use crate::callback_cipher::{CallbackCipher, ENCODING_AES_KEY, Signed};
use crate::query::parameter;
use crate::xml::Element;

/// WeCom sends a callback three times within 15 s. Whether it signs each one anew is not
/// documented.
const REPLAY_WINDOW: Duration = Duration::from_hours(1);

/// WeCom waits 5 s for a reply to a callback, and 1 s for that of a URL check, which calls nothing.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

/// WeCom sends about 20 digits.
const MAX_CHALLENGE_CHARS: usize = 64;

/// WeCom's callbacks.
#[derive(Clone, Debug)]
pub(super) struct WeComWebhook {
    source: String,
}

impl WeComWebhook {
    pub(super) fn new(source: &str) -> Self {
        Self { source: source.to_owned() }
    }
}

impl Webhook for WeComWebhook {
    /// A GET is the check of the URL, with its text in the query; a POST is a callback in XML. Both
    /// are signed and encrypted alike.
    fn parse(
        &self,
        request: &WebhookRequest,
        secret: &Secret,
        now: Timestamp,
    ) -> Result<Inbound, Rejection> {
        let credentials = secret.source(&self.source).ok_or(Rejection::NoCredentials)?;
        let credential = |name| credentials.get(name).ok_or(Rejection::NoCredentials);
        let key = credential(ENCODING_AES_KEY)?;
        let cipher = CallbackCipher::new(credential(TOKEN)?, key, credential(CORP_ID)?)
            .ok_or(Rejection::NoCredentials)?;
        let query = |name| parameter(&request.query, name).ok_or(Rejection::NotSigned);
        let (signature, timestamp, nonce) =
            (query("msg_signature")?, query("timestamp")?, query("nonce")?);
        let signed = Signed { signature: &signature, timestamp: &timestamp, nonce: &nonce };
        let open = |encrypted: &str| cipher.open(signed, encrypted, now, REPLAY_WINDOW);
        match request.method {
            Method::GET => {
                let challenge = String::from_utf8(open(&query("echostr")?)?).ok();
                let challenge = challenge.filter(|text| is_challenge(text));
                challenge.map(Inbound::Challenge).ok_or(Rejection::SignedNoEvent)
            }
            Method::POST => {
                let message = open(&encrypted_in(&request.body)?)?;
                let message = std::str::from_utf8(&message).ok();
                let document = message.and_then(|message| Element::parse(message).ok());
                document.map(|document| event_in(&document)).ok_or(Rejection::SignedNoEvent)
            }
            _ => Err(Rejection::WrongMethod),
        }
    }

    /// The text of a URL check as it is; else nothing but the status, of which every one but 200
    /// lets WeCom send the callback again.
    fn reply(&self, outcome: &Outcome, _: &Secret, _: Timestamp) -> Reply {
        match outcome {
            Outcome::Challenge(text) => Reply::of_text(200, text.clone()),
            Outcome::Enqueued(_) | Outcome::Ignored(_) => Reply::of_text(200, String::new()),
            Outcome::Rejected(_) | Outcome::NotEnqueued(_) => Reply::json(outcome),
        }
    }

    fn answer_within(&self) -> Duration {
        ANSWER_WITHIN
    }
}

/// Whether a decrypted text can be that of a URL check, which is a number. A callback is signed in
/// the same way: without this, a recorded one in the place of a URL check would be sent back in
/// clear text.
fn is_challenge(text: &str) -> bool {
    (1..=MAX_CHALLENGE_CHARS).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The encrypted message of a callback: `<xml><Encrypt>…</Encrypt>…</xml>`.
fn encrypted_in(body: &[u8]) -> Result<String, Rejection> {
    let body = std::str::from_utf8(body).map_err(|_| Rejection::NotAnEvent)?;
    let document = Element::parse(body).map_err(|_| Rejection::NotAnEvent)?;
    match document.text_of("Encrypt") {
        "" => Err(Rejection::NotSigned),
        encrypted => Ok(encrypted.to_owned()),
    }
}
