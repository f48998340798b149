//! One effect per device and action, each recorded when it is done.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde_json::{Map, Value};

use super::{Message, Processor, Setback};
use crate::breaker::{Breaker, BreakerState, Health, Pass};
use crate::extract::Extracted;
use crate::failure::{Class, Failure, Reason};
use crate::flow::{Action, Flow};
use crate::instance::Instance;
use crate::ledger::{Effect, EffectKey, Taken};
use crate::mac::Eui48;
use crate::metrics::Metric;
use crate::ports::{Act, Bury, Call, Clock, Ledger, LedgerError, ReadInstance, TRACE_ID};
use crate::request::Request;

/// A target that failed over so many devices is left in peace for the rest of the attempt.
const FAILURES_PER_ATTEMPT: usize = 3;

type Effects = BTreeMap<EffectKey, Effect>;

/// What an attempt is about: the request as it was claimed, and the message that brought it.
pub(super) struct Job<'a> {
    pub(super) request: &'a Request,
    pub(super) flow: &'a Flow,
    pub(super) taken: &'a Taken,
    pub(super) message: &'a Message<'a>,
}

impl<L, I, A, D, C> Processor<L, I, A, D, C>
where
    L: Ledger,
    I: ReadInstance,
    A: Act,
    D: Bury,
    C: Clock,
{
    /// Acts, and gives back what it had to itself.
    pub(super) async fn act(
        &self,
        job: &Job<'_>,
        instance: &Instance,
        extracted: Extracted,
        circuits: Circuits,
        effects: &mut Effects,
    ) -> Result<(), Setback> {
        let result = self.act_on_all(job, instance, extracted, circuits, effects).await;
        self.release(job).await;
        result
    }

    /// Acts on the good devices, whatever is wrong with the others, and leaves out what was done.
    async fn act_on_all(
        &self,
        job: &Job<'_>,
        instance: &Instance,
        extracted: Extracted,
        mut circuits: Circuits,
        effects: &mut Effects,
    ) -> Result<(), Setback> {
        let mut variables = variables(&job.request.event_id, instance, extracted.values);
        if let Some(trace_id) = &job.request.trace_id {
            variables.insert(TRACE_ID.to_owned(), Value::String(trace_id.to_string()));
        }
        let mut failures = Failures::of(extracted.problems);
        let wanted = wanted(job.flow, &variables, &self.actions)?;
        for (action, device) in work(job, &wanted, &extracted.devices) {
            if failures.is_down(&action.target) {
                continue;
            }
            if self.clock.now() >= job.message.deadline {
                failures.is_out_of_time = true;
                break;
            }
            let call = Call {
                target: &action.target,
                operation: &action.operation,
                device,
                variables: &variables,
                deadline: job.message.deadline,
            };
            match self.perform(&call, job, &mut circuits).await? {
                Ok(effect) => {
                    failures.is_progress = true;
                    effects.insert(call.key(), effect);
                }
                Err(failure) => failures.add(failure.at(&action.target)),
            }
        }
        failures.into_result()
    }

    /// Has a target to itself that bears one operation at a time, until the end of the attempt.
    async fn hold(&self, target: &str, job: &Job<'_>) -> Result<Result<(), Failure>, LedgerError> {
        if !self.actions.is_exclusive(target) {
            return Ok(Ok(()));
        }
        let (lease, now) = (&job.message.lease, self.clock.now());
        let hold = |breaker: Breaker| breaker.hold(&lease.owner, lease.until, now);
        let (_, pass) = self.ledger.change_breaker(target, hold).await?;
        Ok(match pass {
            Pass::Go => Ok(()),
            Pass::Wait { until } => {
                let text = format!("another worker has target `{target}` to itself");
                Err(Failure::retry_after(Some(until.since(now)), Class::Busy, text))
            }
        })
    }

    /// Gives back what it had to itself. What cannot be given back is free when the lease is over.
    async fn release(&self, job: &Job<'_>) {
        let owner = &job.message.lease.owner;
        for target in job.flow.targets() {
            if self.actions.is_exclusive(target) {
                let release = |breaker: Breaker| (breaker.release(owner), ());
                if let Err(error) = self.ledger.change_breaker(target, release).await {
                    tracing::warn!(target, %error, "the target could not be given back");
                }
            }
        }
    }

    /// Looks at the circuit breakers of the flow's targets, without taking a probe's place: while all
    /// are away there is no point in asking the source either.
    pub(super) async fn look(&self, flow: &Flow) -> Result<Circuits, Setback> {
        let now = self.clock.now();
        let mut circuits = Circuits::default();
        let mut away = Vec::new();
        for target in flow.targets() {
            let (breaker, ()) = self.ledger.change_breaker(target, |breaker| (breaker, ())).await?;
            if let Pass::Wait { until } = breaker.pass(now) {
                away.push(is_away(target, until.since(now)));
            } else if breaker.state == BreakerState::Closed {
                circuits.0.insert(target.to_owned(), breaker);
            }
        }
        match away.pop() {
            Some(failure) if away.len() + 1 == flow.targets().len() => Err(failure.into()),
            _ => Ok(circuits),
        }
    }

    /// One call, if the target's circuit breaker lets it pass, recorded before anything else is done.
    async fn perform(
        &self,
        call: &Call<'_>,
        job: &Job<'_>,
        circuits: &mut Circuits,
    ) -> Result<Result<Effect, Failure>, Setback> {
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
            let (request, owner) = (job.request.key(), &job.message.lease.owner);
            self.ledger.record_effect(&request, owner, &call.key(), effect, effect.at).await??;
            self.count_effect(call, job, effect);
        }
        if let Some(health) = health(&result) {
            self.report(call.target, job, circuits, health).await;
        }
        Ok(result)
    }

    fn count_effect(&self, call: &Call<'_>, job: &Job<'_>, effect: Effect) {
        let labels = [("flow", job.flow.name.as_str()), ("target", call.target)];
        let since_event = effect.at.since(job.request.received_at);
        self.metrics.measure(&Metric::once("Effects", &labels));
        self.metrics.measure(&Metric::took("EventToEffect", since_event, &labels));
    }

    /// Asks the target's circuit breaker, once per attempt, unless it was seen closed.
    async fn enter(
        &self,
        target: &str,
        job: &Job<'_>,
        circuits: &mut Circuits,
    ) -> Result<Result<(), Failure>, LedgerError> {
        if circuits.0.contains_key(target) {
            return Ok(Ok(()));
        }
        let now = self.clock.now();
        let owner = &job.message.lease.owner;
        let enter = |breaker: Breaker| breaker.enter(owner, now);
        let (breaker, pass) = self.ledger.change_breaker(target, enter).await?;
        Ok(match pass {
            Pass::Wait { until } => Err(is_away(target, until.since(now))),
            Pass::Go => {
                circuits.0.insert(target.to_owned(), breaker);
                Ok(())
            }
        })
    }

    /// Tells the target's circuit breaker, where that changes anything. The breaker is there to spare
    /// the target: what cannot be told does not hold the request up.
    async fn report(&self, target: &str, job: &Job<'_>, circuits: &mut Circuits, health: Health) {
        let known = circuits.0.entry(target.to_owned()).or_default();
        if health == Health::Up && known.is_sound() {
            return;
        }
        let (owner, now) = (&job.message.lease.owner, self.clock.now());
        let report = |breaker: Breaker| (breaker.report(owner, health, now), ());
        let reported = match self.ledger.change_breaker(target, report).await {
            Ok((reported, ())) => reported,
            Err(error) => {
                tracing::warn!(target, %error, "the circuit breaker could not be told");
                return;
            }
        };
        if reported.as_str() != known.as_str() {
            let (from, to, failures) = (known.as_str(), reported.as_str(), reported.failures);
            tracing::warn!(target, from, to, failures, "circuit breaker");
            self.metrics.measure(&Metric::once("Circuit", &[("target", target), ("to", to)]));
        }
        *known = reported;
    }
}

