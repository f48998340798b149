//! A stub of an office system with a plain API: a document per approval.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::Value;

/// A stub of an office system, for the connector `generic-instance`.
#[derive(Clone, Debug)]
pub struct StubOffice {
    address: SocketAddr,
    documents: Documents,
}

type Documents = Arc<Mutex<HashMap<String, Value>>>;

/// The bearer token that it accepts.
pub const OFFICE_TOKEN: &str = "office-token";

impl StubOffice {
    /// Starts it.
    ///
    /// # Errors
    /// When loopback has no free port.
    pub async fn start() -> io::Result<Self> {
        let documents = Documents::default();
        let routes =
            Router::new().route("/approvals/{id}", get(read)).with_state(Arc::clone(&documents));
        Ok(Self { address: super::serve(routes).await?, documents })
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stores the document of an approval.
    pub fn put(&self, id: &str, document: Value) {
        let mut documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        documents.insert(id.to_owned(), document);
    }
}

async fn read(
    State(documents): State<Documents>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, StatusCode> {
    let expected = format!("Bearer {OFFICE_TOKEN}");
    let is_logged_in = headers.get(header::AUTHORIZATION);
    if is_logged_in.is_none_or(|value| value.as_bytes() != expected.as_bytes()) {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let documents = documents.lock().unwrap_or_else(PoisonError::into_inner);
    documents.get(&id).cloned().map(Json).ok_or(StatusCode::NOT_FOUND)
}
