//! Effects: what one call did at a target, and its key.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::subject::Subject;

/// What an operation is, as its connector file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectKind {
    /// Gives a subject access; the grant has an owner.
    Grant,
    /// Takes the access of a subject away.
    Revoke,
    /// Changes a record, opens a ticket, sets a reminder: done once, without an owner.
    Write,
    /// Changes nothing.
    Read,
    /// Sends a message to people.
    Notify,
}

impl EffectKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Grant, Self::Revoke, Self::Write, Self::Read, Self::Notify];

    /// The name in connector files and stores.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::Revoke => "revoke",
            Self::Write => "write",
            Self::Read => "read",
            Self::Notify => "notify",
        }
    }

    /// The inverse of [`EffectKind::as_str`].
    #[must_use]
    pub fn of_str(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Whether it is about the access of a subject, so that there must be one.
    #[must_use]
    pub const fn is_about_access(self) -> bool {
        matches!(self, Self::Grant | Self::Revoke)
    }
}

impl fmt::Display for EffectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The key of an effect: one operation at one target, on one subject or once per approval; done at
/// most once per request. `nac/add/mac:00:00:5e:00:53:01`, or `desk/open`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EffectKey(String);

/// The parts of an [`EffectKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EffectKeyParts<'a> {
    /// As `flows.toml` names it.
    pub target: &'a str,
    /// The connector's operation.
    pub operation: &'a str,
    /// As [`Subject::key`] writes it.
    pub subject: Option<&'a str>,
}

impl EffectKey {
    /// Whether the name of a target or of an operation can be part of a key: it separates the
    /// parts, and DynamoDB bounds keys.
    #[must_use]
    pub fn is_part(name: &str) -> bool {
        (1..=64).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    }

    /// The key of `operation` on `subject` at `target`. The validation of flows and connectors
    /// ensures [`EffectKey::is_part`] of both names.
    #[must_use]
    pub fn new(target: &str, operation: &str, subject: Option<&Subject>) -> Self {
        Self(match subject {
            Some(subject) => format!("{target}/{operation}/{}", subject.key()),
            None => format!("{target}/{operation}"),
        })
    }

    /// The form in which stores keep it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Target, operation and subject. `None` when the key was not made by [`EffectKey::new`].
    #[must_use]
    pub fn parts(&self) -> Option<EffectKeyParts<'_>> {
        let mut parts = self.0.splitn(3, '/');
        let (target, operation) = (parts.next()?, parts.next()?);
        Some(EffectKeyParts { target, operation, subject: parts.next() })
    }
}

impl From<&str> for EffectKey {
    fn from(key: &str) -> Self {
        Self(key.to_owned())
    }
}

/// An effect that was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Effect {
    /// What the operation was when it was done.
    pub kind: EffectKind,
    /// How it counts as done.
    pub outcome: EffectOutcome,
    /// When.
    pub at: Timestamp,
}

/// The outcomes with which an effect counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectOutcome {
    /// The target performed it.
    Done,
    /// The target reported that it was already in this state.
    AlreadyExists,
}

impl EffectOutcome {
    /// The name in stores and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::AlreadyExists => "already_exists",
        }
    }
}

impl fmt::Display for EffectOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
