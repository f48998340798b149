//! Flows: the rules from an approval to actions, defined in `flows.toml`.

#![warn(missing_docs)]

mod binding;
mod check;
mod error;
mod file;
mod grant;
mod kind;
mod ledger;
mod rename;
mod source;
mod utc_offset;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;

use self::rename::Renamed;
use crate::Decision;
use crate::retry::{RetryPolicy, duration};
use crate::subject::{Accepts, Pattern, RandomMac};

pub use binding::NotBound;
pub use error::{DefaultProblem, FlowsError, GrantProblem, RenameProblem, TlsProblem};
#[cfg(feature = "schema")]
pub use file::schema;
pub use grant::{GrantRule, NoEnd, WhenFull, WhenWithdrawn, Zone};
pub use kind::Kind;
pub use ledger::LedgerRule;
pub use source::{SourceConfig, SourceConfigs};
pub use utc_offset::UtcOffset;

/// Looks up an environment variable.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The validated content of `flows.toml`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flows {
    /// The office systems.
    pub sources: SourceConfigs,
    /// The target systems, by their names in the ledger.
    pub targets: BTreeMap<String, Target>,
    /// The rules.
    pub flows: Vec<Flow>,
    /// The retry policy.
    pub retry: RetryPolicy,
    /// What the ledger keeps.
    pub ledger: LedgerRule,
}

/// A target system.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Its connector: the name of a file in `infra/connectors`, without `.toml`.
    pub connector: String,
    /// Its address: `https://nac.example.com:9999`. Required.
    pub url: String,
    /// The variables of its connector, such as a group. Texts may contain `${NAME}`.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "BTreeMap<String, serde_json::Value>"))]
    pub params: BTreeMap<String, toml::Value>,
    /// The certificates to trust.
    #[serde(default)]
    pub tls: Tls,
    /// Whether to allow connections without verified TLS: `http://`, or a database whose
    /// certificate is not verified. Not needed for loopback addresses. Default: false.
    #[serde(default)]
    pub plaintext: bool,
    /// The name with which it began, if it was renamed: the ledger, the secret, commands, logs and
    /// metrics go on with that one. Default: none.
    pub renamed_from: Option<String>,
}

impl Renamed for Target {
    const SECTION: &'static str = "targets";

    fn renamed_from(&self) -> Option<&str> {
        self.renamed_from.as_deref()
    }
}

/// The certificates to trust for a target, besides those of the machine and `ca_pem` in the secret.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The SHA-256 fingerprint of the only certificate to accept, in hexadecimal digits, colons
    /// allowed: as `openssl x509 -noout -fingerprint -sha256` prints it. Default: none.
    pub pin_sha256: Option<String>,
    /// Whether to accept any certificate. Logs a warning at every start. Default: false.
    #[serde(default)]
    pub insecure: bool,
}

/// The rule from an approval to actions.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    /// The name in logs and in the ledger.
    pub name: String,
    /// The source, as `[sources.NAME]`. Default: the default source.
    #[serde(default)]
    pub source: String,
    /// The approval definition.
    pub definition_id: String,
    /// The decision that starts the flow. Default: `approved`.
    #[serde(default = "default_decision")]
    pub on: Decision,
    /// The variables, read from the form.
    #[serde(default)]
    pub fields: BTreeMap<String, FieldRule>,
    /// How long ago an approval may have ended; an older one is refused, unless an operator replays
    /// it. Default: `30days`.
    #[serde(default = "default_max_age", deserialize_with = "duration")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub max_age: Duration,
    /// A condition over the fields; where it is false, no action is performed. Default: none.
    pub when: Option<String>,
    /// The `person` field with the person who holds what is granted; in a table, per row. Where it
    /// is left out, and by default: the applicant.
    pub owner: Option<String>,
    /// When the access that it grants ends. Default: when the approval is withdrawn.
    #[serde(default)]
    pub grant: GrantRule,
    /// The actions.
    pub actions: Vec<Action>,
}

