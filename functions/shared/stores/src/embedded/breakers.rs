//! The circuit breakers of one machine.

use greenlight_core::Timestamp;
use greenlight_core::breaker::{Breaker, Health, Pass};
use greenlight_core::ledger::Owner;
use greenlight_core::ports::{KeepBreakers, LedgerError};

use super::Database;
use super::ledger::failed;

impl Database {
    /// Changes the breaker of `target` inside a transaction.
    async fn change_breaker<T>(
        &self,
        target: &str,
        change: impl FnOnce(Breaker) -> (Breaker, T),
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

impl KeepBreakers for Database {
    async fn look(&self, target: &str) -> Result<Breaker, LedgerError> {
        Ok(self.change_breaker(target, |breaker| (breaker, ())).await?.0)
    }

    async fn enter(
        &self,
        target: &str,
        owner: &Owner,
        now: Timestamp,
    ) -> Result<(Breaker, Pass), LedgerError> {
        self.change_breaker(target, |breaker| breaker.enter(owner, now)).await
    }

    async fn report(
        &self,
        target: &str,
        owner: &Owner,
        health: Health,
        now: Timestamp,
    ) -> Result<Breaker, LedgerError> {
        let change = |breaker: Breaker| (breaker.report(owner, health, now), ());
        Ok(self.change_breaker(target, change).await?.0)
    }
}
