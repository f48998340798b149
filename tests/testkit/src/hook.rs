//! Hooks around port calls: to count them, fail, panic, hang, or crash a worker at a chosen point.

use std::ops::Range;

use greenlight_core::Failure;
use greenlight_core::audit::AttemptRecord;
use greenlight_core::block::Block;
use greenlight_core::breaker::Breaker;
use greenlight_core::explain::Explanation;
use greenlight_core::form::{Attachment, Field};
use greenlight_core::grant::{GrantKey, GrantRecord};
use greenlight_core::instance::Instance;
use greenlight_core::lease::{Lease, LeaseId, LeaseLost};
use greenlight_core::ledger::{
    ClaimError, Claimed, Completion, Effect, EffectKey, EffectKind, Progress,
};
use greenlight_core::names::NamesInUse;
use greenlight_core::person::{PersonKey, PersonRecord, Presence};
use greenlight_core::ports::{
    Act, Acted, Call, Claim, Complete, Conditions, CountUnwanted, DeadLetter, Enqueue, FileAudit,
    FindDueGrants, FindHeldGrants, FindNamesInUse, KeepBlocks, KeepBreakers, KeepGrants,
    KeepPersons, KeepSchedule, KeepSweeps, LedgerError, ListInstances, Listed, QueueError,
    QueueMessage, ReadInstance, ReadPerson, ReadRequest, ReadSheet, RecordEffect, SendDeadLetter,
};
use greenlight_core::schedule::Schedule;
use greenlight_core::sweep::{Pace, Sweep, SweepKey};
use greenlight_core::{Request, RequestKey, Timestamp};
use serde_json::{Map, Value};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortCall {
    Claim(RequestKey),
    /// Of [`RecordEffect`].
    RecordEffect(EffectKey),
    Complete(RequestKey),
    /// [`FileAudit::file_attempt`].
    FileAttempt,
    /// [`FileAudit::file_event`].
    FileEvent,
    /// Of [`KeepBreakers`].
    ChangeBreaker,
    /// Of [`KeepGrants`].
    ChangeGrant(GrantKey),
    /// Of [`FindDueGrants`].
    DueGrants,
    /// Of [`FindHeldGrants`].
    HeldGrants,
    /// Of [`FindNamesInUse`].
    NamesInUse,
    /// Of [`KeepPersons`].
    ChangePerson,
    /// Of [`KeepBlocks`].
    ReadBlock,
    /// Of [`KeepSchedule`].
    ChangeSchedule,
    /// Of [`KeepSweeps`].
    ChangeSweep,
    /// Of [`ListInstances`].
    ListInstances,
    Enqueue,
    CountUnwanted,
    ReadRequest,
    /// Of [`ReadInstance`], with the instance.
    ReadInstance(String),
    /// Of [`ReadPerson`].
    ReadPerson,
    ReadSheet(String),
    Act(EffectKey),
    /// Of [`SendDeadLetter`].
    SendDeadLetter,
}

/// Code that runs before and after each call of a port.
pub trait Hook: Send + Sync {
    /// Runs before a call.
    fn before(&self, call: &PortCall) -> impl Future<Output = ()> + Send;

    /// Runs after a call; `has_succeeded` is false for errors and rejected commands.
    fn after(&self, call: &PortCall, has_succeeded: bool) -> impl Future<Output = ()> + Send;
}

/// A port with a hook around each of its calls.
#[derive(Clone, Debug)]
pub struct Hooked<P, H> {
    pub port: P,
    pub hook: H,
}

impl<P: Sync, H: Hook> Hooked<P, H> {
    async fn around<T>(
        &self,
        call: PortCall,
        result: impl Future<Output = T> + Send,
        has_succeeded: impl Fn(&T) -> bool + Send,
    ) -> T
    where
        T: Send,
    {
        self.hook.before(&call).await;
        let result = result.await;
        let has_succeeded = has_succeeded(&result);
        self.hook.after(&call, has_succeeded).await;
        result
    }
}

impl<P: Claim, H: Hook> Claim for Hooked<P, H> {
    async fn claim(
        &self,
        request: &Request,
        lease: &Lease,
        now: Timestamp,
    ) -> Result<Result<Claimed, ClaimError>, LedgerError> {
        let result = self.port.claim(request, lease, now);
        self.around(PortCall::Claim(request.key()), result, |it| matches!(it, Ok(Ok(_)))).await
    }
}

impl<P: RecordEffect, H: Hook> RecordEffect for Hooked<P, H> {
    async fn record_effect(
        &self,
        request: &RequestKey,
        lease_id: &LeaseId,
        key: &EffectKey,
        effect: Effect,
        now: Timestamp,
    ) -> Result<Result<(), LeaseLost>, LedgerError> {
        let result = self.port.record_effect(request, lease_id, key, effect, now);
        self.around(PortCall::RecordEffect(key.clone()), result, |it| matches!(it, Ok(Ok(()))))
            .await
    }
}

