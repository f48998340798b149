//! The first use case: turns a webhook request into a response, and an approval into a queued
//! request.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use serde_json::json;
use thiserror::Error;

use crate::event::{ApprovalEvent, Inbound};
use crate::explain::Explanation;
use crate::metrics::{Metric, Metrics};
use crate::ports::{Authenticate, Clock, Enqueue, QueueError, ReadSecret};
use crate::request::{BadRequest, Request};
use crate::trace::TraceId;
use crate::webhook_request::{MAX_BODY_BYTES, Rejection, WebhookRequest};

/// The HTTP response, and the reason for it.
#[derive(Clone, Debug)]
pub struct WebhookResponse {
    pub outcome: Outcome,
}

/// The outcome of a webhook request.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A URL check: the text is sent back.
    Challenge(String),
    /// An approval was decided: the request is in the queue. The worker looks for the flow.
    Enqueued(Request),
    /// Authentic, and nothing to do.
    Ignored(Ignored),
    /// Not authentic, or not readable.
    Rejected(Rejection),
    /// An approval was decided, but the queue did not take the request: the sender must retry.
    NotEnqueued(QueueError),
}

/// The reason for which an authentic event is ignored.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Ignored {
    /// Of a type that greenlight does not use.
    #[error("events of the type `{0}` are not of interest")]
    EventType(String),
    /// The instance did not end, or not with a decision that can start a flow.
    #[error("the approval's new status is not of interest")]
    Status,
    /// Authentic, of a type that greenlight uses, but not of the documented shape: needs a
    /// developer.
    #[error("an event of the type `{0}` is not of the documented shape")]
    Unreadable(String),
    /// Authentic and of a type that greenlight uses, but with an invalid identifier.
    #[error(transparent)]
    BadIdentifier(BadRequest),
}

impl Outcome {
    /// The name in logs and metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Challenge(_) => "challenge",
            Self::Enqueued(_) => "enqueued",
            Self::Ignored(Ignored::Unreadable(_) | Ignored::BadIdentifier(_)) => "unreadable",
            Self::Ignored(_) => "ignored",
            Self::Rejected(_) => "rejected",
            Self::NotEnqueued(_) => "not_enqueued",
        }
    }
}

impl Ignored {
    /// The name in metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::EventType(_) => "event_type",
            Self::Status => "status",
            Self::Unreadable(_) => "shape",
            Self::BadIdentifier(_) => "identifier",
        }
    }
}

impl WebhookResponse {
    /// The HTTP status. Every authentic event gets 200, used or not: until it does, Feishu holds
    /// back the next event of the same instance.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match &self.outcome {
            Outcome::Challenge(_) | Outcome::Enqueued(_) | Outcome::Ignored(_) => 200,
            Outcome::Rejected(rejection) => rejection.status(),
            Outcome::NotEnqueued(_) => 503,
        }
    }

    /// The body, in JSON.
    #[must_use]
    pub fn body(&self) -> String {
        match &self.outcome {
            Outcome::Challenge(text) => json!({ "challenge": text }),
            Outcome::Enqueued(_) | Outcome::Ignored(_) => json!({ "msg": "success" }),
            Outcome::Rejected(rejection) => json!({ "msg": rejection.to_string() }),
            Outcome::NotEnqueued(_) => json!({ "msg": "try again later" }),
        }
        .to_string()
    }

    /// The response to a webhook request that cannot be read.
    #[must_use]
    pub fn rejected(rejection: Rejection, metrics: &Metrics) -> Self {
        Self::of(Outcome::Rejected(rejection), metrics)
    }

    /// The response to `outcome`, which is logged and counted.
    #[must_use]
    pub fn of(outcome: Outcome, metrics: &Metrics) -> Self {
        let answer = Self { outcome };
        answer.log();
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
    fn log(&self) {
        let (outcome, status) = (self.outcome.as_str(), self.status());
        match &self.outcome {
            Outcome::Challenge(_) => {
                tracing::info!(outcome, status, "URL check answered");
            }
            Outcome::Enqueued(request) => tracing::info!(
                outcome,
                status,
                event_id = request.event_id,
                instance_id = request.instance_id,
                trace_id = request.trace_id.as_ref().map(TraceId::as_str),
                "approval enqueued"
            ),
            Outcome::Ignored(reason @ (Ignored::Unreadable(_) | Ignored::BadIdentifier(_))) => {
                tracing::error!(outcome, status, %reason, "authentic event not understood");
            }
            Outcome::Ignored(reason) => {
                tracing::info!(outcome, status, %reason, "event ignored");
            }
            Outcome::Rejected(rejection) => tracing::warn!(
                outcome,
                status,
                rejection = rejection.as_str(),
                "webhook rejected: {rejection}"
            ),
            Outcome::NotEnqueued(error) => {
                tracing::error!(outcome, status, %error, "approval not enqueued");
            }
        }
    }
}

