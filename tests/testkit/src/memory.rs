//! In-memory implementations of ports.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use greenlight_core::audit::AttemptRecord;
use greenlight_core::block::Block;
use greenlight_core::breaker::Breaker;
use greenlight_core::grant::{GrantKey, GrantRecord};
use greenlight_core::lease::{Lease, LeaseId, LeaseLost};
use greenlight_core::ledger::{
    ClaimError, Claimed, Command, CommandResult, Completion, Effect, EffectKey, Progress, Record,
    State, apply,
};
use greenlight_core::names::NamesInUse;
use greenlight_core::operator::Unwanted;
use greenlight_core::person::{PersonKey, PersonRecord};
use greenlight_core::ports::{
    Claim, Complete, CountUnwanted, DeadLetter, Enqueue, FileAudit, FindDueGrants, FindHeldGrants,
    FindNamesInUse, KeepBlocks, KeepBreakers, KeepGrants, KeepPersons, KeepSchedule, KeepSweeps,
    LedgerError, QueueError, QueueMessage, ReadRequest, RecordEffect, SendDeadLetter,
};
use greenlight_core::queued::Queued;
use greenlight_core::schedule::Schedule;
use greenlight_core::sweep::{Sweep, SweepKey};
use greenlight_core::{Reason, Request, RequestKey, Timestamp};

/// The ledger's state machine over a map. It keeps no audit trail.
#[derive(Clone, Debug, Default)]
pub struct MemoryLedger {
    records: Arc<Mutex<BTreeMap<RequestKey, Record>>>,
    breakers: Arc<Mutex<BTreeMap<String, Breaker>>>,
    grants: Arc<Mutex<BTreeMap<GrantKey, GrantRecord>>>,
    persons: Arc<Mutex<BTreeMap<PersonKey, PersonRecord>>>,
    blocks: Arc<Mutex<BTreeMap<String, Block>>>,
    schedule: Arc<Mutex<Schedule>>,
    /// The records of sweeps.
    pub sweeps: Arc<Mutex<BTreeMap<SweepKey, Sweep>>>,
    unwanted: Arc<Mutex<BTreeMap<String, u64>>>,
    replayed: Arc<Mutex<BTreeSet<(RequestKey, String)>>>,
}

impl MemoryLedger {
    /// The record of a request; `None` if it was never claimed.
    pub fn record(&self, request: &RequestKey) -> Option<Record> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).get(request).cloned()
    }

    /// The record of a grant; an empty one if there is none.
    pub fn grant(&self, key: &GrantKey) -> GrantRecord {
        let grants = self.grants.lock().unwrap_or_else(PoisonError::into_inner);
        grants.get(key).cloned().unwrap_or_default()
    }

    /// Blocks a subject.
    pub fn block(&self, subject: &str, block: Block) {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.insert(subject.to_owned(), block);
    }

    /// Records that an operator asks for a replay, with this event id.
    pub fn replay(&self, request: RequestKey, event_id: &str) {
        let replay = (request, event_id.to_owned());
        self.replayed.lock().unwrap_or_else(PoisonError::into_inner).insert(replay);
    }

    /// The decisions that no flow wanted, by [`Unwanted::key`].
    pub fn unwanted(&self) -> BTreeMap<String, u64> {
        self.unwanted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn apply(&self, request: &RequestKey, command: Command, now: Timestamp) -> CommandResult {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let (record, result) = apply(records.remove(request), command, now);
        if let Some(record) = record {
            records.insert(request.clone(), record);
        }
        result
    }

    fn write(
        &self,
        request: &RequestKey,
        command: Command,
        now: Timestamp,
    ) -> Result<(), LeaseLost> {
        match self.apply(request, command, now) {
            CommandResult::Write(result) => result,
            other => panic!("the result of another command: {other:?}"),
        }
    }
}

impl Claim for MemoryLedger {
    async fn claim(
        &self,
        request: &Request,
        lease: &Lease,
        now: Timestamp,
    ) -> Result<Result<Claimed, ClaimError>, LedgerError> {
        match self.apply(&request.key(), Command::Claim(lease.clone()), now) {
            CommandResult::Claim(result) => Ok(result),
            other => panic!("the result of another command: {other:?}"),
        }
    }
}

