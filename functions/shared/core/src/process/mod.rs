//! The second use case: a queued request becomes effects, each done once.

mod admit;
mod effects;
mod end;
mod error;
mod execute;
mod grant_calls;
mod grant_due;
mod grants;
mod left;
mod limits;
mod plan;
mod sheets;
mod sweep;
mod withdraw;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use tracing::field::Empty;
use tracing::{Instrument, Span};

use self::admit::confirm;
use self::end::End;
use self::error::WorkerError;
use self::execute::AttemptResult;
use self::grants::PendingHolds;
use self::limits::Admitted;
pub use self::plan::{NOTHING_RECORDED, Plan, PlanInput, PlannedEffect, VALID_UNTIL, plan};
pub use self::sheets::read_sheets;
use crate::audit::AttemptRecord;
use crate::budget::AttemptBudget;
use crate::event::Decision;
use crate::failure::{Class, Failure, Reason};
use crate::flow::{Flow, Flows};
use crate::lease::{Lease, LeaseLost};
use crate::ledger::{ClaimError, Claimed, Effect, EffectKey};
use crate::metrics::{Metric, Metrics};
use crate::ports::{Claim, Clock, FileAudit, LedgerError, Ports, ReadInstance};
use crate::queued::Queued;
use crate::request::{BadRequest, Request, RequestKey};
use crate::retry::RetryState;
use crate::time::Timestamp;

/// One delivery of one queue message.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    pub body: &'a str,
    /// The number of deliveries, this one included.
    pub receive_count: u32,
    /// When the queue first delivered it.
    pub first_received: Timestamp,
    /// When the queue deletes it, if it does: 14 days after it was sent, on SQS.
    pub expires_at: Option<Timestamp>,
    /// The time budget of the attempt.
    pub budget: AttemptBudget,
    /// The lease to claim the request with. It outlives the worker that processes the message.
    pub lease: Lease,
}

/// The action for the queue after a message was processed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "the message stays in the queue or leaves it by this"]
pub enum Disposition {
    /// Delete it: every effect was done, now or before.
    Done,
    /// Delete it: no flow wants it, and it is counted.
    Unwanted,
    /// Delete it: the approval was withdrawn before all of it was carried out.
    Withdrawn(Reason),
    /// Delete it: it was about a grant, and what is left to do stands in the ledger.
    GrantDue,
    /// Delete it: it was about a person who left, and nothing is held for the person any more.
    PersonLeft,
    /// Delete it: it was about a sweep, which ended or is made up for by the next one.
    SweepDue,
    /// Delete it: it is in the dead-letter queue, for this reason.
    DeadLettered(Reason),
    /// Make it visible again, not before `after` from now.
    RetryAfter {
        /// The wait from now.
        after: Duration,
        /// The reason for the retry.
        reason: Reason,
    },
}

/// The dependencies of [`process`].
#[derive(Clone, Debug)]
pub struct Processor<P: Ports> {
    pub ledger: P::Ledger,
    /// The sources, the only authority on what was approved.
    pub source: P::Source,
    pub targets: P::Targets,
    /// The queue of these messages.
    pub queue: P::Queue,
    /// The dead-letter queue.
    pub dead_letters: P::DeadLetters,
    pub clock: P::Clock,
    /// The flows and the retry policy.
    pub flows: Flows,
    /// The recorder of metrics.
    pub metrics: Metrics,
}

/// Claims the request, reads and checks the instance at the source, extracts and validates the
/// form, performs one effect per subject and action, and completes the attempt.
pub async fn process<P: Ports>(message: &Message<'_>, processor: &Processor<P>) -> Disposition {
    let span = tracing::info_span!(
        "request",
        instance_id = Empty,
        event_id = Empty,
        trace_id = Empty,
        via = Empty
    );
    let handled = AssertUnwindSafe(processor.handle(message)).catch_unwind().instrument(span);
    // `isolated_attempt` catches panics of an attempt; this catches those of the code around it, so
    // that the other messages of the batch are processed.
    handled.await.unwrap_or_else(|_| Disposition::RetryAfter {
        after: processor.flows.retry.max_interval,
        reason: Reason::new(Class::InternalError, WorkerError::Panicked),
    })
}

