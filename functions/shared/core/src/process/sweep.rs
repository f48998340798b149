//! Enqueues approvals that the office system lists, and that the ledger does not have.

use std::time::Duration;

use super::end::End;
use super::error::WorkerError;
use super::{AttemptError, Disposition, Message, Processor};
use crate::event::Decision;
use crate::failure::{Class, Failure, Reason};
use crate::instance::{Instance, Status};
use crate::lease::LeaseId;
use crate::metrics::Metric;
use crate::ports::{
    Clock, Enqueue, KeepSweeps, LedgerError, ListInstances, Listed, Ports, ReadInstance,
    ReadRequest,
};
use crate::queued::{Queued, SweepDue};
use crate::request::{Request, RequestKey, Via};
use crate::sweep::{Begun, Pace, Seen, SeenState, Step, Sweep, SweepKey, next_month};
use crate::time::Timestamp;

/// The most instances that are looked at between two writes of the record.
const AT_ONCE: usize = 20;

/// A sweep ends when so many instances in a row cannot be read: then it is the office system that
/// does not answer.
const FAILURES_IN_A_ROW: u32 = 3;

/// The reads of instances in one sweep.
#[derive(Clone, Copy, Debug, Default)]
struct Reads {
    succeeded: u32,
    failed: u32,
    failed_in_a_row: u32,
}

/// What came of reading an instance.
enum Read {
    Instance(Instance),
    /// It may be read later.
    Later,
    /// A retry would get the same answer.
    Never,
}

/// One sweep under its lease.
#[derive(Clone, Copy)]
struct Sweeping<'a> {
    key: &'a SweepKey,
    pace: Pace,
    lease_id: &'a LeaseId,
    /// When it began.
    now: Timestamp,
    /// Whether an instance that it lists anew may be an old one: in the first pass, and where
    /// instances were forgotten.
    lists_old: bool,
    /// Approvals that ended before are not enqueued.
    since: Timestamp,
    /// The calls that it may make in this month.
    allowed: Option<u32>,
    /// Whether a revocation of what it enqueues would end access.
    is_watched: bool,
    no_new_calls_after: Timestamp,
}

impl<P: Ports> Processor<P> {
    /// Lists what is new, reads again what is open, and enqueues what the ledger lacks.
    pub(super) async fn sweep(
        &self,
        due: &SweepDue,
        message: &Message<'_>,
    ) -> Result<(), AttemptError> {
        let (key, now) = (due.key(), self.clock.now());
        let flow = self.flows.find(&key.source, &key.definition_id);
        let Some((flow, pace)) = flow.zip(self.source.pace(&key.source)) else {
            return Ok(());
        };
        let acquire = |it: Sweep| it.begin(&message.lease, &pace, due.made_at, now);
        let (record, begun) = self.ledger.change_sweep(key, acquire).await?;
        match begun {
            Begun::Pass(_) => {}
            Begun::Replaced => return Ok(()),
            Begun::Paused => {
                self.metrics.measure(&Metric::once("SweepsFailed", &[("source", &key.source)]));
                return Ok(());
            }
            Begun::Held { until } => {
                let (after, error) = (Some(until.since(now)), WorkerError::SweepHeld);
                return Err(Failure::retry_after(after, Class::LeaseHeld, error).into());
            }
        }
        let of_source = self.flows.flows.iter().filter(|flow| flow.source == key.source).count();
        let sweeping = Sweeping {
            key,
            pace,
            lease_id: &message.lease.id,
            now,
            lists_old: record.is_first_pass(),
            since: record.since,
            allowed: pace.calls_for_one_of(of_source),
            is_watched: self.grants_access(flow),
            no_new_calls_after: message.budget.no_new_calls_after,
        };
        match self.sweep_all(&sweeping, record).await {
            Ok(reads) => {
                let end = |it: Sweep| (it.end(sweeping.lease_id, &pace, self.clock.now()), ());
                let (record, ()) = self.ledger.change_sweep(key, end).await?;
                let (source, definition_id) = (&key.source, &key.definition_id);
                tracing::info!(source, definition_id, open = record.open(), "swept");
                let is_blind = reads.succeeded == 0 && reads.failed >= FAILURES_IN_A_ROW;
                if is_blind {
                    let failed = reads.failed;
                    tracing::error!(source, definition_id, failed, "no instance can be read");
                }
                let metric = if is_blind { "SweepsFailed" } else { "Sweeps" };
                self.metrics.measure(&Metric::once(metric, &[("source", &key.source)]));
                Ok(())
            }
            Err(AttemptError::Failed(failure)) if failure.reason().class == Class::QuotaUsedUp => {
                self.pause_sweeps(&sweeping, failure.reason()).await
            }
            Err(error) => {
                let leave = |it: Sweep| (it.leave(sweeping.lease_id, None), ());
                if let Err(error) = self.ledger.change_sweep(key, leave).await {
                    tracing::warn!(%error, "the lease of the sweep was not released");
                }
                Err(error)
            }
        }
    }

