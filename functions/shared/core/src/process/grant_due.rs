//! What is due about a grant: holds end with their time or their approval, and access that nothing
//! holds is removed.

use std::time::Duration;

use super::error::WorkerError;
use super::grants::changed_nothing;
use super::{AttemptError, Message, Processor};
use crate::event::Decision;
use crate::failure::{Class, Failure};
use crate::grant::{EndReason, GrantKey, GrantRecord, HoldId, Outcome, Phase, Removal};
use crate::instance::{Instance, Status};
use crate::ledger::LeaseId;
use crate::metrics::Metric;
use crate::ports::{Call, Clock, KeepGrants, Ports, ReadInstance};
use crate::queued::GrantDue;
use crate::request::Request;
use crate::subject::Subject;

/// The removal of an access, with the lease of its grant.
struct RemovalCall<'a> {
    key: &'a GrantKey,
    subject: &'a Subject,
    generation: u64,
    lease_id: &'a LeaseId,
}

impl<P: Ports> Processor<P> {
    /// Does what is due about a grant. Everything that is left stands in the ledger, so that the
    /// next tick makes the next message.
    pub(super) async fn grant_due(
        &self,
        due: &GrantDue,
        message: &Message<'_>,
    ) -> Result<(), AttemptError> {
        let (key, now) = (due.key(), self.clock.now());
        let expire = |record: GrantRecord| (record.expire(now), ());
        let (record, ()) = self.ledger.change_grant(key, expire).await?;
        let record = self.confirm_holds(key, record).await?;
        if record.phase() != Phase::Ending {
            return Ok(());
        }
        match self.remove(key, &record, due, message).await? {
            Ok(()) => Ok(()),
            Err(failure) => self.removal_failed(key, &failure).await,
        }
    }

    /// Asks the sources of the holds that were not confirmed for long: the message about a
    /// withdrawal can be lost.
    async fn confirm_holds(
        &self,
        key: &GrantKey,
        mut record: GrantRecord,
    ) -> Result<GrantRecord, AttemptError> {
        let now = self.clock.now();
        let live = record.holds.iter().filter(|(_, hold)| hold.is_live());
        let due: Vec<_> = live.filter(|(_, hold)| hold.confirm_at() <= now).collect();
        let due: Vec<_> = due.into_iter().map(|(id, hold)| (id.clone(), hold.clone())).collect();
        for (id, hold) in due {
            let is_withdrawn = match self.read_approval(&id).await {
                Some(Ok(instance)) => instance.status == Status::Revoked,
                // The source cannot be reached now: the next tick asks again.
                Some(Err(Failure::Retry { reason, .. })) => {
                    tracing::warn!(target = key.target, %reason, "a hold was not confirmed");
                    continue;
                }
                // It cannot be read: that is no withdrawal.
                Some(Err(Failure::GiveUp { reason })) => {
                    tracing::warn!(target = key.target, %reason, "a hold cannot be confirmed");
                    false
                }
                None => false,
            };
            let change = |record: GrantRecord| {
                let record = if is_withdrawn && !hold.terms.outlives_approval {
                    record.end(&id, EndReason::Withdrawn, now)
                } else {
                    record.confirm(&id, now)
                };
                (record, ())
            };
            if is_withdrawn {
                tracing::warn!(target = key.target, "an approval was withdrawn without a message");
                self.metrics.measure(&Metric::once("WithdrawalsFound", &[]));
            }
            (record, ()) = self.ledger.change_grant(key, change).await?;
        }
        Ok(record)
    }

    /// The approval of a hold, as its source has it now; `None` if no approval holds.
    async fn read_approval(&self, hold: &HoldId) -> Option<Result<Instance, Failure>> {
        let (source, definition_id, instance_id) = hold.approval()?;
        let now = self.clock.now();
        let request = Request::about(source, definition_id, instance_id, Decision::Approved, now);
        let request = request.ok()?;
        let instance = self.source.read_instance(&request).await;
        Some(instance.and_then(|instance| {
            if instance.instance_id == instance_id && instance.definition_id == definition_id {
                return Ok(instance);
            }
            Err(Failure::give_up(Class::NotApproved, WorkerError::OtherInstance))
        }))
    }