impl<P: Complete, H: Hook> Complete for Hooked<P, H> {
    async fn complete(
        &self,
        request: &RequestKey,
        lease_id: &LeaseId,
        completion: &Completion,
        now: Timestamp,
    ) -> Result<Result<(), LeaseLost>, LedgerError> {
        let result = self.port.complete(request, lease_id, completion, now);
        self.around(PortCall::Complete(request.clone()), result, |it| matches!(it, Ok(Ok(()))))
            .await
    }
}

impl<P: FileAudit, H: Hook> FileAudit for Hooked<P, H> {
    async fn file_attempt(
        &self,
        request: &Request,
        completion: &Completion,
        record: Option<&AttemptRecord>,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let result = self.port.file_attempt(request, completion, record, now);
        self.around(PortCall::FileAttempt, result, Result::is_ok).await
    }

    async fn file_event(&self, request: &Request, now: Timestamp) -> Result<(), LedgerError> {
        self.around(PortCall::FileEvent, self.port.file_event(request, now), Result::is_ok).await
    }
}

impl<P: KeepBreakers, H: Hook> KeepBreakers for Hooked<P, H> {
    async fn change_breaker<T: Send>(
        &self,
        target: &str,
        change: impl Fn(Breaker) -> (Breaker, T) + Send + Sync,
    ) -> Result<(Breaker, T), LedgerError> {
        let result = self.port.change_breaker(target, change);
        self.around(PortCall::ChangeBreaker, result, Result::is_ok).await
    }
}

impl<P: KeepGrants, H: Hook> KeepGrants for Hooked<P, H> {
    async fn change_grant<T: Send>(
        &self,
        key: &GrantKey,
        change: impl Fn(GrantRecord) -> (GrantRecord, T) + Send + Sync,
    ) -> Result<(GrantRecord, T), LedgerError> {
        let result = self.port.change_grant(key, change);
        self.around(PortCall::ChangeGrant(key.clone()), result, Result::is_ok).await
    }
}

impl<P: FindDueGrants, H: Hook> FindDueGrants for Hooked<P, H> {
    async fn due_grants(
        &self,
        now: Timestamp,
        at_most: usize,
    ) -> Result<Vec<GrantKey>, LedgerError> {
        let result = self.port.due_grants(now, at_most);
        self.around(PortCall::DueGrants, result, Result::is_ok).await
    }
}

impl<P: FindHeldGrants, H: Hook> FindHeldGrants for Hooked<P, H> {
    async fn grants_held_by(
        &self,
        owner: &str,
    ) -> Result<Vec<(GrantKey, GrantRecord)>, LedgerError> {
        self.around(PortCall::HeldGrants, self.port.grants_held_by(owner), Result::is_ok).await
    }
}

impl<P: FindNamesInUse, H: Hook> FindNamesInUse for Hooked<P, H> {
    async fn names_in_use(&self) -> Result<NamesInUse, LedgerError> {
        self.around(PortCall::NamesInUse, self.port.names_in_use(), Result::is_ok).await
    }
}

impl<P: KeepPersons, H: Hook> KeepPersons for Hooked<P, H> {
    async fn change_person<T: Send>(
        &self,
        key: &PersonKey,
        change: impl Fn(PersonRecord) -> (PersonRecord, T) + Send + Sync,
    ) -> Result<(PersonRecord, T), LedgerError> {
        let result = self.port.change_person(key, change);
        self.around(PortCall::ChangePerson, result, Result::is_ok).await
    }
}

impl<P: KeepBlocks, H: Hook> KeepBlocks for Hooked<P, H> {
    async fn block_of(&self, subject: &str, now: Timestamp) -> Result<Option<Block>, LedgerError> {
        let result = self.port.block_of(subject, now);
        self.around(PortCall::ReadBlock, result, Result::is_ok).await
    }
}

impl<P: KeepSchedule, H: Hook> KeepSchedule for Hooked<P, H> {
    async fn change_schedule<T: Send>(
        &self,
        change: impl Fn(Schedule) -> (Schedule, T) + Send + Sync,
    ) -> Result<(Schedule, T), LedgerError> {
        let result = self.port.change_schedule(change);
        self.around(PortCall::ChangeSchedule, result, Result::is_ok).await
    }
}

