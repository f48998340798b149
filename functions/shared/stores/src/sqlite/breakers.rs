//! The circuit breakers in SQLite.

use greenlight_core::breaker::Breaker;
use greenlight_core::ports::{KeepBreakers, LedgerError};

use super::{Database, failed};

impl KeepBreakers for Database {
    async fn change_breaker<T: Send>(
        &self,
        target: &str,
        change: impl Fn(Breaker) -> (Breaker, T) + Send + Sync,
    ) -> Result<(Breaker, T), LedgerError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        let json: Option<String> =
            sqlx::query_scalar("SELECT breaker FROM breakers WHERE target = ?")
                .bind(target)
                .fetch_optional(&mut *transaction)
                .await
                .map_err(failed)?;
        let before: Breaker = json
            .map(|json| serde_json::from_str(&json))
            .transpose()
            .map_err(failed)?
            .unwrap_or_default();
        let (breaker, answer) = change(before.clone());
        if breaker != before {
            sqlx::query(
                "INSERT INTO breakers (target, breaker) VALUES (?1, ?2)
                 ON CONFLICT (target) DO UPDATE SET breaker = ?2",
            )
            .bind(target)
            .bind(serde_json::to_string(&breaker).map_err(failed)?)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)?;
        Ok((breaker, answer))
    }
}
