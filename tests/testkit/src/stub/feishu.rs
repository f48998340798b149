//! A stub of the parts of Feishu's OpenAPI that greenlight uses.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use greenlight_core::Timestamp;
use greenlight_sources::feishu::frame::Frame;
use greenlight_sources::feishu::{self, FeishuApp};
use greenlight_sources::test_request::Sent;
use serde_json::{Value, json};

use crate::request::DEFINITION_ID;

use super::long_connection::LongConnections;
use super::system::{Change, Fault, OfficeSystem, Outcome};

/// A stub of Feishu's OpenAPI.
#[derive(Clone, Debug)]
pub struct StubFeishu {
    address: SocketAddr,
    state: Arc<Mutex<Inside>>,
    connections: Arc<LongConnections>,
}

#[derive(Debug)]
struct Inside {
    app: FeishuApp,
    instances: HashMap<String, Value>,
    /// The instances on a page of the list; 1 where nothing is set.
    page_size: Option<usize>,
    files: HashMap<String, Bytes>,
    subscribed: HashSet<String>,
    /// Those who left the organisation.
    left: HashSet<String>,
    token_number: u32,
    reads: usize,
    down: bool,
    fault: Option<Fault>,
}

/// The longest window of the list: 10 hours.
const MAX_LIST_WINDOW_MS: i64 = 36_000_000;

type Shared = Arc<Mutex<Inside>>;

fn lock(state: &Shared) -> MutexGuard<'_, Inside> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inside {
    fn token(&self) -> String {
        format!("t-stub-{}", self.token_number)
    }
}

impl StubFeishu {
    /// Starts it for `app`.
    ///
    /// # Errors
    /// When loopback has no free port.
    pub async fn start(app: FeishuApp) -> io::Result<Self> {
        let state = Arc::new(Mutex::new(Inside {
            app,
            instances: HashMap::new(),
            page_size: None,
            files: HashMap::new(),
            subscribed: HashSet::new(),
            left: HashSet::new(),
            token_number: 1,
            reads: 0,
            down: false,
            fault: None,
        }));
        let routes = Router::new()
            .route("/open-apis/auth/v3/tenant_access_token/internal", post(log_in))
            .route("/open-apis/approval/v4/instances/{code}", get(instance))
            .route("/open-apis/approval/v4/instances", get(list))
            .route("/open-apis/contact/v3/users/{id}", get(user))
            .route("/files/{name}", get(file))
            .route("/open-apis/approval/v4/approvals/{code}", get(definition))
            .route("/open-apis/approval/v4/approvals/{code}/subscribe", post(subscribe))
            .with_state(Arc::clone(&state));
        let connections = Arc::<LongConnections>::default();
        let connecting = Router::new()
            .route("/callback/ws/endpoint", post(offer))
            .route("/ws/v2", get(accept))
            .with_state((Arc::clone(&state), Arc::clone(&connections)));
        let address = super::serve(routes.merge(connecting)).await?;
        Ok(Self { address, state, connections })
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds an instance with a form, see [`form_of`].
    pub fn put_instance(&self, code: &str, approval_code: &str, status: &str, form: &Value) {
        let ended = super::now();
        let created = ended.minus(Duration::from_hours(1));
        let instance = json!({
            "approval_name": "Device access",
            "approval_code": approval_code,
            "instance_code": code,
            "status": status,
            "reverted": false,
            "serial_number": "202611240001",
            "open_id": "ou_stub",
            "user_id": "stub",
            "start_time": created.as_millis().to_string(),
            "end_time": ended.as_millis().to_string(),
            "form": form.to_string(),
            "task_list": [],
            "comment_list": [],
            "timeline": [],
        });
        lock(&self.state).instances.insert(code.to_owned(), instance);
    }

    /// Adds a file, and returns its URL: as Feishu's, it needs no token.
    pub fn put_file(&self, name: &str, content: Vec<u8>) -> String {
        lock(&self.state).files.insert(name.to_owned(), content.into());
        format!("{}/files/{name}", self.url())
    }

    /// A page of the list has so many instances.
    pub fn set_page_size(&self, instances: usize) {
        lock(&self.state).page_size = Some(instances);
    }

    /// An instance ended so long ago.
    pub fn end_before(&self, code: &str, ago: Duration) {
        let ended_at = super::now().minus(ago);
        if let Some(instance) = lock(&self.state).instances.get_mut(code) {
            instance["end_time"] = ended_at.as_millis().to_string().into();
        }
    }

    /// Revokes an approval.
    pub fn revert(&self, code: &str) {
        if let Some(instance) = lock(&self.state).instances.get_mut(code) {
            instance["status"] = "CANCELED".into();
            instance["reverted"] = true.into();
        }
    }

    /// A person leaves the organisation.
    pub fn leave(&self, open_id: &str) {
        lock(&self.state).left.insert(open_id.to_owned());
    }

    /// Changes the time at which an instance ended, in ms since the Unix epoch.
    pub fn end_at(&self, code: &str, ended_at: i64) {
        if let Some(instance) = lock(&self.state).instances.get_mut(code) {
            instance["end_time"] = ended_at.to_string().into();
        }
    }

    /// Invalidates all tokens.
    pub fn expire_tokens(&self) {
        lock(&self.state).token_number += 1;
    }

    /// If `down`, answers every read of an instance with 503.
    pub fn set_down(&self, down: bool) {
        lock(&self.state).down = down;
    }

    /// The number of reads of instances.
    #[must_use]
    pub fn reads(&self) -> usize {
        lock(&self.state).reads
    }

    /// Sends an event over the newest long connection, in pieces of which the last comes first;
    /// returns the code of its reply, `None` if the connection ends before.
    pub async fn push(&self, event: &Value, pieces: usize) -> Option<i64> {
        self.connections.push(event.to_string().as_bytes(), pieces).await
    }

    /// Sends frames as they are, over all long connections.
    pub fn push_raw(&self, frames: &[Frame]) {
        self.connections.all.send_to_all(&frames.to_vec());
    }

    /// Closes all long connections.
    pub fn close_connections(&self) {
        self.connections.all.close();
    }

    /// Answers the question for a connection with this code; 0 offers one.
    pub fn set_connection_code(&self, code: i64) {
        self.connections.set_code(code);
    }

    /// The interval of pings in seconds, and whether they are answered.
    pub fn set_pings(&self, every: u64, are_answered: bool) {
        self.connections.set_pings(every, are_answered);
    }

    /// Returns when so many long connections are open.
    pub async fn wait_until_open(&self, count: usize) {
        self.connections.all.wait_until_open(count).await;
    }

    /// Returns when so many long connections have been opened, those that are closed among them.
    pub async fn wait_until_opened(&self, count: u64) {
        self.connections.all.wait_until_opened(count).await;
    }

    /// Returns when a connection was asked for so often.
    pub async fn wait_until_asked(&self, count: usize) {
        self.connections.all.wait_until_asked(count).await;
    }
}

type Connecting = (Shared, Arc<LongConnections>);

async fn offer(
    State((state, connections)): State<Connecting>,
    headers: HeaderMap,
    body: Bytes,
) -> Json<Value> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    connections.offer(&lock(&state).app, host, &body)
}