impl<P: KeepSweeps, H: Hook> KeepSweeps for Hooked<P, H> {
    async fn change_sweep<T: Send>(
        &self,
        key: &SweepKey,
        change: impl Fn(Sweep) -> (Sweep, T) + Send + Sync,
    ) -> Result<(Sweep, T), LedgerError> {
        let result = self.port.change_sweep(key, change);
        self.around(PortCall::ChangeSweep, result, Result::is_ok).await
    }
}

impl<P: ListInstances, H: Hook> ListInstances for Hooked<P, H> {
    fn pace(&self, source: &str) -> Option<Pace> {
        self.port.pace(source)
    }

    async fn list_created(
        &self,
        key: &SweepKey,
        window: Range<Timestamp>,
    ) -> Result<Listed, Failure> {
        let result = self.port.list_created(key, window);
        self.around(PortCall::ListInstances, result, Result::is_ok).await
    }
}

impl<P: Enqueue, H: Hook> Enqueue for Hooked<P, H> {
    async fn enqueue(&self, message: &impl QueueMessage) -> Result<(), QueueError> {
        self.around(PortCall::Enqueue, self.port.enqueue(message), Result::is_ok).await
    }
}

impl<P: CountUnwanted, H: Hook> CountUnwanted for Hooked<P, H> {
    async fn count_unwanted(&self, request: &Request, now: Timestamp) -> Result<(), LedgerError> {
        let result = self.port.count_unwanted(request, now);
        self.around(PortCall::CountUnwanted, result, Result::is_ok).await
    }
}

impl<P: ReadRequest, H: Hook> ReadRequest for Hooked<P, H> {
    async fn is_replayed(&self, request: &Request) -> Result<bool, LedgerError> {
        let result = self.port.is_replayed(request);
        self.around(PortCall::ReadRequest, result, Result::is_ok).await
    }

    async fn is_done(&self, request: &RequestKey) -> Result<Option<bool>, LedgerError> {
        let result = self.port.is_done(request);
        self.around(PortCall::ReadRequest, result, Result::is_ok).await
    }

    async fn progress(&self, request: &RequestKey) -> Result<Option<Progress>, LedgerError> {
        let result = self.port.progress(request);
        self.around(PortCall::ReadRequest, result, Result::is_ok).await
    }
}

impl<P: ReadInstance, H: Hook> ReadInstance for Hooked<P, H> {
    async fn read_instance(&self, request: &Request) -> Result<Instance, Failure> {
        let call = PortCall::ReadInstance(request.instance_id.clone());
        self.around(call, self.port.read_instance(request), Result::is_ok).await
    }
}

impl<P: ReadPerson, H: Hook> ReadPerson for Hooked<P, H> {
    async fn presence(&self, person: &PersonKey) -> Result<Presence, Failure> {
        self.around(PortCall::ReadPerson, self.port.presence(person), Result::is_ok).await
    }
}

impl<P: ReadSheet, H: Hook> ReadSheet for Hooked<P, H> {
    async fn read_sheet(
        &self,
        source: &str,
        file: &Attachment,
    ) -> Result<Result<Vec<Vec<Field>>, Explanation>, Failure> {
        let call = PortCall::ReadSheet(file.name.clone());
        self.around(call, self.port.read_sheet(source, file), Result::is_ok).await
    }
}

impl<P: Conditions, H> Conditions for Hooked<P, H> {
    fn holds(&self, condition: &str, variables: &Map<String, Value>) -> Result<bool, Failure> {
        self.port.holds(condition, variables)
    }

    fn condition_uses(&self, condition: &str, field: &str) -> bool {
        self.port.condition_uses(condition, field)
    }

    fn uses(&self, target: &str, operation: &str, field: &str) -> bool {
        self.port.uses(target, operation, field)
    }

    fn kind(&self, target: &str, operation: &str) -> EffectKind {
        self.port.kind(target, operation)
    }

    fn revoked_by(&self, target: &str, operation: &str) -> Option<String> {
        self.port.revoked_by(target, operation)
    }
}

impl<P: Act, H: Hook> Act for Hooked<P, H> {
    fn is_exclusive(&self, target: &str) -> bool {
        self.port.is_exclusive(target)
    }

    fn concurrency(&self, target: &str) -> usize {
        self.port.concurrency(target)
    }

    async fn act(&self, call: &Call<'_>) -> Result<Acted, Failure> {
        self.around(PortCall::Act(call.key()), self.port.act(call), Result::is_ok).await
    }
}

impl<P: SendDeadLetter, H: Hook> SendDeadLetter for Hooked<P, H> {
    async fn send_dead_letter(&self, letter: &DeadLetter<'_>) -> Result<(), QueueError> {
        let result = self.port.send_dead_letter(letter);
        self.around(PortCall::SendDeadLetter, result, Result::is_ok).await
    }
}
