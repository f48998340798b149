//! What can be wrong with `flows.toml`.

use std::fmt;

use thiserror::Error;

use crate::renamed::RenamedKey;

/// The keys down to a place in `flows.toml`; a flow is named by its name.
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

/// Something is wrong with `flows.toml`.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FlowsError {
    /// Not TOML, a key that is unknown or missing, or a value of the wrong type.
    #[error("{problem}")]
    Toml {
        /// Counted from 1.
        line: usize,
        /// What is wrong, with the place.
        problem: String,
    },
    /// A key of an earlier name.
    #[error(transparent)]
    Renamed(#[from] RenamedKey),
    /// `${NAME}` stands for a variable that is not set.
    #[error("`{place}` needs the environment variable {name}, which is not set or is empty")]
    Unset {
        /// Where.
        place: KeyPath,
        /// The variable.
        name: String,
    },
    /// A `${` without an end, or around what is no name.
    #[error("`{place}` has a `${{` that is not followed by NAME and `}}`")]
    Placeholder {
        /// Where.
        place: KeyPath,
    },
    /// Something is named that is not there.
    #[error("flow `{flow}` names the {what} `{name}`, which is not there; there is: {known}")]
    Unknown {
        /// The flow.
        flow: String,
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
        /// The names that are there.
        known: String,
    },
    /// Two flows for the same outcome of the same approval.
    #[error(
        "flow `{second}` can never run: `{first}` has the same source, approval code and decision"
    )]
    Unreachable {
        /// The flow that runs.
        first: String,
        /// The flow that does not.
        second: String,
    },
    /// The format knows revocation, and this version does not act on it.
    #[error("flow `{0}`: the decision `revoked` is not acted on yet; use `approved`")]
    Revoked(String),
    /// A field from a table beside devices from the same table.
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
    #[error("there are two flows `{0}`: logs and the ledger could not tell them apart")]
    SameName(String),
    /// A flow without any action.
    #[error("flow `{0}` has no actions")]
    Idle(String),
    /// Waits that no queue could keep to.
    #[error("`retry`: {0}")]
    Retry(&'static str),
    /// Trust that cannot be.
    #[error("target `{target}`: `tls`: {problem}")]
    Tls {
        /// The target.
        target: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A default that the form could not have said.
    #[error("the default of field `{field}` of flow `{flow}`: {problem}")]
    Default {
        /// The flow.
        flow: String,
        /// The field.
        field: String,
        /// What it must be.
        problem: &'static str,
    },
    /// A field with nowhere to come from.
    #[error("field `{field}` of flow `{flow}` has an empty `from`")]
    Nowhere {
        /// The flow.
        flow: String,
        /// The field.
        field: String,
    },
}
