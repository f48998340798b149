//! A stub of the parts of DingTalk's API that greenlight uses, and of its streams.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::{SinkExt, StreamExt};
use greenlight_core::Timestamp;
use greenlight_core::flow::UtcOffset;
use greenlight_sources::dingtalk::{DingTalkApp, InstanceChange};
use greenlight_sources::test_request::Sent;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use super::connections::Connections;
use super::system::{Change, Fault, OfficeSystem, Outcome};
use super::websocket::{self, Socket};

/// A stub of DingTalk's API, the older one, and its streams.
#[derive(Clone, Debug)]
pub struct StubDingTalk {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    inside: Mutex<Inside>,
    streams: Connections<String, Value>,
}

#[derive(Debug)]
struct Inside {
    app: DingTalkApp,
    /// The details, by instance: with the definition, and ms of the start.
    instances: BTreeMap<String, (String, i64, Value)>,
    left: BTreeSet<String>,
    token_number: u32,
    /// The error of every call but the login, with its status.
    error: Option<(u16, String)>,
    is_page: bool,
    calls: usize,
}

/// The app of tests, with the keys of DingTalk's published sample.
#[must_use]
pub fn dingtalk_app() -> DingTalkApp {
    DingTalkApp {
        app_key: "ding6ccabc44d2c8d38b".into(),
        app_secret: "demo-dingtalk-secret".into(),
        token: "mryue".into(),
        encoding_aes_key: "Yue0EfdN5900c1ce5cf6A152c63DDe1808a60c5ecd7".into(),
        corp_id: "dingcorp".into(),
    }
}

impl StubDingTalk {
    /// Starts it for `app`.
    ///
    /// # Errors
    /// When loopback has no free port.
    pub async fn start(app: DingTalkApp) -> io::Result<Self> {
        let inside = Inside {
            app,
            instances: BTreeMap::new(),
            left: BTreeSet::new(),
            token_number: 1,
            error: None,
            is_page: false,
            calls: 0,
        };
        let shared = Shared { inside: Mutex::new(inside), streams: Connections::default() };
        let shared = Arc::new(shared);
        let routes = Router::new()
            .route("/v1.0/oauth2/accessToken", post(log_in))
            .route("/v1.0/workflow/processInstances", get(detail))
            .route("/v1.0/workflow/processes/instanceIds/query", post(list))
            .route("/topapi/v2/user/get", post(person))
            .route("/v1.0/gateway/connections/open", post(offer))
            .route("/connect", get(connect))
            .with_state(Arc::clone(&shared));
        Ok(Self { address: super::serve(routes).await?, shared })
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds an approved instance with a table of devices, ended now.
    pub fn put_instance(&self, id: &str, process_code: &str, macs: &[&str]) {
        self.put(id, process_code, ("COMPLETED", "agree"), macs);
    }

    /// Adds an instance with a status and a result.
    pub fn put(&self, id: &str, process_code: &str, state: (&str, &str), macs: &[&str]) {
        let seconds = super::now().as_seconds();
        let row = |mac: &&str| json!({"rowValue": [{"label": "MAC 地址", "key": "TextField-MAC", "value": mac}]});
        let rows: Vec<_> = macs.iter().map(row).collect();
        let text = |id: &str, name: &str, kind: &str, value: String| json!({"id": id, "name": name, "componentType": kind, "value": value});
        let detail = json!({
            "title": "张三提交的设备入网申请",
            "createTime": minute(seconds - 60), "finishTime": minute(seconds),
            "originatorUserId": "user001", "originatorDeptId": "1",
            "status": state.0, "result": state.1, "businessId": "202611300001",
            "bizAction": "NONE", "mainProcessInstanceId": "", "attachedProcessInstanceIds": [],
            "operationRecords": [], "tasks": [],
            "formComponentValues": [
                text("TextField-NOTE", "备注", "TextField", "null".into()),
                text("TableField-DEV", "设备", "TableField", json!(rows).to_string()),
            ],
        });
        let started = (seconds - 60) * 1_000;
        let instance = (process_code.to_owned(), started, detail);
        self.lock().instances.insert(id.to_owned(), instance);
    }

    /// The approved instance `id` revokes the instance `main`: the one is attached to the other.
    pub fn revoke(&self, id: &str, main: &str) {
        let process_code = self.lock().instances.get(main).map(|it| it.0.clone());
        self.put_instance(id, &process_code.unwrap_or_default(), &[]);
        let mut inside = self.lock();
        if let Some((_, _, detail)) = inside.instances.get_mut(id) {
            detail["bizAction"] = "REVOKE".into();
            detail["mainProcessInstanceId"] = main.into();
        }
        if let Some((_, _, detail)) = inside.instances.get_mut(main) {
            // Changes that were refused, one of which is not there any more.
            let attached: Vec<_> = (0..12).map(|n| format!("{main}-change-{n}")).collect();
            detail["attachedProcessInstanceIds"] =
                json!([&attached[..], &[id.to_owned()]].concat());
        }
    }

    /// Changes when an instance ended.
    pub fn end_at(&self, id: &str, finish_time: &str) {
        if let Some((_, _, detail)) = self.lock().instances.get_mut(id) {
            detail["finishTime"] = finish_time.into();
        }
    }

    /// A person leaves the organisation.
    pub fn leave(&self, person: &str) {
        self.lock().left.insert(person.to_owned());
    }

    /// Invalidates all tokens.
    pub fn expire_tokens(&self) {
        self.lock().token_number += 1;
    }

    /// Answers every call but the login with this error.
    pub fn set_error(&self, error: Option<(u16, &str)>) {
        self.lock().error = error.map(|(status, code)| (status, code.to_owned()));
    }

    /// Answers every call but the login with a page, as of a blocked address.
    pub fn set_page(&self, is_page: bool) {
        self.lock().is_page = is_page;
    }

    /// The number of calls that count against the quota.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.lock().calls
    }

