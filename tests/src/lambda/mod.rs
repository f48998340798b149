//! An emulation of Lambda: the Runtime API on loopback, start and timeout of a function's process,
//! and the event source mapping from a queue.

mod function;
mod mapping;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio::task::AbortHandle;

pub use function::{Function, Kill};
pub use mapping::{Mapping, sqs_event};

/// The Lambda Runtime API for one function.
#[derive(Debug)]
pub struct RuntimeApi {
    address: SocketAddr,
    invocations: mpsc::Sender<Invocation>,
    answers: mpsc::Receiver<Value>,
    server: AbortHandle,
}

#[derive(Debug)]
struct Invocation {
    event: Value,
    deadline: Duration,
}

struct Inside {
    invocations: Mutex<mpsc::Receiver<Invocation>>,
    answers: mpsc::Sender<Value>,
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl RuntimeApi {
    /// Starts the API.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub async fn start() -> Self {
        let (invocations, invoked) = mpsc::channel(16);
        let (answered, answers) = mpsc::channel(16);
        let inside = Inside { invocations: Mutex::new(invoked), answers: answered };
        let routes = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/{what}", post(answer))
            .with_state(Arc::new(inside));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        // Without TCP_NODELAY an answer may wait 40 ms for an acknowledgement.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        let server = tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { address, invocations, answers, server: server.abort_handle() }
    }

    /// The environment variables of the bootstrap.
    #[must_use]
    pub fn environment(&self) -> HashMap<&'static str, String> {
        HashMap::from([
            ("AWS_LAMBDA_RUNTIME_API", self.address.to_string()),
            ("AWS_LAMBDA_FUNCTION_NAME", "function".to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256".to_owned()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1".to_owned()),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "logs".to_owned()),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "stream".to_owned()),
            ("AWS_LAMBDA_LOG_FORMAT", "JSON".to_owned()),
            ("AWS_LAMBDA_LOG_LEVEL", "INFO".to_owned()),
        ])
    }

    /// Invokes the function and returns its answer.
    ///
    /// # Panics
    /// When the function has ended.
    pub async fn invoke(&mut self, event: Value) -> Value {
        self.invoke_within(event, Duration::from_mins(1)).await
    }

    /// Like [`RuntimeApi::invoke`], with a timeout.
    ///
    /// # Panics
    /// When the function has ended.
    pub async fn invoke_within(&mut self, event: Value, within: Duration) -> Value {
        let deadline = SystemTime::now() + within;
        let deadline = deadline.duration_since(UNIX_EPOCH).unwrap_or_default();
        let invocation = Invocation { event, deadline };
        self.invocations.send(invocation).await.expect("the Runtime API runs");
        self.answers.recv().await.expect("the function answers")
    }
}

async fn next(State(inside): State<Arc<Inside>>) -> Response {
    let Some(Invocation { event, deadline }) = inside.invocations.lock().await.recv().await else {
        return StatusCode::GONE.into_response(); // The test is over.
    };
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("lambda-runtime-aws-request-id", "request".to_owned()),
        ("lambda-runtime-deadline-ms", deadline.as_millis().to_string()),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:000000000000:function:f".to_owned(),
        ),
    ];
    (headers, event.to_string()).into_response()
}

/// Returns the body unchanged; `what` is `response` or `error`.
async fn answer(
    State(inside): State<Arc<Inside>>,
    Path((_id, _what)): Path<(String, String)>,
    body: Bytes,
) -> StatusCode {
    let value = serde_json::from_slice(&body).unwrap_or_default();
    let _ = inside.answers.send(value).await;
    StatusCode::ACCEPTED
}

/// The event of an HTTP API, payload format 2.0.
#[must_use]
pub fn http_api_event(headers: &[(String, String)], body: &str) -> Value {
    let headers: serde_json::Map<String, Value> =
        headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    json!({
        "version": "2.0",
        "routeKey": "POST /api/event",
        "rawPath": "/api/event",
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "api",
            "domainName": "api.execute-api.us-east-1.amazonaws.com",
            "http": {"method": "POST", "path": "/api/event", "protocol": "HTTP/1.1",
                     "sourceIp": "127.0.0.1", "userAgent": "Go-http-client/1.1"},
            "requestId": "r", "routeKey": "POST /api/event", "stage": "$default",
            "time": "24/Nov/2026:00:00:00 +0000", "timeEpoch": 1_795_000_000_000_i64,
        },
        "body": body,
        "isBase64Encoded": false,
    })
}