/// Feishu waits 3 s for a response. A request that is not enqueued by now is answered 503, and
/// Feishu sends the event again.
const ANSWER_WITHIN: Duration = Duration::from_millis(2_300);

/// The dependencies of [`receive`]: the queue and the secret, and no database.
#[derive(Clone, Debug)]
pub struct Receiver<A, S, Q, C> {
    /// The office system.
    pub source: A,
    pub secret: S,
    pub queue: Q,
    pub clock: C,
    /// The recorder of metrics.
    pub metrics: Metrics,
}

/// Checks the size, authenticates over the raw bytes, decrypts, parses, triages, enqueues,
/// responds.
pub async fn receive<A, S, Q, C>(
    webhook: &WebhookRequest,
    receiver: &Receiver<A, S, Q, C>,
) -> WebhookResponse
where
    A: Authenticate,
    S: ReadSecret,
    Q: Enqueue,
    C: Clock,
{
    let handled = pin!(handle(webhook, receiver));
    let limit = pin!(receiver.clock.sleep(ANSWER_WITHIN));
    let outcome = match select(handled, limit).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right(_) => {
            Outcome::NotEnqueued(QueueError(Explanation::quoted("no response in time")))
        }
    };
    WebhookResponse::of(outcome, &receiver.metrics)
}

async fn handle<A, S, Q, C>(webhook: &WebhookRequest, receiver: &Receiver<A, S, Q, C>) -> Outcome
where
    A: Authenticate,
    S: ReadSecret,
    Q: Enqueue,
    C: Clock,
{
    let event = match authenticate(webhook, receiver).await {
        Err(rejection) => return Outcome::Rejected(rejection),
        Ok(event) => event,
    };
    let trace_id = TraceId::of(&webhook.headers).unwrap_or_else(TraceId::random);
    match triage(event, trace_id, receiver) {
        Triage::Challenge(text) => Outcome::Challenge(text),
        Triage::Ignore(reason) => Outcome::Ignored(reason),
        Triage::Enqueue(request) => match receiver.queue.enqueue(&request).await {
            Ok(()) => Outcome::Enqueued(request),
            Err(error) => Outcome::NotEnqueued(error),
        },
    }
}

async fn authenticate<A, S, Q, C>(
    webhook: &WebhookRequest,
    receiver: &Receiver<A, S, Q, C>,
) -> Result<Inbound, Rejection>
where
    A: Authenticate,
    S: ReadSecret,
    C: Clock,
{
    if webhook.body.len() > MAX_BODY_BYTES {
        return Err(Rejection::TooLarge);
    }
    let now = receiver.clock.now();
    let secret = receiver.secret.current();
    match receiver.source.authenticate(webhook, &secret, now) {
        Err(rejection) if rejection.may_be_rotation() => {
            match receiver.secret.renewed(&secret).await {
                Some(renewed) => receiver.source.authenticate(webhook, &renewed, now),
                None => Err(rejection),
            }
        }
        result => result,
    }
}

enum Triage {
    Challenge(String),
    Enqueue(Request),
    Ignore(Ignored),
}

fn triage<A, S, Q, C: Clock>(
    event: Inbound,
    trace_id: TraceId,
    receiver: &Receiver<A, S, Q, C>,
) -> Triage {
    match event {
        Inbound::Challenge(text) => Triage::Challenge(text),
        Inbound::Other { event_type } => Triage::Ignore(Ignored::EventType(event_type)),
        Inbound::Unreadable { event_type } => Triage::Ignore(Ignored::Unreadable(event_type)),
        Inbound::Approval(event) => triage_approval(event, trace_id, receiver),
    }
}

fn triage_approval<A, S, Q, C: Clock>(
    event: ApprovalEvent,
    trace_id: TraceId,
    receiver: &Receiver<A, S, Q, C>,
) -> Triage {
    let Some(decision) = event.decision else {
        return Triage::Ignore(Ignored::Status);
    };
    match Request::new(event, decision, receiver.clock.now(), trace_id) {
        Ok(request) => Triage::Enqueue(request),
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
