//! The life of a grant: the access of one subject at one target, held by approvals.
//!
//! ```text
//!        begin_grant           settle(granted)
//! hold: ------------> pending -----------------> active
//!                        |                          |
//!                        \------- end(reason) ------/----> ended
//! ```
//! Every approval that grants the access holds it. When no hold is pending or active any more, the
//! access is removed. A hold is recorded before the granting call and ended before the removal, so
//! that a crash leaves work to do and never access that is in no record.
//!
//! **One call at a time.** Every granting or revoking call is made under the grant's lease, which
//! must outlive the call. A call whose outcome is unknown may still reach the target: until its
//! lease would have expired, only the same operation may follow it, and not the opposite one.
//!
//! **Generations.** Each acquisition of the lease is a new generation. The record says what the
//! target was left with, and up to which generation that is known. When a worker disappeared during
//! its call the last generation is not settled: then the recorded access is not trusted, and the
//! wanted call is made whatever the record says.
//!
//! **When it is due.** [`GrantRecord::due`] follows from the record alone: when a hold ends by
//! time, when one is to be confirmed at its source again, and at once when no hold keeps the
//! access. Stores index it, so that a tick finds what is due; nothing besides the record can
//! disagree.
//!
//! [`GrantRecord`] is pure; both stores run it inside an atomic change of the grant's item. Every
//! operation can be repeated: a change whose answer was lost is applied once.

mod machine;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Timestamp;
use crate::explain::Explain;
use crate::lease::Lease;
use crate::subject::Subject;

pub use machine::{BeginError, Outcome, Postponed, Removal};

/// The most holds of one grant. Ended ones are dropped, the oldest first, when there are more.
pub const MAX_HOLDS: usize = 100;

/// The interval at which it is looked whether the request of a pending hold was given up: an
/// attempt that died has not recorded what it began.
pub const LOOK_AFTER: Duration = Duration::from_hours(1);

/// The interval at which a hold is confirmed at its source again: the message about a withdrawal
/// can be lost.
pub const CONFIRM_EVERY: Duration = Duration::from_hours(7 * 24);

/// A removal is overdue so long after the last hold ended.
pub const OVERDUE_AFTER: Duration = Duration::from_mins(15);

/// The interval of the alarms about one overdue removal.
const ALARM_EVERY: Duration = Duration::from_hours(24);

/// The key of a grant: a target and a subject. `nac/mac:00:00:5e:00:53:01`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GrantKey {
    /// As `flows.toml` names it.
    pub target: String,
    /// As [`Subject::key`] writes it.
    pub subject: String,
}

impl GrantKey {
    /// The key of the access of `subject` at `target`.
    #[must_use]
    pub fn new(target: &str, subject: &Subject) -> Self {
        Self { target: target.to_owned(), subject: subject.key() }
    }

    /// The inverse of its [`fmt::Display`]; `None` without a subject.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (target, subject) = text.split_once('/').filter(|(_, subject)| !subject.is_empty())?;
        Some(Self { target: target.to_owned(), subject: subject.to_owned() })
    }
}

impl fmt::Display for GrantKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.target, self.subject)
    }
}

/// The id of a hold: the approval instance that holds the access. An approval holds a subject at a
/// target once, whatever the number of rows that name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HoldId(String);

impl HoldId {
    /// The hold of an approval instance, for both of its decisions.
    #[must_use]
    pub fn of_approval(source: &str, definition_id: &str, instance_id: &str) -> Self {
        Self(format!("{source}#{definition_id}#{instance_id}"))
    }

    /// The approval: source, definition and instance.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The hold that an operator's act gave.
    #[must_use]
    pub fn of_act(act_id: &str) -> Self {
        Self(format!("operator:{act_id}"))
    }

    /// Whether an operator's act gave it, and no approval.
    #[must_use]
    pub fn is_of_act(&self) -> bool {
        self.approval().is_none()
    }

    /// Source, definition and instance, if an approval holds.
    #[must_use]
    pub fn approval(&self) -> Option<(&str, &str, &str)> {
        let (source, rest) = self.0.split_once('#')?;
        let (definition_id, instance_id) = rest.split_once('#')?;
        Some((source, definition_id, instance_id))
    }

    /// The approval instance.
    #[must_use]
    pub fn instance_id(&self) -> &str {
        self.0.rsplit('#').next().unwrap_or_default()
    }
}

