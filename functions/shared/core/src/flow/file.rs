//! Reads and validates `flows.toml`; all errors are reported at once.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Environment, Flow, Flows, FlowsError, LedgerRule, SourceConfigs, Target, rename};
use crate::ValidationErrors;
use crate::key_path::KeyPath;
use crate::ledger::EffectKey;
use crate::renamed::{Rename, find_renamed};
use crate::retry::RetryPolicy;

#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    sources: SourceConfigs,
    #[serde(default)]
    targets: BTreeMap<String, Target>,
    flows: Vec<Flow>,
    #[serde(default)]
    retry: RetryPolicy,
    #[serde(default)]
    ledger: LedgerRule,
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
        file.sources.fill_in(environment, &mut errors);
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
    toml::from_str(text).map_err(|error| match find_renamed(text, RENAMES) {
        Some(renamed) => renamed.into(),
        None => invalid(text, &error),
    })
}

/// The error for a text that is not a valid file, with its line.
pub(super) fn invalid(text: &str, error: &toml::de::Error) -> FlowsError {
    let start = error.span().map_or(0, |span| span.start);
    let line = text.get(..start).map_or(1, |before| before.matches('\n').count() + 1);
    FlowsError::Toml { line, problem: error.to_string() }
}

impl File {
    fn into_flows(mut self, environment: Environment<'_>, errors: &mut Vec<FlowsError>) -> Flows {
        self.sources.check(errors);
        for flow in &mut self.flows {
            self.sources.complete(flow, errors);
            let place = || KeyPath::of(&["flows", &flow.name, "definition_id"]);
            errors.extend(fill_in(&mut flow.definition_id, place, environment).err());
        }
        for (index, flow) in self.flows.iter().enumerate() {
            flow.check_against(&self.flows[..index], errors);
            flow.check(&self.targets, errors);
        }
        for (name, target) in &self.targets {
            if !EffectKey::is_part(name) {
                errors.push(FlowsError::TargetName(name.clone()));
            }
            let problem = target.tls.problem(&target.url);
            let of_target = |problem| FlowsError::Tls { target: name.clone(), problem };
            errors.extend(problem.map(of_target));
        }
        rename::check(&self.targets, errors);
        errors.extend(self.retry.problem().map(FlowsError::Retry));
        self.ledger.check(&self.flows, errors);
        rename::use_names_of_ledger(&mut self.sources, &mut self.targets, &mut self.flows);
        let Self { sources, targets, flows, retry, ledger } = self;
        Flows { sources, targets, flows, retry, ledger }
    }
}

/// Replaces each `${NAME}` in the texts of `value`.
pub(super) fn fill_in_all(
    value: &mut Value,
    place: &impl Fn() -> KeyPath,
    environment: Environment<'_>,
    errors: &mut Vec<FlowsError>,
) {
    match value {
        Value::String(text) => errors.extend(fill_in(text, place, environment).err()),
        Value::Array(values) => {
            for value in values {
                fill_in_all(value, place, environment, errors);
            }
        }
        Value::Object(values) => {
            for (_, value) in values {
                fill_in_all(value, place, environment, errors);
            }
        }
        _ => {}
    }
}

/// Replaces each `${NAME}` in `value`.
pub(super) fn fill_in(
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
