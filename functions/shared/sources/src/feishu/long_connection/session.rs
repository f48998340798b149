//! The protocol on one long connection.

use std::time::{Duration, Instant};

use bytes::Bytes;
use greenlight_core::Rejection;
use greenlight_core::event::Inbound;
use greenlight_core::stream::{Message, MessageProblem, Received, Session, Times};
use greenlight_core::webhook::Outcome;
use prost::Message as _;
use serde::Deserialize;
use serde_json::json;

use super::frame::{CONTROL, DATA, Frame, Header, key};
use super::pieces::{Pieces, Place};
use crate::feishu::envelope::Envelope;

/// The bounds of an interval that Feishu sends.
const INTERVALS: std::ops::RangeInclusive<u64> = 1..=600;

/// The times of connections, as Feishu sends them, in seconds. The number of attempts that it also
/// sends is not used: a host that gave up would receive nothing.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ClientConfig {
    reconnect_interval: u64,
    reconnect_nonce: u64,
    ping_interval: u64,
}

/// As in the official SDKs, until Feishu sends others.
impl Default for ClientConfig {
    fn default() -> Self {
        Self { reconnect_interval: 120, reconnect_nonce: 30, ping_interval: 120 }
    }
}

impl ClientConfig {
    fn times(self) -> Times {
        let within =
            |seconds: u64| Duration::from_secs(seconds.clamp(*INTERVALS.start(), *INTERVALS.end()));
        let ping_every = within(self.ping_interval);
        Times {
            ping_every,
            // Each ping is answered: two were not.
            silence: ping_every * 2,
            reconnect_within: Duration::from_secs(self.reconnect_nonce.min(*INTERVALS.end())),
            reconnect_every: within(self.reconnect_interval),
        }
    }
}

/// One long connection.
#[derive(Debug)]
pub(super) struct LongConnection {
    service: i32,
    app_id: String,
    config: ClientConfig,
    pieces: Pieces,
}

impl LongConnection {
    /// A connection for the app `app_id`, before its first message.
    pub(super) fn new(service: i32, app_id: String, config: ClientConfig) -> Self {
        Self { service, app_id, config, pieces: Pieces::default() }
    }

    fn event(&mut self, frame: Frame, now: Instant) -> Result<Received, MessageProblem> {
        // Callbacks of cards and of other features come over the same connection; the official
        // SDKs answer none of them here, either.
        if frame.header(key::TYPE) != Some("event") {
            return Ok(Received::Nothing);
        }
        let number = |key| frame.header(key)?.parse().ok();
        let message_id = frame.header(key::MESSAGE_ID);
        let place = message_id.zip(number(key::SUM)).zip(number(key::SEQ));
        let ((message_id, sum), seq) = place.ok_or(MessageProblem::Shape)?;
        let piece = frame.payload.clone().unwrap_or_default();
        let place = Place { message_id, sum, seq };
        let Some(json) = self.pieces.add(place, piece, now)? else { return Ok(Received::Nothing) };
        let event = self.parse(&json);
        let reply = move |outcome: &Outcome, took| reply(frame, outcome, took);
        Ok(Received::Event { event, reply: Box::new(reply) })
    }

    /// The event is neither signed nor encrypted: Feishu's server was authenticated when the
    /// connection was opened, which is for one app. An event that names another one is not for it.
    fn parse(&self, json: &[u8]) -> Result<Inbound, Rejection> {
        let Ok(envelope) = Envelope::parse(json) else {
            return Ok(Inbound::Unreadable { event_type: "unknown".to_owned() });
        };
        let (app_id, event) = envelope.event();
        let is_own = app_id.is_empty() || app_id == self.app_id;
        if is_own { Ok(event) } else { Err(Rejection::WrongApp) }
    }
}

impl Session for LongConnection {
    fn times(&self) -> Times {
        self.config.times()
    }

    fn ping(&self) -> Message {
        let headers = vec![Header::new(key::TYPE, "ping")];
        let ping = Frame { service: self.service, method: CONTROL, headers, ..Frame::default() };
        Message::Binary(ping.encode_to_vec().into())
    }

    fn receive(&mut self, message: Message, now: Instant) -> Received {
        let Message::Binary(bytes) = message else { return Received::Nothing };
        let Ok(frame) = Frame::decode(bytes) else {
            return Received::Unreadable(MessageProblem::Shape);
        };
        match frame.method {
            CONTROL => {
                // The answer to a ping may bring other times.
                let payload = frame.payload.as_deref().unwrap_or_default();
                if let Ok(config) = serde_json::from_slice(payload) {
                    self.config = config;
                }
                Received::Nothing
            }
            DATA => self.event(frame, now).unwrap_or_else(Received::Unreadable),
            _ => Received::Nothing,
        }
    }
}

/// The message again, with the outcome instead of the event: 200 if it is stored or of no use here,
/// 500 if Feishu must send it again.
fn reply(mut frame: Frame, outcome: &Outcome, took: Duration) -> Message {
    let code = match outcome {
        Outcome::NotEnqueued(_) => 500,
        Outcome::Challenge(_)
        | Outcome::Enqueued(_)
        | Outcome::Ignored(_)
        | Outcome::Rejected(_) => 200,
    };
    frame.headers.push(Header::new(key::BIZ_RT, took.as_millis().to_string()));
    frame.payload = Some(Bytes::from(json!({ "code": code }).to_string()));
    Message::Binary(frame.encode_to_vec().into())
}

#[cfg(test)]
mod tests {
    use greenlight_core::explain::Explanation;
    use greenlight_core::ports::QueueError;
    use greenlight_core::webhook::Ignored;
    use serde_json::Value;

