//! One effect per device and action, as many at the same time as a target bears.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use serde_json::Value;

use super::effects::{Circuits, variables, wanted};
use super::{Effects, Job, Processor, Setback};
use crate::extract::Extracted;
use crate::failure::{Class, Failure, Reason};
use crate::flow::Action;
use crate::instance::Instance;
use crate::ledger::{Effect, EffectKey};
use crate::mac::Eui48;
use crate::ports::{Act, Bury, Call, Clock, Ledger, ReadInstance, TRACE_ID};

/// A target that failed over so many devices is left in peace for the rest of the attempt.
const FAILURES_PER_ATTEMPT: usize = 3;

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
        circuits: &Circuits,
        effects: &mut Effects,
    ) -> Result<(), Setback> {
        let result = self.act_on_all(job, instance, extracted, circuits, effects).await;
        self.release(job).await;
        result
    }

    /// Acts on the good devices, whatever is wrong with the others, and leaves out what was done.
    ///
    /// Whatever was started is waited for and recorded, even when nothing more is started.
    async fn act_on_all(
        &self,
        job: &Job<'_>,
        instance: &Instance,
        extracted: Extracted,
        circuits: &Circuits,
        effects: &mut Effects,
    ) -> Result<(), Setback> {
        let mut variables = variables(&job.request.event_id, instance, extracted.values);
        if let Some(trace_id) = &job.request.trace_id {
            variables.insert(TRACE_ID.to_owned(), Value::String(trace_id.to_string()));
        }
        let mut progress = Progress::over(extracted.problems);
        let wanted = wanted(job.flow, &variables, &self.actions)?;
        let mut waiting = VecDeque::from(work(job, &wanted, &extracted.devices));
        let mut running = FuturesUnordered::new();
        let mut current: Option<&Action> = None;
        loop {
            while let Some(&(action, device)) = waiting.front()
                && progress.goes_on()
            {
                if progress.is_down(&action.target) {
                    waiting.pop_front();
                    continue;
                }
                let is_same = current.is_none_or(|current| std::ptr::eq(current, action));
                let width = if is_same { self.width(&action.target, &progress) } else { 1 };
                if running.len() >= width {
                    break;
                }
                if self.clock.now() >= job.message.deadline {
                    progress.is_out_of_time = true;
                    break;
                }
                waiting.pop_front();
                current = Some(action);
                let call = Call {
                    target: &action.target,
                    operation: &action.operation,
                    device,
                    variables: &variables,
                    deadline: job.message.deadline,
                };
                running.push(self.isolated(call, job, circuits));
            }
            let Some((target, key, result)) = running.next().await else { break };
            match result {
                Ok(Ok(effect)) => {
                    progress.proven.insert(target);
                    effects.insert(key, effect);
                }
                Ok(Err(failure)) => progress.add(failure.at(target)),
                Err(setback) => progress.setback = progress.setback.or(Some(setback)),
            }
        }
        progress.into_result()
    }

    /// A panic of one call must not drop the others in the middle of theirs.
    async fn isolated<'a>(
        &self,
        call: Call<'a>,
        job: &Job<'_>,
        circuits: &Circuits,
    ) -> (&'a str, EffectKey, Result<Result<Effect, Failure>, Setback>) {
        let performed = AssertUnwindSafe(self.perform(&call, job, circuits)).catch_unwind().await;
        let panicked = "the worker panicked: the log has the place";
        let panicked = |_| Ok(Err(Failure::retry(Class::Defect, panicked)));
        (call.target, call.key(), performed.unwrap_or_else(panicked))
    }

    /// How many calls may be under way: a target that did nothing in this attempt yet is asked once, so that
    /// one that is away is not asked more often than that.
    fn width(&self, target: &str, progress: &Progress<'_>) -> usize {
        if progress.proven.contains(target) { self.actions.concurrency(target).max(1) } else { 1 }
    }
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

/// How an attempt went so far.
#[derive(Default)]
struct Progress<'a> {
    /// Targets that did something.
    proven: BTreeSet<&'a str>,
    /// Why nothing more is started.
    setback: Option<Setback>,
    retries: Vec<Reason>,
    retry_after: Option<Duration>,
    give_ups: Vec<Reason>,
    /// Targets that failed over a device, once per device.
    failed: Vec<String>,
    /// Targets that are away, or do not let us in.
    down: Vec<String>,
    /// Whether anything was not even started.
    is_out_of_time: bool,
}

impl Progress<'_> {
    fn over(problems: Vec<impl Into<Reason>>) -> Self {
        Self { give_ups: problems.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    fn goes_on(&self) -> bool {
        self.setback.is_none() && !self.is_out_of_time
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
        if let Some(setback) = self.setback {
            return Err(setback);
        }
        // The first reason gives its class to all: one that is somebody else's must not hide a failure.
        self.retries.sort_by_key(|reason| reason.class == Class::Busy);
        // After progress the rest is tried at once; without any, time is no excuse for what failed.
        if self.is_out_of_time && (!self.proven.is_empty() || self.retries.is_empty()) {
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
