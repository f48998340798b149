//! The record of the ticks.

#![warn(missing_docs)]

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::lease::{Lease, LeaseId};
use crate::sweep::SweepKey;

/// The interval at which the names are checked, besides at every change of them.
const CHECK_EVERY: Duration = Duration::from_hours(24);

/// The last check of the names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedNames {
    /// When.
    pub at: Timestamp,
    /// The names that the flows had.
    pub names: Vec<String>,
}

/// The ledger's record of the ticks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// The lease of the tick that is under way.
    pub lease: Option<Lease>,
    /// When the last tick ended that enqueued all that was due, or as much as one can.
    pub last: Option<Timestamp>,
    /// The last check of the names in `flows.toml`.
    #[serde(default)]
    pub names: Option<CheckedNames>,
    /// When the last sweep of each approval definition was enqueued, by [`SweepKey::as_text`].
    #[serde(default)]
    pub sweeps: BTreeMap<String, Timestamp>,
}

impl Schedule {
    /// Acquires the lease for a tick; `false` while another one holds it.
    #[must_use]
    pub fn begin(mut self, lease: &Lease, now: Timestamp) -> (Self, bool) {
        let is_other = |held: &Lease| held.id != lease.id && now < held.until;
        if self.lease.as_ref().is_some_and(is_other) {
            return (self, false);
        }
        self.lease = Some(lease.clone());
        (self, true)
    }

    /// Whether the names are to be checked: others than the last time, or that was long ago.
    #[must_use]
    pub fn must_check(&self, names: &[String], now: Timestamp) -> bool {
        let is_done = |last: &CheckedNames| last.names == names && now.since(last.at) < CHECK_EVERY;
        !self.names.as_ref().is_some_and(is_done)
    }

    /// Records a check of the names.
    #[must_use]
    pub fn checked(self, names: Vec<String>, now: Timestamp) -> Self {
        Self { names: Some(CheckedNames { at: now, names }), ..self }
    }

    /// Records when the sweeps of definitions were enqueued; 0 for one whose record began and whose
    /// message could not be enqueued. Definitions that are not in `wanted` are
    /// forgotten: if there is a flow for one again, what ended without it is not carried out.
    #[must_use]
    pub fn swept(mut self, wanted: &[SweepKey], enqueued: &[(SweepKey, Timestamp)]) -> Self {
        self.sweeps.extend(enqueued.iter().map(|(key, at)| (key.as_text(), *at)));
        self.sweeps.retain(|text, _| wanted.iter().any(|key| key.as_text() == *text));
        self
    }

    /// The next tick enqueues the sweeps of `source`, whenever the last ones were.
    #[must_use]
    pub fn sweep_soon(mut self, source: &str) -> Self {
        for (text, at) in &mut self.sweeps {
            if SweepKey::of_text(text).is_some_and(|key| key.source == source) {
                *at = Timestamp::default();
            }
        }
        self
    }

    /// Releases the lease, if the tick still holds it.
    #[must_use]
    pub fn end(mut self, lease_id: &LeaseId, now: Timestamp) -> Self {
        if self.lease.take_if(|lease| lease.id == *lease_id).is_some() {
            self.last = Some(now);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_when_they_change_and_once_a_day() {
        let names =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let now = Timestamp::from_millis(1_000);
        let later = |hours| now.plus(Duration::from_hours(hours));
        assert!(Schedule::default().must_check(&names(&["targets.nac"]), now));
        let checked = Schedule::default().checked(names(&["targets.nac"]), now);
        assert!(!checked.must_check(&names(&["targets.nac"]), later(23)));
        assert!(checked.must_check(&names(&["targets.campus"]), later(1)));
        assert!(checked.must_check(&names(&["targets.nac"]), later(24)));
    }
}
