//! How things stand on one machine.

use std::collections::BTreeMap;

use greenlight_core::breaker::Breaker;
use greenlight_core::ports::LedgerError;
use greenlight_core::{Request, Timestamp};

use super::Database;
use super::ledger::failed;

/// How things stand.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overview {
    /// Messages that wait to be given out, those that are tried again later included.
    pub waiting: u64,
    /// Messages that are being processed.
    pub in_flight: u64,
    /// When the event of the message that is in the queue longest was received; `None` when there is none, or it is
    /// no request. A redriven message is a new one.
    pub oldest: Option<Timestamp>,
    /// Dead letters by the class of their reason.
    pub dead_letters: BTreeMap<String, u64>,
    /// The circuit breaker of each target that was ever called.
    pub breakers: BTreeMap<String, Breaker>,
}

impl Database {
    /// How things stand, now.
    ///
    /// # Errors
    /// [`LedgerError`] when SQLite says no.
    pub async fn overview(&self) -> Result<Overview, LedgerError> {
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
        Ok(Overview {
            waiting: count(false),
            in_flight: count(true),
            oldest: oldest.and_then(|body| Request::parse(&body).ok()).map(|it| it.received_at),
            dead_letters: letters.into_iter().map(|(class, n)| (class, n.unsigned_abs())).collect(),
            breakers: breakers.into_iter().map(breaker).collect::<Result<_, _>>()?,
        })
    }
}
