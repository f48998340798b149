//! Lambda 1: verify, triage, enqueue, answer.
//!
//! Wiring only; the story is [`greenlight_core::receive`].

mod gateway;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use greenlight_core::flow::{Approvals, FlowsError};
use greenlight_core::secret::{CachedSecret, SecretError};
use greenlight_core::{Answer, Mistakes, Receiver, receive};
use greenlight_sources::feishu::FeishuWebhook;
use greenlight_stores::aws::{
    AwsEnvironment, EmbeddedMetrics, MissingVariable, Patience, SecretsManager, SqsQueue, variable,
};
use greenlight_stores::{BadFlowsFile, SystemClock, flows_text};
use lambda_http::lambda_runtime::{self, LambdaEvent, service_fn};
use lambda_http::request::LambdaRequest;
use lambda_http::tracing;
use thiserror::Error;

/// The same for all, so that all share their connections.
const CONNECT: Duration = Duration::from_millis(500);

/// Two attempts to enqueue fit into the 2.3 s that an answer has, after the secret was read again.
const QUEUE_PATIENCE: Patience = Patience {
    connect: CONNECT,
    attempt: Duration::from_millis(650),
    operation: Duration::from_millis(1_400),
    attempts: 2,
};

const SECRET_PATIENCE: Patience = Patience {
    connect: CONNECT,
    attempt: Duration::from_millis(800),
    operation: Duration::from_millis(800),
    attempts: 1,
};

/// Nobody waits for an answer during the start.
const START_PATIENCE: Patience = Patience {
    connect: CONNECT,
    attempt: Duration::from_secs(2),
    operation: Duration::from_secs(8),
    attempts: 4,
};

#[derive(Debug, Error)]
enum StartError {
    #[error(transparent)]
    Variable(#[from] MissingVariable),
    #[error(transparent)]
    FlowsFile(#[from] BadFlowsFile),
    #[error("flows.toml: {0}")]
    Flows(#[from] Mistakes<FlowsError>),
    #[error(transparent)]
    Secret(#[from] SecretError),
}

type Wired =
    Receiver<FeishuWebhook, CachedSecret<SecretsManager, SystemClock>, SqsQueue, SystemClock>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    tracing::init_default_subscriber();
    let receiver = match wire().await {
        Ok(receiver) => receiver,
        Err(error) => {
            tracing::error!("the receiver cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let service = service_fn(|event: LambdaEvent<LambdaRequest>| answer(event.payload, &receiver));
    match lambda_runtime::run(service).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("the Lambda runtime ended: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn wire() -> Result<Wired, StartError> {
    let aws = AwsEnvironment::read()?;
    let queue_url = variable("QUEUE_URL")?;
    let secret_arn = variable("SECRET_ARN")?;
    let file = std::env::var_os("FLOWS_FILE").map(PathBuf::from);
    let flows = flows_text(file.as_deref(), include_str!("../../../infra/flows.toml"))?;
    let approvals = Approvals::parse(&flows, &|name| std::env::var(name).ok())?;
    let store = SecretsManager::new(&aws.config(SECRET_PATIENCE), &secret_arn);
    let first = SecretsManager::new(&aws.config(START_PATIENCE), &secret_arn);
    Ok(Receiver {
        source: FeishuWebhook::default(),
        secret: CachedSecret::load(first, store, SystemClock).await?,
        queue: SqsQueue::new(&aws.config(QUEUE_PATIENCE), queue_url),
        clock: SystemClock,
        approvals,
        metrics: EmbeddedMetrics::of_this_function(),
    })
}

async fn answer(
    request: LambdaRequest,
    receiver: &Wired,
) -> Result<gateway::Response, lambda_runtime::Error> {
    let answer = match gateway::delivery(request)? {
        Err(refusal) => Answer::refused(refusal, &receiver.metrics),
        Ok(delivery) => receive(&delivery, receiver).await,
    };
    Ok(gateway::response(&answer))
}
