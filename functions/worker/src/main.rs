//! Lambda 2: claim, read the approval, act, complete.
//!
//! Wiring only; the story is [`greenlight_core::process`].

mod batch;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use greenlight_connectors::connector::ConnectorError;
use greenlight_connectors::{Connectors, Setup, Targets};
use greenlight_core::audit::DeployedFlows;
use greenlight_core::flow::{Flows, FlowsError};
use greenlight_core::ports::{Clock, Ports, ReadSecret};
use greenlight_core::secret::{CachedSecret, SecretError};
use greenlight_core::transport::is_clear_text;
use greenlight_core::{Processor, ValidationErrors};
use greenlight_http::{Client, ClientError};
use greenlight_sources::feishu::{BASE_URL, FeishuClient};
use greenlight_stores::aws::{
    AwsEnvironment, DynamoLedger, EmbeddedMetrics, MissingVariable, Sdk, SecretsManager, SqsQueue,
    TimeoutConfig, log_to_stdout, variable,
};
use greenlight_stores::{BadFlowsFile, SystemClock, flow_variable, flows_of_function};
use lambda_runtime::{LambdaEvent, service_fn};
use thiserror::Error;

/// Nobody waits for the worker but the batch itself.
const TIMEOUTS: TimeoutConfig = TimeoutConfig {
    connect: Duration::from_secs(1),
    attempt: Duration::from_secs(3),
    operation: Duration::from_secs(10),
    max_attempts: 4,
};

/// What is told to a queue at the end of an attempt must be told before the function ends.
const QUEUE_TIMEOUTS: TimeoutConfig = TimeoutConfig {
    connect: Duration::from_secs(1),
    attempt: Duration::from_millis(1_500),
    operation: Duration::from_millis(2_500),
    max_attempts: 2,
};

/// The flows are kept for the operator's command alone: a start does not wait for it longer than
/// this.
const KEEP_FLOWS_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug, Error)]
enum StartError {
    #[error("FEISHU_BASE_URL: {0} is clear text, and the app's secret is sent there: use https://")]
    ClearText(String),
    #[error(transparent)]
    Variable(#[from] MissingVariable),
    #[error(transparent)]
    FlowsFile(#[from] BadFlowsFile),
    #[error("flows.toml: {0}")]
    Flows(#[from] ValidationErrors<FlowsError>),
    #[error("flows.toml: {0}")]
    Setup(#[from] ValidationErrors<ConnectorError>),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Connector(#[from] ConnectorError),
}

type Secret = Arc<CachedSecret<SecretsManager, SystemClock>>;

/// On AWS.
#[derive(Clone, Copy, Debug)]
struct OnAws;

impl Ports for OnAws {
    type Ledger = DynamoLedger;
    type Source = FeishuClient<Client, Secret, SystemClock>;
    type Targets = Targets<Client, Secret, SystemClock>;
    type DeadLetters = SqsQueue;
    type Clock = SystemClock;
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    log_to_stdout();
    let (processor, queue) = match wire().await {
        Ok(wired) => wired,
        Err(error) => {
            tracing::error!("the worker cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let service = service_fn(|event: LambdaEvent<_>| batch::process(event, &processor, &queue));
    match lambda_runtime::run(service).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("the Lambda runtime ended: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn keep_flows(ledger: &DynamoLedger, flows: &DeployedFlows) {
    match tokio::time::timeout(KEEP_FLOWS_TIMEOUT, ledger.keep_flows(flows)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the flows were not kept in the ledger"),
        Err(_) => tracing::warn!("the flows were not kept in the ledger: no answer in time"),
    }
}

async fn wire() -> Result<(Processor<OnAws>, SqsQueue), StartError> {
    let sdk = Sdk::new(AwsEnvironment::read()?);
    let (aws, queues) = (sdk.config(TIMEOUTS), sdk.config(QUEUE_TIMEOUTS));
    let queue = SqsQueue::new(&queues, variable("QUEUE_URL")?);
    let dead_letters = SqsQueue::new(&queues, variable("DLQ_URL")?);
    let ledger = DynamoLedger::new(&aws, variable("LEDGER_TABLE")?);
    let store = SecretsManager::new(&aws, variable("SECRET_ARN")?);
    let text = flows_of_function(include_str!("../../../infra/flows.toml"))?;
    let flows = Flows::parse(&text, &flow_variable)?;
    let base_url = variable("FEISHU_BASE_URL").unwrap_or_else(|_| BASE_URL.to_owned());

    let clock = SystemClock;
    let connectors = Connectors::built_in();
    let deployed = DeployedFlows { text, connectors: connectors.digest(), since: clock.now() };
    let secret = CachedSecret::load(store.clone(), store, clock);
    let (secret, ()) = tokio::join!(secret, keep_flows(&ledger, &deployed));
    let secret = Arc::new(secret?);
    let source = FeishuClient::new(Client::new(None)?, Arc::clone(&secret), clock, &base_url);
    let current = secret.current();
    let setup = Setup::new(&flows, &connectors)?;
    let targets = Targets::new(setup, Arc::clone(&secret), clock, |name, target| {
        Client::of_target(name, target, &current).map_err(StartError::from)
    })?;
    let metrics = EmbeddedMetrics::of_this_function();
    if is_clear_text(&base_url) {
        return Err(StartError::ClearText(base_url));
    }
    Ok((Processor { ledger, source, targets, dead_letters, clock, flows, metrics }, queue))
}
