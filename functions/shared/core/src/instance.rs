//! An approval instance as the source itself tells of it: the authority on what was approved.

use crate::Decision;
use crate::form::Form;

/// What the source says about one approval, now.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// The instance, exactly as the source spells it.
    pub instance_id: String,
    /// The approval definition.
    pub definition_id: String,
    /// Where the approval stands.
    pub status: Status,
    /// Who asked, as the source names people; empty when it does not say.
    pub applicant: String,
    /// The number that people see on the form; empty when there is none.
    pub form_number: String,
    /// What the applicant filled in.
    pub form: Form,
}

/// Where an approval stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nobody has decided yet.
    Pending,
    /// Granted, and not taken back.
    Approved,
    /// Ended without being granted.
    Refused,
    /// Granted once and taken back, or withdrawn by the applicant.
    Revoked,
    /// A word that greenlight does not know.
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

    /// The word for it in a reason.
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
