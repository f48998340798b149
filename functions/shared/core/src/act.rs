//! What operators did: recorded before it is done, and never changed.

#![warn(missing_docs)]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Timestamp;
use crate::audit::Lookup;
use crate::explain::Explain;
use crate::ledger::{Effect, EffectKey};

/// An act of an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// 128 random bits.
    pub id: String,
    /// When it was recorded, before it was done.
    pub at: Timestamp,
    /// The ARN of the caller on AWS, else the user and the host.
    pub who: String,
    /// What was done.
    pub what: ActKind,
    /// The id of a dead letter, an approval instance, a subject, or a person.
    pub on: String,
    /// The reason that the operator gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Of a forced replay: the effects that were recorded before it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub effects: BTreeMap<EffectKey, Effect>,
}

/// What an operator did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Error, Explain)]
#[serde(rename_all = "snake_case")]
#[explain("act")]
pub enum ActKind {
    /// Put a dead letter back into the queue.
    #[error("redrive")]
    Redrive,
    /// Discarded a dead letter.
    #[error("discard")]
    Discard,
    /// Had an approval processed again.
    #[error("replay")]
    Replay,
    /// As a replay, with its effects done again.
    #[error("forced replay")]
    ForcedReplay,
    /// Gave access without an approval.
    #[error("grant")]
    Grant,
    /// Extended an access.
    #[error("extend")]
    Extend,
    /// Ended an access.
    #[error("end")]
    End,
    /// Forbade all access of a subject.
    #[error("block")]
    Block,
    /// Allowed it again.
    #[error("unblock")]
    Unblock,
    /// Ended every access of a person.
    #[error("offboard")]
    Offboard,
    /// Replaced the identifiers of a person by a pseudonym.
    #[error("erase")]
    Erase,
}

impl ActKind {
    /// The name in stores and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Redrive => "redrive",
            Self::Discard => "discard",
            Self::Replay => "replay",
            Self::ForcedReplay => "forced_replay",
            Self::Grant => "grant",
            Self::Extend => "extend",
            Self::End => "end",
            Self::Block => "block",
            Self::Unblock => "unblock",
            Self::Offboard => "offboard",
            Self::Erase => "erase",
        }
    }
}

impl Act {
    /// An act that is about to be done.
    #[must_use]
    pub fn new(who: &str, what: ActKind, on: &str, why: Option<&str>, now: Timestamp) -> Self {
        let id = format!("{:032x}", fastrand::u128(..));
        let (who, on, why) = (who.to_owned(), on.to_owned(), why.map(str::to_owned));
        Self { id, at: now, who, what, on, why, effects: BTreeMap::new() }
    }

    /// Whether it was done on one of these.
    #[must_use]
    pub fn is_on(&self, wanted: &[Lookup]) -> bool {
        let is_on = |thing: &str| {
            // Of an access, the subject follows the target.
            let subject = thing.split_once('/').map_or(thing, |(_, subject)| subject);
            wanted.iter().any(|it| it.is_of_subject(subject) || it.has_value(thing))
        };
        match self.what {
            // Of several dead letters, with their instances.
            ActKind::Redrive | ActKind::Discard => self.on.split(' ').any(is_on),
            _ => is_on(&self.on),
        }
    }
}
