//! The dead-letter queue in SQS for an operator. SQS cannot list messages: reading them means
//! receiving them, which hides them for a while.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::SdkError;
use aws_sdk_sqs::operation::change_message_visibility::ChangeMessageVisibilityError;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, Message, MessageSystemAttributeName,
    QueueAttributeName,
};
use greenlight_core::audit::{Elsewhere, LastFailure, StoredDeadLetter};
use greenlight_core::explain::{Explain, Explanation};
use greenlight_core::operator::{
    AuditReader, DeadLetterQueue, HeldDeadLetter, HeldDeadLetters, StoreFuture,
};
use greenlight_core::ports::QueueError;
use greenlight_core::{Request, Timestamp};
use thiserror::Error;

use super::dynamodb::DynamoLedger;
use super::{describe, is_denied};

/// How long received dead letters stay hidden from other receivers, in seconds. If the operator's
/// command is killed, they become visible again after this time.
const HOLD_SECONDS: u16 = 120;

/// The largest batch of SQS.
const BATCH: usize = 10;

/// SQS queries a subset of its servers: this many empty answers in a row mean an empty queue.
const EMPTY_ANSWERS: u32 = 3;

/// An invalid receipt handle: AWS checks the permission before the parameters.
const NO_HANDLE: &str = "none";

/// The dead-letter queue of a stack.
#[derive(Clone, Debug)]
pub struct SqsDeadLetters {
    client: Client,
    url: String,
    queue_url: String,
    ledger: DynamoLedger,
}

/// Approximate counts of a queue: SQS updates them up to a minute late.
struct Counts {
    visible: usize,
    hidden: usize,
    visibility_timeout: Duration,
}

impl Counts {
    const fn total(&self) -> usize {
        self.visible + self.hidden
    }
}

impl SqsDeadLetters {
    /// Creates a reader of the queue at `url`, whose dead letters came from the queue at
    /// `queue_url`.
    pub fn new(
        config: &aws_types::SdkConfig,
        url: impl Into<String>,
        queue_url: impl Into<String>,
        ledger: DynamoLedger,
    ) -> Self {
        let (url, queue_url) = (url.into(), queue_url.into());
        Self { client: Client::new(config), url, queue_url, ledger }
    }

    /// Receives all dead letters. Checks first that they can be made visible again: without the
    /// permission they would be hidden from all receivers for two minutes.
    async fn hold_all(&self, now: Timestamp) -> Result<HeldDeadLetters, QueueError> {
        self.check_may_give_back().await?;
        let before = self.counts().await?;
        let mut held = BTreeMap::new();
        let result = self.hold_into(&mut held, before.visible).await;
        let mut held: Vec<_> = held.into_values().collect();
        let after = async {
            result?;
            for one in &mut held {
                self.add_reason(&mut one.letter).await?;
            }
            self.counts().await
        };
        let after = match after.await {
            Ok(after) => after,
            Err(error) => {
                // The first error is the cause.
                let _ = self.change_visibilities(&held, 0).await;
                return Err(error);
            }
        };
        // The counts lag behind sends and deletes; the lower one is more likely to be right.
        let count = before.total().min(after.total()).saturating_sub(held.len());
        let longest = after.visibility_timeout.max(Duration::from_secs(HOLD_SECONDS.into()));
        let elsewhere = Elsewhere { count, until: now.plus(longest) };
        Ok(HeldDeadLetters { held, elsewhere: (count > 0).then_some(elsewhere) })
    }

    /// Receives into `held`, ordered by sent time and id.
    async fn hold_into(
        &self,
        held: &mut BTreeMap<(i64, String), HeldDeadLetter>,
        expected: usize,
    ) -> Result<(), QueueError> {
        let mut empty = 0;
        loop {
            let messages = self.receive().await?;
            empty = if messages.is_empty() { empty + 1 } else { 0 };
            if empty == EMPTY_ANSWERS || (empty > 0 && held.len() >= expected) {
                return Ok(());
            }
            let mut has_new = messages.is_empty();
            for message in messages {
                let (sent, one) = read(message);
                has_new |= held.insert((sent, one.letter.id.clone()), one).is_none();
            }
            // The first messages are visible again: all were received.
            if !has_new {
                return Ok(());
            }
        }
    }

