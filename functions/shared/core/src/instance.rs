//! An approval instance, read at its source: the authority on what was approved.

use crate::Decision;
use crate::form::Form;

/// The current state of one approval at the source.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// The instance, exactly as the source spells it.
    pub instance_id: String,
    /// The approval definition.
    pub definition_id: String,
    /// The status of the approval.
    pub status: Status,
    /// The applicant, by the source's name for people; empty when the source names none.
    pub applicant: String,
    /// The form number that people see; empty when there is none.
    pub form_number: String,
    /// The form that the applicant filled in.
    pub form: Form,
}

/// The status of an approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Not decided yet.
    Pending,
    /// Granted, and not revoked.
    Approved,
    /// Ended without being granted.
    Refused,
    /// Revoked after it was granted, or withdrawn by the applicant.
    Revoked,
    /// A status that greenlight does not know.
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
