//! The time budget of one attempt.

use std::time::Duration;

use crate::Timestamp;

/// Time for one call that is started last, and for recording its effect.
const NO_NEW_CALLS_BEFORE_END: Duration = Duration::from_secs(20);

/// Time for completing the attempt in the ledger and at the queue.
const ABORT_BEFORE_END: Duration = Duration::from_secs(6);

/// Time for the response of the host.
const RESPOND_BEFORE_END: Duration = Duration::from_millis(500);

/// The deadlines of an attempt, earliest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptBudget {
    /// No call is started after this moment.
    pub no_new_calls_after: Timestamp,
    /// The attempt is aborted at this moment; the queue redelivers its message.
    pub abort_after: Timestamp,
    /// The host must respond before this moment, even if calls are still running.
    pub respond_before: Timestamp,
}

impl AttemptBudget {
    /// The maximum duration of a call: one that is started last must be recorded before the attempt
    /// is aborted.
    pub const LONGEST_CALL: Duration = Duration::from_secs(11);

    /// The budget of an attempt whose host ends at `end`.
    #[must_use]
    pub fn until(end: Timestamp) -> Self {
        Self {
            no_new_calls_after: end.minus(NO_NEW_CALLS_BEFORE_END),
            abort_after: end.minus(ABORT_BEFORE_END),
            respond_before: end.minus(RESPOND_BEFORE_END),
        }
    }
}

const _: () = assert!(
    NO_NEW_CALLS_BEFORE_END.as_secs()
        >= ABORT_BEFORE_END.as_secs() + AttemptBudget::LONGEST_CALL.as_secs() + 3
);
