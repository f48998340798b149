//! The HTTP side: `POST /api/event`, and for whoever watches it `/healthz`, `/readyz` and `/metrics`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request as HttpRequest, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use greenlight_core::ports::{Clock, Enqueue, QueueError};
use greenlight_core::{Answer, Delivery, MAX_BODY_BYTES, Refusal, Request, receive};
use greenlight_stores::SystemClock;
use greenlight_stores::embedded::Database;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};

use super::LocalReceiver;
use super::counters::Counters;

/// A body that takes longer is nobody's event.
const BODY_WITHIN: Duration = Duration::from_secs(5);

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
    mut stopped: watch::Receiver<bool>,
) {
    let watched = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(watched);
    let app = Router::new()
        .route("/api/event", post(event))
        .route("/api/event/", post(event))
        .with_state(Arc::new(receiver))
        .merge(watched);
    let until_stopped = async move {
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    if let Err(error) = axum::serve(listener, app).with_graceful_shutdown(until_stopped).await {
        tracing::error!(%error, "the listener failed");
    }
}

async fn event(State(receiver): State<Arc<LocalReceiver>>, request: HttpRequest<Body>) -> Response {
    let (head, body) = request.into_parts();
    let read = tokio::time::timeout(BODY_WITHIN, to_bytes(body, MAX_BODY_BYTES)).await;
    let answer = match read {
        Err(_) => Answer::refused(Refusal::TooSlow, &receiver.metrics),
        Ok(Err(_)) => Answer::refused(Refusal::TooLarge, &receiver.metrics),
        Ok(Ok(body)) => receive(&Delivery { headers: head.headers, body }, &*receiver).await,
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
