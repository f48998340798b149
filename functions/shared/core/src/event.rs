//! What an office system tells us: one authenticated delivery is one event.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// An authenticated delivery, in the words of no particular office system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inbound {
    /// The office system checks that the URL is ours: the text goes back to it, and nothing else happens.
    Challenge(String),
    /// An approval instance changed its status.
    Approval(ApprovalEvent),
    /// Authentic, and of a kind that greenlight has no use for.
    Other {
        /// The office system's name for the kind of event.
        event_type: String,
    },
    /// Authentic and of a kind that matters, but not of the documented shape.
    Unreadable {
        /// The office system's name for the kind of event.
        event_type: String,
    },
}

/// An approval instance changed its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalEvent {
    /// The office system's name, as in `flows.toml`: `feishu`.
    pub source: String,
    /// The organisation at the office system.
    pub tenant: String,
    /// Names this delivery's fact; a repeated delivery carries it again.
    pub event_id: String,
    /// The approval definition.
    pub definition_id: String,
    /// The approval instance.
    pub instance_id: String,
    /// What became of the instance; `None` when it is neither of the two that matter.
    pub decision: Option<Decision>,
    /// When it happened, by the office system's clock.
    pub occurred_at: Option<Timestamp>,
}

/// The two outcomes of an approval instance that something can follow from.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The approval ended, and it was granted.
    Approved,
    /// A granted approval was taken back.
    Revoked,
}

impl Decision {
    /// The word that stands in queue messages, ledger keys and `flows.toml`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Revoked => "revoked",
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
