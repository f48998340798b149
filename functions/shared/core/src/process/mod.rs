//! The second use case: a queued request becomes effects, each done once.

mod effects;
mod end;
mod execute;
mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use tracing::field::Empty;
use tracing::{Instrument, Span};

use self::end::End;
use self::execute::AttemptResult;
pub use self::plan::{Plan, PlannedEffect, plan};
use crate::audit::AttemptRecord;
use crate::budget::AttemptBudget;
use crate::failure::{Class, Failure, Reason};
use crate::flow::{Flow, Flows};
use crate::instance::{Instance, Status};
use crate::ledger::{ClaimError, Claimed, Effect, EffectKey, Lease, LeaseLost};
use crate::metrics::{Metric, Metrics};
use crate::ports::{Claim, Clock, FileAudit, LedgerError, Ports, ReadInstance};
use crate::request::{BadRequest, Request};
use crate::retry::RetryState;
use crate::time::Timestamp;

/// One receive of one queue message.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// The body.
    pub body: &'a str,
    /// How often the queue has given it out, this time included.
    pub receive_count: u32,
    /// When the queue gave it out for the first time.
    pub first_received: Timestamp,
    /// When the queue deletes it, if it does: 14 days after it was sent, on SQS.
    pub expires_at: Option<Timestamp>,
    /// The time of the attempt.
    pub budget: AttemptBudget,
    /// The lease to claim the request with. It outlives the worker that processes the message.
    pub lease: Lease,
}

/// What the queue must do with a message that was processed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "the message stays in the queue or leaves it by this"]
pub enum Disposition {
    /// Delete it: everything was done, now or before.
    Done,
    /// Delete it: it is in the dead-letter queue, for this reason.
    DeadLettered(Reason),
    /// Give it out again, not before this long from now.
    RetryAfter {
        /// How long from now.
        after: Duration,
        /// Why it is not done.
        reason: Reason,
    },
}

/// All that [`process`] uses.
#[derive(Clone, Debug)]
pub struct Processor<P: Ports> {
    /// What was done already.
    pub ledger: P::Ledger,
    /// The office system, which alone is believed.
    pub source: P::Source,
    /// The targets.
    pub targets: P::Targets,
    /// Where messages go that cannot succeed.
    pub dead_letters: P::DeadLetters,
    /// The time.
    pub clock: P::Clock,
    /// Which approval does what, and how often it is retried.
    pub flows: Flows,
    /// Where figures go.
    pub metrics: Metrics,
}

/// Claim in the ledger, read the instance at the source, check it, extract and validate,
/// one effect per device and action, complete.
pub async fn process<P: Ports>(message: &Message<'_>, processor: &Processor<P>) -> Disposition {
    let span =
        tracing::info_span!("request", instance_id = Empty, event_id = Empty, trace_id = Empty);
    let handled = AssertUnwindSafe(processor.handle(message)).catch_unwind().instrument(span);
    // Attempts are isolated by themselves. This is for everything around them: a panic must not
    // cost another message of the batch anything.
    handled.await.unwrap_or_else(|_| Disposition::RetryAfter {
        after: processor.flows.retry.max_interval,
        reason: Reason::new(Class::InternalError, PANICKED),
    })
}

const PANICKED: &str = "the worker panicked: the log has the place";

type Effects = BTreeMap<EffectKey, Effect>;

/// What an attempt is about: the request as it was claimed, and the message that brought it.
struct Job<'a> {
    request: &'a Request,
    flow: &'a Flow,
    claimed: &'a Claimed,
    message: &'a Message<'a>,
    /// How much of the retry budget was spent when the attempt began.
    spent: Duration,
}

/// Why an attempt did not end with everything done.
enum AttemptError {
    Failed(Failure),
    /// It failed, and the ledger says so.
    Completed(End),
    /// Another worker may be at it now: leave everything as it is.
    LeaseLost,
}

impl From<Failure> for AttemptError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<LeaseLost> for AttemptError {
    fn from(_: LeaseLost) -> Self {
        Self::LeaseLost
    }
}