    use super::*;

    fn binary(frame: &Frame) -> Message {
        Message::Binary(frame.encode_to_vec().into())
    }

    fn decoded(message: &Message) -> Frame {
        let Message::Binary(bytes) = message else { panic!("{message:?}") };
        Frame::decode(bytes.clone()).unwrap()
    }

    /// Sessions between the official clients and a server, recorded: this session reads the
    /// server's frames, and sends the frames of those clients.
    #[test]
    fn recorded_sessions_are_read_and_answered_as_by_the_official_clients() {
        let vectors: Value = serde_json::from_str(include_str!("vectors.json")).unwrap();
        let app_id = vectors["app_id"].as_str().unwrap();
        let service = i32::try_from(vectors["service"].as_i64().unwrap()).unwrap();
        for recorded in vectors["sessions"].as_array().unwrap() {
            let new = LongConnection::new(service, app_id.to_owned(), ClientConfig::default());
            let (mut session, mut events, mut replies) = (new, Vec::new(), Vec::new());
            let mut expected = Vec::new();
            for frame in recorded["frames"].as_array().unwrap() {
                let bytes = hex::decode(frame["hex"].as_str().unwrap()).unwrap();
                let message = Message::Binary(bytes.into());
                if frame["from"] == "client" {
                    expected.push(decoded(&message));
                    continue;
                }
                match session.receive(message, Instant::now()) {
                    Received::Event { event, reply } => {
                        let ignored = Ignored::EventType(String::new());
                        replies.push(decoded(&reply(&Outcome::Ignored(ignored), Duration::ZERO)));
                        events.push(event.unwrap());
                    }
                    Received::Nothing => {}
                    _ => panic!("{frame}"),
                }
            }
            assert_eq!(decoded(&session.ping()), expected.remove(0));
            assert_eq!(session.times().ping_every, Duration::from_secs(90), "of the pong");
            let [approval, left, other] = events.as_slice() else { panic!("{events:?}") };
            let Inbound::Approval(approval) = approval else { panic!("{approval:?}") };
            assert_eq!((&*approval.instance_id, &*approval.definition_id), ("IC-1", "AC"));
            assert_eq!(left, &Inbound::PersonLeft { person: "ou_x".to_owned() });
            assert!(matches!(other, Inbound::Other { .. }), "{other:?}");
            // Of the event without a handler the clients answer otherwise.
            assert_eq!(replies.len(), expected.len());
            for (reply, expected) in replies.iter().zip(&expected).take(2) {
                let code = |frame: &Frame| {
                    serde_json::from_slice::<Value>(frame.payload.as_deref().unwrap()).unwrap()
                };
                assert_eq!(code(reply), code(expected));
                let without = |frame: &Frame| Frame { payload: None, ..frame.clone() };
                let [mut reply, mut expected] = [without(reply), without(expected)];
                for frame in [&mut reply, &mut expected] {
                    assert_eq!(frame.headers.pop().unwrap().key, key::BIZ_RT);
                }
                assert_eq!(reply, expected);
            }
        }
    }

    #[test]
    fn an_event_that_is_not_stored_is_answered_500_and_one_of_another_app_is_rejected() {
        let mut session = LongConnection::new(1, "cli_1".to_owned(), ClientConfig::default());
        let mut event = |app_id: &str| {
            let event = json!({"uuid": "e", "event": {"app_id": app_id, "type": "approval_instance",
                "approval_code": "A", "instance_code": "I", "status": "APPROVED"}});
            let headers =
                [(key::TYPE, "event"), (key::MESSAGE_ID, "m"), (key::SUM, "1"), (key::SEQ, "0")];
            let frame = Frame {
                method: DATA,
                headers: headers.map(|(key, value)| Header::new(key, value)).to_vec(),
                payload: Some(event.to_string().into()),
                ..Frame::default()
            };
            match session.receive(binary(&frame), Instant::now()) {
                Received::Event { event, reply } => (event, reply),
                _ => panic!("no event"),
            }
        };
        let (own, reply) = event("cli_1");
        assert!(matches!(own, Ok(Inbound::Approval(_))), "{own:?}");
        let full = Outcome::NotEnqueued(QueueError(Explanation::quoted("the disk is full")));
        let reply = decoded(&reply(&full, Duration::from_millis(7)));
        assert_eq!(reply.payload.as_deref(), Some(br#"{"code":500}"#.as_slice()));
        assert_eq!(reply.header(key::BIZ_RT), Some("7"));
        let (other, _) = event("cli_2");
        assert_eq!(other, Err(Rejection::WrongApp));
    }

    #[test]
    fn intervals_that_the_server_sends_are_bounded() {
        let config = |ping_interval, reconnect_interval, reconnect_nonce| {
            ClientConfig { reconnect_interval, reconnect_nonce, ping_interval }.times()
        };
        let seconds = Duration::from_secs;
        let (shortest, longest) = (config(0, 0, 0), config(u64::MAX, u64::MAX, u64::MAX));
        assert_eq!((shortest.ping_every, longest.ping_every), (seconds(1), seconds(600)));
        assert_eq!((shortest.reconnect_every, longest.reconnect_every), (seconds(1), seconds(600)));
        assert_eq!(
            (shortest.reconnect_within, longest.reconnect_within),
            (seconds(0), seconds(600))
        );
        let usual = config(90, 5, 30);
        assert_eq!((usual.silence, usual.reconnect_within), (seconds(180), seconds(30)));
    }
}
