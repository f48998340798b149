//! Lambda 2: claim, read the approval, act, complete; and, at each tick, enqueue what is due.
//!
//! Wiring only; the use cases are [`greenlight_core::process`] and [`greenlight_core::tick`].

mod batch;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use greenlight_connectors::Connectors;
use greenlight_core::Processor;
use greenlight_core::audit::DeployedFlows;
use greenlight_core::lease::LeaseId;
use greenlight_core::ports::{Clock, Ports, ReadSecret};
use greenlight_core::tick::{self, Scheduler};
use greenlight_runtime::{
    Configuration, HttpSources, HttpTargets, SharedSecret, StartError, load_secret, targets,
};
use greenlight_stores::aws::{
    AwsEnvironment, DynamoLedger, EmbeddedMetrics, Sdk, SecretsManager, SqsQueue, TimeoutConfig,
    log_to_stdout, variable,
};
use greenlight_stores::{SystemClock, flow_variable, flows_of_function};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::Deserialize;

/// Only the batch itself waits for the worker, so the timeouts are long.
const TIMEOUTS: TimeoutConfig = TimeoutConfig {
    connect: Duration::from_secs(1),
    attempt: Duration::from_secs(3),
    operation: Duration::from_secs(10),
    max_attempts: 4,
};

/// The calls to a queue at the end of an attempt must finish before the function ends.
const QUEUE_TIMEOUTS: TimeoutConfig = TimeoutConfig {
    connect: Duration::from_secs(1),
    attempt: Duration::from_millis(1_500),
    operation: Duration::from_millis(2_500),
    max_attempts: 2,
};

/// The flows are recorded for the operator's command only: a start does not wait longer than this.
const KEEP_FLOWS_TIMEOUT: Duration = Duration::from_secs(1);

type Secret = SharedSecret<SecretsManager>;

/// The ports on AWS.
#[derive(Clone, Copy, Debug)]
struct OnAws;

impl Ports for OnAws {
    type Ledger = DynamoLedger;
    type Source = HttpSources;
    type Targets = HttpTargets<Secret>;
    type Queue = SqsQueue;
    type DeadLetters = SqsQueue;
    type Clock = SystemClock;
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    log_to_stdout();
    let processor = match wire().await {
        Ok(wired) => wired,
        Err(error) => {
            tracing::error!("the worker cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let service = service_fn(async |event: LambdaEvent<Invocation>| {
        let LambdaEvent { payload, context } = event;
        match payload {
            Invocation::Batch(batch) => {
                let batch = LambdaEvent { payload: batch, context };
                batch::process(batch, &processor, &processor.queue).await
            }
            Invocation::Scheduled(Scheduled::Tick) => {
                enqueue_what_is_due(&processor).await.map(|()| SqsBatchResponse::default())
            }
        }
    });
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
        Ok(Err(error)) => tracing::warn!(%error, "the flows were not recorded in the ledger"),
        Err(_) => tracing::warn!("the flows were not recorded in the ledger: timed out"),
    }
}

/// What invokes the worker: SQS with a batch of messages, or the rule of `EventBridge` with a
/// constant.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Invocation {
    Batch(SqsEvent),
    Scheduled(Scheduled),
}

/// The input of the rule.
#[derive(Debug, Deserialize)]
#[serde(tag = "trigger", rename_all = "snake_case")]
enum Scheduled {
    Tick,
}

/// Enqueues what is due.
async fn enqueue_what_is_due(processor: &Processor<OnAws>) -> Result<(), Error> {
    let Processor { ledger, source, queue, clock, metrics, flows, .. } = processor;
    let scheduler = Scheduler { ledger, source, queue, clock, flows, metrics };
    let ticked = tick::tick(&scheduler, &LeaseId::random()?).await?;
    tracing::info!(enqueued = ticked.enqueued, failed = ticked.failed, "tick");
    Ok(())
}

async fn wire() -> Result<Processor<OnAws>, StartError> {
    let sdk = Sdk::new(AwsEnvironment::read().map_err(StartError::store)?);
    let of_environment = |name| variable(name).map_err(StartError::store);
    let (aws, queues) = (sdk.config(TIMEOUTS), sdk.config(QUEUE_TIMEOUTS));
    let queue = SqsQueue::new(&queues, of_environment("QUEUE_URL")?);
    let dead_letters = SqsQueue::new(&queues, of_environment("DLQ_URL")?);
    let ledger = DynamoLedger::new(&aws, of_environment("LEDGER_TABLE")?);
    let store = SecretsManager::new(&aws, of_environment("SECRET_ARN")?);

    let (clock, connectors) = (SystemClock, Connectors::built_in());
    let text = flows_of_function(include_str!("../../../infra/flows.toml"))?;
    let Configuration { flows, sources, setup, deployed } =
        Configuration::parse(text, &connectors, &flow_variable, clock.now())?;
    let ledger = ledger.keeping(flows.ledger.retention);
    let (secret, ()) = tokio::join!(load_secret(store), keep_flows(&ledger, &deployed));
    let secret = secret?;
    sources.log_problems(&secret.current());
    let targets = targets(setup, &secret)?;
    let source = HttpSources::new(&sources, Arc::clone(&secret), targets.clone())?;
    let metrics = EmbeddedMetrics::of_this_function();
    Ok(Processor { ledger, source, targets, queue, dead_letters, clock, flows, metrics })
}
