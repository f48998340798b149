//! One effect: through its target's circuit breaker, and recorded when it is done.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::error::WorkerError;
use super::grants::Begun;
use super::{AttemptError, Job, PlannedEffect, Processor};
use crate::breaker::{Breaker, BreakerState, Health, Permit};
use crate::failure::{Class, Failure};
use crate::flow::Flow;
use crate::grant::Session;
use crate::lease::{Lease, LeaseId};
use crate::ledger::{Effect, EffectOutcome};
use crate::metrics::Metric;
use crate::ports::{Act, Acted, Call, Clock, KeepBreakers, LedgerError, Ports, RecordEffect};

impl<P: Ports> Processor<P> {
    /// Acquires the exclusive lock of a target that allows one operation at a time, until the end
    /// of the attempt.
    pub(super) async fn lock(
        &self,
        target: &str,
        lease: &Lease,
    ) -> Result<Result<(), Failure>, LedgerError> {
        if !self.targets.is_exclusive(target) {
            return Ok(Ok(()));
        }
        let now = self.clock.now();
        let lock = |breaker: Breaker| breaker.lock(&lease.id, lease.until, now);
        let (_, permit) = self.ledger.change_breaker(target, lock).await?;
        Ok(match permit {
            Permit::Granted => Ok(()),
            Permit::Denied { until } => {
                let error = WorkerError::LockHeld { target: target.to_owned() };
                Err(Failure::retry_after(Some(until.since(now)), Class::LeaseHeld, error))
            }
        })
    }

    /// Releases the exclusive lock of a target. A lock that cannot be released expires with the
    /// lease.
    pub(super) async fn unlock(&self, target: &str, lease_id: &LeaseId) {
        if self.targets.is_exclusive(target) {
            let unlock = |breaker: Breaker| (breaker.unlock(lease_id), ());
            if let Err(error) = self.ledger.change_breaker(target, unlock).await {
                tracing::warn!(target, %error, "the exclusive lock of the target could not be released");
            }
        }
    }

    /// Reads the circuit breakers of the flow's targets without becoming a probe: while all are
    /// open there is no need to read the source.
    pub(super) async fn peek(&self, flow: &Flow) -> Result<Circuits, AttemptError> {
        let now = self.clock.now();
        let circuits = Circuits::default();
        let mut open = Vec::new();
        for target in flow.targets() {
            let (breaker, ()) = self.ledger.change_breaker(target, |breaker| (breaker, ())).await?;
            if let Permit::Denied { until } = breaker.peek(now) {
                open.push(circuit_open(target, until.since(now)));
            } else if breaker.state == BreakerState::Closed {
                circuits.see(target, breaker);
            }
        }
        match open.pop() {
            Some(failure) if open.len() + 1 == flow.targets().len() => Err(failure.into()),
            _ => Ok(circuits),
        }
    }

    /// Performs one call, if the circuit breaker of the target permits it, and records it at once.
    pub(super) async fn perform(
        &self,
        call: &Call<'_>,
        step: &PlannedEffect<'_>,
        job: &Job<'_>,
        circuits: &Circuits,
        is_proven: bool,
    ) -> Result<Result<Effect, Failure>, AttemptError> {
        let lease = &job.message.lease;
        // The lock first: an attempt without it must not become the probe.
        if let Err(failure) = self.lock(call.target, lease).await? {
            return Ok(Err(failure));
        }
        let under_lease = match self.begin(step, job).await? {
            Ok(Begun::Free) => None,
            Ok(Begun::UnderLease(under_lease)) => Some(under_lease),
            Ok(Begun::NotNeeded) => return self.record_unneeded(call, step, job).await,
            Err(failure) => return Ok(Err(failure)),
        };
        let variables = under_lease.as_ref().and_then(|it| it.with_end(step, call.variables));
        let call =
            &Call { variables: variables.as_ref().unwrap_or(call.variables), ..call.clone() };
        let permit = self.acquire(call.target, &lease.id, circuits).await?;
        let is_called = permit.is_ok();
        let result = match permit {
            Ok(()) => self.targets.act(call).await,
            Err(failure) => Err(failure),
        };
        if let Some(under_lease) = under_lease {
            self.settle(&under_lease, job, &result).await?;
        }
        let kind = step.kind;
        let result =
            result.map(|Acted { outcome, .. }| Effect { kind, outcome, at: self.clock.now() });
        if let Ok(effect) = result {
            tracing::info!(
                target = call.target,
                operation = call.operation,
                subject = call.masked_subject(),
                outcome = effect.outcome.as_str(),
                "effect done"
            );
            let key = call.key();
            self.ledger.record_effect(&job.key, &lease.id, &key, effect, effect.at).await??;
            self.count_effect(call, job, effect);
        }
        if let Some(health) = health(&result, is_proven).filter(|_| is_called) {
            self.record_health(call.target, &lease.id, circuits, health).await;
        }
        Ok(result)
    }

    /// Records a return that came later than a younger approval: the access is that one's.
    async fn record_unneeded(
        &self,
        call: &Call<'_>,
        step: &PlannedEffect<'_>,
        job: &Job<'_>,
    ) -> Result<Result<Effect, Failure>, AttemptError> {
        let (kind, outcome) = (step.kind, EffectOutcome::AlreadyExists);
        let effect = Effect { kind, outcome, at: self.clock.now() };
        let lease_id = &job.message.lease.id;
        self.ledger.record_effect(&job.key, lease_id, &call.key(), effect, effect.at).await??;
        Ok(Ok(effect))
    }

