//! A stub of the AWS calls that the functions make, over TLS on loopback.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::post;
use md5::Md5;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::stub_table::StubTable;

/// Stubs of Secrets Manager, SQS and DynamoDB over TLS.
#[derive(Debug)]
pub struct StubAws {
    address: SocketAddr,
    fingerprint: String,
    sent: mpsc::UnboundedReceiver<Value>,
    calls: Arc<AtomicUsize>,
}

#[derive(Clone)]
struct AwsInside {
    secret: String,
    sent: mpsc::UnboundedSender<Value>,
    table: Arc<StubTable>,
    calls: Arc<AtomicUsize>,
}

impl StubAws {
    /// Starts the stub with `secret`; writes the machine's root certificates and its own one to
    /// `bundle`.
    ///
    /// # Panics
    /// When the certificate cannot be made or written.
    pub async fn start(secret: &Value, bundle: &Path) -> Self {
        let pair = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])
            .expect("a certificate can be made");
        let roots = std::fs::read_to_string("/etc/ssl/certs/ca-certificates.crt")
            .expect("the machine has root certificates");
        std::fs::write(bundle, format!("{roots}\n{}", pair.cert.pem()))
            .expect("a bundle is written");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.signing_key.serialize_der()));
        let fingerprint = Sha256::digest(pair.cert.der());
        let fingerprint = format!("{:x}", Bytes::copy_from_slice(&fingerprint));
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![pair.cert.der().clone()], key)
            .expect("the key belongs to the certificate");
        let acceptor = TlsAcceptor::from(Arc::new(config));

        let (sender, sent) = mpsc::unbounded_channel();
        let calls = Arc::<AtomicUsize>::default();
        let inside = AwsInside {
            secret: secret.to_string(),
            sent: sender,
            table: Arc::default(),
            calls: Arc::clone(&calls),
        };
        let routes = Router::new().route("/", post(call)).with_state(inside);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
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
        Self { address, fingerprint, sent, calls }
    }

    /// The SHA-256 fingerprint of its certificate.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The URL of the stub.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.address.port())
    }

    /// The number of calls.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// The next message that was sent to the queue; `None` if there is none yet.
    pub fn next_message(&mut self) -> Option<Value> {
        self.sent.try_recv().ok()
    }
}

async fn call(
    State(inside): State<AwsInside>,
    headers: HeaderMap,
    body: Bytes,
) -> impl IntoResponse {
    inside.calls.fetch_add(1, Ordering::Relaxed);
    let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok());
    let answer = match target {
        Some("secretsmanager.GetSecretValue") => {
            json!({"ARN": "arn", "Name": "secret", "VersionId": "1", "SecretString": inside.secret})
        }
        Some("AmazonSQS.SendMessage") => {
            let message: Value = serde_json::from_slice(&body).unwrap_or_default();
            // SDKs compare this digest with their own.
            let digest = Md5::digest(message["MessageBody"].as_str().unwrap_or_default());
            let digest = format!("{:x}", Bytes::copy_from_slice(&digest));
            let _ = inside.sent.send(message);
            json!({"MessageId": "message", "MD5OfMessageBody": digest})
        }
        Some(target) => {
            let input = serde_json::from_slice(&body).unwrap_or_default();
            let operation = target.strip_prefix("DynamoDB_20120810.").unwrap_or_default();
            let Some((status, said)) = inside.table.perform(operation, &input) else {
                return (
                    StatusCode::BAD_REQUEST,
                    format!("the stub does not implement {target}").into_bytes(),
                );
            };
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
            return (status, said.to_string().into_bytes());
        }
        None => return (StatusCode::BAD_REQUEST, Vec::new()),
    };
    (StatusCode::OK, answer.to_string().into_bytes())
}
