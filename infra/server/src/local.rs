//! The ports of the use cases on one machine.

use std::sync::Arc;

use greenlight_core::ports::{Enqueue, Ports, QueueError, QueueMessage};
use greenlight_core::{Processor, Receiver};
use greenlight_runtime::{HttpSources, HttpTargets, SharedSecret};
use greenlight_stores::sqlite::Database;
use greenlight_stores::{SecretFile, SystemClock};
use tokio::sync::Notify;

type Secret = SharedSecret<SecretFile>;
pub(crate) type LocalReceiver = Receiver<Secret, SignallingQueue, SystemClock>;
pub(crate) type LocalProcessor = Processor<OnOneMachine>;

/// The ports on one machine: SQLite, and the secret in a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OnOneMachine;

impl Ports for OnOneMachine {
    type Ledger = Database;
    type Source = HttpSources;
    type Targets = HttpTargets<Secret>;
    type Queue = SignallingQueue;
    type DeadLetters = Database;
    type Clock = SystemClock;
}

/// The queue, and a signal to its consumer.
#[derive(Clone, Debug)]
pub(crate) struct SignallingQueue {
    database: Database,
    arrived: Arc<Notify>,
}

impl SignallingQueue {
    pub(crate) const fn new(database: Database, arrived: Arc<Notify>) -> Self {
        Self { database, arrived }
    }
}

impl Enqueue for SignallingQueue {
    async fn enqueue(&self, message: &impl QueueMessage) -> Result<(), QueueError> {
        self.database.enqueue(message).await?;
        self.arrived.notify_one();
        Ok(())
    }
}