type Effects = BTreeMap<EffectKey, Effect>;

/// The input of an attempt: the claimed request, and its message.
struct Job<'a> {
    request: &'a Request,
    key: RequestKey,
    flow: &'a Flow,
    claimed: &'a Claimed,
    message: &'a Message<'a>,
    /// The part of the retry budget that was spent when the attempt began.
    spent: Duration,
    pending: PendingHolds,
    /// The owners who may hold access, where it is not counted.
    admitted: Admitted,
}

/// The result of an attempt without work left.
enum Attempted {
    Done,
    /// No flow wants the request.
    Unwanted,
    GrantDue,
    PersonLeft,
    SweepDue,
}

/// The reason for which an attempt ended with work left.
enum AttemptError {
    Failed(Failure),
    /// It failed, and the ledger has recorded that.
    Completed(End),
    /// Another worker may hold the lease now: change nothing.
    LeaseLost,
}

impl AttemptError {
    /// Whether the source says that the approval was withdrawn.
    const fn is_withdrawal(&self) -> bool {
        matches!(self, Self::Failed(failure) if matches!(failure.reason().class, Class::Withdrawn))
    }
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
    /// Runs an attempt, and returns the action for the queue.
    async fn handle(&self, message: &Message<'_>) -> Disposition {
        let end = match self.isolated_attempt(message).await {
            Ok(Attempted::Done) => Err(Disposition::Done),
            Ok(Attempted::Unwanted) => Err(Disposition::Unwanted),
            Ok(Attempted::GrantDue) => Err(Disposition::GrantDue),
            Ok(Attempted::PersonLeft) => Err(Disposition::PersonLeft),
            Ok(Attempted::SweepDue) => Err(Disposition::SweepDue),
            Err(AttemptError::LeaseLost) => {
                Ok(self.end_unclaimed(Failure::retry(Class::LeaseHeld, LeaseLost), message))
            }
            Err(AttemptError::Completed(end)) => Ok(end),
            Err(AttemptError::Failed(failure)) => Ok(self.end_unclaimed(failure, message)),
        };
        let end = end.and_then(|end| self.end_of_sweep(message, &end).map_or(Ok(end), Err));
        let disposition = match end {
            Err(over) => over,
            Ok(End::Withdrawn { reason }) => Disposition::Withdrawn(reason),
            // What is due stands in the ledger: the next tick makes the next message.
            Ok(End::GiveUp { reason }) if is_about_a_grant(message) => {
                tracing::error!(reason = reason.cause.text, "a message about a grant is dropped");
                Disposition::GrantDue
            }
            Ok(End::GiveUp { reason }) => self.dead_letter(message, reason).await,
            Ok(End::Retry { after, reason }) => Disposition::RetryAfter { after, reason },
        };
        disposition.log(message);
        self.count(&disposition, message);
        disposition
    }

    fn count(&self, disposition: &Disposition, message: &Message<'_>) {
        // It has metrics of its own.
        if matches!(Queued::parse(message.body), Ok(Queued::SweepDue(_))) {
            return;
        }
        let request = Request::parse(message.body).ok();
        let flow = request.as_ref().and_then(|request| self.flow_of(request));
        let flow = ("flow", flow.map_or("none", |flow| flow.name.as_str()));
        let metric = match disposition {
            Disposition::Unwanted => Metric::once("RequestsUnwanted", &[]),
            // Its metrics are those of its grant.
            Disposition::GrantDue | Disposition::SweepDue => return,
            Disposition::PersonLeft => Metric::once("PersonsLeft", &[]),
            Disposition::Done => Metric::once("RequestsCompleted", &[flow]),
            Disposition::Withdrawn(_) => Metric::once("RequestsWithdrawn", &[flow]),
            Disposition::DeadLettered(reason) => {
                Metric::once("RequestsDeadLettered", &[flow, ("class", reason.class.as_str())])
            }
            // No failure: the request waits for a lease or for time.
            Disposition::RetryAfter { reason, .. }
                if matches!(
                    reason.class,
                    Class::LeaseHeld | Class::GrantHeld | Class::DeadlineExceeded
                ) =>
            {
                Metric::once("RequestsDeferred", &[flow, ("class", reason.class.as_str())])
            }
            Disposition::RetryAfter { reason, .. } => {
                Metric::once("RequestsRetried", &[flow, ("class", reason.class.as_str())])
            }
        };
        self.metrics.measure(&metric);
    }

