//! The third use case: a tick enqueues what is due.
//!
//! A tick does nothing else. What is due stands in the ledger: nothing about a grant is in a
//! scheduler, so that a rename, a restore or a week without greenlight loses nothing.

#![warn(missing_docs)]

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;

use crate::Timestamp;
use crate::flow::Flows;
use crate::grant::{GrantKey, GrantRecord, Postponed};
use crate::lease::{Lease, LeaseId};
use crate::metrics::{Metric, Metrics};
use crate::names::names_of;
use crate::ports::{
    Clock, Enqueue, FindDueGrants, FindNamesInUse, KeepGrants, KeepSchedule, KeepSweeps,
    LedgerError, ListInstances,
};
use crate::queued::{GrantDue, SweepDue};
use crate::schedule::Schedule;
use crate::sweep::{Sweep, SweepKey};

/// The interval of the ticks: of the rule in template.yaml, and of the timer of `serve`.
pub const TICK_EVERY: Duration = Duration::from_mins(1);

/// The most grants of one tick. What ended while greenlight was off ends at this rate.
pub const MOST_PER_TICK: usize = 200;

/// The lease of a tick: another one does not begin before.
const TICK_LEASE: Duration = Duration::from_secs(50);

/// A grant is due again so long after it was enqueued, unless its message changed that: longer than
/// the lease of a worker, so that a worker that died is noticed, and its successor can begin.
pub(crate) const MESSAGE_LOST_AFTER: Duration = Duration::from_mins(10);

/// The grants that a tick enqueues at the same time.
const CONCURRENCY: usize = 16;

/// The result of a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticked {
    /// The grants that were enqueued, or were not due any more.
    pub enqueued: usize,
    /// Those that could not be: the next tick tries again.
    pub failed: usize,
}

/// The dependencies of [`tick`].
#[derive(Debug)]
pub struct Scheduler<'a, L, S, Q, C> {
    /// The ledger.
    pub ledger: &'a L,
    /// The sources.
    pub source: &'a S,
    /// The queue of the worker.
    pub queue: &'a Q,
    /// The clock.
    pub clock: &'a C,
    /// The flows that the host runs.
    pub flows: &'a Flows,
    /// The recorder of metrics.
    pub metrics: &'a Metrics,
}

/// Enqueues a message for each grant that is due, up to [`MOST_PER_TICK`], and for each sweep.
/// Nothing happens while another tick is under way.
///
/// # Errors
/// [`LedgerError`] when the ledger cannot be read or written: the next tick does the same.
pub async fn tick<L, S, Q, C>(
    scheduler: &Scheduler<'_, L, S, Q, C>,
    lease_id: &LeaseId,
) -> Result<Ticked, LedgerError>
where
    L: FindDueGrants + FindNamesInUse + KeepGrants + KeepSchedule + KeepSweeps,
    S: ListInstances,
    Q: Enqueue,
    C: Clock,
{
    let Scheduler { ledger, clock, flows, .. } = scheduler;
    let now = clock.now();
    let lease = Lease { id: lease_id.clone(), until: now.plus(TICK_LEASE) };
    let (schedule, is_acquired) =
        ledger.change_schedule(|it: Schedule| it.begin(&lease, now)).await?;
    if !is_acquired {
        return Ok(Ticked::default());
    }
    let due = ledger.due_grants(now, MOST_PER_TICK).await?;
    let mut ticked = Ticked::default();
    let mut enqueued =
        stream::iter(due).map(|key| scheduler.enqueue(key)).buffer_unordered(CONCURRENCY);
    while let Some(is_enqueued) = enqueued.next().await {
        if is_enqueued {
            ticked.enqueued += 1;
        } else {
            ticked.failed += 1;
        }
    }
    // Without it an alarm is raised: nothing that is due comes to its end.
    if ticked.enqueued > 0 || ticked.failed == 0 {
        scheduler.metrics.measure(&Metric::once("Ticks", &[]));
    }
    let names = names_of(flows);
    let is_checked = schedule.must_check(&names, now) && scheduler.check_names().await;
    let wanted = scheduler.sweepable();
    let swept = scheduler.enqueue_sweeps(&schedule, &wanted, now).await;
    let ended_at = clock.now();
    let end = |it: Schedule| {
        let it = if is_checked { it.checked(names.clone(), now) } else { it };
        (it.swept(&wanted, &swept).end(lease_id, ended_at), ())
    };
    ledger.change_schedule(end).await?;
    Ok(ticked)
}

