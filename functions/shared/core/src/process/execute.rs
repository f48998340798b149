//! Performs the effects of a plan: in order per target and subject, in parallel up to the
//! concurrency limit of the target.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};

use super::effects::Circuits;
use super::error::WorkerError;
use super::{AttemptError, Effects, Job, Plan, PlannedEffect, Processor};
use crate::extract::Problem;
use crate::failure::{Class, Failure, Reason};
use crate::ledger::Effect;
use crate::ports::{Act, Call, Clock, Ports};
use crate::retry::subject_key;
use crate::subject::Subject;

impl<P: Ports> Processor<P> {
    /// Performs the planned effects that are not recorded yet, and releases exclusive locks.
    pub(super) async fn execute(
        &self,
        job: &Job<'_>,
        plan: &Plan<'_>,
        circuits: &Circuits,
        attempt: &mut AttemptResult<'_>,
    ) -> Result<(), AttemptError> {
        let result = self.perform_all(job, plan, circuits, attempt).await;
        for target in job.flow.targets() {
            self.unlock(target, &job.message.lease.id).await;
        }
        result
    }

    /// Waits for and records every call that was started, even when no more are started.
    async fn perform_all(
        &self,
        job: &Job<'_>,
        plan: &Plan<'_>,
        circuits: &Circuits,
        attempt: &mut AttemptResult<'_>,
    ) -> Result<(), AttemptError> {
        let mut progress = Progress::after(&plan.problems);
        let mut lanes = lanes(job, &plan.effects);
        let mut running = FuturesUnordered::new();
        loop {
            for (&target, lane) in &mut lanes {
                let permits =
                    if lane.is_proven { self.targets.concurrency(target).max(1) } else { 1 };
                while progress.goes_on()
                    && !lane.is_unreachable
                    && lane.running < permits
                    && let Some(step) = lane.next()
                {
                    if self.clock.now() >= job.message.budget.no_new_calls_after {
                        progress.is_out_of_time = true;
                        break;
                    }
                    lane.start();
                    running.push(self.isolated(step, plan, job, circuits, lane.is_proven));
                }
            }
            let Some((step, result)) = running.next().await else { break };
            let (target, subject) = (step.action.target.as_str(), step.subject.as_ref());
            let Some(lane) = lanes.get_mut(target) else { continue };
            let key = subject_key(target, subject);
            match result {
                Ok(Ok(effect)) => {
                    lane.done(subject);
                    attempt.failed.remove(&key);
                    attempt.effects.insert(step.key(), effect);
                    progress.has_effects = true;
                }
                Ok(Err(failure)) => {
                    lane.failed(subject, &failure);
                    if !failure.reason().class.is_about_whole_target() {
                        attempt.failed.insert(key);
                    }
                    progress.add(failure.at(target));
                }
                Err(error) => {
                    lane.done(subject);
                    progress.error = progress.error.or(Some(error));
                }
            }
        }
        progress.into_result()
    }

    /// Performs one effect. A panic in it must not cancel the other running calls.
    async fn isolated<'a, 'p>(
        &self,
        step: &'a PlannedEffect<'p>,
        plan: &Plan<'_>,
        job: &Job<'_>,
        circuits: &Circuits,
        is_proven: bool,
    ) -> (&'a PlannedEffect<'p>, Result<Result<Effect, Failure>, AttemptError>) {
        let call = Call {
            job: job.key.as_str(),
            target: &step.action.target,
            operation: &step.action.operation,
            subject: step.subject.as_ref(),
            variables: &plan.variables(step),
            trace_id: job.request.trace_id.as_ref(),
            deadline: job.message.budget.no_new_calls_after,
        };
        let performed = AssertUnwindSafe(self.perform(&call, step, job, circuits, is_proven));
        let performed = performed.catch_unwind().await;
        let panicked = |_| Ok(Err(Failure::retry(Class::InternalError, WorkerError::Panicked)));
        (step, performed.unwrap_or_else(panicked))
    }
}

