//! Events from an office system: one authenticated webhook request is one event.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::explain::Explain;

/// An authenticated event, independent of the office system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inbound {
    /// The URL check of the office system: the text is sent back, and nothing else happens.
    Challenge(String),
    /// An approval instance changed its status.
    Approval(ApprovalEvent),
    /// A person left the organisation.
    PersonLeft {
        /// The identifier of the person, as instances name applicants.
        person: String,
    },
    /// Authentic, and of a type that greenlight does not use.
    Other {
        /// The office system's name for the event type.
        event_type: String,
    },
    /// Authentic and of a type that greenlight uses, but not of the documented shape.
    Unreadable {
        /// The office system's name for the event type.
        event_type: String,
    },
    /// Authentic, and without what the configuration of its source expects.
    Unmapped {
        /// The key of that configuration.
        key: &'static str,
    },
}

/// An approval instance changed its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalEvent {
    /// The organisation at the office system.
    pub tenant: String,
    /// The id of the event; a redelivery has the same one.
    pub event_id: String,
    /// The approval definition.
    pub definition_id: String,
    /// The approval instance.
    pub instance_id: String,
    /// The decision on the instance; `None` when it is neither of the two that can start a flow.
    pub decision: Option<Decision>,
    /// When it happened, by the office system's clock.
    pub occurred_at: Option<Timestamp>,
    /// The signed message, if it is the authority on what was approved.
    pub signed: Option<SignedMessage>,
}

/// A signed webhook request that travels to the worker, which verifies it again: of a source whose
/// instances cannot be read. It is form content: it is never logged, nor shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedMessage {
    /// The headers that the signature needs, by lower-case name.
    pub headers: BTreeMap<String, String>,
    /// The body in base64; at most [`MAX_SIGNED_BODY_BYTES`](crate::MAX_SIGNED_BODY_BYTES) before.
    pub body: String,
}

impl fmt::Debug for SignedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignedMessage({} bytes)", self.body.len())
    }
}

/// The two decisions on an approval instance that can start a flow.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Explain,
)]
#[serde(rename_all = "snake_case")]
#[explain("decision")]
pub enum Decision {
    /// The approval ended, and it was granted.
    #[error("approved")]
    Approved,
    /// A granted approval was revoked.
    #[error("revoked")]
    Revoked,
}

impl Decision {
    /// The name in queue messages, ledger keys and `flows.toml`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Revoked => "revoked",
        }
    }

    /// The inverse of [`Decision::as_str`].
    #[must_use]
    pub fn of_str(text: &str) -> Option<Self> {
        [Self::Approved, Self::Revoked].into_iter().find(|decision| decision.as_str() == text)
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
