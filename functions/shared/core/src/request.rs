//! The queue message: which approval was decided.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::event::{ApprovalEvent, SignedMessage};
use crate::explain::Explain;
use crate::grant::HoldId;
use crate::trace::TraceId;
use crate::{Decision, Timestamp};

/// The version that [`Request::to_json`] writes, and the only one that [`Request::parse`] reads.
pub const VERSION: u64 = 2;

/// Stands for an unknown organisation: an event need not name it, as the instance identifies the
/// request.
pub const UNKNOWN_TENANT: &str = "unknown";

/// One approved request, sent from the receiver to the worker.
///
/// It names the instance: the worker reads its form at the source, because a message that someone
/// put into the queue must not be trusted. It carries form content only as a signed message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Version of this shape.
    pub v: u64,
    /// The source, as `[sources.NAME]`.
    pub source: String,
    /// The organisation at the office system, or [`UNKNOWN_TENANT`]. Not part of the key.
    pub tenant: String,
    /// The id of the event; the instance id, if the event has none.
    pub event_id: String,
    /// The approval definition.
    pub definition_id: String,
    /// The approval instance.
    pub instance_id: String,
    /// Why there is something to do.
    pub trigger: Trigger,
    /// When it happened, by the office system's clock; ms since the Unix epoch.
    pub occurred_at: Option<Timestamp>,
    /// When the event was received; ms since the Unix epoch.
    pub received_at: Timestamp,
    /// How it came.
    #[serde(default, skip_serializing_if = "Via::is_event")]
    pub via: Via,
    /// Links log lines about it; `None` if the queue message has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<TraceId>,
    /// The signed message, if it is the authority on what was approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<SignedMessage>,
}

/// How it became known that there is something to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// The office system sent an event, or an operator asked for it.
    #[default]
    Event,
    /// A sweep found it: its event was lost.
    Sweep,
    /// It was listed, as all approvals of its source are: there are no events.
    Poll,
}

impl Via {
    /// The name in queue messages and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Sweep => "sweep",
            Self::Poll => "poll",
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    const fn is_event(&self) -> bool {
        matches!(self, Self::Event)
    }
}

/// Why there is something to do. A message only names it: the source or the ledger decides whether
/// it is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// An approval instance ended with this decision; the source confirms it.
    Decision(Decision),
}

/// A queue message that is not a valid request.
#[derive(Clone, Debug, Error, Explain, PartialEq, Eq)]
#[explain("message")]
pub enum BadRequest {
    /// Not JSON, or not an object with a version.
    #[error("the queue message is not a greenlight request: line {line} column {column}")]
    NotARequest {
        /// The line of the syntax error, counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// Written by another version of greenlight.
    #[error(
        "the queue message has version {found}, and this worker reads version {VERSION}: it was \
         written by another edition of greenlight; `greenlight replay` makes a new one"
    )]
    UnknownVersion {
        /// The version of the message.
        found: u64,
    },
    /// An identifier that no office system issues; it would become part of a URL and of a key.
    #[error(
        "the queue message's `{field}` is not an identifier of 1 to 128 letters, digits or `_-.:@=`"
    )]
    BadIdentifier { field: &'static str },
}

impl Request {
    /// The request for an approval event of `source`. An event id or tenant that is missing, or
    /// could not be part of a key, is replaced, since the instance identifies the request.
    ///
    /// # Errors
    /// [`BadRequest::BadIdentifier`] when the definition or the instance could not be part of a key
    /// or a URL.
    pub fn new(
        source: &str,
        event: ApprovalEvent,
        decision: Decision,
        received_at: Timestamp,
        trace_id: TraceId,
    ) -> Result<Self, BadRequest> {
        let or = |id: String, substitute: &str| {
            if is_identifier(&id) { id } else { substitute.to_owned() }
        };
        Self {
            v: VERSION,
            source: source.to_owned(),
            tenant: or(event.tenant, UNKNOWN_TENANT),
            event_id: or(event.event_id, &event.instance_id),
            definition_id: event.definition_id,
            instance_id: event.instance_id,
            trigger: Trigger::Decision(decision),
            occurred_at: event.occurred_at,
            received_at,
            via: Via::Event,
            trace_id: Some(trace_id),
            signed: event.signed,
        }
        .checked()
    }

