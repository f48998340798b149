//! The sources of `flows.toml`: the office systems that send approvals.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::file::{fill_in, fill_in_all, invalid};
use super::rename::{self, Renamed};
use super::{Environment, Flow, FlowsError};
use crate::ValidationErrors;
use crate::key_path::KeyPath;
use crate::ledger::EffectKey;

/// An office system that sends approvals.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq)]
pub struct SourceConfig {
    /// The kind of office system: `feishu`, `webhook`.
    pub kind: String,
    /// Whether its events may arrive at `/api/event`, without its name, and flows without `source`
    /// are for it. A source without others always is. Default: false.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub default: bool,
    /// The name with which it began, if it was renamed: the ledger, the secret, its webhook URL,
    /// commands, logs and metrics go on with that one. Default: none.
    #[cfg_attr(feature = "schema", schemars(default))]
    pub renamed_from: Option<String>,
    /// The settings of the kind. Texts may contain `${NAME}`.
    #[cfg_attr(feature = "schema", schemars(flatten))]
    pub settings: Map<String, Value>,
}

impl Renamed for SourceConfig {
    const SECTION: &'static str = "sources";

    fn renamed_from(&self) -> Option<&str> {
        self.renamed_from.as_deref()
    }
}

/// The sources, by their names in the ledger. A name is part of webhook URLs, of keys in the ledger
/// and of the secret.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "BTreeMap<String, Map<String, Value>>")]
pub struct SourceConfigs(pub BTreeMap<String, SourceConfig>);

impl TryFrom<BTreeMap<String, Map<String, Value>>> for SourceConfigs {
    type Error = String;

    fn try_from(tables: BTreeMap<String, Map<String, Value>>) -> Result<Self, String> {
        let source = |(name, mut settings): (String, Map<String, Value>)| {
            let Some(Value::String(kind)) = settings.remove("kind") else {
                return Err(format!("`sources.{name}` has no text `kind`"));
            };
            let default = match settings.remove("default") {
                None => false,
                Some(Value::Bool(default)) => default,
                Some(_) => return Err(format!("`sources.{name}.default` is not true or false")),
            };
            let renamed_from = match settings.remove("renamed_from") {
                None => None,
                Some(Value::String(from)) => Some(from),
                Some(_) => return Err(format!("`sources.{name}.renamed_from` is no text")),
            };
            Ok((name, SourceConfig { kind, default, renamed_from, settings }))
        };
        tables.into_iter().map(source).collect::<Result<_, _>>().map(Self)
    }
}

/// The sections of the secret.
const RESERVED: [&str; 2] = ["sources", "targets"];

impl SourceConfigs {
    /// Reads the sources in the text of `flows.toml`, and nothing else: a receiver knows no flows.
    ///
    /// # Errors
    /// Every [`FlowsError`] of the sources; [`FlowsError::Toml`] if the text is not TOML.
    pub fn parse(
        text: &str,
        environment: Environment<'_>,
    ) -> Result<Self, ValidationErrors<FlowsError>> {
        #[derive(Deserialize)]
        struct Part {
            #[serde(default)]
            sources: SourceConfigs,
        }
        // Without the names of the first edition, which had no sources.
        let Part { mut sources } = toml::from_str(text).map_err(|error| invalid(text, &error))?;
        let mut errors = Vec::new();
        sources.fill_in(environment, &mut errors);
        sources.check(&mut errors);
        sources.use_names_of_ledger();
        ValidationErrors::into_result(errors).map(|()| sources)
    }

    /// The name of the default source: the one that says so, or the only one.
    #[must_use]
    pub fn default_source(&self) -> Option<&str> {
        let named = self.0.iter().find(|(_, source)| source.default);
        let only = || self.0.iter().next().filter(|_| self.0.len() == 1);
        named.or_else(only).map(|(name, _)| name.as_str())
    }

    /// The names, for errors.
    #[must_use]
    pub fn known(&self) -> String {
        self.0.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }

    pub(super) fn fill_in(&mut self, environment: Environment<'_>, errors: &mut Vec<FlowsError>) {
        for (name, source) in &mut self.0 {
            let place = |rest: &[&str]| KeyPath::of(&[&["sources", name], rest].concat());
            errors.extend(fill_in(&mut source.kind, || place(&["kind"]), environment).err());
            for (key, value) in &mut source.settings {
                fill_in_all(value, &|| place(&[key]), environment, errors);
            }
        }
    }

    pub(super) fn check(&self, errors: &mut Vec<FlowsError>) {
        if self.0.is_empty() {
            errors.push(FlowsError::NoSource);
        }
        let is_name = |name: &str| {
            EffectKey::is_part(name)
                && !RESERVED.contains(&name)
                && name.bytes().any(|byte| byte != b'.')
        };
        let names = self.0.keys().filter(|name| !is_name(name));
        errors.extend(names.cloned().map(FlowsError::SourceName));
        rename::check(&self.0, errors);
        let mut defaults = self.0.iter().filter(|(_, source)| source.default);
        if let (Some((first, _)), Some((second, _))) = (defaults.next(), defaults.next()) {
            let (first, second) = (first.clone(), second.clone());
            errors.push(FlowsError::TwoDefaults { first, second });
        } else if self.0.len() > 1 && self.default_source().is_none() {
            errors.push(FlowsError::NoDefault { known: self.known() });
        }
    }

    /// Checks that the source of `flow` exists, and sets the default source where it names none.
    pub(super) fn complete(&self, flow: &mut Flow, errors: &mut Vec<FlowsError>) {
        let (name, known) = (flow.name.clone(), self.known());
        match self.default_source() {
            Some(default) if flow.source.is_empty() => default.clone_into(&mut flow.source),
            // That is the error.
            None if flow.source.is_empty() || self.0.is_empty() => {}
            _ if self.0.contains_key(&flow.source) => {}
            _ => {
                let source = flow.source.clone();
                errors.push(FlowsError::UnknownSource { flow: name, name: source, known });
            }
        }
    }
}
