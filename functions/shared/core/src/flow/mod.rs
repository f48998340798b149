//! Flows: which approval does what, as `flows.toml` says.

mod error;
mod file;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::Decision;
use crate::retry::RetryPolicy;

pub use error::{FlowsError, KeyPath};
#[cfg(feature = "schema")]
pub use file::schema;

/// Gives the value of an environment variable.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Everything that `flows.toml` says, checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flows {
    /// The systems acted upon, by name.
    pub targets: BTreeMap<String, Target>,
    /// The rules.
    pub flows: Vec<Flow>,
    /// When a failed request is tried again.
    pub retry: RetryPolicy,
}

/// A system acted upon.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// How to speak to it: the name of a file in `infra/connectors`, without `.toml`.
    pub connector: String,
    /// Where it is: `https://nac.example.com:9999`. Required.
    pub url: String,
    /// What its connector asks for: a site, a group. Texts may hold `${NAME}`.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "BTreeMap<String, serde_json::Value>"))]
    pub params: BTreeMap<String, toml::Value>,
    /// Whom it is taken for.
    #[serde(default)]
    pub tls: Tls,
    /// Whether it may be spoken to without verified TLS: `http://`, or a database whose certificate
    /// is not verified. Not needed for this machine itself (loopback). Default: false.
    #[serde(default)]
    pub plaintext: bool,
}

/// Whom a target is taken for, besides those whom the machine trusts and those of `ca_pem` in the secret.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The SHA-256 of the one certificate that is right, in hexadecimal digits, colons allowed: as
    /// `openssl x509 -noout -fingerprint -sha256` prints it. Default: none.
    pub pin_sha256: Option<String>,
    /// Whether anybody is taken for it. Warns at every start. Default: false.
    #[serde(default)]
    pub insecure: bool,
}

/// The rule from an approval to actions.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    /// For logs and the ledger.
    pub name: String,
    /// The office system. Default: `feishu`.
    #[serde(default = "default_source")]
    pub source: String,
    /// The approval definition.
    pub definition_id: String,
    /// Which outcome of it starts the flow. Default: `approved`.
    #[serde(default = "default_decision")]
    pub on: Decision,
    /// From the form's fields to variables.
    #[serde(default)]
    pub fields: BTreeMap<String, FieldRule>,
    /// A condition over the fields; nothing is done when it does not hold. Default: none.
    pub when: Option<String>,
    /// What to do.
    pub actions: Vec<Action>,
}

/// Where a variable comes from, and what it may be.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldRule {
    /// What it is.
    pub kind: Kind,
    /// The places in the form to look in; a `mac` field takes the devices of all that are there.
    pub from: Vec<Place>,
    /// What to do with a random (locally administered) address. Default: `refuse`.
    #[serde(default)]
    pub random_mac: RandomMac,
    /// Whether it is a list of all that is filled in, and not one value. Default: false.
    #[serde(default)]
    pub multiple: bool,
    /// Whether the form may leave it out: `none` in templates then. Default: false.
    #[serde(default)]
    pub optional: bool,
    /// The value when the form leaves it out.
    #[cfg_attr(feature = "schema", schemars(with = "Option<serde_json::Value>"))]
    pub default: Option<toml::Value>,
}

/// What a variable is.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One or more MAC addresses, as people type them.
    Mac,
    /// A text or a number, as it stands in the form.
    Text,
    /// A moment, RFC 3339.
    Date,
    /// A number.
    Number,
    /// What was chosen, as people see it.
    Choice,
    /// A person, as the office system names people.
    Person,
}

/// A place in a form.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// A field by its `custom_id`, else its `id`, else its name.
    pub field: String,
    /// The column, where the field is a table; named the same way.
    pub column: Option<String>,
    /// The member, where the value has some: `start` or `end` of a date interval.
    pub member: Option<String>,
}

/// What to do with a random (locally administered) address, which a device changes from time to time.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RandomMac {
    /// It is no device to put on a whitelist.
    #[default]
    Reject,
    /// Take it and log a warning.
    Warn,
    /// Take it.
    Allow,
}

/// One thing to do per device.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// The target, as `[targets.NAME]`.
    pub target: String,
    /// What the connector can do: `add`.
    pub operation: String,
    /// The `mac` field with the devices to do it for.
    pub for_each: String,
    /// A condition over the fields; it is not done when it does not hold. Default: none.
    pub when: Option<String>,
}

/// What stands for a variable that is set where it is deployed, and not where flows are checked: a name of the
/// top-level domain `invalid`, which nobody has (RFC 6761).
#[must_use]
pub fn stand_in(variable: &str) -> String {
    let name = variable.to_ascii_lowercase().replace('_', "-");
    if variable.ends_with("URL") {
        format!("https://{name}{STAND_IN}")
    } else {
        format!("{name}{STAND_IN}")
    }
}

/// How a stand-in ends; no address that is meant does.
const STAND_IN: &str = ".variable-of-greenlight.invalid";

/// Whether a url holds what stands for a variable: what it will be is not known.
#[must_use]
pub fn is_stand_in(url: &str) -> bool {
    url.contains(STAND_IN)
}

fn default_source() -> String {
    "feishu".to_owned()
}

const fn default_decision() -> Decision {
    Decision::Approved
}

impl Flow {
    /// The targets of its actions, each once.
    #[must_use]
    pub fn targets(&self) -> BTreeSet<&str> {
        self.actions.iter().map(|action| action.target.as_str()).collect()
    }

    fn starts_with(&self, source: &str, definition_id: &str, decision: Decision) -> bool {
        self.source == source && self.definition_id == definition_id && self.on == decision
    }
}

impl Flows {
    /// The flow for an outcome of an approval.
    #[must_use]
    pub fn find(&self, source: &str, definition_id: &str, decision: Decision) -> Option<&Flow> {
        self.flows.iter().find(|flow| flow.starts_with(source, definition_id, decision))
    }
}

/// All that the receiver knows of the flows: the approvals that matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Approvals(BTreeSet<(String, String, Decision)>);

impl Approvals {
    /// Whether a flow starts with this outcome of this approval.
    #[must_use]
    pub fn matter(&self, source: &str, definition_id: &str, decision: Decision) -> bool {
        self.0.iter().any(|(s, code, v)| s == source && code == definition_id && *v == decision)
    }
}

#[cfg(test)]
mod tests;
