//! `greenlight doctor`: checks the set-up that approvals need, a line per check.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use greenlight_connectors::connector::Reached;
use greenlight_core::Timestamp;
use greenlight_core::flow::{Flow, Flows, Place as FormPlace};
use greenlight_core::ports::{Clock, Http};
use greenlight_core::secret::{FixedSecret, Secret, SecretError};
use greenlight_http::Client;
use greenlight_sources::feishu::{Definition, SOURCE, Widget};
use greenlight_stores::private::check_private;
use greenlight_stores::sqlite::OpenError;
use greenlight_stores::{SecretFile, SystemClock};
use serde_json::json;
use thiserror::Error;

use crate::backend::{Address, Backend, BackendError};
use crate::feishu;
use crate::flows::{self, Checked, Files, read_with};
use crate::secrets::Secrets;
use greenlight_render::format::{lines, moment, span};

/// The difference of clocks that is reported. Feishu's events are rejected when clocks differ by
/// more than the replay window, which is longer.
const CLOCK_DIFFERS: Duration = Duration::from_mins(1);

/// The options of `greenlight doctor`.
#[derive(Clone, Debug)]
pub struct DoctorOptions {
    /// Where greenlight runs.
    pub address: Address,
    /// Flows and connectors.
    pub files: Files,
    /// The secret document of a data folder.
    pub secrets: PathBuf,
    /// Feishu's OpenAPI; a stack's own parameter goes before it.
    pub feishu_base_url: String,
}

/// The results of the checks.
#[derive(Debug, Default)]
pub struct Checks {
    lines: Vec<(bool, String, String)>,
}

/// Checks failed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("{0} checks failed (有 {0} 项检查未通过)")]
pub struct ChecksFailed(pub usize);

impl Checks {
    fn ok(&mut self, what: &str, detail: impl Display) {
        self.lines.push((true, what.to_owned(), detail.to_string()));
    }

    fn bad(&mut self, what: &str, detail: impl Display) {
        self.lines.push((false, what.to_owned(), detail.to_string()));
    }

    /// Returns the value, or records a failed check with the error.
    fn take<T, E: Display>(&mut self, what: &str, result: Result<T, E>, advice: &str) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.bad(what, format!("{error}{advice}"));
                None
            }
        }
    }

    /// A line per check.
    #[must_use]
    pub fn to_text(&self) -> String {
        lines(self.lines.iter().map(|(is_ok, what, detail)| {
            let mark = if *is_ok { "ok  " } else { "FAIL" };
            format!("{mark}  {what:<22}  {}", detail.replace('\n', " "))
        }))
    }

    /// A JSON object per check.
    #[must_use]
    pub fn to_json(&self) -> String {
        lines(self.lines.iter().map(|(is_ok, what, detail)| {
            json!({"check": what, "ok": is_ok, "detail": detail}).to_string()
        }))
    }

    /// # Errors
    /// [`ChecksFailed`] when a check failed.
    pub fn result(&self) -> Result<(), ChecksFailed> {
        match self.lines.iter().filter(|(is_ok, ..)| !is_ok).count() {
            0 => Ok(()),
            failed => Err(ChecksFailed(failed)),
        }
    }
}

