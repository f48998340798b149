//! The queue and its dead-letter queue in SQS.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::MessageAttributeValue;
use greenlight_core::explain::Explanation;
use greenlight_core::ports::{
    ChangeVisibility, DeadLetter, Enqueue, QueueError, QueueMessage, SendDeadLetter,
};

use super::describe;

#[derive(Clone, Debug)]
pub struct SqsQueue {
    client: Client,
    url: String,
}

impl SqsQueue {
    /// Creates a client of the queue at `url`.
    pub fn new(config: &aws_types::SdkConfig, url: impl Into<String>) -> Self {
        Self { client: Client::new(config), url: url.into() }
    }
}

impl Enqueue for SqsQueue {
    async fn enqueue(&self, message: &impl QueueMessage) -> Result<(), QueueError> {
        self.client
            .send_message()
            .queue_url(&self.url)
            .message_body(message.body())
            .send()
            .await
            .map_err(|error| QueueError(describe("sqs:SendMessage", &error)))?;
        Ok(())
    }
}

impl ChangeVisibility for SqsQueue {
    async fn change_visibility(
        &self,
        receipt_handle: &str,
        after: Duration,
    ) -> Result<(), QueueError> {
        // SQS takes whole seconds, and limits the visibility to 12 hours from the receive, which
        // was earlier.
        let seconds = after.as_millis().div_ceil(1000).min(42_600);
        self.client
            .change_message_visibility()
            .queue_url(&self.url)
            .receipt_handle(receipt_handle)
            .visibility_timeout(i32::try_from(seconds).unwrap_or(i32::MAX))
            .send()
            .await
            .map_err(|error| QueueError(describe("sqs:ChangeMessageVisibility", &error)))?;
        Ok(())
    }
}

impl SendDeadLetter for SqsQueue {
    /// Sends the body unchanged; class, reason, target, receive count and times as message
    /// attributes, and the reason once more as data.
    async fn send_dead_letter(&self, letter: &DeadLetter<'_>) -> Result<(), QueueError> {
        let text = |value: &str| attribute("String", value);
        let number = |value: String| attribute("Number", value);
        let send = self
            .client
            .send_message()
            .queue_url(&self.url)
            .message_body(letter.body)
            .message_attributes("class", text(letter.reason.class.as_str())?)
            .message_attributes("reason", text(&letter.reason.cause.text)?)
            .message_attributes("cause", text(&letter.reason.cause.data())?)
            .message_attributes("receive_count", number(letter.receive_count.to_string())?)
            .message_attributes("first_received", number(letter.first_received.to_string())?)
            .message_attributes("failed_at", number(letter.failed_at.to_string())?);
        let send = match &letter.reason.target {
            None => send,
            Some(target) => send.message_attributes("target", text(target)?),
        };
        send.send().await.map_err(|error| QueueError(describe("sqs:SendMessage", &error)))?;
        Ok(())
    }
}

fn attribute(kind: &str, value: impl Into<String>) -> Result<MessageAttributeValue, QueueError> {
    MessageAttributeValue::builder()
        .data_type(kind)
        .string_value(value)
        .build()
        .map_err(|error| QueueError(Explanation::quoted(error.to_string())))
}
