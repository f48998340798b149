//! Messages of a hook in an OA that sends no webhooks itself: signed as Standard Webhooks, and only
//! naming the approval, which is then read at the OA.

use std::time::Duration;

use greenlight_core::event::{ApprovalEvent, Inbound};
use greenlight_core::secret::Secret;
use greenlight_core::webhook::Webhook;
use greenlight_core::{Decision, Rejection, Timestamp, WebhookRequest};
use http::Method;
use serde::Deserialize;

use crate::kind::UsableValues;
use crate::long_id::LongId;
use crate::webhook::standard;

/// The name of the secret of the hook under `sources.NAME`; several while it is rotated.
pub(crate) const SECRET: &str = "hook_secret";

/// The hook waits on a thread of its own.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

/// The messages of the hook of one source.
#[derive(Clone, Debug)]
pub(crate) struct HookWebhook {
    source: String,
}

/// A message of the hook.
#[derive(Deserialize)]
struct Message {
    /// The template of the form.
    definition_id: LongId,
    instance_id: LongId,
    /// What happened: `approved` or `revoked`; others are of no use.
    event: String,
}

impl HookWebhook {
    pub(crate) fn new(source: &str) -> Self {
        Self { source: source.to_owned() }
    }
}

/// Whether a value can be used as the secret of a hook; other credentials can be any.
///
/// # Errors
/// [`UsableValues::HookSecret`].
pub(crate) fn check_usable(name: &str, value: &str) -> Result<(), UsableValues> {
    let is_usable = name != SECRET || standard::is_usable(value) && value.starts_with("whsec_");
    if is_usable { Ok(()) } else { Err(UsableValues::HookSecret) }
}

impl Webhook for HookWebhook {
    fn parse(
        &self,
        request: &WebhookRequest,
        secret: &Secret,
        now: Timestamp,
    ) -> Result<Inbound, Rejection> {
        if request.method != Method::POST {
            return Err(Rejection::WrongMethod);
        }
        let credentials = secret.source(&self.source).ok_or(Rejection::NoCredentials)?;
        let secrets = credentials.all(SECRET).filter(|value| standard::is_usable(value));
        let verified = standard::verify(&request.headers, &request.body, secrets)?;
        verified.check_age(now)?;
        let message: Message =
            serde_json::from_slice(&request.body).map_err(|_| Rejection::SignedNoEvent)?;
        Ok(Inbound::Approval(ApprovalEvent {
            tenant: String::new(),
            event_id: verified.id.unwrap_or_default(),
            definition_id: message.definition_id.into_text(),
            instance_id: message.instance_id.into_text(),
            decision: Decision::of_str(&message.event),
            occurred_at: verified.signed_at,
            signed: None,
        }))
    }

    fn answer_within(&self) -> Duration {
        ANSWER_WITHIN
    }
}

#[cfg(feature = "client")]
mod test_event {
    use greenlight_core::Timestamp;
    use greenlight_core::secret::Credentials;
    use serde_json::json;

    use super::SECRET;
    use crate::test_request::{NotSendable, Sent, TestEvent};
    use crate::webhook::standard;

    /// A message as the hook sends it.
    ///
    /// # Errors
    /// [`NotSendable`] when there is no secret of a hook.
    pub(crate) fn test_request(
        event: &TestEvent,
        credentials: &Credentials,
        now: Timestamp,
    ) -> Result<Sent, NotSendable> {
        let TestEvent::Approved { event_id, definition_id, instance_id } = event else {
            return Err(NotSendable::NoUrlCheck);
        };
        let body = json!({
            "definition_id": definition_id, "instance_id": instance_id, "event": "approved",
        });
        let body = body.to_string();
        let mut secrets = credentials.all(SECRET).peekable();
        if secrets.peek().is_none() {
            return Err(NotSendable::NoCredential { name: SECRET });
        }
        let sign = |secret| standard::sign(event_id, body.as_bytes(), secret, now);
        let mut headers = secrets.find_map(sign).ok_or(NotSendable::NoSigningKey)?;
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
        Ok(Sent::post(headers, body))
    }
}

#[cfg(feature = "client")]
pub(crate) use test_event::test_request;
