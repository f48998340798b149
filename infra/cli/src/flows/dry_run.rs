//! Dry run of a flow for an instance: the worker's plan with every request; nothing is sent.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use greenlight_connectors::connector::ConnectorError;
use greenlight_connectors::{Preview, Targets};
use greenlight_core::flow::{Flow, Flows};
use greenlight_core::instance::Instance;
use greenlight_core::ports::{Call, Clock, Http, HttpError, ReadInstance};
use greenlight_core::secret::{FixedSecret, Secret};
use greenlight_core::{Failure, PlannedEffect, Reason, plan};
use greenlight_runtime::{load_secret, source};
use greenlight_sources::feishu::parse_instance;
use greenlight_stores::{SecretFile, SystemClock};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Checked, Files, FlowsProblem, read, say, taken_for_granted};
use greenlight_render::format::OutputFormat;

/// The access to Feishu, to read an instance by its code.
#[derive(Clone, Debug)]
pub struct Feishu {
    /// The secret document.
    pub secrets: PathBuf,
    /// Feishu's OpenAPI.
    pub base_url: String,
}

/// An HTTP client that is never called: a dry run sends nothing.
#[derive(Clone, Copy, Debug)]
struct NoNetwork;

impl Http for NoNetwork {
    async fn send(&self, _: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpError> {
        Err(HttpError::Connect { host: String::new(), cause: "nothing is sent".to_owned() })
    }
}

type DryTargets = Targets<NoNetwork, FixedSecret, SystemClock>;

/// What a flow would do for an instance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DryRun {
    /// Variables of the flows that are not set here; each has a stand-in.
    pub unset: Vec<String>,
    /// Problems of the instance or its form.
    pub problems: Vec<String>,
    /// The planned effects, in the order of the flow's actions.
    pub effects: Vec<DryEffect>,
}

/// One effect that would be performed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DryEffect {
    /// The target.
    pub target: String,
    /// Its operation.
    pub operation: String,
    /// The device.
    pub device: String,
    /// All requests that the operation might send, in order.
    pub requests: Vec<Preview>,
}

/// Plans `flow` for an instance, as the worker does, and sends nothing.
/// `instance` is a file with Feishu's answer, or the code of an instance, which is then read from
/// `feishu`.
///
/// # Errors
/// [`FlowsProblem`] says what is wrong with the flows, or why the instance cannot be read.
pub async fn dry_run(
    files: &Files,
    flow: &str,
    instance: &str,
    feishu: Feishu,
) -> Result<DryRun, FlowsProblem> {
    let Checked { flows, setup, unset } = read(files)?;
    let flow = find(&flows, flow)?;
    let instance = if Path::new(instance).exists() || is_path(instance) {
        instance_in(instance)?
    } else {
        instance_at(feishu, instance).await?
    };
    let mut credentials: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for (target, key) in setup.credentials() {
        credentials.entry(target).or_default().insert(key, json!("-"));
    }
    let feishu =
        json!({"app_id": "-", "app_secret": "-", "encrypt_key": "-", "verification_token": "-"});
    let secret = json!({"feishu": feishu, "targets": credentials});
    let secret = FixedSecret(Arc::new(Secret::parse(&secret.to_string())?));
    let no_client = |_: &str, _: &_| Ok::<_, ConnectorError>(NoNetwork);
    let targets = Targets::new(setup, secret, SystemClock, no_client)?;
    let (problems, effects) = preview(flow, &instance, &targets)
        .map_err(|failure| FlowsProblem::NotPlanned(reason(failure)))?;
    Ok(DryRun { unset: unset.into_iter().collect(), problems, effects })
}

/// Renders a dry run.
#[must_use]
pub fn render_dry_run(run: &DryRun, format: OutputFormat) -> String {
    if format == OutputFormat::Json {
        return format!("{}\n", json!(run));
    }
    let mut text = taken_for_granted(&run.unset);
    for problem in &run.problems {
        say!(text, "! {problem}");
    }
    for DryEffect { target, operation, device, requests } in &run.effects {
        say!(text, "\n{operation} {device} at {target}");
        for request in requests {
            text.push_str(&request.to_string());
        }
    }
    say!(text, "\n{} effect(s); nothing was sent. 未发送任何请求。", run.effects.len());
    text
}

fn reason(failure: Failure) -> Reason {
    let (Failure::Retry { reason, .. } | Failure::GiveUp { reason }) = failure;
    reason
}

fn find<'a>(flows: &'a Flows, name: &str) -> Result<&'a Flow, FlowsProblem> {
    flows.flows.iter().find(|flow| flow.name == name).ok_or_else(|| {
        let known: Vec<_> = flows.flows.iter().map(|flow| flow.name.as_str()).collect();
        FlowsProblem::NoFlow { name: name.to_owned(), known: known.join(", ") }
    })
}

/// Codes of instances have neither of these characters.
fn is_path(instance: &str) -> bool {
    instance.contains(['/', '.'])
}

fn instance_in(file: &str) -> Result<Instance, FlowsProblem> {
    let unreadable = |problem| FlowsProblem::Instance { file: file.to_owned(), problem };
    let text = fs::read_to_string(file).map_err(|error| unreadable(error.to_string()))?;
    parse_instance(&text).map_err(|failure| unreadable(reason(failure).text))
}

async fn instance_at(feishu: Feishu, code: &str) -> Result<Instance, FlowsProblem> {
    let secret = load_secret(SecretFile::new(feishu.secrets)).await?;
    let instance = source(&feishu.base_url, secret)?.read_instance(code).await;
    instance.map_err(|failure| FlowsProblem::Unread(reason(failure)))
}

/// The problems and the effects.
fn preview(
    flow: &Flow,
    instance: &Instance,
    targets: &DryTargets,
) -> Result<(Vec<String>, Vec<DryEffect>), Failure> {
    let mut problems = Vec::new();
    if instance.definition_id != flow.definition_id {
        problems.push(format!("the instance is of the approval {}", instance.definition_id));
    }
    if !instance.status.confirms(flow.on) {
        problems.push(format!("the instance is {}, not {}", instance.status.as_str(), flow.on));
    }
    let mut plan = plan(flow, instance, targets)?;
    problems.extend(plan.problems.iter().map(ToString::to_string));
    plan.variables.insert("event_id".to_owned(), json!("dry-run"));
    let effect = |&PlannedEffect { action, device }: &PlannedEffect<'_>| {
        let (target, operation) = (action.target.as_str(), action.operation.as_str());
        let (variables, deadline) = (&plan.variables, SystemClock.now());
        let requests = targets.preview(&Call { target, operation, device, variables, deadline })?;
        let (target, operation) = (target.to_owned(), operation.to_owned());
        Ok(DryEffect { target, operation, device: device.to_string(), requests })
    };
    Ok((problems, plan.effects.iter().map(effect).collect::<Result<_, _>>()?))
}
