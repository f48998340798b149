//! Lambda 1: verify, triage, enqueue, respond. It knows no flows: the worker looks for them.
//!
//! Wiring only; the use case is [`greenlight_core::receive`].

mod event_check;

use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use greenlight_core::secret::{CachedSecret, SecretError};
use greenlight_core::{Receiver, WebhookRequest, WebhookResponse, receive};
use greenlight_sources::feishu::FeishuWebhook;
use greenlight_stores::SystemClock;
use greenlight_stores::aws::minimal::{Aws, SecretsManager, SetupError, SqsQueue};
use greenlight_stores::aws::{
    AwsEnvironment, EmbeddedMetrics, MissingVariable, TimeoutConfig, log_to_stdout, variable,
};
use lambda_http::http::header::CONTENT_TYPE;
use lambda_http::http::{HeaderValue, StatusCode};
use lambda_http::{Body, Request, Response, service_fn};

const CONNECT: Duration = Duration::from_millis(500);

/// Two attempts to enqueue fit into the 2.3 s of a response, after the secret was read again.
const QUEUE_TIMEOUTS: TimeoutConfig = TimeoutConfig {
    connect: CONNECT,
    attempt: Duration::from_millis(650),
    operation: Duration::from_millis(1_400),
    max_attempts: 2,
};

const SECRET_TIMEOUTS: TimeoutConfig = TimeoutConfig {
    connect: CONNECT,
    attempt: Duration::from_millis(800),
    operation: Duration::from_millis(800),
    max_attempts: 1,
};

/// No sender waits for a response during the start.
const START_TIMEOUTS: TimeoutConfig = TimeoutConfig {
    connect: CONNECT,
    attempt: Duration::from_secs(2),
    operation: Duration::from_secs(8),
    max_attempts: 4,
};

#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Variable(#[from] MissingVariable),
    #[error(transparent)]
    Aws(#[from] SetupError),
    #[error(transparent)]
    Secret(#[from] SecretError),
}

type Wired =
    Receiver<FeishuWebhook, CachedSecret<SecretsManager, SystemClock>, SqsQueue, SystemClock>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    log_to_stdout();
    let receiver = match wire().await {
        Ok(receiver) => receiver,
        Err(error) => {
            tracing::error!("the receiver cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let receiver = Arc::new(receiver);
    let service = service_fn(move |request| answer(request, Arc::clone(&receiver)));
    match lambda_http::runtime(service).layer(event_check::EventCheck).run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("the Lambda runtime ended: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn wire() -> Result<Wired, StartError> {
    let aws = Aws::new(AwsEnvironment::read()?)?;
    let queue = SqsQueue::new(&aws, variable("QUEUE_URL")?, QUEUE_TIMEOUTS)?;
    let store = SecretsManager::new(&aws, variable("SECRET_ARN")?, SECRET_TIMEOUTS)?;
    let first = store.with_timeouts(START_TIMEOUTS);
    // Everything possible is done before the first event: the init phase has more CPU than the
    // function.
    let secret = CachedSecret::load(first, store, SystemClock);
    let (secret, ()) = tokio::join!(secret, queue.open());
    Ok(Receiver {
        source: FeishuWebhook::default(),
        secret: secret?,
        queue,
        clock: SystemClock,
        metrics: EmbeddedMetrics::of_this_function(),
    })
}

async fn answer(request: Request, receiver: Arc<Wired>) -> Result<Response<Body>, Infallible> {
    let answer = match event_check::rejection(request.headers()) {
        Some(rejection) => WebhookResponse::rejected(rejection, &receiver.metrics),
        None => receive(&webhook_request(request), &*receiver).await,
    };
    let mut response = Response::new(Body::from(answer.body()));
    *response.status_mut() =
        StatusCode::from_u16(answer.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(response)
}

/// The webhook request with the exact bytes that were sent.
fn webhook_request(request: Request) -> WebhookRequest {
    let (head, body) = request.into_parts();
    let body = match body {
        Body::Text(text) => text.into_bytes(),
        Body::Binary(bytes) => bytes,
        _ => Vec::new(),
    };
    WebhookRequest { headers: head.headers, body: body.into() }
}
