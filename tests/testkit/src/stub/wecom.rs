//! A stub of the parts of WeCom's API that greenlight uses.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use greenlight_core::Timestamp;
use greenlight_sources::test_request::Sent;
use greenlight_sources::wecom::{ApprovalChange, WeComApp};
use serde_json::{Value, json};

use super::system::{Change, Fault, OfficeSystem, Outcome};

/// A stub of WeCom's API. As there, an error has HTTP 200.
#[derive(Clone, Debug)]
pub struct StubWeCom {
    address: SocketAddr,
    state: Shared,
}

#[derive(Debug)]
struct Inside {
    app: WeComApp,
    approvals: BTreeMap<String, Value>,
    token_number: u32,
    /// Answers every call but the login with this code.
    code: i64,
    /// Answers every call with a page for people.
    is_page: bool,
    logins: usize,
    reads: usize,
}

type Shared = Arc<Mutex<Inside>>;

fn lock(state: &Shared) -> MutexGuard<'_, Inside> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The app of tests, with the keys of WeCom's published sample.
#[must_use]
pub fn wecom_app() -> WeComApp {
    WeComApp {
        corp_id: "wx5823bf96d3bd56c7".into(),
        secret: "demo-wecom-secret".into(),
        token: "QDG6eK".into(),
        encoding_aes_key: "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C".into(),
    }
}

impl StubWeCom {
    /// Starts it for `app`.
    ///
    /// # Errors
    /// When loopback has no free port.
    pub async fn start(app: WeComApp) -> io::Result<Self> {
        let state = Arc::new(Mutex::new(Inside {
            app,
            approvals: BTreeMap::new(),
            token_number: 1,
            code: 0,
            is_page: false,
            logins: 0,
            reads: 0,
        }));
        let routes = Router::new()
            .route("/cgi-bin/gettoken", get(log_in))
            .route("/cgi-bin/oa/getapprovaldetail", post(detail))
            .route("/cgi-bin/oa/getapprovalinfo", post(list))
            .with_state(Arc::clone(&state));
        Ok(Self { address: super::serve(routes).await?, state })
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds an approval with a table of devices, ended now.
    pub fn put_approval(&self, sp_no: &str, template_id: &str, sp_status: i64, macs: &[&str]) {
        let now = super::now().as_seconds();
        let text = |id: &str, title: &str, text: &str| {
            let value = value(&[("text", json!(text))]);
            json!({"control": "Text", "id": id, "title": [{"text": title, "lang": "zh_CN"}],
                "value": value})
        };
        let rows = macs.iter().map(|mac| json!({"list": [text("Text-2", "MAC 地址", mac)]}));
        let table = json!({"control": "Table", "id": "Table-1",
            "title": [{"text": "设备", "lang": "zh_CN"}],
            "value": value(&[("children", rows.collect())])});
        let approval = json!({
            "sp_no": sp_no, "sp_name": "设备入网申请", "sp_status": sp_status,
            "template_id": template_id, "apply_time": now - 3_600,
            "applyer": {"userid": "ZhangSan", "partyid": "2"},
            "sp_record": [{"sp_status": 2, "approverattr": 1, "details": [{
                "approver": {"userid": "WangWu"}, "speech": "同意", "sp_status": 2,
                "sptime": now, "media_id": []}]}],
            "notifyer": [], "comments": [],
            "apply_data": {"contents": [text("Text-1", "事由", "新员工入职"), table]},
        });
        lock(&self.state).approvals.insert(sp_no.to_owned(), approval);
    }

    /// Invalidates all tokens.
    pub fn expire_tokens(&self) {
        lock(&self.state).token_number += 1;
    }

    /// Answers every call but the login with this code; 0 answers as usual.
    pub fn set_code(&self, code: i64) {
        lock(&self.state).code = code;
    }

    /// Answers every call with a page for people, as a proxy does.
    pub fn set_page(&self, is_page: bool) {
        lock(&self.state).is_page = is_page;
    }

    /// The number of logins, and of reads of approvals.
    #[must_use]
    pub fn calls(&self) -> (usize, usize) {
        let state = lock(&self.state);
        (state.logins, state.reads)
    }
}

/// The value of a control: the members of all other kinds are there, and empty.
fn value(own: &[(&str, Value)]) -> Value {
    let empty = ["tips", "members", "departments", "files", "children", "stat_field", "sum_field"];
    let mut value: serde_json::Map<String, Value> =
        empty.into_iter().map(|name| (name.to_owned(), json!([]))).collect();
    value.extend(own.iter().map(|(name, own)| ((*name).to_owned(), own.clone())));
    Value::Object(value)
}

type Parameters = Query<HashMap<String, String>>;

impl Inside {
    /// The answer to a call that is refused, if it is.
    fn refusal(&self, parameters: &HashMap<String, String>) -> Option<Response> {
        let token = parameters.get("access_token").map(String::as_str).unwrap_or_default();
        if self.is_page {
            return Some(Html("<html><body>502 Bad Gateway</body></html>").into_response());
        }
        if self.code != 0 {
            return Some(error(self.code, "refused, from ip: 192.0.2.7, more info at https://x"));
        }
        match token {
            "" => Some(error(41_001, "access_token missing")),
            token if token == self.token() => None,
            _ => Some(error(42_001, "access_token expired, hint: [1], from ip: 192.0.2.7")),
        }
    }

