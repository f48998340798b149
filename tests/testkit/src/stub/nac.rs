//! A stub of a NAC with a whitelist behind a plain HTTP API, for the `generic` connector.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{delete, post};
use axum::{Json, Router};
use greenlight_core::mac::Eui48;
use serde_json::{Value, json};
use tokio::sync::Notify;

/// A connector for [`StubNac`] that puts devices into groups, with the end of their access.
pub const GROUPS_CONNECTOR: &str = include_str!("groups.toml");

#[derive(Clone, Debug)]
pub struct StubNac {
    address: SocketAddr,
    state: Shared,
}

#[derive(Clone, Debug)]
struct Shared {
    inside: Arc<Mutex<Inside>>,
    /// Notified of each call.
    called: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Inside {
    token: String,
    whitelist: BTreeSet<String>,
    calls: Vec<NacCall>,
    /// Faults to answer before the next normal answer.
    faults: Vec<StatusCode>,
    /// The devices of the calls to remove one, in order.
    removals: Vec<String>,
    fault_rate: f64,
    down: bool,
    latency: Duration,
    silent_about: BTreeSet<String>,
}

/// A call to add a device.
#[derive(Clone, Debug)]
pub struct NacCall {
    /// The device, as it was sent.
    pub mac: String,
    /// When.
    pub at: Instant,
    /// The answer.
    pub status: StatusCode,
    /// The body.
    pub json: Value,
    /// The header `traceparent`, empty if there was none.
    pub traceparent: String,
}

impl NacCall {
    /// Whether the device is on the whitelist after the call.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        matches!(self.status, StatusCode::CREATED | StatusCode::CONFLICT)
    }
}

fn lock(state: &Shared) -> MutexGuard<'_, Inside> {
    state.inside.lock().unwrap_or_else(PoisonError::into_inner)
}

