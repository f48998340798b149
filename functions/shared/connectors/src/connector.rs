//! Common parts of all connectors, and their checks against flows.

#![warn(missing_docs)]

use std::collections::{BTreeMap, BTreeSet};

use greenlight_core::VALID_UNTIL;
use greenlight_core::flow::{self, Action, Flow, NotBound, WhenWithdrawn};
use greenlight_core::ledger::{EffectKey, EffectKind};
use greenlight_core::ports::Call;
use greenlight_core::renamed::{Rename, find_renamed};
use greenlight_core::subject::{self, MAC, SubjectKind, kind_named};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

pub use crate::error::{
    CheckProblem, ConditionProblem, ConnectorError, MissingVariable, ParamProblem, ReadProblem,
    RevokedByProblem, SessionProblem,
};
use crate::filters::hex;
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

/// Those that are known before an instance is read.
pub(crate) const BEFORE_READ: [&str; 3] = ["definition_id", "instance_id", "event_id"];

/// Variables about the call, for templates only.
pub(crate) const OF_CALL: [&str; 3] = ["params", "now", "effect_id"];

/// The name that an operation captures an approval under, for a source that is read with it.
pub const DOCUMENT: &str = "document";

/// The variable with the trace id, if there is one. No template can name it.
pub(crate) const TRACE_ID: &str = "trace id";

/// How a connector writes subjects, by kind.
pub(crate) type Formats = BTreeMap<String, toml::Table>;

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
    Rename { at: &[], old: "mac", new: "formats.mac" },
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

/// Checks that the formats are those of kinds of subjects.
pub(crate) fn check_formats(connector: &str, formats: &Formats) -> Result<(), ConnectorError> {
    for (name, options) in formats {
        let connector = || connector.to_owned();
        let Some(kind) = kind_named(name) else {
            let known: Vec<_> = subject::KINDS.iter().map(|kind| kind.name()).collect();
            let (kind, known) = (name.clone(), known.join(", "));
            return Err(ConnectorError::UnknownKind { connector: connector(), kind, known });
        };
        kind.format(kind.example(), options).map_err(|problem| ConnectorError::Format {
            connector: connector(),
            kind: kind.name(),
            problem,
        })?;
    }
    Ok(())
}

/// Returns the variables that are defined for every call.
pub(crate) fn always_there() -> impl Iterator<Item = &'static str> {
    OF_REQUEST.into_iter().chain(OF_CALL)
}

/// Returns the initial values for a call's templates.
pub(crate) fn variables(
    call: &Call<'_>,
    formats: &Formats,
    params: &Value,
    optional: &[String],
    now: i64,
) -> Map<String, Value> {
    let mut variables = call.variables.clone();
    for optional in optional {
        variables.entry(optional.clone()).or_insert(Value::Null);
    }
    if let Some(subject) = call.subject {
        let (kind, none) = (subject.kind(), toml::Table::new());
        let options = formats.get(kind.name()).unwrap_or(&none);
        // The check of the file has formatted the kind's example.
        let formatted = kind.format(subject.value(), options);
        let formatted = Value::String(formatted.unwrap_or_else(|_| subject.value().to_owned()));
        if kind == &MAC as &dyn SubjectKind {
            variables.insert(MAC.name().to_owned(), formatted.clone());
        }
        variables.insert(subject::VARIABLE.to_owned(), formatted);
    }
    if let Some(trace_id) = call.trace_id {
        variables.insert(TRACE_ID.to_owned(), Value::String(trace_id.to_string()));
    }
    variables.insert("effect_id".to_owned(), Value::String(effect_id(call)));
    variables.insert("params".to_owned(), params.clone());
    variables.insert("now".to_owned(), now.into());
    variables
}

/// An id in the shape of a UUID that is the same in every attempt of an effect, and of no other
/// effect: a target that remembers it performs the operation once.
fn effect_id(call: &Call<'_>) -> String {
    let digest = Sha256::digest(format!("{}\n{}", call.job, call.key().as_str()));
    let mut id = hex(&digest[..16]);
    for place in [20, 16, 12, 8] {
        id.insert(place, '-');
    }
    id
}

/// Checks that the action has the variables that an operation needs. An `optional` field may be
/// missing in the flow, but one that is there must have a value that is the action's.
pub(crate) fn check_needs(
    flow: &Flow,
    action: &Action,
    kind: EffectKind,
    needed: BTreeSet<String>,
    optional: &[String],
) -> Result<(), ConnectorError> {
    let has_end = kind == EffectKind::Grant && flow.grant.has_end();
    for variable in needed {
        let cause = match subject_of(flow, action) {
            _ if has_end && variable == VALID_UNTIL => continue,
            _ if always_there().any(|always| always == variable) => continue,
            Some(_) if variable == subject::VARIABLE => continue,
            Some(kind) if variable == MAC.name() && kind == &MAC as &dyn SubjectKind => continue,
            None if variable == subject::VARIABLE => MissingVariable::NoSubject,
            _ => match flow.binds(action, &variable) {
                Ok(()) => continue,
                Err(NotBound::Unknown) if optional.contains(&variable) => continue,
                Err(NotBound::Unknown) if variable == MAC.name() => MissingVariable::NoDevice,
                Err(cause) => cause.into(),
            },
        };
        return Err(ConnectorError::MissingVariable {
            flow: flow.name.clone(),
            target: action.target.clone(),
            operation: action.operation.clone(),
            variable,
            cause,
        });
    }
    Ok(())
}