    /// Sends an event over the newest stream; returns the data of its reply, `None` if the stream
    /// ends before.
    pub async fn push(&self, event_type: &str, event_id: &str, data: &Value) -> Option<Value> {
        let corp_id = self.lock().app.corp_id.clone();
        let frame = |message_id: &str| {
            json!({"specVersion": "1.0", "type": "EVENT", "headers": {
                "appId": "app-1", "connectionId": "conn-1", "contentType": "application/json",
                "messageId": message_id, "time": "1700000000123", "topic": "*",
                "eventType": event_type, "eventId": event_id, "eventCorpId": corp_id,
                "eventBornTime": "1700000000000", "eventUnifiedAppId": "uapp-1"},
                "data": data.to_string()})
            .to_string()
        };
        self.shared.streams.ask(frame).await
    }

    /// Sends a message of the system over the newest stream; returns its reply.
    pub async fn push_system(&self, topic: &str, data: &Value) -> Option<Value> {
        let frame = |message_id: &str| {
            json!({"specVersion": "1.0", "type": "SYSTEM", "headers": {"topic": topic,
                "messageId": message_id, "contentType": "application/json",
                "time": "1700000000000"}, "data": data.to_string()})
            .to_string()
        };
        self.shared.streams.ask(frame).await
    }

    /// Sends a text as it is over all streams.
    pub fn push_raw(&self, text: &str) {
        self.shared.streams.send_to_all(&text.to_owned());
    }

    /// Closes all streams.
    pub fn close_streams(&self) {
        self.shared.streams.close();
    }

    /// Returns when so many streams have been opened, those that are closed again among them.
    pub async fn wait_until_opened(&self, count: u64) {
        self.shared.streams.wait_until_opened(count).await;
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.shared.lock()
    }
}

