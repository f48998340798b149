//! The stubs of all kinds of office systems under one trait, for one suite and one demonstration
//! over all of them.

use std::io;
use std::pin::Pin;

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use greenlight_core::Timestamp;
use greenlight_sources::test_request::Sent;
use serde_json::{Value, json};

use super::{
    StubDingTalk, StubFeishu, StubOffice, StubSeeyon, StubWeCom, StubWeaver, demo_app,
    dingtalk_app, wecom_app,
};

/// How an approval ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Approved,
    Refused,
    /// By its applicant, before it was decided.
    Withdrawn,
    /// After it was approved.
    Revoked,
}

/// A fault of every call but the login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Too many calls, in the way of the office system.
    RateLimited,
    /// A page for people with HTTP 200, as from a proxy.
    Page,
}

impl Fault {
    /// The answer of a system that has no code of its own for it.
    pub(super) fn answer(self) -> Response {
        match self {
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS.into_response(),
            Self::Page => Html("<html><body>blocked</body></html>").into_response(),
        }
    }
}

/// What an event says.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The id of the event, where the office system has one.
    pub event_id: &'a str,
    pub definition_id: &'a str,
    /// The number of the approval, see [`OfficeSystem::put`].
    pub number: u32,
    pub outcome: Outcome,
}

/// A stub of an office system of any kind.
pub trait OfficeSystem: Send + Sync {
    /// The tables of flows.toml that define it as `[sources.NAME]`.
    fn settings(&self, name: &str) -> String;

    /// Its part of the secret document.
    fn secret(&self, name: &str) -> Value;

    /// The approval definition of its forms.
    fn definition_id(&self) -> &'static str;

    /// Where a form has MAC addresses: an entry of `from` in flows.toml.
    fn devices(&self) -> &'static str;

    /// Whether the office system knows this outcome.
    fn has(&self, _outcome: Outcome) -> bool {
        true
    }

    /// Stores approval number `number` with a table of devices, ended now; returns its id.
    fn put(&self, number: u32, outcome: Outcome, macs: &[&str]) -> String;

    /// The event about an approval, sent at `now`.
    fn event(&self, change: Change<'_>, now: Timestamp) -> Sent;

    /// Invalidates its tokens; `false` if it has none.
    fn expire_tokens(&self) -> bool;

    /// Answers with a fault from now on, or as usual.
    fn set_fault(&self, fault: Option<Fault>);
}

/// Flows for a source `oa` and the target `nac`, with the generic connector at `nac_url`: the
/// devices of a form get access. With their secret document, in which `nac_token` is the target's.
#[must_use]
pub fn flows_for_devices(
    system: &dyn OfficeSystem,
    nac_url: &str,
    nac_token: &str,
) -> (String, Value) {
    let flows = format!(
        r#"
        {}
        [targets.nac]
        connector = "generic"
        url = "{nac_url}"
        [[flows]]
        name = "devices"
        definition_id = "{}"
        fields.mac = {{ kind = "mac", from = [{}] }}
        actions = [{{ target = "nac", operation = "add", for_each = "mac" }}]
        "#,
        system.settings("oa"),
        system.definition_id(),
        system.devices(),
    );
    let mut secret = system.secret("oa");
    secret["targets"]["nac"] = json!({"token": nac_token});
    (flows, secret)
}

/// A stub that is being started.
pub type Starting = Pin<Box<dyn Future<Output = io::Result<Box<dyn OfficeSystem>>> + Send>>;

/// The name of a kind of source, and how the stub that it reads is started.
pub type Kind = (&'static str, fn() -> Starting);

/// The stubs of all kinds.
pub const OFFICE_SYSTEMS: &[Kind] = &[
    ("dingtalk", || starting(StubDingTalk::start(dingtalk_app()))),
    ("feishu", || starting(StubFeishu::start(demo_app()))),
    ("seeyon", || starting(StubSeeyon::start())),
    ("weaver", || starting(StubWeaver::start())),
    ("webhook", || starting(StubOffice::start())),
    ("wecom", || starting(StubWeCom::start(wecom_app()))),
];

fn starting<S: OfficeSystem + 'static>(
    stub: impl Future<Output = io::Result<S>> + Send + 'static,
) -> Starting {
    Box::pin(async { Ok(Box::new(stub.await?) as Box<dyn OfficeSystem>) })
}

/// The secret of the stubs that sign as Standard Webhooks.
pub(super) const HOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What a hook in an OA says, for [`super::signed_webhook`].
pub(super) fn hook_message(change: Change<'_>, instance_id: &str) -> Value {
    let event = match change.outcome {
        Outcome::Approved => "approved",
        Outcome::Refused => "refused",
        Outcome::Withdrawn | Outcome::Revoked => "revoked",
    };
    json!({"definition_id": change.definition_id, "instance_id": instance_id, "event": event})
}

/// The same request with another character in the middle of its body: its signature is wrong.
#[must_use]
pub fn altered(mut sent: Sent) -> Sent {
    let middle = sent.body.len() / 2;
    let is_text = |(_, c): &(usize, char)| c.is_ascii_alphanumeric();
    let found = sent.body.char_indices().filter(is_text).min_by_key(|(at, _)| at.abs_diff(middle));
    if let Some((at, c)) = found {
        sent.body.replace_range(at..=at, if c == 'b' { "c" } else { "b" });
    }
    sent
}
