//! What the use cases ask of the outside: one trait per capability.
//!
//! The adapters are in `sources`, `connectors`, `stores` and `http`; the hosts choose and wire
//! them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use crate::audit::AttemptRecord;
use crate::breaker::Breaker;
use crate::event::Inbound;
use crate::failure::{Failure, Reason};
use crate::instance::Instance;
use crate::ledger::{
    ClaimError, Claimed, Completion, Effect, EffectKey, EffectOutcome, Lease, LeaseId, LeaseLost,
    ResetError,
};
use crate::mac::Eui48;
use crate::request::{Request, RequestKey};
use crate::secret::{Secret, SecretError};
use crate::time::Timestamp;
use crate::webhook_request::{Rejection, WebhookRequest};

/// Tells the time and waits.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
    /// Returns after `duration`.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;
}

/// Reads the secret document from where it is kept.
pub trait FetchSecret: Send + Sync {
    /// The JSON text.
    fn fetch(&self) -> impl Future<Output = Result<String, SecretError>> + Send;
}

/// Gives the secret out.
pub trait ReadSecret: Send + Sync {
    /// The secret as it was last read.
    fn current(&self) -> Arc<Secret>;
    /// Another secret than `used`, which was refused: the one that was read since, or one read now.
    /// `None` when it was read a moment ago or cannot be read.
    fn renewed(&self, used: &Arc<Secret>) -> impl Future<Output = Option<Arc<Secret>>> + Send;
}

impl<T: ReadSecret> ReadSecret for Arc<T> {
    fn current(&self) -> Arc<Secret> {
        T::current(self)
    }

    fn renewed(&self, used: &Arc<Secret>) -> impl Future<Output = Option<Arc<Secret>>> + Send {
        T::renewed(self, used)
    }
}

/// Tells an office system's own deliveries from everybody else's.
pub trait Authenticate: Send + Sync {
    /// The event in `webhook`, if the office system sent it.
    ///
    /// # Errors
    /// [`Rejection`] when it did not, or when the body is not of the documented shape.
    fn authenticate(
        &self,
        webhook: &WebhookRequest,
        secret: &Secret,
        now: Timestamp,
    ) -> Result<Inbound, Rejection>;
}

/// Puts requests into the queue.
pub trait Enqueue: Send + Sync {
    /// Returns when the queue has taken the request durably.
    fn enqueue(&self, request: &Request) -> impl Future<Output = Result<(), QueueError>> + Send;
}

/// Gives a received message out again at another time than the end of its visibility timeout.
pub trait ChangeVisibility: Send + Sync {
    /// Makes the message that was received as `receipt_handle` visible again `after` from now.
    ///
    /// # Errors
    /// [`QueueError`]: it becomes visible at the end of its visibility timeout all the same.
    fn change_visibility(
        &self,
        receipt_handle: &str,
        after: Duration,
    ) -> impl Future<Output = Result<(), QueueError>> + Send;
}

/// Puts messages that cannot succeed into the dead-letter queue.
pub trait SendDeadLetter: Send + Sync {
    /// Returns when the dead-letter queue has taken the dead letter durably.
    fn send_dead_letter(
        &self,
        letter: &DeadLetter<'_>,
    ) -> impl Future<Output = Result<(), QueueError>> + Send;
}

/// A message for the dead-letter queue: the body as it came, so that a redrive is a plain move
/// back.
#[derive(Clone, Debug)]
pub struct DeadLetter<'a> {
    /// The message's body, as it came.
    pub body: &'a str,
    /// Why it cannot succeed.
    pub reason: &'a Reason,
    /// How often it was received.
    pub receive_count: u32,
    /// When the queue gave it out for the first time.
    pub first_received: Timestamp,
    /// When it was given up.
    pub failed_at: Timestamp,
}

/// The queue did not take a message.
#[derive(Clone, Debug, Error)]
#[error("the queue did not take the message: {0}")]
pub struct QueueError(pub String);

/// The ledger could not be asked or written.
#[derive(Clone, Debug, Error)]
#[error("the ledger did not answer: {0}")]
pub struct LedgerError(pub String);

/// Claims requests.
pub trait Claim: Send + Sync {
    /// Makes `lease.id` the only worker on `request` until the lease runs out: one conditional
    /// write.
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
    /// Ends the attempt as `completion` says: one conditional write. A call that is sent again
    /// after its answer was lost gets the same answer.
    fn complete(
        &self,
        request: &RequestKey,
        lease_id: &LeaseId,
        completion: &Completion,
        now: Timestamp,
    ) -> impl Future<Output = Result<Result<(), LeaseLost>, LedgerError>> + Send;
}

