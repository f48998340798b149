//! Depth of the queues in SQLite, and adding requests for an operator.

use greenlight_core::grant::GrantKey;
use greenlight_core::ledger::ResetError;
use greenlight_core::operator::{QueueReader, QueueStatus, RequestStore, StoreFuture};
use greenlight_core::ports::{Enqueue, RecordReplay, ResetRequest};
use greenlight_core::queued::{GrantDue, Queued};
use greenlight_core::{Request, RequestKey, Timestamp};

use super::Database;
use super::queue::queue_error;

impl QueueReader for Database {
    /// The age of the oldest message counts from the receipt of its event; a redriven message
    /// counts as new.
    fn queue_status(&self, now: Timestamp) -> StoreFuture<'_, QueueStatus> {
        Box::pin(async move {
            let status = self.read_status(now).await;
            Ok(status.map_err(|error| queue_error(&error))?)
        })
    }
}

impl Database {
    async fn read_status(&self, now: Timestamp) -> Result<QueueStatus, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let counts: Vec<(bool, i64)> =
            sqlx::query_as("SELECT in_flight, count(*) FROM queue GROUP BY in_flight")
                .fetch_all(&mut *transaction)
                .await?;
        let oldest: Option<String> =
            sqlx::query_scalar("SELECT body FROM queue ORDER BY id LIMIT 1")
                .fetch_optional(&mut *transaction)
                .await?;
        let letters: Vec<(String, i64)> =
            sqlx::query_as("SELECT class, count(*) FROM dead_letters GROUP BY class")
                .fetch_all(&mut *transaction)
                .await?;
        transaction.commit().await?;
        let count = |wanted: bool| {
            let found = counts.iter().find(|(in_flight, _)| *in_flight == wanted);
            found.map_or(0, |(_, count)| count.unsigned_abs())
        };
        let oldest = oldest.and_then(|body| Queued::parse(&body).ok());
        let letters = letters.into_iter().map(|(class, n)| (class, n.unsigned_abs()));
        let dead_letters_by_class = letters.collect::<std::collections::BTreeMap<_, _>>();
        Ok(QueueStatus {
            is_served: Some(self.is_served()),
            waiting: count(false),
            in_flight: count(true),
            counts_retries_as_in_flight: false,
            oldest: oldest.map(|message| now.since(message.made_at())),
            dead_letters: dead_letters_by_class.values().sum(),
            dead_letters_by_class,
        })
    }
}

impl RequestStore for Database {
    fn enqueue_replay<'a>(&'a self, request: &'a Request, now: Timestamp) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.record_replay(request, now).await?;
            Ok(self.enqueue(request).await?)
        })
    }

    fn enqueue_due<'a>(&'a self, key: &'a GrantKey, now: Timestamp) -> StoreFuture<'a, ()> {
        Box::pin(async move { Ok(self.enqueue(&GrantDue::new(key.clone(), now)).await?) })
    }

    fn reset<'a>(
        &'a self,
        request: &'a RequestKey,
        attempt: u32,
        now: Timestamp,
    ) -> StoreFuture<'a, Result<(), ResetError>> {
        Box::pin(async move { Ok(self.reset_request(request, attempt, now).await?) })
    }
}
