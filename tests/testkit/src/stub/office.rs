//! A stub of an office system with a plain API: a document per approval.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use greenlight_core::Timestamp;
use greenlight_sources::test_request::Sent;
use serde_json::{Value, json};

use super::signed_webhook_at;
use super::system::{Change, Fault, HOOK_SECRET, OfficeSystem, Outcome};

/// A stub of an office system, for the connector `generic-instance`.
#[derive(Clone, Debug)]
pub struct StubOffice {
    address: SocketAddr,
    state: Shared,
}

#[derive(Debug, Default)]
struct Inside {
    documents: HashMap<String, Value>,
    fault: Option<Fault>,
}

type Shared = Arc<Mutex<Inside>>;

fn lock(state: &Shared) -> MutexGuard<'_, Inside> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The bearer token that it accepts.
pub const OFFICE_TOKEN: &str = "office-token";

impl StubOffice {
    /// Starts it.
    ///
    /// # Errors
    /// When loopback has no free port.
    pub async fn start() -> io::Result<Self> {
        let state = Shared::default();
        let routes =
            Router::new().route("/approvals/{id}", get(read)).with_state(Arc::clone(&state));
        Ok(Self { address: super::serve(routes).await?, state })
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stores the document of an approval.
    pub fn put_document(&self, id: &str, document: Value) {
        lock(&self.state).documents.insert(id.to_owned(), document);
    }
}

async fn read(
    State(state): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, StatusCode> {
    let expected = format!("Bearer {OFFICE_TOKEN}");
    let is_logged_in = headers.get(header::AUTHORIZATION);
    if is_logged_in.is_none_or(|value| value.as_bytes() != expected.as_bytes()) {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let state = lock(&state);
    if let Some(fault) = state.fault {
        return Ok(fault.answer());
    }
    let document = state.documents.get(&id).ok_or(StatusCode::NOT_FOUND)?;
    Ok(Json(document).into_response())
}

const FORM: &str = "F-1";

fn document(definition_id: &str, number: u32, outcome: Outcome, macs: &[&str]) -> Value {
    let result = match outcome {
        Outcome::Approved => "agree",
        Outcome::Refused => "refuse",
        Outcome::Withdrawn | Outcome::Revoked => "withdrawn",
    };
    let rows: Vec<_> = macs.iter().map(|mac| json!({"mac": mac})).collect();
    json!({"id": format!("I-{number}"), "form": definition_id, "result": result,
        "ended_at": super::now().as_millis(), "fields": {"devices": rows}})
}

/// Read through a target, with its own events.
impl OfficeSystem for StubOffice {
    fn settings(&self, name: &str) -> String {
        let url = self.url();
        format!(
            r#"
            [sources.{name}]
            kind = "webhook"
            read = {{ target = "office", operation = "read" }}
            event = {{ instance_id = "/id", definition_id = "/form", status = "/result" }}
            instance = {{ ended_at = "/ended_at", form = "/fields" }}
            statuses = {{ approved = ["agree"], refused = ["refuse"], revoked = ["withdrawn"] }}
            [targets.office]
            connector = "generic-instance"
            url = "{url}"
            "#
        )
    }

    fn secret(&self, name: &str) -> Value {
        json!({"sources": {name: {"secret": HOOK_SECRET}},
            "targets": {"office": {"token": OFFICE_TOKEN}}})
    }

    fn definition_id(&self) -> &'static str {
        FORM
    }

    fn devices(&self) -> &'static str {
        "{ field = \"devices\", column = \"mac\" }"
    }

    fn put(&self, number: u32, outcome: Outcome, macs: &[&str]) -> String {
        let id = format!("I-{number}");
        self.put_document(&id, document(FORM, number, outcome, macs));
        id
    }

    fn event(&self, change: Change<'_>, now: Timestamp) -> Sent {
        let body = document(change.definition_id, change.number, change.outcome, &[]);
        signed_webhook_at(HOOK_SECRET, change.event_id, &body, now)
    }

    /// Its token is a setting, and never replaced.
    fn expire_tokens(&self) -> bool {
        false
    }

    fn set_fault(&self, fault: Option<Fault>) {
        lock(&self.state).fault = fault;
    }
}
