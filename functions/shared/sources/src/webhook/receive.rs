//! The webhook half: authenticates a request, and finds the approval in it.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use greenlight_core::event::{Inbound, SignedMessage};
use greenlight_core::secret::Secret;
use greenlight_core::webhook::Webhook;
use greenlight_core::{MAX_SIGNED_BODY_BYTES, Rejection, Timestamp, WebhookRequest};
use http::Method;

use super::settings::SignedWebhook;

/// Senders wait 15 s at least; the receiver on AWS has five.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

/// The webhooks of one source.
#[derive(Clone, Debug)]
pub(super) struct WebhookReceiver {
    source: String,
    settings: SignedWebhook,
}

impl WebhookReceiver {
    pub(super) fn new(source: &str, settings: SignedWebhook) -> Self {
        Self { source: source.to_owned(), settings }
    }

    /// The request as it travels to the worker, which verifies it again.
    fn signed_message(&self, request: &WebhookRequest) -> SignedMessage {
        let value = |name: &String| {
            let value = request.headers.get(name)?.to_str().ok()?;
            Some((name.clone(), value.to_owned()))
        };
        SignedMessage {
            headers: self.settings.signature.headers().iter().filter_map(value).collect(),
            body: STANDARD.encode(&request.body),
        }
    }
}

impl Webhook for WebhookReceiver {
    fn parse(
        &self,
        request: &WebhookRequest,
        secret: &Secret,
        now: Timestamp,
    ) -> Result<Inbound, Rejection> {
        if request.method != Method::POST {
            return Err(Rejection::WrongMethod);
        }
        let SignedWebhook { signature, event, statuses, .. } = &self.settings;
        let verified =
            self.settings.verify(&self.source, secret, &request.headers, &request.body)?;
        verified.check_age(now)?;
        let carries = self.settings.carries_message();
        if carries && request.body.len() > MAX_SIGNED_BODY_BYTES {
            return Err(Rejection::TooLargeToCarry);
        }
        let document = serde_json::from_slice(&request.body);
        let no_event =
            if signature.signs_body() { Rejection::SignedNoEvent } else { Rejection::NotAnEvent };
        let document = document.map_err(|_| no_event)?;
        let signed = carries.then(|| self.signed_message(request));
        Ok(event.event(&document, &request.body, verified, statuses, signed))
    }

    fn answer_within(&self) -> Duration {
        ANSWER_WITHIN
    }
}