async fn accept(
    State((_, connections)): State<Connecting>,
    request: axum::extract::Request,
) -> Response {
    connections.accept(request)
}

/// The app of tests and of the demonstration.
#[must_use]
pub fn demo_app() -> FeishuApp {
    FeishuApp {
        app_id: "cli_a1b2c3d4e5f60718".into(),
        app_secret: "demo-app-secret".into(),
        encrypt_key: "demo-encrypt-key".into(),
        verification_token: "demo-verification-token".into(),
        tenant_key: "demo-tenant".into(),
    }
}

/// The secret document for `app`, with `token` for the target `nac`.
#[must_use]
pub fn secret_document(app: &FeishuApp, token: &str) -> Value {
    json!({
        "sources": { "feishu": {
            "app_id": app.app_id,
            "app_secret": app.app_secret,
            "encrypt_key": app.encrypt_key,
            "verification_token": app.verification_token,
        } },
        "targets": { "nac": { "token": token } },
    })
}

/// `flows` with `url` as the address of its Feishu: of the first source of that kind.
#[must_use]
pub fn at_feishu(flows: &str, url: &str) -> String {
    let (before, after) = flows.split_once("kind = \"feishu\"").unwrap_or((flows, ""));
    // `sources.feishu.` of a dotted key.
    let table = before.rsplit('\n').next().unwrap_or_default();
    format!("{before}base_url = \"{url}\"\n{table}kind = \"feishu\"{after}")
}

/// The same event with a wrong signature, as from a sender without the key.
#[must_use]
pub fn forged(mut sent: Sent) -> Sent {
    for (name, value) in &mut sent.headers {
        if name == feishu::header::SIGNATURE {
            *value = "0".repeat(64);
        }
    }
    sent
}

