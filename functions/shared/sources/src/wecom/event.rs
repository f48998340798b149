//! WeCom's event `sys_approval_change`: an approval of the system application changed.

use greenlight_core::event::{ApprovalEvent, Inbound};
use greenlight_core::{Decision, Timestamp};

use super::sp_status;
use crate::xml::Element;

/// The event in a decrypted callback. Other events are of no use: `open_approval_change` is of
/// another approval engine, without forms.
pub(super) fn event_in(message: &Element) -> Inbound {
    let kind = match message.text_of("Event") {
        "" => message.text_of("MsgType"),
        event => event,
    };
    if kind != "sys_approval_change" {
        return Inbound::Other { event_type: kind.to_owned() };
    }
    approval(message).map_or(Inbound::Unreadable { event_type: kind.to_owned() }, Inbound::Approval)
}

/// The approval. WeCom sends an event for each step. The decision depends on the status of the
/// whole approval, not on that of one approver.
fn approval(message: &Element) -> Option<ApprovalEvent> {
    let info = message.child("ApprovalInfo")?;
    // `SpNo` is a number; since June 2025 the text is to be preferred.
    let number = [info.text_of("SpNoStr"), info.text_of("SpNo")];
    let number = number.into_iter().find(|number| !number.is_empty())?;
    let status: i64 = info.text_of("SpStatus").parse().ok()?;
    let created = message.text_of("CreateTime");
    let decision = match status {
        sp_status::PASSED | sp_status::PAID => Some(Decision::Approved),
        sp_status::WITHDRAWN | sp_status::REVOKED => Some(Decision::Revoked),
        _ => None,
    };
    Some(ApprovalEvent {
        tenant: message.text_of("ToUserName").to_owned(),
        // WeCom's events have no id, and their sender is always `sys`.
        event_id: format!("{number}-{status}-{}-{created}", info.text_of("StatuChangeEvent")),
        definition_id: some(info.text_of("TemplateId"))?,
        instance_id: number.to_owned(),
        decision,
        occurred_at: created
            .parse::<i64>()
            .ok()
            .map(|seconds| Timestamp::from_millis(seconds.saturating_mul(1_000))),
        signed: None,
    })
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