/// The circuit breakers that this attempt passed, as they were last seen.
#[derive(Default)]
pub(super) struct Circuits(HashMap<String, Breaker>);

/// What a call tells of its target; `None` when the call never got there.
fn health<T>(result: &Result<T, Failure>) -> Option<Health> {
    match result {
        Ok(_) => Some(Health::Up),
        Err(failure) => match failure.reason().class {
            Class::TargetRefused | Class::NotThere | Class::TargetFailed => Some(Health::Up),
            Class::TargetUnavailable => Some(Health::Down),
            _ => None,
        },
    }
}

fn is_away(target: &str, wait: Duration) -> Failure {
    let text = format!("target `{target}` is away, and is asked by one probe at a time");
    Failure::retry_after(Some(wait), Class::CircuitOpen, text).at(target)
}

/// The actions whose conditions hold.
pub(super) fn wanted<'a>(
    flow: &'a Flow,
    variables: &Map<String, Value>,
    actions: &impl Act,
) -> Result<Vec<&'a Action>, Failure> {
    let holds = |condition: &Option<String>| {
        condition.as_ref().map_or(Ok(true), |when| actions.holds(when, variables))
    };
    let mut wanted = Vec::new();
    if holds(&flow.when)? {
        for action in &flow.actions {
            if holds(&action.when)? {
                wanted.push(action);
            }
        }
    }
    if wanted.is_empty() {
        tracing::info!(flow = flow.name, "nothing is to be done, by its conditions");
    }
    Ok(wanted)
}

