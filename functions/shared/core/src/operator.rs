//! The operations that an operator's command needs from a backend: one trait per capability.
//!
//! The traits are used as objects, since one command works on a stack on AWS and on a data folder.

#![warn(missing_docs)]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use futures_util::future::BoxFuture;
use thiserror::Error;

use crate::act::Act;
use crate::audit::{
    DeployedFlows, Elsewhere, Grant, Lookup, RequestHistory, RequestStatus, StoredDeadLetter,
};
use crate::block::Block;
use crate::breaker::Breaker;
use crate::explain::Explain;
use crate::grant::{BeginError, EndReason, GrantKey, GrantRecord, HoldId, Terms};
use crate::ledger::ResetError;
use crate::names::NamesInUse;
use crate::person::PersonKey;
use crate::ports::{LedgerError, QueueError};
use crate::request::{Request, RequestKey};
use crate::sweep::{Sweep, SweepKey};
use crate::time::Timestamp;

/// A store did not answer.
#[derive(Clone, Debug, Error, Explain)]
#[explain("store")]
pub enum StoreError {
    /// The ledger did not answer.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A queue did not answer.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// The result of a store operation.
pub type StoreFuture<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Reads requests from the ledger.
pub trait AuditReader: Debug + Send + Sync {
    /// The requests filed under any of `lookups`, newest first.
    fn find_requests<'a>(
        &'a self,
        lookups: &'a [Lookup],
        at_most: usize,
    ) -> StoreFuture<'a, Vec<RequestHistory>>;

    /// The requests that were first claimed most recently, newest first.
    fn recent_requests(
        &self,
        at_most: usize,
        now: Timestamp,
    ) -> StoreFuture<'_, Vec<RequestHistory>>;

    /// The requests that wait for their next attempt, the soonest first.
    fn waiting_requests(
        &self,
        at_most: usize,
        now: Timestamp,
    ) -> StoreFuture<'_, Vec<RequestHistory>>;

    /// One request; `None` when the ledger does not know it.
    fn read_request<'a>(&'a self, key: &'a RequestKey) -> StoreFuture<'a, Option<RequestHistory>>;

    /// The number of requests by status, of those first claimed since `since`. A retrying one
    /// counts as running.
    fn count_requests(
        &self,
        since: Timestamp,
        now: Timestamp,
    ) -> StoreFuture<'_, BTreeMap<RequestStatus, u64>>;

    /// The decisions that no flow wanted, the latest first.
    fn unwanted(&self, at_most: usize) -> StoreFuture<'_, Vec<Unwanted>>;

    /// The sweeps over the approval definitions of flows, by key.
    fn sweeps(&self) -> StoreFuture<'_, Vec<(SweepKey, Sweep)>>;

    /// The circuit breaker of each target that has ever failed.
    fn breakers(&self) -> StoreFuture<'_, BTreeMap<String, Breaker>>;

    /// The deployed flows; `None` before the first start.
    fn deployed_flows(&self) -> StoreFuture<'_, Option<DeployedFlows>>;
}

/// Decisions that no flow wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unwanted {
    /// The office system.
    pub source: String,
    /// The approval definition.
    pub definition_id: String,
    /// The decision, as [`crate::Decision::as_str`] writes it.
    pub decision: String,
    /// The number of events.
    pub count: u64,
    /// When the last one came.
    pub last: Timestamp,
}

impl Unwanted {
    /// The key under which stores count `request`: `SOURCE#DEFINITION#DECISION`.
    #[must_use]
    pub fn key(request: &Request) -> String {
        format!("{}#{}#{}", request.source, request.definition_id, request.decision())
    }

    /// The inverse of [`Unwanted::key`].
    #[must_use]
    pub fn of_key(key: &str, count: u64, last: Timestamp) -> Option<Self> {
        let mut parts = key.split('#').map(str::to_owned);
        let (source, definition_id, decision) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self { source, definition_id, decision, count, last })
    }
}

/// Reads the depth of the queues.
pub trait QueueReader: Debug + Send + Sync {
    /// The depth of the queue and of the dead-letter queue.
    fn queue_status(&self, now: Timestamp) -> StoreFuture<'_, QueueStatus>;
}

/// The depth of the queue and of the dead-letter queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueStatus {
    /// Whether a worker consumes the queue, where that is known.
    pub is_served: Option<bool>,
    /// Messages that are ready to be received.
    pub waiting: u64,
    /// Messages that were received and are hidden.
    pub in_flight: u64,
    /// Whether messages to be retried are counted in `in_flight`, as SQS does.
    pub counts_retries_as_in_flight: bool,
    /// The age of the oldest message, where that is known.
    pub oldest: Option<Duration>,
    /// The number of dead letters.
    pub dead_letters: u64,
    /// The number by class of the reason; empty where only the total is known.
    pub dead_letters_by_class: BTreeMap<String, u64>,
}

/// The dead-letter queue, for an operator.
pub trait DeadLetterQueue: Debug + Send + Sync {
    /// Receives all available dead letters, oldest first, and holds them: no other receiver gets
    /// them until they are given back, or the hold expires.
    fn hold(&self, now: Timestamp) -> StoreFuture<'_, HeldDeadLetters>;

    /// Extends the hold, while others are put back.
    fn hold_longer<'a>(&'a self, letters: &'a [HeldDeadLetter]) -> StoreFuture<'a, ()>;

    /// Ends the hold early. Expired holds need not be passed.
    fn give_back<'a>(&'a self, letters: &'a [HeldDeadLetter]) -> StoreFuture<'a, ()>;

