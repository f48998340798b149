//! Depth of a stack's queues, and sending requests to them for an operator.

use std::time::{Duration, SystemTime};

use aws_sdk_cloudwatch::types::{Dimension, Statistic};
use aws_sdk_sqs::types::QueueAttributeName;
use aws_smithy_types::DateTime;
use greenlight_core::grant::GrantKey;
use greenlight_core::ledger::ResetError;
use greenlight_core::operator::{QueueReader, QueueStatus, RequestStore, StoreFuture};
use greenlight_core::ports::{Enqueue, QueueError, RecordReplay, ResetRequest};
use greenlight_core::queued::GrantDue;
use greenlight_core::{Request, RequestKey, Timestamp};

use super::dynamodb::DynamoLedger;
use super::sqs::SqsQueue;
use super::{describe, is_denied};

/// CloudWatch's metrics are some minutes late.
const AGE_WITHIN: Duration = Duration::from_mins(15);

/// Queue and dead-letter queue of a stack, as SQS and CloudWatch count them.
#[derive(Clone, Debug)]
pub struct StackQueues {
    sqs: aws_sdk_sqs::Client,
    cloudwatch: aws_sdk_cloudwatch::Client,
    queue_url: String,
    dead_letters_url: String,
}

/// Depth of a queue; all of SQS's counts are approximate.
struct Counts {
    waiting: u64,
    in_flight: u64,
}

impl StackQueues {
    /// Creates a reader of the queues at these URLs.
    pub fn new(
        config: &aws_types::SdkConfig,
        queue_url: impl Into<String>,
        dead_letters_url: impl Into<String>,
    ) -> Self {
        Self {
            sqs: aws_sdk_sqs::Client::new(config),
            cloudwatch: aws_sdk_cloudwatch::Client::new(config),
            queue_url: queue_url.into(),
            dead_letters_url: dead_letters_url.into(),
        }
    }

    async fn counts(&self, url: &str) -> Result<Counts, QueueError> {
        use QueueAttributeName::{
            ApproximateNumberOfMessages as Visible, ApproximateNumberOfMessagesDelayed as Delayed,
            ApproximateNumberOfMessagesNotVisible as Hidden,
        };
        let call = self.sqs.get_queue_attributes().queue_url(url);
        let call = call.set_attribute_names(Some(vec![Visible, Hidden, Delayed]));
        let answer = call
            .send()
            .await
            .map_err(|error| QueueError(describe("sqs:GetQueueAttributes", &error)))?;
        let attributes = answer.attributes.unwrap_or_default();
        let count = |name| attributes.get(&name).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        Ok(Counts { waiting: count(Visible) + count(Delayed), in_flight: count(Hidden) })
    }

    /// Returns the age of the oldest message by CloudWatch, which is minutes late. `None` when it
    /// has no data or does not answer; an error when the credentials lack the permission.
    async fn oldest(&self) -> Result<Option<Duration>, QueueError> {
        let name = self.queue_url.rsplit('/').next().unwrap_or(&self.queue_url);
        let queue = Dimension::builder().name("QueueName").value(name).build();
        let now = SystemTime::now();
        let answer = self
            .cloudwatch
            .get_metric_statistics()
            .namespace("AWS/SQS")
            .metric_name("ApproximateAgeOfOldestMessage")
            .dimensions(queue)
            .start_time(DateTime::from(now - AGE_WITHIN))
            .end_time(DateTime::from(now))
            .period(60)
            .statistics(Statistic::Maximum)
            .send()
            .await;
        let points = match answer {
            Ok(answer) => answer.datapoints.unwrap_or_default(),
            Err(error) if is_denied(&error) => {
                return Err(QueueError(describe("cloudwatch:GetMetricStatistics", &error)));
            }
            Err(_) => return Ok(None),
        };
        let newest = points.into_iter().max_by_key(|point| point.timestamp.map(|at| at.secs()));
        let seconds = newest.and_then(|newest| newest.maximum);
        Ok(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()))
    }
}

impl QueueReader for StackQueues {
    fn queue_status(&self, _: Timestamp) -> StoreFuture<'_, QueueStatus> {
        Box::pin(async move {
            let (counts, dead, oldest) = tokio::join!(
                self.counts(&self.queue_url),
                self.counts(&self.dead_letters_url),
                self.oldest(),
            );
            let (counts, dead) = (counts?, dead?);
            Ok(QueueStatus {
                waiting: counts.waiting,
                in_flight: counts.in_flight,
                counts_retries_as_in_flight: true,
                oldest: oldest?,
                dead_letters: dead.waiting + dead.in_flight,
                ..QueueStatus::default()
            })
        })
    }
}

/// The queue and the ledger of a stack.
#[derive(Clone, Debug)]
pub struct SqsAndLedger {
    pub queue: SqsQueue,
    pub ledger: DynamoLedger,
}

impl RequestStore for SqsAndLedger {
    fn enqueue_replay<'a>(&'a self, request: &'a Request, now: Timestamp) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.ledger.record_replay(request, now).await?;
            Ok(self.queue.enqueue(request).await?)
        })
    }

    fn enqueue_due<'a>(&'a self, key: &'a GrantKey, now: Timestamp) -> StoreFuture<'a, ()> {
        Box::pin(async move { Ok(self.queue.enqueue(&GrantDue::new(key.clone(), now)).await?) })
    }

    fn reset<'a>(
        &'a self,
        request: &'a RequestKey,
        attempt: u32,
        now: Timestamp,
    ) -> StoreFuture<'a, Result<(), ResetError>> {
        Box::pin(async move { Ok(self.ledger.reset_request(request, attempt, now).await?) })
    }
}
