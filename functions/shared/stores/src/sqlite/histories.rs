//! The operator's queries over the ledger in SQLite.

use std::collections::BTreeMap;

use greenlight_core::audit::{
    DeployedFlows, Grant, Lookup, RequestHistory, RequestStatus, waiting_at,
};
use greenlight_core::breaker::Breaker;
use greenlight_core::grant::{BeginError, GrantKey, GrantRecord};
use greenlight_core::ledger::Record;
use greenlight_core::names::NamesInUse;
use greenlight_core::operator::{AuditReader, GrantChange, GrantStore, StoreFuture, Unwanted};
use greenlight_core::ports::{FindNamesInUse, KeepGrants, LedgerError};
use greenlight_core::sweep::{Sweep, SweepKey};
use greenlight_core::{Request, RequestKey, Timestamp};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Database, failed};

/// Parses a row of the table `requests`.
fn history(row: &SqliteRow) -> Result<RequestHistory, LedgerError> {
    let text = |name: &str| row.try_get::<Option<String>, _>(name).map_err(failed);
    let moment = |name: &str| {
        let millis: Option<i64> = row.try_get(name).map_err(failed)?;
        Ok(millis.map(Timestamp::from_millis))
    };
    let record = text("record")?.unwrap_or_default();
    let Record { state, attempt, effects, retry } =
        serde_json::from_str(&record).map_err(failed)?;
    let last_failure =
        text("last_failure")?.map(|last_failure| serde_json::from_str(&last_failure));
    Ok(RequestHistory {
        key: text("key")?.unwrap_or_default(),
        definition_id: text("definition_id")?.unwrap_or_default(),
        event_id: text("event_id")?.unwrap_or_default(),
        received_at: moment("received_at")?,
        first_claimed_at: moment("first_claimed_at")?,
        flow: text("flow")?,
        applicant: text("applicant")?,
        form_number: text("form_number")?.filter(|number| !number.is_empty()),
        state,
        attempt,
        effects,
        last_failure: last_failure.transpose().map_err(failed)?,
        retry,
    })
}

const OF_LOOKUPS: &str = "SELECT * FROM requests WHERE key IN (
         SELECT request FROM lookups WHERE lookup IN (SELECT value FROM json_each(?))
         ORDER BY at DESC LIMIT ?)
     ORDER BY first_claimed_at DESC, key DESC";

const RECENT: &str = "SELECT * FROM requests WHERE first_claimed_at <= ?
     ORDER BY first_claimed_at DESC, key DESC LIMIT ?";

const BY_KEYS: &str =
    "SELECT * FROM requests WHERE key IN (SELECT value FROM json_each(?)) LIMIT ?";

const BY_KEY: &str = "SELECT * FROM requests WHERE key = ? LIMIT ?";

const SINCE: &str = "SELECT (SELECT key FROM json_each(record, '$.state')) AS state, count(*)
     FROM requests WHERE first_claimed_at >= ? GROUP BY 1";

const GRANTS: &str = "SELECT * FROM grants WHERE due IS NOT NULL ORDER BY due LIMIT ?";

// Without the `+` SQLite would scan all grants that did not end.
const GRANTS_OF: &str = "SELECT * FROM grants WHERE
     (target, subject) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))";

impl AuditReader for Database {
    fn find_requests<'a>(
        &'a self,
        lookups: &'a [Lookup],
        at_most: usize,
    ) -> StoreFuture<'a, Vec<RequestHistory>> {
        let keys: Vec<_> = lookups.iter().map(Lookup::key).collect();
        let keys = serde_json::json!(keys).to_string();
        Box::pin(async move { Ok(self.histories(OF_LOOKUPS, keys, at_most).await?) })
    }

    fn recent_requests(
        &self,
        at_most: usize,
        now: Timestamp,
    ) -> StoreFuture<'_, Vec<RequestHistory>> {
        let now = now.as_millis().to_string();
        Box::pin(async move { Ok(self.histories(RECENT, now, at_most).await?) })
    }

    fn waiting_requests(
        &self,
        at_most: usize,
        now: Timestamp,
    ) -> StoreFuture<'_, Vec<RequestHistory>> {
        Box::pin(async move {
            let bodies: Vec<String> = sqlx::query_scalar(
                "SELECT body FROM queue WHERE in_flight = 0 AND receive_count > 0
                 ORDER BY visible_at LIMIT ?",
            )
            .bind(i64::try_from(at_most).unwrap_or(i64::MAX))
            .fetch_all(&self.pool)
            .await
            .map_err(failed)?;
            let keys = bodies.iter().filter_map(|body| Some(Request::parse(body).ok()?.key()));
            let keys: Vec<_> = keys.map(|key| key.to_string()).collect();
            let keys = serde_json::json!(keys).to_string();
            Ok(waiting_at(self.histories(BY_KEYS, keys, at_most).await?, now))
        })
    }

    fn read_request<'a>(&'a self, key: &'a RequestKey) -> StoreFuture<'a, Option<RequestHistory>> {
        Box::pin(async move { Ok(self.histories(BY_KEY, key.to_string(), 1).await?.pop()) })
    }

    fn count_requests(
        &self,
        since: Timestamp,
        _: Timestamp,
    ) -> StoreFuture<'_, BTreeMap<RequestStatus, u64>> {
        Box::pin(async move {
            let counts: Vec<(String, i64)> = sqlx::query_as(SINCE)
                .bind(since.as_millis())
                .fetch_all(&self.pool)
                .await
                .map_err(failed)?;
            let counts = counts.iter();
            let of_status = counts
                .map(|(state, count)| (RequestStatus::of_state_name(state), count.unsigned_abs()));
            Ok(of_status.collect())
        })
    }

    fn unwanted(&self, at_most: usize) -> StoreFuture<'_, Vec<Unwanted>> {
        Box::pin(async move { Ok(self.read_unwanted(at_most).await?) })
    }

    fn sweeps(&self) -> StoreFuture<'_, Vec<(SweepKey, Sweep)>> {
        Box::pin(async move { Ok(self.read_sweeps().await?) })
    }

    fn breakers(&self) -> StoreFuture<'_, BTreeMap<String, Breaker>> {
        Box::pin(async move {
            let breakers: Vec<(String, String)> =
                sqlx::query_as("SELECT target, breaker FROM breakers")
                    .fetch_all(&self.pool)
                    .await
                    .map_err(failed)?;
            let breaker = |(target, json): (String, String)| {
                Ok((target, serde_json::from_str(&json).map_err(failed)?))
            };
            breakers.into_iter().map(breaker).collect()
        })
    }

    fn deployed_flows(&self) -> StoreFuture<'_, Option<DeployedFlows>> {
        Box::pin(async move { Ok(self.read_flows().await?) })
    }
}

