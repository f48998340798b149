//! The consumer of the queue: processes messages, a few at a time.

use std::sync::Arc;
use std::time::Duration;

use greenlight_core::budget::AttemptBudget;
use greenlight_core::lease::{Lease, LeaseId};
use greenlight_core::ports::{Clock, QueueError};
use greenlight_core::{Disposition, Message, process};
use greenlight_stores::SystemClock;
use greenlight_stores::sqlite::{Database, Received};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::local::LocalProcessor;

/// The most messages that are processed at the same time.
const MAX_CONCURRENCY: usize = 16;

/// The time of one attempt.
const ATTEMPT_TIME: Duration = Duration::from_secs(65);

/// Lease and visibility timeout; both outlast the attempt.
const HELD_FOR: Duration = Duration::from_secs(90);

/// How long to wait when the queue itself fails.
const QUEUE_ERROR_BACKOFF: Duration = Duration::from_secs(1);

/// The interval for messages that no signal announces: those that `greenlight dlq redrive` put
/// back.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// Processes the messages of the queue.
pub(crate) struct Consumer {
    database: Database,
    processor: Arc<LocalProcessor>,
    arrived: Arc<Notify>,
    completed: Arc<Notify>,
    running: JoinSet<()>,
}

impl Consumer {
    pub(crate) fn new(
        database: Database,
        processor: LocalProcessor,
        arrived: Arc<Notify>,
        completed: Arc<Notify>,
    ) -> Self {
        let processor = Arc::new(processor);
        Self { database, processor, arrived, completed, running: JoinSet::new() }
    }

    /// Runs until it is stopped, and then finishes the running attempts.
    pub(crate) async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() {
            let pause = match self.start_what_is_due().await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::error!(%error, "the queue cannot be read");
                    Some(QUEUE_ERROR_BACKOFF)
                }
            };
            let pause = tokio::time::sleep(pause.unwrap_or(POLL_INTERVAL).min(POLL_INTERVAL));
            tokio::select! {
                _ = stopped.changed() => {}
                () = self.arrived.notified() => {}
                Some(_) = self.running.join_next() => {}
                () = pause => {}
            }
        }
        while self.running.join_next().await.is_some() {}
    }

    /// Starts attempts for due messages, up to [`MAX_CONCURRENCY`], and returns the time until the
    /// next message is due. `None`: none is due before a message arrives or an attempt ends.
    async fn start_what_is_due(&mut self) -> Result<Option<Duration>, QueueError> {
        while self.running.try_join_next().is_some() {}
        let room = MAX_CONCURRENCY - self.running.len();
        if room == 0 {
            return Ok(None);
        }
        let now = SystemClock.now();
        let due = u32::try_from(room).unwrap_or(u32::MAX);
        let received = self.database.receive(due, now, now.plus(HELD_FOR)).await?;
        let is_full = received.len() == room;
        for message in received {
            let attempt = attempt(
                self.database.clone(),
                Arc::clone(&self.processor),
                message,
                Arc::clone(&self.completed),
            );
            self.running.spawn(attempt);
        }
        if is_full {
            return Ok(None);
        }
        let next = self.database.next_visible().await?;
        Ok(next.map(|next| next.since(SystemClock.now())))
    }
}

async fn attempt(
    database: Database,
    processor: Arc<LocalProcessor>,
    received: Received,
    completed: Arc<Notify>,
) {
    let lease_id = match LeaseId::random() {
        Ok(lease_id) => lease_id,
        Err(error) => {
            tracing::error!(%error, "no lease id could be drawn: the message is redelivered");
            return;
        }
    };
    let now = SystemClock.now();
    let message = Message {
        body: &received.body,
        receive_count: received.receive_count,
        first_received: received.first_received(),
        expires_at: None,
        budget: AttemptBudget::until(now.plus(ATTEMPT_TIME)),
        lease: Lease { id: lease_id, until: now.plus(HELD_FOR) },
    };
    let result = match process(&message, &*processor).await {
        Disposition::RetryAfter { after, .. } => {
            database.retry_after(&received, SystemClock.now(), after).await
        }
        Disposition::Done
        | Disposition::Unwanted
        | Disposition::Withdrawn(_)
        | Disposition::GrantDue
        | Disposition::SweepDue
        | Disposition::PersonLeft
        | Disposition::DeadLettered(_) => database.delete(&received).await,
    };
    if let Err(error) = result {
        tracing::warn!(%error, "the message becomes visible again after its visibility timeout");
    }
    completed.notify_waiters();
}