/// What an approval, or an operator, asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Terms {
    /// The person for whom the access is held.
    pub owner: String,
    /// The person who applied for it.
    pub applicant: String,
    /// The connector's operation that gives the access; empty if none was asked for.
    pub operation: String,
    /// The operation that takes it away, if the connector has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_by: Option<String>,
    /// When it was asked for: the end of the approval.
    #[serde(default)]
    pub asked_at: Timestamp,
    /// When it ends by itself; `None` if it does not.
    pub until: Option<Timestamp>,
    /// Whether it goes on when the approval is withdrawn.
    #[serde(default, skip_serializing_if = "is_false")]
    pub outlives_approval: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// One approval's hold on a grant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hold {
    /// What was asked for.
    #[serde(flatten)]
    pub terms: Terms,
    /// When it was first recorded.
    pub since: Timestamp,
    /// When its source last confirmed it, or could not; of a pending one, when its request was last
    /// looked at.
    pub confirmed_at: Timestamp,
    /// Its state.
    pub state: HoldState,
    /// Of one that ended: the removal that followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Removed>,
}

impl Hold {
    /// Whether it keeps the access: pending or active.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        matches!(self.state, HoldState::Pending | HoldState::Active)
    }

    /// When it is to be confirmed at its source again.
    #[must_use]
    pub fn confirm_at(&self) -> Timestamp {
        let interval = match self.state {
            HoldState::Pending => LOOK_AFTER,
            HoldState::Active | HoldState::Ended { .. } => CONFIRM_EVERY,
        };
        self.confirmed_at.plus(interval)
    }

    /// Whether it waits for a call that no request makes: an operator gave it.
    fn waits_for_call(&self, id: &HoldId) -> bool {
        self.state == HoldState::Pending && id.is_of_act()
    }
}

/// The state of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldState {
    /// Recorded before the granting call.
    Pending,
    /// The target has granted it.
    Active,
    /// It no longer keeps the access.
    Ended {
        /// When.
        at: Timestamp,
        /// Why.
        reason: EndReason,
    },
}

/// The reason for which a hold ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Error, Explain)]
#[serde(rename_all = "snake_case")]
#[explain("end")]
pub enum EndReason {
    /// Its time was over.
    #[error("its time was over")]
    Expired,
    /// The approval was revoked.
    #[error("the approval was revoked")]
    Withdrawn,
    /// Another approval asked for the removal of the access.
    #[error("another approval returned the access")]
    Returned,
    /// The request was given up before the target confirmed the access.
    #[error("the request was given up")]
    GivenUp,
    /// An operator ended it.
    #[error("an operator ended it")]
    Ended,
    /// An operator blocked the subject.
    #[error("an operator blocked the subject")]
    Blocked,
    /// The person left.
    #[error("the person left")]
    Left,
    /// A newer access of the same person took its place.
    #[error("a newer access of the same person replaced it")]
    Replaced,
}

impl EndReason {
    /// Whether the same approval may hold again: its request was only given up, or the subject
    /// blocked, and it is tried again after a redrive.
    const fn may_begin_again(self) -> bool {
        matches!(self, Self::GivenUp | Self::Blocked)
    }
}

/// What became of a session that was under way when its access was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Error, Explain)]
#[explain("session")]
#[serde(rename_all = "snake_case")]
pub enum Session {
    /// The target ended it.
    #[error("its session ended")]
    Ended,
    /// The target checks access when a session begins.
    #[error("an open session may last until the device reconnects")]
    MayLast,
}

/// The removal of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Removed {
    /// When the target had done it.
    pub at: Timestamp,
    /// `None` if the target has no sessions.
    pub session: Option<Session>,
}

/// What a call does about an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Gives the access.
    Grant,
    /// Takes it away.
    Revoke,
}

/// A call that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GrantCall {
    /// What it does.
    pub operation: Operation,
    /// Of a removal: what it takes away, as in [`GrantRecord::revoked_by`].
    #[serde(default)]
    pub revokes: BTreeSet<String>,
    /// The right to make it; the lease outlives the call.
    pub lease: Lease,
}

/// A call that may still reach the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LateCall {
    /// What it does.
    pub operation: Operation,
    /// When its lease would have expired.
    pub until: Timestamp,
}

/// The access that a target was left with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// The subject has no access by greenlight.
    #[default]
    Absent,
    /// The subject has access.
    Present,
}

/// The ledger's record of one grant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GrantRecord {
    /// The approvals that hold it, and held it.
    pub holds: BTreeMap<HoldId, Hold>,
    /// The call that is under way; `None` when its outcome is recorded.
    pub call: Option<GrantCall>,
    /// The last call whose outcome is unknown, while it may still reach the target.
    #[serde(default)]
    pub late: Option<LateCall>,
    /// The number of acquisitions of the lease.
    pub generation: u64,
    /// The last generation up to which [`GrantRecord::access`] is known.
    pub settled: u64,
    /// What the target was left with in the settled generation.
    pub access: Access,
    /// The operations of its removal: those that take away what was given since the access was last
    /// known to be absent.
    #[serde(default)]
    pub revoked_by: BTreeSet<String>,
    /// When the last call began by which an approval returns its access.
    #[serde(default)]
    pub returned_at: Option<Timestamp>,
    /// It is not due before this moment: a message about it is under way, or its removal failed.
    #[serde(default)]
    pub not_before: Timestamp,
    /// The calls that were due and failed, since a hold was last added or ended.
    #[serde(default)]
    pub failed_calls: u32,
    /// When an alarm about its overdue removal was last raised.
    #[serde(default)]
    pub alarm_at: Option<Timestamp>,
}

