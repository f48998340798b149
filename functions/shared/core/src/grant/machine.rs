//! The operations on a grant's record.

use std::collections::BTreeSet;
use std::time::Duration;

use thiserror::Error;

use super::{
    ALARM_EVERY, Access, EndReason, GrantCall, GrantRecord, Hold, HoldId, HoldState, LateCall,
    MAX_HOLDS, OVERDUE_AFTER, Operation, Phase, Removed, Session, Terms,
};
use crate::Timestamp;
use crate::explain::Explain;
use crate::lease::{Lease, LeaseId, LeaseLost};

/// The reason for which no granting call may be made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error, Explain)]
#[explain("begin_grant")]
pub enum BeginError {
    /// Another call about the subject is under way, or a removal may still reach the target. The
    /// hold is recorded.
    #[error("another call about the same subject is under way")]
    Wait {
        /// When its lease expires.
        until: Timestamp,
    },
    /// The approval held the access before, and that ended for good.
    #[error("this approval no longer holds the access: {reason}")]
    Ended {
        /// Why it ended.
        reason: EndReason,
    },
    /// [`MAX_HOLDS`] approvals hold the access.
    #[error("the limit of approvals that can hold one access is reached")]
    Full,
}

/// The decision about the removal of an access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// A hold keeps the access.
    StillHeld,
    /// There is no access, and no call that could give one.
    NothingToDo,
    /// Another call about the subject is under way, or a granting one may still reach the target.
    Wait {
        /// When its lease expires.
        until: Timestamp,
    },
    /// The lease is acquired: make the revoking calls.
    Call {
        /// The generation to settle.
        generation: u64,
        /// What takes away all that was given.
        operations: BTreeSet<String>,
    },
}

/// Whether a tick makes a message about a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Postponed {
    /// It is not due any more.
    NotDue,
    /// It does.
    Due,
    /// It does, and raises an alarm: its removal is overdue.
    Overdue,
}

/// The outcome of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The target has granted the access for this hold.
    Granted {
        /// Whose call it was.
        hold: HoldId,
    },
    /// The target has removed the access.
    Revoked {
        /// What became of its session; `None` if the target has no sessions.
        session: Option<Session>,
    },
    /// The call changed nothing: it was refused, or never sent.
    Unchanged,
    /// The call may have been carried out, or may be later.
    Unknown,
}

impl GrantRecord {
    /// Records a pending hold and acquires the lease for a granting call. The result is the
    /// generation to settle. The hold is recorded even while another call is under way, so that no
    /// removal comes between.
    pub fn begin_grant(
        mut self,
        id: &HoldId,
        terms: &Terms,
        lease: &Lease,
        now: Timestamp,
    ) -> (Self, Result<u64, BeginError>) {
        if let Err(error) = self.hold(id, terms, now) {
            return (self, Err(error));
        }
        match self.acquire(Operation::Grant, BTreeSet::new(), lease, now) {
            Ok(generation) => {
                self.revoked_by.extend(terms.revoked_by.clone());
                (self, Ok(generation))
            }
            Err(until) => (self, Err(BeginError::Wait { until })),
        }
    }

    /// Records a pending hold; the granting call is made by a worker when the grant is due.
    pub fn add_hold(
        mut self,
        id: &HoldId,
        terms: &Terms,
        now: Timestamp,
    ) -> (Self, Result<(), BeginError>) {
        let held = self.hold(id, terms, now);
        (self, held)
    }

    /// Records a pending hold, or the new terms of one that is live.
    fn hold(&mut self, id: &HoldId, terms: &Terms, now: Timestamp) -> Result<(), BeginError> {
        if let Some(reason) = self.ended_for_good(id) {
            return Err(BeginError::Ended { reason });
        }
        let live = self.holds.values().filter(|hold| hold.is_live()).count();
        match self.holds.get_mut(id) {
            Some(hold) if hold.is_live() => {
                hold.terms.clone_from(terms);
                hold.confirmed_at = now;
            }
            _ if live >= MAX_HOLDS => return Err(BeginError::Full),
            _ => {
                let (terms, state) = (terms.clone(), HoldState::Pending);
                let hold = Hold { terms, since: now, confirmed_at: now, state, removed: None };
                self.holds.insert(id.clone(), hold);
                self.drop_ended();
                self.start_anew();
            }
        }
        Ok(())
    }

    /// Decides whether the access is to be removed now, and acquires the lease for the revoking
    /// call. Holds whose time is over are ended first.
    #[must_use]
    pub fn begin_removal(mut self, lease: &Lease, now: Timestamp) -> (Self, Removal) {
        self = self.expire(now);
        if self.is_held() {
            return (self, Removal::StillHeld);
        }
        if self.is_settled() && self.access == Access::Absent {
            return (self, Removal::NothingToDo);
        }
        let operations = self.revoked_by.clone();
        match self.acquire(Operation::Revoke, operations.clone(), lease, now) {
            Ok(generation) => (self, Removal::Call { generation, operations }),
            Err(until) => (self, Removal::Wait { until }),
        }
    }