    /// Removes the access, if nothing holds it, under the lease of the grant.
    async fn remove(
        &self,
        key: &GrantKey,
        record: &GrantRecord,
        due: &GrantDue,
        message: &Message<'_>,
    ) -> Result<Result<(), Failure>, AttemptError> {
        let Some(subject) = Subject::of_key(&key.subject) else {
            let error = WorkerError::NoSuchSubject { target: key.target.clone() };
            return Ok(Err(Failure::give_up(Class::NotConfigured, error)));
        };
        if record.revoked_by.is_empty() {
            let error = WorkerError::NoRemoval { target: key.target.clone() };
            return Ok(Err(Failure::give_up(Class::NotConfigured, error)));
        }
        let lease = &message.lease;
        if let Err(failure) = self.lock(&key.target, lease).await? {
            return Ok(Err(failure));
        }
        let now = self.clock.now();
        let begin = |record: GrantRecord| record.begin_removal(lease, now);
        let (record, removal) = self.ledger.change_grant(key, begin).await?;
        let result = match removal {
            Removal::StillHeld | Removal::NothingToDo => Ok(()),
            // Nothing was tried: this is no failed removal.
            Removal::Wait { until } => {
                let wait = |record: GrantRecord| (record.postpone(now, until), ());
                self.ledger.change_grant(key, wait).await?;
                Ok(())
            }
            Removal::Call { generation } => {
                let (subject, lease_id) = (&subject, &lease.id);
                let removal = RemovalCall { key, subject, generation, lease_id };
                self.call_removal(&removal, &record, due, message).await?
            }
        };
        self.unlock(&key.target, &lease.id).await;
        Ok(result)
    }

    async fn call_removal(
        &self,
        removal: &RemovalCall<'_>,
        record: &GrantRecord,
        due: &GrantDue,
        message: &Message<'_>,
    ) -> Result<Result<(), Failure>, AttemptError> {
        let RemovalCall { key, subject, generation, lease_id } = *removal;
        // The same in every attempt at this removal.
        let job = format!("{key}/{}", record.last_change());
        let no_values = serde_json::Map::new();
        let call = |operation| Call {
            job: &job,
            target: &key.target,
            operation,
            subject: Some(subject),
            variables: &no_values,
            trace_id: Some(&due.trace_id),
            deadline: message.budget.no_new_calls_after,
        };
        let calls: Vec<_> = record.revoked_by.iter().map(|operation| call(operation)).collect();
        let result = self.call_all(&calls, &key.target, lease_id).await?;
        let outcome = match &result {
            Ok(()) => Outcome::Revoked,
            Err(failure) if changed_nothing(failure) && calls.len() == 1 => Outcome::Unchanged,
            Err(_) => Outcome::Unknown,
        };
        let now = self.clock.now();
        let settle =
            |record: GrantRecord| record.settle(lease_id, generation, outcome.clone(), now);
        let (record, settled) = self.ledger.change_grant(key, settle).await?;
        settled?;
        if result.is_ok() {
            let late = now.since(record.last_change());
            let labels = [("target", key.target.as_str())];
            tracing::info!(target = key.target, subject = subject.masked(), "access removed");
            self.metrics.measure(&Metric::once("GrantsEnded", &labels));
            self.metrics.measure(&Metric::took("EndToRemovalLatency", late, &labels));
        }
        Ok(result)
    }

    /// Records that a removal failed, with the time of the next attempt. It is never given up.
    async fn removal_failed(&self, key: &GrantKey, failure: &Failure) -> Result<(), AttemptError> {
        let asked = match failure {
            Failure::Retry { after, .. } => *after,
            Failure::GiveUp { .. } => None,
        };
        let (now, factor) = (self.clock.now(), fastrand::f64());
        let policy = &self.flows.retry;
        let wait = |record: &GrantRecord| -> Duration {
            policy.wait(record.failed_removals.saturating_add(1), asked, factor)
        };
        let change = |record: GrantRecord| {
            let wait = wait(&record);
            record.removal_failed(now, wait)
        };
        let (record, raises_alarm) = self.ledger.change_grant(key, change).await?;
        let (target, reason) = (key.target.as_str(), failure.reason());
        let attempts = record.failed_removals;
        tracing::warn!(
            target,
            attempts,
            class = reason.class.as_str(),
            reason = reason.cause.text,
            "access was not removed"
        );
        if raises_alarm {
            tracing::error!(target, attempts, "the removal of access is overdue");
            self.metrics.measure(&Metric::once("RemovalsOverdue", &[("target", target)]));
        }
        Ok(())
    }
}
