//! One effect: through its target's circuit breaker, and recorded when it is done.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Job, Processor, AttemptError};
use crate::breaker::{Breaker, BreakerState, Health, Pass};
use crate::failure::{Class, Failure};
use crate::flow::Flow;
use crate::ledger::Effect;
use crate::metrics::Metric;
use crate::ports::{Act, SendDeadLetter, Call, Clock, Ledger, LedgerError, ReadInstance};

impl<L, I, A, D, C> Processor<L, I, A, D, C>
where
    L: Ledger,
    I: ReadInstance,
    A: Act,
    D: SendDeadLetter,
    C: Clock,
{
    /// Has a target to itself that bears one operation at a time, until the end of the attempt.
    async fn hold(&self, target: &str, job: &Job<'_>) -> Result<Result<(), Failure>, LedgerError> {
        if !self.actions.is_exclusive(target) {
            return Ok(Ok(()));
        }
        let (lease, now) = (&job.message.lease, self.clock.now());
        let hold = |breaker: Breaker| breaker.hold(&lease.id, lease.until, now);
        let (_, pass) = self.ledger.change_breaker(target, hold).await?;
        Ok(match pass {
            Pass::Go => Ok(()),
            Pass::Wait { until } => {
                let text = format!("another worker has target `{target}` to itself");
                Err(Failure::retry_after(Some(until.since(now)), Class::LeaseHeld, text))
            }
        })
    }

    /// Gives back what it had to itself. What cannot be given back is free when the lease is over.
    pub(super) async fn release(&self, job: &Job<'_>) {
        let lease_id = &job.message.lease.id;
        for target in job.flow.targets() {
            if self.actions.is_exclusive(target) {
                let release = |breaker: Breaker| (breaker.release(lease_id), ());
                if let Err(error) = self.ledger.change_breaker(target, release).await {
                    tracing::warn!(target, %error, "the target could not be given back");
                }
            }
        }
    }

    /// Looks at the circuit breakers of the flow's targets, without taking a probe's place: while all
    /// are away there is no point in asking the source either.
    pub(super) async fn look(&self, flow: &Flow) -> Result<Circuits, AttemptError> {
        let now = self.clock.now();
        let circuits = Circuits::default();
        let mut away = Vec::new();
        for target in flow.targets() {
            let (breaker, ()) = self.ledger.change_breaker(target, |breaker| (breaker, ())).await?;
            if let Pass::Wait { until } = breaker.pass(now) {
                away.push(is_away(target, until.since(now)));
            } else if breaker.state == BreakerState::Closed {
                circuits.see(target, breaker);
            }
        }
        match away.pop() {
            Some(failure) if away.len() + 1 == flow.targets().len() => Err(failure.into()),
            _ => Ok(circuits),
        }
    }

    /// One call, if the target's circuit breaker lets it pass, recorded as soon as it is done.
    pub(super) async fn perform(
        &self,
        call: &Call<'_>,
        job: &Job<'_>,
        circuits: &Circuits,
        is_proven: bool,
    ) -> Result<Result<Effect, Failure>, AttemptError> {
        // Who does not have the target to itself must not become its probe.
        if let Err(failure) = self.hold(call.target, job).await? {
            return Ok(Err(failure));
        }
        if let Err(failure) = self.enter(call.target, job, circuits).await? {
            return Ok(Err(failure));
        }
        let result = self.actions.act(call).await;
        let result = result.map(|outcome| Effect { outcome, at: self.clock.now() });
        if let Ok(effect) = result {
            tracing::info!(
                target = call.target,
                operation = call.operation,
                device = call.device.masked(),
                outcome = effect.outcome.as_str(),
                "effect done"
            );
            let (request, lease_id) = (job.request.key(), &job.message.lease.id);
            self.ledger.record_effect(&request, lease_id, &call.key(), effect, effect.at).await??;
            self.count_effect(call, job, effect);
        }
        if let Some(health) = health(&result, is_proven) {
            self.report(call.target, job, circuits, health).await;
        }
        Ok(result)
    }

    fn count_effect(&self, call: &Call<'_>, job: &Job<'_>, effect: Effect) {
        let labels = [("flow", job.flow.name.as_str()), ("target", call.target)];
        let since_event = effect.at.since(job.request.received_at);
        self.metrics.measure(&Metric::once("EffectsApplied", &labels));
        self.metrics.measure(&Metric::took("EventToEffectLatency", since_event, &labels));
    }

    /// Asks the target's circuit breaker, once per attempt, unless it was seen closed. One that
    /// this attempt opened ends the attempt for the target.
    async fn enter(
        &self,
        target: &str,
        job: &Job<'_>,
        circuits: &Circuits,
    ) -> Result<Result<(), Failure>, LedgerError> {
        let now = self.clock.now();
        match circuits.of(target).map(|breaker| breaker.state) {
            Some(BreakerState::Open { until }) => {
                return Ok(Err(is_away(target, until.since(now))));
            }
            Some(_) => return Ok(Ok(())),
            None => {}
        }
        let lease_id = &job.message.lease.id;
        let enter = |breaker: Breaker| breaker.enter(lease_id, now);
        let (breaker, pass) = self.ledger.change_breaker(target, enter).await?;
        Ok(match pass {
            Pass::Wait { until } => Err(is_away(target, until.since(now))),
            Pass::Go => {
                circuits.see(target, breaker);
                Ok(())
            }
        })
    }

    /// Tells the target's circuit breaker, where that changes anything. The breaker is there to spare
    /// the target: what cannot be told does not hold the request up.
    async fn report(&self, target: &str, job: &Job<'_>, circuits: &Circuits, health: Health) {
        let known = circuits.of(target).unwrap_or_default();
        if health == Health::Up && known.is_sound() {
            return;
        }
        let (lease_id, now) = (&job.message.lease.id, self.clock.now());
        let report = |before: Breaker| (before.clone().report(lease_id, health, now), before);
        let (reported, before) = match self.ledger.change_breaker(target, report).await {
            Ok(changed) => changed,
            Err(error) => {
                tracing::warn!(target, %error, "the circuit breaker could not be told");
                return;
            }
        };
        if reported.as_str() != before.as_str() {
            let (from, to, failures) = (before.as_str(), reported.as_str(), reported.failures);
            tracing::warn!(target, from, to, failures, "circuit breaker");
            self.metrics.measure(&Metric::once("CircuitBreakerTransitions", &[("target", target), ("to", to)]));
        }
        circuits.see(target, reported);
    }
}

/// The circuit breakers that this attempt passed, as they were last seen.
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

/// What the result of a call says of its target; `None` when the call never got there.
///
/// A gateway that waits in vain can mean this device or the whole target: the whole, unless the
/// target did something for another device in this attempt.
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

fn is_away(target: &str, wait: Duration) -> Failure {
    let text = format!("target `{target}` is away, and is asked by one probe at a time");
    Failure::retry_after(Some(wait), Class::CircuitOpen, text).at(target)
}
