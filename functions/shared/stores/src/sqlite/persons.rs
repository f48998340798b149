//! The records of people in SQLite.

use greenlight_core::audit::Lookup;
use greenlight_core::operator::{PersonStore, StoreFuture};
use greenlight_core::person::{PersonKey, PersonRecord};
use greenlight_core::ports::{KeepPersons, LedgerError};
use greenlight_core::{RequestKey, Timestamp};

use super::document::Statements;
use super::{Database, failed};

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
            let left_at = record.left_at.filter(|_| record.counted.is_empty());
            vec![left_at.map(|at| at.plus(self.retention)).map(Timestamp::as_millis)]
        };
        self.change_document(PERSONS, &[&key.source, &key.person], numbers, change).await
    }
}

impl PersonStore for Database {
    fn rename_in_request<'a>(
        &'a self,
        request: &'a RequestKey,
        person: &'a str,
        pseudonym: &'a str,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let (old, new) = (Lookup::person(person).key(), Lookup::person(pseudonym).key());
            let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
            for (sql, new, old) in [
                (
                    "UPDATE requests SET applicant = ? WHERE key = ? AND applicant = ?",
                    pseudonym,
                    person,
                ),
                ("UPDATE lookups SET lookup = ? WHERE request = ? AND lookup = ?", &*new, &*old),
            ] {
                let update = sqlx::query(sql).bind(new).bind(request.as_str()).bind(old);
                update.execute(&mut *transaction).await.map_err(failed)?;
            }
            transaction.commit().await.map_err(failed)?;
            Ok(())
        })
    }

    fn forget_person<'a>(&'a self, key: &'a PersonKey) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let forget = |it: PersonRecord| {
                let left_at = it.left_at;
                (it.drop_counted(left_at), ())
            };
            let (record, ()) = self.change_person(key, forget).await?;
            if record.left_at.is_some() {
                return Ok(());
            }
            // One that counts again meanwhile stays.
            let empty = serde_json::to_string(&PersonRecord::default()).map_err(failed)?;
            sqlx::query("DELETE FROM persons WHERE source = ? AND person = ? AND record = ?")
                .bind(&key.source)
                .bind(&key.person)
                .bind(empty)
                .execute(&self.pool)
                .await
                .map_err(failed)?;
            Ok(())
        })
    }
}
