//! A stub of the parts of Weaver's API that greenlight uses, from the same documents: no official
//! client judges it. What the login encrypts is judged by a library of its own.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeySize, Pkcs1PrivateDecryptingKey, PrivateDecryptingKey};
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use greenlight_core::Timestamp;
use greenlight_core::flow::UtcOffset;
use greenlight_sources::test_request::Sent;
use serde_json::{Value, json};

use super::signed_webhook_at;
use super::system::{Change, Fault, HOOK_SECRET, OfficeSystem, Outcome, hook_message};

/// The secret of the application, and the person for whom it calls.
pub const WEAVER_APP: (&str, &str) = ("d5f1b1d8-0b1e-4f4a-9d1c-000000000001", "21");

/// A stub of Weaver e-cology 9.
#[derive(Clone, Debug)]
pub struct StubWeaver {
    address: SocketAddr,
    state: Shared,
}

#[derive(Debug)]
struct Inside {
    key: PrivateDecryptingKey,
    /// The type of the node and the form of each request, by id.
    requests: BTreeMap<String, (u8, Value)>,
    token_number: u32,
    fault: Option<Fault>,
    logins: usize,
    /// The last encrypted headers: of a login, and of a call.
    sealed: [String; 2],
}

type Shared = Arc<Mutex<Inside>>;

fn lock(state: &Shared) -> MutexGuard<'_, Inside> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl StubWeaver {
    /// Starts it, with a key pair of its own.
    ///
    /// # Errors
    /// When loopback has no free port, or no key can be made.
    pub async fn start() -> io::Result<Self> {
        let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).map_err(io::Error::other)?;
        let state = Arc::new(Mutex::new(Inside {
            key,
            requests: BTreeMap::new(),
            token_number: 1,
            fault: None,
            logins: 0,
            sealed: Default::default(),
        }));
        let routes = Router::new()
            .route("/api/ec/dev/auth/applytoken", post(apply_token))
            .route("/api/workflow/paService/getRequestStatus", get(status))
            .route("/api/workflow/paService/getWorkflowRequest", get(form))
            .with_state(Arc::clone(&state));
        Ok(Self { address: super::serve(routes).await?, state })
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `spk`: the public key.
    #[must_use]
    pub fn spk(&self) -> String {
        let key = lock(&self.state).key.public_key();
        key.as_der().map(|der| STANDARD.encode(der.as_ref())).unwrap_or_default()
    }

    /// The private key, in PKCS #8 and base64.
    #[must_use]
    pub fn private_key(&self) -> String {
        let der = lock(&self.state).key.as_der();
        der.map(|der| STANDARD.encode(der.as_ref())).unwrap_or_default()
    }

    /// The last encrypted headers: `secret` of a login, and `userid` of a call.
    #[must_use]
    pub fn sealed(&self) -> [String; 2] {
        lock(&self.state).sealed.clone()
    }

    /// Adds a form with a detail table of devices, at a node of this type, with this result.
    pub fn put_request(&self, id: &str, node_type: u8, result: &str, macs: &[&str]) {
        let field = |name: &str, label: &str, value: &str| {
            json!({"fieldId": "6001", "fieldName": name, "fieldShowName": label,
                "fieldValue": value, "fieldShowValue": value, "fieldHtmlType": "1",
                "fieldType": "1"})
        };
        let row = |(number, mac): (usize, &&str)| {
            json!({"recordOrder": number.to_string(),
                "workflowRequestTableFields": [field("mac", "MAC 地址", mac)]})
        };
        let rows: Vec<_> = macs.iter().enumerate().map(row).collect();
        let form = json!({
            "requestId": id, "requestName": "设备入网申请", "creatorId": "21",
            "lastOperateTime": now_in_china(),
            "workflowBaseInfo": {"workflowId": "77", "workflowName": "设备入网申请"},
            "workflowMainTableInfo": {"requestRecords": [{"recordOrder": "0",
                "workflowRequestTableFields": [field("jg", "审批结论", result)]}]},
            "workflowDetailTableInfos": [{"tableDBName": "formtable_main_77_dt1",
                "tableTitle": "设备", "tableFieldName": ["mac"],
                "workflowRequestTableRecords": rows}],
        });
        lock(&self.state).requests.insert(id.to_owned(), (node_type, form));
    }

    /// Invalidates all tokens.
    pub fn expire_tokens(&self) {
        lock(&self.state).token_number += 1;
    }

    /// The number of logins.
    #[must_use]
    pub fn logins(&self) -> usize {
        lock(&self.state).logins
    }
}

