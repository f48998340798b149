//! `renamed_from`: a target or source that has another name in `flows.toml` than in the ledger.
//!
//! Everything besides `flows.toml` goes on with the first name: the ledger, the secret, the webhook
//! URL, commands, logs and metrics. So a rename moves nothing, and a crash cannot come between.

use std::collections::BTreeMap;
use std::mem;

use serde_json::Value;

use super::{Flow, FlowsError, RenameProblem, SourceConfigs, Target};
use crate::key_path::KeyPath;
use crate::ledger::EffectKey;

/// A table of `flows.toml` that can have `renamed_from`.
pub(super) trait Renamed {
    const SECTION: &'static str;

    fn renamed_from(&self) -> Option<&str>;
}

/// Reports each `renamed_from` with which a table cannot have begun.
pub(super) fn check<T: Renamed>(tables: &BTreeMap<String, T>, errors: &mut Vec<FlowsError>) {
    for (name, table) in tables {
        let Some(from) = table.renamed_from() else { continue };
        let others = tables.iter().filter(|(other, _)| *other != name);
        let was_renamed_too = || others.clone().any(|(_, it)| it.renamed_from() == Some(from));
        let problem = if !EffectKey::is_part(from) {
            RenameProblem::NoName(from.to_owned())
        } else if from == name {
            RenameProblem::SameName(from.to_owned())
        } else if tables.contains_key(from) {
            RenameProblem::NameInUse(from.to_owned())
        } else if was_renamed_too() {
            RenameProblem::RenamedTwice(from.to_owned())
        } else {
            continue;
        };
        let place = KeyPath::of(&[T::SECTION, name, "renamed_from"]);
        errors.push(FlowsError::RenamedFrom { place, problem });
    }
}

/// The name of a table in the ledger; an unknown name stays as it is.
fn in_ledger<'a, T: Renamed>(tables: &'a BTreeMap<String, T>, name: &'a str) -> &'a str {
    tables.get(name).and_then(T::renamed_from).unwrap_or(name)
}

fn rename<T: Renamed>(tables: &mut BTreeMap<String, T>) {
    let renamed = mem::take(tables).into_iter().map(|(name, table)| {
        let name = table.renamed_from().map_or(name, str::to_owned);
        (name, table)
    });
    *tables = renamed.collect();
}

/// Gives sources, targets and all that refers to them the names that they have in the ledger.
pub(super) fn use_names_of_ledger(
    sources: &mut SourceConfigs,
    targets: &mut BTreeMap<String, Target>,
    flows: &mut [Flow],
) {
    for flow in flows {
        flow.source = in_ledger(&sources.0, &flow.source).to_owned();
        for action in &mut flow.actions {
            action.target = in_ledger(targets, &action.target).to_owned();
        }
    }
    for source in sources.0.values_mut() {
        source.settings.values_mut().for_each(|value| rename_target(value, targets));
    }
    rename(&mut sources.0);
    rename(targets);
}

/// In the settings of every kind, a text `target` in a table is the name of a target.
fn rename_target(value: &mut Value, targets: &BTreeMap<String, Target>) {
    let Value::Object(table) = value else { return };
    if let Some(Value::String(target)) = table.get_mut("target") {
        *target = in_ledger(targets, target).to_owned();
    }
}

impl SourceConfigs {
    /// As [`use_names_of_ledger`], where there are only the sources.
    pub(super) fn use_names_of_ledger(&mut self) {
        rename(&mut self.0);
    }
}
