//! How much access a person may hold by a flow, and what a new access replaces.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use super::error::WorkerError;
use super::left::is_held_by;
use super::{AttemptError, Job, PlannedEffect, Processor};
use crate::failure::{Class, Failure};
use crate::flow::{Flow, WhenFull};
use crate::grant::{BeginError, EndReason, GrantKey, GrantRecord, HoldId};
use crate::ledger::EffectKind;
use crate::person::{Counted, Counting, NotCounted, PersonKey, PersonRecord, Presence, Wanted};
use crate::ports::{Clock, Conditions, KeepGrants, KeepPersons, LedgerError, Ports, ReadPerson};
use crate::time::Timestamp;

/// Later than any hold was recorded.
const NEVER: Timestamp = Timestamp::from_millis(i64::MAX);

/// The most attempts to count one subject.
const MAX_ATTEMPTS: usize = 4;

/// The owners that an attempt has found to be members. One who leaves meanwhile is found by the
/// second look for what the person holds, which comes when the attempt is over.
#[derive(Debug, Default)]
pub(super) struct Admitted(Mutex<BTreeSet<String>>);

impl Admitted {
    fn has(&self, owner: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(owner)
    }

    fn add(&self, owner: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(owner.to_owned());
    }
}

/// What a person holds of one subject, by a flow.
pub(super) struct Held {
    holds: Vec<(GrantKey, Vec<HoldId>)>,
    /// When the first of them was recorded.
    since: Timestamp,
    /// Whether it may end for the request: it is of no younger approval, nor of the request itself.
    may_end: bool,
}

/// The result of a look at the subjects that count.
enum Room {
    /// Some were not held, and are dropped unless they are reserved.
    Dropped,
    /// All of them are held; the one that may end, where the flow ends the oldest.
    None(Option<Held>),
}

/// An access that is wanted for a person.
struct Admission<'a> {
    step: &'a PlannedEffect<'a>,
    person: PersonKey,
    job: &'a Job<'a>,
}

impl<P: Ports> Processor<P> {
    /// Counts the subject for the limit of the owner, before its hold is recorded. The result is
    /// what is to end once the access is given: what the form says is replaced, or what is held
    /// longest. A crash between the two leaves a subject that counts until the limit is reached and
    /// the lease of the worker is over.
    ///
    /// Fails for good for a person who left, at the limit, and for what another person holds.
    pub(super) async fn admit_owner(
        &self,
        step: &PlannedEffect<'_>,
        key: &GrantKey,
        job: &Job<'_>,
    ) -> Result<Result<Vec<Held>, Failure>, AttemptError> {
        let rule = &job.flow.grant;
        let Some(person) = PersonKey::new(&job.request.source, &step.owner) else {
            // No source could know such a person, and no access could be counted.
            if rule.counts_access() {
                return Ok(Err(Failure::give_up(Class::InvalidForm, WorkerError::NoOwner)));
            }
            return Ok(Ok(Vec::new()));
        };
        if rule.counts_access() {
            let (record, ()) = self.ledger.change_grant(key, |record| (record, ())).await?;
            if let Some(reason) = record.ended_for_good(&job.request.hold()) {
                let error = BeginError::Ended { reason };
                return Ok(Err(Failure::give_up(Class::Withdrawn, error)));
            }
        }
        let wanted = Admission { step, person, job };
        let replaced = match self.replaced(&wanted).await? {
            Ok(replaced) => replaced,
            Err(failure) => return Ok(Err(failure)),
        };
        if job.admitted.has(&step.owner) {
            return Ok(Ok(replaced.into_iter().map(|(_, held)| held).collect()));
        }
        self.count_subject(&wanted, &key.subject, replaced).await
    }

