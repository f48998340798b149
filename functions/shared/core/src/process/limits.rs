//! How much access a person may hold by a flow, and what a new access replaces.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use super::error::WorkerError;
use super::left::is_held_by;
use super::{AttemptError, Job, PlannedEffect, Processor};
use crate::failure::{Class, Failure};
use crate::flow::{Flow, WhenFull};
use crate::grant::{BeginError, EndReason, GrantKey, GrantRecord, Hold, HoldId, HoldState};
use crate::ledger::EffectKind;
use crate::person::{Counted, NotCounted, PersonKey, PersonRecord, Presence, Wanted};
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
struct Held {
    holds: Vec<(GrantKey, Vec<HoldId>)>,
    /// When the first of them was recorded.
    since: Timestamp,
    /// When the last of them was asked for.
    asked_at: Timestamp,
    /// Whether the target has confirmed one of them.
    is_given: bool,
    /// Whether it may end for a request: it is of no younger approval, nor of the request itself.
    may_end: bool,
}

/// What ends once an access is given, as it makes room for it.
pub(super) struct Replaced {
    person: PersonKey,
    /// The subject that is given, if it counts.
    counted: Option<String>,
    /// The subjects whose access ends.
    subjects: BTreeSet<String>,
    /// When the access was asked for: what is younger does not end.
    asked_at: Timestamp,
}

/// The result of a look at the subjects that count.
enum Room {
    /// Something has changed: count again.
    Changed,
    /// Another request may be about to give one of them, or to give it up.
    Contended,
    /// The subject that may end, where there is one.
    Full(Option<String>),
}