impl Inside {
    /// What a header has, decrypted.
    fn opened(&self, headers: &HeaderMap, name: &str) -> Option<String> {
        let sealed = STANDARD.decode(headers.get(name)?).ok()?;
        let key = Pkcs1PrivateDecryptingKey::new(self.key.clone()).ok()?;
        let mut room = vec![0; key.min_output_size()];
        let opened = key.decrypt(&sealed, &mut room).ok()?;
        String::from_utf8(opened.to_vec()).ok()
    }

    fn token(&self) -> String {
        format!("6f1b9ad0-5c3f-4f38-9a3a-{:012}", self.token_number)
    }

    /// The request that is asked for, or the refusal: with HTTP 200.
    fn request(
        &mut self,
        headers: &HeaderMap,
        query: &HashMap<String, String>,
    ) -> Result<(u8, Value), Box<Response>> {
        if let Some(fault) = self.fault {
            return Err(Box::new(fault.answer()));
        }
        let header = |name: &str| {
            headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        self.sealed[1] = header("userid");
        if header("token") != self.token() {
            let refusal = json!({"msg": "token不存在或者超时", "code": -1, "status": false});
            return Err(Box::new(Json(refusal).into_response()));
        }
        if self.opened(headers, "userid").as_deref() != Some(WEAVER_APP.1) {
            let refusal = json!({"msg": "登录信息超时", "errorCode": "002", "status": false});
            return Err(Box::new(Json(refusal).into_response()));
        }
        let found = query.get("requestId").and_then(|id| self.requests.get(id)).cloned();
        found.ok_or_else(|| {
            let refusal = json!({"code": "PARAM_ERROR", "errMsg": {}, "data": null});
            Box::new(Json(refusal).into_response())
        })
    }
}

async fn apply_token(State(state): State<Shared>, headers: HeaderMap) -> Response {
    let mut state = lock(&state);
    state.logins += 1;
    let sealed = headers.get("secret").and_then(|value| value.to_str().ok());
    sealed.unwrap_or_default().clone_into(&mut state.sealed[0]);
    if state.opened(&headers, "secret").as_deref() != Some(WEAVER_APP.0) {
        let refusal = json!({"msg": "secret解密失败", "code": -1, "status": false});
        return Json(refusal).into_response();
    }
    let token = state.token();
    Json(json!({"status": true, "code": 0, "msg": "获取成功!", "token": token})).into_response()
}

/// `2026-11-30 11:05:09`
fn now_in_china() -> String {
    let moment = UtcOffset::of_china().format(super::now()).unwrap_or_default();
    moment.get(..19).unwrap_or_default().replace('T', " ")
}

type Parameters = Query<HashMap<String, String>>;

/// Without a code, as in some versions.
async fn status(
    State(state): State<Shared>,
    Query(query): Parameters,
    headers: HeaderMap,
) -> Response {
    match lock(&state).request(&headers, &query) {
        Ok((node_type, _)) => {
            let node_type = node_type.to_string();
            Json(json!({"data": {"currentNodeType": node_type, "status": "归档"}})).into_response()
        }
        Err(refusal) => *refusal,
    }
}

async fn form(
    State(state): State<Shared>,
    Query(query): Parameters,
    headers: HeaderMap,
) -> Response {
    match lock(&state).request(&headers, &query) {
        Ok((_, form)) => {
            Json(json!({"code": "SUCCESS", "errMsg": {}, "data": form})).into_response()
        }
        Err(refusal) => *refusal,
    }
}

const WORKFLOW: &str = "77";

fn request_id(number: u32) -> String {
    (341_000 + number).to_string()
}

impl OfficeSystem for StubWeaver {
    fn settings(&self, name: &str) -> String {
        let url = self.url();
        format!(
            "[sources.{name}]\nkind = \"weaver\"\nbase_url = \"{url}\"\n\
             approved = {{ field = \"jg\", value = \"同意\" }}\n"
        )
    }

    fn secret(&self, name: &str) -> Value {
        json!({"sources": {name: {"app_id": "GREENLIGHT", "secret": WEAVER_APP.0,
            "spk": self.spk(), "user_id": WEAVER_APP.1, "hook_secret": HOOK_SECRET}}})
    }

    fn definition_id(&self) -> &'static str {
        WORKFLOW
    }

    fn devices(&self) -> &'static str {
        "{ field = \"设备\", column = \"mac\" }"
    }

    /// An archived form is not deleted, and not withdrawn.
    fn has(&self, outcome: Outcome) -> bool {
        matches!(outcome, Outcome::Approved | Outcome::Refused)
    }

    fn put(&self, number: u32, outcome: Outcome, macs: &[&str]) -> String {
        let result = if outcome == Outcome::Approved { "同意" } else { "拒绝" };
        self.put_request(&request_id(number), 3, result, macs);
        request_id(number)
    }

    fn event(&self, change: Change<'_>, now: Timestamp) -> Sent {
        let message = hook_message(change, &request_id(change.number));
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
