//! The reasons for which the worker itself ends an attempt.

use std::time::Duration;

use thiserror::Error;

use crate::event::Decision;
use crate::explain::{Explain, Explanation};
use crate::failure::Class;
use crate::instance::Status;

/// The reason for which an attempt ends with work left, besides those of source and targets.
#[derive(Debug, Error, Explain)]
#[explain("worker")]
pub(super) enum WorkerError {
    #[error("the worker panicked: the log shows where")]
    Panicked,
    #[error("the attempt did not end in its time")]
    Hung,
    #[error("several attempts in a row ended without a result: the log has the reason")]
    NoResult,
    #[error("the worker's time ran out before everything was started")]
    OutOfTime,
    #[error(
        "no flow is configured for the approval {definition} of {source_name} when it is {decision}"
    )]
    NoFlow { definition: String, source_name: String, decision: Decision },
    #[error(
        "the approval ended {days} days ago, and the flow refuses what is older than {max} days: \
         `greenlight replay` if it is still wanted and its source can be read, else a larger `max_age`"
    )]
    TooOld { days: u64, max: u64 },
    #[error("another worker holds the lease of the request")]
    LeaseHeld,
    #[error("another worker sweeps the same approval definition")]
    SweepHeld,
    #[error(
        "the sweeps of this approval definition have made the {allowed} calls of this month that are \
         their share"
    )]
    SweepCallsUsedUp { allowed: u32 },
    #[error("another worker holds the exclusive lock of target `{target}`")]
    LockHeld { target: String },
    #[error("the circuit of target `{target}` is open: one probe at a time asks it")]
    CircuitOpen { target: String },
    #[error("the instance belongs to another approval than the message says")]
    OtherApproval,
    #[error("the source answered with another instance than the one asked for")]
    OtherInstance,
    #[error("the source reports the instance as {status}, not {decision}")]
    NotConfirmed { status: Status, decision: Decision },
    #[error("the approval was withdrawn before all of it was carried out")]
    Withdrawn,
    #[error("an operator blocked the subject: `greenlight blocks` has the reason")]
    Blocked,
    #[error(
        "the source does not say that the person left: it does not know the person, or the app may \
         not read the person's status; `greenlight offboard` ends the access by hand"
    )]
    NotLeft,
    #[error("what the person holds is looked for again, as a worker may be recording a hold")]
    LookAgain,
    #[error("the source still calls the person a member, and is asked again")]
    StillMember,
    #[error("the person who would hold the access has left")]
    OwnerLeft,
    #[error("the person holds {per_owner} by this flow already, the most that `per_owner` allows")]
    LimitReached { per_owner: usize },
    #[error("the access cannot be counted: neither the form nor the instance names a person")]
    NoOwner,
    #[error("the limit is taken up by other requests of the same person that have not ended")]
    LimitContended,
    #[error("`{field}`: the access that is to be replaced is held by another person")]
    OthersAccess { field: String },
    #[error("the connector of target `{target}` has no operation that takes the access away")]
    NoRemoval { target: String },
    #[error(
        "the ledger has a subject at target `{target}` of a kind that this version does not know"
    )]
    NoSuchSubject { target: String },
    #[error("the approval was revoked by a later message of its source")]
    RevokedSince,
    #[error(
        "the form leads to {effects} effects, more than the ledger can keep of one request: hand \
         in several forms"
    )]
    TooManyEffects { effects: usize },
    #[error("given up before the queue deletes the message: {cause}")]
    Expires { cause: Explanation },
    #[error("given up after {budget}: {cause}")]
    BudgetSpent { budget: Budget, cause: Explanation },
    #[error("{class}: {cause}; the dead-letter queue did not accept it: {error}")]
    NoDeadLetterQueue { class: Class, cause: Explanation, error: Explanation },
    #[error("no answer in time")]
    NoAnswer,
}

/// A retry budget, in its largest whole unit.
#[derive(Debug, Error, Explain)]
#[explain("budget")]
pub(super) enum Budget {
    #[error("{0} h")]
    Hours(u64),
    #[error("{0} min")]
    Minutes(u64),
    #[error("{0} s")]
    Seconds(u64),
}

impl From<Duration> for Budget {
    fn from(duration: Duration) -> Self {
        match duration.as_secs() {
            seconds if seconds % 3_600 == 0 => Self::Hours(seconds / 3_600),
            seconds if seconds % 60 == 0 => Self::Minutes(seconds / 60),
            seconds => Self::Seconds(seconds),
        }
    }
}
