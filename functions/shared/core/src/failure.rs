//! Failures, as a type that says whether to retry.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::explain::{Explain, Explanation, SEPARATOR};

/// A failure, and whether to retry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A retry may succeed.
    Retry {
        /// The minimum wait before the retry, if the other system asked for one.
        after: Option<Duration>,
        reason: Reason,
    },
    /// No retry can succeed until a person changes something: the message goes to the dead-letter
    /// queue.
    GiveUp { reason: Reason },
}

impl Failure {
    /// A failure to retry after the usual wait.
    #[must_use]
    pub fn retry(class: Class, cause: impl Into<Explanation>) -> Self {
        Self::Retry { after: None, reason: Reason::new(class, cause) }
    }

    /// A failure to retry, not before `after` from now.
    #[must_use]
    pub fn retry_after(
        after: Option<Duration>,
        class: Class,
        cause: impl Into<Explanation>,
    ) -> Self {
        Self::Retry { after, reason: Reason::new(class, cause) }
    }

    /// A failure that no retry can fix.
    #[must_use]
    pub fn give_up(class: Class, cause: impl Into<Explanation>) -> Self {
        Self::GiveUp { reason: Reason::new(class, cause) }
    }

    /// The same failure, attributed to `target`.
    #[must_use]
    pub fn at(mut self, target: &str) -> Self {
        let (Self::Retry { reason, .. } | Self::GiveUp { reason }) = &mut self;
        reason.target = Some(target.to_owned());
        self
    }

    /// The same failure, after the target may have done a part of what was asked.
    #[must_use]
    pub fn after_a_change(mut self) -> Self {
        let (Self::Retry { reason, .. } | Self::GiveUp { reason }) = &mut self;
        reason.may_have_changed = true;
        self
    }

    #[must_use]
    pub const fn reason(&self) -> &Reason {
        match self {
            Self::Retry { reason, .. } | Self::GiveUp { reason } => reason,
        }
    }
}

/// The reason of a failure: a class for machines and a text for people.
///
/// The text never quotes form content, a secret or a whole MAC address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// For filters, metrics and the runbook.
    pub class: Class,
    /// For people.
    pub cause: Explanation,
    /// The target that caused it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Whether the target may have done a part of what was asked, whatever its answer.
    #[serde(skip)]
    pub may_have_changed: bool,
}

/// The room for [`AndMore`] in a joined reason, in characters.
const AND_MORE_CHARS: usize = 40;

/// The part of a list of reasons that is left out.
#[derive(Debug, Error, Explain)]
#[explain("and_more")]
#[error("and {count} more")]
struct AndMore {
    count: usize,
}

impl Reason {
    /// The maximum length of the text, in characters: a form with hundreds of invalid subjects must
    /// still fit into a message attribute. With its values a reason is about three times as long.
    pub const MAX_CHARS: usize = 1_000;

    /// The maximum number of reasons in a joined one.
    const MAX_JOINED: usize = 10;

    /// A reason of `class` with the text of `cause`.
    #[must_use]
    pub fn new(class: Class, cause: impl Into<Explanation>) -> Self {
        let cause = cause.into().bounded(Self::MAX_CHARS);
        Self { class, cause, target: None, may_have_changed: false }
    }

    /// Joins several reasons: class and target of the first, the texts of all. `None` for an empty
    /// list.
    #[must_use]
    pub fn joined(reasons: &[Self]) -> Option<Self> {
        let first = reasons.first()?;
        if reasons.len() == 1 {
            return Some(first.clone());
        }
        let mut chars = 0;
        let fits = |reason: &&Self| {
            chars += reason.cause.text.chars().count() + SEPARATOR.len();
            chars + AND_MORE_CHARS <= Self::MAX_CHARS
        };
        let fitting = reasons.iter().take(Self::MAX_JOINED).take_while(fits).count();
        // The first is cut if it is too long.
        let causes = reasons.iter().take(fitting.max(1)).map(|reason| reason.cause.clone());
        let mut causes: Vec<_> = causes.collect();
        let count = reasons.len() - causes.len();
        if count > 0 {
            causes.push(AndMore { count }.explain());
        }
        let joined = Self::new(first.class, Explanation::list(causes));
        Some(Self { target: first.target.clone(), ..joined })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class, self.cause)
    }
}