impl RecordEffect for MemoryLedger {
    async fn record_effect(
        &self,
        request: &RequestKey,
        lease_id: &LeaseId,
        key: &EffectKey,
        effect: Effect,
        now: Timestamp,
    ) -> Result<Result<(), LeaseLost>, LedgerError> {
        let command = Command::RecordEffect(lease_id.clone(), key.clone(), effect);
        Ok(self.write(request, command, now))
    }
}

impl Complete for MemoryLedger {
    async fn complete(
        &self,
        request: &RequestKey,
        lease_id: &LeaseId,
        completion: &Completion,
        now: Timestamp,
    ) -> Result<Result<(), LeaseLost>, LedgerError> {
        let command = Command::Complete(lease_id.clone(), completion.clone());
        Ok(self.write(request, command, now))
    }
}

impl FileAudit for MemoryLedger {
    async fn file_attempt(
        &self,
        _: &Request,
        _: &Completion,
        _: Option<&AttemptRecord>,
        _: Timestamp,
    ) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn file_event(&self, _: &Request, _: Timestamp) -> Result<(), LedgerError> {
        Ok(())
    }
}

impl CountUnwanted for MemoryLedger {
    async fn count_unwanted(&self, request: &Request, _: Timestamp) -> Result<(), LedgerError> {
        let mut unwanted = self.unwanted.lock().unwrap_or_else(PoisonError::into_inner);
        *unwanted.entry(Unwanted::key(request)).or_default() += 1;
        Ok(())
    }
}

impl ReadRequest for MemoryLedger {
    async fn is_replayed(&self, request: &Request) -> Result<bool, LedgerError> {
        let replay = (request.key(), request.event_id.clone());
        Ok(self.replayed.lock().unwrap_or_else(PoisonError::into_inner).contains(&replay))
    }

    async fn is_done(&self, request: &RequestKey) -> Result<Option<bool>, LedgerError> {
        Ok(self.record(request).map(|record| matches!(record.state, State::Done { .. })))
    }

    async fn progress(&self, request: &RequestKey) -> Result<Option<Progress>, LedgerError> {
        Ok(self.record(request).map(Progress::from))
    }
}

/// Changes one value of a map, and returns its new state with the result of the change.
fn change_one<K: Ord, V: Clone + Default, T>(
    map: &Mutex<BTreeMap<K, V>>,
    key: K,
    change: impl Fn(V) -> (V, T),
) -> (V, T) {
    let mut map = map.lock().unwrap_or_else(PoisonError::into_inner);
    let place = map.entry(key).or_default();
    let (value, result) = change(place.clone());
    place.clone_from(&value);
    (value, result)
}

impl KeepGrants for MemoryLedger {
    async fn change_grant<T: Send>(
        &self,
        key: &GrantKey,
        change: impl Fn(GrantRecord) -> (GrantRecord, T) + Send + Sync,
    ) -> Result<(GrantRecord, T), LedgerError> {
        Ok(change_one(&self.grants, key.clone(), change))
    }
}

impl FindDueGrants for MemoryLedger {
    async fn due_grants(
        &self,
        now: Timestamp,
        at_most: usize,
    ) -> Result<Vec<GrantKey>, LedgerError> {
        let grants = self.grants.lock().unwrap_or_else(PoisonError::into_inner);
        let due = grants.iter().filter_map(|(key, record)| Some((record.due()?, key.clone())));
        let due: BTreeSet<_> = due.filter(|(due, _)| *due <= now).collect();
        Ok(due.into_iter().map(|(_, key)| key).take(at_most).collect())
    }
}

impl FindHeldGrants for MemoryLedger {
    async fn grants_held_by(
        &self,
        owner: &str,
    ) -> Result<Vec<(GrantKey, GrantRecord)>, LedgerError> {
        let grants = self.grants.lock().unwrap_or_else(PoisonError::into_inner);
        let held = grants.iter().filter(|(_, record)| record.is_held_by(owner));
        Ok(held.map(|(key, record)| (key.clone(), record.clone())).collect())
    }
}

