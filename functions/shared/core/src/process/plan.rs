//! What an instance would lead to, without doing it.

use serde_json::{Map, Value};

use super::effects::{variables, wanted};
use crate::extract::{Problem, extract};
use crate::failure::Failure;
use crate::flow::{Action, Flow};
use crate::instance::Instance;
use crate::mac::Eui48;
use crate::ports::Act;

/// What an instance would lead to.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The values that templates may use, besides the device.
    pub variables: Map<String, Value>,
    /// What would be done, in order.
    pub work: Vec<(&'a Action, Eui48)>,
    /// What is wrong with the form.
    pub problems: Vec<Problem>,
}

/// What `instance` would lead to by `flow`, as [`super::process`] would see it.
///
/// # Errors
/// [`Failure`] when a condition cannot be told.
pub fn plan<'a>(
    flow: &'a Flow,
    instance: &Instance,
    actions: &impl Act,
) -> Result<Plan<'a>, Failure> {
    let extracted = extract(flow, &instance.form);
    let variables = variables("dry-run", instance, extracted.values);
    let mut work = Vec::new();
    for action in wanted(flow, &variables, actions)? {
        let devices = extracted.devices.get(&action.for_each).into_iter().flatten();
        work.extend(devices.map(|&device| (action, device)));
    }
    Ok(Plan { variables, work, problems: extracted.problems })
}