    /// Performs calls to one target that belong together, up to the first that fails, if the
    /// circuit breaker of the target permits it. The result is what became of the session.
    pub(super) async fn call_all(
        &self,
        calls: &[Call<'_>],
        target: &str,
        lease_id: &LeaseId,
    ) -> Result<Result<Option<Session>, Failure>, LedgerError> {
        let circuits = Circuits::default();
        if let Err(failure) = self.acquire(target, lease_id, &circuits).await? {
            return Ok(Err(failure));
        }
        let mut result = Ok(None);
        for call in calls {
            let acted = self.targets.act(call).await;
            // A session may last if it may after one of them.
            result = match (result, acted) {
                (_, Err(failure)) => Err(failure),
                (Ok(Some(Session::MayLast)), Ok(_)) => Ok(Some(Session::MayLast)),
                (Ok(before), Ok(Acted { session, .. })) => Ok(session.or(before)),
                (before @ Err(_), Ok(_)) => before,
            };
            if result.is_err() {
                break;
            }
        }
        if let Some(health) = health(&result, false) {
            self.record_health(target, lease_id, &circuits, health).await;
        }
        Ok(result)
    }

    fn count_effect(&self, call: &Call<'_>, job: &Job<'_>, effect: Effect) {
        let labels = [("flow", job.flow.name.as_str()), ("target", call.target)];
        let since_event = effect.at.since(job.request.received_at);
        self.metrics.measure(&Metric::once("EffectsApplied", &labels));
        self.metrics.measure(&Metric::took("EventToEffectLatency", since_event, &labels));
    }

    /// Acquires a permit from the circuit breaker of the target, once per attempt, unless the
    /// circuit was seen closed. A breaker that this attempt opened ends the attempt for the target.
    async fn acquire(
        &self,
        target: &str,
        lease_id: &LeaseId,
        circuits: &Circuits,
    ) -> Result<Result<(), Failure>, LedgerError> {
        let now = self.clock.now();
        match circuits.of(target).map(|breaker| breaker.state) {
            Some(BreakerState::Open { until }) => {
                return Ok(Err(circuit_open(target, until.since(now))));
            }
            Some(_) => return Ok(Ok(())),
            None => {}
        }
        let acquire = |breaker: Breaker| breaker.try_acquire(lease_id, now);
        let (breaker, permit) = self.ledger.change_breaker(target, acquire).await?;
        Ok(match permit {
            Permit::Denied { until } => Err(circuit_open(target, until.since(now))),
            Permit::Granted => {
                circuits.see(target, breaker);
                Ok(())
            }
        })
    }

    /// Records the health of the target in its circuit breaker, if that changes anything. The
    /// breaker is an optimisation: a ledger that does not answer must not delay the request.
    async fn record_health(
        &self,
        target: &str,
        lease_id: &LeaseId,
        circuits: &Circuits,
        health: Health,
    ) {
        let known = circuits.of(target).unwrap_or_default();
        if health == Health::Up && known.is_healthy() {
            return;
        }
        let now = self.clock.now();
        let record = |before: Breaker| (before.clone().record(lease_id, health, now), before);
        let (recorded, before) = match self.ledger.change_breaker(target, record).await {
            Ok(changed) => changed,
            Err(error) => {
                tracing::warn!(target, %error, "the circuit breaker could not be written");
                return;
            }
        };
        if recorded.as_str() != before.as_str() {
            let (from, to, failures) = (before.as_str(), recorded.as_str(), recorded.failures);
            tracing::warn!(target, from, to, failures, "circuit breaker");
            self.metrics.measure(&Metric::once(
                "CircuitBreakerTransitions",
                &[("target", target), ("to", to)],
            ));
        }
        circuits.see(target, recorded);
    }
}

/// The last seen state of the circuit breakers that this attempt used.
#[derive(Default)]
pub(super) struct Circuits(Mutex<HashMap<String, Breaker>>);

impl Circuits {
    fn of(&self, target: &str) -> Option<Breaker> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(target).cloned()
    }

    fn see(&self, target: &str, breaker: Breaker) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(target.to_owned(), breaker);
    }
}

/// The health of the target, by the result of a call; `None` if the call did not reach it.
///
/// The timeout of a gateway can concern this subject or the whole target. It counts for the whole
/// target, unless the target did something for another subject in this attempt.
fn health<T>(result: &Result<T, Failure>, is_proven: bool) -> Option<Health> {
    match result {
        Ok(_) => Some(Health::Up),
        Err(failure) => match failure.reason().class {
            Class::TargetRejected | Class::NotFound | Class::TargetFailed => Some(Health::Up),
            Class::TargetTimeout if is_proven => Some(Health::Up),
            Class::TargetUnavailable | Class::TargetTimeout => Some(Health::Down),
            _ => None,
        },
    }
}

fn circuit_open(target: &str, wait: Duration) -> Failure {
    let error = WorkerError::CircuitOpen { target: target.to_owned() };
    Failure::retry_after(Some(wait), Class::CircuitOpen, error).at(target)
}
