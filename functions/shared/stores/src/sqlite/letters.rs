//! The dead-letter queue in SQLite.

use greenlight_core::audit::{LastFailure, StoredDeadLetter};
use greenlight_core::explain::Explanation;
use greenlight_core::operator::{DeadLetterQueue, HeldDeadLetter, HeldDeadLetters, StoreFuture};
use greenlight_core::ports::{DeadLetter, QueueError, SendDeadLetter};
use greenlight_core::{Request, Timestamp};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::Database;
use super::queue::queue_error;

impl SendDeadLetter for Database {
    async fn send_dead_letter(&self, letter: &DeadLetter<'_>) -> Result<(), QueueError> {
        sqlx::query(
            "INSERT INTO dead_letters
                 (body, class, reason, cause, receive_count, failed_at, target, first_received)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(letter.body)
        .bind(letter.reason.class.as_str())
        .bind(&letter.reason.cause.text)
        .bind(letter.reason.cause.data())
        .bind(letter.receive_count)
        .bind(letter.failed_at.as_millis())
        .bind(&letter.reason.target)
        .bind(letter.first_received.as_millis())
        .execute(&self.pool)
        .await
        .map_err(|error| queue_error(&error))?;
        Ok(())
    }
}

/// Parses a row of the table `dead_letters`.
fn letter(row: &SqliteRow) -> Result<StoredDeadLetter, sqlx::Error> {
    let moment = Timestamp::from_millis;
    let last_failure = LastFailure {
        class: row.try_get("class")?,
        cause: Explanation::stored(
            row.try_get("reason")?,
            row.try_get::<Option<&str>, _>("cause")?,
        ),
        target: row.try_get("target")?,
        at: moment(row.try_get("failed_at")?),
    };
    Ok(StoredDeadLetter {
        id: row.try_get::<i64, _>("id")?.to_string(),
        body: row.try_get("body")?,
        last_failure: Some(last_failure),
        receive_count: row.try_get("receive_count")?,
        first_received: row.try_get::<Option<i64>, _>("first_received")?.map(moment),
    })
}

impl Database {
    /// Returns the dead letters, oldest first.
    ///
    /// # Errors
    /// [`QueueError`] when SQLite returns an error.
    pub async fn dead_letters(&self) -> Result<Vec<StoredDeadLetter>, QueueError> {
        let rows = sqlx::query(
            "SELECT id, body, class, reason, cause, target, receive_count, failed_at, first_received
             FROM dead_letters ORDER BY id",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(|error| queue_error(&error))?;
        rows.iter().map(letter).collect::<Result<_, _>>().map_err(|error| queue_error(&error))
    }

    /// Moves the message in one transaction.
    async fn move_to_queue(&self, letter: &str) -> Result<bool, QueueError> {
        let mut transaction =
            self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(|error| queue_error(&error))?;
        let body: Option<String> =
            sqlx::query_scalar("DELETE FROM dead_letters WHERE id = ? RETURNING body")
                .bind(letter)
                .fetch_optional(&mut *transaction)
                .await
                .map_err(|error| queue_error(&error))?;
        let Some(body) = body else {
            return Ok(false);
        };
        sqlx::query("INSERT INTO queue (body, visible_at) VALUES (?, 0)")
            .bind(body)
            .execute(&mut *transaction)
            .await
            .map_err(|error| queue_error(&error))?;
        transaction.commit().await.map_err(|error| queue_error(&error))?;
        Ok(true)
    }

    async fn move_to_discarded(
        &self,
        letter: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool, QueueError> {
        let mut transaction =
            self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(|error| queue_error(&error))?;
        let body: Option<String> = sqlx::query_scalar("SELECT body FROM dead_letters WHERE id = ?")
            .bind(letter)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(|error| queue_error(&error))?;
        let kept = sqlx::query(
            "INSERT INTO discarded_dead_letters (id, body, class, reason, cause, receive_count,
                 failed_at, target, first_received, discard_reason, discarded_at)
             SELECT id, ?4, class, reason, cause, receive_count, failed_at, target,
                 first_received, ?2, ?3
             FROM dead_letters WHERE id = ?1",
        )
        .bind(letter)
        .bind(reason)
        .bind(now.as_millis())
        .bind(body.as_deref().map(Request::without_content))
        .execute(&mut *transaction)
        .await
        .map_err(|error| queue_error(&error))?;
        sqlx::query("DELETE FROM dead_letters WHERE id = ?")
            .bind(letter)
            .execute(&mut *transaction)
            .await
            .map_err(|error| queue_error(&error))?;
        transaction.commit().await.map_err(|error| queue_error(&error))?;
        Ok(kept.rows_affected() > 0)
    }
}

/// Each dead letter is moved in one transaction, so that none needs to be held.
impl DeadLetterQueue for Database {
    fn hold(&self, _: Timestamp) -> StoreFuture<'_, HeldDeadLetters> {
        Box::pin(async move {
            let letters = self.dead_letters().await?.into_iter();
            let held = letters.map(|letter| HeldDeadLetter { letter, receipt: String::new() });
            Ok(HeldDeadLetters { held: held.collect(), elsewhere: None })
        })
    }

    fn hold_longer<'a>(&'a self, _: &'a [HeldDeadLetter]) -> StoreFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn give_back<'a>(&'a self, _: &'a [HeldDeadLetter]) -> StoreFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn redrive<'a>(&'a self, letter: &'a HeldDeadLetter) -> StoreFuture<'a, bool> {
        Box::pin(async move { Ok(self.move_to_queue(&letter.letter.id).await?) })
    }

    fn discard<'a>(
        &'a self,
        letter: &'a HeldDeadLetter,
        reason: &'a str,
        now: Timestamp,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move { Ok(self.move_to_discarded(&letter.letter.id, reason, now).await?) })
    }
}
