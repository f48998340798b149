//! The stores on AWS.

#[cfg(feature = "dynamodb")]
mod breakers;
#[cfg(feature = "operator")]
mod dead_letters;
#[cfg(feature = "dynamodb")]
mod dynamodb;
mod environment;
#[cfg(feature = "dynamodb")]
mod findings;
#[cfg(feature = "dynamodb")]
mod item;
mod metrics;
#[cfg(feature = "secretsmanager")]
mod secretsmanager;
#[cfg(feature = "sqs")]
mod sqs;
#[cfg(feature = "operator")]
mod stack;
#[cfg(feature = "operator")]
mod stories;

#[cfg(feature = "operator")]
pub use dead_letters::{DeadLetterQueue, Held};
#[cfg(feature = "dynamodb")]
pub use dynamodb::DynamoLedger;
pub use environment::{AwsEnvironment, MissingVariable, Patience, variable};
pub use metrics::EmbeddedMetrics;
#[cfg(feature = "secretsmanager")]
pub use secretsmanager::SecretsManager;
#[cfg(feature = "sqs")]
pub use sqs::SqsQueue;
#[cfg(feature = "operator")]
pub use stack::{QueueCounts, Stack, StackError};

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

/// Waits before try `number` (the first is 0) of what AWS took in part only.
#[cfg(feature = "dynamodb")]
async fn pause_before(number: u32) {
    if number > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(25) * 2_u32.pow(number.min(6))).await;
    }
}

/// What went wrong, in a few words and without the request.
fn describe<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> String {
    match error {
        SdkError::TimeoutError(_) => "no answer in time".to_owned(),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => {
            "no answer in time".to_owned()
        }
        SdkError::DispatchFailure(failure) if failure.is_other() => {
            "no credentials, or none that can be had: does `aws sts get-caller-identity` work?"
                .to_owned()
        }
        SdkError::DispatchFailure(_) => "no connection".to_owned(),
        SdkError::ServiceError(service) => {
            let error = service.err();
            let code = error.code().unwrap_or("an error without a code");
            format!("{code}: {}", error.message().unwrap_or("no message"))
        }
        SdkError::ConstructionFailure(_) => "the request could not be built".to_owned(),
        _ => "the answer could not be read".to_owned(),
    }
}