    /// Checks the permission to change visibilities, with an invalid receipt handle.
    async fn check_may_give_back(&self) -> Result<(), QueueError> {
        match self.change_visibility(NO_HANDLE, 0).await {
            Err(error) if is_denied(&error) || error.as_service_error().is_none() => {
                Err(QueueError(describe("sqs:ChangeMessageVisibility", &error)))
            }
            _ => Ok(()),
        }
    }

    async fn change_visibility(
        &self,
        receipt_handle: &str,
        seconds: i32,
    ) -> Result<(), SdkError<ChangeMessageVisibilityError>> {
        let call = self.client.change_message_visibility().queue_url(&self.url);
        let call = call.receipt_handle(receipt_handle).visibility_timeout(seconds);
        call.send().await.map(drop)
    }

    async fn counts(&self) -> Result<Counts, QueueError> {
        use QueueAttributeName::{
            ApproximateNumberOfMessages as Visible,
            ApproximateNumberOfMessagesNotVisible as Hidden, VisibilityTimeout,
        };
        let call = self.client.get_queue_attributes().queue_url(&self.url);
        let call = call.set_attribute_names(Some(vec![Visible, Hidden, VisibilityTimeout]));
        let answer = call.send().await;
        let answer =
            answer.map_err(|error| QueueError(describe("sqs:GetQueueAttributes", &error)))?;
        let attributes = answer.attributes.unwrap_or_default();
        let number = |name| attributes.get(&name).and_then(|value| value.parse().ok()).unwrap_or(0);
        Ok(Counts {
            visible: number(Visible),
            hidden: number(Hidden),
            visibility_timeout: Duration::from_secs(number(VisibilityTimeout) as u64),
        })
    }

    /// Receives with a wait of one second: without long polling SQS queries only a subset of its
    /// servers.
    async fn receive(&self) -> Result<Vec<Message>, QueueError> {
        let answer = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(i32::try_from(BATCH).unwrap_or(i32::MAX))
            .visibility_timeout(HOLD_SECONDS.into())
            .wait_time_seconds(1)
            .message_attribute_names("All")
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .send()
            .await
            .map_err(|error| QueueError(describe("sqs:ReceiveMessage", &error)))?;
        Ok(answer.messages.unwrap_or_default())
    }

    /// Returns whether the dead letter is still held by this receiver, and extends the hold.
    async fn is_ours(&self, held: &HeldDeadLetter) -> Result<bool, QueueError> {
        match self.change_visibility(&held.receipt, HOLD_SECONDS.into()).await {
            Ok(()) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(is_gone) => Ok(false),
            Err(error) => Err(QueueError(describe("sqs:ChangeMessageVisibility", &error))),
        }
    }

    async fn change_visibilities(
        &self,
        held: &[HeldDeadLetter],
        seconds: i32,
    ) -> Result<(), QueueError> {
        for batch in held.chunks(BATCH) {
            let entry = |(number, held): (usize, &HeldDeadLetter)| {
                ChangeMessageVisibilityBatchRequestEntry::builder()
                    .id(number.to_string())
                    .receipt_handle(&held.receipt)
                    .visibility_timeout(seconds)
                    .build()
                    .ok()
            };
            let entries = batch.iter().enumerate().filter_map(entry).collect();
            let call = self.client.change_message_visibility_batch().queue_url(&self.url);
            let answer = call.set_entries(Some(entries)).send().await;
            let answer = answer
                .map_err(|error| QueueError(describe("sqs:ChangeMessageVisibility", &error)))?;
            // The handle of a dead letter that was redriven or deleted meanwhile is invalid.
            let failed = answer.failed().iter().find(|failed| !failed.sender_fault());
            if let Some(failed) = failed {
                let error = VisibilityNotChanged { code: failed.code().to_owned() };
                return Err(QueueError(error.into()));
            }
        }
        Ok(())
    }

    async fn send_back(&self, letter: &StoredDeadLetter) -> Result<(), QueueError> {
        self.client
            .send_message()
            .queue_url(&self.queue_url)
            .message_body(&letter.body)
            .send()
            .await
            .map_err(|error| QueueError(describe("sqs:SendMessage", &error)))?;
        Ok(())
    }

