//! The circuit breakers in DynamoDB: one item per target, changed with optimistic locking.

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use greenlight_core::breaker::Breaker;
use greenlight_core::explain::Explanation;
use greenlight_core::ports::{KeepBreakers, LedgerError};

use super::describe;
use super::dynamodb::DynamoLedger;
use super::error::TableError;
use super::item::{BREAKERS, GSI_PK, GSI_SK, integer, new_item, number, text, unreadable};

/// The most attempts of a change when other workers change the item concurrently.
const TRIES: usize = 8;

impl DynamoLedger {
    async fn read_breaker(&self, target: &str) -> Result<(Breaker, i64), LedgerError> {
        let Some(item) = self.read_item(text(&breaker_pk(target))).await? else {
            return Ok((Breaker::default(), 0));
        };
        let breaker = item
            .get("breaker")
            .and_then(|value| serde_json::from_str(value.as_s().ok()?).ok())
            .ok_or_else(|| unreadable("breaker"))?;
        Ok((breaker, integer(&item, "revision")?))
    }

    /// Returns `false` if another worker changed the item after `revision` was read.
    async fn write_breaker(
        &self,
        target: &str,
        breaker: &Breaker,
        revision: i64,
    ) -> Result<bool, LedgerError> {
        let json = serde_json::to_string(breaker)
            .map_err(|error| LedgerError(Explanation::quoted(error.to_string())))?;
        let item = new_item(
            &breaker_pk(target),
            [
                (GSI_PK.to_owned(), text(BREAKERS)),
                (GSI_SK.to_owned(), number(0)),
                ("target".to_owned(), text(target)),
                ("breaker".to_owned(), text(&json)),
                // For people who read the table.
                ("state".to_owned(), text(breaker.as_str())),
                ("revision".to_owned(), number(revision + 1)),
            ],
        );
        let result = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk) OR revision = :revision")
            .expression_attribute_values(":revision", number(revision))
            .send()
            .await;
        match result {
            Ok(_) => Ok(true),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(PutItemError::is_conditional_check_failed_exception) =>
            {
                Ok(false)
            }
            Err(error) => Err(LedgerError(describe("dynamodb:PutItem", &error))),
        }
    }
}

fn breaker_pk(target: &str) -> String {
    format!("breaker#{target}")
}

impl KeepBreakers for DynamoLedger {
    async fn change_breaker<T: Send>(
        &self,
        target: &str,
        change: impl Fn(Breaker) -> (Breaker, T) + Send + Sync,
    ) -> Result<(Breaker, T), LedgerError> {
        for _ in 0..TRIES {
            let (before, revision) = self.read_breaker(target).await?;
            let (breaker, answer) = change(before.clone());
            if breaker == before || self.write_breaker(target, &breaker, revision).await? {
                return Ok((breaker, answer));
            }
        }
        Err(LedgerError(TableError::BreakerContended.into()))
    }
}
