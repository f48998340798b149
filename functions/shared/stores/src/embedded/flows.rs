//! The flows that `greenlight serve` runs, kept so that an operator's command can look at them.

use greenlight_core::Timestamp;
use greenlight_core::audit::DeployedFlows;
use greenlight_core::ports::LedgerError;

use super::{Database, failed};

impl Database {
    /// Keeps the flows that this process runs.
    ///
    /// # Errors
    /// [`LedgerError`] when SQLite says no.
    pub async fn keep_flows(&self, flows: &DeployedFlows) -> Result<(), LedgerError> {
        sqlx::query("INSERT OR REPLACE INTO flows (id, text, digest, since) VALUES (1, ?, ?, ?)")
            .bind(&flows.text)
            .bind(&flows.digest)
            .bind(flows.since.as_millis())
            .execute(&self.pool)
            .await
            .map_err(failed)?;
        Ok(())
    }

    /// The flows that `serve` ran when it started last; `None` before its first start.
    ///
    /// # Errors
    /// [`LedgerError`] when SQLite says no.
    pub async fn deployed_flows(&self) -> Result<Option<DeployedFlows>, LedgerError> {
        let row: Option<(String, String, i64)> =
            sqlx::query_as("SELECT text, digest, since FROM flows")
                .fetch_optional(&self.pool)
                .await
                .map_err(failed)?;
        Ok(row.map(|(text, digest, since)| DeployedFlows {
            text,
            digest,
            since: Timestamp::from_millis(since),
        }))
    }
}
