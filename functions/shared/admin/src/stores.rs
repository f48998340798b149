//! The stores of one deployment, as an operator's commands and page use them.

use std::sync::Arc;

use greenlight_core::Timestamp;
use greenlight_core::operator::{
    ActStore, AuditReader, BlockStore, DeadLetterQueue, GrantStore, PersonStore, QueueReader,
    RequestStore, StoreError,
};

use crate::status::{SystemStatus, read_status};

/// The stores of a data folder or of a stack, by capability.
#[derive(Clone, Debug)]
pub struct Stores {
    /// The requests in the ledger.
    pub audit: Arc<dyn AuditReader>,
    /// The status of the queues.
    pub queue: Arc<dyn QueueReader>,
    /// The dead-letter queue.
    pub dead_letters: Arc<dyn DeadLetterQueue>,
    /// The grants, by target.
    pub grants: Arc<dyn GrantStore>,
    /// The blocked subjects.
    pub blocks: Arc<dyn BlockStore>,
    /// What operators did.
    pub acts: Arc<dyn ActStore>,
    /// The identifiers of people.
    pub persons: Arc<dyn PersonStore>,
    /// Starts requests.
    pub requests: Arc<dyn RequestStore>,
}

impl Stores {
    /// A single store with all capabilities, such as a database.
    #[must_use]
    pub fn of<S>(store: S) -> Self
    where
        S: AuditReader
            + QueueReader
            + DeadLetterQueue
            + GrantStore
            + BlockStore
            + ActStore
            + PersonStore
            + RequestStore
            + 'static,
    {
        let store = Arc::new(store);
        Self {
            audit: Arc::clone(&store) as _,
            queue: Arc::clone(&store) as _,
            dead_letters: Arc::clone(&store) as _,
            grants: Arc::clone(&store) as _,
            blocks: Arc::clone(&store) as _,
            acts: Arc::clone(&store) as _,
            persons: Arc::clone(&store) as _,
            requests: store,
        }
    }

    /// The status of the queues, the waiting requests, and the targets.
    ///
    /// # Errors
    /// [`StoreError`] names the store that did not answer.
    pub async fn status(&self, now: Timestamp) -> Result<SystemStatus, StoreError> {
        read_status(&*self.audit, &*self.queue, now).await
    }
}
