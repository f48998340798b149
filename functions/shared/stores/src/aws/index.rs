//! Queries of the index.

use greenlight_core::Timestamp;
use greenlight_core::ports::LedgerError;

use super::describe;
use super::dynamodb::DynamoLedger;
use super::item::{GSI, Item, number, text};

/// A range of the index and the most items to return.
pub(super) struct Range {
    pub(super) from: Timestamp,
    pub(super) before: Timestamp,
    pub(super) at_most: usize,
    pub(super) is_newest_first: bool,
    /// An attribute, and a text that it contains.
    pub(super) containing: Option<(&'static str, String)>,
}

impl Range {
    pub(super) const fn newest(at_most: usize) -> Self {
        let (from, before) = (Timestamp::from_millis(0), Timestamp::from_millis(i64::MAX));
        Self { from, before, at_most, is_newest_first: true, containing: None }
    }
}

impl DynamoLedger {
    /// Returns items of the index under `gsi_pk`, in the order of the range.
    pub(super) async fn query(
        &self,
        gsi_pk: &str,
        range: &Range,
    ) -> Result<Vec<Item>, LedgerError> {
        let mut items = Vec::new();
        let collect = |page| {
            items.extend(page);
            Ok(())
        };
        self.query_pages(gsi_pk, range, collect).await.map(|()| items)
    }

    /// As [`DynamoLedger::query`], page by page: not all items need room in memory at once.
    pub(super) async fn query_pages(
        &self,
        gsi_pk: &str,
        range: &Range,
        mut use_page: impl FnMut(Vec<Item>) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        let mut count = 0;
        let mut start: Option<Item> = None;
        while count < range.at_most {
            let left = i32::try_from(range.at_most - count).unwrap_or(i32::MAX);
            let mut query = self
                .client
                .query()
                .table_name(&self.table)
                .index_name(GSI)
                .key_condition_expression("gsi1pk = :pk AND gsi1sk BETWEEN :from AND :until")
                .expression_attribute_values(":pk", text(gsi_pk))
                .expression_attribute_values(":from", number(range.from.as_millis()))
                .expression_attribute_values(":until", number(range.before.as_millis() - 1))
                .scan_index_forward(!range.is_newest_first)
                .limit(left)
                .set_exclusive_start_key(start);
            if let Some((attribute, text_in_it)) = &range.containing {
                query = query
                    .filter_expression("contains(#attribute, :text)")
                    .expression_attribute_names("#attribute", *attribute)
                    .expression_attribute_values(":text", text(text_in_it));
            }
            let answer = query
                .send()
                .await
                .map_err(|error| LedgerError(describe("dynamodb:Query", &error)))?;
            let page = answer.items.unwrap_or_default();
            count += page.len();
            use_page(page)?;
            start = answer.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                break;
            }
        }
        Ok(())
    }
}