/// What is left to do. Each attempt begins at another device: devices over which a target fails every
/// time must not use up the time of those behind them.
fn work<'a>(
    job: &Job<'_>,
    wanted: &[&'a Action],
    devices: &BTreeMap<String, Vec<Eui48>>,
) -> Vec<(&'a Action, Eui48)> {
    let mut work = Vec::new();
    for &action in wanted {
        for &device in devices.get(&action.for_each).into_iter().flatten() {
            let key = EffectKey::new(&action.target, &action.operation, device);
            if !job.taken.effects.contains_key(&key) {
                work.push((action, device));
            }
        }
    }
    let earlier = usize::try_from(job.taken.attempt.saturating_sub(1)).unwrap_or(0);
    let first = earlier.saturating_mul(FAILURES_PER_ATTEMPT) % work.len().max(1);
    work.rotate_left(first);
    work
}

/// What templates may use, besides the device: the flow's own fields cannot hide these.
pub(super) fn variables(
    event_id: &str,
    instance: &Instance,
    mut variables: Map<String, Value>,
) -> Map<String, Value> {
    for (name, value) in [
        ("approval_code", instance.approval_code.as_str()),
        ("instance_code", &instance.instance_code),
        ("event_id", event_id),
        ("applicant", &instance.applicant),
        ("serial_number", &instance.serial_number),
    ] {
        variables.insert(name.to_owned(), Value::String(value.to_owned()));
    }
    variables
}

/// How an attempt went so far.
#[derive(Default)]
struct Failures {
    retries: Vec<Reason>,
    retry_after: Option<Duration>,
    give_ups: Vec<Reason>,
    /// Targets that failed over a device, once per device.
    failed: Vec<String>,
    /// Targets that are away, or do not let us in.
    down: Vec<String>,
    /// Whether anything was done.
    is_progress: bool,
    /// Whether anything was not even started.
    is_out_of_time: bool,
}

impl Failures {
    fn of(problems: Vec<impl Into<Reason>>) -> Self {
        Self { give_ups: problems.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    fn add(&mut self, failure: Failure) {
        match failure {
            Failure::GiveUp { reason } => self.give_ups.push(reason),
            Failure::Retry { after, reason } => {
                self.retry_after = self.retry_after.max(after);
                let is_failed = reason.class == Class::TargetFailed;
                let targets = if is_failed { &mut self.failed } else { &mut self.down };
                targets.extend(reason.target.clone());
                self.retries.push(reason);
            }
        }
    }

    /// A target that is away, or fails and fails, is not bothered again in the same attempt.
    fn is_down(&self, target: &str) -> bool {
        let failed = self.failed.iter().filter(|failed| *failed == target).count();
        failed >= FAILURES_PER_ATTEMPT || self.down.iter().any(|down| down == target)
    }

    /// A retry comes before giving up: what cannot work is found again, and told at the end.
    fn into_result(mut self) -> Result<(), Setback> {
        // The first reason gives its class to all: one that is somebody else's must not hide a failure.
        self.retries.sort_by_key(|reason| reason.class == Class::Busy);
        // After progress the rest is tried at once; without any, time is no excuse for what failed.
        if self.is_out_of_time && (self.is_progress || self.retries.is_empty()) {
            let text = "the worker's time ran out before everything was started";
            return Err(Failure::retry(Class::OutOfTime, text).into());
        }
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