    /// Ends the holds of other approvals that are not younger than `asked_at`, and acquires the
    /// lease for the revoking call that the approval `id` asks for, with this operation: also when
    /// the ledger knows of no access, as it may have been given without greenlight. The approval's
    /// own hold, if it takes the access away to give it anew, is pending again. The result is the
    /// generation to settle, `None` if a younger approval holds the access, or the moment from
    /// which another call no longer forbids it.
    pub fn begin_return(
        mut self,
        (id, asked_at): (&HoldId, Timestamp),
        operation: &str,
        lease: &Lease,
        now: Timestamp,
    ) -> (Self, Result<Option<u64>, Timestamp>) {
        let mut is_held_by_younger = false;
        let mut has_ended = false;
        for (other, hold) in self.holds.iter_mut().filter(|(_, hold)| hold.is_live()) {
            if other == id {
                continue;
            }
            if hold.terms.asked_at > asked_at {
                is_held_by_younger = true;
            } else {
                hold.state = HoldState::Ended { at: now, reason: EndReason::Returned };
                has_ended = true;
            }
        }
        if has_ended {
            self.start_anew();
        }
        if is_held_by_younger {
            return (self, Ok(None));
        }
        let operations = [operation.to_owned()].into();
        let generation = self.acquire(Operation::Revoke, operations, lease, now);
        if generation.is_ok() {
            if let Some(own) = self.holds.get_mut(id).filter(|hold| hold.is_live()) {
                own.state = HoldState::Pending;
            }
            self.revoked_by.insert(operation.to_owned());
            self.returned_at = Some(now);
        }
        (self, generation.map(Some))
    }

    /// Records the outcome of the call that was made in `generation`, and releases the lease.
    pub fn settle(
        mut self,
        lease_id: &LeaseId,
        generation: u64,
        outcome: Outcome,
        now: Timestamp,
    ) -> (Self, Result<(), LeaseLost>) {
        let is_own = |call: &GrantCall| call.lease.id == *lease_id && now < call.lease.until;
        let Some(call) = self.call.take_if(|call| is_own(call) && self.generation == generation)
        else {
            // The answer to this very change was lost, and it is made again.
            let is_settled = self.settled == generation && self.call.is_none();
            return (self, if is_settled { Ok(()) } else { Err(LeaseLost) });
        };
        match outcome {
            Outcome::Granted { hold } => {
                (self.access, self.settled) = (Access::Present, generation);
                // A hold that ended during the call stays ended: its removal comes next.
                if let Some(hold) = self.holds.get_mut(&hold).filter(|hold| hold.is_live()) {
                    hold.state = HoldState::Active;
                }
            }
            Outcome::Revoked { session } => {
                // A return takes away what it says, and not what another operation gave.
                self.revoked_by.retain(|operation| !call.revokes.contains(operation));
                let is_all = self.revoked_by.is_empty();
                self.access = if is_all { Access::Absent } else { Access::Present };
                self.settled = generation;
                if is_all {
                    let ended = self.holds.values_mut().filter(|hold| !hold.is_live());
                    for hold in ended.filter(|hold| hold.removed.is_none()) {
                        hold.removed = Some(Removed { at: now, session });
                    }
                }
                self.start_anew();
            }
            // What an earlier call left behind is as unknown as before.
            Outcome::Unchanged if self.settled + 1 < generation => {}
            Outcome::Unchanged => {
                self.settled = generation;
                if self.access == Access::Absent {
                    self.revoked_by.clear();
                }
            }
            Outcome::Unknown => self.keep_late(&call),
        }
        (self, Ok(()))
    }

    /// Gives up the call that is under way: its worker is dead, and its outcome unknown.
    #[must_use]
    pub fn abandon(mut self) -> Self {
        if let Some(call) = self.call.take() {
            self.keep_late(&call);
        }
        self
    }

    fn keep_late(&mut self, call: &GrantCall) {
        let (operation, until) = (call.operation, call.lease.until);
        let until = self.late.map_or(until, |late| late.until.max(until));
        self.late = Some(LateCall { operation, until });
    }

    /// Ends a hold. One that is not recorded yet is recorded as ended, so that a request that is
    /// late cannot begin it. A hold that ended before keeps its reason, unless the new one is final
    /// and the old one is not.
    #[must_use]
    pub fn end(mut self, id: &HoldId, reason: EndReason, now: Timestamp) -> Self {
        let state = HoldState::Ended { at: now, reason };
        let (terms, removed) = (Terms::default(), None);
        let absent = Hold { terms, since: now, confirmed_at: now, state, removed };
        let hold = self.holds.entry(id.clone()).or_insert(absent);
        let was_live = hold.is_live();
        match hold.state {
            HoldState::Ended { reason: before, .. }
                if !before.may_begin_again() || reason.may_begin_again() => {}
            _ => hold.state = state,
        }
        self.drop_ended();
        if was_live {
            self.start_anew();
        }
        self
    }

    /// Ends the hold of an approval that was withdrawn, unless its flow lets it go on.
    #[must_use]
    pub fn withdraw(self, id: &HoldId, now: Timestamp) -> Self {
        if self.holds.get(id).is_some_and(|hold| hold.terms.outlives_approval) {
            return self;
        }
        self.end(id, EndReason::Withdrawn, now)
    }

