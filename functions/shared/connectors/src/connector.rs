//! Common parts of all connectors, and their checks against flows.

#![warn(missing_docs)]

use std::collections::{BTreeMap, BTreeSet};

use greenlight_core::flow::{self, Action, Flow, Kind};
use greenlight_core::ports::Call;
use greenlight_core::renamed::{Rename, find_renamed};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub use crate::error::{ConditionProblem, ConnectorError, ParamProblem};
use crate::template::condition_needs;

/// How far a target was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// It responds. Whether it accepts the credentials is known after the first effect.
    Answers,
    /// It accepted the credentials.
    LoggedIn,
}

/// Variables about the request, for templates and conditions.
const OF_REQUEST: [&str; 5] =
    ["definition_id", "instance_id", "event_id", "applicant", "form_number"];

/// Variables about the call, for templates only.
const OF_CALL: [&str; 3] = ["mac", "params", "now"];

/// The protocol between a connector and its targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP.
    #[default]
    Http,
    /// SQL.
    Sql,
}

/// A parameter of a target.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Param {
    /// Description, for people.
    pub description: String,
    /// Default value; without one the target must set it.
    pub default: Option<toml::Value>,
}

/// Keys of the first edition.
const RENAMES: &[Rename] = &[
    Rename { at: &[], old: "speaks", new: "protocol" },
    Rename { at: &["params", "*"], old: "about", new: "description" },
    Rename { at: &["auth"], old: "lifetime", new: "expires_in" },
    Rename { at: &["auth"], old: "refused", new: "unauthorized_status" },
    Rename { at: &["auth"], old: "refused_when", new: "unauthorized_when" },
    Rename { at: &["auth", "login"], old: "save", new: "capture" },
    Rename { at: &["auth", "login", "outcomes"], old: "is", new: "result" },
    Rename { at: &["auth", "login", "outcomes"], old: "because", new: "reason" },
    Rename { at: &["operations", "*"], old: "save", new: "capture" },
    Rename { at: &["operations", "*"], old: "start", new: "vars" },
    Rename { at: &["operations", "*", "outcomes"], old: "is", new: "result" },
    Rename { at: &["operations", "*", "outcomes"], old: "because", new: "reason" },
];

/// Parses a connector file into `T`.
pub(crate) fn read<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, ConnectorError> {
    toml::from_str(text).map_err(|error| {
        let connector = name.to_owned();
        match find_renamed(text, RENAMES) {
            Some(key) => ConnectorError::Renamed { connector, key },
            None => ConnectorError::Toml { connector, problem: error.to_string() },
        }
    })
}

/// Returns the first name of a path such as `params.site`: the variable.
pub(crate) fn variable(needed: &str) -> &str {
    needed.split('.').next().unwrap_or(needed)
}

/// Returns the variables that are defined for every call.
pub(crate) fn always_there() -> impl Iterator<Item = &'static str> {
    OF_REQUEST.into_iter().chain(OF_CALL)
}

/// Returns the initial values for a call's templates.
pub(crate) fn variables(
    call: &Call<'_>,
    mac: String,
    params: &Value,
    optional: &[String],
    now: i64,
) -> Map<String, Value> {
    let mut variables = call.variables.clone();
    for optional in optional {
        variables.entry(optional.clone()).or_insert(Value::Null);
    }
    variables.insert("mac".to_owned(), Value::String(mac));
    variables.insert("params".to_owned(), params.clone());
    variables.insert("now".to_owned(), now.into());
    variables
}

fn gives(flow: &Flow, variable: &str) -> bool {
    flow.fields.get(variable).is_some_and(|rule| rule.kind != Kind::Mac)
}

/// Checks that the flow defines the variables that an operation needs.
pub(crate) fn check_needs(
    flow: &Flow,
    action: &Action,
    needed: BTreeSet<String>,
) -> Result<(), ConnectorError> {
    let is_missing =
        |name: &String| !always_there().any(|always| always == name) && !gives(flow, name);
    match needed.into_iter().find(is_missing) {
        None => Ok(()),
        Some(variable) => Err(ConnectorError::MissingVariable {
            flow: flow.name.clone(),
            target: action.target.clone(),
            operation: action.operation.clone(),
            variable,
        }),
    }
}

/// Checks that the parameters that templates use are declared.
pub(crate) fn check_params(
    connector: &str,
    declared: &BTreeMap<String, Param>,
    needed: &BTreeSet<String>,
) -> Result<(), ConnectorError> {
    let named = needed.iter().filter_map(|needed| needed.strip_prefix("params."));
    match named.map(variable).find(|param| !declared.contains_key(*param)) {
        None => Ok(()),
        Some(param) => Err(ConnectorError::UndeclaredParam {
            connector: connector.to_owned(),
            param: param.to_owned(),
        }),
    }
}

/// Returns the error that `action` names an operation that is not in `known`.
pub(crate) fn unknown_operation<'a>(
    flow: &Flow,
    action: &Action,
    known: impl Iterator<Item = &'a String>,
) -> ConnectorError {
    let known: Vec<_> = known.map(String::as_str).collect();
    ConnectorError::UnknownOperation {
        flow: flow.name.clone(),
        target: action.target.clone(),
        operation: action.operation.clone(),
        known: known.join(", "),
    }
}

/// Checks that the conditions of `flow` compile and use only its variables.
pub(crate) fn check_conditions(flow: &Flow) -> Vec<ConnectorError> {
    let of_actions = flow.actions.iter().filter_map(|action| action.when.as_deref());
    let conditions = flow.when.as_deref().into_iter().chain(of_actions);
    let problem = |condition: &str| {
        let needed = match condition_needs(condition) {
            Ok(needed) => needed,
            Err(error) => return Some(ConditionProblem::NotCompiled(error.to_string())),
        };
        let is_given = |needed: &&String| {
            let variable = variable(needed);
            OF_REQUEST.contains(&variable) || gives(flow, variable)
        };
        let unknown = needed.iter().find(|needed| !is_given(needed))?;
        Some(ConditionProblem::Unknown { variable: unknown.clone() })
    };
    let wrong = conditions.filter_map(|condition| Some((condition, problem(condition)?)));
    wrong
        .map(|(condition, problem)| ConnectorError::Condition {
            flow: flow.name.clone(),
            condition: condition.to_owned(),
            problem,
        })
        .collect()
}

/// Returns the parameters of a target, with the connector's defaults.
pub(crate) fn params(
    name: &str,
    target: &flow::Target,
    declared: &BTreeMap<String, Param>,
) -> Result<Value, ConnectorError> {
    let wrong = |param: &str, problem: ParamProblem| {
        Err(ConnectorError::Param { target: name.to_owned(), param: param.to_owned(), problem })
    };
    if let Some(unknown) = target.params.keys().find(|key| !declared.contains_key(*key)) {
        let known: Vec<_> = declared.keys().map(String::as_str).collect();
        return wrong(unknown, ParamProblem::Unknown { known: known.join(", ") });
    }
    let mut values = Map::new();
    for (key, param) in declared {
        let Some(value) = target.params.get(key).or(param.default.as_ref()) else {
            let description = param.description.clone();
            return wrong(key, ParamProblem::Missing { description });
        };
        values.insert(key.clone(), serde_json::to_value(value).unwrap_or_default());
    }
    Ok(Value::Object(values))
}
