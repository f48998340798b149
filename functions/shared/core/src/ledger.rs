//! The state machine of one request, as a pure function: which effects are done, and which worker
//! holds the lease.
//!
//! ```text
//! (absent) -claim-> running{lease, attempt} -complete-> done
//!                      |  ^                 \-complete-> failed{reason} -claim-> running
//!                      \--/ claim, once the lease ran out or was released
//! ```
//! A reset returns a record whose lease is free to the state before the first claim.
//!
//! [`apply`] is the machine. The ledger in SQLite runs it inside a transaction; the one on DynamoDB
//! expresses each command as one conditional write. One conformance suite tests both against it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Timestamp;
use crate::failure::Reason;
use crate::mac::Eui48;
use crate::retry::RetryState;

/// How long completed requests and processed event ids are kept.
///
/// Longer than the retention of the queue (14 days), of the dead-letter queue (14 days) and the
/// replay window together, so that a redrive weeks later still finds the recorded effects; a year
/// serves audits.
pub const REMEMBERED_FOR: Duration = Duration::from_hours(400 * 24);

/// The id of a lease, new for every attempt.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeaseId(String);

impl LeaseId {
    /// Draws 128 bits from the operating system's random number generator: two workers that start
    /// at the same moment, or from the same memory snapshot, must not draw the same id.
    ///
    /// # Errors
    /// [`getrandom::Error`] when the operating system returns none.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(format!("{:032x}", u128::from_be_bytes(bytes))))
    }

    /// The form in which stores keep it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for LeaseId {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

/// The exclusive right to work on a request, for a limited time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lease {
    /// The id, drawn for the attempt that holds the lease.
    pub id: LeaseId,
    /// The moment at which it expires.
    pub until: Timestamp,
}

/// The ledger's record of one request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Record {
    /// The state.
    pub state: State,
    /// The number of claims.
    pub attempt: u32,
    /// The effects that were done.
    pub effects: BTreeMap<EffectKey, Effect>,
    /// The state that the last ended attempt left; `None` before that.
    #[serde(default)]
    pub retry: Option<RetryState>,
}

/// The state of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A worker claimed it; the lease may have expired or been released since.
    Running(Lease),
    /// Every effect was done.
    Done {
        /// When.
        at: Timestamp,
        /// The lease of the attempt that completed it.
        by: LeaseId,
    },
    /// No retry can succeed; its message is in the dead-letter queue.
    Failed {
        /// When.
        at: Timestamp,
        /// The lease of the attempt that completed it.
        by: LeaseId,
        /// The reason.
        reason: String,
    },
}

/// The key of an effect: one operation on one device at one target, done at most once per request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EffectKey(String);

impl EffectKey {
    /// The key of `operation` on `device` at `target`.
    #[must_use]
    pub fn new(target: &str, operation: &str, device: Eui48) -> Self {
        Self(format!("{target}/{operation}/{device}"))
    }

    /// The form in which stores keep it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Target, operation and device. `None` when the key was not made by [`EffectKey::new`].
    #[must_use]
    pub fn parts(&self) -> Option<(&str, &str, Eui48)> {
        let mut parts = self.0.rsplitn(3, '/');
        let (device, operation, target) = (parts.next()?, parts.next()?, parts.next()?);
        Some((target, operation, Eui48::parse(device).ok()?))
    }
}

impl From<&str> for EffectKey {
    fn from(key: &str) -> Self {
        Self(key.to_owned())
    }
}

/// An effect that was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Effect {
    /// The outcome.
    pub outcome: EffectOutcome,
    /// When.
    pub at: Timestamp,
}

/// The outcomes with which an effect counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectOutcome {
    /// The target performed it.
    Done,
    /// The target reported that it was already in this state.
    AlreadyExists,
}

impl EffectOutcome {
    /// The name in stores and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::AlreadyExists => "already_exists",
        }
    }
}

impl fmt::Display for EffectOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The result of a successful claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The effects of earlier attempts, not to be repeated.
    pub effects: BTreeMap<EffectKey, Effect>,
    /// The state that the last ended attempt left; `None` before that.
    pub retry: Option<RetryState>,
}

