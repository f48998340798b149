//! The queue's conformance suite, over SQLite and over SQS on a local AWS.

use std::time::Duration;

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use greenlight_core::explain::Explanation;
use greenlight_core::extract::Problem;
use greenlight_core::ports::{
    ChangeVisibility, DeadLetter, Enqueue, QueueError, QueueMessage, SendDeadLetter,
};
use greenlight_core::{Class, Reason, Timestamp};
use greenlight_stores::aws::SqsQueue;
use greenlight_stores::sqlite::{Database, Received};
use greenlight_testkit::request::request;
use greenlight_tests::local_aws::LocalAws;
use greenlight_tests::resources::create_queue;

/// The operations of a queue that the suite needs.
trait Queue: Enqueue + SendDeadLetter {
    type Message;
    /// Receives all visible messages and hides them for an hour.
    async fn receive(&self) -> Vec<Self::Message>;
    /// Body, receive count, and when it was received for the first time (ms since the Unix epoch).
    fn facts(message: &Self::Message) -> (String, u32, i64);
    async fn show_at_once(&self, message: &Self::Message);
    async fn delete(&self, message: &Self::Message);
    /// Body, class, reason and receive count of each dead letter.
    async fn letters(&self) -> Vec<(String, String, Explanation, u32)>;
}

const HIDDEN: Duration = Duration::from_hours(1);

/// A fixed time, so that hidden messages stay hidden.
const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

impl Queue for Database {
    type Message = Received;

    async fn receive(&self) -> Vec<Received> {
        Database::receive(self, 10, NOW, NOW.plus(HIDDEN)).await.unwrap()
    }

    fn facts(message: &Received) -> (String, u32, i64) {
        let first = message.first_received().as_millis();
        (message.body.clone(), message.receive_count, first)
    }

    async fn show_at_once(&self, message: &Received) {
        self.retry_after(message, NOW, Duration::ZERO).await.unwrap();
    }

    async fn delete(&self, message: &Received) {
        Database::delete(self, message).await.unwrap();
    }

    async fn letters(&self) -> Vec<(String, String, Explanation, u32)> {
        let letters = self.dead_letters().await.unwrap().into_iter();
        letters
            .map(|letter| {
                (letter.body, letter.last_failure.unwrap(), letter.receive_count.unwrap())
            })
            .map(|(body, last_failure, count)| {
                (body, last_failure.class, last_failure.cause, count)
            })
            .collect()
    }
}

/// The queue and its dead-letter queue in SQS.
struct Sqs {
    queue: SqsQueue,
    dead_letters: SqsQueue,
    client: aws_sdk_sqs::Client,
    urls: [String; 2],
}

impl Enqueue for Sqs {
    async fn enqueue(&self, message: &impl QueueMessage) -> Result<(), QueueError> {
        self.queue.enqueue(message).await
    }
}

impl SendDeadLetter for Sqs {
    async fn send_dead_letter(
        &self,
        letter: &DeadLetter<'_>,
    ) -> Result<(), greenlight_core::ports::QueueError> {
        self.dead_letters.send_dead_letter(letter).await
    }
}

impl Sqs {
    async fn receive_from(&self, url: &str) -> Vec<Message> {
        let received = self
            .client
            .receive_message()
            .queue_url(url)
            .max_number_of_messages(10)
            .visibility_timeout(3_600)
            .message_attribute_names("All")
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .send()
            .await
            .unwrap();
        received.messages.unwrap_or_default()
    }
}

impl Queue for Sqs {
    type Message = Message;

    async fn receive(&self) -> Vec<Message> {
        self.receive_from(&self.urls[0]).await
    }

    fn facts(message: &Message) -> (String, u32, i64) {
        let attributes = message.attributes().unwrap();
        let number = |name| attributes[&name].parse::<i64>().unwrap();
        let count = number(MessageSystemAttributeName::ApproximateReceiveCount);
        let first = number(MessageSystemAttributeName::ApproximateFirstReceiveTimestamp);
        (message.body().unwrap().to_owned(), u32::try_from(count).unwrap(), first)
    }

