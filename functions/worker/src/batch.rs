//! A batch of SQS messages: each record succeeds or fails on its own.

use std::pin::pin;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use futures_util::future::{Either, join_all, select};
use greenlight_core::budget::AttemptBudget;
use greenlight_core::lease::{Lease, LeaseId};
use greenlight_core::ports::{ChangeVisibility, Clock, Ports};
use greenlight_core::{Disposition, Message, Processor, Timestamp, process as process_message};
use lambda_runtime::{Error, LambdaEvent};

const _: () = assert!(greenlight_http::TIMEOUT.as_secs() <= AttemptBudget::LONGEST_CALL.as_secs());

/// How long a lease outlives the function: it must not expire before its worker has stopped, even
/// if clocks differ.
const LEASE_MARGIN: Duration = Duration::from_secs(30);

/// How long the queue keeps a message after it was sent: `MessageRetentionPeriod` in template.yaml.
const RETENTION: Duration = Duration::from_hours(14 * 24);

/// Processes all records concurrently, and returns the ids of those that SQS must redeliver.
pub(crate) async fn process<P: Ports>(
    event: LambdaEvent<SqsEvent>,
    processor: &Processor<P>,
    queue: &impl ChangeVisibility,
) -> Result<SqsBatchResponse, Error> {
    let end = Timestamp::from_millis(i64::try_from(event.context.deadline)?);
    let records = event.payload.records.iter();
    let left = AttemptBudget::until(end).respond_before.since(processor.clock.now());
    let failed = join_all(records.map(async |record| {
        let attempt = pin!(process_record(record, end, processor, queue));
        match select(attempt, pin!(processor.clock.sleep(left))).await {
            Either::Left((failed, _)) => failed,
            // Out of time: SQS redelivers the record after the visibility timeout.
            Either::Right(_) => record.message_id.clone(),
        }
    }));
    let mut response = SqsBatchResponse::default();
    for message_id in failed.await.into_iter().flatten() {
        response.add_failure(message_id);
    }
    Ok(response)
}

/// The id of the record if SQS must redeliver it.
async fn process_record<P: Ports>(
    record: &SqsMessage,
    end: Timestamp,
    processor: &Processor<P>,
    queue: &impl ChangeVisibility,
) -> Option<String> {
    let message_id = record.message_id.clone().unwrap_or_default();
    let lease_id = match LeaseId::random() {
        Ok(lease_id) => lease_id,
        Err(error) => {
            tracing::error!(%error, "no lease id could be drawn: the message is redelivered");
            return Some(message_id);
        }
    };
    let sent_at = number(record, "SentTimestamp").map(Timestamp::from_millis);
    let message = Message {
        body: record.body.as_deref().unwrap_or_default(),
        receive_count: number(record, "ApproximateReceiveCount").unwrap_or(1),
        first_received: number(record, "ApproximateFirstReceiveTimestamp")
            .map_or(end, Timestamp::from_millis),
        expires_at: sent_at.map(|sent_at| sent_at.plus(RETENTION)),
        budget: AttemptBudget::until(end),
        lease: Lease { id: lease_id, until: end.plus(LEASE_MARGIN) },
    };
    let Disposition::RetryAfter { after, .. } = process_message(&message, processor).await else {
        return None;
    };
    let receipt_handle = record.receipt_handle.as_deref().unwrap_or_default();
    if let Err(error) = queue.change_visibility(receipt_handle, after).await {
        tracing::warn!(%error, message_id, "SQS redelivers the message after its visibility timeout");
    }
    Some(message_id)
}

fn number<T: std::str::FromStr>(record: &SqsMessage, attribute: &str) -> Option<T> {
    record.attributes.get(attribute)?.parse().ok()
}

#[cfg(test)]
mod tests;
