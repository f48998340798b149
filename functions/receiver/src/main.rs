//! Lambda 1: verify, triage, enqueue, respond. It knows no flows: the worker looks for them.
//!
//! Wiring only; the use case is [`greenlight_core::receive`].

mod event_check;

use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use greenlight_core::ValidationErrors;
use greenlight_core::flow::{FlowsError, SourceConfigs};
use greenlight_core::ports::ReadSecret;
use greenlight_core::secret::{CachedSecret, SecretError};
use greenlight_core::{Receiver, Rejection, WebhookRequest, WebhookResponse, receive};
use greenlight_sources::registry::{Registry, SourceError};
use greenlight_stores::aws::minimal::{Aws, SecretsManager, SetupError, SqsQueue};
use greenlight_stores::aws::{
    AwsEnvironment, EmbeddedMetrics, MissingVariable, TimeoutConfig, log_to_stdout, variable,
};
use greenlight_stores::{BadFlowsFile, SystemClock, flow_variable, flows_of_function};
use lambda_http::http::header::CONTENT_TYPE;
use lambda_http::http::{HeaderValue, StatusCode};
use lambda_http::{Body, Request, Response, service_fn};

const CONNECT: Duration = Duration::from_millis(500);

/// Two attempts to enqueue fit into the 2.3 s that the fastest office system waits, after the
/// secret was read again.
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
    FlowsFile(#[from] BadFlowsFile),
    #[error("flows.toml: {0}")]
    Flows(#[from] ValidationErrors<FlowsError>),
    #[error("flows.toml: {0}")]
    Sources(#[from] ValidationErrors<SourceError>),
    #[error(transparent)]
    Variable(#[from] MissingVariable),
    #[error(transparent)]
    Aws(#[from] SetupError),
    #[error(transparent)]
    Secret(#[from] SecretError),
}

type Wired = Receiver<CachedSecret<SecretsManager, SystemClock>, SqsQueue, SystemClock>;

/// The sources of the flows that were built in.
const BUILT_IN: &str = include_str!(concat!(env!("OUT_DIR"), "/sources.toml"));

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
    let sources = sources()?;
    let aws = Aws::new(AwsEnvironment::read()?)?;
    let queue = SqsQueue::new(&aws, variable("QUEUE_URL")?, QUEUE_TIMEOUTS)?;
    let store = SecretsManager::new(&aws, variable("SECRET_ARN")?, SECRET_TIMEOUTS)?;
    let first = store.with_timeouts(START_TIMEOUTS);
    // Everything possible is done before the first event: the init phase has more CPU than the
    // function.
    let secret = CachedSecret::load(first, store, SystemClock);
    let (secret, ()) = tokio::join!(secret, queue.open());
    let secret = secret?;
    sources.log_problems(&secret.current());
    sources.log_connections();
    Ok(Receiver {
        sources: sources.webhooks(),
        secret,
        queue,
        clock: SystemClock,
        metrics: EmbeddedMetrics::of_this_function(),
    })
}

/// The sources of the deployed flows.
fn sources() -> Result<Registry, StartError> {
    let text = flows_of_function(BUILT_IN)?;
    Ok(Registry::new(&SourceConfigs::parse(&text, &flow_variable)?)?)
}

async fn answer(request: Request, receiver: Arc<Wired>) -> Result<Response<Body>, Infallible> {
    let request = match event_check::rejection(request.headers()) {
        Some(rejection) => Err(rejection),
        None => webhook_request(request),
    };
    let answer = match request {
        Err(rejection) => WebhookResponse::rejected(rejection, &receiver.metrics),
        Ok(request) => receive(&request, &receiver).await,
    };
    let reply = answer.reply;
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() =
        StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let content_type = HeaderValue::from_static(reply.content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    Ok(response)
}

/// The webhook request with the exact bytes that were sent.
fn webhook_request(request: Request) -> Result<WebhookRequest, Rejection> {
    let (head, body) = request.into_parts();
    let body = match body {
        Body::Text(text) => text.into_bytes(),
        Body::Binary(bytes) => bytes,
        _ => Vec::new(),
    };
    WebhookRequest::new(head, body.into())
}
