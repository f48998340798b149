//! The first use case: turns a webhook request, or an event on a connection that the host holds,
//! into a response, and an approval into a queued request.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};

use crate::Timestamp;
use crate::event::{ApprovalEvent, Inbound};
use crate::explain::Explanation;
use crate::metrics::{Metric, Metrics};
use crate::person::PersonKey;
use crate::ports::{Clock, Enqueue, QueueError, ReadSecret};
use crate::queued::{Notice, PersonLeft, Queued};
use crate::request::{BadRequest, Request};
use crate::trace::TraceId;
use crate::webhook::{Ignored, Outcome, Reply, Webhook, Webhooks};
use crate::webhook_request::{MAX_BODY_BYTES, Rejection, WebhookRequest};

/// The HTTP response, and the reason for it.
#[derive(Clone, Debug)]
pub struct WebhookResponse {
    pub outcome: Outcome,
    pub reply: Reply,
}

impl WebhookResponse {
    /// The response to a webhook request that cannot be read.
    #[must_use]
    pub fn rejected(rejection: Rejection, metrics: &Metrics) -> Self {
        let outcome = Outcome::Rejected(rejection);
        let reply = Reply::json(&outcome);
        Self::of(None, outcome, reply, metrics)
    }

    /// The response, which is logged and counted.
    fn of(source: Option<&str>, outcome: Outcome, reply: Reply, metrics: &Metrics) -> Self {
        log(&outcome, source, Some(reply.status));
        count("WebhooksReceived", &outcome, metrics);
        if let Outcome::Rejected(rejection) = outcome {
            count_rejection(rejection, metrics);
        }
        Self { outcome, reply }
    }
}

fn count(metric: &'static str, outcome: &Outcome, metrics: &Metrics) {
    let reason = match outcome {
        Outcome::Ignored(reason) => Some(reason.as_str()),
        Outcome::Rejected(rejection) => Some(rejection.as_str()),
        Outcome::Challenge(_) | Outcome::Enqueued(_) | Outcome::NotEnqueued(_) => None,
    };
    let labels = [Some(("outcome", outcome.as_str())), reason.map(|reason| ("reason", reason))];
    let labels: Vec<_> = labels.into_iter().flatten().collect();
    metrics.measure(&Metric::once(metric, &labels));
}

fn count_rejection(rejection: Rejection, metrics: &Metrics) {
    if rejection.is_signed() {
        metrics.measure(&Metric::once("SignedWebhooksRejected", &[]));
    } else if rejection == Rejection::WrongSignature {
        // A wrong key in our own secret looks the same as the signature of a stranger.
        metrics.measure(&Metric::once("WebhooksRejected", &[]));
    }
}

/// Logs one line per event, without content. `status` is the HTTP status of the response.
fn log(outcome: &Outcome, source: Option<&str>, status: Option<u16>) {
    let name = outcome.as_str();
    match outcome {
        Outcome::Challenge(_) => {
            tracing::info!(outcome = name, status, source, "URL check answered");
        }
        Outcome::Enqueued(Queued::Decision(request)) => tracing::info!(
            outcome = name,
            status,
            source,
            event_id = request.event_id,
            instance_id = request.instance_id,
            trace_id = request.trace_id.as_ref().map(TraceId::as_str),
            "approval enqueued"
        ),
        Outcome::Enqueued(
            Queued::PersonLeft(Notice { trace_id, .. })
            | Queued::GrantDue(Notice { trace_id, .. })
            | Queued::SweepDue(Notice { trace_id, .. }),
        ) => {
            let trace_id = trace_id.as_str();
            tracing::info!(outcome = name, status, source, trace_id, "event enqueued");
        }
        Outcome::Ignored(reason) if reason.is_failure() => {
            tracing::error!(outcome = name, status, source, %reason, "authentic event not understood");
        }
        Outcome::Ignored(reason) => {
            tracing::info!(outcome = name, status, source, %reason, "event ignored");
        }
        Outcome::Rejected(rejection) => {
            let rejected = rejection.as_str();
            tracing::warn!(
                outcome = name,
                status,
                source,
                rejection = rejected,
                "event rejected: {rejection}"
            );
        }
        Outcome::NotEnqueued(error) => {
            tracing::error!(outcome = name, status, source, %error, "event not enqueued");
        }
    }
}

/// The dependencies of [`receive`]: the sources, the queue and the secret, and no database.
#[derive(Debug)]
pub struct Receiver<S, Q, C> {
    /// The office systems.
    pub sources: Webhooks,
    pub secret: S,
    pub queue: Q,
    pub clock: C,
    /// The recorder of metrics.
    pub metrics: Metrics,
}

/// Checks the size, finds the source, authenticates over the raw bytes, decrypts, parses, triages,
/// enqueues, responds as the source does.
pub async fn receive<S: ReadSecret, Q: Enqueue, C: Clock>(
    request: &WebhookRequest,
    receiver: &Receiver<S, Q, C>,
) -> WebhookResponse {
    let metrics = &receiver.metrics;
    if request.body.len() > MAX_BODY_BYTES {
        return WebhookResponse::rejected(Rejection::TooLarge, metrics);
    }
    let Some(source) = receiver.sources.find(request.source.as_deref()) else {
        return WebhookResponse::rejected(Rejection::NoSuchSource, metrics);
    };
    let (name, webhook) = source;
    let handled = handle(request, source, receiver);
    let outcome = in_time(handled, webhook.answer_within(), &receiver.clock).await;
    let reply = webhook.reply(&outcome, &receiver.secret.current(), receiver.clock.now());
    WebhookResponse::of(Some(name), outcome, reply, metrics)
}

