//! Faults of AWS: a proxy before the local AWS that injects failures.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use greenlight_core::ports::Http;
use greenlight_http::Client;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;

/// A fault of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Not executed: throttled.
    Throttled,
    /// Not executed: HTTP 500.
    Failed,
    /// Not executed: the connection is closed.
    Reset,
    /// Executed, and the connection is closed before the answer.
    AnswerLost,
    /// Executed, and never answered.
    Silent,
}

/// All faults.
pub const FAULTS: [Fault; 5] =
    [Fault::Throttled, Fault::Failed, Fault::Reset, Fault::AnswerLost, Fault::Silent];

/// Chooses the fault of a call by its operation, such as `DynamoDB_20120810.UpdateItem`.
type Plan = Box<dyn FnMut(&str) -> Option<Fault> + Send>;

/// A proxy before the local AWS.
#[derive(Clone)]
pub struct FaultyAws {
    address: SocketAddr,
    inside: Arc<Inside>,
}

struct Inside {
    upstream: String,
    client: Client,
    plan: Mutex<Plan>,
    fired: Mutex<BTreeMap<(String, Fault), usize>>,
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FaultyAws {
    /// Starts the proxy before the local AWS at `upstream`, without faults.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub async fn start(upstream: &str, client: &Client) -> Self {
        let inside = Arc::new(Inside {
            upstream: upstream.to_owned(),
            client: client.clone(),
            plan: Mutex::new(Box::new(|_| None)),
            fired: Mutex::default(),
        });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let served = Arc::clone(&inside);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let inside = Arc::clone(&served);
                tokio::spawn(async move {
                    let service = service_fn(|request| pass(request, &inside));
                    // An error closes the connection, which some faults need.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { address, inside }
    }

    /// The URL of the proxy.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Replaces the plan of faults.
    pub fn plan(&self, plan: impl FnMut(&str) -> Option<Fault> + Send + 'static) {
        *lock(&self.inside.plan) = Box::new(plan);
    }

    /// The number of injected faults by operation and fault.
    #[must_use]
    pub fn fired(&self) -> BTreeMap<(String, Fault), usize> {
        lock(&self.inside.fired).clone()
    }
}

async fn pass(
    request: Request<Incoming>,
    inside: &Inside,
) -> Result<Response<Full<Bytes>>, io::Error> {
    let operation = request.headers().get("x-amz-target").and_then(|value| value.to_str().ok());
    let operation = operation.unwrap_or_default().to_owned();
    let fault = (lock(&inside.plan))(&operation);
    if let Some(fault) = fault {
        *lock(&inside.fired).entry((operation.clone(), fault)).or_default() += 1;
    }
    match fault {
        Some(Fault::Throttled) => {
            Ok(refused(&operation, StatusCode::BAD_REQUEST, throttling(&operation)))
        }
        Some(Fault::Failed) => {
            Ok(refused(&operation, StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure"))
        }
        Some(Fault::Reset) => Err(io::ErrorKind::ConnectionReset.into()),
        None => forward(request, inside).await,
        Some(Fault::AnswerLost) => {
            forward(request, inside).await?;
            Err(io::ErrorKind::ConnectionReset.into())
        }
        Some(Fault::Silent) => {
            forward(request, inside).await?;
            std::future::pending().await
        }
    }
}

/// The error code with which each service throttles.
fn throttling(operation: &str) -> &'static str {
    if operation.starts_with("DynamoDB") {
        "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"
    } else if operation.starts_with("AmazonSQS") {
        "com.amazonaws.sqs#RequestThrottled"
    } else {
        "ThrottlingException"
    }
}

fn refused(operation: &str, status: StatusCode, code: &str) -> Response<Full<Bytes>> {
    let body = json!({"__type": code, "message": format!("{operation} met a fault on request")});
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/x-amz-json-1.0");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

async fn forward(
    request: Request<Incoming>,
    inside: &Inside,
) -> Result<Response<Full<Bytes>>, io::Error> {
    let (mut head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let url = format!("{}{}", inside.upstream, head.uri);
    head.uri = url.parse().map_err(io::Error::other)?;
    head.headers.remove(header::CONTENT_LENGTH);
    let response = inside.client.send(Request::from_parts(head, body)).await;
    let (mut head, body) = response.map_err(io::Error::other)?.into_parts();
    head.headers.remove(header::TRANSFER_ENCODING);
    Ok(Response::from_parts(head, Full::new(body)))
}