    async fn count_subject(
        &self,
        wanted: &Admission<'_>,
        subject: &str,
        replaced: Option<(String, Held)>,
    ) -> Result<Result<Vec<Held>, Failure>, AttemptError> {
        let Admission { person, job, .. } = wanted;
        let (definition_id, per_owner) = (&*job.flow.definition_id, job.flow.grant.per_owner);
        let (mut exceeds, mut reserved_until) = (false, None);
        let makes_room = |others: &BTreeMap<String, Counted>| {
            replaced.as_ref().is_some_and(|(subject, _)| others.contains_key(subject))
        };
        let mut ends = None;
        for _ in 0..MAX_ATTEMPTS {
            let reservation = job.message.lease.until;
            let it =
                Wanted { definition_id, subject, per_owner, exceeds, reserved_until: reservation };
            let count = |record: PersonRecord| record.count(&it);
            match self.ledger.change_person(person, count).await?.1 {
                Ok(Counting::Within) => {
                    if per_owner.is_none() {
                        job.admitted.add(&person.person);
                    }
                    ends = Some(None);
                }
                Ok(Counting::Exceeding(others)) => match self.look_at(wanted, &others).await? {
                    Room::Dropped => {}
                    Room::None(_) if makes_room(&others) => ends = Some(None),
                    Room::None(oldest) => ends = oldest.map(Some),
                },
                Err(NotCounted::Left(left_at)) => {
                    if let Err(failure) = self.confirm_rejoined(person, left_at).await? {
                        return Ok(Err(failure));
                    }
                }
                Err(NotCounted::Full(others)) => {
                    reserved_until = others.values().map(|it| it.reserved_until).max();
                    match self.look_at(wanted, &others).await? {
                        Room::Dropped => {}
                        Room::None(oldest)
                            if !exceeds && (oldest.is_some() || makes_room(&others)) =>
                        {
                            exceeds = true;
                        }
                        // Another request exceeds the limit, and may never end what it was to end.
                        Room::None(Some(oldest)) => self.end_replaced(&[oldest]).await?,
                        Room::None(None) if exceeds && reserved_until > Some(self.clock.now()) => {}
                        Room::None(None) => {
                            let per_owner = per_owner.unwrap_or_default();
                            let error = WorkerError::LimitReached { per_owner };
                            return Ok(Err(Failure::give_up(Class::LimitReached, error)));
                        }
                    }
                }
            }
            if let Some(oldest) = ends {
                let replaced = replaced.map(|(_, held)| held);
                return Ok(Ok(replaced.into_iter().chain(oldest).collect()));
            }
        }
        let wait = reserved_until.map(|until| until.since(self.clock.now()));
        Ok(Err(Failure::retry_after(wait, Class::GrantHeld, WorkerError::LimitContended)))
    }

    /// Drops the subjects of which the person holds nothing by the flow.
    async fn look_at(
        &self,
        wanted: &Admission<'_>,
        counted: &BTreeMap<String, Counted>,
    ) -> Result<Room, LedgerError> {
        let Admission { person, job, .. } = wanted;
        let (mut unheld, mut oldest) = (Vec::new(), None::<Held>);
        for subject in counted.keys() {
            match self.held(wanted, subject).await? {
                None => unheld.push(subject.clone()),
                Some(held) if !held.may_end => {}
                Some(held) if oldest.as_ref().is_none_or(|it| held.since < it.since) => {
                    oldest = Some(held);
                }
                Some(_) => {}
            }
        }
        if unheld.is_empty() {
            let ends_oldest = job.flow.grant.when_full == WhenFull::EndOldest;
            return Ok(Room::None(oldest.filter(|_| ends_oldest)));
        }
        let (definition_id, now) = (&job.flow.definition_id, self.clock.now());
        let drop = |record: PersonRecord| (record.drop_unheld(definition_id, &unheld, now), ());
        self.ledger.change_person(person, drop).await?;
        Ok(Room::Dropped)
    }

    /// Asks the source whether a person who left is a member again.
    async fn confirm_rejoined(
        &self,
        person: &PersonKey,
        left_at: Timestamp,
    ) -> Result<Result<(), Failure>, AttemptError> {
        match self.source.presence(person).await {
            Ok(Presence::Present) => {
                let rejoin = |record: PersonRecord| (record.rejoin(left_at), ());
                self.ledger.change_person(person, rejoin).await?;
                Ok(Ok(()))
            }
            Ok(Presence::Left | Presence::Unknown) => {
                Ok(Err(Failure::give_up(Class::Withdrawn, WorkerError::OwnerLeft)))
            }
            // About this person, and not about the others of the form.
            Err(failure) => Ok(Err(failure)),
        }
    }

