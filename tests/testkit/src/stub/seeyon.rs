//! A stub of the parts of Seeyon's REST API that greenlight uses, from the same documents: no
//! official client judges it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use greenlight_core::Timestamp;
use greenlight_sources::test_request::Sent;
use serde_json::{Value, json};

use super::signed_webhook_at;
use super::system::{Change, Fault, HOOK_SECRET, OfficeSystem, Outcome, hook_message};

/// The name and the password of the REST account.
pub const SEEYON_ACCOUNT: (&str, &str) = ("rest", "demo-seeyon-password");

/// A stub of Seeyon.
#[derive(Clone, Debug)]
pub struct StubSeeyon {
    address: SocketAddr,
    state: Shared,
}

#[derive(Debug)]
struct Inside {
    /// Template, state and form of each flow, by id.
    flows: BTreeMap<i64, (String, i64, String)>,
    token_number: u32,
    is_bare: bool,
    fault: Option<Fault>,
    wants_dates: bool,
    logins: usize,
}

type Shared = Arc<Mutex<Inside>>;

fn lock(state: &Shared) -> MutexGuard<'_, Inside> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl StubSeeyon {
    /// Starts it.
    ///
    /// # Errors
    /// When loopback has no free port.
    pub async fn start() -> io::Result<Self> {
        let state = Arc::new(Mutex::new(Inside {
            flows: BTreeMap::new(),
            token_number: 1,
            is_bare: false,
            fault: None,
            wants_dates: false,
            logins: 0,
        }));
        let rest = "/seeyon/rest";
        let routes = Router::new()
            .route(&format!("{rest}/token"), post(log_in))
            .route(&format!("{rest}/flow/FromFinish/{{template}}/{{start}}/{{end}}"), get(list))
            .route(&format!("{rest}/flow/state/{{flow}}"), get(flow_state))
            .route(&format!("{rest}/flow/data/{{flow}}"), get(data))
            .with_state(Arc::clone(&state));
        Ok(Self { address: super::serve(routes).await?, state })
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds a flow with a sub-form of devices, in this state.
    pub fn put_flow(&self, id: i64, template: &str, state: i64, macs: &[&str]) {
        let row = |mac: &&str| {
            format!(
                "<row><column name=\"MAC 地址\"><value><![CDATA[{mac}]]></value></column></row>"
            )
        };
        let rows: String = macs.iter().map(row).collect();
        let form = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><formExport><values>\
             <column name=\"事由\"><value>新员工入职 &amp; 设备入网</value></column>\
             <column name=\"备注\"><value></value></column></values>\
             <subForms><subForm><values>{rows}</values></subForm></subForms></formExport>"
        );
        lock(&self.state).flows.insert(id, (template.to_owned(), state, form));
    }

    /// Changes the state of a flow.
    pub fn set_state(&self, id: i64, state: i64) {
        if let Some(flow) = lock(&self.state).flows.get_mut(&id) {
            flow.1 = state;
        }
    }

    /// Invalidates all tokens.
    pub fn expire_tokens(&self) {
        lock(&self.state).token_number += 1;
    }

    /// Answers a login with the bare token, as some versions do.
    pub fn set_bare(&self, is_bare: bool) {
        lock(&self.state).is_bare = is_bare;
    }

    /// Refuses times in the URL of the list.
    pub fn set_wants_dates(&self, wants_dates: bool) {
        lock(&self.state).wants_dates = wants_dates;
    }

    /// The number of logins.
    #[must_use]
    pub fn logins(&self) -> usize {
        lock(&self.state).logins
    }
}

impl Inside {
    fn token(&self) -> String {
        format!("8f1b9ad0-5c3f-4f38-9a3a-{:012}", self.token_number)
    }

    fn refusal(&self, headers: &HeaderMap) -> Option<Response> {
        if let Some(fault) = self.fault {
            return Some(fault.answer());
        }
        let given = headers.get("token").and_then(|token| token.to_str().ok());
        (given != Some(self.token().as_str())).then(|| StatusCode::UNAUTHORIZED.into_response())
    }
}

async fn log_in(State(state): State<Shared>, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut state = lock(&state);
    state.logins += 1;
    let given = (body["userName"].as_str(), body["password"].as_str());
    let is_right = given == (Some(SEEYON_ACCOUNT.0), Some(SEEYON_ACCOUNT.1));
    let token = if is_right { state.token() } else { "-1".to_owned() };
    if state.is_bare { token } else { format!("{{\"id\":\"{token}\"}}") }.into_response()
}

/// The ids are bare numbers, of more than 53 bits.
async fn list(
    State(state): State<Shared>,
    Path((template, start, end)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Response {
    let state = lock(&state);
    if let Some(refusal) = state.refusal(&headers) {
        return refusal;
    }
    let length = if state.wants_dates { 10 } else { 19 };
    if [&start, &end].iter().any(|time| time.len() != length && time.len() != 10) {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let is_ended = |state: i64| matches!(state, 0 | 5 | 15);
    let flows = state.flows.iter();
    let listed = flows.filter(|(_, (of, state, _))| *of == template && is_ended(*state));
    let ids: Vec<_> = listed.map(|(id, _)| id.to_string()).collect();
    format!("[{}]", ids.join(",")).into_response()
}

async fn flow_state(
    State(state): State<Shared>,
    Path(flow): Path<i64>,
    headers: HeaderMap,
) -> Response {
    let state = lock(&state);
    state.refusal(&headers).unwrap_or_else(|| match state.flows.get(&flow) {
        Some((_, state, _)) => state.to_string().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    })
}

async fn data(State(state): State<Shared>, Path(flow): Path<i64>, headers: HeaderMap) -> Response {
    let state = lock(&state);
    state.refusal(&headers).unwrap_or_else(|| match state.flows.get(&flow) {
        Some((_, _, form)) => form.clone().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    })
}

const TEMPLATE: &str = "device_access";

/// Longer than the whole numbers of JavaScript, and negative, as Seeyon's ids are.
fn flow_id(number: u32) -> i64 {
    i64::from(number) - 7_386_401_598_213_497_346
}

impl OfficeSystem for StubSeeyon {
    fn settings(&self, name: &str) -> String {
        let url = self.url();
        format!(
            "[sources.{name}]\nkind = \"seeyon\"\nbase_url = \"{url}\"\nreceive = \"webhook\"\n"
        )
    }

    fn secret(&self, name: &str) -> Value {
        json!({"sources": {name: {"user_name": SEEYON_ACCOUNT.0, "password": SEEYON_ACCOUNT.1,
            "hook_secret": HOOK_SECRET}}})
    }

    fn definition_id(&self) -> &'static str {
        TEMPLATE
    }

    fn devices(&self) -> &'static str {
        "{ field = \"subForm1\", column = \"MAC 地址\" }"
    }

    fn put(&self, number: u32, outcome: Outcome, macs: &[&str]) -> String {
        let state = match outcome {
            Outcome::Approved => 0,
            Outcome::Refused => 15,
            Outcome::Withdrawn | Outcome::Revoked => 5,
        };
        self.put_flow(flow_id(number), TEMPLATE, state, macs);
        flow_id(number).to_string()
    }

    fn event(&self, change: Change<'_>, now: Timestamp) -> Sent {
        let message = hook_message(change, &flow_id(change.number).to_string());
        signed_webhook_at(HOOK_SECRET, change.event_id, &message, now)
    }

    fn expire_tokens(&self) -> bool {
        self.expire_tokens();
        true
    }

    fn set_fault(&self, fault: Option<Fault>) {
        lock(&self.state).fault = fault;
    }
}
