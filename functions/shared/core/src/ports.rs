//! The ports of the use cases: one trait per capability.
//!
//! The adapters are in `sources`, `connectors`, `stores` and `http`; the hosts choose and wire
//! them.

#![warn(missing_docs)]

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use crate::audit::AttemptRecord;
use crate::block::Block;
use crate::breaker::Breaker;
use crate::explain::{Explain, Explanation};
use crate::failure::{Failure, Reason};
use crate::form::{Attachment, Field};
use crate::grant::{GrantKey, GrantRecord, Session};
use crate::instance::Instance;
use crate::lease::{Lease, LeaseId, LeaseLost};
use crate::ledger::{
    ClaimError, Claimed, Completion, Effect, EffectKey, EffectKind, EffectOutcome, Progress,
    ResetError,
};
use crate::names::NamesInUse;
use crate::person::{PersonKey, PersonRecord, Presence};
use crate::request::{Request, RequestKey};
use crate::schedule::Schedule;
use crate::secret::{Secret, SecretError};
use crate::subject::Subject;
use crate::sweep::{Pace, Sweep, SweepKey};
use crate::time::Timestamp;
use crate::trace::TraceId;

/// Gives the time, and waits.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
    /// Returns after `duration`.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;
}

/// Reads the secret document from its store.
pub trait FetchSecret: Send + Sync {
    /// The JSON text.
    fn fetch(&self) -> impl Future<Output = Result<String, SecretError>> + Send;
}

/// Provides the secret.
pub trait ReadSecret: Send + Sync {
    /// The secret that was last read.
    fn current(&self) -> Arc<Secret>;
    /// The secret, read again if that was minutes ago: a key that was taken out is not used for
    /// long.
    fn fresh(&self) -> impl Future<Output = Arc<Secret>> + Send {
        async { self.current() }
    }
    /// A newer secret than `used`, which was rejected: the one that was read since, or one read
    /// now. `None` if it was read a moment ago or cannot be read.
    fn renewed(&self, used: &Arc<Secret>) -> impl Future<Output = Option<Arc<Secret>>> + Send;
}

impl<T: ReadSecret> ReadSecret for Arc<T> {
    fn current(&self) -> Arc<Secret> {
        T::current(self)
    }

    fn fresh(&self) -> impl Future<Output = Arc<Secret>> + Send {
        T::fresh(self)
    }

    fn renewed(&self, used: &Arc<Secret>) -> impl Future<Output = Option<Arc<Secret>>> + Send {
        T::renewed(self, used)
    }
}

/// Puts messages into the queue.
pub trait Enqueue: Send + Sync {
    /// Returns once the queue has stored the message durably.
    fn enqueue(
        &self,
        message: &impl QueueMessage,
    ) -> impl Future<Output = Result<(), QueueError>> + Send;
}

/// A message for the worker.
pub trait QueueMessage: Send + Sync {
    /// The message, in JSON.
    fn body(&self) -> String;
}

/// Changes the time at which a received message becomes visible again.
pub trait ChangeVisibility: Send + Sync {
    /// Makes the message that was received as `receipt_handle` visible again `after` from now.
    ///
    /// # Errors
    /// [`QueueError`]: the message becomes visible at the end of its visibility timeout.
    fn change_visibility(
        &self,
        receipt_handle: &str,
        after: Duration,
    ) -> impl Future<Output = Result<(), QueueError>> + Send;
}

/// Puts messages that cannot succeed into the dead-letter queue.
pub trait SendDeadLetter: Send + Sync {
    /// Returns once the dead-letter queue has stored the message durably.
    fn send_dead_letter(
        &self,
        letter: &DeadLetter<'_>,
    ) -> impl Future<Output = Result<(), QueueError>> + Send;
}