impl From<LedgerError> for AttemptError {
    fn from(error: LedgerError) -> Self {
        Self::Failed(Failure::retry(Class::LedgerUnavailable, error))
    }
}

impl From<BadRequest> for AttemptError {
    fn from(bad: BadRequest) -> Self {
        Self::Failed(Failure::give_up(Class::InvalidMessage, bad))
    }
}

impl<P: Ports> Processor<P> {
    /// An attempt, and what the queue must do after it.
    async fn handle(&self, message: &Message<'_>) -> Disposition {
        let end = match self.isolated_attempt(message).await {
            Ok(()) => None,
            Err(AttemptError::LeaseLost) => {
                Some(self.end_unclaimed(Failure::retry(Class::LeaseHeld, LeaseLost), message))
            }
            Err(AttemptError::Completed(end)) => Some(end),
            Err(AttemptError::Failed(failure)) => Some(self.end_unclaimed(failure, message)),
        };
        let disposition = match end {
            None => Disposition::Done,
            Some(End::GiveUp { reason }) => self.dead_letter(message, reason).await,
            Some(End::Retry { after, reason }) => Disposition::RetryAfter { after, reason },
        };
        disposition.log(message);
        self.count(&disposition, message);
        disposition
    }

    fn count(&self, disposition: &Disposition, message: &Message<'_>) {
        let request = Request::parse(message.body).ok();
        let flow = request.and_then(|request| self.flow_of(&request).ok());
        let flow = ("flow", flow.map_or("none", |flow| flow.name.as_str()));
        let metric = match disposition {
            Disposition::Done => Metric::once("RequestsCompleted", &[flow]),
            Disposition::DeadLettered(reason) => {
                Metric::once("RequestsDeadLettered", &[flow, ("class", reason.class.as_str())])
            }
            // Nothing went wrong: it waits for its turn.
            Disposition::RetryAfter { reason, .. }
                if matches!(reason.class, Class::LeaseHeld | Class::DeadlineExceeded) =>
            {
                Metric::once("RequestsDeferred", &[flow, ("class", reason.class.as_str())])
            }
            Disposition::RetryAfter { reason, .. } => {
                Metric::once("RequestsRetried", &[flow, ("class", reason.class.as_str())])
            }
        };
        self.metrics.measure(&metric);
    }

    /// A panic and a hang end here: neither costs another message of the batch anything.
    async fn isolated_attempt(&self, message: &Message<'_>) -> Result<(), AttemptError> {
        let attempt = pin!(AssertUnwindSafe(self.attempt(message)).catch_unwind());
        let limit = pin!(self.clock.sleep(message.budget.abort_after.since(self.clock.now())));
        let text = match select(attempt, limit).await {
            Either::Left((Ok(result), _)) => return result,
            Either::Left((Err(_), _)) => PANICKED,
            Either::Right(_) => "the attempt did not end in its time",
        };
        Err(Failure::retry(Class::InternalError, text).into())
    }

    async fn attempt(&self, message: &Message<'_>) -> Result<(), AttemptError> {
        let request = Request::parse(message.body)?;
        let span = Span::current();
        span.record("instance_id", &request.instance_id);
        span.record("event_id", &request.event_id);
        if let Some(trace_id) = &request.trace_id {
            span.record("trace_id", trace_id.as_str());
        }
        let flow = self.flow_of(&request)?;
        let Some(claimed) = self.claim(&request, message).await? else {
            return Ok(());
        };
        let no_state = RetryState { ended_at: request.received_at, ..RetryState::default() };
        let state = claimed.retry.as_ref().unwrap_or(&no_state);
        let (policy, now) = (&self.flows.retry, self.clock.now());
        let spent = policy.spent(state, claimed.attempt, message.first_received, now);
        let job = Job { request: &request, flow, claimed: &claimed, message, spent };
        let mut attempt_record = AttemptRecord {
            flow: flow.name.clone(),
            effects: claimed.effects.clone(),
            has_waited: claimed.retry.is_some(),
            ..AttemptRecord::default()
        };
        let mut failed = claimed.failed();
        let result = self.carry_out(&job, &mut attempt_record, &mut failed).await;
        self.complete(&job, result, &attempt_record, failed).await
    }

