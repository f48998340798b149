//! The flows of `greenlight serve`, stored so that the operator's command can read them.

use greenlight_core::Timestamp;
use greenlight_core::audit::DeployedFlows;
use greenlight_core::ports::LedgerError;

use super::{Database, failed};

impl Database {
    /// Stores the flows of this process, if they differ from the stored ones.
    ///
    /// # Errors
    /// [`LedgerError`] when SQLite returns an error.
    pub async fn keep_flows(&self, flows: &DeployedFlows) -> Result<(), LedgerError> {
        sqlx::query(
            "INSERT INTO flows (id, text, connectors, since) VALUES (1, ?, ?, ?)
             ON CONFLICT (id) DO UPDATE SET text = excluded.text, connectors = excluded.connectors,
                 since = excluded.since
             WHERE text <> excluded.text OR connectors <> excluded.connectors",
        )
        .bind(&flows.text)
        .bind(&flows.connectors)
        .bind(flows.since.as_millis())
        .execute(&self.pool)
        .await
        .map_err(failed)?;
        Ok(())
    }

    /// Returns the flows of the last start of `serve`; `None` before the first one.
    pub(super) async fn read_flows(&self) -> Result<Option<DeployedFlows>, LedgerError> {
        let row: Option<(String, String, i64)> =
            sqlx::query_as("SELECT text, connectors, since FROM flows")
                .fetch_optional(&self.pool)
                .await
                .map_err(failed)?;
        Ok(row.map(|(text, connectors, since)| DeployedFlows {
            text,
            connectors,
            since: Timestamp::from_millis(since),
        }))
    }
}