/// Runs all checks. They change nothing.
pub async fn run_checks(options: &DoctorOptions) -> Checks {
    let mut checks = Checks::default();
    let backend = Backend::open(&options.address).await;
    let advice = "; is it the right name, region and profile? (检查名称、区域和凭证)";
    let backend = match &options.address {
        // Before the first `serve` there is no folder, which is no error.
        Address::Folder(folder)
            if matches!(backend, Err(BackendError::Open(OpenError::Absent(_)))) =>
        {
            match check_private(folder) {
                Ok(Err(error)) => checks.bad("data folder", error),
                _ => {
                    checks
                        .ok("data folder", "made by the first `greenlight serve` (首次运行时创建)");
                }
            }
            None
        }
        Address::Folder(folder) => {
            if let Ok(Err(error)) = check_private(folder) {
                checks.bad("data folder", error);
            }
            checks.take("data folder", backend, "")
        }
        // Without the stack there is nothing else to check.
        Address::Stack(_) => match checks.take("stack", backend, advice) {
            None => return checks,
            backend => backend,
        },
    };
    if let Some(backend) = &backend {
        queues(backend, &mut checks).await;
    }
    let known = |name: &str| Backend::variable_of(backend.as_ref(), name);
    let files = match &backend {
        Some(backend) => deployed(backend, &options.files, &mut checks).await,
        None => options.files.clone(),
    };
    let flows = checks.take("flows", read_with(&files, &known), "");
    if let Some(flows) = &flows {
        variables(flows, &mut checks);
    }
    let secrets = match &backend {
        Some(backend) => backend.secrets(options.secrets.clone()),
        None => Secrets::File(SecretFile::new(&options.secrets)),
    };
    let secret = secrets.read().await;
    let advice = secret.as_ref().err().map_or("", advice_for);
    let Some(secret) = checks.take("secret", secret, advice) else { return checks };
    checks.ok("secret", "complete, as far as Feishu is concerned (飞书部分完整)");
    let base_url = known("FEISHU_BASE_URL").unwrap_or_else(|| options.feishu_base_url.clone());
    clock(&base_url, &mut checks).await;
    at_feishu(&secret, &base_url, flows.as_ref().map(|flows| &flows.flows), &mut checks).await;
    if let Some(flows) = flows {
        targets(flows, secret, &mut checks).await;
    }
    checks
}

/// The advice for a secret that cannot be used, if its error contains none.
const fn advice_for(error: &SecretError) -> &'static str {
    match error {
        SecretError::Empty(_) => {
            ": `greenlight secrets set` asks for what is missing (请用它补全密钥)"
        }
        SecretError::Malformed { .. } => {
            ": replace it by a whole document, `greenlight secrets set < secrets.json` (请用完整文档覆盖)"
        }
        SecretError::Absent(_) | SecretError::Unavailable(_) | SecretError::NotPrivate(_) => "",
    }
}

async fn queues(backend: &Backend, checks: &mut Checks) {
    let status = backend.stores.status(SystemClock.now()).await;
    let advice = "; may these credentials read queue, table and metrics? (检查权限)";
    if let Some(status) = checks.take("queue and ledger", status, advice) {
        let dead = status.queue.dead_letters;
        checks.ok("queue and ledger", format!("reachable, {dead} dead letter(s) (可访问)"));
    }
}

/// The flows to check: the given ones, else the deployed ones.
async fn deployed(backend: &Backend, files: &Files, checks: &mut Checks) -> Files {
    let of_backend = flows::of_backend(backend, files.clone()).await;
    let Some(of_backend) = checks.take("deployed flows", of_backend, "") else {
        return files.clone();
    };
    match (of_backend.warning(), of_backend.since) {
        (Some(warning), _) => checks.bad("deployed flows", warning),
        (None, Some(since)) => {
            let text = format!("as checked, since {} (与已部署的配置一致)", moment(since));
            checks.ok("deployed flows", text);
        }
        (None, None) => {
            let text = "no worker has started with them yet (处理函数尚未以此配置启动)";
            checks.ok("deployed flows", text);
        }
    }
    of_backend.files
}

fn variables(flows: &Checked, checks: &mut Checks) {
    let unset: Vec<_> = flows.unset.iter().map(String::as_str).collect();
    if unset.is_empty() {
        checks.ok("flows", format!("right, {} flow(s) (正确)", flows.flows.flows.len()));
    } else {
        checks.bad("flows", format!("set {} (请设置这些变量)", unset.join(", ")));
    }
}

/// Compares our clock with Feishu's, by the `Date` header of any answer.
async fn clock(base_url: &str, checks: &mut Checks) {
    let request = http::Request::get(base_url).body(Bytes::new());
    let (Ok(client), Ok(request)) = (Client::new(None), request) else { return };
    // The check of the login reports if Feishu cannot be reached.
    let Ok(answer) = client.send(request).await else { return };
    let date = answer.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
    let theirs = date.and_then(|date| httpdate::parse_http_date(date).ok());
    let theirs = theirs.and_then(|date| date.duration_since(UNIX_EPOCH).ok());
    let Some(theirs) = theirs.and_then(|since| i64::try_from(since.as_millis()).ok()) else {
        return;
    };
    let (ours, theirs) = (SystemClock.now(), Timestamp::from_millis(theirs));
    let differ = ours.since(theirs).max(theirs.since(ours));
    if differ > CLOCK_DIFFERS {
        let text =
            format!("differs from Feishu's by {}: set this machine's (请校准时钟)", span(differ));
        checks.bad("clock", text);
    } else {
        checks.ok("clock", "agrees with Feishu's (时钟一致)");
    }
}