    /// The request for an instance that no event is about: an operator asks for it.
    ///
    /// # Errors
    /// As [`Request::new`].
    pub fn about(
        source: &str,
        definition_id: &str,
        instance_id: &str,
        decision: Decision,
        now: Timestamp,
    ) -> Result<Self, BadRequest> {
        let event = ApprovalEvent {
            tenant: String::new(),
            event_id: String::new(),
            definition_id: definition_id.to_owned(),
            instance_id: instance_id.to_owned(),
            decision: Some(decision),
            occurred_at: None,
            signed: None,
        };
        Self::new(source, event, decision, now, TraceId::random())
    }

    /// Parses a queue message.
    ///
    /// # Errors
    /// [`BadRequest`] with the error, without quoting the message.
    pub fn parse(body: &str) -> Result<Self, BadRequest> {
        #[derive(Deserialize)]
        struct Versioned {
            v: u64,
        }
        let not_a_request = |error: serde_json::Error| BadRequest::NotARequest {
            line: error.line(),
            column: error.column(),
        };
        let Versioned { v } = serde_json::from_str(body).map_err(not_a_request)?;
        if v != VERSION {
            return Err(BadRequest::UnknownVersion { found: v });
        }
        serde_json::from_str::<Self>(body).map_err(not_a_request)?.checked()
    }

    /// The queue message, in JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }

    /// A queue message for people: form content in it, a signed message, is hidden. Any text is
    /// accepted, as dead letters can be anything.
    #[must_use]
    pub fn without_content(body: &str) -> String {
        let parsed = serde_json::from_str::<serde_json::Map<_, serde_json::Value>>(body);
        match parsed {
            Ok(mut message) if message.contains_key("signed") => {
                message.insert("signed".to_owned(), "hidden".into());
                serde_json::Value::Object(message).to_string()
            }
            _ => body.to_owned(),
        }
    }

    /// The decision on the instance.
    #[must_use]
    pub const fn decision(&self) -> Decision {
        let Trigger::Decision(decision) = self.trigger;
        decision
    }

    /// The hold of its approval.
    #[must_use]
    pub fn hold(&self) -> HoldId {
        HoldId::of_approval(&self.source, &self.definition_id, &self.instance_id)
    }

    /// The key in the ledger.
    #[must_use]
    pub fn key(&self) -> RequestKey {
        RequestKey::of(&self.source, &self.definition_id, &self.instance_id, self.decision())
    }

    fn checked(self) -> Result<Self, BadRequest> {
        for (field, value) in [
            ("source", &self.source),
            ("tenant", &self.tenant),
            ("event_id", &self.event_id),
            ("definition_id", &self.definition_id),
            ("instance_id", &self.instance_id),
        ] {
            if !is_identifier(value) {
                return Err(BadRequest::BadIdentifier { field });
            }
        }
        Ok(self)
    }
}

/// Whether the text is short, and has only characters without a meaning in URL paths and ledger
/// keys.
pub(crate) fn is_identifier(text: &str) -> bool {
    // A path segment of dots alone would refer to a parent folder.
    let climbs = text.bytes().all(|b| b == b'.');
    (1..=128).contains(&text.len())
        && !climbs
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.:@=".contains(&b))
}

/// The key of a request: source, definition, instance and decision. A system may number the
/// instances of each of its forms. Two event ids can report the same decision, so the event is not
/// part of it. Neither is the tenant: an event that does not name it would repeat everything.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestKey(String);

impl RequestKey {
    /// The key of the request for a decision on an instance.
    #[must_use]
    pub fn of(source: &str, definition_id: &str, instance_id: &str, decision: Decision) -> Self {
        Self(format!("{source}#{definition_id}#{instance_id}#{decision}"))
    }

