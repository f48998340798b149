//! Feishu's event envelopes, version 1 and 2, the two approval events, and that a person left.

use greenlight_core::event::{ApprovalEvent, Inbound};
use greenlight_core::{Decision, Timestamp};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// A decrypted body: a URL check, or an event of either version.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope<'a> {
    /// `url_verification`, or `event_callback` in version 1.
    #[serde(default, rename = "type")]
    kind: Option<String>,
    /// Only in a URL check.
    #[serde(default)]
    challenge: Option<String>,
    /// The verification token of a URL check or a version 1 event.
    #[serde(default)]
    token: Option<String>,
    /// The event id of version 1.
    #[serde(default, deserialize_with = "text_or_nothing")]
    uuid: String,
    /// Version 2 only.
    #[serde(default)]
    header: Option<Header>,
    #[serde(default, borrow)]
    event: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
struct Header {
    #[serde(default, deserialize_with = "text_or_nothing")]
    event_id: String,
    #[serde(default)]
    event_type: String,
    #[serde(default)]
    token: String,
    #[serde(default)]
    app_id: String,
    #[serde(default, deserialize_with = "text_or_nothing")]
    tenant_key: String,
}

/// The common part of version 1 events.
#[derive(Debug, Deserialize)]
struct EventHead {
    #[serde(default)]
    app_id: String,
    #[serde(default, rename = "type")]
    event_type: String,
    #[serde(default, deserialize_with = "text_or_nothing")]
    tenant_key: String,
}

/// `approval_instance` (version 1) and `approval.instance.status_changed_v4` (version 2).
#[derive(Debug, Deserialize)]
struct StatusChange {
    approval_code: String,
    instance_code: String,
    status: String,
    /// Milliseconds as a string, or as an integer when the status is `REVERTED`.
    #[serde(default, deserialize_with = "text_or_nothing")]
    operate_time: String,
    /// The same; the only one that Lark sends:
    /// <https://open.larksuite.com/document/server-docs/approval-v4/event/common-event/approval-instance-event>.
    #[serde(default, deserialize_with = "text_or_nothing")]
    instance_operate_time: String,
}

impl StatusChange {
    fn occurred_at(&self) -> Option<Timestamp> {
        let times = [&self.operate_time, &self.instance_operate_time];
        times.into_iter().find_map(|time| time.parse().ok()).map(Timestamp::from_millis)
    }
}

/// `contact.user.deleted_v3`:
/// <https://open.feishu.cn/document/server-docs/contact-v3/user/events/deleted>.
#[derive(Debug, Deserialize)]
struct PersonLeft {
    object: Person,
}

#[derive(Debug, Deserialize)]
struct Person {
    open_id: String,
}

/// Reads a string or a number as text; any other type as empty. These members are optional, so a
/// malformed one must not reject the approval.
fn text_or_nothing<'de, D: Deserializer<'de>>(value: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(value)? {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    })
}

impl<'a> Envelope<'a> {
    pub(super) fn parse(json: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }

    /// Returns the challenge to echo, if this is a URL check.
    pub(super) fn challenge(&self) -> Option<&str> {
        match self.kind.as_deref() {
            Some("url_verification") => self.challenge.as_deref(),
            _ => None,
        }
    }

    /// Returns the verification token, from either version's place.
    pub(super) fn token(&self) -> &str {
        match &self.header {
            Some(header) => &header.token,
            None => self.token.as_deref().unwrap_or_default(),
        }
    }

    /// Returns the app that the event is for, and the event.
    pub(super) fn event(&self) -> (String, Inbound) {
        let head = self.head();
        let event = match head.event_type.as_str() {
            "approval_instance" | "approval.instance.status_changed_v4" => {
                self.approval(&head).map_or(
                    Inbound::Unreadable { event_type: head.event_type.clone() },
                    Inbound::Approval,
                )
            }
            "contact.user.deleted_v3" => match self.person_left() {
                Some(person) => Inbound::PersonLeft { person },
                None => Inbound::Unreadable { event_type: head.event_type },
            },
            _ => Inbound::Other { event_type: head.event_type },
        };
        (head.app_id, event)
    }

    /// Returns app, event type and tenant, for either version.
    fn head(&self) -> EventHead {
        if let Some(header) = &self.header {
            return EventHead {
                app_id: header.app_id.clone(),
                event_type: header.event_type.clone(),
                tenant_key: header.tenant_key.clone(),
            };
        }
        let head = self.event.and_then(|event| serde_json::from_str(event.get()).ok());
        head.unwrap_or(EventHead {
            app_id: String::new(),
            event_type: self.kind.clone().unwrap_or_default(),
            tenant_key: String::new(),
        })
    }

    /// The `open_id`, by which instances name applicants and contacts.
    fn person_left(&self) -> Option<String> {
        let left: PersonLeft = serde_json::from_str(self.event?.get()).ok()?;
        Some(left.object.open_id)
    }

    fn approval(&self, head: &EventHead) -> Option<ApprovalEvent> {
        let change: StatusChange = serde_json::from_str(self.event?.get()).ok()?;
        let event_id = self.header.as_ref().map_or(&self.uuid, |header| &header.event_id);
        let decision = match change.status.as_str() {
            "APPROVED" => Some(Decision::Approved),
            "REVERTED" | "CANCELED" => Some(Decision::Revoked),
            _ => None,
        };
        Some(ApprovalEvent {
            tenant: head.tenant_key.clone(),
            event_id: event_id.clone(),
            occurred_at: change.occurred_at(),
            definition_id: change.approval_code,
            instance_id: change.instance_code,
            decision,
            signed: None,
        })
    }
}
