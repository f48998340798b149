//! The HTTP side: `/api/event` and `/api/event/{source}`, and for monitoring `/healthz`, `/readyz`
//! and `/metrics`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request as HttpRequest, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use greenlight_admin::status::read_status;
use greenlight_core::ports::Clock;
use greenlight_core::{
    MAX_BODY_BYTES, Rejection, WEBHOOK_PATH, WebhookRequest, WebhookResponse, receive,
};
use greenlight_stores::SystemClock;
use greenlight_stores::sqlite::Database;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, SemaphorePermit, watch};

use crate::connections::{self, Busy};
use crate::counters::Counters;
use crate::local::LocalReceiver;
use crate::prometheus;
use crate::streams::Connected;

/// The time limit for the body of an event.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// A body up to this size is always read. Events are of about one kilobyte.
const SMALL_BODY_BYTES: usize = 16 * 1024;

/// The most larger bodies that are read at a time: with 512 small ones 24 MiB of memory.
const MAX_LARGE_BODIES: usize = 64;

/// The receiver, and the limit on large bodies in memory.
struct Inlet {
    receiver: Arc<LocalReceiver>,
    large_bodies: Semaphore,
}

impl Inlet {
    /// Reads a body. A body above [`SMALL_BODY_BYTES`] needs a permit, which is held while the body
    /// is in memory.
    async fn read(&self, body: Body) -> Result<(Bytes, Option<SemaphorePermit<'_>>), Rejection> {
        let mut chunks = body.into_data_stream();
        let (mut read, mut permit) = (BytesMut::new(), None);
        while let Some(chunk) = chunks.next().await {
            // The sender closed the connection, or sent no HTTP.
            let chunk = chunk.map_err(|_| Rejection::NotARequest)?;
            if read.len() + chunk.len() > MAX_BODY_BYTES {
                return Err(Rejection::TooLarge);
            }
            read.extend_from_slice(&chunk);
            if read.len() > SMALL_BODY_BYTES && permit.is_none() {
                permit = Some(self.large_bodies.try_acquire().map_err(|_| Rejection::TooMany)?);
            }
        }
        Ok((read.freeze(), permit))
    }
}

/// The data for a monitoring system.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) database: Database,
    pub(crate) counters: Arc<Counters>,
    /// Whether the connections to office systems are open.
    pub(crate) connected: Connected,
}

/// Answers webhook requests until it is stopped.
pub(crate) async fn listen(
    listener: TcpListener,
    receiver: Arc<LocalReceiver>,
    watched: Watched,
    stopped: watch::Receiver<bool>,
) {
    let watched = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(watched);
    let webhooks = get(event).post(event);
    let app = Router::new()
        .route(WEBHOOK_PATH, webhooks.clone())
        .route(&format!("{WEBHOOK_PATH}/"), webhooks.clone())
        .route(&format!("{WEBHOOK_PATH}/{{source}}"), webhooks.clone())
        .route(&format!("{WEBHOOK_PATH}/{{source}}/"), webhooks)
        .with_state(Arc::new(Inlet { receiver, large_bodies: Semaphore::new(MAX_LARGE_BODIES) }))
        .merge(watched);
    connections::serve(listener, app, connections::max_connections(), stopped).await;
}

async fn event(
    State(inlet): State<Arc<Inlet>>,
    Extension(busy): Extension<Busy>,
    request: HttpRequest<Body>,
) -> Response {
    let (head, body) = request.into_parts();
    let receiver = &inlet.receiver;
    let read = tokio::time::timeout(BODY_TIMEOUT, inlet.read(body)).await;
    let read = read.unwrap_or(Err(Rejection::TooSlow));
    let request = read.and_then(|(body, permit)| Ok((WebhookRequest::new(head, body)?, permit)));
    let answer = match request {
        Err(rejection) => WebhookResponse::rejected(rejection, &receiver.metrics),
        Ok((request, _permit)) => {
            let _protected = busy.protect();
            receive(&request, receiver).await
        }
    };
    let reply = answer.reply;
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(CONTENT_TYPE, reply.content_type)], reply.body).into_response()
}

/// Checks that the database answers. A full disk shows only when an event is written.
async fn ready(State(Watched { database, .. }): State<Watched>) -> Response {
    match database.next_visible().await {
        Ok(_) => "ready\n".into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

async fn metrics(State(Watched { database, counters, connected }): State<Watched>) -> Response {
    let now = SystemClock.now();
    match read_status(&database, &database, now).await {
        Ok(status) => {
            let text = prometheus::metrics(&status, &connected.states(), now) + &counters.to_text();
            ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
        }
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}
