//! The dead-letter queue in SQS, as an operator looks into it: SQS gives messages out and lists none, so
//! whoever looks holds them for a while.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, Message, MessageSystemAttributeName,
    QueueAttributeName,
};
use greenlight_core::audit::{Setback, StoredLetter};
use greenlight_core::ports::QueueError;
use greenlight_core::{Request, Timestamp};

use super::describe;
use super::dynamodb::DynamoLedger;

/// How long letters are held, in seconds. Whoever dies over them gives them back then.
const HOLD: i32 = 120;

/// So many messages SQS gives out, or takes back, in one call.
const BATCH: usize = 10;

/// SQS answers from a part of its machines: so often nothing in a row is nothing.
const EMPTY_ANSWERS: u32 = 3;

/// The dead-letter queue of a stack.
#[derive(Clone, Debug)]
pub struct DeadLetterQueue {
    client: Client,
    url: String,
    queue_url: String,
    ledger: DynamoLedger,
}

/// A dead letter that nobody else is given for now.
#[derive(Clone, Debug)]
pub struct Held {
    /// What it is.
    pub letter: StoredLetter,
    receipt_handle: String,
}

impl DeadLetterQueue {
    /// The one at `url`, whose letters came from the queue at `queue_url`.
    pub fn new(
        config: &aws_types::SdkConfig,
        url: impl Into<String>,
        queue_url: impl Into<String>,
        ledger: DynamoLedger,
    ) -> Self {
        let (url, queue_url) = (url.into(), queue_url.into());
        Self { client: Client::new(config), url, queue_url, ledger }
    }

    /// All letters that nobody holds, oldest first. They are held until they are given back.
    ///
    /// # Errors
    /// [`QueueError`] when SQS says no.
    pub async fn hold(&self) -> Result<Vec<Held>, QueueError> {
        let mut held = BTreeMap::new();
        match self.hold_into(&mut held).await {
            Ok(()) => Ok(held.into_values().collect()),
            Err(error) => {
                self.give_back(&held.into_values().collect::<Vec<_>>()).await;
                Err(error)
            }
        }
    }

    /// By when it was sent, and its id.
    async fn hold_into(&self, held: &mut BTreeMap<(i64, String), Held>) -> Result<(), QueueError> {
        let expected = self.count().await?;
        let mut empty = 0;
        loop {
            // What should be there is waited for: without that SQS asks a part of its machines only.
            let wait = i32::from(held.len() < expected);
            let messages = self.receive(wait).await?;
            empty = if messages.is_empty() { empty + 1 } else { 0 };
            if empty == EMPTY_ANSWERS || (empty > 0 && wait == 0) {
                return Ok(());
            }
            for message in messages {
                let (sent, one) = self.read(message).await;
                // The first is visible again: everything was seen.
                if held.insert((sent, one.letter.id.clone()), one).is_some() {
                    return Ok(());
                }
            }
        }
    }

    async fn count(&self) -> Result<usize, QueueError> {
        let name = QueueAttributeName::ApproximateNumberOfMessages;
        let call = self.client.get_queue_attributes().queue_url(&self.url);
        let answer = call.attribute_names(name.clone()).send().await;
        let answer = answer.map_err(|error| QueueError(describe(&error)))?;
        let count = answer.attributes.and_then(|mut it| it.remove(&name)?.parse().ok());
        Ok(count.unwrap_or(0))
    }

    async fn receive(&self, wait: i32) -> Result<Vec<Message>, QueueError> {
        let answer = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(i32::try_from(BATCH).unwrap_or(i32::MAX))
            .visibility_timeout(HOLD)
            .wait_time_seconds(wait)
            .message_attribute_names("All")
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .send()
            .await
            .map_err(|error| QueueError(describe(&error)))?;
        Ok(answer.messages.unwrap_or_default())
    }

    /// Whether the letter is still held by us, and for long enough to do something with it.
    async fn is_ours(&self, held: &Held) -> bool {
        let call = self.client.change_message_visibility().queue_url(&self.url);
        let call = call.receipt_handle(&held.receipt_handle).visibility_timeout(HOLD);
        call.send().await.is_ok()
    }