impl FindNamesInUse for MemoryLedger {
    async fn names_in_use(&self) -> Result<NamesInUse, LedgerError> {
        let mut names = NamesInUse::default();
        let grants = self.grants.lock().unwrap_or_else(PoisonError::into_inner);
        grants.iter().for_each(|(key, record)| names.add(key, record));
        Ok(names)
    }
}

impl KeepPersons for MemoryLedger {
    async fn change_person<T: Send>(
        &self,
        key: &PersonKey,
        change: impl Fn(PersonRecord) -> (PersonRecord, T) + Send + Sync,
    ) -> Result<(PersonRecord, T), LedgerError> {
        Ok(change_one(&self.persons, key.clone(), change))
    }
}

impl KeepBlocks for MemoryLedger {
    async fn block_of(&self, subject: &str, now: Timestamp) -> Result<Option<Block>, LedgerError> {
        let blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(blocks.get(subject).filter(|block| block.is_in_force(now)).cloned())
    }
}

impl KeepSchedule for MemoryLedger {
    async fn change_schedule<T: Send>(
        &self,
        change: impl Fn(Schedule) -> (Schedule, T) + Send + Sync,
    ) -> Result<(Schedule, T), LedgerError> {
        let mut schedule = self.schedule.lock().unwrap_or_else(PoisonError::into_inner);
        let (changed, result) = change(schedule.clone());
        schedule.clone_from(&changed);
        Ok((changed, result))
    }
}

impl KeepSweeps for MemoryLedger {
    async fn change_sweep<T: Send>(
        &self,
        key: &SweepKey,
        change: impl Fn(Sweep) -> (Sweep, T) + Send + Sync,
    ) -> Result<(Sweep, T), LedgerError> {
        Ok(change_one(&self.sweeps, key.clone(), change))
    }
}

impl KeepBreakers for MemoryLedger {
    async fn change_breaker<T: Send>(
        &self,
        target: &str,
        change: impl Fn(Breaker) -> (Breaker, T) + Send + Sync,
    ) -> Result<(Breaker, T), LedgerError> {
        Ok(change_one(&self.breakers, target.to_owned(), change))
    }
}

/// A dead-letter queue that keeps bodies and reasons in order.
#[derive(Clone, Debug, Default)]
pub struct MemoryDeadLetters(Arc<Mutex<Vec<(String, Reason)>>>);

impl MemoryDeadLetters {
    /// All dead letters.
    pub fn all(&self) -> Vec<(String, Reason)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl SendDeadLetter for MemoryDeadLetters {
    async fn send_dead_letter(&self, letter: &DeadLetter<'_>) -> Result<(), QueueError> {
        let mut letters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        letters.push((letter.body.to_owned(), letter.reason.clone()));
        Ok(())
    }
}

/// A queue that accepts every message, fails, or never answers.
#[derive(Clone, Debug, Default)]
pub struct MemoryQueue {
    messages: Arc<Mutex<Vec<String>>>,
    behaviour: QueueBehaviour,
}

#[derive(Clone, Debug, Default)]
enum QueueBehaviour {
    #[default]
    Takes,
    Fails(QueueError),
    Hangs,
}

impl MemoryQueue {
    /// A queue that fails with `error`.
    pub fn failing(error: QueueError) -> Self {
        Self { behaviour: QueueBehaviour::Fails(error), ..Self::default() }
    }

    /// A queue that never answers.
    pub fn hanging() -> Self {
        Self { behaviour: QueueBehaviour::Hangs, ..Self::default() }
    }

    /// All requests, in order.
    pub fn all(&self) -> Vec<Request> {
        let messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let request = |body: &String| match Queued::parse(body) {
            Ok(Queued::Decision(request)) => Some(request),
            _ => None,
        };
        messages.iter().filter_map(request).collect()
    }

    /// Takes the bodies of all messages out, in order.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.messages.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Enqueue for MemoryQueue {
    async fn enqueue(&self, message: &impl QueueMessage) -> Result<(), QueueError> {
        match &self.behaviour {
            QueueBehaviour::Fails(error) => return Err(error.clone()),
            QueueBehaviour::Hangs => std::future::pending().await,
            QueueBehaviour::Takes => {}
        }
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).push(message.body());
        Ok(())
    }
}
