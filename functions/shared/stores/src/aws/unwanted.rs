//! Decisions that no flow wants, and requests that an operator asked for, in DynamoDB.

use greenlight_core::operator::Unwanted;
use greenlight_core::ports::{CountUnwanted, LedgerError, ReadReplay};
use greenlight_core::{Request, RequestKey, Timestamp};

use super::describe;
use super::dynamodb::DynamoLedger;
use super::item::{UNWANTED, VERSION, check_version, expiry, number, text};

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
            .expression_attribute_values(":expires_at", expiry(now))
            .expression_attribute_values(":one", number(1))
            .send()
            .await
            .map_err(|error| LedgerError(describe("dynamodb:UpdateItem", &error)))?;
        Ok(())
    }
}

impl ReadReplay for DynamoLedger {
    async fn is_replayed(&self, request: &RequestKey) -> Result<bool, LedgerError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("pk", replay_pk(request))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| LedgerError(describe("dynamodb:GetItem", &error)))?;
        match answer.item {
            None => Ok(false),
            Some(item) => check_version(&item).map(|()| true),
        }
    }
}

fn replay_pk(request: &RequestKey) -> aws_sdk_dynamodb::types::AttributeValue {
    text(&format!("replay#{request}"))
}

#[cfg(feature = "operator")]
impl greenlight_core::ports::RecordReplay for DynamoLedger {
    async fn record_replay(&self, request: &RequestKey, now: Timestamp) -> Result<(), LedgerError> {
        let item = super::item::new_item(
            &format!("replay#{request}"),
            [("at".to_owned(), number(now.as_millis())), ("expires_at".to_owned(), expiry(now))],
        );
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        put.send().await.map_err(|error| LedgerError(describe("dynamodb:PutItem", &error)))?;
        Ok(())
    }
}