    fn flow_of(&self, request: &Request) -> Result<&Flow, Failure> {
        self.flows.find(&request.source, &request.definition_id, request.decision).ok_or_else(
            || {
                let text = format!(
                    "no flow is configured for the approval {} of {} when it is {}",
                    request.definition_id, request.source, request.decision
                );
                Failure::give_up(Class::NotConfigured, text)
            },
        )
    }

    /// `None` when everything was done before.
    async fn claim(
        &self,
        request: &Request,
        message: &Message<'_>,
    ) -> Result<Option<Claimed>, AttemptError> {
        let now = self.clock.now();
        match self.ledger.claim(request, &message.lease, now).await? {
            Ok(claimed) => Ok(Some(claimed)),
            Err(ClaimError::Completed) => {
                self.ledger.file_event(request, now).await?;
                Ok(None)
            }
            Err(ClaimError::Held { until }) => {
                let text = "another worker is at it";
                Err(Failure::retry_after(Some(until.since(now)), Class::LeaseHeld, text).into())
            }
        }
    }

    /// Reads, plans and acts. The good devices are acted on, whatever is wrong with the others.
    async fn carry_out(
        &self,
        job: &Job<'_>,
        attempt_record: &mut AttemptRecord,
        failed: &mut BTreeSet<String>,
    ) -> Result<(), AttemptError> {
        let Job { request, flow, .. } = *job;
        // Attempts that end without a word are not tried for ever.
        let last_ended = job.claimed.retry.as_ref().map_or(0, |retry| retry.attempt);
        if job.claimed.attempt > last_ended.saturating_add(1)
            && self.flows.retry.is_spent(job.spent)
        {
            let text = "attempt after attempt ended without a result: the log has the reason";
            return Err(Failure::retry(Class::InternalError, text).into());
        }
        let circuits = self.peek(flow).await?;
        let instance = self.source.read_instance(&request.instance_id).await?;
        confirm(request, &instance)?;
        let plan = plan(flow, &instance, &self.targets)?;
        attempt_record.is_read = true;
        attempt_record.applicant.clone_from(&instance.applicant);
        attempt_record.form_number.clone_from(&instance.form_number);
        attempt_record.devices.extend(&plan.devices);
        if plan.random_mac > 0 {
            let devices = plan.random_mac;
            tracing::warn!(flow = flow.name, devices, "random MAC addresses were taken");
        }
        let effects = &mut attempt_record.effects;
        self.execute(job, plan, &circuits, &mut AttemptResult { effects, failed }).await
    }
}

/// Nothing is done unless the source itself says that the instance is approved, now.
fn confirm(request: &Request, instance: &Instance) -> Result<(), Failure> {
    if instance.definition_id != request.definition_id {
        let text = "the instance belongs to another approval than the message says";
        return Err(Failure::give_up(Class::NotApproved, text));
    }
    if instance.instance_id != request.instance_id {
        let text = "the source answered with another instance than the one asked for";
        return Err(Failure::give_up(Class::NotApproved, text));
    }
    if instance.status.confirms(request.decision) {
        return Ok(());
    }
    let text = format!(
        "the source says that the instance is {}, not {}",
        instance.status.as_str(),
        request.decision
    );
    // An event can be faster than the source's own reads.
    if instance.status == Status::Pending {
        return Err(Failure::retry(Class::NotApproved, text));
    }
    Err(Failure::give_up(Class::NotApproved, text))
}

impl Disposition {
    /// One line per receive, without content.
    fn log(&self, message: &Message<'_>) {
        let receive_count = message.receive_count;
        match self {
            Self::Done => tracing::info!(outcome = "done", receive_count, "request done"),
            Self::DeadLettered(reason) => tracing::error!(
                outcome = "dead_lettered",
                receive_count,
                class = reason.class.as_str(),
                reason = reason.text,
                "request sent to the dead-letter queue"
            ),
            Self::RetryAfter { after, reason } => tracing::warn!(
                outcome = "retry",
                receive_count,
                class = reason.class.as_str(),
                reason = reason.text,
                after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
                "request will be tried again"
            ),
        }
    }
}
