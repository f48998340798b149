//! Index items in DynamoDB by which an operator finds the requests of an attempt.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{PutRequest, WriteRequest};
use futures_util::future::try_join_all;
use greenlight_core::audit::{AttemptRecord, Change, Lookup};
use greenlight_core::explain::Explanation;
use greenlight_core::ports::LedgerError;
use greenlight_core::{Request, Timestamp};

use super::dynamodb::{DynamoLedger, is_refused};
use super::error::TableError;
use super::item::{GRANTS, GSI_PK, GSI_SK, VERSION, expiry, new_item, number, text};
use super::{describe, pause_before};

/// The largest batch of DynamoDB.
const BATCH: usize = 25;

/// The most attempts of a batch; each sends only the unprocessed items.
const BATCH_TRIES: u32 = 4;

/// The most grants written concurrently.
const AT_ONCE: usize = 25;

impl DynamoLedger {
    /// Writes the lookup items of a request and the grants of its subjects. Idempotent.
    pub(super) async fn file(
        &self,
        request: &Request,
        attempt_record: &AttemptRecord,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let lookups: Vec<_> = attempt_record.lookups(request).into_iter().collect();
        let changes: Vec<_> = attempt_record.changes().collect();
        let entries = async {
            for batch in lookups.chunks(BATCH) {
                self.put_entries(request, batch, now).await?;
            }
            Ok(())
        };
        let grants = async {
            for changes in changes.chunks(AT_ONCE) {
                let changes = changes.iter();
                try_join_all(changes.map(|it| self.change_grant(request, attempt_record, it)))
                    .await?;
            }
            Ok(())
        };
        futures_util::try_join!(entries, grants)?;
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
                    ("expires_at".to_owned(), expiry(now)),
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

    /// Grants or revokes. A grant keeps the time of its first approval; only a later effect renews
    /// a revoked grant, so that a late attempt changes nothing.
    async fn change_grant(
        &self,
        request: &Request,
        attempt_record: &AttemptRecord,
        change: &Change<'_>,
    ) -> Result<(), LedgerError> {
        let pk = format!("grant#{}#{}", change.target, change.subject);
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("pk", text(&pk))
            .expression_attribute_values(":v", number(VERSION))
            .expression_attribute_values(":at", number(change.at.as_millis()));
        let update = if change.is_held {
            update
                .condition_expression(
                    "attribute_not_exists(pk) OR (v = :v AND attribute_not_exists(gsi1pk) AND gsi1sk < :at)",
                )
                .update_expression(
                    "SET v = :v, gsi1pk = :grants, gsi1sk = :at, #target = :target, \
                     subject = :subject, #owner = :owner, #request = :request, \
                     applicant = :applicant",
                )
                .expression_attribute_names("#target", "target")
                .expression_attribute_names("#request", "request")
                .expression_attribute_names("#owner", "owner")
                .expression_attribute_values(":grants", text(GRANTS))
                .expression_attribute_values(":target", text(change.target))
                .expression_attribute_values(":subject", text(change.subject))
                .expression_attribute_values(":owner", text(change.owner))
                .expression_attribute_values(":request", text(request.key().as_str()))
                .expression_attribute_values(":applicant", text(&attempt_record.applicant))
        } else {
            update
                .condition_expression("attribute_not_exists(pk) OR (v = :v AND gsi1sk <= :at)")
                .update_expression("SET v = :v, gsi1sk = :at REMOVE gsi1pk")
        };
        match update.send().await {
            Ok(_) => Ok(()),
            Err(error) if is_refused(&error) => Ok(()),
            Err(error) => Err(LedgerError(describe("dynamodb:UpdateItem", &error))),
        }
    }
}
