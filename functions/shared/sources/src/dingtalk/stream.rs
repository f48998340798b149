//! DingTalk's stream: events over a WebSocket that the host opens.

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use greenlight_core::Failure;
use greenlight_core::stream::{
    Endpoint, Message, MessageProblem, Received, Session, Stream, Times,
};
use greenlight_core::webhook::Outcome;
use http::{HeaderMap, StatusCode, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::change::Event;
use super::client::DingTalkClient;
use super::error::ApiError;
use crate::hosts::is_own_socket;

/// DingTalk sends an event again after 16 s at the soonest, as was observed.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// As of the official SDKs: a ping each minute, and a new connection at once when the server ends
/// one.
const TIMES: Times = Times {
    ping_every: Duration::from_mins(1),
    silence: Duration::from_secs(130),
    reconnect_within: Duration::from_secs(1),
    reconnect_every: Duration::from_mins(1),
};

#[derive(Deserialize)]
struct Offer {
    endpoint: String,
    /// Good for one connection, within 90 s.
    ticket: String,
}

impl Stream for DingTalkClient {
    /// `POST /v1.0/gateway/connections/open`
    fn endpoint(&self) -> BoxFuture<'_, Result<Endpoint, Failure>> {
        Box::pin(async {
            let body = |key: &str, secret: &str| {
                json!({
                    "clientId": key,
                    "clientSecret": secret,
                    "subscriptions": [{ "type": "EVENT", "topic": "*" }],
                    "ua": concat!("greenlight/", env!("CARGO_PKG_VERSION")),
                })
            };
            let offer = self.post_as_app::<Offer>("/v1.0/gateway/connections/open", body).await;
            offer.and_then(|offer| self.endpoint_of(&offer)).map_err(|error| match &error {
                // Only a person can change these: another attempt waits longer.
                ApiError::LoginRefused { .. } | ApiError::NoCredentials => {
                    Failure::give_up(greenlight_core::Class::SourceRejected, error)
                }
                _ => error.into_failure(),
            })
        })
    }

    fn handshake_failure(&self, status: StatusCode, _: &HeaderMap) -> Failure {
        // The ticket is too old, or was used before: the next one is new.
        ApiError::Handshake { status: status.as_u16() }.into_failure()
    }

    fn answer_within(&self) -> Duration {
        ANSWER_WITHIN
    }
}

impl DingTalkClient {
    fn endpoint_of(&self, offer: &Offer) -> Result<Endpoint, ApiError> {
        let uri = offer.endpoint.parse::<Uri>().unwrap_or_default();
        if !is_own_socket(&self.settings.base_url, &uri) {
            return Err(ApiError::OtherHost { host: uri.host().unwrap_or("?").to_owned() });
        }
        let ticket = utf8_percent_encode(&offer.ticket, NON_ALPHANUMERIC);
        let url = SecretString::from(format!("{}?ticket={ticket}", offer.endpoint));
        Ok(Endpoint { url, session: Box::new(StreamSession) })
    }
}

/// One stream.
#[derive(Debug)]
pub(super) struct StreamSession;

/// A message of the server.
#[derive(Deserialize)]
struct Frame {
    /// `SYSTEM`, `EVENT` or `CALLBACK`.
    #[serde(rename = "type")]
    kind: String,
    headers: Headers,
    /// JSON in a text.
    #[serde(default)]
    data: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Headers {
    #[serde(default)]
    topic: String,
    message_id: String,
    #[serde(default)]
    event_type: String,
    #[serde(default)]
    event_id: String,
    #[serde(default)]
    event_corp_id: String,
}

/// The reply to a message.
#[derive(Serialize)]
struct Reply<'a> {
    code: u16,
    headers: Value,
    message: &'a str,
    data: &'a str,
}

impl Session for StreamSession {
    fn times(&self) -> Times {
        TIMES
    }

    fn ping(&self) -> Message {
        Message::Ping
    }

    fn receive(&mut self, message: Message, _: Instant) -> Received {
        let Message::Text(text) = message else { return Received::Nothing };
        let Ok(frame) = serde_json::from_str::<Frame>(&text) else {
            return Received::Unreadable(MessageProblem::Shape);
        };
        match (frame.kind.as_str(), frame.headers.topic.as_str()) {
            ("SYSTEM", "ping") => {
                Received::Reply(reply(&frame.headers.message_id, 200, "OK", &frame.data))
            }
            ("SYSTEM", "disconnect") => Received::Closing,
            ("EVENT", _) => event(frame),
            // Other topics of the system, and callbacks of features that greenlight does not use.
            _ => Received::Nothing,
        }
    }
}

fn event(frame: Frame) -> Received {
    let Headers { event_type, event_id, event_corp_id, message_id, .. } = frame.headers;
    let Ok(data) = serde_json::from_str::<Value>(&frame.data) else {
        return Received::Unreadable(MessageProblem::Shape);
    };
    let event = Event { kind: &event_type, id: &event_id, corp_id: &event_corp_id };
    let event = Ok(event.read(&data));
    Received::Event { event, reply: Box::new(move |outcome, _| answer(&message_id, outcome)) }
}

/// `SUCCESS` for an event that is stored or of no use, `LATER` for one that must come again.
fn answer(message_id: &str, outcome: &Outcome) -> Message {
    let (code, message, status) = match outcome {
        Outcome::NotEnqueued(_) => (500, "later", "LATER"),
        Outcome::Challenge(_)
        | Outcome::Enqueued(_)
        | Outcome::Ignored(_)
        | Outcome::Rejected(_) => (200, "OK", "SUCCESS"),
    };
    reply(message_id, code, message, &json!({ "status": status, "message": message }).to_string())
}

fn reply(message_id: &str, code: u16, message: &str, data: &str) -> Message {
    let headers = json!({ "contentType": "application/json", "messageId": message_id });
    Message::Text(json!(Reply { code, headers, message, data }).to_string())
}
