//! The records of people in DynamoDB: one item per person.

use greenlight_core::ledger::REMEMBERED_FOR;
use greenlight_core::person::{PersonKey, PersonRecord};
use greenlight_core::ports::{KeepPersons, LedgerError};

use super::document::{Attributes, Document};
use super::dynamodb::DynamoLedger;
use super::item::{number, text};

/// While access is counted the item stays.
impl Document for PersonRecord {
    const ATTRIBUTE: &'static str = "person_record";

    fn attributes(&self) -> Attributes {
        let left_at = self.left_at.filter(|_| self.places.is_empty());
        let expires_at = left_at.map(|at| number(at.plus(REMEMBERED_FOR).as_seconds()));
        expires_at.map(|at| ("expires_at", at)).into_iter().collect()
    }
}

impl KeepPersons for DynamoLedger {
    async fn change_person<T: Send>(
        &self,
        key: &PersonKey,
        change: impl Fn(PersonRecord) -> (PersonRecord, T) + Send + Sync,
    ) -> Result<(PersonRecord, T), LedgerError> {
        let named = [("source", text(&key.source)), ("person", text(&key.person))];
        let pk = format!("person#{}#{}", key.source, key.person);
        self.change_document(&pk, &named, change).await
    }
}