/// A form in the shape of a real one: instructions, a text field, and a table with a device per
/// row.
#[must_use]
pub fn form_of(single: &str, table: &[&str]) -> Value {
    let row = |(number, mac): (usize, &&str)| {
        json!([
            {"id": "widget31", "name": "设备", "type": "radioV2", "ext": null, "value": format!("电脑 {number}"),
             "option": {"key": "k-1", "text": "电脑"}},
            {"id": "widget32", "custom_id": "mac", "name": "MAC", "type": "input", "ext": null, "value": mac},
        ])
    };
    let rows: Vec<Value> = table.iter().enumerate().map(row).collect();
    json!([
        {"id": "widget1", "name": "说明 1", "type": "text", "ext": null, "value": "格式示例 00:00:5e:00:53:ff"},
        {"id": "widget2", "custom_id": "device_mac", "name": "MAC 地址", "type": "input", "ext": null, "value": single},
        {"id": "widget3", "custom_id": "devices", "name": "设备明细", "type": "fieldList", "ext": [], "value": rows,
         "option": {"input_type": "LIST", "mobile_detail_type": "CARD", "print_type": "FORM"}},
        {"id": "widget4", "name": "有效期", "type": "date", "ext": null, "value": "2027-12-31T00:00:00+08:00",
         "timezoneOffset": -480},
    ])
}

/// As Feishu, reads the body as JSON with any content type.
async fn log_in(State(state): State<Shared>, body: Bytes) -> Json<Value> {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let state = lock(&state);
    if body["app_id"] != state.app.app_id || body["app_secret"] != state.app.app_secret {
        return Json(json!({"code": 10014, "msg": "app secret invalid"}));
    }
    Json(json!({"code": 0, "msg": "ok", "tenant_access_token": state.token(), "expire": 7200}))
}

/// Feishu reports an error in `code`; the HTTP status is mostly 400.
fn error(code: i64, msg: &str) -> (StatusCode, Json<Value>) {
    (StatusCode::BAD_REQUEST, Json(json!({"code": code, "msg": msg})))
}

fn is_logged_in(state: &Inside, headers: &HeaderMap) -> bool {
    let expected = format!("Bearer {}", state.token());
    headers.get(header::AUTHORIZATION).is_some_and(|value| value.as_bytes() == expected.as_bytes())
}

async fn instance(
    State(state): State<Shared>,
    Path(code): Path<String>,
    headers: HeaderMap,
) -> Response {
    let mut state = lock(&state);
    if !is_logged_in(&state, &headers) {
        return error(99_991_663, "Invalid access token for authorization").into_response();
    }
    state.reads += 1;
    if state.down {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"msg": "service unavailable"})))
            .into_response();
    }
    match state.fault {
        Some(Fault::RateLimited) => {
            return error(99_991_400, "request trigger frequency limit").into_response();
        }
        Some(fault @ Fault::Page) => return fault.answer(),
        None => {}
    }
    match state.instances.get(&code) {
        None => error(1_390_003, "instance code not found").into_response(),
        Some(instance) => {
            Json(json!({"code": 0, "msg": "success", "data": instance})).into_response()
        }
    }
}

