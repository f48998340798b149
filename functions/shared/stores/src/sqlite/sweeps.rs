//! The records of sweeps in SQLite.

use greenlight_core::ports::{KeepSweeps, LedgerError};
use greenlight_core::sweep::{Sweep, SweepKey};

use super::document::Statements;
use super::{Database, failed};

const SWEEPS: Statements = Statements {
    read: "SELECT record FROM sweeps WHERE key = ?",
    write: "INSERT INTO sweeps (key, record, expires_at) VALUES (?1, ?3, ?4)
         ON CONFLICT (key) DO UPDATE SET record = ?3, expires_at = ?4 WHERE record = ?2",
};

impl KeepSweeps for Database {
    async fn change_sweep<T: Send>(
        &self,
        key: &SweepKey,
        change: impl Fn(Sweep) -> (Sweep, T) + Send + Sync,
    ) -> Result<(Sweep, T), LedgerError> {
        let numbers = |it: &Sweep| vec![Some(it.last_change().plus(self.retention).as_millis())];
        self.change_document(SWEEPS, &[&key.as_text()], numbers, change).await
    }
}

impl Database {
    pub(super) async fn read_sweeps(&self) -> Result<Vec<(SweepKey, Sweep)>, LedgerError> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT key, record FROM sweeps ORDER BY key")
                .fetch_all(&self.pool)
                .await
                .map_err(failed)?;
        let of_row = |(key, record): (String, String)| {
            let record = serde_json::from_str(&record).map_err(failed)?;
            Ok(SweepKey::of_text(&key).map(|key| (key, record)))
        };
        rows.into_iter().filter_map(|row| of_row(row).transpose()).collect()
    }
}