/// The kind of the subjects of an action.
fn subject_of(flow: &Flow, action: &Action) -> Option<&'static dyn SubjectKind> {
    flow.fields.get(action.for_each.as_ref()?)?.kind.subject()
}

/// Checks that an operation about access has a subject: nothing else could hold it, or lose it.
pub(crate) fn check_kind(
    flow: &Flow,
    action: &Action,
    kind: EffectKind,
) -> Result<(), ConnectorError> {
    if !kind.is_about_access() || action.for_each.is_some() {
        return Ok(());
    }
    let (flow, operation) = (flow.name.clone(), action.operation.clone());
    Err(ConnectorError::NoSubject { flow, target: action.target.clone(), operation, kind })
}

/// Checks that access which ends can be removed.
pub(crate) fn check_end(
    flow: &Flow,
    action: &Action,
    kind: EffectKind,
    revoked_by: Option<&str>,
) -> Result<(), ConnectorError> {
    let goes_on = !flow.grant.has_end() && flow.grant.when_withdrawn == WhenWithdrawn::Keep;
    if kind != EffectKind::Grant || revoked_by.is_some() || goes_on {
        return Ok(());
    }
    let (flow, operation) = (flow.name.clone(), action.operation.clone());
    Err(ConnectorError::NoRemoval { flow, target: action.target.clone(), operation })
}

/// An operation, as far as `revoked_by` is concerned.
pub(crate) struct Revocable<'a> {
    pub(crate) connector: &'a str,
    pub(crate) operation: &'a str,
    pub(crate) effect: EffectKind,
    pub(crate) revoked_by: Option<&'a str>,
}

impl Revocable<'_> {
    /// Checks that `revoked_by` names an operation that takes access away, and that needs nothing
    /// of the form: `revoking` is that operation, with the variables that it uses.
    pub(crate) fn check(
        &self,
        revoking: Option<(EffectKind, BTreeSet<String>)>,
        optional: &[String],
    ) -> Result<(), ConnectorError> {
        let Some(name) = self.revoked_by else { return Ok(()) };
        let name = name.to_owned();
        let is_given = |variable: &String| {
            OF_CALL.contains(&variable.as_str())
                || [subject::VARIABLE, MAC.name()].contains(&variable.as_str())
                || optional.contains(variable)
        };
        let problem = match revoking {
            _ if self.effect != EffectKind::Grant => RevokedByProblem::NotAGrant,
            Some((EffectKind::Revoke, needed)) => {
                match needed.into_iter().find(|variable| !is_given(variable)) {
                    None => return Ok(()),
                    Some(variable) => RevokedByProblem::Variable { name, variable },
                }
            }
            _ => RevokedByProblem::NotARevoke { name },
        };
        let (connector, operation) = (self.connector.to_owned(), self.operation.to_owned());
        Err(ConnectorError::RevokedBy { connector, operation, problem })
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

/// Checks that the name of an operation can be part of the key of an effect.
pub(crate) fn check_name(connector: &str, operation: &str) -> Result<(), ConnectorError> {
    if EffectKey::is_part(operation) {
        return Ok(());
    }
    let (connector, operation) = (connector.to_owned(), operation.to_owned());
    Err(ConnectorError::OperationName { connector, operation })
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

/// Checks that the conditions of `flow` compile and use only what each action has.
pub(crate) fn check_conditions(flow: &Flow) -> Vec<ConnectorError> {
    let mut errors: Vec<ConnectorError> = Vec::new();
    for action in &flow.actions {
        for condition in [&flow.when, &action.when].into_iter().flatten() {
            let is_known = |error: &ConnectorError| matches!(error, ConnectorError::Condition { condition: known, .. } if known == condition);
            if let Some(problem) = condition_problem(flow, action, condition)
                && !errors.iter().any(is_known)
            {
                let (flow, condition) = (flow.name.clone(), condition.clone());
                errors.push(ConnectorError::Condition { flow, condition, problem });
            }
        }
    }
    errors
}

fn condition_problem(flow: &Flow, action: &Action, condition: &str) -> Option<ConditionProblem> {
    let needed = match condition_needs(condition) {
        Ok(needed) => needed,
        Err(error) => return Some(ConditionProblem::NotCompiled(error.to_string())),
    };
    let has_subject = subject_of(flow, action).is_some();
    needed.iter().find_map(|needed| {
        let variable = variable(needed);
        let is_given =
            OF_REQUEST.contains(&variable) || (has_subject && variable == subject::VARIABLE);
        let cause = flow.binds(action, variable).err().filter(|_| !is_given)?;
        Some(ConditionProblem::NotBound { variable: variable.to_owned(), cause })
    })
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
