//! The reasons for which the worker itself ends an attempt.

use thiserror::Error;

use crate::event::Decision;
use crate::explain::{Explain, Explanation};
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
    #[error("another worker holds the lease of the request")]
    LeaseHeld,
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
    #[error(
        "the form leads to {effects} effects, more than the ledger can keep of one request: hand \
         in several forms"
    )]
    TooManyEffects { effects: usize },
    #[error("given up before the queue deletes the message: {cause}")]
    Expires { cause: Explanation },
    #[error("given up after {budget}: {cause}")]
    BudgetSpent { budget: String, cause: Explanation },
    #[error("{cause}; the dead-letter queue did not accept it: {error}")]
    NoDeadLetterQueue { cause: Explanation, error: Explanation },
    #[error("no answer in time")]
    NoAnswer,
}
