//! What operators did, and the subjects that they blocked, in SQLite.

use greenlight_core::Timestamp;
use greenlight_core::act::Act;
use greenlight_core::block::Block;
use greenlight_core::operator::{ActStore, BlockStore, StoreFuture};
use greenlight_core::ports::{KeepBlocks, LedgerError};
use sqlx::Row;

use super::{Database, failed};

impl KeepBlocks for Database {
    async fn block_of(&self, subject: &str, now: Timestamp) -> Result<Option<Block>, LedgerError> {
        let found: Option<String> =
            sqlx::query_scalar("SELECT block FROM blocks WHERE subject = ?")
                .bind(subject)
                .fetch_optional(&self.pool)
                .await
                .map_err(failed)?;
        let block = found.map(|json| serde_json::from_str::<Block>(&json)).transpose();
        Ok(block.map_err(failed)?.filter(|block| block.is_in_force(now)))
    }
}

impl BlockStore for Database {
    fn set_block<'a>(
        &'a self,
        subject: &'a str,
        block: Option<&'a Block>,
        _: Timestamp,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let query = match block {
                None => sqlx::query("DELETE FROM blocks WHERE subject = ?").bind(subject),
                Some(block) => {
                    let json = serde_json::to_string(block).map_err(failed)?;
                    sqlx::query(
                        "INSERT OR REPLACE INTO blocks (subject, block, since) VALUES (?, ?, ?)",
                    )
                    .bind(subject)
                    .bind(json)
                    .bind(block.since.as_millis())
                }
            };
            query.execute(&self.pool).await.map_err(failed)?;
            Ok(())
        })
    }

    fn blocks(&self, at_most: usize) -> StoreFuture<'_, Vec<(String, Block)>> {
        Box::pin(async move {
            let rows: Vec<(String, String)> =
                sqlx::query_as("SELECT subject, block FROM blocks ORDER BY since DESC LIMIT ?")
                    .bind(i64::try_from(at_most).unwrap_or(i64::MAX))
                    .fetch_all(&self.pool)
                    .await
                    .map_err(failed)?;
            let block = |(subject, json): (String, String)| {
                Ok((subject, serde_json::from_str(&json).map_err(failed)?))
            };
            Ok(rows.into_iter().map(block).collect::<Result<_, LedgerError>>()?)
        })
    }
}

impl ActStore for Database {
    fn record_act<'a>(&'a self, act: &'a Act) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let json = serde_json::to_string(act).map_err(failed)?;
            sqlx::query("INSERT INTO acts (id, at, act, expires_at) VALUES (?, ?, ?, ?)")
                .bind(&act.id)
                .bind(act.at.as_millis())
                .bind(json)
                .bind(act.at.plus(self.retention).as_millis())
                .execute(&self.pool)
                .await
                .map_err(failed)?;
            Ok(())
        })
    }

    fn acts(&self, at_most: usize, before: Timestamp) -> StoreFuture<'_, Vec<Act>> {
        Box::pin(async move {
            let rows = sqlx::query("SELECT act FROM acts WHERE at < ? ORDER BY at DESC LIMIT ?")
                .bind(before.as_millis())
                .bind(i64::try_from(at_most).unwrap_or(i64::MAX))
                .fetch_all(&self.pool)
                .await
                .map_err(failed)?;
            let act = |json: String| serde_json::from_str(&json).map_err(failed);
            let acts = rows.iter().map(|row| act(row.try_get(0).map_err(failed)?));
            Ok(acts.collect::<Result<_, LedgerError>>()?)
        })
    }
}
