//! Each outcome of `receive`, as a table: the event, the result of the queue, the response.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says by a panic that something is not as it should be"
)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use greenlight_core::event::{ApprovalEvent, Inbound};
use greenlight_core::explain::Explanation;
use greenlight_core::metrics::NoMetrics;
use greenlight_core::ports::{Authenticate, QueueError, ReadSecret};
use greenlight_core::secret::Secret;
use greenlight_core::{Decision, Receiver, Timestamp, WebhookResponse, receive};
use greenlight_core::{MAX_BODY_BYTES, Rejection, WebhookRequest};
use greenlight_testkit::clock::TestClock;
use greenlight_testkit::memory::MemoryQueue;
use serde_json::json;

/// Returns one result for the first secret and one for the renewed secret.
struct Source {
    first: Result<Inbound, Rejection>,
    renewed: Result<Inbound, Rejection>,
}

impl Authenticate for Source {
    fn authenticate(
        &self,
        _: &WebhookRequest,
        secret: &Secret,
        _: Timestamp,
    ) -> Result<Inbound, Rejection> {
        let is_first = secret.feishu.app_id == "first";
        if is_first { self.first.clone() } else { self.renewed.clone() }
    }
}

/// A secret that was rotated: the first read returns the old one.
struct Rotated;

fn secret(app_id: &str) -> Arc<Secret> {
    let document = json!({"feishu": {"app_id": app_id, "app_secret": "s", "encrypt_key": "k",
        "verification_token": "v"}});
    Arc::new(Secret::parse(&document.to_string()).unwrap())
}

impl ReadSecret for Rotated {
    fn current(&self) -> Arc<Secret> {
        secret("first")
    }

    async fn renewed(&self, _: &Arc<Secret>) -> Option<Arc<Secret>> {
        Some(secret("second"))
    }
}

fn approval(definition_id: &str, instance_id: &str, decision: Option<Decision>) -> Inbound {
    Inbound::Approval(ApprovalEvent {
        source: "feishu".into(),
        tenant: "t".into(),
        event_id: "e".into(),
        definition_id: definition_id.into(),
        instance_id: instance_id.into(),
        decision,
        occurred_at: None,
    })
}

/// A receiver over this source and queue.
async fn answer(
    source: Source,
    queue: &MemoryQueue,
    clock: TestClock,
    body: usize,
) -> (u16, &'static str) {
    let receiver = Receiver {
        source,
        secret: Rotated,
        queue: queue.clone(),
        clock,
        metrics: NoMetrics::nowhere(),
    };
    let webhook =
        WebhookRequest { headers: http::HeaderMap::new(), body: Bytes::from(vec![b' '; body]) };
    let response: WebhookResponse = receive(&webhook, &receiver).await;
    (response.status(), response.outcome.as_str())
}

fn clock() -> TestClock {
    TestClock::standing(Timestamp::from_millis(1_800_000_000_000))
}

#[tokio::test]
async fn each_event_has_its_outcome() {
    let approved = || approval("A", "I-1", Some(Decision::Approved));
    for (inbound, status, outcome, enqueued) in [
        (approved(), 200, "enqueued", 1),
        (approval("A", "I-1", Some(Decision::Revoked)), 200, "enqueued", 1),
        (approval("A", "I-1", None), 200, "ignored", 0),
        (approval("A", "../I", Some(Decision::Approved)), 200, "unreadable", 0),
        (Inbound::Challenge("c".into()), 200, "challenge", 0),
        (Inbound::Other { event_type: "contact".into() }, 200, "ignored", 0),
        (Inbound::Unreadable { event_type: "approval".into() }, 200, "unreadable", 0),
    ] {
        let queue = MemoryQueue::default();
        let source = Source { first: Ok(inbound.clone()), renewed: Err(Rejection::WrongSignature) };
        assert_eq!(answer(source, &queue, clock(), 1).await, (status, outcome), "{inbound:?}");
        assert_eq!(queue.all().len(), enqueued, "{inbound:?}");
    }
}

#[tokio::test]
async fn each_rejection_has_its_status_and_enqueues_nothing() {
    for (rejection, status) in [
        (Rejection::NotAnEvent, 400),
        (Rejection::NotDecryptable, 400),
        (Rejection::SignedNoEvent, 400),
        (Rejection::NotSigned, 401),
        (Rejection::WrongSignature, 401),
        (Rejection::OutsideReplayWindow, 401),
        (Rejection::WrongToken, 401),
        (Rejection::WrongApp, 401),
    ] {
        let queue = MemoryQueue::default();
        let source = Source { first: Err(rejection), renewed: Err(rejection) };
        assert_eq!(answer(source, &queue, clock(), 1).await, (status, "rejected"), "{rejection}");
        assert_eq!(queue.all(), [], "{rejection}");
    }
}

/// The size is checked first: a body over the limit is not even authenticated.
#[tokio::test]
async fn a_body_over_the_limit_is_not_read() {
    let approved = Ok(approval("A", "I-1", Some(Decision::Approved)));
    for (size, expected) in
        [(MAX_BODY_BYTES, (200, "enqueued")), (MAX_BODY_BYTES + 1, (413, "rejected"))]
    {
        let source = Source { first: approved.clone(), renewed: approved.clone() };
        assert_eq!(answer(source, &MemoryQueue::default(), clock(), size).await, expected);
    }
}

/// Only rejections that a rotated secret can cause are checked again with the renewed one.
#[tokio::test]
async fn a_rotated_secret_is_taken_where_a_rejection_may_be_about_it() {
    for rejection in [
        Rejection::NotSigned,
        Rejection::WrongSignature,
        Rejection::WrongToken,
        Rejection::WrongApp,
        Rejection::NotDecryptable,
        Rejection::NotAnEvent,
        Rejection::SignedNoEvent,
        Rejection::OutsideReplayWindow,
    ] {
        let renewed = Ok(approval("A", "I-1", Some(Decision::Approved)));
        let source = Source { first: Err(rejection), renewed };
        let (_, outcome) = answer(source, &MemoryQueue::default(), clock(), 1).await;
        let expected = if rejection.may_be_rotation() { "enqueued" } else { "rejected" };
        assert_eq!(outcome, expected, "{rejection}");
    }
}

/// An approval that the queue does not take, or not in time, is answered 503.
#[tokio::test]
async fn what_is_not_enqueued_in_time_is_answered_503() {
    let source = || Source {
        first: Ok(approval("A", "I-1", Some(Decision::Approved))),
        renewed: Err(Rejection::WrongSignature),
    };
    let failing = MemoryQueue::failing(QueueError(Explanation::quoted("throttled")));
    assert_eq!(answer(source(), &failing, clock(), 1).await, (503, "not_enqueued"));
    let hanging = clock();
    hanging.end_sleeps(Duration::from_millis(2_300));
    assert_eq!(answer(source(), &MemoryQueue::hanging(), hanging, 1).await, (503, "not_enqueued"));
}
