//! Why something did not work, as a type that says what follows from it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What follows from a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It may work later.
    Retry {
        /// Not before this long from now, when the other side said so.
        after: Option<Duration>,
        /// Why it did not work.
        reason: Reason,
    },
    /// It cannot work until a person changes something: to the dead-letter queue.
    GiveUp {
        /// Why it cannot work.
        reason: Reason,
    },
}

impl Failure {
    /// It may work later, and nobody said when.
    #[must_use]
    pub fn retry(class: Class, cause: impl fmt::Display) -> Self {
        Self::Retry { after: None, reason: Reason::new(class, cause) }
    }

    /// It may work later, but not before `after`.
    #[must_use]
    pub fn retry_after(after: Option<Duration>, class: Class, cause: impl fmt::Display) -> Self {
        Self::Retry { after, reason: Reason::new(class, cause) }
    }

    /// It cannot work.
    #[must_use]
    pub fn give_up(class: Class, cause: impl fmt::Display) -> Self {
        Self::GiveUp { reason: Reason::new(class, cause) }
    }

    /// The same, about `target`.
    #[must_use]
    pub fn at(mut self, target: &str) -> Self {
        let (Self::Retry { reason, .. } | Self::GiveUp { reason }) = &mut self;
        reason.target = Some(target.to_owned());
        self
    }

    /// Why.
    #[must_use]
    pub const fn reason(&self) -> &Reason {
        match self {
            Self::Retry { reason, .. } | Self::GiveUp { reason } => reason,
        }
    }
}

/// Why a request failed: a class for machines and a sentence for people.
///
/// The sentence never quotes form content, a secret or a whole MAC address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// For filters, metrics and the runbook.
    pub class: Class,
    /// For people.
    pub text: String,
    /// The target that it is about, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

impl Reason {
    /// The longest sentence, in characters; a form with hundreds of bad devices must still fit a message attribute.
    pub const MAX_CHARS: usize = 1_000;

    /// A reason of `class`, in the words of `cause`.
    #[must_use]
    pub fn new(class: Class, cause: impl fmt::Display) -> Self {
        let mut text = cause.to_string();
        if let Some((end, _)) = text.char_indices().nth(Self::MAX_CHARS) {
            text.truncate(end);
            text.push('…');
        }
        Self { class, text, target: None }
    }

    /// Several reasons as one: class and target of the first, the sentences of all. `None` when there is none.
    #[must_use]
    pub fn joined(reasons: &[Self]) -> Option<Self> {
        let first = reasons.first()?;
        let texts: Vec<_> = reasons.iter().map(|reason| reason.text.as_str()).collect();
        Some(Self { target: first.target.clone(), ..Self::new(first.class, texts.join("; ")) })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class, self.text)
    }
}

/// The kinds of reasons, each with a next step of its own in the README.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The queue message is no request.
    InvalidMessage,
    /// No flow is configured for the approval.
    NotConfigured,
    /// The source does not say that the instance is approved.
    NotApproved,
    /// The form holds no device, or a bad one.
    InvalidForm,
    /// The source could not be asked, or was busy.
    SourceUnavailable,
    /// The source refused to answer.
    SourceRejected,
    /// The target could not be reached, or asked for patience.
    TargetUnavailable,
    /// The target was away a moment ago, and is not asked.
    CircuitOpen,
    /// The target does not take our credentials.
    TargetAuthFailed,
    /// The target answered this device with an error of its own.
    TargetFailed,
    /// The target, or a gateway before it, gave no answer for this device in time.
    TargetTimeout,
    /// The target refused the device.
    TargetRejected,
    /// The target does not have the device that was looked for.
    NotFound,
    /// The ledger could not be asked.
    LedgerUnavailable,
    /// Another worker holds the lease.
    LeaseHeld,
    /// The worker's time ran out before everything was started.
    DeadlineExceeded,
    /// The dead-letter queue could not be reached.
    DeadLetterQueueUnavailable,
    /// The worker itself broke: a defect.
    InternalError,
}

impl Class {
    /// All, in the order of the attempt.
    pub const ALL: [Self; 18] = [
        Self::InvalidMessage,
        Self::NotConfigured,
        Self::NotApproved,
        Self::InvalidForm,
        Self::SourceUnavailable,
        Self::SourceRejected,
        Self::TargetUnavailable,
        Self::CircuitOpen,
        Self::TargetAuthFailed,
        Self::TargetFailed,
        Self::TargetTimeout,
        Self::TargetRejected,
        Self::NotFound,
        Self::LedgerUnavailable,
        Self::LeaseHeld,
        Self::DeadlineExceeded,
        Self::DeadLetterQueueUnavailable,
        Self::InternalError,
    ];

    /// Whether such a failure says that the target as a whole cannot be used now: every other
    /// subject would fail in the same way.
    #[must_use]
    pub const fn is_about_whole_target(self) -> bool {
        matches!(
            self,
            Self::TargetUnavailable
                | Self::TargetAuthFailed
                | Self::CircuitOpen
                | Self::LeaseHeld
                | Self::DeadlineExceeded
        )
    }

    /// The word for it in message attributes and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidMessage => "invalid_message",
            Self::NotConfigured => "not_configured",
            Self::NotApproved => "not_approved",
            Self::InvalidForm => "invalid_form",
            Self::SourceUnavailable => "source_unavailable",
            Self::SourceRejected => "source_rejected",
            Self::TargetUnavailable => "target_unavailable",
            Self::CircuitOpen => "circuit_open",
            Self::TargetAuthFailed => "target_auth_failed",
            Self::TargetFailed => "target_failed",
            Self::TargetTimeout => "target_timeout",
            Self::TargetRejected => "target_rejected",
            Self::NotFound => "not_found",
            Self::LedgerUnavailable => "ledger_unavailable",
            Self::LeaseHeld => "lease_held",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::DeadLetterQueueUnavailable => "dead_letter_queue_unavailable",
            Self::InternalError => "internal_error",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_at_a_character() {
        let reason = Reason::new(Class::InvalidForm, "字".repeat(2_000));
        assert_eq!(reason.text.chars().count(), Reason::MAX_CHARS + 1);
    }

    #[test]
    fn the_stored_word_is_the_shown_word() {
        let class = Class::DeadLetterQueueUnavailable;
        assert_eq!(serde_json::json!(class), serde_json::json!(class.as_str()));
    }
}
