//! Records that are one JSON document in an item of their own, changed with optimistic locking.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use greenlight_core::explain::Explanation;
use greenlight_core::ports::LedgerError;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::dynamodb::DynamoLedger;
use super::error::TableError;
use super::item::{integer, new_item, number, text, unreadable};
use super::{describe, pause_before};

/// The most attempts of a change when other workers change the item concurrently.
const TRIES: u32 = 8;

/// The most records that [`Written`] has.
const MAX_WRITTEN: usize = 2_000;

/// A record with its key, and the attributes beside the document: for the index, and for people who
/// read the table.
pub(super) trait Document:
    Clone + Default + PartialEq + Serialize + DeserializeOwned + Send + Sync
{
    /// The attribute with the document.
    const ATTRIBUTE: &'static str;

    /// The attributes besides key, version, document and revision, where records are kept for
    /// `retention` after their last change.
    fn attributes(&self, retention: Duration) -> Attributes;

    /// Whether the writer will soon change it again, and would only read what it wrote.
    fn is_changed_again(&self) -> bool {
        false
    }
}

/// What this process has written last and will change again, with its revision, by key.
#[derive(Debug, Default)]
pub(super) struct Written(Mutex<HashMap<String, (String, i64)>>);

impl Written {
    fn take(&self, pk: &str) -> Option<(String, i64)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(pk)
    }

    fn keep(&self, pk: &str, json: String, revision: i64) {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Attempts that were cut off have left some.
        if written.len() >= MAX_WRITTEN {
            written.clear();
        }
        written.insert(pk.to_owned(), (json, revision));
    }
}

pub(super) type Attributes = Vec<(&'static str, AttributeValue)>;

impl DynamoLedger {
    /// Changes the document with the key `pk` atomically, and returns its new state. `named` has
    /// the parts of the key. `change` may be called more than once, and its result may be lost
    /// after it was written: it must be safe to repeat.
    pub(super) async fn change_document<D: Document, T: Send>(
        &self,
        pk: &str,
        named: &[(&'static str, AttributeValue)],
        change: impl Fn(D) -> (D, T) + Send + Sync,
    ) -> Result<(D, T), LedgerError> {
        for number in 0..TRIES {
            pause_before(number).await;
            let written = self.written.take(pk).and_then(|(json, revision)| {
                Some((serde_json::from_str::<D>(&json).ok()?, revision))
            });
            let is_read = written.is_none();
            let (before, revision) = match written {
                Some(written) => written,
                None => self.read_document::<D>(pk).await?,
            };
            let (document, answer) = change(before.clone());
            // The condition of a write tells whether what was written before is still so.
            let is_done = if document == before {
                is_read
            } else {
                self.write_document(pk, named, &document, revision).await?
            };
            if is_done {
                return Ok((document, answer));
            }
        }
        Err(LedgerError(TableError::Contended.into()))
    }

    pub(super) async fn read_document<D: Document>(
        &self,
        pk: &str,
    ) -> Result<(D, i64), LedgerError> {
        let Some(item) = self.read_item(text(pk)).await? else { return Ok((D::default(), 0)) };
        let document = item
            .get(D::ATTRIBUTE)
            .and_then(|value| serde_json::from_str(value.as_s().ok()?).ok())
            .ok_or_else(|| unreadable(D::ATTRIBUTE))?;
        Ok((document, integer(&item, "revision")?))
    }

    /// Returns `false` if another worker changed the item after `revision` was read.
    async fn write_document<D: Document>(
        &self,
        pk: &str,
        named: &[(&'static str, AttributeValue)],
        document: &D,
        revision: i64,
    ) -> Result<bool, LedgerError> {
        let json = serde_json::to_string(document)
            .map_err(|error| LedgerError(Explanation::quoted(error.to_string())))?;
        let mut item = new_item(
            pk,
            [(D::ATTRIBUTE.to_owned(), text(&json)), ("revision".to_owned(), number(revision + 1))],
        );
        let attributes = named.iter().cloned().chain(document.attributes(self.retention));
        item.extend(attributes.map(|(name, value)| (name.to_owned(), value)));
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
            Ok(_) => {
                if document.is_changed_again() {
                    self.written.keep(pk, json, revision + 1);
                }
                Ok(true)
            }
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
