//! The holds and the lease of a grant, around the call that gives or takes its access.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value};

use super::error::WorkerError;
use super::limits::Replaced;
use super::plan::{VALID_UNTIL, moment};
use super::{AttemptError, Job, PlannedEffect, Processor};
use crate::failure::{Class, Failure};
use crate::flow::{Action, Flow, WhenWithdrawn};
use crate::grant::{BeginError, EndReason, GrantKey, GrantRecord, Hold, HoldState, Outcome, Terms};
use crate::ledger::EffectKind;
use crate::ports::{Acted, Clock, Conditions, KeepBlocks, KeepGrants, LedgerError, Ports};
use crate::retry::RetryState;
use crate::time::Timestamp;

/// Whether a call is made, and how.
pub(super) enum Begun {
    /// It is not about the access of a subject.
    Free,
    UnderLease(UnderLease),
    /// A younger approval holds the access that this one returns.
    NotNeeded,
}

/// A call that is made under the lease of a grant.
pub(super) struct UnderLease {
    key: GrantKey,
    generation: u64,
    kind: EffectKind,
    /// When the access ends with the last of its holds; `None` if it does not.
    lasts_until: Option<Timestamp>,
    /// What ends once the access is given.
    replaced: Option<Replaced>,
}

impl UnderLease {
    /// The values for a granting call to a target that has an end of its own: it is the end of the
    /// last hold, as the end of another approval must not be cut. `None` if the flow has no end.
    pub(super) fn with_end(
        &self,
        step: &PlannedEffect<'_>,
        variables: &Map<String, Value>,
    ) -> Option<Map<String, Value>> {
        step.until.filter(|until| self.lasts_until != Some(*until))?;
        let mut variables = variables.clone();
        variables.insert(VALID_UNTIL.to_owned(), self.lasts_until.map_or(Value::Null, moment));
        Some(variables)
    }
}

/// The grants whose hold of this request is recorded, and not confirmed by the target yet.
#[derive(Debug, Default)]
pub(super) struct PendingHolds(Mutex<BTreeSet<GrantKey>>);

impl PendingHolds {
    /// Those that earlier attempts left.
    pub(super) fn left_by(retry: Option<&RetryState>) -> Self {
        Self(Mutex::new(retry.map(|retry| retry.pending.clone()).unwrap_or_default()))
    }

    pub(super) fn all(&self) -> BTreeSet<GrantKey> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, key: &GrantKey) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
    }

    fn confirm(&self, key: &GrantKey) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

impl<P: Ports> Processor<P> {
    /// Records the hold of the request, and acquires the lease of the grant for the call of `step`.
    pub(super) async fn begin(
        &self,
        step: &PlannedEffect<'_>,
        job: &Job<'_>,
    ) -> Result<Result<Begun, Failure>, AttemptError> {
        let (kind, lease, now) = (step.kind, &job.message.lease, self.clock.now());
        let Some(subject) = step.subject.as_ref().filter(|_| kind.is_about_access()) else {
            return Ok(Ok(Begun::Free));
        };
        let key = GrantKey::new(&step.action.target, subject);
        let (hold, operation) = (job.request.hold(), step.action.operation.as_str());
        let mut replaced = None;
        let (record, begun) = if kind == EffectKind::Grant {
            match self.admit_owner(step, &key, job).await? {
                Ok(admitted) => replaced = admitted,
                Err(failure) => return Ok(Err(failure)),
            }
            let terms = self.terms(step, job.flow);
            let change = |record: GrantRecord| record.begin_grant(&hold, &terms, lease, now);
            let (record, begun) = self.ledger.change_grant(&key, change).await?;
            let state = record.holds.get(&hold).map(|hold| hold.state);
            if state == Some(HoldState::Pending) {
                job.pending.add(&key);
            }
            (record, begun.map(Some))
        } else {
            let returns = (&hold, step.approved_at);
            let change = |record: GrantRecord| record.begin_return(returns, operation, lease, now);
            let (record, generation) = self.ledger.change_grant(&key, change).await?;
            (record, generation.map_err(|until| BeginError::Wait { until }))
        };
        // After the hold was recorded: a block that is set at the same moment ends it, or is seen.
        if kind == EffectKind::Grant
            && matches!(begun, Ok(_) | Err(BeginError::Wait { .. }))
            && let Some(failure) = self.blocked(&key, now).await?
        {
            self.end_blocked(&key, job, begun.ok().flatten()).await?;
            return Ok(Err(failure));
        }
        let lasts_until = record.lasts_until();
        Ok(match begun {
            Ok(None) => Ok(Begun::NotNeeded),
            Ok(Some(generation)) => {
                let call = UnderLease { key, generation, kind, lasts_until, replaced };
                Ok(Begun::UnderLease(call))
            }
            Err(error @ BeginError::Wait { until }) => {
                Err(Failure::retry_after(Some(until.since(now)), Class::GrantHeld, error))
            }
            Err(error @ BeginError::Ended { .. }) => Err(Failure::give_up(Class::Withdrawn, error)),
            Err(error @ BeginError::Full) => Err(Failure::give_up(Class::InvalidForm, error)),
        })
    }

