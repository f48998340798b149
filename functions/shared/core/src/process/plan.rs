//! The effects that an instance leads to by its flow, as data: the dry run prints it, the worker
//! executes it.

use std::collections::{BTreeSet, HashSet};

use serde_json::{Map, Value};

use super::error::WorkerError;
use crate::extract::{Extracted, Problem, extract};
use crate::failure::{Class, Failure};
use crate::flow::{Action, Flow};
use crate::instance::Instance;
use crate::ledger::EffectKey;
use crate::mac::Eui48;
use crate::ports::Conditions;

/// One effect of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedEffect<'a> {
    /// The target and its operation.
    pub action: &'a Action,
    pub device: Eui48,
}

/// The effects of a flow for an instance, and the problems of its form.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The values that templates may use, besides the device and the event id.
    pub variables: Map<String, Value>,
    /// The effects, each once, in the order of the flow's actions.
    pub effects: Vec<PlannedEffect<'a>>,
    /// The problems of the form.
    pub problems: Vec<Problem>,
    /// All valid devices of the form.
    pub devices: BTreeSet<Eui48>,
    /// The number of devices with a random address that were accepted.
    pub random_mac: usize,
}

/// Plans the effects of `instance` by `flow`.
///
/// An action that uses a field which is filled in but unreadable is not planned: without that value
/// it could grant more than was requested, such as access without an end date. Later actions on the
/// same devices at the same target are not planned either, as their order must be kept.
///
/// # Errors
/// [`Failure`] when a condition cannot be evaluated, or the ledger could not keep so many effects.
pub fn plan<'a>(
    flow: &'a Flow,
    instance: &Instance,
    conditions: &impl Conditions,
) -> Result<Plan<'a>, Failure> {
    let Extracted { devices, values, unreadable, problems, random_mac } =
        extract(flow, &instance.form);
    let variables = variables(instance, values);
    let mut effects = Vec::new();
    let (mut planned, mut held_back) = (HashSet::new(), HashSet::new());
    for Wanted { action, is_wanted } in wanted(flow, &variables, &unreadable, conditions)? {
        for &device in devices.get(&action.for_each).into_iter().flatten() {
            let subject = (action.target.as_str(), device);
            if !is_wanted {
                held_back.insert(subject);
            } else if !held_back.contains(&subject)
                // Two fields can name the same device.
                && planned.insert(EffectKey::new(&action.target, &action.operation, device))
            {
                effects.push(PlannedEffect { action, device });
            }
        }
    }
    check_size(&planned)?;
    let devices = devices.into_values().flatten().collect();
    Ok(Plan { variables, effects, problems, devices, random_mac })
}

/// `DynamoDB` allows 400 KB per item, and all effects of a request are in its item:
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>.
/// The rest is for the other attributes of the request.
const MAX_BYTES_OF_EFFECTS: usize = 350_000;

/// The size of an effect in an item besides its key: outcome, time, and the key of the subject if
/// it failed before.
const BYTES_PER_EFFECT: usize = 64;

fn check_size(planned: &HashSet<EffectKey>) -> Result<(), Failure> {
    let bytes = |key: &EffectKey| 2 * key.as_str().len() + BYTES_PER_EFFECT;
    let total: usize = planned.iter().map(bytes).sum();
    if total <= MAX_BYTES_OF_EFFECTS {
        return Ok(());
    }
    let error = WorkerError::TooManyEffects { effects: planned.len() };
    Err(Failure::give_up(Class::InvalidForm, error))
}

/// An action whose conditions hold, or cannot be evaluated.
struct Wanted<'a> {
    action: &'a Action,
    /// Whether it can be performed: every value that it or its condition uses is readable.
    is_wanted: bool,
}

/// The actions whose conditions are true or depend on a field that cannot be read.
fn wanted<'a>(
    flow: &'a Flow,
    variables: &Map<String, Value>,
    unreadable: &BTreeSet<String>,
    conditions: &impl Conditions,
) -> Result<Vec<Wanted<'a>>, Failure> {
    let is_unreadable =
        |when: &str| unreadable.iter().any(|field| conditions.condition_uses(when, field));
    let mut wanted = Vec::new();
    let is_open = flow.when.as_deref().is_some_and(is_unreadable);
    if !is_open && !holds(flow.when.as_deref(), variables, conditions)? {
        tracing::info!(flow = flow.name, "no action: the condition of the flow is false");
        return Ok(wanted);
    }
    for action in &flow.actions {
        let is_open = is_open || action.when.as_deref().is_some_and(is_unreadable);
        if is_open || holds(action.when.as_deref(), variables, conditions)? {
            let uses = |field: &String| conditions.uses(&action.target, &action.operation, field);
            wanted.push(Wanted { action, is_wanted: !is_open && !unreadable.iter().any(uses) });
        }
    }
    if wanted.is_empty() {
        tracing::info!(flow = flow.name, "no action: the conditions of all actions are false");
    }
    Ok(wanted)
}

fn holds(
    condition: Option<&str>,
    variables: &Map<String, Value>,
    conditions: &impl Conditions,
) -> Result<bool, Failure> {
    condition.map_or(Ok(true), |when| conditions.holds(when, variables))
}

/// Adds the variables of the instance for templates; fields of the flow cannot hide them.
fn variables(instance: &Instance, mut variables: Map<String, Value>) -> Map<String, Value> {
    for (name, value) in [
        ("definition_id", instance.definition_id.as_str()),
        ("instance_id", &instance.instance_id),
        ("applicant", &instance.applicant),
        ("form_number", &instance.form_number),
    ] {
        variables.insert(name.to_owned(), Value::String(value.to_owned()));
    }
    variables
}
