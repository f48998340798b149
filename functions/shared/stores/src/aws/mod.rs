//! The stores on AWS.

#[cfg(feature = "dynamodb")]
mod attempt_records;
#[cfg(feature = "dynamodb")]
mod blocks;
#[cfg(feature = "dynamodb")]
mod breakers;
#[cfg(feature = "operator")]
mod dead_letters;
#[cfg(feature = "dynamodb")]
mod document;
#[cfg(feature = "dynamodb")]
mod dynamodb;
#[cfg(feature = "dynamodb")]
mod effects;
mod environment;
#[cfg(feature = "sdk")]
mod error;
#[cfg(feature = "dynamodb")]
mod flows;
#[cfg(feature = "dynamodb")]
mod grants;
#[cfg(feature = "operator")]
mod histories;
#[cfg(feature = "dynamodb")]
mod index;
#[cfg(feature = "dynamodb")]
mod item;
mod logs;
mod metrics;
#[cfg(feature = "minimal")]
pub mod minimal;
#[cfg(feature = "dynamodb")]
mod persons;
#[cfg(feature = "sdk")]
mod sdk;
#[cfg(feature = "secretsmanager")]
mod secretsmanager;
#[cfg(feature = "sqs")]
mod sqs;
#[cfg(feature = "operator")]
mod stack;
#[cfg(feature = "operator")]
mod stack_queues;
#[cfg(feature = "dynamodb")]
mod sweeps;
#[cfg(feature = "dynamodb")]
mod unwanted;
#[cfg(feature = "dynamodb")]
mod waiting;

#[cfg(feature = "operator")]
pub use dead_letters::SqsDeadLetters;
#[cfg(feature = "dynamodb")]
pub use dynamodb::DynamoLedger;
pub use environment::{AwsEnvironment, MissingVariable, TimeoutConfig, variable};
pub use logs::log_to_stdout;
pub use metrics::EmbeddedMetrics;
#[cfg(feature = "sdk")]
pub use sdk::Sdk;
#[cfg(feature = "secretsmanager")]
pub use secretsmanager::SecretsManager;
#[cfg(feature = "sqs")]
pub use sqs::SqsQueue;
#[cfg(feature = "operator")]
pub use stack::{Stack, StackError};
#[cfg(feature = "operator")]
pub use stack_queues::{SqsAndLedger, StackQueues};

#[cfg(feature = "sdk")]
use sdk::describe;
#[cfg(feature = "operator")]
use sdk::is_denied;

/// Waits before attempt `number` (the first is 0) of a batch that AWS processed in part.
#[cfg(feature = "dynamodb")]
async fn pause_before(number: u32) {
    if number > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(25) * 2_u32.pow(number.min(6))).await;
    }
}