/// A message for the dead-letter queue: the body is unchanged, so that a redrive is a plain move
/// back.
#[derive(Clone, Debug)]
pub struct DeadLetter<'a> {
    /// The body of the message, unchanged.
    pub body: &'a str,
    /// The reason for which no retry can succeed.
    pub reason: &'a Reason,
    /// The number of receives.
    pub receive_count: u32,
    /// When the queue first delivered it.
    pub first_received: Timestamp,
    /// When the attempt gave up.
    pub failed_at: Timestamp,
}

/// The queue did not take a message.
#[derive(Clone, Debug, Error, Explain)]
#[explain("queue_error")]
#[error("the queue did not accept the message: {0}")]
pub struct QueueError(pub Explanation);

/// The ledger could not be read or written.
#[derive(Clone, Debug, Error, Explain)]
#[explain("ledger_error")]
#[error("the ledger did not answer: {0}")]
pub struct LedgerError(pub Explanation);

/// Claims requests.
pub trait Claim: Send + Sync {
    /// Gives the lease on `request` to `lease.id` until it expires: one conditional write.
    fn claim(
        &self,
        request: &Request,
        lease: &Lease,
        now: Timestamp,
    ) -> impl Future<Output = Result<Result<Claimed, ClaimError>, LedgerError>> + Send;
}

/// Records effects one by one, under a lease.
pub trait RecordEffect: Send + Sync {
    /// Records that an effect was done.
    fn record_effect(
        &self,
        request: &RequestKey,
        lease_id: &LeaseId,
        key: &EffectKey,
        effect: Effect,
        now: Timestamp,
    ) -> impl Future<Output = Result<Result<(), LeaseLost>, LedgerError>> + Send;
}

/// Completes attempts, under a lease.
pub trait Complete: Send + Sync {
    /// Ends the attempt with `completion`: one conditional write. A call that is repeated because
    /// its response was lost gets the same response.
    fn complete(
        &self,
        request: &RequestKey,
        lease_id: &LeaseId,
        completion: &Completion,
        now: Timestamp,
    ) -> impl Future<Output = Result<Result<(), LeaseLost>, LedgerError>> + Send;
}