impl StubNac {
    /// Starts it with the bearer token that it requires.
    ///
    /// # Errors
    /// When loopback has no free port.
    pub async fn start(token: &str) -> io::Result<Self> {
        let inside = Inside { token: token.to_owned(), ..Inside::default() };
        let state = Shared { inside: Arc::new(Mutex::new(inside)), called: Arc::default() };
        let routes = Router::new()
            .route("/api/macs", post(add).get(list))
            .route("/api/macs/{mac}", delete(remove))
            .route("/radius/authorize", post(authorize))
            .with_state(state.clone());
        let address = super::serve(routes).await?;
        Ok(Self { address, state })
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The devices on the whitelist, in order.
    #[must_use]
    pub fn whitelist(&self) -> Vec<String> {
        lock(&self.state).whitelist.iter().cloned().collect()
    }

    /// Returns when the whitelist is `devices`, which must be sorted.
    pub async fn wait_for_whitelist(&self, devices: &[String]) {
        self.wait_until(|| self.whitelist() == devices).await;
    }

    /// Returns after `calls` or more calls.
    pub async fn wait_for_calls(&self, calls: usize) {
        self.wait_until(|| self.calls() >= calls).await;
    }

    async fn wait_until(&self, is_so: impl Fn() -> bool) {
        loop {
            let called = self.state.called.notified();
            tokio::pin!(called);
            called.as_mut().enable();
            if is_so() {
                return;
            }
            called.await;
        }
    }

    /// The devices of the calls to remove one, in order.
    #[must_use]
    pub fn removals(&self) -> Vec<String> {
        lock(&self.state).removals.clone()
    }

    /// The number of calls to add a device.
    #[must_use]
    pub fn calls(&self) -> usize {
        lock(&self.state).calls.len()
    }

    /// All calls, in order.
    #[must_use]
    pub fn log(&self) -> Vec<NacCall> {
        lock(&self.state).calls.clone()
    }

    /// The number of calls per device.
    #[must_use]
    pub fn calls_per_device(&self) -> BTreeMap<String, usize> {
        let mut calls = BTreeMap::new();
        for call in &lock(&self.state).calls {
            *calls.entry(call.mac.clone()).or_default() += 1;
        }
        calls
    }

    /// Answers the next calls with these statuses, the last first.
    pub fn fail_next(&self, statuses: impl IntoIterator<Item = StatusCode>) {
        lock(&self.state).faults.extend(statuses);
    }

    /// Answers this share of the calls with 500, at random.
    pub fn set_fault_rate(&self, rate: f64) {
        lock(&self.state).fault_rate = rate;
    }

    /// Delays each answer by `latency`.
    pub fn set_latency(&self, latency: Duration) {
        lock(&self.state).latency = latency;
    }

    /// If `silent`, never answers calls about `mac`.
    pub fn set_silent_about(&self, mac: &str, silent: bool) {
        let silent_about = &mut lock(&self.state).silent_about;
        if silent {
            silent_about.insert(mac.to_owned());
        } else {
            silent_about.remove(mac);
        }
    }

    /// If `down`, answers everything with 503.
    pub fn set_down(&self, down: bool) {
        lock(&self.state).down = down;
    }
}

type StubAnswer = (StatusCode, Json<Value>);

fn refused(status: StatusCode, message: &str) -> StubAnswer {
    (status, Json(json!({ "message": message })))
}

fn admit(state: &Inside, headers: &HeaderMap) -> Result<(), StubAnswer> {
    let expected = format!("Bearer {}", state.token);
    let given = headers.get(header::AUTHORIZATION).map(header::HeaderValue::as_bytes);
    if given != Some(expected.as_bytes()) {
        return Err(refused(StatusCode::UNAUTHORIZED, "who are you?"));
    }
    Ok(())
}

async fn add(
    State(state): State<Shared>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> StubAnswer {
    let mac = body["mac"].as_str().unwrap_or_default();
    let (answer, latency, is_silent) = {
        let mut inside = lock(&state);
        let answer = add_to(&mut inside, &headers, mac);
        let traceparent = headers.get("traceparent").and_then(|value| value.to_str().ok());
        let call = NacCall {
            mac: mac.to_owned(),
            at: Instant::now(),
            status: answer.0,
            json: body.clone(),
            traceparent: traceparent.unwrap_or_default().to_owned(),
        };
        inside.calls.push(call);
        (answer, inside.latency, inside.silent_about.contains(mac))
    };
    state.called.notify_waiters();
    if is_silent {
        std::future::pending::<()>().await;
    }
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    answer
}

async fn remove(
    State(state): State<Shared>,
    Path(mac): Path<String>,
    headers: HeaderMap,
) -> StubAnswer {
    let answer = {
        let mut inside = lock(&state);
        inside.removals.push(mac.clone());
        remove_from(&mut inside, &headers, &mac)
    };
    state.called.notify_waiters();
    answer
}

fn remove_from(state: &mut Inside, headers: &HeaderMap, mac: &str) -> StubAnswer {
    if state.down {
        return refused(StatusCode::SERVICE_UNAVAILABLE, "down");
    }
    if let Some(status) = state.faults.pop() {
        return refused(status, "a fault on request");
    }
    if let Err(answer) = admit(state, headers) {
        return answer;
    }
    if state.whitelist.remove(mac) {
        (StatusCode::OK, Json(json!({ "mac": mac })))
    } else {
        refused(StatusCode::NOT_FOUND, "it is not there")
    }
}

fn add_to(state: &mut Inside, headers: &HeaderMap, mac: &str) -> StubAnswer {
    if state.down {
        return refused(StatusCode::SERVICE_UNAVAILABLE, "down");
    }
    if let Some(status) = state.faults.pop() {
        return refused(status, "a fault on request");
    }
    if state.fault_rate > 0.0 && fastrand::f64() < state.fault_rate {
        return refused(StatusCode::INTERNAL_SERVER_ERROR, "a fault by chance");
    }
    if let Err(answer) = admit(state, headers) {
        return answer;
    }
    if Eui48::parse(mac).map(|mac| mac.to_string()).as_deref() != Ok(mac) {
        return refused(
            StatusCode::UNPROCESSABLE_ENTITY,
            "no MAC address in lower case with colons",
        );
    }
    if !state.whitelist.insert(mac.to_owned()) {
        return refused(StatusCode::CONFLICT, "it is there already");
    }
    (StatusCode::CREATED, Json(json!({ "mac": mac })))
}

async fn list(State(state): State<Shared>, headers: HeaderMap) -> StubAnswer {
    let state = lock(&state);
    match admit(&state, &headers) {
        Err(answer) => answer,
        Ok(()) => (StatusCode::OK, Json(json!({ "macs": state.whitelist }))),
    }
}

/// The request of `FreeRADIUS`'s `rlm_rest`: 200 for a device that is on the whitelist, else 404.
async fn authorize(State(state): State<Shared>, Json(body): Json<Value>) -> StatusCode {
    let mac = body["User-Name"]["value"][0].as_str().unwrap_or_default();
    if lock(&state).whitelist.contains(mac) { StatusCode::OK } else { StatusCode::NOT_FOUND }
}
