//! Requests that wait for their next attempt, in DynamoDB: an item each, so that they are found
//! without a scan. A stale item does no harm, because the request's own item has the current state.

use aws_sdk_dynamodb::types::{DeleteRequest, WriteRequest};
use greenlight_core::explain::Explanation;
use greenlight_core::ports::LedgerError;
use greenlight_core::retry::RetryState;
use greenlight_core::{Request, RequestKey, Timestamp};

use super::describe;
use super::dynamodb::DynamoLedger;
use super::item::{GSI_PK, GSI_SK, WAITING, expiry, new_item, number, text};

impl DynamoLedger {
    /// Stores a request under its next attempt.
    pub(super) async fn put_waiting(
        &self,
        request: &Request,
        retry: &RetryState,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let item = new_item(
            &pk(&request.key()),
            [
                (GSI_PK.to_owned(), text(WAITING)),
                (GSI_SK.to_owned(), number(retry.next_attempt().as_millis())),
                ("request".to_owned(), text(request.key().as_str())),
                ("expires_at".to_owned(), expiry(now, self.retention)),
            ],
        );
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        put.send().await.map_err(|error| LedgerError(describe("dynamodb:PutItem", &error)))?;
        Ok(())
    }

    /// Deletes the item of a request that ended, as a batch of one: the worker has the permission
    /// for batches, and so needs none for single deletes.
    pub(super) async fn delete_waiting(&self, request: &RequestKey) -> Result<(), LedgerError> {
        let delete = DeleteRequest::builder().key("pk", text(&pk(request))).build();
        let delete = delete.map_err(|error| LedgerError(Explanation::quoted(error.to_string())))?;
        self.write_batch(vec![WriteRequest::builder().delete_request(delete).build()]).await
    }
}

fn pk(request: &RequestKey) -> String {
    format!("waiting#{request}")
}