impl<L: KeepSweeps, S: ListInstances, Q: Enqueue, C> Scheduler<'_, L, S, Q, C> {
    /// The approval definitions of flows whose source can list.
    fn sweepable(&self) -> Vec<SweepKey> {
        let keys = self.flows.flows.iter().map(|flow| {
            let (source, definition_id) = (flow.source.clone(), flow.definition_id.clone());
            SweepKey { source, definition_id }
        });
        keys.filter(|key| self.source.pace(&key.source).is_some()).collect()
    }

    /// Enqueues the sweeps that are due; when each was enqueued. A message that is lost is made up
    /// for by the next one.
    async fn enqueue_sweeps(
        &self,
        schedule: &Schedule,
        wanted: &[SweepKey],
        now: Timestamp,
    ) -> Vec<(SweepKey, Timestamp)> {
        let mut enqueued = Vec::new();
        for key in wanted {
            let last = schedule.sweeps.get(&key.as_text()).copied();
            // A tick is not always as late as the one before.
            let is_due = |every: Duration| {
                last.is_none_or(|last| now.plus(TICK_EVERY / 2) >= last.plus(every))
            };
            if !self.source.pace(&key.source).is_some_and(|pace| is_due(pace.every)) {
                continue;
            }
            let (source, definition_id) = (&key.source, &key.definition_id);
            if last.is_none() {
                // Before it is in the schedule: what ended without a flow is not carried out.
                let renew = |_: Sweep| (Sweep::new(now), ());
                if let Err(error) = self.ledger.change_sweep(key, renew).await {
                    tracing::error!(source, definition_id, %error, "sweeps did not begin");
                    continue;
                }
            }
            let due = SweepDue::new(key.clone(), now);
            match self.queue.enqueue(&due).await {
                Ok(()) => enqueued.push((key.clone(), now)),
                Err(error) => {
                    tracing::error!(source, definition_id, %error, "a sweep was not enqueued");
                    // The record began, and does not begin again: the next tick enqueues it.
                    enqueued.push((key.clone(), last.unwrap_or_default()));
                }
            }
        }
        enqueued
    }
}

impl<L: FindNamesInUse, S, Q, C> Scheduler<'_, L, S, Q, C> {
    /// Looks whether the flows have every name that held access refers to: what is missing raises
    /// an alarm. Whether that could be done; else the next tick does it.
    async fn check_names(&self) -> bool {
        let used = match self.ledger.names_in_use().await {
            Ok(used) => used,
            Err(error) => {
                tracing::error!(%error, "the names in flows.toml were not checked");
                return false;
            }
        };
        for missing in used.missing_in(self.flows) {
            tracing::error!("{missing}");
            self.metrics.measure(&Metric::once("NamesMissing", &[]));
        }
        true
    }
}

impl<L: KeepGrants, S, Q: Enqueue, C: Clock> Scheduler<'_, L, S, Q, C> {
    /// Postpones first: a grant whose record cannot be written is not enqueued again and again. A
    /// message that is lost between the two is made up for when the grant is due again.
    async fn enqueue(&self, key: GrantKey) -> bool {
        let (now, target) = (self.clock.now(), key.target.as_str());
        let until = now.plus(MESSAGE_LOST_AFTER);
        let postpone = |record: GrantRecord| record.postpone(now, until);
        let postponed = match self.ledger.change_grant(&key, postpone).await {
            Ok((_, Postponed::NotDue)) => return true,
            Ok((_, postponed)) => postponed,
            Err(error) => {
                tracing::error!(target, %error, "a grant that is due cannot be read or written");
                return false;
            }
        };
        if postponed == Postponed::Overdue {
            tracing::error!(target, "the removal of access is overdue");
            self.metrics.measure(&Metric::once("RemovalsOverdue", &[("target", target)]));
        }
        let Err(error) = self.queue.enqueue(&GrantDue::new(key.clone(), now)).await else {
            return true;
        };
        tracing::error!(target, %error, "a grant that is due was not enqueued");
        let resume = |record: GrantRecord| (record.resume(until), ());
        if let Err(error) = self.ledger.change_grant(&key, resume).await {
            tracing::error!(target, %error, "a grant is due again in some minutes");
        }
        false
    }
}
