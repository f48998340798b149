//! How things stand on one machine.

use greenlight_core::audit::{HOUR, MAX_WAITING, SystemStatus};
use greenlight_core::ports::LedgerError;
use greenlight_core::{Request, Timestamp};

use super::{Database, failed};

impl Database {
    /// How things stand, now. The oldest message is told by when its event was received; a redriven message is a
    /// new one.
    ///
    /// # Errors
    /// [`LedgerError`] when SQLite says no.
    pub async fn overview(&self, now: Timestamp) -> Result<SystemStatus, LedgerError> {
        let mut transaction = self.pool.begin().await.map_err(failed)?;
        let counts: Vec<(bool, i64)> =
            sqlx::query_as("SELECT in_flight, count(*) FROM queue GROUP BY in_flight")
                .fetch_all(&mut *transaction)
                .await
                .map_err(failed)?;
        let oldest: Option<String> =
            sqlx::query_scalar("SELECT body FROM queue ORDER BY id LIMIT 1")
                .fetch_optional(&mut *transaction)
                .await
                .map_err(failed)?;
        let letters: Vec<(String, i64)> =
            sqlx::query_as("SELECT class, count(*) FROM dead_letters GROUP BY class")
                .fetch_all(&mut *transaction)
                .await
                .map_err(failed)?;
        let breakers: Vec<(String, String)> =
            sqlx::query_as("SELECT target, breaker FROM breakers")
                .fetch_all(&mut *transaction)
                .await
                .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        let count = |wanted: bool| {
            let found = counts.iter().find(|(in_flight, _)| *in_flight == wanted);
            found.map_or(0, |(_, count)| count.unsigned_abs())
        };
        let breaker = |(target, json): (String, String)| {
            serde_json::from_str(&json).map(|breaker| (target, breaker)).map_err(failed)
        };
        let oldest = oldest.and_then(|body| Request::parse(&body).ok());
        let mut overview = SystemStatus {
            is_served: Some(self.is_served()),
            waiting: count(false),
            in_flight: count(true),
            oldest: oldest.map(|request| now.since(request.received_at)),
            dead_letters: letters.iter().map(|(_, count)| count.unsigned_abs()).sum(),
            by_class: letters.into_iter().map(|(class, n)| (class, n.unsigned_abs())).collect(),
            breakers: breakers.into_iter().map(breaker).collect::<Result<_, _>>()?,
            last_hour: self.figures(now.minus(HOUR)).await?,
            ..SystemStatus::default()
        };
        overview.count_waiting(&self.waiting(MAX_WAITING, now).await?);
        Ok(overview)
    }
}
