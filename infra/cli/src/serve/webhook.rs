//! The HTTP side: `POST /api/event`, and for whoever watches it `/healthz`, `/readyz` and `/metrics`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request as HttpRequest, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use bytes::Bytes;
use greenlight_core::ports::{Clock, Enqueue, QueueError};
use greenlight_core::{Answer, Delivery, MAX_BODY_BYTES, Refusal, Request, receive};
use greenlight_stores::SystemClock;
use greenlight_stores::embedded::Database;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, watch};

use crate::connections::{self, Busy};

use super::LocalReceiver;

use super::counters::Counters;

/// An event's body arrives within this time.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// A body up to this size is always read. Events are of about one kilobyte.
const SMALL_BODY_BYTES: u64 = 16 * 1024;

/// The most larger bodies that are read at a time: with 512 small ones 24 MiB of memory.
const MAX_LARGE_BODIES: usize = 64;

/// The queue, and a signal to whoever consumes it.
#[derive(Clone, Debug)]
pub(super) struct SignallingQueue {
    database: Database,
    arrived: Arc<Notify>,
}

impl SignallingQueue {
    pub(super) const fn new(database: Database, arrived: Arc<Notify>) -> Self {
        Self { database, arrived }
    }
}

impl Enqueue for SignallingQueue {
    async fn enqueue(&self, request: &Request) -> Result<(), QueueError> {
        self.database.enqueue(request).await?;
        self.arrived.notify_one();
        Ok(())
    }
}

/// The receiver, and what bounds the memory of bodies that are being read.
struct Inlet {
    receiver: LocalReceiver,
    large_bodies: Semaphore,
}

impl Inlet {
    /// Reads a body. One that is larger than events are is read only while few others are.
    async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Bytes, Refusal> {
        let length = headers.get(CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse().ok());
        let is_small = length.is_some_and(|length: u64| length <= SMALL_BODY_BYTES);
        let permit = || self.large_bodies.try_acquire().map_err(|_| Refusal::TooMany);
        let _permit = if is_small { None } else { Some(permit()?) };
        to_bytes(body, MAX_BODY_BYTES).await.map_err(|_| Refusal::TooLarge)
    }
}

/// What a monitoring system is told of.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    pub(super) database: Database,
    pub(super) counters: Arc<Counters>,
}

/// Answers deliveries until it is stopped.
pub(super) async fn listen(
    listener: TcpListener,
    receiver: LocalReceiver,
    watched: Watched,
    stopped: watch::Receiver<bool>,
) {
    let watched = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(watched);
    let app = Router::new()
        .route("/api/event", post(event))
        .route("/api/event/", post(event))
        .with_state(Arc::new(Inlet { receiver, large_bodies: Semaphore::new(MAX_LARGE_BODIES) }))
        .merge(watched);
    connections::serve(listener, app, stopped).await;
}

async fn event(
    State(inlet): State<Arc<Inlet>>,
    Extension(busy): Extension<Busy>,
    request: HttpRequest<Body>,
) -> Response {
    let (head, body) = request.into_parts();
    let receiver = &inlet.receiver;
    let read = tokio::time::timeout(BODY_TIMEOUT, inlet.read(&head.headers, body)).await;
    let answer = match read.unwrap_or(Err(Refusal::TooSlow)) {
        Err(refusal) => Answer::refused(refusal, &receiver.metrics),
        Ok(body) => {
            let _kept = busy.keep();
            receive(&Delivery { headers: head.headers, body }, receiver).await
        }
    };
    let status = StatusCode::from_u16(answer.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(CONTENT_TYPE, "application/json")], answer.body()).into_response()
}

/// Whether the database answers. A disk that takes no more shows when an event is written.
async fn ready(State(Watched { database, .. }): State<Watched>) -> Response {
    match database.next_visible().await {
        Ok(_) => "ready\n".into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

async fn metrics(State(Watched { database, counters }): State<Watched>) -> Response {
    let now = SystemClock.now();
    match database.overview(now).await {
        Ok(overview) => {
            let text = crate::status::metrics(&overview, now) + &counters.told();
            ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
        }
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}
