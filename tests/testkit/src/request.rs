//! A queue message.

use greenlight_core::request::{Trigger, VERSION, Via};
use greenlight_core::{Decision, Request, Timestamp};

/// The approval definition of [`request`].
pub const DEFINITION_ID: &str = "7C468A54-8745-2245-9675-08B7C63E7A85";

/// The request for an approved instance, received at the Unix epoch.
pub fn request(instance_id: &str) -> Request {
    Request {
        v: VERSION,
        source: "feishu".into(),
        tenant: "demo-tenant".into(),
        event_id: format!("event-of-{instance_id}"),
        definition_id: DEFINITION_ID.into(),
        instance_id: instance_id.into(),
        trigger: Trigger::Decision(Decision::Approved),
        occurred_at: None,
        received_at: Timestamp::from_millis(0),
        trace_id: None,
        via: Via::Event,
        signed: None,
    }
}