    /// The failure for a subject that an operator blocked.
    pub(super) async fn blocked(
        &self,
        key: &GrantKey,
        now: Timestamp,
    ) -> Result<Option<Failure>, LedgerError> {
        let block = self.ledger.block_of(&key.subject, now).await?;
        Ok(block.map(|_| Failure::give_up(Class::Blocked, WorkerError::Blocked).at(&key.target)))
    }

    /// Ends the hold of a subject that is blocked, before its call.
    async fn end_blocked(
        &self,
        key: &GrantKey,
        job: &Job<'_>,
        generation: Option<u64>,
    ) -> Result<(), LedgerError> {
        let (hold, lease_id) = (job.request.hold(), &job.message.lease.id);
        let now = self.clock.now();
        let end = |mut record: GrantRecord| {
            if let Some(generation) = generation {
                (record, _) = record.settle(lease_id, generation, Outcome::Unchanged, now);
            }
            (record.end(&hold, EndReason::Blocked, now), ())
        };
        self.ledger.change_grant(key, end).await?;
        job.pending.confirm(key);
        Ok(())
    }

    fn terms(&self, step: &PlannedEffect<'_>, flow: &Flow) -> Terms {
        let Action { target, operation, .. } = step.action;
        Terms {
            owner: step.owner.clone(),
            applicant: step.applicant.clone(),
            operation: operation.clone(),
            revoked_by: self.targets.revoked_by(target, operation),
            asked_at: step.approved_at,
            until: step.until,
            outlives_approval: flow.grant.when_withdrawn == WhenWithdrawn::Keep,
        }
    }

    /// Records what the call left at the target, and releases the lease.
    pub(super) async fn settle(
        &self,
        call: &UnderLease,
        job: &Job<'_>,
        result: &Result<Acted, Failure>,
    ) -> Result<(), AttemptError> {
        let outcome = match (result, call.kind) {
            (Ok(_), EffectKind::Grant) => Outcome::Granted { hold: job.request.hold() },
            (Ok(acted), _) => Outcome::Revoked { session: acted.session },
            (Err(failure), _) if changed_nothing(failure) => Outcome::Unchanged,
            (Err(_), _) => Outcome::Unknown,
        };
        let (lease_id, now, hold) = (&job.message.lease.id, self.clock.now(), job.request.hold());
        // Nothing will confirm a hold that the target has refused, and it would count.
        let is_refused =
            outcome == Outcome::Unchanged && matches!(result, Err(Failure::GiveUp { .. }));
        let settle = |record: GrantRecord| {
            let (record, settled) = record.settle(lease_id, call.generation, outcome.clone(), now);
            let gives_up = is_refused && settled.is_ok() && call.kind == EffectKind::Grant;
            (if gives_up { record.give_up(&hold, now) } else { record }, settled)
        };
        let (record, settled) = self.ledger.change_grant(&call.key, settle).await?;
        settled?;
        if result.is_ok() || is_refused {
            job.pending.confirm(&call.key);
        }
        let Some(replaced) = &call.replaced else { return Ok(()) };
        // A hold that ended during the call has nothing to make room for.
        let is_held = record.holds.get(&hold).is_some_and(Hold::is_live);
        match result {
            // Before the effect is recorded: after a crash the call is made again, and this, too.
            Ok(_) if is_held => self.end_replaced(replaced, job).await,
            Err(_) if is_refused => self.uncount(replaced, job).await,
            _ => Ok(()),
        }
    }

    /// Ends the pending holds of a request that is given up: nothing will confirm them.
    pub(super) async fn end_pending(&self, job: &Job<'_>) -> Result<(), LedgerError> {
        let (hold, now) = (job.request.hold(), self.clock.now());
        for key in job.pending.all() {
            let end = |record: GrantRecord| (record.give_up(&hold, now), ());
            self.ledger.change_grant(&key, end).await?;
        }
        Ok(())
    }
}

/// Whether a failure says that the target did nothing. Every other one may have come after the
/// target did what was asked, or a part of it: an operation can have several steps.
pub(super) fn changed_nothing(failure: &Failure) -> bool {
    let reason = failure.reason();
    let says_so = match failure {
        Failure::GiveUp { .. } => matches!(
            reason.class,
            Class::TargetRejected | Class::NotFound | Class::NotConfigured | Class::Blocked
        ),
        Failure::Retry { .. } => {
            matches!(reason.class, Class::TargetAuthFailed | Class::CircuitOpen)
        }
    };
    says_so && !reason.may_have_changed
}
