//! Flows: which approval does what, as `flows.toml` says.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use thiserror::Error;

use crate::Verdict;
use crate::retry::RetryPolicy;

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
    pub approval_code: String,
    /// Which outcome of it starts the flow. Default: `approved`.
    #[serde(default = "default_verdict")]
    pub verdict: Verdict,
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
    pub randomized: Randomized,
    /// Whether it is a list of all that is filled in, and not one value. Default: false.
    #[serde(default)]
    pub many: bool,
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
pub enum Randomized {
    /// It is no device to put on a whitelist.
    #[default]
    Refuse,
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

/// Something is wrong with `flows.toml`.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FlowsError {
    /// Not TOML, a key that is unknown or missing, or a value of the wrong type.
    #[error("flows.toml: {problem}")]
    Toml {
        /// Counted from 1.
        line: usize,
        /// What is wrong, with the place.
        problem: String,
    },
    /// `${NAME}` stands for a variable that is not set.
    #[error(
        "flows.toml: `{place}` needs the environment variable {name}, which is not set or is empty"
    )]
    Unset {
        /// Where.
        place: String,
        /// The variable.
        name: String,
    },
    /// A `${` without an end, or around what is no name.
    #[error("flows.toml: `{place}` has a `${{` that is not followed by NAME and `}}`")]
    Placeholder {
        /// Where.
        place: String,
    },
    /// Something is named that is not there.
    #[error(
        "flows.toml: flow `{flow}` names the {what} `{name}`, which is not there; there is: {known}"
    )]
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
        "flows.toml: flow `{second}` can never run: `{first}` has the same source, approval code and verdict"
    )]
    Unreachable {
        /// The flow that runs.
        first: String,
        /// The flow that does not.
        second: String,
    },
    /// The format knows revocation, and this version does not act on it.
    #[error("flows.toml: flow `{0}`: the verdict `revoked` is not acted on yet; use `approved`")]
    Revoked(String),
    /// A flow without any action.
    #[error("flows.toml: flow `{0}` has no actions")]
    Idle(String),
    /// Waits that no queue could keep to.
    #[error("flows.toml: `retry`: {0}")]
    Retry(&'static str),
    /// A field with nowhere to come from.
    #[error("flows.toml: field `{field}` of flow `{flow}` has an empty `from`")]
    Nowhere {
        /// The flow.
        flow: String,
        /// The field.
        field: String,
    },
}

fn default_source() -> String {
    "feishu".to_owned()
}

const fn default_verdict() -> Verdict {
    Verdict::Approved
}

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

impl From<File> for Flows {
    fn from(file: File) -> Self {
        Self { targets: file.targets, flows: file.flows, retry: file.retry }
    }
}

impl Flows {
    /// Reads `flows.toml`; `${NAME}` takes a value from `environment`, and never becomes syntax.
    ///
    /// # Errors
    /// [`FlowsError`] names the line or the key.
    pub fn parse(text: &str, environment: Environment<'_>) -> Result<Self, FlowsError> {
        let mut file = read(text)?;
        for (name, target) in &mut file.targets {
            fill_in(&mut target.url, || format!("targets.{name}.url"), environment)?;
            for (param, value) in &mut target.params {
                if let toml::Value::String(text) = value {
                    let place = || format!("targets.{name}.params.{param}");
                    fill_in(text, place, environment)?;
                }
            }
        }
        fill_in_approvals(&mut file.flows, environment)?;
        let flows = Self::from(file);
        flows.check()?;
        Ok(flows)
    }

    /// The flow for an outcome of an approval.
    #[must_use]
    pub fn find(&self, source: &str, approval_code: &str, verdict: Verdict) -> Option<&Flow> {
        self.flows.iter().find(|flow| flow.starts_with(source, approval_code, verdict))
    }

