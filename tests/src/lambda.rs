//! The Lambda Runtime API, and AWS behind TLS, on loopback: what a function's bootstrap sees of Lambda.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path as UrlPath, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// The Lambda Runtime API for one function.
#[derive(Debug)]
pub struct RuntimeApi {
    address: SocketAddr,
    events: mpsc::Sender<Value>,
    answers: mpsc::Receiver<Value>,
}

struct Inside {
    events: Mutex<mpsc::Receiver<Value>>,
    answers: mpsc::Sender<Value>,
}

impl RuntimeApi {
    /// Starts it.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub async fn start() -> Self {
        let (events, event_queue) = mpsc::channel(16);
        let (answer_queue, answers) = mpsc::channel(16);
        let inside = Inside { events: Mutex::new(event_queue), answers: answer_queue };
        let routes = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/{what}", post(answer))
            .with_state(Arc::new(inside));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { address, events, answers }
    }

    /// What the bootstrap has in its environment.
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

    /// Invokes the function, and gives its answer.
    ///
    /// # Panics
    /// When the function is gone.
    pub async fn invoke(&mut self, event: Value) -> Value {
        self.events.send(event).await.expect("the Runtime API runs");
        self.answers.recv().await.expect("the function answers")
    }
}

async fn next(State(inside): State<Arc<Inside>>) -> impl IntoResponse {
    let event = inside.events.lock().await.recv().await.unwrap_or_default();
    let deadline = std::time::SystemTime::now() + std::time::Duration::from_mins(1);
    let deadline = deadline.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_millis();
    let headers = [
        ("lambda-runtime-aws-request-id", "request".to_owned()),
        ("lambda-runtime-deadline-ms", deadline.to_string()),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:000000000000:function:f".to_owned(),
        ),
    ];
    (headers, event.to_string())
}

/// `what` is `response` or `error`; both come back as they are.
async fn answer(
    State(inside): State<Arc<Inside>>,
    UrlPath((_id, _what)): UrlPath<(String, String)>,
    body: Bytes,
) -> StatusCode {
    let value = serde_json::from_slice(&body).unwrap_or_default();
    let _ = inside.answers.send(value).await;
    StatusCode::ACCEPTED
}

/// An event as an HTTP API hands it over, payload format 2.0.
#[must_use]
pub fn http_api_event(headers: &[(&'static str, String)], body: &str) -> Value {
    let headers: serde_json::Map<String, Value> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
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

/// Secrets Manager and SQS behind TLS.
#[derive(Debug)]
pub struct StubAws {
    address: SocketAddr,
    sent: mpsc::UnboundedReceiver<Value>,
}

#[derive(Clone)]
struct AwsInside {
    secret: String,
    sent: mpsc::UnboundedSender<Value>,
}

impl StubAws {
    /// Starts it with `secret`, and writes the machine's roots and its own certificate to `bundle`.
    ///
    /// # Panics
    /// When the certificate cannot be made or written.
    pub async fn start(secret: &Value, bundle: &Path) -> Self {
        let pair = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])
            .expect("a certificate can be made");
        let roots = std::fs::read_to_string("/etc/ssl/certs/ca-certificates.crt")
            .expect("the machine has roots of trust");
        std::fs::write(bundle, format!("{roots}\n{}", pair.cert.pem()))
            .expect("a bundle is written");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.signing_key.serialize_der()));
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![pair.cert.der().clone()], key)
            .expect("the certificate and its key go together");
        let acceptor = TlsAcceptor::from(Arc::new(config));

        let (sender, sent) = mpsc::unbounded_channel();
        let inside = AwsInside { secret: secret.to_string(), sent: sender };
        let routes = Router::new().route("/", post(call)).with_state(inside);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, routes) = (acceptor.clone(), routes.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = hyper_util::service::TowerToHyperService::new(routes);
                    let http = hyper_util::server::conn::auto::Builder::new(
                        hyper_util::rt::TokioExecutor::new(),
                    );
                    let _ =
                        http.serve_connection(hyper_util::rt::TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, sent }
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.address.port())
    }

    /// The next message that was sent to the queue; `None` when there is none yet.
    pub fn next_message(&mut self) -> Option<Value> {
        self.sent.try_recv().ok()
    }
}

async fn call(
    State(inside): State<AwsInside>,
    headers: HeaderMap,
    body: Bytes,
) -> impl IntoResponse {
    let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok());
    let answer = match target {
        Some("secretsmanager.GetSecretValue") => {
            json!({"ARN": "arn", "Name": "secret", "VersionId": "1", "SecretString": inside.secret})
        }
        Some("AmazonSQS.SendMessage") => {
            let message = serde_json::from_slice(&body).unwrap_or_default();
            let _ = inside.sent.send(message);
            json!({"MessageId": "message", "MD5OfMessageBody": ""})
        }
        _ => return (StatusCode::BAD_REQUEST, Vec::new()),
    };
    (StatusCode::OK, answer.to_string().into_bytes())
}