    /// What the person holds of the subject that the form says is replaced, with that subject. What
    /// another person holds is not ended by a form.
    async fn replaced(
        &self,
        wanted: &Admission<'_>,
    ) -> Result<Result<Option<(String, Held)>, Failure>, AttemptError> {
        let Admission { step, person, job } = wanted;
        let (Some(replaced), Some(field)) = (&step.replaces, &job.flow.grant.replaces) else {
            return Ok(Ok(None));
        };
        let replaced = replaced.key();
        match self.held(wanted, &replaced).await? {
            Some(held) => Ok(Ok(Some((replaced, held)).filter(|(_, held)| held.may_end))),
            None if self.is_held_by_another(person, &replaced, job.flow).await? => {
                let error = WorkerError::OthersAccess { field: field.clone() };
                Ok(Err(Failure::give_up(Class::InvalidForm, error)))
            }
            // It ended before, or an earlier attempt has ended it.
            None => Ok(Ok(None)),
        }
    }

    /// Ends what makes room for an access that was given.
    pub(super) async fn end_replaced(&self, ends: &[Held]) -> Result<(), AttemptError> {
        for (key, holds) in ends.iter().flat_map(|held| &held.holds) {
            self.end_and_remove(key, holds, EndReason::Replaced).await?;
        }
        Ok(())
    }

    /// What the person holds of a subject by the flow; `None` if it is nothing.
    async fn held(
        &self,
        wanted: &Admission<'_>,
        subject: &str,
    ) -> Result<Option<Held>, LedgerError> {
        let Admission { step, person, job } = wanted;
        let (own, now) = (job.request.hold(), self.clock.now());
        let approvals_of = (job.flow.source.as_str(), job.flow.definition_id.as_str());
        let is_of_flow = |id: &HoldId| {
            id.approval()
                .is_some_and(|(source, definition, _)| (source, definition) == approvals_of)
        };
        let mut held = Held { holds: Vec::new(), since: NEVER, may_end: true };
        for key in self.granted_by(job.flow, subject) {
            let expire = |record: GrantRecord| (record.expire(now), ());
            let (record, ()) = self.ledger.change_grant(&key, expire).await?;
            let of_flow = record.holds.iter();
            let of_flow = of_flow.filter(|(id, it)| is_of_flow(id) && is_held_by(person, id, it));
            let mut holds = Vec::new();
            for (id, hold) in of_flow {
                held.since = held.since.min(hold.since);
                held.may_end &= *id != own && hold.terms.asked_at <= step.approved_at;
                holds.push(id.clone());
            }
            if !holds.is_empty() {
                held.holds.push((key, holds));
            }
        }
        Ok(Some(held).filter(|held| !held.holds.is_empty()))
    }

    async fn is_held_by_another(
        &self,
        person: &PersonKey,
        subject: &str,
        flow: &Flow,
    ) -> Result<bool, LedgerError> {
        for key in self.granted_by(flow, subject) {
            let (record, ()) = self.ledger.change_grant(&key, |record| (record, ())).await?;
            let others = record.holds.iter().filter(|(id, hold)| !is_held_by(person, id, hold));
            if others.into_iter().any(|(_, hold)| hold.is_live()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The grants of a subject at the targets where the flow gives access.
    fn granted_by(&self, flow: &Flow, subject: &str) -> Vec<GrantKey> {
        let targets = flow.targets();
        let gives_access = |target: &&str| {
            flow.actions.iter().any(|action| {
                action.target == *target
                    && self.targets.kind(target, &action.operation) == EffectKind::Grant
            })
        };
        let key =
            |target: &str| GrantKey { target: target.to_owned(), subject: subject.to_owned() };
        targets.into_iter().filter(gives_access).map(key).collect()
    }
}
