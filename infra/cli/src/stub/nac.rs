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

/// A stub of a NAC.
#[derive(Clone, Debug)]
pub struct StubNac {
    address: SocketAddr,
    state: Shared,
}

type Shared = Arc<Mutex<Inside>>;

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
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl StubNac {
    /// Starts it; `token` is what it wants as bearer token.
    ///
    /// # Errors
    /// When loopback has no free port.
    pub async fn start(token: &str) -> io::Result<Self> {
        let state = Arc::new(Mutex::new(Inside {
            token: token.to_owned(),
            whitelist: BTreeMap::new(),
            calls: 0,
            faults: Vec::new(),
            down: false,
        }));
        let routes =
            Router::new().route("/api/macs", post(add).get(list)).with_state(Arc::clone(&state));
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
    let mut state = lock(&state);
    state.calls += 1;
    if state.down {
        return refused(StatusCode::SERVICE_UNAVAILABLE, "down");
    }
    if let Some(status) = state.faults.pop() {
        return refused(status, "a fault on request");
    }
    if let Err(answer) = admit(&state, &headers) {
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
