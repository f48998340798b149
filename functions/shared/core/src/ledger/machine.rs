//! The state machine itself: what each command makes of a record.

use std::collections::BTreeMap;

use super::{ClaimError, Claimed, Completion, Effect, EffectKey, Record, ResetError, State};
use crate::Timestamp;
use crate::lease::{Lease, LeaseId, LeaseLost};

/// A command to the state machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Acquires the lease.
    Claim(Lease),
    RecordEffect(LeaseId, EffectKey, Effect),
    /// Ends the attempt.
    Complete(LeaseId, Completion),
    /// Deletes the recorded effects, so that the next attempt counts as the first; unless there was
    /// another attempt than the one that the operator knows of.
    Reset {
        /// The number of the last attempt.
        attempt: u32,
    },
}

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
        Command::Reset { attempt } => {
            let (record, answer) = reset(record, attempt, now);
            (record, CommandResult::Reset(answer))
        }
    }
}

fn reset(
    record: Option<Record>,
    known: u32,
    now: Timestamp,
) -> (Option<Record>, Result<(), ResetError>) {
    match record {
        None => (None, Err(ResetError::Unknown)),
        Some(Record { state: State::Running(ref lease), .. }) if now < lease.until => {
            (record, Err(ResetError::Running))
        }
        // Without an attempt nothing is forgotten: this very change is made again.
        Some(Record { attempt, .. }) if ![0, known].contains(&attempt) => {
            (record, Err(ResetError::Changed))
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
    let taken = Claimed::from(record.clone());
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