async fn at_feishu(secret: &Secret, base_url: &str, flows: Option<&Flows>, checks: &mut Checks) {
    let client = feishu::client(secret.clone(), base_url);
    let Some(feishu) = checks.take("Feishu", client, "") else { return };
    let login = feishu.check_login().await.map_err(|failure| failure.reason().clone());
    let advice = ": is Feishu reachable from here, and are App ID and App Secret those of the console? (检查网络与应用凭证)";
    if checks.take("Feishu login", login, advice).is_none() {
        return;
    }
    checks.ok("Feishu login", "works (登录成功)");
    let flows = flows.into_iter().flat_map(|flows| &flows.flows);
    let flows: Vec<_> = flows.filter(|flow| flow.source == SOURCE).collect();
    let codes: BTreeSet<_> = flows.iter().map(|flow| flow.definition_id.as_str()).collect();
    for code in codes {
        let what = format!("approval {code}");
        let definition = feishu.definition(code).await.map_err(|failure| failure.reason().clone());
        let advice = ": is the code right, and has the app the scope approval:approval? (核对审批编号与权限)";
        let Some(definition) = checks.take(&what, definition, advice) else { continue };
        if !definition.is_active {
            checks.bad(&what, format!("`{}` is not active (审批未启用)", definition.name));
        }
        let of_it = flows.iter().filter(|flow| flow.definition_id == code);
        let missing: BTreeSet<_> = of_it.flat_map(|flow| missing(flow, &definition)).collect();
        if missing.is_empty() {
            let text =
                format!("`{}` has the widgets that flows.toml names (控件齐全)", definition.name);
            checks.ok(&what, text);
        } else {
            let missing = missing.into_iter().collect::<Vec<_>>().join(", ");
            let text = format!(
                "`{}` has no widget {missing}: correct the form or flows.toml (缺少控件)",
                definition.name
            );
            checks.bad(&what, text);
        }
    }
}

/// The required fields of a flow that the form does not contain.
fn missing(flow: &Flow, definition: &Definition) -> Vec<String> {
    let is_there = |place: &FormPlace| {
        let has = |widget: &&Widget, name: &String| widget.names.contains(name);
        let widget = definition.widgets.iter().find(|widget| has(widget, &place.field));
        widget.is_some_and(|widget| {
            let column = place.column.as_ref();
            column.is_none_or(|column| widget.columns.iter().any(|it| has(&it, column)))
        })
    };
    let fields = flow.fields.iter().filter(|(_, rule)| !rule.optional && rule.default.is_none());
    let fields = fields.filter(|(_, rule)| !rule.from.iter().any(is_there));
    let shown = |place: &FormPlace| match &place.column {
        None => format!("`{}`", place.field),
        Some(column) => format!("`{}.{column}`", place.field),
    };
    fields.map(|(_, rule)| rule.from.iter().map(shown).collect::<Vec<_>>().join(" or ")).collect()
}

async fn targets(flows: Checked, secret: Secret, checks: &mut Checks) {
    let names: Vec<_> = flows.flows.targets.keys().cloned().collect();
    let targets = greenlight_runtime::targets(flows.setup, &FixedSecret(Arc::new(secret)));
    let Some(targets) = checks.take("targets", targets, ": `greenlight secrets set` asks for it")
    else {
        return;
    };
    for name in names {
        let what = format!("target {name}");
        match targets.reach(&name).await {
            Ok(Reached::LoggedIn) => {
                checks.ok(&what, "reachable from here, and accepts our credentials (已登录)");
            }
            Ok(Reached::Answers) => {
                checks.ok(
                    &what,
                    "reachable from here; it has no login to try before the first device (可访问)",
                );
            }
            Err(failure) => {
                let text = format!("{}; seen from this machine (本机无法访问)", failure.reason());
                checks.bad(&what, text);
            }
        }
    }
}
