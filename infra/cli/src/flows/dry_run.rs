//! Dry run of a flow for an instance: the worker's plan with every request; nothing is sent.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use greenlight_connectors::connector::ConnectorError;
use greenlight_connectors::{Preview, Setup, Targets};
use greenlight_core::explain::{Explain, Explanation};
use greenlight_core::flow::{Flow, Flows};
use greenlight_core::form::{Attachment, Field};
use greenlight_core::instance::{Instance, Status};
use greenlight_core::ports::{Call, Clock, Http, HttpError, ReadInstance, ReadSecret, ReadSheet};
use greenlight_core::secret::{FixedSecret, Secret};
use greenlight_core::{
    Decision, Failure, NOTHING_RECORDED, PlanInput, PlannedEffect, Request, RequestKey, plan,
    read_sheets,
};
use greenlight_render::text;
use greenlight_runtime::{HttpSources, load_secret, targets};
use greenlight_sources::kind::SourceKind;
use greenlight_sources::registry::Registry;
use greenlight_stores::{SecretFile, SystemClock};
use serde::Serialize;
use serde_json::{Map, Value, json};
use thiserror::Error;

use super::{Checked, Files, FlowsProblem, read, render_unset};
use crate::sources::{NoSuchSource, clients};
use greenlight_render::format::OutputFormat;

/// An HTTP client that is never called: a dry run sends nothing.
#[derive(Clone, Copy, Debug)]
struct NoNetwork;

impl Http for NoNetwork {
    async fn send(&self, _: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpError> {
        Err(HttpError::Connect {
            host: String::new(),
            cause: Explanation::quoted("nothing is sent"),
        })
    }
}

type DryTargets = Targets<NoNetwork, FixedSecret, SystemClock>;

/// What a flow would do for an instance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DryRun {
    /// Variables of the flows that are not set here; each has a stand-in.
    pub unset: Vec<String>,
    /// Problems of the instance or its form.
    pub problems: Vec<Explanation>,
    /// The planned effects, in the order of the flow's actions.
    pub effects: Vec<DryEffect>,
}

/// One effect that would be performed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DryEffect {
    pub target: String,
    pub operation: String,
    /// The kind of the subject; `null` for once per approval.
    pub kind: Option<&'static str>,
    /// What it is performed on; `null` for once per approval.
    pub subject: Option<String>,
    /// The person who would hold what is granted.
    pub owner: String,
    /// What the operation is.
    pub effect: &'static str,
    /// All requests that the operation might send, in order.
    pub requests: Vec<Preview>,
}

/// Plans `flow` for an instance, as the worker does, and sends nothing.
/// `instance` is a file with the source's document, or the code of an instance, which is then read
/// at its source, with the credentials in the file `secrets`.
///
/// # Errors
/// [`FlowsProblem`] says what is wrong with the flows, or why the instance cannot be read.
pub async fn dry_run(
    files: &Files,
    flow: &str,
    instance: &str,
    secrets: PathBuf,
) -> Result<DryRun, FlowsProblem> {
    let Checked { flows, sources, setup, unset } = read(files)?;
    let flow = find(&flows, flow)?;
    let instance = if Path::new(instance).exists() || is_path(instance) {
        let mut instance = instance_in(&sources, flow, instance)?;
        let read = read_sheets(flow, &mut instance.form, &NoSource).await;
        read.map_err(|failure| FlowsProblem::Unread(cause(failure)))?;
        instance
    } else {
        instance_at(&sources, setup.clone(), secrets, instance, flow).await?
    };
    let mut credentials: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for (target, key) in setup.credentials() {
        credentials.entry(target).or_default().insert(key, json!("-"));
    }
    let secret = json!({ "targets": credentials });
    let secret = FixedSecret(Arc::new(Secret::parse(&secret.to_string())?));
    let no_client = |_: &str, _: &_| Ok::<_, ConnectorError>(NoNetwork);
    let targets = Targets::new(setup, secret, SystemClock, no_client)?;
    let (problems, effects) = preview(flow, &instance, &targets)
        .map_err(|failure| FlowsProblem::NotPlanned(cause(failure)))?;
    Ok(DryRun { unset: unset.into_iter().collect(), problems, effects })
}

#[must_use]
pub fn render_dry_run(run: &DryRun, format: OutputFormat) -> String {
    let OutputFormat::Text(language) = format else { return format!("{}\n", json!(run)) };
    let mut text = render_unset(&run.unset, language);
    for problem in &run.problems {
        text.extend(["! ", &language.explain(problem), "\n"]);
    }
    for DryEffect { target, operation, subject, requests, owner, effect, .. } in &run.effects {
        text += &match subject {
            Some(subject) => text!(
                language,
                "\n{operation} {subject} at {target}",
                "\n在 {target} 对 {subject} 执行 {operation}"
            ),
            None => {
                text!(language, "\n{operation} at {target}", "\n在 {target} 执行 {operation}")
            }
        };
        text += &match *effect {
            "grant" => {
                text!(language, " ({effect}, owner {owner})\n", "（{effect}，持有人 {owner}）\n")
            }
            _ => text!(language, " ({effect})\n", "（{effect}）\n"),
        };
        for request in requests {
            text += &request.to_string();
        }
    }
    let effects = run.effects.len();
    text + &text!(
        language,
        "\n{effects} effect(s); nothing was sent.\n",
        "\n共 {effects} 个操作，未发送任何请求。\n"
    )
}

