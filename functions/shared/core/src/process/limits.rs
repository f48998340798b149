//! How much access a person may hold by a flow, and what a new access replaces.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::error::WorkerError;
use super::left::is_held_by;
use super::{AttemptError, Job, PlannedEffect, Processor};
use crate::failure::{Class, Failure};
use crate::flow::{Flow, WhenFull};
use crate::grant::{EndReason, GrantKey, GrantRecord, HoldId};
use crate::ledger::EffectKind;
use crate::person::{NoPlace, PersonKey, PersonRecord, Presence, Wanted};
use crate::ports::{Clock, Conditions, KeepGrants, KeepPersons, LedgerError, Ports, ReadPerson};
use crate::subject::Subject;
use crate::time::Timestamp;

/// The most changes of a person's record for one place.
const TRIES: usize = 4;

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
struct Held {
    subject: String,
    holds: Vec<(GrantKey, Vec<HoldId>)>,
    /// When the first of them was recorded.
    since: Timestamp,
}

impl<P: Ports> Processor<P> {
    /// Whether the person who is to hold the access may. Takes the place of the subject within the
    /// limit of the flow, and ends what the access replaces. Before the hold is recorded: a crash
    /// between the two leaves a place that is given up when the limit is reached.
    pub(super) async fn admit_owner(
        &self,
        step: &PlannedEffect<'_>,
        subject: &Subject,
        job: &Job<'_>,
    ) -> Result<Result<(), Failure>, AttemptError> {
        let Some(person) = PersonKey::new(&job.request.source, &step.owner) else {
            // No source could know such a person, and no access could be counted.
            if job.flow.grant.counts_access() {
                return Ok(Err(Failure::give_up(Class::InvalidForm, WorkerError::NoOwner)));
            }
            return Ok(Ok(()));
        };
        if let Err(failure) = self.replace(step, &person, job.flow).await? {
            return Ok(Err(failure));
        }
        if job.admitted.has(&step.owner) {
            return Ok(Ok(()));
        }
        let (rule, subject) = (&job.flow.grant, subject.key());
        let wanted = Wanted {
            flow: &job.flow.name,
            subject: &subject,
            per_owner: rule.per_owner,
            reserved_until: job.message.lease.until,
        };
        for _ in 0..TRIES {
            let take = |record: PersonRecord| record.take(&wanted);
            let (_, taken) = self.ledger.change_person(&person, take).await?;
            let taken = match taken {
                Ok(()) => {
                    if rule.per_owner.is_none() {
                        job.admitted.add(&step.owner);
                    }
                    return Ok(Ok(()));
                }
                Err(NoPlace::Left) => {
                    if let Err(failure) = self.has_come_back(&person).await? {
                        return Ok(Err(failure));
                    }
                    continue;
                }
                Err(NoPlace::Full(taken)) => taken,
            };
            let mut free = Vec::new();
            let mut oldest: Option<Held> = None;
            for subject in taken {
                match self.held(&person, &subject, job.flow).await? {
                    None => free.push(subject),
                    Some(held) if oldest.as_ref().is_none_or(|it| held.since < it.since) => {
                        oldest = Some(held);
                    }
                    Some(_) => {}
                }
            }
            match (oldest, rule.when_full) {
                (Some(oldest), WhenFull::EndOldest) if free.is_empty() => {
                    self.end_held(&person, job.flow, &oldest).await?;
                    continue;
                }
                _ if free.is_empty() => {
                    let per_owner = rule.per_owner.unwrap_or_default();
                    let error = WorkerError::LimitReached { per_owner };
                    return Ok(Err(Failure::give_up(Class::LimitReached, error)));
                }
                _ => {}
            }
            let now = self.clock.now();
            let give_up = |record: PersonRecord| (record.give_up(&job.flow.name, &free, now), ());
            self.ledger.change_person(&person, give_up).await?;
        }
        // A place that was just taken, for a hold that is not recorded yet.
        Ok(Err(Failure::retry(Class::GrantHeld, WorkerError::LimitContended)))
    }

    /// Asks the source whether a person who left is a member again.
    async fn has_come_back(&self, person: &PersonKey) -> Result<Result<(), Failure>, AttemptError> {
        match self.source.presence(person).await? {
            Presence::Present => {
                let come_back = |record: PersonRecord| (record.come_back(), ());
                self.ledger.change_person(person, come_back).await?;
                Ok(Ok(()))
            }
            Presence::Left | Presence::Unknown => {
                Ok(Err(Failure::give_up(Class::Withdrawn, WorkerError::OwnerLeft)))
            }
        }
    }

    /// Ends what the person holds of the subject that the form says is replaced. What another
    /// person holds is not ended by a form.
    async fn replace(
        &self,
        step: &PlannedEffect<'_>,
        person: &PersonKey,
        flow: &Flow,
    ) -> Result<Result<(), Failure>, AttemptError> {
        let (Some(replaced), Some(field)) = (&step.replaces, &flow.grant.replaces) else {
            return Ok(Ok(()));
        };
        let replaced = replaced.key();
        match self.held(person, &replaced, flow).await? {
            Some(held) => self.end_held(person, flow, &held).await?,
            None if self.is_held_by_another(person, &replaced, flow).await? => {
                let error = WorkerError::OthersAccess { field: field.clone() };
                return Ok(Err(Failure::give_up(Class::InvalidForm, error)));
            }
            // It ended before, or an earlier attempt has ended it.
            None => {}
        }
        Ok(Ok(()))
    }

    async fn end_held(
        &self,
        person: &PersonKey,
        flow: &Flow,
        held: &Held,
    ) -> Result<(), AttemptError> {
        for (key, holds) in &held.holds {
            self.end_and_remove(key, holds, EndReason::Replaced).await?;
        }
        if flow.grant.per_owner.is_some() {
            let free = |record: PersonRecord| (record.free(&flow.name, &held.subject), ());
            self.ledger.change_person(person, free).await?;
        }
        Ok(())
    }

    /// What the person holds of a subject at the targets of the flow; `None` if it is nothing.
    async fn held(
        &self,
        person: &PersonKey,
        subject: &str,
        flow: &Flow,
    ) -> Result<Option<Held>, LedgerError> {
        let mut held = Held { subject: subject.to_owned(), holds: Vec::new(), since: MAX };
        let now = self.clock.now();
        for key in self.granted_by(flow, subject) {
            let expire = |record: GrantRecord| (record.expire(now), ());
            let (record, ()) = self.ledger.change_grant(&key, expire).await?;
            let own = record.holds.iter().filter(|(id, hold)| is_held_by(person, id, hold));
            let own: Vec<_> = own.map(|(id, hold)| (id.clone(), hold.since)).collect();
            held.since =
                own.iter().map(|(_, since)| *since).chain([held.since]).min().unwrap_or(MAX);
            if !own.is_empty() {
                held.holds.push((key, own.into_iter().map(|(id, _)| id).collect()));
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

const MAX: Timestamp = Timestamp::from_millis(i64::MAX);
