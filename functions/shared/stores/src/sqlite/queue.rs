//! The queue in SQLite, with the semantics of SQS: visibility timeout, receive count.

use std::time::Duration;

use futures_util::FutureExt;
use greenlight_core::Timestamp;
use greenlight_core::explain::Explanation;
use greenlight_core::ports::{Enqueue, LedgerError, QueueError, QueueMessage};

use super::Database;

/// Hides up to `?3` messages visible at `?2` until `?1`.
const GIVE_OUT: &str =
    "UPDATE queue SET visible_at = ?1, hidden_at = ?2, in_flight = 1, receive_count = receive_count + 1,
         first_received = coalesce(first_received, ?2)
     WHERE id IN (SELECT id FROM queue WHERE visible_at <= ?2 ORDER BY visible_at, id LIMIT ?3)
     RETURNING id, body, receive_count, first_received";

/// Makes messages visible that were hidden at a future time: the clock was set back since, and
/// their visibility timeout may end years from now.
const FIND_AGAIN: &str =
    "UPDATE queue SET visible_at = 0, hidden_at = NULL, in_flight = 0 WHERE hidden_at > ?";

/// The clock correction that is ignored: smaller ones happen all the time.
const CLOCK_CORRECTION: Duration = Duration::from_mins(1);

/// A received message. Until its visibility timeout ends no other consumer receives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    id: i64,
    pub body: String,
    /// How often it was received, this time included.
    pub receive_count: u32,
    first_received_at: i64,
}

impl Received {
    /// Returns when it was first received.
    #[must_use]
    pub const fn first_received(&self) -> Timestamp {
        Timestamp::from_millis(self.first_received_at)
    }
}

pub(super) fn queue_error(error: &sqlx::Error) -> QueueError {
    QueueError(Explanation::quoted(error.to_string()))
}

fn not_written(LedgerError(cause): LedgerError) -> QueueError {
    QueueError(cause)
}

impl Enqueue for Database {
    async fn enqueue(&self, message: &impl QueueMessage) -> Result<(), QueueError> {
        self.group_commit.message(message.body()).await.map_err(not_written)
    }
}

impl Database {
    /// Receives up to `at_most` messages that are visible at `now`, and hides them until
    /// `hidden_until`.
    ///
    /// # Errors
    /// [`QueueError`] when SQLite returns an error.
    pub async fn receive(
        &self,
        at_most: u32,
        now: Timestamp,
        hidden_until: Timestamp,
    ) -> Result<Vec<Received>, QueueError> {
        let rows: Vec<(i64, String, u32, i64)> = self
            .group_commit
            .write(move |connection| {
                async move {
                    sqlx::query(FIND_AGAIN)
                        .bind(now.plus(CLOCK_CORRECTION).as_millis())
                        .execute(&mut *connection)
                        .await
                        .map_err(super::failed)?;
                    let given_out = sqlx::query_as(GIVE_OUT)
                        .bind(hidden_until.as_millis())
                        .bind(now.as_millis())
                        .bind(at_most)
                        .fetch_all(connection);
                    given_out.await.map_err(super::failed)
                }
                .boxed()
            })
            .await
            .map_err(not_written)?;
        let received = |(id, body, receive_count, first_received_at)| Received {
            id,
            body,
            receive_count,
            first_received_at,
        };
        Ok(rows.into_iter().map(received).collect())
    }

    /// Deletes a message, unless it was received again since.
    ///
    /// # Errors
    /// [`QueueError`] when SQLite returns an error.
    pub async fn delete(&self, message: &Received) -> Result<(), QueueError> {
        let (id, receive_count) = (message.id, message.receive_count);
        self.group_commit
            .write(move |connection| {
                let deleted = sqlx::query("DELETE FROM queue WHERE id = ? AND receive_count = ?")
                    .bind(id)
                    .bind(receive_count)
                    .execute(connection);
                async { deleted.await.map(drop).map_err(super::failed) }.boxed()
            })
            .await
            .map_err(not_written)
    }

    /// Makes a message visible `after` from `now`, unless it was received again since.
    ///
    /// # Errors
    /// [`QueueError`] when SQLite returns an error.
    pub async fn retry_after(
        &self,
        message: &Received,
        now: Timestamp,
        after: Duration,
    ) -> Result<(), QueueError> {
        let (id, receive_count) = (message.id, message.receive_count);
        self.group_commit
            .write(move |connection| {
                let changed = sqlx::query(
                "UPDATE queue SET visible_at = ?, hidden_at = ?, in_flight = 0 WHERE id = ? AND receive_count = ?",
            )
            .bind(now.plus(after).as_millis())
            .bind(now.as_millis())
            .bind(id)
            .bind(receive_count)
            .execute(connection);
                async { changed.await.map(drop).map_err(super::failed) }.boxed()
            })
            .await
            .map_err(not_written)
    }

    /// Returns when the next message becomes visible; `None` when the queue is empty.
    ///
    /// # Errors
    /// [`QueueError`] when SQLite returns an error.
    pub async fn next_visible(&self) -> Result<Option<Timestamp>, QueueError> {
        let next: Option<i64> = sqlx::query_scalar("SELECT min(visible_at) FROM queue")
            .fetch_one(&self.pool)
            .await
            .map_err(|error| queue_error(&error))?;
        Ok(next.map(Timestamp::from_millis))
    }
}