    /// The form in which stores keep it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request {
            v: VERSION,
            source: "oa".into(),
            tenant: "tenant-1".into(),
            event_id: "bc447199585340d1f3728d26b1c0297a".into(),
            definition_id: "7C468A54-8745-2245-9675-08B7C63E7A85".into(),
            instance_id: "81D31358-93AF-92D6-7425-01A5D67C4E71".into(),
            trigger: Trigger::Decision(Decision::Approved),
            occurred_at: Some(Timestamp::from_millis(1_666_079_207_003)),
            received_at: Timestamp::from_millis(1_666_079_208_000),
            via: Via::Event,
            trace_id: "67891233abcdef012345678912345678".to_owned().try_into().ok(),
            signed: None,
        }
    }

    #[test]
    fn a_request_survives_the_queue() {
        assert_eq!(Request::parse(&request().to_json()), Ok(request()));
    }

    #[test]
    fn the_key_names_the_fact_and_not_the_event() {
        let mut again = request();
        again.event_id = "another".into();
        again.tenant = UNKNOWN_TENANT.into();
        assert_eq!(again.key(), request().key());
        again.trigger = Trigger::Decision(Decision::Revoked);
        assert_ne!(again.key(), request().key());
    }

    #[test]
    fn new_for_an_event_without_id_or_tenant_is_known_by_the_instance() {
        let event = |event_id: &str, tenant: &str| ApprovalEvent {
            tenant: tenant.into(),
            event_id: event_id.into(),
            definition_id: "A".into(),
            instance_id: "I-1".into(),
            decision: Some(Decision::Approved),
            occurred_at: None,
            signed: None,
        };
        let new = |event| {
            let trace_id = TraceId::random();
            Request::new("oa", event, Decision::Approved, Timestamp::from_millis(1), trace_id)
        };
        for (event_id, tenant) in [("", ""), ("a b", "t/t"), ("e", ""), ("", "t")] {
            let request = new(event(event_id, tenant)).unwrap();
            assert_eq!(request.key(), new(event("e-1", "t-1")).unwrap().key());
            assert_eq!(Request::parse(&request.to_json()), Ok(request));
        }
        let hostile = ApprovalEvent { instance_id: "../x".into(), ..event("e", "t") };
        assert_eq!(new(hostile), Err(BadRequest::BadIdentifier { field: "instance_id" }));
    }

    #[test]
    fn what_is_no_request_is_said_to_be_none() {
        assert!(matches!(Request::parse("hello"), Err(BadRequest::NotARequest { .. })));
        assert!(matches!(Request::parse(r#"{"v":2}"#), Err(BadRequest::NotARequest { .. })));
        let mut other = serde_json::to_value(request()).unwrap();
        other["trigger"] = serde_json::json!({"reminder": "x"});
        assert!(matches!(Request::parse(&other.to_string()), Err(BadRequest::NotARequest { .. })));
        for found in [1, 3] {
            let body = format!(r#"{{"v":{found},"another":"shape"}}"#);
            assert_eq!(Request::parse(&body), Err(BadRequest::UnknownVersion { found }));
        }
    }

    #[test]
    fn without_content_hides_a_signed_message_and_nothing_else() {
        let mut signed = request();
        assert_eq!(Request::without_content(&signed.to_json()), signed.to_json());
        signed.signed = Some(SignedMessage {
            headers: [("webhook-id".to_owned(), "msg_1".to_owned())].into(),
            body: "MDAwMDVlMDA1MzAx".to_owned(),
        });
        let shown = Request::without_content(&signed.to_json());
        assert!(shown.contains("\"signed\":\"hidden\"") && !shown.contains("MDAwMDVl"), "{shown}");
        assert!(shown.contains(&signed.instance_id), "{shown}");
        for other in ["no JSON", "{\"v\":1}", "[\"signed\"]"] {
            assert_eq!(Request::without_content(other), other);
        }
    }

    #[test]
    fn an_identifier_cannot_leave_its_place() {
        for bad in ["", "a/b", "a#b", "..", ".", "a b", "a%2f", "é", &"x".repeat(129)] {
            let mut hostile = request();
            hostile.instance_id = bad.into();
            assert_eq!(
                Request::parse(&hostile.to_json()),
                Err(BadRequest::BadIdentifier { field: "instance_id" }),
                "{bad:?}"
            );
        }
    }
}
