//! The blocked subjects in DynamoDB: one item per subject.

use std::time::Duration;

use greenlight_core::Timestamp;
use greenlight_core::block::{Block, BlockRecord};
use greenlight_core::ports::{KeepBlocks, LedgerError};

use super::document::{Attributes, Document};
use super::dynamodb::DynamoLedger;
use super::item::{BLOCKS, GSI_PK, GSI_SK, number, text};

impl Document for BlockRecord {
    const ATTRIBUTE: &'static str = "block";

    fn attributes(&self, retention: Duration) -> Attributes {
        let Some(Block { since, until, .. }) = &self.block else {
            let expires_at = self.ended_at.map(|at| at.plus(retention).as_seconds());
            return expires_at.map(|at| ("expires_at", number(at))).into_iter().collect();
        };
        let mut attributes = vec![(GSI_PK, text(BLOCKS)), (GSI_SK, number(since.as_millis()))];
        if let Some(until) = until {
            attributes.push(("expires_at", number(until.plus(retention).as_seconds())));
        }
        attributes
    }
}

pub(super) fn block_pk(subject: &str) -> String {
    format!("block#{subject}")
}

impl KeepBlocks for DynamoLedger {
    async fn block_of(&self, subject: &str, now: Timestamp) -> Result<Option<Block>, LedgerError> {
        let (record, _) = self.read_document::<BlockRecord>(&block_pk(subject)).await?;
        Ok(record.block.filter(|block| block.is_in_force(now)))
    }
}

#[cfg(feature = "operator")]
mod operator {
    use greenlight_core::Timestamp;
    use greenlight_core::act::Act;
    use greenlight_core::block::{Block, BlockRecord};
    use greenlight_core::explain::Explanation;
    use greenlight_core::operator::{ActStore, BlockStore, StoreFuture};
    use greenlight_core::ports::LedgerError;

    use super::block_pk;
    use crate::aws::describe;
    use crate::aws::dynamodb::DynamoLedger;
    use crate::aws::index::Range;
    use crate::aws::item::{
        ACTS, BLOCKS, GSI_PK, GSI_SK, check_version, expiry, new_item, number, string, text,
        unreadable,
    };

    impl BlockStore for DynamoLedger {
        fn set_block<'a>(
            &'a self,
            subject: &'a str,
            block: Option<&'a Block>,
            now: Timestamp,
        ) -> StoreFuture<'a, ()> {
            Box::pin(async move {
                let named = [("subject", text(subject))];
                let ended_at = block.is_none().then_some(now);
                let set = |_: BlockRecord| (BlockRecord { block: block.cloned(), ended_at }, ());
                self.change_document(&block_pk(subject), &named, set).await?;
                Ok(())
            })
        }

        fn blocks(&self, at_most: usize) -> StoreFuture<'_, Vec<(String, Block)>> {
            Box::pin(async move {
                let mut blocks = Vec::new();
                for item in self.query(BLOCKS, &Range::newest(at_most)).await? {
                    check_version(&item)?;
                    let record: BlockRecord = serde_json::from_str(string(&item, "block")?)
                        .map_err(|_| unreadable("block"))?;
                    let subject = string(&item, "subject")?.to_owned();
                    blocks.extend(record.block.map(|block| (subject, block)));
                }
                Ok(blocks)
            })
        }
    }

    impl ActStore for DynamoLedger {
        fn record_act<'a>(&'a self, act: &'a Act) -> StoreFuture<'a, ()> {
            Box::pin(async move {
                let json = serde_json::to_string(act)
                    .map_err(|error| LedgerError(Explanation::quoted(error.to_string())))?;
                let item = new_item(
                    &format!("act#{}", act.id),
                    [
                        ("act".to_owned(), text(&json)),
                        (GSI_PK.to_owned(), text(ACTS)),
                        (GSI_SK.to_owned(), number(act.at.as_millis())),
                        ("expires_at".to_owned(), expiry(act.at, self.retention)),
                    ],
                );
                let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
                put.condition_expression("attribute_not_exists(pk)")
                    .send()
                    .await
                    .map_err(|error| LedgerError(describe("dynamodb:PutItem", &error)))?;
                Ok(())
            })
        }

        fn acts(&self, at_most: usize, before: Timestamp) -> StoreFuture<'_, Vec<Act>> {
            Box::pin(async move {
                let range = Range { before, ..Range::newest(at_most) };
                let items = self.query(ACTS, &range).await?;
                let act = |item| {
                    check_version(item)?;
                    serde_json::from_str(string(item, "act")?).map_err(|_| unreadable("act"))
                };
                Ok(items.iter().map(act).collect::<Result<_, LedgerError>>()?)
            })
        }
    }
}
