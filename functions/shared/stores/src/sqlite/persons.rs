//! The records of people in SQLite.

use greenlight_core::Timestamp;
use greenlight_core::ledger::REMEMBERED_FOR;
use greenlight_core::person::{PersonKey, PersonRecord};
use greenlight_core::ports::{KeepPersons, LedgerError};

use super::Database;
use super::document::Statements;

const PERSONS: Statements = Statements {
    read: "SELECT record FROM persons WHERE source = ? AND person = ?",
    write: "INSERT INTO persons (source, person, record, expires_at)
         VALUES (?1, ?2, ?4, ?5)
         ON CONFLICT (source, person) DO UPDATE SET record = ?4, expires_at = ?5
         WHERE record = ?3",
};

impl KeepPersons for Database {
    async fn change_person<T: Send>(
        &self,
        key: &PersonKey,
        change: impl Fn(PersonRecord) -> (PersonRecord, T) + Send + Sync,
    ) -> Result<(PersonRecord, T), LedgerError> {
        // While access is counted the row stays.
        let numbers = |record: &PersonRecord| {
            let left_at = record.left_at.filter(|_| record.places.is_empty());
            vec![left_at.map(|at| at.plus(REMEMBERED_FOR)).map(Timestamp::as_millis)]
        };
        self.change_document(PERSONS, &[&key.source, &key.person], numbers, change).await
    }
}
