//! Decisions that no flow wants, and requests that an operator asked for, in DynamoDB.

use greenlight_core::ledger::Progress;
use greenlight_core::operator::Unwanted;
use greenlight_core::ports::{CountUnwanted, LedgerError, ReadRequest};
use greenlight_core::{Request, RequestKey, Timestamp};

use super::describe;
use super::dynamodb::{DynamoLedger, progress, request_pk};
use super::item::{UNWANTED, VERSION, expiry, number, string, text};

impl CountUnwanted for DynamoLedger {
    async fn count_unwanted(&self, request: &Request, now: Timestamp) -> Result<(), LedgerError> {
        self.client
            .update_item()
            .table_name(&self.table)
            .key("pk", text(&format!("{UNWANTED}#{}", Unwanted::key(request))))
            .update_expression(
                "SET v = :v, gsi1pk = :unwanted, gsi1sk = :now, expires_at = :expires_at \
                 ADD #count :one",
            )
            .expression_attribute_names("#count", "count")
            .expression_attribute_values(":v", number(VERSION))
            .expression_attribute_values(":unwanted", text(UNWANTED))
            .expression_attribute_values(":now", number(now.as_millis()))
            .expression_attribute_values(":expires_at", expiry(now, self.retention))
            .expression_attribute_values(":one", number(1))
            .send()
            .await
            .map_err(|error| LedgerError(describe("dynamodb:UpdateItem", &error)))?;
        Ok(())
    }
}

impl ReadRequest for DynamoLedger {
    async fn is_replayed(&self, request: &Request) -> Result<bool, LedgerError> {
        Ok(self.read_item(text(&replay_pk(request))).await?.is_some())
    }

    async fn is_done(&self, request: &RequestKey) -> Result<Option<bool>, LedgerError> {
        let item = self.read_item(request_pk(request)).await?;
        item.map(|item| Ok(string(&item, "state")? == "done")).transpose()
    }

    async fn progress(&self, request: &RequestKey) -> Result<Option<Progress>, LedgerError> {
        let item = self.read_item(request_pk(request)).await?;
        item.as_ref().map(progress).transpose()
    }
}

fn replay_pk(request: &Request) -> String {
    format!("replay#{}#{}", request.key(), request.event_id)
}

#[cfg(feature = "operator")]
impl greenlight_core::ports::RecordReplay for DynamoLedger {
    async fn record_replay(&self, request: &Request, now: Timestamp) -> Result<(), LedgerError> {
        let item = super::item::new_item(
            &replay_pk(request),
            [
                ("at".to_owned(), number(now.as_millis())),
                ("expires_at".to_owned(), expiry(now, self.retention)),
            ],
        );
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        put.send().await.map_err(|error| LedgerError(describe("dynamodb:PutItem", &error)))?;
        Ok(())
    }
}
