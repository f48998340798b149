//! The grants in SQLite, and the record of the ticks.

use futures_util::TryStreamExt;
use greenlight_core::Timestamp;
use greenlight_core::grant::{GrantKey, GrantRecord};
use greenlight_core::names::NamesInUse;
use greenlight_core::ports::{
    FindDueGrants, FindHeldGrants, FindNamesInUse, KeepGrants, KeepSchedule, LedgerError,
};
use greenlight_core::schedule::Schedule;

use sqlx::SqliteConnection;

use super::document::Statements;
use super::{Database, failed};

const GRANTS: Statements = Statements {
    read: "SELECT record FROM grants WHERE target = ? AND subject = ?",
    write: "INSERT INTO grants (target, subject, record, due, expires_at)
         VALUES (?1, ?2, ?4, ?5, ?6)
         ON CONFLICT (target, subject) DO UPDATE SET record = ?4, due = ?5, expires_at = ?6
         WHERE record = ?3",
};

const SCHEDULE: Statements = Statements {
    read: "SELECT schedule FROM schedule WHERE id = 1",
    write: "INSERT INTO schedule (id, schedule) VALUES (1, ?2)
         ON CONFLICT (id) DO UPDATE SET schedule = ?2 WHERE schedule = ?1",
};

pub(super) const DUE: &str =
    "SELECT target, subject FROM grants WHERE due <= ? ORDER BY due LIMIT ?";

const LIVE: &str = "SELECT target, subject, record FROM grants WHERE due IS NOT NULL";

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
            let due = record.due();
            let ended = Some(record.last_change()).filter(|_| due.is_none());
            let expires_at = ended.map(|at| at.plus(self.retention));
            [due, expires_at].map(|at| at.map(Timestamp::as_millis)).to_vec()
        };
        self.change_document(GRANTS, &[&key.target, &key.subject], numbers, change).await
    }
}

impl FindDueGrants for Database {
    async fn due_grants(
        &self,
        now: Timestamp,
        at_most: usize,
    ) -> Result<Vec<GrantKey>, LedgerError> {
        let rows: Vec<(String, String)> = sqlx::query_as(DUE)
            .bind(now.as_millis())
            .bind(i64::try_from(at_most).unwrap_or(i64::MAX))
            .fetch_all(&self.pool)
            .await
            .map_err(failed)?;
        Ok(rows.into_iter().map(|(target, subject)| GrantKey { target, subject }).collect())
    }
}

impl FindHeldGrants for Database {
    async fn grants_held_by(
        &self,
        owner: &str,
    ) -> Result<Vec<(GrantKey, GrantRecord)>, LedgerError> {
        let rows: Vec<(String, String, String)> =
            sqlx::query_as(LIVE).fetch_all(&self.pool).await.map_err(failed)?;
        let mut held = Vec::new();
        for (target, subject, json) in rows.into_iter().filter(|(.., json)| json.contains(owner)) {
            let record: GrantRecord = serde_json::from_str(&json).map_err(failed)?;
            if record.is_held_by(owner) {
                held.push((GrantKey { target, subject }, record));
            }
        }
        Ok(held)
    }
}

impl FindNamesInUse for Database {
    async fn names_in_use(&self) -> Result<NamesInUse, LedgerError> {
        let mut names = NamesInUse::default();
        let mut rows = sqlx::query_as::<_, (String, String, String)>(LIVE).fetch(&self.pool);
        while let Some((target, subject, json)) = rows.try_next().await.map_err(failed)? {
            let record = serde_json::from_str(&json).map_err(failed)?;
            names.add(&GrantKey { target, subject }, &record);
        }
        Ok(names)
    }
}

impl KeepSchedule for Database {
    async fn change_schedule<T: Send>(
        &self,
        change: impl Fn(Schedule) -> (Schedule, T) + Send + Sync,
    ) -> Result<(Schedule, T), LedgerError> {
        self.change_document(SCHEDULE, &[], |_| Vec::new(), change).await
    }
}