/// A variable: where it is read in the form, and its kind.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldRule {
    /// The kind of the value.
    pub kind: Kind,
    /// The places in the form to read from. In a row of a table the columns of that table come
    /// first; places outside of tables hold for all rows.
    pub from: Vec<Place>,
    /// For `mac`: the policy for random (locally administered) addresses. Default: `reject`.
    pub random_mac: Option<RandomMac>,
    /// For `text`: a regular expression that each subject must match as a whole. Required if an
    /// action is performed for each of them.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub pattern: Option<Pattern>,
    /// For `date`: the offset from UTC of a date or time that has none, as in a sheet: `"+08:00"`.
    /// A date alone is its first moment, as in the forms of office systems. Default: such dates are
    /// a problem of the form.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub utc_offset: Option<UtcOffset>,
    /// Whether the value is a list of all that is filled in. Default: false.
    #[serde(default)]
    pub multiple: bool,
    /// Whether the form may leave it out; templates see `none` then. Default: false.
    #[serde(default)]
    pub optional: bool,
    /// The value when the form leaves it out.
    #[cfg_attr(feature = "schema", schemars(with = "Option<serde_json::Value>"))]
    pub default: Option<toml::Value>,
}

impl FieldRule {
    /// What the field accepts of its kind of subject.
    pub(crate) fn accepts(&self) -> Accepts<'_> {
        Accepts { random_mac: self.random_mac.unwrap_or_default(), pattern: self.pattern.as_ref() }
    }
}

/// A place in a form.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The field, by its `custom_id`, else its `id`, else its name.
    pub field: String,
    /// The column, if the field is a table; named the same way.
    pub column: Option<String>,
    /// The member, if the value has members: `start` or `end` of a date interval.
    pub member: Option<String>,
}

/// One operation, performed for each subject of a field, or once per approval.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// The target, as `[targets.NAME]`.
    pub target: String,
    /// The operation of the connector: `add`.
    pub operation: String,
    /// The field whose subjects it is performed for, one by one. Default: once per approval.
    pub for_each: Option<String>,
    /// A condition over the fields and `subject`; where it is false, the action is not performed.
    /// Default: none.
    pub when: Option<String>,
}

/// A placeholder for a variable that is set at deployment, but not where flows are validated: a
/// name in the top-level domain `invalid`, which is never registered (RFC 6761).
#[must_use]
pub fn stand_in(variable: &str) -> String {
    let name = variable.to_ascii_lowercase().replace('_', "-");
    if variable.ends_with("URL") {
        format!("https://{name}{STAND_IN}")
    } else {
        format!("{name}{STAND_IN}")
    }
}

/// The suffix of a placeholder; no real address has it.
const STAND_IN: &str = ".variable-of-greenlight.invalid";

/// Whether a url contains a placeholder: its final value is unknown.
#[must_use]
pub fn is_stand_in(url: &str) -> bool {
    url.contains(STAND_IN)
}

const fn default_decision() -> Decision {
    Decision::Approved
}

const fn default_max_age() -> Duration {
    Duration::from_hours(30 * 24)
}

impl Flow {
    /// The targets of its actions, each once.
    #[must_use]
    pub fn targets(&self) -> BTreeSet<&str> {
        self.actions.iter().map(|action| action.target.as_str()).collect()
    }

    /// Whether an action is performed for each subject of `field`.
    #[must_use]
    pub fn has_subjects_in(&self, field: &str) -> bool {
        self.actions.iter().any(|action| action.for_each.as_deref() == Some(field))
    }

    fn starts_with(&self, source: &str, definition_id: &str) -> bool {
        self.source == source && self.definition_id == definition_id
    }
}

impl Flows {
    /// The flow for the instances of an approval definition.
    #[must_use]
    pub fn find(&self, source: &str, definition_id: &str) -> Option<&Flow> {
        self.flows.iter().find(|flow| flow.starts_with(source, definition_id))
    }
}

#[cfg(test)]
mod tests;
