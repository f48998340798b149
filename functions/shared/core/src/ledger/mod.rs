//! The state machine of one request, as a pure function: which effects are done, and which worker
//! holds the lease.
//!
//! ```text
//! (absent) -claim-> running{lease, attempt} -complete-> done
//!                      |  ^                 \-complete-> failed{reason} -claim-> running
//!                      \--/ claim, once the lease ran out or was released
//! ```
//! A reset returns a record whose lease is free to the state before the first claim.
//!
//! [`apply`] is the machine. The ledger in SQLite runs it inside a transaction; the one on DynamoDB
//! expresses each command as one conditional write. One conformance suite tests both against it.

mod effect;
mod machine;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Timestamp;
use crate::failure::Reason;
use crate::grant::GrantKey;
use crate::lease::{Lease, LeaseId};
use crate::retry::RetryState;

pub use effect::{Effect, EffectKey, EffectKeyParts, EffectKind, EffectOutcome};
pub use machine::{Command, CommandResult, apply};

/// How long records are kept after their last change, unless `flows.toml` says otherwise: a year
/// serves audits.
pub const DEFAULT_RETENTION: Duration = Duration::from_hours(400 * 24);

/// The ledger's record of one request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Record {
    pub state: State,
    /// The number of claims.
    pub attempt: u32,
    /// The effects that were done.
    pub effects: BTreeMap<EffectKey, Effect>,
    /// The state that the last ended attempt left; `None` before that.
    #[serde(default)]
    pub retry: Option<RetryState>,
}

/// The state of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A worker claimed it; the lease may have expired or been released since.
    Running(Lease),
    /// Every effect was done.
    Done {
        /// When.
        at: Timestamp,
        /// The lease of the attempt that completed it.
        by: LeaseId,
    },
    /// No retry can succeed; its message is in the dead-letter queue.
    Failed {
        /// When.
        at: Timestamp,
        /// The lease of the attempt that completed it.
        by: LeaseId,
        reason: String,
    },
}

/// The result of a successful claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The effects of earlier attempts, not to be repeated.
    pub effects: BTreeMap<EffectKey, Effect>,
    /// The state that the last ended attempt left; `None` before that.
    pub retry: Option<RetryState>,
}

/// What the attempts of a request recorded so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Where the request stands.
    pub standing: Standing,
    /// The effects and the state that the attempts left.
    pub claimed: Claimed,
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// An attempt is under way, or another one will be; the lease expires at this moment.
    Running {
        /// The moment.
        until: Timestamp,
    },
    /// Every effect was done.
    Done,
    /// It was given up.
    Failed,
}

impl From<Record> for Progress {
    fn from(record: Record) -> Self {
        let standing = match &record.state {
            State::Running(lease) => Standing::Running { until: lease.until },
            State::Done { .. } => Standing::Done,
            State::Failed { .. } => Standing::Failed,
        };
        Self { standing, claimed: record.into() }
    }
}

impl From<Record> for Claimed {
    fn from(record: Record) -> Self {
        Self { attempt: record.attempt, effects: record.effects, retry: record.retry }
    }
}

impl Claimed {
    /// The grants that the request holds, or may hold.
    #[must_use]
    pub fn grants(&self) -> BTreeSet<GrantKey> {
        let pending = self.retry.iter().flat_map(|retry| retry.pending.iter().cloned());
        granted_by(&self.effects).chain(pending).collect()
    }

    /// The targets and subjects that failed before, as [`crate::retry::subject_key`] writes them.
    #[must_use]
    pub fn failed(&self) -> BTreeSet<String> {
        self.retry.as_ref().map(|retry| retry.failed.clone()).unwrap_or_default()
    }
}

/// The grants that these effects gave access by.
pub fn granted_by(effects: &BTreeMap<EffectKey, Effect>) -> impl Iterator<Item = GrantKey> {
    let granted = effects.iter().filter(|(_, effect)| effect.kind == EffectKind::Grant);
    granted.filter_map(|(key, _)| {
        let EffectKeyParts { target, subject, .. } = key.parts()?;
        Some(GrantKey { target: target.to_owned(), subject: subject?.to_owned() })
    })
}

/// The reason for which a claim is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimError {
    /// Another worker's lease has not expired.
    Held {
        /// The moment at which it expires.
        until: Timestamp,
    },
    /// An earlier attempt completed the request.
    Completed,
}

/// The reason for which a reset is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ResetError {
    /// The ledger has no such request.
    #[error("the ledger does not know the request")]
    Unknown,
    /// A worker holds its lease.
    #[error("a worker holds the lease of the request")]
    Running,
    /// There was another attempt meanwhile.
    #[error("a worker has processed the request meanwhile")]
    Changed,
}

/// The result with which an attempt ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completion {
    /// Every effect was done.
    Done,
    /// No retry can succeed.
    Failed {
        reason: Reason,
        /// The state for an attempt after a redrive.
        retry: RetryState,
    },
    /// The request will be retried: the lease is released.
    Released {
        reason: Reason,
        /// The state for the next attempt.
        retry: RetryState,
    },
}

impl Completion {
    /// Whether it ends the request, at least until a redrive.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        !matches!(self, Self::Released { .. })
    }

    /// The reason for which work is left, and the state for the next attempt.
    #[must_use]
    pub const fn failure(&self) -> Option<(&Reason, &RetryState)> {
        match self {
            Self::Done => None,
            Self::Failed { reason, retry } | Self::Released { reason, retry } => {
                Some((reason, retry))
            }
        }
    }
}

#[cfg(test)]
mod tests;
