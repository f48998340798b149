//! Runs an operation: its steps in order, until one of them determines the outcome.

use std::time::Duration;

use greenlight_core::explain::{Explain, Explanation};
use greenlight_core::grant::Session;
use greenlight_core::ledger::EffectOutcome;
use greenlight_core::ports::{Call, Clock, Http, ReadSecret};
use greenlight_core::{Class, Failure};
use minijinja::Value as Context;
use serde_json::{Map, Value};

use super::HttpConnector;
use super::connector::{Method, Operation, Step};
use super::error::{CallError, OperationAt};
use super::exchange::{HttpTarget, LONGEST_QUICK_WAIT};
use super::outcome::{RuleResult, judge};
use super::render;
use crate::template::{context, holds, value_of_answer};

/// The most requests per step within an attempt; longer waits go to the queue.
const QUICK_TRIES: u32 = 3;

/// The wait before the second request; doubled before the third.
const QUICK_WAIT: Duration = Duration::from_millis(200);

/// How often a step can `repeat`, for pages of a list and for polling.
const MAX_REPEATS: u32 = 200;

/// The result of a step.
enum StepEnd {
    Next,
    Over(EffectOutcome),
}

impl<H: Http, S: ReadSecret, C: Clock> HttpConnector<H, S, C> {
    /// Runs the steps in order. If no step determines the outcome: `Done`, or `AlreadyExists` if
    /// all steps were GET requests.
    /// `variables` are those of the call, and then also what the steps captured.
    pub(super) async fn run(
        &self,
        target: &HttpTarget<H>,
        operation: &Operation,
        call: &Call<'_>,
        variables: &mut Map<String, Value>,
    ) -> Result<EffectOutcome, Failure> {
        let mut outcome = EffectOutcome::AlreadyExists;
        let mut has_changed = false;
        for (number, step) in operation.steps.iter().enumerate() {
            if !applies(target, step, variables)? {
                continue;
            }
            if number > 0 && self.clock.now() >= call.deadline {
                let error = CallError::NotStarted { at: OperationAt::of(call, step) };
                return Err(Failure::retry(Class::DeadlineExceeded, error));
            }
            start(target, step, variables)?;
            if step.method != Method::Get {
                outcome = EffectOutcome::Done;
            }
            match self.run_step(target, step, call, variables).await {
                Ok(StepEnd::Next) => {}
                Ok(StepEnd::Over(outcome)) => return Ok(outcome),
                Err(failure) if has_changed => return Err(failure.after_a_change()),
                Err(failure) => return Err(failure),
            }
            has_changed |= step.method != Method::Get;
        }
        Ok(outcome)
    }

    /// Runs one step; repeats it at once after a transient failure.
    async fn run_step(
        &self,
        target: &HttpTarget<H>,
        step: &Step,
        call: &Call<'_>,
        variables: &mut Map<String, Value>,
    ) -> Result<StepEnd, Failure> {
        let (mut tried, mut repeats) = (1, 0);
        loop {
            let result = self.try_step(target, step, call, variables).await;
            let (wait, failure) = match result {
                Ok(Tried::End(end)) => return Ok(end),
                Ok(Tried::Repeat(wait)) if repeats < MAX_REPEATS => {
                    repeats += 1;
                    let error = CallError::NotFinished { at: OperationAt::of(call, step) };
                    (wait, Failure::retry(Class::TargetFailed, error))
                }
                Ok(Tried::Repeat(_)) => {
                    let error = CallError::Endless { at: OperationAt::of(call, step) };
                    return Err(Failure::retry(Class::TargetFailed, error));
                }
                Err(Failure::Retry { after, reason }) => {
                    let wait = after.unwrap_or_else(|| {
                        QUICK_WAIT.mul_f64(f64::from(tried) * (0.5 + fastrand::f64()))
                    });
                    let is_login = reason.class == Class::TargetAuthFailed;
                    let failure = Failure::Retry { after, reason };
                    if is_login || tried == QUICK_TRIES || wait > LONGEST_QUICK_WAIT {
                        return Err(failure);
                    }
                    tried += 1;
                    (wait, failure)
                }
                // An earlier try may have arrived, although its answer was lost.
                Err(failure) if tried > 1 && step.method != Method::Get => {
                    return Err(failure.after_a_change());
                }
                Err(failure) => return Err(failure),
            };
            if self.clock.now().plus(wait) >= call.deadline {
                return Err(failure);
            }
            if !wait.is_zero() {
                self.clock.sleep(wait).await;
            }
        }
    }

