//! Names are identities: access that is held refers to its target and its source by their names.
//!
//! Where such a name is missing in `flows.toml`, the access can neither end with its approval nor
//! be removed. It waits for the name.

#![warn(missing_docs)]

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::explain::Explain;
use crate::flow::Flows;
use crate::grant::{GrantKey, GrantRecord};

/// The names that held access refers to, each with the number of grants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamesInUse {
    targets: BTreeMap<String, usize>,
    sources: BTreeMap<String, usize>,
}

/// A name that held access refers to, and that is not in `flows.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Error, Explain)]
#[explain("missing_name")]
pub enum MissingName {
    /// Of a target.
    #[error(
        "`targets.{name}` is missing in flows.toml, and {grants} grant(s) wait for it: add it \
         again, or set `renamed_from = \"{name}\"` in the target that it is now"
    )]
    Target {
        /// The name.
        name: String,
        /// The number of grants.
        grants: usize,
    },
    /// Of a source.
    #[error(
        "`sources.{name}` is missing in flows.toml, and {grants} grant(s) are held by its \
         approvals: add it again, or set `renamed_from = \"{name}\"` in the source that it is now"
    )]
    Source {
        /// The name.
        name: String,
        /// The number of grants.
        grants: usize,
    },
}

impl MissingName {
    /// The section of `flows.toml` that lacks it.
    #[must_use]
    pub const fn section(&self) -> &'static str {
        match self {
            Self::Target { .. } => "targets",
            Self::Source { .. } => "sources",
        }
    }
}

impl NamesInUse {
    /// Adds the names of a grant, unless its access has ended.
    pub fn add(&mut self, key: &GrantKey, record: &GrantRecord) {
        if record.due().is_none() {
            return;
        }
        *self.targets.entry(key.target.clone()).or_default() += 1;
        let live = record.holds.iter().filter(|(_, hold)| hold.is_live());
        let sources = live.filter_map(|(id, _)| Some(id.approval()?.0));
        for source in sources.collect::<BTreeSet<_>>() {
            *self.sources.entry(source.to_owned()).or_default() += 1;
        }
    }

    /// Those that are missing in `flows`.
    #[must_use]
    pub fn missing_in(&self, flows: &Flows) -> Vec<MissingName> {
        let targets = self.targets.iter().filter(|(name, _)| !flows.targets.contains_key(*name));
        let targets = targets
            .map(|(name, grants)| MissingName::Target { name: name.clone(), grants: *grants });
        let sources = self.sources.iter().filter(|(name, _)| !flows.sources.0.contains_key(*name));
        let sources = sources
            .map(|(name, grants)| MissingName::Source { name: name.clone(), grants: *grants });
        targets.chain(sources).collect()
    }
}

/// The names that `flows` has, in a fixed order: `targets.nac`.
pub(crate) fn names_of(flows: &Flows) -> Vec<String> {
    let targets = flows.targets.keys().map(|name| format!("targets.{name}"));
    let sources = flows.sources.0.keys().map(|name| format!("sources.{name}"));
    targets.chain(sources).collect()
}
