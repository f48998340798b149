//! Where in a document an approval is, as JSON Pointers (RFC 6901).

use std::collections::BTreeSet;

use greenlight_core::Decision;
use greenlight_core::event::{ApprovalEvent, Inbound, SignedMessage};
use greenlight_core::instance::Status;
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::signature::Verified;

/// A JSON Pointer: `/data/id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pointer(pub(super) String);

impl Pointer {
    fn new<E: de::Error>(text: String) -> Result<Self, E> {
        if text.starts_with('/') {
            Ok(Self(text))
        } else {
            Err(E::custom(format!("{text:?} is no JSON Pointer, such as \"/data/id\"")))
        }
    }

    /// The text at this place: a string that is not empty, a whole number of 64 bits or a truth
    /// value. Other numbers are rounded where they are read, and two ids could become one.
    pub(super) fn text(&self, document: &Value) -> Option<String> {
        match document.pointer(&self.0)? {
            Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            Value::Number(number) => Some(number.to_string()).filter(|_| !number.is_f64()),
            Value::Bool(value) => Some(value.to_string()),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Pointer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?)
    }
}

/// A place in the document, or a text that is the same for all: it has no `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    At(Pointer),
    Fixed(String),
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.contains('/') { Pointer::new(text).map(Self::At) } else { Ok(Self::Fixed(text)) }
    }
}

impl Place {
    pub(super) fn text(&self, document: &Value) -> Option<String> {
        match self {
            Self::At(pointer) => pointer.text(document),
            Self::Fixed(text) => Some(text.clone()),
        }
    }
}

/// Where in the body of a webhook the approval is that it is about.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventMapping {
    pub(super) instance_id: Pointer,
    pub(super) definition_id: Place,
    pub(super) status: Pointer,
    /// Default: the id of the message, else a hash of the body.
    pub(super) event_id: Option<Pointer>,
    /// The type of the event. Default: every event is about an approval.
    #[serde(rename = "type")]
    pub(super) event_type: Option<Pointer>,
    /// The types that are about an approval. Default: all.
    #[serde(default)]
    pub(super) types: Vec<String>,
}

/// The values of the status, as the office system writes them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Statuses {
    pub(super) approved: Vec<String>,
    #[serde(default)]
    refused: Vec<String>,
    #[serde(default)]
    revoked: Vec<String>,
    #[serde(default)]
    pending: Vec<String>,
}

impl Statuses {
    pub(super) fn status(&self, text: &str) -> Status {
        let has = |values: &[String]| values.iter().any(|value| value == text);
        match () {
            () if has(&self.approved) => Status::Approved,
            () if has(&self.revoked) => Status::Revoked,
            () if has(&self.refused) => Status::Refused,
            () if has(&self.pending) => Status::Pending,
            () => Status::Unknown,
        }
    }

    /// A value that starts no flow, if there is one.
    #[cfg(feature = "client")]
    pub(super) fn without_decision(&self) -> Option<&str> {
        self.refused.first().or(self.pending.first()).map(String::as_str)
    }

    /// Whether a value has two meanings.
    pub(super) fn is_ambiguous(&self) -> bool {
        let all = [&self.approved, &self.refused, &self.revoked, &self.pending];
        let values: Vec<_> = all.into_iter().flatten().collect();
        values.iter().collect::<BTreeSet<_>>().len() < values.len()
    }

    fn decision(&self, text: &str) -> Option<Decision> {
        let status = self.status(text);
        [Decision::Approved, Decision::Revoked].into_iter().find(|it| status.confirms(*it))
    }
}

/// Stands for a type that is missing, or that is not like the name of one: it may be form content.
const UNKNOWN: &str = "unknown";

/// The longest name of a type that is logged, in bytes.
const MAX_TYPE_BYTES: usize = 64;

impl EventMapping {
    /// Whether the document is of a type that is about approvals.
    pub(super) fn is_about_approval(&self, document: &Value) -> bool {
        let event_type = self.event_type.as_ref().and_then(|pointer| pointer.text(document));
        self.types.is_empty() || event_type.is_some_and(|it| self.types.contains(&it))
    }

    /// The type of the event, for logs.
    fn event_type(&self, document: &Value) -> Option<String> {
        let event_type = self.event_type.as_ref()?.text(document)?;
        let is_name = event_type.len() <= MAX_TYPE_BYTES
            && event_type.bytes().all(|it| it.is_ascii_alphanumeric() || b"._-:/".contains(&it));
        Some(if is_name { event_type } else { UNKNOWN.to_owned() })
    }

    /// The event in an authentic body.
    pub(super) fn event(
        &self,
        document: &Value,
        body: &[u8],
        verified: Verified,
        statuses: &Statuses,
        signed: Option<SignedMessage>,
    ) -> Inbound {
        let event_type = self.event_type(document);
        if !self.is_about_approval(document) {
            return match event_type {
                Some(event_type) => Inbound::Other { event_type },
                None => Inbound::Unmapped { key: "event.type" },
            };
        }
        let Some(instance_id) = self.instance_id.text(document) else {
            return Inbound::Unmapped { key: "event.instance_id" };
        };
        let Some(definition_id) = self.definition_id.text(document) else {
            return Inbound::Unmapped { key: "event.definition_id" };
        };
        let Some(status) = self.status.text(document) else {
            return Inbound::Unmapped { key: "event.status" };
        };
        // The office system may have changed its values: nothing is dropped in silence.
        if statuses.status(&status) == Status::Unknown {
            return Inbound::Unmapped { key: "statuses" };
        }
        let named = self.event_id.as_ref().and_then(|pointer| pointer.text(document));
        let event_id = named.or(verified.id).unwrap_or_else(|| hash(body));
        Inbound::Approval(ApprovalEvent {
            tenant: String::new(),
            event_id,
            definition_id,
            instance_id,
            decision: statuses.decision(&status),
            occurred_at: verified.signed_at,
            signed,
        })
    }
}

/// An id for an event that has none: a repeated body has the same.
fn hash(body: &[u8]) -> String {
    hex::encode(&Sha256::digest(body)[..16])
}
