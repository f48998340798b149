//! The timer: of the ticks, and of what the ledger no longer keeps.

use std::time::Duration;

use greenlight_core::flow::Flows;
use greenlight_core::lease::LeaseId;
use greenlight_core::metrics::Metrics;
use greenlight_core::ports::{Clock, KeepSchedule};
use greenlight_core::schedule::Schedule;
use greenlight_core::tick::{Scheduler, tick};
use greenlight_runtime::HttpSources;
use greenlight_stores::SystemClock;
use greenlight_stores::sqlite::Database;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::local::SignallingQueue;

/// The interval at which expired records are deleted.
const PURGE_EVERY: Duration = Duration::from_hours(1);

/// Enqueues what is due, and deletes what has expired, from time to time.
pub(crate) struct Timer {
    pub(crate) database: Database,
    pub(crate) sources: HttpSources,
    pub(crate) queue: SignallingQueue,
    pub(crate) flows: Flows,
    pub(crate) metrics: Metrics,
    pub(crate) every: Duration,
}

impl Timer {
    /// Runs until it is stopped; the first tick and the first purge are at once.
    pub(crate) async fn run(self, mut stopped: watch::Receiver<bool>) {
        self.check_names_again().await;
        let mut interval = tokio::time::interval(self.every);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut purges = tokio::time::interval(PURGE_EVERY);
        purges.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !*stopped.borrow() {
            tokio::select! {
                _ = stopped.changed() => {}
                _ = interval.tick() => self.tick().await,
                _ = purges.tick() => self.purge().await,
            }
        }
    }

    /// The first tick after a start checks the names, also when they are as before.
    async fn check_names_again(&self) {
        let forget = |it: Schedule| (Schedule { names: None, ..it }, ());
        if let Err(error) = self.database.change_schedule(forget).await {
            tracing::error!(%error, "names are checked later");
        }
    }

    async fn purge(&self) {
        if let Err(error) = self.database.purge(SystemClock.now()).await {
            tracing::error!(%error, "expired records were not deleted: it is tried again in an hour");
        }
    }

    async fn tick(&self) {
        let lease_id = match LeaseId::random() {
            Ok(lease_id) => lease_id,
            Err(error) => {
                tracing::error!(%error, "no lease id could be drawn: the next tick tries again");
                return;
            }
        };
        let Self { database: ledger, sources: source, queue, flows, metrics, .. } = self;
        let clock = &SystemClock;
        let scheduler = Scheduler { ledger, source, queue, clock, flows, metrics };
        if let Err(error) = tick(&scheduler, &lease_id).await {
            tracing::error!(%error, "what is due could not be enqueued: the next tick tries again");
        }
    }
}
