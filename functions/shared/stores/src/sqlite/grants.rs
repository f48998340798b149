//! The grants in SQLite.

use greenlight_core::grant::{GrantKey, GrantRecord, Phase};
use greenlight_core::ports::{KeepGrants, LedgerError};

use sqlx::SqliteConnection;

use super::Database;
use super::document::Statements;

const GRANTS: Statements = Statements {
    read: "SELECT record FROM grants WHERE target = ? AND subject = ?",
    write: "INSERT INTO grants (target, subject, record, is_held, since)
         VALUES (?1, ?2, ?4, ?5, ?6)
         ON CONFLICT (target, subject) DO UPDATE SET record = ?4, is_held = ?5, since = ?6
         WHERE record = ?3",
};

/// Gives up the calls of a previous process, which is dead: what they did is unknown.
pub(super) async fn abandon_calls(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let under_way = "SELECT target, subject, record FROM grants
             WHERE record ->> '$.call' IS NOT NULL";
    let rows: Vec<(String, String, String)> =
        sqlx::query_as(under_way).fetch_all(&mut *connection).await?;
    for (target, subject, json) in rows {
        let record: GrantRecord = serde_json::from_str(&json).map_err(unreadable)?;
        let json = serde_json::to_string(&record.abandon()).map_err(unreadable)?;
        let write = sqlx::query("UPDATE grants SET record = ? WHERE target = ? AND subject = ?");
        write.bind(json).bind(target).bind(subject).execute(&mut *connection).await?;
    }
    Ok(())
}

fn unreadable(error: serde_json::Error) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}

impl KeepGrants for Database {
    async fn change_grant<T: Send>(
        &self,
        key: &GrantKey,
        change: impl Fn(GrantRecord) -> (GrantRecord, T) + Send + Sync,
    ) -> Result<(GrantRecord, T), LedgerError> {
        let numbers = |record: &GrantRecord| {
            let is_held = record.phase() != Phase::Ended;
            vec![i64::from(is_held), record.since().as_millis()]
        };
        self.change_document(GRANTS, &[&key.target, &key.subject], numbers, change).await
    }
}
