//! What a sweep remembers of an instance.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Pace;
use crate::Timestamp;

/// An instance that a sweep has listed, and that the ledger does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// When it was first seen.
    pub since: Timestamp,
    /// What is to be done about it.
    #[serde(flatten)]
    pub state: SeenState,
}

/// What is to be done about an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum SeenState {
    /// Not decided, or an event about it may still arrive: it is read again.
    Open {
        /// When.
        next: Timestamp,
    },
    /// It could not be read yet: it is read again.
    Unread {
        /// When.
        next: Timestamp,
        /// Whether it may have ended before there was a flow for it.
        may_be_old: bool,
    },
    /// A sweep enqueued it: if the ledger does not have it after a day, it is enqueued again.
    Enqueued {
        /// When it is looked for in the ledger.
        next: Timestamp,
    },
    /// Ended, and of no use to the flow: it need not be read again.
    Settled,
}

impl Seen {
    /// It is looked at again at `next`.
    #[must_use]
    pub const fn open(since: Timestamp, next: Timestamp) -> Self {
        Self { since, state: SeenState::Open { next } }
    }

    /// It cannot be read before `next`.
    #[must_use]
    pub const fn unread(since: Timestamp, next: Timestamp, may_be_old: bool) -> Self {
        Self { since, state: SeenState::Unread { next, may_be_old } }
    }

    /// It was enqueued at `now`.
    #[must_use]
    pub fn enqueued(since: Timestamp, pace: &Pace, now: Timestamp) -> Self {
        Self { since, state: SeenState::Enqueued { next: now.plus(pace.far_every) } }
    }

    /// It need not be read again.
    #[must_use]
    pub const fn settled(since: Timestamp) -> Self {
        Self { since, state: SeenState::Settled }
    }

    /// The same, looked at again at `next`.
    #[must_use]
    pub const fn postponed(&self, next: Timestamp) -> Self {
        let state = match self.state {
            SeenState::Open { .. } => SeenState::Open { next },
            SeenState::Unread { may_be_old, .. } => SeenState::Unread { next, may_be_old },
            SeenState::Enqueued { .. } => SeenState::Enqueued { next },
            SeenState::Settled => SeenState::Settled,
        };
        Self { since: self.since, state }
    }

    /// Whether it was read, and was not decided or had just ended.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.state, SeenState::Open { .. })
    }

    /// Whether it is of no use.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        matches!(self.state, SeenState::Settled)
    }

    /// Whether it could not be read for so long, and did not end before there was a flow for it.
    #[must_use]
    pub fn is_unread_for(&self, period: Duration, now: Timestamp) -> bool {
        matches!(self.state, SeenState::Unread { may_be_old: false, .. })
            && now.since(self.since) >= period
    }

    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        match self.state {
            SeenState::Open { next }
            | SeenState::Unread { next, .. }
            | SeenState::Enqueued { next } => next <= now,
            SeenState::Settled => false,
        }
    }

    /// Whether no later pass lists it, so that there is nothing to remember.
    pub(super) fn is_forgotten(&self, pace: &Pace, now: Timestamp) -> bool {
        self.is_settled() && now.since(self.since) > pace.far_reach + pace.far_every
    }
}
