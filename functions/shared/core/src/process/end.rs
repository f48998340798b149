//! Ends an attempt, in the ledger and in the queue.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};

use super::error::WorkerError;
use super::{AttemptError, Disposition, Job, Message, Processor};
use crate::audit::AttemptRecord;
use crate::failure::{Class, Failure, Reason};
use crate::grant::GrantKey;
use crate::ledger::Completion;
use crate::ports::{
    Clock, Complete, DeadLetter, FileAudit, LedgerError, Ports, QueueError, SendDeadLetter,
};
use crate::request::Request;
use crate::retry::{RetryPolicy, RetryState, until_hard_stop};
use crate::time::Timestamp;

/// The end of an attempt that has work left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The message becomes visible again `after` from now.
    Retry { after: Duration, reason: Reason },
    /// The message goes to the dead-letter queue.
    GiveUp { reason: Reason },
    /// The message is deleted: what is left of a withdrawn approval is not wanted.
    Withdrawn { reason: Reason },
}

/// Jitter on top of the time for which a circuit stays open: requests that wait for one target must
/// not all become visible at the same moment.
const CIRCUIT_JITTER: Duration = Duration::from_secs(10);

/// Time limit for filing the attempt record: it uses the last seconds of the attempt.
const FILE_TIMEOUT: Duration = Duration::from_secs(2);

impl<P: Ports> Processor<P> {
    /// Ends the attempt in the ledger.
    pub(super) async fn complete(
        &self,
        job: &Job<'_>,
        result: Result<(), AttemptError>,
        attempt_record: &AttemptRecord,
        failed: BTreeSet<String>,
    ) -> Result<(), AttemptError> {
        let Job { request, message, claimed, spent, .. } = *job;
        let now = self.clock.now();
        let waits_for_quota = matches!(&result, Err(AttemptError::Failed(failure))
            if failure.reason().class == Class::QuotaUsedUp);
        let state = |wait: Duration, gave_up: bool| RetryState {
            attempt: claimed.attempt,
            ended_at: now,
            wait_ms: millis(wait),
            spent_ms: millis(spent),
            gave_up,
            is_free: waits_for_quota,
            failed: if gave_up { with_pending(failed, job) } else { failed },
            pending: if gave_up { BTreeSet::new() } else { job.pending.all() },
        };
        let (completion, result) = match result {
            Ok(()) => (Completion::Done, Ok(())),
            Err(error @ (AttemptError::LeaseLost | AttemptError::Completed(_))) => {
                return Err(error);
            }
            Err(AttemptError::Failed(failure)) => {
                let end = self.end(failure, message, spent);
                let completion = match end.clone() {
                    End::Retry { after, reason } => {
                        Completion::Released { reason, retry: state(after, false) }
                    }
                    End::GiveUp { reason } | End::Withdrawn { reason } => {
                        self.end_pending(job).await?;
                        Completion::Failed { reason, retry: state(Duration::ZERO, true) }
                    }
                };
                (completion, Err(AttemptError::Completed(end)))
            }
        };
        // A request that is retried often is not filed every time, but is still found soon.
        let is_filed = completion.is_final() || claimed.attempt.is_power_of_two();
        let record = Some(attempt_record).filter(|_| is_filed);
        // Filed first, so that a completed request can always be found.
        self.file_attempt(request, &completion, record, now).await;
        self.ledger.complete(&request.key(), &message.lease.id, &completion, now).await??;
        if completion.is_final() {
            // Filed after the completion: a crash between the two must not leave an event that
            // counts as processed while its request is not.
            let event = self.ledger.file_event(request, now).await;
            match completion {
                // If this fails, the next receive finds the request completed, and files the event.
                Completion::Done => event?,
                _ => log_unfiled(event),
            }
        }
        result
    }

    /// Audit records must not keep a request from ending: an error is logged, and the time is
    /// bounded.
    async fn file_attempt(
        &self,
        request: &Request,
        completion: &Completion,
        record: Option<&AttemptRecord>,
        now: Timestamp,
    ) {
        let filing = pin!(self.ledger.file_attempt(request, completion, record, now));
        log_unfiled(match select(filing, pin!(self.clock.sleep(FILE_TIMEOUT))).await {
            Either::Left((filed, _)) => filed,
            Either::Right(_) => Err(LedgerError(WorkerError::NoAnswer.into())),
        });
    }

    /// The end of a failure that is not in the ledger: the ledger did not answer, or the attempt
    /// was aborted. The retry budget is in the ledger, so that only the queue's retention limits
    /// the retries.
    pub(super) fn end_unclaimed(&self, failure: Failure, message: &Message<'_>) -> End {
        self.end(failure, message, Duration::ZERO)
    }

