//! What an operator's command asks of a backend: one trait per capability.
//!
//! The traits are used as objects, since one command works on a stack on AWS and on a data folder.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use futures_util::future::BoxFuture;
use thiserror::Error;

use crate::audit::{
    DeployedFlows, Elsewhere, Grant, RequestHistory, RequestStatus, StoredDeadLetter, Subject,
};
use crate::breaker::Breaker;
use crate::ledger::ResetError;
use crate::ports::{LedgerError, QueueError};
use crate::request::{Request, RequestKey};
use crate::time::Timestamp;

/// A store did not answer.
#[derive(Clone, Debug, Error)]
pub enum StoreError {
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// What a store answers.
pub type StoreFuture<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Reads what the ledger knows of requests.
pub trait AuditReader: Debug + Send + Sync {
    /// The requests that are filed under any of `subjects`, newest first.
    fn find_requests<'a>(
        &'a self,
        subjects: &'a [Subject],
        at_most: usize,
    ) -> StoreFuture<'a, Vec<RequestHistory>>;

    /// The requests that were claimed for the first time most recently, newest first.
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

    /// How many requests have which status, of those that were claimed for the first time since
    /// `since`. A retrying one counts as running.
    fn count_requests(
        &self,
        since: Timestamp,
        now: Timestamp,
    ) -> StoreFuture<'_, BTreeMap<RequestStatus, u64>>;

    /// The circuit breaker of each target that ever failed.
    fn breakers(&self) -> StoreFuture<'_, BTreeMap<String, Breaker>>;

    /// The flows that run there; `None` before the first start.
    fn deployed_flows(&self) -> StoreFuture<'_, Option<DeployedFlows>>;
}

/// Reads how full the queues are.
pub trait QueueReader: Debug + Send + Sync {
    /// How full queue and dead-letter queue are.
    fn queue_status(&self, now: Timestamp) -> StoreFuture<'_, QueueStatus>;
}

/// How full queue and dead-letter queue are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueStatus {
    /// Whether a worker takes messages, where that is known.
    pub is_served: Option<bool>,
    /// Messages that wait to be given out.
    pub waiting: u64,
    /// Messages that were given out.
    pub in_flight: u64,
    /// Whether messages that are tried again later are among those that were given out, as SQS
    /// counts them.
    pub counts_retries_as_in_flight: bool,
    /// How long the oldest message is in the queue, where that is known.
    pub oldest: Option<Duration>,
    /// How many dead letters there are.
    pub dead_letters: u64,
    /// The same by the class of their reason; empty where only their number is known.
    pub dead_letters_by_class: BTreeMap<String, u64>,
}

/// The dead-letter queue, as an operator looks into it.
pub trait DeadLetterQueue: Debug + Send + Sync {
    /// Takes hold of all dead letters that can be had, oldest first: no other receiver is given
    /// them until they are given back, or the hold ends by itself.
    fn hold(&self, now: Timestamp) -> StoreFuture<'_, HeldDeadLetters>;

    /// Holds dead letters for longer, while others are put back.
    fn hold_longer<'a>(&'a self, letters: &'a [HeldDeadLetter]) -> StoreFuture<'a, ()>;

    /// Gives dead letters back. Those that are not held any more need not be.
    fn give_back<'a>(&'a self, letters: &'a [HeldDeadLetter]) -> StoreFuture<'a, ()>;

    /// Puts a dead letter back into the queue. `false` when it is not there, or not held any more.
    fn redrive<'a>(&'a self, letter: &'a HeldDeadLetter) -> StoreFuture<'a, bool>;

    /// Discards a dead letter; the ledger keeps it, with the operator's reason. `false` when it is
    /// not there, or not held any more.
    fn discard<'a>(
        &'a self,
        letter: &'a HeldDeadLetter,
        reason: &'a str,
        now: Timestamp,
    ) -> StoreFuture<'a, bool>;
}

/// A dead letter that no other receiver is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldDeadLetter {
    /// What it is.
    pub letter: StoredDeadLetter,
    /// What the hold is known by: SQS's receipt handle. Empty on one machine, where nothing is
    /// held.
    pub receipt: String,
}

/// The dead letters that could be had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldDeadLetters {
    /// Oldest first.
    pub held: Vec<HeldDeadLetter>,
    /// Those that another receiver holds.
    pub elsewhere: Option<Elsewhere>,
}

/// Reads which device is granted at which target.
pub trait GrantStore: Debug + Send + Sync {
    /// The grants since before `before`, newest first.
    fn grants(&self, at_most: usize, before: Timestamp) -> StoreFuture<'_, Vec<Grant>>;

    /// The grants among these devices at these targets, as (target, device).
    fn grants_of<'a>(&'a self, devices: &'a [(String, String)]) -> StoreFuture<'a, Vec<Grant>>;
}

/// Starts requests, for an operator.
pub trait RequestStore: Debug + Send + Sync {
    /// Puts a request into the queue, as the receiver does.
    fn enqueue_request<'a>(&'a self, request: &'a Request) -> StoreFuture<'a, ()>;

    /// Forgets what was done for a request, unless a worker is at it.
    fn reset<'a>(
        &'a self,
        request: &'a RequestKey,
        now: Timestamp,
    ) -> StoreFuture<'a, Result<(), ResetError>>;
}