    async fn show_at_once(&self, message: &Message) {
        self.queue
            .change_visibility(message.receipt_handle().unwrap(), Duration::ZERO)
            .await
            .unwrap();
    }

    async fn delete(&self, message: &Message) {
        let delete = self.client.delete_message().queue_url(&self.urls[0]);
        delete.receipt_handle(message.receipt_handle().unwrap()).send().await.unwrap();
    }

    async fn letters(&self) -> Vec<(String, String, Explanation, u32)> {
        let letters = self.receive_from(&self.urls[1]).await;
        let letter = |message: &Message| {
            let attributes = message.message_attributes().unwrap();
            let text = |name| attributes[name].string_value().unwrap().to_owned();
            let count = text("receive_count").parse().unwrap();
            let cause = Explanation::stored(text("reason"), Some(&text("cause")));
            (message.body().unwrap().to_owned(), text("class"), cause, count)
        };
        letters.iter().map(letter).collect()
    }
}

#[tokio::test]
async fn sqlite() {
    suite(&Database::in_memory().await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqs() {
    let aws = LocalAws::start().await;
    let urls = [create_queue(&aws, "queue").await, create_queue(&aws, "dlq").await];
    let config = aws.config();
    let queue = Sqs {
        queue: SqsQueue::new(&config, &urls[0]),
        dead_letters: SqsQueue::new(&config, &urls[1]),
        client: aws_sdk_sqs::Client::new(&config),
        urls,
    };
    suite(&queue).await;
}

async fn suite<Q: Queue>(queue: &Q) {
    a_message_is_hidden_until_it_is_shown_and_gone_when_it_is_deleted(queue).await;
    a_dead_letter_says_why(queue).await;
}

async fn a_message_is_hidden_until_it_is_shown_and_gone_when_it_is_deleted<Q: Queue>(queue: &Q) {
    assert!(queue.receive().await.is_empty());
    let (first, second) = (request("first"), request("second"));
    queue.enqueue(&first).await.unwrap();
    queue.enqueue(&second).await.unwrap();
    let received = queue.receive().await;
    assert_eq!(received.len(), 2);
    assert!(queue.receive().await.is_empty(), "both are hidden");
    let is_first = |message: &Q::Message| Q::facts(message).0 == first.to_json();
    let [first_message, second_message] = &received[..] else { panic!("there are two") };
    let (first_message, second_message) = if is_first(first_message) {
        (first_message, second_message)
    } else {
        (second_message, first_message)
    };
    assert_eq!(Q::facts(second_message).0, second.to_json(), "the body is the request");
    assert_eq!(Q::facts(first_message).1, 1);

    queue.delete(second_message).await;
    queue.show_at_once(first_message).await;
    let again = queue.receive().await;
    assert_eq!(again.len(), 1, "the other message is deleted");
    let (body, receive_count, first_received) = Q::facts(&again[0]);
    assert_eq!((body, receive_count), (first.to_json(), 2));
    assert_eq!(
        first_received,
        Q::facts(first_message).2,
        "the retry budget starts with the first receive"
    );
    queue.delete(&again[0]).await;
    assert!(queue.receive().await.is_empty());
}

async fn a_dead_letter_says_why<Q: Queue>(queue: &Q) {
    let reason = Reason::new(
        Class::InvalidForm,
        Problem::NoneFound { field: "MAC 地址".into(), kind: "mac" },
    );
    let letter = DeadLetter {
        body: "as it came",
        reason: &reason,
        receive_count: 3,
        first_received: NOW,
        failed_at: NOW,
    };
    queue.send_dead_letter(&letter).await.unwrap();
    let letters = queue.letters().await;
    let expected = ("as it came".to_owned(), "invalid_form".to_owned(), reason.cause.clone(), 3);
    assert_eq!(letters, [expected]);
}
