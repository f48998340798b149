//! Sweeps: what an office system lists is compared with the ledger, so that an approval whose event
//! was lost is found.
//!
//! Systems list by the time of creation, and an approval may take weeks. So a sweep remembers the
//! instances that are not decided, and reads them again until they are.

#![warn(missing_docs)]

mod calls;
mod pace;
mod seen;

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use calls::{Calls, next_month};
pub use pace::Pace;
pub use seen::{Seen, SeenState};

use crate::Timestamp;
use crate::lease::{Lease, LeaseId, LeaseLost};

/// The most instances in a record. One takes about 107 bytes of JSON, and an item of DynamoDB has
/// 400 KB at most.
pub const MOST_SEEN: usize = 2_000;

/// The longest outage after which the list is read from where it ended. The ledger keeps approvals
/// for longer than that, so that none of them is carried out twice.
pub(crate) const LONGEST_OUTAGE: Duration = Duration::from_hours(62 * 24);

/// The precision of the coarsest time that an office system has for the end of an approval.
const COARSEST_TIME: Duration = Duration::from_mins(1);

/// One approval definition at one source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SweepKey {
    /// The source, as `[sources.NAME]`.
    pub source: String,
    /// The approval definition.
    pub definition_id: String,
}

impl SweepKey {
    /// The form in which stores keep it: `SOURCE#DEFINITION`.
    #[must_use]
    pub fn as_text(&self) -> String {
        format!("{}#{}", self.source, self.definition_id)
    }

    /// The inverse of [`SweepKey::as_text`].
    #[must_use]
    pub fn of_text(text: &str) -> Option<Self> {
        let (source, definition_id) = text.split_once('#')?;
        Some(Self { source: source.to_owned(), definition_id: definition_id.to_owned() })
    }
}

/// The ledger's record of the sweeps over one approval definition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweep {
    /// Approvals that ended before are not enqueued: there was no flow for them. 0 in a record that
    /// is not there yet.
    pub since: Timestamp,
    /// The lease of the worker that sweeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// The pass that is under way, or was left by a worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass: Option<Pass>,
    /// What was created before this moment has been listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed_until: Option<Timestamp>,
    /// The end of the last pass with the long reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed_far_at: Option<Timestamp>,
    /// No sweep begins before this moment: the office system accepts no calls until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// The instances that are to be read again, or need not be read, by id.
    #[serde(default)]
    pub instances: BTreeMap<String, Seen>,
    /// Whether instances were forgotten that need not be read: one of before [`Sweep::since`] that
    /// is not remembered may be one of them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_forgotten: bool,
    /// The calls of the office system in this month.
    #[serde(default)]
    pub calls: Calls,
    /// The approvals that a sweep enqueued because their event was lost.
    #[serde(default)]
    pub found: u64,
    /// When the last of them was enqueued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_found: Option<Timestamp>,
}

/// A walk over the list of the office system, from the oldest to the latest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    /// What was created before is listed.
    pub next: Timestamp,
    /// What is created after is for the next pass.
    pub until: Timestamp,
    /// Whether it has the long reach.
    pub is_far: bool,
}

/// How a sweep begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// The lease is acquired, for this pass.
    Pass(Pass),
    /// Another worker sweeps.
    Held {
        /// When its lease expires.
        until: Timestamp,
    },
    /// Not before [`Sweep::not_before`].
    Paused,
    /// A later message has begun a pass.
    Replaced,
}