/// A problem of the instance itself.
#[derive(Debug, Error, Explain)]
#[explain("instance")]
enum InstanceProblem {
    #[error("the instance is the revocation of {instance_id}: it gives nothing")]
    IsRevocation { instance_id: String },
    #[error("the instance is of the approval {definition_id}")]
    OtherApproval { definition_id: String },
    #[error("the instance is {status}, not {decision}")]
    NotConfirmed { status: Status, decision: Decision },
}

fn cause(failure: Failure) -> Explanation {
    let (Failure::Retry { reason, .. } | Failure::GiveUp { reason }) = failure;
    reason.cause
}

fn find<'a>(flows: &'a Flows, name: &str) -> Result<&'a Flow, FlowsProblem> {
    flows.flows.iter().find(|flow| flow.name == name).ok_or_else(|| {
        let known: Vec<_> = flows.flows.iter().map(|flow| flow.name.as_str()).collect();
        FlowsProblem::NoFlow { name: name.to_owned(), known: known.join(", ") }
    })
}

/// Codes of instances can have dots.
fn is_path(instance: &str) -> bool {
    let extension = Path::new(instance).extension();
    instance.contains('/') || extension.is_some_and(|it| it.eq_ignore_ascii_case("json"))
}

fn source_of<'a>(
    sources: &'a Registry,
    flow: &Flow,
) -> Result<(&'a str, &'a dyn SourceKind), NoSuchSource> {
    let unknown = || NoSuchSource::new(Some(&flow.source), sources);
    sources.find(Some(&flow.source)).ok_or_else(unknown)
}

fn instance_in(sources: &Registry, flow: &Flow, file: &str) -> Result<Instance, FlowsProblem> {
    let unreadable = |problem| FlowsProblem::Instance { file: file.to_owned(), problem };
    let text = fs::read_to_string(file).map_err(|error| unreadable(error.explain()))?;
    let (_, kind) = source_of(sources, flow)?;
    let mut instance = kind.parse_instance(&text).map_err(|failure| unreadable(cause(failure)))?;
    // The documents of some systems do not name the definition.
    if instance.definition_id.is_empty() {
        instance.definition_id.clone_from(&flow.definition_id);
    }
    Ok(instance)
}

async fn instance_at(
    sources: &Registry,
    setup: Setup,
    secrets: PathBuf,
    code: &str,
    flow: &Flow,
) -> Result<Instance, FlowsProblem> {
    let secret = load_secret(SecretFile::new(secrets)).await?;
    let (_, kind) = source_of(sources, flow)?;
    // A source without `read` needs no target, nor its credentials.
    let source = match kind.reads() {
        None => clients(sources, (*secret.current()).clone())?,
        Some(_) => HttpSources::new(sources, secret.clone(), targets(setup, &secret)?)?,
    };
    let unread = |failure| FlowsProblem::Unread(cause(failure));
    let now = SystemClock.now();
    let request = Request::about(&flow.source, &flow.definition_id, code, flow.on, now);
    let request = request.map_err(|bad| FlowsProblem::Unread(bad.explain()))?;
    let mut instance = source.read_instance(&request).await.map_err(unread)?;
    read_sheets(flow, &mut instance.form, &source).await.map_err(unread)?;
    Ok(instance)
}

/// The office system of a dry run of a file: an attached sheet cannot be read.
struct NoSource;

/// A sheet that is attached to an instance in a file.
#[derive(Debug, Error, Explain)]
#[explain("not_downloaded")]
#[error("an attached file is downloaded only when the instance is read from the office system")]
struct NotDownloaded;

impl ReadSheet for NoSource {
    async fn read_sheet(
        &self,
        _: &str,
        _: &Attachment,
    ) -> Result<Result<Vec<Vec<Field>>, Explanation>, Failure> {
        Ok(Err(NotDownloaded.explain()))
    }
}

/// The problems and the effects.
fn preview(
    flow: &Flow,
    instance: &Instance,
    targets: &DryTargets,
) -> Result<(Vec<Explanation>, Vec<DryEffect>), Failure> {
    let mut problems = Vec::new();
    if instance.definition_id != flow.definition_id {
        let definition_id = instance.definition_id.clone();
        problems.push(InstanceProblem::OtherApproval { definition_id }.explain());
    }
    if !instance.status.confirms(flow.on) {
        let (status, decision) = (instance.status, flow.on);
        problems.push(InstanceProblem::NotConfirmed { status, decision }.explain());
    }
    if let Some(instance_id) = instance.revokes.clone() {
        problems.push(InstanceProblem::IsRevocation { instance_id }.explain());
        return Ok((problems, Vec::new()));
    }
    let now = SystemClock.now();
    let input =
        PlanInput { event_id: "dry-run", received_at: now, now, recorded: NOTHING_RECORDED };
    let plan = plan(flow, instance, input, targets)?;
    problems.extend(plan.problems.iter().map(Explain::explain));
    let request = RequestKey::of(&flow.source, &flow.definition_id, &instance.instance_id, flow.on);
    let effect = |planned: &PlannedEffect<'_>| {
        let PlannedEffect { action, subject, kind, owner, .. } = planned;
        let requests = targets.preview(&Call {
            job: request.as_str(),
            target: &action.target,
            operation: &action.operation,
            subject: subject.as_ref(),
            variables: &plan.variables(planned),
            trace_id: None,
            deadline: SystemClock.now(),
        })?;
        Ok(DryEffect {
            target: action.target.clone(),
            operation: action.operation.clone(),
            kind: subject.as_ref().map(|subject| subject.kind().name()),
            subject: subject.as_ref().map(|subject| subject.value().to_owned()),
            owner: owner.clone(),
            effect: kind.as_str(),
            requests,
        })
    };
    Ok((problems, plan.effects.iter().map(effect).collect::<Result<_, _>>()?))
}