/// Files what operators look requests up by. Filed again, it is as it was.
pub trait FileAudit: Send + Sync {
    /// Files what an attempt found out, if `record` is given, and whether the request waits for its
    /// next attempt.
    fn file_attempt(
        &self,
        request: &Request,
        completion: &Completion,
        record: Option<&AttemptRecord>,
        now: Timestamp,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send;

    /// Files the id of an event whose request has ended: it is processed.
    fn file_event(
        &self,
        request: &Request,
        now: Timestamp,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send;
}

/// Keeps a circuit breaker per target, for all workers.
pub trait KeepBreakers: Send + Sync {
    /// Changes the breaker of `target` atomically, and gives it as it is then.
    /// `change` may be asked more than once.
    fn change_breaker<T: Send>(
        &self,
        target: &str,
        change: impl Fn(Breaker) -> (Breaker, T) + Send + Sync,
    ) -> impl Future<Output = Result<(Breaker, T), LedgerError>> + Send;
}

/// All that an attempt asks of the ledger.
pub trait Ledger: Claim + RecordEffect + Complete + FileAudit + KeepBreakers {}

impl<T: Claim + RecordEffect + Complete + FileAudit + KeepBreakers> Ledger for T {}

/// Starts a request anew, for an operator.
pub trait ResetRequest: Send + Sync {
    /// Forgets what was done for a request, so that its next attempt is the first one again and
    /// does all of it: one conditional write.
    fn reset_request(
        &self,
        request: &RequestKey,
        now: Timestamp,
    ) -> impl Future<Output = Result<Result<(), ResetError>, LedgerError>> + Send;
}

/// Reads approval instances at their source.
pub trait ReadInstance: Send + Sync {
    /// The instance, now, with its form.
    fn read_instance(
        &self,
        instance_id: &str,
    ) -> impl Future<Output = Result<Instance, Failure>> + Send;
}

/// Evaluates the conditions of `flows.toml`, without any call.
pub trait Conditions {
    /// Whether a condition of `flows.toml` holds for these values.
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

    /// Whether what `operation` sends to `target` depends on the value of a field of the flow.
    fn uses(&self, target: &str, operation: &str, field: &str) -> bool;
}

/// Acts on targets.
pub trait Act: Conditions + Send + Sync {
    /// Whether `target` allows one operation at a time only, over all workers.
    fn is_exclusive(&self, target: &str) -> bool;

    /// The concurrency limit of `target`: how many effects of one request it is given at the same
    /// time; at least 1.
    fn concurrency(&self, target: &str) -> usize;

    /// Performs one effect; safe to repeat, as "already there" is an outcome and no failure.
    fn act(&self, call: &Call<'_>) -> impl Future<Output = Result<EffectOutcome, Failure>> + Send;
}

/// The ports of [`crate::process`], one type for each.
pub trait Ports {
    /// What was done already.
    type Ledger: Ledger;
    /// The office system.
    type Source: ReadInstance;
    /// The targets.
    type Targets: Act;
    /// Where messages go that cannot succeed.
    type DeadLetters: SendDeadLetter;
    /// The time.
    type Clock: Clock;
}

/// The variable with the trace id, where there is one: a connector sends it along. No template can
/// name it, so it hides no field of a form.
pub const TRACE_ID: &str = "trace id";

/// One effect to perform.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// The target, as `flows.toml` names it.
    pub target: &'a str,
    /// The connector's operation: `add`.
    pub operation: &'a str,
    /// The device.
    pub device: Eui48,
    /// The values that the connector's templates may use, besides `mac`.
    pub variables: &'a serde_json::Map<String, serde_json::Value>,
    /// No quick retry goes on past this.
    pub deadline: Timestamp,
}

impl Call<'_> {
    /// What the ledger files it under.
    #[must_use]
    pub fn key(&self) -> EffectKey {
        EffectKey::new(self.target, self.operation, self.device)
    }
}

/// Sends HTTP requests to other systems.
pub trait Http: Send + Sync {
    /// Sends `request` and reads the whole answer. Redirects are answers like any other.
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> impl Future<Output = Result<http::Response<Bytes>, HttpError>> + Send;
}

/// No answer came, or none that could be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HttpError {
    /// No connection: nothing was sent.
    #[error("no connection to {host}: {cause}")]
    Connect {
        /// Whom we tried to reach.
        host: String,
        /// The innermost cause.
        cause: String,
    },
    /// The answer did not come in time.
    #[error("no answer from {host} in time")]
    Timeout {
        /// Whom we asked.
        host: String,
    },
    /// The answer is larger than we read.
    #[error("the answer of {host} is larger than {limit} bytes")]
    TooLarge {
        /// Whom we asked.
        host: String,
        /// How much we read at most.
        limit: usize,
    },
    /// The exchange broke off, or was no HTTP.
    #[error("the exchange with {host} broke off: {cause}")]
    Broken {
        /// Whom we asked.
        host: String,
        /// The innermost cause.
        cause: String,
    },
}
