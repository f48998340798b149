//! Performs the effects of a plan: in order per target and device, in parallel up to the
//! concurrency limit of the target.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use serde_json::Value;

use super::effects::Circuits;
use super::error::WorkerError;
use super::{AttemptError, Effects, Job, Plan, PlannedEffect, Processor};
use crate::failure::{Class, Failure, Reason};
use crate::ledger::{Effect, EffectKey};
use crate::mac::Eui48;
use crate::ports::{Act, Call, Clock, Ports, TRACE_ID};
use crate::retry::subject_key;

impl<P: Ports> Processor<P> {
    /// Performs the planned effects that are not recorded yet, and releases exclusive locks.
    pub(super) async fn execute(
        &self,
        job: &Job<'_>,
        plan: Plan<'_>,
        circuits: &Circuits,
        attempt: &mut AttemptResult<'_>,
    ) -> Result<(), AttemptError> {
        let result = self.perform_all(job, plan, circuits, attempt).await;
        self.unlock(job).await;
        result
    }

    /// Waits for and records every call that was started, even when no more are started.
    async fn perform_all(
        &self,
        job: &Job<'_>,
        plan: Plan<'_>,
        circuits: &Circuits,
        attempt: &mut AttemptResult<'_>,
    ) -> Result<(), AttemptError> {
        let mut variables = plan.variables;
        variables.insert("event_id".to_owned(), Value::String(job.request.event_id.clone()));
        if let Some(trace_id) = &job.request.trace_id {
            variables.insert(TRACE_ID.to_owned(), Value::String(trace_id.to_string()));
        }
        let mut progress = Progress::after(plan.problems);
        let mut lanes = lanes(job, &plan.effects);
        let mut running = FuturesUnordered::new();
        loop {
            for (&target, lane) in &mut lanes {
                let permits =
                    if lane.is_proven { self.targets.concurrency(target).max(1) } else { 1 };
                while progress.goes_on()
                    && !lane.is_unreachable
                    && lane.running < permits
                    && let Some(&step) = lane.next()
                {
                    if self.clock.now() >= job.message.budget.no_new_calls_after {
                        progress.is_out_of_time = true;
                        break;
                    }
                    lane.start();
                    let (operation, device) = (step.action.operation.as_str(), step.device);
                    let deadline = job.message.budget.no_new_calls_after;
                    let call = Call { target, operation, device, variables: &variables, deadline };
                    running.push(self.isolated(call, job, circuits, lane.is_proven));
                }
            }
            let Some((call, result)) = running.next().await else { break };
            let Some(lane) = lanes.get_mut(call.target) else { continue };
            let subject = subject_key(call.target, call.device);
            match result {
                Ok(Ok(effect)) => {
                    lane.done(call.device);
                    attempt.failed.remove(&subject);
                    attempt.effects.insert(call.key(), effect);
                    progress.has_effects = true;
                }
                Ok(Err(failure)) => {
                    lane.failed(call.device, &failure);
                    if !failure.reason().class.is_about_whole_target() {
                        attempt.failed.insert(subject);
                    }
                    progress.add(failure.at(call.target));
                }
                Err(error) => {
                    lane.done(call.device);
                    progress.error = progress.error.or(Some(error));
                }
            }
        }
        progress.into_result()
    }

    /// Performs one call. A panic in it must not cancel the other running calls.
    async fn isolated<'a>(
        &self,
        call: Call<'a>,
        job: &Job<'_>,
        circuits: &Circuits,
        is_proven: bool,
    ) -> (Call<'a>, Result<Result<Effect, Failure>, AttemptError>) {
        let performed = AssertUnwindSafe(self.perform(&call, job, circuits, is_proven));
        let performed = performed.catch_unwind().await;
        let panicked = |_| Ok(Err(Failure::retry(Class::InternalError, WorkerError::Panicked)));
        (call, performed.unwrap_or_else(panicked))
    }
}

/// The additions of an attempt to the ledger.
pub(super) struct AttemptResult<'a> {
    pub(super) effects: &'a mut Effects,
    /// The targets and devices that failed, in this attempt or in an earlier one, and are not done
    /// since.
    pub(super) failed: &'a mut BTreeSet<String>,
}

/// The effects at one target; the lanes of different targets are independent.
#[derive(Debug, Default)]
struct Lane<'a> {
    /// Per device, the actions in the order of the flow; each begins when the previous one is done.
    waiting: VecDeque<VecDeque<PlannedEffect<'a>>>,
    /// The devices with a running call, and the actions that follow it.
    under_way: BTreeMap<Eui48, VecDeque<PlannedEffect<'a>>>,
    running: usize,
    /// Whether the target did something in this attempt. Before that it gets one call at a time, so
    /// that an unreachable target is not called more often.
    is_proven: bool,
    /// Whether a failure showed that the target as a whole cannot be used now.
    is_unreachable: bool,
}

