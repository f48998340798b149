//! The status of queue, dead-letter queue and targets.

use std::collections::BTreeMap;
use std::time::Duration;

use greenlight_core::audit::{RequestHistory, RequestStatus};
use greenlight_core::breaker::Breaker;
use greenlight_core::operator::{AuditReader, QueueReader, QueueStatus, StoreError, Unwanted};
use greenlight_core::sweep::{Sweep, SweepKey};
use greenlight_core::{Class, Timestamp};

/// The period of [`SystemStatus::last_hour`].
const HOUR: Duration = Duration::from_hours(1);

/// The maximum number of requests that are counted as waiting for their next attempt.
pub const MAX_WAITING: usize = 1_000;

/// The most definitions that no flow wants.
const MAX_UNWANTED: usize = 20;

/// The status of the whole system.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SystemStatus {
    /// The depth of the queue and the dead-letter queue. Messages to be retried count as waiting.
    pub queue: QueueStatus,
    /// Requests that wait for their next attempt, by the class of their last failure.
    pub waiting_by_class: BTreeMap<String, u64>,
    /// Unreachable office systems, with the number of requests that wait for each.
    pub unreachable_sources: BTreeMap<String, u64>,
    /// The circuit breaker of each target that ever failed.
    pub breakers: BTreeMap<String, Breaker>,
    /// The decisions that no flow wanted, the latest first.
    pub unwanted: Vec<Unwanted>,
    /// The sweeps over each approval definition.
    pub sweeps: Vec<(SweepKey, Sweep)>,
    /// Requests that were first claimed within the last hour, by status.
    pub last_hour: BTreeMap<RequestStatus, u64>,
}

/// Reads the status of the system.
///
/// # Errors
/// [`StoreError`] when a store does not answer.
pub async fn read_status(
    audit: &dyn AuditReader,
    queue: &dyn QueueReader,
    now: Timestamp,
) -> Result<SystemStatus, StoreError> {
    let (queue, last_hour, breakers, unwanted, sweeps, waiting) = futures_util::try_join!(
        queue.queue_status(now),
        audit.count_requests(now.minus(HOUR), now),
        audit.breakers(),
        audit.unwanted(MAX_UNWANTED),
        audit.sweeps(),
        audit.waiting_requests(MAX_WAITING, now),
    )?;
    let mut status = SystemStatus {
        queue: count_retries_as_waiting(queue, &waiting, now),
        breakers,
        unwanted,
        sweeps,
        last_hour,
        ..SystemStatus::default()
    };
    for history in &waiting {
        let class = history.last_failure.as_ref().map_or("unknown", |it| it.class.as_str());
        *status.waiting_by_class.entry(class.to_owned()).or_default() += 1;
        if class == Class::SourceUnavailable.as_str()
            && let Some([source, ..]) = history.key_parts()
        {
            *status.unreachable_sources.entry(source.to_owned()).or_default() += 1;
        }
    }
    Ok(status)
}

/// SQS counts messages to be retried as in flight, like those being processed.
fn count_retries_as_waiting(
    mut queue: QueueStatus,
    waiting: &[RequestHistory],
    now: Timestamp,
) -> QueueStatus {
    if queue.counts_retries_as_in_flight {
        let is_hidden = |it: &&RequestHistory| it.next_attempt(now).is_some_and(|next| next > now);
        let hidden = (waiting.iter().filter(is_hidden).count() as u64).min(queue.in_flight);
        queue.waiting += hidden;
        queue.in_flight -= hidden;
        queue.counts_retries_as_in_flight = false;
    }
    queue
}
