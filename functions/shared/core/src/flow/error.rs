//! The validation errors of `flows.toml`.

use std::fmt;

use thiserror::Error;

use crate::renamed::RenamedKey;

/// The keys that lead to a value in `flows.toml`; a flow is identified by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPath(pub Vec<String>);

impl KeyPath {
    pub(super) fn of(keys: &[&str]) -> Self {
        Self(keys.iter().map(|key| (*key).to_owned()).collect())
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

/// A validation error in `flows.toml`.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FlowsError {
    /// Not TOML, a key that is unknown or missing, or a value of the wrong type.
    #[error("{problem}")]
    Toml {
        /// Counted from 1.
        line: usize,
        /// The error, with its position.
        problem: String,
    },
    /// A key by its earlier name.
    #[error(transparent)]
    Renamed(#[from] RenamedKey),
    /// `${NAME}` refers to an environment variable that is not set.
    #[error("`{place}` needs the environment variable {name}, which is not set or is empty")]
    Unset {
        /// The key.
        place: KeyPath,
        /// The variable.
        name: String,
    },
    /// A `${` without an end, or without a valid name.
    #[error("`{place}` has a `${{` that is not followed by NAME and `}}`")]
    Placeholder {
        /// The key.
        place: KeyPath,
    },
    /// A reference to something that does not exist.
    #[error("flow `{flow}` names the {what} `{name}`, which does not exist; known: {known}")]
    Unknown {
        /// The flow.
        flow: String,
        /// The kind of the reference.
        what: &'static str,
        /// Its name.
        name: String,
        /// The existing names.
        known: String,
    },
    /// Two flows for the same outcome of the same approval.
    #[error(
        "flow `{second}` can never run: `{first}` has the same source, definition and decision"
    )]
    Unreachable {
        /// The flow that runs.
        first: String,
        /// The flow that never runs.
        second: String,
    },
    /// Revocation is part of the format, but not implemented yet.
    #[error("flow `{0}`: the decision `revoked` is not acted on yet; use `approved`")]
    Revoked(String),
    /// A field and the devices are columns of the same table.
    #[error(
        "flow `{flow}`: `{field}` and the devices of `{mac}` stand in the same table `{table}`: which row's value a device \
         would get is not known. Take the field from outside of the table, or the device from a table of its own"
    )]
    SameTable {
        /// The flow.
        flow: String,
        /// The field.
        field: String,
        /// The field with the devices.
        mac: String,
        /// The table, as the flow names it.
        table: String,
    },
    /// Two flows of the same name.
    #[error("there are two flows `{0}`: logs and the ledger could not distinguish them")]
    SameName(String),
    /// A flow without any action.
    #[error("flow `{0}` has no actions")]
    Idle(String),
    /// A retry policy that no queue could keep to.
    #[error("`retry`: {0}")]
    Retry(&'static str),
    /// An invalid combination of TLS settings.
    #[error("target `{target}`: `tls`: {problem}")]
    Tls {
        /// The target.
        target: String,
        /// The reason.
        problem: &'static str,
    },
    /// A default that a form could not contain.
    #[error("the default of field `{field}` of flow `{flow}`: {problem}")]
    Default {
        /// The flow.
        flow: String,
        /// The field.
        field: String,
        /// The expected value.
        problem: &'static str,
    },
    /// A field without a place to read from.
    #[error("field `{field}` of flow `{flow}` has an empty `from`")]
    Nowhere {
        /// The flow.
        flow: String,
        /// The field.
        field: String,
    },
}