    /// Pauses the sweeps until the month ends, a day at most.
    async fn pause_sweeps(
        &self,
        sweeping: &Sweeping<'_>,
        reason: &Reason,
    ) -> Result<(), AttemptError> {
        let now = self.clock.now();
        let until = next_month(now).min(now.plus(sweeping.pace.far_every));
        let leave = |it: Sweep| (it.leave(sweeping.lease_id, Some(until)), ());
        self.ledger.change_sweep(sweeping.key, leave).await?;
        let source = &sweeping.key.source;
        let seconds = until.since(now).as_secs();
        tracing::error!(source, seconds, reason = reason.cause.text, "sweeps paused");
        self.metrics.measure(&Metric::once("SweepsFailed", &[("source", source)]));
        Ok(())
    }

    async fn sweep_all(
        &self,
        sweeping: &Sweeping<'_>,
        mut record: Sweep,
    ) -> Result<Reads, AttemptError> {
        let mut reads = Reads::default();
        while let Some(window) = record.next_window(sweeping.pace.window) {
            self.check_sweep(sweeping, &record, 0)?;
            let listed_until = window.end;
            let may_be_forgotten = record.has_forgotten && window.start < record.since;
            let lists_old = sweeping.lists_old || may_be_forgotten;
            let sweeping = &Sweeping { lists_old, ..*sweeping };
            let listed = match self.source.list_created(sweeping.key, window).await {
                Ok(listed) => listed,
                Err(failure) => {
                    // At least one call was made.
                    self.record_step(sweeping, Step { calls: 1, ..Step::default() }).await?;
                    return Err(failure.into());
                }
            };
            let Listed { mut ids, calls } = listed;
            // A list that changes between two pages has an instance twice.
            ids.sort_unstable();
            ids.dedup();
            ids.retain(|id| !record.instances.contains_key(id));
            let mut step = Step { calls, ..Step::default() };
            for ids in ids.chunks(AT_ONCE) {
                let step = std::mem::take(&mut step);
                record = self.look_at_instances(sweeping, record, ids, step, &mut reads).await?;
            }
            let step = Step { listed_until: Some(listed_until), ..step };
            record = self.record_step(sweeping, step).await?;
        }
        loop {
            let due = record.due(sweeping.now, AT_ONCE);
            if due.is_empty() {
                return Ok(reads);
            }
            let step = Step::default();
            record = self.look_at_instances(sweeping, record, &due, step, &mut reads).await?;
        }
    }

    /// Whether there is time for another call, and the office system allows it.
    /// `calls` are those that are not recorded yet.
    fn check_sweep(
        &self,
        sweeping: &Sweeping<'_>,
        record: &Sweep,
        calls: u32,
    ) -> Result<(), Failure> {
        let now = self.clock.now();
        if now >= sweeping.no_new_calls_after {
            let (after, error) = (Some(Duration::ZERO), WorkerError::OutOfTime);
            return Err(Failure::retry_after(after, Class::DeadlineExceeded, error));
        }
        match sweeping.allowed {
            Some(allowed) if record.calls.at(now).saturating_add(calls) >= allowed => {
                let error = WorkerError::SweepCallsUsedUp { allowed };
                Err(Failure::retry(Class::QuotaUsedUp, error))
            }
            _ => Ok(()),
        }
    }

