//! `greenlight flows`: is flows.toml right, and what would it do?

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use greenlight_actions::Actions;
use greenlight_actions::connector::ConnectorError;
use greenlight_core::flow::{Action, Flow, Flows, FlowsError};
use greenlight_core::instance::Instance;
use greenlight_core::ports::{Call, Clock, Http, HttpError};
use greenlight_core::secret::{FixedSecret, Secret, SecretError};
use greenlight_core::{Failure, Reason, plan};
use greenlight_sources::feishu::parse_instance;
use greenlight_stores::{BadFlowsFile, SystemClock, flows_text};
use serde_json::{Map, Value, json};
use thiserror::Error;
use toml::de::{DeTable, DeValue};

/// Adds a line to a text, which takes everything.
macro_rules! say {
    ($text:expr, $($line:tt)*) => {{
        $text.push_str(&format!($($line)*));
        $text.push('\n');
    }};
}

/// Something is wrong, or cannot be told.
#[derive(Debug, Error)]
pub enum FlowsProblem {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] BadFlowsFile),
    /// The file is wrong.
    #[error("{file}:{line}: {problem}")]
    Wrong {
        /// The file.
        file: String,
        /// Counted from 1.
        line: usize,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// No flow has that name.
    #[error("there is no flow `{name}`; there is: {known}")]
    NoFlow {
        /// The name.
        name: String,
        /// The names that are there.
        known: String,
    },
    /// The instance cannot be read.
    #[error("{file}: {problem}")]
    Instance {
        /// The file.
        file: String,
        /// Why.
        problem: String,
    },
    /// A request cannot be told.
    #[error("{0}")]
    Untold(Reason),
    /// It holds no secret, and still.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// Is never asked: nothing is sent.
#[derive(Clone, Copy, Debug)]
struct Nobody;

impl Http for Nobody {
    async fn send(&self, _: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpError> {
        Err(HttpError::Connect { host: String::new(), cause: "nothing is sent".to_owned() })
    }
}

type CheckedActions = Actions<Nobody, FixedSecret, SystemClock>;

/// Flows that are right, and what they need.
struct Checked {
    flows: Flows,
    actions: CheckedActions,
    /// `targets.nac.token`
    credentials: BTreeSet<String>,
    /// Variables that are not set here.
    unset: BTreeSet<String>,
}

/// Checks the file, or the flows that are built in, and tells what they need.
///
/// # Errors
/// [`FlowsProblem::Wrong`] with file and line.
pub fn check(file: Option<&Path>) -> Result<String, FlowsProblem> {
    let checked = read(file)?;
    let mut text = String::new();
    for flow in &checked.flows.flows {
        let Flow { name, source, approval_code, verdict, .. } = flow;
        say!(text, "flow {name}: {source} {approval_code} {verdict}");
        for action in &flow.actions {
            let target = &checked.flows.targets[&action.target];
            let Action { operation, target: name, for_each, .. } = action;
            say!(
                text,
                "  {operation} at {name} ({}, {}), for each {for_each}",
                target.connector,
                target.url
            );
        }
    }
    let list = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
    if !checked.credentials.is_empty() {
        say!(text, "the secret must hold: {}", list(&checked.credentials));
    }
    if !checked.unset.is_empty() {
        say!(text, "not set here, and taken for granted: {}", list(&checked.unset));
    }
    say!(text, "right. 正确。");
    Ok(text)
}

/// The JSON Schema of flows.toml, for editors.
#[must_use]
pub fn schema() -> String {
    format!("{:#}\n", greenlight_core::flow::schema())
}

/// Tells every request that `flow` would make for an instance, and sends nothing.
///
/// # Errors
/// [`FlowsProblem`] says what is wrong with the flows or the instance.
pub fn dry_run(file: Option<&Path>, flow: &str, instance: &Path) -> Result<String, FlowsProblem> {
    let checked = read(file)?;
    let flow = find(&checked.flows, flow)?;
    let unreadable =
        |problem: String| FlowsProblem::Instance { file: instance.display().to_string(), problem };
    let text = fs::read_to_string(instance).map_err(|error| unreadable(error.to_string()))?;
    let instance =
        parse_instance(&text).map_err(|failure| unreadable(failure.reason().text.clone()))?;
    tell_plan(flow, &instance, &checked.actions).map_err(|failure| {
        let (Failure::Retry { reason, .. } | Failure::GiveUp { reason }) = failure;
        FlowsProblem::Untold(reason)
    })
}

fn find<'a>(flows: &'a Flows, name: &str) -> Result<&'a Flow, FlowsProblem> {
    flows.flows.iter().find(|flow| flow.name == name).ok_or_else(|| {
        let known: Vec<_> = flows.flows.iter().map(|flow| flow.name.as_str()).collect();
        FlowsProblem::NoFlow { name: name.to_owned(), known: known.join(", ") }
    })
}

fn tell_plan(
    flow: &Flow,
    instance: &Instance,
    actions: &CheckedActions,
) -> Result<String, Failure> {
    let mut text = String::new();
    let plan = plan(flow, instance, actions)?;
    if instance.approval_code != flow.approval_code {
        say!(text, "! the instance is of the approval {}", instance.approval_code);
    }
    if !instance.status.confirms(flow.verdict) {
        say!(text, "! the instance is {}, not {}", instance.status.as_str(), flow.verdict);
    }
    for problem in &plan.problems {
        say!(text, "! {problem}");
    }
    for (action, device) in &plan.work {
        say!(text, "\n{} {device} at {}", action.operation, action.target);
        let call = Call {
            target: &action.target,
            operation: &action.operation,
            device: *device,
            variables: &plan.variables,
            deadline: SystemClock.now(),
        };
        if actions.is_database(&action.target) {
            say!(text, "  statements of {}, in one transaction", action.operation);
            continue;
        }
        for request in actions.http().preview(&call)? {
            let step =
                if request.step.is_empty() { String::new() } else { format!("{}: ", request.step) };
            say!(text, "  {step}{} {}", request.method, request.url);
            if let Some(when) = &request.when {
                say!(text, "    when {when}");
            }
            for (name, value) in &request.headers {
                say!(text, "    {name}: {value}");
            }
            if !request.body.is_empty() {
                say!(text, "    {}", request.body);
            }
        }
    }
    say!(text, "\n{} device(s); nothing was sent. 未发送任何请求。", plan.work.len());
    Ok(text)
}