/// The additions of an attempt to the ledger.
pub(super) struct AttemptResult<'a> {
    pub(super) effects: &'a mut Effects,
    /// The targets and subjects that failed, in this attempt or in an earlier one, and are not done
    /// since.
    pub(super) failed: &'a mut BTreeSet<String>,
}

/// The actions on one subject that are left, in the order of the flow.
type Steps<'a> = VecDeque<&'a PlannedEffect<'a>>;

/// The effects at one target; the lanes of different targets are independent.
#[derive(Debug, Default)]
struct Lane<'a> {
    /// Per subject, the actions in the order of the flow; each begins when the previous one is
    /// done.
    waiting: VecDeque<Steps<'a>>,
    /// The subjects with a running call, and the actions that follow it.
    under_way: BTreeMap<Option<&'a Subject>, Steps<'a>>,
    running: usize,
    /// Whether the target did something in this attempt. Before that it gets one call at a time, so
    /// that an unreachable target is not called more often.
    is_proven: bool,
    /// Whether a failure showed that the target as a whole cannot be used now.
    is_unreachable: bool,
}

impl<'a> Lane<'a> {
    fn next(&self) -> Option<&'a PlannedEffect<'a>> {
        self.waiting.front()?.front().copied()
    }

    fn start(&mut self) {
        let Some(mut steps) = self.waiting.pop_front() else { return };
        if let Some(step) = steps.pop_front() {
            self.under_way.insert(step.subject.as_ref(), steps);
            self.running += 1;
        }
    }

    /// Puts the next action of the subject before other subjects.
    fn done(&mut self, subject: Option<&'a Subject>) {
        self.is_proven = true;
        self.running = self.running.saturating_sub(1);
        if let Some(rest) = self.under_way.remove(&subject).filter(|rest| !rest.is_empty()) {
            self.waiting.push_front(rest);
        }
    }

    /// Leaves the other actions of the subject to the next attempt.
    fn failed(&mut self, subject: Option<&'a Subject>, failure: &Failure) {
        self.running = self.running.saturating_sub(1);
        self.under_way.remove(&subject);
        self.is_unreachable |= failure.reason().class.is_about_whole_target();
    }
}

/// The effects to perform, by target. Subjects that failed before go last, so that they cannot use
/// up the time of the others; among themselves, each attempt begins at another one.
fn lanes<'a>(job: &Job<'_>, planned: &'a [PlannedEffect<'a>]) -> BTreeMap<&'a str, Lane<'a>> {
    let mut by_target: BTreeMap<&str, Vec<(Option<&Subject>, Steps<'a>)>> = BTreeMap::new();
    let mut places = BTreeMap::new();
    for step in planned {
        let (target, subject) = (step.action.target.as_str(), step.subject.as_ref());
        let subjects = by_target.entry(target).or_default();
        let place = *places.entry((target, subject)).or_insert_with(|| {
            subjects.push((subject, VecDeque::new()));
            subjects.len() - 1
        });
        if !job.claimed.effects.contains_key(&step.key())
            && let Some((_, steps)) = subjects.get_mut(place)
        {
            steps.push_back(step);
        }
    }
    let earlier = usize::try_from(job.claimed.attempt.saturating_sub(1)).unwrap_or(0);
    let failed = job.claimed.failed();
    let lane = |(target, subjects): (&'a str, Vec<(Option<&Subject>, Steps<'a>)>)| {
        let left = subjects.into_iter().filter(|(_, steps)| !steps.is_empty());
        let (mut last, mut waiting): (VecDeque<_>, VecDeque<_>) =
            left.partition(|(subject, _)| failed.contains(&subject_key(target, *subject)));
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
    fn after(problems: &[Problem]) -> Self {
        Self { give_ups: problems.iter().cloned().map(Into::into).collect(), ..Self::default() }
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
        // What is not wanted any more is no reason for a dead letter, and hides none.
        if self.give_ups.iter().any(|reason| reason.class != Class::Withdrawn) {
            self.give_ups.retain(|reason| reason.class != Class::Withdrawn);
        }
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
        Class::LeaseHeld | Class::GrantHeld => 2,
        _ => 0,
    }
}
