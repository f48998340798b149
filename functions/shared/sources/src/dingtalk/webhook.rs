//! Authenticates DingTalk's HTTP push.

use std::time::Duration;

use greenlight_core::event::Inbound;
use greenlight_core::secret::{Credentials, Secret};
use greenlight_core::webhook::{Outcome, Reply, Webhook};
use greenlight_core::{Rejection, Timestamp, WebhookRequest};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::change::Event;
use super::credentials::{APP_KEY, OWNER_KEY, TOKEN};
use crate::callback_cipher::{CallbackCipher, ENCODING_AES_KEY, Signed};
use crate::query::parameter;

/// DingTalk documents neither the number nor the spacing of its retries.
const REPLAY_WINDOW: Duration = Duration::from_hours(8);

/// DingTalk waits 1,500 ms.
const ANSWER_WITHIN: Duration = Duration::from_millis(1_200);

/// The word that DingTalk expects as the reply, encrypted.
const SUCCESS: &[u8] = b"success";

/// DingTalk's HTTP push.
#[derive(Clone, Debug)]
pub(super) struct DingTalkWebhook {
    source: String,
}

impl DingTalkWebhook {
    pub(super) fn new(source: &str) -> Self {
        Self { source: source.to_owned() }
    }

    /// A cipher for each receive id that may end an event, that of the replies first.
    fn ciphers<'a>(&self, secret: &'a Secret) -> Option<Vec<CallbackCipher<'a>>> {
        let credentials: &Credentials = secret.source(&self.source)?;
        let (token, key) = (credentials.get(TOKEN)?, credentials.get(ENCODING_AES_KEY)?);
        let owners = [credentials.get(OWNER_KEY), credentials.get(APP_KEY)];
        let ciphers = owners.into_iter().flatten();
        let ciphers: Vec<_> =
            ciphers.filter_map(|owner| CallbackCipher::new(token, key, owner)).collect();
        (!ciphers.is_empty()).then_some(ciphers)
    }
}

#[derive(Deserialize)]
struct Encrypted {
    encrypt: String,
}

impl Webhook for DingTalkWebhook {
    /// Some of DingTalk's pages name the parameters of the query otherwise.
    fn parse(
        &self,
        request: &WebhookRequest,
        secret: &Secret,
        now: Timestamp,
    ) -> Result<Inbound, Rejection> {
        if request.method != Method::POST {
            return Err(Rejection::WrongMethod);
        }
        let ciphers = self.ciphers(secret).ok_or(Rejection::NoCredentials)?;
        let one_of = |names: [&str; 2]| {
            let found = names.into_iter().find_map(|name| parameter(&request.query, name));
            found.ok_or(Rejection::NotSigned)
        };
        let signature = one_of(["signature", "msg_signature"])?;
        let timestamp = one_of(["timestamp", "timeStamp"])?;
        let nonce = one_of(["nonce", "Nonce"])?;
        let signed = Signed { signature: &signature, timestamp: &timestamp, nonce: &nonce };
        let Encrypted { encrypt } =
            serde_json::from_slice(&request.body).map_err(|_| Rejection::NotAnEvent)?;
        let mut opened = Err(Rejection::NoCredentials);
        for cipher in &ciphers {
            opened = cipher.open(signed, &encrypt, now, REPLAY_WINDOW);
            if opened != Err(Rejection::WrongApp) {
                break;
            }
        }
        let data: Value = serde_json::from_slice(&opened?).map_err(|_| Rejection::SignedNoEvent)?;
        // The members of the event stand beside those of its data, and some in both spellings.
        let text = |name: &str| data[name].as_str();
        let kind = text("EventType").ok_or(Rejection::SignedNoEvent)?;
        let corp_id = text("CorpId").or(text("corpId")).unwrap_or_default();
        let id = text("eventId").unwrap_or_default();
        // The check of the URL is an event as well, `check_url`, with the reply of every event.
        Ok(Event { kind, id, corp_id }.read(&data))
    }

    /// The word `success`, encrypted and signed, for every authentic event; any other reply lets
    /// DingTalk send the event again.
    fn reply(&self, outcome: &Outcome, secret: &Secret, now: Timestamp) -> Reply {
        let cipher = self.ciphers(secret).and_then(|ciphers| ciphers.into_iter().next());
        let is_taken =
            matches!(outcome, Outcome::Challenge(_) | Outcome::Enqueued(_) | Outcome::Ignored(_));
        let Some(cipher) = cipher.filter(|_| is_taken) else { return Reply::json(outcome) };
        let mut random = [0; 24];
        // Without randomness there is no reply that a stranger could not repeat.
        if getrandom::fill(&mut random).is_err() {
            return Reply::of_json(503, &json!({ "msg": "try again later" }));
        }
        let (before, nonce) = random.split_at(16);
        let before = before.try_into().unwrap_or_default();
        let encrypt = cipher.encrypt(before, SUCCESS);
        let (timestamp, nonce) = (now.as_millis().to_string(), hex::encode(nonce));
        let signature = cipher.signature(&timestamp, &nonce, &encrypt);
        Reply::of_json(
            200,
            &json!({
                "msg_signature": signature,
                "timeStamp": timestamp,
                "nonce": nonce,
                "encrypt": encrypt,
            }),
        )
    }

    fn answer_within(&self) -> Duration {
        ANSWER_WITHIN
    }
}