/// Triages and enqueues an event that came over a connection of `source`, authenticated by that
/// connection. The outcome is logged and counted; it is known `within` the given time.
pub async fn receive_event<S, Q: Enqueue, C: Clock>(
    source: &str,
    event: Result<Inbound, Rejection>,
    within: Duration,
    receiver: &Receiver<S, Q, C>,
) -> Outcome {
    let outcome = match event {
        Err(rejection) => Outcome::Rejected(rejection),
        Ok(event) => {
            let handled = enqueue_if_wanted(source, event, TraceId::random(), receiver);
            in_time(handled, within, &receiver.clock).await
        }
    };
    log(&outcome, Some(source), None);
    count("StreamEventsReceived", &outcome, &receiver.metrics);
    outcome
}

async fn in_time(
    handled: impl Future<Output = Outcome>,
    within: Duration,
    clock: &impl Clock,
) -> Outcome {
    match select(pin!(handled), pin!(clock.sleep(within))).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right(_) => {
            Outcome::NotEnqueued(QueueError(Explanation::quoted("no response in time")))
        }
    }
}

async fn handle<S: ReadSecret, Q: Enqueue, C: Clock>(
    request: &WebhookRequest,
    (source, webhook): (&str, &dyn Webhook),
    receiver: &Receiver<S, Q, C>,
) -> Outcome {
    let event = match authenticate(request, webhook, receiver).await {
        Err(rejection) => return Outcome::Rejected(rejection),
        Ok(event) => event,
    };
    let trace_id = TraceId::of(&request.headers).unwrap_or_else(TraceId::random);
    enqueue_if_wanted(source, event, trace_id, receiver).await
}

async fn enqueue_if_wanted<S, Q: Enqueue, C: Clock>(
    source: &str,
    event: Inbound,
    trace_id: TraceId,
    receiver: &Receiver<S, Q, C>,
) -> Outcome {
    match triage(source, event, trace_id, receiver.clock.now()) {
        Triage::Challenge(text) => Outcome::Challenge(text),
        Triage::Ignore(reason) => Outcome::Ignored(reason),
        Triage::Enqueue(message) => match receiver.queue.enqueue(&message).await {
            Ok(()) => Outcome::Enqueued(message),
            Err(error) => Outcome::NotEnqueued(error),
        },
    }
}

async fn authenticate<S: ReadSecret, Q, C: Clock>(
    request: &WebhookRequest,
    webhook: &dyn Webhook,
    receiver: &Receiver<S, Q, C>,
) -> Result<Inbound, Rejection> {
    let now = receiver.clock.now();
    let secret = receiver.secret.fresh().await;
    match webhook.parse(request, &secret, now) {
        Err(rejection) if rejection.may_be_rotation() => {
            match receiver.secret.renewed(&secret).await {
                Some(renewed) => webhook.parse(request, &renewed, now),
                None => Err(rejection),
            }
        }
        result => result,
    }
}

enum Triage {
    Challenge(String),
    Enqueue(Queued),
    Ignore(Ignored),
}

fn triage(source: &str, event: Inbound, trace_id: TraceId, now: Timestamp) -> Triage {
    match event {
        Inbound::Challenge(text) => Triage::Challenge(text),
        Inbound::Other { event_type } => Triage::Ignore(Ignored::EventType(event_type)),
        Inbound::Unmapped { key } => Triage::Ignore(Ignored::Unmapped(key)),
        Inbound::Unreadable { event_type } => Triage::Ignore(Ignored::Unreadable(event_type)),
        Inbound::Approval(event) => triage_approval(source, event, trace_id, now),
        Inbound::PersonLeft { person } => PersonKey::new(source, &person).map_or(
            Triage::Ignore(Ignored::BadIdentifier(BadRequest::BadIdentifier { field: "person" })),
            |key| Triage::Enqueue(Queued::PersonLeft(PersonLeft::new(key, trace_id, now))),
        ),
    }
}

fn triage_approval(
    source: &str,
    event: ApprovalEvent,
    trace_id: TraceId,
    now: Timestamp,
) -> Triage {
    let Some(decision) = event.decision else {
        return Triage::Ignore(Ignored::Status);
    };
    match Request::new(source, event, decision, now, trace_id) {
        Ok(request) => Triage::Enqueue(Queued::Decision(request)),
        Err(bad) => Triage::Ignore(Ignored::BadIdentifier(bad)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::metrics::Measure;

    #[derive(Debug, Default)]
    struct Names(Mutex<Vec<&'static str>>);

    impl Measure for Names {
        fn measure(&self, metric: &Metric<'_>) {
            self.0.lock().unwrap().push(metric.name);
        }
    }

    #[test]
    fn refused_counts_as_alarming_only_what_no_unsigned_delivery_can_bring_about() {
        let of = |rejection| {
            let names = Arc::new(Names::default());
            let metrics: Metrics = Arc::<Names>::clone(&names);
            let _ = WebhookResponse::rejected(rejection, &metrics);
            names.0.lock().unwrap().clone()
        };
        for unsigned in [
            Rejection::TooLarge,
            Rejection::TooSlow,
            Rejection::TooMany,
            Rejection::NotBase64,
            Rejection::NotARequest,
            Rejection::NotAnEvent,
            Rejection::NotSigned,
        ] {
            assert_eq!(of(unsigned), ["WebhooksReceived"], "{unsigned}");
        }
        for signed in [
            Rejection::OutsideReplayWindow,
            Rejection::NotDecryptable,
            Rejection::SignedNoEvent,
            Rejection::WrongToken,
            Rejection::WrongApp,
        ] {
            assert_eq!(of(signed), ["WebhooksReceived", "SignedWebhooksRejected"], "{signed}");
        }
        assert_eq!(of(Rejection::WrongSignature), ["WebhooksReceived", "WebhooksRejected"]);
    }
}