fn read(file: Option<&Path>) -> Result<Checked, FlowsProblem> {
    let text = flows_text(file, include_str!("../../flows.toml"))?;
    let name =
        file.map_or_else(|| "infra/flows.toml".to_owned(), |file| file.display().to_string());
    let wrong_at = |line, problem| FlowsProblem::Wrong { file: name.clone(), line, problem };
    let wrong = |place: &[&str], problem| wrong_at(line_of(&text, place), problem);
    let unset = RefCell::new(BTreeSet::new());
    let environment = |variable: &str| {
        let value = std::env::var(variable).ok().filter(|value| !value.is_empty());
        Some(value.unwrap_or_else(|| {
            unset.borrow_mut().insert(variable.to_owned());
            if variable.ends_with("URL") {
                format!("https://{}.invalid", variable.to_ascii_lowercase().replace('_', "-"))
            } else {
                variable.to_owned()
            }
        }))
    };
    let flows = Flows::parse(&text, &environment).map_err(|error| match error {
        FlowsError::Toml { line, problem } => wrong_at(line, problem),
        error => wrong(&place_in_flows(&error), error.to_string()),
    })?;
    let (actions, credentials) = actions(&flows, &wrong)?;
    Ok(Checked { flows, actions, credentials, unset: unset.into_inner() })
}

/// The actions with whatever credentials they need, and which those are.
fn actions(
    flows: &Flows,
    wrong: &impl Fn(&[&str], String) -> FlowsProblem,
) -> Result<(CheckedActions, BTreeSet<String>), FlowsProblem> {
    let mut targets: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    loop {
        let secret = json!({
            "feishu": {"app_id": "-", "app_secret": "-", "encrypt_key": "-", "verification_token": "-"},
            "targets": targets,
        });
        let secret = FixedSecret(Arc::new(Secret::parse(&secret.to_string())?));
        let nobody = |_: &str, _: &_| Ok::<_, ConnectorError>(Nobody);
        match Actions::new(flows, secret, SystemClock, nobody) {
            Err(ConnectorError::MissingCredential { target, key }) => {
                targets.entry(target).or_default().insert(key, json!("-"));
            }
            Err(error) => return Err(wrong(&place_in_connector(&error), error.to_string())),
            Ok(actions) => {
                let credentials = targets.iter().flat_map(|(target, keys)| {
                    keys.keys().map(move |key| format!("targets.{target}.{key}"))
                });
                return Ok((actions, credentials.collect()));
            }
        }
    }
}

/// Where in the file a mistake is: the keys down to it; a flow is named by its name.
fn place_in_flows(error: &FlowsError) -> Vec<&str> {
    match error {
        FlowsError::Toml { .. } => Vec::new(),
        FlowsError::Unset { place, .. } | FlowsError::Placeholder { place } => {
            place.split('.').collect()
        }
        FlowsError::Unknown { flow, .. } | FlowsError::Idle(flow) => {
            vec!["flows", flow, "actions"]
        }
        FlowsError::Unreachable { second, .. } => vec!["flows", second],
        FlowsError::Revoked(flow) => vec!["flows", flow, "verdict"],
        FlowsError::Retry(_) => vec!["retry"],
        FlowsError::Nowhere { flow, field } => vec!["flows", flow, "fields", field],
    }
}

fn place_in_connector(error: &ConnectorError) -> Vec<&str> {
    match error {
        ConnectorError::UnknownConnector { target, .. } => vec!["targets", target, "connector"],
        ConnectorError::BadUrl(target) | ConnectorError::BadDatabaseUrl(target) => {
            vec!["targets", target, "url"]
        }
        ConnectorError::Param { target, param, .. } => vec!["targets", target, "params", param],
        ConnectorError::UnknownOperation { flow, .. }
        | ConnectorError::MissingVariable { flow, .. }
        | ConnectorError::Condition { flow, .. } => vec!["flows", flow, "actions"],
        _ => Vec::new(),
    }
}

/// The line of the deepest of the keys in `place` that is there.
fn line_of(text: &str, place: &[&str]) -> usize {
    let mut offset = 0;
    if let Ok(document) = DeTable::parse(text) {
        let root = DeValue::Table(document.into_inner());
        let mut at = &root;
        for key in place {
            let found = match at {
                DeValue::Table(table) => {
                    let mut entries = table.iter();
                    entries
                        .find(|(name, _)| name.get_ref() == key)
                        .map(|(name, value)| (name.span().start, value.get_ref()))
                }
                DeValue::Array(flows) => flows
                    .iter()
                    .find(|flow| name_of(flow.get_ref()) == Some(key))
                    .map(|flow| (flow.span().start, flow.get_ref())),
                _ => None,
            };
            let Some((start, value)) = found else { break };
            (offset, at) = (start, value);
        }
    }
    text[..offset].matches('\n').count() + 1
}

fn name_of<'a>(flow: &'a DeValue<'_>) -> Option<&'a str> {
    match flow.as_table()?.get("name")?.get_ref() {
        DeValue::String(name) => Some(name),
        _ => None,
    }
}
