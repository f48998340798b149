//! A NAC with a whitelist behind a plain HTTP API, as the `generic` connector speaks to it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use axum::{Json, Router};
use greenlight_core::mac::Eui48;
use serde_json::{Value, json};
use tokio::sync::Notify;

/// A stub of a NAC.
#[derive(Clone, Debug)]
pub struct StubNac {
    address: SocketAddr,
    state: Shared,
}

#[derive(Clone, Debug)]
struct Shared {
    inside: Arc<Mutex<Inside>>,
    /// Told of each call.
    called: Arc<Notify>,
}

#[derive(Debug)]
struct Inside {
    token: String,
    /// The devices, and how often each was added with success.
    whitelist: BTreeMap<String, usize>,
    calls: usize,
    /// Answers to give before working again.
    faults: Vec<StatusCode>,
    down: bool,
}

fn lock(state: &Shared) -> MutexGuard<'_, Inside> {
    state.inside.lock().unwrap_or_else(PoisonError::into_inner)
}

impl StubNac {
    /// Starts it; `token` is what it wants as bearer token.
    ///
    /// # Errors
    /// When loopback has no free port.
    pub async fn start(token: &str) -> io::Result<Self> {
        let inside = Inside {
            token: token.to_owned(),
            whitelist: BTreeMap::new(),
            calls: 0,
            faults: Vec::new(),
            down: false,
        };
        let state = Shared { inside: Arc::new(Mutex::new(inside)), called: Arc::default() };
        let routes =
            Router::new().route("/api/macs", post(add).get(list)).with_state(state.clone());
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
        lock(&self.state).whitelist.keys().cloned().collect()
    }

    /// Returns when the whitelist is `devices`, which are in order.
    pub async fn wait_for_whitelist(&self, devices: &[String]) {
        self.wait_until(|| self.whitelist() == devices).await;
    }

    /// Returns when it was asked `calls` times or more.
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

    /// How often it was asked to add a device.
    #[must_use]
    pub fn calls(&self) -> usize {
        lock(&self.state).calls
    }

    /// Answers the next calls with these statuses, the last first.
    pub fn fail_next(&self, statuses: impl IntoIterator<Item = StatusCode>) {
        lock(&self.state).faults.extend(statuses);
    }

    /// Answers everything with 503, or no longer.
    pub fn set_down(&self, down: bool) {
        lock(&self.state).down = down;
    }
}

type Answer = (StatusCode, Json<Value>);

fn refused(status: StatusCode, message: &str) -> Answer {
    (status, Json(json!({ "message": message })))
}

fn admit(state: &Inside, headers: &HeaderMap) -> Result<(), Answer> {
    let expected = format!("Bearer {}", state.token);
    let given = headers.get(header::AUTHORIZATION).map(header::HeaderValue::as_bytes);
    if given != Some(expected.as_bytes()) {
        return Err(refused(StatusCode::UNAUTHORIZED, "who are you?"));
    }
    Ok(())
}

async fn add(State(state): State<Shared>, headers: HeaderMap, Json(body): Json<Value>) -> Answer {
    let answer = add_to(&mut lock(&state), &headers, &body);
    state.called.notify_waiters();
    answer
}

fn add_to(state: &mut Inside, headers: &HeaderMap, body: &Value) -> Answer {
    state.calls += 1;
    if state.down {
        return refused(StatusCode::SERVICE_UNAVAILABLE, "down");
    }
    if let Some(status) = state.faults.pop() {
        return refused(status, "a fault on request");
    }
    if let Err(answer) = admit(state, headers) {
        return answer;
    }
    let mac = body["mac"].as_str().unwrap_or_default();
    if Eui48::parse(mac).map(|mac| mac.to_string()).as_deref() != Ok(mac) {
        return refused(
            StatusCode::UNPROCESSABLE_ENTITY,
            "no MAC address in lower case with colons",
        );
    }
    let count = state.whitelist.entry(mac.to_owned()).or_default();
    *count += 1;
    if *count > 1 {
        return refused(StatusCode::CONFLICT, "it is there already");
    }
    (StatusCode::CREATED, Json(json!({ "mac": mac })))
}

async fn list(State(state): State<Shared>, headers: HeaderMap) -> Answer {
    let state = lock(&state);
    match admit(&state, &headers) {
        Err(answer) => answer,
        Ok(()) => {
            (StatusCode::OK, Json(json!({ "macs": state.whitelist.keys().collect::<Vec<_>>() })))
        }
    }
}