    fn token(&self) -> String {
        format!("t-stub-{}", self.token_number)
    }
}

fn error(code: i64, text: &str) -> Response {
    Json(json!({"errcode": code, "errmsg": text})).into_response()
}

fn ok(mut answer: Value) -> Response {
    answer["errcode"] = 0.into();
    answer["errmsg"] = "ok".into();
    Json(answer).into_response()
}

async fn log_in(State(state): State<Shared>, Query(query): Parameters) -> Response {
    let mut state = lock(&state);
    state.logins += 1;
    let given = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
    if given("corpid") != state.app.corp_id {
        return error(40_013, "invalid corpid");
    }
    if given("corpsecret") != state.app.secret {
        return error(40_001, "invalid credential");
    }
    ok(json!({"access_token": state.token(), "expires_in": 7200}))
}

async fn detail(State(state): State<Shared>, Query(query): Parameters, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut state = lock(&state);
    state.reads += 1;
    if let Some(refusal) = state.refusal(&query) {
        return refusal;
    }
    match body["sp_no"].as_str().and_then(|number| state.approvals.get(number)) {
        Some(approval) => ok(json!({"info": approval})),
        None => error(301_025, "no such approval"),
    }
}

/// A page has one approval, and between two of them an empty one: a self-built app gets fewer than
/// it asked for, and goes on while there is a cursor.
async fn list(State(state): State<Shared>, Query(query): Parameters, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let state = lock(&state);
    if let Some(refusal) = state.refusal(&query) {
        return refusal;
    }
    let number = |name: &str| body[name].as_str().and_then(|text| text.parse::<i64>().ok());
    let (Some(start), Some(end), Some(1..=100)) =
        (number("starttime"), number("endtime"), body["size"].as_u64())
    else {
        return error(301_025, "invalid parameter");
    };
    if !(0..=31 * 86_400).contains(&(end - start)) {
        return error(301_025, "invalid time");
    }
    let template = &body["filters"][0]["value"];
    let of_window = |approval: &&Value| {
        let applied = approval["apply_time"].as_i64().unwrap_or_default();
        approval["template_id"] == *template && (start..=end).contains(&applied)
    };
    let found: Vec<_> = state.approvals.values().filter(of_window).collect();
    let cursor = body["new_cursor"].as_str().unwrap_or_default().parse().unwrap_or(0_usize);
    let page: Vec<_> = found
        .get(cursor / 2)
        .filter(|_| cursor.is_multiple_of(2))
        .map(|it| &it["sp_no"])
        .into_iter()
        .collect();
    let mut answer = json!({"sp_no_list": page});
    if cursor + 1 < found.len() * 2 {
        answer["new_next_cursor"] = (cursor + 1).to_string().into();
    }
    ok(answer)
}

const TEMPLATE: &str = "3TkZjxugodbqpEMk9j7X6h6zKqYkc7MxQrrFmT7H";

/// `sp_status` of an approval with this outcome, and `statu_change_event` of the message about it.
const fn states(outcome: Outcome) -> (i64, i64) {
    match outcome {
        Outcome::Approved => (2, 2),
        Outcome::Refused => (3, 3),
        Outcome::Withdrawn => (4, 6),
        Outcome::Revoked => (6, 8),
    }
}

fn sp_no(number: u32) -> String {
    format!("20261130{number:04}")
}

impl OfficeSystem for StubWeCom {
    fn settings(&self, name: &str) -> String {
        format!("[sources.{name}]\nkind = \"wecom\"\nbase_url = \"{}\"\n", self.url())
    }

    fn secret(&self, name: &str) -> Value {
        let app = lock(&self.state).app.clone();
        json!({"sources": {name: {"corp_id": app.corp_id, "secret": app.secret,
            "token": app.token, "encoding_aes_key": app.encoding_aes_key}}})
    }

    fn definition_id(&self) -> &'static str {
        TEMPLATE
    }

    fn devices(&self) -> &'static str {
        "{ field = \"设备\", column = \"MAC 地址\" }"
    }

    fn put(&self, number: u32, outcome: Outcome, macs: &[&str]) -> String {
        let id = sp_no(number);
        self.put_approval(&id, TEMPLATE, states(outcome).0, macs);
        id
    }

    fn event(&self, change: Change<'_>, now: Timestamp) -> Sent {
        let (sp_status, event) = states(change.outcome);
        let (template_id, sp_no) = (change.definition_id, sp_no(change.number));
        let change = ApprovalChange { template_id, sp_no: &sp_no, sp_status, event };
        let sent = lock(&self.state).app.change(change, now);
        sent.unwrap_or_else(|| panic!("the key of the app of tests is one"))
    }

    fn expire_tokens(&self) -> bool {
        self.expire_tokens();
        true
    }

    fn set_fault(&self, fault: Option<Fault>) {
        self.set_code(if fault == Some(Fault::RateLimited) { 45_009 } else { 0 });
        self.set_page(fault == Some(Fault::Page));
    }
}