/// The ticket of a stream: with characters that a query does not have as they are.
const TICKET: &str = "tick et+1";

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(&self, mut socket: Socket) {
        let (sender, mut texts) = mpsc::unbounded_channel();
        let id = self.streams.add(sender);
        loop {
            tokio::select! {
                text = texts.recv() => {
                    let Some(text) = text else { break };
                    if socket.send(Message::Text(text.into())).await.is_err() {
                        break;
                    }
                }
                received = socket.next() => match received {
                    Some(Ok(Message::Text(text))) => self.take(&text),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                    Some(Ok(_)) => {}
                },
            }
        }
        let _ = socket.close(None).await;
        self.streams.remove(id);
    }

    fn take(&self, text: &str) {
        let reply: Value = serde_json::from_str(text).unwrap_or_default();
        if let Some(message_id) = reply["headers"]["messageId"].as_str() {
            self.streams.take_reply(message_id, reply.clone());
        }
    }
}

/// `2026-11-20T02:10Z`: DingTalk writes no seconds.
fn minute(seconds: i64) -> String {
    let utc: UtcOffset =
        serde_json::from_value(json!("+00:00")).unwrap_or_else(|error| panic!("{error}"));
    let at = Timestamp::from_millis(seconds * 1_000);
    let written = utc.format(at).unwrap_or_default();
    format!("{}Z", written.get(..16).unwrap_or_default())
}

type Stub = State<Arc<Shared>>;

fn error(status: u16, code: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    (status, Json(json!({"code": code, "requestid": "r", "message": "不合法"}))).into_response()
}

impl Inside {
    fn token(&self) -> String {
        format!("t-stub-{}", self.token_number)
    }

    /// The answer to a call that is refused, if it is. A token that is not valid any more is
    /// answered HTTP 400.
    fn refusal(&mut self, headers: &HeaderMap) -> Option<Response> {
        self.calls += 1;
        if self.is_page {
            return Some(Html("<html><body>blocked</body></html>").into_response());
        }
        if let Some((status, code)) = &self.error {
            return Some(error(*status, code));
        }
        let token = headers.get("x-acs-dingtalk-access-token").map(HeaderValue::as_bytes);
        let is_good = token == Some(self.token().as_bytes());
        (!is_good).then(|| error(400, "InvalidAuthentication"))
    }
}

async fn log_in(State(shared): Stub, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let inside = shared.lock();
    if body["appKey"] != inside.app.app_key || body["appSecret"] != inside.app.app_secret {
        return error(400, "invalidClientIdOrSecret");
    }
    Json(json!({"accessToken": inside.token(), "expireIn": 7200})).into_response()
}

async fn detail(
    State(shared): Stub,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let mut inside = shared.lock();
    if let Some(refusal) = inside.refusal(&headers) {
        return refusal;
    }
    let found = query.get("processInstanceId").and_then(|id| inside.instances.get(id));
    match found {
        Some((_, _, detail)) => Json(json!({"result": detail, "success": "true"})).into_response(),
        None => error(400, "processInstanceNotExist"),
    }
}

/// A page has one instance, and its token is a text.
async fn list(State(shared): Stub, headers: HeaderMap, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut inside = shared.lock();
    if let Some(refusal) = inside.refusal(&headers) {
        return refusal;
    }
    let (Some(start), Some(end), Some(1..=20)) =
        (body["startTime"].as_i64(), body["endTime"].as_i64(), body["maxResults"].as_u64())
    else {
        return error(400, "invalidMaxResults");
    };
    let page = match &body["nextToken"] {
        Value::String(token) => token.parse().unwrap_or(0_usize),
        _ => 0,
    };
    let of_window = |(_, (code, started, _)): &(&String, &(String, i64, Value))| {
        body["processCode"] == **code && (start..=end).contains(started)
    };
    let found: Vec<_> = inside.instances.iter().filter(of_window).map(|(id, _)| id).collect();
    let mut result = json!({"list": found.get(page).into_iter().collect::<Vec<_>>()});
    if page + 1 < found.len() {
        result["nextToken"] = (page + 1).to_string().into();
    }
    Json(json!({"result": result, "success": true})).into_response()
}