/// An access that is wanted for a person.
struct Admission<'a> {
    person: PersonKey,
    asked_at: Timestamp,
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
    ) -> Result<Result<Option<Replaced>, Failure>, AttemptError> {
        let rule = &job.flow.grant;
        let Some(person) = PersonKey::new(&job.request.source, &step.owner) else {
            // No source could know such a person, and no access could be counted.
            if rule.counts_access() {
                return Ok(Err(Failure::give_up(Class::InvalidForm, WorkerError::NoOwner)));
            }
            return Ok(Ok(None));
        };
        if rule.counts_access() {
            let (record, ()) = self.ledger.change_grant(key, |record| (record, ())).await?;
            if let Some(reason) = record.ended_for_good(&job.request.hold()) {
                let error = BeginError::Ended { reason };
                return Ok(Err(Failure::give_up(Class::Withdrawn, error)));
            }
        }
        let wanted = Admission { person, asked_at: step.approved_at, job };
        let replaced = match self.replaced(&wanted, step).await? {
            Ok(replaced) => replaced,
            Err(failure) => return Ok(Err(failure)),
        };
        let instead_of = if job.admitted.has(&step.owner) {
            None
        } else {
            match self.count_subject(&wanted, &key.subject, replaced.as_deref()).await? {
                Ok(instead_of) => instead_of,
                Err(failure) => return Ok(Err(failure)),
            }
        };
        let counted = rule.per_owner.map(|_| key.subject.clone());
        let subjects = replaced.into_iter().chain(instead_of).collect();
        let Admission { person, asked_at, .. } = wanted;
        Ok(Ok(Some(Replaced { person, counted, subjects, asked_at })))
    }

    /// Counts a subject. The result is the one that it counts instead of.
    async fn count_subject(
        &self,
        wanted: &Admission<'_>,
        subject: &str,
        replaced: Option<&str>,
    ) -> Result<Result<Option<String>, Failure>, AttemptError> {
        let Admission { person, job, .. } = wanted;
        let rule = &job.flow.grant;
        let it = Wanted {
            definition_id: &job.flow.definition_id,
            subject,
            per_owner: rule.per_owner,
            reserved_until: job.message.lease.until,
        };
        for _ in 0..MAX_ATTEMPTS {
            let count = |record: PersonRecord| record.count(&it);
            let others = match self.ledger.change_person(person, count).await?.1 {
                Ok(instead_of) => {
                    if rule.per_owner.is_none() {
                        job.admitted.add(&person.person);
                    }
                    return Ok(Ok(instead_of));
                }
                Err(NotCounted::Left(left_at)) => {
                    if let Err(failure) = self.confirm_rejoined(person, left_at).await? {
                        return Ok(Err(failure));
                    }
                    continue;
                }
                Err(NotCounted::Full(others)) => others,
            };
            match self.look_at(wanted, &others, replaced).await? {
                Room::Changed => {}
                Room::Contended => break,
                Room::Full(Some(other)) => {
                    let seen = &others[&other];
                    let instead =
                        |it_is: PersonRecord| (it_is.count_instead(&it, &other, seen), ());
                    self.ledger.change_person(person, instead).await?;
                }
                Room::Full(None) => {
                    let per_owner = rule.per_owner.unwrap_or_default();
                    let error = WorkerError::LimitReached { per_owner };
                    return Ok(Err(Failure::give_up(Class::LimitReached, error)));
                }
            }
        }
        Ok(Err(Failure::retry(Class::GrantHeld, WorkerError::LimitContended)))
    }

    /// Looks at each subject that counts: drops what the person does not hold, and completes what
    /// an attempt that died has left.
    async fn look_at(
        &self,
        wanted: &Admission<'_>,
        counted: &BTreeMap<String, Counted>,
        replaced: Option<&str>,
    ) -> Result<Room, AttemptError> {
        let Admission { person, job, .. } = wanted;
        let ends_oldest = job.flow.grant.when_full == WhenFull::EndOldest;
        let (definition_id, now) = (&job.flow.definition_id, self.clock.now());
        let (mut has_changed, mut is_contended) = (false, false);
        let mut may_end: Option<(Timestamp, &String)> = None;
        for (subject, seen) in counted {
            let is_reserved = now < seen.reserved_until;
            let Some(held) = self.held(person, subject, wanted.asked_at, job).await? else {
                is_contended |= is_reserved;
                if !is_reserved {
                    self.drop_unheld(wanted, subject, seen).await?;
                    has_changed = true;
                }
                continue;
            };
            // It was given, and what it counts instead of has not ended.
            if held.is_given
                && !is_reserved
                && let Some(other) = self.held_instead(wanted, seen).await?
                && other.asked_at <= held.asked_at
            {
                self.end_held(&other).await?;
                let end = |record: PersonRecord| (record.end_instead(definition_id, subject), ());
                self.ledger.change_person(person, end).await?;
                has_changed = true;
                continue;
            }
            let is_replaced = replaced == Some(subject.as_str());
            if !held.may_end || !(is_replaced || ends_oldest) {
                continue;
            }
            if is_reserved {
                is_contended = true;
            } else {
                // What the form names goes first.
                let since = if is_replaced { Timestamp::default() } else { held.since };
                let is_older = may_end.is_none_or(|(oldest, _)| since < oldest);
                may_end = if is_older { Some((since, subject)) } else { may_end };
            }
        }
        Ok(match may_end {
            _ if has_changed => Room::Changed,
            Some((_, subject)) => Room::Full(Some(subject.clone())),
            None if is_contended => Room::Contended,
            None => Room::Full(None),
        })
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

    /// The subject that the form says is replaced, if the person holds it. What another person
    /// holds is not ended by a form.
    async fn replaced(
        &self,
        wanted: &Admission<'_>,
        step: &PlannedEffect<'_>,
    ) -> Result<Result<Option<String>, Failure>, AttemptError> {
        let Admission { person, job, asked_at } = wanted;
        let (Some(replaced), Some(field)) = (&step.replaces, &job.flow.grant.replaces) else {
            return Ok(Ok(None));
        };
        let replaced = replaced.key();
        match self.held(person, &replaced, *asked_at, job).await? {
            Some(held) => Ok(Ok(Some(replaced).filter(|_| held.may_end))),
            None if self.is_held_by_another(person, &replaced, job.flow).await? => {
                let error = WorkerError::OthersAccess { field: field.clone() };
                Ok(Err(Failure::give_up(Class::InvalidForm, error)))
            }
            // It ended before, or an earlier attempt has ended it.
            None => Ok(Ok(None)),
        }
    }

    /// Ends what makes room for an access that was given.
    pub(super) async fn end_replaced(
        &self,
        replaced: &Replaced,
        job: &Job<'_>,
    ) -> Result<(), AttemptError> {
        let Replaced { person, counted, subjects, asked_at } = replaced;
        for subject in subjects {
            let held = self.held(person, subject, *asked_at, job).await?;
            if let Some(held) = held.filter(|held| held.may_end) {
                self.end_held(&held).await?;
            }
        }
        if let Some(subject) = counted.as_ref().filter(|_| !subjects.is_empty()) {
            let definition_id = &job.flow.definition_id;
            let end = |record: PersonRecord| (record.end_instead(definition_id, subject), ());
            self.ledger.change_person(person, end).await?;
        }
        Ok(())
    }

    /// Drops a subject whose access the target has refused, unless another request counts it, too:
    /// the others of the form have room then.
    pub(super) async fn uncount(
        &self,
        refused: &Replaced,
        job: &Job<'_>,
    ) -> Result<(), AttemptError> {
        let Replaced { person, counted, asked_at, .. } = refused;
        let Some(subject) = counted else { return Ok(()) };
        if self.held(person, subject, *asked_at, job).await?.is_some() {
            return Ok(());
        }
        let (record, ()) = self.ledger.change_person(person, |it| (it, ())).await?;
        let seen = record.counted.get(&job.flow.definition_id).and_then(|all| all.get(subject));
        if let Some(seen) = seen.filter(|seen| seen.reserved_until <= job.message.lease.until) {
            let wanted = Admission { person: person.clone(), asked_at: *asked_at, job };
            self.drop_unheld(&wanted, subject, seen).await?;
        }
        Ok(())
    }

    /// Drops a subject that the person does not hold; what it counted instead of counts again.
    async fn drop_unheld(
        &self,
        wanted: &Admission<'_>,
        subject: &str,
        seen: &Counted,
    ) -> Result<(), LedgerError> {
        let holds_other = self.held_instead(wanted, seen).await?.is_some();
        let definition_id = &wanted.job.flow.definition_id;
        let drop = |record: PersonRecord| {
            (record.drop_unheld(definition_id, (subject, seen), holds_other), ())
        };
        self.ledger.change_person(&wanted.person, drop).await?;
        Ok(())
    }

    /// What the person holds of the subject that this one counts instead of.
    async fn held_instead(
        &self,
        wanted: &Admission<'_>,
        seen: &Counted,
    ) -> Result<Option<Held>, LedgerError> {
        match &seen.instead_of {
            Some(other) => self.held(&wanted.person, other, wanted.asked_at, wanted.job).await,
            None => Ok(None),
        }
    }

    async fn end_held(&self, held: &Held) -> Result<(), AttemptError> {
        for (key, holds) in &held.holds {
            self.end_and_remove(key, holds, EndReason::Replaced).await?;
        }
        Ok(())
    }

    /// What the person holds of a subject by the flow; `None` if it is nothing.
    async fn held(
        &self,
        person: &PersonKey,
        subject: &str,
        asked_at: Timestamp,
        job: &Job<'_>,
    ) -> Result<Option<Held>, LedgerError> {
        let (own, now) = (job.request.hold(), self.clock.now());
        let zero = Timestamp::default();
        let mut held = Held {
            holds: Vec::new(),
            since: NEVER,
            asked_at: zero,
            is_given: false,
            may_end: true,
        };
        for key in self.granted_by(job.flow, subject) {
            let expire = |record: GrantRecord| (record.expire(now), ());
            let (record, ()) = self.ledger.change_grant(&key, expire).await?;
            let of_flow = record.holds.iter();
            let of_flow =
                of_flow.filter(|(id, it)| is_of_flow(id, job.flow) && is_held_by(person, id, it));
            let mut holds = Vec::new();
            for (id, hold) in of_flow {
                held.since = held.since.min(hold.since);
                held.asked_at = held.asked_at.max(hold.terms.asked_at);
                held.is_given |= hold.state == HoldState::Active;
                held.may_end &= *id != own && hold.terms.asked_at <= asked_at;
                holds.push(id.clone());
            }
            if !holds.is_empty() {
                held.holds.push((key, holds));
            }
        }
        Ok(Some(held).filter(|held| !held.holds.is_empty()))
    }

    /// Whether others hold a subject, unless it was this person's and has been replaced.
    async fn is_held_by_another(
        &self,
        person: &PersonKey,
        subject: &str,
        flow: &Flow,
    ) -> Result<bool, LedgerError> {
        let mut is_held = false;
        for key in self.granted_by(flow, subject) {
            let (record, ()) = self.ledger.change_grant(&key, |record| (record, ())).await?;
            let is_replaced = |(id, hold): (&HoldId, &Hold)| {
                is_of_flow(id, flow)
                    && hold.terms.owner == person.person
                    && matches!(hold.state, HoldState::Ended { reason: EndReason::Replaced, .. })
            };
            if record.holds.iter().any(is_replaced) {
                return Ok(false);
            }
            let others = record.holds.iter().filter(|(id, hold)| !is_held_by(person, id, hold));
            is_held |= others.into_iter().any(|(_, hold)| hold.is_live());
        }
        Ok(is_held)
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

/// Whether an approval of the flow holds.
fn is_of_flow(id: &HoldId, flow: &Flow) -> bool {
    id.approval().is_some_and(|(source, definition_id, _)| {
        (source, definition_id) == (flow.source.as_str(), flow.definition_id.as_str())
    })
}