impl Sweep {
    /// The record of a definition whose flow is new.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { since: now.minus(COARSEST_TIME), ..Self::default() }
    }

    /// Acquires the lease, and begins a pass or continues the one that was left. `made_at` is when
    /// the message was made that asks for it.
    #[must_use]
    pub fn begin(
        mut self,
        lease: &Lease,
        pace: &Pace,
        made_at: Timestamp,
        now: Timestamp,
    ) -> (Self, Begun) {
        if self.is_replaced(pace, made_at, now) {
            return (self, Begun::Replaced);
        }
        if let Some(held) = self.lease.as_ref()
            && held.id != lease.id
            && now < held.until
        {
            let until = held.until;
            return (self, Begun::Held { until });
        }
        // Someone deleted the record: it begins anew, and what ended before is left alone.
        if self.since == Timestamp::default() {
            self = Self::new(now);
        }
        if self.not_before.is_some_and(|at| now < at) {
            return (self, Begun::Paused);
        }
        self.not_before = None;
        self.lease = Some(lease.clone());
        let pass = self.pass.take().unwrap_or_else(|| self.next_pass(pace, now));
        self.pass = Some(pass.clone());
        (self, Begun::Pass(pass))
    }

    /// Whether the next message is due, and the list has been read since this one, or is being
    /// read.
    fn is_replaced(&self, pace: &Pace, made_at: Timestamp, now: Timestamp) -> bool {
        let until = self.pass.as_ref().map(|pass| pass.until).max(self.listed_until);
        now >= made_at.plus(pace.every) && until.is_some_and(|until| until >= made_at)
    }

    fn next_pass(&self, pace: &Pace, now: Timestamp) -> Pass {
        let is_far_due = |last: Timestamp| now.since(last) >= pace.far_every;
        let is_far = self.listed_far_at.is_none_or(is_far_due);
        // After an outage the list is read from where it ended.
        let near = self.listed_until.unwrap_or(now).min(now).minus(pace.reach);
        let near = near.max(now.minus(LONGEST_OUTAGE));
        let next = if is_far { near.min(now.minus(pace.far_reach)) } else { near };
        Pass { next, until: now, is_far }
    }

    /// Whether the pass is the first one: what it lists may have been there before the flow.
    #[must_use]
    pub const fn is_first_pass(&self) -> bool {
        self.listed_until.is_none()
    }

    /// The next window of the pass; `None` when all of it was listed.
    #[must_use]
    pub fn next_window(&self, longest: Duration) -> Option<Range<Timestamp>> {
        let pass = self.pass.as_ref()?;
        let end = pass.next.plus(longest).min(pass.until);
        (pass.next < end).then_some(pass.next..end)
    }

    /// The instances that are to be looked at again at `now`, at most `at_most`.
    #[must_use]
    pub fn due(&self, now: Timestamp, at_most: usize) -> Vec<String> {
        let due = self.instances.iter().filter(|(_, seen)| seen.is_due(now));
        due.take(at_most).map(|(id, _)| id.clone()).collect()
    }

    /// Records what was looked at, under the lease.
    ///
    /// # Errors
    /// [`LeaseLost`] when another worker has the lease.
    pub fn saw(mut self, lease_id: &LeaseId, step: &Step, now: Timestamp) -> StepResult {
        if self.lease.as_ref().is_none_or(|lease| lease.id != *lease_id) {
            return (self, Err(LeaseLost));
        }
        for (id, seen) in &step.seen {
            match seen {
                Some(seen) => drop(self.instances.insert(id.clone(), seen.clone())),
                None => drop(self.instances.remove(id)),
            }
        }
        if let (Some(pass), Some(until)) = (&mut self.pass, step.listed_until) {
            pass.next = pass.next.max(until);
        }
        self.end_listed_pass(now);
        self.calls = self.calls.and(step.calls, now);
        if step.found > 0 {
            self.found += step.found;
            self.last_found = Some(now);
        }
        self.forget_most();
        (self, Ok(()))
    }

    /// Ends the pass if all of it was listed: instances that cannot be read do not keep new ones
    /// from being listed.
    fn end_listed_pass(&mut self, now: Timestamp) {
        if let Some(pass) = self.pass.take_if(|pass| pass.until <= pass.next) {
            self.listed_until = Some(pass.until);
            if pass.is_far {
                self.listed_far_at = Some(now);
            }
        }
    }

    /// Releases the lease, and the pass ends if all of it was listed.
    #[must_use]
    pub fn end(mut self, lease_id: &LeaseId, pace: &Pace, now: Timestamp) -> Self {
        if self.lease.take_if(|lease| lease.id == *lease_id).is_none() {
            return self;
        }
        self.end_listed_pass(now);
        self.instances.retain(|_, seen| !seen.is_forgotten(pace, now));
        self
    }

    /// Releases the lease. The next sweep continues the pass, not before `not_before`.
    #[must_use]
    pub fn leave(mut self, lease_id: &LeaseId, not_before: Option<Timestamp>) -> Self {
        if self.lease.take_if(|lease| lease.id == *lease_id).is_some() {
            self.not_before = not_before;
        }
        self
    }

    /// Forgets instances over [`MOST_SEEN`]: first those that need not be read, then the oldest; a
    /// pass with the long reach sees them again.
    fn forget_most(&mut self) {
        let over = self.instances.len().saturating_sub(MOST_SEEN);
        if over == 0 {
            return;
        }
        let mut by_age: Vec<_> =
            self.instances.iter().map(|(id, seen)| (!seen.is_settled(), seen.since, id)).collect();
        by_age.sort();
        let forgotten: Vec<_> =
            by_age.into_iter().take(over).map(|(_, _, id)| id.clone()).collect();
        let is_settled = |id: &String| self.instances.get(id).is_some_and(Seen::is_settled);
        self.has_forgotten |= forgotten.iter().any(is_settled);
        for id in forgotten {
            self.instances.remove(&id);
        }
    }

    /// When a sweep last did something.
    #[must_use]
    pub fn last_change(&self) -> Timestamp {
        let leased = self.lease.as_ref().map(|lease| lease.until);
        let times = [self.listed_until, self.listed_far_at, self.last_found, leased];
        times.into_iter().flatten().fold(self.since, Timestamp::max)
    }

    /// The number of instances that are not decided, as far as sweeps know.
    #[must_use]
    pub fn open(&self) -> usize {
        let is_open =
            |seen: &&Seen| seen.is_open() || matches!(seen.state, SeenState::Unread { .. });
        self.instances.values().filter(is_open).count()
    }
}

/// The result of [`Sweep::saw`].
pub type StepResult = (Sweep, Result<(), LeaseLost>);

/// A part of a sweep that is recorded at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// What was created before is listed now.
    pub listed_until: Option<Timestamp>,
    /// What was seen of instances, by id; `None` for those that the ledger has.
    pub seen: BTreeMap<String, Option<Seen>>,
    /// The calls of the office system.
    pub calls: u32,
    /// The approvals that were enqueued because their event was lost.
    pub found: u64,
}

#[cfg(test)]
mod tests;