    /// Ends the hold of a request that is given up, if the target has not confirmed it.
    #[must_use]
    pub fn give_up(self, id: &HoldId, now: Timestamp) -> Self {
        match self.holds.get(id) {
            Some(Hold { state: HoldState::Pending, .. }) => self.end(id, EndReason::GivenUp, now),
            _ => self,
        }
    }

    /// Ends the holds whose time is over.
    #[must_use]
    pub fn expire(mut self, now: Timestamp) -> Self {
        let mut has_ended = false;
        for hold in self.holds.values_mut().filter(|hold| hold.is_live()) {
            if let Some(at) = hold.terms.until.filter(|until| *until <= now) {
                hold.state = HoldState::Ended { at, reason: EndReason::Expired };
                has_ended = true;
            }
        }
        if has_ended {
            self.start_anew();
        }
        self
    }

    /// Replaces the identifier of a person as applicant, and as owner in the holds that have ended.
    #[must_use]
    pub fn rename(mut self, person: &str, pseudonym: &str) -> Self {
        for hold in self.holds.values_mut() {
            let is_live = hold.is_live();
            let owner = Some(&mut hold.terms.owner).filter(|_| !is_live);
            for name in owner.into_iter().chain([&mut hold.terms.applicant]) {
                if name == person {
                    pseudonym.clone_into(name);
                }
            }
        }
        self
    }

    /// Records that the source of a hold confirmed it, or that it cannot be asked.
    #[must_use]
    pub fn confirm(mut self, id: &HoldId, now: Timestamp) -> Self {
        if let Some(hold) = self.holds.get_mut(id) {
            hold.confirmed_at = now;
        }
        self
    }

    /// Records that a message about it is under way, unless it is not due any more: it is not due
    /// again before `until`. The result says whether to raise an alarm: once a day, while a removal
    /// is overdue.
    #[must_use]
    pub fn postpone(mut self, now: Timestamp, until: Timestamp) -> (Self, Postponed) {
        self = self.expire(now);
        if self.due().is_none_or(|due| due > now) {
            return (self, Postponed::NotDue);
        }
        self.not_before = until;
        let was_raised = self.alarm_at.is_some_and(|at| now.since(at) < ALARM_EVERY);
        let is_overdue =
            self.phase() == Phase::Ending && now.since(self.last_change()) >= OVERDUE_AFTER;
        if was_raised || !is_overdue {
            return (self, Postponed::Due);
        }
        self.alarm_at = Some(now);
        (self, Postponed::Overdue)
    }

    /// Records that the message that [`GrantRecord::postpone`] announced could not be enqueued.
    #[must_use]
    pub fn resume(mut self, until: Timestamp) -> Self {
        if self.not_before == until {
            self.not_before = Timestamp::default();
        }
        self
    }

    /// Records that the call that is due has to wait until then; its message is used up.
    #[must_use]
    pub fn wait(mut self, until: Timestamp) -> Self {
        self.not_before = until;
        self
    }

    /// Records that a call that was due failed; the next one is due after `wait`.
    #[must_use]
    pub fn call_failed(mut self, now: Timestamp, wait: Duration) -> Self {
        self.failed_calls = self.failed_calls.saturating_add(1);
        self.not_before = now.plus(wait);
        self
    }

    /// What was tried before no longer counts: its holds are others now, or it has ended.
    fn start_anew(&mut self) {
        (self.not_before, self.failed_calls, self.alarm_at) = (Timestamp::default(), 0, None);
    }

    /// Acquires the lease for a call, as a new generation.
    ///
    /// # Errors
    /// The moment from which another worker's call no longer forbids it.
    fn acquire(
        &mut self,
        operation: Operation,
        revokes: BTreeSet<String>,
        lease: &Lease,
        now: Timestamp,
    ) -> Result<u64, Timestamp> {
        if let Some(call) = self.call.as_ref().filter(|call| now < call.lease.until) {
            // The answer to this very change was lost, and it is made again.
            let is_own = call.lease.id == lease.id && call.operation == operation;
            return if is_own { Ok(self.generation) } else { Err(call.lease.until) };
        }
        if let Some(late) = self.late.filter(|late| now < late.until)
            && late.operation != operation
        {
            return Err(late.until);
        }
        self.late = self.late.filter(|late| now < late.until);
        self.call = Some(GrantCall { operation, revokes, lease: lease.clone() });
        self.generation += 1;
        Ok(self.generation)
    }

    /// Drops the holds that ended first, while there are too many.
    fn drop_ended(&mut self) {
        while self.holds.len() > MAX_HOLDS {
            let ended = self.holds.iter().filter_map(|(id, hold)| match hold.state {
                HoldState::Ended { at, .. } => Some((at, id)),
                HoldState::Pending | HoldState::Active => None,
            });
            let Some(first) = ended.min().map(|(_, id)| id.clone()) else { return };
            self.holds.remove(&first);
        }
    }
}