/// Of the older API: an error has HTTP 200.
async fn person(
    State(shared): Stub,
    Query(query): Query<HashMap<String, String>>,
    body: Bytes,
) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let inside = shared.lock();
    if query.get("access_token") != Some(&inside.token()) {
        return Json(json!({"errcode": 40_014, "errmsg": "不合法的access_token"})).into_response();
    }
    let id = body["userid"].as_str().unwrap_or_default();
    if inside.left.contains(id) {
        return Json(json!({"errcode": 60_121, "errmsg": "找不到该用户"})).into_response();
    }
    Json(json!({"errcode": 0, "errmsg": "ok", "result": {"userid": id}})).into_response()
}

async fn offer(State(shared): Stub, headers: HeaderMap, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    shared.streams.asked();
    let inside = shared.lock();
    if body["clientId"] != inside.app.app_key || body["clientSecret"] != inside.app.app_secret {
        return error(401, "authFailed");
    }
    let host = headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
    Json(json!({"endpoint": format!("ws://{host}/connect"), "ticket": TICKET})).into_response()
}

async fn connect(
    State(shared): Stub,
    Query(query): Query<HashMap<String, String>>,
    request: Request,
) -> Response {
    if query.get("ticket").map(String::as_str) != Some(TICKET) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    websocket::accept(request, async move |socket| shared.serve(socket).await)
}

const PROCESS: &str = "PROC-5AB1E7C0-0001";

/// The id of an approval, or of the one that revokes it.
fn instance_id(number: u32, outcome: Outcome) -> String {
    let suffix = if outcome == Outcome::Revoked { "-R" } else { "" };
    format!("I-{number}{suffix}")
}

impl OfficeSystem for StubDingTalk {
    fn settings(&self, name: &str) -> String {
        let url = self.url();
        format!(
            "[sources.{name}]\nkind = \"dingtalk\"\nbase_url = \"{url}\"\nold_base_url = \"{url}\"\n"
        )
    }

    fn secret(&self, name: &str) -> Value {
        let app = self.lock().app.clone();
        json!({"sources": {name: {"app_key": app.app_key, "app_secret": app.app_secret,
            "token": app.token, "encoding_aes_key": app.encoding_aes_key}}})
    }

    fn definition_id(&self) -> &'static str {
        PROCESS
    }

    fn devices(&self) -> &'static str {
        "{ field = \"设备\", column = \"MAC 地址\" }"
    }

    fn put(&self, number: u32, outcome: Outcome, macs: &[&str]) -> String {
        let id = instance_id(number, Outcome::Approved);
        match outcome {
            Outcome::Approved => self.put_instance(&id, PROCESS, macs),
            Outcome::Refused => self.put(&id, PROCESS, ("COMPLETED", "refuse"), macs),
            Outcome::Withdrawn => self.put(&id, PROCESS, ("TERMINATED", ""), macs),
            Outcome::Revoked => {
                self.put_instance(&id, PROCESS, macs);
                self.revoke(&instance_id(number, outcome), &id);
            }
        }
        id
    }

    fn event(&self, change: Change<'_>, now: Timestamp) -> Sent {
        let (kind, result) = match change.outcome {
            // The approval that revokes another one is approved, too.
            Outcome::Approved | Outcome::Revoked => ("finish", Some("agree")),
            Outcome::Refused => ("finish", Some("refuse")),
            Outcome::Withdrawn => ("terminate", None),
        };
        let (event_id, process_code) = (change.event_id, change.definition_id);
        let id = instance_id(change.number, change.outcome);
        let change = InstanceChange { event_id, process_code, instance_id: &id, kind, result };
        let sent = self.lock().app.instance_change(change, now);
        sent.unwrap_or_else(|| panic!("the key of the app of tests is one"))
    }

    fn expire_tokens(&self) -> bool {
        self.expire_tokens();
        true
    }

    fn set_fault(&self, fault: Option<Fault>) {
        let code = "Forbidden.AccessDenied.QpsLimitForApi";
        self.set_error((fault == Some(Fault::RateLimited)).then_some((403, code)));
        self.set_page(fault == Some(Fault::Page));
    }
}
