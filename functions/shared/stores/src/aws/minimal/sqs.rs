//! The queue in SQS.

use greenlight_core::explain::Explanation;
use greenlight_core::ports::{Enqueue, QueueError, QueueMessage};
use serde_json::json;

use super::call::{Operation, Service};
use super::{Aws, SetupError};
use crate::aws::TimeoutConfig;

/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>
const SEND_MESSAGE: Operation =
    Operation { target: "AmazonSQS.SendMessage", content_type: "application/x-amz-json-1.0" };

/// A queue in SQS, send only.
#[derive(Clone)]
pub struct SqsQueue {
    service: Service,
    url: String,
    timeouts: TimeoutConfig,
}

impl SqsQueue {
    /// Creates a sender to the queue at `url`.
    ///
    /// # Errors
    /// [`SetupError`] when the environment's endpoint is not a URL.
    pub fn new(aws: &Aws, url: String, timeouts: TimeoutConfig) -> Result<Self, SetupError> {
        Ok(Self { service: aws.service("sqs")?, url, timeouts })
    }

    /// Opens the connection ahead of the first request. A failure here is only logged; the request
    /// retries.
    pub async fn open(&self) {
        if let Err(error) = self.service.connection.open(self.timeouts.connect).await {
            tracing::warn!(%error, "the queue cannot be reached yet");
        }
    }
}

impl Enqueue for SqsQueue {
    async fn enqueue(&self, message: &impl QueueMessage) -> Result<(), QueueError> {
        let input = json!({ "QueueUrl": self.url, "MessageBody": message.body() });
        let sent = self.service.call(SEND_MESSAGE, &input, self.timeouts).await;
        sent.map(drop).map_err(|error| QueueError(Explanation::quoted(error.to_string())))
    }
}