    /// A retry, unless the budget is spent or the queue is about to delete the message.
    fn end(&self, failure: Failure, message: &Message<'_>, spent: Duration) -> End {
        let (asked, reason) = match failure {
            Failure::GiveUp { reason } if reason.class == Class::Withdrawn => {
                return End::Withdrawn { reason };
            }
            Failure::GiveUp { reason } => return End::GiveUp { reason },
            Failure::Retry { after, reason } => (after, reason),
        };
        let policy = &self.flows.retry;
        let until_stop = until_hard_stop(message.expires_at, self.clock.now());
        let is_over = if until_stop.is_some_and(|left| left.is_zero()) {
            Some(WorkerError::Expires { cause: reason.cause.clone() })
        // Nothing was tried while another worker holds the lease or the lock, or while the office
        // system accepts no calls.
        } else if policy.is_spent(spent)
            && !matches!(reason.class, Class::LeaseHeld | Class::GrantHeld | Class::QuotaUsedUp)
        {
            let (budget, cause) = (policy.max_elapsed.into(), reason.cause.clone());
            Some(WorkerError::BudgetSpent { budget, cause })
        } else {
            None
        };
        if let Some(error) = is_over {
            let given_up = Reason::new(reason.class, error);
            return End::GiveUp { reason: Reason { target: reason.target, ..given_up } };
        }
        let after = self.wait(message, asked, reason.class);
        let left = match reason.class {
            // No budget is spent while the ledger does not answer.
            Class::LedgerUnavailable => until_stop.unwrap_or(policy.max_elapsed),
            _ => policy.max_elapsed.saturating_sub(spent),
        };
        let after = after.max(RetryPolicy::least(message.receive_count, left));
        End::Retry { after, reason }
    }

    /// The wait before the next attempt.
    fn wait(&self, message: &Message<'_>, asked: Option<Duration>, class: Class) -> Duration {
        let policy = &self.flows.retry;
        match class {
            // There was progress: continue at once.
            Class::DeadlineExceeded if asked == Some(Duration::ZERO) => Duration::ZERO,
            Class::CircuitOpen => {
                let asked = asked.unwrap_or_default().min(policy.max_interval);
                asked.saturating_add(CIRCUIT_JITTER.mul_f64(fastrand::f64()))
            }
            Class::LeaseHeld | Class::GrantHeld => {
                policy.wait_for_lease(message.receive_count, asked.unwrap_or(policy.max_interval))
            }
            Class::QuotaUsedUp => policy.wait_for_quota(asked),
            _ => policy.wait(message.receive_count, asked, fastrand::f64()),
        }
    }

    /// Sends the message to the dead-letter queue. The ledger already has the request as failed,
    /// unless it does not know it or the attempt was aborted. After a crash between the two, or if
    /// the dead-letter queue is unreachable, the message is redelivered, fails again without
    /// budget, and is sent then.
    pub(super) async fn dead_letter(&self, message: &Message<'_>, reason: Reason) -> Disposition {
        let letter = DeadLetter {
            body: message.body,
            reason: &reason,
            receive_count: message.receive_count,
            first_received: message.first_received,
            failed_at: self.clock.now(),
        };
        match self.dead_letters.send_dead_letter(&letter).await {
            Ok(()) => Disposition::DeadLettered(reason),
            Err(QueueError(error)) => {
                let Reason { class, cause, target, .. } = reason;
                let error = WorkerError::NoDeadLetterQueue { class, cause, error };
                let reason = Reason::new(Class::DeadLetterQueueUnavailable, error);
                let reason = Reason { target, ..reason };
                let until_stop = until_hard_stop(message.expires_at, self.clock.now());
                let left = until_stop.unwrap_or(self.flows.retry.max_elapsed);
                let least = RetryPolicy::least(message.receive_count, left);
                let after = self.wait(message, None, reason.class).max(least);
                Disposition::RetryAfter { after, reason }
            }
        }
    }
}

fn log_unfiled(filed: Result<(), LedgerError>) {
    if let Err(error) = filed {
        tracing::warn!(%error, "the attempt record could not be filed");
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What failed, with the grants whose hold was recorded: an erasure finds them by it.
fn with_pending(mut failed: BTreeSet<String>, job: &Job<'_>) -> BTreeSet<String> {
    failed.extend(job.pending.all().iter().map(GrantKey::to_string));
    failed
}