    async fn try_step(
        &self,
        target: &HttpTarget<H>,
        step: &Step,
        call: &Call<'_>,
        variables: &mut Map<String, Value>,
    ) -> Result<Tried, Failure> {
        let answer = self.exchange(target, step, variables).await?;
        let mut saved = Map::new();
        if !step.capture.is_empty() {
            let context = answer.context(variables);
            for (name, template) in &step.capture {
                let value = value_of_answer(template, &context).unwrap_or(Value::Null);
                saved.insert(name.clone(), value);
            }
        }
        let context = if step.outcomes.iter().any(|rule| rule.when.is_some()) {
            let mut variables = variables.clone();
            variables.extend(saved.clone());
            answer.context(&variables)
        } else {
            Context::UNDEFINED
        };
        let judged = judge(&step.outcomes, &answer, &context, self.clock.now())
            .map_err(|error| target.unrenderable(step, error))?;
        let status = answer.status.as_u16();
        let answered_with = |reason: Explanation| CallError::AnsweredWith {
            at: OperationAt::of(call, step),
            status,
            reason,
        };
        if let Some(misfit) = target.connector.misfit(step, &answer, judged.result) {
            let failure = Failure::give_up(Class::TargetRejected, answered_with(misfit.explain()));
            let may_have_changed = step.method != Method::Get && answer.status.is_success();
            return Err(if may_have_changed { failure.after_a_change() } else { failure });
        }
        // The answer of a retried step is not captured: the retry requests the same page.
        if !matches!(judged.result, RuleResult::Retry | RuleResult::Fail) {
            variables.extend(saved);
        }
        let error = || match judged.reason {
            "" => CallError::Answered { at: OperationAt::of(call, step), status },
            // A connector file has its texts in one language.
            reason => answered_with(Explanation::quoted(reason)),
        };
        match judged.result {
            RuleResult::Done => Ok(Tried::End(StepEnd::Over(EffectOutcome::Done))),
            RuleResult::AlreadyExists => {
                Ok(Tried::End(StepEnd::Over(EffectOutcome::AlreadyExists)))
            }
            RuleResult::Next => Ok(Tried::End(StepEnd::Next)),
            RuleResult::Repeat => Ok(Tried::Repeat(judged.after.unwrap_or_default())),
            RuleResult::Retry => Err(Failure::retry_after(judged.after, judged.class, error())),
            RuleResult::Fail | RuleResult::NotFound => Err(Failure::give_up(judged.class, error())),
        }
    }
}

impl Operation {
    /// Returns what became of a session, by the variables at the end of the operation. What is
    /// neither word counts as a session that may last.
    pub(super) fn session(&self, variables: &Map<String, Value>) -> Option<Session> {
        let template = self.session.as_ref()?;
        let value = value_of_answer(template, &context(variables)).unwrap_or(Value::Null);
        Some(serde_json::from_value(value).unwrap_or(Session::MayLast))
    }
}

/// The result of one answer.
enum Tried {
    End(StepEnd),
    Repeat(Duration),
}

/// Returns whether a step's condition holds.
fn applies<H>(
    target: &HttpTarget<H>,
    step: &Step,
    variables: &Map<String, Value>,
) -> Result<bool, Failure> {
    let Some(when) = &step.when else { return Ok(true) };
    holds(when, &context(variables)).map_err(|error| target.unrenderable(step, error))
}

/// Sets the initial values of a step.
fn start<H>(
    target: &HttpTarget<H>,
    step: &Step,
    variables: &mut Map<String, Value>,
) -> Result<(), Failure> {
    for (name, value) in &step.vars {
        let value = render::json(value, &context(variables))
            .map_err(|error| target.unrenderable(step, error))?;
        variables.insert(name.clone(), value);
    }
    Ok(())
}
