//! Decisions that no flow wants, and requests that an operator asked for.

use futures_util::FutureExt;
use greenlight_core::ledger::{Progress, Record};
use greenlight_core::operator::Unwanted;
use greenlight_core::ports::{CountUnwanted, LedgerError, ReadRequest, RecordReplay};
use greenlight_core::{Request, RequestKey, Timestamp};

use super::{Database, failed};

impl CountUnwanted for Database {
    async fn count_unwanted(&self, request: &Request, now: Timestamp) -> Result<(), LedgerError> {
        let (key, expires_at) = (Unwanted::key(request), now.plus(self.retention).as_millis());
        let count = "INSERT INTO unwanted (key, count, last, expires_at) VALUES (?, 1, ?, ?)
             ON CONFLICT (key) DO UPDATE SET count = count + 1, last = excluded.last,
                 expires_at = excluded.expires_at";
        self.group_commit
            .write(move |connection| {
                async move {
                    let count = sqlx::query(count).bind(key).bind(now.as_millis());
                    let counted = count.bind(expires_at).execute(connection).await;
                    counted.map(drop).map_err(failed)
                }
                .boxed()
            })
            .await
    }
}

impl ReadRequest for Database {
    async fn is_replayed(&self, request: &Request) -> Result<bool, LedgerError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM replays WHERE request = ? AND event_id = ?)";
        let found = sqlx::query_scalar(sql).bind(request.key().as_str().to_owned());
        found.bind(&request.event_id).fetch_one(&self.pool).await.map_err(failed)
    }

    async fn is_done(&self, request: &RequestKey) -> Result<Option<bool>, LedgerError> {
        let sql = "SELECT record ->> '$.state.done' IS NOT NULL FROM requests WHERE key = ?";
        let found = sqlx::query_scalar(sql).bind(request.as_str());
        found.fetch_optional(&self.pool).await.map_err(failed)
    }

    async fn progress(&self, request: &RequestKey) -> Result<Option<Progress>, LedgerError> {
        let found = sqlx::query_scalar("SELECT record FROM requests WHERE key = ?");
        let found: Option<String> =
            found.bind(request.as_str()).fetch_optional(&self.pool).await.map_err(failed)?;
        let record = found.map(|record| serde_json::from_str::<Record>(&record)).transpose();
        Ok(record.map_err(failed)?.map(Progress::from))
    }
}

impl RecordReplay for Database {
    async fn record_replay(&self, request: &Request, now: Timestamp) -> Result<(), LedgerError> {
        sqlx::query(
            "INSERT OR REPLACE INTO replays (request, event_id, expires_at) VALUES (?, ?, ?)",
        )
        .bind(request.key().as_str())
        .bind(&request.event_id)
        .bind(now.plus(self.retention).as_millis())
        .execute(&self.pool)
        .await
        .map_err(failed)?;
        Ok(())
    }
}

impl Database {
    pub(super) async fn read_unwanted(&self, at_most: usize) -> Result<Vec<Unwanted>, LedgerError> {
        let rows: Vec<(String, i64, i64)> =
            sqlx::query_as("SELECT key, count, last FROM unwanted ORDER BY last DESC LIMIT ?")
                .bind(i64::try_from(at_most).unwrap_or(i64::MAX))
                .fetch_all(&self.pool)
                .await
                .map_err(failed)?;
        let rows = rows.into_iter();
        let of_row = |(key, count, last): (String, i64, i64)| {
            Unwanted::of_key(&key, count.unsigned_abs(), Timestamp::from_millis(last))
        };
        Ok(rows.filter_map(of_row).collect())
    }
}