    /// Looks at these instances, and records what was seen together with `step`, also when one of
    /// them fails.
    async fn look_at_instances(
        &self,
        sweeping: &Sweeping<'_>,
        record: Sweep,
        ids: &[String],
        mut step: Step,
        reads: &mut Reads,
    ) -> Result<Sweep, AttemptError> {
        let mut result = Ok(());
        for id in ids {
            let seen = match self.check_sweep(sweeping, &record, step.calls) {
                Ok(()) => {
                    let before = record.instances.get(id);
                    self.look_at_instance(sweeping, id, before, &mut step, reads).await
                }
                Err(failure) => Err(failure.into()),
            };
            match seen {
                Ok(seen) => drop(step.seen.insert(id.clone(), seen)),
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        let record = self.record_step(sweeping, step).await?;
        result.map(|()| record)
    }

    async fn record_step(
        &self,
        sweeping: &Sweeping<'_>,
        step: Step,
    ) -> Result<Sweep, AttemptError> {
        let now = self.clock.now();
        let record = |it: Sweep| it.saw(sweeping.lease_id, &step, now);
        let (record, recorded) = self.ledger.change_sweep(sweeping.key, record).await?;
        recorded?;
        Ok(record)
    }

    /// What is to be remembered of an instance; `None` if the ledger has it.
    async fn look_at_instance(
        &self,
        sweeping: &Sweeping<'_>,
        id: &str,
        before: Option<&Seen>,
        step: &mut Step,
        reads: &mut Reads,
    ) -> Result<Option<Seen>, AttemptError> {
        let SweepKey { source, definition_id } = sweeping.key;
        let (pace, now) = (&sweeping.pace, self.clock.now());
        let since = before.map_or(now, |seen| seen.since);
        if self.has_request(sweeping.key, id, Decision::Approved).await? {
            return match before {
                _ if !sweeping.is_watched => Ok(None),
                Some(seen) if pace.watches(seen.since, now) => {
                    self.look_for_revocation(sweeping, id, seen, step, reads).await
                }
                // A crash before the record, or a replay: it is watched from now on.
                None if pace.is_arrival => Ok(Some(Seen::enqueued(now, pace, now))),
                _ => Ok(None),
            };
        }
        let request = Request::about(source, definition_id, id, Decision::Approved, now);
        let Ok(request) = request else {
            tracing::error!(source, definition_id, "the list has an invalid id");
            return Ok(Some(Seen::settled(since)));
        };
        step.calls += pace.calls_per_read;
        let instance = match self.read_listed(&request, reads).await? {
            Read::Instance(instance) => instance,
            // The worker makes a dead letter of it, which says why.
            Read::Never if before.is_some_and(|seen| seen.is_unread_for(pace.far_every, now)) => {
                self.enqueue_missing(&Request { via: pace.via(), ..request }, step).await?;
                return Ok(Some(Seen::enqueued(since, pace, now)));
            }
            Read::Never if before.is_some_and(Seen::is_open) => {
                let next = pace.read_again_at(now, now);
                return Ok(Some(Seen::unread(now, next, false)));
            }
            Read::Never | Read::Later => {
                let next = pace.read_again_at(since, now);
                let unread = || Seen::unread(since, next, sweeping.lists_old);
                return Ok(Some(before.map_or_else(unread, |seen| seen.postponed(next))));
            }
        };
        let may_be_old = match before.map(|seen| &seen.state) {
            None => sweeping.lists_old,
            Some(SeenState::Unread { may_be_old, .. }) => *may_be_old,
            Some(_) => false,
        };
        let seen = match sweeping.judge(&instance, since, may_be_old, now) {
            Judged::Settled => Seen::settled(since),
            Judged::Open { next } => Seen::open(since, next),
            Judged::Missing => {
                self.enqueue_missing(&Request { via: pace.via(), ..request }, step).await?;
                Seen::enqueued(if pace.is_arrival { now } else { since }, pace, now)
            }
        };
        Ok(Some(seen))
    }

    /// Looks once a day whether an approval was revoked, where no event says so.
    async fn look_for_revocation(
        &self,
        sweeping: &Sweeping<'_>,
        id: &str,
        seen: &Seen,
        step: &mut Step,
        reads: &mut Reads,
    ) -> Result<Option<Seen>, AttemptError> {
        let SweepKey { source, definition_id } = sweeping.key;
        let now = self.clock.now();
        if self.has_request(sweeping.key, id, Decision::Revoked).await? {
            return Ok(None);
        }
        let request = Request::about(source, definition_id, id, Decision::Revoked, now)?;
        step.calls += sweeping.pace.calls_per_read;
        if let Read::Instance(Instance { status: Status::Revoked, .. }) =
            self.read_listed(&request, reads).await?
        {
            self.enqueue_missing(&Request { via: Via::Poll, ..request }, step).await?;
        }
        Ok(Some(Seen::enqueued(seen.since, &sweeping.pace, now)))
    }

    /// Reads an instance. One that cannot be read keeps no other one waiting.
    ///
    /// # Errors
    /// [`Failure`] when the calls of this month are used up, or [`FAILURES_IN_A_ROW`] instances
    /// could not be read for reasons that are not theirs.
    async fn read_listed(&self, request: &Request, reads: &mut Reads) -> Result<Read, Failure> {
        let failure = match self.source.read_instance(request).await {
            Ok(instance) => {
                reads.succeeded += 1;
                reads.failed_in_a_row = 0;
                return Ok(Read::Instance(instance));
            }
            Err(failure) => failure,
        };
        let Request { source, instance_id, .. } = request;
        let reason = failure.reason();
        let reason_text = reason.cause.text.as_str();
        tracing::warn!(source, instance_id, reason = reason_text, "an instance cannot be read");
        reads.failed += 1;
        let is_of_this = reason.class == Class::SourceRejected;
        reads.failed_in_a_row = if is_of_this { 0 } else { reads.failed_in_a_row + 1 };
        let is_of_all =
            reason.class == Class::QuotaUsedUp || reads.failed_in_a_row >= FAILURES_IN_A_ROW;
        match failure {
            _ if is_of_all => Err(failure),
            Failure::GiveUp { .. } => Ok(Read::Never),
            Failure::Retry { .. } => Ok(Read::Later),
        }
    }

    async fn has_request(
        &self,
        key: &SweepKey,
        id: &str,
        decision: Decision,
    ) -> Result<bool, LedgerError> {
        let key = RequestKey::of(&key.source, &key.definition_id, id, decision);
        Ok(self.ledger.is_done(&key).await?.is_some())
    }

    /// Enqueues what the ledger lacks. If its event was lost, it is a finding, which is counted.
    async fn enqueue_missing(
        &self,
        request: &Request,
        step: &mut Step,
    ) -> Result<(), AttemptError> {
        let enqueued = self.queue.enqueue(request).await;
        enqueued.map_err(|error| Failure::retry(Class::InternalError, error))?;
        let Request { source, instance_id, via, .. } = request;
        let via = via.as_str();
        if request.via == Via::Sweep {
            step.found += 1;
            tracing::error!(source, instance_id, via, "an approval without an event: enqueued");
            self.metrics.measure(&Metric::once("SweepFindings", &[("source", source)]));
        } else {
            tracing::info!(source, instance_id, via, "approval enqueued");
        }
        Ok(())
    }

    /// How the message of a sweep ends whose retry would come after the next sweep; `None` if it is
    /// retried.
    pub(super) fn end_of_sweep(&self, message: &Message<'_>, end: &End) -> Option<Disposition> {
        let Ok(Queued::SweepDue(due)) = Queued::parse(message.body) else { return None };
        let source = due.key().source.as_str();
        let every = self.source.pace(source).map(|pace| pace.every).unwrap_or_default();
        let reason = match end {
            End::Retry { after, .. } if self.clock.now().plus(*after) < due.made_at.plus(every) => {
                return None;
            }
            End::Retry { reason, .. } | End::GiveUp { reason } | End::Withdrawn { reason } => {
                reason
            }
        };
        // The lease is held by a worker that sweeps.
        if reason.class != Class::LeaseHeld && reason.class != Class::DeadlineExceeded {
            let reason = reason.cause.text.as_str();
            tracing::error!(source, reason, "a sweep failed: the next one continues it");
            self.metrics.measure(&Metric::once("SweepsFailed", &[("source", source)]));
        }
        Some(Disposition::SweepDue)
    }
}

/// The result for an instance that the ledger lacks.
enum Judged {
    /// Of no use.
    Settled,
    /// To be read again.
    Open {
        /// When.
        next: Timestamp,
    },
    /// Approved, and its event did not arrive.
    Missing,
}

impl Sweeping<'_> {
    /// `may_be_old` counts where the office system does not say when an approval ended.
    fn judge(
        &self,
        instance: &Instance,
        since: Timestamp,
        may_be_old: bool,
        now: Timestamp,
    ) -> Judged {
        if instance.definition_id != self.key.definition_id {
            return Judged::Settled;
        }
        match instance.status {
            Status::Refused | Status::Revoked => return Judged::Settled,
            Status::Pending | Status::Unknown => {
                return Judged::Open { next: self.pace.read_again_at(since, now) };
            }
            Status::Approved => {}
        }
        let ended_before = instance.ended_at.map_or(may_be_old, |ended_at| ended_at < self.since);
        if ended_before {
            if instance.ended_at.is_none() {
                let Self { key: SweepKey { source, .. }, .. } = self;
                let instance_id = &instance.instance_id;
                tracing::warn!(source, instance_id, "not carried out: it may have ended before");
            }
            return Judged::Settled;
        }
        let arrives_until = instance.ended_at.unwrap_or(since).plus(self.pace.grace());
        if now < arrives_until {
            return Judged::Open { next: arrives_until };
        }
        Judged::Missing
    }
}
