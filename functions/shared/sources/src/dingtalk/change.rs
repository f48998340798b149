//! DingTalk's event `bpms_instance_change`: an approval instance began or ended.

use greenlight_core::event::{ApprovalEvent, Inbound};
use greenlight_core::{Decision, Timestamp};
use serde::Deserialize;
use serde_json::Value;

/// The event of approval instances.
const INSTANCE_CHANGE: &str = "bpms_instance_change";

/// The category of forms with which people leave.
const TERMINATION: &str = "hrm.termination";

/// An event, as HTTP push and the stream name its parts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event<'a> {
    pub(super) kind: &'a str,
    /// Empty if there is none.
    pub(super) id: &'a str,
    pub(super) corp_id: &'a str,
}

/// The part of an instance change that counts.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    process_instance_id: String,
    process_code: String,
    /// `start`, `finish`, `terminate` (withdrawn before its end) or `delete`.
    #[serde(rename = "type")]
    kind: String,
    /// `agree` or `refuse` at its end.
    #[serde(default)]
    result: Option<String>,
    #[serde(default)]
    biz_category_id: Option<String>,
    #[serde(default)]
    staff_id: Option<String>,
    /// ms since the Unix epoch.
    #[serde(default)]
    finish_time: Option<i64>,
}

impl Event<'_> {
    /// The event with its data.
    pub(super) fn read(self, data: &Value) -> Inbound {
        let event_type = self.kind.to_owned();
        if self.kind != INSTANCE_CHANGE {
            return Inbound::Other { event_type };
        }
        let Ok(change) = Change::deserialize(data) else {
            return Inbound::Unreadable { event_type };
        };
        let is_agreed = change.kind == "finish" && change.result.as_deref() == Some("agree");
        if is_agreed && change.biz_category_id.as_deref() == Some(TERMINATION) {
            return match change.staff_id {
                Some(person) => Inbound::PersonLeft { person },
                None => Inbound::Unreadable { event_type },
            };
        }
        Inbound::Approval(ApprovalEvent {
            tenant: self.corp_id.to_owned(),
            event_id: self.id.to_owned(),
            definition_id: change.process_code,
            instance_id: change.process_instance_id,
            // A revocation is an approval of its own: only its instance says so.
            decision: is_agreed.then_some(Decision::Approved),
            occurred_at: change.finish_time.map(Timestamp::from_millis),
            signed: None,
        })
    }
}
