//! An approval instance, read at its source: the authority on what was approved.

use std::fmt;

use crate::explain::Explain;
use crate::form::Form;
use crate::{Decision, Timestamp};

/// The current state of one approval at the source.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// The instance, exactly as the source spells it.
    pub instance_id: String,
    /// The approval definition.
    pub definition_id: String,
    /// The status of the approval.
    pub status: Status,
    /// When it ended, if it did and the source says so.
    pub ended_at: Option<Timestamp>,
    /// The applicant, by the source's name for people; empty when the source names none.
    pub applicant: String,
    /// The form number that people see; empty when there is none.
    pub form_number: String,
    /// The form that the applicant filled in.
    pub form: Form,
    /// The instance that this one revokes, at a source where a revocation is an approval of its
    /// own.
    pub revokes: Option<String>,
}

/// The status of an approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Explain)]
#[explain("status")]
pub enum Status {
    /// Not decided yet.
    #[error("pending")]
    Pending,
    /// Granted, and not revoked.
    #[error("approved")]
    Approved,
    /// Ended without being granted.
    #[error("refused")]
    Refused,
    /// Revoked after it was granted, or withdrawn by the applicant.
    #[error("revoked")]
    Revoked,
    /// A status that greenlight does not know.
    #[error("unknown")]
    Unknown,
}

impl Status {
    /// Whether the source confirms that the instance ended with `decision`.
    #[must_use]
    pub const fn confirms(self, decision: Decision) -> bool {
        matches!(
            (self, decision),
            (Self::Approved, Decision::Approved) | (Self::Revoked, Decision::Revoked)
        )
    }

    /// The name in the text of a reason.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Refused => "refused",
            Self::Revoked => "revoked",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
