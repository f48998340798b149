//! Lambda's event source mapping between a queue and a function.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use serde_json::{Map, Value, json};

use super::Function;

/// Receives batches, invokes a function with each, and deletes the messages that it does not
/// report as failed.
#[derive(Clone, Debug)]
pub struct Mapping {
    sqs: Client,
    queue_url: String,
    within: Duration,
}

impl Mapping {
    /// A mapping from the queue at `queue_url` to a function. `within` is the timeout of a batch
    /// and the visibility timeout.
    #[must_use]
    pub fn new(config: &aws_types::SdkConfig, queue_url: &str, within: Duration) -> Self {
        Self { sqs: Client::new(config), queue_url: queue_url.to_owned(), within }
    }

    /// Processes one batch of at most ten messages and returns the number of deleted ones; `None`
    /// if no message was received.
    ///
    /// # Panics
    /// When the queue cannot be read.
    pub async fn feed(&self, function: &mut Function) -> Option<usize> {
        let received = self
            .sqs
            .receive_message()
            .queue_url(&self.queue_url)
            .max_number_of_messages(10)
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .visibility_timeout(i32::try_from(self.within.as_secs()).expect("it is short"))
            .wait_time_seconds(1)
            .send()
            .await
            .expect("the queue can be read");
        let messages = received.messages.unwrap_or_default();
        if messages.is_empty() {
            return None;
        }
        let answer = function.invoke(sqs_event(&messages), self.within).await;
        let Some(failed) = answer.as_ref().and_then(failures) else {
            return Some(0);
        };
        let is_done = |message: &&Message| {
            !failed.contains(&message.message_id().expect("a message has an id"))
        };
        let mut deleted = 0;
        for message in messages.iter().filter(is_done) {
            deleted += 1;
            self.sqs
                .delete_message()
                .queue_url(&self.queue_url)
                .receipt_handle(message.receipt_handle().expect("it was received"))
                .send()
                .await
                .expect("a message can be deleted");
        }
        Some(deleted)
    }
}

/// The ids of the failed messages; `None` if the answer is not a batch response.
fn failures(answer: &Value) -> Option<Vec<&str>> {
    let failures = answer["batchItemFailures"].as_array()?;
    Some(failures.iter().filter_map(|failure| failure["itemIdentifier"].as_str()).collect())
}

/// The SQS event of a batch.
#[must_use]
pub fn sqs_event(messages: &[Message]) -> Value {
    let record = |message: &Message| {
        let attributes = message.attributes().into_iter().flatten();
        let attributes: Map<String, Value> =
            attributes.map(|(name, value)| (name.as_str().to_owned(), json!(value))).collect();
        json!({
            "messageId": message.message_id(),
            "receiptHandle": message.receipt_handle(),
            "body": message.body(),
            "attributes": attributes,
            "messageAttributes": {},
            "md5OfBody": message.md5_of_body(),
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:queue",
            "awsRegion": "us-east-1",
        })
    };
    json!({"Records": messages.iter().map(record).collect::<Vec<_>>()})
}