/// The classes of reasons; the README gives the next step for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The queue message is not a valid request.
    InvalidMessage,
    /// No flow is configured for the approval.
    NotConfigured,
    /// The source does not confirm that the instance is approved.
    NotApproved,
    /// The approval was withdrawn before all of it was carried out.
    Withdrawn,
    /// An operator blocked the subject.
    Blocked,
    /// The person holds as much as the flow allows.
    LimitReached,
    /// The approval ended too long ago.
    TooOld,
    /// The form has no subject, or an invalid one.
    InvalidForm,
    /// The source could not be reached, or was busy.
    SourceUnavailable,
    /// The source accepts no more calls in this month.
    QuotaUsedUp,
    /// The source rejected the call.
    SourceRejected,
    /// The target could not be reached, or asked to be called later.
    TargetUnavailable,
    /// The circuit of the target is open; it was not called.
    CircuitOpen,
    /// The target rejected the credentials.
    TargetAuthFailed,
    /// The target returned an error for this subject.
    TargetFailed,
    /// The target, or a gateway before it, did not respond in time for this subject.
    TargetTimeout,
    /// The target rejected the subject.
    TargetRejected,
    /// The target does not have the requested subject.
    NotFound,
    /// The ledger could not be reached.
    LedgerUnavailable,
    /// Another worker holds the lease.
    LeaseHeld,
    /// Another call about the same subject is under way at the target, or may still reach it.
    GrantHeld,
    /// The worker's time ran out before everything was started.
    DeadlineExceeded,
    /// The dead-letter queue could not be reached.
    DeadLetterQueueUnavailable,
    /// A bug in the worker, such as a panic.
    InternalError,
}

impl Class {
    /// Every class, in the order of an attempt.
    pub const ALL: [Self; 24] = [
        Self::InvalidMessage,
        Self::NotConfigured,
        Self::NotApproved,
        Self::Withdrawn,
        Self::Blocked,
        Self::LimitReached,
        Self::TooOld,
        Self::InvalidForm,
        Self::SourceUnavailable,
        Self::QuotaUsedUp,
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
        Self::GrantHeld,
        Self::DeadlineExceeded,
        Self::DeadLetterQueueUnavailable,
        Self::InternalError,
    ];

    /// Whether the failure concerns the target as a whole: calls for every other subject would fail
    /// in the same way.
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

    /// The name in message attributes and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidMessage => "invalid_message",
            Self::NotConfigured => "not_configured",
            Self::NotApproved => "not_approved",
            Self::Withdrawn => "withdrawn",
            Self::Blocked => "blocked",
            Self::LimitReached => "limit_reached",
            Self::TooOld => "too_old",
            Self::InvalidForm => "invalid_form",
            Self::SourceUnavailable => "source_unavailable",
            Self::QuotaUsedUp => "quota_used_up",
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
            Self::GrantHeld => "grant_held",
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
        let reason = Reason::new(Class::InvalidForm, Explanation::quoted("字".repeat(2_000)));
        assert_eq!(reason.cause.text.chars().count(), Reason::MAX_CHARS + 1);
    }

    #[test]
    fn joined_reasons_are_ten_and_bounded() {
        let joined = |reason| Reason::joined(&vec![reason; 1_000]).unwrap();
        let short = joined(Reason::new(Class::InvalidForm, Explanation::quoted("empty")));
        assert!(short.cause.text.ends_with("empty; and 990 more"), "{short}");
        let long = Reason::new(Class::InvalidForm, Explanation::quoted("字".repeat(900)));
        let joined = joined(long);
        assert!(joined.cause.text.ends_with("字; and 999 more"), "{joined}");
        assert!(joined.cause.data().chars().count() < 3 * Reason::MAX_CHARS);
    }

    #[test]
    fn the_stored_word_is_the_shown_word() {
        let class = Class::DeadLetterQueueUnavailable;
        assert_eq!(serde_json::json!(class), serde_json::json!(class.as_str()));
    }
}