impl GrantStore for Database {
    fn grants(&self, at_most: usize) -> StoreFuture<'_, Vec<Grant>> {
        Box::pin(async move {
            let rows = sqlx::query(GRANTS)
                .bind(i64::try_from(at_most).unwrap_or(i64::MAX))
                .fetch_all(&self.pool)
                .await
                .map_err(failed)?;
            Ok(rows.iter().map(grant).collect::<Result<_, _>>()?)
        })
    }

    fn grants_of<'a>(&'a self, subjects: &'a [(String, String)]) -> StoreFuture<'a, Vec<Grant>> {
        let subjects = serde_json::json!(subjects).to_string();
        Box::pin(async move {
            let rows = sqlx::query(GRANTS_OF).bind(subjects).fetch_all(&self.pool).await;
            let rows = rows.map_err(failed)?;
            Ok(rows.iter().map(grant).collect::<Result<_, _>>()?)
        })
    }

    fn names_in_use(&self) -> StoreFuture<'_, NamesInUse> {
        Box::pin(async move { Ok(FindNamesInUse::names_in_use(self).await?) })
    }

    fn change<'a>(
        &'a self,
        key: &'a GrantKey,
        change: &'a GrantChange,
        now: Timestamp,
    ) -> StoreFuture<'a, (GrantRecord, Result<(), BeginError>)> {
        Box::pin(async move { Ok(self.change_grant(key, |it| change.apply(it, now)).await?) })
    }
}

impl Database {
    async fn histories(
        &self,
        statement: &'static str,
        by: String,
        at_most: usize,
    ) -> Result<Vec<RequestHistory>, LedgerError> {
        let rows = sqlx::query(statement)
            .bind(by)
            .bind(i64::try_from(at_most).unwrap_or(i64::MAX))
            .fetch_all(&self.pool)
            .await
            .map_err(failed)?;
        rows.iter().map(history).collect()
    }
}

/// Parses a row of the table `grants`.
fn grant(row: &SqliteRow) -> Result<Grant, LedgerError> {
    let text = |name: &str| row.try_get::<String, _>(name).map_err(failed);
    Ok(Grant {
        target: text("target")?,
        subject: text("subject")?,
        record: serde_json::from_str(&text("record")?).map_err(failed)?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::grants::DUE;
    use super::*;

    /// Queries over 100,000 requests are as fast as over ten: they use indexes.
    #[tokio::test]
    async fn no_question_goes_through_a_whole_table() {
        let database = Database::in_memory().await.unwrap();
        for statement in [OF_LOOKUPS, RECENT, BY_KEYS, BY_KEY, SINCE, GRANTS, GRANTS_OF, DUE] {
            let plan = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}")));
            let plan = plan.fetch_all(&database.pool).await.unwrap();
            let steps: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
            let scans = |table: &str| steps.iter().any(|step| step == &format!("SCAN {table}"));
            assert!(!["requests", "lookups", "grants"].iter().any(|it| scans(it)), "{steps:?}");
            assert!(steps.iter().any(|step| step.starts_with("SEARCH")), "{statement}: {steps:?}");
            if statement == GRANTS_OF {
                let by_key = |step: &String| step.contains("PRIMARY KEY (target=? AND subject=?)");
                assert!(steps.iter().any(by_key), "{steps:?}");
            }
        }
    }
}
