//! Reads and validates `flows.toml`; all errors are reported at once.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    Approvals, DefaultProblem, Environment, FieldRule, Flow, Flows, FlowsError, Kind, Target, Tls,
    TlsProblem,
};
use crate::key_path::KeyPath;
use crate::renamed::{Rename, find_renamed};
use crate::retry::RetryPolicy;
use crate::time::is_moment;
use crate::{Decision, ValidationErrors};

#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    targets: BTreeMap<String, Target>,
    flows: Vec<Flow>,
    #[serde(default)]
    retry: RetryPolicy,
}

/// The JSON Schema of `flows.toml`, for editors.
#[cfg(feature = "schema")]
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(File).to_value()
}

impl Flows {
    /// Reads `flows.toml`; `${NAME}` takes its value from `environment`, and is never parsed as
    /// syntax.
    ///
    /// # Errors
    /// Every [`FlowsError`], with its line or key. Invalid TOML and keys that are unknown, missing
    /// or of the wrong type end the validation.
    pub fn parse(
        text: &str,
        environment: Environment<'_>,
    ) -> Result<Self, ValidationErrors<FlowsError>> {
        let mut file = read(text)?;
        let mut errors = Vec::new();
        for (name, target) in &mut file.targets {
            let place = |rest: &[&str]| KeyPath::of(&[&["targets", name], rest].concat());
            errors.extend(fill_in(&mut target.url, || place(&["url"]), environment).err());
            for (param, value) in &mut target.params {
                if let toml::Value::String(text) = value {
                    let place = || place(&["params", param]);
                    errors.extend(fill_in(text, place, environment).err());
                }
            }
        }
        let flows = file.into_flows(environment, &mut errors);
        ValidationErrors::into_result(errors).map(|()| flows)
    }
}

impl Approvals {
    /// Reads the approvals of `flows.toml`; needs the variables of the definition ids only.
    ///
    /// # Errors
    /// Same as [`Flows::parse`].
    pub fn parse(
        text: &str,
        environment: Environment<'_>,
    ) -> Result<Self, ValidationErrors<FlowsError>> {
        let mut errors = Vec::new();
        // Flows that the worker would reject must not be enqueued for it.
        let flows = read(text)?.into_flows(environment, &mut errors);
        ValidationErrors::into_result(errors)?;
        let approval = |flow: Flow| (flow.source, flow.definition_id, flow.on);
        Ok(Self(flows.flows.into_iter().map(approval).collect()))
    }
}

/// Keys of the first edition.
const RENAMES: &[Rename] = &[
    Rename { at: &["flows"], old: "approval_code", new: "definition_id" },
    Rename { at: &["flows"], old: "verdict", new: "on" },
    Rename { at: &["flows", "fields", "*"], old: "randomized", new: "random_mac" },
    Rename { at: &["flows", "fields", "*"], old: "many", new: "multiple" },
    Rename { at: &["retry"], old: "first", new: "initial_interval" },
    Rename { at: &["retry"], old: "longest", new: "max_interval" },
    Rename { at: &["retry"], old: "give_up_after", new: "max_elapsed" },
];

fn read(text: &str) -> Result<File, FlowsError> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        if let Some(renamed) = find_renamed(text, RENAMES) {
            return renamed.into();
        }
        let start = error.span().map_or(0, |span| span.start);
        let line = text.get(..start).map_or(1, |before| before.matches('\n').count() + 1);
        FlowsError::Toml { line, problem: error.to_string() }
    })
}

impl File {
    fn into_flows(mut self, environment: Environment<'_>, errors: &mut Vec<FlowsError>) -> Flows {
        for flow in &mut self.flows {
            let place = || KeyPath::of(&["flows", &flow.name, "definition_id"]);
            errors.extend(fill_in(&mut flow.definition_id, place, environment).err());
        }
        for (index, flow) in self.flows.iter().enumerate() {
            flow.check_against(&self.flows[..index], errors);
            flow.check(&self.targets, errors);
        }
        for (name, target) in &self.targets {
            let problem = target.tls.problem(&target.url);
            let of_target = |problem| FlowsError::Tls { target: name.clone(), problem };
            errors.extend(problem.map(of_target));
        }
        errors.extend(self.retry.problem().map(FlowsError::Retry));
        Flows { targets: self.targets, flows: self.flows, retry: self.retry }
    }
}

impl Flow {
    fn check_against(&self, earlier: &[Self], errors: &mut Vec<FlowsError>) {
        if earlier.iter().any(|other| other.name == self.name) {
            errors.push(FlowsError::SameName(self.name.clone()));
        }
        let starts_alike =
            |other: &&Self| other.starts_with(&self.source, &self.definition_id, self.on);
        if let Some(first) = earlier.iter().find(starts_alike) {
            let (first, second) = (first.name.clone(), self.name.clone());
            errors.push(FlowsError::Unreachable { first, second });
        }
    }