    /// Ends an attempt that panics or does not return in its time.
    async fn isolated_attempt(&self, message: &Message<'_>) -> Result<Attempted, AttemptError> {
        let attempt = pin!(AssertUnwindSafe(self.attempt(message)).catch_unwind());
        let limit = pin!(self.clock.sleep(message.budget.abort_after.since(self.clock.now())));
        let error = match select(attempt, limit).await {
            Either::Left((Ok(result), _)) => return result,
            Either::Left((Err(_), _)) => WorkerError::Panicked,
            Either::Right(_) => WorkerError::Hung,
        };
        Err(Failure::retry(Class::InternalError, error).into())
    }

    async fn attempt(&self, message: &Message<'_>) -> Result<Attempted, AttemptError> {
        let request = match Queued::parse(message.body)? {
            Queued::Decision(request) => request,
            Queued::GrantDue(due) => {
                Span::current().record("trace_id", due.trace_id.as_str());
                self.grant_due(&due, message).await?;
                return Ok(Attempted::GrantDue);
            }
            Queued::PersonLeft(left) => {
                Span::current().record("trace_id", left.trace_id.as_str());
                self.person_left(&left, message).await?;
                return Ok(Attempted::PersonLeft);
            }
            Queued::SweepDue(due) => {
                Span::current().record("trace_id", due.trace_id.as_str());
                self.sweep(&due, message).await?;
                return Ok(Attempted::SweepDue);
            }
        };
        let span = Span::current();
        span.record("instance_id", &request.instance_id);
        span.record("event_id", &request.event_id);
        span.record("via", request.via.as_str());
        if let Some(trace_id) = &request.trace_id {
            span.record("trace_id", trace_id.as_str());
        }
        let Some(flow) = self.wanted_flow(&request, message).await? else {
            return Ok(Attempted::Unwanted);
        };
        let Some(claimed) = self.claim(&request, message).await? else {
            return Ok(Attempted::Done);
        };
        let no_state = RetryState { ended_at: request.received_at, ..RetryState::default() };
        let state = claimed.retry.as_ref().unwrap_or(&no_state);
        let (policy, now) = (&self.flows.retry, self.clock.now());
        let spent = policy.spent(state, claimed.attempt, message.first_received, now);
        let pending = PendingHolds::left_by(claimed.retry.as_ref());
        let (key, claimed) = (request.key(), &claimed);
        let admitted = Admitted::default();
        let job = Job { request: &request, key, flow, claimed, message, spent, pending, admitted };
        let mut attempt_record = AttemptRecord {
            flow: flow.name.clone(),
            effects: claimed.effects.clone(),
            has_waited: claimed.retry.is_some(),
            ..AttemptRecord::default()
        };
        let mut failed = claimed.failed();
        let result = self.carry_out(&job, &mut attempt_record, &mut failed).await;
        self.complete(&job, result, &attempt_record, failed).await?;
        Ok(Attempted::Done)
    }

    /// `None` when the request is completed already.
    async fn claim(
        &self,
        request: &Request,
        message: &Message<'_>,
    ) -> Result<Option<Claimed>, AttemptError> {
        let now = self.clock.now();
        match self.ledger.claim(request, &message.lease, now).await? {
            Ok(claimed) => Ok(Some(claimed)),
            Err(ClaimError::Completed) => {
                self.check_revoked(request).await?;
                self.ledger.file_event(request, now).await?;
                Ok(None)
            }
            Err(ClaimError::Held { until }) => {
                let (after, error) = (until.since(now), WorkerError::LeaseHeld);
                Err(Failure::retry_after(Some(after), Class::LeaseHeld, error).into())
            }
        }
    }