    fn check(&self) -> Result<(), FlowsError> {
        for (index, flow) in self.flows.iter().enumerate() {
            let earlier = self.flows[..index]
                .iter()
                .find(|other| other.starts_with(&flow.source, &flow.approval_code, flow.verdict));
            if let Some(first) = earlier {
                return Err(FlowsError::Unreachable {
                    first: first.name.clone(),
                    second: flow.name.clone(),
                });
            }
            flow.check(&self.targets)?;
        }
        self.retry.problem().map_or(Ok(()), |problem| Err(FlowsError::Retry(problem)))
    }
}

impl Flow {
    /// The targets of its actions, each once.
    #[must_use]
    pub fn targets(&self) -> BTreeSet<&str> {
        self.actions.iter().map(|action| action.target.as_str()).collect()
    }

    fn starts_with(&self, source: &str, approval_code: &str, verdict: Verdict) -> bool {
        self.source == source && self.approval_code == approval_code && self.verdict == verdict
    }

    fn check(&self, targets: &BTreeMap<String, Target>) -> Result<(), FlowsError> {
        if self.verdict == Verdict::Revoked {
            return Err(FlowsError::Revoked(self.name.clone()));
        }
        if self.actions.is_empty() {
            return Err(FlowsError::Idle(self.name.clone()));
        }
        if let Some((field, _)) = self.fields.iter().find(|(_, rule)| rule.from.is_empty()) {
            return Err(FlowsError::Nowhere { flow: self.name.clone(), field: field.clone() });
        }
        let devices = self.fields.iter().filter(|(_, rule)| rule.kind == Kind::Mac);
        let devices: Vec<&str> = devices.map(|(name, _)| name.as_str()).collect();
        let targets: Vec<&str> = targets.keys().map(String::as_str).collect();
        let is_known = |what, name: &str, known: &[&str]| {
            if known.contains(&name) {
                return Ok(());
            }
            Err(FlowsError::Unknown {
                flow: self.name.clone(),
                what,
                name: name.to_owned(),
                known: known.join(", "),
            })
        };
        for action in &self.actions {
            is_known("target", &action.target, &targets)?;
            is_known("field of kind `mac`", &action.for_each, &devices)?;
        }
        Ok(())
    }
}

/// All that the receiver knows of the flows: the approvals that matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Approvals(BTreeSet<(String, String, Verdict)>);

impl Approvals {
    /// Reads the approvals of `flows.toml`; needs the variables of the approval codes only.
    ///
    /// # Errors
    /// As [`Flows::parse`].
    pub fn parse(text: &str, environment: Environment<'_>) -> Result<Self, FlowsError> {
        let mut file = read(text)?;
        fill_in_approvals(&mut file.flows, environment)?;
        let flows = Flows::from(file);
        // What the worker would refuse must not be enqueued for it.
        flows.check()?;
        let approval = |flow: Flow| (flow.source, flow.approval_code, flow.verdict);
        Ok(Self(flows.flows.into_iter().map(approval).collect()))
    }

    /// Whether a flow starts with this outcome of this approval.
    #[must_use]
    pub fn matter(&self, source: &str, approval_code: &str, verdict: Verdict) -> bool {
        self.0.iter().any(|(s, code, v)| s == source && code == approval_code && *v == verdict)
    }
}

fn read(text: &str) -> Result<File, FlowsError> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = text.get(..start).map_or(1, |before| before.matches('\n').count() + 1);
        FlowsError::Toml { line, problem: error.to_string() }
    })
}

fn fill_in_approvals(flows: &mut [Flow], environment: Environment<'_>) -> Result<(), FlowsError> {
    for flow in flows {
        let place = || format!("approval_code of flow {}", flow.name);
        fill_in(&mut flow.approval_code, place, environment)?;
    }
    Ok(())
}

