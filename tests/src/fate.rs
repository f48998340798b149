//! The death of a worker at a chosen call of a port.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Kills the worker that reaches the chosen point.
#[derive(Clone, Debug)]
pub struct Fate {
    reached: Arc<AtomicUsize>,
    /// The number of the point, from 1; 0 kills no worker.
    fatal: usize,
    killed: Arc<Notify>,
}

impl Fate {
    /// With the number of the fatal point.
    #[must_use]
    pub fn fatal(point: usize) -> Self {
        Self { reached: Arc::default(), fatal: point, killed: Arc::default() }
    }

    /// The number of points that were reached.
    #[must_use]
    pub fn reached(&self) -> usize {
        self.reached.load(Ordering::SeqCst)
    }

    /// Returns when the worker was killed.
    pub async fn killed(&self) {
        self.killed.notified().await;
    }

    /// A point at which the worker can die.
    pub async fn point(&self) {
        if self.reached.fetch_add(1, Ordering::SeqCst) + 1 == self.fatal {
            self.killed.notify_one();
            std::future::pending::<()>().await;
        }
    }
}
