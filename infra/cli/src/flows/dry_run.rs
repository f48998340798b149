//! What a flow would do for an instance: every request, and nothing is sent to a target.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use greenlight_actions::Actions;
use greenlight_actions::connector::ConnectorError;
use greenlight_core::flow::{Flow, Flows};
use greenlight_core::instance::Instance;
use greenlight_core::ports::{Call, Clock, Http, HttpError, ReadInstance};
use greenlight_core::secret::{CachedSecret, FixedSecret, Secret};
use greenlight_core::transport::is_clear_text;
use greenlight_core::{Failure, PlannedEffect, Reason, plan};
use greenlight_http::{Client, ClientError};
use greenlight_sources::feishu::{FeishuClient, parse_instance};
use greenlight_stores::{SecretFile, SystemClock};
use serde_json::{Map, Value, json};

use super::{Checked, Files, FlowsProblem, read, say};

/// Where instances are read when they are named by their code.
#[derive(Clone, Debug)]
pub struct Feishu {
    /// The secret document.
    pub secrets: PathBuf,
    /// Feishu's OpenAPI.
    pub base_url: String,
}

/// Is never asked: nothing is sent.
#[derive(Clone, Copy, Debug)]
struct Nobody;

impl Http for Nobody {
    async fn send(&self, _: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpError> {
        Err(HttpError::Connect { host: String::new(), cause: "nothing is sent".to_owned() })
    }
}

type DryActions = Actions<Nobody, FixedSecret, SystemClock>;

/// Tells every request that `flow` would make for an instance, and sends none of them. `instance` is a file
/// with Feishu's answer, or the code of an instance, which is then read from `feishu`.
///
/// # Errors
/// [`FlowsProblem`] says what is wrong with the flows or the instance.
pub async fn dry_run(
    files: &Files,
    flow: &str,
    instance: &str,
    feishu: Feishu,
) -> Result<String, FlowsProblem> {
    let checked = read(files)?;
    let granted = checked.taken_for_granted();
    let Checked { flows, setup, .. } = checked;
    let flow = find(&flows, flow)?;
    let instance = if Path::new(instance).exists() || is_path(instance) {
        instance_in(instance)?
    } else {
        instance_at(feishu, instance).await?
    };
    let mut targets: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for (target, key) in setup.credentials() {
        targets.entry(target).or_default().insert(key, json!("-"));
    }
    let feishu =
        json!({"app_id": "-", "app_secret": "-", "encrypt_key": "-", "verification_token": "-"});
    let secret = json!({"feishu": feishu, "targets": targets});
    let secret = FixedSecret(Arc::new(Secret::parse(&secret.to_string())?));
    let nobody = |_: &str, _: &_| Ok::<_, ConnectorError>(Nobody);
    let actions = Actions::new(setup, secret, SystemClock, nobody)?;
    let shown = describe(flow, &instance, &actions);
    shown.map(|text| granted + &text).map_err(|failure| FlowsProblem::NotPlanned(reason(failure)))
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

/// Codes of instances have neither.
fn is_path(instance: &str) -> bool {
    instance.contains(['/', '.'])
}

fn instance_in(file: &str) -> Result<Instance, FlowsProblem> {
    let unreadable = |problem| FlowsProblem::Instance { file: file.to_owned(), problem };
    let text = fs::read_to_string(file).map_err(|error| unreadable(error.to_string()))?;
    parse_instance(&text).map_err(|failure| unreadable(reason(failure).text))
}

async fn instance_at(feishu: Feishu, code: &str) -> Result<Instance, FlowsProblem> {
    if is_clear_text(&feishu.base_url) {
        return Err(ClientError::ClearText(feishu.base_url).into());
    }
    let file = SecretFile::new(feishu.secrets);
    let secret = Arc::new(CachedSecret::load(file.clone(), file, SystemClock).await?);
    let client = FeishuClient::new(Client::new(None)?, secret, SystemClock, &feishu.base_url);
    let instance = client.read_instance(code).await;
    instance.map_err(|failure| FlowsProblem::Unread(reason(failure)))
}

fn describe(flow: &Flow, instance: &Instance, actions: &DryActions) -> Result<String, Failure> {
    let mut text = String::new();
    let mut plan = plan(flow, instance, actions)?;
    plan.variables.insert("event_id".to_owned(), json!("dry-run"));
    if instance.definition_id != flow.definition_id {
        say!(text, "! the instance is of the approval {}", instance.definition_id);
    }
    if !instance.status.confirms(flow.on) {
        say!(text, "! the instance is {}, not {}", instance.status.as_str(), flow.on);
    }
    for problem in &plan.problems {
        say!(text, "! {problem}");
    }
    for PlannedEffect { action, device } in &plan.effects {
        say!(text, "\n{} {device} at {}", action.operation, action.target);
        let call = Call {
            target: &action.target,
            operation: &action.operation,
            device: *device,
            variables: &plan.variables,
            deadline: SystemClock.now(),
        };
        for preview in actions.preview(&call)? {
            text.push_str(&preview.to_string());
        }
    }
    say!(text, "\n{} device(s); nothing was sent. 未发送任何请求。", plan.effects.len());
    Ok(text)
}