    /// Gives letters back, so that others see them at once. What cannot be given back is back by itself soon.
    pub async fn give_back(&self, held: &[Held]) {
        for batch in held.chunks(BATCH) {
            let entry = |(number, held): (usize, &Held)| {
                ChangeMessageVisibilityBatchRequestEntry::builder()
                    .id(number.to_string())
                    .receipt_handle(&held.receipt_handle)
                    .visibility_timeout(0)
                    .build()
                    .ok()
            };
            let entries = batch.iter().enumerate().filter_map(entry).collect();
            let call = self.client.change_message_visibility_batch().queue_url(&self.url);
            let _ = call.set_entries(Some(entries)).send().await;
        }
    }

    /// Puts a letter back into the queue, and then takes it out of here: a crash between the two leaves it in
    /// both, and what it asks for is done once all the same. `false` when it is not ours any more.
    ///
    /// # Errors
    /// [`QueueError`] when SQS says no.
    pub async fn redrive(&self, held: &Held) -> Result<bool, QueueError> {
        if !self.is_ours(held).await {
            return Ok(false);
        }
        self.client
            .send_message()
            .queue_url(&self.queue_url)
            .message_body(&held.letter.body)
            .send()
            .await
            .map_err(|error| QueueError(describe(&error)))?;
        self.take_out(held).await?;
        Ok(true)
    }

    /// Takes a letter out for good, and keeps it in the ledger with the operator's reason. `false` when it is not ours
    /// any more.
    ///
    /// # Errors
    /// [`QueueError`] when AWS says no.
    pub async fn drop_letter(
        &self,
        held: &Held,
        because: &str,
        now: Timestamp,
    ) -> Result<bool, QueueError> {
        if !self.is_ours(held).await {
            return Ok(false);
        }
        let kept = self.ledger.keep_dropped(&held.letter, because, now).await;
        kept.map_err(|error| QueueError(error.0))?;
        self.take_out(held).await?;
        Ok(true)
    }

    async fn take_out(&self, held: &Held) -> Result<(), QueueError> {
        self.client
            .delete_message()
            .queue_url(&self.url)
            .receipt_handle(&held.receipt_handle)
            .send()
            .await
            .map_err(|error| QueueError(describe(&error)))?;
        Ok(())
    }

    /// A letter, and when it was sent. One that SQS moved by itself carries no reason: the ledger has it.
    async fn read(&self, message: Message) -> (i64, Held) {
        let attributes = message.message_attributes.unwrap_or_default();
        let text = |name: &str| attributes.get(name).and_then(|value| value.string_value.clone());
        let moment = |name: &str| text(name)?.parse().ok().map(Timestamp::from_millis);
        let system: HashMap<_, _> = message.attributes.unwrap_or_default();
        let sent = system.get(&MessageSystemAttributeName::SentTimestamp);
        let sent = sent.and_then(|sent| sent.parse().ok()).unwrap_or_default();
        let body = message.body.unwrap_or_default();
        let mut letter = StoredLetter {
            id: message.message_id.unwrap_or_default(),
            setback: text("class").zip(moment("failed_at")).map(|(class, at)| Setback {
                class,
                reason: text("reason").unwrap_or_default(),
                target: text("target"),
                at,
            }),
            receive_count: text("receive_count").and_then(|count| count.parse().ok()),
            first_received: moment("first_received"),
            body,
        };
        if letter.setback.is_none()
            && let Ok(request) = Request::parse(&letter.body)
        {
            // A letter whose reason cannot be had is still one.
            if let Ok(Some(story)) = self.ledger.story(request.key().as_str()).await {
                letter.setback = story.setback;
                letter.receive_count = Some(story.attempt);
                letter.first_received = story.first_claimed_at;
            }
        }
        let receipt_handle = message.receipt_handle.unwrap_or_default();
        (sent, Held { letter, receipt_handle })
    }
}