/// Files the data by which operators find requests. Filing is idempotent.
pub trait FileAudit: Send + Sync {
    /// Files `record`, if there is one, and whether the request waits for its next attempt.
    fn file_attempt(
        &self,
        request: &Request,
        completion: &Completion,
        record: Option<&AttemptRecord>,
        now: Timestamp,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send;

    /// Files the id of an event whose request has ended: the event is processed.
    fn file_event(
        &self,
        request: &Request,
        now: Timestamp,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send;
}

/// Stores one circuit breaker per target, shared by all workers.
pub trait KeepBreakers: Send + Sync {
    /// Changes the breaker of `target` atomically, and returns its new state. `change` may be
    /// called more than once.
    fn change_breaker<T: Send>(
        &self,
        target: &str,
        change: impl Fn(Breaker) -> (Breaker, T) + Send + Sync,
    ) -> impl Future<Output = Result<(Breaker, T), LedgerError>> + Send;
}

/// Stores one record per grant, shared by all workers.
pub trait KeepGrants: Send + Sync {
    /// Changes the record of a grant atomically, and returns its new state. A grant without a
    /// record has an empty one. `change` may be called more than once.
    fn change_grant<T: Send>(
        &self,
        key: &GrantKey,
        change: impl Fn(GrantRecord) -> (GrantRecord, T) + Send + Sync,
    ) -> impl Future<Output = Result<(GrantRecord, T), LedgerError>> + Send;
}

/// Finds the grants about which there is something to do.
pub trait FindDueGrants: Send + Sync {
    /// The grants that are due at `now`, at most `at_most` of them, those first that are due
    /// longest. What was changed within the last second may be missing.
    fn due_grants(
        &self,
        now: Timestamp,
        at_most: usize,
    ) -> impl Future<Output = Result<Vec<GrantKey>, LedgerError>> + Send;
}

/// Finds the grants that a person holds.
pub trait FindHeldGrants: Send + Sync {
    /// The grants with a live hold of this owner. What was changed within the last second may be
    /// missing.
    fn grants_held_by(
        &self,
        owner: &str,
    ) -> impl Future<Output = Result<Vec<(GrantKey, GrantRecord)>, LedgerError>> + Send;
}

/// Finds the names that held access refers to.
pub trait FindNamesInUse: Send + Sync {
    /// The targets at which access is held, and the sources of the approvals that hold it, each
    /// with the number of grants. What was changed within the last second may be missing.
    fn names_in_use(&self) -> impl Future<Output = Result<NamesInUse, LedgerError>> + Send;
}

/// Stores one record per person, shared by all workers.
pub trait KeepPersons: Send + Sync {
    /// Changes the record of a person atomically, and returns its new state. A person without a
    /// record has an empty one. `change` may be called more than once.
    fn change_person<T: Send>(
        &self,
        key: &PersonKey,
        change: impl Fn(PersonRecord) -> (PersonRecord, T) + Send + Sync,
    ) -> impl Future<Output = Result<(PersonRecord, T), LedgerError>> + Send;
}

/// Stores which subjects operators have blocked.
pub trait KeepBlocks: Send + Sync {
    /// The block of a subject that is in force at `now`; `subject` as
    /// [`Subject::key`](crate::subject::Subject::key) writes it. A block that was written before is
    /// seen.
    fn block_of(
        &self,
        subject: &str,
        now: Timestamp,
    ) -> impl Future<Output = Result<Option<Block>, LedgerError>> + Send;
}

/// Stores the record of the ticks.
pub trait KeepSchedule: Send + Sync {
    /// Changes the record atomically, and returns its new state. `change` may be called more than
    /// once.
    fn change_schedule<T: Send>(
        &self,
        change: impl Fn(Schedule) -> (Schedule, T) + Send + Sync,
    ) -> impl Future<Output = Result<(Schedule, T), LedgerError>> + Send;
}

/// Stores one record per approval definition that is swept, shared by all workers.
pub trait KeepSweeps: Send + Sync {
    /// Changes the record of a definition atomically, and returns its new state. A definition
    /// without a record has an empty one. `change` may be called more than once.
    fn change_sweep<T: Send>(
        &self,
        key: &SweepKey,
        change: impl Fn(Sweep) -> (Sweep, T) + Send + Sync,
    ) -> impl Future<Output = Result<(Sweep, T), LedgerError>> + Send;
}

/// Counts the decisions that no flow wants.
pub trait CountUnwanted: Send + Sync {
    /// Counts `request` under its source, definition and decision. A repeated call counts again.
    fn count_unwanted(
        &self,
        request: &Request,
        now: Timestamp,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send;
}

/// Reads what the ledger knows of a request, without a claim.
pub trait ReadRequest: Send + Sync {
    /// Whether an operator asked for this message: a replay with the same event id was recorded.
    fn is_replayed(
        &self,
        request: &Request,
    ) -> impl Future<Output = Result<bool, LedgerError>> + Send;

    /// Whether the request is done; `None` if it was never claimed.
    fn is_done(
        &self,
        request: &RequestKey,
    ) -> impl Future<Output = Result<Option<bool>, LedgerError>> + Send;

    /// What the attempts of the request recorded; `None` if it was never claimed.
    fn progress(
        &self,
        request: &RequestKey,
    ) -> impl Future<Output = Result<Option<Progress>, LedgerError>> + Send;
}

/// The ledger operations that an attempt needs.
pub trait Ledger:
    Claim
    + RecordEffect
    + Complete
    + FileAudit
    + KeepBreakers
    + KeepGrants
    + FindDueGrants
    + FindHeldGrants
    + FindNamesInUse
    + KeepPersons
    + KeepBlocks
    + KeepSchedule
    + KeepSweeps
    + CountUnwanted
    + ReadRequest
{
}

impl<T> Ledger for T where
    T: Claim
        + RecordEffect
        + Complete
        + FileAudit
        + KeepBreakers
        + KeepGrants
        + FindDueGrants
        + FindHeldGrants
        + FindNamesInUse
        + KeepPersons
        + KeepBlocks
        + KeepSchedule
        + KeepSweeps
        + CountUnwanted
        + ReadRequest
{
}

/// Resets a request, for an operator.
pub trait ResetRequest: Send + Sync {
    /// Deletes the recorded effects of a request, so that its next attempt performs all of them:
    /// one conditional write. `attempt` is the number of the last attempt that the operator knows
    /// of: what a later one did is not deleted.
    fn reset_request(
        &self,
        request: &RequestKey,
        attempt: u32,
        now: Timestamp,
    ) -> impl Future<Output = Result<Result<(), ResetError>, LedgerError>> + Send;
}

/// Records replays, for an operator.
pub trait RecordReplay: Send + Sync {
    /// Records that an operator asks for `request`, by its event id, before it is enqueued. Another
    /// message about the same instance has not been asked for.
    fn record_replay(
        &self,
        request: &Request,
        now: Timestamp,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send;
}

/// Reads approval instances at their source.
pub trait ReadInstance: Send + Sync {
    /// The current instance that `request` names, with its form.
    fn read_instance(
        &self,
        request: &Request,
    ) -> impl Future<Output = Result<Instance, Failure>> + Send;
}

/// Lists approval instances at their source.
pub trait ListInstances: Send + Sync {
    /// When `source` is swept, and how far back; `None` if it has no list, or is not configured.
    fn pace(&self, source: &str) -> Option<Pace>;

    /// The instances of a definition that were created in `window`, which is no longer than
    /// [`Pace::window`].
    fn list_created(
        &self,
        key: &SweepKey,
        window: Range<Timestamp>,
    ) -> impl Future<Output = Result<Listed, Failure>> + Send;
}

/// A part of the list of instances.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// The ids, whatever the status of the instances: no system lists by the time of the end.
    pub ids: Vec<String>,
    /// The calls that it took.
    pub calls: u32,
}

/// Asks sources about people.
pub trait ReadPerson: Send + Sync {
    /// Whether the person is a member of the organisation, if the source can tell.
    fn presence(
        &self,
        person: &PersonKey,
    ) -> impl Future<Output = Result<Presence, Failure>> + Send;
}

/// Reads sheets that are attached to a form.
pub trait ReadSheet: Send + Sync {
    /// The rows of a sheet that is attached to a form of `source`, as rows of a table; an
    /// explanation when it is no sheet that can be read.
    ///
    /// # Errors
    /// [`Failure`] when the file cannot be downloaded.
    fn read_sheet(
        &self,
        source: &str,
        file: &Attachment,
    ) -> impl Future<Output = Result<Result<Vec<Vec<Field>>, Explanation>, Failure>> + Send;
}

/// Evaluates the conditions of `flows.toml`, without I/O.
pub trait Conditions {
    /// Whether a condition of `flows.toml` is true for these values.
    ///
    /// # Errors
    /// [`Failure`] when it cannot be evaluated.
    fn holds(
        &self,
        condition: &str,
        variables: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<bool, Failure>;

    /// Whether a condition of `flows.toml` depends on the value of a field of the flow.
    fn condition_uses(&self, condition: &str, field: &str) -> bool;

    /// Whether the call that `operation` makes to `target` depends on the value of a field of the
    /// flow.
    fn uses(&self, target: &str, operation: &str, field: &str) -> bool;

    /// What `operation` is, as the connector of `target` says. An operation that is not configured
    /// counts as [`EffectKind::Write`]: it fails when it is performed.
    fn kind(&self, target: &str, operation: &str) -> EffectKind;

    /// The operation that takes away what `operation` gives, if the connector of `target` has one.
    fn revoked_by(&self, target: &str, operation: &str) -> Option<String>;
}

/// The result of an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acted {
    /// Whether there was something to change.
    pub outcome: EffectOutcome,
    /// Of a removal: what became of the session; `None` if the target has no sessions.
    pub session: Option<Session>,
}

impl From<EffectOutcome> for Acted {
    fn from(outcome: EffectOutcome) -> Self {
        Self { outcome, session: None }
    }
}

/// Performs effects at targets.
pub trait Act: Conditions + Send + Sync {
    /// Whether `target` allows only one operation at a time, across all workers.
    fn is_exclusive(&self, target: &str) -> bool;

    /// The concurrency limit of `target`: the maximum number of concurrent calls per request; at
    /// least 1.
    fn concurrency(&self, target: &str) -> usize;

    /// Performs one effect; safe to repeat, as "already exists" is an outcome and not a failure.
    fn act(&self, call: &Call<'_>) -> impl Future<Output = Result<Acted, Failure>> + Send;
}

/// Reads documents of targets: for sources whose approvals are read through a target.
pub trait ReadTarget: Send + Sync {
    /// The document that the operation of `call` captures. It changes nothing at the target.
    fn read(
        &self,
        call: &Call<'_>,
    ) -> impl Future<Output = Result<serde_json::Value, Failure>> + Send;
}

/// The ports of [`crate::process`], one type for each.
pub trait Ports {
    /// The ledger.
    type Ledger: Ledger;
    /// The sources.
    type Source: ReadInstance + ListInstances + ReadPerson + ReadSheet;
    /// The targets.
    type Targets: Act;
    /// The queue.
    type Queue: Enqueue;
    /// The dead-letter queue.
    type DeadLetters: SendDeadLetter;
    /// The clock.
    type Clock: Clock;
}

/// One effect to perform.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// The key of what it is made for, the same in every attempt: of a request, or of the end of a
    /// grant.
    pub job: &'a str,
    /// The target, as `flows.toml` names it.
    pub target: &'a str,
    /// The connector's operation: `add`.
    pub operation: &'a str,
    /// What it is performed on; `None` when it is performed once per approval.
    pub subject: Option<&'a Subject>,
    /// The values that the connector's templates may use, besides the subject.
    pub variables: &'a serde_json::Map<String, serde_json::Value>,
    /// Links log lines about the request; sent along to the target.
    pub trace_id: Option<&'a TraceId>,
    /// No quick retry goes on after this moment.
    pub deadline: Timestamp,
}

impl Call<'_> {
    /// The key of the effect in the ledger.
    #[must_use]
    pub fn key(&self) -> EffectKey {
        EffectKey::new(self.target, self.operation, self.subject)
    }

    /// The subject for logs and reasons: masked; empty when there is none.
    #[must_use]
    pub fn masked_subject(&self) -> String {
        self.subject.map(Subject::masked).unwrap_or_default()
    }
}

/// Sends HTTP requests to other systems.
pub trait Http: Send + Sync {
    /// Sends `request` and reads the whole response. Redirects are not followed.
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> impl Future<Output = Result<http::Response<Bytes>, HttpError>> + Send;
}

/// An HTTP exchange without a readable response.
#[derive(Clone, Debug, PartialEq, Eq, Error, Explain)]
#[explain("http")]
pub enum HttpError {
    /// The connection failed: nothing was sent.
    #[error("no connection to {host}: {cause}")]
    Connect {
        /// The host that was called.
        host: String,
        /// The innermost cause.
        cause: Explanation,
    },
    /// The response did not arrive in time.
    #[error("no answer from {host} in time")]
    Timeout {
        /// The host that was called.
        host: String,
    },
    /// The response exceeds the size limit.
    #[error("the answer of {host} is larger than {limit} bytes")]
    TooLarge {
        /// The host that was called.
        host: String,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The exchange broke off, or was not HTTP.
    #[error("the exchange with {host} broke off: {cause}")]
    Broken {
        /// The host that was called.
        host: String,
        /// The innermost cause.
        cause: Explanation,
    },
}