impl GrantRecord {
    /// Whether the recorded access is what the target has: no call was left without an outcome.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        self.settled == self.generation
    }

    /// Whether a hold keeps the access.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.holds.values().any(Hold::is_live)
    }

    /// Why an approval can no longer hold the access; `None` if it can.
    #[must_use]
    pub fn ended_for_good(&self, id: &HoldId) -> Option<EndReason> {
        match self.holds.get(id)?.state {
            // What an operator asked for is asked for again, with another act.
            HoldState::Ended { reason, .. } if !reason.may_begin_again() || id.is_of_act() => {
                Some(reason)
            }
            _ => None,
        }
    }

    /// Whether a live hold is of this owner.
    #[must_use]
    pub fn is_held_by(&self, owner: &str) -> bool {
        self.live().any(|hold| hold.terms.owner == owner)
    }

    /// The phase of its life.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match (self.is_held(), self.is_settled(), self.access) {
            (true, ..) => Phase::Held,
            (false, true, Access::Absent) => Phase::Ended,
            (false, ..) => Phase::Ending,
        }
    }

    /// When the first of the holds that keep it was recorded; of all holds when none keeps it.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        let is_held = self.is_held();
        let holds = self.holds.values().filter(|hold| hold.is_live() == is_held);
        holds.map(|hold| hold.since).min().unwrap_or_default()
    }

    /// When a hold was last recorded or ended: of a grant that ends, when the last one ended.
    #[must_use]
    pub fn last_change(&self) -> Timestamp {
        let change = |hold: &Hold| match hold.state {
            HoldState::Pending | HoldState::Active => hold.since,
            HoldState::Ended { at, .. } => at,
        };
        self.holds.values().map(change).max().max(self.returned_at).unwrap_or_default()
    }

    /// The holds that keep the access.
    fn live(&self) -> impl Iterator<Item = &Hold> {
        self.holds.values().filter(|hold| hold.is_live())
    }

    /// The next moment at which a live hold ends by itself.
    #[must_use]
    pub fn next_end(&self) -> Option<Timestamp> {
        self.live().filter_map(|hold| hold.terms.until).min()
    }

    /// When the access ends if no approval is added or withdrawn; `None` if it does not: one of its
    /// holds has no end, or there is none.
    #[must_use]
    pub fn lasts_until(&self) -> Option<Timestamp> {
        let ends: Option<Vec<_>> = self.live().map(|hold| hold.terms.until).collect();
        ends?.into_iter().max()
    }

    /// The holds that approvals keep: they are confirmed from time to time.
    pub fn to_confirm(&self) -> impl Iterator<Item = (&HoldId, &Hold)> {
        self.holds.iter().filter(|(id, hold)| hold.is_live() && !id.is_of_act())
    }

    /// The holds that wait for a granting call, and that no request makes.
    pub fn to_grant(&self) -> impl Iterator<Item = (&HoldId, &Hold)> {
        self.holds.iter().filter(|(id, hold)| hold.waits_for_call(id))
    }

    /// When there is something to do about it; `None` when it ended.
    #[must_use]
    pub fn due(&self) -> Option<Timestamp> {
        let due = match self.phase() {
            Phase::Ended => return None,
            Phase::Ending => self.last_change(),
            Phase::Held => {
                let confirm = self.to_confirm().map(|(_, hold)| hold.confirm_at()).min();
                let to_grant = self.to_grant().map(|(_, hold)| hold.since).min();
                let due = [self.next_end(), confirm, to_grant].into_iter().flatten().min();
                // A hold of an operator alone has an end; stores need a time for any.
                due.unwrap_or_else(|| self.last_change().plus(CONFIRM_EVERY))
            }
        };
        Some(due.max(self.not_before))
    }
}

impl Phase {
    /// The name in stores.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Ending => "ending",
            Self::Ended => "ended",
        }
    }
}

/// The phase of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// A hold keeps the access, or is about to.
    Held,
    /// No hold keeps it, and its removal is not confirmed yet.
    Ending,
    /// The access is removed, or was never given.
    Ended,
}

#[cfg(test)]
mod tests;