/// Replaces each `${NAME}` in `value`.
fn fill_in(
    value: &mut String,
    place: impl Fn() -> String,
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

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        [targets.nac]
        connector = "generic"
        url = "${NAC_URL}/base"

        [[flows]]
        name = "devices"
        approval_code = "${APPROVAL_CODE}"
        fields.mac = { kind = "mac", from = [{ field = "devices", column = "mac" }] }
        actions = [{ target = "nac", operation = "add", for_each = "mac" }]
    "#;

    #[allow(clippy::unnecessary_wraps, reason = "it has the shape of an environment")]
    fn everything(name: &str) -> Option<String> {
        Some(format!("<{name}>\"\n"))
    }

    fn nothing(_: &str) -> Option<String> {
        None
    }

    fn error_of(text: &str) -> String {
        match Flows::parse(text, &everything) {
            Ok(flows) => format!("no error: {flows:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn values_of_the_environment_stay_values() {
        let flows = Flows::parse(TEXT, &everything).unwrap();
        assert_eq!(flows.targets["nac"].url, "<NAC_URL>\"\n/base");
        let code = "<APPROVAL_CODE>\"\n";
        assert!(flows.find("feishu", code, Verdict::Approved).is_some());
        assert!(flows.find("feishu", code, Verdict::Revoked).is_none());
        assert!(flows.find("lark", code, Verdict::Approved).is_none());
    }

    #[test]
    fn the_receiver_needs_the_approval_codes_only() {
        let code_only = |name: &str| (name == "APPROVAL_CODE").then(|| "code".to_owned());
        let approvals = Approvals::parse(TEXT, &code_only).unwrap();
        assert!(approvals.matter("feishu", "code", Verdict::Approved));
        assert!(!approvals.matter("feishu", "code", Verdict::Revoked));
        let error = Approvals::parse(TEXT, &nothing).unwrap_err();
        assert!(error.to_string().contains("APPROVAL_CODE"), "{error}");
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        for (from, to, said) in [
            ("operation =", "operatoin =", "line 10"),
            ("\"nac\", op", "\"nacc\", op", "target `nacc`, which is not there; there is: nac"),
            ("for_each = \"mac\"", "for_each = \"mec\"", "`mec`"),
            ("${NAC_URL}", "${NAC_URL", "`targets.nac.url`"),
            ("${NAC_URL}", "${}", "`targets.nac.url`"),
            ("[{ field = \"devices\", column = \"mac\" }]", "[]", "field `mac` of flow `devices`"),
            ("kind = \"mac\"", "kind = \"mcc\"", "`mcc`"),
            ("name = \"devices\"", "name = \"devices\"\nverdict = \"revoked\"", "not acted on yet"),
        ] {
            let error = error_of(&TEXT.replacen(from, to, 1));
            assert!(error.contains(said), "{to}: {error}");
        }
    }

    #[test]
    fn patience_is_the_users() {
        let text = |retry: &str| format!("{TEXT}\n[retry]\n{retry}");
        let flows = Flows::parse(&text("give_up_after = \"2days\""), &everything).unwrap();
        assert_eq!(flows.retry.give_up_after.as_secs(), 48 * 3_600);
        assert_eq!(flows.retry.first, RetryPolicy::default().first);
        for (retry, said) in [
            ("give_up_after = \"14days\"", "13days at most"),
            ("longest = \"12h\"", "11h 50min at most"),
            ("give_up_after = \"1s\"", "no shorter than `first`"),
            ("first = \"20min\"", "no longer than `longest`"),
            ("first = \"0s\"", "at least 1ms"),
            ("first = \"soon\"", "\"soon\" is no duration"),
            ("frist = \"1s\"", "line 13"),
        ] {
            let error = error_of(&text(retry));
            assert!(error.contains(said), "{retry}: {error}");
        }
    }

    #[test]
    fn a_flow_that_can_never_run_is_refused() {
        let (_, flow) = TEXT.split_at(TEXT.find("[[flows]]").unwrap());
        let error = error_of(&format!("{TEXT}\n{flow}"));
        assert!(error.contains("can never run"), "{error}");
    }
}