    fn check(&self, targets: &BTreeMap<String, Target>, errors: &mut Vec<FlowsError>) {
        let flow = || self.name.clone();
        if self.on == Decision::Revoked {
            errors.push(FlowsError::Revoked(flow()));
        }
        if self.actions.is_empty() {
            errors.push(FlowsError::Idle(flow()));
        }
        for (field, rule) in &self.fields {
            if rule.from.is_empty() {
                errors.push(FlowsError::Nowhere { flow: flow(), field: field.clone() });
            }
            if let Some(problem) = rule.default_problem() {
                errors.push(FlowsError::Default { flow: flow(), field: field.clone(), problem });
            }
        }
        self.check_tables(errors);
        let devices = self.fields.iter().filter(|(_, rule)| rule.kind == Kind::Mac);
        let devices: Vec<&str> = devices.map(|(name, _)| name.as_str()).collect();
        let targets: Vec<&str> = targets.keys().map(String::as_str).collect();
        for action in &self.actions {
            if !targets.contains(&action.target.as_str()) {
                let (name, known) = (action.target.clone(), targets.join(", "));
                errors.push(FlowsError::UnknownTarget { flow: flow(), name, known });
            }
            if !devices.contains(&action.for_each.as_str()) {
                let (name, known) = (action.for_each.clone(), devices.join(", "));
                errors.push(FlowsError::UnknownField { flow: flow(), name, known });
            }
        }
    }
}

impl Flow {
    /// Values in one row of a table belong together, and rows are not distinguished yet.
    fn check_tables(&self, errors: &mut Vec<FlowsError>) {
        let (devices, others): (Vec<_>, Vec<_>) =
            self.fields.iter().partition(|(_, rule)| rule.kind == Kind::Mac);
        for (field, rule) in others {
            let tables: Vec<_> = rule.tables().collect();
            let same = devices.iter().find_map(|(mac, devices)| {
                let table = devices.tables().find(|table| tables.contains(table))?;
                Some(((*mac).clone(), table.to_owned()))
            });
            if let Some((mac, table)) = same {
                let (flow, field) = (self.name.clone(), field.clone());
                errors.push(FlowsError::SameTable { flow, field, mac, table });
            }
        }
    }
}

impl Tls {
    fn problem(&self, url: &str) -> Option<TlsProblem> {
        let pin = self.pin_sha256.as_ref()?;
        let digits = || pin.chars().filter(|c| *c != ':');
        if self.insecure {
            Some(TlsProblem::PinAndInsecure)
        } else if digits().count() != 64 || !digits().all(|digit| digit.is_ascii_hexdigit()) {
            Some(TlsProblem::Pin)
        } else if url.starts_with("http:") {
            Some(TlsProblem::PlainHttp)
        } else {
            None
        }
    }
}

impl FieldRule {
    /// The tables in which it reads a column, as the flow names them.
    fn tables(&self) -> impl Iterator<Item = &str> {
        let of_tables = self.from.iter().filter(|place| place.column.is_some());
        of_tables.map(|place| place.field.as_str())
    }

    /// The error in the default, if there is one: a form must be able to contain it.
    fn default_problem(&self) -> Option<DefaultProblem> {
        let default = self.default.as_ref()?;
        if self.kind == Kind::Mac {
            return Some(DefaultProblem::Mac);
        }
        let fits = |value: &toml::Value| match self.kind {
            Kind::Mac => false,
            Kind::Number => value.is_integer() || value.as_float().is_some_and(f64::is_finite),
            Kind::Date => value.as_str().is_some_and(is_moment),
            Kind::Text | Kind::Choice | Kind::Person => value.is_str(),
        };
        let is_fit = match default {
            toml::Value::Array(values) if self.multiple => values.iter().all(fits),
            value => !self.multiple && fits(value),
        };
        match self.kind {
            _ if is_fit => None,
            _ if self.multiple => Some(DefaultProblem::List),
            Kind::Number => Some(DefaultProblem::Number),
            Kind::Date => Some(DefaultProblem::Date),
            _ => Some(DefaultProblem::Text),
        }
    }
}

/// Replaces each `${NAME}` in `value`.
fn fill_in(
    value: &mut String,
    place: impl Fn() -> KeyPath,
    environment: Environment<'_>,
) -> Result<(), FlowsError> {
    let mut filled = String::with_capacity(value.len());
    let mut rest = value.as_str();
    while let Some((before, after)) = rest.split_once("${") {
        let is_name = |name: &&str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        let (name, after) = after
            .split_once('}')
            .filter(|(name, _)| is_name(name))
            .ok_or_else(|| FlowsError::Placeholder { place: place() })?;
        let found = environment(name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| FlowsError::Unset { place: place(), name: name.to_owned() })?;
        filled.push_str(before);
        filled.push_str(&found);
        rest = after;
    }
    filled.push_str(rest);
    *value = filled;
    Ok(())
}
