//! What an operator asks of the ledger of one machine.

use std::collections::BTreeMap;

use greenlight_core::Timestamp;
use greenlight_core::audit::{Grant, Standing, Story, Subject};
use greenlight_core::ledger::{Record, State};
use greenlight_core::ports::LedgerError;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::Database;
use super::ledger::failed;

/// From a row of the table `requests`.
fn story(row: &SqliteRow) -> Result<Story, LedgerError> {
    let text = |name: &str| row.try_get::<Option<String>, _>(name).map_err(failed);
    let moment = |name: &str| {
        let millis: Option<i64> = row.try_get(name).map_err(failed)?;
        Ok(millis.map(Timestamp::from_millis))
    };
    let record = text("record")?.unwrap_or_default();
    let Record { state, attempt, effects } = serde_json::from_str(&record).map_err(failed)?;
    let setback = text("setback")?.map(|setback| serde_json::from_str(&setback));
    Ok(Story {
        key: text("key")?.unwrap_or_default(),
        approval_code: text("approval_code")?.unwrap_or_default(),
        event_id: text("event_id")?.unwrap_or_default(),
        received_at: moment("received_at")?,
        first_claimed_at: moment("first_claimed_at")?,
        flow: text("flow")?,
        applicant: text("applicant")?,
        serial_number: text("serial_number")?.filter(|number| !number.is_empty()),
        state,
        attempt,
        effects,
        setback: setback.transpose().map_err(failed)?,
    })
}

const COLUMNS: &str = "key, record, approval_code, event_id, received_at, first_claimed_at, flow, applicant, \
                       serial_number, setback";

impl Database {
    /// The stories of what any of `subjects` means, newest first.
    ///
    /// # Errors
    /// [`LedgerError`] when SQLite says no.
    pub async fn stories_of(
        &self,
        subjects: &[Subject],
        at_most: usize,
    ) -> Result<Vec<Story>, LedgerError> {
        let keys: Vec<_> = subjects.iter().map(Subject::key).collect();
        let statement = format!(
            "SELECT {COLUMNS} FROM requests WHERE key IN (
                 SELECT request FROM entries WHERE subject IN (SELECT value FROM json_each(?))
                 ORDER BY at DESC LIMIT ?)
             ORDER BY first_claimed_at DESC, key DESC"
        );
        self.stories(&statement, serde_json::json!(keys).to_string(), at_most).await
    }

    /// The requests that were claimed for the first time most recently, newest first.
    ///
    /// # Errors
    /// [`LedgerError`] when SQLite says no.
    pub async fn recent(&self, at_most: usize, now: Timestamp) -> Result<Vec<Story>, LedgerError> {
        let statement = format!(
            "SELECT {COLUMNS} FROM requests WHERE first_claimed_at <= ?
             ORDER BY first_claimed_at DESC, key DESC LIMIT ?"
        );
        self.stories(&statement, now.as_millis().to_string(), at_most).await
    }

    /// The story of one request.
    ///
    /// # Errors
    /// [`LedgerError`] when SQLite says no.
    pub async fn story(&self, key: &str) -> Result<Option<Story>, LedgerError> {
        let statement = format!("SELECT {COLUMNS} FROM requests WHERE key = ? LIMIT ?");
        Ok(self.stories(&statement, key.to_owned(), 1).await?.pop())
    }

    async fn stories(
        &self,
        statement: &str,
        by: String,
        at_most: usize,
    ) -> Result<Vec<Story>, LedgerError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(statement.to_owned()))
            .bind(by)
            .bind(i64::try_from(at_most).unwrap_or(i64::MAX))
            .fetch_all(&self.pool)
            .await
            .map_err(failed)?;
        rows.iter().map(story).collect()
    }

    /// Forgets what was done for a request that has ended, so that all of it is done again. `false` when there is
    /// none, or a worker is at it.
    ///
    /// # Errors
    /// [`LedgerError`] when SQLite says no.
    pub async fn forget(&self, key: &str) -> Result<bool, LedgerError> {
        let forgotten = sqlx::query(
            "DELETE FROM requests WHERE key = ? AND record ->> '$.state.working' IS NULL",
        )
        .bind(key)
        .execute(&self.pool)
        .await
        .map_err(failed)?;
        Ok(forgotten.rows_affected() > 0)
    }

    /// How the requests stand that were claimed for the first time since `since`.
    ///
    /// # Errors
    /// [`LedgerError`] when SQLite says no.
    pub async fn figures(&self, since: Timestamp) -> Result<BTreeMap<Standing, u64>, LedgerError> {
        let records: Vec<String> =
            sqlx::query_scalar("SELECT record FROM requests WHERE first_claimed_at >= ?")
                .bind(since.as_millis())
                .fetch_all(&self.pool)
                .await
                .map_err(failed)?;
        let mut figures = BTreeMap::new();
        for record in records {
            let record: Record = serde_json::from_str(&record).map_err(failed)?;
            let standing = match record.state {
                State::Working(_) => Standing::Working,
                State::Done { .. } => Standing::Done,
                State::Failed { .. } => Standing::Failed,
            };
            *figures.entry(standing).or_default() += 1;
        }
        Ok(figures)
    }

    /// Who has which device since before `before`, newest first.
    ///
    /// # Errors
    /// [`LedgerError`] when SQLite says no.
    pub async fn grants(
        &self,
        at_most: usize,
        before: Timestamp,
    ) -> Result<Vec<Grant>, LedgerError> {
        let rows = sqlx::query(
            "SELECT target, device, request, applicant, at FROM grants WHERE is_held = 1 AND at < ?
             ORDER BY at DESC LIMIT ?",
        )
        .bind(before.as_millis())
        .bind(i64::try_from(at_most).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        rows.iter().map(grant).collect()
    }

    /// The grants among these devices at these targets.
    ///
    /// # Errors
    /// [`LedgerError`] when SQLite says no.
    pub async fn grants_of(&self, devices: &[(String, String)]) -> Result<Vec<Grant>, LedgerError> {
        let rows = sqlx::query(
            "SELECT target, device, request, applicant, at FROM grants WHERE is_held = 1
             AND (target, device) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))",
        )
        .bind(serde_json::json!(devices).to_string())
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        rows.iter().map(grant).collect()
    }
}

/// From a row of the table `grants`.
fn grant(row: &SqliteRow) -> Result<Grant, LedgerError> {
    let text = |name: &str| row.try_get::<String, _>(name).map_err(failed);
    Ok(Grant {
        target: text("target")?,
        device: text("device")?,
        request: text("request")?,
        applicant: text("applicant")?,
        since: Timestamp::from_millis(row.try_get("at").map_err(failed)?),
    })
}
