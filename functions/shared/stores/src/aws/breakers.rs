//! The circuit breakers in DynamoDB: one item per target.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use greenlight_core::breaker::Breaker;
use greenlight_core::ports::{KeepBreakers, LedgerError};

use super::document::{Attributes, Document};
use super::dynamodb::DynamoLedger;
use super::item::{BREAKERS, GSI_PK, GSI_SK, number, text};

impl Document for Breaker {
    const ATTRIBUTE: &'static str = "breaker";

    fn attributes(&self, _: Duration) -> Attributes {
        vec![(GSI_PK, text(BREAKERS)), (GSI_SK, number(0)), ("state", text(self.as_str()))]
    }
}

impl KeepBreakers for DynamoLedger {
    async fn change_breaker<T: Send>(
        &self,
        target: &str,
        change: impl Fn(Breaker) -> (Breaker, T) + Send + Sync,
    ) -> Result<(Breaker, T), LedgerError> {
        let named: [(&'static str, AttributeValue); 1] = [("target", text(target))];
        self.change_document(&format!("breaker#{target}"), &named, change).await
    }
}
