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
use greenlight_core::ports::{QueueError, ReadSecret};
use greenlight_core::secret::Secret;
use greenlight_core::webhook::{Webhook, Webhooks};
use greenlight_core::{Decision, Receiver, Timestamp, WebhookResponse, receive};
use greenlight_core::{MAX_BODY_BYTES, Rejection, WebhookRequest};
use greenlight_testkit::clock::TestClock;
use greenlight_testkit::memory::MemoryQueue;
use serde_json::json;

/// Returns one result for the first secret and one for the renewed secret.
#[derive(Debug)]
struct Source {
    first: Result<Inbound, Rejection>,
    renewed: Result<Inbound, Rejection>,
}

impl Webhook for Source {
    fn parse(
        &self,
        _: &WebhookRequest,
        secret: &Secret,
        _: Timestamp,
    ) -> Result<Inbound, Rejection> {
        let is_first = secret.source("oa").and_then(|it| it.get("key")) == Some("first");
        if is_first { self.first.clone() } else { self.renewed.clone() }
    }

    fn answer_within(&self) -> Duration {
        Duration::from_millis(2_300)
    }
}

/// A secret that was rotated: the first read returns the old one.
struct Rotated;

fn secret(key: &str) -> Arc<Secret> {
    let document = json!({"sources": {"oa": {"key": key}}});
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
        tenant: "t".into(),
        event_id: "e".into(),
        definition_id: definition_id.into(),
        instance_id: instance_id.into(),
        decision,
        occurred_at: None,
        signed: None,
    })
}

/// A receiver over this source and queue.
async fn answer(
    source: Source,
    queue: &MemoryQueue,
    clock: TestClock,
    body: usize,
) -> (u16, &'static str) {
    answer_at("/api/event", source, queue, clock, body).await
}

async fn answer_at(
    path: &str,
    source: Source,
    queue: &MemoryQueue,
    clock: TestClock,
    body: usize,
) -> (u16, &'static str) {
    let source: Box<dyn Webhook> = Box::new(source);
    let receiver = Receiver {
        sources: Webhooks::new([("oa".to_owned(), source)].into(), Some("oa".to_owned())),
        secret: Rotated,
        queue: queue.clone(),
        clock,
        metrics: NoMetrics::nowhere(),
    };
    let (head, ()) = http::Request::post(path).body(()).unwrap().into_parts();
    let request = WebhookRequest::new(head, Bytes::from(vec![b' '; body])).unwrap();
    let response: WebhookResponse = receive(&request, &receiver).await;
    (response.reply.status, response.outcome.as_str())
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
        (Rejection::WrongMethod, 405),
        (Rejection::NoCredentials, 503),
        (Rejection::TooLargeToCarry, 413),
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

#[tokio::test]
async fn a_request_is_for_the_source_that_its_path_names() {
    for (path, expected) in [
        ("/api/event", (200, "enqueued")),
        ("/api/event/", (200, "enqueued")),
        ("/api/event/oa", (200, "enqueued")),
        ("/segment/api/event/oa/", (200, "enqueued")),
        ("/api/event/other", (404, "rejected")),
        ("/api/event//", (404, "rejected")),
    ] {
        let approved = || Ok(approval("A", "I-1", Some(Decision::Approved)));
        let (source, queue) =
            (Source { first: approved(), renewed: approved() }, MemoryQueue::default());
        assert_eq!(answer_at(path, source, &queue, clock(), 1).await, expected, "{path}");
        let enqueued = queue.all();
        assert!(enqueued.iter().all(|request| request.source == "oa"), "{path}");
        assert_eq!(enqueued.len(), usize::from(expected.0 == 200), "{path}");
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
        Rejection::NoCredentials,
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
