//! The circuit breakers in SQLite.

use greenlight_core::breaker::Breaker;
use greenlight_core::ports::{KeepBreakers, LedgerError};

use super::Database;
use super::document::Statements;

const BREAKERS: Statements = Statements {
    read: "SELECT breaker FROM breakers WHERE target = ?",
    write: "INSERT INTO breakers (target, breaker) VALUES (?1, ?3)
         ON CONFLICT (target) DO UPDATE SET breaker = ?3 WHERE breaker = ?2",
};

impl KeepBreakers for Database {
    async fn change_breaker<T: Send>(
        &self,
        target: &str,
        change: impl Fn(Breaker) -> (Breaker, T) + Send + Sync,
    ) -> Result<(Breaker, T), LedgerError> {
        self.change_document(BREAKERS, &[target], |_| Vec::new(), change).await
    }
}
