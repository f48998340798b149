//! Index items in DynamoDB by which an operator finds the requests of an attempt.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{PutRequest, WriteRequest};
use greenlight_core::audit::{AttemptRecord, Lookup};
use greenlight_core::explain::Explanation;
use greenlight_core::ports::LedgerError;
use greenlight_core::{Request, Timestamp};

use super::dynamodb::DynamoLedger;
use super::error::TableError;
use super::item::{GSI_PK, GSI_SK, expiry, new_item, number, text};
use super::{describe, pause_before};

/// The largest batch of DynamoDB.
const BATCH: usize = 25;

/// The most attempts of a batch; each sends only the unprocessed items.
const BATCH_TRIES: u32 = 4;

impl DynamoLedger {
    /// Writes the lookup items of a request. Idempotent.
    pub(super) async fn file(
        &self,
        request: &Request,
        attempt_record: &AttemptRecord,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let lookups: Vec<_> = attempt_record.lookups(request).into_iter().collect();
        for batch in lookups.chunks(BATCH) {
            self.put_entries(request, batch, now).await?;
        }
        Ok(())
    }

    async fn put_entries(
        &self,
        request: &Request,
        lookups: &[Lookup],
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let put = |lookup: &Lookup| {
            let (lookup, key) = (lookup.key(), request.key());
            let item = new_item(
                &format!("lookup#{lookup}#{key}"),
                [
                    (GSI_PK.to_owned(), text(&lookup)),
                    (GSI_SK.to_owned(), number(request.received_at.as_millis())),
                    ("request".to_owned(), text(key.as_str())),
                    ("expires_at".to_owned(), expiry(now, self.retention)),
                ],
            );
            let put = PutRequest::builder().set_item(Some(item)).build();
            put.map(|put| WriteRequest::builder().put_request(put).build())
        };
        let writes = lookups.iter().map(put).collect::<Result<Vec<_>, _>>();
        self.write_batch(
            writes.map_err(|error| LedgerError(Explanation::quoted(error.to_string())))?,
        )
        .await
    }

    /// Writes up to [`BATCH`] items; repeats the unprocessed ones.
    pub(super) async fn write_batch(&self, writes: Vec<WriteRequest>) -> Result<(), LedgerError> {
        let mut left = HashMap::from([(self.table.clone(), writes)]);
        for number in 0..BATCH_TRIES {
            pause_before(number).await;
            let call = self.client.batch_write_item().set_request_items(Some(left));
            let answer = call
                .send()
                .await
                .map_err(|error| LedgerError(describe("dynamodb:BatchWriteItem", &error)))?;
            left = answer.unprocessed_items.unwrap_or_default();
            if left.values().all(Vec::is_empty) {
                return Ok(());
            }
        }
        Err(LedgerError(TableError::WritesThrottled.into()))
    }
}