    /// Reads the instance, plans and executes. Problems of some subjects do not keep the others
    /// from being acted on.
    async fn carry_out(
        &self,
        job: &Job<'_>,
        attempt_record: &mut AttemptRecord,
        failed: &mut BTreeSet<String>,
    ) -> Result<(), AttemptError> {
        let Job { request, flow, .. } = *job;
        if request.decision() == Decision::Revoked {
            return self.withdraw(job, attempt_record).await;
        }
        // Attempts that crash leave no state: their number bounds them.
        let last_ended = job.claimed.retry.as_ref().map_or(0, |retry| retry.attempt);
        if job.claimed.attempt > last_ended.saturating_add(1)
            && self.flows.retry.is_spent(job.spent)
        {
            return Err(Failure::retry(Class::InternalError, WorkerError::NoResult).into());
        }
        let circuits = self.peek(flow).await?;
        let mut instance = self.source.read_instance(request).await?;
        if let Some(revoked) = &instance.revokes {
            confirm(request, &instance)?;
            attempt_record.see(&instance);
            return self.enqueue_revocation(request, revoked).await;
        }
        if let Err(not_admitted) = self.admit(job, &instance).await {
            if not_admitted.is_withdrawal() {
                attempt_record.see(&instance);
                let recorded = job.claimed.grants();
                self.end_holds(job, instance, &recorded, attempt_record).await?;
            }
            return Err(not_admitted);
        }
        read_sheets(flow, &mut instance.form, &self.source).await?;
        let (event_id, received_at) = (request.event_id.as_str(), request.received_at);
        let (now, recorded) = (self.clock.now(), &job.claimed.effects);
        let input = PlanInput { event_id, received_at, now, recorded };
        let plan = plan(flow, &instance, input, &self.targets)?;
        attempt_record.see(&instance);
        attempt_record.subjects.clone_from(&plan.subjects);
        let owners = plan.effects.iter().filter(|effect| effect.owner != instance.applicant);
        attempt_record.owners = owners.map(|effect| (effect.key(), effect.owner.clone())).collect();
        if let Some(warning) = plan.warnings.first() {
            let subjects = plan.warnings.len();
            tracing::warn!(flow = flow.name, subjects, %warning, "subjects were accepted");
        }
        let effects = &mut attempt_record.effects;
        self.execute(job, &plan, &circuits, &mut AttemptResult { effects, failed }).await
    }
}

fn is_about_a_grant(message: &Message<'_>) -> bool {
    matches!(Queued::parse(message.body), Ok(Queued::GrantDue(_)))
}

impl Disposition {
    /// Logs one line per delivery, without content.
    fn log(&self, message: &Message<'_>) {
        let receive_count = message.receive_count;
        match self {
            Self::Done => tracing::info!(outcome = "done", receive_count, "request done"),
            Self::Unwanted => {
                tracing::info!(outcome = "unwanted", receive_count, "no flow wants the request");
            }
            Self::GrantDue => {
                tracing::debug!(outcome = "grant_due", receive_count, "message about a grant done");
            }
            Self::PersonLeft => {
                let outcome = "person_left";
                tracing::info!(outcome, receive_count, "message about a person done");
            }
            Self::SweepDue => {
                tracing::debug!(outcome = "sweep_due", receive_count, "message about a sweep done");
            }
            Self::Withdrawn(reason) => tracing::info!(
                outcome = "withdrawn",
                receive_count,
                class = reason.class.as_str(),
                reason = reason.cause.text,
                "the approval no longer holds what it asked for"
            ),
            Self::DeadLettered(reason) => tracing::error!(
                outcome = "dead_lettered",
                receive_count,
                class = reason.class.as_str(),
                reason = reason.cause.text,
                "request sent to the dead-letter queue"
            ),
            Self::RetryAfter { after, reason } => tracing::warn!(
                outcome = "retry",
                receive_count,
                class = reason.class.as_str(),
                reason = reason.cause.text,
                after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
                "request will be tried again"
            ),
        }
    }
}