impl Claimed {
    /// The targets and devices that failed before, as [`crate::retry::subject_key`] writes them.
    #[must_use]
    pub fn failed(&self) -> BTreeSet<String> {
        self.retry.as_ref().map(|retry| retry.failed.clone()).unwrap_or_default()
    }
}

/// The reason for which a claim is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimError {
    /// Another worker's lease has not expired.
    Held {
        /// The moment at which it expires.
        until: Timestamp,
    },
    /// An earlier attempt completed the request.
    Completed,
}

/// The lease has expired or another worker holds it; the command changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the lease on the request is lost")]
pub struct LeaseLost;

/// The reason for which a reset is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ResetError {
    /// The ledger has no such request.
    #[error("the ledger does not know the request")]
    Unknown,
    /// A worker holds its lease.
    #[error("a worker is at the request")]
    Running,
}

/// The result with which an attempt ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completion {
    /// Every effect was done.
    Done,
    /// No retry can succeed.
    Failed {
        /// The reason.
        reason: Reason,
        /// The state for an attempt after a redrive.
        retry: RetryState,
    },
    /// The request will be retried: the lease is released.
    Released {
        /// The reason.
        reason: Reason,
        /// The state for the next attempt.
        retry: RetryState,
    },
}

impl Completion {
    /// Whether it ends the request, at least until a redrive.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        !matches!(self, Self::Released { .. })
    }

    /// The reason for which work is left, and the state for the next attempt.
    #[must_use]
    pub const fn failure(&self) -> Option<(&Reason, &RetryState)> {
        match self {
            Self::Done => None,
            Self::Failed { reason, retry } | Self::Released { reason, retry } => {
                Some((reason, retry))
            }
        }
    }
}

/// A command to the state machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Acquires the lease.
    Claim(Lease),
    /// Records an effect.
    RecordEffect(LeaseId, EffectKey, Effect),
    /// Ends the attempt.
    Complete(LeaseId, Completion),
    /// Deletes the recorded effects, so that the next attempt counts as the first.
    Reset,
}

/// The result of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandResult {
    /// The result of [`Command::Claim`].
    Claim(Result<Claimed, ClaimError>),
    /// The result of [`Command::RecordEffect`] and [`Command::Complete`].
    Write(Result<(), LeaseLost>),
    /// The result of [`Command::Reset`].
    Reset(Result<(), ResetError>),
}

impl Record {
    /// The record before the first claim: as if this lease had been released.
    fn unclaimed(lease_id: &LeaseId) -> Self {
        let lease = Lease { id: lease_id.clone(), until: Timestamp::default() };
        Self { state: State::Running(lease), attempt: 0, effects: BTreeMap::new(), retry: None }
    }

    /// Whether this lease is valid at `now`.
    fn is_held_by(&self, lease_id: &LeaseId, now: Timestamp) -> bool {
        matches!(&self.state, State::Running(lease) if lease.id == *lease_id && now < lease.until)
    }

    /// Whether this very completion was already applied, and nothing has happened since.
    fn is_completed_by(&self, lease_id: &LeaseId, completion: &Completion, now: Timestamp) -> bool {
        match (&self.state, completion) {
            (State::Done { at, by }, Completion::Done)
            | (State::Failed { at, by, .. }, Completion::Failed { .. }) => {
                *at == now && by == lease_id
            }
            (State::Running(lease), Completion::Released { retry, .. }) => {
                let is_released = lease.until == Timestamp::default();
                is_released && lease.id == *lease_id && self.retry.as_ref() == Some(retry)
            }
            _ => false,
        }
    }
}

