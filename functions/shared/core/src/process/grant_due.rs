//! What is due about a grant: holds end with their time or their approval; access that nothing
//! holds is removed, and what an operator asked for is given.

use std::time::Duration;

use super::error::WorkerError;
use super::{AttemptError, Message, Processor};
use crate::event::Decision;
use crate::failure::{Class, Failure};
use crate::grant::{GrantKey, GrantRecord, HoldId, HoldState, Phase};
use crate::instance::{Instance, Status};
use crate::ledger::Standing;
use crate::metrics::Metric;
use crate::ports::{Clock, KeepGrants, Ports, ReadInstance, ReadRequest};
use crate::queued::GrantDue;
use crate::request::{Request, RequestKey};
use crate::tick::MESSAGE_LOST_AFTER;

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
        let result = if record.phase() == Phase::Ending {
            self.remove(&record, due, message).await?
        } else {
            self.grant_by_acts(&record, due, message).await?
        };
        match result {
            Ok(()) => Ok(()),
            // Nothing was tried, as another call has the exclusive lock of the target: the queue
            // delivers the message again soon, and no tick makes a second one meanwhile.
            Err(failure) if failure.reason().class == Class::LeaseHeld => {
                let until = self.clock.now().plus(MESSAGE_LOST_AFTER);
                let wait = |record: GrantRecord| (record.wait(until), ());
                self.ledger.change_grant(key, wait).await?;
                Err(failure.into())
            }
            Err(failure) => self.call_failed(key, &failure).await,
        }
    }

    /// Gives the access that operators asked for, each hold by a call of its own.
    async fn grant_by_acts(
        &self,
        record: &GrantRecord,
        due: &GrantDue,
        message: &Message<'_>,
    ) -> Result<Result<(), Failure>, AttemptError> {
        for hold in record.to_grant() {
            let is_late = self.clock.now() >= message.budget.no_new_calls_after;
            let result =
                if is_late { Ok(()) } else { self.grant_by_act(hold, due, message).await? };
            if result.is_err() {
                return Ok(result);
            }
        }
        Ok(Ok(()))
    }

    /// Asks the sources of the holds that were not confirmed for long: the message about a
    /// withdrawal can be lost.
    async fn confirm_holds(
        &self,
        key: &GrantKey,
        mut record: GrantRecord,
    ) -> Result<GrantRecord, AttemptError> {
        let now = self.clock.now();
        let due = record.to_confirm().filter(|(_, hold)| hold.confirm_at() <= now);
        let due: Vec<_> = due.map(|(id, hold)| (id.clone(), hold.clone())).collect();
        for (id, hold) in due {
            if hold.state == HoldState::Pending {
                record = self.look_after_pending(key, &id).await?;
                continue;
            }
            let is_withdrawn = match self.read_approval(&id).await {
                Some(Ok(Instance { status: Status::Revoked, .. })) => true,
                Some(Ok(Instance { status: Status::Approved, .. })) | None => false,
                Some(Ok(Instance { status, .. })) => {
                    let status = status.as_str();
                    tracing::error!(target = key.target, status, "an approval that holds access");
                    self.metrics.measure(&Metric::once("HoldsInDoubt", &[]));
                    false
                }
                // The source cannot be reached now: the next tick asks again.
                Some(Err(Failure::Retry { reason, .. }))
                    if reason.class != Class::SourceRejected =>
                {
                    tracing::warn!(target = key.target, %reason, "a hold was not confirmed");
                    continue;
                }
                // It cannot be read: that is no withdrawal.
                Some(Err(Failure::GiveUp { reason } | Failure::Retry { reason, .. })) => {
                    tracing::warn!(target = key.target, %reason, "a hold cannot be confirmed");
                    false
                }
            };
            let change = |record: GrantRecord| {
                let record = if is_withdrawn && !hold.terms.outlives_approval {
                    record.withdraw(&id, now)
                } else {
                    record.confirm(&id, now)
                };
                (record, ())
            };
            if is_withdrawn && !hold.terms.outlives_approval {
                tracing::warn!(target = key.target, "an approval was withdrawn without a message");
                self.metrics.measure(&Metric::once("WithdrawalsFound", &[]));
            }
            (record, ()) = self.ledger.change_grant(key, change).await?;
        }
        Ok(record)
    }

    /// Ends a pending hold whose request was given up: an attempt that died has not recorded that
    /// it began, so that the one that gave up did not know of it.
    async fn look_after_pending(
        &self,
        key: &GrantKey,
        id: &HoldId,
    ) -> Result<GrantRecord, AttemptError> {
        let now = self.clock.now();
        let standing = match id.approval() {
            None => None,
            Some((source, definition_id, instance_id)) => {
                let approved =
                    RequestKey::of(source, definition_id, instance_id, Decision::Approved);
                self.ledger.progress(&approved).await?.map(|progress| progress.standing)
            }
        };
        let look = |record: GrantRecord| {
            // A redrive that begins meanwhile has confirmed it.
            let is_same = record.holds.get(id).is_some_and(|hold| hold.confirm_at() <= now);
            let is_given_up = standing == Some(Standing::Failed) && is_same;
            let record = record.confirm(id, now);
            (if is_given_up { record.give_up(id, now) } else { record }, ())
        };
        Ok(self.ledger.change_grant(key, look).await?.0)
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

    /// Records that a call failed, with the time of the next attempt. A removal is never given up.
    async fn call_failed(&self, key: &GrantKey, failure: &Failure) -> Result<(), AttemptError> {
        let asked = match failure {
            Failure::Retry { after, .. } => *after,
            Failure::GiveUp { .. } => None,
        };
        let (now, factor) = (self.clock.now(), fastrand::f64());
        let policy = &self.flows.retry;
        let wait = |record: &GrantRecord| -> Duration {
            policy.wait(record.failed_calls.saturating_add(1), asked, factor)
        };
        let change = |record: GrantRecord| {
            let wait = wait(&record);
            (record.call_failed(now, wait), ())
        };
        let (record, ()) = self.ledger.change_grant(key, change).await?;
        let (target, reason) = (key.target.as_str(), failure.reason());
        let attempts = record.failed_calls;
        tracing::warn!(
            target,
            attempts,
            class = reason.class.as_str(),
            reason = reason.cause.text,
            "the access could not be changed"
        );
        Ok(())
    }
}
