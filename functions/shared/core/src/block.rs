//! Subjects that an operator has blocked: nothing grants them access.

#![warn(missing_docs)]

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Why a subject has no access, whatever is approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// The operator's reason.
    pub reason: String,
    /// As [`crate::act::Act::who`].
    pub who: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when; `None` until it is unblocked.
    pub until: Option<Timestamp>,
}

impl Block {
    /// Whether it is in force.
    #[must_use]
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// The ledger's record of one subject.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockRecord {
    /// The block, if there is one.
    pub block: Option<Block>,
    /// When the last one was ended by an operator.
    #[serde(default)]
    pub ended_at: Option<Timestamp>,
}