    async fn take_out(&self, held: &HeldDeadLetter) -> Result<(), QueueError> {
        self.client
            .delete_message()
            .queue_url(&self.url)
            .receipt_handle(&held.receipt)
            .send()
            .await
            .map_err(|error| QueueError(describe("sqs:DeleteMessage", &error)))?;
        Ok(())
    }

    /// Adds the reason from the ledger to a dead letter that SQS moved by itself.
    async fn add_reason(&self, letter: &mut StoredDeadLetter) -> Result<(), QueueError> {
        let request = Request::parse(&letter.body);
        let (None, Ok(request)) = (&letter.last_failure, request) else { return Ok(()) };
        let history = self.ledger.read_request(&request.key()).await;
        if let Some(history) = history.map_err(|error| QueueError(error.explain()))? {
            letter.last_failure = history.last_failure;
            letter.receive_count = Some(history.attempt);
            letter.first_received = history.first_claimed_at;
        }
        Ok(())
    }
}

/// SQS did not change the visibility of a dead letter.
#[derive(Debug, Error, Explain)]
#[explain("visibility_not_changed")]
#[error("a dead letter's visibility was not changed: {code}")]
struct VisibilityNotChanged {
    code: String,
}

impl DeadLetterQueue for SqsDeadLetters {
    fn hold(&self, now: Timestamp) -> StoreFuture<'_, HeldDeadLetters> {
        Box::pin(async move { Ok(self.hold_all(now).await?) })
    }

    /// Hides them for another two minutes.
    fn hold_longer<'a>(&'a self, letters: &'a [HeldDeadLetter]) -> StoreFuture<'a, ()> {
        Box::pin(async move { Ok(self.change_visibilities(letters, HOLD_SECONDS.into()).await?) })
    }

    /// Makes them visible at once.
    fn give_back<'a>(&'a self, letters: &'a [HeldDeadLetter]) -> StoreFuture<'a, ()> {
        Box::pin(async move { Ok(self.change_visibilities(letters, 0).await?) })
    }

    /// Sends the message to the queue, then deletes it here. A crash between the two leaves it in
    /// both queues; the request is still executed once.
    fn redrive<'a>(&'a self, letter: &'a HeldDeadLetter) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let is_ours = self.is_ours(letter).await?;
            if is_ours {
                self.send_back(&letter.letter).await?;
                self.take_out(letter).await?;
            }
            Ok(is_ours)
        })
    }

    fn discard<'a>(
        &'a self,
        letter: &'a HeldDeadLetter,
        reason: &'a str,
        now: Timestamp,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let is_ours = self.is_ours(letter).await?;
            if is_ours {
                self.ledger.keep_discarded(&letter.letter, reason, now).await?;
                self.take_out(letter).await?;
            }
            Ok(is_ours)
        })
    }
}

/// Returns a dead letter and its sent time.
fn read(message: Message) -> (i64, HeldDeadLetter) {
    let attributes = message.message_attributes.unwrap_or_default();
    let text = |name: &str| attributes.get(name).and_then(|value| value.string_value.clone());
    let moment = |name: &str| text(name)?.parse().ok().map(Timestamp::from_millis);
    let system: HashMap<_, _> = message.attributes.unwrap_or_default();
    let sent = system.get(&MessageSystemAttributeName::SentTimestamp);
    let sent = sent.and_then(|sent| sent.parse().ok()).unwrap_or_default();
    let letter = StoredDeadLetter {
        id: message.message_id.unwrap_or_default(),
        last_failure: text("class").zip(moment("failed_at")).map(|(class, at)| LastFailure {
            class,
            cause: Explanation::stored(
                text("reason").unwrap_or_default(),
                text("cause").as_deref(),
            ),
            target: text("target"),
            at,
        }),
        receive_count: text("receive_count").and_then(|count| count.parse().ok()),
        first_received: moment("first_received"),
        body: message.body.unwrap_or_default(),
    };
    (sent, HeldDeadLetter { letter, receipt: message.receipt_handle.unwrap_or_default() })
}

/// Returns whether the handle is invalid: another receiver has the dead letter.
fn is_gone(error: &ChangeMessageVisibilityError) -> bool {
    error.is_message_not_inflight() || error.is_receipt_handle_is_invalid()
}