impl<'a> Lane<'a> {
    fn next(&self) -> Option<&PlannedEffect<'a>> {
        self.waiting.front()?.front()
    }

    fn start(&mut self) {
        let Some(mut steps) = self.waiting.pop_front() else { return };
        if let Some(step) = steps.pop_front() {
            self.under_way.insert(step.device, steps);
            self.running += 1;
        }
    }

    /// Puts the next action of the device before other devices.
    fn done(&mut self, device: Eui48) {
        self.is_proven = true;
        self.running = self.running.saturating_sub(1);
        if let Some(rest) = self.under_way.remove(&device).filter(|rest| !rest.is_empty()) {
            self.waiting.push_front(rest);
        }
    }

    /// Leaves the other actions of the device to the next attempt.
    fn failed(&mut self, device: Eui48, failure: &Failure) {
        self.running = self.running.saturating_sub(1);
        self.under_way.remove(&device);
        self.is_unreachable |= failure.reason().class.is_about_whole_target();
    }
}

/// The effects to perform, by target. Devices that failed before go last, so that they cannot use
/// up the time of the others; among themselves, each attempt begins at another one.
fn lanes<'a>(job: &Job<'_>, planned: &[PlannedEffect<'a>]) -> BTreeMap<&'a str, Lane<'a>> {
    let mut by_target: BTreeMap<&str, Vec<(Eui48, VecDeque<PlannedEffect<'a>>)>> = BTreeMap::new();
    let mut places = BTreeMap::new();
    for &PlannedEffect { action, device } in planned {
        let steps = by_target.entry(action.target.as_str()).or_default();
        let place = *places.entry((action.target.as_str(), device)).or_insert_with(|| {
            steps.push((device, VecDeque::new()));
            steps.len() - 1
        });
        let key = EffectKey::new(&action.target, &action.operation, device);
        if !job.claimed.effects.contains_key(&key)
            && let Some((_, steps)) = steps.get_mut(place)
        {
            steps.push_back(PlannedEffect { action, device });
        }
    }
    let earlier = usize::try_from(job.claimed.attempt.saturating_sub(1)).unwrap_or(0);
    let failed = job.claimed.failed();
    let lane = |(target, subjects): (&'a str, Vec<(Eui48, VecDeque<PlannedEffect<'a>>)>)| {
        let left = subjects.into_iter().filter(|(_, steps)| !steps.is_empty());
        let (mut last, mut waiting): (VecDeque<_>, VecDeque<_>) =
            left.partition(|(device, _)| failed.contains(&subject_key(target, *device)));
        for group in [&mut waiting, &mut last] {
            let first = earlier % group.len().max(1);
            group.rotate_left(first);
        }
        waiting.append(&mut last);
        let waiting = waiting.into_iter().map(|(_, steps)| steps).collect();
        (target, Lane { waiting, ..Lane::default() })
    };
    by_target.into_iter().map(lane).collect()
}

/// The progress of an attempt.
#[derive(Default)]
struct Progress {
    has_effects: bool,
    /// The error after which no more calls are started.
    error: Option<AttemptError>,
    retries: Vec<(Option<Duration>, Reason)>,
    give_ups: Vec<Reason>,
    /// Whether the time for new calls ended before all were started.
    is_out_of_time: bool,
}

impl Progress {
    fn after(problems: Vec<impl Into<Reason>>) -> Self {
        Self { give_ups: problems.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    fn goes_on(&self) -> bool {
        self.error.is_none() && !self.is_out_of_time
    }

    fn add(&mut self, failure: Failure) {
        match failure {
            Failure::GiveUp { reason } => self.give_ups.push(reason),
            Failure::Retry { after, reason } => {
                self.is_out_of_time |= reason.class == Class::DeadlineExceeded;
                self.retries.push((after, reason));
            }
        }
    }

    /// A retry takes precedence over giving up: a permanent failure fails again, and is reported at
    /// the end.
    fn into_result(mut self) -> Result<(), AttemptError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        // After progress the rest is retried at once; without any, the real failures are reported.
        if self.is_out_of_time && self.has_effects {
            let (after, error) = (Some(Duration::ZERO), WorkerError::OutOfTime);
            return Err(Failure::retry_after(after, Class::DeadlineExceeded, error).into());
        }
        if self.is_out_of_time && self.retries.is_empty() {
            return Err(Failure::retry(Class::DeadlineExceeded, WorkerError::OutOfTime).into());
        }
        // The first reason gives its class to all, and only reasons of its rank determine the wait:
        // the open time of one target's circuit does not apply to another target.
        self.retries.sort_by_key(|(_, reason)| rank(reason.class));
        let Some(first) = self.retries.first().map(|(_, reason)| rank(reason.class)) else {
            return match Reason::joined(&self.give_ups) {
                None => Ok(()),
                Some(reason) => Err(Failure::GiveUp { reason }.into()),
            };
        };
        let of_first = self.retries.iter().filter(|(_, reason)| rank(reason.class) == first);
        let after = of_first.filter_map(|(after, _)| *after).max();
        let reasons = self.retries.into_iter().map(|(_, reason)| reason).chain(self.give_ups);
        let reason = Reason::joined(&reasons.collect::<Vec<_>>());
        reason.map_or(Ok(()), |reason| Err(Failure::Retry { after, reason }.into()))
    }
}

/// Failures take precedence over waits for a lease or an open circuit.
const fn rank(class: Class) -> u8 {
    match class {
        Class::CircuitOpen => 1,
        Class::LeaseHeld => 2,
        _ => 0,
    }
}