/// The state machine: applies `command` at `now` to `record`, and returns the new record and the
/// result.
///
/// A refused command leaves the record unchanged.
#[must_use]
pub fn apply(
    record: Option<Record>,
    command: Command,
    now: Timestamp,
) -> (Option<Record>, CommandResult) {
    match command {
        Command::Claim(lease) => {
            let (record, answer) = claim(record, lease, now);
            (Some(record), CommandResult::Claim(answer))
        }
        Command::RecordEffect(lease_id, key, effect) => write(record, &lease_id, now, |record| {
            record.effects.entry(key).or_insert(effect);
        }),
        // The response was lost and the command is sent again: the same result.
        Command::Complete(lease_id, completion)
            if record
                .as_ref()
                .is_some_and(|it| it.is_completed_by(&lease_id, &completion, now)) =>
        {
            (record, CommandResult::Write(Ok(())))
        }
        Command::Complete(lease_id, completion) => write(record, &lease_id, now, |record| {
            if let Some((_, retry)) = completion.failure() {
                record.retry = Some(retry.clone());
            }
            record.state = match completion {
                Completion::Done => State::Done { at: now, by: lease_id.clone() },
                Completion::Failed { reason, .. } => {
                    State::Failed { at: now, by: lease_id.clone(), reason: reason.to_string() }
                }
                Completion::Released { .. } => {
                    State::Running(Lease { id: lease_id.clone(), until: Timestamp::default() })
                }
            };
        }),
        Command::Reset => {
            let (record, answer) = reset(record, now);
            (record, CommandResult::Reset(answer))
        }
    }
}

fn reset(record: Option<Record>, now: Timestamp) -> (Option<Record>, Result<(), ResetError>) {
    match record {
        None => (None, Err(ResetError::Unknown)),
        Some(Record { state: State::Running(ref lease), .. }) if now < lease.until => {
            (record, Err(ResetError::Running))
        }
        Some(_) => (Some(Record::unclaimed(&LeaseId::from("reset"))), Ok(())),
    }
}

fn claim(
    record: Option<Record>,
    lease: Lease,
    now: Timestamp,
) -> (Record, Result<Claimed, ClaimError>) {
    let mut record = record.unwrap_or_else(|| Record::unclaimed(&lease.id));
    match record.state {
        State::Done { .. } => return (record, Err(ClaimError::Completed)),
        State::Running(Lease { ref id, until }) if now < until => {
            if *id != lease.id {
                return (record, Err(ClaimError::Held { until }));
            }
            // The response to this claim was lost and it is sent again: the same result.
        }
        State::Running(_) | State::Failed { .. } => {
            record.attempt = record.attempt.saturating_add(1);
            record.state = State::Running(lease);
        }
    }
    let (effects, retry) = (record.effects.clone(), record.retry.clone());
    let taken = Claimed { attempt: record.attempt, effects, retry };
    (record, Ok(taken))
}