    /// Moves a dead letter back into the queue. `false` if it is gone, or the hold has expired.
    fn redrive<'a>(&'a self, letter: &'a HeldDeadLetter) -> StoreFuture<'a, bool>;

    /// Discards a dead letter; the ledger keeps it, with the operator's reason. `false` if it is
    /// gone, or the hold has expired.
    fn discard<'a>(
        &'a self,
        letter: &'a HeldDeadLetter,
        reason: &'a str,
        now: Timestamp,
    ) -> StoreFuture<'a, bool>;
}

/// A dead letter that is hidden from other receivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldDeadLetter {
    /// The dead letter.
    pub letter: StoredDeadLetter,
    /// The handle of the hold: SQS's receipt handle. Empty on one machine, where nothing is held.
    pub receipt: String,
}

/// The dead letters that could be received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldDeadLetters {
    /// Oldest first.
    pub held: Vec<HeldDeadLetter>,
    /// The dead letters that another receiver holds.
    pub elsewhere: Option<Elsewhere>,
}

/// Reads which subject is granted at which target.
pub trait GrantStore: Debug + Send + Sync {
    /// The grants that did not end, those first that are due soonest.
    fn grants(&self, at_most: usize) -> StoreFuture<'_, Vec<Grant>>;

    /// The grants of these subjects at these targets, as (target, key of the subject), also those
    /// that ended.
    fn grants_of<'a>(&'a self, subjects: &'a [(String, String)]) -> StoreFuture<'a, Vec<Grant>>;

    /// The names that held access refers to.
    fn names_in_use(&self) -> StoreFuture<'_, NamesInUse>;

    /// Changes a grant atomically, and returns its new state with the result of the change.
    fn change<'a>(
        &'a self,
        key: &'a GrantKey,
        change: &'a GrantChange,
        now: Timestamp,
    ) -> StoreFuture<'a, (GrantRecord, Result<(), BeginError>)>;
}

/// What an operator changes about a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrantChange {
    /// Adds a hold; the worker makes the call.
    Hold {
        /// Whose.
        id: HoldId,
        /// Its terms.
        terms: Terms,
    },
    /// Ends a hold.
    End {
        /// Whose.
        id: HoldId,
        /// Why.
        reason: EndReason,
    },
    /// Replaces the identifier of a person as applicant, and as owner of holds that have ended.
    Rename {
        /// The identifier.
        person: String,
        /// What is shown instead.
        pseudonym: String,
    },
}

impl GrantChange {
    /// The record after the change.
    ///
    /// # Errors
    /// [`BeginError`] when a hold cannot be added.
    pub fn apply(
        &self,
        record: GrantRecord,
        now: Timestamp,
    ) -> (GrantRecord, Result<(), BeginError>) {
        match self {
            Self::Hold { id, terms } => record.add_hold(id, terms, now),
            Self::End { id, reason } => (record.end(id, *reason, now), Ok(())),
            Self::Rename { person, pseudonym } => (record.rename(person, pseudonym), Ok(())),
        }
    }
}

/// Stores which subjects are blocked, for an operator.
pub trait BlockStore: Debug + Send + Sync {
    /// Blocks a subject, or ends its block at `now`. `subject` as [`crate::subject::Subject::key`]
    /// writes it.
    fn set_block<'a>(
        &'a self,
        subject: &'a str,
        block: Option<&'a Block>,
        now: Timestamp,
    ) -> StoreFuture<'a, ()>;

    /// The blocks, as (subject, block), those in force and those that are over, the latest first.
    fn blocks(&self, at_most: usize) -> StoreFuture<'_, Vec<(String, Block)>>;
}

/// Stores what operators did.
pub trait ActStore: Debug + Send + Sync {
    /// Records an act; it is never changed.
    fn record_act<'a>(&'a self, act: &'a Act) -> StoreFuture<'a, ()>;

    /// The acts before `before`, the latest first.
    fn acts(&self, at_most: usize, before: Timestamp) -> StoreFuture<'_, Vec<Act>>;
}

/// Erases the identifiers of people, for an operator.
pub trait PersonStore: Debug + Send + Sync {
    /// Replaces `person` as the applicant of a request, and as what it is found by. Can be
    /// repeated.
    fn rename_in_request<'a>(
        &'a self,
        request: &'a RequestKey,
        person: &'a str,
        pseudonym: &'a str,
    ) -> StoreFuture<'a, ()>;

    /// Deletes what is counted for a person. That the person left is kept: nothing is granted then.
    fn forget_person<'a>(&'a self, key: &'a PersonKey) -> StoreFuture<'a, ()>;
}

/// Replays and resets requests, for an operator.
pub trait RequestStore: Debug + Send + Sync {
    /// Records that an operator asks for `request`, and then puts it into the queue, as the
    /// receiver does.
    fn enqueue_replay<'a>(&'a self, request: &'a Request, now: Timestamp) -> StoreFuture<'a, ()>;

    /// Enqueues a grant about which there is something to do.
    fn enqueue_due<'a>(&'a self, key: &'a GrantKey, now: Timestamp) -> StoreFuture<'a, ()>;

    /// Deletes the recorded effects of a request, unless a worker holds its lease, or there was
    /// another attempt than number `attempt`.
    fn reset<'a>(
        &'a self,
        request: &'a RequestKey,
        attempt: u32,
        now: Timestamp,
    ) -> StoreFuture<'a, Result<(), ResetError>>;
}
