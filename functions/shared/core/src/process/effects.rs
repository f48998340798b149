//! One effect per device and action, each recorded when it is done.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Map, Value};

use super::{Message, Processor, Setback};
use crate::breaker::{Breaker, Health, Pass};
use crate::extract::Extracted;
use crate::failure::{Class, Failure, Reason};
use crate::flow::Flow;
use crate::instance::Instance;
use crate::ledger::{Effect, EffectKey, Taken};
use crate::ports::{Act, Bury, Call, Clock, Ledger, LedgerError, ReadInstance};
use crate::request::Request;

impl<L, I, A, D, C> Processor<L, I, A, D, C>
where
    L: Ledger,
    I: ReadInstance,
    A: Act,
    D: Bury,
    C: Clock,
{
    /// Acts on the good devices, whatever is wrong with the others, and leaves out what was done.
    pub(super) async fn act(
        &self,
        request: &Request,
        flow: &Flow,
        instance: &Instance,
        extracted: Extracted,
        taken: &Taken,
        message: &Message<'_>,
    ) -> Result<(), Setback> {
        let variables = variables(request, instance, extracted.values);
        let devices_of = |field: &str| extracted.devices.get(field).into_iter().flatten();
        let mut failures = Failures::of(extracted.problems);
        let mut circuits = Circuits::default();
        for action in &flow.actions {
            for &device in devices_of(&action.for_each) {
                let key = EffectKey::new(&action.target, &action.operation, device);
                if taken.effects.contains_key(&key) || failures.is_down(&action.target) {
                    continue;
                }
                let call = Call {
                    target: &action.target,
                    operation: &action.operation,
                    device,
                    variables: &variables,
                    deadline: message.deadline,
                };
                match self.perform(&call, message, &mut circuits).await? {
                    Ok(effect) => self.record(request, message, &key, effect).await?,
                    Err(failure) if failure.reason().class == Class::OutOfTime => {
                        return Err(failure.into());
                    }
                    Err(failure) => failures.add(&action.target, failure),
                }
            }
        }
        failures.into_result()
    }

    /// One call, if there is time and the target's circuit breaker lets it pass.
    async fn perform(
        &self,
        call: &Call<'_>,
        message: &Message<'_>,
        circuits: &mut Circuits,
    ) -> Result<Result<Effect, Failure>, LedgerError> {
        if self.clock.now() >= call.deadline {
            let text = "the worker's time ran out before everything was started";
            return Ok(Err(Failure::retry(Class::OutOfTime, text)));
        }
        if let Err(failure) = self.enter(call.target, message, circuits).await? {
            return Ok(Err(failure));
        }
        let result = self.actions.act(call).await;
        self.report(call.target, message, circuits, health(&result)).await?;
        Ok(result.map(|outcome| {
            tracing::info!(
                target = call.target,
                operation = call.operation,
                device = call.device.masked(),
                outcome = outcome.as_str(),
                "effect done"
            );
            Effect { outcome, at: self.clock.now() }
        }))
    }

    /// Asks the target's circuit breaker, once per attempt.
    async fn enter(
        &self,
        target: &str,
        message: &Message<'_>,
        circuits: &mut Circuits,
    ) -> Result<Result<(), Failure>, LedgerError> {
        if circuits.0.contains_key(target) {
            return Ok(Ok(()));
        }
        let now = self.clock.now();
        let (breaker, pass) = self.ledger.enter(target, &message.lease.owner, now).await?;
        Ok(match pass {
            Pass::Go => {
                circuits.0.insert(target.to_owned(), breaker);
                Ok(())
            }
            Pass::Wait { until } => {
                let text =
                    format!("target `{target}` is away, and is asked by one probe at a time");
                Err(Failure::retry_after(Some(until.since(now)), Class::CircuitOpen, text))
            }
        })
    }

    /// Tells the target's circuit breaker, where that changes anything.
    async fn report(
        &self,
        target: &str,
        message: &Message<'_>,
        circuits: &mut Circuits,
        health: Health,
    ) -> Result<(), LedgerError> {
        let known = circuits.0.entry(target.to_owned()).or_default();
        if health == Health::Up && *known == Breaker::default() {
            return Ok(());
        }
        let owner = &message.lease.owner;
        let reported = self.ledger.report(target, owner, health, self.clock.now()).await?;
        if reported.as_str() != known.as_str() {
            let (from, to, failures) = (known.as_str(), reported.as_str(), reported.failures);
            tracing::warn!(target, from, to, failures, "circuit breaker");
        }
        *known = reported;
        Ok(())
    }

    async fn record(
        &self,
        request: &Request,
        message: &Message<'_>,
        key: &EffectKey,
        effect: Effect,
    ) -> Result<(), Setback> {
        let owner = &message.lease.owner;
        self.ledger.record_effect(&request.key(), owner, key, effect, effect.at).await??;
        Ok(())
    }
}

/// The circuit breakers that this attempt passed, as they were last seen.
#[derive(Default)]
struct Circuits(HashMap<String, Breaker>);

fn health<T>(result: &Result<T, Failure>) -> Health {
    match result {
        Err(failure) if failure.reason().class == Class::TargetUnavailable => Health::Down,
        _ => Health::Up,
    }
}

/// What templates may use, besides the device: the flow's own fields cannot hide these.
fn variables(
    request: &Request,
    instance: &Instance,
    mut variables: Map<String, Value>,
) -> Map<String, Value> {
    for (name, value) in [
        ("approval_code", &request.approval_code),
        ("instance_code", &request.instance_code),
        ("event_id", &request.event_id),
        ("applicant", &instance.applicant),
        ("serial_number", &instance.serial_number),
    ] {
        variables.insert(name.to_owned(), Value::String(value.clone()));
    }
    variables
}

/// What went wrong so far in one attempt that goes on.
#[derive(Default)]
struct Failures {
    retries: Vec<Reason>,
    retry_after: Option<Duration>,
    give_ups: Vec<Reason>,
    down: Vec<String>,
}

impl Failures {
    fn of(problems: Vec<impl Into<Reason>>) -> Self {
        Self { give_ups: problems.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    fn add(&mut self, target: &str, failure: Failure) {
        match failure {
            Failure::GiveUp { reason } => self.give_ups.push(reason),
            Failure::Retry { after, reason } => {
                self.retry_after = self.retry_after.max(after);
                if matches!(reason.class, Class::TargetUnavailable | Class::CircuitOpen) {
                    self.down.push(target.to_owned());
                }
                self.retries.push(reason);
            }
        }
    }

    /// A target that is away or busy is not bothered with the next device in the same attempt.
    fn is_down(&self, target: &str) -> bool {
        self.down.iter().any(|down| down == target)
    }

    /// A retry comes before giving up: what cannot work is found again, and told at the end.
    fn into_result(self) -> Result<(), Setback> {
        let is_retry = !self.retries.is_empty();
        let reasons = [self.retries, self.give_ups].concat();
        match Reason::joined(&reasons) {
            None => Ok(()),
            Some(reason) if is_retry => {
                Err(Failure::Retry { after: self.retry_after, reason }.into())
            }
            Some(reason) => Err(Failure::GiveUp { reason }.into()),
        }
    }
}