/// Lists instances of a definition by the time of their creation, at most 10 hours per query. A
/// page has a single instance unless a test needs more, so that every list of several has several
/// pages.
async fn list(
    State(state): State<Shared>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> (StatusCode, Json<Value>) {
    let state = lock(&state);
    if !is_logged_in(&state, &headers) {
        return error(99_991_663, "Invalid access token for authorization");
    }
    let number = |name: &str| query.get(name).and_then(|value| value.parse::<i64>().ok());
    let (Some(code), Some(start), Some(end), Some(1..=100)) =
        (query.get("approval_code"), number("start_time"), number("end_time"), number("page_size"))
    else {
        return error(1_390_001, "param is invalid");
    };
    if !(0..=MAX_LIST_WINDOW_MS).contains(&(end - start)) {
        return error(1_390_001, "param is invalid");
    }
    let of_window = |instance: &&Value| {
        let created = instance["start_time"].as_str().and_then(|time| time.parse::<i64>().ok());
        instance["approval_code"] == *code && created.is_some_and(|at| (start..end).contains(&at))
    };
    let listed = state.instances.values().filter(of_window);
    let mut listed: Vec<_> = listed.filter_map(|it| it["instance_code"].as_str()).collect();
    listed.sort_unstable();
    // As with Feishu, the token of a page is opaque, and no part of a URL as it is.
    let page = query.get("page_token").and_then(|token| token.strip_prefix("p+/")?.parse().ok());
    let page: usize = page.unwrap_or_default();
    let mut pages = listed.chunks(state.page_size.unwrap_or(1)).skip(page);
    let codes = pages.next().unwrap_or_default();
    let has_more = pages.next().is_some();
    let token = if has_more { format!("p+/{}", page + 1) } else { String::new() };
    let data = json!({"instance_code_list": codes, "page_token": token, "has_more": has_more});
    (StatusCode::OK, Json(json!({"code": 0, "msg": "success", "data": data})))
}

/// The applicant of every instance is in the contacts of the app, and everyone who left.
async fn user(
    State(state): State<Shared>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> (StatusCode, Json<Value>) {
    let state = lock(&state);
    if !is_logged_in(&state, &headers) {
        return error(99_991_663, "Invalid access token for authorization");
    }
    if query.get("user_id_type").is_some_and(|kind| kind != "open_id") {
        return error(40_001, "invalid parameter");
    }
    let has_left = state.left.contains(&id);
    if !has_left && id != "ou_stub" {
        return error(41_050, "no user authority");
    }
    let status = json!({"is_frozen": false, "is_resigned": has_left, "is_activated": !has_left,
        "is_exited": false, "is_unjoin": false});
    let user = json!({"open_id": id, "name": "Stub", "status": status});
    (StatusCode::OK, Json(json!({"code": 0, "msg": "success", "data": {"user": user}})))
}

async fn file(State(state): State<Shared>, Path(name): Path<String>) -> Result<Bytes, StatusCode> {
    lock(&state).files.get(&name).cloned().ok_or(StatusCode::NOT_FOUND)
}

async fn subscribe(
    State(state): State<Shared>,
    Path(code): Path<String>,
    headers: HeaderMap,
) -> (StatusCode, Json<Value>) {
    let mut state = lock(&state);
    if !is_logged_in(&state, &headers) {
        return error(99_991_663, "Invalid access token for authorization");
    }
    if !state.subscribed.insert(code) {
        return error(1_390_007, "subscription existed");
    }
    (StatusCode::OK, Json(json!({"code": 0, "msg": "success", "data": {}})))
}

/// Every approval has the form of [`form_of`]; in a definition the columns of a table are its
/// `children`.
async fn definition(State(state): State<Shared>, headers: HeaderMap) -> (StatusCode, Json<Value>) {
    if !is_logged_in(&lock(&state), &headers) {
        return error(99_991_663, "Invalid access token for authorization");
    }
    let form = json!([
        {"id": "widget2", "custom_id": "device_mac", "name": "MAC 地址", "type": "input", "required": false},
        {"id": "widget3", "custom_id": "devices", "name": "设备明细", "type": "fieldList", "children": [
            {"id": "widget31", "name": "设备", "type": "radioV2"},
            {"id": "widget32", "custom_id": "mac", "name": "MAC", "type": "input"},
        ]},
    ]);
    let data =
        json!({"approval_name": "Device access", "status": "ACTIVE", "form": form.to_string()});
    (StatusCode::OK, Json(json!({"code": 0, "msg": "success", "data": data})))
}

impl OfficeSystem for StubFeishu {
    fn settings(&self, name: &str) -> String {
        format!("[sources.{name}]\nkind = \"feishu\"\nbase_url = \"{}\"\n", self.url())
    }

    fn secret(&self, name: &str) -> Value {
        let of_feishu = secret_document(&lock(&self.state).app, "");
        json!({"sources": {name: of_feishu["sources"]["feishu"]}})
    }

    fn definition_id(&self) -> &'static str {
        DEFINITION_ID
    }

    fn devices(&self) -> &'static str {
        "{ field = \"devices\", column = \"mac\" }"
    }

    fn put(&self, number: u32, outcome: Outcome, macs: &[&str]) -> String {
        let id = instance_id(number);
        let status = match outcome {
            Outcome::Approved => "APPROVED",
            Outcome::Refused => "REJECTED",
            Outcome::Withdrawn | Outcome::Revoked => "CANCELED",
        };
        self.put_instance(&id, DEFINITION_ID, status, &form_of("", macs));
        if outcome == Outcome::Revoked {
            self.revert(&id);
        }
        id
    }

    fn event(&self, change: Change<'_>, now: Timestamp) -> Sent {
        let status = match change.outcome {
            Outcome::Approved => "APPROVED",
            Outcome::Refused => "REJECTED",
            Outcome::Withdrawn => "CANCELED",
            Outcome::Revoked => "REVERTED",
        };
        let (app, id) = (lock(&self.state).app.clone(), instance_id(change.number));
        app.approval_instance(change.event_id, change.definition_id, &id, status, now.as_millis())
    }

    fn expire_tokens(&self) -> bool {
        self.expire_tokens();
        true
    }

    fn set_fault(&self, fault: Option<Fault>) {
        lock(&self.state).fault = fault;
    }
}

fn instance_id(number: u32) -> String {
    format!("81D31358-93AF-92D6-7425-{number:012}")
}
