//! The first use case: turns a webhook request into a response, and an approval into a queued
//! request.

use std::pin::pin;

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
        Self::of(None, Outcome::Rejected(rejection), metrics)
    }

    /// The response to `outcome`, which is logged and counted.
    fn of(source: Option<(&str, &dyn Webhook)>, outcome: Outcome, metrics: &Metrics) -> Self {
        let reply = match source {
            Some((_, webhook)) => webhook.reply(&outcome),
            None => Reply::json(&outcome),
        };
        let answer = Self { outcome, reply };
        answer.log(source.map(|(name, _)| name));
        answer.count(metrics);
        answer
    }

    fn count(&self, metrics: &Metrics) {
        let outcome = self.outcome.as_str();
        let reason = match &self.outcome {
            Outcome::Ignored(reason) => Some(reason.as_str()),
            Outcome::Rejected(rejection) => Some(rejection.as_str()),
            Outcome::Challenge(_) | Outcome::Enqueued(_) | Outcome::NotEnqueued(_) => None,
        };
        let labels = [Some(("outcome", outcome)), reason.map(|reason| ("reason", reason))];
        let labels: Vec<_> = labels.into_iter().flatten().collect();
        metrics.measure(&Metric::once("WebhooksReceived", &labels));
        let Outcome::Rejected(rejection) = self.outcome else { return };
        if rejection.is_signed() {
            metrics.measure(&Metric::once("SignedWebhooksRejected", &[]));
        } else if rejection == Rejection::WrongSignature {
            // A wrong key in our own secret looks the same as the signature of a stranger.
            metrics.measure(&Metric::once("WebhooksRejected", &[]));
        }
    }

    /// Logs one line per webhook request, without content.
    fn log(&self, source: Option<&str>) {
        let (outcome, status) = (self.outcome.as_str(), self.reply.status);
        match &self.outcome {
            Outcome::Challenge(_) => {
                tracing::info!(outcome, status, source, "URL check answered");
            }
            Outcome::Enqueued(Queued::Decision(request)) => tracing::info!(
                outcome,
                status,
                source,
                event_id = request.event_id,
                instance_id = request.instance_id,
                trace_id = request.trace_id.as_ref().map(TraceId::as_str),
                "approval enqueued"
            ),
            Outcome::Enqueued(
                Queued::PersonLeft(Notice { trace_id, .. })
                | Queued::GrantDue(Notice { trace_id, .. }),
            ) => {
                let trace_id = trace_id.as_str();
                tracing::info!(outcome, status, source, trace_id, "event enqueued");
            }
            Outcome::Ignored(reason) if reason.is_failure() => {
                tracing::error!(outcome, status, source, %reason, "authentic event not understood");
            }
            Outcome::Ignored(reason) => {
                tracing::info!(outcome, status, source, %reason, "event ignored");
            }
            Outcome::Rejected(rejection) => tracing::warn!(
                outcome,
                status,
                source,
                rejection = rejection.as_str(),
                "webhook rejected: {rejection}"
            ),
            Outcome::NotEnqueued(error) => {
                tracing::error!(outcome, status, source, %error, "event not enqueued");
            }
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
    let handled = pin!(handle(request, source, receiver));
    let limit = pin!(receiver.clock.sleep(source.1.answer_within()));
    let outcome = match select(handled, limit).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right(_) => {
            Outcome::NotEnqueued(QueueError(Explanation::quoted("no response in time")))
        }
    };
    WebhookResponse::of(Some(source), outcome, metrics)
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
