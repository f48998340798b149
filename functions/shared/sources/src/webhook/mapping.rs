//! Where in a document an approval is, as JSON Pointers (RFC 6901).

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
    /// The text at this place: a string that is not empty, a number or a truth value.
    pub(super) fn text(&self, document: &Value) -> Option<String> {
        match document.pointer(&self.0)? {
            Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(value) => Some(value.to_string()),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Pointer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.starts_with('/') {
            Ok(Self(text))
        } else {
            Err(de::Error::custom(format!("{text:?} is no JSON Pointer, such as \"/data/id\"")))
        }
    }
}

/// A place in the document, or a text that is the same for all: it does not begin with `/`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(super) enum Place {
    At(Pointer),
    Fixed(String),
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

    fn decision(&self, text: &str) -> Option<Decision> {
        let status = self.status(text);
        [Decision::Approved, Decision::Revoked].into_iter().find(|it| status.confirms(*it))
    }
}

impl EventMapping {
    /// The event in an authentic body.
    pub(super) fn event(
        &self,
        document: &Value,
        body: &[u8],
        verified: Verified,
        statuses: &Statuses,
        signed: Option<SignedMessage>,
    ) -> Inbound {
        let event_type = self.event_type.as_ref().and_then(|pointer| pointer.text(document));
        if let Some(event_type) = &event_type
            && !self.types.is_empty()
            && !self.types.contains(event_type)
        {
            return Inbound::Other { event_type: event_type.clone() };
        }
        let found = self.instance_id.text(document).zip(self.definition_id.text(document));
        let Some(((instance_id, definition_id), status)) = found.zip(self.status.text(document))
        else {
            let event_type = event_type.unwrap_or_else(|| "unknown".to_owned());
            return Inbound::Unreadable { event_type };
        };
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
