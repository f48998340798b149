//! The time that a host gives to one attempt.

use std::time::Duration;

use crate::Timestamp;

/// Time for one call that was started last, and for recording it.
const NO_NEW_CALLS_BEFORE_END: Duration = Duration::from_secs(20);

/// Time for completing the attempt in the ledger and at the queue.
const ABORT_BEFORE_END: Duration = Duration::from_secs(6);

/// Time for the host's own response.
const RESPOND_BEFORE_END: Duration = Duration::from_millis(500);

/// The moments at which an attempt winds down, earliest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptBudget {
    /// No call is started from this moment on.
    pub no_new_calls_after: Timestamp,
    /// The attempt is aborted at this moment; it leaves the message to the queue.
    pub abort_after: Timestamp,
    /// The host must have responded before this moment, whatever is still under way.
    pub respond_before: Timestamp,
}

impl AttemptBudget {
    /// The longest call that an attempt has the time for: one that is started last, and still
    /// recorded before the attempt is aborted.
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
