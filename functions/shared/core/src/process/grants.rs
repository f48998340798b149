//! The holds and the lease of a grant, around the call that gives or takes its access.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::{AttemptError, Job, PlannedEffect, Processor};
use crate::failure::{Class, Failure};
use crate::grant::{BeginError, EndReason, GrantKey, GrantRecord, HoldId, Outcome};
use crate::ledger::{Effect, EffectKind, LeaseLost};
use crate::ports::{Clock, KeepGrants, LedgerError, Ports};
use crate::request::Request;
use crate::retry::RetryState;

/// A call that is made under the lease of a grant.
pub(super) struct UnderLease {
    key: GrantKey,
    generation: u64,
    kind: EffectKind,
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

impl Job<'_> {
    fn hold(&self) -> HoldId {
        let Request { source, definition_id, instance_id, .. } = self.request;
        HoldId::of_approval(source, definition_id, instance_id)
    }
}

impl<P: Ports> Processor<P> {
    /// Records the hold of the request, and acquires the lease of the grant for the call of `step`;
    /// `None` if the call is not about the access of a subject.
    pub(super) async fn begin(
        &self,
        step: &PlannedEffect<'_>,
        job: &Job<'_>,
    ) -> Result<Result<Option<UnderLease>, Failure>, LedgerError> {
        let (kind, lease, now) = (step.kind, &job.message.lease, self.clock.now());
        let Some(subject) = step.subject.as_ref().filter(|_| kind.is_about_access()) else {
            return Ok(Ok(None));
        };
        let key = GrantKey::new(&step.action.target, subject);
        let hold = job.hold();
        let begun = if kind == EffectKind::Grant {
            let change = |record: GrantRecord| {
                record.begin_grant(&hold, &step.owner, &step.applicant, None, lease, now)
            };
            let (_, begun) = self.ledger.change_grant(&key, change).await?;
            if matches!(begun, Ok(_) | Err(BeginError::Wait { .. })) {
                job.pending.add(&key);
            }
            begun
        } else {
            let change = |record: GrantRecord| record.begin_return(&hold, lease, now);
            let (_, generation) = self.ledger.change_grant(&key, change).await?;
            generation.map_err(|until| BeginError::Wait { until })
        };
        Ok(match begun {
            Ok(generation) => Ok(Some(UnderLease { key, generation, kind })),
            Err(error @ BeginError::Wait { until }) => {
                Err(Failure::retry_after(Some(until.since(now)), Class::GrantHeld, error))
            }
            Err(error @ BeginError::Ended { .. }) => {
                Err(Failure::give_up(Class::NotApproved, error))
            }
            Err(error @ BeginError::Full) => Err(Failure::give_up(Class::InvalidForm, error)),
        })
    }

    /// Records what the call left at the target, and releases the lease.
    pub(super) async fn settle(
        &self,
        call: &UnderLease,
        job: &Job<'_>,
        result: &Result<Effect, Failure>,
    ) -> Result<(), AttemptError> {
        let outcome = match (result, call.kind) {
            (Ok(_), EffectKind::Grant) => Outcome::Granted { hold: job.hold() },
            (Ok(_), _) => Outcome::Revoked,
            (Err(failure), _) if changed_nothing(failure) => Outcome::Unchanged,
            (Err(_), _) => Outcome::Unknown,
        };
        let (lease_id, now) = (&job.message.lease.id, self.clock.now());
        let settle =
            |record: GrantRecord| record.settle(lease_id, call.generation, outcome.clone(), now);
        let (_, settled) = self.ledger.change_grant(&call.key, settle).await?;
        match settled {
            Ok(()) if result.is_ok() => job.pending.confirm(&call.key),
            Ok(()) => {}
            Err(lost @ LeaseLost) => return Err(lost.into()),
        }
        Ok(())
    }

    /// Ends the pending holds of a request that is given up: nothing will confirm them.
    pub(super) async fn end_pending(&self, job: &Job<'_>) -> Result<(), LedgerError> {
        let (hold, now) = (job.hold(), self.clock.now());
        for key in job.pending.all() {
            let end = |record: GrantRecord| (record.end(&hold, EndReason::GivenUp, now), ());
            self.ledger.change_grant(&key, end).await?;
        }
        Ok(())
    }
}

/// Whether a failure says that the target did nothing. Every other failure may have come after the
/// target did what was asked.
fn changed_nothing(failure: &Failure) -> bool {
    match failure {
        Failure::GiveUp { reason } => {
            matches!(reason.class, Class::TargetRejected | Class::NotFound | Class::NotConfigured)
        }
        Failure::Retry { reason, .. } => {
            matches!(reason.class, Class::TargetAuthFailed | Class::CircuitOpen)
        }
    }
}
