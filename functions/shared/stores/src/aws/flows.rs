//! The worker's flows, stored in DynamoDB so that the operator's command can read the deployed
//! ones.

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use greenlight_core::audit::DeployedFlows;
use greenlight_core::ports::LedgerError;

use super::describe;
use super::dynamodb::DynamoLedger;
#[cfg(feature = "operator")]
use super::item::{Item, string, timestamp};
use super::item::{new_item, number, text};

const PK: &str = "config#current";

impl DynamoLedger {
    /// Stores the worker's flows, if they differ from the stored ones.
    ///
    /// # Errors
    /// [`LedgerError`] when DynamoDB returns an error.
    pub async fn keep_flows(&self, flows: &DeployedFlows) -> Result<(), LedgerError> {
        let item = new_item(
            PK,
            [
                ("flows".to_owned(), text(&flows.text)),
                ("connectors".to_owned(), text(&flows.connectors)),
                ("since".to_owned(), number(flows.since.as_millis())),
            ],
        );
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression(
                "attribute_not_exists(pk) OR flows <> :flows OR connectors <> :connectors",
            )
            .expression_attribute_values(":flows", text(&flows.text))
            .expression_attribute_values(":connectors", text(&flows.connectors));
        match put.send().await {
            Ok(_) => Ok(()),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(PutItemError::is_conditional_check_failed_exception) =>
            {
                Ok(())
            }
            Err(error) => Err(LedgerError(describe("dynamodb:PutItem", &error))),
        }
    }

    /// Returns the flows of the worker's last start; `None` before the first one.
    #[cfg(feature = "operator")]
    pub(super) async fn read_flows(&self) -> Result<Option<DeployedFlows>, LedgerError> {
        let flows = |item: Item| {
            let (text, connectors) = (string(&item, "flows")?, string(&item, "connectors")?);
            let since = timestamp(&item, "since")?;
            Ok(DeployedFlows { text: text.to_owned(), connectors: connectors.to_owned(), since })
        };
        self.read_item(text(PK)).await?.map(flows).transpose()
    }
}