fn write(
    record: Option<Record>,
    lease_id: &LeaseId,
    now: Timestamp,
    change: impl FnOnce(&mut Record),
) -> (Option<Record>, CommandResult) {
    match record {
        Some(mut record) if record.is_held_by(lease_id, now) => {
            change(&mut record);
            (Some(record), CommandResult::Write(Ok(())))
        }
        record => (record, CommandResult::Write(Err(LeaseLost))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Class;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn reason() -> Reason {
        Reason::new(Class::InvalidForm, "no device")
    }

    fn claim_by(lease_id: &str, until: i64) -> Command {
        Command::Claim(Lease { id: lease_id.into(), until: at(until) })
    }

    fn effect() -> Effect {
        Effect { outcome: EffectOutcome::Done, at: at(5) }
    }

    /// Runs commands in order; returns the last record and result.
    fn run(
        steps: impl IntoIterator<Item = (i64, Command)>,
    ) -> (Option<Record>, Vec<CommandResult>) {
        let mut record = None;
        let mut answers = Vec::new();
        for (now, command) in steps {
            let (next, answer) = apply(record, command, at(now));
            record = next;
            answers.push(answer);
        }
        (record, answers)
    }

    #[test]
    fn the_second_claim_waits_for_the_lease() {
        let (_, answers) =
            run([(0, claim_by("a", 10)), (9, claim_by("b", 19)), (10, claim_by("c", 20))]);
        assert!(matches!(answers[0], CommandResult::Claim(Ok(Claimed { attempt: 1, .. }))));
        assert_eq!(answers[1], CommandResult::Claim(Err(ClaimError::Held { until: at(10) })));
        assert!(matches!(answers[2], CommandResult::Claim(Ok(Claimed { attempt: 2, .. }))));
    }

    #[test]
    fn g07_expired_lease_cannot_record_effects() {
        let record_as =
            |lease_id: &str| Command::RecordEffect(lease_id.into(), "nac/add/x".into(), effect());
        let complete_as = |lease_id: &str| Command::Complete(lease_id.into(), Completion::Done);
        let (record, answers) = run([
            (0, claim_by("a", 10)),
            (10, record_as("a")),
            (11, claim_by("b", 20)),
            (12, record_as("a")),
            (13, complete_as("a")),
        ]);
        assert_eq!(answers[1], CommandResult::Write(Err(LeaseLost)));
        assert_eq!(answers[3], CommandResult::Write(Err(LeaseLost)));
        assert_eq!(answers[4], CommandResult::Write(Err(LeaseLost)));
        assert!(record.is_some_and(|record| record.effects.is_empty()
            && matches!(record.state, State::Running(lease) if lease.id == "b".into())));
    }

    #[test]
    fn a_later_attempt_is_told_what_was_done() {
        let key = EffectKey::from("nac/add/x");
        let retry = RetryState { attempt: 1, wait_ms: 30_000, ..RetryState::default() };
        let (reason, left) = (reason(), retry.clone());
        let released = Completion::Released { reason: reason.clone(), retry: left.clone() };
        for ending in [released, Completion::Failed { reason, retry: left }] {
            let (_, answers) = run([
                (0, claim_by("a", 10)),
                (1, Command::RecordEffect("a".into(), key.clone(), effect())),
                (2, Command::Complete("a".into(), ending)),
                (3, claim_by("b", 13)),
            ]);
            let effects = BTreeMap::from([(key.clone(), effect())]);
            let taken = Claimed { attempt: 2, effects, retry: Some(retry.clone()) };
            assert_eq!(answers[3], CommandResult::Claim(Ok(taken)));
        }
    }

    #[test]
    fn a_claim_that_is_sent_again_gets_the_same_answer() {
        let (_, answers) = run([(0, claim_by("a", 10)), (1, claim_by("a", 10))]);
        assert_eq!(answers[0], answers[1]);
    }

    #[test]
    fn reset_forgets_what_was_done_unless_a_worker_holds_the_lease() {
        let record_effect = Command::RecordEffect("a".into(), "nac/add/x".into(), effect());
        let (_, answers) = run([
            (0, Command::Reset),
            (1, claim_by("a", 10)),
            (2, record_effect),
            (3, Command::Reset),
            (4, Command::Complete("a".into(), Completion::Done)),
            (5, Command::Reset),
            (6, claim_by("b", 20)),
        ]);
        assert_eq!(answers[0], CommandResult::Reset(Err(ResetError::Unknown)));
        assert_eq!(answers[3], CommandResult::Reset(Err(ResetError::Running)));
        assert_eq!(answers[5], CommandResult::Reset(Ok(())));
        let anew = Claimed { attempt: 1, effects: BTreeMap::new(), retry: None };
        assert_eq!(answers[6], CommandResult::Claim(Ok(anew)));
    }

    #[test]
    fn complete_that_is_sent_again_gets_the_same_answer() {
        let (reason, retry) = (reason(), RetryState { attempt: 1, ..RetryState::default() });
        let failed = Completion::Failed { reason: reason.clone(), retry: retry.clone() };
        let released = Completion::Released { reason, retry };
        for completion in [Completion::Done, failed, released] {
            let complete = |lease_id: &str| Command::Complete(lease_id.into(), completion.clone());
            let (record, answers) = run([
                (0, claim_by("a", 10)),
                (1, complete("a")),
                (1, complete("a")),
                (1, complete("b")),
            ]);
            assert_eq!(answers[2], CommandResult::Write(Ok(())), "{record:?}");
            assert_eq!(answers[3], CommandResult::Write(Err(LeaseLost)), "{record:?}");
        }
    }

    #[test]
    fn done_is_done() {
        let (_, answers) = run([
            (0, claim_by("a", 10)),
            (1, Command::Complete("a".into(), Completion::Done)),
            (1_000_000, claim_by("b", 2_000_000)),
        ]);
        assert_eq!(answers[2], CommandResult::Claim(Err(ClaimError::Completed)));
    }
}
